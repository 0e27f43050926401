"""Ops that move elements: parts, permutations, joins, rows by number. Of small arrays they are other orders of the same variables."""

from __future__ import annotations

from typing import Any

from .functions import function
from .values import C_TYPES, Value, in_memory, literal
from .writer import Call, Writer, emits


@emits("strided_copy")
def _strided(writer: Writer, call: Call) -> tuple[Value]:
    # ints: (offset, axes, sizes…, strides…)
    (x,), (out,) = call.inputs, call.outs
    offset, count = call.ints[:2]
    axes = tuple(zip(call.ints[2 : 2 + count], call.ints[2 + count :], strict=True))
    if x.single:
        return (Value(x.dtype, out.size, (x.at(0),)),)
    if out.size <= writer.most or x.elements is not None:
        places = [offset]
        for n, step in axes:
            places = [p + k * step for p in places for k in range(n)]
        if out.size <= writer.most:
            return (Value(x.dtype, out.size, tuple([x.at(p) for p in places[: out.size]])),)
    x = writer.dense(x)
    return (Value(x.dtype, out.size, None, x.array, x.offset + offset, axes),)


@emits("concat")
def _concat(writer: Writer, call: Call) -> tuple[Value]:
    # ints: (outer, inputs, widths…)
    (out,) = call.outs
    outer, _, *widths = call.ints
    if out.size <= writer.most:
        elements = [x.at(o * w + k) for o in range(outer) for x, w in zip(call.inputs, widths, strict=True) for k in range(w)]
        return (Value(out.dtype, out.size, tuple(elements)),)
    made, at = writer.room(out.dtype, out.size), 0
    for x, w in zip(call.inputs, widths, strict=True):
        if w:
            axes = ((w, 1),) if outer == 1 else ((outer, sum(widths)), (w, 1))
            writer.copy(Value(out.dtype, x.size, None, made.array, at, axes), x)
        at += w
    return (made,)


@emits("place")
def _place(writer: Writer, call: Call) -> tuple[Value]:
    # ints: (axes, in sizes…, out sizes…, starts…, steps…); floats: (value,)
    (x,), (out,) = call.inputs, call.outs
    count = call.ints[0]
    sizes, outs, starts, steps = (call.ints[1 + k * count : 1 + (k + 1) * count] for k in range(4))
    fill = literal(call.floats[0], out.dtype)
    strides = [1] * count
    for k in range(count - 1, 0, -1):
        strides[k - 1] = strides[k] * outs[k]
    offset = sum(a * s for a, s in zip(starts, strides, strict=True))
    axes = tuple((n, a * s) for n, a, s in zip(sizes, steps, strides, strict=True))
    if out.size <= writer.most:
        elements = [fill] * out.size
        for k in range(x.size):
            place, rest = offset, k
            for n, step in reversed(axes):
                place += rest % n * step
                rest //= n
            elements[place] = x.at(k)
        return (Value(out.dtype, out.size, tuple(elements)),)
    made = writer.room(out.dtype, out.size)
    writer.copy(made, Value(out.dtype, out.size, (fill,)))
    if x.size:
        writer.copy(Value(out.dtype, x.size, None, made.array, offset, axes), x)
    return (made,)


