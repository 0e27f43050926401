/* Included by kernels/pool/columns_widths.h once per element type T (TI the integer as wide) and vector length N; undefines N and NAME. */
typedef T NAME(cells) __attribute__((vector_size(N * sizeof(T)), aligned(sizeof(T)), may_alias));
typedef TI NAME(lanes) __attribute__((vector_size(N * sizeof(T)), aligned(sizeof(T)), may_alias));
#define V NAME(cells)
#define I NAME(lanes)
#if defined(__clang__)
#define TL_TAKE(u, v, ...) __builtin_shufflevector(u, v, __VA_ARGS__)
#else
#define TL_TAKE(u, v, ...) __builtin_shuffle(u, v, (I){__VA_ARGS__})
#endif

/* The columns 0, 1 and 2 of N windows of one row. */
TL_INLINE void NAME(columns)(V *c, const T *row) {
    const V u = *(const V *)row, v = *(const V *)(row + N);
    const V late = *(const V *)(row + 2), last = *(const V *)(row + N + 1);
    c[0] = TL_TAKE(u, v, TL_JOIN(TL_EVEN, N));
    c[1] = TL_TAKE(u, v, TL_JOIN(TL_ODD, N));
    c[2] = TL_TAKE(late, last, TL_JOIN(TL_LATE, N));
}

/* Runs BODY for windows of one row, `first` of which begins at column 0 of r[], until `count` are done; j is the number of the window, cell
 * the columns of the row that TL_ROW(k) takes. Rows are taken one by one: that is what the registers hold. */
#define TL_WINDOWS(first, count)                            \
    for (ptrdiff_t i = 0;;) {                               \
        V cell[3];                                          \
        const ptrdiff_t j = (first) + i;                    \
        BODY                                                \
        if (i + N >= (count)) break;                        \
        i = i + 2 * N <= (count) ? i + N : (count) - N;     \
    }
/* A sum is NaN where a term is, and where infinities of both signs meet, which the slower way then sorts out. */
#define TL_ROW(k)                                           \
    NAME(columns)(cell, r[k] + 2 * i);                      \
    seen += (cell[0] + cell[1]) + cell[2];

TL_INLINE int NAME(is_nan)(V seen, T edges) {
    for (int k = 0; k < N; k++) edges += seen[k];
    return edges != edges;
}

/* The maximum of one window of the columns first … end - 1, which adds its cells to *edges. */
TL_INLINE void NAME(edge)(T *y, int32_t *at, const T *const *r, const TI *p, ptrdiff_t first, ptrdiff_t end, T *edges) {
    T m = r[0][first], sum = 0;
    TI best = p[0] + (TI)first;
    for (ptrdiff_t c = first; c < end; c++) sum += r[0][c] + r[1][c] + r[2][c];
    _Pragma("GCC unroll 3") for (int k = 0; k < 3; k++)
        for (ptrdiff_t c = first; c < end; c++) {
            const T v = r[k][c];
            best = v > m ? p[k] + (TI)c : best;
            m = v > m ? v : m;
        }
    *y = m;
    if (at) *at = (int32_t)best;
    *edges += sum;
}

