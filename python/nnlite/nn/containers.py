"""Modules that hold modules."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

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
