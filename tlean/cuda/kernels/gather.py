"""Rows by number: taking them, and writing or adding to them in the order of the indices."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ...errors import ShapeError
from .plan import COMMON, MOVED, Argument, Family, Fault, In, Launch, Out, Plan, Scratch, ceil_div, flat, moved, moving

#: Blocks of rows that share the scan over the indices of a scatter.
PARTS = 64

_INDICES = """
enum { DROP, STRICT, RAISE, CLIP, FILL };
enum { ADD, SET, MAXIMUM, MINIMUM };

/* The row that an index names among n, -1 for none; `wrap` is added to a negative one where the mode says so. */
static __device__ i64 resolve(i64 i, i64 n, i64 wrap, i64 mode, int *fault) {
    if (mode == CLIP) return i < n ? (i < 0 ? 0 : i) : n - 1;
    if (i < 0 && (mode == RAISE || mode == FILL)) i += wrap;
    if (i >= 0 && i < n) return i;
    if (fault && (mode == STRICT || mode == RAISE)) atomicExch(fault, 1);
    return -1;
}

/* The column of a block that a thread of a scatter has, and the rows first ... last - 1 of it; y and v begin there. */
#define TL_COLUMN(y, v)                                                                                            \\
    const i64 column = (i64)blockIdx.x * blockDim.x + threadIdx.x, each = (rows + gridDim.y - 1) / gridDim.y;       \\
    const i64 first = blockIdx.y * each, last = first + each;                                                      \\
    if (column >= width * blocks) return;                                                                          \\
    y += column / width * rows * width + column % width;                                                           \\
    v += column / width * taken * width + column % width;

struct Walk { i64 sizes[16], strides[16], before[16], along[16]; };

/* Element i of a box in x; -1 where `at` says nowhere or the box does not lie within. */
static __device__ i64 boxed(i64 i, const Walk &w, i64 axes, i64 offset, const i64 *at, i64 total, int *fault) {
    if (at && *at < 0) return -1;
    i64 place = offset + (at ? *at : 0);
    for (int a = (int)axes - 1; a >= 0; a--) {
        place += i % w.sizes[a] * w.strides[a];
        i /= w.sizes[a];
    }
    if (place >= 0 && place < total) return place;
    if (fault) atomicExch(fault, 1);
    return -1;
}
"""

#: What moves values that it does not compute with.
_MOVES = """
extern "C" __global__ void k_gather_rows(
    float *y, const float *x, const i64 *index, int *fault, i64 rows, i64 width, i64 taken, i64 mode, i64 n
) {
    TL_EACH(i, n) {
        const i64 at = i / width, row = resolve(index[at % taken], rows, rows, mode, fault);
        y[i] = row < 0 ? 0 : x[(at / taken * rows + row) * width + i % width];
    }
}

/* x, or zeros where x is absent. */
extern "C" __global__ void k_start(float *y, const float *x, i64 n) { TL_EACH(i, n) y[i] = x ? x[i] : 0; }

/* A thread owns one column of some rows of every block and goes through the indices in order: the last one stays. */
extern "C" __global__ void k_set_rows(
    float *y, const float *v, const i64 *index, int *fault, i64 rows, i64 width, i64 taken, i64 mode, i64 blocks
) {
    TL_COLUMN(y, v)
    for (i64 t = 0; t < taken; t++) {
        const i64 row = resolve(index[t], rows, rows, mode, fault);
        if (row >= first && row < last) y[row * width] = v[t * width];
    }
}

extern "C" __global__ void k_set_box(
    float *y, const float *v, const i64 *at, int *fault, Walk w, i64 axes, i64 offset, i64 total, i64 n
) {
    TL_EACH(i, n) {
        const i64 place = boxed(i, w, axes, offset, at, total, fault);
        if (place >= 0) y[place] = v[i];
    }
}

