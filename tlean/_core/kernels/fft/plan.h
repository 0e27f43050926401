/* What the transforms of one length and float type need to know, made once and kept.
 *
 * A length whose primes are at most TL_FFT_MOST is done in stages of the radices 8, 4, 2, 3, 5, 7 and odd primes. Any other is a cyclic
 * convolution of a length that is (Bluestein 1970). Long lines that are a product of two lengths are done as a matrix of such.
 *
 * Plans are in lists that only grow, so that they are found without a lock; beyond TL_FFT_KEPT bytes a plan is its caller's, who frees it.
 */
#ifndef TLEAN_FFT_PLAN_H
#define TLEAN_FFT_PLAN_H
#include "kernel.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TL_FFT_MOST = 31, TL_FFT_STAGES = 40, TL_FFT_LISTS = 256, TL_FFT_LINE = 64, TL_FFT_EVERY = 1 << 15 };
#define TL_FFT_KEPT ((int64_t)256 << 20)

typedef struct tl_fft_plan {
    struct tl_fft_plan *next;
    int64_t n, bytes;           /* complex entries; of the tables */
    int width, real, kept;      /* bytes of a number; whether `halves` is there; whether a list has it */
    int stages;
    int radix[TL_FFT_STAGES];
    void *twiddles, *roots;     /* of stage after stage; cosines and sines of the odd radices */
    void *halves;               /* exp(-πik/n), k < n: real lines of 2 n entries */
    /* Bluestein: exp(-πij²/n); the transform of its conjugate over cyclic->n; the plan of that length. */
    void *chirp, *filter;
    struct tl_fft_plan *cyclic;
    /* A line as a matrix; 0 where it is none. */
    int64_t rows, columns, fineness;
    struct tl_fft_plan *of_rows, *of_columns; /* of length `columns`, and of length `rows` */
    void *every;                /* exp(-2πikj/n) for every entry, or: */
    void *coarse, *fine, *lanes; /* exp(-2πie/n) for e a multiple of the fineness, and below it; for k times each lane */
} tl_fft_plan;

/* exp(-2πie/n), reduced to an eighth of the circle, so that each part is right to its last place. */
static void tl_fft_root(int64_t e, int64_t n, long double *c, long double *s) {
    const int64_t eighths = 8 * (e % n), octant = eighths / n, rest = eighths % n;
    const long double angle = 0.78539816339744830961566084581987572L * (long double)(octant % 2 ? n - rest : rest) / (long double)n;
    const long double x = cosl(angle), y = sinl(angle);
    const int swap = octant == 1 || octant == 2 || octant == 5 || octant == 6;
    *c = swap ? y : x;
    *s = swap ? x : y;
    if (octant >= 2 && octant < 6) *c = -*c;
    if (octant < 4) *s = -*s;
}

static int tl_fft_factors(int64_t n, int *radix) {
    /* The number of stages, -1 where a prime is too large. */
    int count = 0, twos = 0;
    for (; n % 2 == 0; n /= 2) twos++;
    if (twos % 3 == 1 && twos > 1) radix[count++] = 4, radix[count++] = 4, twos -= 4;
    else if (twos % 3) radix[count++] = 1 << twos % 3, twos -= twos % 3;
    for (; twos; twos -= 3) radix[count++] = 8;
    for (int p = 3; p <= TL_FFT_MOST; p += 2)
        for (; n % p == 0; n /= p) radix[count++] = p;
    return n == 1 ? count : -1;
}

/* The smallest length of the primes 2, 3 and 5 that is at least n. */
static int64_t tl_fft_good(int64_t n) {
    int64_t best = INT64_MAX;
    for (int64_t five = 1; five < best && five < 5 * n; five *= 5)
        for (int64_t three = five; three < best && three < 3 * n; three *= 3) {
            int64_t m = three;
            while (m < n) m *= 2;
            if (m < best) best = m;
        }
    return best;
}

static tl_fft_plan *tl_fft_lists[TL_FFT_LISTS];
static int64_t tl_fft_total;

static tl_fft_plan *tl_fft_find(int64_t n, int width, int real) {
    tl_fft_plan *p = __atomic_load_n(&tl_fft_lists[n % TL_FFT_LISTS], __ATOMIC_ACQUIRE);
    while (p && (p->n != n || p->width != width || p->real != real)) p = p->next;
    return p;
}

static void tl_fft_free(tl_fft_plan *p) {
    if (!p || p->kept) return;
    void *tables[] = {p->twiddles, p->roots, p->halves, p->chirp, p->filter, p->every, p->coarse, p->fine, p->lanes};
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) free(tables[i]);
    tl_fft_free(p->cyclic);
    tl_fft_free(p->of_rows);
    tl_fft_free(p->of_columns);
    free(p);
}

/* Into its list, where there is room for it. */
static void tl_fft_keep(tl_fft_plan *p) {
    if (__atomic_add_fetch(&tl_fft_total, p->bytes, __ATOMIC_RELAXED) > TL_FFT_KEPT) {
        __atomic_sub_fetch(&tl_fft_total, p->bytes, __ATOMIC_RELAXED);
        return;
    }
    tl_fft_plan **list = &tl_fft_lists[p->n % TL_FFT_LISTS];
    p->kept = 1;
    p->next = __atomic_load_n(list, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(list, &p->next, p, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
}

static void *tl_fft_room(tl_fft_plan *p, int64_t numbers) {
    const size_t bytes = ((size_t)numbers * (size_t)p->width + 127) / 64 * 64;
    p->bytes += (int64_t)bytes;
    return aligned_alloc(64, bytes);
}
#endif
