# cython: language_level=3
"""Kernels with an entry for each element of an axis that is made of those before it: products, linear recurrences, maxima, logarithms of
sums of exponentials. `cumsum` is in reduce.pyx.

An array is (outer, length, width) with the axis in the middle. Panels of columns are walked side by side; totals are in double precision.
"""
from libc.math cimport INFINITY, fabs
from libc.stdint cimport int32_t, int64_t

from tlean._core.kernel cimport TL_OK
from tlean._core.simd.real cimport least, most, real
from tlean._core.threads.threads cimport chunk_fn, parallel_for

cdef extern from "simd/vmath.h" nogil:
    double tl_exp(double x)
    double tl_log(double x)

cdef extern from "kernels/reduce/products.h" nogil:
    enum:
        TL_LANES_f32
        TL_LANES_f64
    void tl_running_products_f32(float* y, const float* x, int64_t n, bint reverse, bint exclusive)
    void tl_running_products_f64(double* y, const double* x, int64_t n, bint reverse, bint exclusive)

cdef enum:
    SEGMENT = 32768        # elements of one chunk
    PANEL = 512            # columns walked together

# Whatever can be compared.
ctypedef unsigned char uchar

ctypedef fused value:
    float
    double
    int32_t
    int64_t
    uchar


cdef struct Lines:
    const void* a
    const void* b
    void* y
    int64_t* index
    int64_t length
    int64_t width
    int64_t reverse
    int64_t option             # of a product whether it is exclusive, of a recurrence whether it lags
    int64_t panels
    int64_t units
    int64_t units_per_chunk


cdef struct Panel:
    int64_t at                 # of the first entry of the first column
    int64_t step               # from one entry to the next
    int64_t w


cdef inline Panel panel_of(Lines* c, int64_t unit) noexcept nogil:
    cdef Panel p
    cdef int64_t column = unit % c.panels * PANEL
    p.at = unit // c.panels * c.length * c.width + column + ((c.length - 1) * c.width if c.reverse else 0)
    p.step = -c.width if c.reverse else c.width
    p.w = least(PANEL, c.width - column)
    return p


