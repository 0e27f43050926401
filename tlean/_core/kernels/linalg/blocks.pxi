# Recursions on blocks of row-major matrices: halves are multiples of LEAF, nearly all work is products of blocks, and the same work is done
# by any number of threads. They return 0 where there is no memory.

# C (m x n) -= A (m x k) B (k x n), A[i, p] = a[i*a_row + p*a_k], B[p, j] = b[p*b_k + j*b_col]: the block that is being computed.
cdef struct Minus:
    const void* a
    int64_t a_row
    int64_t a_k
    void* c
    int64_t ldc
    int64_t m
    int64_t n
    int64_t k
    int64_t first              # the column of C that the block begins at
    bint upper                 # only tiles that reach the upper triangle
    void* packed               # panels of -B
    int64_t height
    int failed


cdef void minus_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    # A panel of rows against every panel of columns.
    cdef Minus* t = <Minus*>context
    cdef int64_t nr = TL_NR_f32 if real is float else TL_NR_f64
    cdef int64_t q, j, i = chunk * t.height, mr = least(t.height, t.m - i)
    cdef real* a = <real*>scratch(TL_SLOT_LINALG_A, TL_MR * t.k * sizeof(real))
    if a == NULL:
        t.failed = 1
        return
    if t.upper and t.first + t.n <= i:
        return
    tl_pack_a(a, <real*>t.a + i * t.a_row, t.a_row, t.a_k, mr, t.k)
    for q in range((t.n + nr - 1) // nr):
        j = q * nr
        if not t.upper or t.first + j + nr > i:
            tl_micro(mr, least(nr, t.n - j), t.k, a, 1, mr, <real*>t.packed + j * t.k, nr, <real*>t.c + i * t.ldc + j, t.ldc, 1)


cdef bint minus(const real* a, int64_t a_row, int64_t a_k, const real* b, int64_t b_k, int64_t b_col, real* c, int64_t ldc, int64_t m,
                int64_t n, int64_t k, bint upper) noexcept nogil:
    cdef int64_t nr = TL_NR_f32 if real is float else TL_NR_f64
    cdef int64_t j, q, wide, p = 0
    cdef real* packed
    cdef Minus t
    if m <= 0 or n <= 0 or k <= 0:
        return True
    if n == 1 and b_k == 1 and ldc == 1:
        tl_rows_minus(a, a_row, a_k, b, c, m, k)
        return True
    wide = (least(n, N_BLOCK) + nr - 1) // nr * nr
    packed = <real*>scratch(TL_SLOT_LINALG_B, wide * least(k, K_BLOCK) * sizeof(real))
    if packed == NULL:
        return False
    t.a_row, t.a_k, t.ldc, t.m, t.upper, t.packed, t.failed = a_row, a_k, ldc, m, upper, packed, 0
    t.height = tl_even_panel(m, TL_MR)
    while p < k:
        t.k = least(k - p, K_BLOCK)
        t.a = a + p * a_k
        j = 0
        while j < n:
            t.n, t.first, t.c = least(n - j, N_BLOCK), j, c + j
            for q in range((t.n + nr - 1) // nr):
                tl_pack_b(packed + q * nr * t.k, b + p * b_k + (j + q * nr) * b_col, b_k, b_col, t.k, least(nr, t.n - q * nr))
            tl_negate(packed, (t.n + nr - 1) // nr * nr * t.k)
            parallel_for(<chunk_fn>minus_chunk[real], &t, (m + t.height - 1) // t.height, <double>m * t.n * t.k * 0.02)
            j += N_BLOCK
        p += K_BLOCK
    return not t.failed


cdef inline int64_t half(int64_t n, int64_t leaf) noexcept nogil:
    return (n // 2 + leaf - 1) // leaf * leaf


cdef bint solve(const real* t, int64_t row, int64_t col, real* x, int64_t ldx, int64_t n, int64_t k, bint back, bint unit) noexcept nogil:
    # x (n x k) = T^-1 x in place, T[i, j] = t[i*row + j*col], upper where `back`.
    cdef int64_t h, c
    cdef real* rest
    if n <= LEAF:
        for c in range(0, k, 256):
            tl_rows_solve(t, row, col, x + c, ldx, n, least(256, k - c), back, unit)
        return True
    h = half(n, LEAF)
    rest = x + h * ldx
    if back:
        return (solve(t + h * (row + col), row, col, rest, ldx, n - h, k, back, unit)
                and minus(t + h * col, row, col, rest, ldx, 1, x, ldx, h, k, n - h, False)
                and solve(t, row, col, x, ldx, h, k, back, unit))
    return (solve(t, row, col, x, ldx, h, k, back, unit)
            and minus(t + h * row, row, col, x, ldx, 1, rest, ldx, n - h, k, h, False)
            and solve(t + h * (row + col), row, col, rest, ldx, n - h, k, back, unit))


cdef bint cholesky_upper(real* a, int64_t ld, int64_t n, bint* definite) noexcept nogil:
    # U with U' U the symmetric matrix whose upper triangle a holds, in its place.
    cdef int64_t h
    cdef real* right
    if n <= CHOLESKY_LEAF:
        definite[0] = tl_rows_cholesky(a, ld, n)
        return True
    h = half(n, LEAF)
    right = a + h
    if not cholesky_upper(a, ld, h, definite):
        return False
    if not definite[0]:
        return True
    return (solve(a, 1, ld, right, ld, h, n - h, False, False)
            and minus(right, 1, ld, right, ld, 1, right + h * ld, ld, n - h, n - h, h, True)
            and cholesky_upper(right + h * ld, ld, n - h, definite))


cdef void swap_rows(real* a, int64_t ld, int64_t w, const int32_t* pivots, int64_t count) noexcept nogil:
    cdef int64_t j, c
    cdef real* x
    cdef real* y
    for j in range(count):
        if pivots[j] != j:
            x, y = a + j * ld, a + pivots[j] * ld
            for c in range(w):
                x[c], y[c] = y[c], x[c]


cdef bint lu(real* a, int64_t ld, int64_t m, int64_t w, int32_t* pivots) noexcept nogil:
    # L and U of m x w entries (m >= w) in their place; row j was swapped with row pivots[j] at step j.
    cdef int64_t i, h
    cdef real* panel
    if w <= LEAF:
        # Rows next to each other, wherever a power of two would put them.
        panel = <real*>scratch(TL_SLOT_LINALG_PANEL, m * w * sizeof(real))
        if panel == NULL:
            return False
        for i in range(m):
            memcpy(panel + i * w, a + i * ld, w * sizeof(real))
        tl_rows_lu(panel, w, m, w, pivots)
        for i in range(m):
            memcpy(a + i * ld, panel + i * w, w * sizeof(real))
        return True
    h = half(w, LEAF)
    if not lu(a, ld, m, h, pivots):
        return False
    swap_rows(a + h, ld, w - h, pivots, h)
    if not (solve(a, ld, 1, a + h, ld, h, w - h, False, True)
            and minus(a + h * ld, ld, 1, a + h, ld, 1, a + h * ld + h, ld, m - h, w - h, h, False)
            and lu(a + h * ld + h, ld, m - h, w - h, pivots + h)):
        return False
    swap_rows(a + h * ld, ld, h, pivots + h, w - h)
    for i in range(h, w):
        pivots[i] += <int32_t>h
    return True


cdef void half_sums(const real* a, real* y, int64_t n) noexcept nogil:
    # The upper triangle of (a + a')/2, in tiles.
    cdef int64_t i, j, top, left
    for top in range(0, n, 32):
        for left in range(top, n, 32):
            for i in range(top, least(top + 32, n)):
                for j in range(most(left, i), least(left + 32, n)):
                    y[i * n + j] = <real>0.5 * a[i * n + j] + <real>0.5 * a[j * n + i]


cdef void mirror(real* y, int64_t n) noexcept nogil:
    # The upper triangle becomes the lower, with zeros in its place.
    cdef int64_t i, j, top, left
    for top in range(0, n, 32):
        for left in range(top, n, 32):
            for i in range(top, least(top + 32, n)):
                for j in range(most(left, i + 1), least(left + 32, n)):
                    y[j * n + i] = y[i * n + j]
                    y[i * n + j] = 0
