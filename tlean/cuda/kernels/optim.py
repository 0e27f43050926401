"""Optimiser steps by the formulas of `tlean.ops.optim`, in the CPU kernels' order of operations.

`hyper` is float64 on the device; every thread works out the step's constants from it in double, then goes over its elements in float. Each
optimiser is a struct that updates one element; of it two kernels are made: one for one array, new values apart from old ones, and one for a
whole list of arrays in place (`..._all`, one launch for all parameters of a model; `tlean.cuda.step` runs it).

Where a step looks for numbers that are not finite, `k_look_begin` and `k_look` do so before the first update and leave a verdict on the
device. Updates read it, and do nothing if it is not 0: the host needs not wait in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .plan import COMMON, THREADS, Argument, Family, Faults, In, Launch, Out, Plan, Planner, Verdict, ceil_div, flat

#: Elements that one block of `..._all` updates; a multiple of 4.
CHUNK = 4096
#: Arrays that one launch looks through, and the most blocks that share one of them.
LOOKED_AT, MOST_LOOKING = 8, 1024
#: Bytes of a verdict: 8 that are 0 if all numbers are finite, else the bits of one that is not, under 2**32 - 1 - the number of its array,
#: or 1 where an index was out of range alone; then the first array's only element, the loss.
LOOKED = 16
#: The entries of a `Row`, 8 bytes each: addresses of p, g and up to three states, elements.
ROW = 6

_FORMULAS = """
/* hyper h begins with lr, factor, weight decay: a step uses factor * gradient + decay * parameter. s: the states of the element. */
#define TL_GRADIENT(factor, decay) ((float)(factor) * g0 + (float)(decay) * p)

struct Sgd {
    float lr, factor, decay;
    __device__ Sgd(const double *h) : lr((float)h[0]), factor((float)h[1]), decay((float)h[2]) {}
    __device__ void operator()(float &p, float g0, float *) const { p = p - lr * TL_GRADIENT(factor, decay); }
};
/* h: ..., momentum, dampening, nesterov, step. The first step takes the gradient whole. */
struct Momentum {
    float lr, factor, decay, mu, fresh;
    bool nesterov;
    __device__ Momentum(const double *h)
        : lr((float)h[0]), factor((float)h[1]), decay((float)h[2]), mu((float)h[3]), fresh(h[6] <= 1 ? 1 : (float)(1 - h[4])),
          nesterov(h[5] != 0) {}
    __device__ void operator()(float &p, float g0, float *s) const {
        const float g = TL_GRADIENT(factor, decay), u = mu * s[0] + fresh * g;
        s[0] = u;
        p = nesterov ? p - lr * (g + mu * u) : p - lr * u;
    }
};
/* h: ..., beta1, beta2, eps, step, decoupled. The third state, the largest v so far, is AMSGrad's. */
template <bool LARGEST> struct Adam {
    float factor, decay, left, m_rate, v_keep, v_rate, step, root, eps;
    __device__ Adam(const double *h)
        : factor((float)h[1]), decay(h[7] != 0 ? 0 : (float)h[2]), left(h[7] != 0 ? (float)(1 - h[0] * h[2]) : 1),
          m_rate((float)(1 - h[3])), v_keep((float)h[4]), v_rate((float)(1 - h[4])), step((float)(h[0] / (1 - pow(h[3], h[6])))),
          root((float)sqrt(1 - pow(h[4], h[6]))), eps((float)h[5]) {}
    __device__ void operator()(float &p, float g0, float *s) const {
        const float g = TL_GRADIENT(factor, decay), m = s[0] + m_rate * (g - s[0]), v = v_keep * s[1] + v_rate * g * g;
        float w = v;
        s[0] = m;
        s[1] = v;
        if (LARGEST) s[2] = w = v > s[2] ? v : s[2];
        p = left * p - step * m / (sqrtf(w) / root + eps);
    }
};
/* h: ..., alpha, eps, momentum. States: v, then the mean that centres, then the velocity; the variants without leave them out. */
template <bool CENTRED, bool VELOCITY> struct RmsProp {
    float lr, factor, decay, keep, rate, eps, mu;
    __device__ RmsProp(const double *h)
        : lr((float)h[0]), factor((float)h[1]), decay((float)h[2]), keep((float)h[3]), rate((float)(1 - h[3])), eps((float)h[4]),
          mu((float)h[5]) {}
    __device__ void operator()(float &p, float g0, float *s) const {
        const float g = TL_GRADIENT(factor, decay), v = keep * s[0] + rate * g * g;
        float spread = v;
        s[0] = v;
        if (CENTRED) {
            const float a = s[1] + rate * (g - s[1]);
            s[1] = a;
            spread = v - a * a;
        }
        const float d = sqrtf(spread) + eps;
        if (VELOCITY) {
            const float u = mu * s[1 + CENTRED] + g / d;
            s[1 + CENTRED] = u;
            p = p - lr * u;
        } else p = p - lr * g / d;
    }
};
/* h: ..., lr_decay, eps, step. */
struct AdaGrad {
    float lr, factor, decay, eps;
    __device__ AdaGrad(const double *h)
        : lr((float)(h[0] / (1 + (h[5] - 1) * h[3]))), factor((float)h[1]), decay((float)h[2]), eps((float)h[4]) {}
    __device__ void operator()(float &p, float g0, float *s) const {
        const float g = TL_GRADIENT(factor, decay), v = s[0] + g * g;
        s[0] = v;
        p = p - lr * g / (sqrtf(v) + eps);
    }
};
/* h: ..., rho, eps. */
struct AdaDelta {
    float lr, factor, decay, keep, rate, eps;
    __device__ AdaDelta(const double *h)
        : lr((float)h[0]), factor((float)h[1]), decay((float)h[2]), keep((float)h[3]), rate((float)(1 - h[3])), eps((float)h[4]) {}
    __device__ void operator()(float &p, float g0, float *s) const {
        const float g = TL_GRADIENT(factor, decay), v = keep * s[0] + rate * g * g, d = s[1];
        const float change = sqrtf(d + eps) / sqrtf(v + eps) * g;
        s[0] = v;
        s[1] = keep * d + rate * change * change;
        p = p - lr * change;
    }
};
"""

_RUN = """
struct Arrays { float *p1, *s1[3]; const float *p0, *g, *s0[3]; };

