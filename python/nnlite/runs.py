"""Run folders: written after every epoch, trained again by :func:`replay`, compared by :func:`diff`.

A folder has ``run.json`` (the manifest: everything that is needed to do the run again, and what came out),
``weights.safetensors``, ``history.csv`` and, where matplotlib is installed, ``history.png``. Each file is replaced as a
whole, the manifest last.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from . import NUMERICS, __version__, data, files, info, models, nn, optim, random
from .arrays import is_array
from .models import ManifestError
from .trainer import History, Row, Trainer, Watcher, hashes

Manifest = dict[str, Any]

FORMAT = 1

_COLUMNS = ("epoch", "loss", "train_accuracy", "test_loss", "test_accuracy", "weights_sha256")
_LARGEST_MANIFEST = 1 << 26  # bytes
_MOST_EPOCHS = 100_000
_MOST_TENSORS = 10_000
_LARGEST_RECORD = 1 << 22  # bytes of one source file or of git's diff
_SHA256 = re.compile("[0-9a-f]{64}")


class CannotCompareError(RuntimeError):
    """A run cannot be compared; the message says why."""


class DifferenceError(Exception):
    """Two runs differ; the message names the first place."""


# -------------------------------------------------------------------------------------------------------------- writing


class Recipe(NamedTuple):
    """What it takes to do a run of ``nnlite train`` again."""

    layers: list[models.Layer]
    optimizer: dict[str, Any]
    epochs: int
    batch_size: int
    seed: int

    def train(self, dataset: data.Dataset, watcher: Watcher, progress: bool, device: str = "cpu") -> History:
        """Draw the weights, train on ``device``, and tell ``watcher``."""
        random.manual_seed(self.seed)
        model = models.build(self.layers).to(device)
        trainer = Trainer(
            model, nn.CrossEntropyLoss(), models.build_optimizer(self.optimizer, model), progress=progress
        )
        return trainer.run(
            dataset.x_train,
            dataset.t_train,
            (dataset.x_test, dataset.t_test),
            self.epochs,
            self.batch_size,
            self.seed,
            watcher,
        )


class Run(Watcher):
    """A run folder that is being written."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._history = History()
        self._start = time.monotonic()
        self._write_manifest()

    def after_epoch(self, row: Row, model: nn.Module) -> None:
        """Write weights, table and manifest."""
        self._history.append(row)
        self.manifest["epochs"].append(row)
        self._write_end(model, row)
        self._write("history.csv", _csv(self._history))
        self._write_manifest()

    def at_end(self, status: str, model: nn.Module, optimizer: optim.Optimizer) -> None:
        """Write the status; of an interrupted run also weights, optimizer state and generator as they are now."""
        self.manifest["status"] = status
        if status == "interrupted":
            self._write_end(model, hashes(model))
            _save_optimizer(optimizer, self.folder / "optimizer.safetensors")
            self.manifest["generator"] = random.get_state()
        self._write_manifest()
        if status == "finished":
            picture = _picture(self._history)
            if picture is not None:
                self._write("history.png", picture)

    def _write_end(self, model: nn.Module, row: Row) -> None:
        files.save(model.state_dict(), self.folder / "weights.safetensors")
        self.manifest["weights_sha256"] = row["weights_sha256"]
        self.manifest["tensors_sha256"] = row["tensors_sha256"]
        self.manifest["test_accuracy"] = row.get("test_accuracy")

    def _write_manifest(self) -> None:
        self.manifest["seconds"] = round(time.monotonic() - self._start, 3)
        self._write("run.json", json.dumps(self.manifest, indent=1, allow_nan=False).encode() + b"\n")

    def _write(self, name: str, content: bytes) -> None:
        files.write_file(self.folder / name, content)


def start_train(out: str | os.PathLike[str] | None, command: list[str], dataset: data.Dataset, recipe: Recipe) -> Run:
    """The folder of a run of ``nnlite train``: ``out``, or a new one under ``runs``."""
    hyperparameters = {
        "loss": "CrossEntropyLoss",
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "optimizer": recipe.optimizer,
    }
    manifest = _manifest("train", command, recipe.seed, hyperparameters)
    manifest["data"] = {"name": dataset.name, "sha256": _data_hashes(dataset.arrays())}
    manifest["model"] = {"name": dataset.name, "layers": recipe.layers}
    return Run(_new_folder(out, dataset.name), manifest)


