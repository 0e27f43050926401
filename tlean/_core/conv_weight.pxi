# Weight gradient: dw[o, c, t] = Σ_{n, p} g[n, o, p] x[n, c, window p, cell t], dot products over positions.

# Elements of a block of g that stays in the first-level cache while every term of x passes by.
cdef enum:
    WEIGHT_POSITIONS = 896
    MOST_PARTIAL_BYTES = 8388608


cdef struct WeightJob:
    void* to
    const void* g
    const void* x
    void* partial           # [sum][group][block][term][CONV_PART]
    Geometry geo
    Source src
    Py_ssize_t tiles[3]
    Py_ssize_t images       # of a tile
    Py_ssize_t tiles_all
    bint dense3             # depthwise under a dense 3 x 3 window
    Py_ssize_t g_row        # pitch of the rows of g
    Py_ssize_t run          # positions of a slice: rows of one depth, the gaps between rows included, rounded up to whole vectors
    Py_ssize_t terms        # wide·cells
    Py_ssize_t blocks       # of output channels, of a group
    Py_ssize_t ranges       # the blocks of a unit
    Py_ssize_t sums         # groups of tiles, each with a partial sum of its own
    Py_ssize_t channels     # of x that are copied at a time
    Py_ssize_t x_pitch, g_pitch
    Py_ssize_t units
    int32_t* xoff           # of the terms of `channels` channels


cdef void copy_g(real* to, const real* g, WeightJob* job, const Py_ssize_t* origin, Py_ssize_t depth, Py_ssize_t rows,
                 Py_ssize_t columns) noexcept nogil:
    # One channel of one image: slices of rows at the pitch of x (dense3: of whole vectors), zero between and behind.
    cdef Py_ssize_t pitch = job.g_row, d
    cdef Axis* axis = job.geo.axis
    cdef const real* g_rows
    for d in range(depth):
        g_rows = g + ((origin[0] + d) * axis[1].narrow + origin[1]) * axis[2].narrow + origin[2]
        take_rows(to, pitch, g_rows, axis[2].narrow, rows - 1, pitch, 0, columns, 1)
        take_rows(to + (rows - 1) * pitch, pitch, g_rows + (rows - 1) * axis[2].narrow, pitch, 1, columns, 0, columns, 1)
        fill_zero(to + (rows - 1) * pitch + columns, job.run - (rows - 1) * pitch - columns)
        to += job.run


