/* Fourier transforms for float (f32) and double (f64): plan.h, plan_template.h and stages_template.h say which. */
#ifndef TLEAN_FFT_H
#define TLEAN_FFT_H
#include "kernels/fft/plan.h"
#include "simd/by_type.h"
#include "simd/width.h"
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define TL_X(name) TL_JOIN(name, TL_SUFFIX)

#define TL_T float
#define TL_SUFFIX f32
#define TL_INT int32_t
#include "simd/vector_template.h"
#include "kernels/linalg/lines_template.h"
#include "kernels/fft/stages_template.h"
#include "kernels/fft/plan_template.h"
#undef TL_T
#undef TL_SUFFIX
#undef TL_INT

#define TL_T double
#define TL_SUFFIX f64
#define TL_INT int64_t
#include "simd/vector_template.h"
#include "kernels/linalg/lines_template.h"
#include "kernels/fft/stages_template.h"
#include "kernels/fft/plan_template.h"
#undef TL_T
#undef TL_SUFFIX
#undef TL_INT

#define tl_lanes_load(buf, ...) TL_CALL(tl_lanes_load, buf, __VA_ARGS__)
#define tl_lanes_store(buf, ...) TL_CALL(tl_lanes_store, buf, __VA_ARGS__)
#define tl_fft_plan_of(tag, ...) TL_OF(tl_fft_plan_of, tag)(__VA_ARGS__)
#define tl_fft_stages(tag, ...) TL_OF(tl_fft_stages, tag)(__VA_ARGS__)
#define tl_fft_lanes(plan, a, ...) TL_OF(tl_fft_lanes, a)(plan, a, __VA_ARGS__)
#define tl_fft_load(buf, ...) TL_CALL(tl_fft_load, buf, __VA_ARGS__)
#define tl_fft_store(buf, ...) TL_CALL(tl_fft_store, buf, __VA_ARGS__)
#define tl_fft_split(x, ...) TL_CALL(tl_fft_split, x, __VA_ARGS__)
#define tl_fft_unite(x, ...) TL_CALL(tl_fft_unite, x, __VA_ARGS__)
#define tl_fft_widen(x, ...) TL_CALL(tl_fft_widen, x, __VA_ARGS__)
#define tl_fft_weigh(x, ...) TL_CALL(tl_fft_weigh, x, __VA_ARGS__)
#define tl_fft_mirror(x, ...) TL_CALL(tl_fft_mirror, x, __VA_ARGS__)
#define tl_fft_narrow(x, ...) TL_CALL(tl_fft_narrow, x, __VA_ARGS__)
#define tl_fft_turn(plan, x, ...) TL_OF(tl_fft_turn, x)(plan, x, __VA_ARGS__)
#define tl_fft_split_line(x, ...) TL_CALL(tl_fft_split_line, x, __VA_ARGS__)
#define tl_fft_unite_line(x, ...) TL_CALL(tl_fft_unite_line, x, __VA_ARGS__)
#define tl_fft_times_line(x, ...) TL_CALL(tl_fft_times_line, x, __VA_ARGS__)
#endif
