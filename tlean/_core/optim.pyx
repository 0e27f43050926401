# cython: language_level=3
"""Optimiser steps: parameter, gradient and states in, parameter and states out, one pass over memory.

Inputs: parameter, gradient, the states in order, then `hyper`, a float64 vector whose layout tlean/ops/optim.py documents, so that rates
and step counts change without a new plan. Outputs: parameter, then the states; an output may be the input of the same name.
Ints: elements.
"""
from libc.math cimport pow as power
from libc.math cimport sqrt
from libc.stdint cimport int64_t

from tlean._core.kernel cimport TL_OK
from tlean._core.threads cimport parallel_for

ctypedef void (*step_fn)(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last) noexcept nogil

cdef extern from "optim_rows.h" nogil:
    void tl_sgd_f32(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_sgd_f64(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_momentum_f32(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_momentum_f64(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_adam_f32(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_adam_f64(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_amsgrad_f32(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_amsgrad_f64(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_rmsprop_f32(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_rmsprop_f64(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_rmsprop_momentum_f32(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_rmsprop_momentum_f64(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_rmsprop_centred_f32(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_rmsprop_centred_f64(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_rmsprop_centred_momentum_f32(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_rmsprop_centred_momentum_f64(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_adagrad_f32(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_adagrad_f64(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_adadelta_f32(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)
    void tl_adadelta_f64(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last)

cdef enum:
    CHUNK = 16384


cdef struct Job:
    step_fn step
    void** out
    void** inp
    const double* c
    int64_t n


cdef void do_chunk(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Job* job = <Job*>context
    cdef int64_t first = chunk * CHUNK
    job.step(job.out, job.inp, job.c, first, min(first + CHUNK, job.n))


cdef int run(step_fn step, void** out, void** inp, int64_t n, const double* c, double element_ns) noexcept nogil:
    cdef Job job
    job.step, job.out, job.inp, job.c, job.n = step, out, inp, c, n
    parallel_for(do_chunk, &job, (n + CHUNK - 1) // CHUNK, element_ns * <double>n)
    return TL_OK


# Constants of a step from `hyper`, in double. Every layout begins with lr, the gradient's factor, the weight decay.

cdef int sgd(step_fn step, void** out, void** inp, int64_t n, double ns) noexcept nogil:
    cdef const double* h = <const double*>inp[2]
    cdef double c[3]
    c[0], c[1], c[2] = h[1], h[2], h[0]
    return run(step, out, inp, n, c, ns)


cdef int momentum(step_fn step, void** out, void** inp, int64_t n, double ns) noexcept nogil:
    # lr, factor, decay, momentum, dampening, nesterov, step. The first step sets the velocity to the gradient, undamped.
    cdef const double* h = <const double*>inp[3]
    cdef double c[6]
    c[0], c[1], c[2], c[5] = h[1], h[2], h[0], h[5]
    c[3], c[4] = h[3], 1.0 - h[4]
    if h[6] <= 1.0:
        c[4] = 1.0
    return run(step, out, inp, n, c, ns)


cdef int adam(step_fn step, void** out, void** inp, int64_t n, int states, double ns) noexcept nogil:
    # lr, factor, decay, beta1, beta2, eps, step, decoupled.
    cdef const double* h = <const double*>inp[2 + states]
    cdef double c[9]
    cdef bint decoupled = h[7] != 0.0
    c[0], c[1], c[2] = h[1], 0.0 if decoupled else h[2], 1.0 - h[0] * h[2] if decoupled else 1.0
    c[3], c[4], c[5] = 1.0 - h[3], h[4], 1.0 - h[4]
    c[6], c[7], c[8] = h[0] / (1.0 - power(h[3], h[6])), sqrt(1.0 - power(h[4], h[6])), h[5]
    return run(step, out, inp, n, c, ns)


cdef int rmsprop(step_fn step, void** out, void** inp, int64_t n, int states, double ns) noexcept nogil:
    # lr, factor, decay, alpha, eps, momentum.
    cdef const double* h = <const double*>inp[2 + states]
    cdef double c[7]
    c[0], c[1], c[2], c[3], c[4], c[5], c[6] = h[1], h[2], h[0], h[3], 1.0 - h[3], h[4], h[5]
    return run(step, out, inp, n, c, ns)


cdef int adagrad(step_fn step, void** out, void** inp, int64_t n, double ns) noexcept nogil:
    # lr, factor, decay, lr_decay, eps, step.
    cdef const double* h = <const double*>inp[3]
    cdef double c[4]
    c[0], c[1], c[2], c[3] = h[1], h[2], h[0] / (1.0 + (h[5] - 1.0) * h[3]), h[4]
    return run(step, out, inp, n, c, ns)


cdef int adadelta(step_fn step, void** out, void** inp, int64_t n, double ns) noexcept nogil:
    # lr, factor, decay, rho, eps.
    cdef const double* h = <const double*>inp[4]
    cdef double c[6]
    c[0], c[1], c[2], c[3], c[4], c[5] = h[1], h[2], h[0], h[3], 1.0 - h[3], h[4]
    return run(step, out, inp, n, c, ns)


# Kernels -----------------------------------------------------------------------------------------------------------------------

cdef int sgd_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return sgd(tl_sgd_f32, out, inp, ints[0], 0.4)


cdef int sgd_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return sgd(tl_sgd_f64, out, inp, ints[0], 0.8)


cdef int momentum_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return momentum(tl_momentum_f32, out, inp, ints[0], 0.6)


cdef int momentum_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return momentum(tl_momentum_f64, out, inp, ints[0], 1.2)


cdef int adam_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adam(tl_adam_f32, out, inp, ints[0], 2, 0.9)


cdef int adam_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adam(tl_adam_f64, out, inp, ints[0], 2, 1.8)


cdef int amsgrad_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adam(tl_amsgrad_f32, out, inp, ints[0], 3, 1.1)


cdef int amsgrad_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adam(tl_amsgrad_f64, out, inp, ints[0], 3, 2.2)


cdef int rmsprop_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rmsprop(tl_rmsprop_f32, out, inp, ints[0], 1, 0.6)


cdef int rmsprop_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rmsprop(tl_rmsprop_f64, out, inp, ints[0], 1, 1.2)


cdef int rmsprop_momentum_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rmsprop(tl_rmsprop_momentum_f32, out, inp, ints[0], 2, 0.8)


cdef int rmsprop_momentum_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rmsprop(tl_rmsprop_momentum_f64, out, inp, ints[0], 2, 1.6)


cdef int rmsprop_centred_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rmsprop(tl_rmsprop_centred_f32, out, inp, ints[0], 2, 0.8)


cdef int rmsprop_centred_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rmsprop(tl_rmsprop_centred_f64, out, inp, ints[0], 2, 1.6)


cdef int rmsprop_centred_momentum_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rmsprop(tl_rmsprop_centred_momentum_f32, out, inp, ints[0], 3, 1.0)


cdef int rmsprop_centred_momentum_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rmsprop(tl_rmsprop_centred_momentum_f64, out, inp, ints[0], 3, 2.0)


cdef int adagrad_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adagrad(tl_adagrad_f32, out, inp, ints[0], 0.6)


cdef int adagrad_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adagrad(tl_adagrad_f64, out, inp, ints[0], 1.2)


cdef int adadelta_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adadelta(tl_adadelta_f32, out, inp, ints[0], 0.9)


cdef int adadelta_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adadelta(tl_adadelta_f64, out, inp, ints[0], 1.8)


KERNELS = {
    "_sgd_step:f32": <size_t>&sgd_f32, "_sgd_step:f64": <size_t>&sgd_f64,
    "_momentum_step:f32": <size_t>&momentum_f32, "_momentum_step:f64": <size_t>&momentum_f64,
    "_adam_step:f32": <size_t>&adam_f32, "_adam_step:f64": <size_t>&adam_f64,
    "_amsgrad_step:f32": <size_t>&amsgrad_f32, "_amsgrad_step:f64": <size_t>&amsgrad_f64,
    "_rmsprop_step:f32": <size_t>&rmsprop_f32, "_rmsprop_step:f64": <size_t>&rmsprop_f64,
    "_rmsprop_momentum_step:f32": <size_t>&rmsprop_momentum_f32, "_rmsprop_momentum_step:f64": <size_t>&rmsprop_momentum_f64,
    "_rmsprop_centred_step:f32": <size_t>&rmsprop_centred_f32, "_rmsprop_centred_step:f64": <size_t>&rmsprop_centred_f64,
    "_rmsprop_centred_momentum_step:f32": <size_t>&rmsprop_centred_momentum_f32,
    "_rmsprop_centred_momentum_step:f64": <size_t>&rmsprop_centred_momentum_f64,
    "_adagrad_step:f32": <size_t>&adagrad_f32, "_adagrad_step:f64": <size_t>&adagrad_f64,
    "_adadelta_step:f32": <size_t>&adadelta_f32, "_adadelta_step:f64": <size_t>&adadelta_f64,
}
ACCUMULATES = set()
