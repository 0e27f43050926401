"""The optimiser's steps of a plan in one launch: a pass that merges them, and what runs the merged instruction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tlean.compiler.graph import Graph
from tlean.compiler.target import Step

from .calls.packing import Addresses, DriverCall, Packed, Place, address_at
from .kernels.optim import STEPS
from .kernels.plan import Argument, In, Launch, Out
from .runtime.array import DeviceArray
from .runtime.context import Context
from .step import packed_step


@dataclass(frozen=True)
class Row:
    """One parameter of a merged instruction: its first input (p, g, states, hyper), its first output (p, states), its elements.

    `launches` do its step alone, where the new values go to other memory than the old.
    """

    inputs: int
    outputs: int
    size: int
    launches: tuple[Launch, ...]


def merge_updates(graph: Graph, steps: Sequence[Step], code: Callable[..., Any]) -> list[Step]:
    """The same program with the steps of all parameters by one kernel as one instruction, where the last of them was.

    Args:
        code: makes an instruction's code of the op and the rows.
    """
    found: dict[str, list[int]] = {}
    for k, step in enumerate(steps):
        if len(step.nodes) == 1 and step.kernel in STEPS:
            found.setdefault(step.kernel, []).append(k)
    out: list[Step | None] = list(steps)
    for kernel, positions in found.items():
        last = positions[-1]
        first_reader: dict[int, int] = {}
        for k in reversed(range(positions[0], last)):
            first_reader.update(dict.fromkeys(steps[k].inputs, k))
        moved = [k for k in positions if all(first_reader.get(v, -1) <= k for v in steps[k].outputs)]
        if len(moved) < 2:
            continue
        rows: list[Row] = []
        inputs: list[int] = []
        outputs: list[int] = []
        for k in moved:
            launches = tuple(_shifted(launch, len(inputs), len(outputs)) for _, launch in steps[k].code.launches)
            rows.append(Row(len(inputs), len(outputs), graph.specs[steps[k].outputs[0]].size, launches))
            inputs += steps[k].inputs
            outputs += steps[k].outputs
            out[k] = None
        nodes = tuple(n for k in moved for n in steps[k].nodes)
        title = f"{kernel} of {len(rows)} parameters"
        out[last] = Step(title, tuple(inputs), tuple(outputs), nodes, code=code(kernel, tuple(rows)))
    return [s for s in out if s is not None]


def _shifted(launch: Launch, inputs: int, outputs: int) -> Launch:
    def shifted(a: Argument) -> Argument:
        if isinstance(a, In):
            return In(a.number + inputs)
        return Out(a.number + outputs) if isinstance(a, Out) else a

    return replace(launch, args=tuple(shifted(a) for a in launch.args))


class Updates:
    """One optimiser's step over parameters that change in place: a launch for those that move by the same numbers.

    The tables of addresses are on the device. They are written again when an address changes, which in a planned program none does.

    Args:
        where: the device.
        op: the optimiser's op, such as `_adam_step`.
        rows: for each parameter the places of p, g, the states and hyper, and its elements.
        verdict: the address of the verdict that the launches read, or 0.
    """

    def __init__(self, where: Context, op: str, rows: Sequence[tuple[Sequence[Place], int]], verdict: int) -> None:
        self._where = where
        self._op = op
        self._rows = rows
        self._verdict = verdict
        self._addresses: list[list[int]] = []
        self._steps: list[tuple[Packed, DeviceArray]] = []

    def calls(self, addresses: Addresses) -> list[DriverCall]:
        """What queues it."""
        rows = [[address_at(place, addresses) for place in places] for places, _ in self._rows]
        if rows != self._addresses:
            self._write(rows)
        return [call for packed, _ in self._steps for call in packed.calls()]

    def _write(self, addresses: list[list[int]]) -> None:
        by_hyper: dict[int, list[list[int]]] = {}
        for (*arrays, hyper), (_, size) in zip(addresses, self._rows, strict=True):
            by_hyper.setdefault(hyper, []).append([*arrays, size])
        # The addresses last: whatever stops this before leaves tables that are written again.
        self._addresses = []
        steps = [packed_step(self._where, self._op, rows, hyper, self._verdict) for hyper, rows in by_hyper.items()]
        self._steps = [step for step in steps if step is not None]
        self._addresses = addresses
