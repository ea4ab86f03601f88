"""Fully connected layer."""

from __future__ import annotations

from nnlite.reference import arith
from nnlite.reference.checks import Array, check, check_array, check_same_dtype, check_shape, check_size
from nnlite.reference.signature import Computation, Spec, define_op

__all__ = ["linear_backward_bias", "linear_backward_data", "linear_backward_weights", "linear_forward"]


@define_op
def linear_forward(x: Array, weight: Array, bias: Array | None = None) -> Computation[Array]:
    """Fully connected layer ``y[n, o] = Σ_i x[n, i] * weight[o, i] + bias[o]`` (numerics section 2).

    Args:
        x: ``(N, I)``.
        weight: ``(O, I)``.
        bias: ``(O,)`` or ``None``.

    Returns:
        y: ``(N, O)``.

    Raises:
        ValueError: the features of ``x`` and ``weight`` differ, or ``bias`` has another length than ``weight``.
    """
    op = "linear_forward"
    x = check_array(op, "x", x, "(N, I)")
    weight = check_array(op, "weight", weight, "(O, I)")
    bias = None if bias is None else check_array(op, "bias", bias, "(O,)")
    check_same_dtype(op, x=x, weight=weight, bias=bias)
    check(x.shape[1] == weight.shape[1], f"{op}: x has {x.shape[1]} features but weight expects {weight.shape[1]}")
    if bias is not None:
        check_shape(op, "bias", bias, weight.shape[:1], "weight")
    yield Spec(check_size(op, (len(x), len(weight))), x.dtype)
    y = arith.dot(x, weight.T)
    return y if bias is None else y + bias


@define_op
def linear_backward_data(dy: Array, weight: Array) -> Computation[Array]:
    """Gradient of :func:`linear_forward` for ``x``: ``dx[n, i] = Σ_o dy[n, o] * weight[o, i]``.

    Args:
        dy: ``(N, O)``.
        weight: ``(O, I)``.

    Returns:
        dx: ``(N, I)``.

    Raises:
        ValueError: ``dy`` has another number of columns than ``weight`` has rows.
    """
    op = "linear_backward_data"
    dy = check_array(op, "dy", dy, "(N, O)")
    weight = check_array(op, "weight", weight, "(O, I)")
    check_same_dtype(op, dy=dy, weight=weight)
    check(dy.shape[1] == weight.shape[0], f"{op}: dy has {dy.shape[1]} features but weight gives {len(weight)}")
    yield Spec(check_size(op, (len(dy), weight.shape[1])), dy.dtype)
    return arith.dot(dy, weight)


@define_op
def linear_backward_weights(dy: Array, x: Array) -> Computation[Array]:
    """Gradient of :func:`linear_forward` for ``weight``: ``dweight[o, i] = Σ_n dy[n, o] * x[n, i]``.

    Args:
        dy: ``(N, O)``.
        x: ``(N, I)``.

    Returns:
        dweight: ``(O, I)``; zeros for an empty batch.

    Raises:
        ValueError: ``dy`` and ``x`` differ in ``N``.
    """
    op = "linear_backward_weights"
    dy = check_array(op, "dy", dy, "(N, O)")
    x = check_array(op, "x", x, "(N, I)")
    check_same_dtype(op, dy=dy, x=x)
    check(len(dy) == len(x), f"{op}: dy has {len(dy)} rows but x has {len(x)}")
    yield Spec(check_size(op, (dy.shape[1], x.shape[1])), dy.dtype)
    return arith.dot(dy.T, x)


@define_op
def linear_backward_bias(dy: Array) -> Computation[Array]:
    """Gradient of :func:`linear_forward` for ``bias``: ``dbias[o] = Σ_n dy[n, o]`` (numerics section 4).

    Args:
        dy: ``(N, O)``.

    Returns:
        dbias: ``(O,)``; zeros for an empty batch.
    """
    dy = check_array("linear_backward_bias", "dy", dy, "(N, O)")
    yield Spec(dy.shape[1:], dy.dtype)
    return arith.total(dy, axis=0)
