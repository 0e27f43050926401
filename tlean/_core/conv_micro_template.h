/* The body of conv_micro.h, included once per real type: REAL is the type, NAME(x) its suffix. */
#define VEC NAME(conv_vec)
#define VECU NAME(conv_vecu)
typedef REAL VEC __attribute__((vector_size(CONV_VECTOR_BYTES)));
typedef REAL VECU __attribute__((vector_size(CONV_VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
#define LANES ((int)(CONV_VECTOR_BYTES / sizeof(REAL)))

typedef void (*NAME(conv_block_fn))(ptrdiff_t terms, const REAL *x, const int32_t *xoff, const REAL *w, ptrdiff_t ws, const int32_t *woff,
                                    const int32_t *pos, REAL *out, ptrdiff_t os, const int32_t *opos, const REAL *bias);

#define CONV_BLOCK(OB, NV)                                                                                                              \
    static void NAME(conv_block_##OB##_##NV)(ptrdiff_t terms, const REAL *TL_RESTRICT x, const int32_t *TL_RESTRICT xoff,               \
                                             const REAL *TL_RESTRICT w, ptrdiff_t ws, const int32_t *TL_RESTRICT woff,                  \
                                             const int32_t *TL_RESTRICT pos, REAL *TL_RESTRICT out, ptrdiff_t os,                       \
                                             const int32_t *TL_RESTRICT opos, const REAL *TL_RESTRICT bias) {                           \
        VEC acc[OB][NV];                                                                                                                \
        const REAL *at[NV];                                                                                                             \
        _Pragma("GCC unroll 8") for (int v = 0; v < NV; v++) at[v] = x + pos[v];                                                        \
        _Pragma("GCC unroll 8") for (int i = 0; i < OB; i++) {                                                                          \
            VEC start = (VEC){0};                                                                                                       \
            if (bias) start = bias[i] - (VEC){0};                                                                                       \
            _Pragma("GCC unroll 8") for (int v = 0; v < NV; v++) acc[i][v] = start;                                                     \
        }                                                                                                                               \
        for (ptrdiff_t k = 0; k < terms; k++) {                                                                                         \
            const ptrdiff_t xo = xoff[k];                                                                                               \
            const REAL *wk = w + woff[k];                                                                                               \
            VEC a[NV];                                                                                                                  \
            _Pragma("GCC unroll 8") for (int v = 0; v < NV; v++) a[v] = *(const VECU *)(at[v] + xo);                                    \
            _Pragma("GCC unroll 8") for (int i = 0; i < OB; i++) {                                                                      \
                VEC b = wk[i * ws] - (VEC){0};                                                                                          \
                _Pragma("GCC unroll 8") for (int v = 0; v < NV; v++) acc[i][v] += a[v] * b;                                             \
            }                                                                                                                           \
        }                                                                                                                               \
        _Pragma("GCC unroll 8") for (int v = 0; v < NV; v++) {                                                                          \
            _Pragma("GCC unroll 8") for (int i = 0; i < OB; i++) *(VECU *)(out + i * os + opos[v]) = acc[i][v];                         \
        }                                                                                                                               \
    }

CONV_BLOCK(1, 1) CONV_BLOCK(1, 2) CONV_BLOCK(1, 3) CONV_BLOCK(1, 4) CONV_BLOCK(1, 5) CONV_BLOCK(1, 6) CONV_BLOCK(1, 7) CONV_BLOCK(1, 8)
CONV_BLOCK(2, 1) CONV_BLOCK(2, 2) CONV_BLOCK(2, 3) CONV_BLOCK(2, 4)
CONV_BLOCK(3, 1) CONV_BLOCK(3, 2) CONV_BLOCK(3, 3)
CONV_BLOCK(4, 1) CONV_BLOCK(4, 2)
CONV_BLOCK(5, 1) CONV_BLOCK(5, 2)
CONV_BLOCK(6, 1) CONV_BLOCK(6, 2)
#if CONV_OB_MAX == 8
CONV_BLOCK(2, 5) CONV_BLOCK(2, 6) CONV_BLOCK(2, 7) CONV_BLOCK(2, 8)
CONV_BLOCK(3, 4) CONV_BLOCK(3, 5) CONV_BLOCK(3, 6)
CONV_BLOCK(4, 3) CONV_BLOCK(4, 4) CONV_BLOCK(4, 5)
CONV_BLOCK(5, 3) CONV_BLOCK(5, 4)
CONV_BLOCK(6, 3) CONV_BLOCK(6, 4)
CONV_BLOCK(7, 1) CONV_BLOCK(7, 2) CONV_BLOCK(7, 3)
CONV_BLOCK(8, 1) CONV_BLOCK(8, 2) CONV_BLOCK(8, 3)
#endif
#undef CONV_BLOCK

#define B(OB, NV) NAME(conv_block_##OB##_##NV)
static const NAME(conv_block_fn) NAME(conv_block)[9][9] = {
    [1] = {0, B(1, 1), B(1, 2), B(1, 3), B(1, 4), B(1, 5), B(1, 6), B(1, 7), B(1, 8)},
#if CONV_OB_MAX == 8
    [2] = {0, B(2, 1), B(2, 2), B(2, 3), B(2, 4), B(2, 5), B(2, 6), B(2, 7), B(2, 8)},
    [3] = {0, B(3, 1), B(3, 2), B(3, 3), B(3, 4), B(3, 5), B(3, 6)},
    [4] = {0, B(4, 1), B(4, 2), B(4, 3), B(4, 4), B(4, 5)},
    [5] = {0, B(5, 1), B(5, 2), B(5, 3), B(5, 4)},
    [6] = {0, B(6, 1), B(6, 2), B(6, 3), B(6, 4)},
    [7] = {0, B(7, 1), B(7, 2), B(7, 3)},
    [8] = {0, B(8, 1), B(8, 2), B(8, 3)},
#else
    [2] = {0, B(2, 1), B(2, 2), B(2, 3), B(2, 4)},
    [3] = {0, B(3, 1), B(3, 2), B(3, 3)},
    [4] = {0, B(4, 1), B(4, 2)},
    [5] = {0, B(5, 1), B(5, 2)},
    [6] = {0, B(6, 1), B(6, 2)},
#endif
};
#undef B

/* to[0 … n − 1] = from[0, step, 2 step, …]. */
TL_INLINE void NAME(conv_take)(REAL *TL_RESTRICT to, const REAL *TL_RESTRICT from, ptrdiff_t n, ptrdiff_t step) {
    if (step != 1) {
        for (ptrdiff_t i = 0; i < n; i++) to[i] = from[i * step];
    } else if (n >= LANES) {
        for (ptrdiff_t i = 0; i < n - LANES; i += LANES) *(VECU *)(to + i) = *(const VECU *)(from + i);
        *(VECU *)(to + n - LANES) = *(const VECU *)(from + n - LANES);
    } else {
        for (ptrdiff_t i = 0; i < n; i++) to[i] = from[i];
    }
}

/* to[0, step, 2 step, …] = from[0 … n − 1]. */
TL_INLINE void NAME(conv_put)(REAL *TL_RESTRICT to, const REAL *TL_RESTRICT from, ptrdiff_t n, ptrdiff_t step) {
    if (step == 1) {
        NAME(conv_take)(to, from, n, 1);
    } else {
        for (ptrdiff_t i = 0; i < n; i++) to[i * step] = from[i];
    }
}

TL_INLINE void NAME(conv_zero)(REAL *to, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) to[i] = 0;
}

/* The sums of the lanes of `count` vectors, added to to[0 … count − 1]. The order of the additions is fixed: halves, then neighbours. */
TL_INLINE void NAME(conv_add_lane_sums)(const VEC *rows, int count, REAL *to) {
    for (int i = 0; i < count; i++) {
        REAL lane[LANES];
        __builtin_memcpy(lane, &rows[i], sizeof lane);
        for (int width = LANES / 2; width > 0; width /= 2) {
            for (int l = 0; l < width; l++) lane[l] += lane[l + width];
        }
        to[i] += lane[0];
    }
}

typedef void (*NAME(dw_block_fn))(ptrdiff_t slices, const int32_t *gslice, const int32_t *xslice, ptrdiff_t length, const REAL *g,
                                  ptrdiff_t gs, const REAL *x, const int32_t *xoff, REAL *part);

#define DW_BLOCK(OB, KB)                                                                                                                \
    static void NAME(dw_block_##OB)(ptrdiff_t slices, const int32_t *TL_RESTRICT gslice, const int32_t *TL_RESTRICT xslice,             \
                                    ptrdiff_t length, const REAL *TL_RESTRICT g, ptrdiff_t gs, const REAL *TL_RESTRICT x,               \
                                    const int32_t *TL_RESTRICT xoff, REAL *TL_RESTRICT part) {                                          \
        VEC acc[KB][OB];                                                                                                                \
        _Pragma("GCC unroll 9") for (int j = 0; j < KB; j++) {                                                                          \
            _Pragma("GCC unroll 8") for (int i = 0; i < OB; i++) acc[j][i] = (VEC){0};                                                  \
        }                                                                                                                               \
        for (ptrdiff_t s = 0; s < slices; s++) {                                                                                        \
            const REAL *gp = g + gslice[s];                                                                                             \
            const REAL *xp = x + xslice[s];                                                                                             \
            const REAL *at[KB];                                                                                                         \
            _Pragma("GCC unroll 9") for (int j = 0; j < KB; j++) at[j] = xp + xoff[j];                                                  \
            for (ptrdiff_t p = 0; p < length; p += LANES) {                                                                             \
                VEC a[KB];                                                                                                              \
                _Pragma("GCC unroll 9") for (int j = 0; j < KB; j++) a[j] = *(const VECU *)(at[j] + p);                                 \
                _Pragma("GCC unroll 8") for (int i = 0; i < OB; i++) {                                                                  \
                    VEC b = *(const VECU *)(gp + i * gs + p);                                                                           \
                    _Pragma("GCC unroll 9") for (int j = 0; j < KB; j++) acc[j][i] += a[j] * b;                                         \
                }                                                                                                                       \
            }                                                                                                                           \
        }                                                                                                                               \
        VEC done[KB][OB]; /* a copy with an address, so that acc itself can live in registers */                                        \
        _Pragma("GCC unroll 9") for (int j = 0; j < KB; j++) {                                                                          \
            _Pragma("GCC unroll 8") for (int i = 0; i < OB; i++) done[j][i] = acc[j][i];                                                \
        }                                                                                                                               \
        for (int j = 0; j < KB; j++) NAME(conv_add_lane_sums)(done[j], OB, part + j * CONV_PART);                                       \
    }

#if CONV_OB_MAX == 8
DW_BLOCK(1, 9) DW_BLOCK(2, 9) DW_BLOCK(3, 6) DW_BLOCK(4, 6) DW_BLOCK(5, 4) DW_BLOCK(6, 4) DW_BLOCK(7, 3) DW_BLOCK(8, 3)
#else
DW_BLOCK(1, 9) DW_BLOCK(2, 4) DW_BLOCK(3, 3) DW_BLOCK(4, 3) DW_BLOCK(5, 2) DW_BLOCK(6, 2)
#endif
#undef DW_BLOCK

static const NAME(dw_block_fn) NAME(dw_block)[9] = {
    0, NAME(dw_block_1), NAME(dw_block_2), NAME(dw_block_3), NAME(dw_block_4), NAME(dw_block_5), NAME(dw_block_6),
#if CONV_OB_MAX == 8
    NAME(dw_block_7), NAME(dw_block_8),
#endif
};

#undef VEC
#undef VECU
#undef LANES
