"""Convolution, im2col and col2im: bit for bit on every backend."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nnlite as nl
from compare import DTYPES, Refusal, assert_op, full, numbers, specials, zeros_and_ties
from nnlite import reference
from nnlite.backend import available
from support import assert_same_bits

# x, weight, options
CASES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((2, 3, 5, 6), (4, 3, 1, 1), {}),
    ((2, 3, 7, 8), (4, 3, 3, 2), {}),
    ((2, 1, 9, 9), (30, 1, 5, 5), {}),
    ((0, 3, 5, 5), (4, 3, 3, 3), {"padding": 1}),
    ((2, 3, 5, 5), (0, 3, 3, 3), {}),
    ((1, 3, 3, 4), (2, 3, 3, 4), {}),
    ((2, 3, 8, 9), (5, 3, 3, 3), {"padding": 1}),
    ((2, 3, 8, 9), (5, 3, 3, 3), {"padding": (0, 2), "stride": (2, 1)}),
    ((1, 2, 11, 10), (3, 2, 3, 3), {"stride": 2, "padding": 1}),
    ((1, 2, 11, 10), (3, 2, 2, 2), {"stride": 3}),  # the stride skips input elements
    ((1, 2, 11, 13), (3, 2, 3, 2), {"dilation": (2, 3)}),
    ((1, 2, 12, 13), (3, 2, 3, 3), {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2)}),
    ((1, 2, 12, 12), (3, 2, 3, 3), {"stride": 2, "padding": 2, "dilation": 2}),  # odd rows are never reached
    ((1, 1, 3, 3), (2, 1, 3, 3), {"padding": 4}),  # windows that lie in the padding alone
    ((2, 4, 6, 6), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 5, 6, 6), (5, 1, 3, 3), {"groups": 5, "padding": 1}),
    ((2, 3, 7, 6), (6, 1, 3, 2), {"groups": 3, "stride": 2, "dilation": (1, 2), "padding": 1}),
    ((1, 3, 40, 75), (3, 1, 3, 3), {"groups": 3, "padding": 1}),  # rows that roll, in several strips
    ((2, 2, 12, 20), (2, 1, 7, 5), {"groups": 2, "padding": (3, 2)}),
    ((1, 2, 13, 19), (2, 1, 9, 3), {"groups": 2, "padding": (4, 1)}),  # too many to roll
    ((2, 3, 12, 15), (3, 1, 3, 3), {"groups": 3, "stride": 2, "padding": 1}),
    ((1, 2, 17, 18), (2, 1, 3, 3), {"groups": 2, "stride": 5, "padding": 1}),
    ((1, 2, 31, 57), (2, 1, 5, 4), {"groups": 2, "stride": 2, "padding": 2}),  # rolling over every other row
    ((1, 2, 20, 37), (2, 1, 4, 3), {"groups": 2, "stride": (1, 2), "padding": 1, "dilation": (1, 2)}),
    ((1, 2, 70, 125), (2, 1, 3, 3), {"groups": 2, "padding": 1}),  # bands of a plane
    ((1, 57, 5, 5), (3, 57, 3, 3), {}),  # 513 products per output
    ((1, 2, 6, 6), (57, 2, 3, 3), {"padding": 1}),  # 513 products per element of dx
    ((1, 2, 6, 6), (130, 2, 4, 4), {"stride": 2, "padding": 1}),  # 520 of 2,080 taps reach each element of dx
    ((1, 2, 25, 23), (3, 2, 2, 2), {}),  # 528 products per element of dweight
    ((3, 2, 14, 15), (2, 2, 2, 2), {"padding": 0}),  # blocks of 512 that end inside a sample
    ((1, 2, 4, 35), (33, 2, 3, 3), {"padding": 1}),
    ((5, 20, 9, 17), (17, 20, 3, 3), {"padding": 1}),
    ((2, 3, 6, 16), (7, 3, 3, 3), {"padding": 1}),  # rows of whole vectors, with a border
    ((2, 2, 9, 65), (5, 2, 3, 5), {"stride": 2, "padding": (1, 2)}),  # rows of 33, every other column
    ((3, 2, 70, 34), (6, 2, 3, 3), {}),  # several bands of rows
    ((6, 6, 7, 7), (50, 6, 3, 3), {"padding": 1}),  # pixels of several images in one panel
    ((4, 2, 5, 5), (50, 2, 2, 2), {"stride": 2, "padding": 1}),
    ((1, 58, 3, 16), (7, 58, 3, 3), {"padding": 1}),  # 522 products per output, rows of whole vectors
    ((9, 58, 3, 3), (50, 58, 3, 3), {"padding": 1}),  # the same from packed pixels
    ((23, 20, 5, 5), (95, 20, 3, 3), {"padding": 1}),  # a large dweight: blocks are added tile by tile
    ((3, 21, 14, 14), (80, 21, 3, 5), {"padding": (1, 2), "stride": (2, 1)}),
    ((2, 1, 23, 29), (43, 1, 5, 5), {}),  # one channel of dx: 1,075 products, whose blocks end within a channel
    ((1, 1, 9, 75), (3, 1, 24, 23), {"padding": (12, 11)}),  # 552 taps of one channel
    ((1, 43, 10, 50), (1, 43, 5, 5), {"padding": 2}),  # one channel of y
    ((2, 1, 20, 41), (70, 1, 7, 6), {"stride": 2, "padding": 3}),
    ((2, 1, 20, 41), (70, 1, 4, 3), {"dilation": (1, 3)}),
    ((1, 3, 31, 18), (60, 3, 3, 3), {"padding": 1}),  # tiles of few rows
    ((5, 65, 8, 32), (7, 65, 3, 3), {"padding": 1}),  # 585 products per output, half a block at a time; many tiles
    ((5, 7, 8, 32), (65, 7, 3, 3), {"padding": 1}),  # the same per element of dx
    # Single pixels, read where they lie:
    ((2, 530, 5, 9), (13, 530, 1, 1), {}),  # 530 products per output
    ((2, 13, 6, 8), (530, 13, 1, 1), {}),  # 530 products per element of dx
    ((2, 20, 17, 16), (3, 20, 1, 1), {}),  # so few filters that nothing is packed; dweight's blocks end within an image
    ((2, 140, 6, 9), (130, 140, 1, 1), {}),  # a large dweight
    ((2, 16, 5, 10), (24, 8, 1, 1), {"groups": 2}),
    # Residues of dx, interleaved:
    ((2, 20, 61, 63), (7, 20, 3, 3), {"stride": 2, "padding": 1}),  # several bands, rows of odd length
    ((2, 3, 40, 90), (8, 3, 3, 3), {"stride": 2, "padding": (0, 1)}),
    ((1, 3, 23, 50), (4, 3, 3, 3), {"stride": (5, 4)}),  # 20 residues, some of no taps
    ((2, 4, 18, 40), (6, 2, 5, 3), {"stride": (1, 3), "padding": 2, "groups": 2}),
    ((2, 3, 10, 2), (5, 3, 4, 4), {"stride": (1, 2), "padding": (0, 1)}),  # rows as long as their every other column
    ((2, 3, 27, 40), (5, 3, 9, 8), {"stride": (9, 8)}),  # 72 residues, of one tap each
    ((1, 2, 40, 50), (3, 2, 2, 3), {"stride": 20, "padding": (1, 0)}),  # 400, of which six have a tap
    ((1, 3, 5, 60), (4, 3, 2, 2), {"stride": 2**31}),  # every row and column is a residue
    # Many images, in vectors over images, with some left over:
    ((37, 8, 6, 5), (9, 8, 3, 3), {"padding": 1}),
    ((33, 60, 4, 4), (7, 60, 3, 3), {"padding": 1}),  # 540 products per output, blocks that end within a channel
    ((19, 7, 4, 5), (61, 7, 3, 3), {"padding": 1}),  # 549 per element of dx
    ((16, 3, 7, 9), (5, 3, 5, 5), {"padding": (2, 3)}),  # 35 kinds of pixels
    ((35, 18, 9, 8), (17, 18, 3, 2), {"stride": 2, "padding": 1}),
    ((18, 8, 7, 10), (40, 8, 3, 3), {"stride": (3, 2), "padding": (0, 2)}),
    ((17, 33, 5, 5), (65, 33, 1, 1), {"stride": 2}),  # residues of no taps
    ((20, 40, 5, 6), (70, 40, 2, 2), {"padding": 4, "dilation": 3}),  # pixels of no taps
    ((17, 3, 4, 5), (66, 3, 2, 2), {"stride": 2**31}),
    ((17, 9, 4, 4), (5, 9, 3, 3), {"stride": 2**30, "padding": 2**31}),
    ((16, 70, 7, 7), (50, 70, 1, 1), {}),
    ((17, 16, 6, 7), (20, 8, 3, 3), {"groups": 2, "padding": 1}),
    # One input channel per group, dweight in vectors over groups:
    ((11, 9, 7, 7), (9, 1, 3, 3), {"groups": 9, "padding": 1}),  # blocks of several images, one of them cut
    ((3, 16, 27, 29), (16, 1, 3, 3), {"groups": 16, "padding": 1, "stride": 2}),
    ((1, 19, 5, 6), (19, 1, 2, 2), {"groups": 19}),  # several vectors in one piece of work
    ((1, 3, 24, 30), (3, 1, 5, 5), {"groups": 3, "padding": 2}),  # 25 taps, nine at a time
    ((1, 2, 40, 36), (2, 1, 9, 9), {"groups": 2, "dilation": (1, 2)}),  # 81 taps, in two rounds
    ((2, 10, 19, 20), (20, 1, 3, 2), {"groups": 10, "dilation": (2, 1), "padding": (3, 0), "stride": (1, 2)}),
    ((1, 2, 20, 1001), (2, 1, 2, 1), {"groups": 2, "stride": (1, 20)}),  # an image larger than a window
]

# x, kernel_size, options
COLUMN_CASES: list[tuple[tuple[int, ...], Any, dict[str, Any]]] = [
    ((1, 1, 1, 1), 1, {}),
    ((2, 3, 5, 6), (3, 2), {}),
    ((0, 3, 5, 6), 2, {}),
    ((2, 0, 5, 6), 2, {}),
    ((2, 3, 8, 9), 3, {"padding": 1, "stride": 2}),
    ((2, 3, 8, 9), 2, {"stride": 3}),
    ((1, 2, 9, 9), (3, 2), {"padding": (3, 2), "dilation": (2, 3), "stride": (1, 2)}),
    ((1, 1, 3, 3), 3, {"padding": 4}),
    ((1, 2, 7, 40), (2, 5), {}),
    ((1, 33, 9, 34), (1, 2), {}),
    ((2, 16, 5, 6), 2, {"stride": 2, "dilation": (1, 2), "padding": 1}),
    ((1, 45, 2, 67), 3, {"padding": 1}),
    ((1, 2, 5, 6), 1, {"stride": 2**31}),
    ((1, 2, 5, 6), 3, {"padding": 2**31, "dilation": 2**31}),
]


def shapes(case: tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]) -> str:
    x, weight, options = case
    return f"{'x'.join(map(str, x))}-{'x'.join(map(str, weight))}-{'-'.join(f'{k}{v}' for k, v in options.items())}"


X, W = (2, 4, 5, 5), (6, 4, 3, 3)
BIG = 2**31
REFUSALS: list[Refusal] = [
    ("conv2d_forward", lambda: ([], full(*W)), TypeError, r"^conv2d_forward: x must be a numpy.ndarray, got list$"),
    (
        "conv2d_forward",
        lambda: (full(*X, dtype=np.int64), full(*W)),
        TypeError,
        r"x must be float32 or float64, got int64$",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X, dtype=">f4"), full(*W)),
        TypeError,
        r"x must be in native byte order, got >f4$",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X, dtype=float), full(*W)),
        TypeError,
        r"x is float64 but weight is float32; convert",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), full(6, dtype=float)),
        TypeError,
        r"x is float32 but bias is float64",
    ),
    (
        "conv2d_forward",
        lambda: (full(3, 4), full(*W)),
        ValueError,
        r"x must have 4 dimensions \(N, C, H, W\), got 2 with shape \(3, 4\)$",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(6, 4)),
        ValueError,
        r"weight must have 4 dimensions \(K, C/groups, R, S\), got 2",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(6, 3, 3, 3)),
        ValueError,
        r"x has 4 channels but weight expects 3 \(1 groups of 3\)$",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(6, 3, 3, 3), None, 1, 0, 1, 2),
        ValueError,
        r"x has 4 channels but weight expects 6",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(5, 2, 3, 3), None, 1, 0, 1, 2),
        ValueError,
        r"weight has 5 output channels, which 2 groups",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), full(5)),
        ValueError,
        r"bias has shape \(5,\) but weight needs \(6,\)$",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), full(6, 1)),
        ValueError,
        r"bias must have 1 dimension \(K,\), got 2 with shape \(6, 1\)$",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(6, 4, 6, 3)),
        ValueError,
        r"kernel of \(6, 3\) .* larger than an input of \(5, 5\)",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), None, 1, 0, 3),
        ValueError,
        r"dilation \(3, 3\) is larger than an input of \(5, 5\)",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(6, 4, 0, 3)),
        ValueError,
        r"weight must have a kernel of at least \(1, 1\), got \(0, 3\)$",
    ),
    ("conv2d_forward", lambda: (full(*X), full(*W), None, 0), ValueError, r"stride must be at least 1, got \(0, 0\)$"),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), None, (0, 1)),
        ValueError,
        r"stride must be at least 1, got \(0, 1\)$",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), None, 1, (0, -1)),
        ValueError,
        r"padding must be at least 0, got \(0, -1\)$",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), None, 1, 0, 0),
        ValueError,
        r"dilation must be at least 1, got \(0, 0\)$",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), None, 1, 0, 1, 0),
        ValueError,
        r"groups must be at least 1, got 0$",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), None, 1.5),
        TypeError,
        r"stride must be an int or a pair of ints, got 1\.5$",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), None, (1, 1, 1)),
        TypeError,
        r"stride must be an int or a pair of ints, got \(1, 1, 1\)",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), None, 1, "1"),
        TypeError,
        r"padding must be an int or a pair of ints, got '1'$",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), None, True),
        TypeError,
        r"stride must be an int or a pair of ints, got True$",
    ),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), None, 1, 0, 1, 1.0),
        TypeError,
        r"groups must be an int, got 1\.0$",
    ),
    ("conv2d_forward", lambda: (full(*X), full(*W), None, 1, 2**62), ValueError, r"size of padding overflows$"),
    (
        "conv2d_forward",
        lambda: (full(*X), full(*W), None, 1, BIG),
        ValueError,
        r"size of an array of shape .* overflows$",
    ),
    (
        "conv2d_backward_data",
        lambda: (full(2, 6, 3, 4), full(*W), X),
        ValueError,
        r"dy has shape \(2, 6, 3, 4\) but the output needs \(2, 6, 3, 3\)$",
    ),
    (
        "conv2d_backward_data",
        lambda: (full(2, 6, 3, 3), full(*W), (2, 4, 5)),
        ValueError,
        r"x_shape must have 4 sizes \(N, C, H, W\), got \(2, 4, 5\)$",
    ),
    (
        "conv2d_backward_data",
        lambda: (full(2, 6, 3, 3), full(*W), (2, 4, 5, -5)),
        ValueError,
        r"x_shape must not hold a negative size",
    ),
    (
        "conv2d_backward_data",
        lambda: (full(2, 6, 3, 3), full(*W), 5),
        TypeError,
        r"x_shape must be a tuple of ints, got 5$",
    ),
    (
        "conv2d_backward_data",
        lambda: (full(2, 6, 3, 3), full(*W), (2, 4, 5, 5.0)),
        TypeError,
        r"x_shape must be a tuple of ints",
    ),
    (
        "conv2d_backward_data",
        lambda: (full(2, 6, 3, 3), full(*W), (2, 3, 5, 5)),
        ValueError,
        r"x_shape has 3 channels but weight expects 4",
    ),
    (
        "conv2d_backward_weights",
        lambda: (full(2, 6, 3, 3), full(*X), (6, 4, 3, 2)),
        ValueError,
        r"dy has shape .* but the output needs \(2, 6, 3, 4\)$",
    ),
    (
        "conv2d_backward_weights",
        lambda: (full(1, 6, 3, 3), full(*X), W),
        ValueError,
        r"dy has shape .* but the output needs \(2, 6, 3, 3\)$",
    ),
    (
        "conv2d_backward_weights",
        lambda: (full(2, 6, 3, 3), full(*X), (6, 3, 3, 3)),
        ValueError,
        r"x has 4 channels but weight_shape expects 3",
    ),
    (
        "conv2d_backward_weights",
        lambda: (full(2, 6, 3, 3), full(*X), (6, 4, 3)),
        ValueError,
        r"weight_shape must have 4 sizes",
    ),
    (
        "conv2d_backward_bias",
        lambda: (full(6),),
        ValueError,
        r"dy must have 4 dimensions \(N, K, OH, OW\), got 1 with shape \(6,\)$",
    ),
    ("im2col", lambda: (full(4, 5), 2), ValueError, r"^im2col: x must have 4 dimensions"),
    ("im2col", lambda: (full(*X), 0), ValueError, r"^im2col: kernel_size must be at least 1, got \(0, 0\)$"),
    (
        "im2col",
        lambda: (full(*X), 6),
        ValueError,
        r"kernel of \(6, 6\) .* larger than an input of \(5, 5\) with padding \(0, 0\)$",
    ),
    ("im2col", lambda: (full(*X), BIG, 1, BIG), ValueError, r"size of an array of shape .* overflows$"),
    (
        "col2im",
        lambda: (full(18, 8), (2, 4, 5, 5), 3),
        ValueError,
        r"^col2im: col has shape \(18, 8\) but x_shape needs \(18, 36\)$",
    ),
    ("col2im", lambda: (full(18), (2, 4, 5, 5), 3), ValueError, r"^col2im: col must have 2 dimensions"),
    ("col2im", lambda: (full(18, 36), (4, 5, 5), 3), ValueError, r"^col2im: x_shape must have 4 sizes"),
]


@pytest.mark.parametrize("name", available())
@pytest.mark.parametrize("stride", [np.array(1), np.array([1, 1])])
def test_an_array_is_no_stride(name: str, stride: Any) -> None:
    with (
        nl.backend(name),
        pytest.raises(TypeError, match=r"^conv2d_forward: stride must be an int or a pair of ints, got"),
    ):
        nl.kernels.conv2d_forward(full(*X), full(*W), stride=stride)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=shapes)
def test_conv2d(
    backend: ModuleType, case: tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], dtype: npt.DTypeLike
) -> None:
    x_shape, weight_shape, options = case
    x, weight, bias = numbers(x_shape, dtype, 1), numbers(weight_shape, dtype, 2), numbers(weight_shape[0], dtype, 3)
    assert_op(backend, "conv2d_forward", x, weight, **options)
    dy = numbers(assert_op(backend, "conv2d_forward", x, weight, bias, **options).shape, dtype, 4)
    assert_op(backend, "conv2d_backward_data", dy, weight, x_shape, **options)
    assert_op(backend, "conv2d_backward_weights", dy, x, weight_shape, **options)
    assert_op(backend, "conv2d_backward_bias", dy)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options"),
    [
        ((1, 58, 16, 15), (124, 58, 3, 3), {"padding": 1}),
        ((3, 20, 11, 20), (63, 20, 2, 3), {"padding": (1, 0), "stride": (1, 2)}),
        ((2, 16, 9, 9), (32, 8, 3, 3), {"padding": 1, "groups": 2}),
        ((3, 21, 6, 10), (62, 21, 1, 1), {}),
        ((2, 22, 6, 10), (120, 11, 1, 1), {"groups": 2}),
        ((3, 20, 7, 8), (9, 20, 1, 1), {"stride": 2}),
    ],
)
def test_conv2d_of_a_busy_device(
    backend: ModuleType,
    small_device: None,
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    options: dict[str, Any],
    dtype: npt.DTypeLike,
) -> None:
    x, weight, bias = numbers(x_shape, dtype, 1), numbers(weight_shape, dtype, 2), numbers(weight_shape[0], dtype, 3)
    y = reference.conv2d_forward(x, weight, bias, **options)
    assert_same_bits(backend.conv2d_forward(x, weight, bias, **options), y)
    dy = numbers(y.shape, dtype, 4)
    for op, args in (
        ("conv2d_backward_data", (dy, weight, x_shape)),
        ("conv2d_backward_weights", (dy, x, weight_shape)),
    ):
        assert_same_bits(getattr(backend, op)(*args, **options), getattr(reference, op)(*args, **options))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("values", [specials, zeros_and_ties])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": 1},
        {"stride": 2, "padding": 2, "dilation": 2},
        {"groups": 2, "padding": 1},
        {"groups": 4, "padding": 1},
    ],
)
def test_conv2d_of_special_values(
    backend: ModuleType, options: dict[str, Any], values: Any, dtype: npt.DTypeLike
) -> None:
    groups = options.get("groups", 1)
    x_shape, weight_shape = (2, 4, 7, 8), (6 // groups * groups, 4 // groups, 3, 2)
    x, weight, bias = numbers(x_shape, dtype, 1), values(weight_shape, dtype, 2), values(weight_shape[0], dtype, 3)
    y = assert_op(backend, "conv2d_forward", x, weight, bias, **options)
    x, dy = values(x_shape, dtype, 4), values(y.shape, dtype, 5)
    assert_op(backend, "conv2d_forward", x, numbers(weight_shape, dtype, 6), **options)
    assert_op(backend, "conv2d_backward_data", dy, numbers(weight_shape, dtype, 7), x_shape, **options)
    assert_op(backend, "conv2d_backward_data", numbers(y.shape, dtype, 8), weight, x_shape, **options)
    assert_op(backend, "conv2d_backward_weights", dy, numbers(x_shape, dtype, 9), weight_shape, **options)
    assert_op(backend, "conv2d_backward_weights", numbers(y.shape, dtype, 10), x, weight_shape, **options)
    assert_op(backend, "conv2d_backward_bias", dy)


@pytest.mark.parametrize(("dtype", "n"), [(np.float32, 35), (np.float64, 9)])
@pytest.mark.parametrize("options", [{"padding": 1}, {"padding": 1, "stride": 3}])
def test_padding_of_many_images_takes_part_as_zero(
    backend: ModuleType, options: dict[str, Any], dtype: npt.DTypeLike, n: int
) -> None:
    def tiny(shape: tuple[int, ...], seed: int) -> Any:
        """Data whose products underflow to +0 and -0; a sum of -0 becomes +0 where +0 is added."""
        return np.asarray(np.sign(numbers(shape, dtype, seed)) * np.sqrt(np.finfo(dtype).tiny) * 1e-10, dtype)

    def special_once(shape: tuple[int, ...], seed: int) -> Any:
        x = numbers(shape, dtype, seed)
        x[3] = specials(shape[1:], dtype, seed)
        return x

    x_shape, weight_shape = (n, 8, 4, 4), (8, 8, 3, 3)
    y_shape = reference.conv2d_forward(full(*x_shape), full(*weight_shape), **options).shape
    for values in (tiny, special_once):
        x, weight, dy = values(x_shape, 1), values(weight_shape, 2), values(y_shape, 3)
        others = tiny if values is tiny else lambda shape, seed: numbers(shape, dtype, seed)
        assert_op(backend, "conv2d_forward", x, others(weight_shape, 4), numbers(8, dtype, 5), **options)
        assert_op(backend, "conv2d_forward", others(x_shape, 6), weight, numbers(8, dtype, 7), **options)
        assert_op(backend, "conv2d_backward_data", dy, others(weight_shape, 8), x_shape, **options)
        assert_op(backend, "conv2d_backward_data", others(y_shape, 9), weight, x_shape, **options)
        assert_op(backend, "conv2d_backward_weights", dy, others(x_shape, 10), weight_shape, **options)
        assert_op(backend, "conv2d_backward_weights", others(y_shape, 11), x, weight_shape, **options)


def test_padding_takes_part_as_zero(backend: ModuleType) -> None:
    x, weight = np.ones((1, 1, 1, 1), np.float32), np.full((1, 1, 1, 3), np.inf, np.float32)
    weight[..., 1] = 1
    assert_same_bits(backend.conv2d_forward(x, weight, padding=(0, 1)), np.full((1, 1, 1, 1), np.nan, np.float32))
    assert_same_bits(
        backend.conv2d_backward_data(x, weight, x.shape, padding=(0, 1)), np.full((1, 1, 1, 1), np.nan, np.float32)
    )


def test_taps_that_the_stride_does_not_reach_are_absent(backend: ModuleType) -> None:
    dy, weight = np.ones((1, 1, 1, 2), np.float32), np.array([[[[1, np.inf]]]], np.float32)
    dx = backend.conv2d_backward_data(dy, weight, (1, 1, 1, 5), stride=2)
    assert_same_bits(dx, np.array([[[[1, np.inf, 1, np.inf, 0]]]], np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", COLUMN_CASES)
def test_columns(backend: ModuleType, case: tuple[tuple[int, ...], Any, dict[str, Any]], dtype: npt.DTypeLike) -> None:
    x_shape, kernel_size, options = case
    for values in (numbers, specials, zeros_and_ties):
        col = assert_op(backend, "im2col", values(x_shape, dtype, 1), kernel_size, **options)
        assert_op(backend, "col2im", values(col.shape, dtype, 2), x_shape, kernel_size, **options)


def test_col2im_stores_the_first_and_adds_the_others(backend: ModuleType) -> None:
    minus = np.full((2, 2), -0.0, np.float32)
    # Two windows of two elements overlap in the middle one; -0 is kept where it is stored, and where it is added to -0.
    assert_same_bits(backend.col2im(minus, (1, 1, 1, 3), (1, 2)), np.full((1, 1, 1, 3), -0.0, np.float32))
    assert_same_bits(backend.col2im(minus[:1], (1, 1, 1, 3), (1, 2), 2), np.array([[[[-0.0, -0.0, 0.0]]]], np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [case for case in CASES if "groups" not in case[2]], ids=shapes)
def test_gemm_over_columns_is_the_convolution(
    backend: ModuleType, case: tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], dtype: npt.DTypeLike
) -> None:
    x_shape, weight_shape, options = case
    x, weight = numbers(x_shape, dtype, 1), numbers(weight_shape, dtype, 2)
    k = weight_shape[0]
    y = backend.conv2d_forward(x, weight, **options)
    col = backend.im2col(x, weight_shape[2:], **options)
    rows = backend.gemm(col, weight.reshape(k, col.shape[1]), transpose_b=True)
    n, _, oh, ow = y.shape
    assert_same_bits(rows.reshape(n, oh, ow, k).transpose(0, 3, 1, 2), y)

    dy = numbers(y.shape, dtype, 3)
    dy_rows = dy.transpose(0, 2, 3, 1).reshape(n * oh * ow, k)
    dweight = backend.conv2d_backward_weights(dy, x, weight_shape, **options)
    assert_same_bits(backend.gemm(dy_rows, col, transpose_a=True).reshape(weight_shape), dweight)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_has_the_same_bits_in_any_batch(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    x, weight = numbers((9, 3, 8, 8), dtype, 1), numbers((5, 3, 3, 3), dtype, 2)
    whole = backend.conv2d_forward(x, weight, padding=1)
    for start, stop in ((0, 1), (8, 9), (2, 6)):
        assert_same_bits(backend.conv2d_forward(x[start:stop], weight, padding=1), whole[start:stop])


def test_a_large_stride_and_dilation(backend: ModuleType) -> None:
    x, weight = numbers((1, 2, 5, 5), np.float32, 1), numbers((3, 2, 1, 1), np.float32, 2)
    options = {"stride": BIG, "padding": 0, "dilation": BIG}
    y = assert_op(backend, "conv2d_forward", x, weight, **options)
    assert_op(backend, "conv2d_backward_data", y, weight, x.shape, **options)
    assert_op(backend, "conv2d_backward_weights", y, x, weight.shape, **options)
    assert_same_bits(reference.conv2d_forward(x[:, :, :1, :1], weight), y)


@pytest.mark.parametrize(("op", "args", "error", "message"), REFUSALS)
def test_refusals(backend: ModuleType, op: str, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(backend, op)(*args())
