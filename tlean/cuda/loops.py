"""Loops on a device: the launches of the body's plan, queued once for each step.

A body has separate memory, so its launches are the same at each step; between them parts of stacked arrays and carries are copied on the
device. Nothing waits for the device, but for loops that the host steers (`steered`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tlean.compiler.loops.bodies import Loop
from tlean.compiler.loops.scan import BUFFERED, HELD, WRITTEN, Scan
from tlean.compiler.target import INPUT, IS_INPUT, OUTPUT, nbytes

from .calls.packing import Addresses, DriverCall, Place, address_at
from .steered import DeviceChoice, SteeredLoop, copies, steers

if TYPE_CHECKING:
    from tlean.cuda.runtime.context import Context

    from .plan import DevicePlan

_ALIGNMENT = 256


class DeviceLoop:
    """A loop that is ready to run: its body, and a place for each of the body's inputs and outputs.

    Args:
        loop: the loop.
        plan: of its body.
    """

    loop: Loop
    plan: DevicePlan
    plans: tuple[DevicePlan]
    where: Context

    def __init__(self, loop: Loop, plan: DevicePlan) -> None:
        self.loop, self.plan, self.plans, self.where = loop, plan, (plan,), plan.context
        graph = plan.program.graph
        self.ins: list[int] = [nbytes(graph.specs[v]) for v in graph.inputs]  # type: ignore[index]
        self.outs: list[int] = [nbytes(graph.specs[v]) for v in graph.outputs]  # type: ignore[index]
        at, places = 0, []
        for size in (*self.ins, *self.outs):
            places.append(at)
            at += max(-(-size // _ALIGNMENT), 1) * _ALIGNMENT
        self._memory = self.where.allocate(at)
        self.given: list[Any] = [self._memory.address + p for p in places[: len(self.ins)]]
        self.made: list[Any] = [self._memory.address + p for p in places[len(self.ins) :]]

    def step(self) -> list[DriverCall]:
        """The body once: from its inputs' places to its outputs'."""
        calls = [call for call, _ in self.plan.calls_at({INPUT: self.given, OUTPUT: self.made})]
        for k, (kind, source, _) in enumerate(self.plan.made_of):
            if kind == IS_INPUT:
                calls += self.copy(self.made[k], self.given[source], self.outs[k])
        return calls

    def copy(self, target: int, source: int, size: int) -> list[DriverCall]:
        """A copy on the device."""
        return copies(self.where, target, source, size)


#: What an instruction of a loop runs.
RunsOnDevice = DeviceLoop | DeviceChoice | SteeredLoop


class LoopCalls:
    """A loop between arrays of a plan.

    Args:
        run: the loop.
        inputs, outputs: their places.
    """

    def __init__(self, run: RunsOnDevice, inputs: Sequence[Place], outputs: Sequence[Place]) -> None:
        self.run = run
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)

    def calls(self, addresses: Addresses) -> list[DriverCall]:
        """What queues it, with these addresses."""
        given = [address_at(p, addresses) for p in self._inputs]
        made = [address_at(p, addresses) for p in self._outputs]
        run = self.run
        if not isinstance(run, DeviceLoop):
            return run.calls(given, made)
        return list(self._scan(run, run.loop, given, made) if isinstance(run.loop, Scan) else self._once(run, given, made))

    def _once(self, run: DeviceLoop, given: Sequence[int], made: Sequence[int]) -> Iterator[DriverCall]:
        # The choice of one: its inputs are the number of the branch, and the body's.
        for k, size in enumerate(run.ins):
            yield from run.copy(run.given[k], given[k + 1], size)
        yield from run.step()
        for k, size in enumerate(run.outs):
            yield from run.copy(made[k], run.made[k], size)

    def _scan(self, run: DeviceLoop, scan: Scan, given: Sequence[int], made: Sequence[int]) -> Iterator[DriverCall]:
        n, m, ways = scan.carries, scan.xs, scan.ways()
        ys, inside = len(scan.outs) - n, n + scan.unroll * m
        for k in range(n):
            yield from run.copy(run.given[k], given[k], run.ins[k])
        for k in range(inside, len(run.ins)):
            yield from run.copy(run.given[k], given[k - inside + n + m], run.ins[k])
        step = run.step()
        buffered = sum(way == BUFFERED for way in ways)
        for turn in range(scan.length // scan.unroll):
            rows = [turn * scan.unroll + j for j in range(scan.unroll)]
            rows = [scan.length - 1 - i for i in rows] if scan.reverse else rows
            for k in range(n, inside):
                row, x = rows[(k - n) // m], n + (k - n) % m
                yield from run.copy(run.given[k], given[x] + row * run.ins[k], run.ins[k])
            yield from step
            for k in range(scan.unroll * ys):
                place = made[n + k % ys]
                row, size = rows[k // ys], run.outs[buffered + k]
                yield from run.copy(place + row * size if place else 0, run.made[buffered + k], size)
            at = 0
            for k, way in enumerate(ways):
                if way not in (HELD, WRITTEN):
                    yield from run.copy(run.given[k], run.made[at if way == BUFFERED else buffered + way], run.ins[k])
                at += way == BUFFERED
        for k in range(n):
            yield from run.copy(made[k], run.given[k], run.ins[k])


def device_loop(loop: Loop, plans: Sequence[Any]) -> RunsOnDevice:
    """A loop as what a plan runs, made of the plans of its bodies."""
    if DeviceChoice.suits(loop, plans):
        return DeviceChoice(loop, plans)  # type: ignore[arg-type]
    return SteeredLoop(loop, plans) if steers(loop) else DeviceLoop(loop, *plans)
