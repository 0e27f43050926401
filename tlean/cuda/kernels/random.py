"""Random numbers by Philox4x32-10: the same as on the CPU, since each depends on the seed and the element's index alone."""

from __future__ import annotations

from collections.abc import Sequence

from .convert import name_of
from .plan import COMMON, Family, In, Out, Plan, Planner, flat

_SOURCE = """
struct Words { unsigned w[4]; };
/* Philox4x32-10 (Salmon et al. 2011): the words of the block with that counter. */
__device__ __forceinline__ Words philox_at(unsigned long long seed, unsigned c0, unsigned c1, unsigned c2, unsigned c3) {
    unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
    for (int r = 0; r < 10; r++) {
        const unsigned long long p = 0xD2511F53ull * c0, q = 0xCD9E8D57ull * c2;
        c0 = (unsigned)(q >> 32) ^ c1 ^ k0;
        c1 = (unsigned)q;
        c2 = (unsigned)(p >> 32) ^ c3 ^ k1;
        c3 = (unsigned)p;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    Words w;
    w.w[0] = c0; w.w[1] = c1; w.w[2] = c2; w.w[3] = c3;
    return w;
}
__device__ __forceinline__ Words philox(unsigned long long seed, unsigned long long block, unsigned attempt) {
    return philox_at(seed, (unsigned)block, (unsigned)(block >> 32), attempt, 0);
}
/* The uniform number of element i: the upper 24 bits of word i % 4 of block i / 4. */
__device__ __forceinline__ float uniform(unsigned long long seed, i64 i) {
    const Words b = philox(seed, (unsigned long long)i / 4, 0);
    const unsigned word = i % 4 == 0 ? b.w[0] : i % 4 == 1 ? b.w[1] : i % 4 == 2 ? b.w[2] : b.w[3];
    return (float)(int)(word >> 8) * (1.0f / 16777216.0f);
}
extern "C" __global__ void k_rand_uniform(float *y, const unsigned long long *seed, i64 n) { TL_EACH(i, n) y[i] = uniform(*seed, i); }
extern "C" __global__ void k_bernoulli_mask(float *y, const float *keep, const unsigned long long *seed, i64 n) {
    TL_EACH(i, n) y[i] = uniform(*seed, i) < *keep ? 1 : 0;
}
extern "C" __global__ void k_dropout(float *y, const float *x, const unsigned long long *seed, float keep, float factor, i64 n) {
    TL_EACH(i, n) y[i] = x[i] * (uniform(*seed, i) < keep ? factor : 0);
}
/* The normal number of element i: one of a pair, as on the CPU. */
__device__ __forceinline__ float normal(unsigned long long seed, i64 i) {
    const Words b = philox(seed, (unsigned long long)i / 4, 0);
    const unsigned word = i % 4 < 2 ? b.w[0] : b.w[2], turn = i % 4 < 2 ? b.w[1] : b.w[3];
    const float u = (float)(int)(word >> 1) * (1.0f / 2147483648.0f) + (1.0f / 4294967296.0f);
    const float a = (float)(int)(turn << 2) * (1.57079637f / 4294967296.0f);
    /* One of the pair is a quarter turn before the other. */
    const unsigned q = (turn >> 30) + (i % 2 == 0 ? 1u : 0u);
    const float y = sqrtf(-2.0f * logf(u)) * (q & 1u ? cosf(a) : sinf(a));
    return q & 2u ? -y : y;
}
__device__ __forceinline__ double uniform53(unsigned high, unsigned low) {
    return ((double)(high >> 5) * 67108864.0 + (double)(low >> 6)) * (1.0 / 9007199254740992.0);
}
/* ln of a gamma number (Marsaglia & Tsang 2000). */
__device__ double log_gamma_number(double a, unsigned long long seed, i64 i) {
    if (!(a >= 1.0)) return a - a == 0.0 ? (a - a) / (a - a) : a - a;
    if (a > 1e300) return a;
    const double d = a - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);
    for (unsigned k = 1; k < 4096; k++) {
        const Words b = philox(seed, (unsigned long long)i, k);
        const double r = sqrt(-2.0 * log(((double)b.w[0] + 0.5) * (1.0 / 4294967296.0)));
        const double z = r * cos((double)b.w[1] * (6.283185307179586 / 4294967296.0));
        const double v = 1.0 + c * z;
        if (v <= 0.0) continue;
        const double log_v = 3.0 * log(v);
        if (log(uniform53(b.w[2], b.w[3])) < 0.5 * z * z + d - d * (v * v * v) + d * log_v) return log(d) + log_v;
    }
    return log(d);
}
/* ln k!, by Stirling's series from 10 on. */
__device__ double log_factorial(double k) {
    if (k < 10.0) {
        double p = 1.0;
        for (double j = 2.0; j <= k; j += 1.0) p *= j;
        return log(p);
    }
    const double x = k + 1.0, z = 1.0 / (x * x);
    const double tail = 1.0 / 12.0 - z * (1.0 / 360.0 - z * (1.0 / 1260.0 - z * (1.0 / 1680.0 - z * (1.0 / 1188.0))));
    return (x - 0.5) * log(x) - x + 0.9189385332046727 + tail / x;
}
/* Additions below a rate of 10, else Hoermann's transformed rejection. */
__device__ i64 poisson_number(double rate, unsigned long long seed, i64 i) {
    if (!(rate >= 0.0 && rate <= 9007199254740992.0)) return -1;
    if (rate < 10.0) {
        const Words b = philox(seed, (unsigned long long)i, 1);
        const double u = uniform53(b.w[0], b.w[1]);
        double p = exp(-rate), total = p;
        i64 k = 0;
        while (u >= total && k < 200) {
            k++;
            p *= rate / (double)k;
            total += p;
        }
        return k;
    }
    const double b = 0.931 + 2.53 * sqrt(rate), a = -0.059 + 0.02483 * b;
    const double hat = 1.1239 + 1.1328 / (b - 3.4), sure = 0.9277 - 3.6224 / (b - 2.0), log_rate = log(rate);
    for (unsigned attempt = 1; attempt < 4096; attempt++) {
        const Words w = philox(seed, (unsigned long long)i, attempt);
        const double u = uniform53(w.w[0], w.w[1]) - 0.5, v = uniform53(w.w[2], w.w[3]);
        const double s = 0.5 - fabs(u), k = floor((2.0 * a / s + b) * u + rate + 0.43);
        if (s >= 0.07 && v <= sure) return (i64)k;
        if (k < 0.0 || s < 1e-300 || (s < 0.013 && v > s)) continue;
        if (log(v * hat / (a / (s * s) + b)) <= k * log_rate - rate - log_factorial(k)) return (i64)k;
    }
    return (i64)rate;
}
/* low + the upper half of a random word of 64 bits times the span; a span of 0 means 2^64. */
__device__ __forceinline__ i64 integer(unsigned long long seed, i64 i, unsigned long long low, unsigned long long span) {
    const Words b = philox(seed, (unsigned long long)i / 2, 0);
    const unsigned long long x0 = i % 2 == 0 ? b.w[0] : b.w[2], x1 = i % 2 == 0 ? b.w[1] : b.w[3];
    if (span == 0) return (i64)(low + (x0 | x1 << 32));
    const unsigned long long s0 = (unsigned)span, s1 = span >> 32;
    const unsigned long long middle = x1 * s0 + (x0 * s0 >> 32), other = x0 * s1 + (unsigned)middle;
    return (i64)(low + (x1 * s1 + (middle >> 32) + (other >> 32)));
}
extern "C" __global__ void k_rand_normal(float *y, const unsigned long long *seed, i64 n) { TL_EACH(i, n) y[i] = normal(*seed, i); }
extern "C" __global__ void k_rand_log_gamma(float *y, const float *a, const unsigned long long *seed, i64 n) {
    TL_EACH(i, n) y[i] = (float)log_gamma_number(a[i], *seed, i);
}
extern "C" __global__ void k_rand_poisson(i64 *y, const float *rate, const unsigned long long *seed, i64 n) {
    TL_EACH(i, n) y[i] = poisson_number(rate[i], *seed, i);
}
extern "C" __global__ void k_rand_integers_i64(i64 *y, const unsigned long long *seed, i64 low, i64 span, i64 n) {
    TL_EACH(i, n) y[i] = integer(*seed, i, (unsigned long long)low, (unsigned long long)span);
}
extern "C" __global__ void k_rand_integers_i32(int *y, const unsigned long long *seed, i64 low, i64 span, i64 n) {
    TL_EACH(i, n) y[i] = (int)integer(*seed, i, (unsigned long long)low, (unsigned long long)span);
}
extern "C" __global__ void k_loop_seed(i64 *y, const unsigned long long *seed, const unsigned long long *step, i64 seeds, i64 steps,
                                       i64 number, i64 n) {
    TL_EACH(i, n) {
        const unsigned long long k = step[i * steps];
        const Words b = philox_at(seed[i * seeds], (unsigned)number, (unsigned)k, (unsigned)(k >> 32), 2);
        y[i] = (i64)(b.w[0] | (unsigned long long)b.w[1] << 32);
    }
}
extern "C" __global__ void k_copy(float *y, const float *x, i64 n) { TL_EACH(i, n) y[i] = x[i]; }
"""


