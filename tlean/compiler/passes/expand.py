"""Expansion: every op that has no kernel on the target becomes its decomposition, an op of Booleans its form on lanes, and an op that
broadcasts the op on stretched copies."""

from __future__ import annotations

from collections.abc import Sequence

from tlean.errors import DeviceError

from ..cpu import CPU
from ..derive import conversion, decomposition
from ..graph import Graph, GraphRef, Origin
from ..signature import Signature
from ..target import Target
from .lanes import in_lanes
from .stretch import stretched


def expand(graph: Graph, target: Target = CPU) -> Graph:
    """The same program with kernels for all of its ops, and operands of other dtypes than an op takes converted before it.

    Raises: DeviceError for an op that has neither a kernel nor a decomposition.
    """
    return _settled(stretched(in_lanes(with_kernels(graph, target))))


def _settled(graph: Graph) -> Graph:
    # Every node with what is known of its call: the passes from here on read it often.
    if not graph.is_settled():
        graph.nodes = [n._replace(call=graph.call_of(n)) for n in graph.nodes]
    return graph


def with_kernels(graph: Graph, target: Target) -> Graph:
    """The same program in ops that have kernels. Raises: as `expand`."""
    if all(_runs(call, target) for call in graph.calls()):
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
        call = graph.call_of(node)
        if _runs(call, target):
            made: Sequence[int] = out._record(node.record, inputs, node.options, node.name)
        else:
            parts = conversion(call.record, call.specs, call.options, call.dtype)
            if parts is None:
                if node.record.rules.decompose is None and not call.in_parts:
                    raise DeviceError(
                        f"{node.record.name}: there is no {target.title} kernel {node.record.kernel!r} for {call.dtypes.works}"
                    )
                parts = target.parts(call) or decomposition(call.record, call.specs, call.options, call.dtype)
            inner = with_kernels(parts, target)
            refs = out._inline(inner, [None if i is None else GraphRef(out, i) for i in inputs], name=Origin.of(node.name))
            made = [r.id for r in refs if r is not None]
        where.update(zip(node.outputs, made, strict=False))
    out.outputs = [None if v is None else where[v] for v in graph.outputs]
    out.states = [(name, where[before], where[after]) for name, before, after in graph.states]
    return out.prune()


def _runs(call: Signature, target: Target) -> bool:
    # Whether a call runs as it is: its operands have the dtypes that it takes, and there is a kernel for these.
    if call.in_parts or call.dtypes.converted:
        return False
    return call.record.view or target.has_kernel(call.record, call.dtypes.works)
