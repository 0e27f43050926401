# cython: language_level=3
"""Random numbers by Philox4x32-10: of several distributions, masks, dropout; every element from the seed and its index alone."""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from tlean._core.kernel cimport TL_OK
from tlean._core.simd.real cimport real
from tlean._core.threads.threads cimport chunk_fn, parallel_for

cdef extern from "simd/philox.h" nogil:
    enum:
        TL_PHILOX_LANES
    void tl_philox_block(uint32_t* counter, uint32_t k0, uint32_t k1)
    # y, x and u are of one float type.
    void tl_uniforms(void* u, uint64_t seed, uint64_t block)
    void tl_mask(void* y, const void* u, double keep, Py_ssize_t n)
    void tl_dropout(void* y, const void* x, const void* u, double keep, double factor, Py_ssize_t n)

cdef extern from "kernels/random/draws.h" nogil:
    void tl_normals(void* z, uint64_t seed, uint64_t block)
    void tl_integers_i64(int64_t* y, uint64_t seed, uint64_t block, uint64_t low, uint64_t span)
    void tl_integers_i32(int32_t* y, uint64_t seed, uint64_t block, uint64_t low, uint64_t span)
    double tl_log_gamma_number(double a, uint64_t seed, uint64_t i)
    int64_t tl_poisson_number(double rate, uint64_t seed, uint64_t i)

# Elements of one chunk of parallel work: a multiple of what one call of the generator makes, in either dtype.
cdef enum:
    CHUNK = 16384
    # Of what takes long for an element.
    SMALL_CHUNK = 512
    # Whole numbers that one call of the generator makes.
    INTEGERS = 2 * TL_PHILOX_LANES

cdef enum Kind:
    UNIFORM
    NORMAL
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


