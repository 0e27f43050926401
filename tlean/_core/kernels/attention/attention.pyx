"""Scaled dot-product attention by tiles: the n x m scores are never stored in memory (Dao et al. 2022, algorithms 1 and 4).

q (batch, n, h), k (batch, m, h), v (batch, m, w), y (batch, n, w), lse (batch, n) the log-sum-exp of each row of scaled scores.

Forward: a chunk is a run of queries of one batch item; for each block of keys, packed once, the scores of some queries are computed,
turned into weights by the online softmax and multiplied into y. Backward: a chunk is a run of keys of one batch item; weights are
recomputed from lse. dK and dV are complete within a chunk; where one item has several chunks, each sums its own dQ and the sums are
added in the order of the chunks.
"""
from libc.stdint cimport INT64_MAX, int64_t
from libc.math cimport INFINITY, sqrt
from libc.string cimport memset

from tlean._core.kernel cimport TL_NO_MEMORY, TL_OK, TL_SLOT_ATTENTION_CHUNK, TL_SLOT_ATTENTION_PARTS
from tlean._core.kernels.gemm.micro cimport (
    TL_LANES_f32, TL_LANES_f64, TL_MR, TL_NR_f32, TL_NR_f64, tl_even_panel, tl_micro, tl_pack_b,
)
from tlean._core.simd.real cimport real
from tlean._core.threads.threads cimport chunk_fn, parallel_for, scratch

cdef extern from "kernels/attention/rows.h" nogil:
    # Pointers and values of one call are of one float type.
    double tl_softmax_step(void* s, const unsigned char* mask, int64_t visible, int64_t n, double scale, void* top, void* total)
    double tl_softmax_end(void* y, int64_t n, double scale, double top, double total)
    void tl_softmax_back(void* s, void* d, const unsigned char* mask, int64_t visible, int64_t n, double scale, double lse, double gy)
    void tl_scale_row(void* y, int64_t n, double by)
    void tl_add_row(void* y, const void* x, int64_t n)
    double tl_row_dot(const void* a, const void* b, int64_t n)
    bint tl_all_finite(const void* x, int64_t n)

cdef enum:
    QUERY_CHUNK = 256      # queries per chunk forward: each block of keys is packed once for all of them
    KEY_BLOCK = 256        # keys per block forward
    BACK_BLOCK = 128       # keys per block backward, where two blocks of scores are alive
    BACK_PARTS = 8         # chunks worth having backward

# Where a batch item has its part of an array of broadcast shape: part (item // each) % parts; steps from part to part and from row to row.
ctypedef struct Place:
    int64_t each
    int64_t parts
    int64_t step
    int64_t row

ctypedef struct Attention:
    char* q
    char* k
    char* v
    unsigned char* mask
    char* g
    char* y
    char* lse
    char* dq
    char* dk
    char* dv
    char* parts             # dQ of each chunk, where an item has several
    int64_t batch
    int64_t n
    int64_t m
    int64_t h
    int64_t w
    bint causal
    double scale
    char* bias              # added to the scaled products; -inf blocks
    char* dbias
    Place mask_at
    Place bias_at
    bint general            # scores are scaled and get their bias before the softmax, whose scale is then 1
    double factor           # the scale of a general call
    int64_t per_item        # chunks per batch item
    int64_t per_chunk       # queries (forward) or keys (backward) per chunk
    int status

# The right-hand operand of a product, as panels of TL_NR columns.
ctypedef struct Panels:
    char* at
    int64_t step            # elements from one panel to the next
    int64_t row             # elements from one row of a panel to the next


# Products of blocks --------------------------------------------------------------------------------------------------------

cdef inline int64_t width(real tag) noexcept nogil:
    return TL_NR_f32 if real is float else TL_NR_f64


cdef inline int64_t panel_space(int64_t k, int64_t n, real tag) noexcept nogil:
    # Elements of k rows, n columns as packed panels.
    cdef int64_t nr = width(tag)
    return (n + nr - 1) // nr * nr * k


