"""What ``nnlite info`` prints: versions, CPU features, backends, threads."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from . import NUMERICS, __version__, cuda
from .backend import cpu_features, get_num_threads, names, reason, usable_cpus, why
from .backend import name as running_name


def collect() -> dict[str, Any]:
    """Everything as plain data, fit for JSON."""
    running, running_reason = _running()
    cuda_reason = cuda.reason()
    return {
        "nnlite": __version__,
        "numerics": NUMERICS,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "packages": {name: _version(name) for name in ("safetensors", "tqdm", "scikit-learn", "matplotlib")},
        "compiler": _compiler(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "cpu_features": _features(),
        "modules": _modules(),
        "backends": {name: {"available": reason(name) is None, "reason": reason(name)} for name in names()},
        "backend": running,
        "backend_reason": running_reason,
        "threads": _threads(),
        "cuda": {"available": cuda_reason is None, "reason": cuda_reason, "devices": cuda.device_count()},
    }


def platform_facts() -> dict[str, Any]:
    """What a run folder says about the machine; none of it changes a result."""
    return {
        "backend": running_name(),
        "threads": get_num_threads(),
        "cpu": cpu_name(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def text(facts: dict[str, Any]) -> str:
    """The facts of :func:`collect` for a reader."""
    packages = ", ".join(f"{name} {number or 'not installed'}" for name, number in facts["packages"].items())
    features = ", ".join(f"{name}{'' if there else ' (no)'}" for name, there in facts["cpu_features"].items())
    lines = [
        f"nnlite {facts['nnlite']}, numerics version {facts['numerics']}",
        f"Python {facts['python']}, NumPy {facts['numpy']}; {packages}",
        f"compiler: {facts['compiler'] or 'unknown'}",
        f"system:   {facts['system']}",
        f"CPU:      {facts['cpu']}",
        f"features: {features or 'unknown'}",
        f"modules:  {', '.join(facts['modules']) or 'none'}",
        "backends:",
    ]
    for name, state in facts["backends"].items():
        if name == facts["backend"]:
            lines.append(f"  {name:<13} runs: {facts['backend_reason']}")
        else:
            lines.append(f"  {name:<13} {'can run' if state['available'] else 'cannot run: ' + state['reason']}")
    if facts["backend"] is None:
        lines.append(f"  none runs: {facts['backend_reason']}")
    absent = facts["cuda"]["reason"]
    there = f"can run, devices: {facts['cuda']['devices']}"
    lines.append(f"  {'cuda':<13} {f'absent: {absent}' if absent else there}")
    lines.append(f"threads:  {facts['threads']['count'] or 'unknown'}: {facts['threads']['reason']}")
    return "\n".join(lines)


def cpu_name() -> str:
    """The processor's name as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _running() -> tuple[str | None, str]:
    try:
        return running_name(), why()
    except (ImportError, RuntimeError, ValueError) as error:
        return None, str(error)


def _features() -> dict[str, bool]:
    try:
        return cpu_features()
    except ImportError:
        return {}


def _threads() -> dict[str, Any]:
    affinity = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    wanted = os.environ.get("NNLITE_NUM_THREADS")
    try:
        count = get_num_threads()
    except ValueError as error:
        return {"count": None, "reason": str(error), "affinity": affinity, "usable": usable_cpus()}
    if wanted is not None:
        because = "NNLITE_NUM_THREADS asks for it"
    elif affinity is not None and usable_cpus() < affinity:
        because = f"the control group grants that many of {affinity} CPUs"
    else:
        because = "the CPUs that this process may run on"
    return {"count": count, "reason": because, "affinity": affinity, "usable": usable_cpus()}


def _modules() -> list[str]:
    """The compiled modules of this installation, whether this machine can run them or not."""
    return [
        name
        for name in (*names(), "cuda", "cuda_sim")
        if name != "reference" and importlib.util.find_spec(f"nnlite._{name}")
    ]


def _compiler() -> str | None:
    """The compiler of the compiled modules, if they are installed."""
    try:
        from . import _cpu_baseline
    except ImportError:
        return None
    return getattr(_cpu_baseline, "_compiler", None)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
