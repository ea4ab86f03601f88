"""common.layers: Convolution and Pooling."""

import copy

import numpy as np
import pytest
from same import alike, close, equal, order

GEOMETRIES = [  # n c h w  filters kh kw stride pad
    (1, 1, 1, 1, 1, 1, 1, 1, 0),
    (2, 3, 6, 5, 4, 3, 3, 1, 1),
    (3, 2, 7, 6, 5, 3, 2, 2, 1),
    (1, 2, 8, 8, 3, 5, 5, 1, 2),
    (2, 1, 12, 12, 6, 5, 5, 1, 0),
    (2, 4, 9, 8, 2, 2, 3, 3, 0),  # rows and columns left over
    (4, 8, 6, 6, 8, 3, 3, 1, 1),
    (1, 1, 10, 10, 1, 5, 5, 1, 0),
    (2, 3, 4, 4, 7, 1, 1, 1, 0),
    (2, 2, 5, 5, 3, 3, 3, 1, 2),
]
POOLS = [  # n c h w  ph pw stride
    (1, 1, 2, 2, 2, 2, 2),
    (2, 3, 6, 8, 2, 2, 2),
    (2, 3, 7, 5, 2, 2, 2),  # rows and columns left over
    (2, 2, 7, 6, 3, 2, 1),  # overlapping
    (3, 1, 9, 9, 3, 3, 2),
    (2, 2, 8, 8, 2, 2, 3),  # gaps
    (1, 4, 5, 5, 5, 5, 1),
    (2, 30, 24, 24, 2, 2, 2),
]


def correlated(x, W, b, stride, pad, dout=None):
    """(y, dx, dW, db), every window by itself."""
    n, _, h, w = x.shape
    _, _, kh, kw = W.shape
    big = np.zeros((*x.shape[:2], h + 2 * pad, w + 2 * pad))
    big[:, :, pad : pad + h, pad : pad + w] = x
    oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    y = np.zeros((n, len(W), oh, ow))
    dbig, dW = np.zeros(big.shape), np.zeros(W.shape)
    for oy in range(oh):
        for ox in range(ow):
            at = (slice(None), slice(None), slice(oy * stride, oy * stride + kh), slice(ox * stride, ox * stride + kw))
            y[:, :, oy, ox] = np.einsum("nckl,fckl->nf", big[at], W) + b
            if dout is not None:
                dbig[at] += np.einsum("nf,fckl->nckl", dout[:, :, oy, ox], W)
                dW += np.einsum("nf,nckl->fckl", dout[:, :, oy, ox], big[at])
    if dout is None:
        return y
    return y, dbig[:, :, pad : pad + h, pad : pad + w], dW, dout.sum(axis=(0, 2, 3))


def data(geometry):
    n, c, h, w, f, kh, kw, stride, pad = geometry
    oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    arrays = np.random.randn(n, c, h, w), np.random.randn(f, c, kh, kw), np.random.randn(f)
    return *arrays, np.random.randn(n, f, oh, ow)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_convolution(library, geometry):
    x, W, b, dout = data(geometry)
    stride, pad = geometry[-2:]
    layer = library.layers.Convolution(W, b, stride, pad)
    y = layer.forward(x)
    dx = layer.backward(dout)
    magnitudes = correlated(abs(x), abs(W), abs(b), stride, pad, abs(dout))
    expected = correlated(x, W, b, stride, pad, dout)
    for got, want, size in zip((y, dx, layer.dW, layer.db), expected, magnitudes, strict=True):
        close(got, want, scale=size)
        assert got.dtype == np.float64
    assert layer.x is x


def test_convolution_is_not_flipped(library):
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    W = np.array([[[[1.0, 10.0], [100.0, 1000.0]]]])
    y = library.layers.Convolution(W, np.array([0.5])).forward(x)
    equal(y, [[[[4310.5, 5421.5], [7643.5, 8754.5]]]])


def test_convolution_attributes(library):
    W, b = np.random.randn(2, 3, 2, 2), np.zeros(2)
    layer = library.layers.Convolution(W, b)
    assert (layer.stride, layer.pad) == (1, 0)
    assert layer.W is W
    assert layer.b is b
    assert (layer.x, layer.col, layer.col_W, layer.dW, layer.db) == (None,) * 5
    layer = library.layers.Convolution(W=W, b=b, stride=2, pad=1)
    assert (layer.stride, layer.pad) == (2, 1)


