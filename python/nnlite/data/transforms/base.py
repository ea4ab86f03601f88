"""What transforms are, and their random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ... import arguments, random
from ...arrays import Array, what_is
from ...reference import arith
from ...reference.random import philox
from ..dataset import Index, index_array

Fetch = Callable[[Index], tuple[Array, Any]]


class Source:
    """Where the partners of :class:`Mixup` and :class:`CutMix` come from: ``size`` samples, and a way to have some."""

    def __init__(self, size: int, fetch: Fetch) -> None:
        self.size = size
        self.fetch = fetch


class Keys:
    """Random numbers of each sample of a batch: of Philox4x32-10 with the counter ``(block, index, epoch, 4)``.

    Args:
        seed: the key, 64 bits.
        epoch: 32 bits.
        index: the samples' numbers in their data set, ``(N,)`` int64, 32 bits each.
        source: where other samples come from.
        slot: the place of the transform in a :class:`Compose`; its blocks start at ``2^24 * slot``.
    """

    def __init__(self, seed: int, epoch: int, index: Index, source: Source | None = None, slot: int = 0) -> None:
        self.seed, self.epoch, self.index, self.source, self.slot = seed, epoch, index, source, slot

    def uniform(self, n: int, start: int = 0) -> Array:
        """``(N, n)`` float64 in [0, 1), from number ``start`` (even) of the samples' numbers on.

        Two of them are a block's ``bits64``, each ``>> 11`` and times ``2^-53``.
        """
        pairs = self._pairs(start // 2, -(-n // 2))
        return pairs.reshape(len(self.index), 2 * pairs.shape[1])[:, :n]

    def normal(self, n: int) -> Array:
        """``(N, n)`` float64 of mean 0 and standard deviation 1: each block's two by Box and Muller."""
        pairs = self._pairs(0, -(-n // 2))
        radius = np.sqrt(-2.0 * arith.log(1.0 - pairs[..., 0]))
        sine, cosine = arith.sincos2pi(pairs[..., 1])
        return np.stack([radius * cosine, radius * sine], axis=2).reshape(len(self.index), 2 * pairs.shape[1])[:, :n]

    def _pairs(self, start: int, blocks: int) -> Array:
        """``(N, blocks, 2)`` float64 in [0, 1)."""
        count = len(self.index)
        counter = np.empty((4, count, blocks), np.uint32)
        counter[0] = np.arange((self.slot << 24) + start, (self.slot << 24) + start + blocks)
        counter[1] = self.index[:, np.newaxis]
        counter[2] = self.epoch
        counter[3] = random.AUGMENTATION
        words = philox(counter.reshape(4, -1), (self.seed & 0xFFFFFFFF, self.seed >> 32)).astype(np.uint64)
        bits64 = np.stack([words[0] | words[1] << np.uint64(32), words[2] | words[3] << np.uint64(32)], axis=1)
        return ((bits64 >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(count, blocks, 2)


class Transform:
    """Base of transforms: a subclass defines :meth:`batch`, or :meth:`apply` where targets change too."""

    def batch(self, x: Array, keys: Keys) -> Array:
        """The batch ``x`` transformed, in a new array; ``keys`` has the random numbers."""
        raise NotImplementedError(f"{type(self).__name__} does not define batch()")

    def apply(self, x: Array, t: Any, keys: Keys) -> tuple[Array, Any]:
        """Batch and targets transformed."""
        return self.batch(x, keys), t

    def __call__(
        self,
        x: Array,
        t: Any = None,
        *,
        index: Iterable[int] | None = None,
        seed: int = 0,
        epoch: int = 0,
        source: tuple[Array, Array] | None = None,
    ) -> Any:
        """Transform a batch.

        Args:
            x: ``(N, C, H, W)``.
            t: targets ``(N, …)``, for transforms that change them.
            index: numbers of the samples in their data set; ``0 … N - 1`` by default.
            seed: from 0 to 2^64 - 1.
            epoch: from 0 to 2^32 - 1.
            source: arrays of all samples and targets, from which :class:`Mixup` and :class:`CutMix` take partners.

        Returns:
            the new batch; with ``t`` the pair of batch and targets.
        """
        name = type(self).__name__
        seed = random.Generator(seed).seed
        epoch = arguments.size(f"{name}: epoch", epoch, 0)
        if not isinstance(x, np.ndarray):
            raise TypeError(f"{name}: x must be a numpy.ndarray, got {what_is(x)}")
        numbers = np.arange(len(x)) if index is None else index_array(f"{name}: index", index, 2**32)
        if len(numbers) != len(x):
            raise ValueError(f"{name}: x has {len(x)} samples but index has {len(numbers)}")
        partners = None
        if source is not None:
            all_x, all_t = source
            partners = Source(len(all_x), lambda which: (all_x[which], all_t[which]))
        y, u = self.apply(x, t, Keys(seed, epoch, numbers, partners))
        return y if t is None else (y, u)


class Compose(Transform):
    """Several transforms, one after another; each has random numbers of its own.

    Args:
        transforms: transforms, or functions of a batch that return a batch. A Compose among them counts as its parts.
    """

    def __init__(self, transforms: Iterable[Any]) -> None:
        self.transforms: list[Any] = []
        for i, transform in enumerate(transforms):
            if isinstance(transform, type) or not callable(transform):
                shown = f"the class {transform.__name__}" if isinstance(transform, type) else type(transform).__name__
                raise TypeError(f"Compose: transforms[{i}] must be such as Normalize(mean, std), got {shown}")
            self.transforms += transform.transforms if isinstance(transform, Compose) else [transform]
        if len(self.transforms) > 256:
            raise ValueError(f"Compose: transforms must be at most 256, got {len(self.transforms)}")

    def apply(self, x: Array, t: Any, keys: Keys) -> tuple[Array, Any]:
        """Batch and targets through all of them. Partners are taken as they are before the step that asks for them."""
        return self._through(len(self.transforms), x, t, keys)

    def _through(self, steps: int, x: Array, t: Any, keys: Keys) -> tuple[Array, Any]:
        for slot, transform in enumerate(self.transforms[:steps]):
            if not isinstance(transform, Transform):
                x = transform(x)
                continue
            source = None if keys.source is None else self._source(slot, keys)
            x, t = transform.apply(x, t, Keys(keys.seed, keys.epoch, keys.index, source, slot))
        return x, t

    def _source(self, slot: int, keys: Keys) -> Source:
        origin = keys.source
        assert origin is not None

        def fetch(index: Index) -> tuple[Array, Any]:
            return self._through(slot, *origin.fetch(index), Keys(keys.seed, keys.epoch, index, origin))

        return Source(origin.size, fetch)


class ToFloat(Transform):
    """``x / scale`` in ``dtype``: images of bytes become numbers from 0 to 1 by one division.

    Args:
        scale: what the largest value is.
        dtype: float32 or float64.
    """

    def __init__(self, scale: float = 255.0, dtype: Any = "float32") -> None:
        self.scale = arguments.number("ToFloat: scale", scale, above=True)
        self.dtype = arguments.float_dtype("ToFloat", dtype)

    def batch(self, x: Array, keys: Keys) -> Array:
        """``(N, …)`` of any numbers."""
        y: Array = np.divide(x.astype(self.dtype), self.dtype.type(self.scale))
        return y


def images(name: str, x: Array, floating: bool = True) -> tuple[int, int, int, int]:
    """The shape ``(N, C, H, W)`` of a batch of images; refuse others, and integers where ``floating``."""
    if x.ndim != 4:
        raise ValueError(f"{name}: x must be images (N, C, H, W), got shape {x.shape}; write x[:, np.newaxis] for gray")
    if floating and x.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name}: x must be float32 or float64, got {x.dtype}; put ToFloat() before it")
    n, c, h, w = x.shape
    return n, c, h, w


def probability(name: str, p: float) -> float:
    """``p`` if it is from 0 to 1."""
    return arguments.number(f"{name}: p", p, 0.0, 1.0)


def interval(what: str, value: Any, least: float = 0.0) -> tuple[float, float]:
    """A pair (low, high) of finite numbers of at least ``least``."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{what} must be a pair (low, high), got {value!r:.80}")
    low, high = (arguments.number(what, v, least) for v in value)
    if low > high:
        raise ValueError(f"{what} must be a pair (low, high), got {value!r}; write ({high:g}, {low:g})")
    return low, high


def below(u: Array, n: Any) -> Array:
    """Integers from 0 to ``n - 1`` of uniform numbers: ``floor(u * n)``."""
    whole: Array = np.minimum((u * n).astype(np.int64), np.asarray(n) - 1)
    return whole


def column(x: Array, like: Array) -> Array:
    """``x`` ``(N,)`` rounded to the type of the images ``like``, to go with each of their elements."""
    return x.astype(like.dtype).reshape(-1, 1, 1, 1)