cdef void fill_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Job* job = <Job*>context
    cdef real u[4 * TL_PHILOX_LANES]
    cdef real* y = <real*>job.y
    # A block of the generator is 16 bytes.
    cdef int64_t each = 16 // sizeof(real), most = TL_PHILOX_LANES * each, i = chunk * CHUNK, last = min(i + CHUNK, job.n), m
    while i < last:
        m = min(most, last - i)
        if job.kind == UNIFORM and m == most:
            tl_uniforms(y + i, job.seed, i // each)
        elif job.kind == NORMAL and m == most:
            tl_normals(y + i, job.seed, i // each)
        elif job.kind == NORMAL:
            tl_normals(&u[0], job.seed, i // each)
            memcpy(y + i, u, m * sizeof(real))
        else:
            tl_uniforms(&u[0], job.seed, i // each)
            if job.kind == UNIFORM:
                memcpy(y + i, u, m * sizeof(real))
            elif job.kind == MASK:
                tl_mask(y + i, &u[0], <real>job.keep, m)
            else:
                tl_dropout(y + i, <const real*>job.x + i, &u[0], <real>job.keep, <real>job.factor, m)
        i += m


cdef int fill(Job* job, real* y) noexcept nogil:
    job.y = y
    cdef double each = 0.25 if job.kind == NORMAL else 0.125
    parallel_for(<chunk_fn>fill_chunk[real], job, (job.n + CHUNK - 1) // CHUNK, each * <double>job.n * sizeof(real))
    return TL_OK


cdef int rand_uniform(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (y) <- (seed)
    cdef Job job
    job.kind, job.n, job.seed = UNIFORM, ints[0], (<const uint64_t*>inp[0])[0]
    return fill(&job, out[0])


cdef int rand_normal(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (y) <- (seed)
    cdef Job job
    job.kind, job.n, job.seed = NORMAL, ints[0], (<const uint64_t*>inp[0])[0]
    return fill(&job, out[0])


cdef int bernoulli_mask(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (y) <- (keep_prob, seed)
    cdef Job job
    job.kind, job.n, job.seed, job.keep = MASK, ints[0], (<const uint64_t*>inp[1])[0], (<const real*>inp[0])[0]
    return fill(&job, out[0])


cdef int dropout(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (y) <- (x, seed)
    cdef Job job
    if floats[0] == 0.0:
        if out[0] != inp[0]:
            memcpy(out[0], inp[0], ints[0] * sizeof(real))
        return TL_OK
    job.kind, job.n, job.seed, job.x = DROPOUT, ints[0], (<const uint64_t*>inp[1])[0], inp[0]
    job.keep = 1.0 - floats[0]
    job.factor = 1.0 / job.keep
    return fill(&job, out[0])


# Numbers that take a varying number of attempts ----------------------------------------------------------------------------------

cdef struct Draws:
    int64_t n
    uint64_t seed
    const void* x
    void* y


cdef void gamma_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Draws* d = <Draws*>context
    cdef int64_t i, first = chunk * SMALL_CHUNK
    for i in range(first, min(first + SMALL_CHUNK, d.n)):
        (<real*>d.y)[i] = <real>tl_log_gamma_number((<const real*>d.x)[i], d.seed, i)


cdef void poisson_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Draws* d = <Draws*>context
    cdef int64_t i, first = chunk * SMALL_CHUNK
    for i in range(first, min(first + SMALL_CHUNK, d.n)):
        (<int64_t*>d.y)[i] = tl_poisson_number((<const real*>d.x)[i], d.seed, i)


cdef int rand_log_gamma(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (y) <- (concentration, seed); ints: elements
    cdef Draws d
    d.n, d.seed, d.x, d.y = ints[0], (<const uint64_t*>inp[1])[0], inp[0], out[0]
    parallel_for(<chunk_fn>gamma_chunk[real], &d, (d.n + SMALL_CHUNK - 1) // SMALL_CHUNK, 60.0 * d.n)
    return TL_OK


cdef int rand_poisson(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (y, int64) <- (rate, seed); ints: elements
    cdef Draws d
    d.n, d.seed, d.x, d.y = ints[0], (<const uint64_t*>inp[1])[0], inp[0], out[0]
    parallel_for(<chunk_fn>poisson_chunk[real], &d, (d.n + SMALL_CHUNK - 1) // SMALL_CHUNK, 60.0 * d.n)
    return TL_OK


# Whole numbers -------------------------------------------------------------------------------------------------------------------

ctypedef fused whole:
    int64_t
    int32_t

cdef struct Whole:
    int64_t n
    uint64_t seed
    uint64_t low
    uint64_t span
    void* y


cdef void integers_chunk(whole* context, Py_ssize_t chunk) noexcept nogil:
    cdef Whole* c = <Whole*>context
    cdef whole w[INTEGERS]
    cdef whole* y = <whole*>c.y
    cdef int64_t i = chunk * CHUNK, last = min(i + CHUNK, c.n)
    while i < last:
        if whole is int64_t:
            tl_integers_i64(&w[0], c.seed, i // 2, c.low, c.span)
        else:
            tl_integers_i32(&w[0], c.seed, i // 2, c.low, c.span)
        memcpy(y + i, w, min(<int64_t>INTEGERS, last - i) * sizeof(whole))
        i += INTEGERS


cdef int rand_integers(whole** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (y) <- (seed); ints: elements, low, span
    cdef Whole c
    c.n, c.low, c.span, c.seed, c.y = ints[0], <uint64_t>ints[1], <uint64_t>ints[2], (<const uint64_t*>inp[0])[0], out[0]
    parallel_for(<chunk_fn>integers_chunk[whole], &c, (c.n + CHUNK - 1) // CHUNK, 0.2 * <double>c.n * sizeof(whole))
    return TL_OK


cdef int loop_seed(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # (y) <- (seed, step); ints: elements, from one seed to the next, from one step to the next, number
    cdef uint64_t key, step
    cdef uint32_t c[4]
    cdef int64_t i
    for i in range(ints[0]):
        key, step = (<const uint64_t*>inp[0])[i * ints[1]], (<const uint64_t*>inp[1])[i * ints[2]]
        c[0], c[1], c[2], c[3] = <uint32_t>ints[3], <uint32_t>step, <uint32_t>(step >> 32), 2
        tl_philox_block(c, <uint32_t>key, <uint32_t>(key >> 32))
        (<uint64_t*>out[0])[i] = <uint64_t>c[0] | <uint64_t>c[1] << 32
    return TL_OK


KERNELS = {
    "_loop_seed:f32": <size_t>&loop_seed, "_loop_seed:f64": <size_t>&loop_seed,
    "_rand_normal:f32": <size_t>&rand_normal[float], "_rand_normal:f64": <size_t>&rand_normal[double],
    "_rand_log_gamma:f32": <size_t>&rand_log_gamma[float], "_rand_log_gamma:f64": <size_t>&rand_log_gamma[double],
    "_rand_poisson:f32": <size_t>&rand_poisson[float], "_rand_poisson:f64": <size_t>&rand_poisson[double],
    "_rand_integers:i32": <size_t>&rand_integers[int32_t], "_rand_integers:i64": <size_t>&rand_integers[int64_t],
    "rand_uniform:f32": <size_t>&rand_uniform[float], "rand_uniform:f64": <size_t>&rand_uniform[double],
    "bernoulli_mask:f32": <size_t>&bernoulli_mask[float], "bernoulli_mask:f64": <size_t>&bernoulli_mask[double],
    "dropout:f32": <size_t>&dropout[float], "dropout:f64": <size_t>&dropout[double],
}


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
        fill(&job, &single[0])
    else:
        wide = flat
        fill(&job, &wide[0])
