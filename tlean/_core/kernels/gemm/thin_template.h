/* Products that no tile fits: few rows against rows contiguous in k (dots), and one row against a row-major matrix (a sum of rows).
 * Included with TL_T and TL_SUFFIX defined, after micro.h's other templates.
 *
 *   tl_dots_X(m, n, k, a, lda, b, ldb, c, ldc)        C[i*ldc + j] = sum over p of A[i*lda + p] * B[j*ldb + p], any m, n
 *   tl_row_sum_X(n, k, a, a_step, b, ldb, c)          c[j] = sum over p of a[p*a_step] * B[p*ldb + j]
 * The order of every sum depends on k alone.
 */
#define VL TL_X(TL_LANES)
#define VEC TL_X(tl_vec)
#define UVEC TL_X(tl_uvec)

/* One fma where there is one, said explicitly: some compilers contract one of several equal sums otherwise than the others. */
TL_INLINE VEC TL_X(tl_add_product)(VEC sum, VEC a, VEC b) {
#if defined(__AVX512F__) && TL_X(TL_IS)
    return (VEC)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)sum);
#elif defined(__AVX512F__)
    return (VEC)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)sum);
#elif defined(__AVX2__) && TL_X(TL_IS)
    return (VEC)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum);
#elif defined(__AVX2__)
    return (VEC)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)sum);
#else
    return sum + a * b;
#endif
}

/* Rows of A at once: the sums of 4 x 4, with what they are made from, fit in 32 registers; of 3 x 4 in 16; of 2 x 4 without fma. */
#if TL_VECTOR_BYTES == 64
#define DOT_M 4
#elif TL_VECTOR_BYTES == 32
#define DOT_M 3
#else
#define DOT_M 2
#endif

TL_INLINE void TL_X(tl_dot_tile)(const int m, const int n, int64_t k, const TL_T *a, int64_t lda, const TL_T *b, int64_t ldb, TL_T *c,
                                 int64_t ldc) {
    VEC sum[4][8];
#pragma GCC unroll 4
    for (int i = 0; i < m; i++)
#pragma GCC unroll 8
        for (int j = 0; j < n; j++) sum[i][j] = (VEC){0};
    int64_t p = 0;
    for (; p + VL <= k; p += VL) {
        VEC av[4];
#pragma GCC unroll 4
        for (int i = 0; i < m; i++) av[i] = *(const UVEC *)(a + i * lda + p);
#pragma GCC unroll 8
        for (int j = 0; j < n; j++) {
            VEC bv = *(const UVEC *)(b + j * ldb + p);
#pragma GCC unroll 4
            for (int i = 0; i < m; i++) sum[i][j] = TL_X(tl_add_product)(sum[i][j], av[i], bv);
        }
    }
    if (p < k) {
        VEC av[4];
#pragma GCC unroll 4
        for (int i = 0; i < m; i++) av[i] = TL_X(tl_load_part)(a + i * lda + p, k - p);
#pragma GCC unroll 8
        for (int j = 0; j < n; j++) {
            VEC bv = TL_X(tl_load_part)(b + j * ldb + p, k - p);
#pragma GCC unroll 4
            for (int i = 0; i < m; i++) sum[i][j] = TL_X(tl_add_product)(sum[i][j], av[i], bv);
        }
    }
    const int group = n < VL ? n : VL;
#pragma GCC unroll 4
    for (int i = 0; i < m; i++)
#pragma GCC unroll 8
        for (int j = 0; j < n; j += group) TL_X(tl_store_part)(c + i * ldc + j, TL_X(tl_lane_sums)(&sum[i][j], group), group);
}

/* One tile of a constant size per call, so that gcc keeps the sums of each in registers. */
#define TL_DOT_TILE(m, n) \
    static __attribute__((noinline, unused)) void TL_X(tl_dots_##m##x##n)(int64_t k, const TL_T *a, int64_t lda, const TL_T *b, \
                                                                          int64_t ldb, TL_T *c, int64_t ldc) { \
        TL_X(tl_dot_tile)(m, n, k, a, lda, b, ldb, c, ldc); \
    }
TL_DOT_TILE(1, 1)
TL_DOT_TILE(1, 2)
TL_DOT_TILE(1, 4)
TL_DOT_TILE(1, 8)
TL_DOT_TILE(2, 1)
TL_DOT_TILE(2, 4)
TL_DOT_TILE(3, 1)
TL_DOT_TILE(3, 4)
TL_DOT_TILE(4, 1)
TL_DOT_TILE(4, 4)

