/* Both tails of the gamma and beta distributions in 113 bits, by the series and the continued fractions of the textbooks: the reference of
 * `incomplete.py`. */
#include <quadmath.h>
typedef __float128 quad;
#define EPS 1e-33Q
enum { MOST = 1000000 };

/* P(a, x) by its series of positive terms, or Q(a, x) by Lentz's method. */
static void gamma_tails(quad a, quad x, quad *lower, quad *upper) {
    quad factor = expq(a * logq(x) - x - lgammaq(a + 1));
    if (x < a + 1) {
        quad term = 1, sum = 1;
        for (int k = 1; k < MOST && term > EPS * sum; k++) sum += term *= x / (a + k);
        *lower = factor * sum;
        *upper = 1 - *lower;
        return;
    }
    quad b = x + 1 - a, c = 1e4000Q, d = 1 / b, h = d;
    for (int k = 1; k < MOST; k++) {
        quad n = k * (a - k);
        b += 2;
        d = 1 / (n * d + b);
        c = b + n / c;
        h *= c * d;
        if (fabsq(c * d - 1) < EPS) break;
    }
    *upper = factor * a * h;
    *lower = 1 - *upper;
}

/* I(a, b, x) for x below the mean. */
static quad beta_fraction(quad a, quad b, quad x, quad y) {
    quad c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / d;
    quad h = d;
    for (int m = 1; m < MOST; m++) {
        quad n = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 / (1 + n * d);
        c = 1 + n / c;
        h *= c * d;
        n = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / (1 + n * d);
        c = 1 + n / c;
        h *= c * d;
        if (fabsq(c * d - 1) < EPS) break;
    }
    return expq(a * logq(x) + b * logq(y) + lgammaq(a + b) - lgammaq(a + 1) - lgammaq(b)) * h;
}

static void beta_tails(quad a, quad b, quad x, quad y, quad *lower, quad *upper) {
    if (x * (a + b + 2) < a + 1) {
        *lower = beta_fraction(a, b, x, y);
        *upper = 1 - *lower;
    } else {
        *upper = beta_fraction(b, a, y, x);
        *lower = 1 - *upper;
    }
}

/* What was found less the exact values, and these: of P, Q, I, 1 − I, and the tails of Student's distribution below and above, by `which`. */
void reference(int which, long n, const double *a, const double *b, const double *x, const double *found, double *error, double *value) {
    for (long i = 0; i < n; i++) {
        quad lower, upper;
        if (which < 2) gamma_tails(a[i], x[i], &lower, &upper);
        else if (which < 4) beta_tails(a[i], b[i], x[i], 1 - (quad)x[i], &lower, &upper);
        else {
            quad v = a[i], z = x[i], p = v + z * z;
            beta_tails(v / 2, 0.5Q, v / p, z * z / p, &lower, &upper);
            lower = z < 0 ? lower / 2 : 1 - lower / 2;
            upper = 1 - lower;
            if (z > 0) beta_tails(v / 2, 0.5Q, v / p, z * z / p, &upper, &lower), upper /= 2;
            if (z > 0) lower = 1 - upper;
        }
        quad exact = which % 2 ? upper : lower;
        error[i] = (double)((quad)found[i] - exact);
        value[i] = (double)exact;
    }
}
