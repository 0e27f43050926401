"""Gradients that are zero but for some rows: of a table that an eager step looked rows up in."""

from __future__ import annotations

from typing import Any, NamedTuple

from tlean._core.array import AnyTensor
from tlean.caching import Cache
from tlean.compiler.cpu import CPU
from tlean.compiler.graph import Graph
from tlean.compiler.lower import lower
from tlean.ops import OpDef, Spec
from tlean.ops.rows.take import MODES
from tlean.ops.rows.updates import SUMMED_ROWS, by_rows

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


def look_up(record: OpDef, specs: tuple[Any, ...], options: dict[str, Any]) -> LookUp | None:
    """How a call takes rows of its first operand, if its gradient is to be made of rows; else None."""
    if record.kernel != "gather_rows":
        return None
    (rows, length, count, code, blocks, _), _ = record.kernel_params(specs, options)
    return LookUp(rows, length, _MODE_NAMES[code]) if blocks == 1 and by_rows(rows, length, count) else None


def row_gradient(g: AnyTensor, indices: AnyTensor, taken: LookUp) -> RowGradient:
    """The gradient of a table, from that of the rows that were taken. Raises: IndexRangeError."""
    plan, specs = _PLANS.make((g.shape, g.dtype, indices.shape, taken), lambda: _plan(g, indices, taken))
    return RowGradient(*CPU.run(plan, [g, indices], specs))


def _plan(g: AnyTensor, indices: AnyTensor, taken: LookUp) -> tuple[Any, list[tuple[tuple[int, ...], str]]]:
    graph = Graph(str(g.dtype))
    operands = [graph.arg(Spec(t.shape, str(t.dtype))) for t in (g, indices)]
    made = graph._record(SUMMED_ROWS, [x.id for x in operands if x is not None], taken._asdict())
    graph.outputs = [*made]
    return lower(graph), [(graph.specs[v].shape, graph.specs[v].dtype) for v in made]
