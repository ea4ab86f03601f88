"""Copies of the code that made a run: the script, the local modules that it imported, and what git knows of them."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import files

_LARGEST_RECORD = 1 << 22  # bytes of one source file or of git's diff
_COMMAND = "_command.py"  # the copy of what `python -c` ran
_OUTSIDE = "_outside"  # of modules that lie beside or above the script's folder


def record_code(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Copy the calling script, the local modules that it imported and git's diff into ``folder/code``.

    Returns:
        what the manifest says of it, and the names of the copies below ``folder``.
    """
    main = sys.modules.get("__main__")
    script = getattr(main, "__file__", None)  # none in an interactive session and of `-c`, "<stdin>" of a pipe
    script = script if script and Path(script).is_file() else None
    root = Path(script).resolve().parent if script else Path.cwd()
    copies = folder / "code"
    copies.mkdir(exist_ok=True)
    names: dict[str, str] = {}  # copy -> where it lay, relative to the script's folder
    for source in _local_sources(root):
        relative = os.path.relpath(source, root)
        copy = Path(relative)
        if copy.parts[0] == os.pardir:
            ups = sum(part == os.pardir for part in copy.parts)
            copy = Path(_OUTSIDE, str(ups), *(part for part in copy.parts if part != os.pardir))
        (copies / copy).parent.mkdir(parents=True, exist_ok=True)
        files.write_file(copies / copy, source.read_bytes())
        names[copy.as_posix()] = Path(relative).as_posix()
    name_of_script = Path(script).name if script else _record_command(copies)
    if name_of_script and name_of_script not in names:
        names[name_of_script] = name_of_script
    git = _record_git(root, folder)
    modules = sorted(set(names) - {name_of_script})
    code = {
        "script": name_of_script,
        "modules": modules,
        "outside": {copy: names[copy] for copy in modules if copy.startswith(_OUTSIDE)},
        "git": git,
    }
    written = [name for name in names if (copies / name).is_file()]
    if git and git["diff"]:
        written.append(git["diff"])
    return code, [f"code/{name}" for name in sorted(set(written))]


def _record_command(copies: Path) -> str | None:
    """Keep what ``python -c`` ran; warn where the code cannot be had."""
    arguments = sys.orig_argv
    if "-c" in arguments[1:]:
        files.write_file(copies / _COMMAND, arguments[arguments.index("-c", 1) + 1].encode("utf-8", "surrogateescape"))
        return _COMMAND
    if not hasattr(sys, "ps1"):
        warnings.warn(
            "the run folder has no copy of the program, which came from standard input; run it from a file",
            stacklevel=6,
        )
    return None


def _record_git(root: Path, folder: Path) -> dict[str, Any] | None:
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    patch = _git(root, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "--binary", "HEAD")
    if patch:
        files.write_file(folder / "code/git.diff", patch)
    listed = (_git(root, "ls-files", "--others", "--exclude-standard", "-z") or b"").split(b"\0")
    untracked = [os.fsdecode(name) for name in listed if name]
    untracked = [name for name in untracked if not (root / name).resolve().is_relative_to(folder.resolve())]
    return {
        "commit": commit.decode().strip(),
        "diff": "git.diff" if patch else None,
        "untracked": sorted(name.encode("utf-8", "replace").decode() for name in untracked)[:1000],
    }


def _local_sources(root: Path) -> Iterator[Path]:
    """Source files of the loaded modules that are neither nnlite's, nor installed, nor Python's own."""
    installed = {
        Path(sys.prefix),
        Path(sys.base_prefix),
        *map(Path, site.getsitepackages()),
        Path(site.getusersitepackages()),
    }
    installed |= {Path(sysconfig.get_paths()[key]) for key in ("stdlib", "platstdlib")}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if not path or name.partition(".")[0] == "nnlite":
            continue
        source = Path(path).resolve()
        if (
            source.suffix in (".py", "")
            and not {"site-packages", "dist-packages"} & set(source.parts)
            and (source.is_relative_to(root) or not any(source.is_relative_to(place) for place in installed))
            and not source.is_relative_to(sys.prefix)
            and source.is_file()
            and source.stat().st_size <= _LARGEST_RECORD
        ):
            yield source


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What git answers; ``None`` without git, outside a repository, or if the answer is too long."""
    try:
        answer = subprocess.run(
            ("git", "-C", str(folder), "--no-pager", *arguments), capture_output=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return answer if len(answer) <= _LARGEST_RECORD else None
