/* Loops over rows, from which the pools are made. T is the element, TI the integer of the same width (so that values and positions share
 * vector lanes), NAME(x) appends the suffix of T.
 *
 * A window's maximum is taken in two steps: over the rows of the window (contiguous loads, every column at once), then over its columns.
 * For the second step a row is split by stride into phases, phase[r][q] = row[q*stride + r], after which column tap k of every window is
 * the contiguous run phase[k % stride] + k / stride: any stride costs no more than one split.
 */

/* Whether a condition held anywhere in a pass, noted lane by lane: one horizontal step a row, not one a block. */
#define TL_SEEN TI seen[16] = {0};
#define TL_SEE(condition) seen[j - j0] |= (condition);
#define TL_ANY_SEEN NAME(tl_any)(seen)
TL_INLINE int NAME(tl_any)(const TI *seen) {
    TI any = 0;
    for (int k = 0; k < 16; k++) any |= seen[k];
    return any != 0;
}

/* dst[j] = the maximum over r < count of rows[r][j]. Nonzero if any element is NaN (dst is then to be made by a slower loop). */
static int NAME(tl_max_rows)(T *TL_RESTRICT dst, const T *const *rows, ptrdiff_t count, ptrdiff_t n) {
    const T *TL_RESTRICT a = rows[0];
    TL_SEEN
    if (count == 1) {
#define BODY                  \
    dst[j] = a[j];            \
    TL_SEE(a[j] != a[j])
        TL_IN_BLOCKS(n)
#undef BODY
        return TL_ANY_SEEN;
    }
    const T *TL_RESTRICT b = rows[1];
    ptrdiff_t next = 2;
    if (count == 2) {
#define BODY                                    \
    T u = a[j], v = b[j];                       \
    dst[j] = v > u ? v : u;                     \
    TL_SEE(__builtin_isunordered(u, v))
        TL_IN_BLOCKS(n)
#undef BODY
        return TL_ANY_SEEN;
    } else {
        const T *TL_RESTRICT c = rows[2];
#define BODY                                                \
    T u = a[j], v = b[j], w = c[j], m = v > u ? v : u;      \
    dst[j] = w > m ? w : m;                                 \
    TL_SEE(__builtin_isunordered(u, v) | (w != w))
        TL_IN_BLOCKS(n)
#undef BODY
        next = 3;
    }
    for (; next < count; next++) {
        const T *TL_RESTRICT x = rows[next];
#define BODY                        \
    T v = x[j], m = dst[j];         \
    dst[j] = v > m ? v : m;         \
    TL_SEE(v != v)
        TL_IN_BLOCKS(n)
#undef BODY
    }
    return TL_ANY_SEEN;
}

/* The same with the position of the first maximum: at[j] = start[r] + j, r the first row that attains dst[j]. */
static int NAME(tl_argmax_rows)(T *TL_RESTRICT dst, TI *TL_RESTRICT at, const T *const *rows, const int64_t *start, ptrdiff_t count,
                                ptrdiff_t n) {
    const T *TL_RESTRICT a = rows[0];
    const TI sa = (TI)start[0];
    TL_SEEN
    if (count == 1) {
#define BODY                  \
    dst[j] = a[j];            \
    at[j] = sa + (TI)j;       \
    TL_SEE(a[j] != a[j])
        TL_IN_BLOCKS(n)
#undef BODY
        return TL_ANY_SEEN;
    }
    const T *TL_RESTRICT b = rows[1];
    const TI sb = (TI)start[1];
    ptrdiff_t next = 2;
    if (count == 2) {
#define BODY                                    \
    T u = a[j], v = b[j];                       \
    dst[j] = v > u ? v : u;                     \
    at[j] = (v > u ? sb : sa) + (TI)j;          \
    TL_SEE(__builtin_isunordered(u, v))
        TL_IN_BLOCKS(n)
#undef BODY
        return TL_ANY_SEEN;
    } else {
        const T *TL_RESTRICT c = rows[2];
        const TI sc = (TI)start[2];
#define BODY                                                \
    T u = a[j], v = b[j], w = c[j], m = v > u ? v : u;      \
    TI s = v > u ? sb : sa;                                 \
    dst[j] = w > m ? w : m;                                 \
    at[j] = (w > m ? sc : s) + (TI)j;                       \
    TL_SEE(__builtin_isunordered(u, v) | (w != w))
        TL_IN_BLOCKS(n)
#undef BODY
        next = 3;
    }
    for (; next < count; next++) {
        const T *TL_RESTRICT x = rows[next];
        const TI s = (TI)start[next];
#define BODY                                \
    T v = x[j], m = dst[j];                 \
    TI old = at[j];                         \
    dst[j] = v > m ? v : m;                 \
    at[j] = v > m ? s + (TI)j : old;        \
    TL_SEE(v != v)
        TL_IN_BLOCKS(n)
#undef BODY
    }
    return TL_ANY_SEEN;
}

