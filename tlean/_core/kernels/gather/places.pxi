# Positions made of indices ----------------------------------------------------------------------------------------------------
# ints: (axes, positions, n, wrap, step, mode, first, sizes..., strides of i..., strides of prior..., along...). Position p of the output,
# which has those sizes, is step * row + sum of along * p + prior, where `row` is the one of n that i names; -1 where i or prior name none.
# i is read from element `first` on; `wrap` is added to a negative index where the mode says so.

cdef enum:
    MAX_AXES = 64


cdef int locate(int64_t** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef int axes = <int>ints[0], k
    cdef int64_t count = ints[1], n = ints[2], wrap = ints[3], step = ints[4], mode = ints[5], p, row, at = 0, before = 0, offset = 0
    cdef const int64_t* i = <const int64_t*>inp[0] + ints[6]
    cdef const int64_t* prior = <const int64_t*>inp[1]
    cdef const int64_t* size = ints + 7
    cdef const int64_t* stride = size + axes
    cdef const int64_t* prior_stride = stride + axes
    cdef const int64_t* along = prior_stride + axes
    cdef int64_t where[MAX_AXES]
    for k in range(axes):
        where[k] = 0
    for p in range(count):
        row = i[at]
        if mode == CLIP:
            row = most(least(row, n - 1), 0)
        elif row < 0 and (mode == RAISE or mode == FILL):
            row += wrap
        if row < 0 or row >= n:
            if mode == STRICT or mode == RAISE:
                return TL_INDEX_OUT_OF_RANGE
            row = -1
        elif prior != NULL and prior[before] < 0:
            row = -1
        else:
            row = step * row + offset + (prior[before] if prior != NULL else 0)
        out[0][p] = row
        k = axes - 1
        while k >= 0:
            where[k] += 1
            at += stride[k]
            before += prior_stride[k]
            offset += along[k]
            if where[k] < size[k]:
                break
            at -= size[k] * stride[k]
            before -= size[k] * prior_stride[k]
            offset -= size[k] * along[k]
            where[k] = 0
            k -= 1
    return TL_OK


# Indices that name the same entry ---------------------------------------------------------------------------------------------
# ints: (indices, n, mode, which). PREVIOUS and NEXT are positions of indices, LAST and FIRST the entry named, START a position; else -1.

cdef enum:
    PREVIOUS = 0, NEXT = 1, LAST = 2, FIRST = 3, START = 4


cdef int neighbours(int64_t** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # A table of the entries seen: one place for each entry, or, where they are many more than the indices, open addressing.
    cdef const int64_t* at = <const int64_t*>inp[0]
    cdef int64_t count = ints[0], n = ints[1], which = ints[3], capacity = 16, k, j, row, slot
    cdef bint down = which == NEXT or which == LAST, seen, direct
    cdef int64_t* rows
    cdef int64_t* positions
    while capacity < 2 * count:
        capacity *= 2
    direct = n <= 2 * capacity
    rows = <int64_t*>scratch(TL_SLOT_ROWS, (n if direct else 2 * capacity) * sizeof(int64_t))
    if rows == NULL:
        return TL_NO_MEMORY
    positions = rows if direct else rows + capacity
    memset(rows, 255, (n if direct else capacity) * sizeof(int64_t))
    for k in range(count):
        j = count - 1 - k if down else k
        if not resolve(at + j, &row, 1, n, ints[2]) and (ints[2] == STRICT or ints[2] == RAISE):
            return TL_INDEX_OUT_OF_RANGE
        if row < 0:
            out[0][j] = -1
            continue
        slot = row if direct else <int64_t>((<uint64_t>row * 0x9E3779B97F4A7C15ull) >> 20) & (capacity - 1)
        while not direct and rows[slot] != row and rows[slot] >= 0:
            slot = (slot + 1) & (capacity - 1)
        seen = rows[slot] >= 0
        if which <= NEXT:
            out[0][j] = positions[slot] if seen else -1
        else:
            out[0][j] = -1 if seen else j if which == START else row
        if not direct:
            rows[slot] = row
        positions[slot] = j
    return TL_OK


cdef int inverse_links(int64_t** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef const int64_t* link = <const int64_t*>inp[0]
    cdef int64_t j
    memset(out[0], 255, ints[0] * sizeof(int64_t))
    for j in range(ints[0]):
        if 0 <= link[j] < ints[0]:
            out[0][link[j]] = j
    return TL_OK


# Rows that follow from others: ints = (blocks, rows, length, backwards) ---------------------------------------------------------

cdef struct Chain:
    void* out
    const void* a
    const void* b
    const int64_t* link
    const int64_t* ints


cdef void chain_block(real* context, Py_ssize_t block) noexcept nogil:
    cdef Chain* c = <Chain*>context
    cdef int64_t rows = c.ints[1], n = c.ints[2], k, j, e, link
    cdef real* y = <real*>c.out + block * rows * n
    cdef const real* a = <const real*>c.a + block * rows * n
    cdef const real* b = <const real*>c.b + block * rows * n
    cdef real product
    for k in range(rows):
        j = rows - 1 - k if c.ints[3] else k
        link = c.link[j]
        for e in range(n):
            if link < 0 or link >= rows:
                y[j * n + e] = b[j * n + e]
            else:
                # A product alone keeps its sign where it is zero.
                product = a[j * n + e] * y[link * n + e]
                y[j * n + e] = product if b[j * n + e] == 0 else product + b[j * n + e]


cdef int chain_rows(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Chain c
    c.out = out[0]
    c.a = inp[0]
    c.b = inp[1]
    c.link = <const int64_t*>inp[2]
    c.ints = ints
    parallel_for(<chunk_fn>chain_block[real], &c, ints[0], ints[0] * ints[1] * ints[2] * 1.0)
    return TL_OK


# Boxes ------------------------------------------------------------------------------------------------------------------------
# ints: (elements of x, offset, axes, sizes..., strides...): element (i0, i1, ...) of the box is x[offset + at + sum of ik * stride k].

cdef struct Box:
    void* out
    const void* x
    const void* v
    int64_t total
    int64_t offset
    int axes
    const int64_t* size
    const int64_t* stride
    int64_t rows
    int64_t rows_per_chunk
    bint taking


cdef void box_copy(word* context, Py_ssize_t chunk) noexcept nogil:
    cdef Box* c = <Box*>context
    cdef int64_t first = chunk * CHUNK
    memcpy(<word*>c.out + first, <const word*>c.x + first, least(CHUNK, c.total - first) * sizeof(word))


cdef void box_rows(word* context, Py_ssize_t chunk) noexcept nogil:
    cdef Box* c = <Box*>context
    cdef word* out = <word*>c.out
    cdef const word* x = <const word*>c.x
    cdef const word* v = <const word*>c.v
    cdef int64_t n = c.size[c.axes - 1], step = c.stride[c.axes - 1], row, rest, at, j
    cdef int k
    for row in range(chunk * c.rows_per_chunk, least((chunk + 1) * c.rows_per_chunk, c.rows)):
        rest = row
        at = c.offset
        for k in range(c.axes - 2, -1, -1):
            at += rest % c.size[k] * c.stride[k]
            rest //= c.size[k]
        if c.taking:
            for j in range(n):
                out[row * n + j] = x[at + j * step]
        else:
            for j in range(n):
                out[at + j * step] = v[row * n + j]


cdef int64_t box_of(Box* c, const int64_t* at, const int64_t* ints) noexcept nogil:
    # Reads the numbers; the elements of the box, or -1 where it does not lie within x.
    cdef int64_t low, high, n = 1
    cdef int k
    c.total = ints[0]
    c.offset = ints[1] + (at[0] if at != NULL else 0)
    c.axes = <int>ints[2]
    c.size = ints + 3
    c.stride = c.size + c.axes
    low = high = c.offset
    for k in range(c.axes):
        n *= c.size[k]
        low += most(c.size[k] - 1, 0) * least(c.stride[k], 0)
        high += most(c.size[k] - 1, 0) * most(c.stride[k], 0)
    c.rows = n // c.size[c.axes - 1] if n else 0
    c.rows_per_chunk = most(CHUNK // most(c.size[c.axes - 1], 1), 1)
    return n if n == 0 or (low >= 0 and high < c.total) else -1


cdef int set_box(word** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Box c
    cdef const int64_t* at = <const int64_t*>inp[2]
    cdef int64_t n = box_of(&c, at, ints)
    cdef bint nowhere = at != NULL and at[0] < 0
    if n < 0 and not nowhere:
        return TL_INDEX_OUT_OF_RANGE
    c.out = out[0]
    c.x = inp[0]
    c.v = inp[1]
    c.taking = False
    if c.out != c.x:
        parallel_for(<chunk_fn>box_copy[word], &c, (c.total + CHUNK - 1) // CHUNK, c.total * sizeof(word) * NS_PER_BYTE)
    if n > 0 and not nowhere:
        parallel_for(<chunk_fn>box_rows[word], &c, (c.rows + c.rows_per_chunk - 1) // c.rows_per_chunk, n * sizeof(word) * NS_PER_BYTE)
    return TL_OK


cdef int take_box(word** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Box c
    cdef const int64_t* at = <const int64_t*>inp[1]
    cdef int64_t n = box_of(&c, at, ints), k
    c.out = out[0]
    c.x = inp[0]
    c.taking = True
    if at[0] < 0:
        n = 1
        for k in range(c.axes):
            n *= c.size[k]
        memset(out[0], 0, n * sizeof(word))
        return TL_OK
    if n < 0:
        return TL_INDEX_OUT_OF_RANGE
    if n > 0:
        parallel_for(<chunk_fn>box_rows[word], &c, (c.rows + c.rows_per_chunk - 1) // c.rows_per_chunk, n * sizeof(word) * NS_PER_BYTE)
    return TL_OK
