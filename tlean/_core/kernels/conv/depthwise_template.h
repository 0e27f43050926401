/* Depthwise kernels, included once per real type by kernels/conv/micro_template.h: one channel under a dense K x K window, read and written in
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

/* Where spans are vectors and registers few, they stay in memory. */
#if defined(__AVX2__) && !defined(__AVX512F__)
#define SPAN_FROM_MEMORY(s) __asm__("" : "+m"(s))
#else
#define SPAN_FROM_MEMORY(s) (void)0
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
    if (s.end > s.begin)
        conv_copy((char *)&v + s.begin * sizeof(REAL), (const char *)(from + s.begin), (s.end - s.begin) * (ptrdiff_t)sizeof(REAL), sizeof(VEC));
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
    VEC lanes;
    for (int l = 0; l < LANES; l++) lanes[l] = order[l] < LANES ? a[order[l]] : b[order[l] - LANES];
    return lanes;
#else
    return __builtin_shuffle(a, b, order);
#endif
#endif
}

/* to[r, l] = bias + sum_{i,j} taps[i, j] x[r - top + i, l - left + j] for first <= r < last and V vectors of columns from `column` on.
 * Whether a row's products are summed before they join those of the rows before it, APART: with few sums under way each waits for itself,
 * and there are registers for more. */
#define APART (CONV_OB_MAX == 8)
/* Vectors behind the last that a window of K columns reaches: K - 1 lanes. */
#define WHOLE(K) (((K)-1 + LANES - 1) / LANES)
TL_INLINE VEC NAME(window)(const VEC *line, const int j) {
    return j % LANES ? NAME(shifted)(line[j / LANES], line[j / LANES + 1], j % LANES) : line[j / LANES];
}
#define DENSE(K, V)                                                                                                                     \
    static __attribute__((noinline)) void NAME(dense_##K##_##V)(REAL *TL_RESTRICT to, ptrdiff_t columns, const REAL *TL_RESTRICT x,     \
                                                                ptrdiff_t height, ptrdiff_t width, const VEC *taps, REAL bias,          \
                                                                ptrdiff_t top, ptrdiff_t left, ptrdiff_t first, ptrdiff_t last,         \
                                                                ptrdiff_t column) {                                                     \
        const VEC start = bias - (VEC){0};                                                                                              \
        const REAL *from = x + column - left;                                                                                           \
        VEC acc[K][V];                                                                                                                  \
        NAME(span) spans[V + WHOLE(K)];                                                                                                 \
        ptrdiff_t written[V];                                                                                                           \
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
                if (r - i < first || r - i >= last) continue;                                                                           \
                _Pragma("GCC unroll 4") for (int v = 0; v < V; v++) sum[v] = acc[i][v];                                                 \
                _Pragma("GCC unroll 7") for (int j = 0; j < K; j++) {                                                                   \
                    VEC w = tap[K * i + j];                                                                                             \
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
DENSE(5, 1)
DENSE(7, 1)
#if CONV_OB_MAX == 8
DENSE(5, 2)
DENSE(7, 2)
#endif
#undef DENSE
#undef APART

/* The lanes of v inside the span. */
TL_INLINE void NAME(store_span)(REAL *to, VEC v, NAME(span) s) {
#if defined(__AVX512F__)
    MASKED(mask_storeu)(to, s, v);
#elif defined(__AVX2__)
    MASKED(maskstore)(to, (__m256i)s, v);
#else
    conv_copy((char *)(to + s.begin), (const char *)&v + s.begin * sizeof(REAL), (s.end - s.begin) * (ptrdiff_t)sizeof(REAL), sizeof(VEC));
#endif
}

/* A row of an image, or zeros if it is outside: without a branch, which would let the compiler put off multiplications until the registers
 * are full. */
static const VEC NAME(no_row)[3];
TL_INLINE const REAL *NAME(row_or_zeros)(const REAL *row, ptrdiff_t y, ptrdiff_t height) {
    const uintptr_t inside = -(uintptr_t)((size_t)y < (size_t)height);
    return (const REAL *)(((uintptr_t)row & inside) | ((uintptr_t)NAME(no_row) & ~inside));
}

/* The rows of x that a window of 3 meets, one after another. A row adds to three rows of outputs, of which the first is then done; three
 * rows at a time, so that no sum moves from register to register. What the next plane needs, `ahead` elements of x and `next` of the
 * destination from here, is asked for meanwhile. */
#define ADD3(V, sums, t)                                                                                                                \
    do {                                                                                                                                \
        VEC w = TAP(t);                                                                                                                 \
        if (V > 1 && CONV_OB_MAX < 8) CONV_IN_REGISTER(w);                                                                              \
        _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) sums[v] += w * moved[v];                                                    \
    } while (0)
#define ROW3(V, done, middle, begun)                                                                                                    \
    do {                                                                                                                                \
        const REAL *row = NAME(row_or_zeros)(from, y, height);                                                                          \
        const VEC *tap = taps;                                                                                                          \
        CONV_POINTER(tap);                                                                                                              \
        _Pragma("GCC unroll 3") for (int v = 0; v < V + 1; v++) SPAN_FROM_MEMORY(spans[v]);                                             \
        VEC line[V + 1];                                                                                                                \
        _Pragma("GCC unroll 3") for (int v = 0; v < V + 1; v++) line[v] = NAME(load_span)(row + v * LANES, spans[v]);                   \
        _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) {                                                                           \
            conv_expect_soon(from + ahead + v * LANES);                                                                                 \
            begun[v] = start;                                                                                                           \
        }                                                                                                                               \
        from += width;                                                                                                                  \
        y++;                                                                                                                            \
        CONV_POINTER(from);                                                                                                             \
        CONV_POINTER(y);                                                                                                                \
        _Pragma("GCC unroll 3") for (int j = 0; j < 3; j++) {                                                                           \
            VEC moved[V];                                                                                                               \
            _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) moved[v] = NAME(window)(line + v, j);                                   \
            ADD3(V, done, 6 + j);                                                                                                       \
            ADD3(V, middle, 3 + j);                                                                                                     \
            ADD3(V, begun, j);                                                                                                          \
        }                                                                                                                               \
    } while (0)
