"""The register machine's programs: a group of elementwise ops as loops over blocks and runs of steps whose values stay in registers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tlean._core.table import STEPS
from tlean.ops.layout import conversion_op

from ..chain_code import COLUMN, MOST_STEPS, RunStep
from ..target import Bound
from .stretch_kinds import stretched_input


def in_chains(ops: Sequence[Bound], suffix: str) -> list[Bound]:
    """The same ops in an order in which, where it can be, each reads what the one before made."""
    own = {op.made for op in ops}
    missing = [own.intersection(op.reads) for op in ops]
    readers: dict[int, list[int]] = {}
    for k, needed in enumerate(missing):
        for v in needed:
            readers.setdefault(v, []).append(k)
    out: list[Bound] = []
    done = [False] * len(ops)
    at, last = 0, -1
    while len(out) < len(ops):
        follower = next((k for k in readers.get(last, ()) if not missing[k] and not done[k] and is_step(ops[k], suffix)), None)
        if follower is None:
            while done[at]:
                at += 1
            follower = at
        out.append(ops[follower])
        done[follower] = True
        last = ops[follower].made
        for k in readers.get(last, ()):
            missing[k].discard(last)
    return out


def is_step(op: Bound, suffix: str) -> bool:
    """Whether an op runs in registers; the others are loops over a block."""
    if op.record.spreads:
        return op.spreads or (op.stretches and stretched_input(op).kind == COLUMN)
    if op.converts:
        return op.record.name == conversion_op("bool") or op.specs[0].dtype == "bool"  # type: ignore[union-attr]
    return f"{op.record.kernel}:{suffix}:0" in STEPS


class Runs:
    """The runs of a group (`ChainCode.runs`). Values that only the next step reads are not stored.

    Args:
        suffix: of the dtype in the names of kernels.
        operands: for every value what represents its memory in the group's program.
        kept: the values that are read in memory after the group.
        repeated: what represents the stretched input of which an op makes a value.
    """

    def __init__(self, suffix: str, operands: Mapping[int, int], kept: Collection[int], repeated: Mapping[int, int]) -> None:
        self.suffix = suffix
        self.operands = operands
        self.kept = kept
        self.repeated = repeated
        self._runs: list[int | tuple[RunStep, ...]] = []
        self._open: list[RunStep] = []
        self._held = -1

    def add(self, op: Bound, number: int, first: int, following: Sequence[int] | None, last: bool) -> None:
        """The next op.

        Args:
            number: which op of the group it is; its numbers are the floats from `first` on.
            following: what the next op reads; None if that is no step.
            last: whether nothing reads the value after the next op.
        """
        if not is_step(op, self.suffix):
            self.close()
            self._runs.append(number)
            return
        if len(self._open) == MOST_STEPS - 1:
            self.close()
        made = op.made
        if op.record.name == conversion_op("bool"):
            # The lanes stay in the registers.
            there = self._held == op.reads[0]
            read = () if there else (self.operands[op.reads[0]],)
            self._step(f"truth_{'0' if there else 'm'}:{self.suffix}", first, (*read, self.operands[made]))
            self._held = op.reads[0]
            return
        passed_on = following is not None and list(following).count(made) == 1 and len(self._open) < MOST_STEPS - 2
        stores = not passed_on or not last or made in self.kept
        operands = list(op.reads)
        if op.record.spreads:
            name = f"{'column' if op.stretches else 'spread'}{'_s' if stores else ''}:{self.suffix}"
        elif op.converts:
            name = f"bytes{'_s' if stores else ''}:{self.suffix}"
        else:
            held = "m"
            if self._held in operands:
                held = str(operands.index(self._held))
                operands.remove(self._held)
            name = f"{op.record.kernel}:{self.suffix}:{held}{'s' if stores else ''}"
        codes = [self.repeated[made]] if op.stretches else [self.operands[v] for v in operands]
        self._step(name, first, [*codes, self.operands[made]] if stores else codes)
        self._held = made if passed_on else -1

    def finish(self) -> tuple[int | tuple[RunStep, ...], ...]:
        """All runs; none if they have no steps."""
        self.close()
        return () if all(isinstance(run, int) for run in self._runs) else tuple(self._runs)

    def close(self) -> None:
        """End the run of steps that is open."""
        if self._open:
            self._step(f"stop:{self.suffix}", 0, ())
            self._runs.append(tuple(self._open))
        self._open, self._held = [], -1

    def _step(self, name: str, first: int, operands: Sequence[int]) -> None:
        self._open.append(RunStep(STEPS[name], first, tuple(operands)))
