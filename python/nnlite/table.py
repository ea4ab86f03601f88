"""Rows of text as a table."""

from __future__ import annotations

from collections.abc import Sequence


def text(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """The rows as lines of equal columns, the first ``left`` of them aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
