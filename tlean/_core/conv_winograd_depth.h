/* Winograd's F(4x4, 3x3) in the planes of 3 x 3 x 3 windows (conv_winograd.h has the transforms): the depth taps and the input channels are
 * summed between the transforms, so each plane of the source is transformed once for the three planes of results that it meets.
 *
 * Lanes are tiles, so few channels fill the vectors. A vector of tiles is four chunks, each of LANES / 4 tiles side by side: for a row of
 * their pixels a chunk is one vector of memory, and four such vectors, turned, are the lanes of the tiles' columns 0 … 3. */
#ifndef TL_CONV_WINOGRAD_DEPTH_H
#define TL_CONV_WINOGRAD_DEPTH_H
#include "conv_winograd.h"

/* Most planes of results that are summed at once, for 8 and 4 output channels: as many as there are registers for. */
#if CONV_OB_MAX == 8
#define DEPTH_BLOCK 8
#define DEPTH_MOST_8 3
#define DEPTH_MOST_4 6
#else
#define DEPTH_BLOCK 4
#define DEPTH_MOST_8 0
#define DEPTH_MOST_4 2
#endif

TL_INLINE wino_vec depth_even(wino_vec a, wino_vec b) {
#if WINO_LANES == 16
    return CONV_SHUFFLE(a, b, conv_lanes_f32, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
#elif WINO_LANES == 8
    return CONV_SHUFFLE(a, b, conv_lanes_f32, 0, 2, 4, 6, 8, 10, 12, 14);
#else
    return CONV_SHUFFLE(a, b, conv_lanes_f32, 0, 2, 4, 6);
#endif
}

TL_INLINE wino_vec depth_odd(wino_vec a, wino_vec b) {
#if WINO_LANES == 16
    return CONV_SHUFFLE(a, b, conv_lanes_f32, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#elif WINO_LANES == 8
    return CONV_SHUFFLE(a, b, conv_lanes_f32, 1, 3, 5, 7, 9, 11, 13, 15);
#else
    return CONV_SHUFFLE(a, b, conv_lanes_f32, 1, 3, 5, 7);
#endif
}

/* Some lanes side by side, of a vector that reaches over the edge of a plane: the others are zero. */
#if defined(__AVX512F__)
typedef __mmask16 depth_part;
#else
typedef conv_lanes_f32 depth_part; /* -1 in these lanes */
#endif
TL_INLINE depth_part depth_lanes(ptrdiff_t low, ptrdiff_t high) {
#if defined(__AVX512F__)
    low = low < 0 ? 0 : low;
    high = high > 16 ? 16 : high;
    return low < high ? (depth_part)(((1u << high) - 1) & ~((1u << low) - 1)) : 0;
#else
    depth_part part;
    for (int l = 0; l < WINO_LANES; l++) part[l] = l >= low && l < high ? -1 : 0;
    return part;
#endif
}
TL_INLINE wino_vec depth_load(const float *from, depth_part part) {
#if defined(__AVX512F__)
    return (wino_vec)_mm512_maskz_loadu_ps(part, from);
#elif defined(__AVX2__)
    return (wino_vec)_mm256_maskload_ps(from, (__m256i)part);
#else
    wino_vec y;
    for (int l = 0; l < WINO_LANES; l++) y[l] = part[l] ? from[l] : 0;
    return y;
#endif
}
TL_INLINE void depth_store(float *to, wino_vec y, ptrdiff_t count) {
    if (count >= WINO_LANES) {
        *(wino_vecu *)to = y;
        return;
    }
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, depth_lanes(0, count), (__m512)y);
#else
    for (int l = 0; l < count; l++) to[l] = y[l];
#endif
}

/* The transform of one vector of tiles of a plane: v + point step. Chunk k begins at row top[k], column left[k]. */
static void depth_source(float *TL_RESTRICT v, ptrdiff_t step, const float *TL_RESTRICT x, ptrdiff_t height, ptrdiff_t width,
                         const ptrdiff_t *TL_RESTRICT top, const ptrdiff_t *TL_RESTRICT left) {
    wino_vec table[6][6], in[6], out[6];
    const depth_part none = depth_lanes(0, 0);
    depth_part near[4], far[4];
    for (int k = 0; k < 4; k++) {
        near[k] = depth_lanes(-left[k], width - left[k]);
        far[k] = depth_lanes(-left[k] - 4, width - left[k] - 4);
    }
    _Pragma("GCC unroll 1") for (int i = 0; i < 6; i++) {
        wino_vec here[4], beyond[4];
        _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) {
            const ptrdiff_t y = top[k] + i;
            const int inside = y >= 0 && y < height;
            const float *from = x + y * width + left[k];
            here[k] = depth_load(from, inside ? near[k] : none);
            beyond[k] = depth_load(from + 4, inside ? far[k] : none);
            conv_expect_read(from + height * width + 1); /* the next to be transformed */
        }
        const wino_vec even = depth_even(here[0], here[1]), even2 = depth_even(here[2], here[3]);
        const wino_vec odd = depth_odd(here[0], here[1]), odd2 = depth_odd(here[2], here[3]);
        in[0] = depth_even(even, even2);
        in[1] = depth_even(odd, odd2);
        in[2] = depth_odd(even, even2);
        in[3] = depth_odd(odd, odd2);
        in[4] = depth_even(depth_even(beyond[0], beyond[1]), depth_even(beyond[2], beyond[3]));
        in[5] = depth_even(depth_odd(beyond[0], beyond[1]), depth_odd(beyond[2], beyond[3]));
        wino_source_axis(out, in);
        _Pragma("GCC unroll 6") for (int j = 0; j < 6; j++) table[j][i] = out[j];
    }
    _Pragma("GCC unroll 1") for (int j = 0; j < 6; j++, v += step) {
        wino_source_axis(out, table[j]);
        _Pragma("GCC unroll 6") for (int i = 0; i < 6; i++) *(wino_vec *)(v + 6 * i * step) = out[i];
    }
}