cdef Panels packed(real* to, const real* src, int64_t k_step, int64_t column, int64_t k, int64_t n) noexcept nogil:
    cdef Panels b
    cdef int64_t nr = width(to[0]), j = 0
    b.at = <char*>to
    b.step = nr * k
    b.row = nr
    while j < n:
        tl_pack_b(to + j * k, src + j * column, k_step, column, k, min(nr, n - j))
        j += nr
    return b


cdef Panels rows_of(real* to, real* src, int64_t k, int64_t n) noexcept nogil:
    # A row-major matrix (k, n) in its place, where its rows end with a whole vector; packed otherwise.
    cdef Panels b
    if n % (TL_LANES_f32 if real is float else TL_LANES_f64):
        return packed(to, src, n, 1, k, n)
    b.at = <char*>src
    b.step = width(to[0])
    b.row = n
    return b


cdef void multiply(int64_t m, int64_t n, int64_t k, const real* a, int64_t a_row, int64_t a_k, Panels b, real* c, int64_t ldc,
                   int add) noexcept nogil:
    # C (m, n) (+)= A (m, k) B (k, n)
    cdef int64_t nr = width(c[0]), height = tl_even_panel(m, TL_MR), i, rows, columns
    cdef real* panel = <real*>b.at
    while n > 0:
        columns = min(nr, n)
        i = 0
        while i < m:
            rows = min(height, m - i)
            tl_micro(rows, columns, k, a + i * a_row, a_row, a_k, panel, b.row, c + i * ldc, ldc, add)
            i += height
        panel += b.step
        c += nr
        n -= nr


cdef inline int64_t part_of(Place* p, int64_t item) noexcept nogil:
    # Elements to the item's part.
    return item // p.each % p.parts * p.step


cdef inline bint allowed(Attention* t, int64_t item, int64_t i, int64_t j, real tag) noexcept nogil:
    if t.causal and j > i:
        return False
    if t.mask != NULL and t.mask[part_of(&t.mask_at, item) + i * t.mask_at.row + j] == 0:
        return False
    return t.bias == NULL or (<real*>t.bias)[part_of(&t.bias_at, item) + i * t.bias_at.row + j] != -INFINITY


cdef inline unsigned char* open_keys(Attention* t, int64_t item, int64_t i, int64_t j0, int64_t n, real* s,
                                     unsigned char* room) noexcept nogil:
    # Which of keys j0 ... are open to query i, NULL for all. Where the call is general, its products with them become scores.
    cdef unsigned char* mask = NULL
    if t.mask != NULL:
        mask = t.mask + part_of(&t.mask_at, item) + i * t.mask_at.row + j0
    return biased(t, item, i, j0, n, s, mask, room) if t.general else mask


cdef unsigned char* biased(Attention* t, int64_t item, int64_t i, int64_t j0, int64_t n, real* s, unsigned char* mask,
                           unsigned char* room) noexcept nogil:
    # What a bias of -inf blocks is closed in `room`.
    cdef real factor = <real>t.factor
    cdef real* bias = <real*>t.bias
    cdef int64_t j
    cdef bint blocks = False
    if bias == NULL:
        for j in range(n):
            s[j] = s[j] * factor
        return mask
    bias += part_of(&t.bias_at, item) + i * t.bias_at.row + j0
    for j in range(n):
        s[j] = s[j] * factor + bias[j]
        blocks |= bias[j] == -INFINITY
    if not blocks:
        return mask
    for j in range(n):
        room[j] = bias[j] != -INFINITY and (mask == NULL or mask[j] != 0)
    return room


cdef void multiply_allowed(Attention* t, int64_t item, int64_t i0, int64_t rows, int64_t j0, int64_t keys, const real* weights, int64_t ld,
                           const real* x, int64_t n, real* c, bint by_key) noexcept nogil:
    # The sums over pairs that may attend only, for a block whose x holds a NaN or an infinity: the zero weight of a blocked pair does not
    # cancel those. By key: c[j] += sum over i of weights[i, j] x[i]; else c[i] += sum over j of weights[i, j] x[j].
    cdef int64_t i, j, f
    cdef const real* from_row
    cdef real* to
    for i in range(rows):
        for j in range(keys):
            if allowed(t, item, i0 + i, j0 + j, c[0]):
                from_row = x + (i if by_key else j) * n
                to = c + (j if by_key else i) * n
                for f in range(n):
                    to[f] += weights[i * ld + j] * from_row[f]


