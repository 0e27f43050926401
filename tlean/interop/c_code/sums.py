"""Reductions: sums in the order of the library's, which adds in lanes and in blocks; maxima, positions, running sums."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tlean.dtypes import FLOATS

from .values import C_TYPES, Value, literal
from .writer import Call, Writer, emits

#: Elements of a vector of 64 bytes, whose lanes are added apart.
LANES = {"float32": 16, "float64": 8}
_STRIPS, _NARROW, _PANEL = 32, 128, 1024

_ROWS = """\
/* The sum of n neighbours: in {lanes} lanes, by strips of four vectors, at last lane by lane. */
static T tl_sum_S(const T *x, int64_t n) {{
    T t[4][{lanes}], total = 0;
    int64_t i = 0;
    if (n < {lanes}) {{
        for (; i < n; i++) total = total + x[i];
        return total;
    }}
    memset(t, 0, sizeof t);
    for (int64_t first = 0, strips = n / {strip}; first < strips; first += {most}) {{
        int64_t stop = strips < first + {most} ? strips : first + {most}, s = first;
        T a[4][{lanes}];
        memset(a, 0, sizeof a);
        for (; s + 2 <= stop; s += 2, i += 2 * {strip})
            for (int k = 0; k < 4; k++)
                for (int l = 0; l < {lanes}; l++)
                    a[k][l] = a[k][l] + (x[i + k * {lanes} + l] + x[i + (k + 4) * {lanes} + l]);
        for (; s < stop; s++, i += {strip})
            for (int k = 0; k < 4; k++)
                for (int l = 0; l < {lanes}; l++) a[k][l] = a[k][l] + x[i + k * {lanes} + l];
        for (int k = 0; k < 4; k++)
            for (int l = 0; l < {lanes}; l++) t[k][l] = t[k][l] + a[k][l];
    }}
    for (int l = 0; l < {lanes}; l++) t[0][l] = (t[0][l] + t[2][l]) + (t[1][l] + t[3][l]);
    for (; i + {lanes} <= n; i += {lanes})
        for (int l = 0; l < {lanes}; l++) t[0][l] = t[0][l] + x[i + l];
    for (int l = (int)({lanes} - (n - i)); i < n; l++, i++) t[0][l] = t[0][l] + x[i];
    for (int w = {lanes} / 2; w > 0; w /= 2)
        for (int l = 0; l < w; l++) t[0][l] = t[0][l] + t[0][l + w];
    return t[0][0];
}}
"""
_COLUMNS = """\
/* sum[j] = the sum of w columns of up to 64 rows: groups of 8 as trees, the rest one by one. */
static void tl_block_S(T *sum, const T *x, int64_t rows, int64_t stride, int64_t w) {
    int64_t r = 0;
    for (; r + 8 <= rows; r += 8) {
        const T *a = x + r * stride;
        for (int64_t j = 0; j < w; j++) {
            T e = ((a[j] + a[j + stride]) + (a[j + 2 * stride] + a[j + 3 * stride]))
                + ((a[j + 4 * stride] + a[j + 5 * stride]) + (a[j + 6 * stride] + a[j + 7 * stride]));
            sum[j] = r == 0 ? e : sum[j] + e;
        }
    }
    if (r == 0) {
        for (int64_t j = 0; j < w; j++) sum[j] = x[j];
        r = 1;
    }
    for (; r < rows; r++)
        for (int64_t j = 0; j < w; j++) sum[j] = sum[j] + x[r * stride + j];
}

static void tl_panel_S(T *total, const T *x, int64_t rows, int64_t stride, int64_t w) {
    T part[1024];
    tl_block_S(total, x, rows < 64 ? rows : 64, stride, w);
    for (int64_t r = 64; r < rows; r += 64) {
        tl_block_S(part, x + r * stride, rows - r < 64 ? rows - r : 64, stride, w);
        for (int64_t j = 0; j < w; j++) total[j] = total[j] + part[j];
    }
}

