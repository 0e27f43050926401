"""Sums, maxima and running sums along axes, in an order that the shape alone decides."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ...errors import ShapeError
from .plan import ACROSS, COMMON, Argument, Family, In, Launch, Out, Plan, Planner, Scratch, by_rows, ceil_div, flat

#: Runs of axes of one kind, kept or reduced.
MOST_RUNS = 6
#: Elements that one row of threads sums before the work is cut up.
SLICE = 16384
#: Neighbours that a block sums over an outer axis side by side.
LANES = 32

#: Kept and reduced runs, and where an element of them is.
RUNS = (
    f"""
enum {{ RUNS = {MOST_RUNS} }};
"""
    + """
/* Kept and reduced runs of axes, the last one the innermost: sizes and strides. */
struct Runs { i64 kept[RUNS], kept_stride[RUNS], reduced[RUNS], reduced_stride[RUNS]; };

__device__ __forceinline__ i64 offset_of(i64 i, const i64 *sizes, const i64 *strides) {
    i64 at = 0;
    for (int a = RUNS - 1; a >= 0; a--) {
        at += i % sizes[a] * strides[a];
        i /= sizes[a];
    }
    return at;
}
"""
)

_SOURCE = """
/* One slice of one output element's sum for each row; out[element * slices + slice]. */
extern "C" __global__ void k_sum_slices(
    float *out, const float *x, Runs r, i64 count, i64 slices, i64 width, float divisor, i64 rows, i64 n
) {
    TL_ROW
    const float *from = x + offset_of(row / slices, r.kept, r.kept_stride);
    const i64 first = row % slices * width, last = first + width < count ? first + width : count;
    float total = 0;
    for (i64 j = first + threadIdx.x; j < last; j += blockDim.x) total += from[offset_of(j, r.reduced, r.reduced_stride)];
    total = across<Sum>(total);
    if (mine && threadIdx.x == 0) out[row] = total / divisor;
}

/* As k_sum_slices where the reduced elements lie side by side: row (element, slice) begins at element * count + slice * width. */
extern "C" __global__ void k_sum_runs(float *out, const float *x, i64 count, i64 slices, i64 width, float divisor, i64 rows, i64 n) {
    TL_ROW
    const float *from = x + row / slices * count;
    const i64 first = row % slices * width, last = first + width < count ? first + width : count;
    float total = 0;
#pragma unroll 8
    for (i64 j = first + threadIdx.x; j < last; j += blockDim.x) total += from[j];
    total = across<Sum>(total);
    if (mine && threadIdx.x == 0) out[row] = total / divisor;
}

/* x (outer, count, inner) summed over `count`: a block has 32 neighbours of `inner` and `width` of the summed ones, 8 threads a column.
 * out[(o * slices + slice) * inner + column]. */
extern "C" __global__ void k_sum_columns(float *out, const float *x, i64 count, i64 inner, i64 slices, i64 width, float divisor) {
    __shared__ float parts[8][33];
    const i64 across_inner = (inner + 31) / 32, column = blockIdx.x % across_inner * 32 + threadIdx.x, row = blockIdx.x / across_inner;
    const i64 first = row % slices * width, last = first + width < count ? first + width : count;
    const float *from = x + row / slices * count * inner + column;
    float total = 0;
    if (column < inner)
#pragma unroll 4
        for (i64 j = first + threadIdx.y; j < last; j += 8) total += from[j * inner];
    parts[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.y || column >= inner) return;
    for (int k = 1; k < 8; k++) total += parts[k][threadIdx.x];
    out[row * inner + column] = total / divisor;
}

/* Whether v at position i comes before m at position k as the maximum: NaN is greatest, and the first of equals wins. */
__device__ __forceinline__ bool beats(float v, i64 i, float m, i64 k) {
    if (k < 0 || i < 0) return k < 0 && i >= 0;
    if (v != v || m != m) return v != v && (m == m || i < k);
    return v > m || (v == m && i < k);
}

