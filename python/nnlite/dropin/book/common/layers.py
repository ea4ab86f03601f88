"""Layers: ``forward`` and ``backward`` on NumPy arrays, gradients of parameters as attributes."""

import operator
from typing import Any

import numpy as np

from nnlite.dropin import calls as _calls
from nnlite.dropin import fused as _fused
from nnlite.dropin import networks as _networks

from .functions import *
from .functions import cross_entropy_error, sigmoid, softmax
from .util import col2im, im2col


class Relu:
    """``max(x, 0)``, with gradient 0 at 0."""

    def __init__(self) -> None:
        self.mask: Any = None

    def forward(self, x: Any) -> Any:
        """``x`` with 0 for what is not positive."""

        def formula() -> Any:
            mask = x <= 0
            out = x.copy()
            out[mask] = 0
            return mask, out

        self.mask, out = _calls.call("Relu.forward", lambda: _fused.relu_forward(x), formula)
        return out

    def backward(self, dout: Any) -> Any:
        """``dout`` with 0 where ``x`` was not positive."""

        def formula() -> Any:
            dout[self.mask] = 0
            return dout

        return _calls.call("Relu.backward", lambda: _fused.relu_backward(dout, self.mask), formula)


class Sigmoid:
    """``1 / (1 + exp(-x))``."""

    def __init__(self) -> None:
        self.out: Any = None

    def forward(self, x: Any) -> Any:
        """The sigmoid of ``x``."""
        self.out = out = sigmoid(x)
        return out

    def backward(self, dout: Any) -> Any:
        """``dout * (1 - out) * out``."""

        def compiled() -> Any:
            dy, y = _calls.alike(dout, self.out)
            return _calls.kernel("sigmoid_backward", dy, y)

        return _calls.call("Sigmoid.backward", compiled, lambda: dout * (1.0 - self.out) * self.out)


