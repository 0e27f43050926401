"""The greatest errors of the float32 vector math over all 2³² arguments, at every instruction set that this machine has.

    python tools/kernels/accuracy.py                        everything: writes benchmarks/ACCURACY.md; 15 minutes on two cores
    python tools/kernels/accuracy.py --only exp,log         some functions, the others' rows stay
    python tools/kernels/accuracy.py --stride 1009 --print  every 1,009th argument, printed

The functions are compiled from `tlean/_core/simd/vmath.h` with the flags of the kernels and compared with the C library's in float64.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "benchmarks" / "ACCURACY.md"
ALL = 1 << 32
PIECES = 32
LIMIT = 2.0
HEAD = """\
# Accuracy of the vector math

The greatest error over all 2³² float32 arguments, in units of the last place of the exact result, and an argument where it is found.
`make accuracy` measures and writes this; the limit is 2. Subnormal results, infinities and NaN are included. `sin` and `cos` are ours up to
|x| = 10⁶ and the C library's beyond; of the exponents of `pow` three are taken. `sigmoid2(x)` is 1/(1 + 2⁻ˣ), the gate of `gelu`.
`normal_cdf` counts units of values in [½, 1), 2⁻²⁴, for all its values: its error is absolute. `sqrt` is the processor's.

"""


def flags() -> tuple[list[str], dict[str, list[str]]]:
    """The compiler's flags for every kernel, and for each instruction set that this processor has."""
    spec = importlib.util.spec_from_file_location("tlean_setup", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    setup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(setup)
    told = Path("/proc/cpuinfo")
    has = set(told.read_text().split()) if told.exists() else set()
    sets = {name: f for name, f in setup.ISA_FLAGS.items() if {w[2:] for w in f if w.startswith(("-mavx", "-mfma"))} <= has}
    return [*setup.COMMON, "-ffp-contract=off"], sets


def compiler() -> str | None:
    """The C compiler, or None."""
    return shutil.which(os.environ.get("CC", "gcc")) or shutil.which("cc")


def build(folder: Path, common: list[str], sets: dict[str, list[str]]) -> Path:
    """The program, compiled into the folder."""
    source, cc = str(ROOT / "tools" / "kernels" / "accuracy.c"), compiler() or "cc"
    objects = []
    # The comparison has the widest vectors.
    main = [*list(sets.values())[-1], "-DMAIN", f"-DSETS(F)={' '.join(f'F({s})' for s in sets)}"]
    for name, special in {**sets, "main": main}.items():
        objects.append(str(folder / f"{name}.o"))
        which = [] if name == "main" else [f"-DISA={name}"]
        subprocess.run([cc, *common, *special, *which, f"-I{ROOT / 'tlean' / '_core'}", "-c", source, "-o", objects[-1]], check=True)
    program = folder / "accuracy"
    subprocess.run([cc, *objects, "-lm", "-o", str(program)], check=True)
    return program


def measure(program: Path, names: list[str], stride: int, pieces: int, say: bool) -> dict[str, list[tuple[float, float]]]:
    """Function -> (worst error, where) for each instruction set."""
    step = -(-ALL // pieces // stride) * stride
    jobs = [(name, first) for name in names for first in range(0, ALL, step)]
    worst: dict[str, list[tuple[float, float]]] = {}
    begun = time.perf_counter()

    def run(job: tuple[str, int]) -> str:
        name, first = job
        command = [str(program), name, str(first), str(min(first + step, ALL)), str(stride)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for k, ((name, _), text) in enumerate(zip(jobs, pool.map(run, jobs), strict=True), 1):
            found = [(float(e), float(x)) for e, x in (line.split() for line in text.splitlines())]
            worst[name] = [max(pair) for pair in zip(worst.get(name, found), found, strict=True)]
            if say:
                passed = time.perf_counter() - begun
                left = passed / k * (len(jobs) - k)
                print(
                    f"\r{name:12s} {k}/{len(jobs)} pieces, {ALL / stride * k / pieces / passed / 1e6:.0f} M/s, {left:.0f} s left ", end=""
                )
                sys.stdout.flush()
    if say:
        print()
    return worst


def rows_of(page: Path) -> dict[str, str]:
    """Function -> its line in the table that is there."""
    lines = page.read_text().splitlines() if page.exists() else []
    return {line.split("`")[1]: line for line in lines if line.startswith("| `")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names, with commas")
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--print", action="store_true", help="write no page")
    given = parser.parse_args()
    common, sets = flags()
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder), common, sets)
        every = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.split()
        names = [n for n in every if not given.only or n in given.only.split(",")]
        worst = measure(program, names, given.stride, PIECES, say=True)
    for name, found in worst.items():
        print(f"{name:12s}", *(f"{s} {e:.3f} at {x:.9g}" for s, (e, x) in zip(sets, found, strict=True)), sep="  ")
    if not given.print and given.stride == 1:
        rows = rows_of(PAGE) | {n: f"| `{n}` | " + " | ".join(f"{e:.3f} at {x:.9g}" for e, x in found) + " |" for n, found in worst.items()}
        head = f"| function | {' | '.join(sets)} |\n|---|{'---|' * len(sets)}\n"
        lines = [rows[n] for n in every if n in rows]
        cc = subprocess.run([compiler() or "cc", "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
        tail = f"\n{platform.machine()}, {cc}, {' '.join(platform.libc_ver())}.\n"
        PAGE.write_text(HEAD + head + "\n".join(lines) + "\n" + tail)
    return int(any(e > LIMIT for found in worst.values() for e, _ in found))


if __name__ == "__main__":
    sys.exit(main())
