/* Products of small matrices, of which the same one runs at each step of a loop: no path is looked for while they run.
 * Included with TL_T and TL_SUFFIX defined, after thin_template.h. The order of every sum is that of the path which gemm.pyx takes for
 * the shape.
 *
 *   tl_few_X(m, n, k, a, a_row, a_k, b, b_k, b_col, c)      sums in the order of k, as tiles and sums of rows have them; n <= TL_FEW and
 *                                                           1 < k <= TL_FEW
 *   tl_few_dots_X(n, k, a, b, b_col, c)                     one row of dots, in the order of tl_dots_X; 1 < k <= TL_FEW
 *   tl_pack_lines_X(P, n, k, b, ldb)                        n rows of B, of k terms each, for tl_lines_X; P has n · k numbers, where n is
 *                                                           rounded up to VL
 *   tl_lines_X(n, k, P, a, c, b, y)                         one row of dots with them, in the order of tl_dots_X; VL rows side by side;
 *                                                           and where b is not NULL, y = c + b, which c may share its memory with
 */
#define VL TL_X(TL_LANES)
#define VEC TL_X(tl_vec)
#define UVEC TL_X(tl_uvec)

TL_INLINE void TL_X(tl_few_case)(const int n, const int k, int64_t m, const TL_T *a, int64_t a_row, int64_t a_k, const TL_T *b, int64_t b_k,
                                 int64_t b_col, TL_T *c) {
    TL_T bv[TL_FEW][TL_FEW];
#pragma GCC unroll 4
    for (int p = 0; p < k; p++)
#pragma GCC unroll 4
        for (int j = 0; j < n; j++) bv[p][j] = b[p * b_k + j * b_col];
    for (int64_t i = 0; i < m; i++) {
        TL_T sum[TL_FEW];
#pragma GCC unroll 4
        for (int j = 0; j < n; j++) sum[j] = 0;
#pragma GCC unroll 4
        for (int p = 0; p < k; p++) {
            const TL_T av = a[i * a_row + p * a_k];
#pragma GCC unroll 4
            for (int j = 0; j < n; j++) sum[j] += av * bv[p][j];
        }
#pragma GCC unroll 4
        for (int j = 0; j < n; j++) c[i * n + j] = sum[j];
    }
}

#define FEW_CASE(n, k) \
    case 4 * (n) + (k): TL_X(tl_few_case)(n, k, m, a, a_row, a_k, b, b_k, b_col, c); return;
#define FEW_CASES(n) FEW_CASE(n, 2) FEW_CASE(n, 3) FEW_CASE(n, 4)
static __attribute__((noinline, unused)) void TL_X(tl_few)(int64_t m, int64_t n, int64_t k, const TL_T *a, int64_t a_row, int64_t a_k,
                                                           const TL_T *b, int64_t b_k, int64_t b_col, TL_T *c) {
    switch (4 * n + k) { FEW_CASES(1) FEW_CASES(2) FEW_CASES(3) FEW_CASES(4) }
}

/* The lanes of a vector that has k terms and zeros, added by halving the distance. */
TL_INLINE void TL_X(tl_few_dots_case)(const int k, int64_t n, const TL_T *a, const TL_T *b, int64_t b_col, TL_T *c) {
    for (int64_t j = 0; j < n; j++) {
        TL_T sum[VL];
#pragma GCC unroll 16
        for (int l = 0; l < VL; l++) sum[l] = 0;
#pragma GCC unroll 4
        for (int p = 0; p < k; p++) sum[p % VL] += a[p] * b[j * b_col + p];
#pragma GCC unroll 16
        for (int l = k % VL ? k % VL : VL; l < VL; l++) sum[l] += 0;
#pragma GCC unroll 4
        for (int apart = VL / 2; apart > 0; apart /= 2)
#pragma GCC unroll 8
            for (int l = 0; l < apart; l++) sum[l] += sum[l + apart];
        c[j] = sum[0];
    }
}

static __attribute__((noinline, unused)) void TL_X(tl_few_dots)(int64_t n, int64_t k, const TL_T *a, const TL_T *b, int64_t b_col,
                                                                TL_T *c) {
    switch (k) {
    case 2: TL_X(tl_few_dots_case)(2, n, a, b, b_col, c); return;
    case 3: TL_X(tl_few_dots_case)(3, n, a, b, b_col, c); return;
    case 4: TL_X(tl_few_dots_case)(4, n, a, b, b_col, c); return;
    }
}

/* Lines. tl_dots_X makes VL partial sums of each dot, of the terms l, l + VL, …, and adds them by halving the distance between them. Here
 * lane j has row j of B, and partial sums are made one after the other, in the order in which that tree is gone through from the left: l
 * with its bits reversed. P has for each group of vectors of rows, for each l in this order, the terms l, l + VL, …. */
enum { TL_X(tl_line_groups) = 4 };

