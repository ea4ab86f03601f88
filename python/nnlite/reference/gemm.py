"""Matrix products."""

from __future__ import annotations

import numpy as np

from nnlite.reference import arith
from nnlite.reference.checks import Array, check, check_array, check_same_dtype, check_size
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = ["bmm", "gemm"]


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


@define_op
def bmm(a: Array, b: Array, transpose_a: bool = False, transpose_b: bool = False) -> Computation[Array]:
    """Matrix products, one for each pair: :func:`gemm` of ``a[i]`` and ``b[i]``.

    Args:
        a: ``(B, M, L)``, or ``(B, L, M)`` with ``transpose_a``.
        b: ``(B, L, N)``, or ``(B, N, L)`` with ``transpose_b``.

    Returns:
        ``(B, M, N)``.

    Raises:
        ValueError: the numbers of matrices or the inner sizes differ.
    """
    a = check_array("bmm", "a", a, "(B, M, L)")
    b = check_array("bmm", "b", b, "(B, L, N)")
    check_same_dtype("bmm", a=a, b=b)
    check(a.shape[0] == b.shape[0], f"bmm: a holds {a.shape[0]} matrices but b holds {b.shape[0]}")
    rows, left = a.shape[1:][::-1] if transpose_a else a.shape[1:]
    right, columns = b.shape[1:][::-1] if transpose_b else b.shape[1:]
    check(left == right, f"bmm: op(a) has {left} columns but op(b) has {right} rows")
    yield Spec(check_size("bmm", (a.shape[0], rows, columns)), a.dtype)
    products = [arith.dot(x.T if transpose_a else x, y.T if transpose_b else y) for x, y in zip(a, b, strict=True)]
    return np.stack(products)
