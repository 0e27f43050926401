# cython: language_level=3
"""Kernels that find maxima over any axes, and their positions.

Runs are taken innermost first, and long ones in segments, as the sums of reduce.pyx are. An index counts along the reduced axes in
row-major order: each pass adds its own position, times the number of elements per step of it, to what the passes before
found.
"""
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from tlean._core.kernel cimport (
    TL_NO_MEMORY, TL_OK, TL_SLOT_REDUCE_AXIS_A, TL_SLOT_REDUCE_AXIS_B, TL_SLOT_REDUCE_PASS_A, TL_SLOT_REDUCE_PASS_B, TL_SLOT_REDUCE_VALUES,
)
from tlean._core.simd.real cimport least, most, real
from tlean._core.threads.threads cimport chunk_fn, parallel_for, scratch

cdef extern from "kernels/reduce/maxima.h" nogil:
    # top and x are of one float type.
    void tl_row_maxima(void* top, int32_t* index, const void* x, int64_t rows, int64_t n)
    void tl_panel_max(void* top, int32_t* index, const void* x, const int32_t* under, int64_t rows, int64_t stride, int64_t w,
                      int64_t first, int64_t scale)

cdef enum:
    SEGMENT = 32768        # elements of one segment, and of one chunk
    PANEL = 1024           # columns searched together

cdef double NS_PER_BYTE = 0.06


# One pass: (outer, length, width) -> (outer, segments, width) --------------------------------------------------------------

cdef struct Pass:
    const void* src
    const int32_t* under       # the indices that the elements of src represent; NULL: none yet
    void* dst
    int32_t* index             # NULL: not asked for
    int64_t length
    int64_t width
    int64_t scale              # how much the index grows with one step along `length`
    int64_t segment
    int64_t segments
    int64_t panels
    int64_t units
    int64_t units_per_chunk


cdef inline void row_maxima(
        Pass* p, real* dst, const real* src, int64_t to, int64_t at, int64_t rows, int64_t n, int64_t first) noexcept nogil:
    # Neighbouring rows of n elements from src[at] on, each from position `first` on of its run.
    cdef int32_t* index = p.index + to if p.index != NULL else NULL
    cdef int64_t r
    tl_row_maxima(dst + to, index, src + at, rows, n)
    if index != NULL and (first != 0 or p.scale != 1 or p.under != NULL):
        for r in range(rows):
            index[r] = <int32_t>((first + index[r]) * p.scale) + (p.under[at + r * n + index[r]] if p.under != NULL else 0)


