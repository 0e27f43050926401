/* The transforms of Winograd's F(4x4, 3x3) in float: four outputs of a three-tap filter from six multiplications along each axis, so 36
 * for a tile of 4 x 4 outputs where the definition takes 144 (Lavin & Gray 2016, Fast algorithms for convolutional neural networks).
 *
 *     y = A' [(G w G') * (B' x B)] A,      x 6 x 6, w 3 x 3, y 4 x 4, * element by element.
 *
 * The points of interpolation are 0, ±3/4, ±3/2 and infinity: B and A are exact in float, and with all entries near 1 the result is about
 * twice as far from the exact one as the definition's in float; the customary 0, ±1, ±2 lose another factor of two to three
 * (Barabasz et al. 2020, Error analysis and improving the accuracy of Winograd convolution, on the choice of points).
 *
 * Lanes are channels. Point p = 6 i + j of a tile's transform is `step` elements behind point p - 1. */
#ifndef TL_CONV_WINOGRAD_H
#define TL_CONV_WINOGRAD_H
#include "kernels/conv/micro.h"
#include "kernels/gemm/micro.h"

#define WINO_A 0.75f
#define WINO_B 1.5f
#define WINO_A2 0.5625f
#define WINO_B2 2.25f
#define WINO_A3 0.421875f
#define WINO_B3 3.375f

typedef conv_vec_f32 wino_vec;
typedef conv_vecu_f32 wino_vecu;

/* One axis of each transform. */
TL_INLINE void wino_source_axis(wino_vec *v, const wino_vec *x) { /* B', 6 -> 6 */
    const wino_vec even = x[4] - WINO_B2 * x[2], odd = x[3] - WINO_B2 * x[1];
    const wino_vec even2 = x[4] - WINO_A2 * x[2], odd2 = x[3] - WINO_A2 * x[1];
    v[0] = WINO_A2 * WINO_B2 * x[0] + (x[4] - (WINO_A2 + WINO_B2) * x[2]);
    v[1] = even + WINO_A * odd;
    v[2] = even - WINO_A * odd;
    v[3] = even2 + WINO_B * odd2;
    v[4] = even2 - WINO_B * odd2;
    v[5] = WINO_A2 * WINO_B2 * x[1] + (x[5] - (WINO_A2 + WINO_B2) * x[3]);
}

TL_INLINE void wino_result_axis(wino_vec *y, const wino_vec *m) { /* A', 6 -> 4 */
    const wino_vec even = m[1] + m[2], odd = m[1] - m[2], even2 = m[3] + m[4], odd2 = m[3] - m[4];
    y[0] = m[0] + even + even2;
    y[1] = WINO_A * odd + WINO_B * odd2;
    y[2] = WINO_A2 * even + WINO_B2 * even2;
    y[3] = WINO_A3 * odd + (WINO_B3 * odd2 + m[5]);
}

TL_INLINE void wino_cotangent_axis(wino_vec *v, const wino_vec *g) { /* A, 4 -> 6 */
    const wino_vec even = g[0] + WINO_A2 * g[2], odd = WINO_A * g[1] + WINO_A3 * g[3];
    const wino_vec even2 = g[0] + WINO_B2 * g[2], odd2 = WINO_B * g[1] + WINO_B3 * g[3];
    v[0] = g[0];
    v[1] = even + odd;
    v[2] = even - odd;
    v[3] = even2 + odd2;
    v[4] = even2 - odd2;
    v[5] = g[3];
}

