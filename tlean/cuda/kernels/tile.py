"""The product of two matrices that are read through functions: the core of matrix products and convolutions.

A block computes one tile of the product. Panels of a few values of the summed index p go through shared memory, two of them in turn: while
the threads multiply one, the values of the next are on their way from memory into registers. Few tiles with a long sum are cut along p into
parts, which a second launch adds in order; how many depends on the sizes alone, so the bits do not change from run to run.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ShapeError
from .plan import MOST_COUNTED, Argument, Launch, Out, Plan, Scratch, ceil_div, flat

#: Blocks that keep a device busy; tiles are made smaller, and sums cut, to come near it.
BUSY = 128
#: The shortest part of a sum that is worth its own block.
SHORTEST = 128


@dataclass(frozen=True)
class Tile:
    """Rows and columns of the product for one block, and how its warps divide the rows; the others divide the columns."""

    rows: int
    columns: int
    row_warps: int

    @property
    def name(self) -> str:
        """How kernels for it are called."""
        return f"{self.rows}x{self.columns}"


@dataclass(frozen=True)
class Precision:
    """How tiles are multiplied: threads of a block, values of the summed index in a panel, blocks that share a multiprocessor's registers,
    the tiles that there are, the largest first, and the source of `Sums`."""

    threads: int
    depth: int
    together: int
    tiles: tuple[Tile, ...]
    source: str


_LAYOUT = """
/* What of an operand's address depends on the row alone, or on p alone; z, y, x are there for convolutions. */
struct Place { i64 at; int z, y, x; };

/* Panels hold (p, row) at [p][at_column(p, row)]: the pitch and the exchange of columns keep threads that store neighbours along p, and
 * threads that read neighbours along either index, off each other's banks. */
__device__ __forceinline__ int exchanged(int p) { return (p >> 2 & 3) << 3; }
__device__ __forceinline__ int at_column(int p, int row) { return row ^ exchanged(p); }
template <int R> struct Panel { float v[DEPTH][R + 8]; };
"""

_TILES = """
/* The pieces of an operand's next panel that this thread brings: WIDTH neighbours each, along p or along the rows. */
template <int R, class From> struct Feed {
    enum { W = From::WIDTH, ALL = R * DEPTH / W, EACH = (ALL + THREADS - 1) / THREADS };
    float held[EACH][W];
    __device__ static int p_of(int piece) { return From::ALONG_P ? piece % (DEPTH / W) * W : piece / (R / W); }
    __device__ static int row_of(int piece) { return From::ALONG_P ? piece / (DEPTH / W) : piece % (R / W) * W; }
    __device__ void load(const From &from, const Place *places, int row0, int p0, int last) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const int piece = threadIdx.x + THREADS * i, row = row_of(piece);
            if (ALL % THREADS == 0 || piece < ALL) from.fetch(held[i], places[From::TABLE ? row : 0], row0 + row, p0 + p_of(piece), last);
        }
    }
    __device__ void store(Panel<R> &panel) const {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const int piece = threadIdx.x + THREADS * i, p = p_of(piece), row = row_of(piece);
            if (ALL % THREADS && piece >= ALL) break;
            if (W == 4 && !From::ALONG_P) {
                const float4 four = {rounded(held[i][0]), rounded(held[i][1 % W]), rounded(held[i][2 % W]), rounded(held[i][3 % W])};
                *(float4 *)&panel.v[p][at_column(p, row)] = four;
            } else {
#pragma unroll
                for (int e = 0; e < W; e++) {
                    const int pe = From::ALONG_P ? p + e : p, re = From::ALONG_P ? row : row + e;
                    panel.v[pe][at_column(pe, re)] = rounded(held[i][e]);
                }
            }
        }
    }
};

/* c(row, column, sum over first <= p < last of a(row, p) b(column, p)) for one tile; a and b give 0 outside of their rows and of last.
 * Tiles are counted down columns of 8 tiles, so that blocks that run at the same time share their panels in the cache. */
