"""Many programs on several processes: what failed, what every record came up in, and how long it took."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .draw import records
from .isolate import Child, Outcome, examine_apart
from .program import Program
from .scenarios import draw_program
from .script import script
from .shrink import shrink

#: Programs that one child process examines before the next begins with a fresh one.
BATCH = 25


@dataclass
class Found:
    """One program that failed, and what it came down to."""

    index: int
    outcome: Outcome
    program: Program
    small: Program | None = None
    path: Path | None = None
    note: str = ""

    @property
    def group(self) -> tuple[Any, ...]:
        """Findings of one group have the same failure and, after shrinking, the same ops (where these are many they say nothing)."""
        if self.program.kind == "doors" or self.program.extra.get("mixed"):
            return (self.outcome.signature, "another dtype")
        if self.small is None:
            return (self.outcome.signature, self.program.kind, "not made small")
        ops = {s.op for s in self.small.steps}
        return (self.outcome.signature, self.small.kind, tuple(sorted(ops)) if len(ops) < 4 else len(ops))


@dataclass
class Report:
    """What a job gave."""

    seed: int
    programs: int = 0
    seconds: float = 0.0
    found: list[Found] = field(default_factory=list)
    count: Counter[str] = field(default_factory=Counter)
    ops: Counter[str] = field(default_factory=Counter)

    @property
    def missing(self) -> list[str]:
        """Public records that were in no program."""
        return [r.name for r in records() if r.name not in self.ops]

    def groups(self) -> dict[tuple[Any, ...], list[Found]]:
        made: dict[tuple[Any, ...], list[Found]] = {}
        for f in sorted(self.found, key=lambda f: f.index):
            made.setdefault(f.group, []).append(f)
        return made

    def text(self, coverage: bool = False) -> str:
        """The report as a person reads it."""
        lines = [f"{self.programs} programs, seed {self.seed}, {self.seconds:.0f} s, {len(self.found)} failed in {len(self.groups())} ways"]
        for group in self.groups().values():
            first = group[0]
            lines.append(f"  program {first.index} and {len(group) - 1} more: {first.outcome.check}: {first.outcome.text[:300]}")
            lines.append(f"    {first.path or 'no script'}{first.note and '; ' + first.note}")
        lines.append("counts: " + ", ".join(f"{k} {n}" for k, n in sorted(self.count.items())))
        if coverage:
            width = max((len(n) for n in self.ops), default=0)
            lines.append("records, and in how many programs each was:")
            lines += [f"  {r.name:{width}} {self.ops[r.name]:6}" for r in records()]
        if self.missing:
            lines.append(f"in no program: {', '.join(self.missing)}")
        return "\n".join(lines)


class Job:
    """Examines programs `first … first + count − 1` of a seed.

    Args:
        workers: processes at a time.
        limit: seconds that one program may take.
        seconds: the job starts no more programs after this long; None is without a limit.
        out: the folder of the scripts.
        show: whether to print progress.
    """

    def __init__(
        self, seed: int, first: int, count: int, *, workers: int, limit: float, seconds: float | None, out: Path, show: bool, only: str = ""
    ) -> None:
        self.report = Report(seed)
        self.seed, self.workers, self.limit, self.seconds, self.out, self.show = seed, workers, limit, seconds, out, show
        self.only = only
        self.left = list(range(first, first + count))
        self.total = count
        self._batches: dict[int, list[int]] = {}
        self._failed: list[tuple[int, Outcome, list[int]]] = []
        self._shown = 0.0

    def run(self, shrink_seconds: float = 20.0, most: int = 40, alike: int = 6) -> Report:
        """Every program, then the failing ones made small."""
        self.examine()
        return self.settle(shrink_seconds, most, alike)

    def examine(self) -> Report:
        """Every program: the report as far as it can be made now."""
        start = time.monotonic()
        self._start = start
        self.left = [i for i in self.left if not self.only or self._is_one(i)]
        self.total = len(self.left)
        children: list[Child] = []
        while self.left or children:
            over = self.seconds is not None and time.monotonic() - start > self.seconds
            if over:
                self.left = []
            while self.left and len(children) < self.workers:
                batch, self.left = self.left[:BATCH], self.left[BATCH:]
                children.append(self._child(batch))
            if children:
                children = self._wait(children)
            self._progress(start)
        self._progress(start, last=True)
        self.report.seconds = time.monotonic() - start
        self._failed.sort(key=lambda f: f[0])
        self.report.found = [Found(index, outcome, draw_program(self.seed, index)) for index, outcome, _ in self._failed]
        return self.report

    def settle(self, shrink_seconds: float = 20.0, most: int = 40, alike: int = 6) -> Report:
        """The failing programs made small: up to `most` of them, and up to `alike` that failed in the same way."""
        self.report.found = []
        ways: Counter[Any] = Counter()
        for index, outcome, before in self._failed:
            way = (outcome.signature, draw_program(self.seed, index).kind)
            ways[way] += 1
            small = ways.total() <= most and ways[way] <= alike
            if not small:
                ways[way] -= 1
            self._settle(index, outcome, before, shrink_seconds if small else 0.0)
        return self.report

    def _is_one(self, index: int) -> bool:
        program = draw_program(self.seed, index)
        return self.only in {program.kind, *(s.op for s in program.steps)}

    def _child(self, batch: list[int]) -> Child:
        child = Child([(i, (lambda i=i: draw_program(self.seed, i))) for i in batch])
        self._batches[child.pid] = batch
        return child

    def _wait(self, children: list[Child]) -> list[Child]:
        # Read what has come, end children that are gone or over their time; a batch that broke off goes on in another child.
        ready = select.select([c.read for c in children], [], [], 0.5)[0]
        going = []
        for c in children:
            ended: Outcome | None = None
            try:
                if c.read in ready:
                    for label, outcome in c.messages():
                        if outcome is not None:
                            self._note(label, outcome, c)
                if time.monotonic() - c.started <= self.limit:
                    going.append(c)
                    continue
                label = c.running
                ended = c.end(kill=True)
            except EOFError:
                label = c.running
                ended = c.end()
            if ended is not None and label is not None:
                self._note(label, ended, c)
            if c.left:
                self.left = [*c.left, *self.left]
        return going

    def _note(self, index: int, outcome: Outcome, child: Child) -> None:
        self.report.programs += 1
        self.report.count.update(outcome.count)
        program = outcome.program or draw_program(self.seed, index)
        self.report.ops.update({s.op for s in program.steps})
        if outcome.check:
            batch = self._batches[child.pid]
            before = batch[: batch.index(index)] if index in batch else []
            self._failed.append((index, outcome, before))
            if self.show:
                print(f"\rprogram {index}: {outcome.check}: {outcome.text[:200]}", file=sys.stderr)

    def _progress(self, start: float, last: bool = False) -> None:
        now = time.monotonic()
        if not self.show or (now - self._shown < (0.5 if sys.stderr.isatty() else 30.0) and not last):
            return
        self._shown = now
        done, gone = self.report.programs, now - start
        left = gone / max(1, done) * (self.total - done)
        end = "\n" if last or not sys.stderr.isatty() else ""
        print(
            f"\r{done}/{self.total} programs, {len(self._failed)} failed, {gone:.0f} s, {left:.0f} s left ",
            end=end,
            file=sys.stderr,
            flush=True,
        )

    # Failing programs ---------------------------------------------------------------------------------------------------------

    def _settle(self, index: int, outcome: Outcome, before: list[int], seconds: float) -> None:
        program = draw_program(self.seed, index)
        found = Found(index, outcome, program)
        self.report.found.append(found)
        if seconds <= 0:
            return
        alone = examine_apart([program], self.limit)
        if not alone.check:
            self._settle_batch(found, before, seconds)
            return
        found.outcome = alone
        limit = min(self.limit, 10.0)
        found.small = shrink(program, lambda p: examine_apart([p], limit).signature == alone.signature, seconds)
        again = examine_apart([found.small], self.limit)
        found.outcome = again if again.check else alone
        self._write(found)

    def _settle_batch(self, found: Found, before: list[int], seconds: float) -> None:
        # It fails only after others in one process: halve those for as long as it goes on failing.
        end = time.monotonic() + seconds
        kept = [draw_program(self.seed, i) for i in before]
        if not examine_apart([*kept, found.program], self.limit).check:
            found.note = "fails neither alone nor after the programs of its process"
            return
        size = len(kept) // 2
        while size and time.monotonic() < end:
            for at in range(0, len(kept), size):
                fewer = kept[:at] + kept[at + size :]
                if examine_apart([*fewer, found.program], self.limit).check:
                    kept = fewer
                    break
            else:
                size //= 2
        found.note = f"fails after {len(kept)} other programs in one process"
        self._write(found)

    def _write(self, found: Found) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        found.path = self.out / f"seed{self.seed}_program{found.index}.py"
        small = found.small or found.program
        found.path.write_text(script(small, f"{found.outcome.check}: {found.outcome.text}"))
        if not found.note:
            # What it says by itself.
            try:
                run = subprocess.run([sys.executable, str(found.path)], capture_output=True, timeout=60, env={**os.environ}, check=False)
                found.note = "" if run.returncode == 0 else f"the script ends with status {run.returncode}"
            except subprocess.TimeoutExpired:
                found.note = "the script hangs"
        if self.show:
            print(f"program {found.index}: {len(small.steps)} steps: {found.path} {found.note}", file=sys.stderr)
