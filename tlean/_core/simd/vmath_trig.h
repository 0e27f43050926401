/* Trigonometric and hyperbolic functions and their inverses; see vmath.h. Those of float32 are those of float64, rounded. */
#ifndef TLEAN_VMATH_TRIG_H
#define TLEAN_VMATH_TRIG_H
#include "simd/vmath_exact.h"

#define TL_LN2 0.6931471805599453
#define TL_PI_HIGH 3.141592653589793
#define TL_PI_LOW 1.2246467991473532e-16

/* The compiler finds that sine and cosine share their reduction. */
TL_INLINE double tl_tan(double x) {
    double s = tl_sin_shifted(x, 0), c = tl_sin_shifted(x, 1);
    return x == 0.0 ? x : s / c;
}
TL_BY_DOUBLE(tan)
TL_INLINE float tl_wide_tanf(float x) { return __builtin_fabsf(x) <= TL_TRIG_LIMITF ? tl_tanf(x) : tanf(x); }
TL_INLINE double tl_wide_tan(double x) { return __builtin_fabs(x) <= TL_TRIG_LIMIT ? tl_tan(x) : tan(x); }

/* (asin(√z)/√z − 1)/z for z ≤ ¼. */
TL_INLINE double tl_asin_tail(double z) {
    double z2 = z * z;
    double even = 0.028946838174622888, odd = -0.015139158760949073;
    TL_HORNER(even, z2, 0.017592396511458646) TL_HORNER(odd, z2, 0.005383925392172675) TL_HORNER(even, z2, 0.010340817937523393)
    TL_HORNER(odd, z2, 0.011476251139918786) TL_HORNER(even, z2, 0.013971532836224041) TL_HORNER(odd, z2, 0.01735236943010405)
    TL_HORNER(even, z2, 0.022372174037335067) TL_HORNER(odd, z2, 0.030381944107183312) TL_HORNER(even, z2, 0.04464285714684728)
    TL_HORNER(odd, z2, 0.07499999999998086) TL_HORNER(even, z2, 0.16666666666666669)
    return TL_FMA(odd, z, even);
}

/* asin a for 0 ≤ a ≤ ½, and for a above it asin √((1 − a)/2): the result + *low, low the small terms. */
TL_INLINE double tl_asin_parts(double a, double *low) {
    int near = a < 0.5;
    double z = near ? a * a : (1.0 - a) * 0.5;
    double r = near ? a : __builtin_sqrt(z);
    double e, p = tl_two_product(r, r, &e);
    /* What the root was rounded by. */
    double c = ((z - p) - e) / (r + r + 1e-300);
    *low = TL_FMA(r * z, tl_asin_tail(z), near ? 0.0 : c);
    return r;
}

TL_INLINE double tl_asin(double x) {
    double a = __builtin_fabs(x), low, r = tl_asin_parts(a, &low);
    double far = (TL_PI_HIGH * 0.5 - 2.0 * r) - (2.0 * low - TL_PI_LOW * 0.5);
    double y = a < 0.5 ? r + low : far;
    return __builtin_copysign(a <= 1.0 ? y : NAN, x);
}
TL_BY_DOUBLE(asin)

TL_INLINE double tl_acos(double x) {
    double a = __builtin_fabs(x), low, r = tl_asin_parts(a, &low);
    double near_r = __builtin_copysign(r, x), near_low = __builtin_copysign(1.0, x) * low;
    double near = (TL_PI_HIGH * 0.5 - near_r) - (near_low - TL_PI_LOW * 0.5);
    double far = x > 0.0 ? 2.0 * (r + low) : (TL_PI_HIGH - 2.0 * r) - (2.0 * low - TL_PI_LOW);
    double y = a < 0.5 ? near : far;
    return a <= 1.0 ? y : NAN;
}
TL_BY_DOUBLE(acos)

/* (atan(√z)/√z − 1)/z for √z ≤ √2 − 1. */
TL_INLINE double tl_atan_tail(double z) {
    double z2 = z * z;
    double even = -0.019229401541577738, odd = 0.03927795404677541;
    TL_HORNER(even, z2, -0.05087193336967933) TL_HORNER(odd, z2, 0.05858514997872281) TL_HORNER(even, z2, -0.06664558341296753)
    TL_HORNER(odd, z2, 0.07692186959956537) TL_HORNER(even, z2, -0.09090904766444004) TL_HORNER(odd, z2, 0.11111111020849629)
    TL_HORNER(even, z2, -0.1428571428475644) TL_HORNER(odd, z2, 0.19999999999996168) TL_HORNER(even, z2, -0.3333333333333333)
    return TL_FMA(odd, z, even);
}

