"""common.layers: Affine."""

import contextlib
import math

import numpy as np
import pytest
from same import alike, close, equal


def product(a, b):
    """a @ b, every sum exact, and the sums of magnitudes."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    terms = a[:, :, None] * b[None]
    exact = [[math.fsum(terms[i, :, j]) for j in range(b.shape[1])] for i in range(a.shape[0])]
    return np.array(exact).reshape(a.shape[0], b.shape[1]), np.abs(terms).sum(axis=1)


SIZES = [(1, 1, 1), (1, 784, 50), (7, 5, 3), (100, 33, 17), (3, 200, 10), (2, 1, 9), (64, 64, 64)]


@pytest.mark.parametrize("size", SIZES)
def test_forward_and_backward(library, size):
    n, i, o = size
    x, W, b, dout = np.random.randn(n, i), np.random.randn(i, o), np.random.randn(o), np.random.randn(n, o)
    layer = library.layers.Affine(W, b)
    assert layer.W is W
    assert layer.b is b
    assert (layer.x, layer.original_x_shape, layer.dW, layer.db) == (None, None, None, None)
    y = layer.forward(x)
    want, size_of = product(x, W)
    close(y, want + b, scale=size_of)
    equal(layer.x, x)
    assert layer.original_x_shape == (n, i)
    dx = layer.backward(dout)
    for got, (exact, magnitude) in ((dx, product(dout, W.T)), (layer.dW, product(x.T, dout))):
        close(got, exact, scale=magnitude)
    close(layer.db, [math.fsum(dout[:, k]) for k in range(o)], scale=np.abs(dout).sum(axis=0))
    for a in (y, dx, layer.dW, layer.db):
        assert a.dtype == np.float64
        assert a.flags.c_contiguous


def test_known_values(library):
    layer = library.layers.Affine(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([10.0, 20.0]))
    equal(layer.forward(np.array([[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]])), [[6, 16], [15, 28]])
    equal(layer.backward(np.array([[1.0, 0.0], [0.0, 2.0]])), [[1, 3, 5], [4, 8, 12]])
    equal(layer.dW, [[1, 4], [0, 2], [-1, 0]])
    equal(layer.db, [1, 2])


def test_images_are_flattened_and_gradients_shaped_as_they_were(library):
    layer = library.layers.Affine(np.random.randn(24, 5), np.zeros(5))
    x = np.random.randn(3, 2, 3, 4)
    close(layer.forward(x), x.reshape(3, 24) @ layer.W, scale=30.0)
    assert layer.x.shape == (3, 24)
    assert layer.original_x_shape == (3, 2, 3, 4)
    assert layer.backward(np.ones((3, 5))).shape == (3, 2, 3, 4)


def test_the_input_is_kept_not_copied(library):
    layer = library.layers.Affine(np.eye(3), np.zeros(3))
    x = np.ones((2, 3))
    layer.forward(x)
    assert np.shares_memory(layer.x, x)
    x *= 5
    layer.backward(np.ones((2, 3)))
    equal(layer.dW, 10)


def test_weights_are_read_at_every_call(library):
    W, b = np.zeros((3, 2)), np.zeros(2)
    layer = library.layers.Affine(W, b)
    x = np.ones((1, 3))
    equal(layer.forward(x), [[0, 0]])
    W[0, 1] = 7
    b += 1
    equal(layer.forward(x), [[1, 8]])
    W *= 2
    equal(layer.forward(x), [[1, 15]])
    equal(layer.backward(np.array([[0.0, 1.0]])), [[14, 0, 0]])
    W[...] = 0
    equal(layer.backward(np.array([[0.0, 1.0]])), [[0, 0, 0]])
    layer.W = np.ones((3, 2))
    layer.b = np.array([0.5, 0.25])
    equal(layer.forward(x), [[3.5, 3.25]])
    equal(layer.backward(np.array([[0.0, 1.0]])), [[1, 1, 1]])


def test_gradients_are_new_arrays_every_time(library):
    layer = library.layers.Affine(np.ones((3, 2)), np.zeros(2))
    layer.forward(np.ones((4, 3)))
    layer.backward(np.ones((4, 2)))
    dW, db = layer.dW, layer.db
    layer.backward(np.ones((4, 2)) * 3)
    assert not np.shares_memory(dW, layer.dW)
    assert not np.shares_memory(db, layer.db)
    equal(dW, 4)
    equal(layer.dW, 12)
    equal(db, 4)
    equal(layer.db, 12)


def test_results_do_not_share_memory(library):
    layer = library.layers.Affine(np.eye(3), np.zeros(3))
    x = np.ones((2, 3))
    y = layer.forward(x)
    z = layer.forward(x)
    dout = np.ones((2, 3))
    dx = layer.backward(dout)
    held = [x, y, z, dout, dx, layer.W, layer.b, layer.dW, layer.db]
    for i, a in enumerate(held):
        for b in held[i + 1 :]:
            assert not np.shares_memory(a, b)


def test_arguments_are_left_alone(library):
    x, W, b, dout = np.random.randn(4, 3), np.random.randn(3, 2), np.random.randn(2), np.random.randn(4, 2)
    kept = [a.copy() for a in (x, W, b, dout)]
    layer = library.layers.Affine(W, b)
    layer.forward(x)
    layer.backward(dout)
    for a, k in zip((x, W, b, dout), kept, strict=True):
        equal(a, k)


def test_numerical_gradient(library):
    W, b, x = np.random.randn(4, 3), np.random.randn(3), np.random.randn(5, 4)
    layer, last = library.layers.Affine(W, b), library.layers.SoftmaxWithLoss()
    t = np.array([0, 1, 2, 0, 1])

    def loss(_):
        return last.forward(layer.forward(x), t)

    want = [library.gradient.numerical_gradient(loss, a) for a in (W, b, x)]
    loss(None)
    dx = layer.backward(last.backward())
    for got, numerical in zip((layer.dW, layer.db, dx), want, strict=True):
        close(got, numerical, 1e-5, scale=1.0)  # the loss's 1e-7 is not in the gradient


def run(layer, x, dout):
    y = layer.forward(x)
    dx = layer.backward(dout)
    return y, dx, layer


DTYPES = [np.float64, np.float32, np.float16, int, np.uint8, bool]


@pytest.mark.parametrize("x_type", DTYPES)
@pytest.mark.parametrize("w_type", DTYPES)
def test_dtypes_beside_plain(both, x_type, w_type):
    x, W = (np.random.rand(4, 3) * 3).astype(x_type), (np.random.rand(3, 2) * 3).astype(w_type)
    for b_type in (w_type, np.float64):
        b, dout = np.array([1, 0]).astype(b_type), np.random.randn(4, 2).astype(np.float32)
        alike(both, lambda library, b=b, dout=dout: run(library.layers.Affine(W, b), x, dout), 1e-12)


def test_layouts_beside_plain(both):
    W, x, dout = np.random.randn(12, 5), np.random.randn(3, 12), np.random.randn(3, 5)
    locked = x.copy()
    locked.flags.writeable = False
    images = np.random.randn(3, 2, 2, 3).transpose(0, 3, 1, 2)
    for a in (
        x,
        np.asfortranarray(x),
        x[::-1],
        x[:, ::-1],
        np.repeat(x, 2, 1)[:, ::2],
        locked,
        images,
        images[:, ::-1],
    ):
        for w in (W, np.asfortranarray(W), W[::-1], np.repeat(W, 3, 0)[::3]):
            for d in (dout, np.asfortranarray(dout), dout[:, ::-1], np.broadcast_to(dout[:1], (3, 5))):
                alike(both, lambda library, a=a, w=w, d=d: run(library.layers.Affine(w, np.ones(5)), a, d))


def test_strange_arguments(both):
    W, b, x, dout = np.random.randn(3, 2), np.ones(2), np.random.randn(4, 3), np.random.randn(4, 2)
    for bias in (0, 1.5, np.ones(1), np.ones((1, 2)), np.ones((4, 2)), np.ones(3), [1.0, 2.0], None, np.float64(2)):
        alike(both, lambda library, bias=bias: run(library.layers.Affine(W, bias), x, dout))
    for weight in (W.tolist(), W[0], W.reshape(1, 3, 2), np.ones((4, 2)), np.ones((3, 0)), None, 2.0, np.ones(3)):
        alike(both, lambda library, weight=weight: run(library.layers.Affine(weight, b), x, dout))
    for a in (x[0], x[:0], x[:, :2], x.tolist(), np.array(1.0), 1.0, None, x.reshape(4, 3, 1), x * np.nan, x * np.inf):
        alike(both, lambda library, a=a: run(library.layers.Affine(W, b), a, dout))
    for d in (dout[0], dout[:2], dout.T, 1, dout.tolist(), None, np.ones((4, 2, 1)), dout * np.inf, dout.astype(int)):
        alike(both, lambda library, d=d: run(library.layers.Affine(W, b), x, d))
    alike(both, lambda library: run(library.layers.Affine(W, b), np.ones((1, 3)), np.ones((1, 2))))
    alike(both, lambda library: library.layers.Affine(W, b).backward(dout))
    alike(both, lambda library: library.layers.Affine(W))


def test_rebinding_between_forward_and_backward(both):
    def act(library):
        layer = library.layers.Affine(np.random.randn(3, 2), np.zeros(2))
        layer.forward(np.random.randn(4, 3))
        layer.W = np.random.randn(3, 2)
        first = layer.backward(np.random.randn(4, 2))
        layer.x = np.random.randn(4, 3)
        layer.original_x_shape = (2, 6)
        return first, layer.backward(np.random.randn(4, 2)), layer

    alike(both, act)


def test_failed_calls_leave_a_usable_layer(both):
    def act(library):
        layer = library.layers.Affine(np.random.randn(3, 2), np.zeros(2))
        x = np.random.randn(4, 3)
        layer.forward(x)
        for bad in (np.ones((4, 4)), np.ones(5)):
            with contextlib.suppress(ValueError):
                layer.forward(bad)
        return layer.forward(x), layer.backward(np.ones((4, 2)))

    alike(both, act)
