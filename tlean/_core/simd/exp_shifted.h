/* eˣ where x ≤ 0, as after the maximum is taken out of a softmax: nothing can overflow, so one scaling is enough, and a result that would
 * be subnormal is 0. Holds up to x = 88; vectorises as the functions of vmath.h do, whose reduction and polynomial these are.
 */
#ifndef TLEAN_EXP_SHIFTED_H
#define TLEAN_EXP_SHIFTED_H
#include "simd/vmath.h"

TL_INLINE float tl_exp_shiftedf(float x) {
    /* n = round(x / ln 2); the low bits of `sum` are those of n + 127, the exponent of 2ⁿ. */
    float sum = TL_FMAF(x, TL_LOG2EF, TL_ROUNDF + 127.0f);
    float n = sum - (TL_ROUNDF + 127.0f);
    float r = TL_FMAF(n, -TL_LN2_LOWF, TL_FMAF(n, -TL_LN2_HIGHF, x));
    float q = 0.00138364604f;
    q = TL_FMAF(q, r, 0.00836913195f);
    q = TL_FMAF(q, r, 0.0416681059f);
    q = TL_FMAF(q, r, 0.166665167f);
    q = TL_FMAF(q, r, 0.49999994f);
    float e = (TL_FMAF(q, r * r, r) + 1.0f) * tl_from_bitsf(tl_bitsf(sum) << 23);
    return x < -87.0f ? 0.0f : e;
}

/* The accuracy of float64 leaves nothing to gain. */
TL_INLINE double tl_exp_shifted(double x) { return tl_exp(x); }
#endif