static __attribute__((unused)) void TL_X(tl_dots)(int64_t m, int64_t n, int64_t k, const TL_T *a, int64_t lda, const TL_T *b, int64_t ldb,
                                                  TL_T *c, int64_t ldc) {
    for (int64_t i = 0, rows; i < m; i += rows) {
        rows = m - i < DOT_M ? m - i : DOT_M;
        const TL_T *ai = a + i * lda;
        TL_T *ci = c + i * ldc;
        int64_t j = 0;
        if (rows == 4) {
            for (; j + 4 <= n; j += 4) TL_X(tl_dots_4x4)(k, ai, lda, b + j * ldb, ldb, ci + j, ldc);
            for (; j < n; j++) TL_X(tl_dots_4x1)(k, ai, lda, b + j * ldb, ldb, ci + j, ldc);
        } else if (rows == 3) {
            for (; j + 4 <= n; j += 4) TL_X(tl_dots_3x4)(k, ai, lda, b + j * ldb, ldb, ci + j, ldc);
            for (; j < n; j++) TL_X(tl_dots_3x1)(k, ai, lda, b + j * ldb, ldb, ci + j, ldc);
        } else if (rows == 2) {
            for (; j + 4 <= n; j += 4) TL_X(tl_dots_2x4)(k, ai, lda, b + j * ldb, ldb, ci + j, ldc);
            for (; j < n; j++) TL_X(tl_dots_2x1)(k, ai, lda, b + j * ldb, ldb, ci + j, ldc);
        } else {
            for (; j + 8 <= n; j += 8) TL_X(tl_dots_1x8)(k, ai, lda, b + j * ldb, ldb, ci + j, ldc);
            for (; j + 4 <= n; j += 4) TL_X(tl_dots_1x4)(k, ai, lda, b + j * ldb, ldb, ci + j, ldc);
            for (; j + 2 <= n; j += 2) TL_X(tl_dots_1x2)(k, ai, lda, b + j * ldb, ldb, ci + j, ldc);
            for (; j < n; j++) TL_X(tl_dots_1x1)(k, ai, lda, b + j * ldb, ldb, ci + j, ldc);
        }
    }
}

/* ROWS rows of B at a time, so that c is read and written once for all of them. */
#define ROWS 8
TL_INLINE void TL_X(tl_add_rows)(const int rows, int64_t n, const TL_T *a, int64_t a_step, const TL_T *TL_RESTRICT b, int64_t ldb,
                                 TL_T *TL_RESTRICT c, int first) {
    VEC av[ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) av[r] = a[r * a_step] - (VEC){0};
    int64_t j = 0;
    for (; j + 2 * VL <= n; j += 2 * VL) {
        VEC s0 = {0}, s1 = {0};
        if (!first) s0 = *(const UVEC *)(c + j), s1 = *(const UVEC *)(c + j + VL);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) s0 += av[r] * *(const UVEC *)(b + r * ldb + j), s1 += av[r] * *(const UVEC *)(b + r * ldb + j + VL);
        *(UVEC *)(c + j) = s0;
        *(UVEC *)(c + j + VL) = s1;
    }
    for (; j < n; j += VL) {
        int64_t part = n - j < VL ? n - j : VL;
        VEC s = {0};
        if (!first) s = TL_X(tl_load_part)(c + j, part);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) s += av[r] * TL_X(tl_load_part)(b + r * ldb + j, part);
        TL_X(tl_store_part)(c + j, s, part);
    }
}

/* The sums of a short row stay in registers while all rows of B pass. */
TL_INLINE void TL_X(tl_short_row)(const int vectors, int64_t part, int64_t k, const TL_T *a, int64_t a_step, const TL_T *b, int64_t ldb,
                                  TL_T *c) {
    VEC sum[ROWS];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) sum[v] = (VEC){0};
    for (int64_t p = 0; p < k; p++, a += a_step, b += ldb) {
        const VEC av = *a - (VEC){0};
#pragma GCC unroll 8
        for (int v = 0; v < vectors - 1; v++) sum[v] = TL_X(tl_add_product)(sum[v], av, *(const UVEC *)(b + v * VL));
        const TL_T *last = b + (vectors - 1) * VL;
        const VEC ends = part == VL ? *(const UVEC *)last : (UVEC)TL_X(tl_load_part)(last, part);
        sum[vectors - 1] = TL_X(tl_add_product)(sum[vectors - 1], av, ends);
    }
#pragma GCC unroll 8
    for (int v = 0; v < vectors - 1; v++) *(UVEC *)(c + v * VL) = sum[v];
    TL_X(tl_store_part)(c + (vectors - 1) * VL, sum[vectors - 1], part);
}

#define SHORT_ROW(v) case v: TL_X(tl_short_row)(v, n - (v - 1) * VL, k, a, a_step, b, ldb, c); return;
static __attribute__((noinline, unused)) void TL_X(tl_short_rows)(int64_t n, int64_t k, const TL_T *a, int64_t a_step, const TL_T *b,
                                                                  int64_t ldb, TL_T *c) {
    switch ((n + VL - 1) / VL) {
        SHORT_ROW(1) SHORT_ROW(2) SHORT_ROW(3) SHORT_ROW(4) SHORT_ROW(5) SHORT_ROW(6) SHORT_ROW(7) SHORT_ROW(8)
    }
}

static __attribute__((unused)) void TL_X(tl_row_sum)(int64_t n, int64_t k, const TL_T *a, int64_t a_step, const TL_T *b, int64_t ldb,
                                                     TL_T *c) {
    int64_t p = 0;
    if (0 < n && n <= ROWS * VL) {
        TL_X(tl_short_rows)(n, k, a, a_step, b, ldb, c);
        return;
    }
    for (; p + ROWS <= k; p += ROWS) TL_X(tl_add_rows)(ROWS, n, a + p * a_step, a_step, b + p * ldb, ldb, c, p == 0);
    for (; p < k; p++) TL_X(tl_add_rows)(1, n, a + p * a_step, a_step, b + p * ldb, ldb, c, p == 0);
}

#undef VL
#undef VEC
#undef UVEC
#undef DOT_M
#undef ROWS
#undef SHORT_ROW
#undef TL_DOT_TILE