extern "C" __global__ void k_take_box(
    float *y, const float *x, const i64 *at, int *fault, Walk w, i64 axes, i64 offset, i64 total, i64 n
) {
    TL_EACH(i, n) {
        const i64 place = boxed(i, w, axes, offset, at, total, fault);
        y[i] = place < 0 ? 0 : x[place];
    }
}
"""

_SOURCE = """
/* A thread owns one column of some rows of every block and goes through the indices in order, so the order of additions is fixed. */
extern "C" __global__ void k_put_rows(
    float *y, const float *v, const i64 *index, int *fault, i64 rows, i64 width, i64 taken, i64 mode, i64 blocks, i64 what
) {
    TL_COLUMN(y, v)
    for (i64 t = 0; t < taken; t++) {
        const i64 row = resolve(index[t], rows, rows, mode, fault);
        if (row < first || row >= last) continue;
        float *to = y + row * width;
        const float old = *to, value = v[t * width];
        if (what == ADD) *to = old + value;
        else if (what == MAXIMUM) *to = old > value || old != old ? old : value;
        else *to = old < value || old != old ? old : value;
    }
}

/* Positions made of indices: see the CPU's kernel. */
extern "C" __global__ void k_locate(
    i64 *y, const i64 *index, const i64 *prior, int *fault, Walk w, i64 axes, i64 size, i64 wrap, i64 step, i64 mode, i64 first, i64 n
) {
    TL_EACH(p, n) {
        i64 rest = p, at = first, before = 0, offset = 0;
        for (int a = (int)axes - 1; a >= 0; a--) {
            const i64 k = rest % w.sizes[a];
            rest /= w.sizes[a];
            at += k * w.strides[a];
            before += k * w.before[a];
            offset += k * w.along[a];
        }
        const i64 row = resolve(index[at], size, wrap, mode, fault), added = prior ? prior[before] : 0;
        y[p] = row < 0 || added < 0 ? -1 : step * row + offset + added;
    }
}
"""

_LINKS = """
enum { PREVIOUS, NEXT, LAST, FIRST, START };

/* The indices in lists, those of an entry in one, each in whatever order its threads come. There are as many lists as indices, and more. */
static __device__ i64 list_of(i64 row, i64 lists) { return (i64)((unsigned long long)row * 0x9E3779B97F4A7C15ull >> 20) & (lists - 1); }

extern "C" __global__ void k_list_indices(
    i64 *after, unsigned long long *first, const i64 *index, int *fault, i64 size, i64 mode, i64 lists, i64 n
) {
    TL_EACH(j, n) {
        const i64 row = resolve(index[j], size, size, mode, fault);
        if (row >= 0) after[j] = (i64)atomicExch(first + list_of(row, lists), (unsigned long long)j);
    }
}

/* The nearest index before or after another that names the same entry; -1 if there is none. Two searches take turns until one is through:
 * from index to index, which is short where many name the entry, and along its list, which is short where few do. */
static __device__ i64 nearest(i64 j, i64 row, i64 by, const i64 *index, const i64 *after, i64 next, i64 size, i64 mode, i64 n) {
    i64 found = -1;
    for (i64 k = j + by; next >= 0; k += by, next = after[next]) {
        if (k < 0 || k >= n) return -1;
        if (resolve(index[k], size, size, mode, 0) == row) return k;
        if ((next - j) * by > 0 && (found < 0 || (found - next) * by > 0) && resolve(index[next], size, size, mode, 0) == row) found = next;
    }
    return found;
}

extern "C" __global__ void k_neighbours(
    i64 *y, const i64 *index, const i64 *after, const i64 *first, i64 size, i64 mode, i64 which, i64 lists, i64 n
) {
    TL_EACH(j, n) {
        const i64 row = resolve(index[j], size, size, mode, 0), by = which == NEXT || which == LAST ? 1 : -1;
        const i64 other = row < 0 ? -1 : nearest(j, row, by, index, after, first[list_of(row, lists)], size, mode, n);
        y[j] = row < 0 ? -1 : which <= NEXT ? other : other >= 0 ? -1 : which == START ? j : row;
    }
}

extern "C" __global__ void k_no_links(i64 *y, i64 n) { TL_EACH(j, n) y[j] = -1; }
extern "C" __global__ void k_inverse_links(i64 *y, const i64 *link, i64 n) {
    TL_EACH(j, n) if (link[j] >= 0 && link[j] < n) y[link[j]] = j;
}

