"""``python -m nnlite.dropin [--float32] [--device D] [--report] [--dezero] script.py [argument ...]``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, TracebackType

from . import install, report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a program in its own folder, as ``python script.py`` there would, on compiled kernels.

    Returns:
        the program's exit code.
    """
    options, rest = _parse(list(sys.argv[1:] if arguments is None else arguments))
    script = Path(os.path.abspath(options.script))
    try:
        source = script.read_bytes()
    except OSError as error:
        print(f"nnlite.dropin: cannot read {options.script}: {error.strerror or error}", file=sys.stderr)
        return 2
    try:
        install(float32=options.float32, device=options.device)
    except (ValueError, RuntimeError) as error:
        print(f"nnlite.dropin: {error}", file=sys.stderr)
        return 2
    if options.dezero:
        from .dezero import install as install_dezero

        install_dezero()
    os.chdir(script.parent)
    if not sys.flags.safe_path:
        sys.path[0] = str(script.resolve().parent)
    sys.argv = [script.name, *rest]
    try:
        return _run(source, script)
    finally:
        if options.report:
            sys.stderr.flush()
            print(report(), flush=True)


def _run(source: bytes, script: Path) -> int:
    """Run the program as ``__main__``. What it raises is shown as Python shows it, from the program's first line."""
    module = ModuleType("__main__")
    module.__file__ = str(script)
    module.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = module
    try:
        exec(compile(source, str(script), "exec", dont_inherit=True), module.__dict__)
    except SystemExit as stop:
        return _exit_code(stop)
    except BaseException as error:
        error.__traceback__ = _from(script, error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _exit_code(stop: SystemExit) -> int:
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    print(stop.code, file=sys.stderr)
    return 1


def _from(script: Path, traceback: TracebackType | None) -> TracebackType | None:
    """A traceback from the script's own frame on; empty for a syntax error, which has none."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename != str(script):
        traceback = traceback.tb_next
    return traceback


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Our options, up to the script; and what follows it, which is the program's as it stands."""
    end = 0
    while end < len(arguments) and arguments[end].startswith("-"):
        end += 2 if arguments[end] == "--device" else 1
    return _parser().parse_args(arguments[: end + 1]), arguments[end + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        usage="%(prog)s [--float32] [--device D] [--report] [--dezero] script.py [argument ...]",
        prog="python -m nnlite.dropin",
        description="Run a program written for the NumPy library of 'Deep Learning from Scratch' on compiled kernels.",
    )
    parser.add_argument("--float32", action="store_true", help="compute in float32, faster than the book's float64")
    parser.add_argument("--device", default="cpu", metavar="D", help="cpu (default), cuda or cuda:N: where kernels run")
    parser.add_argument("--report", action="store_true", help="print at the end what ran compiled, and what did not")
    parser.add_argument("--dezero", action="store_true", help="put kernels behind an installed dezero (volume 3)")
    parser.add_argument("script", help="the program; it runs in its own folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
