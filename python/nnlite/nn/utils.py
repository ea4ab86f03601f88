"""Gradients clipped, and parameters as one vector, with PyTorch's names.

The norm of one gradient ``g`` is ``sqrt(Sum(g g))``, ``Sum(|g|)`` or the largest ``|g|``, with products and the ``Sum``
of docs/numerics.md, section 4, in the type of ``g``. Norms are put together in binary64, in the order of the
parameters: ``sqrt`` of the sum of the sums of squares, the sum, the largest. So they have the same bits on every
backend. Clipping asks for numbers, and so cannot be part of a captured step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .. import arguments, arrays, recording
from ..arrays import Array
from ..backend import ops
from ..tensor import Parameter, Tensor

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "vector_to_parameters",
]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale the gradients of ``parameters`` so that the norm of all of them together is at most ``max_norm``.

    Each gradient is multiplied by ``min(1, max_norm / (norm + 1e-6))``, computed in binary64 and rounded to its type
    (Pascanu, Mikolov and Bengio 2013, in PyTorch's form). With a norm that is NaN every gradient becomes NaN, with an
    infinite one 0, or NaN where it was infinite.

    Args:
        parameters: parameters, or one; those without a gradient are left out.
        max_norm: the largest norm; at least 0.
        norm_type: 2, 1 or ``math.inf``.
        error_if_nonfinite: whether a norm that is infinite or NaN is an error.

    Returns:
        the norm before, a tensor of one number; 0 if there are no gradients.

    Raises:
        TypeError, ValueError: an argument makes no sense.
        RuntimeError: the norm is infinite or NaN and ``error_if_nonfinite``; the gradients are as before.
    """
    own = _list("clip_grad_norm_", parameters)
    largest = arguments.number("clip_grad_norm_: max_norm", max_norm)
    total = get_total_norm([p.grad for p in own if p.grad is not None], norm_type, error_if_nonfinite)
    clip_grads_with_norm_(own, largest, total)
    return total


