"""Initialisers in place: PyTorch's values or distributions, equal bits on every backend, refusals."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn
from nnlite.nn import init
from support import assert_same_bits

SETTLED = [
    (init.zeros_, (3, 4), {}),
    (init.ones_, (5,), {}),
    (init.constant_, (2, 3), {"val": 0.3}),
    (init.eye_, (3, 5), {}),
    (init.eye_, (5, 3), {}),
    (init.dirac_, (4, 3, 3), {}),
    (init.dirac_, (2, 5, 3, 4), {}),
    (init.dirac_, (6, 2, 3, 3), {"groups": 3}),
    (init.dirac_, (4, 3, 2, 3, 5), {"groups": 2}),
]
# Uniform or normal with a bound or standard deviation that PyTorch computes too.
SCALED = [
    (name, settings)
    for name in ("kaiming_uniform_", "kaiming_normal_")
    for settings in (
        {},
        {"a": math.sqrt(5), "mode": "fan_out"},
        {"nonlinearity": "relu"},
        {"nonlinearity": "tanh", "mode": "fan_out"},
        {"nonlinearity": "selu"},
        {"nonlinearity": "conv2d"},
    )
] + [("xavier_uniform_", {}), ("xavier_uniform_", {"gain": 5 / 3}), ("xavier_normal_", {"gain": 0.5}),
     ("uniform_", {"a": -3.0, "b": 0.5}), ("normal_", {"mean": 4.0, "std": 0.1})]  # fmt: skip
DRAWN = {
    **{f"{name} {settings}": (getattr(init, name), settings) for name, settings in SCALED[::3]},
    "trunc_normal_": (init.trunc_normal_, {}),
    "trunc_normal_ tail": (init.trunc_normal_, {"a": 2.5, "b": 40.0}),
    "orthogonal_": (init.orthogonal_, {"gain": 2.0}),
    "sparse_": (init.sparse_, {"sparsity": 0.4}),
}


@pytest.mark.parametrize(("function", "shape", "settings"), SETTLED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_settled_values_are_pytorchs(function, shape, settings, dtype):
    torch = pytest.importorskip("torch")
    p = nn.Parameter(np.full(shape, 7, dtype))
    array = p.data
    assert function(p, **settings) is p
    assert p.data is array
    theirs = getattr(torch.nn.init, function.__name__)(torch.tensor(np.full(shape, 7, dtype)), **settings)
    assert_same_bits(p.data, theirs.numpy())


@pytest.mark.parametrize("nonlinearity", ["linear", "conv1d", "conv_transpose2d", "sigmoid", "tanh", "relu", "selu"])
def test_gains_are_pytorchs(nonlinearity):
    torch = pytest.importorskip("torch")
    assert init.calculate_gain(nonlinearity) == torch.nn.init.calculate_gain(nonlinearity)
    for slope in (None, 0, 1, 0.3, math.sqrt(5)):
        ours, theirs = (f("leaky_relu", slope) for f in (init.calculate_gain, torch.nn.init.calculate_gain))
        assert math.isclose(ours, theirs, rel_tol=4e-16)


@pytest.mark.parametrize(("name", "settings"), SCALED)
def test_bounds_and_deviations_are_pytorchs(name, settings, monkeypatch):
    """What is asked of the generator is what PyTorch asks of its own."""
    torch = pytest.importorskip("torch")
    shape, asked = (6, 5, 3, 2), []
    for kind in ("uniform", "normal"):
        ours = getattr(nl.init, kind)
        monkeypatch.setattr(nl.init, kind, lambda s, a, b, d, ours=ours: asked.append((a, b)) or ours(s, a, b, d))
        monkeypatch.setattr(torch.Tensor, f"{kind}_", lambda x, a, b, generator=None: asked.append((a, b)) or x)
    getattr(init, name)(nn.Parameter(np.zeros(shape, np.float32)), **settings)
    getattr(torch.nn.init, name)(torch.zeros(shape), **settings)
    ours, theirs = asked
    np.testing.assert_allclose(ours, theirs, rtol=8e-16)


def test_draws_are_those_of_nl_init():
    for in_place, new in ((init.xavier_uniform_, nl.init.xavier_uniform), (init.xavier_normal_, nl.init.xavier_normal)):
        nl.manual_seed(3)
        p = in_place(nn.Parameter(np.zeros((6, 5, 3, 2), np.float32)))
        nl.manual_seed(3)
        assert_same_bits(p.data, new((6, 5, 3, 2)))


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_bits_on_every_backend(name):
    function, settings = DRAWN[name]
    results = []
    for backend in ("reference", nl.get_backend()):
        with nl.backend(backend):
            nl.manual_seed(5)
            results.append([function(nn.Parameter(np.zeros((20, 30), dtype)), **settings).data for dtype in "fd"])
    for ours, theirs in zip(*results, strict=True):
        assert_same_bits(ours, theirs)


def test_orthogonal_draws_have_not_changed():
    nl.manual_seed(0)
    q = init.orthogonal_(nn.Parameter(np.zeros((7, 3, 2)))).data
    assert hashlib.sha256(q.tobytes()).hexdigest()[:16] == "b017c1a348d78b29"


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 2, 3), (1, 6), (6, 1), (40, 60)])
def test_orthogonal_rows_or_columns(shape):
    q = init.orthogonal_(nn.Parameter(np.zeros(shape)), gain=3.0).data.reshape(shape[0], -1) / 3.0
    product = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    # Two passes leave errors of a few roundings per element.
    np.testing.assert_allclose(product, np.eye(len(product)), atol=max(shape) * 2.0**-51)


def test_orthogonal_is_the_q_of_the_draw_with_a_positive_r():
    nl.manual_seed(9)
    q = init.orthogonal_(nn.Parameter(np.zeros((6, 4)))).data
    nl.manual_seed(9)
    expected, r = np.linalg.qr(nl.init.normal((4, 6), dtype=np.float64).T)
    np.testing.assert_allclose(q, expected * np.sign(np.diag(r)), atol=1e-13)


@pytest.mark.parametrize(
    "settings",
    [{}, {"mean": 1.0, "std": 0.5, "a": 0.9, "b": 1.2}, {"a": 2.5, "b": 1e6}, {"a": -1.5, "b": -1.0, "std": 2.0},
     {"a": 30.0, "b": 31.0}],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_truncated_normal(settings, dtype):
    """Within the bounds, with the mean and the deviation of the truncated distribution."""
    arguments = {"mean": 0.0, "std": 1.0, "a": -2.0, "b": 2.0, **settings}
    nl.manual_seed(1)
    n = 20_000
    x = init.trunc_normal_(nn.Parameter(np.zeros(n, dtype)), **settings).data
    a, b, mean, std = (arguments[key] for key in ("a", "b", "mean", "std"))
    assert dtype(a) <= x.min() < x.max() <= dtype(b)
    z = np.linspace(max(a, mean - 9 * std), min(b, max(a, mean) + 9 * std), 200_001)
    weight = np.exp(-0.5 * (((z - mean) / std) ** 2 - (min(max(a, mean), b) - mean) ** 2 / std**2))
    expected = (z * weight).sum() / weight.sum()
    deviation = math.sqrt(((z - expected) ** 2 * weight).sum() / weight.sum())
    assert abs(x.mean(dtype=np.float64) - expected) < 5 * deviation / math.sqrt(n)
    assert abs(x.std(dtype=np.float64) / deviation - 1) < 0.05


def test_sparse_columns():
    p = init.sparse_(nn.Parameter(np.zeros((13, 40), np.float32)), 0.3, std=0.1)
    assert ((p.data == 0).sum(0) == 4).all()
    assert len({tuple(column) for column in (p.data == 0).T}) > 30
    assert abs(p.data[p.data != 0].std() - 0.1) < 0.02


def test_tensors_without_elements_draw_nothing():
    before = nl.random.get_state()
    for function, settings in DRAWN.values():
        function(nn.Parameter(np.zeros((0, 3), np.float32)), **settings)
    assert nl.random.get_state() == before


def test_a_change_between_forward_and_backward_is_noticed():
    p = nn.Parameter(np.ones(3))
    y = (p * p).sum()
    init.zeros_(p)
    with pytest.raises(RuntimeError):
        y.backward()


def weight(*shape):
    return nn.Parameter(np.ones(shape, np.float32))


WRONG_CALLS = [
    (TypeError, "zeros_: tensor must be a Parameter or a Tensor, got ndarray", lambda: init.zeros_(np.zeros(3))),
    (RuntimeError, r"ones_: the tensor \(3,\) is the result of an op", lambda: init.ones_(weight(3) + weight(3))),
    (ValueError, r"eye_: the tensor must have 2 dimensions", lambda: init.eye_(weight(3))),
    (ValueError, r"dirac_: the tensor must have 3, 4 or 5 dimensions", lambda: init.dirac_(weight(3, 3))),
    (ValueError, r"dirac_: groups must divide the 4 output channels, got 3", lambda: init.dirac_(weight(4, 3, 1), 3)),
    (ValueError, r"uniform_: a must be at most b, got a=1 and b=0", lambda: init.uniform_(weight(3), 1, 0)),
    (ValueError, r"normal_: std must be a finite number of at least 0, got -1", lambda: init.normal_(weight(3), 0, -1)),
    (ValueError, r"trunc_normal_: a must be below b", lambda: init.trunc_normal_(weight(3), a=1, b=1)),
    (ValueError, r"xavier_normal_: the tensor must have at least 2 dimensions \(out, in, ...\), got shape \(3,\)",
     lambda: init.xavier_normal_(weight(3))),
    (ValueError, r"kaiming_normal_: mode must be 'fan_in' or 'fan_out', got 'in'",
     lambda: init.kaiming_normal_(weight(3, 3), mode="in")),
    (ValueError, r"calculate_gain: nonlinearity must be one of .*, got 'gelu'",
     lambda: init.kaiming_uniform_(weight(3, 3), nonlinearity="gelu")),
    (ValueError, r"orthogonal_: the tensor must have at least 2 dimensions", lambda: init.orthogonal_(weight(3))),
    (ValueError, r"sparse_: sparsity must be between 0 and 1, got 2", lambda: init.sparse_(weight(3, 3), 2)),
]  # fmt: skip


@pytest.mark.parametrize(("error", "text", "call"), WRONG_CALLS, ids=[text[:30] for _, text, _ in WRONG_CALLS])
def test_refusals(error, text, call):
    with pytest.raises(error, match=text):
        call()
