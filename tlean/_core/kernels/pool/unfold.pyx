# cython: language_level=3
"""Pooling windows laid out, and added back; geometry in kernels/pool/geometry.pxd."""
from libc.stdint cimport int64_t
from libc.string cimport memset

from tlean._core.kernels.pool.geometry cimport PlaneJob, Windows, over_planes, plane_fn, read_windows, real, volume


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

cdef int launch(plane_fn plane, real** out, const void* x, const void* g, const int64_t* ints, double pad_value,
                double tap_ns) noexcept nogil:
    cdef PlaneJob job
    job.w = read_windows(ints)
    job.plane = plane
    job.x, job.g, job.y, job.number = x, g, out[0], pad_value
    job.slab_bytes, job.spare_bytes = 64, 0
    return over_planes(&job, 0.1 * volume(job.w.size) + tap_ns * volume(job.w.out) * volume(job.w.kernel))


# (N,C,D,H,W) -> (N,C,KD,KH,KW,D',H',W')
cdef int windows(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return launch(<plane_fn>windows_one[real], out, inp[0], NULL, ints, floats[0], 0.3)


cdef int windows_adjoint(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return launch(<plane_fn>windows_adjoint_one[real], out, NULL, inp[0], ints, 0.0, 0.5)


KERNELS = {
    "_windows:f32": <size_t>&windows[float], "_windows:f64": <size_t>&windows[double],
    "_windows_adjoint:f32": <size_t>&windows_adjoint[float], "_windows_adjoint:f64": <size_t>&windows_adjoint[double],
}
