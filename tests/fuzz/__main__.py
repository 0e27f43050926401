"""python -m tests.fuzz: the program fuzzer from the command line."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from . import guests
from .draw import WEIGHTS
from .isolate import examine
from .job import Job, Report
from .scenarios import draw_program

#: From this many programs on, each public record must have been in one.
WHOLE = 10_000


def main(arguments: list[str] | None = None) -> int:
    """Run a job. Returns: 0 where nothing failed, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Draw programs from the registry's samples and run each in every way that the library has. What fails is made small "
        "and written as a stand-alone script.",
    )
    parser.add_argument("--programs", type=int, default=500, help="how many (500); from 10000 on, a record that is in none fails the job")
    parser.add_argument("--seed", type=int, default=0, help="of the programs: the same seed draws the same ones (0)")
    parser.add_argument("--first", type=int, default=0, help="number of the first program (0)")
    parser.add_argument("--seconds", type=float, help="begin no more programs after this long")
    parser.add_argument("--only", default="", help="only programs of a kind (graph, trainer, session, doors) or with this op")
    parser.add_argument("--one", type=int, help="this program alone, in this process, where a debugger sees it")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time (2)")
    parser.add_argument("--limit", type=float, default=30.0, help="seconds that one program may take (30)")
    parser.add_argument("--shrink", type=float, default=20.0, help="seconds for making one failing program small (20)")
    parser.add_argument("--most", type=int, default=40, help="make at most this many failing programs small (40)")
    parser.add_argument("--alike", type=int, default=6, help="of those that fail in the same way at most this many (6)")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"), help="folder of the scripts (out/fuzz)")
    parser.add_argument("--report", type=Path, help="write the report to this file too, with the table of records")
    parser.add_argument("--guests", action="store_true", help="draw ops whose kernels are in C, as another project's, too; often")
    parser.add_argument("--quiet", action="store_true", help="print the report alone")
    given = parser.parse_args(arguments)
    if given.guests:
        if guests.compiler() is None:
            parser.error("--guests needs a C compiler")
        guests.register()
        WEIGHTS.update(dict.fromkeys(guests.DRAWN, 20.0))
    if given.one is not None:
        program = draw_program(given.seed, given.one)
        print(program)
        outcome = examine(program)
        print(outcome.check or "ok", outcome.text)
        return int(bool(outcome.check))
    job = Job(
        given.seed,
        given.first,
        given.programs,
        workers=given.workers,
        limit=given.limit,
        seconds=given.seconds,
        out=given.out,
        show=not given.quiet,
        only=given.only,
    )
    report = job.examine()
    if given.report and report.found:
        # Making programs small takes its time; what failed is written before.
        _write(given.report, report)
    report = job.settle(given.shrink, given.most, given.alike)
    whole = report.programs >= WHOLE
    print(report.text(coverage=whole))
    if given.report:
        _write(given.report, report)
    return int(bool(report.found) or (whole and bool(report.missing)))


def _write(path: Path, report: Report) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report.text(coverage=True) + "\n")


if __name__ == "__main__":
    if "MALLOC_PERTURB_" not in os.environ:
        # The C library fills memory that it gives and takes back, so that what was not written is not zero by luck.
        os.environ["MALLOC_PERTURB_"] = "165"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    sys.exit(main())
