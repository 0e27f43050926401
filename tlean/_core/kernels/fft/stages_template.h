/* Fourier transforms of the lanes of vectors for one float type: included by fft.h with TL_T, TL_SUFFIX and TL_INT defined, after
 * vector_template.h and lines_template.h. Entry e of a buffer is two vectors, at e * PAIR and e * PAIR + TL_LANES_X: the real and the
 * imaginary parts of the lanes. `re` and `im` say which of the two is which (0 and TL_LANES_X, or exchanged): with the parts exchanged, a
 * forward transform is an inverse one.
 */
#define VL TL_X(TL_LANES)
#define VEC TL_X(tl_vec)
#define UVEC TL_X(tl_uvec)
#define IVEC TL_X(tl_ivec)
#define PAIR (2 * (int64_t)VL)
#define AT(p) (*(VEC *)(p))
#define READ(p) (*(const VEC *)(p))

/* The sums b[j] = Σ a[k] w^(jk), w = exp(−2πi/R), in place. R is a constant but for odd ones above 7, whose cosines and sines `roots` has
 * at k and R + k. */
TL_INLINE void TL_X(tl_dft2)(VEC *re, VEC *im, const int a, const int b) {
    const VEC xr = re[a] - re[b], xi = im[a] - im[b];
    re[a] += re[b], im[a] += im[b];
    re[b] = xr, im[b] = xi;
}

/* Of entries a, b, c, d; in this order. */
TL_INLINE void TL_X(tl_dft4)(VEC *re, VEC *im, const int a, const int b, const int c, const int d) {
    TL_X(tl_dft2)(re, im, a, c);
    TL_X(tl_dft2)(re, im, b, d);
    /* a: sum of the even ones, b: of the odd ones, c and d: the differences. */
    const VEC xr = re[c] + im[d], xi = im[c] - re[d], yr = re[c] - im[d], yi = im[c] + re[d];
    const VEC zr = re[a] - re[b], zi = im[a] - im[b];
    re[a] += re[b], im[a] += im[b];
    re[b] = xr, im[b] = xi;
    re[c] = zr, im[c] = zi;
    re[d] = yr, im[d] = yi;
}

TL_INLINE void TL_X(tl_dft_odd)(const int R, VEC *re, VEC *im, const TL_T *roots) {
    VEC pr[TL_FFT_MOST / 2], pi[TL_FFT_MOST / 2], mr[TL_FFT_MOST / 2], mi[TL_FFT_MOST / 2];
    VEC tr = re[0], ti = im[0];
    const VEC r0 = tr, i0 = ti;
#pragma GCC unroll 3
    for (int k = 1; k <= R / 2; k++) {
        pr[k - 1] = re[k] + re[R - k], pi[k - 1] = im[k] + im[R - k];
        mr[k - 1] = re[k] - re[R - k], mi[k - 1] = im[k] - im[R - k];
        tr += pr[k - 1], ti += pi[k - 1];
    }
    re[0] = tr, im[0] = ti;
#pragma GCC unroll 3
    for (int j = 1; j <= R / 2; j++) {
        VEC ar = r0, ai = i0, br = {0}, bi = {0};
#pragma GCC unroll 3
        for (int k = 1; k <= R / 2; k++) {
            const TL_T c = roots[j * k % R], s = roots[R + j * k % R];
            ar += pr[k - 1] * c, ai += pi[k - 1] * c;
            br += mr[k - 1] * s, bi += mi[k - 1] * s;
        }
        re[j] = ar + bi, im[j] = ai - br;
        re[R - j] = ar - bi, im[R - j] = ai + br;
    }
}

TL_INLINE void TL_X(tl_dft8)(VEC *re, VEC *im) {
    const TL_T h = (TL_T)0.70710678118654752440;
    TL_X(tl_dft4)(re, im, 0, 2, 4, 6);
    TL_X(tl_dft4)(re, im, 1, 3, 5, 7);
    VEC xr = (re[3] + im[3]) * h, xi = (im[3] - re[3]) * h;
    re[3] = xr, im[3] = xi;
    xr = im[5], xi = -re[5];
    re[5] = xr, im[5] = xi;
    xr = (im[7] - re[7]) * h, xi = (re[7] + im[7]) * -h;
    re[7] = xr, im[7] = xi;
    /* Pairs (even k, odd k): k and k + 4 of the result. */
#pragma GCC unroll 4
    for (int k = 0; k < 8; k += 2) TL_X(tl_dft2)(re, im, k, k + 1);
    VEC t;
#define PLACE(v) t = v[1], v[1] = v[2], v[2] = v[4], v[4] = t, t = v[3], v[3] = v[6], v[6] = v[5], v[5] = t
    PLACE(re);
    PLACE(im);
#undef PLACE
}

