"""Layers and models, with PyTorch's names, defaults and ``state_dict`` keys.

A module's parameters, buffers and submodules are its attributes, found by walking ``__dict__`` in order of definition.
Parameters are updated in place by the optimizer and by ``load_state_dict``. Buffers (running statistics) are
plain arrays that are never written in place, only replaced, so keeping references is enough to go back to an earlier
state: :func:`get_buffers`, :func:`set_buffers`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, overload

import numpy as np

from . import arrays, capture, init, ops
from . import ops as functional
from .arrays import is_array
from .autograd import Array, Parameter, Tensor, as_tensor
from .backend import ops as kernels

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "functional",
    "get_buffers",
    "set_buffers",
]

Pair = int | Sequence[int]


class Keys(NamedTuple):
    """What ``load_state_dict(strict=False)`` left out."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base of all layers and models: assign parameters and submodules to attributes, and write ``forward``."""

    training: bool = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """``forward``; an error that it raises is noted with the layer's path and type."""
        try:
            return self.forward(*args, **kwargs)
        except Exception as error:
            _name_layer(error, self)
            raise

    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get(name)
        if value is not None:
            if isinstance(before, Parameter) and not isinstance(value, Parameter):
                raise TypeError(
                    f"{type(self).__name__}.{name} is a Parameter; assign a Parameter or None, or an array to its .data"
                )
            if isinstance(before, Module) and not isinstance(value, Module):
                raise TypeError(f"{type(self).__name__}.{name} is a Module; assign a Module or None")
            if name in self._buffers() and not is_array(value):
                raise TypeError(f"{type(self).__name__}.{name} is a buffer; assign a numpy.ndarray or None")
        super().__setattr__(name, value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Like assigning the attribute."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: {name} must be a Parameter or None, got {type(param).__name__}")
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Array | None, persistent: bool = True) -> None:
        """An array that belongs to the state but is not trained; in ``state_dict`` if ``persistent``."""
        if tensor is not None and not is_array(tensor):
            raise TypeError(f"register_buffer: {name} must be a numpy.ndarray or None, got {type(tensor).__name__}")
        if name in self.__dict__ and name not in self._buffers():
            raise KeyError(f"register_buffer: {type(self).__name__}.{name} already exists")
        self.__dict__["_buffer_names"] = {**self._buffers(), name: persistent}
        self.__dict__[name] = tensor

    def _buffers(self) -> dict[str, bool]:
        """Names of the buffers, and whether ``state_dict`` holds them."""
        names: dict[str, bool] = self.__dict__.get("_buffer_names", {})
        return names

    def _own(self, kind: type[Any]) -> Iterator[tuple[str, Any]]:
        for name, value in self.__dict__.items():
            if isinstance(value, kind):
                yield name, value

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Names and modules one level below, each module once."""
        seen: set[Module] = set()
        for name, module in self._own(Module):
            if module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules one level below."""
        for _, module in self.named_children():
            yield module

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Names and modules of the whole tree, this module first under the name ``prefix``; each module once."""
        return self._walk(prefix, set())

    def _walk(self, prefix: str, seen: set[Module] | None) -> Iterator[tuple[str, Module]]:
        """The tree in order of definition. With ``seen``, each module once; with ``None``, under each of its names."""
        if seen is not None:
            if self in seen:
                return
            seen.add(self)
        yield prefix, self
        for name, module in self._own(Module):
            yield from module._walk(_join(prefix, name), seen)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        for _, module in self.named_modules():
            yield module

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Names and parameters, each parameter once."""
        seen: set[Parameter] = set()
        for path, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name, parameter in module._own(Parameter):
                if parameter not in seen:
                    seen.add(parameter)
                    yield _join(path, name), parameter

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Array]]:
        """Names and buffers."""
        for path, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name in module._buffers():
                if module.__dict__[name] is not None:
                    yield _join(path, name), module.__dict__[name]

    def buffers(self, recurse: bool = True) -> Iterator[Array]:
        """All buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def _slots(self) -> Iterator[tuple[str, Module, str]]:
        """What ``state_dict`` holds: its key, and the module and the attribute where it lives."""
        for path, module in self._walk("", None):
            for name, _ in module._own(Parameter):
                yield _join(path, name), module, name
            for name, persistent in module._buffers().items():
                if persistent and module.__dict__[name] is not None:
                    yield _join(path, name), module, name

    def state_dict(self) -> dict[str, Array]:
        """Names and arrays of all parameters and persistent buffers, in order of definition.

        The arrays are the module's own, not copies: training changes the parameters in place.
        """
        return {key: _array(module.__dict__[name]) for key, module, name in self._slots()}

    def load_state_dict(self, state_dict: Mapping[str, Array], strict: bool = True) -> Keys:
        """Copy the arrays of ``state_dict`` into this module: parameters in place, buffers as new arrays.

        Args:
            state_dict: names and arrays. Shapes and dtypes are equal to the module's own.
            strict: whether missing and unexpected names are errors.

        Returns:
            the missing and the unexpected names.

        Raises:
            ValueError: names or shapes do not fit.
            TypeError: an entry is no array, or has another dtype.
            Everything that is wrong is listed, and nothing is changed.
        """
        slots = {key: (module, name) for key, module, name in self._slots()}
        missing = [key for key in slots if key not in state_dict]
        unexpected = [key for key in state_dict if key not in slots]
        wrong_values = [f"missing key {key!r}" for key in missing] if strict else []
        wrong_values += [f"unexpected key {key!r}" for key in unexpected] if strict else []
        wrong_types: list[str] = []
        for key, (module, name) in slots.items():
            if key not in state_dict:
                continue
            value, own = state_dict[key], _array(module.__dict__[name])
            if not is_array(value):
                wrong_types.append(f"{key!r} must be a numpy.ndarray, got {type(value).__name__}")
            elif value.dtype != own.dtype:
                wrong_types.append(f"{key!r} is {value.dtype} but the model's is {own.dtype}; convert one of them")
            elif value.shape != own.shape:
                wrong_values.append(f"{key!r} has shape {value.shape} but the model's has shape {own.shape}")
        if wrong_values or wrong_types:
            text = f"load_state_dict: {type(self).__name__}: " + "; ".join(wrong_values + wrong_types)
            raise ValueError(text) if wrong_values else TypeError(text)
        for key, (module, name) in slots.items():
            if key in state_dict:
                current = module.__dict__[name]
                if isinstance(current, Parameter):
                    arrays.assign(current.data, state_dict[key])
                elif _stays(module) and arrays.device_of(current) != "cpu":
                    arrays.assign(current, state_dict[key])
                else:
                    module.__dict__[name] = arrays.put(arrays.copy(state_dict[key]), current)
        return Keys(missing, unexpected)

    def train(self, mode: bool = True) -> Self:
        """Training mode, for this module and all below: batch statistics, dropout."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Inference mode: running statistics, no dropout."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Whether the parameters are trained."""
        for parameter in self.parameters():
            parameter.requires_grad = bool(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set every parameter's gradient to ``None`` (or to zeros where there is one)."""
        for parameter in self.parameters():
            parameter.grad = None if set_to_none or parameter.grad is None else arrays.zeros_like(parameter.grad)

    def double(self) -> Self:
        """Parameters, their gradients and floating buffers as float64."""
        return self._convert(np.dtype(np.float64))

    def float(self) -> Self:
        """Parameters, their gradients and floating buffers as float32, each number rounded once."""
        return self._convert(np.dtype(np.float32))

    def to(self, device: str) -> Self:
        """Parameters, their gradients and floating buffers on ``device``: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

        Parameters stay the objects that they are. Integer buffers, which only Python reads, stay on the host.

        Raises:
            ValueError: there is no such device.
            RuntimeError: nnlite cannot use it; the message says why.
        """
        from . import cuda

        for parameter in self.parameters():
            parameter.data = cuda.array(parameter.data, device)
            if parameter.grad is not None:
                parameter.grad = cuda.array(parameter.grad, device)
        for module in self.modules():
            for name in module._buffers():
                buffer = module.__dict__[name]
                if buffer is not None and buffer.dtype.kind == "f":
                    module.__dict__[name] = cuda.array(buffer, device)
        return self

    def _convert(self, dtype: np.dtype[Any]) -> Self:
        for parameter in self.parameters():
            parameter.data = arrays.astype(parameter.data, dtype)
            if parameter.grad is not None:
                parameter.grad = arrays.astype(parameter.grad, dtype)
        for module in self.modules():
            for name in module._buffers():
                buffer = module.__dict__[name]
                if buffer is not None and buffer.dtype.kind == "f":
                    module.__dict__[name] = arrays.astype(buffer, dtype)
        return self

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call ``fn`` on every module, those below first."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def extra_repr(self) -> str:
        """What ``repr`` shows between the brackets of a layer."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {module!r}".replace("\n", "\n  ") for name, module in self._own(Module)]
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        return "\n  ".join([f"{type(self).__name__}({extra}", *lines]) + "\n)"


def get_buffers(module: Module) -> list[tuple[Module, str, Array | None]]:
    """All buffers of a model as they are, for :func:`set_buffers`: references, and copies of what stays in place."""
    buffers = [(m, name, m.__dict__[name]) for m in module.modules() for name in m._buffers()]
    return [(m, name, arrays.copy(x) if _stays(m) and x is not None else x) for m, name, x in buffers]


def set_buffers(buffers: list[tuple[Module, str, Array | None]]) -> None:
    """Put the buffers back that :func:`get_buffers` returned."""
    for module, name, array in buffers:
        current = module.__dict__[name]
        if _stays(module) and array is not None and current is not None and arrays.device_of(current) != "cpu":
            arrays.assign(current, array)
        else:
            module.__dict__[name] = array


def _stays(module: Module) -> bool:
    return isinstance(module, _BatchNorm) and module._stays


class _Indexed(Module):
    """Modules under the names "0", "1", ..."""

    def _list(self) -> list[Module]:
        return [value for value in self.__dict__.values() if isinstance(value, Module)]

    def _key(self, index: int) -> str:
        names = [name for name, _ in self._own(Module)]
        try:
            return names[operator.index(index)]
        except IndexError:
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for {len(names)} modules") from None

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            part = type(self)()
            part.__dict__.update(list(self._own(Module))[index])
            return part
        module: Module = self.__dict__[self._key(index)]
        return module

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __len__(self) -> int:
        return len(self._list())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._list())

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: a module is needed, got {type(module).__name__}")
        setattr(self, str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self


class Sequential(_Indexed):
    """Modules one after the other: ``Sequential(a, b, ...)`` or ``Sequential(OrderedDict(name=a, ...))``."""

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                if not isinstance(module, Module):
                    raise TypeError(f"Sequential: {name!r} must be a module, got {type(module).__name__}")
                if not name or "." in name or hasattr(type(self), name):
                    raise KeyError(f"Sequential: {name!r} cannot name a module")
                setattr(self, name, module)
        else:
            self.extend(modules)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Any:
        """The last module's result. A batch normalisation and a :class:`ReLU` behind it are one op, with equal bits."""
        modules = self._list()
        taken = False
        for module, following in zip(modules, [*modules, None][1:], strict=True):
            if taken:
                taken = False
                continue
            taken = isinstance(module, _BatchNorm) and module._takes(following)
            x = module(x, relu=True) if taken else module(x)
        return x


