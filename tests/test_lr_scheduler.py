"""Learning-rate schedules: PyTorch's numbers and states, the functions under them, refusals."""

from __future__ import annotations

import copy
import math
import warnings
from decimal import Decimal, localcontext

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn, optim
from nnlite.optim import lr_scheduler as schedules
from nnlite.optim.lr_scheduler.base import cosine, power

STEPS = 45
CASES = {
    "step": ("StepLR", {"step_size": 7, "gamma": 0.3}),
    "step 1": ("StepLR", {"step_size": 1}),
    "multi": ("MultiStepLR", {"milestones": [3, 3, 11, 40], "gamma": 0.7}),
    "exponential": ("ExponentialLR", {"gamma": 0.93}),
    "constant": ("ConstantLR", {}),
    "constant 3": ("ConstantLR", {"factor": 0.2, "total_iters": 3}),
    "linear": ("LinearLR", {}),
    "linear down": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 20}),
    "polynomial": ("PolynomialLR", {}),
    "polynomial 2.5": ("PolynomialLR", {"total_iters": 30, "power": 2.5}),
    "cosine": ("CosineAnnealingLR", {"T_max": 10}),
    "cosine to": ("CosineAnnealingLR", {"T_max": 100, "eta_min": 0.01}),
    "restarts": ("CosineAnnealingWarmRestarts", {"T_0": 7}),
    "restarts 2": ("CosineAnnealingWarmRestarts", {"T_0": 4, "T_mult": 2, "eta_min": 0.003}),
    "one cycle": ("OneCycleLR", {"max_lr": 0.3, "total_steps": 50}),
    "one cycle lines": (
        "OneCycleLR", {"max_lr": [0.3, 0.2], "epochs": 6, "steps_per_epoch": 8, "anneal_strategy": "linear"},
    ),
    "one cycle of three": (
        "OneCycleLR",
        {"max_lr": 1.0, "total_steps": 45, "three_phase": True, "pct_start": 0.4, "div_factor": 10,
         "final_div_factor": 7, "base_momentum": 0.7, "max_momentum": [0.9, 0.8]},
    ),
    "one cycle alone": ("OneCycleLR", {"max_lr": 0.3, "total_steps": 50, "cycle_momentum": False}),
    "cyclic": ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 5}),
    "cyclic 2": (
        "CyclicLR",
        {"base_lr": [0.01, 0.02], "max_lr": 0.1, "step_size_up": 5, "step_size_down": 8, "mode": "triangular2"},
    ),
    "cyclic exp": ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "mode": "exp_range", "gamma": 0.97}),
    "cyclic own": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "scale_fn": lambda x: 1 / x,
         "base_momentum": 0.5, "max_momentum": 0.6},
    ),
    "lambda": ("LambdaLR", {"lr_lambda": lambda t: 0.95**t}),
    "lambdas": ("LambdaLR", {"lr_lambda": [lambda t: 1 / (1 + t), lambda t: 1.0]}),
    "multiplicative": ("MultiplicativeLR", {"lr_lambda": lambda t: 0.9 if t % 2 else 1.05}),
}  # fmt: skip


def two_groups(optimizer, parameter, **settings):
    groups = [{"params": [parameter(np.ones(2))]}, {"params": [parameter(np.ones(3))], "lr": 0.25}]
    return optimizer(groups, lr=0.1, **settings)


def ours(kind="SGD"):
    settings = {"momentum": 0.9} if kind == "SGD" else {}
    return two_groups(getattr(optim, kind), nn.Parameter, **settings)


def theirs(torch, kind="SGD"):
    settings = {"momentum": 0.9} if kind == "SGD" else {}
    return two_groups(getattr(torch.optim, kind), lambda x: torch.nn.Parameter(torch.tensor(x)), **settings)


def values(optimizer):
    keys = ("lr", "momentum", "betas", "initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")
    return [np.ravel([np.ravel(group[key])[0] for key in keys if key in group]) for group in optimizer.param_groups]