TL_INLINE void TL_X(tl_dft)(const int R, VEC *re, VEC *im, const TL_T *roots) {
    if (R == 2) TL_X(tl_dft2)(re, im, 0, 1);
    else if (R == 4) TL_X(tl_dft4)(re, im, 0, 1, 2, 3);
    else if (R == 8) TL_X(tl_dft8)(re, im);
    else TL_X(tl_dft_odd)(R, re, im, roots);
}

/* One stage of Stockham's algorithm, from x to y: of the transforms of length R m, s of which are next to each other, the first step. The
 * last one (m = 1) scales. */
TL_INLINE void TL_X(tl_stage_of)(
    const int R, const int last, const TL_T *TL_RESTRICT x, TL_T *TL_RESTRICT y, int64_t m, int64_t s, int64_t re, int64_t im, const TL_T *w,
    const TL_T *roots, const TL_T scale
) {
    VEC a[TL_FFT_MOST], b[TL_FFT_MOST];
    for (int64_t p = 0; p < m; p++, w += 2 * (R - 1))
        for (int64_t q = 0; q < s; q++) {
            const TL_T *from = x + (q + s * p) * PAIR;
            TL_T *to = y + (q + s * R * p) * PAIR;
#pragma GCC unroll 8
            for (int k = 0; k < R; k++) a[k] = READ(from + k * m * s * PAIR + re), b[k] = READ(from + k * m * s * PAIR + im);
            TL_X(tl_dft)(R, a, b, roots);
            if (last) {
#pragma GCC unroll 8
                for (int k = 0; k < R; k++) AT(to + k * s * PAIR + re) = a[k] * scale, AT(to + k * s * PAIR + im) = b[k] * scale;
                continue;
            }
            AT(to + re) = a[0], AT(to + im) = b[0];
#pragma GCC unroll 8
            for (int k = 1; k < R; k++) {
                const TL_T c = w[2 * k - 2], d = w[2 * k - 1];
                AT(to + k * s * PAIR + re) = a[k] * c - b[k] * d;
                AT(to + k * s * PAIR + im) = b[k] * c + a[k] * d;
            }
        }
}

static void TL_X(tl_stage)(
    int radix, const TL_T *x, TL_T *y, int64_t m, int64_t s, int64_t re, int64_t im, const TL_T *w, const TL_T *roots, TL_T scale
) {
#define CASE(R) \
    case R: \
        if (m == 1) TL_X(tl_stage_of)(R, 1, x, y, m, s, re, im, w, roots, scale); \
        else TL_X(tl_stage_of)(R, 0, x, y, m, s, re, im, w, roots, scale); \
        break
    switch (radix) {
        CASE(2);
        CASE(3);
        CASE(4);
        CASE(5);
        CASE(7);
        CASE(8);
        default: TL_X(tl_stage_of)(radix, m == 1, x, y, m, s, re, im, w, roots, scale);
    }
#undef CASE
}

/* The transforms of the lanes of x; a and b are buffers of the plan's room, either of which may be x. Returns the one with the result. */
static TL_T *TL_X(tl_fft_stages)(const tl_fft_plan *plan, const TL_T *x, TL_T *a, TL_T *b, int64_t re, int64_t im, TL_T scale) {
    int64_t m = plan->n, s = 1;
    TL_T *y = x == a ? b : a;
    const TL_T *w = plan->twiddles, *roots = plan->roots;
    if (!plan->stages) {
        AT(y) = READ(x) * scale, AT(y + VL) = READ(x + VL) * scale;
        return y;
    }
    for (int i = 0; i < plan->stages; i++) {
        const int radix = plan->radix[i];
        m /= radix;
        TL_X(tl_stage)(radix, x, y, m, s, re, im, w, roots, scale);
        w += 2 * m * (radix - 1);
        roots += radix % 2 ? 2 * radix : 0;
        s *= radix;
        x = y;
        y = y == a ? b : a;
    }
    return (TL_T *)x;
}

