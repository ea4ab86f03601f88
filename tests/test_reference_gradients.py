"""The chain's first link: every backward of the reference against central differences of its forward, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from compare import FUNCTIONS, Array, numbers
from nnlite import reference as ref
from support import rng

STEP = 1e-6
TOLERANCE = 1e-7  # the differences are off by about STEP² (third derivative) and 1e-16 / STEP (rounding)


class Case(NamedTuple):
    """``forward(*inputs)`` and ``backward(dy, y, *inputs)``, which returns one gradient for each input."""

    forward: Callable[..., Array]
    backward: Callable[..., tuple[Array, ...]]
    inputs: tuple[Array, ...]


def normal(*shape: int, seed: int = 0) -> Array:
    return numbers(shape, np.float64, seed)


def positive(*shape: int, seed: int = 0) -> Array:
    return abs(normal(*shape, seed=seed)) + 0.1


def distinct(*shape: int) -> Array:
    """No ties and no zeros: far from the kinks of max and ReLU."""
    n = int(np.prod(shape))
    return (rng(0).permutation(n) - n // 2 + 0.5).reshape(shape) * 0.1


def elementwise(name: str, takes: str) -> Case:
    x = {"log": positive, "log1p": positive, "sqrt": positive, "relu": distinct, "abs": distinct}.get(name, normal)(
        4, 5
    )
    return Case(
        getattr(ref, f"{name}_forward"),
        lambda dy, y, x: (getattr(ref, f"{name}_backward")(dy, y if takes == "y" else x),),
        (x,),
    )


def linear() -> Case:
    return Case(
        ref.linear_forward,
        lambda dy, y, x, weight, bias: (
            ref.linear_backward_data(dy, weight),
            ref.linear_backward_weights(dy, x),
            ref.linear_backward_bias(dy),
        ),
        (normal(3, 5), normal(4, 5, seed=1), normal(4, seed=2)),
    )


def conv2d(x_shape: tuple[int, ...], weight_shape: tuple[int, ...], **options: Any) -> Case:
    return Case(
        lambda x, weight, bias: ref.conv2d_forward(x, weight, bias, **options),
        lambda dy, y, x, weight, bias: (
            ref.conv2d_backward_data(dy, weight, x.shape, **options),
            ref.conv2d_backward_weights(dy, x, weight.shape, **options),
            ref.conv2d_backward_bias(dy),
        ),
        (normal(*x_shape), normal(*weight_shape, seed=1), normal(weight_shape[0], seed=2)),
    )


def im2col(x_shape: tuple[int, ...], *window: Any) -> Case:
    return Case(
        lambda x: ref.im2col(x, *window), lambda dy, y, x: (ref.col2im(dy, x.shape, *window),), (normal(*x_shape),)
    )


def max_pool2d(x_shape: tuple[int, ...], *window: Any) -> Case:
    return Case(
        lambda x: ref.max_pool2d_forward(x, *window)[0],
        lambda dy, y, x: (ref.max_pool2d_backward(dy, ref.max_pool2d_forward(x, *window)[1], x.shape, *window),),
        (distinct(*x_shape),),
    )


def avg_pool2d(x_shape: tuple[int, ...], *window: Any) -> Case:
    return Case(
        lambda x: ref.avg_pool2d_forward(x, *window),
        lambda dy, y, x: (ref.avg_pool2d_backward(dy, x.shape, *window),),
        (normal(*x_shape),),
    )


def batchnorm_training(*shape: int) -> Case:
    def backward(dy: Array, y: Array, x: Array, weight: Array, bias: Array) -> tuple[Array, ...]:
        _, mean, var = ref.batchnorm_training_forward(x, weight, bias, 0.01)
        return ref.batchnorm_training_backward(dy, x, weight, mean, var, 0.01)  # type: ignore[no-any-return]

    return Case(
        lambda x, weight, bias: ref.batchnorm_training_forward(x, weight, bias, 0.01)[0],
        backward,
        (normal(*shape), normal(shape[1], seed=1), normal(shape[1], seed=2)),
    )


def batchnorm_relu(*shape: int) -> Case:
    def backward(dy: Array, y: Array, x: Array, weight: Array, bias: Array) -> tuple[Array, ...]:
        _, mean, var = ref.batchnorm_training_forward(x, weight, bias)
        return ref.batchnorm_training_backward(dy, x, weight, mean, var, bias=bias)  # type: ignore[no-any-return]

    return Case(
        lambda x, weight, bias: ref.batchnorm_training_forward(x, weight, bias, relu=True)[0],
        backward,
        (normal(*shape), normal(shape[1], seed=1), normal(shape[1], seed=2)),
    )


def batchnorm_inference(*shape: int) -> Case:
    mean, var = normal(shape[1], seed=3), positive(shape[1], seed=4)
    return Case(
        lambda x, weight, bias: ref.batchnorm_inference_forward(x, weight, bias, mean, var),
        lambda dy, y, x, weight, bias: ref.batchnorm_inference_backward(dy, x, weight, mean, var),
        (normal(*shape), normal(shape[1], seed=1), normal(shape[1], seed=2)),
    )


def cross_entropy(target: Array) -> Case:
    def backward(dloss: Array, loss: Array, x: Array) -> tuple[Array]:
        y = ref.softmax_cross_entropy_forward(x, target)[1]
        return (ref.softmax_cross_entropy_backward(dloss, y, target),)

    return Case(lambda x: ref.softmax_cross_entropy_forward(x, target)[0], backward, (normal(3, 4),))


def dropout(p: float) -> Case:
    return Case(
        lambda x: ref.dropout_forward(x, p, 7, 1)[0],
        lambda dy, y, x: (ref.dropout_backward(dy, ref.dropout_forward(x, p, 7, 1)[1], p),),
        (normal(5, 7),),
    )


PLACES = np.array([4, 0, 0, 2])
CASES = {
    **{name: elementwise(name, takes) for name, takes in FUNCTIONS.items()},
    "relu from its input": elementwise("relu", "x"),
    "add": Case(ref.add, lambda dy, y, a, b: (dy, dy), (normal(3, 4), normal(3, 4, seed=1))),
    "subtract": Case(ref.subtract, lambda dy, y, a, b: (dy, ref.negative(dy)), (normal(5), normal(5, seed=1))),
    "multiply": Case(
        ref.multiply,
        lambda dy, y, a, b: (ref.multiply(dy, b), ref.multiply(dy, a)),
        (normal(3, 4), normal(3, 4, seed=1)),
    ),
    "gemm": Case(
        ref.gemm,
        lambda dy, y, a, b: (ref.gemm(dy, b, transpose_b=True), ref.gemm(a, dy, transpose_a=True)),
        (normal(3, 4), normal(4, 5, seed=1)),
    ),
    "sum": Case(ref.sum_forward, lambda dy, y, x: (ref.sum_backward(dy, x.shape),), (normal(3, 5),)),
    "index_select": Case(
        lambda x: ref.index_select(x, PLACES, 1),
        lambda dy, y, x: (ref.index_select_backward(dy, PLACES, x.shape, 1),),
        (normal(3, 5),),
    ),
    "gather": Case(
        lambda x: ref.gather(x, PLACES[None], 1),
        lambda dy, y, x: (ref.gather_backward(dy, PLACES[None], x.shape, 1),),
        (normal(1, 5),),
    ),
    "dropout": dropout(0.3),
    "linear": linear(),
    "conv2d": conv2d((2, 2, 4, 5), (3, 2, 3, 2)),
    "conv2d with stride and padding": conv2d((1, 2, 6, 5), (2, 2, 3, 3), stride=(2, 3), padding=(1, 2)),
    "conv2d with gaps": conv2d((1, 1, 6, 7), (2, 1, 2, 2), stride=3),
    "conv2d with dilation": conv2d((1, 1, 7, 7), (2, 1, 3, 2), dilation=(2, 3), stride=2, padding=1),
    "conv2d with groups": conv2d((2, 4, 4, 4), (6, 2, 3, 3), groups=2, padding=1),
    "depthwise conv2d": conv2d((1, 3, 5, 5), (6, 1, 3, 3), groups=3, stride=2),
    "im2col": im2col((1, 2, 5, 6), (3, 2), (1, 2), 1, (1, 2)),
    "max_pool2d": max_pool2d((2, 2, 4, 6), 2),
    "max_pool2d with overlap": max_pool2d((1, 2, 7, 6), (3, 2), (2, 1), 1),
    "avg_pool2d": avg_pool2d((2, 2, 4, 6), 2),
    "avg_pool2d with overlap": avg_pool2d((1, 2, 7, 6), (3, 2), (2, 1), 1),
    "global_avg_pool2d": Case(
        ref.global_avg_pool2d_forward,
        lambda dy, y, x: (ref.global_avg_pool2d_backward(dy, x.shape),),
        (normal(2, 3, 3, 4),),
    ),
    "batchnorm of (N, C)": batchnorm_training(6, 3),
    "batchnorm of (N, C, L)": batchnorm_training(2, 3, 5),
    "batchnorm of (N, C, H, W)": batchnorm_training(2, 3, 3, 2),
    "batchnorm with one sample": batchnorm_training(1, 2, 3, 3),
    "batchnorm in inference": batchnorm_inference(2, 3, 3, 2),
    "batchnorm and ReLU": batchnorm_relu(3, 2, 3, 4),
    "softmax": Case(ref.softmax_forward, lambda dy, y, x: (ref.softmax_backward(dy, y),), (normal(3, 4),)),
    "cross-entropy of labels": cross_entropy(np.array([2, 0, 3])),
    "cross-entropy of probabilities": cross_entropy(positive(3, 4, seed=1)),
    "mse": Case(
        ref.mse_forward,
        lambda dy, y, x, target: (ref.mse_backward(dy, x, target), ref.negative(ref.mse_backward(dy, x, target))),
        (normal(3, 4), normal(3, 4, seed=1)),
    ),
}


def central_differences(forward: Callable[..., Array], dy: Array, inputs: tuple[Array, ...], which: int) -> Array:
    """Gradient of ``Σ dy * forward(*inputs)`` for input number ``which``."""
    moved = [x.copy() for x in inputs]
    x = moved[which]
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        value = x[i]
        x[i] = value + STEP
        above = forward(*moved)
        x[i] = value - STEP
        below = forward(*moved)
        x[i] = value
        gradient[i] = np.sum(dy * (above - below)) / (2 * STEP)
    return gradient


@pytest.mark.parametrize("name", CASES)
def test_gradient(name: str) -> None:
    case = CASES[name]
    y = case.forward(*case.inputs)
    dy = np.array(normal(*y.shape, seed=99))
    gradients = case.backward(dy, y, *case.inputs)
    assert len(gradients) == len(case.inputs)
    for which, gradient in enumerate(gradients):
        expected = central_differences(case.forward, dy, case.inputs, which)
        assert gradient.shape == expected.shape
        np.testing.assert_allclose(gradient, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_every_backward_has_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    called = set()
    backwards = {name for name in ref.__all__ if "_backward" in name}
    for name in backwards:
        op = getattr(ref, name)
        monkeypatch.setattr(ref, name, lambda *a, _op=op, **k: called.add(_op.__name__) or _op(*a, **k))
    for case in CASES.values():
        y = case.forward(*case.inputs)
        case.backward(np.asarray(y), y, *case.inputs)
    assert called == backwards
