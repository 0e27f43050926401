# cython: language_level=3
"""Steps of LSTM and GRU cells, and their gradients: every gate is read where it is, in one pass over the rows."""
from libc.stdint cimport int64_t

from tlean._core.simd.rows cimport Job, job_of, part_fn, real, run

cdef extern from "kernels/recurrent/cells.h" nogil:
    # Pointers are to one float type.
    void tl_lstm_rows(void* h, void* c1, void* a, void* t, const void* x, const void* s, const void* c, int64_t n, int64_t first,
                      int64_t last)
    void tl_lstm_back(void* dz, void* dc, const void* gh, const void* gc, const void* a, const void* t, const void* c, int64_t n,
                      int64_t first, int64_t last)
    void tl_gru_rows(void* h1, void* a, const void* x, const void* s, const void* h, int64_t n, int64_t first, int64_t last)
    void tl_gru_back(void* dx, void* ds, void* dh, const void* g, const void* a, const void* h, int64_t n, int64_t first, int64_t last)


# ints: (rows, size of the state). The estimates of time are of one core, per element of the state and byte of a number.


cdef void lstm_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* h, const real* x) noexcept nogil:
    tl_lstm_rows(
        h, job.out[1], job.out[2], job.out[3], x, job.inp[1], job.inp[2], job.ints[1], first,
        last,
    )


cdef int lstm_cell(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (h, c1, a, t) <- (x, s, c)
    cdef Job job = job_of(out, inp, ints, floats, ints[0], 4 * ints[1])
    return run(&job, <part_fn>lstm_part[real], 1.2 * sizeof(real) * ints[0] * ints[1])


cdef void lstm_grad_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* dz, const real* gh) noexcept nogil:
    tl_lstm_back(
        dz, job.out[1], gh, job.inp[1], job.inp[2], job.inp[3], job.inp[4],
        job.ints[1], first, last,
    )


cdef int lstm_cell_grad(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (dz, dc) <- (gh, gc, a, t, c)
    cdef Job job = job_of(out, inp, ints, floats, ints[0], 4 * ints[1])
    return run(&job, <part_fn>lstm_grad_part[real], 0.3 * sizeof(real) * ints[0] * ints[1])


cdef void gru_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* h1, const real* x) noexcept nogil:
    tl_gru_rows(h1, job.out[1], x, job.inp[1], job.inp[2], job.ints[1], first, last)


cdef int gru_cell(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (h1, a) <- (x, s, h)
    cdef Job job = job_of(out, inp, ints, floats, ints[0], 4 * ints[1])
    return run(&job, <part_fn>gru_part[real], 0.8 * sizeof(real) * ints[0] * ints[1])


cdef void gru_grad_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* dx, const real* g) noexcept nogil:
    tl_gru_back(dx, job.out[1], job.out[2], g, job.inp[1], job.inp[2], job.ints[1], first, last)


cdef int gru_cell_grad(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (dx, ds, dh) <- (g, a, h)
    cdef Job job = job_of(out, inp, ints, floats, ints[0], 4 * ints[1])
    return run(&job, <part_fn>gru_grad_part[real], 0.3 * sizeof(real) * ints[0] * ints[1])


KERNELS = {
    "_lstm_cell:f32": <size_t>&lstm_cell[float], "_lstm_cell:f64": <size_t>&lstm_cell[double],
    "_lstm_cell_grad:f32": <size_t>&lstm_cell_grad[float], "_lstm_cell_grad:f64": <size_t>&lstm_cell_grad[double],
    "_gru_cell:f32": <size_t>&gru_cell[float], "_gru_cell:f64": <size_t>&gru_cell[double],
    "_gru_cell_grad:f32": <size_t>&gru_cell_grad[float], "_gru_cell_grad:f64": <size_t>&gru_cell_grad[double],
}
