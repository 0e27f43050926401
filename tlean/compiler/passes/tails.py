"""Tails: what a fused group sums instead of storing it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tlean._core.table import KERNELS, MODULES
from tlean.dtypes import SIZES, SUFFIX

from ..chain_code import COLUMNS, LOGSUMEXP, ROWS, TOTAL
from ..graph import Graph
from ..target import Bound

#: Bytes of the rows that are made before they are summed: a quarter of a second-level cache; and at most.
_TILE_BYTES = 256 * 1024
_MOST_TILE_BYTES = 2 * 1024 * 1024
#: Groups over fewer elements leave sums of rows and columns to their own kernels: what they would store stays in a cache.
MANY = 1 << 15


class Tail(NamedTuple):
    """An op that reduces a value of a group: what it sums, and the rows and their width (1, elements for a total)."""

    kind: int
    rows: int
    width: int


def tail_of(graph: Graph, op: Bound, elements: int) -> Tail | None:
    """What the op sums of a value of so many elements; None for an op that no group has as its tail."""
    same = graph.specs[op.made].dtype == graph.specs[op.reads[0]].dtype
    if op.record.host is not None or op.record.kernel not in ("reduce_sum", "logsumexp") or not same:
        return None
    numbers = op.kernel_params()[0]
    if op.record.kernel == "logsumexp":
        rows, width, inner = numbers
        return Tail(LOGSUMEXP, rows, width) if inner == 1 and 1 < width < elements else None
    if numbers == (1, 1, elements):
        return Tail(TOTAL, 1, elements)
    if numbers[:2] == (2, 0):
        return Tail(ROWS, *numbers[2:])
    if numbers[:2] == (2, 1) and numbers[3] >= MODULES["reduce"].NARROW_ROWS:
        return Tail(COLUMNS, *numbers[2:])
    return None


def chosen_tails(graph: Graph, group: Sequence[Bound], readers: dict[int, list[Bound]], elements: int, by_rows: bool) -> list[Bound]:
    """The ops that become tails of a group.

    Args:
        readers: for each value of the group that nothing but these ops reads, the ops.
        by_rows: whether the target sums rows and columns in a group.

    All are totals, or all see the same rows. Rows and columns are for what is stretched: there the value is the largest array.
    """
    tails = {v: [tail_of(graph, op, elements) for op in ops] for v, ops in readers.items()}
    totals = [op for v, ops in readers.items() for op in ops if len(ops) == 1 and all(t and t.kind == TOTAL for t in tails[v])]
    if totals or not by_rows or elements < MANY or not any(op.stretches for op in group):
        return totals
    shapes = {(t.rows, t.width) for found in tails.values() for t in found if t and t.kind != TOTAL}
    item = SIZES[graph.specs[group[-1].made].dtype]
    for rows, width in sorted(shapes):
        values = [v for v, found in tails.items() if all(t and (t.rows, t.width) == (rows, width) for t in found)]
        if values and width <= MODULES["reduce"].SEGMENT_LENGTH and 8 * width * item * len(values) <= _MOST_TILE_BYTES:
            return [op for v in values for op in readers[v]]
    return []


def tile_rows(width: int, item: int, values: int) -> int:
    """Rows that are made at a time: a power of two, so that none of them is in two blocks of a sum over rows."""
    rows = 8
    while rows < 64 and 2 * rows * width * item * values <= _TILE_BYTES:
        rows *= 2
    return rows


def tail_kernel(kind: int, dtype: str) -> int:
    """The kernel that makes a sum, or a part of it."""
    names = {LOGSUMEXP: "logsumexp", COLUMNS: "add_rows"}
    return KERNELS[f"{names.get(kind, 'reduce_sum')}:{SUFFIX[dtype]}"]


def row_numbers(tails: Sequence[Tail], values: int, dtype: str) -> tuple[int, int, int, int, int]:
    """Of a group's header: the width of rows, the rows of a tile and of a thread's share, the summed values, the kernel that adds rows."""
    add_rows = tail_kernel(COLUMNS, dtype)
    if not tails or tails[0].kind == TOTAL:
        return 0, 0, 0, values, add_rows
    width = tails[0].width
    return width, tile_rows(width, SIZES[dtype], values), MODULES["reduce"].segment_rows(width), values, add_rows
