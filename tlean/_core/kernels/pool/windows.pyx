# cython: language_level=3
"""Smooth maximum pooling and its gradient, and the pair that lays windows out and adds them back; geometry in kernels/pool/geometry.pxd."""
from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from tlean._core.kernels.pool.geometry cimport PlaneJob, Windows, carve, over_planes, plane_fn, read_windows, volume

cdef extern from "kernels/pool/smooth_rows.h" nogil:
    int TL_SMOOTH_LANES
    void tl_scaled_copy_f32(float* dst, const float* x, float c, Py_ssize_t n)
    void tl_scaled_copy_f64(double* dst, const double* x, double c, Py_ssize_t n)
    void tl_max_into_f32(float* m, const float* z, Py_ssize_t n)
    void tl_max_into_f64(double* m, const double* z, Py_ssize_t n)
    void tl_exp_into_f32(float* e, float* sum, const float* z, const float* m, Py_ssize_t n)
    void tl_exp_into_f64(double* e, double* sum, const double* z, const double* m, Py_ssize_t n)
    void tl_log_sum_f32(float* y, const float* m, const float* sum, float beta, Py_ssize_t n)
    void tl_log_sum_f64(double* y, const double* m, const double* sum, double beta, Py_ssize_t n)
    void tl_divide_f32(float* y, const float* g, const float* sum, Py_ssize_t n)
    void tl_divide_f64(double* y, const double* g, const double* sum, Py_ssize_t n)
    void tl_add_product_f32(float* acc, const float* a, const float* b, Py_ssize_t n)
    void tl_add_product_f64(double* acc, const double* a, const double* b, Py_ssize_t n)

ctypedef fused real:
    float
    double


# Smooth maximum --------------------------------------------------------------------------------------------------------------

cdef int64_t lanes(int64_t n) noexcept nogil:
    return (n + TL_SMOOTH_LANES - 1) // TL_SMOOTH_LANES * TL_SMOOTH_LANES


