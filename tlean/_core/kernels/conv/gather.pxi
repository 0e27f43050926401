# Forward convolution and input gradient of any geometry: one gathering engine, told apart by its source, its terms and the step of its
# destination.

# Positions of a strip: the results of one block of channels stay in the first-level cache until they are written out.
cdef enum:
    STRIP = 768


# Vectors of positions of a strip: where they read and where they write.
cdef struct Vectors:
    Pass* each
    Py_ssize_t rows, columns, count
    bint in_place           # written straight to the destination, by rows or as one run
    Py_ssize_t out_pitch    # of the temporary, from channel to channel
    Py_ssize_t row_pitch    # and from row to row
    int32_t* pos
    int32_t* opos


cdef void list_vectors(Vectors* vec, GatherJob* job, Pass* one, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t lane_count) noexcept nogil:
    # Rows may be cut into vectors one by one (the last overlapping its neighbour), or the strip as one run, rows and the gaps between
    # them alike; the cheaper way is taken, counting two multiply-adds a cycle.
    cdef Py_ssize_t pitch = job.src.extent[2], run = (rows - 1) * pitch + columns
    cdef Py_ssize_t per_row = ceil_div(columns, lane_count), whole = ceil_div(run, lane_count)
    cdef bint dense = job.step[2] == 1
    cdef bint flat_in_place = (dense and pitch == columns and job.size[2] == columns and job.step[1] == 1 and run >= lane_count)
    cdef double flat_cost = <double>whole * (one.terms + (1 if flat_in_place else 4))
    cdef double row_cost = <double>(rows * per_row) * (one.terms + (1 if dense else 4))
    cdef Py_ssize_t r, v, n = 0
    vec.each, vec.rows, vec.columns, vec.row_pitch = one, rows, columns, pitch
    if job.skips and columns < lane_count:
        # A vector for each row.
        vec.in_place, vec.out_pitch, vec.row_pitch, vec.count = False, rows * lane_count, lane_count, rows
        for r in range(rows):
            vec.pos[r] = <int32_t>(r * pitch)
            vec.opos[r] = <int32_t>(r * lane_count)
        return
    if job.skips or columns >= lane_count and row_cost < flat_cost:
        vec.in_place = dense
        vec.out_pitch = rows * pitch
        for r in range(rows):
            for v in range(per_row):
                vec.pos[n] = <int32_t>(r * pitch + minimum(v * lane_count, columns - lane_count))
                vec.opos[n] = <int32_t>(vec.pos[n] + r * (job.step[1] * job.size[2] - pitch) if dense else vec.pos[n])
                n += 1
    else:
        vec.in_place = flat_in_place
        vec.out_pitch = whole * lane_count
        for v in range(whole):
            # No vector reads beyond a source that is read in place, nor writes beyond a destination.
            vec.pos[n] = <int32_t>(minimum(v * lane_count, run - lane_count) if job.direct or flat_in_place else v * lane_count)
            vec.opos[n] = vec.pos[n]
            n += 1
    vec.count = n


cdef void few_terms(const real* src, const real* w, const real* bias, real* to, GatherJob* job, Pass* one, Vectors* vec,
                    Py_ssize_t channels) noexcept nogil:
    # All channels of three vectors of positions after another; the last three overlap those before.
    cdef Py_ssize_t part, v, bias_step = 0 if bias == NULL else 1
    cdef real zero = 0
    if bias == NULL:
        bias = &zero
    for part in range(ceil_div(vec.count, 3)):
        v = minimum(3 * part, vec.count - 3)
        conv_few(one.terms, channels, src, one.xoff, w, job.ws, vec.pos + v, to, job.out_plane, vec.opos + v, bias, bias_step)


