"""A reader's own definitions win over the drop-in's, and take those along that use them."""

from __future__ import annotations

import ast
import importlib
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

import nnlite.dropin
from nnlite.dropin import edits, published

PLAIN = Path(__file__).parent / "plain"
OURS = str(Path(nnlite.dropin.__file__).parent)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout of the book with an untouched library, a program in ch01, and the drop-in installed."""
    for package in ("common", "dataset"):
        shutil.copytree(PLAIN / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "ch01").mkdir()
    # The plain library stands for the published one.
    hashes = {
        f"{file.parent.name}.{file.stem}": {
            node.name: (edits.digest(ast.unparse(node))[:16], edits.digest(_source(file, node))[:16])
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        for file in [*tmp_path.glob("common/[!_]*.py"), *tmp_path.glob("dataset/[!_]*.py")]
    }
    monkeypatch.setattr(edits, "HASHES", hashes)
    assigned = [n for n in ast.parse((tmp_path / "dataset/mnist.py").read_text()).body if isinstance(n, ast.Assign)]
    constants = {ast.unparse(target): ast.unparse(n.value) for n in assigned for target in n.targets}
    assert constants.keys() == edits._CONSTANTS.keys()
    monkeypatch.setattr(edits, "_CONSTANTS", constants)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "ch01" / "program.py"), raising=False)
    nnlite.dropin.install()
    yield tmp_path
    nnlite.dropin.uninstall()


def _source(file: Path, node: ast.stmt) -> str:
    return "\n".join(file.read_text().split("\n")[node.lineno - 1 : node.end_lineno]) + "\n"


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) >= 1, f"{old!r} is not in {file.name}"
    file.write_text(text.replace(old, new, 1))


def comes_from(thing: Any) -> str:
    code = thing.__init__.__code__ if isinstance(thing, type) else thing.__code__
    return "nnlite" if code.co_filename.startswith(OURS) else "reader"


def test_the_hash_is_that_of_the_published_list() -> None:
    # Formulas with only one way to write them.
    identity = "def identity_function(x):\n    return x\n"
    relu = "def relu(x):\n    return np.maximum(0, x)\n"
    assert edits.digest(identity)[:16] in published.HASHES["common.functions"]["identity_function"]
    assert edits.digest(relu)[:16] in published.HASHES["common.functions"]["relu"]


def test_every_published_trainer_is_in_the_list() -> None:
    assert {"d2ee95e980c34e40", "55d56facd81818ec", "a3856f065ee2a3da"} <= {
        *published.HASHES["common.trainer"]["Trainer"]
    }


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("def f(x):\n    return x+1\n", True),
        ("def f( x ) :\n\n  return x  +  1  # more\n", True),
        ('def f(x):\n    """What it does,\n    in two lines."""\n    return x + 1\n', True),
        ('def f(x):\n    "é"; return x + 1\n', False),  # the semicolon is a token
        ("def f(x):\n    'a' 'b'\n    return (x +\n            1)\n", False),
        ("def f(x):\n    return x + 2\n", False),
        ("def f(x):\n    print(x)\n    return x + 1\n", False),
        ("def f(x):\n    return 'é', x + 1\n", False),
    ],
)
def test_what_the_hash_sees(text: str, same: bool) -> None:
    assert (edits.digest(text) == edits.digest("def f(x):\n    return x + 1\n")) is same


def test_a_string_in_an_expression_counts() -> None:
    assert edits.digest("def f(x):\n    return 'a'\n") != edits.digest("def f(x):\n    return 'b'\n")


def test_an_untouched_library_is_replaced_as_a_whole(book: Path) -> None:
    for file in (*book.glob("common/[!_]*.py"), *book.glob("dataset/[!_]*.py")):
        module = import_module(f"{file.parent.name}.{file.stem}")
        names = [node.name for node in ast.parse(file.read_text()).body if hasattr(node, "name")]
        assert names
        for name in names:
            if hasattr(module, name):  # a helper of the plain library is none of the published one
                assert comes_from(getattr(module, name)) == "nnlite", name
    assert "from" not in nnlite.dropin.report()


def test_an_edited_layer_wins_and_the_others_stay_compiled(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(
        book / "common/layers.py",
        "    def backward(self, dout):",
        "    def backward(self, dout):\n        print('hello')",
    )
    layers = import_module("common.layers")
    assert comes_from(layers.Relu) == "reader"
    assert [comes_from(c) for c in (layers.Affine, layers.Convolution, layers.Pooling)] == ["nnlite"] * 3
    relu = layers.Relu()
    relu.forward(np.array([[1.0, -1.0]]))
    relu.backward(np.ones((1, 2)))
    assert capsys.readouterr().out == "hello\n"
    assert layers.__file__ == str(book / "common/layers.py")
    assert "Relu (edited)" in nnlite.dropin.report()
    assert "Affine" not in nnlite.dropin.report()
    affine = layers.Affine(np.ones((2, 3)), np.zeros(3))
    assert type(pickle.loads(pickle.dumps(affine))) is layers.Affine


def test_what_uses_an_edited_function_comes_from_the_readers_file(book: Path) -> None:
    change(book / "common/functions.py", "def softmax(x):", "def softmax(x):\n    x = np.clip(x, -1, 1)")
    functions, layers = import_module("common.functions"), import_module("common.layers")
    net = import_module("common.multi_layer_net")
    stays = (functions.softmax, functions.softmax_loss, layers.SoftmaxWithLoss, net.MultiLayerNet)
    assert [comes_from(thing) for thing in stays] == ["reader"] * 4
    ours = (functions.sigmoid, functions.cross_entropy_error, layers.Affine, layers.Sigmoid)
    assert [comes_from(thing) for thing in ours] == ["nnlite"] * 4
    assert layers.softmax is functions.softmax
    scores = np.array([[9.0, -9.0]])
    loss = layers.SoftmaxWithLoss()
    loss.forward(scores, np.array([0]))
    np.testing.assert_allclose(loss.y, [[1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))]], rtol=1e-12)
    report = nnlite.dropin.report()
    assert "softmax (edited)" in report
    assert "SoftmaxWithLoss (uses softmax)" in report
    assert "MultiLayerNet (uses SoftmaxWithLoss)" in report


@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("    ", "\t").encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: ("# a remark\n" + text.replace(":\n", ":  # and another\n")).encode(),
        lambda text: ("# coding: latin-1\n# \xe9\n" + text).encode("latin-1"),
    ],
    ids=["CRLF", "tabs", "BOM", "comments", "latin-1"],
)
def test_layout_is_no_edit(book: Path, disguise: Callable[[str], bytes]) -> None:
    file = book / "common/functions.py"
    file.write_bytes(disguise(file.read_text()))
    functions = import_module("common.functions")
    assert {comes_from(thing) for thing in vars(functions).values() if isinstance(thing, FunctionType)} == {"nnlite"}


def test_an_edit_in_a_file_with_windows_line_ends(book: Path) -> None:
    file = book / "common/functions.py"
    change(file, "def relu(x):", "def relu(x):\n    x = x + 1")
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    functions = import_module("common.functions")
    np.testing.assert_array_equal(functions.relu(np.array([-3.0, 2.0])), [0.0, 3.0])
    assert comes_from(functions.softmax) == "nnlite"


def test_a_decorated_definition_is_edited(book: Path) -> None:
    change(
        book / "common/functions.py",
        "def relu(x):",
        "def twice(f):\n    return lambda x: 2 * f(x)\n\n\n@twice\ndef relu(x):",
    )
    assert import_module("common.functions").relu(np.array([1.0]))[0] == 2


def test_a_definition_of_the_readers_own(book: Path) -> None:
    with open(book / "common/functions.py", "a") as file:
        file.write("\n\nslope = 0.25\n\n\ndef leaky(x):\n    return np.where(x > 0, x, slope * x)\n")
    namespace: dict[str, Any] = {}
    exec("from common.layers import *", namespace)
    assert namespace["leaky"](np.array([-4.0]))[0] == -1
    assert comes_from(namespace["softmax"]) == "nnlite"
    assert comes_from(namespace["Affine"]) == "nnlite"
    assert "slope (added), leaky (added)" in nnlite.dropin.report()


def test_a_name_bound_by_assignment_or_import(book: Path) -> None:
    (book / "common/mine.py").write_text("def im2col(*args):\n    raise LookupError('mine')\n")
    change(
        book / "common/layers.py",
        "from common.util import",
        "from common.mine import im2col\nfrom common.util import col2im  #",
    )
    with open(book / "common/functions.py", "a") as file:
        file.write("\n\nsigmoid = np.tanh\n")
    layers = import_module("common.layers")
    assert comes_from(layers.Convolution) == "reader"
    with pytest.raises(LookupError, match="mine"):
        layers.Convolution(np.ones((1, 1, 1, 1)), np.zeros(1)).forward(np.ones((1, 1, 1, 1)))
    assert layers.sigmoid is np.tanh
    assert "sigmoid (edited)" in nnlite.dropin.report()
    assert comes_from(layers.Affine) == "nnlite"


def test_other_modules_of_the_package(book: Path) -> None:
    (book / "common/mine.py").write_text("from common.layers import Affine\n")
    assert comes_from(import_module("common.mine").Affine) == "nnlite"


def test_the_readers_names_do_not_reach_into_ours(book: Path) -> None:
    with open(book / "common/layers.py", "a") as file:
        file.write("\n\ndef kernel(x):\n    return x\n\n\ncall = floats = None\n")
    layers = import_module("common.layers")
    assert layers.kernel(3) == 3
    assert layers.Affine(np.eye(2), np.zeros(2)).forward(np.ones((1, 2))).tolist() == [[1.0, 1.0]]
    assert "Affine.forward  " in nnlite.dropin.report()


def test_a_file_that_does_not_parse_raises_what_it_always_raised(book: Path) -> None:
    change(book / "common/functions.py", "def relu(x):", "def relu(x:")
    with pytest.raises(SyntaxError) as raised:
        import_module("common.functions")
    assert raised.value.filename == str(book / "common/functions.py")


def test_a_library_that_does_not_belong_to_the_program_does_not_count(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(book / "common")
    other = tmp_path / "elsewhere"
    (other / "common").mkdir(parents=True)
    (other / "common" / "functions.py").write_text("raise SystemExit('the wrong one')\n")
    (other / "common" / "extra.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(other))
    assert comes_from(import_module("common.functions").softmax) == "nnlite"
    assert import_module("common.extra").x == 1


def test_an_edited_data_set(book: Path) -> None:
    change(
        book / "dataset/mnist.py",
        "def load_mnist(",
        "def load_mnist(*args, **kwargs):\n    return 'mine'\n\n\ndef _unused(",
    )
    mnist = import_module("dataset.mnist")
    assert mnist.load_mnist() == "mine"
    assert mnist.__file__ == str(book / "dataset/mnist.py")


def test_changed_constants_of_the_data_set(book: Path) -> None:
    file = book / "dataset/mnist.py"
    text = file.read_text()
    file.write_text(text + "\ntrain_num = 100\n")
    assert import_module("dataset.mnist").train_num == 100


def test_an_edited_network_beside_an_untouched_one(book: Path) -> None:
    change(book / "common/multi_layer_net.py", "def predict(self, x):", "def predict(self, x):\n        x = x * 1.0")
    edited, extended = import_module("common.multi_layer_net"), import_module("common.multi_layer_net_extend")
    assert comes_from(edited.MultiLayerNet) == "reader"
    net = extended.MultiLayerNetExtend(4, [3], 2)
    assert comes_from(extended.MultiLayerNetExtend) == "nnlite"
    assert set(net.gradient(np.ones((2, 4)), np.array([0, 1]))) == {"W1", "b1", "W2", "b2"}


def test_a_library_of_the_same_name_is_all_the_readers(book: Path) -> None:
    """As volume 2's: other definitions, an `np` of its own, lists of parameters."""
    for file in (book / "common").glob("*.py"):
        file.unlink()
    (book / "common/config.py").write_text("GPU = False\n")
    (book / "common/np.py").write_text("from common.config import GPU\nimport numpy as np\n")
    (book / "common/functions.py").write_text(
        "from common.np import *\n\n\ndef softmax(x):\n    return 'of volume 2'\n"
        "\n\ndef relu(x):\n    return np.maximum(0, x)\n"
    )
    (book / "common/layers.py").write_text(
        "from common.np import *\nfrom common.functions import softmax\n"
        "\n\nclass Affine:\n    def __init__(self, W, b):\n        self.params = [W, b]\n"
    )
    functions, layers = import_module("common.functions"), import_module("common.layers")
    assert functions.softmax(1) == layers.softmax(1) == "of volume 2"
    assert layers.Affine(1, 2).params == [1, 2]
    assert functions.relu(np.array([-1.0, 1.0])).tolist() == [0, 1]
    assert import_module("common.np").np is np


