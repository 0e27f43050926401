/* Matrices of more than a few rows, whose rows are vectors: some of them abreast, since each step of one waits for the step before. Included
 * like lanes_template.h; bits are those of a lane.
 *
 *   tl_abreast_lu_X(type, a, perm, step, count, n, pitch)     as tl_lanes_lu_X, for each of count <= TL_ABREAST matrices a[g] of at most
 *                                                             TL_ABREAST_ROWS rows that are `pitch` apart and whole vectors: row i was row
 *                                                             perm[g][i * step], perm[g][n * step] says whether that order is odd
 */
#define VL TL_X(TL_LANES)
#define VEC TL_X(tl_vec)
#define UVEC TL_X(tl_uvec)
#define IVEC TL_X(tl_ivec)
#define ROW(a, u) (*(UVEC *)((a) + (u) * VL))
#define CHOSEN(mask, x, y) ((VEC)(((IVEC)(x) & (mask)) | ((IVEC)(y) & ~(mask))))

/* What the next step reads of a matrix: the row of the largest entry, for each column of one vector. */
typedef union {
    IVEC row;
    TL_INT at[VL];
} TL_X(tl_largest);

/* Each lane of the result is the lane of v that all of `spread` names: Clang's shuffle takes literal lanes alone. */
TL_INLINE VEC TL_X(tl_abreast_spread)(VEC v, IVEC spread) {
#if defined(__clang__)
    const TL_T value = v[spread[0]];
    VEC lanes = {0};
    for (int l = 0; l < VL; l++) lanes[l] = value;
    return lanes;
#else
    return __builtin_shuffle(v, spread);
#endif
}

TL_INLINE void TL_X(tl_abreast_first)(const TL_T *a, int64_t pitch, int64_t n, TL_X(tl_largest) *largest) {
    const IVEC magnitude = (IVEC){0} + TL_X(TL_MAGNITUDE);
    VEC best = (VEC)((IVEC) * (const UVEC *)a & magnitude);
    IVEC row = {0};
    for (int64_t i = 1; i < n; i++) {
        const VEC size = (VEC)((IVEC) * (const UVEC *)(a + i * pitch) & magnitude);
        const IVEC more = size > best;
        best = CHOSEN(more, size, best);
        row = (((IVEC){0} + (TL_INT)i) & more) | (row & ~more);
    }
    largest->row = row;
}

