/* Included by rows.h once per float type: T the type, TI the integer of its size, IOTA 0, 1, … for each lane, NAME(x) the
 * suffixed name. */

typedef T NAME(row_vec) __attribute__((vector_size(TL_VECTOR_BYTES), aligned(sizeof(T)), may_alias));
typedef TI NAME(row_mask) __attribute__((vector_size(TL_VECTOR_BYTES), aligned(sizeof(T)), may_alias));
#define V NAME(row_vec)
#define M NAME(row_mask)
#define L ((ptrdiff_t)(TL_VECTOR_BYTES / sizeof(T)))

/* The lanes turned by w places: lane k of the result is lane k + w. */
TL_INLINE V NAME(row_turned)(V v, TI w) {
#if defined(__clang__)
    V turned;
    for (TI k = 0; k < (TI)L; k++) turned[k] = v[(k + w) & (TI)(L - 1)];
    return turned;
#else
    return __builtin_shuffle(v, ((M){IOTA} + w) & (TI)(L - 1));
#endif
}

/* Lanes folded by halves: (0 + L/2), (1 + L/2 + 1), … */
TL_INLINE T NAME(row_fold)(V v) {
    if (L > 8) v += NAME(row_turned)(v, 8);
    if (L > 4) v += NAME(row_turned)(v, 4);
    if (L > 2) v += NAME(row_turned)(v, 2);
    v += NAME(row_turned)(v, 1);
    return v[0];
}

/* Where VECTOR and SCALAR read pointer p at place i, TERM(READ) is one term of the sum. */
#define VECTOR(p, i) (*(const V *)((p) + (i)))
#define SCALAR(p, i) ((p)[i])
#define ROW_SUM(FUNCTION, PARAMETERS, TERM)                                                                  \
    static inline double NAME(FUNCTION) PARAMETERS {                                                         \
        double total = 0.0;                                                                                  \
        for (ptrdiff_t start = 0; start < n; start += TL_ROW_BLOCK) {                                        \
            ptrdiff_t i = start, end = n - start < TL_ROW_BLOCK ? n : start + TL_ROW_BLOCK;                  \
            V s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};                                                        \
            for (; i + 4 * L <= end; i += 4 * L) {                                                           \
                s0 += TERM(VECTOR, i);                                                                       \
                s1 += TERM(VECTOR, i + L);                                                                   \
                s2 += TERM(VECTOR, i + 2 * L);                                                               \
                s3 += TERM(VECTOR, i + 3 * L);                                                               \
            }                                                                                                \
            for (; i + L <= end; i += L) s0 += TERM(VECTOR, i);                                              \
            T rest = 0;                                                                                      \
            for (; i < end; i++) rest += TERM(SCALAR, i);                                                    \
            total += (double)(NAME(row_fold)((s0 + s1) + (s2 + s3)) + rest);                                 \
        }                                                                                                    \
        return total;                                                                                        \
    }

#define X(READ, i) READ(x, i)
ROW_SUM(row_sum, (const T *x, ptrdiff_t n), X)
#undef X
#define XY(READ, i) (READ(x, i) * READ(y, i))
ROW_SUM(row_dot, (const T *x, const T *y, ptrdiff_t n), XY)
#undef XY
#define DEVIATION(READ, i) (READ(x, i) - center)
ROW_SUM(row_deviation, (const T *x, T center, ptrdiff_t n), DEVIATION)
#undef DEVIATION
#define DEVIATION(READ, i) ((READ(x, i) - center) * (READ(x, i) - center))
ROW_SUM(row_square_deviation, (const T *x, T center, ptrdiff_t n), DEVIATION)
#undef DEVIATION
#define COVARIATION(READ, i) (READ(y, i) * (READ(x, i) - center))
ROW_SUM(row_covariation, (const T *y, const T *x, T center, ptrdiff_t n), COVARIATION)
#undef COVARIATION
#define COVARIATION(READ, i) (READ(y, i) * READ(w, i) * (READ(x, i) - center))
ROW_SUM(row_weighted_covariation, (const T *y, const T *w, const T *x, T center, ptrdiff_t n), COVARIATION)
#undef COVARIATION
#define DISTANCE(READ, i) ((READ(x, i) - READ(y, i)) * (READ(x, i) - READ(y, i)))
ROW_SUM(row_square_distance, (const T *x, const T *y, ptrdiff_t n), DISTANCE)
#undef DISTANCE