/* Elements first, first + stride, ... < n. */
template <int STATES, class Step> __device__ void update(const Arrays &a, i64 first, i64 stride, i64 n, const Step &step) {
    for (i64 i = first; i < n; i += stride) {
        float p = a.p0[i], s[STATES + 1];
        for (int k = 0; k < STATES; k++) s[k] = a.s0[k][i];
        step(p, a.g[i], s);
        a.p1[i] = p;
        for (int k = 0; k < STATES; k++) a.s1[k][i] = s[k];
    }
}
/* The same four at a time, where all addresses allow it: 16 bytes a load. */
template <int STATES, class Step> __device__ void update_fours(const Arrays &a, i64 first, i64 stride, i64 n, const Step &step) {
    const float4 *p0 = (const float4 *)a.p0, *g0 = (const float4 *)a.g;
    for (i64 i = first; i < n / 4; i += stride) {
        float4 p = p0[i], g = g0[i], old[STATES + 1];
        for (int k = 0; k < STATES; k++) old[k] = ((const float4 *)a.s0[k])[i];
        float *ps = &p.x, *gs = &g.x, s[STATES + 1];
        for (int e = 0; e < 4; e++) {
            for (int k = 0; k < STATES; k++) s[k] = (&old[k].x)[e];
            step(ps[e], gs[e], s);
            for (int k = 0; k < STATES; k++) (&old[k].x)[e] = s[k];
        }
        ((float4 *)a.p1)[i] = p;
        for (int k = 0; k < STATES; k++) ((float4 *)a.s1[k])[i] = old[k];
    }
    update<STATES>(a, n / 4 * 4 + first, stride, n, step);
}
template <int STATES, class Step> __device__ void update_array(const Arrays &a, i64 first, i64 stride, i64 n, const Step &step) {
    unsigned long long bits = (unsigned long long)a.p1 | (unsigned long long)a.p0 | (unsigned long long)a.g;
    for (int k = 0; k < STATES; k++) bits |= (unsigned long long)a.s1[k] | (unsigned long long)a.s0[k];
    if (bits % 16) update<STATES>(a, first, stride, n, step);
    else update_fours<STATES>(a, first, stride, n, step);
}

/* A verdict is no. Read by every thread of an update. */
__device__ bool refused(const unsigned long long *verdict) { return verdict && *verdict; }

extern "C" __global__ void k_look_begin(
    unsigned long long *verdict, double *to, const float *loss, const int *faults, i64 most, const double *hyper, i64 n
) {
    const int i = threadIdx.x;
    if (i < n) to[i] = hyper[i];
    if (i == 0 && verdict) {
        int met = 0;
        for (i64 k = 0; k < most; k++) met |= faults[k];
        verdict[0] = met != 0;
        ((float *)verdict)[2] = *loss;
    }
}
struct Looked { const float *x[LOOKED_AT]; i64 n[LOOKED_AT]; };
/* Arrays number first, first + 1, ...: one a row of blocks. The first of them with such a number has the largest verdict. */
extern "C" __global__ void k_look(unsigned long long *verdict, const Looked looked, i64 first) {
    const float *x = looked.x[blockIdx.y];
    const i64 n = looked.n[blockIdx.y], stride = (i64)gridDim.x * blockDim.x;
    unsigned found = 0;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {
        const unsigned bits = __float_as_uint(x[i]);
        if ((bits & 0x7f800000u) == 0x7f800000u && bits > found) found = bits;
    }
    if (found && verdict) atomicMax(verdict, (unsigned long long)(0xffffffffu - (unsigned)(first + blockIdx.y)) << 32 | found);
}

/* One array of a list, updated in place. */
struct Row { float *p; const float *g; float *s[3]; i64 n; };
"""


def _kernels(function: str, states: int, formula: str) -> str:
    return f"""
