"""Loaders: IDX, hashes, the cache, downloads from a loopback server, what is said when something is missing."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import os
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nnlite import data
from nnlite.data import originals
from support import assert_same_bits

Files = dict[str, bytes]


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Files:
    """Four small files that count as the originals of MNIST; an empty cache; no data folder."""
    rng = np.random.default_rng(0)
    arrays = {
        "train-images-idx3-ubyte.gz": rng.integers(0, 256, (6, 28, 28), np.uint8),
        "train-labels-idx1-ubyte.gz": rng.integers(0, 10, 6, np.uint8),
        "t10k-images-idx3-ubyte.gz": rng.integers(0, 256, (2, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte.gz": rng.integers(0, 10, 2, np.uint8),
    }
    files = {name: gzip.compress(idx(array)) for name, array in arrays.items()}
    assert list(files) == list(data.SHA256["mnist"])
    monkeypatch.setitem(data.SHA256, "mnist", {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()})
    monkeypatch.setitem(data.MIRRORS, "mnist", ())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NNLITE_DATA_DIR", raising=False)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    return files


def put(files: Files, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        (folder / name).write_bytes(raw)


@contextlib.contextmanager
def mirror(files: Files, cut: int = 0) -> Iterator[tuple[str, list[str]]]:
    """A loopback server: its address, and the paths it was asked for. With ``cut`` fewer bytes than promised."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            raw = files.get(self.path.rpartition("/")[2])
            if raw is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw[: len(raw) - cut])

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/data/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_idx() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert_same_bits(data.parse_idx(idx(array), "f", 3), array)
    assert data.parse_idx(idx(np.zeros((0, 5), np.uint8)), "f", 2).shape == (0, 5)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not an IDX file .*nothing"),
        (b"\0\0\x08\x03\0\0\0\x01", "not an IDX file"),  # ends in the header
        (b"\0\0\x08\x01\0\0\0\x01x", "not an IDX file of 3-dim.*00 00 08 01"),
        (b"\0\0\x0d\x03" + b"\0\0\0\x01" * 3 + b"x", "not an IDX file"),  # floats
        (b"\0\0\x08\x03" + b"\0\0\0\x01" * 3, "1 x 1 x 1 bytes, but 0 follow"),
        (b"\0\0\x08\x03" + b"\0\0\0\x01" * 3 + b"xx", "1 x 1 x 1 bytes, but 2 follow"),
        (b"\0\0\x08\x03" + b"\xff\xff\xff\xff" * 3 + b"xx", "4294967295 x .* but 2 follow"),
    ],
)
def test_idx_refuses(raw: bytes, message: str) -> None:
    with pytest.raises(data.DataError, match=message):
        data.parse_idx(raw, "train", 3)


def test_digits_split_is_fixed() -> None:
    digits = data.load("digits")
    assert digits.x_train.shape == (1437, 1, 8, 8)
    assert digits.x_test.shape == (360, 1, 8, 8)
    assert digits.x_train.dtype == np.float32
    assert digits.t_test.dtype == np.int64
    assert digits.t_test[:12].tolist() == [1, 7, 3, 5, 1, 0, 6, 7, 4, 5, 6, 2]
    assert np.bincount(digits.t_test, minlength=10).min() >= 25  # every class is there
    pixels = np.unique(np.concatenate([digits.x_train, digits.x_test]))
    assert_same_bits(pixels, np.arange(17, dtype=np.float32) / np.float32(16))


def test_digits_refuses_other_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(data.SHA256["digits"], "labels", "0" * 64)
    with pytest.raises(data.DataError, match="labels of the installed scikit-learn are not the original"):
        data.load("digits")


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="unknown data set 'cifar'; known are digits, mnist"):
        data.load("cifar")


@pytest.mark.parametrize("below", ["mnist", ""])
def test_data_dir(tiny: Files, tmp_path: Path, below: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tiny, tmp_path / "here" / below)
    got = data.load("mnist", tmp_path / "here")
    raw = np.frombuffer(gzip.decompress(tiny["train-images-idx3-ubyte.gz"])[16:], np.uint8).reshape(6, 1, 28, 28)
    assert_same_bits(got.x_train, raw.astype(np.float32) / np.float32(255))
    assert got.t_test.shape == (2,)
    monkeypatch.setenv("NNLITE_DATA_DIR", str(tmp_path / "here"))
    assert_same_bits(data.load("mnist").x_train, got.x_train)
    assert not data.cache_dir().exists()


def test_data_dir_without_files(tiny: Files, tmp_path: Path) -> None:
    with pytest.raises(
        data.DataError, match=f"mnist: put train-images-idx3-ubyte.gz, .* into {tmp_path}/mnist; neither"
    ):
        data.load("mnist", tmp_path)


