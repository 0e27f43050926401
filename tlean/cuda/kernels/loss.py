"""Losses and their gradients; picking at labels."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import ACROSS, COMMON, Family, Fault, In, Launch, Out, Plan, Planner, Scratch, by_rows, ceil_div, flat

#: The codes of the reductions, as in `tlean.ops.loss`.
NONE, MEAN = 0, 1
#: Losses that one block adds up.
SLICE = 4096

# A loss of two arrays of one shape: every loss, and one sum for each slice of them.
_PAIRED = """
extern "C" __global__ void k_{name}(float *y, const float *a, const float *b, i64 n) {{ TL_EACH(i, n) y[i] = {loss}(a[i], b[i]); }}
extern "C" __global__ void k_{name}_sum(float *y, const float *a, const float *b, i64 width, i64 count) {{
    const i64 first = blockIdx.x * width, last = first + width < count ? first + width : count;
    float total = 0;
    for (i64 i = first + threadIdx.x; i < last; i += blockDim.x) total += {loss}(a[i], b[i]);
    total = across<Sum>(total);
    if (threadIdx.x == 0) y[blockIdx.x] = total;
}}
"""

_LOSSES = """
enum { NONE, MEAN, SUM };
__device__ __forceinline__ float squared(float a, float b) { return (a - b) * (a - b); }
__device__ __forceinline__ float cross(float x, float t) { return (x <= 0 ? 0 : x) - x * t + log1pf(expf(-fabsf(x))); }
__device__ __forceinline__ float sigmoid(float x) { const float e = expf(-fabsf(x)); return (x < 0 ? e : 1) / (1 + e); }

"""

_SOURCE = """
/* y = sum of parts / (weights ? sum of weights : divisor), by one block. */
extern "C" __global__ void k_finish(float *y, const float *parts, const float *weights, float divisor, i64 n) {
    float total = 0, weight = 0;
    TL_LANES(i, n) total += parts[i];
    total = across<Sum>(total);
    if (weights) {
        TL_LANES(i, n) weight += weights[i];
        divisor = across<Sum>(weight);
    }
    if (threadIdx.x == 0) *y = total / divisor;
}

__device__ __forceinline__ float share(const float *g, i64 i, i64 reduction, float count) {
    return reduction == NONE ? g[i] : reduction == MEAN ? g[0] / count : g[0];
}
extern "C" __global__ void k_mse_loss_grad(float *da, float *db, const float *g, const float *a, const float *b, i64 reduction, i64 n) {
    TL_EACH(i, n) {
        const float d = 2 * (share(g, i, reduction, (float)n) * (a[i] - b[i]));
        da[i] = d;
        db[i] = -d;
    }
}
extern "C" __global__ void k_bce_with_logits_grad(
    float *dx, float *dt, const float *g, const float *x, const float *t, i64 reduction, i64 n
) {
    TL_EACH(i, n) {
        const float each = share(g, i, reduction, (float)n);
        dx[i] = each * (sigmoid(x[i]) - t[i]);
        dt[i] = -(each * x[i]);
    }
}

/* Which label is ignored, if any. */
struct Ignored { i64 any, which; __device__ bool operator()(i64 label) const { return any && label == which; } };

extern "C" __global__ void k_one_hot(float *y, const i64 *labels, int *fault, i64 depth, Ignored ignored, i64 strict, i64 n) {
    TL_EACH(i, n) {
        const i64 label = labels[i / depth];
        y[i] = label == i % depth && !ignored(label) ? 1 : 0;
        if (strict && !ignored(label) && (label < 0 || label >= depth)) atomicExch(fault, 1);
    }
}
extern "C" __global__ void k_pick(float *y, const float *x, const i64 *labels, int *fault, i64 depth, Ignored ignored, i64 n) {
    TL_EACH(i, n) {
        const i64 label = labels[i];
        const bool inside = label >= 0 && label < depth;
        y[i] = inside && !ignored(label) ? x[i * depth + label] : 0;
        if (!inside && !ignored(label)) atomicExch(fault, 1);
    }
}
extern "C" __global__ void k_unpick(float *y, const float *x, const i64 *labels, int *fault, i64 depth, Ignored ignored, i64 n) {
    TL_EACH(i, n) {
        const i64 label = labels[i / depth];
        y[i] = label == i % depth && !ignored(label) ? x[i / depth] : 0;
        if (!ignored(label) && (label < 0 || label >= depth)) atomicExch(fault, 1);
    }
}

