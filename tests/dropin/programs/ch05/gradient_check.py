"""Backpropagation against differences, on three images."""

import os
import sys

sys.path.append(os.pardir)
import numpy as np
from dataset.mnist import load_mnist
from two_layer_net import TwoLayerNet

np.random.seed(2)
(x_train, t_train), _ = load_mnist(normalize=True, one_hot_label=True)
network = TwoLayerNet(input_size=784, hidden_size=int(sys.argv[1]) if len(sys.argv) > 1 else 50, output_size=10)
x, t = x_train[:3], t_train[:3]
numerical, exact = network.numerical_gradient(x, t), network.gradient(x, t)
for key in numerical:
    print(key + ": difference", np.average(np.abs(exact[key] - numerical[key])))
