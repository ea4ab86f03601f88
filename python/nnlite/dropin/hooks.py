"""The import hook that serves ``common`` and ``dataset``."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import ModuleType

from . import edits

PACKAGES = ("common", "dataset")

_BOOK = Path(__file__).with_name("book")
_MODULES = [f"{package}.{file.stem}" for package in PACKAGES for file in sorted((_BOOK / package).glob("[!_]*.py"))]


class Finder(MetaPathFinder):
    """Finds the drop-in's modules before anything on ``sys.path``; the packages' other modules where they are."""

    def __init__(self) -> None:
        self.edited: dict[str, edits.Edited] = {}
        self._seen: dict[str, tuple[Path, int, int]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """What to load as ``fullname``; ``None``: not ours."""
        package = fullname.partition(".")[0]
        if package not in PACKAGES or edits.shadowed(package):
            return None
        if fullname in PACKAGES:
            spec = importlib.machinery.ModuleSpec(fullname, _PackageLoader(), is_package=True)
            spec.submodule_search_locations = [str(folder) for folder in edits.all_folders(fullname)]
            return spec
        if fullname not in _MODULES:
            return None
        self._look()
        edited = self.edited.get(fullname)
        origin = edited.path if edited else _ours(fullname)
        return importlib.util.spec_from_file_location(fullname, origin, loader=_ModuleLoader(edited))

    def _look(self) -> None:
        """Read the reader's files, unless they are those that have been read."""
        paths = edits.files(_MODULES)
        stats = {module: path.stat() for module, path in paths.items()}
        seen = {module: (path, stats[module].st_mtime_ns, stats[module].st_size) for module, path in paths.items()}
        if seen != self._seen:
            self._seen, self.edited = seen, edits.edited(paths)


class _PackageLoader(Loader):
    """A package of ours, with what the program's own ``__init__.py`` may hold."""

    def exec_module(self, module: ModuleType) -> None:
        for folder in edits.folders(module.__name__):
            file = folder / "__init__.py"
            if file.is_file():
                module.__file__ = str(file)
                exec(compile(file.read_bytes(), str(file), "exec", dont_inherit=True), module.__dict__)
                return


class _ModuleLoader(Loader):
    """A module of ours; where the reader has one, theirs, with ours for the definitions that they left as they were."""

    def __init__(self, edited: edits.Edited | None) -> None:
        self._edited = edited

    def exec_module(self, module: ModuleType) -> None:
        if self._edited is None:
            _execute_ours(module)
            return
        path = self._edited.path
        code = compile(
            edits.without(path.read_bytes(), str(path), self._edited.replaced), str(path), "exec", dont_inherit=True
        )
        # Ours has a namespace of its own, in which the reader's names cannot stand in its way.
        ours = ModuleType(module.__name__)
        ours.__package__ = module.__package__
        _execute_ours(ours)
        kept = self._edited.replaced
        module.__dict__.update({name: value for name, value in vars(ours).items() if name[0] != "_" or name in kept})
        exec(code, module.__dict__)


def _ours(name: str) -> Path:
    return _BOOK.joinpath(*name.split(".")).with_suffix(".py")


def _execute_ours(module: ModuleType) -> None:
    file = _ours(module.__name__)
    exec(compile(file.read_bytes(), str(file), "exec", dont_inherit=True), module.__dict__)


def take_modules() -> dict[str, ModuleType]:
    """Remove the modules of the served packages from ``sys.modules``, and return them."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in PACKAGES}
