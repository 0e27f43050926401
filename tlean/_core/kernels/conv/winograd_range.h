/* Which tiles Winograd's way computes, and the definition for the others.
 *
 * The transforms mix the places of a tile, so an output carries the rounding of all 6 x 6 of them, not only of its 3 x 3. Where |a| is
 * the 2-norm of `a` over channels and places, W an output's window and T its tile,
 *
 *     error of y <= K |w| |x_T|,      K <= 8e-7 (2^-24 times the growth of B, G, A and of sums over channels; measured: 1e-7 to 7e-7),
 *
 * while the definition's error goes with |x_W|. A tile is *even* if no place exceeds Q times the mean of any window that is asked for:
 *
 *     max e(p) <= Q^2 / 9 min sum_{p in W} e(p),     e(p) = sum of x^2 over the channels at place p,    Q = 16.
 *
 * Then |x_T|^2 <= 36 max e <= (2 Q)^2 |x_W|^2; a single place that stands out, the common case, makes it (Q / 3 + 2)^2 |x_W|^2. The error
 * stays below 5e-6 |w| |x_W| (measured at the bound: 1.2e-6, and 4e-6 of the sum of |w x| over the window). Other tiles, those with a NaN,
 * an infinity or a number over 2^80 among them, are computed by the definition.
 * A window of zeros beside other numbers is not even either: its results are zero, exactly.
 *
 * Filters mix their cells likewise, and zeros in x (padding, masks) hide some of them: an output channel whose cells, over the input
 * channels, differ by more than Q, or that has cells of zeros beside others, is computed by the definition everywhere. With x below 2^80
 * and w below 2^32 nothing overflows between the transforms.
 *
 * The weight gradient sums over all tiles; see wino_pair_sums.
 *
 * Energies e are summed in float, in an order that depends on the layout. That decides wherever it is clear of the bound by a hundredth and
 * of overflow and underflow; otherwise they are summed again in double, in the order of the channels. So the choice depends on nothing but
 * the numbers of the tile. What is read together is tested at once, and tile by tile only if it is not even as a whole. */
#ifndef TL_CONV_WINOGRAD_RANGE_H
#define TL_CONV_WINOGRAD_RANGE_H
#include <math.h>
#include <string.h>
#include "kernels/conv/winograd.h"

#define WINO_SPREAD 256.0f /* Q^2 */
#define WINO_PAIRS 5.0      /* see wino_pair_sums */
#define WINO_LOW 0x1p-110f /* energies that float sums without underflow */
#define WINO_HIGH 0x1p100f
#define WINO_MOST_X 0x1p160 /* of an energy, in double */
#define WINO_MOST_W 0x1p64

/* Output channels that the definition computes at once: with a tile each they fill eight vectors. */
#define WINO_OB (TL_LANES_f32 / 2)
/* Elements of a tile's places, for one channel and plane: each row three times, from columns 0, 1 and 2 on. */
#define WINO_PATCH 72

/* What the definition of a tile reads: the channels of an image's group. */
typedef struct {
    const float *slab[3]; /* the first channel's plane under each tap of depth; NULL for one of zeros */
    ptrdiff_t slabs;      /* 1, or 3 */
    ptrdiff_t channels, channel_step, height, width;
    int blocked; /* channels in blocks */
} wino_planes;

TL_INLINE float wino_least(wino_vec a) {
#if defined(__AVX512F__)
    return _mm512_reduce_min_ps((__m512)a);
#else
    float y = a[0];
    for (int l = 1; l < TL_LANES_f32; l++) y = a[l] < y ? a[l] : y;
    return y;
#endif
}
TL_INLINE float wino_most(wino_vec a) {
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps((__m512)a);
#else
    float y = a[0];
    for (int l = 1; l < TL_LANES_f32; l++) y = a[l] > y ? a[l] : y;
    return y;
#endif
}

/* Energies ---------------------------------------------------------------------------------------------------------------------------- */

