"""PyTorch as an outside oracle of optimizers, over a table of settings; and the same bits on every backend."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite import optim
from nnlite.backend import available
from support import assert_same_bits, rng

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.01}),
    ("AdamW", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.01, "initial_accumulator_value": 0.5, "eps": 1e-3}),
    ("RMSprop", {"lr": 0.1}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.8, "momentum": 0.5, "weight_decay": 0.01, "centered": True, "eps": 1e-3}),
    ("Adadelta", {"lr": 1.0}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.01, "maximize": True}),
    ("Adamax", {"lr": 0.1}),
    ("Adamax", {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.01}),
    ("NAdam", {"lr": 0.1}),
    ("NAdam", {"lr": 0.1, "momentum_decay": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.1}),
    ("RAdam", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Rprop", {"lr": 0.1}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (0.05, 0.3)}),
    ("ASGD", {"lr": 0.1}),
    ("ASGD", {"lr": 0.1, "lambd": 0.01, "alpha": 0.6, "t0": 2, "weight_decay": 0.01}),
]
OWN: list[tuple[str, dict[str, Any]]] = [
    ("Lion", {"lr": 0.1, "weight_decay": 0.1}),
    ("LAMB", {"lr": 0.1, "weight_decay": 0.1}),
    ("Muon", {"lr": 0.1}),
]
STEPS = 12


def start(dtype: str = "float64") -> list[Any]:
    return [rng(i).standard_normal(shape).astype(dtype) for i, shape in enumerate([(3, 4), (5,)])]


def gradient(step: int, x: Any) -> Any:
    return (rng(100 + step).standard_normal(x.shape) + 0.5 * np.asarray(x)).astype(np.asarray(x).dtype)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_same_as_torch(name: str, settings: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    ours = [nl.Parameter(x) for x in start()]
    theirs = [torch.nn.Parameter(torch.tensor(x)) for x in start()]
    optimizer = getattr(optim, name)(ours, **settings)
    peer = getattr(torch.optim, name)(theirs, **settings)
    tolerance = 1e-6 if name in ("NAdam", "ASGD") else 1e-11  # PyTorch keeps some of their scalars in float32
    assert set(optimizer.defaults) - {"decoupled_weight_decay"} <= set(peer.defaults)
    for step in range(STEPS):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = gradient(step, p.data)
            q.grad = torch.tensor(gradient(step, q.detach().numpy()))
        optimizer.step()
        peer.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=tolerance, atol=tolerance)


def train(name: str, settings: dict[str, Any]) -> list[Any]:
    params = [nl.Parameter(x) for x in start("float32")]
    params = params[:1] if name == "Muon" else params
    optimizer = getattr(optim, name)(params, **settings)
    for step in range(4):
        for p in params:
            p.grad = gradient(step, p.data)
        optimizer.step()
    return [p.data for p in params]


@pytest.mark.parametrize(("name", "settings"), CASES + OWN)
def test_same_bits_on_every_backend(name: str, settings: dict[str, Any]) -> None:
    with nl.backend("reference"):
        want = train(name, settings)
    assert all(np.isfinite(x).all() for x in want)
    for backend in available():
        with nl.backend(backend):
            for got, expected in zip(train(name, settings), want, strict=True):
                assert_same_bits(got, expected)


@pytest.mark.parametrize(("name", "settings"), CASES + OWN)
def test_state_is_saved_and_loaded(name: str, settings: dict[str, Any], tmp_path: Any) -> None:
    def made(seed: int) -> tuple[list[Any], Any]:
        params = [nl.Parameter(x + seed) for x in start()][: 1 if name == "Muon" else 2]
        return params, getattr(optim, name)(params, **settings)

    def step(number: int, params: list[Any], optimizer: Any) -> None:
        for p in params:
            p.grad = gradient(number, p.data)
        optimizer.step()

    params, optimizer = made(0)
    step(0, params, optimizer)
    others, second = made(1)
    for p, q in zip(params, others, strict=True):
        q.data[...] = p.data
    second.load_state_dict(optimizer.state_dict())
    for run in ((params, optimizer), (others, second)):
        functools.reduce(lambda _, i, run=run: step(i, *run), range(1, 4), None)
    for p, q in zip(params, others, strict=True):
        assert_same_bits(p.data, q.data)


def test_an_orthogonal_step() -> None:
    p = nl.Parameter(np.zeros((4, 6)))
    p.grad = rng(1).standard_normal((4, 6))
    optim.Muon([p], lr=1.0, weight_decay=0.0, ns_steps=30, ns_coefficients=(1.5, -0.5, 0.0)).step()
    np.testing.assert_allclose(p.data @ p.data.T, np.eye(4), atol=1e-6)
    with pytest.raises(ValueError, match=r"Muon: parameters must have 2 dimensions, got shape \(3,\)"):
        optim.Muon([nl.Parameter(np.ones(3))])


def test_maximize_climbs() -> None:
    for name in ("SGD", "Adam", "Lion", "Rprop"):
        p = nl.Parameter(np.ones(2))
        p.grad = np.ones(2)
        getattr(optim, name)([p], lr=0.1, maximize=True).step()
        assert (p.data > 1).all()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("RMSprop", {"alpha": 1.5}, "RMSprop: alpha must be between 0 and 1, got 1.5"),
        ("Adagrad", {"eps": -1.0}, "Adagrad: eps must be a finite number of at least 0, got -1.0"),
        ("NAdam", {"betas": (0.9, 1.0)}, r"NAdam: betas\[1\] must be between 0 and 1, without 1, got 1.0"),
        ("Rprop", {"etas": (1.0, 1.2)}, "Rprop: etas must be a number below 1 and one above it"),
        ("SGD", {"momentum": 0.9, "nesterov": True, "dampening": 0.1}, "SGD: nesterov needs a dampening of 0"),
    ],
)
def test_refusals(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(optim, name)([nl.Parameter(np.ones(2))], **settings)
