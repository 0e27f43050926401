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
from tlean._core.kernels.gemm.micro cimport TL_MR, TL_NR_f32, tl_even_panel, tl_micro
from tlean._core.simd.real cimport real
from tlean._core.threads.threads cimport chunk_fn, parallel_for, scratch

cdef extern from "kernels/conv/micro.h" nogil:
    enum:
        TL_VECTOR_BYTES
        TL_LANES_f32
        CONV_PART
        CONV_OB_MAX
        CONV_Q_MAX
        CONV_TERMS
        CONV_FEW
    void conv_expect_write(const void*) noexcept
    void conv_expect_read(const void*) noexcept
    const int* conv_nv_max
    const int* conv_kb_max
    # Pointers to numbers are to one float type.
    void conv_block(Py_ssize_t channels, Py_ssize_t vectors, Py_ssize_t terms, const void* x, const int32_t*, const void* w, Py_ssize_t,
                    const int32_t*, const int32_t*, void* out, Py_ssize_t, const int32_t*, const void* bias)
    void conv_few(Py_ssize_t terms, Py_ssize_t channels, const void* x, const int32_t*, const void* w, Py_ssize_t, const int32_t*,
                  void* out, Py_ssize_t, const int32_t*, const void* bias, Py_ssize_t)
    void dw_block(Py_ssize_t channels, Py_ssize_t slices, const int32_t*, const int32_t*, Py_ssize_t, const void* g, Py_ssize_t,
                  const void* x, const int32_t*, void* part)
    void cv_block(Py_ssize_t vectors, Py_ssize_t rows, Py_ssize_t positions, Py_ssize_t terms, const void* x, Py_ssize_t, const int32_t*,
                  const void* w, const void* start, Py_ssize_t, void* out, Py_ssize_t)
    void cv_weight_1(Py_ssize_t, const int32_t*, Py_ssize_t, const void* g, const void* x, const int32_t*, void* part)
    void cv_weight_2(Py_ssize_t, const int32_t*, Py_ssize_t, const void* g, const void* x, const int32_t*, void* part)
    void conv_turn(void* to, Py_ssize_t to_pitch, const void* values, Py_ssize_t pitch, Py_ssize_t rows, Py_ssize_t columns)
    void conv_turn_padded(void* to, Py_ssize_t to_pitch, const void* values, Py_ssize_t pitch, Py_ssize_t rows, Py_ssize_t columns)
    void conv_take(void* to, Py_ssize_t to_pitch, const void* values, Py_ssize_t pitch, Py_ssize_t rows, Py_ssize_t columns,
                   Py_ssize_t begin, Py_ssize_t end, Py_ssize_t step)
    void conv_put(void* to, Py_ssize_t to_pitch, const void* values, Py_ssize_t pitch, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t step)
    void dense(int size, void* to, Py_ssize_t, const void* source, Py_ssize_t, Py_ssize_t, const void* taps, double start, Py_ssize_t,
               Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t)
    void dense3_weight(void* sums, const void* g, Py_ssize_t, Py_ssize_t, const void* x, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                       Py_ssize_t, Py_ssize_t)
    void dense3_total(void* to, const void* sums)
    bint conv_unpack(void* to, const void* part, Py_ssize_t, Py_ssize_t)
    void conv_zero(void* to, Py_ssize_t n)
    bint conv_all_finite(const void* x, Py_ssize_t n)

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


cdef int convolve(real* to, const real* source, const real* w, const real* bias, const int64_t* ints, bint adjoint,
                  tl_finish* finish) noexcept nogil:
    # The way of one direction: `to` is the narrow side, or, of the adjoint, the wide one.
    cdef Geometry geo
    read_geometry(&geo, ints)
    if geo.batch * (wide_plane(&geo) if adjoint else narrow_plane(&geo)) == 0:
        return TL_OK
    # With four or more output channels conv_block shares each load of x among them.
    if one_by_one(&geo) and (geo.narrow if adjoint else geo.wide) == 1 and (geo.wide if adjoint else geo.narrow) < 4:
        return depthwise(to, source, w, bias, &geo, adjoint, finish)
    if real is float:
        if winograd_pays(&geo, adjoint):
            return winograd(to, source, w, bias, &geo, adjoint, finish)
        if depth_pays(&geo, adjoint):
            return winograd_depth(to, source, w, bias, &geo, adjoint, finish)
    return gather(to, source, w, bias, &geo, adjoint, finish)


