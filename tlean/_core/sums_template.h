/* One element type of sums.h: TL_T the type, TL_INT the integer of its size, TL_NAME(name) the functions' names. */

#define LANES ((int)(64 / sizeof(TL_T)))
#define VEC TL_NAME(tl_sum_vec)
#define IVEC TL_NAME(tl_sum_ivec)
typedef TL_T VEC __attribute__((vector_size(64)));
typedef TL_INT IVEC __attribute__((vector_size(64)));

static inline VEC TL_NAME(tl_load)(const TL_T *x) {
    VEC v;
    memcpy(&v, x, sizeof v);
    return v;
}

/* Lanes halved until one is left: lane k takes lane k + h, h = LANES/2 … 1. */
static inline TL_T TL_NAME(tl_fold)(VEC v) {
    _Pragma("GCC unroll 4") for (int h = LANES / 2; h >= 1; h /= 2) {
        IVEC from;
        _Pragma("GCC unroll 16") for (int k = 0; k < LANES; k++) from[k] = (k + h) % LANES;
        v += __builtin_shuffle(v, from);
    }
    return v[0];
}

/* Σ x[0 … n - 1]: four vectors of lanes, in blocks of 32 strips of four vectors. */
static inline TL_T TL_NAME(tl_row_sum)(const TL_T *x, int64_t n) {
    int64_t i = 0;
    if (n < LANES) {
        TL_T s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (; i + 4 <= n; i += 4) {
            s0 += x[i];
            s1 += x[i + 1];
            s2 += x[i + 2];
            s3 += x[i + 3];
        }
        if (i < n) s0 += x[i];
        if (i + 1 < n) s1 += x[i + 1];
        if (i + 2 < n) s2 += x[i + 2];
        return (s0 + s2) + (s1 + s3);
    }
    VEC total = {0};
    if (n >= 4 * LANES) {
        VEC t0 = {0}, t1 = {0}, t2 = {0}, t3 = {0};
        const int64_t strips = n / (4 * LANES);
        for (int64_t first = 0; first < strips; first += 32) {
            const int64_t stop = strips < first + 32 ? strips : first + 32;
            VEC a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0};
            int64_t s = first;
            for (; s + 2 <= stop; s += 2, i += 8 * LANES) {
                a0 += TL_NAME(tl_load)(x + i) + TL_NAME(tl_load)(x + i + 4 * LANES);
                a1 += TL_NAME(tl_load)(x + i + LANES) + TL_NAME(tl_load)(x + i + 5 * LANES);
                a2 += TL_NAME(tl_load)(x + i + 2 * LANES) + TL_NAME(tl_load)(x + i + 6 * LANES);
                a3 += TL_NAME(tl_load)(x + i + 3 * LANES) + TL_NAME(tl_load)(x + i + 7 * LANES);
            }
            if (s < stop) {
                a0 += TL_NAME(tl_load)(x + i);
                a1 += TL_NAME(tl_load)(x + i + LANES);
                a2 += TL_NAME(tl_load)(x + i + 2 * LANES);
                a3 += TL_NAME(tl_load)(x + i + 3 * LANES);
                i += 4 * LANES;
            }
            t0 += a0;
            t1 += a1;
            t2 += a2;
            t3 += a3;
        }
        total = (t0 + t2) + (t1 + t3);
    }
    for (; i + LANES <= n; i += LANES) total += TL_NAME(tl_load)(x + i);
    if (i < n) {
        VEC rest = {0};
        memcpy(&rest, x + i, (n - i) * sizeof(TL_T));
        total += rest;
    }
    return TL_NAME(tl_fold)(total);
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

/* Up to 64 rows: groups of 8, then the rest row by row. rows ≥ 1. */
static inline void TL_NAME(tl_block)(TL_T *restrict sum, const TL_T *x, int64_t rows, int64_t stride, int64_t w) {
    int64_t r = 0;
    for (; r + 8 <= rows; r += 8) TL_NAME(tl_add8)(sum, x + r * stride, stride, w, r == 0);
    if (r == 0) {
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
    TL_NAME(tl_block)(total, x, rows < 64 ? rows : 64, stride, w);
    for (int64_t r = 64; r < rows; r += 64) {
        TL_NAME(tl_block)(part, x + r * stride, rows - r < 64 ? rows - r : 64, stride, w);
        for (int64_t j = 0; j < w; j++) total[j] += part[j];
    }
}

#undef LANES
#undef VEC
#undef IVEC
#undef TL_T
#undef TL_INT
#undef TL_NAME
