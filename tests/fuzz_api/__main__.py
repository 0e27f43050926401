"""python -m tests.fuzz_api: the API fuzzer from the command line."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from .job import Finding, run


def main(arguments: list[str] | None = None) -> int:
    """Run a job. Returns: 0 where nothing was found, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_api", description="Call everything that is public with hostile arguments.")
    parser.add_argument("--calls", type=int, default=20_000, help="how many (20000)")
    parser.add_argument("--seed", type=int, default=0, help="of the calls: the same seed makes the same ones (0)")
    parser.add_argument("--first", type=int, default=0, help="number of the first call (0)")
    parser.add_argument("--only", default="", help="only what has an area and a name that match this regular expression")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds that a call may take (20)")
    parser.add_argument("--crashes", action="store_true", help="only crashes and hangs are findings, whatever else calls answer with")
    parser.add_argument("--scripts", type=Path, metavar="DIR", help="write a program for the first finding of each kind there")
    args = parser.parse_args(arguments)
    counts: Counter[tuple[str, str, str]] = Counter()
    firsts: dict[tuple[str, str, str], Finding] = {}
    for f in run(args.calls, args.seed, args.only, args.limit, args.first):
        if args.crashes and f.error not in ("crash", "hang"):
            continue
        counts[f.kind] += 1
        if f.kind not in firsts:
            firsts[f.kind] = f
            print(f"call {f.number}: {f.text}\n    {f.error}: {f.words.splitlines()[0] if f.words else ''}  [{f.where}]", flush=True)
            if args.scripts:
                args.scripts.mkdir(parents=True, exist_ok=True)
                (args.scripts / f"call_{args.seed}_{f.number}.py").write_text(f.script())
    print(f"{args.calls} calls, {sum(counts.values())} findings of {len(counts)} kinds")
    return 1 if counts else 0


if __name__ == "__main__":
    sys.exit(main())
