"""The tape: which op made a tensor, and the walk back that gives every input its gradient.

An op computes its result with the backend's kernel and hands :func:`nnlite.tensor.record` a *pullback*: the function
that turns the gradient of the result into the gradients of the inputs. :func:`backward` runs the pullbacks in reverse
order of creation (docs/numerics.md, section 12).
"""

from __future__ import annotations

import functools
import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
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


class enable_grad(no_grad):  # noqa: N801 (a function in use)
    """Records again inside ``no_grad``: ``with nl.enable_grad(): ...``."""

    def __enter__(self) -> None:
        super().__enter__()
        mode.recording = True


def is_grad_enabled() -> bool:
    """Whether ops of the calling thread are recorded."""
    return mode.recording


class Node:
    """One recorded op. Its gradients go to ``inputs``: earlier ops, leaf tensors, or ``None`` where none is wanted.

    ``version`` is the sum of the leaves' versions, which grow when their data are changed in place.
    """

    __slots__ = ("__weakref__", "inputs", "number", "pullback", "version")

    def __init__(self, pullback: Pullback, inputs: tuple[Node | Tensor | None, ...], version: int) -> None:
        self.number = next(_numbers)
        self.pullback: Pullback | None = pullback
        self.inputs = inputs
        self.version = version


Hook: TypeAlias = Callable[[Array], "Array | None"]

# By the identity of a leaf, or of the op that made a tensor: functions that get, and may replace, its gradient.
hooks: dict[int, list[Hook]] = {}


class Handle:
    """What :meth:`nnlite.Tensor.register_hook` returns."""

    def __init__(self, where: Node | Tensor, hook: Hook) -> None:
        self._key, self._hook = id(where), hook
        if self._key not in hooks:
            hooks[self._key] = []
            weakref.finalize(where, hooks.pop, self._key, None)
        hooks[self._key].append(hook)

    def remove(self) -> None:
        """Take the hook away."""
        if self._hook in hooks.get(self._key, ()):
            hooks[self._key].remove(self._hook)


def _hooked(where: Node | Tensor, gradient: Array) -> Array:
    for hook in list(hooks.get(id(where), ())):
        changed = hook(gradient)
        gradient = gradient if changed is None else changed
    return gradient


def backward(root: Node, dy: Array) -> None:
    """Add the gradient of ``sum(y * dy)`` to ``.grad`` of every leaf that ``y``, the result of ``root``, depends on."""
    leaves = walk(root, dy, lambda leaf: leaf.grad)
    for leaf, gradient in leaves.items():  # only now, so that an error above changes no gradient
        leaf.grad = gradient
        recording.keep_gradient(leaf, gradient)


def grad(
    outputs: Tensor,
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Array | Tensor | None = None,
    retain_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Array | None, ...]:
    """The gradients of ``sum(outputs * grad_outputs)``, which change no ``.grad``.

    Args:
        outputs: a tensor; of one element, unless ``grad_outputs`` is given.
        inputs: a leaf that requires gradients, or several.
        grad_outputs: of the shape of ``outputs``.
        retain_graph: keep the graph for another pass.
        allow_unused: give ``None`` for an input that ``outputs`` does not depend on.

    Returns:
        an array for each input.

    Raises:
        RuntimeError: an input is not used; ``outputs`` depends on nothing that requires gradients.
        ValueError: an input is the result of an op; only leaves have gradients of their own.
    """
    wanted: list[Tensor] = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]  # type: ignore[list-item]
    for i, x in enumerate(wanted):
        if x._node is not None or not x.requires_grad:
            raise ValueError(f"grad: inputs[{i}] must be a leaf that requires gradients, made by Tensor(x, True)")
    if outputs._node is None:
        raise RuntimeError("grad: outputs is not the result of an op that depends on a tensor that requires gradients")
    dy = outputs._first_gradient(grad_outputs)
    leaves = walk(outputs._node, dy, lambda leaf: None, retain_graph)
    missing = [i for i, x in enumerate(wanted) if x not in leaves]
    if missing and not allow_unused:
        raise RuntimeError(f"grad: outputs does not depend on inputs[{missing[0]}]; allow_unused=True gives None")
    return tuple(leaves.get(x) for x in wanted)


def walk(
    root: Node, dy: Array, before: Callable[[Tensor], Array | None], retain_graph: bool = False
) -> dict[Tensor, Array]:
    """The gradients of the leaves, added to what ``before`` says is there."""
    add = ops(dy).add
    gradients: dict[Node, Array] = {root: dy}
    leaves: dict[Tensor, Array] = {}
    for node in _reachable(root):
        pullback, inputs = node.pullback, node.inputs
        assert pullback is not None
        if not retain_graph:
            node.pullback, node.inputs = None, ()  # frees what this op kept as soon as it is used
        gradient = gradients.pop(node, None)
        if gradient is None:
            continue  # everything that used its result gave it no gradient
        if hooks:
            gradient = _hooked(node, gradient)
        for x, dx in zip(inputs, pullback(gradient, tuple([x is not None for x in inputs])), strict=True):
            if x is None or dx is None:
                continue
            if isinstance(x, Node):
                gradients[x] = add(gradients[x], dx) if x in gradients else dx
                continue
            if hooks:
                dx = _hooked(x, dx)
            so_far = leaves[x] if x in leaves else before(x)
            if so_far is not None:
                leaves[x] = add(so_far, dx)
                if so_far is x.grad and recording.is_older(so_far):
                    ops(so_far).assign(so_far, leaves[x])  # where a recorded step finds it the next time
                    leaves[x] = so_far
            else:
                # Gradients that the caller sees share no memory: a change of one must not show in another.
                leaves[x] = ops(dx).copy(dx) if arrays.shares_memory(dx, gradient) else dx
    return leaves


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
