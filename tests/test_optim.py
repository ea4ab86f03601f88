"""Optimizers: formulas and PyTorch's results, groups, states, and refusals that change nothing."""

from __future__ import annotations

import copy
import textwrap

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn, optim
from support import assert_same_bits, rng

SHAPES = [(3, 4), (5,), (1,), (2, 1, 3)]
SETTINGS = {
    "SGD": (optim.SGD, {"lr": 0.1}),
    "SGD decay": (optim.SGD, {"lr": 0.1, "weight_decay": 0.01}),
    "SGD momentum": (optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "SGD nesterov": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "Adam": (optim.Adam, {}),
    "Adam decay": (optim.Adam, {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1}),
    "AdamW": (optim.AdamW, {"lr": 0.01}),
    "AdamW without decay": (optim.AdamW, {"lr": 0.01, "weight_decay": 0.0}),
}


def parameters(dtype=np.float64):
    random = rng(0)
    return [nn.Parameter(random.standard_normal(shape).astype(dtype)) for shape in SHAPES]


def give_gradients(params, step):
    random = rng(100 + step)
    for p in params:
        p.grad = random.standard_normal(p.shape).astype(p.dtype)


def bits_of(params, optimizer):
    return copy.deepcopy(([p.data for p in params], optimizer.state_dict()))


def assert_unchanged(params, optimizer, before):
    data, state = before
    for p, old in zip(params, data, strict=True):
        assert_same_bits(p.data, old)
    now = optimizer.state_dict()
    assert now["param_groups"] == state["param_groups"]
    assert now["state"].keys() == state["state"].keys()
    for i in now["state"]:
        for key, value in now["state"][i].items():
            assert np.array_equal(value, state["state"][i][key]), (i, key)


# ---- results


@pytest.mark.parametrize("name", SETTINGS)
def test_same_as_pytorch(name):
    torch = pytest.importorskip("torch")
    cls, settings = SETTINGS[name]
    ours = parameters()
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in ours]
    a, b = cls(ours, **settings), getattr(torch.optim, cls.__name__)(theirs, **settings)
    for step in range(5):
        give_gradients(ours, step)
        for p, q in zip(ours, theirs, strict=True):
            q.grad = torch.tensor(p.grad)
        a.step()
        b.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_defaults_are_pytorchs():
    torch = pytest.importorskip("torch")
    for cls in (optim.SGD, optim.Adam, optim.AdamW):
        theirs = getattr(torch.optim, cls.__name__)([torch.nn.Parameter(torch.zeros(1))]).defaults
        for key, value in cls([nn.Parameter(np.zeros(1))]).defaults.items():
            assert theirs[key] == value, (cls, key)


def test_adam_by_the_formula():
    p = nn.Parameter(np.array([1.0, -2.0]))
    optimizer = optim.Adam([p], lr=0.1)
    m, v, power1, power2, want = np.zeros(2), np.zeros(2), 1.0, 1.0, p.data.copy()
    for step in range(3):
        give_gradients([p], step)
        g = p.grad
        optimizer.step()
        power1, power2 = power1 * 0.9, power2 * 0.999
        m = 0.9 * m + (1 - 0.9) * g
        v = 0.999 * v + (1 - 0.999) * (g * g)
        want = want - ((0.1 / (1 - power1)) * m) / (np.sqrt(v) * (1 / np.sqrt(1 - power2)) + 1e-8)
        assert_same_bits(p.data, want)


def test_one_call_of_the_backend_for_a_group(backend, monkeypatch):
    calls = []
    update = backend.adam_update
    monkeypatch.setattr(backend, "adam_update", lambda *args: (calls.append(len(args[0])), update(*args)))
    params = parameters()
    optimizer = optim.Adam(params)
    give_gradients(params, 0)
    optimizer.step()
    assert calls == [4]


