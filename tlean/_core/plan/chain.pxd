"""Chains of elementwise ops over a range of elements, for kernels that run one where they are (epilogue.pyx); see plan/chain.pyx."""
from libc.stdint cimport int64_t


cdef struct Chain:
    char** out
    char** inp
    const int64_t* ints
    const double* floats
    int accumulate
    int64_t step          # elements of a chunk
    char* partial         # sums of chunks: chunk by chunk for every sum


# The chain as a kernel.
cdef int fused(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil

# Elements start … stop − 1 of a chain without sums. Returns a status of kernel.h.
cdef int run_range(Chain* chain, int64_t start, int64_t stop) noexcept nogil
