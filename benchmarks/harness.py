"""Measures tlean against PyTorch, row by row, at 1 and at 2 threads.

    python benchmarks/harness.py --list
    python benchmarks/harness.py --rows 'conv2d|step' --threads 1,2 --json out/bench.json
    python benchmarks/harness.py --quick

Each library runs in a separate process, PyTorch in two: as it comes, and told to keep freed memory. They get the same arrays and take
turns on every row, each time in another order, so that whatever else the machine does meets all alike; a ratio is the median over these
turns, and its interval comes from resampling them. Before a row is timed, its results in the two libraries are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from measuring.limits import Limits, best, limits_as_json, probe
from measuring.own_rate import lengths
from measuring.sides import SIDES, Quiet, Worker
from report.page import write_part
from report.summary import MIN_PAIRS, PARITY, SAMPLE_SECONDS, environment, headline, line, markdown, summary
from rows import all_rows
from rows.base import FORWARD, Row, StepRow
from rows.work import work_of

TOLERANCE = 2e-3
# Cores that other programs may take before the figures are called disturbed.
NOISE = 0.1
QUICK = re.compile(
    r"^(add_4|chain_100_ops_of_4|(add|exp|gelu)_(16K|1M)|matmul_(128x128x128|512x512x512|1024x1024x1024)|softmax_512x512|layer_norm_512x768|"
    r"conv2d_(1x28_16k3_N1|256x14_256k3_N8|64x56_depthwise_k3_N1)|max_pool_k2s2_64x56_N8|attention_8x512x64(_causal)?|"
    r"reduce_sum_rows_1024x1024|adam_1M_fused|(mlp|cnn)_step_adam_N32)$"
)


def turns(sides: dict[str, Worker], mode: str, threads: int, budget: float, quiet: Quiet) -> dict[str, list[float]]:
    """Seconds per call of every side, turn by turn.

    At least MIN_PAIRS turns and the budget; up to three times as many while the interval of a ratio still holds the line between faster
    and slower.
    """
    calls = {}
    for name, side in sides.items():
        side.ask(threads=threads)
        calls[name] = side.ask(calibrate=mode, seconds=SAMPLE_SECONDS)["calls"]
        side.settle()
    samples: dict[str, list[float]] = {name: [] for name in sides}
    names, spent = list(sides), 0.0
    while spent < budget or len(samples["tlean"]) < MIN_PAIRS or (spent < 3 * budget and undecided(samples)):
        k = len(samples["tlean"])
        order = names[k % len(names) :] + names[: k % len(names)]
        for name in order if k % 2 == 0 else order[::-1]:
            waiting = [side for other, side in sides.items() if other != name]
            with quiet.watch(waiting) if threads > 1 and k == 1 else contextlib.nullcontext():
                seconds = sides[name].ask(time=mode, calls=calls[name])["seconds"]
            if threads > 1:
                sides[name].settle()
            samples[name].append(seconds)
            spent += seconds * calls[name]
    return samples


def undecided(samples: dict[str, list[float]]) -> bool:
    """Whether the interval of some ratio reaches into what counts as neither faster nor slower."""
    found = summary(samples)
    return any(found[f"{k}_low"] < PARITY[1] and found[f"{k}_high"] > PARITY[0] for k in ("ratio", "kept_ratio") if f"{k}_low" in found)


def compare(
    row: Row | StepRow, sides: dict[str, Worker], threads: list[int], args: argparse.Namespace, quiet: Quiet
) -> list[dict[str, Any]]:
    """Measure one row in every mode and at every number of threads."""
    for side in sides.values():
        side.ask(threads=max(threads))
    if not getattr(row, "numpys", None):
        sides = {name: side for name, side in sides.items() if name != "numpy"}
    digests = {name: side.ask(build=row.name)["digests"] for name, side in sides.items()}
    results = []
    for mode in digests["tlean"]:
        if not re.search(args.modes, mode):
            continue
        present = {name: side for name, side in sides.items() if mode in digests[name]}
        for name, digest in digests.items():
            if digest.get(mode) is None:
                continue
            a, b = np.array(digests["tlean"][mode]), np.array(digest[mode])
            if a.shape != b.shape or not np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * max(1.0, float(np.abs(b).max(initial=0)))):
                raise RuntimeError(f"{mode}: tlean and {name} computed different results")
        for n in threads:
            # NumPy alone at 1 thread: the threads of its BLAS go on looking for work for longer than anybody waits.
            chosen = present if n == 1 else {name: side for name, side in present.items() if name != "numpy"}
            results.append({"row": row.name, "mode": mode, "threads": n, **summary(turns(chosen, mode, n, args.budget, quiet))})
    if 1 in threads and lengths(row):
        sides["tlean"].ask(threads=1)
        own = sides["tlean"].ask(own=row.name)
        results = [r | own if (r["mode"], r["threads"]) == (FORWARD, 1) else r for r in results]
    return results


def limits_now(threads: list[int], isa: str, known: dict[int, Limits]) -> dict[int, Limits]:
    """The machine's limits at each number of threads: the best of what is known and of a measurement now."""
    found = {n: probe(n, isa) for n in threads}
    return {n: best(known[n], limits) if n in known else limits for n, limits in found.items() if limits is not None}


