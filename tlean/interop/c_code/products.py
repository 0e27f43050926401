"""Matrix products: unrolled for small ones; rows of sums where the second operand lies along them, and dots in lanes where it does not."""

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
_TILE = """\
/* c = a b of (m, k) and (k, n), b and c along their rows; four rows of c at once. */
static void tl_product_S(T *c, const T *a, int64_t a_row, int64_t a_k, const T *b, int64_t b_k, int64_t m, int64_t n, int64_t k) {
    int64_t i = 0;
    for (; i + 4 <= m; i += 4) {
        T *c0 = c + i * n, *c1 = c0 + n, *c2 = c1 + n, *c3 = c2 + n;
        for (int64_t j = 0; j < n; j++) c0[j] = c1[j] = c2[j] = c3[j] = 0;
        for (int64_t p = 0; p < k; p++) {
            const T *r = b + p * b_k, *q = a + i * a_row + p * a_k;
            const T x0 = q[0], x1 = q[a_row], x2 = q[2 * a_row], x3 = q[3 * a_row];
            for (int64_t j = 0; j < n; j++) {
                c0[j] = FMA(x0, r[j], c0[j]);
                c1[j] = FMA(x1, r[j], c1[j]);
                c2[j] = FMA(x2, r[j], c2[j]);
                c3[j] = FMA(x3, r[j], c3[j]);
            }
        }
    }
    for (; i < m; i++) {
        T *c0 = c + i * n;
        for (int64_t j = 0; j < n; j++) c0[j] = 0;
        for (int64_t p = 0; p < k; p++) {
            const T x0 = a[i * a_row + p * a_k];
            for (int64_t j = 0; j < n; j++) c0[j] = FMA(x0, b[p * b_k + j], c0[j]);
        }
    }
}
"""


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
    product = writer.function("tl_product", _TILE, call.dtype)
    writer.add(f"{product}({c}, {a}, {a_row}, {a_k}, {b}, {b_k}, {m}, {n}, {k});")
