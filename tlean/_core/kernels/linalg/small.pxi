# Small matrices, as many at once as a vector has lanes. Included by linalg.pyx.

# Addresses of one matrix for each lane.
cdef struct Lanes:
    void* a[LANES]
    void* b[LANES]
    void* y[LANES]
    int64_t first
    int64_t lanes


cdef void load_rows(real* buf, Lanes* at, void** src, int32_t* perm, int64_t n, int64_t k) noexcept nogil:
    # Row i of each lane's n x k array, or the row that its permutation (n x lanes) names.
    cdef int64_t i, lane, width = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef void* rows[LANES]
    for i in range(n):
        for lane in range(at.lanes):
            rows[lane] = <real*>src[lane] + perm[i * width + lane] * k
        tl_lanes_load(buf + i * k * width, rows, at.lanes, k)


cdef void store_rows(real* buf, Lanes* at, int32_t* perm, int64_t n, int64_t k) noexcept nogil:
    cdef int64_t i, lane, width = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef void* rows[LANES]
    for i in range(n):
        for lane in range(at.lanes):
            rows[lane] = <real*>at.y[lane] + perm[i * width + lane] * k
        tl_lanes_store(buf + i * k * width, rows, at.lanes, k)


cdef bint is_odd(const int32_t* perm, int64_t n, int64_t step) noexcept nogil:
    cdef int64_t i, j
    cdef bint odd = False
    for i in range(n):
        for j in range(i):
            odd ^= perm[j * step] > perm[i * step]
    return odd


cdef void factors_abreast(const real* type, Call* c, Lanes* at, void** to, int64_t pitch, int32_t* perm) noexcept nogil:
    # L and U of each lane's matrix, whose rows are `pitch` apart, a multiple of a vector.
    cdef int64_t i, lane, n = c.n, width = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef int32_t* orders[LANES]
    for lane in range(at.lanes):
        orders[lane] = perm + lane
        for i in range(n):
            memcpy(<real*>to[lane] + i * pitch, <real*>at.a[lane] + i * n, n * sizeof(real))
    lane = 0
    while lane < at.lanes:
        tl_abreast_lu(type, to + lane, orders + lane, width, least(TL_ABREAST, at.lanes - lane), n, pitch)
        lane += TL_ABREAST


