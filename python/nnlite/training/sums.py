"""Loss and right answers of an epoch's batches."""

from __future__ import annotations

from typing import Any

from .. import arrays, nn
from ..arrays import Array
from .progress import figures


class Sums:
    """Loss and right answers of the batches so far. Those of a device are asked for at :meth:`settle`, which waits."""

    def __init__(self) -> None:
        self._total, self._right, self._done, self._classes = 0.0, 0, 0, True
        self._waiting: list[tuple[Any, Any, int]] = []

    def add(self, loss: float | Array, right: int | Array | None, count: int) -> None:
        """One more batch of ``count`` samples."""
        if not isinstance(loss, float):
            self._waiting.append((loss, right, count))
            return
        self._done += count
        self._total += loss * count
        self._classes = self._classes and right is not None
        self._right += int(right or 0)

    def settle(self) -> None:
        """Take the numbers that are still on the device."""
        waiting, self._waiting = self._waiting, []
        for loss, right, count in waiting:
            self.add(float(loss.item()), None if right is None else right.item(), count)

    @property
    def count(self) -> int:
        """How many samples there were."""
        return self._done

    @property
    def loss(self) -> float:
        """Mean over the samples."""
        return self._total / self._done

    @property
    def accuracy(self) -> float | None:
        """Share of right answers."""
        return self._right / self._done if self._classes else None

    def figures(self) -> str:
        """For the progress bar; empty while the numbers are on a device."""
        return figures(self.loss, self.accuracy) if self._done else ""


def right_answers(loss: Any, y: Array, t: Array) -> int | Array | None:
    """Number of samples whose largest output is the class of the target; ``None`` if the targets are no classes."""
    if y.ndim != 2:
        return None
    if t.ndim == 1 and t.dtype.kind in "iu":
        return arrays.count_equal(arrays.argmax(y), t)
    if t.shape == y.shape and isinstance(loss, nn.CrossEntropyLoss):
        return arrays.count_equal(arrays.argmax(y), arrays.argmax(t))
    return None
