"""The fused optimizer updates: bit for bit on every backend, in place."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from compare import DTYPES, Array, full, numbers, specials
from device import OnDevice
from nnlite import reference
from support import assert_same_bits, misaligned, strided

SHAPES = [(), (0,), (1,), (31,), (32,), (33,), (3, 5, 7), (1000,)]
Values = Callable[[tuple[int, ...], npt.DTypeLike, int], Array]


def arrays(values: Values, dtype: npt.DTypeLike, seed: int) -> list[Array]:
    return [np.array(values(shape, dtype, seed + i)) for i, shape in enumerate(SHAPES)]


def tiny(shape: tuple[int, ...], dtype: npt.DTypeLike, seed: int) -> Array:
    """Moments around the limit below which they are stored as 0."""
    least = 2.0**-100 if dtype == np.float32 else 2.0**-970
    return np.asarray(numbers(shape, dtype, seed) * least, dtype)


def assert_update(backend: ModuleType, op: str, lists: list[list[Array]], written: list[int], *hyper: Any) -> None:
    """Two steps in place give the reference's bits; gradients (list 1) in any layout are left as they are."""
    want = [[x.copy() for x in list_] for list_ in lists]
    for _ in range(2):
        getattr(reference, op)(*want, *hyper)
    for layout in (np.copy, strided, misaligned):
        got = [[x.copy() for x in list_] for list_ in lists]
        got[1] = [layout(g) if g.ndim else g for g in got[1]]
        for _ in range(2):
            assert getattr(backend, op)(*got, *hyper) is None
        for i in range(len(lists)):
            for got_array, want_array in zip(got[i], want[i] if i in written else lists[i], strict=True):
                assert_same_bits(np.asarray(got_array), want_array)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("values", [numbers, specials, tiny])
@pytest.mark.parametrize(
    ("momentum", "weight_decay", "nesterov"),
    [(0.0, 0.0, False), (0.0, 0.01, False), (0.9, 0.0, False), (0.9, 0.0, True), (0.9, 5e-4, True)],
)
def test_sgd(
    backend: ModuleType, momentum: float, weight_decay: float, nesterov: bool, values: Values, dtype: npt.DTypeLike
) -> None:
    velocities = arrays(values, dtype, 20) if momentum else []
    lists = [arrays(numbers, dtype, 0), arrays(values, dtype, 10), velocities]
    assert_update(backend, "sgd_update", lists, [0, 2], 0.1, momentum, weight_decay, nesterov)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("values", [numbers, specials, tiny])
@pytest.mark.parametrize(("weight_decay", "decoupled"), [(0.0, False), (0.0, True), (0.01, False), (0.01, True)])
def test_adam(backend: ModuleType, weight_decay: float, decoupled: bool, values: Values, dtype: npt.DTypeLike) -> None:
    squares = [np.array(abs(x)) for x in arrays(values, dtype, 30)]
    lists = [arrays(numbers, dtype, 0), arrays(values, dtype, 10), arrays(values, dtype, 20), squares]
    for power in (1, 503):
        corrections = 1 - 0.9**power, 1 - 0.999**power
        hyper = (1e-3, 0.9, 0.999, 1e-8, weight_decay, decoupled, *corrections)
        assert_update(backend, "adam_update", lists, [0, 2, 3], *hyper)


def test_parameters_of_both_types(backend: ModuleType) -> None:
    lists = [[numbers(5, dtype, seed) for dtype in (np.float32, np.float64, np.float32)] for seed in range(3)]
    assert_update(backend, "sgd_update", lists, [0, 2], 0.1, 0.9, 0.1, False)


