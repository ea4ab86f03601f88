"""Matrix product."""

from __future__ import annotations

from nnlite.reference import arith
from nnlite.reference.checks import Array, check, check_array, check_same_dtype, check_size
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = ["gemm"]


@define_op
def gemm(a: Array, b: Array, transpose_a: bool = False, transpose_b: bool = False) -> Computation[Array]:
    """Matrix product ``c[i, j] = Σ_k op(a)[i, k] * op(b)[k, j]``, where ``op`` transposes or not (numerics section 2).

    Args:
        a: ``(M, L)``, or ``(L, M)`` with ``transpose_a``.
        b: ``(L, N)``, or ``(N, L)`` with ``transpose_b``.

    Returns:
        ``(M, N)``.

    Raises:
        ValueError: the inner sizes differ.
    """
    a = check_array("gemm", "a", a, "(M, L)")
    b = check_array("gemm", "b", b, "(L, N)")
    check_same_dtype("gemm", a=a, b=b)
    a, b = a.T if transpose_a else a, b.T if transpose_b else b
    check(a.shape[1] == b.shape[0], f"gemm: op(a) has {a.shape[1]} columns but op(b) has {b.shape[0]} rows")
    yield Spec(check_size("gemm", (a.shape[0], b.shape[1])), a.dtype)
    return arith.dot(a, b)
