"""Transposed planes: numbers moved, none changed."""

from __future__ import annotations

import numpy as np

from nnlite.reference.checks import Array, check_array
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = ["transpose"]


@define_op
def transpose(x: Array) -> Computation[Array]:
    """Each plane transposed: ``y[n, b, a] = x[n, a, b]``.

    Of images ``(N, C, H*W)`` it makes rows of channels ``(N, H*W, C)``, and the other way about.

    Args:
        x: ``(N, A, B)``.

    Returns:
        y: ``(N, B, A)``.
    """
    x = check_array("transpose", "x", x, "(N, A, B)")
    yield Spec((x.shape[0], x.shape[2], x.shape[1]), x.dtype)
    return np.array(x.transpose(0, 2, 1), order="C")
