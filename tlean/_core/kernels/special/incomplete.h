/* The incomplete gamma and beta functions and their inverses, one number at a time, in the widest type that there is.
 *
 * A value is a factor like a density's times a series or a continued fraction of terms that do not cancel. The factor is a power whose
 * exponent is written as a sum of numbers of one sign, so its error is that of one exponential: with the 64 bits of x86's long double, less
 * than a unit of float64's last place. Each function gives both tails, and the smaller one is computed by itself.
 * Sources: DiDonato & Morris 1986 and 1992; Temme 1979 for a large parameter.
 */
#ifndef TLEAN_INCOMPLETE_H
#define TLEAN_INCOMPLETE_H
#include <math.h>
#include <stdint.h>
#include "kernel.h"

typedef long double wide;
#define TL_WIDE_TINY 0x1p-66L
#define TL_LOG_ROOT_2PI 0.9189385332046727417803297364056L
enum { TL_MOST_TERMS = 8000000 };

/* Both tails of a distribution. */
typedef struct tl_tails {
    wide lower, upper;
} tl_tails;

/* ln Γ(1 + z) for |z| ≤ ½: −ln(1 + z) + z(1 − γ) + Σ (−z)^k (ζ(k) − 1)/k. */
static wide tl_log_gamma_1p(wide z) {
    static const wide zeta[] = {
        0.6449340668482264364724L, 0.2020569031595942853997L, 0.082323233711138191516L, 0.03692775514336992633137L,
        0.01734306198444913971452L, 0.008349277381922826839798L, 0.004077356197944339378685L, 0.002008392826082214417853L,
        0.000994575127818085337146L, 0.0004941886041194645587023L, 0.000246086553308048298638L, 0.0001227133475784891467518L,
        0.00006124813505870482925855L, 0.00003058823630702049355173L, 0.00001528225940865187173257L, 0.0000076371976378997622736L,
        0.000003817293264999839856462L, 0.000001908212716553938925657L, 9.53962033872796113152e-7L, 4.769329867878064631167e-7L,
        2.384505027277329900036e-7L, 1.192199259653110730678e-7L, 5.960818905125947961244e-8L, 2.980350351465228018606e-8L,
        1.490155482836504123466e-8L, 7.450711789835429491981e-9L, 3.725334024788457054819e-9L, 1.862659723513049006404e-9L,
        9.313274324196681828718e-10L, 4.656629065033784072989e-10L, 2.328311833676505492001e-10L, 1.164155017270051977593e-10L,
        5.820772087902700889244e-11L, 2.910385044497099686929e-11L,
    };
    wide sum = 0;
    for (int k = (int)(sizeof zeta / sizeof zeta[0]) - 1; k >= 0; k--) sum = -z * sum + zeta[k] / (k + 2);
    return z * (0.4227843350984671393934879099176L + z * sum) - log1pl(z);
}

/* ln Γ(1 + z) for 0 ≤ z ≤ 1. */
static wide tl_log_gamma_small(wide z) { return z <= 0.5L ? tl_log_gamma_1p(z) : tl_log_gamma_1p(z - 1) + logl(z); }

/* Γ(a)·e^a·a^(½ − a)/√(2π), which goes to 1, for a ≥ 1. */
static wide tl_gamma_star(wide a) {
    if (a < 24) {
        /* Γ(a) = Γ(1 + z)(1 + z)(2 + z)…a/a. */
        wide z = a - floorl(a + 0.5L), product = 1;
        for (wide n = z + 1; n < a + 0.5L; n += 1) product *= n;
        return product * expl(tl_log_gamma_1p(z) + a - TL_LOG_ROOT_2PI - (a + 0.5L) * logl(a));
    }
    wide z = 1 / (a * a);
    wide tail = 1 / 12.0L - z * (1 / 360.0L - z * (1 / 1260.0L - z * (1 / 1680.0L - z * (1 / 1188.0L - z * (691 / 360360.0L - z / 156)))));
    return expl(tail / a);
}

/* d − ln(1 + d) for d > −1; `whole` is 1 + d with the bits that d lacks near −1. */
static wide tl_log1p_less(wide d, wide whole) {
    if (d > 0.4L || d < -0.3L) return d - logl(whole);
    /* ln(1 + d) = 2 artanh r. */
    wide r = d / (2 + d), z = r * r, sum = 0;
    for (int k = 33; k >= 3; k -= 2) sum = sum * z + 1.0L / k;
    return r * (d - 2 * z * sum);
}

