# cython: language_level=3
"""Kernels that take or add elements at given positions.

Sums at repeated positions are taken in the order of the positions, so they do not depend on how the work is cut.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from tlean._core.kernel cimport TL_INDEX_OUT_OF_RANGE, TL_NO_MEMORY, TL_OK, TL_SLOT_ROWS
from tlean._core.simd.real cimport least, most, real
from tlean._core.threads.threads cimport active_threads, chunk_fn, parallel_for, scratch

cdef extern from "kernels/gather/rows.h" nogil:
    bint tl_all_within(const int64_t* at, int64_t count, int64_t n)
    void tl_take_8(uint8_t* out, const uint8_t* x, const int64_t* rows, int64_t count)
    void tl_take_32(uint32_t* out, const uint32_t* x, const int64_t* rows, int64_t count)
    void tl_take_64(uint64_t* out, const uint64_t* x, const int64_t* rows, int64_t count)
    int64_t tl_take_within_32(uint32_t* out, const uint32_t* x, const int64_t* rows, int64_t count, int64_t n)
    int64_t tl_take_within_64(uint64_t* out, const uint64_t* x, const int64_t* rows, int64_t count, int64_t n)
    int64_t tl_rows_ahead(int64_t nbytes)
    void tl_fetch_row(const char* row, int64_t nbytes, bint write)
    void tl_copy_lines(char* to, const char* source, int64_t nbytes, bint past)
    void tl_written_past()
    void tl_add_ones_f32(float* out, const float* v, const int64_t* rows, int64_t count, bint far)
    void tl_add_ones_f64(double* out, const double* v, const int64_t* rows, int64_t count, bint far)
    bint tl_ascending(const int64_t* rows, int64_t count)
    void tl_add_ascending_f32(float* out, const float* v, const int64_t* rows, int64_t count)
    void tl_add_ascending_f64(double* out, const double* v, const int64_t* rows, int64_t count)
    void tl_add_row_f32(float* out, const float* v, int64_t n)
    void tl_add_row_f64(double* out, const double* v, int64_t n)

# What is moved and not added up, by its length.
ctypedef fused word:
    uint8_t
    uint32_t
    uint64_t

# What a scatter writes: numbers to combine, words to set. A byte is either, by what is done.
ctypedef fused element:
    float
    double
    int64_t
    int32_t
    uint8_t
    uint32_t
    uint64_t

cdef enum:
    CHUNK = 32768          # elements of one chunk
    BLOCK = 512            # indices that are checked before the rows that they name are touched
    RUNS = 8192            # indices in ascending order that are added up together
    LARGE = 16777216       # bytes of an output that no cache holds: a gather writes past them, a scatter fetches its rows ahead
    MAX_PARTS = 16         # a scatter reads all positions once per part of its output
    # What an index out of range does. RAISE, FILL: a negative one counts from the end first. CLIP: the nearest row is taken.
    DROP = 0, STRICT = 1, RAISE = 2, CLIP = 3, FILL = 4
    # What a scatter does where a row of v falls; unsigned words are SET alone, numbers all else.
    ADD = 0, SET = 1, MAXIMUM = 2, MINIMUM = 3

cdef double NS_PER_BYTE = 0.1


# Indices --------------------------------------------------------------------------------------------------------------------

cdef inline const int64_t* named(const int64_t* at, int64_t* rows, int64_t count, int64_t n, int64_t mode, bint* every) noexcept nogil:
    # The rows that indices name: the indices themselves where that is what they are, which is nearly always so.
    if tl_all_within(at, count, n):
        every[0] = True
        return at
    every[0] = resolve(at, rows, count, n, mode)
    return rows


cdef inline bint resolve(const int64_t* at, int64_t* rows, int64_t count, int64_t n, int64_t mode) noexcept nogil:
    # The rows that indices name among n, -1 for none; whether each names one.
    cdef int64_t j, i, every = 0, wrap = n if mode == RAISE or mode == FILL else 0
    if mode == CLIP:
        for j in range(count):
            i = most(least(at[j], n - 1), 0)
            rows[j] = i
        return True
    for j in range(count):
        i = at[j]
        i += wrap if i < 0 else 0
        i = i if <uint64_t>i < <uint64_t>n else -1
        rows[j] = i
        every |= i
    return every >= 0


cdef bint within(const int64_t* at, int64_t count, int64_t n, int64_t mode) noexcept nogil:
    # Whether no index is an error.
    cdef int64_t rows[BLOCK]
    cdef int64_t j = 0
    cdef bint every
    if mode != STRICT and mode != RAISE:
        return True
    while j < count:
        named(at + j, rows, least(BLOCK, count - j), n, mode, &every)
        if not every:
            return False
        j += BLOCK
    return True


# Rows -----------------------------------------------------------------------------------------------------------------------
# ints: (rows, row length, positions, mode, blocks, what): in each of some blocks of rows, one after the other, the same positions are taken
# or written. `what` is for scatters.

cdef struct Rows:
    void* out
    const void* x              # gathers: the table; scatters: what the output starts from (NULL: zeros)
    const void* v              # scatters: the rows to write
    const int64_t* at
    int64_t rows
    int64_t length
    int64_t count
    int64_t mode
    int64_t blocks
    int64_t what
    int64_t part               # gathers: positions in one chunk; scatters: rows of the output in one
    int64_t parts              # scatters: chunks of one block
    bint checked               # scatters: every position is known to name a row, or may name none
    int status


cdef inline void read_numbers(Rows* c, const int64_t* ints) noexcept nogil:
    c.rows = ints[0]
    c.length = ints[1]
    c.count = ints[2]
    c.mode = ints[3]
    c.blocks = ints[4]
    c.what = ints[5]
    c.status = TL_OK


cdef inline void take_rows(
    word* out, const word* x, const int64_t* rows, int64_t count, int64_t n, bint every, bint past
) noexcept nogil:
    cdef int64_t j, k, nbytes = n * sizeof(word), ahead = tl_rows_ahead(nbytes)
    if n == 1 and every:
        if word is uint8_t:
            tl_take_8(out, x, rows, count)
        elif word is uint32_t:
            tl_take_32(out, x, rows, count)
        else:
            tl_take_64(out, x, rows, count)
        return
    for j in range(least(ahead, count)):
        tl_fetch_row(<const char*>(x + rows[j] * n), nbytes, False)
    for j in range(count):
        if j + ahead < count:
            tl_fetch_row(<const char*>(x + rows[j + ahead] * n), nbytes, False)
        if rows[j] < 0:
            memset(out + j * n, 0, nbytes)
        elif nbytes % 64 == 0:
            tl_copy_lines(<char*>(out + j * n), <const char*>(x + rows[j] * n), nbytes, past)
        elif nbytes < 64:
            for k in range(n):
                out[j * n + k] = x[rows[j] * n + k]
        else:
            memcpy(out + j * n, x + rows[j] * n, nbytes)


cdef void gather_chunk(word* context, Py_ssize_t chunk) noexcept nogil:
    cdef Rows* c = <Rows*>context
    cdef word* out = <word*>c.out
    cdef const word* x = <const word*>c.x
    cdef int64_t space[BLOCK]
    cdef const int64_t* rows
    cdef int64_t at = chunk * c.part, stop = least(at + c.part, c.blocks * c.count), j, run, taken
    cdef bint every, past = c.blocks * c.count * c.length * <int64_t>sizeof(word) >= LARGE and <uint64_t>out % 64 == 0
    while at < stop:
        j = at % c.count
        run = least(stop - at, c.count - j)
        if c.length == 1:
            taken = 0
            if word is uint32_t:
                taken = tl_take_within_32(out + at, x + at // c.count * c.rows, c.at + j, run, c.rows)
            elif word is uint64_t:
                taken = tl_take_within_64(out + at, x + at // c.count * c.rows, c.at + j, run, c.rows)
            at, j, run = at + taken, j + taken, run - taken
        run = least(run, BLOCK)
        rows = named(c.at + j, space, run, c.rows, c.mode, &every)
        if not every and (c.mode == STRICT or c.mode == RAISE):
            c.status = TL_INDEX_OUT_OF_RANGE
            return
        take_rows(out + at * c.length, x + at // c.count * c.rows * c.length, rows, run, c.length, every, past)
        at += run
    if past:
        tl_written_past()


cdef inline void combine_row(real* out, const real* v, int64_t n, int64_t what) noexcept nogil:
    cdef int64_t k
    if what == ADD:
        if real is float:
            tl_add_row_f32(out, v, n)
        else:
            tl_add_row_f64(out, v, n)
    elif what == MAXIMUM:
        for k in range(n):
            out[k] = out[k] if out[k] > v[k] or out[k] != out[k] else v[k]
    else:
        for k in range(n):
            out[k] = out[k] if out[k] < v[k] or out[k] != out[k] else v[k]


cdef inline void put_rows(
    element* out, const element* v, const int64_t* rows, int64_t count, int64_t n, int64_t what, int64_t first, int64_t stop
) noexcept nogil:
    # The rows of v that fall on rows first ... stop - 1 of out, in their order.
    cdef int64_t j, i, nbytes = n * sizeof(element), ahead = tl_rows_ahead(nbytes)
    for j in range(count):
        if j + ahead < count:
            i = rows[j + ahead]
            if first <= i < stop:
                tl_fetch_row(<const char*>(out + i * n), nbytes, True)
        i = rows[j]
        if first <= i < stop:
            if element in real:
                combine_row(out + i * n, v + j * n, n, what)
            elif element is int64_t or element is int32_t:
                combine_whole(out + i * n, v + j * n, n, what)
            elif element is uint8_t:
                if what != SET:
                    combine_whole(out + i * n, v + j * n, n, what)
                else:
                    memcpy(out + i * n, v + j * n, nbytes)
            else:
                memcpy(out + i * n, v + j * n, nbytes)


cdef void scatter_chunk(element* context, Py_ssize_t chunk) noexcept nogil:
    cdef Rows* c = <Rows*>context
    cdef int64_t block = chunk // c.parts
    cdef element* out = <element*>c.out + block * c.rows * c.length
    cdef const element* x = <const element*>c.x
    cdef const element* v = <const element*>c.v + block * c.count * c.length
    cdef int64_t space[BLOCK]
    cdef const int64_t* rows
    cdef bint every, ones, far = c.rows * c.length * <int64_t>sizeof(element) >= LARGE
    # This chunk's rows of the output: what they start from, then every row of v that falls on them.
    cdef int64_t first = chunk % c.parts * c.part, stop = least(first + c.part, c.rows), n = c.length, j = 0, run, end
    # What is written onto x starts from what is there.
    if x != NULL and c.out != c.x:
        memcpy(out + first * n, x + (block * c.rows + first) * n, (stop - first) * n * sizeof(element))
    elif x == NULL:
        memset(out + first * n, 0, (stop - first) * n * sizeof(element))
    ones = False
    if element in real:
        ones = n == 1 and c.what == ADD and c.parts == 1
    while j < c.count:
        run = least(RUNS, c.count - j)
        # The ids of segments go up: their ends say whether they name rows.
        if ones and run > BLOCK and c.at[j + run - 1] < c.rows and tl_ascending(c.at + j, run):
            if element is float:
                tl_add_ascending_f32(out, v + j, c.at + j, run)
            elif element is double:
                tl_add_ascending_f64(out, v + j, c.at + j, run)
            j += run
            continue
        end = j + run
        while j < end:
            run = least(BLOCK, end - j)
            rows = named(c.at + j, space, run, c.rows, c.mode, &every)
            if not every and not c.checked:
                c.status = TL_INDEX_OUT_OF_RANGE
                return
            if element is float:
                if ones and every:
                    tl_add_ones_f32(out, v + j, rows, run, far)
            elif element is double:
                if ones and every:
                    tl_add_ones_f64(out, v + j, rows, run, far)
            if not (ones and every):
                put_rows(out, v + j * n, rows, run, n, c.what, first, stop)
            j += run


cdef int gather_rows(word** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Rows c
    read_numbers(&c, ints)
    c.out = out[0]
    c.x = inp[0]
    c.at = <const int64_t*>inp[1]
    if c.count * c.length * c.blocks == 0:
        return TL_OK if within(c.at, c.count, c.rows, c.mode) else TL_INDEX_OUT_OF_RANGE
    c.part = CHUNK // c.length if c.length < CHUNK else 1
    parallel_for(<chunk_fn>gather_chunk[word], &c, (c.blocks * c.count + c.part - 1) // c.part,
                 c.blocks * c.count * (c.length * sizeof(word) * NS_PER_BYTE + 2))
    return c.status


cdef int scatter(element* out, const void* x, const void* v, const int64_t* at, const int64_t* ints) noexcept nogil:
    cdef Rows c
    read_numbers(&c, ints)
    c.out = out
    c.x = x
    c.v = v
    c.at = at
    # Each row gets its sum in the order of the positions, however the rows are shared out. Few positions are looked at before anything is
    # written; of many one thread looks at them on the way, for they are read from memory.
    c.parts = 1 if active_threads() == 1 else least(least(1 + c.rows * c.length // CHUNK, MAX_PARTS), c.rows)
    c.checked = x == out or c.parts != 1 or c.count <= RUNS or c.rows * c.length * c.blocks == 0 or (c.mode != STRICT and c.mode != RAISE)
    if c.checked and not within(at, c.count, c.rows, c.mode):
        return TL_INDEX_OUT_OF_RANGE
    if c.rows * c.length * c.blocks == 0:
        return TL_OK
    c.part = (c.rows + c.parts - 1) // c.parts
    c.parts = (c.rows + c.part - 1) // c.part
    parallel_for(<chunk_fn>scatter_chunk[element], &c, c.blocks * c.parts,
                 (((0 if x == out else c.rows) + c.count) * c.length * c.blocks * sizeof(element)) * NS_PER_BYTE)
    return c.status


cdef int scatter_rows(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return scatter(out[0], NULL, inp[0], <const int64_t*>inp[1], ints)


cdef int scatter_into_rows(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return scatter(out[0], inp[0], inp[1], <const int64_t*>inp[2], ints)


cdef int set_rows(word** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return scatter(out[0], inp[0], inp[1], <const int64_t*>inp[2], ints)


include "places.pxi"
include "sums.pxi"
include "integers.pxi"


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
    "set_rows:f32": <size_t>&set_rows[uint32_t], "set_rows:f64": <size_t>&set_rows[uint64_t],
    "set_rows:i32": <size_t>&set_rows[uint32_t], "set_rows:i64": <size_t>&set_rows[uint64_t],
    "set_rows:b8": <size_t>&set_rows[uint8_t],
    "scatter_rows:f32": <size_t>&scatter_rows[float], "scatter_rows:f64": <size_t>&scatter_rows[double],
    "scatter_into_rows:f32": <size_t>&scatter_into_rows[float], "scatter_into_rows:f64": <size_t>&scatter_into_rows[double],
    "scatter_rows:i64": <size_t>&scatter_whole_rows[int64_t], "scatter_rows:i32": <size_t>&scatter_whole_rows[int32_t],
    "scatter_rows:b8": <size_t>&scatter_whole_rows[uint8_t],
    "scatter_into_rows:i64": <size_t>&scatter_into_whole_rows[int64_t], "scatter_into_rows:i32": <size_t>&scatter_into_whole_rows[int32_t],
    "scatter_into_rows:b8": <size_t>&scatter_into_whole_rows[uint8_t],
    "locate:f32": <size_t>&locate, "locate:f64": <size_t>&locate,
    "neighbours:f32": <size_t>&neighbours, "neighbours:f64": <size_t>&neighbours,
    "_summed_rows:f32": <size_t>&summed_rows[float], "_summed_rows:f64": <size_t>&summed_rows[double],
    "_merged_rows:f32": <size_t>&merged_rows[float], "_merged_rows:f64": <size_t>&merged_rows[double],
    "_inverse_links:f32": <size_t>&inverse_links, "_inverse_links:f64": <size_t>&inverse_links,
    "chain_rows:f32": <size_t>&chain_rows[float], "chain_rows:f64": <size_t>&chain_rows[double],
    "chain_rows:i64": <size_t>&chain_whole_rows[int64_t], "chain_rows:i32": <size_t>&chain_whole_rows[int32_t],
    "chain_rows:b8": <size_t>&chain_whole_rows[uint8_t],
    "set_box:f32": <size_t>&set_box[uint32_t], "set_box:f64": <size_t>&set_box[uint64_t],
    "set_box:i32": <size_t>&set_box[uint32_t], "set_box:i64": <size_t>&set_box[uint64_t],
    "set_box:b8": <size_t>&set_box[uint8_t],
    "take_box:f32": <size_t>&take_box[uint32_t], "take_box:f64": <size_t>&take_box[uint64_t],
    "take_box:i32": <size_t>&take_box[uint32_t], "take_box:i64": <size_t>&take_box[uint64_t],
    "take_box:b8": <size_t>&take_box[uint8_t],
    "take_at:f32": <size_t>&take_at[float], "take_at:f64": <size_t>&take_at[double],
    "place_at:f32": <size_t>&place_at[float], "place_at:f64": <size_t>&place_at[double],
}
