"""What an epoch trains on: arrays, a DataLoader, or any iterable of batches ``(x, t)``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import arrays, files, random
from ..arrays import Array, what_is

Pair = tuple[Array, Array]


class ArrayBatches:
    """Samples in the specified order (docs/numerics.md, section 12): one draw of the stream *shuffling* per epoch."""

    name = "x"

    def __init__(self, x: Array, t: Array, batch_size: int, drop_last: bool) -> None:
        self.x, self.t = x, t
        self._size, self._drop_last = batch_size, drop_last

    def put(self, like: Array) -> None:
        """Move the data to where ``like`` is, once."""
        self.x, self.t = arrays.put(self.x, like), arrays.put(self.t, like)

    def __len__(self) -> int:
        n = len(self.x)
        return n // self._size if self._drop_last else -(-n // self._size)

    def epoch(self) -> Iterator[Pair]:
        """The batches of the next epoch. The order is drawn at once."""
        order = random.permutation(len(self.x), stream=random.SHUFFLING, like=self.x)
        return (self._take(order[i * self._size : (i + 1) * self._size]) for i in range(len(self)))

    def _take(self, index: Array) -> Pair:
        return arrays.take(self.x, index), arrays.take(self.t, index)

    def facts(self) -> dict[str, Any]:
        """What must be the same for a fit that goes on: sizes and hashes, fit for JSON."""
        facts = {"batch_size": self._size, "drop_last": self._drop_last}
        hashes = {name: files.tensor_sha256(name, arrays.to_numpy(x)) for name, x in (("x", self.x), ("t", self.t))}
        return {**facts, **hashes}

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the order is of nnlite's own generator."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to continue."""


class LoaderBatches:
    """The batches of an iterable: one pass per epoch, or ``steps`` of them from an iterator that goes on."""

    def __init__(self, name: str, source: Any, steps: int | None) -> None:
        self.name = name
        self._source, self._steps = source, steps
        if not hasattr(source, "__iter__") or isinstance(source, (str, bytes, dict)):
            raise TypeError(
                f"fit: {name} must be a numpy.ndarray, or a DataLoader or an iterable of batches (x, t), got "
                f"{what_is(source)}"
            )
        self._once = iter(source) if steps is not None or iter(source) is source else None
        self._like: Array | None = None

    @property
    def goes_on(self) -> bool:
        """Whether an epoch takes up where the one before ended."""
        return self._once is not None

    def put(self, like: Array) -> None:
        """Move each batch to where ``like`` is."""
        self._like = like

    def __len__(self) -> int:
        if self._steps is not None:
            return self._steps
        return len(self._source) if hasattr(self._source, "__len__") else 0

    def epoch(self) -> Iterator[Pair]:
        """The batches of the next epoch."""
        source = iter(self._source) if self._once is None else self._once
        return map(self._pair, itertools.islice(source, self._steps))

    def _pair(self, batch: Any) -> Pair:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            shown = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else what_is(batch)
            raise TypeError(f"fit: a batch of {self.name} must be a pair (x, t), got {shown}")
        for part, value in zip(("x", "t"), batch, strict=True):
            if not arrays.is_array(value):
                raise TypeError(f"fit: {part} of a batch of {self.name} must be a numpy.ndarray, got {what_is(value)}")
        x, t = batch
        if x.ndim == 0 or t.ndim == 0 or len(x) != len(t) or not len(x):
            raise ValueError(
                f"fit: a batch of {self.name} must hold as many samples as targets, at least one, got shapes "
                f"{x.shape} and {t.shape}"
            )
        return (x, t) if self._like is None else (arrays.put(x, self._like), arrays.put(t, self._like))

    def facts(self) -> dict[str, Any]:
        """What must be the same for a fit that goes on: sizes, and hashes where they can be known."""
        dataset: Any = getattr(self._source, "dataset", None)
        facts: dict[str, Any] = {"batches": len(self)}
        if hasattr(dataset, "__len__"):
            facts["samples"] = len(dataset)
        for i, x in enumerate(getattr(dataset, "tensors", ())):
            if isinstance(x, np.ndarray):
                facts[f"tensors[{i}]"] = files.tensor_sha256(str(i), x)
        return facts

    def state_dict(self) -> dict[str, Any]:
        """Of the loader, if it has any."""
        return dict(self._source.state_dict()) if hasattr(self._source, "state_dict") else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue the loader."""
        if state:
            self._source.load_state_dict(state)


Batches = ArrayBatches | LoaderBatches
