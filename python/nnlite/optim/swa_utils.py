"""Averages of weights, with PyTorch's names: stochastic weight averaging and exponential moving averages.

::

    ema = optim.swa_utils.AveragedModel(model, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.999))
    for x, t in batches:
        ...  # zero_grad, loss, backward, optimizer.step()
        ema.update_parameters(model)
    optim.swa_utils.update_bn(batches, ema)  # where running statistics are not averaged as well
    y = ema(x_test)

An average ``a`` of weights goes towards ``p`` by ``a + w (p - a)``, or ``p - (1 - w) (p - a)`` where ``w`` is at least
1/2: ``w = 1 - decay``, or ``1 / (n + 1)`` with ``n`` averaged before, in binary64 and rounded to the type of ``a``.
These are ops of the backend, and so the average has the same bits everywhere.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import arguments, arrays, cuda, recording, tape
from ..arrays import Array
from ..backend import ops
from ..nn.module import Module
from ..nn.norm import _BatchNorm
from ..tensor import Parameter, Tensor
from .lr_scheduler.base import LRScheduler, check_optimizer, cosine, for_each_group
from .optimizer import Optimizer

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average = Callable[[Tensor, Tensor, int], Tensor]
Averages = Callable[[list[Tensor], list[Tensor], int], None]


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """The exponential moving average ``decay a + (1 - decay) p``, for ``multi_avg_fn``; ``decay`` from 0 to 1."""
    weight = 1.0 - arguments.number("get_ema_multi_avg_fn: decay", decay, 0.0, 1.0)

    def ema_update(averaged: list[Tensor], current: list[Tensor], num_averaged: int) -> None:
        for a, p in zip(averaged, current, strict=True):
            _towards(a, p, weight)

    return ema_update


def get_swa_multi_avg_fn() -> Averages:
    """The plain mean ``a + (p - a) / (n + 1)``, for ``multi_avg_fn`` (Izmailov et al. 2018)."""

    def swa_update(averaged: list[Tensor], current: list[Tensor], num_averaged: int) -> None:
        for a, p in zip(averaged, current, strict=True):
            _towards(a, p, 1.0 / (num_averaged + 1))

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The exponential moving average ``decay a + (1 - decay) p``, for ``avg_fn``; ``decay`` from 0 to 1."""
    kept = arguments.number("get_ema_avg_fn: decay", decay, 0.0, 1.0)

    def ema_update(averaged: Tensor, current: Tensor, num_averaged: int) -> Tensor:
        return averaged * kept + current * (1.0 - kept)

    return ema_update


def get_swa_avg_fn() -> Average:
    """The plain mean ``a + (p - a) (1 / (n + 1))``, for ``avg_fn``."""

    def swa_update(averaged: Tensor, current: Tensor, num_averaged: int) -> Tensor:
        return averaged + (current - averaged) * (1.0 / (num_averaged + 1))

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose weights are averages of those that the model had at each :meth:`update_parameters`.

    Args:
        model: the model; it is copied, and stays as it is.
        device: where the copy is; where the model is if ``None``.
        avg_fn: ``avg_fn(averaged, current, n)`` returns the new average of one parameter, with ``n`` averaged before;
            tensors.
        multi_avg_fn: ``multi_avg_fn(averaged, current, n)`` puts new averages into lists of parameters; the plain mean
            if neither is given.
        use_buffers: whether buffers of floating-point numbers are averaged too. Otherwise, and integers always, they
            are copied.

    Attributes:
        module: the copy.
        n_averaged: how many weights are averaged: an array of one integer, which ``state_dict`` keeps.

    Raises:
        TypeError: ``model`` is no module.
        ValueError: both functions are given.
    """

    def __init__(
        self,
        model: Module,
        device: str | None = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Averages | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(model, Module):
            raise TypeError(f"AveragedModel: model must be a Module, got {type(model).__name__}")
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: avg_fn and multi_avg_fn are given; leave one out")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module.to(device)
        self.n_averaged: Array
        self.register_buffer("n_averaged", np.array(0, np.int64))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = bool(use_buffers)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the copy computes."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the weights that ``model`` has now into the average; the first time they are copied.

        Raises:
            ValueError: its parameters or buffers are not those of the model that was copied. Nothing is changed.
        """
        recording.refuse("AveragedModel.update_parameters")
        averaged, current = (dict(m.named_parameters()) for m in (self.module, model))
        kept, given = (dict(m.named_buffers()) for m in (self.module, model))
        _check_same("parameter", averaged, current)
        _check_same("buffer", kept, given)
        n = int(self.n_averaged)
        pairs: list[tuple[Tensor, Tensor]] = [(a, current[name]) for name, a in averaged.items()]
        if self.use_buffers:
            pairs += [(Tensor(a), Tensor(given[name])) for name, a in kept.items() if a.dtype.kind == "f"]
        there = [Tensor(arrays.put(p.data, a.data)) for a, p in pairs]
        with tape.no_grad():
            self._average([a for a, _ in pairs], there, n)
        for name, buffer in kept.items():
            if not self.use_buffers or buffer.dtype.kind != "f":
                arrays.assign(buffer, arrays.put(given[name], buffer))
        self.n_averaged += 1

    def _average(self, averaged: list[Tensor], current: list[Tensor], n: int) -> None:
        if n == 0:
            for a, p in zip(averaged, current, strict=True):
                _set(a, p.data)
        elif self.avg_fn is not None:
            means = [self.avg_fn(a.detach(), p, n) for a, p in zip(averaged, current, strict=True)]
            for a, mean in zip(averaged, means, strict=True):
                _set(a, mean.data)
        else:
            alike: dict[tuple[str, str], tuple[list[Tensor], list[Tensor]]] = {}
            for a, p in zip(averaged, current, strict=True):
                first, second = alike.setdefault((a.device, a.dtype.str), ([], []))
                first.append(a)
                second.append(p)
            for first, second in alike.values():
                (self.multi_avg_fn or get_swa_multi_avg_fn())(first, second, n)


