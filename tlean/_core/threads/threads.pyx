# cython: language_level=3
"""Threads, per-thread scratch memory and processor features: the only room that starts threads (see threads/workers.h)."""
import os

from libc.stddef cimport size_t

cdef extern from *:
    """
    #include "threads/workers.h"

    static atomic_int tl_threads = 1;
    static _Thread_local int tl_thread_cap = 0;      /* 0: no cap of this thread's own */
    /* Sharing a job costs about a microsecond while the workers watch, more when they sleep; under 20 us of work it does not pay. */
    #define TL_SERIAL_NS 20000.0

    static int tl_active(void) {
        int most = tl_threads;
        return tl_thread_cap > 0 && tl_thread_cap < most ? tl_thread_cap : most;
    }

    static _Thread_local void *tl_scratch_raw[TL_SLOTS];
    static _Thread_local size_t tl_scratch_size[TL_SLOTS];
    static _Thread_local int tl_scratch_kept = 0;
    /* While failures are simulated: the request for more that is refused, with all after it, and how many there were. */
    static int tl_scratch_refused = 0;
    static atomic_int tl_scratch_asked = 0;
    static tl_thread_key tl_scratch_key;

    /* Runs when a thread ends, in that thread. */
    static void TL_THREAD_END tl_scratch_free(void *unused) {
        (void)unused;
        for (int i = 0; i < TL_SLOTS; i++) {
            tl_aligned_free(tl_scratch_raw[i]);
            tl_scratch_raw[i] = NULL;
            tl_scratch_size[i] = 0;
        }
        tl_scratch_kept = 0;
    }
    /* From now on every thread requests again. Not while a job runs. */
    static void tl_scratch_simulate(int nth) {
        tl_scratch_free(NULL);
        tl_scratch_refused = nth;
        tl_scratch_asked = 0;
    }
    /* At import. */
    static void tl_threads_begin(void) {
        tl_pool_begin();
        tl_thread_key_new(&tl_scratch_key, tl_scratch_free);
    }

    /* NULL means that there is no memory: no bytes are asked for as one, so that a chain without temporaries is not taken for that. */
    static void *tl_scratch(int slot, size_t nbytes) {
        if (nbytes == 0) nbytes = 1;
        if (tl_scratch_size[slot] < nbytes) {
            size_t page = nbytes >= TL_HUGE ? TL_HUGE : 4096, want = (nbytes + page - 1) & ~(page - 1);
            tl_aligned_free(tl_scratch_raw[slot]);
            tl_scratch_raw[slot] = NULL;
            tl_scratch_size[slot] = 0;
            void *p = NULL;
            if (tl_scratch_refused > 0 && atomic_fetch_add(&tl_scratch_asked, 1) + 1 >= tl_scratch_refused) return NULL;
            p = tl_aligned_new(page, want);
            if (p == NULL) return NULL;
            if (!tl_scratch_kept) {
                tl_thread_key_set(tl_scratch_key, &tl_scratch_kept);       /* any value: a NULL would not be cleaned up */
                tl_scratch_kept = 1;
            }
            tl_scratch_raw[slot] = p;
            tl_scratch_size[slot] = want;
        }
        return tl_scratch_raw[slot];
    }
    /* Whether this thread has scratch memory of these sizes, or gets it. */
    static int tl_scratch_ready(const size_t *sizes) {
        for (int i = 0; i < TL_SLOTS; i++)
            if (sizes[i] > tl_scratch_size[i] && tl_scratch(i, sizes[i]) == NULL) return 0;
        return 1;
    }

    static void tl_parallel_for(tl_chunk_fn fn, void *context, Py_ssize_t chunks, double work) {
        tl_share(fn, context, chunks, work < TL_SERIAL_NS ? 1 : tl_active(), tl_scratch_ready, tl_scratch_size);
    }
    """
    ctypedef void (*tl_chunk_fn)(void*, Py_ssize_t) noexcept nogil
    enum: TL_MOST_WORKERS
    int tl_threads
    int tl_thread_cap
    int tl_active() noexcept nogil
    void tl_parallel_for(tl_chunk_fn fn, void* context, Py_ssize_t chunks, double work) noexcept nogil
    void* tl_scratch(int slot, size_t nbytes) noexcept nogil
    void tl_scratch_simulate(int nth) noexcept nogil
    int tl_scratch_asked
    void tl_pool_begin() noexcept nogil
    void tl_threads_begin() noexcept nogil
    int tl_cpu_level() noexcept nogil


# The workers of the pool and the caller.
cdef int MOST_THREADS = TL_MOST_WORKERS + 1


cdef void parallel_for(chunk_fn fn, void* context, Py_ssize_t chunks, double work) noexcept nogil:
    tl_parallel_for(<tl_chunk_fn>fn, context, chunks, work)


cdef void* scratch(int slot, size_t nbytes) noexcept nogil:
    return tl_scratch(slot, nbytes)


cdef int active_threads() noexcept nogil:
    return tl_active()


def simulate_scratch_failure(nth):
    """Let the nth request of a kernel for more scratch memory fail from now on, and all after it; 0 ends that. For tests.

    The calling thread's scratch memory goes, so that its kernels request it again. Returns: how many requests there were before.
    """
    asked = tl_scratch_asked
    tl_scratch_simulate(nth)
    return asked


def set_num_threads(n):
    """Use at most n ≥ 1 threads in every kernel from now on. Results do not depend on n."""
    global tl_threads
    if n < 1:
        raise ValueError(f"set_num_threads: n must be at least 1, got {n!r}")
    tl_threads = min(n, MOST_THREADS)


def get_num_threads():
    """How many threads a kernel may use."""
    return tl_active()


cpdef int cap_threads(int n) noexcept:
    """Cap the threads of kernels that the calling thread starts (0 = no cap); returns the cap that was there before."""
    global tl_thread_cap
    before = tl_thread_cap
    tl_thread_cap = n if n > 0 else 0
    return before


def cpu_supports(isa):
    """Whether this processor can run the kernels built for that instruction set ("base", "avx2" or "avx512")."""
    return tl_cpu_level() >= ("base", "avx2", "avx512").index(isa)


def _default_threads():
    told = os.environ.get("TLEAN_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS", "")
    first = told.split(",")[0].strip()
    if first.isascii() and first.isdigit() and int(first) > 0:
        return min(int(first), MOST_THREADS)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _after_fork():
    # A forked child starts over, with one thread until it requests more.
    global tl_threads
    tl_pool_begin()
    tl_threads = 1


tl_threads_begin()
tl_threads = _default_threads()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