template <int BM, int BN, int WM, class A, class B, class C>
__device__ void multiply_tile(const A &a, const B &b, const C &c, int m, int n, int first, int last, int tile) {
    __shared__ __align__(16) Panel<BM> left[2];
    __shared__ __align__(16) Panel<BN> right[2];
    __shared__ Place left_at[A::TABLE ? BM : 1], right_at[B::TABLE ? BN : 1];
    const int down = (m + BM - 1) / BM, over = (n + BN - 1) / BN, band = tile / (8 * over);
    const int high = down - 8 * band < 8 ? down - 8 * band : 8;
    const int row0 = (8 * band + tile % (8 * over) % high) * BM, column0 = tile % (8 * over) / high * BN;
    if (A::TABLE) for (int i = threadIdx.x; i < BM; i += THREADS) left_at[i] = a.place(row0 + i);
    if (B::TABLE) for (int i = threadIdx.x; i < BN; i += THREADS) right_at[i] = b.place(column0 + i);
    if (A::TABLE || B::TABLE) __syncthreads();
    Feed<BM, A> to_left;
    Feed<BN, B> to_right;
    Sums<BM, BN, WM> sums;
    to_left.load(a, left_at, row0, first, last);
    to_right.load(b, right_at, column0, first, last);
    to_left.store(left[0]);
    to_right.store(right[0]);
    __syncthreads();
    int now = 0;
    for (int p0 = first; p0 < last; p0 += DEPTH, now ^= 1) {
        const bool more = p0 + DEPTH < last;
        if (more) {
            to_left.load(a, left_at, row0, p0 + DEPTH, last);
            to_right.load(b, right_at, column0, p0 + DEPTH, last);
        }
        sums.add(left[now], right[now]);
        if (more) {
            to_left.store(left[now ^ 1]);
            to_right.store(right[now ^ 1]);
        }
        __syncthreads();
    }
    sums.put(c, row0, column0, m, n);
}

/* A block's part of a sum over k that `parts` blocks share. */
#define TL_PART(k, parts)                                                                                    \\
    const int each_ = ((int)(k) + (int)(parts) * DEPTH - 1) / ((int)(parts) * DEPTH) * DEPTH;               \\
    const int first = blockIdx.z * each_, last = first + each_ < (int)(k) ? first + each_ : (int)(k);

/* y = the sum of the parts, first to last, plus the bias of channel i / inner % channels. */
extern "C" __global__ void k_sum_parts(float *y, const float *from, const float *bias, i64 inner, i64 channels, i64 parts, i64 n) {
    TL_EACH(i, n) {
        float total = from[i];
        for (i64 s = 1; s < parts; s++) total += from[s * n + i];
        y[i] = bias ? total + bias[i / inner % channels] : total;
    }
}
"""

# A thread has TM x TN sums in squares of 4 x 4; the squares of a warp's 4 x 8 threads lie next to each other. Squares of one thread are
# multiples of 32 apart: what `at_column` exchanges stays the same for all of them.
_PLAIN = """
__device__ __forceinline__ float rounded(float v) { return v; }

template <int BM, int BN, int WM> struct Sums {
    enum { WN = THREADS / 32 / WM, TM = BM / (WM * 4), TN = BN / (WN * 8) };
    total_t v[TM][TN] = {};
    int row, column;
    __device__ Sums() {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        row = warp / WN * 16 + lane / 8 * 4;
        column = warp % WN * (BN / WN) + lane % 8 * 4;
    }
    __device__ void add(const Panel<BM> &left, const Panel<BN> &right) {
#pragma unroll
        for (int p = 0; p < DEPTH; p++) {
            const float *rows = &left.v[p][at_column(p, row)], *columns = &right.v[p][at_column(p, column)];
            total_t x[TM], y[TN];
#pragma unroll
            for (int i = 0; i < TM; i += 4) {
                const float4 four = *(const float4 *)&rows[WM * 4 * i];
                x[i] = four.x, x[i + 1] = four.y, x[i + 2] = four.z, x[i + 3] = four.w;
            }
#pragma unroll
            for (int j = 0; j < TN; j += 4) {
                const float4 four = *(const float4 *)&columns[8 * j];
                y[j] = four.x, y[j + 1] = four.y, y[j + 2] = four.z, y[j + 3] = four.w;
            }
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++) v[i][j] += x[i] * y[j];
        }
    }
    template <class C> __device__ void put(const C &c, int row0, int column0, int m, int n) const {
#pragma unroll
        for (int i = 0; i < TM; i++)
#pragma unroll
            for (int j = 0; j < TN; j += 4) {
                const int r = row0 + row + i / 4 * (WM * 16) + i % 4, at = column0 + column + 8 * j;
                const float four[4] = {(float)v[i][j], (float)v[i][j + 1], (float)v[i][j + 2], (float)v[i][j + 3]};
                if (r < m && at < n) c.template put<4>(r, at, four, n - at);
            }
    }
};
"""

# A warp multiplies 16 x 8 by 8 x 8 at a time, m16n8k8 of PTX: lane 4 g + t has rows g and g + 8 of a, column g of b, both at p = t and
# t + 4, and of the sums rows g and g + 8 at columns 2 t and 2 t + 1. A warp's rows and columns begin at multiples of 32, so that what
# `at_column` exchanges is known to the compiler.
_TENSOR = """
#ifndef TLEAN_EMULATED_DEVICE_H
/* To the nearest number of 10 bits, ties away from 0. */
__device__ __forceinline__ float rounded_to_tf32(float v) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
    return __uint_as_float(bits);
}
__device__ __forceinline__ void mma_tf32(float *d, const float *a, const float *b) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
                   "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}
#endif
__device__ __forceinline__ float rounded(float v) { return rounded_to_tf32(v); }

