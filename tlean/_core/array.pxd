"""Interned shapes, dtypes, and AnyTensor: an array whose shape and dtype are run-time values."""
from libc.stddef cimport size_t
from libc.stdint cimport int64_t

from tlean._core.arena cimport TLBuffer

# Codes of the dtypes; the float ones come first.
cdef enum:
    TL_F32 = 0
    TL_F64 = 1
    TL_I64 = 2
    TL_I32 = 3
    TL_BOOL = 4

# The highest rank of an array.
cdef enum:
    TL_MAX_NDIM = 16

cdef size_t itemsize_of(int dtype) noexcept
cdef object dtype_of(int code)


cdef class ShapeInfo:
    cdef readonly tuple dims
    cdef readonly Py_ssize_t ndim
    cdef readonly Py_ssize_t size
    cdef Py_ssize_t sizes[16]
    cdef Py_ssize_t strides[4][16]


cdef ShapeInfo intern_shape(tuple dims)


cdef class AnyTensor:
    cdef TLBuffer* buffer
    cdef ShapeInfo info
    cdef int code
    cdef object __weakref__
    cdef check(self)


# Takes over the caller's reference to the buffer.
cdef AnyTensor tensor_from_buffer(TLBuffer* buffer, ShapeInfo info, int dtype)
cdef AnyTensor tensor_from_object(object value, int dtype, bint copy)
cdef int dtype_code(object name) except -1
