"""What the drop-in has in one pass over memory equals the ops that it is composed of, bit for bit."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite.backend import available
from nnlite.dropin import calls, fused

SPECIAL = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -5e-324, 1.5, -1.5]
GEOMETRIES = [
    # images, filters, stride, pad
    ((0, 2, 5, 5), (3, 2, 3, 3), 1, 1),
    ((1, 1, 28, 28), (30, 1, 5, 5), 1, 0),
    ((9, 1, 9, 7), (5, 1, 3, 2), 2, 1),
    ((13, 3, 8, 8), (33, 3, 3, 3), 1, 1),
    ((40, 2, 6, 6), (8, 2, 1, 1), 1, 0),
    ((3, 2, 2, 2), (0, 2, 1, 1), 1, 0),
]


@pytest.fixture(params=[name for name in available() if name != "reference"])
def module(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    before, threads = nl.backend(request.param), nl.get_num_threads()
    with before:
        yield importlib.import_module(f"nnlite._{request.param}")
    nl.set_num_threads(threads)


def same_bits(got: np.ndarray, want: np.ndarray) -> None:
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    assert np.ascontiguousarray(got).tobytes() == np.ascontiguousarray(want).tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_convolution(module: ModuleType, geometry: Any, dtype: Any, threads: int) -> None:
    nl.set_num_threads(threads)
    shape, filters, stride, pad = geometry
    rng = np.random.default_rng(1)
    x, w, b = (rng.standard_normal(size).astype(dtype) for size in (shape, filters, filters[:1]))
    y = fused.conv2d_forward(x, w, b, stride, pad)
    same_bits(y, module.conv2d_forward(x, w, b, stride, pad))
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    same_bits(y, fused.channels_last(np.ascontiguousarray(y)) if y.size else y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (7, 30, 24, 24), (3, 1, 2, 2), (2, 5, 1, 1), (10,), (4, 9)], ids=str)
def test_relu(module: ModuleType, shape: tuple[int, ...], dtype: Any) -> None:
    x = np.random.default_rng(2).standard_normal(shape).astype(dtype)
    x.ravel()[:10] = np.array(SPECIAL, dtype)[: x.size]
    layouts = [x] if len(shape) != 4 else [x, np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)]
    for v in layouts:
        mask, y = fused.relu_forward(v)
        same_bits(y, module.relu_forward(x))
        same_bits(mask, x <= 0)
        assert y.flags.c_contiguous
        dout = np.random.default_rng(3).standard_normal(shape).astype(dtype)
        dout.ravel()[-10:] = np.array(SPECIAL, dtype)[-x.size :]
        want = dout.copy()
        want[mask] = 0
        assert fused.relu_backward(dout, mask) is dout
        same_bits(dout, want)


def test_without_a_kernel_the_ops_are_composed() -> None:
    x, w, b = np.random.rand(2, 3, 6, 6), np.random.rand(4, 3, 3, 3), np.random.rand(4)
    y = fused.conv2d_forward(x, w, b, 1, 1)
    mask, r = fused.relu_forward(-y)
    with nl.backend("reference"):
        other = fused.conv2d_forward(x, w, b, 1, 1)
        same_bits(y, other)
        assert y.strides == other.strides
        mask_of_ops, r_of_ops = fused.relu_forward(-other)
        same_bits(mask, mask_of_ops)
        same_bits(r, r_of_ops)
        with pytest.raises(calls.UnsuitedError):
            fused.relu_backward(r, mask)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("conv2d_forward", (np.ones((1, 2, 5, 5)), np.ones((3, 1, 3, 3)), np.ones(3), 1, 0), ValueError, "2 channels"),
        ("conv2d_forward", (np.ones((1, 2, 5, 5)), np.ones((3, 2, 6, 3)), np.ones(3), 1, 0), ValueError, "kernel"),
        ("conv2d_forward", (np.ones((1, 2, 5, 5)), np.ones((3, 2, 0, 3)), np.ones(3), 1, 0), ValueError, "kernel"),
        ("conv2d_forward", (np.ones((1, 2, 5, 5)), np.ones((3, 2, 3, 3)), np.ones(2), 1, 0), ValueError, "bias"),
        ("conv2d_forward", (np.ones((1, 2, 5, 5)), np.ones((3, 2, 3, 3)), np.ones(3), 0, 0), ValueError, "stride"),
        ("conv2d_forward", (np.ones((1, 2, 5, 5)), np.ones((3, 2, 3, 3), "f"), np.ones(3), 1, 0), TypeError, "float"),
        ("relu_forward_channels_last", (np.ones((2, 3)),), ValueError, "3 dimensions"),
        ("relu_backward", (np.ones(3), np.ones(2, np.uint8)), ValueError, "mask has shape"),
        ("relu_backward", (np.ones(3), np.ones(3)), TypeError, "mask must be uint8"),
        ("relu_backward", (np.ones((3, 4)).T, np.ones((4, 3), np.uint8)), ValueError, "C-contiguous"),
    ],
)
def test_refusals(module: ModuleType, name: str, arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(module, f"_dropin_{name}")(*arguments)
