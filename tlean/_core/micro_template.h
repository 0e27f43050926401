/* The body of micro.h for one element type: included with TL_T (float, double) and TL_SUFFIX (f32, f64) defined. */

#define VL TL_X(TL_VL)
#define NR TL_X(TL_NR)

typedef TL_T TL_X(tl_vec) __attribute__((vector_size(TL_VBYTES), may_alias));
typedef TL_T TL_X(tl_uvec) __attribute__((vector_size(TL_VBYTES), aligned(sizeof(TL_T)), may_alias));
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
    for (int64_t i = 0; i < mr; i++) {
        if (add)
            for (int64_t j = 0; j < nr; j++) c[i * ldc + j] += tile[i * NR + j];
        else
            memcpy(c + i * ldc, tile + i * NR, (size_t)nr * sizeof(TL_T));
    }
}

TL_INLINE void TL_X(tl_micro)(int64_t mr, int64_t nr, int64_t k, const TL_T *a, int64_t a_row, int64_t a_k, const TL_T *b, int64_t b_k,
                              TL_T *c, int64_t ldc, int add) {
    if (nr % VL) TL_X(tl_micro_edge)(mr, nr, k, a, a_row, a_k, b, b_k, c, ldc, add);
    else TL_X(tl_vectors)(mr, nr / VL, k, a, a_row, a_k, b, b_k, c, ldc, add);
}

/* dst[p*width + i] = src[i*row + p*k_step] for i < n, zero for n <= i < padded <= width. */
TL_INLINE void TL_X(tl_pack)(TL_T *TL_RESTRICT dst, int64_t width, const TL_T *TL_RESTRICT src, int64_t row, int64_t k_step, int64_t n,
                             int64_t padded, int64_t k) {
    if (row == 1) {
        for (int64_t p = 0; p < k; p++) memcpy(dst + p * width, src + p * k_step, (size_t)n * sizeof(TL_T));
    } else {
        for (int64_t i = 0; i < n; i++)
            for (int64_t p = 0; p < k; p++) dst[p * width + i] = src[i * row + p * k_step];
    }
    for (int64_t i = n; i < padded; i++)
        for (int64_t p = 0; p < k; p++) dst[p * width + i] = 0;
}

static __attribute__((noinline, unused)) void TL_X(tl_pack_a)(TL_T *dst, const TL_T *src, int64_t row, int64_t k_step, int64_t mr,
                                                              int64_t k) {
    TL_X(tl_pack)(dst, mr, src, row, k_step, mr, mr, k);
}

static __attribute__((noinline, unused)) void TL_X(tl_pack_b)(TL_T *dst, const TL_T *src, int64_t k_step, int64_t col, int64_t k,
                                                              int64_t nr) {
    TL_X(tl_pack)(dst, NR, src, col, k_step, nr, (nr + VL - 1) / VL * VL, k);
}

#undef VL
#undef NR
#undef VEC
#undef UVEC
#undef TL_ROW_CASE
#undef TL_ROW_CASES
#undef TL_TILES
