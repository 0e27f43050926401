# cython: language_level=3
"""Kernels that make arrays of numbers alone: constants of integers and Booleans, numbers at equal distances, ones on a diagonal."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from tlean._core.kernel cimport TL_OK
from tlean._core.simd.real cimport least, most, real
from tlean._core.threads.threads cimport parallel_for

cdef enum:
    CHUNK = 16384          # elements of one chunk

cdef double NS_PER_BYTE = 0.06

ctypedef fused whole:
    int64_t
    int32_t
    uint8_t

ctypedef fused element:
    float
    double
    int64_t
    int32_t
    uint8_t

ctypedef void (*run_fn)(void* dst, int64_t first, int64_t n, const int64_t* ints, const double* floats) noexcept nogil

cdef struct Create:
    run_fn run
    char* dst
    int64_t item               # bytes
    int64_t each               # elements of a chunk
    int64_t elements
    const int64_t* ints
    const double* floats


cdef void create_chunk(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Create* c = <Create*>context
    cdef int64_t first = chunk * c.each
    c.run(c.dst + first * c.item, first, least(c.each, c.elements - first), c.ints, c.floats)


cdef int create(
    run_fn run, void* dst, int64_t item, int64_t each, int64_t elements, const int64_t* ints, const double* floats
) noexcept nogil:
    cdef Create c
    c.run, c.dst, c.item, c.each, c.elements, c.ints, c.floats = run, <char*>dst, item, each, elements, ints, floats
    parallel_for(create_chunk, &c, (elements + each - 1) // each, <double>elements * item * NS_PER_BYTE)
    return TL_OK


# _full: ints = (elements, value).

cdef void full_run(whole* dst, int64_t first, int64_t n, const int64_t* ints, const double* floats) noexcept nogil:
    cdef whole value = <whole>ints[1]
    cdef int64_t i
    for i in range(n):
        dst[i] = value


cdef int full(whole** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return create(<run_fn>full_run[whole], out[0], sizeof(whole), CHUNK, ints[0], ints, floats)


# iota of integers: ints = (elements, start, step). What does not fit loses its upper bits.

cdef void iota_whole_run(whole* dst, int64_t first, int64_t n, const int64_t* ints, const double* floats) noexcept nogil:
    cdef uint64_t start = <uint64_t>ints[1], step = <uint64_t>ints[2]
    cdef int64_t i
    for i in range(n):
        dst[i] = <whole>(start + step * <uint64_t>(first + i))


cdef int iota_whole(whole** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return create(<run_fn>iota_whole_run[whole], out[0], sizeof(whole), CHUNK, ints[0], ints, floats)


# iota of floats: ints = (elements, whether the last is given), floats = (start, step, last).

cdef void iota_run(real* dst, int64_t first, int64_t n, const int64_t* ints, const double* floats) noexcept nogil:
    cdef double start = floats[0], step = floats[1]
    cdef int64_t i
    for i in range(n):
        dst[i] = <real>(<double>(first + i) * step + start)
    if ints[1] and first + n == ints[0] and n:
        dst[n - 1] = <real>floats[2]


cdef int iota(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return create(<run_fn>iota_run[real], out[0], sizeof(real), CHUNK, ints[0], ints, floats)


# eye: ints = (rows, columns, offset). Whole rows are a chunk.

cdef void eye_run(element* dst, int64_t first, int64_t n, const int64_t* ints, const double* floats) noexcept nogil:
    cdef int64_t columns = ints[1], row = first // columns, rows = n // columns, i, j
    for i in range(n):
        dst[i] = 0
    for i in range(rows):
        j = row + i + ints[2]
        if 0 <= j < columns:
            dst[i * columns + j] = 1


cdef int eye(element** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef int64_t elements = ints[0] * ints[1]
    if elements == 0:
        return TL_OK
    return create(<run_fn>eye_run[element], out[0], sizeof(element), most(CHUNK // ints[1], 1) * ints[1], elements, ints, floats)


KERNELS = {
    "_full:i64": <size_t>&full[int64_t], "_full:i32": <size_t>&full[int32_t], "_full:b8": <size_t>&full[uint8_t],
    "iota:f32": <size_t>&iota[float], "iota:f64": <size_t>&iota[double],
    "iota:i64": <size_t>&iota_whole[int64_t], "iota:i32": <size_t>&iota_whole[int32_t],
    "eye:f32": <size_t>&eye[float], "eye:f64": <size_t>&eye[double],
    "eye:i64": <size_t>&eye[int64_t], "eye:i32": <size_t>&eye[int32_t], "eye:b8": <size_t>&eye[uint8_t],
}