#define WRITE3(V, done)                                                                                                                 \
    do {                                                                                                                                \
        _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) conv_expect_soon(to + next + v * LANES);                                    \
        if (V == 2) *(VECU *)to = done[0];                                                                                              \
        NAME(store_span)(to + (V - 1) * LANES, done[V - 1], written);                                                                   \
        to += columns;                                                                                                                  \
        CONV_POINTER(to);                                                                                                               \
    } while (0)
#if CONV_OB_MAX == 8
#define TAP(t) kept[t]
#else
#define TAP(t) tap[t]
#endif
#define DENSE3(V)                                                                                                                       \
    static __attribute__((noinline)) void NAME(dense_3_##V)(REAL *TL_RESTRICT to, ptrdiff_t columns, const REAL *TL_RESTRICT x,         \
                                                            ptrdiff_t height, ptrdiff_t width, const VEC *taps, REAL bias,              \
                                                            ptrdiff_t top, ptrdiff_t left, ptrdiff_t first, ptrdiff_t last,             \
                                                            ptrdiff_t column, ptrdiff_t ahead, ptrdiff_t next) {                        \
        const VEC start = bias - (VEC){0};                                                                                              \
        const NAME(span) written = NAME(span_of)(0, columns - column - (V - 1) * LANES);                                                \
        VEC a[V], b[V], c[V], kept[9];                                                                                                  \
        NAME(span) spans[V + 1];                                                                                                        \
        ptrdiff_t y = first - top, rows = last - first;                                                                                 \
        const REAL *from = x + y * width + column - left;                                                                               \
        to += first * columns + column;                                                                                                 \
        _Pragma("GCC unroll 9") for (int t = 0; t < 9; t++) kept[t] = taps[t];                                                          \
        (void)kept;                                                                                                                     \
        _Pragma("GCC unroll 3") for (int v = 0; v < V + 1; v++) spans[v] = NAME(span_of)(column - left + v * LANES, width);             \
        _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) a[v] = b[v] = start;                                                        \
        ROW3(V, a, b, c);                                                                                                               \
        ROW3(V, b, c, a);                                                                                                               \
        for (; rows >= 3; rows -= 3) {                                                                                                  \
            ROW3(V, c, a, b);                                                                                                           \
            WRITE3(V, c);                                                                                                               \
            ROW3(V, a, b, c);                                                                                                           \
            WRITE3(V, a);                                                                                                               \
            ROW3(V, b, c, a);                                                                                                           \
            WRITE3(V, b);                                                                                                               \
        }                                                                                                                               \
        if (rows > 0) {                                                                                                                 \
            ROW3(V, c, a, b);                                                                                                           \
            WRITE3(V, c);                                                                                                               \
        }                                                                                                                               \
        if (rows > 1) {                                                                                                                 \
            ROW3(V, a, b, c);                                                                                                           \
            WRITE3(V, a);                                                                                                               \
        }                                                                                                                               \
    }