/* x^a e^(−x)/Γ(a) for a, x > 0. */
static wide tl_gamma_factor(wide a, wide x) {
    if (a < 1) return a * expl(a * logl(x) - x - tl_log_gamma_small(a));
    return sqrtl(a) * expl(-a * tl_log1p_less((x - a) / a, x / a) - TL_LOG_ROOT_2PI) / tl_gamma_star(a);
}

/* For a large a: half of erfc, and a series in powers of η and of 1/a, η²/2 = λ − 1 − ln λ with λ = x/a. */
static tl_tails tl_gamma_far(wide a, wide x) {
    static const wide c[4][16] = {
        {-0.3333333333333333333333L, 0.08333333333333333333333L, -0.01481481481481481481481L, 0.001157407407407407407407L,
         0.0003527336860670194003527L, -0.0001787551440329218106996L, 0.00003919263178522437781697L, -0.000002185448510679992161474L,
         -0.000001854062210715159960702L, 8.296711340953086005016e-7L, -1.766595273682607930436e-7L, 6.707853543401498580369e-9L,
         1.026180978424030804257e-8L, -4.382036018453353186553e-9L, 9.147699582236790234182e-10L, -2.551419399494624976688e-11L},
        {-0.001851851851851851851852L, -0.003472222222222222222222L, 0.002645502645502645502646L, -0.0009902263384485596707819L,
         0.0002057613168724279835391L, -4.018775720164609053498e-7L, -0.00001809855033448997783703L, 0.000007649160916081110084637L,
         -0.000001612090089456344600378L, 4.647127802807434342261e-9L, 1.378633446915720959312e-7L, -5.752545603517704964022e-8L},
        {0.004133597883597883597884L, -0.002681327160493827160494L, 0.0007716049382716049382716L, 0.000002009387860082304526749L,
         -0.0001073665322636516052154L, 0.00005292344882912012541642L, -0.00001276063518861872771338L},
        {0.0006494341563786008230453L, 0.0002294720936213991769547L, -0.0004691894943952557121281L, 0.0002677206320628388529623L},
    };
    wide d = (x - a) / a, half = tl_log1p_less(d, x / a), power = a * half, eta = copysignl(sqrtl(2 * half), d), sum = 0;
    tl_tails t;
    for (int k = 3; k >= 0; k--) {
        wide inner = 0;
        for (int j = 15; j >= 0; j--) inner = inner * eta + c[k][j];
        sum = sum / a + inner;
    }
    wide rest = expl(-power - TL_LOG_ROOT_2PI) / sqrtl(a) * sum, root = copysignl(sqrtl(power), d);
    t.lower = 0.5L * erfcl(-root) - rest;
    t.upper = 0.5L * erfcl(root) + rest;
    return t;
}

/* P(a, x) and Q(a, x). */
static tl_tails tl_gamma_tails(wide a, wide x) {
    tl_tails t = {NAN, NAN};
    if (!(a >= 0 && x >= 0) || (a == 0 && x == 0) || (a == INFINITY && x == INFINITY)) return t;
    if (a == 0 || x == INFINITY || a == INFINITY || x == 0) {
        t.lower = a == 0 || x == INFINITY;
        t.upper = 1 - t.lower;
        return t;
    }
    if (a > 1e5L) {
        if (x < 0.5L * a || x > 2 * a) {
            t.lower = x > a;
            t.upper = 1 - t.lower;
            return t;
        }
        return tl_gamma_far(a, x);
    }
    wide factor = tl_gamma_factor(a, x);
    if (x < 1.1L && a < 0.75L) {
        /* Γ(1 + a) P = x^a (1 + a Σ (−x)^k/(k! (a + k))); Q is 1 less that, each part by itself. */
        wide term = 1, sum = 0, power = a * logl(x) - tl_log_gamma_small(a);
        for (int k = 1; k < 60; k++) {
            term *= -x / k;
            sum += term / (a + k);
        }
        t.lower = expl(power) * (1 + a * sum);
        t.upper = -(expm1l(power) + expl(power) * a * sum);
        return t;
    }
    if (x <= a || x < 1.1L) {
        wide term = 1, sum = 1;
        for (int k = 1; k < TL_MOST_TERMS && term > TL_WIDE_TINY * sum; k++) sum += term *= x / (a + k);
        t.lower = factor * sum / a;
        t.upper = 1 - t.lower;
        return t;
    }
    /* The continued fraction of Q, from its first term on (Lentz's method). */
    wide b = x + 1 - a, c = 1e4000L, d = 1 / b, h = d;
    for (int k = 1; k < TL_MOST_TERMS; k++) {
        wide n = k * (a - k);
        b += 2;
        d = n * d + b;
        c = b + n / c;
        d = 1 / (d != 0 ? d : 1e-4000L);
        c = c != 0 ? c : 1e-4000L;
        wide ratio = c * d;
        h *= ratio;
        if (fabsl(ratio - 1) <= 0x1p-62L) break;
    }
    t.upper = factor * h;
    t.lower = 1 - t.upper;
    return t;
}

