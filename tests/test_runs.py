"""Run folders: what is written, replay and its refusals, diff, and kills at any moment."""

from __future__ import annotations

import contextlib
import copy
import datetime
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite import cli, data, files, models, runs
from nnlite.backend import available
from nnlite.runs.code import record_code
from nnlite.runs.record import csv
from nnlite.training import Trainer
from support import assert_same_bits

Edit = Callable[[dict[str, Any]], object]
SMALL = models.check_layers(
    [
        {"layer": "Conv2d", "in_channels": 1, "out_channels": 4, "kernel_size": 3, "stride": 2},
        {"layer": "BatchNorm2d", "num_features": 4},
        {"layer": "ReLU"},
        {"layer": "Flatten"},
        {"layer": "Dropout", "p": 0.1},
        {"layer": "Linear", "in_features": 36, "out_features": 10},
    ]
)


@pytest.fixture(scope="module")
def few() -> data.TrainTest:
    """The first digits."""
    digits = data.load("digits")
    return digits._replace(
        x_train=digits.x_train[:80], t_train=digits.t_train[:80], x_test=digits.x_test[:30], t_test=digits.t_test[:30]
    )


@pytest.fixture(autouse=True)
def only_few(few: data.TrainTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """``nnlite train`` runs on a small network and a few digits."""
    monkeypatch.setattr(data, "load", lambda name, data_dir=None: few)
    monkeypatch.setattr(models, "digits", lambda: copy.deepcopy(SMALL))


def train(folder: Path, *arguments: str) -> dict[str, Any]:
    assert cli.main(["train", "--epochs", "2", "--batch-size", "16", "--out", str(folder), *arguments]) == 0
    return manifest_of(folder)


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return manifest


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, few: data.TrainTest) -> Path:
    """A run that no test changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda name, data_dir=None: few)
        patch.setattr(models, "digits", lambda: copy.deepcopy(SMALL))
        folder = tmp_path_factory.mktemp("runs") / "a"
        train(folder)
    return folder


def edited(finished: Path, folder: Path, edit: Edit) -> Path:
    """A copy of the run whose manifest was changed."""
    folder.mkdir()
    for path in finished.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    manifest = manifest_of(folder)
    edit(manifest)
    with contextlib.suppress(Exception):  # the table of the edited epochs, so that it is not what is found first
        table = csv(manifest["epochs"])
        (folder / "history.csv").write_bytes(table)
        manifest["files"]["history.csv"] = hashlib.sha256(table).hexdigest()
    (folder / "run.json").write_text(json.dumps(manifest))
    return folder


def test_folder_says_everything(finished: Path, few: data.TrainTest) -> None:
    manifest = manifest_of(finished)
    assert manifest["kind"] == "train"
    assert manifest["status"] == "finished"
    assert manifest["nnlite"] == nl.__version__
    assert manifest["numerics"] == nl.NUMERICS
    assert manifest["command"][:3] == ["nnlite", "train", "--epochs"]
    assert manifest["seed"] == 0
    assert manifest["hyperparameters"]["optimizer"] == {
        "name": "Adam", "lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False,
    }  # fmt: skip
    assert manifest["data"]["name"] == "digits"
    assert manifest["data"]["sha256"] == {name: files.tensor_sha256(name, x) for name, x in few.arrays().items()}
    assert manifest["model"]["layers"] == SMALL
    assert manifest["platform"]["backend"] in available()
    assert [row["epoch"] for row in manifest["epochs"]] == [1, 2]
    last = manifest["epochs"][-1]
    assert set(last) == {
        "epoch", "loss", "train_accuracy", "test_loss", "test_accuracy", "weights_sha256", "tensors_sha256",
    }  # fmt: skip
    state = files.load(finished / "weights.safetensors")
    assert last["tensors_sha256"] == {name: files.tensor_sha256(name, state[name]) for name in state}
    assert list(last["tensors_sha256"])[:2] == ["0.weight", "0.bias"]
    assert last["weights_sha256"] == files.weights_sha256(state)
    for key in ("weights_sha256", "tensors_sha256", "test_accuracy"):
        assert manifest[key] == last[key]
    assert files.load_metadata(finished / "weights.safetensors") == {
        "run": manifest["id"], "weights_sha256": last["weights_sha256"],
    }  # fmt: skip
    assert manifest["files"] == {
        name: files.file_sha256(finished / name) for name in ("history.csv", "weights.safetensors")
    }
    nl.manual_seed(0)
    assert manifest["initial"]["weights_sha256"] == files.weights_sha256(models.build(SMALL).state_dict())
    assert manifest["generator"] == nl.random.get_state()
    table = (finished / "history.csv").read_text().splitlines()
    assert table[0] == "epoch,loss,train_accuracy,test_loss,test_accuracy,weights_sha256"
    assert table[2].split(",")[:2] == ["2", repr(last["loss"])]
    assert table[2].endswith(last["weights_sha256"])


def test_picture(finished: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    assert (finished / "history.png").read_bytes()[:4] == b"\x89PNG"
    assert matplotlib is not None
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_equal_runs_write_equal_weights(finished: Path, tmp_path: Path) -> None:
    train(tmp_path / "b")
    for name in ("weights.safetensors", "history.csv"):
        assert (tmp_path / "b" / name).read_bytes() == (finished / name).read_bytes()


def test_default_folder_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert cli.main(["train", "--epochs", "1"]) == 0
    today = datetime.date.today().isoformat()
    assert sorted(os.listdir("runs")) == [f"{today}-digits", f"{today}-digits-2"]


def test_old_run_is_not_overwritten(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    assert cli.main(["train", "--out", str(finished)]) == 2
    assert "already holds a run; choose another folder" in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in finished.iterdir()}


def test_replay_is_identical(backend: Any, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", str(finished), "--threads", "1"]) == 0
    assert capsys.readouterr().out.startswith("identical: epochs 2, weights " + manifest_of(finished)["weights_sha256"])


def test_replay_of_another_optimizer_and_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path / "b", "--optimizer", "momentum", "--lr", "0.05", "--seed", str(2**64 - 1))
    assert cli.main(["replay", str(tmp_path / "b")]) == 0
    assert "identical" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda m: m["epochs"][1]["tensors_sha256"].update({"1.running_var": "0" * 64}),
            "epoch 2: tensor 1.running_var differs: 0000",
        ),
        (lambda m: m["epochs"][0]["tensors_sha256"].pop("0.bias"), "epoch 1: tensor 0.bias differs: missing against"),
        (
            lambda m: m["epochs"][0]["tensors_sha256"].update(extra="0" * 64),
            "epoch 1: tensor extra differs: 0000000000000000… against missing",
        ),
        (lambda m: m["epochs"][0].update(weights_sha256="0" * 64), "epoch 1: weights_sha256 differs"),
        (lambda m: m["epochs"][1].update(loss=0.5), "epoch 2: loss differs: 0.5 against"),
        (lambda m: m["epochs"][0].update(test_accuracy=1.0), "epoch 1: test_accuracy differs"),
        (lambda m: m["hyperparameters"]["optimizer"].update(lr=0.003), "epoch 1: tensor 0.weight differs"),
        (lambda m: m.update(seed=1), "initial weights: tensor 0.weight differs"),
        (lambda m: m["initial"]["tensors_sha256"].update({"0.bias": "0" * 64}), "initial weights: tensor 0.bias"),
        (lambda m: m.update(weights_sha256="0" * 64), "weights.safetensors: its metadata name another weights_sha256"),
        (lambda m: m.update(id="0" * 32), "weights.safetensors is of another run"),
        (lambda m: m.update(test_accuracy=1.0), "at the end, .*: test_accuracy differs"),
        (lambda m: m["tensors_sha256"].update({"0.bias": "0" * 64}), "weights.safetensors: 0.bias is not the tensor"),
    ],
)  # fmt: skip
def test_replay_names_the_first_difference(
    finished: Path, tmp_path: Path, edit: Edit, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["replay", str(edited(finished, tmp_path / "b", edit))]) == 1
    out = capsys.readouterr().out
    assert out.startswith("different: ")
    assert re.search(message, out), out


def drop(key: str) -> Edit:
    return lambda m: m.pop(key)


BAD_MANIFESTS: list[tuple[Edit, str]] = [
    (lambda m: m.update(numerics=2), "made with numerics version 2, but this nnlite has version 1"),
    (lambda m: m.update(numerics="1"), "numerics must be an integer, got '1'"),
    (lambda m: m.update(format=3), "its format is 3, but this nnlite reads formats 1 and 2"),
    (lambda m: m.update(kind="script"), "made by a script"),
    (lambda m: m.update(kind="eval"), "kind must be train or script"),
    (lambda m: m.update(seed=2**64), "seed must be between 0 and 18446744073709551615"),
    (lambda m: m.update(seed=None), "seed must be an integer, got None"),
    (lambda m: m.update(epochs=[]), "finished, but has 0 of 2 epochs"),
    (lambda m: m.update(epochs=[], status="running"), "no completed epoch"),
    (lambda m: m.update(epochs={}), "epochs must be a list of at most 2 epochs"),
    (lambda m: m.update(epochs=m["epochs"] * 2), "epochs must be a list of at most 2 epochs"),
    (lambda m: m["epochs"].reverse(), r"epochs\[0\]\.epoch must be 1, got 2"),
    (lambda m: m["epochs"][1].update(loss="0"), r"epochs\[1\]\.loss must be a number, got '0'"),
    (lambda m: m["epochs"][1].pop("loss"), r"epochs\[1\]\.loss is missing"),
    (lambda m: m["epochs"][1].update(weights_sha256="A" * 64), r"epochs\[1\]\.weights_sha256 must be a SHA-256"),
    (lambda m: m["epochs"][1].update(tensors_sha256=[]), r"epochs\[1\]\.tensors_sha256 must be an object"),
    (lambda m: m["epochs"][1]["tensors_sha256"].update(a=1), r"tensors_sha256\['a'\] must be a SHA-256"),
    (lambda m: m["data"].update(name="imagenet"), r"data\.name must be one of digits, mnist, fashion-mnist"),
    (lambda m: m["data"].update(name=["digits"]), r"data\.name must be one of"),
    (lambda m: m["data"]["sha256"].update(x_train="0" * 64), "made with other data: x_train has the SHA-256 000"),
    (lambda m: m["data"]["sha256"].pop("t_test"), "made with other data: t_test has the SHA-256 None"),
    (lambda m: m["model"].update(layers="nnlite.nn.Linear"), r"model\.layers must be a list"),
    (
        lambda m: m["model"]["layers"][0].update(layer="os.system"),
        r"layers\[0\]\.layer must be one of .*AdaptiveAvgPool2d",
    ),
    (lambda m: m["model"]["layers"][0].update(out_channels=1 << 20), "x has 1048576 channels but weight has 4"),
    (
        lambda m: m["model"]["layers"][5].update(in_features=37),
        r"model\.layers\[5\] \(Linear\): linear_forward: x has 36 features but weight expects 37",
    ),
    (lambda m: m["hyperparameters"].update(epochs=10**9), r"hyperparameters\.epochs must be between 1 and 100000"),
    (lambda m: m["hyperparameters"].update(epochs=3), "finished, but has 2 of 3 epochs"),
    (lambda m: m["hyperparameters"].update(batch_size=0), r"hyperparameters\.batch_size must be between 1"),
    (lambda m: m["hyperparameters"].update(batch_size=16.0), r"hyperparameters\.batch_size must be an integer"),
    (lambda m: m["hyperparameters"].update(loss="eval"), r"hyperparameters\.loss must be CrossEntropyLoss"),
    (lambda m: m["hyperparameters"].update(optimizer="Adam"), r"hyperparameters\.optimizer must be an object"),
    (lambda m: m["hyperparameters"]["optimizer"].update(name="Newton"), r"optimizer\.name must be one of .*SGD"),
    (
        lambda m: m["hyperparameters"]["optimizer"].update(lr="0.1"),
        r"lr must be a number, a flag or a pair, got '0\.1'",
    ),
    *[(drop(key), f"{key} is missing") for key in ("numerics", "seed", "data", "model", "hyperparameters", "epochs")],
]


@pytest.mark.parametrize(("edit", "message"), BAD_MANIFESTS)
def test_replay_refuses_before_training(
    finished: Path,
    tmp_path: Path,
    edit: Edit,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Trainer, "run", None)
    assert cli.main(["replay", str(edited(finished, tmp_path / "b", edit))]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(message, captured.err), captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"[]", "the manifest must be an object"),
        (b"\xff\xfe", "decode"),
        (b'{"format": NaN}', "NaN is not a number of JSON"),
        (b"[" * 100_000, "not a manifest"),
        (b'{"format": 1' + b"0" * 5000 + b"}", "not a manifest"),
    ],
)
def test_broken_manifest(
    finished: Path, tmp_path: Path, text: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = edited(finished, tmp_path / "b", lambda m: None)
    (folder / "run.json").write_bytes(text)
    for command in (["replay", str(folder)], ["diff", str(finished), str(folder)]):
        assert cli.main(command) == 2
        assert message in capsys.readouterr().err


def test_missing_and_damaged_files(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", str(tmp_path / "nothing")]) == 2
    assert "run.json: No such file" in capsys.readouterr().err
    folder = edited(finished, tmp_path / "b", lambda m: None)
    weights = folder / "weights.safetensors"
    raw = weights.read_bytes()
    for command in (["replay", str(folder)], ["verify", str(folder)], ["diff", str(finished), str(folder)]):
        for name, content in (
            ("weights.safetensors", raw[:-1]),
            ("weights.safetensors", raw[:-1] + bytes((raw[-1] ^ 1,))),
            ("weights.safetensors", None),
            ("history.csv", b"edited"),
        ):
            path = folder / name
            before = path.read_bytes()
            path.write_bytes(content) if content is not None else path.unlink()
            assert cli.main(command) == 1
            why = "is missing" if content is None else "is not the file that run.json names"
            assert f"{name} {why}" in capsys.readouterr().out
            path.write_bytes(before)
    assert cli.main(["verify", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("verified: history.csv, weights.safetensors")
    assert ("history.png" in out) == (folder / "history.png").exists()


def signed(folder: Path) -> None:
    """Make the manifest's hashes of the files those of the files."""
    manifest = manifest_of(folder)
    manifest["files"] = {name: files.file_sha256(folder / name) for name in manifest["files"]}
    (folder / "run.json").write_text(json.dumps(manifest))


