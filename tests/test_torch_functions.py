"""PyTorch as an outside oracle of what tensors and nnlite.nn.functional do: results and all gradients, one table.

A case is a function of the inputs that is written once and run with both libraries: ``L`` is nnlite's ops or torch,
``F`` is nnlite.nn.functional or torch.nn.functional. Tensors have the same methods.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from support import rng

torch = pytest.importorskip("torch")

OURS = types.SimpleNamespace(L=nl.ops, F=nl.nn.functional, I=lambda *n: np.array(n))
THEIRS = types.SimpleNamespace(L=torch, F=torch.nn.functional, I=lambda *n: torch.tensor(n))

Inputs = tuple[Any, ...]
Case = tuple[str, Callable[..., Any], Inputs]


def normal(*shape: int, seed: int = 0) -> Any:
    return rng(seed).standard_normal(shape) * 1.5


def positive(*shape: int, seed: int = 0) -> Any:
    return abs(normal(*shape, seed=seed)) + 0.2


def share(*shape: int, seed: int = 0) -> Any:
    return rng(seed).uniform(0.05, 0.95, shape)


def signs(*shape: int, seed: int = 0) -> Any:
    return rng(seed).choice([-1.0, 1.0], shape)


X, Y = normal(3, 4), normal(3, 4, seed=1)
B, V = normal(2, 3, 4, seed=2), normal(4, seed=3)
M = normal(2, 4, 5, seed=4)
MASK = rng(5).random((3, 4)) < 0.4


def case(name: str, function: Callable[..., Any], *inputs: Any) -> Case:
    return name, function, inputs


ARITHMETIC = [
    case("add", lambda t, a, b: a + b, X, V),
    case("add scalars", lambda t, a: (2 + a) * 3 - a / 4 - (1 - a), X),
    case("subtract", lambda t, a, b: a - b, V, B),
    case("multiply", lambda t, a, b: a * b, B, normal(3, 1, seed=7)),
    case("divide", lambda t, a, b: a / b, V, positive(2, 3, 4)),
    case("divide by", lambda t, a: 3.0 / a, positive(3, 4)),
    case("power 2", lambda t, a: a**2, X),
    case("power 5", lambda t, a: a**5, X),
    case("power -3", lambda t, a: a**-3, positive(3, 4)),
    case("power 0", lambda t, a: a**0, X),
    case("power 0.5", lambda t, a: a**0.5, positive(3, 4)),
    case("power 1.7", lambda t, a: a**1.7, positive(3, 4)),
    case("power of a tensor", lambda t, a, b: a**b, positive(3, 4), V),
    case("remainder", lambda t, a: a % 0.7, X),
    case("floor division", lambda t, a: a.detach() // 0.7 + 0 * a, X),
    case("maximum", lambda t, a, b: t.L.maximum(a, b), X, V),
    case("maximum of equals", lambda t, a, b: t.L.maximum(a, b), np.zeros((2, 2)), np.zeros((2, 2))),
    case("minimum", lambda t, a, b: t.L.minimum(a, b), X, Y),
    case("clamp", lambda t, a: a.clamp(-0.5, 1.0), X),
    case("clamp at its bounds", lambda t, a: a.clamp(min=0.0), np.array([-1.0, 0.0, 1.0])),
    case("where", lambda t, a, b: t.L.where(a > 0.1, a, b), X, Y),
    case("masked_fill", lambda t, a: a.masked_fill(a > 0.5, 7.0), X),
    *[
        case(name, lambda t, a, name=name: getattr(a, name)(), X)
        for name in ("abs", "exp", "expm1", "square", "sigmoid", "tanh", "sign", "floor", "ceil", "round", "erf", "neg")
    ],
    *[
        case(name, lambda t, a, name=name: getattr(a, name)(), positive(3, 4))
        for name in ("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal")
    ],
]
REDUCTIONS = [
    case("sum", lambda t, a: a.sum(), B),
    case("sum of a dimension", lambda t, a: a.sum(1), B),
    case("sum of two", lambda t, a: a.sum((0, 2), keepdim=True), B),
    case("sum of the last", lambda t, a: a.sum(-1), B),
    case("mean", lambda t, a: a.mean(), B),
    case("mean of a dimension", lambda t, a: a.mean(dim=1, keepdim=True), B),
    case("var", lambda t, a: a.var(), B),
    case("var of a dimension", lambda t, a: a.var(2, correction=0), B),
    case("std", lambda t, a: a.std(1, keepdim=True), B),
    case("amax", lambda t, a: a.amax((0, 1)), B),
    case("amax of equals", lambda t, a: a.amax(0), np.array([[1.0, 2.0], [1.0, 0.0]])),
    case("amin", lambda t, a: a.amin(2, keepdim=True), B),
    case("max", lambda t, a: a.max(), B),
    case("max of a dimension", lambda t, a: a.max(1).values, B),
    case("max keeps", lambda t, a: a.max(2, keepdim=True)[0], B),
    case("min", lambda t, a: a.min(1)[0], B),
    case("min of all", lambda t, a: a.min(), B),
    case("prod", lambda t, a: a.prod(), V),
    case("prod of a dimension", lambda t, a: a.prod(1, keepdim=True), B),
    case("cumsum", lambda t, a: a.cumsum(1), B),
    case("cumprod", lambda t, a: a.cumprod(-1), B),
    case("logsumexp", lambda t, a: a.logsumexp(1), B),
    case("logsumexp of all", lambda t, a: a.logsumexp((0, 1, 2)), B),
    case("norm", lambda t, a: a.norm(), B),
    case("norm 1", lambda t, a: a.norm(1, 1), B),
    case("norm inf", lambda t, a: a.norm(float("inf"), 2), B),
    case("norm 3", lambda t, a: a.norm(3, 0, True), B),
    case("median", lambda t, a: a.median(), B),
    case("median of a dimension", lambda t, a: a.median(1).values, B),
]
PRODUCTS = [
    case("matmul", lambda t, a, b: a @ b, X, normal(4, 5)),
    case("matrix and vector", lambda t, a, b: a @ b, X, V),
    case("vector and matrix", lambda t, a, b: a @ b, V, normal(4, 5)),
    case("dot", lambda t, a, b: a.dot(b), V, normal(4, seed=8)),
    case("stack of matrices and one", lambda t, a, b: a @ b, B, normal(4, 5)),
    case("stacks of matrices", lambda t, a, b: t.L.matmul(a, b), B, M),
    case("bmm", lambda t, a, b: t.L.bmm(a, b), B, M),
    case("broadcast stacks", lambda t, a, b: a @ b, normal(5, 1, 3, 4), M),
    case("outer", lambda t, a, b: t.L.outer(a, b), V, normal(3, seed=9)),
    case("einsum of matrices", lambda t, a, b: t.L.einsum("bij,bjk->bik", a, b), B, M),
    case("einsum trace", lambda t, a: t.L.einsum("ii->", a), normal(4, 4)),
    case("einsum sum", lambda t, a: t.L.einsum("ijk->j", a), B),
    case("einsum transpose", lambda t, a: t.L.einsum("ijk->kij", a), B),
    case("einsum of three", lambda t, a, b, c: t.L.einsum("bij,bjk,k->bi", a, b, c), B, M, normal(5)),
    case("einsum without an arrow", lambda t, a, b: t.L.einsum("ij,jk", a, b), X, normal(4, 2)),
]
SHAPES = [
    case("reshape", lambda t, a: a.reshape(4, -1) * a.view(4, 6), B),
    case("flatten", lambda t, a: a.flatten(1), B),
    case("unflatten", lambda t, a: a.unflatten(2, (2, -1)), B),
    case("squeeze", lambda t, a: a.squeeze(1), normal(2, 1, 3, 1)),
    case("squeeze all", lambda t, a: a.squeeze(), normal(2, 1, 3, 1)),
    case("unsqueeze", lambda t, a: a.unsqueeze(-1).unsqueeze(0), X),
    case("transpose", lambda t, a: a.transpose(0, -1), B),
    case("T", lambda t, a: a.T, X),
    case("t", lambda t, a: a.t(), X),
    case("permute", lambda t, a: a.permute(2, 0, 1), B),
    case("movedim", lambda t, a: a.movedim(0, -1), B),
    case("expand", lambda t, a: a.expand(3, 2, -1), normal(2, 1)[:, :1].repeat(4, 1)),
    case("expand rows", lambda t, a: a.expand(5, 3), normal(1, 3)),
    case("repeat", lambda t, a: a.repeat(2, 1, 3), X),
    case("tile", lambda t, a: a.tile((2,)), X),
    case("flip", lambda t, a: a.flip(0, 2), B),
    case("roll", lambda t, a: a.roll((1, -2), (0, 2)), B),
    case("roll all", lambda t, a: a.roll(3), X),
    case("cat", lambda t, a, b: t.L.cat([a, b, a], dim=1), X, normal(3, 2)),
    case("stack", lambda t, a, b: t.L.stack([a, b], dim=-1), X, Y),
    case("split", lambda t, a: a.split(3, dim=1)[1] * 2, X),
    case("split sizes", lambda t, a: a.split([1, 3], 1)[1], X),
    case("chunk", lambda t, a: a.chunk(3, 1)[0], X),
    case("unbind", lambda t, a: a.unbind(1)[2], B),
    case("narrow", lambda t, a: a.narrow(1, 1, 2), B),
    case("tril", lambda t, a: a.tril(-1), B),
    case("triu", lambda t, a: a.triu(1), B),
    case("diagonal", lambda t, a: a.diagonal(1, 1, 2), B),
    case("pad", lambda t, a: t.F.pad(a, (1, 2, 0, 3), value=2.5), B),
    case("pad less", lambda t, a: t.F.pad(a, (-1, 1)), B),
    case("pad reflect", lambda t, a: t.F.pad(a, (2, 1), mode="reflect"), B),
    case("pad replicate", lambda t, a: t.F.pad(a, (2, 4), mode="replicate"), B),
    case("pad circular", lambda t, a: t.F.pad(a, (2, 1), mode="circular"), B),
]
INDICES = [
    case("row", lambda t, a: a[1], B),
    case("last", lambda t, a: a[-1, ..., -2], B),
    case("slice", lambda t, a: a[:, 1:, ::2], B),
    case("new axis", lambda t, a: a[:, None, 1], B),
    case("empty", lambda t, a: a[:, 2:1], B),
    case("index array", lambda t, a: a[t.I(1, 0, 0)], B),
    case("index arrays", lambda t, a: a[t.I(1, 0, 0), t.I(2, 2, 0)], B),
    case("index array behind a slice", lambda t, a: a[:, t.I(2, 0, 2)], B),
    case("mask", lambda t, a: a[a > 0.3], X),
    case("index_select", lambda t, a: a.index_select(2, t.I(3, 0, 3)), B),
    case("gather", lambda t, a: a.gather(1, t.I(*rng(0).integers(0, 4, 6)).reshape(3, 2)), X),
    case("gather fewer rows", lambda t, a: a.gather(1, t.I(0, 1).reshape(1, 2)), X),
    case("scatter_add", lambda t, a, b: a.scatter_add(1, t.I(0, 3, 3, 1, 1, 1).reshape(3, 2), b), X, normal(3, 2)),
    case("index_add", lambda t, a, b: a.index_add(0, t.I(2, 0, 2), b), X, Y),
    case("masked_select", lambda t, a: a.masked_select(a > 0), X),
    case("sort", lambda t, a: a.sort(1)[0], B),
    case("sort descending", lambda t, a: a.sort(dim=0, descending=True).values, B),
    case("topk", lambda t, a: a.topk(2).values, B),
    case("topk least", lambda t, a: a.topk(2, 1, largest=False).values, B),
    case("embedding", lambda t, w: t.F.embedding(t.I(2, 0, 2, 1).reshape(2, 2), w), X),
    case("embedding with padding", lambda t, w: t.F.embedding(t.I(2, 0, 2), w, padding_idx=2), X),
]
ACTIVATIONS = [
    *[
        case(name, lambda t, a, name=name: getattr(t.F, name)(a), X * 2)
        for name in [
            "relu",
            "relu6",
            "leaky_relu",
            "elu",
            "selu",
            "celu",
            "gelu",
            "silu",
            "mish",
            "softplus",
            "softsign",
            "hardtanh",
            "hardsigmoid",
            "hardswish",
            "logsigmoid",
            "tanhshrink",
            "hardshrink",
            "softshrink",
        ]
    ],
    case("leaky_relu of a slope", lambda t, a: t.F.leaky_relu(a, 0.3), X),
    case("elu of large numbers", lambda t, a: t.F.elu(a, 2.0), X * 500),
    case("celu of alpha", lambda t, a: t.F.celu(a, 2.0), X),
    case("gelu tanh", lambda t, a: t.F.gelu(a, approximate="tanh"), X),
    case("softplus of beta", lambda t, a: t.F.softplus(a, 2.0, 3.0), X * 2),
    case("softplus at 0", lambda t, a: t.F.softplus(a) + t.F.logsigmoid(a), np.zeros(3)),
    case("hardtanh bounds", lambda t, a: t.F.hardtanh(a, -0.5, 0.7), X),
    case("hardshrink of lambda", lambda t, a: t.F.hardshrink(a, 1.0), X),
    case("threshold", lambda t, a: t.F.threshold(a, 0.3, 5.0), X),
    case("prelu", lambda t, a, w: t.F.prelu(a, w), X, np.array([0.2])),
    case("prelu by channel", lambda t, a, w: t.F.prelu(a, w), B, normal(3)),
    case("glu", lambda t, a: t.F.glu(a, 2), B),
    case("softmax", lambda t, a: t.F.softmax(a, dim=-1), B),
    case("softmax of a dimension", lambda t, a: t.F.softmax(a, dim=1), B),
    case("softmin", lambda t, a: t.F.softmin(a, dim=0), B),
    case("log_softmax", lambda t, a: t.F.log_softmax(a, dim=1), B),
    case("normalize", lambda t, a: t.F.normalize(a), B),
    case("cosine_similarity", lambda t, a, b: t.F.cosine_similarity(a, b, dim=1), X, Y),
    case("pairwise_distance", lambda t, a, b: t.F.pairwise_distance(a, b), X, Y),
]
DERIVED = [
    case("addcmul", lambda t, a, b, c: a.addcmul(b, c, value=0.3), X, Y, V),
    case("addcdiv", lambda t, a, b, c: a.addcdiv(b, c, value=0.3), X, Y, positive(4)),
    case("lerp", lambda t, a, b: a.lerp(b, 0.3), X, Y),
    case("trunc and frac", lambda t, a: a.frac() + a.trunc() * 2, X),
    case("fmod", lambda t, a: a.fmod(0.7), X),
    case("logit", lambda t, a: a.logit() + a.logit(0.2), share(3, 4)),
    case("logaddexp", lambda t, a, b: t.L.logaddexp(a, b), X * 30, Y),
    case("xlogy", lambda t, a, b: t.L.xlogy(a, b), np.maximum(X, 0), positive(3, 4)),
    case("nan_to_num", lambda t, a: a.nan_to_num(2.0, posinf=5.0), np.array([1.0, np.nan, np.inf, -2.0])),
    case("addmm", lambda t, a, b, c: t.L.addmm(a, b, c, beta=0.5, alpha=2.0), normal(3, 5), X, normal(4, 5)),
    case("addmv", lambda t, a, b, c: t.L.addmv(a, b, c), normal(3), X, V),
    case("addr", lambda t, a, b, c: t.L.addr(a, b, c, alpha=3.0), X, normal(3), V),
    case("baddbmm", lambda t, a, b, c: t.L.baddbmm(a, b, c), normal(2, 3, 5), B, M),
    case("addbmm", lambda t, a, b, c: t.L.addbmm(a, b, c), normal(3, 5), B, M),
    case("inner", lambda t, a, b: t.L.inner(a, b), X, B),
    case("kron", lambda t, a, b: t.L.kron(a, b), X, B),
    case("trace", lambda t, a: a.trace(), normal(4, 4)),
    case("diag", lambda t, a: a.diag(1), X),
    case("diag of a vector", lambda t, a: a.diag(-2) + a.diag(2), V),
    case("diff", lambda t, a: a.diff(2, 1), B),
    case("dist", lambda t, a, b: a.dist(b), X, Y),
    case("aminmax", lambda t, a: a.aminmax(dim=1)[1], B),
    case("clamp_min", lambda t, a: a.clamp_min(0.1) + a.clamp_max(0.5), X),
    case("kthvalue", lambda t, a: a.kthvalue(2, 1).values, B),
    case("take", lambda t, a: a.take(t.I(5, 0, 5)), X),
    case("select", lambda t, a: a.select(1, -1), B),
    case("index_fill", lambda t, a: a.index_fill(1, t.I(2, 0), 7.0), B),
    case("index_copy", lambda t, a, b: a.index_copy(0, t.I(2, 0), b), X, normal(2, 4)),
    case("repeat_interleave", lambda t, a: a.repeat_interleave(3, 1), B),
    case("repeat_interleave each", lambda t, a: a.repeat_interleave(t.I(0, 2, 1), 0), X),
    case("as another", lambda t, a, b: a.reshape_as(b) + a.view_as(b) + 0 * b, B, normal(4, 6)),
    case("expand_as", lambda t, a, b: a.expand_as(b) + 0 * b, V, B),
    case("tensor_split", lambda t, a: a.tensor_split(3, 2)[0], B),
    case("hsplit", lambda t, a: a.hsplit([1, 3])[1] + a.swapdims(0, 1).moveaxis(0, 1)[:, 1:3], X),
    case("nansum", lambda t, a: a.nansum(1) + t.L.nanmean(a), X),
]
LABELS, KLASSES = (2, 0, 3), 4
LOSSES = [
    *[
        case(f"{name} {reduction}", lambda t, a, b, n=name, r=reduction: getattr(t.F, n)(a, b, reduction=r), X, Y)
        for name in ("l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss")
        for reduction in ("mean", "sum", "none")
    ],
    case("smooth_l1_loss of beta", lambda t, a, b: t.F.smooth_l1_loss(a, b, beta=0.3), X, Y),
    case("huber_loss of delta", lambda t, a, b: t.F.huber_loss(a, b, delta=0.3), X, Y),
    *[
        case(f"cross_entropy {r}", lambda t, a, r=r: t.F.cross_entropy(a, t.I(*LABELS), reduction=r), X)
        for r in ("mean", "sum", "none")
    ],
    case("cross_entropy smoothed", lambda t, a: t.F.cross_entropy(a, t.I(*LABELS), label_smoothing=0.1), X),
    case("cross_entropy ignoring", lambda t, a: t.F.cross_entropy(a, t.I(2, -100, 3)), X),
    case("cross_entropy of another ignored class", lambda t, a: t.F.cross_entropy(a, t.I(*LABELS), ignore_index=0), X),
    case(
        "cross_entropy weighted",
        lambda t, a, w: t.F.cross_entropy(a, t.I(*LABELS), w.detach()) + 0 * w.sum(),
        X,
        positive(4),
    ),
    case(
        "cross_entropy weighted, smoothed and ignoring",
        lambda t, a, w: t.F.cross_entropy(a, t.I(2, -100, 3), w.detach(), label_smoothing=0.2) + 0 * w.sum(),
        X,
        positive(4),
    ),
    case("cross_entropy of images", lambda t, a: t.F.cross_entropy(a, t.I(0, 1, 2, 2, 1, 0, 0, 0).reshape(2, 4)), B),
    case("cross_entropy of one", lambda t, a: t.F.cross_entropy(a, t.I(2)[0]), V),
    case(
        "cross_entropy soft", lambda t, a, b: t.F.cross_entropy(a, t.F.softmax(b.detach(), dim=1)) + 0 * b.sum(), X, Y
    ),
    case(
        "cross_entropy soft and smoothed",
        lambda t, a, b: t.F.cross_entropy(a, t.F.softmax(b.detach(), dim=1), label_smoothing=0.1) + 0 * b.sum(),
        X,
        Y,
    ),
    case("nll_loss", lambda t, a: t.F.nll_loss(a, t.I(*LABELS)), X),
    case("nll_loss sum", lambda t, a: t.F.nll_loss(a, t.I(2, -100, 3), reduction="sum"), X),
    case(
        "nll_loss of images",
        lambda t, a: t.F.nll_loss(a, t.I(0, 1, 2, 2, 1, 0, 0, 0).reshape(2, 4), reduction="none"),
        B,
    ),
    case("binary_cross_entropy", lambda t, a, b: t.F.binary_cross_entropy(a, b), share(3, 4), share(3, 4, seed=1)),
    case(
        "binary_cross_entropy at its ends", lambda t, a: t.F.binary_cross_entropy(a, a.detach()), np.array([0.0, 1.0])
    ),
    case(
        "binary_cross_entropy_with_logits",
        lambda t, a, b: t.F.binary_cross_entropy_with_logits(a, b, reduction="sum"),
        X,
        share(3, 4),
    ),
    case(
        "binary_cross_entropy_with_logits weighted",
        lambda t, a, b, w: (
            t.F.binary_cross_entropy_with_logits(a, b, weight=w.detach(), pos_weight=w.detach()) + 0 * w.sum()
        ),
        X,
        share(3, 4),
        positive(4),
    ),
    case("kl_div", lambda t, a, b: t.F.kl_div(a, b, reduction="batchmean"), X, share(3, 4)),
    case("kl_div of 0", lambda t, a, b: t.F.kl_div(a, b.detach(), reduction="sum") + 0 * b.sum(), X, np.maximum(Y, 0)),
    case("kl_div of logarithms", lambda t, a, b: t.F.kl_div(a, b, reduction="sum", log_target=True), X, Y),
    case("poisson_nll_loss", lambda t, a, b: t.F.poisson_nll_loss(a, b), X, positive(3, 4)),
    case(
        "poisson_nll_loss full",
        lambda t, a, b: t.F.poisson_nll_loss(a, b.detach(), log_input=False, full=True) + 0 * b.sum(),
        positive(3, 4),
        positive(3, 4, seed=1) * 2,
    ),
    case("gaussian_nll_loss", lambda t, a, b, v: t.F.gaussian_nll_loss(a, b, v, full=True), X, Y, positive(3, 4)),
    case("hinge_embedding_loss", lambda t, a, b: t.F.hinge_embedding_loss(a, b.detach()) + 0 * b.sum(), X, signs(3, 4)),
    case("soft_margin_loss", lambda t, a, b: t.F.soft_margin_loss(a, b.detach()) + 0 * b.sum(), X, signs(3, 4)),
    case(
        "margin_ranking_loss",
        lambda t, a, b, c: t.F.margin_ranking_loss(a, b, c, margin=0.3),
        V,
        V[::-1].copy(),
        signs(4),
    ),
    case("multi_margin_loss", lambda t, a: t.F.multi_margin_loss(a, t.I(*LABELS)), X),
    case("multi_margin_loss squared", lambda t, a: t.F.multi_margin_loss(a, t.I(*LABELS), p=2, margin=0.5), X),
    case(
        "cosine_embedding_loss",
        lambda t, a, b, c: t.F.cosine_embedding_loss(a, b, c.detach()) + 0 * c.sum(),
        X,
        Y,
        signs(3),
    ),
    case("triplet_margin_loss", lambda t, a, b, c: t.F.triplet_margin_loss(a, b, c), X, Y, normal(3, 4, seed=9)),
    case(
        "triplet_margin_loss swapped",
        lambda t, a, b, c: t.F.triplet_margin_loss(a, b, c, swap=True),
        X,
        Y,
        normal(3, 4, seed=9),
    ),
]
INEXACT = {"hardsigmoid"}  # PyTorch's gradient of it holds 1/6 in float32
CASES = [*ARITHMETIC, *REDUCTIONS, *PRODUCTS, *SHAPES, *INDICES, *DERIVED, *ACTIVATIONS, *LOSSES]


def test_names_are_different() -> None:
    assert len({name for name, _, _ in CASES}) == len(CASES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "function", "inputs"), CASES, ids=[name for name, _, _ in CASES])
def test_same_as_torch(name: str, function: Callable[..., Any], inputs: Inputs, dtype: str) -> None:
    arrays = [np.ascontiguousarray(x, dtype) for x in inputs]
    ours = [nl.Tensor(x.copy(), requires_grad=True) for x in arrays]
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, want = function(OURS, *ours), function(THEIRS, *theirs)
    assert y.shape == tuple(want.shape)
    dy = np.asarray(rng(11).standard_normal(y.shape), dtype)
    y.backward(dy)
    want.backward(torch.tensor(dy))
    pairs = [(y.numpy(), want)] + [(a.grad, b.grad) for a, b in zip(ours, theirs, strict=True)]
    for got, expected in pairs:
        expected = np.zeros(got.shape, dtype) if expected is None else expected.detach().numpy()
        assert got.dtype == expected.dtype
        # A few dozen roundings, of numbers up to the largest that occurs.
        largest = max([1.0, *(float(abs(v[np.isfinite(v)]).max(initial=0.0)) for v in (expected, *arrays))])
        eps = np.finfo("float32" if name in INEXACT else dtype).eps
        np.testing.assert_allclose(got, expected, rtol=0, atol=64 * eps * largest**2)


def test_what_is_drawn() -> None:
    x = normal(50, 4)
    nl.manual_seed(1)
    soft = nl.nn.functional.gumbel_softmax(x)
    np.testing.assert_allclose(soft.data.sum(1), 1, rtol=1e-12)
    given = nl.Tensor(x, requires_grad=True)
    hard = nl.nn.functional.gumbel_softmax(given, hard=True)
    assert set(np.unique(hard.data)) == {0.0, 1.0}
    assert (hard.data.sum(1) == 1).all()
    (hard * x).sum().backward()
    assert abs(given.grad).max() > 0
    slopes = nl.nn.functional.rrelu(-np.ones(1000), 0.1, 0.3, training=True).data
    assert -0.3 < slopes.min() < -0.28 < -0.12 < slopes.max() <= -0.1