/* y = x w: entry j of all lanes times w[j]. y may be x. */
static void TL_X(tl_fft_times)(const TL_T *x, TL_T *y, const TL_T *w, int64_t n, int64_t re, int64_t im, TL_T scale) {
    for (int64_t j = 0; j < n; j++, x += PAIR, y += PAIR) {
        const TL_T c = w[2 * j] * scale, d = w[2 * j + 1] * scale;
        const VEC xr = READ(x + re), xi = READ(x + im);
        AT(y + re) = xr * c - xi * d, AT(y + im) = xi * c + xr * d;
    }
}

/* As tl_fft_stages, for any length, also by Bluestein's algorithm; x must be a. */
static TL_T *TL_X(tl_fft_lanes)(const tl_fft_plan *plan, TL_T *a, TL_T *b, int inverse, TL_T scale) {
    const int64_t re = inverse ? VL : 0, im = inverse ? 0 : VL, n = plan->n;
    if (!plan->cyclic) return TL_X(tl_fft_stages)(plan, a, a, b, re, im, scale);
    const int64_t m = plan->cyclic->n;
    TL_X(tl_fft_times)(a, a, plan->chirp, n, re, im, 1);
    memset(a + n * PAIR, 0, (size_t)((m - n) * PAIR) * sizeof(TL_T));
    TL_T *y = TL_X(tl_fft_stages)(plan->cyclic, a, a, b, re, im, 1);
    TL_X(tl_fft_times)(y, y, plan->filter, m, re, im, 1);
    y = TL_X(tl_fft_stages)(plan->cyclic, y, a, b, im, re, 1);
    TL_X(tl_fft_times)(y, y, plan->chirp, n, re, im, scale);
    return y;
}

/* Between memory and lanes ------------------------------------------------------------------------------------------------- */

/* Entries of neighbouring lines, `step` numbers from one entry to the next; complex ones, and real ones at one vector each. */
static void TL_X(tl_fft_load)(TL_T *buf, const TL_T *src, int64_t step, int64_t lanes, int64_t n, int complex_) {
    IVEC even, odd;
#pragma GCC unroll 16
    for (int l = 0; l < VL; l++) even[l] = 2 * l, odd[l] = 2 * l + 1;
    const int64_t width = complex_ ? 2 * lanes : lanes, first = width < VL ? width : VL;
    for (int64_t j = 0; j < n; j++, src += step) {
        const VEC x = first == VL ? (VEC)*(const UVEC *)src : TL_X(tl_load_part)(src, first);
        if (!complex_) {
            AT(buf + j * VL) = x;
            continue;
        }
        const VEC y = width == PAIR ? (VEC)*(const UVEC *)(src + VL) : width > VL ? TL_X(tl_load_part)(src + VL, width - VL) : (VEC){0};
        AT(buf + j * PAIR) = TL_X(tl_shuffle)(x, y, even);
        AT(buf + j * PAIR + VL) = TL_X(tl_shuffle)(x, y, odd);
    }
}

static void TL_X(tl_fft_store)(const TL_T *buf, TL_T *dst, int64_t step, int64_t lanes, int64_t n, int complex_) {
    const int64_t width = complex_ ? 2 * lanes : lanes, first = width < VL ? width : VL;
    for (int64_t j = 0; j < n; j++, dst += step) {
        VEC x = READ(buf + j * (complex_ ? PAIR : VL)), y = x;
        if (complex_) {
            const VEC z = READ(buf + j * PAIR + VL);
            x = TL_X(tl_interleave_lo)(y, z), y = TL_X(tl_interleave_hi)(y, z);
        }
        if (first == VL) *(UVEC *)dst = x;
        else TL_X(tl_store_part)(dst, x, first);
        if (width == PAIR) *(UVEC *)(dst + VL) = y;
        else if (width > VL) TL_X(tl_store_part)(dst + VL, y, width - VL);
    }
}

/* Real lines of 2 h entries, taken as complex ones of h: their spectra Z of h entries to those of the lines, of h + 1; and back. The first
 * and the last are times `ends`, the others times `middle`. w has exp(−πik/h). x and y are different buffers. */
