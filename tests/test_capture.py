"""Captured steps on the CPU: the bits of the step itself, whatever changes from step to step."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite import nn, optim
from nnlite.backend import available
from nnlite.files import weights_sha256
from support import assert_same_bits, rng


def training(captured: bool, make: Any, steps: int = 6) -> tuple[list[Any], str, Any]:
    """What each step gave, the weights' hash and the generator's state, with a schedule and one smaller batch."""
    nl.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(36, 5),
    )
    optimizer = make(model.parameters())
    loss_of = nn.CrossEntropyLoss()

    def step(x: Any, t: Any) -> Any:
        optimizer.zero_grad()
        y = model(x)
        loss = loss_of(y, t)
        loss.backward()
        optimizer.step()
        return {"loss": loss, "outputs": (y, x)}

    run = nl.capture(step) if captured else step
    random = rng(3)
    seen = []
    for i in range(steps):
        n = 5 if i == steps - 2 else 8
        x, t = random.standard_normal((n, 1, 8, 8)).astype(np.float32), random.integers(0, 5, n)
        result = run(x, t)
        assert result["outputs"][1] is x
        gradients = [p.grad.copy() for p in model.parameters()]
        seen.append((result["loss"].item(), result["outputs"][0].numpy().copy(), gradients))
        optimizer.param_groups[0]["lr"] *= 0.9
    return seen, weights_sha256(model.state_dict()), nl.random.get_state()


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, 0.1),
    "momentum": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, 0.01),
    "adamw": lambda p: optim.AdamW(p, 0.01),
}


@pytest.mark.parametrize("name", available())
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_captured_step_gives_the_bits_of_the_step_itself(name: str, optimizer: str) -> None:
    with nl.backend(name):
        got, got_weights, got_draws = training(True, OPTIMIZERS[optimizer])
        want, want_weights, want_draws = training(False, OPTIMIZERS[optimizer])
    assert got_weights == want_weights
    assert got_draws == want_draws
    for a, b in zip(got, want, strict=True):
        assert a[0] == b[0]
        assert_same_bits(a[1], b[1])
        assert_same_bits(tuple(a[2]), tuple(b[2]))


def test_gradients_that_are_added_to() -> None:
    w = nl.Parameter(np.ones(3, np.float32))
    step = nl.capture(lambda x: nl.ops.sum(nl.ops.multiply(w, x)).backward())
    x = np.array([1, 2, 3], np.float32)
    for i in range(1, 6):
        step(x)
        assert_same_bits(w.grad, i * x)


def test_labels_are_read_and_checked_anew() -> None:
    loss_of, x = nn.CrossEntropyLoss(), np.eye(3, dtype=np.float32)
    step = nl.capture(lambda x, t: loss_of(x, t))
    for t in ([0, 1, 2], [2, 1, 0], [1, 1, 1]):
        assert step(x, np.array(t)).item() == loss_of(x, np.array(t)).item()
    with pytest.raises(ValueError, match=r"target\[1\] is 3 but there are 3 classes"):
        step(x, np.array([0, 3, 0]))
    assert step(x, np.array([0, 1, 2])).item() == loss_of(x, np.array([0, 1, 2])).item()


def test_a_failing_replay_gives_its_draws_back() -> None:
    loss_of = nn.CrossEntropyLoss()
    step = nl.capture(lambda x, t: loss_of(nl.ops.dropout(x, 0.5), t))
    x, t = np.eye(3, dtype=np.float32), np.arange(3)
    for _ in range(3):
        step(x, t)
    before = nl.random.get_state()
    with pytest.raises(ValueError, match="classes"):
        step(x, t + 1)
    assert nl.random.get_state() == before


def test_any_layout_of_the_inputs() -> None:
    step = nl.capture(nl.ops.relu)
    x = rng().standard_normal((4, 6)).astype(np.float32)
    for given in (x, x.T[:6, :4].T, np.asfortranarray(x), x[::-1]):
        assert_same_bits(step(given).data, nl.ops.relu(np.array(given)).data)


def test_captures_in_captures_and_after_no_grad() -> None:
    inner = nl.capture(lambda x: nl.ops.multiply(x, x))
    outer = nl.capture(lambda x: nl.ops.add(inner(x), x))
    x = np.array([1, 2], np.float32)
    for i in range(4):
        with nl.no_grad():
            assert_same_bits(outer(x + i).data, (x + i) * (x + i) + (x + i))


def test_what_cannot_be_captured() -> None:
    x = np.ones(3, np.float32)

    def second(function: Any, *inputs: Any) -> None:
        step = nl.capture(function)
        step(*inputs)
        step(*inputs)

    for function, message in (
        (lambda x: nl.ops.sum(x).item(), r"capture: item\(\) cannot be part of a captured step"),
        (lambda x: nl.ops.relu(x).numpy(), r"capture: numpy\(\) cannot be part of a captured step"),
        (lambda x: nl.random.permutation(3), r"capture: nl\.random\.permutation cannot be part of a captured step"),
    ):
        with pytest.raises(RuntimeError, match=message):
            second(function, x)
    with pytest.raises(TypeError, match="a captured step takes arrays"):
        nl.capture(nl.ops.relu)(1.0)
    with pytest.raises(ValueError, match="device must be 'cpu', 'cuda' or 'cuda:N', got 'gpu'"):
        nl.capture(nl.ops.relu, "gpu")
    assert nl.ops.sum(x).item() == 3  # nothing is being recorded any more


def test_intermediate_results_are_let_go() -> None:
    kept: list[Any] = []

    class Layer(nn.Module):
        def forward(self, x: Any) -> Any:
            y = nl.ops.relu(x)
            kept.append(weakref.ref(y))
            return nl.ops.add(y, y)

    step = nl.capture(Layer())
    for _ in range(3):
        step(np.ones(3, np.float32))
    gc.collect()
    assert all(reference() is None for reference in kept)
