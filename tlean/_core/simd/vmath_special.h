/* Special functions: the tails of the normal distribution and their inverses, and those of the logarithm of Γ; see vmath.h. Those of float32 are
 * those of float64, rounded. */
#ifndef TLEAN_VMATH_SPECIAL_H
#define TLEAN_VMATH_SPECIAL_H
#include "simd/vmath_trig.h"

/* (1 + 2a)·e^(a²)·erfc a in powers of z = (a − 4)/(a + 4), for a ≥ 0 (Shepherd & Laframboise 1981). */
TL_INLINE double tl_erfcx_scaled(double z) {
    double z2 = z * z;
    double even = -2.3578818942733963e-10, odd = 9.31174497824138e-10;
    TL_HORNER(even, z2, 2.98101456908489e-09) TL_HORNER(odd, z2, -1.2346866043828373e-08) TL_HORNER(even, z2, -2.0042071813881823e-08)
    TL_HORNER(odd, z2, 1.063385561859604e-07) TL_HORNER(even, z2, 7.664491767183744e-08) TL_HORNER(odd, z2, -8.210939042560724e-07)
    TL_HORNER(even, z2, 2.9281307970889536e-07) TL_HORNER(odd, z2, 5.7066044148957465e-06) TL_HORNER(even, z2, -1.1221858036854046e-05)
    TL_HORNER(odd, z2, -2.4397746422436423e-05) TL_HORNER(even, z2, 0.00015062175298421419) TL_HORNER(odd, z2, -0.00019925714661091188)
    TL_HORNER(even, z2, -0.0007577733427691319) TL_HORNER(odd, z2, 0.005031970067657489) TL_HORNER(even, z2, -0.01619773404334051)
    TL_HORNER(odd, z2, 0.03716751552655567) TL_HORNER(even, z2, -0.06633036581424433) TL_HORNER(odd, z2, 0.0937328349990944)
    TL_HORNER(even, z2, -0.10103906603615655) TL_HORNER(odd, z2, 0.06809705425466908) TL_HORNER(even, z2, 0.015379652102614928)
    TL_HORNER(odd, z2, -0.1396211168405623) TL_HORNER(even, z2, 1.2329951186255526)
    return TL_FMA(odd, z, even);
}

/* e^(b²)·erfc b = the result + *low for b ≥ 0, where b = a/k with four = 4k (+ four_low) and 2b = two·a: the argument is not rounded by a
 * product, nor the result by its division. */
TL_INLINE double tl_erfcx_of(double a, double four, double four_low, double two, double *low) {
    double b = a > 1e18 ? 1e18 : a;
    double z = ((b - four) - four_low) / (b + four), scaled = tl_erfcx_scaled(z);
    double e, p = tl_two_product(two, b, &e);
    double d = p + 1.0, d_low = p > 1.0 ? (1.0 - (d - p)) + e : (p - (d - 1.0)) + e;
    double inverse = 1.0 / d, y = scaled * inverse;
    p = tl_two_product(y, d, &e);
    *low = a > 1e18 ? 0.0 : (((scaled - p) - e) - y * d_low) * inverse;
    return a > 1e18 ? scaled * (1.0 / two) / a : y;
}

/* (t + t_low)·e^(c·a²) for a power of two c, |a| ≤ 60; t joins where the last rounding of the exponential would be. */
TL_INLINE double tl_times_exp_square(double t, double t_low, double a, double c) {
    double low, high = c * tl_two_product(a, a, &low);
    high = high > 710.0 ? 710.0 : high;
    high = high < -746.0 ? -746.0 : high;
    double n = TL_FMA(high, TL_LOG2E, TL_ROUND) - TL_ROUND;
    double r = TL_FMA(n, -TL_LN2_HIGH, high) + TL_FMA(n, -TL_LN2_LOW, c * low);
    double p = TL_FMA(tl_exp_tail(r), r * r, r);
    double y = t + TL_FMA(t, p, TL_FMA(t_low, p, t_low));
    double half = TL_FMA(n, 0.5, TL_ROUND) - TL_ROUND;
    return y * tl_power_of_2(half) * tl_power_of_2(n - half);
}

