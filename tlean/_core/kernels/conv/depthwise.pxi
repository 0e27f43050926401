# Convolutions of one channel with one, two or three outputs under a dense square window of 3, 5 or 7 cells: depthwise, mostly. Each plane
# is worked on alone, where it lies; see kernels/conv/depthwise_template.h.

cdef enum:
    DEPTHWISE_UNITS = 16        # at least, if planes have enough rows to be cut
    DEPTHWISE_GROUPS = 8        # whose weight gradients are summed together
    DEPTHWISE_REPORT = 4096     # elements that are reported at a time, about
    DEPTHWISE_BAND = 16384      # bytes of rows worked out in the first-level cache before they are streamed


cdef struct PlaneJob:
    void* to
    const void* source
    const void* other       # the weights; for their gradient x, source being g
    const void* bias
    tl_finish* finish       # whom finished parts of the destination are reported to, or NULL
    bint streams            # past the caches
    bint adjoint
    int size                # of the window
    Py_ssize_t planes       # of the destination; groups of the weight gradient
    Py_ssize_t fan          # planes of the destination for each of the source
    Py_ssize_t channels     # of the destination
    Py_ssize_t rows, columns                # of the destination, or of g
    Py_ssize_t height, width                # of the source, or of x
    Py_ssize_t top, left    # padding
    Py_ssize_t images, cuts     # cuts: parts of a plane's rows; of the images
    Py_ssize_t chunks
    void* partial           # sums of the weight gradient: [cut][group][cell]


cdef bint one_by_one(Geometry* geo) noexcept nogil:
    # Planes of two dimensions under a dense square window.
    return dense_window(geo) > 0 and geo.axis[0].kernel == 1 and geo.axis[0].wide == 1 and geo.axis[0].padding == 0


cdef void describe_planes(PlaneJob* job, Geometry* geo, bint adjoint) noexcept nogil:
    # The adjoint is the convolution of g with the window turned round, padding size − 1 − padding.
    cdef Axis* axis = geo.axis
    job.adjoint, job.size, job.images = adjoint, dense_window(geo), geo.batch
    job.fan = geo.wide if adjoint else geo.narrow
    job.channels = job.fan * geo.groups
    job.planes = job.channels * geo.batch
    if adjoint:
        job.rows, job.columns, job.height, job.width = axis[1].wide, axis[2].wide, axis[1].narrow, axis[2].narrow
        job.top, job.left = job.size - 1 - axis[1].padding, job.size - 1 - axis[2].padding
    else:
        job.rows, job.columns, job.height, job.width = axis[1].narrow, axis[2].narrow, axis[1].wide, axis[2].wide
        job.top, job.left = axis[1].padding, axis[2].padding


cdef inline void plane_rows(PlaneJob* job, Py_ssize_t plane, real* to, const real* source, const real* taps, real start, Py_ssize_t first,
                            Py_ssize_t last, Py_ssize_t next) noexcept nogil:
    # Rows first … last − 1 of one plane; `to` is where its row 0 goes.
    cdef Py_ssize_t ahead = job.height * job.width if job.fan == 1 else 0
    dense(job.size, to, job.columns, source + plane // job.fan * job.height * job.width, job.height, job.width, taps, start,
          job.top, job.left, first, last, ahead, next)


