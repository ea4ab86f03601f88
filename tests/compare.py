"""Comparison of one op on one backend with the reference, as every ``test_<family>.py`` does it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from nnlite import reference, shapes
from nnlite.reference import elementwise
from nnlite.shapes import Spec
from support import assert_same_bits, misaligned, rng, strided

Array = npt.NDArray[Any]
DTYPES = [np.float32, np.float64]

# An op with the arguments that it must refuse: name, arguments, exception, message.
Refusal = tuple[str, Callable[[], tuple[Any, ...]], type[Exception], str]

# The elementwise ops with their parameters; and, of those that are a function and its gradient, what the latter takes.
ELEMENTWISE = {op: tuple(inspect.signature(getattr(reference, op)).parameters) for op in elementwise.__all__}
FUNCTIONS = {op.removesuffix("_backward"): p[1] for op, p in ELEMENTWISE.items() if op.endswith("_backward")}


def numbers(shape: int | tuple[int, ...], dtype: npt.DTypeLike, seed: int = 0) -> Array:
    """Normally distributed test data."""
    return np.asarray(rng(seed).standard_normal(shape), dtype)


def specials(shape: int | tuple[int, ...], dtype: npt.DTypeLike, seed: int = 0) -> Array:
    """Test data of which a third is ±0, ±Inf, NaN, subnormal, tiny or huge."""
    x = numbers(shape, dtype, seed)
    info = np.finfo(x.dtype)
    awkward = [
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        np.nan,
        info.smallest_subnormal,
        -info.tiny / 4,
        info.tiny,
        info.max,
        1.0,
        -1.0,
    ]
    random = rng(seed + 1000)
    return np.where(random.random(x.shape) < 1 / 3, random.choice(np.array(awkward, x.dtype), x.shape), x)


def zeros_and_ties(shape: int | tuple[int, ...], dtype: npt.DTypeLike, seed: int = 0) -> Array:
    """Test data with few different values, so that maxima are tied and sums are ±0."""
    return rng(seed).choice(np.array([-1.0, -0.0, 0.0, 1.0], dtype), shape)


def full(*shape: int, dtype: npt.DTypeLike = np.float32) -> Array:
    """An array for refusals, where values do not matter."""
    return np.ones(shape, dtype)


def assert_described(op: str, want: Any, *args: Any, **options: Any) -> None:
    """The signature of ``op`` says what the results look like, for arrays and for their descriptions alike."""
    results = want if isinstance(want, tuple) else (want,)
    described = [Spec(x.shape, x.dtype) if isinstance(x, np.ndarray) else x for x in args]
    for given in (args, described):
        got = getattr(shapes, op)(*given, **options)
        got = got if isinstance(got, tuple) else (got,)
        assert [(y.shape, y.dtype) for y in got] == [(y.shape, y.dtype) for y in results]


def assert_op(backend: ModuleType, op: str, *args: Any, **options: Any) -> Any:
    """``op`` on ``backend`` has the bits of the reference for any layout of its inputs, and leaves them as they are.

    Returns what the reference returned.
    """
    want = getattr(reference, op)(*args, **options)
    if backend is reference:
        assert_described(op, want, *args, **options)
    for layout in (np.copy, strided, misaligned):
        inputs = [layout(x) if isinstance(x, np.ndarray) and x.ndim else x for x in args]
        got = getattr(backend, op)(*inputs, **options)
        assert_same_bits(got, want)
        for x, before in zip(inputs, args, strict=True):
            if isinstance(x, np.ndarray):
                assert_same_bits(np.asarray(x), before)
        for y in got if isinstance(got, tuple) else (got,):
            assert y.flags.carray
            assert not any(np.may_share_memory(y, x) for x in inputs if isinstance(x, np.ndarray))
    return want
