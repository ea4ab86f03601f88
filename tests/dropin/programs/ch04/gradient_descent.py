"""The way down a bowl."""

import os
import sys

sys.path.append(os.pardir)
import numpy as np
from common.gradient import numerical_gradient, numerical_gradient_2d


def bowl(x):
    return np.sum(x**2) if x.ndim == 1 else np.sum(x**2, axis=1)


def descend(f, x, lr, steps):
    way = []
    for _ in range(steps):
        way.append(x.copy())
        x -= lr * numerical_gradient(f, x)
    return x, np.array(way)


x, way = descend(bowl, np.array([-3.0, 4.0]), 0.1, 20)
print("end", x[0], x[1])
print("mean of the way", way.mean())
points = np.meshgrid(np.arange(-2, 2.5, 0.25), np.arange(-2, 2.5, 0.25))
slopes = numerical_gradient_2d(bowl, np.array([p.flatten() for p in points]).T)
print("slopes", slopes.shape, np.abs(slopes).max())
