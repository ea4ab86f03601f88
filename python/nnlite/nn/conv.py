"""Convolutions."""

from __future__ import annotations

import math
from typing import Any

from .. import arguments, init, ops
from ..arguments import Pair
from ..arrays import Array
from ..tensor import Parameter, Tensor
from .module import Module


class Conv2d(Module):
    """Two-dimensional convolution (cross-correlation) over ``(N, C, H, W)``.

    ``kernel_size``, ``stride``, ``padding`` and ``dilation`` are an integer or a pair (height, width). weight is
    ``(out_channels, in_channels/groups, R, S)``, bias ``(out_channels,)``; both start uniform in ``±1/sqrt(fan_in)``
    with ``fan_in = in_channels/groups * R * S``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.in_channels = arguments.size("Conv2d: in_channels", in_channels)
        self.out_channels = arguments.size("Conv2d: out_channels", out_channels)
        self.kernel_size = arguments.pair("Conv2d: kernel_size", kernel_size)
        self.stride = arguments.pair("Conv2d: stride", stride)
        self.padding = arguments.pair("Conv2d: padding", padding, least=0)
        self.dilation = arguments.pair("Conv2d: dilation", dilation)
        self.groups = arguments.size("Conv2d: groups", groups)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"Conv2d: groups={self.groups} does not divide {name}={getattr(self, name)}")
        dtype = arguments.float_dtype("Conv2d", dtype)
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        fan_in = math.prod(shape[1:])
        self.weight = Parameter(init.fan_in_uniform(shape, fan_in, dtype))
        self.bias = Parameter(init.fan_in_uniform((self.out_channels,), fan_in, dtype)) if bias else None

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, OH, OW)``."""
        return ops.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """Channels, and what differs from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else text + ", bias=False"
