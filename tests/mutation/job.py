"""Draws mutants, runs each through the stages until one notices it, and keeps a report that a later call goes on with."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

from .exempt import EQUIVALENT, is_exempt
from .mutants import Mutant, mutants
from .overlay import ROOT, Overlay
from .stages import Stage, failing_programs, run_stage

#: The compiler: what lies between a recorded program and a plan.
MODULES = tuple(
    f"tlean/{path}.py"
    for path in (
        *(f"compiler/{name}" for name in ("arrange", "chain_code", "cpu", "derive", "graph", "lower", "memory", "target")),
        *(f"compiler/passes/{name}" for name in ("chain_runs", "channel_blocks", "epilogues", "expand", "fold", "fuse", "merge")),
        *(f"compiler/passes/{name}" for name in ("outer_updates", "remake", "row_updates", "stretch", "stretch_kinds", "tails")),
        "interpreters/dual",
        "interpreters/instances",
    )
)


def draw(count: int, seed: int, only: str = "") -> tuple[list[Mutant], int]:
    """So many mutants of the compiler in the order of a seeded draw, and how many there are to draw from.

    The draw goes by what names a mutant: it stays the same where the module changes elsewhere.
    """
    every = [m for file in MODULES if only in file for m in mutants((ROOT / file).read_text(), file) if not is_exempt(m)]
    return sorted(every, key=lambda m: hashlib.sha256(f"{seed} {m.key}".encode()).digest())[:count], len(every)


@dataclass(frozen=True)
class Result:
    """What became of a mutant. `stage` is the one that noticed it, "" where none did."""

    key: str
    line: int
    stage: str
    state: str
    text: str
    seconds: float


class Report:
    """Results by mutant, in a file of one JSON object a line."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.results: dict[str, Result] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                result = Result(**json.loads(line))
                self.results[result.key] = result

    def add(self, result: Result) -> None:
        self.results[result.key] = result
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(json.dumps(result.__dict__, ensure_ascii=False) + "\n")

    def share(self, chosen: Sequence[Mutant]) -> float:
        """The part of these mutants, in percent and without the equivalent ones, that was killed."""
        found = [self.results[m.key] for m in chosen if m.key in self.results]
        killed = sum(1 for r in found if r.stage)
        differ = killed + sum(1 for r in found if not r.stage and r.key not in EQUIVALENT)
        return 100.0 * killed / differ if differ else 100.0

    def text(self, chosen: Sequence[Mutant], stages: Sequence[Stage]) -> str:
        """The report as a person reads it, of these mutants alone."""
        found = [(m, self.results[m.key]) for m in chosen if m.key in self.results]
        killed = Counter(r.stage for _, r in found if r.stage)
        alive = [(m, r) for m, r in found if not r.stage]
        same = [(m, r) for m, r in alive if m.key in EQUIVALENT]
        left = [(m, r) for m, r in alive if m.key not in EQUIVALENT]
        spent = sum(r.seconds for _, r in found)
        lines = [f"{len(found)} mutants: {killed.total()} killed, {len(left)} survived, {len(same)} are equivalent"]
        lines.append(f"  {self.share(chosen):.1f} % killed of those that differ")
        lines += [f"  {s.name}: {killed[s.name]}" for s in stages]
        states = Counter(r.state for _, r in found if r.stage)
        lines.append(f"  {', '.join(f'{n} {state}' for state, n in states.most_common())}; {spent:.0f} s in all")
        for title, group in (("survived", left), ("equivalent", same)):
            if group:
                lines.append(f"{title}:")
            for m, _ in group:
                lines.append(f"  {m.file}:{m.line} in {m.scope}: {m.operator}: {m.before[:100]} -> {m.after[:100]}")
                if m.key in EQUIVALENT:
                    lines.append(f"    {EQUIVALENT[m.key]}")
        return "\n".join(lines)


class Job:
    """Runs mutants on several copies of the repository at a time."""

    def __init__(self, stages: Sequence[Stage], report: Report, jobs: int) -> None:
        self.stages, self.report, self.jobs = stages, report, jobs

    def run(self, chosen: Sequence[Mutant], again: bool = False) -> None:
        """Every mutant that is not in the report; with `again` the survivors too. Equivalent ones need no run."""
        known = self.report.results
        left = [m for m in chosen if m.key not in known or (again and not known[m.key].stage and m.key not in EQUIVALENT)]
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            overlays: SimpleQueue[Overlay] = SimpleQueue()
            for k in range(self.jobs):
                overlays.put(Overlay(Path(folder) / str(k)))
            first = overlays.get()
            self.stages = baseline(self.stages, first)
            overlays.put(first)
            start = time.monotonic()
            with ThreadPoolExecutor(self.jobs) as pool:
                for k, done in enumerate(as_completed([pool.submit(self._one, m, overlays) for m in left]), 1):
                    result = done.result()
                    self.report.add(result)
                    took = time.monotonic() - start
                    ahead = took / k * (len(left) - k)
                    what = f"{result.state} in {result.stage}" if result.stage else "SURVIVED"
                    print(
                        f"{k}/{len(left)}, {ahead / 60:.0f} min left: {result.key[:150]}: {what} ({result.seconds:.0f} s)", file=sys.stderr
                    )

    def _one(self, mutant: Mutant, overlays: SimpleQueue[Overlay]) -> Result:
        overlay = overlays.get()
        overlay.put(mutant)
        seconds = 0.0
        try:
            for stage in self.stages:
                outcome = run_stage(stage, overlay.folder)
                seconds += outcome.seconds
                if outcome.state != "passed":
                    return Result(mutant.key, mutant.line, stage.name, outcome.state, outcome.text, seconds)
            return Result(mutant.key, mutant.line, "", "passed", "", seconds)
        finally:
            overlay.restore(mutant)
            overlays.put(overlay)


class BaselineError(Exception):
    """The tests fail without a fault."""


def baseline(stages: Sequence[Stage], overlay: Overlay) -> list[Stage]:
    """Every stage on the repository as it is: the stages without the programs that fail. Raises: BaselineError if a stage does not pass."""
    ready = []
    for stage in stages:
        if stage.programs:
            stage = replace(stage, left_out=failing_programs(stage, overlay.folder))
            if stage.left_out:
                print(f"programs that fail without a mutant, and are left out: {stage.left_out}", file=sys.stderr)
        outcome = run_stage(stage, overlay.folder)
        print(f"without a mutant, {stage.name}: {outcome.state}, {outcome.seconds:.0f} s", file=sys.stderr)
        if outcome.state != "passed":
            raise BaselineError(f"{stage.name}: the tests pass without a mutant, but {outcome.state}: {outcome.text}")
        ready.append(stage)
    return ready
