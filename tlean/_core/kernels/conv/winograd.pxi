# Winograd's way for 3 x 3 windows at stride 1 in float, with enough channels: a quarter of the multiplications; see winograd.h.
# Tiles of 4 x 4 outputs are transformed, multiplied point by point over the channels (36 matrix products), and transformed back.
#
#   source v [block of channels][point][tile][channel]   weights u [panel][point][channel][2 vectors of output channels]
#   sums m [point][tile][2 vectors]
#
# Source and destination may have their channels in blocks, as vectors hold them: (N, C, H, W) as (N, C / lanes, H, W, lanes), which takes
# no turning.
#
# Tiles are counted by rows of tiles, image after image. Two orders of work: where the transformed weights fit the caches they are made once
# and bands of tiles pass by one after another; else the tiles of several images are made once and the weights pass by.

cdef enum:
    WINO_BAND_BYTES = 393216        # of transformed tiles that stay in the second-level cache
    WINO_BOX_BYTES = 57344          # of the source, channels as lanes
    WINO_WEIGHT_BYTES = 3145728     # of transformed weights that are made once
    WINO_TILES = 64                 # made at once where weights pass by
    WINO_CHANNELS = 256             # of a block there: their weights are made at once
    WINO_CELLS = 32                 # kernels that are turned at once
    WINO_DIRECT = 6                 # tiles in a row: with so many, those inside the image are read from blocks in place


cdef struct WinoJob:
    const float* source
    const float* w
    const float* bias
    float* to
    tl_finish* finish               # whom finished parts of the destination are reported to, or NULL
    bint adjoint
    bint source_blocked, to_blocked         # channels in blocks, whole vectors
    Py_ssize_t images, groups
    Py_ssize_t in_channels, out_channels    # per group
    Py_ssize_t in_size[2]
    Py_ssize_t out_size[2]
    Py_ssize_t pad[2]
    Py_ssize_t rows, columns        # tiles of an image
    Py_ssize_t lane_step            # of w, from output channel to output channel
    Py_ssize_t term_step            # and from input channel to input channel
    Py_ssize_t panels               # of output channels, per group
    Py_ssize_t vectors              # of input channels, per group
    Py_ssize_t block, blocks        # of input channels: the size, whole vectors, and how many
    Py_ssize_t band, cuts           # tile rows of a unit; parts of a tile row
    Py_ssize_t first, last          # tile rows that are in v
    float* u
    float* v
    unsigned char* marks            # of the tiles in v
    unsigned char* uneven           # [group, panel], where all weights are made once
    int status


# What of the tiles is worked on: rows first … last − 1 of all images, columns left … right − 1.
cdef struct Band:
    Py_ssize_t first, last, left, right


cdef inline Py_ssize_t tiles_of(Band* band) noexcept nogil:
    return (band.last - band.first) * (band.right - band.left)


cdef inline Py_ssize_t odd_step(Py_ssize_t elements) noexcept nogil:
    # From point to point: an odd number of lines, so that the 36 points of a tile spread over the sets of the caches.
    return (ceil_div(elements, 16) | 1) * 16


