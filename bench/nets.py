"""The networks of the whole-step benchmarks, as data, and what reads them.

That is: nnlite and PyTorch (whose layers have the same names), JAX, and NumPy written the way the book "Deep Learning
from Scratch" writes it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .harness import Run, normal

Spec = list[tuple[Any, ...]]


class Net(NamedTuple):
    """A network: its layers, the shape of a sample, the batch of a training step, its optimizer, and whose it is."""

    name: str
    spec: Spec
    sample: tuple[int, ...]
    batch: int
    adam: bool = False
    book: bool = False  # has a version in the book's NumPy style


def _conv(c: int, k: int, size: int = 3, padding: int = 1, stride: int = 1, bias: bool = True) -> tuple[Any, ...]:
    return ("conv", c, k, size, padding, stride, bias)


def _conv_bn(c: int, k: int, size: int = 3, padding: int = 1, stride: int = 1) -> Spec:
    return [_conv(c, k, size, padding, stride, False), ("bn", k)]


def _block(c: int, k: int, stride: int) -> tuple[Any, ...]:
    body = [*_conv_bn(c, k, stride=stride), ("relu",), *_conv_bn(k, k)]
    return ("residual", body, _conv_bn(c, k, 1, 0, stride) if stride > 1 else [])


def nets(tiny: bool = False) -> list[Net]:
    """All networks; the tiny ones have the same kinds of layers on 8 x 8 images."""
    relu, pool, flat = ("relu",), ("pool",), ("flatten",)
    if tiny:
        residual = [*_conv_bn(3, 4), relu, _block(4, 4, 1), relu, _block(4, 6, 2), relu, ("avgpool", 4), flat]
        book = [_conv(1, 3), relu, pool, flat, ("linear", 48, 7), relu, ("dropout", 0.5), ("linear", 7, 10)]
        return [
            Net("MLP", [("linear", 17, 5), relu, ("linear", 5, 10)], (17,), 4),
            Net("book", book, (1, 8, 8), 4, adam=True, book=True),
            Net("residual", [*residual, ("linear", 6, 10)], (3, 8, 8), 4),
        ]
    vgg: Spec = []
    for c, k in ((3, 64), (64, 128), (128, 256)):
        vgg += [_conv(c, k), ("bn", k), relu, _conv(k, k), ("bn", k), relu, pool]
    resnet: Spec = [*_conv_bn(3, 16), relu]
    for c, k in ((16, 16), (16, 32), (32, 64)):
        resnet += [_block(c, k, k // c), relu, _block(k, k, 1), relu, _block(k, k, 1), relu]
    deep = [_conv(1, 16), relu, _conv(16, 16), relu, pool, _conv(16, 32), relu, _conv(32, 32, 3, 2), relu, pool]
    deep += [_conv(32, 64), relu, _conv(64, 64), relu, pool, flat, ("linear", 1024, 50), relu, ("dropout", 0.5)]
    lenet = [_conv(1, 6, 5, 2), relu, pool, _conv(6, 16, 5, 0), relu, pool, flat, ("linear", 400, 120), relu]
    simple = [_conv(1, 30, 5, 0), relu, pool, flat, ("linear", 4320, 100), relu, ("linear", 100, 10)]
    wide = [("linear", 784, 512), relu, ("linear", 512, 512), relu, ("linear", 512, 10)]
    digit, colour = (1, 28, 28), (3, 32, 32)
    return [
        Net("MLP 784-50-10", [("linear", 784, 50), relu, ("linear", 50, 10)], (784,), 100),
        Net("MLP 784-512-512-10", wide, (784,), 100),
        Net("SimpleConvNet", simple, digit, 100, adam=True, book=True),
        Net("DeepConvNet", [*deep, ("linear", 50, 10), ("dropout", 0.5)], digit, 100, adam=True, book=True),
        Net("LeNet-5", [*lenet, ("linear", 120, 84), relu, ("linear", 84, 10)], digit, 128),
        Net("VGG, 6 convolutions", [*vgg, flat, ("linear", 4096, 10)], colour, 128),
        Net("ResNet-20", [*resnet, ("avgpool", 8), flat, ("linear", 64, 10)], colour, 128),
    ]


def flops(net: Net, training: bool) -> float:
    """Floating-point operations of products and convolutions, per sample.

    The first layer of a training step needs no gradient of its input.
    """
    total, first = 0.0, True

    def walk(spec: Spec, shape: tuple[int, ...]) -> tuple[int, ...]:
        nonlocal total, first
        for layer in spec:
            kind, work = layer[0], 0.0
            if kind == "conv":
                _, c, k, size, padding, stride, _ = layer
                h, w = ((n + 2 * padding - size) // stride + 1 for n in shape[1:])
                work, shape = 2.0 * k * h * w * c * size * size, (k, h, w)
            elif kind == "linear":
                work, shape = 2.0 * layer[1] * layer[2], (layer[2],)
            elif kind in ("pool", "avgpool"):
                by = 2 if kind == "pool" else layer[1]
                shape = (shape[0], shape[1] // by, shape[2] // by)
            elif kind == "flatten":
                shape = (math.prod(shape),)
            elif kind == "residual":
                walk(layer[2], shape)
                shape = walk(layer[1], shape)
            if work:
                total += work * (1 if not training else 2 if first else 3)
                first = False
        return shape

    walk(net.spec, net.sample)
    return total


def batch(net: Net, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels."""
    return normal(n, *net.sample), np.random.default_rng(1).integers(0, 10, n)


