# What is the input gradient's own: its passes, one for each residue of the position by the stride, with their terms; and at stride 1 rows
# near the edge that leave out the kernel rows that meet no row of g.


cdef inline Py_ssize_t hit(Axis* axis, Py_ssize_t residue, Py_ssize_t t) noexcept nogil:
    # stride·(window that covers wide cell `residue` with its kernel cell t), if that is divisible by the stride.
    return residue + axis.padding - t * axis.dilation


cdef void source_of_narrow(GatherJob* job, Py_ssize_t* over) noexcept nogil:
    # g as the adjoint reads it: dense, from the first window that any cell needs to the last.
    cdef Axis* axis
    cdef Py_ssize_t low, high, residue, t
    cdef int a
    for a in range(3):
        axis = &job.geo.axis[a]
        job.src.size[a], job.src.step[a], job.src.planes[a], job.src.dilation[a] = axis.narrow, 1, 1, 1
        job.src.shifted = False
        low, high = 0, 0
        for residue in range(minimum(axis.stride, axis.wide)):
            for t in range(axis.kernel):
                if hit(axis, residue, t) % axis.stride == 0:
                    low = minimum(low, ceil_div(hit(axis, residue, t), axis.stride))
                    high = maximum(high, ceil_div(hit(axis, residue, t), axis.stride))
        job.src.base[a] = low
        over[a] = high - low


cdef void adjoint_passes(GatherJob* job) noexcept nogil:
    # dx[c, s·j + q] = Σ_{o,t} w[o, c, t] g[o, j + (q + padding − t·dilation)/s]: one pass per residue q, terms (o, t).
    cdef Geometry* geo = &job.geo
    cdef Py_ssize_t p, o, t, n, place
    cdef Py_ssize_t residue[3]
    cdef Py_ssize_t cell[3]
    cdef int32_t* xoff = job.each[0].xoff
    cdef int32_t* woff = job.each[0].woff
    cdef Axis* axis
    cdef Pass* one
    cdef bint covers
    cdef int a
    for p in range(job.passes):
        one = &job.each[p]
        one.xoff, one.woff = xoff, woff
        split(residue, p, minimum(geo.axis[1].stride, geo.axis[1].wide), minimum(geo.axis[2].stride, geo.axis[2].wide))
        for a in range(3):
            one.first[a] = residue[a]
            one.count[a] = ceil_div(geo.axis[a].wide - residue[a], geo.axis[a].stride)
        n = 0
        if job.skips:
            adjoint_by_rows(job, one)
            return
        # The kernel cells that hit this residue, for output channel 0; the other channels repeat them.
        for t in range(geo.cells):
            split(cell, t, geo.axis[1].kernel, geo.axis[2].kernel)
            covers, place = True, 0
            for a in range(3):
                axis = &geo.axis[a]
                covers = covers and hit(axis, residue[a], cell[a]) % axis.stride == 0
                place = place * job.src.extent[a] + ceil_div(hit(axis, residue[a], cell[a]), axis.stride) - job.src.base[a]
            if covers:
                xoff[n] = <int32_t>place
                woff[n] = <int32_t>t
                n += 1
        for o in range(1, geo.narrow):
            for t in range(n):
                xoff[o * n + t] = <int32_t>(xoff[t] + o * job.pitch)
                woff[o * n + t] = <int32_t>(woff[t] + o * geo.wide * geo.cells)
        n *= geo.narrow
        one.terms = n
        xoff += n
        woff += n


cdef void adjoint_by_rows(GatherJob* job, Pass* one) noexcept nogil:
    # The terms of the one pass at stride 1, in the order kernel row, o, kernel column.
    cdef Geometry* geo = &job.geo
    cdef Py_ssize_t t, o, at, place, width = geo.axis[2].kernel
    for t in range(geo.cells):
        place = hit(&geo.axis[0], 0, 0) - job.src.base[0]
        place = place * job.src.extent[1] + hit(&geo.axis[1], 0, t // width) - job.src.base[1]
        place = place * job.src.extent[2] + hit(&geo.axis[2], 0, t % width) - job.src.base[2]
        for o in range(geo.narrow):
            at = (t // width * geo.narrow + o) * width + t % width
            one.xoff[at] = <int32_t>(place + o * job.pitch)
            one.woff[at] = <int32_t>(t + o * geo.wide * geo.cells)
    one.terms = geo.narrow * geo.cells


cdef inline void rows_hit(Axis* axis, Py_ssize_t row, Py_ssize_t* low, Py_ssize_t* high) noexcept nogil:
    # The kernel rows t, low <= t < high, with which a row of the adjoint at stride 1 meets some row of g: row + padding − t·dilation.
    low[0] = maximum(ceil_div(row + axis.padding - axis.narrow + 1, axis.dilation), 0)
    high[0] = maximum(minimum((row + axis.padding) // axis.dilation + 1, axis.kernel), low[0])


cdef Py_ssize_t alike(GatherJob* job, Vectors* vec, Py_ssize_t row, Py_ssize_t v, Py_ssize_t end, Py_ssize_t* skipped,
                      Py_ssize_t* terms) noexcept nogil:
    # How far vectors from v on, before `end`, are worked on together: where they meet the same kernel rows, or else two rows of them. The
    # terms that any of them needs.
    cdef Py_ssize_t per_row = vec.count // vec.rows, per_cell = job.in_channels * job.geo.axis[2].kernel, next_v = v, low, high, least, most
    cdef Axis* axis = &job.geo.axis[1]
    rows_hit(axis, row + v // per_row, &least, &most)
    while next_v < end:
        rows_hit(axis, row + next_v // per_row, &low, &high)
        if next_v // per_row > v // per_row + 1 and (low != least or high != most):
            break
        least, most = minimum(least, low), maximum(most, high)
        next_v += 1
    skipped[0], terms[0] = least * per_cell, (most - least) * per_cell
    return next_v


cdef bint skipping_pays(GatherJob* job, const Py_ssize_t* over, Py_ssize_t lane_count) noexcept nogil:
    # Whether the adjoint at stride 1 of a window that does not reach over the edge, or little: many rows then meet few kernel rows, and are
    # worked on by rows, with what the multiplications by zero would cost against lanes behind the rows' ends.
    cdef Py_ssize_t row, low, high, hits = 0, rows = job.counts[1], columns = job.counts[2]
    cdef int a
    for a in range(3):
        if job.geo.axis[a].stride != 1:
            return False
    if not job.adjoint or job.geo.axis[0].kernel != 1:
        return False
    for row in range(rows):
        rows_hit(&job.geo.axis[1], row, &low, &high)
        hits += high - low
    return (1.25 * hits * ceil_div(columns, lane_count)
            < <double>job.geo.axis[1].kernel * ceil_div((rows - 1) * (columns + over[2]) + columns, lane_count))
