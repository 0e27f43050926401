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
_PART_BYTES = 8 * 1024
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


def tails_of(
    group: Sequence[Bound], readers: dict[int, list[Bound]], kind: tuple[int, str], graph: Graph, by_rows: bool
) -> list[list[Bound]]:
    """The ops that can be tails of a group, those together that can be its tails at once; the most values first.

    Args:
        readers: for each value of the group that nothing but these ops reads, the ops.
        kind: the elements of the group, and its dtype.
        by_rows: whether the target sums rows and columns in a group.

    All are totals, or all see the same rows. Rows and columns are for what is stretched: there the value is the largest array.
    """
    elements, dtype = kind
    by_rows &= elements >= MANY and any(op.stretches for op in group)
    values: dict[tuple[int, int], list[int]] = {}
    for v, ops in readers.items():
        found = {(tail.rows, tail.width) if (tail := tail_of(graph, op, elements)) else None for op in ops}
        shape = found.pop() if len(found) == 1 else None
        if shape is not None and (by_rows or shape == (1, elements)):
            values.setdefault(shape, []).append(v)
    item = SIZES[dtype]
    sets = []
    for (rows, width), found_values in values.items():
        fits = width <= MODULES["reduce"].SEGMENT_LENGTH and 8 * width * item * len(found_values) <= _MOST_TILE_BYTES
        if rows == 1 or fits:
            sets.append(found_values)
    return [[op for v in found_values for op in readers[v]] for found_values in sorted(sets, key=len, reverse=True)]


def tile_rows(width: int, item: int, values: int) -> int:
    """Rows that are made at a time: a power of two, so that none of them is in two blocks of a sum over rows."""
    rows = 8
    while rows < 64 and 2 * rows * width * item * values <= _TILE_BYTES:
        rows *= 2
    return rows


def part_of_sum(dtype: str) -> int:
    """Elements of a part of a segment that is summed by itself: whole blocks of the sum that stay in a first-level cache."""
    return max(MODULES["reduce"].PART_BYTES, _PART_BYTES) // SIZES[dtype]


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
