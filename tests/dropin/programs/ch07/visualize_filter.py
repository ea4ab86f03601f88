"""The filters before and after training."""

import matplotlib.pyplot as plt
import numpy as np
from simple_convnet import SimpleConvNet


def filter_show(filters, columns=8):
    count, _, _, _ = filters.shape
    figure = plt.figure()
    for i in range(count):
        axes = figure.add_subplot(int(np.ceil(count / columns)), columns, i + 1, xticks=[], yticks=[])
        axes.imshow(filters[i, 0], cmap=plt.cm.gray_r, interpolation="nearest")
    plt.show()


np.random.seed(14)
network = SimpleConvNet()
filter_show(network.params["W1"])
print("before", np.abs(network.params["W1"]).sum())
network.load_params("params.pkl")
filter_show(network.params["W1"])
print("after", np.abs(network.params["W1"]).sum())