@emits("triangle")
def _triangle(writer: Writer, call: Call) -> tuple[Value]:
    (x,), (out,) = call.inputs, call.outs
    rows, columns = out.shape[-2:]
    upper, k = call.node.record.name == "triu", call.node.options["k"]
    zero = literal(0, out.dtype)
    if out.size <= writer.most:
        kept = [
            (j - i >= k) if upper else (j - i <= k)
            for _ in range(out.size // max(rows * columns, 1))
            for i in range(rows)
            for j in range(columns)
        ]
        return (Value(out.dtype, out.size, tuple([x.at(n) if keep else zero for n, keep in enumerate(kept)])),)
    x, made = writer.dense(x), writer.room(out.dtype, out.size)
    with writer.loops([out.size // (rows * columns), rows, columns]) as (b, i, j):
        at = f"({b} * {rows} + {i}) * {columns} + {j}"
        writer.add(f"{made.array}[{at}] = {j} - {i} {'>=' if upper else '<='} {k} ? {x.pointer}[{at}] : {zero};")
    return (made,)


@emits("eye")
def _eye(writer: Writer, call: Call) -> tuple[Value]:
    (out,) = call.outs
    rows, columns = out.shape
    one, zero, offset = literal(1, out.dtype), literal(0, out.dtype), call.node.options["offset"]
    if out.size <= writer.most:
        return (Value(out.dtype, out.size, tuple([one if j == i + offset else zero for i in range(rows) for j in range(columns)])),)
    made = writer.room(out.dtype, out.size)
    with writer.loops([rows, columns]) as (i, j):
        writer.add(f"{made.array}[{i} * {columns} + {j}] = {j} == {i} + ({offset}) ? {one} : {zero};")
    return (made,)


# Rows by number -------------------------------------------------------------------------------------------------------------
# ints: (rows of x, elements in a row, rows taken, mode, blocks, what a scatter does); see `tlean/ops/rows/take.py`.


def _resolved(writer: Writer, at: str, rows: int, mode: int) -> str:
    # The row that an index names, -1 for none.
    r = writer.name("r")
    writer.add(f"int64_t {r} = {at};")
    if mode == 3:
        writer.add(f"{r} = {r} > {rows - 1} ? {rows - 1} : {r}; {r} = {r} < 0 ? 0 : {r};")
        return r
    if mode in (2, 4):
        writer.add(f"if ({r} < 0) {r} += {rows};")
    writer.add(f"if ({r} < 0 || {r} >= {rows}) {r} = -1;")
    if mode in (1, 2):
        writer.fail(f"{r} < 0")
    return r


@emits("gather_rows")
def _gather(writer: Writer, call: Call) -> tuple[Value]:
    (x, at), (out,) = call.inputs, call.outs
    rows, length, count, mode, blocks, _ = call.ints
    x, at, made = writer.dense(x), writer.dense(at), writer.room(out.dtype, out.size)
    if out.size:
        with writer.loops([blocks, count]) as (b, j):
            r = _resolved(writer, f"{at.pointer}[{j}]", rows, mode)
            target, source = f"{made.array}[({b} * {count} + {j}) * {length} + k]", f"{x.pointer}[({b} * {rows} + {r}) * {length} + k]"
            writer.add(f"for (int64_t k = 0; k < {length}; k++) {target} = {r} < 0 ? {literal(0, out.dtype)} : {source};")
    return (made,)


@emits("scatter_rows", "scatter_into_rows", "set_rows")
def _scatter(writer: Writer, call: Call) -> tuple[Value]:
    (out,) = call.outs
    rows, length, count, mode, blocks, what = call.ints
    made = writer.room(out.dtype, out.size)
    if call.node.record.kernel == "scatter_rows":
        v, at = call.inputs
        writer.copy(made, Value(out.dtype, out.size, (literal(0, out.dtype),)))
    else:
        x, v, at = call.inputs
        writer.copy(made, x)
        what = 1 if call.node.record.kernel == "set_rows" else what
    v, at = writer.dense(v), writer.dense(at)
    if v.size:
        with writer.loops([blocks, count]) as (b, j):
            r = _resolved(writer, f"{at.pointer}[{j}]", rows, mode)
            with writer.block(f"for (int64_t k = 0; {r} >= 0 && k < {length}; k++)"):
                new, old = f"{v.pointer}[({b} * {count} + {j}) * {length} + k]", f"{made.array}[({b} * {rows} + {r}) * {length} + k]"
                writer.add(f"{old} = {_combined(what, old, new, out.dtype)};")
    return (made,)


def _combined(what: int, old: str, new: str, dtype: str) -> str:
    if what == 0:
        return f"{old} + {new}"
    if what == 1:
        return new
    sign = ">" if what == 2 else "<"
    return f"({new} {sign} {old} || {new} != {new}) ? {new} : {old}"


def _box(writer: Writer, call: Call, at: Any) -> tuple[list[int], list[int], str]:
    # ints: (elements of x, offset, axes, sizes…, strides…)
    _, offset, count, *rest = call.ints
    return list(rest[:count]), list(rest[count:]), f"{offset}" + ("" if at is None else f" + {at.at(0)}")


def _in_box(numbers: list[str], strides: list[int]) -> tuple[str, str]:
    return " + ".join(f"{i} * ({s})" for i, s in zip(numbers, strides, strict=True)), ""


@emits("set_box")
def _set_box(writer: Writer, call: Call) -> tuple[Value]:
    (x, v, at), (out,) = call.inputs, call.outs
    made = writer.room(out.dtype, out.size)
    writer.copy(made, x)
    sizes, strides, start = _box(writer, call, at)
    v = writer.dense(v)
    if v.size:
        with writer.block("" if at is None else f"if ({at.at(0)} != -1)"):
            if at is not None:
                last = sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
                writer.fail(f"{start} < 0 || {start} + {last} >= {out.size}")
            with writer.loops(sizes) as numbers:
                flat = numbers[0]
                for i, n in zip(numbers[1:], sizes[1:], strict=True):
                    flat = f"({flat}) * {n} + {i}"
                writer.add(f"{made.array}[{start} + {_in_box(numbers, strides)[0]}] = {v.pointer}[{flat}];")
    return (made,)


@emits("take_box")
def _take_box(writer: Writer, call: Call) -> tuple[Value]:
    (x, at), (out,) = call.inputs, call.outs
    sizes, strides, start = _box(writer, call, at)
    x, made = writer.dense(x), writer.room(out.dtype, out.size)
    if out.size:
        last = sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
        writer.fail(f"{at.at(0)} != -1 && ({start} < 0 || {start} + {last} >= {x.size})")
        with writer.loops(sizes) as numbers:
            flat = numbers[0]
            for i, n in zip(numbers[1:], sizes[1:], strict=True):
                flat = f"({flat}) * {n} + {i}"
            source = f"{x.pointer}[{start} + {_in_box(numbers, strides)[0]}]"
            writer.add(f"{made.array}[{flat}] = {at.at(0)} == -1 ? {literal(0, out.dtype)} : {source};")
    return (made,)


@emits("_one_hot")
def _one_hot(writer: Writer, call: Call) -> tuple[Value]:
    (labels,), (out,) = call.inputs, call.outs
    options = call.node.options
    depth, ignored = options["depth"], options["ignore_index"]
    labels, made = writer.dense(labels), writer.room(out.dtype, out.size)
    if out.size:
        with writer.loops([out.size // depth]) as (i,):
            label = f"{labels.pointer}[{i}]"
            if options["strict"]:
                spared = "" if ignored is None else f" && {label} != {ignored}"
                writer.fail(f"({label} < 0 || {label} >= {depth}){spared}")
            kept = "" if ignored is None else f" && {label} != {ignored}"
            writer.add(f"for (int64_t k = 0; k < {depth}; k++) {made.array}[{i} * {depth} + k] = {label} == k{kept};")
    return (made,)


def dense_room(writer: Writer, dtype: str, size: int) -> Value:
    """Memory of the scratch structure, whatever the size."""
    name = writer.name("a")
    writer.members.append(f"{C_TYPES[dtype]} {name}[{max(size, 1)}];")
    return in_memory(dtype, size, f"s->{name}")


# Where a query may attend to a key; ints: (batch, queries, keys, causal, then of mask and bias: items that share a part, parts, elements
# of a part, from one row to the next).
_ALLOWED = """\
static void tl_allowed_S(T *y, const uint8_t *mask, const T *bias, const int64_t *n) {
    for (int64_t b = 0; b < n[0]; b++)
        for (int64_t i = 0; i < n[1]; i++)
            for (int64_t j = 0; j < n[2]; j++) {
                int open = !n[3] || j <= i;
                if (mask && !mask[b / n[4] % n[5] * n[6] + i * n[7] + j]) open = 0;
                if (bias && bias[b / n[8] % n[9] * n[10] + i * n[11] + j] == -INFINITY) open = 0;
                *y++ = open ? 1 : 0;
            }
}
"""
function("_attention_allowed", name="tl_allowed", text=_ALLOWED)
