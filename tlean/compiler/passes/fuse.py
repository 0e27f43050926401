"""Fusion: which elementwise ops run together.

A group is a set of elementwise ops over the same number of elements whose inputs from outside are all ready before the group starts. The
group runs the very loops of its ops, so fusing changes no bit. A smaller array that its ops read stretched (`broadcast_to`) is stretched
inside the group, block by block, in each group that reads it. Inside it is of one dtype: arrays of others are converted as they are read,
and values to Booleans as they are written.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from tlean.dtypes import FLOATS

from ..chain_code import MOST_OPERANDS
from ..graph import Graph
from ..target import Bound, Step, Target, group_dtype
from .lanes import as_one_op
from .remake import made_again, remade
from .tails import MANY, tails_of

#: The fewest elements that are read where they are: short arrays are copied early, and worked on together.
SHORTEST_SHIFT = 1024
#: What the ops of a group have in common: the number of elements, and the dtype.
_Kind = tuple[int, str]


#: Of a call that runs alone, among the kinds that are known.
_ALONE = (0, "")


def _kind(graph: Graph, op: Bound, target: Target) -> _Kind | None:
    # The kind of group that the op can be part of; None if it runs alone.
    if target.family is None:
        return _kind_of(graph, op, target)
    kind: _Kind | None = op.call.memo.get(target.family)
    if kind is None:
        kind = op.call.memo[target.family] = _kind_of(graph, op, target) or _ALONE
    return None if kind is _ALONE else kind


def _kind_of(graph: Graph, op: Bound, target: Target) -> _Kind | None:
    out = graph.specs[op.made]
    if len(op.node.outputs) != 1 or out.size == 0 or len(op.reads) > MOST_OPERANDS:
        return None
    kind = out.size, group_dtype(graph, op)
    if kind[1] not in FLOATS:
        return None
    if op.converts:
        return kind if target.fuses(op.record, op.specs[0].dtype) else None  # type: ignore[union-attr]
    if op.spreads or (op.stretches and target.stretches):
        return kind
    if op.ranges or (target.shifts and out.size >= SHORTEST_SHIFT and op.shift >= 0):
        return kind
    if not target.fuses(op.record, out.dtype) or any(s is None or (s.size, s.dtype) != kind for s in op.specs):
        return None
    return kind


@dataclass(eq=False)
class _Group:
    position: int
    kind: _Kind
    ops: list[Bound] = field(default_factory=list)
    #: Numbers that are spread, and arrays that are stretched or converted, inside.
    spread: set[int] = field(default_factory=set)


def steps_of(graph: Graph, ops: Sequence[Bound], returned: set[int], target: Target) -> list[Step]:
    """The instructions of a program in order; `returned` are the values that others than its ops read."""
    order = _Grouping(graph, target)
    for op in ops:
        order.add(op)
    for value in sorted(returned):
        order.materialize(value)
    items = order.items
    if target.sums_rows:
        _make_again(graph, items)

    # The items that read a value from outside.
    readers: dict[int, list[int]] = {}
    for k, item in enumerate(items):
        if isinstance(item, _Group):
            inside = {op.made for op in item.ops}
            read = [v for op in item.ops for v in op.reads if v not in inside]
        else:
            read = item.reads  # type: ignore[assignment]
        for v in read:
            known = readers.get(v)
            if known is None:
                readers[v] = [k]
            elif known[-1] != k:
                known.append(k)
    readers.pop(-1, None)
    steps = []
    summed: set[int] = set()
    for item in items:
        if not isinstance(item, _Group):
            if id(item) not in summed:
                steps.append(_alone(graph, item, returned, readers, target))
            continue
        visible = [op.made for op in item.ops if order.home.get(op.made) is item and (op.made in returned or op.made in readers)]
        if not visible:
            # Those that read its values make them themselves.
            continue
        if len(item.ops) == 1:
            steps.append(_alone(graph, item.ops[0], returned, readers, target))
            continue
        whole = as_one_op(graph, item.ops, visible)
        if whole is not None:
            steps.append(target.instruction(graph, whole, (whole.made,)))
            continue
        # A value that is only summed: the group makes its sums, in place of the items that would. One that fills boxes makes none.
        summable = [] if any(op.fills for op in item.ops) else [v for v in visible if v not in returned]
        only = {v: [r for i in readers[v] if isinstance(r := items[i], Bound)] for v in summable}
        only = {v: ops for v, ops in only.items() if len(ops) == len(readers[v])}
        sums, *others = (only and tails_of(item.ops, only, item.kind, graph, target.sums_rows)) or [[]]
        # What is summed in another way is made once more for that, if it is little work.
        apart = [(again, tails) for tails in others if (again := made_again(graph, item.ops, tails, item.kind[0]))]
        every = [op for tails in (sums, *(tails for _, tails in apart)) for op in tails]
        taken = {op.reads[0] for op in every}
        steps.append(target.fused(graph, item.ops, [v for v in visible if v not in taken], sums))
        steps += [target.fused(graph, again, [], tails) for again, tails in apart]
        summed.update(map(id, every))
    return steps


def _alone(graph: Graph, op: Bound, returned: set[int], readers: dict[int, list[int]], target: Target) -> Step:
    # The instruction of one op.
    outputs = op.node.outputs
    if len(outputs) > 1 and target.skips_unread:
        # The value of an op with residuals has memory even where only a residual is read: its kernel writes it in any case.
        written = op.made if len(op.record.outputs) == 1 else -1
        outputs = tuple([v if v == written or v in returned or v in readers else -1 for v in outputs])
    elif len(op.record.outputs) > 1 and target.skips_unread:
        outputs = tuple([v if v in returned or v in readers else -1 for v in outputs])
    return target.instruction(graph, op, outputs)


def _make_again(graph: Graph, items: Sequence[Bound | _Group]) -> None:
    # What a later group reads of an earlier one, and can make of smaller arrays itself, it makes.
    home: dict[int, _Group] = {}
    for item in items:
        if not isinstance(item, _Group) or (not home and item.kind[0] < MANY):
            continue
        own = {op.made for op in item.ops}
        again: dict[int, Bound] = {}
        read = {v: home[v] for op in item.ops for v in op.reads if v not in own and v in home}
        for v, source in read.items():
            if source.kind == item.kind and graph.specs[v].dtype == item.kind[1]:
                again |= {op.made: op for op in remade(graph, source.ops, v, item.kind[0]) if op.made not in own}
        # In the order of the groups that made them, which is one in which they may run.
        sources = sorted(set(read.values()), key=_position)
        item.ops[:] = _first([made for source in sources for op in source.ops if (made := again.pop(op.made, None))], item.ops)
        if item.kind[0] >= MANY:
            home |= {op.made: item for op in item.ops if op.made not in home}


def _first(again: Sequence[Bound], ops: Sequence[Bound]) -> list[Bound]:
    # What is made again, then a group's own ops; what reads a value of theirs comes right after it, and what an op reads before it.
    makers = {op.made: op for op in (*again, *ops)}
    result: list[Bound] = []

    def run(op: Bound) -> None:
        if makers.pop(op.made, None) is not None:
            for v in op.reads:
                if v in makers:
                    run(makers[v])
            result.append(op)

    for op in (None, *ops):
        if op is not None:
            run(op)
        for other in again:
            if other.made in makers and makers.keys().isdisjoint(other.reads):
                run(other)
    return result


def _position(group: _Group) -> int:
    return group.position


class _Grouping:
    # Items in order of running: single ops and groups. A group runs at the place where it was opened, so an op may join it only if all
    # that it reads from outside is ready before that place.
    def __init__(self, graph: Graph, target: Target) -> None:
        self.graph = graph
        self.target = target
        self.items: list[Bound | _Group] = []
        #: Old values of states, which are read early.
        self.held = {before for _, before, _ in graph.states}
        self.ready: dict[int, int] = {}
        #: The group that makes a value for all to read.
        self.home: dict[int, _Group] = {}
        #: The groups of some kind that read a value, by position.
        self.readers: dict[tuple[int, _Kind], list[_Group]] = {}
        self.latest: dict[_Kind, _Group] = {}
        #: Numbers to spread, arrays to stretch and those to convert: done inside each group that reads them, and in memory only for
        #: readers of another kind. What one of these reads is in memory, never itself still to be spread.
        self.pending: dict[int, Bound] = {}

    def add(self, op: Bound) -> None:
        pending = self.pending
        if op.fills:
            # What it is put into is there from the beginning, so that the group that makes it can do so.
            group = self.home[op.reads[0]]
            group.ops.append(op)
            self.home[op.made] = group
            self.ready[op.made] = group.position
            return
        kind = _kind(self.graph, op, self.target)
        reads = op.reads if -1 not in op.reads else [v for v in op.reads if v >= 0]
        shifts = kind is not None and op.shift >= 0
        if kind is not None and (op.ranges or (shifts and op.reads[0] not in self.held)):
            self.materialize(op.reads[0])
            pending[op.made] = op
            return
        kind = None if shifts else kind
        if kind is None:
            if pending:
                for r in reads:
                    self.materialize(r)
            self.items.append(op)
            for v in op.node.outputs:
                self.ready[v] = len(self.items) - 1
            return
        if op.stretches or (op.converts and self.graph.specs[op.made].dtype == kind[1]):
            # What it stretches or converts is in memory.
            self.materialize(op.reads[0])
            pending[op.made] = op
            return
        if op.spreads:
            # A number that is still to be spread over one element is that number.
            source = pending.get(op.reads[0])
            if source is not None and source.converts:
                self.materialize(op.reads[0])
                source = None
            pending[op.made] = op if source is None else op._replace(reads=source.reads)
            return
        # Ranges of one array are read together.
        sources = [pending[r].reads[0] for r in reads if r in pending and pending[r].shift >= 0] if pending else []
        near = [*reads, *sources] if sources else reads
        group = self._group_for(kind, reads, near)
        if pending:
            for r in reads:
                if r in pending and r not in group.spread:
                    group.ops.append(pending[r])
                    group.spread.add(r)
        group.ops.append(op)
        self.home[op.made] = group
        self.ready[op.made] = group.position
        self.latest[kind] = group
        for r in near:
            known = self.readers.get((r, kind))
            if known is None:
                self.readers[r, kind] = [group]
            elif known[-1].position < group.position:
                known.append(group)
            elif known[-1] is not group:
                at = bisect(known, group.position, key=_position)
                if at == 0 or known[at - 1] is not group:
                    insort(known, group, key=_position)

    def _group_for(self, kind: _Kind, reads: Sequence[int], near: Sequence[int]) -> _Group:
        # The earliest group of that kind that shares a value with the op and starts after all else that the op reads is ready.
        specs, ready = self.graph.specs, self.ready
        # For each value that it reads: where it is ready, and the group that has it in its dtype; what a group writes in another is for
        # others to read.
        pending, home = self.pending, self.home
        places, homes = [], []
        related: dict[int, _Group] = {}
        for v in reads:
            places.append(ready.get(pending[v].reads[0] if v in pending else v, -1))
            group = home.get(v)
            homes.append(group)
            if group is not None and group.kind == kind:
                related[group.position] = group
        # A group that makes none of them starts after all of them: of those that read one, the first such.
        latest = max(places, default=-1)
        for r in near:
            known = self.readers.get((r, kind))
            if known is not None and known[-1].position > latest:
                at = bisect(known, latest, key=_position)
                related[known[at].position] = known[at]
        if kind[0] <= self.target.small and kind in self.latest:
            related[self.latest[kind].position] = self.latest[kind]
        for position, candidate in sorted(related.items()) if len(related) > 1 else related.items():
            if len(candidate.ops) >= self.target.most_in_group:
                continue
            for v, place, maker in zip(reads, places, homes, strict=True):
                if place >= position and not (maker is candidate and specs[v].dtype == kind[1]):
                    break
            else:
                return candidate
        group = _Group(len(self.items), kind)
        self.items.append(group)
        return group

    def materialize(self, value: int) -> None:
        """Put what is still to be spread, stretched or converted into memory."""
        op = self.pending.pop(value, None)
        if op is not None and op.shift >= 0:
            self.items.append(op)
            self.ready[value] = len(self.items) - 1
        elif op is not None:
            group = _Group(len(self.items), (self.graph.specs[value].size, self.graph.specs[value].dtype))
            group.ops.append(op)
            self.items.append(group)
            self.home[value] = group
            self.ready[value] = group.position
