/* One element type of maxima.h: TL_T the type, TL_INT the integer of its size, TL_LANES elements in a vector,
 * TL_NAME(name) the functions' names. */

#define VEC TL_NAME(tl_max_vec)
#define IVEC TL_NAME(tl_max_ivec)
typedef TL_T VEC __attribute__((vector_size(TL_VECTOR_BYTES)));
typedef TL_INT IVEC __attribute__((vector_size(TL_VECTOR_BYTES)));

/* top = max(top, x) lane by lane, NaN of x left out; nan collects where x is NaN. */
static inline __attribute__((always_inline)) void TL_NAME(tl_max_step)(VEC *top, IVEC *nan, const TL_T *x) {
    VEC v;
    memcpy(&v, x, sizeof v);
    const IVEC more = v > *top;
    *top = (VEC)(((IVEC)v & more) | ((IVEC)*top & ~more));
    *nan |= v != v;
}

/* max x[0 … n - 1], n ≥ 1. */
static inline TL_T TL_NAME(tl_row_max)(const TL_T *x, int64_t n) {
    TL_T best = -INFINITY;
    TL_INT bad = 0;
    int64_t i = 0;
    if (n >= TL_LANES) {
        VEC t0 = best - (VEC){0}, t1 = t0, t2 = t0, t3 = t0;
        IVEC b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0};
        for (; i + 4 * TL_LANES <= n; i += 4 * TL_LANES) {
            TL_NAME(tl_max_step)(&t0, &b0, x + i);
            TL_NAME(tl_max_step)(&t1, &b1, x + i + TL_LANES);
            TL_NAME(tl_max_step)(&t2, &b2, x + i + 2 * TL_LANES);
            TL_NAME(tl_max_step)(&t3, &b3, x + i + 3 * TL_LANES);
        }
        for (; i + TL_LANES <= n; i += TL_LANES) TL_NAME(tl_max_step)(&t0, &b0, x + i);
        /* The last vector overlaps elements seen before: a maximum may take them twice. */
        if (i < n) TL_NAME(tl_max_step)(&t1, &b1, x + n - TL_LANES);
        TL_T lanes[4 * TL_LANES];
        memcpy(lanes, &t0, sizeof t0);
        memcpy(lanes + TL_LANES, &t1, sizeof t1);
        memcpy(lanes + 2 * TL_LANES, &t2, sizeof t2);
        memcpy(lanes + 3 * TL_LANES, &t3, sizeof t3);
        b0 |= b1 | b2 | b3;
        for (int k = 0; k < TL_LANES; k++) bad |= b0[k];
        for (int k = 0; k < 4 * TL_LANES; k++) best = lanes[k] > best ? lanes[k] : best;
    } else {
        for (; i < n; i++) {
            bad |= x[i] != x[i];
            best = x[i] > best ? x[i] : best;
        }
    }
    return bad ? (TL_T)NAN : best;
}

/* The first position of `top`, the maximum of x[0 … n - 1]. */
static inline int64_t TL_NAME(tl_find)(const TL_T *x, int64_t n, TL_T top) {
    int64_t i = 0;
    if (top != top) {
        while (x[i] == x[i]) i++;
        return i;
    }
    for (; i + 64 <= n; i += 64) {
        TL_INT found = 0;
        for (int k = 0; k < 64; k++) found |= x[i + k] == top;
        if (found) break;
    }
    while (i < n - 1 && x[i] != top) i++;
    return i;
}

/* top[j] = max over rows of x[r·stride + j], j < w; rows ≥ 1. With `index`: index[j] = (first + r)·scale + under[r·stride + j] of the first
 * maximum, `under` (may be NULL) holding the indices that the elements of x stand for. */
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

#undef VEC
#undef IVEC
#undef TL_T
#undef TL_INT
#undef TL_LANES
#undef TL_NAME
