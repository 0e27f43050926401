# cython: language_level=3
"""Kernels that sum: over any axes, and running sums; and products, variances and norms in the same order.

An array is seen as alternating runs of kept and reduced axes. The innermost reduced run is summed first, as rows where nothing kept
follows it and as columns otherwise; that leaves a smaller array with one reduced run less. A long run is cut into segments whose sums are
summed in turn. Segments, panels and the order of additions depend on the sizes alone.
"""
from libc.math cimport sqrt
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from tlean._core.kernel cimport (
    TL_NO_MEMORY, TL_OK, TL_SLOT_REDUCE_AXIS_A, TL_SLOT_REDUCE_AXIS_B, TL_SLOT_REDUCE_PASS_A, TL_SLOT_REDUCE_PASS_B, TL_SLOT_REDUCE_VALUES,
)
from tlean._core.simd.real cimport least, most, real
from tlean._core.threads.threads cimport chunk_fn, parallel_for, scratch

# Pointers are to one float type. m[r] is the mean of row r or of column r: only deviations read it.
cdef extern from "kernels/reduce/sums.h" nogil:
    void tl_row_sums(void* sum, const void* x, const void* m, int64_t rows, int64_t n)
    void tl_row_squares(void* sum, const void* x, const void* m, int64_t rows, int64_t n)
    void tl_row_deviations(void* sum, const void* x, const void* m, int64_t rows, int64_t n)
    void tl_row_products(void* sum, const void* x, const void* m, int64_t rows, int64_t n)
    void tl_column_sums(void* sum, const void* x, const void* m, int64_t rows, int64_t stride, int64_t w)
    void tl_column_squares(void* sum, const void* x, const void* m, int64_t rows, int64_t stride, int64_t w)
    void tl_column_deviations(void* sum, const void* x, const void* m, int64_t rows, int64_t stride, int64_t w)
    void tl_column_products(void* sum, const void* x, const void* m, int64_t rows, int64_t stride, int64_t w)
    enum:
        TL_BLOCK_BYTES
    void tl_sum_part(void* total, void* state, const void* x, int64_t n, int first, int last)
    void tl_add_rows(void* total, void* part, const void* x, int64_t before, int64_t rows, int64_t w, int last)

cdef extern from "kernels/reduce/sums_blocked.h" nogil:
    enum:
        TL_LANES_f32
    void tl_row_sums_blocked(float* sum, const float* x, int64_t n)

cdef enum:
    SEGMENT = 32768        # elements of one segment, and of one chunk
    PANEL = 1024           # columns summed together, as sums.h has it
    NARROW = 128           # columns are widened to this, as sums.h has it

# What is made of the elements: their sum, that of their squares, of their squared distances from their mean, or their product.
cdef enum Kind:
    SUM
    SQUARES
    DEVIATIONS
    PRODUCT

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
    Kind kind
    const void* means          # of the kept elements, where deviations are summed
    int64_t runs               # those before `length`, kept and reduced ones in turn, the last one kept
    const int64_t* sizes


cdef inline void reduce_rows(Pass* p, real* dst, const real* src, const real* m, int64_t rows, int64_t n) noexcept nogil:
    if p.kind == SUM:
        tl_row_sums(dst, src, m, rows, n)
    elif p.kind == SQUARES:
        tl_row_squares(dst, src, m, rows, n)
    elif p.kind == DEVIATIONS:
        tl_row_deviations(dst, src, m, rows, n)
    else:
        tl_row_products(dst, src, m, rows, n)


cdef inline void reduce_columns(Pass* p, real* dst, const real* src, const real* m, int64_t rows, int64_t w) noexcept nogil:
    if p.kind == SUM:
        tl_column_sums(dst, src, m, rows, p.width, w)
    elif p.kind == SQUARES:
        tl_column_squares(dst, src, m, rows, p.width, w)
    elif p.kind == DEVIATIONS:
        tl_column_deviations(dst, src, m, rows, p.width, w)
    else:
        tl_column_products(dst, src, m, rows, p.width, w)


cdef inline int64_t kept_at(Pass* p, int64_t outer) noexcept nogil:
    # The place among the kept elements of a place among those of the outer runs, kept and reduced ones.
    cdef int64_t k, place = 0, step = 1
    for k in range(p.runs - 1, -1, -1):
        if (p.runs - 1 - k) % 2 == 0:
            place += outer % p.sizes[k] * step
            step *= p.sizes[k]
        outer //= p.sizes[k]
    return place


