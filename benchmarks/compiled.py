"""Measures tlean's compiled path against PyTorch (eager and torch.compile) and JAX (jit), row by row.

    python benchmarks/compiled.py --rows 'mlp|cnn' --markdown out/compiled.md

As in harness.py each library runs in a separate process on the same arrays, they take turns on every row, each time in another order, and
a ratio is the median over the turns. Libraries that are not installed, and rows that one cannot run, are left out and named. It also
measures how long tlean takes to compile programs of 1,000 and 10,000 nodes, and what memory a step needs.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from report.measures import time_text
from report.page import write_part
from report.summary import environment
from rows.compiled import CompiledRow, all_rows, build_jax, build_ours, build_torch
from worker import calls_for, digest, seconds_per_call

SIDES = {"tlean": "tlean", "torch": "PyTorch eager", "inductor": "torch.compile", "jax": "jax.jit"}
PACKAGES = {"tlean": "tlean", "torch": "torch", "inductor": "torch", "jax": "jax"}
SAMPLE_SECONDS = 0.02
MIN_TURNS = 7
TOLERANCE = 2e-3


class Side:
    """A process that holds one library."""

    def __init__(self, name: str, threads: int) -> None:
        limits = {"OMP_NUM_THREADS": str(threads), "TLEAN_NUM_THREADS": str(threads), "JAX_PLATFORMS": "cpu"}
        if threads == 1:
            limits["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        command = [sys.executable, __file__, "--worker", name, "--threads", str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | limits)

    def ask(self, **request: Any) -> Any:
        """One request and its answer. Raises: RuntimeError with the worker's words where it failed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the process ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def work(name: str, threads: int) -> None:
    """The worker's loop: build a row, calibrate, time."""
    answers, sys.stdout = sys.stdout, sys.stderr
    if name in ("torch", "inductor"):
        import torch

        torch.set_num_threads(threads)
    builders = {
        "tlean": build_ours,
        "torch": lambda row: build_torch(row, False),
        "inductor": lambda row: build_torch(row, True),
        "jax": build_jax,
    }
    rows = {row.name: row for row in all_rows()}
    gc.disable()
    timed: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "build" in request:
                timed = None
                gc.collect()
                timed = builders[name](rows[request["build"]])
                first = timed()
                value: Any = digest(list(first) if isinstance(first, tuple | list) else first)
            elif "extra" in request:
                value = {"compile": compile_seconds, "memory": peak_bytes}[request["extra"]](*request["arguments"])
            elif "calibrate" in request:
                value = calls_for(timed, SAMPLE_SECONDS)
            else:
                value = seconds_per_call(timed, request["time"])
            print(json.dumps({"value": value}), file=answers, flush=True)
        except Exception as error:
            print(
                json.dumps({"error": f"{type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}"}),
                file=answers,
                flush=True,
            )


# tlean alone -------------------------------------------------------------------------------------------------------------------


def compile_seconds(nodes: int) -> list[float]:
    """Processor time to trace and plan a program of so many nodes, a few times."""
    import tlean as tl

    def program(ops: Any, w: Any, x: Any) -> Any:
        h = x
        for k in range(nodes - 1):
            apply = (ops.tanh, lambda h: ops.linear(w, None, h), lambda h: ops.mul(h, x), lambda h: ops.scale(h, 0.5))[k % 4]
            h = apply(h)
        return ops.sum(h)

    found = []
    for _ in range(3):
        begun = time.process_time()
        compiled = tl.compile_scalar(program, [(8, 8), (8,)])
        assert len(compiled.plan) > 0
        found.append(time.process_time() - begun)
    return found


def peak_bytes(row: str, backend: str) -> int:
    """Bytes that a step needs on top of what is there between steps."""
    import tlean as tl
    from tlean._core.arena import memory_stats, reset_peak

    chosen: CompiledRow = next(r for r in all_rows() if r.name == row)
    arrays = chosen.arrays(np.random.default_rng(0))
    inputs = arrays[chosen.params :]
    specs = [tl.Spec(a.shape, "int64") if a.dtype.kind == "i" else a.shape for a in inputs]
    trainer = tl.ScalarTrainer(tl.Options(backend=backend), arrays[: chosen.params], specs, chosen.ours)
    trainer.step(0.0, *inputs)
    reset_peak()
    before = memory_stats()["live"]
    trainer.step(0.0, *inputs)
    return memory_stats()["peak"] - before


# The page ----------------------------------------------------------------------------------------------------------------------

TITLE = "# The compiled path"
METHOD = f"""\
{TITLE}

Written by `benchmarks/compiled.py`; the rows are in `benchmarks/compiled_rows.py`. float32. Each library runs in a separate process on
the same arrays; they take turns, {SAMPLE_SECONDS * 1e3:.0f} ms of calls a turn, at least {MIN_TURNS} turns. A row is timed only for those
that computed the same. A ratio is tlean's time over the other's, the median over the turns: **below 1 tlean is faster**. `step` is a whole
training step (SGD); `hvp` a Hessian-vector product in all parameters; the chains are all gradients of a value.
"""


def where(about: dict[str, str]) -> str:
    """When and on what it was measured."""
    threads = f"{about['threads']} thread{'s' if about['threads'] != '1' else ''}"
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    versions = ", ".join(f"{k} {about[k]}" for k in ("python", "numpy", "torch", "jax", "tlean") if k in about)
    return f"{about['date']} · {about['processor']} · {threads} · load average at the end {load} · {versions}"