/* Step j, whose column is in vector v of the nv of a row: few are constants. */
TL_INLINE void TL_X(tl_abreast_step)(TL_T *a, int64_t pitch, int64_t n, int64_t j, const int v, const int nv, int32_t *perm, int64_t step,
                                     TL_X(tl_largest) *largest) {
    const IVEC magnitude = (IVEC){0} + TL_X(TL_MAGNITUDE);
    const int64_t p = largest->at[j - v * VL];
    IVEC column = {0};
    for (int l = 0; l < VL; l++) column[l] = (TL_INT)(v * VL + l);
    const IVEC after = column > (TL_INT)j, here = column == (TL_INT)j;
    TL_T *const top = a + j * pitch, *const other = a + p * pitch;
    const IVEC spread = (IVEC){0} + (TL_INT)(j - v * VL);
    VEC t[TL_ABREAST_ROWS / VL > 4 ? TL_ABREAST_ROWS / VL : 4];
#pragma GCC unroll 4
    for (int u = 0; u < nv; u++) {
        const VEC y = ROW(top, u);
        t[u] = ROW(other, u);
        ROW(other, u) = y;
        ROW(top, u) = t[u];
    }
    const VEC r = TL_X(tl_abreast_spread)(t[v], spread);
    VEC reciprocal = (VEC)((IVEC)(1 / r) & ~(r == 0));
    if (TL_RARELY(TL_X(tl_is_tiny)(r[0]))) {
        for (int64_t i = j + 1; i < n; i++) a[i * pitch + j] /= r[0];
        reciprocal = (VEC){0} + 1;
    }
    const int32_t q = perm[j * step];
    perm[j * step] = perm[p * step];
    perm[p * step] = q;
    perm[n * step] ^= p != j;
    const int next = j + 1 < (v + 1) * VL ? v : v + 1;
    VEC best = (VEC){0} - 1;
    IVEC row = (IVEC){0} + (TL_INT)(j + 1);
    int64_t i = j + 1;
#define LINE(x, size) \
    { \
        VEC y = ROW(x, v); \
        const VEC f = TL_X(tl_abreast_spread)(y, spread) * reciprocal; \
        y = CHOSEN(after, y - f * t[v], y); \
        y = CHOSEN(here, f, y); \
        ROW(x, v) = y; \
        size = y; \
        _Pragma("GCC unroll 4") for (int u = v + 1; u < nv; u++) { \
            const VEC z = ROW(x, u) - f * t[u]; \
            ROW(x, u) = z; \
            if (u == next) size = z; \
        } \
        size = (VEC)((IVEC)size & magnitude); \
    }
    for (; i + 4 <= n; i += 4) {
        TL_T *const x = a + i * pitch;
        VEC s0, s1, s2, s3;
        LINE(x, s0)
        LINE(x + pitch, s1)
        LINE(x + 2 * pitch, s2)
        LINE(x + 3 * pitch, s3)
        const IVEC m01 = s1 > s0, m23 = s3 > s2;
        const IVEC r01 = ((IVEC){0} + (TL_INT)i) - m01, r23 = ((IVEC){0} + (TL_INT)(i + 2)) - m23;
        s0 = CHOSEN(m01, s1, s0);
        s2 = CHOSEN(m23, s3, s2);
        const IVEC m = s2 > s0, r = (r23 & m) | (r01 & ~m);
        s0 = CHOSEN(m, s2, s0);
        const IVEC more = s0 > best;
        best = CHOSEN(more, s0, best);
        row = (r & more) | (row & ~more);
    }
    for (; i < n; i++) {
        VEC size;
        LINE(a + i * pitch, size)
        const IVEC more = size > best;
        best = CHOSEN(more, size, best);
        row = (((IVEC){0} + (TL_INT)i) & more) | (row & ~more);
    }
#undef LINE
    largest->row = row;
}

TL_INLINE void TL_X(tl_abreast_steps)(void *const *a, int32_t *const *perm, int64_t step, int64_t count, int64_t n, int64_t pitch, const int nv) {
    TL_X(tl_largest) largest[TL_ABREAST];
    for (int64_t g = 0; g < count; g++) {
        TL_X(tl_abreast_first)(a[g], pitch, n, &largest[g]);
        for (int64_t i = 0; i < n; i++) perm[g][i * step] = (int32_t)i;
        perm[g][n * step] = 0;
    }
#pragma GCC unroll 4
    for (int v = 0; v < nv; v++)
        for (int64_t j = v * VL; j < n && j < (v + 1) * VL; j++)
            for (int64_t g = 0; g < count; g++) TL_X(tl_abreast_step)(a[g], pitch, n, j, v, nv, perm[g], step, &largest[g]);
}

static void TL_X(tl_abreast_lu)(const TL_T *type, void *const *a, int32_t *const *perm, int64_t step, int64_t count, int64_t n, int64_t pitch) {
    switch ((n + VL - 1) / VL) {
        case 2: TL_X(tl_abreast_steps)(a, perm, step, count, n, pitch, 2); return;
        case 3: TL_X(tl_abreast_steps)(a, perm, step, count, n, pitch, 3); return;
        case 4: TL_X(tl_abreast_steps)(a, perm, step, count, n, pitch, 4); return;
        default: TL_X(tl_abreast_steps)(a, perm, step, count, n, pitch, (int)((n + VL - 1) / VL));
    }
}

#undef VL
#undef VEC
#undef UVEC
#undef IVEC
#undef ROW
#undef CHOSEN
