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
from tlean._core.threads.threads cimport parallel_for

ctypedef void (*step_fn)(void** out, void** inp, const double* c, Py_ssize_t first, Py_ssize_t last) noexcept nogil

cdef extern from "kernels/optim/rows.h" nogil:
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

cdef extern from *:
    """
    #include <stdint.h>
    /* Whether one of n floating-point numbers is a NaN or an infinity: every bit of its exponent is set. */
    static int tl_not_finite_f32(const void *values, ptrdiff_t n) {
        const uint32_t *p = (const uint32_t *)values;
        uint32_t bad = 0;
        for (ptrdiff_t i = 0; i < n; i++) bad |= (p[i] & 0x7f800000u) == 0x7f800000u;
        return bad != 0;
    }
    static int tl_not_finite_f64(const void *values, ptrdiff_t n) {
        const uint64_t *p = (const uint64_t *)values;
        uint64_t bad = 0;
        for (ptrdiff_t i = 0; i < n; i++) bad |= (p[i] & 0x7ff0000000000000ull) == 0x7ff0000000000000ull;
        return bad != 0;
    }
    """
    bint tl_not_finite_f32(const void* p, Py_ssize_t n) nogil
    bint tl_not_finite_f64(const void* p, Py_ssize_t n) nogil

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


# Numbers that are none -----------------------------------------------------------------------------------------------------------

cdef struct Look:
    const char* values
    int64_t n
    int item
    unsigned char* bad         # of each part
    int64_t part               # elements of one


cdef enum:
    MOST_PARTS = 256


cdef void look_at_part(void* context, Py_ssize_t k) noexcept nogil:
    cdef Look* look = <Look*>context
    cdef int64_t first = k * look.part, count = min(look.part, look.n - first)
    cdef const char* p = look.values + first * look.item
    look.bad[k] = tl_not_finite_f32(p, count) if look.item == 4 else tl_not_finite_f64(p, count)


cdef int finite(void** out, void** inp, const int64_t* ints, int item) noexcept nogil:
    # Ints: entries of hyper, arrays, the elements of each. Inputs: hyper, the arrays. Output: hyper, or, where an array holds a NaN or an
    # infinity, (the number of the first such array, the first such number in it).
    cdef unsigned char bad[MOST_PARTS]
    cdef double* found = <double*>out[0]
    cdef Look look
    cdef int64_t k, i, parts
    for k in range(ints[1]):
        look.values, look.n, look.item, look.bad = <const char*>inp[1 + k], ints[2 + k], item, bad
        look.part = max(<int64_t>CHUNK, (look.n + MOST_PARTS - 1) // MOST_PARTS)
        parts = (look.n + look.part - 1) // look.part
        parallel_for(look_at_part, &look, parts, 0.1 * <double>look.n)
        for i in range(parts):
            if bad[i]:
                i *= look.part
                while not (tl_not_finite_f32(look.values + i * 4, 1) if item == 4 else tl_not_finite_f64(look.values + i * 8, 1)):
                    i += 1
                found[0] = <double>k
                found[1] = (<const float*>look.values)[i] if item == 4 else (<const double*>look.values)[i]
                return TL_NOT_FINITE
    for i in range(ints[0]):
        found[i] = (<const double*>inp[0])[i]
    return TL_OK


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


cdef int finite_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return finite(out, inp, ints, 4)


cdef int finite_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return finite(out, inp, ints, 8)


KERNELS = {
    "_finite:f32": <size_t>&finite_f32, "_finite:f64": <size_t>&finite_f64,
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
