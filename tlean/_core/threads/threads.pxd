"""Threads and per-thread scratch memory: the only room that starts threads."""

ctypedef void (*chunk_fn)(void* context, Py_ssize_t chunk) noexcept nogil

# Calls fn(context, 0) … fn(context, chunks - 1), in any order, on as many threads as are allowed and worth it.
# `work` is the whole job in nanoseconds of one core, roughly; below a threshold the caller's thread does it all.
# Which elements a chunk covers must not depend on the thread count: then no result does.
cdef void parallel_for(chunk_fn fn, void* context, Py_ssize_t chunks, double work) noexcept nogil

# 64-byte-aligned memory that belongs to the calling thread and slot (0 … 7); valid until the same thread requests the same slot again.
# NULL when the memory cannot be had.
cdef void* scratch(int slot, size_t nbytes) noexcept nogil

cdef int active_threads() noexcept nogil

# Caps the threads of kernels that the calling thread starts (0 = no cap); returns the cap that was there before.
cpdef int cap_threads(int n) noexcept
