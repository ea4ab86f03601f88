"""Smoothing, shuffling, and the matrices of image windows."""

import numpy as np


def smooth_curve(x):
    """The running Kaiser-weighted mean of 11 values, the ends mirrored."""
    width = 11
    mirrored = np.r_[x[width - 1 : 0 : -1], x, x[-1:-width:-1]]
    weights = np.kaiser(width, 2)
    means = np.convolve(weights / weights.sum(), mirrored, mode="valid")
    return means[5 : len(means) - 5]


def shuffle_dataset(x, t):
    order = np.random.permutation(x.shape[0])
    x = x[order, :] if x.ndim == 2 else x[order, :, :, :]
    return x, t[order]


def conv_output_size(input_size, filter_size, stride=1, pad=0):
    return (input_size + 2 * pad - filter_size) / stride + 1


def im2col(input_data, filter_h, filter_w, stride=1, pad=0):
    """A matrix whose row (n, oy, ox) is the window (c, ky, kx) there, in float64."""
    n, c, h, w = input_data.shape
    out_h = (h + 2 * pad - filter_h) // stride + 1
    out_w = (w + 2 * pad - filter_w) // stride + 1
    image = np.pad(input_data, [(0, 0), (0, 0), (pad, pad), (pad, pad)], "constant")
    windows = np.zeros((n, c, filter_h, filter_w, out_h, out_w))
    for ky in range(filter_h):
        for kx in range(filter_w):
            windows[:, :, ky, kx] = image[:, :, ky : ky + stride * out_h : stride, kx : kx + stride * out_w : stride]
    return windows.transpose(0, 4, 5, 1, 2, 3).reshape(n * out_h * out_w, -1)


def col2im(col, input_shape, filter_h, filter_w, stride=1, pad=0):
    """The images in which every element is the sum of what stands for it in the windows of ``col``."""
    n, c, h, w = input_shape
    out_h = (h + 2 * pad - filter_h) // stride + 1
    out_w = (w + 2 * pad - filter_w) // stride + 1
    windows = col.reshape(n, out_h, out_w, c, filter_h, filter_w).transpose(0, 3, 4, 5, 1, 2)
    image = np.zeros((n, c, h + 2 * pad + stride - 1, w + 2 * pad + stride - 1))
    for ky in range(filter_h):
        for kx in range(filter_w):
            image[:, :, ky : ky + stride * out_h : stride, kx : kx + stride * out_w : stride] += windows[:, :, ky, kx]
    return image[:, :, pad : h + pad, pad : w + pad]
