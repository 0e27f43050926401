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
#include "conv_micro.h"
#include "micro.h"

#define WINO_LANES (CONV_VECTOR_BYTES / 4)
/* Sums that one loop keeps in registers beside all else. */
#define WINO_SUMS (CONV_OB_MAX == 8 ? 4 : 1)
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
#define LOAD_BOX(i, j) *(const wino_vec *)(box + (i)*pitch + (j)*WINO_LANES)
#define STORE_POINT(i, j, value) *(wino_vec *)(v + (6 * (i) + (j)) * step) = (value)
static void wino_source(float *TL_RESTRICT v, ptrdiff_t step, ptrdiff_t tile_step, const float *TL_RESTRICT box, ptrdiff_t pitch,
                        ptrdiff_t tiles) {
    for (; tiles > 0; tiles--, box += 4 * WINO_LANES, v += tile_step) WINO_BOTH_AXES(wino_source_axis, 6, 6, LOAD_BOX, STORE_POINT);
}

static void wino_cotangent(float *TL_RESTRICT v, ptrdiff_t step, ptrdiff_t tile_step, const float *TL_RESTRICT box, ptrdiff_t pitch,
                           ptrdiff_t tiles) {
    for (; tiles > 0; tiles--, box += 4 * WINO_LANES, v += tile_step) WINO_BOTH_AXES(wino_cotangent_axis, 4, 6, LOAD_BOX, STORE_POINT);
}

/* `count` kernels, 9 vectors each, `flip`ped for the input gradient. */
static void wino_weights(float *TL_RESTRICT v, ptrdiff_t step, ptrdiff_t kernel_step, const float *TL_RESTRICT w, ptrdiff_t count,
                         int flip) {
    const ptrdiff_t first = flip ? 8 * WINO_LANES : 0, next = flip ? -WINO_LANES : WINO_LANES;
    for (; count > 0; count--, w += 9 * WINO_LANES, v += kernel_step) {
#define LOAD_CELL(i, j) *(const wino_vec *)(w + first + (3 * (i) + (j)) * next)
        WINO_BOTH_AXES(wino_weight_axis, 3, 6, LOAD_CELL, STORE_POINT);
#undef LOAD_CELL
    }
}
#undef LOAD_BOX
#undef STORE_POINT

/* Results of a row of tiles, into 4 rows of `pitch` elements; whether all of them are finite. What is not finite at one place of a tile
 * spoils the others, so the caller must compute them anew. From the last tile to the first, and the rows of one from top to bottom: what
 * the last has beyond the end of a row falls on places of the first, or of the next row, that are written after it. */
#define LOAD_POINT(i, j) *(const wino_vec *)(m + (6 * (i) + (j)) * step)
static int wino_result(float *TL_RESTRICT to, ptrdiff_t pitch, const float *TL_RESTRICT m, ptrdiff_t step, ptrdiff_t tile_step,
                       const float *TL_RESTRICT bias, ptrdiff_t tiles) {
    const wino_vec b = *(const wino_vecu *)bias;
    wino_vec spoilt[4] = {{0}}; /* a single sum would wait for itself */
    m += (tiles - 1) * tile_step;
    to += (tiles - 1) * 4 * WINO_LANES;
    for (; tiles > 0; tiles--, m -= tile_step, to -= 4 * WINO_LANES) {
#define STORE_RESULT(i, j, value)                                                                                                       \
    do {                                                                                                                                \
        const wino_vec y = (value) + b;                                                                                                 \
        spoilt[j % WINO_SUMS] += y * 0;                                                                                                 \
        *(wino_vec *)(to + (i)*pitch + (j)*WINO_LANES) = y;                                                                             \
    } while (0)
        WINO_BOTH_AXES(wino_result_axis, 6, 4, LOAD_POINT, STORE_RESULT);
#undef STORE_RESULT
    }
    const wino_vec all = (spoilt[0] + spoilt[1]) + (spoilt[2] + spoilt[3]);
    float sum = 0;
    for (int l = 0; l < WINO_LANES; l++) sum += all[l];
    return sum == 0;
}

/* Weight gradients, 9 vectors each; whether all of them are finite. */
static int wino_weights_back(float *TL_RESTRICT w, const float *TL_RESTRICT m, ptrdiff_t step, ptrdiff_t kernel_step, ptrdiff_t count) {
    wino_vec spoilt = (wino_vec){0};
    for (; count > 0; count--, m += kernel_step, w += 9 * WINO_LANES) {
#define STORE_CELL(i, j, value)                                                                                                         \
    do {                                                                                                                                \
        spoilt += (value)*0;                                                                                                            \
        *(wino_vec *)(w + (3 * (i) + (j)) * WINO_LANES) = (value);                                                                      \
    } while (0)
        WINO_BOTH_AXES(wino_weight_back_axis, 6, 3, LOAD_POINT, STORE_CELL);
#undef STORE_CELL
    }
    float sum = 0;
    for (int l = 0; l < WINO_LANES; l++) sum += spoilt[l];
    return sum == 0;
}
#undef LOAD_POINT
#undef WINO_BOTH_AXES

