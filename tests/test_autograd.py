"""The tape: what is recorded, the order of accumulation, what NumPy may do with a tensor, and what is refused."""

from __future__ import annotations

import copy
import gc
import operator
import pickle
import threading
import weakref

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn, ops
from nnlite.tensor import record
from support import assert_same_bits, rng


def array(*shape, seed=0, dtype=np.float32):
    return rng(seed).standard_normal(shape).astype(dtype)


def leaf(*shape, seed=0, dtype=np.float32):
    return nl.Tensor(array(*shape, seed=seed, dtype=dtype), requires_grad=True)


# ---- accumulation


def test_first_contribution_is_stored_and_later_ones_are_added_in_reverse_order_of_creation():
    x = leaf(5)
    factors = [array(5, seed=i) * 10.0 ** (3 * i) for i in range(3)]
    factors = [f.astype(np.float32) for f in factors]
    a, b, c = (x * f for f in factors)
    ((a + b) + c).sum().backward()
    want = (factors[2] + factors[1]) + factors[0]
    assert not np.array_equal(want, factors[2] + (factors[1] + factors[0]))
    assert_same_bits(x.grad, want)


def test_existing_gradient_comes_first():
    x = leaf(7)
    first, f, g = (array(7, seed=i) * np.float32(10.0 ** (4 - 3 * i)) for i in (1, 2, 3))
    x.grad = first.copy()
    (x * f + x * g).sum().backward()
    assert_same_bits(x.grad, (first + g) + f)


def test_pullbacks_run_in_reverse_order_of_creation():
    ran = []

    def step(i):
        return nl.function(lambda x: x + 0, lambda dy, y, x: (ran.append(i), dy)[1])

    x = leaf(2)
    first, second, third = step(0)(x), step(1)(x), step(2)(x)
    (third + (first + second)).sum().backward()
    assert ran == [2, 1, 0]


def test_a_layer_used_twice_gets_both_gradients():
    layer = nn.Linear(3, 3)
    x = array(4, 3)
    y = layer(layer(x))
    y.sum().backward()
    twice = layer.weight.grad

    one, two = copy.deepcopy(layer), copy.deepcopy(layer)
    one.zero_grad()
    two.zero_grad()
    two(one(x)).sum().backward()
    assert_same_bits(twice, two.weight.grad + one.weight.grad)


def test_gradients_share_no_memory():
    a, b = leaf(3), leaf(3)
    (a + b).sum().backward()
    assert not np.shares_memory(a.grad, b.grad)

    c, seed = leaf(2, 3), array(6)
    c.reshape(6).backward(seed)
    assert not np.shares_memory(c.grad, seed)

    d = leaf(6)
    d.backward(seed)
    assert not np.shares_memory(d.grad, seed)
    d.backward(seed)
    assert_same_bits(d.grad, seed + seed)


def test_only_needed_gradients_are_asked_for():
    asked = []

    def pullback(dy, needs):
        asked.append(needs)
        return tuple(dy if need else None for need in needs)

    x, weight = nl.Tensor(array(2)), leaf(2)
    record(array(2), pullback, x, weight, None).sum().backward()
    assert asked == [(False, True, False)]
    assert x.grad is None


def test_first_layer_computes_no_gradient_of_the_data(backend, monkeypatch):
    monkeypatch.setattr(backend, "linear_backward_data", lambda *args: pytest.fail("not needed"))
    layer = nn.Linear(3, 2)
    layer(array(4, 3)).sum().backward()
    assert layer.weight.grad is not None


def test_frozen_parameters_get_no_gradient():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    model[0].requires_grad_(False)
    model(array(4, 3)).sum().backward()
    assert model[0].weight.grad is None
    assert model[1].weight.grad is not None


# ---- the graph's life


def test_second_backward_is_refused():
    x = leaf(3)
    y = (x * x).sum()
    y.backward()
    before = x.grad.copy()
    with pytest.raises(RuntimeError, match="run the forward pass again"):
        y.backward()
    assert_same_bits(x.grad, before)


def test_backward_through_a_part_that_was_freed_is_refused_and_changes_nothing():
    x = leaf(3)
    h = x * x
    other = leaf(3)
    first, second = h.sum(), (h * other).sum()
    first.backward()
    with pytest.raises(RuntimeError, match="freed"):
        second.backward()
    assert other.grad is None


def test_graph_and_its_arrays_are_freed_by_backward():
    gc.disable()
    try:
        x = leaf(1000)
        h = ops.relu(x)
        loss = (h * h).sum()
        kept = weakref.ref(h.data)
        del h
        assert kept() is not None
        loss.backward()
        assert kept() is None
    finally:
        gc.enable()


