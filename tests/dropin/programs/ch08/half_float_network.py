"""Accuracy of the trained deep network, as it is and rounded to half precision."""

import os
import sys

sys.path.append(os.pardir)
import numpy as np
from dataset.mnist import load_mnist
from deep_convnet import DeepConvNet

images = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
(_, _), (x_test, t_test) = load_mnist(flatten=False)
x_test, t_test = x_test[:images], t_test[:images]
network = DeepConvNet()
network.load_params("deep_convnet_params.pkl")
print("float64 acc", network.accuracy(x_test, t_test, batch_size=50))
x_test = x_test.astype(np.float16)
for param in network.params.values():
    param[...] = param.astype(np.float16)
print("float16 acc", network.accuracy(x_test, t_test, batch_size=50))
scores = network.predict(x_test[:10])
print("scores", scores.dtype, np.abs(scores).sum())
wrong = np.flatnonzero(np.argmax(network.predict(x_test[:50]), axis=1) != t_test[:50])
print("misclassified acc", *wrong)
