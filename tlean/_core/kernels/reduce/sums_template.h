/* One element type and one reduction of sums.h: TL_T the type, TL_INT the integer of its size, TL_LANES elements in a vector,
 * TL_NAME(name) the functions' names; TL_MAP(v, m) what an element v counts, m being its row's or column's number, TL_WITH(a, b) what two
 * parts are together, TL_NEUTRAL a part of nothing. */

#define VEC TL_NAME(tl_sum_vec)
#define IVEC TL_NAME(tl_sum_ivec)
typedef TL_T VEC __attribute__((vector_size(TL_VECTOR_BYTES)));
typedef TL_INT IVEC __attribute__((vector_size(TL_VECTOR_BYTES)));

static inline VEC TL_NAME(tl_load)(const TL_T *x) {
    VEC v;
    memcpy(&v, x, sizeof v);
    return v;
}

#define TL_AT(x) TL_MAP(TL_NAME(tl_load)(x), m)
#define TL_NONE ((TL_T)TL_NEUTRAL - (VEC){0})

/* TL_LANES zeros, then TL_LANES times all bits set. */
static const TL_INT TL_NAME(tl_tail)[2 * TL_LANES] = {[TL_LANES ... 2 * TL_LANES - 1] = -1};

/* Lanes halved until one is left: lane e takes lane e ^ w, w = TL_LANES/2 … 1. */
static inline TL_T TL_NAME(tl_fold)(VEC v) {
    if (TL_LANES > 8) v = TL_WITH(v, TL_PERMUTE(IVEC, TL_LANES, v, v, TL_HALVE, 8));
    if (TL_LANES > 4) v = TL_WITH(v, TL_PERMUTE(IVEC, TL_LANES, v, v, TL_HALVE, 4));
    if (TL_LANES > 2) v = TL_WITH(v, TL_PERMUTE(IVEC, TL_LANES, v, v, TL_HALVE, 2));
    v = TL_WITH(v, TL_PERMUTE(IVEC, TL_LANES, v, v, TL_HALVE, 1));
    return v[0];
}

/* What strips of four vectors add to t, in blocks of strips; returns the elements in whole strips. */
static inline int64_t TL_NAME(tl_strips)(const TL_T *x, TL_T m, int64_t n, VEC *t) {
    int64_t i = 0;
    const int64_t strips = n / (4 * TL_LANES);
    for (int64_t first = 0; first < strips; first += TL_BLOCK_STRIPS) {
        const int64_t stop = strips < first + TL_BLOCK_STRIPS ? strips : first + TL_BLOCK_STRIPS;
        VEC a0 = TL_NONE, a1 = a0, a2 = a0, a3 = a0;
        int64_t s = first;
        for (; s + 2 <= stop; s += 2, i += 8 * TL_LANES) {
            /* The processor's own prefetch stops at page ends. */
            for (int k = 0; k < 8 * TL_VECTOR_BYTES; k += 64) __builtin_prefetch((const char *)(x + i) + 4096 + k);
            a0 = TL_WITH(a0, TL_WITH(TL_AT(x + i), TL_AT(x + i + 4 * TL_LANES)));
            a1 = TL_WITH(a1, TL_WITH(TL_AT(x + i + TL_LANES), TL_AT(x + i + 5 * TL_LANES)));
            a2 = TL_WITH(a2, TL_WITH(TL_AT(x + i + 2 * TL_LANES), TL_AT(x + i + 6 * TL_LANES)));
            a3 = TL_WITH(a3, TL_WITH(TL_AT(x + i + 3 * TL_LANES), TL_AT(x + i + 7 * TL_LANES)));
        }
        if (s < stop) {
            a0 = TL_WITH(a0, TL_AT(x + i));
            a1 = TL_WITH(a1, TL_AT(x + i + TL_LANES));
            a2 = TL_WITH(a2, TL_AT(x + i + 2 * TL_LANES));
            a3 = TL_WITH(a3, TL_AT(x + i + 3 * TL_LANES));
            i += 4 * TL_LANES;
        }
        t[0] = TL_WITH(t[0], a0);
        t[1] = TL_WITH(t[1], a1);
        t[2] = TL_WITH(t[2], a2);
        t[3] = TL_WITH(t[3], a3);
    }
    return i;
}

