"""Containers of modules and parameters: PyTorch's methods and names, and how sequences are built."""

from __future__ import annotations

import copy
from collections import OrderedDict

import numpy as np
import pytest

from nnlite import nn

# What is done with a container of Linear(1, 1) to Linear(1, 4); n(5) is Linear(1, 5). Names and sizes are compared.
STEPS = [
    "c[1]", "c[-1]", "c[1:]", "c[::2]", "c[-3:-1]", "c[1] = n(5)", "c[-1] = n(5)", "del c[0]", "del c[-1]",
    "del c[1:3]", "del c[::2]", "c.append(n(5))", "c.extend([n(5), n(6)])", "c.insert(0, n(5))", "c.insert(2, n(5))",
    "c.insert(4, n(5))", "c.insert(-1, n(5))", "c.pop(1)", "c.pop(-1)", "c.pop(slice(0, 2))", "c.__iadd__(type(c)())",
]  # fmt: skip
SEQUENTIAL = ["c + c[:2]", "c * 2", "3 * c", "c.__imul__(2)", "c.append(n(5)).append(n(6))", "c.__iadd__(c[2:])"]
MODULE_LIST = ["c + [n(5)]", "c.__iadd__([n(5), n(6)])", "c + c", "type(c)(list(c)[1:])"]
MODULE_DICT = [
    "c['b']", "c.__setitem__('b', n(5))", "c.__setitem__('x', n(5))", "del c['a']", "c.pop('c')", "c.clear()",
    "c.update({'x': n(5), 'a': n(6)})", "c.update([('x', n(5))])", "c.update(type(c)({'z': n(7)}))",
    "'a' in c", "'q' in c", "list(c)", "list(c.keys())", "[k for k, _ in c.items()]", "len(c)",
    "[m.out_features for m in c.values()]",
]  # fmt: skip
PARAMETER_DICT = [
    "list(c.items())", "c.setdefault('a', p(5))", "c.setdefault('y', p(5))", "c.popitem()", "c.pop('b')", "c.get('b')",
    "c.get('q')", "c.get('q', 3)", "c.update(dict(z=p(5), e=p(6)))", "c.update([('z', p(5)), ('e', p(6))])", "c.copy()",
    "c | type(c)({'z': p(7)})", "c.__ior__({'y': p(5)})", "list(reversed(c))", "c.clear()", "del c['a']", "'a' in c",
    "c.__setitem__('a', p(9))", "len(c)",
]  # fmt: skip
PARAMETER_LIST = [
    "c[1]", "c[-1]", "c[1:]", "c.append(p(5))", "c.extend([p(5), p(6)])", "c.__iadd__([p(5)])",
    "c.__setitem__(1, p(9))", "len(c)", "list(c)", "[list(x.shape) for x in c]",
]  # fmt: skip
SCRIPTS = (
    [("Sequential", step) for step in STEPS[:-1] + SEQUENTIAL]
    + [("ModuleList", step) for step in STEPS + MODULE_LIST if "insert(-" not in step]
    + [("ModuleDict", step) for step in MODULE_DICT]
    + [("ParameterDict", step) for step in PARAMETER_DICT]
    + [("ParameterList", step) for step in PARAMETER_LIST]
)


def build(nn, parameter, kind):
    numbers = range(1, 5)
    if kind == "Sequential":
        return nn.Sequential(*[nn.Linear(1, i) for i in numbers])
    if kind == "ModuleList":
        return nn.ModuleList([nn.Linear(1, i) for i in numbers])
    if kind == "ParameterList":
        return nn.ParameterList([parameter(i) for i in numbers])
    make = (lambda i: nn.Linear(1, i)) if kind == "ModuleDict" else parameter
    return getattr(nn, kind)(OrderedDict((name, make(i)) for name, i in zip("dabc", numbers, strict=True)))


def described(x):
    """Names and shapes of what a container holds, or a value."""
    if hasattr(x, "state_dict"):
        return type(x).__name__, [(name, tuple(value.shape)) for name, value in x.state_dict().items()]
    if isinstance(x, (list, tuple)):
        return [described(item) for item in x]
    return tuple(x.shape) if hasattr(x, "shape") else x


@pytest.mark.parametrize(("kind", "script"), SCRIPTS)
def test_as_pytorch(kind, script):
    torch = pytest.importorskip("torch")
    results = []
    for library, parameter in (
        (nn, lambda i: nn.Parameter(np.zeros(i, np.float32))),
        (torch.nn, lambda i: torch.nn.Parameter(torch.zeros(i))),
    ):
        names = {"c": build(library, parameter, kind), "n": lambda i, nn=library: nn.Linear(1, i), "p": parameter}
        is_statement = script.startswith(("del", "c.insert")) or "] = " in script
        value = exec(script, names) if is_statement else eval(script, names)
        results.append((described(value), described(names["c"])))
    assert results[0] == results[1]


