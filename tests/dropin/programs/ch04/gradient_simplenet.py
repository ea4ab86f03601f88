"""The numerical gradient of a network that is one matrix."""

import os
import sys

sys.path.append(os.pardir)
import numpy as np
from common.functions import cross_entropy_error, softmax
from common.gradient import numerical_gradient


class simpleNet:
    def __init__(self):
        self.W = np.random.randn(2, 3)

    def predict(self, x):
        return np.dot(x, self.W)

    def loss(self, x, t):
        return cross_entropy_error(softmax(self.predict(x)), t)


np.random.seed(4)
x, t = np.array([0.6, 0.9]), np.array([0, 0, 1])
net = simpleNet()
print("loss", net.loss(x, t))
dW = numerical_gradient(lambda w: net.loss(x, t), net.W)
for row in dW:
    print("gradient", *row)
