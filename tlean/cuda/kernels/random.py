"""Random numbers by Philox4x32-10: the same as on the CPU, since each depends on the seed and the element's index alone."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import COMMON, Family, In, Out, Plan, flat

_SOURCE = """
/* The uniform number of element i: word i % 4 of block i / 4 (Salmon et al. 2011), its upper 24 bits. */
__device__ __forceinline__ float uniform(unsigned long long seed, i64 i) {
    const unsigned long long block = (unsigned long long)i / 4;
    unsigned c0 = (unsigned)block, c1 = (unsigned)(block >> 32), c2 = 0, c3 = 0, k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
    for (int r = 0; r < 10; r++) {
        const unsigned long long p = 0xD2511F53ull * c0, q = 0xCD9E8D57ull * c2;
        c0 = (unsigned)(q >> 32) ^ c1 ^ k0;
        c1 = (unsigned)q;
        c2 = (unsigned)(p >> 32) ^ c3 ^ k1;
        c3 = (unsigned)p;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const unsigned word = i % 4 == 0 ? c0 : i % 4 == 1 ? c1 : i % 4 == 2 ? c2 : c3;
    return (float)(int)(word >> 8) * (1.0f / 16777216.0f);
}
extern "C" __global__ void k_rand_uniform(float *y, const unsigned long long *seed, i64 n) { TL_EACH(i, n) y[i] = uniform(*seed, i); }
extern "C" __global__ void k_bernoulli_mask(float *y, const float *keep, const unsigned long long *seed, i64 n) {
    TL_EACH(i, n) y[i] = uniform(*seed, i) < *keep ? 1 : 0;
}
extern "C" __global__ void k_dropout(float *y, const float *x, const unsigned long long *seed, float keep, float factor, i64 n) {
    TL_EACH(i, n) y[i] = x[i] * (uniform(*seed, i) < keep ? factor : 0);
}
extern "C" __global__ void k_copy(float *y, const float *x, i64 n) { TL_EACH(i, n) y[i] = x[i]; }
"""


def rand_uniform(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return Plan((flat("k_rand_uniform", ints[0], Out(0), In(0)),))


def bernoulli_mask(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    return Plan((flat("k_bernoulli_mask", ints[0], Out(0), In(0), In(1)),))


def dropout(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    keep = 1.0 - floats[0]
    if floats[0] == 0.0:
        return Plan((flat("k_copy", ints[0], Out(0), In(0)),))
    return Plan((flat("k_dropout", ints[0], Out(0), In(0), In(1), keep, 1.0 / keep),))


FAMILY = Family("random", COMMON + _SOURCE, {"rand_uniform": rand_uniform, "bernoulli_mask": bernoulli_mask, "dropout": dropout})
