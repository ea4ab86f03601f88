"""Steps that are recorded on a device and started again without Python: :func:`nnlite.cuda.capture`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import arrays, random, recording
from .arrays import Array
from .backend import load_device


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
        if recording.is_active():  # a part of another captured step
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
        launches = self._module._Recording()
        launches.begin()
        recording.begin(launches)
        try:
            self._result = self._function(*self._inputs)
        finally:
            launches.end()
            refreshers = recording.end()
        self._recording, self._refreshers = launches, refreshers
        return self._result

    def _replay(self) -> Any:
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
