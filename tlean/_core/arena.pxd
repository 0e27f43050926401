"""Owned, aligned, reference-counted buffers from a caching arena, and the door through which `_core` raises errors."""
from libc.stddef cimport size_t

ctypedef struct TLBuffer:
    void* data
    size_t nbytes
    Py_ssize_t refs
    int size_class    # below 0 for memory of another owner: FOREIGN, or LENT for the length of a call
    void* owner
    TLBuffer* next

cdef enum:
    FOREIGN = -1
    LENT = -2

# A fresh buffer of at least nbytes, 64-byte aligned, refs = 1; raises MemoryError. All of these need the GIL.
cdef TLBuffer* buffer_new(size_t nbytes) except NULL
cdef TLBuffer* buffer_zeros(size_t nbytes) except NULL
cdef TLBuffer* buffer_foreign(void* data, size_t nbytes, object owner) except NULL

cdef inline TLBuffer* buffer_incref(TLBuffer* buffer) noexcept:
    if buffer != NULL:
        buffer.refs += 1
    return buffer

cdef inline void buffer_decref(TLBuffer* buffer) noexcept:
    if buffer != NULL:
        buffer.refs -= 1
        if buffer.refs == 0:
            buffer_free(buffer)

# Gives a buffer without references back to the arena.
cdef void buffer_free(TLBuffer* buffer) noexcept

# Raises the error class of that name with the message.
cdef object raise_error(str kind, str message)
# Bytes of the arrays that are alive.
cdef size_t live_bytes() noexcept
