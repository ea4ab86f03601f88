"""Optimizers on the same batches; NumPy comes with them."""

import os
import sys

sys.path.append(os.pardir)
import matplotlib.pyplot as plt
from common.multi_layer_net import MultiLayerNet
from common.optimizer import *
from common.util import smooth_curve
from dataset.mnist import load_mnist

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True)
np.random.seed(5)
optimizers = {"SGD": SGD(), "Momentum": Momentum(), "AdaGrad": AdaGrad(), "Adam": Adam()}
networks = {key: MultiLayerNet(784, [100, 100, 100, 100], 10) for key in optimizers}
train_loss = {key: [] for key in optimizers}
for i in range(steps):
    batch = np.random.choice(x_train.shape[0], 128)
    x, t = x_train[batch], t_train[batch]
    for key in optimizers:
        grads = networks[key].gradient(x, t)
        optimizers[key].update(networks[key].params, grads)
        train_loss[key].append(networks[key].loss(x, t))
    if i % max(steps // 3, 1) == 0:
        for key in optimizers:
            print(key + " loss", train_loss[key][-1])
for key in optimizers:
    plt.plot(smooth_curve(train_loss[key]), label=key)
    print(key + " smooth", smooth_curve(train_loss[key])[-1])
    print(key + " acc", networks[key].accuracy(x_test[:1000], t_test[:1000]))
plt.legend()
plt.show()
