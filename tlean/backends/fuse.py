"""Fusion: which elementwise ops run together.

A group is a set of elementwise nodes over the same number of elements whose inputs from outside are all ready before the group starts. The
group runs the very loops of its ops, so fusing changes no bit.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from .graph import Graph, GraphNode
from .target import Step, Target

#: The most inputs of a node that joins a group.
_MOST_ARGUMENTS = 8


def _elements(graph: Graph, node: GraphNode, target: Target) -> int | None:
    # The number of elements if the node can be part of a chain, else None.
    out = graph.specs[node.outputs[0]]
    if len(node.outputs) != 1 or out.dtype != graph.dtype or out.size == 0 or len(node.inputs) > _MOST_ARGUMENTS:
        return None
    if _spreads(graph, node):
        return out.size
    if not target.fuses(node.record, graph.dtype):
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


def steps_of(graph: Graph, nodes: Sequence[GraphNode], root: Sequence[int], returned: set[int], target: Target) -> list[Step]:
    """The instructions of a program in order; `root` maps views to the value whose memory they are, `returned` are the outputs' values."""
    order = _Grouping(graph, root, target)
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
            steps.append(target.fused(graph, item.nodes, root, [v for v in visible if v not in sums], sums))
        elif k not in summed:
            node = item.nodes[0] if isinstance(item, _Group) else item
            inside_use = {root[i] for i in node.inputs if i is not None}
            # The value of an op with residuals has memory even where only a residual is read: its kernel writes it in any case.
            written = node.outputs[0] if len(node.record.outputs) == 1 else -1
            read = [v == written or v in returned or v in readers or v in inside_use for v in node.outputs]
            live = tuple(v if r or not target.skips_unread else -1 for v, r in zip(node.outputs, read, strict=True))
            steps.append(target.instruction(graph, node, tuple(-1 if i is None else root[i] for i in node.inputs), live))
    return steps


def _position(group: _Group) -> int:
    return group.position


class _Grouping:
    # Items in order of running: single nodes and groups. A group runs at the place where it was opened, so a node may join it only if all
    # that it reads from outside is ready before that place.
    def __init__(self, graph: Graph, root: Sequence[int], target: Target) -> None:
        self.graph = graph
        self.target = target
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
        n = _elements(self.graph, node, self.target)
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
        if n <= self.target.small and n in self.latest:
            related[self.latest[n].position] = self.latest[n]
        for _, candidate in sorted(related.items()):
            if len(candidate.nodes) < self.target.most_in_group and all(
                self.home.get(r) is candidate or self._ready_at(r) < candidate.position for r in reads
            ):
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


def _is_total(graph: Graph, node: GraphNode, elements: int) -> bool:
    # Whether the node is one sum over as many elements as the group has.
    if node.record.host is not None or node.record.kernel != "reduce_sum" or graph.specs[node.outputs[0]].dtype != graph.dtype:
        return False
    specs = tuple(graph.specs[i] for i in node.inputs if i is not None)
    return node.record.numbers(specs, node.options)[0] == (1, 1, elements)
