"""Fits that go on: the bits of an uninterrupted one, also after kill -9; loaders, clipping, schedules, early ends."""

from __future__ import annotations

import json
import os
import random as python_random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite import data, files, nn, optim, random
from nnlite.data import transforms as tf
from nnlite.training import Callback, Checkpoints, CSVLog, EarlyStopping, JSONLog
from support import assert_same_bits, rng

X = rng(0).random((40, 1, 6, 6), np.float32)
T = (X.mean((1, 2, 3)) > 0.5).astype(np.int64)


def loader(**settings: Any) -> data.DataLoader:
    transform = tf.Compose([tf.RandomShift(1), tf.GaussianNoise(0.1)])
    return data.DataLoader(data.TensorDataset(X, T), 8, True, transform=transform, **{"seed": 4, **settings})


def make(lr: float = 0.02, **settings: Any) -> nl.Trainer:
    nl.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(48, 2)
    )
    optimizer = optim.Adam(net.parameters(), lr)
    schedule = optim.lr_scheduler.MultiStepLR(optimizer, [2, 4], 0.5)
    return nl.Trainer(
        net, nn.CrossEntropyLoss(), optimizer, **{"progress": False, "schedule": schedule, "clip_norm": 1.0, **settings}
    )


def state_of(fit: nl.Trainer) -> tuple[Any, ...]:
    arrays = {f"model.{name}": array for name, array in fit.model.state_dict().items()}
    rest: list[Any] = [random.get_state(), fit.history, fit.stepping.schedule.state_dict()]
    state = fit.optimizer.state_dict()
    for index, entries in sorted(state["state"].items()):
        for key, value in sorted(entries.items()):
            if isinstance(value, np.ndarray):
                arrays[f"{index}.{key}"] = value
            else:
                rest.append((index, key, value))
    return files.weights_sha256(arrays), rest, [{**g, "betas": tuple(g["betas"])} for g in state["param_groups"]]


class Stop(Callback):
    """Raises in the given epoch."""

    def __init__(self, epoch: int = -1) -> None:
        self.epoch = epoch

    def after_step(self, epoch: int, step: int, loss: float | None, trainer: nl.Trainer) -> None:
        if (epoch, step) == (self.epoch, 2):
            raise RuntimeError("power cut")


@pytest.mark.parametrize("kind", ["arrays", "loader", "shared generator"])
@pytest.mark.parametrize("broken", [1, 2, 5])
def test_a_resumed_fit_has_the_bits_of_an_uninterrupted_one(kind: str, broken: int, tmp_path: Path) -> None:
    def go(folder: str, at: int, epochs: int = 6) -> nl.Trainer:
        fit = make()
        settings: dict[str, Any] = {
            "epochs": epochs,
            "seed": 3,
            "validation": (X[:10], T[:10]),
            "callbacks": [EarlyStopping(4), Stop(at), CSVLog(tmp_path / "log.csv"), JSONLog(tmp_path / "log.jsonl")],
        }
        source = (X, T) if kind == "arrays" else (loader(seed=4 if kind == "loader" else None),)
        if kind == "arrays":
            settings["batch_size"] = 8
        try:
            fit.fit(*source, **settings, resume=tmp_path / folder)
        except RuntimeError:
            assert at > 0
        return fit

    whole = go("whole", -1)
    logs = [(tmp_path / name).read_bytes() for name in ("log.csv", "log.jsonl")]
    go("parts", broken)
    assert len(list((tmp_path / "parts").glob("epoch-*"))) == min(broken - 1, 2)
    again = go("parts", -1)
    assert state_of(again) == state_of(whole)
    assert [(tmp_path / name).read_bytes() for name in ("log.csv", "log.jsonl")] == logs
    assert [json.loads(line)["epoch"] for line in logs[1].splitlines()] == list(range(1, len(whole.history) + 1))
    assert logs[0].count(b"\n") == len(whole.history) + 1
    assert state_of(go("parts", -1)) == state_of(whole)  # nothing is left to do
    assert state_of(go("parts", -1, 8)) == state_of(go("longer", -1, 8))


SCRIPT = """
import sys
from test_resume import *

class Tell(Callback):
    def at_start(self, trainer):
        print("go", flush=True)

fit = make()
fit.fit(loader(num_workers=2), epochs=60, seed=3, validation=(X[:10], T[:10]), resume=sys.argv[1],
        callbacks=[EarlyStopping(59), Tell()])
print(state_of(fit))
"""


