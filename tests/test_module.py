"""Modules: hooks, names of what is below, and what registers things, as in PyTorch."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn
from support import assert_same_bits

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def model():
    nl.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU())


def calls_of(nn, x, parameter):
    """What hooks see and in which order, of either library."""
    seen = []

    class Twice(nn.Module):
        def forward(self, x, plus=0.0):
            seen.append("forward")
            return x * 2.0 + plus

    layer = Twice()
    layer.register_forward_pre_hook(lambda m, args: seen.append(("before", m is layer, len(args))))
    layer.register_forward_pre_hook(lambda m, args: args[0] * 3.0, prepend=True)
    layer.register_forward_pre_hook(lambda m, args, kwargs: (args, {"plus": 1.0, **kwargs}), with_kwargs=True)
    after = layer.register_forward_hook(lambda m, args, y: seen.append(("after", len(args))))
    layer.register_forward_hook(lambda m, args, y: y * 10.0)
    layer.register_forward_hook(lambda m, args, kwargs, y: seen.append(sorted(kwargs)), with_kwargs=True, prepend=True)
    results = [layer(x), layer(x, plus=5.0)]
    after.remove()
    after.remove()
    results.append(layer(x))
    with layer.register_forward_hook(lambda m, args, y: y * 0.0):
        results.append(layer(x))
    results.append(layer(x))
    return seen, [np.asarray(y) for y in results]


def test_hooks_as_pytorch():
    torch = pytest.importorskip("torch")
    ours = calls_of(nn, nl.Tensor(X), nn.Parameter)
    theirs = calls_of(torch.nn, torch.tensor(X), torch.nn.Parameter)
    assert ours[0] == theirs[0]
    for a, b in zip(ours[1], theirs[1], strict=True):
        assert_same_bits(a, b)


def test_hooks_on_modules_that_are_fused():
    """A hook on one of two modules that one op would compute sees its own input and output, with the same bits."""
    plain, watched = model(), model()
    y = plain(X)
    seen = []
    handle = watched[1].register_forward_hook(lambda m, args, y: seen.append(y.numpy()))
    assert_same_bits(watched(X).data, y.data)
    assert (seen[0] < 0).any()
    handle.remove()
    second = watched[2].register_forward_pre_hook(lambda m, args: seen.append(args[0].numpy()))
    watched(X)
    assert (seen[1] < 0).any()
    second.remove()
    watched(X)
    assert len(seen) == 2


def test_hooks_are_seen_by_those_who_watch_and_errors_name_the_layer():
    watched = model()
    watched[0].register_forward_hook(lambda m, args, y: y * 2.0)
    assert [row.path for row in nl.summary(watched, (4, 3)).layers] == ["0", "1", "2"]
    copied = copy.deepcopy(watched)
    assert_same_bits(copied(X).data, watched(X).data)

    def wrong(m, args):
        raise ValueError("no")

    watched[1].register_forward_pre_hook(wrong)
    with pytest.raises(ValueError, match="no") as raised:
        watched(X)
    assert raised.value.__notes__ == [f"in layer 1: BatchNorm1d({watched[1].extra_repr()})"]


def test_gradients_flow_through_hooks():
    layer = nn.Linear(3, 2)
    layer.register_forward_hook(lambda m, args, y: y * 3.0)
    layer(X).sum().backward()
    hooked = layer.weight.grad
    plain = nn.Linear(3, 2)
    plain.load_state_dict(layer.state_dict())
    (plain(X) * 3.0).sum().backward()
    assert_same_bits(hooked, plain.weight.grad)


def test_what_is_below_by_name():
    outer = nn.Module()
    outer.add_module("part", model())
    outer.register_module("other", None)
    outer.register_parameter("scale", nn.Parameter(np.ones(1)))
    outer.register_buffer("count", np.zeros(1))
    assert outer.get_submodule("") is outer
    assert outer.get_submodule("part.1") is outer.part[1]
    assert outer.get_parameter("part.0.weight") is outer.part[0].weight
    assert outer.get_parameter("scale") is outer.scale
    assert outer.get_buffer("part.1.running_mean") is outer.part[1].running_mean
    new = nn.Linear(1, 1)
    outer.set_submodule("part.0", new)
    assert outer.part[0] is new
    assert list(outer.state_dict(prefix="a."))[:3] == ["a.scale", "a.count", "a.part.0.weight"]
    del outer.count
    assert "count" not in dict(outer.named_buffers())
    assert outer.cpu() is outer


def test_names_of_shared_parts_as_pytorch():
    torch = pytest.importorskip("torch")
    names = []
    for library in (nn, torch.nn):
        shared = library.Linear(2, 2)
        outer = library.Sequential(shared, library.Sequential(shared))
        outer[1].weight = shared.weight
        names.append(
            [[name for name, _ in walk(remove_duplicate=flag)]
             for walk in (outer.named_modules, outer.named_parameters) for flag in (True, False)]
        )  # fmt: skip
    assert [list(map(sorted, one)) for one in names[:1]] == [list(map(sorted, one)) for one in names[1:]]


WRONG_CALLS = [
    (TypeError, "add_module: a must be a Module or None, got int", lambda m: m.add_module("a", 3)),
    (KeyError, "add_module: a name is a text without a dot, got 'a.b'", lambda m: m.add_module("a.b", nn.ReLU())),
    (KeyError, "add_module: Sequential.forward already exists", lambda m: m.add_module("forward", nn.ReLU())),
    (AttributeError, "get_submodule: Linear has no module 'x' ('0.x')", lambda m: m.get_submodule("0.x")),
    (AttributeError, "get_parameter: ReLU has no parameter 'weight' ('2.weight')",
     lambda m: m.get_parameter("2.weight")),
    (AttributeError, "get_buffer: Linear has no buffer 'weight' ('0.weight')", lambda m: m.get_buffer("0.weight")),
    (TypeError, "set_submodule: a name and a Module are needed, got '0' and int", lambda m: m.set_submodule("0", 3)),
    (TypeError, "register_forward_hook: hook must be a function, got str", lambda m: m.register_forward_hook("f")),
    (TypeError, "register_forward_pre_hook: a hook with kwargs must return None or (args, kwargs), got 3",
     lambda m: (m.register_forward_pre_hook(lambda *a: 3, with_kwargs=True), m(X))),
]  # fmt: skip


@pytest.mark.parametrize(("error", "text", "call"), WRONG_CALLS, ids=[text[:40] for _, text, _ in WRONG_CALLS])
def test_refusals(error, text, call):
    with pytest.raises(error) as raised:
        call(model())
    assert text in str(raised.value)
