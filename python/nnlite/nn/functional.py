"""Ops on tensors under the name that PyTorch gives them: ``import nnlite.nn.functional as F``."""

from types import FunctionType as _FunctionType

from .. import ops as _ops
from ..ops import *  # noqa: F403

__all__ = [_name for _name, _op in vars(_ops).items() if isinstance(_op, _FunctionType)]


def __dir__() -> list[str]:
    return sorted(__all__)
