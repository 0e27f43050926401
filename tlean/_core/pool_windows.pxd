"""Geometry of pooling windows over `planes` arrays of three spatial axes; fewer axes are padded with leading axes of size 1."""
from libc.stdint cimport int32_t, int64_t

from tlean._core.kernel cimport TL_NO_MEMORY, TL_OK
from tlean._core.threads cimport parallel_for, scratch


cdef struct Windows:
    int64_t planes
    int64_t size[3]        # input cells along each axis
    int64_t out[3]
    int64_t kernel[3]
    int64_t stride[3]
    int64_t padding[3]


cdef inline Windows read_windows(const int64_t* ints) noexcept nogil:
    # The layout that `window_numbers` in tlean/ops/pool.py writes.
    cdef Windows w
    cdef int i
    w.planes = ints[0]
    for i in range(3):
        w.size[i] = ints[1 + i]
        w.out[i] = ints[4 + i]
        w.kernel[i] = ints[7 + i]
        w.stride[i] = ints[10 + i]
        w.padding[i] = ints[13 + i]
    return w


cdef inline int64_t volume(const int64_t* sizes) noexcept nogil:
    return sizes[0] * sizes[1] * sizes[2]


cdef inline int64_t first_window(int64_t cell, int64_t kernel, int64_t stride, int64_t padding) noexcept nogil:
    # The first o ≥ 0 whose window [o·s − p, o·s − p + k) reaches the cell: ⌈(cell + p − k + 1)/s⌉.
    cdef int64_t reach = cell + padding - kernel + 1
    return 0 if reach <= 0 else (reach + stride - 1) // stride


cdef inline int64_t last_window(int64_t cell, int64_t stride, int64_t padding, int64_t out) noexcept nogil:
    # The last o < out that starts at or before the cell.
    cdef int64_t o = (cell + padding) // stride
    return o if o < out else out - 1


cdef inline char* carve(char** slab, int64_t nbytes) noexcept nogil:
    # The next nbytes of a slab, rounded up to whole cache lines.
    cdef char* p = slab[0]
    slab[0] = p + ((nbytes + 63) & ~<int64_t>63)
    return p


# Does plane i of the job. `slab` is the thread's working memory; `spare` holds one plane of values, then one of positions, where asked for.
ctypedef void (*plane_fn)(PlaneJob* job, int64_t i, char* slab, void* spare) noexcept nogil


cdef struct PlaneJob:
    Windows w
    plane_fn plane
    const void* x          # input planes
    const void* g          # cotangents, where the kernel takes them
    const int32_t* hint    # chosen cells, given; may be NULL
    int32_t* at            # chosen cells, wanted; may be NULL
    void* y                # output planes
    double number          # the pad value, or beta
    int64_t slab_bytes
    int64_t spare_bytes
    int64_t group          # planes per chunk
    int status


cdef inline void do_planes(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef PlaneJob* job = <PlaneJob*>context
    cdef int64_t i, last = (chunk + 1) * job.group
    cdef char* slab = <char*>scratch(0, job.slab_bytes)
    cdef void* spare = scratch(1, job.spare_bytes) if job.spare_bytes else NULL
    if slab == NULL or (job.spare_bytes and spare == NULL):
        job.status = TL_NO_MEMORY
        return
    for i in range(chunk * job.group, last if last < job.w.planes else job.w.planes):
        job.plane(job, i, slab, spare)


cdef inline int over_planes(PlaneJob* job, double plane_ns) noexcept nogil:
    # Chunks of about 20 us; the shapes alone decide.
    job.group = <int64_t>(20000.0 / (plane_ns + 1.0))
    if job.group < 1:
        job.group = 1
    job.status = TL_OK
    parallel_for(do_planes, job, (job.w.planes + job.group - 1) // job.group, plane_ns * <double>job.w.planes)
    return job.status
