"""The short fuzz job of a mutant: programs one after another in this process, until the first that fails."""

from __future__ import annotations

import sys

from tests.fuzz.isolate import examine
from tests.fuzz.scenarios import draw_program

#: Of the programs: not the job's own, which the tests run too.
SEED = 11


def main() -> int:
    """Arguments: how many programs, then those to leave out. Prints what failed first; with "all" in front, every program that fails."""
    given = sys.argv[1:]
    every = given[0] == "all"
    count, *left_out = map(int, given[every:])
    failed = 0
    for k in range(count):
        if k in left_out:
            continue
        outcome = examine(draw_program(SEED, k))
        if outcome.check:
            failed += 1
            print(f"program {k} of seed {SEED}: {outcome.check}: {outcome.text}")
            if not every:
                break
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
