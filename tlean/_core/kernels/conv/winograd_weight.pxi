# The weight gradient in Winograd's way, F(3x3, 4x4) with the points and tiles of the forward convolution, of which it is the adjoint:
# dw = G' [Σ_tiles (A g A') * (B' x B)] G. Chunks of tiles are transformed on both sides; then for every panel of output channels and block
# of input channels 36 matrix products run over the tiles, each in the order of the tiles, whichever thread computes it.
#
#   source v [block][point][tile][channel]     cotangents h [point][panel][tile][2 vectors]
#   sums s [panel, block][point][channel][2 vectors]

cdef enum:
    WINO_WEIGHT_TILES = 128         # transformed at once
    WINO_WEIGHT_CHANNELS = 32       # of x, of a block


cdef struct WinoWeightJob:
    WinoJob x               # reads x; its tiles are those of g
    WinoJob g               # reads g, as if for a window of one tile
    float* to
    float* h
    float* s                # or NULL, if one chunk has all the tiles
    float* e                # energies [group][vector of x, of g][tile row], from one to the next:
    Py_ssize_t map, pitch
    double* sums            # [group][10], see wino_pair_sums


cdef inline Py_ssize_t wino_tiles(WinoWeightJob* job) noexcept nogil:
    return (job.x.last - job.x.first) * job.x.columns


