"""The forward Laplacian: value, Jacobian and Laplacian of every value of a program together, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean import tree
from tlean.compiler.batch import batched_graph
from tlean.compiler.derive import forward, jvp_graph
from tlean.compiler.graph import Graph, GraphNode, GraphRef
from tlean.compiler.loops.bodies import or_zeros
from tlean.dtypes import FLOATS
from tlean.ops import Spec
from tlean.programs.recorder import Recorder

from ..arguments.literals import Backend
from .derived import DerivedProgram, checked_argnums, results_of
from .jacobians import moved


def laplacian(f: Callable[..., Any], argnums: Any = 0, backend: Backend = "compiled", seed: int | None = None) -> DerivedProgram:
    """The Laplacian of a program: for each number of its result the sum of the second derivatives by the numbers of the argument.

    It takes one pass, forward: each op hands on its value, its Jacobian and its Laplacian, and no Hessian is formed. Ops that are linear
    hand the last two on separately.

    Args:
        f: a program; it returns an array of any shape, or a tree of them.
        argnums: which argument to differentiate by: an int, or a tuple of ints for the sum over all of them. An argument may be a tree.
        backend, seed: as for `value_and_grad`.

    Returns: a program whose result is like that of f.
    Raises: DTypeError, when called, for an argument that holds no floating-point numbers.
    Source: Li et al. 2024, "A computational framework for neural network-based variational Monte Carlo with Forward Laplacian".

    Example:
        >>> tl.laplacian(lambda x: tl.sum(x**3))(np.array([1.0, 2.0])).item()
        18.0
    """
    recorder = Recorder("laplacian", f)
    checked_argnums("laplacian", argnums)

    def record(graph: Graph, *args: Any, **keywords: Any) -> Any:
        own, xs, _ = moved("laplacian", graph, args, argnums)
        found, structure = tree.flatten(recorder(graph, *own, **keywords))
        ys = results_of(graph, found)
        return tree.unflatten(structure, _swept(graph, xs, ys))

    return DerivedProgram("laplacian", record, backend, recorder, seed, (laplacian, (f, argnums, backend, seed)))


def _swept(graph: Graph, xs: Sequence[GraphRef], ys: Sequence[GraphRef]) -> list[GraphRef]:
    lanes = sum(x.spec.size for x in xs)
    rows: dict[int, GraphRef] = {}
    sums: dict[int, GraphRef] = {}
    first = 0
    for x in xs:
        if x.spec.size:
            unit = graph._eye(rows=lanes, columns=x.spec.size, offset=-first, dtype=x.dtype)
            rows[x.id] = graph.reshape(unit, (lanes, *x.shape))
        first += x.spec.size
    for node in graph._needed([y.id for y in ys]):
        if any(i in rows for i in node.inputs):
            _step(graph, node, lanes, rows, sums)
    return [or_zeros(graph, sums.get(y.id), y.spec if y.dtype in FLOATS else Spec(y.shape, graph.dtype)) for y in ys]


def _step(graph: Graph, node: GraphNode, lanes: int, rows: dict[int, GraphRef], sums: dict[int, GraphRef]) -> None:
    # The Jacobian and the Laplacian of a node's outputs; rows[v] has the derivatives of v by each number, along the first axis.
    record, specs, n = node.record, graph._specs_of(node.inputs), len(node.record.outputs)
    js = [None if i is None else rows.get(i) for i in node.inputs]
    ls = [None if i is None else sums.get(i) for i in node.inputs]
    outs = [GraphRef(graph, v) for v in node.outputs[:n]]
    ins = [None if i is None else GraphRef(graph, i) for i in node.inputs]
    present = tuple([j is not None for j in js])
    rule = jvp_graph(record, specs, node.options, graph.dtype, present)
    total = [None] * n
    if any(m is not None for m in ls):
        linear = jvp_graph(record, specs, node.options, graph.dtype, tuple([m is not None for m in ls]))
        total = graph._inline(linear, [*ls, *outs, *ins])  # type: ignore[assignment]
    both = _curved(rule, len(ins), n)
    whole, own = batched_graph(both, [*present, *[False] * (n + len(ins))], lanes, draws=False)
    made = graph._inline(whole, [*js, *outs, *ins])
    for k, v in enumerate(node.outputs[:n]):
        slope, bend = made[k], made[n + k]
        if slope is not None:
            rows[v] = slope if own[k] else graph.broadcast_to(slope, (lanes, *slope.shape))
        more = total[k]
        if bend is not None:
            bend = graph.sum(bend, axis=0) if own[n + k] else graph.scale(bend, float(lanes))  # type: ignore[assignment]
            more = bend if more is None else graph.add(more, bend)  # type: ignore[assignment]
        if more is not None:
            sums[v] = more


def _curved(rule: Graph, count: int, n: int) -> Graph:
    # The tangents of an op's outputs, and their derivatives in the same direction: J t, then t' H t.
    both = Graph(rule.dtype)
    given = [both.arg(None if v is None else rule.specs[v]) for v in rule.inputs]
    ts, ys, xs = given[:count], given[count : count + n], given[count + n :]
    slopes = both._inline(rule, given)
    seeds = [(y, s) for y, s in zip(ys, slopes, strict=True) if y is not None and s is not None]
    seeds += [(x, t) for x, t in zip(xs, ts, strict=True) if x is not None and t is not None]
    bends = forward(both, seeds, slopes)
    both.outputs = [None if r is None else r.id for r in (*slopes, *bends)]
    return both.prune()