cdef inline int64_t rounded(int64_t elements) noexcept nogil:
    # Keeps the parts of one scratch block 64-byte aligned.
    return (elements + 15) // 16 * 16


cdef void add_by_key(Attention* t, int64_t item, int64_t i0, int64_t rows, int64_t j0, int64_t keys, const real* weights, int64_t ld,
                     real* x, int64_t n, real* room, real* c, bint blocking) noexcept nogil:
    # c (keys, n) += weights' (keys, rows) x (rows, n), where some pairs may not attend if `blocking`. room: for x as panels.
    if not blocking or tl_all_finite(x, rows * n):
        multiply(keys, n, rows, weights, 1, ld, rows_of(room, x, rows, n), c, n, 1)
    else:
        multiply_allowed(t, item, i0, rows, j0, keys, weights, ld, x, n, c, True)


# Forward -------------------------------------------------------------------------------------------------------------------

cdef void forward_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Attention* t = <Attention*>context
    cdef int64_t item = chunk // t.per_item, i0 = chunk % t.per_item * t.per_chunk
    cdef int64_t i1 = min(i0 + t.per_chunk, t.n), h = t.h, w = t.w
    cdef int64_t sub = tl_even_panel(i1 - i0, 4 * TL_MR if TL_MR > 8 else 8 * TL_MR)
    cdef int64_t key_end = min(t.m, i1) if t.causal else t.m
    cdef int64_t block = min(<int64_t>KEY_BLOCK, key_end)
    cdef int64_t j0, keys, i, rows, columns, visible, r
    cdef int64_t k_space = rounded(panel_space(h, block, <real>0)), v_space = rounded(panel_space(block, w, <real>0))
    cdef int64_t s_space = rounded(sub * block)
    cdef real* memory = <real*>scratch(TL_SLOT_ATTENTION_CHUNK, (k_space + v_space + s_space + 2 * rounded(t.per_chunk)) * sizeof(real))
    if memory == NULL:
        t.status = TL_NO_MEMORY
        return
    cdef real* s = memory + k_space + v_space
    cdef real* top = s + s_space
    cdef real* total = top + rounded(t.per_chunk)
    cdef real* q = <real*>t.q + item * t.n * h
    cdef real* k = <real*>t.k + item * t.m * h
    cdef real* v = <real*>t.v + item * t.m * w
    cdef real* y = <real*>t.y + item * t.n * w
    cdef real scale = <real>t.scale, worth, lse
    cdef unsigned char[KEY_BLOCK] room
    cdef Panels kt, vs
    cdef bint blocking, plain
    for r in range(i1 - i0):
        top[r] = -INFINITY
        total[r] = 0
    j0 = -block
    while j0 + block < key_end:
        j0 += block
        keys = min(block, key_end - j0)
        kt = packed(memory, k + j0 * h, 1, h, h, keys)
        vs = rows_of(memory + k_space, v + j0 * w, keys, w)
        blocking = t.mask != NULL or t.bias != NULL or (t.causal and j0 + keys > i0 + 1)
        plain = not blocking or tl_all_finite(v + j0 * w, keys * w)
        i = i0 - sub
        while i + sub < i1:
            i += sub
            rows = min(sub, i1 - i)
            columns = min(keys, i + rows - j0) if t.causal else keys
            if columns <= 0:
                continue
            multiply(rows, columns, h, q + i * h, h, 1, kt, s, block, 0)
            for r in range(rows):
                visible = i + r - j0 + 1 if t.causal else columns
                worth = tl_softmax_step(s + r * block, open_keys(t, item, i + r, j0, columns, s + r * block, room), visible, columns, scale,
                                        top + i - i0 + r, total + i - i0 + r)
                if j0 > 0 and worth != 1:
                    tl_scale_row(y + (i + r) * w, w, worth)
            if plain:
                multiply(rows, w, columns, s, block, 1, vs, y + i * w, w, j0 > 0)
            else:
                if j0 == 0:
                    memset(y + i * w, 0, rows * w * sizeof(real))
                multiply_allowed(t, item, i, rows, j0, columns, s, block, v + j0 * w, w, y + i * w, False)
    for r in range(i1 - i0):
        lse = tl_softmax_end(y + (i0 + r) * w, w, scale, top[r], total[r])
        if t.lse != NULL:
            (<real*>t.lse)[item * t.n + i0 + r] = lse