/* line[i] (+)= sum of squares of `count` channels, whole vectors. */
TL_INLINE void wino_line_add(float *TL_RESTRICT line, const float *TL_RESTRICT x, ptrdiff_t step, int count, int add, ptrdiff_t whole) {
    for (ptrdiff_t i = 0; i < whole; i += TL_LANES_f32) {
        wino_vec sum = (wino_vec){0};
        if (add) sum = *(const wino_vecu *)(line + i);
        _Pragma("GCC unroll 16") for (int k = 0; k < count; k++) {
            const wino_vec v = *(const wino_vecu *)(x + k * step + i);
            sum += v * v;
        }
        *(wino_vecu *)(line + i) = wino_no_nan(sum);
    }
}

/* line[i] = sum of squares over the channels, i < n: a few channels at a time, in the order in which memory is fetched ahead. Up to a
 * vector is written behind them. */
static __attribute__((noinline)) void wino_line(float *TL_RESTRICT line, const float *TL_RESTRICT x, ptrdiff_t step, ptrdiff_t channels,
                                                ptrdiff_t n) {
    const ptrdiff_t whole = n / TL_LANES_f32 * TL_LANES_f32;
    ptrdiff_t c = channels & 3 ? channels & 3 : channels & 7 ? 4 : 8;
    if (c == 1) wino_line_add(line, x, step, 1, 0, whole);
    if (c == 2) wino_line_add(line, x, step, 2, 0, whole);
    if (c == 3) wino_line_add(line, x, step, 3, 0, whole);
    if (c == 4) wino_line_add(line, x, step, 4, 0, whole);
    if (c == 8) wino_line_add(line, x, step, 8, 0, whole);
    if ((channels - c) & 4) {
        wino_line_add(line, x + c * step, step, 4, 1, whole);
        c += 4;
    }
    for (; c < channels; c += 8) wino_line_add(line, x + c * step, step, 8, 1, whole);
    if (whole < n) {
        const wino_part part = wino_lanes(0, n - whole);
        wino_vec sum[2] = {{0}};
        x += whole;
        for (c = 0; c + 1 < channels; c += 2, x += 2 * step) {
            const wino_vec v = wino_load(x, part), v2 = wino_load(x + step, part);
            sum[0] += v * v;
            sum[1] += v2 * v2;
        }
        if (c < channels) {
            const wino_vec v = wino_load(x, part);
            sum[0] += v * v;
        }
        *(wino_vecu *)(line + whole) = wino_no_nan(sum[0] + sum[1]);
    }
}

/* e[i, j] for places top + i, left + j of a plane, zero outside it and behind the last column; `rows` and `columns` of places. `line` has
 * room for rows * columns elements and a vector. */
static void wino_energies(float *TL_RESTRICT e, float *TL_RESTRICT line, const wino_planes *TL_RESTRICT x, ptrdiff_t top, ptrdiff_t left,
                          ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t pitch) {
    const ptrdiff_t y0 = top < 0 ? -top : 0, y1 = top + rows < x->height ? rows : x->height - top;
    const ptrdiff_t x0 = left < 0 ? -left : 0, x1 = left + columns < x->width ? columns : x->width - left, wide = x1 - x0;
    /* Rows that lie one behind the other are one line. */
    const ptrdiff_t together = wide == x->width ? y1 - y0 : 1;
    if (wide <= 0 || y1 <= y0) {
        conv_zero_f32(e, rows * pitch);
        return;
    }
    conv_zero_f32(e, y0 * pitch);
    for (ptrdiff_t y = y0; y < y1; y += together) {
        const ptrdiff_t from = (top + y) * x->width + left + x0, n = together * wide;
        if (x->blocked) {
            for (ptrdiff_t at = 0; at < n; at += TL_LANES_f32) {
                for (ptrdiff_t c = 0; c < x->channels; c += TL_LANES_f32) {
                    wino_blocked_add(line + at, x->slab[0] + c * x->channel_step + (from + at) * TL_LANES_f32, c > 0,
                                     n - at < TL_LANES_f32 ? n - at : TL_LANES_f32);
                }
            }
        } else {
            wino_line(line, x->slab[0] + from, x->channel_step, x->channels, n);
        }
        for (ptrdiff_t r = 0; r < together; r++) {
            float *row = e + (y + r) * pitch;
            for (ptrdiff_t j = 0; j < x0; j++) row[j] = 0;
            conv_copy((char *)(row + x0), (const char *)(line + r * wide), 4 * wide, PTRDIFF_MAX);
            conv_zero_f32(row + x1, pitch - x1);
        }
    }
    conv_zero_f32(e + y1 * pitch, (rows - y1) * pitch);
}

