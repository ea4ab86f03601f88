"""Modules that hold modules."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from ..tensor import Parameter
from . import fusion
from .module import Module


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
        setattr(self, self._next_name(), module)
        return self

    def _next_name(self) -> str:
        for name, value in reversed(self.__dict__.items()):  # the last one, so that building takes time in proportion
            if isinstance(value, Module) and name.isdecimal():
                return str(int(name) + 1)
            if isinstance(value, Module):
                break
        return str(len(self))

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
        """The last module's result. Pairs of modules that one op computes are one op (:mod:`nnlite.nn.fusion`)."""
        return fusion.run(self._list(), x)


class ModuleList(_Indexed):
    """A list of modules; calling them is up to the model that holds it."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or [])


class ModuleDict(Module):
    """A dictionary of modules; calling them is up to the model that holds it."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def _named(self, key: str) -> Module:
        module = self.__dict__.get(key)
        if not isinstance(module, Module):
            raise KeyError(f"ModuleDict: no module {key!r}; there are {', '.join(self.keys()) or 'none'}")
        return module

    def __getitem__(self, key: str) -> Module:
        return self._named(key)

    def __setitem__(self, key: str, module: Module) -> None:
        if not isinstance(key, str) or not key or "." in key or hasattr(type(self), key):
            raise KeyError(f"ModuleDict: {key!r} cannot name a module")
        if not isinstance(module, Module):
            raise TypeError(f"ModuleDict: {key!r} must be a module, got {type(module).__name__}")
        setattr(self, key, module)

    def __delitem__(self, key: str) -> None:
        self._named(key)
        delattr(self, key)

    def __len__(self) -> int:
        return len(list(self._own(Module)))

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self._own(Module)])

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and isinstance(self.__dict__.get(key), Module)

    def keys(self) -> list[str]:
        """The names."""
        return list(self)

    def values(self) -> list[Module]:
        """The modules."""
        return [module for _, module in self._own(Module)]

    def items(self) -> list[tuple[str, Module]]:
        """Names and modules."""
        return list(self._own(Module))

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add modules, or replace those of the same names."""
        for key, module in modules.items():
            self[key] = module

    def pop(self, key: str) -> Module:
        """Take a module out."""
        module = self[key]
        del self[key]
        return module


class ParameterList(Module):
    """A list of parameters under the names "0", "1", ..."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        self.extend(values)

    def _list(self) -> list[Parameter]:
        return [parameter for _, parameter in self._own(Parameter)]

    def __getitem__(self, index: int) -> Parameter:
        return self._list()[index]

    def __setitem__(self, index: int, value: Any) -> None:
        names = [name for name, _ in self._own(Parameter)]
        setattr(self, names[operator.index(index)], _parameter(value))

    def __len__(self) -> int:
        return len(self._list())

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._list())

    def append(self, value: Any) -> Self:
        """Add a parameter, or an array as one, at the end."""
        setattr(self, str(len(self)), _parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters, or arrays as such, at the end."""
        for value in values:
            self.append(value)
        return self


class ParameterDict(Module):
    """A dictionary of parameters."""

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        for key, value in (parameters or {}).items():
            self[key] = value

    def __getitem__(self, key: str) -> Parameter:
        value = self.__dict__.get(key)
        if not isinstance(value, Parameter):
            raise KeyError(f"ParameterDict: no parameter {key!r}")
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str) or not key or "." in key or hasattr(type(self), key):
            raise KeyError(f"ParameterDict: {key!r} cannot name a parameter")
        setattr(self, key, _parameter(value))

    def __len__(self) -> int:
        return len(list(self._own(Parameter)))

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self._own(Parameter)])

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and isinstance(self.__dict__.get(key), Parameter)

    def keys(self) -> list[str]:
        """The names."""
        return list(self)

    def values(self) -> list[Parameter]:
        """The parameters."""
        return [parameter for _, parameter in self._own(Parameter)]

    def items(self) -> list[tuple[str, Parameter]]:
        """Names and parameters."""
        return list(self._own(Parameter))


def _parameter(value: Any) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)
