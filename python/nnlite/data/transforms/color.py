"""Brightness, noise, erased parts: what the pixels are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import arguments
from ...arrays import Array
from ...reference import arith
from .base import Keys, Transform, below, column, images, interval, probability


class ColorJitter(Transform):
    """Brightness and contrast: ``y = x * f``, then ``y = mean + (y - mean) * g``, each cut to [0, 1].

    ``f`` is uniform in ``[max(0, 1 - brightness), 1 + brightness)``, ``g`` likewise of ``contrast``; ``mean`` is the
    sample's own, its sum in float64 in the order of memory. A step whose argument is 0 is left out.

    Args:
        brightness: at least 0.
        contrast: at least 0.
    """

    def __init__(self, brightness: float = 0.0, contrast: float = 0.0) -> None:
        self.brightness = arguments.number("ColorJitter: brightness", brightness)
        self.contrast = arguments.number("ColorJitter: contrast", contrast)

    def batch(self, x: Array, keys: Keys) -> Array:
        """``(N, C, H, W)`` float32 or float64, from 0 to 1."""
        n = images("ColorJitter", x)[0]
        u = keys.uniform(2)
        y = x.copy()
        if self.brightness:
            y = np.clip(y * column(_factor(self.brightness, u[:, 0]), x), 0, 1)
        if self.contrast and y.size:
            sums = np.cumsum(y.reshape(n, y.size // n), axis=1, dtype=np.float64)[:, -1]
            mean = column(sums / (y.size // n), x)
            y = np.clip(mean + (y - mean) * column(_factor(self.contrast, u[:, 1]), x), 0, 1)
        return y


class Normalize(Transform):
    """``(x - mean) / std`` of each channel, in the type of ``x``. No random numbers.

    Args:
        mean: one number for all channels, or one per channel.
        std: likewise, above 0.
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = np.atleast_1d(np.asarray(mean, np.float64)), np.atleast_1d(np.asarray(std, np.float64))
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values.ndim != 1 or not np.isfinite(values).all():
                raise ValueError(f"Normalize: {name} must be finite numbers, one per channel, got {values}")
        if (self.std <= 0).any():
            raise ValueError(f"Normalize: std must be above 0, got {self.std}")

    def batch(self, x: Array, keys: Keys) -> Array:
        """``(N, C, H, W)`` float32 or float64."""
        c = images("Normalize", x)[1]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, c):
                raise ValueError(f"Normalize: {name} has {len(values)} numbers but x has {c} channels")
        mean, std = (v.astype(x.dtype).reshape(-1, 1, 1) for v in (self.mean, self.std))
        return np.asarray((x - mean) / std)


class GaussianNoise(Transform):
    """``x + std * z`` with independent normal ``z``; ``std * z`` is rounded to the type of ``x`` before it is added.

    Args:
        std: standard deviation, at least 0.
    """

    def __init__(self, std: float) -> None:
        self.std = arguments.number("GaussianNoise: std", std)

    def batch(self, x: Array, keys: Keys) -> Array:
        """``(N, C, H, W)`` float32 or float64."""
        n, *rest = images("GaussianNoise", x)
        z = keys.normal(math.prod(rest)).reshape(n, *rest)
        return np.asarray(x + (self.std * z).astype(x.dtype))


class RandomErasing(Transform):
    """Sets a random rectangle to ``value`` with probability ``p``.

    Its area is a share of the image in ``scale``, height by width in ``ratio`` (uniform in its logarithm). Sides are
    rounded, and at least 1 and at most those of the image, where torchvision would draw again.

    Args:
        p: from 0 to 1.
        scale: (low, high) of the area's share.
        ratio: (low, high) of height by width, above 0.
        value: what is written.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float = 0.0,
    ) -> None:
        self.p = probability("RandomErasing", p)
        self.scale = interval("RandomErasing: scale", scale)
        if self.scale[1] > 1:
            raise ValueError(f"RandomErasing: scale must be at most 1, got {self.scale}")
        self.ratio = interval("RandomErasing: ratio", ratio)
        if self.ratio[0] <= 0:
            raise ValueError(f"RandomErasing: ratio must be above 0, got {self.ratio}")
        self.value = arguments.number("RandomErasing: value", value, -math.inf)

    def batch(self, x: Array, keys: Keys) -> Array:
        """``(N, C, H, W)`` of any type. Whether, area, ratio, top and left take the sample's numbers in this order."""
        _, _, h, w = images("RandomErasing", x, floating=False)
        u = keys.uniform(5)
        area = (self.scale[0] + u[:, 1] * (self.scale[1] - self.scale[0])) * (h * w)
        low, high = arith.log(np.array(self.ratio))
        ratio = arith.exp(low + u[:, 2] * (high - low))
        height = np.clip(np.rint(np.sqrt(area * ratio)), 1, h).astype(np.int64)
        width = np.clip(np.rint(np.sqrt(area / ratio)), 1, w).astype(np.int64)
        top, left = below(u[:, 3], h - height + 1), below(u[:, 4], w - width + 1)
        inside = rectangles(h, w, top, left, top + height, left + width) & (u[:, 0] < self.p).reshape(-1, 1, 1, 1)
        return np.where(inside, x.dtype.type(self.value), x)


class Cutout(Transform):
    """Sets a square about a random pixel to ``value``; it is cut at the border (DeVries and Taylor 2017).

    Args:
        size: side of the square, in pixels.
        value: what is written.
    """

    def __init__(self, size: int, value: float = 0.0) -> None:
        self.size = arguments.size("Cutout: size", size)
        self.value = arguments.number("Cutout: value", value, -math.inf)

    def batch(self, x: Array, keys: Keys) -> Array:
        """``(N, C, H, W)`` of any type. The square starts ``size // 2`` above and left of row and column drawn."""
        _, _, h, w = images("Cutout", x, floating=False)
        u = keys.uniform(2)
        top, left = below(u[:, 0], h) - self.size // 2, below(u[:, 1], w) - self.size // 2
        inside = rectangles(h, w, top, left, top + self.size, left + self.size)
        return np.where(inside, x.dtype.type(self.value), x)


def rectangles(h: int, w: int, top: Array, left: Array, bottom: Array, right: Array) -> Array:
    """Which pixels are inside: ``(N, 1, h, w)`` bool, of bounds ``(N,)``."""
    rows, columns = np.arange(h), np.arange(w)
    high = (rows >= top[:, np.newaxis]) & (rows < bottom[:, np.newaxis])
    wide = (columns >= left[:, np.newaxis]) & (columns < right[:, np.newaxis])
    return np.asarray(high[:, np.newaxis, :, np.newaxis] & wide[:, np.newaxis, np.newaxis, :])


def _factor(most: float, u: Array) -> Array:
    low = max(0.0, 1.0 - most)
    return low + u * (1.0 + most - low)
