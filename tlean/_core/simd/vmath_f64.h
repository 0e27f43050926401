/* Elementary functions on float64; see vmath.h, which includes this. The methods are those of vmath_f32.h where nothing is said. */

#define TL_ROUND 6755399441055744.0 /* 1.5·2⁵² */
#define TL_LOG2E 1.4426950408889634
/* ln 2 = high + low; the high part has 33 bits. */
#define TL_LN2_HIGH 6.93147180369123816490e-01
#define TL_TWO_THIRDS 0.6666666666666666
#define TL_LN2_LOW 1.90821492927058770002e-10
#define TL_LN2_HALF 0.34657359027997264

/* One step of Horner's rule. */
#define TL_HORNER(p, x, coefficient) p = TL_FMA(p, x, coefficient);

/* 2ⁿ for a whole number n in [−1022, 1023], +∞ for 1024. */
TL_INLINE double tl_power_of_2(double n) { return tl_from_bits(tl_bits(n + (TL_ROUND + 1023.0)) << 52); }

/* a·b = the result + *low, exactly. */
TL_INLINE double tl_two_product(double a, double b, double *low) {
    double p = a * b;
#ifdef __FMA__
    *low = __builtin_fma(a, b, -p);
#else
    /* Dekker's splitting, by bits so that it cannot overflow. */
    double ah = tl_from_bits(tl_bits(a) & 0xfffffffff8000000ull), al = a - ah;
    double bh = tl_from_bits(tl_bits(b) & 0xfffffffff8000000ull), bl = b - bh;
    *low = ((ah * bh - p) + ah * bl + al * bh) + al * bl;
#endif
    return p;
}

/* (eʳ − 1 − r)/r² for |r| ≤ ln 2 / 2. */
TL_INLINE double tl_exp_tail(double r) {
    double r2 = r * r;
    double r4 = r2 * r2;
    double low = TL_FMA(TL_FMA(0.008333333333324486, r, 0.0416666666666667), r2, TL_FMA(0.16666666666666674, r, 0.5));
    double mid = TL_FMA(2.7557252809982634e-06, r, 2.480158739045086e-05);
    mid = TL_FMA(mid, r2, TL_FMA(0.00019841269877839842, r, 0.0013888888888858044));
    double high = TL_FMA(2.0935620958640335e-09, r2, TL_FMA(2.51061044354157e-08, r, 2.755721060458106e-07));
    return TL_FMA(TL_FMA(high, r4, mid), r4, low);
}

TL_INLINE double tl_exp_parts(double x, double low, double *n) {
    *n = TL_FMA(x, TL_LOG2E, TL_ROUND) - TL_ROUND;
    double r = TL_FMA(*n, -TL_LN2_LOW, TL_FMA(*n, -TL_LN2_HIGH, x)) + low;
    return TL_FMA(tl_exp_tail(r), r * r, r);
}

/* e^(x + low) for |low| far below |x|. */
TL_INLINE double tl_exp_sum(double x, double low) {
    x = x > 710.0 ? 710.0 : x;
    x = x < -746.0 ? -746.0 : x;
    double n, e = tl_exp_parts(x, low, &n) + 1.0;
    double half = TL_FMA(n, 0.5, TL_ROUND) - TL_ROUND;
    return e * tl_power_of_2(half) * tl_power_of_2(n - half);
}

TL_INLINE double tl_exp(double x) { return tl_exp_sum(x, 0.0); }

/* eˣ − 1 for −38 ≤ x ≤ 710. */
TL_INLINE double tl_expm1_core(double x) {
    double n = TL_FMA(x, TL_LOG2E, TL_ROUND) - TL_ROUND;
    /* r as a sum of two: the rounding of r alone would cost a unit in the last place. */
    double high = TL_FMA(n, -TL_LN2_HIGH, x);
    double low = n * TL_LN2_LOW;
    double r = high - low;
    double rest = (high - r) - low;
    double p = r + TL_FMA(tl_exp_tail(r), r * r, rest);
    double scale = tl_power_of_2(n - 1.0);
    return 2.0 * TL_FMA(p, scale, scale - 0.5);
}

