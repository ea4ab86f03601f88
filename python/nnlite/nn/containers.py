"""Modules that hold modules or parameters, with PyTorch's methods and ``state_dict`` keys."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from ..arrays import is_array, what_is
from ..tensor import Parameter, Tensor
from . import fusion
from .module import Module, check_name


class _Indexed(Module):
    """Modules under the names "0", "1", ..."""

    def _list(self) -> list[Module]:
        return [value for value in self.__dict__.values() if isinstance(value, Module)]

    def _key(self, index: int) -> str:
        return _key(self, Module, index)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            return self._part(list(self._own(Module))[index])
        module: Module = self.__dict__[self._key(index)]
        return module

    def _part(self, named: list[tuple[str, Module]]) -> Self:
        part = type(self)()
        part.__dict__.update(named)
        return part

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        """Take modules out; those that stay are named "0", "1", ... then."""
        left = self._list()
        if not isinstance(index, slice):
            self._key(index)  # an error that says how many there are
        del left[index]
        self._replace(left)

    def _replace(self, modules: Iterable[Module]) -> None:
        for name, _ in list(self._own(Module)):
            delattr(self, name)
        for i, module in enumerate(modules):
            setattr(self, str(i), module)

    def __len__(self) -> int:
        return len(self._list())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._list())

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        setattr(self, self._next_name(), _module(type(self).__name__, module))
        return self

    def _next_name(self) -> str:
        for name, value in reversed(self.__dict__.items()):  # the last one, so that building takes time in proportion
            if isinstance(value, Module) and name.isdecimal():
                return str(int(name) + 1)
            if isinstance(value, Module):
                break
        return str(len(self))

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before the one at ``index``; the modules are named "0", "1", ... then."""
        modules = self._list()
        if not -len(modules) <= operator.index(index) <= len(modules):
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for {len(modules)} modules")
        modules.insert(index, _module(type(self).__name__, module))
        self._replace(modules)
        return self

    @overload
    def pop(self, key: int) -> Module: ...
    @overload
    def pop(self, key: slice) -> Self: ...
    def pop(self, key: int | slice) -> Module | Self:
        """Take out the module at this index, or the modules of a slice, and return it."""
        taken = self[key]
        del self[key]
        return taken

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"{type(self).__name__}: a list of modules is needed, got {type(modules).__name__}")
        for module in modules:
            self.append(module)
        return self


