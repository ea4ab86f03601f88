"""Pooling."""

from __future__ import annotations

from .. import arguments, ops
from ..arguments import Pair
from ..arrays import Array
from ..tensor import Tensor
from .module import Module


class MaxPool2d(Module):
    """The maximum of each window of ``(N, C, H, W)``. ``stride`` defaults to ``kernel_size``."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = arguments.window("MaxPool2d", kernel_size, stride, padding)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, OH, OW)``."""
        return ops.max_pool2d(x, self.kernel_size, self.stride, self.padding)

    def extra_repr(self) -> str:
        """Kernel, stride and padding."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of each window of ``(N, C, H, W)``; padding counts as zeros. Arguments as of :class:`MaxPool2d`."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = arguments.window("AvgPool2d", kernel_size, stride, padding)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, OH, OW)``."""
        return ops.avg_pool2d(x, self.kernel_size, self.stride, self.padding)

    def extra_repr(self) -> str:
        """Kernel, stride and padding."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """The mean of each channel: ``(N, C, H, W)`` to ``(N, C, 1, 1)``. Other output sizes are not provided."""

    def __init__(self, output_size: Pair = 1) -> None:
        super().__init__()
        self.output_size = arguments.pair("AdaptiveAvgPool2d: output_size", output_size)
        if self.output_size != (1, 1):
            raise ValueError(f"AdaptiveAvgPool2d: output_size must be 1 or (1, 1), got {output_size}")

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, 1, 1)``."""
        return ops.global_avg_pool2d(x)

    def extra_repr(self) -> str:
        """The size."""
        return f"output_size={self.output_size}"
