"""Show that the float32 elementary functions are correctly rounded: every one of the 2**32 inputs, on every build.

    python bench/sweep/sweep.py [--functions exp log …] [--jobs 2] [--first 0] [--last ffffffff]

Builds `csrc/elementary.h` for plain x86-64, AVX2 and AVX-512 (those that this CPU runs) and compares each with long
double (`sweep_elementary.cpp`). What lies too near a rounding boundary for that is decided here with mpmath.

Prints the wrong results. `direct` are the float32 functions and `vector` is exp of vectors (`csrc/vector_exp.h`); they
must have none. `rounded` are the float64 functions rounded once, which is what `nnlite.reference` computes, and whose
wrong results must stand in its tables.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mpmath

HERE = Path(__file__).parent
FLAGS = ["-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
FLAGS += [f"-I{HERE.parent.parent / 'csrc'}", "-shared", "-fPIC"]
BUILDS = {
    "plain": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx2", "-mfma", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"],
}
EXACT = {
    **{name: getattr(mpmath, name) for name in ("exp", "log", "tanh", "expm1", "log1p", "erf")},
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
}


def decide(function: str, bits: int) -> int:
    """Bits of the float32 nearest to the function's exact value at the float32 with these bits."""
    x = struct.unpack("<f", struct.pack("<I", bits))[0]
    with mpmath.workprec(300):
        value = EXACT[function](mpmath.mpf(x))
        if value == 0:
            return 0
        exponent = max(int(mpmath.floor(mpmath.log(abs(value), 2))), -126) - 23
        nearest = mpmath.ldexp(mpmath.nint(mpmath.ldexp(value, -exponent)), exponent)
    return int(struct.unpack("<I", struct.pack("<f", float(nearest)))[0])


def supported() -> list[str]:
    """The builds that this CPU runs."""
    flags = Path("/proc/cpuinfo").read_text().split()
    needs = {"plain": [], "avx2": ["avx2", "fma"], "avx512": ["avx512f", "avx512dq", "avx512bw", "avx512vl"]}
    return [build for build in BUILDS if all(flag in flags for flag in needs[build])]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--functions", nargs="+", choices=list(EXACT), default=list(EXACT))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--first", type=lambda s: int(s, 16), default=0)
    parser.add_argument("--last", type=lambda s: int(s, 16), default=0xFFFFFFFF)
    arguments = parser.parse_args()

    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/sweep_elementary"
        driver = str(HERE / "sweep_elementary.cpp")
        subprocess.run(["g++", "-std=c++17", "-O2", driver, "-o", program, "-ldl"], check=True)
        for build in supported():
            output = f"{folder}/{build}.so"
            subprocess.run(["g++", *FLAGS, *BUILDS[build], str(HERE / "kernels.cpp"), "-o", output], check=True)

        for function in arguments.functions:
            names = [f"{build}.so:{function}_direct" for build in supported()] + [f"plain.so:{function}_rounded"]
            names += [f"{build}.so:exp_vector" for build in supported() if function == "exp"]
            count = arguments.last - arguments.first + 1
            step = -(-count // (64 * arguments.jobs))
            starts = range(arguments.first, arguments.last + 1, step)

            def part(first: int, function: str = function, names: list[str] = names, step: int = step) -> list[str]:
                last = min(first + step - 1, arguments.last)
                command = [program, function, f"{first:x}", f"{last:x}", *(f"{folder}/{name}" for name in names)]
                return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

            checked = doubtful = 0
            with ThreadPoolExecutor(arguments.jobs) as pool:
                for line in (line for lines in pool.map(part, starts) for line in lines):
                    kind, *fields = line.split()
                    results: list[tuple[str, str, str, str]] = []
                    if kind == "checked":
                        checked += int(fields[0])
                    elif kind == "wrong":
                        results = [(Path(fields[0]).name, fields[1], fields[2], fields[3])]
                    else:
                        doubtful += 1
                        right = f"{decide(function, int(fields[0], 16)):08x}"
                        pairs = zip(names, fields[1:], strict=True)
                        results = [(name, fields[0], result, right) for name, result in pairs if result != right]
                    for name, x, result, right in results:
                        wrong += not name.endswith("_rounded")
                        print(f"wrong {name} f({x}) = {result}, not {right}", flush=True)
            print(f"{function}: {checked} inputs, {doubtful} decided by mpmath", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
