"""Fusion: which elementwise ops run together, block by block, and what the fused instruction says.

A group is a set of elementwise nodes over the same number of elements whose inputs from outside are all ready before the group starts. The
group runs the very loops of its ops, so fusing changes no bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tlean._core.fused import ADDRESS
from tlean._core.table import ACCUMULATES, INNER, KERNELS
from tlean.ops import Spec

from .graph import Graph, GraphNode

SUFFIX = {"float32": "f32", "float64": "f64"}
_OUTPUT, _SLOT = 1 << 20, 1 << 21
#: Bytes of a block's slots and operands together: what stays in L1 with room to spare.
_L1_BYTES = 24 * 1024
_MOST_ARGUMENTS = 8


@dataclass
class Step:
    """One instruction: a kernel, the values it reads and makes (−1: absent), and its numbers."""

    kernel: str
    address: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    ints: tuple[int, ...]
    floats: tuple[float, ...]
    nodes: tuple[GraphNode, ...]
    #: Whether the kernel can add into its only output.
    accumulates: bool = False
    #: Input values whose memory output k may take over.
    in_place: dict[int, tuple[int, ...]] = field(default_factory=dict)


def kernel_address(node_kernel: str, dtype: str) -> int | None:
    """The address of a kernel for programs of that float dtype, or None."""
    return KERNELS.get(f"{node_kernel}:{SUFFIX[dtype]}")


def _elements(graph: Graph, node: GraphNode) -> int | None:
    # The number of elements if the node can be part of a chain, else None.
    out = graph.specs[node.outputs[0]]
    if len(node.outputs) != 1 or out.dtype != graph.dtype or out.size == 0 or len(node.inputs) > _MOST_ARGUMENTS:
        return None
    if _spreads(graph, node):
        return out.size
    if f"{node.record.kernel}:{SUFFIX[graph.dtype]}" not in INNER:
        return None
    for i in node.inputs:
        if i is None or graph.specs[i].dtype != graph.dtype or graph.specs[i].size != out.size:
            return None
    return out.size


def _spreads(graph: Graph, node: GraphNode) -> bool:
    return node.record.name == "broadcast_to" and node.inputs[0] is not None and graph.specs[node.inputs[0]].size == 1


@dataclass
class _Group:
    position: int
    elements: int
    nodes: list[GraphNode] = field(default_factory=list)


def steps_of(graph: Graph, nodes: Sequence[GraphNode], root: Sequence[int], returned: set[int]) -> list[Step]:
    """The instructions of a program in order; `root` maps views to the value whose memory they are, `returned` are the outputs' values."""
    ready: dict[int, int] = {}
    made_in: dict[int, _Group] = {}
    items: list[GraphNode | _Group] = []
    for node in nodes:
        if node.record.view:
            continue
        reads = {root[i] for i in node.inputs if i is not None}
        n = _elements(graph, node)
        group = None
        if n is not None:
            # The latest group among the producers', if all else is ready before that group starts.
            for candidate in sorted({id(g): g for r in reads if (g := made_in.get(r))}.values(), key=lambda g: -g.position):
                if candidate.elements == n and all(made_in.get(r) is candidate or ready.get(r, -1) < candidate.position for r in reads):
                    group = candidate
                    break
            if group is None:
                group = _Group(len(items), n)
                items.append(group)
            group.nodes.append(node)
            made_in[node.outputs[0]] = group
        else:
            items.append(node)
        position = group.position if group else len(items) - 1
        for v in node.outputs:
            ready[v] = position

    used_by: dict[int, set[int]] = {}
    for k, item in enumerate(items):
        for node in item.nodes if isinstance(item, _Group) else (item,):
            for i in node.inputs:
                if i is not None:
                    used_by.setdefault(root[i], set()).add(k)
    steps = []
    for k, item in enumerate(items):
        if isinstance(item, _Group) and len(item.nodes) > 1:
            visible = [n.outputs[0] for n in item.nodes if n.outputs[0] in returned or used_by.get(n.outputs[0], set()) - {k}]
            steps.append(_fused(graph, item, root, visible))
        else:
            node = item.nodes[0] if isinstance(item, _Group) else item
            live = [v if v in returned or used_by.get(v) else -1 for v in node.outputs]
            steps.append(_single(graph, node, root, live))
    return steps


def _single(graph: Graph, node: GraphNode, root: Sequence[int], live: Sequence[int]) -> Step:
    specs: tuple[Spec | None, ...] = tuple(None if i is None else graph.specs[i] for i in node.inputs)
    ints, floats = node.record.numbers(specs, node.options)
    address = kernel_address(node.record.kernel, graph.dtype)
    inputs = tuple(-1 if i is None else root[i] for i in node.inputs)
    accumulates = len(node.outputs) == 1 and node.record.kernel in ACCUMULATES
    in_place = {0: tuple(i for i in inputs if i >= 0)} if accumulates else {}
    return Step(node.record.kernel, address or 0, inputs, tuple(live), ints, floats, (node,), accumulates, in_place)


def _fused(graph: Graph, group: _Group, root: Sequence[int], visible: Sequence[int]) -> Step:
    own = {n.outputs[0] for n in group.nodes}
    inputs: list[int] = []
    last_read: dict[int, int] = {}
    for k, node in enumerate(group.nodes):
        for i in node.inputs:
            v = root[i]  # type: ignore[index]
            last_read[v] = k
            if v not in own and v not in inputs:
                inputs.append(v)
    place = {v: k for k, v in enumerate(inputs)} | {v: _OUTPUT + j for j, v in enumerate(visible)}
    free: list[int] = []
    slots = 0
    code: list[int] = []
    floats: list[float] = []
    item = 4 if graph.dtype == "float32" else 8
    in_place: dict[int, tuple[int, ...]] = {}
    for k, node in enumerate(group.nodes):
        arguments = [place[root[i]] for i in node.inputs]  # type: ignore[index]
        for v in {root[i] for i in node.inputs}:  # type: ignore[index]
            if last_read[v] == k and place[v] >= _SLOT:
                free.append(place[v] - _SLOT)
        made = node.outputs[0]
        if made not in place:
            if free:
                slot = free.pop()
            else:
                slot, slots = slots, slots + 1
            place[made] = _SLOT + slot
            if made not in last_read:
                free.append(slot)
        else:
            j = visible.index(made)
            in_place[j] = tuple(v for v in inputs if last_read[v] <= k and graph.specs[v].size == group.elements)
        specs: tuple[Any, ...] = tuple(graph.specs[i] for i in node.inputs)  # type: ignore[index]
        inner = 0 if _spreads(graph, node) else INNER[f"{node.record.kernel}:{SUFFIX[graph.dtype]}"]
        numbers = () if inner == 0 else node.record.numbers(specs, node.options)[1]
        code += [inner, len(floats), place[made], len(arguments), *arguments]
        floats += numbers
    streams = slots + len(inputs) + len(visible)
    block = max(256, min(2048, _L1_BYTES // (streams * item) // 64 * 64))
    ints = (group.elements, item, block, len(group.nodes), slots, *code)
    name = "fused(" + " ".join(n.record.kernel.lstrip("_") for n in group.nodes) + ")"
    # Adding into the only output is right when the chain does not read it again.
    accumulates = len(visible) == 1 and visible[0] not in last_read
    return Step(name, ADDRESS, tuple(inputs), tuple(visible), ints, tuple(floats), tuple(group.nodes), accumulates, in_place)
