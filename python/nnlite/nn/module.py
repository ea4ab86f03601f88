"""The base of layers and models, with PyTorch's names and ``state_dict`` keys.

A module's parameters, buffers and submodules are its attributes, found by walking ``__dict__`` in order of definition.
Parameters are updated in place by the optimizer and by ``load_state_dict``; buffers (running statistics) are arrays
that are updated in place too: who wants to go back to an earlier state takes copies by :func:`get_buffers`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from .. import arrays, observe
from ..arrays import Array, is_array
from ..tensor import Parameter
from . import hooks


class Keys(NamedTuple):
    """What ``load_state_dict(strict=False)`` left out."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base of all layers and models: assign parameters and submodules to attributes, and write ``forward``."""

    training: bool = True
    _hooks: tuple[Any, ...] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """``forward``; an error that it raises is noted with the layer's path and type."""
        try:
            if self._hooks:
                return hooks.call(self, args, kwargs)
            if observe.active():
                return observe.call(self, args, kwargs)
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

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name in self._buffers():
            self.__dict__["_buffer_names"] = {key: kept for key, kept in self._buffers().items() if key != name}

    def add_module(self, name: str, module: Module | None) -> None:
        """Like assigning the attribute, for names that are no identifiers, too.

        Raises:
            TypeError: ``module`` is no module.
            KeyError: ``name`` is empty, has a dot, or is something else already.
        """
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: {name} must be a Module or None, got {type(module).__name__}")
        check_name("add_module", name)
        if not isinstance(getattr(self, name, None), (Module, type(None))):
            raise KeyError(f"add_module: {type(self).__name__}.{name} already exists")
        setattr(self, name, module)

    register_module = add_module

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Like assigning the attribute."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: {name} must be a Parameter or None, got {type(param).__name__}")
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Array | None, persistent: bool = True) -> None:
        """An array that belongs to the state but is not trained; in ``state_dict`` if ``persistent``."""
        if tensor is not None and not is_array(tensor):
            raise TypeError(f"register_buffer: {name} must be a numpy.ndarray or None, got {arrays.what_is(tensor)}")
        if name in self.__dict__ and name not in self._buffers():
            raise KeyError(f"register_buffer: {type(self).__name__}.{name} already exists")
        self.__dict__["_buffer_names"] = {**self._buffers(), name: persistent}
        self.__dict__[name] = tensor

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> hooks.RemovableHandle:
        """Call ``hook(module, args)`` before each ``forward``; what it returns, if not ``None``, is the new argument.

        Args:
            hook: the function; a tuple that it returns is several arguments. ``with_kwargs``: called with
                ``(module, args, kwargs)``, returns ``None`` or ``(args, kwargs)``.
            prepend: whether it comes before the hooks that are there.
            with_kwargs: whether it gets the arguments given by name.

        Returns:
            a handle, whose ``remove()`` takes the hook away.
        """
        return hooks.register(self, "register_forward_pre_hook", hook, True, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> hooks.RemovableHandle:
        """Call ``hook(module, args, output)`` after each ``forward``; what it returns, if not ``None``, is the output.

        A module with hooks is computed by itself, not together with the next one: with the same bits.

        Args:
            hook: the function. ``with_kwargs``: called with ``(module, args, kwargs, output)``.
            prepend: whether it comes before the hooks that are there.
            with_kwargs: whether it gets the arguments given by name.

        Returns:
            a handle, whose ``remove()`` takes the hook away.
        """
        return hooks.register(self, "register_forward_hook", hook, False, prepend, with_kwargs)

    def get_submodule(self, target: str) -> Module:
        """The module of this name, such as ``"features.0"``; this one for ``""``.

        Raises:
            AttributeError: there is none.
        """
        module = self
        for name in target.split(".") if target else []:
            below = getattr(module, name, None)
            if not isinstance(below, Module):
                raise AttributeError(f"get_submodule: {type(module).__name__} has no module {name!r} ({target!r})")
            module = below
        return module

    def set_submodule(self, target: str, module: Module) -> None:
        """Put ``module`` in the place of the one of this name, which :meth:`get_submodule` finds."""
        if not target or not isinstance(module, Module):
            raise TypeError(
                f"set_submodule: a name and a Module are needed, got {target!r} and {type(module).__name__}"
            )
        self.get_submodule(target)
        path, _, name = target.rpartition(".")
        setattr(self.get_submodule(path), name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of this name, such as ``"features.0.weight"``; ``AttributeError`` if there is none."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        parameter = getattr(module, name, None)
        if not isinstance(parameter, Parameter):
            raise AttributeError(f"get_parameter: {type(module).__name__} has no parameter {name!r} ({target!r})")
        return parameter

    def get_buffer(self, target: str) -> Array:
        """The buffer of this name, such as ``"features.1.running_mean"``; ``AttributeError`` if there is none."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if name not in module._buffers():
            raise AttributeError(f"get_buffer: {type(module).__name__} has no buffer {name!r} ({target!r})")
        buffer: Array = module.__dict__[name]
        return buffer

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

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """Names and modules of the whole tree, this module first under the name ``prefix``.

        Each module comes once, or (without ``remove_duplicate``) under each of its names.
        """
        return self._walk(prefix, set() if remove_duplicate else None)

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

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Names and parameters, each parameter once, or (without ``remove_duplicate``) under each of its names."""
        seen: set[Parameter] = set()
        for path, module in self.named_modules(prefix, remove_duplicate) if recurse else [(prefix, self)]:
            for name, parameter in module._own(Parameter):
                if parameter not in seen or not remove_duplicate:
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

    def state_dict(self, *, prefix: str = "") -> dict[str, Array]:
        """Names, behind ``prefix``, and arrays of all parameters and persistent buffers, in order of definition.

        The arrays are the module's own, not copies: training changes them in place.
        """
        return {prefix + key: _array(module.__dict__[name]) for key, module, name in self._slots()}

    def load_state_dict(self, state_dict: Mapping[str, Array], strict: bool = True) -> Keys:
        """Copy the arrays of ``state_dict`` into this module's parameters and buffers, in place.

        Args:
            state_dict: names and arrays. Shapes and dtypes are equal to the module's own.
            strict: whether missing and unexpected names are errors.

        Returns:
            the missing and the unexpected names.

        Raises:
            ValueError: names or shapes do not fit.
            TypeError: ``state_dict`` is no dict, or an entry is no array or has another dtype.
            Everything that is wrong is listed, and nothing is changed.
        """
        if not isinstance(state_dict, Mapping):
            why = _not_a_state(state_dict)
            raise TypeError(f"load_state_dict: {type(self).__name__}: state_dict must be a dict of arrays, {why}")
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
                wrong_types.append(f"{key!r} must be a numpy.ndarray, got {arrays.what_is(value)}")
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
                    current._version += 1
                arrays.assign(_array(current), state_dict[key])
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
        from .. import cuda

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

    def cpu(self) -> Self:
        """``to("cpu")``."""
        return self.to("cpu")

    def cuda(self, device: int = 0) -> Self:
        """``to("cuda:0")``, or the device of another number."""
        return self.to(f"cuda:{device}")

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
    """Copies of all buffers of a model as they are, for :func:`set_buffers`."""
    buffers = [(m, name, m.__dict__[name]) for m in module.modules() for name in m._buffers()]
    return [(m, name, None if x is None else arrays.copy(x)) for m, name, x in buffers]


def set_buffers(buffers: list[tuple[Module, str, Array | None]]) -> None:
    """Put the buffers back that :func:`get_buffers` returned: in place, where they still are what they were."""
    for module, name, array in buffers:
        current = module.__dict__[name]
        if array is None or current is None or current.shape != array.shape or current.dtype != array.dtype:
            module.__dict__[name] = array
        else:
            arrays.assign(current, array)


def check_name(what: str, name: object) -> None:
    """Refuse a name that cannot be a part of a path."""
    if not isinstance(name, str) or not name or "." in name:
        raise KeyError(f"{what}: a name is a text without a dot, got {name!r}")


def _not_a_state(value: object) -> str:
    if isinstance(value, (str, os.PathLike)):
        path = f"{os.fspath(value)!r:.80}"
        return f"got {path}; read the file first: model.load_state_dict(nl.load({path}))"
    if isinstance(value, Module):
        return f"got {type(value).__name__}; write model.load_state_dict(other.state_dict())"
    return f"got {type(value).__name__}"


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
