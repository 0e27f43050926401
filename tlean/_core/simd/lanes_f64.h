/* Functions of vmath_f64.h on whole vectors, operation for operation, so that the bits are those of one element. The compiler's own vector
 * code of them takes up to twice the time: it makes masks and a blend of a clamp that is one minimum, and leaves the long chain of one
 * vector's operations as it is, of which the processor sees too few at a time. AVX-512 moreover has the exponent, the mantissa and the
 * product with a power of two as instructions, subnormal numbers included.
 *
 *   tl_each_<name>(out, x, n, accumulate)   out[i] (= or +=) name(x[i]); out may be x
 *   tl_exp_less(out, x, shift, n)           out[i] = exp(x[i] − shift)
 *   tl_exp_less_each(out, x, shift, n)      out[i] = exp(x[i] − shift[i])
 */
#ifndef TLEAN_LANES_F64_H
#define TLEAN_LANES_F64_H
#include "simd/vmath.h"
#include "simd/width.h"

#define TL_EACH_ONE(name)                                                                                                          \
    static void tl_each_##name(double *out, const double *x, int64_t n, int accumulate) {                                          \
        if (accumulate) TL_INDEPENDENT for (int64_t i = 0; i < n; i++) out[i] = out[i] + tl_##name(x[i]);                          \
        else TL_INDEPENDENT for (int64_t i = 0; i < n; i++) out[i] = tl_##name(x[i]);                                              \
    }

#if defined(__SSE2__) && defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

typedef double tl_pack __attribute__((vector_size(TL_VECTOR_BYTES), may_alias));
typedef uint64_t tl_pack_bits __attribute__((vector_size(TL_VECTOR_BYTES)));
typedef double tl_pack_at __attribute__((vector_size(TL_VECTOR_BYTES), aligned(8), may_alias));

#if defined(__AVX512F__)
#define TL_PACK(name) _mm512_##name
#elif defined(__AVX2__)
#define TL_PACK(name) _mm256_##name
#else
#define TL_PACK(name) _mm_##name
#endif

#if defined(__FMA__)
#define TL_PACK_FMA(a, b, c) ((tl_pack)TL_PACK(fmadd_pd)(a, b, c))
#else
#define TL_PACK_FMA(a, b, c) ((a) * (b) + (c))
#endif
#define TL_PACK_OF(c) ((tl_pack)TL_PACK(set1_pd)(c))
#define TL_PACK_HORNER(p, x, coefficient) p = TL_PACK_FMA(p, x, TL_PACK_OF(coefficient));
/* x where it is beyond the bound the bound; NaN stays. */
#define TL_PACK_BELOW(bound, x) ((tl_pack)TL_PACK(min_pd)(TL_PACK_OF(bound), x))
#define TL_PACK_ABOVE(bound, x) ((tl_pack)TL_PACK(max_pd)(TL_PACK_OF(bound), x))

/* `a` where x < bound, else b; false for NaN. */
TL_INLINE tl_pack tl_pack_where_less(tl_pack x, tl_pack bound, tl_pack a, tl_pack b) {
#if defined(__AVX512F__)
    return (tl_pack)_mm512_mask_blend_pd(_mm512_cmp_pd_mask(x, bound, _CMP_LT_OQ), b, a);
#elif defined(__AVX2__)
    return (tl_pack)_mm256_blendv_pd(b, a, _mm256_cmp_pd(x, bound, _CMP_LT_OQ));
#else
    const tl_pack_bits mask = (tl_pack_bits)(x < bound);
    return (tl_pack)(((tl_pack_bits)a & mask) | ((tl_pack_bits)b & ~mask));
#endif
}

#define TL_PACK_SIGN ((tl_pack_bits)TL_PACK_OF(-0.0))
TL_INLINE tl_pack tl_pack_abs(tl_pack x) { return (tl_pack)((tl_pack_bits)x & ~TL_PACK_SIGN); }
TL_INLINE tl_pack tl_pack_copysign(tl_pack x, tl_pack sign) {
    return (tl_pack)(((tl_pack_bits)x & ~TL_PACK_SIGN) | ((tl_pack_bits)sign & TL_PACK_SIGN));
}

