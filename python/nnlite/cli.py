"""The command line: ``nnlite train``, ``replay``, ``verify``, ``diff``, ``summary`` and ``info``.

Exit codes: 0 done (``replay``, ``verify``, ``diff``: identical); 1 failed (those: they differ); 2 wrong
usage, missing data, or nothing that could be compared; 130 ended by Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

# Of `--optimizer`: the class, its settings besides the defaults, and the learning rate.
_OPTIMIZERS: dict[str, tuple[str, dict[str, Any], float]] = {
    "sgd": ("SGD", {}, 0.1),
    "momentum": ("SGD", {"momentum": 0.9}, 0.02),
    "adam": ("Adam", {}, 1e-3),
    "adamw": ("AdamW", {}, 1e-3),
}
_EPOCHS = {"digits": 12, "mnist": 2, "fashion-mnist": 2}
_BATCH_SIZES = {"digits": 32, "mnist": 64, "fashion-mnist": 64}


class _RefusalError(Exception):
    """Something that the user asked for is impossible; the message is one sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _open_streams()
    options = _parser().parse_args(arguments, argparse.Namespace(arguments=arguments))
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        _set_threads(options)
        return command(options)
    except _RefusalError as error:
        print(f"nnlite {options.command}: {_printable(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 1
    except (FloatingPointError, OSError, MemoryError) as error:
        print(f"nnlite {options.command}: {error or type(error).__name__}", file=sys.stderr)
        return 2 if options.command in ("replay", "verify", "diff") else 1
    except KeyboardInterrupt:
        print(f"nnlite {options.command}: interrupted", file=sys.stderr)
        return 130


def _train(options: argparse.Namespace) -> int:
    from . import data, models, runs

    name, settings, lr = _OPTIMIZERS[options.optimizer]
    optimizer = models.check_optimizer({"name": name, **settings, "lr": options.lr or lr})
    layers = models.digits() if options.data == "digits" else models.mnist()
    try:
        dataset = data.load(options.data, options.data_dir)
    except data.DataError as error:
        raise _RefusalError(str(error)) from error
    recipe = runs.Recipe(
        layers,
        optimizer,
        options.epochs or _EPOCHS[options.data],
        options.batch_size or _BATCH_SIZES[options.data],
        options.seed,
    )
    model = recipe.model()
    try:
        run = runs.start_train(options.out, ["nnlite", *options.arguments], dataset, recipe, model)
    except OSError as error:
        raise _RefusalError(f"cannot write the run folder: {error}") from error
    print(
        f"{dataset.name}: {len(dataset.x_train)} images for training, {len(dataset.x_test)} for testing; "
        f"run folder {run.folder}",
        flush=True,
    )
    try:
        history = recipe.train(model, dataset, run, progress=True, device=options.device)
    except KeyboardInterrupt:
        print(f"the weights as they were before the interrupted step are in {run.folder}", file=sys.stderr)
        raise
    print(f"test accuracy {history.test_accuracy[-1]:.2%}, weights {history.weights_sha256[-1]}")
    print(f"check it with: nnlite replay {run.folder}")
    return 0


def _replay(options: argparse.Namespace) -> int:
    from . import runs

    try:
        print(_printable(runs.replay(options.folder, options.data_dir, device=options.device)))
    except runs.CannotCompareError as error:
        raise _RefusalError(str(error)) from error
    except runs.DifferenceError as error:
        print(_printable(f"different: {error}"))
        return 1
    return 0


def _verify(options: argparse.Namespace) -> int:
    from . import runs

    try:
        verified = runs.verify(options.folder)
    except runs.CannotCompareError as error:
        raise _RefusalError(str(error)) from error
    except runs.DifferenceError as error:
        print(_printable(f"different: {error}"))
        return 1
    rest = f"; not covered: {', '.join(verified.not_covered)}" if verified.not_covered else ""
    print(_printable(f"verified: {', '.join(verified.files) or 'no files'}{rest}"))
    return 0


def _summary(options: argparse.Namespace) -> int:
    from . import models
    from .model_summary import summary

    layers = models.NETWORKS[options.model]()
    size = {"digits": 8, "mnist": 28}[options.model]
    print(summary(models.build(layers), (options.batch_size, 1, size, size)))
    return 0


def _diff(options: argparse.Namespace) -> int:
    from . import runs

    try:
        lines = runs.diff(*options.folders)
    except runs.CannotCompareError as error:
        raise _RefusalError(str(error)) from error
    print("\n".join(_printable(line) for line in lines) if lines else "identical")
    return 1 if lines else 0


def _info(options: argparse.Namespace) -> int:
    from . import info

    facts = info.collect()
    print(json.dumps(facts, indent=2) if options.json else info.text(facts))
    return 0


def _parser() -> argparse.ArgumentParser:
    from . import __version__

    parser = argparse.ArgumentParser(
        prog="nnlite",
        description=(
            "Neural networks with specified arithmetic: train, and check that every bit is the same. `nnlite train` "
            "trains a convolutional network (two convolutions with batch normalisation and pooling, one linear "
            "layer) on handwritten digits and writes a run folder, which `nnlite replay` trains again and compares."
        ),
        epilog="example: nnlite train --out runs/first && nnlite replay runs/first --threads 1",
    )
    parser.add_argument("--version", action="version", version=f"nnlite {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    parser.set_defaults(run=lambda options: _help(parser))
    data_help = (
        "folder that has the four .gz files of --data, or a folder mnist or fashion-mnist with them "
        "(default: $NNLITE_DATA_DIR, else download)"
    )
    threads_help = (
        "threads to use (default: $NNLITE_NUM_THREADS, else the CPUs of this process); never changes a result"
    )
    device_help = "cpu, cuda or cuda:N, the GPU of that number; never changes a result (default: %(default)s)"

    train = commands.add_parser("train", help="train a small convolutional network on handwritten digits")
    train.add_argument(
        "--data",
        choices=tuple(_EPOCHS),
        default="digits",
        help="data set (default: %(default)s, which come with scikit-learn)",
    )
    train.add_argument("--data-dir", metavar="DIR", help=data_help)
    train.add_argument(
        "--epochs",
        type=_integer(1, 100_000),
        metavar="N",
        help="passes over the training data (default: 12; mnist and fashion-mnist: 2)",
    )
    train.add_argument(
        "--batch-size",
        type=_integer(1, 1 << 20),
        metavar="N",
        help="images per step (default: 32; mnist and fashion-mnist: 64)",
    )
    train.add_argument(
        "--lr",
        type=_learning_rate,
        metavar="X",
        help="learning rate (default: " + ", ".join(f"{k} {v[2]:g}" for k, v in _OPTIMIZERS.items()) + ")",
    )
    train.add_argument("--optimizer", choices=tuple(_OPTIMIZERS), default="adam", help="default: %(default)s")
    train.add_argument(
        "--seed",
        type=_integer(0, 2**64 - 1),
        default=0,
        metavar="N",
        help="seed of initialisation and shuffling (default: %(default)s)",
    )
    train.add_argument("--threads", type=_integer(1, 1024), metavar="N", help=threads_help)
    train.add_argument("--device", type=_device, default="cpu", metavar="DEVICE", help=device_help)
    train.add_argument(
        "--out", metavar="DIR", help="run folder without a run in it (default: runs/<date>-<data>, numbered)"
    )
    train.set_defaults(run=_train)

    replay = commands.add_parser("replay", help="train a run again and compare every epoch, bit for bit")
    replay.add_argument("folder", metavar="RUN_FOLDER")
    replay.add_argument("--data-dir", metavar="DIR", help=data_help)
    replay.add_argument("--device", type=_device, default="cpu", metavar="DEVICE", help=device_help)
    replay.add_argument("--threads", type=_integer(1, 1024), metavar="N", help=threads_help)
    replay.set_defaults(run=_replay)

    verify = commands.add_parser("verify", help="check the files of a run against its manifest, without training")
    verify.add_argument("folder", metavar="RUN_FOLDER")
    verify.set_defaults(run=_verify)

    diff = commands.add_parser(
        "diff", help="what differs between two runs: settings, code, data, weights, the first epoch and tensor"
    )
    diff.add_argument("folders", nargs=2, metavar="RUN_FOLDER")
    diff.set_defaults(run=_diff)

    summary = commands.add_parser("summary", help="a network's layers: shapes, parameters, multiply-adds, bytes")
    summary.add_argument("model", metavar="MODEL", choices=("digits", "mnist"), help="digits or mnist")
    summary.add_argument("--batch-size", type=_integer(1, 1 << 20), default=1, metavar="N", help="default: %(default)s")
    summary.set_defaults(run=_summary)

    info = commands.add_parser("info", help="versions, CPU features, backends and threads")
    info.add_argument("--json", action="store_true", help="as JSON")
    info.set_defaults(run=_info)
    return parser


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help(sys.stderr)
    return 2


def _open_streams() -> None:
    """Give a process without standard output or error something to write to; and say what a terminal cannot."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (until the process ends)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _set_threads(options: argparse.Namespace) -> None:
    """Choose threads, backend and device first, so that a wrong ``NNLITE_BACKEND`` is told in a sentence."""
    from . import cuda
    from .backend import get_num_threads, ops, set_num_threads

    try:
        get_num_threads()
        if options.command not in ("train", "replay"):
            return
        if options.threads is not None:
            set_num_threads(options.threads)
        ops()
        cuda.check_device(options.device)
    except (ImportError, RuntimeError, ValueError) as error:
        raise _RefusalError(str(error)) from error


def _printable(text: str) -> str:
    """``text`` without control characters: a manifest is untrusted input, and a terminal obeys them."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be an integer from {low} to {high}, got {text!r}")
        return value

    return parse


def _device(text: str) -> str:
    from .cuda import is_name

    if not is_name(text):
        raise argparse.ArgumentTypeError(f"must be cpu, cuda or cuda:N, got {text!r}")
    return text


def _learning_rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 1e-12 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"must be a number from 1e-12 to 1e6, got {text!r}")
    return value
