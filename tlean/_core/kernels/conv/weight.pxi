# Weight gradient: dw[o, c, t] = Σ_{n, p} g[n, o, p] x[n, c, window p, cell t], in one of two ways. Lanes are positions: dot products of
# runs of g and x, their lanes added up at the end of a tile. Or lanes are output channels: g is turned, x is broadcast, and no position
# is wasted.

# Elements of a block of g that stays in the first-level cache while every term of x passes by.
cdef enum:
    WEIGHT_POSITIONS = 896
    PANEL_WEIGHT_POSITIONS = 256
    WEIGHT_TERMS = 9        # that one block takes at once, if it has at most 3 output channels
    MOST_PARTIAL_BYTES = 8388608


cdef struct WeightJob:
    void* to
    const void* g
    const void* x
    void* partial           # [sum][group][block][term][part]
    bint panels             # lanes are output channels
    Py_ssize_t part         # output channels of a block: CONV_PART or two vectors
    Geometry geo
    Source src
    Py_ssize_t tiles[3]
    Py_ssize_t images       # of a tile
    Py_ssize_t tiles_all
    Py_ssize_t run          # positions of a slice: rows of one depth, the gaps between rows included, rounded up to whole vectors
    Py_ssize_t terms        # wide·cells
    Py_ssize_t blocks       # of output channels, of a group
    Py_ssize_t ranges       # the blocks of a unit
    Py_ssize_t sums         # groups of tiles, each with its own partial sum
    bint direct             # x is read in place: no padding, no stride, and lanes are channels
    bint whole              # g is read in place: lanes are positions of a shifted source, whose rows lie as those of g do
    Py_ssize_t x_image      # from image to image of x, in place or in the tile
    Py_ssize_t channels     # of x that are copied at a time
    Py_ssize_t x_pitch, g_pitch
    Py_ssize_t units
    int32_t* xoff           # of the terms of `channels` channels


cdef void copy_g(real* to, const real* g, WeightJob* job, const Py_ssize_t* origin, Py_ssize_t depth, Py_ssize_t rows,
                 Py_ssize_t columns) noexcept nogil:
    # One channel of one image: slices of rows at the pitch of x, zero between and behind.
    cdef Py_ssize_t pitch = job.src.extent[2], d
    cdef Axis* axis = job.geo.axis
    cdef const real* g_rows
    for d in range(depth):
        g_rows = g + ((origin[0] + d) * axis[1].narrow + origin[1]) * axis[2].narrow + origin[2]
        conv_take(to, pitch, g_rows, axis[2].narrow, rows - 1, pitch, 0, columns, 1)
        conv_take(to + (rows - 1) * pitch, pitch, g_rows + (rows - 1) * axis[2].narrow, pitch, 1, columns, 0, columns, 1)
        conv_zero(to + (rows - 1) * pitch + columns, job.run - (rows - 1) * pitch - columns)
        to += job.run


