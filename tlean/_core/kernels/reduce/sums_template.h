/* One element type of sums.h: TL_T the type, TL_INT the integer of its size, TL_LANES elements in a vector,
 * TL_NAME(name) the functions' names. */

#define VEC TL_NAME(tl_sum_vec)
#define IVEC TL_NAME(tl_sum_ivec)
typedef TL_T VEC __attribute__((vector_size(TL_VECTOR_BYTES)));
typedef TL_INT IVEC __attribute__((vector_size(TL_VECTOR_BYTES)));

static inline VEC TL_NAME(tl_load)(const TL_T *x) {
    VEC v;
    memcpy(&v, x, sizeof v);
    return v;
}

/* TL_LANES zeros, then TL_LANES times all bits set. */
static const TL_INT TL_NAME(tl_tail)[2 * TL_LANES] = {[TL_LANES ... 2 * TL_LANES - 1] = -1};

/* Lanes halved until one is left: lane e takes lane e ^ w, w = TL_LANES/2 … 1. */
static inline TL_T TL_NAME(tl_fold)(VEC v) {
    if (TL_LANES > 8) v += TL_PERMUTE(IVEC, TL_LANES, v, v, TL_HALVE, 8);
    if (TL_LANES > 4) v += TL_PERMUTE(IVEC, TL_LANES, v, v, TL_HALVE, 4);
    if (TL_LANES > 2) v += TL_PERMUTE(IVEC, TL_LANES, v, v, TL_HALVE, 2);
    v += TL_PERMUTE(IVEC, TL_LANES, v, v, TL_HALVE, 1);
    return v[0];
}

/* Σ x[0 … n - 1], n ≥ TL_LANES: four vectors of lanes, in blocks of strips of four vectors. */
static inline TL_T TL_NAME(tl_row_sum)(const TL_T *x, int64_t n) {
    int64_t i = 0;
    VEC total = {0};
    if (n >= 4 * TL_LANES) {
        VEC t0 = {0}, t1 = {0}, t2 = {0}, t3 = {0};
        const int64_t strips = n / (4 * TL_LANES);
        for (int64_t first = 0; first < strips; first += TL_BLOCK_STRIPS) {
            const int64_t stop = strips < first + TL_BLOCK_STRIPS ? strips : first + TL_BLOCK_STRIPS;
            VEC a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0};
            int64_t s = first;
            for (; s + 2 <= stop; s += 2, i += 8 * TL_LANES) {
                /* The processor's own prefetch stops at page ends. */
                for (int k = 0; k < 8 * TL_VECTOR_BYTES; k += 64) __builtin_prefetch((const char *)(x + i) + 4096 + k);
                a0 += TL_NAME(tl_load)(x + i) + TL_NAME(tl_load)(x + i + 4 * TL_LANES);
                a1 += TL_NAME(tl_load)(x + i + TL_LANES) + TL_NAME(tl_load)(x + i + 5 * TL_LANES);
                a2 += TL_NAME(tl_load)(x + i + 2 * TL_LANES) + TL_NAME(tl_load)(x + i + 6 * TL_LANES);
                a3 += TL_NAME(tl_load)(x + i + 3 * TL_LANES) + TL_NAME(tl_load)(x + i + 7 * TL_LANES);
            }
            if (s < stop) {
                a0 += TL_NAME(tl_load)(x + i);
                a1 += TL_NAME(tl_load)(x + i + TL_LANES);
                a2 += TL_NAME(tl_load)(x + i + 2 * TL_LANES);
                a3 += TL_NAME(tl_load)(x + i + 3 * TL_LANES);
                i += 4 * TL_LANES;
            }
            t0 += a0;
            t1 += a1;
            t2 += a2;
            t3 += a3;
        }
        total = (t0 + t2) + (t1 + t3);
    }
    for (; i + TL_LANES <= n; i += TL_LANES) total += TL_NAME(tl_load)(x + i);
    if (i < n) {
        /* The last TL_LANES elements, those that are in the total already masked out. */
        IVEC fresh;
        memcpy(&fresh, TL_NAME(tl_tail) + (n - i), sizeof fresh);
        total += (VEC)((IVEC)TL_NAME(tl_load)(x + n - TL_LANES) & fresh);
    }
    return TL_NAME(tl_fold)(total);
}

/* sum[r] = Σ x[r·n + i], i < n, for neighbouring rows. Rows shorter than a vector are added element by element, many rows at once: a
 * transposed tile has one row in each lane. A tile reads past the ends of its rows, so the last rows are added singly, in the same order.
 */
