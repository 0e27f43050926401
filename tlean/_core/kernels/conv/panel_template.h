/* Blocks whose lanes are output channels, included once per real type by kernels/conv/micro.h.
 *
 * cv_block: R rows x Q columns of positions x V vectors of output channels, over the terms of one panel of packed weights (term, channel):
 *     to[r, q, c] = start[r, q, c] + sum_k x[xoff[k] + r pitch + q] * panel[k, c].
 * No computed position is wasted, whatever the width of the image; the price is that weights are packed and results transposed. */
typedef void (*NAME(cv_block_fn))(ptrdiff_t terms, const REAL *x, ptrdiff_t pitch, const int32_t *xoff, const REAL *panel,
                                  const REAL *start, ptrdiff_t start_step, REAL *to, ptrdiff_t to_pitch);

#define CV_BLOCK(V, R, Q)                                                                                                               \
    static void NAME(cv_block_##V##_##R##_##Q)(ptrdiff_t terms, const REAL *TL_RESTRICT x, ptrdiff_t pitch,                             \
                                               const int32_t *TL_RESTRICT xoff, const REAL *TL_RESTRICT panel, const REAL *start,       \
                                               ptrdiff_t start_step, REAL *to, ptrdiff_t to_pitch) {                                    \
        VEC acc[R][Q][V];                                                                                                               \
        _Pragma("GCC unroll 2") for (int r = 0; r < R; r++) {                                                                           \
            _Pragma("GCC unroll 14") for (int q = 0; q < Q; q++) {                                                                      \
                _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) {                                                                   \
                    acc[r][q][v] = *(const VECU *)(start + (start_step ? r * to_pitch + q * V * LANES : 0) + v * LANES);                \
                }                                                                                                                       \
            }                                                                                                                           \
        }                                                                                                                               \
        for (ptrdiff_t k = 0; k < terms; k++) {                                                                                         \
            const REAL *at = x + xoff[k];                                                                                               \
            VEC b[V];                                                                                                                   \
            _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) b[v] = *(const VECU *)(panel + v * LANES);                              \
            panel += V * LANES;                                                                                                         \
            _Pragma("GCC unroll 2") for (int r = 0; r < R; r++) {                                                                       \
                const REAL *row = at + r * pitch;                                                                                       \
                CONV_POINTER(row);                                                                                                      \
                _Pragma("GCC unroll 14") for (int q = 0; q < Q; q++) {                                                                  \
                    const VEC a = row[q] - (VEC){0};                                                                                    \
                    _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) acc[r][q][v] += a * b[v];                                       \
                }                                                                                                                       \
            }                                                                                                                           \
        }                                                                                                                               \
        _Pragma("GCC unroll 2") for (int r = 0; r < R; r++) {                                                                           \
            _Pragma("GCC unroll 14") for (int q = 0; q < Q; q++) {                                                                      \
                _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) *(VECU *)(to + r * to_pitch + (q * V + v) * LANES) = acc[r][q][v];  \
            }                                                                                                                           \
        }                                                                                                                               \
    }
#define CV_TO_3(V, R) CV_BLOCK(V, R, 1) CV_BLOCK(V, R, 2) CV_BLOCK(V, R, 3)
#define CV_TO_6(V, R) CV_TO_3(V, R) CV_BLOCK(V, R, 4) CV_BLOCK(V, R, 5) CV_BLOCK(V, R, 6)
#define CV_TO_14(V, R)                                                                                                                  \
    CV_TO_6(V, R) CV_BLOCK(V, R, 7) CV_BLOCK(V, R, 8) CV_BLOCK(V, R, 9) CV_BLOCK(V, R, 10) CV_BLOCK(V, R, 11) CV_BLOCK(V, R, 12)        \
    CV_BLOCK(V, R, 13) CV_BLOCK(V, R, 14)
#define C(V, R, Q) NAME(cv_block_##V##_##R##_##Q)
#define LIST_3(V, R) 0, C(V, R, 1), C(V, R, 2), C(V, R, 3)
#define LIST_6(V, R) LIST_3(V, R), C(V, R, 4), C(V, R, 5), C(V, R, 6)
#define LIST_14(V, R) LIST_6(V, R), C(V, R, 7), C(V, R, 8), C(V, R, 9), C(V, R, 10), C(V, R, 11), C(V, R, 12), C(V, R, 13), C(V, R, 14)
#if CONV_OB_MAX == 8
CV_TO_14(1, 1) CV_TO_14(1, 2) CV_TO_14(2, 1) CV_TO_6(2, 2) CV_BLOCK(2, 2, 7)
static const NAME(cv_block_fn) NAME(cv_block)[3][3][15] = {
    [1] = {[1] = {LIST_14(1, 1)}, [2] = {LIST_14(1, 2)}}, [2] = {[1] = {LIST_14(2, 1)}, [2] = {LIST_6(2, 2), C(2, 2, 7)}}};
