"""Backpropagation through batch normalisation against differences: a batch of one, and one of a few images."""

import os
import sys

sys.path.append(os.pardir)
import numpy as np
from common.multi_layer_net_extend import MultiLayerNetExtend
from dataset.mnist import load_mnist

np.random.seed(7)
(x_train, t_train), _ = load_mnist(normalize=True, one_hot_label=True)
pixels = slice(300, 340) if len(sys.argv) > 1 else slice(None)
for size in (1, 5):
    x, t = x_train[:size, pixels], t_train[:size]
    network = MultiLayerNetExtend(x.shape[1], [10, 10], 10, activation="sigmoid", use_batchnorm=True)
    exact, numerical = network.gradient(x, t), network.numerical_gradient(x, t)
    for key in numerical:
        print(size, key + ": difference", np.average(np.abs(exact[key] - numerical[key])))