/* Σ x[0 … n - 1] and what is in t, n ≥ TL_LANES or something in t: four vectors of lanes, in blocks of strips of four vectors. */
static inline TL_T TL_NAME(tl_row_end)(const TL_T *x, TL_T m, int64_t n, VEC *t) {
    int64_t i = TL_NAME(tl_strips)(x, m, n, t);
    VEC total = TL_WITH(TL_WITH(t[0], t[2]), TL_WITH(t[1], t[3]));
    for (; i + TL_LANES <= n; i += TL_LANES) total = TL_WITH(total, TL_AT(x + i));
    if (i < n) {
        /* The last TL_LANES elements, those that are in the total already masked out. */
        IVEC fresh;
        memcpy(&fresh, TL_NAME(tl_tail) + (n - i), sizeof fresh);
        const VEC last = TL_AT(x + n - TL_LANES);
        total = TL_WITH(total, (VEC)(((IVEC)last & fresh) | ((IVEC)TL_NONE & ~fresh)));
    }
    return TL_NAME(tl_fold)(total);
}

static inline TL_T TL_NAME(tl_row_sum)(const TL_T *x, TL_T m, int64_t n) {
    VEC t[4] = {TL_NONE, TL_NONE, TL_NONE, TL_NONE};
    return TL_NAME(tl_row_end)(x, m, n, t);
}

/* sum[r] = Σ x[r·n + i], i < n, for neighbouring rows; m[r] is the number of a row. Rows shorter than a vector are added element by
 * element, many rows at once: a transposed tile has one row in each lane. A tile reads past the ends of its rows, so the last rows are added
 * singly, in the same order. */
static inline void TL_NAME(tl_row_sums)(TL_T *restrict sum, const TL_T *restrict x, const TL_T *restrict m, int64_t rows, int64_t n) {
    int64_t r = 0;
    if (n >= TL_LANES) {
        for (; r < rows; r++) sum[r] = TL_NAME(tl_row_sum)(x + r * n, TL_NUMBER(m, r), n);
        return;
    }
    for (; r + 2 * TL_LANES <= rows; r += TL_LANES) {
        TL_T columns[TL_LANES * TL_LANES];
        TL_T total[TL_LANES];
        for (int k = 0; k < TL_LANES; k++) total[k] = TL_NEUTRAL;
        for (int64_t first = 0; first < n; first += TL_LANES) {
            TL_KIND(tl_tile, )(columns, TL_LANES, x + r * n + first, n);
            const int64_t count = n - first < TL_LANES ? n - first : TL_LANES;
            for (int64_t i = 0; i < count; i++)
                for (int k = 0; k < TL_LANES; k++) total[k] = TL_WITH(total[k], TL_MAP(columns[i * TL_LANES + k], m[r + k]));
        }
        memcpy(sum + r, total, sizeof total);
    }
    for (; r < rows; r++) {
        TL_T total = TL_NEUTRAL;
        for (int64_t i = 0; i < n; i++) total = TL_WITH(total, TL_MAP(x[r * n + i], m[r]));
        sum[r] = total;
    }
}

#define TL_EIGHT(j) \
    TL_WITH( \
        TL_WITH(TL_WITH(TL_MAP(r0[j], m[j]), TL_MAP(r1[j], m[j])), TL_WITH(TL_MAP(r2[j], m[j]), TL_MAP(r3[j], m[j]))), \
        TL_WITH(TL_WITH(TL_MAP(r4[j], m[j]), TL_MAP(r5[j], m[j])), TL_WITH(TL_MAP(r6[j], m[j]), TL_MAP(r7[j], m[j]))))

/* sum[j] (fresh: =, else +=) Σ_r x[r·stride + j] over 8 rows, as a tree; m[j] is the number of a column. */
static inline void TL_NAME(tl_add8)(TL_T *restrict sum, const TL_T *x, const TL_T *m, int64_t stride, int64_t w, int fresh) {
    const TL_T *r0 = x, *r1 = x + stride, *r2 = r1 + stride, *r3 = r2 + stride, *r4 = r3 + stride, *r5 = r4 + stride, *r6 = r5 + stride,
               *r7 = r6 + stride;
    if (fresh)
        for (int64_t j = 0; j < w; j++) sum[j] = TL_EIGHT(j);
    else
        for (int64_t j = 0; j < w; j++) sum[j] = TL_WITH(sum[j], TL_EIGHT(j));
}

