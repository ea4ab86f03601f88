"""Functions that are called when a module is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from .. import observe

if TYPE_CHECKING:
    from .module import Module


class _Hook(NamedTuple):
    function: Callable[..., Any]
    before: bool  # forward
    with_kwargs: bool


class RemovableHandle:
    """What registering a hook returns: :meth:`remove` takes the hook away, and so does the end of a ``with`` block."""

    def __init__(self, module: Module, hook: _Hook) -> None:
        self._module = module
        self._hook = hook

    def remove(self) -> None:
        """Take the hook away. Once is enough; more does nothing."""
        left = tuple(hook for hook in self._module._hooks if hook is not self._hook)
        if left:
            self._module.__dict__["_hooks"] = left
        else:
            self._module.__dict__.pop("_hooks", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def register(
    module: Module, name: str, function: Callable[..., Any], before: bool, prepend: bool, with_kwargs: bool
) -> RemovableHandle:
    """Add a hook behind those that are there, or before them (``prepend``)."""
    if not callable(function):
        raise TypeError(f"{name}: hook must be a function, got {type(function).__name__}")
    hook = _Hook(function, before, bool(with_kwargs))
    module.__dict__["_hooks"] = (hook, *module._hooks) if prepend else (*module._hooks, hook)
    return RemovableHandle(module, hook)


def call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``module.forward``, with the hooks before and after it."""
    hooks = module._hooks
    for hook in hooks:
        if hook.before and hook.with_kwargs:
            changed = hook.function(module, args, kwargs)
            if changed is not None:
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise TypeError(
                        f"register_forward_pre_hook: a hook with kwargs must return None or (args, kwargs), "
                        f"got {changed!r:.80}"
                    )
                args, kwargs = changed
        elif hook.before:
            changed = hook.function(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    result = observe.call(module, args, kwargs) if observe.active() else module.forward(*args, **kwargs)
    for hook in hooks:
        if not hook.before:
            given = (args, kwargs) if hook.with_kwargs else (args,)
            changed = hook.function(module, *given, result)
            if changed is not None:
                result = changed
    return result