def start_script(
    out: str | os.PathLike[str],
    trainer: Trainer,
    x: npt.NDArray[Any],
    t: npt.NDArray[Any],
    validation: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None,
    epochs: int,
    batch_size: int,
    seed: int | None,
) -> Run:
    """The folder of a :class:`Trainer`'s fit, with the calling script, its local modules, git's commit and diff."""
    hyperparameters = {
        "loss": _described(trainer.loss),
        "epochs": int(epochs),
        "batch_size": int(batch_size),
        "optimizer": {"name": type(trainer.optimizer).__name__, "description": _described(trainer.optimizer)},
    }
    manifest = _manifest("script", list(sys.orig_argv), seed, hyperparameters)
    arrays = {"x": x, "t": t}
    if validation is not None:
        arrays.update(x_validation=validation[0], t_validation=validation[1])
    manifest["data"] = {"name": None, "sha256": _data_hashes(arrays)}
    manifest["model"] = {"name": type(trainer.model).__name__, "layers": repr(trainer.model).splitlines()}
    folder = _new_folder(out, "")
    manifest["code"] = _record_code(folder)
    return Run(folder, manifest)


def _manifest(kind: str, command: list[str], seed: int | None, hyperparameters: dict[str, Any]) -> Manifest:
    return {
        "format": FORMAT,
        "kind": kind,
        "nnlite": __version__,
        "numerics": NUMERICS,
        "status": "running",
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": 0.0,
        "command": command,
        "seed": seed,
        "hyperparameters": hyperparameters,
        "data": {},
        "model": {},
        "platform": info.platform_facts(),
        "epochs": [],
        "weights_sha256": None,
        "tensors_sha256": {},
        "test_accuracy": None,
    }


def _new_folder(out: str | os.PathLike[str] | None, name: str) -> Path:
    """``out``, which must not have a run in it; else a new ``runs/<date>-<name>``, numbered from the second on."""
    if out is not None:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "run.json").exists():
            raise FileExistsError(f"{folder} already holds a run; choose another folder")
        return folder
    base = Path("runs", f"{datetime.date.today().isoformat()}-{name}")
    base.parent.mkdir(exist_ok=True)
    number = 1
    while True:
        folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


def _save_optimizer(optimizer: optim.Optimizer, path: Path) -> None:
    """Arrays as ``<parameter's index>.<name>``; numbers and settings in the metadata."""
    content = optimizer.state_dict()
    arrays: dict[str, npt.NDArray[Any]] = {}
    numbers: dict[str, Any] = {}
    for index, state in content["state"].items():
        for key, value in state.items():
            if is_array(value):
                arrays[f"{index}.{key}"] = value
            else:
                numbers[f"{index}.{key}"] = value
    files.save(arrays, path, {"numbers": numbers, "param_groups": content["param_groups"]})


def _data_hashes(arrays: dict[str, npt.NDArray[Any]]) -> dict[str, str]:
    return {name: files.tensor_sha256(name, array) for name, array in arrays.items()}


