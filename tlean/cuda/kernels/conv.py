"""Convolutions and their gradients as products of matrices that are never laid out: implicit GEMM. Groups of few channels go directly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from ...errors import ShapeError
from .plan import ACROSS, COMMON, MOST_COUNTED, Argument, Family, In, Launch, Out, Plan, Planner, ceil_div, flat
from .tile import PRECISIONS, Precision, Tile, product, signature_of, source

#: Groups with fewer channels than this on a side are computed output by output.
FEW = 4

_SOURCE = """
/* Division of numbers below 2^31 by a constant: n * ceil(2^(31 + s) / by) >> 31 + s with 2^s >= by (Granlund & Montgomery 1994). */
struct Divider {
    i64 by, factor, shift;
    __device__ __forceinline__ int operator()(int n) const { return (int)((unsigned long long)(unsigned)n * (unsigned)factor >> shift); }
};
/* The forward convolution wide (images, c, in) * w (o, c / groups, kernel) -> narrow (images, o, out), as every kernel here reads it. */
struct Geometry {
    i64 images, c, o, groups, in[3], out[3], kernel[3], stride[3], padding[3], dilation[3], cells, outs, taps;
    Divider of_cells, of_outs, of_taps, of_in[3], of_out[3], of_kernel[3], of_stride[3];
};
/* n = ((outer * size[0] + z) * size[1] + y) * size[2] + x; `whole` divides by the product of the sizes. */
__device__ __forceinline__ int parts_of(int n, const Divider &whole, const Divider *size, int &z, int &y, int &x) {
    const int outer = whole(n), rest = n - outer * (int)whole.by, rows = size[2](rest);
    x = rest - rows * (int)size[2].by;
    z = size[1](rows);
    y = rows - z * (int)size[1].by;
    return outer;
}
__device__ __forceinline__ i64 flat_cell(const i64 *size, int z, int y, int x) { return (z * size[1] + y) * size[2] + x; }

/* An operand whose element (row, p) is at row's place plus p's place. */
template <class Self, bool ALONG> struct Located {
    static const bool ALONG_P = ALONG, TABLE = true;
    static const int WIDTH = 1;
    int rows;
    __device__ void fetch(float *v, const Place &place, int row, int p, int last) const {
        *v = row < rows && p < last ? static_cast<const Self *>(this)->value(place, static_cast<const Self *>(this)->depth(p)) : 0;
    }
};
/* x under tap (channel, z, y, x of the kernel) of output (image, z, y, x). The sum is over taps, or over outputs. */
template <bool OVER_OUTPUTS> struct Patches : Located<Patches<OVER_OUTPUTS>, OVER_OUTPUTS> {
    const Geometry &g;
    const float *x;
    __device__ Patches(const Geometry &g, const float *x, int rows) : g(g), x(x) { this->rows = rows; }
    __device__ Place of_output(int n) const {
        Place at;
        const int image = parts_of(n, g.of_outs, g.of_out, at.z, at.y, at.x);
        at.z = at.z * (int)g.stride[0] - (int)g.padding[0];
        at.y = at.y * (int)g.stride[1] - (int)g.padding[1];
        at.x = at.x * (int)g.stride[2] - (int)g.padding[2];
        at.at = image * g.c * g.cells + flat_cell(g.in, at.z, at.y, at.x);
        return at;
    }
    __device__ Place of_tap(int n) const {
        Place at;
        const int channel = parts_of(n, g.of_taps, g.of_kernel, at.z, at.y, at.x);
        at.z *= (int)g.dilation[0], at.y *= (int)g.dilation[1], at.x *= (int)g.dilation[2];
        at.at = channel * g.cells + flat_cell(g.in, at.z, at.y, at.x);
        return at;
    }
    __device__ Place place(int row) const { return OVER_OUTPUTS ? of_tap(row) : of_output(row); }
    __device__ Place depth(int p) const { return OVER_OUTPUTS ? of_output(p) : of_tap(p); }
    __device__ float value(const Place &a, const Place &b) const {
        const int z = a.z + b.z, y = a.y + b.y, x_ = a.x + b.x;
        return (unsigned)z < (unsigned)g.in[0] && (unsigned)y < (unsigned)g.in[1] && (unsigned)x_ < (unsigned)g.in[2] ? x[a.at + b.at] : 0;
    }
};
/* The output of channel o that has cell (image, z, y, x) under tap (o, z, y, x): rows are cells, the sum is over taps. */
struct Reaching : Located<Reaching, false> {
    const Geometry &g;
    const float *y;
    __device__ Reaching(const Geometry &g, const float *y, int rows) : g(g), y(y) { this->rows = rows; }
    __device__ Place place(int n) const {
        Place at;
        at.at = parts_of(n, g.of_cells, g.of_in, at.z, at.y, at.x) * g.o * g.outs;
        at.z += (int)g.padding[0], at.y += (int)g.padding[1], at.x += (int)g.padding[2];
        return at;
    }
    __device__ Place depth(int p) const {
        Place at;
        at.at = parts_of(p, g.of_taps, g.of_kernel, at.z, at.y, at.x) * g.outs;
        at.z *= (int)g.dilation[0], at.y *= (int)g.dilation[1], at.x *= (int)g.dilation[2];
        return at;
    }
    __device__ bool along(int from, int axis, int &to) const {
        to = g.stride[axis] == 1 ? from : g.of_stride[axis](from < 0 ? 0 : from);
        return from >= 0 && to * (int)g.stride[axis] == from && to < (int)g.out[axis];
    }
    __device__ float value(const Place &a, const Place &b) const {
        int z, y_, x;
        const bool found = along(a.z - b.z, 0, z) & along(a.y - b.y, 1, y_) & along(a.x - b.x, 2, x);
        return found ? y[a.at + b.at + flat_cell(g.out, z, y_, x)] : 0;
    }
};
/* Weights: rows are outputs' channels and the sum is over (channel, tap), or rows are inputs' channels and it is over (output's channel,
 * tap). */
