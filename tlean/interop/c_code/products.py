"""Matrix products: unrolled for small ones; tiles of sums where the second operand lies along its rows, and dots in lanes where not."""

from __future__ import annotations

from tlean.dtypes import FLOATS

from .sums import LANES
from .values import C_TYPES, Value
from .writer import Call, Writer, emits

#: Multiplications of a product that is unrolled.
_UNROLLED = 512

_DOT = """\
/* The sum of n products of neighbours, in lanes. */
TL_INLINE T tl_dot_S(const T *a, const T *b, int64_t n) {{
    T t[{lanes}] = {{0}};
    int64_t i = 0;
    for (; i + {lanes} <= n; i += {lanes})
        for (int l = 0; l < {lanes}; l++) t[l] = FMA(a[i + l], b[i + l], t[l]);
    for (int l = 0; i < n; i++, l++) t[l] = FMA(a[i], b[i], t[l]);
    for (int w = {lanes} / 2; w > 0; w /= 2)
        for (int l = 0; l < w; l++) t[l] = t[l] + t[l + w];
    return t[0];
}}
"""


def _tile(rows: int, width: int) -> str:
    # Some rows and columns of c = a b, or c + a b, whose sums are in registers.
    each = range(rows)
    begins = "\n".join(f"    const T *a{r} = a + {r} * a_row;" for r in each)
    reads = " ".join(f"const T x{r} = a{r}[p * a_k];" for r in each)
    sums = "\n".join(f"        for (int l = 0; l < {width}; l++) t[{r}][l] = FMA(x{r}, x[l], t[{r}][l]);" for r in each)
    ends = "\n".join(
        f"    for (int l = 0; l < {width}; l++) c[{r} * c_row + l] = add ? c[{r} * c_row + l] + t[{r}][l] : t[{r}][l];" for r in each
    )
    args = "T *c, int64_t c_row, const T *a, int64_t a_row, int64_t a_k, const T *b, int64_t b_k, int64_t k, int add"
    return f"""\
TL_INLINE void tl_tile_{rows}_{width}_S({args}) {{
    T t[{rows}][{width}] = {{{{0}}}};
{begins}
    for (int64_t p = 0; p < k; p++) {{
        const T *x = b + p * b_k;
        {reads}
{sums}
    }}
{ends}
}}
"""


#: Sums of products of (m, k) and (k, n) whose elements lie along the rows of b and c, into c or, with `add`, to what is there.
_PRODUCT = """\
static void tl_product_S(
    T *c, int64_t c_row, const T *a, int64_t a_row, int64_t a_k, const T *b, int64_t b_k, int64_t m, int64_t n, int64_t k, int add) {{
    int64_t i = 0;
    for (; m - i >= 4; i += 4) {{
        const T *from = a + i * a_row;
        T *to = c + i * c_row;
        int64_t j = 0;
        for (; n - j >= {lanes}; j += {lanes}) tl_tile_4_{lanes}_S(to + j, c_row, from, a_row, a_k, b + j, b_k, k, add);
        for (; n - j >= 4; j += 4) tl_tile_4_4_S(to + j, c_row, from, a_row, a_k, b + j, b_k, k, add);
        for (; n - j > 0; j++) tl_tile_4_1_S(to + j, c_row, from, a_row, a_k, b + j, b_k, k, add);
    }}
    for (; m - i > 0; i++) {{
        const T *from = a + i * a_row;
        T *to = c + i * c_row;
        int64_t j = 0;
        for (; n - j >= {lanes}; j += {lanes}) tl_tile_1_{lanes}_S(to + j, c_row, from, a_row, a_k, b + j, b_k, k, add);
        for (; n - j > 0; j++) tl_tile_1_1_S(to + j, c_row, from, a_row, a_k, b + j, b_k, k, add);
    }}
}}
"""


def product_text(dtype: str) -> str:
    """The definition of `tl_product_S`, with what it calls."""
    lanes = LANES[dtype]
    return "".join(_tile(*shape) for shape in ((4, lanes), (4, 4), (4, 1), (1, lanes), (1, 1))) + _PRODUCT.format(lanes=lanes)