TL_INLINE tl_pack tl_pack_power_of_2(tl_pack n) {
    return (tl_pack)((tl_pack_bits)(n + TL_PACK_OF(TL_ROUND + 1023.0)) << 52);
}

/* e·2ⁿ for a whole n: of two factors, each of which is a power of two. */
TL_INLINE tl_pack tl_pack_scaled(tl_pack e, tl_pack n) {
#if defined(__AVX512F__)
    return (tl_pack)_mm512_scalef_pd(e, n);
#else
    const tl_pack half = TL_PACK_FMA(n, TL_PACK_OF(0.5), TL_PACK_OF(TL_ROUND)) - TL_PACK_OF(TL_ROUND);
    return e * tl_pack_power_of_2(half) * tl_pack_power_of_2(n - half);
#endif
}

TL_INLINE tl_pack tl_pack_exp_tail(tl_pack r, tl_pack r2) {
    const tl_pack r4 = r2 * r2;
    tl_pack low = TL_PACK_FMA(TL_PACK_OF(0.008333333333324486), r, TL_PACK_OF(0.0416666666666667));
    low = TL_PACK_FMA(low, r2, TL_PACK_FMA(TL_PACK_OF(0.16666666666666674), r, TL_PACK_OF(0.5)));
    tl_pack mid = TL_PACK_FMA(TL_PACK_OF(2.7557252809982634e-06), r, TL_PACK_OF(2.480158739045086e-05));
    mid = TL_PACK_FMA(mid, r2, TL_PACK_FMA(TL_PACK_OF(0.00019841269877839842), r, TL_PACK_OF(0.0013888888888858044)));
    tl_pack high = TL_PACK_FMA(TL_PACK_OF(2.51061044354157e-08), r, TL_PACK_OF(2.755721060458106e-07));
    high = TL_PACK_FMA(TL_PACK_OF(2.0935620958640335e-09), r2, high);
    return TL_PACK_FMA(TL_PACK_FMA(high, r4, mid), r4, low);
}

/* eʳ − 1 with x = n ln 2 + r. */
TL_INLINE tl_pack tl_pack_exp_parts(tl_pack x, tl_pack *n) {
    *n = TL_PACK_FMA(x, TL_PACK_OF(TL_LOG2E), TL_PACK_OF(TL_ROUND)) - TL_PACK_OF(TL_ROUND);
    const tl_pack r = TL_PACK_FMA(*n, TL_PACK_OF(-TL_LN2_LOW), TL_PACK_FMA(*n, TL_PACK_OF(-TL_LN2_HIGH), x));
    const tl_pack r2 = r * r;
    return TL_PACK_FMA(tl_pack_exp_tail(r, r2), r2, r);
}

TL_INLINE tl_pack tl_pack_exp(tl_pack x) {
    tl_pack n;
    const tl_pack e = tl_pack_exp_parts(TL_PACK_ABOVE(-746.0, TL_PACK_BELOW(710.0, x)), &n);
    return tl_pack_scaled(e + TL_PACK_OF(1.0), n);
}

TL_INLINE tl_pack tl_pack_sigmoid(tl_pack x) {
    const tl_pack e = tl_pack_exp((tl_pack)((tl_pack_bits)x | TL_PACK_SIGN)), one = TL_PACK_OF(1.0);
    return tl_pack_where_less(x, TL_PACK_OF(0.0), e, one) / (one + e);
}

TL_INLINE tl_pack tl_pack_log_tail(tl_pack z) {
    const tl_pack z2 = z * z;
    tl_pack even = TL_PACK_OF(0.13235083905942097), odd = TL_PACK_OF(0.13252115941414871);
    TL_PACK_HORNER(even, z2, 0.15386990178364324) TL_PACK_HORNER(odd, z2, 0.18181778328188436)
    TL_PACK_HORNER(even, z2, 0.22222222607253495) TL_PACK_HORNER(odd, z2, 0.2857142856940973)
    TL_PACK_HORNER(even, z2, 0.40000000000004926)
    return TL_PACK_FMA(odd, z, even) * z;
}