/* A thread owns one column of a block and goes through its rows in order. */
extern "C" __global__ void k_chain_rows(
    float *y, const float *a, const float *b, const i64 *link, i64 rows, i64 width, i64 backwards, i64 n
) {
    TL_EACH(i, n) {
        const i64 first = i / width * rows * width + i % width;
        for (i64 k = 0; k < rows; k++) {
            const i64 j = backwards ? rows - 1 - k : k, at = first + j * width, l = link[j];
            if (l < 0 || l >= rows) y[at] = b[at];
            else {
                const float product = a[at] * y[first + l * width];
                y[at] = b[at] == 0 ? product : product + b[at];
            }
        }
    }
}
"""

#: Sums and products of integers, modulo 2 to the power of the bits; of Booleans "or" and "and".
_WHOLE = """
extern "C" __global__ void k_put_rows_@(
    TYPE *y, const TYPE *v, const i64 *index, int *fault, i64 rows, i64 width, i64 taken, i64 mode, i64 blocks, i64 what
) {
    TL_COLUMN(y, v)
    for (i64 t = 0; t < taken; t++) {
        const i64 row = resolve(index[t], rows, rows, mode, fault);
        if (row < first || row >= last) continue;
        TYPE *to = y + row * width;
        const TYPE old = *to, value = v[t * width];
        if (what == ADD && sizeof(TYPE) > 1) *to = (TYPE)((unsigned long long)old + (unsigned long long)value);
        else if (what == MINIMUM) *to = old < value ? old : value;
        else *to = old > value ? old : value;
    }
}

