"""What every test file uses: comparison of bits, and awkward arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
UINT = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def rng(seed: int = 0) -> np.random.Generator:
    """A generator of test data; only test data, never arithmetic under test, comes from NumPy's generators."""
    return np.random.default_rng(seed)


def bits(x: Array) -> Array:
    """The bit patterns of ``x``, every NaN as the canonical one."""
    x = np.array(x, order="C")
    if x.dtype.kind == "f":
        x[np.isnan(x)] = np.nan
    return x.view(UINT[x.dtype.itemsize])


def assert_same_bits(got: object, want: object) -> None:
    """Same types, shapes and bits (NaNs canonical); tuples element by element."""
    if isinstance(want, tuple):
        assert isinstance(got, tuple), f"expected {len(want)} results, got {got!r}"
        for g, w in zip(got, want, strict=True):
            assert_same_bits(g, w)
        return
    assert isinstance(got, np.ndarray), f"expected an array, got {type(got)}"
    assert isinstance(want, np.ndarray), f"expected an array, got {type(want)}"
    assert got.dtype == want.dtype, f"dtype {got.dtype}, expected {want.dtype}"
    assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
    different = np.argwhere(bits(got) != bits(want))
    if len(different):
        where = tuple(int(i) for i in different[0])
        raise AssertionError(
            f"{len(different)} of {want.size} elements differ, first at {where}: "
            f"got {got[where]!r} ({bits(got)[where]:#x}), expected {want[where]!r} ({bits(want)[where]:#x})"
        )


def strided(x: Array) -> Array:
    """The same values as a view with gaps and a negative first stride."""
    big = np.zeros(tuple(2 * n + 1 for n in x.shape), x.dtype)
    view = big[tuple(slice(1, 2 * n + 1, 2) for n in x.shape)]
    view = view[::-1] if x.ndim else view
    view[...] = x
    return view


def misaligned(x: Array) -> Array:
    """The same values at an address that is not a multiple of the element size."""
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = raw[1 : 1 + x.nbytes].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view
