"""The rounding mode of the thread.

Kernels set their own; what Python itself computes, such as Adam's corrections or the bound of an initialiser, is right
only where the processor rounds to nearest.
"""

from __future__ import annotations

_ONE, _TINY = 1.0, 2.0**-60  # variables: an expression of constants is computed by the compiler


def require_nearest(what: str) -> None:
    """Raise ``RuntimeError`` unless this thread rounds to nearest."""
    if _ONE + _TINY != _ONE or _ONE - _TINY != _ONE:
        raise RuntimeError(
            f"{what}: this thread does not round to nearest, so results would have other bits; a library has called "
            "fesetround: set it back to FE_TONEAREST"
        )
