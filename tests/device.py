"""A device as a backend of NumPy arrays, for the tests that every backend passes: arguments are copied to the device,
results back. On the simulator every call runs in three orders of threads and blocks, which must agree."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from support import assert_same_bits

# Threads and blocks of the simulator: a missing barrier shows as a difference between these.
ORDERS = [("ascending", 0), ("descending", 0), ("random", 7)]
ITEMSIZES = {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (4, 8)}


class OnDevice(ModuleType):
    """``_cuda`` or ``_cuda_sim`` with the calling convention of the CPU backends."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__(module.__name__)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        return value if name.startswith("_") else self._op(value)

    def _op(self, op: Callable[..., Any]) -> Callable[..., Any]:
        def on_device(*args: Any, **options: Any) -> Any:
            if not hasattr(self._module, "_set_order"):
                return self._call(op, args, options)
            outcomes = []
            try:
                for order, seed in ORDERS:
                    self._module._set_order(order, seed)
                    try:
                        outcomes.append(self._call(op, args, options, write_back=order == ORDERS[-1][0]))
                    except Exception as error:
                        outcomes.append(error)
            finally:
                self._module._set_order("ascending")
            last = outcomes[-1]
            for outcome in outcomes[:-1]:
                if isinstance(outcome, Exception) or isinstance(last, Exception):
                    assert (type(outcome), str(outcome)) == (type(last), str(last)), "in different orders of threads"
                elif outcome is not None:
                    assert_same_bits(outcome, last)
            if isinstance(last, Exception):
                raise last
            return last

        on_device.__doc__ = op.__doc__
        return on_device

    def _call(self, op: Callable[..., Any], args: Any, options: Any, write_back: bool = True) -> Any:
        lists: list[tuple[Any, Any]] = []

        def upload(x: Any) -> Any:
            if isinstance(x, np.ndarray):
                if x.dtype.kind not in "iuf" or x.dtype.itemsize not in ITEMSIZES[x.dtype.kind] or not x.dtype.isnative:
                    pytest.skip(f"a device has no arrays of {x.dtype}")
                return self._module._from_numpy(x, 0)
            if isinstance(x, list | tuple) and any(isinstance(item, np.ndarray) for item in x):
                there = [upload(item) for item in x]
                lists.append((x, there))
                return there
            return x

        there = [upload(x) for x in args]
        try:
            result = op(*there, **{name: upload(x) for name, x in options.items()})
        except TypeError as error:  # here, NumPy's arrays stand for the device's
            text = str(error).replace("got nnlite.cuda.Array", "got ndarray")
            raise TypeError(text.replace("nnlite.cuda.Array", "numpy.ndarray")) from None
        self._module._synchronize()  # raises what kernels found
        if write_back and result is None:  # an op that changes arrays in place
            lists.append((args, there))
        if write_back:
            for here, on_device in lists:
                for x, y in zip(here, on_device, strict=True):
                    if isinstance(x, np.ndarray) and isinstance(y, self._module.Array) and x.flags.writeable:
                        x[...] = y.numpy()
        return self._download(result)

    def _download(self, result: Any) -> Any:
        if isinstance(result, tuple):
            return tuple(self._download(y) for y in result)
        return result.numpy() if isinstance(result, self._module.Array) else result
