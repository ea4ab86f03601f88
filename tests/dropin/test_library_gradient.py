"""common.gradient: numerical gradients change the array in place, element by element, and restore it."""

import numpy as np
import pytest
from same import alike, close, equal


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 1), (2, 1, 2, 2)])
def test_gradient_of_squares(library, shape):
    x = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    before = x.copy()
    seen = []

    def f(a):
        seen.append(a is x)
        return np.sum(a**2)

    grad = library.gradient.numerical_gradient(f, x)
    close(grad, 2 * before, 1e-8)
    equal(x, before)
    assert grad is not x
    assert grad.dtype == x.dtype
    assert seen == [True] * (2 * x.size)


def test_known_values(library):
    def f(x):
        return x[0] ** 2 + x[1] ** 2

    for point, want in (([3.0, 4.0], [6, 8]), ([0.0, 2.0], [0, 4]), ([3.0, 0.0], [6, 0])):
        for name in ("numerical_gradient", "numerical_gradient_2d", "_numerical_gradient_1d"):
            close(getattr(library.gradient, name)(f, np.array(point)), want, 1e-9, scale=1e-3)


def test_the_step_is_1e_4(library):
    values = []

    def f(x):
        values.append(float(x[0]))
        return x[0] ** 3

    grad = library.gradient.numerical_gradient(f, np.array([2.0]))
    equal(values, [2.0 + 1e-4, 2.0 - 1e-4])
    close(grad, [12.0 + 1e-8], 1e-11)


def test_the_argument_may_be_ignored(library):
    """Networks recompute their loss from the very array that is being changed."""
    w = np.array([[1.0, -2.0]])
    grad = library.gradient.numerical_gradient(lambda _: float(np.sum(3 * w**2)), w)
    close(grad, [[6.0, -12.0]], 1e-8)


def test_rows_one_by_one(library):
    shapes = []

    def f(row):
        shapes.append(row.shape)
        return np.sum(row * row)

    X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    close(library.gradient.numerical_gradient_2d(f, X), 2 * X, 1e-8)
    assert shapes == [(2,)] * 12


def test_order_of_elements(library):
    """The order decides what random layers draw for which element."""
    x = np.zeros((2, 3))
    moved = []
    library.gradient.numerical_gradient(lambda a: moved.append(tuple(np.argwhere(a)[0])) or 0.0, x)
    assert moved[::2] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_through_views(library):
    base = np.arange(12.0).reshape(3, 4)
    view = base[::-1, 1::2]
    close(library.gradient.numerical_gradient(lambda a: np.sum(base**2), view), 2 * view, 1e-7, scale=1e-3)


@pytest.mark.parametrize("name", ["numerical_gradient", "numerical_gradient_2d", "_numerical_gradient_1d"])
def test_beside_plain(both, name):
    locked = np.ones(3)
    locked.flags.writeable = False
    arguments = [np.random.randn(5), np.random.randn(3, 4), np.asfortranarray(np.random.randn(3, 4)), np.arange(4)]
    arguments += [
        np.array(2.0),
        np.zeros(0),
        np.zeros((0, 3)),
        locked,
        [1.0, 2.0],
        3.0,
        None,
        np.array([np.nan, np.inf]),
    ]
    for x in arguments:

        def act(library, x=x):
            mine = x.copy() if isinstance(x, np.ndarray) and x.flags.writeable else x
            result = getattr(library.gradient, name)(lambda a: np.sum(np.sin(a) * 3), mine)
            return result, mine

        alike(both, act)


def test_an_exception_of_the_function_passes(both):
    def act(library):
        return library.gradient.numerical_gradient(lambda a: {}["absent"], np.ones(2))

    assert isinstance(alike(both, act), KeyError)
