/* Small matrices, one in each lane of a vector: entry e of the lanes' matrices is the vector at e * TL_LANES_X. What a lane computes depends
 * on its own matrix alone. X is f32 or f64, T float or double; buffers are 64-byte aligned.
 *
 *   tl_lanes_load_X, tl_lanes_store_X       see lines_template.h
 *   tl_lanes_cholesky_X(a, n, lanes)        a (n x n): the lower factor L of the symmetric part of each, zeros above; NaN where it is not
 *                                           positive definite, which the result says of the first lanes.
 *   tl_lanes_lu_X(a, perm, n)               a (n x n), n <= TL_LANES_ROWS: L without its diagonal of ones and U of each, with the rows
 *                                           swapped by partial pivoting; row i was row perm[i * TL_LANES_X + lane], and row n of perm
 *                                           says whether that order is odd. Below a pivot of 0 L has zeros. True, and what it made is of
 *                                           no use, if some lane has a pivot with no finite reciprocal: tl_lanes_lu_tiny_X is to be
 *                                           called on the matrices as they were.
 *   tl_lanes_lu_tiny_X(a, perm, n)          the same for any lanes, with the same bits, more slowly
 *   tl_lanes_det_X(a, perm, y, n, sign)     of what tl_lanes_lu makes: y[lane] is the lane's determinant, or its sign
 *   tl_lanes_minors_X(a, y, n)              y[lane]: the determinant of the lane's matrix of n rows, 2 to 4, with no factors
 *   tl_many_minors_X(a, step, y, count, n)  the same of many matrices, whose lines lie `step` numbers apart
 *   tl_lanes_solve_X(t, row, col, x, n, k, back, unit, lanes)     x (n x k): what T^-1 x is for the triangular T[i, j] = t at i*row + j*col,
 *                                           upper where `back`; NaN where it has a 0 on its diagonal, which the result says.
 */
#ifndef TLEAN_LANES_H
#define TLEAN_LANES_H
#include "kernels/gemm/micro.h"
#include <math.h>
#if defined(__SSE2__) && !defined(__AVX2__)
#include <emmintrin.h>
#endif

/* The most rows of matrices that are factored in lanes. */
#define TL_LANES_ROWS 16
/* The most matrices abreast, and their rows. */
#define TL_ABREAST 4
#define TL_ABREAST_ROWS 32
/* The bits of a number without its sign. */
#define TL_MAGNITUDE_f32 INT32_MAX
#define TL_MAGNITUDE_f64 INT64_MAX
/* A determinant between this and its reciprocal has lost nothing to the range of its minors. */
#define TL_LEAST_SAFE_f32 0x1p-60f
#define TL_LEAST_SAFE_f64 0x1p-460
/* The largest number whose reciprocal is infinite: what is divided by it, or by a smaller one, is not multiplied by a reciprocal. */
#define TL_TINY_f32 0x1p-128f
#define TL_TINY_f64 0x1p-1024
#if defined(__GNUC__)
#define TL_RARELY(condition) __builtin_expect(condition, 0)
#else
#define TL_RARELY(condition) (condition)
#endif

/* d is the determinant of the n x n matrix m, 2 <= n <= 4, whose entries are of that type. */
#define TL_MINOR(T, d, a, b, c, e) \
    T d = (a) * (b); \
    d -= (c) * (e);