/* A plane of channel c, under tap s of depth. */
TL_INLINE const float *wino_plane(const wino_planes *x, ptrdiff_t s, ptrdiff_t c) {
    if (!x->blocked) return x->slab[s] + c * x->channel_step;
    return x->slab[s] + c / TL_LANES_f32 * TL_LANES_f32 * x->channel_step + c % TL_LANES_f32;
}

/* Energies in double, e[rows, columns]: the same whatever the layout. */
static void wino_energies_exactly(double *TL_RESTRICT e, const wino_planes *TL_RESTRICT x, ptrdiff_t top, ptrdiff_t left, ptrdiff_t rows,
                                  ptrdiff_t columns) {
    const ptrdiff_t across = x->blocked ? TL_LANES_f32 : 1;
    const ptrdiff_t y0 = top < 0 ? -top : 0, y1 = top + rows < x->height ? rows : x->height - top;
    const ptrdiff_t x0 = left < 0 ? -left : 0, x1 = left + columns < x->width ? columns : x->width - left;
    for (ptrdiff_t k = 0; k < rows * columns; k++) e[k] = 0;
    for (ptrdiff_t s = 0; s < x->slabs; s++) {
        for (ptrdiff_t c = 0; c < x->channels && x->slab[s]; c++) {
            const float *plane = wino_plane(x, s, c);
            for (ptrdiff_t i = y0; i < y1; i++) {
                const float *row = plane + ((top + i) * x->width + left) * across;
                for (ptrdiff_t j = x0; j < x1; j++) {
                    const double v = row[j * across];
                    e[i * columns + j] += v * v;
                }
            }
        }
    }
}

/* Tiles ------------------------------------------------------------------------------------------------------------------------------- */

/* Of windows, lanes being columns, `rows` rows of them and of their places: the least sum of a window, and the largest energy at a column
 * and at the next but one. */
TL_INLINE void wino_window_rows(wino_vec *least, wino_vec *most, wino_vec *most2, const float *TL_RESTRICT e, ptrdiff_t pitch,
                                ptrdiff_t rows) {
    wino_vec before = (wino_vec){0}, last = (wino_vec){0};
    *least = INFINITY - (wino_vec){0};
    *most = *most2 = (wino_vec){0};
    for (ptrdiff_t i = 0; i < rows + 2; i++, e += pitch) {
        const wino_vec a = *(const wino_vecu *)e, b = *(const wino_vecu *)(e + 1), c = *(const wino_vecu *)(e + 2);
        const wino_vec sum = a + b + c;
        *most = wino_max(*most, a);
        *most2 = wino_max(*most2, c);
        if (i > 1) *least = wino_min(*least, before + last + sum);
        before = last;
        last = sum;
    }
}

/* Of rows * columns outputs: the least sum of a window, and the largest energy of a place. */
typedef struct {
    float low, high;
} wino_extent;

static __attribute__((noinline)) wino_extent wino_extent_of(const float *TL_RESTRICT e, ptrdiff_t pitch, ptrdiff_t rows,
                                                            ptrdiff_t columns) {
    /* Behind the last column no window is asked for. */
    float lanes[2 * TL_LANES_f32];
    for (int l = 0; l < TL_LANES_f32; l++) lanes[l] = 0, lanes[TL_LANES_f32 + l] = INFINITY;
    wino_vec low = INFINITY - (wino_vec){0}, high = (wino_vec){0}, least, most, most2;
    for (ptrdiff_t at = 0; at < columns; at += TL_LANES_f32) {
        wino_window_rows(&least, &most, &most2, e + at, pitch, rows);
        if (columns - at < TL_LANES_f32) least += *(const wino_vecu *)(lanes + TL_LANES_f32 - (columns - at));
        low = wino_min(low, least);
        high = wino_max(high, wino_max(most, most2));
    }
    return (wino_extent){wino_least(low), wino_most(high)};
}

