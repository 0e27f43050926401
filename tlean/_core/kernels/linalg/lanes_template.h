/* The body of lanes.h for one element type: included with TL_T, TL_SUFFIX, TL_INT, TL_ABS and TL_SQRT defined, after micro.h. */
#define VL TL_X(TL_LANES)
#define VEC TL_X(tl_vec)
#define UVEC TL_X(tl_uvec)
#define IVEC TL_X(tl_ivec)
#define AT(a, e) (*(VEC *)((a) + (e) * VL))

/* The lanes whose number, which has this size, has no finite reciprocal and is not 0. */
TL_INLINE IVEC TL_X(tl_tiny_lanes)(VEC size) { return (size <= TL_X(TL_TINY)) & (size != 0); }

TL_INLINE int TL_X(tl_is_tiny)(TL_T d) { return TL_ABS(d) <= TL_X(TL_TINY) && d != 0; }

/* Whether the mask of a comparison has a lane. */
TL_INLINE int TL_X(tl_any_lane)(IVEC mask) {
#if defined(__AVX512DQ__)
    return TL_X(TL_IS) ? _mm512_movepi32_mask((__m512i)mask) != 0 : _mm512_movepi64_mask((__m512i)mask) != 0;
#elif defined(__AVX2__)
    return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#elif defined(__SSE2__)
    return _mm_movemask_epi8((__m128i)mask) != 0;
#else
    TL_INT some = 0;
    for (int l = 0; l < VL; l++) some |= mask[l];
    return some != 0;
#endif
}

/* NaN in n entries of the lanes that are not ok; whether there is one among the first `lanes`. */
static int TL_X(tl_lanes_refuse)(TL_T *a, int64_t n, IVEC ok, int64_t lanes) {
    TL_INT all = -1, counted = -1;
    for (int l = 0; l < VL; l++) {
        all &= ok[l];
        if (l < lanes) counted &= ok[l];
    }
    if (all) return 0;
    const VEC nan = (VEC){0} + (TL_T)NAN;
    for (int64_t e = 0; e < n; e++) AT(a, e) = (VEC)(((IVEC)AT(a, e) & ok) | ((IVEC)nan & ~ok));
    return !counted;
}

TL_INLINE IVEC TL_X(tl_lanes_factor)(TL_T *a, const int64_t n) {
    IVEC ok = (IVEC){0} - 1;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            AT(a, i * n + j) = AT(a, i * n + j) * (TL_T)0.5 + AT(a, j * n + i) * (TL_T)0.5;
            AT(a, j * n + i) = (VEC){0};
        }
    for (int64_t j = 0; j < n; j++) {
        VEC d = AT(a, j * n + j);
        for (int64_t k = 0; k < j; k++) d -= AT(a, j * n + k) * AT(a, j * n + k);
        ok &= d > 0;
        for (int l = 0; l < VL; l++) d[l] = TL_SQRT(d[l]);
        AT(a, j * n + j) = d;
        const VEC r = 1 / d;
        int64_t i = j + 1;
        for (; i + 4 <= n; i += 4) {
            VEC s0 = AT(a, i * n + j), s1 = AT(a, (i + 1) * n + j), s2 = AT(a, (i + 2) * n + j), s3 = AT(a, (i + 3) * n + j);
            for (int64_t k = 0; k < j; k++) {
                const VEC f = AT(a, j * n + k);
                s0 -= AT(a, i * n + k) * f;
                s1 -= AT(a, (i + 1) * n + k) * f;
                s2 -= AT(a, (i + 2) * n + k) * f;
                s3 -= AT(a, (i + 3) * n + k) * f;
            }
            AT(a, i * n + j) = s0 * r;
            AT(a, (i + 1) * n + j) = s1 * r;
            AT(a, (i + 2) * n + j) = s2 * r;
            AT(a, (i + 3) * n + j) = s3 * r;
        }
        for (; i < n; i++) {
            VEC s = AT(a, i * n + j);
            for (int64_t k = 0; k < j; k++) s -= AT(a, i * n + k) * AT(a, j * n + k);
            AT(a, i * n + j) = s * r;
        }
    }
    return ok;
}

