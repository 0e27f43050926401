/* Numbers of other distributions than the uniform one, each from the seed and its index alone (philox.h).
 *
 * Normal numbers are made in pairs by Box and Muller's transform of a pair of uniform ones. A method that rejects what it drew takes for
 * attempt k = 1, 2, … at element i the block of the counter (low i, high i, k, 0): counter word 2 is 0 in the blocks of uniform and normal
 * numbers, so none of these coincide.
 */
#ifndef TLEAN_DRAWS_H
#define TLEAN_DRAWS_H
#include "simd/philox.h"
#include "simd/vmath.h"

/* r cos φ and r sin φ with r² = −2 ln u, where φ is a quarter turn times the two upper bits of a word, plus what the other bits make of an
 * eighth of a turn to either side: so the sine's and the cosine's arguments are small, and exact but for one rounding. */
static void tl_normals_f32(float *TL_RESTRICT z, uint64_t seed, uint64_t block) {
    uint32_t w[4 * TL_PHILOX_LANES];
    tl_philox_lanes(w, seed, block);
    for (int k = 0; k < 2 * TL_PHILOX_LANES; k++) {
        /* In (0, 1]: 31 bits, of which a number near 0 keeps all. */
        float u = (float)(int32_t)(w[2 * k] >> 1) * 0x1p-31f + 0x1p-32f;
        float r = __builtin_sqrtf(-2.0f * tl_logf(u));
        uint32_t turn = w[2 * k + 1], q = turn >> 30;
        float a = (float)(int32_t)(turn << 2) * (1.57079637f * 0x1p-32f);
        float t = a * a;
        float s = TL_FMAF(TL_FMAF(-0.000195180954f, t, 0.00833218824f), t, -0.166666552f);
        s = TL_FMAF(s * t, a, a);
        float c = TL_FMAF(TL_FMAF(2.44323273e-05f, t, -0.00138873095f), t, 0.0416666456f);
        c = TL_FMAF(c, t * t, TL_FMAF(t, -0.5f, 1.0f));
        /* q quarter turns on: (c, s), (−s, c), (−c, −s), (s, −c). */
        float x = q & 1u ? s : c, y = q & 1u ? c : s;
        z[2 * k] = tl_from_bitsf(tl_bitsf(r * x) ^ (((q + 1u) & 2u) << 30));
        z[2 * k + 1] = tl_from_bitsf(tl_bitsf(r * y) ^ ((q & 2u) << 30));
    }
}

static void tl_normals_f64(double *TL_RESTRICT z, uint64_t seed, uint64_t block) {
    uint32_t w[4 * TL_PHILOX_LANES];
    tl_philox_lanes(w, seed, block);
    double r[TL_PHILOX_LANES];
    /* Two loops, each with the constants of one function in registers. */
    for (int k = 0; k < TL_PHILOX_LANES; k++) {
        const uint32_t *v = w + 4 * k;
        double u = ((double)(int32_t)(v[0] >> 5) * 0x1p26 + (double)(int32_t)(v[1] >> 6) + 1.0) * 0x1p-53;
        r[k] = __builtin_sqrt(-2.0 * tl_log(u));
    }
    for (int k = 0; k < TL_PHILOX_LANES; k++) {
        const uint32_t *v = w + 4 * k;
        uint64_t q = v[3] >> 30;
        double f = (double)(int32_t)(v[3] << 2 | v[2] >> 30) * 0x1p-32 + (double)(int32_t)(v[2] << 2 >> 6) * 0x1p-58;
        double a = f * 1.5707963267948966;
        z[2 * k] = r[k] * tl_sin_shifted(a, q + 1);
        z[2 * k + 1] = r[k] * tl_sin_shifted(a, q);
    }
}
#define tl_normals(y, ...) TL_CALL(tl_normals, y, __VA_ARGS__)

/* One attempt at an element: a block of four words. */
TL_INLINE void tl_attempt(uint32_t c[4], uint64_t seed, uint64_t i, uint32_t number) {
    c[0] = (uint32_t)i;
    c[1] = (uint32_t)(i >> 32);
    c[2] = number;
    c[3] = 0;
    tl_philox_block(c, (uint32_t)seed, (uint32_t)(seed >> 32));
}

/* 53 bits of two words, in [0, 1). */
TL_INLINE double tl_uniform_of(uint32_t high, uint32_t low) { return ((double)(high >> 5) * 0x1p26 + (double)(low >> 6)) * 0x1p-53; }

/* Far more attempts than any element needs: each fails with a probability below 1/4. */
#define TL_ATTEMPTS 4096u

/* ln of a gamma number for a concentration a ≥ 1 (Marsaglia & Tsang 2000, A simple method for generating gamma variables): d·v with
 * v = (1 + cz)³ for a normal z, taken with the probability that makes it one. NaN for another a. */