/* y and its position over the taps of one row of windows; of equal values the one with the smaller position wins. `best` holds n. */
#define TL_BETTER(v, p, m, s) (((v) > (m)) | (((v) == (m)) & ((p) < (s))))
static void NAME(tl_argmax_taps)(T *TL_RESTRICT y, int32_t *TL_RESTRICT at, const T *const *taps, const TI *const *where, ptrdiff_t count,
                                 TI *TL_RESTRICT best, ptrdiff_t n) {
    const T *TL_RESTRICT a = taps[0];
    const TI *TL_RESTRICT pa = where[0];
    if (count == 1) {
#define BODY          \
    y[j] = a[j];      \
    at[j] = (int32_t)pa[j];
        TL_IN_BLOCKS(n)
#undef BODY
        return;
    }
    const T *TL_RESTRICT b = taps[1];
    const TI *TL_RESTRICT pb = where[1];
    if (count == 3) {
        const T *TL_RESTRICT c = taps[2];
        const TI *TL_RESTRICT pc = where[2];
#define BODY                                                \
    T u = a[j], v = b[j], w = c[j], m = v > u ? v : u;      \
    TI p = pa[j], q = pb[j], r = pc[j];                     \
    TI s = TL_BETTER(v, q, u, p) ? q : p;                   \
    y[j] = w > m ? w : m;                                   \
    at[j] = (int32_t)(TL_BETTER(w, r, m, s) ? r : s);
        TL_IN_BLOCKS(n)
#undef BODY
        return;
    }
#define BODY                                    \
    T u = a[j], v = b[j];                       \
    TI p = pa[j], q = pb[j];                    \
    y[j] = v > u ? v : u;                       \
    best[j] = TL_BETTER(v, q, u, p) ? q : p;
    TL_IN_BLOCKS(n)
#undef BODY
    for (ptrdiff_t k = 2; k < count; k++) {
        const T *TL_RESTRICT x = taps[k];
        const TI *TL_RESTRICT px = where[k];
#define BODY                                    \
    T v = x[j], m = y[j];                       \
    TI q = px[j], p = best[j];                  \
    y[j] = v > m ? v : m;                       \
    best[j] = TL_BETTER(v, q, m, p) ? q : p;
        TL_IN_BLOCKS(n)
#undef BODY
    }
#define BODY at[j] = (int32_t)best[j];
    TL_IN_BLOCKS(n)
#undef BODY
}
#undef TL_BETTER

/* dst[j] = (the sum over r < count of rows[r][j], in that order) / divisor. */
static void NAME(tl_sum_rows)(T *TL_RESTRICT dst, const T *const *rows, ptrdiff_t count, T divisor, ptrdiff_t n) {
    const T *TL_RESTRICT a = rows[0];
    if (count == 1) {
        if (divisor == 1) {
            memcpy(dst, a, (size_t)n * sizeof(T));
            return;
        }
#define BODY dst[j] = a[j] / divisor;
        TL_IN_BLOCKS(n)
#undef BODY
        return;
    }
    const T *TL_RESTRICT b = rows[1];
    if (count == 2) {
        if (divisor == 1) {
#define BODY dst[j] = a[j] + b[j];
            TL_IN_BLOCKS(n)
#undef BODY
            return;
        }
#define BODY dst[j] = (a[j] + b[j]) / divisor;
        TL_IN_BLOCKS(n)
#undef BODY
        return;
    }
    const T *TL_RESTRICT c = rows[2];
    if (count == 3 && divisor != 1) {
#define BODY dst[j] = (a[j] + b[j] + c[j]) / divisor;
        TL_IN_BLOCKS(n)
#undef BODY
        return;
    }
#define BODY dst[j] = a[j] + b[j] + c[j];
    TL_IN_BLOCKS(n)
#undef BODY
    /* From here on an element must be visited once: no overlapping blocks. */
    for (ptrdiff_t r = 3; r < count; r++) {
        const T *TL_RESTRICT x = rows[r];
        for (ptrdiff_t j = 0; j < n; j++) dst[j] += x[j];
    }
    if (divisor != 1)
        for (ptrdiff_t j = 0; j < n; j++) dst[j] /= divisor;
}

/* phase[r*pitch + q] = row[q*stride + r] for q < count: a row of count*stride elements, or their positions, cut by residue. */
static void NAME(tl_split)(TI *TL_RESTRICT phase, ptrdiff_t pitch, const TI *TL_RESTRICT row, ptrdiff_t stride, ptrdiff_t count) {
    if (stride == 2) {
        TI *TL_RESTRICT odd = phase + pitch;
#define BODY                    \
    phase[j] = row[2 * j];      \
    odd[j] = row[2 * j + 1];
        TL_IN_BLOCKS(count)
#undef BODY
        return;
    }
    for (ptrdiff_t r = 0; r < stride; r++)
        for (ptrdiff_t q = 0; q < count; q++) phase[r * pitch + q] = row[q * stride + r];
}

