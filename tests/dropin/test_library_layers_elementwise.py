"""common.layers: Relu, Sigmoid, Dropout, SoftmaxWithLoss."""

import math

import numpy as np
import pytest
from same import alike, close, equal

SHAPES = [(), (0,), (1,), (9,), (1, 9), (9, 1), (0, 3), (4, 9), (3, 2, 5), (2, 3, 4, 5)]
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -5e-324, 1.0, -1.0])


def arrangements(shape, dtype=np.float64):
    """Random arrays of one shape, otherwise laid out."""
    x = np.asarray(np.random.randn(*shape) * 3).astype(dtype)
    yield x
    yield np.asfortranarray(x)
    if x.ndim:
        yield x[::-1]
        yield np.repeat(x, 2, axis=-1)[..., ::2]
    if x.ndim == 4:
        yield np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    locked = x.copy()
    locked.flags.writeable = False
    yield locked


def test_relu(library):
    layer = library.layers.Relu()
    assert layer.mask is None
    x = np.array([[1.0, -0.5], [-2.0, 3.0]])
    y = layer.forward(x)
    equal(y, [[1, 0], [0, 3]])
    equal(layer.mask, [[False, True], [True, False]])
    assert layer.mask.dtype == bool
    assert not np.shares_memory(x, y)
    equal(x, [[1.0, -0.5], [-2.0, 3.0]])


def test_relu_of_special_values(library):
    y = library.layers.Relu().forward(SPECIAL)
    equal(y, [np.nan, np.inf, 0, 0, 0, 5e-324, 0, 1, 0])
    equal(np.signbit(y[1:]), False)


def test_relu_backward_is_in_place(library):
    layer = library.layers.Relu()
    layer.forward(np.array([-1.0, 0.0, -0.0, 2.0, np.nan]))
    dout = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    dx = layer.backward(dout)
    equal(dx, [0, 0, 0, 4, 5])
    assert dx is dout


def test_relu_backward_needs_room_to_write(both):
    def act(library):
        layer = library.layers.Relu()
        layer.forward(np.array([-1.0, 1.0]))
        dout = np.ones(2)
        dout.flags.writeable = False
        return layer.backward(dout)

    assert isinstance(alike(both, act), ValueError)


def test_sigmoid(library):
    layer = library.layers.Sigmoid()
    x = np.array([[0.0, 1.0, -3.0]])
    y = layer.forward(x)
    want = [[1 / (1 + math.exp(-v)) for v in x[0].tolist()]]
    close(y, want)
    equal(layer.out, y)
    close(layer.backward(np.array([[2.0, 3.0, -1.0]])), np.array([[2.0, 3.0, -1.0]]) * (1 - y) * y, 1e-15)
    close(layer.backward(1), (1 - y) * y, 1e-15)


def test_dropout_in_training(library):
    layer = library.layers.Dropout(0.3)
    x = np.random.randn(5, 7) + 10
    np.random.seed(3)
    drawn = np.random.rand(5, 7)
    after = np.random.rand()
    np.random.seed(3)
    y = layer.forward(x)
    assert np.random.rand() == after
    equal(layer.mask, drawn > 0.3)
    equal(y, x * (drawn > 0.3))
    dout = np.random.randn(5, 7)
    equal(layer.backward(dout), dout * (drawn > 0.3))


def test_dropout_in_a_test_scales_and_draws_nothing(library):
    layer = library.layers.Dropout(0.3)
    x = np.random.randn(5, 7)
    layer.forward(x)
    mask = layer.mask
    state = np.random.get_state()
    close(layer.forward(x, train_flg=False), x * 0.7, 1e-15)
    close(layer.forward(x, False), x * 0.7, 1e-15)
    assert layer.mask is mask
    equal(np.random.get_state()[1], state[1])
    assert np.random.get_state()[2] == state[2]


def test_dropout_defaults_and_edges(library):
    assert library.layers.Dropout().dropout_ratio == 0.5
    assert library.layers.Dropout().mask is None
    x = np.ones((50, 2))
    equal(library.layers.Dropout(1.0).forward(x), 0)
    equal(library.layers.Dropout(-0.1).forward(x), 1)


def test_dropout_is_mask_times_value(library):
    """Inf times a zero mask is NaN, and a dropped negative is -0.0."""
    layer = library.layers.Dropout(1.0)
    with np.errstate(invalid="ignore"):
        y = layer.forward(np.array([np.inf, np.nan, -1.0, 1.0]))
    equal(y, [np.nan, np.nan, 0, 0])
    equal(np.signbit(y[2:]), [True, False])


def test_dropout_follows_the_ratio_of_the_moment(library):
    layer = library.layers.Dropout(0.0)
    layer.dropout_ratio = 1.0
    equal(layer.forward(np.ones(8)), 0)


