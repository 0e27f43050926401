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
#elif defined(__AVX2__)
#define TL_ROW_BYTES 32
#else
#define TL_ROW_BYTES 16
#endif
#define TL_ROW_BLOCK 4096
#define TL_COLUMN_ROWS 32

#define T float
#define TI int32_t
#define NAME(x) x##_f32
#include "rows_template.h"
#undef T
#undef TI
#undef NAME

#define T double
#define TI int64_t
#define NAME(x) x##_f64
#include "rows_template.h"
#undef T
#undef TI
#undef NAME

#endif
