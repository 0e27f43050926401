"""Scaled dot-product attention by tiles with an online softmax (Dao 2023, FlashAttention-2): the scores are never stored.

A block has 64 queries (or 64 keys, for the gradients of keys and values) and goes over the others, 64 at a time. Its 256 threads have 4 x 4
of the 64 x 64 scores each; rows of 16 threads share queries and take maxima and sums among themselves. The gradients recompute the weights
from the scores and the log of their sum. Nothing is added from two blocks, so the order of every sum is fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from .plan import COMMON, Argument, Family, In, Launch, Out, Plan, Scratch, ceil_div, flat

#: Queries and keys of a tile.
TILE = 64
#: Features of an output that one block has sums for, at most.
CHUNKS = (64, 128)

_SOURCE = """
enum { TILE = 64, DEPTH = 16, BLOCKED = 0x7fc0dead };

/* Where an item has its part of an array of broadcast shape. */
struct Place {
    i64 each, parts, step, row;
    __device__ i64 at(i64 item, i64 i, i64 j) const { return item / each % parts * step + i * row + j; }
};
#ifdef TL_BIASED
/* A bias is added to the scaled scores; where it is -inf it blocks. */
struct Sizes {
    i64 batch, n, m, h, w, causal;
    Place mask_at, bias_at;
    const float *bias;
    __device__ bool allowed(const unsigned char *mask, i64 item, i64 i, i64 j) const {
        return i < n && j < m && !(causal && j > i) && !(mask && !mask[mask_at.at(item, i, j)]) &&
               !(bias && bias[bias_at.at(item, i, j)] == -INFINITY);
    }
    __device__ float biased(float score, i64 item, i64 i, i64 j) const {
        return bias && i < n && j < m ? score + bias[bias_at.at(item, i, j)] : score;
    }
};
#define TL_BIAS_ARGUMENT , const float *bias
/* Blocks a multiprocessor runs at once: the places of mask and bias take the registers of the second. */
#define TL_AT_ONCE 1
#define TL_BIAS(s) s.bias = bias
#else
struct Sizes {
    i64 batch, n, m, h, w, own_mask, causal;
    __device__ bool allowed(const unsigned char *mask, i64 item, i64 i, i64 j) const {
        return i < n && j < m && !(causal && j > i) && !(mask && !mask[((own_mask ? item * n : 0) + i) * m + j]);
    }
    __device__ __forceinline__ float biased(float score, i64 item, i64 i, i64 j) const { return score; }
};
#define TL_BIAS_ARGUMENT
#define TL_AT_ONCE 2
#define TL_BIAS(s)
#endif

/* Four neighbours of a row, zeros past its end. */
__device__ __forceinline__ float4 four_of(const float *row, int f, int width, bool inside) {
    float4 v = {0, 0, 0, 0};
    if (!inside || f >= width) return v;
    if (width % 4 == 0 && (unsigned long long)row % 16 == 0) return *(const float4 *)(row + f);
    v.x = row[f];
    if (f + 1 < width) v.y = row[f + 1];
    if (f + 2 < width) v.z = row[f + 2];
    if (f + 3 < width) v.w = row[f + 3];
    return v;
}
struct Panels {
    __align__(16) float left[DEPTH][TILE + 4], right[DEPTH][TILE + 4];
};
/* Rows of a times rows of b: this thread's are first_a + 4 (t / 16) ... and first_b + 4 (t % 16) ... */
__device__ __forceinline__ void products(
    float (&s)[4][4], Panels &panels, const float *a, int rows_a, int first_a, const float *b, int rows_b, int first_b, int width
) {
    const int t = threadIdx.x, row = t / 4, f = t % 4 * 4, y = t / 16 * 4, x = t % 16 * 4;
#pragma unroll
    for (int i = 0; i < 16; i++) s[i / 4][i % 4] = 0;
    for (int f0 = 0; f0 < width; f0 += DEPTH) {
        const float4 l = four_of(a + (i64)(first_a + row) * width, f0 + f, width, first_a + row < rows_a);
        const float4 r = four_of(b + (i64)(first_b + row) * width, f0 + f, width, first_b + row < rows_b);
        __syncthreads();
        panels.left[f][row] = l.x, panels.left[f + 1][row] = l.y, panels.left[f + 2][row] = l.z, panels.left[f + 3][row] = l.w;
        panels.right[f][row] = r.x, panels.right[f + 1][row] = r.y, panels.right[f + 2][row] = r.z, panels.right[f + 3][row] = r.w;
        __syncthreads();
#pragma unroll
        for (int p = 0; p < DEPTH; p++) {
            const float4 u = *(const float4 *)&panels.left[p][y], v = *(const float4 *)&panels.right[p][x];
            const float us[4] = {u.x, u.y, u.z, u.w}, vs[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
            for (int i = 0; i < 16; i++) s[i / 4][i % 4] += us[i / 4] * vs[i % 4];
        }
    }
}

/* A tile of weights, by columns: column c's rows 4 r ... 4 r + 3 are at [c][4 (r ^ c / 4 % 8)], off each other's banks. */
struct Tile {
    __align__(16) float v[TILE][TILE];
    __device__ __forceinline__ float4 &at(int column, int four) { return *(float4 *)&v[column][(four ^ column / 4 % 8) * 4]; }
    __device__ __forceinline__ void put(const float (&s)[4][4]) {
        const int y = threadIdx.x / 16, x = threadIdx.x % 16 * 4;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float4 column = {s[0][j], s[1][j], s[2][j], s[3][j]};
            at(x + j, y) = column;
        }
    }
};
template <int CHUNK> struct Values { __align__(16) float v[DEPTH][CHUNK]; };
/* sums += weights * rows first ... first + 63 of v, columns column ... column + CHUNK - 1: this thread has rows 4 (t / 16) ... and columns
 * 4 (t % 16) + 64 f ... A blocked pair adds nothing, whatever v holds there; `some` says that there may be such pairs. */