DENSE3(1)
DENSE3(2)
#undef DENSE3
#undef TAP
#undef WRITE3
#undef ROW3
#undef ADD3

/* The same for all columns. */
static void NAME(dense)(int size, REAL *to, ptrdiff_t columns, const REAL *x, ptrdiff_t height, ptrdiff_t width, const REAL *taps,
                        REAL bias, ptrdiff_t top, ptrdiff_t left, ptrdiff_t first, ptrdiff_t last, ptrdiff_t ahead, ptrdiff_t next) {
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
            if (two) NAME(dense_3_2)(to, columns, x, height, width, spread, bias, top, left, first, last, column, ahead, next);
            else NAME(dense_3_1)(to, columns, x, height, width, spread, bias, top, left, first, last, column, ahead, next);
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

/* The weight gradient for K = 3: sums[i, j] += g[r, l] x[r - top + i, l - left + j] over rows and V vectors of columns from `column` on,
 * lane by lane. A row of x meets three rows of g. What a lane of g without a column meets in x is multiplied by zero. What the next planes
 * need, `g_ahead` and `x_ahead` elements from here, is asked for meanwhile. */
#define WEIGHT3(V, here, above, above2)                                                                                                 \
    do {                                                                                                                                \
        const REAL *row = NAME(row_or_zeros)(g, r, rows);                                                                               \
        _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) SPAN_FROM_MEMORY(of_g[v]);                                                  \
        _Pragma("GCC unroll 3") for (int v = 0; v < V + 1; v++) SPAN_FROM_MEMORY(spans[v]);                                             \
        VEC line[V + 1];                                                                                                                \
        _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) {                                                                           \
            conv_expect_soon(x + x_ahead + v * LANES);                                                                                  \
            conv_expect_soon(g + g_ahead + v * LANES);                                                                                  \
            here[v] = NAME(load_span)(row + v * LANES, of_g[v]);                                                                        \
        }                                                                                                                               \
        _Pragma("GCC unroll 3") for (int v = 0; v < V + 1; v++) line[v] = NAME(load_span)(x + v * LANES, spans[v]);                     \
        x += width;                                                                                                                     \
        g += columns;                                                                                                                   \
        r++;                                                                                                                            \
        CONV_POINTER(x);                                                                                                                \
        CONV_POINTER(g);                                                                                                                \
        CONV_POINTER(r);                                                                                                                \
        _Pragma("GCC unroll 3") for (int j = 0; j < 3; j++) {                                                                           \
            _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) {                                                                       \
                const VEC moved = NAME(window)(line + v, j);                                                                            \
                acc[v][j] += here[v] * moved;                                                                                           \
                acc[v][3 + j] += above[v] * moved;                                                                                      \
                acc[v][6 + j] += above2[v] * moved;                                                                                     \
            }                                                                                                                           \
        }                                                                                                                               \
    } while (0)
