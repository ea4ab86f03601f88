"""Shapes, strides and types drawn by Hypothesis: every backend has the reference's bits."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from compare import DTYPES, Array, numbers, specials, zeros_and_ties
from nnlite import reference
from support import assert_same_bits

few = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
sizes = st.integers(0, 9)
positive = st.integers(1, 5)


@st.composite
def arrays(draw: st.DrawFn, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An array of ``shape`` as a view: steps, reversed axes, a transposed or misaligned base."""
    values = draw(st.sampled_from([numbers, specials, zeros_and_ties]))
    x = np.array(values(shape, dtype, draw(st.integers(0, 2**16))))
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, 2, -1, -3])) for _ in shape]
    offset = draw(st.sampled_from([0, 0, 1]))
    base_shape = tuple(shape[axis] * abs(steps[axis]) for axis in order)
    raw = np.zeros(int(np.prod(base_shape)) * x.itemsize + offset, np.uint8)
    base = raw[offset:].view(dtype).reshape(base_shape)
    view = base.transpose(np.argsort(order))[tuple(slice(None, None, step) for step in steps)]
    view[...] = x
    return view


def assert_same(backend: ModuleType, op: str, *args: Any, **options: Any) -> Any:
    want = getattr(reference, op)(*args, **options)
    assert_same_bits(getattr(backend, op)(*args, **options), want)
    return want


@few
@given(st.data())
def test_gemm(backend: ModuleType, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    (m, n), length = (
        (data.draw(st.integers(0, 40)) for _ in range(2)),
        data.draw(st.sampled_from([0, 1, 5, 33, 511, 513])),
    )
    transpose_a, transpose_b = data.draw(st.booleans()), data.draw(st.booleans())
    a = data.draw(arrays((length, m) if transpose_a else (m, length), dtype))
    b = data.draw(arrays((n, length) if transpose_b else (length, n), dtype))
    assert_same(backend, "gemm", a, b, transpose_a, transpose_b)


@few
@given(st.data())
def test_conv2d(backend: ModuleType, data: st.DataObject) -> None:
    draw = data.draw
    dtype, groups = draw(st.sampled_from(DTYPES)), draw(st.integers(1, 3))
    n, channels, outputs = draw(st.integers(0, 3)), draw(st.integers(0, 3)), draw(st.integers(0, 4))
    h, w, r, s = draw(sizes), draw(st.integers(0, 20)), draw(positive), draw(positive)
    stride, padding, dilation = (draw(st.tuples(*[st.integers(least, 3)] * 2)) for least in (1, 0, 1))
    assume(h + 2 * padding[0] > dilation[0] * (r - 1) and w + 2 * padding[1] > dilation[1] * (s - 1))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    x_shape, weight_shape = (n, channels * groups, h, w), (outputs * groups, channels, r, s)
    x, weight = draw(arrays(x_shape, dtype)), draw(arrays(weight_shape, dtype))
    bias = draw(st.none() | arrays((outputs * groups,), dtype))
    y = assert_same(backend, "conv2d_forward", x, weight, bias, **options)
    dy = draw(arrays(y.shape, dtype))
    assert_same(backend, "conv2d_backward_data", dy, weight, x_shape, **options)
    assert_same(backend, "conv2d_backward_weights", dy, x, weight_shape, **options)
    assert_same(backend, "conv2d_backward_bias", dy)
    del options["groups"]
    col = assert_same(backend, "im2col", x, (r, s), **options)
    assert_same(backend, "col2im", draw(arrays(col.shape, dtype)), x_shape, (r, s), **options)


@few
@given(st.data())
def test_pooling(backend: ModuleType, data: st.DataObject) -> None:
    draw = data.draw
    dtype = draw(st.sampled_from(DTYPES))
    kernel = draw(positive), draw(positive)
    stride = draw(st.none() | st.tuples(positive, positive))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    x_shape = draw(st.integers(0, 2)), draw(st.integers(0, 2)), draw(st.integers(1, 9)), draw(st.integers(1, 40))
    assume(all(x_shape[2 + i] + 2 * padding[i] >= kernel[i] for i in range(2)))
    x = draw(arrays(x_shape, dtype))
    y, index = assert_same(backend, "max_pool2d_forward", x, kernel, stride, padding)
    dy = draw(arrays(y.shape, dtype))
    assert_same(backend, "max_pool2d_backward", dy, index, x_shape, kernel, stride, padding)
    assert_same(backend, "avg_pool2d_forward", x, kernel, stride, padding)
    assert_same(backend, "avg_pool2d_backward", dy, x_shape, kernel, stride, padding)
    assert_same(backend, "global_avg_pool2d_forward", x)


@few
@given(st.data())
def test_batchnorm(backend: ModuleType, data: st.DataObject) -> None:
    draw = data.draw
    dtype = draw(st.sampled_from(DTYPES))
    shape = tuple(draw(st.lists(st.integers(1, 12), min_size=2, max_size=4)))
    assume(int(np.prod(shape)) // shape[1] >= 2)
    x, dy = draw(arrays(shape, dtype)), draw(arrays(shape, dtype))
    weight, bias = draw(arrays(shape[1:2], dtype)), draw(arrays(shape[1:2], dtype))
    _, mean, var = assert_same(backend, "batchnorm_training_forward", x, weight, bias)
    assert_same(backend, "batchnorm_training_backward", dy, x, weight, mean, var)
    assert_same(backend, "batchnorm_inference_forward", x, weight, bias, mean, var)
    assert_same(backend, "batchnorm_inference_backward", dy, x, weight, mean, var)


@few
@given(st.data())
def test_softmax_cross_entropy(backend: ModuleType, data: st.DataObject) -> None:
    draw = data.draw
    dtype, rows, classes = draw(st.sampled_from(DTYPES)), draw(st.integers(1, 9)), draw(st.integers(1, 70))
    x, target = draw(arrays((rows, classes), dtype)), numbers(rows, np.float64, 1)
    target = np.asarray(abs(target) * 1000, np.int64) % classes
    _, y = assert_same(backend, "softmax_cross_entropy_forward", x, target[::-1])
    assert_same(backend, "softmax_cross_entropy_backward", np.array(0.3, dtype), y, target[::-1])
    assert_same(backend, "softmax_backward", draw(arrays((rows, classes), dtype)), y)


@few
@given(st.data())
@pytest.mark.parametrize("op", ["add", "relu_backward", "sigmoid_backward"])
def test_elementwise(backend: ModuleType, op: str, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = tuple(data.draw(st.lists(sizes, min_size=1, max_size=4)))
    assert_same(backend, op, data.draw(arrays(shape, dtype)), data.draw(arrays(shape, dtype)))


@few
@given(st.data())
def test_sums(backend: ModuleType, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = tuple(data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=3)))
    assert_same(backend, "sum_forward", data.draw(arrays(shape, dtype)))
    assert_same(backend, "linear_backward_bias", data.draw(arrays((data.draw(st.integers(0, 99)), 5), dtype)))