template <int CHUNK>
__device__ __forceinline__ void weigh(
    float (&sums)[4][CHUNK / 16], Tile &weights, Values<CHUNK> &values, const float *v, int rows, int first, int width, int column,
    bool some
) {
    const int t = threadIdx.x, y = t / 16, x = t % 16 * 4;
    for (int j0 = 0; j0 < TILE && first + j0 < rows; j0 += DEPTH) {
        __syncthreads();
#pragma unroll
        for (int piece = t; piece < DEPTH * CHUNK / 4; piece += 256) {
            const int j = piece / (CHUNK / 4), f = piece % (CHUNK / 4) * 4, row = first + j0 + j;
            *(float4 *)&values.v[j][f] = four_of(v + (i64)row * width, column + f, width, row < rows);
        }
        __syncthreads();
#pragma unroll
        for (int j = 0; j < DEPTH; j++) {
            const float4 u = weights.at(j0 + j, y);
            const float us[4] = {u.x, u.y, u.z, u.w};
#pragma unroll
            for (int f = 0; f < CHUNK / 64; f++) {
                const float4 w = *(const float4 *)&values.v[j][x + 64 * f];
                const float ws[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
                for (int i = 0; i < 16; i++)
                    if (!some || __float_as_uint(us[i / 4]) != BLOCKED) sums[i / 4][4 * f + i % 4] += us[i / 4] * ws[i % 4];
            }
        }
    }
}
/* Into rows first + 4 (t / 16) ... of an array of so many columns. */
template <int CHUNK>
__device__ __forceinline__ void store(float *to, const float (&v)[4][CHUNK / 16], int rows, int first, int width, int column) {
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int f = 0; f < CHUNK / 16; f++) {
            const int row = first + threadIdx.x / 16 * 4 + i, at = column + f / 4 * 64 + threadIdx.x % 16 * 4 + f % 4;
            if (row < rows && at < width) to[(i64)row * width + at] = v[i][f];
        }
}
/* Over the 16 threads of a row. */
__device__ __forceinline__ float row_max(float v) {
    for (int by = 8; by; by /= 2) v = fmaxf(v, __shfl_xor_sync(~0u, v, by));
    return v;
}
__device__ __forceinline__ float row_sum(float v) {
    for (int by = 8; by; by /= 2) v += __shfl_xor_sync(~0u, v, by);
    return v;
}
/* Whether the tile of queries i0 ... and keys j0 ... may have blocked pairs. */
__device__ __forceinline__ bool some_blocked(const Sizes &s, const unsigned char *mask, int i0, int j0) {
    return mask || i0 + TILE > s.n || j0 + TILE > s.m || (s.causal && j0 + TILE - 1 > i0);
}
#define TL_ITEM(rows)                                                                                                    \\
    const int across = (int)(((rows) + TILE - 1) / TILE), first = (int)(blockIdx.x % across) * TILE;                     \\
    const int n = (int)s.n, m = (int)s.m, h = (int)s.h, w = (int)s.w, y = threadIdx.x / 16 * 4, x = threadIdx.x % 16 * 4; \\
    const i64 item = blockIdx.x / across;                                                                                \\
    q += item * s.n * s.h, k += item * s.m * s.h, v += item * s.m * s.w;

