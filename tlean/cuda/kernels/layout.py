"""Copies with strides, placing into a larger array, joining."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ...errors import ShapeError
from .plan import COMMON, MOVED, Family, In, Launch, Out, Plan, ceil_div, flat, flat_by_fours, moved, moving

#: Axes that are left after neighbours were merged.
MOST_AXES = 12
#: The shortest axes that are transposed by tiles.
WIDE = 8

_AXES = (
    f"""
enum {{ AXES = {MOST_AXES} }};
"""
    + """
struct Strides { i64 sizes[AXES], strides[AXES]; };
struct Box { i64 in[AXES], out[AXES], start[AXES], step[AXES]; };
"""
)

_SOURCE = """
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

/* The same where neighbours in memory lie along axis a and the last axis strides: tiles of 32 x 32 of the two axes go through shared
 * memory, read along a and written along the last axis. 8 threads a column. */
extern "C" __global__ void k_transposed_copy(float *out, const float *in, Strides s, i64 axes, i64 offset, i64 a) {
    __shared__ float tile[32][33];
    const int last = (int)axes - 1;
    const i64 rows = s.sizes[a], columns = s.sizes[last], down = (rows + 31) / 32, over = (columns + 31) / 32;
    i64 rest = blockIdx.x / (down * over), from = offset, to = 0, width = columns, pitch = 0;
    for (int k = last - 1; k >= 0; k--) {
        if (k == a) pitch = width;
        else {
            const i64 i = rest % s.sizes[k];
            rest /= s.sizes[k];
            from += i * s.strides[k];
            to += i * width;
        }
        width *= s.sizes[k];
    }
    const i64 row0 = blockIdx.x % (down * over) / over * 32, column0 = blockIdx.x % over * 32;
    for (int k = threadIdx.y; k < 32; k += 8)
        if (row0 + threadIdx.x < rows && column0 + k < columns)
            tile[k][threadIdx.x] = in[from + row0 + threadIdx.x + (column0 + k) * s.strides[last]];
    __syncthreads();
    for (int k = threadIdx.y; k < 32; k += 8)
        if (row0 + k < rows && column0 + threadIdx.x < columns)
            out[to + (row0 + k) * pitch + column0 + threadIdx.x] = tile[threadIdx.x][k];
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

/* One triangle of each matrix of rows x columns, zeros elsewhere. */
extern "C" __global__ void k_triangle(float *out, const float *in, i64 rows, i64 columns, i64 k, i64 upper, i64 n) {
    TL_EACH(i, n) {
        const i64 past = i % columns - i / columns % rows - k;
        out[i] = (upper ? past >= 0 : past <= 0) ? in[i] : 0;
    }
}

/* Columns first ... first + width - 1 of rows of `pitch` elements. */
extern "C" __global__ void k_put_columns(float *out, const float *in, i64 width, i64 pitch, i64 first, i64 n) {
    TL_EACH(i, n) out[i / width * pitch + first + i % width] = in[i];
}
"""

#: Branches of a choice that the device makes.
MOST_BRANCHES = 16

_CHOICE = f"""
/* Of several arrays of n bytes the one that a number names, the nearest where it is out of range. */
struct Branches {{ i64 at[{MOST_BRANCHES}]; }};
extern "C" __global__ void k_choose(unsigned char *out, const i64 *number, Branches b, i64 count, i64 n) {{
    const i64 k = *number < 0 ? 0 : *number < count ? *number : count - 1;
    if (n % 4 == 0) TL_EACH(i, n / 4) ((unsigned *)out)[i] = ((const unsigned *)b.at[k])[i];
    else TL_EACH(i, n) out[i] = ((const unsigned char *)b.at[k])[i];
}}
"""


def _padded(values: Sequence[int], fill: int) -> tuple[int, ...]:
    if len(values) > MOST_AXES:
        raise ShapeError(f"CUDA: a copy must have at most {MOST_AXES} axes that cannot be merged, not {len(values)}")
    return (*values, *(fill,) * (MOST_AXES - len(values)))


def strided_copy(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    offset, axes = ints[:2]
    sizes, strides = ints[2 : 2 + axes], ints[2 + axes :]
    a = next((k for k in range(axes - 1) if strides[k] == 1 and sizes[k] >= WIDE), None)
    if a is not None and sizes[-1] >= WIDE and strides[-1] != 1:
        tiles = ceil_div(sizes[a], 32) * ceil_div(sizes[-1], 32) * prod(n for k, n in enumerate(sizes[:-1]) if k != a)
        args = (Out(0), In(0), _padded(sizes, 1) + _padded(strides, 0), axes, offset, a)
        return Plan((Launch("k_transposed_copy", args, (tiles, 1, 1), (32, 8, 1)),))
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


def triangle(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    matrices, rows, columns, k, upper = ints
    # Beyond the corners every k means the same: differences stay within 64 bits.
    return Plan((flat("k_triangle", matrices * rows * columns, Out(0), In(0), rows, columns, max(-rows, min(k, columns)), upper),))


def choice(out: int, number: int, branches: Sequence[int], size: int) -> Launch:
    """Copy the one of several arrays that a number names; all of them are addresses on the device.

    Args:
        out: where to.
        number: of the array, an int64.
        branches: the arrays, at most `MOST_BRANCHES`.
        size: their bytes.
    """
    every = (*branches, *(0,) * (MOST_BRANCHES - len(branches)))
    return flat_by_fours("k_choose", size, out, number, every, len(branches))


FAMILY = Family(
    "layout",
    COMMON + _AXES + _CHOICE + _SOURCE + "".join(moving(_SOURCE, suffix) for suffix in MOVED),
    moved({"strided_copy": strided_copy, "place": place, "concat": concat, "triangle": triangle}),
)