def test_killed_at_random_moments(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NNLITE_NUM_THREADS": "1"}

    def start(folder: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / folder)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        return process

    whole = start("whole").communicate()[0]
    delays = python_random.Random(os.getpid())
    killed, ended = 0, ""
    while not ended:
        process = start("killed")
        if killed < 4:
            time.sleep(delays.uniform(0, 0.15))
            process.send_signal(signal.SIGKILL)
        ended = process.communicate()[0]
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 1
    assert ended == whole
    names = {path.name for path in (tmp_path / "killed").iterdir()}
    assert {"epoch-000060.safetensors", "epoch-000059.safetensors", "best.safetensors"} <= names
    assert not [name for name in names if name.startswith("epoch") and name < "epoch-000059"]


def test_a_broken_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    fit = make()
    fit.fit(X, T, epochs=3, batch_size=8, seed=3, checkpoint=tmp_path)
    whole = state_of(fit)
    for damage in (lambda raw: raw[:-5], lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])):
        path = tmp_path / "epoch-000003.safetensors"
        path.write_bytes(damage(path.read_bytes()))
        again = make()
        with pytest.warns(UserWarning, match=r"epoch-000003\.safetensors is not whole"):
            again.fit(X, T, epochs=3, batch_size=8, seed=3, resume=tmp_path)
        assert state_of(again) == whole
    for path in tmp_path.glob("epoch-*"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="is whole"), pytest.warns(UserWarning, match="not whole"):
        make().fit(X, T, epochs=3, batch_size=8, seed=3, resume=tmp_path)


def test_checkpoints_of_another_fit_are_refused(tmp_path: Path) -> None:
    make().fit(X, T, epochs=1, batch_size=8, checkpoint=tmp_path)
    with pytest.raises(FileExistsError, match="already holds checkpoints; write resume=True"):
        make().fit(X, T, batch_size=8, checkpoint=tmp_path)
    for fit, settings, message in (
        (make(), {"batch_size": 4}, "with batch_size 8, but this one has 4"),
        (make(accumulate=2), {"batch_size": 8}, "with accumulate 1, but this one has 2"),
        (make(), {"batch_size": 8, "callbacks": [EarlyStopping()]}, "callbacks none, but this one has .'0 EarlyStopp"),
    ):
        with pytest.raises(ValueError, match=message):
            fit.fit(X, T, resume=tmp_path, **settings)
    with pytest.raises(ValueError, match="with x '"):
        make().fit(X + 1, T, batch_size=8, resume=tmp_path)


def test_the_best_epoch(tmp_path: Path) -> None:
    class Fixed(nn.Module):
        """Is worse in each epoch but the second."""

        def __init__(self) -> None:
            self.w = nl.Parameter(np.zeros((1, 1), np.float32))

        def forward(self, x: Any) -> nl.Tensor:
            return x * self.w

    def loss(y: Any, t: Any) -> Any:
        return nn.functional.mse_loss(y, t)

    model = Fixed()
    x, t = np.ones((1, 1), np.float32), np.full((1, 1), 10, np.float32)
    goal = np.full((1, 1), 4, np.float32)  # validation wants 4, training goes to 10: 2, 3.6, 4.88, ...
    fit = nl.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1), progress=False)
    stop = EarlyStopping(2, min_delta=0.01)
    history = fit.fit(x, t, validation=(x, goal), epochs=20, callbacks=[stop], checkpoint=tmp_path, out=tmp_path / "o")
    assert len(history) == 4
    assert stop.best_epoch == 2
    assert files.weights_sha256(model.state_dict()) == history.weights_sha256[1]
    best = Fixed()
    assert nl.load_checkpoint(tmp_path / "best.safetensors", best)["epochs"] == 2
    assert_same_bits(best.w.data, model.w.data)
    manifest = json.loads((tmp_path / "o" / "run.json").read_text())
    assert manifest["status"] == f"stopped: no better test_loss than {history.test_loss[1]} of epoch 2"
    assert manifest["weights_sha256"] == history.weights_sha256[1]
    assert_same_bits(nl.load(tmp_path / "o" / "weights.safetensors")["w"], model.w.data)
    again = nl.Trainer(Fixed(), loss, optim.SGD(model.parameters(), lr=0.1), progress=False)
    again.optimizer = optim.SGD(again.model.parameters(), lr=0.1)
    again.fit(x, t, validation=(x, goal), epochs=20, callbacks=[EarlyStopping(2, 0.01)], resume=tmp_path)
    assert again.history == history
    assert_same_bits(again.model.w.data, model.w.data)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"an epoch has no 'test_loss'; give fit\(validation=…\), or monitor"):
        make().fit(X, T, callbacks=[EarlyStopping()])


def test_a_loader_trains_as_arrays_do() -> None:
    def of(*source: Any, validation: Any = (X[:9], T[:9]), **settings: Any) -> tuple[Any, ...]:
        fit = make()
        fit.fit(*source, seed=5, epochs=2, validation=validation, **settings)
        return state_of(fit)

    arrays = of(X, T, batch_size=8)
    plain = data.DataLoader(data.TensorDataset(X, T), 8, shuffle=True)
    check = data.DataLoader(data.TensorDataset(X[:9], T[:9]), 8)
    assert of(plain, batch_size=8) == arrays
    assert of(plain, validation=check) == arrays
    order = random.Generator(5)
    batches = [
        (X[i], T[i]) for _ in range(2) for i in data.BatchSampler(data.RandomSampler(X, generator=order), 8).batches()
    ]
    endless = of(iter(batches), steps_per_epoch=5, batch_size=8)
    assert endless[0] == arrays[0]
    for source, settings, error, message in (
        (iter(batches), {}, ValueError, "used up after one of 2 epochs; give a DataLoader, or steps_per_epoch"),
        (iter([]), {"steps_per_epoch": 1}, ValueError, "x had no batch in epoch 1"),
        (iter(X), {"steps_per_epoch": 1}, TypeError, r"a batch of x must be a pair \(x, t\), got ndarray"),
        ({"x": X}, {}, TypeError, "fit: x must be a numpy.ndarray, or a DataLoader or an iterable of batches"),
        (iter(batches), {"resume": "nowhere", "steps_per_epoch": 5}, ValueError, "an iterator cannot be gone on with"),
        (plain, {"out": "nowhere"}, ValueError, "a run folder needs the data as arrays"),
        (plain, {"callbacks": [EarlyStopping]}, TypeError, r"callbacks\[0\] must be a Callback, .* the class Early"),
        (plain, {"resume": True}, ValueError, "resume needs the folder"),
    ):
        with pytest.raises(error, match=message):
            of(source, **settings)


