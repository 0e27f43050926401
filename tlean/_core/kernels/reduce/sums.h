/* The inner loops of sums, of sums of squares, also about a mean, and of products: one contiguous row, and a panel of rows added element by
 * element.
 *
 * The order of additions is a tree that depends on the lengths alone. Rounding errors grow with its depth: at most about 40 additions
 * on the way from an element of a segment to its sum, as in pairwise summation (Higham 1993), not with the number of elements.
 */
#ifndef TLEAN_SUMS_H
#define TLEAN_SUMS_H
#include <stdint.h>
#include <string.h>

#include "simd/by_type.h"
#include "simd/moves.h"

#define TL_HALVE(e, w, n) ((e) ^ ((w) % (n)))
/* Strips of four vectors in one block: the number of blocks in a segment stays below about 32. */
#define TL_BLOCK_STRIPS (TL_VECTOR_BYTES == 16 ? 64 : 32)
enum { TL_BLOCK_BYTES = 4 * TL_BLOCK_STRIPS * TL_VECTOR_BYTES };

/* The most columns that are summed together, and what fewer are widened to. */
#define TL_PANEL 1024
#define TL_NARROW 128

#define TL_T float
#define TL_INT int32_t
#define TL_LANES TL_LANES_f32
#define TL_KIND(name, kind) name##kind##_f32
#include "kernels/reduce/sums_kinds.h"

#define TL_T double
#define TL_INT int64_t
#define TL_LANES TL_LANES_f64
#define TL_KIND(name, kind) name##kind##_f64
#include "kernels/reduce/sums_kinds.h"
#define tl_row_sums(y, ...) TL_CALL(tl_row_sums, y, __VA_ARGS__)
#define tl_row_squares(y, ...) TL_CALL(tl_row_sums_squared, y, __VA_ARGS__)
#define tl_row_deviations(y, ...) TL_CALL(tl_row_sums_deviation, y, __VA_ARGS__)
#define tl_row_products(y, ...) TL_CALL(tl_row_sums_product, y, __VA_ARGS__)
#define tl_column_sums(y, ...) TL_CALL(tl_column_sums, y, __VA_ARGS__)
#define tl_column_squares(y, ...) TL_CALL(tl_column_sums_squared, y, __VA_ARGS__)
#define tl_column_deviations(y, ...) TL_CALL(tl_column_sums_deviation, y, __VA_ARGS__)
#define tl_column_products(y, ...) TL_CALL(tl_column_sums_product, y, __VA_ARGS__)
#define tl_add_rows(y, ...) TL_CALL(tl_add_rows, y, __VA_ARGS__)
#define tl_sum_part(y, ...) TL_CALL(tl_sum_part, y, __VA_ARGS__)
#endif
