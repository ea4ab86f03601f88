"""The training loop: the specified order, history, seeds, losses that are no numbers, Ctrl-C."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite import files, nn, optim, random
from nnlite.backend import available
from nnlite.shapes import Spec
from nnlite.training import Callback, History, progress
from support import assert_same_bits, rng

X = rng(0).random((20, 1, 6, 6), np.float32)
T = (X.mean((1, 2, 3)) > 0.5).astype(np.int64)


class Net(nn.Module):
    """Has all kinds of state: parameters, running statistics, draws. ``at``: what to call in which training pass."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.25)
        self.last = nn.Linear(4 * 4 * 4, 2)
        self.at: tuple[int, Callable[[], object]] | None = None
        self.passes = 0

    def forward(self, x: Any) -> nl.Tensor:
        y = self.drop(nn.functional.relu(self.norm(self.conv(x)))).flatten(1)
        self.passes += self.training and not isinstance(x, Spec)
        if self.at is not None and self.training and self.at[0] == self.passes and not isinstance(x, Spec):
            self.at[1]()
        return self.last(y)


def make(optimizer: type[optim.Optimizer] = optim.Adam, **settings: float) -> nl.Trainer:
    nl.manual_seed(1)
    net = Net()
    return nl.Trainer(
        net, nn.CrossEntropyLoss(), optimizer(net.parameters(), **{"lr": 0.01, **settings}), progress=False
    )


def state_of(fit: nl.Trainer) -> str:
    """Everything that a step changes, as text."""
    arrays = {f"model.{name}": array for name, array in fit.model.state_dict().items()}
    rest: list[object] = [random.get_state()]
    for index, state in sorted(fit.optimizer.state_dict()["state"].items()):
        for key, value in state.items():
            if isinstance(value, np.ndarray):
                arrays[f"{index}.{key}"] = value
            else:
                rest.append((index, key, value))
    return f"{files.weights_sha256(arrays)} {rest}"


def after_steps(n: int) -> str:
    """The state after ``n`` steps of an undisturbed fit with batches of 8: three steps an epoch."""
    fit = make()
    random.manual_seed(7)
    model, optimizer = fit.model.train(), fit.optimizer
    for step in range(n + 1):
        if step % 3 == 0:
            order = random.permutation(len(X), stream=random.SHUFFLING)
        if step < n:
            batch = order[step % 3 * 8 : step % 3 * 8 + 8]
            optimizer.zero_grad()
            nn.CrossEntropyLoss()(model(X[batch]), T[batch]).backward()
            optimizer.step()
    return state_of(fit)


