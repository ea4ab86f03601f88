"""Backpropagation through convolution and pooling against differences."""

import numpy as np
from simple_convnet import SimpleConvNet

np.random.seed(12)
conv = {"filter_num": 4, "filter_size": 3, "pad": 0, "stride": 1}
network = SimpleConvNet(input_dim=(1, 10, 10), conv_param=conv, hidden_size=8, output_size=10, weight_init_std=0.1)
X, T = np.random.rand(100).reshape((1, 1, 10, 10)), np.array([1]).reshape((1, 1))
numerical, exact = network.numerical_gradient(X, T), network.gradient(X, T)
for key in numerical:
    print(key, "difference", np.average(np.abs(exact[key] - numerical[key])))