def measure(
    rows: list[Row | StepRow], args: argparse.Namespace, isa: str = "native", told: dict[str, dict[str, str]] | None = None
) -> dict[str, Any]:
    """All rows: the report as it is written to JSON. `told` are environment variables for a library's processes."""
    from tlean.train.progress import progress

    threads = [int(n) for n in args.threads.split(",")]
    wanted = args.sides.split(",")
    for package, names in (("torch", ("torch", "kept")), ("threadpoolctl", ("numpy",))):
        if importlib.util.find_spec(package) is None and not set(names).isdisjoint(wanted):
            print(f"{package} is not installed: measuring without it. To compare: pip install {package}", file=sys.stderr)
            wanted = [name for name in wanted if name not in names]
    report: dict[str, Any] = {"environment": environment(), "threads": threads, "results": [], "failed": []}
    limits = {} if args.no_limits else limits_now(threads, isa, {})
    # One after the other: loading at the same time would only be slower.
    sides = {n: Worker(SIDES[n][0], max(threads), SIDES[n][1] | (told or {}).get(SIDES[n][0], {})).ready() for n in wanted}
    quiet = Quiet()
    latest = [""]
    with contextlib.suppress(KeyboardInterrupt):
        for row in progress(rows, "rows", len(rows), lambda: latest[0], lambda row: 1, "rows"):
            try:
                found = compare(row, sides, threads, args, quiet)
            except RuntimeError as error:
                report["failed"].append({"row": row.name, "error": str(error)})
                latest[0] = f"{row.name}: {error}"
                continue
            work = work_of(row)
            for result in found:
                asked = work.get(result["mode"])
                report["results"].append(result | ({"flops": asked.flops, "reads": asked.reads, "writes": asked.writes} if asked else {}))
            latest[0] = line(found[-1]) if found else row.name
    disturbed = quiet.found(list(sides.values()))
    for side in sides.values():
        side.close()
    # Measured again: the machine may have been slow the first time.
    limits = limits_now(list(limits), isa, limits)
    report["limits"] = {str(n): limits_as_json(found) for n, found in limits.items()}
    report["environment"]["disturbed"] = disturbed
    if disturbed.get("others", 0.0) > NOISE:
        words = "threads that wait for one another make such a machine look slow, PyTorch most of all. Repeat it on a quiet one."
        print(f"other programs took {disturbed['others']:.2f} cores: {words}", file=sys.stderr)
    return report


def arguments() -> argparse.ArgumentParser:
    """The options that this program and isa.py share."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", default="", metavar="REGEX", help="only rows whose name it matches")
    p.add_argument("--family", default="", metavar="REGEX", help="only rows of families that it matches")
    p.add_argument("--unbounded", action="store_true", help="leave out the rows that compiled.py measures against a bound")
    p.add_argument("--modes", default="", metavar="REGEX", help="only modes that it matches: forward, recorded, forward+backward, step")
    p.add_argument("--threads", default="1,2", help="numbers of threads, with commas (default: %(default)s)")
    p.add_argument("--sides", default=",".join(SIDES), help="with commas; kept: PyTorch that keeps memory (default: %(default)s)")
    p.add_argument("--budget", type=float, default=0.2, help="seconds for a row in a mode, all sides together (default: %(default)s)")
    p.add_argument("--quick", action="store_true", help="a row or two of every kind, one thread: under a minute")
    p.add_argument("--no-limits", action="store_true", help="do not measure the machine's limits")
    p.add_argument("--list", action="store_true", help="print the rows' names and stop")
    p.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    p.add_argument("--keep", action="store_true", help="keep the rows of FILE that are not measured now: part runs make one page")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the page, and roofline.svg beside it")
    return p


def chosen_rows(args: argparse.Namespace) -> list[Row | StepRow]:
    """The rows that were asked for."""
    rows = [row for row in all_rows() if re.search(args.rows, row.name) and re.search(args.family, row.family)]
    if args.quick:
        rows = [row for row in rows if QUICK.search(row.name)]
    if args.unbounded:
        from rows.bounded import rows as bounded

        elsewhere = {row.name for row in bounded()}
        rows = [row for row in rows if row.name not in elsewhere]
    if not rows:
        raise SystemExit(f"no row matches {args.rows!r}; --list shows their names")
    return rows


def with_kept(report: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """A report with the results that another has besides at its numbers of threads; their order is that of the rows."""
    new = {(r["row"], r["mode"], r["threads"]) for r in report["results"]}
    order = {row.name: k for k, row in enumerate(all_rows())}
    kept = [r for r in before["results"] if (r["row"], r["mode"], r["threads"]) not in new and r["row"] in order]
    kept = [r for r in kept if r["threads"] in report["threads"]]
    results = sorted([*kept, *report["results"]], key=lambda r: (order[r["row"]], r["threads"]))
    return report | {
        "results": results,
        "limits": before["limits"] | report["limits"],
        "failed": [*(f for f in before["failed"] if f["row"] not in {r["row"] for r in results}), *report["failed"]],
    }


def write_json(path: Path | None, report: Any) -> None:
    """The report as it is."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1))


def main() -> None:
    args = arguments().parse_args()
    rows = chosen_rows(args)
    if args.list:
        print("\n".join(row.name for row in rows))
        return
    if args.quick:
        args.threads = "1"
    report = measure(rows, args)
    print("\n".join(line(result) for result in report["results"]))
    if args.keep and args.json and args.json.exists():
        report = with_kept(report, json.loads(args.json.read_text()))
    print("\n" + "\n".join(headline(report)))
    write_json(args.json, report)
    if args.markdown:
        from report.roofline import picture

        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        drawn = picture(report, args.markdown.with_name("roofline.svg"))
        write_part(args.markdown, markdown(report, drawn))
        write_part(args.markdown, "# GPU\n\nNot measured yet.", unless_there=True)
    if report["failed"]:
        raise SystemExit("\n".join(f"{f['row']} was not measured: {f['error']}" for f in report["failed"]))


if __name__ == "__main__":
    main()
