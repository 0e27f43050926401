# cython: language_level=3
"""Kernels that sum and multiply integers and Booleans over any axes and along one, that find maxima and their positions, and that
multiply matrices.

Sums and products are int64, modulo 2^64, so no order of computing differs from another. A position counts along the reduced axes in
row-major order, and is that of the first maximum.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from tlean._core.kernel cimport TL_OK
from tlean._core.simd.real cimport least, most
from tlean._core.threads.threads cimport chunk_fn, parallel_for

cdef enum:
    AXES = 64              # runs at most: as many as an array has axes
    LANES = 64             # neighbouring columns that are reduced together
    SEGMENT = 32768        # elements of one chunk of running sums

cdef double NS_PER_ELEMENT = 0.5

ctypedef fused number:
    int64_t
    int32_t
    uint8_t

# Over axes ------------------------------------------------------------------------------------------------------------------
# ints: (runs, whether the first is reduced, sizes…), as those of the sums and maxima of floats. A unit of work is one element of the
# result, or up to LANES neighbouring ones where the last run is kept.

cdef struct Reduction:
    const void* src
    void* dst
    int32_t* index             # NULL: not asked for
    int64_t* long_index
    int kept
    int reduced
    int64_t kept_sizes[AXES]
    int64_t kept_steps[AXES]
    int64_t reduced_sizes[AXES]
    int64_t reduced_steps[AXES]
    int64_t width              # of the last run, where it is kept; else 1
    int64_t length             # of the last run, where it is reduced; else 1
    int64_t lines              # places along the reduced runs but that one
    int64_t panels             # units of a row of `width`
    int64_t units
    int64_t units_per_chunk


cdef bint plan(Reduction* c, const int64_t* ints) noexcept nogil:
    # Whether there is a result.
    cdef int n = <int>ints[0], k
    cdef bint reduces = (ints[1] + n - 1) % 2 if n else False
    cdef int64_t step = 1, rows = 1
    c.kept = c.reduced = 0
    c.width = c.length = c.lines = 1
    for k in range(n - 1, -1, -1):
        if k == n - 1 and reduces:
            c.length = ints[2 + k]
        elif k == n - 1:
            c.width = ints[2 + k]
        elif reduces:
            c.reduced_sizes[c.reduced] = ints[2 + k]
            c.reduced_steps[c.reduced] = step
            c.reduced += 1
            c.lines *= ints[2 + k]
        else:
            c.kept_sizes[c.kept] = ints[2 + k]
            c.kept_steps[c.kept] = step
            c.kept += 1
            rows *= ints[2 + k]
        step *= ints[2 + k]
        reduces = not reduces
    c.panels = (c.width + LANES - 1) // LANES
    c.units = rows * c.panels
    c.units_per_chunk = most(1, SEGMENT // most(1, c.length * c.lines * least(c.width, LANES)))
    return c.units > 0


cdef inline int64_t place(int64_t i, const int64_t* sizes, const int64_t* steps, int n) noexcept nogil:
    # The offset of the i-th place along runs, the innermost first.
    cdef int64_t at = 0
    cdef int k
    for k in range(n):
        at += i % sizes[k] * steps[k]
        i //= sizes[k]
    return at


cdef inline uint64_t joined(uint64_t a, uint64_t b, bint product) noexcept nogil:
    return a * b if product else a + b


cdef inline void fold_chunk(number* context, Py_ssize_t chunk, bint product) noexcept nogil:
    cdef Reduction* c = <Reduction*>context
    cdef int64_t unit, line, row, column, count, i
    cdef const number* at
    cdef const number* src
    cdef int64_t* dst
    cdef uint64_t sums[LANES]
    cdef uint64_t total
    for unit in range(chunk * c.units_per_chunk, least((chunk + 1) * c.units_per_chunk, c.units)):
        row, column = unit // c.panels, unit % c.panels * LANES
        count = least(LANES, c.width - column)
        src = <const number*>c.src + place(row, c.kept_sizes, c.kept_steps, c.kept) + column
        dst = <int64_t*>c.dst + row * c.width + column
        for i in range(count):
            sums[i] = product
        for line in range(c.lines):
            at = src + place(line, c.reduced_sizes, c.reduced_steps, c.reduced)
            if c.width == 1:
                total = product
                for i in range(c.length):
                    total = joined(total, <uint64_t><int64_t>at[i], product)
                sums[0] = joined(sums[0], total, product)
            else:
                for i in range(count):
                    sums[i] = joined(sums[i], <uint64_t><int64_t>at[i], product)
        for i in range(count):
            dst[i] = <int64_t>sums[i]


cdef void sum_chunk(number* context, Py_ssize_t chunk) noexcept nogil:
    fold_chunk(context, chunk, False)


cdef void product_chunk(number* context, Py_ssize_t chunk) noexcept nogil:
    fold_chunk(context, chunk, True)


cdef void max_chunk(number* context, Py_ssize_t chunk) noexcept nogil:
    cdef Reduction* c = <Reduction*>context
    cdef int64_t unit, line, row, column, count, i, to
    cdef const number* at
    cdef const number* src
    cdef number* dst
    cdef number top[LANES]
    cdef int64_t found[LANES]
    for unit in range(chunk * c.units_per_chunk, least((chunk + 1) * c.units_per_chunk, c.units)):
        row, column = unit // c.panels, unit % c.panels * LANES
        count = least(LANES, c.width - column)
        src = <const number*>c.src + place(row, c.kept_sizes, c.kept_steps, c.kept) + column
        to = row * c.width + column
        for i in range(count):
            top[i], found[i] = src[i], 0
        for line in range(c.lines):
            at = src + place(line, c.reduced_sizes, c.reduced_steps, c.reduced)
            if c.width == 1:
                for i in range(c.length):
                    if at[i] > top[0]:
                        top[0], found[0] = at[i], line * c.length + i
            else:
                for i in range(count):
                    if at[i] > top[i]:
                        top[i], found[i] = at[i], line
        if c.dst != NULL:
            dst = <number*>c.dst + to
            for i in range(count):
                dst[i] = top[i]
        for i in range(count):
            if c.index != NULL:
                c.index[to + i] = <int32_t>found[i]
            if c.long_index != NULL:
                c.long_index[to + i] = found[i]


cdef int reduced(Reduction* c, chunk_fn run, const int64_t* ints) noexcept nogil:
    cdef double work
    if plan(c, ints):
        work = c.units * least(c.width, LANES) * c.length * c.lines * NS_PER_ELEMENT
        parallel_for(run, c, (c.units + c.units_per_chunk - 1) // c.units_per_chunk, work)
    return TL_OK


cdef int reduce_sum(void** out, number** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Reduction c
    c.src, c.dst = inp[0], out[0]
    return reduced(&c, <chunk_fn>sum_chunk[number], ints)


cdef int reduce_prod(void** out, number** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Reduction c
    c.src, c.dst = inp[0], out[0]
    return reduced(&c, <chunk_fn>product_chunk[number], ints)


# The value, and its position as a residual; the position alone, of 32 and of 64 bits.
cdef int reduce_max(void** out, number** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Reduction c
    c.src, c.dst, c.index, c.long_index = inp[0], out[0], <int32_t*>out[1], NULL
    return reduced(&c, <chunk_fn>max_chunk[number], ints)


cdef int max_index(void** out, number** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Reduction c
    c.src, c.dst, c.index, c.long_index = inp[0], NULL, <int32_t*>out[0], NULL
    return reduced(&c, <chunk_fn>max_chunk[number], ints)


cdef int argmax(void** out, number** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Reduction c
    c.src, c.dst, c.index, c.long_index = inp[0], NULL, NULL, <int64_t*>out[0]
    return reduced(&c, <chunk_fn>max_chunk[number], ints)


# Along an axis ---------------------------------------------------------------------------------------------------------------
# ints: (outer, length, width, from the end, of products: without the element itself): along the middle of (outer, length, width).

cdef struct Running:
    const void* src
    int64_t* dst
    int64_t length
    int64_t width
    int64_t lines
    int64_t lines_per_chunk
    bint reverse
    bint exclusive


cdef inline void running_lines(number* context, Py_ssize_t chunk, bint product) noexcept nogil:
    cdef Running* c = <Running*>context
    cdef const number* src = <const number*>c.src
    cdef int64_t line, at, step = -c.width if c.reverse else c.width, _
    cdef uint64_t total
    for line in range(chunk * c.lines_per_chunk, least((chunk + 1) * c.lines_per_chunk, c.lines)):
        at = line // c.width * c.length * c.width + line % c.width
        if c.reverse:
            at += (c.length - 1) * c.width
        total = product
        for _ in range(c.length):
            if c.exclusive:
                c.dst[at] = <int64_t>total
            total = joined(total, <uint64_t><int64_t>src[at], product)
            if not c.exclusive:
                c.dst[at] = <int64_t>total
            at += step


cdef void running_sums(number* context, Py_ssize_t chunk) noexcept nogil:
    running_lines(context, chunk, False)


cdef void running_products(number* context, Py_ssize_t chunk) noexcept nogil:
    running_lines(context, chunk, True)


cdef int running(Running* c, chunk_fn run, const int64_t* ints) noexcept nogil:
    if ints[0] * ints[1] * ints[2] == 0:
        return TL_OK
    c.length, c.width, c.lines, c.reverse = ints[1], ints[2], ints[0] * ints[2], ints[3]
    c.lines_per_chunk = most(1, SEGMENT // c.length)
    parallel_for(run, c, (c.lines + c.lines_per_chunk - 1) // c.lines_per_chunk, c.lines * c.length * NS_PER_ELEMENT)
    return TL_OK


cdef int cumsum(void** out, number** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Running c
    c.src, c.dst, c.exclusive = inp[0], <int64_t*>out[0], False
    return running(&c, <chunk_fn>running_sums[number], ints)


cdef int running_product(void** out, number** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Running c
    c.src, c.dst, c.exclusive = inp[0], <int64_t*>out[0], ints[4]
    return running(&c, <chunk_fn>running_products[number], ints)


include "products.pxi"

KERNELS = {
    "matmul:i64": <size_t>&matmul[int64_t], "matmul:i32": <size_t>&matmul[int32_t], "matmul:b8": <size_t>&matmul[uint8_t],
    "reduce_sum:i64": <size_t>&reduce_sum[int64_t], "reduce_sum:i32": <size_t>&reduce_sum[int32_t],
    "reduce_sum:b8": <size_t>&reduce_sum[uint8_t],
    "reduce_prod:i64": <size_t>&reduce_prod[int64_t], "reduce_prod:i32": <size_t>&reduce_prod[int32_t],
    "reduce_prod:b8": <size_t>&reduce_prod[uint8_t],
    "reduce_max:i64": <size_t>&reduce_max[int64_t], "reduce_max:i32": <size_t>&reduce_max[int32_t],
    "reduce_max:b8": <size_t>&reduce_max[uint8_t],
    "max_index:i64": <size_t>&max_index[int64_t], "max_index:i32": <size_t>&max_index[int32_t],
    "max_index:b8": <size_t>&max_index[uint8_t],
    "argmax:i64": <size_t>&argmax[int64_t], "argmax:i32": <size_t>&argmax[int32_t], "argmax:b8": <size_t>&argmax[uint8_t],
    "cumsum:i64": <size_t>&cumsum[int64_t], "cumsum:i32": <size_t>&cumsum[int32_t], "cumsum:b8": <size_t>&cumsum[uint8_t],
    "running_product:i64": <size_t>&running_product[int64_t], "running_product:i32": <size_t>&running_product[int32_t],
    "running_product:b8": <size_t>&running_product[uint8_t],
}
