"""Data sets, samplers, splits and the loader: the specified order, whatever makes the batches."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite import data, random
from support import assert_same_bits, rng

X = rng(0).random((23, 3), np.float32)
T = np.arange(23) % 4


class Slow(data.Dataset):
    """Gives sample 5 only after sample 9 was asked for, and refuses sample ``bad``."""

    def __init__(self, bad: int = -1) -> None:
        self.bad = bad
        self.threads: set[int] = set()
        self.later = threading.Event()

    def __len__(self) -> int:
        return 12

    def __getitem__(self, i: int) -> Any:
        self.threads.add(threading.get_ident())
        if i == self.bad:
            raise KeyError("no such file")
        if i == 9:
            self.later.set()
        if i == 5:
            assert self.later.wait(30)
        return {"x": X[i], "t": i, "name": f"n{i}"}


def test_the_order_is_that_of_fit_and_of_the_seed_alone() -> None:
    loader = data.DataLoader(data.TensorDataset(X, T), 8, shuffle=True, seed=7)
    nl.manual_seed(7)
    orders = [random.permutation(23, stream=random.SHUFFLING) for _ in range(3)]
    nl.manual_seed(99)
    before = random.get_state()
    for order in orders:
        batches = list(loader)
        assert [len(x) for x, _ in batches] == [8, 8, 7]
        assert_same_bits(np.concatenate([x for x, _ in batches]), X[order])
        assert_same_bits(np.concatenate([t for _, t in batches]), T[order])
    assert random.get_state() == before
    loader.set_epoch(1)
    state = loader.state_dict()
    assert_same_bits(next(iter(loader))[0], X[orders[1][:8]])
    again = data.DataLoader(data.TensorDataset(X, T), 8, shuffle=True, seed=0)
    again.load_state_dict(state)
    assert_same_bits(next(iter(again))[0], X[orders[1][:8]])
    nl.manual_seed(7)  # without a seed: nnlite's own draws
    assert_same_bits(next(iter(data.DataLoader(data.TensorDataset(X, T), 8, True)))[0], X[orders[0][:8]])
    assert random.get_state()["draws"] == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("workers", [1, 4])
def test_workers_change_nothing(workers: int) -> None:
    def all_of(num_workers: int) -> list[Any]:
        loader = data.DataLoader(data.TensorDataset(X, T), 4, True, num_workers=num_workers, seed=3)
        return [part for _ in range(2) for batch in loader for part in batch]

    for a, b in zip(all_of(0), all_of(workers), strict=True):
        assert_same_bits(a, b)


def test_batches_of_samples_come_in_order_from_threads() -> None:
    dataset = Slow()
    batches = list(data.DataLoader(dataset, 3, num_workers=3, prefetch_factor=2))
    assert [batch["name"] for batch in batches] == [[f"n{i}" for i in range(k, k + 3)] for k in (0, 3, 6, 9)]
    assert_same_bits(batches[1]["x"], X[3:6])
    assert_same_bits(batches[1]["t"], np.arange(3, 6))
    assert threading.get_ident() not in dataset.threads
    assert len(dataset.threads) > 1


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_names_the_sample(workers: int) -> None:
    threads = threading.active_count()
    loader = data.DataLoader(Slow(bad=4), 2, num_workers=workers)
    batches = iter(loader)
    next(batches)
    next(batches)
    with pytest.raises(KeyError, match="no such file") as raised:
        next(batches)
    assert raised.value.__notes__ == ["DataLoader: in sample 4 of the data set"]
    assert threading.active_count() == threads


def test_a_pass_that_is_left_ends_its_threads() -> None:
    threads = threading.active_count()
    batches = iter(data.DataLoader(data.TensorDataset(X), 2, num_workers=2))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads


def test_parts_and_sums_of_data_sets() -> None:
    whole = data.TensorDataset(X, T)
    part = data.Subset(whole, [22, 0, 5])
    both = data.ConcatDataset([data.Subset(whole, range(2)), part, data.Subset(whole, [])])
    assert len(both) == 5
    assert both.cumulative_sizes == [2, 5, 5]
    order = np.array([4, 0, 2, 1, 3, 2])
    x, t = both.take(order)
    expected = np.array([0, 1, 22, 0, 5])[order]
    assert_same_bits(x, X[expected])
    assert_same_bits(t, T[expected])
    assert_same_bits(np.stack([both[int(i)][0] for i in order]), X[expected])
    assert_same_bits(both[-1][0], X[5])
    mixed = data.ConcatDataset([whole, data.TensorDataset(X.astype(np.float64), T)])
    assert mixed.take(np.array([0, 30])) is None
    assert data.Subset(Slow(), [3]).take(np.array([0])) is None
    with pytest.raises(IndexError, match="index 5, but there are 5 samples"):
        both[5]


def test_samplers() -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    for n in (0, 1, 7, 8):
        for drop_last in (False, True):
            ours = data.BatchSampler(data.SequentialSampler(range(n)), 4, drop_last)
            theirs = torch_data.BatchSampler(torch_data.SequentialSampler(range(n)), 4, drop_last)
            assert list(ours) == list(theirs)
            assert len(ours) == len(theirs)
    generator = nl.random.Generator(5)
    assert sorted(data.RandomSampler(range(9), generator=generator)) == list(range(9))
    more = list(data.RandomSampler(range(4), num_samples=6, generator=generator))
    assert sorted(more[:4]) == [0, 1, 2, 3]
    assert len(more) == 6
    many = np.bincount(list(data.RandomSampler(range(4), True, 4000, generator)), minlength=4)
    assert many.min() > 900
    assert generator.get_state()["draws"] == [0, 4, 0, 0, 0]
    subset = list(data.SubsetRandomSampler([8, 3, 5], nl.random.Generator(5)))
    assert subset == [[8, 3, 5][i] for i in data.RandomSampler(range(3), generator=nl.random.Generator(5))]
    assert list(data.RandomSampler([])) == []


def test_weighted_samples() -> None:
    weights = [0, 1, 3, 0]
    drawn = np.bincount(list(data.WeightedRandomSampler(weights, 4000, generator=nl.random.Generator(1))), minlength=4)
    assert drawn[[0, 3]].tolist() == [0, 0]
    assert 2800 < drawn[2] < 3200
    for seed in range(5):
        without = list(data.WeightedRandomSampler(weights, 2, False, nl.random.Generator(seed)))
        assert sorted(without) == [1, 2]
    first = [next(iter(data.WeightedRandomSampler([1, 3], 1, False, nl.random.Generator(s)))) for s in range(400)]
    assert 270 < sum(first) < 330


@pytest.mark.parametrize("lengths", [[3, 0, 20], [0.5, 0.5], [0.25, 0.25, 0.5], [1.0]])
def test_random_split_has_pytorchs_sizes(lengths: list[float]) -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    parts = data.random_split(data.TensorDataset(X), lengths, seed=2)
    assert [len(p) for p in parts] == [len(p) for p in torch_data.random_split(range(23), lengths)]
    order = nl.kernels.random_permutation(23, 2, 0, random.USER)
    assert_same_bits(np.concatenate([p.indices for p in parts]), order)


def test_train_test_split() -> None:
    t = np.repeat([0, 1, 2], [10, 20, 3])
    x = np.arange(33)
    train, validation, test = data.train_test_split(x, t, test=0.3, validation=6, seed=1)
    assert [len(p[0]) for p in (train, validation, test)] == [17, 6, 10]
    assert np.bincount(test[1]).tolist() == [3, 6, 1]
    assert np.bincount(validation[1], minlength=3).tolist() == [2, 4, 0]
    assert sorted(np.concatenate([train[0], validation[0], test[0]])) == list(range(33))
    for xs, ts in (train, validation, test):
        assert_same_bits(t[xs], ts)
    plain = data.train_test_split(x, t / 2, test=0.25, stratify=False, seed=1)
    order = nl.kernels.random_permutation(33, 1, 0, random.USER)
    assert_same_bits(np.concatenate([plain.train[0], plain.test[0]]), order)
    assert len(plain.validation[0]) == 0


def test_collate_is_pytorchs() -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    samples = [{"a": (1, 2.5, True), "b": [X[i], "n"], "c": np.float32(i)} for i in range(3)]
    ours, theirs = data.default_collate(samples), torch_data.default_collate(samples)
    for a, b in zip(ours["a"], theirs["a"], strict=True):
        assert_same_bits(a, b.numpy())
    assert_same_bits(ours["b"][0], theirs["b"][0].numpy())
    assert ours["b"][1] == list(theirs["b"][1])
    assert_same_bits(ours["c"], theirs["c"].numpy())


def loader(**settings: Any) -> object:
    return data.DataLoader(data.TensorDataset(X), **settings)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: data.TensorDataset(), TypeError, r"TensorDataset: arrays must be given, as in TensorDataset\(x, t\)"),
        (
            lambda: data.TensorDataset(X, [1]),
            TypeError,
            r"arrays\[1\] must be a numpy\.ndarray, got list; write",
        ),
        (lambda: data.TensorDataset(X, T[:5]), ValueError, r"arrays\[0\] has 23 samples but arrays\[1\] has 5"),
        (lambda: data.TensorDataset(np.array(1)), ValueError, r"arrays\[0\] must hold samples along axis 0"),
        (lambda: data.Subset(data.TensorDataset(X), [1, 23]), IndexError, r"indices\[1\] is 23, but .* 0 to 22"),
        (lambda: data.Subset(data.TensorDataset(X), T == 1), TypeError, r"got bool; write np\.flatnonzero\(mask\)"),
        (lambda: data.ConcatDataset([]), ValueError, "ConcatDataset: datasets must hold at least one"),
        (lambda: data.DataLoader(iter([])), TypeError, r"DataLoader: dataset must have __len__ and __getitem__"),
        (lambda: loader(batch_size=0), ValueError, "DataLoader: batch_size must be at least 1, got 0"),
        (lambda: loader(num_workers=-1), ValueError, "DataLoader: num_workers must be at least 0, got -1"),
        (lambda: loader(seed=1, generator=random.generator), ValueError, "seed and generator exclude one another"),
        (lambda: loader(generator=np.random.default_rng(0)), TypeError, r"write nl\.random\.Generator\(seed\)"),
        (lambda: loader(sampler=[1], shuffle=True), ValueError, "sampler decides the order; leave shuffle out"),
        (lambda: loader(batch_sampler=[[1]], drop_last=True), ValueError, "the batches; leave drop_last out"),
        (lambda: list(loader(sampler=[40])), IndexError, r"a batch of samples\[0\] is 40, but .* 0 to 22"),
        (lambda: data.WeightedRandomSampler([1, np.nan], 1), ValueError, r"weights\[1\] must be a finite .* got nan"),
        (lambda: data.WeightedRandomSampler([0, 0], 1), ValueError, "must not all be 0, got 2 zeros"),
        (lambda: data.WeightedRandomSampler([0, 1], 2, False), ValueError, "is 2, but 1 weights are above 0"),
        (lambda: data.random_split(data.TensorDataset(X), [20, 2]), ValueError, "sum to 22, but must sum to the 23"),
        (lambda: data.train_test_split(X, T[:4]), ValueError, "x has 23 samples but t has 4"),
        (lambda: data.train_test_split(X, X), TypeError, r"got float32 of shape \(23, 3\); write stratify=False"),
        (lambda: data.train_test_split(X, T, test=20, validation=3), ValueError, "takes 20 and validation 3 of 23"),
        (lambda: data.train_test_split(X, np.arange(23)), ValueError, "class 0 has 1 samples for 2 parts"),
        (
            lambda: data.default_collate([(X[0], 1), (X[0, :2], 1)]),
            ValueError,
            r"sample 0\[0\] is float32 of shape \(3,\) but sample 1\[0\] is float32 of shape \(2,\)",
        ),
        (lambda: data.default_collate([nl.Tensor(X)]), TypeError, r"got Tensor; write \.data"),
        (lambda: data.default_collate([]), ValueError, "at least one sample"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