template <int BM, int BN, int WM> struct Sums {
    enum { WN = THREADS / 32 / WM, TM = BM / WM / 16, TN = BN / WN / 8 };
    float v[TM][TN][4] = {};
    int row, column, t;
    __device__ Sums() {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        row = warp / WN * (BM / WM) + lane / 4;
        column = warp % WN * (BN / WN) + lane / 4;
        t = lane % 4;
    }
    __device__ void add(const Panel<BM> &left, const Panel<BN> &right) {
#pragma unroll
        for (int p0 = 0; p0 < DEPTH; p0 += 8) {
            float x[TM][4], y[TN][2];
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const int p = p0 + e / 2 * 4;
                    x[i][e] = left.v[p + t][row + ((16 * i + e % 2 * 8) ^ exchanged(p))];
                }
#pragma unroll
            for (int j = 0; j < TN; j++)
#pragma unroll
                for (int e = 0; e < 2; e++) y[j][e] = right.v[p0 + 4 * e + t][column + (8 * j ^ exchanged(p0 + 4 * e))];
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++) mma_tf32(v[i][j], x[i], y[j]);
        }
    }
    template <class C> __device__ void put(const C &c, int row0, int column0, int m, int n) const {
        const int first = column - threadIdx.x % 32 / 4 + 2 * t;
#pragma unroll
        for (int i = 0; i < TM; i++)
#pragma unroll
            for (int j = 0; j < TN; j++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const int r = row0 + row + 16 * i + 8 * e, at = column0 + first + 8 * j;
                    if (r < m && at < n) c.template put<2>(r, at, &v[i][j][2 * e], n - at);
                }
    }
};
"""

#: By the values of `fast_gpu_matmul_precision`.
PRECISIONS = {
    "fp32": Precision(256, 8, 2, (Tile(128, 128, 4), Tile(64, 64, 4), Tile(32, 128, 2)), "typedef float total_t;\n" + _PLAIN),
    "tf32": Precision(128, 16, 2, (Tile(128, 128, 2), Tile(64, 64, 2), Tile(32, 128, 1)), _TENSOR),
    "fp64": Precision(256, 8, 1, (Tile(64, 64, 4), Tile(32, 128, 2)), "typedef double total_t;\n" + _PLAIN),
}


def source(precision: Precision) -> str:
    """`multiply_tile` and what it needs."""
    constants = f"enum {{ THREADS = {precision.threads}, DEPTH = {precision.depth} }};\n"
    return constants + _LAYOUT + precision.source + _TILES


def signature_of(name: str, precision: Precision, arguments: str) -> str:
    """How the definition of a kernel begins."""
    return f'extern "C" __global__ void __launch_bounds__({precision.threads}, {precision.together}) {name}({arguments})'


def choose(precision: Precision, batch: int, m: int, n: int) -> Tile:
    """The largest tile that wastes little and leaves no device idle."""
    if m <= 32:
        return precision.tiles[-1]
    for tile in precision.tiles[:-1]:
        blocks = batch * ceil_div(m, tile.rows) * ceil_div(n, tile.columns)
        if blocks >= BUSY and m > tile.rows // 2 and n > tile.columns // 2:
            return tile
    return precision.tiles[-2]


def product(
    function: str, precision: Precision, batch: int, m: int, n: int, k: int, bias: Argument, inner: int, channels: int, *args: Argument
) -> Plan:
    """The launches for a batch of products (m, k) · (k, n) into output 0, by kernels `function_<tile>(y, bias, parts, size, ...args)`.

    `size` is the elements of the whole result: a part's values are `blockIdx.z * size` after y's. The bias of element i of the result is
    number i / inner % channels.

    Raises: ShapeError for a size that the kernels cannot count in 31 bits.
    """
    if max(m, n, k) >= MOST_COUNTED:
        raise ShapeError(f"CUDA: a matrix product takes fewer than {MOST_COUNTED} rows, columns and terms, not ({m}, {k}) by ({k}, {n})")
    tile = choose(precision, batch, m, n)
    blocks = batch * ceil_div(m, tile.rows) * ceil_div(n, tile.columns)
    size = batch * m * n
    parts = min(ceil_div(BUSY, blocks), k // SHORTEST) if 0 < blocks < BUSY // 2 else 1
    if parts <= 1:
        launch = Launch(f"{function}_{tile.name}", (Out(0), bias, 1, size, *args), (blocks, 1, 1), (precision.threads, 1, 1))
        return Plan((launch,))
    launch = Launch(f"{function}_{tile.name}", (Scratch(0), 0, parts, size, *args), (blocks, 1, parts), (precision.threads, 1, 1))
    finish = flat("k_sum_parts", size, Out(0), Scratch(0), bias, inner, channels, parts)
    return Plan((launch, finish), (4 * size * parts,))
