"""Stretching: an op that broadcasts becomes the op on `broadcast_to` of what it stretches, which is what it means.

Fusion takes the `broadcast_to` into the groups that read it, so no stretched copy is ever in memory.
"""

from __future__ import annotations

from tlean.ops import Spec, get

from ..graph import Graph, GraphNode


def stretched(graph: Graph) -> Graph:
    """The same program with elementwise ops on inputs of one shape only."""
    if not any(_stretches(graph, node) for node in graph.nodes):
        return graph
    out = Graph(graph.dtype)
    out.specs, out.inputs, out.outputs = list(graph.specs), graph.inputs, graph.outputs
    out.labels, out.constants, out.states = graph.labels, graph.constants, graph.states
    for node in graph.nodes:
        if _stretches(graph, node):
            shape = graph.specs[node.outputs[0]].shape
            node = node._replace(inputs=tuple([_copy(out, i, shape) for i in node.inputs]))
        out.nodes.append(node)
    return out


def _stretches(graph: Graph, node: GraphNode) -> bool:
    record, out = node.record, graph.specs[node.outputs[0]]
    return record.broadcasts and record.host is None and record.stretches(graph._specs_of(node.inputs), out, node.options)


def _copy(graph: Graph, value: int | None, shape: tuple[int, ...]) -> int | None:
    # The value under that shape.
    if value is None or graph.specs[value].shape == shape:
        return value
    spec, record = graph.specs[value], get("broadcast_to")
    options, _ = record.infer((spec,), {"shape": shape})
    made = graph._value(Spec(shape, spec.dtype)).id
    graph.nodes.append(GraphNode(record, (value,), (made,), options))
    return made
