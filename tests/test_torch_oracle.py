"""PyTorch as an outside oracle of the reference's formulas, within bounds on what rounding can do.

Every other backend has the reference's bits, so the reference stands for all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, FUNCTIONS, Array, numbers
from nnlite import reference
from support import rng

torch = pytest.importorskip("torch")
F = torch.nn.functional


def tensor(x: Array) -> Any:
    return torch.tensor(x, requires_grad=x.dtype.kind == "f")


def gradients(y: Any, dy: Array, *inputs: Any) -> list[Array]:
    return [g.numpy() for g in torch.autograd.grad(y, inputs, torch.tensor(dy))]


def assert_within(got: Array, want: Any, magnitude: npt.ArrayLike, roundings: int) -> None:
    """Two results of at most ``roundings`` roundings each, all of numbers of at most ``magnitude``.

    One rounding is off by at most half an ulp, eps/2 times the magnitude; each result by ``roundings`` times that (and
    a little more, for which the bound is doubled), and the two together by twice as much.
    """
    want = want.detach().numpy() if torch.is_tensor(want) else want
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    bound = 2 * roundings * np.finfo(got.dtype).eps * np.asarray(magnitude, np.float64)
    error = abs(got.astype(np.float64) - want)
    assert np.all(error <= bound), f"off by up to {np.max(error / bound)} of the bound"


CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 7, 8), (4, 3, 3, 2), {}),
    ((2, 3, 8, 9), (5, 3, 3, 3), {"padding": 1}),
    ((1, 2, 12, 13), (3, 2, 3, 3), {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2)}),
    ((1, 2, 11, 10), (3, 2, 2, 2), {"stride": 3}),
    ((2, 4, 6, 6), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 3, 7, 6), (6, 1, 3, 2), {"groups": 3, "stride": 2, "dilation": (1, 2), "padding": 1}),
    ((1, 60, 6, 6), (4, 60, 3, 3), {"padding": 1}),
]
POOLS = [
    ((2, 3, 6, 8), 2, 2, 0),
    ((2, 3, 7, 9), 3, 2, 1),
    ((2, 3, 9, 7), (3, 2), (2, 1), (1, 0)),
    ((1, 2, 9, 11), 2, 3, 0),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv2d(case: tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], dtype: Any) -> None:
    x_shape, weight_shape, options = case
    x, weight, bias = numbers(x_shape, dtype, 1), numbers(weight_shape, dtype, 2), numbers(weight_shape[0], dtype, 3)
    tx, tweight, tbias = tensor(x), tensor(weight), tensor(bias)
    ty = F.conv2d(tx, tweight, tbias, **options)
    dy = numbers(tuple(ty.shape), dtype, 4)
    dx, dweight, dbias = gradients(ty, dy, tx, tweight, tbias)

    # The same sums of absolute values bound every partial sum.
    taps = int(np.prod(weight_shape[1:]))
    magnitude = reference.conv2d_forward(abs(x), abs(weight), abs(bias), **options)
    assert_within(reference.conv2d_forward(x, weight, bias, **options), ty, magnitude, 2 * taps + 1)

    magnitude = reference.conv2d_backward_data(abs(dy), abs(weight), x_shape, **options)
    roundings = 2 * taps * weight_shape[0]
    assert_within(reference.conv2d_backward_data(dy, weight, x_shape, **options), dx, magnitude, roundings)

    positions = dy.size // weight_shape[0]
    magnitude = reference.conv2d_backward_weights(abs(dy), abs(x), weight_shape, **options)
    assert_within(reference.conv2d_backward_weights(dy, x, weight_shape, **options), dweight, magnitude, 2 * positions)
    magnitude = reference.conv2d_backward_bias(abs(dy))
    assert_within(reference.conv2d_backward_bias(dy), dbias, magnitude, positions)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(3, 4, 5), (2, 3, 700)])
def test_linear(size: tuple[int, int, int], dtype: Any) -> None:
    n, outputs, inputs = size
    x, weight, bias = numbers((n, inputs), dtype, 1), numbers((outputs, inputs), dtype, 2), numbers(outputs, dtype, 3)
    tx, tweight, tbias = tensor(x), tensor(weight), tensor(bias)
    ty = F.linear(tx, tweight, tbias)
    dy = numbers((n, outputs), dtype, 4)
    dx, dweight, dbias = gradients(ty, dy, tx, tweight, tbias)
    y, a, b = reference.linear_forward(x, weight, bias), abs(x), abs(weight)
    assert_within(y, ty, reference.linear_forward(a, b, abs(bias)), 2 * inputs + 1)
    assert_within(
        reference.linear_backward_data(dy, weight), dx, reference.linear_backward_data(abs(dy), b), 2 * outputs
    )
    assert_within(
        reference.linear_backward_weights(dy, x), dweight, reference.linear_backward_weights(abs(dy), a), 2 * n
    )
    assert_within(reference.linear_backward_bias(dy), dbias, reference.linear_backward_bias(abs(dy)), n)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CONVOLUTIONS[:4])
def test_columns(case: tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], dtype: Any) -> None:
    x_shape, (_, _, r, s), options = case
    x = numbers(x_shape, dtype, 1)
    tx = tensor(x)
    tcol = F.unfold(tx, (r, s), **options).transpose(1, 2).reshape(-1, x_shape[1] * r * s)
    col = reference.im2col(x, (r, s), **options)
    np.testing.assert_array_equal(col, tcol.detach().numpy())
    dcol = numbers(col.shape, dtype, 2)
    (dx,) = gradients(tcol, dcol, tx)
    got = reference.col2im(dcol, x_shape, (r, s), **options)
    assert_within(got, dx, reference.col2im(abs(dcol), x_shape, (r, s), **options), r * s)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", POOLS)
def test_pooling(case: tuple[tuple[int, ...], Any, Any, Any], dtype: Any) -> None:
    x_shape, *window = case
    x = numbers(x_shape, dtype, 1)
    tx = tensor(x)
    ty = F.max_pool2d(tx, *window)
    y, index = reference.max_pool2d_forward(x, *window)
    np.testing.assert_array_equal(y, ty.detach().numpy())
    dy = numbers(y.shape, dtype, 2)
    (dx,) = gradients(ty, dy, tx)
    magnitude = reference.max_pool2d_backward(abs(dy), index, x_shape, *window)
    assert_within(reference.max_pool2d_backward(dy, index, x_shape, *window), dx, magnitude, 9)

    ty = F.avg_pool2d(tx, *window)
    assert_within(reference.avg_pool2d_forward(x, *window), ty, reference.avg_pool2d_forward(abs(x), *window), 10)
    (dx,) = gradients(ty, dy, tx)
    magnitude = reference.avg_pool2d_backward(abs(dy), x_shape, *window)
    assert_within(reference.avg_pool2d_backward(dy, x_shape, *window), dx, magnitude, 10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_global_average(dtype: Any) -> None:
    x, dy = numbers((2, 3, 5, 7), dtype, 1), numbers((2, 3, 1, 1), dtype, 2)
    tx = tensor(x)
    ty = F.adaptive_avg_pool2d(tx, 1)
    assert_within(reference.global_avg_pool2d_forward(x), ty, reference.global_avg_pool2d_forward(abs(x)), 36)
    (dx,) = gradients(ty, dy, tx)
    got = reference.global_avg_pool2d_backward(dy, x.shape)
    assert_within(got, dx, abs(got), 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 5, 7)])
def test_batchnorm(shape: tuple[int, ...], dtype: Any) -> None:
    x, dy = numbers(shape, dtype, 1), numbers(shape, dtype, 2)
    weight, bias = numbers(shape[1], dtype, 3), numbers(shape[1], dtype, 4)
    running = numbers(shape[1], dtype, 5), abs(numbers(shape[1], dtype, 6)) + dtype(0.5)
    count = x.size // shape[1]
    # Sums of `count` terms of magnitude ~1 enter every result, through few further operations and factors below 8.
    roundings, magnitude = count + 16, 8 * max(abs(x).max(), abs(dy).max()) ** 2

    for training in (True, False):
        tx, tweight, tbias = tensor(x), tensor(weight), tensor(bias)
        tmean, tvar = (torch.tensor(r.copy()) for r in running)
        ty = F.batch_norm(tx, tmean, tvar, tweight, tbias, training=training, momentum=0.1, eps=1e-5)
        wanted = gradients(ty, dy, tx, tweight, tbias)
        if training:
            y, mean, var = reference.batchnorm_training_forward(x, weight, bias)
            got = reference.batchnorm_training_backward(dy, x, weight, mean, var)
            new = reference.batchnorm_running_update(*running, mean, var, count, 0.1)
            for ours, theirs in zip(new, (tmean, tvar), strict=True):
                assert_within(ours, theirs, magnitude, roundings)
        else:
            y = reference.batchnorm_inference_forward(x, weight, bias, *running)
            got = reference.batchnorm_inference_backward(dy, x, weight, *running)
        assert_within(y, ty, magnitude, roundings)
        sums = [1, count, count]  # dweight and dbias are sums, not means
        for ours, theirs, terms in zip(got, wanted, sums, strict=True):
            assert_within(ours, theirs, magnitude * terms, roundings)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_and_losses(dtype: Any) -> None:
    x, dy = numbers((5, 37), dtype, 1) * dtype(3), numbers((5, 37), dtype, 2)
    tx = tensor(x)
    ty = F.softmax(tx, 1)
    y = reference.softmax_forward(x)
    # x - m is off by an ulp of up to 32, which exp multiplies by; the sum has 37 terms.
    roundings = 32 + 37 + 4
    assert_within(y, ty, 1, roundings)
    (dx,) = gradients(ty, dy, tx)
    assert_within(reference.softmax_backward(dy, y), dx, 2 * abs(dy).max(), roundings)

    probabilities = np.asarray(reference.softmax_forward(numbers((5, 37), dtype, 3)))
    dloss = np.array(0.7, dtype)
    for target in (rng(4).integers(0, 37, 5), probabilities):
        tloss = F.cross_entropy(tx, torch.tensor(target))
        loss, y = reference.softmax_cross_entropy_forward(x, target)
        assert_within(loss, tloss, 32, roundings)
        (dx,) = gradients(tloss, dloss, tx)
        assert_within(reference.softmax_cross_entropy_backward(dloss, y, target), dx, 1, roundings)

    tloss = F.mse_loss(tx, torch.tensor(dy))
    loss = reference.mse_forward(x, dy)
    assert_within(loss, tloss, loss, x.size + 3)
    (dx,) = gradients(tloss, dloss, tx)
    got = reference.mse_backward(dloss, x, dy)
    assert_within(got, dx, abs(got), 4)


def peer(name: str) -> Callable[[Any], Any]:
    """PyTorch's function of that name, or its function f with approximate="tanh" for the name f_tanh."""
    name, _, approximate = name.partition("_")
    function = getattr(F, name, None) or getattr(torch, name)
    return functools.partial(function, approximate=approximate) if approximate else function  # type: ignore[no-any-return]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str, dtype: Any) -> None:
    x = numbers(1000, dtype, 1) * dtype(3)
    x = abs(x) if name in ("log", "log1p", "sqrt") else x
    dy = numbers(1000, dtype, 2)
    tx = tensor(x)
    ty = peer(name)(tx)
    y = getattr(reference, f"{name}_forward")(x)
    # 1 + tanh and 1 - y cancel: relative to numbers about 1, and to dy times factors of x, not to the small result.
    assert_within(y, ty, np.maximum(abs(y), np.minimum(abs(x), 1)), 4)
    (dx,) = gradients(ty, dy, tx)
    got = getattr(reference, f"{name}_backward")(dy, x if FUNCTIONS[name] == "x" else y)
    assert_within(got, dx, np.maximum(abs(dx), abs(dy) * np.maximum(abs(x), 1)), 8)
