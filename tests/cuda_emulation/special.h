/* Functions of CUDA's math library that C's has not. */
#ifndef TLEAN_EMULATED_SPECIAL_H
#define TLEAN_EMULATED_SPECIAL_H
#include <cmath>

inline double erfcx(double x) {
    if (x < 20) return std::exp(x * x) * std::erfc(x);
    double sum = 1, term = 1;
    for (int k = 1; k < 12; k++) sum += term *= -(2 * k - 1) / (2 * x * x);
    return x != x ? x : sum / (x * 1.7724538509055160273);
}

inline double normcdf(double x) { return 0.5 * std::erfc(-0.70710678118654752440 * x); }

/* By bisection: of the upper tail for p above 1/2, whose probability is exact there. */
inline double normcdfinv(double p) {
    if (!(p > 0 && p < 1)) return p == 0 ? -INFINITY : p == 1 ? INFINITY : NAN;
    if (p > 0.5) return -normcdfinv(1 - p);
    double low = -40, high = 0;
    for (int k = 0; k < 100; k++) {
        const double middle = 0.5 * (low + high);
        (normcdf(middle) < p ? low : high) = middle;
    }
    return low;
}

inline double erfinv(double x) {
    if (!(std::fabs(x) < 1)) return std::fabs(x) == 1 ? x * INFINITY : NAN;
    if (std::fabs(x) > 0.5) return std::copysign(0.70710678118654752440 * normcdfinv(0.5 * (1 - std::fabs(x))), x);
    double y = x;
    for (int k = 0; k < 30; k++) y -= (std::erf(y) - x) * 0.88622692545275801365 * std::exp(y * y);
    return y;
}

inline float erfcxf(float x) { return (float)erfcx((double)x); }
inline float normcdff(float x) { return (float)normcdf((double)x); }
inline float normcdfinvf(float x) { return (float)normcdfinv((double)x); }
inline float erfinvf(float x) { return (float)erfinv((double)x); }
#endif
