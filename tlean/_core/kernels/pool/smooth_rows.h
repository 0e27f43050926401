/* Row primitives of the smooth maximum, for float (_f32) and double (_f64); see smooth_rows_template.h. */
#ifndef TLEAN_SMOOTH_ROWS_H
#define TLEAN_SMOOTH_ROWS_H
#include <stddef.h>
#include "kernel.h"
#include "simd/by_type.h"
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

#define tl_scaled_copy(y, ...) TL_CALL(tl_scaled_copy, y, __VA_ARGS__)
#define tl_max_into(y, ...) TL_CALL(tl_max_into, y, __VA_ARGS__)
#define tl_exp_into(y, ...) TL_CALL(tl_exp_into, y, __VA_ARGS__)
#define tl_log_sum(y, ...) TL_CALL(tl_log_sum, y, __VA_ARGS__)
#define tl_divide(y, ...) TL_CALL(tl_divide, y, __VA_ARGS__)
#define tl_add_product(y, ...) TL_CALL(tl_add_product, y, __VA_ARGS__)
#endif
