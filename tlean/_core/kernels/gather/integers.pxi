# Integers and Booleans: sums modulo 2 to the power of the bits, of Booleans "or"; products "and". Sums of rows, and rows that follow from
# others, as those of floats are.

# What is combined in integers. Rows of Booleans are words as well, which are set.
ctypedef fused whole:
    int64_t
    int32_t
    uint8_t


cdef inline void combine_whole(whole* out, const whole* v, int64_t n, int64_t what) noexcept nogil:
    cdef int64_t k
    if whole is uint8_t:
        # "Or" is the greater of both.
        what = MAXIMUM if what == ADD else what
    if what == ADD:
        for k in range(n):
            out[k] = <whole>(<uint64_t>out[k] + <uint64_t>v[k])
    elif what == MAXIMUM:
        for k in range(n):
            out[k] = <whole>most(out[k], v[k])
    else:
        for k in range(n):
            out[k] = <whole>least(out[k], v[k])


cdef int scatter_whole_rows(whole** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return scatter(out[0], NULL, inp[0], <const int64_t*>inp[1], ints)


cdef int scatter_into_whole_rows(whole** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    return scatter(out[0], inp[0], inp[1], <const int64_t*>inp[2], ints)


cdef void chain_whole_block(whole* context, Py_ssize_t block) noexcept nogil:
    cdef Chain* c = <Chain*>context
    cdef int64_t rows = c.ints[1], n = c.ints[2], k, j, e, link
    cdef whole* y = <whole*>c.out + block * rows * n
    cdef const whole* a = <const whole*>c.a + block * rows * n
    cdef const whole* b = <const whole*>c.b + block * rows * n
    for k in range(rows):
        j = rows - 1 - k if c.ints[3] else k
        link = c.link[j]
        for e in range(n):
            y[j * n + e] = b[j * n + e]
            if 0 <= link < rows:
                if whole is uint8_t:
                    y[j * n + e] |= a[j * n + e] & y[link * n + e]
                else:
                    y[j * n + e] = <whole>(<uint64_t>b[j * n + e] + <uint64_t>a[j * n + e] * <uint64_t>y[link * n + e])


cdef int chain_whole_rows(whole** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Chain c
    c.out, c.a, c.b, c.link, c.ints = out[0], inp[0], inp[1], <const int64_t*>inp[2], ints
    parallel_for(<chunk_fn>chain_whole_block[whole], &c, ints[0], ints[0] * ints[1] * ints[2] * 1.0)
    return TL_OK
