"""``python -m nnlite.dropin``, ``install()`` and ``uninstall()``, and the data set's files."""

from __future__ import annotations

import gzip
import os
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnlite.data
import nnlite.dropin
from nnlite.dropin import calls


def run(
    script: Path, *arguments: str, options: tuple[str, ...] = (), **settings: Any
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nnlite.dropin", *options, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **settings)


def program(folder: Path, text: str) -> Path:
    file = folder / "program.py"
    file.write_text(text)
    return file


def test_a_program_runs_in_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "ch01").mkdir()
    (tmp_path / "ch01" / "net.py").write_text("from common.layers import Affine\n")
    script = program(
        tmp_path / "ch01",
        "import os, sys\nfrom net import Affine\nprint(__name__, sys.argv, os.getcwd(), sys.path[0])\n"
        "print(__file__, Affine.__module__, os.path.abspath(os.pardir))\n",
    )
    result = run(Path(os.path.relpath(script, tmp_path)), "--", "a", "--report", cwd=tmp_path)
    home = str(tmp_path / "ch01")
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        f"__main__ {['program.py', '--', 'a', '--report']} {home} {home}",
        f"{script} common.layers {tmp_path}",
    ]


@pytest.mark.parametrize(
    ("text", "code", "error"),
    [
        ("", 0, ""),
        ("import sys\nsys.exit(3)", 3, ""),
        ("raise SystemExit('enough')", 1, "enough\n"),
        ("raise SystemExit", 0, ""),
        ("exit()", 0, ""),
        ("import os\nos._exit(7)", 7, ""),
    ],
)
def test_exit_codes(tmp_path: Path, text: str, code: int, error: str) -> None:
    result = run(program(tmp_path, text))
    assert (result.returncode, result.stderr) == (code, error)


def test_tracebacks_are_those_of_python(tmp_path: Path) -> None:
    for text in (
        "import numpy as np\n\n\ndef f(x):\n    return 1 / x\n\n\nf(0)\n",
        "try:\n    {}['a']\nexcept KeyError as error:\n    raise ValueError('é') from error\n",
        "def f(:\n",
        "raise KeyboardInterrupt\n",
        "import missing_module\n",
    ):
        script = program(tmp_path, text)
        plain = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path)
        ours = run(script)
        assert ours.stderr == plain.stderr
        assert ours.returncode == (plain.returncode if plain.returncode > 0 else 130)


def test_an_error_inside_a_layer_shows_the_program_first(tmp_path: Path) -> None:
    script = program(
        tmp_path,
        "import numpy as np\nfrom common.layers import *\n\nAffine(np.eye(2), 0).forward(np.ones((3, 5)))\n",
    )
    lines = run(script).stderr.splitlines()
    assert lines[:2] == ["Traceback (most recent call last):", f'  File "{script}", line 4, in <module>']
    assert lines[-1].startswith("ValueError: shapes (3,5) and (2,2) not aligned")
    assert "During handling" not in "\n".join(lines)


def test_what_cannot_be_run(tmp_path: Path) -> None:
    result = run(tmp_path / "nowhere.py")
    assert (result.returncode, result.stdout) == (2, "")
    assert "cannot read" in result.stderr
    assert "nowhere.py" in result.stderr
    result = run(program(tmp_path, "print('ran')"), options=("--device", "tpu"))
    assert (result.returncode, result.stdout) == (2, "")
    assert "device must be 'cpu', 'cuda' or 'cuda:N', got 'tpu'" in result.stderr


def test_the_report(tmp_path: Path) -> None:
    script = program(
        tmp_path,
        "import numpy as np\nfrom common.layers import *\nRelu().forward(np.ones((2, 3)))\n"
        "Relu().forward(np.ones(3, int))\n"
        "print('done')\nraise SystemExit(4)\n",
    )
    result = run(script, options=("--report",))
    assert result.returncode == 4
    lines = result.stdout.splitlines()
    assert lines[0] == "done"
    row = next(line for line in lines if line.startswith("Relu.forward"))
    assert row.split()[1] == "1"
    assert row.split()[3] == "1"
    assert row.endswith("an array of int64 (1)")