def test_fit_is_the_specified_loop(backend: Any) -> None:
    fit = make()
    history = fit.fit(X, T, validation=(X[:7], T[:7]), epochs=2, batch_size=8, seed=7)
    bits = fit.model.state_dict()

    again = make()
    model, optimizer, criterion = again.model, again.optimizer, again.loss
    nl.manual_seed(7)
    for epoch in range(2):
        order = random.permutation(20, stream=random.SHUFFLING)
        total, right = 0.0, 0
        model.train()
        for batch in (order[:8], order[8:16], order[16:]):
            optimizer.zero_grad()
            y = model(X[batch])
            loss = criterion(y, T[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
            right += int((y.numpy().argmax(1) == T[batch]).sum())
        model.eval()
        with nl.no_grad():
            y = model(X[:7])
            test_loss = criterion(y, T[:7]).item()
        assert history.loss[epoch] == total / 20
        assert history.train_accuracy[epoch] == right / 20
        assert history.test_loss[epoch] == test_loss
        assert history.test_accuracy[epoch] == (y.numpy().argmax(1) == T[:7]).mean()
        assert history.weights_sha256[epoch] == files.weights_sha256(model.state_dict())
    for name, array in model.state_dict().items():
        assert_same_bits(bits[name], array)
    assert history == fit.history
    assert [row["epoch"] for row in history] == [1, 2]
    assert list(history[0]["tensors_sha256"]) == list(bits)


def test_seed_decides_everything() -> None:
    hashes = []
    for seed in (3, 3, 4):
        random.uniform((5,))  # what was drawn before does not count
        hashes.append(make().fit(X, T, epochs=1, batch_size=8, seed=seed).weights_sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def test_learns() -> None:
    history = make().fit(X, T, epochs=15, batch_size=4, seed=0)
    assert history.loss[-1] < history.loss[0] / 2
    assert history.test_accuracy == [None] * 15


def test_mode_and_predictions_after_a_fit() -> None:
    fit = make()
    assert fit.model.training
    fit.fit(X, T, validation=(X, T), epochs=1)
    assert not any(module.training for module in fit.model.modules())
    y = fit.predict(X)
    assert_same_bits(y, fit.model(X).data)  # no dropout
    assert_same_bits(fit.predict(X, batch_size=3), y)
    fit.model.drop.train()
    assert_same_bits(fit.predict(X), y)
    assert fit.model.drop.training
    assert not fit.model.training
    with pytest.raises(TypeError, match=r"predict: x must be a numpy\.ndarray, got list"):
        fit.predict([1.0])
    with pytest.raises(ValueError, match=r"predict: x must hold at least one sample, got shape \(0, 1, 6, 6\)"):
        fit.predict(X[:0])


def test_a_last_batch_of_one_is_refused_before_the_first_step() -> None:
    nl.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    fit = nl.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()), progress=False)
    before = state_of(fit)
    with pytest.raises(ValueError, match="more than one value per channel") as raised:
        fit.fit(X[:17], T[:17], batch_size=8)
    assert "in layer 2: BatchNorm1d" in raised.value.__notes__[0]
    assert state_of(fit) == before
    history = fit.fit(X[:17], T[:17], batch_size=8, drop_last=True)
    assert history.loss == fit_of(X[:17], T[:17]).loss


def fit_of(x: Any, t: Any) -> History:
    """The loop of drop_last by hand: two whole batches of 8."""
    nl.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer, total = optim.SGD(model.parameters()), 0.0
    order = random.permutation(len(x), stream=random.SHUFFLING)
    for batch in (order[:8], order[8:16]):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(x[batch]), t[batch])
        loss.backward()
        optimizer.step()
        total += loss.item() * 8
    return History([{"loss": total / 16}])


def test_a_model_that_computes_with_numpy_is_trained_all_the_same() -> None:
    class Mine(nn.Module):
        def __init__(self) -> None:
            self.last = nn.Linear(36, 2)

        def forward(self, x: Any) -> nl.Tensor:
            return self.last(np.maximum(x, x.mean()).reshape(len(x), 36))

    model = Mine()
    fit = nl.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()), progress=False)
    fit.fit(X, T, batch_size=8)
    with pytest.raises(ValueError, match=r"target\[\d\] is 2"):
        fit.fit(X, T + 1, batch_size=8)


def test_parts_that_do_not_belong_together() -> None:
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    loss = nn.CrossEntropyLoss()
    for arguments, message in (
        (
            (nn.Linear, loss, optim.SGD(model.parameters())),
            r"model must be an object, got the class Linear; write Net",
        ),
        ((model, nn.CrossEntropyLoss, optim.SGD(model.parameters())), "loss must be an object, got the class Cross"),
        ((model, loss, optim.SGD), "optimizer must be an object, got the class SGD"),
        ((model, loss, "adam"), r"optimizer must be such as optim\.Adam\(model\.parameters\(\)\), got 'adam'"),
        ((model, 3, optim.SGD(model.parameters())), r"loss must be such as nn\.CrossEntropyLoss\(\), got int"),
    ):
        with pytest.raises(TypeError, match=f"Trainer: {message}"):
            nl.Trainer(*arguments)
    fit = nl.Trainer(model, loss, optim.SGD([*model.parameters(), other.weight]), progress=False)
    with pytest.raises(ValueError, match=r"1 of the optimizer's 3 parameters, the first of shape \(2, 3\), are"):
        fit.fit(np.ones((2, 3), np.float32), np.zeros(2, int))


