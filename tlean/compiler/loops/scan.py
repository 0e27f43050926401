"""`scan` as an op: a body that runs a known number of times, with what it carries from step to step.

The body's inputs are the carries, a step of each stacked input, and the invariants; its outputs are the new carries, and a step of each
stacked output. The op's inputs are the first carries, the stacked inputs and the invariants; its outputs the last carries and the stacked
outputs. Its derivatives are scans again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tlean.dtypes import FLOATS
from tlean.ops import OpDef, Spec

from ..derive import forward, reverse
from ..graph import Graph, GraphNode, GraphRef, replay
from ..passes.windows import boxes_of
from ..target import Target
from .bodies import NO_TOTALS, Loop, counts_up, in_states, moving, or_zeros, part, record_of, replaced, split, superseded, writer_of
from .products import gradient_terms

#: How a carry goes on: the loop counts it up; a part of it is written, in its one buffer; it never changes; in two buffers that swap.
COUNTED, WRITTEN, HELD, BUFFERED = -4, -3, -2, -1

#: What the sweep of a step has: values that are stored; these, and sums that go on within the step; such sums, and nothing but what the
#: step was given, of which it computes the rest again.
STORED, TOTALS, AGAIN = 0, 1, 2


def scan_record(body: Graph, carries: int, xs: int, length: int, reverse: bool, sweep: int = STORED, unroll: int = 1) -> OpDef:
    """The record of a scan.

    Args:
        body: its program.
        carries, xs: how many of the body's inputs are carries, and how many steps of stacked inputs; the others are invariants.
        length: how often it runs.
        reverse: from the last step to the first.
        sweep: STORED, TOTALS or AGAIN.
        unroll: how many steps a turn of the plan's loop has; where that does not divide the length, the next smaller number that does.
    """
    unroll = next(k for k in range(min(unroll, max(length, 1)), 0, -1) if length % k == 0)
    kind = ("scan", carries, xs, length, reverse, *((sweep, unroll) if sweep or unroll > 1 else ()))
    return record_of(kind, (body,), lambda: Scan(body, carries, xs, length, reverse, sweep, unroll))


def _sets_box(node: GraphNode) -> bool:
    return node.record.kernel == "set_box"


def _stacked(length: int, spec: Spec) -> Spec:
    return Spec((length, *spec.shape), spec.dtype)


class Scan(Loop):
    """A scan; see `scan_record`."""

    carries: int
    xs: int
    length: int
    reverse: bool
    sweep: int
    unroll: int

    def __init__(self, body: Graph, carries: int, xs: int, length: int, reverse: bool, sweep: int = STORED, unroll: int = 1) -> None:
        self.carries, self.xs, self.length, self.reverse, self.sweep, self.unroll = carries, xs, length, reverse, sweep, unroll
        ins, outs = ([body.specs[v] for v in values] for values in (body.inputs, body.outputs))  # type: ignore[index]
        specs = [*ins[:carries], *(_stacked(length, s) for s in ins[carries : carries + xs]), *ins[carries + xs :]]
        super().__init__("scan", (body,), specs, [*outs[:carries], *(_stacked(length, s) for s in outs[carries:])])
        self.adds_from: int = carries + xs
        self._turn: Graph | None = None

    @property
    def body(self) -> Graph:
        """Its program."""
        return self.bodies[0]

    def flops(self) -> float:
        return self.length * super().flops()

    def calls(self) -> float:
        return self.length * super().calls()

    def programs(self, target: Target | None = None) -> list[Graph]:
        body, n, ways = self.turn(), self.carries, self.ways(target)
        made = [v for v, way in zip(body.outputs, ways, strict=False) if way == BUFFERED]
        return [in_states(body, [k for k in range(n) if ways[k] == WRITTEN], [*made, *body.outputs[n:]])]

    def turn(self) -> Graph:
        """The steps of a turn as one program: its inputs are the carries, the stacked inputs of each step, and the invariants; its outputs
        the new carries, and the stacked outputs of each step.
        """
        if self.unroll == 1:
            return self.body
        if self._turn is None:
            body, n, m = self.body, self.carries, self.xs
            graph = Graph(body.dtype)
            specs = [body.specs[v] for v in body.inputs]  # type: ignore[index]
            carry: list[Any] = [graph.arg(s) for s in specs[:n]]
            steps = [[graph.arg(s) for s in specs[n : n + m]] for _ in range(self.unroll)]
            rest = [graph.arg(s) for s in specs[n + m :]]
            ys: list[Any] = []
            for xs in steps:
                made = graph._inline(body, [*carry, *xs, *rest])
                carry = made[:n]
                ys += made[n:]
            self._turn = part(graph, graph.inputs, [r.id for r in (*carry, *ys)])  # type: ignore[arg-type]
        return self._turn

    def ways(self, target: Target | None = None) -> list[int]:
        """How each carry goes on: COUNTED, WRITTEN, HELD, BUFFERED, or the number of the stacked output that it is.

        Args:
            target: what runs it; by default one that neither counts steps up nor has groups that write boxes.
        """
        body, n = self.turn(), self.carries
        stacked = {v: j for j, v in reversed(list(enumerate(body.outputs[n:])))}
        ways = [HELD if a == b else stacked.get(b, BUFFERED) for a, b in zip(body.inputs[:n], body.outputs, strict=False)]
        # What is written by a group that reads windows of the old value needs another buffer.
        boxes = boxes_of(body, target) if target is not None and target.shifts and any(map(_sets_box, body.nodes)) else {}
        written = {k for k in range(n) if writer_of(body, k) is not None and body.outputs[k] not in boxes}
        ways = [WRITTEN if way == BUFFERED and k in written else way for k, way in enumerate(ways)]
        counts = target is not None and target.counts
        counted = next((k for k in range(n) if ways[k] == BUFFERED and counts_up(body, k)), None) if counts else None
        return [COUNTED if k == counted else way for k, way in enumerate(ways)]

    def decompose(self, ops: Any, *inputs: Any) -> Any:
        n, xs = self.carries, self.xs
        carry, steps, rest = list(inputs[:n]), inputs[n : n + xs], inputs[n + xs :]
        stacks: list[dict[int, Any]] = [{} for _ in self.outs[n:]]
        for i in reversed(range(self.length)) if self.reverse else range(self.length):
            made = replay(self.body, ops, [*carry, *(_step(ops, x, i) for x in steps), *rest])
            carry = made[:n]
            for stack, y in zip(stacks, made[n:], strict=True):
                stack[i] = ops.reshape(y, shape=(1, *y.shape))
        ys = [
            ops.concat([stack[i] for i in range(self.length)], axis=0) if stack else ops._full(shape=out.shape, value=0.0, dtype=out.dtype)
            for stack, out in zip(stacks, self.outs[n:], strict=True)
        ]
        return (*carry, *ys)

    # Reverse mode ---------------------------------------------------------------------------------------------------------

    def pulled(
        self,
        graph: Graph,
        node: GraphNode,
        gs: Sequence[GraphRef | None],
        needs: Sequence[bool],
        totals: Mapping[int, GraphRef] = NO_TOTALS,
    ) -> Sequence[GraphRef | None]:
        key = ("pulled", tuple(needs), tuple(g is not None for g in gs))
        back = self.derived.get(key)
        if back is None:
            back = self.derived[key] = Back(self, needs, key[2])
        if back.more:
            fresh = [graph._value(s).id for s in back.more]
            node = replaced(graph, node, back.record, (*node.outputs, *fresh))
        return back.applied(graph, node, gs, totals)

    # Forward mode ---------------------------------------------------------------------------------------------------------

    def pushed(self, graph: Graph, node: GraphNode, ts: Sequence[GraphRef | None]) -> Sequence[GraphRef | None]:
        key = ("pushed", tuple(t is not None for t in ts))
        ahead = self.derived.get(key)
        if ahead is None:
            ahead = self.derived[key] = Ahead(self, key[1])
        return ahead.applied(graph, node, ts)


def _step(ops: Any, x: Any, i: int) -> Any:
    # Step i of a stacked input.
    rest = tuple(x.shape[1:])
    taken = ops.slice(x, starts=(i, *[0] * len(rest)), stops=(i + 1, *rest))
    return ops.reshape(taken, shape=rest)


def _carried(body: Graph, carries: int, sources: Sequence[int | None]) -> list[int]:
    # The carries that depend on these values of the body, at whatever step, through float values.
    outs: Any = body.outputs
    found = {k for k in range(carries) if body.inputs[k] in sources}
    while True:
        active = set(sources) | {body.inputs[k] for k in found}
        for node in body.nodes:
            if node.record.differentiable and active.intersection(i for i in node.inputs if i is not None):
                active.update(v for v in node.outputs if body.specs[v].dtype in FLOATS)
        more = {k for k in range(carries) if outs[k] in active and body.specs[outs[k]].dtype in FLOATS}
        if more <= found:
            return sorted(found)
        found |= more


class Back:
    """The scan of a vector-Jacobian product: how the node that it is of is to keep more, and how the product is put together.

    Args:
        scan: the loop.
        needs: which inputs' cotangents are wanted.
        present: which outputs have one.
        stacks: whether factors of an invariant's gradient may be stacked, so that one product replaces the sum over the steps.
    """

    def __init__(self, scan: Scan, needs: Sequence[bool], present: Sequence[bool], stacks: bool = True) -> None:
        body, n, xs = scan.body, scan.carries, scan.xs
        # Every input and output of a body is there.
        ins: Any = body.inputs
        outs: Any = body.outputs
        self.scan = scan
        g: Any = body._copy()
        g.merge = False
        ahead = list(g.nodes)
        #: The carries that have cotangents, and the inputs beside carries whose cotangents are wanted.
        self.active: list[int] = _carried(body, n, [v for v, need in zip(ins, needs, strict=True) if need])
        self.steps: list[int] = [k for k in range(n, n + xs) if needs[k]]
        self.sums: list[int] = [k for k in range(n + xs, len(ins)) if needs[k]]
        self.given: list[int] = [j for j in range(n, len(outs)) if present[j]]
        cts = [g.arg(body.specs[outs[k]]) for k in self.active]
        ys = [g.arg(body.specs[outs[j]]) for j in self.given]
        seeds = [(GraphRef(g, outs[k]), ct) for k, ct in zip((*self.active, *self.given), (*cts, *ys), strict=True)]
        wrt = [GraphRef(g, ins[k]) for k in (*self.active, *self.steps, *self.sums)]
        again = scan.sweep == AGAIN
        # The sums of inner loops go on from those of the steps before.
        onward = [g.arg(body.specs[ins[k]]) for k in self.sums] if scan.sweep != STORED else []
        seeds += [(GraphRef(g, ins[k]), total) for k, total in zip(self.sums, onward, strict=False)]
        found = reverse(g, seeds, wrt, ahead, totals=bool(onward))
        a = len(self.active)
        made = [or_zeros(g, r, w.spec).id for r, w in zip(found[: a + len(self.steps)], wrt, strict=False)]
        variable = moving(g, g.nodes, [*ins[: n + xs], *(r.id for r in (*cts, *ys))])
        #: The gradients of invariants: products of what is stacked, and what each step adds to.
        sums = found[a + len(self.steps) :]
        factors: list[Any] = [(r, []) if onward else gradient_terms(g, r, variable if stacks else ()) for r in sums]
        self.added: list[int] = [t for t, (rest, _) in enumerate(factors) if rest is not None]
        totals = onward or [g.arg(body.specs[ins[self.sums[t]]]) for t in self.added]
        added = [(factors[t][0] if onward else g.add(total, factors[t][0])).id for total, t in zip(totals, self.added, strict=True)]
        own = [r.id for r in (*cts, *totals, *ys)]
        late = moving(g, g.nodes, own)
        steady = set(g.constants) | set(ins[n + xs :])
        variable = moving(g, g.nodes, [*ins[: n + xs], *own])
        fixed = {v for v in range(len(g.specs)) if v not in variable and (v in steady or v not in ins)}
        operands = list(dict.fromkeys(v for _, products in factors for p in products for v in (p.left, p.right)))
        made += [v for v in operands if v in late and v not in {r.id for r in ys} and v not in made[a:]]
        outputs = [*made[:a], *added, *made[a:]]
        nodes, kept = split(g, outputs, late, fixed, own, again)
        numbers = {v: k for k, v in enumerate(ins)}
        fixed_kept = [v for v in kept if numbers.get(v, -1) >= n + xs]
        self.rest: list[int] = [numbers[v] for v in fixed_kept]
        #: What the sweep reads of each step: stacked inputs of the scan, and values that it stacks.
        moved = [v for v in kept if v not in fixed_kept]
        have = {v: j for j, v in reversed(list(enumerate(outs))) if j >= n}
        stacked = [*moved, *(v for v in operands if v not in late and v not in moved)]
        fresh = [v for v in stacked if v not in have and not n <= numbers.get(v, -1) < n + xs]
        places = {**have, **{v: len(outs) + k for k, v in enumerate(fresh)}}
        #: Where stacks are: of inputs of the node, of its outputs, of cotangents, and of outputs of the sweep.
        self.where: dict[int, tuple[str, int]] = {v: ("output", k) for v, k in places.items()}
        self.where |= {v: ("input", k) for v, k in numbers.items() if n <= k < n + xs}
        self.where |= {r.id: ("cotangent", j) for r, j in zip(ys, self.given, strict=True)}
        self.where |= {v: ("sweep", a + len(totals) + k) for k, v in reversed(list(enumerate(made[a:])))}
        self.moved = moved
        self.products: list[Any] = [products for _, products in factors]
        # A step that is computed again keeps what it was given, and runs as it was.
        grown = part(body if again else g, ins, [*outs, *fresh])
        self.record: OpDef = scan_record(grown, n, xs, scan.length, scan.reverse, scan.sweep, scan.unroll)
        self.more: list[Spec] = [_stacked(scan.length, g.specs[v]) for v in fresh]
        swept = part(g, [*own, *moved, *fixed_kept], outputs, nodes)
        self.back: OpDef = scan_record(swept, a + len(totals), len(ys) + len(moved), scan.length, not scan.reverse, scan.sweep, scan.unroll)

    def applied(
        self, graph: Graph, node: GraphNode, gs: Sequence[GraphRef | None], totals: Mapping[int, GraphRef]
    ) -> list[GraphRef | None]:
        """Append the product; returns a cotangent for each input, or None.

        Args:
            graph: where.
            node: the loop's, which makes what the sweep reads.
            gs: a cotangent for each output, or None.
            totals: by input, what sums over the steps go on from.
        """

        def stack(v: int) -> Any:
            kind, k = self.where[v]
            if kind == "cotangent":
                return gs[k]
            return GraphRef(graph, {"input": node.inputs, "output": node.outputs, "sweep": made}[kind][k])  # type: ignore[arg-type, index]

        made: Sequence[int] = ()
        firsts: list[Any] = [or_zeros(graph, gs[k], self.scan.outs[k]) for k in self.active]
        firsts += [or_zeros(graph, totals.get(self.sums[t]), self.scan.specs[self.sums[t]]) for t in self.added]
        rest = [node.inputs[k] for k in self.rest]
        inputs = [r.id for r in (*firsts, *(gs[j] for j in self.given), *map(stack, self.moved))]  # type: ignore[union-attr]
        result: list[GraphRef | None] = [None] * len(node.inputs)
        if not self.back.loop.outs:
            return result
        made = graph._record(self.back, [*inputs, *rest], {})
        a = len(self.active)
        for k, v in zip(self.active, made, strict=False):
            result[k] = GraphRef(graph, v)
        for k, v in zip(self.steps, made[a + len(self.added) :], strict=False):
            result[k] = GraphRef(graph, v)
        sums = dict(zip(self.added, made[a:], strict=False))
        for t, products in enumerate(self.products):
            total = GraphRef(graph, sums[t]) if t in sums else totals.get(self.sums[t])
            for p in products:
                one = p.applied(graph, stack, self.scan.specs[self.sums[t]].shape)
                total = one if total is None else graph.add(total, one)
            result[self.sums[t]] = total
        return result


class Ahead:
    """The scan of a Jacobian-vector product: it computes values and tangents together."""

    def __init__(self, scan: Scan, present: Sequence[bool]) -> None:
        body, n, xs = scan.body, scan.carries, scan.xs
        self.scan = scan
        self.moved: list[int] = [k for k in range(n, len(body.inputs)) if present[k]]
        active = {k for k in range(n) if present[k]}
        while True:
            g = body._copy()
            g.merge = False
            nodes = list(g.nodes)
            order = [*sorted(active), *self.moved]
            ts = [g.arg(body.specs[body.inputs[k]]) for k in order]  # type: ignore[index]
            seeds = [(GraphRef(g, body.inputs[k]), t) for k, t in zip(order, ts, strict=True)]  # type: ignore[arg-type]
            outs = [GraphRef(g, v) for v in body.outputs]  # type: ignore[arg-type]
            found = forward(g, seeds, outs, nodes)  # type: ignore[arg-type]
            more = {k for k in range(n) if found[k] is not None}
            if more <= active:
                break
            active |= more
        self.active: list[int] = sorted(active)
        self.made: list[int] = [j for j in range(n, len(outs)) if found[j] is not None]
        tangents = [or_zeros(g, found[k], outs[k].spec).id for k in self.active]
        values = dict(zip(order, (t.id for t in ts if t is not None), strict=True))
        inputs = [*body.inputs[:n], *(values[k] for k in self.active)]
        inputs += [*body.inputs[n : n + xs], *(values[k] for k in self.moved if k < n + xs)]
        inputs += [*body.inputs[n + xs :], *(values[k] for k in self.moved if k >= n + xs)]
        outputs = [*body.outputs[:n], *tangents, *body.outputs[n:], *(found[j].id for j in self.made)]  # type: ignore[union-attr]
        joint = part(g, inputs, outputs)  # type: ignore[arg-type]
        a, s = len(self.active), sum(k < n + xs for k in self.moved)
        self.record: OpDef = scan_record(joint, n + a, xs + s, scan.length, scan.reverse, scan.sweep, scan.unroll)

    def applied(self, graph: Graph, node: GraphNode, ts: Sequence[GraphRef | None]) -> list[GraphRef | None]:
        scan = self.scan
        n, xs, outs = scan.carries, scan.xs, len(scan.outs)
        if not self.active and not self.made:
            return [None] * outs
        firsts = [or_zeros(graph, ts[k], scan.specs[k]).id for k in self.active]
        ids = {k: ts[k].id for k in self.moved}  # type: ignore[union-attr]
        inputs = [*node.inputs[:n], *firsts, *node.inputs[n : n + xs], *(ids[k] for k in self.moved if k < n + xs)]
        inputs += [*node.inputs[n + xs :], *(ids[k] for k in self.moved if k >= n + xs)]
        made = list(graph._record(self.record, inputs, {}))
        a = len(self.active)
        places = {**{k: made[n + t] for t, k in enumerate(self.active)}, **{j: made[outs + a + t] for t, j in enumerate(self.made)}}
        superseded(graph, node, made, [*range(n), *range(n + a, outs + a)])
        return [GraphRef(graph, places[j]) if j in places else None for j in range(outs)]
