"""Expansion: every op that has no kernel on the target becomes its decomposition, an op of Booleans its form on lanes, and an op that
broadcasts the op on stretched copies."""

from __future__ import annotations

from collections.abc import Sequence

from tlean.errors import DeviceError

from ..cpu import CPU
from ..derive import conversion, decomposition, in_parts
from ..graph import Graph, GraphNode, GraphRef, Origin
from ..target import Target
from .lanes import in_lanes
from .stretch import stretched


def expand(graph: Graph, target: Target = CPU) -> Graph:
    """The same program with kernels for all of its ops, and operands of other dtypes than an op takes converted before it.

    Raises: DeviceError for an op that has neither a kernel nor a decomposition.
    """
    return stretched(in_lanes(with_kernels(graph, target)))


def with_kernels(graph: Graph, target: Target) -> Graph:
    """The same program in ops that have kernels. Raises: as `expand`."""
    if all(_runs(graph, n, target) for n in graph.nodes):
        return graph
    out = Graph(graph.dtype)
    where: dict[int, int] = {}
    for value in graph.inputs:
        ref = out.arg(None if value is None else graph.specs[value], graph.labels.get(value) if value is not None else None)
        if value is not None and ref is not None:
            where[value] = ref.id
    for value, constant in graph.constants.items():
        where[value] = out._constant(constant).id
    for node in graph.nodes:
        inputs = [None if i is None else where[i] for i in node.inputs]
        if _runs(graph, node, target):
            made: Sequence[int] = out._record(node.record, inputs, node.options, node.name)
        else:
            call = node.record, graph._specs_of(node.inputs), node.options, graph.dtype
            parts = conversion(*call)
            if parts is None:
                if node.record.rules.decompose is None and not in_parts(*call[:3]):
                    works = node.record.dtypes_at(*call[1:]).works
                    raise DeviceError(f"{node.record.name}: there is no {target.title} kernel of that name for {works}")
                parts = decomposition(*call)
            inner = with_kernels(parts, target)
            refs = out._inline(inner, [None if i is None else GraphRef(out, i) for i in inputs], name=Origin.of(node.name))
            made = [r.id for r in refs if r is not None]
        where.update(zip(node.outputs, made, strict=False))
    out.outputs = [None if v is None else where[v] for v in graph.outputs]
    out.states = [(name, where[before], where[after]) for name, before, after in graph.states]
    return out.prune()


def _runs(graph: Graph, node: GraphNode, target: Target) -> bool:
    # Whether the node runs as it is: its operands have the dtypes that it takes, and there is a kernel for these.
    specs = graph._specs_of(node.inputs)
    dtypes = node.record.dtypes_at(specs, node.options, graph.dtype)
    if in_parts(node.record, specs, node.options):
        return False
    return not dtypes.converted and (node.record.view or target.has_kernel(node.record, dtypes.works))