/* b·x − a·(1 − x), a product and a sum as pairs where x is a float64: what the difference takes away has its bits. */
static wide tl_beta_excess(wide a, wide b, wide x, wide y) {
    double xd = (double)x, ad = (double)a, bd = (double)b;
    if ((wide)xd != x || !(ad + bd < 1e300)) return x * b - y * a;
    double s = ad + bd, v = s - ad, low = (ad - (s - v)) + (bd - v), p = xd * s;
    return ((wide)p - a) + ((wide)__builtin_fma(xd, s, -p) + x * low);
}

/* ln x for x = 1 − y. */
static wide tl_log_share(wide x, wide y) { return x < 0.5L ? logl(x) : log1pl(-y); }

/* x^a y^b/B(a, b) for y = 1 − x; the excess is b·x − a·y. */
static wide tl_beta_factor(wide a, wide b, wide x, wide y, wide excess) {
    wide s = a + b;
    if (a >= 1 && b >= 1) {
        wide exponent = a * tl_log1p_less(excess / a, x * s / a) + b * tl_log1p_less(-excess / b, y * s / b);
        return sqrtl(a / s * b) * expl(-exponent - TL_LOG_ROOT_2PI) * tl_gamma_star(s) / (tl_gamma_star(a) * tl_gamma_star(b));
    }
    /* m is the smaller one: Γ(m) = Γ(1 + m)/m, and Γ(s)/Γ(M) with the powers taken apart. */
    wide m = a < b ? a : b, M = a < b ? b : a, p = a < b ? tl_log_share(x, y) : tl_log_share(y, x);
    wide q = a < b ? tl_log_share(y, x) : tl_log_share(x, y), power = m * p + M * q - tl_log_gamma_small(m);
    if (M < 1) {
        wide sum = s <= 1 ? tl_log_gamma_small(s) - logl(s) : tl_log_gamma_small(s - 1);
        return m * M * expl(power + sum - tl_log_gamma_small(M));
    }
    power = m * (p + logl(s) - 1) + M * (q + log1pl(m / M)) - tl_log_gamma_small(m);
    return m * expl(power) * sqrtl(M / s) * tl_gamma_star(s) / tl_gamma_star(M);
}

/* ln Γ(a + m) − ln Γ(a) for a, m > 0, each part of the order of m: Stirling's series from 24 on. */
static wide tl_log_gamma_step(wide a, wide m) {
    static const wide c[] = {1 / 12.0L, -1 / 360.0L, 1 / 1260.0L, -1 / 1680.0L, 1 / 1188.0L, -691 / 360360.0L, 1 / 156.0L};
    wide less = 0, sum = 0, powers = 1;
    for (; a < 24; a += 1) less += log1pl(m / a);
    /* (a + m)^−k − a^−k is (1/(a + m) − 1/a) times a sum of powers. */
    wide p = 1 / (a + m), q = 1 / a, last = 1;
    for (int k = 0; k < 7; k++) {
        sum += c[k] * powers;
        for (int j = 0; j < 2; j++) powers = powers * p + (last *= q);
    }
    return (a - 0.5L) * log1pl(m / a) + m * (logl(a + m) - 1) - m * p * q * sum - less;
}