def assert_near(a, b, step):
    # Each step multiplies by factors that are off by at most 4 roundings, and 1 + cos by 4 units of 1 / 2^53.
    for x, y in zip(values(a), values(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=8 * (step + 1) * 2.0**-53, atol=2.0**-51, err_msg=f"step {step}")


def follow(a, first, b, second, steps=STEPS):
    assert_near(a, b, 0)
    for step in range(1, steps):
        for optimizer in (a, b):
            optimizer.step()
        first.step()
        second.step()
        assert_near(a, b, step)
        assert first.get_last_lr() == [group["lr"] for group in a.param_groups]
        assert first.last_epoch == second.last_epoch


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_same_as_pytorch(case, kind):
    torch = pytest.importorskip("torch")
    name, arguments = CASES[case]
    a, b = ours(kind), theirs(torch, kind)
    first, second = getattr(schedules, name)(a, **arguments), getattr(torch.optim.lr_scheduler, name)(b, **arguments)
    follow(a, first, b, second)
    own = first.state_dict().keys()
    assert own | {"_get_lr_called_within_step", "_is_initial"} >= second.state_dict().keys() - {"_scale_fn_ref"} >= own


@pytest.mark.parametrize("case", CASES)
def test_a_schedule_goes_on_from_its_state_and_from_pytorchs(case):
    torch = pytest.importorskip("torch")
    name, arguments = CASES[case]
    b = theirs(torch)
    second = getattr(torch.optim.lr_scheduler, name)(b, **arguments)
    for _ in range(12):
        b.step()
        second.step()
    a = ours()
    first = getattr(schedules, name)(a, **arguments)
    first.load_state_dict(second.state_dict())
    for group, other in zip(a.param_groups, b.param_groups, strict=True):
        group.update({key: other[key] for key in group if key != "params"})
    c = ours()
    third = getattr(schedules, name)(c, **arguments)
    c.load_state_dict(copy.deepcopy(a.state_dict()))
    third.load_state_dict(copy.deepcopy(first.state_dict()))
    follow(a, first, b, second, 20)
    for _ in range(19):
        c.step()
        third.step()
    assert third.get_last_lr() == first.get_last_lr()


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateau_as_pytorch(mode, threshold_mode):
    torch = pytest.importorskip("torch")
    arguments = {"mode": mode, "threshold_mode": threshold_mode, "patience": 2, "cooldown": 1, "min_lr": [0.01, 0.0],
                 "threshold": 0.05, "factor": 0.5}  # fmt: skip
    a, b = ours(), theirs(torch)
    first = schedules.ReduceLROnPlateau(a, **arguments)
    second = torch.optim.lr_scheduler.ReduceLROnPlateau(b, **arguments)
    metrics = np.random.default_rng(3).random(40)
    metrics[7] = np.nan
    for i, metric in enumerate(metrics):
        first.step(nn.Parameter(np.array([metric])) if i == 4 else metric)
        second.step(metric)
        assert first.get_last_lr() == second.get_last_lr()
        if i == 20:
            assert first.state_dict() == second.state_dict()
            first.load_state_dict(second.state_dict())
    assert a.param_groups[0]["lr"] == 0.01


def test_sequences_and_chains_as_pytorch():
    torch = pytest.importorskip("torch")

    def sequence(s, optimizer):
        return s.SequentialLR(
            optimizer,
            [s.LinearLR(optimizer, total_iters=4), s.CosineAnnealingLR(optimizer, 9), s.ExponentialLR(optimizer, 0.9)],
            [4, 15],
        )

    def chain(s, optimizer):
        return s.ChainedScheduler([s.ConstantLR(optimizer, 0.1, 4), s.ExponentialLR(optimizer, 0.9)])

    def nested(s, optimizer):
        return s.SequentialLR(optimizer, [sequence(s, optimizer), s.StepLR(optimizer, 3)], [20])

    for make in (sequence, chain, nested):
        a, b = ours(), theirs(torch)
        first = make(schedules, a)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch takes the first step of a sequence in a sequence for a second one
            second = make(torch.optim.lr_scheduler, b)
        if make is chain:  # PyTorch's has no last_epoch
            first.last_epoch = second.last_epoch = 0
        follow(a, first, b, second, 30)
        c = ours()
        again = make(schedules, c)
        if make is chain:
            again.last_epoch = 0
        again.load_state_dict(second.state_dict())
        c.load_state_dict(a.state_dict())
        again.step()
        first.step()
        assert again.get_last_lr() == first.get_last_lr()


def test_restarts_at_any_epoch():
    torch = pytest.importorskip("torch")
    for settings in ({"T_0": 5}, {"T_0": 3, "T_mult": 3, "eta_min": 0.01}):
        a, b = ours(), theirs(torch)
        first = schedules.CosineAnnealingWarmRestarts(a, **settings)
        second = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(b, **settings)
        for epoch in (0, 0.25, 2.5, 3, 4.75, 7, 11.5, 3.125):
            first.step(epoch)
            second.step(epoch)
            assert_near(a, b, 0)


def test_cosine_and_power():
    """The cosine within 2 ulp and exact at the quarters; the power against 80 digits."""
    assert [cosine(x) for x in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)] == [1.0, 0.0, -1.0, 0.0, 1.0, -1.0]
    with localcontext() as context:
        context.prec = 80
        pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
        for k in range(1, 400):
            x = k / 256
            term, total = Decimal(1), Decimal(0)
            for i in range(60):
                total += term
                term *= -((pi * Decimal(x)) ** 2) / ((2 * i + 1) * (2 * i + 2))
            if k % 128:
                assert abs(Decimal(cosine(x)) - total) <= 2 * Decimal(math.ulp(float(total))), x
        for x in np.random.default_rng(0).random(200):
            for exponent in (0.5, 2, 2.5, 17, -1.25):
                exact = (Decimal(float(x)).ln() * Decimal(exponent)).exp()
                assert power(float(x), exponent) == float(exact)
    assert [power(0.5, 30), power(0.0, 2), power(0.0, 0), power(3.0, 1)] == [2.0**-30, 0.0, 1.0, 3.0]