TL_INLINE double tl_expm1(double x) {
    double t = x > 710.0 ? 710.0 : x;
    double y = tl_expm1_core(t < -38.0 ? -38.0 : t);
    return __builtin_fabs(x) < 1e-150 ? x : y;
}

/* (ln(1 + f) − 2s)/s³ − 2/3 for s = f/(2 + f), z = s². */
TL_INLINE double tl_log_tail(double z) {
    double z2 = z * z;
    double even = 0.13235083905942097, odd = 0.13252115941414871;
    TL_HORNER(even, z2, 0.15386990178364324) TL_HORNER(odd, z2, 0.18181778328188436)
    TL_HORNER(even, z2, 0.22222222607253495) TL_HORNER(odd, z2, 0.2857142856940973)
    TL_HORNER(even, z2, 0.40000000000004926)
    return TL_FMA(odd, z, even) * z;
}

/* ln(2ᵏ(1 + f)) for √½ ≤ 1 + f ≤ √2. With h = f²/2, ln(1 + f) = f − (h − s(h + s²P)): no rounding of s reaches the leading term. */
TL_INLINE double tl_log_parts(double k, double f) {
    double s = f / (2.0 + f);
    double h = 0.5 * f * f;
    double z = s * s;
    double small = TL_FMA(s, TL_FMA(z, TL_TWO_THIRDS + tl_log_tail(z), h), k * TL_LN2_LOW);
    return TL_FMA(k, TL_LN2_HIGH, f - (h - small));
}

#define TL_SQRT_HALF_BITS 0x3fe6a09e667f3bcdull

/* x = 2ᵏ·m with √½ ≤ m < √2, for 0 < x < ∞. */
TL_INLINE double tl_split(double x, double *k) {
    int subnormal = x < 2.2250738585072014e-308;
    double scaled = subnormal ? x * 18014398509481984.0 : x;
    uint64_t u = tl_bits(scaled) + (0x3ff0000000000000ull - TL_SQRT_HALF_BITS);
    *k = tl_from_bits((u >> 52) | 0x4330000000000000ull) - (subnormal ? 4503599627370496.0 + 1023.0 + 54.0 : 4503599627370496.0 + 1023.0);
    return tl_from_bits((u & 0x000fffffffffffffull) + TL_SQRT_HALF_BITS);
}

TL_INLINE double tl_log(double x) {
    double k;
    double m = tl_split(x, &k);
    double y = tl_log_parts(k, m - 1.0);
    y = x == 0.0 ? -INFINITY : y;
    y = x < 0.0 ? NAN : y;
    return x < INFINITY ? y : x;
}

TL_INLINE double tl_log1p(double x) {
    int big = x > 1.8446744073709552e19;
    double v = big ? x * 5.421010862427522e-20 : x;
    double one = big ? 0.0 : 1.0;
    uint64_t u = tl_bits(v + one) + (0x3ff0000000000000ull - TL_SQRT_HALF_BITS);
    uint64_t exponent = u >> 52;
    double k = tl_from_bits(exponent | 0x4330000000000000ull) - (big ? 4503599627370496.0 + 1023.0 - 64.0 : 4503599627370496.0 + 1023.0);
    double scale = tl_from_bits((2046u - exponent) << 52);
    double y = tl_log_parts(k, v * scale + (one * scale - 1.0));
    y = x == -1.0 ? -INFINITY : y;
    y = x < -1.0 ? NAN : y;
    y = x == 0.0 ? x : y;
    return x < INFINITY ? y : x;
}

/* With |x| = y + n ln 2/2, s = 2ⁿ and t = tanh y, e^2|x| is s(1 + t)/(1 − t): one division makes the result, and its polynomial has half the
 * terms of one of eʳ. s − 1 and s + 1 are exact up to 2⁵³, where the result is 1; without n it is t. */