def test_accumulated_batches_have_the_gradient_of_all_samples() -> None:
    def of(batch_size: int, accumulate: int) -> Any:
        nl.manual_seed(0)
        model = nn.Linear(36, 2, dtype="float64")
        fit = nl.Trainer(
            model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1), progress=False, accumulate=accumulate
        )
        history = fit.fit(X.reshape(40, 36).astype(np.float64), T, epochs=3, batch_size=batch_size, seed=2)
        return model.weight.data, history.loss

    weight, loss = of(30, 1)  # batches of 30 and 10
    again, again_loss = of(10, 3)
    np.testing.assert_allclose(again, weight, rtol=1e-12)
    np.testing.assert_allclose(again_loss, loss, rtol=1e-12)


def test_clipping_and_schedules_of_steps() -> None:
    nl.manual_seed(0)
    model = nn.Linear(36, 2)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    seen: list[tuple[float, float]] = []

    class Look(Callback):
        def after_step(self, epoch: int, step: int, loss: float | None, trainer: nl.Trainer) -> None:
            norm = float(nn.utils.get_total_norm([p.grad for p in model.parameters()]))
            seen.append((norm, optimizer.param_groups[0]["lr"]))

    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    fit = nl.Trainer(
        model, nn.CrossEntropyLoss(), optimizer, progress=False, clip_norm=0.01, schedule=schedule, schedule_per="step"
    )
    history = fit.fit(X.reshape(40, 36), T, batch_size=20, epochs=2, callbacks=[Look()])
    assert [lr for _, lr in seen] == [0.5, 0.25, 0.125, 0.0625]
    assert [row["lr"] for row in history] == [1.0, 0.25]
    np.testing.assert_allclose([norm for norm, _ in seen], 0.01, rtol=1e-3)
    plateau = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=1e9)
    fit = nl.Trainer(model, nn.CrossEntropyLoss(), optimizer, progress=False, schedule=plateau)
    rates = [row["lr"] for row in fit.fit(X.reshape(40, 36), T, epochs=3)]
    assert rates == pytest.approx([rates[0], rates[0] / 10, rates[0] / 100])
    for settings, error, message in (
        ({"schedule": plateau, "schedule_per": "step"}, ValueError, "write schedule_per='epoch'"),
        ({"schedule": 0.1}, TypeError, r"schedule must have a method step\(\)"),
        ({"schedule_per": "batch"}, ValueError, "must be 'epoch' or 'step', got 'batch'"),
        ({"accumulate": 0}, ValueError, "accumulate must be at least 1, got 0"),
        ({"clip_norm": 0}, ValueError, "clip_norm must be"),
    ):
        with pytest.raises(error, match=message):
            nl.Trainer(model, nn.CrossEntropyLoss(), optimizer, **settings)


def test_metrics_of_the_validation_data() -> None:
    def seen(y: Any, t: Any) -> float:
        assert y.shape == (9, 2)
        return float((y.argmax(1) == t).mean())

    history = make().fit(X, T, validation=(X[:9], T[:9]), batch_size=4, epochs=2, metrics={"mine": seen})
    assert [row["test_mine"] for row in history] == history.test_accuracy
    best = Checkpoints("folder", monitor="test_mine", mode="max")
    assert best.best_path == Path("folder/best.safetensors")


@pytest.mark.parametrize("call", range(6))
def test_the_best_epoch_is_kept_wherever_a_fit_ends(call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def go(folder: str) -> None:
        make().fit(X, T, epochs=3, batch_size=8, seed=3, resume=tmp_path / folder)

    go("whole")
    write, calls = files.write_file, iter(range(99))

    def power_cut(path: Any, content: bytes) -> None:
        if next(calls) == call:
            raise RuntimeError("power cut")
        write(path, content)

    monkeypatch.setattr(files, "write_file", power_cut)
    with pytest.raises(RuntimeError, match="power cut"):
        go("parts")
    monkeypatch.undo()
    go("parts")
    names = ("best.safetensors", "epoch-000003.safetensors")
    whole, parts = ([(tmp_path / folder / name).read_bytes() for name in names] for folder in ("whole", "parts"))
    assert parts == whole
