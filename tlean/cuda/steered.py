"""Loops that the host steers: after each condition, and before a choice, it waits for a number on the device and queues what follows.

A choice of short branches needs no waiting: all of them run. What the host steers is made of calls of Python among the calls of a run, so
that Ctrl-C ends a loop between two steps. A plan with such a loop is not recorded as a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tlean._core.plan.commit import run_calls
from tlean.compiler.loops.bodies import Loop
from tlean.compiler.loops.branch import Switch
from tlean.compiler.loops.whiles import While, WhileBack
from tlean.compiler.target import INPUT, IS_INPUT, OUTPUT, nbytes

from .calls.packing import DriverCall, Packed
from .kernels.layout import FAMILY as LAYOUT
from .kernels.layout import MOST_BRANCHES, choice
from .runtime.context import Block, Context

if TYPE_CHECKING:
    from .plan import DevicePlan

_ALIGNMENT = 256
#: Steps between two looks for an index out of range, after which a condition may hold for ever.
_LOOK_EVERY = 256
#: What the branches of a choice have together at most, where all of them run: instructions, and nanoseconds on one core of a CPU.
_FEW_INSTRUCTIONS, _LITTLE_WORK = 64, 1e6
#: Bytes of their operands, which are copied to where the branches expect them.
_SMALL_OPERANDS = 1 << 20
#: Rows of the first block of a store.
_FIRST_ROWS = 16


def steers(loop: Loop) -> bool:
    """Whether the host has to read a number of this loop, apart from what is in its bodies."""
    return isinstance(loop, While | WhileBack) or (isinstance(loop, Switch) and len(loop.bodies) > 1)


def copies(where: Context, target: int, source: int, size: int) -> list[DriverCall]:
    """A copy on the device, as calls; none where there is nothing to copy.

    Args:
        where: the device.
        target, source: addresses; 0 for a target that is never read.
        size: bytes.
    """
    return [(where.module.memcpy_dtod_async, (target, source, size, where.stream))] if size and target and target != source else []


def copied(where: Context, targets: Sequence[int], sources: Sequence[int], sizes: Sequence[int]) -> list[DriverCall]:
    """Several copies; see `copies`."""
    return [call for row in zip(targets, sources, sizes, strict=True) for call in copies(where, *row)]


class Places:
    """Memory for values of these sizes, one behind the other."""

    def __init__(self, where: Context, sizes: Sequence[int]) -> None:
        self.sizes: list[int] = list(sizes)
        steps = [max(-(-size // _ALIGNMENT), 1) * _ALIGNMENT for size in sizes]
        self.bytes: int = sum(steps)
        self._memory = where.allocate(self.bytes)
        self.at: list[int] = [self._memory.address + sum(steps[:k]) for k in range(len(steps))]


class _Store:
    # Rows of so many bytes on the device, as many as are asked for; they stay where they are.

    def __init__(self, where: Context, row: int) -> None:
        self._where, self._row, self._left = where, row, 0
        self._blocks: list[Block] = []

    def append(self) -> int:
        """The address of one more row."""
        if self._left == 0:
            self._left = self._blocks[-1].size // self._row * 2 if self._blocks else _FIRST_ROWS
            self._blocks.append(self._where.allocate(self._left * self._row))
        self._left -= 1
        return self._blocks[-1].address + self._left * self._row


def sizes_of(plan: DevicePlan, values: Sequence[int | None]) -> list[int]:
    """The bytes of values of a plan's program."""
    return [nbytes(plan.program.graph.specs[v]) for v in values]  # type: ignore[index]


def body_calls(plan: DevicePlan, given: Sequence[int], made: Sequence[int]) -> list[DriverCall]:
    """What runs a body once.

    Args:
        plan: the body's.
        given, made: the addresses of its inputs and of its outputs.
    """
    result = [call for call, _ in plan.calls_at({INPUT: given, OUTPUT: made})]
    sizes = sizes_of(plan, plan.program.graph.outputs)
    for (kind, source, _), target, size in zip(plan.made_of, made, sizes, strict=True):
        if kind == IS_INPUT:
            result += copies(plan.context, target, given[source], size)
    return result


