"""Write docs/torch.md: which of PyTorch's names nnlite has, and why it lacks the others.

Run it with PyTorch installed after adding a layer, function, method or optimizer: ``python tools/make_torch_table.py``.
``--check`` only says whether the page is current.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import nnlite as nl

PAGE = Path(__file__).parent.parent / "docs" / "torch.md"

# Why a name is absent: the first rule that holds.
SOLID = "three-dimensional data"
IN_PLACE = "nothing works in place; the function without the underscore makes a new tensor"
REASONS: dict[str, str] = {
    "LazyBatchNorm1d": "sizes are given",
    "CTCLoss": "not yet",
    "ctc_loss": "not yet",
    "grid_sample": "not yet",
    "affine_grid": "not yet",
    "LBFGS": "needs a line search over the whole batch",
    "SparseAdam": "there are no sparse gradients",
    "Adafactor": "not yet",
    "DataParallel": "one device a model",
    "SyncBatchNorm": "one device a model",
    "Transformer": "TransformerEncoder and TransformerDecoder",
    "multi_head_attention_forward": "nn.MultiheadAttention, scaled_dot_product_attention",
    "embedding_bag": "nn.EmbeddingBag",
    "sin": "not yet: large arguments need an exact reduction",
    "cos": "not yet: large arguments need an exact reduction",
    "to": "nl.cuda.array, or astype on the array",
}


def public(module: Any) -> list[str]:
    """Names of a module or class that belong to its interface."""
    return sorted(name for name in dir(module) if not name.startswith("_"))


def of_functional() -> list[str]:
    """The functions that compute something."""
    helpers = ("assert_", "boolean_", "handle_", "has_torch", "grouped_", "scaled_mm", "scaled_grouped", "native_")
    names = [n for n in public(torch.nn.functional) if callable(getattr(torch.nn.functional, n)) and n[0].islower()]
    return [n for n in names if not n.startswith(helpers) and "_with_indices" not in n]


def classes(module: ModuleType, base: type) -> list[str]:
    """Names of the classes of a module."""
    found = [n for n in public(module) if inspect.isclass(getattr(module, n))]
    return [n for n in found if issubclass(getattr(module, n), base) and getattr(module, n) is not base]


def initialisers() -> list[str]:
    """The functions that work in place."""
    return [n for n in public(torch.nn.init) if n.endswith("_")] + ["calculate_gain"]


def methods() -> list[str]:
    """Tensor's methods on dense floats, without those that work in place."""
    kinds = ("sparse", "quant", "is_", "q_", "_indices", "storage", "mkldnn", "xla", "bitwise", "col_", "row_")
    return [n for n in public(torch.Tensor) if not n.endswith("_") and not any(kind in n for kind in kinds)]


def reason(name: str) -> str:
    """Why nnlite lacks a name."""
    if name in REASONS:
        return REASONS[name]
    if "3d" in name or "3D" in name:
        return SOLID
    if name.startswith("Lazy"):
        return "sizes are given"
    if name.endswith("_"):
        return IN_PLACE
    return ""


TABLES: list[tuple[str, list[str], Any]] = [
    ("torch.nn", classes(torch.nn, torch.nn.Module), nl.nn),
    ("torch.nn.functional", of_functional(), nl.nn.functional),
    ("torch.nn.init", initialisers(), nl.nn.init),
    ("torch.optim", classes(torch.optim, torch.optim.Optimizer), nl.optim),
    (
        "torch.optim.lr_scheduler",
        classes(torch.optim.lr_scheduler, torch.optim.lr_scheduler.LRScheduler),
        nl.optim.lr_scheduler,
    ),
    ("torch.Tensor", methods(), nl.Tensor),
]


def counts() -> dict[str, tuple[int, int]]:
    """For each table: how many names nnlite has, and how many concern it (no solids, nothing in place)."""
    result = {}
    for title, names, ours in TABLES:
        others = (SOLID, "sizes are given", *([] if title == "torch.nn.init" else [IN_PLACE]))
        concern = [n for n in names if reason(n) not in others]
        result[title] = sum(hasattr(ours, n) for n in concern), len(concern)
    return result


def page() -> str:
    """The text of docs/torch.md."""
    lines = [
        "# nnlite beside PyTorch",
        "",
        f"Which names of PyTorch {torch.__version__.partition('+')[0]} nnlite has; from `tools/make_torch_table.py`.",
        "Where a name is present, arguments, defaults, shapes and `state_dict` keys are PyTorch's;",
        "`tests/test_torch_*.py` compare results and gradients.",
        "",
        "| module | present | of names that concern 0- to 2-dimensional data |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {title} | {have} | {all_} |" for title, (have, all_) in counts().items()]
    lines += [
        "",
        "What is different everywhere: tensors are float32 or float64, indices and masks are NumPy arrays, nothing",
        "works in place, dtypes are never mixed, and losses refuse shapes that differ.",
        "",
    ]
    for title, names, ours in TABLES:
        here = [n for n in names if hasattr(ours, n)]
        absent = [n for n in names if not hasattr(ours, n)]
        lines += [f"## {title}", "", "Present: " + ", ".join(f"`{n}`" for n in here) + ".", ""]
        by_reason: dict[str, list[str]] = {}
        for n in absent:
            by_reason.setdefault(reason(n), []).append(n)
        for why, missing in sorted(by_reason.items(), key=lambda item: (item[0] == "", item[0])):
            lines += [f"Absent{f' ({why})' if why else ''}: " + ", ".join(f"`{n}`" for n in missing) + ".", ""]
    return "\n".join(lines)


def main() -> int:
    """Write the page, or compare it."""
    if "--check" in sys.argv:
        if PAGE.read_text() != page():
            print("docs/torch.md is not current: run python tools/make_torch_table.py")
            return 1
        return 0
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
