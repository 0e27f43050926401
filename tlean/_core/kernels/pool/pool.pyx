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

cdef extern from "kernels/pool/rows.h" nogil:
    int tl_max_rows_f32(float* dst, const float** rows, Py_ssize_t count, Py_ssize_t n)
    int tl_max_rows_f64(double* dst, const double** rows, Py_ssize_t count, Py_ssize_t n)
    int tl_argmax_rows_f32(float* dst, int32_t* at, const float** rows, const int64_t* start, Py_ssize_t count, Py_ssize_t n)
    int tl_argmax_rows_f64(double* dst, int64_t* at, const double** rows, const int64_t* start, Py_ssize_t count, Py_ssize_t n)
    void tl_argmax_taps_f32(float* y, int32_t* at, const float** taps, const int32_t** where, Py_ssize_t count, int32_t* best,
                            Py_ssize_t n)
    void tl_argmax_taps_f64(double* y, int32_t* at, const double** taps, const int64_t** where, Py_ssize_t count, int64_t* best,
                            Py_ssize_t n)
    void tl_split_f32(float* phase, Py_ssize_t pitch, const float* row, Py_ssize_t stride, Py_ssize_t count)
    void tl_split_f64(double* phase, Py_ssize_t pitch, const double* row, Py_ssize_t stride, Py_ssize_t count)
    void tl_split_at_f32(int32_t* phase, Py_ssize_t pitch, const int32_t* row, Py_ssize_t stride, Py_ssize_t count)
    void tl_split_at_f64(int64_t* phase, Py_ssize_t pitch, const int64_t* row, Py_ssize_t stride, Py_ssize_t count)
    int tl_max_2x2_f32(float* y, int32_t* at, const float* r0, const float* r1, int64_t p0, int64_t p1, Py_ssize_t n)
    int tl_max_2x2_f64(double* y, int32_t* at, const double* r0, const double* r1, int64_t p0, int64_t p1, Py_ssize_t n)
    void tl_max_2x2_grad_f32(float* d0, float* d1, const float* g, const int32_t* at, int64_t p0, int64_t p1, Py_ssize_t n)
    void tl_max_2x2_grad_f64(double* d0, double* d1, const double* g, const int32_t* at, int64_t p0, int64_t p1, Py_ssize_t n)

cdef extern from "kernels/pool/columns.h" nogil:
    bint tl_max_columns_f32(float* y, int32_t* at, const float* x, const tl_columns* s)
    bint tl_max_columns_f64(double* y, int32_t* at, const double* x, const tl_columns* s)

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


