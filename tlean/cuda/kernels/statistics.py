"""Products, variances and norms along axes, and running reductions."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import ACROSS, COMMON, Family, In, Out, Plan, Planner, by_rows, flat
from .reduce import RUNS, runs_of

_SOURCE = """
struct Product { static __device__ float of(float a, float b) { return a * b; } };

extern "C" __global__ void k_prod(float *y, const float *x, Runs r, i64 rows, i64 n) {
    TL_ROW
    const float *from = x + offset_of(row, r.kept, r.kept_stride);
    float total = 1;
    TL_LANES(j, n) total *= from[offset_of(j, r.reduced, r.reduced_stride)];
    total = across<Product>(total);
    if (mine && threadIdx.x == 0) y[row] = total;
}

extern "C" __global__ void k_norm(float *y, const float *x, Runs r, i64 rows, i64 n) {
    TL_ROW
    const float *from = x + offset_of(row, r.kept, r.kept_stride);
    float total = 0;
    TL_LANES(j, n) {
        const float v = from[offset_of(j, r.reduced, r.reduced_stride)];
        total += v * v;
    }
    total = across<Sum>(total);
    if (mine && threadIdx.x == 0) y[row] = sqrtf(total);
}

extern "C" __global__ void k_var(float *y, const float *x, Runs r, float count, float divisor, i64 rows, i64 n) {
    TL_ROW
    const float *from = x + offset_of(row, r.kept, r.kept_stride);
    float total = 0, squares = 0;
    TL_LANES(j, n) total += from[offset_of(j, r.reduced, r.reduced_stride)];
    const float mean = across<Sum>(total) / count;
    TL_LANES(j, n) {
        const float d = from[offset_of(j, r.reduced, r.reduced_stride)] - mean;
        squares += d * d;
    }
    squares = across<Sum>(squares);
    if (mine && threadIdx.x == 0) y[row] = squares / divisor;
}

/* One thread walks along a line: it begins at `at` and goes by `step`. */
#define TL_LINE                                                            \\
    i64 at = i / inner * length * inner + i % inner, step = inner;         \\
    if (reverse) { at += (length - 1) * inner; step = -inner; }

extern "C" __global__ void k_running_product(float *y, const float *x, i64 length, i64 inner, i64 reverse, i64 exclusive, i64 n) {
    TL_EACH(i, n) {
        TL_LINE
        float total = 1;
        for (i64 j = 0; j < length; j++, at += step) {
            const float next = total * x[at];
            y[at] = exclusive ? total : next;
            total = next;
        }
    }
}

extern "C" __global__ void k_recurrence(float *y, const float *a, const float *b, i64 length, i64 inner, i64 reverse, i64 lagged, i64 n) {
    TL_EACH(i, n) {
        TL_LINE
        float total = b[at];
        y[at] = total;
        for (i64 j = 1; j < length; j++) {
            const float by = lagged ? a[at] : a[at + step];
            at += step;
            y[at] = total = b[at] + by * total;
        }
    }
}

/* y and index may be absent. */
extern "C" __global__ void k_cummax(float *y, i64 *index, const float *x, i64 length, i64 inner, i64 reverse, i64 n) {
    TL_EACH(i, n) {
        TL_LINE
        float top = x[at];
        i64 place = at;
        for (i64 j = 0; j < length; j++, at += step) {
            const float v = x[at];
            if (v > top || (v != v && top == top)) { top = v; place = at; }
            if (y) y[at] = top;
            if (index) index[at] = place;
        }
    }
}

extern "C" __global__ void k_cumlogsumexp(float *y, const float *x, i64 length, i64 inner, i64 reverse, i64 n) {
    TL_EACH(i, n) {
        TL_LINE
        float top = x[at], total = 1;
        y[at] = top;
        for (i64 j = 1; j < length; j++) {
            at += step;
            const float v = x[at], e = v == top ? 1 : expf(-fabsf(v - top));
            total = v > top ? total * e + 1 : total + e;
            top = v > top ? v : top;
            y[at] = top + logf(total);
        }
    }
}
"""


def _by_runs(function: str) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        runs, kept, count = runs_of(ints)
        return Plan((by_rows(function, kept, count, Out(0), In(0), runs, *map(float, floats)),))

    return plan


def _lines(ints: Sequence[int]) -> int:
    return ints[0] * ints[2] if ints[1] else 0


def _along(function: str, *arguments: object, options: int = 2) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        return Plan((flat(function, _lines(ints), *arguments, *ints[1 : 3 + options]),))  # type: ignore[arg-type]

    return plan


FAMILY = Family(
    "statistics",
    COMMON + ACROSS + RUNS + _SOURCE,
    {
        "reduce_prod": _by_runs("k_prod"),
        "norm": _by_runs("k_norm"),
        "reduce_var": _by_runs("k_var"),
        "running_product": _along("k_running_product", Out(0), In(0)),
        "recurrence": _along("k_recurrence", Out(0), In(0), In(1)),
        "cummax": _along("k_cummax", Out(0), Out(1), In(0), options=1),
        "cummax_index": _along("k_cummax", 0, Out(0), In(0), options=1),
        "cumlogsumexp": _along("k_cumlogsumexp", Out(0), In(0), options=1),
    },
)