def layers(nn: Any, spec: Spec) -> Any:
    """The network in nnlite or PyTorch."""

    class Residual(nn.Module):  # type: ignore[misc]
        def __init__(self, body: Spec, shortcut: Spec) -> None:
            super().__init__()
            self.body = layers(nn, body)
            self.shortcut = layers(nn, shortcut) if shortcut else nn.Identity()

        def forward(self, x: Any) -> Any:
            return self.body(x) + self.shortcut(x)

    made = []
    for kind, *a in spec:
        if kind == "conv":
            made.append(nn.Conv2d(a[0], a[1], a[2], stride=a[4], padding=a[3], bias=a[5]))
        elif kind == "residual":
            made.append(Residual(*a))
        elif kind == "pool":
            made.append(nn.MaxPool2d(2))
        else:
            names = {"linear": "Linear", "bn": "BatchNorm2d", "relu": "ReLU", "flatten": "Flatten"}
            names |= {"dropout": "Dropout", "avgpool": "AvgPool2d"}
            made.append(getattr(nn, names[kind])(*a))
    return nn.Sequential(*made)


def weights(spec: Spec, generator: np.random.Generator | None = None, statistics: bool = False) -> list[Any]:
    """The same parameters for everyone: for each layer a tuple of arrays, for a residual block two such lists.

    With ``statistics``, those of a batch normalisation are followed by the running mean and variance of a new model.
    """
    generator = generator or np.random.default_rng(0)

    def random(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, np.float32) / np.float32(math.sqrt(math.prod(shape[1:])))

    made: list[Any] = []
    for kind, *a in spec:
        if kind == "conv":
            w = random(a[1], a[0], a[2], a[2])
            made.append((w, np.zeros(a[1], np.float32)) if a[5] else (w,))
        elif kind == "linear":
            made.append((random(a[1], a[0]), np.zeros(a[1], np.float32)))
        elif kind == "bn":
            ones, zeros = np.ones(a[0], np.float32), np.zeros(a[0], np.float32)
            made.append((ones, zeros, zeros, ones) if statistics else (ones, zeros))
        else:
            made.append([weights(part, generator, statistics) for part in a] if kind == "residual" else ())
    return made


def _leaves(values: Any) -> list[np.ndarray]:
    return [values] if isinstance(values, np.ndarray) else [x for value in values for x in _leaves(value)]


def nnlite_step(net: Net, n: int) -> Run:
    """The plain loop body in nnlite."""
    step, x, t = nnlite_training(net, n)
    return lambda: step(x, t).numpy()


