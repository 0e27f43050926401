"""Pools over 1, 2 or 3 spatial axes. Gradients are gathered, cell by cell, so nothing is added from two threads."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from .plan import COMMON, Argument, Family, In, Out, Plan, Planner, Scratch, flat

_SOURCE = """
struct Windows {
    i64 planes, in[3], out[3], kernel[3], stride[3], padding[3];
    __device__ i64 cells() const { return in[0] * in[1] * in[2]; }
    __device__ i64 outs() const { return out[0] * out[1] * out[2]; }
    __device__ i64 taps() const { return kernel[0] * kernel[1] * kernel[2]; }
    /* The cell under tap `t` of window `o`, both counted in row-major order; -1 in the padding. */
    __device__ i64 cell(i64 o, i64 t) const {
        i64 at = 0, width = 1;
        for (int a = 2; a >= 0; a--) {
            const i64 i = o % out[a] * stride[a] - padding[a] + t % kernel[a];
            if (i < 0 || i >= in[a]) return -1;
            at += i * width;
            width *= in[a];
            o /= out[a];
            t /= kernel[a];
        }
        return at;
    }
    /* The window that has `cell` under its tap `t`; -1 if there is none. */
    __device__ i64 window(i64 cell, i64 t) const {
        i64 at = 0, width = 1;
        for (int a = 2; a >= 0; a--) {
            const i64 from = cell % in[a] + padding[a] - t % kernel[a];
            if (from < 0 || from % stride[a] || from / stride[a] >= out[a]) return -1;
            at += from / stride[a] * width;
            width *= out[a];
            cell /= in[a];
            t /= kernel[a];
        }
        return at;
    }
};

extern "C" __global__ void k_windows(float *y, const float *x, Windows w, float pad_value, i64 n) {
    TL_EACH(i, n) {
        const i64 outs = w.outs(), taps = w.taps(), at = w.cell(i % outs, i / outs % taps);
        y[i] = at < 0 ? pad_value : x[i / (outs * taps) * w.cells() + at];
    }
}
/* Taps backwards: windows in row-major order, as the CPU adds them. */
extern "C" __global__ void k_windows_adjoint(float *y, const float *g, Windows w, i64 n) {
    TL_EACH(i, n) {
        const i64 outs = w.outs(), taps = w.taps(), plane = i / w.cells();
        float total = 0;
        for (i64 t = taps - 1; t >= 0; t--) {
            const i64 o = w.window(i % w.cells(), t);
            if (o >= 0) total += g[(plane * taps + t) * outs + o];
        }
        y[i] = total;
    }
}

/* The first maximum of each window, NaN greatest; `at` its cell, -1 where the padding has it. Padding of -inf takes no part. */
extern "C" __global__ void k_max_pool(float *y, int *at, const float *x, Windows w, float pad_value, i64 n) {
    TL_EACH(i, n) {
        const i64 outs = w.outs(), plane = i / outs;
        float m = 0;
        i64 best = -1;
        bool started = false;
        for (i64 t = 0; t < w.taps(); t++) {
            const i64 k = w.cell(i % outs, t);
            if (k < 0 && pad_value == -INFINITY) continue;
            const float v = k < 0 ? pad_value : x[plane * w.cells() + k];
            if (!started || v > m || (v != v && m == m)) { m = v; best = k; started = true; }
        }
        if (y) y[i] = m;
        at[i] = (int)best;
    }
}
/* `found` where the call has no hint. */
extern "C" __global__ void k_max_pool_grad(float *dx, const float *g, const int *hint, const int *found, Windows w, i64 n) {
    const int *at = hint ? hint : found;
    TL_EACH(i, n) {
        const i64 outs = w.outs(), cell = i % w.cells(), plane = i / w.cells();
        float total = 0;
        for (i64 t = w.taps() - 1; t >= 0; t--) {
            const i64 o = w.window(cell, t);
            if (o >= 0 && at[plane * outs + o] == cell) total += g[plane * outs + o];
        }
        dx[i] = total;
    }
}
extern "C" __global__ void k_max_pool_gather(float *y, const float *h, const int *hint, const int *found, Windows w, i64 n) {
    const int *at = hint ? hint : found;
    TL_EACH(i, n) y[i] = at[i] < 0 ? 0 : h[i / w.outs() * w.cells() + at[i]];
}

extern "C" __global__ void k_avg_pool(float *y, const float *x, Windows w, i64 n) {
    TL_EACH(i, n) {
        const i64 outs = w.outs();
        float total = 0;
        for (i64 t = 0; t < w.taps(); t++) {
            const i64 k = w.cell(i % outs, t);
            if (k >= 0) total += x[i / outs * w.cells() + k];
        }
        y[i] = total / w.taps();
    }
}
extern "C" __global__ void k_avg_pool_grad(float *dx, const float *g, Windows w, i64 n) {
    TL_EACH(i, n) {
        float total = 0;
        for (i64 t = w.taps() - 1; t >= 0; t--) {
            const i64 o = w.window(i % w.cells(), t);
            if (o >= 0) total += g[i / w.cells() * w.outs() + o];
        }
        dx[i] = total / w.taps();
    }
}

