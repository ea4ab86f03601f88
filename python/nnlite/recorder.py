"""Recording: a backend that passes every op on and writes it down. See :func:`nnlite.record`."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from types import ModuleType, TracebackType
from typing import Any

import numpy as np

from . import arrays, observe
from .arrays import Array
from .backend import recorder, set_recorder
from .program import Program, Ref, ShapeOf, Slot, Step, parameters_of
from .tensor import Tensor

# Told of each op: name, positional and keyword arguments, and the call that runs it.
Tell = Callable[[str, tuple[Any, ...], dict[str, Any], "functools.partial[Any]"], Any]


class Intercepted(ModuleType):
    """A backend's module whose ops run through an interception while it lasts: the tape may keep them longer."""

    def __init__(self, module: ModuleType, context: interception) -> None:
        super().__init__(module.__name__)
        self.__dict__["_module"] = module
        self.__dict__["_context"] = context

    def __getattr__(self, name: str) -> Any:
        from . import reference

        value = getattr(self._module, name)
        if name in reference.__all__:
            op, context = value, self._context

            def value(*args: Any, **kwargs: Any) -> Any:
                if context.tell is None:
                    return op(*args, **kwargs)
                return context.tell(name, args, kwargs, functools.partial(op, *args, **kwargs))

        self.__dict__[name] = value
        return value


class interception:  # noqa: N801 (a context)
    """While it is entered, every op of the calling thread runs through ``tell``."""

    def __init__(self, tell: Tell) -> None:
        self.tell: Tell | None = tell

    def __enter__(self) -> None:
        thread = threading.get_ident()
        modules: dict[ModuleType, ModuleType] = {}
        self._previous = outer = recorder()

        def around(module: ModuleType) -> ModuleType:
            module = module if outer is None else outer(module)
            if threading.get_ident() != thread:
                return module
            if module not in modules:
                modules[module] = Intercepted(module, self)
            return modules[module]

        set_recorder(around)

    def __exit__(self, *exception: object) -> None:
        self.tell = None
        set_recorder(self._previous)


@contextlib.contextmanager
def describing() -> Iterator[None]:
    """In the block, every op of the calling thread describes its results: it is that of :mod:`nnlite.shapes`."""
    from . import shapes

    thread, outer = threading.get_ident(), recorder()

    def around(module: ModuleType) -> ModuleType:
        if threading.get_ident() == thread:
            return shapes
        return module if outer is None else outer(module)

    set_recorder(around)
    try:
        yield
    finally:
        set_recorder(outer)


class record(observe.Observer):  # noqa: N801 (a function in use)
    """Write down every op that the block runs::

        with nl.record() as program:
            y = model(x)
        program.run(other_x, backend="reference")

    Arrays get their names from the modules called in the block: those of a model's ``state_dict()`` are state, the
    arguments of an outermost call are inputs. Everything else that no recorded op has made is a constant, kept in the
    program as it is: what NumPy computes in the block is not seen. A training step (forward, loss, ``backward()``,
    ``optimizer.step()``) is recorded with its updates and with the step's own numbers, such as Adam's corrections.

    Args:
        inputs: arrays that are inputs, by name, besides the arguments of outermost calls.
    """

    def __init__(self, **inputs: Array | Tensor) -> None:
        self._program = Program()
        self._slot_of: dict[int, int] = {}
        self._kept: list[Any] = []  # arrays whose ids are in use
        self._named: dict[int, tuple[str, str]] = {}  # id of an array not yet used -> kind and name
        for name, x in inputs.items():
            self._name(x, "input", name)

    def __enter__(self) -> Program:
        self._watching = observe.watching(self)
        self._intercepting = interception(self._tell)
        self._watching.__enter__()
        self._intercepting.__enter__()
        return self._program

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._intercepting.__exit__(kind, error, trace)
        self._watching.__exit__(kind, error, trace)
        self._kept.clear()

    def enter(self, path: str, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Learn the names of an outermost module's state and arguments."""
        if path:
            return
        for name, array in module.state_dict().items():
            self._name(array, "state", name)
        try:
            bound = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        except TypeError:
            return  # the call itself says what is wrong
        for name, value in bound.items():
            for i, x in enumerate(value if isinstance(value, tuple) else (value,)):
                self._name(x, "input", f"{name}{i}" if isinstance(value, tuple) else name)

    def _name(self, x: Any, kind: str, name: str) -> None:
        array = x.data if isinstance(x, Tensor) else x
        if arrays.is_array(array) and id(array) not in self._slot_of:
            self._named.setdefault(id(array), (kind, name))
            self._kept.append(array)

    def _tell(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[[], Any]) -> Any:
        given = dict(zip(parameters_of(name), args, strict=False)) | kwargs
        encoded = {key: self._encoded(name, key, given[key], given) for key in parameters_of(name) if key in given}
        result = run()
        results = () if result is None else result if isinstance(result, tuple) else (result,)
        slots = tuple(self._new_slot("result", f"v{len(self._program.slots)}", x) for x in results)
        self._program.steps.append(Step(name, encoded, slots, observe.path()))
        return result

    def _encoded(self, op: str, name: str, value: Any, given: dict[str, Any]) -> Any:
        if arrays.is_array(value):
            return Ref(self._slot(value))
        if isinstance(value, (list, tuple)) and (not value or arrays.is_array(value[0])):
            return [Ref(self._slot(x)) for x in value]
        if isinstance(value, (list, tuple)):
            sizes = tuple(int(n) for n in value)
            if op == "reshape" and sizes and given["x"].size:
                return (-1, *sizes[1:])  # axis 0 may be the batch
            return self._shape_like(sizes) if name == "x_shape" else sizes
        if isinstance(value, np.generic):
            return value.item()
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return np.dtype(value).name if name == "dtype" else value

    def _shape_like(self, sizes: tuple[int, ...]) -> Any:
        for i, slot in enumerate(self._program.slots):
            if slot.shape == sizes and slot.kind != "state":
                return ShapeOf(i)
        return sizes

    def _slot(self, x: Array) -> int:
        known = self._slot_of.get(id(x))
        if known is not None:
            return known
        kind, name = self._named.pop(id(x), ("state", f"constant{len(self._program.state)}"))
        taken = {slot.name for slot in self._program.slots}
        name = next(n for n in (name, *(f"{name}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)
        if kind == "state":  # as it is before the program changes it
            self._program.state[name] = np.array(arrays.to_numpy(x), order="C")
        return self._new_slot(kind, name, x)

    def _new_slot(self, kind: str, name: str, x: Array) -> int:
        self._program.slots.append(Slot(kind, name, tuple(x.shape), x.dtype.name))
        self._slot_of[id(x)] = len(self._program.slots) - 1
        self._kept.append(x)
        return len(self._program.slots) - 1
