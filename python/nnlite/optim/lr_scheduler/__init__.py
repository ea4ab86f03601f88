"""Learning-rate schedules, with PyTorch's names, arguments, numbers and ``state_dict`` keys.

A schedule writes ``lr`` into the groups of an optimizer: once when it is made, and at every ``step()`` after that. Call
``scheduler.step()`` after ``optimizer.step()``::

    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
    for epoch in range(30):
        ...  # zero_grad, loss, backward, optimizer.step() for each batch
        scheduler.step()

Learning rates are binary64 numbers made of ``+ - * /``, of the specified cosine, and of powers that do not depend on
the machine's library (docs/numerics.md, section 11). In the formulas below ``t`` is ``last_epoch``, the number of steps
so far, and ``base_lr`` the learning rate that a group had at first. Most schedules multiply the group's present ``lr``
by a factor, as PyTorch does, so that several of them may act on one optimizer.
"""

from .base import LRScheduler
from .composed import ChainedScheduler, SequentialLR
from .cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from .cycles import CyclicLR, OneCycleLR
from .decay import ConstantLR, ExponentialLR, LinearLR, MultiStepLR, PolynomialLR, StepLR
from .functions import LambdaLR, MultiplicativeLR
from .plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
