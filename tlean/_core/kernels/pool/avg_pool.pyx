# cython: language_level=3
"""Average pooling and its gradient: over 1, 2 or 3 spatial axes, any kernel, stride and padding.

Both kernels take the integers of `Windows` (kernels/pool/geometry.pxd). Parallel over planes (one image of one channel).
"""
from libc.stdint cimport int64_t
from libc.string cimport memset

from tlean._core.kernels.pool.geometry cimport (
    STRIP,
    PlaneJob,
    Windows,
    as_columns,
    carve,
    fetch_ahead,
    first_window,
    is_2x2,
    last_window,
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

# Pointers are to one float type, or, `rows` and `taps`, to pointers to it.
cdef extern from "kernels/pool/rows.h" nogil:
    void tl_sum_rows(void* dst, const void* rows, Py_ssize_t count, double divisor, Py_ssize_t n)
    void tl_split(const void* y, void* phase, Py_ssize_t pitch, const void* row, Py_ssize_t stride, Py_ssize_t count)
    void tl_merge(void* row, const void* phase, Py_ssize_t pitch, Py_ssize_t stride, Py_ssize_t skip, Py_ssize_t n)
    void tl_spread(void* row, const void* taps, Py_ssize_t n)
    void tl_avg_2x2(void* y, const void* r0, const void* r1, Py_ssize_t n)
    void tl_avg_2x2_grad(void* d0, void* d1, const void* g, Py_ssize_t n)

cdef extern from "kernels/pool/columns.h" nogil:
    void tl_avg_columns(void* y, const void* x, const void* zeros, double divisor, const tl_columns* s)


cdef int64_t avg_scratch(const Windows* w) noexcept nogil:
    # Of the mean, and of its gradient, whose phases hold an input row where the mean's hold the cells under a row of windows.
    cdef int64_t strip = phase_pitch(w) * w.stride[2] + w.size[2] + w.padding[2] + w.kernel[2] + w.stride[2] + 32
    return 16 * STRIP * strip + 24 * w.kernel[0] * w.kernel[1] + 24 * w.kernel[2] + 2048


cdef void avg_plane(const Windows* w, const real* x, real* y, char* slab) noexcept nogil:
    # As max_plane, with sums.
    cdef int64_t W = w.size[2], ow = w.out[2], s = w.stride[2], p = w.padding[2], kw = w.kernel[2]
    cdef int64_t pitch = phase_pitch(w), length = pitch * s, rows_out = w.out[0] * w.out[1], most = w.kernel[0] * w.kernel[1]
    cdef int64_t cells = W if W < length - p else length - p
    cdef int64_t strip, first, m, b, k, o, i, count
    cdef real divisor = <real>volume(w.kernel)
    cdef const real** rows
    cdef const real** taps
    cdef int64_t* start
    cdef tl_columns columns
    cdef real *line
    cdef real *phase
    if is_2x2(w):
        for o in range(rows_out):
            i = (o // w.out[1] * w.size[1] + 2 * (o % w.out[1])) * W
            fetch_ahead(w, x + i)
            tl_avg_2x2(y + o * ow, x + i, x + i + W, ow)
        return
    if as_columns(w, &columns):
        line = <real*>carve(&slab, W * sizeof(real))
        memset(line, 0, W * sizeof(real))
        for o in range(w.out[0]):
            i = o * w.size[1] * W
            tl_avg_columns(y + o * w.out[1] * ow, x + i, line, divisor, &columns)
        return
    rows = <const real**>carve(&slab, most * 8)
    start = <int64_t*>carve(&slab, most * 8)
    taps = <const real**>carve(&slab, kw * 8)
    line = <real*>carve(&slab, (STRIP * length + 16) * sizeof(real)) + (-p & 15)
    phase = <real*>carve(&slab, STRIP * length * sizeof(real)) if s > 1 else line
    memset(line, 0, STRIP * length * sizeof(real))
    for strip in range((rows_out + STRIP - 1) // STRIP):
        first = strip * STRIP
        m = min(<int64_t>STRIP, rows_out - first)
        for b in range(m):
            o = first + b
            count = window_rows(w, x, rows, start, o // w.out[1], o % w.out[1], NULL)
            fetch_ahead(w, rows[count - 1])
            tl_sum_rows(line + b * length + p, rows, count, 1, cells)
        if s > 1:
            tl_split(y, phase, STRIP * pitch, line, s, m * pitch)
        for b in range(m):
            for k in range(kw):
                taps[k] = phase + k % s * STRIP * pitch + b * pitch + k // s
            o = (first + b) * ow
            tl_sum_rows(y + o, taps, kw, divisor, ow)


cdef void avg_one(PlaneJob* job, int64_t i, char* slab, real* spare) noexcept nogil:
    cdef int64_t cells = volume(job.w.size), outs = volume(job.w.out)
    avg_plane(&job.w, <const real*>job.x + i * cells, <real*>job.y + i * outs, slab)


cdef void avg_grad_plane(const Windows* w, const real* g, real* dx, char* slab) noexcept nogil:
    # Each input row: the sum of the g rows whose windows cover it, over the kernel's size (`line`), spread along the row by phases:
    # cell q·s + r − p is under windows q, q − 1, …, as many as r + m·s < kernel.
    cdef int64_t H = w.size[1], W = w.size[2], ow = w.out[2], s = w.stride[2], p = w.padding[2], kw = w.kernel[2]
    cdef int64_t pitch = (W - 1 + p) // s + 1, margin = (kw - 1) // s, length = (margin + pitch + 15) & ~<int64_t>15
    cdef int64_t span = ow if ow < pitch else pitch
    cdef int64_t strip, first, m, b, z, i, o, o0, o1, r, k, count
    cdef real divisor = <real>volume(w.kernel)
    cdef const real** rows = <const real**>carve(&slab, w.kernel[0] * w.kernel[1] * 8)
    cdef const real** taps = <const real**>carve(&slab, (kw + 4) * 8)
    cdef real* lines = <real*>carve(&slab, (STRIP + 1) * length * sizeof(real))
    cdef real* phase = <real*>carve(&slab, s * pitch * sizeof(real))
    cdef real* line
    if is_2x2(w):
        if H != 2 * w.out[1] or W != 2 * ow:
            memset(dx, 0, volume(w.size) * sizeof(real))
        for o in range(w.out[0] * w.out[1]):
            i = (o // w.out[1] * H + 2 * (o % w.out[1])) * W
            tl_avg_2x2_grad(dx + i, dx + i + W, g + o * ow, ow)
        return
    memset(lines, 0, (STRIP + 1) * length * sizeof(real))
    for strip in range((w.size[0] * H + STRIP - 1) // STRIP):
        first = strip * STRIP
        m = min(<int64_t>STRIP, w.size[0] * H - first)
        for b in range(m):
            z = (first + b) // H
            i = (first + b) % H
            line = lines + b * length + margin
            count = 0
            for o0 in range(first_window(z, w.kernel[0], w.stride[0], w.padding[0]),
                            last_window(z, w.stride[0], w.padding[0], w.out[0]) + 1):
                for o1 in range(first_window(i, w.kernel[1], w.stride[1], w.padding[1]),
                                last_window(i, w.stride[1], w.padding[1], w.out[1]) + 1):
                    rows[count] = g + (o0 * w.out[1] + o1) * ow
                    count += 1
            if count == 0:
                memset(line, 0, span * sizeof(real))
            else:
                tl_sum_rows(line, rows, count, divisor, span)
        for b in range(m):
            line = lines + b * length + margin
            i = (first + b) * W
            if s == 2 and kw <= 4:
                # Both phases have at most two windows; a row of zeros replaces the missing ones.
                for k in range(4):
                    r = (p + k // 2) & 1
                    taps[k] = line + (p + k // 2) // 2 - k % 2 if r + k % 2 * 2 < kw else lines + STRIP * length
                tl_spread(dx + i, taps, W)
                continue
            for r in range(s):
                if r >= kw:
                    memset(phase + r * pitch, 0, pitch * sizeof(real))
                    continue
                count = (kw - 1 - r) // s + 1
                for k in range(count):
                    taps[k] = line - k
                tl_sum_rows(dx + i if s == 1 and p == 0 else phase + r * pitch, taps, count, 1, pitch)
            if s > 1 or p > 0:
                tl_merge(dx + i, phase, pitch, s, p, W)


cdef void avg_grad_one(PlaneJob* job, int64_t i, char* slab, real* spare) noexcept nogil:
    cdef int64_t cells = volume(job.w.size), outs = volume(job.w.out)
    avg_grad_plane(&job.w, <const real*>job.g + i * outs, <real*>job.y + i * cells, slab)


# Kernels ---------------------------------------------------------------------------------------------------------------------

cdef int average(plane_fn plane, real** out, const void* x, const void* g, const int64_t* ints) noexcept nogil:
    cdef PlaneJob job
    job.w = read_windows(ints)
    job.plane = plane
    job.x, job.g, job.y = x, g, out[0]
    job.slab_bytes, job.spare_bytes = avg_scratch(&job.w), 0
    return over_planes(&job, row_cost(&job.w, 0.1))


# (N,C,D,H,W) -> (N,C,D',H',W')
cdef int avg_pool(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return average(<plane_fn>avg_one[real], out, inp[0], NULL, ints)


cdef int avg_pool_grad(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return average(<plane_fn>avg_grad_one[real], out, NULL, inp[0], ints)


KERNELS = {
    "avg_pool:f32": <size_t>&avg_pool[float], "avg_pool:f64": <size_t>&avg_pool[double],
    "_avg_pool_grad:f32": <size_t>&avg_pool_grad[float], "_avg_pool_grad:f64": <size_t>&avg_pool_grad[double],
}