/* The rows of G are (1, ±s, s s) / (2 s s (s s - r r)) for the points ±s beside ±r, and (1, 0, 0) / (A B)^2 and (0, 0, 1). */
#define WINO_GA (1 / (2 * WINO_A2 * (WINO_A2 - WINO_B2)))
#define WINO_GB (1 / (2 * WINO_B2 * (WINO_B2 - WINO_A2)))
TL_INLINE void wino_weight_axis(wino_vec *u, const wino_vec *w) { /* G, 3 -> 6 */
    const wino_vec even = WINO_GA * w[0] + WINO_GA * WINO_A2 * w[2], odd = WINO_GA * WINO_A * w[1];
    const wino_vec even2 = WINO_GB * w[0] + WINO_GB * WINO_B2 * w[2], odd2 = WINO_GB * WINO_B * w[1];
    u[0] = 1 / (WINO_A2 * WINO_B2) * w[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = even2 + odd2;
    u[4] = even2 - odd2;
    u[5] = w[2];
}

TL_INLINE void wino_weight_back_axis(wino_vec *w, const wino_vec *s) { /* G', 6 -> 3 */
    const wino_vec even = WINO_GA * (s[1] + s[2]), even2 = WINO_GB * (s[3] + s[4]);
    w[0] = 1 / (WINO_A2 * WINO_B2) * s[0] + (even + even2);
    w[1] = WINO_GA * WINO_A * (s[1] - s[2]) + WINO_GB * WINO_B * (s[3] - s[4]);
    w[2] = WINO_A2 * even + (WINO_B2 * even2 + s[5]);
}

/* FROM x FROM -> TO x TO: columns first. The table between the two axes lives in the first-level cache: it has more vectors than there are
 * registers, and loops that are not unrolled keep the compiler from trying. */
#define WINO_BOTH_AXES(axis, FROM, TO, LOAD, STORE)                                                                                     \
    do {                                                                                                                                \
        wino_vec table[TO][FROM], in[FROM], out[TO];                                                                                    \
        _Pragma("GCC unroll 1") for (int j = 0; j < FROM; j++) {                                                                        \
            _Pragma("GCC unroll 6") for (int i = 0; i < FROM; i++) in[i] = LOAD(i, j);                                                  \
            axis(out, in);                                                                                                              \
            _Pragma("GCC unroll 6") for (int i = 0; i < TO; i++) table[i][j] = out[i];                                                  \
        }                                                                                                                               \
        _Pragma("GCC unroll 1") for (int i = 0; i < TO; i++) {                                                                          \
            axis(out, table[i]);                                                                                                        \
            _Pragma("GCC unroll 6") for (int j = 0; j < TO; j++) STORE(i, j, out[j]);                                                   \
        }                                                                                                                               \
    } while (0)

/* A row of tiles: box holds 6 rows (4 of a cotangent) of `pitch` elements, position by position, lanes being channels. */
#define LOAD_BOX(i, j) *(const wino_vec *)(box + (i)*pitch + (j)*TL_LANES_f32)
#define STORE_POINT(i, j, value) *(wino_vec *)(v + (6 * (i) + (j)) * step) = (value)
static void wino_source(float *TL_RESTRICT v, ptrdiff_t step, ptrdiff_t tile_step, const float *TL_RESTRICT box, ptrdiff_t pitch,
                        ptrdiff_t tiles) {
    for (; tiles > 0; tiles--, box += 4 * TL_LANES_f32, v += tile_step) WINO_BOTH_AXES(wino_source_axis, 6, 6, LOAD_BOX, STORE_POINT);
}

static void wino_cotangent(float *TL_RESTRICT v, ptrdiff_t step, ptrdiff_t tile_step, const float *TL_RESTRICT box, ptrdiff_t pitch,
                           ptrdiff_t tiles) {
    for (; tiles > 0; tiles--, box += 4 * TL_LANES_f32, v += tile_step) WINO_BOTH_AXES(wino_cotangent_axis, 4, 6, LOAD_BOX, STORE_POINT);
}

/* `count` kernels, 9 vectors each, `flip`ped for the input gradient; taps[k, l] += sum of squares of cell k. */
static void wino_weights(float *TL_RESTRICT v, ptrdiff_t step, ptrdiff_t kernel_step, const float *TL_RESTRICT w, ptrdiff_t count, int flip,
                         float *TL_RESTRICT taps) {
    const ptrdiff_t first = flip ? 8 * TL_LANES_f32 : 0, next = flip ? -TL_LANES_f32 : TL_LANES_f32;
    wino_vec sum[9];
    _Pragma("GCC unroll 9") for (int k = 0; k < 9; k++) sum[k] = *(const wino_vecu *)(taps + k * TL_LANES_f32);
    for (; count > 0; count--, w += 9 * TL_LANES_f32, v += kernel_step) {
        _Pragma("GCC unroll 9") for (int k = 0; k < 9; k++) {
            const wino_vec cell = *(const wino_vec *)(w + k * TL_LANES_f32);
            sum[k] += cell * cell;
        }
#define LOAD_CELL(i, j) *(const wino_vec *)(w + first + (3 * (i) + (j)) * next)
        WINO_BOTH_AXES(wino_weight_axis, 3, 6, LOAD_CELL, STORE_POINT);
#undef LOAD_CELL
    }
    _Pragma("GCC unroll 9") for (int k = 0; k < 9; k++) *(wino_vecu *)(taps + k * TL_LANES_f32) = sum[k];
}
#undef LOAD_BOX
#undef STORE_POINT

/* Results of a row of tiles, into 4 rows of `pitch` elements. From the last tile to the first, and the rows of one from top to bottom: what
 * the last has beyond the end of a row falls on places of the first, or of the next row, that are written after it. */
#define LOAD_POINT(i, j) *(const wino_vec *)(m + (6 * (i) + (j)) * step)
static void wino_result(float *TL_RESTRICT to, ptrdiff_t pitch, const float *TL_RESTRICT m, ptrdiff_t step, ptrdiff_t tile_step,
                        const float *TL_RESTRICT bias, ptrdiff_t tiles) {
    const wino_vec b = *(const wino_vecu *)bias;
    m += (tiles - 1) * tile_step;
    to += (tiles - 1) * 4 * TL_LANES_f32;
    for (; tiles > 0; tiles--, m -= tile_step, to -= 4 * TL_LANES_f32) {
#define STORE_RESULT(i, j, value) *(wino_vec *)(to + (i)*pitch + (j)*TL_LANES_f32) = (value) + b
        WINO_BOTH_AXES(wino_result_axis, 6, 4, LOAD_POINT, STORE_RESULT);
#undef STORE_RESULT
    }
}

/* Weight gradients, 9 vectors each. */
static void wino_weights_back(float *TL_RESTRICT w, const float *TL_RESTRICT m, ptrdiff_t step, ptrdiff_t kernel_step, ptrdiff_t count) {
    for (; count > 0; count--, m += kernel_step, w += 9 * TL_LANES_f32) {
#define STORE_CELL(i, j, value) *(wino_vec *)(w + (3 * (i) + (j)) * TL_LANES_f32) = (value)
        WINO_BOTH_AXES(wino_weight_back_axis, 6, 3, LOAD_POINT, STORE_CELL);
#undef STORE_CELL
    }
}
#undef LOAD_POINT
#undef WINO_BOTH_AXES

/* tl_micro for rows of A that are some distance apart, never next to each other: the compiler need not build that case. */
TL_INLINE void wino_product(int64_t mr, int64_t nr, int64_t k, const float *a, int64_t a_row, const float *b, float *c, int add) {
    if (a_row == 1) __builtin_unreachable();
    tl_micro_f32(mr, nr, k, a, a_row, 1, b, TL_NR_f32, c, TL_NR_f32, add);
}

/* Some lanes side by side, of a vector that reaches over an edge: the others are zero. */
#if defined(__AVX512F__)
typedef __mmask16 wino_part;
#else
typedef conv_lanes_f32 wino_part; /* -1 in these lanes */
#endif
TL_INLINE wino_part wino_lanes(ptrdiff_t low, ptrdiff_t high) {
#if defined(__AVX512F__)
    low = low < 0 ? 0 : low;
    high = high > 16 ? 16 : high;
    return low < high ? (wino_part)(((1u << high) - 1) & ~((1u << low) - 1)) : 0;
#else
    wino_part part;
    for (int l = 0; l < TL_LANES_f32; l++) part[l] = l >= low && l < high ? -1 : 0;
    return part;
#endif
}
TL_INLINE wino_vec wino_load(const float *from, wino_part part) {
#if defined(__AVX512F__)
    return (wino_vec)_mm512_maskz_loadu_ps(part, from);
#elif defined(__AVX2__)
    return (wino_vec)_mm256_maskload_ps(from, (__m256i)part);
#else
    wino_vec y;
    for (int l = 0; l < TL_LANES_f32; l++) y[l] = part[l] ? from[l] : 0;
    return y;
#endif
}

/* The smaller and the larger of two; b where either is a NaN. */
TL_INLINE wino_vec wino_min(wino_vec a, wino_vec b) {
#if defined(__AVX512F__)
    return (wino_vec)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (wino_vec)_mm256_min_ps((__m256)a, (__m256)b);
#else
    for (int l = 0; l < TL_LANES_f32; l++) a[l] = a[l] < b[l] ? a[l] : b[l];
    return a;
#endif
}
TL_INLINE wino_vec wino_max(wino_vec a, wino_vec b) {
#if defined(__AVX512F__)
    return (wino_vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (wino_vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
    for (int l = 0; l < TL_LANES_f32; l++) a[l] = a[l] > b[l] ? a[l] : b[l];
    return a;
#endif
}
/* Energies that are no NaN: infinity where one of them is infinite or NaN. */
TL_INLINE wino_vec wino_no_nan(wino_vec e) { return wino_min(e, INFINITY - (wino_vec){0}); }

TL_INLINE wino_vec wino_even_lanes(wino_vec a, wino_vec b) {
#if TL_LANES_f32 == 16
    return CONV_SHUFFLE(a, b, conv_lanes_f32, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
#elif TL_LANES_f32 == 8
    return CONV_SHUFFLE(a, b, conv_lanes_f32, 0, 2, 4, 6, 8, 10, 12, 14);
#else
    return CONV_SHUFFLE(a, b, conv_lanes_f32, 0, 2, 4, 6);
#endif
}
TL_INLINE wino_vec wino_odd_lanes(wino_vec a, wino_vec b) {
#if TL_LANES_f32 == 16
    return CONV_SHUFFLE(a, b, conv_lanes_f32, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#elif TL_LANES_f32 == 8
    return CONV_SHUFFLE(a, b, conv_lanes_f32, 1, 3, 5, 7, 9, 11, 13, 15);
#else
    return CONV_SHUFFLE(a, b, conv_lanes_f32, 1, 3, 5, 7);
#endif
}

/* The first, or the second, of each two lanes, four by four from a and from b; and of each two fours, those of a before those of b. Within
 * fours lanes move at half the cost. */
#if TL_LANES_f32 == 16
#define WINO_PAIRS_LOW(a, b) CONV_SHUFFLE(a, b, conv_lanes_f32, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30)
#define WINO_PAIRS_HIGH(a, b) CONV_SHUFFLE(a, b, conv_lanes_f32, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31)
#define WINO_FOURS_LOW(a, b) CONV_SHUFFLE(a, b, conv_lanes_f32, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define WINO_FOURS_HIGH(a, b) CONV_SHUFFLE(a, b, conv_lanes_f32, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
#elif TL_LANES_f32 == 8
#define WINO_PAIRS_LOW(a, b) CONV_SHUFFLE(a, b, conv_lanes_f32, 0, 2, 8, 10, 4, 6, 12, 14)
#define WINO_PAIRS_HIGH(a, b) CONV_SHUFFLE(a, b, conv_lanes_f32, 1, 3, 9, 11, 5, 7, 13, 15)
#define WINO_FOURS_LOW(a, b) CONV_SHUFFLE(a, b, conv_lanes_f32, 0, 1, 2, 3, 8, 9, 10, 11)
#define WINO_FOURS_HIGH(a, b) CONV_SHUFFLE(a, b, conv_lanes_f32, 4, 5, 6, 7, 12, 13, 14, 15)
#else
#define WINO_PAIRS_LOW(a, b) wino_even_lanes(a, b)
#define WINO_PAIRS_HIGH(a, b) wino_odd_lanes(a, b)
#define WINO_FOURS_LOW(a, b) (a) /* there is one */
#define WINO_FOURS_HIGH(a, b) (b)
#endif

/* e[p] (+)= sum of squares at `n` places side by side, up to a vector, of one block of channels. */
TL_INLINE void wino_blocked_add(float *TL_RESTRICT e, const float *TL_RESTRICT x, int add, ptrdiff_t n) {
    wino_vec sum[TL_LANES_f32];
    _Pragma("GCC unroll 16") for (int p = 0; p < TL_LANES_f32; p++) {
        sum[p] = (wino_vec){0};
        if (p < n) sum[p] = *(const wino_vec *)(x + p * TL_LANES_f32);
    }
    /* Half as many vectors each time: neighbours are added up, the first time their squares, then neighbouring fours. Lane p ends as the
     * sum over the squares of sum[p]. */
    _Pragma("GCC unroll 4") for (int half = TL_LANES_f32 / 2; half > 0; half /= 2) {
        _Pragma("GCC unroll 8") for (int p = 0; p < half; p++) {
            const wino_vec a = sum[2 * p], b = sum[2 * p + 1];
            const wino_vec low = half > TL_LANES_f32 / 8 ? WINO_PAIRS_LOW(a, b) : WINO_FOURS_LOW(a, b);
            const wino_vec high = half > TL_LANES_f32 / 8 ? WINO_PAIRS_HIGH(a, b) : WINO_FOURS_HIGH(a, b);
            sum[p] = half == TL_LANES_f32 / 2 ? low * low + high * high : low + high;
        }
    }
    if (add) sum[0] += *(const wino_vecu *)e;
    *(wino_vecu *)e = wino_no_nan(sum[0]);
}

/* The same of `n` places in a row; and the same part of the next block of channels, which comes next, is fetched meanwhile. */
static void wino_blocked_row(float *TL_RESTRICT e, const float *TL_RESTRICT x, ptrdiff_t next, int add, ptrdiff_t n) {
    for (ptrdiff_t j = 0; j < n; j++) conv_expect_read(x + next + j * TL_LANES_f32);
    for (ptrdiff_t j = 0; j < n && e; j += TL_LANES_f32) wino_blocked_add(e + j, x + j * TL_LANES_f32, add, n - j);
}

/* conv_turn_padded, and e[p] (+)= sum of squares at its places; zeros are added behind them. Not inlined: it needs all registers. */
static __attribute__((noinline)) void wino_turn_add(float *TL_RESTRICT box, const float *TL_RESTRICT from, ptrdiff_t step,
                                                    ptrdiff_t channels, ptrdiff_t n, float *TL_RESTRICT e, int add) {
    conv_turn_into_f32(box, TL_LANES_f32, from, step, channels, n, TL_LANES_f32, e, add);
    *(wino_vecu *)e = wino_no_nan(*(const wino_vecu *)e);
}

/* Elements from row to row of the energies that `columns` outputs in a row meet: what vectors of windows read. Behind the last row there is
 * room for a vector. */
TL_INLINE ptrdiff_t wino_pitch(ptrdiff_t columns) { return (columns + TL_LANES_f32 - 1) / TL_LANES_f32 * TL_LANES_f32 + 2; }

/* box[i, j, l] = from[l, top + i, left + j], zero outside the image and in the lanes behind the last channel; and, while they are in the
 * first-level cache, e[i, j] (+)= the sum of their squares, where e is not NULL. */
static void wino_box(float *TL_RESTRICT box, ptrdiff_t rows, ptrdiff_t columns, const float *TL_RESTRICT from, ptrdiff_t channels,
                     ptrdiff_t height, ptrdiff_t width, ptrdiff_t top, ptrdiff_t left, int blocked, float *TL_RESTRICT e, ptrdiff_t pitch,
                     int add) {
    ptrdiff_t begin = left < 0 ? -left : 0, end = columns < width - left ? columns : width - left;
    if (begin > columns) begin = columns;
    if (end < begin) end = begin;
    for (ptrdiff_t i = 0; i < rows; i++, box += columns * TL_LANES_f32) {
        const float *row = from + ((top + i) * width + left) * (blocked ? TL_LANES_f32 : 1);
        if (top + i < 0 || top + i >= height) {
            conv_zero_f32(box, columns * TL_LANES_f32);
            if (e && !add) conv_zero_f32(e + i * pitch, pitch);
            continue;
        }
        conv_zero_f32(box, begin * TL_LANES_f32);
        if (blocked) {
            /* from[top + i, left + j, l]. The same part of the next block of channels comes next: fetched meanwhile. */
            for (ptrdiff_t j = begin; j < end; j++) {
                *(wino_vec *)(box + j * TL_LANES_f32) = *(const wino_vec *)(row + j * TL_LANES_f32);
                conv_expect_read(row + (height * width + j) * TL_LANES_f32);
            }
        }
        float *to = e + i * pitch;
        if (e && !add) conv_zero_f32(to, pitch);
        for (ptrdiff_t j = begin; j < end && !blocked; j += TL_LANES_f32) {
            const ptrdiff_t n = end - j < TL_LANES_f32 ? end - j : TL_LANES_f32;
            if (e) {
                wino_turn_add(box + j * TL_LANES_f32, row + j, height * width, channels, n, to + j, add);
            } else {
                conv_turn_padded_f32(box + j * TL_LANES_f32, TL_LANES_f32, row + j, height * width, channels, n);
            }
        }
        conv_zero_f32(box + end * TL_LANES_f32, (columns - end) * TL_LANES_f32);
        for (ptrdiff_t j = begin; j < end && e && blocked; j += TL_LANES_f32) {
            wino_blocked_add(to + j, row + j * TL_LANES_f32, add, end - j < TL_LANES_f32 ? end - j : TL_LANES_f32);
        }
    }
}

/* The transforms of a row of tiles whose channels are in a block, from row top, column left on; those over an edge by way of the box. And
 * from row `fresh` on, which no row of tiles above has met, the energies. */
static void wino_blocked_source(float *TL_RESTRICT v, ptrdiff_t step, ptrdiff_t tile_step, ptrdiff_t tiles, float *TL_RESTRICT box,
                                const float *TL_RESTRICT from, ptrdiff_t height, ptrdiff_t width, ptrdiff_t top, ptrdiff_t left,
                                float *TL_RESTRICT e, ptrdiff_t pitch, ptrdiff_t fresh, int add) {
    const ptrdiff_t begin = left < 0 ? -left : 0, wide = 4 * tiles + 2, end = wide < width - left ? wide : width - left;
    for (ptrdiff_t i = fresh; i < 6; i++) {
        if (e && !add) conv_zero_f32(e + i * pitch, pitch);
        if (top + i < 0 || top + i >= height) continue;
        wino_blocked_row(e ? e + i * pitch + begin : NULL, from + ((top + i) * width + left + begin) * TL_LANES_f32,
                         height * width * TL_LANES_f32, add, end - begin);
    }
    /* The tiles inside. */
    ptrdiff_t low = begin ? 1 : 0, high = end < 6 ? 0 : (end - 6) / 4 + 1;
    if (top < 0 || top + 6 > height || low > high) low = high = tiles;
    for (int k = 0; k < 2; k++) {
        const ptrdiff_t first = k ? high : 0, count = k ? tiles - high : low, columns = 4 * count + 2;
        if (count == 0) continue;
        wino_box(box, 6, columns, from, TL_LANES_f32, height, width, top, left + 4 * first, 1, NULL, 0, 0);
        wino_source(v + first * tile_step, step, tile_step, box, columns * TL_LANES_f32, count);
    }
    wino_source(v + low * tile_step, step, tile_step, from + (top * width + left + 4 * low) * TL_LANES_f32, width * TL_LANES_f32, high - low);
}
#endif
