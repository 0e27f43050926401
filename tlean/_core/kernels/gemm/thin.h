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

#endif
