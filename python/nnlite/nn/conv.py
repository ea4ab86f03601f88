"""Convolutions, of images and of sequences, and their transposes."""

from __future__ import annotations

import math
from typing import Any

from .. import arguments, init, ops
from ..arrays import Array
from ..tensor import Parameter, Tensor
from .module import Module

_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


class _Convolution(Module):
    """What convolutions of ``_axes`` dimensions have in common, transposed or not."""

    _axes = 2
    weight: Parameter
    bias: Parameter | None

    def _sizes(self, name: str, value: Any, least: int = 1) -> tuple[int, ...]:
        what = f"{type(self).__name__}: {name}"
        if self._axes == 2:
            return arguments.pair(what, value, least)
        one = value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value
        return (arguments.size(what, one, least),)

    def _setup(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        dtype: Any,
        transposed: bool,
    ) -> None:
        layer = type(self).__name__
        self.in_channels = arguments.size(f"{layer}: in_channels", in_channels)
        self.out_channels = arguments.size(f"{layer}: out_channels", out_channels)
        self.kernel_size = self._sizes("kernel_size", kernel_size)
        self.stride = self._sizes("stride", stride)
        self.dilation = self._sizes("dilation", dilation)
        self.groups = arguments.size(f"{layer}: groups", groups)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"{layer}: groups={self.groups} does not divide {name}={getattr(self, name)}")
        first, second = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        shape = (first, second // self.groups, *self.kernel_size)
        fan_in, kind = math.prod(shape[1:]), arguments.float_dtype(layer, dtype)
        self.weight = Parameter(init.fan_in_uniform(shape, fan_in, kind))
        self.bias = Parameter(init.fan_in_uniform((self.out_channels,), fan_in, kind)) if bias else None

    def extra_repr(self) -> str:
        """Channels, and what differs from the defaults."""
        ones, zeros = (1,) * self._axes, (0,) * self._axes
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        defaults = {"padding": zeros, "output_padding": zeros, "dilation": ones, "groups": 1, "padding_mode": "zeros"}
        for name, default in defaults.items():
            if (value := getattr(self, name, default)) != default:
                text += f", {name}={value!r}"
        return text if self.bias is not None else text + ", bias=False"


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        if padding_mode not in _MODES:
            raise ValueError(f"{layer}: padding_mode must be one of {', '.join(_MODES)}, got {padding_mode!r}")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"{layer}: padding must be integers, 'same' or 'valid', got {padding!r}")
            self.padding: Any = padding
        else:
            self.padding = self._sizes("padding", padding, 0)
        self._setup(in_channels, out_channels, kernel_size, stride, dilation, groups, bias, dtype, False)
        if padding == "same" and any(step != 1 for step in self.stride):
            raise ValueError(f"{layer}: padding='same' needs stride 1, got {stride}")
        self.padding_mode = padding_mode

    def _padded(self, x: Tensor | Array) -> tuple[Tensor | Array, Any]:
        """``x`` with the borders that the convolution does not make itself, and the padding that it does."""
        if self.padding_mode == "zeros":
            return x, self.padding
        widths: list[int] = []
        for i, k, d in zip(range(self._axes), self.kernel_size, self.dilation, strict=True):
            if self.padding == "same":
                total = d * (k - 1)
                widths = [total // 2, total - total // 2, *widths]
            else:
                p = 0 if self.padding == "valid" else self.padding[i]
                widths = [p, p, *widths]
        return ops.pad(x, widths, _MODES[self.padding_mode]), (0,) * self._axes


class Conv2d(_Conv):
    """Two-dimensional convolution (cross-correlation) over ``(N, C, H, W)``.

    ``kernel_size``, ``stride``, ``padding`` and ``dilation`` are an integer or a pair (height, width); the padding
    "same" keeps height and width, "valid" is none. ``padding_mode`` is "zeros", "reflect", "replicate" or "circular".
    weight is ``(out_channels, in_channels/groups, R, S)``, bias ``(out_channels,)``; both start uniform in
    ``±1/sqrt(fan_in)`` with ``fan_in = in_channels/groups * R * S``.
    """

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, OH, OW)``."""
        x, padding = self._padded(x)
        return ops.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """One-dimensional convolution over ``(N, C, L)``; arguments as of :class:`Conv2d`, weight ``(K, C/groups, S)``."""

    _axes = 1

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, in_channels, L)`` to ``(N, out_channels, OL)``."""
        x, padding = self._padded(x)
        rest = padding if isinstance(padding, str) else padding[0]
        return ops.conv1d(x, self.weight, self.bias, self.stride[0], rest, self.dilation[0], self.groups)


class _ConvTranspose(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.padding = self._sizes("padding", padding, 0)
        self.output_padding = self._sizes("output_padding", output_padding, 0)
        self._setup(in_channels, out_channels, kernel_size, stride, dilation, groups, bias, dtype, True)


class ConvTranspose2d(_ConvTranspose):
    """The transpose of :class:`Conv2d`: it makes images larger by the stride.

    weight is ``(in_channels, out_channels/groups, R, S)``, bias ``(out_channels,)``. The result's height is
    ``(H - 1) * stride - 2 * padding + dilation * (R - 1) + output_padding + 1``.
    """

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, OH, OW)``."""
        settings = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return ops.conv_transpose2d(x, self.weight, self.bias, *settings)


class ConvTranspose1d(_ConvTranspose):
    """The transpose of :class:`Conv1d`; weight ``(in_channels, out_channels/groups, S)``."""

    _axes = 1

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, in_channels, L)`` to ``(N, out_channels, OL)``."""
        settings = (self.stride[0], self.padding[0], self.output_padding[0], self.groups, self.dilation[0])
        return ops.conv_transpose1d(x, self.weight, self.bias, *settings)