TL_INLINE tl_pack tl_pack_log_parts(tl_pack k, tl_pack f) {
    const tl_pack s = f / (TL_PACK_OF(2.0) + f);
    const tl_pack h = TL_PACK_OF(0.5) * f * f;
    const tl_pack z = s * s;
    const tl_pack rest = TL_PACK_FMA(z, TL_PACK_OF(TL_TWO_THIRDS) + tl_pack_log_tail(z), h);
    const tl_pack small = TL_PACK_FMA(s, rest, k * TL_PACK_OF(TL_LN2_LOW));
    return TL_PACK_FMA(k, TL_PACK_OF(TL_LN2_HIGH), f - (h - small));
}

#if defined(__AVX512F__)
TL_INLINE tl_pack tl_pack_log(tl_pack x) {
    /* Mantissas in [1, 2); those from √2 on are halved. */
    __m512d m = _mm512_getmant_pd(x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero), k = _mm512_getexp_pd(x);
    const __mmask8 large = _mm512_cmp_pd_mask(m, TL_PACK_OF(0x1.6a09e667f3bcdp0), _CMP_GE_OQ);
    m = _mm512_mask_mul_pd(m, large, m, TL_PACK_OF(0.5));
    k = _mm512_mask_add_pd(k, large, k, TL_PACK_OF(1.0));
    const tl_pack y = tl_pack_log_parts((tl_pack)k, (tl_pack)m - TL_PACK_OF(1.0));
    /* By the kind of x: NaN itself, 0 to −∞, less to NaN, ∞ itself. */
    return (tl_pack)_mm512_fixupimm_pd(y, x, _mm512_set1_epi64(0x03530411), 0);
}
#endif
TL_INLINE tl_pack tl_pack_tanh(tl_pack x) {
    const tl_pack a = TL_PACK_BELOW(20.0, tl_pack_abs(x)), one = TL_PACK_OF(1.0);
    const tl_pack n = TL_PACK_FMA(a, TL_PACK_OF(2.0 * TL_LOG2E), TL_PACK_OF(TL_ROUND)) - TL_PACK_OF(TL_ROUND);
    const tl_pack y = TL_PACK_FMA(n, TL_PACK_OF(-TL_LN2_HALF), a);
    const tl_pack z = y * y;
    tl_pack p = TL_PACK_OF(0.003444773774462325);
    TL_PACK_HORNER(p, z, -0.008857303950577112) TL_PACK_HORNER(p, z, 0.021869370583952333) TL_PACK_HORNER(p, z, -0.05396825278047938)
    TL_PACK_HORNER(p, z, 0.13333333332783023) TL_PACK_HORNER(p, z, -0.3333333333333248)
    const tl_pack t = TL_PACK_FMA(p * z, y, y);
    const tl_pack s = tl_pack_power_of_2(n);
    const tl_pack more = s + one, less = s - one;
    return tl_pack_copysign(TL_PACK_FMA(t, more, less) / TL_PACK_FMA(t, less, more), x);
}

