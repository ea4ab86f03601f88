"""CIFAR-10 and CIFAR-100, from the binary version of their authors."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np

from .. import arguments
from ..arrays import Array
from .datasets import TrainTest
from .originals import DataError

_IMAGES = {"train": 50_000, "test": 10_000}
# Folder in the archive, archive, its MD5 of https://www.cs.toronto.edu/~kriz/cifar.html, labels per image, files
_KINDS: dict[int, tuple[str, str, str, int, dict[str, list[str]]]] = {
    10: (
        "cifar-10-batches-bin",
        "cifar-10-binary.tar.gz",
        "c32a1d4ab5d03f1284b67883e8d87530",
        1,
        {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]},
    ),
    100: (
        "cifar-100-binary",
        "cifar-100-binary.tar.gz",
        "03b5dce01913d631647c71ecec9e9cb8",
        2,
        {"train": ["train.bin"], "test": ["test.bin"]},
    ),
}


def load_cifar(folder: str | os.PathLike[str], classes: int = 10) -> TrainTest:
    """CIFAR-10, or CIFAR-100 with its 100 fine labels.

    Reads ``cifar-10-binary.tar.gz`` (``cifar-100-binary.tar.gz``) in ``folder``, whose MD5 is checked, or what was
    unpacked of it there. The pickled "python version" is not read: a pickle can run any code.

    Args:
        folder: where the archive is, or its files.
        classes: 10 or 100.

    Returns:
        images ``(50000, 3, 32, 32)`` and ``(10000, 3, 32, 32)``, float32, bytes divided by 255, and labels int64.

    Raises:
        DataError: a file is missing, or has another size or label than CIFAR's.
    """
    if arguments.size("load_cifar: classes", classes) not in _KINDS:
        raise ValueError(f"load_cifar: classes must be 10 or 100, got {classes}")
    inside, archive, _, labels, names = _KINDS[classes]
    name = f"cifar-{classes}"
    read = _reader(name, Path(folder), classes)
    parts: dict[str, Array] = {}
    for part, count in _IMAGES.items():
        raw = b"".join(read(file) for file in names[part])
        record = labels + 3072
        if len(raw) != count * record:
            raise DataError(
                f"{name}: {', '.join(names[part])} have {len(raw)} bytes, but {count} images of {record} bytes are "
                f"{count * record}; unpack {archive} again ({inside})"
            )
        records = np.frombuffer(raw, np.uint8).reshape(count, record)
        t = records[:, labels - 1].astype(np.int64)
        if t.max() >= classes:
            raise DataError(f"{name}: image {t.argmax()} for {part}ing has the label {t.max()}, of {classes} classes")
        images = np.divide(records[:, labels:].reshape(-1, 3, 32, 32), np.float32(255), dtype=np.float32)
        parts[f"x_{part}"], parts[f"t_{part}"] = images, t
    return TrainTest(name, **parts, classes=classes)


class _reader:  # noqa: N801 (a function with a memory)
    """Gives the files' contents by name, of the archive or the folder."""

    def __init__(self, name: str, folder: Path, classes: int) -> None:
        inside, archive, md5, _, names = _KINDS[classes]
        self._name, self._inside = name, inside
        first = names["test"][0]
        self._folder = next((f for f in (folder / inside, folder) if (f / first).is_file()), None)
        self._archive: tarfile.TarFile | None = None
        if self._folder is None:
            try:
                raw = (folder / archive).read_bytes()
            except OSError as error:
                raise DataError(
                    f"{name}: put {archive} from https://www.cs.toronto.edu/~kriz/cifar.html into {folder} "
                    f"({error.strerror or error})"
                ) from error
            if hashlib.md5(raw, usedforsecurity=False).hexdigest() != md5:
                raise DataError(f"{name}: {folder / archive} is not the original file; download it again")
            self._archive = tarfile.open(fileobj=io.BytesIO(raw))  # noqa: SIM115 (of memory)

    def __call__(self, file: str) -> bytes:
        try:
            if self._archive is not None:
                member = self._archive.extractfile(f"{self._inside}/{file}")
                assert member is not None
                return member.read()
            assert self._folder is not None
            return (self._folder / file).read_bytes()
        except (OSError, KeyError) as error:
            raise DataError(f"{self._name}: cannot read {file}: {error}") from error
