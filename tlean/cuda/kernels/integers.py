"""Ops of integers and Booleans: elementwise kernels made of the registry's formulas, sums, running sums and maxima.

Sums are modulo 2^64, so the order in which threads add to one does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ...errors import ShapeError
from ...ops.integers.c_text import functions, operand_types, result_type, to_c
from ...ops.integers.forms import INTEGER_FORMULAS, IntegerFormula
from .plan import COMMON, Argument, Family, In, Out, Plan, Planner, ceil_div, flat

#: The C types of the endings of kernels' names.
TYPES = {"i64": "i64", "i32": "int", "b8": "unsigned char"}
_UNSIGNED = {"i64": "unsigned long long", "i32": "unsigned int"}
#: Axes of operands, and runs of axes that are kept or reduced, after neighbours are merged.
MOST_AXES = 8
#: Elements that a thread adds up.
SLICE = 256

_SOURCE = f"""
enum {{ AXES = {MOST_AXES} }};
/* The outermost axis first; axes that are not there have size 1. */
struct Strided {{ i64 sizes[AXES], steps[3][AXES]; }};
struct Line {{ i64 sizes[AXES], steps[AXES]; }};

__device__ __forceinline__ i64 place(i64 i, const i64 *sizes, const i64 *steps) {{
    i64 at = 0;
    for (int a = AXES - 1; a >= 0; a--) {{
        at += i % sizes[a] * steps[a];
        i /= sizes[a];
    }}
    return at;
}}

extern "C" __global__ void k_zeros_of_integers(i64 *out, i64 n) {{ TL_EACH(i, n) out[i] = 0; }}
"""

_REDUCTIONS = """
/* One element of a product of matrices for each thread; of Booleans whether any pair is true. */
extern "C" __global__ void k_integer_matmul_@(
    TYPE *y, const TYPE *a, const TYPE *b, i64 m, i64 columns, i64 k, i64 turn_a, i64 turn_b, Strided s, i64 n
) {
    TL_EACH(i, n) {
        const i64 item = i / (m * columns), row = i / columns % m, column = i % columns;
        const TYPE *p = a + place(item, s.sizes, s.steps[0]) + (turn_a ? row : row * k);
        const TYPE *q = b + place(item, s.sizes, s.steps[1]) + (turn_b ? column * k : column);
        const i64 down_a = turn_a ? m : 1, down_b = turn_b ? 1 : columns;
        unsigned long long total = 0;
        for (i64 j = 0; j < k; j++) total += (unsigned long long)(i64)p[j * down_a] * (unsigned long long)(i64)q[j * down_b];
        y[i] = sizeof(TYPE) == 1 ? (TYPE)(total != 0) : (TYPE)total;
    }
}

/* A slice of one element's sum for each thread, added to what other threads find. */
extern "C" __global__ void k_integer_sum_@(i64 *out, const TYPE *x, Line kept, Line reduced, i64 count, i64 slices, i64 width, i64 n) {
    TL_EACH(i, n) {
        const TYPE *from = x + place(i / slices, kept.sizes, kept.steps);
        const i64 first = i % slices * width, last = first + width < count ? first + width : count;
        unsigned long long total = 0;
        for (i64 j = first; j < last; j++) total += (unsigned long long)(i64)from[place(j, reduced.sizes, reduced.steps)];
        atomicAdd((unsigned long long *)out + i / slices, total);
    }
}

/* The maximum, and the position of the first one, as 32 and as 64 bits; any of the three may be 0. */
extern "C" __global__ void k_integer_max_@(
    TYPE *out, int *index, i64 *position, const TYPE *x, Line kept, Line reduced, i64 count, i64 n
) {
    TL_EACH(i, n) {
        const TYPE *from = x + place(i, kept.sizes, kept.steps);
        TYPE top = from[0];
        i64 found = 0;
        for (i64 j = 1; j < count; j++) {
            const TYPE v = from[place(j, reduced.sizes, reduced.steps)];
            if (v > top) top = v, found = j;
        }
        if (out) out[i] = top;
        if (index) index[i] = (int)found;
        if (position) position[i] = found;
    }
}

