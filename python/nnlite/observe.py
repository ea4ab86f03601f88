"""Who is told when modules are called: :func:`nnlite.record`, :func:`nnlite.trace` and :func:`nnlite.summary`.

While nobody watches, a call of a module costs one comparison.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .nn.module import Module
    from .tape import Pullback


class Observer:
    """Is told of the calls of modules in its thread. ``path`` names the module within the outermost one called."""

    def enter(self, path: str, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module is about to compute."""

    def leave(self, path: str, module: Module, result: Any) -> None:
        """It has computed ``result``."""


class _State(threading.local):
    def __init__(self) -> None:
        self.observers: list[Observer] = []
        self.names: dict[int, str] = {}
        self.paths: list[str] = []


_state = _State()
_watched = 0  # observers in all threads: the one thing that is looked at while nobody watches


def active() -> bool:
    """Whether somebody watches this thread."""
    return _watched > 0 and bool(_state.observers)


def path() -> str:
    """The path of the module that computes now, or whose gradient is computed; ``""`` outside of all."""
    return _state.paths[-1] if _state.paths else ""


@contextlib.contextmanager
def watching(observer: Observer) -> Iterator[None]:
    """Tell ``observer`` of everything in the block."""
    global _watched
    _state.observers.append(observer)
    _watched += 1
    try:
        yield
    finally:
        _watched -= 1
        _state.observers.remove(observer)


def call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``module.forward``, with the observers told."""
    outermost = not _state.paths
    if outermost:
        _state.names = {id(m): name for name, m in reversed(list(module.named_modules()))}
    name = _state.names.get(id(module), path())
    _state.paths.append(name)
    try:
        for observer in _state.observers:
            observer.enter(name, module, args, kwargs)
        result = module.forward(*args, **kwargs)
        for observer in _state.observers:
            observer.leave(name, module, result)
        return result
    finally:
        _state.paths.pop()


def attributed(pullback: Pullback) -> Pullback:
    """``pullback``, whose ops count as those of the module that computes now."""
    here = path()

    def backward(dy: Any, needs: tuple[bool, ...]) -> Any:
        _state.paths.append(here)
        try:
            return pullback(dy, needs)
        finally:
            _state.paths.pop()

    return backward


def is_leaf(module: Module) -> bool:
    """Whether ``module`` holds no other: a row of its own in a table of layers."""
    return next(iter(module.children()), None) is None
