"""Programs as ops with rules for their derivatives: functions with custom derivatives, roots of equations.

Such an op is one node until derivatives are taken and examples are mapped; what is left of it then becomes the nodes of its program.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from tlean.caching import Cache
from tlean.dtypes import FLOATS, INTEGERS
from tlean.ops import OpDef, Spec
from tlean.ops.batching import Call
from tlean.ops.registry import Rules

from .batch import batched_graph
from .derive import jvp_graph
from .graph import Graph, GraphRef, replay
from .loops.bodies import Loop

_Refs = Sequence[GraphRef | None]
#: `rule(graph, moves, ys, xs)`: cotangents of the inputs from those of the outputs, or tangents of the outputs from those of the inputs.
Rule = Callable[[Graph, _Refs, Sequence[GraphRef], Sequence[GraphRef]], Sequence[Any]]

_made = itertools.count()
_LANES = Cache(64)


class Ruled:
    """A program as an op with its own rules; `record` is the op.

    Args:
        title: shown in printed programs and messages.
        body: the program.
        vjp: gives a cotangent for each input, None, or an error to raise where that cotangent is wanted.
        jvp: gives a tangent for each output, or None.
    """

    title: str
    body: Graph
    vjp: Rule
    jvp: Rule

    def __init__(self, title: str, body: Graph, vjp: Rule, jvp: Rule) -> None:
        self.title, self.body, self.vjp, self.jvp = title, body, vjp, jvp
        self.specs: list[Spec] = [body.specs[v] for v in body.inputs]  # type: ignore[index]
        self.outs: list[Spec] = [body.specs[v] for v in body.outputs]  # type: ignore[index]
        names = {f"x{k}": s.dtype for k, s in enumerate(self.specs)}
        self.record: OpDef = OpDef(
            name=f"{title}@{next(_made)}",
            inputs=tuple(names),
            options_names=(),
            rules=Rules(f"A {title}.", shape=self._shape, decompose=self._parts, vjp=self._pull, jvp=self._push, batch=self._batch),
            dtypes={n: d for n, d in names.items() if d in (*FLOATS, *INTEGERS)},
            outputs=tuple([f"y{k}" for k in range(len(self.outs))]),
            kernel="",
            out_dtype=self.outs[0].dtype,
            effects=any(n.record.effects for n in body.nodes),
        )
        self._tape = Loop(title, (), self.specs, self.outs)

    def __call__(self, ops: Any, inputs: Sequence[Any]) -> list[Any]:
        """The op on any backend: its outputs, several even where a node has one value.

        Args:
            ops: the backend.
            inputs: references of it.
        """
        if len(self.outs) > 1 and not isinstance(ops, Graph):
            return list(self._tape.on_tape(ops, self.record, tuple(inputs)))
        made = ops.apply(self.record, tuple(inputs), {})
        return list(made) if len(self.outs) > 1 else [made]

    def _shape(self, *xs: Any) -> Any:
        return list(self.outs) if len(self.outs) > 1 else self.outs[0]

    def _parts(self, ops: Any, *xs: Any) -> Any:
        made = ops._inline(self.body, xs) if isinstance(ops, Graph) else replay(self.body, ops, xs)
        return tuple(made) if len(made) > 1 else made[0]

    def _pull(self, graph: Graph, g: Any, y: Any, *xs: Any) -> Sequence[Any]:
        return self.vjp(graph, g if len(self.outs) > 1 else (g,), y if len(self.outs) > 1 else (y,), xs)

    def _push(self, ops: Any, t: Any, y: Any, *xs: Any) -> Sequence[Any]:
        ys = y if len(self.outs) > 1 else (y,)
        if isinstance(ops, Graph):
            return self.jvp(ops, t, ys, xs)
        rule = jvp_graph(self.record, self.specs, {}, self.body.dtype, tuple(x is not None for x in t))
        return replay(rule, ops, [*t, *ys, *xs])

    # All lanes of a batch ---------------------------------------------------------------------------------------------------

    def _batch(self, call: Call) -> Sequence[GraphRef]:
        key = (call.batched, call.size)
        lanes = self.record.kept("lanes", _LANES).make(key, lambda: self._in_lanes(*key))
        return lanes(call.ops, call.inputs)  # type: ignore[no-any-return]

    def _in_lanes(self, flags: Sequence[bool], size: int) -> Ruled:
        # The op of all lanes, whose rules are those of one lane, batched.
        def batched(graph: Graph, inner: Graph, made: Sequence[Any], given: _Refs, own: Sequence[bool]) -> list[tuple[Any, bool]]:
            # What a rule has made in `inner` for one lane, recorded for all of them; and whether it differs between them.
            places = [k for k, r in enumerate(made) if isinstance(r, GraphRef)]
            inner.outputs = [made[k].id for k in places]
            whole, differs = batched_graph(inner.prune(effects=False), own, size, draws=False)
            result = [(r, False) for r in made]
            for k, r, d in zip(places, graph._inline(whole, given), differs, strict=True):
                result[k] = r, d
            return result

        def vjp(graph: Graph, gs: _Refs, ys: Sequence[GraphRef], xs: Sequence[GraphRef]) -> Sequence[Any]:
            inner = Graph(graph.dtype)
            mine = [inner.arg(None if g is None else out) for g, out in zip(gs, self.outs, strict=True)]
            own, ins = [inner.arg(s) for s in self.outs], [inner.arg(s) for s in self.specs]
            made = self.vjp(inner, mine, own, ins)  # type: ignore[arg-type]
            lanes = (*[True] * (len(gs) + len(ys)), *flags)
            result = []
            for (r, differs), lane in zip(batched(graph, inner, made, [*gs, *ys, *xs], lanes), flags, strict=True):
                if isinstance(r, GraphRef) and not differs:
                    r = graph.broadcast_to(r, (size, *r.shape))
                result.append(graph.sum(r, axis=0) if isinstance(r, GraphRef) and not lane else r)
            return result

        def jvp(graph: Graph, ts: _Refs, ys: Sequence[GraphRef], xs: Sequence[GraphRef]) -> Sequence[Any]:
            inner = Graph(graph.dtype)
            mine = [inner.arg(None if t is None else s) for t, s in zip(ts, self.specs, strict=True)]
            own, ins = [inner.arg(s) for s in self.outs], [inner.arg(s) for s in self.specs]
            made = self.jvp(inner, mine, own, ins)  # type: ignore[arg-type]
            found = batched(graph, inner, made, [*ts, *ys, *xs], (*flags, *[True] * len(ys), *flags))
            return [graph.broadcast_to(r, (size, *r.shape)) if r is not None and not d else r for r, d in found]

        body, own = batched_graph(self.body, flags, size, draws=False)
        for k, (v, differs) in enumerate(zip(body.outputs, own, strict=True)):
            if not differs:
                ref = GraphRef(body, v)  # type: ignore[arg-type]
                body.outputs[k] = body.broadcast_to(ref, (size, *ref.shape)).id
        return Ruled(self.title, body.prune(), vjp, jvp)