extern "C" __global__ void k_chain_rows_@(
    TYPE *y, const TYPE *a, const TYPE *b, const i64 *link, i64 rows, i64 width, i64 backwards, i64 n
) {
    TL_EACH(i, n) {
        const i64 first = i / width * rows * width + i % width;
        for (i64 k = 0; k < rows; k++) {
            const i64 j = backwards ? rows - 1 - k : k, at = first + j * width, l = link[j];
            const TYPE before = l < 0 || l >= rows ? 0 : y[first + l * width];
            if (sizeof(TYPE) == 1) y[at] = (TYPE)((a[at] & before) | b[at]);
            else y[at] = (TYPE)((unsigned long long)b[at] + (unsigned long long)a[at] * (unsigned long long)before);
        }
    }
}
"""

# In whatever order the threads come: for sessions that do not ask for the same bits in every run.
_ATOMIC = """
extern "C" __global__ void k_add_rows_atomic(
    float *y, const float *v, const i64 *index, int *fault, i64 rows, i64 width, i64 taken, i64 mode, i64 n
) {
    TL_EACH(i, n) {
        const i64 at = i / width, row = resolve(index[at % taken], rows, rows, mode, fault);
        if (row >= 0) atomicAdd(y + (at / taken * rows + row) * width + i % width, v[i]);
    }
}
"""

#: The codes of the modes that find an index out of range to be a fault; see `ops.gather`.
_FAULTS = (1, 2)
#: Axes that `k_locate` walks.
_MOST_AXES = 16


def _fault(mode: int) -> Argument:
    return Fault() if mode in _FAULTS else 0


def gather_rows(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    rows, width, taken, mode, blocks, _ = ints
    n = blocks * taken * width
    return Plan((flat("k_gather_rows", n, Out(0), In(0), In(1), _fault(mode), rows, width, taken, mode),))


def _put(function: str, ints: Sequence[int], x: Argument, v: Argument, index: Argument, *what: int) -> Plan:
    rows, width, taken, mode, blocks, _ = ints
    start = flat("k_start", blocks * rows * width, Out(0), x)
    args = (Out(0), v, index, _fault(mode), rows, width, taken, mode, blocks, *what)
    # Without rows there is still an index to refuse.
    grid = (ceil_div(width * blocks, 128) if taken else 0, max(min(rows, PARTS), 1), 1)
    return Plan((start, Launch(function, args, grid, (128, 1, 1))))


def scatter_rows(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return _put("k_put_rows", ints, 0, In(0), In(1), ints[5])


def scatter_into_rows(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return _put("k_put_rows", ints, In(0), In(1), In(2), ints[5])


def set_rows(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return _put("k_set_rows", ints, In(0), In(1), In(2))


def _add_atomic(ints: Sequence[int], x: Argument, v: Argument, index: Argument) -> Plan:
    rows, width, taken, mode, blocks, what = ints
    if what:
        # Only sums are the same in every order.
        return _put("k_put_rows", ints, x, v, index, what)
    start = flat("k_start", blocks * rows * width, Out(0), x)
    args = (Out(0), v, index, _fault(mode), rows, width, taken, mode)
    return Plan((start, flat("k_add_rows_atomic", blocks * taken * width, *args)))


def scatter_rows_atomic(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return _add_atomic(ints, 0, In(0), In(1))


def scatter_into_rows_atomic(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return _add_atomic(ints, In(0), In(1), In(2))


def _walk(axes: int, *runs: Sequence[int]) -> tuple[int, ...]:
    if axes > _MOST_AXES:
        raise ShapeError(f"CUDA: indices and boxes must have at most {_MOST_AXES} axes that cannot be merged, not {axes}")
    every = (*runs, *[(0,) * axes] * (4 - len(runs)))
    return tuple(v for k, run in enumerate(every) for v in (*run, *(0 if k else 1,) * (_MOST_AXES - axes)))


def locate(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    axes, count, size, wrap, step, mode, first, *rest = ints
    walk = _walk(axes, *(rest[k * axes : (k + 1) * axes] for k in range(4)))
    return Plan((flat("k_locate", count, Out(0), In(0), In(1), _fault(mode), walk, axes, size, wrap, step, mode, first),))


def neighbours(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    count, size, mode, which = ints
    lists = 1 << max(count - 1, 0).bit_length()
    after, first = Scratch(0), Scratch(1)
    launches = (
        flat("k_no_links", lists, first),
        flat("k_list_indices", count, after, first, In(0), _fault(mode), size, mode, lists),
        flat("k_neighbours", count, Out(0), In(0), after, first, size, mode, which, lists),
    )
    return Plan(launches, (8 * count, 8 * lists))


def inverse_links(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return Plan((flat("k_no_links", ints[0], Out(0)), flat("k_inverse_links", ints[0], Out(0), In(0))))


def chain_rows(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    blocks, rows, width, backwards = ints
    n = blocks * width if rows else 0
    return Plan((flat("k_chain_rows", n, Out(0), In(0), In(1), In(2), rows, width, backwards),))


def _box(function: str, ints: Sequence[int], source: Argument, at: Argument) -> Launch:
    total, offset, axes, *rest = ints
    walk = _walk(axes, rest[:axes], rest[axes:])
    return flat(function, prod(rest[:axes]), Out(0), source, at, Fault(), walk, axes, offset, total)


def set_box(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return Plan((flat("k_start", ints[0], Out(0), In(0)), _box("k_set_box", ints, In(1), In(2))))


def take_box(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return Plan((_box("k_take_box", ints, In(0), In(1)),))


FAMILY = Family(
    "gather",
    COMMON
    + _INDICES
    + _MOVES
    + "".join(moving(_MOVES, suffix) for suffix in MOVED)
    + _SOURCE
    + _LINKS
    + "".join(_WHOLE.replace("@", suffix).replace("TYPE", number) for suffix, number in MOVED.items()),
    {
        **moved({"gather_rows": gather_rows, "set_rows": set_rows, "set_box": set_box, "take_box": take_box}),
        **moved({"scatter_rows": scatter_rows, "scatter_into_rows": scatter_into_rows, "chain_rows": chain_rows}),
        "locate": locate,
        "neighbours": neighbours,
        "_inverse_links": inverse_links,
    },
    variants={
        "atomic": Family(
            "gather_atomic",
            COMMON + _INDICES + _MOVES + _SOURCE + _ATOMIC,
            {"scatter_rows": scatter_rows_atomic, "scatter_into_rows": scatter_into_rows_atomic},
        )
    },
)
