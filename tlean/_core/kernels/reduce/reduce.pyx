# cython: language_level=3
"""Kernels that sum: over any axes, and running sums.

An array is seen as alternating runs of kept and reduced axes. The innermost reduced run is summed first, as rows where nothing kept
follows it and as columns otherwise; that leaves a smaller array with one reduced run less. A long run is cut into segments whose sums are
summed in turn. Segments, panels and the order of additions depend on the sizes alone.
"""
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from tlean._core.kernel cimport (
    TL_NO_MEMORY, TL_OK, TL_SLOT_REDUCE_AXIS_A, TL_SLOT_REDUCE_AXIS_B, TL_SLOT_REDUCE_PASS_A, TL_SLOT_REDUCE_PASS_B,
)
from tlean._core.simd.real cimport least, most, real
from tlean._core.threads.threads cimport chunk_fn, parallel_for, scratch

# Pointers are to one float type.
cdef extern from "kernels/reduce/sums.h" nogil:
    void tl_row_sums(void* sum, const void* x, int64_t rows, int64_t n)
    void tl_panel_sum(void* total, void* part, const void* x, int64_t rows, int64_t stride, int64_t w)
    void tl_add_rows(void* total, void* part, const void* x, int64_t before, int64_t rows, int64_t w, int last)

cdef extern from "kernels/reduce/sums_blocked.h" nogil:
    enum:
        TL_LANES_f32
    void tl_row_sums_blocked(float* sum, const float* x, int64_t n)

cdef enum:
    SEGMENT = 32768        # elements of one segment, and of one chunk
    PANEL = 1024           # columns summed together
    NARROW = 128           # columns are widened to this by summing several rows side by side

cdef double NS_PER_BYTE = 0.05


cdef inline void divide(real* x, int64_t n, real by) noexcept nogil:
    cdef int64_t i
    if by != 1:
        for i in range(n):
            x[i] /= by


# One pass: (outer, length, width) -> (outer, segments, width), each segment summed -----------------------------------------

cdef struct Pass:
    const void* src
    void* dst
    int64_t outer
    int64_t length
    int64_t width
    int64_t segment            # entries of `length` in one segment
    int64_t segments
    int64_t panels             # pieces of `width`
    int64_t units              # outer × segments × panels
    int64_t units_per_chunk
    double divisor


