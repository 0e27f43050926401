"""The register-blocked micro-kernel and its packing; see micro.h."""
from libc.stdint cimport int64_t


cdef extern from "kernels/gemm/micro.h" nogil:
    int TL_MR
    int TL_NR_f32
    int TL_NR_f64
    int TL_LANES_f32
    int TL_LANES_f64
    void tl_expect(const void* at)
    int64_t tl_even_panel(int64_t n, int64_t most)
    # Pointers of one call are to one float type.
    void tl_micro(int64_t mr, int64_t nr, int64_t k, const void* a, int64_t a_row, int64_t a_k, const void* b, int64_t b_k, void* c,
                  int64_t ldc, int add)
    void tl_pack_a(void* dst, const void* src, int64_t row, int64_t k_step, int64_t mr, int64_t k)
    void tl_pack_b(void* dst, const void* src, int64_t k_step, int64_t col, int64_t k, int64_t nr)
    void tl_pack_panels(void* dst, int64_t panel, const void* src, int64_t k_step, int64_t width, int64_t panels, int64_t k)
