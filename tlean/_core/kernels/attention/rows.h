/* Row functions of attention, for float and double; see attention_template.h. */
#ifndef TLEAN_ATTENTION_H
#define TLEAN_ATTENTION_H
#include "kernels/gemm/micro.h"
#include "simd/exp_shifted.h"
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

#endif
