"""Squared deviations of rows from a number each, summed: what a variance is made of, by one kernel that writes nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from tlean._core.table import KERNELS
from tlean.dtypes import SUFFIX

from ..chain_code import ROWS
from ..graph import Graph
from ..target import Bound, Step, works_in
from .tails import tail_of

#: The kernel: `reduce_sum` of (x - m)^2, by the same additions.
DEVIATIONS = "row_deviations"


def deviations(graph: Graph, group: Sequence[Bound], visible: Sequence[int], sums: Sequence[Bound]) -> Step | None:
    """The instruction of a group that only makes the sums of (x - m)^2 over rows, m a number for each; None for other groups."""
    if visible or len(sums) != 1 or len(group) != 3:
        return None
    stretch, minus, square = group
    total = sums[0]
    elements = graph.specs[minus.made].size
    tail = tail_of(graph, total, elements)
    if tail is None or tail.kind != ROWS or not stretch.stretches or stretch.kernel_params()[0][1:] != (2, tail.rows, tail.width, 1, 0):
        return None
    x, *rest = minus.reads
    named = (minus.record.kernel, square.record.kernel) == ("sub", "square")
    if (
        not named
        or rest != [stretch.made]
        or square.reads != (minus.made,)
        or total.reads != (square.made,)
        or graph.specs[x].size != elements
    ):
        return None
    ints, floats = total.kernel_params()
    code = KERNELS[f"{DEVIATIONS}:{SUFFIX[works_in(graph, total.node)]}"]
    nodes = (stretch.node, minus.node, square.node, total.node)
    return Step(DEVIATIONS, (x, stretch.reads[0]), (total.made,), nodes, ints, floats, code)
