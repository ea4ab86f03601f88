"""``nl.summary``: a model's layers with shapes, parameters and work, without computing anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import observe, random, table
from .nn.module import Module
from .recorder import interception
from .shapes import Spec
from .tape import no_grad
from .tensor import Tensor

# Products of two numbers that an op adds up; every other op has none.
_MULTIPLY_ADDS: dict[str, Callable[[Spec, dict[str, Any]], int]] = {
    "gemm": lambda y, given: y.size * given["a"].size // max(y.shape[0], 1),
    "linear_forward": lambda y, given: y.size * given["weight"].shape[1],
    "conv2d_forward": lambda y, given: y.size * (given["weight"].size // max(given["weight"].shape[0], 1)),
}


class LayerRow(NamedTuple):
    """One layer: its path and type, the shape of its output, and what it costs for the given input."""

    path: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    bytes: int


class Summary(NamedTuple):
    """The layers of a model in the order in which they compute; ``str()`` is a table."""

    layers: list[LayerRow]
    parameters: int
    multiply_adds: int
    bytes: int

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("layer", "type", "output shape", "parameters", "multiply-adds", "bytes")]
        for row in self.layers:
            counts = (f"{n:,}" for n in (row.parameters, row.multiply_adds, row.bytes))
            rows.append((row.path or "-", row.type, str(row.output_shape), *counts))
        rows.append(("total", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}", f"{self.bytes:,}"))
        head, *lines, total = table.text(rows, left=3)
        rule = "-" * max(map(len, (head, *lines, total)))
        return "\n".join([head, rule, *lines, rule, total])


class _Rows(observe.Observer):
    def __init__(self) -> None:
        self.rows: list[LayerRow] = []
        self.work = 0
        self._started: list[int] = []
        self._counted: set[int] = set()

    def enter(self, path: str, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._started.append(self.work)

    def leave(self, path: str, module: Module, result: Any) -> None:
        work = self.work - self._started.pop()
        if not observe.is_leaf(module):
            return
        first = result[0] if isinstance(result, tuple) else result
        data = first.data if isinstance(first, Tensor) else first
        new = [p for p in module.parameters() if id(p) not in self._counted]
        self._counted.update(map(id, new))
        self.rows.append(LayerRow(path, type(module).__name__, data.shape, sum(p.size for p in new), work, data.nbytes))

    def tell(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[[], Any]) -> Any:
        from .program import parameters_of

        result = run()
        count = _MULTIPLY_ADDS.get(name)
        if count is not None:
            self.work += count(result, dict(zip(parameters_of(name), args, strict=False)) | kwargs)
        return result


def summary(model: Module, *input_shapes: Sequence[int], dtype: npt.DTypeLike = np.float32) -> Summary:
    """Layers, output shapes, parameters, multiply-adds and bytes of a model, for inputs of the given shapes.

    Nothing is computed and no memory is taken: the ops only check their arguments and say what their results look like.
    The model is looked at in evaluation mode and left as it was.

    Args:
        model: any module.
        input_shapes: the shape of each input, batch included: ``nl.summary(model, (64, 1, 28, 28))``.
        dtype: of the inputs.

    Returns:
        the rows as data; ``print`` shows a table. Bytes are those of a layer's output, a shared parameter counts once.

    Raises:
        ValueError: a layer cannot take what the one before gives; the message names the layer.
    """
    rows = _Rows()
    modes = [(module, module.training) for module in model.modules()]
    draws = random.get_state()
    try:
        model.eval()
        with no_grad(), observe.watching(rows), interception(rows.tell):
            model(*(Spec(tuple(shape), dtype) for shape in input_shapes))
    finally:
        for module, training in modes:
            module.training = training
        random.set_state(draws)
    parameters = sum(p.size for p in model.parameters())
    return Summary(rows.rows, parameters, rows.work, sum(row.bytes for row in rows.rows))
