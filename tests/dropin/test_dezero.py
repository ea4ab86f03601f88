"""``dezero`` with kernels behind it, against ``dezero`` as it is."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from nnlite.dropin import calls
from nnlite.dropin import dezero as dropin
from support import rng, strided

for _name in ("dezero", "matplotlib"):
    if importlib.util.find_spec(_name) is None:
        pytest.skip(f"{_name} is not installed", allow_module_level=True)

Case = tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]

BATCHNORM = ((4,), (4,))


def batch_nrom(F: Any, x: Any, gamma: Any, beta: Any, dtype: Any = np.float64) -> Any:
    return F.batch_nrom(x, gamma, beta, np.linspace(-1, 1, 4).astype(dtype), np.linspace(1, 2, 4).astype(dtype))


LABELS = np.array([2, 0, 3, 3, 1], np.uint8)

CASES: dict[str, Case] = {
    "tanh": (lambda F, x: F.tanh(x), ((3, 4),)),
    "tanh, 0-d": (lambda F, x: F.tanh(x), ((),)),
    "sigmoid": (lambda F, x: F.sigmoid(x), ((2, 3, 4),)),
    "relu": (lambda F, x: F.relu(x), ((7, 5),)),
    "linear": (lambda F, x, W, b: F.linear(x, W, b), ((5, 3), (3, 4), (4,))),
    "linear, no bias": (lambda F, x, W: F.linear(x, W), ((5, 3), (3, 4))),
    "linear, one output": (lambda F, x, W, b: F.linear(x, W, b), ((5, 3), (3, 1), (1,))),
    "conv2d": (lambda F, x, W, b: F.conv2d(x, W, b), ((2, 3, 6, 5), (4, 3, 3, 2), (4,))),
    "conv2d, no bias": (lambda F, x, W: F.conv2d(x, W, None, 2, 1), ((2, 3, 6, 5), (4, 3, 3, 3))),
    "conv2d, pairs": (lambda F, x, W, b: F.conv2d(x, W, b, (2, 1), (0, 3)), ((2, 3, 6, 5), (4, 3, 3, 2), (4,))),
    "deconv2d": (lambda F, x, W, b: F.deconv2d(x, W, b), ((2, 3, 4, 5), (3, 4, 3, 2), (4,))),
    "deconv2d, no bias": (lambda F, x, W: F.deconv2d(x, W, None, 2, 1), ((2, 3, 4, 5), (3, 4, 3, 3))),
    "deconv2d, outsize": (
        lambda F, x, W, b: F.deconv2d(x, W, b, (2, 3), 1, (8, 15)),
        ((2, 3, 4, 5), (3, 4, 3, 3), (4,)),
    ),
    "deconv2d, one bias": (lambda F, x, W, b: F.deconv2d(x, W, b), ((2, 3, 4, 5), (3, 1, 3, 2), (1,))),
    "pooling": (lambda F, x: F.pooling(x, 2), ((2, 3, 6, 5),)),
    "pooling, stride": (lambda F, x: F.pooling(x, (3, 2), 2), ((2, 3, 7, 6),)),
    "pooling, padding": (lambda F, x: F.pooling(x, 3, (2, 1), (1, 2)), ((2, 3, 6, 5),)),
    "average_pooling": (lambda F, x: F.average_pooling(x, 2), ((2, 3, 6, 5),)),
    "average_pooling, padding": (lambda F, x: F.average_pooling(x, 3, 2, (1, 0)), ((2, 3, 6, 5),)),
    "batch_nrom": (batch_nrom, ((5, 4), *BATCHNORM)),
    "batch_nrom, images": (batch_nrom, ((2, 4, 3, 5), *BATCHNORM)),
    "batch_nrom, two values": (batch_nrom, ((2, 4), *BATCHNORM)),
    "softmax_cross_entropy": (lambda F, x: F.softmax_cross_entropy(x, LABELS), ((5, 4),)),
    "softmax_cross_entropy, int64": (lambda F, x: F.softmax_cross_entropy(x, LABELS.astype(np.int64)), ((5, 4),)),
    "dropout": (lambda F, x: F.dropout(x), ((30, 40),)),
    "dropout, ratio": (lambda F, x: F.dropout(x, 0.2), ((30, 40),)),
    "dropout, 0-d": (lambda F, x: F.dropout(x, 0.2), ((),)),
}
DTYPES = [(np.float64, np.float64), (np.float32, np.float32), (np.float32, np.float64), (np.float64, np.float32)]


@pytest.fixture(scope="module")
def dezero() -> ModuleType:
    """The package as it is: imported with the help of the hook, and left by it."""
    dropin.install()
    try:
        return importlib.import_module("dezero")
    finally:
        dropin.uninstall()


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    calls.records.clear()
    yield
    assert dropin._depth == 0
    calls.records.clear()
    calls.options.float32 = False


class patched:  # noqa: N801 (a function in use)
    """The package with kernels, for the block only."""

    def __enter__(self) -> None:
        dropin.install()

    def __exit__(self, *exception: object) -> None:
        dropin.uninstall()


def arrays(shapes: tuple[tuple[int, ...], ...], dtypes: tuple[Any, Any]) -> list[Any]:
    """The first of one dtype, the others of another."""
    g = rng(1)
    return [np.asarray(g.standard_normal(shape)).astype(dtypes[i > 0]) for i, shape in enumerate(shapes)]


def run(dezero: Any, f: Callable[..., Any], values: list[Any], gy_dtype: Any = None) -> list[Any]:
    """The result of ``f`` on variables, and the gradients of its arguments."""
    np.random.seed(5)
    xs = [dezero.Variable(x) for x in values]
    y = f(dezero.functions, *xs)
    gy = np.asarray(rng(2).standard_normal(y.shape)).astype(gy_dtype or y.dtype)
    y.grad = dezero.Variable(gy)
    y.backward()
    return [y.data, *(x.grad.data for x in xs)]


def compare(got: list[Any], want: list[Any], rtol: float) -> None:
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert type(g) is type(w)
        assert g.dtype == w.dtype
        assert g.shape == w.shape
        np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol * max(1, abs(w).max(initial=0)))


def compiled_only() -> bool:
    return bool(calls.records) and all(r.compiled and not r.formula for r in calls.records.values())


@pytest.mark.parametrize("gy_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dtypes", DTYPES, ids=lambda d: "-".join(np.dtype(t).name for t in d))
@pytest.mark.parametrize("case", CASES)
def test_forward_and_backward(dezero: Any, case: str, dtypes: tuple[Any, Any], gy_dtype: Any) -> None:
    f, shapes = CASES[case]
    values = arrays(shapes, dtypes)
    want = run(dezero, f, values, gy_dtype)
    with patched():
        got = run(dezero, f, values, gy_dtype)
    assert compiled_only(), calls.records
    assert len(calls.records) >= 2
    double = all(x.dtype == np.float64 for x in values) and gy_dtype == np.float64
    compare(got, want, 1e-12 if double else 2e-5)


@pytest.mark.parametrize("bias", [np.float32, np.float64, None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_conv2d_equals_conv2d_simple_bit_for_bit(dezero: Any, dtype: Any, bias: Any) -> None:
    g = rng(3)
    for kernel, stride, pad in (((3, 3), 1, 1), ((3, 3), (3, 1), (2, 1)), ((5, 3), 1, 3)):
        x, W = (g.standard_normal(shape).astype(dtype) for shape in ((2, 40, 20, 15), (8, 40, *kernel)))
        b = None if bias is None else g.standard_normal(8).astype(bias)
        with patched():
            y, simple = (
                f(x, W, b, stride, pad).data for f in (dezero.functions.conv2d, dezero.functions.conv2d_simple)
            )
        assert y.dtype == simple.dtype == dtype
        np.testing.assert_array_equal(y, simple)


@pytest.mark.parametrize("case", [case for case in CASES if not case.endswith("0-d")])
def test_arrays_with_gaps(dezero: Any, case: str) -> None:
    f, shapes = CASES[case]
    values = arrays(shapes, DTYPES[0])
    want = run(dezero, f, values)
    with patched():
        got = run(dezero, f, [strided(x) for x in values])
    assert compiled_only()
    compare(got, want, 1e-12)


@pytest.mark.parametrize("case", CASES)
def test_float32_option(dezero: Any, case: str) -> None:
    f, shapes = CASES[case]
    values = arrays(shapes, DTYPES[0])
    want = run(dezero, f, values)
    calls.options.float32 = True
    with patched():
        got = run(dezero, f, values)
    assert compiled_only()
    assert {g.dtype.name for g in got} == {"float32"}
    compare(got, [w.astype(np.float32) for w in want], 2e-5)


def second(dezero: Any, f: Callable[..., Any], values: list[Any]) -> list[Any]:
    """Gradients of the square sum of ``f``'s value and of that of its gradient for the first argument."""
    np.random.seed(5)
    F = dezero.functions
    xs = [dezero.Variable(x) for x in values]
    F.sum(f(F, *xs) ** 2).backward(create_graph=True)
    gx = xs[0].grad
    for x in xs:
        x.cleargrad()
    F.sum(gx**2).backward()
    return [gx.data, *(x.grad.data for x in xs if x.grad is not None)]


