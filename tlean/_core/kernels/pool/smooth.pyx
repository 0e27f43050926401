# cython: language_level=3
"""Smooth maximum pooling and its gradient; geometry in kernels/pool/geometry.pxd."""
from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from tlean._core.kernels.pool.geometry cimport PlaneJob, Windows, carve, over_planes, plane_fn, read_windows, real, volume

cdef extern from "kernels/pool/smooth_rows.h" nogil:
    int TL_SMOOTH_LANES
    # Pointers are to one float type.
    void tl_scaled_copy(void* dst, const void* x, double c, Py_ssize_t n)
    void tl_max_into(void* m, const void* z, Py_ssize_t n)
    void tl_exp_into(void* e, void* sum, const void* z, const void* m, Py_ssize_t n)
    void tl_log_sum(void* y, const void* m, const void* sum, double beta, Py_ssize_t n)
    void tl_divide(void* y, const void* g, const void* sum, Py_ssize_t n)
    void tl_add_product(void* acc, const void* a, const void* b, Py_ssize_t n)


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
                    tl_scaled_copy(scaled, x + where[count], beta, W)
                    cut(phases + count * s * pitch, scaled, pitch, s, p, W)
                    count += 1
            for j in range(n):
                top[j] = -INFINITY
                total[j] = 0
            for r in range(count):
                for k in range(kw):
                    tap = phases + (r * s + k % s) * pitch + k // s
                    tl_max_into(top, tap, n)
            for r in range(count):
                for k in range(kw):
                    tap = phases + (r * s + k % s) * pitch + k // s
                    tl_exp_into(e + (r * kw + k) * n, total, tap, top, n)
            q = (o0 * w.out[1] + o1) * ow
            if g == NULL:
                tl_log_sum(share, top, total, beta, n)
                memcpy(y + q, share, ow * sizeof(real))
                continue
            memset(top, 0, n * sizeof(real))
            memcpy(top, g + q, ow * sizeof(real))
            memset(back, 0, count * s * pitch * sizeof(real))
            tl_divide(share, top, total, n)
            for r in range(count):
                for k in range(kw):
                    tap = back + (r * s + k % s) * pitch + k // s
                    tl_add_product(tap, e + (r * kw + k) * n, share, ow)
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


# Kernels ---------------------------------------------------------------------------------------------------------------------

cdef int launch(plane_fn plane, real** out, const void* x, const void* g, const int64_t* ints, double beta, double tap_ns) noexcept nogil:
    cdef PlaneJob job
    job.w = read_windows(ints)
    job.plane = plane
    job.x, job.g, job.y, job.number = x, g, out[0], beta
    job.slab_bytes, job.spare_bytes = smooth_scratch(&job.w), 0
    return over_planes(&job, 0.1 * volume(job.w.size) + tap_ns * volume(job.w.out) * volume(job.w.kernel))


# (N,C,D,H,W) -> (N,C,D',H',W')
cdef int smooth_max_pool(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return launch(<plane_fn>smooth_one[real], out, inp[0], NULL, ints, floats[0], 0.25 * sizeof(real))


cdef int smooth_max_pool_grad(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return launch(<plane_fn>smooth_grad_one[real], out, inp[1], inp[0], ints, floats[0], 0.5 + 0.25 * sizeof(real))


KERNELS = {
    "smooth_max_pool:f32": <size_t>&smooth_max_pool[float], "smooth_max_pool:f64": <size_t>&smooth_max_pool[double],
    "_smooth_max_pool_grad:f32": <size_t>&smooth_max_pool_grad[float], "_smooth_max_pool_grad:f64": <size_t>&smooth_max_pool_grad[double],
}
