"""Values of stretched inputs are made again in each group that reads them: an array larger than all that it is made of is not stored."""

from __future__ import annotations

from collections.abc import Sequence

from tlean.ops import expression as ex
from tlean.ops.elementwise import FORMULAS

from ..graph import Graph
from ..target import Bound

#: Work for each element, in multiplications, that is done again rather than stored and read.
_MOST_WORK = 200


def remade(graph: Graph, group: Sequence[Bound], wanted: int, elements: int) -> list[Bound]:
    """The ops of a group that make one of its values; none where they read arrays of that size or are too much work."""
    makers = {op.made: op for op in group}
    needed = {wanted}
    result: list[Bound] = []
    work = 0
    for op in reversed(group):
        if op.made not in needed:
            continue
        if any(v not in makers and graph.specs[v].size == elements for v in op.reads):
            return []
        needed.update(op.reads)
        result.append(op)
        work += 0 if op.record.spreads else ex.cost(FORMULAS[op.record.kernel].tree)
    return result if work <= _MOST_WORK else []
