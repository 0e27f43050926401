"""Measures tlean against PyTorch, row by row.

    python benchmarks/harness.py --list
    python benchmarks/harness.py --rows 'conv2d|step' --threads 1,2 --json out/bench.json

Each library runs in a process of its own, with the same arrays and the same number of threads. The two take turns on every row, each time
in the other order, so that whatever else the machine does meets both alike; the ratio is the median over these pairs, and its interval
comes from resampling them. Before a row is timed, its results in the two libraries are compared.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from report import MIN_PAIRS, SAMPLE_SECONDS, cells, environment, markdown, summary
from rows import all_rows

FOLDER = Path(__file__).parent
TOLERANCE = 2e-3


class Worker:
    """A process that holds one library and does what it is told (see worker.py)."""

    def __init__(self, library: str, threads: int) -> None:
        # Set before the library loads, for whatever reads them then.
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TLEAN_NUM_THREADS": str(threads)}
        command = [sys.executable, str(FOLDER / "worker.py"), library, str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self._answer()

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request and its answer. Raises: RuntimeError with the worker's words where it failed."""
        assert self.process.stdin is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self._answer()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a benchmark process ended before it answered; its message is above")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def compare(row: str, ours: Worker, theirs: Worker | None, budget: float, only: re.Pattern[str]) -> list[dict[str, Any]]:
    """Measure one row in every mode."""
    sides = {"tlean": ours} if theirs is None else {"tlean": ours, "torch": theirs}
    digests = {name: side.ask(build=row)["digests"] for name, side in sides.items()}
    results = []
    for mode in digests["tlean"]:
        if not only.search(mode):
            continue
        if theirs is not None and digests["tlean"][mode] is not None:
            a, b = np.array(digests["tlean"][mode]), np.array(digests["torch"][mode])
            if a.shape != b.shape or not np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * max(1.0, float(np.abs(b).max(initial=0)))):
                raise RuntimeError(f"{mode}: the two libraries computed different results")
        calls = {name: side.ask(calibrate=mode, seconds=SAMPLE_SECONDS)["calls"] for name, side in sides.items()}
        samples: dict[str, list[float]] = {name: [] for name in sides}
        spent = 0.0
        while spent < budget or len(samples["tlean"]) < MIN_PAIRS:
            order = list(sides) if len(samples["tlean"]) % 2 == 0 else list(sides)[::-1]
            for name in order:
                seconds = sides[name].ask(time=mode, calls=calls[name])["seconds"]
                samples[name].append(seconds)
                spent += seconds * calls[name]
        results.append({"row": row, "mode": mode, **summary(samples)})
    return results


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", default="", metavar="REGEX", help="only rows whose name it matches")
    p.add_argument("--modes", default="", metavar="REGEX", help="only modes that it matches: forward, forward+backward, step")
    p.add_argument("--threads", default="1", help="numbers of threads, with commas (default: %(default)s)")
    p.add_argument("--budget", type=float, default=0.6, help="seconds for a row in a mode, both sides together (default: %(default)s)")
    p.add_argument("--list", action="store_true", help="print the rows' names and stop")
    p.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables")
    args = p.parse_args()
    wanted = [row for row in all_rows() if re.search(args.rows, row.name)]
    if args.list:
        print("\n".join(row.name for row in wanted))
        return
    if not wanted:
        raise SystemExit(f"no row matches {args.rows!r}; --list shows their names")
    have_torch = importlib.util.find_spec("torch") is not None
    if not have_torch:
        print("PyTorch is not installed: measuring tlean alone. To compare: pip install torch", file=sys.stderr)
    threads = [int(n) for n in args.threads.split(",")]
    report: dict[str, Any] = {"environment": environment(), "threads": threads, "results": [], "failed": []}
    for n in threads:
        ours, theirs = Worker("tlean", n), Worker("torch", n) if have_torch else None
        print(f"\n{n} thread{'s' if n > 1 else ''}: row, mode, tlean, PyTorch, tlean / PyTorch, 95 %")
        for row in wanted:
            try:
                results = compare(row.name, ours, theirs, args.budget, re.compile(args.modes))
            except RuntimeError as error:
                report["failed"].append({"row": row.name, "threads": n, "error": str(error)})
                print(f"{row.name:32} not measured: {error}", flush=True)
                continue
            for result in results:
                report["results"].append(result | {"threads": n})
                name, mode, *figures = cells(result)
                print(f"{name:32} {mode:17}" + "".join(f"{f:>12}" for f in figures), flush=True)
        for worker in filter(None, (ours, theirs)):
            worker.close()
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1))
    if args.markdown:
        args.markdown.write_text(markdown(report))
    if report["failed"]:
        raise SystemExit(f"{len(report['failed'])} rows could not be measured")


if __name__ == "__main__":
    main()
