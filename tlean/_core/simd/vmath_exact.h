/* Functions that round, and those that roots and powers of two make; see vmath.h. */
#ifndef TLEAN_VMATH_EXACT_H
#define TLEAN_VMATH_EXACT_H
#include "simd/vmath.h"

#if defined(__SSE4_1__) || defined(__aarch64__)
#define TL_ROUNDINGS(real, f, whole)                                                  \
    TL_INLINE real tl_floor##f(real x) { return __builtin_floor##f(x); }              \
    TL_INLINE real tl_ceil##f(real x) { return __builtin_ceil##f(x); }                \
    TL_INLINE real tl_trunc##f(real x) { return __builtin_trunc##f(x); }              \
    TL_INLINE real tl_round##f(real x) { return __builtin_rint##f(x); }
#else
/* By the rounding of a sum. From `whole` on every number is whole; a result of 0 has the sign of x. */
#define TL_ROUNDINGS(real, f, whole)                                                  \
    TL_INLINE real tl_round##f(real x) {                                              \
        real a = __builtin_fabs##f(x);                                                \
        real r = (a + whole) - whole;                                                 \
        return __builtin_copysign##f(a < whole ? r : a, x);                           \
    }                                                                                 \
    TL_INLINE real tl_floor##f(real x) { real r = tl_round##f(x); return __builtin_copysign##f(r > x ? r - 1 : r, x); } \
    TL_INLINE real tl_ceil##f(real x) { real r = tl_round##f(x); return __builtin_copysign##f(r < x ? r + 1 : r, x); }  \
    TL_INLINE real tl_trunc##f(real x) {                                              \
        real a = __builtin_fabs##f(x), r = tl_round##f(a);                            \
        return __builtin_copysign##f(r > a ? r - 1 : r, x);                           \
    }
#endif
TL_ROUNDINGS(float, f, 8388608.0f)
TL_ROUNDINGS(double, , 4503599627370496.0)

/* A power whose exponent differs from element to element. */
TL_INLINE float tl_powerf(float a, float b) { return tl_powf(a, b); }
TL_INLINE double tl_power(double a, double b) { return tl_pow(a, b); }

TL_INLINE float tl_copysignf(float a, float b) { return __builtin_copysignf(a, b); }
TL_INLINE double tl_copysign(double a, double b) { return __builtin_copysign(a, b); }

/* A float32 function as its float64 one, rounded: where speed matters less than another set of polynomials. */
#define TL_BY_DOUBLE(name) TL_INLINE float tl_##name##f(float x) { return (float)tl_##name((double)x); }
#define TL_BY_DOUBLE_2(name) TL_INLINE float tl_##name##f(float a, float b) { return (float)tl_##name((double)a, (double)b); }

/* The remainder of a/b with the sign of a, where the quotient is below 2⁵² and b not so small that its products lose bits. Rounding may
 * have made the quotient whole, one too large; its product with b is taken from a without an error either way. */
TL_INLINE int tl_fmod_is_wide(double a, double b) {
    double y = __builtin_fabs(b);
    return !((__builtin_fabs(a) <= y * 4503599627370496.0) & (y >= 1e-270));
}

TL_INLINE double tl_fmod(double a, double b) {
    double x = __builtin_fabs(a), y = __builtin_fabs(b), low;
    double p = tl_two_product(tl_trunc(x / y), y, &low);
    double r = (x - p) - low;
    r = r < 0.0 ? r + y : r;
    r = ((y == INFINITY) & (x < INFINITY)) ? x : r;
    return __builtin_copysign(r, a);
}
TL_BY_DOUBLE_2(fmod)

/* Any arguments; with a branch and a call. */
TL_INLINE float tl_wide_fmodf(float a, float b) { return tl_fmod_is_wide(a, b) ? fmodf(a, b) : tl_fmodf(a, b); }
TL_INLINE double tl_wide_fmod(double a, double b) { return tl_fmod_is_wide(a, b) ? fmod(a, b) : tl_fmod(a, b); }