def test_data_dir_with_three_files(tiny: Files, tmp_path: Path) -> None:
    put(tiny, tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(data.DataError, match=r"cannot read .*t10k-labels-idx1-ubyte\.gz: No such file"):
        data.load("mnist", tmp_path)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_corrupt_file(tiny: Files, tmp_path: Path, damage: str) -> None:
    put(tiny, tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    raw = path.read_bytes()
    path.write_bytes({"flip": raw[:99] + bytes((raw[99] ^ 1,)) + raw[100:], "cut": raw[:-1], "empty": b""}[damage])
    with pytest.raises(data.DataError, match=r"train-images-idx3-ubyte\.gz is not the original file"):
        data.load("mnist", tmp_path)


def test_download_then_cache(tiny: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    with mirror(tiny) as (url, asked):
        monkeypatch.setitem(data.MIRRORS, "mnist", (url,))
        first = data.load("mnist")
        assert asked == ["/data/" + name for name in tiny]
        assert_same_bits(data.load("mnist").x_train, first.x_train)
        assert len(asked) == 4
        # A damaged file in the cache is fetched again, the others are not.
        (data.cache_dir() / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"x")
        assert_same_bits(data.load("mnist").t_test, first.t_test)
        assert asked[4:] == ["/data/t10k-labels-idx1-ubyte.gz"]
    assert sorted(os.listdir(data.cache_dir() / "mnist")) == sorted(tiny)


def test_second_mirror(tiny: Files, tmp_path: Path) -> None:
    wrong = dict(tiny, **{"train-labels-idx1-ubyte.gz": b"something else"})
    wrong.pop("t10k-images-idx3-ubyte.gz")
    with mirror(wrong) as (first, _), mirror(tiny) as (second, asked):
        data.download("mnist", tmp_path / "new", (first, second))
    assert asked == ["/data/train-labels-idx1-ubyte.gz", "/data/t10k-images-idx3-ubyte.gz"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == tiny


@pytest.mark.parametrize("fault", ["wrong", "missing", "cut"])
def test_bad_mirror_leaves_nothing(tiny: Files, tmp_path: Path, fault: str) -> None:
    served = {"wrong": dict.fromkeys(tiny, b"x"), "missing": {}, "cut": tiny}[fault]
    message = {"wrong": "gives a file with another SHA-256", "missing": "404", "cut": "IncompleteRead|another SHA-256"}
    with (
        mirror(served, cut=fault == "cut") as (url, _),
        pytest.raises(data.DataError, match=f"could not be downloaded .*({message[fault]})"),
    ):
        data.download("mnist", tmp_path / "new", (url,))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("start", [b"HTTP/1.0 200 OK\r\nX: ", b"HTTP/1.0 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_a_mirror_that_drips_is_left(tiny: Files, monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setattr(originals, "_TIMEOUT", 0.2)

    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(start)
            with contextlib.suppress(OSError):
                for _ in range(200):
                    self.request.sendall(b"x")
                    time.sleep(0.01)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, block_on_close = True, False

    with Server(("127.0.0.1", 0), Drip) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with pytest.raises(OSError, match=r"timed out: \d+ bytes in 0.2 seconds"):
                originals._get(f"http://127.0.0.1:{server.server_address[1]}/", "x")
        finally:
            server.shutdown()
            thread.join()


def test_without_network_says_what_to_put_where(tiny: Files) -> None:
    with mirror({}) as (url, _):
        pass  # now nothing listens there
    folder = data.cache_dir() / "mnist"
    with pytest.raises(
        data.DataError, match=f"(?i)refused.*put {', '.join(tiny)} into {folder}, or .*--data-dir"
    ) as error:
        data.download("mnist", folder, (url,))
    assert "\n" not in str(error.value)
    assert not folder.exists()


def test_cache_dir_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert data.cache_dir() == tmp_path / ".cache" / "nnlite"


@pytest.mark.skipif("NNLITE_DATA_DIR" not in os.environ, reason="NNLITE_DATA_DIR names no folder with the real files")
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_real_files(name: str) -> None:
    real = data.load(name)
    assert real.x_train.shape == (60000, 1, 28, 28)
    assert real.x_test.shape == (10000, 1, 28, 28)
    assert real.x_train.max() == 1.0
    assert np.bincount(real.t_train).size == 10
    assert real.t_train[:5].tolist() == {"mnist": [5, 0, 4, 1, 9], "fashion-mnist": [9, 0, 0, 3, 0]}[name]
