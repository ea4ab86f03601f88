"""What the drop-in did, as text."""

from __future__ import annotations

from collections.abc import Mapping

from .calls import Record
from .edits import WHOLE_FILE, Edited, knows


def text(records: Mapping[str, Record], edited: Mapping[str, Edited]) -> str:
    """A table of what ran compiled and what as the NumPy formula, and why; and what came from the reader's files."""
    rows = [("", "compiled", "seconds", "NumPy", "seconds", "why NumPy")]
    for name, record in sorted(records.items()):
        reasons = ", ".join(f"{reason} ({count})" for reason, count in record.reasons.items())
        counts = str(record.compiled), f"{record.compiled_s:.3f}", str(record.formula), f"{record.formula_s:.3f}"
        rows.append((name, *counts, reasons))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = ["nnlite.dropin: what ran compiled, and what as the NumPy formula"]
    for name, *numbers, reasons in rows:
        cells = [name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))]
        lines.append("  ".join([*cells, reasons]).rstrip())
    for module, what in sorted(edited.items()):
        if what.own or what.using:
            lines.append(f"{module}: from {what.path}, as NumPy: {', '.join(_stays(module, what))}")
    return "\n".join(lines)


def _stays(module: str, what: Edited) -> list[str]:
    using = [f"{name} (uses {', '.join(names)})" for name, names in what.using.items()]
    own = [f"{name} ({'edited' if name == WHOLE_FILE or knows(module, name) else 'added'})" for name in what.own]
    return [*own, *using]