#define DENSE3_WEIGHT(V)                                                                                                                \
    static __attribute__((noinline)) void NAME(dense3_weight_##V)(                                                                      \
        VEC *sums, const REAL *TL_RESTRICT g, ptrdiff_t rows, ptrdiff_t columns, const REAL *TL_RESTRICT x, ptrdiff_t height,           \
        ptrdiff_t width, ptrdiff_t top, ptrdiff_t left, ptrdiff_t column, ptrdiff_t g_ahead, ptrdiff_t x_ahead) {                       \
        /* From the first row of x on: the rows of g above it that it meets have been seen. */                                          \
        ptrdiff_t r = top, most = height < rows + 2 - top ? height : rows + 2 - top;                                                    \
        NAME(span) of_g[V], spans[V + 1];                                                                                               \
        VEC acc[V][9], a[V], b[V], c[V];                                                                                                \
        x += column - left;                                                                                                             \
        g += column + top * columns;                                                                                                    \
        _Pragma("GCC unroll 2") for (int v = 0; v < V; v++) {                                                                           \
            of_g[v] = NAME(span_of)(column + v * LANES, columns);                                                                       \
            a[v] = b[v] = c[v] = (VEC){0};                                                                                              \
            if (top > 0 && top <= rows) b[v] = NAME(load_span)(g - columns + v * LANES, of_g[v]);                                       \
            if (top > 1 && top - 1 <= rows) a[v] = NAME(load_span)(g - 2 * columns + v * LANES, of_g[v]);                               \
            _Pragma("GCC unroll 9") for (int t = 0; t < 9; t++) acc[v][t] = v ? (VEC){0} : sums[t];                                     \
        }                                                                                                                               \
        _Pragma("GCC unroll 3") for (int v = 0; v < V + 1; v++) spans[v] = NAME(span_of)(column - left + v * LANES, width);             \
        for (; most >= 3; most -= 3) {                                                                                                  \
            WEIGHT3(V, c, b, a);                                                                                                        \
            WEIGHT3(V, a, c, b);                                                                                                        \
            WEIGHT3(V, b, a, c);                                                                                                        \
        }                                                                                                                               \
        if (most > 0) WEIGHT3(V, c, b, a);                                                                                              \
        if (most > 1) WEIGHT3(V, a, c, b);                                                                                              \
        _Pragma("GCC unroll 9") for (int t = 0; t < 9; t++) sums[t] = V == 2 ? acc[0][t] + acc[V - 1][t] : acc[0][t];                   \
    }
DENSE3_WEIGHT(1)
#if CONV_OB_MAX == 8
DENSE3_WEIGHT(2)
#endif
#undef DENSE3_WEIGHT
#undef WEIGHT3

/* `sums` are vectors: callers outside C know memory for them alone. */
static void NAME(dense3_weight)(void *sums, const REAL *g, ptrdiff_t rows, ptrdiff_t columns, const REAL *x, ptrdiff_t height,
                                ptrdiff_t width, ptrdiff_t top, ptrdiff_t left, ptrdiff_t g_ahead, ptrdiff_t x_ahead) {
    for (ptrdiff_t column = 0; column < columns; column += LANES) {
#if CONV_OB_MAX == 8
        if (columns - column > LANES) {
            NAME(dense3_weight_2)(sums, g, rows, columns, x, height, width, top, left, column, g_ahead, x_ahead);
            column += LANES;
            continue;
        }
#endif
        NAME(dense3_weight_1)(sums, g, rows, columns, x, height, width, top, left, column, g_ahead, x_ahead);
    }
}

/* to[t] = the sum of the lanes of the vectors sums[t]. */
static void NAME(dense3_total)(REAL *to, const void *vectors) {
    const VEC *sums = vectors;
    VEC rows[2 * CONV_PART];
    REAL totals[2 * CONV_PART] = {0};
    _Pragma("GCC unroll 16") for (int t = 0; t < 2 * CONV_PART; t++) rows[t] = t < 9 ? sums[t % 9] : (VEC){0};
    NAME(conv_add_lane_sums)(rows, totals);
    NAME(conv_add_lane_sums)(rows + CONV_PART, totals + CONV_PART);
    for (int t = 0; t < 9; t++) to[t] = totals[t];
}
#undef WHOLE
#undef SPAN_FROM_MEMORY
