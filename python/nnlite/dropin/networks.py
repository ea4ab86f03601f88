"""What the book's two networks of fully connected layers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

_without_dx: set[Callable[..., Any]] = set()
_with_decay: set[Callable[..., Any]] = set()


def initial_parameters(sizes: list[int], weight_init_std: Any) -> dict[str, Any]:
    """Normal weights of the given standard deviation, or of He's or Xavier's, and biases 0."""
    params: dict[str, Any] = {}
    for i in range(1, len(sizes)):
        scale = weight_init_std
        if str(weight_init_std).lower() in ("relu", "he"):
            scale = np.sqrt(2.0 / sizes[i - 1])
        elif str(weight_init_std).lower() in ("sigmoid", "xavier"):
            scale = np.sqrt(1.0 / sizes[i - 1])
        params[f"W{i}"] = scale * np.random.randn(sizes[i - 1], sizes[i])
        params[f"b{i}"] = np.zeros(sizes[i])
    return params


def weight_decay(network: Any) -> Any:
    """The share of the loss of all weights: ``λ/2 * Σ W²``."""
    rate = network.weight_decay_lambda
    if not rate:
        return 0
    return sum(0.5 * rate * np.sum(network.params[f"W{i}"] ** 2) for i in range(1, network.hidden_layer_num + 2))


def decayed(dW: Any, W: Any, weight_decay_lambda: Any) -> Any:
    """The gradient of a weight with its share of the loss."""
    return dW + weight_decay_lambda * W if weight_decay_lambda else dW


def with_decay(loss: F) -> F:
    """Mark a network's ``loss`` that is the last layer's plus :func:`weight_decay`."""
    _with_decay.add(loss)
    return loss


def forward(network: Any, x: Any, t: Any, **settings: Any) -> None:
    """The forward pass before :func:`backpropagate`. Nobody sees its loss, so ours leaves out the weights' share."""
    if getattr(network.loss, "__func__", None) in _with_decay:  # and not another that somebody put there
        network.last_layer.forward(network.predict(x, *settings.values()), t)
    else:
        network.loss(x, t, **settings)


def without_dx(backward: F) -> F:
    """Mark a layer's ``backward`` whose gradients of parameters can be had alone, by ``parameter_gradients``."""
    _without_dx.add(backward)
    return backward


def backpropagate(network: Any) -> None:
    """All layers backwards. Nobody sees the gradient of the network's input, so a first layer of ours omits it."""
    dout = network.last_layer.backward(1)
    first, *others = network.layers.values()
    for layer in reversed(others):
        dout = layer.backward(dout)
    alone = getattr(first.backward, "__func__", None) in _without_dx  # and not another that somebody put there
    (first.parameter_gradients if alone else first.backward)(dout)
