"""Whether a step is being recorded for :func:`nnlite.capture`, and what its parts leave for the replay."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .arrays import Array


class _State(threading.local):
    recording: Any = None
    refreshers: list[Callable[[], object]]


_state = _State()


def begin(launches: Any) -> None:
    """From here on the calling thread's kernels are kept in ``launches``."""
    _state.recording, _state.refreshers = launches, []


def end() -> list[Callable[[], object]]:
    """The recording is over; what is to be called before each replay."""
    _state.recording = None
    return _state.refreshers


def is_active() -> bool:
    """Whether a step is being recorded."""
    return _state.recording is not None


def position() -> int:
    """While a step is being recorded: how many ops it has so far, for :func:`on_replay`. A device does not count."""
    return len(getattr(_state.recording, "steps", ()))


def on_replay(refresh: Callable[[], object], since: int) -> None:
    """While a step is being recorded: call ``refresh`` at each replay, in place of the ops since position ``since``.

    It advances what the host keeps, and calls those ops again, whose scalars have changed. Their arrays are those of
    the replay.
    """
    if is_active():
        _state.refreshers.append(refresh)
        if hasattr(_state.recording, "refresh"):
            _state.recording.refresh(refresh, since)


def keep_gradient(leaf: object, gradient: Array) -> None:
    """While a step is being recorded: the gradient that ``backward()`` leaves in ``leaf.grad``."""
    if is_active() and hasattr(_state.recording, "keep_gradient"):
        _state.recording.keep_gradient(leaf, gradient)


def is_older(x: Array) -> bool:
    """While a step is being recorded: whether ``x`` was there before, so that a replay finds what the last one left."""
    return is_active() and not _state.recording.owns(x)


def refuse(what: str) -> None:
    """While a step is being recorded: an error that names what cannot be part of it."""
    if is_active():
        raise RuntimeError(f"capture: {what} cannot be part of a captured step")
