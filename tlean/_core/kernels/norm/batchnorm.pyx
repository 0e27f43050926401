"""Kernels of batch normalisation, of its gradients and of its statistics.

x is (images, channels, length), one slab of `length` elements for each image and channel. Long slabs: an item of work is one channel,
vectorised along its slabs. Short ones: an item is a group of neighbouring channels, whose slabs of one image are COLUMNS or fewer
neighbouring elements, and the work is vectorised across those columns. Which way is taken depends on `length` alone.
"""
from libc.math cimport sqrt
from libc.stddef cimport size_t
from libc.stdint cimport int64_t

from tlean._core.kernel cimport tl_finish, tl_finished
from tlean._core.simd.rows cimport (
    Job, job_of, part_fn, real, row_covariation, row_square_deviation, row_sum, run,
)

cdef enum:
    COLUMNS = 128
    SHORT_SLAB = 32      # slabs shorter than this are worked on in columns
    REPORTED_SLAB = 128  # slabs shorter than this are not reported one by one


# One item: `channels` channels from `first`, whose slabs in image i are the `width` elements from offset + i·stride.
cdef struct Slabs:
    Py_ssize_t images
    Py_ssize_t stride
    Py_ssize_t length
    Py_ssize_t first
    Py_ssize_t channels
    Py_ssize_t offset
    Py_ssize_t width
    double count        # elements of one channel


cdef inline Py_ssize_t group_of(const int64_t* ints) noexcept nogil:
    return 1 if ints[2] >= SHORT_SLAB else COLUMNS // max(<Py_ssize_t>1, <Py_ssize_t>ints[2])


cdef inline Slabs slabs_at(const int64_t* ints, Py_ssize_t item) noexcept nogil:
    cdef Slabs s
    s.images = ints[0]
    s.length = ints[2]
    s.stride = ints[1] * ints[2]
    s.first = item * group_of(ints)
    s.channels = min(group_of(ints), <Py_ssize_t>ints[1] - s.first)
    s.offset = s.first * s.length
    s.width = s.channels * s.length
    s.count = <double>ints[0] * ints[2]
    return s


