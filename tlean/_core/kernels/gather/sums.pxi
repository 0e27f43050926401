# Rows of one number summed up ---------------------------------------------------------------------------------------------------
# What a scatter adds to zeros, of the rows alone that get something. ints: (rows, row length, positions, mode, 1, 0). Inputs: v, indices.
# Outputs: the sums, each in the order of the positions; the rows that they are of, in ascending order. Sums that are left over are zeros,
# and of row -1.

cdef enum:
    DIGIT = 11             # bits of a key that one pass sorts by
    FEW = 32               # keys that are sorted by insertion


cdef struct Sums:
    void* sums
    const void* v
    const uint64_t* keys       # row and position
    const int64_t* starts      # the first key of each sum
    int shift                  # of the row in a key
    int64_t length
    int64_t count              # sums
    int64_t part               # sums of one chunk


cdef inline int bits_of(int64_t n) noexcept nogil:
    # As many as a number below n takes.
    cdef int bits = 0
    while bits < 62 and (<int64_t>1 << bits) < n:
        bits += 1
    return bits


cdef void sort_few(uint64_t* keys, int64_t count) noexcept nogil:
    cdef int64_t j, k
    cdef uint64_t key
    for j in range(1, count):
        key = keys[j]
        k = j
        while k > 0 and keys[k - 1] > key:
            keys[k] = keys[k - 1]
            k -= 1
        keys[k] = key


cdef uint64_t* sort_keys(uint64_t* keys, uint64_t* other, int64_t count, int shift, int bits) noexcept nogil:
    # By the bits of the row, the last digit first; each pass keeps the order of equal digits. Returns where the keys are then.
    cdef int64_t place[1 << DIGIT]
    cdef int64_t j, total, n
    cdef int done = 0
    if count <= FEW:
        sort_few(keys, count)
        return keys
    while done < bits:
        memset(place, 0, sizeof(place))
        for j in range(count):
            place[keys[j] >> (shift + done) & ((1 << DIGIT) - 1)] += 1
        total = 0
        for j in range(1 << DIGIT):
            n = place[j]
            place[j] = total
            total += n
        for j in range(count):
            n = keys[j] >> (shift + done) & ((1 << DIGIT) - 1)
            other[place[n]] = keys[j]
            place[n] += 1
        keys, other = other, keys
        done += DIGIT
    return keys


cdef void sum_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Sums* c = <Sums*>context
    cdef int64_t n = c.length, k, j, position
    cdef real* total
    cdef const real* v = <const real*>c.v
    for k in range(chunk * c.part, least((chunk + 1) * c.part, c.count)):
        total = <real*>c.sums + k * n
        memset(total, 0, n * sizeof(real))
        for j in range(c.starts[k], c.starts[k + 1]):
            position = c.keys[j] & ((<uint64_t>1 << c.shift) - 1)
            combine_row(total, v + position * n, n, ADD)


cdef int summed_rows(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef Rows numbers
    cdef Sums c
    cdef int64_t* rows = <int64_t*>out[1]
    cdef const int64_t* at = <const int64_t*>inp[1]
    cdef const int64_t* each
    cdef int64_t space[BLOCK]
    cdef int64_t count, keyed = 0, j = 0, k, run
    cdef uint64_t* keys
    cdef int64_t* starts
    cdef bint every
    read_numbers(&numbers, ints)
    count = numbers.count
    if not within(at, count, numbers.rows, numbers.mode):
        return TL_INDEX_OUT_OF_RANGE
    keys = <uint64_t*>scratch(TL_SLOT_ROWS, (3 * count + 1) * sizeof(int64_t))
    if keys == NULL:
        return TL_NO_MEMORY
    starts = <int64_t*>keys + 2 * count
    c.shift = bits_of(count)
    while j < count:
        run = least(BLOCK, count - j)
        each = named(at + j, space, run, numbers.rows, numbers.mode, &every)
        for k in range(run):
            if each[k] >= 0:
                keys[keyed] = <uint64_t>each[k] << c.shift | <uint64_t>(j + k)
                keyed += 1
        j += run
    keys = sort_keys(keys, keys + count, keyed, c.shift, bits_of(numbers.rows))
    c.count = 0
    for j in range(keyed):
        k = keys[j] >> c.shift
        if c.count == 0 or rows[c.count - 1] != k:
            rows[c.count] = k
            starts[c.count] = j
            c.count += 1
    starts[c.count] = keyed
    c.sums, c.v, c.keys, c.starts, c.length = out[0], inp[0], keys, starts, numbers.length
    c.part = most(CHUNK // most(c.length, 1), 1)
    parallel_for(<chunk_fn>sum_chunk[real], &c, (c.count + c.part - 1) // c.part, keyed * (c.length * sizeof(real) * NS_PER_BYTE + 2))
    memset(out[0] + c.count * c.length, 0, (count - c.count) * c.length * sizeof(real))
    memset(rows + c.count, 255, (count - c.count) * sizeof(int64_t))
    return TL_OK


cdef int merged_rows(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # The same of two such gradients added up. ints: (rows of the first, of the second, elements of a row). Inputs: sums and rows of each.
    cdef const real* a = <const real*>inp[0]
    cdef const int64_t* rows = <const int64_t*>inp[1]
    cdef const real* b = <const real*>inp[2]
    cdef const int64_t* others = <const int64_t*>inp[3]
    cdef real* sums = out[0]
    cdef int64_t* made = <int64_t*>out[1]
    cdef int64_t n = ints[2], j = 0, k = 0, count = 0, total = ints[0] + ints[1]
    cdef bint first, second
    while True:
        first = j < ints[0] and rows[j] >= 0
        second = k < ints[1] and others[k] >= 0
        if not (first or second):
            break
        if first and second and rows[j] != others[k]:
            first = rows[j] < others[k]
            second = not first
        made[count] = rows[j] if first else others[k]
        memcpy(sums + count * n, a + j * n if first else b + k * n, n * sizeof(real))
        if first and second:
            combine_row(sums + count * n, b + k * n, n, ADD)
        j += first
        k += second
        count += 1
    memset(sums + count * n, 0, (total - count) * n * sizeof(real))
    memset(made + count, 255, (total - count) * sizeof(int64_t))
    return TL_OK
