"""Comparison of what two libraries make of the same call: results, exceptions, and the arrays' inner make-up."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

RTOL = 1e-12


def close(got: Any, want: Any, rtol: float = RTOL, scale: Any = 0.0, floor: float = 0.0) -> None:
    """Equal shapes; elements within ``rtol`` of ``|want| + scale``, or ``floor``; NaN and Inf in the same places."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
    with np.errstate(all="ignore"):
        both_nan = (got != got) & (want != want)
        off = np.abs(got.astype(float) - want.astype(float)) > np.maximum(
            rtol * (np.abs(want.astype(float)) + scale), floor
        )
        wrong = ~both_nan & (got != want) & (off | ~np.isfinite(got) | ~np.isfinite(want))
    assert not wrong.any(), (
        f"{wrong.sum()} of {wrong.size} elements differ: {got[wrong][:5]}, expected {want[wrong][:5]}"
    )


def equal(got: Any, want: Any) -> None:
    """The same values, NaN equal to itself, whatever the dtype."""
    np.testing.assert_array_equal(got, want)


def order(x: np.ndarray) -> list[int]:
    """The axes longer than one, from the outermost to the innermost in memory."""
    axes = [i for i in range(x.ndim) if x.shape[i] > 1]
    return sorted(axes, key=lambda i: -abs(x.strides[i]))


def outcome(action: Callable[[], Any]) -> Any:
    """What ``action`` returns, or the exception that it raises."""
    with np.errstate(all="ignore"):
        try:
            return action()
        except Exception as error:
            return error


def family(error: Exception) -> type:
    """The builtin class that a program would name in ``except``: NumPy's own exceptions derive from these."""
    return next(c for c in type(error).__mro__ if c.__module__ == "builtins")


def same(got: Any, want: Any, rtol: float = RTOL, scale: float = 0.0, floor: float = 0.0) -> None:
    """Two outcomes alike: exceptions of one class; containers item by item; arrays of one type, dtype and shape.

    ``scale`` is in units of the largest finite magnitude of the expected array, for sums that cancel; ``floor`` is for
    those that cancel to nothing.
    """
    if isinstance(want, Exception):
        assert isinstance(got, Exception), f"no exception, expected {want!r}; got {got!r}"
        assert family(got) is family(want), f"{got!r}, expected {want!r}"
        return
    if isinstance(got, Exception):
        raise AssertionError(f"raised {got!r}, expected {want!r}") from got
    if isinstance(want, dict):
        assert list(got) == list(want)
        for key in want:
            same(got[key], want[key], rtol, scale, floor)
    elif isinstance(want, (tuple, list)):
        assert type(got) is type(want)
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            same(g, w, rtol, scale, floor)
    elif isinstance(want, (np.ndarray, np.generic)):
        assert type(got) is type(want), f"{type(got)}, expected {type(want)}"
        assert got.dtype == want.dtype, f"dtype {got.dtype}, expected {want.dtype}"
        if want.dtype.kind != "f":
            equal(got, want)
            return
        finite = np.abs(want[np.isfinite(want)])
        if want.dtype == np.float32:
            rtol = max(rtol, 2e-6)
        close(got, want, rtol, scale * (finite.max() if finite.size else 0.0), floor)
    elif isinstance(want, (int, float, str, bool, type(None))):
        assert type(got) is type(want), f"{got!r}, expected {want!r}"
        if isinstance(want, float):
            close(got, want, rtol)
        else:
            assert got == want
    else:
        assert type(got).__name__ == type(want).__name__
        for name in vars(want):
            same(getattr(got, name), getattr(want, name), rtol, scale, floor)


def alike(
    libraries: Any, action: Callable[[Any], Any], rtol: float = RTOL, scale: float = 1.0, floor: float = 1e-14
) -> Any:
    """``action(library)`` has the same outcome with both, and leaves the global generator in the same state.

    Everything that ``action`` closes over must be made inside of it or left unchanged.
    """
    state = np.random.get_state()
    results = []
    for library in libraries:
        np.random.set_state(state)
        results.append((outcome(lambda library=library: action(library)), copy.deepcopy(np.random.get_state()[1:])))
    (want, want_state), (got, got_state) = results
    same(got, want, rtol, scale, floor)
    same(got_state, want_state)
    return want
