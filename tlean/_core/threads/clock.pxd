"""Time for profiles: a monotonic clock, and counters that several threads may add to."""
from libc.stdint cimport int64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef extern from *:
    """
    #define tl_tally(counter, amount) ((void)__atomic_fetch_add(counter, amount, __ATOMIC_RELAXED))
    """
    void tl_tally(int64_t* counter, int64_t amount) noexcept nogil


cdef inline int64_t nanoseconds() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t>t.tv_sec * 1000000000 + t.tv_nsec