/* The sums of w <= 1024 columns. Few columns are widened: neighbouring rows make one wide row, which is folded in half at last. */
static void tl_columns_S(T *total, const T *x, int64_t rows, int64_t stride, int64_t w) {
    T side[256];
    int64_t beside = 1, wide;
    if (stride == w)
        while (beside * w < 128 && rows >= 16 * beside) beside *= 2;
    if (beside == 1) {
        tl_panel_S(total, x, rows, stride, w);
        return;
    }
    wide = beside * w;
    tl_panel_S(side, x, rows / beside, wide, wide);
    x += rows / beside * wide;
    for (int64_t j = 0; j < rows % beside * w; j++) side[j] = side[j] + x[j];
    while (beside > 1) {
        beside /= 2;
        for (int64_t j = 0; j < beside * w; j++) side[j] = side[j] + side[beside * w + j];
    }
    for (int64_t j = 0; j < w; j++) total[j] = side[j];
}
"""


def _rows(writer: Writer, call: Call) -> str:
    lanes = LANES[call.dtype]
    return writer.function("tl_sum", _ROWS.format(lanes=lanes, strip=4 * lanes, most=_STRIPS), call.dtype)


def _passes(ints: Sequence[int]) -> list[tuple[int, int, int]]:
    # A reduction of alternating runs as passes from (outer, length, width) to (outer, width), the last reduced run first.
    runs, first, *sizes = ints
    reduced = [k for k in range(runs) if (k % 2 == 0) == bool(first)]
    passes = []
    for k in reversed(reduced):
        outer = width = 1
        for j, n in enumerate(sizes):
            if j < k:
                outer *= n
            elif j > k and j not in reduced:
                width *= n
        passes.append((outer, sizes[k], width))
    return passes


@emits("reduce_sum")
def _sum(writer: Writer, call: Call) -> tuple[Value]:
    (x,), (out,) = call.inputs, call.outs
    passes = _passes(call.ints)
    if 0 in call.ints[2:]:
        empty = Value(out.dtype, out.size, (literal(0, out.dtype),))
        return (_divided(writer, empty, call) if out.size else Value(out.dtype, 0, ()),)
    if call.dtype not in FLOATS:
        return (_plain(writer, call, passes),)
    for outer, length, width in passes:
        if _unrolls(writer, call.dtype, outer, length, width):
            x = _unrolled_pass(writer, call.dtype, x, outer, length, width)
        else:
            x = _pass(writer, call, writer.dense(x), outer, length, width)
    return (_divided(writer, x, call),)


def _unrolls(writer: Writer, dtype: str, outer: int, length: int, width: int) -> bool:
    few = outer * length * width <= 2 * writer.most and outer * width <= writer.most
    return few and (width > 1 or length < 8 * LANES[dtype])


def _divided(writer: Writer, x: Value, call: Call) -> Value:
    divisor = call.floats[0] if call.floats else 1.0
    if divisor == 1.0:
        return x
    by = literal(divisor, x.dtype)
    if x.elements is not None or x.size <= writer.most:
        return writer.variables(x.dtype, [f"{e} / {by}" for e in x.all()])
    writer.each([x], x.size, lambda at: [f"{at[0]} = {at[0]} / {by};"])
    return x


def _unrolled_pass(writer: Writer, dtype: str, x: Value, outer: int, length: int, width: int) -> Value:
    texts = []
    for o in range(outer):
        for j in range(width):
            terms = [x.at((o * length + k) * width + j) for k in range(length)]
            texts.append(_row(terms, LANES[dtype]) if width == 1 else _column(terms, width))
    return writer.variables(dtype, texts)


def _tree(terms: Sequence[str]) -> str:
    while len(terms) > 1:
        terms = [f"({a} + {b})" for a, b in zip(terms[::2], terms[1::2], strict=True)]
    return terms[0]


def _chain(terms: Sequence[str]) -> str:
    return " + ".join(terms)


def _row(terms: list[str], lanes: int) -> str:
    # As `tl_sum` adds, in lanes; fewer than two strips of four vectors.
    n = len(terms)
    if n < lanes:
        return _chain(terms)
    if n >= 4 * lanes:
        strip = [terms[k * lanes : (k + 1) * lanes] for k in range(4)]
        total = [[f"(({a} + {c}) + ({b} + {d}))"] for a, b, c, d in zip(*strip, strict=True)]
        i = 4 * lanes
    else:
        total, i = [[] for _ in range(lanes)], 0
    for first in range(i, n - lanes + 1, lanes):
        for lane in range(lanes):
            total[lane].append(terms[first + lane])
        i = first + lanes
    for k in range(i, n):
        total[lanes - (n - k)].append(terms[k])
    sums = [f"({_chain(t)})" if len(t) > 1 else t[0] for t in total]
    while len(sums) > 1:
        half = len(sums) // 2
        sums = [f"({a} + {b})" for a, b in zip(sums[:half], sums[half:], strict=True)]
    return sums[0]


def _column(terms: list[str], width: int) -> str:
    beside, rows = 1, len(terms)
    while beside * width < _NARROW and rows >= 16 * beside:
        beside *= 2
    if beside == 1:
        return _panel(terms)
    sums = [_panel(terms[k : rows // beside * beside : beside]) for k in range(beside)]
    for k, term in enumerate(terms[rows // beside * beside :]):
        sums[k] = f"({sums[k]} + {term})"
    while len(sums) > 1:
        half = len(sums) // 2
        sums = [f"({a} + {b})" for a, b in zip(sums[:half], sums[half:], strict=True)]
    return sums[0]


def _panel(terms: list[str]) -> str:
    blocks = []
    for first in range(0, len(terms), 64):
        block = terms[first : first + 64]
        whole = len(block) // 8 * 8
        parts = [_tree(block[k : k + 8]) for k in range(0, whole, 8)] + block[whole:]
        blocks.append(parts[0] if len(parts) == 1 else f"({_chain(parts)})")
    return blocks[0] if len(blocks) == 1 else f"({_chain(blocks)})"


def _pass(writer: Writer, call: Call, x: Value, outer: int, length: int, width: int) -> Value:
    made = writer.room(call.dtype, outer * width)
    if width == 1:
        sums = _rows(writer, call)
        with writer.loops([outer]) as (o,):
            writer.add(f"{made.array}[{o}] = {sums}({x.pointer} + {o} * {length}, {length});")
        return made
    columns = writer.function("tl_columns", _COLUMNS, call.dtype)
    with writer.loops([outer]) as (o,):
        for first in range(0, width, _PANEL):
            w = min(_PANEL, width - first)
            source = f"{x.pointer} + {o} * {length * width} + {first}"
            writer.add(f"{columns}({made.array} + {o} * {width} + {first}, {source}, {length}, {width}, {w});")
    return made


def _plain(writer: Writer, call: Call, passes: Sequence[tuple[int, int, int]]) -> Value:
    # Of integers: any order has the same sum.
    (x,), (out,) = call.inputs, call.outs
    for outer, length, width in passes:
        x, made = writer.dense(x), writer.room(out.dtype, outer * width)
        with writer.loops([outer, width]) as (o, j):
            total, at = writer.name("t"), f"{made.array}[{o} * {width} + {j}]"
            writer.add(f"uint64_t {total} = 0;")
            source = f"{x.pointer}[({o} * {length} + k) * {width} + {j}]"
            writer.add(f"for (int64_t k = 0; k < {length}; k++) {total} += (uint64_t){source};", f"{at} = ({C_TYPES[out.dtype]}){total};")
        x = made
    if x.dtype != out.dtype:
        made = writer.room(out.dtype, out.size)
        writer.copy(made, x)
        return made
    return x


# One result a line ----------------------------------------------------------------------------------------------------------


def _lines(writer: Writer, x: Value, ints: Sequence[int]) -> tuple[Value, int, int]:
    # The array with the kept axes first and the reduced ones last, in memory: (it, kept, reduced).
    runs, first, *sizes = ints
    strides = [1] * runs
    for k in range(runs - 1, 0, -1):
        strides[k - 1] = strides[k] * sizes[k]
    reduced = [k for k in range(runs) if (k % 2 == 0) == bool(first)]
    kept = [k for k in range(runs) if k not in reduced]
    count = length = 1
    for k in kept:
        count *= sizes[k]
    for k in reduced:
        length *= sizes[k]
    if (kept and reduced and kept[0] > reduced[0]) or len(kept) > 1:
        x = writer.dense(x)
        axes = tuple((sizes[k], strides[k]) for k in (*kept, *reduced))
        x = Value(x.dtype, x.size, None, x.array, x.offset, axes)
    return writer.dense(x), count, length


def each_line(writer: Writer, call: Call, first: str, step: str) -> Value:
    """One result for each line of x: it begins with `first`, and `step` changes it; {x} is the element, {y} the result."""
    (x, *_), out = call.inputs, call.outs[0]
    x, count, length = _lines(writer, x, call.ints)
    made = writer.room(out.dtype, out.size)
    if out.size:
        with writer.loops([count]) as (i,):
            y, ctype = writer.name("t"), C_TYPES[out.dtype]
            line = f"{x.pointer} + {i} * {length}"
            writer.add(f"const {C_TYPES[x.dtype]} *l{y} = {line};", f"{ctype} {y} = {first.format(x=f'l{y}[0]')};")
            with writer.block(f"for (int64_t k = 0; k < {length}; k++)"):
                writer.add(step.format(y=y, x=f"l{y}[k]", l=f"l{y}"))
            writer.add(f"{made.array}[{i}] = {y};")
    return made


@emits("reduce_max", "max_index", "argmax")
def _maximum(writer: Writer, call: Call) -> list[Value]:
    # The first maximum, or the first NaN.
    greater = "({x} > {l}[{y}] || {x} != {x}) && {l}[{y}] == {l}[{y}]"
    step = f"if ({greater}) {{y}} = ({C_TYPES[call.outs[-1].dtype]})k;"
    index = partial(each_line, writer, call._replace(outs=call.outs[-1:]), "0", step)
    if call.node.record.kernel != "reduce_max":
        return [index()]
    if not call.read[0]:
        return [Value(call.outs[0].dtype, call.outs[0].size, (literal(0, call.outs[0].dtype),)), index()]
    value = each_line(writer, call, "{x}", "if (({x} > {y} || {x} != {x}) && {y} == {y}) {y} = {x};")
    return [value, index()] if call.read[1] else [value]


@emits("any", "all")
def _truth(writer: Writer, call: Call) -> tuple[Value]:
    if call.node.record.kernel == "any":
        return (each_line(writer, call, "0", "if ({x}) {y} = 1;"),)
    return (each_line(writer, call, "1", "if (!{x}) {y} = 0;"),)


def _at(call: Call, i: str, position: str) -> str:
    # The place of an element of x: kept element number i, and a position along the reduced axes.
    runs, first, *sizes = call.ints
    stride, parts = 1, []
    rest = {True: position, False: i}
    for k in range(runs - 1, -1, -1):
        kind = (k % 2 == 0) == bool(first)
        parts.append(f"(({rest[kind]}) % {sizes[k]}) * {stride}")
        rest[kind] = f"({rest[kind]}) / {sizes[k]}"
        stride *= sizes[k]
    if rest[True] == position:
        # Compilers warn of positions that none reads.
        parts.append(f"0 * {position}")
    return " + ".join(parts)


@emits("take_at")
def _take_at(writer: Writer, call: Call) -> tuple[Value]:
    (x, index), (out,) = call.inputs, call.outs
    x, index, made = writer.dense(x), writer.dense(index), writer.room(out.dtype, out.size)
    if out.size:
        with writer.loops([out.size]) as (i,):
            writer.add(f"{made.array}[{i}] = {x.pointer}[{_at(call, i, f'{index.pointer}[{i}]')}];")
    return (made,)


@emits("place_at")
def _place_at(writer: Writer, call: Call) -> tuple[Value]:
    (v, index), (out,) = call.inputs, call.outs
    v, index, made = writer.dense(v), writer.dense(index), writer.room(out.dtype, out.size)
    writer.copy(made, Value(out.dtype, out.size, (literal(0, out.dtype),)))
    if v.size:
        with writer.loops([v.size]) as (i,):
            writer.add(f"{made.array}[{_at(call, i, f'{index.pointer}[{i}]')}] = {v.pointer}[{i}];")
    return (made,)


@emits("cumsum")
def _cumsum(writer: Writer, call: Call) -> tuple[Value]:
    # ints: (outer, length, inner, whether from the end)
    (x,), (out,) = call.inputs, call.outs
    outer, length, inner, back = call.ints
    x, made = writer.dense(x), writer.room(out.dtype, out.size)
    if out.size:
        with writer.loops([outer, inner]) as (o, j):
            total = writer.name("t")
            writer.add(f"{C_TYPES[out.dtype]} {total} = 0;")
            with writer.block(f"for (int64_t k = 0; k < {length}; k++)"):
                step = f"({length - 1} - k)" if back else "k"
                at = f"({o} * {length} + {step}) * {inner} + {j}"
                writer.add(f"{total} = {total} + {x.pointer}[{at}];", f"{made.array}[{at}] = {total};")
    return (made,)
