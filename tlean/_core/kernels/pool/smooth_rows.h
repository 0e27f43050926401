/* Row primitives of the smooth maximum, for float (_f32) and double (_f64); see smooth_rows_template.h. */
#ifndef TLEAN_SMOOTH_ROWS_H
#define TLEAN_SMOOTH_ROWS_H
#include <stddef.h>
#include "kernel.h"
#include "simd/vmath.h"

#define TL_SMOOTH_LANES 16

#define T float
#define NAME(x) x##_f32
#define EXP tl_expf
#define LOG tl_logf
#include "kernels/pool/smooth_rows_template.h"
#undef T
#undef NAME
#undef EXP
#undef LOG

#define T double
#define NAME(x) x##_f64
#define EXP tl_exp
#define LOG tl_log
#include "kernels/pool/smooth_rows_template.h"
#undef T
#undef NAME
#undef EXP
#undef LOG

#endif
