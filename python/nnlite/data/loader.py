"""Batches of a data set, in an order that is specified, made by threads."""

from __future__ import annotations

import collections
import concurrent.futures
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from .. import arguments, random
from ..arrays import what_is
from ..tensor import Tensor
from .dataset import Index, check_dataset, index_array, take
from .sampler import BatchSampler, RandomSampler, SequentialSampler, check_generator
from .transforms.base import Keys, Source, Transform


class DataLoader:
    """Iterates over the batches of a data set. The batches depend on data, seed and epoch alone, never on threads.

    With ``shuffle`` each pass takes the next draw of the stream *shuffling*: ``DataLoader(TensorDataset(x, t),
    batch_size, shuffle=True, seed=s)`` gives in its pass ``e`` the batches that ``Trainer.fit(x, t, seed=s)`` takes in
    epoch ``e`` (docs/numerics.md, section 12).

    Args:
        dataset: has ``__len__`` and ``__getitem__``. A :class:`TensorDataset` gives a batch by one indexing per array.
        batch_size: samples per batch, at least 1.
        shuffle: another order in each pass.
        sampler: gives the order instead of ``shuffle``: an iterable of sample numbers with a length.
        batch_sampler: gives whole batches of sample numbers instead of ``batch_size``, ``shuffle``, ``sampler`` and
            ``drop_last``.
        num_workers: threads that make batches ahead; 0: made when they are asked for. More than one help where
            samples are read or decoded, which lets go of Python's lock.
        collate_fn: makes a batch of a list of samples; :func:`default_collate` by default.
        drop_last: leave a smaller last batch out.
        prefetch_factor: batches that each worker makes ahead.
        seed: of the order, from 0 to 2^64 - 1, with a generator of the loader's own; by default nnlite's own draws.
        generator: instead of ``seed``.
        transform: one of :mod:`nnlite.data.transforms`, or a function of a batch; it is given the first part of each
            batch, and a transform that mixes targets also the second. Its numbers are of seed, epoch (the pass's draw
            of the stream *augmentation*) and the samples' numbers.

    Raises:
        TypeError, ValueError: wrong arguments, at once. What a data set raises comes out of the iteration as it is,
            with a note that names the sample.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        *,
        prefetch_factor: int = 2,
        seed: int | None = None,
        generator: random.Generator | None = None,
        transform: Transform | Callable[[Any], Any] | None = None,
    ) -> None:
        check_dataset("DataLoader", dataset)
        self.dataset = dataset
        self.num_workers = arguments.size("DataLoader: num_workers", num_workers, 0)
        self.prefetch_factor = arguments.size("DataLoader: prefetch_factor", prefetch_factor)
        if seed is not None and generator is not None:
            raise ValueError("DataLoader: seed and generator exclude one another; give one of them")
        self.generator = check_generator("DataLoader", generator) if seed is None else random.Generator(seed)
        shuffle = arguments.flag("DataLoader: shuffle", shuffle)
        if batch_sampler is not None:
            given = {
                "batch_size": batch_size != 1,
                "shuffle": shuffle,
                "sampler": sampler is not None,
                "drop_last": drop_last,
            }
            for name, is_given in given.items():
                if is_given:
                    raise ValueError(f"DataLoader: batch_sampler decides the batches; leave {name} out")
            self.batch_sampler: Any = batch_sampler
        else:
            if sampler is not None and shuffle:
                raise ValueError("DataLoader: sampler decides the order; leave shuffle out")
            if sampler is None:
                sampler = RandomSampler(dataset, generator=self.generator) if shuffle else SequentialSampler(dataset)
            arguments.size("DataLoader: batch_size", batch_size)
            arguments.flag("DataLoader: drop_last", drop_last)
            self.batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        if collate_fn is not None and not callable(collate_fn):
            raise TypeError(f"DataLoader: collate_fn must be a function of a list, got {type(collate_fn).__name__}")
        self.collate_fn = collate_fn
        if transform is not None and (isinstance(transform, type) or not callable(transform)):
            shown = f"the class {transform.__name__}" if isinstance(transform, type) else type(transform).__name__
            raise TypeError(f"DataLoader: transform must be such as transforms.RandomHorizontalFlip(), got {shown}")
        self.transform = transform

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def set_epoch(self, epoch: int) -> None:
        """Let the next pass be pass ``epoch``, counted from 0, of this loader's generator (or of nnlite's)."""
        owner = self.generator or random.generator
        state = owner.get_state()
        for stream in (random.SHUFFLING, random.AUGMENTATION):
            state["draws"][stream] = arguments.size("set_epoch: epoch", epoch, 0)
        owner.set_state(state)

    def state_dict(self) -> dict[str, Any]:
        """Seed and draws of the loader's own generator, fit for JSON; empty where it takes nnlite's draws."""
        return {} if self.generator is None else {"generator": self.generator.get_state()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue with the pass that would have come after :meth:`state_dict`."""
        if (self.generator is None) != ("generator" not in state_dict):
            raise ValueError("DataLoader: load_state_dict: one of both loaders has a seed, the other has none")
        if self.generator is not None:
            self.generator.set_state(state_dict["generator"])

    def __iter__(self) -> Iterator[Any]:
        own = isinstance(self.batch_sampler, BatchSampler)
        batches = self.batch_sampler.batches() if own else self.batch_sampler
        seed, epoch = 0, 0
        if isinstance(self.transform, Transform):
            owner = self.generator or random.generator
            with owner.draw(random.AUGMENTATION) as epoch:
                seed = owner.seed
        return self._iterate(iter(batches), seed, epoch)

    def _iterate(self, batches: Iterator[Any], seed: int, epoch: int) -> Iterator[Any]:
        if not self.num_workers:
            for batch in batches:
                yield self._make(batch, seed, epoch)
            return
        ahead = self.num_workers * self.prefetch_factor
        waiting: collections.deque[concurrent.futures.Future[Any]] = collections.deque()
        pool = concurrent.futures.ThreadPoolExecutor(self.num_workers, "nnlite-loader")
        try:
            for batch in batches:
                waiting.append(pool.submit(self._make, batch, seed, epoch))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _make(self, numbers: Any, seed: int, epoch: int) -> Any:
        index = index_array("DataLoader: a batch of samples", numbers, len(self.dataset))
        batch = self._fetch(index)
        if self.transform is None:
            return batch
        parts = list(batch) if isinstance(batch, (tuple, list)) else [batch]
        if not parts or not isinstance(parts[0], np.ndarray):
            raise TypeError(
                f"DataLoader: transform needs batches that are an array or start with one, got {what_is(batch)}; "
                "transform in collate_fn"
            )
        if isinstance(self.transform, Transform):
            source = Source(len(self.dataset), lambda which: tuple(self._fetch(which))[:2])
            target = parts[1] if len(parts) > 1 else None
            parts[:2] = self.transform.apply(parts[0], target, Keys(seed, epoch, index, source))[: len(parts)]
        else:
            parts[0] = self.transform(parts[0])
        return tuple(parts) if isinstance(batch, (tuple, list)) else parts[0]

    def _fetch(self, index: Index) -> Any:
        if self.collate_fn is None:
            whole = take(self.dataset, index)
            if whole is not None:
                return whole
        samples = [_sample(self.dataset, int(i)) for i in index]
        return _collate(samples, index, "") if self.collate_fn is None else self.collate_fn(samples)