def test_parameters_without_gradient_are_skipped_and_count_their_own_steps():
    together, apart = parameters(), parameters()
    one, others = optim.Adam(together), [optim.Adam([p]) for p in apart]
    for step in range(4):
        give_gradients(together, step)
        for i, (p, q) in enumerate(zip(together, apart, strict=True)):
            if (step + i) % 3 == 0:
                p.grad = None
            q.grad = p.grad
        one.step()
        for optimizer in others:
            optimizer.step()
    for p, q in zip(together, apart, strict=True):
        assert_same_bits(p.data, q.data)
    assert sorted({state["step"] for state in one.state.values()}) == [2, 3]
    before = bits_of(together, one)
    one.zero_grad()
    one.step()
    assert_unchanged(together, one, before)


def test_groups_and_settings_that_change():
    params = parameters()
    optimizer = optim.SGD([{"params": params[:2]}, {"params": params[2:], "lr": 0.5, "momentum": 0.9}], lr=0.1)
    optimizer.param_groups[0]["lr"] = 0.25
    before = [p.data.copy() for p in params]
    give_gradients(params, 0)
    optimizer.step()
    for p, old, lr in zip(params, before, (0.25, 0.25, 0.5, 0.5), strict=True):
        assert_same_bits(p.data, old - lr * p.grad)
    assert list(optimizer.state) == params[2:]
    assert repr(optimizer).startswith("SGD(lr=0.25, momentum=0.0")


def test_zero_grad():
    params = parameters()
    optimizer = optim.SGD(params)
    give_gradients(params, 0)
    optimizer.zero_grad(set_to_none=False)
    assert all((p.grad == 0).all() for p in params)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


# ---- state


@pytest.mark.parametrize("name", SETTINGS)
def test_state_continues_bit_for_bit(name):
    cls, settings = SETTINGS[name]
    params = parameters(np.float32)
    optimizer = cls(params, **settings)
    for step in range(2):
        give_gradients(params, step)
        optimizer.step()
    twins = copy.deepcopy(params)
    twin = cls(twins, lr=7.0)
    twin.load_state_dict(optimizer.state_dict())
    for step in range(2, 4):
        for ps, o in ((params, optimizer), (twins, twin)):
            give_gradients(ps, step)
            o.step()
    for p, q in zip(params, twins, strict=True):
        assert_same_bits(p.data, q.data)


def as_arrays(x):
    if isinstance(x, dict):
        return {key: as_arrays(value) for key, value in x.items()}
    return x.numpy() if hasattr(x, "numpy") else x