@pytest.mark.parametrize("case", CASES)
def test_second_derivatives(dezero: Any, case: str) -> None:
    f, shapes = CASES[case]
    values = arrays(shapes, DTYPES[0])
    want = second(dezero, f, values)
    with patched():
        got = second(dezero, f, values)
    assert len(got) >= 2
    compare(got, want, 1e-12)
    graph = [r.reasons for name, r in calls.records.items() if name.endswith(".backward") and r.reasons]
    assert all(set(reasons) == {"a graph of gradients is asked for"} for reasons in graph)
    assert graph or case.startswith("pooling")  # its gradient is a function of its own


def test_backward_with_a_graph_after_a_compiled_forward_pass(dezero: Any) -> None:
    # The original's backward reads what forward left on the function: inv_std, indexes, input_shape.
    for case in ("batch_nrom, images", "pooling, padding", "average_pooling, padding"):
        f, shapes = CASES[case]
        values = arrays(shapes, DTYPES[0])
        want = run(dezero, f, values)
        xs = [dezero.Variable(x) for x in values]
        with patched():
            y = f(dezero.functions, *xs)
        y.grad = dezero.Variable(rng(2).standard_normal(y.shape))
        y.backward(create_graph=True)
        compare([y.data, *(x.grad.data for x in xs)], want, 1e-12)
        assert xs[0].grad.creator is not None