cdef void pass_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Pass* p = <Pass*>context
    cdef real* dst = <real*>p.dst
    cdef const real* src = <const real*>p.src
    cdef const real* m = <const real*>p.means
    cdef int64_t unit = chunk * p.units_per_chunk, stop = least(unit + p.units_per_chunk, p.units), rest, first, n, at, column, w
    if p.width == 1 and p.segments == 1 and (m == NULL or p.runs < 2):
        reduce_rows(p, dst + unit, src + unit * p.length, m + unit if m != NULL else NULL, stop - unit, p.length)
        divide(dst + unit, stop - unit, <real>p.divisor)
        return
    for unit in range(unit, stop):
        column = unit % p.panels * PANEL
        rest = unit // p.panels
        first = rest % p.segments * p.segment
        n = least(p.segment, p.length - first)
        at = (rest // p.segments * p.length + first) * p.width + column
        if p.means != NULL:
            m = <const real*>p.means + kept_at(p, rest // p.segments) * p.width + column
        if p.width == 1:
            reduce_rows(p, dst + rest, src + at, m, 1, n)
            divide(dst + rest, 1, <real>p.divisor)
        else:
            w = least(PANEL, p.width - column)
            reduce_columns(p, dst + rest * p.width + column, src + at, m, n, w)
            divide(dst + rest * p.width + column, w, <real>p.divisor)


cdef int run_passes(Pass* p, real* dst, int64_t outer, double divisor) noexcept nogil:
    # (outer, length, width) -> (outer, width), by as many passes as segments of segments need.
    cdef int slot = TL_SLOT_REDUCE_PASS_A
    p.outer = outer
    p.panels = (p.width + PANEL - 1) // PANEL
    p.segment = most(SEGMENT // least(p.width, PANEL) & ~63, 64)
    while True:
        p.segments = (p.length + p.segment - 1) // p.segment
        p.units = outer * p.segments * p.panels
        p.units_per_chunk = most(SEGMENT // (least(p.segment, p.length) * least(p.width, PANEL)), 1)
        if p.segments == 1:
            p.dst = dst
            p.divisor = divisor
        else:
            p.dst = scratch(slot, outer * p.segments * p.width * sizeof(real))
            if p.dst == NULL:
                return TL_NO_MEMORY
            p.divisor = 1
        parallel_for(<chunk_fn>pass_chunk[real], p, (p.units + p.units_per_chunk - 1) // p.units_per_chunk,
                     outer * p.length * p.width * sizeof(real) * NS_PER_BYTE)
        if p.segments == 1:
            return TL_OK
        p.src = p.dst
        p.length = p.segments
        # What is left are parts.
        p.kind = PRODUCT if p.kind == PRODUCT else SUM
        p.means = NULL
        slot = TL_SLOT_REDUCE_PASS_A + TL_SLOT_REDUCE_PASS_B - slot


cdef int reduce_runs(real* out, const void* src, const int64_t* ints, double divisor, Kind kind, const real* means) noexcept nogil:
    # ints: (runs, whether the first is reduced, sizes…), kept and reduced runs alternating. `means` has one for each kept element.
    cdef int64_t runs = ints[0], first = 1 - ints[1], k, i, kept = 1, reduced = 1, outer, width = 1
    cdef const int64_t* size = ints + 2
    cdef real* dst
    cdef Pass p
    cdef int slot = TL_SLOT_REDUCE_AXIS_A, code
    for k in range(runs):
        if k % 2 == first:
            reduced *= size[k]
        else:
            kept *= size[k]
    if kept == 0:
        return TL_OK
    if reduced == 0:
        for i in range(kept):
            out[i] = 1 if kind == PRODUCT else 0
        divide(out, kept, <real>divisor)
        return TL_OK
    k = runs - 1
    if k >= 0 and k % 2 != first:
        width = size[k]
        k -= 1
    p.src = src
    p.kind = kind
    p.means = means
    p.runs = 0
    p.sizes = size
    if k < 0:
        # Every reduced axis has size 1.
        if kind == SUM or kind == PRODUCT:
            memcpy(out, src, kept * sizeof(real))
            return TL_OK
        p.length = 1
        p.width = kept
        return run_passes(&p, out, 1, divisor)
    outer = kept * reduced // width
    while True:
        outer //= size[k]
        p.length = size[k]
        p.width = width
        p.runs = k
        if k < 2:
            return run_passes(&p, out, outer, divisor)
        dst = <real*>scratch(slot, outer * width * sizeof(real))
        if dst == NULL:
            return TL_NO_MEMORY
        code = run_passes(&p, dst, outer, 1)
        if code != TL_OK:
            return code
        p.src = dst
        p.kind = PRODUCT if kind == PRODUCT else SUM
        p.means = NULL
        outer //= size[k - 1]
        width *= size[k - 1]
        k -= 2
        slot = TL_SLOT_REDUCE_AXIS_A + TL_SLOT_REDUCE_AXIS_B - slot


# reduce_sum -----------------------------------------------------------------------------------------------------------------
# ints: (runs, whether the first is reduced, sizes…), kept and reduced runs alternating; floats: (divisor,).

cdef int reduce_sum(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return reduce_runs(out[0], inp[0], ints, floats[0], SUM, <const real*>NULL)


# Of few short rows; ints: (rows, elements of a row).
cdef int short_sums(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    tl_row_sums(out[0], <const real*>inp[0], <const real*>NULL, ints[0], ints[1])
    divide(out[0], ints[0], <real>floats[0])
    return TL_OK


# reduce_prod, norm (the root of the sum of squares): ints as for reduce_sum. reduce_var: floats: (elements reduced, what their squared
# distances from the mean are divided by).

cdef int reduce_prod(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return reduce_runs(out[0], inp[0], ints, 1, PRODUCT, <const real*>NULL)


cdef int64_t kept_size(const int64_t* ints) noexcept nogil:
    cdef int64_t k, n = 1
    for k in range(ints[0]):
        if k % 2 == ints[1]:
            n *= ints[2 + k]
    return n


cdef int norm(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef int code = reduce_runs(out[0], inp[0], ints, 1, SQUARES, <const real*>NULL)
    cdef real* y = out[0]
    cdef int64_t i
    for i in range(kept_size(ints)):
        y[i] = <real>sqrt(y[i])
    return code


cdef int reduce_var(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef real* means = <real*>scratch(TL_SLOT_REDUCE_VALUES, kept_size(ints) * sizeof(real))
    cdef int code
    if means == NULL:
        return TL_NO_MEMORY
    code = reduce_runs(means, inp[0], ints, floats[0], SUM, <const real*>NULL)
    return reduce_runs(out[0], inp[0], ints, floats[1], DEVIATIONS, <const real*>means) if code == TL_OK else code


cdef int row_deviations(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # The sum of the squared distances of each row from its number, the second input.
    return reduce_runs(out[0], inp[0], ints, floats[0], DEVIATIONS, <const real*>inp[1])


# The sum over the rows of a segment that come one after another, wider than NARROW: with the last of them out[0] has what `sum_run` has of
# the segment. ints: (rows before, rows, width, whether they are the last); out[1] is room for a row.

cdef int add_rows(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    tl_add_rows(out[0], out[1], inp[0], ints[0], ints[1], ints[2], ints[3])
    return TL_OK


# The sum of a segment that comes in parts of whole PART_BYTES, but for the last: with that out[0] has what `reduce_sum` has of the segment.
# ints: (elements of the part, whether it is the first, the last); out[1] is room for the state, PART_STATE bytes; floats: (divisor,).

cdef int sum_part(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    tl_sum_part(out[0], out[1], inp[0], ints[0], ints[1], ints[2])
    if ints[2]:
        divide(out[0], 1, <real>floats[0])
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
    cdef Pass p
    b.src, b.dst, b.length = <const float*>inp[0], <float*>out[0], ints[INT_POSITIONS]
    if images > 1:
        b.dst = <float*>scratch(TL_SLOT_REDUCE_AXIS_A, images * channels * 4)
        if b.dst == NULL:
            return TL_NO_MEMORY
    parallel_for(blocked_chunk, &b, images * channels // TL_LANES_f32, images * channels * b.length * 4 * NS_PER_BYTE)
    if images > 1:
        p.src, p.kind, p.means, p.runs, p.sizes = b.dst, SUM, NULL, 0, NULL
        p.length, p.width = images, channels
        return run_passes(&p, <float*>out[0], 1, floats[0])
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
    "reduce_prod:f32": <size_t>&reduce_prod[float], "reduce_prod:f64": <size_t>&reduce_prod[double],
    "row_deviations:f32": <size_t>&row_deviations[float], "row_deviations:f64": <size_t>&row_deviations[double],
    "reduce_var:f32": <size_t>&reduce_var[float], "reduce_var:f64": <size_t>&reduce_var[double],
    "norm:f32": <size_t>&norm[float], "norm:f64": <size_t>&norm[double],
    "reduce_sum_blocked:f32": <size_t>&reduce_sum_blocked,
    "sum_part:f32": <size_t>&sum_part[float], "sum_part:f64": <size_t>&sum_part[double],
    "add_rows:f32": <size_t>&add_rows[float], "add_rows:f64": <size_t>&add_rows[double],
    "cumsum:f32": <size_t>&cumsum[float], "cumsum:f64": <size_t>&cumsum[double],
}
# The form of `reduce_sum` for few short rows, or one.
SHORT_SUMS = {"f32": <size_t>&short_sums[float], "f64": <size_t>&short_sums[double]}
# Elements that are summed in one piece when a whole array is: what a fused chain sums in a piece, too.
SEGMENT_LENGTH = SEGMENT
# Bytes of a segment that may be summed by themselves, whole ones.
PART_BYTES = TL_BLOCK_BYTES
# Rows narrower than this are summed in another order.
NARROW_ROWS = NARROW


def segment_rows(width):
    """The rows of a segment of an array with rows of that width."""
    return most(SEGMENT // least(<int64_t>width, <int64_t>PANEL) & ~63, 64)