def test_graph_that_is_never_used_has_no_cycles():
    gc.disable()
    try:
        x = leaf(10)
        h = ops.tanh(x)
        kept = weakref.ref(h.data)
        y = (h * h + x).sum()
        del h, y
        assert kept() is None
    finally:
        gc.enable()


def test_long_chains():
    x = leaf(1)
    y = x
    for _ in range(20_000):
        y = -y
    y.backward()
    assert x.grad == 1
    y = x
    for _ in range(20_000):
        y = -y
    del y


def test_error_in_a_pullback_changes_no_gradient():
    def broken(dy, y, x):
        raise ArithmeticError("mine")

    x, other = leaf(3), leaf(3)
    y = nl.function(lambda x: x * 2, broken)(x) + other
    with pytest.raises(ArithmeticError, match="mine"):
        y.sum().backward()
    assert x.grad is None
    assert other.grad is None


def test_backward_runs_on_the_backend_of_the_forward_pass():
    x = leaf(2, 3)
    with nl.backend("reference"):
        y = ops.tanh(x).sum()
    y.backward()
    assert x.grad.shape == (2, 3)


# ---- no_grad and detach


def test_no_grad_as_context_and_decorator():
    x = leaf(3)
    with nl.no_grad():
        assert not (x * x).requires_grad
        with nl.no_grad():
            pass
        assert not (x * x).requires_grad
    assert (x * x).requires_grad

    @nl.no_grad()
    def double(x):
        """Twice."""
        return x + x

    assert not double(x).requires_grad
    assert double.__doc__ == "Twice."
    with pytest.raises(ZeroDivisionError), nl.no_grad():
        raise ZeroDivisionError
    assert (x * x).requires_grad


def test_no_grad_holds_for_its_thread_only():
    x = leaf(3)
    found = []
    with nl.no_grad():
        thread = threading.Thread(target=lambda: found.append((x * x).requires_grad))
        thread.start()
        thread.join()
    assert found == [True]


def test_detach_shares_data_and_stops_gradients():
    x = leaf(3)
    d = (x * x).detach()
    assert not d.requires_grad
    (d * x).sum().backward()
    assert_same_bits(x.grad, d.data)
    assert x.detach().data is x.data


# ---- NumPy's side


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_and_tensors_mix_in_both_orders(op, dtype):
    a, b = array(2, 3, dtype=dtype), array(2, 3, seed=1, dtype=dtype)
    want = op(a, b)
    left, right, both = nl.Tensor(a, True), nl.Tensor(b, True), nl.Tensor(b, True)
    for y in (op(left, b), op(a, right), op(left, both)):
        assert type(y) is nl.Tensor
        assert y.requires_grad
        assert_same_bits(y.data, want)
        y.sum().backward()
    ones = np.ones_like(a)
    assert_same_bits(right.grad, both.grad)
    assert_same_bits(right.grad, {operator.add: ones, operator.sub: -ones, operator.mul: a}[op])


@pytest.mark.parametrize("number", [2, 0.1, np.float64(0.1), np.float32(0.1), np.int64(3), True])
@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul])
def test_numbers_count_as_full_arrays(op, number):
    x = leaf(2, 2)
    full = np.full((2, 2), number, np.float32)
    assert_same_bits(op(x, number).data, op(x.data, full))
    y = op(number, x)
    assert type(y) is nl.Tensor
    assert_same_bits(y.data, op(full, x.data))
    y.sum().backward()
    assert x.grad is not None


def test_in_place_operators_make_new_tensors_and_keep_the_gradient():
    x = leaf(3)
    before = x.data.copy()
    y = x
    y += x
    assert y is not x
    assert_same_bits(x.data, before)
    a = array(3)
    kept = a.copy()
    with pytest.raises(TypeError, match="Tensor"):
        a += x
    assert_same_bits(a, kept)