cdef void gather_strip(const real* src, const real* w, const real* bias, real* to, real* temporary, GatherJob* job, Pass* one,
                       Vectors* vec, Py_ssize_t row, Py_ssize_t channel, Py_ssize_t end) noexcept nogil:
    # Output channels `channel` … `end` − 1 of a group at the positions of one strip; `to` is the strip's place in channel 0, `row` its
    # first row.
    cdef Py_ssize_t blocks = ceil_div(end - channel, CONV_OB_MAX), begin = channel, b, c, n, v, next_v, parts, part, i, terms, skipped
    cdef real* out
    if job.few and vec.in_place and vec.count >= 3:
        few_terms(src, w + channel * job.ws, bias + channel if bias != NULL else NULL, to + channel * job.out_plane, job, one, vec,
                  end - channel)
        return
    for b in range(blocks):
        c = begin + (end - begin) * b // blocks
        n = begin + (end - begin) * (b + 1) // blocks - c
        out = to + c * job.out_plane if vec.in_place else temporary
        parts = ceil_div(vec.count, conv_nv_max[n])
        part, next_v = 0, 0
        while next_v < vec.count:
            v = next_v
            part += 1
            next_v = vec.count * part // parts
            skipped, terms = 0, one.terms
            if job.skips:
                next_v = alike(job, vec, row, v, minimum(vec.count, v + conv_nv_max[n]), &skipped, &terms)
            conv_block(
                n, next_v - v, terms, src, one.xoff + skipped, w + c * job.ws, job.ws, one.woff + skipped, vec.pos + v,
                out, job.out_plane if vec.in_place else vec.out_pitch, vec.opos + v, bias + c if bias != NULL else NULL)
        if not vec.in_place:
            for i in range(n):
                conv_put(to + (c + i) * job.out_plane, job.step[1] * job.size[2], temporary + i * vec.out_pitch, vec.row_pitch,
                         vec.rows, vec.columns, job.step[2])


