"""Convolutions, of images and of sequences, and their transposes."""

from __future__ import annotations

from collections.abc import Sequence

from ..arrays import Array
from ..backend import ops
from ..tensor import Tensor, as_tensor, record
from .elementwise import add
from .shape import pad, reshape, squeeze, unsqueeze

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"]

Pair = int | Sequence[int]


def pair(value: Pair) -> tuple[int, int]:
    """An integer, or two, as (height, width)."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _padding(
    op: str, x: Tensor, kernel: tuple[int, ...], stride: Pair, padding: Pair | str, dilation: Pair
) -> tuple[Tensor, Pair]:
    """``x`` and the padding that is left to do, where "same" or "valid" stands for a number."""
    if not isinstance(padding, str):
        return x, padding
    if padding == "valid":
        return x, 0
    if padding != "same":
        raise ValueError(f"{op}: padding must be an integer, a pair, 'same' or 'valid', got {padding!r}")
    if pair(stride) != (1, 1):
        raise ValueError(f"{op}: padding='same' needs stride 1, got {stride}")
    totals = [d * (k - 1) for d, k in zip(pair(dilation), kernel, strict=True)]
    if any(total % 2 for total in totals):  # one more behind than before
        widths = [width for total in reversed(totals) for width in (total // 2, total - total // 2)]
        return pad(x, widths), 0
    return x, (totals[0] // 2, totals[1] // 2)


def conv2d(
    x: Tensor | Array,
    weight: Tensor | Array,
    bias: Tensor | Array | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Two-dimensional convolution (cross-correlation).

    Shapes: x ``(N, C, H, W)`` or ``(C, H, W)``, weight ``(K, C/groups, R, S)``, bias ``(K,)``; the result
    ``(N, K, OH, OW)``. The padding "same" keeps height and width, "valid" is none.
    """
    x, weight = as_tensor("conv2d", "x", x), as_tensor("conv2d", "weight", weight)
    if x.data.ndim == 3:
        return squeeze(conv2d(unsqueeze(x, 0), weight, bias, stride, padding, dilation, groups), 0)
    if isinstance(padding, str):
        x, padding = _padding("conv2d", x, weight.data.shape[2:], stride, padding, dilation)
    bias = None if bias is None else as_tensor("conv2d", "bias", bias)
    kernels = ops(x.data)
    data, w = x.data, weight.data
    settings = (stride, padding, dilation, groups)

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        return (
            kernels.conv2d_backward_data(dy, w, data.shape, *settings) if needs[0] else None,
            kernels.conv2d_backward_weights(dy, data, w.shape, *settings) if needs[1] else None,
            kernels.conv2d_backward_bias(dy) if needs[2] else None,
        )

    return record(
        kernels.conv2d_forward(data, w, None if bias is None else bias.data, *settings), pullback, x, weight, bias
    )


def conv1d(
    x: Tensor | Array,
    weight: Tensor | Array,
    bias: Tensor | Array | None = None,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """One-dimensional convolution: :func:`conv2d` of images of height 1.

    Shapes: x ``(N, C, L)`` or ``(C, L)``, weight ``(K, C/groups, S)``, bias ``(K,)``; the result ``(N, K, OL)``.
    """
    x, weight = as_tensor("conv1d", "x", x), as_tensor("conv1d", "weight", weight)
    if x.data.ndim not in (2, 3) or weight.data.ndim != 3:
        raise ValueError(
            f"conv1d: x must be (N, C, L) or (C, L) and weight (K, C/groups, S), got {x.data.shape} and "
            f"{weight.data.shape}"
        )
    rows = padding if isinstance(padding, str) else (0, _one("conv1d", "padding", padding))
    steps = (1, _one("conv1d", "stride", stride)), rows, (1, _one("conv1d", "dilation", dilation)), groups
    if rows == "same" and steps[0] != (1, 1):
        raise ValueError(f"conv1d: padding='same' needs stride 1, got {stride}")
    return squeeze(conv2d(unsqueeze(x, -2), unsqueeze(weight, -2), bias, *steps), -2)


def _one(op: str, name: str, value: Pair) -> int:
    if isinstance(value, int):
        return value
    if len(value) != 1:
        raise ValueError(f"{op}: {name} must be one integer, got {value!r}")
    return value[0]


def conv_transpose2d(
    x: Tensor | Array,
    weight: Tensor | Array,
    bias: Tensor | Array | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Tensor:
    """The transpose of a convolution: what :func:`conv2d` with these settings does to gradients of its input.

    Shapes: x ``(N, C, H, W)`` or ``(C, H, W)``, weight ``(C, K/groups, R, S)``, bias ``(K,)``; the result
    ``(N, K, OH, OW)`` with ``OH = (H - 1) * stride - 2 * padding + dilation * (R - 1) + output_padding + 1``.
    """
    op = "conv_transpose2d"
    x, weight = as_tensor(op, "x", x), as_tensor(op, "weight", weight)
    if x.data.ndim == 3:
        y = conv_transpose2d(unsqueeze(x, 0), weight, bias, stride, padding, output_padding, groups, dilation)
        return squeeze(y, 0)
    if x.data.ndim != 4 or weight.data.ndim != 4:
        raise ValueError(
            f"{op}: x must be (N, C, H, W) and weight (C, K/groups, R, S), got {x.data.shape} and {weight.data.shape}"
        )
    if x.data.shape[1] != weight.data.shape[0]:
        raise ValueError(f"{op}: x has {x.data.shape[1]} channels but weight expects {weight.data.shape[0]}")
    steps, pads, dilations, extra = pair(stride), pair(padding), pair(dilation), pair(output_padding)
    for e, s, d in zip(extra, steps, dilations, strict=True):
        if not 0 <= e < max(s, d):
            raise ValueError(f"{op}: output_padding must be below stride or dilation, got {output_padding}")
    data, w = x.data, weight.data
    sizes = [
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(data.shape[2:], steps, pads, dilations, w.shape[2:], extra, strict=True)
    ]
    if min(sizes) < 1:
        raise ValueError(f"{op}: the result would have height and width {tuple(sizes)}; use less padding")
    kernels, shape = ops(data), (data.shape[0], w.shape[1] * groups, *sizes)
    settings = (steps, pads, dilations, groups)
    result = kernels.conv2d_backward_data(data, w, shape, *settings)

    def pullback(dy: Array, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
        return (
            kernels.conv2d_forward(dy, w, None, *settings) if needs[0] else None,
            kernels.conv2d_backward_weights(data, dy, w.shape, *settings) if needs[1] else None,
        )

    y = record(result, pullback, x, weight)
    return y if bias is None else add(y, reshape(bias, (-1, 1, 1)))


def conv_transpose1d(
    x: Tensor | Array,
    weight: Tensor | Array,
    bias: Tensor | Array | None = None,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    groups: int = 1,
    dilation: int = 1,
) -> Tensor:
    """:func:`conv_transpose2d` of sequences: x ``(N, C, L)`` or ``(C, L)``, weight ``(C, K/groups, S)``."""
    op = "conv_transpose1d"
    x, weight = as_tensor(op, "x", x), as_tensor(op, "weight", weight)
    steps, pads = (1, _one(op, "stride", stride)), (0, _one(op, "padding", padding))
    extra, dilations = (0, _one(op, "output_padding", output_padding)), (1, _one(op, "dilation", dilation))
    y = conv_transpose2d(unsqueeze(x, -2), unsqueeze(weight, -2), bias, steps, pads, extra, groups, dilations)
    return squeeze(y, -2)
