"""Ctrl-C only where a step can be taken back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class CtrlC:
    """Lets Ctrl-C through only between :meth:`open` and :meth:`close`.

    At other times it waits for the next :meth:`open` or the end. Nothing is installed outside the main thread,
    or where SIGINT is ignored or handled in C.
    """

    def __init__(self) -> None:
        self._open = False
        self._pressed = False
        self._previous: Callable[[int, FrameType | None], Any] | None = None

    def __enter__(self) -> CtrlC:
        previous = signal.getsignal(signal.SIGINT)
        if callable(previous) and threading.current_thread() is threading.main_thread():
            self._previous = previous
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        self._open = False
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            if self._pressed and exception[0] is None:
                self._deliver(None)

    def open(self) -> None:
        """From here on a step can be taken back: deliver Ctrl-C, also one that waited."""
        self._open = True
        if self._pressed:
            self._deliver(None)

    def close(self) -> None:
        """From here on Ctrl-C waits."""
        self._open = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._pressed = True
        if self._open:
            self._deliver(frame)

    def _deliver(self, frame: FrameType | None) -> None:
        self._open = False
        self._pressed = False
        assert self._previous is not None
        self._previous(signal.SIGINT, frame)
