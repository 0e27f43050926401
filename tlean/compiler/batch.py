"""Batching on graphs: a program of one lane becomes a program of all lanes, node by node.

A value that differs between lanes has the lanes as its first axis; what is the same in each stays as it is. Each node follows the batching
rule of its record; one without a rule is batched by its decomposition, and what has none either is called once for each lane.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from tlean._core.eager.instance import options_key
from tlean.caching import Cache
from tlean.errors import OptionError
from tlean.ops import Spec
from tlean.ops.batching import Call

from .derive import conversion, decomposition
from .graph import Graph, GraphNode, GraphRef
from .loops.lanes import batched_loop, seed_places

_CACHE = Cache(1024)


def batch(
    graph: Graph, lanes: dict[int, GraphRef], size: int, outputs: Sequence[GraphRef], first: int, source: Graph | None = None
) -> list[tuple[GraphRef, bool]]:
    """Append to a graph what a program of one lane is in all lanes.

    Args:
        graph: what it is appended to.
        lanes: for each argument of the program that differs between lanes what holds it for all of them. No node makes these values.
        size: how many lanes there are.
        outputs: values of that program.
        first: the number of its first value. Random numbers of a seed from before are the same in each lane.
        source: the graph that the program is in; a copy of `graph` with more values, or that itself.

    Returns: each output, and whether it differs between lanes, which are then its first axis.
    """
    source = source or graph
    where, own, values = dict(lanes), set(lanes), [r.id for r in outputs]
    if source is not graph:
        where |= {v: graph._constant(c) for v, c in source.constants.items() if v >= first}
    _run(source, source._needed(values), graph, where, own, size, values, first, first, set())
    return [(where[v] if v in where else GraphRef(graph, v), v in own) for v in values]


def batched_graph(
    graph: Graph, batched: Sequence[bool], size: int, draws: bool = True, seeds: Sequence[bool] = ()
) -> tuple[Graph, tuple[bool, ...]]:
    """A graph as a graph of all lanes: what a record whose option is a graph, such as a loop's body, makes of it in its batching rule.

    Args:
        graph: of one lane.
        batched: which inputs differ between lanes; these have the lanes as their first axis.
        size: how many lanes there are.
        draws: whether each lane draws its own random numbers.
        seeds: which inputs are seeds that loops draw from, of which each lane has its own numbers.

    Returns: the graph, and which of its outputs differ between lanes.
    """
    out = Graph(graph.dtype, graph.merge)
    where: dict[int, GraphRef] = {}
    lanes = set()
    for v, own in zip(graph.inputs, batched, strict=True):
        if v is None:
            out.arg(None)
            continue
        spec = graph.specs[v]
        where[v] = out.arg(Spec((size, *spec.shape), spec.dtype) if own else spec)  # type: ignore[assignment]
        if own:
            lanes.add(v)
    for v, constant in graph.constants.items():
        where[v] = out._constant(constant)
    streams = {v for v, fresh in zip(graph.inputs, seeds, strict=False) if fresh and v is not None}
    _run(graph, graph._needed(), out, where, lanes, size, graph.outputs, 0 if draws else len(graph.specs), 0, streams)
    out.outputs = [None if v is None else where[v].id for v in graph.outputs]
    return out, tuple(v in lanes for v in graph.outputs)


def _run(
    source: Graph,
    nodes: Sequence[GraphNode],
    target: Graph,
    where: dict[int, GraphRef],
    lanes: set[int],
    size: int,
    outputs: Sequence[Any],
    own: int,
    shared: int,
    streams: set[int],
) -> None:
    # Record the nodes; `where` has the values of `source` in `target`, `lanes` are those that differ between lanes, and seeds from number
    # `own` on, and `streams`, mean other numbers in each. Values below `shared` are in both.
    read = {i for n in nodes for i in n.inputs} | set(outputs)
    for node in nodes:
        flags = [i in lanes for i in node.inputs]
        inputs = [None if i is None else where[i] if i in where else GraphRef(target, i) for i in node.inputs]
        record = node.record
        fresh = [i is not None and i not in lanes and (i >= own or i in streams) for i in node.inputs]
        if record.loop is not None:
            draws = any(fresh[k] for k in seed_places(record.loop))
        else:
            draws = record.random and (node.inputs[record.inputs.index("seed")] is None or fresh[record.inputs.index("seed")])
        if record.name == "_loop_seed" and fresh[0]:
            streams.update(node.outputs)
        if any(flags) or draws:
            made = _batched(source, node, target, inputs, flags, size, read, draws, fresh)
            # An output of a loop that is the same in each lane has none.
            lanes.update(v for v, r in zip(node.outputs, made, strict=False) if r is not None and len(r.shape) > len(source.specs[v].shape))
        elif source is target or all(v < shared for v in node.outputs):
            continue
        else:
            ids = target._record(record, [None if r is None else r.id for r in inputs], node.options, node.name)
            made = [GraphRef(target, v) for v in ids]
        where.update((v, r) for v, r in zip(node.outputs, made, strict=False) if r is not None)


def _batched(
    source: Graph,
    node: GraphNode,
    target: Graph,
    inputs: Sequence[GraphRef | None],
    flags: Sequence[bool],
    size: int,
    read: set[Any],
    draws: bool,
    fresh: Sequence[bool],
) -> Sequence[GraphRef | None]:
    record, outs = node.record, [source.specs[v] for v in node.outputs]
    residual = any(v in read for v in node.outputs[len(record.outputs) :])

    def otherwise(call: Call, loop: bool) -> Sequence[GraphRef | None]:
        if loop or residual or record.rules.decompose is None:
            return _lane_by_lane(call)
        return target._inline(_parts(source, node, tuple(call.batched), size), call.inputs)

    call = Call(target, record, size, inputs, flags, node.options, outs, node.name, draws, otherwise, functools.partial(_body, fresh))
    if record.loop is not None:
        made = batched_loop(call)
    elif record.rules.batch is None:
        made = call.parts()
    else:
        result = record.rules.batch(call)
        made = result if isinstance(result, tuple | list) else (result,)
    for r, spec in zip(made, outs, strict=False):
        if r is not None and r.spec != Spec((size, *spec.shape), spec.dtype) and (record.loop is None or r.spec != spec):
            wanted = Spec((size, *spec.shape), spec.dtype)
            raise OptionError(
                f"{record.name}: its batching rule must give an output of shape {wanted.shape} {wanted.dtype},"
                f" got {r.spec.shape} {r.spec.dtype}"
            )
    return made


def _body(fresh: Sequence[bool], graph: Graph, batched: Sequence[bool], size: int) -> tuple[Graph, tuple[bool, ...]]:
    # The inputs of a body are the last of its loop's.
    return batched_graph(graph, batched, size, draws=False, seeds=fresh[len(fresh) - len(graph.inputs) :])


def _parts(source: Graph, node: GraphNode, batched: tuple[bool, ...], size: int) -> Graph:
    # The decomposition of a node in all lanes, its outputs each with the lanes in front.
    record, specs = node.record, source._specs_of(node.inputs)

    def build() -> Graph:
        inner = conversion(record, specs, node.options, source.dtype) or decomposition(record, specs, node.options, source.dtype)
        graph, own = batched_graph(inner, batched, size)
        for k, (v, is_own) in enumerate(zip(graph.outputs, own, strict=True)):
            if v is not None and not is_own:
                graph.outputs[k] = graph.broadcast_to(GraphRef(graph, v), (size, *graph.specs[v].shape)).id
        return graph.prune()

    key = (record.name, specs, options_key(node.options), source.dtype, batched, size)
    return record.kept("batched", _CACHE).make(key, build)


def _lane_by_lane(call: Call) -> Sequence[GraphRef]:
    graph, record = call.ops, call.record
    made: list[tuple[GraphRef, ...]] = []
    for k in range(call.size):
        own: list[Any] = []
        for x, is_own in zip(call.inputs, call.batched, strict=True):
            if is_own:
                shape = tuple(x.shape)
                row = graph.slice(x, (k, *(0 for _ in shape[1:])), (k + 1, *shape[1:]))
                x = graph.reshape(row, shape[1:])
            own.append(None if x is None else x.id)
        name = f"{call.name or record.name.partition(' #')[0]}, lane {k} of {call.size}"
        made.append(tuple(GraphRef(graph, v) for v in graph._record(record, own, call.options, name)))
    if not made:
        return [graph._full(shape=(0, *o.shape), value=0, dtype=o.dtype) for o in call.outs]
    return [graph.stack(list(rows), axis=0) for rows in zip(*made, strict=True)]
