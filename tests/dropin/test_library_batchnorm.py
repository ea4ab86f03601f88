"""common.layers: BatchNormalization."""

import math

import numpy as np
import pytest
from same import alike, close, equal


def reference(x, gamma, beta, dout):
    """Batch normalisation of every column and its gradient in the textbook's form, sums exact."""
    n, d = x.shape
    y, dx, dgamma, means, variances = np.zeros((n, d)), np.zeros((n, d)), np.zeros(d), np.zeros(d), np.zeros(d)
    for j in range(d):
        mean = math.fsum(x[:, j]) / n
        centred = x[:, j] - mean
        var = math.fsum(centred**2) / n
        std = math.sqrt(var + 1e-6)
        xn = centred / std
        y[:, j] = gamma[j] * xn + beta[j]
        dgamma[j] = math.fsum(xn * dout[:, j])
        dx[:, j] = gamma[j] / std * (dout[:, j] - math.fsum(dout[:, j]) / n - xn * dgamma[j] / n)
        means[j], variances[j] = mean, var
    return y, dx, dgamma, dout.sum(axis=0), means, variances


@pytest.mark.parametrize("shape", [(2, 1), (5, 3), (100, 7), (1, 4), (33, 20)])
def test_training(library, shape):
    x, dout = np.random.randn(*shape) * 3 + 1, np.random.randn(*shape)
    gamma, beta = np.random.randn(shape[1]), np.random.randn(shape[1])
    layer = library.layers.BatchNormalization(gamma, beta)
    assert layer.gamma is gamma
    assert layer.beta is beta
    assert layer.momentum == 0.9
    y = layer.forward(x)
    dx = layer.backward(dout)
    want_y, want_dx, want_dgamma, want_dbeta, mean, var = reference(x, gamma, beta, dout)
    close(y, want_y, scale=10.0)
    close(dx, want_dx, 1e-11 if shape[0] > 1 else 1e-9, scale=10.0)
    close(layer.dgamma, want_dgamma, scale=10.0 * shape[0])
    close(layer.dbeta, want_dbeta, scale=10.0)
    close(layer.running_mean, 0.1 * mean, scale=1.0)
    close(layer.running_var, 0.1 * var)
    close(layer.std, np.sqrt(var + 1e-6))
    close(layer.xc, x - mean, scale=10.0)
    close(layer.xn, (x - mean) / np.sqrt(var + 1e-6), scale=10.0)
    assert layer.batch_size == shape[0]
    assert layer.input_shape == shape


def test_epsilon_is_1e_6(library):
    x = np.array([[-1e-3], [1e-3]])  # variance 1e-6
    close(library.layers.BatchNormalization(np.ones(1), np.zeros(1)).forward(x), x / math.sqrt(2e-6))


def test_a_batch_of_one(library):
    layer = library.layers.BatchNormalization(np.array([2.0, 3.0]), np.array([5.0, 7.0]))
    equal(layer.forward(np.array([[100.0, -3.0]])), [[5, 7]])
    equal(layer.backward(np.array([[1.0, 2.0]])), [[0, 0]])
    equal(layer.dgamma, [0, 0])
    equal(layer.dbeta, [1, 2])


def test_running_statistics(library):
    layer = library.layers.BatchNormalization(np.ones(1), np.zeros(1), momentum=0.75)
    assert layer.running_mean is None
    assert layer.running_var is None
    layer.forward(np.array([[1.0], [3.0]]))
    close(layer.running_mean, [0.5])
    close(layer.running_var, [0.25])
    mean, var = layer.running_mean, layer.running_var
    layer.forward(np.array([[4.0], [8.0]]))
    close(layer.running_mean, [0.75 * 0.5 + 0.25 * 6])
    close(layer.running_var, [0.75 * 0.25 + 0.25 * 4])
    close(mean, [0.5])
    close(var, [0.25])
    assert mean is not layer.running_mean
    assert var is not layer.running_var


def test_given_statistics(library):
    mean, var = np.array([1.0, 2.0]), np.array([4.0, 9.0])
    layer = library.layers.BatchNormalization(np.array([1.0, 2.0]), np.array([0.0, 1.0]), 0.9, mean, var)
    x = np.array([[3.0, 5.0], [1.0, -1.0]])
    y = layer.forward(x, train_flg=False)
    close(y, (x - mean) / np.sqrt(var + 1e-6) * [1, 2] + [0, 1], scale=1.0)
    assert layer.running_mean is mean
    assert layer.running_var is var
    layer.forward(x)
    equal(mean, [1, 2])
    equal(var, [4, 9])


