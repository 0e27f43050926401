/* One element type of maxima.h: TL_T the type, TL_INT the integer of its size, TL_LANES elements in a vector,
 * TL_NAME(name) the functions' names. */

#define VEC TL_NAME(tl_max_vec)
#define IVEC TL_NAME(tl_max_ivec)
typedef TL_T VEC __attribute__((vector_size(TL_VECTOR_BYTES)));
typedef TL_INT IVEC __attribute__((vector_size(TL_VECTOR_BYTES)));

/* Lane by lane: where x[at …] is greater than what `top` holds, take it and its position's base `at`; nan collects where x is NaN. */
static inline __attribute__((always_inline)) void TL_NAME(tl_max_step)(VEC *top, IVEC *base, IVEC *nan, const TL_T *x, int64_t at) {
    VEC v;
    memcpy(&v, x + at, sizeof v);
    const IVEC more = v > *top;
    *top = (VEC)(((IVEC)v & more) | ((IVEC)*top & ~more));
    *base = (((TL_INT)at - (IVEC){0}) & more) | (*base & ~more);
    *nan |= v != v;
}

/* (top, where) = the greater of itself and (v, at), of equal ones the lower position. */
static inline __attribute__((always_inline)) void TL_NAME(tl_max_merge)(VEC *top, IVEC *where, VEC v, IVEC at) {
    const IVEC take = (v > *top) | ((v == *top) & (at < *where));
    *top = (VEC)(((IVEC)v & take) | ((IVEC)*top & ~take));
    *where = (at & take) | (*where & ~take);
}

/* The maximum of x[0 … n - 1], n ≥ 1, and its first position. */
static inline TL_T TL_NAME(tl_row_max)(const TL_T *x, int64_t n, int64_t *position) {
    int64_t i = 0;
    if (n >= TL_LANES) {
        const VEC low = (TL_T)-INFINITY - (VEC){0};
        VEC t0 = low, t1 = low, t2 = low, t3 = low;
        IVEC b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0}, nan = {0};
        if (n >= 4 * TL_LANES) {
            b1 += TL_LANES;
            b2 += 2 * TL_LANES;
            b3 += 3 * TL_LANES;
        }
        for (; i + 4 * TL_LANES <= n; i += 4 * TL_LANES) {
            TL_NAME(tl_max_step)(&t0, &b0, &nan, x, i);
            TL_NAME(tl_max_step)(&t1, &b1, &nan, x, i + TL_LANES);
            TL_NAME(tl_max_step)(&t2, &b2, &nan, x, i + 2 * TL_LANES);
            TL_NAME(tl_max_step)(&t3, &b3, &nan, x, i + 3 * TL_LANES);
        }
        for (; i + TL_LANES <= n; i += TL_LANES) TL_NAME(tl_max_step)(&t0, &b0, &nan, x, i);
        /* The last vector overlaps elements seen before: they are found again at the same positions. */
        if (i < n) TL_NAME(tl_max_step)(&t0, &b0, &nan, x, n - TL_LANES);
        TL_NAME(tl_max_merge)(&t0, &b0, t1, b1);
        TL_NAME(tl_max_merge)(&t2, &b2, t3, b3);
        TL_NAME(tl_max_merge)(&t0, &b0, t2, b2);
        b0 += (IVEC){TL_LIST(TL_LANES)(TL_LANE, 0, TL_LANES)};
        if (TL_LANES > 8) TL_NAME(tl_max_merge)(&t0, &b0, TL_HALVED(VEC, t0, 8), TL_HALVED(IVEC, b0, 8));
        if (TL_LANES > 4) TL_NAME(tl_max_merge)(&t0, &b0, TL_HALVED(VEC, t0, 4), TL_HALVED(IVEC, b0, 4));
        if (TL_LANES > 2) TL_NAME(tl_max_merge)(&t0, &b0, TL_HALVED(VEC, t0, 2), TL_HALVED(IVEC, b0, 2));
        TL_NAME(tl_max_merge)(&t0, &b0, TL_HALVED(VEC, t0, 1), TL_HALVED(IVEC, b0, 1));
        if (TL_LANES > 8) nan |= TL_HALVED(IVEC, nan, 8);
        if (TL_LANES > 4) nan |= TL_HALVED(IVEC, nan, 4);
        if (TL_LANES > 2) nan |= TL_HALVED(IVEC, nan, 2);
        nan |= TL_HALVED(IVEC, nan, 1);
        if (nan[0]) {
            for (i = 0; x[i] == x[i]; i++);
            *position = i;
            return x[i];
        }
        *position = b0[0];
        return t0[0];
    }
    TL_T top = x[0];
    *position = 0;
    for (i = 1; i < n; i++)
        if ((x[i] > top) | ((x[i] != x[i]) & (top == top))) {
            top = x[i];
            *position = i;
        }
    return top;
}