#define TL_MINORS(T, d, m, n) \
    if (n == 2) { \
        TL_MINOR(T, whole, m[0], m[3], m[1], m[2]) \
        d = whole; \
    } else if (n == 3) { \
        TL_MINOR(T, u, m[4], m[8], m[5], m[7]) \
        TL_MINOR(T, v, m[3], m[8], m[5], m[6]) \
        TL_MINOR(T, w, m[3], m[7], m[4], m[6]) \
        d = m[0] * u; \
        d -= m[1] * v; \
        d += m[2] * w; \
    } else { \
        /* Those of the upper two rows times those of the lower two. */ \
        TL_MINOR(T, s0, m[0], m[5], m[1], m[4]) \
        TL_MINOR(T, s1, m[0], m[6], m[2], m[4]) \
        TL_MINOR(T, s2, m[0], m[7], m[3], m[4]) \
        TL_MINOR(T, s3, m[1], m[6], m[2], m[5]) \
        TL_MINOR(T, s4, m[1], m[7], m[3], m[5]) \
        TL_MINOR(T, s5, m[2], m[7], m[3], m[6]) \
        TL_MINOR(T, c5, m[10], m[15], m[11], m[14]) \
        TL_MINOR(T, c4, m[9], m[15], m[11], m[13]) \
        TL_MINOR(T, c3, m[9], m[14], m[10], m[13]) \
        TL_MINOR(T, c2, m[8], m[15], m[11], m[12]) \
        TL_MINOR(T, c1, m[8], m[14], m[10], m[12]) \
        TL_MINOR(T, c0, m[8], m[13], m[9], m[12]) \
        d = s0 * c5; \
        d -= s1 * c4; \
        d += s2 * c3; \
        d += s3 * c2; \
        d -= s4 * c1; \
        d += s5 * c0; \
    }

#define TL_T float
#define TL_SUFFIX f32
#define TL_INT int32_t
#define TL_ABS fabsf
#define TL_SQRT sqrtf
#include "kernels/linalg/lines_template.h"
#include "kernels/linalg/lanes_template.h"
#include "kernels/linalg/one_template.h"
#include "kernels/linalg/abreast_template.h"
#include "kernels/linalg/rows_template.h"
#undef TL_T
#undef TL_SUFFIX
#undef TL_INT
#undef TL_ABS
#undef TL_SQRT

#define TL_T double
#define TL_SUFFIX f64
#define TL_INT int64_t
#define TL_ABS fabs
#define TL_SQRT sqrt
#include "kernels/linalg/lines_template.h"
#include "kernels/linalg/lanes_template.h"
#include "kernels/linalg/one_template.h"
#include "kernels/linalg/abreast_template.h"
#include "kernels/linalg/rows_template.h"
#undef TL_T
#undef TL_SUFFIX
#undef TL_INT
#undef TL_ABS
#undef TL_SQRT

#define tl_lanes_load(buf, ...) TL_CALL(tl_lanes_load, buf, __VA_ARGS__)
#define tl_lanes_store(buf, ...) TL_CALL(tl_lanes_store, buf, __VA_ARGS__)
#define tl_lanes_cholesky(a, ...) TL_CALL(tl_lanes_cholesky, a, __VA_ARGS__)
#define tl_lanes_lu(a, ...) TL_CALL(tl_lanes_lu, a, __VA_ARGS__)
#define tl_lanes_lu_tiny(a, ...) TL_CALL(tl_lanes_lu_tiny, a, __VA_ARGS__)
#define tl_lanes_det(a, ...) TL_CALL(tl_lanes_det, a, __VA_ARGS__)
#define tl_lanes_minors(a, ...) TL_CALL(tl_lanes_minors, a, __VA_ARGS__)
#define tl_many_minors(a, ...) TL_CALL(tl_many_minors, a, __VA_ARGS__)
#define tl_lanes_solve(t, ...) TL_CALL(tl_lanes_solve, t, __VA_ARGS__)
#define tl_abreast_lu(a, ...) TL_CALL(tl_abreast_lu, a, __VA_ARGS__)
#define tl_one_cholesky(a, ...) TL_CALL(tl_one_cholesky, a, __VA_ARGS__)
#define tl_one_lu(a, ...) TL_CALL(tl_one_lu, a, __VA_ARGS__)
#define tl_one_solve(t, ...) TL_CALL(tl_one_solve, t, __VA_ARGS__)
#define tl_rows_cholesky(a, ...) TL_CALL(tl_rows_cholesky, a, __VA_ARGS__)
#define tl_rows_lu(a, ...) TL_CALL(tl_rows_lu, a, __VA_ARGS__)
#define tl_rows_solve(t, ...) TL_CALL(tl_rows_solve, t, __VA_ARGS__)
#define tl_rows_minus(a, ...) TL_CALL(tl_rows_minus, a, __VA_ARGS__)
#define tl_negate(x, ...) TL_CALL(tl_negate, x, __VA_ARGS__)
#endif
