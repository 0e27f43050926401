/* The body of micro.h for one element type: included with TL_T (float, double) and TL_SUFFIX (f32, f64) defined. */

#define VL TL_X(TL_LANES)
#define NR TL_X(TL_NR)

#define VEC TL_X(tl_vec)
#define UVEC TL_X(tl_uvec)

/* One tile: constant mr and nv make every loop but the one over k unroll, and the sums live in registers. */
TL_INLINE void TL_X(tl_tile)(const int mr, const int nv, int64_t k, const TL_T *TL_RESTRICT a, int64_t a_row, int64_t a_k,
                             const TL_T *TL_RESTRICT b, int64_t b_k, TL_T *TL_RESTRICT c, int64_t ldc, int add) {
    VEC sum[TL_MR][TL_NV];
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) sum[i][v] = (VEC){0};
    for (int64_t p = 0; p < k; p++) {
        VEC bv[TL_NV];
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) bv[v] = *(const UVEC *)(b + v * VL);
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++) {
            VEC av = a[i * a_row] - (VEC){0}; /* a broadcast: x - 0 is x for every x */
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) sum[i][v] += av * bv[v];
        }
        a += a_k;
        b += b_k;
    }
    if (add) {
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) *(UVEC *)(c + i * ldc + v * VL) += sum[i][v];
    } else {
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) *(UVEC *)(c + i * ldc + v * VL) = sum[i][v];
    }
}

/* The height is a run-time number here, a constant in each branch. */
#define TL_ROW_CASE(m) \
    case m: TL_X(tl_tile)(m, nv, k, a, unit ? 1 : a_row, unit ? a_k : 1, b, b_k, c, ldc, add); return;
#if TL_MR == 14
#define TL_ROW_CASES \
    TL_ROW_CASE(1) TL_ROW_CASE(2) TL_ROW_CASE(3) TL_ROW_CASE(4) TL_ROW_CASE(5) TL_ROW_CASE(6) TL_ROW_CASE(7) TL_ROW_CASE(8) \
    TL_ROW_CASE(9) TL_ROW_CASE(10) TL_ROW_CASE(11) TL_ROW_CASE(12) TL_ROW_CASE(13) TL_ROW_CASE(14)
#else
#define TL_ROW_CASES TL_ROW_CASE(1) TL_ROW_CASE(2) TL_ROW_CASE(3) TL_ROW_CASE(4) TL_ROW_CASE(5) TL_ROW_CASE(6)
#endif

#define TL_TILES(name, nv_, unit_) \
    static __attribute__((noinline)) void TL_X(name)(int64_t mr, int64_t k, const TL_T *a, int64_t a_row, int64_t a_k, const TL_T *b, \
                                                     int64_t b_k, TL_T *c, int64_t ldc, int add) { \
        const int nv = nv_, unit = unit_; \
        switch (mr) { TL_ROW_CASES } \
    }
TL_TILES(tl_tiles_unit1, 1, 1)
TL_TILES(tl_tiles_unit2, 2, 1)
TL_TILES(tl_tiles_rows1, 1, 0)
TL_TILES(tl_tiles_rows2, 2, 0)

TL_INLINE void TL_X(tl_vectors)(int64_t mr, int64_t nv, int64_t k, const TL_T *a, int64_t a_row, int64_t a_k, const TL_T *b, int64_t b_k,
                                TL_T *c, int64_t ldc, int add) {
    if (a_row == 1) {
        if (nv == 2) TL_X(tl_tiles_unit2)(mr, k, a, a_row, a_k, b, b_k, c, ldc, add);
        else TL_X(tl_tiles_unit1)(mr, k, a, a_row, a_k, b, b_k, c, ldc, add);
    } else {
        if (nv == 2) TL_X(tl_tiles_rows2)(mr, k, a, a_row, a_k, b, b_k, c, ldc, add);
        else TL_X(tl_tiles_rows1)(mr, k, a, a_row, a_k, b, b_k, c, ldc, add);
    }
}

static __attribute__((noinline)) void TL_X(tl_micro_edge)(int64_t mr, int64_t nr, int64_t k, const TL_T *a, int64_t a_row, int64_t a_k,
                                                          const TL_T *b, int64_t b_k, TL_T *c, int64_t ldc, int add) {
    TL_T tile[TL_MR * NR] __attribute__((aligned(64)));
    TL_X(tl_vectors)(mr, (nr + VL - 1) / VL, k, a, a_row, a_k, b, b_k, tile, NR, 0);
    for (int64_t i = 0; i < mr; i++)
        for (int64_t j = 0; j < nr; j += VL) {
            int64_t part = nr - j < VL ? nr - j : VL;
            VEC v = *(const VEC *)(tile + i * NR + j);
            if (add) v += TL_X(tl_load_part)(c + i * ldc + j, part);
            TL_X(tl_store_part)(c + i * ldc + j, v, part);
        }
}

TL_INLINE void TL_X(tl_micro)(int64_t mr, int64_t nr, int64_t k, const TL_T *a, int64_t a_row, int64_t a_k, const TL_T *b, int64_t b_k,
                              TL_T *c, int64_t ldc, int add) {
    if (nr % VL) TL_X(tl_micro_edge)(mr, nr, k, a, a_row, a_k, b, b_k, c, ldc, add);
    else TL_X(tl_vectors)(mr, nr / VL, k, a, a_row, a_k, b, b_k, c, ldc, add);
}