@pytest.mark.parametrize("name", SETTINGS)
def test_states_and_groups_go_to_pytorch_and_back(name):
    """Three steps there, two here, two there; a group is added on the way."""
    torch = pytest.importorskip("torch")
    cls, settings = SETTINGS[name]
    theirs_cls = getattr(torch.optim, cls.__name__)
    ours = parameters()
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in ours]
    twins = copy.deepcopy(theirs)

    def optimizer_of(make, params):
        optimizer = make(params[:2], **settings)
        optimizer.add_param_group({"params": params[2:3], "lr": 0.05})
        optimizer.add_param_group({"params": params[3]})
        return optimizer

    def step_torch(optimizer, params, step):
        for p, q in zip(ours, params, strict=True):
            q.grad = torch.tensor(p.grad)
        optimizer.step()

    a, b, c = optimizer_of(cls, ours), optimizer_of(theirs_cls, theirs), optimizer_of(theirs_cls, twins)
    for step in range(7):
        give_gradients(ours, step)
        step_torch(c, twins, step)
        if step == 3:
            a.load_state_dict({**b.state_dict(), "state": as_arrays(b.state_dict()["state"])})
            for p, q in zip(ours, theirs, strict=True):
                p.data[...] = q.detach().numpy()
        if step == 5:
            state = copy.deepcopy(a.state_dict())
            for entry in state["state"].values():
                entry.update({key: torch.tensor(x) for key, x in entry.items() if isinstance(x, np.ndarray)})
            for group in state["param_groups"]:
                group.setdefault("dampening", 0)  # PyTorch's SGD has no default for it here
            b.load_state_dict(state)
            for p, q in zip(ours, theirs, strict=True):
                q.data[...] = torch.tensor(p.data)
        if step in (3, 4):
            a.step()
        else:
            step_torch(b, theirs, step)
    for p, q in zip(theirs, twins, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_what_pytorch_switched_on_is_refused():
    optimizer = optim.Adam([nn.Parameter(np.ones(2))])
    state = optimizer.state_dict()
    state["param_groups"][0].update(foreach=True, fused=None, maximize=False, decoupled_weight_decay=False)
    optimizer.load_state_dict(state)
    assert "foreach" not in optimizer.param_groups[0]
    for setting in ({"a_setting": 0.5}, {"decoupled_weight_decay": True}):
        state["param_groups"][0].update(setting)
        with pytest.raises(
            ValueError, match=rf"Adam: load_state_dict: settings \[.*{next(iter(setting))}.*\], expected"
        ):
            optimizer.load_state_dict(state)
        del state["param_groups"][0][next(iter(setting))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["param_groups"][0]["params"].pop(), r"groups of \[3\] parameters, but .* \[4\]"),
        (lambda s: s["state"].update({9: s["state"][0]}), "state of parameter 9, but there are 4"),
        (lambda s: s["state"][1].pop("exp_avg"), "parameter 1 has .* expected"),
        (
            lambda s: s["state"][1].update(exp_avg=np.zeros(3)),
            r"1: exp_avg is float64 of shape \(3,\), but must be .* \(5,\)",
        ),
        (lambda s: s["state"][1].update(exp_avg=[0.0]), "parameter 1: exp_avg must be an array, got list"),
        (lambda s: s["state"][1].update(power1=np.nan), "parameter 1: power1 must be a finite number, got nan"),
        (lambda s: s["state"][1].update(power1=1.5), "power1 must be between 0 and 1, got 1.5"),
        (lambda s: s["state"][1].update(power2=-0.5), "power2 must be between 0 and 1, got -0.5"),
        (lambda s: s["state"][1].update(power2="0.9"), "power2 must be a finite number, got '0.9'"),
        (lambda s: s["state"][1].update(step=1.5), "step must be an integer, got 1.5"),
        (lambda s: s["state"][1].update(step=-1), "step must be at least 0, got -1"),
        (lambda s: s["state"][1].update(step=True), "step must be an integer, got True"),
        (lambda s: s["state"].update({"0": s["state"][0]}), "state of parameter '0', but there are 4"),
        (lambda s: s["param_groups"][0].pop("lr"), "settings .* expected"),
        (lambda s: s["param_groups"][0].update(lr=-1.0), "lr must be"),
    ],
)
def test_load_state_dict_refuses_and_changes_nothing(change, message):
    params = parameters()
    optimizer = optim.Adam(params)
    give_gradients(params, 0)
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    change(state)
    before = bits_of(params, optimizer)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    assert_unchanged(params, optimizer, before)


