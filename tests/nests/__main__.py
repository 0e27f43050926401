"""Nests of three of {grad, jvp, vmap, scan, cond, checkpoint, jit} drawn at random: their values and three derivatives beside JAX.

    python -m tests.nests --nests 2000
    python -m tests.nests --first 1234 --nests 1 --oracle torch

A third of them have random numbers, a captured array, or an integer that a loop hands on. The oracle is JAX where `make nests` installed
it, else PyTorch, for which loops are written out.
"""

from __future__ import annotations

import argparse

from .job import TOLERANCE, run, serve


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--nests", type=int, default=2000, help="how many (default: %(default)s)")
    p.add_argument("--first", type=int, default=0, help="the number of the first (default: %(default)s)")
    p.add_argument("--oracle", choices=("jax", "torch"), default="", help="the library beside tlean (default: JAX where it is installed)")
    p.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.serve:
        serve()
        return
    report = run(args.first, args.nests, args.oracle)
    print(", ".join(f"{name} {count}" for name, count in report.count.most_common()))
    print(f"{args.nests} nests in {report.seconds:.0f} s: {len(report.findings)} findings; largest error of the others {report.worst:.2g}")
    if report.findings:
        raise SystemExit("\n".join([f"nests that differ by more than {TOLERANCE:g}, or fail:", *report.findings]))


if __name__ == "__main__":
    main()