cdef void max_strips(const Windows* w, const real* x, real* y, int32_t* at, double pad_value, char* slab) noexcept nogil:
    """A plane of any windows, a strip of rows of windows at a time.

    `line` holds, for each row of windows of a strip, the maximum of every column over the rows of the window; what is beside the
    columns never wins, or is the pad value. `phase` is the strip cut by residue of the stride. Positions run along in arrays of the same
    layout, of int32 beside float and int64 beside double.
    """
    cdef int64_t W = w.size[2], ow = w.out[2], s = w.stride[2], p = w.padding[2], kw = w.kernel[2]
    cdef int64_t pitch = phase_pitch(w), length = pitch * s, rows_out = w.out[0] * w.out[1], most = w.kernel[0] * w.kernel[1]
    cdef int64_t cells = W if W < length - p else length - p
    cdef int64_t strip, first, m, b, j, k, o, shift, count
    cdef bint padded = pad_value != -INFINITY
    cdef int nan[STRIP]
    cdef const real** rows
    cdef const real** taps
    cdef const void** where
    cdef int64_t* start
    cdef real *line
    cdef real *phase
    cdef real *pad_row
    cdef char *best
    cdef char *at_line
    cdef char *at_phase
    rows = <const real**>carve(&slab, most * 8)
    start = <int64_t*>carve(&slab, most * 8)
    taps = <const real**>carve(&slab, kw * 8)
    where = <const void**>carve(&slab, kw * 8)
    pad_row = <real*>carve(&slab, W * sizeof(real))
    best = carve(&slab, ow * sizeof(real))
    # The columns themselves begin on a cache line.
    line = <real*>carve(&slab, (STRIP * length + 16) * sizeof(real)) + (-p & 15)
    phase = <real*>carve(&slab, STRIP * length * sizeof(real)) if s > 1 else line
    at_line = carve(&slab, (STRIP * length + 16) * sizeof(real)) + (-p & 15) * sizeof(real)
    at_phase = carve(&slab, STRIP * length * sizeof(real)) if s > 1 else at_line
    for j in range(STRIP * length):
        line[j] = <real>pad_value
        if at != NULL:
            put_position(at_line, j, BEYOND, sizeof(real))
    if padded:
        for j in range(W):
            pad_row[j] = <real>pad_value
    for strip in range((rows_out + STRIP - 1) // STRIP):
        first = strip * STRIP
        m = min(<int64_t>STRIP, rows_out - first)
        for b in range(m):
            o = first + b
            count = window_rows(w, x, rows, start, o // w.out[1], o % w.out[1], pad_row if padded else NULL)
            fetch_ahead(w, rows[count - 1])
            k = b * length + p
            if at == NULL:
                if real is float:
                    nan[b] = tl_max_rows_f32(line + k, rows, count, cells)
                else:
                    nan[b] = tl_max_rows_f64(line + k, rows, count, cells)
                continue
            if padded:
                # Equal pad values beside the first row of the window come at their place in it.
                for j in range(length):
                    if j < p or j >= p + W:
                        put_position(at_line, b * length + j, start[0] - p + j, sizeof(real))
            if real is float:
                nan[b] = tl_argmax_rows_f32(line + k, <int32_t*>at_line + k, rows, start, count, cells)
            else:
                nan[b] = tl_argmax_rows_f64(line + k, <int64_t*>at_line + k, rows, start, count, cells)
        if s > 1:
            if real is float:
                tl_split_f32(phase, STRIP * pitch, line, s, m * pitch)
                if at != NULL:
                    tl_split_at_f32(<int32_t*>at_phase, STRIP * pitch, <const int32_t*>at_line, s, m * pitch)
            else:
                tl_split_f64(phase, STRIP * pitch, line, s, m * pitch)
                if at != NULL:
                    tl_split_at_f64(<int64_t*>at_phase, STRIP * pitch, <const int64_t*>at_line, s, m * pitch)
        for b in range(m):
            o = (first + b) * ow
            for k in range(kw):
                shift = k % s * STRIP * pitch + b * pitch + k // s
                taps[k] = phase + shift
                where[k] = at_phase + shift * sizeof(real)
            if real is float:
                if at == NULL:
                    tl_max_rows_f32(y + o, taps, kw, ow)
                else:
                    tl_argmax_taps_f32(y + o, at + o, taps, <const int32_t**>where, kw, <int32_t*>best, ow)
            else:
                if at == NULL:
                    tl_max_rows_f64(y + o, taps, kw, ow)
                else:
                    tl_argmax_taps_f64(y + o, at + o, taps, <const int64_t**>where, kw, <int64_t*>best, ow)
            if nan[b]:
                max_row_scalar(w, x, y + o, at + o if at else NULL, (first + b) // w.out[1], (first + b) % w.out[1], pad_value)
            elif padded and at != NULL:
                to_plane_positions(w, at + o, ow)


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
            if real is float:
                nan = tl_max_2x2_f32(y + o, at + o if at else NULL, x + i, x + i + W, i, i + W, ow)
            else:
                nan = tl_max_2x2_f64(y + o, at + o if at else NULL, x + i, x + i + W, i, i + W, ow)
            if nan:
                max_row_scalar(w, x, y + o, at + o if at else NULL, o0, o1, -INFINITY)


cdef void max_columns(const Windows* w, const tl_columns* s, const real* x, real* y, int32_t* at) noexcept nogil:
    cdef int64_t o, o0, plane = w.size[1] * w.size[2], outs = w.out[1] * w.out[2], i
    cdef int32_t* chosen
    cdef bint nan
    for o0 in range(w.out[0]):
        chosen = at + o0 * outs if at else NULL
        if real is float:
            nan = tl_max_columns_f32(y + o0 * outs, chosen, x + o0 * plane, s)
        else:
            nan = tl_max_columns_f64(y + o0 * outs, chosen, x + o0 * plane, s)
        if nan:
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
            if real is float:
                tl_max_2x2_grad_f32(dx + i, dx + i + W, g + o, at + o, i, i + W, ow)
            else:
                tl_max_2x2_grad_f64(dx + i, dx + i + W, g + o, at + o, i, i + W, ow)


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

cdef int max_pool(plane_fn plane, void** out, void** inp, const int64_t* ints, const double* floats) noexcept nogil:
    # (y, argmax) <- (x)
    cdef PlaneJob job
    job.w = read_windows(ints)
    job.plane = plane
    job.x, job.y, job.at, job.number = inp[0], out[0], <int32_t*>out[1], floats[0]
    job.slab_bytes, job.spare_bytes = max_scratch(&job.w), 0
    return over_planes(&job, row_cost(&job.w, 0.1))


cdef int max_chosen(plane_fn plane, void** out, void** inp, const int64_t* ints, const double* floats, size_t item) noexcept nogil:
    # (dx) <- (g, x, argmax or NULL), or its transpose (gathered) <- (h, x, argmax or NULL)
    cdef PlaneJob job
    job.w = read_windows(ints)
    job.plane = plane
    job.g, job.x, job.hint, job.y, job.number = inp[0], inp[1], <const int32_t*>inp[2], out[0], floats[0]
    job.slab_bytes = max_scratch(&job.w)
    job.spare_bytes = 0 if job.hint else volume(job.w.out) * (item + 4)
    return over_planes(&job, row_cost(&job.w, 0.1 if job.hint else 0.2))


cdef int max_pool_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return max_pool(<plane_fn>max_one[float], out, inp, ints, floats)


cdef int max_pool_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return max_pool(<plane_fn>max_one[double], out, inp, ints, floats)


cdef int max_pool_grad_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return max_chosen(<plane_fn>max_grad_one[float], out, inp, ints, floats, 4)


cdef int max_pool_grad_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return max_chosen(<plane_fn>max_grad_one[double], out, inp, ints, floats, 8)


cdef int max_pool_gather_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return max_chosen(<plane_fn>max_gather_one[float], out, inp, ints, floats, 4)


cdef int max_pool_gather_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return max_chosen(<plane_fn>max_gather_one[double], out, inp, ints, floats, 8)


KERNELS = {
    "max_pool:f32": <size_t>&max_pool_f32, "max_pool:f64": <size_t>&max_pool_f64,
    "_max_pool_grad:f32": <size_t>&max_pool_grad_f32, "_max_pool_grad:f64": <size_t>&max_pool_grad_f64,
    "_max_pool_gather:f32": <size_t>&max_pool_gather_f32, "_max_pool_gather:f64": <size_t>&max_pool_gather_f64,
}
ACCUMULATES = set()
