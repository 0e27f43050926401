"""Work cut in chunks of items, and sums along one contiguous row, for both float types."""
from libc.stdint cimport int64_t

from tlean._core.kernel cimport TL_OK, tl_finish
from tlean._core.simd.real cimport real
from tlean._core.threads.threads cimport chunk_fn, parallel_for, scratch

cdef extern from "simd/vmath.h" nogil:
    float tl_expf(float x)
    double tl_exp(double x)
    float tl_sigmoidf(float x)
    double tl_sigmoid(double x)
    float tl_logf(float x)
    double tl_log(double x)
    float tl_log1pf(float x)
    double tl_log1p(double x)


cdef extern from "simd/vmath.h" nogil:
    float tl_exp_shiftedf(float x)
    double tl_exp_shifted(double x)


cdef extern from "simd/lanes_f64.h" nogil:
    void tl_exp_less(double* out, const double* x, double shift, Py_ssize_t n)
    void tl_exp_less_each(double* out, const double* x, const double* shift, Py_ssize_t n)


cdef extern from "simd/streaming.h" nogil:
    bint tl_streams(int64_t nbytes)
    void tl_stream(void* dst, const void* src, int64_t n)
    void tl_stream_end()
    void tl_fetch(const void* p, int64_t n)


# x, y, w are of one float type, which the value of `row_max` has too.
cdef extern from "simd/rows.h" nogil:
    double row_sum(const void* x, Py_ssize_t n)                                                            # Σ xᵢ
    double row_dot(const void* x, const void* y, Py_ssize_t n)                                             # Σ xᵢ yᵢ
    double row_deviation(const void* x, double center, Py_ssize_t n)                                       # Σ (xᵢ − center)
    double row_square_deviation(const void* x, double center, Py_ssize_t n)                                # Σ (xᵢ − center)²
    double row_covariation(const void* y, const void* x, double center, Py_ssize_t n)                      # Σ yᵢ (xᵢ − center)
    double row_weighted_covariation(const void* y, const void* w, const void* x, double center, Py_ssize_t n)  # Σ yᵢ wᵢ (xᵢ − center)
    double row_square_distance(const void* x, const void* y, Py_ssize_t n)                                 # Σ (xᵢ − yᵢ)²
    double row_max(const void* x, Py_ssize_t n)                         # the greatest xᵢ that is a number; −inf if there is none
    # dgamma[c] += Σ g (x − mean) rstd, dbeta[c] += Σ g over the rows of (rows, n); either may be NULL.
    void norm_columns(double* dgamma, double* dbeta, const void* g, const void* x, const void* mean, const void* rstd, Py_ssize_t rows,
                      Py_ssize_t n)


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


cdef inline void exp_row(real* y, const real* x, real shift, Py_ssize_t n) noexcept nogil:
    """y = e^(x − shift) for a shift that is at least every x."""
    cdef Py_ssize_t i
    if real is float:
        for i in range(n):
            y[i] = tl_exp_shiftedf(x[i] - shift)
    else:
        tl_exp_less(y, x, shift, n)


cdef inline void exp_lanes(real* y, const real* x, const real* shift, Py_ssize_t n) noexcept nogil:
    """y = e^(x − shift), a shift for each x."""
    cdef Py_ssize_t i
    if real is float:
        for i in range(n):
            y[i] = tl_exp_shiftedf(x[i] - shift[i])
    else:
        tl_exp_less_each(y, x, shift, n)


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


cdef struct Job

# One chunk's work on the items first … last − 1; y and x, the first output and input, are arrays of float or of double.
ctypedef void (*part_fn)(Job* job, Py_ssize_t first, Py_ssize_t last, void* y, const void* x) noexcept nogil

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
    part_fn part

cdef inline Job job_of(void* out, void** inp, const int64_t* ints, const double* floats, Py_ssize_t items, Py_ssize_t size) noexcept nogil:
    """A job of `items` items, each of `size` elements: about 16K elements a chunk. out: the outputs of a kernel."""
    cdef Job job
    job.out = <void**>out
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
    job.part = NULL
    return job


cdef inline Py_ssize_t chunks_of(Job* job) noexcept nogil:
    return (job.items + job.block - 1) // job.block


cdef inline void run_chunk(void* context, Py_ssize_t k) noexcept nogil:
    cdef Job* job = <Job*>context
    job.part(job, k * job.block, min(job.items, (k + 1) * job.block), job.out[0], job.inp[0])


cdef inline int run(Job* job, part_fn part, double work) noexcept nogil:
    """Run every chunk; `work` is the whole job in nanoseconds of one core. Returns the job's status."""
    job.part = part
    parallel_for(run_chunk, job, chunks_of(job), work)
    return job.status