/* The usual small sizes as constants, for which loops unroll. */
static int TL_X(tl_lanes_cholesky)(TL_T *a, int64_t n, int64_t lanes) {
    IVEC ok;
    switch (n) {
        case 2: ok = TL_X(tl_lanes_factor)(a, 2); break;
        case 3: ok = TL_X(tl_lanes_factor)(a, 3); break;
        case 4: ok = TL_X(tl_lanes_factor)(a, 4); break;
        case 6: ok = TL_X(tl_lanes_factor)(a, 6); break;
        case 8: ok = TL_X(tl_lanes_factor)(a, 8); break;
        default: ok = TL_X(tl_lanes_factor)(a, n);
    }
    return TL_X(tl_lanes_refuse)(a, n * n, ok, lanes);
}

#define CHOSEN(mask, x, y) ((VEC)(((IVEC)(x) & (mask)) | ((IVEC)(y) & ~(mask))))

/* Row j exchanged with row row[lane] in each lane, perm too, whose entry i has one vector: by masks, since which rows these are no processor
 * can foretell. `others`: the rows below j, of many those that some lane exchanges. */
TL_INLINE void TL_X(tl_lanes_swap)(TL_T *a, IVEC *perm, const int64_t n, int64_t j, IVEC row) {
    int others[TL_LANES_ROWS] = {0}, count = 0;
    if (n <= 8) {
        for (int i = (int)j + 1; i < n; i++) others[count++] = i;
    } else {
        uint32_t some = 0;
        for (int l = 0; l < VL; l++) some |= (uint32_t)1 << row[l];
        for (some &= ~((uint32_t)1 << j); some; some &= some - 1) others[count++] = __builtin_ctz(some);
    }
    for (int64_t c = 0; c < n; c++) {
        const VEC x = AT(a, j * n + c);
        VEC top = x;
        for (int q = 0; q < count; q++) {
            const int64_t i = others[q];
            const IVEC here = row == (TL_INT)i;
            const VEC y = AT(a, i * n + c);
            top = CHOSEN(here, y, top);
            AT(a, i * n + c) = CHOSEN(here, x, y);
        }
        AT(a, j * n + c) = top;
    }
    const IVEC x = perm[j];
    for (int q = 0; q < count; q++) {
        const int64_t i = others[q];
        const IVEC here = row == (TL_INT)i, y = perm[i];
        perm[j] = (y & here) | (perm[j] & ~here);
        perm[i] = (x & here) | (y & ~here);
    }
}

/* `divide` is a constant: whether pivots with no finite reciprocal divide the column below them, and then multiply it by 1. */
TL_INLINE void TL_X(tl_lanes_eliminate)(TL_T *a, IVEC *perm, IVEC *odd, const int64_t n, const int divide) {
    const IVEC magnitude = (IVEC){0} + TL_X(TL_MAGNITUDE);
    for (int64_t j = 0; j < n; j++) {
        VEC best = (VEC)((IVEC)AT(a, j * n + j) & magnitude);
        IVEC row = (IVEC){0} + (TL_INT)j;
        for (int64_t i = j + 1; i < n; i++) {
            const VEC size = (VEC)((IVEC)AT(a, i * n + j) & magnitude);
            const IVEC more = size > best;
            best = CHOSEN(more, size, best);
            row = (((IVEC){0} + (TL_INT)i) & more) | (row & ~more);
        }
        TL_X(tl_lanes_swap)(a, perm, n, j, row);
        *odd ^= row != (TL_INT)j;
        const VEC pivot = AT(a, j * n + j);
        const IVEC zero = pivot == 0;
        VEC r = (VEC)((IVEC)(1 / pivot) & ~zero);
        if (divide) {
            const IVEC tiny = TL_X(tl_tiny_lanes)(best);
            for (int64_t i = j + 1; i < n; i++) AT(a, i * n + j) = CHOSEN(tiny, AT(a, i * n + j) / pivot, AT(a, i * n + j));
            r = CHOSEN(tiny, (VEC){0} + 1, r);
        }
        for (int64_t i = j + 1; i < n; i++) {
            const VEC f = AT(a, i * n + j) * r;
            AT(a, i * n + j) = f;
            for (int64_t c = j + 1; c < n; c++) AT(a, i * n + c) -= f * AT(a, j * n + c);
        }
    }
}

