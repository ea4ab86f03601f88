"""Files: what is written, when it appears, what is refused; and the hashes."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

import nnlite as nl
from nnlite import files, nn, optim
from support import assert_same_bits, rng

STATE = {
    "b.weight": rng(0).standard_normal((3, 2, 1)).astype(np.float32),
    "a": np.array([np.nan, -0.0, np.inf, 5e-324]),
    "count": np.array(7, np.int64),
    "empty": np.zeros((0, 4), np.float32),
    "view": np.arange(12, dtype=np.float32).reshape(3, 4).T[::-1],
}


def header(path):
    content = path.read_bytes()
    (n,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + n])


# ---- save and load


def test_round_trip(tmp_path):
    path = tmp_path / "w.safetensors"
    nl.save(STATE, path)
    loaded = nl.load(str(path))
    assert loaded.keys() == STATE.keys()
    for name, x in STATE.items():
        assert_same_bits(loaded[name], np.array(x, order="C"))
        assert loaded[name].flags.writeable


def test_one_metadata_key_with_sorted_json(tmp_path):
    path = tmp_path / "w.safetensors"
    nl.save(STATE, path, {"seed": 1, "epoch": {"z": 1, "a": [2]}})
    assert header(path)["__metadata__"] == {"nnlite": '{"epoch": {"a": [2], "z": 1}, "seed": 1}'}
    assert files.load_metadata(path) == {"seed": 1, "epoch": {"z": 1, "a": [2]}}
    nl.save(STATE, path)
    assert header(path)["__metadata__"] == {"nnlite": "{}"}
    assert files.load_metadata(path) == {}


def test_equal_states_give_equal_files(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    nl.save(STATE, one, {"a": 1, "b": 2})
    nl.save(dict(reversed(STATE.items())), two, {"b": 2, "a": 1})
    assert one.read_bytes() == two.read_bytes()


def test_files_of_other_programs(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "w.safetensors"
    numpy.save_file({"x": np.ones(2, np.float32)}, path)
    assert_same_bits(nl.load(path)["x"], np.ones(2, np.float32))
    assert files.load_metadata(path) == {}


@pytest.mark.parametrize(
    ("state", "metadata", "message"),
    [
        ([1], None, "state must be a dict of arrays, got list"),
        ({"a": [1.0]}, None, "'a': list"),
        ({"a": nl.Tensor(np.zeros(1))}, None, "'a': Tensor"),
        ({1: np.zeros(1)}, None, "1: ndarray"),
        ({"a": np.zeros(1)}, {"x": {1, 2}}, "not JSON serializable"),
    ],
)
def test_save_refuses_and_keeps_the_old_file(tmp_path, state, metadata, message):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(TypeError, match=message):
        nl.save(state, path, metadata)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_damaged_files(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(FileNotFoundError):
        nl.load(path)
    with pytest.raises(FileNotFoundError):
        files.load_metadata(path)
    nl.save(STATE, path)
    whole = path.read_bytes()
    for content in (b"", b"hello", whole[:-1], whole[:20], b"\xff" * 8 + whole[8:]):
        path.write_bytes(content)
        for read in (nl.load, files.load_metadata):
            with pytest.raises(ValueError, match=f"{path} is not a sound safetensors file"):
                read(path)


# ---- replaced at once


def test_an_error_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "f"
    files.write_file(path, b"old")

    def fail(*args):
        raise OSError("disk full")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="disk full"):
                files.write_file(path, b"new")
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["f"]


def test_order_of_operations(tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    done = []

    def spy(name):
        real = getattr(os, name)

        def call(*args):
            done.append((name, path.read_bytes()))
            return real(*args)

        monkeypatch.setattr(os, name, call)

    spy("fsync")
    spy("replace")
    files.write_file(path, b"new")
    assert done == [("fsync", b"old"), ("replace", b"old"), ("fsync", b"new")]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_killed_at_any_moment(tmp_path):
    script = (
        "import sys; from nnlite import files\n"
        "print('ready', flush=True)\n"
        "i = 0\n"
        "while True:\n"
        "    i += 1; files.write_file(sys.argv[1], bytes([i % 256]) * 200_000)\n"
    )
    path = tmp_path / "f"
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
        process.stdout.readline()
        while not path.exists():
            pass
        process.kill()
        process.wait()
        process.stdout.close()
        content = path.read_bytes()
        assert len(content) == 200_000
        assert len(set(content)) == 1


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ---- optimizers


@pytest.mark.parametrize("cls", [optim.SGD, optim.AdamW])
def test_checkpoint(tmp_path, cls):
    params = [nn.Parameter(np.ones((2, 2))), nn.Parameter(np.ones(3, np.float32))]
    optimizer = cls(params, lr=0.1)
    params[1].grad = np.full(3, 0.3, np.float32)
    for _ in range(3):
        optimizer.step()
    path = tmp_path / "optimizer.safetensors"
    files.save_checkpoint(path, optimizer.state_dict())
    loaded = files.load_checkpoint(path)
    other = cls(params, lr=9.0)
    other.load_state_dict(loaded)
    assert other.param_groups[0]["lr"] == 0.1
    assert other.state.keys() == optimizer.state.keys()
    for p, state in optimizer.state.items():
        for key, value in state.items():
            assert np.array_equal(other.state[p][key], value)
            assert type(other.state[p][key]) is type(value)
    nl.save({"a": np.zeros(1)}, path)
    with pytest.raises(ValueError, match="holds no optimizer's state"):
        files.load_checkpoint(path)


# ---- hashes


def test_tensor_hash_by_hand():
    x = np.array([[1.5, -0.0, 2.0]], np.float32)
    want = hashlib.sha256(b"0.weight\0float32\x001,3\0" + struct.pack("<3f", 1.5, -0.0, 2.0)).hexdigest()
    assert files.tensor_sha256("0.weight", x) == want
    assert files.tensor_sha256("0.weight", np.asfortranarray(x.T).T[:, ::1]) == want
    assert files.tensor_sha256("0.weight", x.astype(">f4")) == want
    assert files.tensor_sha256("n", np.array(3)) == hashlib.sha256(b"n\0int64\0\0" + struct.pack("<q", 3)).hexdigest()


def test_hash_tells_apart_what_differs():
    x = np.zeros((2, 3), np.float32)
    different = {
        files.tensor_sha256(name, y)
        for name, y in (
            ("a", x), ("b", x), ("a", x.reshape(3, 2)), ("a", x.reshape(6)), ("a", -x), ("a", x.astype(np.float64)),
            ("a", x.view(np.int32)),
        )
    }  # fmt: skip
    assert len(different) == 7


@pytest.mark.parametrize(("dtype", "unsigned", "patterns", "canonical"), [
    (np.float32, np.uint32, [0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FC00123], 0x7FC00000),
    (np.float64, np.uint64, [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001], 0x7FF8000000000000),
])  # fmt: skip
def test_every_nan_hashes_as_the_canonical_one(dtype, unsigned, patterns, canonical):
    x = np.array(patterns, unsigned).view(dtype)
    before = x.copy()
    want = np.full(len(patterns), canonical, unsigned).view(dtype)
    raw = hashlib.sha256(f"x\0{np.dtype(dtype).name}\0{len(patterns)}\0".encode() + want.tobytes()).hexdigest()
    assert files.tensor_sha256("x", x) == raw
    assert np.array_equal(x.view(unsigned), before.view(unsigned))


def test_weights_hash():
    state = {"b": np.ones(2), "a": np.zeros(3, np.float32)}
    hashes = files.tensors_sha256(state)
    assert list(hashes) == ["a", "b"]
    want = hashlib.sha256((hashes["a"] + hashes["b"]).encode()).hexdigest()
    assert hashes["a"] == files.tensor_sha256("a", state["a"])
    assert files.weights_sha256(state) == want
    assert files.weights_sha256(dict(reversed(state.items()))) == want
