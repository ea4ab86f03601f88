"""Accuracy over epochs with batch normalisation and without."""

import os
import sys

sys.path.append(os.pardir)
import numpy as np
from common.multi_layer_net_extend import MultiLayerNetExtend
from common.optimizer import SGD
from dataset.mnist import load_mnist

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
(x_train, t_train), _ = load_mnist(normalize=True)
x_train, t_train = x_train[:1000], t_train[:1000]
np.random.seed(8)
for std in (0.1, 0.01):
    hidden = [100, 100, 100, 100, 100]
    networks = [MultiLayerNetExtend(784, hidden, 10, weight_init_std=std, use_batchnorm=b) for b in (True, False)]
    optimizer = SGD(lr=0.01)
    for i in range(epochs * 10):
        batch = np.random.choice(1000, 100)
        x, t = x_train[batch], t_train[batch]
        for network in networks:
            optimizer.update(network.params, network.gradient(x, t))
        if i % 10 == 0:
            print("epoch", i // 10, "acc", *(network.accuracy(x_train, t_train) for network in networks))
            print("loss", *(network.loss(x, t) for network in networks))
