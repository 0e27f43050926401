"""Time for profiles: a monotonic clock, and counters that several threads may add to."""
from libc.stdint cimport int64_t

cdef extern from *:
    """
    #define tl_tally(counter, amount) ((void)__atomic_fetch_add(counter, amount, __ATOMIC_RELAXED))
    """
    void tl_tally(int64_t* counter, int64_t amount) noexcept nogil

cdef extern from "threads/platform.h":
    int64_t nanoseconds "tl_nanoseconds" () noexcept nogil