cdef int64_t phase_pitch(const Windows* w) noexcept nogil:
    # Room for one phase of a row (window j's tap k is at k//s + j), with windows rounded up to whole vectors.
    return lanes(w.out[2]) + lanes((w.kernel[2] - 1) // w.stride[2] + 1)


cdef int64_t smooth_scratch(const Windows* w) noexcept nogil:
    cdef int64_t rows = w.kernel[0] * w.kernel[1], pitch = phase_pitch(w)
    return 8 * (2 * rows * w.stride[2] * pitch + rows * w.kernel[2] * lanes(w.out[2]) + 4 * lanes(w.out[2]) + w.size[2] + rows) + 4096


cdef void smooth_plane(const Windows* w, const real* x, const real* g, real* y, real* dx, real beta, char* slab) noexcept nogil:
    """y (where g is NULL), or dx, of one plane.

    Each row of windows takes beta*x of the rows under it, cut by residue of the stride, so that tap k of every window is one contiguous
    run; then the maximum over the taps, the exponentials and their sum. The gradient is g/sum times those exponentials, added in phases.
    """
    cdef int64_t W = w.size[2], ow = w.out[2], s = w.stride[2], p = w.padding[2], kw = w.kernel[2]
    cdef int64_t n = lanes(ow), pitch = phase_pitch(w), o0, o1, a, b, z, i, j, k, r, q, count, t
    cdef int64_t most = w.kernel[0] * w.kernel[1]
    cdef int64_t* where = <int64_t*>carve(&slab, most * 8)
    cdef real* scaled = <real*>carve(&slab, W * sizeof(real))
    cdef real* phases = <real*>carve(&slab, most * s * pitch * sizeof(real))
    cdef real* back = <real*>carve(&slab, most * s * pitch * sizeof(real))
    cdef real* e = <real*>carve(&slab, most * kw * n * sizeof(real))
    cdef real* top = <real*>carve(&slab, n * sizeof(real))
    cdef real* total = <real*>carve(&slab, n * sizeof(real))
    cdef real* share = <real*>carve(&slab, n * sizeof(real))
    cdef real* tap
    cdef real* out
    if g != NULL:
        memset(dx, 0, volume(w.size) * sizeof(real))
    # Cells beside a row stay at exp's zero for the whole plane; only cells of the row itself are written below.
    for j in range(most * s * pitch):
        phases[j] = -INFINITY
    for o0 in range(w.out[0]):
        for o1 in range(w.out[1]):
            count = 0
            for a in range(w.kernel[0]):
                z = o0 * w.stride[0] - w.padding[0] + a
                for b in range(w.kernel[1]):
                    i = o1 * w.stride[1] - w.padding[1] + b
                    if not (0 <= z < w.size[0] and 0 <= i < w.size[1]):
                        continue
                    where[count] = (z * w.size[1] + i) * W
                    if real is float:
                        tl_scaled_copy_f32(scaled, x + where[count], beta, W)
                    else:
                        tl_scaled_copy_f64(scaled, x + where[count], beta, W)
                    cut(phases + count * s * pitch, scaled, pitch, s, p, W)
                    count += 1
            for j in range(n):
                top[j] = -INFINITY
                total[j] = 0
            for r in range(count):
                for k in range(kw):
                    tap = phases + (r * s + k % s) * pitch + k // s
                    if real is float:
                        tl_max_into_f32(top, tap, n)
                    else:
                        tl_max_into_f64(top, tap, n)
            for r in range(count):
                for k in range(kw):
                    tap = phases + (r * s + k % s) * pitch + k // s
                    if real is float:
                        tl_exp_into_f32(e + (r * kw + k) * n, total, tap, top, n)
                    else:
                        tl_exp_into_f64(e + (r * kw + k) * n, total, tap, top, n)
            q = (o0 * w.out[1] + o1) * ow
            if g == NULL:
                if real is float:
                    tl_log_sum_f32(share, top, total, beta, n)
                else:
                    tl_log_sum_f64(share, top, total, beta, n)
                memcpy(y + q, share, ow * sizeof(real))
                continue
            memset(top, 0, n * sizeof(real))
            memcpy(top, g + q, ow * sizeof(real))
            memset(back, 0, count * s * pitch * sizeof(real))
            if real is float:
                tl_divide_f32(share, top, total, n)
            else:
                tl_divide_f64(share, top, total, n)
            for r in range(count):
                for k in range(kw):
                    tap = back + (r * s + k % s) * pitch + k // s
                    if real is float:
                        tl_add_product_f32(tap, e + (r * kw + k) * n, share, ow)
                    else:
                        tl_add_product_f64(tap, e + (r * kw + k) * n, share, ow)
                out = dx + where[r]
                for t in range(s):
                    # Phase t holds columns t − p, t − p + s, …
                    j = t - p
                    k = r * s + t
                    a = 0 if j >= 0 else (-j + s - 1) // s
                    for i in range(a, phase_cells(W, s, p, t, pitch)):
                        out[j + i * s] += back[k * pitch + i]


cdef int64_t phase_cells(int64_t W, int64_t s, int64_t p, int64_t t, int64_t pitch) noexcept nogil:
    # The number of places of phase t, from 0, up to the last column of the row: those with t + i·s − p < W.
    cdef int64_t n = (W + p - t + s - 1) // s
    return 0 if n < 0 else n if n < pitch else pitch


cdef void cut(real* phase, const real* row, int64_t pitch, int64_t s, int64_t p, int64_t W) noexcept nogil:
    # phase[t·pitch + i] = row[t + i·s − p], for the columns that there are.
    cdef int64_t t, i, first
    for t in range(s):
        first = 0 if t >= p else (p - t + s - 1) // s
        for i in range(first, phase_cells(W, s, p, t, pitch)):
            phase[t * pitch + i] = row[t + i * s - p]


cdef void smooth_one(PlaneJob* job, int64_t i, char* slab, real* spare) noexcept nogil:
    cdef int64_t cells = volume(job.w.size), outs = volume(job.w.out)
    smooth_plane(&job.w, <const real*>job.x + i * cells, NULL, <real*>job.y + i * outs, NULL, <real>job.number, slab)


cdef void smooth_grad_one(PlaneJob* job, int64_t i, char* slab, real* spare) noexcept nogil:
    cdef int64_t cells = volume(job.w.size), outs = volume(job.w.out)
    smooth_plane(&job.w, <const real*>job.x + i * cells, <const real*>job.g + i * outs, NULL, <real*>job.y + i * cells,
                 <real>job.number, slab)


# Windows laid out, and added back ----------------------------------------------------------------------------------------------

cdef void tap_row(const Windows* w, real* cells, real* row, int64_t z, int64_t i, int64_t c, real pad_value, bint back) noexcept nogil:
    # One tap of one row of windows: row[j] = cells[z, i, j·s + c], or with `back` the row added to those cells. z, i, c may lie outside.
    cdef int64_t W = w.size[2], s = w.stride[2], ow = w.out[2], j
    cdef int64_t first = 0 if c >= 0 else (-c + s - 1) // s
    cdef int64_t last = 0 if c >= W else (W - 1 - c) // s + 1
    cdef real* line
    if not (0 <= z < w.size[0] and 0 <= i < w.size[1]):
        first, last = ow, ow
    if first > ow:
        first = ow
    if last > ow:
        last = ow
    if last < first:
        last = first
    line = cells + (z * w.size[1] + i) * W + c
    if back:
        for j in range(first, last):
            line[j * s] += row[j]
        return
    for j in range(first):
        row[j] = pad_value
    for j in range(first, last):
        row[j] = line[j * s]
    for j in range(last, ow):
        row[j] = pad_value


cdef void taps_of_plane(const Windows* w, real* cells, real* windows, real pad_value, bint back) noexcept nogil:
    cdef int64_t a, b, c, o0, o1
    for a in range(w.kernel[0]):
        for b in range(w.kernel[1]):
            for c in range(w.kernel[2]):
                for o0 in range(w.out[0]):
                    for o1 in range(w.out[1]):
                        tap_row(w, cells, windows, o0 * w.stride[0] - w.padding[0] + a, o1 * w.stride[1] - w.padding[1] + b,
                                c - w.padding[2], pad_value, back)
                        windows += w.out[2]


cdef void windows_one(PlaneJob* job, int64_t i, char* slab, real* spare) noexcept nogil:
    cdef int64_t taps = volume(job.w.kernel) * volume(job.w.out)
    taps_of_plane(&job.w, <real*>job.x + i * volume(job.w.size), <real*>job.y + i * taps, <real>job.number, False)


cdef void windows_adjoint_one(PlaneJob* job, int64_t i, char* slab, real* spare) noexcept nogil:
    cdef int64_t cells = volume(job.w.size), taps = volume(job.w.kernel) * volume(job.w.out)
    memset(<real*>job.y + i * cells, 0, cells * sizeof(real))
    taps_of_plane(&job.w, <real*>job.y + i * cells, <real*>job.g + i * taps, <real>0, True)


# Kernels ---------------------------------------------------------------------------------------------------------------------

cdef int launch(plane_fn plane, void** out, const void* x, const void* g, const int64_t* ints, double number, double tap_ns,
                bint smooth) noexcept nogil:
    cdef PlaneJob job
    job.w = read_windows(ints)
    job.plane = plane
    job.x, job.g, job.y, job.number = x, g, out[0], number
    job.slab_bytes, job.spare_bytes = smooth_scratch(&job.w) if smooth else 64, 0
    return over_planes(&job, 0.1 * volume(job.w.size) + tap_ns * volume(job.w.out) * volume(job.w.kernel))


cdef int smooth_max_pool_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return launch(<plane_fn>smooth_one[float], out, inp[0], NULL, ints, floats[0], 1.0, True)


cdef int smooth_max_pool_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return launch(<plane_fn>smooth_one[double], out, inp[0], NULL, ints, floats[0], 2.0, True)


cdef int smooth_max_pool_grad_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return launch(<plane_fn>smooth_grad_one[float], out, inp[1], inp[0], ints, floats[0], 1.5, True)


cdef int smooth_max_pool_grad_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return launch(<plane_fn>smooth_grad_one[double], out, inp[1], inp[0], ints, floats[0], 2.5, True)


cdef int windows_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return launch(<plane_fn>windows_one[float], out, inp[0], NULL, ints, floats[0], 0.3, False)


cdef int windows_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return launch(<plane_fn>windows_one[double], out, inp[0], NULL, ints, floats[0], 0.3, False)


cdef int windows_adjoint_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return launch(<plane_fn>windows_adjoint_one[float], out, NULL, inp[0], ints, 0.0, 0.5, False)


cdef int windows_adjoint_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return launch(<plane_fn>windows_adjoint_one[double], out, NULL, inp[0], ints, 0.0, 0.5, False)


KERNELS = {
    "smooth_max_pool:f32": <size_t>&smooth_max_pool_f32, "smooth_max_pool:f64": <size_t>&smooth_max_pool_f64,
    "_smooth_max_pool_grad:f32": <size_t>&smooth_max_pool_grad_f32, "_smooth_max_pool_grad:f64": <size_t>&smooth_max_pool_grad_f64,
    "_windows:f32": <size_t>&windows_f32, "_windows:f64": <size_t>&windows_f64,
    "_windows_adjoint:f32": <size_t>&windows_adjoint_f32, "_windows_adjoint:f64": <size_t>&windows_adjoint_f64,
}
ACCUMULATES = set()
