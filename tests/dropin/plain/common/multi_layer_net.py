"""A network of fully connected layers."""

from collections import OrderedDict

import numpy as np

from common.gradient import numerical_gradient
from common.layers import *


class MultiLayerNet:
    """Hidden layers with one activation, softmax at the end, an optional penalty of the weights' squares."""

    def __init__(
        self,
        input_size,
        hidden_size_list,
        output_size,
        activation="relu",
        weight_init_std="relu",
        weight_decay_lambda=0,
    ):
        self.input_size = input_size
        self.output_size = output_size
        self.hidden_size_list = hidden_size_list
        self.hidden_layer_num = len(hidden_size_list)
        self.weight_decay_lambda = weight_decay_lambda
        self.params = {}
        self._draw_weights(weight_init_std)
        self.layers = OrderedDict()
        for i in range(1, self.hidden_layer_num + 1):
            self.layers[f"Affine{i}"] = Affine(self.params[f"W{i}"], self.params[f"b{i}"])
            self.layers[f"Activation_function{i}"] = {"sigmoid": Sigmoid, "relu": Relu}[activation]()
        last = self.hidden_layer_num + 1
        self.layers[f"Affine{last}"] = Affine(self.params[f"W{last}"], self.params[f"b{last}"])
        self.last_layer = SoftmaxWithLoss()

    def _draw_weights(self, weight_init_std):
        sizes = [self.input_size, *self.hidden_size_list, self.output_size]
        for i in range(1, len(sizes)):
            std = weight_init_std
            if str(std).lower() in ("relu", "he"):
                std = np.sqrt(2.0 / sizes[i - 1])
            elif str(std).lower() in ("sigmoid", "xavier"):
                std = np.sqrt(1.0 / sizes[i - 1])
            self.params[f"W{i}"] = std * np.random.randn(sizes[i - 1], sizes[i])
            self.params[f"b{i}"] = np.zeros(sizes[i])

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        y = self.predict(x)
        penalty = 0
        for i in range(1, self.hidden_layer_num + 2):
            penalty += 0.5 * self.weight_decay_lambda * np.sum(self.params[f"W{i}"] ** 2)
        return self.last_layer.forward(y, t) + penalty

    def accuracy(self, x, t):
        y = np.argmax(self.predict(x), axis=1)
        if t.ndim != 1:
            t = np.argmax(t, axis=1)
        return np.sum(y == t) / float(x.shape[0])

    def numerical_gradient(self, x, t):
        grads = {}
        for i in range(1, self.hidden_layer_num + 2):
            for name in (f"W{i}", f"b{i}"):
                grads[name] = numerical_gradient(lambda _: self.loss(x, t), self.params[name])
        return grads

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        grads = {}
        for i in range(1, self.hidden_layer_num + 2):
            layer = self.layers[f"Affine{i}"]
            grads[f"W{i}"] = layer.dW + self.weight_decay_lambda * layer.W
            grads[f"b{i}"] = layer.db
        return grads