# The driver ----------------------------------------------------------------------------------------------------------------------


def measure(row: str, sides: dict[str, Side], budget: float) -> dict[str, Any]:
    """Medians of every side and of the paired ratios tlean / side; sides that fail are named with their words."""
    result: dict[str, Any] = {"row": row, "seconds": {}, "ratio": {}, "failed": {}}
    running: dict[str, int] = {}
    expected = None
    for name, side in sides.items():
        try:
            found = np.array(side.ask(build=row))
            expected = found if expected is None else expected
            if found.shape != expected.shape or not np.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * np.abs(expected).max()):
                raise RuntimeError("it computed something else")
            running[name] = side.ask(calibrate=True)
        except RuntimeError as error:
            result["failed"][name] = str(error)
    samples: dict[str, list[float]] = {name: [] for name in running}
    spent, turn = 0.0, 0
    while running and (spent < budget or turn < MIN_TURNS):
        names = list(running)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            samples[name].append(sides[name].ask(time=running[name]))
            spent += samples[name][-1] * running[name]
        turn += 1
    for name, times in samples.items():
        result["seconds"][name] = statistics.median(times)
        if "tlean" in samples:
            result["ratio"][name] = statistics.median(a / b for a, b in zip(samples["tlean"], times, strict=True))
    return result | {"turns": turn}


def cells(result: dict[str, Any], sides: list[str]) -> list[str]:
    """A result as the cells of a table's row: tlean's time, then each other's time and the ratio."""
    texts = [result["row"]]
    for name in sides:
        if name not in result["seconds"]:
            texts.append("–")
        elif name == "tlean":
            texts.append(time_text(result["seconds"][name]))
        else:
            texts.append(f"{time_text(result['seconds'][name])} · {result['ratio'].get(name, float('nan')):.2f}")
    # The best of the others is the one that tlean's ratio to is largest.
    best = max((r for n, r in result["ratio"].items() if n != "tlean"), default=None)
    return [*texts, "–" if best is None else f"{best:.2f}"]


def table(results: list[dict[str, Any]], sides: list[str]) -> list[str]:
    """The results as Markdown."""
    head = ["row", *(SIDES[n] if n == "tlean" else f"{SIDES[n]} · ratio" for n in sides), "ratio to the best"]
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(cells(r, sides))} |" for r in results)]


def alone(side: Side) -> list[str]:
    """What is measured of tlean alone: compile times, and the memory of a step."""
    small, large = (statistics.median(side.ask(extra="compile", arguments=[n])) for n in (1000, 10000))
    eager, compiled = (side.ask(extra="memory", arguments=["cnn_step_N128", b]) for b in ("eager", "compiled"))
    return [
        f"Compiling: {small * 1e3:.0f} ms for 1,000 nodes, {large * 1e3:.0f} ms for 10,000 ({large / small:.1f} times).",
        "",
        f"Memory of a CNN step at batch 128: eager {eager / 1e6:.1f} MB, compiled {compiled / 1e6:.1f} MB ({compiled / eager:.2f}).",
    ]


def measured(rows: list[str], names: list[str], threads: int, budget: float) -> tuple[list[dict[str, Any]], list[str]]:
    """The results of every row with so many threads for every library, and what is measured of tlean alone."""
    sides = {n: Side(n, threads) for n in names}
    results = []
    for row in rows:
        results.append(measure(row, sides, budget))
        print("".join(f"{c:>24}" for c in cells(results[-1], names)), flush=True)
        for name, words in results[-1]["failed"].items():
            print(f"    {SIDES[name]}: {words}", flush=True)
    extra = alone(sides["tlean"]) if "tlean" in sides else []
    for side in sides.values():
        side.close()
    return results, extra


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", default="", metavar="REGEX", help="only rows whose name it matches")
    p.add_argument("--sides", default=",".join(SIDES), help="libraries, with commas (default: %(default)s)")
    p.add_argument("--threads", default="1,2", metavar="LIST", help="threads of every library, a table for each (default: %(default)s)")
    p.add_argument("--budget", type=float, default=1.0, help="seconds for a row, all sides together (default: %(default)s)")
    p.add_argument("--list", action="store_true", help="print the rows' names and stop")
    p.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the table; in a page that has other parts, as its last part")
    p.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.worker:
        work(args.worker, int(args.threads))
        return
    rows = [row.name for row in all_rows() if re.search(args.rows, row.name)]
    if args.list:
        print("\n".join(rows))
        return
    if not rows:
        raise SystemExit(f"no row matches {args.rows!r}; --list shows their names")
    wanted = args.sides.split(",")
    names = [n for n in wanted if n in SIDES and importlib.util.find_spec(PACKAGES[n])]
    for n in wanted:
        if n not in names:
            print(f"{SIDES.get(n, n)} is not installed: left out", file=sys.stderr)
    about = environment() | ({"jax": version("jax")} if "jax" in names else {})
    tables: list[str] = []
    results: list[dict[str, Any]] = []
    extra: list[str] = []
    for threads in args.threads.split(","):
        print(f"threads: {threads}", flush=True)
        found, more = measured(rows, names, int(threads), args.budget)
        results += [r | {"threads": int(threads)} for r in found]
        extra = extra or more
        tables += [where(about | {"threads": threads}), "", *table(found, names), ""]
    print("\n".join(extra))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"environment": about, "results": results}, indent=1))
    if args.markdown:
        write_part(args.markdown, "\n".join([METHOD, *tables, *extra]))


if __name__ == "__main__":
    main()
