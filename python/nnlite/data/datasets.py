"""The data sets of ``nnlite train``: scikit-learn's handwritten digits, MNIST and Fashion-MNIST.

Images are float32 arrays ``(N, 1, H, W)`` between 0 and 1, labels int64 arrays ``(N,)``. Every file and array is
checked against the SHA-256 of the original before it is used.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..backend import ops
from .originals import SHA256, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, DataError, cache_dir, download

NAMES = ("digits", "mnist", "fashion-mnist")
Array = npt.NDArray[np.generic]


class TrainTest(NamedTuple):
    """Images ``(N, 1, H, W)`` float32 and labels ``(N,)`` int64 for training and for testing."""

    name: str
    x_train: npt.NDArray[np.float32]
    t_train: npt.NDArray[np.int64]
    x_test: npt.NDArray[np.float32]
    t_test: npt.NDArray[np.int64]
    classes: int = 10

    def arrays(self) -> dict[str, Array]:
        """The four arrays by name."""
        return {"x_train": self.x_train, "t_train": self.t_train, "x_test": self.x_test, "t_test": self.t_test}


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> TrainTest:
    """Load a data set.

    ``digits`` needs scikit-learn and no files: of its 1,797 images (8 x 8, values 0 to 16, here divided by 16), put
    into the order of the specified generator's permutation with seed 0, draw 0 and stream 3, the first 1,437 are for
    training and the other 360 for testing.

    ``mnist`` and ``fashion-mnist`` (28 x 28, values 0 to 255, here divided by 255; 60,000 and 10,000 images) are read
    from the four original ``.gz`` files in ``data_dir/<name>`` or ``data_dir``. Without ``data_dir`` the variable
    ``NNLITE_DATA_DIR`` names it; without both the files are taken from the user's cache and downloaded into it once.

    Raises:
        ValueError: the name is unknown.
        DataError: something is missing or is not the original.
    """
    if name not in NAMES:
        raise ValueError(f"unknown data set {name!r}; known are {', '.join(NAMES)}")
    if name == "digits":
        return _digits()
    raw = _files(name, data_dir or os.environ.get("NNLITE_DATA_DIR") or None)
    images = {file: parse_idx(gzip.decompress(raw[file]), file, 3) for file in (TRAIN_IMAGES, TEST_IMAGES)}
    labels = {file: parse_idx(gzip.decompress(raw[file]), file, 1) for file in (TRAIN_LABELS, TEST_LABELS)}
    return TrainTest(
        name,
        _scaled(images[TRAIN_IMAGES], 255),
        labels[TRAIN_LABELS].astype(np.int64),
        _scaled(images[TEST_IMAGES], 255),
        labels[TEST_LABELS].astype(np.int64),
    )


def parse_idx(raw: bytes, name: str, ndim: int) -> npt.NDArray[np.uint8]:
    """The uint8 array of an IDX file.

    The file has the bytes 0, 0, 8 (uint8) and ``ndim``, then ``ndim`` sizes as big-endian uint32, then the elements in
    C order.

    Raises:
        DataError: the header is another one, or the sizes do not fit the file's length.
    """
    header = 4 + 4 * ndim
    if len(raw) < header or raw[:4] != bytes((0, 0, 8, ndim)):
        raise DataError(
            f"{name}: not an IDX file of {ndim}-dimensional bytes (it starts with {raw[:4].hex(' ') or 'nothing'})"
        )
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, header, 4))
    size = 1
    for n in shape:
        size *= n
    if size != len(raw) - header:
        raise DataError(f"{name}: its header says {' x '.join(map(str, shape))} bytes, but {len(raw) - header} follow")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _digits() -> TrainTest:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("digits: they come with scikit-learn; install it with: pip install 'nnlite[digits]'") from error
    bunch = load_digits()
    arrays = {"images": bunch.images.astype(np.uint8), "labels": bunch.target.astype(np.uint8)}
    for key, array in arrays.items():
        if hashlib.sha256(array.tobytes()).hexdigest() != SHA256["digits"][key]:
            raise DataError(f"digits: the {key} of the installed scikit-learn are not the original ones")
    images, labels = _scaled(arrays["images"], 16), arrays["labels"].astype(np.int64)
    order = ops().random_permutation(len(labels), 0, 0, 3)
    train, test = order[:1437], order[1437:]
    return TrainTest("digits", images[train], labels[train], images[test], labels[test])


def _scaled(images: npt.NDArray[np.uint8], largest: int) -> npt.NDArray[np.float32]:
    return np.divide(images[:, np.newaxis], np.float32(largest), dtype=np.float32)


def _files(name: str, data_dir: str | os.PathLike[str] | None) -> Mapping[str, bytes]:
    """The checked contents of the four files of ``name``."""
    if data_dir is None:
        folder = cache_dir() / name
        download(name, folder)
    else:
        folder = _folder(name, Path(data_dir))
    contents = {}
    for file, sha256 in SHA256[name].items():
        try:
            contents[file] = (folder / file).read_bytes()
        except OSError as error:
            raise DataError(f"{name}: cannot read {folder / file}: {error.strerror or error}") from error
        if hashlib.sha256(contents[file]).hexdigest() != sha256:
            raise DataError(
                f"{name}: {folder / file} is not the original file (its SHA-256 is another one); download it again"
            )
    return contents


def _folder(name: str, data_dir: Path) -> Path:
    """``data_dir/<name>``, or else ``data_dir``: the first that has one of the files."""
    for folder in (data_dir / name, data_dir):
        if any((folder / file).is_file() for file in SHA256[name]):
            return folder
    raise DataError(
        f"{name}: put {', '.join(SHA256[name])} into {data_dir / name}; neither it nor {data_dir} has any of them"
    )