template <bool BACK> struct Weights : Located<Weights<BACK>, true> {
    const Geometry &g;
    const float *w;
    i64 pitch;
    __device__ Weights(const Geometry &g, const float *w, i64 pitch, int rows) : g(g), w(w), pitch(pitch) { this->rows = rows; }
    __device__ Place place(int row) const { return {row * (BACK ? g.taps : pitch), 0, 0, 0}; }
    __device__ Place depth(int p) const {
        const int o = BACK ? g.of_taps(p) : 0;
        return {o * (pitch - g.taps) + p, 0, 0, 0};
    }
    __device__ float value(const Place &a, const Place &b) const { return w[a.at + b.at]; }
};
/* Rows are channels, the sum is over (image, output). */
struct Cotangent : Located<Cotangent, true> {
    const Geometry &g;
    const float *y;
    __device__ Cotangent(const Geometry &g, const float *y, int rows) : g(g), y(y) { this->rows = rows; }
    __device__ Place place(int row) const { return {row * g.outs, 0, 0, 0}; }
    __device__ Place depth(int p) const { return {g.of_outs(p) * (g.o - 1) * g.outs + p, 0, 0, 0}; }
    __device__ float value(const Place &a, const Place &b) const { return y[a.at + b.at]; }
};
/* Into (images, channels, cells) from column (image, cell) of channel `row`, plus the channel's bias. */
struct Channels {
    float *y;
    const float *bias;
    Divider of_cells;
    i64 pitch;
    template <int W> __device__ void put(int row, int column, const float *v, int left) const {
#pragma unroll
        for (int e = 0; e < W; e++) {
            const int image = of_cells(column + e), cell = column + e - image * (int)of_cells.by;
            if (e < left) y[image * pitch + row * of_cells.by + cell] = bias ? v[e] + bias[row] : v[e];
        }
    }
};
struct Dense {
    float *y;
    i64 pitch;
    template <int W> __device__ void put(int row, int column, const float *v, int left) const {
#pragma unroll
        for (int e = 0; e < W; e++) if (e < left) y[row * pitch + column + e] = v[e];
    }
};
"""

#: The parts of a kernel: (rows, columns, length of the sum, left operand, right operand, where it goes).
_KINDS = {
    "k_conv": (
        "o",
        "(int)(z.images * z.outs)",
        "c * (int)z.taps",
        "Weights<false> left(z, a + (i64)q * o * c * z.taps, c * z.taps, o)",
        "Patches<false> right(z, b + (i64)q * c * z.cells, n)",
        "Channels store = {y + (i64)q * o * z.outs, bias ? bias + q * o : 0, z.of_outs, z.o * z.outs}",
    ),
    "k_conv_back": (
        "c",
        "(int)(z.images * z.cells)",
        "o * (int)z.taps",
        "Weights<true> left(z, a + (i64)q * o * c * z.taps, c * z.taps, c)",
        "Reaching right(z, b + (i64)q * o * z.outs, n)",
        "Channels store = {y + (i64)q * c * z.cells, bias ? bias + q * c : 0, z.of_cells, z.c * z.cells}",
    ),
    "k_conv_grad_w": (
        "o",
        "c * (int)z.taps",
        "(int)(z.images * z.outs)",
        "Cotangent left(z, a + (i64)q * o * z.outs, o)",
        "Patches<true> right(z, b + (i64)q * c * z.cells, n)",
        "Dense store = {y + (i64)q * o * n, n}",
    ),
}


def _kernel(precision: Precision, function: str, tile: Tile) -> str:
    m, n, k, left, right, store = _KINDS[function]
    arguments = "float *y, const float *bias, i64 parts, i64 size, const float *a, const float *b, const Geometry z"
    return f"""
{signature_of(f"{function}_{tile.name}", precision, arguments)} {{
    const int c = (int)(z.c / z.groups), o = (int)(z.o / z.groups), m = {m}, n = {n};
    const int each = (m + {tile.rows - 1}) / {tile.rows} * ((n + {tile.columns - 1}) / {tile.columns}), q = blockIdx.x / each;
    y += blockIdx.z * size;
    const {left};
    const {right};
    const {store};
    TL_PART({k}, parts)
    multiply_tile<{tile.rows}, {tile.columns}, {tile.row_warps}>(left, right, store, m, n, first, last, blockIdx.x % each);
}}
"""


# Groups of few channels: a thread an output, or a block a weight. Sums in the order of (channel, tap) and of (image, output).
_DIRECT = """
extern "C" __global__ void k_conv_direct(float *y, const float *bias, const float *w, const float *x, const Geometry z, i64 count) {
    TL_EACH(i, count) {
        const int c = (int)(z.c / z.groups), o = (int)(z.o / z.groups);
        const int channel = (int)(i / z.outs % z.o), image = (int)(i / (z.outs * z.o)), q = channel / o;
        const Patches<false> from(z, x + ((i64)image * z.c + (i64)q * c) * z.cells, 0);
        const Place at = from.of_output((int)(i % z.outs));
        total_t total = 0;
        for (int p = 0; p < c * (int)z.taps; p++)
            total += (total_t)rounded(w[channel * c * z.taps + p]) * rounded(from.value(at, from.of_tap(p)));
        y[i] = bias ? (float)total + bias[channel] : (float)total;
    }
}
extern "C" __global__ void k_conv_back_direct(float *y, const float *bias, const float *w, const float *g, const Geometry z, i64 count) {
    TL_EACH(i, count) {
        const int c = (int)(z.c / z.groups), o = (int)(z.o / z.groups);
        const int channel = (int)(i / z.cells % z.c), image = (int)(i / (z.cells * z.c)), q = channel / c;
        const Reaching from(z, g + ((i64)image * z.o + (i64)q * o) * z.outs, 0);
        const Weights<true> weights(z, w + ((i64)q * o * c + channel % c) * z.taps, c * z.taps, 0);
        const Place at = from.place((int)(i % z.cells));
        total_t total = 0;
        for (int p = 0; p < o * (int)z.taps; p++) {
            const Place tap = from.depth(p);
            total += (total_t)rounded(weights.value(weights.depth(p), {0, 0, 0, 0})) * rounded(from.value(at, tap));
        }
        y[i] = bias ? (float)total + bias[channel] : (float)total;
    }
}
/* A block a weight: the sum over its threads' outputs, by a tree. */
extern "C" __global__ void k_conv_grad_w_direct(float *y, const float *g, const float *x, const Geometry z) {
    const int c = (int)(z.c / z.groups), o = (int)(z.o / z.groups), each = c * (int)z.taps;
    const int channel = (int)(blockIdx.x / each), q = channel / o;
    const Patches<true> from(z, x + (i64)q * c * z.cells, 0);
    const Cotangent cotangent(z, g + channel * z.outs, 0);
    const Place tap = from.of_tap((int)(blockIdx.x % each)), none = {0, 0, 0, 0};
    total_t total = 0;
    for (int p = threadIdx.x; p < (int)(z.images * z.outs); p += blockDim.x)
        total += (total_t)rounded(cotangent.value(cotangent.depth(p), none)) * rounded(from.value(tap, from.of_output(p)));
    const float sum = across<Sum>((float)total);
    if (threadIdx.x == 0) y[blockIdx.x] = sum;
}
"""


def _divider(by: int) -> tuple[int, int, int]:
    s = max(by - 1, 0).bit_length()
    return max(by, 1), ceil_div(1 << (31 + s), max(by, 1)), 31 + s


def geometry(ints: Sequence[int]) -> tuple[int, ...]:
    """The struct Geometry. Raises: ShapeError for a convolution whose positions cannot be counted in 31 bits."""
    sides = [tuple(ints[4 + 3 * k : 7 + 3 * k]) for k in range(6)]
    cells, outs, taps = (prod(side) for side in sides[:3])
    images, c, o, groups = ints[:4]
    if max(images * max(cells, outs), (c // groups) * taps, (o // groups) * taps) >= MOST_COUNTED:
        raise ShapeError(
            f"CUDA: a convolution has fewer than {MOST_COUNTED} positions in its images and in its kernel; use smaller batches"
        )
    dividers = [cells, outs, taps, *sides[0], *sides[1], *sides[2], *sides[3]]
    return (*ints, cells, outs, taps, *(v for by in dividers for v in _divider(by)))


def _planner(function: str, precision: Precision, left: Argument, bias: Argument, right: Argument) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        images, c, o, groups = ints[:4]
        shape = geometry(ints)
        cells, outs, taps = shape[22:25]
        c, o = c // groups, o // groups
        m, n, k, inner, channels = {
            "k_conv": (o, images * outs, c * taps, outs, ints[2]),
            "k_conv_back": (c, images * cells, o * taps, cells, ints[1]),
            "k_conv_grad_w": (o, c * taps, images * outs, 1, 1),
        }[function]
        if groups > 1 and min(c, o) < FEW:
            if function == "k_conv_grad_w":
                return Plan((Launch(f"{function}_direct", (Out(0), left, right, shape), (groups * m * n, 1, 1)),))
            return Plan((flat(f"{function}_direct", groups * m * n, Out(0), bias, left, right, shape),))
        return product(function, precision, groups, m, n, k, bias, inner, channels, left, right, shape)

    return plan


def _family(name: str, precision: Precision, variants: dict[str, Family]) -> Family:
    kernels = "".join(_kernel(precision, function, tile) for function in _KINDS for tile in precision.tiles)
    total = "" if "total_t" in precision.source else "typedef float total_t;\n"
    return Family(
        name,
        COMMON + ACROSS + source(precision) + total + _SOURCE + kernels + _DIRECT,
        {
            "conv": _planner("k_conv", precision, In(0), In(1), In(2)),
            "conv_transpose": _planner("k_conv_back", precision, In(0), In(1), In(2)),
            "_conv_grad_x": _planner("k_conv_back", precision, In(0), 0, In(1)),
            "_conv_grad_w": _planner("k_conv_grad_w", precision, In(0), 0, In(1)),
        },
        contract=True,
        variants=variants,
    )


# Thin panels: the addresses of patches need registers.
_VARIANTS = {name: replace(precision, depth=8) for name, precision in PRECISIONS.items()}
FAMILY = _family("conv", _VARIANTS["fp32"], {name: _family(f"conv_{name}", _VARIANTS[name], {}) for name in ("tf32", "fp64")})
