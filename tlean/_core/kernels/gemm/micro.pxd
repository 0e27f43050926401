"""The register-blocked micro-kernel and its packing; see micro.h."""
from libc.stdint cimport int64_t


cdef extern from "kernels/gemm/micro.h" nogil:
    int TL_MR
    int TL_NR_f32
    int TL_NR_f64
    int TL_VL_f32
    int TL_VL_f64
    void tl_expect(const void* at)
    int64_t tl_even_panel(int64_t n, int64_t most)
    void tl_micro_f32(int64_t mr, int64_t nr, int64_t k, const float* a, int64_t a_row, int64_t a_k, const float* b, int64_t b_k,
                      float* c, int64_t ldc, int add)
    void tl_micro_f64(int64_t mr, int64_t nr, int64_t k, const double* a, int64_t a_row, int64_t a_k, const double* b, int64_t b_k,
                      double* c, int64_t ldc, int add)
    void tl_pack_a_f32(float* dst, const float* src, int64_t row, int64_t k_step, int64_t mr, int64_t k)
    void tl_pack_a_f64(double* dst, const double* src, int64_t row, int64_t k_step, int64_t mr, int64_t k)
    void tl_pack_b_f32(float* dst, const float* src, int64_t k_step, int64_t col, int64_t k, int64_t nr)
    void tl_pack_b_f64(double* dst, const double* src, int64_t k_step, int64_t col, int64_t k, int64_t nr)
    void tl_pack_panels_f32(float* dst, int64_t panel, const float* src, int64_t k_step, int64_t width, int64_t panels, int64_t k)
    void tl_pack_panels_f64(double* dst, int64_t panel, const double* src, int64_t k_step, int64_t width, int64_t panels, int64_t k)