/* A bound of that from below and the largest energy, from the energies of whole rows of `width` places side by side, three rows or more:
 * a window that reaches over an edge by one place at most has one of their blocks of 2 x 2 places. (What joins the end of a row and the
 * begin of the next is taken for a block too: the bound holds all the same.) */
static __attribute__((noinline)) wino_extent wino_extent_of_blocks(const float *TL_RESTRICT line, ptrdiff_t rows, ptrdiff_t width) {
    const ptrdiff_t count = (rows - 1) * width - 1;
    wino_vec low = INFINITY - (wino_vec){0}, high = (wino_vec){0}, high2 = high;
    if (count < TL_LANES_f32) return (wino_extent){0, INFINITY};
    for (ptrdiff_t i = 0; i < count; i += TL_LANES_f32) {
        const float *at = line + (i < count - TL_LANES_f32 ? i : count - TL_LANES_f32);
        const wino_vec a = *(const wino_vecu *)at, b = *(const wino_vecu *)(at + width + 1);
        low = wino_min(low, (a + *(const wino_vecu *)(at + 1)) + (b + *(const wino_vecu *)(at + width)));
        high = wino_max(high, a);
        high2 = wino_max(high2, b);
    }
    return (wino_extent){wino_least(low), wino_most(wino_max(high, high2))};
}

/* Whether that is even for sure. */
TL_INLINE int wino_surely_even(float low, float high) {
    return low >= WINO_LOW && high <= WINO_HIGH && high <= 0.99f * WINO_SPREAD / 9 * low;
}

/* Whether a tile is even, summed in double. */
static int wino_exactly_even(const wino_planes *x, ptrdiff_t top, ptrdiff_t left, ptrdiff_t rows, ptrdiff_t columns) {
    double e[36], high = 0, low = INFINITY;
    const ptrdiff_t pitch = columns + 2;
    wino_energies_exactly(e, x, top, left, rows + 2, pitch);
    for (ptrdiff_t k = 0; k < (rows + 2) * pitch; k++) {
        if (e[k] > high || e[k] != e[k]) high = e[k]; /* a NaN stays */
    }
    for (ptrdiff_t i = 0; i < rows; i++) {
        for (ptrdiff_t j = 0; j < columns; j++) {
            double sum = 0;
            for (ptrdiff_t k = 0; k < 9; k++) sum += e[(i + k / 3) * pitch + j + k % 3];
            if (sum < low) low = sum;
        }
    }
    return high <= WINO_MOST_X && high <= WINO_SPREAD / 9 * low;
}

/* marks[t] says which tiles of a row the definition has to compute; returns whether there are any. The row has rows * columns outputs, and
 * e are the energies of its places from top, left on. */
