"""Parts of data sets: for training, validation and testing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import arguments, random
from ..arrays import Array, what_is
from ..backend import ops
from .dataset import Index, Subset, check_dataset
from .sampler import check_generator

Pair = tuple[Array, Array]


class Split(NamedTuple):
    """Pairs ``(x, t)`` for training, validation and testing; a part that was not asked for is empty."""

    train: Pair
    validation: Pair
    test: Pair


def random_split(
    dataset: Any,
    lengths: Sequence[float],
    seed: int | None = None,
    generator: random.Generator | None = None,
) -> list[Subset]:
    """Divide a data set at random into parts that do not overlap.

    Args:
        dataset: ``N`` samples.
        lengths: how many samples each part has, ``N`` in all; or fractions that sum to 1: each is rounded down, and
            what is left goes to the first parts, one each in turn.
        seed: the order is the generator's permutation of seed, draw 0 and the user's stream. Without it the next draw.
        generator: instead of ``seed``.

    Raises:
        ValueError: the lengths do not sum to ``N``, or the fractions to 1.
    """
    check_dataset("random_split", dataset)
    n = len(dataset)
    if not len(lengths):
        raise ValueError("random_split: lengths must name at least one part, got none")
    for i, length in enumerate(lengths):
        arguments.number(f"random_split: lengths[{i}]", length)
    if all(isinstance(length, (int, np.integer)) for length in lengths) and sum(lengths) == n:
        sizes = [int(length) for length in lengths]
    elif math.isclose(math.fsum(lengths), 1.0, abs_tol=1e-9):
        sizes = [math.floor(n * length) for length in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
    else:
        raise ValueError(
            f"random_split: lengths sum to {sum(lengths):g}, but must sum to the {n} samples, or as fractions to 1"
        )
    order = _order("random_split", n, seed, generator)
    ends = np.cumsum([0, *sizes])
    return [Subset(dataset, order[a:b]) for a, b in itertools.pairwise(ends)]


def train_test_split(
    x: Array,
    t: Array,
    test: float = 0.2,
    validation: float = 0.0,
    stratify: bool = True,
    seed: int | None = None,
) -> Split:
    """Divide samples at random into those for training, validation and testing.

    Args:
        x: ``(N, …)``.
        t: ``(N, …)``.
        test: a fraction of ``N``, rounded to the nearest integer, halves to the even one; or a number of samples.
        validation: likewise; 0: none.
        stratify: give each part each class of ``t`` ``(N,)``, integers, in its proportion: rounded down, and what is
            left to the classes with the largest remainders, of equal ones the smaller class first.
        seed: the order is the generator's permutation of seed, draw 0 and the user's stream. Without it the next draw.

    Returns:
        ``train, validation, test``: pairs ``(x, t)``, each in the order of the permutation.

    Raises:
        TypeError: not arrays; or classes that are no integers, with ``stratify``.
        ValueError: different numbers of samples; nothing left for training; a class of fewer samples than parts.
    """
    for name, value in (("x", x), ("t", t)):
        if not isinstance(value, np.ndarray):
            raise TypeError(f"train_test_split: {name} must be a numpy.ndarray, got {what_is(value)}")
        if value.ndim == 0:
            raise ValueError(f"train_test_split: {name} must hold samples along axis 0, got shape ()")
    n = len(x)
    if len(t) != n:
        raise ValueError(f"train_test_split: x has {n} samples but t has {len(t)}")
    sizes = [_count(name, value, n) for name, value in (("validation", validation), ("test", test))]
    if sum(sizes) >= n:
        raise ValueError(
            f"train_test_split: test takes {sizes[1]} and validation {sizes[0]} of {n} samples, which leaves none for "
            "training; make them smaller"
        )
    stratify = arguments.flag("train_test_split: stratify", stratify)
    if stratify and (t.ndim != 1 or t.dtype.kind not in "iu"):
        raise TypeError(
            f"train_test_split: t must be integer classes (N,) to be divided class by class, got {t.dtype} of shape "
            f"{t.shape}; write stratify=False"
        )
    order = _order("train_test_split", n, seed, None)
    part = np.full(n, 0)
    if stratify:
        _stratify(t[order], sizes, part)
    else:
        part[n - sizes[1] :] = 2
        part[n - sizes[1] - sizes[0] : n - sizes[1]] = 1
    pairs = [(x[order[part == i]], t[order[part == i]]) for i in range(3)]
    return Split(*pairs)


def _count(name: str, value: float, n: int) -> int:
    """The number of samples that a fraction or a number asks for."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return arguments.size(f"train_test_split: {name}", int(value), 0)
    return round(arguments.number(f"train_test_split: {name}", value, 0.0, 1.0, below=True) * n)


def _stratify(t: Array, sizes: list[int], part: Array) -> None:
    """Write 1 into ``part`` for validation and 2 for testing, from the last samples of each class on."""
    classes, inverse, counts = np.unique(t, return_inverse=True, return_counts=True)
    parts = 1 + sum(size > 0 for size in sizes)
    for label, count in zip(classes, counts, strict=True):
        if count < parts:
            raise ValueError(
                f"train_test_split: class {label} has {count} samples for {parts} parts; write stratify=False"
            )
    free = counts.copy()
    for which, size in ((2, sizes[1]), (1, sizes[0])):
        shares, rest = free * size // free.sum(), free * size % free.sum()
        for i in np.argsort(-rest, kind="stable")[: size - int(shares.sum())]:
            shares[i] += 1
        for i, share in enumerate(shares):
            places = np.flatnonzero(inverse == i)[: free[i]]
            part[places[len(places) - share :]] = which
        free -= shares


def _order(what: str, n: int, seed: int | None, generator: random.Generator | None) -> Index:
    if seed is not None and generator is not None:
        raise ValueError(f"{what}: seed and generator exclude one another; give one of them")
    owner = check_generator(what, generator) or random.generator
    if seed is not None:
        owner = random.Generator(seed)
    with owner.draw(random.USER) as draw:
        order: Index = ops().random_permutation(n, owner.seed, draw, random.USER)
    return order