/* y, index32 and index64 may be absent. */
extern "C" __global__ void k_maximum(float *y, int *index32, i64 *index64, const float *x, Runs r, i64 rows, i64 n) {
    __shared__ float values[256];
    __shared__ i64 positions[256];
    TL_ROW
    const int t = threadIdx.y * blockDim.x + threadIdx.x;
    const float *from = x + offset_of(row, r.kept, r.kept_stride);
    float m = 0;
    i64 k = -1;
    TL_LANES(j, n) {
        const float v = from[offset_of(j, r.reduced, r.reduced_stride)];
        if (beats(v, j, m, k)) { m = v; k = j; }
    }
    values[t] = m;
    positions[t] = k;
    __syncthreads();
    for (int s = blockDim.x / 2; s > 0; s /= 2) {
        if ((int)threadIdx.x < s && beats(values[t + s], positions[t + s], values[t], positions[t])) {
            values[t] = values[t + s];
            positions[t] = positions[t + s];
        }
        __syncthreads();
    }
    if (mine && threadIdx.x == 0) {
        if (y) y[row] = values[t];
        if (index32) index32[row] = (int)positions[t];
        if (index64) index64[row] = positions[t];
    }
}

/* Whether any is true, or all: whether there is one of which that decides. */
extern "C" __global__ void k_truth(unsigned char *y, const unsigned char *x, Runs r, i64 every, i64 rows, i64 n) {
    __shared__ int found[256];
    TL_ROW
    const int t = threadIdx.y * blockDim.x + threadIdx.x;
    const unsigned char *from = x + offset_of(row, r.kept, r.kept_stride);
    int decides = 0;
    TL_LANES(j, n) decides |= (from[offset_of(j, r.reduced, r.reduced_stride)] != 0) != every;
    found[t] = decides;
    __syncthreads();
    for (int s = blockDim.x / 2; s > 0; s /= 2) {
        if ((int)threadIdx.x < s) found[t] |= found[t + s];
        __syncthreads();
    }
    if (mine && threadIdx.x == 0) y[row] = found[t] != every;
}

extern "C" __global__ void k_take_at(float *y, const float *x, const int *index, Runs r, i64 n) {
    TL_EACH(i, n) y[i] = x[offset_of(i, r.kept, r.kept_stride) + offset_of(index[i], r.reduced, r.reduced_stride)];
}

/* Zeros, then one element of each slice; the slices have no element in common. */
extern "C" __global__ void k_zero(float *y, i64 n) { TL_EACH(i, n) y[i] = 0; }
extern "C" __global__ void k_place_at(float *y, const float *v, const int *index, Runs r, i64 n) {
    TL_EACH(i, n) y[offset_of(i, r.kept, r.kept_stride) + offset_of(index[i], r.reduced, r.reduced_stride)] = v[i];
}