def test_places_of_the_data_are_constants_too(book: Path) -> None:
    change(book / "dataset/mnist.py", "key_file = {", "key_file = {'more': 'x', ")
    assert "more" in import_module("dataset.mnist").key_file
    assert "key_file (edited)" in nnlite.dropin.report()


def test_statements_of_the_file_run_as_always(book: Path) -> None:
    with open(book / "common/layers.py", "a") as file:
        file.write("\nimport time\n\nRelu.name = 'relu'\nRelu.__call__ = Relu.forward\nglobals()['late'] = 1\n")
    namespace: dict[str, Any] = {}
    exec("from common.layers import *", namespace)
    assert namespace["time"].time() > 0
    assert namespace["late"] == 1
    relu = namespace["Relu"]()
    assert (relu.name, comes_from(namespace["Relu"])) == ("relu", "nnlite")
    assert relu(np.array([-1.0, 1.0])).tolist() == [0, 1]


@pytest.mark.parametrize(
    "statement",
    [
        "from common.mine import *",
        "from common.mine import my_im2col as im2col",
        "from common.util import col2im as im2col",
    ],
)
def test_other_imports(book: Path, statement: str) -> None:
    (book / "common/mine.py").write_text("def im2col(*args):\n    raise LookupError('mine')\n\n\nmy_im2col = im2col\n")
    change(book / "common/layers.py", "from common.util import", f"{statement}\nfrom common.util import col2im  #")
    layers = import_module("common.layers")
    assert comes_from(layers.Convolution) == "reader"
    assert comes_from(import_module("common.functions").softmax) == "nnlite"