def test_the_optimizers_state_keeps_what_schedules_need():
    a = ours()
    schedules.OneCycleLR(a, 0.3, 10)
    state = copy.deepcopy(a.state_dict())
    fresh = ours()
    fresh.load_state_dict(state)
    assert fresh.param_groups[0]["initial_lr"] == 0.3 / 25
    resumed = schedules.OneCycleLR(fresh, 0.3, 10, last_epoch=3)
    assert resumed.last_epoch == 4
    state["param_groups"][0]["max_lr"] = math.nan
    with pytest.raises(ValueError, match=r"SGD: load_state_dict: max_lr must be a finite number"):
        fresh.load_state_dict(state)


def test_a_step_before_the_optimizers_is_told():
    a = ours()
    schedule = schedules.ExponentialLR(a, 0.5)
    with pytest.warns(UserWarning, match=r"ExponentialLR: step\(\) was called before the optimizer's step\(\)"):
        schedule.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.step()


def test_training_with_a_schedule_has_the_same_bits_everywhere():
    """The rates are rounded once into the update: the same weights on the reference and on the compiled backend."""
    results = []
    for name in ("reference", nl.get_backend()):
        with nl.backend(name):
            p = nn.Parameter(np.linspace(-1, 1, 7, dtype=np.float32))
            optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
            schedule = schedules.OneCycleLR(optimizer, 0.3, 12)
            for _ in range(12):
                optimizer.zero_grad()
                (p * p).sum().backward()
                optimizer.step()
                schedule.step()
            results.append(p.data.tobytes())
    assert results[0] == results[1]


