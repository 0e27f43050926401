# cython: language_level=3
"""Optimiser steps: parameter, gradient and states in, parameter and states out, one pass over memory.

Inputs: parameter, gradient, the states in order, then `hyper`, a float64 vector whose layout tlean/ops/optim.py documents, so that rates
and step counts change without a new plan. Outputs: parameter, then the states; an output may be the input of the same name.
Ints: elements.

`_finite` precedes them in a step that must not be taken with numbers that are none.
"""
from libc.math cimport pow as power
from libc.math cimport sqrt
from libc.stdint cimport int64_t

from tlean._core.kernel cimport TL_NOT_FINITE, TL_OK
from tlean._core.simd.real cimport real
from tlean._core.threads.threads cimport chunk_fn, parallel_for

ctypedef void (*step_fn)(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last) noexcept nogil

# The step of an element type, which a pointer to such an element chooses.
cdef extern from "kernels/optim/rows.h" nogil:
    step_fn tl_sgd(void* p)
    step_fn tl_momentum(void* p)
    step_fn tl_adam(void* p)
    step_fn tl_amsgrad(void* p)
    step_fn tl_rmsprop(void* p)
    step_fn tl_rmsprop_momentum(void* p)
    step_fn tl_rmsprop_centred(void* p)
    step_fn tl_rmsprop_centred_momentum(void* p)
    step_fn tl_adagrad(void* p)
    step_fn tl_adadelta(void* p)

cdef extern from *:
    """
    #include <stdint.h>
    #include "simd/by_type.h"
    /* Whether one of n floating-point numbers is a NaN or an infinity: every bit of its exponent is set. */
    static int tl_not_finite_f32(const float *values, ptrdiff_t n) {
        const uint32_t *p = (const uint32_t *)values;
        uint32_t bad = 0;
        for (ptrdiff_t i = 0; i < n; i++) bad |= (p[i] & 0x7f800000u) == 0x7f800000u;
        return bad != 0;
    }
    static int tl_not_finite_f64(const double *values, ptrdiff_t n) {
        const uint64_t *p = (const uint64_t *)values;
        uint64_t bad = 0;
        for (ptrdiff_t i = 0; i < n; i++) bad |= (p[i] & 0x7ff0000000000000ull) == 0x7ff0000000000000ull;
        return bad != 0;
    }
    #define tl_not_finite(p, n) TL_CALL(tl_not_finite, p, n)
    """
    bint tl_not_finite(const void* p, Py_ssize_t n) nogil

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


# Constants of a step from `hyper`, in double. Every layout begins with lr, the gradient's factor, the weight decay. The estimates of time
# are of one core, per byte of the parameter.

