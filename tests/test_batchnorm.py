"""Batch normalisation: bit for bit on every backend."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, Refusal, assert_op, full, numbers, specials
from support import assert_same_bits

SHAPES = [
    (2, 1),
    (2, 3),
    (33, 5),
    (1, 3, 2),
    (4, 3, 31),
    (1, 2, 33),
    (2, 3, 4, 5),
    (3, 17, 8, 4),
    (2, 2, 64, 65),
    (40, 2, 1, 1),
    (4097, 3),
    (4097, 2, 2),
    (9, 5, 32),
    (3, 3, 8, 16),
    (2, 3, 129),
    (1, 2, 2049),
    (1, 2, 8200),
    (1, 1, 58_200),  # more than shared memory
]
EMPTY = [(0, 3), (0, 3, 4), (0, 3, 4, 4), (2, 0), (2, 0, 3, 3), (2, 3, 0)]


X = (2, 3, 4)
REFUSALS: list[Refusal] = [
    ("batchnorm_training_forward", lambda: ([], full(3), full(3)), TypeError, r"x must be a numpy.ndarray, got list$"),
    (
        "batchnorm_training_forward",
        lambda: (full(*X, dtype=int), full(3), full(3)),
        TypeError,
        r"x must be float32 or float64, got int64$",
    ),
    (
        "batchnorm_training_forward",
        lambda: (full(3), full(3), full(3)),
        ValueError,
        r"x must have 2, 3 or 4 dimensions \(N, C, ...\), got 1 with shape \(3,\)$",
    ),
    (
        "batchnorm_training_forward",
        lambda: (full(1, 1, 1, 1, 1), full(1), full(1)),
        ValueError,
        r"x must have 2, 3 or 4 dimensions .*, got 5",
    ),
    (
        "batchnorm_training_forward",
        lambda: (full(*X), full(4), full(3)),
        ValueError,
        r"x has 3 channels but weight has 4$",
    ),
    (
        "batchnorm_training_forward",
        lambda: (full(*X), full(3), full(2)),
        ValueError,
        r"x has 3 channels but bias has 2$",
    ),
    (
        "batchnorm_training_forward",
        lambda: (full(*X), full(3, 1), full(3)),
        ValueError,
        r"weight must have 1 dimension \(C,\), got 2",
    ),
    (
        "batchnorm_training_forward",
        lambda: (full(*X, dtype=float), full(3), full(3)),
        TypeError,
        r"x is float64 but weight is float32; convert",
    ),
    (
        "batchnorm_training_forward",
        lambda: (full(*X), full(3), full(3, dtype=float)),
        TypeError,
        r"x is float32 but bias is float64",
    ),
    (
        "batchnorm_training_forward",
        lambda: (full(1, 3), full(3), full(3)),
        ValueError,
        r"training needs at least 2 values per channel, got 1$",
    ),
    (
        "batchnorm_training_forward",
        lambda: (full(0, 3), full(3), full(3)),
        ValueError,
        r"training needs at least 2 values per channel, got 0$",
    ),
    (
        "batchnorm_training_forward",
        lambda: (full(*X), full(3), full(3), "1"),
        TypeError,
        r"eps must be a number, got str$",
    ),
    (
        "batchnorm_training_backward",
        lambda: (full(2, 3, 5), full(*X), full(3), full(3), full(3)),
        ValueError,
        r"dy has shape \(2, 3, 5\) but x has shape \(2, 3, 4\)$",
    ),
    (
        "batchnorm_training_backward",
        lambda: (full(*X), full(*X), full(3), full(2), full(3)),
        ValueError,
        r"x has 3 channels but mean has 2$",
    ),
    (
        "batchnorm_training_backward",
        lambda: (full(*X), full(*X), full(3), full(3), full(2)),
        ValueError,
        r"x has 3 channels but var has 2$",
    ),
    (
        "batchnorm_training_backward",
        lambda: (full(1, 3), full(1, 3), full(3), full(3), full(3)),
        ValueError,
        r"at least 2 values per channel, got 1$",
    ),
    (
        "batchnorm_training_backward",
        lambda: (full(*X), full(*X, dtype=float), full(3), full(3), full(3)),
        TypeError,
        r"dy is float32 but x is float64",
    ),
    (
        "batchnorm_training_backward",
        lambda: (full(*X), full(*X), full(3), full(3), full(3), 1e-5, full(2)),
        ValueError,
        r"x has 3 channels but bias has 2$",
    ),
    (
        "batchnorm_inference_backward",
        lambda: (full(*X), full(*X), full(3), full(3), full(3), 1e-5, full(3, dtype=float)),
        TypeError,
        r"x is float32 but bias is float64",
    ),
    (
        "batchnorm_inference_forward",
        lambda: (full(*X), full(3), full(3), full(4), full(3)),
        ValueError,
        r"x has 3 channels but mean has 4$",
    ),
    (
        "batchnorm_inference_forward",
        lambda: (full(3), full(3), full(3), full(3), full(3)),
        ValueError,
        r"x must have 2, 3 or 4 dimensions",
    ),
    (
        "batchnorm_inference_backward",
        lambda: (full(2, 3), full(*X), full(3), full(3), full(3)),
        ValueError,
        r"dy has shape \(2, 3\) but x has shape",
    ),
    (
        "batchnorm_running_update",
        lambda: (full(3), full(3), full(3), full(2), 5, 0.1),
        ValueError,
        r"var has shape \(2,\) but running_mean needs \(3,\)$",
    ),
    (
        "batchnorm_running_update",
        lambda: (full(3), full(3), full(3), full(3), 1, 0.1),
        ValueError,
        r"count must be at least 2, got 1$",
    ),
    (
        "batchnorm_running_update",
        lambda: (full(3), full(3), full(3), full(3), 2.5, 0.1),
        TypeError,
        r"count must be an int, got 2\.5$",
    ),
    (
        "batchnorm_running_update",
        lambda: (full(3), full(3), full(3), full(3), 5, None),
        TypeError,
        r"momentum must be a number, got NoneType$",
    ),
    (
        "batchnorm_running_update",
        lambda: (full(3), full(3), full(3), full(3, dtype=float), 5, 0.1),
        TypeError,
        r"running_mean is float32 but var is float64",
    ),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_training(backend: ModuleType, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    for values in (numbers, specials):
        x, dy = values(shape, dtype, 1), values(shape, dtype, 2)
        weight, bias = numbers(shape[1], dtype, 3), numbers(shape[1], dtype, 4)
        _, mean, var = assert_op(backend, "batchnorm_training_forward", x, weight, bias, eps=1e-3)
        assert_op(backend, "batchnorm_training_backward", dy, x, weight, mean, var, eps=1e-3)
        assert_op(backend, "batchnorm_training_forward", x, weight, bias, eps=1e-3, relu=True)
        assert_op(backend, "batchnorm_training_backward", dy, x, weight, mean, var, eps=1e-3, bias=bias)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY])
def test_inference(backend: ModuleType, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    for values in (numbers, specials):
        x, dy = values(shape, dtype, 1), values(shape, dtype, 2)
        weight, bias, mean, var = (numbers(shape[1], dtype, seed) for seed in (3, 4, 5, 6))
        assert_op(backend, "batchnorm_inference_forward", x, weight, bias, mean, var * var)
        assert_op(backend, "batchnorm_inference_backward", dy, x, weight, mean, var * var)
        assert_op(backend, "batchnorm_inference_forward", x, weight, bias, mean, var * var, relu=True)
        assert_op(backend, "batchnorm_inference_backward", dy, x, weight, mean, var * var, bias=bias)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(33, 5), (3, 4, 31), (2, 3, 8, 17)])
def test_relu_is_that_of_its_own(backend: ModuleType, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    for values in (numbers, specials):
        x, dy = values(shape, dtype, 1), values(shape, dtype, 2)
        weight, bias = numbers(shape[1], dtype, 3), numbers(shape[1], dtype, 4)
        weight[:2], bias[:2] = 0, (0.0, -0.0)  # results of +0 and -0
        y, mean, var = backend.batchnorm_training_forward(x, weight, bias)
        fused, _, _ = backend.batchnorm_training_forward(x, weight, bias, relu=True)
        assert_same_bits(fused, backend.relu_forward(y))
        want = backend.batchnorm_training_backward(backend.relu_backward(dy, y), x, weight, mean, var)
        assert_same_bits(backend.batchnorm_training_backward(dy, x, weight, mean, var, bias=bias), want)
        given = backend.batchnorm_inference_forward(x, weight, bias, mean, var, relu=True)
        assert_same_bits(given, fused)
        want = backend.batchnorm_inference_backward(backend.relu_backward(dy, y), x, weight, mean, var)
        assert_same_bits(backend.batchnorm_inference_backward(dy, x, weight, mean, var, bias=bias), want)


@pytest.mark.parametrize("dtype", DTYPES)
def test_constant_input_and_far_mean(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    weight, bias = numbers(2, dtype, 1), numbers(2, dtype, 2)
    y, _, var = assert_op(backend, "batchnorm_training_forward", np.full((4, 2, 3), 7, dtype), weight, bias)
    assert_same_bits(var, np.zeros(2, dtype))
    assert_same_bits(y, np.broadcast_to(bias[:, None], (4, 2, 3)).copy())
    # Two-pass accuracy: the variance survives a mean that is large against it.
    x = numbers((8, 2, 50), dtype, 3) + np.asarray(1000, dtype)
    _, _, var = assert_op(backend, "batchnorm_training_forward", x, weight, bias)
    np.testing.assert_allclose(var, x.astype(np.float64).var((0, 2)), rtol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("momentum", [0.0, 0.1, 1 / 3, 1.0])
def test_running_update(backend: ModuleType, momentum: float, dtype: npt.DTypeLike) -> None:
    for values in (numbers, specials):
        arrays = [values(33, dtype, seed) for seed in range(4)]
        assert_op(backend, "batchnorm_running_update", *arrays, 2, momentum)
        assert_op(backend, "batchnorm_running_update", *arrays, 1000, momentum)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_has_the_same_bits_in_any_batch(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    x = numbers((9, 3, 5, 7), dtype, 1)
    statistics = [abs(numbers(3, dtype, seed)) for seed in range(4)]
    whole = backend.batchnorm_inference_forward(x, *statistics)
    for start, stop in ((0, 1), (8, 9), (2, 6)):
        assert_same_bits(backend.batchnorm_inference_forward(x[start:stop], *statistics), whole[start:stop])


@pytest.mark.parametrize(("op", "args", "error", "message"), REFUSALS)
def test_refusals(backend: ModuleType, op: str, args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(backend, op)(*args())
