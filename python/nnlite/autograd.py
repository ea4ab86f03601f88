"""The tape: tensors that remember which op made them, and ``backward()``.

An op computes its result with the backend's kernel and hands :func:`record` a *pullback*: the function that turns the
gradient of the result into the gradients of the inputs. ``backward()`` runs the pullbacks in reverse order of creation
(docs/numerics.md, section 12).
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np

from . import arrays, capture
from .arrays import Array as Array
from .backend import ops

# pullback(dy, needs) -> one gradient per input. needs[i] says whether input i wants one; where it does not, None saves
# the work. A gradient is a new array, or dy itself or a view of it; dy is never changed.
Pullback: TypeAlias = Callable[[Array, tuple[bool, ...]], tuple[Array | None, ...]]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_numbers = itertools.count()


class _Mode(threading.local):
    recording = True


_mode = _Mode()


class no_grad:  # noqa: N801 (a function in use)
    """Records nothing, in the calling thread: ``with nl.no_grad(): ...``, or ``@nl.no_grad()`` over a function."""

    def __init__(self) -> None:
        self._previous: list[bool] = []

    def __enter__(self) -> None:
        self._previous.append(_mode.recording)
        _mode.recording = False

    def __exit__(self, *exception: object) -> None:
        _mode.recording = self._previous.pop()

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """``function``, recording nothing."""

        @functools.wraps(function)
        def without_gradients(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with no_grad():
                return function(*args, **kwargs)

        return without_gradients


class _Node:
    """One recorded op. Its gradients go to ``inputs``: earlier ops, leaf tensors, or ``None`` where none is wanted."""

    __slots__ = ("inputs", "number", "pullback")

    def __init__(self, pullback: Pullback, inputs: tuple[_Node | Tensor | None, ...]) -> None:
        self.number = next(_numbers)
        self.pullback: Pullback | None = pullback
        self.inputs = inputs


class Tensor:
    """A NumPy array that takes part in gradients.

    Args:
        x: ``numpy.ndarray`` of float32 or float64, any shape. The tensor shares its memory.
        requires_grad: whether ``backward()`` leaves the gradient with respect to this tensor in ``.grad``.

    Attributes:
        data: the array. Do not change it in place between the forward pass and ``backward()``, which reads it.
        grad: the gradient, an array of the same shape and dtype, or ``None``.

    Tensors of equal shape and dtype can be added, subtracted and multiplied with each other and with NumPy arrays, in
    both orders. A Python number counts as a full array of the tensor's dtype. Nothing works in place: ``a += b`` makes
    a new tensor.

    Raises:
        TypeError: ``x`` is not an array of float32 or float64. Nothing is converted silently.
    """

    __slots__ = ("__weakref__", "_node", "data", "grad", "requires_grad")

    # Leaves mixed expressions to the methods below: array + tensor is a Tensor, not an array of objects.
    __array_ufunc__ = None

    data: Array
    grad: Array | None
    requires_grad: bool
    _node: _Node | None

    def __init__(self, x: Array, requires_grad: bool = False) -> None:
        self.data = _checked(x, type(self).__name__)
        self.grad = None
        self.requires_grad = bool(requires_grad)
        self._node = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each dimension."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.data.size

    @property
    def device(self) -> str:
        """Where the data are: ``"cpu"`` or ``"cuda:0"``."""
        return arrays.device_of(self.data)

    def backward(self, gradient: Array | Tensor | None = None) -> None:
        """Add the gradient of ``sum(self * gradient)`` to ``.grad`` of every leaf that requires it, and free the graph.

        Args:
            gradient: array of this tensor's shape and dtype. Without it, the tensor must hold one number (it is 1
                then).

        Raises:
            RuntimeError: this tensor does not depend on anything that requires gradients, or its graph was used before.
            TypeError, ValueError: ``gradient`` has another type, dtype or shape, or is missing.
        """
        if not self.requires_grad:
            raise RuntimeError("backward: this tensor does not require gradients and depends on none that does")
        dy = self._first_gradient(gradient)
        if self._node is None:
            self.grad = arrays.copy(dy) if self.grad is None else ops(dy).add(self.grad, dy)
        else:
            _backward(self._node, dy)

    def _first_gradient(self, gradient: Array | Tensor | None) -> Array:
        if gradient is None:
            if self.data.size != 1:
                raise ValueError(f"backward: a tensor of shape {self.shape} needs gradient=, an array of that shape")
            return arrays.full_like(self.data, 1)
        dy = gradient.data if isinstance(gradient, Tensor) else gradient
        if not arrays.is_array(dy):
            raise TypeError(f"backward: gradient must be a numpy.ndarray, got {type(dy).__name__}")
        if dy.dtype != self.dtype:
            raise TypeError(f"backward: gradient is {dy.dtype} but the tensor is {self.dtype}")
        if dy.shape != self.shape:
            raise ValueError(f"backward: gradient has shape {dy.shape} but the tensor has shape {self.shape}")
        return dy

    def detach(self) -> Tensor:
        """The same data, apart from the graph."""
        return _result(self.data)

    def numpy(self) -> Array:
        """The array itself, or a copy of a device's. What is done with it leaves no trace in gradients."""
        return arrays.to_numpy(self.data)

    def item(self) -> float:
        """The only element as a Python number; ``ValueError`` if there is not exactly one."""
        if self.data.size != 1:
            raise ValueError(f"item: the tensor must hold one element, got shape {self.shape}")
        return float(self.data.item())

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape: ``x.reshape(2, -1)`` or ``x.reshape((2, -1))``."""
        return _ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Dimensions ``start_dim`` to ``end_dim`` (inclusive) as one."""
        return _ops.flatten(self, start_dim, end_dim)

    def sum(self) -> Tensor:
        """Sum of all elements, of shape ``()``."""
        return _ops.sum(self)

    def __add__(self, other: Tensor | Array | float) -> Tensor:
        return _ops.add(self, other)

    def __radd__(self, other: Array | float) -> Tensor:
        return _ops.add(other, self)

    def __sub__(self, other: Tensor | Array | float) -> Tensor:
        return _ops.subtract(self, other)

    def __rsub__(self, other: Array | float) -> Tensor:
        return _ops.subtract(other, self)

    def __mul__(self, other: Tensor | Array | float) -> Tensor:
        return _ops.multiply(self, other)

    def __rmul__(self, other: Array | float) -> Tensor:
        return _ops.multiply(other, self)

    def __matmul__(self, other: Tensor | Array) -> Tensor:
        return _ops.gemm(self, other)

    def __rmatmul__(self, other: Array) -> Tensor:
        return _ops.gemm(other, self)

    def __neg__(self) -> Tensor:
        return _ops.negative(self)

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return self.item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.requires_grad:
            raise RuntimeError("a Tensor that requires gradients is no array; use x.detach(), or x.numpy()")
        return np.array(self.data, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        name = type(self).__name__
        text = np.array2string(arrays.to_numpy(self.data), separator=", ", prefix=name + "(")
        dtype = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        return f"{name}({text}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and deepcopy: data, gradient and flag. A tensor made by an op is refused: its graph cannot travel."""
        if self._node is not None:
            raise RuntimeError("a Tensor made by an op cannot be copied or pickled with its graph; detach() it first")
        return _restore, (type(self), self.data, self.requires_grad, self.grad)


class Parameter(Tensor):
    """A tensor that a module trains. It owns its memory: ``data`` is a C-contiguous copy of ``x``."""

    __slots__ = ()

    def __init__(self, x: Array, requires_grad: bool = True) -> None:
        super().__init__(arrays.copy(_checked(x, "Parameter")), requires_grad)


def as_tensor(op: str, name: str, x: Tensor | Array | float) -> Tensor:
    """``x`` itself, or a constant tensor around an array. The kernel checks the array's dtype."""
    if isinstance(x, Tensor):
        return x
    if arrays.is_array(x):
        return _result(x)
    raise TypeError(f"{op}: {name} must be a Tensor or a numpy.ndarray, got {type(x).__name__}")


def record(y: Array, pullback: Pullback, *inputs: Tensor | None) -> Tensor:
    """The result of an op as a tensor; on the tape if an input requires gradients, unless under ``no_grad``."""
    result = _result(y)
    if _mode.recording:
        for x in inputs:
            if x is not None and x.requires_grad:
                result.requires_grad = True
                result._node = _Node(pullback, tuple([None if x is None else _edge(x) for x in inputs]))
                break
    return result


def _edge(x: Tensor) -> _Node | Tensor | None:
    return x._node or (x if x.requires_grad else None)


def _result(data: Array) -> Tensor:
    x = Tensor.__new__(Tensor)
    x.data = data
    x.grad = None
    x.requires_grad = False
    x._node = None
    return x


def _restore(cls: type[Tensor], data: Array, requires_grad: bool, grad: Array | None) -> Tensor:
    x = cls.__new__(cls)
    x.data = data
    x.grad = grad
    x.requires_grad = requires_grad
    x._node = None
    return x


def _checked(x: Array, name: str) -> Array:
    if not arrays.is_array(x):
        raise TypeError(f"{name}: x must be a numpy.ndarray, got {type(x).__name__}; use np.array(x, np.float32)")
    if x.dtype.kind != "f" or x.dtype.itemsize not in (4, 8):
        raise TypeError(f"{name}: x must be float32 or float64, got {x.dtype}; convert it, e.g. x.astype(np.float32)")
    if not x.dtype.isnative:
        raise TypeError(f"{name}: x must be in native byte order, got {x.dtype.str}")
    return x


def _backward(root: _Node, dy: Array) -> None:
    add = ops(dy).add
    gradients: dict[_Node, Array] = {root: dy}
    leaves: dict[Tensor, Array] = {}
    for node in _reachable(root):
        pullback, inputs = node.pullback, node.inputs
        assert pullback is not None
        node.pullback, node.inputs = None, ()  # frees what this op kept as soon as it is used
        gradient = gradients.pop(node, None)
        if gradient is None:
            continue  # everything that used its result gave it no gradient
        for x, dx in zip(inputs, pullback(gradient, tuple([x is not None for x in inputs])), strict=True):
            if x is None or dx is None:
                continue
            if isinstance(x, _Node):
                gradients[x] = add(gradients[x], dx) if x in gradients else dx
                continue
            so_far = leaves.get(x, x.grad)
            if so_far is not None:
                leaves[x] = add(so_far, dx)
                if so_far is x.grad and capture.is_older(so_far):
                    arrays.assign(so_far, leaves[x])  # where a recorded step finds it the next time
                    leaves[x] = so_far
            else:
                # Gradients that the caller sees share no memory: a change of one must not show in another.
                leaves[x] = dx.copy() if arrays.shares_memory(dx, gradient) else dx
    for leaf, gradient in leaves.items():  # only now, so that an error above changes no gradient
        leaf.grad = gradient


def _reachable(root: _Node) -> list[_Node]:
    """The ops that ``root`` depends on, latest first."""
    seen = {root}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.pullback is None:
            raise RuntimeError("backward: an earlier backward() used and freed this graph; run the forward pass again")
        for x in node.inputs:
            if isinstance(x, _Node) and x not in seen:
                seen.add(x)
                waiting.append(x)
    return sorted(seen, key=lambda node: node.number, reverse=True)


# Tensor's operators are ops, and ops are built on Tensor: so this import comes last.
from . import ops as _ops  # noqa: E402
