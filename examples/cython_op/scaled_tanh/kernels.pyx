# cython: language_level=3, boundscheck=False, cdivision=True
"""y = a·tanh(b·x) and its slope g·a·b·(1 − tanh²(b·x)), each in one pass over memory."""
from libc.stdint cimport int64_t

cimport tlean as tl

tl.import_tlean()

ctypedef fused real:
    float
    double

# tlean's own tanh, of the instruction set that is in use.
cdef tl.loop_fn tanh_f32 = tl.find_loop(b"tanh:f32")
cdef tl.loop_fn tanh_f64 = tl.find_loop(b"tanh:f64")

cdef enum:
    BLOCK = 256


cdef inline void tanh_of(real* t, int64_t n) noexcept nogil:
    cdef void* there = t
    if real is float:
        tanh_f32(t, &there, n, NULL, 0)
    else:
        tanh_f64(t, &there, n, NULL, 0)


# Loops: n elements on one thread. An element's bits depend on that element of the inputs alone, and `y` may be one of the inputs: fused
# groups call a loop block by block, wherever a block begins.

cdef void value_loop(real* y, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil:
    cdef const real* x = <const real*>inp[0]
    cdef real a = <real>floats[0], b = <real>floats[1]
    cdef int64_t i
    for i in range(n):
        y[i] = b * x[i]
    tanh_of(y, n)
    for i in range(n):
        y[i] = a * y[i]


cdef void slope_loop(real* y, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil:
    cdef const real* g = <const real*>inp[0]
    cdef const real* x = <const real*>inp[1]
    cdef real a = <real>floats[0], b = <real>floats[1]
    cdef real t[BLOCK]
    cdef int64_t block, first, count, i
    for block in range((n + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        count = min(n - first, BLOCK)
        for i in range(count):
            t[i] = b * x[first + i]
        tanh_of(&t[0], count)
        for i in range(count):
            y[first + i] = g[first + i] * (a * b * (1 - t[i] * t[i]))


# Kernels: the loops on several threads. `ints` and `floats` are what the op's rule `kernel_params` returns. The last argument is the time
# of one element in nanoseconds, which decides whether other threads help.

cdef int value_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return tl.run_loop(<tl.loop_fn>value_loop[float], 1, sizeof(float), out, inp, ints[0], floats, accumulate, 0.5)


cdef int value_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return tl.run_loop(<tl.loop_fn>value_loop[double], 1, sizeof(double), out, inp, ints[0], floats, accumulate, 2.0)


cdef int slope_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return tl.run_loop(<tl.loop_fn>slope_loop[float], 2, sizeof(float), out, inp, ints[0], floats, accumulate, 0.5)


cdef int slope_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return tl.run_loop(<tl.loop_fn>slope_loop[double], 2, sizeof(double), out, inp, ints[0], floats, accumulate, 2.0)


ABI = tl.TL_ABI
KERNELS = {
    "scaled_tanh:f32": <size_t>&value_f32, "scaled_tanh:f64": <size_t>&value_f64,
    "scaled_tanh_slope:f32": <size_t>&slope_f32, "scaled_tanh_slope:f64": <size_t>&slope_f64,
}
LOOPS = {
    "scaled_tanh:f32": <size_t>&value_loop[float], "scaled_tanh:f64": <size_t>&value_loop[double],
    "scaled_tanh_slope:f32": <size_t>&slope_loop[float], "scaled_tanh_slope:f64": <size_t>&slope_loop[double],
}


# A node of a tape ---------------------------------------------------------------------------------------------------------

# The same without an op: one node, whose value and cotangent are computed here. It has first derivatives on tapes, and no more.

cdef struct Call:
    int64_t n
    int dtype
    double floats[2]


cdef class Owner:
    """What the node keeps for the two functions."""
    cdef Call call


cdef int forward(void* context, void* out, void** inp) noexcept nogil:
    cdef Call* call = <Call*>context
    return (value_f32 if call.dtype == tl.TL_F32 else value_f64)(&out, inp, &call.n, call.floats, 0)


cdef int backward(void* context, void** grads, const void* g, const void* out, void** inp) noexcept nogil:
    cdef Call* call = <Call*>context
    cdef void** operands = [<void*>g, inp[0]]
    if grads[0] == NULL:
        return tl.TL_OK
    return (slope_f32 if call.dtype == tl.TL_F32 else slope_f64)(grads, operands, &call.n, call.floats, 0)


def record(tape, x, double a, double b):
    """Append y = a·tanh(b·x) to a tape; returns its reference."""
    cdef tl.array_view_t view
    cdef Owner owner = Owner()
    value = tape.get_value(x)
    tl.array_view(value, &view)
    if view.dtype > tl.TL_F64:
        raise TypeError("x must be float32 or float64")
    owner.call.n, owner.call.dtype = view.size, view.dtype
    owner.call.floats[0], owner.call.floats[1] = a, b
    return tl.tape_record(tape, "scaled_tanh", (x,), view.dtype, view.ndim, view.shape, forward, backward, &owner.call, owner)
