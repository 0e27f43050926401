# The second way to gather: lanes are output channels, over packed weights. It computes exactly the positions that exist, which pays where
# rows fill vectors badly (7, 10, 14 columns) and the sums are long.

cdef enum:
    PANEL_POSITIONS = 224   # of a strip: its results stay in the first-level cache until they are turned
    PANEL_TERMS = 256       # of packed weights that stay there while the strip passes by


# A dense convolution onto the cells first + step·j of the destination, 0 ≤ j < count along each axis.
cdef struct Pass:
    Py_ssize_t first[3]
    Py_ssize_t count[3]
    Py_ssize_t terms
    int32_t* xoff           # offset of each term in the source tile
    int32_t* woff           # and in w
    Py_ssize_t panels       # where its packed weights begin in those of the group


cdef struct GatherJob:
    void* to
    const void* source
    const void* w
    const void* bias
    tl_finish* finish       # whom finished parts of the destination are reported to, or NULL
    Geometry geo
    Source src
    bint adjoint
    bint panels             # lanes are output channels; else positions
    bint few                # positions, and the sums are short enough for conv_few
    Py_ssize_t strip        # positions worked on at a time
    bint skips              # rows leave out the kernel rows that hit nothing; terms are ordered by kernel row
    void* packed            # weights: [group][pass][panel][bias, then terms][output channel]
    Py_ssize_t packed_group
    bint direct             # the source is read in place: no padding, no stride
    Py_ssize_t in_channels, out_channels     # per group
    Py_ssize_t in_plane, out_plane
    Py_ssize_t pitch        # from channel to channel of the source tile
    Py_ssize_t ws           # from output channel to output channel of w
    Py_ssize_t step[3]      # of the destination
    Py_ssize_t size[3]      # of the destination
    Py_ssize_t counts[3]    # positions along each axis, of the largest pass
    Py_ssize_t tiles[3]
    void* shared            # copies of the boxes that several ranges read, or NULL
    Py_ssize_t ranges       # of output channels
    Py_ssize_t units, chunks
    Py_ssize_t passes
    Pass* each


cdef inline Py_ssize_t panel_count(GatherJob* job, Py_ssize_t lane_count) noexcept nogil:
    return ceil_div(job.out_channels, 2 * lane_count)


cdef inline Py_ssize_t panel_width(GatherJob* job, Py_ssize_t panel, Py_ssize_t lane_count) noexcept nogil:
    # Two vectors of output channels, or the one that is left over.
    return minimum(ceil_div(job.out_channels - 2 * panel * lane_count, lane_count), 2) * lane_count


