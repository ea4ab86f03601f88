"""Which definitions of the book's library a reader has edited: those win over the drop-in's.

A definition counts as published when the hash of its tokens is known (:mod:`nnlite.dropin.published`). Any other is
the reader's own and stays, and so does a published one that uses it, in whichever module.
"""

from __future__ import annotations

import ast
import hashlib
import io
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .published import HASHES

_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}

# Top-level names of dataset.mnist that are no definitions, with the values of the published file.
_CONSTANTS = {"train_num": "60000", "test_num": "10000", "img_dim": "(1, 28, 28)", "img_size": "784"}
_PLACES = {"url_base", "key_file", "dataset_dir", "save_file"}  # where the data are; the drop-in looks in more places

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass
class Edited:
    """A file of the reader's of which something stays.

    Attributes:
        path: the file.
        own: names that the reader has defined otherwise, or that the library has not.
        using: published definitions that stay because they use such names: name to the names used.
        replaced: the published definitions that the drop-in's replace.
    """

    path: Path
    own: list[str]
    using: dict[str, list[str]] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)


def folders(package: str) -> list[Path]:
    """Folders called ``package`` that are the program's own: beside it, above it, above it on ``sys.path``."""
    home = _home()
    above = (entry for entry in map(_resolve, sys.path) if home.is_relative_to(entry))
    return _existing(package, [home, home.parent, *above])


def all_folders(package: str) -> list[Path]:
    """Folders called ``package`` that the program could import from, its own first."""
    home = _home()
    return _existing(package, [home, home.parent, *map(_resolve, sys.path)])


def edited(modules: Iterable[str]) -> dict[str, Edited]:
    """For each of ``modules`` of which something is the reader's: what.

    A file that does not parse is the reader's as a whole: importing it raises what it always raised.
    """
    trees: dict[str, ast.Module] = {}
    result: dict[str, Edited] = {}
    for module in modules:
        path = _file(module)
        if path is None:
            continue
        source = path.read_bytes()
        try:
            trees[module] = ast.parse(source, str(path))
        except (SyntaxError, ValueError):
            result[module] = Edited(path, ["the whole file"])
            continue
        lines = _lines(source)
        own = [name for name, node in _bindings(module, trees[module]) if not _is_published(module, name, node, lines)]
        result[module] = Edited(path, list(dict.fromkeys(own)))
    _spread(trees, result)
    for module, tree in trees.items():
        stays = {*result[module].own, *result[module].using}
        result[module].replaced = {n.name for n in tree.body if isinstance(n, _Definition) and n.name not in stays}
    return {module: what for module, what in result.items() if what.own or what.using}


def digest(definition: str) -> str:
    """SHA-256 of a definition's token strings, without comments, layout and string statements."""
    strings = [
        (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
        for node in ast.walk(ast.parse(definition))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    tokens = []
    for token in tokenize.generate_tokens(io.StringIO(definition).readline):
        line, column = token.start
        column = len(token.line[:column].encode())  # ast counts bytes
        is_string = any((a, b) <= (line, column) and (line, column) < (c, d) for a, b, c, d in strings)
        if token.type not in _LAYOUT and not is_string:
            tokens.append(token.string)
    return hashlib.sha256("\0".join(tokens).encode()).hexdigest()


def without(source: bytes, file: str, names: set[str]) -> ast.Module:
    """A file's syntax tree without the definitions of ``names``."""
    tree = ast.parse(source, file)
    tree.body = [node for node in tree.body if not (isinstance(node, _Definition) and node.name in names)]
    return tree


def _home() -> Path:
    """The folder of the running script, or else the current one."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(script).resolve().parent if script else Path.cwd()


def _resolve(entry: str) -> Path:
    return Path(entry or ".").resolve()


def _existing(package: str, parents: list[Path]) -> list[Path]:
    return [folder for folder in dict.fromkeys(parent / package for parent in parents) if folder.is_dir()]


def _file(module: str) -> Path | None:
    package, _, name = module.partition(".")
    return next((file for folder in folders(package) if (file := folder / f"{name}.py").is_file()), None)


def _lines(source: bytes) -> list[str]:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return source.decode(encoding).replace("\r\n", "\n").expandtabs(4).split("\n")


def _bindings(module: str, tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """The names that the statements of a file bind and that may differ from the published ones, with the statement."""
    library = {name for names in HASHES.values() for name in names}
    for node in tree.body:
        if isinstance(node, _Definition):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            served = isinstance(node, ast.ImportFrom) and (node.level or node.module in HASHES)
            for alias in node.names:
                name = alias.asname or alias.name
                if not served and (name in library or (name == "np" and alias.name != "numpy")):
                    yield name, node
        else:
            for part in ast.walk(node):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    yield part.id, node
                elif isinstance(part, _Definition):
                    yield part.name, node


def _is_published(module: str, name: str, node: ast.stmt, lines: list[str]) -> bool:
    if isinstance(node, _Definition):
        known = HASHES[module].get(name, ())
        if node.decorator_list or not known:
            return False
        try:
            return digest("\n".join(lines[node.lineno - 1 : node.end_lineno]) + "\n")[:16] in known
        except (SyntaxError, tokenize.TokenError):
            return False
    if module == "dataset.mnist" and isinstance(node, ast.Assign):
        return name in _PLACES or ast.unparse(node.value) == _CONSTANTS.get(name)
    return False


def _spread(trees: dict[str, ast.Module], result: dict[str, Edited]) -> None:
    """Find the published definitions that use what is the reader's, until there are no more."""
    library = {name for names in HASHES.values() for name in names}
    changed = True
    while changed:
        changed = False
        everywhere = {name for what in result.values() for name in (*what.own, *what.using)} & library
        for module, tree in trees.items():
            what = result[module]
            theirs = everywhere | set(what.own)
            for node in tree.body:
                if not isinstance(node, _Definition) or node.name in what.own or node.name in what.using:
                    continue
                used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} & theirs
                if used:
                    what.using[node.name] = sorted(used)
                    changed = True
