"""Networks of fully connected layers."""

from collections import OrderedDict
from typing import Any

import numpy as np

from nnlite.dropin import networks as _networks

from .gradient import numerical_gradient
from .layers import *
from .layers import Affine, Relu, Sigmoid, SoftmaxWithLoss


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
        self.params = _networks.initial_parameters([input_size, *hidden_size_list, output_size], weight_init_std)
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

    @_networks.with_decay
    def loss(self, x: Any, t: Any) -> Any:
        """Loss of the scores and of the weights' squares."""
        y = self.predict(x)
        return self.last_layer.forward(y, t) + _networks.weight_decay(self)

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
        _networks.forward(self, x, t)
        _networks.backpropagate(self)
        grads = {}
        for i in range(1, self.hidden_layer_num + 2):
            affine = self.layers[f"Affine{i}"]
            grads[f"W{i}"] = _networks.decayed(affine.dW, affine.W, self.weight_decay_lambda)
            grads[f"b{i}"] = affine.db
        return grads
