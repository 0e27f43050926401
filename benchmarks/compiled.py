"""Measures tlean's compiled path against PyTorch (eager and torch.compile), JAX (jit) and NumPy, and the rows that have a bound.

    python benchmarks/compiled.py --rows 'mlp|cnn' --markdown out/compiled.md
    python benchmarks/compiled.py --family loops --threads 1 --json out/compiled.json --keep

As in harness.py each library runs in a separate process on the same arrays, they take turns on every row, each time in another order, and
a ratio is the median over the turns. All are bound to the same cores. JAX runs in the Python of .venv-jax, which `make bench` sets up.
Libraries that are not installed, and rows that one cannot run, are left out and named. It also measures how long tlean takes to compile
programs of 1,000 and 10,000 nodes, and what memory a step needs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from measuring.pinned import PACKAGES, Beside, Side, cores, python_of, work
from report.compiled import SIDES, alone, line, page
from report.measures import spread
from report.page import write_part
from report.summary import environment
from rows.compiled import all_rows
from rows.libraries import CompiledRow

MIN_TURNS, FEW_TURNS = 7, 3
#: How many processes time the first call of a row; one of a quick run.
FIRSTS = 3
TOLERANCE = 2e-3
#: Rows that take longer, all sides together, take fewer turns.
LONG_TURN = 1.0


def summary(samples: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of every side, and the ratios of tlean's time to it with their intervals."""
    ratios = {name: spread(samples["tlean"], times) for name, times in samples.items() if "tlean" in samples and name != "tlean"}
    return {
        "seconds": {name: float(np.median(times)) for name, times in samples.items()},
        "ratio": {name: found[0] for name, found in ratios.items()},
        "interval": {name: found[1:] for name, found in ratios.items()},
        "turns": len(next(iter(samples.values()), [])),
    }


def measure(row: CompiledRow, sides: dict[str, Any], budget: float) -> dict[str, Any]:
    """Medians of every side and of the paired ratios tlean / side; sides that fail are named with their words."""
    result: dict[str, Any] = {"row": row.name, "failed": {}}
    chosen = {name: side for name, side in sides.items() if name in row.programs()}
    if row.base is not None and "tlean" in sides:
        chosen["base"] = Beside(sides["tlean"])
    running: dict[str, int] = {}
    expected = None
    for name, side in chosen.items():
        try:
            found = np.array(side.ask(build=row.name))
            expected = found if expected is None else expected
            if row.same and name != "base" and not alike(found, expected):
                raise RuntimeError("it computed something else")
            running[name] = side.ask(calibrate=True)
        except RuntimeError as error:
            result["failed"][name] = str(error)
    samples: dict[str, list[float]] = {name: [] for name in running}
    spent, turn, most = 0.0, 0, MIN_TURNS
    while running and ((spent < budget and row.kind != "rate") or turn < most):
        names = list(running)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            samples[name].append(chosen[name].ask(time=running[name]))
            spent += samples[name][-1] * running[name]
        turn += 1
        most = MIN_TURNS if spent < LONG_TURN * turn else FEW_TURNS
    if "tlean" in running and any(bound.of == "memory" for bound in row.bounds):
        result["bytes"] = chosen["tlean"].ask(extra="call", arguments=[])
    return result | summary(samples)