static inline void TL_NAME(tl_row_sums)(TL_T *restrict sum, const TL_T *restrict x, int64_t rows, int64_t n) {
    int64_t r = 0;
    if (n >= TL_LANES) {
        for (; r < rows; r++) sum[r] = TL_NAME(tl_row_sum)(x + r * n, n);
        return;
    }
    for (; r + 2 * TL_LANES <= rows; r += TL_LANES) {
        TL_T columns[TL_LANES * TL_LANES];
        TL_T total[TL_LANES] = {0};
        for (int64_t first = 0; first < n; first += TL_LANES) {
            TL_NAME(tl_tile)(columns, TL_LANES, x + r * n + first, n);
            const int64_t count = n - first < TL_LANES ? n - first : TL_LANES;
            for (int64_t i = 0; i < count; i++)
                for (int k = 0; k < TL_LANES; k++) total[k] += columns[i * TL_LANES + k];
        }
        memcpy(sum + r, total, sizeof total);
    }
    for (; r < rows; r++) {
        TL_T total = 0;
        for (int64_t i = 0; i < n; i++) total += x[r * n + i];
        sum[r] = total;
    }
}

/* sum[j] (fresh: =, else +=) Σ_r x[r·stride + j] over 8 rows, as a tree. */
static inline void TL_NAME(tl_add8)(TL_T *restrict sum, const TL_T *x, int64_t stride, int64_t w, int fresh) {
    const TL_T *r0 = x, *r1 = x + stride, *r2 = r1 + stride, *r3 = r2 + stride, *r4 = r3 + stride, *r5 = r4 + stride, *r6 = r5 + stride,
               *r7 = r6 + stride;
    if (fresh)
        for (int64_t j = 0; j < w; j++) sum[j] = ((r0[j] + r1[j]) + (r2[j] + r3[j])) + ((r4[j] + r5[j]) + (r6[j] + r7[j]));
    else
        for (int64_t j = 0; j < w; j++) sum[j] += ((r0[j] + r1[j]) + (r2[j] + r3[j])) + ((r4[j] + r5[j]) + (r6[j] + r7[j]));
}

/* Up to 64 rows: groups of 8, then the rest row by row. rows ≥ 1. Without `fresh` they follow on others, whole groups of 8. */
static inline void TL_NAME(tl_block)(TL_T *restrict sum, const TL_T *x, int64_t rows, int64_t stride, int64_t w, int fresh) {
    int64_t r = 0;
    for (; r + 8 <= rows; r += 8) TL_NAME(tl_add8)(sum, x + r * stride, stride, w, fresh && r == 0);
    if (r == 0 && fresh) {
        memcpy(sum, x, w * sizeof(TL_T));
        r = 1;
    }
    for (; r < rows; r++) {
        const TL_T *row = x + r * stride;
        for (int64_t j = 0; j < w; j++) sum[j] += row[j];
    }
}

/* total[j] = Σ_r x[r·stride + j], j < w, in blocks of 64 rows; `part` is room for w elements. rows ≥ 1. */
static inline void TL_NAME(tl_panel_sum)(
    TL_T *restrict total, TL_T *restrict part, const TL_T *x, int64_t rows, int64_t stride, int64_t w) {
    TL_NAME(tl_block)(total, x, rows < 64 ? rows : 64, stride, w, 1);
    for (int64_t r = 64; r < rows; r += 64) {
        TL_NAME(tl_block)(part, x + r * stride, rows - r < 64 ? rows - r : 64, stride, w, 1);
        for (int64_t j = 0; j < w; j++) total[j] += part[j];
    }
}

/* `tl_panel_sum` of rows that come one after another: the next of them, whole groups of 8 unless they are the `last`. */
static inline void TL_NAME(tl_add_rows)(
    TL_T *restrict total, TL_T *restrict part, const TL_T *x, int64_t before, int64_t rows, int64_t w, int last) {
    for (int64_t r = 0, count; r < rows; r += count) {
        const int64_t in_block = (before + r) % 64;
        TL_T *sum = before + r < 64 ? total : part;
        count = rows - r < 64 - in_block ? rows - r : 64 - in_block;
        TL_NAME(tl_block)(sum, x + r * w, count, w, w, in_block == 0);
        if (sum == part && (in_block + count == 64 || (last && r + count == rows)))
            for (int64_t j = 0; j < w; j++) total[j] += part[j];
    }
}

#undef VEC
#undef IVEC
#undef TL_T
#undef TL_INT
#undef TL_LANES
#undef TL_NAME