class DeviceChoice:
    """A choice that costs less than to wait for the device: all branches run, and the results of one are taken.

    Args:
        loop: the choice.
        plans: of its branches.
    """

    loop: Switch
    plans: tuple[DevicePlan, ...]

    def __init__(self, loop: Switch, plans: Sequence[DevicePlan]) -> None:
        self.loop, self.plans = loop, tuple(plans)
        self.where: Context = plans[0].context
        self._given = Places(self.where, [nbytes(s) for s in loop.specs[1:]])
        self._made = [Places(self.where, [nbytes(s) for s in loop.outs]) for _ in plans]

    @staticmethod
    def suits(loop: Loop, plans: Sequence[DevicePlan]) -> bool:
        """Whether a loop is such a choice: short branches that report nothing and wait for nothing."""
        if not isinstance(loop, Switch) or not 1 < len(plans) <= MOST_BRANCHES or any(p.steered or p.reports for p in plans):
            return False
        little = sum(p.work for p in plans) <= _LITTLE_WORK and sum(map(nbytes, loop.specs)) <= _SMALL_OPERANDS
        return little and sum(map(len, plans)) <= _FEW_INSTRUCTIONS

    def calls(self, given: Sequence[int], made: Sequence[int]) -> list[DriverCall]:
        """What runs it between these addresses."""
        number, *operands = given
        result = copied(self.where, self._given.at, operands, self._given.sizes)
        branches = []
        for plan, places in zip(self.plans, self._made, strict=True):
            result += [call for call, _ in plan.calls_at({INPUT: self._given.at, OUTPUT: places.at})]
            rows = zip(plan.made_of, places.at, strict=True)
            branches.append([self._given.at[source] if kind == IS_INPUT else at for (kind, source, _), at in rows])
        for target, sources, size in zip(made, zip(*branches, strict=True), self._made[0].sizes, strict=True):
            if target and size:
                result += Packed(self.where, LAYOUT, choice(target, number, sources, size)).calls()
        return result


class SteeredLoop:
    """A loop of unknown length, its way back, or a choice, ready to run.

    Args:
        loop: the loop.
        plans: of its bodies.
    """

    loop: Loop
    plans: tuple[DevicePlan, ...]

    def __init__(self, loop: Loop, plans: Sequence[DevicePlan]) -> None:
        self.loop, self.plans = loop, tuple(plans)
        self.where: Context = plans[0].context
        self._ins = [nbytes(s) for s in loop.specs]
        self._outs = [nbytes(s) for s in loop.outs]
        if isinstance(loop, Switch):
            # For what is never read.
            self._spare = Places(self.where, self._outs)
            return
        body = self.plans[1].program.graph
        self._given = Places(self.where, sizes_of(self.plans[1], body.inputs))
        self._flag = Places(self.where, [1])
        self._kept = Places(self.where, sizes_of(self.plans[1], body.outputs))
        if isinstance(loop, WhileBack):
            sweep = sizes_of(self.plans[2], self.plans[2].program.graph.inputs)
            n, kept = loop.swept, len(self._kept.sizes)
            self._swept = Places(self.where, sweep[:n])
            self._row = Places(self.where, sweep[n : n + kept])
            self._rest = Places(self.where, sweep[n + kept :])

    def calls(self, given: Sequence[int], made: Sequence[int]) -> list[DriverCall]:
        """What runs it between these addresses."""
        run = self._choose if isinstance(self.loop, Switch) else self._back if isinstance(self.loop, WhileBack) else self._loop
        return [(run, (tuple(given), tuple(made)))]

    def _choose(self, given: tuple[int, ...], made: tuple[int, ...]) -> None:
        number = np.empty(1, np.int64)
        self.where.read(number, given[0])
        k = min(max(int(number[0]), 0), len(self.plans) - 1)
        run_calls(body_calls(self.plans[k], given[1:], [m or spare for m, spare in zip(made, self._spare.at, strict=True)]))

    def _run(self, most: int | None, given: Sequence[int], after: Any) -> int:
        # The loop from these first carries and invariants on; `after()` is what else a step queues. Returns the number of steps.
        where, places = self.where, self._given
        run_calls(copied(self.where, places.at, given, places.sizes))
        condition, body = body_calls(self.plans[0], places.at, self._flag.at), body_calls(self.plans[1], places.at, self._kept.at)
        holds, steps = np.empty(1, np.uint8), 0
        while steps != most:
            run_calls(condition)
            where.read(holds, self._flag.at[0])
            if not holds[0] or (steps % _LOOK_EVERY == _LOOK_EVERY - 1 and any(p.faulty() for p in self.plans)):
                break
            run_calls(body)
            run_calls(after())
            steps += 1
        return steps

    def _loop(self, given: tuple[int, ...], made: tuple[int, ...]) -> None:
        self._run(self.loop.most, given, list)  # type: ignore[attr-defined]
        run_calls(copied(self.where, made, self._given.at[: len(made)], self._outs))

    def _back(self, given: tuple[int, ...], made: tuple[int, ...]) -> None:
        loop: Any = self.loop
        n, size = len(self._given.at), self._kept.bytes
        rows: list[int] = []
        store = _Store(self.where, size)

        def keep() -> list[DriverCall]:
            if not size:
                return []
            rows.append(store.append())
            return copies(self.where, rows[-1], self._kept.at[0], size)

        steps = self._run(None, given[:n], keep)
        run_calls(copied(self.where, self._swept.at, given[n:], self._swept.sizes))
        run_calls(copied(self.where, self._rest.at, [given[k] for k in loop.rest], self._rest.sizes))
        sweep = body_calls(self.plans[2], [*self._swept.at, *self._row.at, *self._rest.at], ())
        for k in reversed(range(steps)):
            if size:
                run_calls(copies(self.where, self._row.at[0], rows[k], size))
            run_calls(sweep)
        run_calls(copied(self.where, made, self._swept.at, self._outs))
