"""What else a tensor is to Python and NumPy: comparisons, values without gradient, formats, and who may write where."""

from __future__ import annotations

import copy
import operator

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn, ops, optim
from nnlite.cuda import is_available
from support import assert_same_bits, rng

COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
DEVICES = ["cpu", *(["cuda_sim"] if is_available("cuda_sim") else [])]


def array(*shape, seed=0, dtype=np.float32):
    return rng(seed).standard_normal(shape).astype(dtype)


def leaf(*shape, seed=0, dtype=np.float32):
    return nl.Tensor(array(*shape, seed=seed, dtype=dtype), requires_grad=True)


# ---- comparisons


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("device", DEVICES)
def test_comparisons_are_elementwise_arrays_of_bool(compare, device):
    a, b = rng(1).integers(0, 3, (2, 20)).astype(np.float32)
    a[0] = np.nan
    left, right = (nl.Tensor(nl.array(x, device), requires_grad=True) for x in (a, b))
    integers = b.astype(np.int64)
    for got in (compare(left, right), compare(left, b), compare(left, integers), compare(a, right)):
        assert_same_bits(got, compare(a, b))
    assert_same_bits(compare(left, 1), compare(a, 1))
    assert_same_bits(compare(1.0, left), compare(1.0, a))
    assert_same_bits(compare(left, np.float32(1)), compare(a, np.float32(1)))
    assert_same_bits(compare(left.sum(), 0), np.asarray(compare(np.float32(np.nan), 0)))


def test_an_accuracy_by_comparison():
    assert np.mean(nl.Tensor(np.array([1.0, 0.0])) == np.array([1, 0])) == 1


@pytest.mark.parametrize("compare", COMPARISONS)
def test_comparisons_that_cannot_be_meant_are_refused(compare):
    x = leaf(4, 1)
    with pytest.raises(ValueError, match=r"shape \(4, 1\) but the other operand has shape \(4,\); reshape"):
        compare(x, np.zeros(4))
    with pytest.raises(TypeError, match=r"a tensor, an array or a number, got \[1, 2\]"):
        compare(x, [1, 2])
    if compare in (operator.eq, operator.ne):
        assert compare(x, None) is (compare is operator.ne)
        assert compare("x", x) is (compare is operator.ne)
    else:
        with pytest.raises(TypeError, match="not supported between"):
            compare(x, None)


@pytest.mark.parametrize("cls", [nl.Tensor, nn.Parameter])
def test_hash_is_identity(cls):
    same = [cls(np.zeros(2)) for _ in range(100)]
    numbers = {x: i for i, x in enumerate(same)}
    assert [numbers[x] for x in same] == list(range(100))
    assert len(set(same)) == 100
    assert copy.copy(same[0]) not in numbers


def test_nothing_in_nnlite_compares_tensors(monkeypatch):
    """Walks, states, optimizers and the tape look for tensors by identity: equal numbers are not the same tensor."""
    for name in ("__eq__", "__ne__", "__lt__", "__gt__", "__bool__"):
        monkeypatch.setattr(nl.Tensor, name, lambda *args: pytest.fail("a tensor was compared"))
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 3))
    for p in model.parameters():
        p.data[...] = 0.5
    for make in (optim.Adam, optim.SGD):
        optimizer = make([{"params": list(model[0].parameters())}, {"params": list(model[3].parameters())}])
        loss = ops.mse_loss(model(array(4, 3)), np.zeros((4, 3), np.float32))
        loss.backward()
        optimizer.step()
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        optimizer.zero_grad()
    twin = copy.deepcopy(model)
    twin.load_state_dict(model.state_dict())
    assert len(list(twin.parameters())) == 6
    nl.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters()), progress=False).fit(
        array(8, 3), array(8, 3), epochs=1
    )
    assert nl.gradcheck(ops.multiply, array(2, dtype=np.float64), array(2, dtype=np.float64))


# ---- values without gradient


def test_numpys_functions_get_the_values():
    x = leaf(2, 3)
    y = x * x
    assert_same_bits(np.asarray(np.sum(y)), np.asarray(np.sum(y.data)))
    assert_same_bits(np.mean(y, axis=0), y.data.mean(axis=0))
    assert_same_bits(np.concatenate([x, y.data]), np.concatenate([x.data, y.data]))
    assert_same_bits(np.where(y > 1, y, 0), np.where(y.data > 1, y.data, 0))
    assert_same_bits(np.array([x, y]), np.stack([x.data, y.data]))
    assert np.asarray(x, np.float64).dtype == np.float64
    assert np.shares_memory(np.asarray(x), x.data)
    assert not np.shares_memory(np.array(x), x.data)
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.exp(x)


