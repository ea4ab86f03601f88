"""Fully connected layers."""

from __future__ import annotations

from typing import Any

from .. import arguments, init, ops
from ..arrays import Array
from ..tensor import Parameter, Tensor
from .module import Module


class Identity(Module):
    """Returns its input; any arguments are accepted and ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """``x``."""
        return x


class Linear(Module):
    """``y = x @ weight.T + bias``.

    Shapes: x ``(*, in_features)``, y ``(*, out_features)``, weight ``(out_features, in_features)``, bias
    ``(out_features,)``. Both start uniform in ``±1/sqrt(in_features)``.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, dtype: Any = "float32") -> None:
        super().__init__()
        self.in_features = arguments.size("Linear: in_features", in_features)
        self.out_features = arguments.size("Linear: out_features", out_features)
        dtype = arguments.float_dtype("Linear", dtype)
        self.weight = Parameter(init.fan_in_uniform((self.out_features, self.in_features), self.in_features, dtype))
        self.bias = Parameter(init.fan_in_uniform((self.out_features,), self.in_features, dtype)) if bias else None

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(*, in_features)`` to ``(*, out_features)``."""
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes and bias."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """``y[k] = x1 @ weight[k] @ x2 + bias[k]``.

    Shapes: x1 ``(*, in1)``, x2 ``(*, in2)``, y ``(*, out)``, weight ``(out, in1, in2)``, bias ``(out,)``. Both start
    uniform in ``±1/sqrt(in1)``.
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.in1_features = arguments.size("Bilinear: in1_features", in1_features)
        self.in2_features = arguments.size("Bilinear: in2_features", in2_features)
        self.out_features = arguments.size("Bilinear: out_features", out_features)
        kind, fan = arguments.float_dtype("Bilinear", dtype), in1_features
        self.weight = Parameter(init.fan_in_uniform((out_features, in1_features, in2_features), fan, kind))
        self.bias = Parameter(init.fan_in_uniform((out_features,), fan, kind)) if bias else None

    def forward(self, x1: Tensor | Array, x2: Tensor | Array) -> Tensor:
        """``(*, in1)`` and ``(*, in2)`` to ``(*, out)``."""
        return ops.bilinear(x1, x2, self.weight, self.bias)
