"""Copies of the code that made a run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import files

_LARGEST_RECORD = 1 << 22  # bytes of one source file or of git's diff


def record_code(folder: Path) -> dict[str, Any]:
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
