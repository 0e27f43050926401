/* Blocks of large matrices, row by row: the leaves of linalg.pyx's recursions. Included like lanes_template.h.
 *
 *   tl_rows_cholesky_X(a, ld, n)            the upper factor of the symmetric matrix whose upper triangle a holds; 0 if it has none
 *   tl_rows_lu_X(a, ld, m, w, pivots)       L and U of m x w entries by partial pivoting; row j was swapped with row pivots[j] at step j
 *   tl_rows_solve_X(t, row, col, x, ldx, n, k, back, unit)     as tl_lanes_solve_X, for rows of x that are ldx apart
 *   tl_rows_minus_X(a, row, col, b, c, m, k)                   the vector c (m) -= A (m x k) b (k), A[i, j] = a[i*row + j*col]
 *   tl_negate_X(x, n)                       x = -x
 */
#define VL TL_X(TL_LANES)
#define VEC TL_X(tl_vec)
#define UVEC TL_X(tl_uvec)

static int TL_X(tl_rows_cholesky)(TL_T *a, int64_t ld, int64_t n) {
    for (int64_t j = 0; j < n; j++) {
        TL_T *TL_RESTRICT top = a + j * ld;
        if (!(top[j] > 0)) return 0;
        top[j] = TL_SQRT(top[j]);
        const TL_T r = 1 / top[j];
        for (int64_t c = j + 1; c < n; c++) top[c] *= r;
        for (int64_t i = j + 1; i < n; i++) {
            const TL_T f = top[i];
            TL_T *TL_RESTRICT x = a + i * ld;
            for (int64_t c = i; c < n; c++) x[c] -= f * top[c];
        }
    }
    return 1;
}

static void TL_X(tl_rows_lu)(TL_T *a, int64_t ld, int64_t m, int64_t w, int32_t *pivots) {
    for (int64_t j = 0; j < w; j++) {
        int64_t p = j;
        TL_T best = TL_ABS(a[j * ld + j]);
        for (int64_t i = j + 1; i < m; i++) {
            const TL_T size = TL_ABS(a[i * ld + j]);
            if (size > best) {
                best = size;
                p = i;
            }
        }
        pivots[j] = (int32_t)p;
        if (p != j)
            for (int64_t c = 0; c < w; c++) {
                const TL_T t = a[j * ld + c];
                a[j * ld + c] = a[p * ld + c];
                a[p * ld + c] = t;
            }
        const TL_T *TL_RESTRICT top = a + j * ld;
        TL_T r = top[j] == 0 ? 0 : 1 / top[j];
        if (TL_RARELY(TL_X(tl_is_tiny)(top[j]))) {
            for (int64_t i = j + 1; i < m; i++) a[i * ld + j] /= top[j];
            r = 1;
        }
        for (int64_t i = j + 1; i < m; i++) {
            TL_T *TL_RESTRICT x = a + i * ld;
            const TL_T f = x[j] * r;
            x[j] = f;
            for (int64_t c = j + 1; c < w; c++) x[c] -= f * top[c];
        }
    }
}

static void TL_X(tl_rows_solve)(const TL_T *t, int64_t row, int64_t col, TL_T *x, int64_t ldx, int64_t n, int64_t k, int back, int unit) {
    for (int64_t step = 0; step < n; step++) {
        const int64_t i = back ? n - 1 - step : step, first = back ? i + 1 : 0, last = back ? n : i;
        TL_T *TL_RESTRICT y = x + i * ldx;
        for (int64_t j = first; j < last; j++) {
            const TL_T f = t[i * row + j * col];
            const TL_T *TL_RESTRICT z = x + j * ldx;
            for (int64_t c = 0; c < k; c++) y[c] -= f * z[c];
        }
        if (!unit) {
            const TL_T d = t[i * (row + col)], r = 1 / d;
            if (TL_RARELY(TL_X(tl_is_tiny)(d)))
                for (int64_t c = 0; c < k; c++) y[c] /= d;
            else
                for (int64_t c = 0; c < k; c++) y[c] *= r;
        }
    }
}

static void TL_X(tl_rows_minus)(const TL_T *a, int64_t row, int64_t col, const TL_T *b, TL_T *TL_RESTRICT c, int64_t m, int64_t k) {
    if (col != 1) {
        for (int64_t p = 0; p < k; p++) {
            const TL_T *TL_RESTRICT x = a + p * col;
            const TL_T f = b[p];
            for (int64_t i = 0; i < m; i++) c[i] -= f * x[i * row];
        }
        return;
    }
    for (int64_t i = 0; i < m; i++) {
        const TL_T *x = a + i * row;
        VEC s[4] = {{0}, {0}, {0}, {0}};
        int64_t p = 0;
        for (; p + 4 * VL <= k; p += 4 * VL)
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++) s[v] += *(const UVEC *)(x + p + v * VL) * *(const UVEC *)(b + p + v * VL);
        for (; p < k; p += VL) {
            const int64_t part = k - p < VL ? k - p : VL;
            s[0] += TL_X(tl_load_part)(x + p, part) * TL_X(tl_load_part)(b + p, part);
        }
        s[0] = (s[0] + s[1]) + (s[2] + s[3]);
        TL_T sum = 0;
        for (int l = 0; l < VL; l++) sum += s[0][l];
        c[i] -= sum;
    }
}

static void TL_X(tl_negate)(TL_T *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = -x[i];
}

#undef VL
#undef VEC
#undef UVEC