/* Below 0.7, erfc is 1 − erf, which is more exact there. */
TL_INLINE double tl_erfc(double x) {
    double a = __builtin_fabs(x);
    a = a > 40.0 ? 40.0 : a;
    double low, t = tl_erfcx_of(a, 4.0, 0.0, 2.0, &low);
    double y = tl_times_exp_square(t, low, a, -1.0);
    y = a < 0.7 ? 1.0 - tl_erf_near(x) : x < 0.0 ? 2.0 - y : y;
    return y;
}
TL_BY_DOUBLE(erfc)

TL_INLINE double tl_erfcx(double x) {
    double a = __builtin_fabs(x), low, y = tl_erfcx_of(a, 4.0, 0.0, 2.0, &low);
    int near = a < 0.7;
    double power = tl_times_exp_square(near ? 1.0 - tl_erf_near(x) : 2.0, 0.0, a > 40.0 ? 40.0 : a, 1.0);
    return near ? power : x < 0.0 ? power - y : y + low;
}
TL_BY_DOUBLE(erfcx)

#define TL_SQRT_HALF 0.7071067811865476

/* e^(a²/2)·(1 − Φ(a)) for a ≥ 0: erfcx(a/√2)/2. */
TL_INLINE double tl_normal_tail(double a, double *low) {
    double y = tl_erfcx_of(a, 5.656854249492381, -3.8669173253811654e-16, 1.4142135623730951, low);
    *low *= 0.5;
    return 0.5 * y;
}

/* The normal distribution function, exact to the last places far into the lower tail, where that of gelu (`normal_cdf`) is not. */
TL_INLINE double tl_ndtr(double x) {
    double a = __builtin_fabs(x);
    a = a > 60.0 ? 60.0 : a;
    double low, t = tl_normal_tail(a, &low);
    double y = tl_times_exp_square(t, low, a, -0.5);
    double near = TL_FMA(0.5, tl_erf_near(TL_SQRT_HALF * x), 0.5);
    return a < 0.7 ? near : x > 0.0 ? 1.0 - y : y;
}
TL_BY_DOUBLE(ndtr)

/* Its logarithm: for x > 0 log1p of minus the upper tail, below −0.7 ln(e^(a²/2)·Φ(−a)) − a²/2, and ln Φ(x) between. */
TL_INLINE double tl_log_ndtr(double x) {
    double a = __builtin_fabs(x), low, scaled = tl_normal_tail(a, &low);
    double upper = tl_times_exp_square(scaled, low, a > 60.0 ? 60.0 : a, -0.5);
    scaled = scaled < 1e-12 ? 1e-12 : scaled;
    double half = 0.5 * tl_erf_near(TL_SQRT_HALF * a);
    int near = a < 0.7;
    double y = tl_log1p(x > 0.0 ? (near ? half - 0.5 : -upper) : (near ? 0.5 - half : scaled) - 1.0);
    double high = tl_two_product(a, a, &low);
    low = a < 1e150 ? low : 0.0;
    return (near | (x > 0.0)) ? y : (y - 0.5 * low) - 0.5 * high;
}
TL_BY_DOUBLE(log_ndtr)

/* x ≥ 0 with Φ(x) = ½ + q, where p = ½ − q. For q ≤ 0.425 it is √(2π)·q + q³·R; else √2·r − S with r = √(−ln p), where S is one rational
 * function for r ≤ 5 and one of √r beyond: what is left to them is a small part of the result. */
