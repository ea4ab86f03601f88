"""Results come from a recycling allocator: what is in use is never handed out, what is not does not pile up."""

from __future__ import annotations

import gc
import importlib
import resource

import numpy as np
import pytest

import nnlite as nl
from nnlite.backend import available

BACKEND = importlib.import_module(f"nnlite._{available()[-1]}")
LARGE = 1 << 18  # floats: far above what NumPy allocates for a result


def test_results_outlive_their_inputs_and_keep_their_memory() -> None:
    results = []
    for i in range(20):
        x = np.full(LARGE, i, np.float32)
        results.append(BACKEND.add(x, x))
        del x
        BACKEND.add(np.ones(LARGE, np.float32), np.ones(LARGE, np.float32))  # freed at once, for the next to reuse
    for i, result in enumerate(results):
        assert (result == 2 * i).all()
    addresses = [result.__array_interface__["data"][0] for result in results]
    assert len(set(addresses)) == 20


def test_a_view_keeps_the_memory() -> None:
    x = np.full(LARGE, 3, np.float32)
    view = BACKEND.add(x, x)[5:10]
    gc.collect()
    for _ in range(5):
        BACKEND.add(np.zeros(LARGE, np.float32), np.zeros(LARGE, np.float32))
    assert (view == 6).all()


def test_memory_is_recycled() -> None:
    x = np.ones(LARGE, np.float32)
    first = BACKEND.add(x, x)
    address = first.__array_interface__["data"][0]
    del first
    assert BACKEND.add(x, x).__array_interface__["data"][0] == address


@pytest.mark.parametrize("n", [1 << 15, LARGE, (1 << 20) + 7])
def test_large_results_are_aligned(n: int) -> None:
    x = np.ones(n, np.float32)
    assert BACKEND.add(x, x).__array_interface__["data"][0] % 64 == 0


def test_repeated_steps_do_not_grow() -> None:
    x, weight = nl.random.normal((8, 8, 32, 32)), nl.random.normal((16, 8, 3, 3))

    def step() -> None:
        y = BACKEND.conv2d_forward(x, weight, None, 1, 1)
        BACKEND.conv2d_backward_weights(y, x, weight.shape, 1, 1)
        BACKEND.conv2d_backward_data(y, weight, x.shape, 1, 1)

    for _ in range(10):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(300):
        step()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # kilobytes
    assert grown < 20_000


def test_residues_of_a_stride_are_not_kept_all_at_a_time() -> None:
    weight = np.ones((3, 2, 200, 200), np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dx = BACKEND.conv2d_backward_data(np.ones((1, 3, 1, 1), np.float32), weight, (1, 2, 200, 200), 200)
    assert (dx == 3).all()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # kilobytes
    assert grown < 50_000


def test_what_cannot_be_allocated_is_an_error_and_the_next_call_works() -> None:
    with pytest.raises(MemoryError, match=r"^cannot allocate 1152921504606846976 bytes$"):
        BACKEND.sum_backward(np.zeros((), np.float32), (1 << 58,))
    with pytest.raises(ValueError, match="overflows"):
        BACKEND.sum_backward(np.zeros((), np.float32), (1 << 31, 1 << 31))
    assert BACKEND.sum_backward(np.ones((), np.float32), (3,)).tolist() == [1, 1, 1]
