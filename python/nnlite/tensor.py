"""Tensors: arrays that remember which op made them. The walk back is :mod:`nnlite.tape`; operators are set on
:class:`Tensor` by :mod:`nnlite.ops.operators`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import arrays, observe, recording, tape
from .arrays import Array
from .backend import ops
from .tape import Handle, Hook, Node, Pullback

Number = float


class Tensor:
    """A NumPy array that takes part in gradients.

    Args:
        x: ``numpy.ndarray`` of float32 or float64, any shape. The tensor shares its memory.
        requires_grad: whether ``backward()`` leaves the gradient with respect to this tensor in ``.grad``.

    Attributes:
        data: the array.
        grad: the gradient, an array of the same shape and dtype, or ``None``.

    Tensors of equal shape and dtype can be added, subtracted and multiplied with each other and with NumPy arrays, in
    both orders. A Python number counts as a full array of the tensor's dtype. Nothing works in place: ``a += b`` makes
    a new tensor.

    ``==``, ``!=``, ``<``, ``<=``, ``>`` and ``>=`` compare element by element and give a NumPy array of bool, also
    for data on a device. The other operand is a tensor or an array of the same shape, or a number. A tensor's hash is
    its identity, so tensors are keys of dicts and sets; a list is searched with ``is``, not with ``in``.

    NumPy's functions (``np.sum(x)``), matplotlib, ``np.asarray(x)`` and iteration get the values as :meth:`numpy` gives
    them: no gradient flows through them. NumPy's ufuncs (``np.exp(x)``) refuse tensors, since they stand for operators.

    ``backward()`` reads arrays of the forward pass, inputs and results alike. A change of one of them in place in
    between, by ``x.data[...] = 0`` or of the array that a tensor was made of, is not noticed and gives wrong gradients:
    work on a copy, ``x.numpy().copy()``. Noticed are an optimizer's ``step()`` and ``load_state_dict()`` in between
    (``backward()`` raises), and writing into what :meth:`numpy` returned (NumPy raises).

    Raises:
        TypeError: ``x`` is not an array of float32 or float64. Nothing is converted silently.
    """

    __slots__ = ("__weakref__", "_node", "data", "grad", "requires_grad")

    # Leaves mixed expressions to the methods below: array + tensor is a Tensor, not an array of objects.
    __array_ufunc__ = None

    data: Array
    grad: Array | None
    requires_grad: bool
    _node: Node | None
    _version = 0  # counted by parameters

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
        return _Size(self.data.size)

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
            self.grad = ops(dy).copy(dy) if self.grad is None else ops(dy).add(self.grad, dy)
            recording.keep_gradient(self, self.grad)
        else:
            tape.backward(self._node, dy)

    def _first_gradient(self, gradient: Array | Tensor | None) -> Array:
        if gradient is None:
            if self.data.size != 1:
                raise ValueError(f"backward: a tensor of shape {self.shape} needs gradient=, an array of that shape")
            return arrays.full_like(self.data, 1)
        dy = gradient.data if isinstance(gradient, Tensor) else gradient
        if not arrays.is_array(dy):
            raise TypeError(f"backward: gradient must be a numpy.ndarray, got {arrays.what_is(dy)}")
        if dy.dtype != self.dtype:
            raise TypeError(f"backward: gradient is {dy.dtype} but the tensor is {self.dtype}")
        if dy.shape != self.shape:
            raise ValueError(f"backward: gradient has shape {dy.shape} but the tensor has shape {self.shape}")
        return dy

    def register_hook(self, hook: Hook) -> Handle:
        """Call ``hook(gradient)`` when the gradient of this tensor is there; what it returns, if anything, replaces it.

        Of a leaf each contribution passes the hook.

        Returns:
            a handle; ``handle.remove()`` takes the hook away.
        """
        if not self.requires_grad:
            raise RuntimeError("register_hook: this tensor does not require gradients")
        return Handle(self if self._node is None else self._node, hook)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Whether ``backward()`` leaves a gradient here; of a leaf."""
        if self._node is not None and not requires_grad:
            raise RuntimeError("requires_grad_: this tensor is the result of an op; write x.detach()")
        self.requires_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no op made it."""
        return self._node is None

    def clone(self) -> Tensor:
        """A copy, through which gradients flow."""
        kernels = ops(self.data)
        return record(kernels.copy(self.data), lambda dy, needs: (dy,), self)

    def tolist(self) -> Any:
        """The numbers as nested lists."""
        return self.numpy().tolist()

    def dim(self) -> int:
        """Number of dimensions."""
        return self.ndim

    def numel(self) -> int:
        """Number of elements."""
        return int(self.size)

    def double(self) -> Tensor:
        """As float64; a copy without history unless it is one already."""
        return self if self.dtype == np.float64 else Tensor(arrays.astype(self.data, np.dtype(np.float64)))

    def float(self) -> Tensor:
        """As float32, each number rounded once; a copy without history unless it is one already."""
        return self if self.dtype == np.float32 else Tensor(arrays.astype(self.data, np.dtype(np.float32)))

    def detach(self) -> Tensor:
        """The same data, apart from the graph; the memory is shared."""
        return _result(self.data)

    def numpy(self) -> Array:
        """The array, or a copy of a device's.

        While ``backward()`` may need it, that is, if the tensor requires gradients and its graph was not used yet, it
        is a read-only view. ``x.numpy().copy()`` is a copy to write into; weights are set by ``x.data[...] = value``.
        """
        if isinstance(self.data, np.ndarray):
            recording.refuse("numpy()")
        x = arrays.to_numpy(self.data)
        if self.requires_grad and (self._node is None or self._node.pullback is not None) and x is self.data:
            x = x.view()
            x.flags.writeable = False
        return x

    def to_numpy(self) -> Array:
        """:meth:`numpy` by the name that matplotlib and pandas look for."""
        return self.numpy()

    def item(self) -> Number:
        """The only element as a Python number; ``ValueError`` if there is not exactly one."""
        if isinstance(self.data, np.ndarray):
            recording.refuse("item()")
        if self.data.size != 1:
            raise ValueError(f"item: the tensor must hold one element, got shape {self.shape}")
        return Number(self.data.item())

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> Number:
        return self.item()

    def __iter__(self) -> Iterator[Any]:
        """The rows of :meth:`numpy`."""
        return iter(self.numpy())

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        if self.data.size != 1:
            raise TypeError(f"format {spec!r}: the tensor must hold one element, got shape {self.shape}")
        return format(self.item(), spec)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        """NumPy's functions get the values."""
        return function(*_values(args), **{key: _values(value) for key, value in kwargs.items()})

    # By identity: comparisons give arrays.
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Any:
        return self._compare(operator.eq, other)

    def __ne__(self, other: object) -> Any:
        return self._compare(operator.ne, other)

    def __lt__(self, other: Any) -> Any:
        return self._compare(operator.lt, other)

    def __le__(self, other: Any) -> Any:
        return self._compare(operator.le, other)

    def __gt__(self, other: Any) -> Any:
        return self._compare(operator.gt, other)

    def __ge__(self, other: Any) -> Any:
        return self._compare(operator.ge, other)

    def _compare(self, compare: Callable[[Any, Any], Any], other: Any) -> Any:
        other = other.data if isinstance(other, Tensor) else other
        if arrays.is_array(other):
            other = arrays.to_numpy(other)
            if other.shape not in (self.shape, ()):
                raise ValueError(
                    f"comparison: the tensor has shape {self.shape} but the other operand has shape {other.shape}; "
                    "reshape one of them"
                )
        elif isinstance(other, (list, tuple)):
            raise TypeError(f"comparison: a tensor is compared with a tensor, an array or a number, got {other!r:.60}")
        elif not isinstance(other, (int, float, np.generic)):
            return NotImplemented  # == is False then, and < a TypeError
        return np.asarray(compare(arrays.to_numpy(self.data), other))

    def __repr__(self) -> str:
        name = type(self).__name__
        if isinstance(self.data, np.ndarray) or not self.device.startswith("shapes"):
            text = np.array2string(arrays.to_numpy(self.data), separator=", ", prefix=name + "(")
        else:
            text = repr(self.data)
        dtype = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        return f"{name}({text}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and deepcopy: data, gradient and flag. A tensor made by an op is refused: its graph cannot travel."""
        if self._node is not None:
            raise RuntimeError("a Tensor made by an op cannot be copied or pickled with its graph; detach() it first")
        return _restore, (type(self), self.data, self.requires_grad, self.grad)

    if TYPE_CHECKING:  # set by nnlite.ops.operators, which is built on this class
        T: Tensor

        def __getattr__(self, name: str) -> Callable[..., Any]: ...
        def reshape(self, *shape: Any) -> Tensor: ...  # noqa: D102
        def view(self, *shape: Any) -> Tensor: ...  # noqa: D102
        def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor: ...  # noqa: D102
        def sum(self, dim: Any = None, keepdim: bool = False) -> Tensor: ...  # noqa: D102
        def __getitem__(self, key: Any) -> Tensor: ...
        def __add__(self, other: Tensor | Array | Number) -> Tensor: ...
        def __radd__(self, other: Array | Number) -> Tensor: ...
        def __sub__(self, other: Tensor | Array | Number) -> Tensor: ...
        def __rsub__(self, other: Array | Number) -> Tensor: ...
        def __mul__(self, other: Tensor | Array | Number) -> Tensor: ...
        def __rmul__(self, other: Array | Number) -> Tensor: ...
        def __truediv__(self, other: Tensor | Array | Number) -> Tensor: ...
        def __rtruediv__(self, other: Array | Number) -> Tensor: ...
        def __pow__(self, other: Tensor | Array | Number) -> Tensor: ...
        def __matmul__(self, other: Tensor | Array) -> Tensor: ...
        def __rmatmul__(self, other: Array) -> Tensor: ...
        def __neg__(self) -> Tensor: ...