cdef void pack_panel(real* context, Py_ssize_t index) noexcept nogil:
    # One panel of one pass and group: the row of biases, then a row of output channels for each term.
    cdef GatherJob* job = <GatherJob*>context
    cdef const real* w = <const real*>job.w
    cdef const real* bias = <const real*>job.bias
    cdef real* packed = <real*>job.packed
    cdef Py_ssize_t lane_count = TL_VECTOR_BYTES // sizeof(real), panels = panel_count(job, lane_count)
    cdef Py_ssize_t panel = index % panels, group = index // panels // job.passes
    cdef Py_ssize_t c = 2 * panel * lane_count, width = panel_width(job, panel, lane_count), left = minimum(job.out_channels - c, width)
    cdef Py_ssize_t k = 0, run, v, i, n
    cdef Pass* one = &job.each[index // panels % job.passes]
    packed += group * job.packed_group + one.panels + panel * (one.terms + 1) * 2 * lane_count
    w += group * job.geo.wide * job.geo.narrow * job.geo.cells + c * job.ws
    if left < width:
        conv_zero(packed, (one.terms + 1) * width)
    if bias == NULL:
        conv_zero(packed, width)
    else:
        for i in range(left):
            packed[i] = bias[group * job.out_channels + c + i]
    packed += width
    while k < one.terms:
        run = 1
        while run < lane_count and k + run < one.terms and one.woff[k + run] == one.woff[k] + run:
            run += 1
        for v in range(0, width // lane_count):
            n = minimum(left - v * lane_count, lane_count)
            if run == 1:
                for i in range(n):
                    packed[v * lane_count + i] = w[(v * lane_count + i) * job.ws + one.woff[k]]
            else:
                conv_turn(packed + v * lane_count, width, w + v * lane_count * job.ws + one.woff[k], job.ws, n, run)
        packed += run * width
        k += run


cdef void sum_strip(const real* src, const real* panel, real* sums, GatherJob* job, Pass* one, Py_ssize_t vectors, Py_ssize_t width,
                    Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    # sums[r, q, channel] of one panel at the positions of a strip.
    cdef Py_ssize_t most = CONV_Q_MAX if vectors == 1 else CONV_Q_MAX // 2, pitch = job.src.extent[2]
    cdef Py_ssize_t s, k, count, r, height, parts, part, q, n
    cdef bint pairs = vectors == 1 or columns <= most
    cdef const real* start
    for s in range(maximum(ceil_div(one.terms, PANEL_TERMS), 1)):
        k = s * PANEL_TERMS
        count = minimum(PANEL_TERMS, one.terms - k)
        r = 0
        while r < rows:
            height = 2 if pairs and r + 1 < rows else 1
            parts = ceil_div(columns, most if height == 2 else CONV_Q_MAX)
            for part in range(parts):
                q = columns * part // parts
                n = columns * (part + 1) // parts - q
                start = panel if k == 0 else sums + (r * columns + q) * width
                cv_block(vectors, height, n, count, src + r * pitch + q, pitch, one.xoff + k, panel + (k + 1) * width, start, k,
                         sums + (r * columns + q) * width, columns * width)
            r += height


cdef void gather_panels(const real* src, const real* packed, real* to, real* sums, GatherJob* job, Pass* one, Py_ssize_t rows,
                        Py_ssize_t columns, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    # Panels first … last − 1 at the positions of one strip; `to` is the strip's place in channel 0.
    cdef Py_ssize_t lane_count = TL_VECTOR_BYTES // sizeof(real), positions = rows * columns, panel, width, c, v, n, r, p, i
    cdef real* turned = sums + 2 * lane_count * positions
    cdef real* at
    for panel in range(first, last):
        width = panel_width(job, panel, lane_count)
        if job.step[2] == 1:
            c = 2 * panel * lane_count
            for v in range(minimum(job.out_channels - c, width)):
                for p in range(ceil_div(positions, lane_count)):
                    conv_expect_write(to + (c + v) * job.out_plane + p * lane_count)
        sum_strip(src, packed + panel * (one.terms + 1) * 2 * lane_count, sums, job, one, width // lane_count, width, rows, columns)
        for v in range(width // lane_count):
            c = (2 * panel + v) * lane_count
            n = minimum(job.out_channels - c, lane_count)
            at = to + c * job.out_plane
            if job.step[2] != 1 or job.step[1] != 1:
                for p in range(ceil_div(positions, lane_count)):
                    i = p * lane_count
                    conv_turn(turned + i, positions, sums + i * width + v * lane_count, width, minimum(positions - i, lane_count), n)
                for i in range(n):
                    conv_put(at + i * job.out_plane, job.step[1] * job.size[2], turned + i * positions, columns, rows, columns, job.step[2])
            elif columns == job.size[2]:
                for p in range(ceil_div(positions, lane_count)):
                    i = p * lane_count
                    conv_turn(at + i, job.out_plane, sums + i * width + v * lane_count, width, minimum(positions - i, lane_count), n)
            else:
                for r in range(rows):
                    for p in range(ceil_div(columns, lane_count)):
                        i = p * lane_count
                        conv_turn(at + r * job.size[2] + i, job.out_plane, sums + (r * columns + i) * width + v * lane_count, width,
                                  minimum(columns - i, lane_count), n)


cdef bint panels_pay(GatherJob* job, const Py_ssize_t* over, Py_ssize_t lane_count) noexcept nogil:
    # Compare wasted lanes: by the ends of rows of positions, against unused output channels, packing and turning.
    cdef double terms = <double>job.in_channels * job.geo.cells / job.passes
    cdef double images = <double>job.geo.batch * job.counts[0]
    cdef Py_ssize_t rows = job.counts[1], columns = job.counts[2], flat, whole
    cdef Py_ssize_t vectors = ceil_div(job.out_channels, lane_count)
    # A single vector needs a load for every multiply-add, which costs about a fifth.
    cdef double padded = (vectors + (0.2 if vectors % 2 else 0.0)) * lane_count
    cdef double by_position, by_channel
    flat = ceil_div((rows - 1) * (columns + over[2]) + columns, lane_count) * lane_count
    whole = ceil_div(columns, lane_count) * lane_count * rows
    if columns >= lane_count and whole < flat:
        flat = whole
    by_position = images * flat * job.out_channels * (terms + 4)
    by_channel = images * rows * columns * padded * (terms + 10) + 16 * terms * job.out_channels
    return by_channel < by_position
