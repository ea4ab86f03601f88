"""Pairs of modules that one op computes with equal bits: the one place where fusion is decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .. import observe
from .activation import ReLU
from .module import Module
from .norm import BatchNorm1d, BatchNorm2d

# (a module's type, the next one's) -> both of them on x. Subclasses may compute something else and are not in it.
PAIRS: dict[tuple[type[Module], type[Module]], Callable[[Any, Any], Any]] = {
    (BatchNorm1d, ReLU): lambda norm, x: norm(x, relu=True),
    (BatchNorm2d, ReLU): lambda norm, x: norm(x, relu=True),
}


def run(modules: Iterable[Module], x: Any) -> Any:
    """The modules one after the other, pairs of :data:`PAIRS` as one op."""
    if observe.active():  # who watches sees every module; the bits are the same
        for module in modules:
            x = module(x)
        return x
    waiting = iter(modules)
    current = next(waiting, None)
    while current is not None:
        following = next(waiting, None)
        fused = None if following is None else PAIRS.get((type(current), type(following)))
        if fused is not None and _is_plain(current) and _is_plain(following):
            x, current = fused(current, x), next(waiting, None)
        else:
            x, current = current(x), following
    return x


def _is_plain(module: Module | None) -> bool:
    """Whether nobody has replaced this module's ``forward`` or hung hooks on it."""
    return module is not None and "forward" not in module.__dict__ and not module._hooks