extern "C" __global__ void k_integer_product_@(i64 *out, const TYPE *x, Line kept, Line reduced, i64 count, i64 n) {
    TL_EACH(i, n) {
        const TYPE *from = x + place(i, kept.sizes, kept.steps);
        unsigned long long total = 1;
        for (i64 j = 0; j < count; j++) total *= (unsigned long long)(i64)from[place(j, reduced.sizes, reduced.steps)];
        out[i] = (i64)total;
    }
}

/* Sums so far, or products so far, which may leave out the element itself. */
extern "C" __global__ void k_integer_running_@(
    i64 *out, const TYPE *x, i64 length, i64 inner, i64 reverse, i64 product, i64 exclusive, i64 n
) {
    TL_EACH(i, n) {
        i64 at = i / inner * length * inner + i % inner, step = inner;
        if (reverse) { at += (length - 1) * inner; step = -inner; }
        unsigned long long total = product;
        for (i64 j = 0; j < length; j++, at += step) {
            const unsigned long long before = total, v = (unsigned long long)(i64)x[at];
            total = product ? total * v : total + v;
            out[at] = (i64)(exclusive ? before : total);
        }
    }
}

/* The greatest so far and its place in the whole array, of equal ones the first; either may be 0. */
extern "C" __global__ void k_integer_cummax_@(TYPE *out, i64 *index, const TYPE *x, i64 length, i64 inner, i64 reverse, i64 n) {
    TL_EACH(i, n) {
        i64 at = i / inner * length * inner + i % inner, step = inner;
        if (reverse) { at += (length - 1) * inner; step = -inner; }
        TYPE top = x[at];
        i64 place = at;
        for (i64 j = 0; j < length; j++, at += step) {
            if (x[at] > top) top = x[at], place = at;
            if (out) out[at] = top;
            if (index) index[at] = place;
        }
    }
}
"""


def _kernel(name: str, suffix: str, formula: IntegerFormula) -> str:
    number = TYPES[suffix]
    types = [TYPES[s] for s in operand_types(formula, suffix)]
    pointers = [f"const {t} *{x}_at" for x, t in zip(formula.inputs, types, strict=True)]
    arguments = [f"{TYPES[result_type(formula, suffix)]} *out", *pointers, *(f"i64 {p}_" for p in formula.parameters), "Strided s", "i64 n"]
    loads = [
        f"const {t} {x} = {x}_at[place(i, s.sizes, s.steps[{k}])];" for k, (x, t) in enumerate(zip(formula.inputs, types, strict=True))
    ]
    loads += [f"const {number} {p} = ({number}){p}_;" for p in formula.parameters]
    return f"""
