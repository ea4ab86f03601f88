"""``dezero``, the library of the third volume, on kernels.

:func:`install` puts kernels behind those functions of an installed ``dezero`` that have one, now if it has been
imported, else when it is; :func:`uninstall` takes them out again. Shapes, dtypes and attributes are those of the
original: where NumPy makes float64 of a float32 gradient and a Python number, so does this. Numbers agree to rounding,
except that the gradient of ReLU is 0 at an element that was cut, also where the original multiplies NaN or Inf by 0.

A gradient that is to be differentiated again (``create_graph=True``) is computed by the original's ``backward``, whose
parts (a transposed convolution, say) are compiled again.

The published version 0.0.13 asks for ``np.int``, which NumPy 1.24 has removed: the modules that do so get an ``np`` of
their own. They keep it after :func:`uninstall`, for without it they would not have been imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from .calls import UnsuitedError, call, floats, kernel, options

_NEEDED = {"matplotlib": "matplotlib", "PIL": "Pillow"}  # a module's name, and that of its distribution
_WITH_INT = ("dezero.datasets", "dezero.transforms")

_depth = 0


class _Patch(NamedTuple):
    owner: Any
    name: str
    original: Any
    replacement: Any


_patches: list[_Patch] = []


def install() -> None:
    """Put kernels behind the functions of ``dezero``, whether it has been imported or will be.

    Each call needs an :func:`uninstall` of its own.
    """
    global _depth
    _depth += 1
    if _depth == 1:
        sys.meta_path.insert(0, _finder)
        for name in _METHODS:
            if name in sys.modules:
                _patch(sys.modules[name])


def uninstall() -> None:
    """Undo one :func:`install`; after the last one ``dezero`` is as it was. Without any, nothing happens."""
    global _depth
    if _depth == 0:
        return
    _depth -= 1
    if _depth == 0:
        sys.meta_path.remove(_finder)
        while _patches:
            patch = _patches.pop()
            if vars(patch.owner).get(patch.name) is patch.replacement:  # the program may have put its own there
                setattr(patch.owner, patch.name, patch.original)


# Element by element.


def _tanh_forward(f: Any, x: Array) -> Any:
    return kernel("tanh_forward", *floats(x))


def _tanh_backward(f: Any, gy: Array) -> Any:
    return kernel("tanh_backward", *_wide(gy, f.outputs[0]().data))


def _sigmoid_forward(f: Any, x: Array) -> Any:
    return kernel("sigmoid_forward", *floats(x))


def _sigmoid_backward(f: Any, gy: Array) -> Any:
    return kernel("sigmoid_backward", *_wide(gy, f.outputs[0]().data))


def _relu_forward(f: Any, x: Array) -> Any:
    return kernel("relu_forward", *floats(x))


def _relu_backward(f: Any, gy: Array) -> Any:
    return _rounded(kernel("relu_backward", *floats(gy, f.inputs[0].data)), gy.dtype)


# Linear layers and convolutions. A bias is added into y and has no say in its dtype.


def _linear_forward(f: Any, x: Array, W: Array, b: Array | None) -> Any:
    y = kernel("gemm", *floats(x, W))
    if b is not None:
        y += b
    return y


def _linear_backward(f: Any, gy: Array) -> Any:
    x, W, b = (v.data for v in f.inputs)
    _require(b is None or b.shape == W.shape[1:], "a bias that is no vector of all outputs")
    gx = kernel("gemm", *floats(gy, W), transpose_b=True)
    gW = kernel("gemm", *floats(x, gy), transpose_a=True)
    return gx, gW, None if b is None else kernel("linear_backward_bias", *floats(gy))


def _conv2d_forward(f: Any, x: Array, W: Array, b: Array | None) -> Any:
    x, W = floats(x, W)
    if b is None:
        return kernel("conv2d_forward", x, W, None, f.stride, f.pad)
    (bias,) = floats(b)
    if bias.itemsize <= x.itemsize:
        return kernel("conv2d_forward", x, W, bias.astype(x.dtype, copy=False), f.stride, f.pad)
    y = kernel("conv2d_forward", x, W, None, f.stride, f.pad)
    y += bias.reshape(1, -1, 1, 1)  # sums in the wider type, rounded once
    return y


def _conv2d_backward(f: Any, gy: Array) -> Any:
    x, W, b = (v.data for v in f.inputs)
    gx = kernel("conv2d_backward_data", *floats(gy, W), x.shape, f.stride, f.pad)
    gW = kernel("conv2d_backward_weights", *floats(gy, x), W.shape, f.stride, f.pad)
    return gx, gW, None if b is None else kernel("conv2d_backward_bias", *floats(gy))


def _conv2d_grad_w_forward(f: Any, x: Array, gy: Array) -> Any:
    gy, x = floats(gy, x)
    return kernel("conv2d_backward_weights", gy, x, (gy.shape[1], x.shape[1], *f.kernel_size), f.stride, f.pad)


def _deconv2d_forward(f: Any, x: Array, W: Array, b: Array | None) -> Any:
    x, W = floats(x, W)
    (h, w), (kh, kw), (sh, sw), (ph, pw) = x.shape[2:], W.shape[2:], f.stride, f.pad
    size = (sh * (h - 1) + kh - 2 * ph, sw * (w - 1) + kw - 2 * pw) if f.outsize is None else _pair(f.outsize)
    y = kernel("conv2d_backward_data", x, W, (len(x), W.shape[1], *size), f.stride, f.pad)
    if b is not None:
        y += b.reshape(1, b.size, 1, 1)
        f.no_bias = True  # so the original, which never reads it
    return y


def _deconv2d_backward(f: Any, gy: Array) -> Any:
    x, W, b = (v.data for v in f.inputs)
    gx = kernel("conv2d_forward", *floats(gy, W), None, f.stride, f.pad)
    gW = kernel("conv2d_backward_weights", *floats(x, gy), W.shape, f.stride, f.pad)
    return gx, gW, None if b is None else kernel("conv2d_backward_bias", *floats(gy))


# Pooling. The zeros around x take part in the maximum, so they are put there.


def _pooling_forward(f: Any, x: Array) -> Any:
    (x,), (ph, pw) = floats(x), _pair(f.pad)
    if ph or pw:
        n, c, h, w = x.shape
        inner, x = x, np.zeros((n, c, h + 2 * ph, w + 2 * pw), x.dtype)
        x[:, :, ph : ph + h, pw : pw + w] = inner
    y, index = kernel("max_pool2d_forward", x, _pair(f.kernel_size), _pair(f.stride))
    f.indexes = index.astype(np.intp)
    return y


def _pooling2d_grad_forward(f: Any, gy: Array) -> Any:
    (gy,) = floats(gy)
    _require(f.dtype in (np.float32, np.float64), f"an array of {f.dtype}")
    (n, c, h, w), (ph, pw), (r, s) = f.input_shape, _pair(f.pad), _pair(f.kernel_size)
    index = f.indexes.astype(np.uint8 if r * s < 256 else np.int32)
    _require(np.array_equal(index, f.indexes), "an index of no tap")
    gx = kernel(
        "max_pool2d_backward",
        _rounded(gy, f.dtype),
        index,
        (n, c, h + 2 * ph, w + 2 * pw),
        (r, s),
        _pair(f.stride),
    )
    return gx[:, :, ph : ph + h, pw : pw + w]


def _average_pooling_forward(f: Any, x: Array) -> Any:
    y = kernel("avg_pool2d_forward", *floats(x), _pair(f.kernel_size), _pair(f.stride), _pair(f.pad))
    f.input_shape = x.shape
    return y


def _average_pooling_backward(f: Any, gy: Array) -> Any:
    kernel_size = _pair(f.kernel_size)
    _require(kernel_size[0] == kernel_size[1], "a window that is not square")  # the original has its sides exchanged
    return kernel("avg_pool2d_backward", *_wide(gy), f.input_shape, kernel_size, _pair(f.stride), _pair(f.pad))


# Batch normalisation and the loss.


def _batchnorm_forward(f: Any, x: Array, gamma: Array, beta: Array) -> Any:
    _require(x.ndim in (2, 4), f"an array of {x.ndim} dimensions")
    _require(type(f.eps) is float, f"eps of type {type(f.eps).__name__}")
    if not _config().train:
        return kernel("batchnorm_inference_forward", *floats(x, gamma, beta, f.avg_mean, f.avg_var), f.eps)
    for average in (f.avg_mean, f.avg_var):
        floats(average)
        _require(average.shape == x.shape[1:2], "running statistics that are not per channel")
    y, mean, var = kernel("batchnorm_training_forward", *floats(x, gamma, beta), f.eps)
    m = x.size // gamma.size
    avg_mean = f.avg_mean * f.decay + (1 - f.decay) * mean
    avg_var = f.avg_var * f.decay + (1 - f.decay) * (m / (m - 1)) * var
    _require(f.avg_mean.flags.writeable and f.avg_var.flags.writeable, "running statistics that are read-only")
    inv_std = _rounded(1 / np.sqrt(var + f.eps), x.dtype)
    f.avg_mean[...] = avg_mean
    f.avg_var[...] = avg_var
    f.inv_std = inv_std
    f._nnlite_statistics = inv_std, mean, var
    return y


def _batchnorm_backward(f: Any, gy: Array) -> Any:
    statistics = vars(f).get("_nnlite_statistics")
    if statistics is None or statistics[0] is not f.inv_std:
        raise UnsuitedError("the forward pass was not compiled")
    _, mean, var = statistics
    x, gamma, _ = (v.data for v in f.inputs)
    gx, ggamma, gbeta = kernel("batchnorm_training_backward", *_wide(gy, x, gamma, mean, var), f.eps)
    return gx, ggamma, _rounded(gbeta, gy.dtype)


def _softmax_cross_entropy_forward(f: Any, x: Array, t: Array) -> Any:
    loss, _ = kernel("softmax_cross_entropy_forward", *floats(x), _labels(t))
    return loss[()]


def _softmax_cross_entropy_backward(f: Any, gy: Array) -> Any:
    x, t = (v.data for v in f.inputs)
    y = kernel("softmax_forward", *floats(x))
    return kernel("softmax_cross_entropy_backward", *_wide(gy, y), _labels(t))


def _labels(t: Array) -> Array:
    _require(type(t) is np.ndarray and t.dtype.kind in "iu" and t.ndim == 1, "labels that are no vector of integers")
    return np.ascontiguousarray(t)


def _dropout(core: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    """What replaces the function ``dropout`` of ``dezero.functions``: its product and quotient as one function."""

    class Dropout(core.Function):  # type: ignore[misc]
        def __init__(self, ratio: Any) -> None:
            self.ratio = ratio

        def forward(self, x: Array) -> Any:
            (there,) = floats(x)
            self.scale = np.array(1.0 - self.ratio).astype(x.dtype)
            _require(self.scale.ndim == 0, "a ratio that is no number")
            state = np.random.get_state()
            try:
                self.mask = np.random.rand(*x.shape) > self.ratio
                self.factor = np.asarray(self.mask / self.scale)
                return kernel("multiply", *floats(there, self.factor))
            except Exception:
                np.random.set_state(state)
                raise

        def backward(self, gy: Any) -> Any:
            return _gradients(
                "dropout.backward",
                lambda gy: kernel("multiply", *floats(gy, self.factor)),
                lambda gy: gy / self.scale * self.mask,
                gy,
            )

    def dropout(x: Any, dropout_ratio: Any = 0.5) -> Any:
        if not _depth or not core.Config.train:
            return original(x, dropout_ratio)
        return call("dropout.forward", lambda: Dropout(dropout_ratio)(x), lambda: original(x, dropout_ratio))

    return dropout


# What these share.


def _wide(*values: Array) -> list[Array]:
    """The arrays as kernels take them where the original brings a Python number in as a 0-d array: in float64."""
    return floats(*values, np.array(1.0))[:-1]


def _rounded(x: Array, dtype: Any) -> Array:
    """``x`` in the dtype of the original's result."""
    return x if options.float32 else x.astype(dtype, copy=False)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    _require(isinstance(value, tuple) and len(value) == 2, f"{value!r} instead of a number or a pair")
    return value  # type: ignore[no-any-return]


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise UnsuitedError(otherwise)


