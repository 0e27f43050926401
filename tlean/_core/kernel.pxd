"""The calling convention of the CPU kernels; see kernel.h."""
from libc.stdint cimport int64_t


cdef extern from "kernel.h" nogil:
    ctypedef int (*tl_kernel)(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil
    ctypedef struct tl_finish:
        void (*run)(tl_finish* finish, int64_t first, int64_t last) noexcept nogil
        int reported
    ctypedef int (*tl_producer)(void** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil
    void tl_finished(tl_finish* finish, int64_t first, int64_t last) noexcept
    enum:
        TL_NOT_TAKEN, TL_OK, TL_INDEX_OUT_OF_RANGE, TL_NO_MEMORY, TL_RAISED, TL_NOT_FINITE, TL_INTERRUPTED, TL_SINGULAR, TL_INDEFINITE
        TL_STATUS_BITS, TL_STATUS_MASK
    enum:
        TL_SLOT_BAND, TL_SLOT_CHAIN, TL_SLOT_CHAIN_SUMS, TL_SLOT_ROWS, TL_SLOT_POOL_SLAB, TL_SLOT_POOL_SPARE
        TL_SLOT_ATTENTION_CHUNK, TL_SLOT_ATTENTION_PARTS, TL_SLOT_GEMM_A, TL_SLOT_GEMM_B
        TL_SLOT_REDUCE_AXIS_A, TL_SLOT_REDUCE_AXIS_B, TL_SLOT_REDUCE_PASS_A, TL_SLOT_REDUCE_PASS_B, TL_SLOT_REDUCE_VALUES, TL_SLOT_ORDER
        TL_SLOT_FFT_COPIES, TL_SLOT_FFT_LANES, TL_SLOT_FFT_LINE, TL_SLOT_FFT_MATRIX
        TL_SLOT_LINALG_A, TL_SLOT_LINALG_B, TL_SLOT_LINALG_PANEL, TL_SLOT_LINALG_MATRIX, TL_SLOT_LINALG_SIDES, TL_SLOT_LINALG_FACTORS
        TL_SLOT_CONV_SHARED, TL_SLOT_CONV_SOURCE, TL_SLOT_CONV_PRODUCTS, TL_SLOT_CONV_TILE, TL_SLOT_CONV_REPAIR, TL_SLOT_CONV_MARKS
        TL_SLOT_CONV_SHARED_SOURCE, TL_SLOT_CONV_SHARED_SUMS, TL_SLOT_CONV_ENERGIES, TL_SLOT_CONV_MAP
        TL_SLOT_CONV_PLANES_G, TL_SLOT_CONV_PLANES_X