def test_tanh_to_the_fourth_derivative(dezero: Any) -> None:
    def derivatives() -> list[Any]:
        x = dezero.Variable(np.array(0.7))
        y = dezero.functions.tanh(x)
        found = []
        for _ in range(4):
            x.cleargrad()
            y.backward(create_graph=True)
            y = x.grad
            found.append(y.data)
        return found

    want = derivatives()
    with patched():
        compare(derivatives(), want, 1e-12)
    assert calls.records["Tanh.forward"].compiled == 1


def test_max_pooling_takes_the_first_of_equals_and_the_zeros_around(dezero: Any) -> None:
    x = -np.ones((1, 2, 4, 4))
    x[0, 1] = 3
    x[0, 1, 2, 2] = np.nan

    def pool(F: Any, x: Any) -> Any:
        y = F.pooling(x, 2, 2, 1)
        assert y.creator.indexes.dtype == np.intp
        indexes.append(y.creator.indexes)
        return y

    indexes: list[Any] = []
    want = run(dezero, pool, [x])
    with patched():
        got = run(dezero, pool, [x])
    assert compiled_only()
    for g, w in zip([*got, indexes[1]], [*want, indexes[0]], strict=True):
        np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 4, 5), (2, 3)])
def test_batchnorm_layer(dezero: Any, shape: tuple[int, ...], dtype: Any) -> None:
    def train() -> list[Any]:
        layer, g = dezero.layers.BatchNorm(), rng(3)
        found = []
        for _ in range(3):
            x = (g.standard_normal(shape) * 2 + 1).astype(dtype)
            y = layer(x)
            averages.append(layer.avg_mean.data)
            layer.cleargrads()
            dezero.functions.sum(y * y).backward()
            found += [y.data, layer.gamma.grad.data, layer.beta.grad.data]
        with dezero.test_mode():
            y = layer(x)
        assert y.creator.inv_std is None
        return [*found, y.data, layer.avg_mean.data.copy(), layer.avg_var.data.copy()]

    averages: list[Any] = []
    want = train()
    with patched():
        averages.clear()
        got = train()
    assert compiled_only()
    assert averages[0] is averages[1] is averages[2]  # updated in place
    compare(got, want, 1e-12 if dtype == np.float64 else 2e-5)


