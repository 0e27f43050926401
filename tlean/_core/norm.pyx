"""Kernels of layer normalisation and of its gradients."""
from libc.math cimport sqrt
from libc.stddef cimport size_t
from libc.stdint cimport int64_t
from libc.string cimport memset

from tlean._core.kernel cimport TL_NO_MEMORY, TL_OK
from tlean._core.rows cimport (
    Job, chunks_of, job_of, norm_columns, real, row_covariation, row_dot, row_square_deviation, row_sum, row_weighted_covariation, run_f32,
    run_f64, scratch,
)

cdef enum:
    CHUNKS = 64         # the most chunks that column sums are kept for
    ROWS = 32           # rows between two looks at the columns; norm_columns rounds its sums once in as many


# ints = (rows, length), floats = (eps,). Residuals: mean and 1/√(var + eps) of each row.
cdef void layer_norm_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x) noexcept nogil:
    cdef const real* gamma = <const real*>job.inp[1]
    cdef const real* beta = <const real*>job.inp[2]
    cdef real* mean_out = <real*>job.out[1]
    cdef real* rstd_out = <real*>job.out[2]
    cdef Py_ssize_t n = job.ints[1], row, i
    cdef const real* p
    cdef real* q
    cdef real mean, rstd
    for row in range(first, last):
        p = x + row * n
        q = y + row * n
        mean = <real>(row_sum(p, n) / n)
        rstd = <real>(1.0 / sqrt(row_square_deviation(p, mean, n) / n + job.floats[0]))
        if mean_out != NULL:
            mean_out[row] = mean
        if rstd_out != NULL:
            rstd_out[row] = rstd
        if gamma != NULL and beta != NULL:
            for i in range(n):
                q[i] = (p[i] - mean) * rstd * gamma[i] + beta[i]
        elif gamma != NULL:
            for i in range(n):
                q[i] = (p[i] - mean) * rstd * gamma[i]
        elif beta != NULL:
            for i in range(n):
                q[i] = (p[i] - mean) * rstd + beta[i]
        else:
            for i in range(n):
                q[i] = (p[i] - mean) * rstd


# With h = g ⊙ gamma and z = (x − mean) rstd: dx = rstd (h − Σh/n − z Σ(h z)/n), dgamma = Σ g z, dbeta = Σ g over the rows.
# partial: dgamma and dbeta of each chunk.
cdef void layer_norm_grad_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* dx, const real* g) noexcept nogil:
    cdef const real* x = <const real*>job.inp[1]
    cdef const real* gamma = <const real*>job.inp[2]
    cdef const real* mean = <const real*>job.inp[3]
    cdef const real* rstd = <const real*>job.inp[4]
    cdef Py_ssize_t n = job.ints[1], row, i
    cdef double* sums
    cdef const real* gr
    cdef const real* p
    cdef real* q
    cdef double sum_h, sum_hx
    cdef real center, a, b, c
    cdef Py_ssize_t start = first, end
    sums = NULL
    if job.partial != NULL:
        sums = job.partial + 2 * n * (first // job.block)
        memset(sums, 0, 2 * n * sizeof(double))
    # A few rows at a time, so that the column sums find them in the cache.
    while start < last:
        end = min(last, start + ROWS)
        for row in range(start, end if dx != NULL else start):
            gr = g + row * n
            p = x + row * n
            q = dx + row * n
            center = mean[row]
            a = rstd[row]
            sum_h = row_sum(gr, n) if gamma == NULL else row_dot(gr, gamma, n)
            sum_hx = row_covariation(gr, p, center, n) if gamma == NULL else row_weighted_covariation(gr, gamma, p, center, n)
            b = <real>(a * sum_h / n)
            c = <real>(<double>a * a * a * sum_hx / n)
            if gamma == NULL:
                for i in range(n):
                    q[i] = a * gr[i] - b - (p[i] - center) * c
            else:
                for i in range(n):
                    q[i] = a * (gr[i] * gamma[i]) - b - (p[i] - center) * c
        if sums != NULL:
            norm_columns(
                sums if job.out[1] != NULL else NULL, sums + n if job.out[2] != NULL else NULL,
                g + start * n, x + start * n, mean + start, rstd + start, end - start, n,
            )
        start = end


# Sum of the chunks' column sums, in the order of the chunks.
cdef inline void add_chunks(Job* job, real* total, Py_ssize_t which) noexcept nogil:
    cdef Py_ssize_t n = job.ints[1], k, i
    cdef double s
    if total == NULL:
        return
    for i in range(n):
        s = 0.0
        for k in range(chunks_of(job)):
            s += job.partial[(2 * k + which) * n + i]
        total[i] = <real>s


cdef bint layer_norm_grad_job(Job* job, void** out, void** inp, const int64_t* ints, const double* floats) noexcept nogil:
    job[0] = job_of(out, inp, ints, floats, ints[0], ints[1])
    if out[1] == NULL and out[2] == NULL:
        return True
    job.block = max(job.block, <Py_ssize_t>(ints[0] + CHUNKS - 1) // CHUNKS)
    job.partial = <double*>scratch(0, max(<Py_ssize_t>1, chunks_of(job) * 2 * ints[1]) * sizeof(double))
    return job.partial != NULL


cdef int layer_norm_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job = job_of(out, inp, ints, floats, ints[0], ints[1])
    return run_f32(&job, layer_norm_part[float], 0.2 * ints[0] * ints[1])


cdef int layer_norm_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job = job_of(out, inp, ints, floats, ints[0], ints[1])
    return run_f64(&job, layer_norm_part[double], 0.4 * ints[0] * ints[1])


cdef int layer_norm_grad_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job
    if not layer_norm_grad_job(&job, out, inp, ints, floats):
        return TL_NO_MEMORY
    run_f32(&job, layer_norm_grad_part[float], 0.4 * ints[0] * ints[1])
    add_chunks(&job, <float*>out[1], 0)
    add_chunks(&job, <float*>out[2], 1)
    return TL_OK


cdef int layer_norm_grad_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job
    if not layer_norm_grad_job(&job, out, inp, ints, floats):
        return TL_NO_MEMORY
    run_f64(&job, layer_norm_grad_part[double], 0.8 * ints[0] * ints[1])
    add_chunks(&job, <double*>out[1], 0)
    add_chunks(&job, <double*>out[2], 1)
    return TL_OK


KERNELS = {
    "layer_norm:f32": <size_t>&layer_norm_f32,
    "layer_norm:f64": <size_t>&layer_norm_f64,
    "_layer_norm_grad:f32": <size_t>&layer_norm_grad_f32,
    "_layer_norm_grad:f64": <size_t>&layer_norm_grad_f64,
}
ACCUMULATES = set()
