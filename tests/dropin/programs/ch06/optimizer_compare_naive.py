"""Four optimizers on the way down a valley, the parameters two numbers."""

import os
import sys

sys.path.append(os.pardir)
from collections import OrderedDict

import matplotlib.pyplot as plt
from common.optimizer import *


def f(x, y):
    return x**2 / 20.0 + y**2


optimizers = OrderedDict()
optimizers["SGD"] = SGD(lr=0.95)
optimizers["Momentum"] = Momentum(lr=0.1)
optimizers["Nesterov"] = Nesterov(lr=0.1)
optimizers["AdaGrad"] = AdaGrad(lr=1.5)
optimizers["RMSprop"] = RMSprop(lr=0.3)
optimizers["Adam"] = Adam(lr=0.3)
params = {}
X, Y = np.meshgrid(np.arange(-10, 10, 0.1), np.arange(-5, 5, 0.1))
for i, (name, optimizer) in enumerate(optimizers.items(), 1):
    params["x"], params["y"] = -7.0, 2.0
    xs, ys = [], []
    for _ in range(30):
        xs.append(params["x"])
        ys.append(params["y"])
        optimizer.update(params, {"x": params["x"] / 10.0, "y": 2.0 * params["y"]})
    print(name, float(params["x"]), float(params["y"]))
    plt.subplot(2, 3, i)
    plt.plot(xs, ys, "o-", color="red")
    plt.contour(X, Y, f(X, Y))
    plt.title(name)
plt.show()