def test_what_is_kept_of_the_forward_pass(library):
    """Programs look at the matrices of the product after ``forward``."""
    x, W = np.random.randn(2, 3, 5, 5), np.random.randn(4, 3, 2, 2)
    layer = library.layers.Convolution(W, np.zeros(4), 1, 1)
    layer.forward(x)
    equal(layer.col, library.util.im2col(x, 2, 2, 1, 1))
    equal(layer.col_W, W.reshape(4, -1).T)


def test_results_lie_in_memory_as_products_do(library):
    x, W = np.random.randn(2, 3, 6, 5), np.random.randn(4, 3, 3, 3)
    layer = library.layers.Convolution(W, np.zeros(4), 1, 1)
    y = layer.forward(x)
    assert order(y) == [0, 2, 3, 1]
    assert not y.flags.c_contiguous
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    layer.backward(np.ones(y.shape))
    assert not layer.dW.flags.c_contiguous
    assert order(layer.dW) == [1, 2, 3, 0]
    pooled = library.layers.Pooling(2, 2).forward(x)
    assert order(pooled) == [0, 2, 3, 1]


def test_gradients_of_images(library):
    """The NumPy formula returns the middle of a padded image; kernels return an array of its own."""
    x, W = np.random.randn(2, 3, 6, 6), np.random.randn(4, 3, 3, 3)
    layer = library.layers.Convolution(W, np.zeros(4), 1, 1)
    contiguous = library.kind == "dropin"
    assert layer.backward(np.ones_like(layer.forward(x))).flags.c_contiguous is contiguous
    pool = library.layers.Pooling(2, 2, 2)
    assert pool.backward(np.ones_like(pool.forward(x))).flags.c_contiguous is contiguous


def test_gradients_can_be_written(library):
    """The Relu below writes its mask into what it is given."""
    x = np.random.randn(2, 3, 6, 6)
    conv = library.layers.Convolution(np.random.randn(4, 3, 3, 3), np.zeros(4), 1, 1)
    pool = library.layers.Pooling(2, 2)
    for layer in (conv, pool):
        y = layer.forward(x)
        y *= 2
        dx = layer.backward(np.ones(y.shape))
        dx[dx > 0] = 0


def test_scalar_bias(library):
    x, W = np.random.randn(1, 1, 6, 6).astype(np.float32), np.random.randn(1, 1, 5, 5)
    want = correlated(x, W, 0, 1, 0)
    for b in (0, 0.0, np.float32(0), np.array(0)):
        y = library.layers.Convolution(W, b).forward(x)
        close(y, want, scale=30.0)
        assert y.dtype == np.float64


@pytest.mark.parametrize("kind", ["Convolution", "Pooling"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8, int, bool])
def test_always_float64(library, kind, dtype):
    x = (np.random.rand(2, 3, 6, 6) * 9).astype(dtype)
    if kind == "Pooling":
        layer = library.layers.Pooling(2, 2)
    else:
        layer = library.layers.Convolution(np.ones((4, 3, 3, 3), np.float32), np.zeros(4, np.float32))
    y = layer.forward(x)
    assert y.dtype == np.float64
    assert layer.backward(np.ones(y.shape, np.float32)).dtype == np.float64


def test_weights_are_read_at_every_forward(library):
    x, W, b = np.random.randn(2, 2, 4, 4), np.random.randn(3, 2, 3, 3), np.random.randn(3)
    layer = library.layers.Convolution(W, b)
    layer.forward(x)
    W *= 2
    b -= 1
    close(layer.forward(x), correlated(x, W, b, 1, 0), scale=30.0)
    W[1, 1, 2, 2] += 1e-4
    close(layer.forward(x), correlated(x, W, b, 1, 0), scale=30.0)
    layer.W, layer.b = np.random.randn(5, 2, 2, 2), np.zeros(5)
    close(layer.forward(x), correlated(x, layer.W, 0, 1, 0), scale=30.0)
    layer.stride, layer.pad = 2, 1
    close(layer.forward(x), correlated(x, layer.W, 0, 2, 1), scale=30.0)


