"""common.util: smoothing, shuffling, im2col and col2im."""

import numpy as np
import pytest
from same import alike, close, equal

GEOMETRIES = [  # n c h w  kh kw stride pad
    (1, 1, 1, 1, 1, 1, 1, 0),
    (2, 3, 5, 5, 3, 3, 1, 0),
    (2, 3, 5, 5, 3, 3, 1, 1),
    (3, 2, 7, 6, 3, 2, 2, 1),
    (1, 2, 6, 7, 2, 2, 3, 0),
    (2, 1, 28, 28, 5, 5, 1, 0),
    (1, 3, 4, 4, 4, 4, 1, 2),
    (2, 2, 9, 9, 2, 3, 4, 3),
]


def windows(x, kh, kw, stride, pad):
    """im2col element by element."""
    n, c, h, w = x.shape
    oh, ow = (h + 2 * pad - kh) // stride + 1, (w + 2 * pad - kw) // stride + 1
    col = np.zeros((n * oh * ow, c * kh * kw))
    for i in range(n):
        for oy in range(oh):
            for ox in range(ow):
                row = (i * oh + oy) * ow + ox
                for k in range(c * kh * kw):
                    channel, ky, kx = np.unravel_index(k, (c, kh, kw))
                    y, z = oy * stride + ky - pad, ox * stride + kx - pad
                    if 0 <= y < h and 0 <= z < w:
                        col[row, k] = x[i, channel, y, z]
    return col


def scattered(col, shape, kh, kw, stride, pad):
    """col2im element by element: the transpose of ``windows``."""
    n, c, h, w = shape
    ids = windows(np.arange(1.0, 1 + n * c * h * w).reshape(shape), kh, kw, stride, pad).astype(int)
    image = np.zeros(1 + n * c * h * w)
    np.add.at(image, ids, col)
    return image[1:].reshape(shape)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_im2col(library, geometry):
    n, c, h, w, *rest = geometry
    x = np.random.randn(n, c, h, w)
    col = library.util.im2col(x, *rest)
    equal(col, windows(x, *rest))
    assert col.dtype == np.float64
    assert col.flags.c_contiguous or n == 1  # of a single image it is a transposed view


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8, int, bool])
def test_im2col_is_float64_whatever_comes_in(library, dtype):
    x = np.random.randint(0, 2, (2, 2, 4, 4)).astype(dtype)
    col = library.util.im2col(x, 2, 2, 2, 1)
    assert col.dtype == np.float64
    equal(col, windows(x, 2, 2, 2, 1))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_col2im(library, geometry):
    n, c, h, w, *rest = geometry
    col = np.random.randn(*windows(np.zeros((n, c, h, w)), *rest).shape)
    image = library.util.col2im(col, (n, c, h, w), *rest)
    close(image, scattered(col, (n, c, h, w), *rest), scale=1.0)
    assert image.dtype == np.float64


