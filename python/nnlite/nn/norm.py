"""Normalisation layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import arguments, arrays, ops, recording
from ..arrays import Array
from ..backend import ops as kernels
from ..tensor import Parameter, Tensor, as_tensor
from .module import Module


class _BatchNorm(Module):
    _layouts: dict[int, str]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        self.num_features = arguments.size(f"{layer}: num_features", num_features)
        self.eps = arguments.number(f"{layer}: eps", eps, above=True)
        self.momentum = None if momentum is None else arguments.number(f"{layer}: momentum", momentum, 0.0, 1.0)
        self.affine = bool(affine)
        self.track_running_stats = bool(track_running_stats)
        dtype = arguments.float_dtype(layer, dtype)
        n = self.num_features
        self.weight = Parameter(np.ones(n, dtype)) if affine else None
        self.bias = Parameter(np.zeros(n, dtype)) if affine else None
        self.running_mean: Array | None
        self.running_var: Array | None
        self.num_batches_tracked: Array | None
        self.register_buffer("running_mean", np.zeros(n, dtype) if track_running_stats else None)
        self.register_buffer("running_var", np.ones(n, dtype) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.array(0, np.int64) if track_running_stats else None)

    def forward(self, x: Tensor | Array, relu: bool = False) -> Tensor:
        """Normalises each channel; in training, also updates the running statistics. ``relu``: a ReLU follows."""
        layer = type(self).__name__
        x = as_tensor(layer, "x", x)
        shape = x.data.shape
        if len(shape) not in self._layouts:
            expected = " or ".join(f"{ndim} dimensions {layout}" for ndim, layout in self._layouts.items())
            raise ValueError(f"{layer}: x must have {expected}, got {len(shape)} with shape {shape}")
        n = (self.num_features,)
        weight = arrays.full_like(x.data, 1, n) if self.weight is None else self.weight
        bias = arrays.full_like(x.data, 0, n) if self.bias is None else self.bias
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None and var is not None:
            return ops.batchnorm_inference(x, weight, bias, mean, var, self.eps, relu)
        count = shape[0] * math.prod(shape[2:])
        if count < 2:
            raise ValueError(f"{layer}: batch statistics need more than one value per channel, got x of shape {shape}")
        y, batch_mean, batch_var = ops.batchnorm_training(x, weight, bias, self.eps, relu)
        if self.training and mean is not None and var is not None and self.num_batches_tracked is not None:
            self._track(mean, var, batch_mean, batch_var, count)
        return y

    def reset_running_stats(self) -> None:
        """Running mean 0, running variance 1, no batch counted, in place: as the layer began."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            arrays.assign(self.running_mean, arrays.zeros_like(self.running_mean))
            arrays.assign(self.running_var, arrays.full_like(self.running_var, 1))
            arrays.assign(self.num_batches_tracked, np.array(0, np.int64))

    def _track(self, mean: Array, var: Array, batch_mean: Array, batch_var: Array, count: int) -> None:
        self._count_batch()
        momentum = self.momentum
        if momentum is None:
            if recording.is_active():
                raise ValueError(f"{type(self).__name__}: momentum=None changes at every step and cannot be captured")
            momentum = 1.0 / int(self.num_batches_tracked)  # type: ignore[arg-type]
        new_mean, new_var = kernels(mean).batchnorm_running_update(mean, var, batch_mean, batch_var, count, momentum)
        kernels(mean).assign(mean, new_mean)
        kernels(var).assign(var, new_var)
        recording.on_replay(self._count_batch, recording.position())

    def _count_batch(self) -> None:
        tracked = self.num_batches_tracked
        assert tracked is not None
        tracked += 1

    def extra_repr(self) -> str:
        """Channels and settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of ``(N, C)`` or ``(N, C, L)``.

    In training each channel is normalised by the mean and the biased variance of the batch. ``momentum`` is the share
    of the new value in the running statistics, ``None`` makes them plain averages; the running variance is unbiased. In
    inference the running statistics are used.
    """

    _layouts = {2: "(N, C)", 3: "(N, C, L)"}  # noqa: RUF012


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of ``(N, C, H, W)``; see :class:`BatchNorm1d`."""

    _layouts = {4: "(N, C, H, W)"}  # noqa: RUF012