def nnlite_training(net: Net, n: int, device: str = "cpu") -> tuple[Run, Any, Any]:
    """The plain loop body in nnlite as a function of inputs and labels, which returns the loss; and a batch."""
    import nnlite as nl
    from nnlite import nn, optim

    nl.manual_seed(0)
    x, t = (nl.array(v, device) for v in batch(net, n))
    model, criterion = _nnlite(net).to(device), nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters()) if net.adam else optim.SGD(model.parameters(), lr=0.01)

    def step(x: Any, t: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return step, x, t


def _nnlite(net: Net) -> Any:
    from nnlite import nn

    model = layers(nn, net.spec)
    for p, values in zip(model.parameters(), _leaves(weights(net.spec)), strict=True):
        np.copyto(p.data, values)
    return model


def nnlite_inference(net: Net, n: int) -> Run:
    """A forward pass in nnlite."""
    import nnlite as nl

    x, _ = batch(net, n)
    model = _nnlite(net).eval()

    def forward() -> Any:
        with nl.no_grad():
            return model(x).numpy()

    return forward


def _torch_run(
    torch: Any,
    net: Net,
    n: int,
    training: bool,
    channels_last: bool,
    fused: bool,
    compiled: bool,
    capturable: bool = False,
) -> Run:
    x, t = (torch.from_numpy(v) for v in batch(net, n))
    model = layers(torch.nn, net.spec)
    with torch.no_grad():
        for p, values in zip(model.parameters(), _leaves(weights(net.spec)), strict=True):
            p.copy_(torch.from_numpy(values))
    if channels_last:
        x, model = (v.to(memory_format=torch.channels_last) for v in (x, model))
    model.train(training)
    forward = _compiled(torch, model) if compiled else model
    if net.adam:
        optimizer = torch.optim.Adam(model.parameters(), fused=fused, capturable=capturable)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, fused=fused)
    criterion = torch.nn.CrossEntropyLoss()

    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(forward(x), t)
        loss.backward()
        optimizer.step()
        return loss

    def inference() -> Any:
        with torch.no_grad():
            return forward(x)

    return step if training else inference


def torch_step(torch: Any, net: Net, n: int) -> Run:
    """The plain loop body in PyTorch, eager."""
    return _torch_run(torch, net, n, True, False, True, False)


def torch_graph(torch: Any, net: Net, n: int) -> Run:
    """The plain loop body in PyTorch, captured in a CUDA graph."""
    step = _torch_run(torch, net, n, True, False, True, False, capturable=True)
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def torch_runs(torch: Any, net: Net, n: int, training: bool) -> dict[str, Run]:
    """Eager and compiled, in both layouts; a step also with the optimizer that PyTorch takes by default."""

    def late(*how: bool) -> Run:
        made: list[Run] = []

        def run() -> Any:  # builds when it is first called
            if not made:
                made.append(_torch_run(torch, net, n, training, *how))
            return made[0]()

        return run

    runs = {"eager": late(False, training, False), "compile": late(False, training, True)}
    if training:
        runs["eager, default optimizer"] = late(False, False, False)
    if len(net.sample) == 3:
        runs["eager channels_last"] = late(True, training, False)
        runs["compile channels_last"] = late(True, training, True)
    return runs


def _compiled(torch: Any, model: Any) -> Any:
    torch._dynamo.config.recompile_limit = 1000  # one version per network, layout and number of threads
    return torch.compile(model)


