"""The fully connected layer."""

from __future__ import annotations

import math

from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record
from .elementwise import add, multiply
from .reduce import sum
from .shape import reshape, transpose, unsqueeze

__all__ = ["bilinear", "linear"]


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


def bilinear(
    x1: Tensor | Array, x2: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None = None
) -> Tensor:
    """``y[k] = x1 @ weight[k] @ x2 + bias[k]``: for each k the row ``x1 @ weight[k]``, times ``x2``, summed.

    Shapes: x1 ``(*, in1)``, x2 ``(*, in2)``, weight ``(out, in1, in2)``, bias ``(out,)``; the result ``(*, out)``.
    """
    x1, x2, weight = (
        as_tensor("bilinear", "x1", x1),
        as_tensor("bilinear", "x2", x2),
        as_tensor("bilinear", "weight", weight),
    )
    out, in1, in2 = weight.data.shape
    if x1.data.shape[-1] != in1 or x2.data.shape[-1] != in2 or x1.data.shape[:-1] != x2.data.shape[:-1]:
        raise ValueError(
            f"bilinear: weight of shape {weight.data.shape} needs (*, {in1}) and (*, {in2}), "
            f"got {x1.data.shape} and {x2.data.shape}"
        )
    lead = x1.data.shape[:-1]
    rows = linear(x1, reshape(transpose(weight, 1, 2), (out * in2, in1)))
    y = sum(multiply(reshape(rows, (*lead, out, in2)), unsqueeze(x2, -2)), -1)
    return y if bias is None else add(y, bias)