def default_collate(samples: list[Any]) -> Any:
    """One batch of a list of samples, as PyTorch makes it.

    Arrays are stacked along a new first axis; numbers become an array (int64, float64, bool, or their NumPy type);
    tuples, lists and dicts are collated part by part; texts stay a list.

    Raises:
        ValueError: shapes, lengths or keys differ, or there are no samples.
        TypeError: a sample is something else.
    """
    return _collate(samples, None, "")


def _sample(dataset: Any, i: int) -> Any:
    try:
        return dataset[i]
    except Exception as error:
        error.add_note(f"DataLoader: in sample {i} of the data set")
        raise


def _collate(samples: list[Any], index: Index | None, part: str) -> Any:
    if not samples:
        raise ValueError("default_collate: samples must hold at least one sample, got none")

    def name(i: int) -> str:
        return f"sample {i if index is None else index[i]}{part}"

    first = samples[0]
    for i, sample in enumerate(samples):
        if type(sample) is not type(first) and not (_is_number(sample) and _is_number(first)):
            raise TypeError(
                f"default_collate: {name(0)} is {what_is(first)} but {name(i)} is {what_is(sample)}; "
                "give samples of one type, or a collate_fn"
            )
    if isinstance(first, np.ndarray):
        for i, sample in enumerate(samples):
            if sample.shape != first.shape or sample.dtype != first.dtype:
                raise ValueError(
                    f"default_collate: {name(0)} is {first.dtype} of shape {first.shape} but {name(i)} is "
                    f"{sample.dtype} of shape {sample.shape}; make them equal, or give a collate_fn"
                )
        return np.stack(samples)
    if _is_number(first):
        return np.array(samples)
    if isinstance(first, (str, bytes)):
        return list(samples)
    if isinstance(first, Mapping):
        for i, sample in enumerate(samples):
            if sample.keys() != first.keys():
                raise ValueError(f"default_collate: {name(0)} has {list(first)} but {name(i)} has {list(sample)}")
        return {key: _collate([s[key] for s in samples], index, f"{part}[{key!r}]") for key in first}
    if isinstance(first, (tuple, list)):
        for i, sample in enumerate(samples):
            if len(sample) != len(first):
                raise ValueError(f"default_collate: {name(0)} has {len(first)} parts but {name(i)} has {len(sample)}")
        parts = [_collate(list(column), index, f"{part}[{j}]") for j, column in enumerate(zip(*samples, strict=True))]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    advice = "write .data" if isinstance(first, Tensor) else "give a collate_fn"
    raise TypeError(f"default_collate: {name(0)} must be an array or a number, got {what_is(first, advice)}")


def _is_number(x: object) -> bool:
    return isinstance(x, (numbers.Number, np.generic)) and not isinstance(x, (str, bytes))