def test_a_narrow_terminal_shows_the_accuracies(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = make()
    fit.progress = True
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "24")
    history = fit.fit(X, T, validation=(X, T), epochs=1, seed=0)
    assert f"accuracy {history.train_accuracy[0]:.2%}, test {history.test_accuracy[0]:.2%}" in capsys.readouterr().err


def test_regression_and_probabilities() -> None:
    line = nn.Linear(3, 1, dtype="float64")
    x = rng(1).random((10, 3))
    fit = nl.Trainer(line, nn.MSELoss(), optim.SGD(line.parameters(), lr=0.1), progress=False)
    history = fit.fit(x, x.sum(1, keepdims=True), validation=(x, x.sum(1, keepdims=True)), epochs=3)
    assert history.train_accuracy == history.test_accuracy == [None] * 3
    assert history.test_loss[2] < history.test_loss[0]
    history = make().fit(X, np.eye(2, dtype=np.float32)[T], epochs=1, batch_size=8, seed=7)
    assert history.train_accuracy == make().fit(X, T, epochs=1, batch_size=8, seed=7).train_accuracy


def test_progress_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    fit = make()
    fit.progress = True
    history = fit.fit(X, T, validation=(X, T), epochs=1, seed=0)
    accuracies = f"accuracy {history.train_accuracy[0]:.2%}, test {history.test_accuracy[0]:.2%}"
    assert capsys.readouterr().err == f"epoch 1/1: loss {history.loss[0]:.4f}, {accuracies}\n"


def test_progress_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fit = make()
    fit.progress = True
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    history = fit.fit(X, T, epochs=2, batch_size=8, seed=0)
    shown = capsys.readouterr().err
    assert "epoch 2/2" in shown
    assert "100%" in shown
    assert f"loss {history.loss[1]:.4f}, accuracy {history.train_accuracy[1]:.2%}" in shown


def with_nan(where: tuple[int, ...]) -> Any:
    x = X.copy()
    x[where] = np.nan
    return x