def dropout(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    keep = 1.0 - floats[0]
    if floats[0] == 0.0:
        return Plan((flat("k_copy", ints[0], Out(0), In(0)),))
    return Plan((flat("k_dropout", ints[0], Out(0), In(0), In(1), keep, 1.0 / keep),))


def _elements(kernel: str, inputs: int) -> Planner:
    # A kernel that gets its inputs and the number of elements.
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        return Plan((flat(kernel, ints[0], Out(0), *map(In, range(inputs))),))

    return plan


def _integers(suffix: str) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        elements, low, span = ints
        return Plan((flat(f"k_rand_integers_{suffix}", elements, Out(0), In(0), low, span),))

    return plan


def _loop_seed(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    elements, seeds, steps, number = ints
    return Plan((flat("k_loop_seed", elements, Out(0), In(0), In(1), seeds, steps, number),))


FAMILY = Family(
    "random",
    COMMON + _SOURCE,
    {
        "rand_uniform": _elements("k_rand_uniform", 1),
        "_rand_normal": _elements("k_rand_normal", 1),
        "bernoulli_mask": _elements("k_bernoulli_mask", 2),
        "_rand_log_gamma": _elements("k_rand_log_gamma", 2),
        "_rand_poisson": _elements("k_rand_poisson", 2),
        "dropout": dropout,
        "_loop_seed": _loop_seed,
    }
    | {name_of("_rand_integers", s): _integers(s) for s in ("i64", "i32")},
)
