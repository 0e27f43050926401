# Geometry of one call, and zero-padded, de-interleaved copies of boxes of its source.

# Bytes of a source tile: it stays in the second-level cache while every output channel reads it.
cdef enum:
    TILE_BYTES = 262144


cdef struct Axis:
    Py_ssize_t wide         # size of the axis on the side of x
    Py_ssize_t narrow       # and on the side of the output
    Py_ssize_t kernel
    Py_ssize_t stride
    Py_ssize_t padding
    Py_ssize_t dilation
    Py_ssize_t period       # t·dilation mod stride takes the values of t = 0 … period − 1, then again


cdef struct Geometry:
    Py_ssize_t batch
    Py_ssize_t wide         # channels of x per group
    Py_ssize_t narrow       # channels of the output per group
    Py_ssize_t groups
    Py_ssize_t cells        # of the kernel
    Axis axis[3]


# A tile of the source, along each axis: element i of plane r is the source's element (origin + i)·step + r + base, zero if outside,
# for origin the tile's place in units of positions; planes follow the residues r that kernel cells need. Of a `shifted` source the last
# axis has a plane for every kernel cell, as wide as the tile's positions: a row's end is next to the next row's beginning for every cell,
# and vectors of positions run on from row to row with none wasted.
cdef struct Source:
    Py_ssize_t size[3]
    Py_ssize_t step[3]
    Py_ssize_t base[3]
    Py_ssize_t planes[3]
    Py_ssize_t dilation[3]
    Py_ssize_t tile[3]      # positions that a tile serves
    Py_ssize_t extent[3]    # of a plane: positions, and what kernel cells reach beyond
    bint shifted
    Py_ssize_t box          # elements of all planes of one channel


