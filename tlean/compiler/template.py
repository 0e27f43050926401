"""A small graph that is recorded into others many times, such as the derivative of an op: what all copies share is worked out once."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from .graph import Graph, GraphRef
from .signature import signature


class Template:
    """A graph to be recorded into programs of that dtype.

    Args:
        graph: what is recorded; it does not change any more.
        dtype: of the programs.
    """

    def __init__(self, graph: Graph, dtype: str) -> None:
        self.graph = graph
        self._specs = [None if v is None else graph.specs[v] for v in graph.inputs]
        # Absent values are read at the end of the list of values, which holds None.
        self._size = len(graph.specs) + 1
        self._inputs = [-1 if v is None else v for v in graph.inputs]
        self._outputs = [-1 if v is None else v for v in graph.outputs]
        self._nodes: list[Any] = []
        for node in graph.nodes:
            call = (
                graph.call_of(node) if dtype == graph.dtype else signature(node.record, graph._specs_of(node.inputs), node.options, dtype)
            )
            try:
                key = call.key
            except (TypeError, ValueError):
                key = None
            places = [-1 if i is None else i for i in node.inputs]
            read = itemgetter(*places) if len(places) > 1 else None
            self._nodes.append((call, node.record.name, key, read, places, node.outputs, node.name))

    def record(self, into: Graph, values: Sequence[int | None], name: str | None = None) -> Sequence[int | None]:
        """Record the graph on these inputs, unnamed nodes by that name, repeated calls once; returns its outputs there."""
        specs = into.specs
        for v, spec in zip(values, self._specs, strict=True):
            if v is not None and spec is not None and specs[v] is not spec and specs[v] != spec:
                # Other operands than the graph was made for.
                refs = into._inline(self.graph, [None if v is None else GraphRef(into, v) for v in values], name=name)
                return [None if r is None else r.id for r in refs]
        where: list[Any] = [None] * self._size
        for at, v in zip(self._inputs, values, strict=True):
            where[at] = v
        where[-1] = None
        for theirs, constant in self.graph.constants.items():
            where[theirs] = into._inlined(constant).id
        known = into._known
        for call, op, key, read, places, outputs, own in self._nodes:
            ids = read(where) if read is not None else tuple([where[k] for k in places])
            whole = None if key is None else (op, ids, key)
            made = None if whole is None else known.get(whole)
            if made is None:
                made = into._append(call, ids, own or name, whole)
            if len(outputs) == 1:
                where[outputs[0]] = made[0]
            else:
                for at, v in zip(outputs, made, strict=True):
                    where[at] = v
        return [where[k] for k in self._outputs]
