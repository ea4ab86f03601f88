"""Averaged weights: PyTorch's averages, states and learning rates, and the same bits on every backend."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn, optim
from nnlite.optim import swa_utils
from support import assert_same_bits, rng


def model():
    nl.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def torchs(torch, own):
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    theirs.load_state_dict({key: torch.tensor(value) for key, value in own.state_dict().items()})
    return theirs


def move(own, step):
    """Other weights and statistics."""
    random = rng(step)
    own.load_state_dict(
        {key: (random.standard_normal(x.shape).astype(x.dtype) if x.dtype.kind == "f" else np.asarray(x + 1))
         for key, x in own.state_dict().items()}
    )  # fmt: skip


CASES = {
    "mean": lambda s: {},
    "ema": lambda s: {"multi_avg_fn": s.get_ema_multi_avg_fn(0.9)},
    "ema 0.3": lambda s: {"multi_avg_fn": s.get_ema_multi_avg_fn(0.3), "use_buffers": True},
    "ema 0": lambda s: {"multi_avg_fn": s.get_ema_multi_avg_fn(0.0)},
    "mean of lists": lambda s: {"multi_avg_fn": s.get_swa_multi_avg_fn()},
    "ema of each": lambda s: {"avg_fn": s.get_ema_avg_fn(0.9)},
    "mean of each": lambda s: {"avg_fn": s.get_swa_avg_fn()},
    "own": lambda s: {"avg_fn": lambda a, p, n: a * 0.25 + p * 0.5},
}


@pytest.mark.parametrize("case", CASES)
def test_averages_as_pytorch(case):
    torch = pytest.importorskip("torch")
    own = model()
    theirs = torchs(torch, own)
    a = swa_utils.AveragedModel(own, **CASES[case](swa_utils))
    b = torch.optim.swa_utils.AveragedModel(theirs, **CASES[case](torch.optim.swa_utils))
    arrays = [p.data for p in a.parameters()]
    for step in range(6):
        move(own, step)
        theirs.load_state_dict({key: torch.tensor(value) for key, value in own.state_dict().items()})
        a.update_parameters(own)
        b.update_parameters(theirs)
        assert a.state_dict().keys() == b.state_dict().keys()
        for key, value in b.state_dict().items():
            if "num_batches_tracked" not in key:  # PyTorch averages this integer too
                # Three roundings at each step, of numbers that are at most about 4.
                np.testing.assert_allclose(a.state_dict()[key], value.numpy(), rtol=0, atol=6 * 6 * 4 * 2.0**-24)
    assert a.n_averaged == 6
    assert all(p.data is array for p, array in zip(a.parameters(), arrays, strict=True))
    fresh = swa_utils.AveragedModel(model())
    fresh.load_state_dict({key: value.numpy() for key, value in b.state_dict().items()})
    x = rng(9).standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_allclose(fresh.eval()(x), b.eval()(torch.tensor(x)).detach(), rtol=1e-4, atol=1e-5)


def test_the_same_bits_on_every_backend_and_the_formula():
    results = []
    for backend in ("reference", nl.get_backend()):
        with nl.backend(backend):
            own = model()
            a = swa_utils.AveragedModel(own, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.99))
            for step in range(3):
                move(own, step)
                a.update_parameters(own)
            results.append([p.data for p in a.parameters()])
    for ours, theirs in zip(*results, strict=True):
        assert_same_bits(ours, theirs)
    own, expected = model(), None
    for step in range(3):
        move(own, step)
        p = own[0].weight.data
        expected = p.copy() if expected is None else expected + (p - expected) * np.float32(1 - 0.99)
    assert_same_bits(results[0][0], expected)


def test_the_model_and_its_average_are_apart():
    own = model()
    before = copy.deepcopy(own.state_dict())
    a = swa_utils.AveragedModel(own)
    a.update_parameters(own)
    a(np.ones((2, 3), np.float32)).sum().backward()
    assert all(p.grad is None for p in own.parameters())
    for key, value in own.state_dict().items():
        assert_same_bits(value, before[key])
    with pytest.raises(ValueError, match=r"only one of them has parameter '0.bias'"):
        a.update_parameters(nn.Sequential(nn.Linear(3, 4, bias=False), *model()[1:]))
    with pytest.raises(
        ValueError, match=r"parameter '0.weight' is float32 of shape \(4, 2\), but was float32 of shape"
    ):
        a.update_parameters(nn.Sequential(nn.Linear(2, 4), *model()[1:]))
    assert a.n_averaged == 1


def test_update_bn_as_pytorch():
    torch = pytest.importorskip("torch")
    own = model()
    theirs = torchs(torch, own)
    own.eval()
    own[0].train()
    batches = [rng(i).standard_normal((8, 3)).astype(np.float32) for i in range(5)]
    swa_utils.update_bn([batches[0], (batches[1], 3), [batches[2]], nl.Tensor(batches[3]), batches[4]], own)
    torch.optim.swa_utils.update_bn([torch.tensor(x) for x in batches], theirs)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(own.state_dict()[key], value.numpy(), rtol=1e-5, atol=1e-6)
    assert [m.training for m in own.modules()] == [False, True, False, False, False]
    assert own[1].momentum == 0.1
    assert own[0].weight.grad is None
    with pytest.raises(ValueError, match="x"):
        swa_utils.update_bn([np.ones((2, 7), np.float32)], own)
    assert own[1].momentum == 0.1
    swa_utils.update_bn(iter([]), nn.Linear(1, 1))


@pytest.mark.parametrize("settings", [{}, {"anneal_epochs": 3, "anneal_strategy": "linear"}, {"anneal_epochs": 0}])
@pytest.mark.parametrize("decayed", [False, True])
def test_learning_rates_as_pytorch(settings, decayed):
    torch = pytest.importorskip("torch")
    a = optim.SGD([{"params": nn.Parameter(np.ones(1))}, {"params": nn.Parameter(np.ones(1)), "lr": 0.5}], lr=0.1)
    b = torch.optim.SGD(
        [{"params": torch.nn.Parameter(torch.ones(1))}, {"params": torch.nn.Parameter(torch.ones(1)), "lr": 0.5}],
        lr=0.1,
    )
    schedules = [
        [s.SWALR(o, [0.02, 0.03], **settings)] + [lr.ExponentialLR(o, 0.9)] * decayed
        for s, lr, o in ((swa_utils, optim.lr_scheduler, a), (torch.optim.swa_utils, torch.optim.lr_scheduler, b))
    ]
    for step in range(14):
        for optimizer, own in zip((a, b), schedules, strict=True):
            optimizer.step()
            for schedule in own:
                schedule.step()
        lrs, expected = ([group["lr"] for group in optimizer.param_groups] for optimizer in (a, b))
        # The division by 1 - alpha, which is at least 0.02, makes the roundings of a step larger.
        np.testing.assert_allclose(lrs, expected, rtol=50 * (step + 1) * 2.0**-51)
        if step == 5:
            schedules[0][0].load_state_dict(
                {key: value for key, value in schedules[1][0].state_dict().items() if key != "anneal_func"}
            )
    a.load_state_dict(copy.deepcopy(a.state_dict()))


def test_refusals():
    with pytest.raises(TypeError, match="AveragedModel: model must be a Module, got list"):
        swa_utils.AveragedModel([])
    with pytest.raises(ValueError, match="AveragedModel: avg_fn and multi_avg_fn are given; leave one out"):
        swa_utils.AveragedModel(
            model(), avg_fn=swa_utils.get_swa_avg_fn(), multi_avg_fn=swa_utils.get_swa_multi_avg_fn()
        )
    with pytest.raises(ValueError, match=r"get_ema_multi_avg_fn: decay must be between 0 and 1, got 1.5"):
        swa_utils.get_ema_multi_avg_fn(1.5)
    with pytest.raises(ValueError, match="SWALR: anneal_strategy must be 'cos' or 'linear', got 'sin'"):
        swa_utils.SWALR(optim.SGD(model().parameters()), 0.1, anneal_strategy="sin")