/* The same of few rows, whose entries stay in registers. */
TL_INLINE void TL_X(tl_lanes_eliminate_few)(TL_T *a, IVEC *perm, IVEC *odd, const int64_t n) {
    const IVEC magnitude = (IVEC){0} + TL_X(TL_MAGNITUDE);
    VEC m[16];
#pragma GCC unroll 16
    for (int64_t e = 0; e < n * n; e++) m[e] = AT(a, e);
#pragma GCC unroll 4
    for (int64_t j = 0; j < n; j++) {
        VEC best = (VEC)((IVEC)m[j * n + j] & magnitude);
        IVEC row = (IVEC){0} + (TL_INT)j;
#pragma GCC unroll 4
        for (int64_t i = j + 1; i < n; i++) {
            const VEC size = (VEC)((IVEC)m[i * n + j] & magnitude);
            const IVEC more = size > best;
            best = CHOSEN(more, size, best);
            row = (((IVEC){0} + (TL_INT)i) & more) | (row & ~more);
        }
        *odd ^= row != (TL_INT)j;
#pragma GCC unroll 4
        for (int64_t i = j + 1; i < n; i++) {
            const IVEC here = row == (TL_INT)i, p = perm[j], q = perm[i];
            perm[j] = (q & here) | (p & ~here);
            perm[i] = (p & here) | (q & ~here);
#pragma GCC unroll 4
            for (int64_t c = 0; c < n; c++) {
                const VEC x = m[j * n + c], y = m[i * n + c];
                m[j * n + c] = CHOSEN(here, y, x);
                m[i * n + c] = CHOSEN(here, x, y);
            }
        }
        const VEC pivot = m[j * n + j];
        const IVEC zero = pivot == 0;
        const VEC r = (VEC)((IVEC)(1 / pivot) & ~zero);
#pragma GCC unroll 4
        for (int64_t i = j + 1; i < n; i++) {
            const VEC f = m[i * n + j] * r;
            m[i * n + j] = f;
#pragma GCC unroll 4
            for (int64_t c = j + 1; c < n; c++) m[i * n + c] -= f * m[j * n + c];
        }
    }
#pragma GCC unroll 16
    for (int64_t e = 0; e < n * n; e++) AT(a, e) = m[e];
}

TL_INLINE void TL_X(tl_lanes_put_order)(int32_t *rows, const IVEC *perm, IVEC odd, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int l = 0; l < VL; l++) rows[i * VL + l] = (int32_t)perm[i][l];
    for (int l = 0; l < VL; l++) rows[n * VL + l] = odd[l] != 0;
}

static int TL_X(tl_lanes_lu)(TL_T *a, int32_t *rows, int64_t n) {
    const IVEC magnitude = (IVEC){0} + TL_X(TL_MAGNITUDE);
    IVEC perm[TL_LANES_ROWS], odd = {0}, tiny = {0};
    for (int64_t i = 0; i < n; i++) perm[i] = (IVEC){0} + (TL_INT)i;
    switch (n) {
        case 2: TL_X(tl_lanes_eliminate_few)(a, perm, &odd, 2); break;
        case 3: TL_X(tl_lanes_eliminate_few)(a, perm, &odd, 3); break;
        case 4: TL_X(tl_lanes_eliminate_few)(a, perm, &odd, 4); break;
        case 6: TL_X(tl_lanes_eliminate)(a, perm, &odd, 6, 0); break;
        case 8: TL_X(tl_lanes_eliminate)(a, perm, &odd, 8, 0); break;
        case 12: TL_X(tl_lanes_eliminate)(a, perm, &odd, 12, 0); break;
        case 16: TL_X(tl_lanes_eliminate)(a, perm, &odd, 16, 0); break;
        default: TL_X(tl_lanes_eliminate)(a, perm, &odd, n, 0);
    }
    TL_X(tl_lanes_put_order)(rows, perm, odd, n);
    /* The last pivot divides nothing. */
    for (int64_t j = 0; j + 1 < n; j++) tiny |= TL_X(tl_tiny_lanes)((VEC)((IVEC)AT(a, j * (n + 1)) & magnitude));
    return TL_X(tl_any_lane)(tiny);
}

