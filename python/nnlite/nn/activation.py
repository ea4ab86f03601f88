"""Activations: the functions of :mod:`nnlite.nn.functional` of the same names as layers.

Shapes: any, and the same in and out, unless a class says otherwise. ``inplace`` is accepted and changes nothing: no op
works in place.
"""

from __future__ import annotations

import math

from .. import arguments, ops
from .. import init as initialisers
from ..arrays import Array
from ..tensor import Parameter, Tensor
from .module import Module


def _number(layer: str, name: str, value: float) -> float:
    return arguments.number(f"{layer}: {name}", value, -math.inf)


class ReLU(Module):
    """The larger of x and 0."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.relu(x)


class ReLU6(Module):
    """``min(max(x, 0), 6)``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.relu6(x)


class LeakyReLU(Module):
    """``x`` where it is above 0, else ``x * negative_slope``."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = _number("LeakyReLU", "negative_slope", negative_slope)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.leaky_relu(x, self.negative_slope)


class PReLU(Module):
    """``x`` where it is above 0, else ``x * weight`` (He et al., 2015): one slope, or one a channel (dimension 1)."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: object = "float32") -> None:
        super().__init__()
        self.num_parameters = arguments.size("PReLU: num_parameters", num_parameters)
        self.init = _number("PReLU", "init", init)
        kind = arguments.float_dtype("PReLU", dtype)
        self.weight = Parameter(initialisers.constant((self.num_parameters,), self.init, kind))

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape; ``(N, num_parameters, *)`` for several."""
        return ops.prelu(x, self.weight)


class RReLU(Module):
    """:class:`LeakyReLU` with slopes drawn for each element in training (Xu et al., 2015), else with their mean."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper = _number("RReLU", "lower", lower), _number("RReLU", "upper", upper)
        if self.lower > self.upper:
            raise ValueError(f"RReLU: lower must not be above upper, got {lower} and {upper}")

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.rrelu(x, self.lower, self.upper, self.training)


class ELU(Module):
    """``x`` where it is above 0, else ``alpha * (exp(x) - 1)`` (Clevert et al., 2015)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = _number("ELU", "alpha", alpha)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.elu(x, self.alpha)


class SELU(Module):
    """``ELU`` with the two constants that keep mean and variance (Klambauer et al., 2017)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.selu(x)


class CELU(Module):
    """``x`` where it is above 0, else ``alpha * (exp(x / alpha) - 1)`` (Barron, 2017)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = _number("CELU", "alpha", alpha)
        if self.alpha == 0:
            raise ValueError("CELU: alpha must not be 0")

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.celu(x, self.alpha)


class GELU(Module):
    """The Gaussian error linear unit (Hendrycks and Gimpel, 2016), ``x P(X < x)`` for a normal X, or its tanh form."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.gelu(x, self.approximate)


class SiLU(Module):
    """``x * sigmoid(x)``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.silu(x)


class Mish(Module):
    """``x * tanh(log(1 + exp(x)))`` (Misra, 2019)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.mish(x)


class Softplus(Module):
    """``log(1 + exp(beta * x)) / beta``, and ``x`` where ``beta * x`` is above the threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = _number("Softplus", "beta", beta), _number("Softplus", "threshold", threshold)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.softplus(x, self.beta, self.threshold)


class Softsign(Module):
    """``x / (1 + abs(x))``."""

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.softsign(x)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``."""

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.sigmoid(x)


class LogSigmoid(Module):
    """``log(sigmoid(x))``."""

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.logsigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.tanh(x)


class Hardtanh(Module):
    """``x`` within bounds."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val, self.max_val = _number("Hardtanh", "min_val", min_val), _number("Hardtanh", "max_val", max_val)
        if self.min_val >= self.max_val:
            raise ValueError(f"Hardtanh: min_val must be below max_val, got {min_val} and {max_val}")

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.hardtanh(x, self.min_val, self.max_val)


class Hardsigmoid(Module):
    """``min(max(x + 3, 0), 6) / 6``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.hardsigmoid(x)


class Hardswish(Module):
    """``x * hardsigmoid(x)`` (Howard et al., 2019)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.hardswish(x)


class Tanhshrink(Module):
    """``x - tanh(x)``."""

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.tanhshrink(x)


class Hardshrink(Module):
    """``x`` where ``abs(x) > lambd``, else 0."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = arguments.number("Hardshrink: lambd", lambd)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.hardshrink(x, self.lambd)


class Softshrink(Module):
    """``x`` moved towards 0 by ``lambd``, and 0 where it is nearer than that."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = arguments.number("Softshrink: lambd", lambd)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.softshrink(x, self.lambd)


class Threshold(Module):
    """``x`` where it is above the threshold, else ``value``."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value = _number("Threshold", "threshold", threshold), _number("Threshold", "value", value)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.threshold(x, self.threshold, self.value)


class GLU(Module):
    """Gated linear unit (Dauphin et al., 2017): the first half of a dimension times the sigmoid of the second."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = int(dim)

    def forward(self, x: Tensor | Array) -> Tensor:
        """An even size along ``dim``; the result has half of it."""
        return ops.glu(x, self.dim)


class Softmax(Module):
    """Softmax along a dimension."""

    def __init__(self, dim: int | None = -1) -> None:
        super().__init__()
        self.dim = -1 if dim is None else int(dim)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.softmax(x, self.dim)


class Softmin(Module):
    """The softmax of ``-x`` along a dimension."""

    def __init__(self, dim: int | None = -1) -> None:
        super().__init__()
        self.dim = -1 if dim is None else int(dim)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.softmin(x, self.dim)


class LogSoftmax(Module):
    """The logarithm of the softmax along a dimension."""

    def __init__(self, dim: int | None = -1) -> None:
        super().__init__()
        self.dim = -1 if dim is None else int(dim)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.log_softmax(x, self.dim)


class Softmax2d(Module):
    """Softmax over the channels of images."""

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, H, W)`` or ``(C, H, W)``."""
        return ops.softmax(x, -3)
