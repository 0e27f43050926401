/* Rows first … last − 1 of steps with n states each: included with T and NAME defined. The windows of a row of gates are next to each other.
 * Every output may be NULL. */

/* Where a strip of a row is written: at `p`, or in the room where that is NULL. */
TL_INLINE T *NAME(tl_or_room)(T *p, int64_t offset, T *room) { return p ? p + offset : room; }

TL_INLINE void NAME(tl_lstm_state)(T *TL_RESTRICT c1, const T *TL_RESTRICT i, const T *TL_RESTRICT f, const T *TL_RESTRICT g,
                                   const T *TL_RESTRICT c, int64_t n) {
    for (int64_t j = 0; j < n; j++) c1[j] = f[j] * c[j] + i[j] * g[j];
}

TL_INLINE void NAME(tl_product)(T *TL_RESTRICT h, const T *TL_RESTRICT a, const T *TL_RESTRICT b, int64_t n) {
    for (int64_t j = 0; j < n; j++) h[j] = a[j] * b[j];
}

/* a: i, f, g, o, the gates with their functions. t: tanh c1. */
static void NAME(tl_lstm_rows)(T *h, T *c1, T *a, T *t, const T *x, const T *s, const T *c, int64_t n, int64_t first, int64_t last) {
    T room[7][TL_CELL_STRIP];
    for (int64_t row = first; row < last; row++)
        for (int64_t at = 0; at < n; at += TL_CELL_STRIP) {
            const int64_t m = n - at < TL_CELL_STRIP ? n - at : TL_CELL_STRIP, one = row * n + at, gate = row * 4 * n + at;
            T *w[4];
            for (int k = 0; k < 4; k++) {
                w[k] = NAME(tl_or_room)(a, gate + k * n, room[k]);
                if (k == 2) NAME(tl_tanh_sum)(w[k], x + gate + k * n, s + gate + k * n, m);
                else NAME(tl_sigmoid_sum)(w[k], x + gate + k * n, s + gate + k * n, m);
            }
            T *now = NAME(tl_or_room)(c1, one, room[4]), *bound = NAME(tl_or_room)(t, one, room[5]);
            NAME(tl_lstm_state)(now, w[0], w[1], w[2], c + one, m);
            NAME(tl_tanh_row)(bound, now, m);
            if (h) NAME(tl_product)(h + one, w[3], bound, m);
        }
}

/* The gradients of a strip, in the order of a tape's sweep. The windows of dz are `wide` apart, those of a are n. has_h, has_c: whether there
 * is a cotangent of h, of c1. */
TL_INLINE void NAME(tl_lstm_strip)(T *TL_RESTRICT dz, T *TL_RESTRICT dc, const T *TL_RESTRICT gh, const T *TL_RESTRICT gc,
                                   const T *TL_RESTRICT a, const T *TL_RESTRICT t, const T *TL_RESTRICT c, int64_t n, int64_t wide,
                                   int64_t m, int has_h, int has_c) {
    TL_INDEPENDENT for (int64_t j = 0; j < m; j++) {
        const T i = a[j], f = a[n + j], g = a[2 * n + j], o = a[3 * n + j];
        T d = has_c ? gc[j] : 0;
        if (has_h) {
            const T within = (gh[j] * o) * (1 - t[j] * t[j]);
            d = has_c ? d + within : within;
        }
        dz[j] = (d * g) * (i * (1 - i));
        dz[wide + j] = (d * c[j]) * (f * (1 - f));
        dz[2 * wide + j] = (d * i) * (1 - g * g);
        dz[3 * wide + j] = has_h ? (gh[j] * t[j]) * (o * (1 - o)) : 0;
        dc[j] = d * f;
    }
}

static void NAME(tl_lstm_back)(T *dz, T *dc, const T *gh, const T *gc, const T *a, const T *t, const T *c, int64_t n, int64_t first,
                               int64_t last) {
    T room[5 * TL_CELL_STRIP];
    const int64_t wide = dz ? n : TL_CELL_STRIP;
    for (int64_t row = first; row < last; row++)
        for (int64_t at = 0; at < n; at += TL_CELL_STRIP) {
            const int64_t m = n - at < TL_CELL_STRIP ? n - at : TL_CELL_STRIP, one = row * n + at, gate = row * 4 * n + at;
            T *z = NAME(tl_or_room)(dz, gate, room), *state = NAME(tl_or_room)(dc, one, room + 4 * TL_CELL_STRIP);
            if (gh && gc) NAME(tl_lstm_strip)(z, state, gh + one, gc + one, a + gate, t + one, c + one, n, wide, m, 1, 1);
            else if (gh) NAME(tl_lstm_strip)(z, state, gh + one, NULL, a + gate, t + one, c + one, n, wide, m, 1, 0);
            else NAME(tl_lstm_strip)(z, state, NULL, gc + one, a + gate, t + one, c + one, n, wide, m, 0, 1);
        }
}