TL_INLINE double tl_normal_quantile(double q, double p) {
    double square = q * q, v = 0.180625 - square;
    double n0 = 625.0653257463349;
    TL_HORNER(n0, v, 68589.41719068626) TL_HORNER(n0, v, 241554.11234600915) TL_HORNER(n0, v, 262872.9905346302)
    TL_HORNER(n0, v, 124185.54730959915) TL_HORNER(n0, v, 29112.39975270957) TL_HORNER(n0, v, 3525.5321280702633)
    TL_HORNER(n0, v, 210.31989537018472) TL_HORNER(n0, v, 4.874765941399952)
    double d0 = 35509.46431808936;
    TL_HORNER(d0, v, 171982.980981096) TL_HORNER(d0, v, 253716.09965853815) TL_HORNER(d0, v, 164325.09657993077)
    TL_HORNER(d0, v, 54319.38891329772) TL_HORNER(d0, v, 9787.108554703833) TL_HORNER(d0, v, 967.9298360519299)
    TL_HORNER(d0, v, 49.1689319228536) TL_HORNER(d0, v, 1.0)
    double log = -tl_log(p), r = __builtin_sqrt(log);
    double e, rr = tl_two_product(r, r, &e);
    /* What the root was rounded by. */
    double r_low = 0.5 * ((log - rr) - e) / r;
    double s = (r - 1.6) + r_low;
    double n1 = 4.541105943638239e-09;
    TL_HORNER(n1, s, 6.197298932982529e-06) TL_HORNER(n1, s, 0.0004101574304002983) TL_HORNER(n1, s, 0.008413001928528408)
    TL_HORNER(n1, s, 0.07785172616341564) TL_HORNER(n1, s, 0.38406490355078066) TL_HORNER(n1, s, 1.0531786066578366)
    TL_HORNER(n1, s, 1.4918206100815339) TL_HORNER(n1, s, 0.8393045890472685)
    double d1 = 1.3151471932572758e-06;
    TL_HORNER(d1, s, 0.00011744165350629548) TL_HORNER(d1, s, 0.003087328591942763) TL_HORNER(d1, s, 0.03639516602574722)
    TL_HORNER(d1, s, 0.23171878630793807) TL_HORNER(d1, s, 0.8599893218289849) TL_HORNER(d1, s, 1.8521470520952383)
    TL_HORNER(d1, s, 2.127184529105131) TL_HORNER(d1, s, 1.0)
    double t = __builtin_sqrt(r) - 2.23606797749979;
    double n2 = -6.025578160568064e-09;
    TL_HORNER(n2, t, 1.079177693638903e-06) TL_HORNER(n2, t, 0.0004163134636797113) TL_HORNER(n2, t, 0.012072201659173654)
    TL_HORNER(n2, t, 0.11484464258409073) TL_HORNER(n2, t, 0.48475688325793015) TL_HORNER(n2, t, 1.0246505068704908)
    TL_HORNER(n2, t, 1.0772926066712334) TL_HORNER(n2, t, 0.4131631683643718)
    double d2 = 5.6707660481592844e-05;
    TL_HORNER(d2, t, 0.002555919854677316) TL_HORNER(d2, t, 0.03895852461032039) TL_HORNER(d2, t, 0.28722821999230613)
    TL_HORNER(d2, t, 1.1835085594649322) TL_HORNER(d2, t, 2.8847047994585147) TL_HORNER(d2, t, 4.140513574266807)
    TL_HORNER(d2, t, 3.2129907839527507) TL_HORNER(d2, t, 1.0)
    int central = q <= 0.425, near = r < 5.0;
    double n = central ? n0 : near ? n1 : n2, d = central ? d0 : near ? d1 : d2;
    double ratio = n / d;
    double low, high = tl_two_product(r, 1.4142135623730951, &low);
    double inner = TL_FMA(q, 2.5066282746310007, q * TL_FMA(square, ratio, -1.8328579980459167e-16));
    double outer = high - (ratio - (low + TL_FMA(r_low, 1.4142135623730951, r * -9.667293313452913e-17)));
    return central ? inner : p == 0.0 ? INFINITY : outer;
}

TL_INLINE double tl_ndtri(double p) {
    double q = p - 0.5;
    return __builtin_copysign(tl_normal_quantile(__builtin_fabs(q), q < 0.0 ? p : 1.0 - p), q);
}
TL_BY_DOUBLE(ndtri)

TL_INLINE double tl_erfinv(double x) {
    double a = __builtin_fabs(x);
    return __builtin_copysign(TL_SQRT_HALF * tl_normal_quantile(0.5 * a, 0.5 * (1.0 - a)), x);
}
TL_BY_DOUBLE(erfinv)

