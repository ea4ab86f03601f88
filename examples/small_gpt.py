"""A small transformer that continues sequences (Radford et al., 2018): causal attention, training, and generation with
and without a cache of keys and values, which give the same bits.

    python examples/small_gpt.py
"""

from __future__ import annotations

import numpy as np

import nnlite as nl
import nnlite.nn.functional as F
from nnlite import nn, optim

WORDS, CONTEXT, WIDTH, HEADS = 12, 24, 32, 4


class Block(nn.Module):
    """Attention to what came before, and a network of two layers, each added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.mix = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.feed = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x, cache=None):  # noqa: D102
        n, length, _ = x.shape
        q, k, v = (
            part.reshape(n, length, HEADS, WIDTH // HEADS).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).chunk(3, 2)
        )
        if cache is not None:  # keys and values of the words before
            k, v = (nl.cat([old, new], 2) for old, new in zip(cache, (k, v), strict=True)) if cache else (k, v)
        mask = np.tri(k.shape[2], dtype=bool)[-length:]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.mix(y.transpose(1, 2).reshape(n, length, WIDTH))
        return x + self.feed(self.norm2(x)), (k, v)


class SmallGPT(nn.Module):
    """Words ``(N, L)`` to scores of the next ones ``(N, L, words)``."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WORDS, bias=False)

    def forward(self, x, caches=None):  # noqa: D102
        first = caches[0][0].shape[2] if caches and caches[0] else 0
        y = self.words(x) + self.places(np.arange(first, first + x.shape[1]))
        kept = []
        for i, block in enumerate(self.blocks):
            y, pair = block(y, None if caches is None else caches[i])
            kept.append(pair)
        return self.head(self.norm(y)), kept


def sequences(count: int) -> np.ndarray:
    """Numbers that count up by a step of 1 to 3, from anywhere, modulo ``WORDS``."""
    start, step = nl.randint(0, WORDS, (count, 1)), nl.randint(1, 4, (count, 1))
    return (start + step * np.arange(CONTEXT)) % WORDS


def train(steps: int = 150) -> tuple[SmallGPT, float]:
    """The model and its last loss."""
    nl.manual_seed(0)
    model = SmallGPT()
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    loss = nl.zeros(())
    for _ in range(steps):
        x = sequences(32)
        scores, _ = model(x[:, :-1])
        loss = F.cross_entropy(scores.flatten(0, 1), x[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, loss.item()


def generate(model: SmallGPT, beginning: list[int], length: int, cached: bool) -> tuple[list[int], np.ndarray]:
    """The most likely words after a beginning, and the last scores."""
    words, caches, scores = list(beginning), [()] * len(model.blocks), nl.zeros(())
    with nl.no_grad():
        for i in range(length):
            if cached:
                new = words if i == 0 else words[-1:]
                scores, caches = model(np.array([new]), caches)
            else:
                scores, _ = model(np.array([words]))
            words.append(int(scores[0, -1].argmax()))
    return words, scores[0, -1].numpy()


if __name__ == "__main__":
    network, last = train()
    print(f"loss {last:.3f}: 2 5 8 goes on with", *generate(network, [2, 5, 8], 9, cached=True)[0][3:])