template <int CHUNK>
__device__ __forceinline__ void forward(
    float *out, float *lse, const float *q, const float *k, const float *v, const unsigned char *mask, const Sizes &s, float scale
) {
    __shared__ Panels panels;
    __shared__ Tile weights;
    __shared__ Values<CHUNK> values;
    TL_ITEM(s.n)
    const int column = blockIdx.y * CHUNK;
    float sums[4][CHUNK / 16] = {}, top[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}, total[4] = {};
    for (int j0 = 0; j0 < m && !(s.causal && j0 > first + TILE - 1); j0 += TILE) {
        const bool some = some_blocked(s, mask, first, j0);
        float score[4][4];
        products(score, panels, q, n, first, k, m, j0, h);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            bool open[4];
            float now = top[i];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                score[i][j] = s.biased(score[i][j] * scale, item, first + y + i, j0 + x + j);
                open[j] = !some || s.allowed(mask, item, first + y + i, j0 + x + j);
                if (open[j]) now = fmaxf(now, score[i][j]);
            }
            now = row_max(now);
            const float worth = top[i] == now ? 1 : expf(top[i] - now);
            total[i] *= worth;
            top[i] = now;
#pragma unroll
            for (int f = 0; f < CHUNK / 16; f++) sums[i][f] *= worth;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                score[i][j] = open[j] ? expf(score[i][j] - now) : __uint_as_float(BLOCKED);
                if (open[j]) total[i] += score[i][j];
            }
        }
        weights.put(score);
        weigh<CHUNK>(sums, weights, values, v, m, j0, w, column, some);
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        total[i] = row_sum(total[i]);
#pragma unroll
        for (int f = 0; f < CHUNK / 16; f++) sums[i][f] = total[i] == 0 ? 0 : sums[i][f] / total[i];
        const int row = first + y + i;
        if (x == 0 && blockIdx.y == 0 && row < n) lse[item * s.n + row] = total[i] == 0 ? -INFINITY : top[i] + logf(total[i]);
    }
    store<CHUNK>(out + item * s.n * s.w, sums, n, first, w, column);
}

