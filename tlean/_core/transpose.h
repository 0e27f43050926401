/* Square transposes in registers: T x T tiles of 4- and 8-byte elements, T = elements per vector of the instruction set.
 *
 * Eklundh's method: in stage w (w = 1, 2, 4, … T/2) rows k and k + w (bit w of k clear) exchange the off-diagonal elements of their
 * 2w-element groups. After the last stage row i holds column i.
 */
#ifndef TLEAN_TRANSPOSE_H
#define TLEAN_TRANSPOSE_H
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define TL_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define TL_VECTOR_BYTES 32
#else
#define TL_VECTOR_BYTES 16
#endif
#define TL_TILE4 (TL_VECTOR_BYTES / 4)
#define TL_TILE8 (TL_VECTOR_BYTES / 8)

#define TL_DEFINE_TILE(NAME, ELEM, T)                                                                              \
    typedef ELEM NAME##_vec __attribute__((vector_size(TL_VECTOR_BYTES)));                                         \
    /* dst[i * dst_stride + k] = src[k * src_stride + i], 0 <= i, k < T */                                         \
    static inline void NAME(ELEM *restrict dst, int64_t dst_stride, const ELEM *restrict src, int64_t src_stride) { \
        NAME##_vec row[T];                                                                                         \
        _Pragma("GCC unroll 16") for (int k = 0; k < T; k++) memcpy(&row[k], src + k * src_stride, sizeof row[k]);  \
        _Pragma("GCC unroll 4") for (int w = 1; w < T; w *= 2) {                                                   \
            NAME##_vec low, high;                                                                                  \
            _Pragma("GCC unroll 16") for (int e = 0; e < T; e++) {                                                 \
                low[e] = (e & w) ? T + e - w : e;                                                                  \
                high[e] = (e & w) ? T + e : e + w;                                                                 \
            }                                                                                                      \
            _Pragma("GCC unroll 16") for (int k = 0; k < T; k++) {                                                 \
                if (k & w) continue;                                                                               \
                NAME##_vec a = row[k], b = row[k + w];                                                             \
                row[k] = __builtin_shuffle(a, b, low);                                                             \
                row[k + w] = __builtin_shuffle(a, b, high);                                                        \
            }                                                                                                      \
        }                                                                                                          \
        _Pragma("GCC unroll 16") for (int i = 0; i < T; i++) memcpy(dst + i * dst_stride, &row[i], sizeof row[i]);  \
    }

TL_DEFINE_TILE(tl_tile4, uint32_t, TL_TILE4)
TL_DEFINE_TILE(tl_tile8, uint64_t, TL_TILE8)
#endif
