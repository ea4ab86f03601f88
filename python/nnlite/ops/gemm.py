"""The product of two matrices."""

from __future__ import annotations

from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record

__all__ = ["gemm"]


def gemm(a: Tensor | Array, b: Tensor | Array, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """The matrix product ``op(a) @ op(b)`` of two matrices, where ``op`` transposes if asked to."""
    a, b = as_tensor("gemm", "a", a), as_tensor("gemm", "b", b)
    kernels = ops(a.data)
    left, right = a.data, b.data

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        da = db = None
        if needs[0]:
            da = (
                kernels.gemm(right, dy, transpose_b, True)
                if transpose_a
                else kernels.gemm(dy, right, False, not transpose_b)
            )
        if needs[1]:
            db = (
                kernels.gemm(dy, left, True, transpose_a)
                if transpose_b
                else kernels.gemm(left, dy, not transpose_a, False)
            )
        return da, db

    return record(kernels.gemm(left, right, transpose_a, transpose_b), pullback, a, b)