/* atan(n/d) for 0 ≤ n ≤ d, as π/4 + atan((n − d)/(n + d)) from √2 − 1 on. */
TL_INLINE double tl_atan_ratio(double n, double d) {
    int far = n > 0.41421356237309503 * d;
    double v = (far ? n - d : n) / (far ? n + d : d);
    double z = v * v;
    double tail = TL_FMA(v * z, tl_atan_tail(z), far ? TL_PI_LOW * 0.25 : 0.0);
    return far ? TL_PI_HIGH * 0.25 + (v + tail) : v + tail;
}

TL_INLINE double tl_atan(double x) {
    double a = __builtin_fabs(x);
    int big = a > 1.0;
    double r = tl_atan_ratio(big ? 1.0 : a, big ? a : 1.0);
    r = big ? (TL_PI_HIGH * 0.5 - r) + TL_PI_LOW * 0.5 : r;
    return __builtin_copysign(r, x);
}
TL_BY_DOUBLE(atan)

/* The angle of the point (x, y) = (b, a), as C has it: signed zeros, infinities. */
TL_INLINE double tl_atan2(double a, double b) {
    double y = __builtin_fabs(a), x = __builtin_fabs(b);
    int steep = y > x;
    double n = steep ? x : y, d = steep ? y : x;
    double scale = d > 0x1p1000 ? 0x1p-100 : 1.0;
    int same = (n == INFINITY) & (d == INFINITY);
    n = same ? 1.0 : n * scale;
    d = same ? 1.0 : d == 0.0 ? 1.0 : d * scale;
    double r = tl_atan_ratio(n, d);
    r = steep ? (TL_PI_HIGH * 0.5 - r) + TL_PI_LOW * 0.5 : r;
    r = __builtin_copysign(1.0, b) < 0.0 ? (TL_PI_HIGH - r) + TL_PI_LOW : r;
    r = __builtin_copysign(r, a);
    return ((a != a) | (b != b)) ? a + b : r;
}
TL_BY_DOUBLE_2(atan2)

/* e^a / 2 for a ≥ 0, which overflows later than e^a. */
TL_INLINE double tl_half_exp(double a) {
    a = a > 720.0 ? 720.0 : a;
    double n, e = tl_exp_parts(a, 0.0, &n) + 1.0;
    double half = TL_FMA(n, 0.5, TL_ROUND) - TL_ROUND;
    return e * tl_power_of_2(half) * tl_power_of_2(n - 1.0 - half);
}

/* (sinh(√z)/√z − 1)/z for z ≤ 1. */
TL_INLINE double tl_sinh_tail(double z) {
    double z2 = z * z;
    double even = 7.716098049882867e-13, odd = 1.605865745383455e-10;
    TL_HORNER(even, z2, 2.5052105469443237e-08) TL_HORNER(odd, z2, 2.75573192647714e-06) TL_HORNER(even, z2, 0.00019841269841110005)
    TL_HORNER(odd, z2, 0.008333333333333567) TL_HORNER(even, z2, 0.16666666666666666)
    return TL_FMA(odd, z, even);
}

TL_INLINE double tl_sinh(double x) {
    double a = __builtin_fabs(x), e = tl_half_exp(a), z = a * a;
    double y = a < 1.0 ? TL_FMA(a * z, tl_sinh_tail(z), a) : e - 0.25 / e;
    return __builtin_copysign(y, x);
}
TL_BY_DOUBLE(sinh)

TL_INLINE double tl_cosh(double x) {
    double e = tl_half_exp(__builtin_fabs(x));
    return e + 0.25 / e;
}
TL_BY_DOUBLE(cosh)

/* ln(a + √(a² + 1)) = log1p(a + a²/(1 + √(a² + 1))); ln 2a where the 1 is lost. */
TL_INLINE double tl_asinh(double x) {
    double a = __builtin_fabs(x), z = a * a;
    int big = a > 1e100;
    double y = tl_log1p(big ? a : a + z / (1.0 + __builtin_sqrt(1.0 + z)));
    return __builtin_copysign(big ? y + TL_LN2 : y, x);
}
TL_BY_DOUBLE(asinh)

TL_INLINE double tl_acosh(double x) {
    double t = x - 1.0;
    int big = x > 1e100;
    double y = tl_log1p(big ? x : t + __builtin_sqrt(t * (2.0 + t)));
    y = big ? y + TL_LN2 : y;
    return x < 1.0 ? NAN : y;
}
TL_BY_DOUBLE(acosh)

TL_INLINE double tl_atanh(double x) {
    double a = __builtin_fabs(x);
    return __builtin_copysign(0.5 * tl_log1p(2.0 * a / (1.0 - a)), x);
}
TL_BY_DOUBLE(atanh)
#endif