cdef void wino_pair_chunk(void* context, Py_ssize_t index) noexcept nogil:
    # Transform a run of tile rows: one vector of channels of x, or one of g.
    cdef WinoWeightJob* job = <WinoWeightJob*>context
    cdef Py_ssize_t lane_count = TL_LANES_f32, width = 2 * lane_count, rows = job.x.last - job.x.first
    cdef Py_ssize_t run = wino_run(&job.x), runs = ceil_div(rows, run), vectors = job.x.vectors + job.g.vectors, vector = index % vectors
    cdef Py_ssize_t tiles = rows * job.x.columns, row = index // vectors % runs * run, last = minimum(row + run, rows)
    cdef Py_ssize_t group = index // vectors // runs, channels, image, at
    cdef Py_ssize_t x_step = odd_step(tiles * job.x.block), g_step = odd_step(tiles * width * job.g.panels), plane
    cdef Py_ssize_t begin = row, first, i
    cdef Band band
    cdef float* h
    cdef float* to
    cdef const float* from_
    cdef float* e = job.e + (group * vectors + vector) * job.map
    cdef float* box = <float*>scratch(TL_SLOT_CONV_TILE, <size_t>wino_room(&job.x, lane_count) * 4)
    if box == NULL:
        job.x.status = TL_NO_MEMORY
        return
    if vector < job.x.vectors:
        band.first, band.last, band.left, band.right = job.x.first + row, job.x.first + last, 0, job.x.columns
        wino_read(&job.x, &band, group, vector, job.x.v + group * job.x.blocks * 36 * x_step + row * job.x.columns * job.x.block, x_step,
                  box, e + wino_map(row, job.pitch), False)
        return
    vector -= job.x.vectors
    channels = minimum(job.g.in_channels - vector * lane_count, lane_count)
    plane = job.g.in_size[0] * job.g.in_size[1]
    for row in range(row, last):
        image = (job.x.first + row) // job.x.rows
        at = job.x.first + row - image * job.x.rows
        first = maximum(begin, row - at)
        h = job.h + group * 36 * g_step + (vector // 2 * tiles + row * job.x.columns) * width + vector % 2 * lane_count
        to = e + wino_map(first, job.pitch) + 4 * (row - first) * job.pitch
        from_ = job.g.source + ((image * job.g.groups + group) * job.g.in_channels + vector * lane_count) * plane
        if job.g.source_blocked and job.g.in_size[1] == 4 * job.x.columns and job.g.in_size[0] >= 4 * at + 4:
            # Whole tiles are read in place.
            from_ += 4 * at * job.g.in_size[1] * lane_count
            for i in range(4):
                conv_zero(to + i * job.pitch, job.pitch)
                wino_blocked_row(to + i * job.pitch, from_ + i * job.g.in_size[1] * lane_count, plane * lane_count, False,
                                 job.g.in_size[1])
            wino_cotangent(h, g_step, width, from_, job.g.in_size[1] * lane_count, job.x.columns)
            continue
        wino_box(box, 4, 4 * job.x.columns, from_, channels, job.g.in_size[0], job.g.in_size[1], 4 * at, 0, job.g.source_blocked,
                 to, job.pitch, False)
        wino_cotangent(h, g_step, width, box, 4 * job.x.columns * lane_count, job.x.columns)


cdef void wino_add_up(float* e, Py_ssize_t vectors, Py_ssize_t map, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t k, i
    for k in range(1, vectors):
        for i in range(count):
            e[i] += e[k * map + i]


cdef void wino_pair_rows(WinoWeightJob* job, Py_ssize_t group) noexcept nogil:
    # The sums of the tile rows that are there.
    cdef Py_ssize_t rows = job.x.last - job.x.first, run = wino_run(&job.x), row = 0, n, at
    cdef float* x
    cdef float* g
    while row < rows:
        n = wino_together(&job.x, job.x.first + row, job.x.first + minimum((row // run + 1) * run, rows))
        x = job.e + group * (job.x.vectors + job.g.vectors) * job.map + wino_map(row, job.pitch)
        g = x + job.x.vectors * job.map
        wino_add_up(x, job.x.vectors, job.map, (4 * n + 2) * job.pitch)
        wino_add_up(g, job.g.vectors, job.map, 4 * n * job.pitch)
        at = (job.x.first + row) % job.x.rows
        wino_pair_sums(job.sums + 10 * group, x, g, job.pitch, minimum(4 * n, job.x.out_size[0] - 4 * at), job.x.out_size[1])
        row += n


cdef void wino_weight_chunk(void* context, Py_ssize_t index) noexcept nogil:
    # One panel of output channels and one block of input channels over all tiles that are there.
    cdef WinoWeightJob* job = <WinoWeightJob*>context
    cdef Py_ssize_t lane_count = TL_LANES_f32, width = 2 * lane_count, block = index % job.x.blocks
    cdef Py_ssize_t panel = index // job.x.blocks % job.g.panels, group = index // job.x.blocks // job.g.panels, tiles = wino_tiles(job)
    cdef Py_ssize_t x_step = odd_step(tiles * job.x.block), g_step = odd_step(tiles * width * job.g.panels)
    cdef Py_ssize_t begin = block * job.x.block, count = minimum(job.x.block, job.x.in_channels - begin)
    cdef Py_ssize_t step = odd_step(job.x.block * width), most = tl_even_panel(count, TL_MR), c, p, v, o, n, k
    cdef Py_ssize_t lanes = panel_lanes(job.g.in_channels, panel)
    cdef const float* x = job.x.v + (group * job.x.blocks + block) * 36 * x_step
    cdef const float* h = job.h + group * 36 * g_step + panel * tiles * width
    cdef float* s
    cdef float* to
    cdef float* cells = <float*>scratch(TL_SLOT_CONV_TILE, <size_t>wino_room(&job.x, lane_count) * 4)
    if job.s == NULL:
        s = <float*>scratch(TL_SLOT_CONV_PRODUCTS, <size_t>(36 * step * 4))
    else:
        s = job.s + index * 36 * step
    if s == NULL or cells == NULL:
        job.x.status = TL_NO_MEMORY
        return
    if panel == 0 and block == 0:
        wino_pair_rows(job, group)
    for p in range(36):
        c = 0
        while c < count:
            # s[c, o] (+)= Σ_t x[t, c] h[t, o]
            tl_micro(minimum(most, count - c), lanes, tiles, x + p * x_step + c, 1, job.x.block, h + p * g_step, width,
                     s + p * step + c * width, width, job.x.first > 0)
            c += most
    if job.x.last < job.x.images * job.x.rows:
        return
    for v in range(lanes // lane_count):
        o = (2 * panel + v) * lane_count
        n = minimum(job.g.in_channels - o, lane_count)
        wino_weights_back(cells, s + v * lane_count, step, width, count)
        to = job.to + ((group * job.g.in_channels + o) * job.x.in_channels + begin) * 9
        for k in range(ceil_div(9 * count, lane_count)):
            conv_turn(to + k * lane_count, 9 * job.x.in_channels, cells + k * lane_count * lane_count, lane_count,
                      minimum(9 * count - k * lane_count, lane_count), n)


cdef int winograd_weight(float* to, const float* g, const float* x, Geometry* geo, bint g_blocked=False,
                         bint x_blocked=False) noexcept nogil:
    # Or TL_NOT_TAKEN: all must be computed by the definition.
    cdef WinoWeightJob job
    cdef Py_ssize_t width = TL_NR_f32, chunk, tile_rows, tiles, parts, k
    cdef double work
    cdef int found, status
    if not wino_fits(geo):
        return TL_NOT_TAKEN
    wino_describe(&job.x, geo, False)
    wino_describe(&job.g, geo, True)
    job.g.panels = ceil_div(job.g.in_channels, width)
    if not wino_pays(&job.x):
        return TL_NOT_TAKEN
    job.to, job.x.source, job.g.source, job.s = to, x, g, NULL
    job.x.source_blocked, job.g.source_blocked = x_blocked, g_blocked
    job.x.cuts = 1
    in_blocks(&job.x, WINO_WEIGHT_CHANNELS)
    tile_rows = job.x.images * job.x.rows
    chunk = even_tile(tile_rows, maximum(WINO_WEIGHT_TILES // job.x.columns, 1))
    tiles = chunk * job.x.columns
    parts = job.x.groups * job.g.panels * job.x.blocks
    job.x.v = <float*>scratch(TL_SLOT_CONV_SHARED, <size_t>(job.x.groups * job.x.blocks * 36 * odd_step(tiles * job.x.block) * 4))
    job.h = <float*>scratch(TL_SLOT_CONV_SHARED_SOURCE, <size_t>(job.x.groups * 36 * odd_step(tiles * width * job.g.panels) * 4))
    if chunk < tile_rows:
        job.s = <float*>scratch(TL_SLOT_CONV_SHARED_SUMS, <size_t>(parts * 36 * odd_step(job.x.block * width) * 4))
        if job.s == NULL:
            return TL_NO_MEMORY
    job.pitch = wino_pitch(job.x.out_size[1])
    job.map = wino_map(chunk, job.pitch)
    k = ceil_div(job.x.groups * (job.x.vectors + job.g.vectors) * job.map, 2)
    job.sums = <double*>scratch(TL_SLOT_CONV_ENERGIES, <size_t>((k + 10 * job.x.groups) * 8))
    if job.x.v == NULL or job.h == NULL or job.sums == NULL:
        return TL_NO_MEMORY
    job.e = <float*>(job.sums + 10 * job.x.groups)
    for k in range(10 * job.x.groups):
        job.sums[k] = 0
    work = 36.0 * tiles * job.x.groups * job.x.in_channels * job.g.in_channels / 80.0
    job.x.first = 0
    while job.x.first < tile_rows:
        job.x.last = minimum(job.x.first + chunk, tile_rows)
        parallel_for(wino_pair_chunk, &job,
                     job.x.groups * ceil_div(job.x.last - job.x.first, wino_run(&job.x)) * (job.x.vectors + job.g.vectors), work / 16)
        parallel_for(wino_weight_chunk, &job, parts, work)
        job.x.first = job.x.last
    status = job.x.status
    for k in range(job.x.groups):
        found = wino_pair_is_even(job.sums + 10 * k, 0.01)
        if found == 0 and status == TL_OK:
            status = TL_NOT_TAKEN
    for k in range(job.x.groups):
        if status == TL_OK and wino_pair_is_even(job.sums + 10 * k, 0.01) < 0:
            return pairs_exactly(&job.x, &job.g)
    return status
