"""Maximum and average pooling: bit for bit on every backend."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, Refusal, assert_op, full, numbers, specials, zeros_and_ties
from support import assert_same_bits

# x, kernel_size, stride, padding
CASES: list[tuple[tuple[int, ...], Any, Any, Any]] = [
    ((1, 1, 1, 1), 1, None, 0),
    ((2, 3, 6, 8), 2, None, 0),
    ((2, 3, 7, 9), 2, None, 0),  # elements in no window
    ((0, 3, 6, 6), 2, None, 0),
    ((2, 0, 6, 6), 2, None, 0),
    ((2, 3, 7, 9), 3, 2, 1),
    ((2, 3, 7, 9), 3, 1, 1),
    ((2, 3, 9, 7), (3, 2), (2, 1), (1, 0)),
    ((1, 2, 9, 11), 2, 3, 0),  # gaps between windows
    ((1, 2, 5, 6), (5, 6), None, 0),
    ((1, 2, 1, 1), 2, 1, 1),
    ((1, 2, 6, 7), 4, 3, 2),
    ((1, 1, 4, 67), (2, 3), 1, (0, 1)),
    ((1, 1, 4, 131), 2, 2, 0),
    ((3, 5, 12, 33), 3, 2, 1),
    *(((1, 2, 5, width), *window) for width in (15, 16, 17, 31, 32, 33, 34) for window in ((2, 2, 0), (3, 2, 1))),
    *(((2, 1, 6, width), *window) for width in (7, 8, 9, 16, 17) for window in ((3, 1, 1), (3, 2, 0), (2, 1, 0))),
    ((37, 5, 7, 5), 3, 2, 1),  # many planes at a time
    ((1, 2, 25, 700), 3, 2, 1),  # few rows at a time
    ((1, 2, 9, 2500), 3, (1, 2), 1),
    ((1, 1, 3, 5000), (3, 5), 1, (1, 2)),
    ((2, 2, 9, 20), (1, 2), (3, 2), 0),  # gaps between rows
    ((2, 2, 9, 20), (2, 1), (2, 2), 0),  # gaps between columns
    ((2, 2, 13, 17), 5, 2, 2),
    ((1, 2, 12, 12), 7, 1, 3),  # more taps over an element than are tried
    ((2, 2, 7, 7), 7, None, 0),
    ((1, 2, 1, 3), 5, 1, 2),
    ((2, 3, 8, 9), 3, 2, 0),
    ((2, 2, 7, 8), 3, 2, 0),
    ((2, 2, 6, 8), 3, 2, 1),
    ((1, 1, 1, 2), 3, 2, 1),
    ((2, 2, 5, 6), 2, 2, 1),
    ((1, 2, 5, 6), 2, 2**31, 1),  # places on an axis do not fit into 32 bits
    ((1, 2, 5, 12), 2, (2**31, 1), 1),
    ((2, 0, 6, 20), 2, None, 0),
    ((2, 2, 5, 21), 2, 2, 1),
    ((2, 3, 9, 16), (3, 2), (2, 1), (1, 0)),
    # Windows of four where they lie: rows around whole vectors, planes in several pieces, elements in no window.
    *(((3, 2, height, width), 2, None, 0) for height in (2, 5) for width in (2, 3, 30, 31, 32, 33, 34, 35, 62, 64, 65)),
    ((67, 5, 10, 10), 2, None, 0),
    ((65, 7, 9, 35), 2, None, 0),
    # Windows of nine where they lie: the same, with and without padding, odd and even.
    *(
        ((3, 2, height, width), 3, 2, padding)
        for height in (6, 9)
        for width in (13, 14, 15, 16, 17, 18, 19, 31, 32, 33, 34, 35, 63, 64, 65, 66, 67)
        for padding in (0, 1)
    ),
    *(((1, 1, height, width), 3, 2, 1) for height in (1, 2, 3) for width in (2, 15, 32)),
    *(((67, 5, size, size), 3, 2, padding) for size in (15, 16) for padding in (0, 1)),
    *(((1, 2, 70, 600), 3, 2, padding) for padding in (0, 1, (0, 1))),  # planes in several pieces
    # Few windows in a row, or long strides: several planes in a vector.
    ((0, 3, 8, 8), 4, None, 0),
    ((1, 1, 8, 8), 8, None, 0),
    ((1, 5, 8, 8), 4, None, 0),
    ((3, 13, 8, 8), 8, None, 0),  # more planes than a vector, and some left over
    ((3, 11, 8, 8), 7, 1, 0),
    ((2, 16, 7, 7), 7, None, 0),  # whole vectors of planes, but not of elements
    ((1, 17, 4, 5), (4, 3), (1, 2), (2, 1)),
    ((5, 7, 10, 10), 5, 3, 2),
    ((5, 7, 9, 11), (2, 3), (5, 4), 0),  # gaps between windows
    ((1, 18, 2, 1), 9, 1, 4),  # windows larger than a plane
    ((1, 20, 40, 120), (3, 4), (1, 4), (1, 2)),  # few rows at a time
    ((1, 18, 90, 100), (2, 3), (5, 4), 0),  # rows of which none lies in a window
    # Indices of 255 taps have 8 bits, of 256 taps 32.
    ((1, 2, 18, 40), (15, 17), 1, (7, 8)),
    ((2, 9, 20, 35), 16, None, 0),
    ((1, 2, 20, 40), 16, 1, 8),
    ((1, 2, 140, 30), (128, 2), (64, 1), (64, 0)),
]
# size, kernel_size, stride, padding; the ways of max forward, max backward, average forward and average backward
PLANS: list[tuple[Any, Any, Any, Any, tuple[str, ...]]] = [
    ((32, 32), (2, 2), 2, 0, ("two_by_two",) * 4),
    ((7, 9), (2, 2), 2, 0, ("two_by_two",) * 4),
    ((32, 32), (2, 2), 2, 1, ("bands",) * 4),
    ((32, 32), (3, 3), 2, 1, ("three_by_three",) * 4),
    ((16, 15), (3, 3), 2, 0, ("three_by_three",) * 4),  # 7 windows in a row
    ((16, 14), (3, 3), 2, 0, ("over_planes", "three_by_three", "over_planes", "over_planes")),  # 6
    ((32, 32), (3, 3), 2, (1, 0), ("bands",) * 4),
    ((32, 32), (3, 3), 1, 1, ("bands",) * 4),
    ((32, 8), (3, 3), 1, 1, ("over_planes", "bands", "over_planes", "over_planes")),
    ((32, 9), (3, 3), 1, 1, ("bands",) * 4),
    ((32, 32), (3, 3), 3, 0, ("over_planes", "scatter", "over_planes", "over_planes")),
    ((32, 32), (3, 3), (3, 1), 0, ("bands",) * 4),
    ((32, 32), (5, 5), 2, 2, ("bands",) * 4),  # 9 taps over an element
    ((32, 32), (5, 2), 1, 0, ("bands", "scatter", "bands", "bands")),  # 10
    ((7, 7), (7, 7), 7, 0, ("over_planes", "scatter", "over_planes", "over_planes")),
]
GLOBAL_CASES = [
    (1, 1, 1, 1),
    (0, 3, 4, 4),
    (2, 0, 4, 4),
    (2, 3, 5, 7),
    (17, 5, 3, 3),
    (9, 5, 4, 8),
    (1, 2, 32, 32),
    (1, 2, 64, 65),
]

X = (2, 3, 5, 6)
REFUSALS: list[Refusal] = [
    (
        "max_pool2d_forward",
        lambda: (None, 2),
        TypeError,
        r"^max_pool2d_forward: x must be a numpy.ndarray, got NoneType$",
    ),
    (
        "max_pool2d_forward",
        lambda: (full(*X, dtype=np.int32), 2),
        TypeError,
        r"x must be float32 or float64, got int32$",
    ),
    (
        "max_pool2d_forward",
        lambda: (full(5, 6), 2),
        ValueError,
        r"x must have 4 dimensions \(N, C, H, W\), got 2 with shape",
    ),
    (
        "max_pool2d_forward",
        lambda: (full(*X), 6),
        ValueError,
        r"kernel of \(6, 6\) .* is larger than an input of \(5, 6\)",
    ),
    ("max_pool2d_forward", lambda: (full(*X), (0, 2)), ValueError, r"kernel_size must be at least 1, got \(0, 2\)$"),
    (
        "max_pool2d_forward",
        lambda: (full(*X), 2.0),
        TypeError,
        r"kernel_size must be an int or a pair of ints, got 2\.0$",
    ),
    ("max_pool2d_forward", lambda: (full(*X), 2, 0), ValueError, r"stride must be at least 1, got \(0, 0\)$"),
    ("max_pool2d_forward", lambda: (full(*X), 2, 1, -1), ValueError, r"padding must be at least 0, got \(-1, -1\)$"),
    (
        "max_pool2d_forward",
        lambda: (full(*X), 3, 1, 2),
        ValueError,
        r"padding must be at most half the kernel, got padding \(2, 2\) for kernel_size \(3, 3\)$",
    ),
    (
        "max_pool2d_forward",
        lambda: (full(2, 3, 0, 6), 2, 1, 1),
        ValueError,
        r"planes of at least \(1, 1\), got \(0, 6\)$",
    ),
    ("max_pool2d_forward", lambda: (full(*X), 2**20, 1, 2**19), ValueError, r"size of kernel_size overflows$"),
    ("avg_pool2d_forward", lambda: (full(5, 6), 2), ValueError, r"^avg_pool2d_forward: x must have 4 dimensions"),
    (
        "avg_pool2d_forward",
        lambda: (full(*X), 6),
        ValueError,
        r"kernel of \(6, 6\) .* is larger than an input of \(5, 6\)",
    ),
    ("avg_pool2d_forward", lambda: (full(*X), 3, 1, 2), ValueError, r"padding must be at most half the kernel"),
    (
        "avg_pool2d_forward",
        lambda: (full(2, 3, 0, 6), 2, 1, 1),
        ValueError,
        r"planes of at least \(1, 1\), got \(0, 6\)$",
    ),
    (
        "avg_pool2d_backward",
        lambda: (full(2, 3, 2, 2), X, 2),
        ValueError,
        r"dy has shape .* but the output needs \(2, 3, 2, 3\)$",
    ),
    (
        "avg_pool2d_backward",
        lambda: (full(2, 3, 2, 3), (3, 5, 6), 2),
        ValueError,
        r"x_shape must have 4 sizes \(N, C, H, W\)",
    ),
    (
        "max_pool2d_backward",
        lambda: (full(2, 3, 2, 2), full(2, 3, 2, 3, dtype=np.uint8), X, 2),
        ValueError,
        r"^max_pool2d_backward: dy has shape \(2, 3, 2, 2\) but the output needs \(2, 3, 2, 3\)$",
    ),
    (
        "max_pool2d_backward",
        lambda: (full(2, 3, 2, 3), full(2, 3, 2, 2, dtype=np.uint8), X, 2),
        ValueError,
        r"index has shape \(2, 3, 2, 2\) but the output needs \(2, 3, 2, 3\)$",
    ),
    (
        "max_pool2d_backward",
        lambda: (full(2, 3, 2, 3), full(2, 3, 2, 3, dtype=np.int64), X, 2),
        TypeError,
        r"index must be uint8, got int64$",
    ),
    (
        "max_pool2d_backward",
        lambda: (full(2, 3, 2, 3), [0], X, 2),
        TypeError,
        r"index must be a numpy.ndarray, got list$",
    ),
    (
        "max_pool2d_backward",
        lambda: (full(2, 3, 2, 3), np.full((2, 3, 2, 3), 4, np.uint8), X, 2),
        ValueError,
        r"index holds \[4\] but a window has 4 taps \(0 to 3\)$",
    ),
    (
        "max_pool2d_backward",
        lambda: (full(2, 3, 2, 3), np.full((2, 3, 2, 3), 255, np.uint8), X, 2),
        ValueError,
        r"index holds \[255\] but a window has 4 taps",
    ),
    (
        "max_pool2d_backward",
        lambda: (full(1, 1, 1, 1), full(1, 1, 1, 1, dtype=np.uint8), (1, 1, 16, 16), 16),
        TypeError,
        r"index must be int32, got uint8$",
    ),
    (
        "max_pool2d_backward",
        lambda: (full(1, 1, 1, 1), np.full((1, 1, 1, 1), -1, np.int32), (1, 1, 16, 16), 16),
        ValueError,
        r"index holds \[-1\] but a window has 256 taps",
    ),
    (
        "max_pool2d_backward",
        lambda: (full(2, 3, 3, 3), np.full((2, 3, 3, 3), 9, np.uint8), X, 3, 2, 1),
        ValueError,
        r"index holds \[9\] but a window has 9 taps \(0 to 8\)$",
    ),
    (
        "max_pool2d_backward",
        lambda: (full(2, 3, 5, 6), np.full((2, 3, 5, 6), 9, np.uint8), X, 3, 1, 1),
        ValueError,
        r"index holds \[9\] but a window has 9 taps \(0 to 8\)$",
    ),
    ("global_avg_pool2d_forward", lambda: (full(3, 4),), ValueError, r"x must have 4 dimensions"),
    (
        "global_avg_pool2d_forward",
        lambda: (full(2, 3, 0, 4),),
        ValueError,
        r"planes of at least \(1, 1\), got \(0, 4\)$",
    ),
    (
        "global_avg_pool2d_backward",
        lambda: (full(2, 3, 5, 6), X),
        ValueError,
        r"dy has shape \(2, 3, 5, 6\) but the output needs \(2, 3, 1, 1\)$",
    ),
    ("global_avg_pool2d_backward", lambda: (full(2, 3, 1, 1), (2, 3)), ValueError, r"x_shape must have 4 sizes"),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_pooling(backend: ModuleType, case: tuple[tuple[int, ...], Any, Any, Any], dtype: npt.DTypeLike) -> None:
    x_shape, *window = case
    for values in (numbers, specials, zeros_and_ties):
        x = values(x_shape, dtype, 1)
        y, index = assert_op(backend, "max_pool2d_forward", x, *window)
        dy = values(y.shape, dtype, 2)
        assert_op(backend, "max_pool2d_backward", dy, index, x_shape, *window)
        assert_op(backend, "avg_pool2d_forward", x, *window)
        assert_op(backend, "avg_pool2d_backward", dy, x_shape, *window)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("x_shape", GLOBAL_CASES)
def test_global_average(backend: ModuleType, x_shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    for values in (numbers, specials, zeros_and_ties):
        y = assert_op(backend, "global_avg_pool2d_forward", values(x_shape, dtype, 1))
        assert_op(backend, "global_avg_pool2d_backward", values(y.shape, dtype, 2), x_shape)


@pytest.mark.parametrize(
    ("window", "winner"),
    [
        ([1, 2, 2, 0], 1),
        ([-0.0, 0.0, -1, -1], 0),
        ([0.0, -0.0, 0.0, 0.0], 0),
        ([1, np.nan, 5, np.nan], 1),
        ([np.nan, 1, 2, 3], 0),
        ([-np.inf, -np.inf, -np.inf, -np.inf], 0),
        ([-np.inf, -1e30, np.inf, np.inf], 2),
    ],
)
def test_the_first_maximum_or_the_first_nan_wins(backend: ModuleType, window: list[float], winner: int) -> None:
    x = np.array(window, np.float32).reshape(1, 1, 2, 2)
    y, index = backend.max_pool2d_forward(x, 2)
    assert index.item() == winner
    assert_same_bits(y.reshape(1), x.reshape(4)[winner : winner + 1])


def test_padding_is_never_chosen_by_the_maximum_and_counts_in_the_average(backend: ModuleType) -> None:
    x = np.full((1, 1, 2, 2), -3, np.float32)
    y, index = backend.max_pool2d_forward(x, 2, 2, 1)
    assert_same_bits(y, x)
    assert_same_bits(index, np.array([[[[3, 2], [1, 0]]]], np.uint8))
    assert_same_bits(backend.avg_pool2d_forward(x, 2, 2, 1), x / np.float32(4))


@pytest.mark.parametrize("window", [(2, 2, 1), (3, 2, 1), (3, 1, 1), (5, 3, 2), ((2, 3), (3, 1), (1, 0))])
def test_infinite_windows_keep_their_first_tap(backend: ModuleType, window: tuple[Any, ...]) -> None:
    x = np.full((2, 2, 9, 21), -np.inf, np.float32)
    assert_op(backend, "max_pool2d_forward", x, *window)
    x[1, 1, 3:, ::3] = np.nan
    assert_op(backend, "max_pool2d_forward", x, *window)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("size", [5, 16, 21, 32, 33, 48])
def test_a_border_of_infinities_and_nans(backend: ModuleType, size: int, padding: int) -> None:
    for value in (-np.inf, np.nan):
        for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
            x = numbers((2, 3, size, size), np.float32, size)
            x[..., row, :] = value
            x[..., :, column] = value
            y, index = assert_op(backend, "max_pool2d_forward", x, 3, 2, padding)
            assert_op(backend, "max_pool2d_backward", y, index, x.shape, 3, 2, padding)
            assert_op(backend, "avg_pool2d_forward", x, 3, 2, padding)
            assert_op(backend, "avg_pool2d_backward", y, x.shape, 3, 2, padding)


@pytest.mark.parametrize("padding", [0, 1])
def test_a_choice_in_the_padding_is_given_nothing(backend: ModuleType, padding: int) -> None:
    x_shape = (2, 3, 17, 33)
    y = numbers((2, 3, 8 + padding, 16 + padding), np.float32)
    for tap in range(9):
        assert_op(backend, "max_pool2d_backward", y, np.full(y.shape, tap, np.uint8), x_shape, 3, 2, padding)


@pytest.mark.parametrize("window", [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1), (7, 1, 3), (16, 1, 0), (16, 9, 8)])
def test_an_index_anywhere_is_checked(backend: ModuleType, window: tuple[Any, ...]) -> None:
    x = numbers((3, 2, 20, 40), np.float32)
    y, index = backend.max_pool2d_forward(x, *window)
    for place in (0, index.shape[-1] - 1, index.size // 2, index.size - 1):
        for tap in (window[0] ** 2, 255) if index.dtype == np.uint8 else (256, -1, 2**31 - 1, -(2**31)):
            wrong = index.copy()
            wrong.reshape(-1)[place] = tap
            with pytest.raises(ValueError, match=rf"index holds \[{tap}\] but a window has"):
                backend.max_pool2d_backward(y, wrong, x.shape, *window)


def test_which_windows_go_which_way() -> None:
    baseline = pytest.importorskip("nnlite._cpu_baseline")
    ops = [f"{kind}_pool2d_{way}" for kind in ("max", "avg") for way in ("forward", "backward")]
    for *windows, ways in PLANS:
        plans = [baseline._pool2d_plan(op, *windows) for op in ops]
        assert tuple(way for way, _ in plans) == ways, f"{windows}: {plans}"


@pytest.mark.parametrize(("op", "args", "error", "message"), REFUSALS)
def test_refusals(backend: ModuleType, op: str, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(backend, op)(*args())
