"""Several rows at once, in two ways.

Side by side, `lanes_…`: up to LANES of them, vectorised across the rows. The way for short rows, and along an axis that is not the last.
Row j of a group is column j of a matrix with `along` elements from one line to the next; `width` columns are there.

One below the other, `rows_…`: `count` ≤ LANES contiguous rows, each vectorised along itself. A step is taken for every row before the next
step is, because the steps of one row (maximum, sum, logarithm) wait for each other and those of different rows do not.
"""
from libc.math cimport INFINITY

from tlean._core.simd.rows cimport exp_lanes, exp_row, exp_shifted, real, row_max, row_sum

cdef enum:
    LANES = 64          # rows side by side
    SHORT = 32          # the longest row that is worth a transposed copy
    BATCH = 4096        # elements of the rows that are worked on together; they stay in the first cache
    FEW = 2048          # the same where a kernel has three such arrays, or what it reads and writes has to come from far away meanwhile
    PIECE = 256         # elements whose exponentials are kept at a time where only their sum is wanted


# (width, n) -> (n, LANES)
cdef inline void to_lanes(real* t, const real* x, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t i, j
    for j in range(width):
        for i in range(n):
            t[i * LANES + j] = x[j * n + i]


# (n, LANES) -> (width, n)
cdef inline void from_lanes(real* x, const real* t, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t i, j
    for j in range(width):
        for i in range(n):
            x[j * n + i] = t[i * LANES + j]


# The greatest number of each row; −inf if there is none.
cdef inline void lanes_max(real* top, const real* x, Py_ssize_t along, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t i, j
    for j in range(width):
        top[j] = -INFINITY
    for i in range(n):
        for j in range(width):
            top[j] = x[i * along + j] if x[i * along + j] > top[j] else top[j]


# Σ e^(x − shift) of each row, for a shift that is at least its maximum.
cdef inline void lanes_exp_sum(
    double* total, const real* x, const real* shift, Py_ssize_t along, Py_ssize_t n, Py_ssize_t width
) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef real line[LANES]
    for j in range(width):
        total[j] = 0.0
    for i in range(n):
        if real is float:
            for j in range(width):
                total[j] += <double>exp_shifted(x[i * along + j] - shift[j])
        else:
            exp_lanes(&line[0], x + i * along, shift, width)
            for j in range(width):
                total[j] += line[j]


# Σ xᵢ yᵢ of each row.
cdef inline void lanes_dot(double* total, const real* x, const real* y, Py_ssize_t along, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t i, j
    for j in range(width):
        total[j] = 0.0
    for i in range(n):
        for j in range(width):
            total[j] += <double>(x[i * along + j] * y[i * along + j])


# Σ xᵢ of each row.
cdef inline void lanes_sum(double* total, const real* x, Py_ssize_t along, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t i, j
    for j in range(width):
        total[j] = 0.0
    for i in range(n):
        for j in range(width):
            total[j] += <double>x[i * along + j]


# Σ e^(x − shift) of one contiguous row, for a shift that is at least its maximum.
cdef inline double row_exp_sum(const real* x, real shift, Py_ssize_t n) noexcept nogil:
    cdef real piece[PIECE]
    cdef double total = 0.0
    cdef Py_ssize_t start = 0, count
    while start < n:
        count = min(n - start, <Py_ssize_t>PIECE)
        exp_row(&piece[0], x + start, shift, count)
        total += row_sum(<const real*>&piece[0], count)
        start += PIECE
    return total


# How many long rows are worked on together.
cdef inline Py_ssize_t rows_together(Py_ssize_t n, Py_ssize_t elements) noexcept nogil:
    return min(<Py_ssize_t>16, max(<Py_ssize_t>1, elements // n))


cdef inline void rows_max(real* top, const real* x, Py_ssize_t n, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(count):
        top[r] = row_max(x + r * n, n)


# Σ e^(x − shift) of each row, for a shift that is at least its maximum.
cdef inline void rows_exp_sum(double* total, const real* x, const real* shift, Py_ssize_t n, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(count):
        total[r] = row_exp_sum(x + r * n, shift[r], n)
