/* The body of kernels/conv/micro.h, included once per real type: REAL is the type, NAME(x) its suffix. */
#define VEC NAME(conv_vec)
#define VECU NAME(conv_vecu)
typedef REAL VEC __attribute__((vector_size(TL_VECTOR_BYTES)));
typedef REAL VECU __attribute__((vector_size(TL_VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
#define SHUFFLE(a, b, ...) CONV_SHUFFLE(a, b, NAME(conv_lanes), __VA_ARGS__)
typedef INTEGER NAME(conv_lanes) __attribute__((vector_size(TL_VECTOR_BYTES)));

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

/* The same for any number of channels, three vectors of positions and a sum so short that what it reads of x stays in registers: an output
 * then costs its multiply-adds, a store, and a load of each weight for three vectors. The terms of w are neighbours. */
typedef void (*NAME(conv_few_fn))(ptrdiff_t channels, const REAL *x, const int32_t *xoff, const REAL *w, ptrdiff_t ws, const int32_t *pos,
                                  REAL *out, ptrdiff_t os, const int32_t *opos, const REAL *bias, ptrdiff_t bias_step);
#if CONV_FEW > 0
#define CONV_FEW_BLOCK(T)                                                                                                               \
    static void NAME(conv_few_##T)(ptrdiff_t channels, const REAL *TL_RESTRICT x, const int32_t *TL_RESTRICT xoff,                      \
                                   const REAL *TL_RESTRICT w, ptrdiff_t ws, const int32_t *TL_RESTRICT pos, REAL *TL_RESTRICT out,      \
                                   ptrdiff_t os, const int32_t *TL_RESTRICT opos, const REAL *TL_RESTRICT bias, ptrdiff_t bias_step) {  \
        VEC a[T][3];                                                                                                                    \
        REAL *at[3];                                                                                                                    \
        _Pragma("GCC unroll 3") for (int v = 0; v < 3; v++) {                                                                           \
            at[v] = out + opos[v];                                                                                                      \
            _Pragma("GCC unroll 9") for (int t = 0; t < T; t++) {                                                                       \
                a[t][v] = *(const VECU *)(x + pos[v] + xoff[t]);                                                                        \
                CONV_IN_REGISTER(a[t][v]);                                                                                              \
            }                                                                                                                           \
        }                                                                                                                               \
        for (ptrdiff_t c = 0; c < channels; c++, w += ws, bias += bias_step) {                                                          \
            VEC acc[3];                                                                                                                 \
            _Pragma("GCC unroll 3") for (int v = 0; v < 3; v++) acc[v] = *bias - (VEC){0};                                              \
            _Pragma("GCC unroll 9") for (int t = 0; t < T; t++) {                                                                       \
                VEC b = w[t] - (VEC){0};                                                                                                \
                CONV_IN_REGISTER(b);                                                                                                    \
                _Pragma("GCC unroll 3") for (int v = 0; v < 3; v++) acc[v] += a[t][v] * b;                                              \
            }                                                                                                                           \
            _Pragma("GCC unroll 3") for (int v = 0; v < 3; v++) {                                                                       \
                *(VECU *)at[v] = acc[v];                                                                                                \
                at[v] += os;                                                                                                            \
            }                                                                                                                           \
        }                                                                                                                               \
    }
CONV_FEW_BLOCK(1) CONV_FEW_BLOCK(2) CONV_FEW_BLOCK(3) CONV_FEW_BLOCK(4) CONV_FEW_BLOCK(5) CONV_FEW_BLOCK(6) CONV_FEW_BLOCK(7)
CONV_FEW_BLOCK(8) CONV_FEW_BLOCK(9)
#undef CONV_FEW_BLOCK
static const NAME(conv_few_fn) NAME(conv_few)[CONV_FEW + 1] = {
    0, NAME(conv_few_1), NAME(conv_few_2), NAME(conv_few_3), NAME(conv_few_4), NAME(conv_few_5), NAME(conv_few_6), NAME(conv_few_7),
    NAME(conv_few_8), NAME(conv_few_9),
};
#else
static const NAME(conv_few_fn) NAME(conv_few)[1] = {0};
#endif

/* A vector's first n lanes, 0 < n, all of them from n = LANES on; the lanes behind are loaded as zeros. */
TL_INLINE void NAME(conv_store_first)(REAL *to, VEC v, ptrdiff_t n) {
    if (n >= LANES) {
        *(VECU *)to = v;
    } else {
#if defined(__AVX512F__)
        MASKED(mask_storeu)(to, (1u << n) - 1, v);
#else
        conv_copy((char *)to, (const char *)&v, n * (ptrdiff_t)sizeof(REAL), sizeof(VEC));
#endif
    }
}
TL_INLINE VEC NAME(conv_load_first)(const REAL *from, ptrdiff_t n) {
    if (n >= LANES) return *(const VECU *)from;
#if defined(__AVX512F__)
    return MASKED(maskz_loadu)((1u << n) - 1, from);
#else
    VEC v = (VEC){0};
    conv_copy((char *)&v, (const char *)from, n * (ptrdiff_t)sizeof(REAL), sizeof(VEC));
    return v;
#endif
}

TL_INLINE void NAME(conv_zero)(REAL *to, ptrdiff_t n) { conv_clear((char *)to, n * (ptrdiff_t)sizeof(REAL)); }

/* Whether none of them is a NaN or an infinity: x 0 is 0 for numbers alone. */
static int NAME(conv_all_finite)(const REAL *x, ptrdiff_t n) {
    VEC sum[4] = {{0}}; /* a single sum would wait for itself */
    REAL all = 0;
    ptrdiff_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) sum[k] += *(const VECU *)(x + i + k * LANES) * 0;
    }
    for (; i + LANES <= n; i += LANES) sum[0] += *(const VECU *)(x + i) * 0;
    if (i < n) sum[0] += NAME(conv_load_first)(x + i, n - i) * 0;
    sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    for (int l = 0; l < LANES; l++) all += sum[0][l];
    return all == 0;
}

/* Rows of a box: column i of row r becomes from[r, (i − begin) step] for begin <= i < end, else 0; 0 <= i < columns. */
static void NAME(conv_take)(REAL *TL_RESTRICT to, ptrdiff_t to_pitch, const REAL *TL_RESTRICT from, ptrdiff_t from_pitch, ptrdiff_t rows,
                            ptrdiff_t columns, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t step) {
    if (columns <= 0) return;
#if LANES == 16
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#elif LANES == 8
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#elif LANES == 4
#define EVEN 0, 2, 4, 6
#else
#define EVEN 0, 2
#endif
#if defined(__AVX512F__)
    if (step <= 2) {
        const unsigned whole = LANES == 16 ? 0xffff : 0xff, kept = columns < LANES ? (1u << columns) - 1 : whole;
        /* Strided rows a few at a time, so that what comes from far is read once and in order. */
        const ptrdiff_t most = step == 1 ? rows : 8;
        for (ptrdiff_t top = 0; top < rows; top += most, to += most * to_pitch, from += most * from_pitch) {
            const ptrdiff_t height = rows - top < most ? rows - top : most;
            for (ptrdiff_t next = 0; next < columns; next += LANES) {
                const ptrdiff_t at = next + LANES <= columns || next == 0 ? next : columns - LANES;
                const ptrdiff_t low = begin > at ? begin - at : 0, high = end < at + LANES ? end - at : LANES;
                const unsigned mask = low >= high ? 0 : ((1u << high) - 1) & ~((1u << low) - 1);
                REAL *out = to + at;
                const REAL *in = from + (at - begin) * step;
                if (step == 1) {
                    for (ptrdiff_t r = 0; r < height; r++) {
                        MASKED(mask_storeu)(out + r * to_pitch, kept, MASKED(maskz_loadu)(mask, in + r * from_pitch));
                    }
                } else {
                    /* Every second element of two vectors: bit l of the mask moves to bit 2 l. */
                    const unsigned spread = _pdep_u32(mask, 0x55555555);
                    for (ptrdiff_t r = 0; r < height; r++) {
                        const VEC a = MASKED(maskz_loadu)(spread & whole, in + r * from_pitch);
                        const VEC b = MASKED(maskz_loadu)(spread >> LANES, in + r * from_pitch + LANES);
                        MASKED(mask_storeu)(out + r * to_pitch, kept, SHUFFLE(a, b, EVEN));
                    }
                }
            }
        }
        return;
    }
#endif
    for (ptrdiff_t r = 0; r < rows; r++, to += to_pitch, from += from_pitch) {
        NAME(conv_zero)(to, begin);
        if (step == 1) {
            conv_copy((char *)(to + begin), (const char *)from, (end - begin) * (ptrdiff_t)sizeof(REAL), PTRDIFF_MAX);
        } else {
            ptrdiff_t i = begin;
            for (; step == 2 && i < end; i += LANES) {
                const ptrdiff_t left = end - i, need = 2 * left - 1;
                const REAL *pair = from + (i - begin) * 2;
                const VEC a = NAME(conv_load_first)(pair, need);
                VEC b = (VEC){0};
                if (need > LANES) b = NAME(conv_load_first)(pair + LANES, need - LANES);
                NAME(conv_store_first)(to + i, SHUFFLE(a, b, EVEN), left);
            }
            for (; i < end; i++) to[i] = from[(i - begin) * step];
        }
        NAME(conv_zero)(to + end, columns - end);
    }
#undef EVEN
}

/* Rows of results: to[r, i step] = from[r, i]. */
static void NAME(conv_put)(REAL *TL_RESTRICT to, ptrdiff_t to_pitch, const REAL *TL_RESTRICT from, ptrdiff_t from_pitch, ptrdiff_t rows,
                           ptrdiff_t columns, ptrdiff_t step) {
    if (step == 1) {
        NAME(conv_take)(to, to_pitch, from, from_pitch, rows, columns, 0, columns, 1);
        return;
    }
    for (ptrdiff_t r = 0; r < rows; r++, to += to_pitch, from += from_pitch) {
        ptrdiff_t i = 0;
#if defined(__AVX512F__)
        const unsigned even = 0x5555 & (LANES == 16 ? 0xffff : 0xff);
        for (; step == 2 && i + LANES <= columns; i += LANES) {
            MASKED(mask_storeu)(to + 2 * i, even, MASKED(maskz_expand)(even, MASKED(loadu)(from + i)));
            const VEC second = NAME(conv_load_first)(from + i + LANES / 2, LANES / 2);
            MASKED(mask_storeu)(to + 2 * i + LANES, even, MASKED(maskz_expand)(even, second));
        }
#endif
        for (; i < columns; i++) to[i * step] = from[i];
    }
}

/* to[i] += the sum of the lanes of rows[i], for CONV_PART rows. Two rows are merged by adding their even to their odd runs of `run` lanes,
 * interleaved; after log2(lanes) rounds lane i holds row i. The order of the additions is the same for every row. */
#if LANES == 16
#define MERGE1(a, b) (SHUFFLE(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) + \
                      SHUFFLE(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))
