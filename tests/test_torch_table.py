"""docs/torch.md says what is there."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")


def test_the_page_is_current_and_most_names_are_present(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.__version__.startswith("2.13."):
        pytest.skip(f"the page is of PyTorch 2.13, this is {torch.__version__}")
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "tools"))
    table = importlib.import_module("make_torch_table")
    assert table.PAGE.read_text() == table.page()
    counts = table.counts()
    have, concern = counts["torch.nn.functional"]
    assert have / concern >= 0.85
    have, concern = counts["torch.optim"]
    assert concern - have <= 3
    assert counts["torch.optim.lr_scheduler"][0] == counts["torch.optim.lr_scheduler"][1]
    assert counts["torch.nn.init"][0] == counts["torch.nn.init"][1]
    assert "make_torch_table" in sys.modules