/* A row of outputs by the definition, where Winograd's sums were not finite: to[q, l] += sum over c, i, j of x[c, top + i, left + q + j]
 * cells[c, i, j, l], with zeros around x; `columns` is a multiple of 4. Neighbouring positions of x are `across` elements apart, channels
 * of a vector `lane_step`. */
static void wino_definition(float *TL_RESTRICT to, const float *TL_RESTRICT x, ptrdiff_t across, ptrdiff_t lane_step, ptrdiff_t height,
                            ptrdiff_t width, ptrdiff_t top, ptrdiff_t left, const float *TL_RESTRICT cells, ptrdiff_t channels,
                            int flip, ptrdiff_t columns) {
    for (ptrdiff_t at = 0; at < columns; at += 4) {
        wino_vec sum[4];
        for (int q = 0; q < 4; q++) sum[q] = *(const wino_vec *)(to + (at + q) * WINO_LANES);
        for (ptrdiff_t c = 0; c < channels; c++) {
            const float *plane = x + (c / WINO_LANES * WINO_LANES) * height * width + c % WINO_LANES * lane_step;
            for (ptrdiff_t i = 0; i < 3; i++) {
                float row[6];
                for (ptrdiff_t k = 0; k < 6; k++) {
                    const ptrdiff_t y = top + i, place = left + at + k;
                    row[k] = y >= 0 && y < height && place >= 0 && place < width ? plane[(y * width + place) * across] : 0;
                }
                for (ptrdiff_t j = 0; j < 3; j++) {
                    const ptrdiff_t cell = flip ? 8 - 3 * i - j : 3 * i + j;
                    const wino_vec w = *(const wino_vec *)(cells + (9 * c + cell) * WINO_LANES);
                    for (int q = 0; q < 4; q++) sum[q] += row[q + j] * w;
                }
            }
        }
        for (int q = 0; q < 4; q++) *(wino_vec *)(to + (at + q) * WINO_LANES) = sum[q];
    }
}

/* tl_micro for rows of A that are some distance apart, never next to each other: the compiler need not build that case. */
TL_INLINE void wino_product(int64_t mr, int64_t nr, int64_t k, const float *a, int64_t a_row, const float *b, float *c, int add) {
    if (a_row == 1) __builtin_unreachable();
    tl_micro_f32(mr, nr, k, a, a_row, 1, b, TL_NR_f32, c, TL_NR_f32, add);
}

/* box[i, j, l] = from[l, top + i, left + j], zero outside the image and in the lanes behind the last channel. */
static void wino_box(float *TL_RESTRICT box, ptrdiff_t rows, ptrdiff_t columns, const float *TL_RESTRICT from, ptrdiff_t channels,
                     ptrdiff_t height, ptrdiff_t width, ptrdiff_t top, ptrdiff_t left, int blocked) {
    ptrdiff_t begin = left < 0 ? -left : 0, end = columns < width - left ? columns : width - left;
    if (begin > columns) begin = columns;
    if (end < begin) end = begin;
    for (ptrdiff_t i = 0; i < rows; i++, box += columns * WINO_LANES) {
        if (top + i < 0 || top + i >= height) {
            conv_zero_f32(box, columns * WINO_LANES);
            continue;
        }
        conv_zero_f32(box, begin * WINO_LANES);
        if (blocked) {
            /* from[top + i, left + j, l]. The same part of the next block of channels comes next: fetched meanwhile. */
            const float *row = from + ((top + i) * width + left) * WINO_LANES;
            for (ptrdiff_t j = begin; j < end; j++) {
                *(wino_vec *)(box + j * WINO_LANES) = *(const wino_vec *)(row + j * WINO_LANES);
                conv_expect_read(row + (height * width + j) * WINO_LANES);
            }
        }
        for (ptrdiff_t j = begin; j < end && !blocked; j += WINO_LANES) {
            conv_turn_padded_f32(box + j * WINO_LANES, WINO_LANES, from + (top + i) * width + left + j, height * width, channels,
                                 end - j < WINO_LANES ? end - j : WINO_LANES);
        }
        conv_zero_f32(box + end * WINO_LANES, (columns - end) * WINO_LANES);
    }
}
#endif