static __attribute__((noinline, cold)) void TL_X(tl_lanes_lu_tiny)(TL_T *a, int32_t *rows, int64_t n) {
    IVEC perm[TL_LANES_ROWS], odd = {0};
    for (int64_t i = 0; i < n; i++) perm[i] = (IVEC){0} + (TL_INT)i;
    TL_X(tl_lanes_eliminate)(a, perm, &odd, n, 1);
    TL_X(tl_lanes_put_order)(rows, perm, odd, n);
}

/* The determinant of each lane's factors into y; or its sign alone. */
static void TL_X(tl_lanes_det)(const TL_T *a, const int32_t *perm, TL_T *y, int64_t n, int sign) {
    const int32_t *odd = perm + n * VL;
    VEC product = (VEC){0} + 1;
    for (int64_t i = 0; i < n; i++) {
        const VEC d = *(const VEC *)(a + i * (n + 1) * VL);
        const VEC unit = (VEC)(((IVEC)d & ~((IVEC){0} + TL_X(TL_MAGNITUDE))) | (IVEC)((VEC){0} + 1));
        product *= sign ? CHOSEN((d != d) | (d == 0), d, unit) : d;
    }
    for (int l = 0; l < VL; l++) y[l] = odd[l] ? -product[l] : product[l];
}

/* A determinant d whose minors may have left the range of their type, made again of rows and columns times powers of two: the same bits where
 * they had not. Entry e of the matrix is a[e * step]. */
static __attribute__((noinline, cold)) TL_T TL_X(tl_scaled_minors)(const TL_T *a, int64_t step, int64_t n, TL_T d) {
    enum { NONE = -100000 };
    int powers[16], row[4], column[4] = {NONE, NONE, NONE, NONE}, whole = 0;
    TL_T m[16];
    for (int64_t i = 0; i < n; i++) {
        row[i] = NONE;
        for (int64_t e = i * n; e < (i + 1) * n; e++) {
            m[e] = a[e * step];
            if (m[e] - m[e] != 0) return d;
            if (m[e] == 0) powers[e] = NONE; else frexp(m[e], &powers[e]);
            if (powers[e] > row[i]) row[i] = powers[e];
        }
        for (int64_t j = 0; j < n; j++)
            if (m[i * n + j] != 0 && powers[i * n + j] - row[i] > column[j]) column[j] = powers[i * n + j] - row[i];
    }
    for (int64_t i = 0; i < n; i++) {
        if (row[i] == NONE || column[i] == NONE) return d == 0 ? d : 0;
        whole += row[i] + column[i];
        for (int64_t j = 0; j < n; j++) m[i * n + j] = (TL_T)ldexp(m[i * n + j], -(row[i] + column[j]));
    }
    TL_MINORS(TL_T, d, m, n)
    return (TL_T)ldexp(d, whole);
}

/* The determinants of the lanes' matrices of two to four rows, by their minors. Each product is added by itself: that is one operation or two,
 * as the processor has it, and the same ones for one matrix (one_template.h). */
static void TL_X(tl_lanes_minors)(const TL_T *a, TL_T *y, int64_t n) {
    VEC m[16], d;
    for (int64_t e = 0; e < n * n; e++) m[e] = *(const VEC *)(a + e * VL);
    TL_MINORS(VEC, d, m, n)
    const VEC size = (VEC)((IVEC)d & ((IVEC){0} + TL_X(TL_MAGNITUDE)));
    const IVEC safe = (size >= TL_X(TL_LEAST_SAFE)) & (size <= 1 / TL_X(TL_LEAST_SAFE));
    TL_INT all = -1;
    for (int l = 0; l < VL; l++) all &= safe[l];
    memcpy(y, &d, sizeof d);
    for (int l = 0; !all && l < VL; l++)
        if (!safe[l]) y[l] = TL_X(tl_scaled_minors)(a + l, VL, n, y[l]);
}

