"""Training of the network of functions; the first step's gradient also numerically."""

import os
import sys

sys.path.append(os.pardir)
import numpy as np
from dataset.mnist import load_mnist
from two_layer_net import TwoLayerNet

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)
np.random.seed(1)

small = TwoLayerNet(input_size=30, hidden_size=4, output_size=10)
x, t = x_train[:3, 200:230], t_train[:3]
exact, numerical = small.gradient(x, t), small.numerical_gradient(x, t)
for key in exact:
    print("difference", key, np.average(np.abs(exact[key] - numerical[key])))

network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10)
batch_size, lr = 100, 0.1
losses = []
for i in range(steps):
    batch = np.random.choice(x_train.shape[0], batch_size)
    grad = network.gradient(x_train[batch], t_train[batch])
    for key in ("W1", "b1", "W2", "b2"):
        network.params[key] -= lr * grad[key]
    losses.append(network.loss(x_train[batch], t_train[batch]))
    if i % max(steps // 4, 1) == 0:
        print("loss", losses[-1])
        print("acc", network.accuracy(x_train[:1000], t_train[:1000]), network.accuracy(x_test[:1000], t_test[:1000]))
print("mean loss", np.mean(losses))
