"""The loss of a classifier."""

from __future__ import annotations

from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record

__all__ = ["cross_entropy"]


def cross_entropy(x: Tensor | Array, target: Tensor | Array) -> Tensor:
    """Mean over the batch of ``-log(softmax(x)[target])``.

    Shapes: x ``(N, K)``; target ``(N,)`` of any integer dtype, or class probabilities ``(N, K)`` of x's dtype.
    """
    x = as_tensor("cross_entropy", "x", x)
    if isinstance(target, Tensor):
        if target.requires_grad:
            raise ValueError("cross_entropy: the target gets no gradient; pass target.detach()")
        target = target.data
    kernels = ops(x.data)
    labels = target
    loss, y = kernels.softmax_cross_entropy_forward(x.data, labels)
    return record(loss, lambda dy, needs: (kernels.softmax_cross_entropy_backward(dy, y, labels),), x)
