"""Which backends exist, why one does not, and which one runs.

A backend is a Python module that defines every op of :mod:`nnlite.reference`, with the same argument names. Choosing
an instruction set, a device, or "compare with the reference" is one act: picking a module. Inside the package:
``from nnlite.backend import ops`` and ``ops().relu_forward(x)``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from types import ModuleType

# Slowest first: the last one that this machine can run is the default. Each needs CPU features, in the names of
# `_cpu_baseline._cpu_features()`.
_NEEDS: dict[str, tuple[str, ...]] = {
    "reference": (),
    "cpu_baseline": (),
    "cpu_neon": ("neon",),
    "cpu_avx2": ("avx2", "fma"),
    "cpu_avx512": ("avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"),
}

_current: ModuleType | None = None
_current_name = ""
_loaded: dict[str, ModuleType] = {}
_threads: int | None = None
_around: Callable[[ModuleType], ModuleType] | None = None  # nl.record: what it makes of a module

# Modules of devices, by name (nl.cuda loads them), and by the type of their arrays.
_DEVICE_MODULES = {"cuda": "_cuda", "cuda_sim": "_cuda_sim", "shapes": "shapes"}
_devices: dict[type, ModuleType] = {}


def names() -> list[str]:
    """Names of all backends that nnlite knows, whether this machine can run them or not."""
    return list(_NEEDS)


def cpu_features() -> dict[str, bool]:
    """The instruction sets that nnlite asks for, and whether this CPU and its operating system offer them."""
    return dict(_import("cpu_baseline")._cpu_features())


def reason(name: str) -> str | None:
    """Why backend ``name`` cannot run here, or ``None`` if it can."""
    if name not in _NEEDS:
        return f"unknown backend {name!r}; known are {', '.join(_NEEDS)}"
    if name == "reference":
        return None
    try:
        # The guard comes first: only the baseline, which runs anywhere, is imported before the features are known.
        missing = [feature for feature in _NEEDS[name] if not cpu_features().get(feature, False)]
    except ImportError as error:
        return f"nnlite was installed without its compiled modules ({error})"
    if missing:
        return f"this CPU lacks {', '.join(missing)}"
    try:
        _import(name)
    except ImportError as error:
        if name == "cpu_baseline":
            return f"nnlite was installed without its compiled modules ({error})"
        return f"its module is not part of this installation, which NNLITE_ISAS=all makes complete ({error})"
    return None


def available() -> list[str]:
    """Names of the backends that run here, slowest first."""
    return [name for name in _NEEDS if reason(name) is None]


def ops(x: object = None) -> ModuleType:
    """The backend module that runs now; for an array ``x`` in device memory, the module of its device."""
    module = _devices.get(type(x)) or _current
    if module is None:
        _choose_default()
        module = _current
        assert module is not None
    return module if _around is None else _around(module)


def module_named(name: str) -> ModuleType:
    """The module of a backend, whether or not it is the one that runs.

    Raises:
        ValueError: the name is unknown.
        RuntimeError: this machine cannot run it; the message says why.
    """
    if name in _DEVICE_MODULES:
        return load_device(name)
    why_not = reason(name)
    if name not in _NEEDS:
        raise ValueError(f"backend: {why_not}")
    if why_not is not None:
        raise RuntimeError(f"backend {name!r} cannot run here: {why_not}")
    return _import(name)


def recorder() -> Callable[[ModuleType], ModuleType] | None:
    """What :func:`set_recorder` was given."""
    return _around


def set_recorder(around: Callable[[ModuleType], ModuleType] | None) -> None:
    """From here on :func:`ops` gives what ``around`` makes of the module; ``None``: the module itself."""
    global _around
    _around = around


def device_module(x: object) -> ModuleType | None:
    """The module of the device that holds the array ``x``; ``None`` if ``x`` is no array of a device."""
    return _devices.get(type(x))


def load_device(name: str) -> ModuleType:
    """The module of a device: ``cuda``, ``cuda_sim``, or ``shapes``, which describes instead of computing.

    Raises:
        ImportError: it is not part of this installation.
    """
    if name not in _DEVICE_MODULES:
        raise ValueError(f"unknown device {name!r}; known are cpu, {', '.join(_DEVICE_MODULES)}")
    module = importlib.import_module(f"nnlite.{_DEVICE_MODULES[name]}")
    _devices[module.Array] = module
    return module


def name() -> str:
    """Name of the backend that runs now."""
    ops()
    return _current_name


def why() -> str:
    """Why this backend is the one that runs, in a few words."""
    wanted = os.environ.get("NNLITE_BACKEND")
    if wanted == name():
        return "NNLITE_BACKEND asks for it"
    if name() == "reference" or name() != _best():
        return "chosen by the program"
    return "the fastest that this machine can run"


class backend:  # noqa: N801 (a function in use)
    """Switch to another backend; as a context manager, for the block only.

    ``nl.backend("reference")`` switches for good; ``with nl.backend("reference"): ...`` switches back at the end. The
    choice holds for the whole process.

    Raises:
        ValueError: the name is unknown.
        RuntimeError: this machine cannot run that backend; the message says why.
    """

    def __init__(self, name: str) -> None:
        self._previous = _current_name or None
        _switch(name)

    def __enter__(self) -> backend:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._previous is None:
            _choose_default()
        else:
            _switch(self._previous)


def set_num_threads(n: int) -> None:
    """Let compiled kernels use up to ``n`` threads; the number never changes a result.

    Small ops stay on the caller's thread.

    Raises:
        TypeError: ``n`` is not an integer.
        ValueError: ``n`` is not between 1 and 1024.
    """
    global _threads
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"set_num_threads: n must be an integer, got {type(n).__name__}")
    n = int(n)
    if not 1 <= n <= 1024:
        raise ValueError(f"set_num_threads: n must be between 1 and 1024, got {n}")
    _threads = n
    for module in _loaded.values():
        module._set_num_threads(n)


def get_num_threads() -> int:
    """The number of threads that compiled kernels may use.

    What was set, else ``NNLITE_NUM_THREADS``, else what :func:`usable_cpus` allows.
    """
    if _threads is not None:
        return _threads
    wanted = os.environ.get("NNLITE_NUM_THREADS")
    if wanted is None:
        return usable_cpus()
    if not (wanted.isdecimal() and 1 <= int(wanted) <= 1024):
        raise ValueError(f"NNLITE_NUM_THREADS must be a number between 1 and 1024, got {wanted!r}")
    return int(wanted)


def usable_cpus() -> int:
    """CPUs that this process may use: its affinity, or its control group's quota where that is smaller."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        cpus = os.cpu_count() or 1
    quota = _cgroup_cpus()
    return max(1, min(cpus, quota) if quota else cpus)


def _cgroup_cpus() -> int | None:
    """CPUs granted by the control group (version 2, else 1), rounded up; ``None`` without a limit."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as file:
                quota = file.read().strip()
            with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as file:
                period = file.read().strip()
        except OSError:
            return None
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return -(-int(quota) // int(period))


def _import(name: str) -> ModuleType:
    if name == "reference":
        return importlib.import_module("nnlite.reference")
    if name not in _loaded:
        module = importlib.import_module(f"nnlite._{name}")
        module._set_num_threads(get_num_threads())
        _loaded[name] = module
    return _loaded[name]


def _switch(name: str) -> None:
    global _current, _current_name
    if name not in _NEEDS and name != "shapes":  # a device is chosen by its arrays
        raise ValueError(f"backend: {reason(name)}")
    _current, _current_name = module_named(name), name


def _best() -> str:
    for name in reversed(_NEEDS):
        if name != "reference" and reason(name) is None:
            return name
    raise ImportError(
        f"nnlite: {reason('cpu_baseline')}. Install it with 'pip install .', "
        "or set NNLITE_BACKEND=reference to run in pure NumPy, slowly."
    )


def _choose_default() -> None:
    wanted = os.environ.get("NNLITE_BACKEND")
    _switch(wanted if wanted else _best())
