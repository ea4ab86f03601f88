"""Which definitions of the book's library a reader has edited: those win over the drop-in's.

A definition counts as published when the hash of its tokens is known (:mod:`nnlite.dropin.published`). Any other is
the reader's own and stays, and so does a published one that uses it, in whichever module. All that a file does besides
defining, its imports and other statements, it does as always.
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
import sys
import sysconfig
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .published import HASHES

_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}

# What the published dataset.mnist assigns, as `ast` writes it. The address of its downloads is anybody's choice.
_CONSTANTS = {
    "train_num": "60000",
    "test_num": "10000",
    "img_dim": "(1, 28, 28)",
    "img_size": "784",
    "dataset_dir": "os.path.dirname(os.path.abspath(__file__))",
    "save_file": "dataset_dir + '/mnist.pkl'",
    "key_file": "{'train_img': 'train-images-idx3-ubyte.gz', 'train_label': 'train-labels-idx1-ubyte.gz', "
    "'test_img': 't10k-images-idx3-ubyte.gz', 'test_label': 't10k-labels-idx1-ubyte.gz'}",
}

# A star import from a module that is not the library's may bind any name.
EVERYTHING = "an import of *"
WHOLE_FILE = "the whole file"

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass
class Edited:
    """A file of the reader's.

    Attributes:
        path: the file.
        own: names that the reader has defined otherwise, or has added.
        using: published definitions that stay because they use such names: name to the names used.
        replaced: the published definitions that the drop-in's replace.
    """

    path: Path
    own: list[str]
    using: dict[str, list[str]] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)


def folders(package: str) -> list[Path]:
    """Folders called ``package`` that are the program's own.

    Those beside the script or in the current folder, one level above, and further above where ``sys.path`` names it.
    With ``python -P`` all of them only where ``sys.path`` names them.
    """
    homes = _homes()
    near = [] if sys.flags.safe_path else [place for home in homes for place in (home, home.parent)]
    above = [entry for entry in map(_resolve, sys.path) if any(home.is_relative_to(entry) for home in homes)]
    return _existing(package, [*near, *above])


def all_folders(package: str) -> list[Path]:
    """Folders called ``package`` that the program could import from, its own first."""
    return [*dict.fromkeys([*folders(package), *_existing(package, [_resolve(entry) for entry in sys.path])])]


def shadowed(package: str) -> bool:
    """Whether a module of the program's own, ``package.py`` beside the script, has the package's name."""
    places = set(map(_resolve, sys.path)) if sys.flags.safe_path else None
    return any((home / f"{package}.py").is_file() for home in _homes() if places is None or home in places)


def files(modules: Iterable[str]) -> dict[str, Path]:
    """The reader's file of each module that has one."""
    found = {}
    for module in modules:
        package, _, name = module.partition(".")
        for folder in folders(package):
            if (folder / f"{name}.py").is_file():
                found[module] = folder / f"{name}.py"
                break
    return found


def edited(paths: Mapping[str, Path]) -> dict[str, Edited]:
    """For each module's file: what of it is the reader's.

    A file that does not parse is the reader's as a whole: importing it raises what it always raised.
    """
    trees: dict[str, ast.Module] = {}
    result: dict[str, Edited] = {}
    for module, path in paths.items():
        source = path.read_bytes()
        try:
            trees[module] = ast.parse(source, str(path))
        except (SyntaxError, ValueError):
            result[module] = Edited(path, [WHOLE_FILE])
            continue
        lines = _lines(source)
        own = [name for name, node in _bindings(trees[module]) if not _is_published(module, name, node, lines)]
        result[module] = Edited(path, list(dict.fromkeys(own)))
    _spread(trees, result)
    for module, tree in trees.items():
        stays = {*result[module].own, *result[module].using}
        result[module].replaced = {n.name for n in tree.body if isinstance(n, _Definition) and n.name not in stays}
    return result


def knows(module: str, name: str) -> bool:
    """Whether the published library binds this name in the module, or defines it in another one."""
    constant = module == "dataset.mnist" and (name == "url_base" or name in _CONSTANTS)
    return constant or any(name in names for names in HASHES.values())


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


def _homes() -> list[Path]:
    """The folder of the running script, unless that is an installed tool; and the current one."""
    homes = []
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script:
        tools = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib", "scripts")]
        for place in (Path(os.path.abspath(script)).parent, Path(script).resolve().parent):
            if not any(place.is_relative_to(tool) for tool in tools):
                homes.append(place)
    return list(dict.fromkeys([*homes, Path.cwd()]))


def _resolve(entry: str) -> Path:
    return Path(entry or ".").resolve()


def _existing(package: str, parents: list[Path]) -> list[Path]:
    return [folder for folder in dict.fromkeys(parent / package for parent in parents) if folder.is_dir()]


def _lines(source: bytes) -> list[str]:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    except SyntaxError:  # a comment in another encoding, which Python passes over
        encoding = "utf-8"
    return source.decode(encoding, "replace").replace("\r\n", "\n").expandtabs(4).split("\n")


def _bindings(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """The names that the statements of a file bind and that may differ from the published ones, with the statement."""
    library = {name for names in HASHES.values() for name in names}
    for node in tree.body:
        if isinstance(node, _Definition):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            served = isinstance(node, ast.ImportFrom) and (node.level > 0 or node.module in HASHES)
            for alias in node.names:
                name = alias.asname or alias.name
                if name == "*":
                    if not served:
                        yield EVERYTHING, node
                elif (name in library and not (served and name == alias.name)) or (
                    name == "np" and alias.name != "numpy"
                ):
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
        return name == "url_base" or ast.unparse(node.value) == _CONSTANTS.get(name)
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
                if used or EVERYTHING in what.own:
                    what.using[node.name] = sorted(used) or [EVERYTHING]
                    changed = True