class Sequential(_Indexed):
    """Modules one after the other: ``Sequential(a, b, ...)`` or ``Sequential(OrderedDict(name=a, ...))``.

    It has the methods of a list. ``a + b`` holds the modules of both, ``2 * a`` those of ``a`` twice: the same modules,
    with the same parameters. A slice holds the same modules under their names.
    """

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
        """The last module's result. Pairs of modules that one op computes are one op (:mod:`nnlite.nn.fusion`)."""
        return fusion.run(self._list(), x)

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*self._list() * _times(times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        return self.extend(self._list() * (_times(times) - 1))


class ModuleList(_Indexed):
    """A list of modules, with its methods; calling them is up to the model that holds it."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend([] if modules is None else modules)

    def _part(self, named: list[tuple[str, Module]]) -> Self:
        return type(self)([module for _, module in named])

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])


class ModuleDict(Module):
    """A dictionary of modules, with its methods; calling them is up to the model that holds it.

    Args:
        modules: names and modules: a mapping, or pairs.
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update({} if modules is None else modules)

    def __getitem__(self, key: str) -> Module:
        module: Module = _entry(self, Module, key)
        return module

    def __setitem__(self, key: str, module: Module) -> None:
        _check_key(self, key)
        setattr(self, key, _module(f"ModuleDict: {key!r}", module))

    def __delitem__(self, key: str) -> None:
        _entry(self, Module, key)
        delattr(self, key)

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and isinstance(self.__dict__.get(key), Module)

    def keys(self) -> list[str]:
        """The names."""
        return [name for name, _ in self._own(Module)]

    def values(self) -> list[Module]:
        """The modules."""
        return [module for _, module in self._own(Module)]

    def items(self) -> list[tuple[str, Module]]:
        """Names and modules."""
        return list(self._own(Module))

    def update(self, modules: Mapping[str, Module] | ModuleDict | Iterable[tuple[str, Module]]) -> None:
        """Add modules, or replace those of the same names."""
        for key, module in _pairs("ModuleDict", modules):
            self[key] = module

    def pop(self, key: str) -> Module:
        """Take a module out and return it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for key in list(self):
            del self[key]


class ParameterList(Module):
    """A list of parameters under the names "0", "1", ...

    Args:
        values: parameters; tensors and arrays become parameters with a copy of their values.
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend([] if values is None else values)

    def _list(self) -> list[Parameter]:
        return [parameter for _, parameter in self._own(Parameter)]

    @overload
    def __getitem__(self, index: int) -> Parameter: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Parameter | Self:
        if isinstance(index, slice):
            return type(self)(self._list()[index])
        parameter: Parameter = self.__dict__[_key(self, Parameter, index)]
        return parameter

    def __setitem__(self, index: int, value: Any) -> None:
        key = _key(self, Parameter, index)
        setattr(self, key, _parameter(f"ParameterList: [{index}]", value))

    def __len__(self) -> int:
        return len(self._list())

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._list())

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Add a parameter at the end."""
        setattr(self, str(len(self)), _parameter("ParameterList", value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor) or is_array(values):
            raise TypeError(f"ParameterList: a list of parameters is needed, got {what_is(values)}")
        for value in values:
            self.append(value)
        return self

    def extra_repr(self) -> str:
        """Shapes and dtypes."""
        return _shown(self)


class ParameterDict(Module):
    """A dictionary of parameters, with its methods.

    Args:
        parameters: names and parameters: an ``OrderedDict`` or pairs, in their order, or another mapping, in the order
            of its sorted names, as in PyTorch. Tensors and arrays become parameters with a copy of their values.
    """

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        self.update({} if parameters is None else parameters)

    def __getitem__(self, key: str) -> Parameter:
        parameter: Parameter = _entry(self, Parameter, key)
        return parameter

    def __setitem__(self, key: str, value: Any) -> None:
        _check_key(self, key)
        setattr(self, key, _parameter(f"ParameterDict: {key!r}", value))

    def __delitem__(self, key: str) -> None:
        _entry(self, Parameter, key)
        delattr(self, key)

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self.keys())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and isinstance(self.__dict__.get(key), Parameter)

    def __or__(self, other: Mapping[str, Any] | ParameterDict) -> ParameterDict:
        both = self.copy()
        both.update(other)
        return both

    def __ior__(self, other: Mapping[str, Any] | ParameterDict) -> Self:
        self.update(other)
        return self

    def keys(self) -> list[str]:
        """The names."""
        return [name for name, _ in self._own(Parameter)]

    def values(self) -> list[Parameter]:
        """The parameters."""
        return [parameter for _, parameter in self._own(Parameter)]

    def items(self) -> list[tuple[str, Parameter]]:
        """Names and parameters."""
        return list(self._own(Parameter))

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of this name, or ``default``."""
        return self[key] if key in self else default  # noqa: SIM401

    def setdefault(self, key: str, default: Any) -> Parameter:
        """The parameter of this name; ``default``, if there is none, is added."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, parameters: Mapping[str, Any] | ParameterDict | Iterable[tuple[str, Any]]) -> None:
        """Add parameters, or replace those of the same names; the order is that of the constructor."""
        pairs = _pairs("ParameterDict", parameters)
        if isinstance(parameters, Mapping) and not isinstance(parameters, OrderedDict):
            pairs = sorted(pairs, key=operator.itemgetter(0))
        for key, parameter in pairs:
            self[key] = parameter

    def pop(self, key: str) -> Parameter:
        """Take a parameter out and return it."""
        parameter = self[key]
        del self[key]
        return parameter

    def popitem(self) -> tuple[str, Parameter]:
        """Take the last name and its parameter out and return them."""
        if not self.keys():
            raise KeyError("ParameterDict: popitem: there are no parameters")
        key = self.keys()[-1]
        return key, self.pop(key)

    def clear(self) -> None:
        """Take all parameters out."""
        for key in list(self):
            del self[key]

    def copy(self) -> ParameterDict:
        """Another dictionary of the same parameters."""
        return ParameterDict(self.items())

    def extra_repr(self) -> str:
        """Shapes and dtypes."""
        return _shown(self)


def _key(container: Module, kind: type[Any], index: int) -> str:
    names = [name for name, _ in container._own(kind)]
    try:
        return names[operator.index(index)]
    except IndexError:
        what = "modules" if kind is Module else "parameters"
        name = type(container).__name__
        raise IndexError(f"{name}: index {index} is out of range for {len(names)} {what}") from None


def _entry(container: Module, kind: type[Any], key: object) -> Any:
    value = container.__dict__.get(key) if isinstance(key, str) else None
    if not isinstance(value, kind):
        names = ", ".join(name for name, _ in container._own(kind))
        raise KeyError(f"{type(container).__name__}: there is no {key!r}, but {names or 'nothing'}")
    return value


def _check_key(container: Module, key: object) -> None:
    check_name(type(container).__name__, key)
    if hasattr(type(container), str(key)):
        raise KeyError(f"{type(container).__name__}: {key!r} is the name of an attribute; choose another")


def _pairs(name: str, entries: Any) -> list[tuple[str, Any]]:
    if isinstance(entries, (Mapping, ModuleDict, ParameterDict)):
        return list(entries.items())
    if not isinstance(entries, Iterable):
        raise TypeError(f"{name}: names and entries are needed, as a dict or pairs, got {type(entries).__name__}")
    pairs = list(entries)
    for i, pair in enumerate(pairs):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{name}: element {i} must be a pair (name, entry), got {type(pair).__name__}")
    return [tuple(pair) for pair in pairs]


def _module(what: str, module: object) -> Module:
    if not isinstance(module, Module):
        raise TypeError(f"{what}: a module is needed, got {type(module).__name__}")
    return module


def _parameter(what: str, value: object) -> Parameter:
    if isinstance(value, Parameter):
        return value
    if not isinstance(value, Tensor) and not is_array(value):
        raise TypeError(f"{what}: a Parameter, a Tensor or an array is needed, got {what_is(value)}")
    return Parameter(value.data if isinstance(value, Tensor) else value)


def _times(times: int) -> int:
    if isinstance(times, bool) or not isinstance(times, int):
        raise TypeError(f"Sequential: * takes an integer, got {type(times).__name__}")
    if times < 1:
        raise ValueError(f"Sequential: * takes an integer of at least 1, got {times}")
    return times


def _shown(container: Module) -> str:
    return ", ".join(f"{name}: {p.dtype} {p.shape}" for name, p in container._own(Parameter))
