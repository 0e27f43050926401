"""Convolution on the CPU: forward, input gradient (= transposed convolution) and weight gradient.

All three read `wide` (N,C,*in) and `narrow` (N,O,*out), the two sides of  narrow = w ⋆ wide,  w (O, C/groups, *kernel), with spatial axes
filled up to three. Implicit GEMM: the reduction runs over terms (channel, kernel cell), each an offset into a zero-padded copy of a tile of
the source that fits the second-level cache; there is no im2col matrix. A tile whose stride is s is copied as s interleaved planes, so that
neighbouring outputs always read neighbouring memory, and vectors of outputs run over rows of the tile. The input gradient at stride s is s
(per axis) dense convolutions of g, one for each residue of the position, with the kernel cells that hit it.

Some go other ways: depthwise convolutions under a square window read their planes in place (depthwise.pxi); in float, 3 x 3 windows at
stride 1 with enough channels take Winograd's transforms (winograd.pxi), and so do 3 x 3 x 3 windows where tiles of their planes fill
vectors (winograd_depth.pxi).

How the work is cut depends on the shapes alone. Every element of `conv` and of the input gradient is summed by one thread in the order of
the terms; the weight gradient sums a fixed number of groups of tiles one by one and adds up the groups in order.
"""
from libc.stdint cimport INT32_MAX, int32_t, int64_t
from libc.string cimport memcpy, memset

from tlean._core.kernel cimport (
    TL_NO_MEMORY, TL_NOT_TAKEN, TL_OK, TL_SLOT_CONV_ENERGIES, TL_SLOT_CONV_MAP, TL_SLOT_CONV_MARKS, TL_SLOT_CONV_PLANES_G,
    TL_SLOT_CONV_PLANES_X, TL_SLOT_CONV_PRODUCTS, TL_SLOT_CONV_REPAIR, TL_SLOT_CONV_SHARED, TL_SLOT_CONV_SHARED_SOURCE,
    TL_SLOT_CONV_SHARED_SUMS, TL_SLOT_CONV_SOURCE, TL_SLOT_CONV_TILE, tl_finish, tl_finished,
)
from tlean._core.kernels.gemm.micro cimport TL_MR, TL_NR_f32, tl_even_panel, tl_micro_f32
from tlean._core.threads.threads cimport parallel_for, scratch

ctypedef fused real:
    float
    double

