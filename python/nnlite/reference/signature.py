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

import functools
import inspect
import math
from collections.abc import Callable, Generator
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

    @functools.wraps(generator)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        steps = generator(*args, **kwargs)
        next(steps)
        try:
            next(steps)
        except StopIteration as end:
            result: _R = end.value
            return result
        raise AssertionError(f"{call.__name__} yields twice")

    described = inspect.signature(generator)
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
    return next(op.generator(*args, **kwargs))  # type: ignore[attr-defined]
