# Numbers of mixed size: which tiles and filters the definition computes, and how; see kernels/conv/winograd_range.h.
#
#   marks [tile row][whether any tile of it is marked, then one for each]     uneven [vector][output channel, then whether any]

cdef extern from "kernels/conv/winograd_range.h" nogil:
    enum:
        WINO_OB
        WINO_PATCH
    ctypedef struct wino_planes:
        const float* slab[3]
        Py_ssize_t slabs, channels, channel_step, height, width
        bint blocked
    ctypedef struct wino_extent:
        float low, high
    void wino_energies(float*, float*, const wino_planes*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    void wino_energies_exactly(double*, const wino_planes*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    wino_extent wino_extent_of(const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    wino_extent wino_extent_of_blocks(const float*, Py_ssize_t, Py_ssize_t) noexcept
    void wino_line(float*, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    bint wino_surely_even(float, float) noexcept
    bint wino_mark(unsigned char*, const float*, Py_ssize_t, const wino_planes*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    bint wino_filters(unsigned char*, const float*, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    bint wino_filters_are_even(const float*, Py_ssize_t, Py_ssize_t) noexcept
    void wino_patch(float*, const wino_planes*, Py_ssize_t, Py_ssize_t) noexcept
    void wino_direct(float*, const float*, Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, bint, const float*,
                     Py_ssize_t) noexcept
    void wino_pair_sums(double*, float*, float*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept
    int wino_pair_is_even(const double*, double) noexcept


cdef inline void wino_image(WinoJob* job, Py_ssize_t image, Py_ssize_t group, wino_planes* x) noexcept nogil:
    # The channels of the source that a group reads.
    x.channel_step = job.in_size[0] * job.in_size[1]
    x.slab[0] = job.source + (image * job.groups + group) * job.in_channels * x.channel_step
    x.slabs, x.channels, x.height, x.width, x.blocked = 1, job.in_channels, job.in_size[0], job.in_size[1], job.source_blocked


cdef inline Py_ssize_t wino_repair_room(WinoJob* job, Py_ssize_t rows) noexcept nogil:
    # Elements of the temporary: the energies of so many tile rows and a line, or a tile's places and results.
    cdef Py_ssize_t columns = 4 * ceil_div(job.columns, job.cuts) + 2
    return maximum(wino_map(rows, wino_pitch(columns - 2)) + (4 * wino_run(job) + 2) * columns + TL_LANES_f32,
                   job.in_channels * WINO_PATCH + 16 * WINO_OB)


cdef inline Py_ssize_t wino_marks_of(Band* band) noexcept nogil:
    return (band.last - band.first) * (band.right - band.left + 1)


cdef void wino_measure(WinoJob* job, Band* band, Py_ssize_t group, float* e) noexcept nogil:
    # The energies of a band, all channels, where wino_read does not find them.
    cdef Py_ssize_t columns = minimum(4 * (band.right - band.left), job.out_size[1] - 4 * band.left) + 2, pitch = wino_band_pitch(job, band)
    cdef Py_ssize_t row = band.first, n
    cdef wino_planes x
    while row < band.last:
        n = wino_together(job, row, band.last)
        wino_image(job, row // job.rows, group, &x)
        wino_energies(e + wino_map(row - band.first, pitch), e + wino_map(band.last - band.first, pitch), &x,
                      4 * (row % job.rows) - job.pad[0], 4 * band.left - job.pad[1], 4 * n + 2, columns, pitch)
        row += n


cdef void wino_mark_band(WinoJob* job, Band* band, Py_ssize_t group, unsigned char* marks, const float* e) noexcept nogil:
    cdef Py_ssize_t wide = band.right - band.left, columns = minimum(4 * wide, job.out_size[1] - 4 * band.left)
    cdef Py_ssize_t pitch = wino_band_pitch(job, band), row = band.first, left = 4 * band.left - job.pad[1], at, n, r
    cdef const float* map
    cdef wino_planes x
    cdef wino_extent extent
    while row < band.last:
        at = row % job.rows
        n = wino_together(job, row, band.last)
        map = e + wino_map(row - band.first, pitch)
        extent = wino_extent_of(map, pitch, minimum(4 * n, job.out_size[0] - 4 * at), columns)
        if wino_surely_even(extent.low, extent.high):
            memset(marks, 0, <size_t>(n * (wide + 1)))
            marks += n * (wide + 1)
        else:
            wino_image(job, row // job.rows, group, &x)
            for r in range(n):
                marks[0] = wino_mark(marks + 1, map + 4 * r * pitch, pitch, &x, 4 * (at + r) - job.pad[0], left,
                                     minimum(job.out_size[0] - 4 * (at + r), 4), columns)
                marks += wide + 1
        row += n


cdef void wino_judge(WinoJob* job, Py_ssize_t group, Py_ssize_t panel, const float* taps, unsigned char* uneven) noexcept nogil:
    # The output channels of a panel, by the energies of their taps.
    cdef Py_ssize_t lane_count = TL_LANES_f32, v, o
    for v in range(panel_lanes(job.out_channels, panel) // lane_count):
        o = (2 * panel + v) * lane_count
        uneven[lane_count] = wino_filters(uneven, taps + v * 9 * lane_count,
                                          job.w + group * job.in_channels * job.out_channels * 9 + o * job.lane_step, job.lane_step,
                                          job.term_step, job.in_channels, minimum(job.out_channels - o, lane_count))
        uneven += lane_count + 1


cdef void wino_repair(WinoJob* job, Py_ssize_t image, Py_ssize_t group, Py_ssize_t o, Py_ssize_t top, Band* band,
                      const unsigned char* marks, const unsigned char* uneven, const float* bias, float* rows, Py_ssize_t columns,
                      Py_ssize_t height, float* room) noexcept nogil:
    # The marked tiles of a tile row, and in all of them the uneven ones of a vector of output channels, by the definition.
    cdef Py_ssize_t lane_count = TL_LANES_f32, n = minimum(job.out_channels - o, lane_count), t, at, some, k, r, q
    cdef bint asked
    cdef float* results = room + job.in_channels * WINO_PATCH
    cdef const float* w = job.w + group * job.in_channels * job.out_channels * 9 + o * job.lane_step
    cdef wino_planes x
    wino_image(job, image, group, &x)
    for t in range(band.right - band.left):
        if not marks[1 + t] and not uneven[lane_count]:
            continue
        wino_patch(room, &x, top - job.pad[0], 4 * (band.left + t) - job.pad[1])
        at = 0
        while at < n:
            some = minimum(n - at, WINO_OB)
            asked = marks[1 + t]
            for k in range(some):
                asked |= uneven[at + k]
            if asked:
                wino_direct(results, room, job.in_channels, 1, w + at * job.lane_step, job.lane_step, job.term_step, 0, job.adjoint,
                            bias + at, some)
            for k in range(some):
                if not marks[1 + t] and not uneven[at + k]:
                    continue
                for r in range(height):
                    for q in range(minimum(columns - 4 * t, 4)):
                        rows[(r * columns + 4 * t + q) * lane_count + at + k] = results[16 * k + 4 * r + q]
            at += some


# The weight gradient's test in double, image by image.
cdef struct PairJob:
    WinoJob* x
    WinoJob* g
    double* sums            # [image, group][10]
    int status


cdef void pair_map(WinoJob* job, Py_ssize_t index, Py_ssize_t top, Py_ssize_t left, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t pitch,
                   double* exact, float* e) noexcept nogil:
    # The energies of one image and group.
    cdef wino_planes x
    cdef Py_ssize_t i, j
    wino_image(job, index // job.groups, index % job.groups, &x)
    wino_energies_exactly(exact, &x, top, left, rows, columns)
    for i in range(rows):
        conv_zero(e + i * pitch, pitch)
        for j in range(columns):
            e[i * pitch + j] = <float>exact[i * columns + j]


cdef void pair_chunk(void* context, Py_ssize_t index) noexcept nogil:
    cdef PairJob* job = <PairJob*>context
    cdef Py_ssize_t rows = 4 * job.x.rows, columns = 4 * job.x.columns, pitch = wino_pitch(columns), k
    cdef Py_ssize_t map = odd_step((rows + 2) * pitch + TL_LANES_f32)
    cdef float* e = <float*>scratch(TL_SLOT_CONV_MAP, <size_t>(2 * map * 4 + (rows + 2) * (columns + 2) * 8))
    if e == NULL:
        job.status = TL_NO_MEMORY
        return
    pair_map(job.x, index, -job.x.pad[0], -job.x.pad[1], rows + 2, columns + 2, pitch, <double*>(e + 2 * map), e)
    pair_map(job.g, index, 0, 0, rows, columns, pitch, <double*>(e + 2 * map), e + map)
    for k in range(10):
        job.sums[10 * index + k] = 0
    wino_pair_sums(job.sums + 10 * index, e, e + map, pitch, job.x.out_size[0], job.x.out_size[1])


cdef int pairs_exactly(WinoJob* x, WinoJob* g) noexcept nogil:
    # TL_OK; or TL_NOT_TAKEN, where large numbers of one meet zeros of the other.
    cdef PairJob job
    cdef Py_ssize_t image, group, k
    cdef double total[10]
    job.x, job.g, job.status = x, g, TL_OK
    job.sums = <double*>scratch(TL_SLOT_CONV_ENERGIES, <size_t>(x.images * x.groups * 80))
    if job.sums == NULL:
        return TL_NO_MEMORY
    parallel_for(pair_chunk, &job, x.images * x.groups, 16.0 * x.images * x.groups * (x.in_channels + g.in_channels) * x.rows * x.columns)
    for group in range(x.groups):
        for k in range(10):
            total[k] = 0
        for image in range(x.images):
            for k in range(10):
                total[k] += job.sums[10 * (image * x.groups + group) + k]
        if wino_pair_is_even(total, 0) != 1 and job.status == TL_OK:
            job.status = TL_NOT_TAKEN
    return job.status
