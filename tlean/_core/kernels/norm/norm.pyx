"""Kernels of layer normalisation and of its gradients."""
from libc.math cimport sqrt
from libc.stddef cimport size_t
from libc.stdint cimport int64_t
from libc.string cimport memset

from tlean._core.kernel cimport TL_NO_MEMORY, TL_OK, TL_SLOT_ROWS, tl_finish, tl_finished
from tlean._core.simd.lanes cimport BATCH, FEW, LANES, rows_together
from tlean._core.simd.rows cimport (
    Job, chunks_of, job_of, norm_columns, part_fn, real, row_covariation, row_dot, row_square_deviation, row_sum, row_weighted_covariation,
    run, scratch, tl_fetch, tl_stream, tl_stream_end, tl_streams,
)

cdef enum:
    CHUNKS = 64         # the most chunks that column sums are kept for
    LONG_ENOUGH = 32    # rows shorter than this are not reported
    ROWS = 32           # rows between two steps of the column sums


# y = (x − mean) rstd gamma + beta
cdef inline void normalize(
    real* y, const real* x, real mean, real rstd, const real* gamma, const real* beta, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    if gamma != NULL and beta != NULL:
        for i in range(n):
            y[i] = (x[i] - mean) * rstd * gamma[i] + beta[i]
    elif gamma != NULL:
        for i in range(n):
            y[i] = (x[i] - mean) * rstd * gamma[i]
    elif beta != NULL:
        for i in range(n):
            y[i] = (x[i] - mean) * rstd + beta[i]
    else:
        for i in range(n):
            y[i] = (x[i] - mean) * rstd


# ints = (rows, length), floats = (eps,). Residuals: mean and 1/√(var + eps) of each row. A step is taken for a few rows before the next
# step is, because the steps of one row wait for each other.
cdef void layer_norm_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x) noexcept nogil:
    cdef const real* gamma = <const real*>job.inp[1]
    cdef const real* beta = <const real*>job.inp[2]
    cdef real* mean_out = <real*>job.out[1]
    cdef real* rstd_out = <real*>job.out[2]
    cdef Py_ssize_t n = job.ints[1], together = job.together, row = first, width, r
    cdef real mean[LANES]
    cdef real rstd[LANES]
    cdef double variance[LANES]
    cdef double share = 1.0 / n
    cdef real batch[BATCH]
    cdef const real* p
    cdef real* q
    while row < last:
        width = min(together, last - row)
        p = x + row * n
        q = &batch[0] if job.streams else y + row * n
        for r in range(width):
            mean[r] = <real>(row_sum(p + r * n, n) * share)
        for r in range(width):
            variance[r] = row_square_deviation(p + r * n, mean[r], n) * share
        for r in range(width):
            rstd[r] = <real>(1.0 / sqrt(variance[r] + job.floats[0]))
        for r in range(width):
            if job.streams:
                tl_fetch(p + (r + width) * n, n * sizeof(real))
            normalize(q + r * n, p + r * n, mean[r], rstd[r], gamma, beta, n)
        if job.streams:
            tl_stream(y + row * n, q, width * n * sizeof(real))
        if mean_out != NULL:
            for r in range(width):
                mean_out[row + r] = mean[r]
        if rstd_out != NULL:
            for r in range(width):
                rstd_out[row + r] = rstd[r]
        tl_finished(job.finish, row * n, (row + width) * n)
        row += width
    if job.streams:
        tl_stream_end()


