"""Activations, composed of elementwise ops: what they compute is what their formulas say, in the written order."""

from __future__ import annotations

import numpy as np

from .. import arrays, random
from ..arrays import Array, full_like
from ..backend import ops
from ..tensor import Tensor, as_tensor, record
from .elementwise import (
    abs,
    add,
    clamp,
    divide,
    exp,
    expm1,
    hardtanh,
    log,
    multiply,
    negative,
    sigmoid,
    subtract,
    tanh,
    where,
)
from .reduce import amax, dimension, sum
from .shape import permute, reshape

__all__ = [
    "celu",
    "elu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu6",
    "rrelu",
    "selu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "step",
    "tanhshrink",
    "threshold",
]


def _compare(name: str, x: Tensor, bound: float) -> Array:
    kernels = ops(x.data)
    y: Array = getattr(kernels, name)(x.data, full_like(x.data, bound, ()))
    return y


def _above(x: Tensor, bound: float) -> Array:
    """1 where ``x > bound``, else 0."""
    return _compare("greater", x, bound)


def step(x: Tensor | Array) -> Tensor:
    """1 where ``x > 0``, else 0; its gradient is 0. The perceptron's."""
    x = as_tensor("step", "x", x)
    return record(_above(x, 0.0), lambda dy, needs: (full_like(dy, 0),), x)


def relu6(x: Tensor | Array) -> Tensor:
    """``min(max(x, 0), 6)``."""
    return hardtanh(x, 0.0, 6.0)


def leaky_relu(x: Tensor | Array, negative_slope: float = 0.01) -> Tensor:
    """``x`` where it is above 0, else ``x * negative_slope``."""
    x = as_tensor("leaky_relu", "x", x)
    return where(_above(x, 0.0), x, multiply(x, negative_slope))