/* I(a, b, x) near 1, y being small and a y < 0.7: 1 less y^b (1 + b Σ (1 − a)(2 − a)…(k − a) y^k/(k! (b + k)))/(b B(a, b)), each part by
 * itself. The continued fraction takes a number of terms like 1/√y there. */
static wide tl_beta_near_one(wide a, wide b, wide y) {
    wide term = 1, sum = 0, power = b * logl(y) - tl_log_gamma_small(b) + tl_log_gamma_step(a, b);
    for (int k = 1; k < 60; k++) {
        term *= (k - a) / k * y;
        sum += term / (b + k);
    }
    return -(expm1l(power) + expl(power) * b * sum);
}

/* I(a, b, x) for large a and b and x below the mean by less: half of erfc, and a series in powers of 1/√a and of the distance (DiDonato &
 * Morris 1992, section 10). The continued fraction takes a number of terms like √a there. */
static wide tl_beta_far(wide a, wide b, wide less) {
    enum { MOST = 20 };
    const wide e0 = 1.1283791670955125738961589031215L, e1 = 0.35355339059327376220042218105242L;
    wide small = a < b ? a : b, large = a < b ? b : a, h = small / large;
    wide r0 = 1 / (1 + h), r1 = (b - a) / large, w0 = 1 / sqrtl(small * (1 + h));
    wide f = a * tl_log1p_less(-less / a, 1 - less / a) + b * tl_log1p_less(less / b, 1 + less / b);
    wide t = expl(-f), root = sqrtl(f), power = t * (0.5L * root / e1), next = t * 2 * f, j0 = 0.5L / e0 * erfcl(root), j1 = e1 * t;
    wide c[MOST + 1], d[MOST + 1], g[MOST + 1], k[MOST + 1], sum, squares = 1, total = 1, w = w0;
    g[0] = 2 * r1 / 3;
    c[0] = -0.5L * g[0];
    d[0] = -c[0];
    sum = j0 + d[0] * w0 * j1;
    for (int n = 2; n <= MOST; n += 2) {
        squares *= h * h;
        total += squares;
        g[n - 1] = 2 * r0 * (1 + h * squares) / (n + 2);
        g[n] = 2 * r1 * total / (n + 3);
        for (int i = n; i <= n + 1; i++) {
            wide r = -0.5L * (i + 1), less_of = 0;
            k[0] = r * g[0];
            for (int m = 2; m <= i; m++) {
                wide inner = 0;
                for (int j = 1; j < m; j++) inner += (j * r - (m - j)) * g[j - 1] * k[m - j - 1];
                k[m - 1] = r * g[m - 1] + inner / m;
            }
            c[i - 1] = k[i - 1] / (i + 1);
            for (int j = 1; j < i; j++) less_of += d[i - j - 1] * c[j - 1];
            d[i - 1] = -(less_of + c[i - 1]);
        }
        j0 = e1 * power + (n - 1) * j0;
        j1 = e1 * next + n * j1;
        power *= 2 * f;
        next *= 2 * f;
        w *= w0;
        wide even = d[n - 1] * w * j0;
        w *= w0;
        wide odd = d[n] * w * j1;
        sum += even + odd;
        if (fabsl(even) + fabsl(odd) <= TL_WIDE_TINY * sum) break;
    }
    return e0 * sum * tl_gamma_star(a + b) / (tl_gamma_star(a) * tl_gamma_star(b));
}

/* I(a, b, x) for x up to the mean: a continued fraction, of positive terms where b is large. */
static wide tl_beta_lower(wide a, wide b, wide x, wide y, wide excess) {
    if (y < 1e-3L && a * y < 0.7L && b < 1) return tl_beta_near_one(a, b, y);
    wide less = -excess, small = a < b ? a : b;
    if (small > 1e6L && less <= 0.03L * small) return tl_beta_far(a, b, less);
    wide factor = tl_beta_factor(a, b, x, y, excess);
    if (factor == 0) return 0;
    wide h = a * (less + 1) / (a + 1), c = h, d = 0;
    for (int k = 1; k < TL_MOST_TERMS; k++) {
        wide m = k, n = a + 2 * m - 1;
        wide top = (a + m - 1) / n * ((a + b + m - 1) / n) * m * (b - m) * x * x;
        wide below = m + m * (b - m) * x / n + (a + m) * (less + 1 + m * (1 + y)) / (n + 2);
        d = below + top * d;
        c = below + top / c;
        d = 1 / (d != 0 ? d : 1e-4000L);
        c = c != 0 ? c : 1e-4000L;
        wide ratio = c * d;
        h *= ratio;
        if (fabsl(ratio - 1) <= 0x1p-62L) break;
    }
    return factor / h;
}