cdef Py_ssize_t wino_room(WinoJob* job, Py_ssize_t lane_count) noexcept nogil:
    # Elements of the temporary: a box of the source, or rows of results and then the cells of some kernels.
    cdef Py_ssize_t wide = ceil_div(job.columns, job.cuts)
    return maximum(maximum(WINO_BOX_BYTES // 4, 6 * (4 * wide + 2) * lane_count), (16 * wide + 9 * WINO_CELLS) * lane_count)


cdef inline Py_ssize_t wino_run(WinoJob* job) noexcept nogil:
    # Tile rows that are read at once, as many as a box holds: the rows of the source that two of them share are turned once.
    cdef Py_ssize_t columns = 4 * ceil_div(job.columns, job.cuts) + 2
    return maximum((WINO_BOX_BYTES // (TL_VECTOR_BYTES * columns) - 2) // 4, 1)


cdef inline Py_ssize_t wino_band_pitch(WinoJob* job, Band* band) noexcept nogil:
    # Of the energies of a band.
    return wino_pitch(minimum(4 * (band.right - band.left), job.out_size[1] - 4 * band.left))


cdef inline Py_ssize_t wino_map(Py_ssize_t rows, Py_ssize_t pitch) noexcept nogil:
    # Elements of the energies of so many tile rows: each has room for 6 rows of places and for a vector behind them.
    return rows * (6 * pitch + TL_LANES_f32)


cdef inline Py_ssize_t wino_together(WinoJob* job, Py_ssize_t row, Py_ssize_t last) noexcept nogil:
    # How many tile rows from `row` on are read at once: of one image.
    return minimum(minimum(job.rows - row % job.rows, last - row), wino_run(job))


cdef void wino_read(WinoJob* job, Band* band, Py_ssize_t group, Py_ssize_t vector, float* v, Py_ssize_t step, float* box, float* e,
                    bint add) noexcept nogil:
    # The transforms of a band for one vector of channels; and the energies of what is read, if e is not NULL. Those of the first row
    # read at once have their place in the map, those of the next ones four rows of places after those of the one before.
    cdef Py_ssize_t lane_count = TL_LANES_f32, c = vector * lane_count, row = band.first, image, at, n, r
    cdef Py_ssize_t wide = band.right - band.left, columns = 4 * wide + 2
    cdef Py_ssize_t pitch = wino_band_pitch(job, band)
    cdef float* at_e = NULL
    cdef const float* plane
    v += c // job.block * 36 * step + c % job.block
    while row < band.last:
        image = row // job.rows
        at = row - image * job.rows
        n = wino_together(job, row, band.last)
        if e != NULL:
            at_e = e + wino_map(row - band.first, pitch)
        plane = job.source + ((image * job.groups + group) * job.in_channels + c) * job.in_size[0] * job.in_size[1]
        if job.source_blocked and wide >= WINO_DIRECT:
            for r in range(n):
                wino_blocked_source(v + (row - band.first + r) * wide * job.block, step, job.block, wide, box, plane, job.in_size[0],
                                    job.in_size[1], 4 * (at + r) - job.pad[0], 4 * band.left - job.pad[1],
                                    NULL if e == NULL else at_e + 4 * r * pitch, pitch, 2 if r else 0, add)
            row += n
            continue
        wino_box(box, 4 * n + 2, columns, plane, minimum(job.in_channels - c, lane_count), job.in_size[0], job.in_size[1],
                 4 * at - job.pad[0], 4 * band.left - job.pad[1], job.source_blocked, at_e, pitch, add)
        for r in range(n):
            wino_source(v + (row - band.first + r) * wide * job.block, step, job.block, box + 4 * r * columns * lane_count,
                        columns * lane_count, wide)
        row += n


cdef void wino_turn(WinoJob* job, Py_ssize_t group, Py_ssize_t o, Py_ssize_t channel, Py_ssize_t count, float* cells) noexcept nogil:
    # cells[c, cell, lane]: the kernels of `count` input channels, lanes being the output channels from o on.
    cdef Py_ssize_t lane_count = TL_LANES_f32, n = minimum(job.out_channels - o, lane_count), k, c
    cdef const float* at = job.w + group * job.in_channels * job.out_channels * 9 + o * job.lane_step + channel * job.term_step
    if not job.adjoint:
        for k in range(ceil_div(9 * count, lane_count)):
            conv_turn_padded(cells + k * lane_count * lane_count, lane_count, at + k * lane_count, job.lane_step, n,
                             minimum(9 * count - k * lane_count, lane_count))
        return
    for c in range(count):
        # Kernels of one input channel are far from those of the next, too far for the processor to foresee.
        for k in range(ceil_div(9 * lane_count, 16) + 1):
            conv_expect_read(at + (c + 8) * job.term_step + k * 16)
        for k in range(ceil_div(9, lane_count)):
            conv_turn_padded(cells + (9 * c + k * lane_count) * lane_count, lane_count, at + c * job.term_step + k * lane_count,
                             job.lane_step, n, minimum(9 - k * lane_count, lane_count))


cdef void wino_make_weights(WinoJob* job, Py_ssize_t group, Py_ssize_t panel, Py_ssize_t channel, Py_ssize_t count, float* u,
                            float* cells, float* taps) noexcept nogil:
    # The weights of one panel for channels channel … channel + count − 1; adds to the energies taps[vector, cell, output channel].
    cdef Py_ssize_t lane_count = TL_LANES_f32, width = 2 * lane_count, v, c, some
    for v in range(panel_lanes(job.out_channels, panel) // lane_count):
        c = 0
        while c < count:
            some = minimum(count - c, WINO_CELLS)
            wino_turn(job, group, (2 * panel + v) * lane_count, channel + c, some, cells)
            wino_weights(u + c * width + v * lane_count, odd_step(count * width), width, cells, some, job.adjoint,
                         taps + v * 9 * lane_count)
            c += some


cdef inline Py_ssize_t panel_lanes(Py_ssize_t channels, Py_ssize_t panel) noexcept nogil:
    # Lanes of a panel, whole vectors: two, or the one that is left over.
    cdef Py_ssize_t lane_count = TL_LANES_f32
    return minimum(ceil_div(channels - 2 * panel * lane_count, lane_count), 2) * lane_count


cdef void wino_multiply(float* m, Py_ssize_t m_step, const float* v, Py_ssize_t v_step, Py_ssize_t pitch, const float* u,
                        Py_ssize_t u_step, Py_ssize_t tiles, Py_ssize_t channels, Py_ssize_t lanes, bint add) noexcept nogil:
    # m[p, t, o] (+)= Σ_c v[p, t, c] u[p, c, o]
    cdef Py_ssize_t p, t, width = TL_NR_f32, most = tl_even_panel(tiles, TL_MR)
    for p in range(36):
        t = 0
        while t < tiles:
            wino_product(minimum(most, tiles - t), lanes, channels, v + p * v_step + t * pitch, pitch, u + p * u_step,
                         m + p * m_step + t * width, add)
            t += most


cdef void wino_plain(float* to, Py_ssize_t plane, const float* values, Py_ssize_t count, Py_ssize_t channels) noexcept nogil:
    # to[channel, i] = values[i, channel], i < count.
    cdef Py_ssize_t lane_count = TL_LANES_f32, i = 0
    while i < count:
        conv_turn(to + i, plane, values + i * lane_count, lane_count, minimum(count - i, lane_count), channels)
        i += lane_count


cdef void wino_put(WinoJob* job, float* to, const float* rows, Py_ssize_t columns, Py_ssize_t height, Py_ssize_t channels) noexcept nogil:
    # Rows of results to where they belong.
    cdef Py_ssize_t lane_count = TL_LANES_f32, width = job.out_size[1], pitch = columns, r
    if columns == width:
        # They lie one behind the other on both sides.
        columns, height = height * columns, 1
    for r in range(height):
        if job.to_blocked:
            memcpy(to + r * width * lane_count, rows + r * pitch * lane_count, <size_t>(columns * lane_count * 4))
        else:
            wino_plain(to + r * width, job.out_size[0] * width, rows + r * pitch * lane_count, columns, channels)


cdef inline void wino_expect(const float* to, Py_ssize_t pitch, Py_ssize_t count, Py_ssize_t height) noexcept nogil:
    # Rows of so many elements will be written: whole vectors would wait for each line.
    cdef Py_ssize_t r, i
    for r in range(height):
        for i in range(ceil_div(count, 16)):
            conv_expect_write(to + r * pitch + i * 16)


cdef void wino_write(WinoJob* job, Band* band, Py_ssize_t group, Py_ssize_t panel, const float* m, Py_ssize_t step, float* rows,
                     const unsigned char* marks, const unsigned char* uneven, float* room) noexcept nogil:
    # Transform the sums of a panel back and write them, channels turned into planes where the destination is plain.
    cdef Py_ssize_t lane_count = TL_LANES_f32, width = 2 * lane_count, wide = band.right - band.left
    cdef Py_ssize_t row, image, at, o, n, v, i, x = 4 * band.left, height, across = lane_count if job.to_blocked else 1
    cdef Py_ssize_t columns = minimum(4 * wide, job.out_size[1] - x)
    cdef bint repair
    cdef float bias[16]
    cdef const float* sums
    cdef float* to
    for v in range(panel_lanes(job.out_channels, panel) // lane_count):
        o = (2 * panel + v) * lane_count
        n = minimum(job.out_channels - o, lane_count)
        for i in range(lane_count):
            bias[i] = job.bias[group * job.out_channels + o + i] if job.bias != NULL and i < n else 0
        for row in range(band.first, band.last):
            image = row // job.rows
            at = 4 * (row - image * job.rows)
            height = minimum(4, job.out_size[0] - at)
            sums = m + (row - band.first) * wide * width + v * lane_count
            to = job.to + ((image * job.groups + group) * job.out_channels + o) * job.out_size[0] * job.out_size[1]
            to += (at * job.out_size[1] + x) * across
            repair = marks[(row - band.first) * (wide + 1)] or uneven[v * (lane_count + 1) + lane_count]
            if job.to_blocked:
                wino_expect(to, job.out_size[1] * lane_count, columns * lane_count, height)
                if columns == 4 * wide and height == 4 and not repair:
                    wino_result(to, job.out_size[1] * lane_count, sums, step, width, bias, wide)
                    continue
            wino_result(rows, columns * lane_count, sums, step, width, bias, wide)
            if repair:
                wino_repair(job, image, group, o, at, band, marks + (row - band.first) * (wide + 1), uneven + v * (lane_count + 1), bias,
                            rows, columns, height, room)
            wino_put(job, to, rows, columns, height, n)
    if job.finish != NULL:
        wino_report(job, band, group, 2 * panel * lane_count)


cdef void wino_report(WinoJob* job, Band* band, Py_ssize_t group, Py_ssize_t o) noexcept nogil:
    # The output channels of a panel from o on are final at the tiles of a band.
    cdef Py_ssize_t n = minimum(job.out_channels - o, TL_NR_f32), plane = job.out_size[0] * job.out_size[1]
    cdef Py_ssize_t together = TL_LANES_f32 if job.to_blocked else 1, width = together * job.out_size[1]
    cdef Py_ssize_t row = band.first, image, low, high, c, y, at
    while row < band.last:
        image = row // job.rows
        low = 4 * (row - image * job.rows)
        row = minimum(band.last, (image + 1) * job.rows)
        high = minimum(4 * (row - image * job.rows), job.out_size[0])
        at = ((image * job.groups + group) * job.out_channels + o) * plane
        if high - low == job.out_size[0] and job.cuts == 1:
            tl_finished(job.finish, at, at + n * plane)
            continue
        for c in range(n // together):
            if job.cuts == 1:
                tl_finished(job.finish, at + low * width, at + high * width)
            else:
                for y in range(low, high):
                    tl_finished(job.finish, at + y * width + 4 * band.left * together,
                                at + y * width + minimum(4 * band.right * together, width))
            at += plane * together


cdef void wino_weights_chunk(void* context, Py_ssize_t index) noexcept nogil:
    # All weights of one panel.
    cdef WinoJob* job = <WinoJob*>context
    cdef Py_ssize_t width = TL_NR_f32
    cdef float taps[18 * 16]
    cdef float* cells = <float*>scratch(TL_SLOT_CONV_TILE, <size_t>wino_room(job, width // 2) * 4)
    if cells == NULL:
        job.status = TL_NO_MEMORY
        return
    conv_zero(taps, 9 * width)
    wino_make_weights(job, index // job.panels, index % job.panels, 0, job.in_channels,
                      job.u + index * 36 * odd_step(job.in_channels * width), cells, taps)
    wino_judge(job, index // job.panels, index % job.panels, taps, job.uneven + index * (width + 2))


cdef void wino_band_chunk(void* context, Py_ssize_t index) noexcept nogil:
    # One band of tiles of one group, against all weights.
    cdef WinoJob* job = <WinoJob*>context
    cdef Py_ssize_t width = TL_NR_f32, lane_count = width // 2, cut = index % job.cuts, rest = index // job.cuts, step, panel, k, tiles
    cdef Py_ssize_t group = rest % job.groups, u_step = odd_step(job.in_channels * width)
    cdef Band band
    cdef float* v
    cdef float* m
    cdef float* room
    cdef unsigned char* marks
    cdef float* temporary = <float*>scratch(TL_SLOT_CONV_TILE, <size_t>wino_room(job, lane_count) * 4)
    band.first = rest // job.groups * job.band
    band.last = minimum(band.first + job.band, job.images * job.rows)
    band.left, band.right = job.columns * cut // job.cuts, job.columns * (cut + 1) // job.cuts
    tiles = tiles_of(&band)
    step = odd_step(tiles * job.block)
    v = <float*>scratch(TL_SLOT_CONV_SOURCE, <size_t>(36 * step * 4))
    m = <float*>scratch(TL_SLOT_CONV_PRODUCTS, <size_t>(36 * odd_step(tiles * width) * 4))
    room = <float*>scratch(TL_SLOT_CONV_REPAIR, <size_t>(wino_repair_room(job, job.band) * 4 + wino_marks_of(&band)))
    if v == NULL or m == NULL or room == NULL or temporary == NULL:
        job.status = TL_NO_MEMORY
        return
    for k in range(job.vectors):
        wino_read(job, &band, group, k, v, step, temporary, room, k > 0)
    marks = <unsigned char*>(room + wino_repair_room(job, job.band))
    wino_mark_band(job, &band, group, marks, room)
    for panel in range(job.panels):
        wino_multiply(m, odd_step(tiles * width), v, step, job.block, job.u + (group * job.panels + panel) * 36 * u_step, u_step,
                      tiles, job.in_channels, panel_lanes(job.out_channels, panel), 0)
        wino_write(job, &band, group, panel, m, odd_step(tiles * width), temporary, marks,
                   job.uneven + (group * job.panels + panel) * (width + 2), room)


cdef void wino_source_chunk(void* context, Py_ssize_t index) noexcept nogil:
    # A run of tile rows of one vector of channels, into the tiles that all panels share; with the first vector, their marks.
    cdef WinoJob* job = <WinoJob*>context
    cdef Py_ssize_t lane_count = TL_LANES_f32, rows = job.last - job.first, run = wino_run(job), runs = ceil_div(rows, run)
    cdef Py_ssize_t step = odd_step(rows * job.columns * job.block), group = index // job.vectors // runs
    cdef Band band
    cdef float* box = <float*>scratch(TL_SLOT_CONV_TILE, <size_t>wino_room(job, lane_count) * 4)
    cdef float* room = <float*>scratch(TL_SLOT_CONV_REPAIR, <size_t>wino_repair_room(job, wino_run(job)) * 4)
    if box == NULL or room == NULL:
        job.status = TL_NO_MEMORY
        return
    band.first = job.first + index // job.vectors % runs * run
    band.last = minimum(band.first + run, job.last)
    band.left, band.right = 0, job.columns
    wino_read(job, &band, group, index % job.vectors,
              job.v + group * job.blocks * 36 * step + (band.first - job.first) * job.columns * job.block, step, box,
              NULL, False)
    if index % job.vectors == 0:
        wino_measure(job, &band, group, room)
        wino_mark_band(job, &band, group, job.marks + (group * rows + band.first - job.first) * (job.columns + 1), room)


cdef void wino_panel_chunk(void* context, Py_ssize_t index) noexcept nogil:
    # One panel of output channels against all tiles that are there, a block of input channels after another.
    cdef WinoJob* job = <WinoJob*>context
    cdef Py_ssize_t width = TL_NR_f32, group = index // job.panels, panel = index % job.panels, k, n
    cdef Py_ssize_t tiles = (job.last - job.first) * job.columns, v_step = odd_step(tiles * job.block), m_step = odd_step(tiles * width)
    cdef Band band
    cdef float taps[18 * 16]
    cdef unsigned char uneven[2 * 16 + 2]
    cdef float* u = <float*>scratch(TL_SLOT_CONV_SOURCE, <size_t>(36 * odd_step(job.block * width) * 4))
    cdef float* m = <float*>scratch(TL_SLOT_CONV_PRODUCTS, <size_t>(36 * m_step * 4))
    cdef float* temporary = <float*>scratch(TL_SLOT_CONV_TILE, <size_t>wino_room(job, width // 2) * 4)
    cdef float* room = <float*>scratch(TL_SLOT_CONV_REPAIR, <size_t>wino_repair_room(job, 0) * 4)
    if u == NULL or m == NULL or temporary == NULL or room == NULL:
        job.status = TL_NO_MEMORY
        return
    conv_zero(taps, 9 * width)
    for k in range(job.blocks):
        n = minimum(job.block, job.in_channels - k * job.block)
        wino_make_weights(job, group, panel, k * job.block, n, u, temporary, taps)
        wino_multiply(m, m_step, job.v + (group * job.blocks + k) * 36 * v_step, v_step, job.block, u, odd_step(n * width), tiles, n,
                      panel_lanes(job.out_channels, panel), k > 0)
    band.first, band.last, band.left, band.right = job.first, job.last, 0, job.columns
    wino_judge(job, group, panel, taps, uneven)
    wino_write(job, &band, group, panel, m, m_step, temporary, job.marks + group * (job.last - job.first) * (job.columns + 1), uneven, room)


cdef void wino_describe(WinoJob* job, Geometry* geo, bint adjoint) noexcept nogil:
    # The convolution of x, or of g with the kernels turned round: dx[c, q] = Σ_{o,t} w[o, c, 2 − t] g[o, q + t − (2 − padding)].
    cdef Py_ssize_t lane_count = TL_LANES_f32, a
    job.adjoint, job.images, job.groups, job.status = adjoint, geo.batch, geo.groups, TL_OK
    job.source_blocked = job.to_blocked = False
    job.in_channels, job.out_channels = geo.wide, geo.narrow
    job.lane_step, job.term_step = 9 * geo.wide, 9
    for a in range(2):
        job.in_size[a], job.out_size[a], job.pad[a] = geo.axis[a + 1].wide, geo.axis[a + 1].narrow, geo.axis[a + 1].padding
    if adjoint:
        job.in_channels, job.out_channels = job.out_channels, job.in_channels
        job.lane_step, job.term_step = 9, 9 * geo.wide
        for a in range(2):
            job.in_size[a], job.out_size[a], job.pad[a] = job.out_size[a], job.in_size[a], 2 - job.pad[a]
    job.rows, job.columns = ceil_div(job.out_size[0], 4), ceil_div(job.out_size[1], 4)
    job.vectors = ceil_div(job.in_channels, lane_count)
    job.block, job.blocks = job.vectors * lane_count, 1
    job.panels = ceil_div(job.out_channels, 2 * lane_count)


cdef void in_blocks(WinoJob* job, Py_ssize_t most) noexcept nogil:
    # Cut the input channels into blocks of about `most`.
    cdef Py_ssize_t lane_count = TL_LANES_f32
    job.block = ceil_div(even_tile(job.in_channels, most), lane_count) * lane_count
    job.blocks = ceil_div(job.in_channels, job.block)


cdef bint wino_fits(Geometry* geo) noexcept nogil:
    # A 3 x 3 window at stride 1 whose adjoint is one too, over something.
    cdef Py_ssize_t a
    for a in range(3):
        if geo.axis[a].stride != 1 or geo.axis[a].dilation != 1 or geo.axis[a].kernel != (3 if a else 1):
            return False
        if geo.axis[a].padding > (2 if a else 0):
            return False
    return geo.axis[0].wide == 1 and geo.batch * wide_plane(geo) * narrow_plane(geo) > 0


cdef bint wino_pays(WinoJob* job) noexcept nogil:
    # Cycles, about, as measured: products, transforms of tiles and of weights, against the products of the definition and what its edges
    # waste.
    cdef double tiles = <double>job.images * job.rows * job.columns, positions = <double>job.images * job.out_size[0] * job.out_size[1]
    cdef double pairs = <double>job.in_channels * job.out_channels, lane_count = TL_LANES_f32
    cdef double transforms = 300.0 * job.vectors + 250.0 * ceil_div(job.out_channels, TL_LANES_f32)
    return tiles * (1.2 * 18 * pairs / lane_count + transforms) + 200 * pairs / lane_count < 1.8 * 4.5 * positions * pairs / lane_count


cdef bint winograd_pays(Geometry* geo, bint adjoint) noexcept nogil:
    cdef WinoJob job
    if not wino_fits(geo):
        return False
    wino_describe(&job, geo, adjoint)
    return wino_pays(&job)


cdef int winograd(float* to, const float* source, const float* w, const float* bias, Geometry* geo, bint adjoint,
                  tl_finish* finish, bint to_blocked=False, bint source_blocked=False) noexcept nogil:
    cdef WinoJob job
    cdef Py_ssize_t width = TL_NR_f32, chunk, tile_rows, bytes
    cdef double work
    wino_describe(&job, geo, adjoint)
    job.to, job.source, job.w, job.bias, job.finish = to, source, w, bias, finish
    job.to_blocked, job.source_blocked = to_blocked, source_blocked
    tile_rows = job.images * job.rows
    bytes = job.groups * job.panels * 36 * odd_step(job.in_channels * width) * 4
    job.cuts = 1
    work = 36.0 * tile_rows * job.columns * job.groups * job.in_channels * job.out_channels / 80.0
    if bytes <= WINO_WEIGHT_BYTES:
        job.cuts = ceil_div(job.columns, maximum(minimum(WINO_BAND_BYTES // (36 * 4 * job.block), 32), 1))
        job.band = minimum(maximum(WINO_BAND_BYTES // (36 * 4 * job.block * ceil_div(job.columns, job.cuts)), 1), tile_rows)
        job.band = even_tile(tile_rows, job.band)
        job.u = <float*>scratch(TL_SLOT_CONV_SHARED, <size_t>(bytes + job.groups * job.panels * (width + 2)))
        if job.u == NULL:
            return TL_NO_MEMORY
        job.uneven = <unsigned char*>job.u + bytes
        parallel_for(wino_weights_chunk, &job, job.groups * job.panels, bytes / 8.0)
        parallel_for(wino_band_chunk, &job, ceil_div(tile_rows, job.band) * job.groups * job.cuts, work)
        return job.status
    in_blocks(&job, WINO_CHANNELS)
    chunk = even_tile(tile_rows, maximum(WINO_TILES // job.columns, 1))
    job.v = <float*>scratch(TL_SLOT_CONV_SHARED, <size_t>(job.groups * job.blocks * 36 * odd_step(chunk * job.columns * job.block) * 4))
    job.marks = <unsigned char*>scratch(TL_SLOT_CONV_MARKS, <size_t>(job.groups * chunk * (job.columns + 1)))
    if job.v == NULL or job.marks == NULL:
        return TL_NO_MEMORY
    job.first = 0
    while job.first < tile_rows:
        job.last = minimum(job.first + chunk, tile_rows)
        parallel_for(wino_source_chunk, &job, job.groups * ceil_div(job.last - job.first, wino_run(&job)) * job.vectors,
                     work / job.out_channels)
        parallel_for(wino_panel_chunk, &job, job.groups * job.panels, work * chunk / tile_rows)
        job.first = job.last
    return job.status
