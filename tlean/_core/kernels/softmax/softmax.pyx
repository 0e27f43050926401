"""Kernels of the softmax family along one axis, and of their gradients.

An array is outer × n × inner with the axis in the middle. Long rows (inner = 1) are vectorised along themselves, a few at a time.
Otherwise LANES rows are worked on side by side, vectorised across them: as they lie where inner > 1, from a transposed copy where
rows are short (ten classes, say). Which way is taken depends on n and inner alone.
"""
from libc.math cimport isinf
from libc.stddef cimport size_t
from libc.stdint cimport int64_t

from tlean._core.simd.lanes cimport (
    BATCH, FEW, LANES, SHORT, from_lanes, lanes_dot, lanes_exp_sum, lanes_max, lanes_sum, rows_exp_sum, rows_max, rows_together, to_lanes,
)
from tlean._core.simd.rows cimport (
    Job, exp_lanes, exp_of, exp_row, exp_shifted, job_of, log_of, part_fn, real, row_dot, row_sum, run, tl_fetch, tl_stream, tl_stream_end,
    tl_streams,
)

cdef enum Function:
    SOFTMAX
    LOG_SOFTMAX


cdef struct Axis:
    Py_ssize_t outer
    Py_ssize_t n
    Py_ssize_t inner
    Py_ssize_t groups    # groups of LANES rows at one outer index
    Py_ssize_t together  # long rows in a group
    bint by_row          # long rows, vectorised along themselves
    bint transposed      # short rows, side by side in a copy


cdef Axis axis_of(const int64_t* ints, Py_ssize_t together) noexcept nogil:
    cdef Axis a
    a.outer, a.n, a.inner = ints[0], ints[1], ints[2]
    a.groups = (a.inner + LANES - 1) // LANES
    a.by_row = a.inner == 1 and a.n > SHORT
    a.transposed = a.inner == 1 and a.n <= SHORT
    a.together = together if a.by_row else LANES
    return a


# One item of work: a group of rows. Its first element is at `offset`; its `width` rows are numbers `row` … of the reduced array; from one
# element of a row to the next it is `along` (in the transposed copy, if there is one).
cdef struct Group:
    Py_ssize_t offset
    Py_ssize_t row
    Py_ssize_t along
    Py_ssize_t width


cdef inline Group group_at(Axis a, Py_ssize_t item) noexcept nogil:
    cdef Group s
    cdef Py_ssize_t o, j
    if a.inner == 1:
        s.row = item * a.together
        s.along = 1 if a.by_row else LANES
        s.offset = s.row * a.n
        s.width = min(a.together, a.outer - s.row)
    else:
        o = item // a.groups
        j = (item - o * a.groups) * LANES
        s.row, s.along = o * a.inner + j, a.inner
        s.offset = o * a.n * a.inner + j
        s.width = min(<Py_ssize_t>LANES, a.inner - j)
    return s


