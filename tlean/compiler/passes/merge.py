"""Merging: a call that is repeated is made once (common subexpression elimination)."""

from __future__ import annotations

from tlean._core.eager.instance import options_key

from ..graph import Graph, GraphNode


def merged(graph: Graph) -> Graph:
    """The same program with every repeated call made once; the same kernel on the same values gives the same bits."""
    same: dict[int, int] = {}
    known: dict[object, GraphNode] = {}
    nodes = []
    for node in graph.nodes:
        inputs = tuple(None if i is None else same.get(i, i) for i in node.inputs)
        key = (node.record.name, inputs, options_key(node.options))
        if key in known:
            same.update(zip(node.outputs, known[key].outputs, strict=True))
            continue
        known[key] = GraphNode(node.record, inputs, node.outputs, node.options, node.name)
        nodes.append(known[key])
    if not same:
        return graph
    out = Graph(graph.dtype)
    out.specs, out.inputs, out.labels, out.constants = graph.specs, graph.inputs, graph.labels, graph.constants
    out.outputs = [None if v is None else same.get(v, v) for v in graph.outputs]
    out.states = [(name, before, same.get(after, after)) for name, before, after in graph.states]
    out.nodes = nodes
    return out
