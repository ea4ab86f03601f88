"""Ops on tensors: the forward kernel, and the backward kernel as pullback. One file per family, as in
:mod:`nnlite.reference`.

Every function takes tensors or NumPy arrays; a gradient flows to the tensors that require one.
"""

from __future__ import annotations

from .batchnorm import batchnorm_inference as batchnorm_inference
from .batchnorm import batchnorm_training as batchnorm_training
from .conv2d import conv2d as conv2d
from .dropout import dropout as dropout
from .elementwise import add as add
from .elementwise import exp as exp
from .elementwise import log as log
from .elementwise import multiply as multiply
from .elementwise import negative as negative
from .elementwise import relu as relu
from .elementwise import sigmoid as sigmoid
from .elementwise import subtract as subtract
from .elementwise import tanh as tanh
from .gemm import gemm as gemm
from .im2col import col2im as col2im
from .im2col import im2col as im2col
from .linear import linear as linear
from .mse import mse_loss as mse_loss
from .pooling import avg_pool2d as avg_pool2d
from .pooling import global_avg_pool2d as global_avg_pool2d
from .pooling import max_pool2d as max_pool2d
from .shape import flatten as flatten
from .shape import reshape as reshape
from .softmax import softmax as softmax
from .softmax_cross_entropy import cross_entropy as cross_entropy
from .sum import sum as sum
