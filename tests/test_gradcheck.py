"""Numerical gradients, the check of backward passes, and layers that users write."""

from __future__ import annotations

import copy
import pickle
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import nnlite as nl
from compare import FUNCTIONS
from nnlite import nn, ops, random
from nnlite.gradcheck import GradcheckError
from support import assert_same_bits, rng

EXAMPLE = Path(__file__).parent.parent / "examples" / "own_layer.py"


def f64(*shape, seed=0):
    return rng(seed).standard_normal(shape)


# ---- numerical_gradient


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (0,)])
def test_numerical_gradient_of_a_square(shape):
    x = f64(*shape)
    x = np.asarray(x)
    before = x.copy()
    got = nl.numerical_gradient(lambda x: np.sum(x * x), x)
    np.testing.assert_allclose(got, 2 * x, rtol=1e-6, atol=1e-8)
    assert got.dtype == np.float64
    assert_same_bits(x, before)


def test_numerical_gradient_of_float32_and_of_views():
    x = f64(4, 3).astype(np.float32)
    got = nl.numerical_gradient(lambda x: float(np.sum(x.astype(np.float64) ** 2)), x)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, 2 * x, rtol=1e-4, atol=1e-5)
    view = f64(3, 4).T[::-1]
    np.testing.assert_allclose(nl.numerical_gradient(lambda x: (x * x).sum(), view), 2 * view, rtol=1e-6, atol=1e-8)