def _described(value: object) -> str:
    """``repr`` without memory addresses."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _csv(history: History) -> bytes:
    lines = [",".join(_COLUMNS)]
    lines += [",".join("" if row[column] is None else str(row[column]) for column in _COLUMNS) for row in history]
    return "\n".join(lines).encode() + b"\n"


def _picture(history: History) -> bytes | None:
    """Loss and accuracies as PNG; ``None`` without matplotlib. The user's pyplot state is not touched."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    import io

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [row["epoch"] for row in history]
    panels: dict[str, dict[str, Sequence[float | None]]] = {
        "loss": {"training": history.loss, "test": history.test_loss},
        "accuracy": {"training": history.train_accuracy, "test": history.test_accuracy},
    }
    for axes, (title, curves) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for label, values in curves.items():
            if None not in values:
                axes.plot(epochs, values, marker=".", label=label)
        axes.set(title=title, xlabel="epoch")
        if axes.lines:
            axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _record_code(folder: Path) -> dict[str, Any]:
    """Copy the calling script, the modules beside it and git's diff into ``folder/code``."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)  # None in an interactive session
    root = Path(script).resolve().parent if script else Path.cwd()
    copies = folder / "code"
    copies.mkdir(exist_ok=True)
    names = set()
    for source in _local_sources(root):
        name = source.relative_to(root)
        (copies / name).parent.mkdir(parents=True, exist_ok=True)
        files.write_file(copies / name, source.read_bytes())
        names.add(name.as_posix())
    commit = _git(root, "rev-parse", "HEAD")
    patch = _git(root, "diff", "HEAD") if commit else None
    if patch:
        files.write_file(copies / "git.diff", patch)
    git = {"commit": commit.decode().strip(), "diff": "git.diff" if patch else None} if commit else None
    name_of_script = Path(script).name if script else None
    return {"script": name_of_script, "modules": sorted(names - {name_of_script}), "git": git}


def _local_sources(root: Path) -> Iterator[Path]:
    """Source files of the loaded modules that lie below ``root``, without nnlite's own and installed ones."""
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if not path or name.partition(".")[0] == "nnlite":
            continue
        source = Path(path).resolve()
        if (
            source.suffix in (".py", "")
            and source.is_relative_to(root)
            and not {"site-packages", "dist-packages"} & set(source.parts)
            and not source.is_relative_to(sys.prefix)
            and source.is_file()
            and source.stat().st_size <= _LARGEST_RECORD
        ):
            yield source


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What git answers; ``None`` without git, outside a repository, or if the answer is too long."""
    try:
        answer = subprocess.run(
            ("git", "-C", str(folder), *arguments), capture_output=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return answer if len(answer) <= _LARGEST_RECORD else None


# -------------------------------------------------------------------------------------------------------------- reading


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """The manifest of a run folder, with the type of everything that is used later checked.

    Raises:
        CannotCompareError: it is missing, or no manifest of this format.
    """
    path = Path(folder) / "run.json"
    try:
        if path.stat().st_size > _LARGEST_MANIFEST:
            raise ManifestError(f"it is larger than {_LARGEST_MANIFEST} bytes")
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        _check_manifest(value)
    except OSError as error:
        raise CannotCompareError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # broken JSON or UTF-8 and ManifestError are ValueErrors
        raise CannotCompareError(f"{path} is not a manifest that nnlite can use: {error}") from error
    assert isinstance(value, dict)
    return value


def _refuse_constant(name: str) -> None:
    raise ManifestError(f"{name} is not a number of JSON")


def _check_manifest(value: object) -> None:
    manifest = _object(value, "the manifest")
    if _integer(_get(manifest, "format", ""), "format", 0, 1 << 31) != FORMAT:
        raise ManifestError(f"its format is {manifest['format']}, but this nnlite reads format {FORMAT}")
    if _get(manifest, "kind", "") not in ("train", "script"):
        raise ManifestError("kind must be train or script")
    for key in ("nnlite", "status"):
        _text(_get(manifest, key, ""), key)
    _integer(_get(manifest, "numerics", ""), "numerics", 0, 1 << 31)
    if _get(manifest, "seed", "") is not None or manifest["kind"] == "train":
        _integer(manifest["seed"], "seed", 0, 2**64 - 1)
    _check_sha256s(_get(_object(_get(manifest, "data", ""), "data"), "sha256", "data."), "data.sha256")
    _get(_object(_get(manifest, "model", ""), "model"), "layers", "model.")
    hyperparameters = _object(_get(manifest, "hyperparameters", ""), "hyperparameters")
    planned = _integer(_get(hyperparameters, "epochs", "hyperparameters."), "hyperparameters.epochs", 1, _MOST_EPOCHS)
    epochs = _get(manifest, "epochs", "")
    if not isinstance(epochs, list) or len(epochs) > planned:
        raise ManifestError(f"epochs must be a list of at most {planned} epochs")
    if manifest["status"] == "finished" and len(epochs) != planned:
        raise ManifestError(f"the run is finished, but has {len(epochs)} of {planned} epochs")
    for i, epoch in enumerate(epochs):
        _check_epoch(epoch, i)
    if epochs:
        _sha256(_get(manifest, "weights_sha256", ""), "weights_sha256")
        _check_sha256s(_get(manifest, "tensors_sha256", ""), "tensors_sha256")
        _number_or_none(_get(manifest, "test_accuracy", ""), "test_accuracy")


def _check_epoch(value: object, i: int) -> None:
    where = f"epochs[{i}]"
    epoch = _object(value, where)
    number = _integer(_get(epoch, "epoch", where + "."), f"{where}.epoch", 1, _MOST_EPOCHS)
    if number != i + 1:
        raise ManifestError(f"{where}.epoch must be {i + 1}, got {number}")
    for key in ("loss", "train_accuracy", "test_loss", "test_accuracy"):
        _number_or_none(_get(epoch, key, where + "."), f"{where}.{key}")
    _sha256(_get(epoch, "weights_sha256", where + "."), f"{where}.weights_sha256")
    _check_sha256s(_get(epoch, "tensors_sha256", where + "."), f"{where}.tensors_sha256")


def _get(value: dict[str, Any], key: str, where: str) -> Any:
    if key not in value:
        raise ManifestError(f"{where}{key} is missing")
    return value[key]


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ManifestError(f"{where} must be an object")
    return value


def _integer(value: object, where: str, low: int, high: int) -> int:
    checked: int = models.Integer(low, high).check(value, where)
    return checked


def _text(value: object, where: str) -> None:
    if not isinstance(value, str) or len(value) > 1000:
        raise ManifestError(f"{where} must be a text of at most 1000 characters")


def _number_or_none(value: object, where: str) -> None:
    if value is not None:
        models.Number(-math.inf, math.inf).check(value, where)


def _sha256(value: object, where: str) -> None:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ManifestError(f"{where} must be a SHA-256 of 64 hexadecimal digits")


def _check_sha256s(value: object, where: str) -> None:
    entries = _object(value, where)
    if len(entries) > _MOST_TENSORS:
        raise ManifestError(f"{where} must have at most {_MOST_TENSORS} entries")
    for name, sha256 in entries.items():
        _sha256(sha256, f"{where}[{name!r}]")


# --------------------------------------------------------------------------------------------------------------- replay


def replay(
    folder: str | os.PathLike[str], data_dir: str | None = None, progress: bool = True, device: str = "cpu"
) -> str:
    """Train a run again from its manifest, on ``device``, and compare each epoch.

    Returns:
        a sentence that begins with ``identical``.

    Raises:
        CannotCompareError: before any training: the manifest, the data, the version of the numerics or a file does not
            allow it.
        DifferenceError: names the first epoch and tensor that differ.
    """
    manifest = read_manifest(folder)
    dataset, recipe = _comparable(manifest, data_dir)
    _compare_weights_file(Path(folder), manifest)
    try:
        recipe.train(dataset, _Comparison(manifest["epochs"]), progress, device)
    except FloatingPointError as error:
        raise DifferenceError(str(error)) from error
    if manifest["status"] == "finished":
        different = _first_difference(manifest, manifest["epochs"][-1], ("test_accuracy",))
        if different:
            raise DifferenceError(f"at the end, run.json contradicts its last epoch: {different}")
    facts = info.platform_facts()
    ending = "" if manifest["status"] == "finished" else f" (the run did not finish: {manifest['status']})"
    weights = manifest["epochs"][-1]["weights_sha256"]
    where = device if device != "cpu" else f"{facts['backend']}, threads: {facts['threads']}"
    return f"identical: epochs {recipe.epochs}{ending}, weights {weights}, on {where}"


def _comparable(manifest: Manifest, data_dir: str | None) -> tuple[data.Dataset, Recipe]:
    """The data and the recipe of a manifest, if they can give the same bits here."""
    if manifest["kind"] != "train":
        raise CannotCompareError(
            "this run was made by a script, not by nnlite train; run the script again and use nnlite diff"
        )
    if manifest["numerics"] != NUMERICS:
        raise CannotCompareError(
            f"the run was made with numerics version {manifest['numerics']}, but this nnlite has version {NUMERICS}"
        )
    if not manifest["epochs"]:
        raise CannotCompareError("the run has no completed epoch to compare with")
    name = manifest["data"].get("name")
    if name not in data.NAMES:
        raise CannotCompareError(f"run.json: data.name must be one of {', '.join(data.NAMES)}")
    hyperparameters = manifest["hyperparameters"]
    try:
        if hyperparameters.get("loss") != "CrossEntropyLoss":
            raise ManifestError("hyperparameters.loss must be CrossEntropyLoss")
        recipe = Recipe(
            models.check_layers(manifest["model"]["layers"], "model.layers"),
            models.check_optimizer(hyperparameters.get("optimizer"), "hyperparameters.optimizer"),
            len(manifest["epochs"]),
            _integer(hyperparameters.get("batch_size"), "hyperparameters.batch_size", 1, 1 << 20),
            manifest["seed"],
        )
    except ManifestError as error:
        raise CannotCompareError(f"run.json: {error}") from error
    try:
        dataset = data.load(name, data_dir)
    except data.DataError as error:
        raise CannotCompareError(str(error)) from error
    here, there = _data_hashes(dataset.arrays()), manifest["data"]["sha256"]
    for key in sorted(here.keys() | there.keys()):
        if here.get(key) != there.get(key):
            raise CannotCompareError(
                f"the run was made with other data: {key} has the SHA-256 {there.get(key)}, but here {here.get(key)}"
            )
    try:
        models.check_shapes(recipe.layers, dataset.x_train.shape[1:], dataset.classes)
    except ManifestError as error:
        raise CannotCompareError(f"run.json: model.{error}") from error
    return dataset, recipe


def _compare_weights_file(folder: Path, manifest: Manifest) -> None:
    path = folder / "weights.safetensors"
    try:
        state = files.load(path)
    except OSError as error:
        raise CannotCompareError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise CannotCompareError(f"{path} is not a weights file: {error}") from error
    if manifest["status"] == "running":
        return  # killed; the file may be one epoch ahead of the manifest
    for name, sha256 in manifest["tensors_sha256"].items():
        if name not in state or files.tensor_sha256(name, state[name]) != sha256:
            raise DifferenceError(f"weights.safetensors: {name} is not the tensor that run.json names")


class _Comparison(Watcher):
    def __init__(self, epochs: list[Row]) -> None:
        self._epochs = epochs

    def after_epoch(self, row: Row, model: nn.Module) -> None:
        different = _first_difference(self._epochs[row["epoch"] - 1], row)
        if different:
            raise DifferenceError(f"epoch {row['epoch']}: {different}")


def _first_difference(
    a: Row, b: Row, figures: tuple[str, ...] = ("loss", "train_accuracy", "test_loss", "test_accuracy")
) -> str | None:
    """The first tensor that differs between two epochs, in the order of ``b``; or else the first figure."""
    there, here = a["tensors_sha256"], b["tensors_sha256"]
    for name in [*here, *(name for name in there if name not in here)]:
        if there.get(name) != here.get(name):
            return f"tensor {name} differs: {_short(there.get(name))} against {_short(here.get(name))}"
    for key in ("weights_sha256", *figures):
        if a[key] != b[key]:
            return f"{key} differs: {a[key]} against {b[key]}"
    return None


def _short(sha256: str | None) -> str:
    return "missing" if sha256 is None else sha256[:16] + "…"


# ----------------------------------------------------------------------------------------------------------------- diff


def diff(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> list[str]:
    """A line for each of hyperparameters, data and epochs: the first that differs; empty if two runs are identical.

    Raises:
        CannotCompareError: one of the manifests is missing or broken.
    """
    left, right = read_manifest(a), read_manifest(b)
    lines = []
    settings = [
        {key: manifest[key] for key in ("numerics", "seed", "hyperparameters", "model")} for manifest in (left, right)
    ]
    for kind, (there, here) in (
        ("hyperparameter", settings),
        ("data", (left["data"]["sha256"], right["data"]["sha256"])),
    ):
        one, two = dict(_leaves(there)), dict(_leaves(here))
        for key in [*one, *(key for key in two if key not in one)]:
            if one.get(key) != two.get(key):
                lines.append(f"{kind} {key}: {one.get(key, 'missing')} against {two.get(key, 'missing')}")
                break
    for one, two in zip(left["epochs"], right["epochs"], strict=False):
        different = _first_difference(one, two)
        if different:
            lines.append(f"epoch {one['epoch']}: {different}")
            break
    else:
        if len(left["epochs"]) != len(right["epochs"]):
            lines.append(
                f"epochs: {len(left['epochs'])} against {len(right['epochs'])}; those that both have are identical"
            )
    return lines


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of the leaves of nested objects and lists: ``optimizer.lr``, ``model.layers[0].kernel_size``."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(inner, f"{prefix}[{i}]")
    else:
        yield prefix, value
