/* Planes of windows of three columns, two apart, and of up to three rows: the pools of residual networks. Vectors of columns are taken apart
 * in registers, even from odd, so that nothing passes through memory. The last vector of a row is moved back to end at the last window that
 * lies within the row; no column beyond it is read. What crosses an end of the row is done cell by cell.
 */
#ifndef TLEAN_POOL_COLUMNS_H
#define TLEAN_POOL_COLUMNS_H
#include <stddef.h>
#include "kernel.h"
#include "simd/by_type.h"
#include "simd/width.h"
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

#define TL_EVEN_4 0, 2, 4, 6
#define TL_ODD_4 1, 3, 5, 7
#define TL_LATE_4 0, 2, 5, 7
#define TL_EVEN_8 TL_EVEN_4, 8, 10, 12, 14
#define TL_ODD_8 TL_ODD_4, 9, 11, 13, 15
#define TL_LATE_8 TL_EVEN_4, 9, 11, 13, 15
#define TL_EVEN_16 TL_EVEN_8, 16, 18, 20, 22, 24, 26, 28, 30
#define TL_ODD_16 TL_ODD_8, 17, 19, 21, 23, 25, 27, 29, 31
#define TL_LATE_16 TL_EVEN_8, 17, 19, 21, 23, 25, 27, 29, 31
#define TL_EVEN_2 0, 2
#define TL_ODD_2 1, 3
#define TL_LATE_2 0, 3
#define TL_COLUMNS_AHEAD 4096 /* bytes */

/* Windows o of a plane of rows × width cells: its rows begin at o·stride − padding; its columns, at 2·o − first, of which the windows
 * first … first + count − 1 (first is 0 or 1) lie within the row, and at most one window after them does not. */
typedef struct {
    int64_t rows, width, rows_out, out, kernel, stride, padding, first, count;
} tl_columns;

/* v where v > m, else m. */
#define TL_GREATER(v, m) __extension__({ const NAME(lanes) mask_ = (v) > (m); (NAME(cells))((mask_ & (NAME(lanes))(v)) | (~mask_ & (NAME(lanes))(m))); })

#define T float
#define TI int32_t
#define TYPED(x, bits) x##_f32_##bits
#define REGISTER(bits) __m##bits
#define MAX(prefix) prefix##_max_ps
#define N_512 16
#define N_256 8
#define N_128 4
#include "kernels/pool/columns_widths.h"

#define T double
#define TI int64_t
#define TYPED(x, bits) x##_f64_##bits
#define REGISTER(bits) __m##bits##d
#define MAX(prefix) prefix##_max_pd
#define N_512 8
#define N_256 4
#define N_128 2
#include "kernels/pool/columns_widths.h"

/* The function of vectors that `windows` fill. */
#define TL_FILLS(bytes, y, windows) ((windows) >= (bytes) / (ptrdiff_t)sizeof(*(y)))
#if defined(__AVX512F__)
#define TL_BY_WIDTH(name, windows, y, ...)                                                                                       \
    (TL_FILLS(64, y, windows) ? name##_512(y, __VA_ARGS__) : TL_FILLS(32, y, windows) ? name##_256(y, __VA_ARGS__) : name##_128(y, __VA_ARGS__))
#elif defined(__AVX2__)
#define TL_BY_WIDTH(name, windows, y, ...) (TL_FILLS(32, y, windows) ? name##_256(y, __VA_ARGS__) : name##_128(y, __VA_ARGS__))
#else
#define TL_BY_WIDTH(name, windows, y, ...) name##_128(y, __VA_ARGS__)
#endif

/* The fewest windows of a row that these functions take. */
enum { TL_FEWEST_WINDOWS = 4 };

/* y = the maxima of one plane, at = the plane positions of the first maximum of each window in row-major order, unless at is NULL. Nonzero
 * if there may be a NaN: then y is not to be used. */
static int tl_max_columns_f32(float *y, int32_t *at, const float *x, const tl_columns *s) {
    return TL_BY_WIDTH(max_plane_f32, s->count, y, at, x, s);
}
static int tl_max_columns_f64(double *y, int32_t *at, const double *x, const tl_columns *s) {
    return TL_BY_WIDTH(max_plane_f64, s->count, y, at, x, s);
}

/* y = the sums, first down the rows, over the divisor. zeros: a row of them. */
static void tl_avg_columns_f32(float *y, const float *x, const float *zeros, float divisor, const tl_columns *s) {
    TL_BY_WIDTH(avg_plane_f32, s->count, y, x, zeros, divisor, s);
}
static void tl_avg_columns_f64(double *y, const double *x, const double *zeros, double divisor, const tl_columns *s) {
    TL_BY_WIDTH(avg_plane_f64, s->count, y, x, zeros, divisor, s);
}
#define tl_max_columns(y, ...) TL_CALL(tl_max_columns, y, __VA_ARGS__)
#define tl_avg_columns(y, ...) TL_CALL(tl_avg_columns, y, __VA_ARGS__)
#endif