def rrelu(x: Tensor | Array, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """:func:`leaky_relu` with slopes drawn for each element, uniform in ``[lower, upper)``; else their mean."""
    x = as_tensor("rrelu", "x", x)
    if not training:
        return leaky_relu(x, (lower + upper) / 2.0)
    slopes = Tensor(arrays.put(random.uniform(x.data.shape, lower, upper, x.data.dtype), x.data))
    return where(_above(x, 0.0), x, multiply(x, slopes))


def prelu(x: Tensor | Array, weight: Tensor | Array) -> Tensor:
    """:func:`leaky_relu` with a trained slope: one for all, or one a channel (dimension 1)."""
    x, weight = as_tensor("prelu", "x", x), as_tensor("prelu", "weight", weight)
    if weight.data.size != 1:
        channels = x.data.shape[1] if x.data.ndim > 1 else x.data.size
        if weight.data.shape != (channels,):
            raise ValueError(f"prelu: weight has shape {weight.data.shape} but x has {channels} channels")
        weight = reshape(weight, (-1, *(1,) * (x.data.ndim - 2))) if x.data.ndim > 1 else weight
    return where(_above(x, 0.0), x, multiply(x, weight))


def elu(x: Tensor | Array, alpha: float = 1.0) -> Tensor:
    """Exponential linear unit (Clevert et al., 2015): ``x`` where it is above 0, else ``expm1(x) * alpha``."""
    x = as_tensor("elu", "x", x)
    return where(_above(x, 0.0), x, multiply(expm1(clamp(x, max=0.0)), alpha))


def selu(x: Tensor | Array) -> Tensor:
    """Self-normalising exponential linear unit (Klambauer et al., 2017): ``elu`` with its two constants."""
    return multiply(elu(x, 1.6732632423543772), 1.0507009873554805)


def celu(x: Tensor | Array, alpha: float = 1.0) -> Tensor:
    """Continuously differentiable ``elu`` (Barron, 2017): below 0 ``expm1(x / alpha) * alpha``."""
    x = as_tensor("celu", "x", x)
    return where(_above(x, 0.0), x, multiply(expm1(divide(clamp(x, max=0.0), alpha)), alpha))


def _softplus(x: Tensor) -> Tensor:
    """``max(x, 0) + log(1 + exp(-abs(x)))``; its gradient is ``dy * sigmoid(x)``."""
    kernels, data = ops(x.data), x.data
    tail = kernels.log1p_forward(kernels.exp_forward(kernels.negative(kernels.abs_forward(data))))
    y = kernels.add(kernels.relu_forward(data), tail)
    return record(y, lambda dy, needs: (kernels.multiply(dy, kernels.sigmoid_forward(data)),), x)


def softplus(x: Tensor | Array, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``, and ``x`` where ``beta * x`` is above the threshold."""
    x = as_tensor("softplus", "x", x)
    scaled = multiply(x, beta) if beta != 1.0 else x
    y = divide(_softplus(scaled), beta) if beta != 1.0 else _softplus(scaled)
    return where(_above(scaled, threshold), x, y)


def logsigmoid(x: Tensor | Array) -> Tensor:
    """``log(sigmoid(x))``, which is ``-log(1 + exp(-x))``."""
    return negative(_softplus(negative(as_tensor("logsigmoid", "x", x))))


def mish(x: Tensor | Array) -> Tensor:
    """``x * tanh(log(1 + exp(x)))`` (Misra, 2019)."""
    x = as_tensor("mish", "x", x)
    return multiply(x, tanh(_softplus(x)))


def softsign(x: Tensor | Array) -> Tensor:
    """``x / (1 + abs(x))``."""
    x = as_tensor("softsign", "x", x)
    return divide(x, add(1.0, abs(x)))


def hardsigmoid(x: Tensor | Array) -> Tensor:
    """``min(max(x + 3, 0), 6) / 6``."""
    return divide(hardtanh(add(x, 3.0), 0.0, 6.0), 6.0)


def hardswish(x: Tensor | Array) -> Tensor:
    """``x * hardsigmoid(x)`` (Howard et al., 2019)."""
    x = as_tensor("hardswish", "x", x)
    return multiply(x, hardsigmoid(x))


def tanhshrink(x: Tensor | Array) -> Tensor:
    """``x - tanh(x)``."""
    x = as_tensor("tanhshrink", "x", x)
    return subtract(x, tanh(x))


def hardshrink(x: Tensor | Array, lambd: float = 0.5) -> Tensor:
    """``x`` where ``abs(x) > lambd``, else 0."""
    x = as_tensor("hardshrink", "x", x)
    return where(_above(abs(x.detach()), lambd), x, 0.0)


def softshrink(x: Tensor | Array, lambd: float = 0.5) -> Tensor:
    """``x`` moved towards 0 by ``lambd``, and 0 where it is nearer than that."""
    x = as_tensor("softshrink", "x", x)
    moved = where(_above(x, 0.0), subtract(x, lambd), add(x, lambd))
    return where(_above(abs(x.detach()), lambd), moved, 0.0)


def threshold(x: Tensor | Array, threshold: float, value: float) -> Tensor:
    """``x`` where it is above the threshold, else ``value``."""
    x = as_tensor("threshold", "x", x)
    return where(_above(x, threshold), x, value)


def glu(x: Tensor | Array, dim: int = -1) -> Tensor:
    """Gated linear unit (Dauphin et al., 2017): the first half of a dimension times the sigmoid of the second."""
    from .shape import chunk

    x = as_tensor("glu", "x", x)
    axis = dimension("glu", dim, x.data.ndim)
    if x.data.ndim == 0 or x.data.shape[axis] % 2:
        raise ValueError(f"glu: dimension {axis} must have an even size, got shape {x.data.shape}")
    a, b = chunk(x, 2, axis)
    return multiply(a, sigmoid(b))


def softmax(x: Tensor | Array, dim: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along a dimension."""
    x = as_tensor("softmax", "x", x)
    axis, ndim = dimension("softmax", dim, x.data.ndim), x.data.ndim
    if axis != ndim - 1 and ndim > 0:
        order = [i for i in range(ndim) if i != axis] + [axis]
        back = [order.index(i) for i in range(ndim)]
        return permute(softmax(permute(x, order)), back)
    if ndim != 2:
        shape = x.data.shape
        return reshape(softmax(reshape(x, (-1 if x.data.size else 0, shape[-1] if shape else 1))), shape)
    kernels = ops(x.data)
    y = kernels.softmax_forward(x.data)
    return record(y, lambda dy, needs: (kernels.softmax_backward(dy, y),), x)


def gumbel_softmax(x: Tensor | Array, tau: float = 1.0, hard: bool = False, dim: int = -1) -> Tensor:
    """``softmax((x + g) / tau)`` with ``g = -log(-log(u))`` of uniform numbers (Jang et al., 2017); one draw.

    ``hard``: 1 at the greatest element and 0 elsewhere, with the gradient of the soft result.
    """
    x = as_tensor("gumbel_softmax", "x", x)
    kernels, dtype = ops(x.data), x.data.dtype
    tiny = 2.0**-24 if dtype.itemsize == 4 else 2.0**-53
    u = arrays.put(random.uniform(x.data.shape, tiny, 1.0, dtype), x.data)
    noise = kernels.negative(kernels.log_forward(kernels.negative(kernels.log_forward(u))))
    y = softmax(divide(add(x, Tensor(noise)), tau), dim)
    if not hard:
        return y
    axis = dimension("gumbel_softmax", dim, x.data.ndim)
    best = arrays.to_numpy(kernels.argmax(y.data, axis))
    one = np.expand_dims(best, axis) == np.arange(x.data.shape[axis]).reshape((-1,) + (1,) * (x.data.ndim - 1 - axis))
    return record(arrays.put(one.astype(dtype), x.data), lambda dy, needs: (dy,), y)


def softmin(x: Tensor | Array, dim: int = -1) -> Tensor:
    """The softmax of ``-x``."""
    return softmax(negative(x), dim)


def log_softmax(x: Tensor | Array, dim: int = -1) -> Tensor:
    """``(x - m) - log(sum(exp(x - m)))`` along a dimension, where ``m`` is the maximum."""
    x = as_tensor("log_softmax", "x", x)
    shifted = subtract(x, amax(x.detach(), dim, True))
    return subtract(shifted, log(sum(exp(shifted), dim, True)))
