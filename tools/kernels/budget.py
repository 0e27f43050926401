"""Counts the instructions of small programs under callgrind; fails where one takes more than the committed table allows.

    python tools/kernels/budget.py              check
    python tools/kernels/budget.py --update     rewrite the table
    python tools/kernels/budget.py --only conv  the programs whose names hold that, printed, not compared

The programs are rows of `benchmarks/`, run with the kernels for AVX2 (valgrind knows no AVX-512) on one thread. Such counts do not
depend on what else the machine does: a program may take SLACK more than the table says. Where Python or the compiler is another than the
table's, what they themselves execute differs, and it may take OTHER_SLACK more.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TABLE = HERE / "budget.json"
REQUESTS = HERE / "callgrind_requests.c"
SLACK, OTHER_SLACK = 0.10, 0.50
WARM_UP = 20
# Calls counted: many of short ones, so that what surrounds them does not count.
SHORT_SECONDS, MANY, FEW = 2e-3, 100, 5

# Rows of benchmarks/rows in a mode: the path of a small op, then a kernel of every kind.
PROGRAMS = (
    *(("chain_100_ops_of_4", mode) for mode in ("forward", "recorded", "forward+backward")),
    *(("linear_1x8", mode) for mode in ("forward", "forward+backward")),
    *((name, "forward") for name in ("exp_16K", "tanh_16K", "gelu_16K", "log_16K", "pow_16K", "add_16K")),
    *((name, "forward") for name in ("reduce_sum_rows_128x128", "reduce_sum_columns_128x128", "transpose2d_128x128")),
    *(("matmul_128x128x128", mode) for mode in ("forward", "forward+backward")),
    *((name, "forward") for name in ("matmul_1x784x256", "matmul_64x10x64", "conv2d_1x28_16k3_N1", "conv2d_6x14_16k5_N1")),
    *(("conv2d_16x14_32k3_N1", mode) for mode in ("forward", "forward+backward")),
    *((name, mode) for name in ("conv2d_64x56_depthwise_k3_N1", "conv3d_4x16_8k3_N1") for mode in ("forward", "forward+backward")),
    *((name, "forward") for name in ("gelu_erf_16K", "clamp_16K", "matmul_64x64x64")),
    *((name, "forward+backward") for name in ("max_pool_k2s2_16x28_N1", "avg_pool_k3s2_16x28_N1")),
    *(("layer_norm_32x128", mode) for mode in ("forward", "forward+backward")),
    *((name, "forward+backward") for name in ("softmax_32x10", "cross_entropy_32x10", "batchnorm_16x28_N1", "attention_8x16x64")),
    ("attention_8x128x64", "forward"),
    ("adam_100x64_foreach", "step"),
    ("mlp_step_adam_N1", "step"),
)
# What `import tlean` takes beside NumPy's own import, and what the first op of a process loads.
IMPORT, FIRST = "import tlean", "first op"
# Rows of benchmarks/rows/compiled.py: a whole step as one call.
COMPILED = ("mlp_step_N1", "chain_100_ops_of_4")


def programs(only: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The programs by name, each ready to be called."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import rows
    import rows.compiled
    import rows.libraries
    import worker

    side, eager = worker.Ours(), {row.name: row for row in rows.all_rows()}
    side.set_threads(1)
    for name, mode in PROGRAMS:
        if only in f"{name} {mode}":
            yield f"{name} {mode}", side.build(eager[name])[mode]
    compiled = {row.name: row for row in rows.compiled.all_rows()}
    for name in COMPILED:
        if only in f"{name} compiled":
            yield f"{name} compiled", rows.libraries.build_ours(compiled[name])


def run_watched(library: str, only: str) -> None:
    """What the watched process does: call every program, counted after a warm-up."""
    requests = ctypes.CDLL(library)
    gc.disable()
    if only in IMPORT or only in FIRST:
        x = importlib.import_module("numpy").ones(3, "float32")
        requests.count_from_here()
        tl = importlib.import_module("tlean")
        requests.count_to_here(f"{IMPORT} / 1".encode())
        requests.count_from_here()
        tl.relu(x)
        requests.count_to_here(f"{FIRST} / 1".encode())
    for name, call in programs(only):
        call()
        times: list[float] = []
        while len(times) < WARM_UP and sum(times) < WARM_UP * SHORT_SECONDS:
            begun = time.perf_counter()
            call()
            times.append(time.perf_counter() - begun)
        calls = MANY if min(times) < SHORT_SECONDS else FEW
        requests.count_from_here()
        for _ in range(calls):
            call()
        requests.count_to_here(f"{name} / {calls}".encode())


def counts_in(texts: list[str]) -> dict[str, int]:
    """Instructions per call by program, from the files that callgrind wrote."""
    found = {}
    for text in texts:
        name = re.search(r"^desc: Trigger: Client Request: (.+) / (\d+)$", text, re.MULTILINE)
        total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
        if name and total:
            found[name.group(1)] = round(int(total.group(1)) / int(name.group(2)))
    return found


def count(only: str) -> dict[str, int]:
    """Instructions per call of every program."""
    with tempfile.TemporaryDirectory() as folder:
        library = str(Path(folder) / "requests.so")
        subprocess.run([compiler(), "-O1", "-shared", "-fPIC", str(REQUESTS), "-o", library], check=True)
        told = {
            "TLEAN_ISA": "avx2",
            "TLEAN_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
            "PYTHONMALLOC": "pymalloc",
            # The import is counted with its modules compiled.
            "PYTHONDONTWRITEBYTECODE": "",
        }
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        # Python compiles what it imports once; that is not counted.
        subprocess.run([sys.executable, "-c", "import tlean.functions"], env=os.environ | told | {"PYTHONPATH": path}, check=True)
        command = ["valgrind", "--tool=callgrind", "--quiet", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        command += [sys.executable, __file__, "--watched", library, "--only", only]
        done = subprocess.run(command, env=os.environ | told | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
        files = sorted(Path(folder).glob("out.*"), key=lambda p: int(p.suffix[1:]))
        found = counts_in([p.read_text() for p in files])
        if done.returncode or not found:
            raise SystemExit(f"budget: the watched process ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return found


def compiler() -> str:
    """The C compiler's command."""
    return os.environ.get("CC", "cc").split()[0]


