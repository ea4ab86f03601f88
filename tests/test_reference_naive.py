"""The reference against docs/numerics.md written out in loops over single numbers, without its vectorised shortcuts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from compare import DTYPES, Array, numbers, specials, zeros_and_ties
from nnlite import reference
from support import assert_same_bits
from test_arith import naive_dot, naive_sum

# x, weight, stride, padding, dilation, groups
CONVOLUTIONS = [
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 2, 4, 5), (3, 2, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 2, 5, 4), (2, 2, 3, 3), (2, 1), (1, 2), (1, 1), 1),
    ((1, 2, 7, 8), (2, 2, 2, 2), (3, 3), (0, 0), (1, 1), 1),
    ((1, 1, 7, 9), (2, 1, 3, 2), (2, 3), (2, 1), (2, 3), 1),
    ((1, 1, 6, 6), (1, 1, 3, 3), (2, 2), (2, 2), (2, 2), 1),
    ((1, 4, 4, 5), (6, 2, 2, 3), (1, 2), (1, 1), (1, 1), 2),
    ((1, 3, 4, 4), (3, 1, 3, 3), (1, 1), (1, 1), (1, 1), 3),
    ((1, 1, 2, 2), (2, 1, 2, 2), (1, 1), (3, 3), (1, 1), 1),
    ((1, 58, 3, 4), (2, 58, 3, 3), (1, 1), (0, 0), (1, 1), 1),  # forward: 522 products
    ((1, 1, 4, 4), (140, 1, 4, 4), (2, 2), (1, 1), (1, 1), 1),  # backward data: 560 of 2,240 taps are reached
    ((2, 1, 17, 18), (2, 1, 2, 2), (1, 1), (0, 0), (1, 1), 1),  # backward weights: 544 products
]
# x, kernel_size, stride, padding
POOLS = [
    ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0)),
    ((2, 2, 4, 6), (2, 2), (2, 2), (0, 0)),
    ((1, 2, 5, 6), (3, 3), (2, 2), (1, 1)),
    ((1, 2, 5, 6), (3, 2), (1, 1), (1, 1)),
    ((1, 2, 7, 5), (2, 2), (3, 3), (0, 0)),
    ((1, 1, 5, 5), (4, 4), (1, 3), (2, 2)),
]


def dot(a: list[Any], b: list[Any], like: Array) -> Any:
    return like.dtype.type(naive_dot(np.array(a, like.dtype), np.array(b, like.dtype)))


def at(x: Array, n: int, c: int, h: int, w: int) -> Any:
    """``x[n, c, h, w]``, +0 outside."""
    return x[n, c, h, w] if 0 <= h < x.shape[2] and 0 <= w < x.shape[3] else x.dtype.type(0)


def output(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    return int((size + 2 * padding - dilation * (kernel - 1) - 1) // stride) + 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution(case: Any, dtype: Any) -> None:
    x_shape, weight_shape, (sh, sw), (ph, pw), (dh, dw), groups = case
    options = {"stride": (sh, sw), "padding": (ph, pw), "dilation": (dh, dw), "groups": groups}
    (n_, c_, h_, w_), (k_, cg, r_, s_) = x_shape, weight_shape
    kg = k_ // groups
    oh_, ow_ = output(h_, r_, sh, ph, dh), output(w_, s_, sw, pw, dw)
    x, weight, bias = numbers(x_shape, dtype, 1), numbers(weight_shape, dtype, 2), numbers(k_, dtype, 3)
    dy = numbers((n_, k_, oh_, ow_), dtype, 4)

    y = np.empty_like(dy)
    for n, k, oh, ow in np.ndindex(dy.shape):
        taps = list(itertools.product(range(cg), range(r_), range(s_)))
        pixels = [at(x, n, k // kg * cg + c, oh * sh - ph + r * dh, ow * sw - pw + s * dw) for c, r, s in taps]
        y[n, k, oh, ow] = dot(pixels, [weight[k, c, r, s] for c, r, s in taps], x) + bias[k]
    assert_same_bits(reference.conv2d_forward(x, weight, bias, **options), y)

    dx = np.empty_like(x)
    for n, c, h, w in np.ndindex(x_shape):
        a, b = [], []
        for k, r_flipped, s_flipped in itertools.product(range(kg), range(r_), range(s_)):
            r, s = r_ - 1 - r_flipped, s_ - 1 - s_flipped
            oh, row_rest = divmod(h + ph - r * dh, sh)
            ow, column_rest = divmod(w + pw - s * dw, sw)
            if row_rest == 0 and column_rest == 0:
                a.append(at(dy, n, c // cg * kg + k, oh, ow))
                b.append(weight[c // cg * kg + k, c % cg, r, s])
        dx[n, c, h, w] = dot(a, b, x)
    assert_same_bits(reference.conv2d_backward_data(dy, weight, x_shape, **options), dx)

    dweight = np.empty_like(weight)
    for k, c, r, s in np.ndindex(weight_shape):
        places = list(itertools.product(range(n_), range(oh_), range(ow_)))
        channel = k // kg * cg + c
        pixels = [at(x, n, channel, oh * sh - ph + r * dh, ow * sw - pw + s * dw) for n, oh, ow in places]
        dweight[k, c, r, s] = dot([dy[n, k, oh, ow] for n, oh, ow in places], pixels, x)
    assert_same_bits(reference.conv2d_backward_weights(dy, x, weight_shape, **options), dweight)

    dbias = [naive_sum(np.array([naive_sum(dy[n, k].reshape(-1)) for n in range(n_)])) for k in range(k_)]
    assert_same_bits(reference.conv2d_backward_bias(dy), np.array(dbias))

    if groups == 1:
        col = np.empty((n_, oh_, ow_, c_, r_, s_), dtype)
        for n, oh, ow, c, r, s in np.ndindex(col.shape):
            col[n, oh, ow, c, r, s] = at(x, n, c, oh * sh - ph + r * dh, ow * sw - pw + s * dw)
        del options["groups"]
        assert_same_bits(reference.im2col(x, (r_, s_), **options), col.reshape(n_ * oh_ * ow_, c_ * r_ * s_))
        for values in (numbers, zeros_and_ties):
            col = values(col.shape, dtype, 5)
            dx = gathered(x_shape, (oh_, ow_), dtype, column_elements(col, case))
            got = reference.col2im(col.reshape(n_ * oh_ * ow_, c_ * r_ * s_), x_shape, (r_, s_), **options)
            assert_same_bits(got, dx)


def column_elements(col: Array, case: Any) -> Callable[..., Any]:
    """Of window ``(oh, ow)`` of ``col`` what belongs to input element ``(h, w)``; ``None`` where no tap lies on it."""
    _, (_, _, r_, s_), (sh, sw), (ph, pw), (dh, dw), _ = case

    def element(n: int, c: int, h: int, w: int, oh: int, ow: int) -> Any:
        for r, s in itertools.product(range(r_), range(s_)):
            if (oh * sh - ph + r * dh, ow * sw - pw + s * dw) == (h, w):
                return col[n, oh, ow, c, r, s]
        return None

    return element


def gathered(x_shape: Any, windows: tuple[int, int], dtype: Any, contribution: Any) -> Array:
    """Contributions in ascending ``(oh, ow)``: the first stored, later ones added, +0 without any."""
    dx = np.zeros(x_shape, dtype)
    for n, c, h, w in np.ndindex(x_shape):
        found = None
        for oh, ow in np.ndindex(windows):
            value = contribution(n, c, h, w, oh, ow)
            if value is not None:
                found = value if found is None else found + value
        if found is not None:
            dx[n, c, h, w] = found
    return dx


def taps_inside(
    x_shape: Any, kernel: Any, stride: Any, padding: Any, oh: int, ow: int
) -> Iterator[tuple[int, int, int]]:
    """``r*S + s`` and the place of the taps of a window that lie inside the input."""
    for r, s in itertools.product(range(kernel[0]), range(kernel[1])):
        h, w = oh * stride[0] - padding[0] + r, ow * stride[1] - padding[1] + s
        if 0 <= h < x_shape[2] and 0 <= w < x_shape[3]:
            yield r * kernel[1] + s, h, w


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("values", [numbers, specials, zeros_and_ties])
@pytest.mark.parametrize("case", POOLS)
@np.errstate(all="ignore")
def test_pooling(case: Any, values: Any, dtype: Any) -> None:
    x_shape, kernel, stride, padding = case
    windows = tuple(output(x_shape[2 + i], kernel[i], stride[i], padding[i]) for i in range(2))
    x, dy = values(x_shape, dtype, 1), values((*x_shape[:2], *windows), dtype, 2)
    count = dtype(kernel[0] * kernel[1])

    y, average, index = np.empty_like(dy), np.empty_like(dy), np.empty(dy.shape, np.uint8)
    for n, c, oh, ow in np.ndindex(dy.shape):
        best, total = None, dtype(0)
        for tap, h, w in taps_inside(x_shape, kernel, stride, padding, oh, ow):
            value = x[n, c, h, w]
            total = total + value
            if best is None or value > best or (value != value and best == best):
                best, index[n, c, oh, ow] = value, tap
        y[n, c, oh, ow], average[n, c, oh, ow] = best, total / count
    assert_same_bits(reference.max_pool2d_forward(x, kernel, stride, padding), (y, index))
    assert_same_bits(reference.avg_pool2d_forward(x, kernel, stride, padding), average)

    def chosen(n: int, c: int, h: int, w: int, oh: int, ow: int) -> Any:
        here = [tap for tap, i, j in taps_inside(x_shape, kernel, stride, padding, oh, ow) if (i, j) == (h, w)]
        return dy[n, c, oh, ow] if here == [index[n, c, oh, ow]] else None

    def covered(n: int, c: int, h: int, w: int, oh: int, ow: int) -> Any:
        inside = [(i, j) for _, i, j in taps_inside(x_shape, kernel, stride, padding, oh, ow)]
        return dy[n, c, oh, ow] / count if (h, w) in inside else None

    got = reference.max_pool2d_backward(dy, index, x_shape, kernel, stride, padding)
    assert_same_bits(got, gathered(x_shape, windows, dtype, chosen))
    got = reference.avg_pool2d_backward(dy, x_shape, kernel, stride, padding)
    assert_same_bits(got, gathered(x_shape, windows, dtype, covered))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 2), (2, 2, 3), (3, 2, 5, 7), (1, 1, 2, 1)])
def test_batchnorm(shape: tuple[int, ...], dtype: Any) -> None:
    x, dy = numbers(shape, dtype, 1), numbers(shape, dtype, 2)
    weight, bias, eps = numbers(shape[1], dtype, 3), numbers(shape[1], dtype, 4), 1e-3
    samples, plane = shape[0], int(np.prod(shape[2:]))
    p, m = dtype(plane), dtype(samples * plane)
    y, dx = np.empty_like(x), np.empty_like(x)
    results = []
    for c in range(shape[1]):
        planes = x[:, c].reshape(samples, plane)
        s = np.array([naive_sum(row) for row in planes])
        means = s / p
        q = np.array([naive_sum((row - mean) * (row - mean)) for row, mean in zip(planes, means, strict=True)])
        mean = naive_sum(s) / m
        var = naive_sum(q + ((means - mean) * (means - mean)) * p) / m
        rstd = dtype(1) / np.sqrt(var + dtype(eps))
        scale = weight[c] * rstd
        y[:, c] = (x[:, c] - mean) * scale + bias[c]

        gradients = dy[:, c].reshape(samples, plane)
        dbias = naive_sum(np.array([naive_sum(row) for row in gradients]))
        products = gradients * (planes - mean)
        t = naive_sum(np.array([naive_sum(row) for row in products]))
        a, b = dbias / m, ((t * rstd) * rstd) / m
        dx[:, c] = ((dy[:, c] - a) - (x[:, c] - mean) * b) * scale
        results.append((mean, var, t * rstd, dbias))
    mean, var, dweight, dbias = (np.array(column) for column in zip(*results, strict=True))
    assert_same_bits(reference.batchnorm_training_forward(x, weight, bias, eps), (y, mean, var))
    assert_same_bits(reference.batchnorm_training_backward(dy, x, weight, mean, var, eps), (dx, dweight, dbias))


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_cross_entropy(dtype: Any) -> None:
    x, target = numbers((5, 37), dtype, 1), np.array([3, 36, 0, 1, 1])
    y, losses = np.empty_like(x), np.empty(5, dtype)
    for n in range(5):
        m = max(x[n])
        e = reference.exp_forward(x[n] - m)
        s = naive_sum(e)
        y[n] = e / s
        losses[n] = reference.log_forward(s) - (x[n, target[n]] - m)
    loss = np.array(naive_sum(losses) / dtype(5))
    assert_same_bits(reference.softmax_cross_entropy_forward(x, target), (loss, y))
    one_hot = np.eye(37, dtype=dtype)[target]
    g = dtype(0.7) / dtype(5)
    dloss = np.array(0.7, dtype)
    assert_same_bits(reference.softmax_cross_entropy_backward(dloss, y, target), (y - one_hot) * g)


def test_running_update_uses_the_unbiased_variance_in_binary64() -> None:
    mean, var = numbers(7, np.float32, 1), abs(numbers(7, np.float32, 2))
    momentum, count = 0.1, 7
    old, new = np.float32(1 - momentum), np.float32(momentum)
    unbiased = np.float32(count / (count - 1))
    want = (mean * old + var * new, var * old + (mean * unbiased) * new)
    assert_same_bits(reference.batchnorm_running_update(mean, var, var, mean, count, momentum), want)


@pytest.mark.parametrize("dtype", DTYPES)
def test_optimizer_formulas(dtype: Any) -> None:
    p, g, m, v = (numbers(9, dtype, seed) for seed in range(4))
    v = v * v
    lr, beta1, beta2, eps, decay, corrections = 1e-3, 0.9, 0.999, 1e-8, 0.01, (1 - 0.9**2, 1 - 0.999**2)
    t = dtype
    want_m = t(beta1) * m + t(1 - beta1) * g
    want_v = t(beta2) * v + t(1 - beta2) * (g * g)
    step, inverse_root = t(lr / corrections[0]), t(1 / np.sqrt(corrections[1]))
    shrunk = p * t(1 - lr * decay)
    want = shrunk - (step * want_m) / (np.sqrt(want_v) * inverse_root + t(eps))
    got = [[p.copy()], [g], [m.copy()], [v.copy()]]
    reference.adam_update(*got, lr, beta1, beta2, eps, decay, True, *corrections)
    assert_same_bits((got[0][0], got[2][0], got[3][0]), (want, want_m, want_v))

    decayed = g + t(decay) * p
    velocity = t(0.9) * m + decayed
    got = [[p.copy()], [g], [m.copy()]]
    reference.sgd_update(*got, lr, 0.9, decay, True)
    assert_same_bits((got[0][0], got[2][0]), (p - t(lr) * (decayed + t(0.9) * velocity), velocity))