def _config() -> Any:
    return sys.modules["dezero.core"].Config


def _gradients(name: str, compiled: Callable[..., Any], original: Callable[..., Any], *gys: Any) -> Any:
    """The gradients, as variables: of ``compiled`` on arrays, or of ``original`` on variables."""

    def kernels() -> Any:
        _require(not _config().enable_backprop, "a graph of gradients is asked for")
        gxs = compiled(*(gy.data for gy in gys))
        variable = sys.modules["dezero.core"].Variable
        if isinstance(gxs, tuple):
            return tuple(None if gx is None else variable(gx) for gx in gxs)
        return variable(gxs)

    return call(name, kernels, lambda: original(*gys))


_METHODS: dict[str, dict[str, Callable[..., Any]]] = {
    "dezero.functions": {
        "BatchNorm.forward": _batchnorm_forward,
        "BatchNorm.backward": _batchnorm_backward,
        "Linear.forward": _linear_forward,
        "Linear.backward": _linear_backward,
        "ReLU.forward": _relu_forward,
        "ReLU.backward": _relu_backward,
        "Sigmoid.forward": _sigmoid_forward,
        "Sigmoid.backward": _sigmoid_backward,
        "SoftmaxCrossEntropy.forward": _softmax_cross_entropy_forward,
        "SoftmaxCrossEntropy.backward": _softmax_cross_entropy_backward,
        "Tanh.forward": _tanh_forward,
        "Tanh.backward": _tanh_backward,
    },
    "dezero.functions_conv": {
        "AveragePooling.forward": _average_pooling_forward,
        "AveragePooling.backward": _average_pooling_backward,
        "Conv2DGradW.forward": _conv2d_grad_w_forward,
        "Conv2d.forward": _conv2d_forward,
        "Conv2d.backward": _conv2d_backward,
        "Deconv2d.forward": _deconv2d_forward,
        "Deconv2d.backward": _deconv2d_backward,
        "Pooling.forward": _pooling_forward,
        "Pooling2DGrad.forward": _pooling2d_grad_forward,
    },
}