def test_many_parameters(backend: ModuleType) -> None:
    """More than a launch of a device takes, empty ones between them, and one of more than a block."""
    sizes = [i % 4 for i in range(88)] + [5000, 2048, 0]
    lists = [[numbers(n, np.float32, 100 * seed + i) for i, n in enumerate(sizes)] for seed in range(2)]
    assert_update(backend, "sgd_update", [*lists, []], [0], 0.1, 0.0, 0.01, False)
    lists = [x[-3:] for x in [*lists, *lists[::-1]]]
    lists[3] = [abs(x) for x in lists[3]]
    assert_update(backend, "adam_update", lists, [0, 2, 3], 1e-3, 0.9, 0.999, 1e-8, 0.0, False, 0.1, 0.001)


def test_no_parameters(backend: ModuleType) -> None:
    assert backend.sgd_update([], [], [], 0.1, 0.0, 0.0, False) is None


def test_the_first_momentum_step_is_the_gradient(backend: ModuleType) -> None:
    p, g, v = np.ones(3, np.float32), numbers(3, np.float32), np.zeros(3, np.float32)
    backend.sgd_update([p], [g], [v], 0.5, 0.9, 0.0, False)
    assert_same_bits(v, g)
    assert_same_bits(p, 1 - np.float32(0.5) * g)


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_moments_are_stored_as_zero(backend: ModuleType, dtype: npt.DTypeLike) -> None:
    least = 2.0**-100 if dtype == np.float32 else 2.0**-970
    grads = np.array([least, -least, least * (1 - np.finfo(dtype).epsneg), -least / 2], dtype)
    v = np.zeros(4, dtype)
    backend.sgd_update([np.zeros(4, dtype)], [grads], [v], 0.5, 0.9, 0.0, False)
    assert_same_bits(v, np.array([least, -least, 0, 0], dtype))


def read_only() -> Array:
    x = full(4)
    x.flags.writeable = False
    return x


SHARED = full(8)
P: dict[str, Any] = {"params": [full(4)], "grads": [full(4)]}
BAD_LISTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"params": full(4)}, TypeError, r"params must be a list of arrays, got ndarray$"),
    ({"params": [[1.0]]}, TypeError, r"params\[0\] must be a numpy.ndarray, got list$"),
    ({"params": [full(4, dtype=int)]}, TypeError, r"params\[0\] must be float32 or float64, got int64$"),
    ({"params": [full(4, dtype=">f4")]}, TypeError, r"params\[0\] must be in native byte order, got >f4$"),
    ({"params": [full(8)[::2]]}, ValueError, r"params\[0\] is changed in place and must be C-contiguous and aligned$"),
    (
        {"params": [misaligned(full(4))]},
        ValueError,
        r"params\[0\] is changed in place and must be C-contiguous and aligned$",
    ),
    ({"params": [read_only()]}, ValueError, r"params\[0\] is changed in place but is read-only$"),
    ({"grads": []}, ValueError, r"params has 1 arrays but grads has 0$"),
    ({"grads": [None]}, TypeError, r"grads\[0\] must be a numpy.ndarray, got NoneType$"),
    ({"grads": [full(3)]}, ValueError, r"params\[0\] has shape \(4,\) but grads\[0\] has shape \(3,\)$"),
    ({"grads": [full(4, dtype=float)]}, TypeError, r"params\[0\] is float32 but grads\[0\] is float64"),
    ({"params": [SHARED[:4]], "grads": [SHARED[2:6]]}, ValueError, r"params\[0\] overlaps grads\[0\]$"),
    (
        {"params": [SHARED[:4], SHARED[3:7]], "grads": [full(4), full(4)]},
        ValueError,
        r"params\[0\] overlaps params\[1\]$",
    ),
]
BAD_STATE: list[tuple[Any, type[Exception], str]] = [
    ([], ValueError, r"params has 1 arrays but {} has 0$"),
    ([full(3)], ValueError, r"params\[0\] has shape \(4,\) but {}\[0\] has shape \(3,\)$"),
    ([full(4, dtype=float)], TypeError, r"params\[0\] is float32 but {}\[0\] is float64"),
    ([full(8)[::2]], ValueError, r"{}\[0\] is changed in place and must be C-contiguous and aligned$"),
    ([read_only()], ValueError, r"{}\[0\] is changed in place but is read-only$"),
    (None, TypeError, r"{} must be a list of arrays, got NoneType$"),
]
SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "nesterov": False}
ADAM = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "decoupled": False}
ADAM |= {"correction1": 0.1, "correction2": 0.001}


