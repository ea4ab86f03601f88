"""The specified random numbers (docs/numerics.md, section 10): the seed, the draw counters, and draws for the user.

Every number depends on the seed, the stream and the count of earlier draws of that stream alone. The seed is 0 until
:func:`manual_seed` sets another.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from .backend import ops
from .recording import refuse

Array = npt.NDArray[Any]

INITIALISATION, SHUFFLING, DROPOUT, USER, AUGMENTATION = range(5)


class _Draw:
    """Takes the next draw number of a stream; gives it back if the block ends in an error."""

    __slots__ = ("_draws", "_number", "_stream")

    def __init__(self, draws: list[int], stream: int) -> None:
        self._draws = draws
        self._stream = stream

    def __enter__(self) -> int:
        self._number = self._draws[self._stream]
        if self._number >= 2**32:
            raise OverflowError(f"random: stream {self._stream} has no draws left after 2^32; set another seed")
        self._draws[self._stream] = self._number + 1
        return self._number

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None and self._draws[self._stream] == self._number + 1:
            self._draws[self._stream] = self._number


class Generator:
    """A seed and the number of the next draw of each stream."""

    def __init__(self, seed: int = 0) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> None:
        """Set the seed, an integer of 64 bits, and every stream's draw number to 0."""
        if isinstance(seed, bool) or not hasattr(seed, "__index__"):
            raise TypeError(f"manual_seed: seed must be an integer, got {type(seed).__name__}")
        if not 0 <= seed < 2**64:
            raise ValueError(f"manual_seed: seed must be between 0 and 2^64 - 1, got {seed}")
        self.seed = operator.index(seed)
        self._draws = [0] * 5

    def draw(self, stream: int) -> _Draw:
        """``with generator.draw(stream) as draw:`` takes the stream's next number; an error gives it back."""
        return _Draw(self._draws, stream)

    def get_state(self) -> dict[str, Any]:
        """Seed and draw numbers, fit for JSON."""
        return {"seed": self.seed, "draws": list(self._draws)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`get_state` returned."""
        draws = state["draws"]
        if len(draws) != 5 or not all(isinstance(n, int) and 0 <= n <= 2**32 for n in draws):
            raise ValueError(f"set_state: draws must be 5 integers between 0 and 2^32, got {draws}")
        self.manual_seed(state["seed"])
        self._draws = list(draws)


generator = Generator()
manual_seed = generator.manual_seed
get_state = generator.get_state
set_state = generator.set_state


def uniform(
    shape: int | Sequence[int], low: float = 0.0, high: float = 1.0, dtype: Any = "float32", stream: int = USER
) -> Array:
    """Uniform numbers in ``[low, high)``."""
    refuse("nl.random.uniform")
    with generator.draw(stream) as draw:
        y: Array = ops().random_uniform(_shape(shape), low, high, dtype, generator.seed, draw, stream)
    return y


def normal(
    shape: int | Sequence[int], mean: float = 0.0, std: float = 1.0, dtype: Any = "float32", stream: int = USER
) -> Array:
    """Normal numbers of the given mean and standard deviation."""
    refuse("nl.random.normal")
    with generator.draw(stream) as draw:
        y: Array = ops().random_normal(_shape(shape), mean, std, dtype, generator.seed, draw, stream)
    return y


def permutation(n: int, stream: int = USER, like: Array | None = None) -> Array:
    """The integers 0 to ``n - 1`` in random order, int64; made on the device of ``like``."""
    refuse("nl.random.permutation")
    with generator.draw(stream) as draw:
        y: Array = ops(like).random_permutation(n, generator.seed, draw, stream)
    return y


def _shape(shape: int | Sequence[int]) -> Sequence[int]:
    return (operator.index(shape),) if hasattr(shape, "__index__") else shape
