"""Windows of images as rows, and small helpers."""

from typing import Any

import numpy as np

from nnlite.dropin import calls as _calls


def smooth_curve(x: Any) -> Any:
    """``x`` smoothed by a Kaiser window of 11 values (β = 2), its ends mirrored; as long as ``x``."""
    window_len = 11
    s = np.r_[x[window_len - 1 : 0 : -1], x, x[-1:-window_len:-1]]
    w = np.kaiser(window_len, 2)
    y = np.convolve(w / w.sum(), s, mode="valid")
    return y[5 : len(y) - 5]


def shuffle_dataset(x: Any, t: Any) -> Any:
    """Copies of ``x`` ``(N, D)`` or ``(N, C, H, W)`` and ``t`` in one random order."""
    order = np.random.permutation(x.shape[0])
    x = x[order, :] if x.ndim == 2 else x[order, :, :, :]
    return x, t[order]


def conv_output_size(input_size: Any, filter_size: Any, stride: Any = 1, pad: Any = 0) -> Any:
    """Windows along one axis, as a float."""
    return (input_size + 2 * pad - filter_size) / stride + 1


def im2col(input_data: Any, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0) -> Any:
    """Windows of ``(N, C, H, W)`` as rows ``(n, oh, ow)`` with columns ``(c, r, s)``, of float64."""

    def compiled() -> Any:
        (x,) = _calls.numbers(input_data)
        return _calls.kernel("im2col", x, (filter_h, filter_w), stride, pad)

    def formula() -> Any:
        N, C, H, W = input_data.shape
        out_h = (H + 2 * pad - filter_h) // stride + 1
        out_w = (W + 2 * pad - filter_w) // stride + 1
        img = np.pad(input_data, [(0, 0), (0, 0), (pad, pad), (pad, pad)], "constant")
        col = np.zeros((N, C, filter_h, filter_w, out_h, out_w))
        for r in range(filter_h):
            for s in range(filter_w):
                col[:, :, r, s] = img[:, :, r : r + stride * out_h : stride, s : s + stride * out_w : stride]
        return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * out_h * out_w, -1)

    return _calls.call("im2col", compiled, formula)


def col2im(col: Any, input_shape: Any, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0) -> Any:
    """The transpose of :func:`im2col`: each pixel is the sum of its columns. A view of the padded image."""
    N, C, H, W = input_shape

    def compiled() -> Any:
        (v,) = _calls.numbers(col)
        padded = _calls.kernel("col2im", v, (N, C, H + 2 * pad, W + 2 * pad), (filter_h, filter_w), stride, 0)
        return padded if _calls.options.float32 else padded.astype(float, copy=False)

    def formula() -> Any:
        out_h = (H + 2 * pad - filter_h) // stride + 1
        out_w = (W + 2 * pad - filter_w) // stride + 1
        by_tap = col.reshape(N, out_h, out_w, C, filter_h, filter_w).transpose(0, 3, 4, 5, 1, 2)
        padded = np.zeros((N, C, H + 2 * pad + stride - 1, W + 2 * pad + stride - 1))
        for r in range(filter_h):
            for s in range(filter_w):
                padded[:, :, r : r + stride * out_h : stride, s : s + stride * out_w : stride] += by_tap[:, :, r, s]
        return padded

    return _calls.call("col2im", compiled, formula)[:, :, pad : H + pad, pad : W + pad]
