"""Rows by number: taking them, and adding to them in the order of the indices."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import COMMON, MOVED, Argument, Family, Fault, In, Launch, Out, Plan, ceil_div, flat, moved, moving

#: Blocks of rows that share the scan over the indices of a scatter.
PARTS = 64

_GATHER = """
extern "C" __global__ void k_gather_rows(float *y, const float *x, const i64 *index, int *fault, i64 rows, i64 width, i64 strict, i64 n) {
    TL_EACH(i, n) {
        const i64 row = index[i / width];
        const bool inside = row >= 0 && row < rows;
        y[i] = inside ? x[row * width + i % width] : 0;
        if (!inside && strict) atomicExch(fault, 1);
    }
}

"""

_SOURCE = """
/* x, or zeros where x is absent. */
extern "C" __global__ void k_start(float *y, const float *x, i64 n) { TL_EACH(i, n) y[i] = x ? x[i] : 0; }

/* A thread owns one column of a block of rows and goes through the indices in order, so the order of additions is fixed. */
extern "C" __global__ void k_add_rows(float *y, const float *v, const i64 *index, int *fault, i64 rows, i64 width, i64 taken, i64 strict) {
    const i64 column = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    const i64 each = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * each, last = first + each;
    if (column >= width) return;
    for (i64 t = 0; t < taken; t++) {
        const i64 row = index[t];
        if (row < 0 || row >= rows) {
            if (strict) atomicExch(fault, 1);
        } else if (row >= first && row < last) y[row * width + column] += v[t * width + column];
    }
}
"""

# In whatever order the threads come: for sessions that do not ask for the same bits in every run.
_ATOMIC = """
extern "C" __global__ void k_add_rows_atomic(
    float *y, const float *v, const i64 *index, int *fault, i64 rows, i64 width, i64 strict, i64 n
) {
    TL_EACH(i, n) {
        const i64 row = index[i / width];
        if (row >= 0 && row < rows) atomicAdd(y + row * width + i % width, v[i]);
        else if (strict) atomicExch(fault, 1);
    }
}
"""


def gather_rows(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    rows, width, taken, strict = ints
    fault: Argument = Fault() if strict else 0
    return Plan((flat("k_gather_rows", taken * width, Out(0), In(0), In(1), fault, rows, width, strict),))


def _add(ints: Sequence[int], x: Argument, v: Argument, index: Argument) -> Plan:
    rows, width, taken, strict = ints
    start = flat("k_start", rows * width, Out(0), x)
    args = (Out(0), v, index, Fault() if strict else 0, rows, width, taken, strict)
    # Without rows there is still an index to refuse.
    grid = (ceil_div(width, 128) if taken else 0, max(min(rows, PARTS), 1), 1)
    return Plan((start, Launch("k_add_rows", args, grid, (128, 1, 1))))


def scatter_rows(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return _add(ints, 0, In(0), In(1))


def scatter_add_rows(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return _add(ints, In(0), In(1), In(2))


def _add_atomic(ints: Sequence[int], x: Argument, v: Argument, index: Argument) -> Plan:
    rows, width, taken, strict = ints
    start = flat("k_start", rows * width, Out(0), x)
    return Plan((start, flat("k_add_rows_atomic", taken * width, Out(0), v, index, Fault() if strict else 0, rows, width, strict)))


def scatter_rows_atomic(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return _add_atomic(ints, 0, In(0), In(1))


def scatter_add_rows_atomic(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return _add_atomic(ints, In(0), In(1), In(2))


FAMILY = Family(
    "gather",
    COMMON + _GATHER + "".join(moving(_GATHER, suffix) for suffix in MOVED) + _SOURCE,
    {**moved({"gather_rows": gather_rows}), "scatter_rows": scatter_rows, "scatter_add_rows": scatter_add_rows},
    variants={
        "atomic": Family(
            "gather_atomic",
            COMMON + _SOURCE + _ATOMIC,
            {"scatter_rows": scatter_rows_atomic, "scatter_add_rows": scatter_add_rows_atomic},
        )
    },
)
