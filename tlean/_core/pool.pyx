# cython: language_level=3
"""Max and average pooling and their gradients: over 1, 2 or 3 spatial axes, any kernel, stride and padding.

Every kernel takes the integers of `Windows` (pool_windows.pxd). Parallel over planes (one image of one channel).
"""
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from tlean._core.pool_windows cimport PlaneJob, Windows, carve, first_window, last_window, over_planes, plane_fn, read_windows, volume

cdef extern from "pool_rows.h" nogil:
    int tl_max_rows_f32(float* dst, const float** rows, Py_ssize_t count, Py_ssize_t n)
    int tl_max_rows_f64(double* dst, const double** rows, Py_ssize_t count, Py_ssize_t n)
    int tl_argmax_rows_f32(float* dst, int32_t* at, const float** rows, const int64_t* start, Py_ssize_t count, Py_ssize_t n)
    int tl_argmax_rows_f64(double* dst, int64_t* at, const double** rows, const int64_t* start, Py_ssize_t count, Py_ssize_t n)
    void tl_argmax_taps_f32(float* y, int32_t* at, const float** taps, const int32_t** where, Py_ssize_t count, int32_t* best,
                            Py_ssize_t n)
    void tl_argmax_taps_f64(double* y, int32_t* at, const double** taps, const int64_t** where, Py_ssize_t count, int64_t* best,
                            Py_ssize_t n)
    void tl_sum_rows_f32(float* dst, const float** rows, Py_ssize_t count, float divisor, Py_ssize_t n)
    void tl_sum_rows_f64(double* dst, const double** rows, Py_ssize_t count, double divisor, Py_ssize_t n)
    void tl_split_f32(float* phase, Py_ssize_t pitch, const float* row, Py_ssize_t stride, Py_ssize_t count)
    void tl_split_f64(double* phase, Py_ssize_t pitch, const double* row, Py_ssize_t stride, Py_ssize_t count)
    void tl_split_at_f32(int32_t* phase, Py_ssize_t pitch, const int32_t* row, Py_ssize_t stride, Py_ssize_t count)
    void tl_split_at_f64(int64_t* phase, Py_ssize_t pitch, const int64_t* row, Py_ssize_t stride, Py_ssize_t count)
    void tl_merge_f32(float* row, const float* phase, Py_ssize_t pitch, Py_ssize_t stride, Py_ssize_t skip, Py_ssize_t n)
    void tl_merge_f64(double* row, const double* phase, Py_ssize_t pitch, Py_ssize_t stride, Py_ssize_t skip, Py_ssize_t n)
    int tl_max_2x2_f32(float* y, int32_t* at, const float* r0, const float* r1, int64_t p0, int64_t p1, Py_ssize_t n)
    int tl_max_2x2_f64(double* y, int32_t* at, const double* r0, const double* r1, int64_t p0, int64_t p1, Py_ssize_t n)
    void tl_max_2x2_grad_f32(float* d0, float* d1, const float* g, const int32_t* at, int64_t p0, int64_t p1, Py_ssize_t n)
    void tl_max_2x2_grad_f64(double* d0, double* d1, const double* g, const int32_t* at, int64_t p0, int64_t p1, Py_ssize_t n)
    void tl_avg_2x2_f32(float* y, const float* r0, const float* r1, Py_ssize_t n)
    void tl_avg_2x2_f64(double* y, const double* r0, const double* r1, Py_ssize_t n)
    void tl_avg_2x2_grad_f32(float* d0, float* d1, const float* g, Py_ssize_t n)
    void tl_avg_2x2_grad_f64(double* d0, double* d1, const double* g, Py_ssize_t n)

ctypedef fused real:
    float
    double

# A position that comes after every cell of a plane, for the columns beside it.
cdef enum:
    BEYOND = 0x7f000000


cdef bint is_2x2(const Windows* w) noexcept nogil:
    # 2x2 windows of stride 2 over the last two axes, with nothing padded and no window over the first.
    return (w.kernel[0] == 1 and w.stride[0] == 1 and w.kernel[1] == 2 and w.kernel[2] == 2 and w.stride[1] == 2 and w.stride[2] == 2
            and w.padding[0] == 0 and w.padding[1] == 0 and w.padding[2] == 0)


cdef int64_t phase_length(const Windows* w) noexcept nogil:
    # Columns of one phase of an input row: window j's tap k stands at k//s + j.
    return w.out[2] + (w.kernel[2] - 1) // w.stride[2]


