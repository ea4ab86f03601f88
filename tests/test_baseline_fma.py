"""fma in the module that runs on any CPU: by the CPU's instruction and by other operations, with the same bits."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, numbers, specials
from nnlite import reference
from support import assert_same_bits, rng


@pytest.fixture(params=[True, False], ids=["instruction", "operations"])
def baseline(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    module = importlib.import_module("nnlite._cpu_baseline")
    if module._set_fma_instruction(request.param) != request.param:
        pytest.skip("this CPU has no such instruction, or nothing else")
    yield module
    module._set_fma_instruction(True)


def halfway(shape: tuple[int, ...], dtype: npt.DTypeLike, seed: int) -> Any:
    """Numbers whose products and sums often lie halfway between two others, at all magnitudes."""
    random = rng(seed)
    bits = 24 if dtype == np.float32 else 53
    few = random.integers(0, 2, (3, *shape)) * 2.0 ** -random.integers(0, bits + 2, (3, *shape))
    scale = 2.0 ** random.integers(*((-70, 60) if dtype == np.float32 else (-540, 500)), shape)
    return ((1 + few.sum(0)) * scale * random.choice([-1, 1], shape)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("values", [numbers, specials, halfway])
def test_products_have_the_bits_of_the_reference(baseline: ModuleType, values: Any, dtype: npt.DTypeLike) -> None:
    for seed in range(6):
        a, b = values((61, 3), dtype, seed), values((3, 67), dtype, seed + 100)
        assert_same_bits(baseline.gemm(a, b), reference.gemm(a, b))
        assert_same_bits(baseline.gemm(a[:1], b), reference.gemm(a[:1], b))


@pytest.mark.parametrize("op", ["exp_forward", "tanh_forward", "sigmoid_forward"])
def test_elementary_functions_too(baseline: ModuleType, op: str) -> None:
    x = np.concatenate([specials(1000, np.float32), numbers(1000, np.float32) * np.float32(20)])
    assert_same_bits(getattr(baseline, op)(x), getattr(reference, op)(x))