class ModuleList(_Indexed):
    """A list of modules; calling them is up to the model that holds it."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or [])


class Identity(Module):
    """Returns its input; any arguments are accepted and ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """``x``."""
        return x


class Linear(Module):
    """``y = x @ weight.T + bias``.

    Shapes: x ``(*, in_features)``, y ``(*, out_features)``, weight ``(out_features, in_features)``, bias
    ``(out_features,)``. Both start uniform in ``±1/sqrt(in_features)``.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, dtype: Any = "float32") -> None:
        super().__init__()
        self.in_features = _size("Linear: in_features", in_features)
        self.out_features = _size("Linear: out_features", out_features)
        dtype = _float_dtype("Linear", dtype)
        self.weight = Parameter(init.fan_in_uniform((self.out_features, self.in_features), self.in_features, dtype))
        self.bias = Parameter(init.fan_in_uniform((self.out_features,), self.in_features, dtype)) if bias else None

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(*, in_features)`` to ``(*, out_features)``."""
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes and bias."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Conv2d(Module):
    """Two-dimensional convolution (cross-correlation) over ``(N, C, H, W)``.

    ``kernel_size``, ``stride``, ``padding`` and ``dilation`` are an integer or a pair (height, width). weight is
    ``(out_channels, in_channels/groups, R, S)``, bias ``(out_channels,)``; both start uniform in ``±1/sqrt(fan_in)``
    with ``fan_in = in_channels/groups * R * S``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.in_channels = _size("Conv2d: in_channels", in_channels)
        self.out_channels = _size("Conv2d: out_channels", out_channels)
        self.kernel_size = _pair("Conv2d: kernel_size", kernel_size)
        self.stride = _pair("Conv2d: stride", stride)
        self.padding = _pair("Conv2d: padding", padding, least=0)
        self.dilation = _pair("Conv2d: dilation", dilation)
        self.groups = _size("Conv2d: groups", groups)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"Conv2d: groups={self.groups} does not divide {name}={getattr(self, name)}")
        dtype = _float_dtype("Conv2d", dtype)
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        fan_in = math.prod(shape[1:])
        self.weight = Parameter(init.fan_in_uniform(shape, fan_in, dtype))
        self.bias = Parameter(init.fan_in_uniform((self.out_channels,), fan_in, dtype)) if bias else None

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, OH, OW)``."""
        return ops.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """Channels, and what differs from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else text + ", bias=False"


class _BatchNorm(Module):
    _layouts: dict[int, str]
    _stays = False  # the running statistics are updated in place, as a captured step needs

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        self.num_features = _size(f"{layer}: num_features", num_features)
        self.eps = _number(f"{layer}: eps", eps, 0.0)
        self.momentum = None if momentum is None else _number(f"{layer}: momentum", momentum, 0.0, 1.0)
        self.affine = bool(affine)
        self.track_running_stats = bool(track_running_stats)
        dtype = _float_dtype(layer, dtype)
        n = self.num_features
        self.weight = Parameter(np.ones(n, dtype)) if affine else None
        self.bias = Parameter(np.zeros(n, dtype)) if affine else None
        self.running_mean: Array | None
        self.running_var: Array | None
        self.num_batches_tracked: Array | None
        self.register_buffer("running_mean", np.zeros(n, dtype) if track_running_stats else None)
        self.register_buffer("running_var", np.ones(n, dtype) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.array(0, np.int64) if track_running_stats else None)

    def _takes(self, following: Module | None) -> bool:
        """Whether the next module of a ``Sequential`` is a ReLU that this one can do: neither has been changed."""
        plain = type(following) is ReLU and type(self) in (BatchNorm1d, BatchNorm2d)
        return plain and "forward" not in self.__dict__ and "forward" not in following.__dict__

    def forward(self, x: Tensor | Array, relu: bool = False) -> Tensor:
        """Normalises each channel; in training, also updates the running statistics. ``relu``: a ReLU follows."""
        layer = type(self).__name__
        x = as_tensor(layer, "x", x)
        shape = x.data.shape
        if len(shape) not in self._layouts:
            expected = " or ".join(f"{ndim} dimensions {layout}" for ndim, layout in self._layouts.items())
            raise ValueError(f"{layer}: x must have {expected}, got {len(shape)} with shape {shape}")
        n = (self.num_features,)
        weight = arrays.full_like(x.data, 1, n) if self.weight is None else self.weight
        bias = arrays.full_like(x.data, 0, n) if self.bias is None else self.bias
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None and var is not None:
            return ops.batchnorm_inference(x, weight, bias, mean, var, self.eps, relu)
        count = shape[0] * math.prod(shape[2:])
        if count < 2:
            raise ValueError(f"{layer}: batch statistics need more than one value per channel, got x of shape {shape}")
        y, batch_mean, batch_var = ops.batchnorm_training(x, weight, bias, self.eps, relu)
        if self.training and mean is not None and var is not None and self.num_batches_tracked is not None:
            self._track(mean, var, batch_mean, batch_var, count)
        return y

    def _track(self, mean: Array, var: Array, batch_mean: Array, batch_var: Array, count: int) -> None:
        tracked = int(self.num_batches_tracked) + 1  # type: ignore[arg-type]
        self.num_batches_tracked = np.array(tracked, np.int64)
        momentum = 1.0 / tracked if self.momentum is None else self.momentum
        new_mean, new_var = kernels(mean).batchnorm_running_update(mean, var, batch_mean, batch_var, count, momentum)
        if capture.is_active():
            if self.momentum is None:
                raise ValueError(f"{type(self).__name__}: momentum=None changes at every step and cannot be captured")
            capture.on_replay(self._count_batch)
            self._stays = True
        if self._stays:
            arrays.assign(mean, new_mean)  # where the recorded step reads them the next time
            arrays.assign(var, new_var)
        else:
            self.running_mean, self.running_var = new_mean, new_var

    def _count_batch(self) -> None:
        self.num_batches_tracked = np.array(int(self.num_batches_tracked) + 1, np.int64)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        """Channels and settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of ``(N, C)`` or ``(N, C, L)``.

    In training each channel is normalised by the mean and the biased variance of the batch. ``momentum`` is the share
    of the new value in the running statistics, ``None`` makes them plain averages; the running variance is unbiased. In
    inference the running statistics are used.
    """

    _layouts = {2: "(N, C)", 3: "(N, C, L)"}  # noqa: RUF012


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of ``(N, C, H, W)``; see :class:`BatchNorm1d`."""

    _layouts = {4: "(N, C, H, W)"}  # noqa: RUF012