# dx = a h − b − (x − mean) c with h = g ⊙ gamma
cdef inline void combine(
    real* dx, const real* g, const real* x, const real* gamma, real mean, real a, real b, real c, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t i
    if gamma == NULL:
        for i in range(n):
            dx[i] = a * g[i] - b - (x[i] - mean) * c
    else:
        for i in range(n):
            dx[i] = a * (g[i] * gamma[i]) - b - (x[i] - mean) * c


# With h = g ⊙ gamma and z = (x − mean) rstd: dx = rstd (h − Σh/n − z Σ(h z)/n), dgamma = Σ g z, dbeta = Σ g over the rows.
# partial: dgamma and dbeta of each chunk.
cdef void layer_norm_grad_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* dx, const real* g) noexcept nogil:
    cdef const real* x = <const real*>job.inp[1]
    cdef const real* gamma = <const real*>job.inp[2]
    cdef const real* mean = <const real*>job.inp[3]
    cdef const real* rstd = <const real*>job.inp[4]
    cdef Py_ssize_t n = job.ints[1], together = job.together, row = first, width, r, summed = first
    cdef double* sums = NULL
    cdef real batch[BATCH]
    cdef const real* gr
    cdef const real* p
    cdef real* q
    cdef double sum_h[LANES]
    cdef double sum_hx[LANES]
    cdef double a, share = 1.0 / n
    if job.partial != NULL:
        sums = job.partial + 2 * n * (first // job.block)
        memset(sums, 0, 2 * n * sizeof(double))
    while row < last:
        width = min(together, last - row)
        if dx != NULL:
            gr = g + row * n
            p = x + row * n
            q = &batch[0] if job.streams else dx + row * n
            for r in range(width):
                if gamma == NULL:
                    sum_h[r] = row_sum(gr + r * n, n)
                    sum_hx[r] = row_covariation(gr + r * n, p + r * n, mean[row + r], n)
                else:
                    sum_h[r] = row_dot(gr + r * n, gamma, n)
                    sum_hx[r] = row_weighted_covariation(gr + r * n, gamma, p + r * n, mean[row + r], n)
            for r in range(width):
                a = rstd[row + r]
                if job.streams:
                    tl_fetch(gr + (r + width) * n, n * sizeof(real))
                    tl_fetch(p + (r + width) * n, n * sizeof(real))
                combine(
                    q + r * n, gr + r * n, p + r * n, gamma, mean[row + r],
                    <real>a, <real>(a * sum_h[r] * share), <real>(a * a * a * sum_hx[r] * share), n,
                )
            if job.streams:
                tl_stream(dx + row * n, q, width * n * sizeof(real))
        row += width
        # The column sums follow while the rows are still in the cache.
        if sums != NULL and (row - summed >= ROWS or row == last):
            norm_columns(
                sums if job.out[1] != NULL else NULL, sums + n if job.out[2] != NULL else NULL,
                g + summed * n, x + summed * n, mean + summed, rstd + summed, row - summed, n,
            )
            summed = row
    if job.streams:
        tl_stream_end()


# Sum of the chunks' column sums, in the order of the chunks, taken in the first chunk's.
cdef inline void add_chunks(Job* job, real* total, Py_ssize_t which) noexcept nogil:
    cdef Py_ssize_t n = job.ints[1], k, i
    cdef double* sums = job.partial + which * n
    cdef double* more
    if total == NULL:
        return
    if job.items == 0:
        memset(total, 0, n * sizeof(real))
        return
    for k in range(1, chunks_of(job)):
        more = sums + 2 * k * n
        for i in range(n):
            sums[i] += more[i]
    for i in range(n):
        total[i] = <real>sums[i]


cdef bint layer_norm_grad_job(Job* job, real** out, void** inp, const int64_t* ints, const double* floats) noexcept nogil:
    job[0] = job_of(out, inp, ints, floats, ints[0], ints[1])
    if out[1] == NULL and out[2] == NULL:
        return True
    job.block = max(job.block, <Py_ssize_t>(ints[0] + CHUNKS - 1) // CHUNKS)
    job.partial = <double*>scratch(TL_SLOT_ROWS, max(<Py_ssize_t>1, chunks_of(job) * 2 * ints[1]) * sizeof(double))
    return job.partial != NULL


# How the rows of a kernel of so many arrays are worked on. In a gradient their number alone decides how many go together: sums over the
# rows follow after every few.
cdef void choose_way(Job* job, int arrays, size_t item) noexcept nogil:
    cdef int64_t n = job.ints[1]
    job.streams = n <= BATCH and tl_streams(arrays * job.ints[0] * n * <int64_t>item)
    job.together = rows_together(max(<int64_t>1, n), FEW if job.streams or arrays > 2 else BATCH)


cdef int layer_norm(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job = job_of(out, inp, ints, floats, ints[0], ints[1])
    choose_way(&job, 2, sizeof(real))
    return run(&job, <part_fn>layer_norm_part[real], 0.05 * sizeof(real) * ints[0] * ints[1])


cdef int layer_norm_grad(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job
    if not layer_norm_grad_job(&job, out, inp, ints, floats):
        return TL_NO_MEMORY
    choose_way(&job, 3, sizeof(real))
    run(&job, <part_fn>layer_norm_grad_part[real], 0.1 * sizeof(real) * ints[0] * ints[1])
    add_chunks(&job, out[1], 0)
    add_chunks(&job, out[2], 1)
    return TL_OK


cdef int produce_layer_norm(real** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    cdef Job job = job_of(out, inp, ints, floats, ints[0], ints[1])
    job.finish = finish if ints[1] >= LONG_ENOUGH else NULL
    job.together = rows_together(max(<int64_t>1, ints[1]), BATCH)
    return run(&job, <part_fn>layer_norm_part[real], 0.05 * sizeof(real) * ints[0] * ints[1])


KERNELS = {
    "layer_norm:f32": <size_t>&layer_norm[float], "layer_norm:f64": <size_t>&layer_norm[double],
    "_layer_norm_grad:f32": <size_t>&layer_norm_grad[float], "_layer_norm_grad:f64": <size_t>&layer_norm_grad[double],
}
PRODUCERS = {"layer_norm:f32": <size_t>&produce_layer_norm[float], "layer_norm:f64": <size_t>&produce_layer_norm[double]}
