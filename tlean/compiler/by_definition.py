"""Programs that run by definition: every kernel replaced by a call of the reference backend."""

from __future__ import annotations

import dataclasses
from typing import Any

from tlean.dtypes import FLOATS
from tlean.ops import OpDef

from .graph import Graph, GraphNode


def by_definition(graph: Graph) -> Graph:
    """The same program with each op computed by its reference definition.

    Residuals still come from the kernels, and so do optimisers' steps, which eager sessions take by them too.
    """
    out = Graph(graph.dtype)
    out.specs, out.inputs, out.labels = list(graph.specs), graph.inputs, graph.labels
    out.constants, out.states = dict(graph.constants), graph.states
    same: dict[int, int] = {}
    for node in graph.nodes:
        inputs = tuple(None if i is None else same.get(i, i) for i in node.inputs)
        node = GraphNode(node.record, inputs, node.outputs, node.options, node.name)
        ours = not node.record.registered and node.record.rules.decompose is None
        if node.record.view or node.record.updates or ours:
            # What is no op has no definition: calls of Python, and instructions of the library's own programs.
            out.nodes.append(node)
            continue
        own = node.record.dtypes_at(out._specs_of(inputs), node.options, graph.dtype).own
        made = node.outputs[: len(node.record.outputs)]
        if node.record.residuals:
            out.nodes.append(node)
            fresh = tuple(out._value(graph.specs[v]).id for v in made)
            same.update(zip(made, fresh, strict=True))
            made = fresh
        out.nodes.append(GraphNode(_defined(node.record, own if own in FLOATS else graph.dtype), inputs, made, node.options, node.name))
    out.outputs = [None if v is None else same.get(v, v) for v in graph.outputs]
    return out


def _defined(record: OpDef, dtype: str) -> OpDef:
    def host(outs: list[Any], ins: list[Any], options: dict[str, Any]) -> None:
        from tlean.reference.interpreter import Reference

        ops = Reference(dtype)
        made = ops.apply(record, tuple(None if x is None else ops.const(x) for x in ins), options)
        for target, value in zip(outs, made if isinstance(made, tuple) else (made,), strict=True):
            if target is not None:
                target[...] = value.value

    return dataclasses.replace(record, name=f"{record.name} by definition", host=host, residuals=())
