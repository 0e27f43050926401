"""Owned, aligned, reference-counted buffers from a caching arena.

A freed buffer waits in the list of its size class for the next request, so a training step that requests the same sizes again touches no
fresh pages. Large blocks ask the kernel for huge pages.
"""
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stddef cimport size_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

cdef extern from *:
    """
    #include "threads/platform.h"
    static void *tl_block_new(size_t nbytes) { return tl_aligned_new(nbytes >= TL_HUGE ? TL_HUGE : 64, nbytes); }
    /* With TLEAN_EXACT_ARENA every block has just the bytes asked for and is never used again: AddressSanitizer then sees each access
     * beyond an array, or after its end. */
    #ifdef TLEAN_EXACT_ARENA
    enum { TL_REUSES = 0 };
    static int tl_size_class(size_t n, size_t *rounded) {
        *rounded = n ? n : 1;
        return 0;
    }
    #else
    enum { TL_REUSES = 1 };
    /* Size classes: multiples of 64 up to 1 KiB (0..15), then four steps to each doubling. */
    static int tl_size_class(size_t n, size_t *rounded) {
        if (n <= 1024) {
            size_t c = n ? (n + 63) / 64 : 1;
            *rounded = c * 64;
            return (int)c - 1;
        }
        int e = 63 - __builtin_clzll((unsigned long long)(n - 1));
        size_t step = (size_t)1 << (e - 2);
        size_t k = (n - ((size_t)1 << e) + step - 1) / step;      /* 1..4 */
        *rounded = ((size_t)1 << e) + k * step;
        return 16 + (e - 10) * 4 + (int)k - 1;
    }
    #endif
    """
    int TL_REUSES
    void* tl_block_new(size_t nbytes) nogil
    void tl_aligned_free(void* p) nogil
    size_t tl_physical_memory() nogil
    int tl_size_class(size_t n, size_t* rounded) nogil

# The error classes, by name; tlean installs its own, so that this package imports nothing of it.
_errors = {}


def install_errors(classes):
    """Use these exception classes (by name) instead of the builtin ones."""
    _errors.update(classes)


cdef object raise_error(str kind, str message):
    raise _errors.get(kind, ValueError)(message)


# Buffers --------------------------------------------------------------------------------------------------------------

cdef enum:
    CLASSES = 256

cdef TLBuffer* _free_lists[CLASSES]
cdef TLBuffer* _spare_headers = NULL
cdef size_t _cached_bytes = 0
cdef size_t _cache_limit = tl_physical_memory() // 4
cdef size_t _live_bytes = 0
cdef size_t _peak_bytes = 0
cdef size_t _block_count = 0
# While failures are simulated: how many fresh blocks were asked for, the one that is refused, and whether all after it are.
cdef size_t _asked = 0
cdef size_t _refused = 0
cdef bint _lasting = False
cdef bint _simulated = False
cdef size_t _limit_before = 0
memset(_free_lists, 0, sizeof(_free_lists))


cdef bint refuse() noexcept:
    # Counts a request for a fresh block; whether it is to fail.
    global _asked
    _asked += 1
    return _refused != 0 and (_asked == _refused or _lasting and _asked > _refused)


def simulate_failure(nth, lasting=False):
    """Let the nth request for memory from now on fail, and with `lasting` all after it; 0 lets none fail. For tests of what happens then.

    Every array takes a fresh block meanwhile, so that all requests count.
    """
    global _asked, _refused, _lasting, _simulated, _cache_limit, _limit_before
    if not _simulated:
        _limit_before = _cache_limit
    _asked, _refused, _lasting, _simulated, _cache_limit = 0, nth, lasting, True, 0
    empty_cache()


def stop_failures():
    """End `simulate_failure`. Returns: how many requests there were."""
    global _simulated, _cache_limit
    if _simulated:
        _simulated, _cache_limit = False, _limit_before
    return _asked


cdef TLBuffer* buffer_new(size_t nbytes) except NULL:
    global _cached_bytes, _live_bytes, _peak_bytes, _block_count
    cdef size_t rounded
    cdef int k = tl_size_class(nbytes, &rounded)
    cdef TLBuffer* b = _free_lists[k]
    if b != NULL:
        _free_lists[k] = b.next
        _cached_bytes -= rounded
    else:
        if _simulated and refuse():
            raise MemoryError(f"{rounded} bytes for an array")
        b = <TLBuffer*>malloc(sizeof(TLBuffer))
        if b == NULL:
            raise MemoryError(f"{rounded} bytes for an array")
        b.data = tl_block_new(rounded)
        if b.data == NULL:
            # What waits for reuse may be what is missing.
            empty_cache()
            b.data = tl_block_new(rounded)
        if b.data == NULL:
            free(b)
            raise MemoryError(f"{rounded} bytes for an array")
        _block_count += 1
    b.nbytes = rounded
    b.size_class = k
    b.owner = NULL
    b.next = NULL
    b.refs = 1
    _live_bytes += rounded
    if _live_bytes > _peak_bytes:
        _peak_bytes = _live_bytes
    return b


cdef TLBuffer* buffer_zeros(size_t nbytes) except NULL:
    cdef TLBuffer* b = buffer_new(nbytes)
    memset(b.data, 0, nbytes)
    return b


cdef TLBuffer* buffer_foreign(void* data, size_t nbytes, object owner) except NULL:
    cdef TLBuffer* b = <TLBuffer*>malloc(sizeof(TLBuffer))
    if b == NULL:
        raise MemoryError()
    b.data = data
    b.nbytes = nbytes
    b.size_class = FOREIGN
    b.next = NULL
    b.refs = 1
    Py_INCREF(owner)
    b.owner = <void*>owner
    return b


cdef void buffer_free(TLBuffer* b) noexcept:
    global _cached_bytes, _live_bytes, _block_count
    if b.size_class < 0:
        owner = <object>b.owner
        free(b)
        Py_DECREF(owner)
        return
    _live_bytes -= b.nbytes
    if not TL_REUSES or _cached_bytes + b.nbytes > _cache_limit:
        tl_aligned_free(b.data)
        free(b)
        _block_count -= 1
        return
    b.next = _free_lists[b.size_class]
    _free_lists[b.size_class] = b
    _cached_bytes += b.nbytes


def empty_cache():
    """Give the arena's unused buffers back to the operating system."""
    global _cached_bytes, _block_count
    cdef TLBuffer* b
    cdef TLBuffer* following
    for k in range(CLASSES):
        b = _free_lists[k]
        _free_lists[k] = NULL
        while b != NULL:
            following = b.next
            _cached_bytes -= b.nbytes
            tl_aligned_free(b.data)
            free(b)
            _block_count -= 1
            b = following


cdef size_t live_bytes() noexcept:
    return _live_bytes


def memory_stats():
    """Bytes of host memory in arrays: live, peak since the last `reset_peak`, cached for reuse; and the number of blocks."""
    return {"live": _live_bytes, "peak": _peak_bytes, "cached": _cached_bytes, "blocks": _block_count}


def reset_peak():
    """Restart the peak of `memory_stats` from what is live now."""
    global _peak_bytes
    _peak_bytes = _live_bytes