# ---- refusals


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.SGD([]), ValueError, "SGD: there are no parameters"),
        (lambda: optim.SGD([np.zeros(2)]), TypeError, r"SGD: params\[0\] must be a Parameter, got ndarray"),
        (lambda: optim.SGD([nl.Tensor(np.zeros(2), True)]), TypeError, "must be a Parameter, got Tensor"),
        (
            lambda: optim.SGD(nn.Parameter(np.zeros(2))),
            TypeError,
            "must be an iterable of Parameters or of dicts, got Parameter",
        ),
        (
            lambda: optim.Adam([p := nn.Parameter(np.zeros(2)), p]),
            ValueError,
            r"Adam: params\[1\] of shape \(2,\) appears twice",
        ),
        (lambda: optim.Adam([{"lr": 1.0}]), TypeError, "with an entry 'params'"),
        (lambda: optim.Adam([{"params": []}]), ValueError, "a parameter group holds no parameters"),
        (
            lambda: optim.Adam([{"params": parameters(), "momentum": 1}]),
            TypeError,
            "unknown settings in a parameter group: momentum",
        ),
        (lambda: optim.SGD(parameters(), lr=-1), ValueError, "SGD: lr must be a finite number of at least 0, got -1"),
        (lambda: optim.SGD(parameters(), lr=float("nan")), ValueError, "lr must be .* got nan"),
        (lambda: optim.SGD(parameters(), momentum=-1), ValueError, "SGD: momentum"),
        (lambda: optim.SGD(parameters(), nesterov=True), ValueError, "nesterov needs a momentum above 0"),
        (lambda: optim.Adam(parameters(), betas=(0.9, 1.0)), ValueError, r"Adam: betas\[1\] must be .* got 1.0"),
        (lambda: optim.Adam(parameters(), betas=0.9), TypeError, "Adam: betas must be two numbers, got 0.9"),
        (lambda: optim.Adam(parameters(), betas=("0.9", 0.9)), TypeError, r"betas\[0\] must be a number, got '0.9'"),
        (lambda: optim.SGD(parameters(), lr="0.1"), TypeError, "SGD: lr must be a number, got '0.1'"),
        (lambda: optim.SGD(parameters(), lr=None), TypeError, "SGD: lr must be a number, got None"),
        (lambda: optim.SGD(parameters(), nesterov="no"), TypeError, "SGD: nesterov must be True or False, got 'no'"),
        (lambda: optim.SGD(nn.Linear(1, 1)), TypeError, r"SGD: params must be .*, got Linear; write model.parameters"),
        (lambda: optim.SGD(nn.Linear(1, 1).parameters), TypeError, r"got method; write model.parameters\(\)"),
        (lambda: optim.SGD([{"params": 3}]), TypeError, "'params' of a parameter group must be Parameters, got int"),
        (lambda: optim.SGD([{"params": nn.ReLU()}]), TypeError, "must be Parameters, got ReLU"),
        (lambda: optim.SGD("adam"), TypeError, "SGD: params must be an iterable of Parameters .*, got str"),
        (lambda: optim.SGD(0.1), TypeError, "SGD: params must be an iterable of Parameters .*, got float"),
        (lambda: optim.AdamW(parameters(), eps=-1), ValueError, "AdamW: eps"),
        (lambda: optim.AdamW(parameters(), weight_decay=-1), ValueError, "AdamW: weight_decay"),
    ],
)
def test_optimizers_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("grad", "error", "message"),
    [
        ([0.0] * 6, TypeError, r".grad of a parameter of shape \(2, 1, 3\) must be a numpy.ndarray, got list"),
        (nl.Tensor(np.zeros((2, 1, 3))), TypeError, "got Tensor"),
        (np.zeros((2, 1, 3), np.float32), TypeError, r"shape \(2, 1, 3\) is float64 but its gradient is float32"),
        (np.zeros((2, 3)), ValueError, r"has shape \(2, 1, 3\) but its gradient has shape \(2, 3\)"),
    ],
)
@pytest.mark.parametrize("name", ["SGD momentum", "Adam"])
def test_wrong_gradients_change_nothing(name, grad, error, message):
    cls, settings = SETTINGS[name]
    params = parameters()
    optimizer = cls([{"params": params[:2]}, {"params": params[2:]}], **settings)
    give_gradients(params, 0)
    optimizer.step()
    before = bits_of(params, optimizer)
    give_gradients(params, 1)
    params[3].grad = grad
    with pytest.raises(error, match=message):
        optimizer.step()
    assert_unchanged(params, optimizer, before)


def test_arrays_that_cannot_be_updated_change_nothing():
    for spoil in (lambda a: np.asfortranarray(a), lambda a: np.broadcast_to(a[:1, :1], a.shape), lambda a: a.tolist()):
        params = parameters()
        optimizer = optim.Adam([{"params": params[1:]}, {"params": params[:1]}])
        before = [p.data.copy() for p in params[1:]]
        give_gradients(params, 0)
        params[0].data = spoil(params[0].data)
        with pytest.raises((TypeError, ValueError), match=r"C-contiguous and writable|got list"):
            optimizer.step()
        for p, old in zip(params[1:], before, strict=True):
            assert_same_bits(p.data, old)
        assert not optimizer.state