@emits("matmul")
def _matmul(writer: Writer, call: Call) -> tuple[Value]:
    (a, b), (out,) = call.inputs, call.outs
    batch, m, n, k, turned_a, turned_b, count, *rest = call.ints
    sizes, a_steps, b_steps = rest[:count], rest[count : 2 * count], rest[2 * count :]
    places = [(0, 0)]
    for size, sa, sb in zip(sizes, a_steps, b_steps, strict=True):
        places = [(x + i * sa, y + i * sb) for x, y in places for i in range(size)]
    a_row, a_k = (1, m) if turned_a else (k, 1)
    b_k, b_col = (1, k) if turned_b else (n, 1)
    if not out.size:
        return (Value(out.dtype, 0, ()),)
    if call.dtype in FLOATS and out.size <= writer.most and out.size * k <= _UNROLLED:
        return (_unrolled(writer, call, places[:batch], (a_row, a_k, b_k, b_col)),)
    a, b, made = writer.dense(a), writer.dense(b), writer.room(out.dtype, out.size)
    for number, (at_a, at_b) in enumerate(places[:batch]) if batch <= 4 else [(0, (0, 0))]:
        if batch <= 4:
            _one(writer, call, made, number * m * n, f"{a.pointer} + {at_a}", f"{b.pointer} + {at_b}")
            continue
        with writer.loops(sizes) as numbers:
            starts = [" + ".join(["0", *(f"{i} * {s}" for i, s in zip(numbers, steps, strict=True) if s)]) for steps in (a_steps, b_steps)]
            flat = numbers[0]
            for i, size in zip(numbers[1:], sizes[1:], strict=True):
                flat = f"({flat}) * {size} + {i}"
            _one(writer, call, made, f"({flat}) * {m * n}", f"{a.pointer} + {starts[0]}", f"{b.pointer} + {starts[1]}")
    return (made,)


def _unrolled(writer: Writer, call: Call, places: list[tuple[int, int]], steps: tuple[int, int, int, int]) -> Value:
    (a, b), (out,) = call.inputs, call.outs
    _, m, n, k, *_ = call.ints
    a_row, a_k, b_k, b_col = steps
    fma, name, ctype = "TL_FMAF" if call.dtype == "float32" else "TL_FMA", writer.name(), C_TYPES[call.dtype]
    elements: list[str] = []
    for at_a, at_b in places:
        for i in range(m):
            for j in range(n):
                y = f"{name}_{len(elements)}"
                elements.append(y)
                lines = [f"{ctype} {y} = 0;" if not k else ""]
                for p in range(k):
                    x, w = a.at(at_a + i * a_row + p * a_k), b.at(at_b + p * b_k + j * b_col)
                    lines.append(f"{ctype} {y} = {x} * {w};" if p == 0 else f"{y} = {fma}({x}, {w}, {y});")
                writer.add(" ".join(line for line in lines if line))
    return Value(out.dtype, out.size, tuple(elements))


def _one(writer: Writer, call: Call, made: Value, at: object, a: str, b: str) -> None:
    _, m, n, k, turned_a, turned_b, *_ = call.ints
    a_row, a_k = (1, m) if turned_a else (k, 1)
    b_k, b_col = (1, k) if turned_b else (n, 1)
    c = f"{made.array} + {at}"
    if call.dtype not in FLOATS:
        with writer.loops([m, n]) as (i, j):
            total, ctype = writer.name("t"), C_TYPES[call.outs[0].dtype]
            term = f"(uint64_t)({a})[{i} * {a_row} + p * {a_k}] * (uint64_t)({b})[p * {b_k} + {j} * {b_col}]"
            writer.add(f"uint64_t {total} = 0;", f"for (int64_t p = 0; p < {k}; p++) {total} += {term};")
            writer.add(f"({c})[{i} * {n} + {j}] = ({ctype}){total};")
        return
    if turned_b and not turned_a and (m < 4 or n < 4):
        dot = writer.function("tl_dot", _DOT.format(lanes=LANES[call.dtype]), call.dtype)
        with writer.loops([m, n]) as (i, j):
            writer.add(f"({c})[{i} * {n} + {j}] = {dot}({a} + {i} * {k}, {b} + {j} * {k}, {k});")
        return
    if n == 1 and not turned_a:
        dot = writer.function("tl_dot", _DOT.format(lanes=LANES[call.dtype]), call.dtype)
        with writer.loops([m]) as (i,):
            writer.add(f"({c})[{i}] = {dot}({a} + {i} * {k}, {b}, {k});")
        return
    if turned_b and n > 1:
        # The second operand along its rows, once.
        source = Value(call.dtype, n * k, None, f"({b})", 0, ((k, 1), (n, k)))
        turned = writer.room(call.dtype, n * k)
        writer.copy(turned, source)
        b, b_k = turned.array, n
    product = writer.function("tl_product", product_text(call.dtype), call.dtype)
    writer.add(f"{product}({c}, {n}, {a}, {a_row}, {a_k}, {b}, {b_k}, {m}, {n}, {k}, 0);")