def test_numerical_gradient_of_a_tensor_that_the_function_reads_elsewhere():
    layer = nn.Linear(2, 2, dtype=np.float64)
    x = f64(3, 2)
    got = nl.numerical_gradient(lambda _: layer(x).sum(), layer.weight)
    layer(x).sum().backward()
    np.testing.assert_allclose(got, layer.weight.grad, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_numerical_gradient_restores_x_whatever_is_raised(error):
    x = f64(5)
    before = x.copy()
    calls = []

    def f(x):
        calls.append(x.copy())
        if len(calls) == 6:
            raise error
        return x.sum()

    with pytest.raises(error):
        nl.numerical_gradient(f, x)
    assert_same_bits(x, before)
    assert not np.array_equal(calls[-1], before)


@pytest.mark.parametrize(
    ("x", "f", "error", "message"),
    [
        (np.arange(3), np.sum, TypeError, "must be float32 or float64, got int64"),
        (np.ones(3, complex), np.sum, TypeError, "got complex128"),
        ([1.0], np.sum, TypeError, "got list"),
        (np.ones(3), lambda x: x, ValueError, r"one number, got shape \(3,\)"),
        (np.broadcast_to(1.0, (3,)), np.sum, ValueError, "read-only"),
    ],
)
def test_numerical_gradient_refuses(x, f, error, message):
    with pytest.raises(error, match=message):
        nl.numerical_gradient(f, x)


# ---- gradcheck: every op

POSITIVE = np.abs(f64(2, 3)) + 0.5
LABELS = np.array([2, 0, 1, 2])
OPS = {
    "add": (ops.add, f64(2, 3), f64(2, 3, seed=1)),
    "subtract": (ops.subtract, f64(2, 3), f64(2, 3, seed=1)),
    "multiply": (ops.multiply, f64(2, 3), f64(2, 3, seed=1)),
    "multiply by a number": (lambda x: 3 * x - 1, f64(2, 3)),
    "negative": (ops.negative, f64(2, 3)),
    **{name: (getattr(ops, name), POSITIVE if name in ("log", "log1p", "sqrt") else f64(2, 3)) for name in FUNCTIONS},
    "sum": (ops.sum, f64(2, 3)),
    "reshape": (lambda x: ops.reshape(x, (3, 2)), f64(2, 3)),
    "flatten": (lambda x: ops.flatten(x, 1), f64(2, 3, 2)),
    "linear": (ops.linear, f64(4, 3), f64(2, 3, seed=1), f64(2, seed=2)),
    "linear on (N, L, C)": (ops.linear, f64(2, 2, 3), f64(2, 3, seed=1), f64(2, seed=2)),
    "linear on (C)": (ops.linear, f64(3), f64(2, 3, seed=1)),
    "conv2d": (
        lambda x, w, b: ops.conv2d(x, w, b, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
        f64(2, 4, 5, 6), f64(6, 2, 3, 2, seed=1), f64(6, seed=2),
    ),
    "im2col": (lambda x: ops.im2col(x, (2, 3), 2, 1), f64(1, 2, 4, 5)),
    "col2im": (lambda col: ops.col2im(col, (1, 2, 4, 5), (2, 3), 1, 0), f64(9, 12)),
    "max_pool2d": (lambda x: ops.max_pool2d(x, 3, 2, 1), f64(1, 2, 5, 5)),
    "avg_pool2d": (lambda x: ops.avg_pool2d(x, (3, 2), 1, 1), f64(1, 2, 4, 5)),
    "global_avg_pool2d": (ops.global_avg_pool2d, f64(2, 3, 2, 4)),
    "softmax": (ops.softmax, f64(3, 4)),
    "cross_entropy": (lambda x: ops.cross_entropy(x, LABELS), f64(4, 3)),
    "cross_entropy of probabilities": (lambda x: ops.cross_entropy(x, np.abs(f64(4, 3, seed=1))), f64(4, 3)),
    "mse_loss": (ops.mse_loss, f64(4, 3), f64(4, 3, seed=1)),
    "dropout": (ops.dropout, f64(4, 5)),
    "batchnorm_training": (lambda x, w, b: ops.batchnorm_training(x, w, b)[0], f64(4, 3), f64(3, seed=1), f64(3,
    seed=2)), "batchnorm_inference": (
        lambda x, w, b: ops.batchnorm_inference(x, w, b, f64(3, seed=3), np.abs(f64(3, seed=4))),
        f64(2, 3, 2, 2), f64(3, seed=1), f64(3, seed=2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPS)
def test_every_op(name):
    assert nl.gradcheck(*OPS[name])


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_gemm(transpose_a, transpose_b):
    a, b = f64(2, 3), f64(3, 4, seed=1)
    a, b = a.T.copy() if transpose_a else a, b.T.copy() if transpose_b else b
    assert nl.gradcheck(lambda a, b: ops.gemm(a, b, transpose_a, transpose_b), a, b)


# ---- gradcheck itself


def test_a_model_with_state_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.3), nn.Tanh(), nn.Linear(3, 2)).double()
    for p in model.parameters():
        p.grad = np.full_like(p.data, 7.0)
    before = {k: v.copy() for k, v in model.state_dict().items()}
    state = random.get_state()
    assert nl.gradcheck(model, f64(5, 4))
    for k, v in model.state_dict().items():
        assert_same_bits(v, before[k])
    assert random.get_state() == state
    assert all((p.grad == 7).all() for p in model.parameters())


def test_inputs_are_not_changed():
    x = f64(3)
    x.flags.writeable = False
    assert nl.gradcheck(ops.tanh, x)


def test_wrong_gradients_are_named():
    square = nl.function(lambda x: x * x, lambda dy, y, x: dy * x * np.array([2.0, 3.0]))
    with pytest.raises(
        GradcheckError, match=r"inputs\[0\]\[1\]: backward gives \S+, the numerical gradient is \S+ \(1 of"
    ):
        nl.gradcheck(square, np.array([1.0, 2.0]))
    nothing = nl.function(lambda x: x * x, lambda dy, y, x: None)
    with pytest.raises(GradcheckError, match=r"inputs\[0\]\[0\]: backward gives 0,"):
        nl.gradcheck(nothing, np.array([1.0, 2.0]))
    nan = nl.function(lambda x: x * x, lambda dy, y, x: dy * np.nan)
    with pytest.raises(GradcheckError, match="backward gives nan"):
        nl.gradcheck(nan, np.array([1.0]))


def test_an_upstream_of_ones_would_miss_a_wrong_softmax():
    wrong = nl.function(lambda x: ops.softmax(x).data, lambda dy, y, x: np.zeros_like(x))
    with pytest.raises(GradcheckError):
        nl.gradcheck(wrong, f64(2, 3))


SCALES = [1e3, 1.0, 1e-3, 1e-6, 1e-9, 1e-30]
PLANTED = {
    "zero": lambda dx: 0 * dx,
    "wrong sign": lambda dx: -dx,
    "2 % too large": lambda dx: 1.02 * dx,
    "one element zero": lambda dx: dx * (np.arange(dx.size) != 1).reshape(dx.shape),
    "one element of wrong sign": lambda dx: dx * np.where(np.arange(dx.size) == 2, -1, 1).reshape(dx.shape),
}


def scaled_tanh(scale, plant):
    """tanh, times a number; of the first element 1e6 times that, so that the others are small beside it."""

    def factor(x):
        return scale * np.where(np.arange(x.size) == 0, 1e6, 1).reshape(x.shape)

    return nl.function(lambda x: factor(x) * np.tanh(x), lambda dy, y, x: plant(dy * factor(x) * (1 - np.tanh(x) ** 2)))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("planted", PLANTED)
def test_planted_errors_are_found_at_every_scale(planted, scale):
    assert nl.gradcheck(scaled_tanh(scale, lambda dx: dx), f64(2, 3))
    with pytest.raises(GradcheckError, match=r"inputs\[0\]\["):
        nl.gradcheck(scaled_tanh(scale, PLANTED[planted]), f64(2, 3))


def test_gradients_that_are_zero_but_for_rounding_are_right():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).double()  # no bias shows behind a normalisation
    for seed in range(5):
        assert nl.gradcheck(model, 1e3 + f64(3, 2, 4, 4, seed=seed))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((ops.tanh, np.ones(2, np.float32)), r"inputs\[0\] is float32"),
        ((lambda t: t, LABELS), "nothing to check"),
        ((lambda x: x.data, f64(2)), "must be a Tensor, got ndarray"),
    ],
)
def test_gradcheck_refuses(args, message):
    with pytest.raises(TypeError, match=message):
        nl.gradcheck(*args)