def test_gradients_are_new_arrays_every_time(library):
    layer = library.layers.Convolution(np.ones((2, 1, 2, 2)), np.zeros(2))
    layer.forward(np.ones((1, 1, 3, 3)))
    first = layer.backward(np.ones((1, 2, 2, 2))), layer.dW, layer.db
    second = layer.backward(np.ones((1, 2, 2, 2)) * 2), layer.dW, layer.db
    for a, b in zip(first, second, strict=True):
        assert not np.shares_memory(a, b)
        equal(2 * a, b)


def test_arguments_are_left_alone(library):
    for geometry in GEOMETRIES[1:4]:
        x, W, b, dout = data(geometry)
        kept = [a.copy() for a in (x, W, b, dout)]
        conv, pool = library.layers.Convolution(W, b, *geometry[-2:]), library.layers.Pooling(2, 2)
        conv.forward(x)
        conv.backward(dout)
        y = pool.forward(x)
        d = np.random.randn(*y.shape)
        d0 = d.copy()
        pool.backward(d)
        for a, k in zip((x, W, b, dout, d), (*kept, d0), strict=True):
            equal(a, k)


def test_numerical_gradients_of_a_stack(library):
    """Convolution, Relu, Pooling, Affine: each perturbation is seen through the arrays themselves."""
    L = library.layers
    W, b, V, c = np.random.randn(2, 2, 3, 3), np.random.randn(2), np.random.randn(8, 3), np.random.randn(3)
    x, t = np.random.randn(2, 2, 4, 4), np.array([2, 0])
    stack, last = [L.Convolution(W, b, 1, 1), L.Relu(), L.Pooling(2, 2), L.Affine(V, c)], L.SoftmaxWithLoss()

    def loss(_):
        y = x
        for layer in stack:
            y = layer.forward(y)
        return last.forward(y, t)

    want = [library.gradient.numerical_gradient(loss, a) for a in (W, b, V, c, x)]
    loss(None)
    dout = last.backward()
    for layer in reversed(stack):
        dout = layer.backward(dout)
    for got, numerical in zip((stack[0].dW, stack[0].db, stack[3].dW, stack[3].db, dout), want, strict=True):
        close(got, numerical, 1e-4, scale=1e-2)


def pooled(x, ph, pw, stride):
    """(maxima, places in the windows of the first of each), every window by itself."""
    n, c, h, w = x.shape
    oh, ow = (h - ph) // stride + 1, (w - pw) // stride + 1
    y, at = np.zeros((n, c, oh, ow)), np.zeros((n, oh, ow, c), int)
    for i, k, oy, ox in np.ndindex(y.shape):
        window = x[i, k, oy * stride : oy * stride + ph, ox * stride : ox * stride + pw].reshape(-1).tolist()
        best = 0
        for j, v in enumerate(window):
            if window[best] == window[best] and (v > window[best] or v != v):
                best = j
        y[i, k, oy, ox], at[i, oy, ox, k] = window[best], best
    return y, at


def pooled_back(dout, at, shape, ph, pw, stride):
    dx = np.zeros(shape)
    for i, k, oy, ox in np.ndindex(dout.shape):
        ky, kx = divmod(at[i, oy, ox, k], pw)
        dx[i, k, oy * stride + ky, ox * stride + kx] += dout[i, k, oy, ox]
    return dx


@pytest.mark.parametrize("geometry", POOLS)
@pytest.mark.parametrize("ties", [False, True])
def test_pooling(library, geometry, ties):
    n, c, h, w, ph, pw, stride = geometry
    x = np.random.randint(0, 3, (n, c, h, w)).astype(float) if ties else np.random.randn(n, c, h, w)
    layer = library.layers.Pooling(ph, pw, stride)
    y = layer.forward(x)
    want, at = pooled(x, ph, pw, stride)
    equal(y, want)
    assert y.dtype == np.float64
    assert layer.x is x
    assert layer.arg_max.dtype == np.int64
    equal(layer.arg_max, at.reshape(-1))
    dout = np.random.randn(*y.shape)
    dx = layer.backward(dout)
    assert dx.dtype == np.float64
    close(dx, pooled_back(dout, at, x.shape, ph, pw, stride), scale=1.0)