/* top[j] = max over rows of x[r·stride + j], j < w; rows ≥ 1. With `index`: index[j] = (first + r)·scale + under[r·stride + j] of the first
 * maximum, `under` (may be NULL) holding the indices that the elements of x represent. */
static inline void TL_NAME(tl_panel_max)(
    TL_T *restrict top, int32_t *restrict index, const TL_T *restrict x, const int32_t *restrict under, int64_t rows, int64_t stride, int64_t w,
    int64_t first, int64_t scale) {
    memcpy(top, x, w * sizeof(TL_T));
    if (!index) {
        for (int64_t r = 1; r < rows; r++) {
            const TL_T *row = x + r * stride;
            for (int64_t j = 0; j < w; j++) {
                const TL_T v = row[j], t = top[j];
                top[j] = ((v > t) | ((v != v) & (t == t))) ? v : t;
            }
        }
        return;
    }
    for (int64_t j = 0; j < w; j++) index[j] = (int32_t)(first * scale) + (under ? under[j] : 0);
    for (int64_t r = 1; r < rows; r++) {
        const TL_T *row = x + r * stride;
        const int32_t at = (int32_t)((first + r) * scale);
        if (under) {
            const int32_t *below = under + r * stride;
            for (int64_t j = 0; j < w; j++) {
                const TL_T v = row[j], t = top[j];
                const int take = (v > t) | ((v != v) & (t == t));
                top[j] = take ? v : t;
                index[j] = take ? at + below[j] : index[j];
            }
        } else {
            for (int64_t j = 0; j < w; j++) {
                const TL_T v = row[j], t = top[j];
                const int take = (v > t) | ((v != v) & (t == t));
                top[j] = take ? v : t;
                index[j] = take ? at : index[j];
            }
        }
    }
}

/* tl_row_max of neighbouring rows; `index` may be NULL. Rows shorter than a vector are searched many at once: a transposed tile has one
 * row in each lane. A tile reads past the ends of its rows, so the last rows are searched singly. */
static inline void TL_NAME(tl_row_maxima)(TL_T *restrict top, int32_t *restrict index, const TL_T *restrict x, int64_t rows, int64_t n) {
    int64_t r = 0, position;
    if (n < TL_LANES)
        for (; r + 2 * TL_LANES <= rows; r += TL_LANES) {
            TL_T columns[TL_LANES * TL_LANES];
            TL_NAME(tl_tile)(columns, TL_LANES, x + r * n, n);
            VEC t;
            IVEC at = {0};
            memcpy(&t, columns, sizeof t);
            for (int64_t i = 1; i < n; i++) {
                VEC v;
                memcpy(&v, columns + i * TL_LANES, sizeof v);
                const IVEC take = (v > t) | ((v != v) & (t == t));
                t = (VEC)(((IVEC)v & take) | ((IVEC)t & ~take));
                at = (((TL_INT)i - (IVEC){0}) & take) | (at & ~take);
            }
            memcpy(top + r, &t, sizeof t);
            if (index)
                for (int e = 0; e < TL_LANES; e++) index[r + e] = (int32_t)at[e];
        }
    for (; r < rows; r++) {
        top[r] = TL_NAME(tl_row_max)(x + r * n, n, &position);
        if (index) index[r] = (int32_t)position;
    }
}

#undef VEC
#undef IVEC
#undef TL_T
#undef TL_INT
#undef TL_LANES
#undef TL_NAME
