# The input gradient, and the transposed convolution, of weights among which there is a NaN or an infinity.
#
# A cell near the edge is covered by fewer windows than the kernel has cells; the passes count the missing ones as g = 0. That is right for
# numbers, but 0 · ∞ is NaN: a cell would be spoilt by a weight that it does not depend on. Such a cell is NaN, so only cells that are NaN
# are looked at again, and summed over the windows that there are. Which side is searched for them is the smaller: the weights before, or
# the result while it is made.

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define tl_noted(p) __atomic_load_n(p, __ATOMIC_RELAXED)
    #define tl_note(p, value) __atomic_store_n(p, value, __ATOMIC_RELAXED)
    #else
    #define tl_noted(p) (*(p))
    #define tl_note(p, value) (*(p) = (value))
    #endif
    """
    int tl_noted(int* p) nogil
    void tl_note(int* p, int value) nogil

cdef enum:
    MEND_CHUNK = 65536          # elements that one thread looks at at a time


ctypedef void (*finish_fn)(tl_finish* finish, int64_t first, int64_t last) noexcept nogil


cdef struct Mend:
    tl_finish finish            # first: the address of one is that of the other
    tl_finish* others
    char* to
    const char* source
    const char* w
    const char* bias
    Geometry geo
    Py_ssize_t to_lanes         # of a block of channels; 1 where they are in planes
    Py_ssize_t source_lanes
    int doubtful                # whether w has a NaN or an infinity; −1 before the first look


cdef inline Py_ssize_t weights_of(Geometry* geo) noexcept nogil:
    return geo.groups * geo.narrow * geo.wide * geo.cells


cdef inline Py_ssize_t window(Axis* axis, Py_ssize_t cell, Py_ssize_t t) noexcept nogil:
    # The window that covers a cell with its kernel cell t, or −1.
    cdef Py_ssize_t at = cell + axis.padding - t * axis.dilation
    if at < 0 or at % axis.stride or at // axis.stride >= axis.narrow:
        return -1
    return at // axis.stride


cdef inline Py_ssize_t placed(Py_ssize_t row, Py_ssize_t at, Py_ssize_t plane, Py_ssize_t lanes) noexcept nogil:
    # Where position `at` of a plane is, of channel `row` of all images.
    return (row // lanes * plane + at) * lanes + row % lanes


cdef real over_windows(Mend* job, Py_ssize_t place, real tag) noexcept nogil:
    # One element of the adjoint: dx[n, c, p] = b[c] + Σ_{o,t} w[o, c, t] g[n, o, window(p, t)] over the windows that there are.
    cdef Geometry* geo = &job.geo
    cdef Py_ssize_t lanes = job.to_lanes, plane = wide_plane(geo), narrow = narrow_plane(geo), o, t, a, at
    cdef Py_ssize_t row = place // (plane * lanes) * lanes + place % lanes, first = row // geo.wide * geo.narrow
    cdef Py_ssize_t c = row % geo.wide, group = row // geo.wide % geo.groups
    cdef Py_ssize_t p[3]
    cdef Py_ssize_t cell[3]
    cdef Py_ssize_t seen[3]
    cdef const real* w = <const real*>job.w + (group * geo.narrow * geo.wide + c) * geo.cells
    cdef const real* g = <const real*>job.source
    cdef real total = 0
    split(p, place % (plane * lanes) // lanes, geo.axis[1].wide, geo.axis[2].wide)
    if job.bias != NULL:
        total = (<const real*>job.bias)[group * geo.wide + c]
    for t in range(geo.cells):
        split(cell, t, geo.axis[1].kernel, geo.axis[2].kernel)
        for a in range(3):
            seen[a] = window(&geo.axis[a], p[a], cell[a])
        if seen[0] < 0 or seen[1] < 0 or seen[2] < 0:
            continue
        at = (seen[0] * geo.axis[1].narrow + seen[1]) * geo.axis[2].narrow + seen[2]
        for o in range(geo.narrow):
            total += w[o * geo.wide * geo.cells + t] * g[placed(first + o, at, narrow, job.source_lanes)]
        if total != total:
            return total
    return total


cdef void mend(Mend* job, Py_ssize_t first, Py_ssize_t last, real tag) noexcept nogil:
    cdef real* to = <real*>job.to
    cdef Py_ssize_t i
    cdef int doubtful
    if conv_all_finite(to + first, last - first):
        return
    doubtful = tl_noted(&job.doubtful)
    if doubtful < 0:
        # Another thread that looks meanwhile finds the same.
        doubtful = not conv_all_finite(<const real*>job.w, weights_of(&job.geo))
        tl_note(&job.doubtful, doubtful)
    if doubtful:
        for i in range(first, last):
            if to[i] != to[i]:
                to[i] = over_windows(job, i, tag)


cdef void mend_part(real* finish, int64_t first, int64_t last) noexcept nogil:
    cdef Mend* job = <Mend*>finish
    mend(job, first, last, <real>0)
    tl_finished(job.others, first, last)


cdef void mend_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Mend* job = <Mend*>context
    mend(job, chunk * MEND_CHUNK, minimum((chunk + 1) * MEND_CHUNK, cells_of(&job.geo)), <real>0)


cdef inline Py_ssize_t cells_of(Geometry* geo) noexcept nogil:
    return geo.batch * geo.groups * geo.wide * wide_plane(geo)


cdef bint right_anyway(Mend* job, real* to, const real* source, const real* w, const real* bias, const int64_t* ints,
                       tl_finish* finish) noexcept nogil:
    # Prepares the job; whether there is nothing to look at, as the weights are finite.
    read_geometry(&job.geo, ints)
    job.doubtful = -1
    job.to, job.source, job.w, job.bias = <char*>to, <const char*>source, <const char*>w, <const char*>bias
    job.to_lanes = job.source_lanes = 1
    job.others = finish
    job.finish.reported = 0
    job.finish.run = <finish_fn>mend_part[real]
    if weights_of(&job.geo) > cells_of(&job.geo):
        return False
    job.doubtful = not conv_all_finite(w, weights_of(&job.geo))
    return not job.doubtful


cdef void mend_all(Mend* job, real tag) noexcept nogil:
    cdef Py_ssize_t cells = cells_of(&job.geo)
    parallel_for(<chunk_fn>mend_chunk[real], job, ceil_div(cells, MEND_CHUNK), 0.1 * cells)


cdef int adjoint(real* to, const real* source, const real* w, const real* bias, const int64_t* ints, tl_finish* finish) noexcept nogil:
    # The adjoint of a convolution in its input, for any weights.
    cdef Mend job
    cdef int status
    if right_anyway(&job, to, source, w, bias, ints, finish):
        return convolve(to, source, w, bias, ints, True, finish)
    status = convolve(to, source, w, bias, ints, True, &job.finish)
    if status == TL_OK and not job.finish.reported:
        mend_all(&job, <real>0)
    return status


cdef int adjoint_blocked(float* to, const float* source, const float* w, const float* bias, const int64_t* ints,
                         tl_finish* finish) noexcept nogil:
    # The same of arrays whose channels are in blocks.
    cdef Mend job
    cdef int status
    if right_anyway(&job, to, source, w, bias, ints, finish):
        return blocked(to, source, w, bias, ints, True, finish)
    if ints[INT_BLOCKED] & BLOCKED_TO:
        job.to_lanes = TL_LANES_f32
    if ints[INT_BLOCKED] & BLOCKED_SOURCE:
        job.source_lanes = TL_LANES_f32
    status = blocked(to, source, w, bias, ints, True, &job.finish)
    if status == TL_OK and not job.finish.reported:
        mend_all(&job, <float>0)
    return status
