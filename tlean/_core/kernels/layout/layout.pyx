# cython: language_level=3
"""Kernels that move elements and compute nothing: strided copies, placement in a larger array, concatenation.

They see elements of 1, 4 or 8 bytes, not numbers, so the dtypes share everything but the entry points. Work is cut into chunks of
about CHUNK elements of the output.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from tlean._core.kernel cimport TL_OK
from tlean._core.simd.real cimport least, most
from tlean._core.threads.threads cimport chunk_fn, parallel_for

cdef extern from "simd/moves.h" nogil:
    void tl_copy(void* dst, const void* src, int64_t nbytes)
    const int TILE4 "TL_LANES_f32"
    const int TILE8 "TL_LANES_f64"
    void tl_tile4(uint32_t* dst, int64_t dst_stride, const uint32_t* src, int64_t src_stride)
    void tl_tile8(uint64_t* dst, int64_t dst_stride, const uint64_t* src, int64_t src_stride)
    void tl_narrow_tile4(uint32_t* dst, int64_t dst_stride, const uint32_t* src, int64_t src_stride, int64_t m)
    void tl_narrow_tile8(uint64_t* dst, int64_t dst_stride, const uint64_t* src, int64_t src_stride, int64_t m)

ctypedef fused word:
    uint8_t
    uint32_t
    uint64_t

cdef enum:
    CHUNK = 32768          # elements of output in one chunk
    BLOCK = 64             # a transpose with longer output rows than input rows writes blocks of this many of them,
    LONG_BLOCK = 1024      # one with shorter output rows blocks of this many
    SPAN = 8192            # the most of an output row that a unit of a transpose covers
    MAX_AXES = 64          # after collapsing every axis is at least 2 long, so no array in memory has more

cdef double NS_PER_BYTE = 0.06


cdef inline void copy_run(word* dst, const word* src, int64_t n) noexcept nogil:
    cdef int64_t i
    if word is uint8_t and n < 16:
        # `tl_copy` copies such few bytes by fours.
        for i in range(n):
            dst[i] = src[i]
    else:
        tl_copy(dst, src, n * <int64_t>sizeof(word))


cdef inline void fill_run(word* dst, word value, int64_t n) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        dst[i] = value


# Strided copy -----------------------------------------------------------------------------------------------------------
# ints: (offset, axes, sizes…, strides…). The output is dense with those sizes; element (i0, i1, …) is in[offset + Σ ik·stridek].

cdef struct Copy:
    const void* src
    void* dst
    int axes
    const int64_t* size
    const int64_t* stride
    int64_t rows               # all axes but the last
    int64_t pieces             # pieces that one row is cut into
    int64_t rows_per_chunk     # where pieces == 1
    int along                  # transposes: the axis of stride 1
    int64_t block              # transposes: how much of that axis one unit covers
    int64_t spans              # transposes: parts that the last axis is cut into
    int64_t units              # transposes: planes × blocks × spans
    int64_t units_per_chunk


cdef inline void copy_rows(word* dst, const word* src, int64_t rows, int64_t row_stride, int64_t n, int64_t stride) noexcept nogil:
    cdef int64_t r, j, done
    if row_stride == 0 and rows > 1:
        # Every row is the same: make one, then double what is there.
        copy_rows(dst, src, 1, 1, n, stride)
        done = 1
        while done < rows:
            r = least(done, rows - done)
            copy_run(dst + done * n, dst, r * n)
            done += r
    elif stride == 1:
        for r in range(rows):
            copy_run(dst + r * n, src + r * row_stride, n)
    elif stride == 0:
        for r in range(rows):
            fill_run(dst + r * n, src[r * row_stride], n)
    else:
        for r in range(rows):
            for j in range(n):
                dst[r * n + j] = src[r * row_stride + j * stride]


cdef void copy_range(Copy* c, word* dst, const word* src, int64_t start, int64_t stop) noexcept nogil:
    # Rows start … stop - 1: runs along the last-but-one axis, an odometer over the axes before it.
    cdef int64_t at[MAX_AXES]
    cdef int64_t n = c.size[c.axes - 1], stride = c.stride[c.axes - 1]
    cdef int64_t rest = start, offset = 0, run, row = start
    cdef int k, last = c.axes - 2
    if last < 0:
        copy_rows(dst, src, 1, 1, n, stride)
        return
    for k in range(last, -1, -1):
        at[k] = rest % c.size[k]
        rest //= c.size[k]
        offset += at[k] * c.stride[k]
    while row < stop:
        run = least(c.size[last] - at[last], stop - row)
        copy_rows(dst + row * n, src + offset, run, c.stride[last], n, stride)
        row += run
        offset -= at[last] * c.stride[last]
        at[last] = 0
        k = last - 1
        while k >= 0:
            at[k] += 1
            offset += c.stride[k]
            if at[k] < c.size[k]:
                break
            offset -= at[k] * c.stride[k]
            at[k] = 0
            k -= 1


cdef void copy_piece(Copy* c, word* dst, const word* src, int64_t row, int64_t piece) noexcept nogil:
    # One piece of one long row.
    cdef int64_t n = c.size[c.axes - 1], stride = c.stride[c.axes - 1], first = piece * CHUNK, rest = row, offset = 0
    cdef int k
    for k in range(c.axes - 2, -1, -1):
        offset += (rest % c.size[k]) * c.stride[k]
        rest //= c.size[k]
    copy_rows(dst + row * n + first, src + offset + first * stride, 1, 1, least(CHUNK, n - first), stride)


include "transpose.pxi"


cdef void copy_chunk(word* context, Py_ssize_t chunk) noexcept nogil:
    cdef Copy* c = <Copy*>context
    cdef word* dst = <word*>c.dst
    cdef const word* src = <const word*>c.src
    cdef int64_t u
    if c.along >= 0:
        for u in range(chunk * c.units_per_chunk, least((chunk + 1) * c.units_per_chunk, c.units)):
            transpose_unit(c, dst, src, u)
    elif c.pieces > 1:
        copy_piece(c, dst, src, chunk // c.pieces, chunk % c.pieces)
    else:
        copy_range(c, dst, src, chunk * c.rows_per_chunk, least((chunk + 1) * c.rows_per_chunk, c.rows))


cdef int strided_copy(word** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Copy c
    cdef int64_t chunks, n, total, blocks
    cdef int k
    c.dst = out[0]
    c.src = <word*>inp[0] + ints[0]
    c.axes = <int>ints[1]
    c.size = ints + 2
    c.stride = ints + 2 + c.axes
    c.along = -1
    c.rows = 1
    for k in range(c.axes - 1):
        c.rows *= c.size[k]
    n = c.size[c.axes - 1]
    total = c.rows * n
    if total == 0:
        return TL_OK
    if c.stride[c.axes - 1] > 1:
        for k in range(c.axes - 1):
            if c.stride[k] == 1:
                c.along = k
    if c.along >= 0:
        c.block = LONG_BLOCK if n < c.size[c.along] else BLOCK
        blocks = (c.size[c.along] + c.block - 1) // c.block
        c.spans = (n + SPAN - 1) // SPAN
        c.units = c.rows // c.size[c.along] * blocks * c.spans
        c.units_per_chunk = CHUNK // (least(c.block, c.size[c.along]) * least(n, SPAN))
        if c.units_per_chunk < 1:
            c.units_per_chunk = 1
        chunks = (c.units + c.units_per_chunk - 1) // c.units_per_chunk
    else:
        c.pieces = (n + CHUNK - 1) // CHUNK
        if c.pieces > 1:
            chunks = c.rows * c.pieces
        else:
            c.rows_per_chunk = CHUNK // n
            chunks = (c.rows + c.rows_per_chunk - 1) // c.rows_per_chunk
    parallel_for(<chunk_fn>copy_chunk[word], &c, chunks, total * sizeof(word) * NS_PER_BYTE)
    return TL_OK


# Placement in a larger array --------------------------------------------------------------------------------------------
# ints: (axes ≥ 2, in sizes…, out sizes…, starts…, steps…); floats: (value,). Input element (i0, …) lands at (starts + i·steps); the rest is
# value.

cdef struct Place:
    const void* src
    void* dst
    int axes
    const int64_t* size
    const int64_t* out
    const int64_t* start
    const int64_t* step
    int64_t rows               # rows of the output: all axes but the last
    int64_t pieces
    int64_t rows_per_chunk
    uint64_t value             # the bits of one element


cdef inline int64_t input_plane(Place* c, int64_t plane) noexcept nogil:
    # The plane (last two axes) of the input that lands in this plane of the output, or -1.
    cdef int64_t found = 0, scale = 1, i
    cdef int k
    for k in range(c.axes - 3, -1, -1):
        i = plane % c.out[k] - c.start[k]
        plane //= c.out[k]
        if c.step[k] > 1:
            if i % c.step[k]:
                return -1
            i //= c.step[k]
        if i < 0 or i >= c.size[k]:
            return -1
        found += i * scale
        scale *= c.size[k]
    return found


cdef inline void place_run(Place* c, word* dst, const word* src, int64_t first, int64_t stop) noexcept nogil:
    # Elements first … stop - 1 of one row of the output; src is the row that lands there, or NULL.
    cdef int k = c.axes - 1
    cdef int64_t n = c.size[k], start = c.start[k], step = c.step[k], low, high, at, i
    cdef word value = <word>c.value
    if src == NULL:
        fill_run(dst + first, value, stop - first)
    elif step == 1:
        low = least(most(start, first), stop)
        high = most(least(start + n, stop), low)
        fill_run(dst + first, value, low - first)
        copy_run(dst + low, src + low - start, high - low)
        fill_run(dst + high, value, stop - high)
    else:
        fill_run(dst + first, value, stop - first)
        i = 0 if first <= start else (first - start + step - 1) // step
        while i < n:
            at = start + i * step
            if at >= stop:
                break
            dst[at] = src[i]
            i += 1


cdef inline void place_rows(Place* c, word* dst, const word* src, int64_t row, int64_t last, int64_t first, int64_t stop) noexcept nogil:
    # Rows row … last - 1 of the output, plane by plane.
    cdef int k = c.axes - 2
    cdef int64_t rows = c.out[k], start = c.start[k], step = c.step[k], plane = row // rows, within = row % rows, source, i
    cdef int64_t width = c.size[k + 1], out_width = c.out[k + 1]
    while row < last:
        source = input_plane(c, plane)
        while within < rows and row < last:
            i = within - start
            if step > 1:
                i = i // step if i % step == 0 else -1
            if source < 0 or i < 0 or i >= c.size[k]:
                place_run(c, dst + row * out_width, <const word*>NULL, first, stop)
            else:
                place_run(c, dst + row * out_width, src + (source * c.size[k] + i) * width, first, stop)
            within += 1
            row += 1
        within = 0
        plane += 1


cdef void place_chunk(word* context, Py_ssize_t chunk) noexcept nogil:
    cdef Place* c = <Place*>context
    cdef word* dst = <word*>c.dst
    cdef const word* src = <const word*>c.src
    cdef int64_t n = c.out[c.axes - 1], first, row
    if c.pieces > 1:
        row = chunk // c.pieces
        first = chunk % c.pieces * CHUNK
        place_rows(c, dst, src, row, row + 1, first, least(first + CHUNK, n))
    else:
        place_rows(c, dst, src, chunk * c.rows_per_chunk, least((chunk + 1) * c.rows_per_chunk, c.rows), 0, n)


cdef inline uint64_t bits_of(double value, int itemsize) noexcept nogil:
    cdef float single = <float>value
    cdef uint64_t bits = 0
    memcpy(&bits, <void*>&single if itemsize == 4 else <void*>&value, itemsize)
    return bits


cdef int place(word** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return placed(out[0], inp[0], ints, bits_of(floats[0], sizeof(word)))


cdef int place_integers(word** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return placed(out[0], inp[0], ints, <uint64_t><int64_t>floats[0])


cdef int place_bools(uint8_t** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return placed(out[0], inp[0], ints, floats[0] != 0)


cdef int placed(word* dst, const void* src, const int64_t* ints, uint64_t value) noexcept nogil:
    cdef Place c
    cdef int64_t chunks, n
    cdef int k
    c.dst = dst
    c.src = src
    c.axes = <int>ints[0]
    c.size = ints + 1
    c.out = c.size + c.axes
    c.start = c.out + c.axes
    c.step = c.start + c.axes
    c.value = value
    c.rows = 1
    for k in range(c.axes - 1):
        c.rows *= c.out[k]
    n = c.out[c.axes - 1]
    if c.rows * n == 0:
        return TL_OK
    c.pieces = (n + CHUNK - 1) // CHUNK
    if c.pieces > 1:
        chunks = c.rows * c.pieces
    else:
        c.rows_per_chunk = CHUNK // n
        chunks = (c.rows + c.rows_per_chunk - 1) // c.rows_per_chunk
    parallel_for(<chunk_fn>place_chunk[word], &c, chunks, c.rows * n * sizeof(word) * NS_PER_BYTE)
    return TL_OK


# Concatenation ----------------------------------------------------------------------------------------------------------
# ints: (outer, inputs, widths…). Row o of the output is row o of every input, one after the other.

cdef struct Concat:
    void** src
    void* dst
    int64_t inputs
    const int64_t* width
    int64_t row                # Σ widths
    int64_t total
    int64_t part               # elements of the output in one chunk
    bint narrow


cdef void concat_chunk(word* context, Py_ssize_t chunk) noexcept nogil:
    cdef Concat* c = <Concat*>context
    cdef word* dst = <word*>c.dst
    cdef int64_t at = chunk * c.part, stop = least(at + c.part, c.total), o = at // c.row, within = at % c.row, k = 0, run, i
    cdef const word* src
    if c.narrow:
        # Whole rows of a few elements: one input after the other, each through all rows of the chunk.
        within = 0
        for k in range(c.inputs):
            src = <const word*>c.src[k]
            for i in range(c.width[k]):
                for o in range(at // c.row, stop // c.row):
                    dst[o * c.row + within + i] = src[o * c.width[k] + i]
            within += c.width[k]
        return
    while within >= c.width[k]:
        within -= c.width[k]
        k += 1
    while at < stop:
        run = least(c.width[k] - within, stop - at)
        copy_run(dst + at, <const word*>c.src[k] + o * c.width[k] + within, run)
        at += run
        within = 0
        k += 1
        if k == c.inputs:
            k = 0
            o += 1


cdef int concat(word** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Concat c
    cdef int64_t k
    c.src = inp
    c.dst = out[0]
    c.inputs = ints[1]
    c.width = ints + 2
    c.row = 0
    for k in range(c.inputs):
        c.row += c.width[k]
    c.total = c.row * ints[0]
    if c.total == 0:
        return TL_OK
    c.narrow = c.row < 8 * c.inputs and c.row <= CHUNK
    c.part = CHUNK // c.row * c.row if c.narrow else CHUNK
    parallel_for(<chunk_fn>concat_chunk[word], &c, (c.total + c.part - 1) // c.part, c.total * sizeof(word) * NS_PER_BYTE)
    return TL_OK


# Triangles --------------------------------------------------------------------------------------------------------------
# ints: (matrices, rows, columns, k, upper). Entries with column - row <= k, or >= k for the upper triangle, and zeros.

cdef struct Triangle:
    const void* src
    void* dst
    const int64_t* size
    int64_t rows_per_chunk


cdef void triangle_chunk(word* context, Py_ssize_t chunk) noexcept nogil:
    cdef Triangle* c = <Triangle*>context
    cdef int64_t m = c.size[1], n = c.size[2], k = c.size[3], edge, row
    cdef bint upper = c.size[4]
    cdef word* dst
    cdef const word* src
    for row in range(chunk * c.rows_per_chunk, least((chunk + 1) * c.rows_per_chunk, c.size[0] * m)):
        dst = <word*>c.dst + row * n
        src = <const word*>c.src + row * n
        # The columns before the edge are below the diagonal, or on it for the lower triangle.
        edge = row % m + (k if upper else k + 1) if -m <= k <= n else (0 if k < 0 else n)
        edge = most(0, least(edge, n))
        if upper:
            fill_run(dst, 0, edge)
            copy_run(dst + edge, src + edge, n - edge)
        else:
            copy_run(dst, src, edge)
            fill_run(dst + edge, 0, n - edge)


cdef int triangle(word** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Triangle c
    cdef int64_t rows = ints[0] * ints[1], n = ints[2]
    if rows * n == 0:
        return TL_OK
    c.src = inp[0]
    c.dst = out[0]
    c.size = ints
    c.rows_per_chunk = most(CHUNK // n, 1)
    parallel_for(<chunk_fn>triangle_chunk[word], &c, (rows + c.rows_per_chunk - 1) // c.rows_per_chunk,
                 rows * n * sizeof(word) * NS_PER_BYTE)
    return TL_OK


KERNELS = {
    "triangle:f32": <size_t>&triangle[uint32_t], "triangle:f64": <size_t>&triangle[uint64_t],
    "triangle:i32": <size_t>&triangle[uint32_t], "triangle:i64": <size_t>&triangle[uint64_t],
    "triangle:b8": <size_t>&triangle[uint8_t],
    "strided_copy:f32": <size_t>&strided_copy[uint32_t], "strided_copy:f64": <size_t>&strided_copy[uint64_t],
    "strided_copy:i32": <size_t>&strided_copy[uint32_t], "strided_copy:i64": <size_t>&strided_copy[uint64_t],
    "strided_copy:b8": <size_t>&strided_copy[uint8_t],
    "place:f32": <size_t>&place[uint32_t], "place:f64": <size_t>&place[uint64_t],
    "place:i32": <size_t>&place_integers[uint32_t], "place:i64": <size_t>&place_integers[uint64_t],
    "place:b8": <size_t>&place_bools,
    "concat:f32": <size_t>&concat[uint32_t], "concat:f64": <size_t>&concat[uint64_t],
    "concat:i32": <size_t>&concat[uint32_t], "concat:i64": <size_t>&concat[uint64_t],
    "concat:b8": <size_t>&concat[uint8_t],
}