def alike(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two sides computed the same."""
    return found.shape == expected.shape and np.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * np.abs(expected).max(initial=0))


def firsts(rows: list[CompiledRow], names: list[str], threads: int, repeats: int) -> list[dict[str, Any]]:
    """The first calls of rows: each in so many processes, which have loaded their library and compiled a small program before."""
    chosen = [name for name in names if name != "inductor" and any(name in row.programs() for row in rows)]
    samples: dict[str, dict[str, list[float]]] = {row.name: {name: [] for name in chosen if name in row.programs()} for row in rows}
    failed: dict[str, dict[str, str]] = {row.name: {} for row in rows}
    for _ in range(repeats if rows else 0):
        for name in chosen:
            side = Side(name, threads)
            side.ask(build=WARM)
            for row in rows:
                if name in row.programs() and name not in failed[row.name]:
                    try:
                        samples[row.name][name].append(side.ask(first=row.name))
                    except RuntimeError as error:
                        failed[row.name][name] = str(error)
                        del samples[row.name][name]
            side.close()
    return [{"row": row.name, "failed": failed[row.name]} | summary(samples[row.name]) for row in rows]


#: What a process has compiled before a first call is timed.
WARM = "layers_4_16_1_grad"


def measured(
    rows: list[CompiledRow], names: list[str], threads: int, budget: float, repeats: int
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The results of every row with so many threads for every library, and the libraries' versions."""
    sides = {n: Side(n, threads) for n in names}
    versions = {PACKAGES[n]: side.ask(version=True) for n, side in sides.items()}
    results = []
    for row in rows:
        if not row.first:
            results.append(measure(row, sides, budget))
            print(line(results[-1], row), flush=True)
    if "tlean" in sides and threads == 1 and any(row.family == "networks" for row in rows):
        versions["alone"] = "\n".join(alone(sides["tlean"]))
    for side in sides.values():
        side.close()
    by_name = {row.name: row for row in rows}
    for found in firsts([row for row in rows if row.first], names, threads, repeats):
        results.append(found)
        print(line(found, by_name[found["row"]]), flush=True)
    return results, versions


def arguments() -> argparse.ArgumentParser:
    """What may be asked for."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", default="", metavar="REGEX", help="only rows whose name it matches")
    p.add_argument("--family", default="", metavar="REGEX", help="only rows of families that it matches")
    p.add_argument("--sides", default=",".join(SIDES), help="libraries, with commas (default: %(default)s)")
    p.add_argument("--threads", default="1,2", metavar="LIST", help="threads of every library, a table for each (default: %(default)s)")
    p.add_argument("--budget", type=float, default=0.5, help="seconds for a row, all sides together (default: %(default)s)")
    p.add_argument(
        "--quick", action="store_true", help="as many turns but shorter ones, a third of the first calls, no torch.compile; one thread"
    )
    p.add_argument("--list", action="store_true", help="print the rows' names and stop")
    p.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    p.add_argument("--keep", action="store_true", help="keep the rows of FILE that are not measured now: part runs make one page")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables; in a page that has other parts, as one part")
    p.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    p.add_argument("--cores", default="", help=argparse.SUPPRESS)
    return p


def installed(wanted: list[str]) -> list[str]:
    """The sides that can run here; the others are named."""
    names = [n for n in wanted if n in SIDES and python_of(n)]
    for n in wanted:
        if n not in names:
            print(f"{SIDES.get(n, n)} is not installed: left out", file=sys.stderr)
    return names


def main() -> None:
    args = arguments().parse_args()
    if args.worker:
        work(args.worker, int(args.threads), [int(n) for n in args.cores.split(",")])
        return
    rows = [row for row in all_rows() if re.search(args.rows, row.name) and re.search(args.family, row.family)]
    if args.list:
        print("\n".join(f"{row.family:20}{row.name}" for row in rows))
        return
    if not rows:
        raise SystemExit(f"no row matches {args.rows!r} in {args.family!r}; --list shows their names")
    if args.quick:
        args.threads, args.budget, args.sides = "1", 0.0, args.sides.replace("inductor,", "")
    names = installed(args.sides.split(","))
    report: dict[str, Any] = {"environment": environment(), "results": [], "alone": ""}
    if args.keep and args.json and args.json.exists():
        report |= {k: v for k, v in json.loads(args.json.read_text()).items() if k != "environment"}
    for threads in map(int, args.threads.split(",")):
        if len(cores(threads)) < threads:
            print(f"{threads} threads need as many cores, but this process may use {len(cores(threads))}: left out", file=sys.stderr)
            continue
        print(f"threads: {threads}", flush=True)
        # Rows with a bound are about one thread.
        chosen = [row for row in rows if threads == 1 or row.family == "networks"]
        found, versions = measured(chosen, names, threads, args.budget, 1 if args.quick else FIRSTS)
        report["alone"] = versions.pop("alone", "") or report["alone"]
        report["environment"] |= versions
        new = [r | {"threads": threads, "date": report["environment"]["date"]} for r in found]
        again = {(r["row"], threads) for r in new}
        report["results"] = [r for r in report["results"] if (r["row"], r["threads"]) not in again] + new
    if any(row.family == "networks" for row in rows):
        print(report["alone"])
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1))
    if args.markdown:
        write_part(args.markdown, page(report))


if __name__ == "__main__":
    main()
