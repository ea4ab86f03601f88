"""How sequences of modules are built."""

from __future__ import annotations

from collections import OrderedDict

from nnlite import nn


def test_building_a_sequence_looks_at_each_module_once(monkeypatch):
    looked = []
    monkeypatch.setattr(nn.Sequential, "_list", lambda self: looked.append(1) or [])
    model = nn.Sequential(*[nn.ReLU() for _ in range(50)])
    model.extend(nn.ReLU() for _ in range(50))
    assert len(looked) <= 1  # while it is empty
    assert [name for name, _ in model.named_children()] == [str(i) for i in range(100)]


def test_appending_overwrites_nothing():
    a, b, c, d = (nn.Linear(1, 1) for _ in range(4))
    part = nn.Sequential(a, b, c)[::2].append(d)
    assert list(part) == [a, c, d]
    named = nn.Sequential(OrderedDict(first=a)).append(b).append(c)
    assert [name for name, _ in named.named_children()] == ["first", "1", "2"]
