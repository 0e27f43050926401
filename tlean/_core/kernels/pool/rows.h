/* Row primitives of the pools, for float (_f32) and double (_f64); see kernels/pool/rows_template.h. */
#ifndef TLEAN_POOL_ROWS_H
#define TLEAN_POOL_ROWS_H
#include <math.h>
#include <stddef.h>
#include <string.h>
#include "kernel.h"
#include "simd/by_type.h"

/* Runs BODY for j = 0 … n-1 in blocks of a fixed length, so that the compiler leaves no scalar tail: the last block is moved back to end at
 * n and does a few elements a second time. BODY must not read what it writes, unless doing it twice changes nothing. */
#define TL_IN_BLOCKS_OF(VL, n)                                          \
    for (ptrdiff_t j0 = 0;;) {                                          \
        _Pragma("GCC unroll 1") for (ptrdiff_t j = j0; j < j0 + VL; j++) { BODY } \
        if (j0 + VL >= (n)) break;                                      \
        j0 = j0 + 2 * VL <= (n) ? j0 + VL : (n) - VL;                   \
    }
#define TL_IN_BLOCKS(n)                                                 \
    if ((n) >= 16) TL_IN_BLOCKS_OF(16, n)                               \
    else if ((n) >= 8) TL_IN_BLOCKS_OF(8, n)                            \
    else if ((n) >= 4) TL_IN_BLOCKS_OF(4, n)                            \
    else for (ptrdiff_t j = 0, j0 = 0; j < (n); j0 = ++j) { (void)j0; BODY }

#define T float
#define TI int32_t
#define NAME(x) x##_f32
#include "kernels/pool/rows_template.h"
#undef T
#undef TI
#undef NAME

#define T double
#define TI int64_t
#define NAME(x) x##_f64
#include "kernels/pool/rows_template.h"
#undef T
#undef TI
#undef NAME

#define tl_max_rows(y, ...) TL_CALL(tl_max_rows, y, __VA_ARGS__)
#define tl_max_2x2(y, ...) TL_CALL(tl_max_2x2, y, __VA_ARGS__)
#define tl_max_2x2_grad(y, ...) TL_CALL(tl_max_2x2_grad, y, __VA_ARGS__)
#define tl_sum_rows(y, ...) TL_CALL(tl_sum_rows, y, __VA_ARGS__)
#define tl_merge(y, ...) TL_CALL(tl_merge, y, __VA_ARGS__)
#define tl_spread(y, ...) TL_CALL(tl_spread, y, __VA_ARGS__)
#define tl_avg_2x2(y, ...) TL_CALL(tl_avg_2x2, y, __VA_ARGS__)
#define tl_avg_2x2_grad(y, ...) TL_CALL(tl_avg_2x2_grad, y, __VA_ARGS__)
/* Positions come as addresses of bytes, and y of tl_split only says how large an element is. */
#define tl_argmax_rows(y, at, ...) TL_CALL(tl_argmax_rows, y, (void *)(at), __VA_ARGS__)
#define tl_argmax_taps(y, at, taps, where, count, best, n) TL_CALL(tl_argmax_taps, y, at, taps, (void *)(where), count, (void *)(best), n)
#define tl_split(y, phase, pitch, row, ...) TL_OF(tl_split, y)((void *)(phase), pitch, (const void *)(row), __VA_ARGS__)
#endif
