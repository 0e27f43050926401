"""Expansion: every op that has no kernel on the target becomes its decomposition, and an op that broadcasts the op on stretched copies."""

from __future__ import annotations

from collections.abc import Sequence

from tlean.errors import DeviceError

from ..cpu import CPU
from ..derive import decomposition
from ..graph import Graph, GraphRef
from ..target import Target
from .stretch import stretched


def expand(graph: Graph, target: Target = CPU) -> Graph:
    """The same program with kernels for all of its ops. Raises: DeviceError for an op that has neither a kernel nor a decomposition."""
    return stretched(_expand(graph, target))


def _expand(graph: Graph, target: Target) -> Graph:
    if all(n.record.view or target.has_kernel(n.record, graph.dtype) for n in graph.nodes):
        return graph
    out = Graph(graph.dtype)
    where: dict[int, int] = {}
    for value in graph.inputs:
        ref = out.arg(None if value is None else graph.specs[value], graph.labels.get(value) if value is not None else None)
        if value is not None and ref is not None:
            where[value] = ref.id
    for value, constant in graph.constants.items():
        where[value] = out.const(constant).id
    for node in graph.nodes:
        inputs = [None if i is None else where[i] for i in node.inputs]
        if node.record.view or target.has_kernel(node.record, graph.dtype):
            made: Sequence[int] = out._record(node.record, inputs, node.options, node.name)
        else:
            if node.record.rules.decompose is None:
                raise DeviceError(f"{node.record.name}: there is no {target.title} kernel of that name for {graph.dtype}")
            inner = expand(decomposition(node.record, graph._specs_of(node.inputs), node.options, graph.dtype), target)
            refs = out._inline(inner, [None if i is None else GraphRef(out, i) for i in inputs])
            made = [r.id for r in refs if r is not None]
        where.update(zip(node.outputs, made, strict=False))
    out.outputs = [None if v is None else where[v] for v in graph.outputs]
    out.states = [(name, where[before], where[after]) for name, before, after in graph.states]
    return out.prune()