def test_batchnorm_statistics_are_those_of_the_last_forward_pass(dezero: Any) -> None:
    x, gamma, beta = arrays(((5, 4), *BATCHNORM), DTYPES[0])

    def twice(F: Any, *xs: Any) -> Any:
        f = F.BatchNorm(np.zeros(4), np.ones(4), 0.9, 2e-5)
        f(*(dezero.Variable(3 * v) for v in (x, gamma, beta)))
        f.avg_mean = np.zeros((1, 4))  # not as kernels take it
        return f(*xs)

    want = run(dezero, twice, [x, gamma, beta])
    with patched():
        compare(run(dezero, twice, [x, gamma, beta]), want, 1e-12)
    assert calls.records["BatchNorm.forward"].compiled == calls.records["BatchNorm.forward"].formula == 1
    assert calls.records["BatchNorm.backward"].reasons == {"the forward pass was not compiled": 1}


def test_dropout_follows_config_and_the_global_generator(dezero: Any) -> None:
    x = dezero.Variable(rng(0).standard_normal((20, 30)))

    def draw() -> list[Any]:
        np.random.seed(1)
        with dezero.test_mode():
            assert dezero.functions.dropout(x) is x
        return [dezero.functions.dropout(x, 0.3).data, np.random.rand(3)]

    want = draw()
    with patched():
        compare(draw(), want, 1e-15)
        assert compiled_only()

        # What kernels do not take is drawn once too.
        np.random.seed(1)
        y = dezero.functions.dropout(x.data.astype(np.float16), 0.3)
        compare([np.random.rand(3)], want[1:], 0)
    assert y.dtype == np.float16
    assert calls.records["dropout.forward"].reasons == {"an array of float16": 1}