/* 1 less a tail, by itself where the tail is most of it: below the mean that takes a small a, and then b x < a. */
static wide tl_beta_rest(wide tail, wide a, wide b, wide x) {
    return tail > 0.5L && a < 0.7L && x <= 0.5L ? tl_beta_near_one(b, a, x) : 1 - tail;
}

/* I(a, b, x) and 1 less it, for y = 1 − x. */
static tl_tails tl_beta_tails(wide a, wide b, wide x, wide y) {
    tl_tails t = {NAN, NAN};
    if (!(a >= 0 && b >= 0 && x >= 0 && y >= 0) || (a == 0 && b == 0) || (a == INFINITY && b == INFINITY)) return t;
    if (x == 0 || y == 0 || a == 0 || b == 0 || a == INFINITY || b == INFINITY) {
        /* All of it is at 0 where a = 0 or b = ∞, at 1 where b = 0 or a = ∞. */
        t.lower = y == 0 || (x > 0 && (a == 0 || b == INFINITY));
        t.upper = 1 - t.lower;
        return t;
    }
    if (a > 1e200L && b > 1e200L) {
        /* Only the mean tells by now, and a sum must not overflow where the widest type is float64. */
        a *= 0x1p-200L;
        b *= 0x1p-200L;
    }
    /* By x, which has the bits that y lacks where it is near 1; of the shares exchanged it is the negative. */
    wide excess = tl_beta_excess(a, b, x, y);
    if (excess <= 0) {
        t.lower = tl_beta_lower(a, b, x, y, excess);
        t.upper = tl_beta_rest(t.lower, a, b, x);
    } else {
        t.upper = tl_beta_lower(b, a, y, x, -excess);
        t.lower = tl_beta_rest(t.upper, b, a, y);
    }
    return t;
}

/* Inverses: Newton's method for the logarithm of the smaller tail, a concave function of u, between bounds. u is ln x for the gamma function
 * and ln(x/(1 − x)) for the beta function, so that the density by u is the factor. */
static wide tl_incomplete_inverse(wide a, wide b, wide lower, wide upper, wide u, int beta) {
    int low = lower <= upper;
    wide target = logl(low ? lower : upper), least = -INFINITY, most = INFINITY;
    for (int k = 0; k < 200; k++) {
        wide x = beta ? 1 / (1 + expl(-u)) : expl(u), y = 1 / (1 + expl(u));
        tl_tails t = beta ? tl_beta_tails(a, b, x, y) : tl_gamma_tails(a, x);
        wide tail = low ? t.lower : t.upper, gap = (logl(tail) - target) * (low ? 1 : -1);
        wide slope = (beta ? tl_beta_factor(a, b, x, y, tl_beta_excess(a, b, x, y)) : tl_gamma_factor(a, x)) / tail, step = gap / slope;
        if (fabsl(step) < 0x1p-34L) {
            u -= step;
            break;
        }
        if (gap > 0) most = u; else least = u;
        wide next = u - step;
        if (!(next > least && next < most) || next - next != 0)
            next = least == -INFINITY ? u - 16 : most == INFINITY ? u + 16 : 0.5L * (least + most);
        if (fabsl(next - u) <= 0x1p-62L * (1 + fabsl(u))) break;
        u = next;
    }
    return u;
}

static double tl_gammainc(double a, double x, int upper) {
    tl_tails t = tl_gamma_tails(a, x);
    return (double)(upper ? t.upper : t.lower);
}

static double tl_betainc(double a, double b, double x, int upper) {
    tl_tails t = tl_beta_tails(a, b, x, 1.0L - x);
    return (double)(upper ? t.upper : t.lower);
}

