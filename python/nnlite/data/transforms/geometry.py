"""Flips, crops, shifts, rotations: where the pixels go."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import arguments
from ...arrays import Array
from ...reference import arith
from .base import Keys, Transform, below, images, interval, probability


class RandomHorizontalFlip(Transform):
    """Left and right change places with probability ``p``: where the sample's uniform number is below it."""

    _axis = 3

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(type(self).__name__, p)

    def batch(self, x: Array, keys: Keys) -> Array:
        """``(N, C, H, W)`` of any type."""
        images(type(self).__name__, x, floating=False)
        flipped = keys.uniform(1)[:, 0] < self.p
        return np.where(flipped.reshape(-1, 1, 1, 1), np.flip(x, self._axis), x)


class RandomVerticalFlip(RandomHorizontalFlip):
    """Top and bottom change places with probability ``p``."""

    _axis = 2


class RandomCrop(Transform):
    """A window of ``size`` at a random place of the image with its border.

    Args:
        size: height and width of the result, or one number for both.
        padding: pixels of border on each side, or (above and below, left and right).
        fill: the border's value.
    """

    def __init__(self, size: arguments.Pair, padding: arguments.Pair = 0, fill: float = 0) -> None:
        self.size = arguments.pair("RandomCrop: size", size)
        self.padding = arguments.pair("RandomCrop: padding", padding, 0)
        self.fill = arguments.number("RandomCrop: fill", fill, -np.inf)

    def batch(self, x: Array, keys: Keys) -> Array:
        """``(N, C, H, W)`` of any type -> ``(N, C, *size)``. Top and left are ``floor(u * places)``, in this order."""
        images("RandomCrop", x, floating=False)
        return _window("RandomCrop", x, self.size, self.padding, self.fill, keys)


class RandomShift(Transform):
    """Moves the image by up to ``pixels`` each way; what comes in is ``fill``.

    Args:
        pixels: the most, for both directions, or (vertical, horizontal).
        fill: value of the pixels that come in.
    """

    def __init__(self, pixels: arguments.Pair, fill: float = 0) -> None:
        self.pixels = arguments.pair("RandomShift: pixels", pixels, 0)
        self.fill = arguments.number("RandomShift: fill", fill, -np.inf)

    def batch(self, x: Array, keys: Keys) -> Array:
        """``(N, C, H, W)`` of any type. As :class:`RandomCrop` of the same size with a border of ``pixels``."""
        _, _, h, w = images("RandomShift", x, floating=False)
        return _window("RandomShift", x, (h, w), self.pixels, self.fill, keys)


class RandomAffine(Transform):
    """Rotates, scales, shears and moves the image about its centre; bilinear.

    The output at offset ``o = (x, y)`` from the centre is the image at offset ``M^-1 (o - move)`` from it, with
    ``M = scale * rotation * shear``; outside of the image is ``fill``. Coordinates are float64. Of the four pixels
    around a place, with weights ``a``, ``b`` of the right and the lower one, rounded to the type of the image,
    ``top = p00 * (1 - a) + p01 * a``, ``bottom`` likewise, ``y = top * (1 - b) + bottom * b``, each operation rounded.

    Args:
        degrees: rotation, up to so much each way or in (low, high); counter-clockwise.
        translate: the most that it is moved, as shares of width and height.
        scale: factors, (low, high).
        shear: degrees of the vertical axis against the horizontal one, up to so much each way or in (low, high).
        fill: value outside of the image.
    """

    def __init__(
        self,
        degrees: float | tuple[float, float] = 0.0,
        translate: tuple[float, float] = (0.0, 0.0),
        scale: tuple[float, float] = (1.0, 1.0),
        shear: float | tuple[float, float] = 0.0,
        fill: float = 0.0,
    ) -> None:
        name = type(self).__name__
        self.degrees = _around(f"{name}: degrees", degrees)
        if not isinstance(translate, (tuple, list)) or len(translate) != 2:
            raise TypeError(f"{name}: translate must be a pair of shares of width and height, got {translate!r:.80}")
        self.translate = tuple(arguments.number(f"{name}: translate", v, 0.0, 1.0) for v in translate)
        self.scale = interval(f"{name}: scale", scale)
        if self.scale[0] <= 0:
            raise ValueError(f"{name}: scale must be above 0, got {self.scale}")
        self.shear = _around(f"{name}: shear", shear)
        if max(map(abs, self.shear)) >= 90:
            raise ValueError(f"{name}: shear must be less than 90 degrees, got {self.shear}")
        self.fill = arguments.number(f"{name}: fill", fill, -np.inf)

    def batch(self, x: Array, keys: Keys) -> Array:
        """``(N, C, H, W)`` float32 or float64. Angle, x, y, scale and shear take the sample's numbers in this order."""
        _, _, h, w = images(type(self).__name__, x)
        u = keys.uniform(5)
        sine, cosine = _sincos(_between(self.degrees, u[:, 0]))
        move_x = (2.0 * u[:, 1] - 1.0) * (self.translate[0] * w)
        move_y = (2.0 * u[:, 2] - 1.0) * (self.translate[1] * h)
        scale = _between(self.scale, u[:, 3])
        shear_sine, shear_cosine = _sincos(_between(self.shear, u[:, 4]))
        tangent = shear_sine / shear_cosine

        def each(values: Array) -> Array:
            return values.reshape(-1, 1, 1)

        off_x = np.arange(w) - (w - 1) / 2 - each(move_x)
        off_y = (np.arange(h) - (h - 1) / 2)[:, np.newaxis] - each(move_y)
        turned_x = (each(cosine) * off_x - each(sine) * off_y) / each(scale)
        turned_y = (each(sine) * off_x + each(cosine) * off_y) / each(scale)
        return _bilinear(x, turned_x - each(tangent) * turned_y + (w - 1) / 2, turned_y + (h - 1) / 2, self.fill)