extern "C" __global__ void k_{name}_{suffix}({", ".join(arguments)}) {{
    TL_EACH(i, n) {{ {" ".join(loads)} out[i] = {to_c(formula, suffix)}; }}
}}
"""


def _padded(sizes: Sequence[int], *steps: Sequence[int]) -> list[list[int]]:
    # With axes of size 1 before the others, as many as kernels have.
    if len(sizes) > MOST_AXES:
        raise ShapeError(f"CUDA: operands of integers must be described by at most {MOST_AXES} axes, not {len(sizes)}")
    missing = MOST_AXES - len(sizes)
    return [[1] * missing + list(sizes), *([0] * missing + list(s) for s in steps)]


def _elementwise(name: str, suffix: str, formula: IntegerFormula) -> Planner:
    # ints: (parameters…, axes, sizes…, strides of each input…).
    count, pointers = len(formula.parameters), [In(k) for k in range(len(formula.inputs))]

    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        axes = ints[count]
        rows = [ints[count + 1 + k * axes : count + 1 + (k + 1) * axes] for k in range(len(formula.inputs) + 1)]
        sizes, *steps = _padded(*rows)
        steps += [[0] * MOST_AXES] * (3 - len(steps))
        numbers = tuple(number for row in (sizes, *steps) for number in row)
        return Plan((flat(f"k_{name}_{suffix}", prod(rows[0]), Out(0), *pointers, *ints[:count], numbers),))

    return plan


def _lines(ints: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
    # Of (runs, whether the first is reduced, sizes…): what is kept and what is reduced as `Line`, and how many elements of each.
    runs, first, *sizes = ints
    steps = [prod(sizes[k + 1 :]) for k in range(runs)]
    found = []
    for reduces in (False, True):
        own = [k for k in range(runs) if ((k + first) % 2 == 1) == reduces]
        padded = _padded([sizes[k] for k in own], [steps[k] for k in own])
        found.append((tuple(n for row in padded for n in row), prod(sizes[k] for k in own)))
    (kept, rows), (reduced, count) = found
    return kept, reduced, rows, count


def _sum(suffix: str) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        kept, reduced, rows, count = _lines(ints)
        slices = ceil_div(count, SLICE)
        adding = flat(f"k_integer_sum_{suffix}", rows * slices, Out(0), In(0), kept, reduced, count, slices, SLICE)
        return Plan((flat("k_zeros_of_integers", rows, Out(0)), adding))

    return plan


def _max(suffix: str, place: int) -> Planner:
    # `place` is that of the first output among the kernel's: the maximum, its position in 32 bits, or in 64.
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        kept, reduced, rows, count = _lines(ints)
        outs = (Out(0), Out(1), 0) if place == 0 else (0, Out(0), 0) if place == 1 else (0, 0, Out(0))
        return Plan((flat(f"k_integer_max_{suffix}", rows, *outs, In(0), kept, reduced, count),))

    return plan


def _product(suffix: str) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        kept, reduced, rows, count = _lines(ints)
        return Plan((flat(f"k_integer_product_{suffix}", rows, Out(0), In(0), kept, reduced, count),))

    return plan


def _running(suffix: str, product: int) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        outer, length, inner, reverse, *exclusive = ints
        numbers = (length, inner, reverse, product, *(exclusive or (0,)))
        return Plan((flat(f"k_integer_running_{suffix}", outer * inner if length else 0, Out(0), In(0), *numbers),))

    return plan


def _cummax(suffix: str, *outs: Argument) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        lines = ints[0] * ints[2] if ints[1] else 0
        return Plan((flat(f"k_integer_cummax_{suffix}", lines, *outs, In(0), *ints[1:4]),))

    return plan


def _matmul(suffix: str) -> Planner:
    # ints: (batch, m, n, k, transpose_a, transpose_b, axes, sizes…, steps of a…, steps of b…).
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        batch, m, n, k, turn_a, turn_b, axes, *rest = ints
        sizes, *steps = _padded(*(rest[j * axes : (j + 1) * axes] for j in range(3)))
        numbers = tuple(number for row in (sizes, *steps, [0] * MOST_AXES) for number in row)
        return Plan((flat(f"k_integer_matmul_{suffix}", batch * m * n, Out(0), In(0), In(1), m, n, k, turn_a, turn_b, numbers),))

    return plan


_FORMULAS = [(name, suffix, f) for name, f in INTEGER_FORMULAS.items() for suffix in f.suffixes()]


def _kernels() -> dict[str, Planner]:
    planners = {f"{name}:{suffix}": _elementwise(name, suffix, f) for name, suffix, f in _FORMULAS}
    for suffix in TYPES:
        planners[f"matmul:{suffix}"] = _matmul(suffix)
        planners |= {f"reduce_sum:{suffix}": _sum(suffix), f"reduce_prod:{suffix}": _product(suffix)}
        planners |= {f"cumsum:{suffix}": _running(suffix, 0), f"running_product:{suffix}": _running(suffix, 1)}
        planners |= {f"cummax:{suffix}": _cummax(suffix, Out(0), Out(1)), f"cummax_index:{suffix}": _cummax(suffix, 0, Out(0))}
        planners |= {f"{kernel}:{suffix}": _max(suffix, k) for k, kernel in enumerate(("reduce_max", "max_index", "argmax"))}
    return planners


_TEXTS = [
    *(_REDUCTIONS.replace("@", suffix).replace("TYPE", number) for suffix, number in TYPES.items()),
    *(_kernel(*f) for f in _FORMULAS),
]
FAMILY = Family(
    "integers",
    COMMON + functions(TYPES, _UNSIGNED, "static __device__ __forceinline__") + _SOURCE + "".join(_TEXTS),
    _kernels(),
)
