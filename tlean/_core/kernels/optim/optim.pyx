# cython: language_level=3
"""Optimiser steps: parameter, gradient and states in, parameter and states out, one pass over memory.

Inputs: parameter, gradient, the states in order, then `hyper`, a float64 vector whose layout tlean/ops/optim.py documents, so that rates
and step counts change without a new plan. Outputs: parameter, then the states; an output may be the input of the same name.
Ints: elements.

`_finite` precedes them in a step that must not be taken with numbers that are none.
"""
from libc.math cimport INFINITY
from libc.math cimport pow as power
from libc.math cimport sqrt
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

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
    /* A row that is read and written soon; of a long one its beginning, as what follows is fetched by itself. */
    static void tl_ask_for(const char *row, ptrdiff_t nbytes) {
        for (ptrdiff_t k = 0; k < nbytes && k < 512; k += 64) __builtin_prefetch(row + k, 1);
    }
    """
    void tl_ask_for(const char* row, Py_ssize_t nbytes) nogil
    bint tl_not_finite(const void* p, Py_ssize_t n) nogil

cdef enum:
    CHUNK = 16384
    ROWS_AHEAD = 16        # rows of a parameter that are asked for before their step
    ZEROS = 2048


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


# Rows of a parameter --------------------------------------------------------------------------------------------------------------

cdef struct RowJob:
    step_fn step
    const double* c
    char* out
    const char* inp
    const char* sums           # the gradient's rows that are not zero
    const int64_t* rows        # their numbers, in ascending order
    int64_t touched
    int64_t total              # rows of the parameter
    int64_t length
    int64_t nbytes             # of a row
    int64_t part               # rows of one chunk


cdef inline void step_elements(RowJob* job, int64_t first, int64_t n, int64_t item, const void* g) noexcept nogil:
    cdef void* outs[1]
    cdef void* ins[2]
    outs[0], ins[0], ins[1] = job.out + first * item, <void*>(job.inp + first * item), <void*>g
    job.step(outs, ins, job.c, 0, n)


cdef void touched_chunk(RowJob* job, Py_ssize_t chunk) noexcept nogil:
    # The rows that have a gradient. They lie anywhere in memory: some are asked for ahead.
    cdef int64_t first = chunk * job.part, stop = min(first + job.part, job.touched), k, j, item = job.nbytes // job.length
    for k in range(first, min(first + ROWS_AHEAD, stop)):
        tl_ask_for(job.out + job.rows[k] * job.nbytes, job.nbytes)
    for k in range(first, stop):
        j = k + ROWS_AHEAD
        if j < stop:
            tl_ask_for(job.out + job.rows[j] * job.nbytes, job.nbytes)
        step_elements(job, job.rows[k] * job.length, job.length, item, job.sums + k * job.nbytes)


cdef void every_chunk(RowJob* job, Py_ssize_t chunk) noexcept nogil:
    # All rows, with a gradient of zeros where there is none. The zeros lie on the stack: an update needs no memory, so that it cannot fail.
    cdef double zeros[ZEROS]
    cdef int64_t row = chunk * job.part, stop = min(row + job.part, job.total), low = 0, high = job.touched, middle, at, until
    cdef int64_t item = job.nbytes // job.length
    memset(zeros, 0, sizeof(zeros))
    while low < high:
        middle = (low + high) // 2
        if job.rows[middle] < row:
            low = middle + 1
        else:
            high = middle
    while row < stop:
        until = min(job.rows[low], stop) if low < job.touched else stop
        at = row * job.length
        while at < until * job.length:
            step_elements(job, at, min(<int64_t>ZEROS, until * job.length - at), item, zeros)
            at += ZEROS
        if until < stop:
            step_elements(job, until * job.length, job.length, item, job.sums + low * job.nbytes)
            low += 1
        row = until + 1


cdef int sgd_rows(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # Ints: rows of the parameter, elements of a row, rows of the gradient. Inputs: parameter, rows of the gradient, their numbers (-1: none
    # follow), hyper. A row without a gradient stays as it is, unless the step would move it by a gradient of zeros.
    cdef const double* h = <const double*>inp[3]
    cdef double c[3]
    cdef RowJob job
    cdef real lr = <real>h[0], factor = <real>h[1]
    c[0], c[1], c[2] = h[1], h[2], h[0]
    job.step, job.c, job.out, job.inp, job.sums, job.rows = tl_sgd(out[0]), c, <char*>out[0], <char*>inp[0], <char*>inp[1], <int64_t*>inp[2]
    job.total, job.length, job.touched, job.nbytes = ints[0], ints[1], ints[2], ints[1] * sizeof(real)
    if job.total * job.length == 0:
        return TL_OK
    while job.touched > 0 and job.rows[job.touched - 1] < 0:
        job.touched -= 1
    job.part = max(<int64_t>1, CHUNK // job.length)
    if h[2] == 0 and 0 < factor < INFINITY and 0 <= lr < INFINITY:
        if job.out != job.inp:
            memcpy(job.out, job.inp, job.total * job.nbytes)
            job.inp = job.out
        parallel_for(<chunk_fn>touched_chunk, &job, (job.touched + job.part - 1) // job.part, job.touched * (0.2 * <double>job.nbytes + 20))
        return TL_OK
    parallel_for(<chunk_fn>every_chunk, &job, (job.total + job.part - 1) // job.part, 0.1 * <double>(job.total * job.nbytes))
    return TL_OK


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
    "_sgd_rows:f32": <size_t>&sgd_rows[float], "_sgd_rows:f64": <size_t>&sgd_rows[double],
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
