# cython: language_level=3
"""Kernels that sort along an axis, find the first k in order, and search sorted arrays (order.h).

An array is (outer, length, inner) with the axis in the middle; each line along it is sorted by one thread.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t

from tlean._core.kernel cimport TL_NO_MEMORY, TL_OK, TL_SLOT_ORDER
from tlean._core.simd.real cimport least, most
from tlean._core.threads.threads cimport chunk_fn, parallel_for, scratch

# src, dst and v are of one element type.
cdef extern from "kernels/order/order.h" nogil:
    int64_t TL_COLLECTED(int64_t k)
    void tl_sort_line(void* dst, const void* src, int64_t n, int64_t step, bint descending, void* room)
    void tl_argsort_line(void* dst, int64_t* index, const void* src, int64_t n, int64_t step, bint descending, void* room)
    int64_t tl_place_in(const void* sorted, int64_t n, const void* v, bint right)
    void tl_top_line(int64_t* index, const void* src, int64_t n, int64_t step, int64_t k, bint largest, void* room)

cdef enum:
    SEGMENT = 32768        # elements of one chunk
    PAIR = 16              # bytes of the widest entry

ctypedef fused value:
    float
    double
    int32_t
    int64_t
    uint8_t


cdef struct Lines:
    const void* src
    void* values               # NULL: not asked for
    int64_t* index             # NULL: not asked for
    int64_t outer
    int64_t length
    int64_t inner
    int64_t lines_per_chunk
    int64_t k                  # of the first in order, how many; -1: all
    bint descending
    int status


# sort, argsort: the elements in order, NaN after all others, of equal ones in the line's order; descending: turned about, still so -----
# ints: (outer, length, inner, descending). topk_index: ints: (outer, length, inner, k, whether the greatest): the places of the k first.

cdef void lines_chunk(value* context, Py_ssize_t chunk) noexcept nogil:
    cdef Lines* c = <Lines*>context
    cdef int64_t n = c.length, k = c.k, line, at, to
    cdef void* room = scratch(TL_SLOT_ORDER, 2 * PAIR * (n if k < 0 else TL_COLLECTED(k)))
    cdef const value* src
    if room == NULL:
        c.status = TL_NO_MEMORY
        return
    for line in range(chunk * c.lines_per_chunk, least((chunk + 1) * c.lines_per_chunk, c.outer * c.inner)):
        at = line // c.inner * n * c.inner + line % c.inner
        src = <const value*>c.src + at
        if k >= 0:
            to = line // c.inner * k * c.inner + line % c.inner
            tl_top_line(c.index + to, src, n, c.inner, k, c.descending, room)
        elif c.index == NULL:
            tl_sort_line(<value*>c.values + at, src, n, c.inner, c.descending, room)
        else:
            tl_argsort_line(<value*>c.values + at if c.values != NULL else NULL, c.index + at, src, n, c.inner, c.descending, room)


cdef int run_lines(value* kind, Lines* c, const int64_t* ints) noexcept nogil:
    cdef int64_t lines = ints[0] * ints[2]
    if lines * ints[1] == 0 or c.k == 0:
        return TL_OK
    c.outer, c.length, c.inner = ints[0], ints[1], ints[2]
    c.lines_per_chunk = most(SEGMENT // c.length, 1)
    c.status = TL_OK
    parallel_for(<chunk_fn>lines_chunk[value], c, (lines + c.lines_per_chunk - 1) // c.lines_per_chunk, lines * c.length * 8.0)
    return c.status


cdef int sort(value** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Lines c
    c.src, c.values, c.index, c.k, c.descending = inp[0], out[0], <int64_t*>out[1], -1, ints[3]
    return run_lines(out[0], &c, ints)


cdef int argsort(value** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Lines c
    c.src, c.values, c.index, c.k, c.descending = inp[0], NULL, <int64_t*>out[0], -1, ints[3]
    return run_lines(out[0], &c, ints)


cdef int topk_index(value** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Lines c
    c.src, c.values, c.index, c.k, c.descending = inp[0], NULL, <int64_t*>out[0], ints[3], ints[4]
    return run_lines(out[0], &c, ints)


# searchsorted: where each of v would be put into a sorted array. ints: (its length, elements of v, whether behind equal ones) ------

cdef struct Search:
    const void* sorted
    const void* v
    int64_t* place
    int64_t n
    int64_t count
    bint right


cdef void search_chunk(value* context, Py_ssize_t chunk) noexcept nogil:
    cdef Search* s = <Search*>context
    cdef int64_t i
    for i in range(chunk * SEGMENT, least((chunk + 1) * SEGMENT, s.count)):
        s.place[i] = tl_place_in(<const value*>s.sorted, s.n, <const value*>s.v + i, s.right)


cdef int searchsorted(value** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Search s
    s.sorted, s.v, s.place, s.n, s.count, s.right = inp[0], inp[1], <int64_t*>out[0], ints[0], ints[1], ints[2]
    parallel_for(<chunk_fn>search_chunk[value], &s, (s.count + SEGMENT - 1) // SEGMENT, s.count * 40.0)
    return TL_OK


KERNELS = {
    "sort:f32": <size_t>&sort[float], "sort:f64": <size_t>&sort[double], "sort:i32": <size_t>&sort[int32_t],
    "sort:i64": <size_t>&sort[int64_t], "sort:b8": <size_t>&sort[uint8_t],
    "argsort:f32": <size_t>&argsort[float], "argsort:f64": <size_t>&argsort[double], "argsort:i32": <size_t>&argsort[int32_t],
    "argsort:i64": <size_t>&argsort[int64_t], "argsort:b8": <size_t>&argsort[uint8_t],
    "topk_index:f32": <size_t>&topk_index[float], "topk_index:f64": <size_t>&topk_index[double],
    "topk_index:i32": <size_t>&topk_index[int32_t], "topk_index:i64": <size_t>&topk_index[int64_t],
    "topk_index:b8": <size_t>&topk_index[uint8_t],
    "searchsorted:f32": <size_t>&searchsorted[float], "searchsorted:f64": <size_t>&searchsorted[double],
    "searchsorted:i32": <size_t>&searchsorted[int32_t], "searchsorted:i64": <size_t>&searchsorted[int64_t],
    "searchsorted:b8": <size_t>&searchsorted[uint8_t],
}
