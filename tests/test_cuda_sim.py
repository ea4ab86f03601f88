"""The simulator finds what it is for: kernels with planted faults fail with the place, and the next kernel works."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

sim = pytest.importorskip("nnlite._cuda_sim", reason="built without NNLITE_CUDA_SIM")

X = np.arange(64, dtype=np.float32)
ORDERS = [("ascending", 0), ("descending", 0), ("random", 3)]


def planted(name: str, order: str = "ascending", seed: int = 0) -> np.ndarray:
    x, y = sim._from_numpy(X, 0), sim._from_numpy(np.zeros_like(X), 0)
    sim._set_order(order, seed)
    try:
        sim._planted(name, x, y)
    finally:
        sim._set_order("ascending")
    return y.numpy()


@pytest.mark.parametrize(("order", "seed"), ORDERS)
def test_a_barrier_holds_in_every_order(order: str, seed: int) -> None:
    assert np.array_equal(planted("reverse", order, seed), X[::-1])


@pytest.mark.parametrize(("order", "seed"), ORDERS)
def test_a_missing_barrier_shows_as_nan(order: str, seed: int) -> None:
    y = planted("race", order, seed)
    assert np.isnan(y).any(), "shared memory starts as NaN, so what was read too early is NaN"


def test_a_missing_barrier_gives_other_bits_in_another_order() -> None:
    assert not np.array_equal(np.isnan(planted("race", *ORDERS[0])), np.isnan(planted("race", *ORDERS[1])))


@pytest.mark.parametrize(("order", "seed"), ORDERS)
def test_shuffles_and_votes(order: str, seed: int) -> None:
    y = planted("shuffles", order, seed).reshape(2, 32)
    x = X.reshape(2, 32)
    before = np.concatenate([x[:, :1], x[:, :-1]], 1)
    want = x.sum(1, keepdims=True) + (x > 3).sum(1, keepdims=True) * 1000 + before * 100000
    assert np.array_equal(y, want.astype(np.float32))


FAULTS = [
    (
        "read_behind",
        r"read_behind: block \(0, 0, 0\), thread \(63, 0, 0\): access 0 bytes past the end",
    ),
    ("write_behind", r"thread \(63, 0, 0\): access 0 bytes past the end of an allocation of 256 bytes"),
    ("write_far", r"write_far: block \(0, 0, 0\), thread \(0, 0, 0\): access "),
    ("shared_behind", r"thread \(60, 0, 0\): access outside the 256 bytes of shared memory"),
    ("some_at_barrier", r"thread \(0, 0, 0\): waits at a barrier that 54 of 64 threads never reach"),
    ("some_at_shuffle", r"thread \(0, 0, 0\): waits for its warp at a shuffle that 2 of 64 threads never reach"),
    ("half_warp", r"half_warp: block .*: a shuffle or vote must name the whole warp"),
    ("empty_grid", r"empty_grid: cannot be launched with a grid of \(0, 1, 1\)"),
    ("large_block", r"large_block: cannot be launched with a grid of \(1, 1, 1\), blocks of \(2048, 1, 1\)"),
    ("large_shared", r"large_shared: cannot be launched .* and 1048576 bytes of shared memory"),
]


@pytest.mark.parametrize(("name", "message"), FAULTS)
def test_a_fault_is_an_exception_and_the_next_kernel_works(name: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        planted(name)
    assert np.array_equal(planted("reverse"), X[::-1])


def test_writing_into_the_slack_before_the_unmapped_page_is_found() -> None:
    x, y = sim._from_numpy(X, 0), sim._from_numpy(np.zeros(61, np.float32), 0)  # 12 bytes from its page's end
    with pytest.raises(RuntimeError, match="past the end of an allocation of 244 bytes"):
        sim._planted("reverse", x, y)


def test_the_host_cannot_touch_device_memory() -> None:
    script = (
        "import numpy as np, nnlite._cuda_sim as s\n"
        "x = s._from_numpy(np.zeros(64, 'f'), 0)\n"
        "s._planted('host_access', x, s._from_numpy(np.zeros(64, 'f'), 0))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, capture_output=True).returncode == -11
