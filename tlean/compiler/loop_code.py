"""Instructions of loops on the CPU: the numbers that `_core/plan/loops/loop.pyx` runs by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlean._core.plan import plan as core
from tlean._core.plan.loops.body import Code
from tlean._core.plan.loops.loop import SCAN, SWITCH, WHILE, WHILE_BACK

from .loops.bodies import Loop
from .loops.branch import Switch
from .loops.scan import BUFFERED, COUNTED, HELD, WRITTEN, Scan
from .loops.whiles import While, WhileBack
from .short_forms import FOLLOWED, FORMS
from .target import Bound, Step, Target, nbytes

#: Nanoseconds between two looks at the clock, at the least that a step takes.
_LOOK_EVERY, _LEAST_STEP = 100_000.0, 50.0


#: Loops of so many turns pack what they multiply by.
_MANY_TURNS = 64


def _fixed(loop: Loop) -> frozenset[int]:
    # The inputs of a body that are the same at each of many turns.
    if not isinstance(loop, Scan) or loop.length // loop.unroll < _MANY_TURNS:
        return frozenset()
    first = loop.carries + loop.xs * loop.unroll
    held = [k for k, way in enumerate(loop.ways()) if way == HELD]
    return frozenset((*held, *range(first, len(loop.turn().inputs))))  # type: ignore[arg-type]


def _room(bytes: int) -> int:
    # Places in memory begin at multiples of 64 bytes.
    return -(-bytes // 64) * 64


class LoopCode:
    """The bodies of a loop as what its kernel runs.

    Args:
        loop: the loop.
        plans: of its bodies, in order.
        target: that they were made for.
    """

    kernel: Any
    numbers: Any
    bytes: Any

    def __init__(self, loop: Loop, plans: Sequence[core.Plan], target: Target) -> None:
        self.codes: list[Any] = []
        for plan in plans:
            graph = plan.program.graph
            out_bytes = [nbytes(graph.specs[v]) for v in graph.outputs]
            looks = max(1, int(_LOOK_EVERY / max(plan.work, _LEAST_STEP)))
            code = Code(plan, loop.title, out_bytes, looks, FORMS, FOLLOWED, _fixed(loop))
            self.codes.append(code)
        self.kernel, numbers_of = _KINDS[type(loop)]
        self.numbers, self.bytes = numbers_of(loop, self.codes, target)

    def fault(self, loop: Loop, specs: Sequence[Any], outs: Sequence[Any], step: Step) -> str:
        """What is wrong with an instruction of the loop; empty if nothing is.

        Args:
            loop: the loop.
            specs, outs: of the operands of its node.
            step: the instruction.
        """
        if (*specs, *outs) != (*loop.specs, *loop.outs):
            return f"it is of {loop.specs} and {loop.outs}, but has {specs} and {outs}"
        bodies = [c.plan.program.graph for c in self.codes]
        wanted = (loop.turn(),) if isinstance(loop, Scan) else loop.bodies
        same = all(a._specs_of(a.inputs) == b._specs_of(b.inputs) for a, b in zip(bodies, wanted, strict=True))
        if not same or step.code != self.kernel or step.scratch != (self.bytes,) or (step.ints, step.floats) != (self.numbers, ()):
            return f"it has {step.ints}, {step.scratch} for {self.numbers}, {self.bytes}"
        return ""


def loop_step(loop: Loop, code: LoopCode, op: Bound, outputs: tuple[int, ...]) -> Step:
    """The instruction of a loop.

    Args:
        loop, code: of its node.
        op: the node.
        outputs: the values that it makes (-1: never read).
    """
    return Step(loop.title, op.reads, outputs, (op.node,), code.numbers, (), code.kernel, (code.bytes,))


class _Work:
    # The work block of a run: what has a place in it so far.
    def __init__(self, codes: Sequence[Code]) -> None:
        self.bytes = _room(max(c.scratch_bytes for c in codes))

    def take(self, size: int) -> int:
        at, self.bytes = self.bytes, self.bytes + _room(size)
        return at

    def rooms(self, sizes: Sequence[int]) -> list[int]:
        # For each of these its bytes, and its place.
        return [n for size in sizes for n in (size, self.take(size))]

    def pointers(self, count: int) -> int:
        return self.take(8 * count)


def _sizes(body: Any, values: Sequence[Any]) -> list[int]:
    return [nbytes(body.specs[v]) for v in values]


def _scan_numbers(scan: Scan, codes: Sequence[Code], target: Target) -> tuple[tuple[int, ...], int]:
    (code,), body, n, xs, steps = codes, scan.body, scan.carries, scan.xs, scan.unroll
    code.turn = steps
    ins, outs = _sizes(body, body.inputs), _sizes(body, body.outputs)
    work = _Work(codes)
    ways = scan.ways(target)
    numbers: list[int] = []
    for size, way in zip(ins[:n], ways, strict=True):
        rooms = (work.take(size) if way in (BUFFERED, WRITTEN, COUNTED) else 0, work.take(size) if way == BUFFERED else 0)
        numbers += [size, *rooms, way]
    # Where the steps of a turn are among its rows.
    order = range(steps - 1, -1, -1) if scan.reverse else range(steps)
    numbers += [k for at in order for size in ins[n : n + xs] for k in (steps * size, at * size)]
    for j, (at, size) in enumerate((at, size) for at in order for size in outs[n:]):
        room = work.take(size)
        numbers += [steps * size, at * size, room, work.take(size) if j in ways else room]
    pointers = work.pointers(len(ins) + len(outs) + (steps - 1) * (xs + len(outs) - n) + 4 * code.entries)
    head = (code.address, scan.length // steps, int(scan.reverse), n, xs, len(ins) - n - xs, len(outs) - n, steps)
    return (*head, pointers, *numbers), work.bytes


def _switch_numbers(switch: Switch, codes: Sequence[Code], target: Target) -> tuple[tuple[int, ...], int]:
    work = _Work(codes)
    rooms = work.rooms(_sizes(switch.bodies[0], switch.bodies[0].outputs))[1::2]
    at = work.pointers(len(rooms) + max(c.entries for c in codes))
    return (len(codes), len(rooms), at, *rooms, *(c.address for c in codes)), work.bytes


def _while_numbers(loop: While, codes: Sequence[Code], target: Target) -> tuple[tuple[int, ...], int]:
    condition, body = codes
    n, ins = loop.carries, _sizes(loop.bodies[1], loop.bodies[1].inputs)
    work = _Work(codes)
    rooms, flag = work.rooms(ins[:n]), work.take(1)
    at = work.pointers(len(ins) + 1 + condition.entries + body.entries)
    most = -1 if loop.most is None else loop.most
    return (condition.address, body.address, most, n, len(ins) - n, flag, at, *rooms), work.bytes


def _while_back_numbers(back: WhileBack, codes: Sequence[Code], target: Target) -> tuple[tuple[int, ...], int]:
    condition, body, sweep = codes
    n, grown, swept = back.carries, back.bodies[1], back.bodies[2]
    ins = _sizes(grown, grown.inputs)
    work = _Work(codes)
    rooms = [*work.rooms(ins[:n]), *work.rooms(_sizes(swept, swept.inputs[: back.swept]))]
    places, row = [], 0
    for size in _sizes(grown, grown.outputs[n:]):
        places.append(row)
        row += _room(size)
    flag = work.take(1)
    moves = 2 * max(body.entries, sweep.entries)
    pointers = len(ins) + len(places) + 1 + len(swept.inputs) + condition.entries + body.entries + sweep.entries + moves
    head = (condition.address, body.address, sweep.address, n, len(ins) - n, back.swept, len(places), len(back.rest), row, flag)
    return (*head, work.pointers(pointers), *rooms, *places, *(k - n for k in back.rest)), work.bytes


#: Kind of loop -> its kernel, and the integers of that and the bytes of its work block.
_KINDS: dict[type[Any], Any] = {
    Scan: (SCAN, _scan_numbers),
    Switch: (SWITCH, _switch_numbers),
    While: (WHILE, _while_numbers),
    WhileBack: (WHILE_BACK, _while_back_numbers),
}