/* √(a² + b²), the larger one moved to where squares neither overflow nor vanish. */
TL_INLINE double tl_hypot(double a, double b) {
    double x = __builtin_fabs(a), y = __builtin_fabs(b);
    double m = x > y ? x : y, n = x > y ? y : x;
    double scale = m > 0x1p500 ? 0x1p-600 : m < 0x1p-500 ? 0x1p600 : 1.0;
    double back = m > 0x1p500 ? 0x1p600 : m < 0x1p-500 ? 0x1p-600 : 1.0;
    double u = m * scale, v = n * scale;
    double h = __builtin_sqrt(TL_FMA(u, u, v * v)) * back;
    return ((x == INFINITY) | (y == INFINITY)) ? INFINITY : h;
}

TL_INLINE float tl_hypotf(float a, float b) {
    double x = __builtin_fabsf(a), y = __builtin_fabsf(b);
    double h = __builtin_sqrt(TL_FMA(x, x, y * y));
    return ((x == INFINITY) | (y == INFINITY)) ? INFINITY : (float)h;
}

/* ∛t to 10 bits for 2^−1.5 ≤ t ≤ 2^1.5. */
TL_INLINE double tl_cbrt_start(double z) {
    double p = 0.00844113918087076;
    TL_HORNER(p, z, -0.0821335770586026) TL_HORNER(p, z, 0.3221535484402562) TL_HORNER(p, z, -0.6761751892096802)
    TL_HORNER(p, z, 1.003483775045213) TL_HORNER(p, z, 0.4247757010449893)
    return p;
}

/* ∛x = 2^q·∛t with x = 2^(3q)·t; two steps of Halley's method. */
TL_INLINE double tl_cbrt(double x) {
    double k, m = tl_split(__builtin_fabs(x), &k);
    double q = TL_FMA(k, 1.0 / 3.0, TL_ROUND) - TL_ROUND;
    double t = m * tl_power_of_2(TL_FMA(q, -3.0, k));
    double y = tl_cbrt_start(t);
    double y3 = y * y * y;
    y = TL_FMA(y, (t - y3) / TL_FMA(2.0, y3, t), y);
    y3 = y * y * y;
    y = TL_FMA(y, (t - y3) / TL_FMA(2.0, y3, t), y);
    y = __builtin_copysign(y * tl_power_of_2(q), x);
    return ((x == 0.0) | !(__builtin_fabs(x) < INFINITY)) ? x : y;
}
TL_BY_DOUBLE(cbrt)

/* 2ˣ: x less its nearest whole number is exact, and its product with ln 2 is a sum of two. */
TL_INLINE double tl_exp2(double x) {
    x = x > 1025.0 ? 1025.0 : x;
    x = x < -1080.0 ? -1080.0 : x;
    double n = (x + TL_ROUND) - TL_ROUND;
    double low, r = tl_two_product(x - n, 0.6931471805599453, &low);
    double e = TL_FMA(tl_exp_tail(r), r * r, TL_FMA(x - n, 2.3190468138462996e-17, low)) + r + 1.0;
    double half = TL_FMA(n, 0.5, TL_ROUND) - TL_ROUND;
    return e * tl_power_of_2(half) * tl_power_of_2(n - half);
}
TL_BY_DOUBLE(exp2)

/* ln x·(c + c_low) with ln 2·c = k_high + k_low, where k_high has few enough bits that its product with an exponent is exact. */
TL_INLINE double tl_log_by(double x, double c, double c_low, double k_high, double k_low) {
    double k;
    double f = tl_split(x, &k) - 1.0;
    double s = f / (2.0 + f);
    double h = 0.5 * f * f;
    double z = s * s;
    double rest = s * TL_FMA(z, TL_TWO_THIRDS + tl_log_tail(z), h) - h;
    double low, p = tl_two_product(f, c, &low);
    low += TL_FMA(rest, c, TL_FMA(f, c_low, k * k_low));
    double large = k * k_high, sum = large + p;
    double y = sum + ((p - (sum - large)) + low);
    y = x == 0.0 ? -INFINITY : y;
    y = x < 0.0 ? NAN : y;
    return x < INFINITY ? y : x;
}

TL_INLINE double tl_log2(double x) { return tl_log_by(x, 1.4426950408889634, 2.0355273740931033e-17, 1.0, 0.0); }
TL_INLINE double tl_log10(double x) {
    return tl_log_by(x, 0.4342944819032518, 1.098319650216765e-17, 0.30102999560767785, 5.630334806675098e-11);
}
TL_BY_DOUBLE(log2)
TL_BY_DOUBLE(log10)
#endif
