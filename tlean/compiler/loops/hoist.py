"""What is the same at each step of a loop, computed once before it; and products that leave it (`products_apart.py`)."""

from __future__ import annotations

from typing import Any

from tlean.dtypes import FLOATS
from tlean.ops import OpDef

from ..graph import Graph, GraphNode
from .bodies import moving, part
from .products_apart import Apart
from .scan import Scan, scan_record
from .whiles import While, while_record


def hoisted(graph: Graph) -> Graph:
    """The graph with what its loops compute of invariants alone in front of them; itself where there is nothing of the kind."""
    if not any(isinstance(call.record.loop, Scan | While) for call in graph.calls()):
        return graph
    result = graph._copy()
    result.nodes, result._known = [], {}
    for node in graph.nodes:
        loop: Any = node.record.loop
        if isinstance(loop, Scan) and loop.length:
            body, values = _moved(result, node, hoisted(loop.body), loop.carries + loop.xs)
            apart = Apart(result, loop, body, [*node.inputs, *values], node.outputs)  # type: ignore[list-item]
            record = scan_record(apart.body, loop.carries, apart.xs, loop.length, loop.reverse, loop.sweep, loop.unroll)
            result.nodes.append(GraphNode(record, tuple(apart.inputs), tuple(apart.outputs), node.options, node.name))
            apart.finish()
            continue
        if isinstance(loop, While):
            body, values = _moved(result, node, hoisted(loop.bodies[1]), loop.carries)
            first = loop.bodies[0]._copy()
            for v in values:
                first.arg(result.specs[v])
            record = while_record(part(first, first.inputs, first.outputs), body, loop.carries, loop.most, loop.lengths)  # type: ignore[arg-type]
        else:
            result.nodes.append(node)
            continue
        result.nodes.append(_with(node, record, values))
    return result


def _with(node: GraphNode, record: OpDef, values: list[int]) -> GraphNode:
    return GraphNode(record, (*node.inputs, *values), node.outputs, node.options, node.name)


def _moved(graph: Graph, loop: GraphNode, body: Graph, own: int) -> tuple[Graph, list[int]]:
    # A body without what its inputs from number `own` on and constants alone make, which is recorded into the graph around it; the values
    # that the body reads of it are further inputs, and which these are in that graph.
    ins: Any = body.inputs
    varying = moving(body, body.nodes, ins[:own])
    nodes = [n for n in body.nodes if may_move(body, n) and varying.isdisjoint(n.inputs)]
    known = {*ins, *body.constants, None}
    made = {v for n in nodes for v in n.outputs}
    while nodes:
        # Of what is not moved nothing moves.
        kept = [n for n in nodes if all(i in made or i in known for i in n.inputs)]
        if len(kept) == len(nodes):
            break
        nodes, made = kept, {v for n in kept for v in n.outputs}
    rest = [n for n in body.nodes if made.isdisjoint(n.outputs)]
    read = {i for n in rest for i in n.inputs} | set(body.outputs)
    # What costs nothing is made again where it is read, of what is made before the loop.
    free = {id(n) for n in nodes if n.record.view or n.record.spreads or not n.inputs}
    for n in reversed(nodes):
        if id(n) in free and not read.isdisjoint(n.outputs):
            read.update(n.inputs)
    worth = [v for n in nodes if id(n) not in free for v in n.outputs if v in read]
    if not worth:
        return body, []
    where: dict[Any, int] = dict(zip(ins, loop.inputs, strict=True))  # type: ignore[arg-type]
    needed = body._needed(worth)
    for v in {i for n in needed for i in n.inputs if i in body.constants}:
        where[v] = graph._constant(body.constants[v]).id  # type: ignore[index]
    for n in needed:
        where.update(
            zip(n.outputs, graph._record(n.record, [None if i is None else where[i] for i in n.inputs], n.options, n.name), strict=True)
        )
    left = part(body, [*ins, *worth], body.outputs, [n for n in body.nodes if set(worth).isdisjoint(n.outputs)])  # type: ignore[arg-type]
    return left.prune(), [where[v] for v in worth]


def may_move(body: Graph, node: GraphNode) -> bool:
    """Whether a node may leave a loop."""
    # What may fail stays, since a loop names the iteration and may run no step; so does what calls the user's functions.
    record = node.record
    plain = record.loop is None and record.host is None and record.registered and not (record.random or record.effects)
    return plain and all(i is None or body.specs[i].dtype in FLOATS for i in node.inputs)
