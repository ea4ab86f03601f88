"""Steps that are recorded once and then started again: :func:`capture`.

On a device the recording is a list of launches, which start without Python. On the CPU it is the list of the ops' calls
with their arguments: layers, tape and checks of the program around them are left out, and the kernels are called again
on the arrays of the new step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import arrays, random, recording
from .arrays import Array
from .backend import load_device
from .recorder import interception
from .tensor import Tensor


def capture(function: Callable[..., Any], device: str = "cpu") -> Captured | HostStep:
    """``function`` as a step that is recorded once and then started again without the Python around its kernels.

    ``step = nl.capture(train_step)`` and then ``loss = step(x, t)`` in the loop: the first call runs the function, the
    second runs and records it, later ones start the recorded kernels with the new ``x`` and ``t``: on a GPU as a CUDA
    graph, on the CPU one call after the other. Every call is one step, with the bits of the function called directly.

    Arguments are arrays of the same shapes and dtypes each time; others run the function itself. What it returns, and
    the gradients, belong to the last call (on a GPU they are overwritten by the next). The function must run the same
    ops each time, not ask for numbers (``item()``, ``numpy()``), and not draw random numbers but by dropout; what NumPy
    computes in it is not seen, and stays as it was recorded. Optimizers, schedules (``param_groups``), dropout and
    batchnorm work as usual; Python numbers and ``train()`` or ``eval()`` are those of the recorded call. After
    ``model.to()``, ``load_state_dict`` of an optimizer, or another backend the step must be captured again.

    Args:
        function: takes arrays; returns tensors, arrays, or tuples, lists or dicts of them.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``: where the arrays are.

    Raises:
        ValueError, RuntimeError: there is no such device, or it cannot be used.
    """
    if device == "cpu":
        return HostStep(function)
    from .cuda import check_device

    check_device(device)
    return Captured(function, device)


class Captured:
    """A function of arrays that launches the same kernels at every call; see :func:`nnlite.cuda.capture`."""

    def __init__(self, function: Callable[..., Any], device: str) -> None:
        self._function = function
        self._device = device
        self._module = load_device(device.partition(":")[0])
        self._calls = 0
        self._recording: Any = None
        self._inputs: tuple[Array, ...] = ()
        self._refreshers: list[Callable[[], object]] = []
        self._result: Any = None

    def __call__(self, *inputs: Array) -> Any:
        """The function's result for ``inputs``, NumPy arrays or the device's."""
        from .cuda import array

        if not all(arrays.is_array(x) for x in inputs):
            raise TypeError("capture: a captured step takes arrays; Python numbers are those of the function itself")
        there = tuple(array(x, self._device) for x in inputs)
        if recording.is_active():  # a part of another captured step
            return self._function(*there)
        same = [(x.shape, x.dtype) for x in there] == [(x.shape, x.dtype) for x in self._inputs]
        if self._recording is not None and same:
            for held, x in zip(self._inputs, there, strict=True):
                arrays.assign(held, x)
            return self._replay()
        self._calls += 1
        if self._calls >= 2 and self._recording is None:  # the first call made what the step keeps, e.g. moments
            self._inputs = tuple(arrays.copy(x) for x in there)
            return self._record()
        return self._function(*there)

    def _record(self) -> Any:
        launches = self._module._Recording()
        launches.begin()
        recording.begin(launches)
        try:
            self._result = self._function(*self._inputs)
        finally:
            launches.end()
            refreshers = recording.end()
        self._recording, self._refreshers = launches, refreshers
        return self._result

    def _replay(self) -> Any:
        draws = random.get_state()
        self._recording.begin_refresh()
        try:
            for refresh in self._refreshers:
                refresh()
        except BaseException:
            self._recording.abandon_refresh()
            random.set_state(draws)
            raise
        self._recording.end_refresh()
        self._recording.replay()
        return self._result


class _Call:
    """One op of a recorded step: its function, and its arguments, of which some come from slots."""

    __slots__ = ("args", "dead", "function", "holes", "name", "results")

    def __init__(self, name: str, function: Callable[..., Any], args: list[Any], holes: list[tuple[int, Any]]) -> None:
        self.name = name
        self.function = function
        self.args = args
        self.holes = holes  # (index of the argument, slot), or (index, slots and arrays of a list)
        self.results: tuple[int, ...] = ()
        self.dead: tuple[int, ...] = ()  # slots that no later call reads

    def filled(self, values: list[Any], args: list[Any] | None = None) -> list[Any]:
        """The arguments for this replay: those of the recording, or ``args`` with its arrays put in."""
        filled = list(self.args if args is None else args)
        for i, slot in self.holes:
            filled[i] = values[slot] if type(slot) is int else [values[s] if type(s) is int else s for s in slot]
        return filled


class _HostRecording:
    """The calls of one step on the CPU, as they come."""

    def __init__(self, inputs: tuple[Array, ...]) -> None:
        self.steps: list[_Call] = []
        self.refreshers: dict[int, list[tuple[int, Callable[[], object]]]] = {}  # since -> until, refresh
        self.gradients: dict[Any, int] = {}
        self.slots: dict[int, int] = {id(x): i for i, x in enumerate(inputs)}
        self._alive: list[Any] = list(inputs)  # so that ids stay unique

    def tell(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], run: functools.partial[Any]) -> Any:
        from .program import parameters_of

        values = list(args)
        for key, parameter in list(parameters_of(name).items())[len(args) :]:
            values.append(kwargs.get(key, parameter.default))
        holes: list[tuple[int, Any]] = []
        for i, value in enumerate(values):
            if isinstance(value, list) and value and arrays.is_array(value[0]):
                holes.append((i, [self.slots.get(id(x), x) for x in value]))
            elif id(value) in self.slots and arrays.is_array(value):
                holes.append((i, self.slots[id(value)]))
            elif arrays.is_array(value):
                self._alive.append(value)
        result = run()
        call = _Call(name, run.func, values, holes)
        results = () if result is None else result if isinstance(result, tuple) else (result,)
        call.results = tuple(self._new_slot(x) for x in results)
        self.steps.append(call)
        return result

    def _new_slot(self, x: Array) -> int:
        self.slots[id(x)] = len(self.slots)
        self._alive.append(x)
        return self.slots[id(x)]

    def owns(self, x: Array) -> bool:
        return id(x) in self.slots

    def refresh(self, refresh: Callable[[], object], since: int) -> None:
        self.refreshers.setdefault(since, []).append((len(self.steps), refresh))

    def keep_gradient(self, leaf: Any, gradient: Array) -> None:
        if id(gradient) in self.slots:
            self.gradients[leaf] = self.slots[id(gradient)]

    def finish(self, result: Any) -> None:
        """The step is over: note which slots it is done with after each call, and forget the arrays."""
        kept = {*self.gradients.values(), *(self.slots[i] for i in _ids(result) if i in self.slots)}
        last: dict[int, int] = {}
        for number, call in enumerate(self.steps):
            read = [slot for _, s in call.holes for slot in (s if isinstance(s, list) else (s,)) if type(slot) is int]
            last.update(dict.fromkeys((*call.results, *read), number))
        for slot, number in last.items():
            if slot not in kept:
                self.steps[number].dead += (slot,)
        self._alive.clear()


class HostStep:
    """A function of arrays that makes the same calls of kernels at every call; see :func:`capture`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._calls = 0
        self._like: list[Any] = []
        self._recording: _HostRecording | None = None
        self._result: Any = None
        self._size = 0

    def __call__(self, *inputs: Array) -> Any:
        """The function's result for ``inputs``."""
        if not all(arrays.is_array(x) for x in inputs):
            raise TypeError("capture: a captured step takes arrays; Python numbers are those of the function itself")
        if recording.is_active():  # a part of another captured step
            return self._function(*inputs)
        like = [(x.shape, x.dtype) for x in inputs]
        if self._recording is not None and like == self._like:
            return self._replay(inputs)
        self._calls += 1
        if self._calls >= 2 and self._recording is None:  # the first call made what the step keeps, e.g. moments
            self._like = like
            return self._record(inputs)
        return self._function(*inputs)

    def _record(self, inputs: tuple[Array, ...]) -> Any:
        kept = _HostRecording(inputs)
        recording.begin(kept)
        try:
            with interception(kept.tell):
                result = self._function(*inputs)
        finally:
            recording.end()
        self._result = _template(result, kept.slots)
        self._size = len(kept.slots)
        kept.finish(result)
        self._recording = kept
        return result

    def _replay(self, inputs: tuple[Array, ...]) -> Any:
        kept = self._recording
        assert kept is not None
        values: list[Any] = [*inputs, *(None,) * (self._size - len(inputs))]
        draws = random.get_state()
        number, steps, refreshers = 0, kept.steps, kept.refreshers
        try:
            while True:
                for until, refresh in refreshers.get(number, ()):
                    number = self._refresh(refresh, number, until, values)
                if number == len(steps):
                    break
                call = steps[number]
                _store(call, call.function(*call.filled(values)), values)
                number += 1
        except BaseException:
            random.set_state(draws)
            raise
        for leaf, slot in kept.gradients.items():
            leaf.grad = values[slot]
        return _filled(self._result, values)

    def _refresh(self, refresh: Callable[[], object], number: int, until: int, values: list[Any]) -> int:
        """Call ``refresh``, whose ops are those from ``number`` to ``until`` with scalars of this step."""
        if number == until:  # it only advances what the host keeps
            refresh()
            return number
        assert self._recording is not None
        steps = self._recording.steps
        at = number

        def tell(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[[], Any]) -> Any:
            nonlocal at
            call = steps[at] if at < until else None
            if call is None or call.name != name or kwargs:
                raise RuntimeError("capture: the step that is replayed is not the step that was captured")
            result = call.function(*call.filled(values, list(args)))
            _store(call, result, values)
            at += 1
            return result

        with interception(tell):
            refresh()
        if at != until:
            raise RuntimeError("capture: the step that is replayed is not the step that was captured")
        return at