def test_a_test_before_any_training(library):
    layer = library.layers.BatchNormalization(np.ones(3), np.zeros(3))
    x = np.random.randn(4, 3)
    close(layer.forward(x, train_flg=False), x * 1000)
    equal(layer.running_mean, [0, 0, 0])
    equal(layer.running_var, [0, 0, 0])
    assert not hasattr(layer, "xn")
    with pytest.raises(AttributeError):
        layer.backward(x)


def test_a_test_between_keeps_what_training_left(library):
    x, dout = np.random.randn(6, 2), np.random.randn(6, 2)
    layer = library.layers.BatchNormalization(np.ones(2), np.zeros(2))
    layer.forward(x)
    want = layer.backward(dout)
    layer.forward(np.random.randn(6, 2) * 9, train_flg=False)
    equal(layer.backward(dout), want)


def test_images_are_normalised_element_by_element(library):
    x, dout = np.random.randn(5, 2, 3, 2), np.random.randn(5, 2, 3, 2)
    gamma, beta = np.random.randn(12), np.random.randn(12)
    layer = library.layers.BatchNormalization(gamma, beta)
    y = layer.forward(x)
    dx = layer.backward(dout)
    want_y, want_dx, want_dgamma, *_ = reference(x.reshape(5, 12), gamma, beta, dout.reshape(5, 12))
    close(y, want_y.reshape(x.shape), scale=10.0)
    close(dx, want_dx.reshape(x.shape), 1e-11, scale=10.0)
    close(layer.dgamma, want_dgamma, scale=10.0)
    assert layer.running_mean.shape == (12,)
    assert layer.input_shape == (5, 2, 3, 2)


def test_scalar_gamma_and_beta(library):
    layer = library.layers.BatchNormalization(2.0, 1)
    x = np.array([[1.0, 5.0], [3.0, 5.0]])
    close(layer.forward(x), 1 + 2 * np.array([[-1, 0], [1, 0]]) / np.sqrt(1 + 1e-6), scale=1.0)
    layer.backward(np.ones((2, 2)))
    equal(layer.dbeta, [2, 2])


def test_gamma_per_channel_does_not_fit(library):
    layer = library.layers.BatchNormalization(np.ones(2), np.zeros(2))
    with pytest.raises(ValueError):
        layer.forward(np.random.randn(5, 2, 3, 2))


def test_gamma_and_beta_are_read_at_every_call(library):
    gamma, beta = np.ones(2), np.zeros(2)
    layer = library.layers.BatchNormalization(gamma, beta)
    x = np.array([[-1.0, 1.0], [1.0, -1.0]])
    before = layer.forward(x)
    gamma *= 3
    beta += 5
    close(layer.forward(x), 3 * before + 5)
    dx = layer.backward(np.array([[1.0, 0.0], [0.0, 0.0]]))
    layer.gamma = np.array([6.0, 6.0])
    close(layer.backward(np.array([[1.0, 0.0], [0.0, 0.0]])), 2 * dx, scale=1e-3)


def test_numerical_gradient(library):
    gamma, beta, x, t = np.random.randn(3), np.random.randn(3), np.random.randn(6, 3), np.array([0, 1, 2, 0, 1, 2])
    layer, last = library.layers.BatchNormalization(gamma, beta), library.layers.SoftmaxWithLoss()

    def loss(_):
        return last.forward(layer.forward(x), t)

    want = [library.gradient.numerical_gradient(loss, a) for a in (gamma, beta, x)]
    loss(None)
    dx = layer.backward(last.backward())
    for got, numerical in zip((layer.dgamma, layer.dbeta, dx), want, strict=True):
        close(got, numerical, 1e-5, scale=1.0)  # the loss's 1e-7 is not in the gradient


def run(library, x, dout, gamma, beta, train=(True,), **settings):
    layer = library.layers.BatchNormalization(gamma, beta, **settings)
    ys = [layer.forward(x, flag) for flag in train]
    return ys, layer.backward(dout), layer


@pytest.mark.parametrize("x_type", [np.float64, np.float32, np.float16, int, np.uint8])
@pytest.mark.parametrize("g_type", [np.float64, np.float32, int])
def test_dtypes_beside_plain(both, x_type, g_type):
    x, gamma = (np.random.rand(6, 3) * 9).astype(x_type), np.array([1, 2, 3]).astype(g_type)
    for d_type in (np.float64, np.float32):
        dout, rtol = np.random.randn(6, 3).astype(d_type), 2e-6 if x_type == np.float32 else 1e-11
        alike(both, lambda library, dout=dout: run(library, x, dout, gamma, gamma - 2, (True, True, False)), rtol)


