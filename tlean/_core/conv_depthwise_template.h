/* Depthwise kernels, included once per real type by conv_micro_template.h: one channel under a dense K x K window.
 *
 * dense: R rows x V vectors of columns at a time, each row of x loaded once for all the rows of outputs that it meets.
 *     to[r, l] = bias + sum_{i,j} taps[i, j] x[r + i, l + j]. */
#define DENSE_ROWS(K, R, V)                                                                                                             \
    static void NAME(dense_##K##_##R##_##V)(const REAL *TL_RESTRICT x, ptrdiff_t pitch, const VEC *TL_RESTRICT taps, REAL bias,         \
                                            REAL *TL_RESTRICT to, ptrdiff_t to_pitch, ptrdiff_t columns) {                              \
        VEC kept[9]; /* all the taps of K = 3 stay in registers */                                                                      \
        _Pragma("GCC unroll 9") for (int t = 0; t < 9; t++) {                                                                           \
            kept[t] = taps[t];                                                                                                          \
            if (K == 3) CONV_IN_REGISTER(kept[t]);                                                                                      \
        }                                                                                                                               \
        for (ptrdiff_t next = 0; next < columns; next += V * LANES) {                                                                   \
            VEC acc[R][V];                                                                                                              \
            ptrdiff_t at[V];                                                                                                            \
            _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) {                                                                       \
                at[v] = next + (v + 1) * LANES <= columns || columns < LANES ? next + v * LANES : columns - LANES;                      \
                _Pragma("GCC unroll 8") for (int r = 0; r < R; r++) acc[r][v] = bias - (VEC){0};                                        \
            }                                                                                                                           \
            _Pragma("GCC unroll 10") for (int row = 0; row < R + K - 1; row++) {                                                        \
                _Pragma("GCC unroll 7") for (int j = 0; j < K; j++) {                                                                   \
                    VEC a[V];                                                                                                           \
                    _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) {                                                               \
                        a[v] = *(const VECU *)(x + row * pitch + at[v] + j);                                                            \
                        CONV_IN_REGISTER(a[v]);                                                                                         \
                    }                                                                                                                   \
                    _Pragma("GCC unroll 7") for (int i = 0; i < K; i++) {                                                               \
                        if (row - i < 0 || row - i >= R) continue;                                                                      \
                        VEC w = K == 3 ? kept[(K * i + j) % 9] : taps[K * i + j];                                                       \
                        if (V > 1) CONV_IN_REGISTER(w);                                                                                 \
                        _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) acc[row - i][v] += w * a[v];                                \
                    }                                                                                                                   \
                }                                                                                                                       \
            }                                                                                                                           \
            _Pragma("GCC unroll 8") for (int r = 0; r < R; r++) {                                                                       \
                _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) {                                                                   \
                    NAME(conv_store_first)(to + r * to_pitch + at[v], acc[r][v], columns);                                              \
                }                                                                                                                       \
            }                                                                                                                           \
        }                                                                                                                               \
    }
DENSE_ROWS(3, 4, 1)
DENSE_ROWS(3, 1, 1)
DENSE_ROWS(5, 4, 1)
DENSE_ROWS(5, 4, 2)
DENSE_ROWS(5, 1, 1)
DENSE_ROWS(7, 4, 1)
DENSE_ROWS(7, 4, 2)
DENSE_ROWS(7, 1, 1)
#if CONV_OB_MAX == 8
DENSE_ROWS(3, 8, 1)
#define DENSE_3_8 NAME(dense_3_8_1)
#else
#define DENSE_3_8 0
#endif
#undef DENSE_ROWS

typedef void (*NAME(dense_fn))(const REAL *x, ptrdiff_t pitch, const VEC *taps, REAL bias, REAL *to, ptrdiff_t to_pitch, ptrdiff_t columns);

