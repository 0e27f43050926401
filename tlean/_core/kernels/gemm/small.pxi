# Small products -------------------------------------------------------------------------------------------------------------
# Kernels of one shape each, for loops: they look for no path, and the sums are those of the path that `product` takes. `small` says which
# one a call of `matmul` or `linear` is.
# ints: (m, n, k, operand A, its row, its k, operand B, its k, its column, operand of the bias or -1)

cdef enum:
    MOST_SMALL = 16384     # elements of B

ctypedef struct Small:
    int64_t m
    int64_t n
    int64_t k
    int64_t a
    int64_t a_row
    int64_t a_k
    int64_t b
    int64_t b_k
    int64_t b_col
    int64_t bias


cdef inline int with_bias(real* c, void** inp, const Small* s) noexcept nogil:
    if s.bias >= 0 and inp[s.bias] != NULL:
        add_bias(c, s.n, <real*>inp[s.bias], s.m, s.n)
    return TL_OK


cdef int few(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef const Small* s = <const Small*>ints
    tl_few(s.m, s.n, s.k, <real*>inp[s.a], s.a_row, s.a_k, <real*>inp[s.b], s.b_k, s.b_col, out[0])
    return with_bias(out[0], inp, s)


cdef int few_dots(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef const Small* s = <const Small*>ints
    tl_few_dots(s.n, s.k, <real*>inp[s.a], <real*>inp[s.b], s.b_col, out[0])
    return with_bias(out[0], inp, s)


cdef int line_of_dots(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef const Small* s = <const Small*>ints
    tl_dots(1, s.n, s.k, <real*>inp[s.a], s.k, <real*>inp[s.b], s.b_col, out[0], s.n)
    return with_bias(out[0], inp, s)


cdef int line_of_rows(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    cdef const Small* s = <const Small*>ints
    tl_row_sum(s.n, s.k, <real*>inp[s.a], s.a_k, <real*>inp[s.b], s.b_k, out[0])
    return with_bias(out[0], inp, s)


cdef int packed_line(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # `line_of_dots` whose operand B is what `pack_line` made of it.
    cdef const Small* s = <const Small*>ints
    tl_lines(s.n, s.k, <real*>inp[s.b], <real*>inp[s.a], out[0], <real*>NULL, <real*>NULL)
    return with_bias(out[0], inp, s)


cdef int added_line(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # The same, and out[1] = out[0] + inp[2].
    cdef const Small* s = <const Small*>ints
    tl_lines(s.n, s.k, <real*>inp[s.b], <real*>inp[s.a], out[0], <real*>inp[2], out[1])
    return TL_OK


cdef int pack_line(real** out, void** inp, const int64_t* ints, const double* floats, int accumulate) noexcept nogil:
    # inp: operand B alone
    cdef const Small* s = <const Small*>ints
    tl_pack_lines(out[0], s.n, s.k, <real*>inp[0], s.b_col)
    return TL_OK


_SMALL = {
    ("few", "f32"): <size_t>&few[float], ("few", "f64"): <size_t>&few[double],
    ("few_dots", "f32"): <size_t>&few_dots[float], ("few_dots", "f64"): <size_t>&few_dots[double],
    ("line_of_dots", "f32"): <size_t>&line_of_dots[float], ("line_of_dots", "f64"): <size_t>&line_of_dots[double],
    ("line_of_rows", "f32"): <size_t>&line_of_rows[float], ("line_of_rows", "f64"): <size_t>&line_of_rows[double],
    ("packed_line", "f32"): <size_t>&packed_line[float], ("packed_line", "f64"): <size_t>&packed_line[double],
    ("pack_line", "f32"): <size_t>&pack_line[float], ("pack_line", "f64"): <size_t>&pack_line[double],
}
# A line of `matmul`, and what it is where a sum with another array follows.
ADDED = {"f32": (_SMALL["packed_line", "f32"], <size_t>&added_line[float]),
         "f64": (_SMALL["packed_line", "f64"], <size_t>&added_line[double])}


def small(name, suffix, ints, packs):
    """The kernel of a small product.

    Args:
        name: "matmul" or "linear".
        suffix: "f32" or "f64".
        ints: of the call.
        packs: whether there is time to pack operand 0 or 1; whether an operand may be packed is the caller's to know.

    Returns: None where `product` is as good; else its address, its integers, and what it reads packed: None, or (operand, bytes, address of
        what packs it).
    """
    cdef int64_t lanes = TL_LANES_f32 if suffix == "f32" else TL_LANES_f64, item = 4 if suffix == "f32" else 8
    if name == "matmul":
        batch, m, n, k, across_a, across_b = ints[:6]
        if batch != 1:
            return None
        a, b, bias, a_row, a_k = 0, 1, -1, 1 if across_a else k, m if across_a else 1
        b_k, b_col = (1, k) if across_b else (n, 1)
    else:
        m, n, k = ints[:3]
        a, b, bias, a_row, a_k, b_k, b_col = 2, 0, 1, k, 1, 1, k
    if m < 1 or n < 1 or k < 2 or n * k > MOST_SMALL or (n == 1 and bias >= 0):
        return None
    if n == 1 and m > 1:
        a, b, a_k, b_k, b_col, a_row, m, n = b, a, b_k, a_k, a_row, 1, 1, m
    numbers = m, n, k, a, a_row, a_k, b, b_k, b_col, bias
    packed = None
    if b_k == 1 and b_col != 1 and a_k == 1 and m <= DOT_ROWS and 10 * m <= k + 16:
        if m > 1:
            return None
        if packs[b] and 2 * n >= lanes:
            kind = "packed_line"
            packed = b, (n + lanes - 1) // lanes * lanes * k * item, _SMALL["pack_line", suffix]
        else:
            kind = "few_dots" if k <= TL_FEW and n <= TL_FEW else "line_of_dots"
    elif n <= TL_FEW and k <= TL_FEW and m <= SMALL_ROWS:
        kind = "few"
    elif m == 1 and b_col == 1:
        kind = "line_of_rows"
    else:
        return None
    return _SMALL[kind, suffix], numbers, packed
