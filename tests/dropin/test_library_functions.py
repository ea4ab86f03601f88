"""common.functions: values, quirks, and the drop-in beside plain NumPy."""

import math

import numpy as np
import pytest
from same import alike, close, equal

ELEMENTWISE = ["identity_function", "step_function", "sigmoid", "sigmoid_grad", "relu", "relu_grad"]
VALUES = [-1e300, -800.0, -50.0, -1.5, -1e-9, -0.0, 0.0, 5e-324, 1e-9, 0.25, 1.0, 40.0, 800.0, np.inf, -np.inf, np.nan]


def logistic(v: float) -> float:
    return 1 / (1 + math.exp(-v)) if v > -700 else 0.0


def forms(x):
    """The same values in every form in which a program may hold them."""
    x = np.asarray(x)
    yield x
    yield x.astype(np.float32)
    yield x.astype(np.float16)
    yield (x * 4).astype(int)
    yield (x * 4).astype(np.uint8)
    yield x[..., ::-1]
    yield x[::2]
    yield np.asfortranarray(x)
    yield x.T
    yield x.tolist()
    locked = x.copy()
    locked.flags.writeable = False
    yield locked


def test_step_function(library):
    y = library.functions.step_function(np.array([-1.0, -0.0, 0.0, 1e-300, 2.0, np.nan]))
    assert y.dtype == int
    equal(y, [0, 0, 0, 1, 1, 0])
    assert library.functions.step_function(np.array(3.0)) == 1


def test_identity_function_returns_the_object(library):
    x = [1, 2]
    assert library.functions.identity_function(x) is x


def test_sigmoid(library):
    x = np.linspace(-30, 30, 240).reshape(3, 80)
    want = [[logistic(v) for v in row] for row in x.tolist()]
    close(library.functions.sigmoid(x), want)
    close(library.functions.sigmoid(np.array([0.0, 1.0])), [0.5, 0.7310585786300049])


@pytest.mark.filterwarnings("ignore:overflow")
def test_sigmoid_far_out(library):
    equal(library.functions.sigmoid(np.array([-800.0, 800.0, -np.inf, np.inf, np.nan])), [0, 1, 0, 1, np.nan])
    equal(library.functions.sigmoid(-800.0), 0.0)


def test_sigmoid_of_a_number(library):
    close(library.functions.sigmoid(1.0), 0.7310585786300049)
    close(library.functions.sigmoid(2), 0.8807970779778823)
    close(library.functions.sigmoid(np.array(1.0)), 0.7310585786300049)


def test_sigmoid_keeps_float32(library):
    x = np.linspace(-3, 3, 7, dtype=np.float32)
    y = library.functions.sigmoid(x)
    assert y.dtype == np.float32
    close(y, [logistic(float(v)) for v in x], 3e-7)


def test_sigmoid_grad_takes_the_argument_not_the_value(library):
    x = np.linspace(-8, 8, 33)
    close(library.functions.sigmoid_grad(x), [(1 - logistic(v)) * logistic(v) for v in x.tolist()])
    equal(library.functions.sigmoid_grad(np.array([0.0])), [0.25])


def test_relu(library):
    y = library.functions.relu(np.array([-2.0, -0.0, 0.0, 3.0, np.nan, np.inf, -np.inf]))
    equal(y, [0, 0, 0, 3, np.nan, np.inf, 0])
    assert library.functions.relu(np.array([1, -1])).dtype == int


def test_relu_grad_is_one_at_zero(library):
    equal(library.functions.relu_grad(np.array([-2.0, -0.0, 0.0, 3.0, np.nan])), [0, 1, 1, 1, 0])
    assert library.functions.relu_grad(np.array([1, -1], np.float32)).dtype == np.float32


def test_relu_grad_of_integers_and_of_a_scalar_array(library):
    y = library.functions.relu_grad(np.array([-2, 0, 5]))
    assert y.dtype == int
    equal(y, [0, 1, 1])
    equal(library.functions.relu_grad(np.array(-1.0)), 0.0)


@pytest.mark.parametrize("shape", [(7,), (1, 7), (4, 7), (2, 3, 7), (2, 2, 3, 7)])
def test_softmax_over_the_last_axis(library, shape):
    x = np.random.randn(*shape) * 4
    before = x.copy()
    y = library.functions.softmax(x)
    want = []
    for row in x.reshape(-1, 7).tolist():
        e = [math.exp(v - max(row)) for v in row]
        want.append([v / math.fsum(e) for v in e])
    close(y, np.reshape(want, shape))
    equal(x, before)


def test_softmax_known_values(library):
    close(library.functions.softmax(np.array([0.3, 2.9, 4.0])), [0.01821127, 0.24519181, 0.73659691], 1e-6)
    close(library.functions.softmax(np.array([1010.0, 1000, 990])), [0.9999546, 4.5397868e-5, 2.0610600e-9], 1e-7)
    equal(library.functions.softmax(np.array([[5.0]])), [[1.0]])
    close(library.functions.softmax([0.0, 0.0]), [0.5, 0.5])
    close(library.functions.softmax(np.array([[1, 1], [3, 3]])), [[0.5, 0.5], [0.5, 0.5]])