static __attribute__((unused)) void TL_X(tl_pack_lines)(TL_T *P, int64_t n, int64_t k, const TL_T *b, int64_t ldb) {
    for (int64_t j = 0, width; j < n; j += width) {
        width = (n - j + VL - 1) / VL * VL;
        if (width > TL_X(tl_line_groups) * VL) width = TL_X(tl_line_groups) * VL;
        for (int i = 0; i < VL; i++) {
            int64_t p = 0;
            for (int bit = 1; bit < VL; bit *= 2) p = 2 * p + (i & bit ? 1 : 0);
            for (; p < k; p += VL, P += width)
                for (int64_t q = 0; q < width; q++) P[q] = j + q < n ? b[(j + q) * ldb + p] : 0;
        }
    }
}

/* A line: where the packed terms are that come next, and the sums of a group of vectors. */
typedef struct { const TL_T *P, *a; int64_t k; } TL_X(tl_line);

TL_INLINE void TL_X(tl_partial)(const int groups, const int l, TL_X(tl_line) *t, VEC *sum) {
    const int64_t over = t->k % VL;
#pragma GCC unroll 4
    for (int g = 0; g < groups; g++) sum[g] = (VEC){0};
    for (int64_t p = l; p < t->k; p += VL, t->P += groups * VL) {
        const VEC av = t->a[p] - (VEC){0};
#pragma GCC unroll 4
        for (int g = 0; g < groups; g++) sum[g] = TL_X(tl_add_product)(sum[g], av, *(const UVEC *)(t->P + g * VL));
    }
    /* The zeros with which the last vector of terms is filled. */
    if (over && l >= over)
#pragma GCC unroll 4
        for (int g = 0; g < groups; g++) sum[g] += (VEC){0};
}

/* Of `below` partial sums each: those of l, then those of l + apart, unless these are zeros beyond the last term. */
#define LINE_LEVEL(name, below, apart, least) \
    TL_INLINE void TL_X(name)(const int groups, const int l, TL_X(tl_line) *t, VEC *sum) { \
        VEC other[TL_X(tl_line_groups)]; \
        TL_X(below)(groups, l, t, sum); \
        if (least || l + (apart) < t->k) { \
            TL_X(below)(groups, l + (apart), t, other); \
            _Pragma("GCC unroll 4") for (int g = 0; g < groups; g++) sum[g] += other[g]; \
        } \
    }
LINE_LEVEL(tl_partials2, tl_partial, VL / 2, 1)
LINE_LEVEL(tl_partials4, tl_partials2, VL / 4, 0)
LINE_LEVEL(tl_partials8, tl_partials4, VL / 8, 0)
LINE_LEVEL(tl_partials16, tl_partials8, VL / 16, 0)

TL_INLINE const TL_T *TL_X(tl_lines_case)(const int groups, int64_t n, int64_t k, const TL_T *P, const TL_T *a, TL_T *c, const TL_T *b,
                                          TL_T *y) {
    TL_X(tl_line) t = {P, a, k};
    VEC sum[TL_X(tl_line_groups)];
    if (VL == 16) TL_X(tl_partials16)(groups, 0, &t, sum);
    else if (VL == 8) TL_X(tl_partials8)(groups, 0, &t, sum);
    else if (VL == 4) TL_X(tl_partials4)(groups, 0, &t, sum);
    else TL_X(tl_partials2)(groups, 0, &t, sum);
#pragma GCC unroll 4
    for (int g = 0; g < groups; g++) {
        const int64_t part = n - g * VL;
        if (part >= VL) {
            *(UVEC *)(c + g * VL) = sum[g];
            if (b) *(UVEC *)(y + g * VL) = sum[g] + *(const UVEC *)(b + g * VL);
        } else {
            TL_X(tl_store_part)(c + g * VL, sum[g], part);
            if (b) TL_X(tl_store_part)(y + g * VL, sum[g] + TL_X(tl_load_part)(b + g * VL, part), part);
        }
    }
    return t.P;
}

static __attribute__((noinline, unused)) void TL_X(tl_lines)(int64_t n, int64_t k, const TL_T *P, const TL_T *a, TL_T *c, const TL_T *b,
                                                             TL_T *y) {
    for (; n > 3 * VL; n -= 4 * VL, c += 4 * VL) {
        P = TL_X(tl_lines_case)(4, n, k, P, a, c, b, y);
        if (b) b += 4 * VL, y += 4 * VL;
    }
    if (n > 2 * VL) TL_X(tl_lines_case)(3, n, k, P, a, c, b, y);
    else if (n > VL) TL_X(tl_lines_case)(2, n, k, P, a, c, b, y);
    else if (n > 0) TL_X(tl_lines_case)(1, n, k, P, a, c, b, y);
}

#undef VL
#undef VEC
#undef UVEC
#undef FEW_CASE
#undef FEW_CASES
#undef LINE_LEVEL
