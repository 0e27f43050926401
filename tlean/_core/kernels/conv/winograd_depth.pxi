# Winograd's way for 3 x 3 x 3 windows at stride 1 in float, with few channels; see kernels/conv/winograd_depth.h.
#
#   source v [vector of tiles][point][plane][channel]    weights u [block of output channels][point][channel][tap][output channel]
#   sums m [point][output channel][plane]
#
# A band is some tile rows of every plane, and a part some of the planes; both together are a unit of work. A few planes of results are made
# at a time, from the transforms of the planes of the source around them: all but as many are there from the time before.
# A vector of tiles is four chunks of a fourth of the lanes, each within a tile row; tile rows are filled up to whole chunks.

cdef enum:
    DEPTH_SOURCE_BYTES = 393216     # of transformed planes that stay in the second-level cache
    DEPTH_WEIGHT_BYTES = 524288     # and of weights


cdef struct DepthJob:
    const float* source
    const float* w
    const float* bias
    float* to
    tl_finish* finish               # whom finished parts of the destination are reported to, or NULL
    bint adjoint
    Py_ssize_t in_channels, out_channels
    Py_ssize_t in_size[3]
    Py_ssize_t out_size[3]
    Py_ssize_t pad[3]
    Py_ssize_t images
    Py_ssize_t block                # output channels that are worked on together: 8 or 4
    Py_ssize_t most                 # and planes of results
    Py_ssize_t rows, chunks         # tile rows of a plane; chunks of tiles in a row
    Py_ssize_t band, bands          # tile rows of a band
    Py_ssize_t parts
    Py_ssize_t step                 # of v, from point to point
    Py_ssize_t vectors              # of tiles in a band
    Py_ssize_t pitch                # of a map of energies, a plane's places in a band
    float* u
    unsigned char* uneven           # of the output channels
    int status


cdef inline Py_ssize_t depth_blocks(DepthJob* job) noexcept nogil:
    return ceil_div(job.out_channels, job.block)


cdef inline Py_ssize_t depth_u_block(DepthJob* job) noexcept nogil:
    # Elements of the weights of one block of output channels.
    return 36 * 3 * job.in_channels * job.block


cdef inline const float* depth_cells(DepthJob* job, Py_ssize_t o, Py_ssize_t c, Py_ssize_t tap) noexcept nogil:
    # The 3 x 3 kernel of one depth tap.
    if job.adjoint:
        return job.w + ((c * job.out_channels + o) * 3 + 2 - tap) * 9
    return job.w + ((o * job.in_channels + c) * 3 + tap) * 9


