# Convolutions by Winograd whose arrays have their channels in blocks: (N, C, H, W) as (N, C / lanes, H, W, lanes). Plans use them for
# values that nothing else reads. The ints of the plain kernels are followed by which arrays are so (`blocked_params`).

cdef enum:
    BLOCKED_TO = 1              # of the weight gradient: g
    BLOCKED_SOURCE = 2          # of the weight gradient: x


cdef int blocked(float* to, const float* source, const float* w, const float* bias, const int64_t* ints, bint adjoint,
                 tl_finish* finish) noexcept nogil:
    cdef Geometry geo
    read_geometry(&geo, ints)
    return winograd(to, source, w, bias, &geo, adjoint, finish, ints[INT_BLOCKED] & BLOCKED_TO != 0,
                    ints[INT_BLOCKED] & BLOCKED_SOURCE != 0)


cdef const float* in_planes(int slot, const float* values, Py_ssize_t blocks, Py_ssize_t plane) noexcept nogil:
    # A plain copy, or NULL.
    cdef Py_ssize_t lane_count = TL_LANES_f32, k
    cdef float* copy = <float*>scratch(slot, <size_t>(blocks * plane * lane_count * 4))
    if copy != NULL:
        for k in range(blocks):
            wino_plain(copy + k * plane * lane_count, plane, values + k * plane * lane_count, plane, lane_count)
    return copy


cdef int conv_grad_w_blocked(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Geometry geo
    cdef Py_ssize_t lane_count = TL_LANES_f32
    cdef const float* g = <const float*>inp[0]
    cdef const float* x = <const float*>inp[1]
    cdef int status
    read_geometry(&geo, ints)
    status = winograd_weight(<float*>out[0], g, x, &geo, ints[INT_BLOCKED] & BLOCKED_TO != 0, ints[INT_BLOCKED] & BLOCKED_SOURCE != 0)
    if status != TL_NOT_TAKEN:
        return status
    # The definition reads planes.
    if ints[INT_BLOCKED] & BLOCKED_TO:
        g = in_planes(TL_SLOT_CONV_PLANES_G, g, geo.batch * geo.groups * geo.narrow // lane_count, narrow_plane(&geo))
    if ints[INT_BLOCKED] & BLOCKED_SOURCE:
        x = in_planes(TL_SLOT_CONV_PLANES_X, x, geo.batch * geo.groups * geo.wide // lane_count, wide_plane(&geo))
    if g == NULL or x == NULL:
        return TL_NO_MEMORY
    return weight_by_tiles(<float*>out[0], g, x, &geo)


cdef int conv_blocked(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return blocked(<float*>out[0], <const float*>inp[2], <const float*>inp[0], <const float*>inp[1], ints, False, NULL)

cdef int conv_transpose_blocked(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adjoint_blocked(<float*>out[0], <const float*>inp[2], <const float*>inp[0], <const float*>inp[1], ints, NULL)

cdef int conv_grad_x_blocked(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adjoint_blocked(<float*>out[0], <const float*>inp[1], <const float*>inp[0], NULL, ints, NULL)

cdef int produce_conv_blocked(void** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    return blocked(<float*>out[0], <const float*>inp[2], <const float*>inp[0], <const float*>inp[1], ints, False, finish)

cdef int produce_conv_transpose_blocked(void** out, void** inp, const int64_t* ints, const double* floats,
                                        tl_finish* finish) noexcept nogil:
    return adjoint_blocked(<float*>out[0], <const float*>inp[2], <const float*>inp[0], <const float*>inp[1], ints, finish)

cdef int produce_conv_grad_x_blocked(void** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    return adjoint_blocked(<float*>out[0], <const float*>inp[1], <const float*>inp[0], NULL, ints, finish)


# Channels of a block.
LANES = TL_LANES_f32


def blocked_planes(ints, bint adjoint):
    """Which arrays of a convolution with these ints can be in blocks: positions of a plane on the wide and on the narrow side, or 0.

    Args:
        adjoint: whether it computes the wide side.
    """
    cdef int64_t[INT_COUNT] numbers = ints
    cdef Geometry geo
    read_geometry(&geo, numbers)
    if not winograd_pays(&geo, adjoint):
        return 0, 0
    return (wide_plane(&geo) if geo.wide % LANES == 0 else 0), (narrow_plane(&geo) if geo.narrow % LANES == 0 else 0)


def blocked_params(ints, bint to, bint source):
    """The ints of the kernel for blocks, given those of the plain one and which arrays are in blocks (of the weight gradient: g and x)."""
    return (*ints, BLOCKED_TO * to + BLOCKED_SOURCE * source)
