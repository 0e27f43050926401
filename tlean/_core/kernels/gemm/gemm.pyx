"""Matrix products: blocked for the caches, packed only where it pays, and thin shapes by dots and sums of rows.

C (m x n) = A (m x k) B (k x n), row-major C. An operand is seen through two strides, so a transposed one is never copied as a whole:
    A[i, p] = a[i*a_row + p*a_k],   B[p, j] = b[p*b_k + j*b_col],   one stride of each is 1.

Which path runs and how it is cut up depends on the shape and the strides alone:
    k = 1                        an outer product
    m = 1 (or n = 1, transposed) dots where B's columns are contiguous, a sum of B's rows where its rows are
    few rows, columns of B       dots, since packing B would cost as much as the product
    one panel of B               tiles, at once
    everything else              tiles (micro.h), over blocks of k whose panels of A and B stay in the caches
"""
from libc.stdint cimport int64_t
from libc.string cimport memset

from tlean._core.kernel cimport TL_NO_MEMORY, TL_OK, TL_SLOT_GEMM_A, TL_SLOT_GEMM_B, tl_finish, tl_finished
from tlean._core.kernels.gemm.micro cimport (
    TL_LANES_f32, TL_LANES_f64, TL_MR, TL_NR_f32, TL_NR_f64, tl_even_panel, tl_expect, tl_micro, tl_pack_a, tl_pack_b, tl_pack_panels,
)
from tlean._core.simd.real cimport real
from tlean._core.threads.threads cimport chunk_fn, parallel_for, scratch

cdef extern from "kernels/gemm/thin.h" nogil:
    # a, b and c are of one float type.
    void tl_dots(int64_t m, int64_t n, int64_t k, const void* a, int64_t lda, const void* b, int64_t ldb, void* c, int64_t ldc)
    void tl_row_sum(int64_t n, int64_t k, const void* a, int64_t a_step, const void* b, int64_t ldb, void* c)
    int64_t TL_FEW
    void tl_few(int64_t m, int64_t n, int64_t k, const void* a, int64_t a_row, int64_t a_k, const void* b, int64_t b_k, int64_t b_col,
                void* c)
    void tl_few_dots(int64_t n, int64_t k, const void* a, const void* b, int64_t b_col, void* c)
    void tl_pack_lines(void* packed, int64_t n, int64_t k, const void* b, int64_t ldb)
    void tl_lines(int64_t n, int64_t k, const void* packed, const void* a, void* c, const void* b, void* y)

cdef enum:
    K_BLOCK = 512          # a panel of B (K_BLOCK x TL_NR) is 64 KiB with AVX-512, 32 KiB with AVX2
    M_BLOCK = 1008         # rows of A packed at once: 2 MiB in float32
    N_BLOCK = 2048         # columns of B packed at once: 4 MiB in float32
    CHUNK_PANELS = 16      # panels of A per chunk: up to 458 KiB, a part of the second-level cache
    CHUNKS = 16            # chunks worth having, for up to 16 threads
    DOT_ROWS = 64          # up to so many rows of A are multiplied by dots rather than tiles
    PACK_A_PANELS = 3      # panels of B from which packing A pays
    PACK_B_PANELS = 32     # panels of A from which packing B pays
    L1_PERIOD = 4096       # bytes after which places in the first-level cache repeat, and the lines that each holds: common sizes
    L1_WAYS = 8
    L2_PERIOD = 65536
    L2_WAYS = 16
    PACKED_BYTES = 1048576  # panels of A and B packed at once, beyond one block of terms: the second-level cache
    PACK_GROUP = 4         # panels packed together
    LINE_BYTES = 64        # of a cache
    SMALL_ROWS = 64        # rows of a product that is not worth dividing
    LINE_COLUMNS = 512     # columns per chunk of a sum of rows

