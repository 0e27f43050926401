"""python -m tests.mutation: mutation testing of the compiler from the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .exempt import RULES
from .job import BaselineError, Job, Report, draw
from .stages import stages

#: The part of the mutants, in percent, that the tests must kill.
REQUIRED = 95.0


def main(arguments: list[str] | None = None) -> int:
    """Run a job. Returns: 0 where enough mutants were killed, 1 where not, 2 where the tests fail without a mutant."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description="Put small faults into the compiler one at a time and see whether the tests notice.",
    )
    parser.add_argument("--mutants", type=int, default=200, help="how many to draw (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument("--only", default="", help="only modules whose path contains this")
    parser.add_argument("--programs", type=int, default=100, help="of the short fuzz job (100)")
    parser.add_argument("--stages", type=int, default=3, help="of the tests: 1 the quick ones, 2 the fuzzer's too, 3 all (3)")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time (1)")
    parser.add_argument("--report", type=Path, help="file of the results: what it knows is not run again")
    parser.add_argument("--again", action="store_true", help="run the report's survivors again")
    parser.add_argument("--list", action="store_true", help="print the drawn mutants, and run none")
    parser.add_argument("--show", action="store_true", help="print the report, and run none")
    given = parser.parse_args(arguments)
    chosen, total = draw(given.mutants, given.seed, given.only)
    print(f"{len(chosen)} drawn of {total}, seed {given.seed}")
    for rule in RULES:
        print(f"  not drawn: {rule.place} {rule.before}: {rule.reason}")
    if given.list:
        for m in chosen:
            print(f"{m.file}:{m.line} in {m.scope}: {m.operator}: {m.before} -> {m.after}")
        return 0
    steps = stages(given.programs)[: given.stages]
    report = Report(given.report)
    if not given.show:
        try:
            Job(steps, report, given.jobs).run(chosen, given.again)
        except BaselineError as error:
            print(error, file=sys.stderr)
            return 2
    print(report.text(chosen, steps))
    return int(report.share(chosen) < REQUIRED)


if __name__ == "__main__":
    sys.exit(main())