def test_an_edit_is_seen_by_reload(book: Path) -> None:
    functions = import_module("common.functions")
    assert comes_from(functions.relu) == "nnlite"
    change(book / "common/functions.py", "def relu(x):", "def relu(x):\n    x = x + 1")
    functions = importlib.reload(functions)
    assert functions.relu(np.array([1.0]))[0] == 2


def test_a_module_of_the_packages_name_beside_the_script(book: Path) -> None:
    (book / "ch01/dataset.py").write_text("def load():\n    return 'mine'\n")
    sys.path.insert(0, str(book / "ch01"))
    try:
        assert import_module("dataset").load() == "mine"
        assert comes_from(import_module("common.layers").Affine) == "nnlite"
    finally:
        sys.path.pop(0)


def test_a_comment_in_an_undeclared_encoding(book: Path) -> None:
    file = book / "common/functions.py"
    change(file, "def relu(x):", "def relu(x):\n    x = x + 1")
    file.write_bytes(b"# \x83\x8c\n" + file.read_bytes())
    try:
        compile(file.read_bytes(), "x", "exec")
    except SyntaxError:
        pytest.skip("this Python wants it declared")
    functions = import_module("common.functions")
    assert functions.relu(np.array([1.0]))[0] == 2
    assert comes_from(functions.softmax) == "nnlite"