class Parameter(Tensor):
    """A tensor that a module trains. It owns its memory: ``data`` is a C-contiguous copy of ``x``."""

    # How often an optimizer or load_state_dict changed the data in place; the tape compares.
    __slots__ = ("_version",)

    def __init__(self, x: Array, requires_grad: bool = True) -> None:
        self._version = 0
        super().__init__(arrays.copy(_checked(x, "Parameter")), requires_grad)


def as_tensor(op: str, name: str, x: Tensor | Array | float) -> Tensor:
    """``x`` itself, or a constant tensor around an array. The kernel checks the array's dtype."""
    if isinstance(x, Tensor):
        return x
    if arrays.is_array(x):
        return _result(x)
    raise TypeError(f"{op}: {name} must be a Tensor or a numpy.ndarray, got {arrays.what_is(x)}")


def record(y: Array, pullback: Pullback, *inputs: Tensor | None) -> Tensor:
    """The result of an op as a tensor; on the tape if an input requires gradients, unless under ``no_grad``."""
    result = _result(y)
    if tape.mode.recording:
        edges: list[Node | Tensor | None] = []
        version, wanted = 0, False
        for x in inputs:
            if x is None:
                edges.append(None)
                continue
            wanted = wanted or x.requires_grad
            if x._node is None and x.requires_grad:
                edges.append(x)
                version += x._version
            else:
                edges.append(x._node)
        if wanted:
            if observe.active():
                pullback = observe.attributed(pullback)
            result.requires_grad = True
            result._node = Node(pullback, tuple(edges), version)
    return result