class Affine:
    """``x W + b``, of everything but the first axis of ``x`` in one row."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W = W
        self.b = b
        self.x: Any = None
        self.original_x_shape: Any = None
        self.dW: Any = None
        self.db: Any = None

    def forward(self, x: Any) -> Any:
        """``(N, ...)`` to ``(N, columns of W)``."""
        self.original_x_shape = x.shape
        self.x = x = _calls.flat(x)

        def compiled() -> Any:
            return _calls.plus(_calls.kernel("gemm", *_calls.operands(x, self.W)), self.b)

        return _calls.call("Affine.forward", compiled, lambda: np.dot(x, self.W) + self.b)

    @_networks.without_dx
    def backward(self, dout: Any) -> Any:
        """The gradient of ``x``; leaves ``dW`` and ``db``."""
        self.parameter_gradients(dout)

        def compiled() -> Any:
            dy, W = _calls.operands(dout, self.W)
            return _calls.kernel("gemm", dy, W, False, True)

        dx = _calls.call("Affine.backward dx", compiled, lambda: np.dot(dout, self.W.T))
        return dx.reshape(*self.original_x_shape)

    def parameter_gradients(self, dout: Any) -> None:
        """Leaves ``dW`` and ``db``: all that a first layer is asked for."""

        def compiled() -> Any:
            dy, v = _calls.operands(dout, self.x)
            (rows,) = _calls.operands(dout)
            return _calls.kernel("gemm", v, dy, True), _calls.kernel("linear_backward_bias", rows)

        self.dW, self.db = _calls.call(
            "Affine.backward dW db", compiled, lambda: (np.dot(self.x.T, dout), np.sum(dout, axis=0))
        )


class SoftmaxWithLoss:
    """Cross entropy of the softmax."""

    def __init__(self) -> None:
        self.loss: Any = None
        self.y: Any = None
        self.t: Any = None

    def forward(self, x: Any, t: Any) -> Any:
        """The mean loss of scores ``x`` and labels ``t``, one-hot or indices."""
        self.t = t
        self.y = softmax(x)
        self.loss = cross_entropy_error(self.y, self.t)
        return self.loss

    def backward(self, dout: Any = 1) -> Any:
        """The gradient of the scores. ``dout`` plays no part."""
        n = self.t.shape[0]
        if self.t.size == self.y.size:
            return (self.y - self.t) / n
        dx = self.y.copy()
        dx[np.arange(n), self.t] -= 1
        return dx / n


class Dropout:
    """Zeros at random in training, scaling in tests."""

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        self.dropout_ratio = dropout_ratio
        self.mask: Any = None

    def forward(self, x: Any, train_flg: Any = True) -> Any:
        """``x`` where kept, else 0; in a test ``x * (1 - ratio)``."""
        if not train_flg:
            return x * (1.0 - self.dropout_ratio)
        self.mask = np.random.rand(*x.shape) > self.dropout_ratio
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        """``dout`` where the last training pass kept."""
        return dout * self.mask


class BatchNormalization:
    """Normalisation of each element over the batch; images as rows of ``C*H*W`` elements."""

    def __init__(
        self, gamma: Any, beta: Any, momentum: float = 0.9, running_mean: Any = None, running_var: Any = None
    ) -> None:
        self.gamma = gamma
        self.beta = beta
        self.momentum = momentum
        self.input_shape: Any = None
        self.running_mean = running_mean
        self.running_var = running_var
        self.batch_size: Any = None
        self.xc: Any = None
        self.std: Any = None
        self.dgamma: Any = None
        self.dbeta: Any = None

    def forward(self, x: Any, train_flg: Any = True) -> Any:
        """``gamma * (x - mean) / sqrt(var + 1e-6) + beta``, with the batch's statistics or the running ones."""
        self.input_shape = x.shape
        if x.ndim != 2:
            N, _, _, _ = x.shape
            x = x.reshape(N, -1)
        return self._forward(x, train_flg).reshape(*self.input_shape)

    def _forward(self, x: Any, train_flg: Any) -> Any:
        if self.running_mean is None:
            self.running_mean = np.zeros(x.shape[1])
            self.running_var = np.zeros(x.shape[1])
        if not train_flg:
            return self.gamma * ((x - self.running_mean) / np.sqrt(self.running_var + 10e-7)) + self.beta

        def compiled() -> Any:
            (v,) = _calls.operands(x)
            one, zero = np.ones(v.shape[1], v.dtype), np.zeros(v.shape[1], v.dtype)
            xn, mean, var = _calls.kernel("batchnorm_training_forward", v, one, zero, 10e-7)
            return v - mean, xn, np.sqrt(var + 10e-7), mean, var

        def formula() -> Any:
            mean = x.mean(axis=0)
            xc = x - mean
            var = np.mean(xc**2, axis=0)
            std = np.sqrt(var + 10e-7)
            return xc, xc / std, std, mean, var

        self.batch_size = x.shape[0]
        self.xc, self.xn, self.std, mean, var = _calls.call("BatchNormalization.forward", compiled, formula)
        self._kept = self._statistics()
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
        self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        return self.gamma * self.xn + self.beta

    def _statistics(self) -> tuple[Any, ...]:
        return self.batch_size, self.xc, self.xn, self.std

    def backward(self, dout: Any) -> Any:
        """The gradient of ``x``; leaves ``dgamma`` and ``dbeta``."""
        if dout.ndim != 2:
            dout = dout.reshape(dout.shape[0], -1)
        return self._backward(dout).reshape(*self.input_shape)

    def _backward(self, dout: Any) -> Any:
        dbeta = dout.sum(axis=0)
        dgamma = np.sum(self.xn * dout, axis=0)

        def compiled() -> Any:
            if any(now is not then for now, then in zip(self._statistics(), self._kept, strict=True)):
                raise _calls.UnsuitedError("attributes set from outside")
            dy, xn, std, gamma = _calls.alike(dout, self.xn, self.std, np.broadcast_to(self.gamma, self.std.shape))
            # xn stands for x: its mean is 0, and dividing it by 1 leaves it as it is.
            one, zero = np.ones_like(std), np.zeros_like(std)
            return _calls.kernel("batchnorm_training_backward", dy, xn, gamma / std, zero, one, 0.0)[0]

        def formula() -> Any:
            dxn = self.gamma * dout
            dxc = dxn / self.std
            dvar = 0.5 * -np.sum(dxn * self.xc / (self.std * self.std), axis=0) / self.std
            dxc += (2.0 / self.batch_size) * self.xc * dvar
            return dxc - np.sum(dxc, axis=0) / self.batch_size

        dx = _calls.call("BatchNormalization.backward", compiled, formula)
        self.dgamma = dgamma
        self.dbeta = dbeta
        return dx