def test_slices_hold_the_same_modules():
    model = nn.Sequential(*[nn.Linear(1, 1) for _ in range(4)])
    assert model[1:][0] is model[1]
    assert (2 * model)[5] is model[1]
    assert len(list((2 * model).parameters())) == 8
    assert nn.ModuleList(model)[::2][1] is model[2]


def test_containers_in_a_model():
    class Model(nn.Module):
        def __init__(self):
            self.layers = nn.ModuleDict({"in": nn.Linear(2, 3), "out": nn.Linear(3, 1)})
            self.scales = nn.ParameterList([np.ones(1, np.float32)])
            self.more = nn.ParameterDict({"shift": nn.Parameter(np.ones(1, np.float32))})

        def forward(self, x):
            return self.layers["out"](self.layers["in"](x) * 2.0).reshape(-1) * self.scales[0] + self.more["shift"]

    model = Model()
    assert list(model.state_dict()) == [
        "layers.in.weight", "layers.in.bias", "layers.out.weight", "layers.out.bias", "scales.0", "more.shift"
    ]  # fmt: skip
    model(np.ones((1, 2), np.float32)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert list(copy.deepcopy(model).state_dict()) == list(model.state_dict())
    assert "0: float32 (1,)" in repr(model)
    model.load_state_dict({key: value + 1 for key, value in model.state_dict().items()})
    assert model.scales[0].item() == 2


WRONG_CALLS = [
    (IndexError, "ModuleList: index 3 is out of range for 1 modules", lambda: nn.ModuleList([nn.ReLU()])[3]),
    (IndexError, "Sequential: index 3 is out of range", lambda: nn.Sequential(nn.ReLU()).__delitem__(3)),
    (IndexError, "ModuleList: index 3 is out of range", lambda: nn.ModuleList([nn.ReLU()]).insert(3, nn.ReLU())),
    (TypeError, "ModuleList: a module is needed, got int", lambda: nn.ModuleList([nn.ReLU(), 3])),
    (TypeError, "Sequential: a module is needed, got function", lambda: nn.Sequential().insert(0, lambda x: x)),
    (ValueError, "Sequential: * takes an integer of at least 1, got 0", lambda: nn.Sequential() * 0),
    (KeyError, "ModuleDict: there is no 'b', but a", lambda: nn.ModuleDict({"a": nn.ReLU()})["b"]),
    (KeyError, "ModuleDict: 'forward' is the name of an attribute", lambda: nn.ModuleDict({"forward": nn.ReLU()})),
    (KeyError, "ModuleDict: a name is a text without a dot, got 'a.b'", lambda: nn.ModuleDict({"a.b": nn.ReLU()})),
    (TypeError, "ModuleDict: element 0 must be a pair", lambda: nn.ModuleDict([nn.ReLU()])),
    (TypeError, "ModuleDict: 'a': a module is needed, got int", lambda: nn.ModuleDict({"a": 3})),
    (
        TypeError,
        "ParameterList: a Parameter, a Tensor or an array is needed, got float",
        lambda: nn.ParameterList([1.0]),
    ),
    (TypeError, "ParameterList: a list of parameters is needed, got ndarray", lambda: nn.ParameterList(np.ones(3))),
    (IndexError, "ParameterList: index 0 is out of range for 0 parameters", lambda: nn.ParameterList()[0]),
    (KeyError, "ParameterDict: popitem: there are no parameters", lambda: nn.ParameterDict().popitem()),
]


@pytest.mark.parametrize(("error", "text", "call"), WRONG_CALLS, ids=[text[:40] for _, text, _ in WRONG_CALLS])
def test_refusals(error, text, call):
    with pytest.raises(error) as raised:
        call()
    assert text in str(raised.value)


def test_building_a_sequence_looks_at_each_module_once(monkeypatch):
    looked = []
    monkeypatch.setattr(nn.Sequential, "_list", lambda self: looked.append(1) or [])
    model = nn.Sequential(*[nn.ReLU() for _ in range(50)])
    model.extend(nn.ReLU() for _ in range(50))
    assert len(looked) <= 1  # while it is empty
    assert [name for name, _ in model.named_children()] == [str(i) for i in range(100)]


def test_appending_overwrites_nothing():
    a, b, c, d = (nn.Linear(1, 1) for _ in range(4))
    part = nn.Sequential(a, b, c)[::2].append(d)
    assert list(part) == [a, c, d]
    named = nn.Sequential(OrderedDict(first=a)).append(b).append(c)
    assert [name for name, _ in named.named_children()] == ["first", "1", "2"]
