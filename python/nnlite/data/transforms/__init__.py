"""Augmentation of batches of images ``(N, C, H, W)``: each sample's numbers depend on seed, epoch and index alone.

Whatever the batch, its order, or the thread that makes it, sample ``index`` comes out the same in an epoch
(docs/numerics.md, section 10). Give a transform to a loader, ``DataLoader(dataset, transform=…, seed=…)``, or call it::

    augment = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), Normalize(mean, std)])
    y = augment(x, index=index, seed=0, epoch=3)
"""

from .base import Compose, Keys, Source, ToFloat, Transform
from .color import ColorJitter, Cutout, GaussianNoise, Normalize, RandomErasing
from .geometry import (
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomScale,
    RandomShift,
    RandomVerticalFlip,
)
from .mixing import CutMix, Mixup

__all__ = [
    "ColorJitter",
    "Compose",
    "CutMix",
    "Cutout",
    "GaussianNoise",
    "Keys",
    "Mixup",
    "Normalize",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomScale",
    "RandomShift",
    "RandomVerticalFlip",
    "Source",
    "ToFloat",
    "Transform",
]
