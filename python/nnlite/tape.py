"""The tape: which op made a tensor, and the walk back that gives every input its gradient.

An op computes its result with the backend's kernel and hands :func:`nnlite.tensor.record` a *pullback*: the function
that turns the gradient of the result into the gradients of the inputs. :func:`backward` runs the pullbacks in reverse
order of creation (docs/numerics.md, section 12).
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeAlias, TypeVar

from . import arrays, recording
from .arrays import Array
from .backend import ops

if TYPE_CHECKING:
    from .tensor import Tensor

# pullback(dy, needs) -> one gradient per input. needs[i] says whether input i wants one; where it does not, None saves
# the work. A gradient is a new array, or dy itself or a view of it; dy is never changed.
Pullback: TypeAlias = Callable[[Array, tuple[bool, ...]], tuple[Array | None, ...]]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_numbers = itertools.count()


class _Mode(threading.local):
    recording = True


mode = _Mode()


class no_grad:  # noqa: N801 (a function in use)
    """Records nothing, in the calling thread: ``with nl.no_grad(): ...``, or ``@nl.no_grad()`` over a function."""

    def __init__(self) -> None:
        self._previous: list[bool] = []

    def __enter__(self) -> None:
        self._previous.append(mode.recording)
        mode.recording = False

    def __exit__(self, *exception: object) -> None:
        mode.recording = self._previous.pop()

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """``function``, recording nothing."""

        @functools.wraps(function)
        def without_gradients(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with no_grad():
                return function(*args, **kwargs)

        return without_gradients


class Node:
    """One recorded op. Its gradients go to ``inputs``: earlier ops, leaf tensors, or ``None`` where none is wanted.

    ``version`` is the sum of the leaves' versions, which grow when their data are changed in place.
    """

    __slots__ = ("inputs", "number", "pullback", "version")

    def __init__(self, pullback: Pullback, inputs: tuple[Node | Tensor | None, ...], version: int) -> None:
        self.number = next(_numbers)
        self.pullback: Pullback | None = pullback
        self.inputs = inputs
        self.version = version


def backward(root: Node, dy: Array) -> None:
    """Add the gradient of ``sum(y * dy)`` to ``.grad`` of every leaf that ``y``, the result of ``root``, depends on."""
    add = ops(dy).add
    gradients: dict[Node, Array] = {root: dy}
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
            if isinstance(x, Node):
                gradients[x] = add(gradients[x], dx) if x in gradients else dx
                continue
            so_far = leaves.get(x, x.grad)
            if so_far is not None:
                leaves[x] = add(so_far, dx)
                if so_far is x.grad and recording.is_older(so_far):
                    ops(so_far).assign(so_far, leaves[x])  # where a recorded step finds it the next time
                    leaves[x] = so_far
            else:
                # Gradients that the caller sees share no memory: a change of one must not show in another.
                leaves[x] = ops(dx).copy(dx) if arrays.shares_memory(dx, gradient) else dx
    for leaf, gradient in leaves.items():  # only now, so that an error above changes no gradient
        leaf.grad = gradient
        recording.keep_gradient(leaf, gradient)


def _reachable(root: Node) -> list[Node]:
    """The ops that ``root`` depends on, latest first."""
    seen = {root}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.pullback is None:
            raise RuntimeError("backward: an earlier backward() used and freed this graph; run the forward pass again")
        version = 0
        for x in node.inputs:
            if isinstance(x, Node):
                if x not in seen:
                    seen.add(x)
                    waiting.append(x)
            elif x is not None:
                version += x._version
        if version != node.version:
            raise RuntimeError(
                "backward: an optimizer's step() or load_state_dict() has changed a parameter since the forward pass; "
                "call backward() first, or run the forward pass again"
            )
    return sorted(seen, key=lambda node: node.number, reverse=True)