cdef extern from "kernels/conv/micro.h" nogil:
    enum:
        CONV_VECTOR_BYTES
        CONV_PART
        CONV_OB_MAX
        CONV_Q_MAX
        CONV_TERMS
        CONV_FEW
    void conv_expect_write(const void*) noexcept
    void conv_expect_read(const void*) noexcept
    const int* conv_nv_max
    const int* conv_kb_max
    ctypedef void (*conv_block_fn_f32)(Py_ssize_t, const float*, const int32_t*, const float*, Py_ssize_t, const int32_t*, const int32_t*,
                                       float*, Py_ssize_t, const int32_t*, const float*) noexcept
    ctypedef void (*conv_block_fn_f64)(Py_ssize_t, const double*, const int32_t*, const double*, Py_ssize_t, const int32_t*,
                                       const int32_t*, double*, Py_ssize_t, const int32_t*, const double*) noexcept
    ctypedef void (*conv_few_fn_f32)(Py_ssize_t, const float*, const int32_t*, const float*, Py_ssize_t, const int32_t*, float*, Py_ssize_t,
                                     const int32_t*, const float*, Py_ssize_t) noexcept
    ctypedef void (*conv_few_fn_f64)(Py_ssize_t, const double*, const int32_t*, const double*, Py_ssize_t, const int32_t*, double*,
                                     Py_ssize_t, const int32_t*, const double*, Py_ssize_t) noexcept
    ctypedef void (*dw_block_fn_f32)(Py_ssize_t, const int32_t*, const int32_t*, Py_ssize_t, const float*, Py_ssize_t, const float*,
                                     const int32_t*, float*) noexcept
    ctypedef void (*dw_block_fn_f64)(Py_ssize_t, const int32_t*, const int32_t*, Py_ssize_t, const double*, Py_ssize_t, const double*,
                                     const int32_t*, double*) noexcept
    ctypedef void (*cv_block_fn_f32)(Py_ssize_t, const float*, Py_ssize_t, const int32_t*, const float*, const float*, Py_ssize_t,
                                     float*, Py_ssize_t) noexcept
    ctypedef void (*cv_block_fn_f64)(Py_ssize_t, const double*, Py_ssize_t, const int32_t*, const double*, const double*, Py_ssize_t,
                                     double*, Py_ssize_t) noexcept
    cv_block_fn_f32 cv_block_f32[3][3][15]
    cv_block_fn_f64 cv_block_f64[3][3][15]
    void cv_weight_1_f32(Py_ssize_t, const int32_t*, Py_ssize_t, const float*, const float*, const int32_t*, float*) noexcept
    void cv_weight_2_f32(Py_ssize_t, const int32_t*, Py_ssize_t, const float*, const float*, const int32_t*, float*) noexcept
    void cv_weight_1_f64(Py_ssize_t, const int32_t*, Py_ssize_t, const double*, const double*, const int32_t*, double*) noexcept
    void cv_weight_2_f64(Py_ssize_t, const int32_t*, Py_ssize_t, const double*, const double*, const int32_t*, double*) noexcept
    void conv_turn_padded_f32(float*, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void conv_turn_f32(float*, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void conv_turn_padded_f64(double*, Py_ssize_t, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void conv_turn_f64(double*, Py_ssize_t, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    conv_block_fn_f32 conv_block_f32[9][9]
    conv_block_fn_f64 conv_block_f64[9][9]
    conv_few_fn_f32 conv_few_f32[10]
    conv_few_fn_f64 conv_few_f64[10]
    dw_block_fn_f32 dw_block_f32[9]
    dw_block_fn_f64 dw_block_f64[9]
    void conv_take_f32(float*, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void conv_take_f64(double*, Py_ssize_t, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void conv_put_f32(float*, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void conv_put_f64(double*, Py_ssize_t, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void dense_f32(int, float*, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t, const float*, float, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                   Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void dense_f64(int, double*, Py_ssize_t, const double*, Py_ssize_t, Py_ssize_t, const double*, double, Py_ssize_t, Py_ssize_t,
                   Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void dense3_weight_f32(void*, const float*, Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                           Py_ssize_t, Py_ssize_t) noexcept
    void dense3_total_f32(float*, const void*) noexcept
    void dense3_weight_f64(void*, const double*, Py_ssize_t, Py_ssize_t, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                           Py_ssize_t, Py_ssize_t) noexcept
    void dense3_total_f64(double*, const void*) noexcept
    bint conv_unpack_f32(float*, const float*, Py_ssize_t, Py_ssize_t) noexcept
    bint conv_unpack_f64(double*, const double*, Py_ssize_t, Py_ssize_t) noexcept
    void conv_zero_f32(float*, Py_ssize_t) noexcept
    void conv_zero_f64(double*, Py_ssize_t) noexcept
    bint conv_all_finite_f32(const float*, Py_ssize_t) noexcept
    bint conv_all_finite_f64(const double*, Py_ssize_t) noexcept

cdef extern from "simd/streaming.h" nogil:
    bint tl_streams(int64_t nbytes)
    void tl_stream(void* dst, const void* src, int64_t n)
    void tl_stream_end()

cdef extern from "kernels/conv/winograd.h" nogil:
    void wino_source(float*, Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t) noexcept
    void wino_cotangent(float*, Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t) noexcept
    void wino_weights(float*, Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, bint, float*) noexcept
    void wino_result(float*, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t) noexcept
    void wino_weights_back(float*, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void wino_product(Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, const float*, float*, bint) noexcept
    Py_ssize_t wino_pitch(Py_ssize_t) noexcept
    void wino_blocked_row(float*, const float*, Py_ssize_t, bint, Py_ssize_t) noexcept
    void wino_blocked_source(float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                             Py_ssize_t, float*, Py_ssize_t, Py_ssize_t, bint) noexcept
    void wino_box(float*, Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, bint, float*,
                  Py_ssize_t, bint) noexcept

cdef extern from "kernels/conv/winograd_depth.h" nogil:
    enum:
        DEPTH_BLOCK
        DEPTH_MOST_8
        DEPTH_MOST_4
    ctypedef void (*depth_sums_fn)(float*, Py_ssize_t, const float*, Py_ssize_t, const Py_ssize_t*, const float*, Py_ssize_t) noexcept
    depth_sums_fn depth_sums[2][7]
    void depth_source(float*, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t, const Py_ssize_t*, const Py_ssize_t*) noexcept
    void depth_result(float*, Py_ssize_t, Py_ssize_t, const Py_ssize_t*, const Py_ssize_t*, const float*, Py_ssize_t, float) noexcept
    void depth_energies(float*, const float*, const float*, const float*, Py_ssize_t) noexcept

include "tile.pxi"
include "winograd.pxi"
include "winograd_range.pxi"
include "winograd_depth.pxi"
include "winograd_weight.pxi"
include "panel.pxi"
include "gather.pxi"
include "adjoint.pxi"
include "weight.pxi"
include "depthwise.pxi"
include "blocked.pxi"
include "weights.pxi"


cdef int conv_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return gather[float](<float*>out[0], <const float*>inp[2], <const float*>inp[0], <const float*>inp[1], ints, False, NULL)

cdef int conv_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return gather[double](<double*>out[0], <const double*>inp[2], <const double*>inp[0], <const double*>inp[1], ints, False, NULL)

cdef int conv_transpose_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adjoint[float](<float*>out[0], <const float*>inp[2], <const float*>inp[0], <const float*>inp[1], ints, NULL)

cdef int conv_transpose_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adjoint[double](<double*>out[0], <const double*>inp[2], <const double*>inp[0], <const double*>inp[1], ints, NULL)

cdef int conv_grad_x_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adjoint[float](<float*>out[0], <const float*>inp[1], <const float*>inp[0], NULL, ints, NULL)

cdef int conv_grad_x_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adjoint[double](<double*>out[0], <const double*>inp[1], <const double*>inp[0], NULL, ints, NULL)

cdef int conv_grad_w_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return weight_gradient[float](<float*>out[0], <const float*>inp[0], <const float*>inp[1], ints)

cdef int conv_grad_w_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return weight_gradient[double](<double*>out[0], <const double*>inp[0], <const double*>inp[1], ints)

cdef int produce_conv_f32(void** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    return gather[float](<float*>out[0], <const float*>inp[2], <const float*>inp[0], <const float*>inp[1], ints, False, finish)

cdef int produce_conv_f64(void** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    return gather[double](<double*>out[0], <const double*>inp[2], <const double*>inp[0], <const double*>inp[1], ints, False, finish)

cdef int produce_conv_transpose_f32(void** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    return adjoint[float](<float*>out[0], <const float*>inp[2], <const float*>inp[0], <const float*>inp[1], ints, finish)

cdef int produce_conv_transpose_f64(void** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    return adjoint[double](<double*>out[0], <const double*>inp[2], <const double*>inp[0], <const double*>inp[1], ints, finish)

cdef int produce_conv_grad_x_f32(void** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    return adjoint[float](<float*>out[0], <const float*>inp[1], <const float*>inp[0], NULL, ints, finish)

cdef int produce_conv_grad_x_f64(void** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    return adjoint[double](<double*>out[0], <const double*>inp[1], <const double*>inp[0], NULL, ints, finish)


KERNELS = {
    "conv:f32": <size_t>&conv_f32,
    "conv:f64": <size_t>&conv_f64,
    "conv_transpose:f32": <size_t>&conv_transpose_f32,
    "conv_transpose:f64": <size_t>&conv_transpose_f64,
    "_conv_grad_x:f32": <size_t>&conv_grad_x_f32,
    "_conv_grad_x:f64": <size_t>&conv_grad_x_f64,
    "_conv_grad_w:f32": <size_t>&conv_grad_w_f32,
    "_conv_grad_w:f64": <size_t>&conv_grad_w_f64,
    "conv_blocked:f32": <size_t>&conv_blocked,
    "conv_transpose_blocked:f32": <size_t>&conv_transpose_blocked,
    "_conv_grad_x_blocked:f32": <size_t>&conv_grad_x_blocked,
    "_conv_grad_w_blocked:f32": <size_t>&conv_grad_w_blocked,
}
PRODUCERS = {
    "conv:f32": <size_t>&produce_conv_f32,
    "conv:f64": <size_t>&produce_conv_f64,
    "conv_transpose:f32": <size_t>&produce_conv_transpose_f32,
    "conv_transpose:f64": <size_t>&produce_conv_transpose_f64,
    "_conv_grad_x:f32": <size_t>&produce_conv_grad_x_f32,
    "_conv_grad_x:f64": <size_t>&produce_conv_grad_x_f64,
    "conv_blocked:f32": <size_t>&produce_conv_blocked,
    "conv_transpose_blocked:f32": <size_t>&produce_conv_transpose_blocked,
    "_conv_grad_x_blocked:f32": <size_t>&produce_conv_grad_x_blocked,
}
ACCUMULATES = set()
