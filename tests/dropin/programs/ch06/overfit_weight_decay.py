"""Three hundred images learnt by heart, and what a penalty of the weights does to that."""

import os
import sys

sys.path.append(os.pardir)
import numpy as np
from common.multi_layer_net import MultiLayerNet
from common.optimizer import SGD
from dataset.mnist import load_mnist

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 201
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True)
x_train, t_train = x_train[:300], t_train[:300]
np.random.seed(9)
for decay in (0, 0.1):
    network = MultiLayerNet(784, [100, 100, 100, 100, 100, 100], 10, weight_decay_lambda=decay)
    optimizer = SGD(lr=0.01)
    for epoch in range(epochs):
        for _ in range(3):
            batch = np.random.choice(300, 100)
            optimizer.update(network.params, network.gradient(x_train[batch], t_train[batch]))
        print("epoch", epoch, "acc", network.accuracy(x_train, t_train), network.accuracy(x_test[:500], t_test[:500]))
        print("loss", network.loss(x_train, t_train))
