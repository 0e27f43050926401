"""Steps of parameters whose gradient is that of a gather: only the rows that were taken are moved, and the gradient is never made."""

from __future__ import annotations

from tlean.ops.optim import FINITE
from tlean.ops.rows.take import geometry
from tlean.ops.rows.updates import SGD_ROWS, SUMMED_ROWS, by_rows

from ..graph import Graph, GraphNode


def row_updates(graph: Graph) -> Graph:
    """The same program with plain gradient descent by rows, where a gradient is rows added to zeros that nothing but the step reads.

    The look at the numbers of a step sees the rows' sums: all else is zeros.
    """
    kept = {*graph.outputs, *(after for _, _, after in graph.states)}
    readers: dict[int, list[GraphNode]] = {}
    for node in graph.nodes:
        for v in node.inputs:
            if v is not None:
                readers.setdefault(v, []).append(node)
    steps = {}
    for node in graph.nodes:
        if node.record.name == "_scatter_rows" and node.outputs[0] not in kept and _sparse(graph, node):
            step = _step(node.outputs[0], readers.get(node.outputs[0], []))
            if step is not None:
                steps[node.outputs[0]] = step
    if not steps:
        return graph
    out = Graph(graph.dtype, graph.merge)
    out.specs, out.inputs, out.outputs, out.labels = list(graph.specs), graph.inputs, graph.outputs, graph.labels
    out.constants, out.states = graph.constants, graph.states
    moved = {id(step) for step in steps.values()}
    made: dict[int, tuple[int, ...]] = {}
    for node in graph.nodes:
        if node.outputs[0] in steps:
            _, rows, length = geometry(node.options["shape"], node.options["axis"])
            made[node.outputs[0]] = out._record(SUMMED_ROWS, node.inputs, {"rows": rows, "length": length, "mode": node.options["mode"]})
        elif id(node) in moved:
            p, gradient, hyper = node.inputs
            out.nodes.append(GraphNode(SGD_ROWS, (p, *made[gradient], hyper), node.outputs, {}, node.name))  # type: ignore[index]
        elif node.record is FINITE:
            sums = tuple([made[v][0] if v in made else v for v in node.inputs])  # type: ignore[index]
            out.nodes.append(node._replace(inputs=sums))
        else:
            out.nodes.append(node)
    return out


def _sparse(graph: Graph, node: GraphNode) -> bool:
    # Whether the rows lie one after another and few of them get something.
    blocks, rows, length = geometry(node.options["shape"], node.options["axis"])
    return blocks == 1 and by_rows(rows, length, graph.specs[node.inputs[1]].size)  # type: ignore[index]


def _step(gradient: int, readers: list[GraphNode]) -> GraphNode | None:
    # The step that alone reads this gradient, but for the look at the numbers.
    steps = [n for n in readers if n.record is not FINITE]
    plain = len(steps) == 1 and steps[0].record.name == "_sgd_step" and steps[0].inputs[1] == gradient and steps[0].inputs[0] != gradient
    return steps[0] if plain else None