TL_INLINE void NAME(tl_gru_state)(T *TL_RESTRICT h1, const T *TL_RESTRICT z, const T *TL_RESTRICT n, const T *TL_RESTRICT h, int64_t m) {
    for (int64_t j = 0; j < m; j++) h1[j] = n[j] + z[j] * (h[j] - n[j]);
}

/* a: r, z, n, the gates with their functions, and the state's window of n. */
static void NAME(tl_gru_rows)(T *h1, T *a, const T *x, const T *s, const T *h, int64_t n, int64_t first, int64_t last) {
    T room[4][TL_CELL_STRIP];
    for (int64_t row = first; row < last; row++)
        for (int64_t at = 0; at < n; at += TL_CELL_STRIP) {
            const int64_t m = n - at < TL_CELL_STRIP ? n - at : TL_CELL_STRIP, one = row * n + at, gate = row * 3 * n + at;
            T *w[3];
            for (int k = 0; k < 3; k++) w[k] = NAME(tl_or_room)(a, row * 4 * n + at + k * n, room[k]);
            for (int k = 0; k < 2; k++) NAME(tl_sigmoid_sum)(w[k], x + gate + k * n, s + gate + k * n, m);
            NAME(tl_product)(room[3], w[0], s + gate + 2 * n, m);
            NAME(tl_tanh_sum)(w[2], x + gate + 2 * n, room[3], m);
            if (h1) NAME(tl_gru_state)(h1 + one, w[1], w[2], h + one, m);
            if (a) memcpy(a + row * 4 * n + at + 3 * n, s + gate + 2 * n, m * sizeof(T));
        }
}

/* The windows of dx and ds are `of_x` and `of_s` apart, those of a are n. */
TL_INLINE void NAME(tl_gru_strip)(T *TL_RESTRICT dx, T *TL_RESTRICT ds, T *TL_RESTRICT dh, const T *TL_RESTRICT g, const T *TL_RESTRICT a,
                                  const T *TL_RESTRICT h, int64_t n, int64_t of_x, int64_t of_s, int64_t m) {
    TL_INDEPENDENT for (int64_t j = 0; j < m; j++) {
        const T r = a[j], z = a[n + j], v = a[2 * n + j], s = a[3 * n + j], back = g[j] * z;
        const T to_n = (g[j] - back) * (1 - v * v), to_z = (g[j] * (h[j] - v)) * (z * (1 - z)), to_r = (to_n * s) * (r * (1 - r));
        dx[j] = to_r;
        dx[of_x + j] = to_z;
        dx[2 * of_x + j] = to_n;
        ds[j] = to_r;
        ds[of_s + j] = to_z;
        ds[2 * of_s + j] = to_n * r;
        dh[j] = back;
    }
}

static void NAME(tl_gru_back)(T *dx, T *ds, T *dh, const T *g, const T *a, const T *h, int64_t n, int64_t first, int64_t last) {
    T room[7 * TL_CELL_STRIP];
    const int64_t of_x = dx ? n : TL_CELL_STRIP, of_s = ds ? n : TL_CELL_STRIP;
    for (int64_t row = first; row < last; row++)
        for (int64_t at = 0; at < n; at += TL_CELL_STRIP) {
            const int64_t m = n - at < TL_CELL_STRIP ? n - at : TL_CELL_STRIP, one = row * n + at, gate = row * 3 * n + at;
            T *x = NAME(tl_or_room)(dx, gate, room), *s = NAME(tl_or_room)(ds, gate, room + 3 * TL_CELL_STRIP);
            T *back = NAME(tl_or_room)(dh, one, room + 6 * TL_CELL_STRIP);
            NAME(tl_gru_strip)(x, s, back, g + one, a + row * 4 * n + at, h + one, n, of_x, of_s, m);
        }
}
