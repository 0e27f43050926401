"""Gradient accumulation: dst += src, in place.

A buffer that several nodes share is copied before it is written (`own`), so one cotangent handed to two parents is never aliased and then
changed.
"""
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from tlean._core.arena cimport TLBuffer, buffer_decref, buffer_new, raise_error
from tlean._core.array cimport TL_F32, AnyTensor, itemsize_of, tensor_from_buffer
from tlean._core.array import install_add
from tlean._core.kernel cimport tl_kernel

cdef tl_kernel _kernels[2]
_kernels[0] = NULL
_kernels[1] = NULL


def install_kernels(size_t f32, size_t f64):
    """Use these kernels (addresses of `accumulate:f32` and `accumulate:f64`)."""
    _kernels[0] = <tl_kernel>f32
    _kernels[1] = <tl_kernel>f64


cdef void accumulate(int dtype, void* dst, const void* src, Py_ssize_t n) noexcept nogil:
    cdef int64_t count = n
    cdef void* out = dst
    cdef void* inp = <void*>src
    cdef Py_ssize_t i
    if n >= 64 and _kernels[dtype] != NULL:
        _kernels[dtype](&out, &inp, &count, NULL, 1)
    elif dtype == TL_F32:
        for i in range(n):
            (<float*>dst)[i] += (<const float*>src)[i]
    else:
        for i in range(n):
            (<double*>dst)[i] += (<const double*>src)[i]


cdef TLBuffer* own(TLBuffer* buffer, size_t nbytes) except NULL:
    if buffer.refs == 1 and buffer.size_class >= 0:
        return buffer
    cdef TLBuffer* mine = buffer_new(nbytes)
    memcpy(mine.data, buffer.data, nbytes)
    buffer_decref(buffer)
    return mine


def add(AnyTensor a, AnyTensor b):
    """a + b as a new array, where both have the same shape and float dtype. Raises: ShapeError, DTypeError."""
    a.check()
    b.check()
    if a.info is not b.info:
        raise_error("ShapeError", f"add: both arrays must have one shape, got a: {a.info.dims}, b: {b.info.dims}")
    if a.code != b.code or a.code > 1:
        raise_error("DTypeError", f"add: both arrays must have one float dtype, got a: {a.dtype}, b: {b.dtype}")
    cdef size_t nbytes = a.info.size * itemsize_of(a.code)
    cdef TLBuffer* out = buffer_new(nbytes)
    memcpy(out.data, a.buffer.data, nbytes)
    with nogil:
        accumulate(a.code, out.data, b.buffer.data, a.info.size)
    return tensor_from_buffer(out, a.info, a.code)


install_add(add)