/* A row of threads a label: its loss, the weight with which it counts, and the residuals. */
extern "C" __global__ void k_cross_entropy(
    float *losses, float *counts, float *top_out, float *log_total_out, const float *x, const i64 *labels, const float *weight, int *fault,
    Ignored ignored, float smoothing, i64 rows, i64 n
) {
    TL_ROW
    x += row * n;
    float top = -INFINITY, total = 0, others = 0, weights = 0;
    TL_LANES(j, n) top = Max::of(top, x[j]);
    top = across<Max>(top);
    TL_LANES(j, n) total += expf(x[j] - top);
    const float log_total = logf(across<Sum>(total));
    if (smoothing != 0) {
        TL_LANES(j, n) {
            others += (weight ? weight[j] : 1) * (x[j] - top);
            weights += weight ? weight[j] : 1;
        }
        others = across<Sum>(others);
        weights = across<Sum>(weights);
    }
    if (!mine || threadIdx.x) return;
    top_out[row] = top;
    log_total_out[row] = log_total;
    const i64 label = labels[row];
    float loss = 0, count = 0;
    if (!ignored(label)) {
        if (label < 0 || label >= n) atomicExch(fault, 1);
        else {
            count = weight ? weight[label] : 1;
            loss = (1 - smoothing) * count * -((x[label] - top) - log_total);
            if (smoothing != 0) loss -= smoothing / n * (others - log_total * weights);
        }
    }
    losses[row] = loss;
    if (counts) counts[row] = count;
}
/* The sum of the weights with which the labels count, by one block. */
extern "C" __global__ void k_label_weight(float *y, const i64 *labels, const float *weight, Ignored ignored, i64 classes, i64 n) {
    float total = 0;
    TL_LANES(i, n) {
        const i64 label = labels[i];
        if (!ignored(label) && label >= 0 && label < classes) total += weight ? weight[label] : 1;
    }
    total = across<Sum>(total);
    if (threadIdx.x == 0) *y = total;
}
extern "C" __global__ void k_cross_entropy_grad(
    float *d, const float *g, const float *x, const i64 *labels, const float *weight, const float *top, const float *log_total,
    const float *counted, int *fault, Ignored ignored, i64 reduction, float smoothing, i64 rows, i64 n
) {
    TL_ROW
    x += row * n;
    d += row * n;
    float weights = 0;
    if (smoothing != 0) {
        TL_LANES(j, n) weights += weight ? weight[j] : 1;
        weights = across<Sum>(weights);
    }
    if (!mine) return;
    const i64 label = labels[row];
    const bool inside = label >= 0 && label < n, ignore = ignored(label);
    if (!inside && !ignore) atomicExch(fault, 1);
    const float own = inside && !ignore ? (1 - smoothing) * (weight ? weight[label] : 1) : 0;
    const float cotangent = share(g, row, reduction, counted ? *counted : 1), whole = own + smoothing / n * weights;
    TL_LANES(j, n) {
        const float wanted = (j == label ? own : 0) + smoothing / n * (weight ? weight[j] : 1);
        d[j] = ignore ? 0 : cotangent * (expf((x[j] - top[row]) - log_total[row]) * whole - wanted);
    }
}
"""


_PAIRS = _PAIRED.format(name="mse_loss", loss="squared") + _PAIRED.format(name="bce_with_logits", loss="cross")


def _paired(name: str) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        n, reduction = ints
        if reduction == NONE:
            return Plan((flat(f"k_{name}", n, Out(0), In(0), In(1)),))
        slices = ceil_div(n, SLICE)
        parts = Launch(f"k_{name}_sum", (Scratch(0), In(0), In(1), SLICE, n), (slices, 1, 1))
        finish = Launch("k_finish", (Out(0), Scratch(0), 0, float(n) if reduction == MEAN else 1.0, slices), (1, 1, 1))
        return Plan((parts, finish), (4 * slices,))

    return plan


def _paired_grad(name: str) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        n, reduction = ints
        return Plan((flat(f"k_{name}", n, Out(0), Out(1), In(0), In(1), In(2), reduction),))

    return plan


def one_hot(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    labels, depth, any_ignored, which, strict = ints
    fault = Fault() if strict else 0
    return Plan((flat("k_one_hot", labels * depth, Out(0), In(0), fault, depth, (any_ignored, which), strict),))


def pick(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    labels, depth, *ignored = ints
    return Plan((flat("k_pick", labels, Out(0), In(0), In(1), Fault(), depth, tuple(ignored)),))


def unpick(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    labels, depth, *ignored = ints
    return Plan((flat("k_unpick", labels * depth, Out(0), In(0), In(1), Fault(), depth, tuple(ignored)),))


def cross_entropy(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    labels, classes, any_ignored, which, reduction = ints
    rest = (Out(1), Out(2), In(0), In(1), In(2), Fault(), (any_ignored, which), float(floats[0]))
    if reduction == NONE:
        return Plan((by_rows("k_cross_entropy", labels, classes, Out(0), 0, *rest),))
    counts = Scratch(1) if reduction == MEAN else 0
    rows = by_rows("k_cross_entropy", labels, classes, Scratch(0), counts, *rest)
    finish = Launch("k_finish", (Out(0), Scratch(0), counts, 1.0, labels), (1, 1, 1))
    return Plan((rows, finish), (4 * labels, 4 * labels if reduction == MEAN else 0))


def cross_entropy_grad(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    labels, classes, any_ignored, which, reduction = ints
    ignored = (any_ignored, which)
    mean = reduction == MEAN
    counted = Scratch(0) if mean else 0
    args = (Out(0), *(In(k) for k in range(6)), counted, Fault(), ignored, reduction, float(floats[0]))
    rows = by_rows("k_cross_entropy_grad", labels, classes, *args)
    if not mean:
        return Plan((rows,))
    count = Launch("k_label_weight", (Scratch(0), In(2), In(3), ignored, classes, labels), (1, 1, 1))
    return Plan((count, rows), (4,))


FAMILY = Family(
    "loss",
    COMMON + ACROSS + _LOSSES + _PAIRS + _SOURCE,
    {
        "mse_loss": _paired("mse_loss"),
        "bce_with_logits": _paired("bce_with_logits"),
        "_mse_loss_grad": _paired_grad("mse_loss_grad"),
        "_bce_with_logits_grad": _paired_grad("bce_with_logits_grad"),
        "_one_hot": one_hot,
        "_pick": pick,
        "_unpick": unpick,
        "cross_entropy": cross_entropy,
        "_cross_entropy_grad": cross_entropy_grad,
    },
)
