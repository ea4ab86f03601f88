"""The command line in a process of its own: exit codes, usage errors, info, and the main job end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import nnlite as nl
from nnlite import backend as switch
from nnlite import cli, cuda
from nnlite.backend import available, names


def nnlite(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.run(
        [sys.executable, "-m", "nnlite", *arguments],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(available() == ["reference"], reason="the compiled modules are not installed")
def test_train_then_replay(tmp_path: Path) -> None:
    """The main job: accuracy on images that were never seen, and the same bits again on another backend."""
    trained = nnlite("train", "--out", "a", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    manifest = json.loads((tmp_path / "a/run.json").read_text())
    assert manifest["test_accuracy"] >= 0.97
    assert trained.stdout.splitlines()[-1] == "check it with: nnlite replay a"
    assert manifest["command"] == ["nnlite", "train", "--out", "a"]
    again = nnlite("replay", "a", "--threads", "1", cwd=tmp_path, NNLITE_BACKEND=available()[1])
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(
        f"identical: epochs 12, weights {manifest['weights_sha256']}, on {available()[1]}, threads: 1"
    )


@pytest.mark.skipif("NNLITE_DATA_DIR" not in os.environ, reason="NNLITE_DATA_DIR names no folder with the real files")
@pytest.mark.skipif(available() == ["reference"], reason="the compiled modules are not installed")
def test_mnist_in_two_epochs(tmp_path: Path) -> None:
    trained = nnlite(
        "train", "--data", "mnist", "--data-dir", os.environ["NNLITE_DATA_DIR"], "--out", "a", cwd=tmp_path
    )
    assert trained.returncode == 0, trained.stderr
    assert json.loads((tmp_path / "a/run.json").read_text())["test_accuracy"] >= 0.985


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["train", "--epochs", "0"], "argument --epochs: must be an integer from 1 to 100000, got '0'"),
        (["train", "--epochs", "many"], "argument --epochs: must be an integer from 1 to 100000, got 'many'"),
        (["train", "--batch-size", "-3"], "argument --batch-size: must be an integer from 1 to 1048576, got '-3'"),
        (["train", "--lr", "nan"], "argument --lr: must be a number from 1e-12 to 1e6, got 'nan'"),
        (["train", "--lr", "0"], "argument --lr: must be a number from 1e-12 to 1e6, got '0'"),
        (["train", "--optimizer", "lion"], "argument --optimizer: invalid choice: 'lion'"),
        (
            ["train", "--seed", "18446744073709551616"],
            "argument --seed: must be an integer from 0 to 18446744073709551615",
        ),
        (["train", "--threads", "0"], "argument --threads: must be an integer from 1 to 1024, got '0'"),
        (["train", "--data", "cifar"], "argument --data: invalid choice: 'cifar'"),
        (["train", "--device", "tpu"], "argument --device: must be cpu, cuda or cuda:N, got 'tpu'"),
        (["replay"], "required: RUN_FOLDER"),
        (["diff", "a"], "required: RUN_FOLDER"),
    ],
)
def test_usage_errors(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_refusals_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--device", "cuda"]) == 2
    assert capsys.readouterr().err == f"nnlite train: device 'cuda' cannot be used: {cuda.reason()}\n"
    assert cli.main(["train", "--data", "mnist", "--data-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("nnlite train: mnist: put train-images-idx3-ubyte.gz, train-labels")
    (tmp_path / "file").touch()
    assert cli.main(["train", "--out", "file/a"]) == 2
    assert capsys.readouterr().err.startswith("nnlite train: cannot write the run folder: ")
    assert os.listdir() == ["file"]


def test_wrong_backend_is_told(tmp_path: Path) -> None:
    for name, message in (("cuda", "unknown backend 'cuda'"), ("cpu_neon", "cannot run here")):
        if name not in available():
            refused = nnlite("train", cwd=tmp_path, NNLITE_BACKEND=name)
            assert refused.returncode == 2
            assert message in refused.stderr
            assert refused.stderr.count("\n") == 1
    told = nnlite("info", cwd=tmp_path, NNLITE_BACKEND="cuda")
    assert told.returncode == 0
    assert "none runs: " in told.stdout


def test_info(tmp_path: Path) -> None:
    name = available()[0]
    answer = nnlite("info", "--json", cwd=tmp_path, NNLITE_BACKEND=name, NNLITE_NUM_THREADS="3")
    facts: dict[str, Any] = json.loads(answer.stdout)
    assert answer.returncode == 0
    assert facts["nnlite"] == nl.__version__
    assert facts["numerics"] == nl.NUMERICS
    assert facts["backend"] == name
    assert facts["backend_reason"] == "NNLITE_BACKEND asks for it"
    assert list(facts["backends"]) == names()
    built = {path.name.split(".")[0] for path in Path(nl.__file__).parent.glob("_c*.so")}
    assert {f"_{module}" for module in facts["modules"]} == built
    assert [n for n, state in facts["backends"].items() if state["available"]] == available()
    assert all(state["available"] == (state["reason"] is None) for state in facts["backends"].values())
    assert facts["threads"]["count"] == 3
    assert facts["threads"]["reason"] == "NNLITE_NUM_THREADS asks for it"
    assert facts["cuda"] == {
        "available": cuda.is_available(),
        "reason": cuda.reason(),
        "devices": cuda.device_count(),
    }
    assert facts["cpu"]


def test_info_for_readers(capsys: pytest.CaptureFixture[str]) -> None:
    with switch("reference"):
        assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"nnlite {nl.__version__}, numerics version {nl.NUMERICS}\n")
    assert "  reference     runs: " in text
    assert "modules:  cpu_baseline" in text
    assert f"  cuda          {'can run' if cuda.is_available() else f'absent: {cuda.reason()}'}" in text
    assert all(f"  {name:<13} " in text for name in names())


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--version"], ["train", "--help"]):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        assert end.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith(f"nnlite {nl.__version__} usage: nnlite train")
    assert "adam 0.001" in out


def test_without_a_command_the_help_says_what_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    shown = capsys.readouterr().err
    assert "convolutional network" in shown
    assert "example: nnlite train --out runs/first" in shown


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["summary", "mnist", "--batch-size", "3"]) == 0
    assert "18,474" in capsys.readouterr().out.splitlines()[-1]


def test_names_that_a_terminal_cannot_say_and_closed_streams(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "nnlite", "train", "--epochs", "1", "--out"]
    done = subprocess.run(
        [*command, str(tmp_path / "数字")], env=environment, capture_output=True, text=True, check=True
    )
    assert "run folder " in done.stdout
    assert (tmp_path / "数字" / "run.json").exists()
    closed = 'exec "$@" >&- 2>&-'
    subprocess.run(["sh", "-c", closed, "sh", *command, str(tmp_path / "closed")], env=environment, check=True)
    assert (tmp_path / "closed" / "history.csv").exists()


def test_a_wrong_number_of_threads_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["nnlite.backend"], "_threads", None)
    monkeypatch.setenv("NNLITE_NUM_THREADS", "0")
    assert cli.main(["info"]) == 2
    assert capsys.readouterr().err == ("nnlite info: NNLITE_NUM_THREADS must be a number between 1 and 1024, got '0'\n")
