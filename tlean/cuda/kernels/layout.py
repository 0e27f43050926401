"""Copies with strides, placing into a larger array, joining."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ...errors import ShapeError
from .plan import COMMON, Family, In, Out, Plan, flat

#: Axes that are left after neighbours were merged.
MOST_AXES = 12

_SOURCE = (
    f"""
enum {{ AXES = {MOST_AXES} }};
"""
    + """
struct Strides { i64 sizes[AXES], strides[AXES]; };
struct Box { i64 in[AXES], out[AXES], start[AXES], step[AXES]; };

/* out[i0, i1, ...] = in[offset + sum of ik * stride k] */
extern "C" __global__ void k_strided_copy(float *out, const float *in, Strides s, i64 axes, i64 offset, i64 n) {
    TL_EACH(i, n) {
        i64 rest = i, at = offset;
        for (int a = (int)axes - 1; a >= 0; a--) {
            at += rest % s.sizes[a] * s.strides[a];
            rest /= s.sizes[a];
        }
        out[i] = in[at];
    }
}

/* Each element of the output finds the element of the input that lands on it, if there is one. */
extern "C" __global__ void k_place(float *out, const float *in, Box b, i64 axes, float value, i64 n) {
    TL_EACH(i, n) {
        i64 rest = i, at = 0, width = 1;
        bool inside = true;
        for (int a = (int)axes - 1; a >= 0; a--) {
            const i64 from = rest % b.out[a] - b.start[a], k = from / b.step[a];
            rest /= b.out[a];
            inside = inside && from >= 0 && from % b.step[a] == 0 && k < b.in[a];
            at += k * width;
            width *= b.in[a];
        }
        out[i] = inside ? in[at] : value;
    }
}

/* Columns first ... first + width - 1 of rows of `pitch` elements. */
extern "C" __global__ void k_put_columns(float *out, const float *in, i64 width, i64 pitch, i64 first, i64 n) {
    TL_EACH(i, n) out[i / width * pitch + first + i % width] = in[i];
}
"""
)


def _padded(values: Sequence[int], fill: int) -> tuple[int, ...]:
    if len(values) > MOST_AXES:
        raise ShapeError(f"CUDA: a copy has at most {MOST_AXES} axes that cannot be merged, not {len(values)}")
    return (*values, *(fill,) * (MOST_AXES - len(values)))


def strided_copy(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    offset, axes = ints[:2]
    sizes, strides = ints[2 : 2 + axes], ints[2 + axes :]
    return Plan((flat("k_strided_copy", prod(sizes), Out(0), In(0), _padded(sizes, 1) + _padded(strides, 0), axes, offset),))


def place(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    axes = ints[0]
    runs = [ints[1 + k * axes : 1 + (k + 1) * axes] for k in range(4)]
    box = tuple(v for run in runs for v in _padded(run, 1))
    return Plan((flat("k_place", prod(runs[1]), Out(0), In(0), box, axes, float(floats[0])),))


def concat(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    outer, count, *widths = ints
    pitch, first, launches = sum(widths), 0, []
    for k in range(count):
        launches.append(flat("k_put_columns", outer * widths[k], Out(0), In(k), widths[k], pitch, first))
        first += widths[k]
    return Plan(tuple(launches))


FAMILY = Family("layout", COMMON + _SOURCE, {"strided_copy": strided_copy, "place": place, "concat": concat})
