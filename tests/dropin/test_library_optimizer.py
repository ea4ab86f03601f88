"""common.optimizer: the rules step by step, state, identity, and Python numbers as parameters."""

import math

import numpy as np
import pytest
from same import alike, close, equal

FIRST = {
    "SGD": -6.993,
    "Momentum": -6.993,
    "Nesterov": -6.9867,
    "AdaGrad": -6.990000001428571,
    "RMSprop": -6.900000142856939,
    "Adam": -6.999000004517519,
}


def steps(name, p, grads, **settings):
    """The parameter after every step, in Python's floats."""
    lr = settings.get("lr", 0.001 if name == "Adam" else 0.01)
    mu, d = settings.get("momentum", 0.9), settings.get("decay_rate", 0.99)
    b1, b2 = settings.get("beta1", 0.9), settings.get("beta2", 0.999)
    v = h = m = 0.0
    for t, g in enumerate(grads, 1):
        if name == "SGD":
            p -= lr * g
        elif name == "Momentum":
            v = mu * v - lr * g
            p += v
        elif name == "Nesterov":
            p += mu * mu * v
            p -= (1 + mu) * lr * g
            v = mu * v - lr * g
        elif name == "AdaGrad":
            h += g * g
            p -= lr * g / (math.sqrt(h) + 1e-7)
        elif name == "RMSprop":
            h = d * h + (1 - d) * g * g
            p -= lr * g / (math.sqrt(h) + 1e-7)
        else:
            m += (1 - b1) * (g - m)
            v += (1 - b2) * (g * g - v)
            p -= lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (math.sqrt(v) + 1e-7)
        yield p


SETTINGS = {
    "SGD": [{}, {"lr": 0.5}],
    "Momentum": [{}, {"lr": 0.1, "momentum": 0.5}],
    "Nesterov": [{}, {"lr": 0.1, "momentum": 0.5}],
    "AdaGrad": [{}, {"lr": 1.5}],
    "RMSprop": [{}, {"lr": 0.1, "decay_rate": 0.5}],
    "Adam": [{}, {"lr": 0.3, "beta1": 0.5, "beta2": 0.9}],
}
CASES = [(name, settings) for name, all_settings in SETTINGS.items() for settings in all_settings]


@pytest.mark.parametrize("name", FIRST)
def test_first_step(library, name):
    for p in (-7.0, np.float64(-7.0), np.array(-7.0), np.array([-7.0])):
        params = {"x": p}
        getattr(library.optimizer, name)().update(params, {"x": p * 0.1})
        close(params["x"], np.full(np.shape(p), FIRST[name]), 1e-15)


@pytest.mark.parametrize(("name", "settings"), CASES)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (20, 13), (3, 2, 3, 3)])
def test_rule(library, name, settings, shape):
    start = np.asarray(np.random.randn(*shape))
    grads = [np.asarray(np.random.randn(*shape)) for _ in range(5)]
    grads[3] *= 0
    params = {"W": start.copy()}
    array = params["W"]
    optimizer = getattr(library.optimizer, name)(**settings)
    for g in grads:
        kept = g.copy()
        optimizer.update(params, {"W": g})
        equal(g, kept)
    assert params["W"] is array
    want = [list(steps(name, p, g, **settings))[-1] for p, *g in zip(start.flat, *(g.flat for g in grads), strict=True)]
    close(array, np.reshape(want, shape), scale=1.0)


@pytest.mark.parametrize("name", FIRST)
def test_python_numbers(library, name):
    """A valley in two variables, the parameters a dict of floats."""
    optimizer = getattr(library.optimizer, name)(lr=0.1)
    params = {"x": -7.0, "y": 2.0}
    xs, ys = [], []
    for _ in range(12):
        grads = {"x": params["x"] / 10.0, "y": 2.0 * params["y"]}
        xs.append(grads["x"])
        ys.append(grads["y"])
        optimizer.update(params, grads)
        close(params["x"], list(steps(name, -7.0, xs, lr=0.1))[-1])
        close(params["y"], list(steps(name, 2.0, ys, lr=0.1))[-1], scale=1e-3)
        assert isinstance(params["x"], float)