# One product, and the block of it that is being computed. Pointers are to float or double.
ctypedef struct Product:
    int64_t m
    int64_t n
    int64_t k
    char* a
    int64_t a_row
    int64_t a_k
    char* b
    int64_t b_k
    int64_t b_col
    char* c
    int64_t ldc
    char* bias              # one number per column, added to the finished sums; NULL for none
    tl_finish* finish       # whom finished parts of C are reported to, or NULL; then ldc = n
    int64_t base            # the flat index of C[0, 0] there
    double nanoseconds      # of the whole, roughly, on one core
    # the block: rows i0 … i0+mb, columns j0 … j0+nb, terms p0 … p1, of which k_block at a time are multiplied
    int64_t i0
    int64_t mb
    int64_t j0
    int64_t nb
    int64_t p0
    int64_t p1
    int64_t k_block
    bint pack_a
    int64_t first_packed_b  # panels of B from this one on are packed
    char* packed_a          # for each k_block the panels of A, then those of the next
    char* packed_b
    int64_t height          # of a panel of A
    int64_t row_panels
    int64_t column_panels
    int64_t rows_per_chunk  # in panels
    int64_t columns_per_chunk
    int64_t row_chunks


include "tiles.pxi"
include "thin.pxi"


cdef int product(Product* t, real tag) noexcept nogil:
    """Compute the product that t's first fields describe."""
    cdef int64_t i, chunk
    cdef int status
    cdef char* bias
    cdef tl_finish* finish
    cdef int64_t nr = TL_NR_f32 if real is float else TL_NR_f64
    cdef double per_term = 0.012 if real is float else 0.024
    if t.m == 0 or t.n == 0:
        return TL_OK
    if t.k == 0:
        # Sums of no terms. Every caller has C without gaps.
        memset(t.c, 0, t.m * t.n * sizeof(real))
        if t.bias != NULL:
            add_bias(<real*>t.c, t.ldc, <real*>t.bias, t.m, t.n)
        tl_finished(t.finish, t.base, t.base + t.m * t.n)
        return TL_OK
    if t.n == 1 and t.bias != NULL:
        bias, finish = t.bias, t.finish
        t.bias, t.finish = NULL, NULL
        i = t.m
        status = product(t, tag)
        add_bias(<real*>t.c, 1, <real*>bias, i, 1)
        tl_finished(finish, t.base, t.base + i)
        return status
    if t.n == 1 and t.m > 1:
        # The column C is the row of the transposed product: C' = B' A'.
        t.a, t.b = t.b, t.a
        t.a_k, t.b_k = t.b_k, t.a_k
        t.b_col = t.a_row
        t.a_row = 1
        t.m, t.n = 1, t.m
        t.ldc = t.n
    t.nanoseconds = per_term * t.m * t.n * t.k
    if t.k == 1:
        t.nanoseconds = 0.04 * t.m * t.n
        t.rows_per_chunk = max(<int64_t>1, 16384 // t.n)
        parallel_for(<chunk_fn>outer_rows[real], t, (t.m + t.rows_per_chunk - 1) // t.rows_per_chunk, t.nanoseconds)
    elif t.b_k == 1 and t.b_col != 1 and t.a_k == 1 and t.m <= DOT_ROWS and 10 * t.m <= t.k + 16:
        if t.m == 1:
            t.nanoseconds *= 4
        chunk = max(<int64_t>1, 65536 // (t.m * t.k))
        t.columns_per_chunk = (chunk + 7) // 8 * 8
        parallel_for(<chunk_fn>dots[real], t, (t.n + t.columns_per_chunk - 1) // t.columns_per_chunk, t.nanoseconds)
    elif t.m == 1 and t.b_col == 1:
        t.nanoseconds *= 4
        t.columns_per_chunk = LINE_COLUMNS
        parallel_for(<chunk_fn>row_sum[real], t, (t.n + LINE_COLUMNS - 1) // LINE_COLUMNS, t.nanoseconds)
    elif t.n <= nr and t.m <= SMALL_ROWS and t.k <= K_BLOCK and (t.a_row == 1 or t.a_k == 1):
        return by_one_column_of_tiles(t, tag)
    else:
        return by_tiles(t, tag)
    return TL_OK


# Kernels -------------------------------------------------------------------------------------------------------------------

# A batch of equal products over leading axes. Along an axis that one of the operands does not have, its step is 0.
ctypedef struct Batch:
    Product first
    int64_t count
    int64_t per_chunk
    int64_t axes
    const int64_t* size
    const int64_t* a_step
    const int64_t* b_step
    int status


cdef inline void move_to(Batch* all, int64_t i, Product* t, int64_t bytes) noexcept nogil:
    # The operands of product i, which t has those of the first of.
    cdef int64_t k, at
    for k in range(all.axes - 1, 0, -1):
        at = i % all.size[k]
        i //= all.size[k]
        t.a += at * all.a_step[k] * bytes
        t.b += at * all.b_step[k] * bytes
    t.a += i * all.a_step[0] * bytes
    t.b += i * all.b_step[0] * bytes


cdef void batch_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Batch* all = <Batch*>context
    cdef int64_t i
    cdef Product t
    cdef int status
    for i in range(chunk * all.per_chunk, min((chunk + 1) * all.per_chunk, all.count)):
        t = all.first
        move_to(all, i, &t, sizeof(real))
        t.c += i * t.m * t.n * sizeof(real)
        t.base = i * t.m * t.n
        status = product(&t, <real>0)
        if status != TL_OK:
            all.status = status


# (*,m,k) (*,k,n) -> (*,m,n), either operand transposed or not
cdef int produce_matmul(real** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    # ints: batch, m, n, k, transpose_a, transpose_b, axes, sizes…, steps of A…, steps of B…; an axis where there are several products
    cdef Batch all
    cdef int64_t m = ints[1], n = ints[2], k = ints[3]
    cdef double terms = <double>m * n * k
    all.count = ints[0]
    all.axes = ints[6]
    all.size = ints + 7
    all.a_step = all.size + all.axes
    all.b_step = all.a_step + all.axes
    all.status = TL_OK
    all.first.m, all.first.n, all.first.k = m, n, k
    all.first.a, all.first.b, all.first.c = <char*>inp[0], <char*>inp[1], <char*>out[0]
    all.first.a_row = 1 if ints[4] else k
    all.first.a_k = m if ints[4] else 1
    all.first.b_k = 1 if ints[5] else n
    all.first.b_col = k if ints[5] else 1
    all.first.ldc = n
    all.first.bias = NULL
    # Where no product has elements none is reported, and products are not counted.
    all.first.finish, all.first.base = finish, 0
    if m == 0 or n == 0:
        return TL_OK
    if k == 0:
        memset(out[0], 0, all.count * m * n * sizeof(real))
        tl_finished(finish, 0, all.count * m * n)
        return TL_OK
    if all.count == 1:
        return product(&all.first, <real>0)
    if all.count < 4 and terms > 1e6:
        # Few large products: each is divided among the threads.
        all.per_chunk = all.count
        batch_chunk(<real*>&all, 0)
    elif all.count > 0:
        all.per_chunk = max(<int64_t>1, min(all.count, <int64_t>(1e6 / (terms + 500.0))))
        parallel_for(<chunk_fn>batch_chunk[real], &all, (all.count + all.per_chunk - 1) // all.per_chunk,
                     all.count * (terms * 0.012 + 20.0))
    return all.status


cdef int produce_linear(real** out, void** inp, const int64_t* ints, const double* floats, tl_finish* finish) noexcept nogil:
    # y (rows, out) = x (rows, in) w' + b; ints: rows, out, in
    cdef Product t
    t.m, t.n, t.k = ints[0], ints[1], ints[2]
    t.a, t.b, t.c = <char*>inp[2], <char*>inp[0], <char*>out[0]
    t.a_row, t.a_k = t.k, 1
    t.b_k, t.b_col = 1, t.k
    t.ldc = t.n
    t.bias = <char*>inp[1]
    t.finish, t.base = finish, 0
    return product(&t, <real>0)


cdef int matmul(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return produce_matmul(out, inp, ints, floats, NULL)


cdef int linear(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return produce_linear(out, inp, ints, floats, NULL)


KERNELS = {
    "matmul:f32": <size_t>&matmul[float], "matmul:f64": <size_t>&matmul[double],
    "linear:f32": <size_t>&linear[float], "linear:f64": <size_t>&linear[double],
}
PRODUCERS = {
    "matmul:f32": <size_t>&produce_matmul[float], "matmul:f64": <size_t>&produce_matmul[double],
    "linear:f32": <size_t>&produce_linear[float], "linear:f64": <size_t>&produce_linear[double],
}

include "small.pxi"
