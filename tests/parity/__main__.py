"""python -m tests.parity: the samples of PyTorch's operator database through tlean."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .job import Outcome, run
from .table import text


def _line(o: Outcome) -> str:
    first = next(iter(o.failures.items()), None)
    tail = f"  {len(o.failures)} FAILED, {first[0]}: {first[1]}" if first else ""
    return f"{o.name}: {o.passed} passed, {sum(o.skipped.values())} skipped{tail}"


def main(arguments: list[str] | None = None) -> int:
    """Run the job. Returns: 0 where every sample passes, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("--all", action="store_true", help="all samples of every entry, not a drawn few")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (0)")
    parser.add_argument("--only", default="", help="entries whose name matches this regular expression")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table of all entries there; needs --all")
    parser.add_argument("--verbose", action="store_true", help="a line for each entry, not for those alone that fail")
    args = parser.parse_args(arguments)
    if args.write and not args.all:
        parser.error("--write needs --all")
    outcomes = []
    for o in run(args.only, None if args.all else args.seed):
        outcomes.append(o)
        if o.failures or args.verbose:
            print(_line(o), flush=True)
    if args.write:
        args.write.write_text(text(outcomes))
    counted = [o for o in outcomes if o.counts]
    print(f"{len(counted)} of {len(outcomes)} entries pass, {sum(o.passed for o in counted)} samples")
    return int(any(o.failures for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
