"""Recognition with weights from a file, a hundred images at a time."""

import sys

import numpy as np
from inference import get_data, init_network, predict

x, t = get_data(int(sys.argv[1]) if len(sys.argv) > 1 else None)
network = init_network()
size = 100
right = 0
for i in range(0, len(x), size):
    y = predict(network, x[i : i + size])
    right += np.sum(np.argmax(y, axis=1) == t[i : i + size])
print("largest probability", float(y.max()))
print("accuracy", float(right) / len(x))