TL_INLINE tl_pack tl_pack_erf(tl_pack x) {
    const tl_pack z = x * x;
    const tl_pack z2 = z * z;
    tl_pack p = TL_PACK_OF(-7.609420109250403e-10), q = TL_PACK_OF(1.3617475432051053e-08);
    TL_PACK_HORNER(p, z2, -1.6184150092558492e-07) TL_PACK_HORNER(q, z2, 1.6444168555625962e-06)
    TL_PACK_HORNER(p, z2, -1.4924466868560553e-05) TL_PACK_HORNER(q, z2, 0.00012055280548546777)
    TL_PACK_HORNER(p, z2, -0.0008548325486339485) TL_PACK_HORNER(q, z2, 0.005223977596755809)
    TL_PACK_HORNER(p, z2, -0.026866170641960643) TL_PACK_HORNER(q, z2, 0.11283791670936955)
    TL_PACK_HORNER(p, z2, -0.37612638903183343) TL_PACK_HORNER(q, z2, 0.12837916709551256)
    const tl_pack near = TL_PACK_FMA(TL_PACK_FMA(p, z, q), x, x);
    const tl_pack a = tl_pack_abs(x), one = TL_PACK_OF(1.0);
    const tl_pack t = TL_PACK_BELOW(6.0, a) - one;
    const tl_pack t2 = t * t;
    tl_pack even = TL_PACK_OF(1.469537410283128e-12), odd = TL_PACK_OF(-3.894835339709549e-11);
    TL_PACK_HORNER(even, t2, 4.758826561383662e-10) TL_PACK_HORNER(odd, t2, -3.5473331416996265e-09)
    TL_PACK_HORNER(even, t2, 1.7805724385579167e-08) TL_PACK_HORNER(odd, t2, -6.068733507417366e-08)
    TL_PACK_HORNER(even, t2, 1.1635356312196226e-07) TL_PACK_HORNER(odd, t2, 1.1263514235355526e-07)
    TL_PACK_HORNER(even, t2, -2.0235703356367287e-06) TL_PACK_HORNER(odd, t2, 9.576669142577718e-06)
    TL_PACK_HORNER(even, t2, -2.713794359374645e-05) TL_PACK_HORNER(odd, t2, 2.6267778604193195e-05)
    TL_PACK_HORNER(even, t2, 0.00023732589296841856) TL_PACK_HORNER(odd, t2, -0.0019779033547911544)
    TL_PACK_HORNER(even, t2, 0.01003382549159685) TL_PACK_HORNER(odd, t2, -0.04156109805213852)
    TL_PACK_HORNER(even, t2, -0.8431072563582122) TL_PACK_HORNER(odd, t2, -2.638967514234796)
    TL_PACK_HORNER(even, t2, -1.8496055099332482)
    tl_pack n;
    const tl_pack e = tl_pack_exp_parts(TL_PACK_FMA(odd, t, even), &n) + one;
    const tl_pack far = tl_pack_copysign(TL_PACK_FMA(-e, tl_pack_power_of_2(n), one), x);
    return tl_pack_where_less(a, one, near, far);
}

/* The longest chains go two vectors at a time, their operations in turn, where their numbers and constants fit in the registers. */
#if defined(__AVX2__) && !defined(__AVX512F__)
#define TL_PACKS 1
#else
#define TL_PACKS 2
#endif
#if defined(__clang__)
#define TL_SCHEDULED
#else
#define TL_SCHEDULED __attribute__((optimize("schedule-insns", "sched-pressure")))
#endif

/* TERM: the result for the vector v, which lies at place i of x; `packs` vectors at a time. What is left over of n goes through a vector
 * padded with zeros. */
#define TL_PACK_LOOP(packs, TERM)                                                                                                  \
    int64_t i = 0;                                                                                                                 \
    for (; i + packs * TL_LANES_f64 <= n; i += packs * TL_LANES_f64) {                                                             \
        tl_pack y[packs];                                                                                                          \
        _Pragma("GCC unroll 2") for (int k = 0; k < packs; k++) {                                                                  \
            const tl_pack v = *(const tl_pack_at *)(x + i + k * TL_LANES_f64);                                                     \
            y[k] = TERM(v, i + k * TL_LANES_f64, TL_PACK_WHOLE);                                                                   \
        }                                                                                                                          \
        _Pragma("GCC unroll 2") for (int k = 0; k < packs; k++) *(tl_pack_at *)(out + i + k * TL_LANES_f64) = y[k];                \
    }                                                                                                                              \
    for (; i < n; i += TL_LANES_f64) {                                                                                             \
        const int64_t count = n - i < TL_LANES_f64 ? n - i : TL_LANES_f64;                                                         \
        const tl_pack v = tl_pack_part(x + i, count);                                                                              \
        tl_pack_put_part(out + i, TERM(v, i, TL_PACK_PART), count);                                                                \
    }

