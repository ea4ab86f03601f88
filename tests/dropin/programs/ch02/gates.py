"""Logical gates of one neuron each, and one that takes three."""

import numpy as np


def gate(w1, w2, b):
    return lambda x1, x2: int(np.sum(np.array([w1, w2]) * np.array([x1, x2])) + b > 0)


AND, NAND, OR = gate(0.5, 0.5, -0.7), gate(-0.5, -0.5, 0.7), gate(0.5, 0.5, -0.2)


def XOR(x1, x2):
    return AND(NAND(x1, x2), OR(x1, x2))


if __name__ == "__main__":
    for x1, x2 in ((0, 0), (1, 0), (0, 1), (1, 1)):
        print((x1, x2), AND(x1, x2), NAND(x1, x2), OR(x1, x2), XOR(x1, x2))
