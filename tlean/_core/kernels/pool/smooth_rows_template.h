/* Loops over one row of windows. n is a multiple of TL_SMOOTH_LANES: the buffers are the kernel's own and have room. */

static void NAME(tl_scaled_copy)(T *TL_RESTRICT dst, const T *TL_RESTRICT x, T c, ptrdiff_t n) {
    for (ptrdiff_t j = 0; j < n; j++) dst[j] = c * x[j];
}

static void NAME(tl_max_into)(T *TL_RESTRICT m, const T *TL_RESTRICT z, ptrdiff_t n) {
    for (ptrdiff_t j = 0; j < n; j++) m[j] = z[j] > m[j] ? z[j] : m[j];
}

/* e = exp(z - m), sum += e. Where z is m the exponent is 0, infinite or not. */
static void NAME(tl_exp_into)(T *TL_RESTRICT e, T *TL_RESTRICT sum, const T *TL_RESTRICT z, const T *TL_RESTRICT m, ptrdiff_t n) {
    for (ptrdiff_t j = 0; j < n; j++) {
        T w = EXP(z[j] == m[j] ? (T)0 : z[j] - m[j]);
        e[j] = w;
        sum[j] += w;
    }
}

static void NAME(tl_log_sum)(T *TL_RESTRICT y, const T *TL_RESTRICT m, const T *TL_RESTRICT sum, T beta, ptrdiff_t n) {
    for (ptrdiff_t j = 0; j < n; j++) y[j] = (m[j] + LOG(sum[j])) / beta;
}

static void NAME(tl_divide)(T *TL_RESTRICT y, const T *TL_RESTRICT g, const T *TL_RESTRICT sum, ptrdiff_t n) {
    for (ptrdiff_t j = 0; j < n; j++) y[j] = g[j] / sum[j];
}

static void NAME(tl_add_product)(T *TL_RESTRICT acc, const T *TL_RESTRICT a, const T *TL_RESTRICT b, ptrdiff_t n) {
    for (ptrdiff_t j = 0; j < n; j++) acc[j] += a[j] * b[j];
}
