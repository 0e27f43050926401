"""python -m tests.fuzz_files: the file fuzzer from the command line."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from .job import run


def main(arguments: list[str] | None = None) -> int:
    """Run a job. Returns: 0 where nothing was found, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_files", description="Give every reader damaged files.")
    parser.add_argument("--calls", type=int, default=20_000, help="how many files (20000)")
    parser.add_argument("--seed", type=int, default=0, help="of the damage: the same seed makes the same files (0)")
    parser.add_argument("--first", type=int, default=0, help="number of the first file (0)")
    parser.add_argument("--only", default="", help="only kinds of files whose name holds this")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the first file of each kind of finding there")
    args = parser.parse_args(arguments)
    counts: Counter[tuple[str, str]] = Counter()
    for f in run(args.calls, args.seed, args.only, args.first):
        counts[f.kind] += 1
        if counts[f.kind] == 1:
            print(f"file {f.number}, {f.sample}: {f.words}", flush=True)
            if args.keep:
                args.keep.mkdir(parents=True, exist_ok=True)
                (args.keep / f"file_{args.seed}_{f.number}").write_bytes(f.data)
    print(f"{args.calls} files, {sum(counts.values())} findings of {len(counts)} kinds")
    return 1 if counts else 0


if __name__ == "__main__":
    sys.exit(main())
