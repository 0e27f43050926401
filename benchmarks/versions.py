"""Measures two builds of tlean against each other, row by row.

    python benchmarks/versions.py ../before . --rows 'conv2d_.*k3_N(1|8)$'

Both trees are source trees with their modules built in place (`python setup.py build_ext --inplace`). Each runs in a separate process
with the same arrays; the two take turns, each time in the other order, so that whatever else the machine does meets both alike. The
processes are restarted several times: where their memory lies is then drawn again too, which can matter more than a change of the code.
A ratio is the new build's time over the old one's, the median over all turns: below 1 the new one is faster. Its interval holds 95 % of
the medians of resampled starts and turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from harness import TOLERANCE, chosen_rows
from measuring.sides import FOLDER, Worker
from report.measures import table, time_text
from report.summary import SAMPLE_SECONDS
from rows.base import Row, StepRow

#: Seconds per call of the old and the new build, turn by turn.
Pairs = list[tuple[float, float]]


def built(tree: Path) -> dict[str, str]:
    """What a process is told to load the tlean of that tree. Raises: SystemExit where it does not."""
    if not (tree / "tlean" / "__init__.py").is_file():
        raise SystemExit(f"{tree} must be a source tree of tlean, but it has no tlean/__init__.py")
    told = {"PYTHONPATH": os.pathsep.join(filter(None, (str(tree.resolve()), os.environ.get("PYTHONPATH"))))}
    words = "import tlean, tlean.ops; print(tlean.__file__)"
    done = subprocess.run([sys.executable, "-c", words], env=os.environ | told, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{tree} must be built (python setup.py build_ext --inplace), but its tlean does not load:\n{done.stderr.strip()}")
    if not Path(done.stdout.strip()).resolve().is_relative_to(tree.resolve()):
        raise SystemExit(f"{tree} must be the tlean that is loaded, but Python finds {done.stdout.strip()} first")
    return told


def turns(old: Worker, new: Worker, mode: str, threads: int, rounds: int) -> Pairs:
    """The two builds' times of a row that both have built."""
    for side in (old, new):
        side.ask(threads=threads)
        calls = side.ask(calibrate=mode, seconds=SAMPLE_SECONDS)["calls"]
    pairs = []
    for k in range(rounds):
        order = (old, new) if k % 2 == 0 else (new, old)
        first, second = (side.ask(time=mode, calls=calls)["seconds"] for side in order)
        pairs.append((first, second) if k % 2 == 0 else (second, first))
    return pairs


def compare(old: Worker, new: Worker, row: Row | StepRow, threads: int, rounds: int) -> dict[str, Pairs]:
    """The times by mode. Raises: RuntimeError where a build cannot compute the row, or the two disagree."""
    before, after = (side.ask(build=row.name)["digests"] for side in (old, new))
    modes = [mode for mode in before if mode in after]
    for mode in modes:
        if row.same and not np.allclose(before[mode], after[mode], rtol=TOLERANCE, atol=TOLERANCE):
            raise RuntimeError(f"{mode}: the two builds compute different numbers")
    return {mode: turns(old, new, mode, threads, rounds) for mode in modes}


def figures(starts: list[Pairs]) -> dict[str, Any]:
    """Medians of both builds' times and of their ratios, with the ratios' 95 % interval, from the pairs of every start."""
    rng = np.random.default_rng(0)
    ratios = [np.array([new / old for old, new in pairs]) for pairs in starts]
    draws = []
    for _ in range(1000):
        drawn = [ratios[k] for k in rng.integers(0, len(ratios), len(ratios))]
        draws.append(np.median(np.concatenate([rng.choice(r, len(r)) for r in drawn])))
    low, high = np.percentile(draws, [2.5, 97.5])
    old, new = (statistics.median(pair[k] for pairs in starts for pair in pairs) for k in range(2))
    ratio = float(np.median(np.concatenate(ratios)))
    return {"old_s": old, "new_s": new, "ratio": ratio, "ratio_low": float(low), "ratio_high": float(high)}


def measure(
    trees: tuple[dict[str, str], dict[str, str]], rows: list[Row | StepRow], args: argparse.Namespace
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The figures of every row in every mode; and which rows were not measured, and why."""
    found: dict[tuple[str, str], list[Pairs]] = {}
    failed: dict[str, str] = {}
    for start in range(args.starts):
        order = (0, 1) if start % 2 == 0 else (1, 0)
        workers = {k: Worker("tlean", args.threads, trees[k]).ready() for k in order}
        for row in rows:
            if row.name in failed:
                continue
            try:
                timed = compare(workers[0], workers[1], row, args.threads, args.rounds)
            except RuntimeError as error:
                failed[row.name] = str(error)
                continue
            for mode, pairs in timed.items():
                found.setdefault((row.name, mode), []).append(pairs)
        for worker in workers.values():
            worker.close()
        print(f"start {start + 1} of {args.starts} done", file=sys.stderr)
    results = [{"row": name, "mode": mode} | figures(starts) for (name, mode), starts in found.items() if name not in failed]
    return results, failed


def page(results: list[dict[str, Any]]) -> list[str]:
    """The figures as a Markdown table."""
    lines = []
    for r in results:
        interval = f"{r['ratio_low']:.3f}–{r['ratio_high']:.3f}"
        lines.append([r["row"], r["mode"], time_text(r["old_s"]), time_text(r["new_s"]), f"{r['ratio']:.3f}", interval])
    return table(["row", "mode", "old", "new", "new / old", "95 % interval"], lines)


def count(text: str) -> int:
    """A number of at least 1. Raises: argparse.ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number of at least 1, but is {text!r}")
    return int(text)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("old", type=Path, help="the tree of the old build")
    p.add_argument("new", type=Path, help="the tree of the new build")
    p.add_argument("--rows", default="", metavar="REGEX", help="only rows whose name it matches (default: all)")
    p.add_argument("--quick", action="store_true", help="only a row or two of every kind")
    p.add_argument("--rounds", type=count, default=10, metavar="N", help="turns of each build per start (default: %(default)s)")
    p.add_argument("--starts", type=count, default=5, metavar="N", help="how often the processes are started (default: %(default)s)")
    p.add_argument("--threads", type=count, default=1, metavar="N", help="threads of each build (default: %(default)s)")
    p.add_argument("--most", type=float, metavar="RATIO", help="fail where even the lower end of an interval lies above it")
    p.add_argument("--list", action="store_true", help="print the rows' names and stop")
    p.set_defaults(family="", unbounded=False)
    args = p.parse_args()
    rows = chosen_rows(args)
    if args.list:
        print("\n".join(row.name for row in rows))
        return
    results, failed = measure((built(args.old), built(args.new)), rows, args)
    print("\n".join(page(results)))
    slower = [f"{r['row']} {r['mode']}" for r in results if args.most is not None and r["ratio_low"] > args.most]
    words = [f"{name} was not measured: {why}" for name, why in failed.items()]
    if slower:
        words.append(f"above {args.most}: {', '.join(slower)}")
    if words:
        raise SystemExit("\n".join(words))


if __name__ == "__main__":
    main()
