# cython: language_level=3
"""The incomplete gamma and beta functions, Student's distribution, and their inverses: element by element, both float types in the widest
one."""
from libc.stdint cimport int64_t

from tlean._core.kernel cimport TL_OK
from tlean._core.simd.real cimport least, real
from tlean._core.threads.threads cimport chunk_fn, parallel_for

cdef extern from "kernels/special/incomplete.h" nogil:
    double tl_gammainc(double a, double x, int upper)
    double tl_gammaincinv(double a, double p, int upper)
    double tl_betainc(double a, double b, double x, int upper)
    double tl_betaincinv(double a, double b, double p, int upper)
    double tl_student(double df, double x, int upper)
    double tl_student_inverse(double df, double p, int upper)

cdef enum:
    CHUNK = 64
    NANOSECONDS = 1000       # of an element, about; an inverse takes as many as INVERSE of them
    INVERSE = 6

cdef enum Function:
    GAMMA, GAMMA_INVERSE, BETA, BETA_INVERSE, STUDENT, STUDENT_INVERSE


cdef struct Call:
    Function function
    int64_t n
    bint upper
    void** inp
    void* y


cdef void values(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Call* c = <Call*>context
    cdef const real* a = <const real*>c.inp[0]
    cdef const real* b = <const real*>c.inp[1]
    cdef const real* x = <const real*>c.inp[2] if c.function == BETA or c.function == BETA_INVERSE else NULL
    cdef real* y = <real*>c.y
    cdef int64_t i
    for i in range(chunk * CHUNK, least((chunk + 1) * CHUNK, c.n)):
        if c.function == GAMMA:
            y[i] = <real>tl_gammainc(a[i], b[i], c.upper)
        elif c.function == GAMMA_INVERSE:
            y[i] = <real>tl_gammaincinv(a[i], b[i], c.upper)
        elif c.function == BETA:
            y[i] = <real>tl_betainc(a[i], b[i], x[i], c.upper)
        elif c.function == BETA_INVERSE:
            y[i] = <real>tl_betaincinv(a[i], b[i], x[i], c.upper)
        elif c.function == STUDENT:
            y[i] = <real>tl_student(a[i], b[i], c.upper)
        else:
            y[i] = <real>tl_student_inverse(a[i], b[i], c.upper)


cdef int elements(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (y) <- (parameters, argument), all of one shape; ints: elements, upper, function
    cdef Call c
    c.n, c.upper, c.function = ints[0], ints[1], <Function>ints[2]
    c.inp, c.y = inp, out[0]
    cdef double each = NANOSECONDS * (INVERSE if c.function % 2 else 1)
    parallel_for(<chunk_fn>values[real], &c, (c.n + CHUNK - 1) // CHUNK, each * c.n)
    return TL_OK


KERNELS = {"incomplete:f32": <size_t>&elements[float], "incomplete:f64": <size_t>&elements[double]}
