"""A layer of one's own, with the backward pass written by hand, in a model of nnlite.

The layer below has two mistakes that are easy to make. It trains nevertheless: a falling loss proves nothing about a
gradient. ``nl.gradcheck`` finds the mistake and names the first wrong element; the right layer passes.

    python examples/own_layer.py
"""

from __future__ import annotations

import numpy as np

import nnlite as nl
from nnlite import nn, optim


def forward(x, weight, bias):
    """Sigmoid of ``x @ weight.T + bias``."""
    return 1 / (1 + np.exp(-(x @ weight.T + bias)))


def wrong_backward(dy, y, x, weight, bias):
    """Multiplies by ``y`` where it should be ``y * (1 - y)``, and returns its input in place of a gradient."""
    d = dy * y
    return x, d.T @ x, d.sum(axis=0)


def right_backward(dy, y, x, weight, bias):
    """The chain rule."""
    d = dy * y * (1 - y)
    return d @ weight, d.T @ x, d.sum(axis=0)


class SigmoidLayer(nn.Module):
    """A fully connected layer with a sigmoid, on an op of two NumPy functions."""

    def __init__(self, in_features, out_features, backward, dtype=np.float32):
        super().__init__()
        start = nn.Linear(in_features, out_features, dtype=dtype)
        self.weight = start.weight
        self.bias = start.bias
        self.op = nl.function(forward, backward)

    def forward(self, x):
        """``(N, in_features)`` to ``(N, out_features)``."""
        return self.op(x, self.weight, self.bias)


def train(backward, steps=100):
    """Losses of a small classifier with such a layer: on which side of a line is a point of the plane?"""
    nl.manual_seed(0)
    model = nn.Sequential(SigmoidLayer(2, 16, backward), nn.Linear(16, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    criterion = nn.CrossEntropyLoss()
    x = nl.random.normal((256, 2))
    t = (x[:, 0] > x[:, 1]).astype(np.int64)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = criterion(model(x), t)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    for backward in (wrong_backward, right_backward):
        losses = train(backward)
        print(f"{backward.__name__}: the loss falls from {losses[0]:.3f} to {losses[-1]:.3f}")
        try:
            nl.gradcheck(SigmoidLayer(3, 4, backward, dtype=np.float64), np.linspace(-1, 1, 15).reshape(5, 3))
            print("gradcheck: every gradient is right")
        except AssertionError as error:
            print(error)
