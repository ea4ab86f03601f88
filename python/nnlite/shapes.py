"""The backend that describes instead of computing: every op checks its arguments and says what its results look like.

Its arrays are :class:`Spec`\\ s, shape and dtype without elements, so a model runs on it without arithmetic and without
memory: ``model(nl.shapes.Spec((64, 1, 28, 28), "float32"))``. An op that is given a ``Spec`` is always this backend's;
with ``nl.backend("shapes")`` those of NumPy arrays are too, and whatever is made then (weights, say) is a ``Spec``.
Where elements decide, such as labels in range, nothing is checked: there are none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from . import reference
from .backend import load_device
from .reference.signature import Spec as _Spec
from .reference.signature import signature

__all__ = ["Spec"]

_DEVICE = "shapes"


class Spec(_Spec):
    """What an array looks like: shape and dtype, no elements.

    Args:
        shape: a tuple of sizes.
        dtype: anything that NumPy takes for a dtype.
    """

    __slots__ = ()

    device_index = 0

    def reshape(self, *shape: Any) -> Spec:
        """With as many elements in another shape; one size may be -1."""
        described = super().reshape(*shape)
        return Spec(described.shape, described.dtype)

    def copy(self) -> Spec:
        """Itself: there is nothing to copy."""
        return self

    def assign(self, value: Any) -> None:
        """Take over the elements of ``value``, of which there are none."""

    def shares_memory(self, other: Any) -> bool:
        """Without memory, none is shared."""
        return False

    def numpy(self) -> npt.NDArray[Any]:
        """There are no elements: a ``RuntimeError``."""
        raise RuntimeError(f"shapes: an array of shape {self.shape} was described, not computed; it has no elements")

    item = numpy

    def __reduce__(self) -> tuple[Any, ...]:
        return Spec, (self.shape, self.dtype)


Array = Spec


def _public(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_public(v) for v in value)
    return Spec(value.shape, value.dtype) if isinstance(value, _Spec) else value


def _describe(name: str) -> Callable[..., Any]:
    op = getattr(reference, name)

    @functools.wraps(op)
    def describe(*args: Any, **kwargs: Any) -> Any:
        return _public(signature(op, *args, **kwargs))

    describe.__module__ = __name__
    return describe


for _name in reference.__all__:
    globals()[_name] = _describe(_name)


# What nnlite.arrays asks of a module whose arrays are not NumPy's.


def _device_count() -> int:
    return 1


def _check_device(index: int) -> None:
    if index:
        raise ValueError(f"device 'shapes:{index}' does not exist; there is 1")


def _from_numpy(x: npt.NDArray[Any], index: int) -> Spec:
    return Spec(x.shape, x.dtype)


def _zeros(shape: tuple[int, ...], dtype: npt.DTypeLike, index: int) -> Spec:
    return Spec(shape, dtype)


def _take(x: Any, index: Any) -> Spec:
    return Spec((len(index), *x.shape[1:]), x.dtype)


def _argmax(x: Any) -> Spec:
    return Spec(x.shape[:1], np.int64)


def _count_equal(a: Any, b: Any) -> Spec:
    return Spec((), np.int64)


def _synchronize() -> None:
    return


def _check_finite(loss: Any, where: str, step: int) -> None:
    return


load_device(_DEVICE)