class Foreign:
    """An object of another package."""

    def __init__(self, package: str) -> None:
        self.__class__ = type("Foreign", (Foreign,), {"__module__": f"{package}.core", "numpy": None, "to_numpy": None})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": X.tolist()}, TypeError, "fit: x must be a numpy.ndarray, got list"),
        ({"t": list(T)}, TypeError, "fit: t must be a numpy.ndarray, got list"),
        ({"t": T[:5]}, ValueError, "fit: x has 20 samples but t has 5"),
        ({"x": X[:0], "t": T[:0]}, ValueError, r"fit: x must hold at least one sample, got shape \(0, 1, 6, 6\)"),
        ({"x": np.array(1.0, np.float32)}, ValueError, r"fit: x must hold at least one sample, got shape \(\)"),
        ({"validation": X}, TypeError, r"fit: validation must be a pair \(x, t\)"),
        ({"validation": (X, T[:5])}, ValueError, r"fit: validation\[0\] has 20 samples but validation\[1\] has 5"),
        ({"epochs": 0}, ValueError, "fit: epochs must be at least 1, got 0"),
        ({"epochs": 1.5}, TypeError, r"fit: epochs must be an integer, got 1\.5"),
        ({"batch_size": 0}, ValueError, "fit: batch_size must be at least 1, got 0"),
        ({"batch_size": True}, TypeError, "fit: batch_size must be an integer, got True"),
        ({"seed": -1}, ValueError, "seed must be between 0"),
        ({"x": X.astype(np.float64)}, TypeError, "float64.*float32"),
        ({"t": T + 1}, ValueError, rf"fit: t\[{T.argmax()}\] is 2 but the model has 2 outputs, the classes 0 to 1"),
        ({"validation": (X, T - 1)}, ValueError, r"fit: validation\[1\]\[\d+\] is -1 but the model has 2 outputs"),
        ({"t": T.astype(np.float32)}, TypeError, r"integer classes, got float32; write t\.astype\(np\.int64\)"),
        ({"t": T > 0}, TypeError, r"integer classes, got bool; write t\.astype"),
        (
            {"t": T.astype(str)},
            TypeError,
            r"integer classes, got <U21; write np\.unique\(t, return_inverse=True\)",
        ),
        ({"x": with_nan((3, 0, 2, 1))}, ValueError, r"fit: x\[3, 0, 2, 1\] is NaN"),
        ({"validation": (with_nan((0, 0, 0, 0)), T)}, ValueError, r"fit: validation\[0\]\[0, 0, 0, 0\] is NaN"),
        ({"x": nl.Tensor(X)}, TypeError, r"got Tensor; write x\.data"),
        ({"x": Foreign("torch")}, TypeError, r"got torch\.Foreign; write x\.detach\(\)\.cpu\(\)\.numpy\(\)"),
        ({"t": Foreign("pandas")}, TypeError, r"got pandas\.Foreign; write x\.to_numpy\(np\.float32\)"),
        ({"x": X[:17, :, :3, :3], "t": T[:17]}, ValueError, r"linear_forward: x has 4 features but weight expects 64"),
        ({"drop_last": 1}, TypeError, "fit: drop_last must be a bool, got 1"),
        ({"drop_last": True, "batch_size": 21}, ValueError, "drop_last leaves no batch of 21, as x has 20 samples"),
    ],
)
def test_refusals_change_nothing(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    fit = make()
    fit.fit(X, T, epochs=1, batch_size=8, seed=0)
    nl.manual_seed(9)
    before = state_of(fit)
    with pytest.raises(error, match=message):
        fit.fit(**{"x": X, "t": T, "batch_size": 8, **arguments})
    assert state_of(fit) == before
    assert fit.model.passes == 3


@pytest.mark.parametrize("when", ["loss", "weights", "validation"])
def test_bad_numbers_stop_the_fit(when: str, tmp_path: Path) -> None:
    good = make()
    good.fit(X, T, epochs=1, batch_size=8, seed=7)
    fit = make()
    validation = None
    if when == "loss":  # the update of the second epoch's second step ruins the weights, so the third has no loss
        fit.model.at = (5, lambda: fit.optimizer.param_groups[0].update(lr=1e38))
        message = r"the loss is (nan|inf) in epoch 2, step 3; the model was put back"
    elif when == "weights":
        fit.model.at = (6, lambda: fit.optimizer.param_groups[0].update(lr=float(np.finfo(np.float32).max) * 4))
        message = r"after epoch 2 \S+ is not finite; the model was put back"
    else:
        bad = X.copy()
        validation = (bad, T)
        fit.model.at = (6, lambda: bad.fill(np.nan))
        message = r"after epoch 2 the test loss \(nan\) is not finite"
    with pytest.raises(FloatingPointError, match=message):
        fit.fit(X, T, validation=validation, epochs=3, batch_size=8, seed=7, out=tmp_path / "run")
    assert state_of(fit) == state_of(good)
    assert len(fit.history) == 1
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["status"].startswith("stopped: ")
    assert manifest["weights_sha256"] == good.history.weights_sha256[0]
    assert files.weights_sha256(files.load(tmp_path / "run" / "weights.safetensors")) == good.history.weights_sha256[0]


@pytest.mark.parametrize("n", [1, 2, 4])
def test_interrupted_step_leaves_everything_as_before(n: int) -> None:
    fit = make()
    fit.model.at = (n, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        fit.fit(X, T, epochs=3, batch_size=8, seed=7)
    assert state_of(fit) == after_steps(n - 1)
    assert all(p.grad is None for p in fit.model.parameters())
    assert len(fit.history) == (n - 1) // 3
    assert fit.model.training
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupted_update_is_completed() -> None:
    class Slow(optim.Adam):
        calls = 0

        def step(self) -> None:
            Slow.calls += 1
            if Slow.calls == 2:
                signal.raise_signal(signal.SIGINT)
            super().step()

    fit = make(Slow)
    with pytest.raises(KeyboardInterrupt):
        fit.fit(X, T, epochs=3, batch_size=8, seed=7)
    assert state_of(fit) == after_steps(2)


def test_interrupt_at_the_end_comes_after_the_fit() -> None:
    fit = make()

    class Last(Callback):
        def at_end(self, status: str, model: nn.Module, optimizer: optim.Optimizer) -> None:
            signal.raise_signal(signal.SIGINT)
            self.status = status

    last = Last()
    with pytest.raises(KeyboardInterrupt):
        fit.run(X, T, None, 1, 8, 7, last)
    assert last.status == "finished"
    assert len(fit.history) == 1


def test_other_handlers_and_threads() -> None:
    seen: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        fit = make()
        fit.model.at = (2, lambda: signal.raise_signal(signal.SIGINT))
        assert len(fit.fit(X, T, epochs=2, batch_size=8, seed=7)) == 2
        assert seen == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, previous)
    results: list[History] = []
    thread = threading.Thread(target=lambda: results.append(make().fit(X, T, epochs=2, batch_size=8, seed=7)))
    thread.start()
    thread.join()
    assert results[0] == fit.history


def test_errors_of_the_model_leave_everything_as_before() -> None:
    def fail() -> None:
        raise RuntimeError("mine")

    fit = make()
    fit.model.at = (5, fail)
    with pytest.raises(RuntimeError, match="mine"):
        fit.fit(X, T, epochs=3, batch_size=8, seed=7)
    assert state_of(fit) == after_steps(4)


def test_validation_data_are_checked_before_the_first_step() -> None:
    for validation, message in (
        ((X.astype(np.float64), T), "float64"),
        ((X[:, :, :3, :3], T), "4 features but weight expects 64"),
    ):
        fit = make()
        before = state_of(fit)
        with pytest.raises((TypeError, ValueError), match=message) as raised:
            fit.fit(X, T, validation=validation, batch_size=8)
        assert "fit: found in the validation data" in raised.value.__notes__
        assert state_of(fit) == before
    nl.manual_seed(0)  # one sample is no matter in evaluation mode
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    fit = nl.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()), progress=False)
    assert fit.fit(X, T, validation=(X[:1], T[:1])).test_accuracy[0] in (0, 1)