extern "C" __global__ void k_cumsum(float *y, const float *x, i64 length, i64 inner, i64 reverse, i64 n) {
    TL_EACH(i, n) {
        i64 at = i / inner * length * inner + i % inner, step = inner;
        if (reverse) { at += (length - 1) * inner; step = -inner; }
        float total = 0;
        for (i64 j = 0; j < length; j++, at += step) y[at] = total = total + x[at];
    }
}
"""


def runs_of(ints: Sequence[int]) -> tuple[tuple[int, ...], int, int]:
    """(the struct Runs, kept elements, reduced elements), of the integers of a reduction."""
    count, first, *sizes = ints
    kinds: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    stride = 1
    for k in reversed(range(count)):
        kinds[bool(first) == (k % 2 == 0)].insert(0, (sizes[k], stride))
        stride *= sizes[k]
    if max(map(len, kinds.values())) > MOST_RUNS:
        raise ShapeError(f"CUDA: a reduction has at most {MOST_RUNS} runs of reduced axes and as many of kept ones")
    values: list[int] = []
    for kind in (False, True):
        filled = [(1, 0)] * (MOST_RUNS - len(kinds[kind])) + kinds[kind]
        # A size of 0 never divides: there is nothing to do then.
        values += [max(n, 1) for n, _ in filled] + [s for _, s in filled]
    return tuple(values), prod(n for n, _ in kinds[False]), prod(n for n, _ in kinds[True])


def reduce_sum(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    runs, kept, count = runs_of(ints)
    divisor = float(floats[0])
    # From the innermost run outwards, and whether that one is reduced.
    sizes, innermost = ints[:1:-1], bool(ints[1]) == (ints[0] % 2 == 1)
    if innermost and len(sizes) <= 2:
        return _side_by_side(kept, count, divisor)
    if not innermost and len(sizes) <= 3 and count and sizes[0] >= LANES:
        return _columns(kept // sizes[0], count, sizes[0], divisor)

    def launch(out: Argument, slices: int, width: int, by: float) -> Launch:
        return by_rows("k_sum_slices", kept * slices, min(width, count), out, In(0), runs, count, slices, width, by)

    slices = ceil_div(count, SLICE)
    if slices <= 1:
        return Plan((launch(Out(0), 1, max(count, 1), divisor),))
    return Plan((launch(Scratch(0), slices, SLICE, 1.0), finish_slices(Out(0), Scratch(0), kept, slices, divisor)), (4 * kept * slices,))


def _side_by_side(kept: int, count: int, divisor: float) -> Plan:
    slices = max(ceil_div(count, SLICE), 1)

    def launch(out: Argument, x: Argument, n: int, slices: int, width: int, by: float) -> Launch:
        return by_rows("k_sum_runs", kept * slices, min(width, n), out, x, n, slices, width, by)

    if slices == 1:
        return Plan((launch(Out(0), In(0), count, 1, max(count, 1), divisor),))
    first = launch(Scratch(0), In(0), count, slices, SLICE, 1.0)
    return Plan((first, launch(Out(0), Scratch(0), slices, 1, slices, divisor)), (4 * kept * slices,))


def _columns(outer: int, count: int, inner: int, divisor: float) -> Plan:
    # As many slices as give a device something to do, each of at least 64 elements.
    blocks = outer * ceil_div(inner, LANES)
    slices = min(ceil_div(256, blocks), ceil_div(count, 64)) if blocks else 1
    width = ceil_div(count, slices)
    slices = ceil_div(count, width)

    def launch(out: Argument, x: Argument, count: int, slices: int, width: int, by: float) -> Launch:
        grid = (outer * slices * ceil_div(inner, LANES), 1, 1)
        return Launch("k_sum_columns", (out, x, count, inner, slices, width, by), grid, (LANES, 8, 1))

    if slices == 1:
        return Plan((launch(Out(0), In(0), count, 1, count, divisor),))
    first = launch(Scratch(0), In(0), count, slices, width, 1.0)
    return Plan((first, launch(Out(0), Scratch(0), slices, 1, slices, divisor)), (4 * outer * slices * inner,))


def finish_slices(out: Argument, parts: Argument, kept: int, slices: int, divisor: float) -> Launch:
    """The launch that adds up the partial sums of `slices` slices for each of the kept elements, and divides."""
    whole = (1,) * (MOST_RUNS - 1) + (kept,) + (0,) * (MOST_RUNS - 1) + (slices,)
    partial = (1,) * (MOST_RUNS - 1) + (slices,) + (0,) * (MOST_RUNS - 1) + (1,)
    return by_rows("k_sum_slices", kept, slices, out, parts, whole + partial, slices, 1, slices, divisor)


def _maximum(*outs: Argument) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        runs, kept, count = runs_of(ints)
        return Plan((by_rows("k_maximum", kept, count, *outs, In(0), runs),))

    return plan


def _truth(every: int) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        runs, kept, count = runs_of(ints)
        return Plan((by_rows("k_truth", kept, count, Out(0), In(0), runs, every),))

    return plan


def take_at(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    runs, kept, _ = runs_of(ints)
    return Plan((flat("k_take_at", kept, Out(0), In(0), In(1), runs),))


def place_at(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    runs, kept, count = runs_of(ints)
    return Plan((flat("k_zero", kept * count, Out(0)), flat("k_place_at", kept if count else 0, Out(0), In(0), In(1), runs)))


def cumsum(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    outer, length, inner, reverse = ints
    return Plan((flat("k_cumsum", outer * inner if length else 0, Out(0), In(0), length, inner, reverse),))


FAMILY = Family(
    "reduce",
    COMMON + ACROSS + RUNS + _SOURCE,
    {
        "reduce_sum": reduce_sum,
        "reduce_max": _maximum(Out(0), Out(1), 0),
        "max_index": _maximum(0, Out(0), 0),
        "argmax": _maximum(0, 0, Out(0)),
        "any:b8": _truth(0),
        "all:b8": _truth(1),
        "take_at": take_at,
        "place_at": place_at,
        "cumsum": cumsum,
    },
)
