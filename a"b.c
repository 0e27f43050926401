/* lambda: written by tlean. Compile it with -ffp-contract=off. */
#include "a"b.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__clang__) || !defined(__GNUC__)
#pragma STDC FP_CONTRACT OFF
#endif

#ifdef FP_FAST_FMAF
#define TL_FMAF(a, b, c) fmaf(a, b, c)
#else
#define TL_FMAF(a, b, c) ((a) * (b) + (c))
#endif
#ifdef FP_FAST_FMA
#define TL_FMA(a, b, c) fma(a, b, c)
#else
#define TL_FMA(a, b, c) ((a) * (b) + (c))
#endif
#if defined(__GNUC__) || defined(__clang__)
#define TL_INLINE static inline __attribute__((unused))
#else
#define TL_INLINE static inline
#endif

int lambda(const float *restrict in0, float *restrict out0, float *restrict grad_in0, lambda_state *restrict s) {
    (void)in0; (void)s;
    const float v1 = in0[0] + in0[1] + in0[2];
    const float v2_0 = 1.0f;
    const float v2_1 = 1.0f;
    const float v2_2 = 1.0f;
    out0[0] = v1;
    grad_in0[0] = v2_0;
    grad_in0[1] = v2_1;
    grad_in0[2] = v2_2;
    return 0;
}

unsigned long lambda_size(void) { return (unsigned long)sizeof(lambda_state); }