def test_exactly_the_tensors_of_the_run(finished: Path, tmp_path: Path) -> None:
    folder = edited(finished, tmp_path / "b", lambda m: None)
    path = folder / "weights.safetensors"
    state, metadata = files.load(path), files.load_metadata(path)
    for changed, message in (
        ({**state, "more": state["0.bias"]}, "the run has no tensor more"),
        ({k: x for k, x in state.items() if k != "0.bias"}, r"0\.bias is not the tensor that run\.json names"),
        ({**state, "0.bias": state["0.bias"] + 1}, r"0\.bias is not the tensor"),
    ):
        nl.save(changed, path, metadata)
        signed(folder)
        with pytest.raises(runs.DifferenceError, match=message):
            runs.verify(folder)
    nl.save(state, path, {**metadata, "run": "another"})
    signed(folder)
    with pytest.raises(runs.DifferenceError, match="is of another run"):
        runs.verify(folder)


def test_a_running_run_is_checked_like_any_other(finished: Path, tmp_path: Path) -> None:
    folder = edited(finished, tmp_path / "b", lambda m: m.update(status="running"))
    runs.verify(folder)
    path = folder / "weights.safetensors"
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes((raw[-1] ^ 1,)))
    with pytest.raises(runs.DifferenceError, match="is not the file"):
        runs.verify(folder)


