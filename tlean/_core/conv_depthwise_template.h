/* Depthwise kernels, included once per real type by conv_micro_template.h: one channel under a dense K x K window, read and written in
 * place. Every row is loaded once; the window's columns are made by shifting it in registers, and the K rows of outputs that a row takes
 * part in are in registers too. */

/* The lanes of a vector that are inside a row of `width` elements, if the first lane is its element `at`. */
#if defined(__AVX512F__)
typedef unsigned NAME(span);
#elif defined(__AVX2__)
typedef NAME(conv_lanes) NAME(span);
#else
typedef struct {
    int begin, end;
} NAME(span);
#endif

TL_INLINE NAME(span) NAME(span_of)(ptrdiff_t at, ptrdiff_t width) {
    const ptrdiff_t low = at >= 0 ? 0 : at < -LANES ? LANES : -at, high = width - at < low ? low : width - at > LANES ? LANES : width - at;
#if defined(__AVX512F__)
    return ((1u << high) - 1) & ~((1u << low) - 1);
#elif defined(__AVX2__)
    NAME(conv_lanes) lane;
    for (int l = 0; l < LANES; l++) lane[l] = l;
    return (lane >= (INTEGER)low) & (lane < (INTEGER)high);
#else
    return (NAME(span)){(int)low, (int)high};
#endif
}

/* Zeros outside the span; nothing is read there. */
TL_INLINE VEC NAME(load_span)(const REAL *from, NAME(span) s) {
#if defined(__AVX512F__)
    return MASKED(maskz_loadu)(s, from);
#elif defined(__AVX2__)
    return MASKED(maskload)(from, (__m256i)s);
#else
    if (s.end - s.begin == LANES) return *(const VECU *)from;
    VEC v = (VEC){0};
    if (s.end > s.begin) conv_copy((char *)&v + s.begin * sizeof(REAL), (const char *)(from + s.begin), (s.end - s.begin) * sizeof(REAL));
    return v;
#endif
}

/* Lanes j … j + LANES - 1 of a and b side by side; j is a constant. */
TL_INLINE VEC NAME(shifted)(VEC a, VEC b, const int j) {
#if defined(__AVX512F__)
#if LANES == 16
#define SHIFT(j) (VEC)_mm512_alignr_epi32((__m512i)b, (__m512i)a, j)
#else
#define SHIFT(j) (VEC)_mm512_alignr_epi64((__m512i)b, (__m512i)a, j)
#endif
    switch (j) {
    case 0: return a;
    case 1: return SHIFT(1);
    case 2: return SHIFT(2);
    case 3: return SHIFT(3);
    case 4: return SHIFT(4);
    case 5: return SHIFT(5);
    default: return SHIFT(6);
    }
#undef SHIFT
#else
    NAME(conv_lanes) order;
    _Pragma("GCC unroll 16") for (int l = 0; l < LANES; l++) order[l] = l + j;
#if defined(__clang__)
    return __builtin_shufflevector(a, b, order);
#else
    return __builtin_shuffle(a, b, order);
#endif
#endif
}

/* to[r, l] = bias + sum_{i,j} taps[i, j] x[r - top + i, l - left + j] for first <= r < last and V vectors of columns from `column` on.
 * The taps of K = 3 stay in registers, if there are 32. */