# `arrays` of the size of x are read and written.
cdef Job job_along(void* out, void** inp, const int64_t* ints, const double* floats, size_t item, int arrays) noexcept nogil:
    cdef bint streams = ints[1] <= BATCH and tl_streams(arrays * ints[0] * ints[1] * ints[2] * item)
    cdef Py_ssize_t together = rows_together(max(<int64_t>1, ints[1]), FEW if streams or arrays > 2 else BATCH)
    cdef Axis a = axis_of(ints, together)
    cdef Job job
    if a.inner == 1:
        job = job_of(out, inp, ints, floats, (a.outer + a.together - 1) // a.together, a.n * a.together)
    else:
        job = job_of(out, inp, ints, floats, a.outer * a.groups, a.n * min(<Py_ssize_t>LANES, a.inner))
    job.together = together
    job.streams = streams and a.by_row
    return job


# y = f(x) ---------------------------------------------------------------------------------------------------------------


# `ahead`: the rows after these are asked for.
cdef inline void softmax_rows(real* y, const real* x, Py_ssize_t n, Py_ssize_t count, bint ahead) noexcept nogil:
    cdef real top[LANES]
    cdef real inverse[LANES]
    cdef Py_ssize_t r, i
    rows_max(&top[0], x, n, count)
    for r in range(count):
        if ahead:
            tl_fetch(x + (r + count) * n, n * sizeof(real))
        exp_row(y + r * n, x + r * n, top[r], n)
    for r in range(count):
        inverse[r] = <real>(1.0 / row_sum(<const real*>(y + r * n), n))
    for r in range(count):
        for i in range(r * n, (r + 1) * n):
            y[i] *= inverse[r]


cdef inline void log_softmax_rows(real* y, const real* x, Py_ssize_t n, Py_ssize_t count, bint ahead) noexcept nogil:
    cdef real top[LANES]
    cdef real log_total[LANES]
    cdef double total[LANES]
    cdef Py_ssize_t r, i
    rows_max(&top[0], x, n, count)
    rows_exp_sum(&total[0], x, <const real*>&top[0], n, count)
    for r in range(count):
        log_total[r] = log_of(<real>total[r])
    for r in range(count):
        if ahead:
            tl_fetch(x + (r + count) * n, n * sizeof(real))
        for i in range(r * n, (r + 1) * n):
            y[i] = (x[i] - top[r]) - log_total[r]


cdef inline void softmax_lanes(real* y, const real* x, Py_ssize_t along, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    cdef real top[LANES]
    cdef real inverse[LANES]
    cdef double total[LANES]
    cdef Py_ssize_t i, j
    lanes_max(&top[0], x, along, n, width)
    for i in range(n):
        exp_lanes(y + i * along, x + i * along, <const real*>&top[0], width)
    lanes_sum(&total[0], <const real*>y, along, n, width)
    for j in range(width):
        inverse[j] = <real>(1.0 / total[j])
    for i in range(n):
        for j in range(width):
            y[i * along + j] *= inverse[j]


cdef inline void log_softmax_lanes(real* y, const real* x, Py_ssize_t along, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    cdef real top[LANES]
    cdef real log_total[LANES]
    cdef double total[LANES]
    cdef Py_ssize_t i, j
    lanes_max(&top[0], x, along, n, width)
    lanes_exp_sum(&total[0], x, <const real*>&top[0], along, n, width)
    for j in range(width):
        log_total[j] = log_of(<real>total[j])
    for i in range(n):
        for j in range(width):
            y[i * along + j] = (x[i * along + j] - top[j]) - log_total[j]


cdef inline void value_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x, Function f) noexcept nogil:
    cdef Axis a = axis_of(job.ints, job.together)
    cdef Group s
    cdef real x_lanes[SHORT * LANES]
    cdef real y_lanes[SHORT * LANES]
    cdef real batch[BATCH]
    cdef const real* xs
    cdef real* ys
    cdef Py_ssize_t item
    for item in range(first, last):
        s = group_at(a, item)
        xs = x + s.offset
        ys = y + s.offset
        if a.by_row:
            if job.streams:
                ys = &batch[0]
            if f == SOFTMAX:
                softmax_rows(ys, xs, a.n, s.width, job.streams)
            else:
                log_softmax_rows(ys, xs, a.n, s.width, job.streams)
            if job.streams:
                tl_stream(y + s.offset, ys, s.width * a.n * sizeof(real))
            continue
        if a.transposed:
            to_lanes(&x_lanes[0], xs, a.n, s.width)
            xs = &x_lanes[0]
            ys = &y_lanes[0]
        if f == SOFTMAX:
            softmax_lanes(ys, xs, s.along, a.n, s.width)
        else:
            log_softmax_lanes(ys, xs, s.along, a.n, s.width)
        if a.transposed:
            from_lanes(y + s.offset, <const real*>ys, a.n, s.width)
    if job.streams:
        tl_stream_end()


cdef void softmax_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x) noexcept nogil:
    value_part(job, first, last, y, x, SOFTMAX)


cdef void log_softmax_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x) noexcept nogil:
    value_part(job, first, last, y, x, LOG_SOFTMAX)


# log Σ e^x of one row whose maximum is infinite: not shifted, since inf − inf is not a number; −inf, inf or NaN.
cdef real infinite_logsumexp(const real* x, Py_ssize_t along, Py_ssize_t n) noexcept nogil:
    cdef real total = 0
    cdef Py_ssize_t i
    for i in range(n):
        total += exp_of(x[i * along])
    return log_of(total)


cdef void logsumexp_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x) noexcept nogil:
    cdef Axis a = axis_of(job.ints, job.together)
    cdef Group s
    cdef real x_lanes[SHORT * LANES]
    cdef real top[LANES]
    cdef double total[LANES]
    cdef const real* xs
    cdef Py_ssize_t item, j
    for item in range(first, last):
        s = group_at(a, item)
        xs = x + s.offset
        if a.by_row:
            rows_max(&top[0], xs, a.n, s.width)
            rows_exp_sum(&total[0], xs, <const real*>&top[0], a.n, s.width)
        else:
            if a.transposed:
                to_lanes(&x_lanes[0], xs, a.n, s.width)
                xs = &x_lanes[0]
            lanes_max(&top[0], xs, s.along, a.n, s.width)
            lanes_exp_sum(&total[0], xs, <const real*>&top[0], s.along, a.n, s.width)
        for j in range(s.width):
            y[s.row + j] = log_of(<real>total[j]) + top[j]
        for j in range(s.width):
            if isinf(top[j]):
                y[s.row + j] = infinite_logsumexp(xs + j * (a.n if a.by_row else 1), s.along, a.n)


# Gradients --------------------------------------------------------------------------------------------------------------