cdef int run_lines(Lines* c, chunk_fn chunk, const int64_t* ints, double ns) noexcept nogil:
    # ints: (outer, length, width, reverse, option).
    cdef int64_t total = ints[0] * ints[1] * ints[2]
    if total == 0:
        return TL_OK
    c.length = ints[1]
    c.width = ints[2]
    c.reverse = ints[3]
    c.option = ints[4]
    c.panels = (c.width + PANEL - 1) // PANEL
    c.units = ints[0] * c.panels
    c.units_per_chunk = most(SEGMENT // (c.length * least(c.width, PANEL)), 1)
    parallel_for(chunk, c, (c.units + c.units_per_chunk - 1) // c.units_per_chunk, total * ns)
    return TL_OK


# running_product: y[j] = x[0]·…·x[j], or without x[j] where it is exclusive -------------------------------------------------

cdef inline void product_rows(Lines* c, const real* x, real* y, int64_t between, int rows) noexcept nogil:
    # Rows side by side, `between` elements from one to the next: a row alone waits for each of its multiplications.
    cdef double total[4]
    cdef double next
    cdef int64_t step = -1 if c.reverse else 1, at = c.length - 1 if c.reverse else 0, _
    cdef int j
    for j in range(rows):
        total[j] = 1
    for _ in range(c.length):
        for j in range(rows):
            next = total[j] * x[at + j * between]
            y[at + j * between] = <real>(total[j] if c.option else next)
            total[j] = next
        at += step


cdef void product_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Lines* c = <Lines*>context
    cdef double total[PANEL]
    cdef int64_t unit = chunk * c.units_per_chunk, end = least((chunk + 1) * c.units_per_chunk, c.units), _, j
    cdef const real* x = <const real*>c.a
    cdef real* y = <real*>c.y
    cdef Panel p
    if c.width == 1:
        if real is float:
            while unit + TL_LANES_f32 <= end:
                tl_running_products_f32(y + unit * c.length, x + unit * c.length, c.length, c.reverse, c.option)
                unit += TL_LANES_f32
        else:
            while unit + TL_LANES_f64 <= end:
                tl_running_products_f64(y + unit * c.length, x + unit * c.length, c.length, c.reverse, c.option)
                unit += TL_LANES_f64
        while unit + 4 <= end:
            product_rows(c, x + unit * c.length, y + unit * c.length, c.length, 4)
            unit += 4
        for unit in range(unit, end):
            product_rows(c, x + unit * c.length, y + unit * c.length, c.length, 1)
        return
    for unit in range(unit, end):
        p = panel_of(c, unit)
        x = <const real*>c.a + p.at
        y = <real*>c.y + p.at
        for j in range(p.w):
            total[j] = 1
        for _ in range(c.length):
            if c.option:
                for j in range(p.w):
                    y[j] = <real>total[j]
                    total[j] *= x[j]
            else:
                for j in range(p.w):
                    total[j] *= x[j]
                    y[j] = <real>total[j]
            x += p.step
            y += p.step


cdef int running_product(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Lines c
    c.a, c.b, c.y, c.index = inp[0], NULL, out[0], NULL
    return run_lines(&c, <chunk_fn>product_chunk[real], ints, 0.8)


# recurrence: y[j] = b[j] + a[j]·y[j − 1], with a[j − 1] in place of a[j] where it lags --------------------------------------

cdef void recurrence_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Lines* c = <Lines*>context
    cdef double total[PANEL]
    cdef int64_t unit, _, j
    cdef const real* a
    cdef const real* b
    cdef real* y
    cdef Panel p
    for unit in range(chunk * c.units_per_chunk, least((chunk + 1) * c.units_per_chunk, c.units)):
        p = panel_of(c, unit)
        a = <const real*>c.a + p.at + (0 if c.option else p.step)
        b = <const real*>c.b + p.at
        y = <real*>c.y + p.at
        for j in range(p.w):
            total[j] = b[j]
            y[j] = b[j]
        for _ in range(1, c.length):
            b += p.step
            y += p.step
            for j in range(p.w):
                total[j] = b[j] + a[j] * total[j]
                y[j] = <real>total[j]
            a += p.step


cdef int recurrence(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Lines c
    c.a, c.b, c.y, c.index = inp[0], inp[1], out[0], NULL
    return run_lines(&c, <chunk_fn>recurrence_chunk[real], ints, 1.0)


# cummax: the greatest so far and its place in the whole array, of equal ones the first, and a NaN before all; either may be NULL -----

cdef inline bint is_nan(value v) noexcept nogil:
    if value is float or value is double:
        return v != v
    else:
        return False


cdef void maximum_chunk(value* context, Py_ssize_t chunk) noexcept nogil:
    cdef Lines* c = <Lines*>context
    cdef value top[PANEL]
    cdef int64_t place[PANEL]
    cdef int64_t unit, _, j, at
    cdef value v, t
    cdef bint more
    cdef Panel p
    for unit in range(chunk * c.units_per_chunk, least((chunk + 1) * c.units_per_chunk, c.units)):
        p = panel_of(c, unit)
        at = p.at
        for j in range(p.w):
            top[j] = (<const value*>c.a)[at + j]
            place[j] = at + j
        for _ in range(c.length):
            for j in range(p.w):
                v = (<const value*>c.a)[at + j]
                t = top[j]
                more = (v > t) | (is_nan(v) & (not is_nan(t)))
                top[j] = v if more else t
                place[j] = at + j if more else place[j]
            if c.y != NULL:
                for j in range(p.w):
                    (<value*>c.y)[at + j] = top[j]
            if c.index != NULL:
                for j in range(p.w):
                    c.index[at + j] = place[j]
            at += p.step


cdef int cummax(value** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Lines c
    c.a, c.b, c.y, c.index = inp[0], NULL, out[0], <int64_t*>out[1]
    return run_lines(&c, <chunk_fn>maximum_chunk[value], ints, 1.5)


cdef int cummax_index(value** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Lines c
    c.a, c.b, c.y, c.index = inp[0], NULL, NULL, <int64_t*>out[0]
    return run_lines(&c, <chunk_fn>maximum_chunk[value], ints, 1.5)


# cumlogsumexp: y[j] = log(e^x[0] + … + e^x[j]), kept as the greatest x and the sum of e^(x − the greatest) ------------------

cdef void logsumexp_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Lines* c = <Lines*>context
    cdef double top[PANEL]
    cdef double total[PANEL]
    cdef int64_t unit, _, j
    cdef double v, e
    cdef const real* x
    cdef real* y
    cdef Panel p
    for unit in range(chunk * c.units_per_chunk, least((chunk + 1) * c.units_per_chunk, c.units)):
        p = panel_of(c, unit)
        x = <const real*>c.a + p.at
        y = <real*>c.y + p.at
        for j in range(p.w):
            top[j] = -INFINITY
            total[j] = 0
        for _ in range(c.length):
            for j in range(p.w):
                v = x[j]
                # Infinities that are equal differ by nothing.
                e = tl_exp(-fabs(v - top[j])) if v != top[j] else 1
                total[j] = total[j] * e + 1 if v > top[j] else total[j] + e
                top[j] = v if v > top[j] else top[j]
                y[j] = <real>(top[j] + tl_log(total[j]))
            x += p.step
            y += p.step


cdef int cumlogsumexp(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Lines c
    c.a, c.b, c.y, c.index = inp[0], NULL, out[0], NULL
    return run_lines(&c, <chunk_fn>logsumexp_chunk[real], ints, 15.0)


KERNELS = {
    "running_product:f32": <size_t>&running_product[float], "running_product:f64": <size_t>&running_product[double],
    "recurrence:f32": <size_t>&recurrence[float], "recurrence:f64": <size_t>&recurrence[double],
    "cummax:f32": <size_t>&cummax[float], "cummax:f64": <size_t>&cummax[double], "cummax:i32": <size_t>&cummax[int32_t],
    "cummax:i64": <size_t>&cummax[int64_t], "cummax:b8": <size_t>&cummax[uchar],
    "cummax_index:f32": <size_t>&cummax_index[float], "cummax_index:f64": <size_t>&cummax_index[double],
    "cummax_index:i32": <size_t>&cummax_index[int32_t], "cummax_index:i64": <size_t>&cummax_index[int64_t],
    "cummax_index:b8": <size_t>&cummax_index[uchar],
    "cumlogsumexp:f32": <size_t>&cumlogsumexp[float], "cumlogsumexp:f64": <size_t>&cumlogsumexp[double],
}
