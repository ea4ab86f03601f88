"""NVIDIA GPUs: arrays in device memory, and what the devices are doing.

``nl.array(x, device="cuda")`` copies a NumPy array to the GPU, ``x.numpy()`` back; ``model.to("cuda")`` moves a model.
Every op runs where its arrays are and gives the bits that it gives on the CPU. Kernels run asynchronously: ``item()``,
``numpy()`` and :func:`synchronize` wait for them, and raise what they found wrong in their arguments (a label out of
range, say). Until then optimizers change nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from . import arrays
from .arrays import Array as _HostArray
from .backend import device_module, load_device
from .captured_step import Captured

__all__ = [
    "array",
    "capture",
    "device_count",
    "from_dlpack",
    "is_available",
    "memory_allocated",
    "reason",
    "synchronize",
]


def reason(name: str = "cuda") -> str | None:
    """Why the device ``cuda`` cannot be used here, or ``None`` if it can."""
    try:
        module = load_device(name)
    except ImportError as error:
        return (
            "nnlite was installed without its CUDA module, which is built where nvcc and a GPU are found; "
            f"'NNLITE_CUDA=ON pip install .' builds it where nvcc is ({error})"
        )
    if module._device_count() > 0:
        return None
    why: str = module._why_none()
    return why


def is_available(name: str = "cuda") -> bool:
    """Whether there is a GPU that nnlite can use."""
    return reason(name) is None


def device_count() -> int:
    """Number of GPUs that nnlite can use."""
    return int(load_device("cuda")._device_count()) if is_available() else 0


def array(x: _HostArray, device: str = "cuda") -> _HostArray:
    """``x`` on ``device``: itself if it is there, else a copy.

    Args:
        x: a NumPy array of floats or integers, or an array of a device.
        device: ``"cpu"``, ``"cuda"`` (the first GPU), or ``"cuda:1"``. ``"cuda_sim"`` is the simulator of the tests.

    Returns:
        ``numpy.ndarray``, or the device's array.

    Raises:
        TypeError: ``x`` is no array, or of a type that devices have not.
        ValueError: there is no such device.
        RuntimeError: nnlite cannot use it; the message says why.
        MemoryError: the device's memory does not suffice.
    """
    if not arrays.is_array(x):
        raise TypeError(f"array: x must be a numpy.ndarray, got {arrays.what_is(x, 'use np.array(x, np.float32)')}")
    module, index = _device(device)
    if module is None:
        return arrays.to_numpy(x)
    if device_module(x) is module and x.device_index == index:  # type: ignore[attr-defined]
        return x
    there: _HostArray = module._from_numpy(np.asarray(arrays.to_numpy(x)), index)
    return there


def from_dlpack(x: Any, device: str = "cuda") -> _HostArray:
    """The array of another library (CuPy, PyTorch, JAX) as one of nnlite's, without a copy where it may be written.

    Args:
        x: an object with ``__dlpack__`` and ``__dlpack_device__``, C-contiguous and on ``device``. For the other
            direction nnlite's arrays have both methods, and ``__cuda_array_interface__``.
        device: the kind of device, ``"cuda"``.

    Raises:
        TypeError, ValueError, BufferError: ``x`` offers no DLPack, or its device, type or layout do not fit.
    """
    module, _ = _device(device)
    if module is None:
        raise ValueError(f"from_dlpack: device must be 'cuda', got {device!r}; for the host use np.from_dlpack")
    shared: _HostArray = module._from_dlpack(x)
    return shared


def capture(function: Callable[..., Any], device: str = "cuda") -> Captured:
    """:func:`nnlite.capture` for a GPU: the recorded step is started as a CUDA graph, on the same memory each time."""
    if _device(device)[0] is None:
        raise ValueError(f"capture: device must be 'cuda' or 'cuda:N', got {device!r}")
    return Captured(function, device)


def is_name(text: str) -> bool:
    """Whether ``text`` can name a device, there or not."""
    return re.fullmatch(r"cpu|(cuda|cuda_sim)(:\d{1,4})?", text) is not None


def check_device(device: str) -> None:
    """Raise what :func:`array` would, unless ``device`` can be used."""
    _device(device)


def synchronize(device: str = "cuda") -> None:
    """Wait for everything under way on the device, and raise what kernels found wrong."""
    module, _ = _device(device)
    if module is not None:
        module._synchronize()


def memory_allocated(device: str = "cuda") -> int:
    """Bytes of device memory that arrays hold."""
    module, _ = _device(device)
    return 0 if module is None else int(module._bytes_in_use())


def _device(device: str) -> tuple[ModuleType | None, int]:
    """Module (``None``: the host) and number of a device, which exists."""
    if not isinstance(device, str) or not is_name(device):
        raise ValueError(f"device must be 'cpu', 'cuda' or 'cuda:N', got {device!r}")
    if device == "cpu":
        return None, 0
    name, _, number = device.partition(":")
    why = reason(name)
    if why is not None:
        raise RuntimeError(f"device {device!r} cannot be used: {why}")
    module, index = load_device(name), int(number or 0)
    module._check_device(index)
    return module, index


def __getattr__(name: str) -> Any:
    if name == "Array":
        return load_device("cuda").Array
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
