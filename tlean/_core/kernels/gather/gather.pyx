# cython: language_level=3
"""Kernels that take or add elements at given positions.

Sums at repeated positions are taken in the order of the positions, so they do not depend on how the work is cut.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from tlean._core.kernel cimport TL_INDEX_OUT_OF_RANGE, TL_OK
from tlean._core.simd.real cimport least, real
from tlean._core.threads.threads cimport chunk_fn, parallel_for

# What is moved and not added up, by its length.
ctypedef fused word:
    uint8_t
    uint32_t
    uint64_t

cdef enum:
    CHUNK = 32768          # elements of one chunk
    MAX_PARTS = 16         # a scatter reads all positions once per part of its output

cdef double NS_PER_BYTE = 0.1


# Rows -----------------------------------------------------------------------------------------------------------------------
# ints: (rows, row length, positions, strict).

cdef struct Rows:
    void* out
    const void* x              # gathers: the table; scatters: what the output starts from (NULL: zeros)
    const void* v              # scatters: the rows to add
    const int64_t* at
    int64_t rows
    int64_t length
    int64_t count
    int64_t part               # gathers: positions in one chunk; scatters: rows of the output in one


cdef bint all_within(const int64_t* at, int64_t count, int64_t rows) noexcept nogil:
    cdef int64_t j
    for j in range(count):
        if at[j] < 0 or at[j] >= rows:
            return False
    return True


cdef void gather_chunk(word* context, Py_ssize_t chunk) noexcept nogil:
    cdef Rows* c = <Rows*>context
    cdef word* out = <word*>c.out
    cdef const word* x = <const word*>c.x
    cdef int64_t j, i
    for j in range(chunk * c.part, least((chunk + 1) * c.part, c.count)):
        i = c.at[j]
        if c.length == 1:
            out[j] = x[i] if 0 <= i < c.rows else 0
        elif 0 <= i < c.rows:
            memcpy(out + j * c.length, x + i * c.length, c.length * sizeof(word))
        else:
            memset(out + j * c.length, 0, c.length * sizeof(word))


cdef void scatter_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Rows* c = <Rows*>context
    cdef real* out = <real*>c.out
    cdef const real* x = <const real*>c.x
    cdef const real* v = <const real*>c.v
    # This chunk's rows of the output: what they start from, then every row of v that falls on them.
    cdef int64_t first = chunk * c.part, stop = least(first + c.part, c.rows), n = c.length, j, i, k
    if x != NULL:
        memcpy(out + first * n, x + first * n, (stop - first) * n * sizeof(real))
    else:
        memset(out + first * n, 0, (stop - first) * n * sizeof(real))
    for j in range(c.count):
        i = c.at[j]
        if first <= i < stop:
            for k in range(n):
                out[i * n + k] += v[j * n + k]


cdef int gather_rows(word** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Rows c
    c.out = out[0]
    c.x = inp[0]
    c.at = <const int64_t*>inp[1]
    c.rows = ints[0]
    c.length = ints[1]
    c.count = ints[2]
    if ints[3] and not all_within(c.at, c.count, c.rows):
        return TL_INDEX_OUT_OF_RANGE
    if c.count * c.length == 0:
        return TL_OK
    c.part = CHUNK // c.length if c.length < CHUNK else 1
    parallel_for(<chunk_fn>gather_chunk[word], &c, (c.count + c.part - 1) // c.part, c.count * (c.length * sizeof(word) * NS_PER_BYTE + 2))
    return TL_OK


cdef int scatter(real* out, const void* x, const void* v, const int64_t* at, const int64_t* ints) noexcept nogil:
    cdef Rows c
    cdef int64_t parts
    c.out = out
    c.x = x
    c.v = v
    c.at = at
    c.rows = ints[0]
    c.length = ints[1]
    c.count = ints[2]
    if ints[3] and not all_within(at, c.count, c.rows):
        return TL_INDEX_OUT_OF_RANGE
    if c.rows * c.length == 0:
        return TL_OK
    parts = least(least(1 + c.rows * c.length // CHUNK, MAX_PARTS), c.rows)
    c.part = (c.rows + parts - 1) // parts
    parallel_for(<chunk_fn>scatter_chunk[real], &c, (c.rows + c.part - 1) // c.part,
                 ((c.rows + c.count) * c.length * sizeof(real)) * NS_PER_BYTE)
    return TL_OK


cdef int scatter_rows(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return scatter(out[0], NULL, inp[0], <const int64_t*>inp[1], ints)


cdef int scatter_add_rows(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return scatter(out[0], inp[0], inp[1], <const int64_t*>inp[2], ints)


# One element per reduced run -------------------------------------------------------------------------------------------------
# ints: (runs, whether the first is reduced, sizes…), kept and reduced runs alternating. index[o] counts along the reduced runs in
# row-major order; o along the kept ones.

cdef struct Points:
    void* out
    const void* src
    const int32_t* index
    const int64_t* ints
    bint taking
    int64_t count


cdef inline int64_t point(const int64_t* ints, int64_t kept, int64_t index) noexcept nogil:
    # The element that (kept, index) denote, or -1 where the index is out of range.
    cdef int64_t k = ints[0] - 1, step = 1, at = 0, n
    if index < 0:
        return -1
    while k >= 0:
        n = ints[2 + k]
        if k % 2 == ints[1]:
            at += kept % n * step
            kept //= n
        else:
            at += index % n * step
            index //= n
        step *= n
        k -= 1
    return at if index == 0 else -1


cdef void points_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Points* c = <Points*>context
    cdef real* out = <real*>c.out
    cdef const real* src = <const real*>c.src
    cdef int64_t first = chunk * CHUNK, o, at
    for o in range(first, least(first + CHUNK, c.count)):
        at = point(c.ints, o, c.index[o])
        if c.taking:
            out[o] = src[at] if at >= 0 else 0
        elif at >= 0:
            out[at] = src[o]


cdef struct Zeros:
    char* out
    int64_t nbytes


cdef void zero_chunk(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Zeros* c = <Zeros*>context
    cdef int64_t first = chunk * CHUNK * 8
    memset(c.out + first, 0, least(CHUNK * 8, c.nbytes - first))


cdef int points(real** out, void** inp, const int64_t* ints, bint taking) noexcept nogil:
    cdef Points c
    cdef Zeros z
    cdef int64_t k
    c.out = out[0]
    c.src = inp[0]
    c.index = <const int32_t*>inp[1]
    c.ints = ints
    c.taking = taking
    c.count = 1
    z.out = <char*>out[0]
    z.nbytes = sizeof(real)
    for k in range(ints[0]):
        z.nbytes *= ints[2 + k]
        if k % 2 == ints[1]:
            c.count *= ints[2 + k]
    if not taking:
        parallel_for(zero_chunk, &z, (z.nbytes + CHUNK * 8 - 1) // (CHUNK * 8), z.nbytes * 0.05)
    parallel_for(<chunk_fn>points_chunk[real], &c, (c.count + CHUNK - 1) // CHUNK, c.count * 8.0)
    return TL_OK


cdef int take_at(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return points(out, inp, ints, True)


cdef int place_at(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return points(out, inp, ints, False)


KERNELS = {
    "gather_rows:f32": <size_t>&gather_rows[uint32_t], "gather_rows:f64": <size_t>&gather_rows[uint64_t],
    "gather_rows:i32": <size_t>&gather_rows[uint32_t], "gather_rows:i64": <size_t>&gather_rows[uint64_t],
    "gather_rows:b8": <size_t>&gather_rows[uint8_t],
    "scatter_rows:f32": <size_t>&scatter_rows[float], "scatter_rows:f64": <size_t>&scatter_rows[double],
    "scatter_add_rows:f32": <size_t>&scatter_add_rows[float], "scatter_add_rows:f64": <size_t>&scatter_add_rows[double],
    "take_at:f32": <size_t>&take_at[float], "take_at:f64": <size_t>&take_at[double],
    "place_at:f32": <size_t>&place_at[float], "place_at:f64": <size_t>&place_at[double],
}
