/* Winograd's F(4x4, 3x3) in the planes of 3 x 3 x 3 windows (kernels/conv/winograd.h has the transforms): the depth taps and the input channels are
 * summed between the transforms, so each plane of the source is transformed once for the three planes of results that it meets.
 *
 * Lanes are tiles, so few channels fill the vectors. A vector of tiles is four chunks, each of LANES / 4 tiles side by side: for a row of
 * their pixels a chunk is one vector of memory, and four such vectors, turned, are the lanes of the tiles' columns 0 … 3. */
#ifndef TL_CONV_WINOGRAD_DEPTH_H
#define TL_CONV_WINOGRAD_DEPTH_H
#include "kernels/conv/winograd_range.h"

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

TL_INLINE void depth_store(float *to, wino_vec y, ptrdiff_t count) {
    if (count >= TL_LANES_f32) {
        *(wino_vecu *)to = y;
        return;
    }
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, wino_lanes(0, count), (__m512)y);
#else
    for (int l = 0; l < count; l++) to[l] = y[l];
#endif
}

/* The transform of one vector of tiles of a plane: v + point step. Chunk k begins at row top[k], column left[k]. */
static __attribute__((noinline)) void depth_source(float *TL_RESTRICT v, ptrdiff_t step, const float *TL_RESTRICT x, ptrdiff_t height,
                                                   ptrdiff_t width, const ptrdiff_t *TL_RESTRICT top, const ptrdiff_t *TL_RESTRICT left) {
    wino_vec table[6][6], in[6], out[6];
    const wino_part none = wino_lanes(0, 0);
    wino_part near[4], far[4];
    for (int k = 0; k < 4; k++) {
        near[k] = wino_lanes(-left[k], width - left[k]);
        far[k] = wino_lanes(-left[k] - 4, width - left[k] - 4);
    }
    _Pragma("GCC unroll 1") for (int i = 0; i < 6; i++) {
        wino_vec here[4], beyond[4];
        _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) {
            const ptrdiff_t y = top[k] + i;
            const int inside = y >= 0 && y < height;
            const float *from = x + y * width + left[k];
            here[k] = wino_load(from, inside ? near[k] : none);
            beyond[k] = wino_load(from + 4, inside ? far[k] : none);
            conv_expect_read(from + height * width + 1); /* the next to be transformed */
        }
        const wino_vec even = wino_even_lanes(here[0], here[1]), even2 = wino_even_lanes(here[2], here[3]);
        const wino_vec odd = wino_odd_lanes(here[0], here[1]), odd2 = wino_odd_lanes(here[2], here[3]);
        in[0] = wino_even_lanes(even, even2);
        in[1] = wino_even_lanes(odd, odd2);
        in[2] = wino_odd_lanes(even, even2);
        in[3] = wino_odd_lanes(odd, odd2);
        in[4] = wino_even_lanes(wino_even_lanes(beyond[0], beyond[1]), wino_even_lanes(beyond[2], beyond[3]));
        in[5] = wino_even_lanes(wino_odd_lanes(beyond[0], beyond[1]), wino_odd_lanes(beyond[2], beyond[3]));
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
                const float *at = v + c * TL_LANES_f32;                                                                                   \
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
                _Pragma("GCC unroll 8") for (int d = 0; d < D; d++) *(wino_vec *)(m + (o * D + d) * TL_LANES_f32) = sum[o][d];            \
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

/* Results of one vector of tiles, into a plane: chunk k begins at row top[k], column left[k]. */
static void depth_result(float *TL_RESTRICT to, ptrdiff_t height, ptrdiff_t width, const ptrdiff_t *TL_RESTRICT top,
                         const ptrdiff_t *TL_RESTRICT left, const float *TL_RESTRICT m, ptrdiff_t step, float bias) {
    wino_vec table[4][6], in[6], y[6];
    _Pragma("GCC unroll 1") for (int j = 0; j < 6; j++) {
        _Pragma("GCC unroll 6") for (int i = 0; i < 6; i++) in[i] = *(const wino_vec *)(m + (6 * i + j) * step);
        wino_result_axis(y, in);
        _Pragma("GCC unroll 6") for (int i = 0; i < 4; i++) table[i][j] = y[i];
    }
    _Pragma("GCC unroll 1") for (int i = 0; i < 4; i++) {
        wino_result_axis(y, table[i]);
        _Pragma("GCC unroll 6") for (int j = 0; j < 4; j++) y[j] += bias;
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
}

/* sum[i] = what the energies of three planes come to. */
static void depth_energies(float *TL_RESTRICT sum, const float *a, const float *b, const float *c, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) sum[i] = a[i] + b[i] + c[i];
}
#endif
