"""The fully connected layer."""

from __future__ import annotations

import math

from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record
from .shape import reshape

__all__ = ["linear"]


def linear(x: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None = None) -> Tensor:
    """``x @ weight.T + bias`` over the last dimension of ``x``.

    Shapes: x ``(*, in)``, weight ``(out, in)``, bias ``(out,)``; the result ``(*, out)``.
    """
    x, weight = as_tensor("linear", "x", x), as_tensor("linear", "weight", weight)
    bias = None if bias is None else as_tensor("linear", "bias", bias)
    data, w = x.data, weight.data
    if data.ndim != 2 and data.ndim > 0:
        leading = data.shape[:-1]
        y = linear(reshape(x, (math.prod(leading), data.shape[-1])), weight, bias)
        return reshape(y, (*leading, y.data.shape[-1]))
    kernels = ops(data)

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        return (
            kernels.linear_backward_data(dy, w) if needs[0] else None,
            kernels.linear_backward_weights(dy, data) if needs[1] else None,
            kernels.linear_backward_bias(dy) if needs[2] else None,
        )

    return record(kernels.linear_forward(data, w, None if bias is None else bias.data), pullback, x, weight, bias)