# Refusals that are about the memory of NumPy arrays, of which a device gets copies.
ABOUT_MEMORY = ("C-contiguous", "read-only", "overlaps", "byte order")


def refuse(backend: ModuleType, op: str, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    if isinstance(backend, OnDevice) and any(word in message for word in ABOUT_MEMORY):
        pytest.skip("arrays of a device are copies")
    before = [[np.copy(x) for x in value] for value in arguments.values() if isinstance(value, list)]
    with pytest.raises(error, match=f"^{op}: {message}"):
        getattr(backend, op)(**arguments)
    after = [[np.copy(x) for x in value] for value in arguments.values() if isinstance(value, list)]
    np.testing.assert_equal(after, before)


@pytest.mark.parametrize(("bad", "error", "message"), BAD_LISTS)
def test_refused_lists(backend: ModuleType, bad: dict[str, Any], error: type[Exception], message: str) -> None:
    lists = {**P, **bad}
    state = [full(4) for _ in lists["params"]]
    refuse(backend, "sgd_update", {**lists, "velocities": state, **SGD}, error, message)
    refuse(backend, "sgd_update", {**lists, "velocities": [], **SGD, "momentum": 0.0}, error, message)
    squares = [full(4) for _ in lists["params"]]
    refuse(backend, "adam_update", {**lists, "exp_avgs": state, "exp_avg_sqs": squares, **ADAM}, error, message)


@pytest.mark.parametrize(("bad", "error", "message"), BAD_STATE)
def test_refused_state(backend: ModuleType, bad: Any, error: type[Exception], message: str) -> None:
    refuse(backend, "sgd_update", {**P, "velocities": bad, **SGD}, error, message.format("velocities"))
    good = [full(4)]
    for lists in ({"exp_avgs": bad, "exp_avg_sqs": good}, {"exp_avgs": good, "exp_avg_sqs": bad}):
        name = "exp_avgs" if lists["exp_avgs"] is bad else "exp_avg_sqs"
        refuse(backend, "adam_update", {**P, **lists, **ADAM}, error, message.format(name))


def test_refused_overlap_of_state(backend: ModuleType) -> None:
    x = full(4)
    refuse(
        backend,
        "sgd_update",
        {**P, "velocities": P["params"], **SGD},
        ValueError,
        r"params\[0\] overlaps velocities\[0\]$",
    )
    refuse(
        backend,
        "sgd_update",
        {**P, "velocities": P["grads"], **SGD},
        ValueError,
        r"velocities\[0\] overlaps grads\[0\]$",
    )
    moments = {"exp_avgs": [x], "exp_avg_sqs": [x]}
    refuse(backend, "adam_update", {**P, **moments, **ADAM}, ValueError, r"exp_avgs\[0\] overlaps exp_avg_sqs\[0\]$")


def test_refused_hyperparameters(backend: ModuleType) -> None:
    state = {"velocities": [full(4)]}
    message = "velocities must be empty when momentum is 0, got 1 arrays$"
    refuse(backend, "sgd_update", {**P, **state, **SGD, "momentum": 0.0}, ValueError, message)
    refuse(backend, "sgd_update", {**P, **state, **SGD, "lr": "1"}, TypeError, "lr must be a number, got str$")
    moments = {"exp_avgs": [full(4)], "exp_avg_sqs": [full(4)]}
    refuse(
        backend,
        "adam_update",
        {**P, **moments, **ADAM, "beta1": None},
        TypeError,
        "beta1 must be a number, got NoneType$",
    )
