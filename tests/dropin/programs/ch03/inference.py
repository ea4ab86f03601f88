"""Recognition with weights from a file, image by image."""

import os
import pickle
import sys

sys.path.append(os.pardir)
import numpy as np
from common.functions import sigmoid, softmax
from dataset.mnist import load_mnist


def get_data(images):
    (_, _), (x_test, t_test) = load_mnist(normalize=True, flatten=True, one_hot_label=False)
    return x_test[:images], t_test[:images]


def init_network():
    with open("sample_weight.pkl", "rb") as f:
        return pickle.load(f)


def predict(network, x):
    z1 = sigmoid(np.dot(x, network["W1"]) + network["b1"])
    z2 = sigmoid(np.dot(z1, network["W2"]) + network["b2"])
    return softmax(np.dot(z2, network["W3"]) + network["b3"])


if __name__ == "__main__":
    x, t = get_data(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    network = init_network()
    right = 0
    for i in range(len(x)):
        y = predict(network, x[i])
        right += np.argmax(y) == t[i]
    print("dtype", y.dtype, "shape", y.shape)
    print("accuracy", float(right) / len(x))
