"""Derivatives of ops and of graphs, as graphs.

The rule of an op is traced once per (shapes, dtype, options): `vjp_graph` and `jvp_graph` return small graphs, which the eager tape lowers
to plans and which graph differentiation inlines. Both use the same nodes in the same order: so eager and compiled agree bit for bit.

An op without its own rule gets one by differentiating its `decompose`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean._core.eager.instance import options_key
from tlean.caching import Cache
from tlean.dtypes import FLOATS
from tlean.errors import OptionError
from tlean.ops import OpDef, Spec, get
from tlean.ops.layout import converted

from .graph import Graph, GraphNode, GraphRef, Origin
from .signature import in_parts
from .template import Template

#: A program whose numbers change at every call makes a new rule each time, of 2 KB.
_CACHE = Cache(4_096)
_UNKNOWN = object()


def _cached(record: OpDef, key: Any, build: Any) -> Graph:
    return record.kept("derived", _CACHE).make(key, build)


def _key(kind: str, record: OpDef, specs: Sequence[Spec | None], options: dict[str, Any], dtype: str, *flags: Any) -> Any:
    return (kind, record.name, tuple(specs), options_key(options), dtype, flags)


def decomposition(record: OpDef, specs: Sequence[Spec | None], options: dict[str, Any], dtype: str) -> Graph:
    """The op as a graph of primitives: inputs the op's inputs, outputs the op's outputs."""

    def build() -> Graph:
        graph = Graph(record.dtypes_at(specs, options, dtype).own)
        refs = [graph.arg(s) for s in specs]
        if record.loop is not None:
            # Its derivatives are loops, which sweeps make.
            graph.outputs = list(graph._record(record, [None if r is None else r.id for r in refs], options))
            return graph
        out = _parts(record, specs, options)(graph, *refs, **options)
        graph.outputs = [r.id for r in (out if isinstance(out, tuple | list) else (out,))]
        return graph.prune()

    return _cached(record, _key("decompose", record, specs, options, dtype), build)


def _parts(record: OpDef, specs: Sequence[Spec | None], options: dict[str, Any]) -> Any:
    # The rule that says a call in terms of other ops.
    rule = record.rules.of_integers
    return rule if rule is not None and record.whole(specs, options) else record.rules.decompose


def conversion(record: OpDef, specs: Sequence[Spec | None], options: dict[str, Any], dtype: str) -> Graph | None:
    """The call with its operands converted to the dtypes that the op takes, as a graph: its inputs the call's operands, its outputs the
    call's outputs, then residuals. None where all operands are as the op takes them.
    """
    if not record.dtypes_at(specs, options, dtype).converted:
        return None

    def build() -> Graph:
        dtypes = record.dtypes_at(specs, options, dtype)
        graph = Graph(dtypes.own)
        refs = taken([graph.arg(s) for s in specs], dtypes.wanted)
        made = graph._record(record, [None if r is None else r.id for r in refs], options)
        _, outs = record.infer(tuple(specs), options, dtype)
        graph.outputs = [converted(graph, GraphRef(graph, v), o.dtype).id for v, o in zip(made, outs, strict=True)]
        return graph

    return _cached(record, _key("conversion", record, specs, options, dtype), build)


def taken(refs: Sequence[GraphRef | None], dtypes: Sequence[str | None]) -> list[GraphRef | None]:
    """References in these dtypes."""
    return [None if r is None else converted(r.ops, r, d) for r, d in zip(refs, dtypes, strict=True)]


def specs_at(specs: Sequence[Spec | None], dtypes: Sequence[str | None]) -> list[Spec | None]:
    """The same shapes in these dtypes."""
    return [None if s is None or d is None else Spec(s.shape, d) for s, d in zip(specs, dtypes, strict=True)]


def vjp_graph(
    record: OpDef,
    specs: Sequence[Spec | None],
    options: dict[str, Any],
    dtype: str,
    needs: tuple[bool, ...],
    present: tuple[bool, ...] = (True,),
) -> Graph:
    """The vector-Jacobian product of an op.

    Inputs: a cotangent for each output (absent where `present` is False), the outputs, the residuals, the op's inputs.
    Outputs: a cotangent for each input, None where there is none or `needs` is False.
    """

    def build() -> Graph:
        _, outs = record.infer(tuple(specs), options, dtype)
        dtypes = record.dtypes_at(specs, options, dtype)
        n_out = len(record.outputs)
        graph = Graph(dtypes.own)
        gs = [graph.arg(o if p else None) for o, p in zip(outs[:n_out], present, strict=True)]
        made = [graph.arg(o) for o in outs]
        ins = [graph.arg(s) for s in specs]
        if not record.differentiable:
            graph.outputs = [None] * len(ins)
            return graph
        if dtypes.converted:
            # The rule at the dtypes that the op takes; each cotangent goes back to its operand's.
            inner = vjp_graph(record, specs_at(specs, dtypes.wanted), options, dtypes.own, needs, present)
            found = graph._inline(inner, [*gs, *made, *taken(ins, dtypes.wanted)])
            graph.outputs = [
                None if r is None or x is None or x.dtype not in FLOATS else converted(graph, r, x.dtype).id
                for r, x in zip(found, ins, strict=True)
            ]
            return graph.prune(effects=False)
        rule = None if in_parts(record, specs, options) else record.rules.vjp
        if rule is not None:
            g = gs[0] if n_out == 1 else tuple(gs)
            y = made[0] if n_out == 1 else tuple(made[:n_out])
            residuals = dict(zip(record.residuals, made[n_out:], strict=True))
            found = rule(graph, g, y, *ins, **options, **residuals)
            found = list(found) if isinstance(found, tuple | list) else [found]
            if len(found) != len(ins):
                raise OptionError(f"{record.name}: its vjp gives {len(found)} cotangents for {len(ins)} inputs")
        elif record.loop is not None or record.rules.decompose is not None:
            inner = decomposition(record, specs, options, dtype)
            refs = graph._inline(inner, ins)
            seeds = [(r, g) for r, g in zip(refs, gs, strict=True) if r is not None and g is not None]
            wrt = [r if n else None for r, n in zip(ins, needs, strict=True)]
            found = reverse(graph, seeds, wrt)
        else:
            raise OptionError(f"{record.name}: the op has no derivative rule and no decomposition")
        for r, n in zip(found, needs, strict=True):
            if n and isinstance(r, Exception):
                # What a rule gives in place of a cotangent that it does not have.
                raise r
        graph.outputs = [None if r is None or not n else r.id for r, n in zip(found, needs, strict=True)]
        for out, spec in zip(graph.outputs, specs, strict=True):
            if out is not None and spec is not None and graph.specs[out] != spec.resolved(dtype):
                got, wanted = graph.specs[out], spec.resolved(dtype)
                raise OptionError(
                    f"{record.name}: its vjp gives a cotangent of shape {got.shape} {got.dtype}"
                    f" for an input of {wanted.shape} {wanted.dtype}"
                )
        return graph.prune(effects=False)

    return _cached(record, _key("vjp", record, specs, options, dtype, needs, present), build)


def jvp_graph(record: OpDef, specs: Sequence[Spec | None], options: dict[str, Any], dtype: str, present: tuple[bool, ...]) -> Graph:
    """The Jacobian-vector product of an op.

    Inputs: a tangent for each input (absent where `present` is False: zero), the outputs, the op's inputs.
    Outputs: a tangent for each output, None for an exact zero.
    """

    def build() -> Graph:
        outs = record.infer(tuple(specs), options, dtype)[1][: len(record.outputs)]
        dtypes = record.dtypes_at(specs, options, dtype)
        graph = Graph(dtypes.own)
        ts = tuple(graph.arg(s if p else None) for s, p in zip(specs, present, strict=True))
        made = [graph.arg(o) for o in outs]
        ins = [graph.arg(s) for s in specs]
        rule = None if in_parts(record, specs, options) else record.rules.jvp
        if dtypes.converted and record.differentiable:
            inner = jvp_graph(record, specs_at(specs, dtypes.wanted), options, dtypes.own, present)
            found: list[Any] = graph._inline(inner, [*taken(ts, dtypes.wanted), *made, *taken(ins, dtypes.wanted)])
        elif not record.differentiable:
            found = [None] * len(made)
        elif rule is not None:
            result = rule(graph, ts, made[0] if len(made) == 1 else tuple(made), *ins, **options)
            found = list(result) if isinstance(result, tuple | list) else [result]
        elif record.loop is not None or record.rules.decompose is not None:
            inner = decomposition(record, specs, options, dtype)
            refs = graph._inline(inner, ins)
            found = forward(graph, [(x, t) for x, t in zip(ins, ts, strict=True) if x is not None and t is not None], refs)
        else:
            raise OptionError(f"{record.name}: the op has no derivative rule and no decomposition")
        graph.outputs = [None if r is None else r.id for r in found]
        return graph.prune(effects=False)

    return _cached(record, _key("jvp", record, specs, options, dtype, present), build)


def _active(graph: Graph, nodes: Sequence[GraphNode], sources: Sequence[int]) -> set[int]:
    # The values that depend on the sources through float values.
    active = set(sources)
    for node in nodes:
        if not active.isdisjoint(node.inputs) and node.record.differentiable:
            if node.call is not None and node.call.flows:
                active.update(node.outputs)
            else:
                active.update([v for v in node.outputs if graph.specs[v].dtype in FLOATS])
    return active


def reverse(
    graph: Graph,
    seeds: Sequence[tuple[GraphRef, GraphRef]],
    wrt: Sequence[GraphRef | None],
    nodes: Sequence[GraphNode] | None = None,
    totals: bool = False,
) -> list[GraphRef | None]:
    """Append the reverse sweep to a graph: the cotangents of `wrt`, given cotangents of some values.

    Nodes are visited in descending order and a node's inputs in position, as the eager tape does; a contribution is added once it is whole.
    Several sweeps over one program name its `nodes`, so that none walks through what the others appended. With `totals` the sums over the
    steps of a loop go on from what has arrived already, so that the sum is that of one loop.
    """
    nodes = list(graph.nodes) if nodes is None else nodes
    active = _active(graph, nodes, [r.id for r in wrt if r is not None])
    cotangents: dict[int, int] = {}
    # The sums are recorded by the line of the program that wants the sweep.
    line: Any = _UNKNOWN

    def add(value: int, g: int) -> None:
        nonlocal line
        before = cotangents.get(value)
        if before is not None:
            line = graph._origin(None) if line is _UNKNOWN else line
            (g,) = graph._record(get("add"), (before, g), {}, line)
        cotangents[value] = g

    for ref, g in seeds:
        # An integer output has no cotangent, whatever was given for it.
        if graph.specs[ref.id].dtype in FLOATS:
            add(ref.id, converted(graph, g, ref.dtype).id)
    for node in reversed(nodes):
        if node.record.loop is not None:
            node = current(graph, node)
        outputs = node.outputs
        if cotangents.keys().isdisjoint(outputs) or active.isdisjoint(outputs):
            continue
        gs = [cotangents.get(v) for v in outputs[: len(node.record.outputs)]]
        needs = tuple([i in active for i in node.inputs])
        if True not in needs or gs.count(None) == len(gs):
            continue
        if node.record.loop is not None:
            _pull_loop(graph, node, gs, needs, cotangents, add, totals)
            continue
        for i, contribution in zip(node.inputs, _pulled(graph, node, gs, needs), strict=True):
            if i is not None and contribution is not None:
                add(i, contribution)
    made = [None if r is None else cotangents.get(r.id) for r in wrt]
    return [None if v is None else GraphRef(graph, v) for v in made]


def _pull_loop(
    graph: Graph,
    node: GraphNode,
    gs: Sequence[int | None],
    needs: tuple[bool, ...],
    cotangents: dict[int, int],
    add: Callable[[int, int], None],
    totals: bool,
) -> None:
    # The contributions of a loop; of inputs that have totals, what these become.
    onward = _totals(graph, node, cotangents) if totals else {}
    refs = [None if g is None else GraphRef(graph, g) for g in gs]
    for k, (i, contribution) in enumerate(zip(node.inputs, node.record.loop.pulled(graph, node, refs, needs, onward), strict=True)):
        if i is not None and contribution is not None and k in onward:
            cotangents[i] = contribution.id
        elif i is not None and contribution is not None:
            add(i, contribution.id)


def _totals(graph: Graph, node: GraphNode, cotangents: dict[int, int]) -> dict[int, GraphRef]:
    # By input of a loop, the cotangents that its sums over steps go on from.
    first = node.record.loop.adds_from
    if first is None:
        return {}
    places = {k: i for k, i in enumerate(node.inputs) if k >= first and i in cotangents and node.inputs.count(i) == 1}
    return {k: GraphRef(graph, cotangents[i]) for k, i in places.items() if i is not None}


def _pulled(graph: Graph, node: GraphNode, gs: Sequence[int | None], needs: tuple[bool, ...]) -> Sequence[int | None]:
    # The contributions of a node that is no loop.
    call = node.call
    if call is None or call.dtype != graph.dtype:
        call = graph.call_of(node)
    present = tuple([g is not None for g in gs])
    rule = call.memo.get(("vjp", needs, present))
    if rule is None:
        rule = Template(vjp_graph(call.record, call.specs, call.options, call.dtype, needs, present), graph.dtype)
        call.memo["vjp", needs, present] = rule
    return rule.record(graph, [*gs, *node.outputs, *node.inputs], Origin.of(node.name))


def current(graph: Graph, node: GraphNode) -> GraphNode:
    """The node that makes a loop's values by now: a sweep before may have put another in its place."""
    if node.record.loop is None:
        return node
    return next(n for n in graph.nodes if n.outputs[0] == node.outputs[0])