static __attribute__((noinline)) int wino_mark(unsigned char *TL_RESTRICT marks, const float *TL_RESTRICT e, ptrdiff_t pitch,
                                               const wino_planes *TL_RESTRICT x, ptrdiff_t top, ptrdiff_t left, ptrdiff_t rows,
                                               ptrdiff_t columns) {
    int any = 0;
    float low[TL_LANES_f32], high[TL_LANES_f32], high2[TL_LANES_f32];
    for (ptrdiff_t at = 0; at < columns; at += 4) {
        const ptrdiff_t lane = at % TL_LANES_f32, wide = columns - at < 4 ? columns - at : 4;
        if (lane == 0) {
            wino_vec least, most, most2;
            wino_window_rows(&least, &most, &most2, e + at, pitch, rows);
            *(wino_vecu *)low = least;
            *(wino_vecu *)high = most;
            *(wino_vecu *)high2 = most2;
        }
        float lowest = low[lane], highest = high[lane];
        for (ptrdiff_t l = lane; l < lane + 4; l++) {
            if (l < lane + wide && low[l] < lowest) lowest = low[l];
            if (high[l] > highest) highest = high[l];
            if (high2[l] > highest) highest = high2[l];
        }
        marks[at / 4] = 0;
        if (wino_surely_even(lowest, highest)) continue;
        /* Surely not even: clear of the bound, and not by underflow or overflow. */
        marks[at / 4] = (highest <= WINO_HIGH && highest >= 0x1p-90f && highest >= 1.01f * WINO_SPREAD / 9 * lowest) ||
                        !wino_exactly_even(x, top, left + at, rows, wide);
        any |= marks[at / 4];
    }
    return any;
}

/* Filters ----------------------------------------------------------------------------------------------------------------------------- */

TL_INLINE int wino_surely_alike(float low, float high) {
    return low >= WINO_LOW && high <= 0x1p60f && high <= 0.99f * WINO_SPREAD * low;
}

/* Whether the cells of a filter are of like size, over its input channels; or all zero. */
static int wino_filter_is_even(const float *w, ptrdiff_t step, ptrdiff_t channels) {
    double sum[9] = {0}, most = 0, least = INFINITY;
    for (ptrdiff_t c = 0; c < channels; c++) {
        for (int k = 0; k < 9; k++) sum[k] += (double)w[c * step + k] * w[c * step + k];
    }
    for (int k = 0; k < 9; k++) {
        if (sum[k] > most || sum[k] != sum[k]) most = sum[k]; /* a NaN stays */
        if (sum[k] < least) least = sum[k];
    }
    return most <= WINO_MOST_W && most <= WINO_SPREAD * least;
}

/* The same of three kernels one behind the other, each by itself. */
static int wino_filters_are_even(const float *w, ptrdiff_t step, ptrdiff_t channels) {
    enum { PARTS = (27 + TL_LANES_f32 - 1) / TL_LANES_f32 };
    float energies[PARTS * TL_LANES_f32];
    wino_vec sum[PARTS];
    int even = 1;
    _Pragma("GCC unroll 7") for (int k = 0; k < PARTS; k++) {
        const wino_part part = wino_lanes(0, 27 - k * TL_LANES_f32);
        sum[k] = (wino_vec){0};
        for (ptrdiff_t c = 0; c < channels; c++) {
            const wino_vec v = wino_load(w + c * step + k * TL_LANES_f32, part);
            sum[k] += v * v;
        }
        *(wino_vecu *)(energies + k * TL_LANES_f32) = wino_no_nan(sum[k]);
    }
    for (int t = 0; t < 27 && even; t += 9) {
        float low = energies[t], high = low;
        for (int k = 1; k < 9; k++) {
            low = energies[t + k] < low ? energies[t + k] : low;
            high = energies[t + k] > high ? energies[t + k] : high;
        }
        even = wino_surely_alike(low, high) || wino_filter_is_even(w + t, step, channels);
    }
    return even;
}

/* uneven[l] says which of n output channels the definition has to compute, by their taps; w is the filter of the first one. Returns whether
 * there are any. */
static int wino_filters(unsigned char *TL_RESTRICT uneven, const float *TL_RESTRICT taps, const float *w, ptrdiff_t lane_step,
                        ptrdiff_t term_step, ptrdiff_t channels, ptrdiff_t n) {
    wino_vec high = wino_no_nan(*(const wino_vecu *)taps), low = high;
    int any = 0;
    for (int k = 1; k < 9; k++) {
        const wino_vec e = wino_no_nan(*(const wino_vecu *)(taps + k * TL_LANES_f32));
        high = wino_max(high, e);
        low = wino_min(low, e);
    }
    for (int l = 0; l < TL_LANES_f32; l++) uneven[l] = !wino_surely_alike(low[l], high[l]);
    for (ptrdiff_t l = 0; l < TL_LANES_f32; l++) {
        if (uneven[l]) uneven[l] = l < n && !wino_filter_is_even(w + l * lane_step, term_step, channels);
        any |= uneven[l];
    }
    return any;
}

