"""Images in folders, one folder per class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from .. import arguments
from ..arrays import Array
from .dataset import Dataset
from .originals import DataError

_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


class ImageFolder(Dataset):
    """Images ``root/<class>/….png``, read when they are asked for; needs Pillow (``pip install 'nnlite[images]'``).

    Classes are the names of the folders in ascending order, samples the images' paths in ascending order within each.
    A sample is ``(image, label)``: float32 ``(C, H, W)``, bytes divided by 255, and an integer.

    Args:
        root: the folder of the classes.
        size: height and width that every image is resized to, bilinear, by Pillow (whose versions may differ in a
            bit); by default images stay as they are, and a batch needs equal ones.
        mode: ``"RGB"`` (C = 3) or ``"L"`` (gray, C = 1).

    Attributes:
        classes: names of the classes.
        paths: of the images.
        targets: their labels, int64 ``(N,)``.

    Raises:
        DataError: no class folders, a class without images, Pillow missing; or, of a sample, an unreadable image.
    """

    def __init__(self, root: str | os.PathLike[str], size: arguments.Pair | None = None, mode: str = "RGB") -> None:
        if mode not in ("RGB", "L"):
            raise ValueError(f"ImageFolder: mode must be 'RGB' or 'L', got {mode!r}")
        self.size = None if size is None else arguments.pair("ImageFolder: size", size)
        self.mode = mode
        self.root = Path(root)
        _pillow()
        if not self.root.is_dir():
            raise DataError(f"ImageFolder: {self.root} is no folder")
        folders = sorted(p for p in self.root.iterdir() if p.is_dir() and not p.name.startswith("."))
        if not folders:
            raise DataError(f"ImageFolder: {self.root} has no folders; put the images of each class into one")
        self.classes = [folder.name for folder in folders]
        self.paths: list[Path] = []
        targets: list[int] = []
        for label, folder in enumerate(folders):
            found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
            if not found:
                raise DataError(f"ImageFolder: {folder} has no images ({', '.join(_SUFFIXES)})")
            self.paths += found
            targets += [label] * len(found)
        self.targets = np.array(targets, np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Array, int]:
        path = self.paths[index]
        image_module = _pillow()
        try:
            with image_module.open(path) as file:
                image = file.convert(self.mode)
                if self.size is not None and (image.height, image.width) != self.size:
                    image = image.resize(self.size[::-1], image_module.Resampling.BILINEAR)
                pixels = np.asarray(image)
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"ImageFolder: cannot read {path}: {error}") from error
        planes = pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return np.divide(planes, np.float32(255), dtype=np.float32), int(self.targets[index])

    def arrays(self) -> tuple[Array, Array]:
        """All images ``(N, C, H, W)`` and labels ``(N,)``, in memory."""
        first = self[0][0]
        x = np.empty((len(self), *first.shape), np.float32)
        for i, path in enumerate(self.paths):
            image = self[i][0]
            if image.shape != first.shape:
                raise DataError(
                    f"ImageFolder: {self.paths[0]} has shape {first.shape} but {path} has {image.shape}; "
                    "write ImageFolder(root, size=(height, width))"
                )
            x[i] = image
        return x, self.targets.copy()


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("ImageFolder: it needs Pillow; install it with: pip install 'nnlite[images]'") from error
    return Image
