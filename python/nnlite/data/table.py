"""Tables in CSV files."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import arguments
from ..arrays import Array
from .originals import DataError

_KINDS = ("float", "int", "bool", "category")
_BOOLS = {"true": 1.0, "yes": 1.0, "1": 1.0, "false": 0.0, "no": 0.0, "0": 0.0}


class Table(NamedTuple):
    """What :func:`load_csv` returns."""

    x: Array
    """features ``(N, F)``"""
    t: Array | None
    """targets: ``(N,)`` int64 classes or integers, or ``(N, K)`` floats; ``None`` without a target"""
    features: tuple[str, ...]
    """names of the columns of ``x``; ``color=red`` for a category"""
    categories: dict[str, tuple[str, ...]]
    """the values of each category, in the order of their numbers"""


def load_csv(
    path: str | os.PathLike[str],
    target: str | Sequence[str] | None = None,
    *,
    columns: Sequence[str] | None = None,
    dtypes: Mapping[str, str] | None = None,
    categories: Sequence[str] | Mapping[str, Sequence[str]] = (),
    delimiter: str = ",",
    dtype: Any = "float32",
    encoding: str = "utf-8",
) -> Table:
    """Read a table with a line of names on top.

    Args:
        path: the file.
        target: the column to predict, or several.
        columns: those that are features, in this order; by default all but the target.
        dtypes: column -> ``"float"`` (the default), ``"int"`` (refuses fractions), ``"bool"`` (true, false, yes, no,
            1, 0) or ``"category"``.
        categories: columns whose texts are categories, with their values in ascending order; or a dict of columns and
            their values, which refuses others. A feature becomes one-hot, one column per value; a target becomes
            classes.
        delimiter: between cells.
        dtype: of features and float targets, float32 or float64.
        encoding: of the file.

    Returns:
        a :class:`Table`.

    Raises:
        DataError: a cell, a line or a column is not as it should be; names line and column.
        ValueError, TypeError: an argument names no column, or is wrong.
        OSError: the file cannot be read.
    """
    kind = arguments.float_dtype("load_csv", dtype)
    name = os.fspath(path)
    header, lines, rows = _read(name, delimiter, encoding)
    targets = [] if target is None else [target] if isinstance(target, str) else list(target)
    chosen = [c for c in header if c not in targets] if columns is None else list(columns)
    kinds = dict(dtypes or {})
    for column in categories:
        if kinds.setdefault(column, "category") != "category":
            raise ValueError(f"load_csv: {column!r} is a category, but dtypes says {kinds[column]!r}")
    for what, group in (("target", targets), ("columns", chosen), ("dtypes or categories", kinds)):
        for column in group:
            if column not in header:
                raise ValueError(f"load_csv: {what} names {column!r}, but {name} has {', '.join(header)}")
    for column, wanted in kinds.items():
        if wanted not in _KINDS:
            raise ValueError(f"load_csv: dtypes of {column!r} must be one of {', '.join(_KINDS)}, got {wanted!r}")
    both = [c for c in chosen if c in targets]
    if both:
        raise ValueError(f"load_csv: {both[0]!r} is both target and in columns; leave it out of one")

    found: dict[str, tuple[str, ...]] = {}

    def column_of(column: str) -> Array:
        place = header.index(column)
        cells = [row[place].strip() for row in rows]

        def wrong(i: int, why: str) -> DataError:
            return DataError(f"load_csv: {name}, line {lines[i]}, column {column!r}: {why}")

        for i, cell in enumerate(cells):
            if not cell:
                raise wrong(i, "the cell is empty; fill it, or leave line or column out")
        if kinds.get(column) == "category":
            known = categories[column] if isinstance(categories, Mapping) and column in categories else None
            found[column] = values = tuple(sorted(set(cells)) if known is None else known)
            number = {value: i for i, value in enumerate(values)}
            for i, cell in enumerate(cells):
                if cell not in number:
                    raise wrong(i, f"{cell!r:.40} is none of the categories {', '.join(values)}")
            return np.array([number[cell] for cell in cells], np.int64)
        parse = _PARSERS[kinds.get(column, "float")]
        numbers = []
        for i, cell in enumerate(cells):
            value = parse(cell)
            if isinstance(value, str):
                raise wrong(i, f"{cell!r:.40} is {value}")
            numbers.append(value)
        return np.array(numbers, np.int64 if kinds.get(column) == "int" else np.float64)

    parts, features = [], []
    for column in chosen:
        values = column_of(column)
        if column in found:
            parts.append((values[:, np.newaxis] == np.arange(len(found[column]))).astype(kind))
            features += [f"{column}={value}" for value in found[column]]
        else:
            parts.append(values.astype(kind)[:, np.newaxis])
            features.append(column)
    x = np.concatenate(parts, axis=1) if parts else np.empty((len(rows), 0), kind)
    aims = [column_of(column) for column in targets]
    t: Array | None = None
    if len(aims) == 1 and aims[0].dtype == np.int64:
        t = aims[0]
    elif aims:
        t = np.stack([aim.astype(kind) for aim in aims], axis=1)
    return Table(x, t, tuple(features), found)


def _read(name: str, delimiter: str, encoding: str) -> tuple[list[str], list[int], list[list[str]]]:
    """The names, and the number and the cells of every line with content."""
    lines: list[int] = []
    rows: list[list[str]] = []
    with open(name, newline="", encoding=encoding) as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = [cell.strip().removeprefix("\ufeff") for cell in next(reader, [])]
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise DataError(
                        f"load_csv: {name}, line {reader.line_num}: it has {len(row)} cells, but the line of names has "
                        f"{len(header)}"
                    )
                lines.append(reader.line_num)
                rows.append(row)
        except (csv.Error, UnicodeError) as error:
            raise DataError(f"load_csv: {name}, line {reader.line_num}: {error}") from error
    if not header or not rows:
        raise DataError(f"load_csv: {name} has no lines of numbers; it needs a line of names and one per sample")
    twice = [cell for cell in header if header.count(cell) > 1]
    if twice:
        raise DataError(f"load_csv: {name}, line 1: the name {twice[0]!r} stands twice")
    return header, lines, rows


def _float(cell: str) -> float | str:
    try:
        value = float(cell)
    except ValueError:
        return "no number; for texts write categories=[the column's name]"
    return value if math.isfinite(value) and "_" not in cell else "no finite number"


def _int(cell: str) -> int | str:
    try:
        value = int(cell)
    except ValueError:
        return "no integer"
    return value if -(2**63) <= value < 2**63 and "_" not in cell else "no integer of 64 bits"


def _bool(cell: str) -> float | str:
    return _BOOLS.get(cell.lower(), "none of true, false, yes, no, 1, 0")


_PARSERS: dict[str, Callable[[str], float | str]] = {"float": _float, "int": _int, "bool": _bool}
