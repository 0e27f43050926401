# One or two small matrices, each by itself: for so few, lanes take longer to fill than to compute. Included by linalg.pyx.

cdef bint one_run(Call* c, const real* a, const real* b, real* y) noexcept nogil:
    # The arithmetic of a lane, so the bits too. Whether the matrix was refused.
    cdef int64_t i, j, row, col, n = c.n, k = c.k
    cdef int32_t perm[ONE]
    cdef real m[ONE * ONE]
    cdef real x[ONE * ONE]
    cdef bint bad
    if c.kind == CHOLESKY:
        memcpy(y, a, n * n * sizeof(real))
        return tl_one_cholesky(y, n)
    if c.kind == TRIANGULAR:
        memcpy(y, b, n * k * sizeof(real))
        swap_steps(c.transpose, n, &row, &col)
        return tl_one_solve(a, row, col, y, n, k, c.lower == c.transpose, c.unit)
    if c.kind == READ and c.part == DETERMINANT and 2 <= n <= 4:
        if real is float:
            y[0] = tl_one_minors_f32(a, n)
        else:
            y[0] = tl_one_minors_f64(a, n)
        return False
    memcpy(&m[0], a, n * n * sizeof(real))
    tl_one_lu(&m[0], &perm[0], n)
    if c.kind == READ:
        for i in range(n if c.part == SIGN else 0):
            j = i * (n + 1)
            m[j] = m[j] if m[j] == 0 or m[j] != m[j] else -1 if m[j] < 0 else 1
        read_lane(c, &m[0], &perm[0], 1, y, DETERMINANT if c.part == SIGN else c.part)
        return False
    if not c.transpose:
        for i in range(n):
            for j in range(k):
                y[i * k + j] = b[perm[i] * k + j]
        tl_one_solve(&m[0], n, 1, y, n, k, False, True)
        return tl_one_solve(&m[0], n, 1, y, n, k, True, False)
    memcpy(&x[0], b, n * k * sizeof(real))
    bad = tl_one_solve(&m[0], 1, n, &x[0], n, k, False, False)
    tl_one_solve(&m[0], 1, n, &x[0], n, k, True, True)
    for i in range(n):
        for j in range(k):
            y[perm[i] * k + j] = x[i * k + j]
    return bad


cdef int few_run(real* tag, Call* c) noexcept nogil:
    cdef int64_t i, each = result_bytes(tag, c)
    cdef const real* b = <const real*>(c.b if c.b != NULL else c.a)
    for i in range(c.count):
        if one_run(c, <real*>c.a + offset(c, c.a_step, i), b + offset(c, c.b_step, i), <real*>(c.y + i * each)):
            c.status = TL_INDEFINITE if c.kind == CHOLESKY else TL_SINGULAR
    return c.status
