"""The data sets of ``nnlite train``: scikit-learn's handwritten digits, MNIST and Fashion-MNIST.

Images are float32 arrays ``(N, 1, H, W)`` between 0 and 1, labels int64 arrays ``(N,)``. Every file and array is
checked against the SHA-256 of the original before it is used.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import files
from .backend import ops

NAMES = ("digits", "mnist", "fashion-mnist")

_TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
_TRAIN_LABELS = "train-labels-idx1-ubyte.gz"
_TEST_IMAGES = "t10k-images-idx3-ubyte.gz"
_TEST_LABELS = "t10k-labels-idx1-ubyte.gz"

SHA256: dict[str, dict[str, str]] = {
    "digits": {
        "images": "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3",
        "labels": "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0",
    },
    "mnist": {
        _TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        _TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        _TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        _TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion-mnist": {
        _TRAIN_IMAGES: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        _TRAIN_LABELS: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        _TEST_IMAGES: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        _TEST_LABELS: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
}

# Tried in this order. Plain http is enough: every file is checked against SHA256.
MIRRORS: dict[str, tuple[str, ...]] = {
    "mnist": ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    "fashion-mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
}

_TIMEOUT = 30.0  # seconds in which a mirror gives nothing, or less than is worth waiting for
_LEAST_RATE = 1000  # bytes a second
_LARGEST_FILE = 1 << 26  # bytes; the largest original has 26,421,880

Array = npt.NDArray[np.generic]


class DataError(RuntimeError):
    """The data are missing, unreadable, or not the originals; the message says what to put where."""


class Dataset(NamedTuple):
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


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
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
    images = {file: parse_idx(gzip.decompress(raw[file]), file, 3) for file in (_TRAIN_IMAGES, _TEST_IMAGES)}
    labels = {file: parse_idx(gzip.decompress(raw[file]), file, 1) for file in (_TRAIN_LABELS, _TEST_LABELS)}
    return Dataset(
        name,
        _scaled(images[_TRAIN_IMAGES], 255),
        labels[_TRAIN_LABELS].astype(np.int64),
        _scaled(images[_TEST_IMAGES], 255),
        labels[_TEST_LABELS].astype(np.int64),
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


def cache_dir() -> Path:
    """Where downloads are kept: ``$XDG_CACHE_HOME/nnlite``, or ``~/.cache/nnlite``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is invalid and counts as unset.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "nnlite"


def download(name: str, folder: str | os.PathLike[str], mirrors: Sequence[str] | None = None) -> None:
    """Download those files of ``name`` that ``folder`` lacks or has with other bytes.

    ``mirrors`` are asked in their order until one gives the original. A file appears in ``folder`` whole and
    checked, or not at all.

    Raises:
        DataError: no mirror gave a file; says why, and what to put where.
    """
    mirrors = MIRRORS[name] if mirrors is None else mirrors
    folder = Path(folder)
    for file, sha256 in SHA256[name].items():
        path = folder / file
        try:
            if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
                continue
            raw = _fetch(file, sha256, mirrors)
            folder.mkdir(parents=True, exist_ok=True)
            files.write_file(path, raw)
        except OSError as error:
            raise DataError(
                f"{name}: {file} could not be downloaded ({error}); put {', '.join(SHA256[name])} into {folder}, "
                "or name the folder that has them with --data-dir"
            ) from error


def _digits() -> Dataset:
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
    return Dataset("digits", images[train], labels[train], images[test], labels[test])


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


def _fetch(file: str, sha256: str, mirrors: Sequence[str]) -> bytes:
    """The checked bytes of ``file`` from the first mirror that gives them; else ``OSError`` with the last reason."""
    reason: OSError = OSError("no mirror is known")
    for mirror in mirrors:
        try:
            raw = _get(mirror + file, file)
        except (OSError, ValueError) as error:
            reason = OSError(f"{mirror}: {error}")
            continue
        if hashlib.sha256(raw).hexdigest() == sha256:
            return raw
        reason = OSError(f"{mirror} gives a file with another SHA-256")
    raise reason


def _get(url: str, label: str) -> bytes:
    """The bytes at ``url``. They come by a thread, which is left to itself where the mirror keeps it waiting."""
    import queue
    import threading
    import time

    from tqdm import tqdm

    parts: queue.SimpleQueue[bytes | int | OSError] = queue.SimpleQueue()
    left = threading.Event()
    threading.Thread(target=_read, args=(url, parts, left), daemon=True).start()
    whole, since, then = bytearray(), time.monotonic(), 0
    try:
        with tqdm(desc=label, unit="B", unit_scale=True, disable=None) as bar:
            while True:
                try:
                    part = parts.get(timeout=max(since + _TIMEOUT - time.monotonic(), 0))
                except queue.Empty:
                    if len(whole) - then < _LEAST_RATE * _TIMEOUT:
                        raise OSError(f"timed out: {len(whole) - then} bytes in {_TIMEOUT:g} seconds") from None
                    since, then = time.monotonic(), len(whole)
                    continue
                if isinstance(part, OSError):
                    raise part
                if isinstance(part, int):
                    bar.total = part
                    continue
                if not part:
                    return bytes(whole)
                whole += part
                if len(whole) > _LARGEST_FILE:
                    raise OSError(f"the file is larger than {_LARGEST_FILE} bytes")
                bar.update(len(part))
    finally:
        left.set()


def _read(url: str, parts: Any, left: Any) -> None:
    """Put into ``parts``: the length if it is known, the bytes as they come, and ``b""``; or ``OSError``."""
    import http.client
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            if length := int(response.headers.get("Content-Length") or 0):
                parts.put(length)
            size = 0
            while (part := response.read1(1 << 16)) and not left.is_set():
                parts.put(part)
                size += len(part)
        if length and size < length and not left.is_set():
            raise http.client.IncompleteRead(b"", length - size)
        parts.put(b"")
    except Exception as error:
        kind = f"{type(error).__name__}: " if isinstance(error, http.client.HTTPException) else ""
        parts.put(OSError(f"{kind}{error}"))  # of its text alone: an error may hold the connection
