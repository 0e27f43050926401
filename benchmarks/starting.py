"""What a program waits for before its first result: the import beside NumPy's own, and the first use of each face.

    python benchmarks/starting.py                                      # prints; or: make bench-starting
    python benchmarks/starting.py --markdown benchmarks/RESULTS.md     # writes its part of that page

Each turn is one fresh process a row: it imports NumPy, then tlean, then computes something once. The modules are compiled to bytecode
before, and the rows take turns, so that all of them see the same machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from report.page import write_part
from report.summary import environment

#: What is computed after the import: by the rows' names.
FIRST = {
    "import": "pass",
    "an op of an array": "tl.relu(x)",
    "a step of a session": """
s = tl.Session()
w = s.param(np.ones((1, 3)))
s.sgd_step_all(0.1, s.backward_scalar_dense_all(s.mse_loss(s.linear(s.use(w), None, s.input(x)), s.const([2.0]))))
""",
    "a compiled gradient": "tl.jit(tl.grad(lambda x: tl.sum(tl.tanh(x))))(x)",
}
#: The program of a process: prints milliseconds of NumPy's import, of tlean's and of the rest, and the pages that the last two took.
PROGRAM = """
import time
def resident():
    try:
        return int(open("/proc/self/statm").read().split()[1])
    except OSError:
        return 0
a = time.perf_counter()
import numpy as np
b, pages = time.perf_counter(), resident()
c = time.perf_counter()
import tlean as tl
d, x = time.perf_counter(), np.ones(3, np.float32)
{first}
e = time.perf_counter()
print((b - a) * 1e3, (d - c) * 1e3, (e - d) * 1e3, resident() - pages)
"""
#: The bounds of the row "import": of its time over that of NumPy's import, and of the memory beyond NumPy's.
MOST_RATIO, MOST_MEGABYTES = 0.7, 12.0


def once(first: str) -> list[float]:
    """The figures of one process: NumPy's import, tlean's and the rest in milliseconds, megabytes beyond NumPy's."""
    told = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": str(Path(__file__).parents[1])}
    made = subprocess.run([sys.executable, "-c", PROGRAM.format(first=first)], env=told, capture_output=True, text=True, check=True)
    *times, pages = map(float, made.stdout.split())
    return [*times, pages * (os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096) / 2**20]


def measure(turns: int) -> dict[str, list[list[float]]]:
    """The figures of so many processes for each row, which take turns."""
    found: dict[str, list[list[float]]] = {name: [] for name in FIRST}
    for turn in range(-1, turns):
        for name, first in FIRST.items():
            figures = once(first)
            # The first turn compiles the modules.
            if turn >= 0:
                found[name].append(figures)
    return found


def table(found: dict[str, list[list[float]]]) -> list[str]:
    """The rows of a table: medians over the processes, and of the ratios of each."""
    lines = ["| then | NumPy | tlean | the first result | import over NumPy's | all over NumPy's | memory beyond NumPy's |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, processes in found.items():
        numpy, own, first, megabytes = (statistics.median(column) for column in zip(*processes, strict=True))
        ratio = statistics.median(p[1] / p[0] for p in processes)
        whole = statistics.median((p[1] + p[2]) / p[0] for p in processes)
        cells = [name, *(f"{t:.1f} ms" for t in (numpy, own, first)), f"{ratio:.2f}", f"{whole:.2f}", f"{megabytes:.1f} MB"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def page(found: dict[str, list[list[float]]]) -> str:
    """The part of the page of results."""
    e = environment()
    turns = len(next(iter(found.values())))
    words = f"""# Starting

Written by `make bench-starting`: medians over {turns} fresh processes a row, which take turns. Each imports NumPy, then tlean, then
computes something once. The bounds of the import are {MOST_RATIO} of NumPy's time and {MOST_MEGABYTES:.0f} MB. What an op, a session or
a compiled program needs is loaded by the first of them.

{e["date"]} · {e["processor"]} · load average {e["load"]} at the start · Python {e["python"]}, NumPy {e["numpy"]}, tlean {e["tlean"]}
"""
    return "\n".join([words, *table(found), ""])


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--turns", type=int, default=15, help="processes a row (default: %(default)s)")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the part of this page")
    args = p.parse_args()
    found = measure(args.turns)
    print("\n".join(table(found)))
    if args.markdown:
        write_part(args.markdown, page(found))
    ratio = statistics.median(f[1] / f[0] for f in found["import"])
    megabytes = statistics.median(f[3] for f in found["import"])
    if ratio > MOST_RATIO or megabytes > MOST_MEGABYTES:
        raise SystemExit(
            f"the import takes {ratio:.2f} of NumPy's time and {megabytes:.1f} MB; its bounds are {MOST_RATIO} and {MOST_MEGABYTES}"
        )


if __name__ == "__main__":
    main()
