"""A network that writes: an LSTM learns a text letter by letter, by truncated backpropagation, and goes on with it.

python examples/character_lstm.py
"""

from __future__ import annotations

import numpy as np

import nnlite as nl
from nnlite import nn, optim

TEXT = "the quick brown fox jumps over the lazy dog. a journey of a thousand miles begins with a single step. " * 8


class Writer(nn.Module):
    """Letters ``(L, N)`` to scores of the next ones ``(L, N, letters)``."""

    def __init__(self, letters: int, size: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(letters, 16)
        self.lstm = nn.LSTM(16, size)
        self.out = nn.Linear(size, letters)

    def forward(self, x, state=None):  # noqa: D102
        y, state = self.lstm(self.embedding(x), state)
        return self.out(y), state


def train(epochs: int = 30, steps: int = 17) -> tuple[float, str]:
    """The last loss, and what the network writes after "the "."""
    nl.manual_seed(0)
    letters = sorted(set(TEXT))
    text = np.array([letters.index(c) for c in TEXT])
    rows = text[: len(text) // 8 * 8].reshape(8, -1).T  # eight places of the text, side by side
    model = Writer(len(letters))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    loss = nl.zeros(())
    for _ in range(epochs):
        state = None
        for first in range(0, len(rows) - 1, steps):
            x, t = rows[first : first + steps][:-1], rows[first + 1 : first + steps]
            if len(x) == 0:
                continue
            scores, state = model(x, state)
            loss = nn.functional.cross_entropy(scores.flatten(0, 1), t.reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            state = tuple(part.detach() for part in state)  # gradients go no further back
    return loss.item(), write(model, letters, "the ")


def write(model: Writer, letters: list[str], beginning: str, length: int = 40) -> str:
    """The most likely letters after a beginning."""
    text, state = beginning, None
    with nl.no_grad():
        x = np.array([[letters.index(c)] for c in beginning])
        for _ in range(length):
            scores, state = model(x, state)
            x = np.asarray(scores[-1].argmax(-1)).reshape(1, 1)
            text += letters[int(x[0, 0])]
    return text


if __name__ == "__main__":
    last, written = train()
    print(f"loss {last:.3f}: {written}")
