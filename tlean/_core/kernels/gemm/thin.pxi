# Thin shapes ---------------------------------------------------------------------------------------------------------------

cdef void outer_rows(real* context, Py_ssize_t chunk) noexcept nogil:
    # c[i, j] = a[i] b[j] (+ bias[j])
    cdef Product* t = <Product*>context
    cdef int64_t i, j, i0 = chunk * t.rows_per_chunk, i1 = min(i0 + t.rows_per_chunk, t.m), n = t.n
    cdef const real* b = <real*>t.b
    cdef const real* bias = <real*>t.bias
    cdef real* c
    cdef real x
    for i in range(i0, i1):
        c = <real*>t.c + i * t.ldc
        x = (<real*>t.a)[i * t.a_row]
        if bias == NULL:
            for j in range(n):
                c[j] = x * b[j]
        else:
            for j in range(n):
                c[j] = x * b[j] + bias[j]
    tl_finished(t.finish, t.base + i0 * n, t.base + i1 * n)


cdef void dots(real* context, Py_ssize_t chunk) noexcept nogil:
    # columns_per_chunk columns of C, all rows: C[i, j] = <row i of A, column j of B>, both contiguous
    cdef Product* t = <Product*>context
    cdef int64_t j = chunk * t.columns_per_chunk, n = min(t.columns_per_chunk, t.n - j)
    cdef real* b = <real*>t.b + j * t.b_col
    cdef real* c = <real*>t.c + j
    tl_dots(t.m, n, t.k, <real*>t.a, t.a_row, b, t.b_col, c, t.ldc)
    if t.bias != NULL:
        add_bias(c, t.ldc, <real*>t.bias + j, t.m, n)
    if t.m == 1:
        tl_finished(t.finish, t.base + j, t.base + j + n)


cdef void row_sum(real* context, Py_ssize_t chunk) noexcept nogil:
    # columns_per_chunk elements of c = sum over p of a[p] B[p, :]
    cdef Product* t = <Product*>context
    cdef int64_t j = chunk * t.columns_per_chunk, n = min(t.columns_per_chunk, t.n - j)
    cdef real* c = <real*>t.c + j
    tl_row_sum(n, t.k, <real*>t.a, t.a_k, <real*>t.b + j, t.b_k, c)
    if t.bias != NULL:
        add_bias(c, t.ldc, <real*>t.bias + j, 1, n)
    tl_finished(t.finish, t.base + j, t.base + j + n)
