"""Merging: a call that is repeated is made once (common subexpression elimination)."""

from __future__ import annotations

from ..graph import Graph, GraphNode


def merged(graph: Graph) -> Graph:
    """The same program with every repeated call made once; the same kernel on the same values gives the same bits."""
    same: dict[int | None, int] = {}
    known: dict[object, GraphNode] = {}
    nodes = []
    for node in graph.nodes:
        if same and not same.keys().isdisjoint(node.inputs):
            node = node.on(tuple([same.get(i, i) for i in node.inputs]), node.call)
        key = node.key(node.call or graph.call_of(node))
        before = known.setdefault(key, node)
        if before is node:
            nodes.append(node)
        else:
            same.update(zip(node.outputs, before.outputs, strict=True))
    if not same:
        return graph
    out = Graph(graph.dtype)
    out.specs, out.inputs, out.labels, out.constants = graph.specs, graph.inputs, graph.labels, graph.constants
    out.outputs = [None if v is None else same.get(v, v) for v in graph.outputs]
    out.states = [(name, before, same.get(after, after)) for name, before, after in graph.states]
    out.nodes = nodes
    return out