def jax_runs(jax: Any, net: Net, n: int, training: bool) -> dict[str, Run]:
    """One jitted function a step, plain SGD or Adam."""
    jnp, lax = jax.numpy, jax.lax
    x, t = (jnp.asarray(v) for v in batch(net, n))

    def apply(spec: Spec, values: list[Any], x: Any, key: Any) -> Any:
        for (kind, *a), p in zip(spec, values, strict=True):
            if kind == "conv":
                numbers = ("NCHW", "OIHW", "NCHW")
                x = lax.conv_general_dilated(x, p[0], (a[4], a[4]), [(a[3], a[3])] * 2, dimension_numbers=numbers)
                x = x + p[1][:, None, None] if len(p) > 1 else x
            elif kind == "linear":
                x = x @ p[0].T + p[1]
            elif kind == "bn":
                if training:
                    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
                else:
                    mean, var = (statistic[:, None, None] for statistic in p[2:])
                x = (x - mean) * lax.rsqrt(var + 1e-5) * p[0][:, None, None] + p[1][:, None, None]
            elif kind == "relu":
                x = jnp.maximum(x, 0)
            elif kind == "pool":
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
            elif kind == "avgpool":
                x = lax.reduce_window(x, 0.0, lax.add, (1, 1, a[0], a[0]), (1, 1, a[0], a[0]), "VALID") / a[0] ** 2
            elif kind == "flatten":
                x = x.reshape(len(x), -1)
            elif kind == "dropout" and training:
                x = jnp.where(jax.random.bernoulli(key, 1 - a[0], x.shape), x / (1 - a[0]), 0)
            elif kind == "residual":
                x = apply(a[0], p[0], x, key) + (apply(a[1], p[1], x, key) if a[1] else x)
        return x

    def loss(values: Any, key: Any, x: Any, t: Any) -> Any:
        return -jax.nn.log_softmax(apply(net.spec, values, x, key))[jnp.arange(n), t].mean()

    def update(state: Any, x: Any, t: Any) -> Any:
        values, m, v, count = state
        cost, gradient = jax.value_and_grad(loss)(values, jax.random.key(count), x, t)
        tree = jax.tree_util.tree_map
        if not net.adam:
            return cost, (tree(lambda p, g: p - 0.01 * g, values, gradient), m, v, count + 1)
        m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, gradient)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradient)
        rate = 1e-3 * jnp.sqrt(1 - 0.999 ** (count + 1.0)) / (1 - 0.9 ** (count + 1.0))
        values = tree(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), values, m, v)
        return cost, (values, m, v, count + 1)

    values = jax.tree_util.tree_map(jnp.asarray, weights(net.spec, statistics=not training))
    if not training:
        forward = jax.jit(lambda values, x: apply(net.spec, values, x, None))
        return {"jit": lambda: forward(values, x).block_until_ready()}
    zeros = jax.tree_util.tree_map(jnp.zeros_like, values)
    state = (values, zeros, jax.tree_util.tree_map(jnp.zeros_like, values), 0)
    step = jax.jit(update, donate_argnums=0)

    def run() -> Any:
        nonlocal state
        cost, state = jax.block_until_ready(step(state, x, t))
        return cost

    return {"jit": run}


def book_step(net: Net, n: int) -> Run:
    """Forward, backward and update in NumPy as the book writes them: im2col, np.dot, a class of two functions a layer.

    In float32 throughout, as the others; the book's own arrays are float64.
    """
    x, t = batch(net, n)
    stack: list[Any] = []
    for (kind, *a), p in zip(net.spec, weights(net.spec), strict=True):
        if kind == "conv":
            stack.append(_BookConvolution(p[0], p[1], a[4], a[3]))
        elif kind == "linear":
            stack.append(_BookAffine(np.ascontiguousarray(p[0].T), p[1]))
        elif kind in ("pool", "relu", "dropout", "flatten"):
            kinds = {"pool": _BookPooling, "relu": _BookRelu, "dropout": _BookDropout, "flatten": _BookFlatten}
            stack.append(kinds[kind]())
    optimizer = _BookAdam()

    def step() -> Any:
        y = x
        for layer in stack:
            y = layer.forward(y)
        y = np.exp(y - y.max(1, keepdims=True))
        y /= y.sum(1, keepdims=True)
        loss = -np.log(y[np.arange(n), t] + 1e-7).mean()
        y[np.arange(n), t] -= 1
        dy = y / n
        for layer in reversed(stack):
            dy = layer.backward(dy)
        optimizer.update([pair for layer in stack for pair in getattr(layer, "gradients", list)()])
        return loss

    return step


