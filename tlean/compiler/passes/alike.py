"""Groups that are alike: a long program repeats few of them, and each is worked out once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tlean.caching import Cache

from ..graph import Graph
from ..target import Bound, Step

#: Groups by their ops, what these read, and what is read of them.
_KNOWN = Cache(1024)
#: Longer groups are not kept: they are the most of their program, and each is another.
_LONGEST = 64


def like_before(graph: Graph, ops: Sequence[Bound], visible: Sequence[int], sums: Sequence[Bound], build: Callable[..., Step]) -> Step:
    """`build(graph, ops, visible, sums)`, the instruction of a group: of a group like one before that one's, with this one's values."""
    if len(ops) > _LONGEST or False in [op.call.lasting for op in ops]:
        return build(graph, ops, visible, sums)
    # Values by their place among those that the group reads and makes.
    number: dict[int, int] = {}
    form: list[Any] = []
    for op in ops:
        form.append(op.call)
        for v in op.reads:
            at = number.get(v)
            if at is None:
                at = number[v] = len(number)
                # What it is in memory, which another spec may be a view of.
                form.append(graph.specs[v])
            form.append(at)
        at = number.setdefault(op.made, len(number))
        form.append(at)
    key = tuple(form), tuple([number[v] for v in visible]), tuple([(op.call, number[op.reads[0]]) for op in sums])
    known = _KNOWN.get(key)
    if known is None:
        step = build(graph, ops, visible, sums)
        for op in sums:
            number.setdefault(op.made, len(number))
        place = {id(op.node): k for k, op in enumerate((*ops, *sums))}
        inputs, outputs = ([number[v] for v in values] for values in (step.inputs, step.outputs))
        order, in_place = [place[id(n)] for n in step.nodes], {j: [number[v] for v in heirs] for j, heirs in step.in_place.items()}
        if step.chain is not None:
            step.encoded = step.chain.encode()
        _KNOWN.keep(key, (step, inputs, outputs, order, in_place))
        return step.like(step.inputs, step.outputs, step.nodes, step.in_place)
    step, inputs, outputs, order, in_place = known
    for op in sums:
        number.setdefault(op.made, len(number))
    values = list(number)
    nodes = [op.node for op in (*ops, *sums)]
    return step.like(
        tuple([values[k] for k in inputs]),
        tuple([values[k] for k in outputs]),
        tuple([nodes[k] for k in order]),
        {j: tuple([values[k] for k in heirs]) for j, heirs in in_place.items()},
    )