def test_labels_are_checked_where_the_loss_is_the_function() -> None:
    fit = make()
    fit.loss = nn.functional.cross_entropy
    before = state_of(fit)
    late = T.copy()
    late[13] = 7
    with pytest.raises(ValueError, match=r"fit: t\[13\] is 7 but the model has 2 outputs"):
        fit.fit(X, late, batch_size=8)
    with pytest.raises(TypeError, match="fit: t must hold integer classes, got float64"):
        fit.fit(X, T.astype(np.float64), batch_size=8)
    assert state_of(fit) == before
    assert fit.fit(X, T, batch_size=8, seed=7) == make().fit(X, T, batch_size=8, seed=7)


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")


LONG = type("L" * 600, (Exception,), {})("m\n" * 2000)


@pytest.mark.parametrize("where", ["loss", "state_dict"])
@pytest.mark.parametrize("error", [KeyError("k"), SystemExit(3), MuteError(), LONG])
def test_every_error_ends_in_a_status(error: BaseException, where: str) -> None:
    statuses = []

    class Watch(Callback):
        def at_end(self, status: str, model: nn.Module, optimizer: optim.Optimizer) -> None:
            statuses.append(status)

    def fail(*arguments: object) -> Any:
        raise error

    fit = make()
    setattr(*((fit, "loss", fail) if where == "loss" else (fit.optimizer, "state_dict", fail)))
    with pytest.raises(type(error)) as raised:
        fit.run(X, T, None, 1, 8, 0, Watch())
    assert raised.value is error
    (status,) = statuses
    assert len(status) < 1000
    assert re.fullmatch(rf"failed: {type(error).__name__[:100]}: .* \(test_trainer\.py:\d+\)", status, re.DOTALL)


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("name", ["epoch 1/1", "epoch 100/100"])
def test_no_figure_is_cut_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, columns: int
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "24")
    with progress.Bar(name, 1, shown=True) as bar:
        bar.step(text := progress.figures(12.3456, 1.0, 1.0))
        bar.end(text)
    lines = re.split(r"[\r\n]+", capsys.readouterr().err)
    assert any(line.rstrip().endswith(", loss 12.3456, accuracy 100.00%, test 100.00%") for line in lines)
    assert any("| 100% 00:00, loss" in line for line in lines) or columns < 80
    assert all(len(line) <= columns for line in lines)


