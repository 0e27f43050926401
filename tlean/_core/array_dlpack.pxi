# DLPack capsules of an AnyTensor: what they hold, and who frees them.

cdef extern from *:
    """
    #include <stdint.h>
    typedef struct { void *data; int device_type; int device_id; int ndim; uint8_t code; uint8_t bits; uint16_t lanes;
                     int64_t *shape; int64_t *strides; uint64_t byte_offset; } tl_dl_tensor;
    typedef struct tl_dl_managed { tl_dl_tensor t; void *ctx; void (*deleter)(struct tl_dl_managed *); } tl_dl_managed;
    typedef struct tl_dl_versioned { uint32_t major, minor; void *ctx; void (*deleter)(struct tl_dl_versioned *); uint64_t flags;
                                     tl_dl_tensor t; } tl_dl_versioned;
    /* Of `flags`. */
    enum { TL_DL_READ_ONLY = 1, TL_DL_COPIED = 2 };
    """
    ctypedef struct tl_dl_tensor:
        void* data
        int device_type
        int device_id
        int ndim
        uint8_t code
        uint8_t bits
        uint16_t lanes
        int64_t* shape
        int64_t* strides
        uint64_t byte_offset
    ctypedef struct tl_dl_managed:
        tl_dl_tensor t
        void* ctx
        void (*deleter)(tl_dl_managed*) noexcept
    ctypedef struct tl_dl_versioned:
        uint32_t major
        uint32_t minor
        void* ctx
        void (*deleter)(tl_dl_versioned*) noexcept
        uint64_t flags
        tl_dl_tensor t
    uint64_t TL_DL_READ_ONLY
    uint64_t TL_DL_COPIED


cdef void _dl_delete(tl_dl_managed* m) noexcept with gil:
    owner = <object>m.ctx
    free(m.t.shape)
    free(m)
    Py_DECREF(owner)


cdef void _dl_delete_versioned(tl_dl_versioned* m) noexcept with gil:
    owner = <object>m.ctx
    free(m.t.shape)
    free(m)
    Py_DECREF(owner)


cdef void _dl_capsule_free(object capsule) noexcept:
    cdef tl_dl_managed* m
    cdef tl_dl_versioned* v
    if PyCapsule_IsValid(capsule, b"dltensor"):
        m = <tl_dl_managed*>PyCapsule_GetPointer(capsule, b"dltensor")
        m.deleter(m)
    elif PyCapsule_IsValid(capsule, b"dltensor_versioned"):
        v = <tl_dl_versioned*>PyCapsule_GetPointer(capsule, b"dltensor_versioned")
        v.deleter(v)


cdef int _dl_describe(tl_dl_tensor* t, AnyTensor array) except -1:
    cdef Py_ssize_t i, n = array.info.ndim
    t.shape = <int64_t*>malloc(sizeof(int64_t) * 2 * (n if n else 1))
    if t.shape == NULL:
        raise MemoryError()
    t.strides = t.shape + n
    for i in range(n):
        t.shape[i] = array.info.sizes[i]
        t.strides[i] = array.info.strides[0][i]
    t.data = array.buffer.data
    t.device_type = 1
    t.device_id = 0
    t.ndim = <int>n
    t.code = 2 if array.code <= TL_F64 else 6 if array.code == TL_BOOL else 0
    t.bits = <uint8_t>(8 * _itemsizes[array.code])
    t.lanes = 1
    t.byte_offset = 0
    return 0


cdef object _dl_capsule(AnyTensor array):
    cdef tl_dl_managed* m = <tl_dl_managed*>malloc(sizeof(tl_dl_managed))
    if m == NULL:
        raise MemoryError()
    try:
        _dl_describe(&m.t, array)
    except MemoryError:
        free(m)
        raise
    Py_INCREF(array)
    m.ctx = <void*>array
    m.deleter = _dl_delete
    return PyCapsule_New(m, b"dltensor", <void (*)(object) noexcept>_dl_capsule_free)


cdef object _dl_capsule_versioned(AnyTensor array, uint64_t flags):
    cdef tl_dl_versioned* m = <tl_dl_versioned*>malloc(sizeof(tl_dl_versioned))
    if m == NULL:
        raise MemoryError()
    try:
        _dl_describe(&m.t, array)
    except MemoryError:
        free(m)
        raise
    Py_INCREF(array)
    m.major, m.minor, m.flags = 1, 0, flags
    m.ctx = <void*>array
    m.deleter = _dl_delete_versioned
    return PyCapsule_New(m, b"dltensor_versioned", <void (*)(object) noexcept>_dl_capsule_free)
