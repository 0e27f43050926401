# cython: language_level=3
"""Cholesky and LU factors, triangular systems, and what is solved and read with them.

Matrices of up to SMALL rows are in the lanes of vectors, as many at once as a vector has (lanes.h). Larger ones, and those with many
right-hand sides, are cut in two again and again, so that nearly all work is products (blocks.pxi). Which way a call goes depends on the
sizes of one matrix alone; the matrices of a call share its threads.

The factors of A are a block of n (n + 1) words of 64 bits for each matrix, which only kernels of this module read: n x n numbers with L
below the diagonal and U on and above it, then for each row of L U the row of A that it was, as int32; zeros to the end.
"""
from libc.math cimport NAN, fabs, log
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from tlean._core.kernel cimport (
    TL_INDEFINITE, TL_NO_MEMORY, TL_OK, TL_SINGULAR, TL_SLOT_LINALG_A, TL_SLOT_LINALG_B, TL_SLOT_LINALG_FACTORS, TL_SLOT_LINALG_MATRIX,
    TL_SLOT_LINALG_PANEL, TL_SLOT_LINALG_SIDES,
)
from tlean._core.kernels.gemm.micro cimport (
    TL_LANES_f32, TL_LANES_f64, TL_MR, TL_NR_f32, TL_NR_f64, tl_even_panel, tl_micro, tl_pack_a, tl_pack_b,
)
from tlean._core.simd.real cimport least, most, real
from tlean._core.threads.threads cimport chunk_fn, parallel_for, scratch

# Pointers of one call are to one float type.
cdef extern from "kernels/linalg/lanes.h" nogil:
    void tl_lanes_load(void* buf, void** src, int64_t lanes, int64_t n)
    void tl_lanes_store(const void* buf, void** dst, int64_t lanes, int64_t n)
    int tl_lanes_cholesky(void* a, int64_t n, int64_t lanes)
    enum:
        TL_LANES_ROWS
        TL_ABREAST
    bint tl_lanes_lu(void* a, int32_t* perm, int64_t n)
    void tl_lanes_lu_tiny(void* a, int32_t* perm, int64_t n)
    void tl_abreast_lu(const void* type, void** a, int32_t** perm, int64_t step, int64_t count, int64_t n, int64_t pitch)
    void tl_lanes_det(const void* a, const int32_t* perm, void* y, int64_t n, bint sign)
    void tl_lanes_minors(const void* a, void* y, int64_t n)
    void tl_many_minors(const void* a, int64_t step, void* y, int64_t count, int64_t n)
    float tl_one_minors_f32(const float* a, int64_t n)
    double tl_one_minors_f64(const double* a, int64_t n)
    int tl_lanes_solve(const void* t, int64_t row, int64_t col, void* x, int64_t n, int64_t k, bint back, bint unit, int64_t lanes)
    bint tl_one_cholesky(void* a, int64_t n)
    void tl_one_lu(void* a, int32_t* perm, int64_t n)
    bint tl_one_solve(const void* t, int64_t row, int64_t col, void* x, int64_t n, int64_t k, bint back, bint unit)
    bint tl_rows_cholesky(void* a, int64_t ld, int64_t n)
    void tl_rows_lu(void* a, int64_t ld, int64_t m, int64_t w, int32_t* pivots)
    void tl_rows_solve(const void* t, int64_t row, int64_t col, void* x, int64_t ldx, int64_t n, int64_t k, bint back, bint unit)
    void tl_rows_minus(const void* a, int64_t row, int64_t col, const void* b, void* c, int64_t m, int64_t k)
    void tl_negate(void* x, int64_t n)

cdef enum:
    SMALL = 32             # rows of matrices in lanes, and right-hand sides there
    ONE = 4                # rows of a matrix that is done by itself, and right-hand sides
    FEW = 2                # as many matrices at most, or they are in lanes
    LANES = 16             # of the widest vector
    CHUNK_FLOPS = 100000   # of the matrices that one thread takes at once
    LEAF = 16              # rows of systems, columns of panels, that are done row by row
    CHOLESKY_LEAF = 32
    K_BLOCK = 256          # terms of a product at once
    N_BLOCK = 1024         # columns of a product at once

include "blocks.pxi"

cdef enum Kind:
    CHOLESKY, TRIANGULAR, FACTORS, SOLVE, READ

cdef enum Part:
    PACKED, SIGN, LOGARITHM, DETERMINANT, ROWS


# One call. Matrix i of an operand is at the sum of its steps along the axes of the batch.
cdef struct Call:
    Kind kind
    Part part
    const char* a
    const char* b
    const int64_t* words       # factors of a, or NULL
    char* y
    int64_t n
    int64_t k
    int64_t count
    int64_t axes
    const int64_t* size
    const int64_t* a_step
    const int64_t* b_step
    bint lower
    bint transpose
    bint unit
    int64_t per_chunk
    int status


