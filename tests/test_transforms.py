"""Augmentation: a sample's numbers depend on seed, epoch and index alone; each transform on hand-made images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite import data
from nnlite.data import transforms as tf
from nnlite.reference.random import bits64
from support import assert_same_bits, rng

X = rng(0).random((12, 3, 7, 6), np.float32)
T = np.arange(12) % 4
ALL = [
    tf.RandomHorizontalFlip(),
    tf.RandomVerticalFlip(0.3),
    tf.RandomCrop((5, 6), padding=(1, 2), fill=0.5),
    tf.RandomShift(2),
    tf.RandomAffine(20, (0.1, 0.2), (0.8, 1.2), 10, fill=0.3),
    tf.RandomRotation((-30, 60)),
    tf.RandomScale((0.5, 2)),
    tf.ColorJitter(0.4, 0.5),
    tf.Normalize([0.1, 0.2, 0.3], 2.0),
    tf.GaussianNoise(0.1),
    tf.RandomErasing(0.7),
    tf.Cutout(3),
    tf.Mixup(4, alpha=0.3),
    tf.CutMix(4),
    tf.Compose([tf.RandomCrop(6, 1), tf.Compose([tf.RandomHorizontalFlip(), lambda x: x * 2]), tf.Mixup(4)]),
]


def name(transform: Any) -> str:
    return type(transform).__name__


@pytest.mark.parametrize("transform", ALL, ids=name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sample_is_the_same_in_any_batch(transform: tf.Transform, dtype: str) -> None:
    x = X.astype(dtype)
    before = x.copy()
    settings: dict[str, Any] = {"seed": 2**63 + 1, "epoch": 3, "source": (x, T)}
    y, t = transform(x, T, **settings)
    assert y.dtype == x.dtype
    assert_same_bits(x, before)
    for index in (np.arange(12)[::-1], np.array([5]), np.array([7, 2, 7])):
        part, targets = transform(x[index], T[index], index=index, **settings)
        assert_same_bits(part, y[index])
        assert_same_bits(targets, t[index])
    empty, _ = transform(x[:0], T[:0], index=[], **settings)
    assert empty.shape == (0, *y.shape[1:])
    if not isinstance(transform, tf.Normalize):
        for change in ({"seed": 5}, {"epoch": 4}):
            assert not np.array_equal(transform(x, T, **{**settings, **change})[0], y)


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_in_a_loader_batch_order_and_threads_do_not_matter(workers: int, shuffle: bool) -> None:
    transform = tf.Compose([tf.RandomAffine(15, fill=0.1), tf.GaussianNoise(0.1), tf.CutMix(4)])
    dataset = data.TensorDataset(X, T, np.arange(12))
    loader = data.DataLoader(dataset, 5, shuffle, num_workers=workers, transform=transform, seed=9)
    for epoch in range(2):
        whole, targets = transform(X, T, seed=9, epoch=epoch, source=(X, T))
        seen = []
        for x, t, index in loader:
            assert_same_bits(x, whole[index])
            assert_same_bits(t, targets[index])
            seen += index.tolist()
        assert sorted(seen) == list(range(12))


def test_the_numbers_are_philoxs() -> None:
    keys = tf.Keys(7, 5, np.array([0, 3]))
    words = bits64(6, 7, 5, 4)  # index 0 and slot 0: the first blocks of the draw
    assert_same_bits(keys.uniform(5)[0], (words[:5] >> np.uint64(11)) * 2.0**-53)
    assert_same_bits(keys.uniform(2, start=4)[0], (words[4:6] >> np.uint64(11)) * 2.0**-53)
    assert_same_bits(keys.normal(3)[0], nl.reference.random_normal((3,), 0.0, 1.0, "float64", 7, 5, 4))
    one = tf.Compose([lambda x: x, tf.GaussianNoise(1.0)])(np.zeros((1, 1, 2, 2)))
    assert_same_bits(one.reshape(-1), tf.Keys(0, 0, np.array([0]), None, 1).normal(4)[0])


def test_flips() -> None:
    assert_same_bits(tf.RandomHorizontalFlip(1.0)(X), np.ascontiguousarray(X[..., ::-1]))
    assert_same_bits(tf.RandomVerticalFlip(1.0)(X), np.ascontiguousarray(X[:, :, ::-1]))
    assert_same_bits(tf.RandomVerticalFlip(0.0)(X), X)
    many = np.arange(2)[np.newaxis, np.newaxis, np.newaxis].repeat(1000, 0)
    assert 430 < tf.RandomHorizontalFlip()(many)[:, 0, 0, 0].sum() < 570


def test_crops_are_windows_and_all_places_come() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(1, 1, 3, 4).repeat(300, 0) + np.uint8(1)
    crops = tf.RandomCrop((2, 3), padding=(1, 0), fill=9)(image)
    padded = np.pad(image[0, 0], ((1, 1), (0, 0)), constant_values=9)
    windows = {padded[i : i + 2, j : j + 3].tobytes() for i in range(4) for j in range(2)}
    assert {crop.tobytes() for crop in crops} == windows
    assert_same_bits(tf.RandomCrop((7, 6))(X), X)
    assert len({s.tobytes() for s in tf.RandomShift((0, 1))(image)}) == 3


def test_affine_of_right_angles_and_whole_pixels() -> None:
    square = X[:, :, :6]
    assert_same_bits(tf.RandomAffine()(X), X)
    np.testing.assert_allclose(tf.RandomRotation((90, 90))(square), np.rot90(square, 1, (2, 3)), atol=1e-6)
    np.testing.assert_allclose(tf.RandomRotation((-90, -90))(square), np.rot90(square, -1, (2, 3)), atol=1e-6)
    small = tf.RandomScale((0.5, 0.5), fill=-1)(np.ones((1, 1, 8, 8), np.float32))
    assert (small[0, 0, 2:6, 2:6] == 1).all()
    assert (small[0, 0, [0, 7]] == -1).all()
    ramp = np.broadcast_to(np.arange(9.0), (1, 1, 9, 9))
    sheared = tf.RandomAffine(shear=(45, 45))(ramp.copy())  # x moves by the offset of y
    np.testing.assert_allclose(sheared[0, 0, 3, 3:6], [4, 5, 6], atol=1e-12)
    moved = tf.RandomAffine(translate=(0.5, 0))(np.broadcast_to(ramp, (50, 1, 9, 9)).copy())[:, 0, 4, 4]
    assert moved.min() < 1
    assert moved.max() > 7


def test_affine_is_torchs_grid_sample() -> None:
    torch = pytest.importorskip("torch")
    angle, scale = np.deg2rad(25.0), 1.3
    theta = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]]) / scale
    x = rng(1).random((2, 3, 9, 9))
    grid = torch.nn.functional.affine_grid(torch.tensor(theta).repeat(2, 1, 1), x.shape, align_corners=False)
    expected = torch.nn.functional.grid_sample(torch.tensor(x), grid, align_corners=False)
    ours = tf.RandomAffine((25, 25), scale=(scale, scale))(x)
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-12)


def test_pixels() -> None:
    assert_same_bits(tf.ToFloat()(np.array([[0, 51, 255]], np.uint8)), np.float32([[0, 51, 255]]) / np.float32(255))
    normal = tf.Normalize([0.5, 0, 1], [2, 1, 0.5])(X)
    assert_same_bits(normal[:, 0], (X[:, 0] - np.float32(0.5)) / np.float32(2))
    assert_same_bits(normal[:, 2], (X[:, 2] - np.float32(1)) / np.float32(0.5))
    noise = tf.GaussianNoise(2.0)(np.zeros((20, 1, 30, 30)))
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 2) < 0.05
    assert_same_bits(tf.ColorJitter()(X), X)
    flat = tf.ColorJitter(contrast=0.9)(np.full((3, 1, 2, 2), 0.5))
    assert_same_bits(flat, np.full((3, 1, 2, 2), 0.5))
    jittered = tf.ColorJitter(brightness=0.5)(np.full((400, 1, 1, 1), 0.5))
    assert 0.25 <= jittered.min() < 0.27 < 0.73 < jittered.max() <= 0.75


def test_erased_parts() -> None:
    ones = np.ones((200, 2, 10, 10), np.float32)
    cut = tf.Cutout(4, value=7)(ones)
    counts = (cut[:, 0] == 7).sum((1, 2))
    assert counts.max() == 16
    assert counts.min() == 4  # a corner: two of four rows and columns
    assert_same_bits(cut[:, 0], cut[:, 1])
    erased = (tf.RandomErasing(1.0, scale=(0.2, 0.3))(ones)[:, 0] == 0).sum((1, 2))
    assert 15 <= erased.min() < erased.max() <= 36
    some = (tf.RandomErasing(0.5)(ones) == 0).any((1, 2, 3)).sum()
    assert 75 < some < 125
    assert (tf.RandomErasing(1.0, (1, 1), (9, 9))(ones) == 0).all((1, 2, 3)).sum() == 0


def test_mixtures() -> None:
    x = np.broadcast_to(np.eye(4, dtype=np.float32)[:, :, np.newaxis, np.newaxis], (4, 4, 8, 8)).copy()
    t = np.arange(4)
    for transform in (tf.Mixup(4), tf.CutMix(4, alpha=2)):
        for epoch in range(20):
            y, mixed = transform(x, t, epoch=epoch, source=(x, t))
            np.testing.assert_allclose(mixed.sum(1), 1, rtol=1e-6)
            np.testing.assert_allclose(y.mean((2, 3)), mixed, atol=1e-6)  # the image shows what it is a mixture of
    shares = np.array([tf.Mixup(alpha=0.5)._beta(tf.Keys(1, e, np.arange(100))) for e in range(50)])
    assert abs(shares.mean() - 0.5) < 0.02
    assert abs(shares.var() - 0.125) < 0.01  # of Beta(0.5, 0.5)
    y, mixed = tf.Mixup()(x, np.linspace(0, 1, 4), source=(x, np.linspace(0, 1, 4)))
    assert mixed.shape == (4, 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tf.RandomHorizontalFlip(1.5), ValueError, "RandomHorizontalFlip: p must be between 0 and 1, got 1.5"),
        (lambda: tf.RandomHorizontalFlip()(X[0]), ValueError, r"images \(N, C, H, W\), got shape \(3, 7, 6\)"),
        (lambda: tf.RandomCrop(9)(X), ValueError, r"size \(9, 9\) is larger than the image with its border, 7 x 6"),
        (lambda: tf.RandomCrop(0), ValueError, "RandomCrop: size must be at least 1, got 0"),
        (lambda: tf.RandomScale(2), TypeError, r"RandomScale: scale must be a pair \(low, high\), got 2"),
        (lambda: tf.RandomScale((2, 1)), ValueError, r"got \(2, 1\); write \(1, 2\)"),
        (lambda: tf.RandomRotation(5)(X.astype(np.uint8)), TypeError, r"got uint8; put ToFloat\(\) before it"),
        (lambda: tf.RandomAffine(shear=90), ValueError, "less than 90 degrees"),
        (lambda: tf.Normalize([1, 2], 1)(X), ValueError, "mean has 2 numbers but x has 3 channels"),
        (lambda: tf.Normalize(0, 0), ValueError, "std must be above 0"),
        (lambda: tf.Compose([tf.Cutout]), TypeError, r"transforms\[0\] must be .*, got the class Cutout"),
        (lambda: tf.Mixup(4)(X, T), ValueError, r"write Mixup\(…\)\(x, t, source=\(all_x, all_t\)\)"),
        (lambda: tf.Mixup()(X, T, source=(X, T)), ValueError, r"write Mixup\(classes=10\)"),
        (lambda: tf.Mixup(3)(X, T, source=(X, T)), ValueError, "a target is 3 but classes is 3"),
        (lambda: tf.Cutout(2)(X, index=[1]), ValueError, "x has 12 samples but index has 1"),
        (lambda: data.DataLoader(data.TensorDataset(X), transform=tf.Cutout), TypeError, "got the class Cutout"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
