"""Metrics, beside scikit-learn's and torch's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import nnlite as nl
from nnlite import metrics
from support import assert_same_bits, rng

Y = rng(0).normal(size=(50, 4)).astype(np.float32)
T = rng(1).integers(0, 3, 50)  # class 3 never comes


def test_like_scikit_learn() -> None:
    other = pytest.importorskip("sklearn.metrics")
    p = Y.argmax(1)
    assert_same_bits(metrics.confusion_matrix(Y, T), other.confusion_matrix(T, p))
    assert metrics.accuracy(Y, T) == metrics.accuracy(p, T) == metrics.accuracy(nl.Tensor(Y), T)
    assert metrics.accuracy(Y, T) == pytest.approx(other.accuracy_score(T, p))
    for ours, theirs in (
        (metrics.precision, other.precision_score),
        (metrics.recall, other.recall_score),
        (metrics.f1, other.f1_score),
    ):
        for average in ("macro", "micro", None):
            expected = theirs(T, p, average=average, zero_division=0)
            np.testing.assert_allclose(ours(Y, T, average), expected, rtol=1e-15)
        two, guess = (T > 0).astype(int), (p > 0).astype(int)
        assert ours(guess, two, "binary") == pytest.approx(theirs(two, guess), rel=1e-15)
        assert ours(np.zeros(3, int), np.array([1, 0, 1]), "binary") == 0.0
        assert ours(np.zeros(3, int), np.zeros(3, int), "binary") == 0.0
    for k in (1, 2, 3):
        expected = other.top_k_accuracy_score(T, Y, k=k, labels=range(4))
        assert metrics.top_k_accuracy(Y, T, k) == pytest.approx(expected)
    assert metrics.mean_absolute_error(Y, Y[::-1]) == pytest.approx(other.mean_absolute_error(Y, Y[::-1]), rel=1e-6)


def test_ties_go_to_the_first() -> None:
    y = np.array([[1.0, 1.0, 0.0], [np.nan, 1.0, 2.0]])
    assert metrics.top_k_accuracy(y[:1], np.array([0]), 1) == 1
    assert metrics.top_k_accuracy(y[:1], np.array([1]), 1) == 0
    assert metrics.top_k_accuracy(y[1:], np.array([0]), 3) == 0
    assert metrics.accuracy(y[:1], np.array([0])) == 1


def test_perplexity() -> None:
    assert metrics.perplexity(np.zeros((5, 7)), np.arange(5)) == pytest.approx(7, rel=1e-14)
    loss = nl.nn.CrossEntropyLoss()(nl.Tensor(Y.astype(np.float64)), T).item()
    assert metrics.perplexity(Y, T) == pytest.approx(math.exp(loss), rel=1e-13)
    assert metrics.perplexity(Y.reshape(10, 5, 4), T.reshape(10, 5)) == metrics.perplexity(Y, T)
    assert metrics.perplexity(np.array([[1e4, 0.0]]), np.array([0])) == 1.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.accuracy(Y, T[:3]), ValueError, r"\(3, K\) or classes \(3,\), as t has 3 .* shape \(50, 4\)"),
        (lambda: metrics.accuracy(Y, T / 1), TypeError, r"got float64; write t\.astype\(np\.int64\)"),
        (lambda: metrics.accuracy(T / 1, T), TypeError, "y must be integer classes or outputs"),
        (lambda: metrics.accuracy(Y[:0], T[:0]), ValueError, "at least one sample"),
        (lambda: metrics.accuracy([1], T), TypeError, "must be a numpy.ndarray or a Tensor, got list"),
        (lambda: metrics.confusion_matrix(T, T, 2), ValueError, r"has the class 2, but there are the classes 0 to 1"),
        (lambda: metrics.f1(Y, T, "binary"), ValueError, "for two classes, got 4; write average='macro'"),
        (lambda: metrics.f1(Y, T, "weighted"), ValueError, "average must be .* got 'weighted'"),
        (lambda: metrics.top_k_accuracy(Y, T, 5), ValueError, "at most the 4 classes of y, got 5"),
        (lambda: metrics.mean_absolute_error(Y, Y[:, :1]), ValueError, r"\(50, 4\) but t has shape \(50, 1\)"),
        (lambda: metrics.perplexity(Y, T[:, np.newaxis]), ValueError, r"got \(50, 4\)"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