/* ln Γ(2 + z)/z for −0.65 ≤ z ≤ ½. */
TL_INLINE double tl_lgamma_tail(double z) {
    double z2 = z * z;
    double even = -8.212726640159812e-08, odd = 1.5595632048695397e-07;
    TL_HORNER(even, z2, -4.911867787640577e-07) TL_HORNER(odd, z2, 9.77293783180198e-08) TL_HORNER(even, z2, -2.015098186822919e-06)
    TL_HORNER(odd, z2, 1.0083241832820936e-06) TL_HORNER(even, z2, -9.446396616615527e-06) TL_HORNER(odd, z2, 4.3612046647297196e-06)
    TL_HORNER(even, z2, -4.492510946963876e-05) TL_HORNER(odd, z2, 2.050930526541424e-05) TL_HORNER(even, z2, -0.0002231548660547173)
    TL_HORNER(odd, z2, 9.945731852306047e-05) TL_HORNER(even, z2, -0.0011927539058910392) TL_HORNER(odd, z2, 0.0005096695353916577)
    TL_HORNER(even, z2, -0.0073855510288349645) TL_HORNER(odd, z2, 0.002890510330423191) TL_HORNER(even, z2, -0.06735230105319626)
    TL_HORNER(odd, z2, 0.02058080842778885) TL_HORNER(even, z2, 0.42278433509846713) TL_HORNER(odd, z2, 0.3224670334241132)
    return TL_FMA(odd, z, even);
}
/* x(ln Γ(x) − (x − ½) ln x + x − ½ ln 2π) in powers of z = x⁻², for x ≥ 3.5. */
TL_INLINE double tl_stirling_tail(double z) {
    double z2 = z * z;
    double even = 0.026085214379740183, odd = -0.015641294676826317;
    TL_HORNER(even, z2, 0.00552799368567608) TL_HORNER(odd, z2, -0.0018809962860676986) TL_HORNER(even, z2, 0.000840811461742025)
    TL_HORNER(odd, z2, -0.0005952241043585678) TL_HORNER(even, z2, 0.0007936506872992227) TL_HORNER(odd, z2, -0.002777777777462325)
    TL_HORNER(even, z2, 0.08333333333333318)
    return TL_FMA(odd, z, even);
}

/* ln Γ(x) for x > 0: c·ln v + z·P(z), with z the distance from 0, 1, 2 or 3 and the logarithm of the recurrence; Stirling's series
 * from 3.5 on. The logarithm and its product are sums of two, since the rest takes most of them away. */
TL_INLINE double tl_lgamma(double x) {
    double z = x < 0.5 ? x : x < 1.35 ? x - 1.0 : x < 2.5 ? x - 2.0 : x - 3.0;
    double v = x < 0.5 ? x * (1.0 + x) : x < 1.35 ? x : x < 2.5 ? 1.0 : x < 3.5 ? x - 1.0 : x;
    double c = x < 1.35 ? -1.0 : x < 2.5 ? 0.0 : x < 3.5 ? 1.0 : x - 0.5;
    double inverse = 1.0 / x;
    double log_low, log_high = tl_log_wide(v, &log_low);
    double low, high = tl_two_product(log_high, c, &low);
    double far = (0.9189385332046728 + tl_stirling_tail(inverse * inverse) * inverse) - x;
    double y = high + (x < 3.5 ? z * tl_lgamma_tail(z) : far) + TL_FMA(log_low, c, low);
    return x < 1e300 ? y : x * (log_high - 1.0);
}
TL_BY_DOUBLE(lgamma)

/* ψ(1.5 + z)/(1.5 + z − x₀) for −½ ≤ z ≤ ¾, x₀ the zero of ψ. */
TL_INLINE double tl_digamma_tail(double z) {
    double z2 = z * z;
    double even = 1.5315742197506875e-05, odd = -6.290505267880348e-05;
    TL_HORNER(even, z2, 8.9825615033268e-05) TL_HORNER(odd, z2, -3.5545841915885e-05) TL_HORNER(even, z2, -1.3278928060670523e-05)
    TL_HORNER(odd, z2, -5.364896376853761e-05) TL_HORNER(even, z2, 0.0001699006941125063) TL_HORNER(odd, z2, -0.0002377585487189847)
    TL_HORNER(even, z2, 0.0003037057695410661) TL_HORNER(odd, z2, -0.0004502479021278574) TL_HORNER(even, z2, 0.0006933894559212105)
    TL_HORNER(odd, z2, -0.0010447620052215435) TL_HORNER(even, z2, 0.0015634847780539357) TL_HORNER(odd, z2, -0.0023442587434555555)
    TL_HORNER(even, z2, 0.0035180212029467255) TL_HORNER(odd, z2, -0.0052800563778283025) TL_HORNER(even, z2, 0.007927035027012913)
    TL_HORNER(odd, z2, -0.011908212808826861) TL_HORNER(even, z2, 0.017907247244028545) TL_HORNER(odd, z2, -0.026975796930009167)
    TL_HORNER(even, z2, 0.04076083398996062) TL_HORNER(odd, z2, -0.06192213326999764) TL_HORNER(even, z2, 0.09498872445168784)
    TL_HORNER(odd, z2, -0.14840492305393158) TL_HORNER(even, z2, 0.24054248424080032) TL_HORNER(odd, z2, -0.42362742128146047)
    TL_HORNER(even, z2, 0.9510558760318328)
    return TL_FMA(odd, z, even);
}
/* x²(ln x − 1/(2x) − ψ(x)) in powers of z = x⁻², for x ≥ 3. */
TL_INLINE double tl_digamma_far(double z) {
    double z2 = z * z;
    double even = 17.625745418655548, odd = -21.88865292670199;
    TL_HORNER(even, z2, 1.760496879861015) TL_HORNER(odd, z2, -6.803336681981664) TL_HORNER(even, z2, 0.08072340561650271)
    TL_HORNER(odd, z2, -0.3756734887458641) TL_HORNER(even, z2, 0.007574509120352297) TL_HORNER(odd, z2, -0.021022390584162966)
    TL_HORNER(even, z2, 0.0039682538932055) TL_HORNER(odd, z2, -0.004166653299634032) TL_HORNER(even, z2, 0.08333333333333327)
    TL_HORNER(odd, z2, -0.008333333333166985)
    return TL_FMA(odd, z, even);
}

