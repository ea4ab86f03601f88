"""Compositions of ops in one pass over memory, where the backend has them (csrc/ops/dropin.h); the same bits otherwise.

The arrays between a network's first layers are larger than the caches, so that it is the passes that cost. The book's
convolution returns rows of filters in memory, which kernels do not work on: *channels last* below.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..backend import ops
from .calls import UnsuitedError, channels_last_rows, kernel, operands, options


def conv2d_forward(x: Array, weight: Array, bias: Array, stride: int, pad: int) -> Array:
    """``(N, K, OH, OW)``, channels last in memory: ``transpose(conv2d_forward(x))``."""
    fused = _host("_dropin_conv2d_forward")
    if fused is not None:
        rows: Array = fused(x, weight, bias, stride, pad)
        return rows.transpose(0, 3, 1, 2)
    return channels_last(kernel("conv2d_forward", x, weight, bias, stride, pad))


def channels_last(y: Array) -> Array:
    """The same ``(N, C, H, W)`` in memory by rows ``(n, h, w)`` of channels."""
    n, c, h, w = y.shape
    rows: Array = kernel("transpose", y.reshape(n, c, h * w))
    return rows.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def relu_forward(x: Any) -> tuple[Array, Array]:
    """Where the result is 0 or less, and the result, both in C order."""
    fused = _host("_dropin_relu_forward_channels_last")
    rows = None if fused is None else channels_last_rows(x)
    if rows is not None and (rows.dtype == np.float32 or not options.float32):
        y, mask = fused(rows)
        return mask.reshape(x.shape).view(np.bool_), y.reshape(x.shape)
    (v,) = operands(x)
    fused = _host("_dropin_relu_forward")
    if fused is not None:
        y, mask = fused(v)
        return mask.view(np.bool_), y
    y = kernel("relu_forward", v)
    return y <= 0, y


def relu_backward(dout: Any, mask: Any) -> Any:
    """``dout[mask] = 0``, and ``dout``; where the array is, in host memory.

    Raises:
        UnsuitedError: not for these arrays.
    """
    fused = getattr(ops(), "_dropin_relu_backward", None)
    if fused is None or type(dout) is not np.ndarray or type(mask) is not np.ndarray or mask.dtype != np.bool_:
        raise UnsuitedError("no kernel for these arrays")
    fused(dout, mask.view(np.uint8))
    return dout


def _host(name: str) -> Any:
    return getattr(ops(), name, None) if options.device == "cpu" else None
