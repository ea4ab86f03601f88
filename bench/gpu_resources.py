"""What the compiler makes of the CUDA kernels on sm_90: registers, shared memory, occupancy, loops, widths of loads.

``python -m bench.gpu_resources`` needs nvcc, c++ and nvdisasm, but no GPU. It writes a file in bench/results;
``python -m bench --report`` writes the table.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from .tables import Result, Row, table

ROOT = Path(__file__).parent.parent
KERNELS = sorted((ROOT / "cuda" / "ops").glob("*.cu"))
NVCC = shutil.which("nvcc")

# Threads of a block, of kernels without launch bounds.
THREADS = defaultdict(lambda: 256, rows_by_lanes=128, chunks_of_columns=512, finite=1)
# The sizes of what lies in shared memory, by the kernel's template arguments.
SHARED = {
    "product": (
        "sizeof(ProductMemory<{0}, {1}, {2}>) - ProductMemory<{0}, {1}, {2}>::kWithoutTotals",
        "sizeof(ProductMemory<{0}, {1}, {2}>)",
    ),
    "column_chunks": ("sizeof(Lanes<{0}>)",),
    "chunks_of_columns": ("sizeof(lane_sum::Columns<{0}>)",),
}
GLOBAL = ("LDG", "LDGSTS", "LD", "STG", "ST")
# A multiprocessor of sm_90.
WARPS, BLOCKS, REGISTERS, SHARED_BYTES = 64, 32, 1 << 16, 228 << 10


def options() -> list[str]:
    """Those of the build."""
    cmake = (ROOT / "cuda" / "nvcc.cmake").read_text()
    found = re.search(r"COMPILE_LANGUAGE:CUDA>:(--fmad.*?)>\)", cmake, re.DOTALL)
    assert found is not None
    return ["-std=c++20", "-O3", "-arch=sm_90", f"-I{ROOT / 'cuda'}", f"-I{ROOT / 'csrc'}", *found[1].split()]


class Compiled(NamedTuple):
    ptx: str
    messages: str  # of the compilers, with what ptxas -v says
    cubin: Path


def run(command: list[str], text: str | None = None) -> str:
    """What it prints."""
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True).stdout


def compile_kernels(source: Path, to: Path, flags: list[str]) -> Compiled:
    """In a new folder, where everything stays that nvcc makes on its way."""
    to.mkdir()
    assert NVCC is not None
    cubin = to / "x.cubin"
    command = [NVCC, *flags, "-Xptxas=-v", "-cubin", "--keep", f"--keep-dir={to}", "-o", str(cubin), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Compiled((to / f"{source.stem}.ptx").read_text(), done.stdout + done.stderr, cubin)


def entries(ptx: str) -> dict[str, str]:
    """The instructions of each kernel, by its mangled name."""
    parts = re.split(r"\.entry (\w+)", ptx)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def disassembler() -> str | None:
    """On the PATH, or of the package."""
    try:
        files = importlib.metadata.files("nvidia-cuda-nvdisasm") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    return shutil.which("nvdisasm") or next((str(file.locate()) for file in files if file.stem == "nvdisasm"), None)


class Instruction(NamedTuple):
    name: str
    next: tuple[int, ...]  # the places of those that may follow

    @property
    def bits(self) -> int:
        """That a load or store moves for a thread."""
        found = re.search(r"\.[US]?(8|16|64|128)(?=\.|$)", self.name)
        return int(found[1]) if found else 32


def parse(disassembly: str) -> dict[str, list[Instruction]]:
    """The instructions of each kernel, by its mangled name."""
    parts = re.split(r"^\.text\.(\w+):$", disassembly, flags=re.MULTILINE)
    return {name: list(_instructions(body)) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def _instructions(body: str) -> Iterator[Instruction]:
    lines, labels = [], {}
    for line in body.splitlines():
        if label := re.match(r"(\.L_\w+):", line):
            labels[label[1]] = len(lines)
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(@\S+\s+)?([A-Z][\w.]*)\s*(.*);", line):
            lines.append(found.groups())
    for place, (predicate, name, operands) in enumerate(lines):
        label = re.search(r"\((\.L_\w+)\)", operands) if name.startswith("BRA") else None
        jumps = name.startswith(("EXIT", "RET")) or operands.startswith("`")
        to = [labels[label[1]]] if label is not None and label[1] in labels else []
        if predicate is not None and predicate.startswith("@!PT"):  # is issued, but does nothing
            name = "NOP"
        goes_on = predicate is not None or not jumps or name.startswith("CALL")
        yield Instruction(name, (*to, *([place + 1] if goes_on and place + 1 < len(lines) else [])))


def _loops(code: list[Instruction]) -> tuple[dict[int, set[int]], set[tuple[int, int]], list[int]]:
    """The places of each loop by its first one; the jumps back; all places, followers first."""
    back, order, state = set(), [], [0] * len(code)  # 0: not seen, 1: on the way, 2: done
    way = [(0, iter(code[0].next))]
    state[0] = 1
    while way:
        place, rest = way[-1]
        for to in rest:
            if state[to] == 1:
                back.add((place, to))
            elif state[to] == 0:
                state[to] = 1
                way.append((to, iter(code[to].next)))
                break
        else:
            state[place] = 2
            order.append(place)
            way.pop()
    before = defaultdict(list)
    for place in order:
        for to in code[place].next:
            before[to].append(place)
    loops: dict[int, set[int]] = {}
    for source, first in back:
        inside, todo = loops.setdefault(first, {first}), [source]
        while todo:
            if (place := todo.pop()) not in inside:
                inside.add(place)
                todo += before[place]
    return loops, back, order


def hot_loop(code: list[Instruction]) -> list[Instruction]:
    """One round of the loop that has most fma, else reads most of memory; loops inside it are left out.

    Of the ways through it, the one with most fma, then with most reads (copies to shared memory, where there are any),
    then with fewest instructions.
    """
    loops, back, order = _loops(code)
    copied = any(one.name.startswith("LDGSTS.") for one in code)
    read = [one.bits if one.name.startswith("LDGSTS." if copied else ("LDG.", "LD.")) else 0 for one in code]
    fma = [one.name.startswith(("FFMA", "DFMA")) for one in code]
    rank = {place: number for number, place in enumerate(order)}
    innermost: dict[int, int] = {}
    for first, inside in sorted(loops.items(), key=lambda loop: -len(loop[1])):
        innermost |= dict.fromkeys(inside, first)
    best: tuple[tuple[int, int, int], list[Instruction]] = ((0, 1, 0), [])
    for first, inside in loops.items():
        onward = {}  # from each place: what follows counts, and where that is
        for place in sorted(inside, key=rank.__getitem__):
            ways = [(onward[to][0], to) for to in code[place].next if (place, to) not in back and to in onward]
            ways += [((0, 0, 0), -1)] if (place, first) in back else []
            if ways:
                (most, bits, less), to = max(ways)
                if innermost[place] == first:
                    most, bits, less = most + fma[place], bits + read[place], less - 1
                onward[place] = (most, bits, less), to
        path, place = [], first
        while place in onward:
            path += [code[place]] if innermost[place] == first else []
            place = onward[place][1]
        if path:
            best = max(best, (onward[first][0], path), key=lambda found: found[0])
    return best[1]


def widths(code: Iterable[Instruction], *names: str) -> dict[str, int]:
    """How many of these have how many bits."""
    return dict(sorted(Counter(f"{n}.{one.bits}" for one in code if (n := one.name.split(".")[0]) in names).items()))


def blocks_together(threads: int, registers: int, shared: int) -> int:
    """Of a kernel, on a multiprocessor; every quarter of it has a quarter of the registers, every block 1 KB more."""
    warps = -(-threads // 32)
    of_warp = -(-registers // 8) * 8 * 32
    fitting = REGISTERS // 4 // of_warp * 4
    return min(BLOCKS, min(WARPS, fitting) // warps, SHARED_BYTES // (-(-shared // 128) * 128 + 1024))


def arguments(name: str) -> list[str]:
    """Those of the outermost template."""
    parts, depth = [""], 0
    for letter in name.partition("<")[2][:-1]:
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def short(name: str) -> str:
    """A demangled name with those of its template arguments that tell one kernel from another."""
    name = re.sub(r"lane_sum::|row_team::", "", name)
    name = re.sub(r"Tiling<\w+, (\d+), (\d+), (\d+)[^>]*>", r"\1x\2x\3", name)
    name = re.sub(r"\b(?:float|double)\b(?:, )?", "", name)
    return re.sub(r"[ ,]+(?=>)", "", name).replace("<>", "")


def base(name: str) -> str:
    """The name of the template."""
    return name.split("<")[0].split("::")[-1]


def shared_sizes(source: Path, kernels: Iterable[str]) -> dict[str, list[int]]:
    """Of the kernels in SHARED: the host compiler knows them."""
    of = {kernel: [text.format(*arguments(kernel)) for text in SHARED.get(base(kernel), ())] for kernel in kernels}
    sizes = ", ".join(text for texts in of.values() for text in texts)
    if not sizes:
        return {}
    probe = f'#include "{source}"\nnamespace nnlite {{ extern const unsigned long long sizes[] = {{{sizes}}}; }}\n'
    includes = [option for option in options() if option.startswith("-I")]
    command = ["c++", "-std=c++20", "-w", *includes, "-fno-implicit-templates", "-S", "-o", "-", "-x", "c++", "-"]
    values = iter(re.findall(r"\.(?:quad|xword)\s+(\d+)\n", run(command, probe).split("nnlite5sizesE:")[1]))
    return {kernel: [int(next(values)) for _ in texts] for kernel, texts in of.items() if texts}


def rows(source: Path, folder: Path, nvdisasm: str) -> list[Row]:
    """What is known of the kernels of a file."""
    compiled = compile_kernels(source, folder / source.stem, options())
    codes = parse(run([nvdisasm, "-c", str(compiled.cubin)]))
    names = run(["c++filt", "-p", *codes]).replace("nnlite::", "").replace("(anonymous namespace)::", "").splitlines()
    shared = shared_sizes(source, names)
    parts = re.split(r"Compiling entry function '(\w+)'", compiled.messages)
    messages = dict(zip(parts[1::2], parts[2::2], strict=True))
    bounds = {name: re.search(r"\.maxntid (\d+)", text) for name, text in entries(compiled.ptx).items()}
    found = []
    for (mangled, code), name in zip(codes.items(), names, strict=True):
        threads = int(bound[1]) if (bound := bounds[mangled]) else THREADS[base(name)]
        dtype = re.search(r"\b(?:float|double)\b", name)
        used = re.search(r"Used (\d+) registers", messages[mangled])
        assert used is not None
        none = not any(one.name.startswith(("LDS", "STS", "ATOMS")) for one in code)
        bytes_shared = shared.get(name, [0] if none else [])
        blocks = [blocks_together(threads, int(used[1]), size) for size in bytes_shared or [0]]
        loop = hot_loop(code)
        row = {
            "file": source.name,
            "kernel": short(name),
            "dtype": {"float": "float32", "double": "float64"}.get(dtype[0], "") if dtype else "",
            "registers": int(used[1]),
            "spilled": sum(map(int, re.findall(r"(\d+) bytes (?:stack|spill)", messages[mangled]))),
            "threads": threads,
            "shared": bytes_shared,
            "blocks": blocks,
            "warps": [number * -(-threads // 32) for number in blocks],
            "loop": {
                "instructions": len(loop),
                "fma": sum(one.name.startswith(("FFMA", "DFMA")) for one in loop),
                "memory": widths(loop, "LDS", "STS", *GLOBAL),
            },
            "memory": widths(code, *GLOBAL),
        }
        found.append(row)
    return sorted(found, key=lambda row: (row["kernel"], row["dtype"]))


def _range(values: Iterable[float], form: str = "") -> str:
    ordered = [format(value, form) for value in sorted(values)]
    return " to ".join(dict.fromkeys((ordered[0], ordered[-1])))


def _counts(counted: list[dict[str, int]], *names: str) -> str:
    """Such as ``4 LDG.128, 2 to 8 LDG.32``."""
    kinds = {kind for counts in counted for kind in counts if kind.split(".")[0] in names}
    ordered = sorted(kinds, key=lambda kind: (kind.split(".")[0], -int(kind.split(".")[1])))
    return ", ".join(f"{_range(counts.get(kind, 0) for counts in counted)} {kind}" for kind in ordered)


def _size(kernel: str) -> int:
    tile = re.search(r"(\d+)x(\d+)x\d+", kernel)
    return int(tile[1]) * int(tile[2]) if tile else 0


def section(result: Result) -> str:
    """The section of bench/RESULTS.md: products one by one, other kernels with all their variants in one line."""
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in sorted(result["kernels"], key=lambda row: -_size(row["kernel"])):
        kernel = row["kernel"] if _size(row["kernel"]) else base(row["kernel"])
        groups[row["file"], kernel, row["dtype"]].append(row)
    lines = []
    for (file, kernel, dtype), of in groups.items():
        loops = [row["loop"] for row in of if row["loop"]["instructions"]]
        shares = [loop["fma"] / loop["instructions"] for loop in loops]
        shared = [size for row in of for size in row["shared"]]
        line = (
            f"{file.removesuffix('.cu')}: {kernel}" + (f" ({len(of)})" if len(of) > 1 else ""),
            dtype,
            _range(row["registers"] for row in of),
            _range((size / 1024 for size in shared), ".0f") if all(row["shared"] for row in of) else "",
            f"{_range(number for row in of for number in row['blocks'])} x {_range(row['threads'] for row in of)}",
            _range((number / WARPS for row in of for number in row["warps"]), ".0%"),
            _range(loop["instructions"] for loop in loops) if loops else "",
            _range(shares, ".0%") if any(shares) else "",
            _counts([loop["memory"] for loop in loops], "LDS"),
            _counts([row["memory"] for row in of], "LDG", "LD", "LDGSTS"),
            _counts([row["memory"] for row in of], "STG", "ST"),
        )
        lines.append(line)
    columns = ("kernel", "dtype", "registers", "shared KB", "blocks x threads", "occupancy")
    columns += ("loop", "of it fma", "reads of shared memory", "global reads", "global writes")
    spilled = [f"{row['kernel']} {row['dtype']}" for row in result["kernels"] if row["spilled"]]
    text = (
        f"nvcc {result['nvcc']}, sm_90; {result['date']}, commit {result['commit']}. {len(result['kernels'])} kernels"
    )
    text += f"; outside registers: {', '.join(spilled) or 'none'}."
    return f"{text}\n\n{table(columns, lines)}"


def main() -> int:
    """Compile, disassemble, write."""
    nvdisasm = disassembler()
    if NVCC is None or nvdisasm is None:
        print("bench: needs nvcc and nvdisasm (pip install nvidia-cuda-nvdisasm)")
        return 1
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        by_size = sorted(KERNELS, key=lambda source: -source.stat().st_size)
        done = dict(zip(by_size, pool.map(lambda source: rows(source, Path(folder), nvdisasm), by_size), strict=True))
    version = re.search(r"V([\d.]+)", run([NVCC, "--version"]))
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    result = {
        "date": date,
        "commit": run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]).strip(),
        "nvcc": version[1] if version else "",
    }
    kernels = ",\n".join(f"  {json.dumps(row)}" for source in KERNELS for row in done[source])
    path = ROOT / "bench" / "results" / f"{date}-sm90-resources.json"
    path.write_text(f'{json.dumps(result)[:-1]}, "kernels": [\n{kernels}\n]}}\n')
    print(f"{path}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