def test_annotations_are_those_of_the_file(book: Path) -> None:
    with open(book / "common/functions.py", "a") as file:
        file.write("\n\ndef double(x: int):\n    return 2 * x\n")
    assert import_module("common.functions").double.__annotations__ == {"x": int}


def test_a_backward_put_in_from_outside_is_called(book: Path) -> None:
    layers, nets = import_module("common.layers"), import_module("common.multi_layer_net")
    x, t = np.ones((2, 4)), np.array([0, 1])
    called = []
    net = nets.MultiLayerNet(4, [3], 2)
    first = net.layers["Affine1"]
    own = first.backward
    first.backward = lambda dout: (called.append("object"), own(dout))[1]
    net.gradient(x, t)
    original = layers.Affine.backward
    layers.Affine.backward = lambda self, dout: (called.append("class"), original(self, dout))[1]
    nets.MultiLayerNet(4, [3], 2).gradient(x, t)
    assert called == ["object", "class", "class"]


@pytest.mark.parametrize("name", ["MultiLayerNet", "MultiLayerNetExtend"])
def test_a_loss_put_in_from_outside_is_called(book: Path, name: str) -> None:
    module = import_module({"MultiLayerNet": "common.multi_layer_net"}.get(name, "common.multi_layer_net_extend"))
    x, t = np.ones((2, 4)), np.array([0, 1])
    called = []
    net = getattr(module, name)(4, [3], 2, weight_decay_lambda=0.5)
    net.gradient(x, t)
    assert net.last_layer.loss == net.last_layer.forward(net.predict(x), t)  # left as the loss leaves it
    own = net.loss
    net.loss = lambda *a, **k: (called.append("object"), own(*a, **k))[1]
    net.gradient(x, t)
    original = type(net).loss
    type(net).loss = lambda self, *a, **k: (called.append("class"), original(self, *a, **k))[1]
    getattr(module, name)(4, [3], 2).gradient(x, t)
    assert called == ["object", "class"]
