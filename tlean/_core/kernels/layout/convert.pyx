# cython: language_level=3
"""Kernels that convert between dtypes: `as_<dtype>` for every dtype of its input. Between equal dtypes they copy.

Floats are rounded to the nearest; from floats to integers they are cut off towards 0, and what an integer cannot hold, NaN included, is the
least one. An integer that is too long loses its upper bits. A Boolean is whether the element is not 0.
"""
from libc.stdint cimport INT32_MIN, INT64_MIN, int32_t, int64_t, uint8_t

from tlean._core.kernel cimport TL_OK
from tlean._core.simd.real cimport least, real
from tlean._core.threads.threads cimport parallel_for

cdef enum:
    CHUNK = 32768          # elements of one chunk

cdef double NS_PER_BYTE = 0.06

ctypedef fused target:
    float
    double
    int64_t
    int32_t
    uint8_t

ctypedef fused source:
    float
    double
    int64_t
    int32_t
    uint8_t

# ints: (elements,).

ctypedef void (*run_fn)(void* dst, const void* src, int64_t n) noexcept nogil

cdef struct Convert:
    run_fn run
    const char* src
    char* dst
    int64_t src_bytes          # of one element
    int64_t dst_bytes
    int64_t elements


cdef void convert_run(target* dst, const source* src, int64_t n) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        if target is uint8_t:
            dst[i] = src[i] != 0
        elif target is int64_t and source in real:
            dst[i] = <int64_t>src[i] if -9223372036854775808.0 <= src[i] < 9223372036854775808.0 else INT64_MIN
        elif target is int32_t and source in real:
            dst[i] = <int32_t>src[i] if -2147483649.0 < <double>src[i] < 2147483648.0 else INT32_MIN
        else:
            dst[i] = <target>src[i]


cdef void convert_chunk(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Convert* c = <Convert*>context
    cdef int64_t first = chunk * CHUNK
    c.run(c.dst + first * c.dst_bytes, c.src + first * c.src_bytes, least(CHUNK, c.elements - first))


cdef void convert_inner(target* dst, source** inp, int64_t n, const double* floats, int accumulate) noexcept nogil:
    # A block of a fused group (`tl_inner`).
    convert_run[target, source](dst, inp[0], n)


cdef int convert(target** out, source** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Convert c
    c.run = <run_fn>convert_run[target, source]
    c.src = <const char*>inp[0]
    c.dst = <char*>out[0]
    c.src_bytes = sizeof(source)
    c.dst_bytes = sizeof(target)
    c.elements = ints[0]
    parallel_for(convert_chunk, &c, (c.elements + CHUNK - 1) // CHUNK, c.elements * (sizeof(source) + sizeof(target)) * NS_PER_BYTE)
    return TL_OK


KERNELS = {
    "as_float32:f32": <size_t>&convert[float, float], "as_float32:f64": <size_t>&convert[float, double],
    "as_float32:i64": <size_t>&convert[float, int64_t], "as_float32:i32": <size_t>&convert[float, int32_t],
    "as_float32:b8": <size_t>&convert[float, uint8_t],
    "as_float64:f32": <size_t>&convert[double, float], "as_float64:f64": <size_t>&convert[double, double],
    "as_float64:i64": <size_t>&convert[double, int64_t], "as_float64:i32": <size_t>&convert[double, int32_t],
    "as_float64:b8": <size_t>&convert[double, uint8_t],
    "as_int64:f32": <size_t>&convert[int64_t, float], "as_int64:f64": <size_t>&convert[int64_t, double],
    "as_int64:i64": <size_t>&convert[int64_t, int64_t], "as_int64:i32": <size_t>&convert[int64_t, int32_t],
    "as_int64:b8": <size_t>&convert[int64_t, uint8_t],
    "as_int32:f32": <size_t>&convert[int32_t, float], "as_int32:f64": <size_t>&convert[int32_t, double],
    "as_int32:i64": <size_t>&convert[int32_t, int64_t], "as_int32:i32": <size_t>&convert[int32_t, int32_t],
    "as_int32:b8": <size_t>&convert[int32_t, uint8_t],
    "as_bool:f32": <size_t>&convert[uint8_t, float], "as_bool:f64": <size_t>&convert[uint8_t, double],
    "as_bool:i64": <size_t>&convert[uint8_t, int64_t], "as_bool:i32": <size_t>&convert[uint8_t, int32_t],
    "as_bool:b8": <size_t>&convert[uint8_t, uint8_t],
    # The same for integers and Booleans as a value is copied.
    "copy:i64": <size_t>&convert[int64_t, int64_t], "copy:i32": <size_t>&convert[int32_t, int32_t],
    "copy:b8": <size_t>&convert[uint8_t, uint8_t],
}
# Of conversions that groups do: those to their dtype, and those of their values to Booleans.
INNER = {
    "as_float32:f64": <size_t>&convert_inner[float, double], "as_float32:i64": <size_t>&convert_inner[float, int64_t],
    "as_float32:i32": <size_t>&convert_inner[float, int32_t], "as_float32:b8": <size_t>&convert_inner[float, uint8_t],
    "as_float64:f32": <size_t>&convert_inner[double, float], "as_float64:i64": <size_t>&convert_inner[double, int64_t],
    "as_float64:i32": <size_t>&convert_inner[double, int32_t], "as_float64:b8": <size_t>&convert_inner[double, uint8_t],
    "as_bool:f32": <size_t>&convert_inner[uint8_t, float], "as_bool:f64": <size_t>&convert_inner[uint8_t, double],
}
