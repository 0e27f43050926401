# cython: language_level=3
"""Kernels that ask of Booleans along any axes whether one of them is true, or all: `any` and `all`.

A Boolean is a byte, 0 or 1. Runs are taken innermost first, each (outer, length, width) -> (outer, width).
"""
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memchr, memcpy, memset

from tlean._core.kernel cimport TL_NO_MEMORY, TL_OK, TL_SLOT_REDUCE_AXIS_A, TL_SLOT_REDUCE_AXIS_B
from tlean._core.simd.real cimport least, most
from tlean._core.threads.threads cimport parallel_for, scratch

cdef enum:
    SEGMENT = 65536        # bytes of one chunk, roughly
    PANEL = 4096           # columns of one

cdef double NS_PER_BYTE = 0.03


cdef struct Pass:
    const uint8_t* src
    uint8_t* dst
    int64_t length
    int64_t width
    int64_t panels
    int64_t units              # rows of the result, in panels
    int64_t units_per_chunk
    bint every                 # whether all are asked for


cdef void one_of_rows(uint8_t* dst, const uint8_t* src, int64_t length, int64_t stride, int64_t n, bint every) noexcept nogil:
    # Rows of n columns, one below another.
    cdef int64_t j, k
    memset(dst, every, n)
    for k in range(length):
        if every:
            for j in range(n):
                dst[j] &= src[k * stride + j]
        else:
            for j in range(n):
                dst[j] |= src[k * stride + j]


cdef void pass_chunk(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Pass* p = <Pass*>context
    cdef int64_t first = chunk * p.units_per_chunk, unit, outer, column
    cdef bint found
    for unit in range(first, least(first + p.units_per_chunk, p.units)):
        if p.width == 1:
            # Of a run of nothing no byte is the one that decides.
            found = p.length > 0 and memchr(p.src + unit * p.length, not p.every, p.length) != NULL
            p.dst[unit] = found != p.every
            continue
        outer = unit // p.panels
        column = unit % p.panels * PANEL
        one_of_rows(p.dst + outer * p.width + column, p.src + outer * p.length * p.width + column, p.length, p.width,
                    least(PANEL, p.width - column), p.every)


cdef void run_pass(Pass* p, int64_t outer) noexcept nogil:
    p.panels = (p.width + PANEL - 1) // PANEL
    p.units = outer * p.panels
    p.units_per_chunk = most(SEGMENT // most(p.length * least(p.width, PANEL), 1), 1)
    parallel_for(pass_chunk, p, (p.units + p.units_per_chunk - 1) // p.units_per_chunk, outer * p.length * p.width * NS_PER_BYTE)


# ints: (runs, whether the first is reduced, sizes…), kept and reduced runs alternating.

cdef int along(uint8_t* out, const uint8_t* src, const int64_t* ints, bint every) noexcept nogil:
    cdef int64_t runs = ints[0], first = 1 - ints[1], k = runs - 1, outer = 1, width = 1, i
    cdef const int64_t* size = ints + 2
    cdef int slot = TL_SLOT_REDUCE_AXIS_A
    cdef Pass p
    p.every = every
    for i in range(runs):
        outer *= size[i]
    if k >= 0 and k % 2 != first:
        width = size[k]
        outer = 1
        for i in range(k):
            outer *= size[i]
        k -= 1
    if k < 0:
        # Every reduced axis has size 1.
        memcpy(out, src, outer * width)
        return TL_OK
    p.src = src
    while True:
        p.length = size[k]
        p.width = width
        outer = 1
        for i in range(k):
            outer *= size[i]
        p.dst = out if k < 2 else <uint8_t*>scratch(slot, outer * width)
        if p.dst == NULL:
            return TL_NO_MEMORY
        if outer * width > 0:
            run_pass(&p, outer)
        if k < 2:
            return TL_OK
        p.src = p.dst
        width *= size[k - 1]
        k -= 2
        slot = TL_SLOT_REDUCE_AXIS_A + TL_SLOT_REDUCE_AXIS_B - slot


cdef int any_true(uint8_t** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return along(out[0], <const uint8_t*>inp[0], ints, False)


cdef int all_true(uint8_t** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return along(out[0], <const uint8_t*>inp[0], ints, True)


KERNELS = {"any:b8": <size_t>&any_true, "all:b8": <size_t>&all_true}
