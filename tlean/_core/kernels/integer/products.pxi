# Products of matrices, modulo 2 to the power of their bits; of Booleans whether any pair is true. Included by totals.pyx.

cdef enum:
    STRIP = 256            # columns that are summed up together

cdef double NS_PER_PRODUCT = 0.5

# ints: (batch, m, n, k, transpose_a, transpose_b, axes, sizes…, steps of a…, steps of b…), as those of the product of floats. A row of the
# result is a unit of work.

cdef struct Product:
    const void* a
    const void* b
    void* y
    int64_t m
    int64_t n
    int64_t k
    int64_t row_a              # from a row of A to the next, and from an entry to the next
    int64_t step_a
    int64_t row_b              # from a row of B to the next, and from an entry to the next
    int64_t step_b
    int axes
    int64_t sizes[AXES]
    int64_t steps_a[AXES]
    int64_t steps_b[AXES]
    int64_t rows
    int64_t rows_per_chunk


cdef inline void strip(const number* a, const number* b, number* y, const Product* c, int64_t count) noexcept nogil:
    # Some entries of a row, the sums over k of a[k]·b[k, j].
    cdef uint64_t sums[STRIP]
    cdef uint64_t v
    cdef int64_t j, p
    cdef const number* row
    for j in range(count):
        sums[j] = 0
    for p in range(c.k):
        v = <uint64_t><int64_t>a[p * c.step_a]
        row = b + p * c.row_b
        if c.step_b == 1:
            for j in range(count):
                sums[j] += v * <uint64_t><int64_t>row[j]
        else:
            for j in range(count):
                sums[j] += v * <uint64_t><int64_t>row[j * c.step_b]
    for j in range(count):
        if number is uint8_t:
            y[j] = sums[j] != 0
        else:
            y[j] = <number>sums[j]


cdef void row_chunk(number* context, Py_ssize_t chunk) noexcept nogil:
    cdef Product* c = <Product*>context
    cdef int64_t row, item, left, right, part, j
    cdef int axis
    for row in range(chunk * c.rows_per_chunk, least((chunk + 1) * c.rows_per_chunk, c.rows)):
        item, left, right = row // c.m, row % c.m * c.row_a, 0
        for axis in range(c.axes - 1, -1, -1):
            left += item % c.sizes[axis] * c.steps_a[axis]
            right += item % c.sizes[axis] * c.steps_b[axis]
            item //= c.sizes[axis]
        for part in range((c.n + STRIP - 1) // STRIP):
            j = part * STRIP
            strip[number](
                <const number*>c.a + left, <const number*>c.b + right + j * c.step_b, <number*>c.y + row * c.n + j, c, least(STRIP, c.n - j)
            )


cdef int matmul(void** out, number** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Product c
    cdef int axis
    c.a, c.b, c.y = inp[0], inp[1], out[0]
    c.m, c.n, c.k = ints[1], ints[2], ints[3]
    c.row_a, c.step_a, c.row_b, c.step_b = c.k, 1, c.n, 1
    if ints[4]:
        c.row_a, c.step_a = 1, c.m
    if ints[5]:
        c.row_b, c.step_b = 1, c.k
    c.axes = <int>ints[6]
    for axis in range(c.axes):
        c.sizes[axis] = ints[7 + axis]
        c.steps_a[axis] = ints[7 + c.axes + axis]
        c.steps_b[axis] = ints[7 + 2 * c.axes + axis]
    c.rows = ints[0] * c.m
    if c.rows * c.n == 0:
        return TL_OK
    c.rows_per_chunk = most(1, SEGMENT // most(1, c.n * c.k))
    parallel_for(
        <chunk_fn>row_chunk[number], &c, (c.rows + c.rows_per_chunk - 1) // c.rows_per_chunk, c.rows * c.n * c.k * NS_PER_PRODUCT
    )
    return TL_OK