def test_pooling_attributes(library):
    layer = library.layers.Pooling(2, 3)
    assert (layer.pool_h, layer.pool_w, layer.stride, layer.pad) == (2, 3, 2, 0)
    assert (layer.x, layer.arg_max) == (None, None)
    layer = library.layers.Pooling(pool_h=2, pool_w=2, stride=1, pad=0)
    assert layer.stride == 1


def test_pooling_of_special_values(library):
    x = np.array([[1, np.nan, np.nan, 2], [0, 5, 3, np.inf], [-0.0, 0.0, -np.inf, -np.inf], [0.0, 0, -np.inf, -np.inf]])
    layer = library.layers.Pooling(2, 2)
    equal(layer.forward(x.reshape(1, 1, 4, 4)), [[[[np.nan, np.nan], [0, -np.inf]]]])
    equal(layer.arg_max, [1, 0, 0, 0])


def test_pooling_with_padding_does_not_fit(library):
    with pytest.raises(ValueError):
        library.layers.Pooling(2, 2, 2, pad=1).forward(np.random.randn(1, 1, 4, 4))


def layouts(x):
    """The same images, otherwise laid out."""
    yield x
    yield np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    yield np.asfortranarray(x)
    yield x[::-1]
    yield x[:, :, ::-1, ::-1]
    yield np.repeat(x, 2, axis=3)[..., ::2]
    yield np.broadcast_to(x[:1], x.shape)
    locked = x.copy()
    locked.flags.writeable = False
    yield locked


def run(layer, x, dout):
    y = layer.forward(x)
    return y, layer.backward(dout), order(y), layer


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_convolution_beside_plain(both, geometry):
    x, W, b, dout = data(geometry)
    for a in layouts(x):
        alike(both, lambda library, a=a: run(library.layers.Convolution(W, b, *geometry[-2:]), a, dout))
    for w in layouts(W):
        alike(both, lambda library, w=w: run(library.layers.Convolution(w, b, *geometry[-2:]), x, dout))
    for d in layouts(dout):
        alike(both, lambda library, d=d: run(library.layers.Convolution(W, b, *geometry[-2:]), x, d))


@pytest.mark.parametrize("geometry", POOLS[:-1])
def test_pooling_beside_plain(both, geometry):
    n, c, h, w, ph, pw, stride = geometry
    x = np.random.randint(-3, 3, (n, c, h, w)) / 2
    dout = np.random.randn(n, c, (h - ph) // stride + 1, (w - pw) // stride + 1)
    for a in layouts(x):
        for d in layouts(dout):
            alike(both, lambda library, a=a, d=d: run(library.layers.Pooling(ph, pw, stride), a, d))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, int, np.uint8, bool])
def test_dtypes_beside_plain(both, dtype):
    x, W, b, dout = (np.abs(a * 3).astype(dtype) for a in data((2, 3, 6, 6, 4, 3, 3, 1, 1)))
    for first, weight, bias, d in (
        (x, W, b, dout),
        (x, W + 0.5, b, dout),
        (x + 0.5, W, 0, dout),
        (x, W, 0.5, dout * 0.5),
    ):
        alike(
            both,
            lambda library, a=(first, weight, bias, d): run(library.layers.Convolution(a[1], a[2], 1, 1), a[0], a[3]),
            2e-6 if dtype == np.float32 else 1e-12,
        )
    alike(both, lambda library: run(library.layers.Pooling(2, 2), x, x[:, :, ::2, ::2]))


def test_strange_convolutions(both):
    x, W, b, dout = data((2, 3, 6, 6, 4, 3, 3, 1, 1))
    for bias in (0, 1.5, np.ones(1), np.ones((1, 4)), np.ones(3), np.ones((72, 4)), [1.0, 2, 3, 4], None):
        alike(both, lambda library, bias=bias: run(library.layers.Convolution(W, bias, 1, 1), x, dout))
    for w in (W.tolist(), W[0], W[:, :2], np.ones((4, 3, 9, 9)), np.ones((4, 3, 8, 8)), W[:0], W * np.nan, W[:1], None):
        alike(both, lambda library, w=w: run(library.layers.Convolution(w, 0, 1, 1), x, dout))
    for a in (
        x[0],
        x[:0],
        x[:1],
        x.tolist(),
        x[:, :1],
        x * np.inf,
        np.where(x > 1, np.nan, x),
        None,
        3.0,
        x[:, :, :2, :2],
    ):
        alike(both, lambda library, a=a: run(library.layers.Convolution(W, b, 1, 1), a, dout))
    for d in (
        dout[:1],
        dout[0],
        dout[:, :2],
        dout.reshape(2, 4, 36, 1),
        dout.reshape(2, 4, 4, 9),
        1,
        None,
        dout.tolist(),
    ):
        alike(both, lambda library, d=d: run(library.layers.Convolution(W, b, 1, 1), x, d))
    for stride, pad in (
        (0, 0),
        (1, -1),
        (2, 5),
        (9, 0),
        (1.0, 0),
        (1, 1.0),
        (np.int64(2), np.int32(1)),
        (None, 0),
        ((1, 1), 0),
    ):
        alike(both, lambda library, s=stride, p=pad: run(library.layers.Convolution(W, b, s, p), x, dout))
    alike(both, lambda library: library.layers.Convolution(W, b).backward(dout))