def test_float32(tmp_path: Path) -> None:
    text = "from common.layers import *\nprint(Affine(np.eye(3), np.ones(3)).forward(np.ones((2, 3))).dtype)\n"
    script = program(tmp_path, text)
    assert run(script).stdout == "float64\n"
    assert run(script, options=("--float32",)).stdout == "float32\n"


def test_classes_of_the_program_can_be_pickled(tmp_path: Path) -> None:
    text = "import pickle\n\n\nclass A:\n    pass\n\n\nprint(type(pickle.loads(pickle.dumps(A()))) is A)\n"
    assert run(program(tmp_path, text)).stdout == "True\n"


def test_a_link_to_a_program(tmp_path: Path) -> None:
    for folder in ("real", "links"):
        (tmp_path / folder).mkdir()
    (tmp_path / "real" / "beside.py").write_text("x = 1\n")
    program(tmp_path / "real", "import os, beside\nprint(os.getcwd(), open('data.txt').read())\n")
    (tmp_path / "links" / "data.txt").write_text("found")
    (tmp_path / "links" / "p.py").symlink_to(tmp_path / "real" / "program.py")
    assert run(tmp_path / "links" / "p.py").stdout == f"{tmp_path / 'links'} found\n"


def test_annotations_are_those_of_the_program(tmp_path: Path) -> None:
    text = "def f(x: int): pass\n\n\nprint(f.__annotations__)\n"
    assert run(program(tmp_path, text)).stdout == "{'x': <class 'int'>}\n"


def test_install_and_uninstall_leave_nothing() -> None:
    path, modules = list(sys.meta_path), set(sys.modules)
    nnlite.dropin.install()
    layers = import_module("common.layers")
    nnlite.dropin.uninstall()
    assert sys.meta_path == path
    assert not {name for name in set(sys.modules) - modules if name.partition(".")[0] in ("common", "dataset")}
    with pytest.raises(ModuleNotFoundError):
        import_module("common.layers")
    assert layers.Relu().forward(np.array([-1.0, 2.0])).tolist() == [0.0, 2.0]
    with pytest.raises(RuntimeError, match="not installed"):
        nnlite.dropin.uninstall()