# Backward ------------------------------------------------------------------------------------------------------------------

cdef void backward_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Attention* t = <Attention*>context
    cdef int64_t item = chunk // t.per_item, part = chunk % t.per_item
    cdef int64_t j_begin = part * t.per_chunk, j_end = min(j_begin + t.per_chunk, t.m), n = t.n, h = t.h, w = t.w
    cdef int64_t sub = tl_even_panel(n, 8 * TL_MR if TL_MR > 8 else 16 * TL_MR), block = min(<int64_t>BACK_BLOCK, t.m)
    cdef int64_t j0, keys, i, rows, columns, visible, r
    cdef int64_t k_space = rounded(panel_space(h, block, <real>0)), v_space = rounded(panel_space(w, block, <real>0))
    cdef int64_t rows_space = rounded(max(panel_space(max(block, sub), h, <real>0), panel_space(sub, w, <real>0)))
    cdef int64_t s_space = rounded(sub * block)
    cdef size_t room = (k_space + v_space + 3 * rows_space + 2 * s_space + rounded(n)) * sizeof(real)
    cdef real* memory = <real*>scratch(TL_SLOT_ATTENTION_CHUNK, room)
    if memory == NULL:
        t.status = TL_NO_MEMORY
        return
    cdef real* k_rows = memory + k_space + v_space
    cdef real* q_rows = k_rows + rows_space
    cdef real* g_rows = q_rows + rows_space
    cdef real* s = g_rows + rows_space
    cdef real* d = s + s_space
    cdef real* gy = d + s_space
    cdef real* q = <real*>t.q + item * n * h
    cdef real* k = <real*>t.k + item * t.m * h
    cdef real* v = <real*>t.v + item * t.m * w
    cdef real* g = <real*>t.g + item * n * w
    cdef real* y = <real*>t.y + item * n * w
    cdef real* lse = <real*>t.lse + item * n
    cdef real* dq = NULL
    cdef real* dk = <real*>t.dk + item * t.m * h
    cdef real* dv = <real*>t.dv + item * t.m * w
    cdef real scale = <real>t.scale
    cdef unsigned char[KEY_BLOCK] opened
    cdef Panels kt, vt, ks
    cdef bint blocking, with_scores = t.dq != NULL or t.dk != NULL
    if t.dq != NULL:
        dq = <real*>t.dq if t.per_item == 1 else <real*>t.parts + part * t.batch * n * h
        dq += item * n * h
        memset(dq, 0, n * h * sizeof(real))
    if t.dk != NULL:
        memset(dk + j_begin * h, 0, (j_end - j_begin) * h * sizeof(real))
    if t.dv != NULL:
        memset(dv + j_begin * w, 0, (j_end - j_begin) * w * sizeof(real))
    for i in range(n):
        gy[i] = tl_row_dot(g + i * w, y + i * w, w)
    j0 = j_begin - block
    while j0 + block < j_end:
        j0 += block
        keys = min(block, j_end - j0)
        kt = packed(memory, k + j0 * h, 1, h, h, keys)
        vt = packed(memory + k_space, v + j0 * w, 1, w, w, keys)
        ks = rows_of(k_rows, k + j0 * h, keys, h)
        # Causal: queries before j0 see none of these keys.
        i = (j0 // sub * sub if t.causal else 0) - sub
        while i + sub < n:
            i += sub
            rows = min(sub, n - i)
            columns = min(keys, i + rows - j0) if t.causal else keys
            if columns <= 0:
                continue
            blocking = t.mask != NULL or t.bias != NULL or (t.causal and j0 + columns > i + 1)
            multiply(rows, columns, h, q + i * h, h, 1, kt, s, block, 0)
            if with_scores:
                multiply(rows, columns, w, g + i * w, w, 1, vt, d, block, 0)
            for r in range(rows):
                visible = i + r - j0 + 1 if t.causal else columns
                tl_softmax_back(s + r * block, d + r * block, open_keys(t, item, i + r, j0, columns, s + r * block, opened), visible,
                                columns, scale, lse[i + r], gy[i + r])
                if t.general:
                    tl_scale_row(d + r * block, columns, <real>t.factor)
            if t.dv != NULL:
                # dV (keys, w) += P' (keys, rows) g (rows, w)
                add_by_key(t, item, i, rows, j0, columns, s, block, g + i * w, w, g_rows, dv + j0 * w, blocking)
            if t.dk != NULL:
                # dK (keys, h) += dS' (keys, rows) q (rows, h)
                add_by_key(t, item, i, rows, j0, columns, d, block, q + i * h, h, q_rows, dk + j0 * h, blocking)
            if t.dq != NULL:
                # dQ (rows, h) += dS (rows, keys) k (keys, h)
                if not blocking or tl_all_finite(k + j0 * h, columns * h):
                    multiply(rows, h, columns, d, block, 1, ks, dq + i * h, h, 1)
                else:
                    multiply_allowed(t, item, i, rows, j0, columns, d, block, k + j0 * h, h, dq + i * h, False)


cdef void join_parts(real* context, Py_ssize_t chunk) noexcept nogil:
    # Rows of dQ: the chunks' sums, added in their order.
    cdef Attention* t = <Attention*>context
    cdef int64_t rows = t.batch * t.n, i, p
    cdef real* to
    for i in range(chunk * QUERY_CHUNK, min((chunk + 1) * <int64_t>QUERY_CHUNK, rows)):
        to = <real*>t.dq + i * t.h
        memset(to, 0, t.h * sizeof(real))
        for p in range(t.per_item):
            tl_add_row(to, <real*>t.parts + (p * rows + i) * t.h, t.h)


# Kernels -------------------------------------------------------------------------------------------------------------------

cdef double sizes(Attention* t, const int64_t* ints, real tag) noexcept nogil:
    # ints: batch, n, m, h, w, whether each batch item has its own mask, causal. Returns nanoseconds of q k' and p v.
    t.batch, t.n, t.m, t.h, t.w = ints[0], ints[1], ints[2], ints[3], ints[4]
    t.mask_at = own_place(ints[5] != 0, t.n, t.m)
    t.causal = ints[6] != 0
    t.scale = 1.0 / sqrt(<double>t.h)
    t.bias = NULL
    t.general = False
    t.status = TL_OK
    return nanoseconds_of(t, tag)


cdef Place own_place(bint own, int64_t n, int64_t m) noexcept nogil:
    # A mask for each batch item, or one for all.
    cdef Place p
    p.each, p.parts, p.step, p.row = 1, INT64_MAX, n * m if own else 0, m
    return p


cdef double nanoseconds_of(Attention* t, real tag) noexcept nogil:
    return (0.012 if real is float else 0.024) * t.batch * t.n * t.m * (t.h + t.w + 16) * (0.5 if t.causal else 1.0)


cdef int forward(Attention* t, real** out, void** inp, double nanoseconds) noexcept nogil:
    t.q, t.k, t.v, t.mask = <char*>inp[0], <char*>inp[1], <char*>inp[2], <unsigned char*>inp[3]
    t.y, t.lse = <char*>out[0], <char*>out[1]
    t.per_chunk = tl_even_panel(t.n, QUERY_CHUNK)
    t.per_item = (t.n + t.per_chunk - 1) // t.per_chunk
    parallel_for(<chunk_fn>forward_chunk[real], t, t.batch * t.per_item, nanoseconds)
    return t.status


cdef int backward(Attention* t, real** out, void** inp, double nanoseconds) noexcept nogil:
    cdef int64_t blocks = (t.m + BACK_BLOCK - 1) // BACK_BLOCK
    t.g, t.y, t.lse = <char*>inp[0], <char*>inp[1], <char*>inp[2]
    t.q, t.k, t.v, t.mask = <char*>inp[3], <char*>inp[4], <char*>inp[5], <unsigned char*>inp[6]
    t.dq, t.dk, t.dv = <char*>out[0], <char*>out[1], <char*>out[2]
    if t.batch == 0:
        return TL_OK
    t.per_item = max(<int64_t>1, min(blocks, <int64_t>BACK_PARTS // t.batch))
    t.per_chunk = (blocks + t.per_item - 1) // t.per_item * BACK_BLOCK
    t.per_item = (t.m + t.per_chunk - 1) // t.per_chunk
    t.parts = NULL
    if t.per_item > 1 and t.dq != NULL:
        t.parts = <char*>scratch(TL_SLOT_ATTENTION_PARTS, t.per_item * t.batch * t.n * t.h * sizeof(real))
        if t.parts == NULL:
            return TL_NO_MEMORY
    parallel_for(<chunk_fn>backward_chunk[real], t, t.batch * t.per_item, nanoseconds)
    if t.parts != NULL and t.status == TL_OK:
        parallel_for(<chunk_fn>join_parts[real], t, (t.batch * t.n + QUERY_CHUNK - 1) // QUERY_CHUNK,
                     0.1 * t.per_item * t.batch * t.n * t.h)
    return t.status


# y, lse = f(q, k, v, mask): (N,n,h), (N,m,h), (N,m,w) -> (N,n,w), (N,n)
cdef int attend(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Attention t
    cdef double nanoseconds = sizes(&t, ints, <real>0)
    return forward(&t, out, inp, nanoseconds)


# dq, dk, dv = f(g, y, lse, q, k, v, mask): g as y -> as q, k and v
cdef int attend_back(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Attention t
    cdef double nanoseconds = 2.5 * sizes(&t, ints, <real>0)
    return backward(&t, out, inp, nanoseconds)


include "biased.pxi"


# mask and bias of broadcast shapes, or none -> (N,n,m)
cdef int attention_allowed(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # ints: batch, n, m, causal, then the places of mask and bias (each, parts, step, row)
    cdef Attention t
    cdef int64_t item, i, j
    cdef real* y = out[0]
    t.n, t.m, t.causal = ints[1], ints[2], ints[3] != 0
    t.mask, t.bias = <unsigned char*>inp[0], <char*>inp[1]
    t.mask_at, t.bias_at = place(ints + 4), place(ints + 8)
    for item in range(ints[0]):
        for i in range(t.n):
            for j in range(t.m):
                y[(item * t.n + i) * t.m + j] = allowed(&t, item, i, j, y[0])
    return TL_OK


KERNELS = {
    "_attention_allowed:f32": <size_t>&attention_allowed[float], "_attention_allowed:f64": <size_t>&attention_allowed[double],
    "scaled_dot_product_attention:f32": <size_t>&attend[float],
    "scaled_dot_product_attention:f64": <size_t>&attend[double],
    "_attention:f32": <size_t>&attend_biased[float], "_attention:f64": <size_t>&attend_biased[double],
    "_attention_grad:f32": <size_t>&attend_biased_back[float], "_attention_grad:f64": <size_t>&attend_biased_back[double],
    "_attention_bias_grad:f32": <size_t>&bias_back[float], "_attention_bias_grad:f64": <size_t>&bias_back[double],
    "_sdpa_grad:f32": <size_t>&attend_back[float], "_sdpa_grad:f64": <size_t>&attend_back[double],
}
