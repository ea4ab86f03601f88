"""Three spreads of the first weights."""

import os
import sys

sys.path.append(os.pardir)
import numpy as np
from common.multi_layer_net import MultiLayerNet
from common.optimizer import SGD
from dataset.mnist import load_mnist

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
(x_train, t_train), _ = load_mnist(normalize=True)
np.random.seed(6)
optimizer = SGD(lr=0.01)
networks = {}
for name, std in {"std=0.01": 0.01, "Xavier": "sigmoid", "He": "relu"}.items():
    networks[name] = MultiLayerNet(784, [100, 100, 100, 100], 10, weight_init_std=std)
for i in range(steps):
    batch = np.random.choice(x_train.shape[0], 128)
    x, t = x_train[batch], t_train[batch]
    for name, network in networks.items():
        optimizer.update(network.params, network.gradient(x, t))
        if i % max(steps // 3, 1) == 0:
            print(name, "loss", network.loss(x, t))