/* ψ(x) for x > 0, moved to between 1 and 2 by its recurrence, where it is (x − x₀)P; from 3 on by its asymptotic series. */
TL_INLINE double tl_digamma(double x) {
    double near = x < 1.0 ? x + 1.0 : x < 2.25 ? x : x - 1.0;
    double step = x < 1.0 ? -1.0 / x : x < 2.25 ? 0.0 : 1.0 / near;
    double y = ((near - 1.4616321449683622) - 9.549995429965697e-17) * tl_digamma_tail(near - 1.5) + step;
    double inverse = 1.0 / x, z = inverse * inverse;
    double far = tl_log(x) - TL_FMA(z, tl_digamma_far(z), 0.5 * inverse);
    return x < 3.0 ? y : far;
}
TL_BY_DOUBLE(digamma)

/* What no vector loop has: lgamma and digamma at 0 and below, and polygamma. In the widest type that there is, since near a zero between two
 * poles the reflected terms all but cancel. */
static double tl_lgamma_reflected(double x) {
    if (x >= -1e300 && x != __builtin_floor(x)) {
#if defined(__GLIBC__)
        int sign;
        return (double)lgammal_r((long double)x, &sign);
#else
        return lgamma(x);
#endif
    }
    return x != x ? x : INFINITY;
}

#define TL_PI_WIDE 3.14159265358979323846264338327950288L

static double tl_digamma_reflected(double x) {
    /* B₂ₖ/2k, the coefficients of the asymptotic series. */
    static const long double series[] = {1 / 12.0L, -1 / 120.0L, 1 / 252.0L, -1 / 240.0L, 1 / 132.0L, -691 / 32760.0L, 1 / 12.0L};
    long double y = 1.0L - (long double)x, sum = 0, power = 1;
    if (x == 0.0) return -INFINITY * __builtin_copysign(1.0, x);
    if (!(x > -4503599627370496.0) || x == __builtin_floor(x)) return NAN;
    for (; y < 20; y += 1) sum -= 1 / y;
    for (int k = 0; k < 7; k++) sum -= series[k] * (power /= y * y);
    sum += logl(y) - 0.5L / y;
    return (double)(sum - TL_PI_WIDE / tanl(TL_PI_WIDE * ((long double)x - roundl((long double)x))));
}

TL_INLINE double tl_wide_lgamma(double x) { return x > 0.0 ? tl_lgamma(x) : tl_lgamma_reflected(x); }
TL_INLINE double tl_wide_digamma(double x) { return x > 0.0 ? tl_digamma(x) : tl_digamma_reflected(x); }
TL_BY_DOUBLE(wide_lgamma)
TL_BY_DOUBLE(wide_digamma)

