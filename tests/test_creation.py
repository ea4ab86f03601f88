"""New tensors, hooks on gradients, nl.grad, and what a tensor says of itself."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import nnlite as nl
from nnlite import creation
from nnlite.tape import hooks
from support import assert_same_bits


def test_filled_and_counted() -> None:
    assert_same_bits(nl.zeros(2, 3).data, np.zeros((2, 3), np.float32))
    assert_same_bits(nl.ones((2, 0), dtype="float64").data, np.ones((2, 0)))
    assert_same_bits(nl.full((2,), 0.1).data, np.full(2, 0.1, np.float32))
    assert_same_bits(nl.eye(2, 3).data, np.eye(2, 3, dtype=np.float32))
    assert_same_bits(nl.arange(3).data, np.array([0, 1, 2], np.float32))
    assert_same_bits(nl.arange(2, 3, 0.25, dtype="float64").data, np.array([2.0, 2.25, 2.5, 2.75]))
    assert_same_bits(nl.arange(3, 0, -1).data, np.array([3, 2, 1], np.float32))
    assert nl.arange(3, 0).shape == (0,)
    assert_same_bits(nl.linspace(0, 1, 3).data, np.array([0, 0.5, 1], np.float32))
    assert nl.linspace(0.1, 0.7, 7, dtype="float64").data[-1] == 0.7
    assert_same_bits(nl.ones_like(nl.zeros(2, dtype="float64")).data, np.ones(2))
    assert nl.zeros(2, requires_grad=True).requires_grad
    x = np.ones(2)
    assert np.shares_memory(nl.from_numpy(x).data, x)
    for name in creation.__all__:
        assert getattr(nl, name) is getattr(creation, name)


def test_drawn_from_the_specified_generator() -> None:
    nl.manual_seed(3)
    first = [nl.rand(4).data, nl.randn(2, 2, dtype="float64").data, nl.randint(5, 9, (100,)), nl.randperm(5)]
    nl.manual_seed(3)
    assert_same_bits(first[0], nl.random.uniform(4))
    assert_same_bits(first[1], nl.random.normal((2, 2), dtype="float64"))
    assert sorted(set(nl.randint(5, 9, (100,)).tolist())) == [5, 6, 7, 8]
    assert_same_bits(first[3], nl.random.permutation(5))
    assert nl.randint(3, size=()).shape == ()
    p = np.array([0.0, 1.0, 0.5])
    drawn = np.mean([nl.bernoulli(p).data for _ in range(200)], axis=0)
    assert drawn[0] == 0
    assert drawn[1] == 1
    assert 0.3 < drawn[2] < 0.7


def test_multinomial() -> None:
    nl.manual_seed(0)
    weights = np.array([[0.0, 1.0, 3.0], [5.0, 0.0, 5.0]])
    often = nl.multinomial(weights, 2000, replacement=True)
    counts = [np.bincount(row, minlength=3) / 2000 for row in often]
    np.testing.assert_allclose(counts, [[0, 0.25, 0.75], [0.5, 0, 0.5]], atol=0.05)
    once = nl.multinomial(weights, 2)
    assert {tuple(sorted(row)) for row in once.tolist()} == {(1, 2), (0, 2)}
    firsts = [nl.multinomial(weights[0], 1)[0] for _ in range(300)]
    np.testing.assert_allclose(np.mean(np.array(firsts) == 2), 0.75, atol=0.1)
    with pytest.raises(ValueError, match="a row has fewer than 3 weights above 0"):
        nl.multinomial(weights, 3)
    with pytest.raises(ValueError, match="finite and not negative"):
        nl.multinomial(-weights, 1)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="zeros: a size must be at least 0, got -1"):
        nl.zeros(-1)
    with pytest.raises(TypeError, match="rand: dtype must be float32 or float64, got int32"):
        nl.rand(2, dtype="int32")
    with pytest.raises(ValueError, match="randint: high must be above low, got 3 and 3"):
        nl.randint(3, 3)
    with pytest.raises(ValueError, match="bernoulli: probabilities must be between 0 and 1"):
        nl.bernoulli(np.array([2.0]))
    with pytest.raises(AttributeError, match="no attribute 'nosuchop'"):
        nl.nosuchop  # noqa: B018


def test_ops_stand_at_the_top() -> None:
    assert nl.where is nl.ops.where
    assert nl.matmul is nl.ops.matmul


def test_hooks_see_and_replace_gradients() -> None:
    x = nl.ones(3, requires_grad=True)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.copy()))
    handle = x.register_hook(lambda g: g * 10)
    (y * y).sum().backward()
    assert_same_bits(seen[0], np.full(3, 4, np.float32))
    assert_same_bits(x.grad, np.full(3, 80, np.float32))
    handle.remove()
    x.grad = None
    (x * 2).sum().backward()
    assert_same_bits(x.grad, np.full(3, 2, np.float32))
    with pytest.raises(RuntimeError, match="register_hook: this tensor does not require gradients"):
        nl.ones(3).register_hook(print)


def test_hooks_go_with_their_tensors() -> None:
    before = len(hooks)
    x = nl.ones(3, requires_grad=True)
    x.register_hook(lambda g: g)
    (x * 2).register_hook(lambda g: g)
    del x
    gc.collect()
    assert len(hooks) == before


def test_grad_changes_nothing() -> None:
    x, unused = nl.ones(3, requires_grad=True), nl.ones(2, requires_grad=True)
    y = (x * x).sum()
    (first,) = nl.grad(y, x, retain_graph=True)
    (second,) = nl.grad(y, [x])
    assert_same_bits(first, np.full(3, 2, np.float32))
    assert_same_bits(second, first)
    assert x.grad is None
    with pytest.raises(RuntimeError, match="an earlier backward"):
        nl.grad(y, x)
    z = x * 3
    assert nl.grad(z, (x, unused), np.full(3, 2, np.float32), allow_unused=True)[1] is None
    with pytest.raises(RuntimeError, match=r"outputs does not depend on inputs\[1\]"):
        nl.grad((x * 3).sum(), (x, unused))
    with pytest.raises(ValueError, match=r"inputs\[0\] must be a leaf"):
        nl.grad(y, z)


def test_what_a_tensor_says_of_itself() -> None:
    x = nl.ones((2, 3), requires_grad=True)
    assert (x.dim(), x.numel(), x.is_leaf, x.tolist()) == (2, 6, True, [[1.0] * 3] * 2)
    copy = x.clone()
    assert not np.shares_memory(copy.data, x.data)
    (copy * 2).sum().backward()
    assert_same_bits(x.grad, np.full((2, 3), 2, np.float32))
    assert x.double().dtype == np.float64
    with pytest.raises(RuntimeError, match="requires_grad_: this tensor is the result of an op"):
        copy.requires_grad_(False)
    with nl.no_grad():
        assert not nl.is_grad_enabled()
        with nl.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
