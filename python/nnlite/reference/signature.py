"""An op is two things: its *signature*, which checks the arguments and says what the results look like, and its
computation. Both stand in one generator, which yields a :class:`Spec` for each result where the checks end::

    @define_op
    def negative(a: Array) -> Computation[Array]:
        a = check_array("negative", "a", a)
        yield Spec(a.shape, a.dtype)
        return np.asarray(-a)

Called, the op checks and computes. :func:`signature` runs it up to the ``yield``: on arrays, or on :class:`Spec`\\ s
in their place, which have no elements; checks of elements (labels in range) are left out then.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
from collections.abc import Callable, Generator, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

_P = ParamSpec("_P")
_R = TypeVar("_R")

Computation = Generator[Any, None, _R]


class Spec:
    """What an array looks like: shape and dtype, no elements."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.size * self.dtype.itemsize

    @property
    def T(self) -> Spec:
        """With its axes in reverse."""
        return Spec(self.shape[::-1], self.dtype)

    def reshape(self, *shape: Any) -> Spec:
        """With as many elements in another shape; one size may be -1."""
        sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        known = math.prod(n for n in sizes if n != -1)
        new = tuple(self.size // max(known, 1) if n == -1 else n for n in sizes)
        if math.prod(new) != self.size:
            raise ValueError(f"reshape: shape {self.shape} has {self.size} elements, which do not fill {tuple(sizes)}")
        return Spec(new, self.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and (self.shape, self.dtype) == (other.shape, other.dtype)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shape}, {self.dtype})"


def define_op(generator: Callable[_P, Computation[_R]]) -> Callable[_P, _R]:
    """The op of a generator that yields the :class:`Spec` of each result where its checks end."""

    described = inspect.signature(generator)

    @functools.wraps(generator)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        wrong = explain(call, args, kwargs)
        if wrong is not None:
            raise TypeError(wrong)
        plain = {key: _plain(value) for key, value in kwargs.items()}
        steps = generator(*map(_plain, args), **plain)
        results = next(steps)
        specs = results if isinstance(results, tuple) else (results,)
        if results is not None and all(spec.size == 0 for spec in specs):  # however long the other axes are
            empty = tuple(np.empty(spec.shape, spec.dtype) for spec in specs)
            return empty if isinstance(results, tuple) else empty[0]  # type: ignore[return-value]
        try:
            next(steps)
        except StopIteration as end:
            result: _R = end.value
            return result
        raise AssertionError(f"{call.__name__} yields twice")

    result = str(described.return_annotation).removeprefix("Computation[").removesuffix("]")
    call.__signature__ = described.replace(return_annotation=result)  # type: ignore[attr-defined]
    call.__annotations__ = {**generator.__annotations__, "return": result}
    del call.__wrapped__
    call.generator = generator  # type: ignore[attr-defined]
    return call


def signature(op: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What ``op`` would return for these arguments, as :class:`Spec`\\ s; ``None`` if it returns nothing.

    Raises:
        TypeError, ValueError: what the op itself raises for them.
    """
    wrong = explain(op, args, kwargs)
    if wrong is not None:
        raise TypeError(wrong)
    return next(op.generator(*args, **kwargs))  # type: ignore[attr-defined]


def explain(op: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """What is wrong with the arguments of a call as such: their names, their number, a flag that is none.

    Every backend says this in place of what Python or the bindings say, which may show whole arrays.
    """
    name, parameters = op.__name__, _parameters(op)
    unknown = [key for key in kwargs if key not in parameters]
    if unknown:
        near = difflib.get_close_matches(unknown[0], parameters, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(parameters)}"
        return f"{name}: unknown argument {unknown[0]!r}; {hint}"
    if len(args) > len(parameters):
        return f"{name}: takes at most {len(parameters)} arguments, got {len(args)}"
    given = dict(zip(parameters, args, strict=False))
    twice = [key for key in kwargs if key in given]
    if twice:
        return f"{name}: argument {twice[0]!r} is given twice"
    given |= kwargs
    missing = [key for key, p in parameters.items() if p.default is p.empty and key not in given]
    if missing:
        return f"{name}: lacks the argument {missing[0]!r}"
    for key, value in given.items():
        if parameters[key].annotation == "bool" and not isinstance(value, (bool, np.bool_)):
            return f"{name}: {key} must be a bool, got {type(value).__name__}"
    return None


@functools.cache
def _parameters(op: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(op).parameters


def _plain(value: Any) -> Any:
    """An array of a subclass (np.ma, np.matrix) as the plain array that compiled backends see; lists likewise."""
    if isinstance(value, np.ndarray) and type(value) is not np.ndarray:
        return value.view(np.ndarray)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