def update_bn(loader: Iterable[Any], model: Module, device: str | None = None) -> None:
    """Compute the running statistics of all batch normalisations anew, as means over the batches of ``loader``.

    Args:
        loader: inputs, or tuples or lists that begin with one.
        model: the model, which is called in training mode without gradients, and is in its own mode afterwards.
        device: where each input is put; it stays where it is if ``None``.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    modes = [(module, module.training) for module in model.modules()]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    try:
        with tape.no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, (list, tuple)) else batch
                model(x if device is None else cuda.array(x.data if isinstance(x, Tensor) else x, device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes:
            module.training = training


class SWALR(LRScheduler):
    """From the present learning rate to ``swa_lr``, where it stays: for the epochs whose weights are averaged.

    The learning rate is ``swa_lr alpha + lr (1 - alpha)``, with ``alpha = (1 - cos(pi p)) / 2`` or ``p``, where ``p``
    goes from 0 to 1 in ``anneal_epochs`` steps, and ``lr`` is what another schedule may have made of the learning rate.

    Args:
        optimizer: the optimizer.
        swa_lr: the last learning rate, or a list with one for each group.
        anneal_epochs: the number of steps; 0 for at once.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        last_epoch: the number of steps so far; -1 to begin.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        goals = for_each_group("SWALR: swa_lr", check_optimizer("SWALR", optimizer), swa_lr)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"SWALR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = arguments.size("SWALR: anneal_epochs", anneal_epochs, 0)
        for group, goal in zip(optimizer.param_groups, goals, strict=True):
            group["swa_lr"] = goal
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rates without this schedule's last step, and then with this one."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._alpha(step - 1), self._alpha(step)
        lrs = []
        for group, lr in zip(self.optimizer.param_groups, self._lrs(), strict=True):
            goal = group["swa_lr"]
            without = goal if before == 1 else (lr - before * goal) / (1 - before)
            lrs.append(goal * now + without * (1 - now))
        return lrs

    def _alpha(self, step: int) -> float:
        part = max(0, min(1, step / max(1, self.anneal_epochs)))
        return part if self._anneal_strategy == "linear" else (1 - cosine(part)) / 2


def _towards(a: Tensor, p: Tensor, weight: float) -> None:
    kernels = ops(a.data)
    difference = kernels.subtract(p.data, a.data)
    if weight < 0.5:
        mean = kernels.add(a.data, kernels.multiply(difference, arrays.full_like(difference, weight)))
    else:
        mean = kernels.subtract(p.data, kernels.multiply(difference, arrays.full_like(difference, 1.0 - weight)))
    _set(a, mean)


def _set(a: Tensor, value: Array) -> None:
    if isinstance(a, Parameter):
        a._version += 1
    arrays.assign(a.data, value)


def _check_same(what: str, own: dict[str, Any], given: dict[str, Any]) -> None:
    if own.keys() != given.keys():
        odd = sorted(own.keys() ^ given.keys())
        raise ValueError(
            f"update_parameters: model must be the one that was copied; only one of them has {what} {odd[0]!r}"
        )
    for name, x in own.items():
        if (x.shape, x.dtype) != (given[name].shape, given[name].dtype):
            raise ValueError(
                f"update_parameters: {what} {name!r} is {given[name].dtype} of shape {given[name].shape}, but was "
                f"{x.dtype} of shape {x.shape}"
            )
