"""Steps of recurrent networks, composed of linear maps and elementwise ops.

Weights have PyTorch's layout: gates one after the other along dimension 0.
"""

from __future__ import annotations

from ..arrays import Array
from ..tensor import Tensor
from .elementwise import add, multiply, relu, sigmoid, subtract, tanh
from .linear import linear
from .shape import chunk

__all__ = ["gru_cell", "lstm_cell", "rnn_relu_cell", "rnn_tanh_cell"]

Weight = Tensor | Array


def lstm_cell(
    x: Tensor | Array,
    hx: tuple[Tensor | Array, Tensor | Array],
    w_ih: Weight,
    w_hh: Weight,
    b_ih: Weight | None = None,
    b_hh: Weight | None = None,
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM (Hochreiter and Schmidhuber, 1997): gates i, f, g, o; ``c = f*c + i*g``, ``h = o*tanh(c)``.

    Shapes: x ``(N, I)``, h and c ``(N, H)``, w_ih ``(4H, I)``, w_hh ``(4H, H)``, biases ``(4H,)``.
    """
    h, c = hx
    return lstm_step(linear(x, w_ih, b_ih), h, c, w_hh, b_hh)


def lstm_step(
    gates_x: Tensor, h: Tensor | Array, c: Tensor | Array, w_hh: Weight, b_hh: Weight | None
) -> tuple[Tensor, Tensor]:
    """:func:`lstm_cell` of what is left to do when the input's share of the gates is there."""
    i, f, g, o = chunk(add(gates_x, linear(h, w_hh, b_hh)), 4, -1)
    c = add(multiply(sigmoid(f), c), multiply(sigmoid(i), tanh(g)))
    return multiply(sigmoid(o), tanh(c)), c


def gru_cell(
    x: Tensor | Array,
    hx: Tensor | Array,
    w_ih: Weight,
    w_hh: Weight,
    b_ih: Weight | None = None,
    b_hh: Weight | None = None,
) -> Tensor:
    """One step of a GRU (Cho et al., 2014): gates r, z, n; ``n = tanh(nx + r * nh)``, ``h = n + z * (h - n)``.

    Shapes: x ``(N, I)``, h ``(N, H)``, w_ih ``(3H, I)``, w_hh ``(3H, H)``, biases ``(3H,)``.
    """
    return gru_step(linear(x, w_ih, b_ih), hx, w_hh, b_hh)


def gru_step(gates_x: Tensor, h: Tensor | Array, w_hh: Weight, b_hh: Weight | None) -> Tensor:
    """:func:`gru_cell` of what is left to do when the input's share of the gates is there."""
    rx, zx, nx = chunk(gates_x, 3, -1)
    rh, zh, nh = chunk(linear(h, w_hh, b_hh), 3, -1)
    r, z = sigmoid(add(rx, rh)), sigmoid(add(zx, zh))
    n = tanh(add(nx, multiply(r, nh)))
    return add(n, multiply(z, subtract(h, n)))


def rnn_tanh_cell(
    x: Tensor | Array,
    hx: Tensor | Array,
    w_ih: Weight,
    w_hh: Weight,
    b_ih: Weight | None = None,
    b_hh: Weight | None = None,
) -> Tensor:
    """``tanh(w_ih x + b_ih + w_hh h + b_hh)`` (Elman, 1990)."""
    return rnn_step(linear(x, w_ih, b_ih), hx, w_hh, b_hh, "tanh")


def rnn_relu_cell(
    x: Tensor | Array,
    hx: Tensor | Array,
    w_ih: Weight,
    w_hh: Weight,
    b_ih: Weight | None = None,
    b_hh: Weight | None = None,
) -> Tensor:
    """:func:`rnn_tanh_cell` with a ReLU."""
    return rnn_step(linear(x, w_ih, b_ih), hx, w_hh, b_hh, "relu")


def rnn_step(gates_x: Tensor, h: Tensor | Array, w_hh: Weight, b_hh: Weight | None, nonlinearity: str) -> Tensor:
    """One step of a plain recurrent network when the input's share is there."""
    y = add(gates_x, linear(h, w_hh, b_hh))
    return tanh(y) if nonlinearity == "tanh" else relu(y)