cdef inline int64_t offset(const Call* c, const int64_t* steps, int64_t i) noexcept nogil:
    cdef int64_t axis, at = 0
    for axis in range(c.axes - 1, 0, -1):
        at += i % c.size[axis] * steps[axis]
        i //= c.size[axis]
    return at + i * steps[0] if c.axes else 0


cdef inline void swap_steps(bint transpose, int64_t n, int64_t* row, int64_t* col) noexcept nogil:
    row[0] = 1 if transpose else n
    col[0] = n if transpose else 1


include "small.pxi"
include "few.pxi"


# Large matrices -------------------------------------------------------------------------------------------------------------

cdef void fill_nan(real* y, int64_t n) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        y[i] = <real>NAN


cdef bint has_zero(const real* t, int64_t n) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        if t[i * (n + 1)] == 0:
            return True
    return False


cdef const real* factors_of(Call* c, int64_t i, real* room, int32_t** perm) noexcept nogil:
    # L and U of matrix i and its rows, in `room` (n x n numbers, 2 n int32) unless they are known. NULL: no memory.
    cdef int64_t n = c.n
    cdef int32_t* pivots
    cdef int64_t j
    if c.words != NULL:
        room = <real*>(c.words + offset(c, c.a_step, i) // (n * n) * n * (n + 1))
        perm[0] = <int32_t*>(room + n * n)
        return room
    memcpy(room, <real*>c.a + offset(c, c.a_step, i), n * n * sizeof(real))
    perm[0] = <int32_t*>(room + n * n)
    pivots = perm[0] + n
    if not lu(room, n, n, n, pivots):
        return NULL
    for j in range(n):
        perm[0][j] = <int32_t>j
    for j in range(n):
        perm[0][j], perm[0][pivots[j]] = perm[0][pivots[j]], perm[0][j]
    return room


cdef int solve_with_factors(Call* c, int64_t i, const real* f, const int32_t* perm, real* y) noexcept nogil:
    cdef int64_t j, n = c.n, k = c.k
    cdef const real* b = <const real*>c.b + offset(c, c.b_step, i)
    cdef real* x = y
    if has_zero(f, n):
        fill_nan(y, n * k)
        return TL_SINGULAR
    if not c.transpose:
        for j in range(n):
            memcpy(y + j * k, b + perm[j] * k, k * sizeof(real))
        if not solve(f, n, 1, y, k, n, k, False, True) or not solve(f, n, 1, y, k, n, k, True, False):
            return TL_NO_MEMORY
        return TL_OK
    x = <real*>scratch(TL_SLOT_LINALG_SIDES, n * k * sizeof(real))
    if x == NULL:
        return TL_NO_MEMORY
    memcpy(x, b, n * k * sizeof(real))
    if not solve(f, 1, n, x, k, n, k, False, False) or not solve(f, 1, n, x, k, n, k, True, True):
        return TL_NO_MEMORY
    for j in range(n):
        memcpy(y + perm[j] * k, x + j * k, k * sizeof(real))
    return TL_OK


cdef int cholesky_of(const real* a, real* y, int64_t n) noexcept nogil:
    cdef bint definite = True
    # The symmetric part, upper triangle; rows of the lower are read in tiles.
    half_sums(a, y, n)
    if not cholesky_upper(y, n, n, &definite):
        return TL_NO_MEMORY
    if not definite:
        fill_nan(y, n * n)
        return TL_INDEFINITE
    mirror(y, n)
    return TL_OK


cdef int large_run(Call* c, int64_t i, real* y) noexcept nogil:
    cdef int64_t row, col, n = c.n, k = c.k
    cdef const real* a = <const real*>c.a + offset(c, c.a_step, i)
    cdef const real* f
    cdef real* room = NULL
    cdef int32_t* perm = NULL
    if c.kind == CHOLESKY:
        return cholesky_of(a, y, n)
    if c.kind == TRIANGULAR:
        if not c.unit and has_zero(a, n):
            fill_nan(y, n * k)
            return TL_SINGULAR
        memcpy(y, <const real*>c.b + offset(c, c.b_step, i), n * k * sizeof(real))
        swap_steps(c.transpose, n, &row, &col)
        return TL_OK if solve(a, row, col, y, k, n, k, c.lower == c.transpose, c.unit) else TL_NO_MEMORY
    if c.words == NULL:
        room = <real*>scratch(TL_SLOT_LINALG_FACTORS, 8 * n * (n + 1))
        if room == NULL:
            return TL_NO_MEMORY
    f = factors_of(c, i, room, &perm)
    if f == NULL:
        return TL_NO_MEMORY
    if c.kind == SOLVE:
        return solve_with_factors(c, i, f, perm, y)
    if c.kind == FACTORS:
        memset(y, 0, 8 * n * (n + 1))
        memcpy(y, f, n * n * sizeof(real) + n * sizeof(int32_t))
    elif c.part == PACKED:
        memcpy(y, f, n * n * sizeof(real))
    elif c.part == ROWS:
        for row in range(n):
            (<int64_t*>y)[row] = perm[row]
    else:
        read_lane(c, <real*>f, perm, 1, y, c.part)
    return TL_OK


cdef void large_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Call* c = <Call*>context
    cdef int64_t each = result_bytes(context, c)
    cdef int status = large_run(c, chunk, <real*>(c.y + chunk * each))
    # No memory counts more than a matrix that is refused.
    if status != TL_OK and c.status != TL_NO_MEMORY:
        c.status = status


# Kernels --------------------------------------------------------------------------------------------------------------------
# ints: (matrices, n, k, lower, transpose, unit, part, axes, sizes…, steps of a…, steps of b…). Axes are those of the batch.

cdef int run(real* tag, Call* c, const int64_t* ints) noexcept nogil:
    cdef int64_t i, n = ints[1], k = ints[2], width = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef double flops = <double>n * n * (n / 3.0 + k) + 20.0
    c.count, c.n, c.k = ints[0], n, k
    c.lower, c.transpose, c.unit, c.part = ints[3], ints[4], ints[5], <Part>ints[6]
    c.axes = ints[7]
    c.size = ints + 8
    c.a_step = c.size + c.axes
    c.b_step = c.a_step + c.axes
    c.status = TL_OK
    if c.count == 0 or (n == 0 and (c.kind != READ or c.part in (PACKED, ROWS))) or (c.kind in (TRIANGULAR, SOLVE) and k == 0):
        return TL_OK
    if c.count <= FEW and n <= ONE and k <= ONE and c.words == NULL and c.kind != FACTORS:
        if c.kind != READ or c.part not in (PACKED, ROWS):
            return few_run(tag, c)
    if n <= SMALL and k <= SMALL:
        c.per_chunk = width * most(<int64_t>(CHUNK_FLOPS / (flops * width)), 1)
        parallel_for(<chunk_fn>lanes_chunk[real], c, (c.count + c.per_chunk - 1) // c.per_chunk, c.count * flops * 0.3)
    elif c.count < 4 and flops > 1e6:
        # Few large matrices: each is divided among the threads.
        for i in range(c.count):
            large_chunk(<real*>c, i)
    else:
        parallel_for(<chunk_fn>large_chunk[real], c, c.count, c.count * flops * 0.1)
    return c.status


cdef int cholesky(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Call c
    c.kind, c.a, c.b, c.words, c.y = CHOLESKY, <char*>inp[0], NULL, NULL, <char*>out[0]
    return run(out[0], &c, ints)


cdef int solve_triangular(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Call c
    c.kind, c.a, c.b, c.words, c.y = TRIANGULAR, <char*>inp[0], <char*>inp[1], NULL, <char*>out[0]
    return run(out[0], &c, ints)


cdef int lu_factors(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Call c
    c.kind, c.a, c.b, c.words, c.y = FACTORS, <char*>inp[0], NULL, NULL, <char*>out[0]
    return run(out[0], &c, ints)


cdef int lu_solve(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Call c
    c.kind, c.a, c.b, c.words, c.y = SOLVE, <char*>inp[0], <char*>inp[1], <int64_t*>inp[2], <char*>out[0]
    return run(out[0], &c, ints)


cdef int lu_read(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Call c
    c.kind, c.a, c.b, c.words, c.y = READ, <char*>inp[0], NULL, <int64_t*>inp[1], <char*>out[0]
    return run(out[0], &c, ints)


cdef int lu_rows(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # The result is of int64.
    cdef Call c
    c.kind, c.a, c.b, c.words, c.y = READ, <char*>inp[0], NULL, <int64_t*>inp[1], <char*>out[0]
    return run(out[0], &c, ints)


KERNELS = {
    "cholesky:f32": <size_t>&cholesky[float], "cholesky:f64": <size_t>&cholesky[double],
    "solve_triangular:f32": <size_t>&solve_triangular[float], "solve_triangular:f64": <size_t>&solve_triangular[double],
    "lu_factors:f32": <size_t>&lu_factors[float], "lu_factors:f64": <size_t>&lu_factors[double],
    "lu_solve:f32": <size_t>&lu_solve[float], "lu_solve:f64": <size_t>&lu_solve[double],
    "lu_read:f32": <size_t>&lu_read[float], "lu_read:f64": <size_t>&lu_read[double],
    "lu_rows:f32": <size_t>&lu_rows[float], "lu_rows:f64": <size_t>&lu_rows[double],
}