/* All rows: blocks of 8 and 4 rows, the last one moved up to overlap; single rows where there are fewer than 4. */
TL_INLINE void NAME(dense_over)(int size, NAME(dense_fn) one, NAME(dense_fn) four, NAME(dense_fn) four_wide, NAME(dense_fn) eight,
                                const REAL *x, ptrdiff_t pitch, const REAL *taps, REAL bias, REAL *to, ptrdiff_t to_pitch, ptrdiff_t rows,
                                ptrdiff_t columns) {
    VEC w[49];
    for (int t = 0; t < size * size; t++) w[t] = taps[t] - (VEC){0};
    for (ptrdiff_t r = 0; r < rows;) {
        ptrdiff_t height = 8;
        if (!eight || rows < 8 || (rows - r <= 4 && rows % 8 <= 4)) height = rows >= 4 ? 4 : 1;
        if (r + height > rows) r = rows - height;
        if (height == 8) {
            eight(x + r * pitch, pitch, w, bias, to + r * to_pitch, to_pitch, columns);
        } else if (height == 1) {
            one(x + r * pitch, pitch, w, bias, to + r * to_pitch, to_pitch, columns);
        } else if (columns > LANES) {
            four_wide(x + r * pitch, pitch, w, bias, to + r * to_pitch, to_pitch, columns);
        } else {
            four(x + r * pitch, pitch, w, bias, to + r * to_pitch, to_pitch, columns);
        }
        r += height;
    }
}

static void NAME(dense)(int size, const REAL *x, ptrdiff_t pitch, const REAL *taps, REAL bias, REAL *to, ptrdiff_t to_pitch,
                        ptrdiff_t rows, ptrdiff_t columns) {
#define D(K, R, V) NAME(dense_##K##_##R##_##V)
    if (size == 3) {
        NAME(dense_over)(3, D(3, 1, 1), D(3, 4, 1), D(3, 4, 1), DENSE_3_8, x, pitch, taps, bias, to, to_pitch, rows, columns);
    } else if (size == 5) {
        NAME(dense_over)(5, D(5, 1, 1), D(5, 4, 1), D(5, 4, 2), 0, x, pitch, taps, bias, to, to_pitch, rows, columns);
    } else {
        NAME(dense_over)(7, D(7, 1, 1), D(7, 4, 1), D(7, 4, 2), 0, x, pitch, taps, bias, to, to_pitch, rows, columns);
    }
#undef D
}
#undef DENSE_3_8

/* The weight gradient for K = 3: part[i, j] += sum over rows and columns of g[r, l] x[r + i, l + j]. Rows of g are zero from their
 * last column to g_pitch, which is a whole number of vectors. */
static void NAME(dense3_weight)(const REAL *TL_RESTRICT x, ptrdiff_t pitch, const REAL *TL_RESTRICT g, ptrdiff_t g_pitch, ptrdiff_t rows,
                                REAL *TL_RESTRICT part) {
    VEC acc[9];
    _Pragma("GCC unroll 9") for (int t = 0; t < 9; t++) acc[t] = (VEC){0};
    for (ptrdiff_t at = 0; at < g_pitch; at += LANES) {
        VEC above2 = (VEC){0}, above = (VEC){0};
        for (ptrdiff_t row = 0; row < rows + 2; row++) {
            VEC here = (VEC){0};
            if (row < rows) here = *(const VECU *)(g + row * g_pitch + at);
            _Pragma("GCC unroll 3") for (int j = 0; j < 3; j++) {
                VEC v = *(const VECU *)(x + row * pitch + at + j);
                CONV_IN_REGISTER(v);
                acc[j] += here * v;
                acc[3 + j] += above * v;
                acc[6 + j] += above2 * v;
            }
            above2 = above;
            above = here;
        }
    }
    VEC rows_of_sums[2 * CONV_PART];
    _Pragma("GCC unroll 16") for (int t = 0; t < 2 * CONV_PART; t++) rows_of_sums[t] = t < 9 ? acc[t % 9] : (VEC){0};
    REAL sums[2 * CONV_PART] = {0};
    NAME(conv_add_lane_sums)(rows_of_sums, sums);
    NAME(conv_add_lane_sums)(rows_of_sums + CONV_PART, sums + CONV_PART);
    for (int t = 0; t < 9; t++) part[t] += sums[t];
}
