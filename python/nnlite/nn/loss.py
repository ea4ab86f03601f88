"""Losses: the functions of :mod:`nnlite.nn.functional` as modules.

``reduction`` is "mean", "sum" or "none". Shapes of ``x`` and ``target`` are equal unless a class says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import arguments, ops
from ..arrays import Array
from ..tensor import Tensor
from .module import Module


class _Loss(Module):
    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = arguments.reduction(type(self).__name__, reduction)


class _WeightedLoss(_Loss):
    """With a factor for each class, which is a buffer."""

    weight: Array | None

    def __init__(self, weight: Array | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)


class L1Loss(_Loss):
    """``abs(x - target)``."""

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes."""
        return ops.l1_loss(x, target, self.reduction)


class MSELoss(_Loss):
    """``(x - target)**2``."""

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes."""
        return ops.mse_loss(x, target, self.reduction)


class SmoothL1Loss(_Loss):
    """``0.5 * d**2 / beta`` where ``d = abs(x - target)`` is below ``beta``, else ``d - 0.5 * beta``."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = arguments.number("SmoothL1Loss: beta", beta)

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes."""
        return ops.smooth_l1_loss(x, target, self.reduction, self.beta)


class HuberLoss(_Loss):
    """``0.5 * d**2`` where ``d = abs(x - target)`` is at most ``delta``, else ``delta * (d - 0.5 * delta)``."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = arguments.number("HuberLoss: delta", delta, above=True)

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes."""
        return ops.huber_loss(x, target, self.reduction, self.delta)


class CrossEntropyLoss(_WeightedLoss):
    """``-log(softmax(x)[target])``; see :func:`nnlite.nn.functional.cross_entropy`.

    Targets are integer classes ``(N,)``, or one-hot or class probabilities ``(N, K)`` of x's dtype.
    """

    def __init__(
        self,
        weight: Array | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = arguments.number("CrossEntropyLoss: label_smoothing", label_smoothing, 0.0, 1.0)

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """x ``(N, K)``, ``(N, K, d1, ...)`` or ``(K,)``, before any softmax."""
        settings = (self.weight, self.ignore_index, self.reduction, self.label_smoothing)
        return ops.cross_entropy(x, target, *settings)


class NLLLoss(_WeightedLoss):
    """``-x[n, target[n]]`` of log-probabilities; see :func:`nnlite.nn.functional.nll_loss`."""

    def __init__(self, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, x: Tensor | Array, target: Array) -> Tensor:
        """x ``(N, K)``, ``(N, K, d1, ...)`` or ``(K,)``; integer targets without ``K``."""
        return ops.nll_loss(x, target, self.weight, self.ignore_index, self.reduction)


class BCELoss(_WeightedLoss):
    """``-(t * log(x) + (1 - t) * log(1 - x))`` of probabilities."""

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes, x between 0 and 1."""
        return ops.binary_cross_entropy(x, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """:class:`BCELoss` of ``sigmoid(x)``; ``pos_weight`` weighs the positive targets."""

    pos_weight: Array | None

    def __init__(self, weight: Array | None = None, reduction: str = "mean", pos_weight: Array | None = None) -> None:
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes."""
        return ops.binary_cross_entropy_with_logits(x, target, self.weight, self.reduction, self.pos_weight)


class KLDivLoss(Module):
    """``t * (log(t) - x)`` of log-probabilities ``x``; "batchmean" is a fourth reduction."""

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__()
        if reduction != "batchmean":
            arguments.reduction("KLDivLoss", reduction)
        self.reduction, self.log_target = reduction, bool(log_target)

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes."""
        return ops.kl_div(x, target, self.reduction, self.log_target)


class PoissonNLLLoss(_Loss):
    """See :func:`nnlite.nn.functional.poisson_nll_loss`."""

    def __init__(self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.log_input, self.full, self.eps = bool(log_input), bool(full), eps

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes."""
        return ops.poisson_nll_loss(x, target, self.log_input, self.full, self.eps, self.reduction)


class GaussianNLLLoss(_Loss):
    """See :func:`nnlite.nn.functional.gaussian_nll_loss`."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full, self.eps = bool(full), eps

    def forward(self, x: Tensor | Array, target: Tensor | Array, var: Tensor | Array) -> Tensor:
        """Equal shapes."""
        return ops.gaussian_nll_loss(x, target, var, self.full, self.eps, self.reduction)


class HingeEmbeddingLoss(_Loss):
    """``x`` where the target is 1, ``max(0, margin - x)`` where it is -1."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes."""
        return ops.hinge_embedding_loss(x, target, self.margin, self.reduction)


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-t * x))`` for targets 1 and -1."""

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes."""
        return ops.soft_margin_loss(x, target, self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """``sum over i != t of max(0, margin - x[t] + x[i])**p / K`` of scores."""

    def __init__(self, p: int = 1, margin: float = 1.0, weight: Array | None = None, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: p must be 1 or 2, got {p}")
        self.p, self.margin = p, margin

    def forward(self, x: Tensor | Array, target: Array) -> Tensor:
        """x ``(N, K)``, integer targets ``(N,)``."""
        return ops.multi_margin_loss(x, target, self.p, self.margin, self.weight, self.reduction)


class MarginRankingLoss(_Loss):
    """``max(0, -t * (x1 - x2) + margin)``."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x1: Tensor | Array, x2: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes."""
        return ops.margin_ranking_loss(x1, x2, target, self.margin, self.reduction)


class CosineEmbeddingLoss(_Loss):
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x1: Tensor | Array, x2: Tensor | Array, target: Tensor | Array) -> Tensor:
        """x1 and x2 ``(N, D)``, target ``(N,)``."""
        return ops.cosine_embedding_loss(x1, x2, target, self.margin, self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """``-(t * log(sigmoid(x)) + (1 - t) * log(sigmoid(-x)))``, the mean over the classes."""

    def forward(self, x: Tensor | Array, target: Tensor | Array) -> Tensor:
        """Equal shapes ``(N, K)``."""
        return ops.multilabel_soft_margin_loss(x, target, self.weight, self.reduction)


class TripletMarginLoss(_Loss):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with the p-norm as distance."""

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, bool(swap)

    def forward(self, anchor: Tensor | Array, positive: Tensor | Array, negative: Tensor | Array) -> Tensor:
        """Equal shapes ``(N, D)``."""
        settings = (self.margin, self.p, self.eps, self.swap, self.reduction)
        return ops.triplet_margin_loss(anchor, positive, negative, *settings)


class TripletMarginWithDistanceLoss(_Loss):
    """:class:`TripletMarginLoss` with a distance of one's own."""

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.distance_function, self.margin, self.swap = distance_function, margin, bool(swap)

    def forward(self, anchor: Tensor | Array, positive: Tensor | Array, negative: Tensor | Array) -> Tensor:
        """Equal shapes ``(N, D)``."""
        return ops.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class CosineSimilarity(Module):
    """``x1 . x2 / (max(|x1|, eps) * max(|x2|, eps))`` along a dimension."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor | Array, x2: Tensor | Array) -> Tensor:
        """Equal shapes; the result is without ``dim``."""
        return ops.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of ``x1 - x2 + eps`` along the last dimension."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.p, self.eps, self.keepdim = p, eps, bool(keepdim)

    def forward(self, x1: Tensor | Array, x2: Tensor | Array) -> Tensor:
        """Equal shapes."""
        return ops.pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)