cdef inline void sum_columns(real* total, const real* x, int64_t rows, int64_t stride, int64_t w) noexcept nogil:
    # total[j] = Σ_r x[r·stride + j].
    cdef real side[2 * NARROW]
    cdef real part[PANEL]
    cdef int64_t beside = 1, wide, j
    if stride == w:
        while beside * w < NARROW and rows >= 16 * beside:
            beside *= 2
    if beside == 1:
        tl_panel_sum(total, &part[0], x, rows, stride, w)
        return
    # `beside` neighbouring rows make one wide row; the sums of the wide rows are folded in half until one row is left.
    wide = beside * w
    tl_panel_sum(&side[0], &part[0], x, rows // beside, wide, wide)
    x += rows // beside * wide
    for j in range(rows % beside * w):
        side[j] += x[j]
    while beside > 1:
        beside //= 2
        for j in range(beside * w):
            side[j] += side[beside * w + j]
    for j in range(w):
        total[j] = side[j]


cdef void pass_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Pass* p = <Pass*>context
    cdef real* dst = <real*>p.dst
    cdef const real* src = <const real*>p.src
    cdef int64_t unit = chunk * p.units_per_chunk, stop = least(unit + p.units_per_chunk, p.units), rest, first, n, at, column, w
    if p.width == 1 and p.segments == 1:
        tl_row_sums(dst + unit, src + unit * p.length, stop - unit, p.length)
        divide(dst + unit, stop - unit, <real>p.divisor)
        return
    for unit in range(unit, stop):
        column = unit % p.panels * PANEL
        rest = unit // p.panels
        first = rest % p.segments * p.segment
        n = least(p.segment, p.length - first)
        at = (rest // p.segments * p.length + first) * p.width + column
        if p.width == 1:
            tl_row_sums(dst + rest, src + at, 1, n)
        else:
            w = least(PANEL, p.width - column)
            sum_columns(dst + rest * p.width + column, src + at, n, p.width, w)
            divide(dst + rest * p.width + column, w, <real>p.divisor)


cdef int sum_run(real* dst, const void* src, int64_t outer, int64_t length, int64_t width, double divisor) noexcept nogil:
    # (outer, length, width) -> (outer, width), by as many passes as segments of segments need.
    cdef Pass p
    cdef int slot = TL_SLOT_REDUCE_PASS_A
    p.src = src
    p.outer = outer
    p.length = length
    p.width = width
    p.panels = (width + PANEL - 1) // PANEL
    p.segment = most(SEGMENT // least(width, PANEL) & ~63, 64)
    while True:
        p.segments = (p.length + p.segment - 1) // p.segment
        p.units = outer * p.segments * p.panels
        p.units_per_chunk = most(SEGMENT // (least(p.segment, p.length) * least(width, PANEL)), 1)
        if p.segments == 1:
            p.dst = dst
            p.divisor = divisor
        else:
            p.dst = scratch(slot, outer * p.segments * width * sizeof(real))
            if p.dst == NULL:
                return TL_NO_MEMORY
            p.divisor = 1
        parallel_for(<chunk_fn>pass_chunk[real], &p, (p.units + p.units_per_chunk - 1) // p.units_per_chunk,
                     outer * p.length * width * sizeof(real) * NS_PER_BYTE)
        if p.segments == 1:
            return TL_OK
        p.src = p.dst
        p.length = p.segments
        slot = TL_SLOT_REDUCE_PASS_A + TL_SLOT_REDUCE_PASS_B - slot


# reduce_sum -----------------------------------------------------------------------------------------------------------------
# ints: (runs, whether the first is reduced, sizes…), kept and reduced runs alternating; floats: (divisor,).

cdef int reduce_sum(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef int64_t runs = ints[0], first = 1 - ints[1], k, kept = 1, reduced = 1, outer, width = 1
    cdef const int64_t* size = ints + 2
    cdef const void* src = inp[0]
    cdef real* dst
    cdef int slot = TL_SLOT_REDUCE_AXIS_A, code
    for k in range(runs):
        if k % 2 == first:
            reduced *= size[k]
        else:
            kept *= size[k]
    if kept == 0:
        return TL_OK
    if reduced == 0:
        memset(out[0], 0, kept * sizeof(real))
        return TL_OK
    k = runs - 1
    if k >= 0 and k % 2 != first:
        width = size[k]
        k -= 1
    if k < 0:
        # Every reduced axis has size 1.
        memcpy(out[0], src, kept * sizeof(real))
        return TL_OK
    outer = kept * reduced // width
    while True:
        outer //= size[k]
        if k < 2:
            return sum_run(out[0], src, outer, size[k], width, floats[0])
        dst = <real*>scratch(slot, outer * width * sizeof(real))
        if dst == NULL:
            return TL_NO_MEMORY
        code = sum_run(dst, src, outer, size[k], width, 1)
        if code != TL_OK:
            return code
        src = dst
        outer //= size[k - 1]
        width *= size[k - 1]
        k -= 2
        slot = TL_SLOT_REDUCE_AXIS_A + TL_SLOT_REDUCE_AXIS_B - slot


# The sum over the rows of a segment that come one after another, wider than NARROW: with the last of them out[0] has what `sum_run` has of
# the segment. ints: (rows before, rows, width, whether they are the last); out[1] is room for a row.

cdef int add_rows(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    tl_add_rows(out[0], out[1], inp[0], ints[0], ints[1], ints[2], ints[3])
    return TL_OK


# The sum over images and positions of an array whose channels are in blocks, (N, C / lanes, P, lanes), with the bits of reduce_sum on
# (N, C, P); P is at most a segment. floats: (divisor,).

cdef enum:                      # its ints, as `blocked_params` gives them
    INT_IMAGES = 0
    INT_CHANNELS = 1
    INT_POSITIONS = 2


cdef struct Blocked:
    const float* src
    float* dst
    int64_t length


cdef void blocked_chunk(void* context, Py_ssize_t chunk) noexcept nogil:
    cdef Blocked* b = <Blocked*>context
    tl_row_sums_blocked(b.dst + chunk * TL_LANES_f32, b.src + chunk * b.length * TL_LANES_f32, b.length)


cdef int reduce_sum_blocked(void** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef int64_t images = ints[INT_IMAGES], channels = ints[INT_CHANNELS]
    cdef Blocked b
    b.src, b.dst, b.length = <const float*>inp[0], <float*>out[0], ints[INT_POSITIONS]
    if images > 1:
        b.dst = <float*>scratch(TL_SLOT_REDUCE_AXIS_A, images * channels * 4)
        if b.dst == NULL:
            return TL_NO_MEMORY
    parallel_for(blocked_chunk, &b, images * channels // TL_LANES_f32, images * channels * b.length * 4 * NS_PER_BYTE)
    if images > 1:
        return sum_run(<float*>out[0], b.dst, 1, images, channels, floats[0])
    divide(b.dst, channels, <float>floats[0])
    return TL_OK


def blocked_params(ints):
    """(images, channels, positions): the ints for an array in blocks, given those of `reduce_sum`; None where there is no such sum."""
    runs, first, *sizes = ints
    if (runs, first) not in ((3, 1), (2, 0)):
        return None
    # Of one image there is no run of images.
    *images, channels, positions = sizes
    return (*(images or (1,)), channels, positions) if channels % TL_LANES_f32 == 0 and positions <= SEGMENT else None


# cumsum ---------------------------------------------------------------------------------------------------------------------
# ints: (outer, length, width, reverse): along the middle of (outer, length, width), from the end where reverse is 1. The running sum is
# kept in double precision.

cdef struct Running:
    const void* src
    void* dst
    int64_t length
    int64_t width
    bint reverse
    int64_t panels
    int64_t units
    int64_t units_per_chunk


cdef inline void running_row(real* y, const real* x, int64_t n, int64_t step) noexcept nogil:
    cdef double total = 0
    cdef int64_t i
    for i in range(n):
        total += x[i * step]
        y[i * step] = <real>total


# Four rows of n numbers side by side: a row alone waits for each of its additions.
cdef inline void running_four(real* y, const real* x, int64_t n, int64_t step) noexcept nogil:
    cdef double a = 0, b = 0, c = 0, d = 0
    cdef int64_t _
    for _ in range(n):
        a += x[0]
        b += x[n]
        c += x[2 * n]
        d += x[3 * n]
        y[0] = <real>a
        y[n] = <real>b
        y[2 * n] = <real>c
        y[3 * n] = <real>d
        x += step
        y += step


cdef inline void running_panel(real* y, const real* x, int64_t n, int64_t step, int64_t w) noexcept nogil:
    cdef double total[PANEL]
    cdef int64_t _, j
    for j in range(w):
        total[j] = 0
    for _ in range(n):
        for j in range(w):
            total[j] += x[j]
            y[j] = <real>total[j]
        x += step
        y += step


cdef void running_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Running* c = <Running*>context
    cdef real* dst = <real*>c.dst
    cdef const real* src = <const real*>c.src
    cdef int64_t unit = chunk * c.units_per_chunk, end = least(unit + c.units_per_chunk, c.units)
    cdef int64_t at, column, step = -c.width if c.reverse else c.width
    while c.width == 1 and unit + 4 <= end:
        at = unit * c.length + (c.length - 1 if c.reverse else 0)
        running_four(dst + at, src + at, c.length, step)
        unit += 4
    for unit in range(unit, end):
        column = unit % c.panels * PANEL
        at = unit // c.panels * c.length * c.width + column
        if c.reverse:
            at += (c.length - 1) * c.width
        if c.width == 1:
            running_row(dst + at, src + at, c.length, step)
        else:
            running_panel(dst + at, src + at, c.length, step, least(PANEL, c.width - column))


cdef int cumsum(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Running c
    cdef int64_t total = ints[0] * ints[1] * ints[2]
    if total == 0:
        return TL_OK
    c.src = inp[0]
    c.dst = out[0]
    c.length = ints[1]
    c.width = ints[2]
    c.reverse = ints[3]
    c.panels = (c.width + PANEL - 1) // PANEL
    c.units = ints[0] * c.panels
    c.units_per_chunk = most(SEGMENT // (c.length * least(c.width, PANEL)), 1)
    parallel_for(<chunk_fn>running_chunk[real], &c, (c.units + c.units_per_chunk - 1) // c.units_per_chunk, total * 0.7)
    return TL_OK


KERNELS = {
    "reduce_sum:f32": <size_t>&reduce_sum[float], "reduce_sum:f64": <size_t>&reduce_sum[double],
    "reduce_sum_blocked:f32": <size_t>&reduce_sum_blocked,
    "add_rows:f32": <size_t>&add_rows[float], "add_rows:f64": <size_t>&add_rows[double],
    "cumsum:f32": <size_t>&cumsum[float], "cumsum:f64": <size_t>&cumsum[double],
}
# Elements that are summed in one piece when a whole array is: what a fused chain sums in a piece, too.
SEGMENT_LENGTH = SEGMENT
# Rows narrower than this are summed in another order.
NARROW_ROWS = NARROW


def segment_rows(width):
    """The rows of a segment of an array with rows of that width."""
    return most(SEGMENT // least(<int64_t>width, <int64_t>PANEL) & ~63, 64)
