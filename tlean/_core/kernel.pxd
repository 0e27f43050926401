"""The calling convention of the CPU kernels; see kernel.h."""
from libc.stdint cimport int64_t


cdef extern from "kernel.h" nogil:
    ctypedef int (*tl_kernel)(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil
    ctypedef struct tl_finish:
        void (*run)(tl_finish* finish, int64_t first, int64_t last) noexcept nogil
        int reported
    ctypedef int (*tl_producer)(void** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil
    void tl_finished(tl_finish* finish, int64_t first, int64_t last) noexcept
    int TL_OK
    int TL_INDEX_OUT_OF_RANGE
    int TL_NO_MEMORY
    int TL_NOT_FINITE
    int TL_INTERRUPTED