cdef void depth_weights(DepthJob* job, float* u, float* cells) noexcept nogil:
    # Lanes are the kernels of a block in the order of u: their energies, mixed, say nothing.
    cdef Py_ssize_t lane_count = TL_LANES_f32, per_block = 3 * job.in_channels * job.block, b, at, n, lane, i, o
    cdef const float* w
    cdef float* room = cells + 9 * lane_count
    cdef float* taps = cells + 45 * lane_count
    conv_zero(taps, 9 * lane_count)
    for b in range(depth_blocks(job)):
        at = 0
        while at < per_block:
            n = minimum(per_block - at, lane_count)
            for lane in range(lane_count):
                o = b * job.block + (at + lane) % job.block
                if lane >= n or o >= job.out_channels:
                    for i in range(9):
                        cells[i * lane_count + lane] = 0
                    continue
                w = depth_cells(job, o, (at + lane) // job.block // 3, (at + lane) // job.block % 3)
                for i in range(9):
                    cells[i * lane_count + lane] = w[i]
            if n == lane_count and per_block % lane_count == 0:
                wino_weights(u + at, per_block, lane_count, cells, 1, job.adjoint, taps)
            else:
                wino_weights(room, lane_count, lane_count, cells, 1, job.adjoint, taps)
                for i in range(36):
                    for lane in range(n):
                        u[i * per_block + at + lane] = room[i * lane_count + lane]
            at += n
        u += depth_u_block(job)


cdef struct DepthUnit:
    Py_ssize_t image
    Py_ssize_t first, rows          # of the band's tile rows
    Py_ssize_t vectors
    Py_ssize_t low, high            # rows of results
    float* v
    float* m
    float* e                        # energies of the planes that are kept, then room for what is made of them or for a repair
    bint measured[9]                # whether these are there; else those of whole blocks of places are even, or have not been asked for
    wino_extent extent[9]           # of these planes
    unsigned char* marks            # [plane of results][tile row][whether any tile is marked, then one for each]


cdef inline void depth_place(DepthJob* job, DepthUnit* unit, Py_ssize_t vector, Py_ssize_t* top, Py_ssize_t* left) noexcept nogil:
    # Where the four chunks of a vector of tiles begin in a plane of results; those behind the last one, below it.
    cdef Py_ssize_t k, row
    for k in range(4):
        row = (4 * vector + k) // job.chunks
        top[k] = 4 * (unit.first + row) if row < unit.rows else job.out_size[1] + 2
        left[k] = ((4 * vector + k) % job.chunks) * TL_LANES_f32


cdef inline Py_ssize_t depth_map(DepthJob* job) noexcept nogil:
    # Elements of the energies of one plane of a band.
    return (4 * job.band + 2) * job.pitch + TL_LANES_f32


cdef inline Py_ssize_t depth_tiles(DepthJob* job) noexcept nogil:
    return ceil_div(job.out_size[2], 4)


cdef Py_ssize_t depth_room(DepthJob* job) noexcept nogil:
    # Elements behind the energies: those of three planes together, a line of them, or a tile's places and results.
    return maximum(depth_map(job), 3 * job.in_channels * WINO_PATCH + 16 * WINO_OB)


cdef void depth_image(DepthJob* job, Py_ssize_t image, Py_ssize_t z, Py_ssize_t slabs, wino_planes* x) noexcept nogil:
    # The planes z … of the source.
    cdef Py_ssize_t s
    x.height, x.width, x.blocked, x.channels, x.slabs = job.in_size[1], job.in_size[2], False, job.in_channels, slabs
    x.channel_step = job.in_size[0] * x.height * x.width
    for s in range(slabs):
        x.slab[s] = NULL
        if 0 <= z + s < job.in_size[0]:
            x.slab[s] = job.source + image * job.in_channels * x.channel_step + (z + s) * x.height * x.width


cdef float* depth_measure(DepthJob* job, DepthUnit* unit, Py_ssize_t slab) noexcept nogil:
    # The energies of one plane of the source that is kept.
    cdef Py_ssize_t kept = job.most + 2, size = depth_map(job), rows = 4 * unit.rows + 2, slot = (slab + job.pad[0]) % kept
    cdef float* e = unit.e + slot * size
    cdef wino_planes x
    if unit.measured[slot]:
        return e
    unit.measured[slot] = True
    if slab < 0 or slab >= job.in_size[0]:
        conv_zero(e, rows * job.pitch)
        return e
    depth_image(job, unit.image, slab, 1, &x)
    wino_energies(e, unit.e + kept * size, &x, 4 * unit.first - job.pad[1], -job.pad[2], rows, job.out_size[2] + 2, job.pitch)
    return e


cdef void depth_mark(DepthJob* job, DepthUnit* unit, Py_ssize_t z, Py_ssize_t depth) noexcept nogil:
    # Which tiles of the planes z … z + depth − 1 of results the definition has to compute.
    cdef Py_ssize_t size = depth_map(job), kept = job.most + 2, wide = depth_tiles(job) + 1, d, r
    cdef float* sums = unit.e + kept * size
    cdef unsigned char* marks = unit.marks
    cdef float low, high
    cdef wino_planes x
    for d in range(z, z + depth):
        low = high = 0
        for r in range(3):
            low += unit.extent[(d + r) % kept].low
            high += unit.extent[(d + r) % kept].high
        if wino_surely_even(low, high):
            memset(marks, 0, <size_t>(unit.rows * wide))
            marks += unit.rows * wide
            continue
        for r in range(3):
            depth_measure(job, unit, d + r - job.pad[0])
        depth_energies(sums, unit.e + d % kept * size, unit.e + (d + 1) % kept * size, unit.e + (d + 2) % kept * size,
                       (4 * unit.rows + 2) * job.pitch)
        depth_image(job, unit.image, d - job.pad[0], 3, &x)
        for r in range(unit.rows):
            marks[0] = wino_mark(marks + 1, sums + 4 * r * job.pitch, job.pitch, &x, 4 * (unit.first + r) - job.pad[1], -job.pad[2],
                                 minimum(job.out_size[1] - 4 * (unit.first + r), 4), job.out_size[2])
            marks += wide


cdef void depth_repair(DepthJob* job, DepthUnit* unit, Py_ssize_t b, Py_ssize_t z, const unsigned char* marks, float* to) noexcept nogil:
    # One plane of results of a block of output channels: the marked tiles, and all of uneven channels, by the definition.
    cdef Py_ssize_t tiles = depth_tiles(job), plane = job.out_size[1] * job.out_size[2], n, r, t, o, k, y, q, at, some
    cdef Py_ssize_t o_step = 27, c_step = 27 * job.out_channels, s_step = -9
    cdef float bias[8]
    cdef float* room = unit.e + (job.most + 2) * depth_map(job)
    cdef float* results = room + 3 * job.in_channels * WINO_PATCH
    cdef const unsigned char* uneven = job.uneven + b * job.block
    cdef const float* w = job.w
    cdef wino_planes x
    cdef bint all = False
    if not job.adjoint:
        o_step, c_step, s_step = 27 * job.in_channels, 27, 9
    else:
        w += 18
    w += b * job.block * o_step
    n = minimum(job.out_channels - b * job.block, job.block)
    for k in range(n):
        bias[k] = job.bias[b * job.block + k] if job.bias != NULL else 0
        all |= uneven[k]
    depth_image(job, unit.image, z - job.pad[0], 3, &x)
    for r in range(unit.rows):
        for t in range(tiles):
            if not all and not marks[r * (tiles + 1) + 1 + t]:
                continue
            wino_patch(room, &x, 4 * (unit.first + r) - job.pad[1], 4 * t - job.pad[2])
            o = 0
            while o < n:
                some = minimum(n - o, WINO_OB)
                wino_direct(results, room, job.in_channels, 3, w + o * o_step, o_step, c_step, s_step, job.adjoint, bias + o, some)
                for k in range(some):
                    if not marks[r * (tiles + 1) + 1 + t] and not uneven[o + k]:
                        continue
                    for y in range(minimum(unit.high - unit.low - 4 * r, 4)):
                        at = (unit.low + 4 * r + y) * job.out_size[2] + 4 * t
                        for q in range(minimum(job.out_size[2] - 4 * t, 4)):
                            to[(o + k) * job.out_size[0] * plane + at + q] = results[16 * k + 4 * y + q]
                o += some


cdef void depth_read(DepthJob* job, DepthUnit* unit, Py_ssize_t slab) noexcept nogil:
    # The transforms of one plane of the source, all channels, into its place among those that are kept.
    cdef Py_ssize_t lane_count = TL_LANES_f32, in_plane = job.in_size[1] * job.in_size[2], c, k, i
    cdef float* v = unit.v + (slab + job.pad[0]) % (job.most + 2) * job.in_channels * lane_count
    cdef Py_ssize_t kept = job.most + 2, low, high
    cdef float* line = unit.e + kept * depth_map(job)
    cdef Py_ssize_t top[4]
    cdef Py_ssize_t left[4]
    cdef wino_planes x
    unit.measured[(slab + job.pad[0]) % kept] = False
    if slab < 0 or slab >= job.in_size[0]:
        unit.extent[(slab + job.pad[0]) % kept].low = unit.extent[(slab + job.pad[0]) % kept].high = 0
        for k in range(36 * unit.vectors):
            conv_zero(v + k * job.step, job.in_channels * lane_count)
        return
    for k in range(unit.vectors):
        depth_place(job, unit, k, top, left)
        for i in range(4):
            top[i] -= job.pad[1]
            left[i] -= job.pad[2]
        for c in range(job.in_channels):
            depth_source(v + k * 36 * job.step + c * lane_count, job.step,
                         job.source + ((unit.image * job.in_channels + c) * job.in_size[0] + slab) * in_plane,
                         job.in_size[1], job.in_size[2], top, left)
    low = maximum(unit.low - job.pad[1], 0)
    high = minimum(unit.high + 2 - job.pad[1], job.in_size[1])
    if job.pad[1] > 1 or job.pad[2] > 1 or high - low < 3:
        unit.extent[(slab + job.pad[0]) % kept] = wino_extent_of(depth_measure(job, unit, slab), job.pitch, unit.high - unit.low,
                                                                 job.out_size[2])
        return
    depth_image(job, unit.image, slab, 1, &x)
    wino_line(line, x.slab[0] + low * x.width, x.channel_step, x.channels, (high - low) * x.width)
    unit.extent[(slab + job.pad[0]) % kept] = wino_extent_of_blocks(line, high - low, x.width)


cdef void depth_write(DepthJob* job, DepthUnit* unit, Py_ssize_t b, Py_ssize_t z, Py_ssize_t depth) noexcept nogil:
    # Planes z … z + depth − 1 of a block of output channels.
    cdef Py_ssize_t lane_count = TL_LANES_f32, height = job.out_size[1], width = job.out_size[2], plane = height * width
    cdef Py_ssize_t channels = minimum(job.out_channels - b * job.block, job.block), m_step = depth_m_step(job), k, o, d, at, r
    cdef Py_ssize_t top[4]
    cdef Py_ssize_t left[4]
    cdef Py_ssize_t slots[8]
    cdef const unsigned char* marks = unit.marks
    cdef bint repair
    cdef float* to = job.to + ((unit.image * job.out_channels + b * job.block) * job.out_size[0] + z) * plane
    for d in range(depth + 2):
        slots[d] = (z + d) % (job.most + 2) * job.in_channels * lane_count
    for k in range(unit.vectors):
        depth_sums[job.block == 8][depth](unit.m, m_step, unit.v + k * 36 * job.step, job.step, slots, job.u + b * depth_u_block(job),
                                          job.in_channels)
        depth_place(job, unit, k, top, left)
        for o in range(channels):
            for d in range(depth):
                depth_result(to + (o * job.out_size[0] + d) * plane, height, width, top, left,
                             unit.m + (o * depth + d) * lane_count, m_step, job.bias[b * job.block + o] if job.bias != NULL else 0)
    for d in range(depth):
        repair = False
        for o in range(channels):
            repair |= job.uneven[b * job.block + o]
        for r in range(unit.rows):
            repair |= marks[r * (depth_tiles(job) + 1)]
        if repair:
            depth_repair(job, unit, b, z + d, marks, to + d * plane)
        marks += unit.rows * (depth_tiles(job) + 1)
    if job.finish != NULL:
        for o in range(channels):
            at = to + o * job.out_size[0] * plane - job.to
            if job.bands == 1:
                tl_finished(job.finish, at, at + depth * plane)
                continue
            for d in range(depth):
                tl_finished(job.finish, at + d * plane + unit.low * width, at + d * plane + unit.high * width)


cdef inline Py_ssize_t depth_m_step(DepthJob* job) noexcept nogil:
    return odd_step(job.block * job.most * TL_LANES_f32)


cdef void depth_chunk(void* context, Py_ssize_t index) noexcept nogil:
    # One part of one band of one image.
    cdef DepthJob* job = <DepthJob*>context
    cdef Py_ssize_t part = index % job.parts, rest = index // job.parts, z, end, seen, b, depth, elements
    cdef DepthUnit unit
    unit.image = rest // job.bands
    unit.first = rest % job.bands * job.band
    unit.rows = minimum(job.band, job.rows - unit.first)
    unit.vectors = ceil_div(unit.rows * job.chunks, 4)
    unit.low, unit.high = 4 * unit.first, minimum(4 * (unit.first + unit.rows), job.out_size[1])
    unit.v = <float*>scratch(TL_SLOT_CONV_SOURCE, <size_t>(36 * job.step * job.vectors * 4))
    unit.m = <float*>scratch(TL_SLOT_CONV_PRODUCTS, <size_t>(36 * depth_m_step(job) * 4))
    elements = (job.most + 2) * depth_map(job) + depth_room(job)
    unit.e = <float*>scratch(TL_SLOT_CONV_TILE, <size_t>(elements * 4 + job.most * job.band * (depth_tiles(job) + 1)))
    unit.marks = <unsigned char*>(unit.e + elements)
    if unit.v == NULL or unit.m == NULL or unit.e == NULL:
        job.status = TL_NO_MEMORY
        return
    z, end = job.out_size[0] * part // job.parts, job.out_size[0] * (part + 1) // job.parts
    seen = z
    while z < end:
        depth = minimum(even_tile(end - z, job.most), end - z)
        while seen < z + depth + 2:
            depth_read(job, &unit, seen - job.pad[0])
            seen += 1
        depth_mark(job, &unit, z, depth)
        for b in range(depth_blocks(job)):
            depth_write(job, &unit, b, z, depth)
        z += depth


cdef bint depth_describe(DepthJob* job, Geometry* geo, bint adjoint) noexcept nogil:
    # Whether this is a 3 x 3 x 3 window at stride 1 whose adjoint is one too, whose planes and weights stay in the second-level cache.
    cdef Py_ssize_t lane_count = TL_LANES_f32, per_vector, a
    for a in range(3):
        if geo.axis[a].stride != 1 or geo.axis[a].dilation != 1 or geo.axis[a].kernel != 3 or geo.axis[a].padding > 2:
            return False
    if geo.groups != 1 or geo.batch * geo.wide * geo.narrow * wide_plane(geo) * narrow_plane(geo) == 0:
        return False
    job.adjoint, job.images, job.status = adjoint, geo.batch, TL_OK
    job.in_channels, job.out_channels = geo.wide, geo.narrow
    for a in range(3):
        job.in_size[a], job.out_size[a], job.pad[a] = geo.axis[a].wide, geo.axis[a].narrow, geo.axis[a].padding
    if adjoint:
        job.in_channels, job.out_channels = job.out_channels, job.in_channels
        for a in range(3):
            job.in_size[a], job.out_size[a], job.pad[a] = job.out_size[a], job.in_size[a], 2 - job.pad[a]
    job.rows, job.chunks = ceil_div(job.out_size[1], 4), ceil_div(job.out_size[2], lane_count)
    job.block = 8 if DEPTH_BLOCK == 8 and (job.out_channels - 1) % 8 >= 4 else 4
    job.most = minimum(DEPTH_MOST_8 if job.block == 8 else DEPTH_MOST_4, job.out_size[0])
    job.step = odd_step((job.most + 2) * job.in_channels * lane_count)
    per_vector = 36 * job.step * 4
    a = DEPTH_SOURCE_BYTES // per_vector * 4 // job.chunks
    if a == 0 or depth_blocks(job) * depth_u_block(job) * 4 > DEPTH_WEIGHT_BYTES:
        return False
    job.band = even_tile(job.rows, a)
    job.bands = ceil_div(job.rows, job.band)
    job.vectors = ceil_div(job.band * job.chunks, 4)
    job.pitch = wino_pitch(job.out_size[2])
    return True


cdef bint depth_pays(Geometry* geo, bint adjoint) noexcept nogil:
    # Cycles, about, as measured: sums and transforms, against the products of the definition.
    cdef DepthJob job
    cdef double lane_count = TL_LANES_f32, outputs, vectors, direct
    if not depth_describe(&job, geo, adjoint):
        return False
    outputs = depth_blocks(&job) * job.block
    vectors = <double>job.images * job.bands * job.vectors * job.out_size[0]
    direct = 0.58 * 27 * job.in_channels * job.out_channels / lane_count
    direct *= <double>job.images * job.out_size[0] * job.out_size[1] * job.out_size[2]
    return vectors * (0.6 * 108 * job.in_channels * outputs + 230 * job.in_channels + 150 * outputs) + 2000 < 0.9 * direct


cdef int winograd_depth(float* to, const float* source, const float* w, const float* bias, Geometry* geo, bint adjoint,
                        tl_finish* finish) noexcept nogil:
    cdef DepthJob job
    cdef Py_ssize_t lane_count = TL_LANES_f32, elements, o
    depth_describe(&job, geo, adjoint)
    job.to, job.source, job.w, job.bias, job.finish = to, source, w, bias, finish
    elements = depth_blocks(&job) * depth_u_block(&job)
    job.u = <float*>scratch(TL_SLOT_CONV_SHARED, <size_t>((ceil_div(elements, 16) * 16 + 54 * lane_count) * 4 + job.out_channels))
    if job.u == NULL:
        return TL_NO_MEMORY
    depth_weights(&job, job.u, job.u + ceil_div(elements, 16) * 16)
    job.uneven = <unsigned char*>(job.u + ceil_div(elements, 16) * 16 + 54 * lane_count)
    for o in range(job.out_channels):
        # Taps of depth are not mixed.
        job.uneven[o] = not wino_filters_are_even(depth_cells(&job, o, 0, 2 if adjoint else 0), 27 * (job.out_channels if adjoint else 1),
                                                  job.in_channels)
    # Some units even of a single image; each reads two planes more than it makes.
    job.parts = maximum(minimum(ceil_div(4, job.images * job.bands), job.out_size[0] // 6), 1)
    parallel_for(depth_chunk, &job, job.images * job.bands * job.parts,
                 108.0 * job.images * job.bands * job.vectors * job.out_size[0] * job.in_channels * job.out_channels / 7.0)
    return job.status