class ReLU(Module):
    """The larger of x and 0. ``inplace`` is accepted and changes nothing: no op works in place."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.relu(x)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``."""

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.tanh(x)


class Softmax(Module):
    """Softmax over the rows of ``(N, K)``."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        if dim not in (-1, 1):
            raise ValueError(f"Softmax: dim must be -1 or 1, the rows of (N, K), got {dim}")
        self.dim = dim

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, K)``."""
        return ops.softmax(x)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class MaxPool2d(Module):
    """The maximum of each window of ``(N, C, H, W)``. ``stride`` defaults to ``kernel_size``."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = _window("MaxPool2d", kernel_size, stride, padding)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, OH, OW)``."""
        return ops.max_pool2d(x, self.kernel_size, self.stride, self.padding)

    def extra_repr(self) -> str:
        """Kernel, stride and padding."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of each window of ``(N, C, H, W)``; padding counts as zeros. Arguments as of :class:`MaxPool2d`."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = _window("AvgPool2d", kernel_size, stride, padding)

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, OH, OW)``."""
        return ops.avg_pool2d(x, self.kernel_size, self.stride, self.padding)

    def extra_repr(self) -> str:
        """Kernel, stride and padding."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """The mean of each channel: ``(N, C, H, W)`` to ``(N, C, 1, 1)``. Other output sizes are not provided."""

    def __init__(self, output_size: Pair = 1) -> None:
        super().__init__()
        self.output_size = _pair("AdaptiveAvgPool2d: output_size", output_size)
        if self.output_size != (1, 1):
            raise ValueError(f"AdaptiveAvgPool2d: output_size must be 1 or (1, 1), got {output_size}")

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, C, H, W)`` to ``(N, C, 1, 1)``."""
        return ops.global_avg_pool2d(x)

    def extra_repr(self) -> str:
        """The size."""
        return f"output_size={self.output_size}"