/* The inverse of tl_split for a row that begins at column `skip`: row[j] = phase[(j + skip) % stride][(j + skip) / stride]. */
static void NAME(tl_merge)(T *TL_RESTRICT row, const T *TL_RESTRICT phase, ptrdiff_t pitch, ptrdiff_t stride, ptrdiff_t skip, ptrdiff_t n) {
    if (stride == 1) {
        memcpy(row, phase + skip, (size_t)n * sizeof(T));
        return;
    }
    if (stride == 2) {
        const T *TL_RESTRICT even = phase + (skip & 1) * pitch + skip / 2;
        const T *TL_RESTRICT odd = phase + (1 - (skip & 1)) * pitch + (skip + 1) / 2;
#define BODY                    \
    row[2 * j] = even[j];       \
    row[2 * j + 1] = odd[j];
        TL_IN_BLOCKS(n / 2)
#undef BODY
        if (n & 1) row[n - 1] = even[n / 2];
        return;
    }
    for (ptrdiff_t j = 0, r = skip % stride, q = skip / stride; j < n; j++) {
        row[j] = phase[r * pitch + q];
        if (++r == stride) {
            r = 0;
            q++;
        }
    }
}

/* Even columns of a row from two taps, odd columns from two others: row[2j + e] = taps[2e][j] + taps[2e + 1][j]. */
static void NAME(tl_spread)(T *TL_RESTRICT row, const T *const *taps, ptrdiff_t n) {
    const T *TL_RESTRICT a = taps[0], *TL_RESTRICT b = taps[1], *TL_RESTRICT c = taps[2], *TL_RESTRICT d = taps[3];
#define BODY                        \
    row[2 * j] = a[j] + b[j];       \
    row[2 * j + 1] = c[j] + d[j];
    TL_IN_BLOCKS(n / 2)
#undef BODY
    if (n & 1) row[n - 1] = a[n / 2] + b[n / 2];
}

/* One row of 2x2 windows of stride 2, without padding: r0 and r1 hold 2n columns at plane positions p0 and p1; at may be NULL.
 * Nonzero if NaN occurs. */
static int NAME(tl_max_2x2)(T *TL_RESTRICT y, int32_t *TL_RESTRICT at, const T *TL_RESTRICT r0, const T *TL_RESTRICT r1, int64_t p0,
                            int64_t p1, ptrdiff_t n) {
    const TI base = (TI)p0, gap = (TI)(p1 - p0);
    TL_SEEN
    if (at) {
#define BODY                                                                        \
    T a = r0[2 * j], b = r0[2 * j + 1], c = r1[2 * j], d = r1[2 * j + 1];           \
    T m = b > a ? b : a, w = d > c ? d : c;                                         \
    TI i = b > a ? 1 : 0, l = d > c ? gap + 1 : gap;                                \
    y[j] = w > m ? w : m;                                                           \
    at[j] = (int32_t)((w > m ? l : i) + base + 2 * (TI)j);                          \
    TL_SEE(__builtin_isunordered(a, b) | __builtin_isunordered(c, d))
        TL_IN_BLOCKS(n)
#undef BODY
    } else {
#define BODY                                                                        \
    T a = r0[2 * j], b = r0[2 * j + 1], c = r1[2 * j], d = r1[2 * j + 1];           \
    T m = b > a ? b : a, w = d > c ? d : c;                                         \
    y[j] = w > m ? w : m;                                                           \
    TL_SEE(__builtin_isunordered(a, b) | __builtin_isunordered(c, d))
        TL_IN_BLOCKS(n)
#undef BODY
    }
    return TL_ANY_SEEN;
}

/* The gradient of that row: both rows of 2n columns are written in full. */
static void NAME(tl_max_2x2_grad)(T *TL_RESTRICT d0, T *TL_RESTRICT d1, const T *TL_RESTRICT g, const int32_t *TL_RESTRICT at, int64_t p0,
                                  int64_t p1, ptrdiff_t n) {
    const TI base = (TI)p0, gap = (TI)(p1 - p0);
#define BODY                                        \
    TI i = (TI)at[j] - base - 2 * (TI)j;            \
    T x = g[j];                                     \
    d0[2 * j] = i == 0 ? x : (T)0;                  \
    d0[2 * j + 1] = i == 1 ? x : (T)0;              \
    d1[2 * j] = i == gap ? x : (T)0;                \
    d1[2 * j + 1] = i == gap + 1 ? x : (T)0;
    TL_IN_BLOCKS(n)
#undef BODY
}

/* One row of 2x2 means, stride 2, no padding; and its gradient. */
static void NAME(tl_avg_2x2)(T *TL_RESTRICT y, const T *TL_RESTRICT r0, const T *TL_RESTRICT r1, ptrdiff_t n) {
#define BODY y[j] = ((r0[2 * j] + r1[2 * j]) + (r0[2 * j + 1] + r1[2 * j + 1])) * (T)0.25;
    TL_IN_BLOCKS(n)
#undef BODY
}

static void NAME(tl_avg_2x2_grad)(T *TL_RESTRICT d0, T *TL_RESTRICT d1, const T *TL_RESTRICT g, ptrdiff_t n) {
#define BODY                    \
    T x = g[j] * (T)0.25;       \
    d0[2 * j] = x;              \
    d0[2 * j + 1] = x;          \
    d1[2 * j] = x;              \
    d1[2 * j + 1] = x;
    TL_IN_BLOCKS(n)
#undef BODY
}

#undef TL_SEEN
#undef TL_SEE
#undef TL_ANY_SEEN
