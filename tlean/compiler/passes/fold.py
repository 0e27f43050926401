"""Folding: what depends on constants alone is computed when the plan is made."""

from __future__ import annotations

from tlean._core.array import as_tensor

from ..arrange import arrange
from ..checks.plan_check import checked
from ..cpu import CPU
from ..graph import Graph
from ..target import Target

#: Constants up to this many elements are computed when the plan is made.
_FOLD_LIMIT = 4096
#: The same for arrays that are made of numbers alone, such as a range: a plan keeps them rather than make them at each call.
_MADE_LIMIT = 1 << 20


def fold(graph: Graph, target: Target = CPU) -> Graph:
    """The same program with what depends on constants alone computed once, by the same kernels."""
    constant: set[int | None] = {None, *graph.constants}
    folded, rest = [], []
    for node in graph.nodes:
        if not constant.issuperset(node.inputs):
            rest.append(node)
            continue
        most = _FOLD_LIMIT if node.inputs or target.fuses(node.record, graph.call_of(node).dtypes.works) else _MADE_LIMIT
        small = all(graph.specs[v].size <= most for v in node.outputs)
        fixed = not (node.record.random or node.record.effects) and node.record.host is None and node.record.loop is None
        if small and fixed:
            folded.append(node)
            constant.update(node.outputs)
        else:
            rest.append(node)
    if not folded:
        return graph
    read = {i for n in rest for i in n.inputs} | set(graph.outputs) | {after for _, _, after in graph.states}
    wanted = [v for n in folded for v in n.outputs if v in read]
    inner = Graph(graph.dtype)
    inner.specs, inner.constants, inner.nodes, inner.outputs = graph.specs, graph.constants, folded, list(wanted)
    once = target.single
    values = once.run(once.plan(checked(arrange(inner, once), once)), [], [(graph.specs[v].shape, graph.specs[v].dtype) for v in wanted])
    out = Graph(graph.dtype)
    out.specs, out.inputs, out.outputs, out.labels, out.states = graph.specs, graph.inputs, graph.outputs, graph.labels, graph.states
    out.nodes = rest
    out.constants = {**graph.constants, **{v: as_tensor(t.numpy()) for v, t in zip(wanted, values, strict=True)}}
    return out
