"""The statements of a whole program: each node by what its kernel is written by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlean.compiler.graph import Graph, GraphNode
from tlean.compiler.target import works_in

from .elements import Groups
from .values import Value
from .writer import EMITTERS, LOOP, Call, Writer


def write_program(writer: Writer, graph: Graph, inputs: Sequence[Value]) -> list[Value]:
    """The statements of a prepared program.

    Args:
        writer: where they are written.
        graph: the program.
        inputs: the value of each of its inputs.

    Returns: the value of each of its outputs.
    """
    values = {v: x for v, x in zip(graph.inputs, inputs, strict=True) if v is not None}
    values |= {v: writer.constant(c) for v, c in graph.constants.items()}
    groups = Groups(writer, graph, values)
    for node in graph.nodes:
        if groups.takes(node):
            continue
        given = tuple([None if v is None else groups.value(v) for v in node.inputs])
        if node.record.view:
            values[node.outputs[0]] = given[0]  # type: ignore[assignment]
        else:
            values.update(zip(node.outputs, _written(writer, graph, node, given, groups.readers), strict=False))
    return [groups.value(v) for v in graph.outputs if v is not None]


def _written(writer: Writer, graph: Graph, node: GraphNode, given: tuple[Any, ...], read: Mapping[int, int]) -> Sequence[Value]:
    record, specs, outs = node.record, graph._specs_of(node.inputs), graph._specs_of(node.outputs)
    wanted = tuple([v in read for v in node.outputs])
    if record.loop is not None:
        return EMITTERS[LOOP](writer, Call(node, given, (), (), "", outs, wanted, specs))
    ints, floats = ((), ()) if record.host is not None else record.kernel_params(specs, node.options)
    call = Call(node, given, ints, floats, works_in(graph, node), outs, wanted, specs)
    return EMITTERS[call.name](writer, call)