#define DENSE(K, V)                                                                                                                     \
    static __attribute__((noinline)) void NAME(dense_##K##_##V)(REAL *TL_RESTRICT to, ptrdiff_t columns, const REAL *TL_RESTRICT x,     \
                                                                ptrdiff_t height, ptrdiff_t width, const VEC *taps, REAL bias,          \
                                                                ptrdiff_t top, ptrdiff_t left, ptrdiff_t first, ptrdiff_t last,         \
                                                                ptrdiff_t column) {                                                     \
        const VEC start = bias - (VEC){0};                                                                                              \
        const REAL *from = x + column - left;                                                                                           \
        VEC acc[K][V], kept[9];                                                                                                         \
        NAME(span) spans[V + WHOLE(K)];                                                                                                 \
        ptrdiff_t written[V];                                                                                                           \
        _Pragma("GCC unroll 9") for (int t = 0; t < 9; t++) {                                                                           \
            kept[t] = taps[t];                                                                                                          \
            if (K == 3 && CONV_OB_MAX == 8) CONV_IN_REGISTER(kept[t]);                                                                  \
        }                                                                                                                               \
        _Pragma("GCC unroll 8") for (int v = 0; v < V + WHOLE(K); v++) spans[v] = NAME(span_of)(column - left + v * LANES, width);      \
        _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) written[v] = columns - column - v * LANES;                                  \
        _Pragma("GCC unroll 7") for (int i = 0; i < K; i++) {                                                                           \
            _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) acc[i][v] = start;                                                      \
        }                                                                                                                               \
        for (ptrdiff_t r = first; r < last + K - 1; r++) {                                                                              \
            const ptrdiff_t y = r - top;                                                                                                \
            const VEC *tap = taps;                                                                                                      \
            VEC line[V + WHOLE(K)], a[K][V];                                                                                            \
            CONV_POINTER(tap);                                                                                                          \
            _Pragma("GCC unroll 8") for (int v = 0; v < V + WHOLE(K); v++) line[v] = (VEC){0};                                          \
            if (y >= 0 && y < height) {                                                                                                 \
                _Pragma("GCC unroll 8") for (int v = 0; v < V + WHOLE(K); v++) {                                                        \
                    line[v] = NAME(load_span)(from + y * width + v * LANES, spans[v]);                                                  \
                }                                                                                                                       \
            }                                                                                                                           \
            _Pragma("GCC unroll 7") for (int j = 0; j < K; j++) {                                                                       \
                _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) a[j][v] = NAME(window)(line + v, j);                                \
            }                                                                                                                           \
            _Pragma("GCC unroll 7") for (int i = 0; i < K; i++) {                                                                       \
                VEC sum[V];                                                                                                             \
                if (K > 3 && (r - i < first || r - i >= last)) continue;                                                                \
                _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) sum[v] = acc[i][v];                                                 \
                _Pragma("GCC unroll 7") for (int j = 0; j < K; j++) {                                                                   \
                    VEC w = K == 3 && CONV_OB_MAX == 8 ? kept[(K * i + j) % 9] : tap[K * i + j];                                        \
                    if (V > 1) CONV_IN_REGISTER(w);                                                                                     \
                    _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) sum[v] = APART && j == 0 ? w * a[j][v] : sum[v] + w * a[j][v];  \
                }                                                                                                                       \
                _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) acc[i][v] = APART ? acc[i][v] + sum[v] : sum[v];                    \
            }                                                                                                                           \
            if (r - first >= K - 1) {                                                                                                   \
                _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) {                                                                   \
                    NAME(conv_store_first)(to + (r - K + 1) * columns + column + v * LANES, acc[K - 1][v], written[v]);                 \
                }                                                                                                                       \
            }                                                                                                                           \
            _Pragma("GCC unroll 7") for (int i = K - 1; i > 0; i--) {                                                                   \
                _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) acc[i][v] = acc[i - 1][v];                                          \
            }                                                                                                                           \
            _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) acc[0][v] = start;                                                      \
        }                                                                                                                               \
    }
/* Whether a row's products are summed before they join those of the rows before it: with few sums under way each waits for itself, and
 * there are registers for more. */
#define APART (CONV_OB_MAX == 8)
/* Vectors behind the last that a window of K columns reaches: K - 1 lanes. */
#define WHOLE(K) (((K)-1 + LANES - 1) / LANES)
TL_INLINE VEC NAME(window)(const VEC *line, const int j) {
    return j % LANES ? NAME(shifted)(line[j / LANES], line[j / LANES + 1], j % LANES) : line[j / LANES];
}
DENSE(3, 1)
DENSE(3, 2)
DENSE(5, 1)
DENSE(7, 1)
#if CONV_OB_MAX == 8
DENSE(5, 2)
DENSE(7, 2)
#endif
#undef DENSE
#undef APART