# Max ------------------------------------------------------------------------------------------------------------------------

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
    cdef int64_t line = (phase_length(w) * w.stride[2] + w.size[2] + 32) * 8
    return 5 * line + (w.kernel[0] * w.kernel[1] + w.kernel[2]) * 16 + w.out[2] * 8 + 1024


cdef void max_plane(const Windows* w, const real* x, real* y, int32_t* at, double pad_value, char* slab) noexcept nogil:
    cdef int64_t H = w.size[1], W = w.size[2], ow = w.out[2], s = w.stride[2], p = w.padding[2], kw = w.kernel[2]
    cdef int64_t pitch = phase_length(w), length = pitch * s
    cdef int64_t o0, o1, a, b, z, i, j, k, count
    cdef bint padded = pad_value != -INFINITY
    cdef int nan
    cdef int64_t cells = W if W < length - p else length - p
    cdef const real** rows
    cdef const real** taps
    cdef int64_t* start
    cdef real *line
    cdef real *phase
    cdef real *pad_row
    cdef real *out
    if is_2x2(w):
        for o0 in range(w.out[0]):
            for o1 in range(w.out[1]):
                i = o0 * H + 2 * o1
                out = y + (o0 * w.out[1] + o1) * ow
                k = (o0 * w.out[1] + o1) * ow
                if real is float:
                    nan = tl_max_2x2_f32(out, at + k if at else NULL, x + i * W, x + (i + 1) * W, i * W, (i + 1) * W, ow)
                else:
                    nan = tl_max_2x2_f64(out, at + k if at else NULL, x + i * W, x + (i + 1) * W, i * W, (i + 1) * W, ow)
                if nan:
                    max_row_scalar(w, x, out, at + k if at else NULL, o0, o1, pad_value)
        return
    rows = <const real**>carve(&slab, w.kernel[0] * w.kernel[1] * 8)
    start = <int64_t*>carve(&slab, w.kernel[0] * w.kernel[1] * 8)
    taps = <const real**>carve(&slab, kw * 8)
    # The row of column maxima, real columns on a cache line; what stands beside them never wins (or is the pad value).
    line = <real*>carve(&slab, (length + 16) * sizeof(real)) + (-p & 15)
    phase = <real*>carve(&slab, length * sizeof(real)) if s > 1 else line
    pad_row = <real*>carve(&slab, W * sizeof(real))
    for j in range(length):
        line[j] = <real>pad_value
    if padded:
        for j in range(W):
            pad_row[j] = <real>pad_value
    for k in range(kw):
        taps[k] = phase + k % s * pitch + k // s
    if at == NULL:
        for o0 in range(w.out[0]):
            for o1 in range(w.out[1]):
                count = window_rows(w, x, rows, start, o0, o1, pad_row if padded else NULL)
                out = y + (o0 * w.out[1] + o1) * ow
                if real is float:
                    nan = tl_max_rows_f32(line + p, rows, count, cells)
                    if s > 1:
                        tl_split_f32(phase, pitch, line, s, pitch)
                    tl_max_rows_f32(out, taps, kw, ow)
                else:
                    nan = tl_max_rows_f64(line + p, rows, count, cells)
                    if s > 1:
                        tl_split_f64(phase, pitch, line, s, pitch)
                    tl_max_rows_f64(out, taps, kw, ow)
                if nan:
                    max_row_scalar(w, x, out, NULL, o0, o1, pad_value)
    else:
        argmax_plane(w, x, y, at, pad_value, slab, rows, start, taps, line, phase, pad_row)


cdef int64_t window_rows(const Windows* w, const real* x, const real** rows, int64_t* start, int64_t o0, int64_t o1,
                         const real* pad_row) noexcept nogil:
    # The input rows under window row (o0, o1), and the position of each one's column 0. Padded rows are left out, or, where pad_row is
    # given, are pad_row; positions are then those of the padded plane, since they must rise along the window.
    cdef int64_t a, b, z, i, count = 0
    cdef int64_t padded_rows = w.size[1] + 2 * w.padding[1], padded_pitch = w.size[2] + 2 * w.padding[2]
    cdef bint inside
    for a in range(w.kernel[0]):
        z = o0 * w.stride[0] - w.padding[0] + a
        for b in range(w.kernel[1]):
            i = o1 * w.stride[1] - w.padding[1] + b
            inside = 0 <= z < w.size[0] and 0 <= i < w.size[1]
            if inside:
                rows[count] = x + (z * w.size[1] + i) * w.size[2]
            elif pad_row != NULL:
                rows[count] = pad_row
            else:
                continue
            if pad_row != NULL:
                start[count] = ((z + w.padding[0]) * padded_rows + i + w.padding[1]) * padded_pitch + w.padding[2]
            else:
                start[count] = (z * w.size[1] + i) * w.size[2]
            count += 1
    return count