def test_files_that_are_no_files(finished: Path, tmp_path: Path) -> None:
    folder = edited(finished, tmp_path / "b", lambda m: None)
    (folder / "run.json").unlink()
    os.mkfifo(folder / "run.json")
    with pytest.raises(runs.CannotCompareError, match="no regular file"):
        runs.read_manifest(folder)
    other = edited(finished, tmp_path / "c", lambda m: None)
    (other / "weights.safetensors").unlink()
    os.mkfifo(other / "weights.safetensors")
    with pytest.raises(runs.CannotCompareError, match="no regular file"):
        runs.verify(other)


def test_from_a_folder_to_predictions(finished: Path, few: data.TrainTest, tmp_path: Path) -> None:
    run = nl.load_run(finished)
    y = run.predict(few.x_test)
    assert y.shape == (30, 10)
    assert (y.argmax(1) == few.t_test).mean() == manifest_of(finished)["test_accuracy"]
    script = edited(finished, tmp_path / "s", lambda m: m.update(kind="script"))
    with pytest.raises(runs.CannotCompareError, match=r"write nl\.load_run\(folder, model=Net\(\)\)"):
        nl.load_run(script)
    assert_same_bits(nl.load_run(script, models.build(SMALL)).predict(few.x_test), y)


@pytest.mark.parametrize("number", [1])
def test_runs_of_earlier_formats_still_load(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the whole digits
    folder = tmp_path / "old"
    shutil.copytree(Path(__file__).parent / "formats" / f"run-{number}", folder)
    assert runs.read_manifest(folder)["format"] == number
    assert runs.replay(folder, progress=False).startswith("identical: epochs 2, weights 431b825749db")
    assert runs.diff(folder, folder) == []
    assert nl.load_run(folder).predict(np.zeros((1, 1, 8, 8), np.float32)).shape == (1, 10)
    raw = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(raw[:-1] + bytes((raw[-1] ^ 1,)))
    with pytest.raises(runs.DifferenceError, match="is not the tensor that run"):
        runs.verify(folder)
    (folder / "weights.safetensors").write_bytes(raw)
    (folder / "history.csv").write_text("edited")
    with pytest.raises(runs.DifferenceError, match=r"history\.csv"):
        runs.verify(folder)


def test_two_runs_into_one_folder(tmp_path: Path) -> None:
    nl.manual_seed(0)
    model = models.build(SMALL)
    recipe = runs.Recipe(SMALL, models.check_optimizer({"name": "SGD"}), 1, 16, 0)
    first = runs.start_train(tmp_path / "r", [], data.load("digits"), recipe, model)
    (tmp_path / "r/run.json").unlink()  # as it is before the first has written it
    with pytest.raises(FileExistsError, match="another process is writing a run"):
        runs.start_train(tmp_path / "r", [], data.load("digits"), recipe, model)
    first.at_end("failed: x", model, nl.optim.SGD(model.parameters()))
    with pytest.raises(FileExistsError, match="already holds a run"):
        runs.start_train(tmp_path / "r", [], data.load("digits"), recipe, model)


def test_failed_runs_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: nl.nn.Dropout, x: Any) -> Any:
        raise RuntimeError("mine")

    monkeypatch.setattr(nl.nn.Dropout, "forward", fail)
    with pytest.raises(RuntimeError, match="mine"):
        cli.main(["train", "--epochs", "1", "--out", str(tmp_path / "b")])
    status = manifest_of(tmp_path / "b")["status"]
    assert re.fullmatch(r"failed: RuntimeError: mine \(test_runs\.py:\d+\)", status)
    runs.verify(tmp_path / "b")