cdef void plane_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    # Units are parts of planes, in order; a chunk's are neighbours, so what it finishes is one range.
    cdef PlaneJob* job = <PlaneJob*>context
    cdef real* to = <real*>job.to
    cdef const real* source = <const real*>job.source
    cdef const real* w = <const real*>job.other
    cdef const real* bias = <const real*>job.bias
    cdef Py_ssize_t begin = job.planes * job.cuts * chunk // job.chunks, end = job.planes * job.cuts * (chunk + 1) // job.chunks
    cdef Py_ssize_t unit, plane, channel, first, last, t, cells = job.size * job.size, done, area = job.rows * job.columns
    cdef Py_ssize_t reported = (begin // job.cuts * job.rows + job.rows * (begin % job.cuts) // job.cuts) * job.columns
    cdef Py_ssize_t most = maximum(DEPTHWISE_BAND // (job.columns * <Py_ssize_t>sizeof(real)), 1), band
    cdef real* block = NULL
    cdef real taps[49]
    cdef real start
    if job.streams:
        block = <real*>scratch(TL_SLOT_CONV_SOURCE, <size_t>(most * job.columns * sizeof(real)))
    for unit in range(begin, end):
        plane = unit // job.cuts
        channel = plane % job.channels
        first = job.rows * (unit - plane * job.cuts) // job.cuts
        last = job.rows * (unit - plane * job.cuts + 1) // job.cuts
        for t in range(cells):
            taps[t] = w[channel * cells + (cells - 1 - t if job.adjoint else t)]
        start = bias[channel] if bias != NULL else 0
        if block == NULL:
            plane_rows(job, plane, to + plane * area, source, taps, start, first, last, area)
        else:
            while first < last:
                band = minimum(most, last - first)
                plane_rows(job, plane, block - first * job.columns, source, taps, start, first, first + band, 0)
                tl_stream(to + plane * area + first * job.columns, block, band * job.columns * <int64_t>sizeof(real))
                first += band
        done = (plane * job.rows + last) * job.columns
        if done - reported >= DEPTHWISE_REPORT or unit + 1 == end:
            tl_finished(job.finish, reported, done)
            reported = done
    if block != NULL:
        tl_stream_end()


cdef int depthwise(real* to, const real* source, const real* w, const real* bias, Geometry* geo, bint adjoint,
                   tl_finish* finish) noexcept nogil:
    cdef PlaneJob job
    cdef double work
    describe_planes(&job, geo, adjoint)
    job.to, job.source, job.other, job.bias, job.finish = to, source, w, bias, finish
    job.cuts = maximum(minimum(ceil_div(DEPTHWISE_UNITS, job.planes), job.rows // 16), 1)
    job.chunks = minimum(job.planes * job.cuts, 64)
    # What an epilogue reads next stays in the caches.
    job.streams = finish == NULL and tl_streams(job.planes * (job.rows * job.columns + job.height * job.width // job.fan) * sizeof(real))
    work = 1.0 * job.planes * job.rows * (job.columns + 16) * job.size * job.size / (TL_VECTOR_BYTES // sizeof(real)) / 5
    parallel_for(<chunk_fn>plane_chunk[real], &job, job.chunks, work)
    return TL_OK


cdef void plane_weight_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    # A few groups over some of the images: planes that are neighbours in memory one after another, each group with its sums.
    cdef PlaneJob* job = <PlaneJob*>context
    cdef const real* g = <const real*>job.source
    cdef const real* x = <const real*>job.other
    cdef real* partial = <real*>job.partial
    cdef Py_ssize_t ranges = ceil_div(job.planes, DEPTHWISE_GROUPS), cut = chunk // ranges, n, k, plane, next_plane
    cdef Py_ssize_t first = chunk % ranges * DEPTHWISE_GROUPS, count = minimum(DEPTHWISE_GROUPS, job.planes - first)
    cdef Py_ssize_t g_plane = job.rows * job.columns, x_plane = job.height * job.width, size = 9 * TL_VECTOR_BYTES // sizeof(real)
    cdef char room[DEPTHWISE_GROUPS * 9 * TL_VECTOR_BYTES + 64]
    cdef real* sums = <real*>(<size_t>(room + 63) // 64 * 64)
    conv_zero(sums, count * size)
    for n in range(job.images * cut // job.cuts, job.images * (cut + 1) // job.cuts):
        for k in range(count):
            plane = n * job.planes + first + k
            next_plane = 1 if k + 1 < count else job.planes + 1 - count
            dense3_weight(sums + k * size, g + plane * g_plane, job.rows, job.columns, x + plane * x_plane, job.height, job.width,
                          job.top, job.left, next_plane * g_plane, next_plane * x_plane)
    for k in range(count):
        dense3_total(partial + (cut * job.planes + first + k) * 9, sums + k * size)


cdef int depthwise_weight(real* to, const real* g, const real* x, Geometry* geo) noexcept nogil:
    # dw of one output for each input under a 3 x 3 window: 9 sums over planes.
    cdef PlaneJob job
    cdef Py_ssize_t k, cut, ranges = ceil_div(geo.groups, DEPTHWISE_GROUPS)
    cdef real* partial
    cdef double work
    describe_planes(&job, geo, False)
    job.source, job.other, job.planes = g, x, geo.groups
    job.cuts = maximum(minimum(ceil_div(DEPTHWISE_UNITS, ranges), job.images), 1)
    partial = <real*>scratch(TL_SLOT_CONV_SHARED, <size_t>(job.cuts * job.planes * 9 * sizeof(real)))
    if partial == NULL:
        return TL_NO_MEMORY
    job.partial = partial
    work = 9.0 * job.images * job.planes * job.rows * (job.columns + 16) / (TL_VECTOR_BYTES // sizeof(real)) / 5
    parallel_for(<chunk_fn>plane_weight_chunk[real], &job, job.cuts * ranges, work)
    for k in range(job.planes * 9):
        to[k] = partial[k]
        for cut in range(1, job.cuts):
            to[k] += partial[cut * job.planes * 9 + k]
        # Beside the image g counts as zero, against some x; where that x is not finite the sum is spoilt and is taken again.
        if to[k] != to[k]:
            to[k] = exact_entry(geo, g, x, k // 9, k // 9, k % 9)
    return TL_OK
