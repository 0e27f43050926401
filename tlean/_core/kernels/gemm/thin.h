/* Products with one or a few rows, for float and double; see thin_template.h. */
#ifndef TLEAN_THIN_H
#define TLEAN_THIN_H
#include "kernels/gemm/micro.h"

#define TL_T float
#define TL_SUFFIX f32
#include "kernels/gemm/thin_template.h"
#undef TL_T
#undef TL_SUFFIX

#define TL_T double
#define TL_SUFFIX f64
#include "kernels/gemm/thin_template.h"
#undef TL_T
#undef TL_SUFFIX

#define tl_dots(m, n, k, a, ...) TL_OF(tl_dots, a)(m, n, k, a, __VA_ARGS__)
#define tl_row_sum(n, k, a, ...) TL_OF(tl_row_sum, a)(n, k, a, __VA_ARGS__)
#endif
