"""Work cut in chunks of items, and sums along one contiguous row, for both float types."""
from libc.stdint cimport int64_t

from tlean._core.kernel cimport TL_OK, tl_finish
from tlean._core.threads.threads cimport chunk_fn, parallel_for, scratch

ctypedef fused real:
    float
    double


cdef extern from "simd/vmath.h" nogil:
    float tl_expf(float x)
    double tl_exp(double x)
    float tl_sigmoidf(float x)
    double tl_sigmoid(double x)
    float tl_logf(float x)
    double tl_log(double x)
    float tl_log1pf(float x)
    double tl_log1p(double x)


cdef extern from "simd/exp_shifted.h" nogil:
    float tl_exp_shiftedf(float x)
    double tl_exp_shifted(double x)


cdef extern from "simd/streaming.h" nogil:
    bint tl_streams(int64_t nbytes)
    void tl_stream(void* dst, const void* src, int64_t n)
    void tl_stream_end()
    void tl_fetch(const void* p, int64_t n)


cdef extern from "simd/rows.h" nogil:
    double row_sum_f32(const float* x, Py_ssize_t n)
    double row_sum_f64(const double* x, Py_ssize_t n)
    double row_dot_f32(const float* x, const float* y, Py_ssize_t n)
    double row_dot_f64(const double* x, const double* y, Py_ssize_t n)
    double row_deviation_f32(const float* x, float center, Py_ssize_t n)
    double row_deviation_f64(const double* x, double center, Py_ssize_t n)
    double row_square_deviation_f32(const float* x, float center, Py_ssize_t n)
    double row_square_deviation_f64(const double* x, double center, Py_ssize_t n)
    double row_covariation_f32(const float* y, const float* x, float center, Py_ssize_t n)
    double row_covariation_f64(const double* y, const double* x, double center, Py_ssize_t n)
    double row_weighted_covariation_f32(const float* y, const float* w, const float* x, float center, Py_ssize_t n)
    double row_weighted_covariation_f64(const double* y, const double* w, const double* x, double center, Py_ssize_t n)
    double row_square_distance_f32(const float* x, const float* y, Py_ssize_t n)
    double row_square_distance_f64(const double* x, const double* y, Py_ssize_t n)
    void norm_columns_f32(double* dgamma, double* dbeta, const float* g, const float* x, const float* mean, const float* rstd,
                          Py_ssize_t rows, Py_ssize_t n)
    void norm_columns_f64(double* dgamma, double* dbeta, const double* g, const double* x, const double* mean, const double* rstd,
                          Py_ssize_t rows, Py_ssize_t n)
    float row_max_f32(const float* x, Py_ssize_t n)
    double row_max_f64(const double* x, Py_ssize_t n)


cdef inline real exp_of(real x) noexcept nogil:
    if real is float:
        return tl_expf(x)
    else:
        return tl_exp(x)


cdef inline real exp_shifted(real x) noexcept nogil:
    """e^x for x ≤ 0 (up to 88, to be exact)."""
    if real is float:
        return tl_exp_shiftedf(x)
    else:
        return tl_exp_shifted(x)


cdef inline real sigmoid_of(real x) noexcept nogil:
    if real is float:
        return tl_sigmoidf(x)
    else:
        return tl_sigmoid(x)


cdef inline real log_of(real x) noexcept nogil:
    if real is float:
        return tl_logf(x)
    else:
        return tl_log(x)


cdef inline real log1p_of(real x) noexcept nogil:
    if real is float:
        return tl_log1pf(x)
    else:
        return tl_log1p(x)


cdef inline double row_sum(const real* x, Py_ssize_t n) noexcept nogil:
    """Σ xᵢ"""
    if real is float:
        return row_sum_f32(x, n)
    else:
        return row_sum_f64(x, n)


cdef inline double row_dot(const real* x, const real* y, Py_ssize_t n) noexcept nogil:
    """Σ xᵢ yᵢ"""
    if real is float:
        return row_dot_f32(x, y, n)
    else:
        return row_dot_f64(x, y, n)


cdef inline double row_deviation(const real* x, real center, Py_ssize_t n) noexcept nogil:
    """Σ (xᵢ − center)"""
    if real is float:
        return row_deviation_f32(x, center, n)
    else:
        return row_deviation_f64(x, center, n)


cdef inline double row_square_deviation(const real* x, real center, Py_ssize_t n) noexcept nogil:
    """Σ (xᵢ − center)²"""
    if real is float:
        return row_square_deviation_f32(x, center, n)
    else:
        return row_square_deviation_f64(x, center, n)


