# cython: language_level=3
"""Max pooling, its gradient and the transpose of that: over 1, 2 or 3 spatial axes, any kernel, stride and padding.

Every kernel takes the integers of `Windows` (kernels/pool/geometry.pxd). Parallel over planes (one image of one channel).
"""
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from tlean._core.kernels.pool.geometry cimport (
    STRIP,
    PlaneJob,
    Windows,
    as_columns,
    carve,
    fetch_ahead,
    is_2x2,
    over_planes,
    phase_pitch,
    plane_fn,
    read_windows,
    real,
    row_cost,
    tl_columns,
    volume,
    window_rows,
)

# y, dst, line, x, r0, d0 and g are of one float type; so are what `rows` and `taps` point to. `at` and `where` of the first three functions
# are positions: int32 beside float, int64 beside double.
cdef extern from "kernels/pool/rows.h" nogil:
    int tl_max_rows(void* dst, const void* rows, Py_ssize_t count, Py_ssize_t n)
    int tl_argmax_rows(void* dst, void* at, const void* rows, const int64_t* start, Py_ssize_t count, Py_ssize_t n)
    void tl_argmax_taps(void* y, int32_t* at, const void* taps, const void* where, Py_ssize_t count, void* best, Py_ssize_t n)
    void tl_split(const void* y, void* phase, Py_ssize_t pitch, const void* row, Py_ssize_t stride, Py_ssize_t count)
    int tl_max_2x2(void* y, int32_t* at, const void* r0, const void* r1, int64_t p0, int64_t p1, Py_ssize_t n)
    void tl_max_2x2_grad(void* d0, void* d1, const void* g, const int32_t* at, int64_t p0, int64_t p1, Py_ssize_t n)

cdef extern from "kernels/pool/columns.h" nogil:
    bint tl_max_columns(void* y, int32_t* at, const void* x, const tl_columns* s)

# A position that comes after every cell of a plane, for the columns beside it.
cdef enum:
    BEYOND = 0x7f000000


cdef void max_row_scalar(const Windows* w, const real* x, real* y, int32_t* at, int64_t o0, int64_t o1, double pad_value) noexcept nogil:
    # One row of windows cell by cell, in row-major order of each window: the first NaN wins, else the first maximum.
    cdef int64_t j, a, b, c, z, i, k
    cdef bint padded = pad_value != -INFINITY, inside, started
    cdef real m, v
    cdef int64_t best
    for j in range(w.out[2]):
        m = 0
        best = -1
        started = False
        for a in range(w.kernel[0]):
            z = o0 * w.stride[0] - w.padding[0] + a
            for b in range(w.kernel[1]):
                i = o1 * w.stride[1] - w.padding[1] + b
                for c in range(w.kernel[2]):
                    k = j * w.stride[2] - w.padding[2] + c
                    inside = 0 <= z < w.size[0] and 0 <= i < w.size[1] and 0 <= k < w.size[2]
                    if not inside and not padded:
                        continue
                    v = x[(z * w.size[1] + i) * w.size[2] + k] if inside else <real>pad_value
                    if not started or v > m or (v != v and m == m):
                        m = v
                        best = (z * w.size[1] + i) * w.size[2] + k if inside else -1
                        started = True
        y[j] = m
        if at != NULL:
            at[j] = <int32_t>best


cdef void to_plane_positions(const Windows* w, int32_t* at, int64_t n) noexcept nogil:
    # From positions in the padded plane to positions in the plane, −1 in the padding.
    cdef int64_t j, p, c, i, z
    cdef int64_t rows = w.size[1] + 2 * w.padding[1], pitch = w.size[2] + 2 * w.padding[2]
    for j in range(n):
        p = at[j]
        c = p % pitch - w.padding[2]
        i = p // pitch % rows - w.padding[1]
        z = p // pitch // rows - w.padding[0]
        if 0 <= c < w.size[2] and 0 <= i < w.size[1] and 0 <= z < w.size[0]:
            at[j] = <int32_t>((z * w.size[1] + i) * w.size[2] + c)
        else:
            at[j] = -1


