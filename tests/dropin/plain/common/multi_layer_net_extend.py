"""A network of fully connected layers with batch normalisation and dropout."""

from collections import OrderedDict

import numpy as np

from common.gradient import numerical_gradient
from common.layers import *


class MultiLayerNetExtend:
    """Hidden layers Affine, BatchNorm, activation, Dropout, those between optional; softmax at the end."""

    def __init__(
        self,
        input_size,
        hidden_size_list,
        output_size,
        activation="relu",
        weight_init_std="relu",
        weight_decay_lambda=0,
        use_dropout=False,
        dropout_ration=0.5,
        use_batchnorm=False,
    ):
        self.input_size = input_size
        self.output_size = output_size
        self.hidden_size_list = hidden_size_list
        self.hidden_layer_num = len(hidden_size_list)
        self.use_dropout = use_dropout
        self.weight_decay_lambda = weight_decay_lambda
        self.use_batchnorm = use_batchnorm
        self.params = {}
        self._draw_weights(weight_init_std)
        self.layers = OrderedDict()
        for i in range(1, self.hidden_layer_num + 1):
            self.layers[f"Affine{i}"] = Affine(self.params[f"W{i}"], self.params[f"b{i}"])
            if use_batchnorm:
                self.params[f"gamma{i}"] = np.ones(hidden_size_list[i - 1])
                self.params[f"beta{i}"] = np.zeros(hidden_size_list[i - 1])
                norm = BatchNormalization(self.params[f"gamma{i}"], self.params[f"beta{i}"])
                self.layers[f"BatchNorm{i}"] = norm
            self.layers[f"Activation_function{i}"] = {"sigmoid": Sigmoid, "relu": Relu}[activation]()
            if use_dropout:
                self.layers[f"Dropout{i}"] = Dropout(dropout_ration)
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

    def predict(self, x, train_flg=False):
        for key, layer in self.layers.items():
            knows_of_training = "Dropout" in key or "BatchNorm" in key
            x = layer.forward(x, train_flg) if knows_of_training else layer.forward(x)
        return x

    def loss(self, x, t, train_flg=False):
        y = self.predict(x, train_flg)
        penalty = 0
        for i in range(1, self.hidden_layer_num + 2):
            penalty += 0.5 * self.weight_decay_lambda * np.sum(self.params[f"W{i}"] ** 2)
        return self.last_layer.forward(y, t) + penalty

    def accuracy(self, X, T):
        y = np.argmax(self.predict(X, train_flg=False), axis=1)
        if T.ndim != 1:
            T = np.argmax(T, axis=1)
        return np.sum(y == T) / float(X.shape[0])

    def numerical_gradient(self, X, T):
        grads = {}
        for i in range(1, self.hidden_layer_num + 2):
            names = [f"W{i}", f"b{i}"]
            if self.use_batchnorm and i <= self.hidden_layer_num:
                names += [f"gamma{i}", f"beta{i}"]
            for name in names:
                grads[name] = numerical_gradient(lambda _: self.loss(X, T, train_flg=True), self.params[name])
        return grads

    def gradient(self, x, t):
        self.loss(x, t, train_flg=True)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        grads = {}
        for i in range(1, self.hidden_layer_num + 2):
            layer = self.layers[f"Affine{i}"]
            grads[f"W{i}"] = layer.dW + self.weight_decay_lambda * self.params[f"W{i}"]
            grads[f"b{i}"] = layer.db
            if self.use_batchnorm and i <= self.hidden_layer_num:
                grads[f"gamma{i}"] = self.layers[f"BatchNorm{i}"].dgamma
                grads[f"beta{i}"] = self.layers[f"BatchNorm{i}"].dbeta
        return grads