cdef inline double row_covariation(const real* y, const real* x, real center, Py_ssize_t n) noexcept nogil:
    """Σ yᵢ (xᵢ − center)"""
    if real is float:
        return row_covariation_f32(y, x, center, n)
    else:
        return row_covariation_f64(y, x, center, n)


cdef inline double row_weighted_covariation(const real* y, const real* w, const real* x, real center, Py_ssize_t n) noexcept nogil:
    """Σ yᵢ wᵢ (xᵢ − center)"""
    if real is float:
        return row_weighted_covariation_f32(y, w, x, center, n)
    else:
        return row_weighted_covariation_f64(y, w, x, center, n)


cdef inline double row_square_distance(const real* x, const real* y, Py_ssize_t n) noexcept nogil:
    """Σ (xᵢ − yᵢ)²"""
    if real is float:
        return row_square_distance_f32(x, y, n)
    else:
        return row_square_distance_f64(x, y, n)


cdef inline void norm_columns(
    double* dgamma, double* dbeta, const real* g, const real* x, const real* mean, const real* rstd, Py_ssize_t rows, Py_ssize_t n
) noexcept nogil:
    """dgamma[c] += Σ g (x − mean) rstd, dbeta[c] += Σ g over the rows of (rows, n); either may be NULL."""
    if real is float:
        norm_columns_f32(dgamma, dbeta, g, x, mean, rstd, rows, n)
    else:
        norm_columns_f64(dgamma, dbeta, g, x, mean, rstd, rows, n)


cdef inline real row_max(const real* x, Py_ssize_t n) noexcept nogil:
    """The greatest xᵢ that is a number; −inf if there is none."""
    if real is float:
        return row_max_f32(x, n)
    else:
        return row_max_f64(x, n)


cdef struct Job

# One chunk's work on the items first … last − 1; y and x are the first output and input.
ctypedef void (*part_f32)(Job* job, Py_ssize_t first, Py_ssize_t last, float* y, const float* x) noexcept nogil
ctypedef void (*part_f64)(Job* job, Py_ssize_t first, Py_ssize_t last, double* y, const double* x) noexcept nogil

# A call of a kernel, cut in chunks. Chunk k covers the items k·block … (k + 1)·block − 1: which ones depends on the shapes alone.
cdef struct Job:
    void** out
    void** inp
    const int64_t* ints
    const double* floats
    Py_ssize_t items
    Py_ssize_t block
    double* partial         # partial sums: a row per chunk, where the kernel has any
    double given[2]         # numbers that the kernel worked out before the chunks
    tl_finish* finish       # whom finished parts of out[0] are reported to, or NULL
    int status
    Py_ssize_t together     # long rows that are worked on together, where the kernel does so
    bint streams            # rows are worked out in the first cache, then streamed (streaming.h)
    part_f32 f32
    part_f64 f64

cdef inline Job job_of(void** out, void** inp, const int64_t* ints, const double* floats, Py_ssize_t items, Py_ssize_t size) noexcept nogil:
    """A job of `items` items, each of `size` elements: about 16K elements a chunk."""
    cdef Job job
    job.out = out
    job.inp = inp
    job.ints = ints
    job.floats = floats
    job.items = items
    job.block = max(<Py_ssize_t>1, 16384 // max(<Py_ssize_t>1, size))
    job.partial = NULL
    job.given[0], job.given[1] = 0.0, 0.0
    job.finish = NULL
    job.status = TL_OK
    job.together = 1
    job.streams = False
    job.f32 = NULL
    job.f64 = NULL
    return job


cdef inline Py_ssize_t chunks_of(Job* job) noexcept nogil:
    return (job.items + job.block - 1) // job.block


cdef inline void chunk_f32(void* context, Py_ssize_t k) noexcept nogil:
    cdef Job* job = <Job*>context
    job.f32(job, k * job.block, min(job.items, (k + 1) * job.block), <float*>job.out[0], <const float*>job.inp[0])


cdef inline void chunk_f64(void* context, Py_ssize_t k) noexcept nogil:
    cdef Job* job = <Job*>context
    job.f64(job, k * job.block, min(job.items, (k + 1) * job.block), <double*>job.out[0], <const double*>job.inp[0])


cdef inline int run_f32(Job* job, part_f32 part, double work) noexcept nogil:
    """Run every chunk; `work` is the whole job in nanoseconds of one core. Returns the job's status."""
    job.f32 = part
    parallel_for(chunk_f32, job, chunks_of(job), work)
    return job.status


cdef inline int run_f64(Job* job, part_f64 part, double work) noexcept nogil:
    job.f64 = part
    parallel_for(chunk_f64, job, chunks_of(job), work)
    return job.status