cdef int sgd_step(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef const double* h = <const double*>inp[2]
    cdef double c[3]
    c[0], c[1], c[2] = h[1], h[2], h[0]
    return run(tl_sgd(out[0]), <void**>out, inp, ints[0], c, 0.1 * sizeof(real))


cdef int momentum_step(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # lr, factor, decay, momentum, dampening, nesterov, step. The first step sets the velocity to the gradient, undamped.
    cdef const double* h = <const double*>inp[3]
    cdef double c[6]
    c[0], c[1], c[2], c[5] = h[1], h[2], h[0], h[5]
    c[3], c[4] = h[3], 1.0 - h[4]
    if h[6] <= 1.0:
        c[4] = 1.0
    return run(tl_momentum(out[0]), <void**>out, inp, ints[0], c, 0.15 * sizeof(real))


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


cdef int adagrad_step(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # lr, factor, decay, lr_decay, eps, step.
    cdef const double* h = <const double*>inp[3]
    cdef double c[4]
    c[0], c[1], c[2], c[3] = h[1], h[2], h[0] / (1.0 + (h[5] - 1.0) * h[3]), h[4]
    return run(tl_adagrad(out[0]), <void**>out, inp, ints[0], c, 0.15 * sizeof(real))


cdef int adadelta_step(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # lr, factor, decay, rho, eps.
    cdef const double* h = <const double*>inp[4]
    cdef double c[6]
    c[0], c[1], c[2], c[3], c[4], c[5] = h[1], h[2], h[0], h[3], 1.0 - h[3], h[4]
    return run(tl_adadelta(out[0]), <void**>out, inp, ints[0], c, 0.225 * sizeof(real))


# Numbers that are none -----------------------------------------------------------------------------------------------------------

cdef struct Look:
    const void* values
    int64_t n
    unsigned char* bad         # of each part
    int64_t part               # elements of one


cdef enum:
    MOST_PARTS = 256


cdef void look_at_part(real* context, Py_ssize_t k) noexcept nogil:
    cdef Look* look = <Look*>context
    cdef int64_t first = k * look.part
    look.bad[k] = tl_not_finite(<const real*>look.values + first, min(look.part, look.n - first))


cdef int finite(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # Ints: entries of hyper, arrays, the elements of each. Inputs: hyper, the arrays. Output: hyper, or, where an array holds a NaN or an
    # infinity, (the number of the first such array, the first such number in it).
    cdef unsigned char bad[MOST_PARTS]
    cdef double* result = <double*>out[0]
    cdef const real* values
    cdef Look look
    cdef int64_t k, i, parts
    for k in range(ints[1]):
        values = <const real*>inp[1 + k]
        look.values, look.n, look.bad = values, ints[2 + k], bad
        look.part = max(<int64_t>CHUNK, (look.n + MOST_PARTS - 1) // MOST_PARTS)
        parts = (look.n + look.part - 1) // look.part
        parallel_for(<chunk_fn>look_at_part[real], &look, parts, 0.1 * <double>look.n)
        for i in range(parts):
            if bad[i]:
                i *= look.part
                while not tl_not_finite(values + i, 1):
                    i += 1
                result[0], result[1] = <double>k, values[i]
                return TL_NOT_FINITE
    for i in range(ints[0]):
        result[i] = (<const double*>inp[0])[i]
    return TL_OK


# Kernels -----------------------------------------------------------------------------------------------------------------------

cdef int adam_step(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adam(tl_adam(out[0]), <void**>out, inp, ints[0], 2, 0.225 * sizeof(real))


cdef int amsgrad_step(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return adam(tl_amsgrad(out[0]), <void**>out, inp, ints[0], 3, 0.275 * sizeof(real))


cdef int rmsprop_step(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rmsprop(tl_rmsprop(out[0]), <void**>out, inp, ints[0], 1, 0.15 * sizeof(real))


cdef int rmsprop_momentum_step(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rmsprop(tl_rmsprop_momentum(out[0]), <void**>out, inp, ints[0], 2, 0.2 * sizeof(real))


cdef int rmsprop_centred_step(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rmsprop(tl_rmsprop_centred(out[0]), <void**>out, inp, ints[0], 2, 0.2 * sizeof(real))


cdef int rmsprop_centred_momentum_step(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rmsprop(tl_rmsprop_centred_momentum(out[0]), <void**>out, inp, ints[0], 3, 0.25 * sizeof(real))


KERNELS = {
    "_finite:f32": <size_t>&finite[float], "_finite:f64": <size_t>&finite[double],
    "_sgd_step:f32": <size_t>&sgd_step[float], "_sgd_step:f64": <size_t>&sgd_step[double],
    "_momentum_step:f32": <size_t>&momentum_step[float], "_momentum_step:f64": <size_t>&momentum_step[double],
    "_adam_step:f32": <size_t>&adam_step[float], "_adam_step:f64": <size_t>&adam_step[double],
    "_amsgrad_step:f32": <size_t>&amsgrad_step[float], "_amsgrad_step:f64": <size_t>&amsgrad_step[double],
    "_rmsprop_step:f32": <size_t>&rmsprop_step[float], "_rmsprop_step:f64": <size_t>&rmsprop_step[double],
    "_rmsprop_momentum_step:f32": <size_t>&rmsprop_momentum_step[float],
    "_rmsprop_momentum_step:f64": <size_t>&rmsprop_momentum_step[double],
    "_rmsprop_centred_step:f32": <size_t>&rmsprop_centred_step[float], "_rmsprop_centred_step:f64": <size_t>&rmsprop_centred_step[double],
    "_rmsprop_centred_momentum_step:f32": <size_t>&rmsprop_centred_momentum_step[float],
    "_rmsprop_centred_momentum_step:f64": <size_t>&rmsprop_centred_momentum_step[double],
    "_adagrad_step:f32": <size_t>&adagrad_step[float], "_adagrad_step:f64": <size_t>&adagrad_step[double],
    "_adadelta_step:f32": <size_t>&adadelta_step[float], "_adadelta_step:f64": <size_t>&adadelta_step[double],
}
