"""Stretching: an op that broadcasts becomes the op on `broadcast_to` of what it stretches, which is what it means.

Fusion takes the `broadcast_to` into the groups that read it, so no stretched copy is ever in memory.
"""

from __future__ import annotations

from tlean.ops import get

from ..graph import Graph
from ..signature import signature


def stretched(graph: Graph) -> Graph:
    """The same program with elementwise ops on inputs of one shape only."""
    if not any(call.broadcasts for call in graph.calls()):
        return graph
    out = Graph(graph.dtype)
    out.specs, out.inputs, out.outputs = list(graph.specs), graph.inputs, graph.outputs
    out.labels, out.constants, out.states = graph.labels, graph.constants, graph.states
    for node in graph.nodes:
        call = node.call or graph.call_of(node)
        if call.broadcasts:
            shape = graph.specs[node.outputs[0]].shape
            inputs = tuple([_copy(out, i, shape) for i in node.inputs])
            after = call.memo.get("stretched")
            if after is None:
                after = call.memo["stretched"] = signature(node.record, out._specs_of(inputs), node.options, out.dtype)
            node = node.on(inputs, after)
        out.nodes.append(node)
    return out


def _copy(graph: Graph, value: int | None, shape: tuple[int, ...]) -> int | None:
    # The value under that shape.
    if value is None or graph.specs[value].shape == shape:
        return value
    call = signature(get("broadcast_to"), (graph.specs[value],), {"shape": shape}, graph.dtype)
    return graph._append(call, (value,), None, None)[0]
