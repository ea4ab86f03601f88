"""A network of two layers, from functions alone."""

import os
import sys

sys.path.append(os.pardir)
from common.functions import *
from common.gradient import numerical_gradient


class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01):
        self.params = {}
        self.params["W1"] = weight_init_std * np.random.randn(input_size, hidden_size)
        self.params["b1"] = np.zeros(hidden_size)
        self.params["W2"] = weight_init_std * np.random.randn(hidden_size, output_size)
        self.params["b2"] = np.zeros(output_size)

    def _forward(self, x):
        before = np.dot(x, self.params["W1"]) + self.params["b1"]
        hidden = sigmoid(before)
        return before, hidden, softmax(np.dot(hidden, self.params["W2"]) + self.params["b2"])

    def predict(self, x):
        return self._forward(x)[-1]

    def loss(self, x, t):
        return cross_entropy_error(self.predict(x), t)

    def accuracy(self, x, t):
        y = np.argmax(self.predict(x), axis=1)
        return np.sum(y == np.argmax(t, axis=1)) / float(x.shape[0])

    def numerical_gradient(self, x, t):
        return {name: numerical_gradient(lambda _: self.loss(x, t), p) for name, p in self.params.items()}

    def gradient(self, x, t):
        before, hidden, y = self._forward(x)
        dy = (y - t) / x.shape[0]
        dbefore = sigmoid_grad(before) * np.dot(dy, self.params["W2"].T)
        return {
            "W1": np.dot(x.T, dbefore),
            "b1": np.sum(dbefore, axis=0),
            "W2": np.dot(hidden.T, dy),
            "b2": np.sum(dy, axis=0),
        }
