"""`switch` as an op: the one of several bodies that a number names.

Its inputs are the number, an int64, and the operands, which every body takes; its outputs are the bodies'. The derivatives compute the
values of the branch that was taken once more, so that no branch keeps anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlean.errors import OptionError
from tlean.ops import OpDef, Spec

from ..derive import forward, reverse
from ..graph import Graph, GraphNode, GraphRef, replay
from ..target import Target
from .bodies import NO_TOTALS, Loop, or_zeros, part, record_of, superseded


def switch_record(bodies: Sequence[Graph], title: str = "switch") -> OpDef:
    """The record of a choice among bodies of the same inputs and outputs.

    Args:
        bodies: the branches.
        title: for messages; a program that is computed again in its sweep is a choice of one, "checkpoint".
    """
    return record_of((title,), bodies, lambda: Switch(bodies, title))


class Switch(Loop):
    """A choice; see `switch_record`."""

    def __init__(self, bodies: Sequence[Graph], title: str) -> None:
        first = bodies[0]
        specs = [Spec((), "int64"), *(first.specs[v] for v in first.inputs)]  # type: ignore[index]
        super().__init__(title, bodies, specs, [first.specs[v] for v in first.outputs])  # type: ignore[index]

    def flops(self) -> float:
        return super().flops() / len(self.bodies)

    def calls(self) -> float:
        return super().calls() / len(self.bodies)

    def programs(self, target: Target | None = None) -> list[Graph]:
        return [part(b, b.inputs, b.outputs) for b in self.bodies]  # type: ignore[arg-type]

    def decompose(self, ops: Any, index: Any, *inputs: Any) -> Any:
        value = getattr(index, "value", None)
        if value is None:
            raise OptionError("switch: a recorded program chooses when it runs")
        made = replay(self.bodies[min(max(int(value), 0), len(self.bodies) - 1)], ops, inputs)
        return tuple(made) if len(made) > 1 else made[0]

    def pulled(
        self,
        graph: Graph,
        node: GraphNode,
        gs: Sequence[GraphRef | None],
        needs: Sequence[bool],
        totals: Mapping[int, GraphRef] = NO_TOTALS,
    ) -> Sequence[GraphRef | None]:
        key = ("pulled", tuple(needs), tuple(g is not None for g in gs))
        made = self.derived.get(key)
        if made is None:
            made = self.derived[key] = self._back(needs, key[2])
        record, places = made
        result: list[GraphRef | None] = [None] * len(node.inputs)
        if places:
            values = graph._record(record, [*node.inputs, *(g.id for g in gs if g is not None)], {})
            for k, v in zip(places, values, strict=True):
                result[k] = GraphRef(graph, v)
        return result

    def _back(self, needs: Sequence[bool], present: Sequence[bool]) -> tuple[Any, list[int]]:
        # The choice among the branches' sweeps, and the inputs that these make cotangents of.
        sweeps = []
        for body in self.bodies:
            g = body._copy()
            g.merge = False
            nodes = list(g.nodes)
            cts = [g.arg(body.specs[v]) for v, p in zip(body.outputs, present, strict=True) if p]  # type: ignore[index]
            ys = [GraphRef(g, v) for v, p in zip(body.outputs, present, strict=True) if p]  # type: ignore[arg-type]
            wrt = [GraphRef(g, v) if need else None for v, need in zip(body.inputs, needs[1:], strict=True)]  # type: ignore[arg-type]
            sweeps.append((g, cts, reverse(g, list(zip(ys, cts, strict=True)), wrt, nodes)))  # type: ignore[arg-type]
        places = [k for k in range(len(needs) - 1) if any(found[k] is not None for _, _, found in sweeps)]
        if not places:
            return None, []
        bodies = []
        for body, (g, cts, found) in zip(self.bodies, sweeps, strict=True):
            outputs = [or_zeros(g, found[k], body.specs[body.inputs[k]]).id for k in places]  # type: ignore[index]
            bodies.append(part(g, [*body.inputs, *(c.id for c in cts)], outputs))  # type: ignore[union-attr, list-item]
        return switch_record(bodies, self.title), [k + 1 for k in places]

    def pushed(self, graph: Graph, node: GraphNode, ts: Sequence[GraphRef | None]) -> Sequence[GraphRef | None]:
        key = ("pushed", tuple(t is not None for t in ts))
        made = self.derived.get(key)
        if made is None:
            made = self.derived[key] = self._ahead(key[1])
        record, places = made
        if not places:
            return [None] * len(self.outs)
        values = list(graph._record(record, [*node.inputs, *(t.id for t in ts if t is not None)], {}))
        superseded(graph, node, values, range(len(self.outs)))
        tangents = dict(zip(places, values[len(self.outs) :], strict=True))
        return [GraphRef(graph, tangents[j]) if j in tangents else None for j in range(len(self.outs))]

    def _ahead(self, present: Sequence[bool]) -> tuple[Any, list[int]]:
        # The choice among the branches with their tangents, and the outputs that have one.
        pushes = []
        for body in self.bodies:
            g = body._copy()
            g.merge = False
            nodes = list(g.nodes)
            moved = [(v, g.arg(body.specs[v])) for v, p in zip(body.inputs, present[1:], strict=True) if p]  # type: ignore[index]
            outs = [GraphRef(g, v) for v in body.outputs]  # type: ignore[arg-type]
            seeds = [(GraphRef(g, v), t) for v, t in moved]  # type: ignore[arg-type]
            pushes.append((g, [t.id for _, t in moved], forward(g, seeds, outs, nodes)))  # type: ignore[arg-type, union-attr]
        places = [j for j in range(len(self.outs)) if any(found[j] is not None for _, _, found in pushes)]
        if not places:
            return None, []
        bodies = []
        for body, (g, moved_ids, found) in zip(self.bodies, pushes, strict=True):
            tangents = [or_zeros(g, found[j], body.specs[body.outputs[j]]).id for j in places]  # type: ignore[index]
            bodies.append(part(g, [*body.inputs, *moved_ids], [*body.outputs, *tangents]))  # type: ignore[list-item]
        return switch_record(bodies, self.title), places
