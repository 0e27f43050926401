# Packing -------------------------------------------------------------------------------------------------------------------

cdef void pack(real* context, Py_ssize_t group) noexcept nogil:
    # PACK_GROUP panels of A, or further on of those of B that are packed; each for all terms of the block.
    cdef Product* t = <Product*>context
    cdef int64_t nr = TL_NR_f32 if real is float else TL_NR_f64
    cdef int64_t a_groups = groups_of(t.row_panels) if t.pack_a else 0
    cdef int64_t i = group * PACK_GROUP * t.height, j = (t.first_packed_b + (group - a_groups) * PACK_GROUP) * nr, p = t.p0, kb
    cdef int64_t packed_columns = (t.column_panels - t.first_packed_b) * nr
    cdef real* to
    while p < t.p1:
        kb = min(t.k_block, t.p1 - p)
        if group < a_groups:
            to = <real*>t.packed_a + (p - t.p0) * t.mb + i * kb
            pack_a(to, <real*>t.a + (t.i0 + i) * t.a_row + p * t.a_k, t.a_row, t.a_k, t.height, min(PACK_GROUP * t.height, t.mb - i), kb)
        else:
            to = <real*>t.packed_b + (p - t.p0) * packed_columns + (j - t.first_packed_b * nr) * kb
            pack_b(to, <real*>t.b + (t.j0 + j) * t.b_col + p * t.b_k, t.b_k, t.b_col, min(PACK_GROUP * nr, t.nb - j), kb)
        p += kb


cdef inline int64_t groups_of(int64_t panels) noexcept nogil:
    return (panels + PACK_GROUP - 1) // PACK_GROUP


cdef void pack_a(real* to, const real* a, int64_t a_row, int64_t a_k, int64_t height, int64_t rows, int64_t kb) noexcept nogil:
    # `rows` rows in panels of `height`, the last one perhaps smaller.
    cdef int64_t i = 0
    if a_row == 1 and rows > height:
        i = rows // height
        tl_pack_panels(to, height * kb, a, a_k, height, i, kb)
        i *= height
    while i < rows:
        tl_pack_a(to + i * kb, a + i * a_row, a_row, a_k, min(height, rows - i), kb)
        i += height


cdef void pack_b(real* to, const real* b, int64_t b_k, int64_t b_col, int64_t columns, int64_t kb) noexcept nogil:
    cdef int64_t nr = TL_NR_f32 if real is float else TL_NR_f64, j = 0
    if b_col == 1 and columns > nr:
        j = columns // nr
        tl_pack_panels(to, nr * kb, b, b_k, nr, j, kb)
        j *= nr
    while j < columns:
        tl_pack_b(to + j * kb, b + j * b_col, b_k, b_col, kb, min(nr, columns - j))
        j += nr


# Tiles ---------------------------------------------------------------------------------------------------------------------

cdef inline void expect(const real* c, int64_t ldc, int64_t m, int64_t n) noexcept nogil:
    cdef int64_t i, j
    for i in range(m):
        j = 0
        while j < n:
            tl_expect(c + i * ldc + j)
            j += LINE_BYTES // <int64_t>sizeof(real)


cdef inline void add_bias(real* c, int64_t ldc, const real* bias, int64_t m, int64_t n) noexcept nogil:
    cdef int64_t i, j
    for i in range(m):
        for j in range(n):
            c[i * ldc + j] += bias[j]


cdef inline bint last_columns(Product* t) noexcept nogil:
    # Whether the block completes its rows.
    return t.p1 == t.k and t.j0 + t.nb == t.n


