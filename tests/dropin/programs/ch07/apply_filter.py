"""One image through single learnt filters."""

import os
import sys

sys.path.append(os.pardir)
import matplotlib.pyplot as plt
import numpy as np
from common.layers import Convolution
from simple_convnet import SimpleConvNet

network = SimpleConvNet()
network.load_params("params.pkl")
y, x = np.mgrid[:64, :64]
image = ((np.sin(x / 5.0) + np.cos(y / 7.0) + 2) / 4).astype(np.float32).reshape(1, 1, 64, 64)
figure = plt.figure()
for i in range(16):
    w = network.params["W1"][i].reshape(1, 1, 5, 5)
    out = Convolution(w, 0).forward(image)
    axes = figure.add_subplot(4, 4, i + 1, xticks=[], yticks=[])
    axes.imshow(out.reshape(out.shape[2], out.shape[3]), cmap=plt.cm.gray_r)
    print("filter", i, out.dtype, out.shape, out.mean(), np.abs(out).max())
plt.show()