/* Up to 64 rows: groups of 8, then the rest row by row. rows ≥ 1. Without `fresh` they follow on others, whole groups of 8. */
static inline void TL_NAME(tl_block)(
    TL_T *restrict sum, const TL_T *x, const TL_T *m, int64_t rows, int64_t stride, int64_t w, int fresh) {
    int64_t r = 0;
    for (; r + 8 <= rows; r += 8) TL_NAME(tl_add8)(sum, x + r * stride, m, stride, w, fresh && r == 0);
    if (r == 0 && fresh) {
        for (int64_t j = 0; j < w; j++) sum[j] = TL_MAP(x[j], m[j]);
        r = 1;
    }
    for (; r < rows; r++) {
        const TL_T *row = x + r * stride;
        for (int64_t j = 0; j < w; j++) sum[j] = TL_WITH(sum[j], TL_MAP(row[j], m[j]));
    }
}

/* total[j] = Σ_r x[r·stride + j], j < w, in blocks of 64 rows; `part` is room for w elements. rows ≥ 1. */
static inline void TL_NAME(tl_panel_sum)(
    TL_T *restrict total, TL_T *restrict part, const TL_T *x, const TL_T *m, int64_t rows, int64_t stride, int64_t w) {
    TL_NAME(tl_block)(total, x, m, rows < 64 ? rows : 64, stride, w, 1);
    for (int64_t r = 64; r < rows; r += 64) {
        TL_NAME(tl_block)(part, x + r * stride, m, rows - r < 64 ? rows - r : 64, stride, w, 1);
        for (int64_t j = 0; j < w; j++) total[j] = TL_WITH(total[j], part[j]);
    }
}

/* total[j] = Σ_r x[r·stride + j], j < w ≤ TL_PANEL. Columns that are few are widened: `beside` neighbouring rows make one wide row, and the
 * sums of the wide rows are folded in half until one row is left. */
static inline void TL_NAME(tl_column_sums)(TL_T *restrict total, const TL_T *x, const TL_T *m, int64_t rows, int64_t stride, int64_t w) {
    TL_T side[2 * TL_NARROW], part[TL_PANEL];
    int64_t beside = 1;
    if (stride == w)
        while (beside * w < TL_NARROW && rows >= 16 * beside) beside *= 2;
    if (beside == 1) {
        TL_NAME(tl_panel_sum)(total, part, x, m, rows, stride, w);
        return;
    }
    const int64_t wide = beside * w;
    TL_WIDENED(m, w, wide)
    TL_NAME(tl_panel_sum)(side, part, x, m, rows / beside, wide, wide);
    x += rows / beside * wide;
    for (int64_t j = 0; j < rows % beside * w; j++) side[j] = TL_WITH(side[j], TL_MAP(x[j], m[j]));
    while (beside > 1) {
        beside /= 2;
        for (int64_t j = 0; j < beside * w; j++) side[j] = TL_WITH(side[j], side[beside * w + j]);
    }
    for (int64_t j = 0; j < w; j++) total[j] = side[j];
}

#ifdef TL_IN_PARTS
/* `tl_row_sum` of a row that comes in parts, all but the last of them whole blocks of strips: `state` is room for four vectors. */
static void TL_NAME(tl_sum_part)(TL_T *total, TL_T *state, const TL_T *x, int64_t n, int first, int last) {
    VEC t[4] = {TL_NONE, TL_NONE, TL_NONE, TL_NONE};
    const TL_T m = 0;
    if (!first) memcpy(t, state, sizeof t);
    if (last) {
        *total = TL_NAME(tl_row_end)(x, m, n, t);
    } else {
        TL_NAME(tl_strips)(x, m, n, t);
        memcpy(state, t, sizeof t);
    }
}

/* `tl_panel_sum` of rows that come one after another: the next of them, whole groups of 8 unless they are the `last`. */
static inline void TL_NAME(tl_add_rows)(
    TL_T *restrict total, TL_T *restrict part, const TL_T *x, int64_t before, int64_t rows, int64_t w, int last) {
    for (int64_t r = 0, count; r < rows; r += count) {
        const int64_t in_block = (before + r) % 64;
        TL_T *sum = before + r < 64 ? total : part;
        count = rows - r < 64 - in_block ? rows - r : 64 - in_block;
        TL_NAME(tl_block)(sum, x + r * w, NULL, count, w, w, in_block == 0);
        if (sum == part && (in_block + count == 64 || (last && r + count == rows)))
            for (int64_t j = 0; j < w; j++) total[j] += part[j];
    }
}
#endif

#undef TL_EIGHT
#undef TL_AT
#undef TL_NONE
#undef VEC
#undef IVEC
#undef TL_NAME