#else
CV_TO_6(1, 1) CV_TO_6(1, 2) CV_TO_6(2, 1) CV_TO_3(2, 2)
static const NAME(cv_block_fn) NAME(cv_block)[3][3][15] = {
    [1] = {[1] = {LIST_6(1, 1)}, [2] = {LIST_6(1, 2)}}, [2] = {[1] = {LIST_6(2, 1)}, [2] = {LIST_3(2, 2)}}};
#endif
#undef CV_BLOCK
#undef CV_TO_3
#undef CV_TO_6
#undef CV_TO_14
#undef C
#undef LIST_3
#undef LIST_6
#undef LIST_14

/* The weight gradient of KB terms x V vectors of output channels, over rows of positions:
 *     part[j, c] += sum_s sum_q x[xrow[s] + xoff[j] + q] * g[s, q, c],   j < KB, q < columns. */
#define CV_WEIGHT(V, KB)                                                                                                                \
    static void NAME(cv_weight_##V)(ptrdiff_t rows, const int32_t *TL_RESTRICT xrow, ptrdiff_t columns, const REAL *TL_RESTRICT g,      \
                                    const REAL *TL_RESTRICT x, const int32_t *TL_RESTRICT xoff, REAL *TL_RESTRICT part) {               \
        VEC acc[KB][V];                                                                                                                 \
        const REAL *at[KB];                                                                                                             \
        _Pragma("GCC unroll 12") for (int j = 0; j < KB; j++) {                                                                         \
            at[j] = x + xoff[j];                                                                                                        \
            _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) acc[j][v] = (VEC){0};                                                   \
        }                                                                                                                               \
        for (ptrdiff_t s = 0; s < rows; s++) {                                                                                          \
            for (ptrdiff_t p = xrow[s], end = p + columns; p < end; p++) {                                                              \
                VEC b[V];                                                                                                               \
                _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) b[v] = *(const VECU *)(g + v * LANES);                              \
                g += V * LANES;                                                                                                         \
                _Pragma("GCC unroll 12") for (int j = 0; j < KB; j++) {                                                                 \
                    const VEC a = at[j][p] - (VEC){0};                                                                                  \
                    _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) acc[j][v] += a * b[v];                                          \
                }                                                                                                                       \
            }                                                                                                                           \
        }                                                                                                                               \
        _Pragma("GCC unroll 12") for (int j = 0; j < KB; j++) {                                                                         \
            _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) *(VECU *)(part + (j * V + v) * LANES) += acc[j][v];                     \
        }                                                                                                                               \
    }
CV_WEIGHT(1, CONV_TERMS)
CV_WEIGHT(2, CONV_TERMS)
#undef CV_WEIGHT

/* to[c, r] = from[r, c] for r < rows, c < columns, both at most LANES: rounds of perfect shuffles, each of which moves one bit of the row's
 * number into the lane's number. Where `squares` is not NULL, the columns' sums of squares
 * are stored there, or added if `add`: before the shuffles, which need all registers. */
TL_INLINE void NAME(conv_turn_into)(REAL *TL_RESTRICT to, ptrdiff_t to_pitch, const REAL *TL_RESTRICT from, ptrdiff_t from_pitch,
                                    ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t written, REAL *squares, int add) {
#if LANES == 16
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif LANES == 4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#else
#define LOW 0, 2
#define HIGH 1, 3
#endif
    VEC a[LANES], b[LANES];
    _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++) {
        a[r] = (VEC){0};
        if (r < rows) a[r] = NAME(conv_load_first)(from + r * from_pitch, columns);
    }
    if (squares) {
        VEC even = a[0] * a[0], odd = a[1] * a[1];
        _Pragma("GCC unroll 8") for (int r = 2; r < LANES; r += 2) {
            even += a[r] * a[r];
            odd += a[r + 1] * a[r + 1];
        }
        if (add) even += *(const VECU *)squares;
        *(VECU *)squares = even + odd;
    }
    _Pragma("GCC unroll 4") for (int round = 1; round < LANES; round *= 2) {
        _Pragma("GCC unroll 8") for (int r = 0; r < LANES / 2; r++) {
            b[2 * r] = SHUFFLE(a[r], a[r + LANES / 2], LOW);
            b[2 * r + 1] = SHUFFLE(a[r], a[r + LANES / 2], HIGH);
        }
        _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++) a[r] = b[r];
    }
    _Pragma("GCC unroll 16") for (int c = 0; c < LANES; c++) {
        if (c < columns) NAME(conv_store_first)(to + c * to_pitch, a[c], written);
    }
#undef LOW
#undef HIGH
}

static void NAME(conv_turn)(REAL *to, ptrdiff_t to_pitch, const REAL *from, ptrdiff_t from_pitch, ptrdiff_t rows, ptrdiff_t columns) {
    NAME(conv_turn_into)(to, to_pitch, from, from_pitch, rows, columns, rows, NULL, 0);
}

static void NAME(conv_turn_padded)(REAL *to, ptrdiff_t to_pitch, const REAL *from, ptrdiff_t from_pitch, ptrdiff_t rows,
                                   ptrdiff_t columns) {
    NAME(conv_turn_into)(to, to_pitch, from, from_pitch, rows, columns, LANES, NULL, 0);
}