/* top: the maximum of beta x over the cells of the window, 0 where it is infinite; total: the sum of exp(beta x - top). */
__device__ void window_total(const float *x, const Windows &w, float beta, i64 o, float &top, float &total) {
    top = -INFINITY;
    for (i64 t = 0; t < w.taps(); t++) {
        const i64 k = w.cell(o, t);
        if (k >= 0 && (beta * x[k] > top || x[k] != x[k])) top = beta * x[k];
    }
    if (top == INFINITY || top == -INFINITY) top = 0;
    total = 0;
    for (i64 t = 0; t < w.taps(); t++) {
        const i64 k = w.cell(o, t);
        if (k >= 0) total += expf(beta * x[k] - top);
    }
}
extern "C" __global__ void k_smooth_max_pool(float *y, const float *x, Windows w, float beta, i64 n) {
    TL_EACH(i, n) {
        float top, total;
        window_total(x + i / w.outs() * w.cells(), w, beta, i % w.outs(), top, total);
        y[i] = (logf(total) + top) / beta;
    }
}
extern "C" __global__ void k_smooth_totals(float *tops, float *totals, const float *x, Windows w, float beta, i64 n) {
    TL_EACH(i, n) window_total(x + i / w.outs() * w.cells(), w, beta, i % w.outs(), tops[i], totals[i]);
}
extern "C" __global__ void k_smooth_max_pool_grad(
    float *dx, const float *g, const float *x, const float *tops, const float *totals, Windows w, float beta, i64 n
) {
    TL_EACH(i, n) {
        float sum = 0;
        for (i64 t = w.taps() - 1; t >= 0; t--) {
            const i64 o = w.window(i % w.cells(), t), at = i / w.cells() * w.outs() + o;
            if (o >= 0) sum += g[at] * (expf(beta * x[i] - tops[at]) / totals[at]);
        }
        dx[i] = sum;
    }
}
"""


def _sizes(ints: Sequence[int]) -> tuple[int, int, int]:
    # Elements of x, of y, and windows laid out.
    cells, outs = ints[0] * prod(ints[1:4]), ints[0] * prod(ints[4:7])
    return cells, outs, outs * prod(ints[7:10])


def windows(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return Plan((flat("k_windows", _sizes(ints)[2], Out(0), In(0), tuple(ints), float(floats[0])),))


def windows_adjoint(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return Plan((flat("k_windows_adjoint", _sizes(ints)[0], Out(0), In(0), tuple(ints)),))


def max_pool(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return Plan((flat("k_max_pool", _sizes(ints)[1], Out(0), Out(1), In(0), tuple(ints), float(floats[0])),))


def _chosen(function: str, which: int) -> Planner:
    # Inputs: g or h, x, and the hint, which may be absent: then the cells are found again.
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        sizes = _sizes(ints)
        found = flat("k_max_pool", sizes[1], 0, Scratch(0), In(1), tuple(ints), float(floats[0]))
        return Plan((found, flat(function, sizes[which], Out(0), In(0), In(2), Scratch(0), tuple(ints))), (4 * sizes[1],))

    return plan


def avg_pool(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return Plan((flat("k_avg_pool", _sizes(ints)[1], Out(0), In(0), tuple(ints)),))


def avg_pool_grad(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return Plan((flat("k_avg_pool_grad", _sizes(ints)[0], Out(0), In(0), tuple(ints)),))


def smooth_max_pool(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return Plan((flat("k_smooth_max_pool", _sizes(ints)[1], Out(0), In(0), tuple(ints), float(floats[0])),))


def smooth_max_pool_grad(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    cells, outs, _ = _sizes(ints)
    w, beta = tuple(ints), float(floats[0])
    totals: tuple[Argument, ...] = (Scratch(0), Scratch(1))
    first = flat("k_smooth_totals", outs, *totals, In(1), w, beta)
    return Plan((first, flat("k_smooth_max_pool_grad", cells, Out(0), In(0), In(1), *totals, w, beta)), (4 * outs, 4 * outs))


FAMILY = Family(
    "pool",
    COMMON + _SOURCE,
    {
        "_windows": windows,
        "_windows_adjoint": windows_adjoint,
        "max_pool": max_pool,
        "_max_pool_grad": _chosen("k_max_pool_grad", 0),
        "_max_pool_gather": _chosen("k_max_pool_gather", 1),
        "avg_pool": avg_pool,
        "_avg_pool_grad": avg_pool_grad,
        "smooth_max_pool": smooth_max_pool,
        "_smooth_max_pool_grad": smooth_max_pool_grad,
    },
)
