"""Training of the network of layers."""

import os
import sys

sys.path.append(os.pardir)
import numpy as np
from dataset.mnist import load_mnist
from two_layer_net import TwoLayerNet

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)
np.random.seed(3)
network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10)
train_size, batch_size, lr = x_train.shape[0], 100, 0.1
per_epoch = max(steps // 3, 1)
for i in range(steps):
    batch = np.random.choice(train_size, batch_size)
    x, t = x_train[batch], t_train[batch]
    grad = network.gradient(x, t)
    for key in ("W1", "b1", "W2", "b2"):
        network.params[key] -= lr * grad[key]
    if i % per_epoch == 0 or i == steps - 1:
        print("loss", network.loss(x, t))
        print("acc", network.accuracy(x_train[:2000], t_train[:2000]), network.accuracy(x_test, t_test))
