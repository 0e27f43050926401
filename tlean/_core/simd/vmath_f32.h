/* Elementary functions on float32; see vmath.h, which includes this. */

/* x + TL_ROUNDF − TL_ROUNDF rounds to an integer (|x| < 2²²), and the integer is in the low bits of x + TL_ROUNDF. */
#define TL_ROUNDF 12582912.0f /* 1.5·2²³ */
#define TL_LOG2EF 1.44269504f
/* ln 2 = high + low; the high part has 9 bits, so that n·high is exact for every exponent n, with or without FMA. */
#define TL_LN2_HIGHF 0.693359375f
#define TL_LN2_LOWF -2.12194440e-4f

/* 2ⁿ for a whole number n in [−126, 127], +∞ for 128: n + 127 in the low bits of the sum, moved to the exponent's place. */
TL_INLINE float tl_power_of_2f(float n) { return tl_from_bitsf(tl_bitsf(n + (TL_ROUNDF + 127.0f)) << 23); }

/* x held between low < 0 and high > 0, as a minimum of the bits as signed and then as unsigned integers: one operation each, where a choice
 * between floats is two or three. NaN becomes one of the bounds. */
TL_INLINE float tl_heldf(float x, float low, float high) {
    int32_t below = (int32_t)tl_bitsf(x) < (int32_t)tl_bitsf(high) ? (int32_t)tl_bitsf(x) : (int32_t)tl_bitsf(high);
    return tl_from_bitsf((uint32_t)below < tl_bitsf(low) ? (uint32_t)below : tl_bitsf(low));
}

/* eʳ − 1 = r + r²P(r) for |r| ≤ ln 2 / 2. */
TL_INLINE float tl_exp_tailf(float r) {
    float r2 = r * r;
    float q = TL_FMAF(0.00138364604f, r2, TL_FMAF(0.00836913195f, r, 0.0416681059f));
    q = TL_FMAF(q, r2, TL_FMAF(0.166665167f, r, 0.49999994f));
    return TL_FMAF(q, r2, r);
}

/* eˣ = 2ⁿ·eʳ with n = round(x / ln 2): returns r, and n + bias in the low bits of *sum. */
TL_INLINE float tl_exp_splitf(float x, float bias, uint32_t *sum) {
    float s = TL_FMAF(x, TL_LOG2EF, TL_ROUNDF + bias);
    float n = s - (TL_ROUNDF + bias);
    *sum = tl_bitsf(s);
    return TL_FMAF(n, -TL_LN2_LOWF, TL_FMAF(n, -TL_LN2_HIGHF, x));
}

/* The scale 2ⁿ is applied in two steps, for results that are subnormal or overflow: the exponents of the two factors are halves of n + 254.
 * Beyond ±104 the result is +∞ or 0; one comparison of |x| is less work than two of x. */
TL_INLINE float tl_expf(float x) {
    uint32_t sum;
    x = __builtin_fabsf(x) > 104.0f ? __builtin_copysignf(104.0f, x) : x;
    float e = tl_exp_tailf(tl_exp_splitf(x, 254.0f, &sum)) + 1.0f;
    uint32_t half = sum >> 1;
    return e * tl_from_bitsf(half << 23) * tl_from_bitsf((sum - half) << 23);
}

/* eˣ − 1 for −18 ≤ x ≤ 89, as 2ⁿ(eʳ − 1) + (2ⁿ − 1), computed at half the scale so that n = 128 does not overflow early. */
TL_INLINE float tl_expm1_coref(float x) {
    float n = TL_FMAF(x, TL_LOG2EF, TL_ROUNDF) - TL_ROUNDF;
    float r = TL_FMAF(n, -TL_LN2_LOWF, TL_FMAF(n, -TL_LN2_HIGHF, x));
    float r2 = r * r;
    float q = TL_FMAF(TL_FMAF(0.000150466367f, r, 0.0013930545f), r2, TL_FMAF(0.00834150985f, r, 0.0416665114f));
    q = TL_FMAF(q, r2, TL_FMAF(0.166666359f, r, 0.5f));
    float p = TL_FMAF(q, r2, r);
    float scale = tl_power_of_2f(n - 1.0f);
    return 2.0f * TL_FMAF(p, scale, scale - 0.5f);
}

TL_INLINE float tl_expm1f(float x) {
    float y = tl_expm1_coref(tl_heldf(x, -18.0f, 89.0f));
    return __builtin_fabsf(x) >= 1e-20f ? y : x;
}

/* ln(2ᵏ(1 + f)) for √½ ≤ 1 + f ≤ √2: f − f²/2 + f³P(f) + k ln 2. */
TL_INLINE float tl_log_partsf(float k, float f) {
    float f2 = f * f;
    float p = TL_FMAF(TL_FMAF(-0.076443851f, f, 0.127700284f), f2, TL_FMAF(-0.131605655f, f, 0.1420068f));
    p = TL_FMAF(p, f2 * f2, TL_FMAF(TL_FMAF(-0.166232139f, f, 0.200012654f), f2, TL_FMAF(-0.250008255f, f, 0.333333313f)));
    float tail = TL_FMAF(f2 * f, p, k * TL_LN2_LOWF);
    return TL_FMAF(k, TL_LN2_HIGHF, f + TL_FMAF(f2, -0.5f, tail));
}