static void TL_X(tl_fft_split)(const TL_T *x, TL_T *y, const TL_T *w, int64_t h, TL_T ends, TL_T middle) {
    const VEC r0 = READ(x), i0 = READ(x + VL), none = {0};
    AT(y) = (r0 + i0) * ends, AT(y + VL) = none;
    AT(y + h * PAIR) = (r0 - i0) * ends, AT(y + h * PAIR + VL) = none;
    middle *= (TL_T)0.5;
    for (int64_t k = 1; k < h; k++) {
        const VEC ar = READ(x + k * PAIR), ai = READ(x + k * PAIR + VL);
        const VEC br = READ(x + (h - k) * PAIR), bi = READ(x + (h - k) * PAIR + VL);
        const VEC er = ar + br, ei = ai - bi, dr = ai + bi, di = br - ar;
        const TL_T c = w[2 * k], d = w[2 * k + 1];
        AT(y + k * PAIR) = (er + (dr * c - di * d)) * middle;
        AT(y + k * PAIR + VL) = (ei + (di * c + dr * d)) * middle;
    }
}

static void TL_X(tl_fft_unite)(const TL_T *x, TL_T *y, const TL_T *w, int64_t h, TL_T ends, TL_T middle) {
    const VEC r0 = READ(x) * ends, rh = READ(x + h * PAIR) * ends;
    AT(y) = r0 + rh, AT(y + VL) = r0 - rh;
    for (int64_t k = 1; k < h; k++) {
        const VEC ar = READ(x + k * PAIR), ai = READ(x + k * PAIR + VL);
        const VEC br = READ(x + (h - k) * PAIR), bi = READ(x + (h - k) * PAIR + VL);
        const VEC er = ar + br, ei = ai - bi, dr = ar - br, di = ai + bi;
        const TL_T c = w[2 * k], d = w[2 * k + 1];
        AT(y + k * PAIR) = (er - (di * c - dr * d)) * middle;
        AT(y + k * PAIR + VL) = (ei + (dr * c + di * d)) * middle;
    }
}

/* The same with real lines of odd length n as complex ones: n real entries to complex ones; the first (n + 1)/2 of spectra times their
 * factors; and spectra from these. */
static void TL_X(tl_fft_widen)(const TL_T *x, TL_T *y, int64_t n) {
    for (int64_t j = 0; j < n; j++) AT(y + j * PAIR) = READ(x + j * VL), AT(y + j * PAIR + VL) = (VEC){0};
}

static void TL_X(tl_fft_weigh)(TL_T *x, int64_t n, TL_T ends, TL_T middle) {
    AT(x) = READ(x) * ends, AT(x + VL) = (VEC){0};
    for (int64_t k = 1; k <= n / 2; k++) AT(x + k * PAIR) = READ(x + k * PAIR) * middle, AT(x + k * PAIR + VL) = READ(x + k * PAIR + VL) * middle;
}

static void TL_X(tl_fft_mirror)(TL_T *x, int64_t n) {
    for (int64_t k = 1; k <= n / 2; k++)
        AT(x + (n - k) * PAIR) = READ(x + k * PAIR), AT(x + (n - k) * PAIR + VL) = -READ(x + k * PAIR + VL);
}

static void TL_X(tl_fft_narrow)(const TL_T *x, TL_T *y, int64_t n) {
    for (int64_t j = 0; j < n; j++) AT(y + j * VL) = READ(x + j * PAIR);
}

/* One long line --------------------------------------------------------------------------------------------------------------
 * Of length rows × columns: transforms of the columns, whose entry (k, j) is then times exp(−2πi kj/n), and of what are the rows then. The
 * first step writes for the second: groups of VL rows with one entry of all lanes after another. */

