"""Texts as numbers: characters or words."""

from __future__ import annotations

import collections
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .. import arguments
from .dataset import index_array

Ids = npt.NDArray[np.int64]
_LEVELS = ("char", "word")


class Vocabulary:
    """Numbers for characters or words.

    Args:
        text: what they are taken from: the most frequent first, of equally frequent ones the smaller first.
        level: ``"char"``, or ``"word"``: runs of letters and digits, and every other mark by itself.
        unknown: a token, number 0, for what is not known; without it such is an error.
        min_count: how often a token must come to be known.
        max_size: the most tokens, the unknown one included.

    Attributes:
        tokens: by number.
    """

    def __init__(
        self,
        text: str,
        level: str = "char",
        unknown: str | None = None,
        min_count: int = 1,
        max_size: int | None = None,
    ) -> None:
        if level not in _LEVELS:
            raise ValueError(f"Vocabulary: level must be 'char' or 'word', got {level!r}")
        self.level = level
        self.unknown = unknown
        least = arguments.size("Vocabulary: min_count", min_count)
        counts = collections.Counter(self.split(text))
        known = sorted((t for t in counts if counts[t] >= least and t != unknown), key=lambda t: (-counts[t], t))
        self.tokens = ([] if unknown is None else [unknown]) + known
        if max_size is not None:
            del self.tokens[arguments.size("Vocabulary: max_size", max_size) :]
        if not self.tokens:
            raise ValueError("Vocabulary: text has no tokens")
        self._number = {token: i for i, token in enumerate(self.tokens)}

    def split(self, text: str) -> list[str]:
        """The tokens of a text."""
        if not isinstance(text, str):
            raise TypeError(f"Vocabulary: text must be a str, got {type(text).__name__}")
        return list(text) if self.level == "char" else re.findall(r"\w+|[^\w\s]", text)

    def encode(self, text: str | Sequence[str]) -> Ids:
        """Numbers ``(N,)`` int64 of a text, or of a list of tokens.

        Raises:
            ValueError: a token is not known, and there is no ``unknown``.
        """
        tokens = self.split(text) if isinstance(text, str) else text
        other = None if self.unknown is None else 0
        numbers = [self._number.get(token, other) for token in tokens]
        if None in numbers:
            i = numbers.index(None)
            raise ValueError(
                f"Vocabulary: token {i}, {tokens[i]!r}, is not among the {len(self)} known ones; "
                "write Vocabulary(text, unknown='<unk>')"
            )
        return np.array(numbers, np.int64)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of numbers: characters joined, words with a space between them."""
        index = index_array("Vocabulary: numbers", numbers, len(self))
        return ("" if self.level == "char" else " ").join(self.tokens[i] for i in index)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._number


def load_text(
    path: str | os.PathLike[str],
    level: str = "char",
    vocabulary: Vocabulary | None = None,
    encoding: str = "utf-8",
) -> tuple[Ids, Vocabulary]:
    """A text file as numbers.

    Args:
        path: the file.
        level: ``"char"`` or ``"word"``, of a new vocabulary.
        vocabulary: that of the training text, for other texts; ``level`` does not count then.
        encoding: of the file.

    Returns:
        numbers ``(N,)`` int64, and the vocabulary.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not in this encoding, has no tokens, or one that the vocabulary does not know.
    """
    try:
        text = Path(path).read_text(encoding)
    except UnicodeError as error:
        raise ValueError(f"load_text: {os.fspath(path)} is not in {encoding}: {error}; write encoding=…") from error
    if vocabulary is None:
        vocabulary = Vocabulary(text, level)
    return vocabulary.encode(text), vocabulary


def sequences(numbers: Ids, length: int) -> tuple[Ids, Ids]:
    """A text cut into inputs and targets of a language model: each target is the number after its input.

    Args:
        numbers: ``(N,)``.
        length: steps of a sequence.

    Returns:
        inputs and targets, each ``((N - 1) // length, length)`` int64; what is left at the end is dropped.

    Raises:
        ValueError: the text is shorter than one sequence and its last target.
    """
    length = arguments.size("sequences: length", length)
    index = index_array("sequences: numbers", numbers, None)
    count = (len(index) - 1) // length
    if count < 1:
        raise ValueError(f"sequences: numbers has {len(index)} elements, but a sequence of {length} needs {length + 1}")
    end = count * length
    return index[:end].reshape(count, length), index[1 : end + 1].reshape(count, length)
