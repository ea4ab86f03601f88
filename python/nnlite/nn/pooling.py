"""Pooling."""

from __future__ import annotations

from typing import Any

from .. import arguments, ops
from ..arguments import Pair
from ..arrays import Array
from ..tensor import Tensor
from .module import Module


def _one(what: str, value: Any, least: int = 1) -> int:
    return arguments.size(what, value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value, least)


def _window1d(layer: str, kernel_size: int, stride: int | None, padding: int) -> tuple[int, int, int]:
    kernel = _one(f"{layer}: kernel_size", kernel_size)
    step = kernel if stride is None else _one(f"{layer}: stride", stride)
    pad = _one(f"{layer}: padding", padding, 0)
    if 2 * pad > kernel:
        raise ValueError(f"{layer}: padding must be at most half of kernel_size {kernel}, got {pad}")
    return kernel, step, pad


def _no_dilation(layer: str, dilation: Pair) -> int:
    if dilation not in (1, (1, 1), [1, 1]):
        raise ValueError(f"{layer}: dilation must be 1, got {dilation}; use F.unfold and amax")
    return 1


class MaxPool2d(Module):
    """The maximum of each window of ``(N, C, H, W)``. ``stride`` defaults to ``kernel_size``.

    ``return_indices``: the result is a pair, whose second array :class:`MaxUnpool2d` takes. ``ceil_mode``: a window may
    reach over the border behind.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        dilation: Pair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = arguments.window("MaxPool2d", kernel_size, stride, padding)
        self.dilation = _no_dilation("MaxPool2d", dilation)
        self.return_indices, self.ceil_mode = bool(return_indices), bool(ceil_mode)

    def forward(self, x: Tensor | Array) -> Any:
        """``(N, C, H, W)`` to ``(N, C, OH, OW)``."""
        settings = (self.kernel_size, self.stride, self.padding, 1, self.ceil_mode, self.return_indices)
        return ops.max_pool2d(x, *settings)

    def extra_repr(self) -> str:
        """Kernel, stride and padding."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool1d(Module):
    """The maximum of each window of ``(N, C, L)``; see :class:`MaxPool2d`."""

    def __init__(
        self,
        kernel_size: int,
        stride: int | None = None,
        padding: int = 0,
        dilation: int = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = _window1d("MaxPool1d", kernel_size, stride, padding)
        self.dilation = _no_dilation("MaxPool1d", dilation)
        self.return_indices, self.ceil_mode = bool(return_indices), bool(ceil_mode)

    def forward(self, x: Tensor | Array) -> Any:
        """``(N, C, L)`` to ``(N, C, OL)``."""
        settings = (self.kernel_size, self.stride, self.padding, 1, self.ceil_mode, self.return_indices)
        return ops.max_pool1d(x, *settings)


class MaxUnpool2d(Module):
    """Maxima back where :class:`MaxPool2d` took them from, and 0 elsewhere."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = arguments.window("MaxUnpool2d", kernel_size, stride, padding)

    def forward(self, x: Tensor | Array, indices: Array, output_size: Any = None) -> Tensor:
        """``(N, C, OH, OW)`` to ``(N, C, H, W)``."""
        return ops.max_unpool2d(x, indices, self.kernel_size, self.stride, self.padding, output_size)


class AvgPool2d(Module):
    """The mean of each window of ``(N, C, H, W)``; see :func:`nnlite.nn.functional.avg_pool2d`."""

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = arguments.window("AvgPool2d", kernel_size, stride, padding)
        self.ceil_mode, self.count_include_pad = bool(ceil_mode), bool(count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, OH, OW)``."""
        settings = (self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override)
        return ops.avg_pool2d(x, self.kernel_size, self.stride, *settings)

    def extra_repr(self) -> str:
        """Kernel, stride and padding."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(Module):
    """The mean of each window of ``(N, C, L)``."""

    def __init__(
        self,
        kernel_size: int,
        stride: int | None = None,
        padding: int = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = _window1d("AvgPool1d", kernel_size, stride, padding)
        self.ceil_mode, self.count_include_pad = bool(ceil_mode), bool(count_include_pad)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, L)`` to ``(N, C, OL)``."""
        settings = (self.padding, self.ceil_mode, self.count_include_pad)
        return ops.avg_pool1d(x, self.kernel_size, self.stride, *settings)


class MaxUnpool1d(Module):
    """Maxima back where :class:`MaxPool1d` took them from, and 0 elsewhere."""

    def __init__(self, kernel_size: int, stride: int | None = None, padding: int = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = _window1d("MaxUnpool1d", kernel_size, stride, padding)

    def forward(self, x: Tensor | Array, indices: Array, output_size: Any = None) -> Tensor:
        """``(N, C, OL)`` to ``(N, C, L)``."""
        return ops.max_unpool1d(x, indices, self.kernel_size, self.stride, self.padding, output_size)


class LPPool1d(Module):
    """``sum(x**p)**(1/p)`` over each window of ``(N, C, L)``."""

    def __init__(self, norm_type: float, kernel_size: int, stride: int | None = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = arguments.number("LPPool1d: norm_type", norm_type, above=True)
        self.kernel_size, self.stride, _ = _window1d("LPPool1d", kernel_size, stride, 0)
        self.ceil_mode = bool(ceil_mode)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, L)`` to ``(N, C, OL)``."""
        return ops.lp_pool1d(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(Module):
    """``sum(x**p)**(1/p)`` over each window."""

    def __init__(
        self, norm_type: float, kernel_size: Pair, stride: Pair | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = arguments.number("LPPool2d: norm_type", norm_type, above=True)
        self.kernel_size, self.stride, _ = arguments.window("LPPool2d", kernel_size, stride, 0)
        self.ceil_mode = bool(ceil_mode)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, OH, OW)``."""
        return ops.lp_pool2d(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


def _bins(layer: str, output_size: Any) -> tuple[int | None, int | None]:
    sizes = (output_size, output_size) if output_size is None or isinstance(output_size, int) else tuple(output_size)
    if len(sizes) != 2:
        raise ValueError(f"{layer}: output_size must be an integer or a pair, got {output_size!r}")
    return tuple(None if n is None else arguments.size(f"{layer}: output_size", n) for n in sizes)  # type: ignore[return-value]


class AdaptiveAvgPool2d(Module):
    """Means over bins: ``(N, C, H, W)`` to ``(N, C, *output_size)``; ``None`` keeps a size."""

    def __init__(self, output_size: Any = 1) -> None:
        super().__init__()
        self.output_size = _bins("AdaptiveAvgPool2d", output_size)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, *output_size)``."""
        return ops.adaptive_avg_pool2d(x, self.output_size)


class AdaptiveMaxPool2d(Module):
    """Maxima over bins: ``(N, C, H, W)`` to ``(N, C, *output_size)``; ``None`` keeps a size."""

    def __init__(self, output_size: Any = 1) -> None:
        super().__init__()
        self.output_size = _bins("AdaptiveMaxPool2d", output_size)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, *output_size)``."""
        return ops.adaptive_max_pool2d(x, self.output_size)


class AdaptiveAvgPool1d(Module):
    """Means over bins: ``(N, C, L)`` to ``(N, C, output_size)``."""

    def __init__(self, output_size: int = 1) -> None:
        super().__init__()
        self.output_size = _one("AdaptiveAvgPool1d: output_size", output_size)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, L)`` to ``(N, C, output_size)``."""
        return ops.adaptive_avg_pool1d(x, self.output_size)


class AdaptiveMaxPool1d(Module):
    """Maxima over bins: ``(N, C, L)`` to ``(N, C, output_size)``."""

    def __init__(self, output_size: int = 1) -> None:
        super().__init__()
        self.output_size = _one("AdaptiveMaxPool1d: output_size", output_size)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, L)`` to ``(N, C, output_size)``."""
        return ops.adaptive_max_pool1d(x, self.output_size)
