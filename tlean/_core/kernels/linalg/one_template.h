/* One small matrix by itself, with the bits that it has in a lane: included like lanes_template.h. That is faster for one or two.
 *
 *   tl_one_cholesky_X(a, n)                 as tl_lanes_cholesky_X
 *   tl_one_lu_X(a, perm, n)                 as tl_lanes_lu_X
 *   tl_one_minors_X(a, n)                   as tl_lanes_minors_X
 *   tl_one_solve_X(t, row, col, x, n, k, back, unit)     as tl_lanes_solve_X
 */
static int TL_X(tl_one_refuse)(TL_T *a, int64_t n) {
    for (int64_t e = 0; e < n; e++) a[e] = (TL_T)NAN;
    return 1;
}

static int TL_X(tl_one_cholesky)(TL_T *a, int64_t n) {
    int ok = 1;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            a[i * n + j] = a[i * n + j] * (TL_T)0.5 + a[j * n + i] * (TL_T)0.5;
            a[j * n + i] = 0;
        }
    for (int64_t j = 0; j < n; j++) {
        ok &= a[j * n + j] > 0;
        const TL_T d = TL_SQRT(a[j * n + j]), r = 1 / d;
        a[j * n + j] = d;
        for (int64_t i = j + 1; i < n; i++) a[i * n + j] *= r;
        for (int64_t i = j + 1; i < n; i++)
            for (int64_t c = j + 1; c <= i; c++) a[i * n + c] -= a[i * n + j] * a[c * n + j];
    }
    return ok ? 0 : TL_X(tl_one_refuse)(a, n * n);
}

static void TL_X(tl_one_lu)(TL_T *a, int32_t *perm, int64_t n) {
    for (int64_t i = 0; i < n; i++) perm[i] = (int32_t)i;
    for (int64_t j = 0; j < n; j++) {
        int64_t p = j;
        for (int64_t i = j + 1; i < n; i++)
            if (TL_ABS(a[i * n + j]) > TL_ABS(a[p * n + j])) p = i;
        if (p != j) {
            for (int64_t c = 0; c < n; c++) {
                const TL_T t = a[j * n + c];
                a[j * n + c] = a[p * n + c];
                a[p * n + c] = t;
            }
            const int32_t t = perm[j];
            perm[j] = perm[p];
            perm[p] = t;
        }
        const TL_T pivot = a[j * n + j];
        TL_T r = pivot == 0 ? 0 : 1 / pivot;
        if (TL_RARELY(TL_X(tl_is_tiny)(pivot))) {
            for (int64_t i = j + 1; i < n; i++) a[i * n + j] /= pivot;
            r = 1;
        }
        for (int64_t i = j + 1; i < n; i++) {
            const TL_T f = a[i * n + j] * r;
            a[i * n + j] = f;
            for (int64_t c = j + 1; c < n; c++) a[i * n + c] -= f * a[j * n + c];
        }
    }
}

static TL_T TL_X(tl_one_minors)(const TL_T *m, int64_t n) {
    TL_T d;
    TL_MINORS(TL_T, d, m, n)
    return TL_ABS(d) >= TL_X(TL_LEAST_SAFE) && TL_ABS(d) <= 1 / TL_X(TL_LEAST_SAFE) ? d : TL_X(tl_scaled_minors)(m, 1, n, d);
}

static int TL_X(tl_one_solve)(const TL_T *t, int64_t row, int64_t col, TL_T *x, int64_t n, int64_t k, int back, int unit) {
    int ok = 1;
    for (int64_t step = 0; step < n; step++) {
        const int64_t i = back ? n - 1 - step : step, first = back ? i + 1 : 0, last = back ? n : i;
        const TL_T d = t[i * (row + col)], r = 1 / d;
        ok &= unit || d != 0;
        /* No sum in a variable: compilers would multiply its terms first, and round them. */
        for (int64_t j = first; j < last; j++)
            for (int64_t c = 0; c < k; c++) x[i * k + c] -= t[i * row + j * col] * x[j * k + c];
        if (unit) continue;
        if (TL_RARELY(TL_X(tl_is_tiny)(d)))
            for (int64_t c = 0; c < k; c++) x[i * k + c] /= d;
        else
            for (int64_t c = 0; c < k; c++) x[i * k + c] *= r;
    }
    return ok ? 0 : TL_X(tl_one_refuse)(x, n * k);
}