@pytest.mark.skipif(available() == ["reference"], reason="the compiled modules are not installed")
def test_interrupt_ends_a_long_kernel() -> None:
    with nl.backend(available()[-1]):
        model = nn.Linear(3000, 3000)
        fit = nl.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), progress=False)
        x = rng(0).random((6000, 3000), np.float32)
        waits = []
        for _ in range(3):
            sent: list[float] = []

            def press(sent: list[float] = sent) -> None:
                sent.append(time.perf_counter())
                os.kill(os.getpid(), signal.SIGINT)

            timer = threading.Timer(0.3, press)
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                fit.fit(x, x, epochs=100, batch_size=6000)
            waits.append(time.perf_counter() - sent[0])
            timer.join()
        assert min(waits) < 0.2


def test_script_writes_a_run_folder(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def width() -> int:\n    return 3\n")
    script = tmp_path / "learn.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            import numpy as np, nnlite as nl
            from nnlite import nn, optim
            import helper

            nl.manual_seed(0)
            x = np.random.default_rng(0).random((64, helper.width()), np.float32)
            t = (x.sum(1) > 1.5).astype(np.int64)
            model = nn.Linear(3, 2)
            fit = nl.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.5))
            fit.fit(x, t, validation=(x, t), epochs=int(sys.argv[2]), batch_size=4, seed=2, out=sys.argv[1])
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    commands = [
        [sys.executable, str(script), str(tmp_path / name), epochs] for name, epochs in (("a", "2"), ("b", "2"))
    ]
    for command in commands:
        subprocess.run(command, check=True, env=environment, capture_output=True)
    a, b = (json.loads((tmp_path / name / "run.json").read_text()) for name in "ab")
    assert a["kind"] == "script"
    assert a["status"] == "finished"
    assert a["epochs"] == b["epochs"]
    assert len(a["epochs"]) == 2
    assert a["code"] == {"script": "learn.py", "modules": ["helper.py"], "outside": {}, "git": None}
    assert (tmp_path / "a/code/learn.py").read_bytes() == script.read_bytes()
    assert (tmp_path / "a/code/helper.py").exists()
    assert set(a["data"]["sha256"]) == {"x", "t", "x_validation", "t_validation"}
    assert a["hyperparameters"]["optimizer"]["description"].startswith("SGD(lr=0.5")
    assert (tmp_path / "a/weights.safetensors").read_bytes() == (tmp_path / "b/weights.safetensors").read_bytes()
    refused = subprocess.run(commands[0], check=False, env=environment, capture_output=True, text=True)
    assert "FileExistsError" in refused.stderr
    assert "already holds a run" in refused.stderr

    # A real Ctrl-C: the folder has the state before the interrupted step.
    process = subprocess.Popen(
        [*commands[0][:2], str(tmp_path / "c"), "100000"], env=environment, stderr=subprocess.PIPE
    )
    for _ in itertools.takewhile(lambda _: not (tmp_path / "c/weights.safetensors").exists(), range(3000)):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=20)[1]
    c = json.loads((tmp_path / "c/run.json").read_text())
    assert c["status"] == "interrupted"
    assert c["epochs"][:2] == a["epochs"][: len(c["epochs"])]
    assert c["generator_at_end"]["seed"] == 2
    assert c["generator_at_end"]["draws"][random.SHUFFLING] >= len(c["epochs"])
    assert files.weights_sha256(files.load(tmp_path / "c/weights.safetensors")) == c["weights_sha256"]
    assert not [path for path in (tmp_path / "c").iterdir() if path.suffix == ".tmp"]