class Flatten(Module):
    """Dimensions ``start_dim`` to ``end_dim`` as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Tensor | Array) -> Tensor:
        """``(N, ...)`` to ``(N, product of the rest)`` by default."""
        return ops.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The dimensions."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Dropout(Module):
    """In training, sets each element to 0 with probability ``p`` and divides the others by ``1 - p``.

    ``inplace`` is accepted and changes nothing.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = _number("Dropout: p", p, 0.0, 1.0)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Any shape."""
        return ops.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class CrossEntropyLoss(Module):
    """Mean over the batch of ``-log(softmax(x)[target])``.

    Targets are integer classes ``(N,)``, or one-hot or class probabilities ``(N, K)`` of x's dtype.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = _reduction("CrossEntropyLoss", reduction)

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """x ``(N, K)``, before any softmax; the result has shape ``()``."""
        return ops.cross_entropy(x, target)


class MSELoss(Module):
    """Mean over all elements of ``(x - target)**2``."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = _reduction("MSELoss", reduction)

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes; the result has shape ``()``."""
        return ops.mse_loss(x, target)


def _array(value: Parameter | Array) -> Array:
    return value.data if isinstance(value, Parameter) else value


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _name_layer(error: Exception, module: Module) -> None:
    """Note on ``error`` which layer raised it: its type, and its path as far as the error has come up."""
    layer, inner, path, note = error.__dict__.get("_nnlite_layer", (module, module, "", None))
    if module is not inner:
        name = next((name for name, below in module.named_modules() if below is inner), "")
        path = _join(name, path) if path else name
    if note is not None:
        error.__notes__.remove(note)
    note = f"in layer {path + ': ' if path else ''}{type(layer).__name__}({layer.extra_repr()})"
    error.add_note(note)
    error.__dict__["_nnlite_layer"] = (layer, module, path, note)