def test_sum_squared_error_is_not_a_mean(library):
    y = np.array([[0.1, 0.05, 0.6], [0.0, 0.0, 1.0]])
    t = np.array([[0, 0, 1], [0, 1, 0]])
    close(library.functions.sum_squared_error(y, t), 0.5 * (0.01 + 0.0025 + 0.16 + 2))
    close(library.functions.sum_squared_error(np.array([3.0]), np.array([1.0])), 2.0)


def test_cross_entropy_error_forms_of_labels(library):
    y = np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]])
    want = -(math.log(0.7 + 1e-7) + math.log(0.5 + 1e-7)) / 2
    f = library.functions.cross_entropy_error
    for labels in (np.array([2, 0]), np.array([2, 0], np.uint8), np.array([2, 0], np.int32)):
        close(f(y, labels), want)
    for dtype in (int, float, np.uint8):
        close(f(y, np.array([[0, 0, 1], [1, 0, 0]], dtype)), want)
    close(f(y[0], np.array([0, 0, 1])), -math.log(0.7 + 1e-7))
    close(f(y[0], np.array([2])), -math.log(0.7 + 1e-7))
    close(f(y[0], np.int64(2)), -math.log(0.7 + 1e-7))
    close(f(y[:1], np.array([[2]])), -math.log(0.7 + 1e-7))


def test_cross_entropy_error_bounds(library):
    y = np.array([[1.0, 0.0]])
    close(library.functions.cross_entropy_error(y, np.array([1])), 16.11809565, 1e-9)
    perfect = library.functions.cross_entropy_error(y, np.array([0]))
    close(perfect, -math.log1p(1e-7), 1e-8)
    assert perfect < 0
    assert isinstance(perfect, np.float64)


def test_cross_entropy_error_broadcasts_labels_in_a_column(library):
    """(N, 1) labels are no row each: all N labels are taken of all N rows."""
    y = np.array([[0.1, 0.9], [0.6, 0.4], [0.3, 0.7]])
    t = np.array([[0], [1], [1]])
    want = -sum(math.log(y[i, label] + 1e-7) for i in range(3) for label in (0, 1, 1)) / 3
    close(library.functions.cross_entropy_error(y, t), want)


def test_softmax_loss(library):
    x = np.array([[1.0, 2.0, 3.0], [3.0, 0.0, 0.0]])
    z = [math.log(sum(math.exp(v) for v in row)) for row in x.tolist()]
    want = -(math.log(math.exp(3 - z[0]) + 1e-7) + math.log(math.exp(0 - z[1]) + 1e-7)) / 2
    close(library.functions.softmax_loss(x, np.array([2, 1])), want)


def test_numpy_leaks(library):
    assert library.functions.np is np


@pytest.mark.parametrize("name", [*ELEMENTWISE, "softmax"])
@pytest.mark.parametrize("shape", [(16,), (16, 1), (1, 16), (4, 16), (2, 3, 4, 5)])
def test_forms(both, name, shape):
    values = np.random.randn(*shape) * 3
    for x in forms(values):
        alike(both, lambda library, x=x: getattr(library.functions, name)(x), 4e-12)


@pytest.mark.parametrize("name", [*ELEMENTWISE, "softmax"])
def test_strange_arguments(both, name):
    arguments = [3, -2.5, True, np.float32(0.5), np.array(-0.5), np.array(VALUES), np.array([VALUES, VALUES[::-1]])]
    arguments += [
        np.float32([-90, -0.0, 0, 1, np.inf, -np.inf, np.nan]),
        np.zeros(0),
        np.zeros((0, 3)),
        np.zeros((3, 0)),
        [1, -2],
        (1.0, 2.0),
    ]
    arguments += [None, "a", {}, [], np.array([True, False]), np.array([1 + 2j]), np.array([1.5, -1], object)]
    arguments += [np.ma.masked_array([1.0, 2.0]), np.array([1.0], np.longdouble)]
    for x in arguments:
        alike(both, lambda library, x=x: getattr(library.functions, name)(x), 4e-12)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_losses_beside_plain(both, rows):
    x = np.random.randn(rows, 5)
    y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    labels = np.arange(rows) % 5
    targets = [labels, labels.astype(np.uint8), labels - 5, np.eye(5)[labels], np.eye(5, dtype=np.uint8)[labels], y]
    targets += [
        labels.reshape(-1, 1),
        labels + 1,
        labels + 0.5,
        labels[:1],
        labels.tolist(),
        2,
        None,
        labels.astype(bool),
    ]
    for name in ("cross_entropy_error", "softmax_loss", "sum_squared_error"):
        for scores in (
            y,
            y.astype(np.float32),
            y[:, ::-1],
            np.asfortranarray(y),
            y[0],
            (y * 9).astype(int),
            y.tolist(),
        ):
            for t in targets:
                alike(both, lambda library, s=scores, t=t, name=name: getattr(library.functions, name)(s, t))


@pytest.mark.filterwarnings("ignore:invalid value")
def test_losses_of_nan_inf_and_nothing(both):
    for name in ("cross_entropy_error", "softmax_loss", "sum_squared_error"):
        for y in (np.array([[np.nan, 1]]), np.array([[np.inf, 0]]), np.zeros((0, 3)), np.array([[-1.0, 2.0]])):
            t = np.zeros(len(y), int)
            alike(both, lambda library, y=y, t=t, name=name: getattr(library.functions, name)(y, t))
