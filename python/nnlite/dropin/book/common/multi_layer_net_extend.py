"""Networks of fully connected layers with batch normalisation and dropout."""

from collections import OrderedDict
from typing import Any

import numpy as np

from nnlite.dropin import networks as _networks

from .gradient import numerical_gradient
from .layers import *
from .layers import Affine, BatchNormalization, Dropout, Relu, Sigmoid, SoftmaxWithLoss


class MultiLayerNetExtend:
    """Affine, batch normalisation, activation, dropout: as often as there are hidden sizes; then the softmax loss."""

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Any,
        output_size: int,
        activation: str = "relu",
        weight_init_std: Any = "relu",
        weight_decay_lambda: Any = 0,
        use_dropout: Any = False,
        dropout_ration: Any = 0.5,
        use_batchnorm: Any = False,
    ) -> None:
        self.input_size = input_size
        self.output_size = output_size
        self.hidden_size_list = hidden_size_list
        self.hidden_layer_num = len(hidden_size_list)
        self.use_dropout = use_dropout
        self.weight_decay_lambda = weight_decay_lambda
        self.use_batchnorm = use_batchnorm
        self.params = _networks.initial_parameters([input_size, *hidden_size_list, output_size], weight_init_std)
        activations = {"sigmoid": Sigmoid, "relu": Relu}
        self.layers: Any = OrderedDict()
        for i in range(1, self.hidden_layer_num + 1):
            self.layers[f"Affine{i}"] = Affine(self.params[f"W{i}"], self.params[f"b{i}"])
            if self.use_batchnorm:
                gamma = self.params[f"gamma{i}"] = np.ones(hidden_size_list[i - 1])
                beta = self.params[f"beta{i}"] = np.zeros(hidden_size_list[i - 1])
                self.layers[f"BatchNorm{i}"] = BatchNormalization(gamma, beta)
            self.layers[f"Activation_function{i}"] = activations[activation]()
            if self.use_dropout:
                self.layers[f"Dropout{i}"] = Dropout(dropout_ration)
        i = self.hidden_layer_num + 1
        self.layers[f"Affine{i}"] = Affine(self.params[f"W{i}"], self.params[f"b{i}"])
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x: Any, train_flg: Any = False) -> Any:
        """Scores."""
        for key, layer in self.layers.items():
            x = layer.forward(x, train_flg) if "Dropout" in key or "BatchNorm" in key else layer.forward(x)
        return x

    @_networks.with_decay
    def loss(self, x: Any, t: Any, train_flg: Any = False) -> Any:
        """Loss of the scores and of the weights' squares."""
        y = self.predict(x, train_flg)
        return self.last_layer.forward(y, t) + _networks.weight_decay(self)

    def accuracy(self, X: Any, T: Any) -> Any:
        """Share of right answers; ``T`` one-hot or indices."""
        y = np.argmax(self.predict(X, train_flg=False), axis=1)
        if T.ndim != 1:
            T = np.argmax(T, axis=1)
        return np.sum(y == T) / float(X.shape[0])

    def numerical_gradient(self, X: Any, T: Any) -> Any:
        """Gradients by differences, in training mode."""

        def loss_W(_: Any) -> Any:
            return self.loss(X, T, train_flg=True)

        grads = {}
        for i in range(1, self.hidden_layer_num + 2):
            grads[f"W{i}"] = numerical_gradient(loss_W, self.params[f"W{i}"])
            grads[f"b{i}"] = numerical_gradient(loss_W, self.params[f"b{i}"])
            if self.use_batchnorm and i != self.hidden_layer_num + 1:
                grads[f"gamma{i}"] = numerical_gradient(loss_W, self.params[f"gamma{i}"])
                grads[f"beta{i}"] = numerical_gradient(loss_W, self.params[f"beta{i}"])
        return grads

    def gradient(self, x: Any, t: Any) -> Any:
        """Gradients by backpropagation, in training mode."""
        _networks.forward(self, x, t, train_flg=True)
        _networks.backpropagate(self)
        grads = {}
        for i in range(1, self.hidden_layer_num + 2):
            affine = self.layers[f"Affine{i}"]
            grads[f"W{i}"] = _networks.decayed(affine.dW, self.params[f"W{i}"], self.weight_decay_lambda)
            grads[f"b{i}"] = affine.db
            if self.use_batchnorm and i != self.hidden_layer_num + 1:
                norm = self.layers[f"BatchNorm{i}"]
                grads[f"gamma{i}"], grads[f"beta{i}"] = norm.dgamma, norm.dbeta
        return grads
