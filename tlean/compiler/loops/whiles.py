"""`while_loop` as an op: a body that runs as long as a condition holds.

Both bodies' inputs are the carries and the invariants, which are the op's inputs too; its outputs are the last carries. Its tangents are a
loop again. Its way back is one op, `WhileBack`, which runs the loop once more and keeps what the sweep reads in a store that grows; or,
where the most steps are known, it is that of a scan of so many steps, which is differentiated to any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlean._core.array import as_tensor
from tlean.errors import OptionError
from tlean.ops import OpDef, Spec
from tlean.ops.layout import converted

from ..graph import Graph, GraphNode, GraphRef, replay
from ..target import Target
from .blocks import Blocks
from .bodies import NO_TOTALS, Loop, or_zeros, part, record_of, superseded, with_states, zeros
from .branch import switch_record
from .scan import Ahead, Back, Scan

#: What a loop of unknown length is taken to be: one that other threads need not wait for.
_STEPS = 10_000


def while_record(condition: Graph, body: Graph, carries: int, most: int | None, lengths: tuple[int, ...] = ()) -> OpDef:
    """The record of a loop.

    Args:
        condition, body: its programs, of the same inputs.
        carries: how many of these are carries.
        most: the most steps, or None.
        lengths: of the blocks that its way back runs again (`block_lengths`); by default it stores every step.
    """
    kind = ("while", carries, most, *((lengths,) if len(lengths) > 1 else ()))
    return record_of(kind, (condition, body), lambda: While(condition, body, carries, most, lengths))


class While(Loop):
    """A loop; see `while_record`."""

    carries: int
    most: int | None
    lengths: tuple[int, ...] | tuple[int]

    def __init__(self, condition: Graph, body: Graph, carries: int, most: int | None, lengths: tuple[int, ...] = ()) -> None:
        self.carries, self.most, self.lengths = carries, most, lengths or (most or 0,)
        ins = [body.specs[v] for v in body.inputs]  # type: ignore[index]
        super().__init__("while_loop", (condition, body), ins, ins[:carries])

    def calls(self) -> float:
        return _STEPS * super().calls()

    def programs(self, target: Target | None = None) -> list[Graph]:
        """The condition, and the body with the carries as states."""
        condition, body = self.bodies
        return [part(condition, condition.inputs, condition.outputs), with_states(body, self.carries)]  # type: ignore[arg-type]

    def decompose(self, ops: Any, *inputs: Any) -> Any:
        carry, rest = list(inputs[: self.carries]), inputs[self.carries :]
        steps = 0
        while steps != self.most:
            (flag,) = replay(self.bodies[0], ops, [*carry, *rest])
            value = getattr(flag, "value", None)
            if value is None:
                raise OptionError("while_loop: a recorded program loops when it runs")
            if not value:
                break
            carry = replay(self.bodies[1], ops, [*carry, *rest])
            steps += 1
        return tuple(carry) if len(carry) > 1 else carry[0]

    def _one_step(self) -> Scan:
        # The body as that of a scan, for what its derivatives have in common.
        return Scan(self.bodies[1], self.carries, 0, 1, False)

    def pulled(
        self,
        graph: Graph,
        node: GraphNode,
        gs: Sequence[GraphRef | None],
        needs: Sequence[bool],
        totals: Mapping[int, GraphRef] = NO_TOTALS,
    ) -> Sequence[GraphRef | None]:
        if self.most is not None:
            return self._pulled_as_scan(graph, node, gs, needs)
        key = ("pulled", tuple(needs))
        made = self.derived.get(key)
        if made is None:
            back = Back(self._one_step(), needs, [g is not None for g in gs], stacks=False)
            made = self.derived[key] = back, back_record(self, back)
        back, record = made
        result: list[GraphRef | None] = [None] * len(node.inputs)
        if back.active or back.added:
            firsts = [or_zeros(graph, gs[k], self.outs[k]) for k in back.active]
            sums = [back.sums[t] for t in back.added]
            firsts += [zeros(graph, self.specs[k]) for k in sums]
            values = graph._record(record, [*node.inputs, *(r.id for r in firsts)], {})
            for k, v in zip((*back.active, *sums), values, strict=True):
                result[k] = GraphRef(graph, v)
        return result

    def _pulled_as_scan(
        self, graph: Graph, node: GraphNode, gs: Sequence[GraphRef | None], needs: Sequence[bool]
    ) -> Sequence[GraphRef | None]:
        n = self.carries
        scan = self.derived.get("scan")
        if scan is None:
            scan = self.derived["scan"] = self._as_scan()
        refs = [GraphRef(graph, v) for v in node.inputs]  # type: ignore[arg-type]
        (begins,) = graph._inline(self.bodies[0], refs)
        flag = converted(graph, begins, "int64")
        record, inputs = scan, (*node.inputs[:n], flag.id, *node.inputs[n:])
        ended = graph._value(flag.spec).id
        at = next(k for k, m in enumerate(graph.nodes) if m is node)
        # The first condition, which was recorded last, comes before the loop.
        again = GraphNode(record, inputs, (*node.outputs, ended), {}, node.name)
        fresh = [m for m in graph._needed([flag.id]) if m not in graph.nodes[:at]]
        graph.nodes = [*graph.nodes[:at], *fresh, again, *(m for m in graph.nodes[at + 1 :] if m not in fresh)]
        wanted = (*needs[:n], False, *needs[n:])
        found = list(record.loop.pulled(graph, again, [*gs, None], wanted))
        del found[n]
        return found

    def _as_scan(self) -> OpDef:
        # So many steps that go on as long as a carry, the condition as a number, is 1.
        condition, body = self.bodies
        n = self.carries
        g = Graph(body.dtype, merge=False)
        specs = [body.specs[v] for v in body.inputs]  # type: ignore[index]
        carry = [g.arg(s) for s in specs[:n]]
        flag = g.arg(Spec((), "int64"))
        rest = [g.arg(s) for s in specs[n:]]
        refs = [*carry, *rest]
        branches = []
        for goes_on in (False, True):
            b = Graph(body.dtype, merge=False)
            args = [b.arg(s) for s in specs]
            after = b._inline(body, args, False) if goes_on else args[:n]
            number = (
                converted(b, b._inline(condition, [*after, *args[n:]], False)[0], "int64")
                if goes_on
                else b._constant(as_tensor(0, "int64"))
            )
            b.outputs = [r.id for r in (*after, number)]  # type: ignore[union-attr]
            branches.append(part(b, b.inputs, b.outputs))  # type: ignore[arg-type]
        made = g._record(switch_record(branches), [flag.id, *(r.id for r in refs)], {})  # type: ignore[union-attr]
        whole = part(g, [r.id for r in (*carry, flag, *rest)], made)  # type: ignore[union-attr]
        return Blocks(whole, n + 1, 0, self.most or 0, False, self.lengths).record

    def pushed(self, graph: Graph, node: GraphNode, ts: Sequence[GraphRef | None]) -> Sequence[GraphRef | None]:
        key = ("pushed", tuple(t is not None for t in ts))
        made = self.derived.get(key)
        n = self.carries
        if made is None:
            ahead = Ahead(self._one_step(), key[1])
            made = self.derived[key] = ahead, self._with_tangents(ahead)
        ahead, record = made
        if not ahead.active:
            return [None] * n
        firsts = [or_zeros(graph, ts[k], self.specs[k]).id for k in ahead.active]
        moved = [ts[k].id for k in ahead.moved]  # type: ignore[union-attr]
        values = list(graph._record(record, [*node.inputs[:n], *firsts, *node.inputs[n:], *moved], {}))
        superseded(graph, node, values, range(n))
        tangents = dict(zip(ahead.active, values[n:], strict=True))
        return [GraphRef(graph, tangents[j]) if j in tangents else None for j in range(n)]

    def _with_tangents(self, ahead: Ahead) -> OpDef:
        condition, n = self.bodies[0], self.carries
        joint = ahead.record.loop.body
        c = condition._copy()
        tangents = [c.arg(condition.specs[condition.inputs[k]]).id for k in (*ahead.active, *ahead.moved)]  # type: ignore[index, union-attr]
        a = len(ahead.active)
        inputs = [*condition.inputs[:n], *tangents[:a], *condition.inputs[n:], *tangents[a:]]
        return while_record(part(c, inputs, condition.outputs), joint, n + a, self.most, self.lengths)  # type: ignore[arg-type]


def back_record(loop: While, back: Back) -> OpDef:
    """The record of the way back through a loop."""
    bodies = (loop.bodies[0], back.record.loop.body, back.back.loop.body)
    return record_of(("while back", loop.carries, tuple(back.rest)), bodies, lambda: WhileBack(loop, bodies, back))


class WhileBack(Loop):
    """The way back through a loop. Its inputs are the loop's, the cotangents of the carries that have one, and the sums to add to; its
    outputs are these at the end. Its bodies are the condition, the loop's body with what it keeps, and the sweep.
    """

    carries: int
    rest: list[int]

    def __init__(self, loop: While, bodies: Sequence[Graph], back: Back) -> None:
        self.carries, self.rest = loop.carries, list(back.rest)
        sweep = bodies[2]
        self.swept: int = len(back.active) + len(back.added)
        swept = [sweep.specs[v] for v in sweep.inputs[: self.swept]]  # type: ignore[index]
        super().__init__("while_loop", bodies, [*loop.specs, *swept], swept)

    def calls(self) -> float:
        return _STEPS * super().calls()

    def programs(self, target: Target | None = None) -> list[Graph]:
        condition, body, sweep = self.bodies
        first = part(condition, condition.inputs, condition.outputs)  # type: ignore[arg-type]
        return [first, with_states(body, self.carries), with_states(sweep, self.swept)]

    def decompose(self, ops: Any, *inputs: Any) -> Any:
        n = len(self.bodies[0].inputs)
        carry, rest, swept = list(inputs[: self.carries]), inputs[self.carries : n], list(inputs[n:])
        store = []
        while bool(replay(self.bodies[0], ops, [*carry, *rest])[0].value):  # type: ignore[attr-defined]
            made = replay(self.bodies[1], ops, [*carry, *rest])
            carry = made[: self.carries]
            store.append(made[self.carries :])
        for kept in reversed(store):
            swept = replay(self.bodies[2], ops, [*swept, *kept, *(inputs[k] for k in self.rest)])
        return tuple(swept) if len(swept) > 1 else swept[0]

    def pulled(self, graph: Graph, node: GraphNode, gs: Any, needs: Any, totals: Any = NO_TOTALS) -> Any:
        raise _no_second_order()

    def pushed(self, graph: Graph, node: GraphNode, ts: Any) -> Any:
        raise _no_second_order()


def _no_second_order() -> OptionError:
    return OptionError("while_loop: the gradient of a loop of unknown length has no further derivative; pass max_steps=")
