"""Optimiser steps: one pass over memory each, by the formulas of `tlean.ops.optim`, in the CPU kernels' order of operations.

`hyper` is float64 on the device; every thread works out the step's constants from it in double, then goes over its elements in float.
"""

from __future__ import annotations

from collections.abc import Sequence

from .plan import COMMON, Argument, Family, In, Out, Plan, Planner, flat

_SOURCE = """
/* factor * gradient + decay * parameter */
#define TL_GRADIENT(factor, decay) ((float)(factor) * g0[i] + (float)(decay) * p0[i])

extern "C" __global__ void k_sgd(float *p1, const float *p0, const float *g0, const double *h, i64 n) {
    const float lr = (float)h[0];
    TL_EACH(i, n) p1[i] = p0[i] - lr * TL_GRADIENT(h[1], h[2]);
}
/* h: lr, factor, decay, momentum, dampening, nesterov, step. The first step takes the gradient whole. */
extern "C" __global__ void k_momentum(float *p1, float *u1, const float *p0, const float *g0, const float *u0, const double *h, i64 n) {
    const float lr = (float)h[0], mu = (float)h[3], fresh = h[6] <= 1 ? 1 : (float)(1 - h[4]);
    const bool nesterov = h[5] != 0;
    TL_EACH(i, n) {
        const float g = TL_GRADIENT(h[1], h[2]), u = mu * u0[i] + fresh * g, p = p0[i];
        u1[i] = u;
        p1[i] = nesterov ? p - lr * (g + mu * u) : p - lr * u;
    }
}
/* h: lr, factor, decay, beta1, beta2, eps, step, decoupled. w1 and w0, the largest v so far, are AMSGrad's; absent otherwise. */
__device__ void adam(
    float *p1, float *m1, float *v1, float *w1, const float *p0, const float *g0, const float *m0, const float *v0, const float *w0,
    const double *h, i64 n
) {
    const bool decoupled = h[7] != 0;
    const float decay = decoupled ? 0 : (float)h[2], left = decoupled ? (float)(1 - h[0] * h[2]) : 1;
    const float m_rate = (float)(1 - h[3]), v_keep = (float)h[4], v_rate = (float)(1 - h[4]);
    const float step = (float)(h[0] / (1 - pow(h[3], h[6]))), root = (float)sqrt(1 - pow(h[4], h[6])), eps = (float)h[5];
    TL_EACH(i, n) {
        const float g = TL_GRADIENT(h[1], decay), m = m0[i] + m_rate * (g - m0[i]), v = v_keep * v0[i] + v_rate * g * g;
        float w = v;
        m1[i] = m;
        v1[i] = v;
        if (w1) w1[i] = w = v > w0[i] ? v : w0[i];
        p1[i] = left * p0[i] - step * m / (sqrtf(w) / root + eps);
    }
}
extern "C" __global__ void k_adam(
    float *p1, float *m1, float *v1, const float *p0, const float *g0, const float *m0, const float *v0, const double *h, i64 n
) {
    adam(p1, m1, v1, 0, p0, g0, m0, v0, 0, h, n);
}
extern "C" __global__ void k_amsgrad(
    float *p1, float *m1, float *v1, float *w1, const float *p0, const float *g0, const float *m0, const float *v0, const float *w0,
    const double *h, i64 n
) {
    adam(p1, m1, v1, w1, p0, g0, m0, v0, w0, h, n);
}
/* h: lr, factor, decay, alpha, eps, momentum. a: the mean that centres, u: the velocity; absent in the variants without. */
extern "C" __global__ void k_rmsprop(
    float *p1, float *v1, float *a1, float *u1, const float *p0, const float *g0, const float *v0, const float *a0, const float *u0,
    const double *h, i64 n
) {
    const float lr = (float)h[0], keep = (float)h[3], rate = (float)(1 - h[3]), eps = (float)h[4], mu = (float)h[5];
    TL_EACH(i, n) {
        const float g = TL_GRADIENT(h[1], h[2]), v = keep * v0[i] + rate * g * g, p = p0[i];
        float spread = v;
        v1[i] = v;
        if (a1) {
            const float a = a0[i] + rate * (g - a0[i]);
            a1[i] = a;
            spread = v - a * a;
        }
        const float s = sqrtf(spread) + eps;
        if (u1) {
            const float u = mu * u0[i] + g / s;
            u1[i] = u;
            p1[i] = p - lr * u;
        } else p1[i] = p - lr * g / s;
    }
}
/* h: lr, factor, decay, lr_decay, eps, step. */
extern "C" __global__ void k_adagrad(float *p1, float *v1, const float *p0, const float *g0, const float *v0, const double *h, i64 n) {
    const float lr = (float)(h[0] / (1 + (h[5] - 1) * h[3])), eps = (float)h[4];
    TL_EACH(i, n) {
        const float g = TL_GRADIENT(h[1], h[2]), v = v0[i] + g * g, p = p0[i];
        v1[i] = v;
        p1[i] = p - lr * g / (sqrtf(v) + eps);
    }
}
/* h: lr, factor, decay, rho, eps. */
extern "C" __global__ void k_adadelta(
    float *p1, float *v1, float *d1, const float *p0, const float *g0, const float *v0, const float *d0, const double *h, i64 n
) {
    const float lr = (float)h[0], keep = (float)h[3], rate = (float)(1 - h[3]), eps = (float)h[4];
    TL_EACH(i, n) {
        const float g = TL_GRADIENT(h[1], h[2]), v = keep * v0[i] + rate * g * g, d = d0[i], p = p0[i];
        const float s = sqrtf(d + eps) / sqrtf(v + eps) * g;
        v1[i] = v;
        d1[i] = keep * d + rate * s * s;
        p1[i] = p - lr * s;
    }
}
"""


def _planner(function: str, *args: Argument) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        return Plan((flat(function, ints[0], *args),))

    return plan


def _step(function: str, states: int) -> Planner:
    # Outputs: p and the states; inputs: p, g, the states, hyper.
    return _planner(function, *(Out(k) for k in range(states + 1)), *(In(k) for k in range(states + 3)))


def _rmsprop(centred: bool, velocity: bool) -> Planner:
    outs: list[Argument] = [Out(0), Out(1), Out(2) if centred else 0, Out(2 + centred) if velocity else 0]
    ins: list[Argument] = [In(0), In(1), In(2), In(3) if centred else 0, In(3 + centred) if velocity else 0]
    return _planner("k_rmsprop", *outs, *ins, In(3 + centred + velocity))


FAMILY = Family(
    "optim",
    COMMON + _SOURCE,
    {
        "_sgd_step": _step("k_sgd", 0),
        "_momentum_step": _step("k_momentum", 1),
        "_adam_step": _step("k_adam", 2),
        "_amsgrad_step": _step("k_amsgrad", 3),
        "_rmsprop_step": _rmsprop(False, False),
        "_rmsprop_momentum_step": _rmsprop(False, True),
        "_rmsprop_centred_step": _rmsprop(True, False),
        "_rmsprop_centred_momentum_step": _rmsprop(True, True),
        "_adagrad_step": _step("k_adagrad", 1),
        "_adadelta_step": _step("k_adadelta", 2),
    },
)