#define TL_PACK_WHOLE(p) (*(const tl_pack_at *)(p))
#define TL_PACK_PART(p) tl_pack_part(p, count)
TL_INLINE tl_pack tl_pack_part(const double *p, int64_t count) {
#if defined(__AVX512F__)
    return (tl_pack)_mm512_maskz_loadu_pd((__mmask8)((1u << count) - 1), p);
#else
    double lanes[TL_LANES_f64] = {0};
    for (int64_t k = 0; k < count; k++) lanes[k] = p[k];
    return *(const tl_pack_at *)lanes;
#endif
}

TL_INLINE void tl_pack_put_part(double *p, tl_pack v, int64_t count) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << count) - 1), v);
#else
    for (int64_t k = 0; k < count; k++) p[k] = v[k];
#endif
}

/* What is added to `out` is made in room of this many elements: one loop serves both. */
enum { TL_PACK_ROOM = 256 };
#define TL_EACH_PACK(name, packs, how)                                                                                             \
    static __attribute__((noinline)) how void tl_whole_##name(double *out, const double *x, int64_t n) {                           \
        TL_PACK_LOOP(packs, TL_TERM_##name)                                                                                        \
    }                                                                                                                              \
    static void tl_each_##name(double *out, const double *x, int64_t n, int accumulate) {                                          \
        double room[TL_PACK_ROOM];                                                                                                 \
        if (!accumulate) {                                                                                                         \
            tl_whole_##name(out, x, n);                                                                                            \
            return;                                                                                                                \
        }                                                                                                                          \
        for (int64_t first = 0; first < n; first += TL_PACK_ROOM) {                                                                \
            const int64_t count = n - first < TL_PACK_ROOM ? n - first : TL_PACK_ROOM;                                             \
            tl_whole_##name(room, x + first, count);                                                                               \
            TL_INDEPENDENT for (int64_t i = 0; i < count; i++) out[first + i] = out[first + i] + room[i];                          \
        }                                                                                                                          \
    }
#define TL_TERM_exp(v, i, READ) tl_pack_exp(v)
#define TL_TERM_sigmoid(v, i, READ) tl_pack_sigmoid(v)
#define TL_TERM_tanh(v, i, READ) tl_pack_tanh(v)
#define TL_TERM_erf(v, i, READ) tl_pack_erf(v)
#define TL_TERM_log(v, i, READ) tl_pack_log(v)
TL_EACH_PACK(exp, 1, )
TL_EACH_PACK(sigmoid, 1, )
TL_EACH_PACK(tanh, TL_PACKS, TL_SCHEDULED)
TL_EACH_PACK(erf, TL_PACKS, TL_SCHEDULED)
#if defined(__AVX512F__)
TL_EACH_PACK(log, TL_PACKS, TL_SCHEDULED)
#endif

static void tl_exp_less(double *out, const double *x, double shift, int64_t n) {
    const tl_pack less = TL_PACK_OF(shift);
#define TL_TERM(v, i, READ) tl_pack_exp((v) - less)
    TL_PACK_LOOP(1, TL_TERM)
#undef TL_TERM
}

static void tl_exp_less_each(double *out, const double *x, const double *shift, int64_t n) {
#define TL_TERM(v, i, READ) tl_pack_exp((v) - READ(shift + (i)))
    TL_PACK_LOOP(1, TL_TERM)
#undef TL_TERM
}
#else
TL_EACH_ONE(exp)
TL_EACH_ONE(sigmoid)
TL_EACH_ONE(tanh)
TL_EACH_ONE(erf)
static void tl_exp_less(double *out, const double *x, double shift, int64_t n) {
    TL_INDEPENDENT for (int64_t i = 0; i < n; i++) out[i] = tl_exp(x[i] - shift);
}
static void tl_exp_less_each(double *out, const double *x, const double *shift, int64_t n) {
    TL_INDEPENDENT for (int64_t i = 0; i < n; i++) out[i] = tl_exp(x[i] - shift[i]);
}
#endif
#if !defined(__AVX512F__)
TL_EACH_ONE(log)
#endif
#endif
