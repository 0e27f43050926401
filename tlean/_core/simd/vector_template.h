/* Vectors of one element type for micro.h: types, partial loads and stores, interleaving, transposes, sums over lanes.
 * Included with TL_T (float, double), TL_SUFFIX (f32, f64) and TL_INT (the integer as wide) defined. X is the suffix.
 *
 *   tl_vec_X, tl_uvec_X         TL_LANES_X lanes; the second may be at any address of an element
 *   tl_load_part_X(p, n)        the first n lanes from memory, zero beyond (nothing beyond is touched), 0 <= n <= TL_LANES_X
 *   tl_store_part_X(p, v, n)    likewise
 *   tl_shuffle_X(a, b, order)   lanes of a and b in any order
 *   tl_transpose_X(r)           r[i] lane j <-> r[j] lane i, for TL_LANES_X vectors
 *   tl_lane_sums_X(r, n)        lane i of the result is the sum over the lanes of r[i], i < n; n is a constant power of two <= TL_LANES_X
 */
#define VL TL_X(TL_LANES)
#define VEC TL_X(tl_vec)
#define UVEC TL_X(tl_uvec)
#define IVEC TL_X(tl_ivec)

typedef TL_T VEC __attribute__((vector_size(TL_VECTOR_BYTES), may_alias));
typedef TL_T UVEC __attribute__((vector_size(TL_VECTOR_BYTES), aligned(sizeof(TL_T)), may_alias));
typedef TL_INT IVEC __attribute__((vector_size(TL_VECTOR_BYTES)));

#ifndef TL_LO
#define TL_LO_2 {0, 2}
#define TL_HI_2 {1, 3}
#define TL_LO_4 {0, 4, 1, 5}
#define TL_HI_4 {2, 6, 3, 7}
#define TL_LO_8 {0, 8, 1, 9, 2, 10, 3, 11}
#define TL_HI_8 {4, 12, 5, 13, 6, 14, 7, 15}
#define TL_LO_16 {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23}
#define TL_HI_16 {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31}
#define TL_LO(n) TL_JOIN(TL_LO, n)
#define TL_HI(n) TL_JOIN(TL_HI, n)
#define TL_IS_f32 1
#define TL_IS_f64 0
#endif

/* Lane l of the result is lane order[l] of a and b, one behind the other. Clang's shuffle takes literal lanes alone; with a constant order
 * it turns the loop into the same instruction. */
TL_INLINE VEC TL_X(tl_shuffle)(VEC a, VEC b, IVEC order) {
#if defined(__clang__)
    VEC lanes;
    for (int l = 0; l < VL; l++) lanes[l] = order[l] < VL ? a[order[l]] : b[order[l] - VL];
    return lanes;
#else
    return __builtin_shuffle(a, b, order);
#endif
}

/* (a0 b0 a1 b1 …): the first halves of a and b interleaved; `hi`: the second halves. */
TL_INLINE VEC TL_X(tl_interleave_lo)(VEC a, VEC b) {
    const IVEC order = TL_LO(VL);
    return TL_X(tl_shuffle)(a, b, order);
}
TL_INLINE VEC TL_X(tl_interleave_hi)(VEC a, VEC b) {
    const IVEC order = TL_HI(VL);
    return TL_X(tl_shuffle)(a, b, order);
}

TL_INLINE VEC TL_X(tl_load_part)(const TL_T *p, int64_t n) {
#if defined(__AVX512F__) && TL_X(TL_IS)
    return (VEC)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(__AVX512F__)
    return (VEC)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#else
    VEC v = {0};
    TL_T *lanes = (TL_T *)&v;
    for (int64_t j = 0; j < n; j++) lanes[j] = p[j];
    return v;
#endif
}

TL_INLINE void TL_X(tl_store_part)(TL_T *p, VEC v, int64_t n) {
#if defined(__AVX512F__) && TL_X(TL_IS)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif defined(__AVX512F__)
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
#else
    const TL_T *lanes = (const TL_T *)&v;
    for (int64_t j = 0; j < n; j++) p[j] = lanes[j];
#endif
}

/* log2(VL) perfect shuffles: each pairs vector i with vector i + VL/2 and so moves one bit of the row number into the lane number. */
TL_INLINE void TL_X(tl_transpose)(VEC *r) {
    VEC t[VL];
#pragma GCC unroll 4
    for (int step = 1; step < VL; step *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < VL / 2; i++) {
            t[2 * i] = TL_X(tl_interleave_lo)(r[i], r[i + VL / 2]);
            t[2 * i + 1] = TL_X(tl_interleave_hi)(r[i], r[i + VL / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) r[i] = t[i];
    }
}

/* Each step interleaves vectors i and i + half and adds the halves, so half as many vectors hold half as many partial sums of each;
 * afterwards lane l holds a partial sum of vector l mod n, and the lanes that belong together are added by halving the distance. */
TL_INLINE VEC TL_X(tl_lane_sums)(VEC *r, const int n) {
#pragma GCC unroll 4
    for (int half = n / 2; half >= 1; half /= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < half; i++)
            r[i] = TL_X(tl_interleave_lo)(r[i], r[i + half]) + TL_X(tl_interleave_hi)(r[i], r[i + half]);
    }
    VEC sum = r[0];
#pragma GCC unroll 4
    for (int apart = VL / 2; apart >= n; apart /= 2) {
        IVEC order;
#pragma GCC unroll 16
        for (int l = 0; l < VL; l++) order[l] = (l + apart) % VL;
        sum += TL_X(tl_shuffle)(sum, sum, order);
    }
    return sum;
}

#undef VL
#undef VEC
#undef UVEC
#undef IVEC