cdef inline Py_ssize_t minimum(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t maximum(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    # For b > 0 and any a.
    return (a + b - 1) // b if a > 0 else -((-a) // b)


cdef inline Py_ssize_t shared_factor(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    while b:
        a, b = b, a % b
    return a


cdef inline Py_ssize_t odd_lines(Py_ssize_t elements, Py_ssize_t lane_count) noexcept nogil:
    # A pitch of an odd number of vectors: planes at this pitch spread over the sets of the first-level cache.
    return (ceil_div(elements, lane_count) | 1) * lane_count


# The ints of every kernel, as `_params` of tlean/ops/conv.py lists them; of an axis property one for each of three axes.
cdef enum:
    INT_BATCH = 0
    INT_WIDE_CHANNELS = 1
    INT_NARROW_CHANNELS = 2
    INT_GROUPS = 3
    INT_WIDE = 4
    INT_NARROW = 7
    INT_KERNEL = 10
    INT_STRIDE = 13
    INT_PADDING = 16
    INT_DILATION = 19
    INT_COUNT = 22
    INT_BLOCKED = 22            # of kernels for blocks alone: BLOCKED_TO + BLOCKED_SOURCE


cdef void read_geometry(Geometry* geo, const int64_t* ints) noexcept nogil:
    cdef int a
    cdef Axis* axis
    geo.batch = ints[INT_BATCH]
    geo.groups = ints[INT_GROUPS]
    geo.wide = ints[INT_WIDE_CHANNELS] // geo.groups
    geo.narrow = ints[INT_NARROW_CHANNELS] // geo.groups
    geo.cells = 1
    for a in range(3):
        axis = &geo.axis[a]
        axis.wide, axis.narrow, axis.kernel = ints[INT_WIDE + a], ints[INT_NARROW + a], ints[INT_KERNEL + a]
        axis.stride, axis.padding, axis.dilation = ints[INT_STRIDE + a], ints[INT_PADDING + a], ints[INT_DILATION + a]
        axis.period = axis.stride // shared_factor(axis.stride, axis.dilation)
        geo.cells *= axis.kernel


cdef Py_ssize_t wide_plane(Geometry* geo) noexcept nogil:
    return geo.axis[0].wide * geo.axis[1].wide * geo.axis[2].wide


cdef Py_ssize_t narrow_plane(Geometry* geo) noexcept nogil:
    return geo.axis[0].narrow * geo.axis[1].narrow * geo.axis[2].narrow


cdef void source_of_wide(Source* src, Geometry* geo) noexcept nogil:
    # x as the forward convolution and the weight gradient read it; the tile is not chosen yet.
    cdef int a
    cdef Axis* axis
    for a in range(3):
        axis = &geo.axis[a]
        src.size[a] = axis.wide
        src.step[a] = axis.stride
        src.base[a] = -axis.padding
        src.planes[a] = minimum(axis.kernel, axis.period)
        src.dilation[a] = axis.dilation
    src.shifted = False


cdef void shift(Source* src, Geometry* geo, Py_ssize_t* over) noexcept nogil:
    # Stride 1 along the last axis.
    src.shifted, src.planes[2], over[2] = True, geo.axis[2].kernel, 0


cdef inline Py_ssize_t reach(Axis* axis) noexcept nogil:
    # How far beyond its own position a window of x reaches inside a plane.
    return (axis.kernel - 1) * axis.dilation // axis.stride


cdef void set_tile(Source* src, const Py_ssize_t* over) noexcept nogil:
    # The extents that follow from the tile; `over` is the reach along each axis.
    cdef int a
    src.box = 1
    for a in range(3):
        src.extent[a] = src.tile[a] + over[a]
        src.box *= src.extent[a] * src.planes[a]


cdef inline Py_ssize_t even_tile(Py_ssize_t size, Py_ssize_t tile) noexcept nogil:
    # At most `tile`, with the last tile about as large as the others.
    return ceil_div(size, ceil_div(size, tile))


cdef void shrink_tile(Source* src, const Py_ssize_t* counts, const Py_ssize_t* over, Py_ssize_t limit) noexcept nogil:
    # Cut the first axis that has more than one position in two until a channel's box has at most `limit` elements.
    cdef Py_ssize_t least
    cdef int a
    set_tile(src, over)
    while src.box > limit:
        for a in range(3):
            least = 64 if a == 2 else 1
            if src.tile[a] > least:
                src.tile[a] = even_tile(counts[a], maximum(least, (src.tile[a] + 1) // 2))
                break
        else:
            return
        set_tile(src, over)


cdef inline void split(Py_ssize_t* place, Py_ssize_t index, Py_ssize_t n1, Py_ssize_t n2) noexcept nogil:
    # Row-major: index = (place[0]·n1 + place[1])·n2 + place[2].
    place[2] = index % n2
    place[1] = index // n2 % n1
    place[0] = index // n2 // n1


cdef inline int dense_window(Geometry* geo) noexcept nogil:
    # The size of a square window that the depthwise kernels take (3, 5, 7; stride and dilation 1), else 0.
    cdef Py_ssize_t size = geo.axis[2].kernel
    cdef int a
    if geo.cells != size * size or geo.axis[1].kernel != size or size < 3 or size > 7 or size % 2 == 0:
        return 0
    for a in range(3):
        if geo.axis[a].stride != 1 or geo.axis[a].dilation != 1 and geo.axis[a].kernel > 1:
            return 0
    return <int>size


cdef inline Py_ssize_t cell_offset(Source* src, Axis* axes, Py_ssize_t index) noexcept nogil:
    # Where, in a channel's box of x, the kernel cell of the position at the tile's origin lies.
    cdef Py_ssize_t plane = 0, place = 0
    cdef Py_ssize_t cell[3]
    cdef int a
    split(cell, index, axes[1].kernel, axes[2].kernel)
    for a in range(3):
        if src.shifted and a == 2:
            plane = plane * src.planes[2] + cell[2]
            place *= src.extent[2]
            break
        plane = plane * src.planes[a] + cell[a] % axes[a].period
        place = place * src.extent[a] + cell[a] * axes[a].dilation // axes[a].stride
    return plane * src.extent[0] * src.extent[1] * src.extent[2] + place


cdef inline void inside(Py_ssize_t shift, Py_ssize_t step, Py_ssize_t size, Py_ssize_t extent, Py_ssize_t* begin,
                        Py_ssize_t* end) noexcept nogil:
    # The elements i of a plane's axis, begin <= i < end, for which i·step + shift is inside the source.
    begin[0] = minimum(maximum(ceil_div(-shift, step) if step != 1 else -shift, 0), extent)
    end[0] = maximum(minimum(ceil_div(size - shift, step) if step != 1 else size - shift, extent), begin[0])


cdef void copy_box(real* to, const real* channel, Source* src, const Py_ssize_t* origin) noexcept nogil:
    # Fill one channel's planes.
    cdef Py_ssize_t r0, r1, r2, i0, shift0, shift1, shift2, row, column, begin0, end0, begin1, end1
    cdef Py_ssize_t rows = src.extent[1], columns = src.extent[2]
    for r0 in range(src.planes[0]):
        shift0 = origin[0] * src.step[0] + src.base[0] + (r0 * src.dilation[0] % src.step[0] if r0 else 0)
        inside(shift0, src.step[0], src.size[0], src.extent[0], &begin0, &end0)
        for r1 in range(src.planes[1]):
            shift1 = origin[1] * src.step[1] + src.base[1] + (r1 * src.dilation[1] % src.step[1] if r1 else 0)
            inside(shift1, src.step[1], src.size[1], rows, &begin1, &end1)
            for r2 in range(src.planes[2]):
                shift2 = r2 * src.dilation[2] if src.shifted or r2 == 0 else r2 * src.dilation[2] % src.step[2]
                shift2 += origin[2] * src.step[2] + src.base[2]
                inside(shift2, src.step[2], src.size[2], columns, &row, &column)
                conv_zero(to, begin0 * rows * columns)
                for i0 in range(begin0, end0):
                    conv_zero(to + i0 * rows * columns, begin1 * columns)
                    conv_take(
                        to + (i0 * rows + begin1) * columns, columns,
                        channel + ((i0 * src.step[0] + shift0) * src.size[1] + begin1 * src.step[1] + shift1) * src.size[2]
                        + row * src.step[2] + shift2,
                        src.step[1] * src.size[2], end1 - begin1, columns, row, column, src.step[2])
                    conv_zero(to + (i0 * rows + end1) * columns, (rows - end1) * columns)
                conv_zero(to + end0 * rows * columns, (src.extent[0] - end0) * rows * columns)
                to += src.extent[0] * rows * columns
