"""Transposed planes: numbers moved, none changed."""

from __future__ import annotations

import numpy as np

from nnlite.reference.checks import Array, check_array

__all__ = ["transpose"]


def transpose(x: Array) -> Array:
    """Each plane transposed: ``y[n, b, a] = x[n, a, b]``.

    Of images ``(N, C, H*W)`` it makes rows of channels ``(N, H*W, C)``, and the other way about.

    Args:
        x: ``(N, A, B)``.

    Returns:
        y: ``(N, B, A)``.
    """
    return np.array(check_array("transpose", "x", x, "(N, A, B)").transpose(0, 2, 1), order="C")
