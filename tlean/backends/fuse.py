"""Fusion: which elementwise ops run together, block by block, and what the fused instruction says.

A group is a set of elementwise nodes over the same number of elements whose inputs from outside are all ready before the group starts. The
group runs the very loops of its ops, so fusing changes no bit.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tlean._core.fused import ADDRESS
from tlean._core.host import ADDRESS as HOST
from tlean._core.host import numbers as host_numbers
from tlean._core.host import register
from tlean._core.table import ACCUMULATES, INNER, KERNELS, MODULES
from tlean.ops import OpDef, Spec

from .graph import Graph, GraphNode

SUFFIX = {"float32": "f32", "float64": "f64"}
_OUTPUT, _SLOT, _SUM = 1 << 20, 1 << 21, 1 << 22
#: Bytes of a block's slots and operands together. Twice an L1 cache: a call of a loop costs more than operands that come from L2.
_BLOCK_BYTES = 96 * 1024
_MOST_ARGUMENTS = 8
#: Inputs that an output of a group may choose from when it takes over memory.
_HEIRS = 8
#: Arrays up to this many elements are grouped even if they have nothing in common: an instruction costs more than they do.
_SMALL = 1024


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


def kernel_address(record: OpDef, dtype: str) -> int | None:
    """The address of an op's kernel for programs of that float dtype, or None if the op has none of its own."""
    return HOST if record.host is not None else KERNELS.get(f"{record.kernel}:{SUFFIX[dtype]}")