def test_modules_imported_before_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "layers.py").write_text("Affine = 'theirs'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    theirs = import_module("common.layers")
    try:
        nnlite.dropin.install()
        try:
            assert import_module("common.layers").Affine != "theirs"
        finally:
            nnlite.dropin.uninstall()
        assert sys.modules["common.layers"] is theirs
        assert sys.modules["common"].layers is theirs
    finally:
        for name in ("common", "common.layers"):
            del sys.modules[name]


def test_nested_use() -> None:
    nnlite.dropin.install()
    try:
        layers = import_module("common.layers")
        nnlite.dropin.install(float32=True)
        assert import_module("common.layers") is layers
        assert layers.Affine(np.eye(2), np.zeros(2)).forward(np.ones((1, 2))).dtype == np.float32
        nnlite.dropin.uninstall()
        assert import_module("common.layers") is layers
        assert layers.Affine(np.eye(2), np.zeros(2)).forward(np.ones((1, 2))).dtype == np.float64
    finally:
        nnlite.dropin.uninstall()
    assert not calls.options.float32


def test_an_unknown_device_installs_nothing() -> None:
    path = list(sys.meta_path)
    with pytest.raises(ValueError, match="device must be"):
        nnlite.dropin.install(device="tpu")
    assert sys.meta_path == path


def test_kernels_on_another_device() -> None:
    if nnlite.cuda.reason("cuda_sim"):
        pytest.skip("this installation has no simulator")
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((2, 1, 6, 6)), rng.standard_normal((3, 1, 3, 3))

    def gradient(device: str) -> list[Any]:
        nnlite.dropin.install(device=device)
        try:
            layers, optimizer = import_module("common.layers"), import_module("common.optimizer")
            stack = [layers.Convolution(w.copy(), np.zeros(3)), layers.Relu(), layers.Pooling(2, 2)]
            stack += [layers.Affine(np.ones((12, 2)), np.zeros(2)), layers.Sigmoid()]
            y = x
            for layer in stack:
                y = layer.forward(y)
            loss = layers.SoftmaxWithLoss()
            value = loss.forward(y, np.array([0, 1]))
            dx = loss.backward()
            for layer in reversed(stack):
                dx = layer.backward(dx)
            params = {"W": stack[0].W}
            optimizer.Adam().update(params, {"W": stack[0].dW})
            assert all(record.formula == 0 for record in calls.records.values())
            return [value, dx, stack[0].dW, params["W"], y]
        finally:
            nnlite.dropin.uninstall()

    for here, there in zip(gradient("cpu"), gradient("cuda_sim"), strict=True):
        assert type(here) is type(there)
        np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize("float32", [False, True])
def test_usual_networks_run_on_kernels_throughout(float32: bool) -> None:
    x, t = np.random.rand(8, 1, 6, 6).astype(np.float32), np.arange(8) % 3
    nnlite.dropin.install(float32=float32)
    try:
        layers, optimizer = import_module("common.layers"), import_module("common.optimizer")
        make = import_module("common.multi_layer_net_extend").MultiLayerNetExtend
        net = make(36, [7, 5], 3, activation="sigmoid", use_batchnorm=True, use_dropout=True, weight_decay_lambda=0.1)
        for step in (optimizer.SGD(), optimizer.Adam()):
            step.update(net.params, net.gradient(x.reshape(8, 36), t))
        y = x
        stack = [layers.Convolution(np.random.rand(4, 1, 3, 3), np.zeros(4)), layers.Relu(), layers.Pooling(2, 2)]
        for layer in stack:
            y = layer.forward(y)
        for layer in reversed(stack):
            y = layer.backward(y)
        assert {name for name, record in calls.records.items() if record.formula} == set()
        assert len(calls.records) >= 14
    finally:
        nnlite.dropin.uninstall()


def test_the_reasons_that_are_kept_are_few() -> None:
    nnlite.dropin.install()
    try:
        for i in range(50):
            calls.call("other", lambda i=i: int(f"x{i}"), lambda: None)
        assert len(calls.records["other"].reasons) == 21
        assert sum(calls.records["other"].reasons.values()) == calls.records["other"].formula == 50
    finally:
        nnlite.dropin.uninstall()


def idx(array: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(header + array.tobytes())


def put(folder: Path, first: int) -> None:
    """The four files, tiny, with ``first`` as the first training label."""
    folder.mkdir(parents=True)
    images, labels = np.arange(3 * 784, dtype=np.uint8).reshape(3, 28, 28), np.array([first, 2, 9], np.uint8)
    for name, content in (("train", 3), ("t10k", 2)):
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(idx(images[:content]))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(idx(labels[:content]))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program's folder, with a cache of its own and no data anywhere."""
    (tmp_path / "book" / "ch01").mkdir(parents=True)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "book/ch01/program.py"), raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NNLITE_DATA_DIR", raising=False)
    return tmp_path


def load(**settings: Any) -> Any:
    nnlite.dropin.install()
    try:
        return import_module("dataset.mnist").load_mnist(**settings)
    finally:
        nnlite.dropin.uninstall()


def test_where_the_data_are_looked_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home / "given" / "mnist", 4)
    monkeypatch.setenv("NNLITE_DATA_DIR", str(home / "given"))
    assert load()[0][1].tolist() == [4, 2, 9]
    put(home / "elsewhere" / "dataset", 3)
    monkeypatch.syspath_prepend(str(home / "elsewhere"))
    assert load()[0][1].tolist() == [3, 2, 9]
    put(home / "book" / "dataset", 1)
    assert load()[0][1].tolist() == [1, 2, 9]
    (home / "book" / "dataset" / "t10k-labels-idx1-ubyte.gz").unlink()  # three files are no data set
    assert load()[0][1].tolist() == [3, 2, 9]


