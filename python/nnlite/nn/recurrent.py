"""Recurrent networks and their cells, with PyTorch's parameters and shapes.

``input_size`` I, ``hidden_size`` H, ``num_layers`` layers, of which each reads the one below. Sequences are
``(L, N, I)``, or ``(N, L, I)`` with ``batch_first``, or ``(L, I)`` without a batch. Weights start uniform in
``±1/sqrt(H)``. Truncated backpropagation: pass on ``state.detach()``.
"""

from __future__ import annotations

from typing import Any

from .. import arguments, arrays, init, ops
from ..arrays import Array
from ..ops.recurrent import gru_step, lstm_step, rnn_step
from ..tensor import Parameter, Tensor, as_tensor
from .module import Module

State = Any


def _uniform(shape: tuple[int, ...], hidden_size: int, dtype: Any) -> Parameter:
    return Parameter(init.fan_in_uniform(shape, hidden_size, dtype))


class _Cell(Module):
    _gates = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, dtype: Any = "float32") -> None:
        super().__init__()
        layer = type(self).__name__
        self.input_size = arguments.size(f"{layer}: input_size", input_size)
        self.hidden_size = arguments.size(f"{layer}: hidden_size", hidden_size)
        kind, rows = arguments.float_dtype(layer, dtype), self._gates * hidden_size
        self.weight_ih = _uniform((rows, input_size), hidden_size, kind)
        self.weight_hh = _uniform((rows, hidden_size), hidden_size, kind)
        self.bias_ih = _uniform((rows,), hidden_size, kind) if bias else None
        self.bias_hh = _uniform((rows,), hidden_size, kind) if bias else None

    def _start(self, x: Tensor | Array) -> tuple[Tensor, Tensor]:
        x = as_tensor(type(self).__name__, "x", x)
        if x.data.ndim not in (1, 2) or x.data.shape[-1] != self.input_size:
            raise ValueError(
                f"{type(self).__name__}: x must be (N, {self.input_size}) or ({self.input_size},), got {x.data.shape}"
            )
        return x, Tensor(arrays.full_like(x.data, 0, (*x.data.shape[:-1], self.hidden_size)))

    def extra_repr(self) -> str:
        """Sizes and bias."""
        return f"{self.input_size}, {self.hidden_size}, bias={self.bias_ih is not None}"