def is_recorded(*inputs: Tensor | None) -> bool:
    """Whether an op of these inputs goes on the tape."""
    if tape.mode.recording:
        for x in inputs:
            if x is not None and x.requires_grad:
                return True
    return False


def _result(data: Array) -> Tensor:
    x = Tensor.__new__(Tensor)
    x.data = data
    x.grad = None
    x.requires_grad = False
    x._node = None
    return x


def _restore(cls: type[Tensor], data: Array, requires_grad: bool, grad: Array | None) -> Tensor:
    x = cls.__new__(cls)
    if isinstance(x, Parameter):
        x._version = 0
    x.data = data
    x.grad = grad
    x.requires_grad = requires_grad
    x._node = None
    return x


def _values(x: Any) -> Any:
    """``x`` with arrays in the place of tensors, in lists and tuples too."""
    if isinstance(x, Tensor):
        return x.numpy()
    return type(x)(_values(item) for item in x) if type(x) in (list, tuple) else x


class _Size(int):
    """A number of elements that tells users of PyTorch what they meant."""

    def __call__(self, dim: int | None = None) -> int:
        what = "x.shape for x.size()" if dim is None else f"x.shape[{dim}] for x.size({dim})"
        raise TypeError(f"size: x.size is the number of elements, as of an array; write {what}")


def _checked(x: Array, name: str) -> Array:
    if not arrays.is_array(x):
        raise TypeError(f"{name}: x must be a numpy.ndarray, got {arrays.what_is(x, 'use np.array(x, np.float32)')}")
    if x.dtype.kind != "f" or x.dtype.itemsize not in (4, 8):
        raise TypeError(f"{name}: x must be float32 or float64, got {x.dtype}; convert it, e.g. x.astype(np.float32)")
    if not x.dtype.isnative:
        raise TypeError(f"{name}: x must be in native byte order, got {x.dtype.str}")
    return x
