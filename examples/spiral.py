"""Three arms of a spiral, told apart by a network of two layers; a schedule, clipped gradients, averaged weights.

python examples/spiral.py
"""

from __future__ import annotations

import numpy as np

import nnlite as nl
from nnlite import nn, optim
from nnlite.optim.lr_scheduler import CosineAnnealingLR
from nnlite.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def spiral(points: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """``points`` of each of three arms ``(3 * points, 2)``, and their classes."""
    nl.manual_seed(1)
    radius = np.tile(np.linspace(0, 1, points), 3)
    noise = nl.random.normal(3 * points, 0.0, 0.2, "float64")
    angle = np.repeat([0.0, 4.0, 8.0], points) + 4.0 * radius + noise
    x = np.stack([radius * np.sin(angle), radius * np.cos(angle)], 1)
    return x.astype(np.float32), np.repeat(np.arange(3), points)


def train(epochs: int = 300) -> float:
    """The accuracy of the averaged weights."""
    x, t = spiral()
    model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95))
    optimizer = optim.AdamW(model.parameters(), lr=0.02)
    schedule = CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in np.split(nl.randperm(len(x)), 5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), t[batch]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        average.update_parameters(model)
        schedule.step()
    return float(np.mean(average(x).argmax(1) == t))


if __name__ == "__main__":
    print(f"accuracy {train():.3f}")