/* x with P(a, x) = p, or with Q(a, x) = p. */
static double tl_gammaincinv(double a, double p, int upper) {
    if (!(a > 0 && p >= 0 && p <= 1) || a == INFINITY) return NAN;
    if (p == 0 || p == 1) return (p == 1) == !upper ? INFINITY : 0;
    wide lower = upper ? 1.0L - p : p, other = upper ? p : 1.0L - p, log_lower = logl(lower), u;
    if (a < 1) {
        u = (log_lower + tl_log_gamma_small(a)) / a;
        if (u > 0) u = logl(1 - logl(other));
    } else {
        /* Wilson & Hilferty: the cube root is almost normal; a rough quantile does. */
        wide q = lower < other ? lower : other, w = sqrtl(-2 * logl(q)), c = 1 / (9 * (wide)a);
        wide z = w - (2.515517L + w * (0.802853L + w * 0.010328L)) / (1 + w * (1.432788L + w * (0.189269L + w * 0.001308L)));
        wide root = 1 - c + (lower < other ? -z : z) * sqrtl(c);
        u = root > 0.1L ? logl(a) + 3 * logl(root) : (log_lower + logl(a)) / a + logl(a) - 1;
    }
    return (double)expl(tl_incomplete_inverse(a, 0, lower, other, u, 0));
}

/* x with I(a, b, x) = p, or with 1 − I(a, b, x) = p. */
static double tl_betaincinv(double a, double b, double p, int upper) {
    if (!(a > 0 && b > 0 && p >= 0 && p <= 1) || a == INFINITY || b == INFINITY) return NAN;
    if (p == 0 || p == 1) return (p == 1) == !upper;
    wide lower = upper ? 1.0L - p : p, other = upper ? p : 1.0L - p;
    wide u = tl_incomplete_inverse(a, b, lower, other, logl(a) - logl(b), 1);
    return (double)(1 / (1 + expl(-u)));
}

/* Student's distribution: half of a tail of the beta function, of x = df/(df + z²) and 1 − x. From 10¹⁰ degrees of freedom on a normal number
 * with the first correction, whose error is the square of 1/df. */
static double tl_student(double df, double z, int upper) {
    wide v = df, w = upper ? -(wide)z : z, half;
    if (!(df > 0) || z != z) return NAN;
    if (df > 1e10) {
        wide scaled = df == INFINITY || fabsl(w) > 1e100L ? w : w * (1 - 0.25L / v) / sqrtl(1 + w / v * w * 0.5L);
        return (double)(0.5L * erfcl(scaled * -0.70710678118654752440084436210484904L));
    }
    wide q = fabsl(w) < INFINITY ? 1 / (1 + w / v * w) : 0, r = fabsl(w) < INFINITY ? 1 / (1 + v / w / w) : 1;
    half = w == 0 ? 0.5L : 0.5L * tl_beta_tails(v / 2, 0.5L, q, r).lower;
    return (double)(w > 0 ? 1 - half : half);
}

/* z with that tail. */
static double tl_student_inverse(double df, double p, int upper) {
    wide v = df, lower = p <= 0.5 ? 2.0L * p : 2 * (1.0L - p), other = p <= 0.5 ? 1 - 2.0L * p : 2.0L * p - 1, z;
    if (!(df > 0 && p >= 0 && p <= 1)) return NAN;
    if (p == 0 || p == 1) return (p == 1) == !upper ? INFINITY : -INFINITY;
    if (p == 0.5) return 0;
    if (df > 1e10) {
        /* A rough quantile and steps of Newton's method, then the correction of `tl_student` turned round. */
        wide w = sqrtl(-2 * logl(lower / 2));
        z = w - (2.515517L + w * (0.802853L + w * 0.010328L)) / (1 + w * (1.432788L + w * (0.189269L + w * 0.001308L)));
        for (int k = 0; k < 6; k++) {
            wide tail = 0.5L * erfcl(z * 0.70710678118654752440084436210484904L);
            z += tail * logl(tail / (lower / 2)) / expl(-0.5L * z * z - TL_LOG_ROOT_2PI);
        }
        if (df < INFINITY) z *= 1 + (z * z + 1) / (4 * v);
    } else {
        wide u = tl_incomplete_inverse(v / 2, 0.5L, lower, other, lower < other ? logl(v) : logl(v) + 1, 1);
        z = sqrtl(v) * expl(-0.5L * u);
    }
    return (double)((p < 0.5) == !upper ? -z : z);
}
#endif