#define MERGE2(a, b) (SHUFFLE(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) + \
                      SHUFFLE(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
#define MERGE4(a, b) (SHUFFLE(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) + \
                      SHUFFLE(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))
#elif LANES == 8
#define MERGE1(a, b) (SHUFFLE(a, b, 0, 8, 2, 10, 4, 12, 6, 14) + SHUFFLE(a, b, 1, 9, 3, 11, 5, 13, 7, 15))
#define MERGE2(a, b) (SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13) + SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15))
#define MERGE4(a, b) (SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15))
#elif LANES == 4
#define MERGE1(a, b) (SHUFFLE(a, b, 0, 4, 2, 6) + SHUFFLE(a, b, 1, 5, 3, 7))
#define MERGE2(a, b) (SHUFFLE(a, b, 0, 1, 4, 5) + SHUFFLE(a, b, 2, 3, 6, 7))
#else
#define MERGE1(a, b) (SHUFFLE(a, b, 0, 2) + SHUFFLE(a, b, 1, 3))
#endif
TL_INLINE void NAME(conv_add_lane_sums)(const VEC *rows, REAL *to) {
    VEC a[CONV_PART];
    _Pragma("GCC unroll 8") for (int i = 0; i < CONV_PART / 2; i++) a[i] = MERGE1(rows[2 * i], rows[2 * i + 1]);
#if LANES >= 4
    _Pragma("GCC unroll 8") for (int i = 0; i < CONV_PART / 4; i++) a[i] = MERGE2(a[2 * i], a[2 * i + 1]);
#endif
#if LANES >= 8
    a[0] = MERGE4(a[0], a[1]);
#endif
#if LANES == 16
    a[0] += SHUFFLE(a[0], a[0], 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    REAL sums[LANES];
    *(VECU *)sums = a[0];
    for (int i = 0; i < CONV_PART; i++) to[i] += sums[i];
#else
    for (int i = 0; i < CONV_PART / LANES; i++) *(VECU *)(to + i * LANES) += a[i];
#endif
}
#undef MERGE1
#undef MERGE2
#undef MERGE4

typedef void (*NAME(dw_block_fn))(ptrdiff_t slices, const int32_t *gslice, const int32_t *xslice, ptrdiff_t length, const REAL *g,
                                  ptrdiff_t gs, const REAL *x, const int32_t *xoff, REAL *part);

/* The more numerous, vectors of x or of g, pass by one after another. */
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
                VEC a[KB], b[OB];                                                                                                       \
                _Pragma("GCC unroll 9") for (int j = 0; j < KB; j++) a[j] = *(const VECU *)(at[j] + p);                                 \
                _Pragma("GCC unroll 8") for (int i = 0; i < OB; i++) b[i] = *(const VECU *)(gp + i * gs + p);                           \
                if (OB >= KB) {                                                                                                         \
                    _Pragma("GCC unroll 8") for (int i = 0; i < OB; i++) {                                                              \
                        CONV_IN_REGISTER(b[i]);                                                                                         \
                        _Pragma("GCC unroll 9") for (int j = 0; j < KB; j++) acc[j][i] += a[j] * b[i];                                  \
                    }                                                                                                                   \
                } else {                                                                                                                \
                    _Pragma("GCC unroll 9") for (int j = 0; j < KB; j++) {                                                              \
                        CONV_IN_REGISTER(a[j]);                                                                                         \
                        _Pragma("GCC unroll 8") for (int i = 0; i < OB; i++) acc[j][i] += a[j] * b[i];                                  \
                    }                                                                                                                   \
                }                                                                                                                       \
            }                                                                                                                           \
        }                                                                                                                               \
        _Pragma("GCC unroll 9") for (int j = 0; j < KB; j++) {                                                                          \
            VEC rows[CONV_PART];                                                                                                        \
            _Pragma("GCC unroll 8") for (int i = 0; i < CONV_PART; i++) rows[i] = i < OB ? acc[j][i % OB] : (VEC){0};                   \
            NAME(conv_add_lane_sums)(rows, part + j * CONV_PART);                                                                       \
        }                                                                                                                               \
    }

#if CONV_OB_MAX == 8
DW_BLOCK(1, 9) DW_BLOCK(2, 9) DW_BLOCK(3, 9) DW_BLOCK(4, 6) DW_BLOCK(5, 4) DW_BLOCK(6, 4) DW_BLOCK(7, 3) DW_BLOCK(8, 3)
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

#include "kernels/conv/depthwise_template.h"

/* to[i, k] = part[k, i] for i < rows; whether all of it are numbers. */
static int NAME(conv_unpack)(REAL *TL_RESTRICT to, const REAL *TL_RESTRICT part, ptrdiff_t rows, ptrdiff_t terms) {
    ptrdiff_t k0 = 0;
    int spoilt = 0;
    for (; k0 < terms; k0 += 64) {
        const ptrdiff_t end = k0 + 64 < terms ? k0 + 64 : terms;
        for (ptrdiff_t i = 0; i < rows; i++) {
            for (ptrdiff_t k = k0; k < end; k++) {
                const REAL v = part[k * CONV_PART + i];
                spoilt |= v != v;
                to[i * terms + k] = v;
            }
        }
    }
    return !spoilt;
}

#include "kernels/conv/panel_template.h"

#undef VEC
#undef VECU
#undef SHUFFLE
