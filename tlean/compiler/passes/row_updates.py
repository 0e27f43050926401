"""Steps of parameters whose gradient is that of gathers: only the rows that were taken are moved, and the gradient is never made."""

from __future__ import annotations

from typing import NamedTuple

from tlean.ops.optim import FINITE
from tlean.ops.rows.take import geometry
from tlean.ops.rows.updates import MERGED_ROWS, SGD_ROWS, SUMMED_ROWS, by_rows

from ..graph import Graph, GraphNode


class _Table(NamedTuple):
    # A gradient of so many rows of a length, to which rows are added at so many positions.
    rows: int
    length: int
    positions: int


def row_updates(graph: Graph) -> Graph:
    """The same program with plain gradient descent by rows, where a gradient is rows added to zeros that nothing but the step reads.

    The look at the numbers of a step sees the rows' sums: all else is zeros.
    """
    if not any(call.record.name == "_scatter_rows" for call in graph.calls()):
        return graph
    readers = _readers(graph)
    tables = _tables(graph, readers)
    steps = {}
    for value, table in tables.items():
        step = _step(value, readers[value])
        if step is not None and by_rows(*table):
            steps[id(step)] = value
    if not steps:
        return graph
    wanted = set(steps.values())
    for node in reversed(graph.nodes):
        if node.outputs[0] in wanted and node.record.name == "add":
            wanted.update(v for v in node.inputs if v is not None)
    out = Graph(graph.dtype)
    out.specs, out.inputs, out.outputs, out.labels = list(graph.specs), graph.inputs, graph.outputs, graph.labels
    out.constants, out.states = graph.constants, graph.states
    made: dict[int | None, tuple[int, ...]] = {}
    for node in graph.nodes:
        value = node.outputs[0]
        if value in wanted and node.record.name == "add":
            made[value] = out._record(MERGED_ROWS, [v for i in node.inputs for v in made[i]], {})
        elif value in wanted:
            table, mode = tables[value], node.options["mode"]
            made[value] = out._record(SUMMED_ROWS, node.inputs, {"rows": table.rows, "length": table.length, "mode": mode})
        elif id(node) in steps:
            p, gradient, hyper = node.inputs
            out.nodes.append(GraphNode(SGD_ROWS, (p, *made[gradient], hyper), node.outputs, {}, node.name))
        elif node.record is FINITE:
            out.nodes.append(node.on(tuple([made[v][0] if v in made else v for v in node.inputs]), None))
        else:
            out.nodes.append(node)
    return out


def _readers(graph: Graph) -> dict[int, list[GraphNode]]:
    # The nodes that read each value; none for what the program returns or keeps, which is made whatever they do.
    readers: dict[int, list[GraphNode]] = {v: [] for v in range(len(graph.specs))}
    for node in graph.nodes:
        for v in node.inputs:
            if v is not None:
                readers[v].append(node)
    for v in (*graph.outputs, *(after for _, _, after in graph.states)):
        if v is not None:
            readers[v] = []
    return readers


def _tables(graph: Graph, readers: dict[int, list[GraphNode]]) -> dict[int, _Table]:
    # The values that are rows added to zeros, or sums of such that nothing else reads.
    tables: dict[int, _Table] = {}
    for node in graph.nodes:
        value = node.outputs[0]
        if node.record.name == "_scatter_rows":
            blocks, rows, length = geometry(node.options["shape"], node.options["axis"])
            if blocks == 1:
                tables[value] = _Table(rows, length, graph.specs[node.inputs[1]].size)  # type: ignore[index]
        elif node.record.name == "add":
            a, b = (tables.get(v) if v is not None and len(readers[v]) == 1 else None for v in node.inputs)
            if a is not None and b is not None and a[:2] == b[:2] and graph.specs[node.inputs[0]] == graph.specs[value]:  # type: ignore[index]
                tables[value] = a._replace(positions=a.positions + b.positions)
    return tables


def _step(gradient: int, readers: list[GraphNode]) -> GraphNode | None:
    # The step that alone reads this gradient, but for the look at the numbers.
    steps = [n for n in readers if n.record is not FINITE]
    plain = len(steps) == 1 and steps[0].record.name == "_sgd_step" and steps[0].inputs[1] == gradient and steps[0].inputs[0] != gradient
    return steps[0] if plain else None
