"""What a program costs: floating-point operations and bytes, per node and in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tlean.display import preformatted
from tlean.ops import OpDef, Spec

from .graph import Graph
from .signature import Signature
from .target import nbytes

#: Nanoseconds that calling a kernel in a loop takes.
_CALL = 20.0


@dataclass(frozen=True)
class NodeCost:
    """One node: its op, output shapes, FLOPs, and the bytes that it reads and writes if nothing is fused."""

    op: str
    shapes: tuple[tuple[int, ...], ...]
    flops: float
    bytes: int


@dataclass(frozen=True)
class Cost:
    """The cost of a program: `flops`, `bytes` (each node by itself), and `nodes`."""

    flops: float
    bytes: int
    nodes: tuple[NodeCost, ...]

    def __str__(self) -> str:
        lines = [f"{'op':24} {'output':24} {'MFLOP':>12} {'MB':>12}"]
        for n in self.nodes:
            lines.append(f"{n.op:24} {' '.join(map(str, n.shapes)):24} {n.flops / 1e6:12.4f} {n.bytes / 1e6:12.4f}")
        lines.append(f"{'in all':24} {'':24} {self.flops / 1e6:12.4f} {self.bytes / 1e6:12.4f}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return preformatted(str(self))


def cost_of(graph: Graph) -> Cost:
    """The cost of a graph: an op's own `flops` rule where it has one, else one operation per output element; views are free."""
    nodes = []
    for node in graph._needed():
        if node.record.view:
            continue
        shapes = tuple(None if i is None else graph.specs[i].shape for i in node.inputs)
        outs = [graph.specs[v] for v in node.outputs]
        rule = node.record.flops
        flops = float(rule(*shapes, **node.options)) if rule else float(sum(o.size for o in outs))
        moved = sum(map(nbytes, [*outs, *(graph.specs[i] for i in node.inputs if i is not None)]))
        nodes.append(NodeCost(node.record.name.lstrip("_"), tuple(o.shape for o in outs[: len(node.record.outputs)]), flops, moved))
    return Cost(sum(n.flops for n in nodes), sum(n.bytes for n in nodes), tuple(nodes))


def work_of(record: OpDef, specs: Sequence[Spec | None], outs: Sequence[Spec], options: dict[str, Any]) -> float:
    """A rough time of one kernel call on one core, in nanoseconds: memory at 10 GB/s, arithmetic at 30 GFLOP/s."""
    moved = sum([nbytes(s) for s in (*specs, *outs) if s is not None])
    flops = record.flops(*(None if s is None else s.shape for s in specs), **options) if record.flops else 0.0
    calls = record.loop.calls() if record.loop is not None else 0.0
    return moved / 10.0 + flops / 30.0 + calls * _CALL


def work_at(call: Signature) -> float:
    """The same of a call in a program, worked out once."""
    work = call.memo.get("work")
    if work is None:
        work = call.memo["work"] = work_of(call.record, call.specs, call.outs, call.options)
    return work  # type: ignore[no-any-return]
