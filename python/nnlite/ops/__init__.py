"""Ops on tensors: the forward kernel, and the backward kernel as pullback. One file per family, as in
:mod:`nnlite.reference`.

Every function takes tensors or NumPy arrays; a gradient flows to the tensors that require one.
"""

from __future__ import annotations

from . import operators as operators  # last: operators of Tensor are ops
from .activation import *  # noqa: F403
from .attention import *  # noqa: F403
from .batchnorm import *  # noqa: F403
from .conv2d import *  # noqa: F403
from .derived import *  # noqa: F403
from .distance import *  # noqa: F403
from .dropout import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .gemm import *  # noqa: F403
from .im2col import *  # noqa: F403
from .image import *  # noqa: F403
from .index import *  # noqa: F403
from .linear import *  # noqa: F403
from .losses import *  # noqa: F403
from .norm import *  # noqa: F403
from .pooling import *  # noqa: F403
from .recurrent import *  # noqa: F403
from .reduce import *  # noqa: F403
from .shape import *  # noqa: F403