class RNNCell(_Cell):
    """``h = tanh(w_ih x + b_ih + w_hh h + b_hh)`` (Elman, 1990), or with ``nonlinearity="relu"``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__(input_size, hidden_size, bias, dtype=dtype)
        self.nonlinearity = _nonlinearity("RNNCell", nonlinearity)

    def forward(self, x: Tensor | Array, hx: Tensor | Array | None = None) -> Tensor:
        """x ``(N, I)``, h ``(N, H)``, zeros by default; the new h."""
        x, zeros = self._start(x)
        gates = ops.linear(x, self.weight_ih, self.bias_ih)
        return rnn_step(gates, zeros if hx is None else hx, self.weight_hh, self.bias_hh, self.nonlinearity)


def _nonlinearity(layer: str, name: str) -> str:
    if name not in ("tanh", "relu"):
        raise ValueError(f"{layer}: nonlinearity must be 'tanh' or 'relu', got {name!r}")
    return name


class LSTMCell(_Cell):
    """One step of an LSTM (Hochreiter and Schmidhuber, 1997); see :func:`nnlite.nn.functional.lstm_cell`."""

    _gates = 4

    def forward(
        self, x: Tensor | Array, hx: tuple[Tensor | Array, Tensor | Array] | None = None
    ) -> tuple[Tensor, Tensor]:
        """x ``(N, I)``, the pair ``(h, c)`` of ``(N, H)``, zeros by default; the new pair."""
        x, zeros = self._start(x)
        h, c = (zeros, zeros) if hx is None else hx
        return lstm_step(ops.linear(x, self.weight_ih, self.bias_ih), h, c, self.weight_hh, self.bias_hh)


class GRUCell(_Cell):
    """One step of a GRU (Cho et al., 2014); see :func:`nnlite.nn.functional.gru_cell`."""

    _gates = 3

    def forward(self, x: Tensor | Array, hx: Tensor | Array | None = None) -> Tensor:
        """x ``(N, I)``, h ``(N, H)``, zeros by default; the new h."""
        x, zeros = self._start(x)
        gates = ops.linear(x, self.weight_ih, self.bias_ih)
        return gru_step(gates, zeros if hx is None else hx, self.weight_hh, self.bias_hh)


class _Recurrent(Module):
    _gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        self.input_size = arguments.size(f"{layer}: input_size", input_size)
        self.hidden_size = arguments.size(f"{layer}: hidden_size", hidden_size)
        self.num_layers = arguments.size(f"{layer}: num_layers", num_layers)
        self.bias, self.batch_first, self.bidirectional = bool(bias), bool(batch_first), bool(bidirectional)
        self.dropout = arguments.number(f"{layer}: dropout", dropout, 0.0, 1.0)
        kind, rows = arguments.float_dtype(layer, dtype), self._gates * hidden_size
        for number in range(num_layers):
            size = input_size if number == 0 else hidden_size * (2 if bidirectional else 1)
            for suffix in self._suffixes(number):
                self.register_parameter(f"weight_ih_{suffix}", _uniform((rows, size), hidden_size, kind))
                self.register_parameter(f"weight_hh_{suffix}", _uniform((rows, hidden_size), hidden_size, kind))
                if bias:
                    self.register_parameter(f"bias_ih_{suffix}", _uniform((rows,), hidden_size, kind))
                    self.register_parameter(f"bias_hh_{suffix}", _uniform((rows,), hidden_size, kind))

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"] if self.bidirectional else [f"l{layer}"]

    def _weights(self, suffix: str) -> list[Any]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [self.__dict__.get(f"{name}_{suffix}") for name in names]

    def _step(self, gates: Tensor, state: list[Tensor], w_hh: Any, b_hh: Any) -> list[Tensor]:
        """The new state, whose first part is the output."""
        raise NotImplementedError

    _parts = 1  # of a state: h, or h and c

    def forward(self, x: Tensor | Array, hx: State = None) -> tuple[Tensor, State]:
        """The outputs of the last layer ``(L, N, D * H)`` and the last states ``(layers * D, N, H)``, D directions.

        ``hx`` are the states to begin with, zeros by default; of an LSTM the pair ``(h, c)``.
        """
        layer = type(self).__name__
        x = as_tensor(layer, "x", x)
        if x.data.ndim not in (2, 3) or x.data.shape[-1] != self.input_size:
            raise ValueError(
                f"{layer}: x must be (L, N, {self.input_size}) or (L, {self.input_size}), got shape {x.data.shape}"
            )
        alone = x.data.ndim == 2
        if x.data.shape[1 if self.batch_first and not alone else 0] == 0:
            raise ValueError(f"{layer}: x must hold at least one step, got shape {x.data.shape}")
        if alone:
            x = ops.unsqueeze(x, 1)
        elif self.batch_first:
            x = ops.transpose(x, 0, 1)
        count = self.num_layers * (2 if self.bidirectional else 1)
        shape = (count, x.data.shape[1], self.hidden_size)
        states = self._states(layer, x, hx, shape, alone)
        ends: list[list[Tensor]] = [[] for _ in range(self._parts)]
        for number in range(self.num_layers):
            outputs = []
            for direction, suffix in enumerate(self._suffixes(number)):
                at = number * (2 if self.bidirectional else 1) + direction
                y, last = self._run(x, [part[at] for part in states], suffix, direction == 1)
                outputs.append(y)
                for part, value in zip(ends, last, strict=True):
                    part.append(value)
            x = outputs[0] if len(outputs) == 1 else ops.cat(outputs, -1)
            if self.dropout and number + 1 < self.num_layers:
                x = ops.dropout(x, self.dropout, self.training)
        final = [ops.stack(part) for part in ends]
        if alone:
            x, final = ops.squeeze(x, 1), [ops.squeeze(part, 1) for part in final]
        elif self.batch_first:
            x = ops.transpose(x, 0, 1)
        return x, final[0] if self._parts == 1 else tuple(final)

    def _states(self, layer: str, x: Tensor, hx: State, shape: tuple[int, ...], alone: bool) -> list[Any]:
        if hx is None:
            zeros = Tensor(arrays.full_like(x.data, 0, shape))
            return [zeros] * self._parts
        parts = [hx] if self._parts == 1 else list(hx)
        states = []
        for part in parts:
            state = as_tensor(layer, "hx", part)
            state = ops.unsqueeze(state, 1) if alone and state.data.ndim == 2 else state
            if state.data.shape != shape:
                raise ValueError(f"{layer}: hx has shape {state.data.shape} but {shape} is needed")
            states.append(state)
        return states

    def _run(self, x: Tensor, state: list[Tensor], suffix: str, backwards: bool) -> tuple[Tensor, list[Tensor]]:
        """One layer in one direction. The inputs' share of all steps is one product."""
        w_ih, w_hh, b_ih, b_hh = self._weights(suffix)
        gates = ops.unbind(ops.linear(x, w_ih, b_ih))
        outputs: list[Tensor] = []
        for step in reversed(gates) if backwards else gates:
            state = self._step(step, state, w_hh, b_hh)
            outputs.append(state[0])
        return ops.stack(outputs[::-1] if backwards else outputs), state

    def extra_repr(self) -> str:
        """Sizes, and what differs from the defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        return text


class RNN(_Recurrent):
    """A recurrent network of ``tanh`` or ``relu`` (Elman, 1990); parameters ``weight_ih_l0``, ``bias_hh_l0``, ..."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype=dtype)
        self.nonlinearity = _nonlinearity("RNN", nonlinearity)

    def _step(self, gates: Tensor, state: list[Tensor], w_hh: Any, b_hh: Any) -> list[Tensor]:
        return [rnn_step(gates, state[0], w_hh, b_hh, self.nonlinearity)]


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997); gates in the order i, f, g, o."""

    _gates, _parts = 4, 2

    def _step(self, gates: Tensor, state: list[Tensor], w_hh: Any, b_hh: Any) -> list[Tensor]:
        return list(lstm_step(gates, state[0], state[1], w_hh, b_hh))


class GRU(_Recurrent):
    """Gated recurrent unit (Cho et al., 2014); gates in the order r, z, n."""

    _gates = 3

    def _step(self, gates: Tensor, state: list[Tensor], w_hh: Any, b_hh: Any) -> list[Tensor]:
        return [gru_step(gates, state[0], w_hh, b_hh)]