cdef void tiles(real* context, Py_ssize_t chunk) noexcept nogil:
    # A chunk is a rectangle of panels. B's panel stays in the first-level cache while A's panels pass by.
    cdef Product* t = <Product*>context
    cdef int64_t nr = TL_NR_f32 if real is float else TL_NR_f64
    cdef int64_t ip0 = chunk % t.row_chunks * t.rows_per_chunk, jp0 = chunk // t.row_chunks * t.columns_per_chunk
    cdef int64_t ip1 = min(ip0 + t.rows_per_chunk, t.row_panels), jp1 = min(jp0 + t.columns_per_chunk, t.column_panels)
    cdef int64_t ip, jp, i, j, mt, nt, a_row = t.a_row, a_k = t.a_k, b_k, p = t.p0, kb
    cdef int64_t packed_columns = (t.column_panels - t.first_packed_b) * nr
    # Where C does not stay in the second-level cache, a tile of it is on its way there while its sums are made.
    cdef bint fetch = t.m * t.ldc * <int64_t>sizeof(real) > PACKED_BYTES
    cdef real* a
    cdef real* b
    cdef real* c
    while p < t.p1:
        kb = min(t.k_block, t.p1 - p)
        for jp in range(jp0, jp1):
            j = jp * nr
            nt = min(nr, t.nb - j)
            if jp >= t.first_packed_b:
                b = <real*>t.packed_b + (p - t.p0) * packed_columns + (jp - t.first_packed_b) * nr * kb
                b_k = nr
            else:
                b = <real*>t.b + (t.j0 + j) + p * t.b_k
                b_k = t.b_k
            for ip in range(ip0, ip1):
                i = ip * t.height
                mt = min(t.height, t.mb - i)
                if t.pack_a:
                    a = <real*>t.packed_a + (p - t.p0) * t.mb + i * kb
                    a_row = 1
                    a_k = mt
                else:
                    a = <real*>t.a + (t.i0 + i) * a_row + p * a_k
                c = <real*>t.c + (t.i0 + i) * t.ldc + t.j0 + j
                if fetch:
                    expect(c, t.ldc, mt, nt)
                tl_micro(mt, nt, kb, a, a_row, a_k, b, b_k, c, t.ldc, p > 0)
                if t.bias != NULL and p + kb == t.k:
                    add_bias(c, t.ldc, <real*>t.bias + t.j0 + j, mt, nt)
        p += kb
    if t.finish != NULL and last_columns(t):
        i = (t.i0 + ip0 * t.height) * t.n
        tl_finished(t.finish, t.base + i, t.base + i + (min(ip1 * t.height, t.mb) - ip0 * t.height) * t.n)


