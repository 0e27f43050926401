"""Faults at every site of a step, each kind on each subject in a separate process.

python -m tests.faults                       everything: about an hour on one core
python -m tests.faults --kinds lines,memory --only compiled
python -m tests.faults --steps 1000          the long runs shortened
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .inject import exception_at, lines_of, no_heap_at, no_memory_at, no_scratch_at, requests_of, scratch_requests_of
from .subjects import KERNELS, SUBJECTS, Subject
from .survey import Broken, Injection, new, survey

ERRORS = (KeyboardInterrupt, MemoryError)
Make = Callable[[], Subject]
#: Of a first step, which records and compiles, so many sites of each kind at most: each takes a compilation.
MOST_FRESH = 2000
MOST_ALLOCATIONS = 20_000


def told(counts: tuple[int, int], least: float = 0.0) -> str:
    """What a survey counted. Raises: Broken if less than this part of the faults ended a step: most were never met."""
    if counts[1] < least * counts[0]:
        raise Broken(f"of {counts[0]} faults only {counts[1]} ended the step")
    return f"{counts[0]} faults, {counts[1]} ended the step"


def warm(make: Make) -> Subject:
    """A subject that has recorded and compiled."""
    subject = make()
    subject.step()
    return subject


def lines(make: Make) -> str:
    """An exception at every line of a step, each of two kinds."""
    reached = lines_of(warm(make).step)
    faults = [(f"line {k}: {at}", lambda k=k, e=e: exception_at(k, e)) for k, at in enumerate(reached) for e in ERRORS]
    return told(survey(make, faults, fresh=False), 0.9)


def first_lines(make: Make) -> str:
    """An exception at every line of a first step, where it comes first and where it comes last."""
    reached = lines_of(new(make).step)
    first = {at: k for k, at in reversed(list(enumerate(reached)))}
    last = {at: k for k, at in enumerate(reached)}
    return _fresh_lines(make, reached, sorted({*first.values(), *last.values()}))


def _fresh_lines(make: Make, reached: list[tuple[str, int]], sites: list[int]) -> str:
    faults = [(f"line {k}: {reached[k]}", lambda k=k, n=n: exception_at(k, ERRORS[n % 2])) for n, k in enumerate(sites[:MOST_FRESH])]
    return told(survey(make, faults, fresh=True), 0.9)


def memory(make: Make) -> str:
    """No memory for an array: at every request of a step and of a first step, once, and from there on."""
    found = []
    for fresh in (False, True):
        count = requests_of((new if fresh else warm)(make).step)
        sites = range(0, count, max(1, count // MOST_FRESH))
        faults: list[tuple[str, Injection]] = [
            (f"request {k} of {count}", lambda k=k, lasting=lasting: no_memory_at(k, lasting)) for k in sites for lasting in (False, True)
        ]
        found.append(told(survey(make, faults, fresh), 0.8))
    return "; first: ".join(found)


def scratch(make: Make) -> str:
    """No scratch memory for a kernel: at every request of a step, and from there on."""
    count = scratch_requests_of(warm(make).step)
    faults = [(f"request {k} of {count}", lambda k=k: no_scratch_at(k)) for k in range(count)]
    return told(survey(make, faults, fresh=False))


def heap(make: Make) -> str:
    """No memory for Python's own objects, at every allocation of a step.

    Of steps that have recorded and compiled: on the way there are list comprehensions, and where the list cannot grow what Cython 3.3
    makes of one releases the item twice.
    """
    try:
        import _testcapi  # noqa: F401
    except ImportError:
        return "this Python has no _testcapi: not run"
    undisturbed = 0

    @contextmanager
    def watched(k: int) -> Iterator[None]:
        nonlocal undisturbed
        undisturbed += 1
        try:
            with no_heap_at(k):
                yield
        except BaseException:
            undisturbed = 0
            raise

    def faults() -> Iterator[tuple[str, Injection]]:
        # Until so many steps in a row have come to their end that there is no allocation left: some are missed without an exception.
        for k in range(MOST_ALLOCATIONS):
            yield f"allocation {k}", lambda k=k: watched(k)
            if undisturbed > 100:
                return

    return told(survey(make, faults(), fresh=False))


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def long_run(make: Make, steps: int) -> str:
    """Memory after many steps is what it was after a tenth of them, to 1 %."""
    subject = make()
    for _ in range(max(1, steps // 10)):
        subject.step()
    gc.collect()
    before = resident()
    for _ in range(steps - steps // 10):
        subject.step()
    gc.collect()
    after = resident()
    if after > before * 1.01:
        raise Broken(f"{steps} steps: {before / 2**20:.1f} MB after a tenth of them, {after / 2**20:.1f} MB at the end")
    return f"{steps} steps: {before / 2**20:.1f} MB, then {after / 2**20:.1f} MB"


KINDS: dict[str, Callable[[Make], str]] = {"lines": lines, "first-lines": first_lines, "memory": memory, "scratch": scratch, "heap": heap}
#: Those with kernels that have scratch memory meet its lack alone: the other faults are the smaller ones' too.
OWN = {"scratch": KERNELS}


def main() -> int:
    """Run the job. Returns: how many parts of it failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", default=",".join((*KINDS, "long")), help="which faults: %(default)s")
    parser.add_argument("--only", default="", help="subjects whose names hold this")
    parser.add_argument("--steps", type=int, default=100_000, help="of each long run (default: %(default)s)")
    parser.add_argument("--here", nargs=2, metavar=("KIND", "SUBJECT"), help="one part, in this process")
    options = parser.parse_args()
    if options.here:
        kind, name = options.here
        make = (SUBJECTS | KERNELS)[name]
        print(long_run(make, options.steps) if kind == "long" else KINDS[kind](make))
        return 0
    failed = 0
    for kind in options.kinds.split(","):
        for name in OWN.get(kind, SUBJECTS):
            if options.only not in name:
                continue
            begun = time.perf_counter()
            command = [sys.executable, "-m", "tests.faults", "--steps", str(options.steps), "--here", kind, name]
            done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent.parent)
            good = done.returncode == 0
            failed += not good
            last = (done.stdout if good else done.stderr or f"status {done.returncode}").strip().splitlines()
            text = last[-1] if last else f"status {done.returncode}"
            print(f"{'ok  ' if good else 'FAIL'} {kind:12} {name:32} {time.perf_counter() - begun:6.1f} s  {text}", flush=True)
            if not good and done.returncode < 0:
                print(f"     ended by signal {-done.returncode}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(min(main(), 1))
