"""Layers that only move elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import arguments, ops
from ..arguments import Pair
from ..arrays import Array
from ..tensor import Tensor
from .module import Module


class Flatten(Module):
    """Dimensions ``start_dim`` to ``end_dim`` as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, ...)`` to ``(N, product of the rest)`` by default."""
        return ops.flatten(x, self.start_dim, self.end_dim)


class Unflatten(Module):
    """Dimension ``dim`` as several."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Tensor | Array) -> Tensor:
        """One size of ``unflattened_size`` may be -1."""
        return ops.unflatten(x, self.dim, self.unflattened_size)


class Unfold(Module):
    """Windows as columns: ``(N, C, H, W)`` to ``(N, C * R * S, windows)``."""

    def __init__(self, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1) -> None:
        super().__init__()
        self.kernel_size = arguments.pair("Unfold: kernel_size", kernel_size)
        self.dilation = arguments.pair("Unfold: dilation", dilation)
        self.padding = arguments.pair("Unfold: padding", padding, 0)
        self.stride = arguments.pair("Unfold: stride", stride)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, H, W)``."""
        return ops.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(Module):
    """Columns of windows added up to images: ``(N, C * R * S, windows)`` to ``(N, C, *output_size)``."""

    def __init__(
        self, output_size: Pair, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1
    ) -> None:
        super().__init__()
        self.output_size = arguments.pair("Fold: output_size", output_size)
        self.kernel_size = arguments.pair("Fold: kernel_size", kernel_size)
        self.dilation = arguments.pair("Fold: dilation", dilation)
        self.padding = arguments.pair("Fold: padding", padding, 0)
        self.stride = arguments.pair("Fold: stride", stride)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C * R * S, windows)``."""
        return ops.fold(x, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)


class PixelShuffle(Module):
    """``(*, C * r * r, H, W)`` to ``(*, C, H * r, W * r)`` (Shi et al., 2016)."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = arguments.size("PixelShuffle: upscale_factor", upscale_factor)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(*, C * r * r, H, W)``."""
        return ops.pixel_shuffle(x, self.upscale_factor)


class PixelUnshuffle(Module):
    """:class:`PixelShuffle` backwards."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = arguments.size("PixelUnshuffle: downscale_factor", downscale_factor)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(*, C, H * r, W * r)``."""
        return ops.pixel_unshuffle(x, self.downscale_factor)


class ChannelShuffle(Module):
    """Channels of ``groups`` groups taken in turns (Zhang et al., 2018)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = arguments.size("ChannelShuffle: groups", groups)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, *)``."""
        return ops.channel_shuffle(x, self.groups)


class Upsample(Module):
    """Images or sequences resampled; see :func:`nnlite.nn.functional.interpolate`."""

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
    ) -> None:
        super().__init__()
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, L)`` or ``(N, C, H, W)``."""
        return ops.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)


class UpsamplingNearest2d(Upsample):
    """:class:`Upsample` of images by the nearest element."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor)


class UpsamplingBilinear2d(Upsample):
    """:class:`Upsample` of images, bilinear with aligned corners."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class _Pad(Module):
    _axes, _mode = 2, "constant"

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        widths = (padding,) * (2 * self._axes) if isinstance(padding, int) else tuple(padding)
        if len(widths) != 2 * self._axes:
            raise ValueError(f"{type(self).__name__}: padding must have {2 * self._axes} numbers, got {padding!r}")
        self.padding = widths

    def forward(self, x: Tensor | Array) -> Tensor:
        """More elements at the borders of the last dimensions."""
        return ops.pad(x, self.padding, self._mode)


class ZeroPad1d(_Pad):
    """Zeros around sequences: (left, right)."""

    _axes = 1


class ZeroPad2d(_Pad):
    """Zeros around images: (left, right, top, bottom)."""


class ReflectionPad1d(_Pad):
    """The mirror image around sequences: (left, right)."""

    _axes, _mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The mirror image around images: (left, right, top, bottom)."""

    _mode = "reflect"


class ReplicationPad1d(_Pad):
    """The border element around sequences: (left, right)."""

    _axes, _mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The border element around images: (left, right, top, bottom)."""

    _mode = "replicate"


class CircularPad1d(_Pad):
    """The other end around sequences: (left, right)."""

    _axes, _mode = 1, "circular"


class CircularPad2d(_Pad):
    """The other end around images: (left, right, top, bottom)."""

    _mode = "circular"


class ConstantPad1d(_Pad):
    """A number around sequences: (left, right)."""

    _axes = 1

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = float(value)

    def forward(self, x: Tensor | Array) -> Tensor:
        """More elements at the borders of the last dimensions."""
        return ops.pad(x, self.padding, "constant", self.value)


class ConstantPad2d(ConstantPad1d):
    """A number around images: (left, right, top, bottom)."""

    _axes = 2