cdef void weight_tile(real* part, real* xbox, real* gbox, int32_t* gslice, int32_t* xslice, const real* g, const real* x, WeightJob* job,
                      Py_ssize_t tile, Py_ssize_t group, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    # Add one tile's contribution to the blocks first … last − 1 of a group.
    cdef Geometry* geo = &job.geo
    cdef Source* src = &job.src
    cdef Py_ssize_t wide = wide_plane(geo), narrow = narrow_plane(geo), boxes = job.tiles[0] * job.tiles[1] * job.tiles[2]
    cdef Py_ssize_t image = tile // boxes * job.images, images = minimum(job.images, geo.batch - image)
    cdef Py_ssize_t origin[3]
    cdef Py_ssize_t n, d, o, c, b, k, i, j, count, size, step, depth, rows, columns, slices = 0, channels
    cdef Py_ssize_t begin = geo.narrow * first // job.blocks, end = geo.narrow * last // job.blocks
    cdef real spare[9 * CONV_PART]
    cdef real* sums
    split(origin, tile % boxes, job.tiles[1], job.tiles[2])
    for d in range(3):
        origin[d] *= src.tile[d]
    depth = minimum(src.tile[0], geo.axis[0].narrow - origin[0])
    rows = minimum(src.tile[1], geo.axis[1].narrow - origin[1])
    columns = minimum(src.tile[2], geo.axis[2].narrow - origin[2])
    for n in range(images):
        for d in range(depth):
            gslice[slices] = <int32_t>((n * src.tile[0] + d) * job.run)
            xslice[slices] = <int32_t>(n * src.box + d * src.extent[1] * src.extent[2])
            slices += 1
        for o in range(begin, end):
            copy_g(gbox + (o - begin) * job.g_pitch + n * src.tile[0] * job.run,
                   g + (((image + n) * geo.groups + group) * geo.narrow + o) * narrow, job, origin, depth, rows, columns)
    for j in range(ceil_div(geo.wide, job.channels)):
        c = j * job.channels
        channels = minimum(job.channels, geo.wide - c)
        for k in range(channels):
            for n in range(images):
                copy_box(xbox + k * job.x_pitch + n * src.box, x + (((image + n) * geo.groups + group) * geo.wide + c + k) * wide, src, origin)
            # The last vector of a run reaches beyond the box; what it meets there is multiplied by zero and must be finite.
            fill_zero(xbox + k * job.x_pitch + images * src.box, job.x_pitch - images * src.box)
        fill_zero(xbox + channels * job.x_pitch, CONV_VECTOR_BYTES // sizeof(real))
        if job.dense3:
            for n in range(slices):
                fill_zero(spare, 9)
                if real is float:
                    dense3_weight_f32(xbox + xslice[n], src.extent[2], gbox + gslice[n], job.g_row, rows, spare)
                else:
                    dense3_weight_f64(xbox + xslice[n], src.extent[2], gbox + gslice[n], job.g_row, rows, spare)
                for k in range(9):
                    part[k * CONV_PART] += spare[k]
            continue
        count = channels * geo.cells
        for b in range(first, last):
            o = geo.narrow * b // job.blocks
            size = geo.narrow * (b + 1) // job.blocks - o
            step = conv_kb_max[size]
            for i in range(ceil_div(count, step)):
                k = i * step
                sums = part + ((b - first) * job.terms + c * geo.cells + k) * CONV_PART
                if count - k < step:
                    sums = spare
                    fill_zero(spare, 9 * CONV_PART)
                if real is float:
                    dw_block_f32[size](slices, gslice, xslice, job.run, gbox + (o - begin) * job.g_pitch, job.g_pitch, xbox,
                                       job.xoff + k, sums)
                else:
                    dw_block_f64[size](slices, gslice, xslice, job.run, gbox + (o - begin) * job.g_pitch, job.g_pitch, xbox,
                                       job.xoff + k, sums)
                if count - k < step:
                    sums = part + ((b - first) * job.terms + c * geo.cells + k) * CONV_PART
                    for n in range((count - k) * CONV_PART):
                        sums[n] += spare[n]


cdef void weight_unit(WeightJob* job, Py_ssize_t unit, const real* g, const real* x) noexcept nogil:
    # One group of tiles, one group of channels, one range of blocks.
    cdef Py_ssize_t share = unit % job.ranges, group = unit // job.ranges % job.geo.groups, sums = unit // job.ranges // job.geo.groups
    cdef Py_ssize_t first = job.blocks * share // job.ranges, last = job.blocks * (share + 1) // job.ranges, tile
    cdef Py_ssize_t slices = job.images * job.src.tile[0]
    cdef Py_ssize_t channels = ceil_div(job.blocks, job.ranges) * CONV_PART
    cdef real* part = <real*>job.partial + ((sums * job.geo.groups + group) * job.blocks + first) * job.terms * CONV_PART
    cdef real* xbox = <real*>scratch(1, <size_t>((job.channels * job.x_pitch + CONV_VECTOR_BYTES) * sizeof(real)))
    cdef real* gbox = <real*>scratch(2, <size_t>(channels * job.g_pitch * sizeof(real)))
    cdef int32_t* gslice = <int32_t*>scratch(3, <size_t>(2 * slices * sizeof(int32_t)))
    if xbox == NULL or gbox == NULL or gslice == NULL:
        job.partial = NULL
        return
    fill_zero(part, (last - first) * job.terms * CONV_PART)
    for tile in range(job.tiles_all * sums // job.sums, job.tiles_all * (sums + 1) // job.sums):
        weight_tile(part, xbox, gbox, gslice, gslice + slices, g, x, job, tile, group, first, last)


cdef void weight_unit_f32(void* job, Py_ssize_t unit) noexcept nogil:
    weight_unit(<WeightJob*>job, unit, <const float*>(<WeightJob*>job).g, <const float*>(<WeightJob*>job).x)


cdef void weight_unit_f64(void* job, Py_ssize_t unit) noexcept nogil:
    weight_unit(<WeightJob*>job, unit, <const double*>(<WeightJob*>job).g, <const double*>(<WeightJob*>job).x)


cdef real exact_entry(WeightJob* job, const real* g, const real* x, Py_ssize_t o, Py_ssize_t c, Py_ssize_t cell) noexcept nogil:
    # dw[o, c, cell] from its true products alone; o and c count over all groups.
    cdef Geometry* geo = &job.geo
    cdef Axis* axis = geo.axis
    cdef Py_ssize_t t[3]
    cdef Py_ssize_t n, p, at0, at1, at2, plane = narrow_plane(geo)
    cdef Py_ssize_t place[3]
    cdef real total = 0
    split(t, cell, axis[1].kernel, axis[2].kernel)
    for n in range(geo.batch):
        for p in range(plane):
            split(place, p, axis[1].narrow, axis[2].narrow)
            at0 = place[0] * axis[0].stride - axis[0].padding + t[0] * axis[0].dilation
            at1 = place[1] * axis[1].stride - axis[1].padding + t[1] * axis[1].dilation
            at2 = place[2] * axis[2].stride - axis[2].padding + t[2] * axis[2].dilation
            if 0 <= at0 < axis[0].wide and 0 <= at1 < axis[1].wide and 0 <= at2 < axis[2].wide:
                total += (g[(n * geo.groups * geo.narrow + o) * plane + p]
                          * x[(((n * geo.groups * geo.wide + c) * axis[0].wide + at0) * axis[1].wide + at1) * axis[2].wide + at2])
    return total


cdef void finish_block(WeightJob* job, Py_ssize_t index, const real* g, const real* x, real* to) noexcept nogil:
    # Add the partial sums of one block of output channels, in order, and write its rows of dw.
    cdef Py_ssize_t block = index % job.blocks, group = index // job.blocks, k, i, s
    cdef Py_ssize_t o = job.geo.narrow * block // job.blocks, size = job.geo.narrow * (block + 1) // job.blocks - o
    cdef Py_ssize_t stride = job.geo.groups * job.blocks * job.terms * CONV_PART
    cdef real* part = <real*>job.partial + index * job.terms * CONV_PART
    cdef bint numbers
    for s in range(1, job.sums):
        for k in range(job.terms * CONV_PART):
            part[k] += part[s * stride + k]
    to += (group * job.geo.narrow + o) * job.terms
    if real is float:
        numbers = conv_unpack_f32(to, part, size, job.terms)
    else:
        numbers = conv_unpack_f64(to, part, size, job.terms)
    if numbers:
        return
    # Gaps of the tile carry a zero of g against some x; where that x is not finite the sum is spoilt and is taken again.
    for k in range(size * job.terms):
        if to[k] != to[k]:
            i = k // job.terms
            s = k - i * job.terms
            to[k] = exact_entry(job, g, x, group * job.geo.narrow + o + i, group * job.geo.wide + s // job.geo.cells, s % job.geo.cells)


cdef void finish_block_f32(void* job, Py_ssize_t index) noexcept nogil:
    finish_block(<WeightJob*>job, index, <const float*>(<WeightJob*>job).g, <const float*>(<WeightJob*>job).x, <float*>(<WeightJob*>job).to)


cdef void finish_block_f64(void* job, Py_ssize_t index) noexcept nogil:
    finish_block(<WeightJob*>job, index, <const double*>(<WeightJob*>job).g, <const double*>(<WeightJob*>job).x,
                 <double*>(<WeightJob*>job).to)


cdef int weight_gradient(real* to, const real* g, const real* x, const int64_t* ints) noexcept nogil:
    cdef WeightJob job
    cdef Geometry* geo = &job.geo
    cdef Source* src = &job.src
    cdef Py_ssize_t counts[3]
    cdef Py_ssize_t over[3]
    cdef Py_ssize_t lane_count = CONV_VECTOR_BYTES // sizeof(real), positions = WEIGHT_POSITIONS * 4 // sizeof(real), a, c, t, k, bytes
    cdef double work
    cdef char* memory
    read_geometry(geo, ints)
    job.to, job.g, job.x = to, g, x
    job.terms = geo.wide * geo.cells
    source_of_wide(src, geo)
    for a in range(3):
        counts[a] = geo.axis[a].narrow
        over[a] = reach(&geo.axis[a])
        src.tile[a] = counts[a]
    # A tile of about `positions` cells: several images, or a box of one.
    src.tile[2] = even_tile(counts[2], positions)
    src.tile[1] = even_tile(counts[1], maximum(positions // (src.tile[2] + over[2]), 1))
    src.tile[0] = even_tile(counts[0], maximum(positions // ((src.tile[2] + over[2]) * src.tile[1]), 1))
    set_tile(src, over)
    job.dense3 = is_dense3(geo) and geo.narrow == 1
    job.g_row = src.extent[2]
    job.run = ceil_div((src.tile[1] - 1) * src.extent[2] + src.tile[2], lane_count) * lane_count
    if job.dense3:
        job.g_row = ceil_div(src.tile[2], lane_count) * lane_count
        job.run = src.tile[1] * job.g_row
    job.tiles_all = 1
    for a in range(3):
        job.tiles[a] = ceil_div(counts[a], src.tile[a])
        job.tiles_all *= job.tiles[a]
    job.images = 1
    if job.tiles_all == 1:
        job.images = maximum(minimum(positions // (src.tile[0] * job.run), geo.batch), 1)
        if geo.batch > 0:
            job.images = even_tile(geo.batch, job.images)
    job.tiles_all *= ceil_div(geo.batch, job.images)
    job.x_pitch = odd_lines(job.images * src.box, lane_count)
    job.g_pitch = odd_lines(job.images * src.tile[0] * job.run, lane_count)
    job.channels = maximum(minimum(TILE_BYTES // (job.x_pitch * sizeof(real)), geo.wide), 1)
    job.blocks = ceil_div(geo.narrow, CONV_OB_MAX)
    job.ranges = ceil_div(job.blocks, 8)
    # Partial sums: enough groups of tiles to keep several threads busy, in little memory.
    bytes = geo.groups * job.blocks * job.terms * CONV_PART * sizeof(real)
    job.sums = ceil_div(8, job.ranges * geo.groups)
    job.sums = maximum(minimum(minimum(job.sums, job.tiles_all), MOST_PARTIAL_BYTES // bytes), 1)
    memory = <char*>scratch(0, <size_t>(job.sums * bytes + (job.channels * geo.cells + 16) * sizeof(int32_t)))
    if memory == NULL:
        return TL_NO_MEMORY
    job.partial = memory
    job.xoff = <int32_t*>(memory + job.sums * bytes)
    k = 0
    for c in range(job.channels):
        for t in range(geo.cells):
            job.xoff[k] = <int32_t>(c * job.x_pitch + cell_offset(src, geo.axis, t))
            k += 1
    for t in range(16):
        job.xoff[k + t] = job.xoff[k - 1]
    job.units = job.sums * geo.groups * job.ranges
    work = <double>geo.batch * geo.groups * narrow_plane(geo) * geo.narrow * geo.wide * geo.cells / 25.0
    if real is float:
        parallel_for(weight_unit_f32, &job, job.units, work)
    else:
        parallel_for(weight_unit_f64, &job, job.units, work)
    if job.partial == NULL:
        return TL_NO_MEMORY
    work = <double>bytes * job.sums / 8.0
    if real is float:
        parallel_for(finish_block_f32, &job, geo.groups * job.blocks, work)
    else:
        parallel_for(finish_block_f64, &job, geo.groups * job.blocks, work)
    return TL_OK
