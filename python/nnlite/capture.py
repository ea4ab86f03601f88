"""Steps that are recorded on a device and started again without Python: :func:`nnlite.cuda.capture`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from . import arrays
from .arrays import Array
from .backend import load_device


class _State(threading.local):
    refreshers: list[Callable[[], object]] | None = None


_state = _State()


def is_active() -> bool:
    """Whether a step is being recorded."""
    return _state.refreshers is not None


def on_replay(refresh: Callable[[], object]) -> None:
    """While a step is being recorded: call ``refresh`` before each replay.

    It advances what the host keeps, and calls the ops whose scalars change again; they only leave their scalars.
    """
    if _state.refreshers is not None:
        _state.refreshers.append(refresh)


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

        same = [(x.shape, x.dtype) for x in inputs] == [(x.shape, x.dtype) for x in self._inputs]
        if self._recording is not None and same:
            for held, x in zip(self._inputs, inputs, strict=True):
                arrays.assign(held, x)
            return self._replay()
        there = tuple(array(x, self._device) for x in inputs)
        self._calls += 1
        if self._calls == 2 and self._recording is None:  # the first call made what the step keeps, e.g. moments
            self._inputs = tuple(arrays.copy(x) for x in there)
            return self._record()
        return self._function(*there)

    def _record(self) -> Any:
        recording = self._module._Recording()
        _state.refreshers = self._refreshers = []
        recording.begin()
        try:
            self._result = self._function(*self._inputs)
        finally:
            recording.end()
            _state.refreshers = None
        self._recording = recording
        return self._result

    def _replay(self) -> Any:
        self._recording.begin_refresh()
        try:
            for refresh in self._refreshers:
                refresh()
        finally:
            self._recording.end_refresh()
        self._recording.replay()
        return self._result
