"""The calling convention of the CPU kernels; see kernel.h."""
from libc.stdint cimport int64_t


cdef extern from "kernel.h" nogil:
    ctypedef int (*tl_kernel)(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil
    int TL_OK
    int TL_INDEX_OUT_OF_RANGE
    int TL_NO_MEMORY
