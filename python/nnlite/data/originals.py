"""The original files of the data sets: their SHA-256, and the mirrors that have them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import files

TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
TRAIN_LABELS = "train-labels-idx1-ubyte.gz"
TEST_IMAGES = "t10k-images-idx3-ubyte.gz"
TEST_LABELS = "t10k-labels-idx1-ubyte.gz"
SHA256: dict[str, dict[str, str]] = {
    "digits": {
        "images": "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3",
        "labels": "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0",
    },
    "mnist": {
        TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion-mnist": {
        TRAIN_IMAGES: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        TRAIN_LABELS: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        TEST_IMAGES: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        TEST_LABELS: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
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


class DataError(RuntimeError):
    """The data are missing, unreadable, or not the originals; the message says what to put where."""


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
