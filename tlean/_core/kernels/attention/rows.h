/* Row functions of attention, for float and double; see attention_template.h. */
#ifndef TLEAN_ATTENTION_H
#define TLEAN_ATTENTION_H
#include "kernels/gemm/micro.h"
#include "simd/vmath.h"
#include <math.h>

#define TL_T float
#define TL_SUFFIX f32
#define TL_EXP tl_exp_shiftedf
#define TL_LOG logf
#include "kernels/attention/rows_template.h"
#undef TL_T
#undef TL_SUFFIX
#undef TL_EXP
#undef TL_LOG

#define TL_T double
#define TL_SUFFIX f64
#define TL_EXP tl_exp_shifted
#define TL_LOG log
#include "kernels/attention/rows_template.h"
#undef TL_T
#undef TL_SUFFIX
#undef TL_EXP
#undef TL_LOG

#define tl_softmax_step(s, ...) TL_CALL(tl_softmax_step, s, __VA_ARGS__)
#define tl_softmax_end(y, ...) TL_CALL(tl_softmax_end, y, __VA_ARGS__)
#define tl_softmax_back(s, ...) TL_CALL(tl_softmax_back, s, __VA_ARGS__)
#define tl_scale_row(y, ...) TL_CALL(tl_scale_row, y, __VA_ARGS__)
#define tl_add_row(y, ...) TL_CALL(tl_add_row, y, __VA_ARGS__)
#define tl_row_dot(a, ...) TL_CALL(tl_row_dot, a, __VA_ARGS__)
#define tl_all_finite(x, ...) TL_CALL(tl_all_finite, x, __VA_ARGS__)
#endif