TL_INLINE double tl_tanh(double x) {
    double a = __builtin_fabs(x);
    a = a > 20.0 ? 20.0 : a;
    double n = TL_FMA(a, 2.0 * TL_LOG2E, TL_ROUND) - TL_ROUND;
    double y = TL_FMA(n, -TL_LN2_HALF, a);
    double z = y * y;
    double p = 0.003444773774462325;
    TL_HORNER(p, z, -0.008857303950577112) TL_HORNER(p, z, 0.021869370583952333) TL_HORNER(p, z, -0.05396825278047938)
    TL_HORNER(p, z, 0.13333333332783023) TL_HORNER(p, z, -0.3333333333333248)
    double t = TL_FMA(p * z, y, y);
    double s = tl_power_of_2(n);
    double more = s + 1.0, less = s - 1.0;
    return __builtin_copysign(TL_FMA(t, more, less) / TL_FMA(t, less, more), x);
}

TL_INLINE double tl_sigmoid(double x) {
    double e = tl_exp(-__builtin_fabs(x));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

/* erf x = x + x·P(x²) for |x| < 1. */
TL_INLINE double tl_erf_near(double x) {
    double z = x * x;
    double z2 = z * z;
    double p = -7.609420109250403e-10, q = 1.3617475432051053e-08;
    TL_HORNER(p, z2, -1.6184150092558492e-07) TL_HORNER(q, z2, 1.6444168555625962e-06)
    TL_HORNER(p, z2, -1.4924466868560553e-05) TL_HORNER(q, z2, 0.00012055280548546777)
    TL_HORNER(p, z2, -0.0008548325486339485) TL_HORNER(q, z2, 0.005223977596755809)
    TL_HORNER(p, z2, -0.026866170641960643) TL_HORNER(q, z2, 0.11283791670936955)
    TL_HORNER(p, z2, -0.37612638903183343) TL_HORNER(q, z2, 0.12837916709551256)
    return TL_FMA(TL_FMA(p, z, q), x, x);
}

/* Beyond, 1 − e^G with G = ln erfc in powers of |x| − 1, up to 6, where erf rounds to 1. */
TL_INLINE double tl_erf(double x) {
    double a = __builtin_fabs(x);
    double t = (a > 6.0 ? 6.0 : a) - 1.0;
    double t2 = t * t;
    double even = 1.469537410283128e-12, odd = -3.894835339709549e-11;
    TL_HORNER(even, t2, 4.758826561383662e-10) TL_HORNER(odd, t2, -3.5473331416996265e-09)
    TL_HORNER(even, t2, 1.7805724385579167e-08) TL_HORNER(odd, t2, -6.068733507417366e-08)
    TL_HORNER(even, t2, 1.1635356312196226e-07) TL_HORNER(odd, t2, 1.1263514235355526e-07)
    TL_HORNER(even, t2, -2.0235703356367287e-06) TL_HORNER(odd, t2, 9.576669142577718e-06)
    TL_HORNER(even, t2, -2.713794359374645e-05) TL_HORNER(odd, t2, 2.6267778604193195e-05)
    TL_HORNER(even, t2, 0.00023732589296841856) TL_HORNER(odd, t2, -0.0019779033547911544)
    TL_HORNER(even, t2, 0.01003382549159685) TL_HORNER(odd, t2, -0.04156109805213852)
    TL_HORNER(even, t2, -0.8431072563582122) TL_HORNER(odd, t2, -2.638967514234796)
    TL_HORNER(even, t2, -1.8496055099332482)
    double n, e = tl_exp_parts(TL_FMA(odd, t, even), 0.0, &n) + 1.0;
    double far = __builtin_copysign(TL_FMA(-e, tl_power_of_2(n), 1.0), x);
    return a < 1.0 ? tl_erf_near(x) : far;
}

/* 2^−|x| as e^(high + low). */
TL_INLINE double tl_sigmoid2(double x) {
    double a = __builtin_fabs(x);
    a = a > 1100.0 ? 1100.0 : a;
    double low, high = tl_two_product(a, -0.6931471805599453, &low);
    double e = tl_exp_sum(high, TL_FMA(a, -2.3190468138462996e-17, low));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

TL_INLINE double tl_normal_cdf(double x) { return (1.0 + tl_erf(0.7071067811865476 * x)) / 2.0; }

#define TL_TRIG_LIMIT 1e6

/* π/2 in three parts, of which two have 33 bits, so that their products with n < 2²⁰ are exact (Cody & Waite). r + low is the rest. */
TL_INLINE double tl_sin_shifted(double x, uint64_t quarter) {
    double t = x * 0.63661977236758134 + TL_ROUND;
    double n = t - TL_ROUND;
    double a = x - n * 1.57079632673412561417e+00;
    double b = n * 6.07710050630396597660e-11;
    double r0 = a - b;
    double c0 = (a - r0) - b;
    double w = c0 - n * 2.02226624879595063154e-21;
    double r = r0 + w;
    double low = (r0 - r) + w;
    uint64_t q = tl_bits(t) + quarter;
    double z = r * r;
    double s = 1.589543311671545e-10;
    TL_HORNER(s, z, -2.50507343869194e-08) TL_HORNER(s, z, 2.7557313538503654e-06) TL_HORNER(s, z, -0.00019841269829358512)
    TL_HORNER(s, z, 0.00833333333332184) TL_HORNER(s, z, -0.1666666666666663)
    s = r + TL_FMA(s * z, r, low);
    double c = -1.1365300522875408e-11;
    TL_HORNER(c, z, 2.087584375990273e-09) TL_HORNER(c, z, -2.755731534408781e-07) TL_HORNER(c, z, 2.48015872933927e-05)
    TL_HORNER(c, z, -0.0013888888888881432) TL_HORNER(c, z, 0.04166666666666665)
    /* 1 − z/2 is rounded to `one`; what the rounding lost joins the small terms. */
    double h = 0.5 * z;
    double one = 1.0 - h;
    c = one + (((1.0 - one) - h) + TL_FMA(c * z, z, -r * low));
    /* The choice by mask: SSE2 compares no 64-bit integers. */
    uint64_t cosine = -(q & 1u);
    return tl_from_bits(((tl_bits(s) & ~cosine) | (tl_bits(c) & cosine)) ^ ((q & 2u) << 62));
}

TL_INLINE double tl_sin(double x) { return x == 0.0 ? x : tl_sin_shifted(x, 0); }
TL_INLINE double tl_cos(double x) { return tl_sin_shifted(x, 1); }

TL_INLINE double tl_wide_sin(double x) { return __builtin_fabs(x) <= TL_TRIG_LIMIT ? tl_sin(x) : sin(x); }
TL_INLINE double tl_wide_cos(double x) { return __builtin_fabs(x) <= TL_TRIG_LIMIT ? tl_cos(x) : cos(x); }

/* What a power depends on through c alone, as numbers: c is the same for a whole array, and a choice made of it would keep loops scalar.
 * A whole c is odd where c/2 is not whole; from 2⁵³ on every c is even. 0/0 makes the NaNs. */
#define TL_POW_FUNCTIONS(real, f, word, top)                                                                                     \
    TL_INLINE real tl_pow_edge##f(real c) { return c == 0 ? 0 : INFINITY * c; } /* c·ln ∞ */                                     \
    TL_INLINE real tl_pow_of_negative##f(real c) { real whole = __builtin_floor##f(c) == c; return whole / whole; }              \
    TL_INLINE real tl_pow_of_nan##f(real c) { real zero = c == 0; return zero / zero; }                                          \
    TL_INLINE word tl_pow_sign##f(real c) {                                                                                      \
        return (word)((__builtin_floor##f(c) == c) & (__builtin_floor##f(c / 2) != c / 2)) << top;                               \
    }
TL_POW_FUNCTIONS(float, f, uint32_t, 31)
TL_POW_FUNCTIONS(double, , uint64_t, 63)

/* ln x = the result + *low, to about 2⁻⁶² of it, for 0 < x < ∞. */
TL_INLINE double tl_log_wide(double x, double *log_low) {
    double k;
    double f = tl_split(x, &k) - 1.0;
    /* s + s_low = f/(2 + f) */
    double d = 2.0 + f, d_low = f - (d - 2.0);
    double s = f / d, e;
    double p = tl_two_product(s, d, &e);
    double s_low = (((f - p) - e) - s * d_low) / d;
    /* z + z_low = s², u + u_low = z·(2/3 + …), v + v_low = s·u */
    double z_low, u_low, v_low;
    double z = tl_two_product(s, s, &z_low);
    z_low += 2.0 * s * s_low;
    double tail = tl_log_tail(z);
    double w = TL_TWO_THIRDS + tail;
    double w_low = tail - (w - TL_TWO_THIRDS);
    double u = tl_two_product(z, w, &u_low);
    u_low += z * w_low + z_low * w;
    double v = tl_two_product(s, u, &v_low);
    v_low += s * u_low + s_low * u;
    /* high + low = k ln 2 + 2s + v, largest first */
    double large = k * TL_LN2_HIGH, s2 = 2.0 * s;
    double sum = large + s2;
    double part = sum - large;
    double low = (large - (sum - part)) + (s2 - part);
    double high = sum + v;
    part = high - sum;
    *log_low = low + ((sum - (high - part)) + (v - part) + (2.0 * s_low + v_low + k * TL_LN2_LOW));
    return high;
}

/* x^c = ± e^(c ln|x|), the logarithm and the product carried as sums of two doubles: an error of 2⁻⁶² in ln|x| is 2⁻⁵² in the result. */
TL_INLINE double tl_pow(double x, double c) {
    double a = __builtin_fabs(x), low;
    double high = tl_log_wide(a, &low);
    double y_low, y = tl_two_product(high, c, &y_low);
    y_low += low * c;
    y = a == 0.0 ? -tl_pow_edge(c) : a == INFINITY ? tl_pow_edge(c) : y;
    y_low = __builtin_fabs(y) < 1000.0 ? y_low : 0.0;
    double power = tl_exp_sum(y, y_low);
    power = a == 1.0 ? 1.0 : power;
    power = ((x < 0.0) & (a < INFINITY)) ? power * tl_pow_of_negative(c) : power;
    power = tl_from_bits(tl_bits(power) | (tl_bits(x) & tl_pow_sign(c)));
    return x != x ? tl_pow_of_nan(c) : power;
}

/* In float64 to about 2⁻²⁸, whose errors all but vanish in the final rounding, which also makes infinities and subnormal numbers. */
TL_INLINE float tl_powf(float x, float c) {
    double a = __builtin_fabsf(x);
    uint64_t u = tl_bits(a) + (0x3ff0000000000000ull - TL_SQRT_HALF_BITS);
    double k = tl_from_bits((u >> 52) | 0x4330000000000000ull) - (4503599627370496.0 + 1023.0);
    double f = tl_from_bits((u & 0x000fffffffffffffull) + TL_SQRT_HALF_BITS) - 1.0;
    double s = f / (2.0 + f);
    double z = s * s;
    double p = 0.2358243678461617;
    TL_HORNER(p, z, 0.28537294379249256) TL_HORNER(p, z, 0.40000335398869286) TL_HORNER(p, z, 0.6666666564460998) TL_HORNER(p, z, 2.0)
    double y = TL_FMA(k, 0.6931471805599453, p * s) * (double)c;
    y = a == 0.0 ? -tl_pow_edge((double)c) : a == INFINITY ? tl_pow_edge((double)c) : y;
    y = a == 1.0 ? 0.0 : y;
    y = y > 150.0 ? 150.0 : y;
    y = y < -150.0 ? -150.0 : y;
    double n = TL_FMA(y, TL_LOG2E, TL_ROUND) - TL_ROUND;
    double r = TL_FMA(n, -0.6931471805599453, y);
    double q = 0.0013809589897196466;
    TL_HORNER(q, r, 0.008368506371607406) TL_HORNER(q, r, 0.041668425498889515) TL_HORNER(q, r, 0.16666522605608783)
    TL_HORNER(q, r, 0.4999999341384836) TL_HORNER(q, r, 1.0) TL_HORNER(q, r, 1.0)
    float power = (float)(q * tl_power_of_2(n));
    power = ((x < 0.0f) & (x > -INFINITY)) ? power * tl_pow_of_negativef(c) : power;
    power = tl_from_bitsf(tl_bitsf(power) | (tl_bitsf(x) & tl_pow_signf(c)));
    return x != x ? tl_pow_of_nanf(c) : power;
}

/* eˣ where x ≤ 0, as in single precision: the accuracy leaves nothing to gain. */
TL_INLINE double tl_exp_shifted(double x) { return tl_exp(x); }
