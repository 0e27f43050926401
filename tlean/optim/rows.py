"""Gradients that are zero but for some rows: of a table that an eager step looked rows up in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tlean._core.array import AnyTensor
from tlean.caching import Cache
from tlean.compiler.cpu import CPU
from tlean.compiler.graph import Graph
from tlean.compiler.lower import lower
from tlean.ops import Spec
from tlean.ops.rows.take import MODES
from tlean.ops.rows.updates import MERGED_ROWS, SUMMED_ROWS, by_rows

_PLANS = Cache(64)
_MODE_NAMES = {code: name for name, code in MODES.items()}


class RowGradient(NamedTuple):
    """The rows of a gradient that something was added to, and their numbers; all else of it is zeros.

    Attributes:
        sums: the rows, each in the order of what was added to it; then zeros.
        rows: their numbers, in ascending order; then -1.
    """

    sums: AnyTensor
    rows: AnyTensor


class LookUp(NamedTuple):
    """How a node takes rows of a table."""

    rows: int
    length: int
    mode: str


def look_ups(calls: Sequence[Any]) -> list[LookUp] | None:
    """How calls take rows of their first operand, if its gradient is to be made of rows; else None.

    Args:
        calls: the instances that read it; None for what is no op.
    """
    ways, positions = [], 0
    for call in calls:
        if call is None or call.record.kernel != "gather_rows":
            return None
        (rows, length, count, code, blocks, _), _ = call.record.kernel_params(call.specs, call.options)
        ways.append(LookUp(rows, length, _MODE_NAMES[code]))
        positions += count
        if blocks != 1 or ways[0][:2] != (rows, length):
            return None
    return ways if ways and by_rows(ways[0].rows, ways[0].length, positions) else None


def row_gradient(parts: Sequence[tuple[AnyTensor, AnyTensor, LookUp]]) -> RowGradient:
    """The gradient of a table.

    Args:
        parts: for each look-up the gradient of the rows that were taken, the indices, and how they are taken; in the order of adding up.

    Raises: IndexRangeError.
    """
    key = tuple([(g.shape, str(g.dtype), i.shape, way) for g, i, way in parts])
    plan, specs = _PLANS.make(key, lambda: _plan(key))
    return RowGradient(*CPU.run(plan, [t for g, i, _ in parts for t in (g, i)], specs))


def _plan(key: Sequence[tuple[Any, str, Any, LookUp]]) -> tuple[Any, list[tuple[tuple[int, ...], str]]]:
    graph = Graph(key[0][1])
    made: tuple[int, ...] = ()
    for shape, dtype, indices, way in key:
        operands = [graph.arg(Spec(shape, dtype)), graph.arg(Spec(indices, "int64"))]
        part = graph._record(SUMMED_ROWS, [x.id for x in operands if x is not None], way._asdict())
        made = graph._record(MERGED_ROWS, [*made, *part], {}) if made else part
    graph.outputs = [*made]
    return lower(graph), [(graph.specs[v].shape, graph.specs[v].dtype) for v in made]