static double tl_log_gamma_number(double a, uint64_t seed, uint64_t i) {
    if (!(a >= 1.0 && a < INFINITY)) return a == INFINITY ? a : NAN;
    double d = a - 1.0 / 3.0, c = 1.0 / __builtin_sqrt(9.0 * d);
    for (uint32_t k = 1; k < TL_ATTEMPTS; k++) {
        uint32_t w[4];
        tl_attempt(w, seed, i, k);
        double r = __builtin_sqrt(-2.0 * tl_log(((double)w[0] + 0.5) * 0x1p-32));
        double z = r * tl_cos((double)w[1] * (6.283185307179586 * 0x1p-32));
        double v = 1.0 + c * z;
        if (v <= 0.0) continue;
        double log_v = 3.0 * tl_log(v);
        v = v * v * v;
        if (tl_log(tl_uniform_of(w[2], w[3])) < 0.5 * z * z + d - d * v + d * log_v) return tl_log(d) + log_v;
    }
    return tl_log(d);
}

/* ln k!: by its product below 10, else Stirling's series, whose first term left out is below 10⁻¹³. */
static double tl_log_factorial(double k) {
    if (k < 10.0) {
        double p = 1.0;
        for (double j = 2.0; j <= k; j += 1.0) p *= j;
        return tl_log(p);
    }
    double x = k + 1.0, z = 1.0 / (x * x);
    double tail = 1.0 / 12.0 - z * (1.0 / 360.0 - z * (1.0 / 1260.0 - z * (1.0 / 1680.0 - z * (1.0 / 1188.0))));
    return (x - 0.5) * tl_log(x) - x + 0.9189385332046727 + tail / x;
}

/* A Poisson number: below a rate of 10 by adding up probabilities until they exceed a uniform number, else by transformed rejection
 * (Hörmann 1993, The transformed rejection method for generating Poisson random variables, algorithm PTRS). −1 for what is no rate. */
static int64_t tl_poisson_number(double rate, uint64_t seed, uint64_t i) {
    uint32_t w[4];
    /* Beyond 2⁵³ counts are no longer whole numbers of float64. */
    if (!(rate >= 0.0 && rate <= 0x1p53)) return -1;
    if (rate < 10.0) {
        tl_attempt(w, seed, i, 1);
        double u = tl_uniform_of(w[0], w[1]), p = tl_exp(-rate), total = p;
        int64_t k = 0;
        while (u >= total && k < 200) {
            p *= rate / (double)++k;
            total += p;
        }
        return k;
    }
    double b = 0.931 + 2.53 * __builtin_sqrt(rate), a = -0.059 + 0.02483 * b;
    double hat = 1.1239 + 1.1328 / (b - 3.4), sure = 0.9277 - 3.6224 / (b - 2.0), log_rate = tl_log(rate);
    for (uint32_t attempt = 1; attempt < TL_ATTEMPTS; attempt++) {
        tl_attempt(w, seed, i, attempt);
        double u = tl_uniform_of(w[0], w[1]) - 0.5, v = tl_uniform_of(w[2], w[3]);
        double s = 0.5 - __builtin_fabs(u), k = __builtin_floor((2.0 * a / s + b) * u + rate + 0.43);
        if (s >= 0.07 && v <= sure) return (int64_t)k;
        if (k < 0.0 || s < 1e-300 || (s < 0.013 && v > s)) continue;
        if (tl_log(v * hat / (a / (s * s) + b)) <= k * log_rate - rate - tl_log_factorial(k)) return (int64_t)k;
    }
    return (int64_t)rate;
}

/* The upper half of the product of two words of 64 bits. */
TL_INLINE uint64_t tl_upper_product(uint64_t a, uint64_t b) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (uint32_t)middle;
    return a1 * b1 + (middle >> 32) + (other >> 32);
}

/* Whole numbers in [low, low + span), a span of 0 meaning 2⁶⁴: a random word of 64 bits times the span, its upper half. Of a block two. */
#define TL_INTEGERS(name, whole)                                                                                                     \
    static void name(whole *y, uint64_t seed, uint64_t block, uint64_t low, uint64_t span) {                                         \
        uint32_t w[4 * TL_PHILOX_LANES];                                                                                             \
        tl_philox_lanes(w, seed, block);                                                                                             \
        for (int k = 0; k < 2 * TL_PHILOX_LANES; k++) {                                                                              \
            uint64_t x = (uint64_t)w[2 * k] | (uint64_t)w[2 * k + 1] << 32;                                                          \
            y[k] = (whole)(int64_t)(low + (span ? tl_upper_product(x, span) : x));                                                   \
        }                                                                                                                            \
    }
TL_INTEGERS(tl_integers_i64, int64_t)
TL_INTEGERS(tl_integers_i32, int32_t)
#endif
