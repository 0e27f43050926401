/* Elementary functions that vectorise: static inline C without branches, calls or tables, which the compiler turns into SIMD code.
 *
 * An element's result depends on the element alone: vector body and scalar tail of a loop have the same bits, because the only contraction
 * is the explicit TL_FMA (these headers are meant for -ffp-contract=off). Between instruction sets bits differ.
 * Special values are IEEE: signed zeros, infinities, NaN, subnormal arguments and results.
 *
 * Polynomials are minimax fits made for tlean (Remez exchange in 160 bits, low coefficients rounded first and the rest fitted again; those of
 * sigmoid2 and normal_cdf by Lawson's reweighted least squares). They are evaluated by Estrin's scheme, pairs first, or by even and odd
 * powers apart: what limits these loops is the chain of dependent steps.
 */
#ifndef TLEAN_VMATH_H
#define TLEAN_VMATH_H
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "kernel.h"

#ifdef __FMA__
#define TL_FMAF(a, b, c) __builtin_fmaf(a, b, c)
#define TL_FMA(a, b, c) __builtin_fma(a, b, c)
#else
#define TL_FMAF(a, b, c) ((a) * (b) + (c))
#define TL_FMA(a, b, c) ((a) * (b) + (c))
#endif

TL_INLINE uint32_t tl_bitsf(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
TL_INLINE uint64_t tl_bits(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
TL_INLINE float tl_from_bitsf(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }
TL_INLINE double tl_from_bits(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }

/* Functions that need no approximation. max and min propagate NaN; one comparison does it where b is a constant. */
#define TL_EXACT_FUNCTIONS(real, f)                                                                               \
    TL_INLINE real tl_sqrt##f(real x) { return __builtin_sqrt##f(x); }                                            \
    TL_INLINE real tl_abs##f(real x) { return __builtin_fabs##f(x); }                                             \
    TL_INLINE real tl_max##f(real a, real b) { real m = a < b ? b : a; return (__builtin_constant_p(b) | (b == b)) ? m : b; } \
    TL_INLINE real tl_min##f(real a, real b) { real m = a > b ? b : a; return (__builtin_constant_p(b) | (b == b)) ? m : b; } \
    TL_INLINE real tl_bounded##f(real x, real c) { return __builtin_fabs##f(x) > c ? __builtin_copysign##f(c, x) : x; }             \
    TL_INLINE real tl_sign##f(real x) { return x > 0 ? (real)1 : x < 0 ? (real)-1 : x == 0 ? (real)0 : x; }
TL_EXACT_FUNCTIONS(float, f)
TL_EXACT_FUNCTIONS(double, )

#include "simd/vmath_f32.h"
#include "simd/vmath_f64.h"
#endif
