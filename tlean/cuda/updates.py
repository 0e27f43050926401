"""The optimiser's steps of a plan in one launch: a pass that merges them, and what runs the merged instruction."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tlean.compiler.graph import Graph
from tlean.compiler.target import Step

from .kernels.optim import FAMILY, STEPS, chunks_of, step_all
from .kernels.plan import Argument, In, Launch, Out
from .runtime.context import Block, Context

#: Where a value is: (kind, number), as in `Arrangement.places`.
Place = tuple[int, int]


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

    The tables of addresses are on the device and are written again when an address changes, which in a planned program none does.

    Args:
        rows: for each parameter the places of p, g and the states, of hyper, and its elements.
        verdict: the address of the verdict that the launches read, or 0.
    """

    def __init__(self, where: Context, op: str, rows: Sequence[tuple[tuple[Place, ...], Place, int]], verdict: int) -> None:
        self.where = where
        self.op = op
        self.rows = rows
        self._verdict = verdict
        self._addresses: list[int] = []
        self._tables: list[Block] = []
        self._calls: list[tuple[Launch, bytes]] = []
        self._function = where.function(FAMILY, f"{STEPS[op].function}_all", "qqqq")

    def calls(self, address: Callable[[Place], int], driver: Any) -> list[tuple[Any, tuple[Any, ...]]]:
        """What queues it, as calls of the driver; `address` says where a value is in this run."""
        addresses = [address(p) for places, hyper, _ in self.rows for p in (*places, hyper)]
        if addresses != self._addresses:
            self._write(addresses, driver)
        queue = self._function._launch_kernel
        return [(queue, (launch.grid, launch.block, packed, 0, self.where.stream)) for launch, packed in self._calls]

    def _write(self, addresses: list[int], driver: Any) -> None:
        tables: list[Block] = []
        calls: list[tuple[Launch, bytes]] = []
        width = len(self.rows[0][0]) + 1
        by_hyper: dict[int, list[list[int]]] = {}
        for k, (_, _, size) in enumerate(self.rows):
            *values, hyper = addresses[k * width : (k + 1) * width]
            by_hyper.setdefault(hyper, []).append([*values, *(0,) * (6 - width), size])
        for hyper, table in by_hyper.items():
            chunks = chunks_of([row[-1] for row in table])
            if chunks:
                rows, of_chunk = (self._upload(np.array(x, d), driver) for x, d in ((table, "int64"), (chunks, "int32")))
                tables += (rows, of_chunk)
                launch = step_all(self.op, len(chunks), rows.address, of_chunk.address, hyper, self._verdict)
                calls.append((launch, struct.pack("qqqq", *launch.args)))
        # The addresses last: whatever stops this before leaves tables that are written again.
        self._addresses = []
        self._tables, self._calls = tables, calls
        self._addresses = addresses

    def _upload(self, host: np.ndarray, driver: Any) -> Block:
        block = self.where.allocate(host.nbytes)
        self.where.uploads.copy(block.address, host, driver)
        return block
