"""Programs: the ops of the reference that some code ran, written down with their arguments.

A program is data. Its steps name ops of :mod:`nnlite.reference`; their arrays are numbered *slots*: inputs, state
(weights, with the names that the model gives them) and results. It runs on any backend with the same bits, and without
the code that made it. A file of one is untrusted input: it can name nothing but ops, and every argument is checked by
the op's signature before anything runs.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import arrays, files
from .arrays import Array
from .backend import module_named, ops

_MOST_STEPS = 100_000
_LARGEST_ARRAY = 1 << 34  # elements of one result


class ProgramError(ValueError):
    """A program, or a file of one, cannot be run; the message names the step."""


class Ref(NamedTuple):
    """The array in a slot, as an argument of a step."""

    slot: int


class ShapeOf(NamedTuple):
    """The shape of the array in a slot, as an argument of a step: it follows the batch."""

    slot: int


class Slot(NamedTuple):
    """Where an array of a program lies: an ``input``, a ``state`` or a ``result``, with shape and dtype as recorded."""

    kind: str
    name: str
    shape: tuple[int, ...]
    dtype: str


class Step(NamedTuple):
    """One op that ran, its arguments by name, the slots of its results, and the path of the module that it is of."""

    op: str
    arguments: dict[str, Any]
    results: tuple[int, ...]
    path: str


class Program:
    """Ops with plain arguments; see :func:`nnlite.record`.

    Attributes:
        slots: every array of the program.
        steps: the ops in their order.
        state: the arrays of ``state`` slots by name, as they were when the program began.
    """

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self.steps: list[Step] = []
        self.state: dict[str, Array] = {}

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs, in the order of their first use."""
        return [slot.name for slot in self.slots if slot.kind == "input"]

    @property
    def outputs(self) -> list[int]:
        """Slots of the results that no later step uses: what :meth:`run` returns. Second results do not count."""
        used = {slot for step in self.steps for slot in _slots_of(step.arguments)}
        return [step.results[0] for step in self.steps if step.results and step.results[0] not in used]

    def run(self, *inputs: Array, backend: str | None = None, state: dict[str, Array] | None = None) -> Any:
        """Run the program on other inputs.

        Args:
            inputs: an array for each of :attr:`inputs`, of the recorded dtype and shape; axis 0, the batch, may have
                another size, unless the program has counted the batch (as an update of running statistics does).
            backend: name of a backend; else the one that runs, or that of the inputs' device.
            state: arrays to start from, by name, which the program's updates change; else copies of :attr:`state`.

        Returns:
            the array of the one output, or a tuple of arrays: see :attr:`outputs`.

        Raises:
            TypeError, ValueError: the inputs do not fit; nothing has run.
        """
        self._check_inputs(inputs)
        module = module_named(backend) if backend is not None else ops(inputs[0] if inputs else None)
        values: list[Any] = [None] * len(self.slots)
        given = iter(inputs)
        for i, slot in enumerate(self.slots):
            if slot.kind == "input":
                values[i] = next(given)
            elif slot.kind == "state":
                values[i] = self._state_of(slot, state, inputs)
        last_use = self._last_use()
        for number, step in enumerate(self.steps):
            result = getattr(module, step.op)(**{k: _decoded(v, values) for k, v in step.arguments.items()})
            for slot_number, value in zip(
                step.results, result if isinstance(result, tuple) else (result,), strict=False
            ):
                values[slot_number] = value
            for slot_number in last_use.get(number, ()):
                values[slot_number] = None
        outputs = tuple(values[i] for i in self.outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def _state_of(self, slot: Slot, state: dict[str, Array] | None, inputs: Sequence[Array]) -> Array:
        if state is None:
            value = self.state[slot.name]
            value = value if self._is_pure else value.copy()
        elif slot.name not in state:
            raise ValueError(f"run: state lacks {slot.name!r}")
        else:
            value = state[slot.name]
            if value.shape != slot.shape or value.dtype != slot.dtype:
                raise ValueError(
                    f"run: state {slot.name!r} is {value.dtype} of shape {value.shape}, but the program has "
                    f"{slot.dtype} of shape {slot.shape}"
                )
        return arrays.put(value, inputs[0]) if inputs and arrays.device_of(inputs[0]) != "cpu" else value

    def _check_inputs(self, inputs: Sequence[Array]) -> None:
        expected = [slot for slot in self.slots if slot.kind == "input"]
        if len(inputs) != len(expected):
            raise TypeError(f"run: the program has {len(expected)} inputs {tuple(self.inputs)}, got {len(inputs)}")
        same = True
        for x, slot in zip(inputs, expected, strict=True):
            if not arrays.is_array(x):
                raise TypeError(f"run: {slot.name} must be a numpy.ndarray, got {type(x).__name__}")
            if x.dtype != slot.dtype:
                raise TypeError(f"run: {slot.name} must be {slot.dtype}, got {x.dtype}")
            if x.ndim != len(slot.shape) or x.shape[1:] != slot.shape[1:]:
                free = ("N", *map(str, slot.shape[1:])) if slot.shape else ()
                raise ValueError(f"run: {slot.name} must have shape ({', '.join(free)}), got {x.shape}")
            same = same and x.shape == slot.shape
        if same:
            return
        if self._counts_batch:
            raise ValueError("run: the program has counted the batch; run it with inputs of the recorded shapes")
        self.check([x.shape for x in inputs])

    @functools.cached_property
    def _is_pure(self) -> bool:
        """Whether no step changes state in place."""
        return all(step.results for step in self.steps)

    @functools.cached_property
    def _counts_batch(self) -> bool:
        return any("count" in step.arguments for step in self.steps)

    def _last_use(self) -> dict[int, list[int]]:
        """Slots of results that no step after the numbered one uses, and that are no outputs."""
        last: dict[int, int] = {}
        for number, step in enumerate(self.steps):
            for slot in (*step.results, *_slots_of(step.arguments)):
                last[slot] = number
        kept = set(self.outputs)
        dead: dict[int, list[int]] = {}
        for slot, number in last.items():
            if slot not in kept:
                dead.setdefault(number, []).append(slot)
        return dead

    def check(self, input_shapes: Sequence[tuple[int, ...]] | None = None) -> list[Slot]:
        """Run the signatures of all steps, without arithmetic or memory.

        Args:
            input_shapes: shapes of the inputs; else those recorded.

        Returns:
            the slots with the shapes that they have then.

        Raises:
            ProgramError: a step names no op, lacks an argument, has one that does not fit, or has other results.
        """
        from . import shapes

        values: list[Any] = [None] * len(self.slots)
        wanted = iter(input_shapes or [slot.shape for slot in self.slots if slot.kind == "input"])
        for i, slot in enumerate(self.slots):
            if slot.kind != "result":
                values[i] = shapes.Spec(next(wanted) if slot.kind == "input" else slot.shape, slot.dtype)
        for number, step in enumerate(self.steps):
            where = f"step {number} ({step.op})"
            try:
                result = getattr(shapes, step.op)(**{k: _decoded(v, values) for k, v in step.arguments.items()})
            except (TypeError, ValueError, AttributeError, OverflowError) as error:
                raise ProgramError(f"{where}: {error}") from error
            results = () if result is None else result if isinstance(result, tuple) else (result,)
            if len(results) != len(step.results):
                raise ProgramError(f"{where}: has {len(step.results)} results, but the op has {len(results)}")
            for slot_number, value in zip(step.results, results, strict=True):
                if value.size > _LARGEST_ARRAY:
                    raise ProgramError(
                        f"{where}: a result of shape {value.shape} has more than {_LARGEST_ARRAY} elements"
                    )
                values[slot_number] = value
        return [
            slot if value is None else slot._replace(shape=value.shape, dtype=value.dtype.name)
            for slot, value in zip(self.slots, values, strict=True)
        ]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the program and its state to one safetensors file, which :func:`nnlite.load_program` reads.

        Raises:
            ValueError: an argument is not finite, which JSON cannot say.
        """
        content = {
            "slots": [[slot.kind, slot.name, list(slot.shape), slot.dtype] for slot in self.slots],
            "steps": [
                [step.op, {k: _to_json(v) for k, v in step.arguments.items()}, list(step.results), step.path]
                for step in self.steps
            ],
        }
        json.dumps(content, allow_nan=False)
        files.save(self.state, path, {"program": content})

    def to_dot(self) -> str:
        """The computation graph as Graphviz text: ops as boxes, arrays with their shapes on the arrows."""
        lines = ["digraph program {", '  rankdir="TB";', '  node [shape=box, fontname="monospace"];']
        made: dict[int, str] = {}
        for i, slot in enumerate(self.slots):
            if slot.kind != "result":
                made[i] = f"s{i}"
                style = "ellipse" if slot.kind == "input" else "cylinder"
                lines.append(f"  s{i} [shape={style}, label={_quoted(f'{slot.name}{slot.shape}')}];")
        for number, step in enumerate(self.steps):
            label = step.op + (f"\n{step.path}" if step.path else "")
            lines.append(f"  o{number} [label={_quoted(label)}];")
            for i in _slots_of(step.arguments):
                lines.append(f"  {made[i]} -> o{number} [label={_quoted(str(self.slots[i].shape))}];")
            for i in step.results:
                made[i] = f"o{number}"
        for i in self.outputs:
            lines.append(f"  out{i} [shape=ellipse, label={_quoted(f'output{self.slots[i].shape}')}];")
            lines.append(f"  {made[i]} -> out{i};")
        return "\n".join([*lines, "}"]) + "\n"

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"Program({len(self.steps)} steps, inputs {', '.join(self.inputs) or 'none'})"

    def __str__(self) -> str:
        lines = [f"{slot.name}: {slot.dtype}{slot.shape}" for slot in self.slots if slot.kind != "result"]
        for step in self.steps:
            arguments = ", ".join(f"{k}={self._shown(v)}" for k, v in step.arguments.items())
            results = ", ".join(self.slots[i].name for i in step.results)
            call = f"{step.op}({arguments})"
            lines.append((f"{results} = " if results else "") + call + (f"    # {step.path}" if step.path else ""))
        return "\n".join(lines)

    def _shown(self, value: Any) -> str:
        if isinstance(value, Ref):
            return self.slots[value.slot].name
        if isinstance(value, ShapeOf):
            return f"{self.slots[value.slot].name}.shape"
        if isinstance(value, list):
            return f"[{', '.join(self._shown(v) for v in value)}]"
        return repr(value)


def load_program(path: str | os.PathLike[str]) -> Program:
    """Read a program that :meth:`Program.save` wrote; its file may be anybody's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no sound safetensors file.
        ProgramError: it holds no program, or one that cannot be right; the message names the place.
    """
    state = files.load(path)
    content = files.load_metadata(path).get("program")
    if not isinstance(content, dict) or content.keys() != {"slots", "steps"}:
        raise ProgramError(f"{os.fspath(path)!s} holds no program")
    program = Program()
    program.slots = [_slot(value, f"slot {i}") for i, value in enumerate(_list(content["slots"], "slots"))]
    made = {i for i, slot in enumerate(program.slots) if slot.kind != "result"}
    for number, value in enumerate(_list(content["steps"], "steps")):
        step = _step(value, f"step {number}", made, program.slots)
        program.steps.append(step)
        made.update(step.results)
    for slot in program.slots:
        if slot.kind != "state":
            continue
        if slot.name not in state:
            raise ProgramError(f"state {slot.name!r} is missing")
        x = state[slot.name]
        if x.shape != slot.shape or x.dtype != slot.dtype:
            raise ProgramError(f"state {slot.name!r} is {x.dtype} of shape {x.shape}, not {slot.dtype} of {slot.shape}")
        program.state[slot.name] = x
    extra = sorted(state.keys() - program.state.keys())
    if extra:
        raise ProgramError(f"tensor {extra[0]!r} belongs to no slot")
    program.slots = program.check()
    return program


@functools.cache
def parameters_of(op: str) -> Mapping[str, inspect.Parameter]:
    """The parameters of an op of the reference, by name."""
    from . import reference

    return inspect.signature(getattr(reference, op)).parameters


def _slots_of(arguments: Mapping[str, Any]) -> Iterator[int]:
    for value in arguments.values():
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, (Ref, ShapeOf)):
                yield item.slot


def _decoded(value: Any, values: list[Any]) -> Any:
    if isinstance(value, Ref):
        return values[value.slot]
    if isinstance(value, ShapeOf):
        return values[value.slot].shape
    if isinstance(value, list):
        return [values[item.slot] for item in value]
    return value


def _to_json(value: Any) -> Any:
    if isinstance(value, Ref):
        return {"slot": value.slot}
    if isinstance(value, ShapeOf):
        return {"shape_of": value.slot}
    if isinstance(value, list):
        return [{"slot": item.slot} for item in value]
    return list(value) if isinstance(value, tuple) else value


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


# ------------------------------------------------------------------------------------------------- untrusted input


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > 10 * _MOST_STEPS:
        raise ProgramError(f"{where} must be a list of at most {10 * _MOST_STEPS} entries")
    return value


def _slot(value: object, where: str) -> Slot:
    if not isinstance(value, list) or len(value) != 4:
        raise ProgramError(f"{where} must have kind, name, shape and dtype")
    kind, name, shape, dtype = value
    if kind not in ("input", "state", "result"):
        raise ProgramError(f"{where}: kind must be input, state or result")
    if not isinstance(name, str) or len(name) > 1000:
        raise ProgramError(f"{where}: name must be a text of at most 1000 characters")
    if not isinstance(shape, list) or len(shape) > 32 or not all(_is_int(n) and 0 <= n < 1 << 60 for n in shape):
        raise ProgramError(f"{where}: shape must be a list of sizes")
    try:
        known = isinstance(dtype, str) and np.dtype(dtype).name == dtype and np.dtype(dtype).kind in "fiub"
    except TypeError:
        known = False
    if not known:
        raise ProgramError(f"{where}: dtype must be that of an array of numbers")
    return Slot(kind, name, tuple(shape), dtype)


def _step(value: object, where: str, made: set[int], slots: list[Slot]) -> Step:
    from . import reference

    if not isinstance(value, list) or len(value) != 4:
        raise ProgramError(f"{where} must have op, arguments, results and path")
    op, arguments, results, path = value
    if not isinstance(op, str) or op not in reference.__all__:
        raise ProgramError(f"{where}: op must be one of nnlite.reference")
    where = f"{where} ({op})"
    if not isinstance(path, str) or len(path) > 1000:
        raise ProgramError(f"{where}: path must be a text of at most 1000 characters")
    if not isinstance(arguments, dict):
        raise ProgramError(f"{where}: arguments must be an object")
    known = parameters_of(op)
    for name in arguments:
        if name not in known:
            raise ProgramError(f"{where}: the op has no argument {name[:80]!r}")
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise ProgramError(f"{where}: lacks the argument {name}")
    parsed = {name: _argument(arguments[name], f"{where}: {name}", made) for name in known if name in arguments}
    if not isinstance(results, list) or not all(
        _is_int(i) and 0 <= i < len(slots) and slots[i].kind == "result" and i not in made for i in results
    ):
        raise ProgramError(f"{where}: results must be slots of results that no earlier step has made")
    if len(set(results)) != len(results):
        raise ProgramError(f"{where}: results names a slot twice")
    return Step(op, parsed, tuple(results), path)


def _argument(value: Any, where: str, made: set[int]) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and len(value) <= 100:
        return value
    if isinstance(value, dict) and len(value) == 1:
        kind, slot = next(iter(value.items()))
        if kind in ("slot", "shape_of") and _is_int(slot):
            if slot not in made:
                raise ProgramError(f"{where}: slot {slot} has no array at this step")
            return Ref(slot) if kind == "slot" else ShapeOf(slot)
    if isinstance(value, list) and len(value) <= 10 * _MOST_STEPS:
        if all(_is_int(v) for v in value) and value:
            return tuple(value)
        items = [_argument(v, where, made) for v in value]
        if all(isinstance(v, Ref) for v in items):
            return items
    raise ProgramError(f"{where} is no argument that a program can have")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