cdef int64_t max_scratch(const Windows* w) noexcept nogil:
    cdef int64_t strip = STRIP * phase_pitch(w) * w.stride[2]
    return 8 * (4 * (strip + 16) + w.size[2] + w.out[2]) + 24 * w.kernel[0] * w.kernel[1] + 24 * w.kernel[2] + 2048


cdef void max_plane(const Windows* w, const real* x, real* y, int32_t* at, double pad_value, char* slab) noexcept nogil:
    """y and, unless it is NULL, the chosen cells of one plane."""
    cdef tl_columns columns
    if is_2x2(w):
        max_2x2(w, x, y, at)
    elif pad_value == -INFINITY and as_columns(w, &columns):
        max_columns(w, &columns, x, y, at)
    else:
        max_strips(w, x, y, at, pad_value, slab)


# The working memory of max_strips. `line` holds, for each row of windows of a strip, the maximum of every column over the rows of the
# window; what is beside the columns never wins, or is the pad value. `phase` is the strip cut by residue of the stride. Positions run along
# in arrays of the same layout, of int32 beside float and int64 beside double.
cdef struct Strip:
    int64_t pitch
    int64_t length
    int64_t* start
    const void** rows
    const void** taps
    const void** where
    char* pad_row           # NULL where nothing is padded
    char* best
    char* line
    char* phase
    char* at_line
    char* at_phase


cdef void carve_strip(Strip* strip, const Windows* w, const real* x, bint positions, double pad_value, char* slab) noexcept nogil:
    cdef int64_t W = w.size[2], s = w.stride[2], p = w.padding[2], most = w.kernel[0] * w.kernel[1], j
    strip.pitch = phase_pitch(w)
    strip.length = strip.pitch * s
    strip.rows = <const void**>carve(&slab, most * 8)
    strip.start = <int64_t*>carve(&slab, most * 8)
    strip.taps = <const void**>carve(&slab, w.kernel[2] * 8)
    strip.where = <const void**>carve(&slab, w.kernel[2] * 8)
    strip.pad_row = carve(&slab, W * sizeof(real))
    strip.best = carve(&slab, w.out[2] * sizeof(real))
    # The columns themselves begin on a cache line.
    strip.line = carve(&slab, (STRIP * strip.length + 16) * sizeof(real)) + (-p & 15) * sizeof(real)
    strip.phase = carve(&slab, STRIP * strip.length * sizeof(real)) if s > 1 else strip.line
    strip.at_line = carve(&slab, (STRIP * strip.length + 16) * sizeof(real)) + (-p & 15) * sizeof(real)
    strip.at_phase = carve(&slab, STRIP * strip.length * sizeof(real)) if s > 1 else strip.at_line
    for j in range(STRIP * strip.length):
        (<real*>strip.line)[j] = <real>pad_value
        if positions:
            put_position(strip.at_line, j, BEYOND, sizeof(real))
    if pad_value == -INFINITY:
        strip.pad_row = NULL
    for j in range(W if strip.pad_row != NULL else 0):
        (<real*>strip.pad_row)[j] = <real>pad_value