def _patch(module: ModuleType) -> None:
    """Replace what a module that has been executed has of the methods, and the function ``dropout``."""
    for name, compiled in _METHODS[module.__name__].items():
        class_name, method_name = name.split(".")
        owner = getattr(module, class_name, None)
        if owner is not None and method_name in vars(owner):
            _replace(owner, method_name, partial(_method, name, compiled))
    if hasattr(module, "dropout"):
        _replace(module, "dropout", partial(_dropout, sys.modules["dezero.core"]))


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    original = vars(owner)[name]
    replacement = make(original)
    setattr(owner, name, replacement)
    _patches.append(_Patch(owner, name, original, replacement))


def _method(name: str, compiled: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    def forward(self: Any, *xs: Any) -> Any:
        return call(name, lambda: compiled(self, *xs), lambda: original(self, *xs))

    def backward(self: Any, *gys: Any) -> Any:
        return _gradients(name, lambda *gys: compiled(self, *gys), lambda *gys: original(self, *gys), *gys)

    return forward if name.endswith(".forward") else backward


class _Finder(MetaPathFinder):
    """Finds the modules that are patched where the other finders find them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _METHODS and fullname not in _WITH_INT:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = None if find is None else find(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec  # type: ignore[no-any-return]
        return None


class _Loader(Loader):
    """Executes a module as its own loader does, which it then belongs to, and patches it."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        if module.__name__ in _METHODS:
            self._loader.exec_module(module)
            _patch(module)
            return
        try:
            exec(self._loader.get_code(module.__name__), vars(module), _Names(module))
        except ModuleNotFoundError as error:
            needed = _NEEDED.get((error.name or "").partition(".")[0])
            if needed is None:
                raise
            sentence = f"dezero needs {needed}, which is not installed: pip install {needed}"
        else:
            return
        raise ModuleNotFoundError(sentence, name=needed)


class _Names(dict[str, Any]):
    """The names of a module while its top level runs: they go to the module, and NumPy's goes to :data:`_np`."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self._module, name, _np if value is np else value)

    def __delitem__(self, name: str) -> None:
        delattr(self._module, name)


class _NumPy(ModuleType):
    """NumPy, with the ``int`` that it had before 1.24."""

    int = int

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


_np = _NumPy("numpy", np.__doc__)
_finder = _Finder()
