/* The errors of the float32 vector math, for accuracy.py. Compiled once for each instruction set with ISA its name: loops over the functions
 * of vmath.h, under the flags of the kernels. And once with MAIN: the reference, by libm in float64, whose own errors are 2⁻²⁸ of a float32
 * unit, and the comparison. */
#include <math.h>
#include <stdint.h>

#define GLUE_(a, b) a##b
#define GLUE(a, b) GLUE_(a, b)

/* name, tlean's function, the definition, the least unit (0: that of the result itself), the greatest |x| */
#define FUNCTIONS(F)                                                                                         \
    F(exp, tl_expf(x), exp(x), 0, INFINITY)                                                                  \
    F(expm1, tl_expm1f(x), expm1(x), 0, INFINITY)                                                            \
    F(log, tl_logf(x), log(x), 0, INFINITY)                                                                  \
    F(log1p, tl_log1pf(x), log1p(x), 0, INFINITY)                                                            \
    F(sigmoid, tl_sigmoidf(x), 1 / (1 + exp(-x)), 0, INFINITY)                                               \
    F(sigmoid2, tl_sigmoid2f(x), 1 / (1 + exp2(-x)), 0, INFINITY)                                            \
    F(tanh, tl_tanhf(x), tanh(x), 0, INFINITY)                                                               \
    F(erf, tl_erff(x), erf(x), 0, INFINITY)                                                                  \
    F(normal_cdf, tl_normal_cdff(x), 0.5 * erfc(x * -0.70710678118654752440), 0x1p-24, INFINITY)             \
    F(sin, tl_sinf(x), sin(x), 0, 1e6)                                                                       \
    F(cos, tl_cosf(x), cos(x), 0, 1e6)                                                                       \
    F(pow_2_5, tl_powf(x, c[0]), pow(x, 2.5), 0, INFINITY)                                                   \
    F(pow_m1_5, tl_powf(x, c[1]), pow(x, -1.5), 0, INFINITY)                                                 \
    F(pow_7, tl_powf(x, c[2]), pow(x, 7), 0, INFINITY)

#ifdef ISA
#include "simd/vmath.h"

/* A power's exponent is not known when its loop is compiled. */
void GLUE(evaluate_, ISA)(int function, const float *in, float *out, int64_t n, const float *c) {
    int k = 0;
#define LOOP(name, ours, definition, least, most) \
    if (function == k++) { _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) { const float x = in[i]; out[i] = ours; } }
    FUNCTIONS(LOOP)
}
#endif

#ifdef MAIN
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 4096 };
typedef void evaluate(int, const float *, float *, int64_t, const float *);
#define DECLARE(isa) evaluate GLUE(evaluate_, isa);
#define ENTRY(isa) evaluate_##isa,
#define NAME(name, ours, definition, least, most) #name,
#define LEAST(name, ours, definition, least, most) least,
#define MOST(name, ours, definition, least, most) most,
SETS(DECLARE)
static evaluate *const sets[] = {SETS(ENTRY)};
enum { HOW_MANY = sizeof sets / sizeof *sets };
static const char *const names[] = {FUNCTIONS(NAME)};
static const double least[] = {FUNCTIONS(LEAST)}, most[] = {FUNCTIONS(MOST)};
static const float exponents[] = {2.5f, -1.5f, 7.0f};

static void reference(int function, const float *in, double *out, int n) {
    int k = 0;
#define DEFINE(name, ours, definition, least, most) \
    if (function == k++) { for (int i = 0; i < n; i++) { const double x = in[i]; out[i] = definition; } }
    FUNCTIONS(DEFINE)
}

/* |got − want| in units of the last place of a float32 as large as `want`. NaN equals NaN alone; where the exact value rounds to an
 * infinity or nearly so, the largest number and the infinity are neighbours. Without branches, so that it vectorises. */
static inline double units(double got, double want, double smallest) {
    const double beyond = FLT_MAX * (1 + 0x1p-24);
    const double g = got > beyond ? beyond : got < -beyond ? -beyond : got;
    const double w = want > beyond ? beyond : want < -beyond ? -beyond : want;
    uint64_t bits;
    memcpy(&bits, &w, 8);
    bits &= 0x7ff0000000000000u;
    double power;
    memcpy(&power, &bits, 8);
    power = (power > FLT_MIN ? power : FLT_MIN) * 0x1p-23;
    const double error = fabs(g - w) / (power > smallest ? power : smallest);
    const double strange = (got != got) == (want != want) ? 0 : INFINITY;
    return error == error ? error : strange;
}

/* accuracy NAME FIRST END STRIDE: for every instruction set the worst error over the bit patterns from FIRST to END, and where it is. */
int main(int argc, char **argv) {
    static float in[CHUNK], out[CHUNK];
    static double want[CHUNK], found[CHUNK];
    double worst[HOW_MANY] = {0};
    float at[HOW_MANY] = {0};
    int function = 0;
    if (argc != 5) {
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) puts(names[k]);
        return 0;
    }
    while (strcmp(names[function], argv[1])) function++;
    const uint64_t end = strtoull(argv[3], NULL, 0), stride = strtoull(argv[4], NULL, 0);
    for (uint64_t bits = strtoull(argv[2], NULL, 0); bits < end;) {
        int n = 0;
        for (; n < CHUNK && bits < end; bits += stride) {
            const uint32_t word = (uint32_t)bits;
            memcpy(in + n, &word, 4);
            n += !(fabsf(in[n]) > most[function]) && (in[n] == in[n] || most[function] == INFINITY);
        }
        reference(function, in, want, n);
        for (int k = 0; k < HOW_MANY; k++) {
            sets[k](function, in, out, n, exponents);
            const double smallest = least[function], before = worst[k];
            int worse = 0;
            for (int i = 0; i < n; i++) {
                found[i] = units(out[i], want[i], smallest);
                worse |= found[i] > before;
            }
            for (int i = 0; worse && i < n; i++)
                if (found[i] > worst[k]) worst[k] = found[i], at[k] = in[i];
        }
    }
    for (int k = 0; k < HOW_MANY; k++) printf("%.17g %.9g\n", worst[k], at[k]);
    return 0;
}
#endif