cdef void turn_g(real* to, const real* g, WeightJob* job, const Py_ssize_t* origin, Py_ssize_t depth, Py_ssize_t rows,
                 Py_ssize_t columns, Py_ssize_t count, Py_ssize_t width) noexcept nogil:
    # The same with channels as lanes: `count` channels of one image, position by position, `width` apart.
    cdef Py_ssize_t lane_count = TL_VECTOR_BYTES // sizeof(real), plane = narrow_plane(&job.geo), d, r, v, p, n, lines = rows
    cdef Py_ssize_t run = columns
    cdef Axis* axis = job.geo.axis
    cdef const real* line
    if columns == axis[2].narrow:
        lines, run = 1, rows * columns
    for d in range(depth):
        for r in range(lines):
            line = g + ((origin[0] + d) * axis[1].narrow + origin[1] + r) * axis[2].narrow + origin[2]
            for v in range(width // lane_count):
                n = minimum(count - v * lane_count, lane_count)
                for p in range(ceil_div(run, lane_count)):
                    conv_turn_padded(to + (p * width + v) * lane_count, width, line + (v * plane + p) * lane_count, plane, n,
                                     minimum(run - p * lane_count, lane_count))
            to += run * width


cdef inline Py_ssize_t block_begin(WeightJob* job, Py_ssize_t block) noexcept nogil:
    # The first output channel of a block: panels are full but for the last, blocks of positions about equal.
    return minimum(block * job.part, job.geo.narrow) if job.panels else job.geo.narrow * block // job.blocks


cdef inline Py_ssize_t block_width(WeightJob* job, Py_ssize_t block, Py_ssize_t lane_count) noexcept nogil:
    # Channels that a panel has room for.
    return minimum(ceil_div(job.geo.narrow - block * job.part, lane_count) * lane_count, job.part)


cdef void products_by_position(real* part, const real* xbox, const real* gbox, const int32_t* gslice, const int32_t* xslice, WeightJob* job,
                               Py_ssize_t slices, Py_ssize_t size, Py_ssize_t count) noexcept nogil:
    # One block of `size` output channels against `count` terms of x.
    cdef Py_ssize_t step = conv_kb_max[size], i, k, n
    cdef real spare[9 * CONV_PART]
    cdef real* sums
    for i in range(ceil_div(count, step)):
        k = i * step
        sums = part + k * CONV_PART
        if count - k < step:
            sums = spare
            conv_zero(spare, 9 * CONV_PART)
        dw_block(size, slices, gslice, xslice, job.run, gbox, job.g_pitch, xbox, job.xoff + k, sums)
        if count - k < step:
            for n in range((count - k) * CONV_PART):
                part[k * CONV_PART + n] += spare[n]


cdef void products_by_channel(real* part, const real* xbox, const real* gbox, const int32_t* xrow, WeightJob* job, Py_ssize_t rows,
                              Py_ssize_t columns, Py_ssize_t width, Py_ssize_t count) noexcept nogil:
    # One panel against `count` terms of x.
    cdef Py_ssize_t i, k, n, step = CONV_TERMS
    cdef real spare[CONV_TERMS * TL_VECTOR_BYTES]
    cdef real* sums
    for i in range(ceil_div(count, step)):
        k = i * step
        sums = part + k * width
        if count - k < step:
            sums = spare
            memset(spare, 0, <size_t>(step * width) * sizeof(real))
        if width * sizeof(real) == TL_VECTOR_BYTES:
            cv_weight_1(rows, xrow, columns, gbox, xbox, job.xoff + k, sums)
        else:
            cv_weight_2(rows, xrow, columns, gbox, xbox, job.xoff + k, sums)
        if count - k < step:
            for n in range((count - k) * width):
                part[k * width + n] += spare[n]


cdef void weight_tile(real* part, real* xbox, real* gbox, int32_t* gslice, int32_t* xslice, const real* g, const real* x, WeightJob* job,
                      Py_ssize_t tile, Py_ssize_t group, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    # Add one tile's contribution to the blocks first … last − 1 of a group.
    cdef Geometry* geo = &job.geo
    cdef Source* src = &job.src
    cdef Py_ssize_t lane_count = TL_VECTOR_BYTES // sizeof(real), boxes = job.tiles[0] * job.tiles[1] * job.tiles[2]
    cdef Py_ssize_t image = tile // boxes * job.images, images = minimum(job.images, geo.batch - image)
    cdef Py_ssize_t origin[3]
    cdef Py_ssize_t n, d, r, o, c, b, k, j, width, depth, rows, columns, slices = 0, channels, begin = block_begin(job, first)
    cdef const real* image_g
    cdef const real* in_g
    cdef const real* at
    cdef real* sums
    split(origin, tile % boxes, job.tiles[1], job.tiles[2])
    for d in range(3):
        origin[d] *= src.tile[d]
    depth = minimum(src.tile[0], geo.axis[0].narrow - origin[0])
    rows = minimum(src.tile[1], geo.axis[1].narrow - origin[1])
    columns = minimum(src.tile[2], geo.axis[2].narrow - origin[2])
    for n in range(images):
        for d in range(depth):
            # A slice is one row, if lanes are channels, or else the rows of one depth as one run.
            for r in range(rows if job.panels else 1):
                gslice[slices] = <int32_t>((n * src.tile[0] + d) * job.run)
                if job.whole:
                    gslice[slices] = <int32_t>(n * geo.groups * geo.narrow * narrow_plane(geo)
                                               + d * geo.axis[1].narrow * geo.axis[2].narrow)
                xslice[slices] = <int32_t>(n * job.x_image + (d * src.extent[1] + r) * src.extent[2])
                slices += 1
        image_g = g + ((image + n) * geo.groups + group) * geo.narrow * narrow_plane(geo)
        if job.panels:
            for b in range(first, last):
                o = block_begin(job, b)
                width = block_width(job, b, lane_count)
                turn_g(gbox + (b - first) * job.g_pitch + n * depth * rows * columns * width, image_g + o * narrow_plane(geo), job, origin,
                       depth, rows, columns, minimum(geo.narrow - o, width), width)
        elif not job.whole:
            for o in range(begin, block_begin(job, last)):
                copy_g(gbox + (o - begin) * job.g_pitch + n * src.tile[0] * job.run, image_g + o * narrow_plane(geo), job, origin, depth,
                       rows, columns)
    in_g = <const real*>gbox
    if job.whole:
        in_g = g + ((image * geo.groups + group) * geo.narrow + begin) * narrow_plane(geo)
        in_g += (origin[0] * geo.axis[1].narrow + origin[1]) * geo.axis[2].narrow
    for j in range(ceil_div(geo.wide, job.channels)):
        c = j * job.channels
        channels = minimum(job.channels, geo.wide - c)
        at = x + (image * geo.groups + group) * geo.wide * wide_plane(geo)
        if job.direct:
            at += (origin[0] * src.size[1] + origin[1]) * src.size[2] + origin[2]
        for k in range(0 if job.direct else channels):
            for n in range(images):
                copy_box(xbox + k * job.x_pitch + n * src.box,
                         x + (((image + n) * geo.groups + group) * geo.wide + c + k) * wide_plane(geo), src, origin)
            # The last vector of a run reaches beyond the box; what it meets there is multiplied by zero and must be finite.
            conv_zero(xbox + k * job.x_pitch + images * src.box, job.x_pitch - images * src.box)
        if not job.direct:
            conv_zero(xbox + channels * job.x_pitch, lane_count)
            at = xbox
        for b in range(first, last):
            o = block_begin(job, b)
            sums = part + (b - first) * job.terms * job.part
            if job.panels:
                width = block_width(job, b, lane_count)
                products_by_channel(sums + c * geo.cells * width, at, gbox + (b - first) * job.g_pitch, xslice, job, slices, columns,
                                    width, channels * geo.cells)
            else:
                products_by_position(sums + c * geo.cells * CONV_PART, xbox, in_g + (o - begin) * job.g_pitch, gslice, xslice, job, slices,
                                     block_begin(job, b + 1) - o, channels * geo.cells)


cdef void weight_unit(real* context, Py_ssize_t unit) noexcept nogil:
    # One group of tiles, one group of channels, one range of blocks.
    cdef WeightJob* job = <WeightJob*>context
    cdef Py_ssize_t share = unit % job.ranges, group = unit // job.ranges % job.geo.groups, sums = unit // job.ranges // job.geo.groups
    cdef Py_ssize_t first = job.blocks * share // job.ranges, last = job.blocks * (share + 1) // job.ranges, tile
    cdef Py_ssize_t slices = job.images * job.src.tile[0] * (job.src.tile[1] if job.panels else 1)
    cdef Py_ssize_t blocks = ceil_div(job.blocks, job.ranges) * (1 if job.panels else CONV_PART)
    cdef real* part = <real*>job.partial + ((sums * job.geo.groups + group) * job.blocks + first) * job.terms * job.part
    cdef Py_ssize_t x_room = 0 if job.direct else job.channels * job.x_pitch + TL_VECTOR_BYTES
    cdef real* xbox = <real*>scratch(TL_SLOT_CONV_SOURCE, <size_t>(x_room * sizeof(real) + 64))
    cdef real* gbox = <real*>scratch(TL_SLOT_CONV_PRODUCTS, <size_t>(0 if job.whole else blocks * job.g_pitch * sizeof(real)))
    cdef int32_t* gslice = <int32_t*>scratch(TL_SLOT_CONV_TILE, <size_t>(2 * slices * sizeof(int32_t)))
    if xbox == NULL or gbox == NULL or gslice == NULL:
        job.partial = NULL
        return
    conv_zero(part, (last - first) * job.terms * job.part)
    for tile in range(job.tiles_all * sums // job.sums, job.tiles_all * (sums + 1) // job.sums):
        weight_tile(part, xbox, gbox, gslice, gslice + slices, <const real*>job.g, <const real*>job.x, job, tile, group, first, last)


cdef real exact_entry(Geometry* geo, const real* g, const real* x, Py_ssize_t o, Py_ssize_t c, Py_ssize_t cell) noexcept nogil:
    # dw[o, c, cell] from its own products alone, the padding's zeros included; o and c count over all groups.
    cdef Axis* axis = geo.axis
    cdef Py_ssize_t t[3]
    cdef Py_ssize_t n, p, at0, at1, at2, plane = narrow_plane(geo)
    cdef Py_ssize_t place[3]
    cdef real value, total = 0
    split(t, cell, axis[1].kernel, axis[2].kernel)
    for n in range(geo.batch):
        for p in range(plane):
            split(place, p, axis[1].narrow, axis[2].narrow)
            at0 = place[0] * axis[0].stride - axis[0].padding + t[0] * axis[0].dilation
            at1 = place[1] * axis[1].stride - axis[1].padding + t[1] * axis[1].dilation
            at2 = place[2] * axis[2].stride - axis[2].padding + t[2] * axis[2].dilation
            value = 0
            if 0 <= at0 < axis[0].wide and 0 <= at1 < axis[1].wide and 0 <= at2 < axis[2].wide:
                value = x[(((n * geo.groups * geo.wide + c) * axis[0].wide + at0) * axis[1].wide + at1) * axis[2].wide + at2]
            total += g[(n * geo.groups * geo.narrow + o) * plane + p] * value
    return total


cdef void finish_block(real* context, Py_ssize_t index) noexcept nogil:
    # Add the partial sums of one block of output channels, in order, and write its rows of dw.
    cdef WeightJob* job = <WeightJob*>context
    cdef Py_ssize_t lane_count = TL_VECTOR_BYTES // sizeof(real), block = index % job.blocks, group = index // job.blocks, k, i, s, n, v
    cdef Py_ssize_t o = block_begin(job, block), size = block_begin(job, block + 1) - o, width
    cdef Py_ssize_t stride = job.geo.groups * job.blocks * job.terms * job.part
    cdef real* part = <real*>job.partial + index * job.terms * job.part
    cdef real* to = <real*>job.to + (group * job.geo.narrow + o) * job.terms
    for s in range(1, job.sums):
        for k in range(job.terms * job.part):
            part[k] += part[s * stride + k]
    if job.panels:
        width = block_width(job, block, lane_count)
        for v in range(width // lane_count):
            n = minimum(size - v * lane_count, lane_count)
            for i in range(ceil_div(job.terms, lane_count)):
                k = i * lane_count
                conv_turn(to + v * lane_count * job.terms + k, job.terms, part + k * width + v * lane_count, width,
                          minimum(job.terms - k, lane_count), n)
        return
    if conv_unpack(to, part, size, job.terms):
        return
    # Gaps of the tile carry a zero of g against some x; where that x is not finite the sum is spoilt and is taken again.
    for k in range(size * job.terms):
        if to[k] != to[k]:
            i = k // job.terms
            s = k - i * job.terms
            to[k] = exact_entry(&job.geo, <const real*>job.g, <const real*>job.x, group * job.geo.narrow + o + i,
                                group * job.geo.wide + s // job.geo.cells, s % job.geo.cells)


cdef bint weight_panels_pay(WeightJob* job, const Py_ssize_t* over, Py_ssize_t lane_count, Py_ssize_t positions) noexcept nogil:
    # Cycles an image and slice, about: dot products with their lane sums, against padded terms and channels and the turning of g.
    cdef Axis* axis = job.geo.axis
    cdef double cells = <double>axis[1].narrow * axis[2].narrow, terms = <double>job.terms, channels = <double>job.geo.narrow
    cdef double runs = ceil_div((axis[1].narrow - 1) * (axis[2].narrow + over[2]) + axis[2].narrow, lane_count)
    cdef double by_position = channels * terms * (runs * 12 + 35 * runs * lane_count / positions) / 24
    cdef Py_ssize_t vectors = ceil_div(job.geo.narrow, lane_count)
    cdef double padded_terms = <double>ceil_div(job.terms, CONV_TERMS) * CONV_TERMS
    cdef double by_channel = vectors * padded_terms * (cells + 4) / 2 + 0.3 * cells * channels
    if vectors % 2:
        by_channel += 0.1 * padded_terms * cells       # a single vector needs a load for every multiply-add
    # Copies of both sides; x may be read in place when lanes are channels.
    by_position += 0.25 * cells * (channels + job.geo.wide)
    if job.src.step[1] != 1 or job.src.step[2] != 1 or job.src.base[1] != 0 or job.src.base[2] != 0:
        by_channel += 0.25 * cells * job.geo.wide
    return by_channel < by_position


cdef bint rows_run_on(WeightJob* job, Py_ssize_t lane_count, Py_ssize_t positions) noexcept nogil:
    # Whether x is copied once for each column of the window (if there are several rows): its rows then run on as those of g do, and g is
    # read where it lies. That pays with few channels of x; planes of g hold whole vectors, and are worked on one by one.
    cdef Geometry* geo = &job.geo
    cdef Py_ssize_t plane = geo.axis[1].narrow * geo.axis[2].narrow
    return (geo.axis[2].stride == 1 and plane % lane_count == 0 and plane <= 2 * positions
            and geo.wide * geo.axis[2].kernel <= 2 * geo.narrow and geo.narrow >= 4
            and (job.terms <= WEIGHT_TERMS or CONV_OB_MAX == 8)     # with 16 registers the copies cost more than that
            and geo.batch * geo.groups * geo.narrow * narrow_plane(geo) < INT32_MAX)


cdef void describe_weights(WeightJob* job, Py_ssize_t item) noexcept nogil:
    # The way, the tiles of both sides and the blocks of channels; item: the size of an element.
    cdef Geometry* geo = &job.geo
    cdef Source* src = &job.src
    cdef Py_ssize_t counts[3]
    cdef Py_ssize_t over[3]
    cdef Py_ssize_t lane_count = TL_VECTOR_BYTES // item, positions = WEIGHT_POSITIONS * 4 // item, a
    job.terms = geo.wide * geo.cells
    source_of_wide(src, geo)
    for a in range(3):
        counts[a] = geo.axis[a].narrow
        over[a] = reach(&geo.axis[a])
        src.tile[a] = counts[a]
    job.part = CONV_PART
    job.whole = rows_run_on(job, lane_count, positions)
    job.panels = not job.whole and weight_panels_pay(job, over, lane_count, positions)
    if job.whole and counts[1] > 1:
        shift(src, geo, over)
    if job.panels:
        positions = PANEL_WEIGHT_POSITIONS * 4 // item
        job.part = 2 * lane_count
    # A tile of about `positions` cells: several images, or a box of one.
    src.tile[2] = even_tile(counts[2], positions)
    src.tile[1] = even_tile(counts[1], maximum(positions // (src.tile[2] + (0 if job.panels else over[2])), 1))
    if job.whole:
        src.tile[1], src.tile[2] = counts[1], counts[2]
    src.tile[0] = even_tile(counts[0], maximum(positions // ((src.tile[2] + over[2]) * src.tile[1]), 1))
    set_tile(src, over)
    job.run = ceil_div((src.tile[1] - 1) * src.extent[2] + src.tile[2], lane_count) * lane_count
    if job.panels:
        job.run = src.tile[1] * src.tile[2]
    job.tiles_all = 1
    for a in range(3):
        job.tiles[a] = ceil_div(counts[a], src.tile[a])
        job.tiles_all *= job.tiles[a]
    job.images = 1
    if job.tiles_all == 1:
        # Where g only passes by, the more images, the fewer sums over lanes.
        a = 2 * positions if job.whole and job.terms <= WEIGHT_TERMS else positions
        job.images = maximum(minimum(a // (src.tile[0] * job.run), geo.batch), 1)
        if geo.batch > 0:
            job.images = even_tile(geo.batch, job.images)
    job.tiles_all *= ceil_div(geo.batch, job.images)
    job.x_pitch = odd_lines(job.images * src.box, lane_count)
    job.channels = maximum(minimum(TILE_BYTES // (job.x_pitch * item), geo.wide), 1)
    job.x_image = src.box
    job.direct = job.panels and wide_plane(geo) * item % 2048 != 0
    for a in range(3):
        job.direct = job.direct and src.step[a] == 1 and src.base[a] == 0
    if job.direct and geo.groups * geo.wide * wide_plane(geo) * job.images < INT32_MAX:
        job.channels = geo.wide
        job.x_pitch = wide_plane(geo)
        job.x_image = geo.groups * geo.wide * wide_plane(geo)
        for a in range(3):
            src.extent[a] = src.size[a]
    else:
        job.direct = False
    if job.panels:
        job.g_pitch = job.images * src.tile[0] * job.run * job.part
        job.blocks = ceil_div(geo.narrow, job.part)
        job.ranges = ceil_div(job.blocks, 4)
    else:
        job.g_pitch = narrow_plane(geo) if job.whole else odd_lines(job.images * src.tile[0] * job.run, lane_count)
        # Where g comes from far, every term takes it at once.
        job.blocks = ceil_div(geo.narrow, 3 if job.whole and job.terms <= WEIGHT_TERMS else CONV_OB_MAX)
        job.ranges = ceil_div(job.blocks, 8)


cdef int weight_by_tiles(real* to, const real* g, const real* x, Geometry* geo) noexcept nogil:
    cdef WeightJob job
    cdef Py_ssize_t c, t, k, bytes
    cdef double work
    cdef char* memory
    job.geo = geo[0]
    job.to, job.g, job.x = to, g, x
    describe_weights(&job, sizeof(real))
    # Partial sums: enough groups of tiles to keep several threads busy, in little memory. One thread alone pays up to 3 % for them where
    # one channel comes in, nothing measurable where more do.
    bytes = geo.groups * job.blocks * job.terms * job.part * sizeof(real)
    job.sums = ceil_div(8, job.ranges * geo.groups)
    job.sums = maximum(minimum(minimum(job.sums, job.tiles_all), MOST_PARTIAL_BYTES // bytes), 1)
    memory = <char*>scratch(TL_SLOT_CONV_SHARED, <size_t>(job.sums * bytes + (job.channels * geo.cells + 16) * sizeof(int32_t)))
    if memory == NULL:
        return TL_NO_MEMORY
    job.partial = memory
    job.xoff = <int32_t*>(memory + job.sums * bytes)
    k = 0
    for c in range(job.channels):
        for t in range(geo.cells):
            job.xoff[k] = <int32_t>(c * job.x_pitch + cell_offset(&job.src, geo.axis, t))
            k += 1
    for t in range(16):
        job.xoff[k + t] = job.xoff[k - 1]
    job.units = job.sums * geo.groups * job.ranges
    work = <double>geo.batch * geo.groups * narrow_plane(geo) * geo.narrow * geo.wide * geo.cells / 25.0
    parallel_for(<chunk_fn>weight_unit[real], &job, job.units, work)
    if job.partial == NULL:
        return TL_NO_MEMORY
    work = <double>bytes * job.sums / 8.0
    parallel_for(<chunk_fn>finish_block[real], &job, geo.groups * job.blocks, work)
    return TL_OK
