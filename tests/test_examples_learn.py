"""The examples that train, in small form: they learn, which random weights do not."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from support import assert_same_bits

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def test_spiral(monkeypatch: pytest.MonkeyPatch) -> None:
    assert example("spiral", monkeypatch).train(60) > 0.85


def test_character_lstm(monkeypatch: pytest.MonkeyPatch) -> None:
    loss, text = example("character_lstm", monkeypatch).train(12)
    assert loss < 0.5  # ln(27) = 3.3 without learning
    assert text[4:10] in ("quick ", "lazy d")


def test_small_gpt(monkeypatch: pytest.MonkeyPatch) -> None:
    gpt = example("small_gpt", monkeypatch)
    model, loss = gpt.train(100)
    assert loss < 0.6  # ln(12) = 2.5 without learning
    slow, scores = gpt.generate(model, [2, 5, 8], 9, cached=False)
    fast, same = gpt.generate(model, [2, 5, 8], 9, cached=True)
    assert slow == fast
    assert_same_bits(scores, same)
    assert slow[3:] == [(2 + 3 * i) % gpt.WORDS for i in range(3, 12)]