/* g . y for each query, by a warp. */
extern "C" __global__ void k_row_dots(float *dots, const float *g, const float *y, i64 width, i64 rows) {
    const i64 row = (i64)blockIdx.x * 8 + threadIdx.x / 32;
    float sum = 0;
    if (row < rows)
        for (i64 f = threadIdx.x % 32; f < width; f += 32) sum += g[row * width + f] * y[row * width + f];
    for (int by = 16; by; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
    if (row < rows && threadIdx.x % 32 == 0) dots[row] = sum;
}

/* From the products of a tile: the weights P and dS = P (g v - dots) / sqrt(h), both of query `row` and an open pair. */
struct Slopes {
    const float *lse, *dots;
    float scale;
    __device__ __forceinline__ void of(float &score, float &slope, const Sizes &s, i64 item, i64 i, i64 j) const {
        const i64 row = item * s.n + i;
        score = expf(s.biased(score * scale, item, i, j) - lse[row]);
        slope = score * (slope - dots[row]) * scale;
    }
};

/* dq = dS k. */
template <int CHUNK>
__device__ __forceinline__ void grad_q(
    float *dq, const float *g, const Slopes &slopes, const float *q, const float *k, const float *v, const unsigned char *mask,
    const Sizes &s
) {
    __shared__ Panels panels;
    __shared__ Tile weights;
    __shared__ Values<CHUNK> values;
    TL_ITEM(s.n)
    g += item * s.n * s.w;
    float sums[4][CHUNK / 16] = {};
    for (int j0 = 0; j0 < m && !(s.causal && j0 > first + TILE - 1); j0 += TILE) {
        const bool some = some_blocked(s, mask, first, j0);
        float score[4][4], slope[4][4];
        products(score, panels, q, n, first, k, m, j0, h);
        products(slope, panels, g, n, first, v, m, j0, w);
#pragma unroll
        for (int e = 0; e < 16; e++) {
            const int i = e / 4, j = e % 4, row = first + y + i;
            if (!some || s.allowed(mask, item, row, j0 + x + j)) slopes.of(score[i][j], slope[i][j], s, item, row, j0 + x + j);
            else slope[i][j] = __uint_as_float(BLOCKED);
        }
        weights.put(slope);
        weigh<CHUNK>(sums, weights, values, k, m, j0, h, blockIdx.y * CHUNK, some);
        __syncthreads();
    }
    store<CHUNK>(dq + item * s.n * s.h, sums, n, first, h, blockIdx.y * CHUNK);
}

/* dk = transposed dS q, dv = transposed P g: rows are keys here. */
template <int CHUNK>
__device__ __forceinline__ void grad_kv(
    float *dk, float *dv, const float *g, const Slopes &slopes, const float *q, const float *k, const float *v, const unsigned char *mask,
    const Sizes &s
) {
    __shared__ Panels panels;
    __shared__ Tile weights;
    __shared__ Values<CHUNK> values;
    TL_ITEM(s.m)
    g += item * s.n * s.w;
    const int column = blockIdx.y * CHUNK;
    float k_sums[4][CHUNK / 16] = {}, v_sums[4][CHUNK / 16] = {};
    for (int i0 = s.causal ? first : 0; i0 < n; i0 += TILE) {
        const bool some = some_blocked(s, mask, i0, first);
        float score[4][4], slope[4][4];
        products(score, panels, k, m, first, q, n, i0, h);
        products(slope, panels, v, m, first, g, n, i0, w);
#pragma unroll
        for (int e = 0; e < 16; e++) {
            const int j = e / 4, i = e % 4, row = i0 + x + i;
            if (!some || s.allowed(mask, item, row, first + y + j)) slopes.of(score[j][i], slope[j][i], s, item, row, first + y + j);
            else score[j][i] = slope[j][i] = __uint_as_float(BLOCKED);
        }
        weights.put(score);
        weigh<CHUNK>(v_sums, weights, values, g, n, i0, w, column, some);
        __syncthreads();
        weights.put(slope);
        weigh<CHUNK>(k_sums, weights, values, q, n, i0, h, column, some);
        __syncthreads();
    }
    store<CHUNK>(dk + item * s.m * s.h, k_sums, m, first, h, column);
    store<CHUNK>(dv + item * s.m * s.w, v_sums, m, first, w, column);
}
"""


_ALONE = """
struct Allowed {
    i64 batch, n, m, causal;
    Place mask_at, bias_at;
};
extern "C" __global__ void k_allowed(float *y, const unsigned char *mask, const float *bias, Allowed s, i64 count) {
    TL_EACH(e, count) {
        const i64 item = e / (s.n * s.m), i = e / s.m % s.n, j = e % s.m;
        const bool blocked = (s.causal && j > i) || (mask && !mask[s.mask_at.at(item, i, j)]) ||
                             (bias && bias[s.bias_at.at(item, i, j)] == -INFINITY);
        y[e] = blocked ? 0 : 1;
    }
}
"""

#: The gradient of a bias: an element is the sum over the items, and over the queries, that have it.
_BIAS_GRAD = """
extern "C" __global__ void k_attention_bias_grad(
    float *to, const float *g, const float *lse, const float *dots, const float *q, const float *k, const float *v,
    const unsigned char *mask, Sizes s, const float *bias, float scale, i64 count
) {
    s.bias = bias;
    const Place &p = s.bias_at;
    TL_EACH(e, count) {
        const i64 part = e / p.step, j = e % s.m, row = e % p.step / s.m;
        float sum = 0;
        for (i64 turn = 0; turn < s.batch / p.parts; turn++) {
            const i64 item = (turn / p.each * p.parts + part) * p.each + turn % p.each;
            for (i64 i = p.row ? row : 0; i < (p.row ? row + 1 : s.n); i++) {
                if (!s.allowed(mask, item, i, j)) continue;
                float score = 0, slope = 0;
                for (i64 f = 0; f < s.h; f++) score += q[(item * s.n + i) * s.h + f] * k[(item * s.m + j) * s.h + f];
                for (i64 f = 0; f < s.w; f++) slope += g[(item * s.n + i) * s.w + f] * v[(item * s.m + j) * s.w + f];
                const i64 at = item * s.n + i;
                sum += expf(s.biased(score * scale, item, i, j) - lse[at]) * (slope - dots[at]);
            }
        }
        to[e] = sum;
    }
}
"""


def _kernels(chunk: int) -> str:
    rest = "const float *g, const float *lse, const float *dots, const float *q, const float *k, const float *v, const unsigned char *mask"
    return f"""
extern "C" __global__ void __launch_bounds__(256, 2) k_attention_{chunk}(
    float *y, float *lse, const float *q, const float *k, const float *v, const unsigned char *mask, Sizes s TL_BIAS_ARGUMENT, float scale
) {{
    TL_BIAS(s);
    forward<{chunk}>(y, lse, q, k, v, mask, s, scale);
}}
extern "C" __global__ void __launch_bounds__(256, TL_AT_ONCE) k_attention_dq_{chunk}(
    float *dq, {rest}, Sizes s TL_BIAS_ARGUMENT, float scale
) {{
    TL_BIAS(s);
    const Slopes slopes = {{lse, dots, scale}};
    grad_q<{chunk}>(dq, g, slopes, q, k, v, mask, s);
}}
extern "C" __global__ void __launch_bounds__(256, {"TL_AT_ONCE" if chunk == 64 else 1}) k_attention_dkv_{chunk}(
    float *dk, float *dv, {rest}, Sizes s TL_BIAS_ARGUMENT, float scale
) {{
    TL_BIAS(s);
    const Slopes slopes = {{lse, dots, scale}};
    grad_kv<{chunk}>(dk, dv, g, slopes, q, k, v, mask, s);
}}
"""


def allowed(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    batch, n, m = ints[:3]
    return Plan((flat("k_allowed", batch * n * m, Out(0), In(0), In(1), tuple(ints)),))


def _tiled(function: str, batch: int, rows: int, features: int, *args: Argument) -> Launch:
    # One block for each 64 rows of an item, and for each chunk of features.
    chunk = next((c for c in CHUNKS if features <= c), CHUNKS[-1])
    grid = (batch * ceil_div(rows, TILE), ceil_div(features, chunk), 1)
    return Launch(f"{function}_{chunk}", args, grid)


def attention(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    batch, n, _, h, w = ints[:5]
    return Plan((_tiled("k_attention", batch, n, w, Out(0), Out(1), In(0), In(1), In(2), In(3), tuple(ints), 1.0 / sqrt(h)),))


def attention_grad(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    # Inputs: g, y, lse, q, k, v, mask.
    return _grads(ints, (tuple(ints), 1.0 / sqrt(ints[3])))


def _dots(ints: Sequence[int]) -> Launch:
    batch, n, w = ints[0], ints[1], ints[4]
    return Launch("k_row_dots", (Scratch(0), In(0), In(1), w, batch * n), (ceil_div(batch * n, 8), 1, 1))


def _grads(ints: Sequence[int], last: tuple[Argument, ...]) -> Plan:
    batch, n, m, h, w = ints[:5]
    rest = (In(0), In(2), Scratch(0), In(3), In(4), In(5), In(6), *last)
    dq = _tiled("k_attention_dq", batch, n, h, Out(0), *rest)
    dkv = _tiled("k_attention_dkv", batch, m, max(h, w), Out(1), Out(2), *rest)
    return Plan((_dots(ints), dq, dkv), (4 * batch * n,))


def biased(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    batch, n, _, _, w = ints[:5]
    last = ((*ints, 0), In(4), floats[0])
    return Plan((_tiled("k_attention", batch, n, w, Out(0), Out(1), In(0), In(1), In(2), In(3), *last),))


def biased_grad(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    # Inputs: g, y, lse, q, k, v, mask, bias.
    return _grads(ints, ((*ints, 0), In(7), floats[0]))


def bias_grad(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    batch, n, parts, step = ints[0], ints[1], ints[11], ints[12]
    inputs = (In(0), In(2), Scratch(0), In(3), In(4), In(5), In(6))
    last = flat("k_attention_bias_grad", parts * step, Out(0), *inputs, (*ints, 0), In(7), floats[0])
    return Plan((_dots(ints), last), (4 * batch * n,))


_TILES = "".join(map(_kernels, CHUNKS))
FAMILY = Family(
    "attention",
    COMMON + _SOURCE + _ALONE + _TILES,
    {"_attention_allowed": allowed, "scaled_dot_product_attention": attention, "_sdpa_grad": attention_grad},
    contract=True,
)
FURTHER = (
    Family(
        "biased_attention",
        COMMON + "#define TL_BIASED 1\n" + _SOURCE + _BIAS_GRAD + _TILES,
        {"_attention": biased, "_attention_grad": biased_grad, "_attention_bias_grad": bias_grad},
        contract=True,
    ),
)
