# cython: language_level=3
"""Random numbers by Philox4x32-10: uniform numbers, masks, dropout; every element from the seed and its index alone."""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from tlean._core.kernel cimport TL_OK
from tlean._core.threads.threads cimport parallel_for

cdef extern from "simd/philox.h" nogil:
    int TL_PHILOX_LANES
    int TL_UNIFORMS_f32
    int TL_UNIFORMS_f64
    void tl_philox_block(uint32_t* counter, uint32_t k0, uint32_t k1)
    void tl_uniforms_f32(float* u, uint64_t seed, uint64_t block)
    void tl_uniforms_f64(double* u, uint64_t seed, uint64_t block)
    void tl_mask_f32(float* y, const float* u, float keep, Py_ssize_t n)
    void tl_mask_f64(double* y, const double* u, double keep, Py_ssize_t n)
    void tl_dropout_f32(float* y, const float* x, const float* u, float keep, float factor, Py_ssize_t n)
    void tl_dropout_f64(double* y, const double* x, const double* u, double keep, double factor, Py_ssize_t n)

# Elements of one chunk of parallel work: a multiple of what one call of the generator makes, in either dtype.
cdef enum:
    CHUNK = 16384

cdef enum Kind:
    UNIFORM
    MASK
    DROPOUT


cdef struct Job:
    Kind kind
    int64_t n
    uint64_t seed
    const void* x
    void* y
    double keep
    double factor


cdef void chunk_f32(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Job* job = <Job*>context
    cdef float u[64]
    cdef float* y = <float*>job.y
    cdef int64_t i = chunk * CHUNK, last = min(i + CHUNK, job.n), m
    while i < last:
        m = min(<int64_t>TL_UNIFORMS_f32, last - i)
        if job.kind == UNIFORM and m == TL_UNIFORMS_f32:
            tl_uniforms_f32(y + i, job.seed, i // 4)
        else:
            tl_uniforms_f32(u, job.seed, i // 4)
            if job.kind == UNIFORM:
                memcpy(y + i, u, m * sizeof(float))
            elif job.kind == MASK:
                tl_mask_f32(y + i, u, <float>job.keep, m)
            else:
                tl_dropout_f32(y + i, <const float*>job.x + i, u, <float>job.keep, <float>job.factor, m)
        i += m


cdef void chunk_f64(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Job* job = <Job*>context
    cdef double u[32]
    cdef double* y = <double*>job.y
    cdef int64_t i = chunk * CHUNK, last = min(i + CHUNK, job.n), m
    while i < last:
        m = min(<int64_t>TL_UNIFORMS_f64, last - i)
        if job.kind == UNIFORM and m == TL_UNIFORMS_f64:
            tl_uniforms_f64(y + i, job.seed, i // 2)
        else:
            tl_uniforms_f64(u, job.seed, i // 2)
            if job.kind == UNIFORM:
                memcpy(y + i, u, m * sizeof(double))
            elif job.kind == MASK:
                tl_mask_f64(y + i, u, job.keep, m)
            else:
                tl_dropout_f64(y + i, <const double*>job.x + i, u, job.keep, job.factor, m)
        i += m


cdef int run(Job* job, bint single) noexcept nogil:
    parallel_for(chunk_f32 if single else chunk_f64, job, (job.n + CHUNK - 1) // CHUNK, 0.5 * <double>job.n * (1 if single else 2))
    return TL_OK


cdef int rand_uniform(void** out, void** inp, const int64_t* ints, bint single) noexcept nogil:
    # (y) <- (seed)
    cdef Job job
    job.kind, job.n, job.seed, job.y = UNIFORM, ints[0], (<const uint64_t*>inp[0])[0], out[0]
    return run(&job, single)


cdef int rand_uniform_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rand_uniform(out, inp, ints, True)


cdef int rand_uniform_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return rand_uniform(out, inp, ints, False)


cdef int bernoulli_mask_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (y) <- (keep_prob, seed)
    cdef Job job
    job.kind, job.n, job.seed, job.y = MASK, ints[0], (<const uint64_t*>inp[1])[0], out[0]
    job.keep = (<const float*>inp[0])[0]
    return run(&job, True)


cdef int bernoulli_mask_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Job job
    job.kind, job.n, job.seed, job.y = MASK, ints[0], (<const uint64_t*>inp[1])[0], out[0]
    job.keep = (<const double*>inp[0])[0]
    return run(&job, False)


cdef int dropout(void** out, void** inp, const int64_t* ints, const double* floats, bint single) noexcept nogil:
    # (y) <- (x, seed)
    cdef Job job
    if floats[0] == 0.0:
        if out[0] != inp[0]:
            memcpy(out[0], inp[0], ints[0] * (sizeof(float) if single else sizeof(double)))
        return TL_OK
    job.kind, job.n, job.seed, job.x, job.y = DROPOUT, ints[0], (<const uint64_t*>inp[1])[0], inp[0], out[0]
    job.keep = 1.0 - floats[0]
    job.factor = 1.0 / job.keep
    return run(&job, single)


cdef int dropout_f32(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return dropout(out, inp, ints, floats, True)


cdef int dropout_f64(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return dropout(out, inp, ints, floats, False)


KERNELS = {
    "rand_uniform:f32": <size_t>&rand_uniform_f32, "rand_uniform:f64": <size_t>&rand_uniform_f64,
    "bernoulli_mask:f32": <size_t>&bernoulli_mask_f32, "bernoulli_mask:f64": <size_t>&bernoulli_mask_f64,
    "dropout:f32": <size_t>&dropout_f32, "dropout:f64": <size_t>&dropout_f64,
}
ACCUMULATES = set()


# From Python -------------------------------------------------------------------------------------------------------------------

def philox_words(seed, counter):
    """The four 32-bit words of one Philox4x32-10 block.

    Args:
        seed: 64 bits (a negative number is taken modulo 2^64); key word 0 is the low half.
        counter: four 32-bit words.
    """
    cdef uint64_t key = seed & 0xFFFFFFFFFFFFFFFF
    cdef uint32_t c[4]
    c[0], c[1], c[2], c[3] = counter
    tl_philox_block(c, <uint32_t>key, <uint32_t>(key >> 32))
    return c[0], c[1], c[2], c[3]


def stream_seed(session_seed, n):
    """The seed of random op number n of a session: the first 64 bits, word 0 low, of Philox(key = session seed, counter (n, 0, 0, 1)).

    An n of 2^32 or more takes its upper half in counter word 1.
    """
    cdef uint64_t key = session_seed & 0xFFFFFFFFFFFFFFFF, number = n
    cdef uint32_t c[4]
    c[0], c[1], c[2], c[3] = <uint32_t>number, <uint32_t>(number >> 32), 0, 1
    tl_philox_block(c, <uint32_t>key, <uint32_t>(key >> 32))
    return <uint64_t>c[0] | <uint64_t>c[1] << 32


def fill_uniform(y, seed):
    """Fill a C-contiguous float32 or float64 buffer with the numbers of `rand_uniform(shape, seed)`."""
    cdef Job job
    cdef float[::1] single
    cdef double[::1] wide
    flat = memoryview(y).cast("B").cast(memoryview(y).format)
    job.kind, job.n, job.seed = UNIFORM, len(flat), seed & 0xFFFFFFFFFFFFFFFF
    if job.n == 0:
        return
    if flat.format == "f":
        single = flat
        job.y = &single[0]
        run(&job, True)
    else:
        wide = flat
        job.y = &wide[0]
        run(&job, False)
