/* Special functions in 64 and 113 bits, for tools/kernels/special.py: what the kernels' results are compared with.

   `reference(name, x, found, n, error)` writes for each of n arguments how far what was found lies from the exact value. */
#include <math.h>
#include <quadmath.h>
#include <string.h>

typedef long double ld;
typedef __float128 quad;

static const ld ROOT_HALF = 0.707106781186547524400844362104849039L, TWO_OVER_ROOT_PI = 1.12837916709551257389615890312154517L;
static const ld ROOT_HALF_REST = (ld)(0.707106781186547524400844362104849039Q - 0.707106781186547524400844362104849039L);
static const ld ROOT_TWO_PI = 2.50662827463100050241576528481104525L;

/* The lower tail of the normal distribution; the rounding of x/√2 is made good to first order. */
static ld lower_tail(ld x) {
    const ld a = -x * ROOT_HALF, low = fmal(-x, ROOT_HALF, -a) - x * ROOT_HALF_REST;
    return (erfcl(a) - TWO_OVER_ROOT_PI * expl(-a * a) * low) / 2;
}

static ld log_of_lower_tail(ld x) {
    if (x > 0) return log1pl(-lower_tail(-x));
    if (x > -100) return logl(lower_tail(x));
    const ld z = 1 / (x * x);
    const ld series = z * (-1 + z * (3 + z * (-15 + z * (105 + z * (-945 + z * 10395)))));
    return -x * x / 2 - logl(-x * ROOT_TWO_PI) + log1pl(series);
}

static ld erfcx(ld x) {
    const ld square = x * x;
    return expl(square) * (1 + fmal(x, x, -square)) * erfcl(x);
}

/* Inverses: one step of Newton's method from what was found, in the tail that loses no digit. */
static ld erf_inverse(ld x, ld y) {
    if (fabsl(x) < 0.5L) return y - (erfl(y) - x) / (TWO_OVER_ROOT_PI * expl(-y * y));
    const ld s = copysignl(1, x), t = s * y;
    return s * (t + (erfcl(t) - (1 - s * x)) / (TWO_OVER_ROOT_PI * expl(-t * t)));
}

static ld quantile(ld p, ld y) {
    if (fabsl(p - 0.5L) < 0.25L) {
        /* Near ½ from the middle. */
        const ld a = y * ROOT_HALF, low = fmal(y, ROOT_HALF, -a) + y * ROOT_HALF_REST;
        return y - ((erfl(a) + TWO_OVER_ROOT_PI * expl(-a * a) * low) / 2 - (p - 0.5L)) / (expl(-y * y / 2) / ROOT_TWO_PI);
    }
    if (p > 0.5L) return -quantile(1 - p, -y);
    return y - (lower_tail(y) - p) / (expl(-y * y / 2) / ROOT_TWO_PI);
}

/* Near its zero only 113 bits leave any. */
static ld digamma(double at) {
    static const quad numerator[] = {1, -1, 1, -1, 1, -691, 1, -3617, 43867, -174611}, denominator[] = {12, 120, 252, 240, 132, 32760, 12, 8160,
                                                                                                      14364, 6600};
    quad x = at, y = 0, series = 0;
    for (; x < 40; x += 1) y -= 1 / x;
    const quad z = 1 / (x * x);
    for (int k = 9; k >= 0; k--) series = (series + numerator[k] / denominator[k]) * z;
    return y + logq(x) - 1 / (2 * x) - series;
}

static ld log_gamma(ld x) {
    int sign;
    return lgammal_r(x, &sign);
}

#define ONE(f) if (!strcmp(name, #f)) { for (long i = 0; i < n; i++) error[i] = (double)((ld)found[i] - f##l((ld)x[i])); return 1; }
#define OTHER(text, value) if (!strcmp(name, text)) { for (long i = 0; i < n; i++) error[i] = (double)((ld)found[i] - (value)); return 1; }

int reference(const char *name, const double *x, const double *found, long n, double *error) {
    ONE(cbrt) ONE(exp2) ONE(log2) ONE(log10) ONE(tan) ONE(asin) ONE(acos) ONE(atan) ONE(sinh) ONE(cosh) ONE(tanh) ONE(asinh) ONE(acosh) ONE(atanh)
    ONE(erfc)
    OTHER("erfcx", erfcx(x[i])) OTHER("erfinv", erf_inverse(x[i], found[i])) OTHER("ndtr", lower_tail(x[i]))
    OTHER("log_ndtr", log_of_lower_tail(x[i])) OTHER("ndtri", quantile(x[i], found[i])) OTHER("digamma", digamma(x[i]))
    OTHER("lgamma", log_gamma(x[i]))
    return 0;
}
