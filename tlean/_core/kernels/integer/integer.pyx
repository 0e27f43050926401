# cython: language_level=3
"""Kernels of integers, element by element. Their loops are generated from the formulas of `tlean/ops/integers/forms.py`; here they meet
rows and threads. Operands broadcast by strides of zero: nothing is copied to a larger shape.
"""
from libc.stdint cimport int64_t

from tlean._core.kernel cimport TL_OK
from tlean._core.simd.real cimport least
from tlean._core.threads.threads cimport parallel_for

cdef extern from "integer_kernels.h" nogil:
    enum:
        TL_INTEGER_INPUTS
        TL_INTEGERS
    ctypedef struct tl_integer:
        const char* name
        void* kernel
        void (*inner)(void* out, void** inp, const int64_t* steps, int64_t n, const int64_t* parameters) noexcept nogil
        int inputs
        int parameters
        int out_size
        int sizes[3]
    const tl_integer* tl_integers
    int (*tl_integer_rows)(const tl_integer* entry, void** out, void** inp, const int64_t* ints) noexcept nogil

cdef enum:
    CHUNK = 16384          # elements of one chunk

# A division, and memory beyond the caches.
cdef double NS_PER_ELEMENT = 1.5

# ints: (parameters…, axes, sizes…, strides of each input…).

cdef struct Rows:
    const tl_integer* entry
    const int64_t* parameters
    const int64_t* sizes
    const int64_t* strides         # those of input k from k*axes on
    char* out
    char* inp[3]
    int64_t axes
    int64_t elements


cdef void rows_chunk(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Rows* c = <Rows*>context
    cdef int64_t first = chunk * CHUNK, last = least(first + CHUNK, c.elements)
    cdef int64_t width = c.sizes[c.axes - 1], row, column, count, axis, step, at
    cdef int64_t steps[3]
    cdef void* inp[3]
    cdef int k
    for k in range(c.entry.inputs):
        steps[k] = c.strides[k * c.axes + c.axes - 1]
    while first < last:
        row, column = first // width, first % width
        count = least(width - column, last - first)
        for k in range(c.entry.inputs):
            at, step = column * steps[k], row
            for axis in range(c.axes - 2, -1, -1):
                at += step % c.sizes[axis] * c.strides[k * c.axes + axis]
                step //= c.sizes[axis]
            inp[k] = c.inp[k] + at * c.entry.sizes[k]
        c.entry.inner(c.out + first * c.entry.out_size, inp, steps, count, c.parameters)
        first += count


cdef int in_rows(const tl_integer* entry, void** out, void** inp, const int64_t* ints) noexcept nogil:
    cdef Rows c
    cdef int64_t axis
    cdef int k
    c.entry = entry
    c.parameters = ints
    c.axes = ints[entry.parameters]
    c.sizes = ints + entry.parameters + 1
    c.strides = c.sizes + c.axes
    c.out = <char*>out[0]
    for k in range(entry.inputs):
        c.inp[k] = <char*>inp[k]
    c.elements = 1
    for axis in range(c.axes):
        c.elements *= c.sizes[axis]
    parallel_for(rows_chunk, &c, (c.elements + CHUNK - 1) // CHUNK, c.elements * NS_PER_ELEMENT)
    return TL_OK


tl_integer_rows = in_rows

# "<op>:<i64|i32|b8>" -> the address of its kernel.
KERNELS = {tl_integers[i].name.decode(): <size_t>tl_integers[i].kernel for i in range(TL_INTEGERS)}


# The form of a kernel for one short row; ints: (entry, elements, steps of three inputs, parameters…).
cdef enum:
    SHORT = 512            # elements of a short row


cdef int short_row(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    (<const tl_integer*><size_t>ints[0]).inner(out[0], inp, ints + 2, ints[1], ints + 5)
    return TL_OK


def short(name, ints):
    """The form of a call for one short row: its address, its integers and None (nothing is packed); None where it has more axes."""
    cdef const tl_integer* entry
    cdef int i
    for i in range(TL_INTEGERS):
        entry = &tl_integers[i]
        if entry.name.decode() == name:
            parameters = ints[:entry.parameters]
            axes, sizes = ints[entry.parameters], ints[entry.parameters + 1:]
            if axes != 1 or not 0 < sizes[0] <= SHORT:
                return None
            steps = (*sizes[1:1 + entry.inputs], 0, 0, 0)[:3]
            return <size_t>&short_row, (<size_t>entry, sizes[0], *steps, *parameters), None
    return None