def _store(call: _Call, result: Any, values: list[Any]) -> None:
    if len(call.results) == 1:
        values[call.results[0]] = result
    else:
        for slot, value in zip(call.results, result or (), strict=True):
            values[slot] = value
    for slot in call.dead:
        values[slot] = None


class _Slot(int):
    """In a result: the array in a slot."""


class _TensorSlot(int):
    """In a result: the array in a slot, as a tensor."""


def _template(value: Any, slots: dict[int, int]) -> Any:
    """A step's result with slots in place of its arrays."""
    if isinstance(value, Tensor):
        return _TensorSlot(slots[id(value.data)]) if id(value.data) in slots else value
    if isinstance(value, (tuple, list)):
        return type(value)([_template(v, slots) for v in value])
    if isinstance(value, dict):
        return {key: _template(v, slots) for key, v in value.items()}
    return _Slot(slots[id(value)]) if arrays.is_array(value) and id(value) in slots else value


def _filled(template: Any, values: list[Any]) -> Any:
    if isinstance(template, _TensorSlot):
        return Tensor(values[template])
    if isinstance(template, _Slot):
        return values[template]
    if isinstance(template, (tuple, list)):
        return type(template)([_filled(t, values) for t in template])
    if isinstance(template, dict):
        return {key: _filled(t, values) for key, t in template.items()}
    return template


def _ids(value: Any) -> list[int]:
    if isinstance(value, Tensor):
        return [id(value.data)]
    if isinstance(value, dict):
        return _ids(list(value.values()))
    if isinstance(value, (tuple, list)):
        return [i for v in value for i in _ids(v)]
    return [id(value)]