def test_settings_and_state(library):
    O = library.optimizer  # noqa: E741
    assert vars(O.SGD()) == {"lr": 0.01}
    assert vars(O.Momentum()) == {"lr": 0.01, "momentum": 0.9, "v": None}
    assert vars(O.Nesterov()) == {"lr": 0.01, "momentum": 0.9, "v": None}
    assert vars(O.AdaGrad()) == {"lr": 0.01, "h": None}
    assert vars(O.RMSprop()) == {"lr": 0.01, "decay_rate": 0.99, "h": None}
    assert vars(O.Adam()) == {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "iter": 0, "m": None, "v": None}


def test_state_is_in_dicts_of_arrays(library):
    g = np.array([2.0, -4.0])
    for name, key, want in (
        ("Momentum", "v", -0.01 * g),
        ("Nesterov", "v", -0.01 * g),
        ("AdaGrad", "h", g * g),
        ("RMSprop", "h", (1 - 0.99) * g * g),
        ("Adam", "m", (1 - 0.9) * g),
        ("Adam", "v", (1 - 0.999) * g * g),
    ):
        optimizer = getattr(library.optimizer, name)()
        optimizer.update({"a": np.zeros(2), "b": np.zeros(2)}, {"a": g, "b": g})
        assert list(getattr(optimizer, key)) == ["a", "b"]
        close(getattr(optimizer, key)["a"], want, 1e-14)
    assert optimizer.iter == 1


@pytest.mark.parametrize("name", FIRST)
def test_settings_may_change_between_steps(library, name):
    optimizer = getattr(library.optimizer, name)()
    params = {"x": np.array([1.0])}
    optimizer.lr = 0.0
    optimizer.update(params, {"x": np.array([3.0])})
    equal(params["x"], [1.0])


def test_one_sgd_for_several_networks(library):
    sgd = library.optimizer.SGD(0.1)
    for keys in (["a"], ["b", "c"], ["a"]):
        params = {key: np.ones(3) for key in keys}
        sgd.update(params, {key: np.ones(3) for key in keys})
        for p in params.values():
            close(p, [0.9] * 3)


@pytest.mark.parametrize("name", FIRST)
def test_missing_and_extra_gradients(library, name):
    params = {"W": np.ones(2), "b": np.ones(2)}
    optimizer = getattr(library.optimizer, name)()
    with pytest.raises(KeyError):
        optimizer.update(params, {"W": np.ones(2)})
    params = {"W": np.ones(2)}
    getattr(library.optimizer, name)().update(params, {"W": np.ones(2), "else": None})


def test_numpy_leaks(library):
    assert library.optimizer.np is np
    assert library.trainer.Adam is library.optimizer.Adam


@pytest.mark.parametrize("name", FIRST)
def test_the_same_after_many_steps(both, name):
    shapes = [(30, 20), (20,), (4, 3, 3, 3), ()]
    start = [np.asarray(np.random.randn(*s)) for s in shapes]
    grads = [[np.asarray(np.random.randn(*s)) for s in shapes] for _ in range(20)]

    def act(library):
        params = {f"p{i}": p.copy() for i, p in enumerate(start)}
        optimizer = getattr(library.optimizer, name)()
        for g in grads:
            optimizer.update(params, {f"p{i}": a for i, a in enumerate(g)})
        return params, optimizer

    alike(both, act, 1e-13)


@pytest.mark.parametrize("name", FIRST)
@pytest.mark.parametrize("p_type", [np.float64, np.float32, np.float16, int])
@pytest.mark.parametrize("g_type", [np.float64, np.float32, int])
def test_dtypes_beside_plain(both, name, p_type, g_type):
    """Two steps: the state of Momentum takes the gradient's dtype, others keep the parameter's; no step of integers."""

    def act(library):
        params = {"p": (np.arange(12).reshape(3, 4) + 1).astype(p_type)}
        optimizer = getattr(library.optimizer, name)()
        for k in range(2):
            optimizer.update(params, {"p": (np.arange(12).reshape(3, 4) * 3 - 7 + k).astype(g_type)})
        return params, optimizer

    alike(both, act, 1e-3 if p_type == np.float16 else 1e-13)


