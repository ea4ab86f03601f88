"""The order of samples: PyTorch's samplers, on the specified generator (docs/numerics.md, sections 10 and 12).

Each sampler with random order takes one draw of the stream *shuffling* whenever it is iterated over: of its
``generator``, a :class:`nnlite.random.Generator`, or of nnlite's own, which ``nl.manual_seed`` sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any

import numpy as np

from .. import arguments, random
from ..arrays import Array
from ..backend import ops
from ..reference import arith
from .dataset import Index, index_array


class Sampler:
    """Base of samplers: a subclass defines :meth:`indices`, or ``__iter__`` and ``__len__``."""

    def indices(self) -> Index:
        """The numbers of the samples of one pass, in order: int64 ``(B,)``. Each call is another pass."""
        raise NotImplementedError(f"{type(self).__name__} does not define indices()")

    def __iter__(self) -> Iterator[Any]:
        return iter(self.indices().tolist())


class SequentialSampler(Sampler):
    """``0, 1, …, len(data_source) - 1``."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def indices(self) -> Index:
        """``(N,)``."""
        return np.arange(len(self.data_source), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """Samples in random order: a permutation, or independent draws.

    Args:
        data_source: something with a length ``N``.
        replacement: whether a sample may come twice: element ``i`` is ``floor(u_i * N)`` with the draw's float64 ``u``.
        num_samples: how many; ``N`` by default. Without replacement, more than ``N`` take further permutations.
        generator: whose draws these are; nnlite's own by default.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: random.Generator | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = arguments.flag("RandomSampler: replacement", replacement)
        self._num = None if num_samples is None else arguments.size("RandomSampler: num_samples", num_samples)
        self.generator = check_generator("RandomSampler", generator)

    def indices(self) -> Index:
        """``(num_samples,)``."""
        n, wanted = len(self.data_source), len(self)
        if not n:
            if wanted:
                raise ValueError(f"RandomSampler: num_samples is {wanted}, but there are no samples to draw from")
            return np.empty(0, np.int64)
        if self.replacement:
            return np.minimum((_uniform(wanted, self.generator) * n).astype(np.int64), n - 1)
        passes = [_permutation(n, self.generator) for _ in range(-(-wanted // n))]
        return passes[0] if wanted == n else np.concatenate(passes)[:wanted]

    def __len__(self) -> int:
        return len(self.data_source) if self._num is None else self._num


class SubsetRandomSampler(Sampler):
    """The given numbers in random order.

    Args:
        indices: the samples, integers of at least 0.
        generator: whose draws these are; nnlite's own by default.
    """

    def __init__(self, indices: Iterable[int], generator: random.Generator | None = None) -> None:
        self._indices = index_array("SubsetRandomSampler: indices", indices, None)
        self.generator = check_generator("SubsetRandomSampler", generator)

    def indices(self) -> Index:
        """``(B,)``."""
        return self._indices[_permutation(len(self._indices), self.generator)]

    def __len__(self) -> int:
        return len(self._indices)


class WeightedRandomSampler(Sampler):
    """Samples drawn with probabilities in proportion to ``weights``.

    With replacement, each is the first whose cumulative weight exceeds ``u * total``. Without, the ``num_samples``
    smallest of ``-log(1 - u_i) / weights_i``, in ascending order (Efraimidis and Spirakis 2006).

    Args:
        weights: one per sample, finite and of at least 0, not all 0; they need not sum to 1.
        num_samples: how many.
        replacement: whether a sample may come twice.
        generator: whose draws these are; nnlite's own by default.
    """

    def __init__(
        self,
        weights: Iterable[float],
        num_samples: int,
        replacement: bool = True,
        generator: random.Generator | None = None,
    ) -> None:
        self.weights = np.asarray(weights if isinstance(weights, np.ndarray) else list(weights), np.float64)
        name = "WeightedRandomSampler"
        if self.weights.ndim != 1:
            raise ValueError(f"{name}: weights must be one row of numbers, got shape {self.weights.shape}")
        bad = np.flatnonzero(~(np.isfinite(self.weights) & (self.weights >= 0)))
        if len(bad):
            raise ValueError(
                f"{name}: weights[{bad[0]}] must be a finite number of at least 0, got {self.weights[bad[0]]}"
            )
        self.num_samples = arguments.size(f"{name}: num_samples", num_samples)
        self.replacement = arguments.flag(f"{name}: replacement", replacement)
        positive = int(np.count_nonzero(self.weights))
        if not positive or (not self.replacement and self.num_samples > positive):
            raise ValueError(
                f"{name}: num_samples is {self.num_samples}, but {positive} weights are above 0; "
                "give more weights, or draw with replacement=True"
                if positive
                else f"{name}: weights must not all be 0, got {len(self.weights)} zeros"
            )
        self.generator = check_generator(name, generator)

    def indices(self) -> Index:
        """``(num_samples,)``."""
        if self.replacement:
            cumulative = np.cumsum(self.weights)
            u = _uniform(self.num_samples, self.generator) * cumulative[-1]
            last = np.flatnonzero(self.weights)[-1]  # u * total may round to total
            drawn: Index = np.minimum(np.searchsorted(cumulative, u, side="right"), last).astype(np.int64)
            return drawn
        exponential = -arith.log(1.0 - _uniform(len(self.weights), self.generator))
        keys = np.full(len(self.weights), np.inf)
        np.divide(exponential, self.weights, out=keys, where=self.weights > 0)
        order: Index = np.argsort(keys, kind="stable")[: self.num_samples].astype(np.int64)
        return order

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler:
    """The numbers of another sampler in groups of ``batch_size``.

    Args:
        sampler: gives the numbers; any iterable of integers.
        batch_size: how many a batch has, at least 1.
        drop_last: leave a smaller last batch out.
    """

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool = False) -> None:
        self.sampler = sampler
        self.batch_size = arguments.size("BatchSampler: batch_size", batch_size)
        self.drop_last = arguments.flag("BatchSampler: drop_last", drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        return (batch.tolist() for batch in self.batches())

    def batches(self) -> list[Index]:
        """One pass, as int64 arrays."""
        own = isinstance(self.sampler, Sampler) and type(self.sampler).indices is not Sampler.indices
        order: Index = self.sampler.indices() if own else index_array("BatchSampler: sampler", self.sampler, None)
        end = len(order) - self.batch_size + 1 if self.drop_last else len(order)
        return [order[start : start + self.batch_size] for start in range(0, end, self.batch_size)]

    def __len__(self) -> int:
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


def check_generator(what: str, generator: Any) -> random.Generator | None:
    """``generator`` if it is one of nnlite's, or ``None``."""
    if generator is not None and not isinstance(generator, random.Generator):
        raise TypeError(
            f"{what}: generator must be a nnlite.random.Generator, got {type(generator).__name__}; "
            "write nl.random.Generator(seed)"
        )
    return generator


def _permutation(n: int, generator: random.Generator | None) -> Index:
    owner = generator or random.generator
    with owner.draw(random.SHUFFLING) as draw:
        order: Index = ops().random_permutation(n, owner.seed, draw, random.SHUFFLING)
    return order


def _uniform(n: int, generator: random.Generator | None) -> Array:
    owner = generator or random.generator
    with owner.draw(random.SHUFFLING) as draw:
        u: Array = ops().random_uniform((n,), 0.0, 1.0, "float64", owner.seed, draw, random.SHUFFLING)
    return u