def _float_dtype(layer: str, dtype: Any) -> np.dtype[Any]:
    kind: np.dtype[Any] = np.dtype(dtype)
    if dtype is None or kind not in (np.float32, np.float64) or not kind.isnative:
        raise TypeError(f"{layer}: dtype must be float32 or float64, got {dtype}")
    return kind


def _size(what: str, value: int, least: int = 1) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{what} must be at least {least}, got {value}")
    return operator.index(value)


def _pair(what: str, value: Pair, least: int = 1) -> tuple[int, int]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 2:
            raise ValueError(f"{what} must be an integer or a pair of integers, got {value!r}")
        return _size(what, value[0], least), _size(what, value[1], least)
    return _size(what, value, least), _size(what, value, least)


def _window(layer: str, kernel_size: Pair, stride: Pair | None, padding: Pair) -> tuple[tuple[int, int], ...]:
    kernel = _pair(f"{layer}: kernel_size", kernel_size)
    steps = kernel if stride is None else _pair(f"{layer}: stride", stride)
    pads = _pair(f"{layer}: padding", padding, least=0)
    if any(2 * pad > size for pad, size in zip(pads, kernel, strict=True)):
        raise ValueError(f"{layer}: padding must be at most half of kernel_size {kernel}, got {pads}")
    return kernel, steps, pads


def _number(what: str, value: float, least: float, most: float = math.inf) -> float:
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise TypeError(f"{what} must be a number, got {value!r}")
    if not least <= value <= most or value == math.inf:
        bounds = f"at least {least:g}" if most == math.inf else f"between {least:g} and {most:g}"
        raise ValueError(f"{what} must be {bounds}, got {value}")
    return float(value)


def _reduction(layer: str, reduction: str) -> str:
    if reduction != "mean":
        raise ValueError(f"{layer}: reduction must be 'mean', the only one provided, got {reduction!r}")
    return reduction
