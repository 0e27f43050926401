/* Reductions of one contiguous row, in explicit vector lanes: the order of the additions is written here, so no compiler flag and no
 * alignment changes a bit. A row is cut in blocks of TL_ROW_BLOCK; a block is summed in four vectors, folded by halves; the blocks'
 * sums are added in double, so the error does not grow with the length.
 */
#ifndef TLEAN_ROWS_H
#define TLEAN_ROWS_H
#include <math.h>
#include <stddef.h>
#include <string.h>
#include "kernel.h"
#include "simd/by_type.h"
#include "simd/width.h"

#define TL_ROW_BLOCK 4096
#define TL_COLUMN_ROWS 32

#define T float
#define TI int32_t
#define IOTA TL_ORDER(TL_LANES_f32)
#define NAME(x) x##_f32
#include "simd/rows_template.h"
#undef T
#undef TI
#undef IOTA
#undef NAME

#define T double
#define TI int64_t
#define IOTA TL_ORDER(TL_LANES_f64)
#define NAME(x) x##_f64
#include "simd/rows_template.h"
#undef T
#undef TI
#undef IOTA
#undef NAME

#define row_sum(x, ...) TL_CALL(row_sum, x, __VA_ARGS__)
#define row_dot(x, ...) TL_CALL(row_dot, x, __VA_ARGS__)
#define row_deviation(x, ...) TL_CALL(row_deviation, x, __VA_ARGS__)
#define row_square_deviation(x, ...) TL_CALL(row_square_deviation, x, __VA_ARGS__)
#define row_covariation(x, ...) TL_CALL(row_covariation, x, __VA_ARGS__)
#define row_weighted_covariation(x, ...) TL_CALL(row_weighted_covariation, x, __VA_ARGS__)
#define row_square_distance(x, ...) TL_CALL(row_square_distance, x, __VA_ARGS__)
#define row_max(x, ...) TL_CALL(row_max, x, __VA_ARGS__)
#define norm_columns(dgamma, dbeta, g, ...) TL_OF(norm_columns, g)(dgamma, dbeta, g, __VA_ARGS__)
#endif
