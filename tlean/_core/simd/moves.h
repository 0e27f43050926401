/* Moving bytes: short runs without a call, and square transposes in registers. */
#ifndef TLEAN_MOVES_H
#define TLEAN_MOVES_H
#include <stdint.h>
#include <string.h>

#include "simd/width.h"

typedef uint32_t tl_block64 __attribute__((vector_size(64)));
typedef uint32_t tl_block16 __attribute__((vector_size(16)));

/* n bytes, a multiple of 4, from one place to another that does not overlap it. Ends of whole blocks are covered by moving the last block
 * back. */
static inline void tl_copy(void *restrict dst, const void *restrict src, int64_t n) {
    char *d = dst;
    const char *s = src;
    int64_t i = 0;
    if (n >= 8192) {
        memcpy(d, s, n);
    } else if (n >= 64) {
        tl_block64 v;
        for (; i + 64 <= n; i += 64) {
            memcpy(&v, s + i, 64);
            memcpy(d + i, &v, 64);
        }
        if (i < n) {
            memcpy(&v, s + n - 64, 64);
            memcpy(d + n - 64, &v, 64);
        }
    } else if (n >= 16) {
        tl_block16 v;
        for (; i + 16 <= n; i += 16) {
            memcpy(&v, s + i, 16);
            memcpy(d + i, &v, 16);
        }
        if (i < n) {
            memcpy(&v, s + n - 16, 16);
            memcpy(d + n - 16, &v, 16);
        }
    } else {
        for (; i < n; i += 4) memcpy(d + i, s + i, 4);
    }
}

/* TL_PERMUTE(type, n, a, b, F, w): lane e of the result is lane F(e, w, n) of the 2n lanes of a and b. The numbers are constants, so that
 * the compiler picks the shuffle. */
#define TL_LIST2(F, w, n) F(0, w, n), F(1, w, n)
#define TL_LIST4(F, w, n) TL_LIST2(F, w, n), F(2, w, n), F(3, w, n)
#define TL_LIST8(F, w, n) TL_LIST4(F, w, n), F(4, w, n), F(5, w, n), F(6, w, n), F(7, w, n)
#define TL_LIST16(F, w, n) \
    TL_LIST8(F, w, n), F(8, w, n), F(9, w, n), F(10, w, n), F(11, w, n), F(12, w, n), F(13, w, n), F(14, w, n), F(15, w, n)
#define TL_LIST_(n) TL_LIST##n
#define TL_LIST(n) TL_LIST_(n)
#if defined(__clang__)
#define TL_PERMUTE(type, n, a, b, F, w) __builtin_shufflevector(a, b, TL_LIST(n)(F, w, n))
#else
#define TL_PERMUTE(type, n, a, b, F, w) __builtin_shuffle(a, b, (type){TL_LIST(n)(F, w, n)})
#endif

/* T x T tiles of 4- and 8-byte elements, T = elements per vector of the instruction set, by Eklundh's method: in stage w (w = 1, 2, 4, …
 * T/2) rows k and k + w (bit w of k clear) exchange the off-diagonal elements of their 2w-element groups; in the end row i holds column i.
 */
#define TL_LOW(e, w, n) (((e) & (w)) ? (n) + (e) - (w) : (e))
#define TL_HIGH(e, w, n) (((e) & (w)) ? (n) + (e) : (e) + (w))
#define TL_STAGE(vec, T, w)                                                              \
    if (w < T) {                                                                         \
        _Pragma("GCC unroll 16") for (int k = 0; k < T; k++) {                           \
            if (k & w) continue;                                                         \
            const vec a = row[k], b = row[(k + w) % T];                                  \
            row[k] = TL_PERMUTE(vec, T, a, b, TL_LOW, (w < T ? w : 1));                  \
            row[(k + w) % T] = TL_PERMUTE(vec, T, a, b, TL_HIGH, (w < T ? w : 1));       \
        }                                                                                \
    }
#define TL_DEFINE_TILE(NAME, ELEM, T)                                                                              \
    typedef ELEM NAME##_vec __attribute__((vector_size(TL_VECTOR_BYTES)));                                         \
    /* dst[i * dst_stride + k] = src[k * src_stride + i], 0 <= i, k < T */                                         \
    static inline void NAME(ELEM *restrict dst, int64_t dst_stride, const ELEM *restrict src, int64_t src_stride) { \
        NAME##_vec row[T];                                                                                         \
        _Pragma("GCC unroll 16") for (int k = 0; k < T; k++) memcpy(&row[k], src + k * src_stride, sizeof row[k]);  \
        TL_STAGE(NAME##_vec, T, 1)                                                                                 \
        TL_STAGE(NAME##_vec, T, 2)                                                                                 \
        TL_STAGE(NAME##_vec, T, 4)                                                                                 \
        TL_STAGE(NAME##_vec, T, 8)                                                                                 \
        _Pragma("GCC unroll 16") for (int i = 0; i < T; i++) memcpy(dst + i * dst_stride, &row[i], sizeof row[i]);  \
    }

TL_DEFINE_TILE(tl_tile4, uint32_t, TL_LANES_f32)
TL_DEFINE_TILE(tl_tile8, uint64_t, TL_LANES_f64)

/* Of the first m columns of T rows alone: dst[i * dst_stride + k] = src[k * src_stride + i], 0 <= i < m, 0 <= k < T. Whole vectors are read, T
 * elements from the beginning of each row of src. */
#define TL_DEFINE_NARROW_TILE(NAME, TILE, ELEM, T)                                                                                      \
    static inline void NAME(ELEM *restrict dst, int64_t dst_stride, const ELEM *restrict src, int64_t src_stride, int64_t m) {          \
        ELEM tile[T * T] __attribute__((aligned(64)));                                                                                  \
        TILE(tile, T, src, src_stride);                                                                                                 \
        for (int64_t i = 0; i < m; i++) memcpy(dst + i * dst_stride, tile + i * T, sizeof(ELEM) * T);                                   \
    }
TL_DEFINE_NARROW_TILE(tl_narrow_tile4, tl_tile4, uint32_t, TL_LANES_f32)
TL_DEFINE_NARROW_TILE(tl_narrow_tile8, tl_tile8, uint64_t, TL_LANES_f64)

static inline void tl_tile_f32(float *dst, int64_t dst_stride, const float *src, int64_t src_stride) {
    tl_tile4((uint32_t *)dst, dst_stride, (const uint32_t *)src, src_stride);
}
static inline void tl_tile_f64(double *dst, int64_t dst_stride, const double *src, int64_t src_stride) {
    tl_tile8((uint64_t *)dst, dst_stride, (const uint64_t *)src, src_stride);
}
#endif