/* The definition ---------------------------------------------------------------------------------------------------------------------- */

/* patch[c, s, j, i, q] = x[c, s, top + i, left + j + q], zero outside: for cell (i, j) the 16 numbers that a tile's outputs meet are next
 * to each other. */
static void wino_patch(float *TL_RESTRICT patch, const wino_planes *TL_RESTRICT x, ptrdiff_t top, ptrdiff_t left) {
    const ptrdiff_t across = x->blocked ? TL_LANES_f32 : 1;
    for (ptrdiff_t c = 0; c < x->channels; c++) {
        for (ptrdiff_t s = 0; s < x->slabs; s++, patch += WINO_PATCH) {
            const float *plane = x->slab[s] ? wino_plane(x, s, c) : NULL;
            for (ptrdiff_t i = 0; i < 6; i++) {
                const ptrdiff_t y = top + i;
                float row[6] = {0};
                if (plane && y >= 0 && y < x->height) {
                    const ptrdiff_t at = y * x->width + left;
                    if (across == 1 && left >= 0 && left + 6 <= x->width) {
                        memcpy(row, plane + at, sizeof(row));
                    } else {
                        for (ptrdiff_t k = 0; k < 6; k++) {
                            if (left + k >= 0 && left + k < x->width) row[k] = plane[(at + k) * across];
                        }
                    }
                }
                for (ptrdiff_t j = 0; j < 3; j++) memcpy(patch + 24 * j + 4 * i, row + j, 16);
            }
        }
    }
}

/* to[o, 4 r + q]: the 4 x 4 outputs of a tile for the `count` <= WINO_OB output channels from w on, whose kernels are `o_step` apart,
 * `c_step` from input channel to input channel and `s_step` from tap to tap of depth. Every output is summed in that
 * order, whatever the others. */
static void wino_direct(float *TL_RESTRICT to, const float *TL_RESTRICT patch, ptrdiff_t channels, ptrdiff_t slabs,
                        const float *TL_RESTRICT w, ptrdiff_t o_step, ptrdiff_t c_step, ptrdiff_t s_step, int flip,
                        const float *TL_RESTRICT bias, ptrdiff_t count) {
    enum { PARTS = 16 / TL_LANES_f32 };
    const ptrdiff_t next = flip ? -1 : 1;
    const float *at[WINO_OB];
    wino_vec sum[WINO_OB][PARTS];
    _Pragma("GCC unroll 8") for (int o = 0; o < WINO_OB; o++) {
        const ptrdiff_t real = o < count ? o : count - 1;
        at[o] = w + real * o_step + (flip ? 8 : 0);
        _Pragma("GCC unroll 4") for (int k = 0; k < PARTS; k++) sum[o][k] = bias[real] - (wino_vec){0};
    }
    for (ptrdiff_t c = 0; c < channels; c++) {
        for (ptrdiff_t s = 0; s < slabs; s++, patch += WINO_PATCH) {
            const ptrdiff_t kernel = c * c_step + s * s_step;
            _Pragma("GCC unroll 1") for (int j = 0; j < 3; j++) {
                _Pragma("GCC unroll 3") for (int i = 0; i < 3; i++) {
                    wino_vec x[PARTS];
                    _Pragma("GCC unroll 4") for (int k = 0; k < PARTS; k++) {
                        x[k] = *(const wino_vecu *)(patch + 24 * j + 4 * i + k * TL_LANES_f32);
                    }
                    _Pragma("GCC unroll 8") for (int o = 0; o < WINO_OB; o++) {
                        const wino_vec v = at[o][kernel + (3 * i + j) * next] - (wino_vec){0};
                        _Pragma("GCC unroll 4") for (int k = 0; k < PARTS; k++) sum[o][k] += v * x[k];
                    }
                }
            }
        }
    }
    for (ptrdiff_t o = 0; o < count; o++) {
        for (int k = 0; k < PARTS; k++) *(wino_vecu *)(to + 16 * o + k * TL_LANES_f32) = sum[o][k];
    }
}

