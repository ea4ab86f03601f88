"""Initialisers in place, with PyTorch's names: ``nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")``.

Each fills the tensor that it is given, a parameter above all, and returns it. Random numbers are draws of stream 0 of
the specified generator (docs/numerics.md, section 10), so the same seed gives the same weights on every machine; they
are other numbers than PyTorch's, of the same distributions. Nothing is drawn for a tensor without elements.

``fan_in`` is ``shape[1]`` times the size of the window ``shape[2:]``, ``fan_out`` is ``shape[0]`` times it.

Raises:
    TypeError: the tensor is none.
    RuntimeError: the tensor is the result of an op.
    ValueError: its shape, or another argument, does not fit. The tensor is as before.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from .. import arguments, arrays, random
from .. import init as draws
from ..arrays import Array
from ..backend import ops
from ..rounding import require_nearest
from ..tensor import Parameter, Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_T = TypeVar("_T", bound=Tensor)
_LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The gain that goes with a nonlinearity.

    1 for ``"linear"``, ``"conv2d"`` and their like and ``"sigmoid"``; 5/3 for ``"tanh"``; ``sqrt(2)`` for ``"relu"``;
    ``sqrt(2 / (1 + param^2))`` for ``"leaky_relu"``, with a slope ``param`` of 0.01 if ``None``; 3/4 for ``"selu"``.

    Raises:
        ValueError: there is no gain for this nonlinearity.
    """
    if nonlinearity in _LINEAR or nonlinearity == "sigmoid":
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else arguments.number("calculate_gain: param", param, -math.inf)
        return math.sqrt(2.0 / (1 + slope * slope))
    if nonlinearity == "selu":
        return 3.0 / 4
    known = ", ".join((*_LINEAR, "sigmoid", "tanh", "relu", "leaky_relu", "selu"))
    raise ValueError(f"calculate_gain: nonlinearity must be one of {known}, got {nonlinearity!r}")


def constant_(tensor: _T, val: float) -> _T:
    """Every element ``val``."""
    return _put(tensor, np.full(_shape("constant_", tensor), float(val)))


def zeros_(tensor: _T) -> _T:
    """Every element 0."""
    return _put(tensor, np.zeros(_shape("zeros_", tensor)))


def ones_(tensor: _T) -> _T:
    """Every element 1."""
    return _put(tensor, np.ones(_shape("ones_", tensor)))


def eye_(tensor: _T) -> _T:
    """The identity: 1 where row and column are equal, 0 elsewhere. The tensor has 2 dimensions."""
    rows, columns = _shape("eye_", tensor, matrix=True)
    return _put(tensor, np.eye(rows, columns))


