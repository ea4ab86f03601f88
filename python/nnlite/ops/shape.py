"""Ops that move no number: the same elements in another shape."""

from __future__ import annotations

from collections.abc import Sequence

from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record

__all__ = ["flatten", "reshape"]


def reshape(x: Tensor | Array, shape: int | Sequence[int]) -> Tensor:
    """The same elements in C order in another shape; one size may be -1."""
    x = as_tensor("reshape", "x", x)
    before, kernels = x.data.shape, ops(x.data)
    y = kernels.reshape(x.data, (shape,) if isinstance(shape, int) else tuple(shape))
    return record(y, lambda dy, needs: (kernels.reshape(dy, before),), x)


def flatten(x: Tensor | Array, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions ``start_dim`` to ``end_dim`` (inclusive) as one."""
    x = as_tensor("flatten", "x", x)
    shape = x.data.shape
    first, last = _dimension("start_dim", start_dim, shape), _dimension("end_dim", end_dim, shape)
    if first > last:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} in shape {shape}")
    size = 1
    for n in shape[first : last + 1]:
        size *= n
    return reshape(x, (*shape[:first], size, *shape[last + 1 :]))


def _dimension(name: str, value: int, shape: tuple[int, ...]) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"flatten: {name} must be an integer, got {value!r:.80}")
    ndim = max(len(shape), 1)
    if not -ndim <= value < ndim:
        raise ValueError(f"flatten: {name} is {value} but x has {len(shape)} dimensions, shape {shape}")
    return value % ndim