/* Sums at each point of one vector of tiles, for OB output channels and D planes of results:
 *     m[p, o, d] = sum over channels c and taps t of u[p, c, t, o] v[p, plane[d + t] + c]. */
typedef void (*depth_sums_fn)(float *m, ptrdiff_t m_step, const float *v, ptrdiff_t v_step, const ptrdiff_t *plane, const float *u,
                              ptrdiff_t channels);
#define DEPTH_SUMS(OB, D)                                                                                                               \
    static void depth_sums_##OB##_##D(float *TL_RESTRICT m, ptrdiff_t m_step, const float *TL_RESTRICT v, ptrdiff_t v_step,             \
                                      const ptrdiff_t *TL_RESTRICT plane, const float *TL_RESTRICT u, ptrdiff_t channels) {             \
        for (int p = 0; p < 36; p++, v += v_step, m += m_step) {                                                                        \
            wino_vec sum[OB][D];                                                                                                        \
            _Pragma("GCC unroll 8") for (int o = 0; o < OB; o++) {                                                                      \
                _Pragma("GCC unroll 8") for (int d = 0; d < D; d++) sum[o][d] = (wino_vec){0};                                          \
            }                                                                                                                           \
            for (ptrdiff_t c = 0; c < channels; c++) {                                                                                  \
                const float *at = v + c * WINO_LANES;                                                                                   \
                _Pragma("GCC unroll 1") for (int t = 0; t < 3; t++, u += OB) {                                                          \
                    wino_vec x[D];                                                                                                      \
                    _Pragma("GCC unroll 8") for (int d = 0; d < D; d++) {                                                               \
                        x[d] = *(const wino_vec *)(at + plane[d + t]);                                                                  \
                        CONV_IN_REGISTER(x[d]);                                                                                         \
                    }                                                                                                                   \
                    _Pragma("GCC unroll 8") for (int o = 0; o < OB; o++) {                                                              \
                        wino_vec w = u[o] - (wino_vec){0};                                                                              \
                        CONV_IN_REGISTER(w);                                                                                            \
                        _Pragma("GCC unroll 8") for (int d = 0; d < D; d++) sum[o][d] += w * x[d];                                      \
                    }                                                                                                                   \
                }                                                                                                                       \
            }                                                                                                                           \
            _Pragma("GCC unroll 8") for (int o = 0; o < OB; o++) {                                                                      \
                _Pragma("GCC unroll 8") for (int d = 0; d < D; d++) *(wino_vec *)(m + (o * D + d) * WINO_LANES) = sum[o][d];            \
            }                                                                                                                           \
        }                                                                                                                               \
    }
