/* Products with one or a few rows, and small ones, for float and double; see thin_template.h and small_template.h. */
#ifndef TLEAN_THIN_H
#define TLEAN_THIN_H
#include "kernels/gemm/micro.h"

/* The most columns and terms that tl_few takes. */
enum { TL_FEW = 4 };

#define TL_T float
#define TL_SUFFIX f32
#include "kernels/gemm/thin_template.h"
#include "kernels/gemm/small_template.h"
#undef TL_T
#undef TL_SUFFIX

#define TL_T double
#define TL_SUFFIX f64
#include "kernels/gemm/thin_template.h"
#include "kernels/gemm/small_template.h"
#undef TL_T
#undef TL_SUFFIX

#define tl_dots(m, n, k, a, ...) TL_OF(tl_dots, a)(m, n, k, a, __VA_ARGS__)
#define tl_row_sum(n, k, a, ...) TL_OF(tl_row_sum, a)(n, k, a, __VA_ARGS__)
#define tl_few(m, n, k, a, ...) TL_OF(tl_few, a)(m, n, k, a, __VA_ARGS__)
#define tl_few_dots(n, k, a, ...) TL_OF(tl_few_dots, a)(n, k, a, __VA_ARGS__)
#define tl_pack_lines(p, ...) TL_CALL(tl_pack_lines, p, __VA_ARGS__)
#define tl_lines(n, k, p, ...) TL_OF(tl_lines, p)(n, k, p, __VA_ARGS__)
#endif