cdef void argmax_plane(const Windows* w, const real* x, real* y, int32_t* at, double pad_value, char* slab, const real** rows,
                       int64_t* start, const real** taps, real* line, real* phase, const real* pad_row) noexcept nogil:
    cdef int64_t W = w.size[2], ow = w.out[2], s = w.stride[2], p = w.padding[2], kw = w.kernel[2]
    cdef int64_t pitch = phase_length(w), length = pitch * s
    cdef int64_t cells = W if W < length - p else length - p
    cdef int64_t o0, o1, j, k, first, count, r
    cdef bint padded = pad_value != -INFINITY
    cdef int nan
    cdef const void** where = <const void**>carve(&slab, kw * 8)
    cdef char* best = carve(&slab, ow * sizeof(real))
    # Positions beside the line, as line itself is laid out; TI of the header is int32 for float, int64 for double.
    cdef char* at_line = carve(&slab, (length + 16) * sizeof(real)) + (-p & 15) * sizeof(real)
    cdef char* at_phase = carve(&slab, length * sizeof(real)) if s > 1 else at_line
    for k in range(kw):
        where[k] = at_phase + (k % s * pitch + k // s) * sizeof(real)
    for j in range(length):
        if real is float:
            (<int32_t*>at_line)[j] = BEYOND
        else:
            (<int64_t*>at_line)[j] = BEYOND
    for o0 in range(w.out[0]):
        for o1 in range(w.out[1]):
            count = window_rows(w, x, rows, start, o0, o1, pad_row if padded else NULL)
            r = (o0 * w.out[1] + o1) * ow
            if padded:
                # Equal pad values beside the first row of the window come where they stand in it.
                first = start[0] - p
                for j in range(length):
                    if j < p or j >= p + W:
                        if real is float:
                            (<int32_t*>at_line)[j] = <int32_t>(first + j)
                        else:
                            (<int64_t*>at_line)[j] = first + j
            if real is float:
                nan = tl_argmax_rows_f32(line + p, <int32_t*>at_line + p, rows, start, count, cells)
                if s > 1:
                    tl_split_f32(phase, pitch, line, s, pitch)
                    tl_split_at_f32(<int32_t*>at_phase, pitch, <const int32_t*>at_line, s, pitch)
                tl_argmax_taps_f32(y + r, at + r, taps, <const int32_t**>where, kw, <int32_t*>best, ow)
            else:
                nan = tl_argmax_rows_f64(line + p, <int64_t*>at_line + p, rows, start, count, cells)
                if s > 1:
                    tl_split_f64(phase, pitch, line, s, pitch)
                    tl_split_at_f64(<int64_t*>at_phase, pitch, <const int64_t*>at_line, s, pitch)
                tl_argmax_taps_f64(y + r, at + r, taps, <const int64_t**>where, kw, <int64_t*>best, ow)
            if nan:
                max_row_scalar(w, x, y + r, at + r, o0, o1, pad_value)
            elif padded:
                to_plane_positions(w, at + r, ow)


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


# Average ---------------------------------------------------------------------------------------------------------------------

cdef int64_t avg_scratch(const Windows* w) noexcept nogil:
    cdef int64_t line = phase_length(w) * w.stride[2] + w.size[2] + w.kernel[2] + w.padding[2] + w.stride[2] + 32
    return 2 * line * 8 + (w.kernel[0] * w.kernel[1] + w.kernel[2]) * 16 + 1024


cdef void avg_plane(const Windows* w, const real* x, real* y, char* slab) noexcept nogil:
    cdef int64_t H = w.size[1], W = w.size[2], ow = w.out[2], s = w.stride[2], p = w.padding[2], kw = w.kernel[2]
    cdef int64_t pitch = phase_length(w), length = pitch * s
    cdef int64_t o0, o1, i, j, k, count
    cdef int64_t cells = W if W < length - p else length - p
    cdef real divisor = <real>volume(w.kernel)
    cdef const real** rows
    cdef const real** taps
    cdef int64_t* start
    cdef real *line
    cdef real *phase
    cdef real *out
    if is_2x2(w):
        for o0 in range(w.out[0]):
            for o1 in range(w.out[1]):
                i = o0 * H + 2 * o1
                out = y + (o0 * w.out[1] + o1) * ow
                if real is float:
                    tl_avg_2x2_f32(out, x + i * W, x + (i + 1) * W, ow)
                else:
                    tl_avg_2x2_f64(out, x + i * W, x + (i + 1) * W, ow)
        return
    rows = <const real**>carve(&slab, w.kernel[0] * w.kernel[1] * 8)
    start = <int64_t*>carve(&slab, w.kernel[0] * w.kernel[1] * 8)
    taps = <const real**>carve(&slab, kw * 8)
    line = <real*>carve(&slab, (length + 16) * sizeof(real)) + (-p & 15)
    phase = <real*>carve(&slab, length * sizeof(real)) if s > 1 else line
    memset(line, 0, length * sizeof(real))
    for k in range(kw):
        taps[k] = phase + k % s * pitch + k // s
    for o0 in range(w.out[0]):
        for o1 in range(w.out[1]):
            count = window_rows(w, x, rows, start, o0, o1, NULL)
            out = y + (o0 * w.out[1] + o1) * ow
            if real is float:
                tl_sum_rows_f32(line + p, rows, count, 1, cells)
                if s > 1:
                    tl_split_f32(phase, pitch, line, s, pitch)
                tl_sum_rows_f32(out, taps, kw, divisor, ow)
            else:
                tl_sum_rows_f64(line + p, rows, count, 1, cells)
                if s > 1:
                    tl_split_f64(phase, pitch, line, s, pitch)
                tl_sum_rows_f64(out, taps, kw, divisor, ow)


cdef void avg_one(PlaneJob* job, int64_t i, char* slab, real* spare) noexcept nogil:
    cdef int64_t cells = volume(job.w.size), outs = volume(job.w.out)
    avg_plane(&job.w, <const real*>job.x + i * cells, <real*>job.y + i * outs, slab)


cdef void avg_grad_plane(const Windows* w, const real* g, real* dx, char* slab) noexcept nogil:
    # Each input row: the sum of the g rows whose windows cover it, over the kernel's size, then spread along the row by phases.
    cdef int64_t H = w.size[1], W = w.size[2], ow = w.out[2], s = w.stride[2], p = w.padding[2], kw = w.kernel[2]
    cdef int64_t pitch = (W - 1 + p) // s + 1, margin = (kw - 1) // s
    cdef int64_t span = ow if ow < pitch else pitch
    cdef int64_t z, i, o0, o1, r, m, count, a0, b0, a1, b1, row, was0 = -1, was1 = -1, was2 = -1, was3 = -1
    cdef real divisor = <real>volume(w.kernel)
    cdef const real** rows = <const real**>carve(&slab, w.kernel[0] * w.kernel[1] * 8)
    cdef const real** taps = <const real**>carve(&slab, kw * 8)
    cdef real* line = <real*>carve(&slab, (margin + pitch) * sizeof(real)) + margin
    cdef real* phase = <real*>carve(&slab, s * pitch * sizeof(real))
    if is_2x2(w):
        if H != 2 * w.out[1] or W != 2 * ow:
            memset(dx, 0, volume(w.size) * sizeof(real))
        for o0 in range(w.out[0]):
            for o1 in range(w.out[1]):
                row = (o0 * H + 2 * o1) * W
                if real is float:
                    tl_avg_2x2_grad_f32(dx + row, dx + row + W, g + (o0 * w.out[1] + o1) * ow, ow)
                else:
                    tl_avg_2x2_grad_f64(dx + row, dx + row + W, g + (o0 * w.out[1] + o1) * ow, ow)
        return
    memset(line - margin, 0, (margin + pitch) * sizeof(real))
    for z in range(w.size[0]):
        a0 = first_window(z, w.kernel[0], w.stride[0], w.padding[0])
        b0 = last_window(z, w.stride[0], w.padding[0], w.out[0])
        for i in range(H):
            a1 = first_window(i, w.kernel[1], w.stride[1], w.padding[1])
            b1 = last_window(i, w.stride[1], w.padding[1], w.out[1])
            row = (z * H + i) * W
            if a0 == was0 and b0 == was1 and a1 == was2 and b1 == was3:
                # Under the same windows as the row before.
                memcpy(dx + row, dx + row - W, W * sizeof(real))
                continue
            was0, was1, was2, was3 = a0, b0, a1, b1
            count = 0
            for o0 in range(a0, b0 + 1):
                for o1 in range(a1, b1 + 1):
                    rows[count] = g + (o0 * w.out[1] + o1) * ow
                    count += 1
            if count == 0:
                memset(dx + row, 0, W * sizeof(real))
                continue
            if real is float:
                tl_sum_rows_f32(line, rows, count, divisor, span)
            else:
                tl_sum_rows_f64(line, rows, count, divisor, span)
            for r in range(s):
                if r >= kw:
                    memset(phase + r * pitch, 0, pitch * sizeof(real))
                    continue
                count = (kw - 1 - r) // s + 1
                for m in range(count):
                    taps[m] = line - m
                if real is float:
                    tl_sum_rows_f32(phase + r * pitch, taps, count, 1, pitch)
                else:
                    tl_sum_rows_f64(phase + r * pitch, taps, count, 1, pitch)
            if real is float:
                tl_merge_f32(dx + row, phase, pitch, s, p, W)
            else:
                tl_merge_f64(dx + row, phase, pitch, s, p, W)


cdef void avg_grad_one(PlaneJob* job, int64_t i, char* slab, real* spare) noexcept nogil:
    cdef int64_t cells = volume(job.w.size), outs = volume(job.w.out)
    avg_grad_plane(&job.w, <const real*>job.g + i * outs, <real*>job.y + i * cells, slab)


# Kernels ---------------------------------------------------------------------------------------------------------------------

cdef double cost(const Windows* w, double per_tap) noexcept nogil:
    # Nanoseconds of one plane: its cells once, and `per_tap` for each row and column of every window.
    return 0.1 * volume(w.size) + per_tap * volume(w.out) * (w.kernel[0] * w.kernel[1] + w.kernel[2])


cdef int max_pool(plane_fn plane, void** out, void** inp, const int64_t* ints, const double* floats) noexcept nogil:
    # (y, argmax) <- (x)
    cdef PlaneJob job
    job.w = read_windows(ints)
    job.plane = plane
    job.x, job.y, job.at, job.number = inp[0], out[0], <int32_t*>out[1], floats[0]
    job.slab_bytes, job.spare_bytes = max_scratch(&job.w), 0
    return over_planes(&job, cost(&job.w, 0.1))


cdef int max_chosen(plane_fn plane, void** out, void** inp, const int64_t* ints, const double* floats, size_t item) noexcept nogil:
    # (dx) <- (g, x, argmax or NULL), or its transpose (gathered) <- (h, x, argmax or NULL)
    cdef PlaneJob job
    job.w = read_windows(ints)
    job.plane = plane
    job.g, job.x, job.hint, job.y, job.number = inp[0], inp[1], <const int32_t*>inp[2], out[0], floats[0]
    job.slab_bytes = max_scratch(&job.w)
    job.spare_bytes = 0 if job.hint else volume(job.w.out) * (item + 4)
    return over_planes(&job, cost(&job.w, 0.1 if job.hint else 0.2))


cdef int average(plane_fn plane, void** out, const void* x, const void* g, const int64_t* ints) noexcept nogil:
    cdef PlaneJob job
    job.w = read_windows(ints)
    job.plane = plane
    job.x, job.g, job.y = x, g, out[0]
    job.slab_bytes, job.spare_bytes = avg_scratch(&job.w), 0
    return over_planes(&job, cost(&job.w, 0.1))


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


cdef int avg_pool_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return average(<plane_fn>avg_one[float], out, inp[0], NULL, ints)


cdef int avg_pool_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return average(<plane_fn>avg_one[double], out, inp[0], NULL, ints)


cdef int avg_pool_grad_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return average(<plane_fn>avg_grad_one[float], out, NULL, inp[0], ints)


cdef int avg_pool_grad_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return average(<plane_fn>avg_grad_one[double], out, NULL, inp[0], ints)


KERNELS = {
    "max_pool:f32": <size_t>&max_pool_f32, "max_pool:f64": <size_t>&max_pool_f64,
    "_max_pool_grad:f32": <size_t>&max_pool_grad_f32, "_max_pool_grad:f64": <size_t>&max_pool_grad_f64,
    "_max_pool_gather:f32": <size_t>&max_pool_gather_f32, "_max_pool_gather:f64": <size_t>&max_pool_gather_f64,
    "avg_pool:f32": <size_t>&avg_pool_f32, "avg_pool:f64": <size_t>&avg_pool_f64,
    "_avg_pool_grad:f32": <size_t>&avg_pool_grad_f32, "_avg_pool_grad:f64": <size_t>&avg_pool_grad_f64,
}
ACCUMULATES = set()
