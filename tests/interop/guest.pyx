# cython: language_level=3
"""A module of another project, for test_cython.py: kernels that go wrong, products, arrays, nodes of a tape."""
from libc.stdint cimport int64_t

cimport tlean as tl

cdef extern from "Python.h":
    int PyGILState_Check() nogil
    void PyErr_SetString(object error, const char* message)

cdef enum:
    BLOCK = 1000

cdef int _gil_was_held = -1


# Kernels ------------------------------------------------------------------------------------------------------------------

cdef int trouble(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # ints: elements, what goes wrong.
    if ints[1] == 1:
        return tl.fail(b"ShapeError", b"trouble: x is not what the guest wants")
    if ints[1] == 2:
        with gil:
            try:
                raise ZeroDivisionError("in the guest")
            except ZeroDivisionError as error:
                return tl.raised(error)
    if ints[1] == 3:
        with gil:
            # As in C: neither noted nor cleared.
            PyErr_SetString(OverflowError, b"left by the guest")
        return tl.TL_RAISED
    if ints[1] >= 100:
        return ints[1] - 100
    return tl.run_loop(double_loop, 1, sizeof(double), out, inp, ints[0], NULL, accumulate, 1.0)


cdef void double_loop(void* out, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil:
    # It never adds to what is there.
    cdef int64_t i
    for i in range(n):
        (<double*>out)[i] = 2 * (<const double*>inp[0])[i]


cdef struct Sums:
    double* out
    const double* x
    int64_t n


cdef void sum_block(void* context, Py_ssize_t chunk) noexcept nogil:
    # The running sums of a block, by way of scratch memory.
    cdef Sums* job = <Sums*>context
    cdef double* room = <double*>tl.scratch(tl.TL_SLOT_GUEST_A, BLOCK * sizeof(double))
    cdef int64_t first = chunk * BLOCK, count = min(job.n - chunk * BLOCK, BLOCK), i
    cdef double total = 0
    for i in range(count):
        total += job.x[first + i]
        room[i] = total
    for i in range(count):
        job.out[first + i] = room[i]


cdef int block_sums(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Sums job
    job.out, job.x, job.n = <double*>out[0], <const double*>inp[0], ints[0]
    tl.parallel_for(sum_block, &job, (job.n + BLOCK - 1) // BLOCK, 1e3 * job.n)
    return tl.TL_OK


ABI = tl.TL_ABI
TROUBLE, SUMS, DOUBLE = <size_t>&trouble, <size_t>&block_sums, <size_t>&double_loop


def find(name):
    return <size_t>tl.find_kernel(name.encode()), <size_t>tl.find_loop(name.encode())


def threads():
    return tl.active_threads()


def too_many_inputs():
    cdef double x = 0
    cdef void** operands = [&x]
    return tl.run_loop(double_loop, 9, 8, operands, operands, 1, NULL, 0, 1.0)


# Products -----------------------------------------------------------------------------------------------------------------

cdef int require_ok(int status) except -1:
    if status != tl.TL_OK:
        raise RuntimeError(status)
    return 0


def product(a, b, bint transpose_a, bint transpose_b):
    """Products of matrices, (batch, m, k) times (batch, k, n)."""
    cdef tl.array_view_t va, vb
    cdef void* c
    cdef Py_ssize_t shape[3]
    cdef int64_t k
    tl.array_view(a, &va)
    tl.array_view(b, &vb)
    k = va.shape[1 if transpose_a else 2]
    shape[0], shape[1], shape[2] = va.shape[0], va.shape[2 if transpose_a else 1], vb.shape[1 if transpose_b else 2]
    result = tl.array_new(va.dtype, 3, shape, &c)
    with nogil:
        status = tl.gemm(va.dtype, transpose_a, transpose_b, shape[0], shape[1], shape[2], k, va.data, vb.data, c)
    require_ok(status)
    return result


def convolutions(x, w, b, g, int64_t stride, int64_t padding):
    """A convolution over as many axes as w has, and its cotangents by x and w."""
    cdef tl.array_view_t vx, vw, vb, vg
    cdef tl.convolution_t c
    cdef void* y
    cdef void* dx
    cdef void* dw
    tl.array_view(x, &vx)
    tl.array_view(w, &vw)
    tl.array_view(b, &vb)
    tl.array_view(g, &vg)
    c.dtype, c.axes, c.batch, c.in_channels, c.out_channels, c.groups = vx.dtype, vw.ndim - 2, vx.shape[0], vx.shape[1], vw.shape[0], 1
    c.groups = vx.shape[1] // vw.shape[1]
    for axis in range(c.axes):
        c.in_sizes[axis], c.kernel[axis], c.stride[axis], c.padding[axis] = vx.shape[2 + axis], vw.shape[2 + axis], stride, padding
        c.dilation[axis] = 1
    results = [tl.array_new(vg.dtype, vg.ndim, vg.shape, &y), tl.array_new(vx.dtype, vx.ndim, vx.shape, &dx)]
    results.append(tl.array_new(vw.dtype, vw.ndim, vw.shape, &dw))
    with nogil:
        status = tl.convolve(&c, vx.data, vw.data, vb.data, y)
        status = tl.convolve_grad_x(&c, vg.data, vw.data, dx) if status == tl.TL_OK else status
        status = tl.convolve_grad_w(&c, vg.data, vx.data, dw) if status == tl.TL_OK else status
    require_ok(status)
    return results


def view(array):
    cdef tl.array_view_t v
    tl.array_view(array, &v)
    return [v.shape[k] for k in range(v.ndim)], v.size, v.dtype, (<const float*>v.data)[0]


# Tapes --------------------------------------------------------------------------------------------------------------------

def grow(tape, value):
    """Append a leaf, and say what is there."""
    before = tl.tape_size(tape)
    node = tl.tape_leaf(tape, value, True, "from outside")
    return before, node, tl.tape_size(tape), tl.tape_value(tape, node).tolist()


def pull(tape, node, seed):
    return [None if g is None else g.tolist() for g in tl.tape_backward(tape, node, seed)]


cdef int forward(void* context, void* out, void** inp) noexcept nogil:
    # x·y, of so many elements.
    cdef int64_t n = (<int64_t*>context)[0], i
    global _gil_was_held
    _gil_was_held = PyGILState_Check()
    if n < 0:
        return tl.fail(b"ShapeError", b"there are fewer than no elements") if n == -1 else tl.TL_RAISED
    for i in range(n):
        (<double*>out)[i] = (<const double*>inp[0])[i] * (<const double*>inp[1])[i]
    return tl.TL_OK


cdef int backward(void* context, void** grads, const void* g, const void* out, void** inp) noexcept nogil:
    cdef int64_t n = (<int64_t*>context)[0], i
    cdef int k
    global _gil_was_held
    _gil_was_held |= PyGILState_Check()
    for k in range(2):
        if grads[k] != NULL:
            for i in range(n):
                (<double*>grads[k])[i] = (<const double*>g)[i] * (<const double*>inp[1 - k])[i]
    return tl.TL_OK


cdef class Count:
    cdef int64_t n
    cdef object __weakref__


def multiply(tape, inputs, shape, n, owners=None, with_backward=True):
    """x·y as one node."""
    cdef Py_ssize_t sizes[8]
    cdef Count count = Count()
    cdef tl.backward_fn rule = NULL
    if with_backward:
        rule = backward
    count.n = n
    if owners is not None:
        owners.append(count)
    for k, size in enumerate(shape):
        sizes[k] = size
    return tl.tape_record(tape, "multiply", inputs, tl.TL_F64, len(shape), sizes, forward, rule, &count.n, count)


def gil_was_held():
    return _gil_was_held
