# Transposes of one plane, tile by tile in registers.

cdef enum:
    TILE1 = 16             # a tile of bytes: a compiler's loop over lines that are in the first cache


cdef inline void transpose_small(
    word* dst, int64_t dst_stride, const word* src, int64_t src_stride, int64_t m, int64_t n
) noexcept nogil:
    cdef int64_t i, k
    for i in range(m):
        for k in range(n):
            dst[i * dst_stride + k] = src[k * src_stride + i]


cdef inline void move_tile(word* dst, int64_t dst_stride, const word* src, int64_t src_stride, int64_t i, int64_t j) noexcept nogil:
    dst += i * dst_stride + j
    src += j * src_stride + i
    if word is uint32_t:
        tl_tile4(dst, dst_stride, src, src_stride)
    elif word is uint64_t:
        tl_tile8(dst, dst_stride, src, src_stride)
    else:
        transpose_small(dst, dst_stride, src, src_stride, TILE1, TILE1)


cdef void transpose_narrow(word* dst, int64_t dst_stride, const word* src, int64_t src_stride, int64_t m, int64_t n) noexcept nogil:
    # transpose_block where a side is shorter than a tile. Tiles pay from a quarter of their columns on; they read whole vectors, which must
    # end within the last row.
    cdef int64_t side = TILE4 if sizeof(word) == 4 else TILE8, j = 0, last = -1
    if sizeof(word) > 1 and 2 < m < side <= 4 * m:
        last = n - side - (side - m + src_stride - 1) // src_stride
    while j <= last:
        if word is uint32_t:
            tl_narrow_tile4(dst + j, dst_stride, src + j * src_stride, src_stride, m)
        elif word is uint64_t:
            tl_narrow_tile8(dst + j, dst_stride, src + j * src_stride, src_stride, m)
        j += side
    transpose_small(dst + j, dst_stride, src + j * src_stride, src_stride, m, n - j)


cdef void transpose_block(word* dst, int64_t dst_stride, const word* src, int64_t src_stride, int64_t m, int64_t n) noexcept nogil:
    # dst[i·dst_stride + j] = src[j·src_stride + i], i < m, j < n. The last tile of a side is moved back to end at the edge.
    cdef int64_t side = TILE4 if sizeof(word) == 4 else TILE8 if sizeof(word) == 8 else TILE1
    cdef int64_t i, j
    if m < side or n < side:
        transpose_narrow(dst, dst_stride, src, src_stride, m, n)
        return
    # The inner loop runs along the longer side, so that long rows are read, or written, from end to end.
    if n < m:
        j = 0
        while j < n:
            i = 0
            while i < m:
                move_tile(dst, dst_stride, src, src_stride, least(i, m - side), least(j, n - side))
                i += side
            j += side
    else:
        i = 0
        while i < m:
            j = 0
            while j < n:
                move_tile(dst, dst_stride, src, src_stride, least(i, m - side), least(j, n - side))
                j += side
            i += side


cdef void transpose_unit(Copy* c, word* dst, const word* src, int64_t unit) noexcept nogil:
    # One span of one block of one plane (axis `along`, last axis); the other axes number the planes.
    cdef int64_t m = c.size[c.along], n = c.size[c.axes - 1], blocks = (m + c.block - 1) // c.block, stride = c.stride[c.axes - 1]
    cdef int64_t left = (unit % c.spans) * SPAN, first = (unit // c.spans % blocks) * c.block, rest = unit // c.spans // blocks
    cdef int64_t i, row_stride = 1, out_stride = n
    cdef int k
    for k in range(c.axes - 2, -1, -1):
        if k == c.along:
            row_stride = out_stride
        else:
            i = rest % c.size[k]
            rest //= c.size[k]
            src += i * c.stride[k]
            dst += i * out_stride
        out_stride *= c.size[k]
    transpose_block(dst + first * row_stride + left, row_stride, src + first + left * stride, stride, least(c.block, m - first),
                    least(SPAN, n - left))