#define TL_SQRT_HALF_BITSF 0x3f3504f3u

TL_INLINE float tl_logf(float x) {
    int subnormal = x < 1.17549435e-38f;
    float scaled = subnormal ? x * 8388608.0f : x;
    /* The exponent after moving the mantissa to [√½, √2): all of it in unsigned arithmetic, since x > 0 here or is dealt with below. */
    uint32_t u = tl_bitsf(scaled) + (0x3f800000u - TL_SQRT_HALF_BITSF);
    float k = tl_from_bitsf((u >> 23) | 0x4b000000u) - (subnormal ? 8388608.0f + 127.0f + 23.0f : 8388608.0f + 127.0f);
    float m = tl_from_bitsf((u & 0x007fffffu) + TL_SQRT_HALF_BITSF);
    float y = tl_log_partsf(k, m - 1.0f);
    y = x == 0.0f ? -INFINITY : y;
    y = x < 0.0f ? NAN : y;
    return x < INFINITY ? y : x;
}

/* ln(1 + x): the exponent k is that of fl(1 + x), and f = 2⁻ᵏ(1 + x) − 1 = 2⁻ᵏx + (2⁻ᵏ − 1) has no rounding in its first two steps. The scale
 * is 4·2⁻ᵏ, a normal number for every k; x/4 is exact where it matters, since ln(1 + x) rounds to x below 2⁻²⁵. */
TL_INLINE float tl_log1pf(float x) {
    uint32_t u = tl_bitsf(x + 1.0f) + (0x3f800000u - TL_SQRT_HALF_BITSF);
    uint32_t exponent = u >> 23;
    float k = tl_from_bitsf(exponent | 0x4b000000u) - (8388608.0f + 127.0f);
    float scale = tl_from_bitsf((256u - exponent) << 23);
    float y = tl_log_partsf(k, 0.25f * x * scale + (0.25f * scale - 1.0f));
    y = __builtin_fabsf(x) < 2.98023224e-8f ? x : y;
    float edge = x == -1.0f ? -INFINITY : NAN;
    y = x > -1.0f ? y : edge;
    return x < INFINITY ? y : x;
}

/* tanh |x| = m/(m + 2) with m = e^(2|x|) − 1, and x + x³P(x²) near 0. */
TL_INLINE float tl_tanhf(float x) {
    float a = __builtin_fabsf(x);
    float m = tl_expm1_coref(2.0f * tl_heldf(a, -10.0f, 10.0f));
    float far = m / (m + 2.0f);
    float z = x * x;
    float z2 = z * z;
    float p = TL_FMAF(-0.0057140626f, z2, TL_FMAF(0.0206480622f, z, -0.0537427738f));
    p = TL_FMAF(p, z2, TL_FMAF(0.133314833f, z, -0.333332837f));
    float near = TL_FMAF(p * z, a, a);
    return __builtin_copysignf(a >= 0.625f ? far : near, x);
}

/* 1/(1 + e⁻ˣ) as c/(c·2ⁿ + (c·2ⁿ(eʳ − 1) + c)), where c = 2⁻²³ keeps 2ⁿ from overflowing where the result is subnormal. */
TL_INLINE float tl_sigmoidf(float x) {
    uint32_t sum;
    float p = tl_exp_tailf(tl_exp_splitf(-tl_heldf(x, -104.0f, 70.0f), 127.0f - 23.0f, &sum));
    float scale = tl_from_bitsf(sum << 23);
    float y = 1.1920929e-7f / (scale + TL_FMAF(p, scale, 1.1920929e-7f));
    return x == x ? y : x;
}

/* 1/(1 + 2⁻ˣ), likewise; 2ʳ − 1 = r ln 2 + r²P(r) for |r| ≤ ½, and r is exact. */
TL_INLINE float tl_sigmoid2f(float x) {
    float t = tl_heldf(x, -150.0f, 100.0f);
    float s = (TL_ROUNDF + 127.0f - 23.0f) - t;
    float r = ((TL_ROUNDF + 127.0f - 23.0f) - s) - t;
    float r2 = r * r;
    float q = TL_FMAF(0.000153264642f, r2, TL_FMAF(0.00133908063f, r, 0.00961850584f));
    q = TL_FMAF(q, r2, TL_FMAF(0.0555035993f, r, 0.240226477f));
    float scale = tl_from_bitsf(tl_bitsf(s) << 23);
    float y = 1.1920929e-7f / (scale + TL_FMAF(TL_FMAF(q, r2, 0.693147182f * r), scale, 1.1920929e-7f));
    return x == x ? y : x;
}

/* The normal distribution function as ½ + (x/10 + x·P(x²)/Q(x²)) for |x| < 5.55, from where on it is 0 or 1 as seen from ½, and then held
 * between 0 and 1. The error is absolute, 2⁻²³ at most: two units in the last place of values above ½. x/10 keeps the quotient small. */