static int NAME(max_plane)(T *y, int32_t *at, const T *x, const tl_columns *s) {
    V seen = {0};
    T edges = 0;
    const I order = 2 * (I){TL_ORDER(N)};
    for (ptrdiff_t o = 0; o < s->rows_out; o++, y += s->out, at = at ? at + s->out : at) {
        const T *r[3];
        TI p[3];
        for (int k = 0; k < 3; k++) {
            /* What lies outside, or below the window, is a row inside once more: what is equal does not win. */
            const ptrdiff_t top = o * s->stride - s->padding, last = top + s->kernel - 1;
            ptrdiff_t row = top + k < last ? top + k : last;
            row = row < 0 ? 0 : row >= s->rows ? s->rows - 1 : row;
            p[k] = (TI)(row * s->width) + (TI)s->first;
            r[k] = x + row * s->width + s->first;
        }
        for (ptrdiff_t c = 0; c < 2 * s->width * (ptrdiff_t)sizeof(T); c += 64) __builtin_prefetch((const char *)r[0] + TL_COLUMNS_AHEAD + c);
        if (at) {
#define TL_BETTER(v, position)                          \
    {                                                   \
        const I better = (v) > m;                       \
        m = TL_MAX_OF(v, m);                            \
        best = (better & (position)) | (~better & best);\
    }
#define TL_BETTER_ROW(k)                                \
    TL_ROW(k)                                           \
    at_cell = order + (p[k] + 2 * (TI)i);               \
    TL_BETTER(cell[0], at_cell)                         \
    TL_BETTER(cell[1], at_cell + 1)                     \
    TL_BETTER(cell[2], at_cell + 2)
#define BODY                                                                                                            \
    TL_ROW(0)                                                                                                           \
    I at_cell = order + (p[0] + 2 * (TI)i), best = at_cell;                                                             \
    V m = cell[0];                                                                                                      \
    TL_BETTER(cell[1], at_cell + 1)                                                                                     \
    TL_BETTER(cell[2], at_cell + 2)                                                                                     \
    TL_BETTER_ROW(1)                                                                                                    \
    TL_BETTER_ROW(2)                                                                                                    \
    *(V *)(y + j) = m;                                                                                                  \
    _Pragma("GCC unroll 1") for (int k = 0; k < N; k++) at[j + k] = (int32_t)best[k];
            TL_WINDOWS(s->first, s->count)
#undef BODY
#undef TL_BETTER_ROW
#undef TL_BETTER
        } else {
#define BODY                                                                                                            \
    TL_ROW(0)                                                                                                           \
    V left = cell[0], mid = cell[1], right = cell[2];                                                                   \
    TL_ROW(1)                                                                                                           \
    left = TL_MAX_OF(cell[0], left), mid = TL_MAX_OF(cell[1], mid), right = TL_MAX_OF(cell[2], right);                  \
    TL_ROW(2)                                                                                                           \
    left = TL_MAX_OF(cell[0], left), mid = TL_MAX_OF(cell[1], mid), right = TL_MAX_OF(cell[2], right);                  \
    *(V *)(y + j) = TL_MAX_OF(right, TL_MAX_OF(mid, left));
            TL_WINDOWS(s->first, s->count)
#undef BODY
        }
        if (s->first) NAME(edge)(y, at, r, p, -1, 1, &edges);
        if (s->first + s->count < s->out) {
            const ptrdiff_t c = 2 * s->count;
            NAME(edge)(y + s->out - 1, at ? at + s->out - 1 : at, r, p, c, s->width - s->first, &edges);
        }
    }
    return NAME(is_nan)(seen, edges);
}

/* Rows outside are rows of zeros. */
static void NAME(avg_plane)(T *y, const T *x, const T *zeros, T divisor, const tl_columns *s) {
    for (ptrdiff_t o = 0; o < s->rows_out; o++, y += s->out) {
        const T *r[3];
        for (int k = 0; k < 3; k++) {
            const ptrdiff_t row = o * s->stride - s->padding + k;
            r[k] = (k < s->kernel && row >= 0 && row < s->rows ? x + row * s->width : zeros) + s->first;
        }
        for (ptrdiff_t c = 0; c < 2 * s->width * (ptrdiff_t)sizeof(T); c += 64) __builtin_prefetch((const char *)r[1] + TL_COLUMNS_AHEAD + c);
#define BODY                                                                                                            \
    NAME(columns)(cell, r[0] + 2 * i);                                                                                  \
    V left = cell[0], mid = cell[1], right = cell[2];                                                                   \
    NAME(columns)(cell, r[1] + 2 * i);                                                                                  \
    left += cell[0], mid += cell[1], right += cell[2];                                                                  \
    NAME(columns)(cell, r[2] + 2 * i);                                                                                  \
    left += cell[0], mid += cell[1], right += cell[2];                                                                  \
    *(V *)(y + j) = (left + mid + right) / divisor;
        TL_WINDOWS(s->first, s->count)
#undef BODY
#define CELL(c) (r[0][c] + r[1][c] + r[2][c])
        if (s->first) y[0] = (CELL(-1) + CELL(0)) / divisor;
        if (s->first + s->count < s->out) {
            T sum = 0;
            for (ptrdiff_t c = 2 * s->count; c < s->width - s->first; c++) sum += CELL(c);
            y[s->out - 1] = sum / divisor;
        }
#undef CELL
    }
}

#undef TL_ROW
#undef TL_WINDOWS
#undef TL_TAKE
#undef TL_MAX_OF
#undef V
#undef I
#undef N
#undef NAME
