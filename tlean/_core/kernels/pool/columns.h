/* Planes of windows of three columns, two apart, and of up to three rows: the pools of residual networks. Vectors of columns are taken apart
 * in registers, even from odd, so that nothing passes through memory. The last vector of a row is moved back to end at the last window that
 * lies within the row; no column beyond it is read. What crosses an end of the row is done cell by cell.
 */
#ifndef TLEAN_POOL_COLUMNS_H
#define TLEAN_POOL_COLUMNS_H
#include <stddef.h>
#include "kernel.h"
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
#define TL_ORDER_2 0, 1
#define TL_ORDER_4 0, 1, 2, 3
#define TL_ORDER_8 TL_ORDER_4, 4, 5, 6, 7
#define TL_ORDER_16 TL_ORDER_8, 8, 9, 10, 11, 12, 13, 14, 15
#define TL_COLUMNS_AHEAD 4096 /* bytes */

/* Windows o of a plane of rows × width cells: its rows begin at o·stride − padding; its columns, at 2·o − first, of which the windows
 * first … first + count − 1 (first is 0 or 1) lie within the row, and at most one window after them does not. */
typedef struct {
    int64_t rows, width, rows_out, out, kernel, stride, padding, first, count;
} tl_columns;

#define TL_GLUE_(a, b) a##b
#define TL_GLUE(a, b) TL_GLUE_(a, b)

/* v where v > m, else m. */
#define TL_GREATER(v, m) __extension__({ const NAME(lanes) mask_ = (v) > (m); (NAME(cells))((mask_ & (NAME(lanes))(v)) | (~mask_ & (NAME(lanes))(m))); })

#define T float
#define TI int32_t
#if defined(__AVX512F__)
#define N 16
#define NAME(x) x##_f32x16
#define TL_MAX_OF(v, m) (NAME(cells))_mm512_max_ps((__m512)(v), (__m512)(m))
#include "kernels/pool/columns_template.h"
#endif
#if defined(__AVX2__)
#define N 8
#define NAME(x) x##_f32x8
#define TL_MAX_OF(v, m) (NAME(cells))_mm256_max_ps((__m256)(v), (__m256)(m))
#include "kernels/pool/columns_template.h"
#endif
#define N 4
#define NAME(x) x##_f32x4
#if defined(__SSE2__)
#define TL_MAX_OF(v, m) (NAME(cells))_mm_max_ps((__m128)(v), (__m128)(m))
#else
#define TL_MAX_OF TL_GREATER
#endif
#include "kernels/pool/columns_template.h"
#undef T
#undef TI

#define T double
#define TI int64_t
#if defined(__AVX512F__)
#define N 8
#define NAME(x) x##_f64x8
#define TL_MAX_OF(v, m) (NAME(cells))_mm512_max_pd((__m512d)(v), (__m512d)(m))
#include "kernels/pool/columns_template.h"
#endif
#if defined(__AVX2__)
#define N 4
#define NAME(x) x##_f64x4
#define TL_MAX_OF(v, m) (NAME(cells))_mm256_max_pd((__m256d)(v), (__m256d)(m))
#include "kernels/pool/columns_template.h"
#endif
#define N 2
#define NAME(x) x##_f64x2
#if defined(__SSE2__)
#define TL_MAX_OF(v, m) (NAME(cells))_mm_max_pd((__m128d)(v), (__m128d)(m))
#else
#define TL_MAX_OF TL_GREATER
#endif
#include "kernels/pool/columns_template.h"
#undef T
#undef TI

#if defined(__AVX512F__)
#define TL_BY_WIDTH(name, n, ...) ((n) >= 16 ? name##_f32x16(__VA_ARGS__) : (n) >= 8 ? name##_f32x8(__VA_ARGS__) : name##_f32x4(__VA_ARGS__))
#define TL_BY_WIDTH_64(name, n, ...) ((n) >= 8 ? name##_f64x8(__VA_ARGS__) : (n) >= 4 ? name##_f64x4(__VA_ARGS__) : name##_f64x2(__VA_ARGS__))
#elif defined(__AVX2__)
#define TL_BY_WIDTH(name, n, ...) ((n) >= 8 ? name##_f32x8(__VA_ARGS__) : name##_f32x4(__VA_ARGS__))
#define TL_BY_WIDTH_64(name, n, ...) ((n) >= 4 ? name##_f64x4(__VA_ARGS__) : name##_f64x2(__VA_ARGS__))
#else
#define TL_BY_WIDTH(name, n, ...) name##_f32x4(__VA_ARGS__)
#define TL_BY_WIDTH_64(name, n, ...) name##_f64x2(__VA_ARGS__)
#endif

/* The fewest windows of a row that these functions take. */
enum { TL_FEWEST_WINDOWS = 4 };

/* y = the maxima of one plane, at = the plane positions of the first maximum of each window in row-major order, unless at is NULL. Nonzero
 * if there may be a NaN: then y is not to be used. */
static int tl_max_columns_f32(float *y, int32_t *at, const float *x, const tl_columns *s) {
    return TL_BY_WIDTH(max_plane, s->count, y, at, x, s);
}
static int tl_max_columns_f64(double *y, int32_t *at, const double *x, const tl_columns *s) {
    return TL_BY_WIDTH_64(max_plane, s->count, y, at, x, s);
}

/* y = the sums, first down the rows, over the divisor. zeros: a row of them. */
static void tl_avg_columns_f32(float *y, const float *x, const float *zeros, float divisor, const tl_columns *s) {
    TL_BY_WIDTH(avg_plane, s->count, y, x, zeros, divisor, s);
}
static void tl_avg_columns_f64(double *y, const double *x, const double *zeros, double divisor, const tl_columns *s) {
    TL_BY_WIDTH_64(avg_plane, s->count, y, x, zeros, divisor, s);
}
#endif