def kernel_numbers(
    record: OpDef, specs: Sequence[Spec | None], outs: Sequence[Spec], options: dict[str, Any]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """What the kernel of a call needs to know: the op's own numbers, or for a host call the callable and the operands."""
    if record.host is None:
        return record.numbers(tuple(specs), options)
    call = record.host
    number = register(lambda made, given: call(made, given, options))
    return host_numbers(number, [(s.shape, s.dtype) for s in outs], [None if s is None else (s.shape, s.dtype) for s in specs]), ()


def _elements(graph: Graph, node: GraphNode) -> int | None:
    # The number of elements if the node can be part of a chain, else None.
    out = graph.specs[node.outputs[0]]
    if len(node.outputs) != 1 or out.dtype != graph.dtype or out.size == 0 or len(node.inputs) > _MOST_ARGUMENTS:
        return None
    if _spreads(graph, node):
        return out.size
    if node.record.host is not None or f"{node.record.kernel}:{SUFFIX[graph.dtype]}" not in INNER:
        return None
    for i in node.inputs:
        if i is None or graph.specs[i].dtype != graph.dtype or graph.specs[i].size != out.size:
            return None
    return out.size


def _spreads(graph: Graph, node: GraphNode) -> bool:
    return (
        node.record.name == "broadcast_to"
        and node.record.host is None
        and node.inputs[0] is not None
        and graph.specs[node.inputs[0]].size == 1
    )


@dataclass(eq=False)
class _Group:
    position: int
    elements: int
    nodes: list[GraphNode] = field(default_factory=list)
    #: Scalars that are spread inside.
    spread: set[int] = field(default_factory=set)


def steps_of(graph: Graph, nodes: Sequence[GraphNode], root: Sequence[int], returned: set[int]) -> list[Step]:
    """The instructions of a program in order; `root` maps views to the value whose memory they are, `returned` are the outputs' values."""
    order = _Grouping(graph, root)
    for node in nodes:
        if not node.record.view:
            order.add(node)
    for value in sorted(returned):
        order.materialize(value)
    items = order.items

    # The item that reads a value from outside, or −1 where several do.
    readers: dict[int, int] = {}
    for k, item in enumerate(items):
        inside = {n.outputs[0] for n in item.nodes} if isinstance(item, _Group) else set()
        for node in item.nodes if isinstance(item, _Group) else (item,):
            for i in node.inputs:
                if i is not None and root[i] not in inside:
                    readers[root[i]] = k if readers.get(root[i], k) == k else -1
    steps = []
    summed: set[int] = set()
    for k, item in enumerate(items):
        if isinstance(item, _Group) and len(item.nodes) > 1:
            made = [n.outputs[0] for n in item.nodes]
            visible = [v for v in made if order.home.get(v) is item and (v in returned or v in readers)]
            # A value that is only summed up: the group makes its sum, in place of the item that would.
            sums: dict[int, GraphNode] = {}
            for v in visible:
                reader = items[readers[v]] if v not in returned and readers[v] >= 0 else None
                if isinstance(reader, GraphNode) and _is_total(graph, reader, item.elements):
                    sums[v] = reader
                    summed.add(readers[v])
            steps.append(_fused(graph, item, root, [v for v in visible if v not in sums], sums))
        elif k not in summed:
            node = item.nodes[0] if isinstance(item, _Group) else item
            inside_use = {root[i] for i in node.inputs if i is not None}
            # The value of an op with residuals has memory even where only a residual is read: its kernel writes it in any case.
            written = node.outputs[0] if len(node.record.outputs) == 1 else -1
            live = [v if v == written or v in returned or v in readers or v in inside_use else -1 for v in node.outputs]
            steps.append(_single(graph, node, root, live))
    return steps


def _position(group: _Group) -> int:
    return group.position


class _Grouping:
    # Items in order of running: single nodes and groups. A group runs at the place where it was opened, so a node may join it only if all
    # that it reads from outside is ready before that place.
    def __init__(self, graph: Graph, root: Sequence[int]) -> None:
        self.graph = graph
        self.root = root
        self.items: list[GraphNode | _Group] = []
        self.ready: dict[int, int] = {}
        #: The group that makes a value for all to read.
        self.home: dict[int, _Group] = {}
        #: The groups of some size that read a value, by position.
        self.readers: dict[tuple[int, int], list[_Group]] = {}
        self.latest: dict[int, _Group] = {}
        #: Scalars to spread: done inside each group that reads them, and in memory only for readers of another kind.
        self.pending: dict[int, GraphNode] = {}

    def add(self, node: GraphNode) -> None:
        n = _elements(self.graph, node)
        reads = [self.root[i] for i in node.inputs if i is not None]
        if n is not None and _spreads(self.graph, node):
            self.pending[node.outputs[0]] = node
            return
        if n is None:
            for r in reads:
                self.materialize(r)
            self.items.append(node)
            for v in node.outputs:
                self.ready[v] = len(self.items) - 1
            return
        for r in reads:
            if r in self.pending and r in self.home:
                del self.pending[r]
        group = self._group_for(n, reads)
        for r in reads:
            if r in self.pending and r not in group.spread:
                group.nodes.append(self.pending[r])
                group.spread.add(r)
        group.nodes.append(node)
        made = node.outputs[0]
        self.home[made] = group
        self.ready[made] = group.position
        self.latest[n] = group
        for r in reads:
            known = self.readers.setdefault((r, n), [])
            at = bisect(known, group.position, key=_position)
            if at == 0 or known[at - 1] is not group:
                insort(known, group, key=_position)

    def _group_for(self, n: int, reads: Sequence[int]) -> _Group:
        # The earliest group of that size that shares a value with the node and starts after all else that the node reads is ready.
        related = {g.position: g for r in reads if (g := self.home.get(r)) is not None and g.elements == n}
        # A group that makes none of them starts after all of them: of those that read one, the first such.
        ready = max((self._ready_at(r) for r in reads), default=-1)
        for r in reads:
            known = self.readers.get((r, n), [])
            at = bisect(known, ready, key=_position)
            if at < len(known):
                related[known[at].position] = known[at]
        if n <= _SMALL and n in self.latest:
            related[self.latest[n].position] = self.latest[n]
        for _, candidate in sorted(related.items()):
            if all(self.home.get(r) is candidate or self._ready_at(r) < candidate.position for r in reads):
                return candidate
        group = _Group(len(self.items), n)
        self.items.append(group)
        return group

    def _ready_at(self, value: int) -> int:
        if value in self.pending:
            value = self.root[self.pending[value].inputs[0]]  # type: ignore[index]
        return self.ready.get(value, -1)

    def materialize(self, value: int) -> None:
        """Put a scalar that is still to be spread into memory."""
        node = self.pending.pop(value, None)
        if node is not None:
            group = _Group(len(self.items), self.graph.specs[value].size)
            group.nodes.append(node)
            self.items.append(group)
            self.home[value] = group
            self.ready[value] = group.position


def _single(graph: Graph, node: GraphNode, root: Sequence[int], live: Sequence[int]) -> Step:
    specs: tuple[Spec | None, ...] = tuple(None if i is None else graph.specs[i] for i in node.inputs)
    ints, floats = kernel_numbers(node.record, specs, [graph.specs[v] for v in node.outputs], node.options)
    address = kernel_address(node.record, graph.dtype)
    inputs = tuple(-1 if i is None else root[i] for i in node.inputs)
    accumulates = len(node.outputs) == 1 and node.record.host is None and node.record.kernel in ACCUMULATES
    in_place = {0: tuple(i for i in inputs if i >= 0)} if accumulates else {}
    return Step(node.record.kernel, address or 0, inputs, tuple(live), ints, floats, (node,), accumulates, in_place)


def _is_total(graph: Graph, node: GraphNode, elements: int) -> bool:
    # Whether the node is one sum over as many elements as the group has.
    if node.record.host is not None or node.record.kernel != "reduce_sum" or graph.specs[node.outputs[0]].dtype != graph.dtype:
        return False
    specs = tuple(graph.specs[i] for i in node.inputs if i is not None)
    return node.record.numbers(specs, node.options)[0] == (1, 1, elements)


def _fused(graph: Graph, group: _Group, root: Sequence[int], visible: Sequence[int], sums: dict[int, GraphNode]) -> Step:
    # `sums`: values of the group that are only summed up, with the nodes that sum them; their outputs follow the visible ones.
    own = {n.outputs[0] for n in group.nodes}
    inputs: dict[int, None] = {}
    last_read: dict[int, int] = {}
    for k, node in enumerate(group.nodes):
        for i in node.inputs:
            v = root[i]  # type: ignore[index]
            last_read[v] = k
            if v not in own:
                inputs[v] = None
    place = {v: k for k, v in enumerate(inputs)} | {v: _OUTPUT + j for j, v in enumerate(visible)}
    place |= {v: _SUM + t for t, v in enumerate(sums)}
    free: list[int] = []
    slots = 0
    code: list[int] = []
    floats: list[float] = []
    item = 4 if graph.dtype == "float32" else 8
    in_place: dict[int, tuple[int, ...]] = {}
    number = {v: j for j, v in enumerate(visible)}
    dying = sorted((v for v in inputs if graph.specs[v].size == group.elements), key=lambda v: -last_read[v])
    heirs: list[int] = []
    for k, node in enumerate(group.nodes):
        while dying and last_read[dying[-1]] <= k:
            heirs.append(dying.pop())
        arguments = [place[root[i]] for i in node.inputs]  # type: ignore[index]
        for v in {root[i] for i in node.inputs}:  # type: ignore[index]
            if last_read[v] == k and _SLOT <= place[v] < _SUM:
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
        elif made in number:
            in_place[number[made]] = tuple(heirs[-_HEIRS:])
        specs: tuple[Any, ...] = tuple(graph.specs[i] for i in node.inputs)  # type: ignore[index]
        inner = 0 if _spreads(graph, node) else INNER[f"{node.record.kernel}:{SUFFIX[graph.dtype]}"]
        numbers = () if inner == 0 else node.record.numbers(specs, node.options)[1]
        code += [inner, len(floats), place[made], len(arguments), *arguments]
        floats += numbers
    tails: list[int] = []
    for t, node in enumerate(sums.values()):
        specs = tuple(graph.specs[i] for i in node.inputs)  # type: ignore[index]
        tails += [len(visible) + t, len(floats)]
        floats += node.record.numbers(specs, node.options)[1]
    streams = slots + len(inputs) + len(visible) + len(sums)
    block = max(256, min(2048, _BLOCK_BYTES // (streams * item) // 64 * 64))
    reduce = KERNELS[f"reduce_sum:{SUFFIX[graph.dtype]}"]
    ints = (group.elements, item, block, len(group.nodes), slots, len(sums), MODULES["reduce"].SEGMENT_LENGTH, reduce, *tails, *code)
    nodes = (*group.nodes, *sums.values())
    name = "fused(" + " ".join(n.record.name.lstrip("_") for n in nodes) + ")"
    outputs = (*visible, *(n.outputs[0] for n in sums.values()))
    # Adding into the only output is right when the chain does not read it again.
    accumulates = len(outputs) == 1 and not sums and visible[0] not in last_read
    return Step(name, ADDRESS, tuple(inputs), outputs, ints, tuple(floats), nodes, accumulates, in_place)