def test_replay_without_the_data(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str, data_dir: object = None) -> data.TrainTest:
        raise data.DataError(f"{name}: put the files into {data_dir}")

    monkeypatch.setattr(data, "load", missing)
    assert cli.main(["replay", str(finished), "--data-dir", "/there"]) == 2
    assert capsys.readouterr().err == "nnlite replay: digits: put the files into /there\n"


def test_unfinished_run_is_compared_as_far_as_it_went(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def cut(manifest: dict[str, Any]) -> None:
        manifest["epochs"].pop()
        manifest["status"] = "running"
        manifest["pending"] = {name: files.file_sha256(finished / name) for name in manifest["files"]}

    folder = edited(finished, tmp_path / "b", cut)
    assert cli.main(["replay", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("identical: epochs 1 (the run did not finish: running), weights ")


def test_diff(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path / "same", "--threads", "1")
    train(tmp_path / "lr", "--lr", "0.01")
    train(tmp_path / "long", "--epochs", "3")
    other = edited(finished, tmp_path / "data", lambda m: m["data"]["sha256"].update(t_train="0" * 64))
    capsys.readouterr()
    assert cli.main(["diff", str(finished), str(tmp_path / "same")]) == 0
    assert capsys.readouterr().out == "identical\n"
    assert cli.main(["diff", str(finished), str(tmp_path / "lr")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "hyperparameter hyperparameters.optimizer.lr: 0.001 against 0.01"
    assert lines[1].startswith("epoch 1: tensor 0.weight differs: ")
    assert re.fullmatch(r"weights: greatest difference \S+, at \S+\[.*\], \S+ against \S+", lines[2])
    assert cli.main(["diff", str(finished), str(tmp_path / "long")]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "hyperparameter hyperparameters.epochs: 2 against 3",
        "epochs: 2 against 3; those that both have are identical",
        *runs.diff(finished, tmp_path / "long")[2:],
    ]
    train(tmp_path / "seed", "--seed", "1", "--lr", "0.01")
    assert [line.split(":")[0] for line in runs.diff(finished, tmp_path / "seed")] == [
        "hyperparameter seed",
        "hyperparameter hyperparameters.optimizer.lr",
        "hyperparameter generator.seed",
        "initial weights differ",
        "epoch 1",
        "weights",
    ]
    capsys.readouterr()
    assert cli.main(["diff", str(finished), str(other)]) == 1
    assert capsys.readouterr().out.startswith("data t_train: ")
    assert cli.main(["diff", str(finished), str(tmp_path)]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_interrupted_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forward, passes = nl.nn.Dropout.forward, []

    def interrupting(self: nl.nn.Dropout, x: nl.Tensor) -> nl.Tensor:
        passes.append(self.training)
        if passes.count(True) == 8:  # the second epoch's third step
            signal.raise_signal(signal.SIGINT)
        return forward(self, x)

    monkeypatch.setattr(nl.nn.Dropout, "forward", interrupting)
    arguments = ["train", "--epochs", "3", "--batch-size", "16", "--out", str(tmp_path / "b")]
    assert cli.main(arguments) == 130
    assert "before the interrupted step are in" in capsys.readouterr().err
    manifest = manifest_of(tmp_path / "b")
    assert manifest["status"] == "interrupted"
    assert len(manifest["epochs"]) == 1
    assert manifest["generator_at_end"] == {"seed": 0, "draws": [0, 2, 7, 0, 0]}
    state = files.load(tmp_path / "b/weights.safetensors")
    assert manifest["weights_sha256"] == files.weights_sha256(state) != manifest["epochs"][0]["weights_sha256"]
    assert state["1.num_batches_tracked"] == 7
    model = models.build(SMALL)
    optimizer = nl.optim.Adam(model.parameters())
    saved = nl.load_checkpoint(tmp_path / "b/checkpoint.safetensors", model, optimizer)
    assert saved == {"generator": manifest["generator_at_end"], "epochs": 1}
    assert files.weights_sha256(model.state_dict()) == manifest["weights_sha256"]
    assert optimizer.state[model[0].weight]["step"] == 7
    runs.verify(tmp_path / "b")
    monkeypatch.undo()


def test_kill_at_any_moment_leaves_whole_files(tmp_path: Path) -> None:
    program = (
        "import sys, itertools, numpy as np\n"
        "from pathlib import Path\n"
        "from nnlite import files\n"
        "folder = Path(sys.argv[1])\n"
        "for i in itertools.count():\n"
        "    files.save({'a': np.full(200_000, i, np.float64)}, folder / 'weights.safetensors')\n"
        "    files.write_file(folder / 'run.json', str(i).encode() * 50_000)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for delay in (0.0, 0.011, 0.037):
        with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env=environment) as process:
            while not (tmp_path / "run.json").exists():
                time.sleep(0.005)
            time.sleep(delay)
            process.kill()
        text = (tmp_path / "run.json").read_text()
        number = text[: len(text) // 50_000]
        assert text == number * 50_000
        a = files.load(tmp_path / "weights.safetensors")["a"]
        assert len(a) == 200_000
        assert (a == a[0]).all()
        (tmp_path / "run.json").unlink()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_loss_ends_train_with_a_sentence(
    value: float,
    tmp_path: Path,
    few: data.TrainTest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = few._replace(x_train=np.full_like(few.x_train, value))
    monkeypatch.setattr(data, "load", lambda name, data_dir=None: bad)
    assert cli.main(["train", "--out", str(tmp_path / "b")]) == 1
    assert "nnlite train: the loss is nan in epoch 1, step 1; " in capsys.readouterr().err
    manifest = manifest_of(tmp_path / "b")
    assert manifest["status"].startswith("stopped: the loss is nan")
    assert manifest["epochs"] == []
    assert cli.main(["replay", str(tmp_path / "b")]) == 2


def test_manifest_limits(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.manifest, "_LARGEST_MANIFEST", 100)
    with pytest.raises(runs.CannotCompareError, match="larger than 100 bytes"):
        runs.read_manifest(finished)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_commit_and_changes_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ("git", "-C", str(tmp_path), *identity, *arguments), check=True, capture_output=True, text=True
        ).stdout

    script = tmp_path / "learn.py"
    script.write_text("first = 1\n")
    git("init", "-q")
    git("add", "learn.py")
    git("commit", "-q", "-m", "first")
    script.write_text("second = 2\n")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
    (tmp_path / "run").mkdir()
    (tmp_path / "new.py").write_text("")
    git("config", "diff.external", "false")
    git("config", "color.ui", "always")
    code, copies = record_code(tmp_path / "run")
    assert code["script"] == "learn.py"
    assert all(name.startswith("_outside/") for name in code["modules"])  # the modules of this test
    assert code["git"] == {"commit": git("rev-parse", "HEAD").strip(), "diff": "git.diff", "untracked": ["new.py"]}
    assert {"code/git.diff", "code/learn.py"} <= set(copies)
    assert "\n+second = 2\n" in (tmp_path / "run/code/git.diff").read_text()
    assert (tmp_path / "run/code/learn.py").read_text() == "second = 2\n"
    script.write_text("first = 1\n")
    assert record_code(tmp_path / "run")[0]["git"]["diff"] is None


PROGRAM = """
import sys
sys.path[:0] = ["../lib", ".."]
import numpy as np, nnlite as nl
import beside, above
nl.manual_seed({seed})
model = nl.nn.Linear(3, 2)
fit = nl.Trainer(model, nl.nn.CrossEntropyLoss(), nl.optim.SGD(model.parameters()), progress=False)
fit.fit(np.ones((4, 3), np.float32), np.arange(4) % 2, seed=0, out="{out}")
"""


def run_program(folder: Path, arguments: list[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, input=text, check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
    )  # fmt: skip


def test_code_beside_and_above_is_recorded_and_compared(tmp_path: Path) -> None:
    work, lib = tmp_path / "work", tmp_path / "lib"
    work.mkdir()
    lib.mkdir()
    (lib / "beside.py").write_text("x = 1\n")
    (tmp_path / "above.py").write_text("y = 1\n")
    (work / "learn.py").write_text(PROGRAM.format(seed=1, out="a"))
    run_program(work, ["learn.py"])
    (lib / "beside.py").write_text("x = 2\n")
    (work / "learn.py").write_text(PROGRAM.format(seed=2, out="b"))
    run_program(work, ["learn.py"])
    manifest = manifest_of(work / "a")
    assert manifest["seed"] == 0
    assert manifest["generator"]["seed"] == 1
    assert manifest["code"]["outside"] == {
        "_outside/1/above.py": "../above.py", "_outside/1/lib/beside.py": "../lib/beside.py",
    }  # fmt: skip
    lines = runs.diff(work / "a", work / "b")
    assert "code differs: _outside/1/lib/beside.py line 1" in lines
    assert "code differs: learn.py line 6" in lines
    assert [line for line in lines if line.startswith("initial weights differ: tensor weight differs")]
    assert [line for line in lines if line == "hyperparameter generator.seed: 1 against 2"]
    (work / "a/code/learn.py").write_text("edited")
    with pytest.raises(runs.DifferenceError, match=r"code/learn\.py is not the file"):
        runs.verify(work / "a")
    (work / "b/code/more.py").write_text("added")
    with pytest.raises(runs.DifferenceError, match=r"code/more\.py does not belong to the run"):
        runs.verify(work / "b")


def test_programs_without_a_file(tmp_path: Path) -> None:
    for name in ("beside.py", "above.py"):
        (tmp_path / name).write_text("")
    program = PROGRAM.replace("[:0]", "[:0]").format(seed=1, out="c").replace('["../lib", ".."]', '["."]')
    run_program(tmp_path, ["-c", program])
    assert manifest_of(tmp_path / "c")["code"]["script"] == "_command.py"
    assert (tmp_path / "c/code/_command.py").read_text() == program
    found = run_program(tmp_path, ["-"], program.replace('out="c"', 'out="d"'))
    assert "the run folder has no copy of the program, which came from standard input" in found.stderr
    assert manifest_of(tmp_path / "d")["code"]["script"] is None


def test_no_manifest_breaks_replay_or_diff(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value in the manifest is replaced by values of other types: only the two exceptions may come out."""
    monkeypatch.setattr(runs.Recipe, "train", lambda *arguments: None)
    original = manifest_of(finished)

    def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        yield path
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                yield from places(value[key], (*path, key))

    folder = edited(finished, tmp_path / "b", lambda m: None)
    for path in places(original):
        for strange in (None, True, -1, 10**30, 1.5, "x", [], {}, [None], {"layer": []}):
            manifest = copy.deepcopy(original)
            if path:
                inner = manifest
                for key in path[:-1]:
                    inner = inner[key]
                inner[path[-1]] = strange
            else:
                manifest = strange
            (folder / "run.json").write_text(json.dumps(manifest))
            for compare in (lambda: runs.replay(folder, progress=False), lambda: runs.diff(finished, folder)):
                with contextlib.suppress(runs.CannotCompareError, runs.DifferenceError):
                    compare()


def test_terminal_gets_no_control_characters(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = edited(
        finished, tmp_path / "b", lambda m: m["epochs"][0]["tensors_sha256"].update({"\x1b[2J\n": "0" * 64})
    )
    assert cli.main(["replay", str(folder)]) == 1
    assert capsys.readouterr().out.startswith("different: epoch 1: tensor \ufffd[2J\ufffd differs")