def test_settings_changed_to_nonsense_are_refused_at_the_step():
    params = parameters()
    optimizer = optim.SGD([{"params": params[:2]}, {"params": params[2:]}])
    optimizer.param_groups[1]["lr"] = -1.0
    give_gradients(params, 0)
    before = bits_of(params, optimizer)
    with pytest.raises(ValueError, match="lr must be"):
        optimizer.step()
    assert_unchanged(params, optimizer, before)


# ---- optimizers of one's own


def _example():
    """The class in the description of Optimizer."""
    source = textwrap.dedent(optim.Optimizer.__doc__.split("::\n")[1])
    names = {"nl": nl, "np": np}
    exec(source, names)
    return names["SignMomentum"]


def test_an_optimizer_of_ones_own_has_groups_steps_and_state():
    make = _example()
    params = parameters(np.float32)
    optimizer = make([{"params": params[:2], "lr": 0.5}, {"params": params[2:]}], beta=0.5)
    means = [np.zeros_like(p.data) for p in params]
    want = [p.data.copy() for p in params]
    for step in range(3):
        give_gradients(params, step)
        for mean, p, x, lr in zip(means, params, want, (0.5, 0.5, 1e-3, 1e-3), strict=True):
            mean += (1 - 0.5) * (p.grad - mean)
            x -= lr * np.sign(mean)
        optimizer.step()
        for p, x in zip(params, want, strict=True):
            assert_same_bits(p.data, x)
    twins = copy.deepcopy(params)
    twin = make([{"params": twins[:2]}, {"params": twins[2:]}])
    twin.load_state_dict(optimizer.state_dict())
    for ps, o in ((params, optimizer), (twins, twin)):
        give_gradients(ps, 9)
        o.step()
    for p, q in zip(params, twins, strict=True):
        assert_same_bits(p.data, q.data)

    before = bits_of(params, optimizer)
    with pytest.raises(ValueError, match="SignMomentum: beta must be between 0 and 1, without 1, got 1"):
        make(params, beta=1)
    optimizer.param_groups[1]["lr"] = "0.1"
    with pytest.raises(TypeError, match=r"SignMomentum: lr must be a number, got '0.1'"):
        optimizer.step()
    optimizer.param_groups[1]["lr"] = 1e-3
    state = copy.deepcopy(optimizer.state_dict())
    state["state"][0]["mean"] = np.zeros(1)
    with pytest.raises(ValueError, match=r"parameter 0: mean is float64 of shape \(1,\), but must be float32"):
        optimizer.load_state_dict(state)
    assert_unchanged(params, optimizer, before)


def test_an_optimizer_without_state_needs_update_alone():
    class Plain(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"rate": 0.5})

        def update(self, group, params):
            for p in params:
                p.data -= group["rate"] * p.grad

    params = parameters()
    want = [p.data.copy() for p in params]
    optimizer = Plain(params)
    give_gradients(params, 0)
    optimizer.step()
    for p, x in zip(params, want, strict=True):
        assert_same_bits(p.data, x - 0.5 * p.grad)
    optimizer.load_state_dict(optimizer.state_dict())
    with pytest.raises(NotImplementedError, match=r"Optimizer does not define update\(\)"):
        optim.Optimizer(params, {}).step()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"param_groups": 5}, "'param_groups' must be a list of dicts with a list 'params', got 5"),
        ({"param_groups": [{"params": 4}]}, "'param_groups' must be a list"),
        ({"state": [1]}, r"'state' must be a dict of dicts, got \[1\]"),
        ({"state": {0: 3}}, r"'state' must be a dict of dicts, got \{0: 3\}"),
    ],
)
def test_load_state_dict_refuses_what_is_no_state(part, message):
    optimizer = optim.Adam(parameters())
    with pytest.raises(TypeError, match=r"Adam: load_state_dict: " + message):
        optimizer.load_state_dict({**optimizer.state_dict(), **part})


@pytest.mark.parametrize("state", ["w.safetensors", [], {}, nn.ReLU()])
def test_load_state_dict_says_what_it_takes(state):
    with pytest.raises(TypeError, match=r"SGD: load_state_dict: state_dict must be what .* returns, .*, got "):
        optim.SGD(parameters()).load_state_dict(state)