class _BookAdam:
    def __init__(self) -> None:
        self.count, self.m, self.v = 0, [], []  # type: ignore[var-annotated]

    def update(self, pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
        if not self.m:
            self.m, self.v = ([np.zeros_like(p) for p, _ in pairs] for _ in range(2))
        self.count += 1
        rate = 1e-3 * math.sqrt(1 - 0.999**self.count) / (1 - 0.9**self.count)
        for (p, g), m, v in zip(pairs, self.m, self.v, strict=True):
            m += (1 - 0.9) * (g - m)
            v += (1 - 0.999) * (g**2 - v)
            p -= rate * m / (np.sqrt(v) + 1e-7)


def _im2col(x: np.ndarray, size: int, stride: int, padding: int) -> np.ndarray:
    n, c, h, w = x.shape
    oh, ow = (h + 2 * padding - size) // stride + 1, (w + 2 * padding - size) // stride + 1
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    col = np.zeros((n, c, size, size, oh, ow), x.dtype)
    for i in range(size):
        for j in range(size):
            col[:, :, i, j] = x[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(n * oh * ow, -1)


def _col2im(col: np.ndarray, shape: tuple[int, ...], size: int, stride: int, padding: int) -> np.ndarray:
    n, c, h, w = shape
    oh, ow = (h + 2 * padding - size) // stride + 1, (w + 2 * padding - size) // stride + 1
    col = col.reshape(n, oh, ow, c, size, size).transpose(0, 3, 4, 5, 1, 2)
    x = np.zeros((n, c, h + 2 * padding + stride - 1, w + 2 * padding + stride - 1), col.dtype)
    for i in range(size):
        for j in range(size):
            x[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride] += col[:, :, i, j]
    return x[:, :, padding : h + padding, padding : w + padding]


class _BookConvolution:
    def __init__(self, w: np.ndarray, b: np.ndarray, stride: int, padding: int) -> None:
        self.w, self.b, self.geometry = w, b, (w.shape[2], stride, padding)

    def forward(self, x: np.ndarray) -> np.ndarray:
        size, stride, padding = self.geometry
        oh, ow = (x.shape[2] + 2 * padding - size) // stride + 1, (x.shape[3] + 2 * padding - size) // stride + 1
        self.shape, self.col = x.shape, _im2col(x, *self.geometry)
        self.col_w = self.w.reshape(len(self.w), -1).T
        y = np.dot(self.col, self.col_w) + self.b
        return y.reshape(len(x), oh, ow, -1).transpose(0, 3, 1, 2)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        dy = dy.transpose(0, 2, 3, 1).reshape(-1, len(self.w))
        self.db = dy.sum(0)
        self.dw = np.dot(self.col.T, dy).transpose(1, 0).reshape(self.w.shape)
        return _col2im(np.dot(dy, self.col_w.T), self.shape, *self.geometry)

    def gradients(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(self.w, self.dw), (self.b, self.db)]


class _BookAffine:
    def __init__(self, w: np.ndarray, b: np.ndarray) -> None:
        self.w, self.b = w, b

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return np.dot(x, self.w) + self.b

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.dw, self.db = np.dot(self.x.T, dy), dy.sum(0)
        return np.dot(dy, self.w.T)

    def gradients(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(self.w, self.dw), (self.b, self.db)]


class _BookPooling:
    def forward(self, x: np.ndarray) -> np.ndarray:
        n, c, h, w = x.shape
        col = _im2col(x, 2, 2, 0).reshape(-1, 4)
        self.shape, self.index = x.shape, np.argmax(col, axis=1)
        return np.max(col, axis=1).reshape(n, h // 2, w // 2, c).transpose(0, 3, 1, 2)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        dy = dy.transpose(0, 2, 3, 1)
        col = np.zeros((dy.size, 4), dy.dtype)
        col[np.arange(dy.size), self.index] = dy.flatten()
        return _col2im(col.reshape(dy.shape[0] * dy.shape[1] * dy.shape[2], -1), self.shape, 2, 2, 0)


class _BookRelu:
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.mask = x <= 0
        y = x.copy()
        y[self.mask] = 0
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        dy[self.mask] = 0
        return dy


class _BookDropout:
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.mask = np.random.rand(*x.shape) > 0.5
        return x * self.mask

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return dy * self.mask


class _BookFlatten:
    def forward(self, x: np.ndarray) -> np.ndarray:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return dy.reshape(self.shape)