def test_matmul_and_negative():
    a, b = leaf(2, 3), leaf(3, 4, seed=1)
    y = a @ b
    assert y.shape == (2, 4)
    (-y).sum().backward()
    assert a.grad.shape == (2, 3)
    assert (array(2, 2) @ leaf(2, 2)).requires_grad


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        ([1.0, 2.0], TypeError, "add: b must be a Tensor or a numpy.ndarray, got list"),
        ("a", TypeError, "got str"),
        (None, TypeError, "got NoneType"),
        (np.arange(2), TypeError, "must be float32 or float64, got int64"),
        (np.ones(2), TypeError, "float32 .*float64"),
        (np.ones(3, np.float32), ValueError, r"\(2,\).*\(3,\)"),
        (np.ones((2, 3), np.float32), ValueError, r"\(2,\).*\(2, 3\)"),
    ],
)
def test_operands_that_do_not_fit_are_refused(other, error, message):
    with pytest.raises(error, match=message):
        leaf(2) + other


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0], "got list; use np.array"),
        (1.0, "got float"),
        (np.float32(1), "got float32"),
        (np.arange(3), r"got int64; convert it, e.g. x.astype\(np.float32\)"),
        (np.ones(2, np.float16), "got float16"),
        (np.ones(2, complex), "got complex128"),
        (np.ones(2, ">f4"), "native byte order, got >f4"),
        (np.array([None]), "got object"),
    ],
)
@pytest.mark.parametrize("cls", [nl.Tensor, nn.Parameter])
def test_only_float_arrays_become_tensors(cls, value, message):
    with pytest.raises(TypeError, match=f"{cls.__name__}: x must be .*{message}"):
        cls(value)


def test_refusals_of_backward_and_item():
    x = leaf(2, 3)
    with pytest.raises(RuntimeError, match="does not require gradients"):
        nl.Tensor(array(1)).backward()
    with pytest.raises(ValueError, match=r"shape \(2, 3\) needs gradient="):
        (x * x).backward()
    with pytest.raises(ValueError, match=r"shape \(3, 2\) but the tensor has shape \(2, 3\)"):
        (x * x).backward(array(3, 2))
    with pytest.raises(TypeError, match="gradient is float64 but the tensor is float32"):
        (x * x).backward(np.ones((2, 3)))
    with pytest.raises(TypeError, match="got list"):
        (x * x).backward([1.0])
    with pytest.raises(ValueError, match=r"one element, got shape \(2, 3\)"):
        x.item()
    assert x.grad is None


def test_small_things():
    x = leaf(2, 3)
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((2, 3), 2, 6, np.float32, 2)
    assert x.sum().shape == ()
    assert isinstance(x.sum().item(), float)
    assert float(x.sum()) == x.sum().item()
    assert bool(nl.Tensor(np.zeros(1))) is False
    assert repr(nl.Tensor(np.zeros(2), True)) == "Tensor([0., 0.], dtype=float64, requires_grad=True)"
    assert repr(nn.Parameter(np.zeros(2, np.float32))) == "Parameter([0., 0.], requires_grad=True)"


# ---- shapes


@pytest.mark.parametrize("shape", [(6,), (3, 2), (-1,), (1, -1, 2)])
def test_reshape(shape):
    x = leaf(2, 3)
    want = x.data.reshape(shape)
    factor = array(*want.shape, seed=1)
    for y in (x.reshape(shape), x.reshape(*shape), x.view(*shape)):
        assert_same_bits(y.data, want)
        x.grad = None
        (y * factor).sum().backward()
        assert_same_bits(x.grad, factor.reshape(2, 3))


def test_flatten():
    x = leaf(2, 3, 4)
    assert x.flatten().shape == (24,)
    assert x.flatten(1).shape == (2, 12)
    assert x.flatten(0, 1).shape == (6, 4)
    assert x.sum().flatten().shape == (1,)
    assert nl.Tensor(np.zeros((0, 3, 4))).flatten(1).shape == (0, 12)
    with pytest.raises(ValueError, match=r"flatten: end_dim is 3 but x has 3 dimensions \(-3 to 2\)"):
        x.flatten(0, 3)
    with pytest.raises(TypeError, match="flatten: start_dim must be an integer, got 'x'"):
        x.flatten("x")
    with pytest.raises(ValueError, match="start_dim 2 comes after end_dim 1"):
        x.flatten(2, 1)
    with pytest.raises(ValueError, match=r"reshape: x has shape \(2, 3, 4\) and cannot take shape \(5, -1\)"):
        x.reshape(5, -1)


# ---- copies


def test_parameters_own_their_memory():
    a = array(3, 2)
    p = nn.Parameter(a.T)
    assert p.data.flags.c_contiguous
    assert not np.shares_memory(p.data, a)
    assert p.requires_grad


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("cls", [nl.Tensor, nn.Parameter])
def test_copies(copied, cls):
    x = cls(array(2, 2), requires_grad=True)
    x.grad = array(2, 2, seed=1)
    y = copied(x)
    assert type(y) is cls
    assert y.requires_grad
    assert_same_bits((y.data, y.grad), (x.data, x.grad))
    assert not np.shares_memory(y.data, x.data)
    with pytest.raises(RuntimeError, match="detach"):
        copied(x * x)
