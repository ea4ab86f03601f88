"""Clipping, norms and vectors of parameters: PyTorch's results, equal bits on every backend, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn
from nnlite.nn import utils
from support import assert_same_bits, rng

SHAPES = [(3, 4), (5000,), (1,), (2, 1, 3)]


def parameters(dtype=np.float32):
    random = rng(0)
    own = [nn.Parameter(np.zeros(shape, dtype)) for shape in [*SHAPES, (4,)]]
    for p, shape in zip(own, SHAPES, strict=False):  # the last has no gradient
        p.grad = random.standard_normal(shape).astype(dtype)
    return own


def torchs(torch, own):
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in own]
    for p, q in zip(own, theirs, strict=True):
        q.grad = None if p.grad is None else torch.tensor(p.grad)
    return theirs


def grads(own):
    return [np.asarray(p.grad) for p in own if p.grad is not None]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("norm_type", [2, 1.0, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.7, 1e9])
def test_clip_grad_norm_as_pytorch(dtype, norm_type, max_norm):
    torch = pytest.importorskip("torch")
    own = parameters(dtype)
    before = [g.copy() for g in grads(own)]
    theirs = torchs(torch, own)
    norm = utils.clip_grad_norm_((p for p in own), max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert (norm.shape, norm.dtype) == ((), dtype)
    # 5,000 terms of one sign: sums in 32 lanes are off by at most about 160 roundings, PyTorch's by as many.
    close = {"rtol": 400 * np.finfo(dtype).eps}
    np.testing.assert_allclose(norm.item(), expected.item(), **close)
    for g, h, old in zip(grads(own), grads(theirs), before, strict=True):
        np.testing.assert_allclose(g, h, **close)
        if max_norm > 1e8:
            assert_same_bits(g, old)
    assert own[-1].grad is None


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("norm_type", [2, 1.0, math.inf])
def test_norms_that_are_not_finite(bad, norm_type):
    torch = pytest.importorskip("torch")
    own = parameters()
    own[1].grad[3] = bad
    before = [g.copy() for g in grads(own)]
    with pytest.raises(RuntimeError, match=r"get_total_norm: the norm is (inf|nan); look for the gradient"):
        utils.clip_grad_norm_(own, 1.0, norm_type, error_if_nonfinite=True)
    for g, old in zip(grads(own), before, strict=True):
        assert_same_bits(g, old)
    theirs = torchs(torch, own)
    norm, expected = (f(p, 1.0, norm_type) for f, p in
                      ((utils.clip_grad_norm_, own), (torch.nn.utils.clip_grad_norm_, theirs)))  # fmt: skip
    np.testing.assert_equal(norm.item(), expected.item())
    for g, h in zip(grads(own), grads(theirs), strict=True):
        np.testing.assert_equal(np.abs(g), np.abs(h))


def test_the_formula_and_the_same_bits_on_every_backend():
    results = []
    for backend in ("reference", nl.get_backend()):
        with nl.backend(backend):
            own = parameters()
            norms = [utils.get_total_norm(grads(own), kind) for kind in (1, 2, math.inf)]
            utils.clip_grad_norm_(own, 0.5)
            results.append([*(norm.data for norm in norms), *grads(own)])
    for ours, theirs in zip(*results, strict=True):
        assert_same_bits(ours, theirs)
    own = parameters()
    squares = 0.0
    for g in grads(own):
        squares += float(nl.kernels.sum_forward(g * g))
    norm = utils.get_total_norm(grads(own))
    assert_same_bits(norm.data, np.array(math.sqrt(squares), np.float32))
    factor = np.float32(0.5 / (norm.item() + 1e-6))
    old = grads(own)
    utils.clip_grad_norm_(own, 0.5)
    for g, before in zip(grads(own), old, strict=True):
        assert_same_bits(g, before * factor)


def test_a_gradient_that_two_parameters_share_is_scaled_once():
    a, b = (nn.Parameter(np.zeros(3, np.float32)) for _ in range(2))
    (a + b).backward(np.full(3, 2, np.float32))
    utils.clip_grad_norm_([a, b], 0.5)
    assert_same_bits(a.grad, b.grad)
    assert abs(utils.get_total_norm([a.grad, b.grad]).item() - 0.5) < 1e-5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clip_grad_value_as_pytorch(dtype):
    torch = pytest.importorskip("torch")
    own = parameters(dtype)
    own[0].grad[0] = [np.nan, np.inf, -np.inf, -0.0]
    theirs = torchs(torch, own)
    utils.clip_grad_value_(own, 0.1)
    torch.nn.utils.clip_grad_value_(theirs, 0.1)
    for g, h in zip(grads(own), grads(theirs), strict=True):
        assert_same_bits(g, h)
    utils.clip_grad_value_(own[2], 0.0)
    assert own[2].grad[0] == 0


def test_vectors():
    torch = pytest.importorskip("torch")
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    theirs = torchs(torch, list(model.parameters()))
    vec = utils.parameters_to_vector(model.parameters())
    assert_same_bits(vec.data, torch.nn.utils.parameters_to_vector(theirs).detach().numpy())
    y = model(np.ones((1, 3), np.float32)).sum()
    arrays = [p.data for p in model.parameters()]
    utils.vector_to_parameters(vec * 2.0, model.parameters())
    torch.nn.utils.vector_to_parameters(torch.tensor(vec.data) * 2.0, theirs)
    for p, q, array in zip(model.parameters(), theirs, arrays, strict=True):
        assert p.data is array
        assert_same_bits(p.data, q.detach().numpy())
    with pytest.raises(RuntimeError):  # the weights have changed since the forward pass
        y.backward()


def test_norms_of_nothing_and_of_a_tensor():
    assert utils.clip_grad_norm_([], 1.0).item() == 0.0
    assert utils.get_total_norm(nn.Parameter(np.array([3.0, 4.0]))).item() == 5.0
    for kind in (1, 2, math.inf):
        assert utils.get_total_norm([np.zeros((0, 2)), np.array([-2.0])], kind).item() == 2.0
        assert utils.get_total_norm([np.zeros((0, 2))], kind).item() == 0.0


def test_a_captured_step_refuses_clipping():
    p = nn.Parameter(np.ones(3, np.float32))

    def step(x):
        p.grad = None
        (p * x).sum().backward()
        utils.clip_grad_norm_([p], 1.0)

    captured = nl.capture(step)
    captured(np.ones(3, np.float32))
    with pytest.raises(RuntimeError, match="capture: get_total_norm cannot be part of a captured step"):
        captured(np.ones(3, np.float32))


P = nn.Parameter(np.ones(3, np.float32))
WRONG_CALLS = [
    (TypeError, r"clip_grad_norm_: parameters must be Parameters, got Linear; write model.parameters\(\)",
     lambda: utils.clip_grad_norm_(nn.Linear(1, 1), 1.0)),
    (TypeError, r"clip_grad_value_: parameters\[0\] must be a Parameter, got ndarray",
     lambda: utils.clip_grad_value_([np.ones(3)], 1.0)),
    (ValueError, "clip_grad_norm_: max_norm must be a finite number of at least 0, got -1",
     lambda: utils.clip_grad_norm_([P], -1)),
    (ValueError, "get_total_norm: norm_type must be 1, 2 or math.inf, got 3", lambda: utils.get_total_norm([P], 3)),
    (TypeError, r"get_total_norm: tensors\[0\] must be a Tensor or an array, got NoneType",
     lambda: utils.get_total_norm([None])),
    (ValueError, "clip_grad_value_: clip_value must be a finite number of at least 0, got nan",
     lambda: utils.clip_grad_value_([P], math.nan)),
    (ValueError, "parameters_to_vector: there are no parameters", lambda: utils.parameters_to_vector([])),
    (TypeError, r"parameters_to_vector: parameters\[1\] is float64, but float32 is expected",
     lambda: utils.parameters_to_vector([P, nn.Parameter(np.ones(2))])),
    (ValueError, r"vector_to_parameters: vec must have shape \(3,\), as the parameters have, got \(2,\)",
     lambda: utils.vector_to_parameters(nn.Parameter(np.ones(2, np.float32)), [P])),
    (TypeError, "vector_to_parameters: vec must be a Tensor, got ndarray",
     lambda: utils.vector_to_parameters(np.ones(3, np.float32), [P])),
]  # fmt: skip


@pytest.mark.parametrize(("error", "text", "call"), WRONG_CALLS, ids=[text[:40] for _, text, _ in WRONG_CALLS])
def test_refusals(error, text, call):
    with pytest.raises(error, match=text):
        call()
