"""Steps that are recorded on a device and started again without Python: :func:`nnlite.cuda.capture`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from . import arrays
from .arrays import Array
from .backend import load_device


class _State(threading.local):
    recording: Any = None
    refreshers: list[Callable[[], object]]


_state = _State()


def is_active() -> bool:
    """Whether a step is being recorded."""
    return _state.recording is not None


def on_replay(refresh: Callable[[], object]) -> None:
    """While a step is being recorded: call ``refresh`` before each replay.

    It advances what the host keeps, and calls the ops whose scalars change again; they only leave their scalars.
    """
    if is_active():
        _state.refreshers.append(refresh)


def is_older(x: Array) -> bool:
    """While a step is being recorded: whether ``x`` was there before, so that a replay finds what the last one left."""
    return is_active() and not _state.recording.owns(x)


def refuse(what: str) -> None:
    """While a step is being recorded: an error that names what cannot be part of it."""
    if is_active():
        raise RuntimeError(f"capture: {what} cannot be part of a captured step")


class Captured:
    """A function of arrays that launches the same kernels at every call; see :func:`nnlite.cuda.capture`."""

    def __init__(self, function: Callable[..., Any], device: str) -> None:
        self._function = function
        self._device = device
        self._module = load_device(device.partition(":")[0])
        self._calls = 0
        self._recording: Any = None
        self._inputs: tuple[Array, ...] = ()
        self._refreshers: list[Callable[[], object]] = []
        self._result: Any = None

    def __call__(self, *inputs: Array) -> Any:
        """The function's result for ``inputs``, NumPy arrays or the device's."""
        from .cuda import array

        if not all(arrays.is_array(x) for x in inputs):
            raise TypeError("capture: a captured step takes arrays; Python numbers are those of the function itself")
        there = tuple(array(x, self._device) for x in inputs)
        if is_active():  # a part of another captured step
            return self._function(*there)
        same = [(x.shape, x.dtype) for x in there] == [(x.shape, x.dtype) for x in self._inputs]
        if self._recording is not None and same:
            for held, x in zip(self._inputs, there, strict=True):
                arrays.assign(held, x)
            return self._replay()
        self._calls += 1
        if self._calls >= 2 and self._recording is None:  # the first call made what the step keeps, e.g. moments
            self._inputs = tuple(arrays.copy(x) for x in there)
            return self._record()
        return self._function(*there)

    def _record(self) -> Any:
        recording = self._module._Recording()
        recording.begin()
        _state.recording, _state.refreshers = recording, []
        try:
            self._result = self._function(*self._inputs)
        finally:
            recording.end()
            _state.recording = None
        self._recording, self._refreshers = recording, _state.refreshers
        return self._result

    def _replay(self) -> Any:
        from . import random

        draws = random.get_state()
        self._recording.begin_refresh()
        try:
            for refresh in self._refreshers:
                refresh()
        except BaseException:
            self._recording.abandon_refresh()
            random.set_state(draws)
            raise
        self._recording.end_refresh()
        self._recording.replay()
        return self._result