def test_col2im_sums_overlaps_and_leaves_the_rest_zero(library):
    image = library.util.col2im(np.ones((4, 4)), (1, 1, 4, 4), 2, 2, 2, 0)
    equal(image, np.ones((1, 1, 4, 4)))
    image = library.util.col2im(np.ones((4, 4)), (1, 1, 3, 3), 2, 2, 1, 0)
    equal(image[0, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    image = library.util.col2im(np.ones((1, 4)), (1, 1, 3, 3), 2, 2, 2, 0)
    equal(image[0, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


def test_col2im_is_a_view_into_the_padded_image(library):
    image = library.util.col2im(np.ones((16, 9)), (1, 1, 4, 4), 3, 3, 1, 1)
    assert not image.flags.c_contiguous
    image[...] = 3.0


def test_col2im_leaves_its_argument(library):
    col = np.random.randn(16, 9)
    before = col.copy()
    library.util.col2im(col, (1, 1, 4, 4), 3, 3, 1, 1)
    equal(col, before)


@pytest.mark.parametrize("size", [11, 12, 40])
def test_smooth_curve(library, size):
    x = np.random.randn(size)
    weights = np.kaiser(11, 2)
    padded = np.concatenate([x[10:0:-1], x, x[:-11:-1]])
    want = [np.dot(weights / weights.sum(), padded[i + 5 : i + 16]) for i in range(size)]
    y = library.util.smooth_curve(x)
    assert len(y) == size
    close(y, want, 1e-12, scale=1.0)
    close(library.util.smooth_curve(x.tolist()), want, 1e-12, scale=1.0)


def test_smooth_curve_of_a_constant(library):
    close(library.util.smooth_curve([2.0] * 15), [2.0] * 15)


@pytest.mark.parametrize("shape", [(6, 3), (6, 2, 2, 2)])
def test_shuffle_dataset(library, shape):
    x, t = np.random.randn(*shape), np.arange(6)
    np.random.seed(7)
    permuted = np.random.permutation(6)
    np.random.seed(7)
    a, b = library.util.shuffle_dataset(x, t)
    equal(b, permuted)
    equal(a, x[permuted])
    assert not np.shares_memory(a, x)
    assert not np.shares_memory(b, t)


def test_conv_output_size(library):
    size = library.util.conv_output_size(28, 5)
    assert size == 24.0
    assert isinstance(size, float)
    assert library.util.conv_output_size(7, 2, stride=2, pad=1) == 4.5


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_windows_beside_plain(both, geometry):
    n, c, h, w, *rest = geometry
    nhwc = np.random.randn(n, h, w, c).transpose(0, 3, 1, 2)
    for x in (nhwc, np.ascontiguousarray(nhwc), nhwc[:, :, ::-1], np.asfortranarray(nhwc), nhwc.astype(np.float32)):
        col = alike(both, lambda library, x=x: library.util.im2col(x, *rest))
        for c2 in (col, np.asfortranarray(col), col.astype(np.float32), col[::-1], col.astype(int)):
            alike(both, lambda library, c2=c2: library.util.col2im(c2, (n, c, h, w), *rest))


def test_strange_arguments(both):
    x = np.random.randn(2, 2, 4, 4)
    for call in (
        lambda u: u.im2col(x[0], 2, 2),
        lambda u: u.im2col(x.tolist(), 2, 2),
        lambda u: u.im2col(x[:0], 2, 2),
        lambda u: u.im2col(x[:, :0], 2, 2),
        lambda u: u.im2col(x, 5, 5),
        lambda u: u.im2col(x, 6, 6),
        lambda u: u.im2col(x, 2, 2, stride=0),
        lambda u: u.im2col(x, 2, 2, pad=-1),
        lambda u: u.im2col(x, 2.0, 2.0),
        lambda u: u.im2col(x, 2, 2, 1.0),
        lambda u: u.im2col(x, np.int64(2), np.int64(2), np.int64(2), np.int64(1)),
        lambda u: u.im2col(input_data=x, filter_h=2, filter_w=2, stride=2, pad=0),
        lambda u: u.im2col(x + 1j, 2, 2),
        lambda u: u.im2col(np.where(x > 0, np.nan, np.inf), 2, 2),
        lambda u: u.col2im(np.ones((8, 8)), (2, 2, 4, 4), 2, 2, 2),
        lambda u: u.col2im(np.ones((8, 9)), (2, 2, 4, 4), 2, 2, 2),
        lambda u: u.col2im(np.ones(64), [2, 2, 4, 4], 2, 2, 2),
        lambda u: u.col2im(np.ones((2, 2, 2, 8)), (2, 2, 4, 4), 2, 2, 2),
        lambda u: u.col2im(np.full((8, 8), np.nan), (2, 2, 4, 4), 2, 2, 2),
        lambda u: u.col2im(np.ones((8, 8)).tolist(), (2, 2, 4, 4), 2, 2, 2),
        lambda u: u.col2im(col=np.ones((8, 8)), input_shape=(2, 2, 4, 4), filter_h=2, filter_w=2, stride=2, pad=0),
        lambda u: u.col2im(np.ones((0, 8)), (0, 2, 4, 4), 2, 2, 2),
        lambda u: u.shuffle_dataset(np.ones(3), np.ones(3)),
        lambda u: u.shuffle_dataset(np.ones((3, 2, 2)), np.ones(3)),
        lambda u: u.shuffle_dataset(np.arange(6).reshape(3, 2), np.eye(3)),
        lambda u: u.shuffle_dataset(np.arange(6).reshape(3, 2), np.arange(2)),
        lambda u: u.shuffle_dataset([[1, 2]], [1]),
        lambda u: u.smooth_curve(np.arange(5)),
        lambda u: u.smooth_curve(np.arange(15, dtype=np.float32)),
        lambda u: u.smooth_curve([]),
        lambda u: u.smooth_curve((1.0,) * 12),
        lambda u: u.conv_output_size(np.array([28, 27]), 5, 2, 1),
        lambda u: u.conv_output_size(28, 5, 0),
    ):
        alike(both, lambda library, call=call: call(library.util))
