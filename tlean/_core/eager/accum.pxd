"""Gradient accumulation: dst += src, in place."""
from tlean._core.arena cimport TLBuffer

# dst[i] += src[i] for n elements of that dtype (a float one).
cdef void accumulate(int dtype, void* dst, const void* src, Py_ssize_t n) noexcept nogil
# The buffer itself if nothing else holds it, else a copy; takes over the caller's reference. Needs the GIL.
cdef TLBuffer* own(TLBuffer* buffer, size_t nbytes) except NULL