cdef void factors_in_lanes(Call* c, Lanes* at, real* m, real* room, int32_t* perm) noexcept nogil:
    # L and U of each lane's matrix, computed, or read where they are known; `room`: for larger ones.
    cdef int64_t i, lane, n = c.n, width = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef int64_t pitch = (n + width - 1) // width * width
    cdef void* blocks[LANES]
    cdef const int32_t* rows
    if c.words == NULL and n <= TL_LANES_ROWS:
        tl_lanes_load(m, at.a, at.lanes, n * n)
        if tl_lanes_lu(m, perm, n):
            tl_lanes_load(m, at.a, at.lanes, n * n)
            tl_lanes_lu_tiny(m, perm, n)
        return
    if c.words == NULL:
        for lane in range(at.lanes):
            blocks[lane] = room + lane * n * pitch
        factors_abreast(room, c, at, blocks, pitch, perm)
        if c.kind == READ:
            # Of the factors only their diagonal is read.
            for i in range(n):
                for lane in range(at.lanes):
                    m[i * (n + 1) * width + lane] = room[(lane * n + i) * pitch + i]
            return
        for i in range(n):
            tl_lanes_load(m + i * n * width, blocks, at.lanes, n)
            for lane in range(at.lanes):
                blocks[lane] = <real*>blocks[lane] + pitch
        return
    for lane in range(at.lanes):
        blocks[lane] = <void*>(c.words + offset(c, c.a_step, at.first + lane) // (n * n) * n * (n + 1))
        rows = <const int32_t*>(<real*>blocks[lane] + n * n)
        for i in range(n):
            perm[i * width + lane] = rows[i]
        if c.part == SIGN or c.part == DETERMINANT:
            perm[n * width + lane] = is_odd(rows, n, 1)
    if c.kind != READ or c.part != ROWS:
        tl_lanes_load(m, blocks, at.lanes, n * n)


cdef void packed_factors(Call* c, Lanes* at, real* m, real* room, int32_t* perm) noexcept nogil:
    # L and U, computed, in the result.
    cdef int64_t i, lane, n = c.n, width = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef int64_t pitch = (n + width - 1) // width * width
    cdef void* blocks[LANES]
    if n <= TL_LANES_ROWS:
        factors_in_lanes(c, at, m, room, perm)
        tl_lanes_store(m, at.y, at.lanes, n * n)
        return
    for lane in range(at.lanes):
        blocks[lane] = at.y[lane] if pitch == n else room + lane * n * pitch
    factors_abreast(room, c, at, blocks, pitch, perm)
    if pitch != n:
        for lane in range(at.lanes):
            for i in range(n):
                memcpy(<real*>at.y[lane] + i * n, <real*>blocks[lane] + i * pitch, n * sizeof(real))


cdef void read_lane(Call* c, real* m, int32_t* perm, int64_t step, real* y, Part part) noexcept nogil:
    # What the factors with entries `step` apart say of the determinant.
    cdef int64_t i, n = c.n
    cdef double total = 0, d
    cdef real product = 1
    cdef bint odd = part != LOGARITHM and is_odd(perm, n, step), negative = False, zero = False
    for i in range(n):
        d = m[i * (n + 1) * step]
        negative ^= d < 0
        zero |= d == 0
        if part == LOGARITHM:
            total += log(fabs(d))
        product *= <real>d
    if part == LOGARITHM:
        y[0] = <real>total
    elif part == DETERMINANT:
        y[0] = -product if odd else product
    elif product != product and not zero:
        y[0] = product
    else:
        y[0] = 0 if zero else (-1 if negative != odd else 1)


cdef bint lanes_run(Call* c, Lanes* at, real* m, real* x, real* room, int32_t* perm) noexcept nogil:
    # The lanes' matrices; whether one was refused.
    cdef int64_t lane, n = c.n, k = c.k, row, col, width = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef int32_t* rows
    cdef real results[LANES]
    cdef bint bad = False
    if c.kind == CHOLESKY:
        tl_lanes_load(m, at.a, at.lanes, n * n)
        bad = tl_lanes_cholesky(m, n, at.lanes)
        tl_lanes_store(m, at.y, at.lanes, n * n)
    elif c.kind == TRIANGULAR:
        tl_lanes_load(m, at.a, at.lanes, n * n)
        tl_lanes_load(x, at.b, at.lanes, n * k)
        swap_steps(c.transpose, n, &row, &col)
        bad = tl_lanes_solve(m, row, col, x, n, k, c.lower == c.transpose, c.unit, at.lanes)
        tl_lanes_store(x, at.y, at.lanes, n * k)
    elif c.kind == SOLVE:
        factors_in_lanes(c, at, m, room, perm)
        if c.transpose:
            tl_lanes_load(x, at.b, at.lanes, n * k)
            bad = tl_lanes_solve(m, 1, n, x, n, k, False, False, at.lanes)
            tl_lanes_solve(m, 1, n, x, n, k, True, True, at.lanes)
            store_rows(x, at, perm, n, k)
        else:
            load_rows(x, at, at.b, perm, n, k)
            tl_lanes_solve(m, n, 1, x, n, k, False, True, at.lanes)
            bad = tl_lanes_solve(m, n, 1, x, n, k, True, False, at.lanes)
            tl_lanes_store(x, at.y, at.lanes, n * k)
    elif c.kind == FACTORS:
        packed_factors(c, at, m, room, perm)
        for lane in range(at.lanes):
            rows = <int32_t*>(<real*>at.y[lane] + n * n)
            for row in range(n):
                rows[row] = perm[row * width + lane]
            memset(rows + n, 0, 8 * n * (n + 1) - n * n * sizeof(real) - 4 * n)
    elif c.part == DETERMINANT and 2 <= n <= 4:
        tl_lanes_load(m, at.a, at.lanes, n * n)
        tl_lanes_minors(m, &results[0], n)
        for lane in range(at.lanes):
            (<real*>at.y[lane])[0] = results[lane]
    elif c.words != NULL and c.part == PACKED:
        for lane in range(at.lanes):
            memcpy(at.y[lane], c.words + offset(c, c.a_step, at.first + lane) // (n * n) * n * (n + 1), n * n * sizeof(real))
    elif c.part == PACKED:
        packed_factors(c, at, m, room, perm)
    else:
        factors_in_lanes(c, at, m, room, perm)
        if c.part == ROWS:
            for lane in range(at.lanes):
                for row in range(n):
                    (<int64_t*>at.y[lane])[row] = perm[row * width + lane]
        elif c.part == DETERMINANT or c.part == SIGN:
            tl_lanes_det(m, perm, &results[0], n, c.part == SIGN)
            for lane in range(at.lanes):
                (<real*>at.y[lane])[0] = results[lane]
        else:
            for lane in range(at.lanes):
                read_lane(c, m + lane, perm + lane, width, <real*>at.y[lane], c.part)
    return bad


cdef int64_t result_bytes(real* tag, Call* c) noexcept nogil:
    # Of one matrix's result.
    if c.kind == CHOLESKY or (c.kind == READ and c.part == PACKED):
        return c.n * c.n * sizeof(real)
    if c.kind == FACTORS:
        return c.n * (c.n + 1) * sizeof(int64_t)
    if c.kind == READ:
        return c.n * sizeof(int64_t) if c.part == ROWS else sizeof(real)
    return c.n * c.k * sizeof(real)


cdef void lanes_chunk(real* context, Py_ssize_t chunk) noexcept nogil:
    cdef Call* c = <Call*>context
    cdef int64_t n = c.n, width = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef int64_t i, lane, each = result_bytes(context, c)
    cdef int64_t last = least((chunk + 1) * c.per_chunk, c.count)
    cdef real* m = <real*>scratch(TL_SLOT_LINALG_MATRIX, n * n * width * sizeof(real))
    cdef real* x = <real*>scratch(TL_SLOT_LINALG_SIDES, n * c.k * width * sizeof(real))
    cdef int32_t* perm = <int32_t*>scratch(TL_SLOT_LINALG_PANEL, (n + 1) * width * sizeof(int32_t))
    cdef bint abreast = n > TL_LANES_ROWS and c.words == NULL and c.kind not in (CHOLESKY, TRIANGULAR)
    cdef int64_t pitch = (n + width - 1) // width * width
    cdef real* room = <real*>scratch(TL_SLOT_LINALG_FACTORS, width * n * pitch * sizeof(real)) if abreast else NULL
    cdef Lanes at
    i = chunk * c.per_chunk
    if c.kind == READ and c.part == DETERMINANT and 2 <= n <= 4 and c.axes < 2:
        tl_many_minors(<real*>c.a + offset(c, c.a_step, i), c.a_step[0] if c.axes else 0, <real*>(c.y + i * each), last - i, n)
        return
    if m == NULL or x == NULL or perm == NULL or (abreast and room == NULL):
        c.status = TL_NO_MEMORY
        return
    while i < last:
        at.first = i
        at.lanes = least(width, last - i)
        for lane in range(at.lanes):
            at.a[lane] = <void*>(<real*>c.a + offset(c, c.a_step, i + lane))
            at.b[lane] = <void*>(<real*>c.b + offset(c, c.b_step, i + lane)) if c.b != NULL else NULL
            at.y[lane] = c.y + (i + lane) * each
        if lanes_run(c, &at, m, x, room, perm):
            c.status = TL_INDEFINITE if c.kind == CHOLESKY else TL_SINGULAR
        i += width