def softmax(x):
    rows = []
    for row in x.tolist():
        e = [math.exp(v - max(row)) for v in row]
        rows.append([v / math.fsum(e) for v in e])
    return np.array(rows)


LABELS = {
    "indices": lambda t, n: t,
    "uint8": lambda t, n: t.astype(np.uint8),
    "one-hot": lambda t, n: np.eye(n)[t],
    "one-hot uint8": lambda t, n: np.eye(n, dtype=np.uint8)[t],
    "negative indices": lambda t, n: t - n,
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("shape", [(1, 10), (6, 10), (5, 2), (100, 10)])
def test_softmax_with_loss(library, labels, shape):
    layer = library.layers.SoftmaxWithLoss()
    assert (layer.loss, layer.y, layer.t) == (None, None, None)
    x = np.random.randn(*shape)
    truth = np.arange(shape[0]) % shape[1]
    t = LABELS[labels](truth, shape[1])
    loss = layer.forward(x, t)
    y = softmax(x)
    close(loss, -math.fsum(math.log(p + 1e-7) for p in y[np.arange(len(x)), truth].tolist()) / len(x))
    assert isinstance(loss, np.float64)
    assert layer.loss == loss
    assert layer.t is t
    close(layer.y, y)
    kept = layer.y.copy()
    dx = layer.backward()
    close(dx, (y - np.eye(shape[1])[truth]) / len(x), scale=1 / len(x))
    equal(layer.y, kept)
    equal(layer.backward(17.0), dx)
    equal(layer.backward(dout=None), dx)


def test_softmax_with_loss_dtypes(library):
    layer = library.layers.SoftmaxWithLoss()
    x = np.random.randn(3, 4).astype(np.float32)
    layer.forward(x, np.array([1, 2, 0]))
    assert layer.backward().dtype == np.float32
    layer.forward(x, np.eye(4)[[1, 2, 0]])
    assert layer.backward().dtype == np.float64
    layer.forward(x, np.eye(4, dtype=np.float32)[[1, 2, 0]])
    assert layer.backward().dtype == np.float32


def test_softmax_with_loss_of_labels_in_a_column(library):
    """Four labels in a column are taken of every row: wrong, and silently so."""
    layer = library.layers.SoftmaxWithLoss()
    x = np.random.randn(4, 10)
    t = np.array([[3], [1], [4], [5]])
    y = softmax(x)
    close(layer.forward(x, t), -np.log(y[:, t[:, 0]] + 1e-7).sum() / 4)
    dx = layer.backward()
    close(dx.sum(axis=1), [-0.75] * 4)
    want = y.copy()
    want[:, t[:, 0]] -= 1
    close(dx, want / 4, scale=1.0)
    layer.forward(x, np.array([[3], [3], [3], [5]]))
    close(layer.backward().sum(axis=1), [-0.25] * 4)  # repeated labels are subtracted once


def test_softmax_with_loss_of_one_label_in_a_column(library):
    layer = library.layers.SoftmaxWithLoss()
    x = np.random.randn(1, 10)
    loss = layer.forward(x, np.array([[4]]))
    y = softmax(x)
    close(loss, -math.log(y[0, 4] + 1e-7))
    close(layer.backward(), y - np.eye(10)[[4]], scale=1.0)


def test_softmax_with_loss_of_one_row_without_a_batch(library):
    """The gradient is divided by the length of the labels, which here is the number of classes."""
    layer = library.layers.SoftmaxWithLoss()
    x = np.array([0.5, -1.0, 2.0])
    t = np.array([0, 0, 1])
    y = softmax(x.reshape(1, -1))[0]
    close(layer.forward(x, t), -math.log(y[2] + 1e-7))
    close(layer.backward(), (y - t) / 3, scale=1.0)


def test_equal_targets_are_not_changed(library):
    layer = library.layers.SoftmaxWithLoss()
    x, t = np.random.randn(3, 4), np.eye(4)[:3]
    x0, t0 = x.copy(), t.copy()
    layer.forward(x, t)
    layer.backward()
    equal(x, x0)
    equal(t, t0)


@pytest.mark.parametrize("kind", ["Relu", "Sigmoid", "Dropout"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, int])
def test_beside_plain(both, kind, shape, dtype):
    for x in arrangements(shape, dtype):
        dout = np.asarray(np.random.randn(*shape))

        def act(library, x=x, dout=dout):
            layer, mine = getattr(library.layers, kind)(), dout.copy()
            y = layer.forward(x)
            return y, layer.backward(mine), mine, layer

        alike(both, act, *((1e-5, 1.0) if dtype == np.float32 else (1e-12, 0.0)))


@pytest.mark.parametrize("kind", ["Relu", "Sigmoid", "Dropout"])
def test_strange_arguments(both, kind):
    for x in (
        3.0,
        -2,
        np.float64(-1.0),
        [1.0, -2.0],
        [[1]],
        None,
        "a",
        np.array([True, False]),
        SPECIAL,
        np.float32(SPECIAL),
    ):

        def forward(library, x=x):
            layer = getattr(library.layers, kind)()
            return layer.forward(x), layer

        def backward(library, x=x):
            layer = getattr(library.layers, kind)()
            layer.forward(np.array([1.0, -1.0]))
            return layer.backward(x)

        alike(both, forward, scale=0.0)
        alike(both, backward, scale=0.0)


@pytest.mark.parametrize("kind", ["Relu", "Sigmoid", "Dropout"])
def test_other_shapes_and_dtypes_backward(both, kind):
    """Gradients need not have the shape or dtype of what went forward."""
    for shape, other in [((4, 3), (4, 3)), ((4, 3), (3,)), ((4, 3), (2, 4, 3)), ((4, 3), (3, 4)), ((1, 3), (5, 3))]:
        for dtype in (np.float64, np.float32, int):

            def act(library, shape=shape, other=other, dtype=dtype):
                layer = getattr(library.layers, kind)()
                layer.forward(np.random.randn(*shape).astype(np.float32))
                return layer.backward((np.random.randn(*other) * 5).astype(dtype))

            alike(both, act, 2e-6, scale=0.0)


@pytest.mark.parametrize("kind", ["Relu", "Sigmoid", "Dropout"])
def test_attributes_set_from_outside(both, kind):
    def act(library):
        layer = getattr(library.layers, kind)()
        layer.forward(np.random.randn(2, 2))
        name = "out" if kind == "Sigmoid" else "mask"
        setattr(layer, name, np.array([[True, False], [False, True]]))
        return layer.backward(np.ones((2, 2)) * 3)

    alike(both, act)


@pytest.mark.parametrize("kind", ["Relu", "Sigmoid", "Dropout", "SoftmaxWithLoss"])
def test_backward_before_forward(both, kind):
    result = alike(both, lambda library: getattr(library.layers, kind)().backward(np.ones((2, 3))))
    assert isinstance(result, Exception) == (kind != "Relu")


def test_dropout_backward_after_a_test_only(both):
    def act(library):
        layer = library.layers.Dropout()
        layer.forward(np.ones((2, 2)), train_flg=False)
        return layer.backward(np.ones((2, 2)))

    assert isinstance(alike(both, act), TypeError)


def test_truth_of_the_training_flag(both):
    for flag in (0, 1, None, "yes", [], np.bool_(False)):
        alike(both, lambda library, flag=flag: library.layers.Dropout(0.25).forward(np.arange(6.0), flag))


def test_losses_beside_plain(both):
    labels = np.array([2, 0, 3])
    targets = [
        labels,
        labels.astype(np.uint8),
        np.eye(4)[labels],
        labels.reshape(3, 1),
        labels[:2],
        labels + 2,
        labels - 9,
    ]
    targets += [
        labels.tolist(),
        labels.astype(float),
        None,
        2,
        np.random.rand(3, 4),
        np.eye(4, dtype=np.float32)[labels],
    ]
    targets += [
        np.eye(4)[labels].reshape(12),
        labels.reshape(1, 3),
        labels.astype(object),
        np.array([True, False, True]),
    ]
    for x in arrangements((3, 4)):
        for scores in (x, x.astype(np.float32), (x * 3).astype(int), x[:1], x[:0], x[0], x.tolist()):
            for t in targets:

                def act(library, scores=scores, t=t):
                    layer = library.layers.SoftmaxWithLoss()
                    loss = layer.forward(scores, t)
                    return loss, layer.backward(), layer

                alike(both, act, 2e-6 if getattr(scores, "dtype", None) == np.float32 else 1e-12)


def test_losses_of_special_values(both):
    for value in (np.nan, np.inf, -np.inf, 1e308, -1e308, 800.0):

        def act(library, value=value):
            layer = library.layers.SoftmaxWithLoss()
            loss = layer.forward(np.array([[1.0, value, 0.0], [0.0, 1.0, 2.0]]), np.array([1, 1]))
            return loss, layer.backward(), layer

        alike(both, act)


def test_higher_dimensional_scores(both):
    for x, t in (
        (np.random.randn(2, 3, 4), np.array([1, 0])),
        (np.random.randn(2, 3, 4), np.eye(4)[np.ones((2, 3), int)]),
        (np.random.randn(1, 1), np.array([0])),
        (np.random.randn(3, 1), np.array([0, 0, 0])),
    ):

        def act(library, x=x, t=t):
            layer = library.layers.SoftmaxWithLoss()
            return layer.forward(x, t), layer.backward()

        alike(both, act)