cdef inline Job job_of_slabs(void* out, void** inp, const int64_t* ints, const double* floats) noexcept nogil:
    cdef Py_ssize_t group = group_of(ints)
    return job_of(out, inp, ints, floats, (ints[1] + group - 1) // group, ints[0] * group * ints[2])


# Of COLUMNS sums, one for each column, to one for each channel.
cdef inline void fold(double* per_channel, const double* column, Slabs s) noexcept nogil:
    cdef Py_ssize_t c, j
    for c in range(s.channels):
        per_channel[c] = 0.0
        for j in range(c * s.length, (c + 1) * s.length):
            per_channel[c] += column[j]


# Of one number for each channel, one for each column.
cdef inline void unfold(real* column, const real* per_channel, Slabs s) noexcept nogil:
    cdef Py_ssize_t c, j
    for c in range(s.channels):
        for j in range(c * s.length, (c + 1) * s.length):
            column[j] = per_channel[c]


# Σ x of each channel.
cdef inline void sums(double* total, const real* x, Slabs s) noexcept nogil:
    cdef double column[COLUMNS]
    cdef Py_ssize_t i, j
    cdef const real* p = x + s.offset
    if s.length >= SHORT_SLAB:
        total[0] = 0.0
        for i in range(s.images):
            total[0] += row_sum(p + i * s.stride, s.length)
        return
    for j in range(s.width):
        column[j] = 0.0
    for i in range(s.images):
        for j in range(s.width):
            column[j] += <double>p[i * s.stride + j]
    fold(total, &column[0], s)


# Σ y (x − center) of each channel; y = x − center where y is NULL.
cdef inline void covariations(double* total, const real* y, const real* x, const real* center, Slabs s) noexcept nogil:
    cdef double column[COLUMNS]
    cdef real centers[COLUMNS]
    cdef real d
    cdef Py_ssize_t i, j
    cdef const real* p = x + s.offset
    cdef const real* q = y + s.offset if y != NULL else NULL
    if s.length >= SHORT_SLAB:
        total[0] = 0.0
        for i in range(s.images):
            if y == NULL:
                total[0] += row_square_deviation(p + i * s.stride, center[0], s.length)
            else:
                total[0] += row_covariation(q + i * s.stride, p + i * s.stride, center[0], s.length)
        return
    unfold(&centers[0], center, s)
    for j in range(s.width):
        column[j] = 0.0
    for i in range(s.images):
        if y == NULL:
            for j in range(s.width):
                d = p[i * s.stride + j] - centers[j]
                column[j] += <double>(d * d)
        else:
            for j in range(s.width):
                d = p[i * s.stride + j] - centers[j]
                column[j] += <double>(q[i * s.stride + j] * d)
    fold(total, &column[0], s)


# Mean of each channel, rounded, and the biased variance about it.
cdef inline void moments(real* mean, double* variance, const real* x, Slabs s) noexcept nogil:
    cdef double total[COLUMNS]
    cdef Py_ssize_t c
    sums(&total[0], x, s)
    for c in range(s.channels):
        mean[c] = <real>(total[c] / s.count)
    covariations(variance, <const real*>NULL, x, <const real*>mean, s)
    for c in range(s.channels):
        variance[c] /= s.count


# y = (x − center) a + b
cdef inline void scale_and_shift(
    real* y, const real* x, const real* center, const real* a, const real* b, Slabs s, tl_finish* finish
) noexcept nogil:
    cdef real centers[COLUMNS]
    cdef real factors[COLUMNS]
    cdef real shifts[COLUMNS]
    cdef real center_c = center[0], a_c = a[0], b_c = b[0]
    cdef Py_ssize_t i, j, at
    if s.length >= SHORT_SLAB:
        for i in range(s.images):
            at = s.offset + i * s.stride
            for j in range(at, at + s.length):
                y[j] = (x[j] - center_c) * a_c + b_c
            tl_finished(finish, at, at + s.length)
        return
    unfold(&centers[0], center, s)
    unfold(&factors[0], a, s)
    unfold(&shifts[0], b, s)
    for i in range(s.images):
        at = s.offset + i * s.stride
        for j in range(s.width):
            y[at + j] = (x[at + j] - centers[j]) * factors[j] + shifts[j]


# dx = a g − b − (x − center) c
cdef inline void combine(
    real* dx, const real* g, const real* x, const real* center, const real* a, const real* b, const real* c, Slabs s
) noexcept nogil:
    cdef real centers[COLUMNS]
    cdef real of_g[COLUMNS]
    cdef real shifts[COLUMNS]
    cdef real of_x[COLUMNS]
    cdef real center_c = center[0], a_c = a[0], b_c = b[0], c_c = c[0]
    cdef Py_ssize_t i, j, at
    if s.length >= SHORT_SLAB:
        for i in range(s.images):
            at = s.offset + i * s.stride
            for j in range(at, at + s.length):
                dx[j] = a_c * g[j] - b_c - (x[j] - center_c) * c_c
        return
    unfold(&centers[0], center, s)
    unfold(&of_g[0], a, s)
    unfold(&shifts[0], b, s)
    unfold(&of_x[0], c, s)
    for i in range(s.images):
        at = s.offset + i * s.stride
        for j in range(s.width):
            dx[at + j] = of_g[j] * g[at + j] - shifts[j] - (x[at + j] - centers[j]) * of_x[j]


# Kernels: ints = (images, channels, length), floats = (eps,) ----------------------------------------------------------------


# Residuals: mean and 1/√(variance + eps) of each channel.
cdef void batchnorm_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x) noexcept nogil:
    cdef const real* gamma = <const real*>job.inp[1]
    cdef const real* beta = <const real*>job.inp[2]
    cdef real* mean_out = <real*>job.out[1]
    cdef real* rstd_out = <real*>job.out[2]
    cdef real mean[COLUMNS]
    cdef real factor[COLUMNS]
    cdef double variance[COLUMNS]
    cdef real rstd
    cdef Slabs s
    cdef Py_ssize_t item, c
    for item in range(first, last):
        s = slabs_at(job.ints, item)
        moments(&mean[0], &variance[0], x, s)
        for c in range(s.channels):
            rstd = <real>(1.0 / sqrt(variance[c] + job.floats[0]))
            factor[c] = rstd * gamma[s.first + c]
            if mean_out != NULL:
                mean_out[s.first + c] = mean[c]
            if rstd_out != NULL:
                rstd_out[s.first + c] = rstd
        scale_and_shift(y, x, <const real*>&mean[0], <const real*>&factor[0], beta + s.first, s, job.finish)


cdef void batchnorm_eval_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x) noexcept nogil:
    cdef const real* gamma = <const real*>job.inp[1]
    cdef const real* beta = <const real*>job.inp[2]
    cdef const real* mean = <const real*>job.inp[3]
    cdef const real* variance = <const real*>job.inp[4]
    cdef real factor[COLUMNS]
    cdef Slabs s
    cdef Py_ssize_t item, c
    for item in range(first, last):
        s = slabs_at(job.ints, item)
        for c in range(s.channels):
            factor[c] = <real>(gamma[s.first + c] / sqrt(variance[s.first + c] + job.floats[0]))
        scale_and_shift(y, x, mean + s.first, <const real*>&factor[0], beta + s.first, s, job.finish)


