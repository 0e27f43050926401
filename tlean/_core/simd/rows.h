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

#if defined(__AVX512F__)
#define TL_ROW_BYTES 64
#define TL_IOTA_F32 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define TL_IOTA_F64 0, 1, 2, 3, 4, 5, 6, 7
#elif defined(__AVX2__)
#define TL_ROW_BYTES 32
#define TL_IOTA_F32 0, 1, 2, 3, 4, 5, 6, 7
#define TL_IOTA_F64 0, 1, 2, 3
#else
#define TL_ROW_BYTES 16
#define TL_IOTA_F32 0, 1, 2, 3
#define TL_IOTA_F64 0, 1
#endif
#define TL_ROW_BLOCK 4096
#define TL_COLUMN_ROWS 32

#define T float
#define TI int32_t
#define IOTA TL_IOTA_F32
#define NAME(x) x##_f32
#include "simd/rows_template.h"
#undef T
#undef TI
#undef IOTA
#undef NAME

#define T double
#define TI int64_t
#define IOTA TL_IOTA_F64
#define NAME(x) x##_f64
#include "simd/rows_template.h"
#undef T
#undef TI
#undef IOTA
#undef NAME

#endif