def test_the_forms_of_the_data(home: Path) -> None:
    put(home / "book" / "dataset", 1)
    (x, t), (xt, tt) = load()
    assert (x.shape, x.dtype, t.dtype, xt.shape, tt.shape) == ((3, 784), np.float32, np.uint8, (2, 784), (2,))
    assert x[0, 255] == np.float32(255) / np.float32(255)
    assert x[0, 3] == np.float32(3) / np.float32(255)
    (x, t), _ = load(normalize=False, flatten=False, one_hot_label=True)
    assert (x.shape, x.dtype, t.shape, t.dtype) == ((3, 1, 28, 28), np.uint8, (3, 10), np.float64)
    assert t.argmax(1).tolist() == [1, 2, 9]
    x[:] = 0  # the caller's own
    assert load(normalize=False)[0][0][0, 3] == 3


def test_nothing_but_the_files_is_read_or_kept(home: Path) -> None:
    put(home / "book" / "dataset", 1)
    assert load()[0][1].tolist() == [1, 2, 9]
    assert not (home / "cache").exists()  # arrays kept there would be believed unseen
    (home / "book" / "dataset" / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.array([5, 5, 5], np.uint8)))
    assert load()[0][1].tolist() == [5, 5, 5]


class Trap:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('unpickled')",))


def test_no_pickle_is_read(home: Path) -> None:
    put(home / "book" / "dataset", 1)
    (home / "book" / "dataset" / "mnist.pkl").write_bytes(pickle.dumps(Trap()))
    assert load()[0][1].tolist() == [1, 2, 9]


def test_data_that_are_nowhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise nnlite.data.DataError("no network")

    (home / "book" / "dataset").mkdir()
    monkeypatch.setenv("NNLITE_DATA_DIR", "/nowhere")
    monkeypatch.setattr(nnlite.data, "download", fail)
    with pytest.raises(nnlite.data.DataError, match="NNLITE_DATA_DIR") as raised:
        load()
    for text in (str(home / "book" / "dataset"), "/nowhere", "no network", "t10k-labels-idx1-ubyte.gz"):
        assert text in str(raised.value)


def test_data_that_are_nowhere_and_no_place_for_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nnlite.data.MIRRORS, "mnist", ("nowhere:",))
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not (Path(entry) / "dataset").is_dir()])
    monkeypatch.chdir(home)
    with pytest.raises(nnlite.data.DataError, match=r"files are in no dataset folder, .*unknown url type") as raised:
        load()
    assert "--data-dir" not in str(raised.value)  # an option of `nnlite train`


def test_safe_path_keeps_code_above_the_program_out(tmp_path: Path) -> None:
    (tmp_path / "ch01").mkdir()
    for name in ("common", "dataset"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("print('ran')\n")
    (tmp_path / "common" / "functions.py").write_text("print('ran')\n")
    imports = "from common.functions import softmax\nimport dataset.mnist\nprint(softmax.__module__)\n"
    script = program(tmp_path / "ch01", imports)
    command = [sys.executable, "-P", "-m", "nnlite.dropin", str(script)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path / "ch01").stdout
    assert output == "common.functions\n"
    program(tmp_path / "ch01", "import os, sys\nsys.path.append(os.pardir)\n" + imports)  # asked for, as the book does
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path / "ch01").stdout
    assert output.splitlines() == ["ran", "ran", "ran", "common.functions"]


def test_files_that_are_no_images(home: Path) -> None:
    put(home / "book" / "dataset", 1)
    (home / "book" / "dataset" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"no images"))
    with pytest.raises(nnlite.data.DataError, match="train-images"):
        load()


def test_init_and_download(home: Path) -> None:
    put(home / "elsewhere" / "dataset", 3)
    (home / "book" / "dataset").mkdir()
    sys.path.append(str(home / "elsewhere"))
    nnlite.dropin.install()
    try:
        mnist = import_module("dataset.mnist")
        assert mnist.dataset_dir == str(home / "book" / "dataset")
        mnist.download_mnist()
        mnist.init_mnist()
    finally:
        nnlite.dropin.uninstall()
        sys.path.pop()
    assert sorted(os.listdir(home / "book" / "dataset")) == sorted([*mnist.key_file.values(), "mnist.pkl"])
    assert pickle.loads((home / "book/dataset/mnist.pkl").read_bytes())["train_label"].tolist() == [3, 2, 9]