/* The same of `count` matrices that lie `step` numbers apart, in y one after another. */
static void TL_X(tl_many_minors)(const TL_T *a, int64_t step, TL_T *y, int64_t count, int64_t n) {
    TL_T buf[16 * VL] __attribute__((aligned(64))), last[VL];
    void *from[VL];
    for (int64_t i = 0; i < count; i += VL) {
        const int64_t lanes = count - i < VL ? count - i : VL;
        for (int64_t l = 0; l < VL; l++) from[l] = (void *)(a + (i + l) * step);
        TL_X(tl_lanes_load)(buf, from, lanes, n * n);
        TL_X(tl_lanes_minors)(buf, lanes == VL ? y + i : last, n);
        if (lanes < VL) memcpy(y + i, last, lanes * sizeof(TL_T));
    }
}

/* Columns c … c + w - 1 of x; w is a constant, and `divide` too: whether some number of a diagonal has no finite reciprocal. */
TL_INLINE void TL_X(tl_lanes_columns)(const TL_T *t, int64_t row, int64_t col, TL_T *x, int64_t n, int64_t k, int64_t c, const int w, int back,
                                      int unit, const int divide) {
    for (int64_t step = 0; step < n; step++) {
        const int64_t i = back ? n - 1 - step : step, first = back ? i + 1 : 0, last = back ? n : i;
        VEC s[4];
#pragma GCC unroll 4
        for (int q = 0; q < w; q++) s[q] = AT(x, i * k + c + q);
        for (int64_t j = first; j < last; j++) {
            const VEC f = *(const VEC *)(t + (i * row + j * col) * VL);
#pragma GCC unroll 4
            for (int q = 0; q < w; q++) s[q] -= f * AT(x, j * k + c + q);
        }
        if (!unit) {
            const VEC d = *(const VEC *)(t + i * (row + col) * VL), r = 1 / d;
            const IVEC tiny = TL_X(tl_tiny_lanes)((VEC)((IVEC)d & ((IVEC){0} + TL_X(TL_MAGNITUDE))));
#pragma GCC unroll 4
            for (int q = 0; q < w; q++) {
                const VEC quotient = s[q] / d;
                s[q] *= r;
                if (divide) s[q] = CHOSEN(tiny, quotient, s[q]);
            }
        }
#pragma GCC unroll 4
        for (int q = 0; q < w; q++) AT(x, i * k + c + q) = s[q];
    }
}

/* Where a diagonal has a number that is 0, NaN or without a finite reciprocal. */
static __attribute__((noinline, cold)) int TL_X(tl_lanes_divided)(const TL_T *t, int64_t row, int64_t col, TL_T *x, int64_t n, int64_t k,
                                                                  int back, int64_t lanes) {
    IVEC ok = (IVEC){0} - 1;
    for (int64_t c = 0; c < k; c++) TL_X(tl_lanes_columns)(t, row, col, x, n, k, c, 1, back, 0, 1);
    for (int64_t i = 0; i < n; i++) ok &= *(const VEC *)(t + i * (row + col) * VL) != 0;
    return TL_X(tl_lanes_refuse)(x, n * k, ok, lanes);
}

static int TL_X(tl_lanes_solve)(const TL_T *t, int64_t row, int64_t col, TL_T *x, int64_t n, int64_t k, int back, int unit, int64_t lanes) {
    const IVEC magnitude = (IVEC){0} + TL_X(TL_MAGNITUDE);
    IVEC usual = (IVEC){0} - 1;
    int64_t c = 0;
    for (int64_t i = 0; i < n && !unit; i++)
        usual &= (VEC)((IVEC) * (const VEC *)(t + i * (row + col) * VL) & magnitude) > TL_X(TL_TINY);
    if (TL_RARELY(TL_X(tl_any_lane)(~usual & ((IVEC){TL_ORDER(VL)} < (TL_INT)lanes))))
        return TL_X(tl_lanes_divided)(t, row, col, x, n, k, back, lanes);
    for (; c + 4 <= k; c += 4) TL_X(tl_lanes_columns)(t, row, col, x, n, k, c, 4, back, unit, 0);
    for (; c < k; c++) TL_X(tl_lanes_columns)(t, row, col, x, n, k, c, 1, back, unit, 0);
    return 0;
}

#undef VL
#undef VEC
#undef UVEC
#undef IVEC
#undef AT
#undef CHOSEN