# SOFTMAX: y ⊙ (g − Σ g ⊙ y); LOG_SOFTMAX: g − e^y ⊙ Σ g.
cdef inline void grad_rows(
    real* d, const real* g, const real* y, Py_ssize_t n, Py_ssize_t count, Function f, bint ahead
) noexcept nogil:
    cdef real total[LANES]
    cdef Py_ssize_t r, i
    for r in range(count):
        total[r] = <real>(row_dot(g + r * n, y + r * n, n) if f == SOFTMAX else row_sum(g + r * n, n))
    for r in range(count):
        if ahead:
            tl_fetch(g + (r + count) * n, n * sizeof(real))
            tl_fetch(y + (r + count) * n, n * sizeof(real))
        if f == SOFTMAX:
            for i in range(r * n, (r + 1) * n):
                d[i] = y[i] * (g[i] - total[r])
        else:
            for i in range(r * n, (r + 1) * n):
                d[i] = g[i] - exp_shifted(y[i]) * total[r]


cdef inline void grad_lanes(
    real* d, const real* g, const real* y, Py_ssize_t along, Py_ssize_t n, Py_ssize_t width, Function f
) noexcept nogil:
    cdef double total[LANES]
    cdef real rounded[LANES]
    cdef Py_ssize_t i, j
    if f == SOFTMAX:
        lanes_dot(&total[0], g, y, along, n, width)
    else:
        lanes_sum(&total[0], g, along, n, width)
    for j in range(width):
        rounded[j] = <real>total[j]
    if f == SOFTMAX:
        for i in range(n):
            for j in range(width):
                d[i * along + j] = y[i * along + j] * (g[i * along + j] - rounded[j])
    else:
        for i in range(n):
            for j in range(width):
                d[i * along + j] = g[i * along + j] - exp_shifted(y[i * along + j]) * rounded[j]


cdef inline void grad_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* d, const real* g, Function f) noexcept nogil:
    cdef Axis a = axis_of(job.ints, job.together)
    cdef Group s
    cdef const real* y = <const real*>job.inp[1]
    cdef real g_lanes[SHORT * LANES]
    cdef real y_lanes[SHORT * LANES]
    cdef real d_lanes[SHORT * LANES]
    cdef real batch[BATCH]
    cdef Py_ssize_t item
    for item in range(first, last):
        s = group_at(a, item)
        if a.by_row:
            grad_rows(&batch[0] if job.streams else d + s.offset, g + s.offset, y + s.offset, a.n, s.width, f, job.streams)
            if job.streams:
                tl_stream(d + s.offset, &batch[0], s.width * a.n * sizeof(real))
        elif a.transposed:
            to_lanes(&g_lanes[0], g + s.offset, a.n, s.width)
            to_lanes(&y_lanes[0], y + s.offset, a.n, s.width)
            grad_lanes(&d_lanes[0], <const real*>&g_lanes[0], <const real*>&y_lanes[0], s.along, a.n, s.width, f)
            from_lanes(d + s.offset, <const real*>&d_lanes[0], a.n, s.width)
        else:
            grad_lanes(d + s.offset, g + s.offset, y + s.offset, s.along, a.n, s.width, f)
    if job.streams:
        tl_stream_end()


cdef void softmax_grad_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* d, const real* g) noexcept nogil:
    grad_part(job, first, last, d, g, SOFTMAX)


cdef void log_softmax_grad_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* d, const real* g) noexcept nogil:
    grad_part(job, first, last, d, g, LOG_SOFTMAX)


# Entries ----------------------------------------------------------------------------------------------------------------
# ints: outer, n, inner. The estimates of time are of one core, per byte of an array.


cdef int along(part_fn part, real** out, void** inp, const int64_t* ints, const double* floats, double byte_ns,
               int arrays=2) noexcept nogil:
    cdef Job job = job_along(out, inp, ints, floats, sizeof(real), arrays)
    return run(&job, part, byte_ns * sizeof(real) * ints[0] * ints[1] * ints[2])


cdef int softmax(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return along(<part_fn>softmax_part[real], out, inp, ints, floats, 0.125)


cdef int softmax_grad(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return along(<part_fn>softmax_grad_part[real], out, inp, ints, floats, 0.05, 3)


cdef int log_softmax(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return along(<part_fn>log_softmax_part[real], out, inp, ints, floats, 0.125)


cdef int log_softmax_grad(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return along(<part_fn>log_softmax_grad_part[real], out, inp, ints, floats, 0.125, 3)


cdef int logsumexp(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return along(<part_fn>logsumexp_part[real], out, inp, ints, floats, 0.1)


KERNELS = {
    "softmax:f32": <size_t>&softmax[float], "softmax:f64": <size_t>&softmax[double],
    "_softmax_grad:f32": <size_t>&softmax_grad[float], "_softmax_grad:f64": <size_t>&softmax_grad[double],
    "log_softmax:f32": <size_t>&log_softmax[float], "log_softmax:f64": <size_t>&log_softmax[double],
    "_log_softmax_grad:f32": <size_t>&log_softmax_grad[float], "_log_softmax_grad:f64": <size_t>&log_softmax_grad[double],
    "logsumexp:f32": <size_t>&logsumexp[float], "logsumexp:f64": <size_t>&logsumexp[double],
}