cdef bint crowded(int64_t rows, int64_t step, int64_t period, int64_t ways) noexcept nogil:
    # Whether more of these rows begin at one place of a cache than it has ways. Rows as far apart as its period share all their places.
    cdef int64_t common = step & -step, places = max(<int64_t>1, period // min(common, period))
    return rows > places * ways


# Tiles read an operand where it lies. A copy is made of what has no stride of 1, and pays where lines that are used together share their
# places in a cache: B's rows in the second level, A's in the first.
cdef bint packs_b(Product* t, int64_t size) noexcept nogil:
    return t.b_col != 1 or (t.m >= PACK_B_PANELS * t.height and crowded(t.k_block, t.b_k * size, L2_PERIOD, L2_WAYS))


cdef bint packs_a(Product* t, int64_t nr, int64_t size) noexcept nogil:
    if t.a_row != 1 and t.a_k != 1:
        return True
    if t.n < PACK_A_PANELS * nr:
        return False
    if t.a_row != 1:
        return crowded(t.height, t.a_row * size, L1_PERIOD, L1_WAYS)
    # Columns of A: a line that serves several panels would be fetched for each.
    return 2 * t.height * size <= LINE_BYTES and crowded(t.k_block, t.a_k * size, L2_PERIOD, L2_WAYS)


cdef int by_tiles(Product* t, real tag) noexcept nogil:
    cdef int64_t nr = TL_NR_f32 if real is float else TL_NR_f64
    cdef int64_t vl = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef int64_t m_block = tl_even_panel(t.m, M_BLOCK), n_block = min(t.n, <int64_t>N_BLOCK), terms, space, packs, column_chunks, least
    cdef bint pack_b
    cdef double share = t.nanoseconds / (<double>t.m * t.n * t.k)
    t.k_block = tl_even_panel(t.k, K_BLOCK)
    t.height = tl_even_panel(m_block, TL_MR)
    m_block = (m_block + t.height - 1) // t.height * t.height
    if (t.m + t.height - 1) // t.height < CHUNKS // 4:
        # Too few rows to be divided by rows alone: nothing is reported.
        t.finish = NULL
    # If B does not stay in the second-level cache, a few panels of A share its way there.
    least = 1 if n_block * min(t.k, 2 * t.k_block) * <int64_t>sizeof(real) < PACKED_BYTES else 4
    pack_b = packs_b(t, sizeof(real))
    t.pack_a = packs_a(t, nr, sizeof(real))
    # As many terms at a time as the space for packed panels holds: a small product is packed at once and multiplied at once.
    space = (m_block if t.pack_a else 0) + ((n_block + nr - 1) // nr * nr if pack_b else nr)
    terms = max(<int64_t>1, PACKED_BYTES // (space * t.k_block * <int64_t>sizeof(real))) * t.k_block
    terms = min(terms, t.k)
    t.packed_a = <char*>scratch(TL_SLOT_GEMM_A, m_block * terms * sizeof(real)) if t.pack_a else NULL
    t.packed_b = <char*>scratch(TL_SLOT_GEMM_B, (n_block + nr if pack_b else nr) * terms * sizeof(real))
    if t.packed_b == NULL or (t.pack_a and t.packed_a == NULL):
        return TL_NO_MEMORY
    t.j0 = 0
    while t.j0 < t.n:
        t.nb = min(n_block, t.n - t.j0)
        t.column_panels = (t.nb + nr - 1) // nr
        # The micro-kernel reads whole vectors of B: a panel that ends inside one is packed in any case.
        t.first_packed_b = 0 if pack_b else t.column_panels - 1 if t.nb % vl else t.column_panels
        t.p0 = 0
        while t.p0 < t.k:
            t.p1 = min(t.p0 + terms, t.k)
            t.i0 = 0
            while t.i0 < t.m:
                t.mb = min(m_block, t.m - t.i0)
                t.row_panels = (t.mb + t.height - 1) // t.height
                packs = groups_of(t.row_panels) if t.pack_a else 0
                if t.i0 == 0:
                    packs += groups_of(t.column_panels - t.first_packed_b)
                if packs:
                    parallel_for(<chunk_fn>pack[real], t, packs, 0.06 * packs * PACK_GROUP * nr * (t.p1 - t.p0))
                t.rows_per_chunk = tl_even_panel(t.row_panels, CHUNK_PANELS)
                t.row_chunks = (t.row_panels + t.rows_per_chunk - 1) // t.rows_per_chunk
                column_chunks = min(t.column_panels, max(<int64_t>1, (CHUNKS + t.row_chunks - 1) // t.row_chunks))
                if t.finish != NULL and last_columns(t):
                    # Whole rows, so that they can be reported. B passes by once for each chunk.
                    t.rows_per_chunk = max((t.row_panels + CHUNKS - 1) // CHUNKS, least)
                    t.row_chunks = (t.row_panels + t.rows_per_chunk - 1) // t.rows_per_chunk
                    column_chunks = 1
                t.columns_per_chunk = (t.column_panels + column_chunks - 1) // column_chunks
                column_chunks = (t.column_panels + t.columns_per_chunk - 1) // t.columns_per_chunk
                parallel_for(<chunk_fn>tiles[real], t, t.row_chunks * column_chunks,
                             share * t.mb * t.nb * (t.p1 - t.p0))
                t.i0 += m_block
            t.p0 += terms
        t.j0 += n_block
    return TL_OK


cdef int by_one_column_of_tiles(Product* t, real tag) noexcept nogil:
    # A small product, as there are many in a batch: one panel of B, no division into blocks or chunks.
    cdef int64_t nr = TL_NR_f32 if real is float else TL_NR_f64
    cdef int64_t vl = TL_LANES_f32 if real is float else TL_LANES_f64
    cdef int64_t height = t.m if t.m <= TL_MR else tl_even_panel(t.m, TL_MR), b_k = t.b_k, i = 0, rows
    cdef real* a = <real*>t.a
    cdef real* b = <real*>t.b
    cdef real* c = <real*>t.c
    if t.b_col != 1 or t.n % vl:
        b = <real*>scratch(TL_SLOT_GEMM_B, nr * t.k * sizeof(real))
        if b == NULL:
            return TL_NO_MEMORY
        tl_pack_b(b, <real*>t.b, b_k, t.b_col, t.k, t.n)
        b_k = nr
    while i < t.m:
        rows = min(height, t.m - i)
        tl_micro(rows, t.n, t.k, a + i * t.a_row, t.a_row, t.a_k, b, b_k, c + i * t.ldc, t.ldc, 0)
        i += rows
    if t.bias != NULL:
        add_bias(c, t.ldc, <real*>t.bias, t.m, t.n)
    tl_finished(t.finish, t.base, t.base + t.m * t.n)
    return TL_OK
