"""Ops on tensors under the name that PyTorch gives them: ``import nnlite.nn.functional as F``."""

from ..ops import *  # noqa: F403
