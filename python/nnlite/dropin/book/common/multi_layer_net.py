"""Networks of fully connected layers."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from .gradient import numerical_gradient
from .layers import *
from .layers import Affine, Relu, Sigmoid, SoftmaxWithLoss
from .layers import __all__ as _layers

__all__ = [*_layers, "MultiLayerNet", "OrderedDict", "numerical_gradient"]


class MultiLayerNet:
    """Affine layers with an activation between them, and the softmax loss."""

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Any,
        output_size: int,
        activation: str = "relu",
        weight_init_std: Any = "relu",
        weight_decay_lambda: Any = 0,
    ) -> None:
        self.input_size = input_size
        self.output_size = output_size
        self.hidden_size_list = hidden_size_list
        self.hidden_layer_num = len(hidden_size_list)
        self.weight_decay_lambda = weight_decay_lambda
        self.params = initial_parameters([input_size, *hidden_size_list, output_size], weight_init_std)
        activations = {"sigmoid": Sigmoid, "relu": Relu}
        self.layers: Any = OrderedDict()
        for i in range(1, self.hidden_layer_num + 1):
            self.layers[f"Affine{i}"] = Affine(self.params[f"W{i}"], self.params[f"b{i}"])
            self.layers[f"Activation_function{i}"] = activations[activation]()
        i = self.hidden_layer_num + 1
        self.layers[f"Affine{i}"] = Affine(self.params[f"W{i}"], self.params[f"b{i}"])
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x: Any) -> Any:
        """Scores."""
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        """Loss of the scores and of the weights' squares."""
        y = self.predict(x)
        return self.last_layer.forward(y, t) + weight_decay(self)

    def accuracy(self, x: Any, t: Any) -> Any:
        """Share of right answers; ``t`` one-hot or indices."""
        y = np.argmax(self.predict(x), axis=1)
        if t.ndim != 1:
            t = np.argmax(t, axis=1)
        return np.sum(y == t) / float(x.shape[0])

    def numerical_gradient(self, x: Any, t: Any) -> Any:
        """Gradients by differences."""

        def loss_W(_: Any) -> Any:
            return self.loss(x, t)

        grads = {}
        for i in range(1, self.hidden_layer_num + 2):
            grads[f"W{i}"] = numerical_gradient(loss_W, self.params[f"W{i}"])
            grads[f"b{i}"] = numerical_gradient(loss_W, self.params[f"b{i}"])
        return grads

    def gradient(self, x: Any, t: Any) -> Any:
        """Gradients by backpropagation."""
        self.loss(x, t)
        backpropagate(self)
        grads = {}
        for i in range(1, self.hidden_layer_num + 2):
            affine = self.layers[f"Affine{i}"]
            grads[f"W{i}"] = decayed(affine.dW, affine.W, self.weight_decay_lambda)
            grads[f"b{i}"] = affine.db
        return grads


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


def backpropagate(network: Any) -> None:
    """All layers backwards. Nobody sees the gradient of the first layer's input, so ours does not compute it."""
    dout = network.last_layer.backward(1)
    first, *others = network.layers.values()
    for layer in reversed(others):
        dout = layer.backward(dout)
    ours = hasattr(Affine, "parameter_gradients") and getattr(type(first), "backward", None) is Affine.backward
    (first.parameter_gradients if ours else first.backward)(dout)