def dirac_(tensor: _T, groups: int = 1) -> _T:
    """A convolution's weight that passes channels on: 1 in the middle of the window from channel i to channel i.

    Args:
        tensor: ``(out, in, ...)`` of 3 to 5 dimensions.
        groups: the parts that the output channels are divided into, each of which passes on channels from 0.
    """
    shape = _shape("dirac_", tensor)
    if len(shape) not in (3, 4, 5):
        raise ValueError(f"dirac_: the tensor must have 3, 4 or 5 dimensions (out, in, ...), got shape {shape}")
    arguments.size("dirac_: groups", groups)
    if shape[0] % groups:
        raise ValueError(f"dirac_: groups must divide the {shape[0]} output channels, got {groups}")
    values = np.zeros(shape)
    each = shape[0] // groups
    for out in range(shape[0]):
        if out % each < shape[1]:
            values[(out, out % each, *(n // 2 for n in shape[2:]))] = 1.0
    return _put(tensor, values)


def uniform_(tensor: _T, a: float = 0.0, b: float = 1.0) -> _T:
    """Uniform in ``[a, b)``."""
    shape = _shape("uniform_", tensor)
    low = arguments.number("uniform_: a", a, -math.inf)
    high = arguments.number("uniform_: b", b, -math.inf)
    if low > high:
        raise ValueError(f"uniform_: a must be at most b, got a={a} and b={b}")
    return _uniform(tensor, shape, low, high)


def normal_(tensor: _T, mean: float = 0.0, std: float = 1.0) -> _T:
    """Normal of the given mean and standard deviation."""
    shape = _shape("normal_", tensor)
    mean = arguments.number("normal_: mean", mean, -math.inf)
    return _normal(tensor, shape, mean, arguments.number("normal_: std", std))


def trunc_normal_(tensor: _T, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> _T:
    """Normal of the given mean and standard deviation (of the distribution as if not cut off), within ``[a, b]``.

    By rejection: where more than 0.3 of the distribution is in ``[a, b]``, the whole tensor is drawn from it again and
    again, and elements outside take the next draw's. Elsewhere candidates are uniform in ``[a, b]``, as far as the
    density is at least ``2^-64`` of its highest, and each is accepted with the probability that its density has to the
    highest; both draws of a round are of the whole tensor.
    """
    shape = _shape("trunc_normal_", tensor)
    mean = arguments.number("trunc_normal_: mean", mean, -math.inf)
    std = arguments.number("trunc_normal_: std", std, above=True)
    a, b = (arguments.number(f"trunc_normal_: {name}", x, -math.inf) for name, x in (("a", a), ("b", b)))
    if a >= b:
        raise ValueError(f"trunc_normal_: a must be below b, got a={a} and b={b}")
    if tensor.size == 0:
        return tensor
    low, high = (a - mean) / std, (b - mean) / std
    dtype = tensor.dtype.type
    if _part_of_normal(low, high) > 0.3:
        values = draws.normal(shape, mean, std, dtype)
        while (out := (values < dtype(a)) | (values > dtype(b))).any():
            values = np.where(out, draws.normal(shape, mean, std, dtype), values)
        return _put(tensor, values)
    peak = min(max(low, 0.0), high)
    reach = math.sqrt(peak * peak + 90.0)
    low, high = max(low, -reach), min(high, reach)
    values, missing = np.zeros(shape), np.ones(shape, np.bool_)
    while missing.any():
        z = draws.uniform(shape, low, high, np.float64)
        chance = ops().exp_forward(np.ascontiguousarray(0.5 * (peak * peak - z * z)))
        taken = missing & (draws.uniform(shape, 0.0, 1.0, np.float64) < chance)
        values, missing = np.where(taken, z, values), missing & ~taken
    return _put(tensor, np.clip((values * std + mean).astype(dtype), dtype(a), dtype(b)))


def xavier_uniform_(tensor: _T, gain: float = 1.0) -> _T:
    """Uniform in ``[-bound, bound)``, ``bound = gain sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010)."""
    shape = _shape("xavier_uniform_", tensor)
    gain = arguments.number("xavier_uniform_: gain", gain)
    bound = gain * math.sqrt(6.0 / max(1, sum(_fans("xavier_uniform_", shape))))
    return _uniform(tensor, shape, -bound, bound)


def xavier_normal_(tensor: _T, gain: float = 1.0) -> _T:
    """Normal with ``std = gain sqrt(2 / (fan_in + fan_out))`` (Glorot and Bengio 2010)."""
    shape = _shape("xavier_normal_", tensor)
    gain = arguments.number("xavier_normal_: gain", gain)
    std = gain * math.sqrt(2.0 / max(1, sum(_fans("xavier_normal_", shape))))
    return _normal(tensor, shape, 0.0, std)


def kaiming_uniform_(tensor: _T, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> _T:
    """Uniform in ``[-bound, bound)``, ``bound = sqrt(3) gain / sqrt(fan)`` (He et al. 2015).

    Args:
        tensor: ``(out, in, ...)``.
        a: the slope of ``"leaky_relu"``.
        mode: which fan: ``"fan_in"`` keeps the variance of the forward pass, ``"fan_out"`` that of the backward pass.
        nonlinearity: what :func:`calculate_gain` gives the gain of.
    """
    shape = _shape("kaiming_uniform_", tensor)
    bound = math.sqrt(3.0) * _kaiming_std("kaiming_uniform_", shape, a, mode, nonlinearity)
    return _uniform(tensor, shape, -bound, bound)


def kaiming_normal_(tensor: _T, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> _T:
    """Normal with ``std = gain / sqrt(fan)`` (He et al. 2015). Arguments as in :func:`kaiming_uniform_`."""
    shape = _shape("kaiming_normal_", tensor)
    std = _kaiming_std("kaiming_normal_", shape, a, mode, nonlinearity)
    return _normal(tensor, shape, 0.0, std)


def orthogonal_(tensor: _T, gain: float = 1) -> _T:
    """Orthonormal rows, or columns where there are more rows, times ``gain`` (Saxe et al. 2013), uniformly distributed.

    The shape is ``(rows, ...)``; what follows the first dimension counts as columns. Normal vectors in float64 are made
    orthonormal one after the other by the Gram-Schmidt process, twice each: the inner products are ``gemm`` of the
    backend and so specified; no LAPACK takes part. The result is rounded once to the tensor's dtype.
    """
    shape = _shape("orthogonal_", tensor)
    if len(shape) < 2:
        raise ValueError(f"orthogonal_: the tensor must have at least 2 dimensions (rows, columns), got shape {shape}")
    factor = arguments.number("orthogonal_: gain", gain, -math.inf)
    if tensor.size == 0:
        return tensor
    rows, columns = shape[0], math.prod(shape[1:])
    q = _orthonormal_rows(draws.normal((min(rows, columns), max(rows, columns)), 0.0, 1.0, np.float64))
    return _put(tensor, factor * (q if rows <= columns else q.T).reshape(shape))


def sparse_(tensor: _T, sparsity: float, std: float = 0.01) -> _T:
    """Normal with mean 0, and ``ceil(sparsity rows)`` elements of each column, by a permutation of its own, 0.

    Args:
        tensor: of 2 dimensions (Martens 2010).
        sparsity: the part of each column that is 0, from 0 to 1.
        std: the standard deviation of the others.
    """
    rows, columns = shape = _shape("sparse_", tensor, matrix=True)
    zeros = math.ceil(arguments.number("sparse_: sparsity", sparsity, 0.0, 1.0) * rows)
    std = arguments.number("sparse_: std", std)
    if tensor.size == 0:
        return tensor
    values = draws.normal(shape, 0.0, std, tensor.dtype)
    for column in range(columns):
        values[random.permutation(rows, random.INITIALISATION)[:zeros], column] = 0
    return _put(tensor, values)


def _shape(name: str, tensor: Any, matrix: bool = False) -> tuple[int, ...]:
    """The tensor's shape, if it is one that may be filled."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: tensor must be a Parameter or a Tensor, got {arrays.what_is(tensor)}")
    if tensor._node is not None:
        raise RuntimeError(f"{name}: the tensor {tensor.shape} is the result of an op; fill what it is made of")
    if matrix and tensor.ndim != 2:
        raise ValueError(f"{name}: the tensor must have 2 dimensions (rows, columns), got shape {tensor.shape}")
    return tensor.shape


def _put(tensor: _T, values: Array) -> _T:
    values = np.ascontiguousarray(values, tensor.dtype)
    if isinstance(tensor, Parameter):
        tensor._version += 1
    arrays.assign(tensor.data, arrays.put(values.reshape(tensor.shape), tensor.data))
    return tensor


def _uniform(tensor: _T, shape: tuple[int, ...], low: float, high: float) -> _T:
    return _put(tensor, draws.uniform(shape, low, high, tensor.dtype)) if tensor.size else tensor


def _normal(tensor: _T, shape: tuple[int, ...], mean: float, std: float) -> _T:
    return _put(tensor, draws.normal(shape, mean, std, tensor.dtype)) if tensor.size else tensor


def _fans(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 2:
        raise ValueError(f"{name}: the tensor must have at least 2 dimensions (out, in, ...), got shape {shape}")
    return draws.fans(shape)


def _kaiming_std(name: str, shape: tuple[int, ...], a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan_in, fan_out = _fans(name, shape)
    return calculate_gain(nonlinearity, a) / math.sqrt(max(1, fan_in if mode == "fan_in" else fan_out))


def _part_of_normal(low: float, high: float) -> float:
    """How much of the standard normal distribution is in ``[low, high]``: the midpoint rule with 1,000 points."""
    low, high = max(low, -9.0), min(high, 9.0)
    if low >= high:
        return 0.0
    width = (high - low) / 1000
    z = low + width * (np.arange(1000) + 0.5)
    density = ops().exp_forward(-0.5 * (z * z))
    return float(ops().sum_forward(density)) * width * 0.3989422804014327  # 1 / sqrt(2 pi)


def _orthonormal_rows(x: Array) -> Array:
    """The rows of ``x``, made orthonormal one after the other. Two passes leave only errors of a rounding."""
    require_nearest("orthogonal_")
    gemm = ops().gemm
    for i in range(len(x)):
        row = np.array(x[i : i + 1])
        for _ in range(2 if i else 0):
            row = row - gemm(gemm(row, x[:i], False, True), x[:i])
        x[i] = row[0] / math.sqrt(gemm(row, row, False, True)[0, 0])
    return x