@pytest.mark.parametrize("name", FIRST)
def test_layouts_and_strange_values_beside_plain(both, name):
    g = np.random.randn(4, 6)
    transposed = np.random.randn(3, 3, 2, 4).transpose(3, 2, 0, 1)
    pairs = [
        (lambda: np.asfortranarray(g), g),
        (lambda: np.repeat(g, 2, 1)[:, ::2], g[::-1]),
        (lambda: g[::-1].copy()[::-1], np.asfortranarray(g)),
        (lambda: transposed.copy(), transposed),
        (lambda: transposed.copy(order="K"), np.ascontiguousarray(transposed)),
        (lambda: np.zeros((4, 6)), g[0]),
        (lambda: np.zeros((4, 6)), 2.0),
        (lambda: np.zeros((4, 6)), 1),
        (lambda: np.zeros(6), g),
        (lambda: np.zeros((4, 6)), g.tolist()),
        (lambda: np.zeros((4, 6)), None),
        (lambda: np.zeros(0), np.zeros(0)),
        (lambda: np.ones(4), np.array([np.nan, np.inf, -np.inf, 0.0])),
        (lambda: np.ones(4), np.array([1e200, 1e-200, 5e-324, -0.0])),
        (lambda: [1.0, 2.0], np.ones(2)),
        (lambda: 3, 1),
        (lambda: 3, 1.5),
        (lambda: 3.0, np.float32(1.5)),
        (lambda: np.float32(3), np.float32(1.5)),
        (lambda: np.float64(3), 2),
        (lambda: None, 2),
    ]
    for make, grad in pairs:

        def act(library, make=make, grad=grad):
            params = {"p": make()}
            optimizer = getattr(library.optimizer, name)()
            # What Inf leaves in the state is no number that the next step's formula agrees on.
            for _ in range(1 if isinstance(grad, np.ndarray) and np.isinf(grad**2).any() else 2):
                optimizer.update(params, {"p": grad})
            return params, optimizer

        alike(both, act, 1e-13)


@pytest.mark.parametrize("name", FIRST)
def test_a_locked_parameter(both, name):
    def act(library):
        p = np.ones(3)
        p.flags.writeable = False
        getattr(library.optimizer, name)().update({"p": p}, {"p": np.ones(3)})

    assert isinstance(alike(both, act), ValueError)


@pytest.mark.parametrize("name", FIRST)
def test_parameters_sharing_memory(both, name):
    """A gradient that is the parameter itself, and one array under two names."""

    def act(library):
        a = np.arange(1.0, 5.0)
        params = {"a": a, "b": a[::-1], "c": np.arange(1.0, 5.0)}
        optimizer = getattr(library.optimizer, name)(lr=0.1)
        for _ in range(2):
            optimizer.update(params, {"a": np.ones(4), "b": np.arange(4.0), "c": params["c"]})
        return params, optimizer

    alike(both, act, 1e-13)


@pytest.mark.parametrize("name", FIRST)
def test_new_keys_after_the_first_step(both, name):
    def act(library):
        optimizer = getattr(library.optimizer, name)()
        optimizer.update({"a": np.ones(2)}, {"a": np.ones(2)})
        params = {"a": np.ones(2), "b": np.ones(2)}
        optimizer.update(params, {"a": np.ones(2), "b": np.ones(2)})
        return params

    assert isinstance(alike(both, act), KeyError) == (name != "SGD")


@pytest.mark.parametrize("name", FIRST)
def test_strange_settings(both, name):
    for lr in (1, np.float32(0.1), np.array(0.1), 0, -1.0, np.nan, None, np.full(3, 0.5)):

        def act(library, lr=lr):
            params = {"p": np.ones(3), "q": np.ones(3, np.float32)}
            optimizer = getattr(library.optimizer, name)(lr)
            optimizer.update(params, {"p": np.ones(3), "q": np.ones(3, np.float32)})
            return params

        alike(both, act, 1e-13, floor=1e-7)  # 1 - lr * 1 may be all rounding
