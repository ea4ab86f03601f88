"""Data sets as sequences of samples: the classes have PyTorch's names."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Array, what_is

Index = npt.NDArray[np.int64]


class Dataset:
    """Base of data sets: a subclass defines ``__len__`` and ``__getitem__(index)``, which gives one sample.

    Any object with these two methods serves; a sample is an array, a number, or a tuple or dict of such. Where the
    samples are rows of arrays, :meth:`take` gives a whole batch at once.
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__()")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__()")

    def take(self, index: Index) -> Any | None:
        """The samples ``index`` ``(B,)`` as one batch, collated; ``None`` where they must be asked for one by one."""
        return None

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset([self, other])


class TensorDataset(Dataset):
    """Arrays of equal first size: sample ``i`` is ``(arrays[0][i], arrays[1][i], …)``, a batch the arrays' rows.

    Args:
        arrays: one or more ``numpy.ndarray`` ``(N, …)``.

    Raises:
        TypeError: something is no array.
        ValueError: an array has no axes, or another number of samples than the first.
    """

    def __init__(self, *arrays: Array) -> None:
        if not arrays:
            raise TypeError("TensorDataset: arrays must be given, as in TensorDataset(x, t); got none")
        for i, x in enumerate(arrays):
            if not isinstance(x, np.ndarray):
                raise TypeError(
                    f"TensorDataset: arrays[{i}] must be a numpy.ndarray, got {what_is(x, 'write np.asarray(…)')}"
                )
            if x.ndim == 0:
                raise ValueError(f"TensorDataset: arrays[{i}] must hold samples along axis 0, got shape ()")
            if len(x) != len(arrays[0]):
                raise ValueError(
                    f"TensorDataset: arrays[0] has {len(arrays[0])} samples but arrays[{i}] has {len(x)}; "
                    "give arrays of the same samples"
                )
        self.tensors = arrays

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return tuple(x[index] for x in self.tensors)

    def take(self, index: Index) -> tuple[Array, ...]:
        """One array ``(B, …)`` of each of the data set's, by one indexing each."""
        return tuple(x[index] for x in self.tensors)


class Subset(Dataset):
    """The samples ``indices`` of another data set, in that order.

    Args:
        dataset: what they are samples of.
        indices: integers from 0 to ``len(dataset) - 1``.

    Raises:
        TypeError: an index is no integer.
        IndexError: an index is none of the data set's.
    """

    def __init__(self, dataset: Any, indices: Iterable[int]) -> None:
        check_dataset("Subset", dataset)
        self.dataset = dataset
        self.indices = index_array("Subset: indices", indices, len(dataset))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def take(self, index: Index) -> Any | None:
        """As of the data set that this is a part of."""
        return take(self.dataset, self.indices[index])


class ConcatDataset(Dataset):
    """Several data sets, one after another.

    Args:
        datasets: at least one.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets: list[Any] = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: datasets must hold at least one data set, got none")
        for dataset in self.datasets:
            check_dataset("ConcatDataset", dataset)
        self.cumulative_sizes: list[int] = np.cumsum([len(d) for d in self.datasets], dtype=np.int64).tolist()

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        n = len(self)
        i = operator.index(index)
        if not -n <= i < n:
            raise IndexError(f"ConcatDataset: index {i}, but there are {n} samples")
        i %= n
        which = int(np.searchsorted(self.cumulative_sizes, i, side="right"))
        return self.datasets[which][i - (self.cumulative_sizes[which - 1] if which else 0)]

    def take(self, index: Index) -> Any | None:
        """One batch of all, where each data set gives tuples of arrays that can stand in one array."""
        which = np.searchsorted(self.cumulative_sizes, index, side="right")
        starts = np.array([0, *self.cumulative_sizes[:-1]])
        parts, places = [], []
        for i in np.unique(which):
            place = np.flatnonzero(which == i)
            part = take(self.datasets[i], index[place] - starts[i])
            if not isinstance(part, tuple):
                return None
            parts.append(part)
            places.append(place)
        if len({tuple((x.dtype, x.shape[1:]) for x in part) for part in parts}) != 1:
            return None
        back = np.argsort(np.concatenate(places), kind="stable")
        return tuple(np.concatenate(columns)[back] for columns in zip(*parts, strict=True))


def take(dataset: Any, index: Index) -> Any | None:
    """The samples ``index`` as one batch, where ``dataset`` can give it."""
    return dataset.take(index) if isinstance(dataset, Dataset) else None


def check_dataset(what: str, dataset: Any) -> None:
    """Refuse what has no samples by number."""
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise TypeError(
            f"{what}: dataset must have __len__ and __getitem__, as TensorDataset(x, t) has, got {what_is(dataset)}"
        )


def index_array(what: str, indices: Iterable[int], n: int | None) -> Index:
    """``indices`` as int64 ``(B,)``, each from 0 to ``n - 1``."""
    array = np.asarray(indices if isinstance(indices, (np.ndarray, Sequence)) else list(indices))
    if array.ndim != 1:
        raise ValueError(f"{what} must be one row of integers, got shape {array.shape}")
    if not len(array):
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        advice = "; write np.flatnonzero(mask)" if array.dtype.kind == "b" else ""
        raise TypeError(f"{what} must be integers, got {array.dtype}{advice}")
    if n is not None:
        wrong = np.flatnonzero((array < 0) | (array >= n))
        if len(wrong):
            raise IndexError(f"{what}[{wrong[0]}] is {array[wrong[0]]}, but the data set has the samples 0 to {n - 1}")
    return array.astype(np.int64)