def test_gradcheck_refuses_float32_parameters():
    with pytest.raises(TypeError, match=r"weight is float32; differences need float64, e.g. model.double\(\)"):
        nl.gradcheck(nn.Linear(2, 2), f64(1, 2))


# ---- nl.function


def test_function_with_parameters_and_labels():
    def forward(x, weight, index, scale):
        return x[:, index] @ weight * np.float32(scale)

    def backward(dy, y, x, weight, index, scale):
        dx = np.zeros_like(x)
        dx[:, index] = dy @ weight.T * np.float32(scale)
        return dx, x[:, index].T @ dy * np.float32(scale), None, None

    op = nl.function(forward, backward)
    assert op.__name__ == "forward"
    weight = nn.Parameter(np.ones((2, 3), np.float32))
    x = nl.Tensor(np.ones((4, 5), np.float32), requires_grad=True)
    y = op(x, weight, np.array([0, 3]), 2.0)
    y.sum().backward()
    assert_same_bits(weight.grad, np.full((2, 3), 8, np.float32))
    assert_same_bits(x.grad[0], np.array([6, 0, 0, 6, 0], np.float32))


def test_a_backward_may_change_dy_and_return_what_it_keeps():
    kept = np.ones(3)

    def backward(dy, y, x):
        dy *= 0
        return kept

    x = nl.Tensor(f64(3), requires_grad=True)
    other = nl.Tensor(f64(3), requires_grad=True)
    earlier = other * 1.0  # runs its pullback after the function's, with the gradient that the sum gave to both
    (nl.function(lambda x: x + 1, backward)(x) + earlier).sum().backward()
    assert_same_bits(other.grad, np.ones(3))
    x.grad[:] = 5
    assert_same_bits(kept, np.ones(3))


@pytest.mark.parametrize(
    ("forward", "backward", "error", "message"),
    [
        (lambda x: [1.0], None, TypeError, "the result must be a numpy.ndarray, got list"),
        (lambda x: np.arange(3), None, TypeError, "the result must be float32 or float64, got int64"),
        (lambda x: x * 1, lambda dy, y, x: (dy, dy), ValueError, "returned 2 gradients for 1 inputs"),
        (
            lambda x: x * 1,
            lambda dy, y, x: dy[:1],
            ValueError,
            r"input 0 a gradient of shape \(1,\), but its shape is \(3,\)",
        ),
        (
            lambda x: x * 1,
            lambda dy, y, x: dy.astype(np.float32),
            TypeError,
            "gradient of float32, but the input is float64",
        ),
        (lambda x: x * 1, lambda dy, y, x: 1.0, TypeError, "gradient of input 0 must be a numpy.ndarray, got float"),
    ],
)
def test_function_refuses(forward, backward, error, message):
    x = nl.Tensor(f64(3), requires_grad=True)
    with pytest.raises(error, match=message):
        nl.function(forward, backward)(x).sum().backward()
    assert x.grad is None


def test_results_of_numpy_reductions_are_arrays():
    y = nl.function(lambda x: np.sum(x), lambda dy, y, x: np.full_like(x, dy))(nl.Tensor(f64(3), requires_grad=True))
    assert y.shape == ()
    assert isinstance(y.data, np.ndarray)


def cube(x):
    """x to the power of 3."""
    return x * x * x


def cube_backward(dy, y, x):
    return dy * 3 * x * x


class Cube(nn.Module):
    """A layer that holds an op."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(np.full(3, 2.0))
        self.op = nl.function(cube, cube_backward)

    def forward(self, x):
        """Any shape."""
        return self.op(x) * self.scale


def square(x):
    return x * x


square = nl.function(square, lambda dy, y, x: dy * 2 * x)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_modules_with_an_op_of_ones_own_are_copied_and_pickled(copied):
    layer = Cube()
    twin = copied(layer)
    x = f64(3)
    assert_same_bits(twin(x).data, layer(x).data)
    assert nl.gradcheck(twin, x)
    assert (twin.op.__name__, twin.op.__doc__) == ("cube", "x to the power of 3.")
    assert copied(square) is square


# ---- a learner's layer


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(EXAMPLE))


def test_a_wrong_layer_trains_and_gradcheck_names_its_first_wrong_weight(example):
    losses = example["train"](example["wrong_backward"], steps=60)
    assert losses[-1] < 0.5 * losses[0]
    layer = example["SigmoidLayer"](3, 4, example["wrong_backward"], dtype=np.float64)
    with pytest.raises(GradcheckError, match=r"weight\[0, 0\]: backward gives \S+, the numerical gradient is "):
        nl.gradcheck(layer, f64(5, 3))


def test_the_right_layer_passes(example):
    assert nl.gradcheck(example["SigmoidLayer"](3, 4, example["right_backward"], dtype=np.float64), f64(5, 3))


def test_the_example_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    printed = capsys.readouterr().out
    assert "wrong_backward: the loss falls" in printed
    assert "weight[0, 0]" in printed
    assert printed.endswith("every gradient is right\n")
