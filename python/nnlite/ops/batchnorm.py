"""Batch normalisation with the batch's own statistics, or with given ones."""

from __future__ import annotations

from .. import arrays
from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, is_recorded, record

__all__ = ["batchnorm_inference", "batchnorm_training"]


def batchnorm_training(
    x: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array, eps: float = 1e-5, relu: bool = False
) -> tuple[Tensor, Array, Array]:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` per channel, with the mean and the biased variance of the batch.

    Shapes: x ``(N, C)``, ``(N, C, L)`` or ``(N, C, H, W)``; weight, bias, mean and var ``(C,)``. With ``relu``, the
    same as :func:`relu` of it, in one pass over memory, and nothing of its result is kept for the gradient.

    Returns:
        the normalised tensor, and the statistics as plain arrays.
    """
    x, weight, bias = _tensors("batchnorm_training", x, weight, bias)
    kernels = ops(x.data)
    data, w, b = x.data, weight.data, bias.data
    y, mean, var = kernels.batchnorm_training_forward(data, w, b, eps, relu)

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        dx, dweight, dbias = kernels.batchnorm_training_backward(dy, data, w, mean, var, eps, b if relu else None)
        return dx, dweight, dbias

    return record(y, pullback, x, weight, bias), mean, var


def batchnorm_inference(
    x: Tensor | Array,
    weight: Tensor | Array,
    bias: Tensor | Array,
    mean: Array,
    var: Array,
    eps: float = 1e-5,
    relu: bool = False,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` per channel, with given statistics.

    Shapes and ``relu`` as of :func:`batchnorm_training`. What the gradient needs of ``mean`` and ``var`` are copies:
    a layer updates its running statistics in place.
    """
    x, weight, bias = _tensors("batchnorm_inference", x, weight, bias)
    kernels = ops(x.data)
    data, w, b = x.data, weight.data, bias.data
    y = kernels.batchnorm_inference_forward(data, w, b, mean, var, eps, relu)
    if is_recorded(x, weight, bias):
        mean, var = arrays.copy(mean), arrays.copy(var)

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        dx, dweight, dbias = kernels.batchnorm_inference_backward(dy, data, w, mean, var, eps, b if relu else None)
        return dx, dweight, dbias

    return record(y, pullback, x, weight, bias)


def _tensors(op: str, x: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array) -> tuple[Tensor, Tensor, Tensor]:
    return as_tensor(op, "x", x), as_tensor(op, "weight", weight), as_tensor(op, "bias", bias)
