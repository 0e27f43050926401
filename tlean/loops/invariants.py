"""What a loop computes of captured values alone: it is computed once, before the loop.

In the program around the loop its gradient is one sweep too, of the sum over the steps, not one for each step. A loop that may run no step
leaves to the program around it what moves elements, and nothing whose derivative may be infinite.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tlean.compiler.graph import GraphRef
from tlean.compiler.loops.bodies import MOVES, moving
from tlean.compiler.loops.hoist import may_move

from .bodies import BodyGraph


def lift(graph: BodyGraph, varying: Collection[int], outputs: Collection[GraphRef], runs: bool = True) -> list[GraphRef]:
    """Record what a body makes of captured values and constants alone into the program around the loop; its results are captured then.

    Args:
        graph: the body.
        varying: its inputs that change from step to step.
        outputs: what it makes.
        runs: whether the loop runs at least once.

    Returns: what it makes; an output that was moved is an input now.
    """
    changing = moving(graph, graph.nodes, list(varying))
    captured: dict[Any, Any] = dict(zip(graph.inputs[len(graph.inputs) - len(graph.captured) :], graph.captured, strict=True))
    moved, made = [], set[int]()
    for n in graph.nodes:
        fixed = all(i is None or i in captured or i in graph.constants or i in made for i in n.inputs)
        allowed = runs or n.record.view or n.record.kernel in MOVES
        if fixed and allowed and changing.isdisjoint(n.inputs) and may_move(graph, n):
            moved.append(n)
            made.update(n.outputs)
    rest = [n for n in graph.nodes if made.isdisjoint(n.outputs)]
    read = {i for n in rest for i in n.inputs} | {r.id for r in outputs}
    # What costs nothing is made at each step, of what is made before the loop.
    free = {v for n in moved if n.record.view or n.record.spreads or not n.inputs for v in n.outputs}
    for n in reversed(moved):
        if not free.isdisjoint(n.outputs) and not read.isdisjoint(n.outputs):
            read.update(n.inputs)
    worth = [v for n in moved for v in n.outputs if v in read and v not in free]
    if not worth:
        return list(outputs)
    around, known, same = graph.around, dict[Any, Any](), dict[Any, int]()
    for n in graph._needed(worth):
        # Equal ops are one, whether the program around merges them or not.
        key = n.record.name, tuple([i if i not in captured else ("", _key(captured[i])) for i in n.inputs]), repr(sorted(n.options.items()))
        if key not in known:
            given = []
            for i in n.inputs:
                if i is not None and i not in captured:
                    captured[i] = around._own_constant(graph.constants[i])
                given.append(None if i is None else captured[i])
            results = around.apply(n.record.name, tuple(given), n.options, n.name)
            known[key] = results if len(n.record.outputs) > 1 else (results,)
        captured.update(zip(n.outputs, known[key], strict=False))
    inputs = {_key(outer): v for v, outer in zip(graph.inputs[len(graph.inputs) - len(graph.captured) :], graph.captured, strict=True)}
    for v in worth:
        first = inputs.setdefault(_key(captured[v]), v)
        if first == v:
            graph._adopt(v, captured[v])
        else:
            same[v] = first  # type: ignore[assignment]
    graph.nodes = [
        n._replace(inputs=tuple([same.get(i, i) for i in n.inputs])) if not same.keys().isdisjoint(n.inputs) else n  # type: ignore[arg-type]
        for n in graph.nodes
        if not n.outputs or set(worth).isdisjoint(n.outputs)
    ]
    return [GraphRef(graph, same[r.id]) if r.id in same else r for r in outputs]


def _key(outer: Any) -> Any:
    # What `together` tells captured values apart by.
    return outer.id if isinstance(outer, GraphRef) else id(outer)