/* Σ (q + k)^−s for q > 0 and whole s > 1, by the Euler-Maclaurin formula. */
static double tl_hurwitz(double s, double q) {
    /* B₂ₖ/(2k)! */
    static const double series[] = {1 / 12.0, -1 / 720.0, 1 / 30240.0, -1 / 1209600.0, 1 / 47900160.0, -691 / 1307674368000.0,
                                    1 / 74724249600.0, -3617 / 10670622842880000.0};
    double sum = 0;
    for (; q < 10 + s; q += 1) {
        double term = pow(q, -s);
        sum += term;
        if (term < 1e-18 * sum) return sum;
    }
    double power = pow(q, -s), factor = s / q;
    sum += power * q / (s - 1) + 0.5 * power;
    for (int k = 0; k < 8; k++) {
        sum += series[k] * power * factor;
        factor *= (s + 2 * k + 1) * (s + 2 * k + 2) / (q * q);
    }
    return sum;
}

enum { TL_POLYGAMMA_MOST = 60 };

/* (−1)ⁿ·dⁿ/dxⁿ π cot(πx) for x that is not whole: a polynomial of the cotangent, whose derivative is −π(1 + cot²). */
static double tl_cotangent_derivative(double x, int n) {
    double c[TL_POLYGAMMA_MOST + 2] = {0, 1}, cotangent = 1 / tan(3.141592653589793 * (x - round(x))), sum = 0, scale = 3.141592653589793;
    for (int k = 0; k < n; k++) {
        double next[TL_POLYGAMMA_MOST + 2] = {0};
        for (int j = 1; j <= k + 1; j++) {
            next[j - 1] += j * c[j];
            next[j + 1] += j * c[j];
        }
        memcpy(c, next, sizeof c);
        scale *= 3.141592653589793;
    }
    for (int j = n + 1; j >= 0; j--) sum = sum * cotangent + c[j];
    return scale * sum;
}

/* The derivative of order n ≥ 1 of ψ. At the poles, 0 and whole numbers below it, +∞ for odd n and NaN for even n, whose two sides differ. */
static double tl_polygamma(double x, double n) {
    double factorial = 1, sign = __builtin_floor(n / 2) * 2 == n ? -1 : 1;
    if (x <= 0 && x == __builtin_floor(x)) return sign > 0 ? INFINITY : NAN;
    if (x < 0 && n > TL_POLYGAMMA_MOST) return NAN;
    for (double k = 2; k <= n; k++) factorial *= k;
    if (!(x < 0)) return x != x ? x : x == INFINITY ? 0 : sign * factorial * tl_hurwitz(n + 1, x);
    /* ψ⁽ⁿ⁾(x) = (−1)ⁿψ⁽ⁿ⁾(1 − x) − dⁿ/dxⁿ π cot(πx). */
    return sign * tl_cotangent_derivative(x, (int)n) - factorial * tl_hurwitz(n + 1, 1 - x);
}
static float tl_polygammaf(float x, float n) { return (float)tl_polygamma((double)x, (double)n); }

/* ln B(a, b) for a, b > 0, M the larger and m the smaller one. Where Stirling's series holds for M its large terms are taken apart by hand:
 * ln Γ(M) − ln Γ(M + m) = m − (M − ½)·ln(1 + m/M) − m·ln(M + m) + …; and once more where it holds for m. */
TL_INLINE double tl_stirling_over(double x) { return tl_stirling_tail(1.0 / (x * x)) / x; }

TL_INLINE double tl_betaln(double a, double b) {
    double M = a > b ? a : b, m = a > b ? b : a, s = M + m;
    double log1 = (M - 0.5) * tl_log1p(m / M), logs = tl_log(s), gamma = tl_lgamma(m);
    double rest = tl_stirling_over(M) - tl_stirling_over(s);
    double near = tl_lgamma(M) + gamma - tl_lgamma(s);
    double mid = gamma + ((m - log1) - m * logs) + rest;
    double far = ((m - 0.5) * tl_log(m / s) - log1) - 0.5 * logs + (0.9189385332046728 + tl_stirling_over(m) + rest);
    double y = M < 3.5 ? near : m < 3.5 ? mid : far;
    return M < INFINITY ? y : m == m ? -M : m;
}

TL_INLINE double tl_wide_betaln(double a, double b) {
    return ((a > 0.0) & (b > 0.0)) ? tl_betaln(a, b) : tl_wide_lgamma(a) + tl_wide_lgamma(b) - tl_wide_lgamma(a + b);
}
TL_BY_DOUBLE_2(betaln)
TL_BY_DOUBLE_2(wide_betaln)
#endif
