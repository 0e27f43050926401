/* Making plans for one float type: included by fft.h after stages_template.h, with TL_T and TL_SUFFIX defined. */
#define VL TL_X(TL_LANES)
#define PAIR (2 * (int64_t)VL)

static void TL_X(tl_fft_put)(TL_T *to, int64_t gap, int64_t e, int64_t n) {
    long double c, s;
    tl_fft_root(e, n, &c, &s);
    to[0] = (TL_T)c, to[gap] = (TL_T)s;
}

static int TL_X(tl_fft_stage_tables)(tl_fft_plan *p) {
    int64_t m = p->n, count = 0, roots = 0;
    for (int i = 0; i < p->stages; i++) {
        m /= p->radix[i];
        count += 2 * m * (p->radix[i] - 1);
        roots += p->radix[i] % 2 ? 2 * p->radix[i] : 0;
    }
    TL_T *w = p->twiddles = tl_fft_room(p, count), *r = p->roots = tl_fft_room(p, roots);
    if (!w || !r) return 0;
    m = p->n;
    for (int i = 0; i < p->stages; i++) {
        const int radix = p->radix[i];
        const int64_t n = m;
        m /= radix;
        for (int64_t q = 0; q < m; q++)
            for (int k = 1; k < radix; k++, w += 2) TL_X(tl_fft_put)(w, 1, q * k, n);
        if (radix % 2 == 0) continue;
        for (int k = 0; k < radix; k++) {
            TL_X(tl_fft_put)(r + k, radix, k, radix);
            r[radix + k] = -r[radix + k];
        }
        r += 2 * radix;
    }
    return 1;
}

static tl_fft_plan *TL_X(tl_fft_plan_of)(int64_t n, int real);

static int TL_X(tl_fft_matrix_tables)(tl_fft_plan *p) {
    int64_t rows = (int64_t)sqrt((double)p->n) + 1;
    while (rows > 1 && (p->n % rows || rows > p->n / rows)) rows--;
    if (p->n < TL_FFT_LINE || rows < 4) return 1;
    p->rows = rows, p->columns = p->n / rows;
    p->of_columns = TL_X(tl_fft_plan_of)(p->rows, 0);
    p->of_rows = TL_X(tl_fft_plan_of)(p->columns, 0);
    if (!p->of_columns || !p->of_rows) return 0;
    const int64_t blocks = (p->columns + VL - 1) / VL;
    if (p->n <= TL_FFT_EVERY) {
        TL_T *w = p->every = tl_fft_room(p, blocks * rows * PAIR);
        if (!w) return 0;
        for (int64_t b = 0; b < blocks; b++)
            for (int64_t k = 0; k < rows; k++, w += PAIR)
                for (int64_t l = 0; l < VL; l++) TL_X(tl_fft_put)(w + l, VL, k * (b * VL + l), p->n);
        return 1;
    }
    p->fineness = (int64_t)sqrt((double)p->n) + 1;
    const int64_t coarse = p->n / p->fineness + 1;
    TL_T *hi = p->coarse = tl_fft_room(p, 2 * coarse), *lo = p->fine = tl_fft_room(p, 2 * p->fineness);
    TL_T *w = p->lanes = tl_fft_room(p, rows * PAIR);
    if (!hi || !lo || !w) return 0;
    for (int64_t e = 0; e < coarse; e++) TL_X(tl_fft_put)(hi + 2 * e, 1, e * p->fineness, p->n);
    for (int64_t e = 0; e < p->fineness; e++) TL_X(tl_fft_put)(lo + 2 * e, 1, e, p->n);
    for (int64_t k = 0; k < rows; k++, w += PAIR)
        for (int64_t l = 0; l < VL; l++) TL_X(tl_fft_put)(w + l, VL, k * l, p->n);
    return 1;
}

static int TL_X(tl_fft_chirp_tables)(tl_fft_plan *p) {
    const int64_t n = p->n, m = tl_fft_good(2 * n - 1);
    p->cyclic = TL_X(tl_fft_plan_of)(m, 0);
    TL_T *chirp = p->chirp = tl_fft_room(p, 2 * n), *filter = p->filter = tl_fft_room(p, 2 * m);
    const size_t bytes = (size_t)(m * PAIR) * sizeof(TL_T);
    TL_T *a = aligned_alloc(64, bytes), *b = aligned_alloc(64, bytes);
    const int whole = p->cyclic && chirp && filter && a && b;
    if (whole) {
        memset(a, 0, bytes);
        for (int64_t j = 0; j < n; j++) {
            /* j² mod 2n, which j² itself may be too large for. */
            int64_t e = 0;
            e = (int64_t)((unsigned __int128)j * (unsigned __int128)j % (unsigned __int128)(2 * n));
            TL_X(tl_fft_put)(chirp + 2 * j, 1, e, 2 * n);
            a[j * PAIR] = a[(m - j) % m * PAIR] = chirp[2 * j];
            a[j * PAIR + VL] = a[(m - j) % m * PAIR + VL] = -chirp[2 * j + 1];
        }
        const TL_T *y = TL_X(tl_fft_stages)(p->cyclic, a, a, b, 0, VL, (TL_T)(1.0L / (long double)m));
        for (int64_t j = 0; j < m; j++) filter[2 * j] = y[j * PAIR], filter[2 * j + 1] = y[j * PAIR + VL];
    }
    free(a);
    free(b);
    return whole;
}

/* The plan of a length; with `real` for real lines of twice that length. NULL: no memory. */
static tl_fft_plan *TL_X(tl_fft_plan_of)(int64_t n, int real) {
    tl_fft_plan *p = tl_fft_find(n, sizeof(TL_T), real);
    if (p) return p;
    p = calloc(1, sizeof(*p));
    if (!p) return NULL;
    p->n = n, p->real = real, p->width = sizeof(TL_T), p->bytes = sizeof(*p);
    p->stages = tl_fft_factors(n, p->radix);
    int whole;
    if (p->stages < 0) whole = TL_X(tl_fft_chirp_tables)(p);
    else whole = TL_X(tl_fft_stage_tables)(p) && TL_X(tl_fft_matrix_tables)(p);
    if (whole && real) {
        TL_T *w = p->halves = tl_fft_room(p, 2 * n);
        whole = w != NULL;
        for (int64_t k = 0; whole && k < n; k++) TL_X(tl_fft_put)(w + 2 * k, 1, k, 2 * n);
    }
    if (!whole) {
        tl_fft_free(p);
        return NULL;
    }
    tl_fft_keep(p);
    return p;
}

#undef VL
#undef PAIR
