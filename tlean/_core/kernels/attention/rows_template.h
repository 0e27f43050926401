/* One row of scores at a time: included with TL_T, TL_SUFFIX, TL_EXP and TL_LOG defined, after micro.h. X is the suffix.
 *
 * A row holds the raw products q_i . k_j of `n` keys, of which the first `visible` may be attended to (causal), and of those the ones with
 * mask[j] != 0 (mask may be NULL). Blocked scores are replaced by selection, so that nothing of theirs survives, a NaN neither.
 */
#define VL TL_X(TL_LANES)
#define VEC TL_X(tl_vec)
#define UVEC TL_X(tl_uvec)
#define IVEC TL_X(tl_ivec)

/* The greater of each two lanes; a NaN in v is left out, as a weight it comes back from the exponential. */
TL_INLINE VEC TL_X(tl_lane_max)(VEC top, VEC v) {
    IVEC more = v > top;
    return (VEC)(((IVEC)v & more) | ((IVEC)top & ~more));
}

TL_INLINE TL_T TL_X(tl_row_max)(const TL_T *s, int64_t n) {
    VEC top[4];
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) top[u] = (TL_T)-INFINITY - (VEC){0};
    int64_t j = 0;
    for (; j + 4 * VL <= n; j += 4 * VL)
#pragma GCC unroll 4
        for (int u = 0; u < 4; u++) top[u] = TL_X(tl_lane_max)(top[u], *(const UVEC *)(s + j + u * VL));
    for (; j + VL <= n; j += VL) top[0] = TL_X(tl_lane_max)(top[0], *(const UVEC *)(s + j));
    top[0] = TL_X(tl_lane_max)(TL_X(tl_lane_max)(top[0], top[1]), TL_X(tl_lane_max)(top[2], top[3]));
    /* Lane 0 with lane VL/2, then VL/4, … */
#pragma GCC unroll 4
    for (int apart = VL / 2; apart >= 1; apart /= 2) {
        IVEC order;
#pragma GCC unroll 16
        for (int l = 0; l < VL; l++) order[l] = (l + apart) % VL;
        top[0] = TL_X(tl_lane_max)(top[0], TL_X(tl_shuffle)(top[0], top[0], order));
    }
    TL_T most = top[0][0];
    for (; j < n; j++) most = s[j] > most ? s[j] : most;
    return most;
}

TL_INLINE TL_T TL_X(tl_row_total)(const TL_T *s, int64_t n) {
    VEC sum[2] = {{0}, {0}};
    int64_t j = 0;
    for (; j + 2 * VL <= n; j += 2 * VL) {
        sum[0] += *(const UVEC *)(s + j);
        sum[1] += *(const UVEC *)(s + j + VL);
    }
    for (; j < n; j += VL) sum[0] += TL_X(tl_load_part)(s + j, n - j < VL ? n - j : VL);
    sum[0] += sum[1];
    return TL_X(tl_lane_sums)(sum, 1)[0];
}

/* One step of the online softmax (Milakov & Gimelshein 2018, algorithm 3): scores -> weights relative to the greatest score so far, which
 * is kept in *top, their total in *total. Returns what earlier weights are worth now. */
static __attribute__((unused)) TL_T TL_X(tl_softmax_step)(TL_T *TL_RESTRICT s, const unsigned char *TL_RESTRICT mask, int64_t visible,
                                                          int64_t n, TL_T scale, TL_T *TL_RESTRICT top, TL_T *TL_RESTRICT total) {
    if (visible > n) visible = n;
    if (visible < 0) visible = 0;
    if (mask)
        for (int64_t j = 0; j < visible; j++) s[j] = mask[j] ? s[j] : -INFINITY;
    TL_T before = *top, now = TL_X(tl_row_max)(s, visible);
    if (before > now) now = before;
    for (int64_t j = visible; j < n; j++) s[j] = 0;
    if (now == -INFINITY) {
        /* Nothing greater than -inf: all blocked (weights 0), or scores that are NaN or -inf themselves, whose weights are NaN as 0/0. */
        TL_T any = 0;
        for (int64_t j = 0; j < visible; j++) {
            s[j] = mask && !mask[j] ? 0 : NAN;
            any += s[j];
        }
        *total += any;
        return 1;
    }
    for (int64_t j = 0; j < visible; j++) s[j] = TL_EXP((s[j] - now) * scale);
    TL_T worth = TL_EXP((before - now) * scale);
    *total = *total * worth + TL_X(tl_row_total)(s, visible);
    *top = now;
    return worth;
}

/* y /= total, or 0 where nothing was attended to; returns the logarithm of the sum of exponentials of the scaled scores. */
static __attribute__((unused)) TL_T TL_X(tl_softmax_end)(TL_T *y, int64_t n, TL_T scale, TL_T top, TL_T total) {
    if (total == 0) {
        for (int64_t j = 0; j < n; j++) y[j] = 0;
        return -INFINITY;
    }
    TL_T part = 1 / total;
    for (int64_t j = 0; j < n; j++) y[j] *= part;
    return scale * top + TL_LOG(total);
}

/* Scores s and dP = g . v_j -> weights P in s and score gradients dS = P (dP - g . y) scale in d. */
static __attribute__((unused)) void TL_X(tl_softmax_back)(TL_T *TL_RESTRICT s, TL_T *TL_RESTRICT d, const unsigned char *TL_RESTRICT mask,
                                                          int64_t visible, int64_t n, TL_T scale, TL_T lse, TL_T gy) {
    if (visible > n) visible = n;
    if (visible < 0) visible = 0;
    for (int64_t j = 0; j < visible; j++) {
        TL_T p = TL_EXP(s[j] * scale - lse);
        s[j] = p;
        d[j] = p * (d[j] - gy) * scale;
    }
    if (mask)
        for (int64_t j = 0; j < visible; j++) {
            s[j] = mask[j] ? s[j] : 0;
            d[j] = mask[j] ? d[j] : 0;
        }
    for (int64_t j = visible; j < n; j++) s[j] = d[j] = 0;
}

static __attribute__((unused)) void TL_X(tl_scale_row)(TL_T *y, int64_t n, TL_T by) {
    for (int64_t j = 0; j < n; j++) y[j] *= by;
}

static __attribute__((unused)) void TL_X(tl_add_row)(TL_T *TL_RESTRICT y, const TL_T *TL_RESTRICT x, int64_t n) {
    for (int64_t j = 0; j < n; j++) y[j] += x[j];
}

static __attribute__((unused)) TL_T TL_X(tl_row_dot)(const TL_T *a, const TL_T *b, int64_t n) {
    VEC sum = {0};
    for (int64_t j = 0; j < n; j += VL) {
        int64_t part = n - j < VL ? n - j : VL;
        sum += TL_X(tl_load_part)(a + j, part) * TL_X(tl_load_part)(b + j, part);
    }
    return TL_X(tl_lane_sums)(&sum, 1)[0];
}

/* Whether x holds no NaN and no infinity: 0 * x is 0 for all of it. */
static __attribute__((unused)) int TL_X(tl_all_finite)(const TL_T *x, int64_t n) {
    VEC sum = {0};
    const VEC zero = {0};
    int64_t j = 0;
    for (; j + VL <= n; j += VL) sum += zero * *(const UVEC *)(x + j);
    if (j < n) sum += zero * TL_X(tl_load_part)(x + j, n - j);
    return TL_X(tl_lane_sums)(&sum, 1)[0] == 0;
}

#undef VL
#undef VEC
#undef UVEC
#undef IVEC