/* r[i] = src[i*row … ], VL rows of VL, zeros beyond `rows` rows and `columns` columns (which may exceed VL). */
TL_INLINE void TL_X(tl_load_rows)(VEC *r, const TL_T *src, int64_t row, int64_t rows, int64_t columns) {
    if (rows >= VL && columns >= VL) {
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) r[i] = *(const UVEC *)(src + i * row);
    } else if (columns >= VL) {
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) r[i] = i < rows ? *(const UVEC *)(src + i * row) : (UVEC){0};
    } else {
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) r[i] = i < rows ? TL_X(tl_load_part)(src + i * row, columns) : (VEC){0};
    }
}

static __attribute__((noinline, unused)) void TL_X(tl_pack_b)(TL_T *TL_RESTRICT dst, const TL_T *TL_RESTRICT src, int64_t k_step,
                                                              int64_t col, int64_t k, int64_t nr) {
    if (col == 1) {
        if (nr == NR) {
            for (int64_t p = 0; p < k; p++)
#pragma GCC unroll 4
                for (int v = 0; v < TL_NV; v++) *(UVEC *)(dst + p * NR + v * VL) = *(const UVEC *)(src + p * k_step + v * VL);
        } else {
            for (int64_t p = 0; p < k; p++)
                for (int64_t j = 0; j < nr; j += VL)
                    *(UVEC *)(dst + p * NR + j) = TL_X(tl_load_part)(src + p * k_step + j, nr - j < VL ? nr - j : VL);
        }
    } else if (k_step == 1) {
        for (int64_t j = 0; j < nr; j += VL)
            for (int64_t p = 0; p < k; p += VL) {
                VEC r[VL];
                TL_X(tl_load_rows)(r, src + j * col + p, col, nr - j, k - p);
                TL_X(tl_transpose)(r);
                int64_t rows = k - p < VL ? k - p : VL;
                for (int64_t q = 0; q < rows; q++) *(UVEC *)(dst + (p + q) * NR + j) = r[q];
            }
    } else {
        int64_t padded = (nr + VL - 1) / VL * VL;
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = 0; j < padded; j++) dst[p * NR + j] = j < nr ? src[p * k_step + j * col] : 0;
    }
}

static __attribute__((noinline, unused)) void TL_X(tl_pack_a)(TL_T *TL_RESTRICT dst, const TL_T *TL_RESTRICT src, int64_t row,
                                                              int64_t k_step, int64_t mr, int64_t k) {
    if (row == 1) {
        for (int64_t p = 0; p < k; p++)
            for (int64_t i = 0; i < mr; i += VL) {
                int64_t part = mr - i < VL ? mr - i : VL;
                TL_X(tl_store_part)(dst + p * mr + i, TL_X(tl_load_part)(src + p * k_step + i, part), part);
            }
    } else if (k_step == 1) {
        const TL_T *end = dst + mr * k;
        for (int64_t i = 0; i < mr; i += VL)
            for (int64_t p = 0; p < k; p += VL) {
                VEC r[VL];
                TL_X(tl_load_rows)(r, src + i * row + p, row, mr - i, k - p);
                TL_X(tl_transpose)(r);
                int64_t part = mr - i < VL ? mr - i : VL, rows = k - p < VL ? k - p : VL;
                TL_T *to = dst + p * mr + i;
                for (int64_t q = 0; q < rows; q++, to += mr) {
                    /* With one group of lanes, what a whole vector writes beyond the row is written again by the next row. */
                    if (part == VL || (mr < VL && to + VL <= end)) *(UVEC *)to = r[q];
                    else TL_X(tl_store_part)(to, r[q], part);
                }
            }
    } else {
        for (int64_t p = 0; p < k; p++)
            for (int64_t i = 0; i < mr; i++) dst[p * mr + i] = src[i * row + p * k_step];
    }
}

/* Rows a power of two apart are not what a processor expects to be read next: they are asked for so many rows ahead. */
#define ROWS_AHEAD 16
static __attribute__((noinline, unused)) void TL_X(tl_pack_panels)(TL_T *TL_RESTRICT dst, int64_t panel, const TL_T *TL_RESTRICT src,
                                                                   int64_t k_step, int64_t width, int64_t panels, int64_t k) {
    if (width == NR) {
        for (int64_t p = 0; p < k; p++)
            for (int64_t q = 0; q < panels; q++)
#pragma GCC unroll 4
                for (int v = 0; v < TL_NV; v++) {
                    const TL_T *at = src + p * k_step + q * NR + v * VL;
                    __builtin_prefetch(at + ROWS_AHEAD * k_step);
                    *(UVEC *)(dst + q * panel + p * NR + v * VL) = *(const UVEC *)at;
                }
    } else {
        for (int64_t p = 0; p < k; p++)
            for (int64_t q = 0; q < panels; q++)
                for (int64_t i = 0; i < width; i += VL) {
                    int64_t part = width - i < VL ? width - i : VL;
                    const TL_T *at = src + p * k_step + q * width + i;
                    __builtin_prefetch(at + ROWS_AHEAD * k_step);
                    TL_X(tl_store_part)(dst + q * panel + p * width + i, TL_X(tl_load_part)(at, part), part);
                }
    }
}

#undef VL
#undef NR
#undef ROWS_AHEAD
#undef VEC
#undef UVEC
#undef TL_ROW_CASE
#undef TL_ROW_CASES
#undef TL_TILES
