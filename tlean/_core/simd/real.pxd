"""The two element types of kernels, and what all of them need."""
from libc.stdint cimport int64_t

ctypedef fused real:
    float
    double


cdef inline int64_t least(int64_t a, int64_t b) noexcept nogil:
    return a if a < b else b


cdef inline int64_t most(int64_t a, int64_t b) noexcept nogil:
    return a if a > b else b
