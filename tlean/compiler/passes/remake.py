"""Values of stretched inputs are made again in each group that reads them: an array larger than all that it is made of is not stored."""

from __future__ import annotations

from collections.abc import Sequence

from tlean.ops import expression as ex
from tlean.ops.elementwise import FORMULAS, LANES

from ..graph import Graph
from ..target import Bound

#: Work for each element, in multiplications, that is done again rather than stored and read: where all that is read is smaller; where one
#: array of that size is, which is then read in place of the value; and where nothing else would need the value.
_MOST_WORK, _LITTLE_WORK, _WORK_FOR_A_SUM = 200, 4, 24
#: The same of a loop that has no formula, but is another project's: a function or two.
_WORK_OF_GUESTS = 20


def remade(graph: Graph, group: Sequence[Bound], wanted: int, elements: int, most: int = _LITTLE_WORK) -> list[Bound]:
    """The ops of a group that make one of its values; none where they stretch nothing, read much or are too much work."""
    makers = {op.made: op for op in group}
    needed = {wanted}
    large: set[int] = set()
    result: list[Bound] = []
    work = 0
    for op in reversed(group):
        if op.made in needed:
            needed.update(op.reads)
            large.update(v for v in op.reads if v not in makers and graph.specs[v].size == elements)
            result.append(op)
            if op.fills:
                return []
            work += 0 if op.record.spreads or op.shift >= 0 or op.ranges else 1 if op.converts else _work_of(op.record.kernel)
    stretches = any(op.stretches for op in result)
    return result[::-1] if stretches and len(large) <= 1 and work <= (most if large else _MOST_WORK) else []


def _work_of(kernel: str) -> int:
    formula = FORMULAS.get(kernel) or LANES.get(kernel)
    return _WORK_OF_GUESTS if formula is None else ex.cost(formula.tree)


def made_again(graph: Graph, group: Sequence[Bound], tails: Sequence[Bound], elements: int) -> list[Bound]:
    """The ops of a group, in order, that make all that these ops read; none if they do not for one."""
    parts = [remade(graph, group, v, elements, _WORK_FOR_A_SUM) for v in dict.fromkeys(op.reads[0] for op in tails)]
    own = {op.made for part in parts for op in part}
    return [op for op in group if op.made in own] if all(parts) else []