/* The greatest element; a NaN is passed over (it shows again in the sum of exponentials). */
TL_INLINE V NAME(row_greater)(V a, V b) {
    M mask = a > b;
    return (V)(((M)a & mask) | ((M)b & ~mask));
}

static inline T NAME(row_max)(const T *x, ptrdiff_t n) {
    T top = -INFINITY;
    ptrdiff_t i = 0;
    if (n >= L) {
        V m0 = {0};
        m0 += top;
        V m1 = m0, m2 = m0, m3 = m0;
        for (; i + 4 * L <= n; i += 4 * L) {
            m0 = NAME(row_greater)(VECTOR(x, i), m0);
            m1 = NAME(row_greater)(VECTOR(x, i + L), m1);
            m2 = NAME(row_greater)(VECTOR(x, i + 2 * L), m2);
            m3 = NAME(row_greater)(VECTOR(x, i + 3 * L), m3);
        }
        for (; i + L <= n; i += L) m0 = NAME(row_greater)(VECTOR(x, i), m0);
        m0 = NAME(row_greater)(NAME(row_greater)(m0, m1), NAME(row_greater)(m2, m3));
        for (TI w = (TI)L / 2; w > 0; w /= 2) m0 = NAME(row_greater)(m0, NAME(row_turned)(m0, w));
        top = m0[0];
    }
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    return top;
}

/* Column sums of (rows, n): dgamma[c] += Σ g (x − mean) rstd and dbeta[c] += Σ g, each unless NULL. The sums of TL_COLUMN_ROWS rows are
 * taken in registers and added in double.
 */
#define COLUMNS(COUNT, WIDTH, READ, TYPE)                                                                    \
    for (; c + COUNT * WIDTH <= n; c += COUNT * WIDTH) {                                                     \
        TYPE a[COUNT] = {0}, b[COUNT] = {0};                                                                 \
        for (ptrdiff_t r = start; r < end; r++)                                                              \
            _Pragma("GCC unroll 4") for (int k = 0; k < COUNT; k++) {                                        \
                TYPE gr = READ(g + r * n, c + k * WIDTH);                                                    \
                a[k] += gr * ((READ(x + r * n, c + k * WIDTH) - mean[r]) * rstd[r]);                         \
                b[k] += gr;                                                                                  \
            }                                                                                                \
        T lane_a[COUNT * WIDTH], lane_b[COUNT * WIDTH];                                                      \
        memcpy(lane_a, a, sizeof a);                                                                         \
        memcpy(lane_b, b, sizeof b);                                                                         \
        if (dgamma)                                                                                          \
            for (ptrdiff_t k = 0; k < COUNT * WIDTH; k++) dgamma[c + k] += (double)lane_a[k];                \
        if (dbeta)                                                                                           \
            for (ptrdiff_t k = 0; k < COUNT * WIDTH; k++) dbeta[c + k] += (double)lane_b[k];                 \
    }

static inline void NAME(norm_columns)(double *TL_RESTRICT dgamma, double *TL_RESTRICT dbeta, const T *g, const T *x, const T *mean,
                                      const T *rstd, ptrdiff_t rows, ptrdiff_t n) {
    for (ptrdiff_t start = 0; start < rows; start += TL_COLUMN_ROWS) {
        ptrdiff_t end = rows - start < TL_COLUMN_ROWS ? rows : start + TL_COLUMN_ROWS, c = 0;
        COLUMNS(4, L, VECTOR, V)
        COLUMNS(1, L, VECTOR, V)
        COLUMNS(1, 1, SCALAR, T)
    }
}
#undef COLUMNS

#undef ROW_SUM
#undef VECTOR
#undef SCALAR
#undef V
#undef M
#undef L
