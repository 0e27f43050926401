"""Parts of an array that are put into zeros and added up: where they tile it, they are joined, and there is nothing to add.

Where a part of an array is replaced by zeros, and added to that again, it is the array. The cotangents of slices are such parts.
On a tape each is an op, so only bodies of loops are rewritten: eager and compiled run them alike.
"""

from __future__ import annotations

from collections import Counter

from tlean.ops import get

from ..graph import Graph, GraphNode
from ..loops.bodies import part


def joined(graph: Graph) -> Graph:
    """The same program with a `concat` in place of each sum of parts that tile their array along an axis."""
    graph = _placed_first(_restored(graph))
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


def _restored(graph: Graph) -> Graph:
    # The same with an array itself in place of the sum of a part of it and the rest.
    makers = {v: n for n in graph.nodes for v in n.outputs}
    same: dict[int, int] = {}
    for node in graph.nodes:
        if not _sums(graph, node):
            continue
        rest, piece = (makers.get(same.get(v, v)) for v in node.inputs)  # type: ignore[arg-type]
        if rest is not None and piece is not None and piece.record.name == "_set_box":
            rest, piece = piece, rest
        if rest is None or piece is None or rest.record.name != "_set_box" or piece.record.name != "_place" or rest.inputs[2] is not None:
            continue
        whole = rest.inputs[0]
        zeros, taken = makers.get(rest.inputs[1]), makers.get(piece.inputs[0])  # type: ignore[arg-type]
        if zeros is None or zeros.record.name != "_full" or zeros.options["value"] != 0.0 or taken is None or taken.record.name != "slice":
            continue
        where = {(tuple(n.options["starts"]), tuple(n.options["steps"])) for n in (rest, piece, taken)}
        if len(where) == 1 and taken.inputs[0] == whole and graph.specs[taken.outputs[0]].shape == graph.specs[zeros.outputs[0]].shape:
            # Such a sum may be the array of another.
            same[node.outputs[0]] = same.get(whole, whole)  # type: ignore[arg-type, assignment]
    if not same:
        return graph
    nodes = [n._replace(inputs=tuple([same.get(i, i) for i in n.inputs])) for n in graph.nodes if n.outputs[0] not in same]  # type: ignore[arg-type, misc]
    made = part(graph, graph.inputs, [same.get(v, v) for v in graph.outputs], nodes)  # type: ignore[arg-type, misc]
    made.states = [(name, before, same.get(after, after)) for name, before, after in graph.states]
    return made.prune()


def _placed_first(graph: Graph) -> Graph:
    # The same with multiples of a part that is put into zeros too made there: then it is put there once.
    makers = {v: n for n in graph.nodes for v in n.outputs}
    placed = {(n.inputs[0], n.options["shape"]) for n in graph.nodes if n.record.name == "_place"}
    nodes: list[GraphNode] = []
    specs = list(graph.specs)
    for node in graph.nodes:
        chain: list[GraphNode] = []
        if node.record.name == "_place":
            source = makers.get(node.inputs[0])  # type: ignore[arg-type]
            while source is not None and source.record.name in ("neg", "scale"):
                chain.append(source)
                if (source.inputs[0], node.options["shape"]) in placed:
                    break
                source = makers.get(source.inputs[0])  # type: ignore[arg-type]
            else:
                chain = []
        if not chain:
            nodes.append(node)
            continue
        value = chain[-1].inputs[0]
        for op in (node, *chain[::-1]):
            specs.append(graph.specs[node.outputs[0]])
            nodes.append(op._replace(inputs=(value,), outputs=(len(specs) - 1,), call=None))
            value = len(specs) - 1
        nodes[-1] = nodes[-1]._replace(outputs=node.outputs)
    if len(nodes) == len(graph.nodes):
        return graph
    made = part(graph, graph.inputs, graph.outputs, nodes)  # type: ignore[arg-type]
    made.specs, made.states = specs, list(graph.states)
    return made.prune()


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
