# cython: language_level=3
"""Kernels of the elementwise ops. Their loops are generated from the formulas of `tlean/ops/elementwise.py`; here they meet threads."""
from libc.stdint cimport int64_t, uintptr_t

from tlean._core.threads.threads cimport parallel_for

cdef extern from "elementwise_kernels.h" nogil:
    ctypedef void (*tl_inner)(void* out, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil
    ctypedef struct tl_entry:
        const char* name
        void* kernel
        tl_inner inner
        int inputs
        int* sizes
        int work
        int adds
        int fuses
    const tl_entry* tl_entries
    enum:
        TL_MOST_INPUTS
    int TL_ENTRIES
    int64_t TL_CHUNK
    int (*tl_in_chunks)(const tl_entry* entry, void** out, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil
    void* accumulate_f32_kernel
    void* accumulate_f64_kernel

cdef extern from "simd/streaming.h" nogil:
    enum:
        TL_STREAM_BLOCK
    bint tl_streams(int64_t nbytes)
    void tl_stream(void* dst, const void* src, int64_t n)
    void tl_stream_end()

cdef extern from "plan/chain_machine.h" nogil:
    ctypedef struct tl_named_step:
        const char* name
        void* step
    const tl_named_step* tl_steps
    int TL_STEPS
    int TL_STRIP_BYTES


cdef struct Job:
    const tl_entry* entry
    char* out
    char* inp[TL_MOST_INPUTS]
    int64_t n
    const double* floats
    int accumulate
    bint streams


cdef void run_span(Job* job, int64_t start, int64_t count, void* out) noexcept nogil:
    cdef void* inp[TL_MOST_INPUTS]
    cdef int k
    for k in range(job.entry.inputs):
        inp[k] = job.inp[k] + start * job.entry.sizes[1 + k]
    job.entry.inner(out, inp, count, job.floats, job.accumulate)


cdef void run_chunk(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Job* job = <Job*>context
    cdef int64_t size = job.entry.sizes[0], start = chunk * TL_CHUNK, end = min(start + TL_CHUNK, job.n), count
    cdef char room[TL_STREAM_BLOCK + 64]
    cdef char* block = room + (-<uintptr_t>room & 63)
    if not job.streams:
        run_span(job, start, end - start, job.out + start * size)
        return
    while start < end:
        count = min(end - start, TL_STREAM_BLOCK // size)
        run_span(job, start, count, block)
        tl_stream(job.out + start * size, block, count * size)
        start += count
    tl_stream_end()


cdef int in_chunks(const tl_entry* entry, void** out, void** inp, int64_t n, const double* floats, int accumulate) noexcept nogil:
    cdef Job job
    cdef int k, nbytes = entry.sizes[0]
    job.entry = entry
    job.out = <char*>out[0]
    for k in range(entry.inputs):
        job.inp[k] = <char*>inp[k]
        nbytes += entry.sizes[1 + k]
    job.n = n
    job.floats = floats
    job.accumulate = accumulate
    # Formulas of much arithmetic are not bound by memory (`work`: 40 a byte moved, see emit_c.py).
    job.streams = not accumulate and entry.work <= 60 * (nbytes + entry.sizes[0]) and tl_streams(n * nbytes)
    for k in range(entry.inputs):
        # In place the lines are at hand.
        if job.inp[k] == job.out:
            job.streams = False
    parallel_for(run_chunk, &job, (n + TL_CHUNK - 1) // TL_CHUNK, n * entry.work * 1e-3)
    return 0


tl_in_chunks = in_chunks

# "<op>:<f32|f64|b8>" -> the address of its kernel (kernel.h), and of its loop on one thread (`tl_inner`), which a fused chain calls block
# by block: the same bits, since an element's value depends on nothing but its inputs. "accumulate" adds in[0] to out[0].
KERNELS = {tl_entries[i].name.decode(): <size_t>tl_entries[i].kernel for i in range(TL_ENTRIES)}
KERNELS["accumulate:f32"] = <size_t>&accumulate_f32_kernel
KERNELS["accumulate:f64"] = <size_t>&accumulate_f64_kernel
INNER = {tl_entries[i].name.decode(): <size_t>tl_entries[i].inner for i in range(TL_ENTRIES) if tl_entries[i].fuses}
ACCUMULATES = {"accumulate", *[tl_entries[i].name.decode().partition(":")[0] for i in range(TL_ENTRIES) if tl_entries[i].adds]}
# The steps of the register machine (plan/chain_machine.h), as "<op>:<f32|f64>:<input in the registers>", its moves; the bytes of a strip.
STEPS = {tl_steps[i].name.decode(): <size_t>tl_steps[i].step for i in range(TL_STEPS)}
STRIP_BYTES = TL_STRIP_BYTES