def made_by() -> str:
    """What the counts depend on besides the code."""
    said = subprocess.run([compiler(), "-dumpversion"], capture_output=True, text=True, check=True).stdout
    return f"Python {'.'.join(platform.python_version_tuple()[:2])}, C compiler {said.strip().partition('.')[0]}"


def missing() -> str | None:
    """Why it cannot be counted here; None if it can."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return "the table is of x86-64"
    if shutil.which("valgrind") is None:
        return "valgrind is not installed (Debian and Ubuntu: apt install valgrind)"
    if shutil.which(compiler()) is None:
        return "there is no C compiler"
    probe = subprocess.run([compiler(), "-fsyntax-only", str(REQUESTS)], capture_output=True, check=False)
    return "valgrind's header <valgrind/callgrind.h> is not installed" if probe.returncode else None


def excess(found: dict[str, int], allowed: dict[str, int], slack: float) -> list[str]:
    """What takes more than its budget and the slack, or has no budget, in words."""
    worse = [name for name, n in found.items() if n > allowed.get(name, 0) * (1 + slack)]
    return [
        f"{name}: {found[name]:,} instructions, {allowed[name]:,} in the table ({found[name] / allowed[name] - 1:+.0%})"
        if name in allowed
        else f"{name}: {found[name]:,} instructions, not in the table"
        for name in worse
    ]


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", default="", metavar="TEXT", help="count the programs whose names hold it, and print")
    p.add_argument("--update", action="store_true", help="rewrite the table")
    p.add_argument("--watched", metavar="LIBRARY", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.watched:
        run_watched(args.watched, args.only)
        return
    if (why := missing()) is not None:
        print(f"budget: NOT CHECKED: {why}")
        return
    found = count(args.only)
    if args.update:
        TABLE.write_text(json.dumps({"made by": made_by(), "instructions": found}, indent=1) + "\n")
        print(f"budget: {TABLE.name} rewritten, {len(found)} programs, {made_by()}")
        return
    table = json.loads(TABLE.read_text())
    allowed = table["instructions"]
    if args.only:
        for name, n in found.items():
            print(f"{name:45} {n:12,} instructions, {n / allowed[name] - 1:+.1%} of the table" if name in allowed else f"{name:45} {n:12,}")
        return
    same = table["made by"] == made_by()
    slack = SLACK if same else OTHER_SLACK
    worse = excess(found, allowed, slack) + [f"{name}: in the table, not run" for name in allowed if name not in found]
    less = [name for name, n in found.items() if n < allowed.get(name, 0) * (1 - SLACK)]
    note = "" if same else f" (the table is of {table['made by']}, this is {made_by()})"
    print(f"budget: {len(found)} programs counted, {len(worse)} over their budget by more than {slack:.0%}{note}")
    if less:
        print(f"budget: {len(less)} take over {SLACK:.0%} less, so the table is loose: {', '.join(less)}; `--update` tightens it")
    if worse:
        print(*(f"  {words}" for words in worse), "`python tools/kernels/budget.py --update` accepts them", sep="\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
