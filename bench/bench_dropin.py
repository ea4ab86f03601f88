"""One gradient of the book's networks: through the drop-in, beside the same programs on the library as NumPy."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

import nnlite.dropin
from nnlite.dropin import calls

from .harness import Case, Run, Sizes

HERE = Path(__file__).parent.parent / "tests" / "dropin"


class Net(NamedTuple):
    """A network and the images that it takes.

    ``make`` is given the function that imports a module: of the library, or of a chapter's folder.
    """

    name: str
    make: Callable[[Callable[[str], ModuleType]], Any]
    shape: tuple[int, ...]
    flops: float  # of one image: forward, and twice as many backward


def nets(tiny: bool) -> list[Net]:
    """The networks of chapters 5 to 8; the last layer's 10 classes are those of digits."""
    if tiny:
        conv = {"filter_num": 3, "filter_size": 3, "pad": 0, "stride": 1}
        return [
            Net("MultiLayerNet", lambda load: load("common.multi_layer_net").MultiLayerNet(12, [7], 10), (12,), 1e3),
            Net(
                "SimpleConvNet", lambda load: load("ch07.simple_convnet").SimpleConvNet((1, 8, 8), conv), (1, 8, 8), 1e4
            ),
        ]
    extend = lambda load: load("common.multi_layer_net_extend").MultiLayerNetExtend
    hidden = [100] * 4
    deep = 3 * 2 * (784 * (9 + 16 * 9) * 16 + 196 * 16 * 9 * 32 + 256 * 32 * 9 * 32 + 64 * (32 + 64) * 9 * 64 + 51700)
    mlp = 3 * 2 * (784 * 100 + 3 * 100 * 100 + 1000)
    return [
        Net("TwoLayerNet 784-50-10", lambda load: load("ch05.two_layer_net").TwoLayerNet(784, 50, 10), (784,), 2.4e5),
        Net("MultiLayerNet 784-4x100-10", lambda load: extend(load)(784, hidden, 10), (784,), mlp),
        Net("with batchnorm", lambda load: extend(load)(784, hidden, 10, use_batchnorm=True), (784,), mlp),
        Net("SimpleConvNet", lambda load: load("ch07.simple_convnet").SimpleConvNet(), (1, 28, 28), 5.2e6),
        Net("DeepConvNet", lambda load: load("ch08.deep_convnet").DeepConvNet(), (1, 28, 28), deep),
    ]


def cases(tiny: bool, sizes: Sizes = ()) -> Iterator[Case]:
    n = 3 if tiny else 100
    for net in nets(tiny):
        for option in ("", ", --float32"):
            yield Case(
                "dropin_gradient",
                f"{net.name}, batch {n}{option}",
                group="drop-in",
                make=lambda net=net, n=n, option=option: gradient(net, n, "dropin", bool(option)),
                numpy=Lazy(lambda net=net, n=n: gradient(net, n, "plain")),
                flops=net.flops * n * (1 if option else 2),  # of floats, whose peak is measured; a double is two
                tolerance=1e-3 if option else 1e-9,
            )


class Lazy:
    """A call that is built when it is first made: each library has a process of its own."""

    def __init__(self, build: Callable[[], Run]) -> None:
        self._build, self._run = build, None  # type: ignore[var-annotated]

    def __call__(self) -> Any:
        self._run = self._run or self._build()
        return self._run()


def gradient(net: Net, n: int, kind: str, float32: bool = False) -> Run:
    """What computes the gradients of a batch; it returns those of the first weights."""
    np.random.seed(0)
    network = net.make(_importer(kind))
    x = np.random.rand(n, *net.shape).astype(np.float32)
    t = np.eye(10)[np.random.randint(0, 10, n)]

    def run() -> Any:
        calls.options.float32 = float32
        np.random.seed(1)  # of dropout
        first = network.gradient(x, t)["W1"]
        calls.options.float32 = False
        return np.ascontiguousarray(first)

    return run


def _importer(kind: str) -> Callable[[str], ModuleType]:
    """Imports modules of the plain library or the drop-in's, and of chapters on top of them, and forgets them."""

    def load(name: str) -> ModuleType:
        path = list(sys.path)
        if kind == "dropin":
            nnlite.dropin.install()
        else:
            sys.path.insert(0, str(HERE / "plain"))
        try:
            chapter, _, module = name.partition(".")
            if chapter == "common":
                return importlib.import_module(name)
            spec = importlib.util.spec_from_file_location(module, HERE / "programs" / chapter / f"{module}.py")
            assert spec is not None
            assert spec.loader is not None
            found = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(found)
            return found
        finally:
            sys.path[:] = path
            if kind == "dropin":
                nnlite.dropin.uninstall()
            for loaded in [m for m in sys.modules if m.partition(".")[0] == "common"]:
                del sys.modules[loaded]

    return load