def get_total_norm(
    tensors: Tensor | Array | Iterable[Tensor | Array], norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """The norm of all elements of ``tensors`` together: ``get_total_norm([p.grad for p in model.parameters()])``.

    Args:
        tensors: tensors or arrays, or one.
        norm_type: 2, 1 or ``math.inf``.
        error_if_nonfinite: whether a norm that is infinite or NaN is an error.

    Returns:
        a tensor of one number, of the type of the first tensor; 0 if there are none.

    Raises:
        TypeError, ValueError: an argument makes no sense.
        RuntimeError: the norm is infinite or NaN and ``error_if_nonfinite``.
    """
    recording.refuse("get_total_norm")
    given = [tensors] if isinstance(tensors, Tensor) or arrays.is_array(tensors) else list(tensors)
    own = [x.data if isinstance(x, Tensor) else x for x in given]
    for i, x in enumerate(own):
        if not arrays.is_array(x) or x.dtype.kind != "f":
            raise TypeError(f"get_total_norm: tensors[{i}] must be a Tensor or an array, got {arrays.what_is(x)}")
    kind = arguments.number("get_total_norm: norm_type", norm_type) if norm_type != math.inf else math.inf
    if kind not in _NORMS:
        raise ValueError(f"get_total_norm: norm_type must be 1, 2 or math.inf, got {norm_type}")
    of_one, of_all = _NORMS[kind]
    total = of_all([float(of_one(x).item()) for x in own if x.size])
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(
            f"get_total_norm: the norm is {total}; look for the gradient that is not finite, or write "
            "error_if_nonfinite=False"
        )
    with np.errstate(over="ignore"):
        return Tensor(np.array(total, own[0].dtype if own else np.float32))


def clip_grads_with_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor | float) -> None:
    """Scale the gradients of ``parameters`` by ``min(1, max_norm / (total_norm + 1e-6))``; see :func:`clip_grad_norm_`.

    Args:
        parameters: parameters, or one; those without a gradient are left out.
        max_norm: the largest norm; at least 0.
        total_norm: what :func:`get_total_norm` returned.
    """
    recording.refuse("clip_grads_with_norm_")
    factor = arguments.number("clip_grads_with_norm_: max_norm", max_norm) / (float(total_norm) + 1e-6)
    if factor < 1.0 or math.isnan(factor):
        for p in _list("clip_grads_with_norm_", parameters):
            if p.grad is not None:  # a new array: two parameters may have been given the same one
                p.grad = ops(p.grad).multiply(p.grad, arrays.full_like(p.grad, factor))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Put each element of the gradients that is outside ``[-clip_value, clip_value]`` on its border; NaN stays.

    Args:
        parameters: parameters, or one; those without a gradient are left out.
        clip_value: at least 0; rounded to the type of each gradient.
    """
    recording.refuse("clip_grad_value_")
    border = arguments.number("clip_grad_value_: clip_value", clip_value)
    for p in _list("clip_grad_value_", parameters):
        if p.grad is not None:
            most = p.grad.dtype.type(border)
            p.grad = arrays.put(np.clip(arrays.to_numpy(p.grad), -most, most), p.grad)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """A copy of all parameters, one after the other, as one vector. No gradient flows through it.

    Raises:
        ValueError: there are no parameters.
        TypeError: they have different dtypes.
    """
    own = _list("parameters_to_vector", parameters)
    if not own:
        raise ValueError("parameters_to_vector: there are no parameters")
    _check_dtypes("parameters_to_vector", own, own[0].dtype)
    joined = np.concatenate([arrays.to_numpy(p.data).reshape(-1) for p in own])
    return Tensor(arrays.put(joined, own[0].data))


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy ``vec``, as :func:`parameters_to_vector` makes it, into the parameters.

    Raises:
        TypeError: ``vec`` is no tensor, or has another dtype.
        ValueError: it is no vector, or has another number of elements. Nothing is changed.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: vec must be a Tensor, got {arrays.what_is(vec)}")
    own = _list("vector_to_parameters", parameters)
    n = sum(int(p.size) for p in own)
    if vec.shape != (n,):
        raise ValueError(f"vector_to_parameters: vec must have shape ({n},), as the parameters have, got {vec.shape}")
    _check_dtypes("vector_to_parameters", own, vec.dtype)
    values, start = arrays.to_numpy(vec.data), 0
    for p in own:
        end = start + int(p.size)
        if isinstance(p, Parameter):
            p._version += 1
        arrays.assign(p.data, arrays.put(np.array(values[start:end]).reshape(p.shape), p.data))
        start = end


def _list(name: str, parameters: Any) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        return [parameters]
    if hasattr(parameters, "parameters") or not isinstance(parameters, Iterable):
        advice = "; write model.parameters()" if hasattr(parameters, "parameters") else ""
        raise TypeError(f"{name}: parameters must be Parameters, got {arrays.what_is(parameters)}{advice}")
    own = list(parameters)
    for i, p in enumerate(own):
        if not isinstance(p, Tensor):
            raise TypeError(f"{name}: parameters[{i}] must be a Parameter, got {arrays.what_is(p)}")
    return own


def _check_dtypes(name: str, own: Sequence[Tensor], dtype: np.dtype[Any]) -> None:
    for i, p in enumerate(own):
        if p.dtype != dtype:
            raise TypeError(
                f"{name}: parameters[{i}] is {p.dtype}, but {dtype} is expected; model.float() makes them one"
            )


def _sum_of_squares(x: Array) -> Array:
    kernels = ops(x)
    squares: Array = kernels.sum_forward(kernels.multiply(x, x))
    return squares


def _sum_of_magnitudes(x: Array) -> Array:
    kernels = ops(x)
    magnitudes: Array = kernels.add(kernels.relu_forward(x), kernels.relu_forward(kernels.negative(x)))
    total: Array = kernels.sum_forward(magnitudes)
    return total


def _largest(x: Array) -> Array:
    return np.asarray(np.max(np.abs(arrays.to_numpy(x))))


def _in_order(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def _max(values: list[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else max(values, default=0.0)


# norm_type -> what is taken of one array, and how these are put together.
_NORMS: dict[float, tuple[Callable[[Array], Array], Callable[[list[float]], float]]] = {
    2.0: (_sum_of_squares, lambda values: math.sqrt(_in_order(values))),
    1.0: (_sum_of_magnitudes, _in_order),
    math.inf: (_largest, _max),
}