def test_plots_take_tensors():
    plt = pytest.importorskip("matplotlib.pyplot")
    x = leaf(5)
    figure, axes = plt.subplots()
    (line,) = axes.plot(np.arange(5), x * x)
    assert_same_bits(line.get_ydata(), (x * x).data)
    axes.plot(nl.Tensor(np.arange(5.0)), x)
    plt.close(figure)


def test_iteration_and_len():
    x = leaf(2, 3)
    rows = list(x)
    assert len(rows) == len(x) == 2
    assert_same_bits(np.stack(rows), x.data)
    assert max(leaf(3)) == leaf(3).data.max()
    for scalar in (len, iter):
        with pytest.raises(TypeError):
            scalar(x.sum())


def test_formats():
    loss = nl.Tensor(np.array(0.12345), requires_grad=True)
    assert f"{loss:.3f} {loss * 2:8.2e}" == "0.123 2.47e-01"
    assert f"{leaf(2)}" == str(leaf(2))
    with pytest.raises(TypeError, match=r"format '.3f': the tensor must hold one element, got shape \(2,\)"):
        f"{leaf(2):.3f}"


def test_size_is_a_number_that_says_what_pytorchs_is_here():
    x = leaf(2, 3)
    assert x.size == 6
    with pytest.raises(TypeError, match=r"write x.shape\[0\] for x.size\(0\)"):
        x.size(0)
    with pytest.raises(TypeError, match=r"write x.shape for x.size\(\)"):
        x.size()


class Foreign:
    """An object whose type looks like another library's."""

    def __init__(self, module, name):
        self.__class__ = type(name, (Foreign,), {"__module__": module})

    def numpy(self):
        raise NotImplementedError

    def to_numpy(self):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("torch", "Tensor", r"torch.Tensor; write x.detach\(\).cpu\(\).numpy\(\)"),
        ("pandas.core.frame", "DataFrame", r"pandas.DataFrame; write x.to_numpy\(np.float32\)"),
        ("pandas.core.series", "Series", r"pandas.Series; write x.to_numpy\(np.float32\)"),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        nl.Tensor,
        nn.Parameter,
        ops.relu,
        lambda x: nl.array(x, "cpu"),
        lambda x: nn.Linear(2, 2)(x),
        lambda x: leaf(2) + x,
        lambda x: leaf(2).backward(x),
        lambda x: nn.ReLU().register_buffer("b", x),
        lambda x: nn.Linear(1, 1, bias=False).load_state_dict({"weight": x}),
    ],
)
def test_arrays_of_other_libraries_are_refused_with_what_to_write(module, name, message, use):
    with pytest.raises(TypeError, match=message):
        use(Foreign(module, name))


# ---- who may write where


def test_numpy_is_read_only_while_backward_may_need_the_array():
    x = leaf(3)
    y = ops.tanh(x)
    for needed in (x, y):
        assert np.shares_memory(needed.numpy(), needed.data)
        for view in (needed.numpy(), np.asarray(needed), next(iter(needed.reshape(1, 3)))):
            with pytest.raises(ValueError, match="read-only"):
                view[:] = 0
        needed.numpy().copy()[:] = 0
    y.sum().backward()
    assert_same_bits(x.grad, 1 - y.data * y.data)
    y.numpy()[:] = 0
    assert (y.data == 0).all()
    plain = nl.Tensor(array(3))
    assert plain.numpy() is plain.data
    with nl.no_grad():
        z = x * x
    assert z.numpy() is z.data


def test_a_step_between_forward_and_backward_is_noticed_and_changes_nothing():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x = array(4, 3)
    for change in (optimizer.step, lambda: model.load_state_dict(copy.deepcopy(model.state_dict()))):
        optimizer.zero_grad()
        first, second = model(x).sum(), model(x).sum()
        first.backward()
        change()
        before = [p.grad.copy() for p in model.parameters()]
        with pytest.raises(RuntimeError, match=r"step\(\) or load_state_dict\(\) has changed a parameter since"):
            second.backward()
        for p, grad in zip(model.parameters(), before, strict=True):
            assert_same_bits(p.grad, grad)
    model(x).sum().backward()


@pytest.mark.parametrize("device", DEVICES)
def test_running_statistics_may_change_between_forward_and_backward(device):
    x = nl.Tensor(nl.array(array(6, 3), device), requires_grad=True)
    layer = nn.BatchNorm1d(3).to(device).eval()
    layer(x).sum().backward()
    want, x.grad = x.grad.copy(), None
    y = layer(x)
    layer.train()(array(6, 3, seed=1) if device == "cpu" else nl.array(array(6, 3, seed=1), device))
    y.sum().backward()
    assert_same_bits(nl.Tensor(x.grad).numpy(), nl.Tensor(want).numpy())
