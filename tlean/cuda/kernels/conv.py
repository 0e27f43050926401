"""Convolutions and their gradients as products of matrices that are never laid out: implicit GEMM."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from .plan import COMMON, Argument, Family, In, Out, Plan, Planner
from .tile import SOURCE as TILE_SOURCE
from .tile import tiles

_SOURCE = """
/* The forward convolution wide (images, c, in) * w (o, c / groups, kernel) -> narrow (images, o, out), as every kernel here reads it. */
struct Geometry {
    i64 images, c, o, groups, in[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
    __device__ i64 cells() const { return in[0] * in[1] * in[2]; }
    __device__ i64 outs() const { return out[0] * out[1] * out[2]; }
    __device__ i64 taps() const { return kernel[0] * kernel[1] * kernel[2]; }
    /* The cell of the wide array under tap `t` of output `p`; -1 in the padding. */
    __device__ i64 cell(i64 p, i64 t) const {
        i64 at = 0, width = 1;
        for (int a = 2; a >= 0; a--) {
            const i64 i = p % out[a] * stride[a] - padding[a] + t % kernel[a] * dilation[a];
            if (i < 0 || i >= in[a]) return -1;
            at += i * width;
            width *= in[a];
            p /= out[a];
            t /= kernel[a];
        }
        return at;
    }
    /* The output that has `cell` under its tap `t`; -1 if there is none. */
    __device__ i64 output(i64 cell, i64 t) const {
        i64 at = 0, width = 1;
        for (int a = 2; a >= 0; a--) {
            const i64 from = cell % in[a] + padding[a] - t % kernel[a] * dilation[a];
            if (from < 0 || from % stride[a] || from / stride[a] >= out[a]) return -1;
            at += from / stride[a] * width;
            width *= out[a];
            cell /= in[a];
            t /= kernel[a];
        }
        return at;
    }
};

/* Group q's weights as (o / groups) x (c / groups * taps). */
struct Weights {
    const float *w;
    i64 pitch;
    bool along_k;
    __device__ float operator()(i64 o, i64 p) const { return w[o * pitch + p]; }
};
/* The same transposed by channels: (c / groups) x (o / groups * taps). */
struct Backwards {
    const float *w;
    i64 channels, taps;
    bool along_k;
    __device__ float operator()(i64 c, i64 p) const { return w[(p / taps * channels + c) * taps + p % taps]; }
};
/* Patches of x: (c / groups * taps) x (images * outs). */
struct Patches {
    const Geometry &geometry;
    const float *x;
    i64 taps, outs, cells;
    bool along_n;
    __device__ float operator()(i64 p, i64 column) const {
        const i64 at = geometry.cell(column % outs, p % taps);
        return at < 0 ? 0 : x[(column / outs * geometry.c + p / taps) * cells + at];
    }
};
/* The outputs that reach each cell: (o / groups * taps) x (images * cells). */
struct Reaching {
    const Geometry &geometry;
    const float *g;
    i64 taps, outs, cells;
    bool along_n;
    __device__ float operator()(i64 p, i64 column) const {
        const i64 at = geometry.output(column % cells, p % taps);
        return at < 0 ? 0 : g[(column / cells * geometry.o + p / taps) * outs + at];
    }
};
/* g as (o / groups) x (images * outs), and patches with the sum over images and outputs: (images * outs) x (c / groups * taps). */
struct Cotangent {
    const float *g;
    i64 outs, pitch;
    bool along_k;
    __device__ float operator()(i64 o, i64 p) const { return g[p / outs * pitch + o * outs + p % outs]; }
};
struct Transposed {
    Patches patches;
    bool along_n;
    __device__ float operator()(i64 p, i64 column) const { return patches(column, p); }
};
/* Into (images, channels, cells) from column (image, cell) of channel `row`, plus the channel's bias. */
struct Channels {
    float *y;
    const float *bias;
    i64 cells, pitch;
    __device__ void operator()(i64 row, i64 column, float v) const {
        y[column / cells * pitch + row * cells + column % cells] = bias ? v + bias[row] : v;
    }
};
struct Dense {
    float *y;
    i64 pitch;
    __device__ void operator()(i64 row, i64 column, float v) const { y[row * pitch + column] = v; }
};

#define TL_GROUP(m, n)                                                  \\
    const i64 taps = z.taps(), outs = z.outs(), cells = z.cells();      \\
    const i64 c = z.c / z.groups, o = z.o / z.groups;                   \\
    const i64 each = ((m) + 63) / 64 * (((n) + 63) / 64), q = blockIdx.x / each, tile = blockIdx.x % each;

extern "C" __global__ void k_conv(float *y, const float *w, const float *bias, const float *x, Geometry z) {
    TL_GROUP(z.o / z.groups, z.images * z.outs())
    Weights left = {w + q * o * c * taps, c * taps, true};
    Patches right = {z, x + q * c * cells, taps, outs, cells, true};
    Channels store = {y + q * o * outs, bias ? bias + q * o : 0, outs, z.o * outs};
    multiply_tile(left, right, store, o, z.images * outs, c * taps, tile);
}
extern "C" __global__ void k_conv_back(float *y, const float *w, const float *bias, const float *g, Geometry z) {
    TL_GROUP(z.c / z.groups, z.images * z.cells())
    Backwards left = {w + q * o * c * taps, c, taps, true};
    Reaching right = {z, g + q * o * outs, taps, outs, cells, true};
    Channels store = {y + q * c * cells, bias ? bias + q * c : 0, cells, z.c * cells};
    multiply_tile(left, right, store, c, z.images * cells, o * taps, tile);
}
extern "C" __global__ void k_conv_grad_w(float *y, const float *g, const float *x, Geometry z) {
    TL_GROUP(z.o / z.groups, z.c / z.groups * z.taps())
    Cotangent left = {g + q * o * outs, outs, z.o * outs, true};
    Transposed right = {{z, x + q * c * cells, taps, outs, cells, true}, false};
    Dense store = {y + q * o * c * taps, c * taps};
    multiply_tile(left, right, store, o, c * taps, z.images * outs, tile);
}
"""


def _planner(function: str, *args: Argument) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        images, c, o, groups = ints[:4]
        cells, outs, taps = prod(ints[4:7]), prod(ints[7:10]), prod(ints[10:13])
        m, n = {
            "k_conv": (o // groups, images * outs),
            "k_conv_back": (c // groups, images * cells),
            "k_conv_grad_w": (o // groups, c // groups * taps),
        }[function]
        return Plan((tiles(function, groups, m, n, *args, tuple(ints)),))

    return plan


FAMILY = Family(
    "conv",
    COMMON + TILE_SOURCE + _SOURCE,
    {
        "conv": _planner("k_conv", Out(0), In(0), In(1), In(2)),
        "conv_transpose": _planner("k_conv_back", Out(0), In(0), In(1), In(2)),
        "_conv_grad_x": _planner("k_conv_back", Out(0), In(0), 0, In(1)),
        "_conv_grad_w": _planner("k_conv_grad_w", Out(0), In(0), In(1)),
    },
    contract=True,
)