TL_INLINE float tl_normal_cdff(float x) {
    float t = tl_heldf(x, -5.55f, 5.55f);
    float z = t * t;
    float z2 = z * z;
    float p = TL_FMAF(TL_FMAF(-9.76100338e-08f, z, -8.80557138e-07f), z2, TL_FMAF(-2.18661498e-05f, z, 0.00181099155f));
    p = TL_FMAF(p, z2, TL_FMAF(0.00832127221f, z, 0.298942268f));
    float q = TL_FMAF(TL_FMAF(1.20799075e-06f, z, 7.2021001e-05f), z2, TL_FMAF(0.00185569341f, z, 0.0283573531f));
    q = TL_FMAF(q, z2, TL_FMAF(0.250254124f, z, 1.0f));
    int32_t bits = (int32_t)tl_bitsf(TL_FMAF(t, p / q, 0.1f * t) + 0.5f);
    bits = bits < 0 ? 0 : bits;
    float y = tl_from_bitsf((uint32_t)(bits < 0x3f800000 ? bits : 0x3f800000));
    return x == x ? y : x;
}

/* erf x = x + x·P(x²) for |x| < 0.9; beyond, 1 − 2^G(|x|) with G = log₂ erfc, up to 4, where erf rounds to 1. */
TL_INLINE float tl_erff(float x) {
    float a = __builtin_fabsf(x);
    float t = tl_heldf(a, -4.0f, 4.0f);
    float t2 = t * t;
    float g = TL_FMAF(0.000286127935f, t2, TL_FMAF(-0.00442411844f, t, 0.0322002172f));
    g = TL_FMAF(g, t2 * t2, TL_FMAF(TL_FMAF(-0.150217012f, t, -0.918947875f), t2, TL_FMAF(-1.62707591f, t, -0.000238125096f)));
    float n = (g + TL_ROUNDF) - TL_ROUNDF;
    float r = g - n;
    float r2 = r * r;
    float e = TL_FMAF(TL_FMAF(0.00133054843f, r, 0.00967283547f), r2, TL_FMAF(0.055506479f, r, 0.240222216f));
    e = TL_FMAF(e, r2, TL_FMAF(0.693147004f, r, 1.0f));
    float far = __builtin_copysignf(TL_FMAF(-e, tl_power_of_2f(n), 1.0f), x);
    float z = x * x;
    float z2 = z * z;
    float p = TL_FMAF(TL_FMAF(-0.000602080021f, z, 0.00499895914f), z2, TL_FMAF(-0.026770493f, z, 0.112819217f));
    p = TL_FMAF(p, z2, TL_FMAF(-0.376125038f, z, 0.128379151f));
    float near = TL_FMAF(p, x, x);
    return a >= 0.9f ? far : near;
}

/* The fast sine and cosine take |x| ≤ TL_TRIG_LIMITF; beyond it (and for inf, NaN) callers take libm's. */
#define TL_TRIG_LIMITF 1e6f

/* sin(x + quarter·π/2). The reduction r = x − n π/2 is done in float64, where n times the 33-bit high part of π/2 is exact. */
TL_INLINE float tl_sin_shiftedf(float x, uint32_t quarter) {
    double n = ((double)x * 0.63661977236758134 + 6755399441055744.0) - 6755399441055744.0;
    float r = (float)(((double)x - n * 1.57079632673412561417e+00) - n * 6.07710050650619224932e-11);
    uint32_t q = tl_bitsf((float)n + TL_ROUNDF) + quarter;
    float z = r * r;
    float s = -0.000195180954f;
    s = TL_FMAF(s, z, 0.00833218824f);
    s = TL_FMAF(s, z, -0.166666552f);
    s = TL_FMAF(s * z, r, r);
    float c = 2.44323273e-05f;
    c = TL_FMAF(c, z, -0.00138873095f);
    c = TL_FMAF(c, z, 0.0416666456f);
    c = TL_FMAF(c, z * z, TL_FMAF(z, -0.5f, 1.0f));
    float y = q & 1u ? c : s;
    return tl_from_bitsf(tl_bitsf(y) ^ ((q & 2u) << 30));
}

TL_INLINE float tl_sinf(float x) { return x == 0.0f ? x : tl_sin_shiftedf(x, 0); }
TL_INLINE float tl_cosf(float x) { return tl_sin_shiftedf(x, 1); }

/* Any argument; with a branch and a call, so not for vector loops. */
TL_INLINE float tl_wide_sinf(float x) { return __builtin_fabsf(x) <= TL_TRIG_LIMITF ? tl_sinf(x) : sinf(x); }
TL_INLINE float tl_wide_cosf(float x) { return __builtin_fabsf(x) <= TL_TRIG_LIMITF ? tl_cosf(x) : cosf(x); }

/* eˣ where x ≤ 0, as after the maximum is taken out of a softmax: nothing can overflow, so one scaling is enough, and a result that would
 * be subnormal is 0. Holds up to x = 88; vectorises as the other functions do, whose reduction and polynomial these are.
 */
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