/* The same for all columns. */
static void NAME(dense)(int size, REAL *to, ptrdiff_t columns, const REAL *x, ptrdiff_t height, ptrdiff_t width, const REAL *taps,
                        REAL bias, ptrdiff_t top, ptrdiff_t left, ptrdiff_t first, ptrdiff_t last) {
#define D(K, V) NAME(dense_##K##_##V)(to, columns, x, height, width, spread, bias, top, left, first, last, column)
#if CONV_OB_MAX == 8
#define D_WIDE(K) D(K, 2)
#else
#define D_WIDE(K) (void)0
#endif
    VEC spread[49];
    for (int t = 0; t < size * size; t++) spread[t] = taps[t] - (VEC){0};
    for (ptrdiff_t column = 0; column < columns; column += LANES) {
        const int two = columns - column > LANES && (size == 3 || CONV_OB_MAX == 8);
        if (size == 3) {
            if (two) D(3, 2);
            else D(3, 1);
        } else if (size == 5) {
            if (two) D_WIDE(5);
            else D(5, 1);
        } else {
            if (two) D_WIDE(7);
            else D(7, 1);
        }
        if (two) column += LANES;
    }
#undef D_WIDE
#undef D
}

/* The weight gradient for K = 3: sums[i, j] += g[r, l] x[r - top + i, l - left + j] over rows and columns, lane by lane. What a lane of g
 * without a column meets in x is multiplied by zero. */
static void NAME(dense3_weight)(VEC *sums, const REAL *TL_RESTRICT g, ptrdiff_t rows, ptrdiff_t columns, const REAL *TL_RESTRICT x,
                                ptrdiff_t height, ptrdiff_t width, ptrdiff_t top, ptrdiff_t left) {
    VEC acc[9];
    _Pragma("GCC unroll 9") for (int t = 0; t < 9; t++) acc[t] = sums[t];
    for (ptrdiff_t column = 0; column < columns; column += LANES) {
        const NAME(span) of_g = NAME(span_of)(column, columns);
        NAME(span) spans[1 + WHOLE(3)];
        _Pragma("GCC unroll 4") for (int v = 0; v < 1 + WHOLE(3); v++) spans[v] = NAME(span_of)(column - left + v * LANES, width);
        VEC above = (VEC){0}, above2 = (VEC){0};
        for (ptrdiff_t r = 0; r < rows + 2; r++) {
            const ptrdiff_t y = r - top;
            VEC here = (VEC){0}, line[1 + WHOLE(3)];
            if (r < rows) here = NAME(load_span)(g + r * columns + column, of_g);
            _Pragma("GCC unroll 4") for (int v = 0; v < 1 + WHOLE(3); v++) line[v] = (VEC){0};
            if (y >= 0 && y < height) {
                _Pragma("GCC unroll 4") for (int v = 0; v < 1 + WHOLE(3); v++) {
                    line[v] = NAME(load_span)(x + y * width + column - left + v * LANES, spans[v]);
                }
            }
            _Pragma("GCC unroll 3") for (int j = 0; j < 3; j++) {
                const VEC a = NAME(window)(line, j);
                acc[j] += here * a;
                acc[3 + j] += above * a;
                acc[6 + j] += above2 * a;
            }
            above2 = above;
            above = here;
        }
    }
    _Pragma("GCC unroll 9") for (int t = 0; t < 9; t++) sums[t] = acc[t];
}

/* to[t] = the sum of the lanes of sums[t]. */
static void NAME(dense3_total)(REAL *to, const VEC *sums) {
    VEC rows[2 * CONV_PART];
    REAL totals[2 * CONV_PART] = {0};
    _Pragma("GCC unroll 16") for (int t = 0; t < 2 * CONV_PART; t++) rows[t] = t < 9 ? sums[t % 9] : (VEC){0};
    NAME(conv_add_lane_sums)(rows, totals);
    NAME(conv_add_lane_sums)(rows + CONV_PART, totals + CONV_PART);
    for (int t = 0; t < 9; t++) to[t] = totals[t];
}
#undef WHOLE
