"""Look inside a network: its layers, what each of them does, the ops that run, and a training step without the Python
around it.

    python examples/look_inside.py
"""

from __future__ import annotations

import numpy as np

import nnlite as nl
from nnlite import nn, optim


def network() -> nn.Sequential:
    """Two layers on images of 8 x 8, with weights that depend on the seed alone."""
    nl.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 10)
    )


def main() -> None:
    """Print everything."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((32, 1, 8, 8), np.float32)
    t = generator.integers(0, 10, 32)

    model = network()
    print(nl.summary(model, (32, 1, 8, 8)), end="\n\n")  # nothing is computed
    print(nl.trace(model, x), end="\n\n")  # run once, and left as it was

    model.eval()
    with nl.record() as program:  # every op with its arguments
        y = model(x)
    print(program, end="\n\n")
    same = program.run(x[:5], backend="reference")  # another batch, another backend
    print("same bits on pure NumPy:", np.array_equal(same, y.numpy()[:5]))

    losses = []
    for captured in (False, True):
        model = network()
        optimizer, criterion = optim.Adam(model.parameters()), nn.CrossEntropyLoss()

        def step(x: np.ndarray, t: np.ndarray) -> nl.Tensor:
            optimizer.zero_grad()  # noqa: B023 (called in this round alone)
            loss = criterion(model(x), t)  # noqa: B023
            loss.backward()
            optimizer.step()  # noqa: B023
            return loss

        run = nl.capture(step) if captured else step
        losses.append([run(x, t).item() for _ in range(10)])
    print("same losses when captured:", losses[0] == losses[1])


if __name__ == "__main__":
    main()
