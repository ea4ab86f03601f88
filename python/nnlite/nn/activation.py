"""Activations."""

from __future__ import annotations

from .. import ops
from ..arrays import Array
from ..tensor import Tensor
from .module import Module


class ReLU(Module):
    """The larger of x and 0. ``inplace`` is accepted and changes nothing: no op works in place."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.relu(x)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``."""

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.tanh(x)


class GELU(Module):
    """The Gaussian error linear unit (Hendrycks and Gimpel, 2016), about ``x P(X < x)`` for a normal X.

    Raises:
        ValueError: ``approximate`` is not "tanh". PyTorch's default, "none", needs erf, which is not there yet.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate != "tanh":
            message = "write GELU(approximate='tanh'), which differs from 'none' by up to 5e-4"
            raise ValueError(f"GELU: approximate must be 'tanh', got {approximate!r}: {message}")
        self.approximate = approximate

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.gelu_tanh(x)

    def extra_repr(self) -> str:
        """Which form."""
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """Softmax over the rows of ``(N, K)``."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        if dim not in (-1, 1):
            raise ValueError(f"Softmax: dim must be -1 or 1, the rows of (N, K), got {dim}")
        self.dim = dim

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, K)``."""
        return ops.softmax(x)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"