DEPTH_SUMS(4, 1) DEPTH_SUMS(4, 2)
#if DEPTH_BLOCK == 8
DEPTH_SUMS(4, 3) DEPTH_SUMS(4, 4) DEPTH_SUMS(4, 5) DEPTH_SUMS(4, 6)
DEPTH_SUMS(8, 1) DEPTH_SUMS(8, 2) DEPTH_SUMS(8, 3)
#endif
#undef DEPTH_SUMS
/* [8 channels, not 4][planes] */
static const depth_sums_fn depth_sums[2][7] = {
    {0, depth_sums_4_1, depth_sums_4_2,
#if DEPTH_BLOCK == 8
     depth_sums_4_3, depth_sums_4_4, depth_sums_4_5, depth_sums_4_6},
    {0, depth_sums_8_1, depth_sums_8_2, depth_sums_8_3},
#else
    },
#endif
};

/* Results of one vector of tiles, into a plane: chunk k begins at row top[k], column left[k]. Adds 0 to `spoilt`, or NaN where a result is
 * not finite; what is not finite at one place of a tile spoils the others, so the caller must compute them anew. */
static void depth_result(float *TL_RESTRICT to, ptrdiff_t height, ptrdiff_t width, const ptrdiff_t *TL_RESTRICT top,
                         const ptrdiff_t *TL_RESTRICT left, const float *TL_RESTRICT m, ptrdiff_t step, float bias,
                         float *TL_RESTRICT spoilt) {
    wino_vec table[4][6], in[6], y[6], bad = *(const wino_vecu *)spoilt;
    _Pragma("GCC unroll 1") for (int j = 0; j < 6; j++) {
        _Pragma("GCC unroll 6") for (int i = 0; i < 6; i++) in[i] = *(const wino_vec *)(m + (6 * i + j) * step);
        wino_result_axis(y, in);
        _Pragma("GCC unroll 6") for (int i = 0; i < 4; i++) table[i][j] = y[i];
    }
    _Pragma("GCC unroll 1") for (int i = 0; i < 4; i++) {
        wino_result_axis(y, table[i]);
        _Pragma("GCC unroll 6") for (int j = 0; j < 4; j++) y[j] += bias;
        bad += ((y[0] * 0 + y[1] * 0) + (y[2] * 0 + y[3] * 0));
        const wino_vec even = tl_interleave_lo_f32(y[0], y[2]), even2 = tl_interleave_hi_f32(y[0], y[2]);
        const wino_vec odd = tl_interleave_lo_f32(y[1], y[3]), odd2 = tl_interleave_hi_f32(y[1], y[3]);
        in[0] = tl_interleave_lo_f32(even, odd);
        in[1] = tl_interleave_hi_f32(even, odd);
        in[2] = tl_interleave_lo_f32(even2, odd2);
        in[3] = tl_interleave_hi_f32(even2, odd2);
        _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) {
            if (top[k] + i < height) depth_store(to + (top[k] + i) * width + left[k], in[k], width - left[k]);
        }
    }
    *(wino_vecu *)spoilt = bad;
}

/* Whether `count` numbers are all finite. */
static int depth_finite(const float *x, ptrdiff_t count) {
    float sum = 0;
    for (ptrdiff_t i = 0; i < count; i++) sum += x[i] * 0;
    return sum == 0;
}

/* A row of results by the definition, added up in `to`: one plane of one channel of the source, or NULL for one of zeros, under one depth
 * tap of the kernel. `y` is the row of the source that the kernel's first row meets, `left` its first column. */
static __attribute__((noinline)) void depth_definition(float *TL_RESTRICT to, ptrdiff_t columns, const float *TL_RESTRICT x,
                                                       ptrdiff_t height, ptrdiff_t width, ptrdiff_t y, ptrdiff_t left,
                                                       const float *TL_RESTRICT w, int flip) {
    for (ptrdiff_t q = 0; q < columns; q += WINO_LANES) {
        wino_vec sum = depth_load(to + q, depth_lanes(0, columns - q));
        for (ptrdiff_t j = 0; j < 3; j++) {
            const ptrdiff_t first = left + q + j;
            const depth_part none = depth_lanes(0, 0), part = depth_lanes(-first, width - first);
            for (ptrdiff_t i = 0; i < 3; i++) {
                const int inside = x != 0 && y + i >= 0 && y + i < height;
                sum += depth_load(x + (y + i) * width + first, inside ? part : none) * w[flip ? 8 - 3 * i - j : 3 * i + j];
            }
        }
        depth_store(to + q, sum, columns - q);
    }
}
#endif