cdef bint max_of_columns(Strip* strip, const Windows* w, const real* x, bint positions, int64_t b, int64_t o) noexcept nogil:
    # Row b of a strip, the columns under row o of windows; whether there may be a NaN.
    cdef int64_t p = w.padding[2], k = b * strip.length + p, cells = min(w.size[2], strip.length - p), j
    cdef real* line = <real*>strip.line + k
    cdef int64_t count = window_rows(w, x, <const real**>strip.rows, strip.start, o // w.out[1], o % w.out[1], <const real*>strip.pad_row)
    fetch_ahead(w, <const real*>strip.rows[count - 1])
    if not positions:
        return tl_max_rows(line, <const real**>strip.rows, count, cells)
    if strip.pad_row != NULL:
        # Equal pad values beside the first row of the window come at their place in it.
        for j in range(strip.length):
            if j < p or j >= p + w.size[2]:
                put_position(strip.at_line, b * strip.length + j, strip.start[0] - p + j, sizeof(real))
    return tl_argmax_rows(line, strip.at_line + k * sizeof(real), <const real**>strip.rows, strip.start, count, cells)


cdef void max_of_taps(Strip* strip, const Windows* w, real* y, int32_t* at, int64_t b) noexcept nogil:
    # Row b of a strip, its row of windows.
    cdef int64_t shift, k
    for k in range(w.kernel[2]):
        shift = k % w.stride[2] * STRIP * strip.pitch + b * strip.pitch + k // w.stride[2]
        strip.taps[k] = <real*>strip.phase + shift
        strip.where[k] = strip.at_phase + shift * sizeof(real)
    if at == NULL:
        tl_max_rows(y, <const real**>strip.taps, w.kernel[2], w.out[2])
    else:
        tl_argmax_taps(y, at, <const real**>strip.taps, strip.where, w.kernel[2], strip.best, w.out[2])


cdef void max_strips(const Windows* w, const real* x, real* y, int32_t* at, double pad_value, char* slab) noexcept nogil:
    """A plane of any windows, a strip of rows of windows at a time."""
    cdef int64_t ow = w.out[2], s = w.stride[2], rows_out = w.out[0] * w.out[1], first = 0, m, b, o
    cdef bint nan[STRIP]
    cdef Strip strip
    carve_strip(&strip, w, x, at != NULL, pad_value, slab)
    while first < rows_out:
        m = min(<int64_t>STRIP, rows_out - first)
        for b in range(m):
            nan[b] = max_of_columns(&strip, w, x, at != NULL, b, first + b)
        if s > 1:
            tl_split(y, strip.phase, STRIP * strip.pitch, strip.line, s, m * strip.pitch)
            if at != NULL:
                tl_split(y, strip.at_phase, STRIP * strip.pitch, strip.at_line, s, m * strip.pitch)
        for b in range(m):
            o = (first + b) * ow
            max_of_taps(&strip, w, y + o, at + o if at else NULL, b)
            if nan[b]:
                max_row_scalar(w, x, y + o, at + o if at else NULL, (first + b) // w.out[1], (first + b) % w.out[1], pad_value)
            elif strip.pad_row != NULL and at != NULL:
                to_plane_positions(w, at + o, ow)
        first += STRIP


cdef inline void put_position(char* positions, int64_t j, int64_t position, size_t item) noexcept nogil:
    if item == 4:
        (<int32_t*>positions)[j] = <int32_t>position
    else:
        (<int64_t*>positions)[j] = position


cdef void max_2x2(const Windows* w, const real* x, real* y, int32_t* at) noexcept nogil:
    cdef int64_t H = w.size[1], W = w.size[2], ow = w.out[2], o0, o1, i, o
    cdef int nan
    for o0 in range(w.out[0]):
        for o1 in range(w.out[1]):
            i = (o0 * H + 2 * o1) * W
            o = (o0 * w.out[1] + o1) * ow
            fetch_ahead(w, x + i)
            nan = tl_max_2x2(y + o, at + o if at else NULL, x + i, x + i + W, i, i + W, ow)
            if nan:
                max_row_scalar(w, x, y + o, at + o if at else NULL, o0, o1, -INFINITY)


cdef void max_columns(const Windows* w, const tl_columns* s, const real* x, real* y, int32_t* at) noexcept nogil:
    cdef int64_t o, o0, plane = w.size[1] * w.size[2], outs = w.out[1] * w.out[2], i
    cdef int32_t* chosen
    for o0 in range(w.out[0]):
        chosen = at + o0 * outs if at else NULL
        if tl_max_columns(y + o0 * outs, chosen, x + o0 * plane, s):
            for o in range(w.out[1]):
                max_row_scalar(w, x, y + o0 * outs + o * w.out[2], chosen + o * w.out[2] if at else NULL, o0, o, -INFINITY)
        elif at != NULL and o0 > 0:
            for i in range(outs):
                chosen[i] += <int32_t>(o0 * plane)


cdef void max_one(PlaneJob* job, int64_t i, char* slab, real* spare) noexcept nogil:
    cdef int64_t cells = volume(job.w.size), outs = volume(job.w.out)
    max_plane(&job.w, <const real*>job.x + i * cells, <real*>job.y + i * outs, job.at + i * outs if job.at else NULL, job.number, slab)


cdef void max_grad_plane(const Windows* w, const int32_t* at, const real* g, real* dx) noexcept nogil:
    cdef int64_t H = w.size[1], W = w.size[2], ow = w.out[2], cells = volume(w.size), o, o0, o1, i
    if not is_2x2(w):
        # One addition per window, in row-major order.
        memset(dx, 0, cells * sizeof(real))
        for o in range(volume(w.out)):
            if at[o] >= 0:
                dx[at[o]] += g[o]
        return
    if H != 2 * w.out[1] or W != 2 * ow:
        memset(dx, 0, cells * sizeof(real))
    for o0 in range(w.out[0]):
        for o1 in range(w.out[1]):
            i = (o0 * H + 2 * o1) * W
            o = (o0 * w.out[1] + o1) * ow
            tl_max_2x2_grad(dx + i, dx + i + W, g + o, at + o, i, i + W, ow)


cdef const int32_t* chosen_cells(PlaneJob* job, int64_t i, char* slab, real* spare) noexcept nogil:
    # Plane i's chosen cells: the hint, or found again from x.
    cdef int64_t cells = volume(job.w.size), outs = volume(job.w.out)
    cdef int32_t* at = <int32_t*>(spare + outs)
    if job.hint != NULL:
        return job.hint + i * outs
    max_plane(&job.w, <const real*>job.x + i * cells, spare, at, job.number, slab)
    return at


cdef void max_grad_one(PlaneJob* job, int64_t i, char* slab, real* spare) noexcept nogil:
    cdef int64_t cells = volume(job.w.size), outs = volume(job.w.out)
    max_grad_plane(&job.w, chosen_cells(job, i, slab, spare), <const real*>job.g + i * outs, <real*>job.y + i * cells)


cdef void max_gather_one(PlaneJob* job, int64_t i, char* slab, real* spare) noexcept nogil:
    cdef int64_t cells = volume(job.w.size), outs = volume(job.w.out), o
    cdef const int32_t* at = chosen_cells(job, i, slab, spare)
    cdef const real* h = <const real*>job.g + i * cells
    cdef real* y = <real*>job.y + i * outs
    for o in range(outs):
        y[o] = h[at[o]] if at[o] >= 0 else 0


# Kernels ---------------------------------------------------------------------------------------------------------------------

# (y, argmax) <- (x): (N,C,D,H,W) -> (N,C,D',H',W')
cdef int max_pool(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef PlaneJob job
    job.w = read_windows(ints)
    job.plane = <plane_fn>max_one[real]
    job.x, job.y, job.at, job.number = inp[0], out[0], <int32_t*>out[1], floats[0]
    job.slab_bytes, job.spare_bytes = max_scratch(&job.w), 0
    return over_planes(&job, row_cost(&job.w, 0.1))


cdef int max_chosen(plane_fn plane, real** out, void** inp, const int64_t* ints, const double* floats) noexcept nogil:
    # (dx) <- (g, x, argmax or NULL), or its transpose (gathered) <- (h, x, argmax or NULL)
    cdef PlaneJob job
    job.w = read_windows(ints)
    job.plane = plane
    job.g, job.x, job.hint, job.y, job.number = inp[0], inp[1], <const int32_t*>inp[2], out[0], floats[0]
    job.slab_bytes = max_scratch(&job.w)
    job.spare_bytes = 0 if job.hint else volume(job.w.out) * (sizeof(real) + 4)
    return over_planes(&job, row_cost(&job.w, 0.1 if job.hint else 0.2))


cdef int max_pool_grad(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return max_chosen(<plane_fn>max_grad_one[real], out, inp, ints, floats)


cdef int max_pool_gather(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return max_chosen(<plane_fn>max_gather_one[real], out, inp, ints, floats)


KERNELS = {
    "max_pool:f32": <size_t>&max_pool[float], "max_pool:f64": <size_t>&max_pool[double],
    "_max_pool_grad:f32": <size_t>&max_pool_grad[float], "_max_pool_grad:f64": <size_t>&max_pool_grad[double],
    "_max_pool_gather:f32": <size_t>&max_pool_gather[float], "_max_pool_gather:f64": <size_t>&max_pool_gather[double],
}