class RandomRotation(RandomAffine):
    """Rotates about the centre, up to ``degrees`` each way or by degrees in (low, high), counter-clockwise."""

    def __init__(self, degrees: float | tuple[float, float], fill: float = 0.0) -> None:
        super().__init__(degrees, fill=fill)


class RandomScale(RandomAffine):
    """Scales about the centre by a factor in ``scale``, (low, high); the size of the image stays."""

    def __init__(self, scale: tuple[float, float], fill: float = 0.0) -> None:
        super().__init__(scale=scale, fill=fill)


def _around(what: str, value: Any) -> tuple[float, float]:
    if isinstance(value, (tuple, list)):
        return interval(what, value, -360.0)
    most = arguments.number(what, value)
    return -most, most


def _between(bounds: tuple[float, float], u: Array) -> Array:
    return bounds[0] + u * (bounds[1] - bounds[0])


def _sincos(degrees: Array) -> tuple[Array, Array]:
    turns = degrees / 360.0
    sine, cosine = arith.sincos2pi(turns - np.floor(turns))
    return sine, cosine


def _window(name: str, x: Array, size: tuple[int, int], padding: tuple[int, int], fill: float, keys: Keys) -> Array:
    (n, c, h, w), (ph, pw) = x.shape, padding
    if size[0] > h + 2 * ph or size[1] > w + 2 * pw:
        raise ValueError(
            f"{name}: size {size} is larger than the image with its border, {h + 2 * ph} x {w + 2 * pw}; "
            "write a larger padding"
        )
    padded = np.full((n, c, h + 2 * ph, w + 2 * pw), fill, x.dtype)
    padded[:, :, ph : ph + h, pw : pw + w] = x
    u = keys.uniform(2)
    rows = below(u[:, 0], h + 2 * ph - size[0] + 1)[:, np.newaxis] + np.arange(size[0])
    columns = below(u[:, 1], w + 2 * pw - size[1] + 1)[:, np.newaxis] + np.arange(size[1])
    samples = np.arange(n)[:, np.newaxis, np.newaxis, np.newaxis]
    channels = np.arange(c)[:, np.newaxis, np.newaxis]
    return np.ascontiguousarray(
        padded[samples, channels, rows[:, np.newaxis, :, np.newaxis], columns[:, np.newaxis, np.newaxis, :]]
    )


def _bilinear(x: Array, at_x: Array, at_y: Array, fill: float) -> Array:
    """The images at the places ``(N, H, W)``."""
    n, c, h, w = x.shape
    padded = np.full((n, c, h + 2, w + 2), fill, x.dtype)
    padded[:, :, 1:-1, 1:-1] = x
    at_x, at_y = np.clip(at_x, -1.0, w) + 1.0, np.clip(at_y, -1.0, h) + 1.0  # beyond the border all is fill
    left = np.minimum(np.floor(at_x), w).astype(np.int64)
    top = np.minimum(np.floor(at_y), h).astype(np.int64)
    a = (at_x - left).astype(x.dtype)[:, np.newaxis]
    b = (at_y - top).astype(x.dtype)[:, np.newaxis]
    samples = np.arange(n).reshape(-1, 1, 1, 1)
    channels = np.arange(c).reshape(1, -1, 1, 1)
    left, top = left[:, np.newaxis], top[:, np.newaxis]

    def pixel(dy: int, dx: int) -> Array:
        return padded[samples, channels, top + dy, left + dx]

    one = x.dtype.type(1)
    upper = pixel(0, 0) * (one - a) + pixel(0, 1) * a
    lower = pixel(1, 0) * (one - a) + pixel(1, 1) * a
    return np.ascontiguousarray(upper * (one - b) + lower * b)