cdef void pass_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Pass* p = <Pass*>context
    cdef real* dst = <real*>p.dst
    cdef const real* src = <const real*>p.src
    cdef int64_t unit = chunk * p.units_per_chunk, stop = least(unit + p.units_per_chunk, p.units), at, rest, first, n, column, to
    cdef int32_t* index
    cdef const int32_t* under
    if p.width == 1 and p.segments == 1:
        row_maxima(p, dst, src, unit, unit * p.length, stop - unit, p.length, 0)
        return
    for unit in range(unit, stop):
        column = unit % p.panels * PANEL
        rest = unit // p.panels
        first = rest % p.segments * p.segment
        n = least(p.segment, p.length - first)
        at = (rest // p.segments * p.length + first) * p.width + column
        to = rest * p.width + column
        if p.width == 1:
            row_maxima(p, dst, src, to, at, 1, n, first)
            continue
        index = p.index + to if p.index != NULL else NULL
        under = p.under + at if p.under != NULL else NULL
        tl_panel_max(dst + to, index, src + at, under, n, p.width, least(PANEL, p.width - column), first, p.scale)


cdef void* room(int slot, int64_t elements, size_t itemsize, int32_t** index) noexcept nogil:
    # Scratch for values and, where *index is not NULL, indices behind them.
    cdef char* p = <char*>scratch(slot, elements * (itemsize + 4))
    if index[0] != NULL:
        index[0] = <int32_t*>(p + elements * itemsize)
    return p


cdef int max_run(Pass* p, int64_t outer, real* dst, int32_t* index) noexcept nogil:
    # (outer, length, width) -> (outer, width), by as many passes as segments of segments need.
    cdef int slot = TL_SLOT_REDUCE_PASS_A
    p.panels = (p.width + PANEL - 1) // PANEL
    p.segment = most(SEGMENT // least(p.width, PANEL), 64)
    while True:
        p.segments = (p.length + p.segment - 1) // p.segment
        p.units = outer * p.segments * p.panels
        p.units_per_chunk = most(SEGMENT // (least(p.segment, p.length) * least(p.width, PANEL)), 1)
        p.dst = dst
        p.index = index
        if p.segments > 1:
            p.dst = room(slot, outer * p.segments * p.width, sizeof(real), &p.index)
            if p.dst == NULL:
                return TL_NO_MEMORY
        parallel_for(<chunk_fn>pass_chunk[real], p, (p.units + p.units_per_chunk - 1) // p.units_per_chunk,
                     outer * p.length * p.width * sizeof(real) * NS_PER_BYTE)
        if p.segments == 1:
            return TL_OK
        # Segments' maxima carry whole indices already.
        p.src = p.dst
        p.under = p.index
        p.length = p.segments
        p.scale = 0
        slot = TL_SLOT_REDUCE_PASS_A + TL_SLOT_REDUCE_PASS_B - slot


# ints: (runs, whether the first is reduced, sizes…), kept and reduced runs alternating.

cdef int64_t kept_size(const int64_t* ints) noexcept nogil:
    cdef int64_t k, n = 1
    for k in range(ints[0]):
        if k % 2 == ints[1]:
            n *= ints[2 + k]
    return n


cdef int maximum(real* values, int32_t* indices, const void* src, const int64_t* ints) noexcept nogil:
    # `values` and `indices` have room for every kept element; `indices` may be NULL.
    cdef int64_t runs = ints[0], first = 1 - ints[1], k = runs - 1, kept = kept_size(ints), outer, width = 1, within = 1, i
    cdef const int64_t* size = ints + 2
    cdef int32_t* index
    cdef real* dst
    cdef Pass p
    cdef int slot = TL_SLOT_REDUCE_AXIS_A, code
    if kept == 0:
        return TL_OK
    if k >= 0 and k % 2 != first:
        width = size[k]
        k -= 1
    if k < 0:
        # Every reduced axis has size 1.
        memcpy(values, src, kept * sizeof(real))
        if indices != NULL:
            memset(indices, 0, kept * sizeof(int32_t))
        return TL_OK
    p.src = src
    p.under = NULL
    outer = 1
    for i in range(k + 1):
        outer *= size[i]
    while True:
        outer //= size[k]
        p.length = size[k]
        p.width = width
        p.scale = within
        if k < 2:
            return max_run(&p, outer, values, indices)
        index = indices
        dst = <real*>room(slot, outer * width, sizeof(real), &index)
        if dst == NULL:
            return TL_NO_MEMORY
        code = max_run(&p, outer, dst, index)
        if code != TL_OK:
            return code
        p.src = dst
        p.under = index
        within *= size[k]
        outer //= size[k - 1]
        width *= size[k - 1]
        k -= 2
        slot = TL_SLOT_REDUCE_AXIS_A + TL_SLOT_REDUCE_AXIS_B - slot


# max_index: the positions of the maxima, int32. argmax: the same, int64.

cdef int index_only(real** out, void** inp, const int64_t* ints, bint wide) noexcept nogil:
    cdef int64_t kept = kept_size(ints), k
    cdef real* values = <real*>scratch(TL_SLOT_REDUCE_VALUES, kept * (sizeof(real) + 4))
    cdef int32_t* narrow
    cdef int code
    if values == NULL:
        return TL_NO_MEMORY
    narrow = <int32_t*>(values + kept) if wide else <int32_t*>out[0]
    code = maximum(values, narrow, inp[0], ints)
    if wide and code == TL_OK:
        for k in range(kept):
            (<int64_t*>out[0])[k] = narrow[k]
    return code


cdef int max_index(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return index_only(out, inp, ints, False)


cdef int argmax(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return index_only(out, inp, ints, True)


# reduce_max: the maxima and their positions, each only if it is read.

cdef int reduce_max(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    if out[0] == NULL:
        return index_only(out + 1, inp, ints, False)
    return maximum(out[0], <int32_t*>out[1], inp[0], ints)


# Of few short rows; ints: (rows, elements of a row, the kernel's ints).
cdef int short_maxima(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    if out[0] == NULL:
        return reduce_max(out, inp, ints + 2, floats, accumulate)
    tl_row_maxima(out[0], <int32_t*>out[1], <const real*>inp[0], ints[0], ints[1])
    return TL_OK


# The form of `reduce_max` for few short rows, or one.
SHORT_MAXIMA = {"f32": <size_t>&short_maxima[float], "f64": <size_t>&short_maxima[double]}
KERNELS = {
    "reduce_max:f32": <size_t>&reduce_max[float], "reduce_max:f64": <size_t>&reduce_max[double],
    "max_index:f32": <size_t>&max_index[float], "max_index:f64": <size_t>&max_index[double],
    "argmax:f32": <size_t>&argmax[float], "argmax:f64": <size_t>&argmax[double],
}
