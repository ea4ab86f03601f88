"""Optimizer steps, in place, over all parameters at once (docs/numerics.md, section 11)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnlite.reference.arith import flush, round_scalar
from nnlite.reference.checks import (
    Array,
    check,
    check_array,
    check_in_place,
    check_no_overlap,
    check_same_dtype,
    check_same_shape,
    number,
)
from nnlite.reference.signature import Computation, define_op

__all__ = ["adam_update", "sgd_update"]


@define_op
def sgd_update(
    params: Sequence[Array],
    grads: Sequence[Array],
    velocities: Sequence[Array],
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> Computation[None]:
    """One step of stochastic gradient descent, in place::

        g = grad + weight_decay * param
        v = momentum * v + g;  g = g + momentum * v  (Nesterov)  or  v        only if momentum is not 0
        param = param - lr * g

    Velocities start at 0; their magnitudes below 2^-100 (float64: 2^-970) are stored as 0. Sutskever et al., On the
    importance of initialization and momentum in deep learning, 2013, in PyTorch's form.

    Args:
        params: arrays of any shapes; changed.
        grads: one for each of ``params``, of its shape and type.
        velocities: likewise, changed; empty when ``momentum`` is 0.
        lr, momentum, weight_decay: numbers.
        nesterov: look ahead along the velocity.

    Raises:
        TypeError: an array of another type than its parameter.
        ValueError: lists of different lengths; shapes that differ; an array to change that is not C-contiguous, is
            read-only, or overlaps another. Nothing has been changed then.
    """
    op = "sgd_update"
    lr, momentum, weight_decay = (
        number(op, name, value) for name, value in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay))
    )
    if momentum:
        _check_lists(op, params, grads, velocities=velocities)
    else:
        _check_lists(op, params, grads)
        check(len(velocities) == 0, f"{op}: velocities must be empty when momentum is 0, got {len(velocities)} arrays")
    yield None
    for i, (p, g) in enumerate(zip(params, grads, strict=True)):
        rate, mu, decay = (round_scalar(value, p.dtype) for value in (lr, momentum, weight_decay))
        if weight_decay:
            g = g + decay * p
        if momentum:
            v = velocities[i]
            v[...] = flush(mu * v + g)
            g = g + mu * v if nesterov else v
        p[...] = p - rate * g


@define_op
def adam_update(
    params: Sequence[Array],
    grads: Sequence[Array],
    exp_avgs: Sequence[Array],
    exp_avg_sqs: Sequence[Array],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    correction1: float,
    correction2: float,
) -> Computation[None]:
    """One step of Adam (Kingma and Ba, 2015) or, ``decoupled``, of AdamW (Loshchilov and Hutter, 2019), in place::

        param = param * (1 - lr * weight_decay)  (decoupled)   or   g = grad + weight_decay * param
        m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g²
        param = param - (lr / correction1) * m / (sqrt(v) / sqrt(correction2) + eps)

    Magnitudes of ``m`` and ``v`` below 2^-100 (float64: 2^-970) are stored as 0.

    Args:
        params: arrays of any shapes; changed.
        grads: one for each of ``params``, of its shape and type.
        exp_avgs: first moments ``m``, likewise; changed.
        exp_avg_sqs: second moments ``v``, likewise; changed.
        lr, beta1, beta2, eps, weight_decay: numbers.
        decoupled: AdamW's weight decay.
        correction1, correction2: ``1 - beta1^t`` and ``1 - beta2^t`` at step ``t`` from 1.

    Raises:
        TypeError: an array of another type than its parameter.
        ValueError: lists of different lengths; shapes that differ; an array to change that is not C-contiguous, is
            read-only, or overlaps another. Nothing has been changed then.
    """
    op = "adam_update"
    scalars = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
    scalars |= {"correction1": correction1, "correction2": correction2}
    numbers = {name: np.float64(number(op, name, value)) for name, value in scalars.items()}
    _check_lists(op, params, grads, exp_avgs=exp_avgs, exp_avg_sqs=exp_avg_sqs)
    yield None
    derived = (
        numbers["beta1"],
        1 - numbers["beta1"],
        numbers["beta2"],
        1 - numbers["beta2"],
        numbers["eps"],
        numbers["weight_decay"],
        1 - numbers["lr"] * numbers["weight_decay"],
        numbers["lr"] / numbers["correction1"],
        1 / np.sqrt(numbers["correction2"]),
    )
    for p, g, m, v in zip(params, grads, exp_avgs, exp_avg_sqs, strict=True):
        b1, rest1, b2, rest2, epsilon, decay, shrink, step, inverse_root = (
            round_scalar(value, p.dtype) for value in derived
        )
        if weight_decay and decoupled:
            p[...] = p * shrink
        elif weight_decay:
            g = g + decay * p
        m[...] = flush(b1 * m + rest1 * g)
        v[...] = flush(b2 * v + rest2 * (g * g))
        p[...] = p - (step * m) / (np.sqrt(v) * inverse_root + epsilon)


def _check_lists(op: str, params: Sequence[Array], grads: Sequence[Array], **state: Sequence[Array]) -> None:
    lists = {"params": params, "grads": grads, **state}
    for list_name, arrays in lists.items():
        if not isinstance(arrays, (list, tuple)):
            raise TypeError(f"{op}: {list_name} must be a list of arrays, got {type(arrays).__name__}")
        check(len(arrays) == len(params), f"{op}: params has {len(params)} arrays but {list_name} has {len(arrays)}")
    written, read = {}, {}
    for i, p in enumerate(params):
        p_name = f"params[{i}]"
        written[p_name] = check_in_place(op, p_name, p)
        for list_name, arrays in list(lists.items())[1:]:
            name, array = f"{list_name}[{i}]", arrays[i]
            if list_name == "grads":
                read[name] = check_array(op, name, array)
            else:
                written[name] = check_in_place(op, name, array)
            check_same_dtype(op, **{p_name: p, name: array})
            check_same_shape(op, **{p_name: p, name: array})
    check_no_overlap(op, written, read)