def test_dropout_restores_the_generator_when_its_kernel_fails(dezero: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise MemoryError("no memory")

    x = rng(0).standard_normal((20, 30))
    np.random.seed(1)
    want = dezero.functions.dropout(x).data
    monkeypatch.setattr(dropin, "kernel", fail)
    np.random.seed(1)
    with patched():
        compare([dezero.functions.dropout(x).data], [want], 0)
    assert calls.records["dropout.forward"].reasons == {"no memory": 1}


def test_dropout_taken_before_the_end_works_after_it(dezero: Any) -> None:
    with patched():
        dropout = dezero.functions.dropout
    x = np.ones((3, 4))
    np.random.seed(1)
    got = dropout(x).data
    np.random.seed(1)
    compare([got], [dezero.functions.dropout(x).data], 0)
    assert not calls.records


UNUSUAL: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "float16": (lambda F, x: F.tanh(x), [np.ones((2, 3), np.float16)]),
    "integers": (lambda F, x: F.sigmoid(x), [np.arange(6).reshape(2, 3)]),
    "relu of integers": (lambda F, x: F.relu(x), [np.arange(-3, 3)]),
    "other byte order": (lambda F, x: F.relu(x), [rng(0).standard_normal(7).astype(">f8")]),
    "complex": (lambda F, x: F.tanh(x), [np.array([1 + 2j])]),
    "linear of integers": (
        lambda F, x, W, b: F.linear(x, W, b),
        [np.arange(6).reshape(2, 3), np.ones((3, 2)), np.ones(2)],
    ),
    "linear, bias of a row": (lambda F, *a: F.linear(*a), arrays(((5, 3), (3, 4), (1, 4)), DTYPES[0])),
    "linear, bias of one number": (lambda F, *a: F.linear(*a), arrays(((5, 3), (3, 4), (1,)), DTYPES[0])),
    "conv2d, bias of one number": (lambda F, *a: F.conv2d(*a), arrays(((1, 2, 4, 4), (3, 2, 3, 3), (1,)), DTYPES[0])),
    "conv2d of integers": (
        lambda F, x, W: F.conv2d(x, W),
        [np.arange(16).reshape(1, 1, 4, 4), rng(0).standard_normal((1, 1, 2, 2))],
    ),
    "deconv2d, float16": (
        lambda F, x, W: F.deconv2d(x, W),
        [np.ones((1, 1, 4, 4), np.float16), np.ones((1, 1, 2, 2), np.float16)],
    ),
    "pooling of integers": (lambda F, x: F.pooling(x, 2), [np.arange(16).reshape(1, 1, 4, 4)]),
    "average pooling, wide padding": (lambda F, x: F.average_pooling(x, 2, 1, 2), arrays(((1, 2, 4, 4),), DTYPES[0])),
    "average pooling of integers": (lambda F, x: F.average_pooling(x, 2), [np.arange(16).reshape(1, 1, 4, 4)]),
    "batch_nrom, one value": (batch_nrom, arrays(((1, 4), *BATCHNORM), DTYPES[0])),
    "batch_nrom, float16": (
        lambda F, *a: batch_nrom(F, *a, np.float16),
        [a.astype(np.float16) for a in arrays(((5, 4), *BATCHNORM), DTYPES[0])],
    ),
    "batch_nrom, averages of a row": (
        lambda F, *a: F.batch_nrom(*a, np.zeros((1, 4)), np.ones((1, 4))),
        arrays(((5, 4), *BATCHNORM), DTYPES[0]),
    ),
    "batch_nrom, eps of NumPy": (
        lambda F, *a: F.batch_nrom(*a, np.zeros(4), np.ones(4), 0.9, np.float64(1e-5)),
        arrays(((5, 4), *BATCHNORM), DTYPES[1]),
    ),
    "labels from the end": (
        lambda F, x: F.softmax_cross_entropy(x, np.array([0, -1])),
        arrays(((2, 3),), DTYPES[0]),
    ),
    "dropout of integers": (lambda F, x: F.dropout(x, -1), [np.arange(12).reshape(3, 4)]),
}


@pytest.mark.parametrize("case", UNUSUAL)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_unusual_arguments_take_the_formula(dezero: Any, case: str) -> None:
    f, values = UNUSUAL[case]
    want = run(dezero, f, values)
    with patched():
        got = run(dezero, f, values)
    reasons = [r.reasons for r in calls.records.values() if r.reasons]
    assert reasons
    for g, w in zip(got, want, strict=True):
        assert g.dtype == w.dtype
        np.testing.assert_allclose(g, w, rtol=1e-12 if g.dtype.itemsize > 2 else 1e-3)


