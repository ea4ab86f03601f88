"""Mixup and CutMix: a sample with another one of the data set."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import arguments
from ...arrays import Array
from ...reference import arith
from .base import Keys, Transform, below, column, images
from .color import rectangles


class _Mixing(Transform):
    """What :class:`Mixup` and :class:`CutMix` share."""

    def __init__(self, classes: int | None = None, alpha: float = 1.0) -> None:
        name = type(self).__name__
        self.classes = None if classes is None else arguments.size(f"{name}: classes", classes, 2)
        self.alpha = arguments.number(f"{name}: alpha", alpha, 0.0, 4.0, above=True)

    def apply(self, x: Array, t: Any, keys: Keys) -> tuple[Array, Any]:
        """Images ``(N, C, H, W)`` float32 or float64 and targets; targets become floats of the images' type."""
        name = type(self).__name__
        images(name, x)
        if t is None or keys.source is None:
            raise ValueError(
                f"{name}: targets and partners are needed; use it in a DataLoader of samples (x, t), or write "
                f"{name}(…)(x, t, source=(all_x, all_t))"
            )
        u = keys.uniform(4)
        partners = below(u[:, 0], keys.source.size)
        other, other_t = keys.source.fetch(partners)
        y, share = self._mix(x, other, self._beta(keys), u[:, 2:])
        share = share.astype(x.dtype).reshape(-1, *[1] * (max(np.ndim(t), 2) - 1))
        one = x.dtype.type(1)
        return y, self._targets(t, x) * share + self._targets(other_t, x) * (one - share)

    def _mix(self, x: Array, other: Array, share: Array, u: Array) -> tuple[Array, Array]:
        """The images mixed, and the share of the first."""
        raise NotImplementedError

    def _targets(self, t: Array, x: Array) -> Array:
        if t.ndim == 1 and t.dtype.kind in "iu":
            name = type(self).__name__
            if self.classes is None:
                raise ValueError(f"{name}: classes must be given for integer targets; write {name}(classes=10)")
            wrong = np.flatnonzero((t < 0) | (t >= self.classes))
            if len(wrong):
                raise ValueError(f"{name}: a target is {t[wrong[0]]} but classes is {self.classes}")
            return np.asarray(t[:, np.newaxis] == np.arange(self.classes), x.dtype)
        return t.astype(x.dtype).reshape(len(t), -1) if t.ndim == 1 else t.astype(x.dtype)

    def _beta(self, keys: Keys) -> Array:
        """``(N,)`` float64: the first pair of numbers from the fifth on with ``u^(1/alpha) + v^(1/alpha) <= 1``."""
        share = np.full(len(keys.index), 0.5)
        waiting = np.arange(len(share))
        start = 4
        while len(waiting):
            part = Keys(keys.seed, keys.epoch, keys.index[waiting], None, keys.slot)
            a, b = (arith.log(1.0 - u) / self.alpha for u in part.uniform(2, start).T)
            good = arith.exp(a) + arith.exp(b) <= 1.0
            share[waiting[good]] = 1.0 / (1.0 + arith.exp(b[good] - a[good]))
            waiting = waiting[~good]
            start += 2
        return share


class Mixup(_Mixing):
    """Images and targets become weighted means of two samples (Zhang et al. 2018).

    The share of each sample that comes from its partner is drawn per sample, and so is the partner, from the whole
    data set, so that the batch does not matter.

    Args:
        classes: number of classes, of which integer targets ``(N,)`` are made one-hot. Targets of other shapes are
            mixed as they are.
        alpha: the share is of Beta(alpha, alpha), by Jöhnk's method; above 0 and at most 4.
    """

    def _mix(self, x: Array, other: Array, share: Array, u: Array) -> tuple[Array, Array]:
        weight = column(share, x)
        return x * weight + other * (x.dtype.type(1) - weight), share


class CutMix(_Mixing):
    """A rectangle of the image becomes the partner's, targets are mixed by area (Yun et al. 2019).

    The sides are those of the image times ``sqrt(1 - share)``, rounded down; the centre is a random pixel.

    The share of each sample that comes from its partner is drawn per sample, and so is the partner, from the whole
    data set, so that the batch does not matter.

    Args:
        classes: number of classes, of which integer targets ``(N,)`` are made one-hot. Targets of other shapes are
            mixed as they are.
        alpha: the share is of Beta(alpha, alpha), by Jöhnk's method; above 0 and at most 4.
    """

    def _mix(self, x: Array, other: Array, share: Array, u: Array) -> tuple[Array, Array]:
        h, w = x.shape[2:]
        cut = np.sqrt(1.0 - share)
        height, width = (cut * h).astype(np.int64), (cut * w).astype(np.int64)
        top, left = below(u[:, 0], h) - height // 2, below(u[:, 1], w) - width // 2
        bottom, right = np.minimum(top + height, h), np.minimum(left + width, w)
        top, left = np.maximum(top, 0), np.maximum(left, 0)
        inside = rectangles(h, w, top, left, bottom, right)
        return np.where(inside, other, x), 1.0 - (bottom - top) * (right - left) / (h * w)