cdef void gather_tile(const real* src, real* to, const real* w, const real* packed, const real* bias, real* temporary, GatherJob* job,
                      Vectors* vec, const Py_ssize_t* origin, Py_ssize_t channel, Py_ssize_t end) noexcept nogil:
    # Every pass over one tile; `src` is the tile's first channel, `to` channel 0 of the group's destination. `channel` and `end` count
    # output channels, or panels of them.
    cdef Py_ssize_t p, d, s, c, width, h, rows, columns, depth, height, strip, extent = job.src.extent[2]
    cdef Py_ssize_t slab = job.src.extent[1] * extent
    cdef Pass* one
    for p in range(job.passes):
        one = &job.each[p]
        depth = minimum(one.count[0] - origin[0], job.src.tile[0])
        height = minimum(one.count[1] - origin[1], job.src.tile[1])
        columns = minimum(one.count[2] - origin[2], job.src.tile[2])
        if depth <= 0 or height <= 0 or columns <= 0:
            continue
        if job.panels:
            width = even_tile(columns, PANEL_POSITIONS)
            strip = even_tile(height, maximum(PANEL_POSITIONS // width, 1))
            for d in range(depth):
                for s in range(ceil_div(height, strip)):
                    h = s * strip
                    for c in range(ceil_div(columns, width)):
                        gather_panels(
                            src + d * slab + h * extent + c * width, packed + one.panels,
                            to + (((origin[0] + d) * job.step[0] + one.first[0]) * job.size[1]
                                  + (origin[1] + h) * job.step[1] + one.first[1]) * job.size[2]
                            + (origin[2] + c * width) * job.step[2] + one.first[2],
                            temporary, job, one, minimum(strip, height - h), minimum(width, columns - c * width), channel, end)
            continue
        strip = even_tile(height, maximum(job.strip // extent, 1))
        for d in range(depth):
            for s in range(ceil_div(height, strip)):
                h = s * strip
                rows = minimum(strip, height - h)
                if vec.each != one or vec.rows != rows or vec.columns != columns:
                    list_vectors(vec, job, one, rows, columns, TL_VECTOR_BYTES // sizeof(real))
                gather_strip(
                    src + d * slab + h * extent, w, bias,
                    to + (((origin[0] + d) * job.step[0] + one.first[0]) * job.size[1]
                          + (origin[1] + h) * job.step[1] + one.first[1]) * job.size[2] + origin[2] * job.step[2] + one.first[2],
                    temporary, job, one, vec, origin[1] + h, channel, end)


cdef void locate(GatherJob* job, Py_ssize_t box, Py_ssize_t* image, Py_ssize_t* group, Py_ssize_t* origin) noexcept nogil:
    # The image, group and tile of a box: boxes are numbered [image][group][tile].
    cdef Py_ssize_t tiles = job.tiles[0] * job.tiles[1] * job.tiles[2]
    cdef int a
    split(origin, box % tiles, job.tiles[1], job.tiles[2])
    for a in range(3):
        origin[a] *= job.src.tile[a]
    image[0] = box // tiles // job.geo.groups
    group[0] = box // tiles % job.geo.groups


cdef void copy_shared(real* context, Py_ssize_t index) noexcept nogil:
    # One channel of one box.
    cdef GatherJob* job = <GatherJob*>context
    cdef Py_ssize_t box = index // job.in_channels, channel = index % job.in_channels, image, group
    cdef Py_ssize_t origin[3]
    locate(job, box, &image, &group, origin)
    copy_box(<real*>job.shared + index * job.pitch,
             <const real*>job.source + ((image * job.geo.groups + group) * job.in_channels + channel) * job.in_plane, &job.src, origin)


cdef void report_tile(GatherJob* job, Py_ssize_t g, const Py_ssize_t* origin, Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
    # Channels begin … end − 1 of image and group g are final at the positions of one tile: the rows low[1] … high[1] − 1 of each slab.
    cdef Py_ssize_t low[3]
    cdef Py_ssize_t high[3]
    cdef Py_ssize_t c, d, row, at, slab = job.size[1] * job.size[2]
    cdef int a
    g = g * job.out_channels
    if job.tiles[0] == 1 and job.tiles[1] == 1 and job.tiles[2] == 1:
        tl_finished(job.finish, (g + begin) * job.out_plane, (g + end) * job.out_plane)
        return
    for a in range(3):
        low[a] = origin[a] * job.step[a]
        high[a] = minimum((origin[a] + job.src.tile[a]) * job.step[a], job.size[a])
    for c in range(g + begin, g + end):
        for d in range(low[0], high[0]):
            at = c * job.out_plane + d * slab
            if job.tiles[2] == 1:
                tl_finished(job.finish, at + low[1] * job.size[2], at + high[1] * job.size[2])
                continue
            for row in range(low[1], high[1]):
                tl_finished(job.finish, at + row * job.size[2] + low[2], at + row * job.size[2] + high[2])


cdef void gather_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef GatherJob* job = <GatherJob*>context
    cdef const real* source = <const real*>job.source
    cdef Py_ssize_t lane_count = TL_VECTOR_BYTES // sizeof(real), unit, rest, share, group, image, copied = -1, c, g
    cdef Py_ssize_t columns = job.src.extent[2], strip = maximum(job.strip // columns, 1)
    cdef Py_ssize_t origin[3]
    cdef Py_ssize_t most = strip * ceil_div(columns, lane_count) + 2
    cdef Vectors vec
    cdef const real* at
    cdef const real* bias = <const real*>job.bias
    cdef real* to = <real*>job.to
    cdef real* box = NULL
    # One block: the lists of vectors, then the results of a block of channels.
    cdef Py_ssize_t share_of = panel_count(job, lane_count) if job.panels else job.out_channels
    cdef Py_ssize_t per_share = 2 * lane_count if job.panels else 1
    cdef size_t room = 2 * odd_lines(4 * most, 64) + CONV_OB_MAX * most * TL_VECTOR_BYTES
    if job.panels:
        room += 3 * PANEL_POSITIONS * lane_count * sizeof(real)
    cdef char* memory = <char*>scratch(TL_SLOT_CONV_PRODUCTS, room)
    cdef bint private = not job.direct and job.shared == NULL
    if private:
        box = <real*>scratch(TL_SLOT_CONV_SOURCE, <size_t>((job.in_channels * job.pitch + 2 * lane_count) * sizeof(real)))
    if memory == NULL or (box == NULL and private):
        job.units = -1
        return
    # No vectors are listed yet: `each` NULL says so.
    memset(&vec, 0, sizeof(Vectors))
    vec.pos = <int32_t*>memory
    vec.opos = <int32_t*>(memory + odd_lines(4 * most, 64))
    cdef real* temporary = <real*>(memory + 2 * odd_lines(4 * most, 64))
    for unit in range(job.units * chunk // job.chunks, job.units * (chunk + 1) // job.chunks):
        rest = unit // job.ranges
        share = unit - rest * job.ranges
        locate(job, rest, &image, &group, origin)
        g = image * job.geo.groups + group
        at = source + g * job.in_channels * job.in_plane
        if job.direct:
            at += (origin[0] * job.src.size[1] + origin[1]) * job.src.size[2] + origin[2]
        elif job.shared != NULL:
            at = <const real*>job.shared + rest * job.in_channels * job.pitch
        else:
            if copied != rest:
                for c in range(job.in_channels):
                    copy_box(box + c * job.pitch, at + c * job.in_plane, &job.src, origin)
                copied = rest
            at = box
        gather_tile(
            at, to + g * job.out_channels * job.out_plane, <const real*>job.w + group * job.geo.wide * job.geo.narrow * job.geo.cells,
            <const real*>job.packed + group * job.packed_group,
            bias + group * job.out_channels if bias != NULL else NULL, temporary, job, &vec, origin,
            share_of * share // job.ranges, share_of * (share + 1) // job.ranges)
        if job.finish != NULL:
            report_tile(job, g, origin, minimum(share_of * share // job.ranges * per_share, job.out_channels),
                        minimum(share_of * (share + 1) // job.ranges * per_share, job.out_channels))


cdef void forward_pass(GatherJob* job) noexcept nogil:
    # The one pass of the forward convolution: terms (c, cell) in w's own order.
    cdef Geometry* geo = &job.geo
    cdef Pass* one = job.each
    cdef Py_ssize_t c, cell, at
    cdef int a
    for a in range(3):
        one.first[a] = 0
        one.count[a] = geo.axis[a].narrow
    for cell in range(geo.cells):
        at = cell_offset(&job.src, geo.axis, cell)
        for c in range(geo.wide):
            one.xoff[c * geo.cells + cell] = <int32_t>(c * job.pitch + at)
            one.woff[c * geo.cells + cell] = <int32_t>(c * geo.cells + cell)
    one.terms = geo.wide * geo.cells


cdef bint few_pays(GatherJob* job, Py_ssize_t lane_count) noexcept nogil:
    # Whether conv_few takes the sums: short ones of many channels, over some vectors of positions at stride 1.
    return (not job.adjoint and job.geo.axis[2].stride == 1 and job.in_channels * job.geo.cells <= CONV_FEW and job.out_channels >= 8
            and job.counts[1] * job.counts[2] >= 3 * lane_count)


cdef bint readable_in_place(GatherJob* job, const Py_ssize_t* over, Py_ssize_t lane_count) noexcept nogil:
    # Whether every vector of positions can read the source itself: no zeros to add, nothing to de-interleave, no overrun.
    cdef Py_ssize_t last, strip
    cdef int a
    if job.src.shifted:
        return False
    for a in range(3):
        if job.src.step[a] != 1 or job.src.base[a] != 0 or job.src.tile[a] + over[a] > job.src.size[a]:
            return False
    if job.in_channels * job.in_plane > INT32_MAX:
        return False
    if job.in_channels >= 16 and job.in_plane * (64 // lane_count) % 2048 == 0:
        return False       # the channels would compete for the same sets of the first-level cache
    if job.panels:
        return True        # exactly the positions that exist are read
    strip = even_tile(job.counts[1], maximum(job.strip // job.src.size[2], 1))
    last = job.counts[1] - (ceil_div(job.counts[1], strip) - 1) * strip
    return job.counts[2] > lane_count or (job.passes == 1 and (last - 1) * job.src.size[2] + job.counts[2] >= lane_count)


cdef void describe(GatherJob* job, Py_ssize_t lane_count, bint adjoint) noexcept nogil:
    # The sizes of both sides, how the sums are taken, and the tiles.
    cdef Geometry* geo = &job.geo
    cdef Axis* axis
    cdef Py_ssize_t over[3]
    cdef Py_ssize_t a
    job.in_channels, job.out_channels = geo.wide, geo.narrow
    job.in_plane, job.out_plane = wide_plane(geo), narrow_plane(geo)
    job.ws = geo.wide * geo.cells
    if adjoint:
        job.in_channels, job.out_channels = job.out_channels, job.in_channels
        job.in_plane, job.out_plane = job.out_plane, job.in_plane
        job.ws = geo.cells
    job.passes = 1
    for a in range(3):
        axis = &geo.axis[a]
        job.size[a] = axis.wide if adjoint else axis.narrow
        job.step[a] = axis.stride if adjoint else 1
        job.counts[a] = ceil_div(axis.wide, axis.stride) if adjoint else axis.narrow
        job.src.tile[a] = job.counts[a]
        job.passes *= minimum(axis.stride, axis.wide) if adjoint else 1
    if adjoint:
        source_of_narrow(job, over)
    else:
        source_of_wide(&job.src, geo)
        for a in range(3):
            over[a] = reach(&geo.axis[a])
    job.adjoint = adjoint
    job.few = few_pays(job, lane_count)
    job.panels = not job.few and panels_pay(job, over, lane_count)
    job.skips = not job.panels and skipping_pays(job, over, lane_count)
    job.strip = 4 * STRIP if job.few else STRIP
    if job.few and job.counts[1] > 1 and job.counts[2] % lane_count != 0 and job.counts[2] <= 2 * STRIP:
        shift(&job.src, geo, over)
    job.direct = readable_in_place(job, over, lane_count)
    if job.direct:
        set_tile(&job.src, over)
        for a in range(3):
            job.src.extent[a] = job.src.size[a]
        job.src.tile[2] = even_tile(job.counts[2], maximum(2 * STRIP, lane_count))
        job.pitch = job.in_plane
    else:
        job.src.tile[2] = even_tile(job.counts[2], 2 * STRIP)
        shrink_tile(&job.src, job.counts, over, maximum(TILE_BYTES // (TL_VECTOR_BYTES // lane_count) // job.in_channels, 1))
        job.pitch = odd_lines(job.src.box, lane_count)


cdef int gather(real* to, const real* source, const real* w, const real* bias, Geometry* geo, bint adjoint,
                tl_finish* finish) noexcept nogil:
    # out and wide change places between the two directions; see the structs for what else differs.
    cdef GatherJob job
    cdef Py_ssize_t lane_count = TL_VECTOR_BYTES // sizeof(real), terms, room, a
    cdef char* memory
    cdef double work
    job.geo = geo[0]
    job.to, job.source, job.w, job.bias, job.finish = to, source, w, bias, finish
    describe(&job, lane_count, adjoint)
    # Lists: the passes, then the two offsets of every term.
    terms = job.in_channels * geo.cells
    room = ceil_div(job.passes * sizeof(Pass), 64) * 64
    room += ceil_div(2 * terms * sizeof(int32_t), 64) * 64
    job.packed_group = 0
    if job.panels:
        job.packed_group = (terms + job.passes) * ceil_div(job.out_channels, lane_count) * lane_count
    memory = <char*>scratch(TL_SLOT_CONV_SHARED, <size_t>(room + geo.groups * job.packed_group * sizeof(real)))
    if memory == NULL:
        return TL_NO_MEMORY
    job.each = <Pass*>memory
    job.packed = memory + room
    job.each[0].xoff = <int32_t*>(memory + ceil_div(job.passes * sizeof(Pass), 64) * 64)
    job.each[0].woff = job.each[0].xoff + terms
    if adjoint:
        adjoint_passes(&job)
    else:
        forward_pass(&job)
    if job.panels:
        job.packed_group = 0
        for a in range(job.passes):
            job.each[a].panels = job.packed_group
            job.packed_group += (job.each[a].terms + 1) * ceil_div(job.out_channels, lane_count) * lane_count
        work = 1.0 * terms * job.out_channels * geo.groups
        parallel_for(<chunk_fn>pack_panel[real], &job, geo.groups * job.passes * panel_count(&job, lane_count), work)
    # A few dozen chunks; where images and tiles are few, the output channels are cut too.
    job.units = geo.batch * geo.groups
    for a in range(3):
        job.tiles[a] = ceil_div(job.counts[a], job.src.tile[a])
        job.units *= job.tiles[a]
    job.ranges = maximum(minimum(ceil_div(8, job.units), panel_count(&job, lane_count) if job.panels else job.out_channels // 32), 1)
    # Ranges of one box would each copy it; they share one copy.
    job.shared = NULL
    if job.ranges > 1 and not job.direct:
        room = job.units * job.in_channels * job.pitch + 2 * lane_count
        job.shared = scratch(TL_SLOT_CONV_SHARED_SOURCE, <size_t>(room * sizeof(real)))
        if job.shared == NULL:
            return TL_NO_MEMORY
        work = 0.5 * job.units * job.in_channels * job.pitch
        parallel_for(<chunk_fn>copy_shared[real], &job, job.units * job.in_channels, work)
    job.units *= job.ranges
    job.chunks = minimum(job.units, 64)
    work = <double>geo.batch * geo.groups * narrow_plane(geo) * geo.narrow * geo.wide * geo.cells / 25.0
    parallel_for(<chunk_fn>gather_chunk[real], &job, job.chunks, work)
    return TL_NO_MEMORY if job.units < 0 else TL_OK