/* The weight gradient ----------------------------------------------------------------------------------------------------------------- */

/* dw[o, c, t] sums g[o, p] x[c, p + t] over the places p of all images; what Winograd rounds off goes with sum over tiles of |g_T| |x_T|,
 * whichever of the tile's products the cell t has. Norms taken over the channels, sums[0] += that, and sums[1 + t] += sum over p of
 * |g_p| |x_{p+t}|: the sums are close in size unless large numbers of one meet zeros of the other, at an edge or in a mask. e are the
 * energies of x, from the padding on, and h those of g; both are replaced by their roots. */
static void wino_pair_sums(double *TL_RESTRICT sums, float *TL_RESTRICT e, float *TL_RESTRICT h, ptrdiff_t pitch, ptrdiff_t height,
                           ptrdiff_t width) {
    const ptrdiff_t rows = (height + 3) / 4 * 4;
    wino_vec sum[9];
    for (ptrdiff_t i = 0; i < height; i += 4) {
        for (ptrdiff_t j = 0; j < width; j += TL_LANES_f32) {
            /* Columns of a row of tiles; the two that a tile shares with the next are summed beside them. */
            float x[TL_LANES_f32], x2[TL_LANES_f32], g[TL_LANES_f32];
            wino_vec a = (wino_vec){0}, b = (wino_vec){0}, c = (wino_vec){0};
            for (ptrdiff_t k = 0; k < 6; k++) {
                a += *(const wino_vecu *)(e + (i + k) * pitch + j);
                b += *(const wino_vecu *)(e + (i + k) * pitch + j + 2);
            }
            for (ptrdiff_t k = 0; k < 4; k++) c += *(const wino_vecu *)(h + (i + k) * pitch + j);
            *(wino_vecu *)x = a;
            *(wino_vecu *)x2 = b;
            *(wino_vecu *)g = c;
            for (int l = 0; l < TL_LANES_f32; l += 4) {
                sums[0] += sqrtf((x[l] + x[l + 1]) + (x[l + 2] + x[l + 3]) + (x2[l + 2] + x2[l + 3])) *
                           sqrtf((g[l] + g[l + 1]) + (g[l + 2] + g[l + 3]));
            }
        }
    }
    for (ptrdiff_t k = 0; k < (rows + 2) * pitch; k++) e[k] = sqrtf(e[k]);
    for (ptrdiff_t k = 0; k < rows * pitch; k++) h[k] = sqrtf(h[k]);
    for (int t = 0; t < 9; t++) sum[t] = (wino_vec){0};
    for (ptrdiff_t i = 0; i < height; i++) {
        for (ptrdiff_t j = 0; j < width; j += TL_LANES_f32) {
            const wino_vec g = *(const wino_vecu *)(h + i * pitch + j);
            _Pragma("GCC unroll 9") for (int t = 0; t < 9; t++) sum[t] += g * *(const wino_vecu *)(e + (i + t / 3) * pitch + j + t % 3);
        }
    }
    for (int t = 0; t < 9; t++) {
        for (int l = 0; l < TL_LANES_f32; l++) sums[1 + t] += sum[t][l];
    }
}

/* 1: the sums are even; 0: they are not; -1: too close to tell from sums in float. */
static int wino_pair_is_even(const double *sums, double slack) {
    double least = sums[1];
    for (int t = 2; t < 10; t++) least = sums[t] < least ? sums[t] : least;
    const double bound = WINO_PAIRS * least;
    if (sums[0] > 0 && sums[0] < HUGE_VAL && sums[0] <= bound * (1 - slack)) return 1;
    return sums[0] == 0 || (sums[0] < HUGE_VAL && sums[0] > bound * (1 + slack)) ? 0 : -1;
}
#endif