@pytest.mark.parametrize("train", [(True,), (False,), (True, False), (False, True), (True, True)])
def test_layouts_beside_plain(both, train):
    x, dout = np.random.randn(6, 12), np.random.randn(6, 12)
    images = np.random.randn(6, 2, 3, 2).transpose(0, 3, 1, 2)
    for a in (x, np.asfortranarray(x), x[::-1], x[:, ::-1], np.repeat(x, 2, 1)[:, ::2], images, images[..., ::-1]):
        for d in (dout, np.asfortranarray(dout), dout.reshape(a.shape), np.broadcast_to(dout[:1], (6, 12)), images):
            alike(both, lambda library, a=a, d=d: run(library, a, d, np.arange(12.0), np.ones(12), train), 1e-11)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.filterwarnings("ignore:invalid value")
def test_strange_arguments(both):
    x, dout = np.random.randn(6, 3), np.random.randn(6, 3)
    for gamma in (1, 1.0, np.float32(2), np.ones(1), np.ones((1, 3)), np.ones((6, 3)), np.ones(2), [1.0, 2, 3], None):
        alike(both, lambda library, gamma=gamma: run(library, x, dout, gamma, 0), 1e-11)
        alike(both, lambda library, gamma=gamma: run(library, x, dout, 1.0, gamma), 1e-11)
    for a in (
        x[0],
        x[:1],
        x[:0],
        x.reshape(6, 3, 1),
        x.tolist(),
        1.0,
        None,
        x * np.nan,
        x * np.inf,
        x * 0 + 5,
        x * 1e160,
    ):
        alike(both, lambda library, a=a: run(library, a, dout, np.ones(3), np.zeros(3)), 1e-9)
        alike(both, lambda library, a=a: run(library, a, dout, np.ones(3), np.zeros(3), (False, True)), 1e-9)
    for d in (
        dout[0],
        dout[:2],
        dout[:1],
        dout.T,
        1,
        None,
        dout * np.inf,
        dout.reshape(6, 3, 1, 1),
        (dout * 9).astype(int),
    ):
        alike(both, lambda library, d=d: run(library, x, d, np.ones(3), np.zeros(3)), 1e-11)
    for momentum in (0, 1, 0.5, np.float32(0.5), None):
        alike(both, lambda library, m=momentum: run(library, x, dout, 1.0, 0.0, (True, True, False), momentum=m), 1e-11)
    for mean, var in (
        (np.zeros(3), None),
        (None, np.ones(3)),
        (0.0, 1.0),
        (np.zeros(2), np.ones(2)),
        ([0] * 3, [1] * 3),
    ):

        def act(library, mean=mean, var=var):
            return run(library, x, dout, 1.0, 0.0, (False, True), running_mean=mean, running_var=var)

        alike(both, act, 1e-11)


def test_another_width_after_the_first(both):
    def act(library):
        layer = library.layers.BatchNormalization(1.0, 0.0)
        layer.forward(np.random.randn(4, 3))
        return layer.forward(np.random.randn(4, 5))

    assert isinstance(alike(both, act), ValueError)


def test_attributes_set_from_outside(both):
    def act(library):
        layer = library.layers.BatchNormalization(np.ones(3), np.zeros(3))
        layer.forward(np.random.randn(4, 3))
        layer.running_mean, layer.running_var, layer.momentum = np.ones(3), np.full(3, 2.0), 0.5
        first = layer.forward(np.random.randn(4, 3), False), layer.forward(np.random.randn(4, 3))
        layer.xn = np.random.randn(4, 3)
        layer.xc = np.random.randn(4, 3)
        layer.std = np.full(3, 2.0)
        layer.batch_size = 2
        return first, layer.backward(np.random.randn(4, 3)), layer

    alike(both, act, 1e-11)


def test_arguments_are_left_alone(library):
    x, dout = np.random.randn(4, 3), np.random.randn(4, 3)
    kept = x.copy(), dout.copy()
    layer = library.layers.BatchNormalization(np.ones(3), np.zeros(3))
    layer.forward(x)
    layer.backward(dout)
    equal(x, kept[0])
    equal(dout, kept[1])
