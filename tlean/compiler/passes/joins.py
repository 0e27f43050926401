"""Parts of an array that are put into zeros and added up: where they tile it, they are joined, and there is nothing to add.

The cotangents of slices are such parts. On a tape each is an op, so only bodies of loops are rewritten: eager and compiled run them alike.
"""

from __future__ import annotations

from collections import Counter

from tlean.ops import get

from ..graph import Graph, GraphNode
from ..loops.bodies import part


def joined(graph: Graph) -> Graph:
    """The same program with a `concat` in place of each sum of parts that tile their array along an axis."""
    makers = {v: n for n in graph.nodes for v in n.outputs}
    readers = Counter(i for n in graph.nodes for i in n.inputs)
    readers.update([*graph.outputs, *(after for _, _, after in graph.states)])
    inner = {i for n in graph.nodes if _sums(graph, n) for i in n.inputs if readers[i] == 1}
    changed = {}
    for node in graph.nodes:
        if _sums(graph, node) and node.outputs[0] not in inner:
            found = _joined(graph, node, makers, readers)
            if found is not None:
                changed[node.outputs[0]] = found
    if not changed:
        return graph
    # What nothing reads any more is left out later, as everywhere.
    made = part(graph, graph.inputs, graph.outputs, [changed.get(n.outputs[0], n) for n in graph.nodes])  # type: ignore[arg-type]
    made.states = list(graph.states)
    return made


def _sums(graph: Graph, node: GraphNode) -> bool:
    # Whether it adds two arrays of one shape and dtype.
    return node.record.name == "add" and len({graph.specs[v] for v in (*node.inputs, *node.outputs)}) == 1  # type: ignore[index]


def _joined(graph: Graph, node: GraphNode, makers: dict[int, GraphNode], readers: Counter[int | None]) -> GraphNode | None:
    # The sum as a join, or None.
    parts: list[GraphNode] = []
    todo = list(node.inputs)
    while todo:
        v = todo.pop()
        maker = makers.get(v) if readers[v] == 1 else None  # type: ignore[arg-type]
        if maker is None or not (maker.record.name == "_place" or _sums(graph, maker)):
            return None
        if maker.record.name == "_place":
            parts.append(maker)
        else:
            todo += maker.inputs
    whole = graph.specs[node.outputs[0]].shape
    shapes = [graph.specs[p.inputs[0]].shape for p in parts]  # type: ignore[index]
    axes = {a for s in shapes for a in range(len(whole)) if s[a] != whole[a]}
    if len(axes) != 1 or any(set(p.options["steps"]) != {1} for p in parts):
        return None
    (axis,) = axes
    order = sorted(range(len(parts)), key=lambda k: parts[k].options["starts"][axis])
    at = 0
    for k in order:
        if parts[k].options["starts"][axis] != at:
            return None
        at += shapes[k][axis]
    if at != whole[axis]:
        return None
    return GraphNode(get("concat"), tuple(parts[k].inputs[0] for k in order), node.outputs, {"axis": axis}, node.name)
