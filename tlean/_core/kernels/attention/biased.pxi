# Attention with a scale, a mask and a bias of broadcast shapes; the bias's gradient.
# ints: batch, n, m, h, w, causal, then the places of mask and bias: each, parts, step, row. floats: the scale.

cdef Place place(const int64_t* ints) noexcept nogil:
    cdef Place p
    p.each, p.parts, p.step, p.row = ints[0], ints[1], ints[2], ints[3]
    return p


cdef double biased_sizes(Attention* t, const int64_t* ints, const double* floats, void* bias, real tag) noexcept nogil:
    t.batch, t.n, t.m, t.h, t.w = ints[0], ints[1], ints[2], ints[3], ints[4]
    t.causal = ints[5] != 0
    t.mask_at, t.bias_at = place(ints + 6), place(ints + 10)
    t.bias = <char*>bias
    t.general = True
    t.scale, t.factor = 1.0, floats[0]
    t.status = TL_OK
    return nanoseconds_of(t, tag)


# y, lse = f(q, k, v, mask, bias): (N,n,h), (N,m,h), (N,m,w) -> (N,n,w), (N,n)
cdef int attend_biased(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Attention t
    cdef double nanoseconds = biased_sizes(&t, ints, floats, inp[4], <real>0)
    return forward(&t, out, inp, nanoseconds)


# dq, dk, dv = f(g, y, lse, q, k, v, mask, bias): g as y -> as q, k and v
cdef int attend_biased_back(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Attention t
    cdef double nanoseconds = 2.5 * biased_sizes(&t, ints, floats, inp[7], <real>0)
    return backward(&t, out, inp, nanoseconds)


cdef void bias_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    # A tile of the bias's gradient: the sum of dS over the items, and over the queries, that have this part of the bias.
    cdef Attention* t = <Attention*>context
    cdef int64_t blocks = (t.m + BACK_BLOCK - 1) // BACK_BLOCK, part = chunk // (t.per_item * blocks)
    cdef int64_t i_begin = chunk // blocks % t.per_item * t.per_chunk, i_end = min(i_begin + t.per_chunk, t.n)
    cdef int64_t j0 = chunk % blocks * BACK_BLOCK, keys = min(<int64_t>BACK_BLOCK, t.m - j0), h = t.h, w = t.w
    cdef int64_t sub = tl_even_panel(i_end - i_begin, 8 * TL_MR if TL_MR > 8 else 16 * TL_MR)
    cdef int64_t k_space = rounded(panel_space(h, keys, <real>0)), v_space = rounded(panel_space(w, keys, <real>0))
    cdef int64_t s_space = rounded(sub * keys), turn, item, i, rows, columns, visible, r
    cdef real* memory = <real*>scratch(TL_SLOT_ATTENTION_CHUNK, (k_space + v_space + 2 * s_space) * sizeof(real))
    if memory == NULL:
        t.status = TL_NO_MEMORY
        return
    cdef real* s = memory + k_space + v_space
    cdef real* d = s + s_space
    cdef real* to = <real*>t.dbias + part * t.bias_at.step + j0
    cdef real* q
    cdef real* g
    cdef real* y
    cdef unsigned char* mask
    cdef unsigned char[KEY_BLOCK] room
    cdef Panels kt, vt
    for i in range(i_begin if t.bias_at.row else 0, i_end if t.bias_at.row else 1):
        memset(to + i * t.bias_at.row, 0, keys * sizeof(real))
    for turn in range(t.batch // t.bias_at.parts):
        item = (turn // t.bias_at.each * t.bias_at.parts + part) * t.bias_at.each + turn % t.bias_at.each
        q = <real*>t.q + item * t.n * h
        g = <real*>t.g + item * t.n * w
        y = <real*>t.y + item * t.n * w
        kt = packed(memory, <real*>t.k + (item * t.m + j0) * h, 1, h, h, keys)
        vt = packed(memory + k_space, <real*>t.v + (item * t.m + j0) * w, 1, w, w, keys)
        i = i_begin - sub
        while i + sub < i_end:
            i += sub
            rows = min(sub, i_end - i)
            columns = min(keys, i + rows - j0) if t.causal else keys
            if columns <= 0:
                continue
            multiply(rows, columns, h, q + i * h, h, 1, kt, s, keys, 0)
            multiply(rows, columns, w, g + i * w, w, 1, vt, d, keys, 0)
            for r in range(rows):
                mask = open_keys(t, item, i + r, j0, columns, s + r * keys, room)
                visible = i + r - j0 + 1 if t.causal else columns
                tl_softmax_back(s + r * keys, d + r * keys, mask, visible, columns, <real>1, (<real*>t.lse)[item * t.n + i + r],
                                <real>tl_row_dot(g + (i + r) * w, y + (i + r) * w, w))
                tl_add_row(to + (i + r) * t.bias_at.row, d + r * keys, columns)


# dbias = f(g, y, lse, q, k, v, mask, bias): the shape of bias
cdef int bias_back(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Attention t
    cdef double nanoseconds = 1.5 * biased_sizes(&t, ints, floats, inp[7], <real>0)
    t.g, t.y, t.lse = <char*>inp[0], <char*>inp[1], <char*>inp[2]
    t.q, t.k, t.v, t.mask = <char*>inp[3], <char*>inp[4], <char*>inp[5], <unsigned char*>inp[6]
    t.dbias = <char*>out[0]
    if t.batch == 0:
        memset(out[0], 0, t.bias_at.parts * t.bias_at.step * sizeof(real))
        return TL_OK
    # A row that all queries share is summed in one go.
    t.per_chunk = min(t.n, <int64_t>BACK_BLOCK) if t.bias_at.row else t.n
    t.per_item = (t.n + t.per_chunk - 1) // t.per_chunk
    parallel_for(<chunk_fn>bias_chunk[real], &t, t.bias_at.parts * t.per_item * ((t.m + BACK_BLOCK - 1) // BACK_BLOCK), nanoseconds)
    return t.status
