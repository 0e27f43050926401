"""`python -m tlean check`: every op of this installation against its definition: values, derivatives, backends, errors."""

from __future__ import annotations

import argparse
import re
import sys
import time

from tlean._core.table import ISA
from tlean.ops import all_ops
from tlean.testing import check_op


def main(argv: list[str]) -> None:
    """Check the ops, a line for each that fails, and a summary. Exits with 1 if one fails."""
    p = argparse.ArgumentParser(prog="python -m tlean check", description=__doc__)
    p.add_argument("--ops", default="", metavar="REGEX", help="only ops whose name it matches")
    p.add_argument("--order", type=int, choices=(1, 2), default=1, help="of the derivatives checked (default: %(default)s)")
    p.add_argument("--verbose", action="store_true", help="a line for every op, with its time")
    args = p.parse_args(argv)
    records = [r for r in all_ops() if r.samples and re.search(args.ops, r.name)]
    if not records:
        raise SystemExit(f"no op with samples matches {args.ops!r}")
    begun, failed, calls = time.perf_counter(), [], 0
    for number, record in enumerate(records, start=1):
        since = time.perf_counter()
        try:
            check_op(record, order=args.order)
            words = "right"
        except Exception as error:
            failed.append(record.name)
            words = f"WRONG: {error or type(error).__name__}"
        calls += len(record.samples()) if record.samples else 0
        if args.verbose or words != "right":
            print(f"{record.name:32} {time.perf_counter() - since:6.2f} s  {words}", flush=True)
        elif sys.stderr.isatty():
            print(f"\r{number}/{len(records)} {record.name:40}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty() and not args.verbose:
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    spent = time.perf_counter() - begun
    print(f"{len(records) - len(failed)} of {len(records)} ops right ({calls} samples, both dtypes, kernels for {ISA}, {spent:.0f} s)")
    if failed:
        raise SystemExit(1)