class Convolution:
    """Convolution (cross-correlation) of ``(N, C, H, W)`` with ``W`` ``(FN, C, FH, FW)``."""

    _col: Any = None

    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0) -> None:
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad
        self.x: Any = None
        self.col = None
        self.col_W: Any = None
        self.dW: Any = None
        self.db: Any = None

    @property
    def col(self) -> Any:
        """The windows of the last input as rows. Made when somebody looks: the kernels do without."""
        if self._col is None:
            self._col = self._windows()
        return self._col

    @col.setter
    def col(self, value: Any) -> None:
        self._col = value

    def _windows(self) -> Any:
        if self.x is None:
            return None
        _, _, FH, FW = self.W.shape
        return im2col(self.x, FH, FW, self.stride, self.pad)

    def __getstate__(self) -> dict[str, Any]:
        """The attributes, ``col`` among them, as a pickle of the NumPy library has them."""
        col = self._windows() if self._col is None else self._col
        return {name: value for name, value in vars(self).items() if name != "_col"} | {"col": col}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def forward(self, x: Any) -> Any:
        """``(N, FN, OH, OW)``, in memory by rows ``(n, oh, ow)`` of filters."""
        FN, _, FH, FW = self.W.shape
        N, _, H, W = x.shape

        def compiled() -> Any:
            v, weight = _calls.numbers(x, self.W)
            (bias,) = _calls.numbers(np.full(FN, self.b) if np.ndim(self.b) == 0 else self.b)
            stride, pad = operator.index(self.stride), operator.index(self.pad)
            return None, _fused.conv2d_forward(v, weight, bias, stride, pad)

        def formula() -> Any:
            out_h = 1 + int((H + 2 * self.pad - FH) / self.stride)
            out_w = 1 + int((W + 2 * self.pad - FW) / self.stride)
            col = im2col(x, FH, FW, self.stride, self.pad)
            out = np.dot(col, self.W.reshape(FN, -1).T) + self.b
            return col, out.reshape(N, out_h, out_w, -1).transpose(0, 3, 1, 2)

        col, out = _calls.call("Convolution.forward", compiled, formula)
        self.x = x
        self.col = col
        self.col_W = self.W.reshape(FN, -1).T
        return out

    def backward(self, dout: Any) -> Any:
        """The gradient of ``x``; leaves ``dW`` and ``db``."""
        FN, C, FH, FW = self.W.shape

        def compiled() -> Any:
            if self._col is not None:
                raise _calls.UnsuitedError("col is in use")
            _calls.operands(dout)
            _calls.operands(self.col_W)
            dy, v, weight = _calls.numbers(dout, self.x, self.col_W.T)
            weight = weight.reshape(FN, C, FH, FW)
            dx = _calls.kernel("conv2d_backward_data", dy, weight, v.shape, self.stride, self.pad)
            dW = _calls.kernel("conv2d_backward_weights", dy, v, weight.shape, self.stride, self.pad)
            db = _calls.kernel("conv2d_backward_bias", dy)
            return dx, dW.reshape(FN, -1).T, db.astype(dout.dtype, copy=False)

        def formula() -> Any:
            rows = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
            dW = np.dot(self.col.T, rows)
            dcol = np.dot(rows, self.col_W.T)
            return col2im(dcol, self.x.shape, FH, FW, self.stride, self.pad), dW, np.sum(rows, axis=0)

        dx, dW, self.db = _calls.call("Convolution.backward", compiled, formula)
        self.dW = np.ascontiguousarray(dW).transpose(1, 0).reshape(FN, C, FH, FW)
        return dx


class Pooling:
    """The largest element of each window."""

    _arg_max: Any = None
    _index: Any = None

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        self.pool_h = pool_h
        self.pool_w = pool_w
        self.stride = stride
        self.pad = pad
        self.x: Any = None
        self.arg_max = None

    @property
    def arg_max(self) -> Any:
        """Which element of each window was the largest, in the order ``(n, oh, ow, c)``. Made when somebody looks."""
        if self._arg_max is None and self._index is not None:
            self._arg_max = self._index.transpose(0, 2, 3, 1).astype(np.int64).ravel()
        return self._arg_max

    @arg_max.setter
    def arg_max(self, value: Any) -> None:
        self._arg_max = value
        self._index = None

    def __getstate__(self) -> dict[str, Any]:
        """The attributes, ``arg_max`` among them, as a pickle of the NumPy library has them."""
        hidden = ("_arg_max", "_index")
        return {name: value for name, value in vars(self).items() if name not in hidden} | {"arg_max": self.arg_max}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def forward(self, x: Any) -> Any:
        """``(N, C, OH, OW)``, in memory by rows ``(n, oh, ow)`` of channels."""
        N, C, H, W = x.shape

        def compiled() -> Any:
            if self.pad:
                raise _calls.UnsuitedError("padding")
            (v,) = _calls.numbers(x)
            y, index = _calls.kernel("max_pool2d_forward", v, (self.pool_h, self.pool_w), operator.index(self.stride))
            return _fused.channels_last(y), index, None

        def formula() -> Any:
            out_h = int(1 + (H - self.pool_h) / self.stride)
            out_w = int(1 + (W - self.pool_w) / self.stride)
            col = im2col(x, self.pool_h, self.pool_w, self.stride, self.pad).reshape(-1, self.pool_h * self.pool_w)
            out = np.max(col, axis=1).reshape(N, out_h, out_w, C).transpose(0, 3, 1, 2)
            return out, None, np.argmax(col, axis=1)

        out, index, arg_max = _calls.call("Pooling.forward", compiled, formula)
        self.x = x
        self.arg_max = arg_max
        self._index = index
        return out

    def backward(self, dout: Any) -> Any:
        """The gradient of ``x``: at each window's largest element the sum of ``dout``."""

        def compiled() -> Any:
            if self._index is None:
                raise _calls.UnsuitedError("arg_max is in use")
            (dy,) = _calls.numbers(dout)
            return _calls.kernel(
                "max_pool2d_backward", dy, self._index, self.x.shape, (self.pool_h, self.pool_w), self.stride
            )

        def formula() -> Any:
            rows = dout.transpose(0, 2, 3, 1)
            size = self.pool_h * self.pool_w
            dmax = np.zeros((rows.size, size))
            dmax[np.arange(self.arg_max.size), self.arg_max.flatten()] = rows.flatten()
            dcol = dmax.reshape(rows.shape[0] * rows.shape[1] * rows.shape[2], -1)
            return col2im(dcol, self.x.shape, self.pool_h, self.pool_w, self.stride, self.pad)

        return _calls.call("Pooling.backward", compiled, formula)