WRONG: dict[str, Callable[[Any], Any]] = {
    "shapes": lambda F: F.linear(np.ones((2, 3)), np.ones((4, 5))),
    "channels": lambda F: F.conv2d(np.ones((1, 2, 4, 4)), np.ones((1, 3, 2, 2))),
    "kernel_size": lambda F: F.pooling(np.ones((1, 2, 4, 4)), [2, 2]),
    "ratio": lambda F: F.dropout(np.ones((3, 4)), np.ones(5)),
    "label": lambda F: F.softmax_cross_entropy(np.ones((2, 3)), np.array([0, 3])),
    "label of floats": lambda F: F.softmax_cross_entropy(np.ones((2, 3)), np.array([0.0, 1.0])),
    "dimensions": lambda F: F.batch_nrom(np.ones((2, 3, 4)), np.ones(3), np.ones(3), np.ones(3), np.ones(3)),
    "averages": lambda F: F.batch_nrom(
        np.ones((5, 3)), np.ones(3), np.ones(3), np.ones(3, np.int64), np.ones(3, np.int64)
    ),
    "type": lambda F: F.relu([1.0]),
    "window": lambda F: F.sum(F.average_pooling(np.ones((1, 2, 4, 4)), (2, 3))).backward(),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_the_originals(dezero: Any, case: str) -> None:
    with pytest.raises(Exception) as want:
        WRONG[case](dezero.functions)
    with patched(), pytest.raises(Exception) as got:
        WRONG[case](dezero.functions)
    assert type(got.value) is type(want.value)
    assert str(got.value) == str(want.value)
    assert got.value.__context__ is None


def mlp(dezero: Any) -> list[float]:
    """Losses of a small network on vectors."""
    np.random.seed(0)
    g = rng(4)
    x, t = g.standard_normal((30, 6)).astype(np.float32), g.integers(0, 3, 30)
    model = dezero.models.MLP((10, 3))
    optimizer = dezero.optimizers.MomentumSGD(0.3).setup(model)
    losses = []
    for _ in range(15):
        loss = dezero.functions.softmax_cross_entropy(model(x), t)
        model.cleargrads()
        loss.backward()
        optimizer.update()
        losses.append(float(loss.data))
    return losses


def cnn(dezero: Any) -> list[float]:
    """Losses of a small network on images, with every layer that has kernels; the last one in test mode."""
    np.random.seed(0)
    F, L = dezero.functions, dezero.layers

    class Net(dezero.Model):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.norm, self.conv2 = L.Conv2d(4, 3, pad=1), L.BatchNorm(), L.Conv2d(6, 3, stride=2)
            self.deconv, self.out = L.Deconv2d(4, 2), L.Linear(3)

        def forward(self, x: Any) -> Any:
            x = F.pooling(F.relu(self.norm(self.conv1(x))), 2, 2)
            x = F.average_pooling(F.tanh(self.deconv(F.relu(self.conv2(x)))), 2, 1)
            return self.out(F.dropout(F.flatten(x), 0.3))

    g = rng(4)
    x, t = g.standard_normal((8, 2, 12, 10)).astype(np.float32), g.integers(0, 3, 8)
    model = Net()
    optimizer = dezero.optimizers.Adam(0.01).setup(model)
    losses = []
    for _ in range(8):
        loss = F.softmax_cross_entropy(model(x), t)
        model.cleargrads()
        loss.backward()
        optimizer.update()
        losses.append(float(loss.data))
    with dezero.test_mode(), dezero.no_grad():
        return [*losses, float(F.softmax_cross_entropy(model(x), t).data)]


@pytest.mark.parametrize("train", [mlp, cnn])
def test_training(dezero: Any, train: Callable[[Any], list[float]]) -> None:
    want = train(dezero)
    with patched():
        got = train(dezero)
    assert compiled_only()
    assert want[-1] < want[0]
    np.testing.assert_allclose(got, want, rtol=1e-5)  # the data is float32, and so are the first means


METHODS = [(module, *name.split(".")) for module, methods in dropin._METHODS.items() for name in methods]


def held(dezero: Any) -> dict[str, Any]:
    methods = {f"{c}.{m}": vars(getattr(sys.modules[module], c))[m] for module, c, m in METHODS}
    return methods | {"dropout": dezero.functions.dropout}


def test_uninstall_restores_every_method(dezero: Any) -> None:
    before, path = held(dezero), list(sys.meta_path)
    with patched():
        during = held(dezero)
        assert all(during[name] is not before[name] for name in before)
        with patched():  # nested: nothing is patched twice
            assert all(held(dezero)[name] is during[name] for name in before)
            assert len(sys.meta_path) == len(path) + 1
        assert all(held(dezero)[name] is during[name] for name in before)
    assert all(held(dezero)[name] is before[name] for name in before)
    assert sys.meta_path == path
    dropin.uninstall()  # without install: nothing
    assert all(held(dezero)[name] is before[name] for name in before)


def test_uninstall_leaves_what_the_program_put_there(dezero: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tanh = dezero.functions.Tanh
    own = lambda self, x: x  # noqa: E731
    monkeypatch.setattr(tanh, "forward", tanh.forward)
    with patched():
        tanh.forward = own
    assert tanh.forward is own


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from nnlite.dropin import dezero as dropin\n" + code], capture_output=True, text=True
    )


def test_import_of_the_published_version() -> None:
    done = python("""
import importlib, sys
import numpy as np
from nnlite.dropin import calls
assert "dezero" not in sys.modules  # the drop-in of this name is another module
dropin.install()
import dezero
assert not hasattr(np, "int")
assert sys.modules["numpy"] is np
for module in (dezero.datasets, dezero.transforms):
    assert module.np is not np and module.np.int is int
    assert module.np.ndarray is np.ndarray
    assert module.__loader__ is module.__spec__.loader
    assert type(module.__loader__) is type(dezero.__loader__)
assert dezero.functions.np is np
assert dezero.transforms.ToInt().dtype is int
x, t = dezero.datasets.get_spiral()
assert t.dtype == np.int_ and set(t) == {0, 1, 2}
dezero.functions.tanh(np.ones(3))
assert calls.records["Tanh.forward"].compiled == 1
importlib.reload(dezero.functions).tanh(np.ones(3))
assert calls.records["Tanh.forward"].compiled == 2
dropin.uninstall()
dezero.functions.tanh(np.ones(3))
assert calls.records["Tanh.forward"].compiled == 2
assert dezero.datasets.get_spiral()[1].dtype == np.int_
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_without_the_hook_is_as_it_was() -> None:
    # Neither a removed hook nor bytecode that was written under it helps the published version.
    done = python("dropin.install(); dropin.uninstall(); import dezero")
    assert done.returncode == 1
    assert "np.int" in done.stderr


@pytest.mark.parametrize(("module", "name"), [("matplotlib", "matplotlib"), ("PIL", "Pillow")])
def test_what_is_missing_is_named(module: str, name: str) -> None:
    # datasets, which is imported first, needs matplotlib, which needs Pillow: that is hidden once the one is there.
    first = "" if module == "matplotlib" else "import matplotlib.pyplot\n"
    done = python(f"import sys\n{first}sys.modules['{module}'] = None\ndropin.install()\nimport dezero")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == f"ModuleNotFoundError: dezero needs {name}, which is not installed: pip install {name}"
    assert "During handling" not in done.stderr


def test_other_missing_modules_are_python_s_matter() -> None:
    done = python("import sys\nsys.modules['gzip'] = None\ndropin.install()\nimport dezero")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: import of gzip halted; None in sys.modules"


def test_kernels_on_another_device(dezero: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnlite.cuda import is_available

    if not is_available("cuda_sim"):
        pytest.skip("built without the simulator")
    monkeypatch.setattr(calls.options, "device", "cuda_sim")
    for f, shapes in CASES.values():
        values = arrays(shapes, DTYPES[0])
        want = run(dezero, f, values)
        with patched():
            got = run(dezero, f, values)
        compare(got, want, 1e-12)
    assert compiled_only(), calls.records