WRONG_CALLS = [
    (TypeError, "StepLR: optimizer must be an nnlite.optim.Optimizer, got list", lambda o: schedules.StepLR([], 3)),
    (ValueError, "StepLR: step_size must be at least 1, got 0", lambda o: schedules.StepLR(o, 0)),
    (TypeError, "MultiStepLR: milestones must be a list of integers, got 3", lambda o: schedules.MultiStepLR(o, 3)),
    (ValueError, "ConstantLR: factor must be between 0 and 1, without 0, got 0", lambda o: schedules.ConstantLR(o, 0)),
    (KeyError, "ExponentialLR: last_epoch is 3, but param_groups", lambda o: schedules.ExponentialLR(o, 0.5, 3)),
    (ValueError, "OneCycleLR: total_steps is needed, or epochs", lambda o: schedules.OneCycleLR(o, 0.1)),
    (ValueError, "OneCycleLR: a phase has no steps with total_steps=10 and pct_start=0.1",
     lambda o: schedules.OneCycleLR(o, 0.1, 10, pct_start=0.1)),
    (ValueError, "OneCycleLR: max_lr must be a number, or one for each of the optimizer's 2 groups, got 1",
     lambda o: schedules.OneCycleLR(o, [0.1], 10)),
    (ValueError, "CyclicLR: mode must be 'triangular', 'triangular2' or 'exp_range', got 'up'",
     lambda o: schedules.CyclicLR(o, 0.1, 0.2, mode="up")),
    (TypeError, r"LambdaLR: lr_lambda\[0\] must be a function of the number of steps, got float",
     lambda o: schedules.LambdaLR(o, 0.5)),
    (ValueError, "ReduceLROnPlateau: mode must be 'min' or 'max', got 'less'",
     lambda o: schedules.ReduceLROnPlateau(o, "less")),
    (ValueError, "SequentialLR: milestones must be one fewer than the 1 schedulers, got 1",
     lambda o: schedules.SequentialLR(o, [schedules.StepLR(o, 3)], [2])),
    (ValueError, r"ChainedScheduler: schedulers\[0\] is a ReduceLROnPlateau, whose step\(\) needs a metric",
     lambda o: schedules.ChainedScheduler([schedules.ReduceLROnPlateau(o)])),
    (ValueError, r"SequentialLR: schedulers\[0\] is for another optimizer",
     lambda o: schedules.SequentialLR(o, [schedules.StepLR(ours(), 3)], [])),
    (ValueError, r"StepLR: load_state_dict: entries \['gamma'\], expected",
     lambda o: schedules.StepLR(o, 3).load_state_dict({"gamma": 1.0})),
]  # fmt: skip


@pytest.mark.parametrize(("error", "text", "call"), WRONG_CALLS, ids=[text[:60] for _, text, _ in WRONG_CALLS])
def test_refusals(error, text, call):
    with pytest.raises(error, match=text):
        call(ours())


def test_what_fails_changes_nothing():
    a = ours()
    schedule = schedules.OneCycleLR(a, 0.3, 3)
    a.step()
    for _ in range(3):
        schedule.step()
    before = copy.deepcopy((a.state_dict(), schedule.state_dict()))
    with pytest.raises(ValueError, match=r"OneCycleLR: step\(\) was called 4 times, but total_steps is 3"):
        schedule.step()
    assert (a.state_dict(), schedule.state_dict()) == before
    schedule = schedules.StepLR(a, 3)
    a.add_param_group({"params": [nn.Parameter(np.ones(1))]})
    with pytest.raises(ValueError, match=r"2 learning rates for the optimizer's 3 groups; make the schedule after"):
        schedules.LambdaLR.step(_of_two(a))


def _of_two(optimizer):
    schedule = schedules.LambdaLR(optimizer, lambda t: 1.0)
    schedule.base_lrs, schedule.lr_lambdas = schedule.base_lrs[:2], schedule.lr_lambdas[:2]
    return schedule