extern "C" __global__ void {function}(
    float *p1, float *a1, float *b1, float *c1, const float *p0, const float *g, const float *a0, const float *b0, const float *c0,
    const double *h, const unsigned long long *verdict, i64 n
) {{
    if (refused(verdict)) return;
    const Arrays a = {{p1, {{a1, b1, c1}}, p0, g, {{a0, b0, c0}}}};
    update_array<{states}>(a, (i64)blockIdx.x * blockDim.x + threadIdx.x, (i64)gridDim.x * blockDim.x, n, {formula}(h));
}}
extern "C" __global__ void {function}_all(const Row *rows, const int *chunks, const double *h, const unsigned long long *verdict) {{
    if (refused(verdict)) return;
    const Row r = rows[chunks[2 * blockIdx.x]];
    const i64 first = (i64)chunks[2 * blockIdx.x + 1] * CHUNK, left = r.n - first;
    Arrays a = {{r.p + first, {{}}, r.p + first, r.g + first, {{}}}};
    for (int k = 0; k < {states}; k++) a.s0[k] = a.s1[k] = r.s[k] + first;
    update_array<{states}>(a, threadIdx.x, blockDim.x, left < CHUNK ? left : CHUNK, {formula}(h));
}}
"""


@dataclass(frozen=True)
class Step:
    """An optimiser's kernels: the name before `_all`, and how many states an element has."""

    function: str
    states: int
    formula: str


#: Op -> its kernels.
STEPS = {
    "_sgd_step": Step("k_sgd", 0, "Sgd"),
    "_momentum_step": Step("k_momentum", 1, "Momentum"),
    "_adam_step": Step("k_adam", 2, "Adam<false>"),
    "_amsgrad_step": Step("k_amsgrad", 3, "Adam<true>"),
    "_rmsprop_step": Step("k_rmsprop", 1, "RmsProp<false, false>"),
    "_rmsprop_momentum_step": Step("k_rmsprop_momentum", 2, "RmsProp<false, true>"),
    "_rmsprop_centred_step": Step("k_rmsprop_centred", 2, "RmsProp<true, false>"),
    "_rmsprop_centred_momentum_step": Step("k_rmsprop_centred_momentum", 3, "RmsProp<true, true>"),
    "_adagrad_step": Step("k_adagrad", 1, "AdaGrad"),
    "_adadelta_step": Step("k_adadelta", 2, "AdaDelta"),
}


def _planner(step: Step) -> Planner:
    # Outputs: p and the states; inputs: p, g, the states, hyper.
    unused: tuple[Argument, ...] = (0,) * (3 - step.states)
    outs: tuple[Argument, ...] = (*(Out(k) for k in range(1 + step.states)), *unused)
    ins: tuple[Argument, ...] = (*(In(k) for k in range(2 + step.states)), *unused, In(2 + step.states), Verdict())

    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        return Plan((flat(step.function, ints[0], *outs, *ins),))

    return plan


def look(sizes: Sequence[int], hyper: int) -> tuple[Launch, ...]:
    """Look for numbers that are not finite in arrays of so many elements, the first of which has one: the launches.

    Inputs: `hyper`, so many doubles, which are copied to the output; then the arrays. An index out of range counts likewise.
    """
    begin = Launch("k_look_begin", (Verdict(), Out(0), In(1), Faults(), Faults(count=True), In(0), hyper), (1, 1, 1), (32, 1, 1))
    launches = [begin]
    for first in range(0, len(sizes), LOOKED_AT):
        some = sizes[first : first + LOOKED_AT]
        unused = (0,) * (LOOKED_AT - len(some))
        blocks = min(ceil_div(max(some), 4 * THREADS), MOST_LOOKING)
        arrays: tuple[Argument, ...] = (*(In(1 + first + k) for k in range(len(some))), *unused, *some, *unused)
        launches.append(Launch("k_look", (Verdict(), *arrays, first), (blocks, len(some), 1)))
    return tuple(launches)


def _look(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    hyper, _, *sizes = ints
    return Plan(look(sizes, hyper))


def chunks_of(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """The blocks of a step over arrays of so many elements: (number of the array, number of the chunk in it)."""
    return [(row, chunk) for row, n in enumerate(sizes) for chunk in range(-(-n // CHUNK))]


def step_all(op: str, chunks: int, rows: int, row_of_chunk: int, hyper: int, verdict: int = 0) -> Launch:
    """One step over a list of arrays; all but `chunks` are addresses.

    They are those of rows of `ROW` entries, of `chunks_of` as int32, of hyper, and of a verdict, or 0.
    """
    return Launch(f"{STEPS[op].function}_all", (rows, row_of_chunk, hyper, verdict), (chunks, 1, 1))


_KERNELS = "".join(_kernels(s.function, s.states, s.formula) for s in STEPS.values())

FAMILY = Family(
    "optim",
    COMMON + f"enum {{ CHUNK = {CHUNK}, LOOKED_AT = {LOOKED_AT} }};\n" + _FORMULAS + _RUN + _KERNELS,
    {"_finite": _look, **{op: _planner(step) for op, step in STEPS.items()}},
)
