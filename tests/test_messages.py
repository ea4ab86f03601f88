"""What tensors, layers and losses say of wrong calls: one sentence that names op, argument and both sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnlite as nl
import nnlite.nn.functional as F
from nnlite import nn, optim

X, EMPTY = nl.Tensor(np.arange(6, dtype=np.float32).reshape(2, 3)), nl.zeros(0, 3)


def set_item() -> None:
    X[0] = 1.0  # type: ignore[index]


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: X.sum(5), ValueError, r"^sum: dim is 5 but x has 2 dimensions \(-2 to 1\)$"),
    (lambda: X.sum("a"), TypeError, r"^sum: dim must be an integer, got 'a'$"),
    (lambda: EMPTY.max(), ValueError, r"^amax: x has shape \(0, 3\), so axes \(0, 1\) hold nothing$"),
    (lambda: nl.cat(X), TypeError, r"^cat: tensors must be a list of tensors, got one; write cat\(\[a, b\]\)$"),
    (lambda: nl.stack([]), ValueError, r"^stack: tensors must hold at least one tensor$"),
    (lambda: X[5], IndexError, r"^x\[key\]: index 5 is out of range for dimension 0 with 2 elements$"),
    (lambda: X[X], TypeError, r"a tensor holds floats and is no index; write x\[mask\]"),
    (lambda: X[0, 0, 0], IndexError, r"3 indices for a tensor of 2 dimensions, shape \(2, 3\)$"),
    (set_item, TypeError, r"nothing works in place on a tensor; write nl\.where"),
    (lambda: X.clamp("a"), TypeError, r"^clamp: min must be a number, got 'a'$"),
    (
        lambda: nl.where(X > 1, 0, 1),
        TypeError,
        r"^where: a or b must be a Tensor or .*, got two numbers$",
    ),
    (lambda: X @ X, ValueError, r"^matmul: shapes \(2, 3\) and \(2, 3\) do not fit: 3 columns but 2 rows$"),
    (lambda: nl.einsum("ij,jk->ik", X, X), ValueError, r"^einsum: 'j' is 3 and 2 in 'ij,jk->ik'$"),
    (
        lambda: F.mse_loss(nl.zeros(4, 1), nl.zeros(4)),
        ValueError,
        r"has shape \(4, 1\) but target has shape \(4,\); resh",
    ),
    (
        lambda: F.cross_entropy(X, np.array([0.0, 1.0])),
        TypeError,
        r"^cross_entropy: target must be an array of integer classes, got float64; write target\.astype\(int\)$",
    ),
    (
        lambda: F.nll_loss(X, np.zeros(3, int)),
        ValueError,
        r"target has shape \(3,\) but x of shape .* needs \(2,\)$",
    ),
    (
        lambda: F.pad(X, (5, 5), "reflect"),
        ValueError,
        r"'reflect' of dimension 1 with 3 .* allows widths up to 2$",
    ),
    (
        lambda: nn.ConvTranspose2d(2, 3, 3)(nl.zeros(1, 3, 9, 9)),
        ValueError,
        r"^conv_transpose2d: x has 3 channels but weight expects 2",
    ),
    (
        lambda: nn.LSTM(3, 4)(nl.zeros(0, 5, 3)),
        ValueError,
        r"^LSTM: x must hold at least one step, got shape",
    ),
    (
        lambda: nn.LSTM(3, 4)(nl.zeros(2, 5)),
        ValueError,
        r"^LSTM: x must be \(L, N, 3\) or .*, got shape \(2, 5\)",
    ),
    (lambda: nn.LayerNorm(4)(X), ValueError, r"^layer_norm: normalized_shape is \(4,\) but x has shape \(2, 3\)"),
    (lambda: nn.Embedding(3, 2)(np.array([7])), ValueError, r"index\[0\] is 7 but there are 3 elements along the axis"),
    (lambda: optim.Rprop([nl.Parameter(np.ones(1))], etas=3), TypeError, r"^Rprop: etas must be two numbers, got 3$"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_one_sentence(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