static void TL_X(tl_fft_turn)(const tl_fft_plan *plan, const TL_T *x, TL_T *t, int64_t block, int64_t re, int64_t im) {
    const int64_t rows = plan->rows, columns = plan->columns, first = block * VL, part = columns - first < VL ? columns - first : VL;
    VEC r[VL], i[VL];
    for (int64_t k = 0; k < rows; k += VL) {
        for (int64_t l = 0; l < VL; l++) {
            if (k + l >= rows) {
                r[l] = i[l] = (VEC){0};
                continue;
            }
            const VEC xr = READ(x + (k + l) * PAIR + re), xi = READ(x + (k + l) * PAIR + im);
            VEC c, d;
            if (plan->every) {
                const TL_T *w = (const TL_T *)plan->every + (block * rows + k + l) * PAIR;
                c = READ(w), d = READ(w + VL);
            } else {
                /* exp(−2πi k first/n), of two tables, times what differs between the lanes. */
                const int64_t e = (k + l) * first;
                const TL_T *hi = (const TL_T *)plan->coarse + e / plan->fineness * 2, *lo = (const TL_T *)plan->fine + e % plan->fineness * 2;
                const TL_T *w = (const TL_T *)plan->lanes + (k + l) * PAIR;
                const TL_T zr = hi[0] * lo[0] - hi[1] * lo[1], zi = hi[0] * lo[1] + hi[1] * lo[0];
                c = READ(w) * zr - READ(w + VL) * zi, d = READ(w) * zi + READ(w + VL) * zr;
            }
            r[l] = xr * c - xi * d, i[l] = xi * c + xr * d;
        }
        TL_X(tl_transpose)(r);
        TL_X(tl_transpose)(i);
        TL_T *to = t + (k / VL * columns + first) * PAIR;
        for (int64_t l = 0; l < part; l++) AT(to + l * PAIR + re) = r[l], AT(to + l * PAIR + im) = i[l];
    }
}

/* tl_fft_split and tl_fft_unite of one line; x and y differ. */
static void TL_X(tl_fft_split_line)(const TL_T *TL_RESTRICT x, TL_T *TL_RESTRICT y, const TL_T *TL_RESTRICT w, int64_t h, TL_T ends, TL_T middle) {
    y[0] = (x[0] + x[1]) * ends, y[1] = 0;
    y[2 * h] = (x[0] - x[1]) * ends, y[2 * h + 1] = 0;
    middle *= (TL_T)0.5;
    TL_INDEPENDENT
    for (int64_t k = 1; k < h; k++) {
        const TL_T ar = x[2 * k], ai = x[2 * k + 1], br = x[2 * (h - k)], bi = x[2 * (h - k) + 1];
        const TL_T er = ar + br, ei = ai - bi, dr = ai + bi, di = br - ar, c = w[2 * k], d = w[2 * k + 1];
        y[2 * k] = (er + (dr * c - di * d)) * middle;
        y[2 * k + 1] = (ei + (di * c + dr * d)) * middle;
    }
}

static void TL_X(tl_fft_unite_line)(const TL_T *TL_RESTRICT x, TL_T *TL_RESTRICT y, const TL_T *TL_RESTRICT w, int64_t h, TL_T ends, TL_T middle) {
    y[0] = (x[0] + x[2 * h]) * ends, y[1] = (x[0] - x[2 * h]) * ends;
    TL_INDEPENDENT
    for (int64_t k = 1; k < h; k++) {
        const TL_T ar = x[2 * k], ai = x[2 * k + 1], br = x[2 * (h - k)], bi = x[2 * (h - k) + 1];
        const TL_T er = ar + br, ei = ai - bi, dr = ar - br, di = ai + bi, c = w[2 * k], d = w[2 * k + 1];
        y[2 * k] = (er - (di * c - dr * d)) * middle;
        y[2 * k + 1] = (ei + (dr * c + di * d)) * middle;
    }
}

/* y = x w, or x times the conjugate of w, for `length` entries, and zeros up to n; y may be x. */
static void TL_X(tl_fft_times_line)(const TL_T *x, TL_T *y, const TL_T *w, int64_t length, int64_t n, int conjugate, TL_T scale) {
    const TL_T turn = conjugate ? -scale : scale;
    TL_INDEPENDENT
    for (int64_t j = 0; j < length; j++) {
        const TL_T xr = x[2 * j], xi = x[2 * j + 1], c = w[2 * j] * scale, d = w[2 * j + 1] * turn;
        y[2 * j] = xr * c - xi * d, y[2 * j + 1] = xi * c + xr * d;
    }
    memset(y + 2 * length, 0, (size_t)(2 * (n - length)) * sizeof(TL_T));
}

#undef VL
#undef VEC
#undef UVEC
#undef IVEC
#undef PAIR
#undef AT
#undef READ