cdef int weight_gradient(real* to, const real* g, const real* x, const int64_t* ints) noexcept nogil:
    cdef Geometry geo
    cdef int status
    read_geometry(&geo, ints)
    if one_by_one(&geo) and dense_window(&geo) == 3 and geo.wide == 1 and geo.narrow == 1:
        return depthwise_weight(to, g, x, &geo)
    if real is float:
        status = winograd_weight(to, g, x, &geo)
        if status != TL_NOT_TAKEN:
            return status
    return weight_by_tiles(to, g, x, &geo)


# (N,C,D,H,W) ⋆ (O,C/G,KD,KH,KW) + (O) -> (N,O,D',H',W')
cdef int produce_conv(real** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    return convolve(out[0], <const real*>inp[2], <const real*>inp[0], <const real*>inp[1], ints, False, finish)

# (N,O,D',H',W') ⋆ᵀ (O,C/G,KD,KH,KW) + (C) -> (N,C,D,H,W)
cdef int produce_conv_transpose(real** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    return adjoint(out[0], <const real*>inp[2], <const real*>inp[0], <const real*>inp[1], ints, finish)

# The same without a bias: w, g -> dx
cdef int produce_conv_grad_x(real** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    return adjoint(out[0], <const real*>inp[1], <const real*>inp[0], <const real*>NULL, ints, finish)

# g (N,O,D',H',W'), x (N,C,D,H,W) -> dw (O,C/G,KD,KH,KW)
cdef int conv_grad_w(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return weight_gradient(out[0], <const real*>inp[0], <const real*>inp[1], ints)

cdef int conv(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return produce_conv(out, inp, ints, floats, NULL)

cdef int conv_transpose(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return produce_conv_transpose(out, inp, ints, floats, NULL)

cdef int conv_grad_x(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return produce_conv_grad_x(out, inp, ints, floats, NULL)


KERNELS = {
    "conv:f32": <size_t>&conv[float], "conv:f64": <size_t>&conv[double],
    "conv_transpose:f32": <size_t>&conv_transpose[float], "conv_transpose:f64": <size_t>&conv_transpose[double],
    "_conv_grad_x:f32": <size_t>&conv_grad_x[float], "_conv_grad_x:f64": <size_t>&conv_grad_x[double],
    "_conv_grad_w:f32": <size_t>&conv_grad_w[float], "_conv_grad_w:f64": <size_t>&conv_grad_w[double],
    "conv_blocked:f32": <size_t>&conv_blocked,
    "conv_transpose_blocked:f32": <size_t>&conv_transpose_blocked,
    "_conv_grad_x_blocked:f32": <size_t>&conv_grad_x_blocked,
    "_conv_grad_w_blocked:f32": <size_t>&conv_grad_w_blocked,
}
PRODUCERS = {
    "conv:f32": <size_t>&produce_conv[float], "conv:f64": <size_t>&produce_conv[double],
    "conv_transpose:f32": <size_t>&produce_conv_transpose[float], "conv_transpose:f64": <size_t>&produce_conv_transpose[double],
    "_conv_grad_x:f32": <size_t>&produce_conv_grad_x[float], "_conv_grad_x:f64": <size_t>&produce_conv_grad_x[double],
    "conv_blocked:f32": <size_t>&produce_conv_blocked,
    "conv_transpose_blocked:f32": <size_t>&produce_conv_transpose_blocked,
    "_conv_grad_x_blocked:f32": <size_t>&produce_conv_grad_x_blocked,
}
