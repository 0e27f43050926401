"""Pooling windows: geometry, rows, the loop over planes. There are three spatial axes; fewer are filled up with leading axes of size 1."""
from libc.stdint cimport int32_t, int64_t

from tlean._core.kernel cimport TL_NO_MEMORY, TL_OK, TL_SLOT_POOL_SLAB, TL_SLOT_POOL_SPARE
from tlean._core.simd.real cimport real
from tlean._core.threads.threads cimport parallel_for, scratch

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define tl_prefetch(p) __builtin_prefetch(p)
    #else
    #define tl_prefetch(p) ((void)(p))
    #endif
    """
    void tl_prefetch(const void* p) noexcept nogil

cdef extern from "kernels/pool/columns.h" nogil:
    const int64_t TL_FEWEST_WINDOWS
    ctypedef struct tl_columns:
        int64_t rows
        int64_t width
        int64_t rows_out
        int64_t out
        int64_t kernel
        int64_t stride
        int64_t padding
        int64_t first
        int64_t count


cdef struct Windows:
    int64_t planes
    int64_t size[3]        # input cells along each axis
    int64_t out[3]
    int64_t kernel[3]
    int64_t stride[3]
    int64_t padding[3]


cdef inline Windows read_windows(const int64_t* ints) noexcept nogil:
    # The layout that `window_numbers` in tlean/ops/pool_windows.py writes.
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
    cdef char* slab = <char*>scratch(TL_SLOT_POOL_SLAB, job.slab_bytes)
    cdef void* spare = scratch(TL_SLOT_POOL_SPARE, job.spare_bytes) if job.spare_bytes else NULL
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


# Rows of windows, for the pools that work row by row ---------------------------------------------------------------------------

cdef inline bint is_2x2(const Windows* w) noexcept nogil:
    # 2x2 windows of stride 2 over the last two axes, with nothing padded and no window over the first.
    return (w.kernel[0] == 1 and w.stride[0] == 1 and w.kernel[1] == 2 and w.kernel[2] == 2 and w.stride[1] == 2 and w.stride[2] == 2
            and w.padding[0] == 0 and w.padding[1] == 0 and w.padding[2] == 0)


cdef inline bint as_columns(const Windows* w, tl_columns* s) noexcept nogil:
    # Whether columns.h takes the planes, and how: windows of up to three rows and of three columns two apart, one cell padded at most.
    # Padding of at most half the kernel leaves every window a row.
    s.rows, s.width, s.rows_out, s.out = w.size[1], w.size[2], w.out[1], w.out[2]
    s.kernel, s.stride, s.padding, s.first = w.kernel[1], w.stride[1], w.padding[1], w.padding[2]
    s.count = min(w.out[2], (w.size[2] - 3 + w.padding[2]) // 2 + 1) - s.first
    return (
        w.kernel[0] == 1 and w.stride[0] == 1 and w.padding[0] == 0 and w.kernel[1] <= 3 and 2 * w.padding[1] <= w.kernel[1]
        and w.kernel[2] == 3 and w.stride[2] == 2 and w.padding[2] <= 1 and w.size[2] >= 3 and s.count >= TL_FEWEST_WINDOWS
    )


# Rows of windows are done in strips of this many, step by step: a step then reads what was stored long before, not just before.
cdef enum:
    STRIP = 8
    AHEAD = 4096           # bytes


cdef inline int64_t phase_pitch(const Windows* w) noexcept nogil:
    # Room for one phase of an input row: window j's tap k is at k//s + j. Whole cache lines.
    return (w.out[2] + (w.kernel[2] - 1) // w.stride[2] + 15) & ~<int64_t>15


cdef inline void fetch_ahead(const Windows* w, const real* row) noexcept nogil:
    # Prefetches as many cells as one row of windows uses up, some rows ahead. Several rows are read side by side, each no longer than a few
    # cache lines: too short for the processor to see where they go.
    cdef const char* p = <const char*>row + AHEAD
    cdef int64_t n = w.stride[1] * w.size[2] * sizeof(real), i
    for i in range(0, n if n < AHEAD else AHEAD, 64):
        tl_prefetch(p + i)


cdef inline int64_t window_rows(const Windows* w, const real* x, const real** rows, int64_t* start, int64_t o0, int64_t o1,
                                const real* pad_row) noexcept nogil:
    # The input rows under window row (o0, o1), and the position of each one's column 0. Padded rows are left out, or, where pad_row is
    # given, are pad_row; positions are then those of the padded plane, since they must rise along the window.
    cdef int64_t a, b, z, i, count = 0
    cdef int64_t padded_rows = w.size[1] + 2 * w.padding[1], padded_pitch = w.size[2] + 2 * w.padding[2]
    cdef bint inside
    for a in range(w.kernel[0]):
        z = o0 * w.stride[0] - w.padding[0] + a
        for b in range(w.kernel[1]):
            i = o1 * w.stride[1] - w.padding[1] + b
            inside = 0 <= z < w.size[0] and 0 <= i < w.size[1]
            if inside:
                rows[count] = x + (z * w.size[1] + i) * w.size[2]
            elif pad_row != NULL:
                rows[count] = pad_row
            else:
                continue
            if pad_row != NULL:
                start[count] = ((z + w.padding[0]) * padded_rows + i + w.padding[1]) * padded_pitch + w.padding[2]
            else:
                start[count] = (z * w.size[1] + i) * w.size[2]
            count += 1
    return count


cdef inline double row_cost(const Windows* w, double per_tap) noexcept nogil:
    # Nanoseconds of one plane: its cells once, and `per_tap` for each row and column of every window.
    return 0.1 * volume(w.size) + per_tap * volume(w.out) * (w.kernel[0] * w.kernel[1] + w.kernel[2])
