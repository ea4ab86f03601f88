"""Files: what is written, when it appears, what is refused; and the hashes."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile

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
    "complex": np.array([1 - 2j, 0.5j], np.complex64),
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


def test_a_link_is_written_through_and_mode_is_kept(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    real.chmod(0o600)
    link.symlink_to("real")
    files.write_file(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert real.stat().st_mode & 0o777 == 0o600


def test_what_must_not_be_replaced_is_refused(tmp_path):
    fixed = tmp_path / "fixed"
    fixed.write_bytes(b"old")
    fixed.chmod(0o444)
    with pytest.raises(PermissionError, match="read-only"):
        nl.save({"a": np.ones(1)}, fixed)
    assert fixed.read_bytes() == b"old"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/null", tmp_path):
        with pytest.raises(OSError, match="no regular file"):
            nl.save({"a": np.ones(1)}, path)
    for read in (nl.load, files.load_metadata):
        with pytest.raises(OSError, match="no regular file"):
            read(pipe)
        with pytest.raises(OSError, match="directory"):
            read(tmp_path)
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")
    assert sorted(os.listdir(tmp_path)) == ["fixed", "pipe"]


def test_long_names_and_bytes(tmp_path):
    path = tmp_path / ("n" * 255)
    nl.save({"a": np.ones(2)}, path)
    assert nl.load(os.fsencode(path))["a"].tolist() == [1, 1]
    nl.save({"a": np.zeros(2)}, os.fsencode(path))
    assert nl.load(path)["a"].tolist() == [0, 0]


def test_a_name_of_the_format_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "w"
    nl.save({"a": np.ones(2)}, path)
    with pytest.raises(ValueError, match="'__metadata__'"):
        nl.save({"__metadata__": np.ones(2)}, path)
    assert nl.load(path)["a"].tolist() == [1, 1]


@pytest.mark.parametrize("dtype", ["complex128", "U3", "object", "longdouble", "datetime64[s]"])
def test_types_that_would_not_come_back_are_refused(tmp_path, dtype):
    path = tmp_path / "w"
    nl.save({"a": np.ones(2)}, path)
    with pytest.raises(TypeError, match=r"save: 'b' is of type \S+, which the file format has not"):
        nl.save({"b": np.zeros(2, dtype)}, path)
    assert nl.load(path)["a"].tolist() == [1, 1]


def test_metadata_that_would_not_come_back_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "w"
    with pytest.raises(TypeError, match="save: metadata must be a dict, got list"):
        nl.save({"a": np.ones(2)}, path, [1, 2])
    monkeypatch.setattr(files, "_LARGEST_METADATA", 20)
    nl.save({"a": np.ones(2)}, path, {"k": "x" * 11})  # 20 characters
    assert files.load_metadata(path) == {"k": "x" * 11}
    with pytest.raises(ValueError, match="save: metadata have 21 characters as JSON, at most 20 are read again"):
        nl.save({"a": np.zeros(2)}, path, {"k": "x" * 12})
    assert nl.load(path)["a"].tolist() == [1, 1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's file")
def test_a_file_that_another_user_may_not_write_is_refused():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = os.path.join(folder, "f")
        files.write_file(path, b"old")
        os.chmod(path, 0o644)
        os.seteuid(65534)
        try:
            with pytest.raises(PermissionError, match="read-only"):
                files.write_file(path, b"new")
        finally:
            os.seteuid(0)
        with open(path, "rb") as file:
            assert file.read() == b"old"
        assert os.stat(path).st_uid == 0


def test_what_a_killed_process_left_is_removed(tmp_path):
    script = (
        "import os, sys; from nnlite import files\n"
        "os.replace = lambda *a: os.kill(os.getpid(), 9)\n"
        "files.write_file(sys.argv[1], b'half')\n"
    )
    path = tmp_path / "f"
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    (orphan,) = os.listdir(tmp_path)
    assert orphan.endswith(".tmp")
    files.write_file(tmp_path / "other", b"x")
    assert len(os.listdir(tmp_path)) == 2  # another file's is left alone
    files.write_file(path, b"new")
    assert sorted(os.listdir(tmp_path)) == ["f", "other"]


def raw_file(path, header):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))


def test_types_that_numpy_has_not(tmp_path):
    path = tmp_path / "w"
    for dtype, size in (("BF16", 4), ("F8_E4M3", 8), ("F8_E5M2", 8)):
        raw_file(path, {"x": {"dtype": dtype, "shape": [size], "data_offsets": [0, 8]}})
        with pytest.raises(ValueError, match=f"{dtype}, which NumPy has not"):
            nl.load(path)


@pytest.mark.parametrize("text", ["[", "[" * 100_000, '{"a": NaN', "[1]", "\ud800", "7"])
def test_damaged_metadata_is_one_kind_of_error(tmp_path, text):
    path = tmp_path / "w"
    raw_file(path, {"__metadata__": {"nnlite": text}, "x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})
    for read in (files.load_metadata, files.load_optimizer):
        with pytest.raises(ValueError, match=r"load(_metadata)?: .*/w"):
            read(path)


# ---- checkpoints


def trained(cls, seed):
    nl.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = cls(model.parameters(), lr=0.1)
    step(model, optimizer)
    return model, optimizer


def step(model, optimizer):
    optimizer.zero_grad()
    model(np.arange(12, dtype=np.float32).reshape(4, 3) / 7).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("cls", [optim.SGD, optim.Adam, optim.AdamW])
def test_a_checkpoint_goes_on_where_it_was_saved(tmp_path, cls):
    path = tmp_path / "c"
    model, optimizer = trained(cls, 1)
    nl.save_checkpoint(path, model, optimizer, {"epoch": 3, "notes": ["x"]})
    other, its_optimizer = trained(cls, 2)
    assert nl.load_checkpoint(path, other, its_optimizer) == {"epoch": 3, "notes": ["x"]}
    for _ in range(2):
        step(model, optimizer)
        step(other, its_optimizer)
    assert files.weights_sha256(other.state_dict()) == files.weights_sha256(model.state_dict())
    assert nl.load_checkpoint(path, other) == {"epoch": 3, "notes": ["x"]}


def test_a_checkpoint_that_does_not_fit_changes_nothing(tmp_path):
    path = tmp_path / "c"
    model, optimizer = trained(optim.Adam, 1)
    before = files.weights_sha256(model.state_dict())
    moments = [x["exp_avg"].copy() for x in optimizer.state.values()]
    bigger = nn.Linear(3, 5)
    nl.save_checkpoint(path, bigger)
    with pytest.raises(ValueError, match="was saved without an optimizer"):
        nl.load_checkpoint(path, model, optimizer)
    with pytest.raises(ValueError, match="missing key"):
        nl.load_checkpoint(path, model)
    other, its_optimizer = trained(optim.Adam, 2)
    state = {f"model.{k}": x for k, x in other.state_dict().items() if k != "2.bias"}
    rest = files._without_arrays(its_optimizer.state_dict(), state)
    nl.save(state, path, {"checkpoint": {"optimizer": rest, "metadata": {}}})
    with pytest.raises(ValueError, match=r"missing key '2\.bias'"):  # the optimizer fits, the model does not
        nl.load_checkpoint(path, model, optimizer)
    assert files.weights_sha256(model.state_dict()) == before
    assert all(np.array_equal(x["exp_avg"], m) for x, m in zip(optimizer.state.values(), moments, strict=True))
    nl.save({"a": np.ones(1)}, path)
    with pytest.raises(ValueError, match=r"holds no checkpoint of a model; for its arrays use nl\.load"):
        nl.load_checkpoint(path, model)


def test_any_error_of_the_model_puts_the_optimizer_back(tmp_path):
    class Mine(nn.Linear):
        def load_state_dict(self, state):
            raise KeyError("mine")

    path = tmp_path / "c"
    model = Mine(3, 2)
    nl.save_checkpoint(path, model, optim.SGD(model.parameters(), lr=0.5))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(KeyError, match="mine"):
        nl.load_checkpoint(path, model, optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("damage", [{"param_groups": 3, "state": {}}, {"param_groups": []}, {"state": []}, 7, {}])
def test_damaged_optimizer_states_are_refused(tmp_path, damage):
    path = tmp_path / "c"
    model, optimizer = trained(optim.Adam, 1)
    state = {f"model.{k}": x for k, x in model.state_dict().items()}
    nl.save(state, path, {"checkpoint": {"optimizer": damage, "metadata": {}}})
    with pytest.raises(ValueError, match=r"optimizer|groups"):
        nl.load_checkpoint(path, model, optimizer)


def test_optimizer_files_of_earlier_versions(tmp_path):
    """The layouts that an interrupted run and files.save_checkpoint wrote."""
    model, optimizer = trained(optim.Adam, 1)
    content = optimizer.state_dict()
    arrays = {f"{i}.{k}": v for i, e in content["state"].items() for k, v in e.items() if isinstance(v, np.ndarray)}
    plain = {i: {k: v for k, v in e.items() if not isinstance(v, np.ndarray)} for i, e in content["state"].items()}
    numbers = {f"{i}.{k}": v for i, e in plain.items() for k, v in e.items()}
    for metadata in (
        {"numbers": numbers, "param_groups": content["param_groups"]},
        {"state": {str(i): e for i, e in plain.items()}, "param_groups": content["param_groups"]},
    ):
        nl.save(arrays, tmp_path / "o", metadata)
        other = optim.Adam(model.parameters(), lr=9.0)
        other.load_state_dict(files.load_optimizer(tmp_path / "o"))
        assert other.param_groups[0]["lr"] == 0.1
        for p, state in optimizer.state.items():
            for key, value in state.items():
                assert np.array_equal(other.state[p][key], value)
    nl.save({"a": np.zeros(1)}, tmp_path / "o")
    with pytest.raises(ValueError, match="holds no optimizer's state"):
        files.load_optimizer(tmp_path / "o")


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
