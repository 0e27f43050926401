"""Loops in all lanes of a batch: one loop whose body is that of all lanes. A loop whose length differs runs until all lanes are done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlean.dtypes import FLOATS
from tlean.errors import OptionError
from tlean.ops import OpDef, Spec
from tlean.ops.batching import Call
from tlean.ops.layout import converted

from ..graph import Graph, GraphRef
from .bodies import Loop, part
from .branch import Switch, switch_record
from .scan import Scan, scan_record
from .whiles import While, WhileBack, while_record


def batched_loop(call: Call) -> Sequence[GraphRef]:
    """A call of a loop in all lanes; that of a kind that has no rule here is made once for each lane.

    Outputs that are the same in each lane have no axis of lanes.
    """
    loop: Loop = call.record.loop
    if isinstance(loop, Scan):
        return _scan(call, loop)
    if isinstance(loop, Switch):
        return _chosen(call, loop) if call.batched[0] else _switch(call, loop)
    if isinstance(loop, While):
        return _while(call, loop)
    if call.draws:
        raise OptionError("while_loop: a gradient in lanes that draw random numbers needs max_steps=")
    return list(call.loop())


def seed_places(loop: Loop) -> list[int]:
    """The inputs of a loop that random ops in its bodies draw their seeds from."""
    places: list[int] | None = loop.derived.get("seeds")
    if places is None:
        places = loop.derived["seeds"] = sorted({k for body in loop.bodies for k in _seeds_of(loop, body)})
    return places


def _seeds_of(loop: Loop, body: Graph) -> list[int]:
    # Those of one body.
    count, places = len(body.inputs), list[int | None](range(len(loop.specs)))
    if not isinstance(loop, WhileBack):
        # Its inputs are the last of the loop's.
        places = places[len(places) - count :]
    elif body is loop.bodies[2]:
        places = [*(None for _ in range(count - len(loop.rest))), *loop.rest]
    read = {n.inputs[0] for n in body.nodes if n.record.name == "_loop_seed"}
    read |= {n.inputs[k] for n in body.nodes if n.record.loop is not None for k in seed_places(n.record.loop)}
    return [k for k, v in zip(places, body.inputs, strict=False) if v in read and k is not None]


def _spread(graph: Graph, ref: GraphRef, size: int) -> GraphRef:
    return graph.broadcast_to(ref, (size, *ref.shape))


def _with_lanes(graph: Graph, own: Sequence[bool], wanted: Sequence[bool], size: int) -> Graph:
    # A body whose outputs have lanes where they are wanted to.
    for k, v in enumerate(graph.outputs):
        if wanted[k] and not own[k]:
            graph.outputs[k] = _spread(graph, GraphRef(graph, v), size).id  # type: ignore[arg-type]
    return part(graph, graph.inputs, graph.outputs)  # type: ignore[arg-type]


def _settled(call: Call, body: Graph, carries: int) -> tuple[Graph, list[bool], Sequence[bool]]:
    # The body in all lanes, which of its inputs differ between them, and which of its outputs; a carry that does later does from the start.
    flags = list(call.batched)
    while True:
        made, own = call.through(body, flags)
        carry = [a or b for a, b in zip(flags[:carries], own, strict=False)]
        if carry == flags[:carries]:
            return made, flags, own
        flags[:carries] = carry


def _recorded(call: Call, record: OpDef, inputs: Sequence[GraphRef]) -> list[GraphRef]:
    return [GraphRef(call.ops, v) for v in call.ops._record(record, [r.id for r in inputs], {}, call.name)]


def _turned(graph: Graph, ref: GraphRef) -> GraphRef:
    # Steps and lanes exchanged.
    return graph.permute(ref, (1, 0, *range(2, len(ref.shape))))


def _scan(call: Call, loop: Scan) -> list[GraphRef]:
    ops, n, m = call.ops, loop.carries, loop.xs
    body, flags, own = _settled(call, loop.body, n)
    body = _with_lanes(body, own, [*flags[:n], *own[n:]], call.size)
    inputs = [call.spread(k) if k < n and flag else call.inputs[k] for k, flag in enumerate(flags)]
    inputs = [_turned(ops, x) if n <= k < n + m and call.batched[k] else x for k, x in enumerate(inputs)]
    made = _recorded(call, scan_record(body, n, m, loop.length, loop.reverse, loop.sweep, loop.unroll), inputs)
    return [_turned(ops, y) if k >= n and own[k] else y for k, y in enumerate(made)]


def _switch(call: Call, loop: Switch) -> list[GraphRef]:
    bodies = [call.through(b, call.batched[1:]) for b in loop.bodies]
    wanted = [any(own[k] for _, own in bodies) for k in range(len(loop.outs))]
    record = switch_record([_with_lanes(b, own, wanted, call.size) for b, own in bodies], loop.title)
    return _recorded(call, record, call.inputs)


def _chosen(call: Call, loop: Switch) -> list[GraphRef]:
    # All branches run, and each lane takes those that it chose.
    ops, last = call.ops, len(loop.bodies) - 1
    made: list[GraphRef] = []
    for number, body in enumerate(loop.bodies):
        graph, own = call.through(body, call.batched[1:])
        inputs: list[Any] = list(call.inputs[1:])
        if last:
            compare = ops.less_equal if not number else ops.equal if number < last else ops.greater_equal
            here = compare(call.inputs[0], ops._full(shape=(), value=number, dtype="int64"))
            live = _Live(ops, here)
            inputs = [live.own(x) if b else live.shared(x) for x, b in zip(inputs, call.batched[1:], strict=True)]
        found = ops._inline(graph, inputs, merge=False)
        ys = [y if o else _spread(ops, y, call.size) for y, o in zip(found, own, strict=True)]
        if not number:
            made = ys
            continue
        made = [_where(ops, here, y, old) for y, old in zip(ys, made, strict=True)]
    return made


def _where(ops: Graph, flag: GraphRef, a: GraphRef, b: GraphRef) -> GraphRef:
    # One flag for each lane.
    return ops.where(ops.reshape(flag, (*flag.shape, *(1,) * (len(a.shape) - 1))), a, b)


class _Live:
    # What lanes compute with where some take nothing of it: those compute with the values of the first lane that does. Else their
    # cotangents were 0 times what may be an infinity, and the sum of a shared value's over the lanes NaN.
    def __init__(self, ops: Graph, flag: GraphRef) -> None:
        self.ops, self.flag = ops, flag
        numbers = converted(ops, flag, "float32")
        self.first = ops.argmax(numbers, axis=0)
        self.some = ops.greater(ops.max(numbers, axis=0), ops._full(shape=(), value=0.0, dtype="float32"))

    def own(self, x: GraphRef) -> GraphRef:
        """A value of each lane."""
        ops = self.ops
        if x.dtype not in FLOATS:
            return x
        return _where(ops, self.flag, x, ops.detach(ops.take(x, self.first, axis=0)))

    def shared(self, x: GraphRef) -> GraphRef:
        """A value of all lanes, which has no cotangent where no lane takes anything of it."""
        return self.ops.where(self.some, x, self.ops.detach(x)) if x.dtype in FLOATS else x


def _while(call: Call, loop: While) -> list[GraphRef]:
    n, size = loop.carries, call.size
    body, flags, own = _settled(call, loop.bodies[1], n)
    condition, (differs,) = call.through(loop.bodies[0], flags)
    if differs:
        # The lanes that are done keep their carries.
        flags[:n] = [True] * n
        condition, _ = call.through(loop.bodies[0], flags)
        body, own = call.through(loop.bodies[1], flags)
        specs = [body.specs[v] for v in body.inputs]  # type: ignore[index]
        condition, body = _until_all_are_done(condition, _with_lanes(body, own, [True] * n, size), specs, flags)
    else:
        body = _with_lanes(body, own, flags[:n], size)
        condition = part(condition, condition.inputs, condition.outputs)  # type: ignore[arg-type]
    inputs = [call.spread(k) if k < n and flag else call.inputs[k] for k, flag in enumerate(flags)]
    return _recorded(call, while_record(condition, body, n, loop.most, loop.lengths), inputs)


def _until_all_are_done(condition: Graph, body: Graph, specs: Sequence[Spec], flags: Sequence[bool]) -> tuple[Graph, Graph]:
    some, step = Graph(condition.dtype, merge=False), Graph(body.dtype, merge=False)
    (flag,) = some._inline(condition, [some.arg(s) for s in specs], False)
    some.outputs = [some.any(flag, axis=0).id]
    refs: list[Any] = [step.arg(s) for s in specs]
    goes_on: Any = step._inline(condition, refs, False)[0]
    live = _Live(step, goes_on)
    after = step._inline(body, [live.own(r) if own else r for r, own in zip(refs, flags, strict=True)], False)
    step.outputs = [_where(step, goes_on, new, old).id for new, old in zip(after, refs, strict=False)]  # type: ignore[arg-type]
    return part(some, some.inputs, some.outputs), part(step, step.inputs, step.outputs)  # type: ignore[arg-type]