def forward(
    graph: Graph, seeds: Sequence[tuple[GraphRef, GraphRef]], outputs: Sequence[GraphRef | None], nodes: Sequence[GraphNode] | None = None
) -> list[GraphRef | None]:
    """Append the forward sweep to a graph: the tangents of `outputs`, given tangents of some values; None for an exact zero.

    Several sweeps over one program name its `nodes`, so that none walks through what the others appended.
    """
    tangents: dict[int, GraphRef] = {x.id: converted(graph, t, x.dtype) for x, t in seeds}
    for node in graph._needed([o.id for o in outputs if o is not None]) if nodes is None else nodes:
        ts = [None if i is None else tangents.get(i) for i in node.inputs]
        if all(t is None for t in ts):
            continue
        n_out = len(node.record.outputs)
        if node.record.loop is not None:
            tangents.update((v, t) for v, t in zip(node.outputs, node.record.loop.pushed(graph, node, ts), strict=True) if t is not None)
            continue
        call, present = graph.call_of(node), tuple([t is not None for t in ts])
        rule = call.memo.get(("jvp", present))
        if rule is None:
            rule = Template(jvp_graph(call.record, call.specs, call.options, call.dtype, present), graph.dtype)
            call.memo["jvp", present] = rule
        given = [None if t is None else t.id for t in ts]
        for v, made in zip(node.outputs, rule.record(graph, [*given, *node.outputs[:n_out], *node.inputs]), strict=False):
            if made is not None:
                tangents[v] = GraphRef(graph, made)
    return [None if o is None else tangents.get(o.id) for o in outputs]


def pulled_back(graph: Graph, ys: Sequence[GraphRef], gs: Sequence[GraphRef], xs: Any, nodes: Any = None) -> Any:
    """Cotangents in the structure of xs: an explicit zero where nothing arrives, None for integers."""
    leaves, structure = tree.flatten(xs)
    wrt = [r if isinstance(r, GraphRef) and r.dtype in FLOATS else None for r in leaves]
    return tree.unflatten(structure, with_zeros(graph, reverse(graph, list(zip(ys, gs, strict=True)), wrt, nodes), wrt))


def with_zeros(graph: Graph, derivatives: Sequence[Any], refs: Sequence[Any]) -> list[Any]:
    """The derivatives that belong to references, zeros for those that are None; None where there is no reference."""
    return [
        graph._full(shape=tuple(r.shape), value=0.0, dtype=r.dtype if r.dtype in FLOATS else None) if d is None and r is not None else d
        for d, r in zip(derivatives, refs, strict=True)
    ]