# With z = (x − mean) rstd: dx = gamma rstd (g − Σg/count − z Σ(g z)/count), dgamma = Σ g z, dbeta = Σ g.
cdef void batchnorm_grad_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* dx, const real* g) noexcept nogil:
    cdef const real* x = <const real*>job.inp[1]
    cdef const real* gamma = <const real*>job.inp[2]
    cdef const real* mean = <const real*>job.inp[3]
    cdef const real* rstd = <const real*>job.inp[4]
    cdef real* dgamma = <real*>job.out[1]
    cdef real* dbeta = <real*>job.out[2]
    cdef double sum_g[COLUMNS]
    cdef double sum_gx[COLUMNS]
    cdef real of_g[COLUMNS]
    cdef real shift[COLUMNS]
    cdef real of_x[COLUMNS]
    cdef double r, scale
    cdef Slabs s
    cdef Py_ssize_t item, c
    for item in range(first, last):
        s = slabs_at(job.ints, item)
        sums(&sum_g[0], g, s)
        covariations(&sum_gx[0], g, x, mean + s.first, s)
        for c in range(s.channels):
            r = rstd[s.first + c]
            scale = gamma[s.first + c] * r
            of_g[c] = <real>scale
            shift[c] = <real>(scale * sum_g[c] / s.count)
            of_x[c] = <real>(scale * r * r * sum_gx[c] / s.count)
            if dgamma != NULL:
                dgamma[s.first + c] = <real>(r * sum_gx[c])
            if dbeta != NULL:
                dbeta[s.first + c] = <real>sum_g[c]
        if dx != NULL:
            combine(dx, g, x, mean + s.first, <const real*>&of_g[0], <const real*>&shift[0], <const real*>&of_x[0], s)


cdef void mean_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x) noexcept nogil:
    cdef double total[COLUMNS]
    cdef Slabs s
    cdef Py_ssize_t item, c
    for item in range(first, last):
        s = slabs_at(job.ints, item)
        sums(&total[0], x, s)
        for c in range(s.channels):
            y[s.first + c] = <real>(total[c] / s.count)


cdef void var_part(Job* job, Py_ssize_t first, Py_ssize_t last, real* y, const real* x) noexcept nogil:
    cdef real mean[COLUMNS]
    cdef double variance[COLUMNS]
    cdef Slabs s
    cdef Py_ssize_t item, c
    for item in range(first, last):
        s = slabs_at(job.ints, item)
        moments(&mean[0], &variance[0], x, s)
        for c in range(s.channels):
            y[s.first + c] = <real>variance[c]


# Entries: the estimates of time are of one core, per byte of an array ------------------------------------------------------------


cdef int over_slabs(part_fn part, real** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish,
                    double byte_ns) noexcept nogil:
    cdef Job job = job_of_slabs(out, inp, ints, floats)
    job.finish = finish if ints[2] >= REPORTED_SLAB else NULL
    return run(&job, part, byte_ns * sizeof(real) * ints[0] * ints[1] * ints[2])


cdef int batchnorm(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return over_slabs(<part_fn>batchnorm_part[real], out, inp, ints, floats, NULL, 0.0625)


cdef int batchnorm_eval(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return over_slabs(<part_fn>batchnorm_eval_part[real], out, inp, ints, floats, NULL, 0.0375)


cdef int batchnorm_grad(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return over_slabs(<part_fn>batchnorm_grad_part[real], out, inp, ints, floats, NULL, 0.075)


cdef int batch_mean(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return over_slabs(<part_fn>mean_part[real], out, inp, ints, floats, NULL, 0.025)


cdef int batch_var(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return over_slabs(<part_fn>var_part[real], out, inp, ints, floats, NULL, 0.0375)


cdef int produce_batchnorm(real** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    return over_slabs(<part_fn>batchnorm_part[real], out, inp, ints, floats, finish, 0.0625)


cdef int produce_batchnorm_eval(real** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    return over_slabs(<part_fn>batchnorm_eval_part[real], out, inp, ints, floats, finish, 0.0375)


KERNELS = {
    "batchnorm_channel_first:f32": <size_t>&batchnorm[float], "batchnorm_channel_first:f64": <size_t>&batchnorm[double],
    "batchnorm_channel_first_eval:f32": <size_t>&batchnorm_eval[float], "batchnorm_channel_first_eval:f64": <size_t>&batchnorm_eval[double],
    "_batchnorm_grad:f32": <size_t>&batchnorm_grad[float], "_batchnorm_grad:f64": <size_t>&batchnorm_grad[double],
    "_batch_mean:f32": <size_t>&batch_mean[float], "_batch_mean:f64": <size_t>&batch_mean[double],
    "_batch_var:f32": <size_t>&batch_var[float], "_batch_var:f64": <size_t>&batch_var[double],
}
PRODUCERS = {
    "batchnorm_channel_first:f32": <size_t>&produce_batchnorm[float], "batchnorm_channel_first:f64": <size_t>&produce_batchnorm[double],
    "batchnorm_channel_first_eval:f32": <size_t>&produce_batchnorm_eval[float],
    "batchnorm_channel_first_eval:f64": <size_t>&produce_batchnorm_eval[double],
}
