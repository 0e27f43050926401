# Kernels and loops: those of the table, elementwise kernels made of a loop, products and convolutions.

cdef enum:
    LOOP_CHUNK = 16384      # elements of a loop that one thread takes at a time

cdef size_t entry_of(dict table, str what, const char* name) except 0:
    text = name.decode("utf-8", "replace")
    address = table.get(text)
    if not address:
        raise_error("OptionError", f"there is no {what} {text!r}; a name is '<op>:<f32|f64|i64|i32|b8>', such as 'tanh:f32'")
    return address


cdef tl_kernel find_kernel(const char* name) except NULL:
    return <tl_kernel>entry_of(KERNELS, "kernel", name)


cdef tl_loop find_loop(const char* name) except NULL:
    return <tl_loop>entry_of(INNER, "loop", name)


cdef void guest_parallel_for(tl_chunk fn, void* context, Py_ssize_t chunks, double nanoseconds) noexcept nogil:
    parallel_for(<chunk_fn>fn, context, chunks, nanoseconds)


# Elementwise kernels --------------------------------------------------------------------------------------------------

cdef struct LoopJob:
    tl_loop loop
    int inputs
    int itemsize
    char* out
    char* inp[TL_MOST_LOOP_INPUTS]
    int64_t n
    const double* floats
    int accumulate


cdef void loop_chunk(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef LoopJob* job = <LoopJob*>context
    cdef void* inp[TL_MOST_LOOP_INPUTS]
    cdef int64_t start = chunk * LOOP_CHUNK
    cdef int k
    for k in range(job.inputs):
        inp[k] = job.inp[k] + start * job.itemsize
    job.loop(job.out + start * job.itemsize, inp, min(job.n - start, LOOP_CHUNK), job.floats, job.accumulate)


cdef int run_loop(
    tl_loop loop, int inputs, int itemsize, void** out, void** inp, int64_t n, const double* floats, int accumulate, double nanoseconds
) noexcept nogil:
    cdef LoopJob job
    cdef int k
    if inputs < 0 or inputs > TL_MOST_LOOP_INPUTS:
        return fail(b"OptionError", b"run_loop: a loop has at most 8 inputs")
    job.loop, job.inputs, job.itemsize, job.n, job.floats, job.accumulate = loop, inputs, itemsize, n, floats, accumulate
    job.out = <char*>out[0]
    for k in range(inputs):
        job.inp[k] = <char*>inp[k]
    parallel_for(loop_chunk, &job, (n + LOOP_CHUNK - 1) // LOOP_CHUNK, n * nanoseconds)
    return TL_OK


# Products and convolutions --------------------------------------------------------------------------------------------

cdef tl_kernel _matmul[2]
cdef tl_kernel _convolve[2]
cdef tl_kernel _convolve_grad_x[2]
cdef tl_kernel _convolve_grad_w[2]
for _k, _suffix in enumerate(("f32", "f64")):
    _matmul[<int>_k] = <tl_kernel><size_t>KERNELS[f"matmul:{_suffix}"]
    _convolve[<int>_k] = <tl_kernel><size_t>KERNELS[f"conv:{_suffix}"]
    _convolve_grad_x[<int>_k] = <tl_kernel><size_t>KERNELS[f"_conv_grad_x:{_suffix}"]
    _convolve_grad_w[<int>_k] = <tl_kernel><size_t>KERNELS[f"_conv_grad_w:{_suffix}"]


cdef int gemm(
    int dtype, int transpose_a, int transpose_b, int64_t batch, int64_t m, int64_t n, int64_t k, const void* a, const void* b, void* c
) noexcept nogil:
    # ints of `matmul`: batch, m, n, k, transpose_a, transpose_b, axes, sizes…, steps of A…, steps of B…
    cdef int64_t* ints = [batch, m, n, k, transpose_a != 0, transpose_b != 0, batch != 1, batch, m * k, k * n]
    cdef void** inp = [<void*>a, <void*>b]
    if dtype != TL_F32 and dtype != TL_F64:
        return fail(b"DTypeError", b"gemm: the dtype must be TL_F32 or TL_F64")
    if batch < 0 or m < 0 or n < 0 or k < 0:
        return fail(b"ShapeError", b"gemm: a size must be at least 0")
    return _matmul[dtype](&c, inp, ints, NULL, 0)


cdef int window(const tl_convolution* c, int64_t* ints) noexcept nogil:
    # The ints of the family (ops/conv.py): N, C, O, groups, then in, out, kernel, stride, padding, dilation, three of each.
    cdef int64_t out
    cdef int k, axis
    if c.dtype != TL_F32 and c.dtype != TL_F64:
        return fail(b"DTypeError", b"convolve: the dtype must be TL_F32 or TL_F64")
    if not 1 <= c.axes <= 3:
        return fail(b"ShapeError", b"convolve: there must be 1 to 3 axes")
    if c.batch < 0 or c.in_channels < 1 or c.groups < 1 or c.in_channels % c.groups or c.out_channels < 1 or c.out_channels % c.groups:
        return fail(b"ShapeError", b"convolve: the groups must divide the channels, which must be at least 1")
    ints[0], ints[1], ints[2], ints[3] = c.batch, c.in_channels, c.out_channels, c.groups
    for k in range(3 - c.axes):
        ints[4 + k] = ints[7 + k] = ints[10 + k] = ints[13 + k] = ints[19 + k] = 1
        ints[16 + k] = 0
    for axis in range(c.axes):
        k = 3 - c.axes + axis
        if c.kernel[axis] < 1 or c.stride[axis] < 1 or c.dilation[axis] < 1 or c.padding[axis] < 0:
            return fail(b"ShapeError", b"convolve: kernel, stride and dilation must be at least 1, padding at least 0")
        out = c.inp[axis] + 2 * c.padding[axis] - c.dilation[axis] * (c.kernel[axis] - 1) - 1
        if out < 0:
            return fail(b"ShapeError", b"convolve: the kernel must fit the padded input")
        ints[4 + k], ints[7 + k], ints[10 + k] = c.inp[axis], out // c.stride[axis] + 1, c.kernel[axis]
        ints[13 + k], ints[16 + k], ints[19 + k] = c.stride[axis], c.padding[axis], c.dilation[axis]
    return TL_OK


cdef int convolve(const tl_convolution* c, const void* x, const void* w, const void* b, void* y) noexcept nogil:
    cdef int64_t ints[22]
    cdef void** inp = [<void*>w, <void*>b, <void*>x]
    cdef int status = window(c, ints)
    return _convolve[c.dtype](&y, inp, ints, NULL, 0) if status == TL_OK else status


cdef int convolve_grad_x(const tl_convolution* c, const void* g, const void* w, void* grad) noexcept nogil:
    cdef int64_t ints[22]
    cdef void** inp = [<void*>w, <void*>g]
    cdef int status = window(c, ints)
    return _convolve_grad_x[c.dtype](&grad, inp, ints, NULL, 0) if status == TL_OK else status


cdef int convolve_grad_w(const tl_convolution* c, const void* g, const void* x, void* grad) noexcept nogil:
    cdef int64_t ints[22]
    cdef void** inp = [<void*>g, <void*>x]
    cdef int status = window(c, ints)
    return _convolve_grad_w[c.dtype](&grad, inp, ints, NULL, 0) if status == TL_OK else status