def test_strange_poolings(both):
    x = np.random.randn(2, 3, 6, 6)
    dout = np.random.randn(2, 3, 3, 3)
    for a in (
        x[0],
        x[:0],
        x[:1],
        x.tolist(),
        x[:, :0],
        x * np.inf,
        np.where(x > 1, np.nan, x),
        None,
        3.0,
        x[:, :, :1, :1],
    ):
        alike(both, lambda library, a=a: run(library.layers.Pooling(2, 2), a, dout))
    for d in (
        dout[:1],
        dout[0],
        dout[:, :2],
        dout.reshape(2, 3, 9, 1),
        dout.transpose(0, 2, 3, 1),
        1,
        None,
        dout.tolist(),
    ):
        alike(both, lambda library, d=d: run(library.layers.Pooling(2, 2), x, d))
    for settings in (
        (2, 2, 0),
        (7, 7),
        (8, 8),
        (2, 2, 2, 1),
        (2.0, 2.0),
        (0, 0),
        (2, 2, 1.0),
        (3, 3, 4),
        (np.int64(2), 2),
        (-1, 2),
    ):
        alike(both, lambda library, s=settings: run(library.layers.Pooling(*s), x, dout))
    alike(both, lambda library: library.layers.Pooling(2, 2).backward(dout))


def test_rebinding_and_changing_between_forward_and_backward(both):
    """``backward`` goes by what ``forward`` kept, a view of the weights: changes in place count, rebinding does not."""
    x, W, b, dout = data((2, 3, 6, 6, 4, 3, 3, 1, 1))

    def rebound(library):
        layer = library.layers.Convolution(W.copy(), b, 1, 1)
        layer.forward(x)
        layer.W = W * 3
        return layer.backward(dout), layer.dW

    def changed(library):
        layer = library.layers.Convolution(W.copy(), b, 1, 1)
        layer.forward(x)
        layer.W *= 3
        return layer.backward(dout), layer.dW

    def replaced(library):
        layer = library.layers.Convolution(W.copy(), b, 1, 1)
        layer.forward(x)
        layer.col = layer.col * 2
        layer.col_W = layer.col_W * 5
        layer.x = x[:, :, ::-1]
        return layer.backward(dout), layer.dW

    def chosen(library):
        layer = library.layers.Pooling(2, 2)
        layer.forward(x)
        layer.arg_max = np.full(54, 3)
        return layer.backward(np.ones((2, 3, 3, 3)))

    for act in (rebound, changed, replaced, chosen):
        alike(both, act)


def test_pickles_hold_what_the_numpy_library_has(library):
    x = np.random.randn(2, 3, 6, 6)
    conv, pool = library.layers.Convolution(np.random.randn(4, 3, 3, 3), np.zeros(4)), library.layers.Pooling(2, 2)
    y = conv.forward(x)
    pool.forward(x)
    for layer, name in ((conv, "col"), (pool, "arg_max")):
        state = layer.__reduce_ex__(2)[2]
        assert {name, "x"} <= set(state)
        assert not [key for key in state if key in ("_col", "_arg_max", "_index")]
        equal(state[name], getattr(layer, name))
        other = copy.copy(layer)
        equal(getattr(other, name), getattr(layer, name))
    close(copy.deepcopy(conv).backward(np.ones_like(y)), conv.backward(np.ones_like(y)), scale=1.0)
