"""Softmax and the losses: bit for bit on every backend."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, Array, Refusal, assert_op, full, numbers, specials, zeros_and_ties
from nnlite import reference
from support import assert_same_bits, rng

SHAPES = [(1, 1), (1, 10), (3, 2), (5, 31), (4, 32), (33, 33), (2, 511), (2, 1000), (1, 4097), (700, 3)]
INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, ">i4", ">u8"]


def labels(*values: int, dtype: npt.DTypeLike = np.int64) -> Array:
    return np.array(values, dtype)


REFUSALS: list[Refusal] = [
    ("softmax_forward", lambda: ([[1.0]],), TypeError, r"^softmax_forward: x must be a numpy.ndarray, got list$"),
    ("softmax_forward", lambda: (full(3),), ValueError, r"x must have 2 dimensions \(N, K\), got 1 with shape \(3,\)$"),
    ("softmax_forward", lambda: (full(3, 0),), ValueError, r"x must have at least 1 class, got shape \(3, 0\)$"),
    (
        "softmax_backward",
        lambda: (full(2, 3), full(2, 4)),
        ValueError,
        r"dy has shape \(2, 3\) but y has shape \(2, 4\)$",
    ),
    ("softmax_backward", lambda: (full(2, 3), full(2, 3, dtype=float)), TypeError, r"dy is float32 but y is float64"),
    (
        "mse_forward",
        lambda: (full(2, 3), full(3)),
        ValueError,
        r"^mse_forward: x has shape \(2, 3\) but target has shape \(3,\)$",
    ),
    ("mse_forward", lambda: (full(2), full(2, dtype=float)), TypeError, r"x is float32 but target is float64"),
    ("mse_forward", lambda: (full(2), labels(1, 2)), TypeError, r"target must be float32 or float64, got int64$"),
    ("mse_forward", lambda: (full(0, 3), full(0, 3)), ValueError, r"^mse_forward: an empty batch has no mean loss$"),
    (
        "mse_backward",
        lambda: (full(1), full(2), full(2)),
        ValueError,
        r"dloss must have 0 dimensions \(\), got 1 with shape \(1,\)$",
    ),
    ("mse_backward", lambda: (full(dtype=float), full(2), full(2)), TypeError, r"dloss is float64 but x is float32"),
    (
        "mse_backward",
        lambda: (full(), full(2), full(3)),
        ValueError,
        r"x has shape \(2,\) but target has shape \(3,\)$",
    ),
    ("mse_backward", lambda: (1.0, full(2), full(2)), TypeError, r"dloss must be a numpy.ndarray, got float$"),
    (
        "mse_backward",
        lambda: (full(), full(0), full(0)),
        ValueError,
        r"^mse_backward: an empty batch has no mean loss$",
    ),
]
# What both directions of the cross-entropy refuse: scores or softmax, target.
TARGETS: list[tuple[Array, Any, type[Exception], str]] = [
    (full(2, 3), [0, 1], TypeError, r"target must be a numpy.ndarray, got list$"),
    (full(2, 3), labels(0, 3), ValueError, r"target\[1\] is 3 but there are 3 classes \(0 to 2\)$"),
    (full(2, 3), labels(-1, 3), ValueError, r"target\[0\] is -1 but there are 3 classes \(0 to 2\)$"),
    (
        full(2, 3),
        labels(0, 2**63, dtype=np.uint64),
        ValueError,
        r"target\[1\] is .* but there are 3 classes \(0 to 2\)$",
    ),
    (full(2, 3), labels(0, 1, 2), ValueError, r"has 2 rows but target has 3 labels$"),
    (full(2, 3), full(2, 1, dtype=int), ValueError, r"target must have 1 dimension \(N,\), got 2 with shape \(2, 1\)$"),
    (full(2, 3), full(2, dtype=bool), TypeError, r"target must be float32 or float64, got bool$"),
    (full(2, 3), full(2), ValueError, r"target must have 2 dimensions \(N, K\), got 1 with shape \(2,\)$"),
    (full(2, 3), full(2, 4), ValueError, r"has shape \(2, 3\) but target has shape \(2, 4\)$"),
    (full(2, 3), full(2, 3, dtype=float), TypeError, r"is float32 but target is float64; convert one of them"),
    (full(0, 3), labels(), ValueError, r"an empty batch has no mean loss$"),
    (full(0, 3), full(0, 3), ValueError, r"an empty batch has no mean loss$"),
    (full(3), labels(0), ValueError, r"must have 2 dimensions \(N, K\), got 1"),
    (full(2, 0), labels(0, 0), ValueError, r"target\[0\] is 0 but there are 0 classes"),
]


def probabilities(shape: tuple[int, int], dtype: npt.DTypeLike, seed: int) -> Array:
    t = abs(numbers(shape, np.float64, seed))
    return (t / t.sum(1, keepdims=True)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    for i, shape in enumerate([*SHAPES, (0, 3)]):
        for values in (numbers, specials, zeros_and_ties):
            x = values(shape, dtype, i)
            y = assert_op(backend, "softmax_forward", x)
            assert_op(backend, "softmax_backward", values(shape, dtype, i + 100), y)
        assert_op(backend, "softmax_forward", numbers(shape, dtype, i) * np.asarray(100, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_of_labels(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    for i, shape in enumerate(SHAPES):
        target = rng(i).integers(0, shape[1], shape[0])
        for values in (numbers, specials, zeros_and_ties):
            _, y = assert_op(backend, "softmax_cross_entropy_forward", values(shape, dtype, i), target)
            dloss = np.array(0.7, dtype)
            assert_op(backend, "softmax_cross_entropy_backward", dloss, y, target)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_of_probabilities(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    for i, (rows, classes) in enumerate(SHAPES):
        one_hot = np.eye(classes, dtype=dtype)[rng(i).integers(0, classes, rows)]
        for values in (numbers, specials, zeros_and_ties):
            for target in (one_hot, probabilities((rows, classes), dtype, i), values((rows, classes), dtype, i + 7)):
                _, y = assert_op(backend, "softmax_cross_entropy_forward", values((rows, classes), dtype, i), target)
                assert_op(backend, "softmax_cross_entropy_backward", np.array(-1.3, dtype), y, target)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rows", "size"), [(5, 8), (9, 64), (3, 256), (3, 4104), (2, 8200), (1, 32_776), (1, 116_400), (1, 232_800)]
)
def test_rows_of_any_length(backend: ModuleType, rows: int, size: int, dtype: npt.DTypeLike) -> None:
    """Rows of as many bytes as make a device use a part of a warp, a warp, a block, and no longer shared memory."""
    check_rows(backend, (rows, size // np.dtype(dtype).itemsize), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(128, 1), (129, 10), (160, 17), (131, 32)])
def test_many_short_rows(backend: ModuleType, shape: tuple[int, int], dtype: npt.DTypeLike, small_device: None) -> None:
    check_rows(backend, shape, dtype)


def check_rows(backend: ModuleType, shape: tuple[int, int], dtype: npt.DTypeLike) -> None:
    x, dy, p = numbers(shape, dtype, 1), numbers(shape, dtype, 2), probabilities(shape, dtype, 3)
    y = reference.softmax_forward(x)
    target, dloss = rng(4).integers(0, shape[1], shape[0]), np.array(0.7, dtype)
    for op, *args in (
        ("softmax_forward", x),
        ("softmax_backward", dy, y),
        ("softmax_cross_entropy_forward", x, p),
        ("softmax_cross_entropy_forward", x, target),
        ("softmax_cross_entropy_backward", dloss, y, p),
        ("softmax_cross_entropy_backward", dloss, y, target),
    ):
        assert_same_bits(getattr(backend, op)(*args), getattr(reference, op)(*args))


@pytest.mark.parametrize("integer", INTEGERS)
def test_labels_of_any_integer_type(backend: ModuleType, integer: npt.DTypeLike) -> None:
    x, target = numbers((5, 4), np.float32), labels(0, 3, 1, 2, 3)
    loss, y = backend.softmax_cross_entropy_forward(x, target.astype(integer))
    assert_same_bits((loss, y), backend.softmax_cross_entropy_forward(x, target))
    dloss = np.ones((), np.float32)
    dx = backend.softmax_cross_entropy_backward(dloss, y, target.astype(integer))
    assert_same_bits(dx, backend.softmax_cross_entropy_backward(dloss, y, target))


@pytest.mark.parametrize("dtype", DTYPES)
def test_mse(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    for i, shape in enumerate([(), (1,), (7,), (31, 33), (2, 3, 4), (4097,)]):
        for values in (numbers, specials, zeros_and_ties):
            x, target = values(shape, dtype, i), values(shape, dtype, i + 100)
            assert_op(backend, "mse_forward", x, target)
            assert_op(backend, "mse_backward", np.array(0.3, dtype), x, target)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_has_the_same_bits_in_any_batch(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    x = numbers((9, 11), dtype, 1)
    whole = backend.softmax_forward(x)
    for start, stop in ((0, 1), (8, 9), (2, 6)):
        assert_same_bits(backend.softmax_forward(x[start:stop]), whole[start:stop])


@pytest.mark.parametrize(("op", "args", "error", "message"), REFUSALS)
def test_refusals(backend: ModuleType, op: str, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(backend, op)(*args())


@pytest.mark.parametrize(("x", "target", "error", "message"), TARGETS)
def test_refused_targets(backend: ModuleType, x: Array, target: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^softmax_cross_entropy_forward: .*{message}"):
        backend.softmax_cross_entropy_forward(x, target)
    with pytest.raises(error, match=f"^softmax_cross_entropy_backward: .*{message}"):
        backend.softmax_cross_entropy_backward(full(), x, target)


def test_refused_gradients_of_the_loss(backend: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"dloss must have 0 dimensions \(\), got 1 with shape \(1,\)$"):
        backend.softmax_cross_entropy_backward(full(1), full(2, 3), labels(0, 1))
    with pytest.raises(TypeError, match=r"dloss is float64 but y is float32"):
        backend.softmax_cross_entropy_backward(full(dtype=float), full(2, 3), labels(0, 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradient_without_classes_is_empty(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    y = np.zeros((100_000, 0), dtype)
    dx = backend.softmax_cross_entropy_backward(np.asarray(np.ones((), dtype)), y, y.copy())
    assert_same_bits(dx, y)
    assert_same_bits(backend.softmax_backward(y, y), y)


def test_one_hot_labels_of_another_type_are_refused_with_the_fix(backend: ModuleType) -> None:
    x = np.zeros((2, 3), np.float32)
    op = "softmax_cross_entropy_forward: "
    with pytest.raises(TypeError, match=rf"^{op}x is float32 but target is float64; .* target\.astype\(np\.float32\)$"):
        backend.softmax_cross_entropy_forward(x, np.eye(3)[[0, 1]])
    with pytest.raises(ValueError, match=rf"^{op}one-hot target must be .* e\.g\. target\.astype\(np\.float32\)$"):
        backend.softmax_cross_entropy_forward(x, np.eye(3, dtype=np.int64)[[0, 1]])


def test_the_first_wrong_label_of_many(backend: ModuleType) -> None:
    x, t = numbers((300, 5), np.float32), np.zeros(300, np.int64)
    t[[200, 250]] = 9, -1
    with pytest.raises(ValueError, match=r"target\[200\] is 9 but there are 5 classes \(0 to 4\)"):
        backend.softmax_cross_entropy_forward(x, t)
