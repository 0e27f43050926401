"""Scaled dot-product attention by tiles with an online softmax; the scores are never stored. Its gradients recompute them from lse."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from .plan import COMMON, Argument, Family, In, Launch, Out, Plan, Scratch, ceil_div, flat

#: Queries, keys and features of a tile; features of an output that one block has sums for.
TILE, CHUNK = 16, 64

_SOURCE = """
enum { TILE = 16, CHUNK = 64, SUMS = CHUNK / TILE };

struct Sizes {
    i64 batch, n, m, h, w, own_mask, causal;
    __device__ bool allowed(const unsigned char *mask, i64 item, i64 i, i64 j) const {
        return i < n && j < m && !(causal && j > i) && !(mask && !mask[((own_mask ? item * n : 0) + i) * m + j]);
    }
};

/* Rows of a times rows of b, for the 16 x 16 pairs of a block: this thread's are first_a + threadIdx.y and first_b + threadIdx.x. */
__device__ float tile_products(const float *a, i64 rows_a, i64 first_a, const float *b, i64 rows_b, i64 first_b, i64 width) {
    __shared__ float left[TILE][TILE + 1], right[TILE][TILE + 1];
    const int x = threadIdx.x, y = threadIdx.y;
    float sum = 0;
    for (i64 f = 0; f < width; f += TILE) {
        left[y][x] = first_a + y < rows_a && f + x < width ? a[(first_a + y) * width + f + x] : 0;
        right[y][x] = first_b + y < rows_b && f + x < width ? b[(first_b + y) * width + f + x] : 0;
        __syncthreads();
        for (int k = 0; k < TILE; k++) sum += left[y][k] * right[x][k];
        __syncthreads();
    }
    return sum;
}

extern "C" __global__ void k_allowed(float *y, const unsigned char *mask, Sizes s, i64 count) {
    TL_EACH(i, count) y[i] = s.allowed(mask, i / (s.n * s.m), i / s.m % s.n, i % s.m) ? 1 : 0;
}

/* A block: 16 queries of one item, CHUNK features of v. */
extern "C" __global__ void k_attention(
    float *y, float *lse, const float *q, const float *k, const float *v, const unsigned char *mask, Sizes s, float scale
) {
    __shared__ float weight[TILE][TILE + 1];
    __shared__ bool open[TILE][TILE + 1];
    const i64 across = (s.n + TILE - 1) / TILE, item = blockIdx.x / across, first = blockIdx.x % across * TILE;
    const int x = threadIdx.x, r = threadIdx.y;
    const i64 i = first + r;
    q += item * s.n * s.h;
    k += item * s.m * s.h;
    v += item * s.m * s.w;
    float sums[SUMS] = {}, top = -INFINITY, total = 0;
    for (i64 j0 = 0; j0 < s.m && !(s.causal && j0 > first + TILE - 1); j0 += TILE) {
        const float score = tile_products(q, s.n, first, k, s.m, j0, s.h) * scale;
        const bool mine = s.allowed(mask, item, i, j0 + x);
        weight[r][x] = mine ? score : -INFINITY;
        open[r][x] = mine;
        __syncthreads();
        float now = top;
        for (int j = 0; j < TILE; j++) now = fmaxf(now, weight[r][j]);
        __syncthreads();
        weight[r][x] = mine ? expf(score - now) : 0;
        __syncthreads();
        const float worth = top == now ? 1 : expf(top - now);
        total *= worth;
        for (int f = 0; f < SUMS; f++) sums[f] *= worth;
        for (int j = 0; j < TILE; j++) {
            /* A blocked pair adds nothing, whatever v holds there. */
            if (!open[r][j]) continue;
            total += weight[r][j];
            for (int f = 0; f < SUMS; f++) {
                const i64 column = blockIdx.y * CHUNK + f * TILE + x;
                if (column < s.w) sums[f] += weight[r][j] * v[(j0 + j) * s.w + column];
            }
        }
        top = now;
        __syncthreads();
    }
    if (i >= s.n) return;
    for (int f = 0; f < SUMS; f++) {
        const i64 column = blockIdx.y * CHUNK + f * TILE + x;
        if (column < s.w) y[(item * s.n + i) * s.w + column] = total == 0 ? 0 : sums[f] / total;
    }
    if (x == 0 && blockIdx.y == 0) lse[item * s.n + i] = total == 0 ? -INFINITY : top + logf(total);
}

/* g . y for each query. */
extern "C" __global__ void k_row_dots(float *dots, const float *g, const float *y, i64 width, i64 n) {
    TL_EACH(i, n) {
        float sum = 0;
        for (i64 f = 0; f < width; f++) sum += g[i * width + f] * y[i * width + f];
        dots[i] = sum;
    }
}

/* With P the weights and dS = P (g v - dots)/sqrt(h): dq = dS k. A block: 16 queries, CHUNK features of q. */
extern "C" __global__ void k_attention_dq(
    float *dq, const float *g, const float *lse, const float *dots, const float *q, const float *k, const float *v,
    const unsigned char *mask, Sizes s, float scale
) {
    __shared__ float ds[TILE][TILE + 1];
    __shared__ bool open[TILE][TILE + 1];
    const i64 across = (s.n + TILE - 1) / TILE, item = blockIdx.x / across, first = blockIdx.x % across * TILE;
    const int x = threadIdx.x, r = threadIdx.y;
    const i64 i = first + r, row = item * s.n + i;
    q += item * s.n * s.h;
    k += item * s.m * s.h;
    v += item * s.m * s.w;
    g += item * s.n * s.w;
    float sums[SUMS] = {};
    for (i64 j0 = 0; j0 < s.m && !(s.causal && j0 > first + TILE - 1); j0 += TILE) {
        const float score = tile_products(q, s.n, first, k, s.m, j0, s.h) * scale;
        const float dp = tile_products(g, s.n, first, v, s.m, j0, s.w);
        open[r][x] = s.allowed(mask, item, i, j0 + x);
        ds[r][x] = open[r][x] ? expf(score - lse[row]) * (dp - dots[row]) * scale : 0;
        __syncthreads();
        for (int j = 0; j < TILE; j++) {
            if (!open[r][j]) continue;
            for (int f = 0; f < SUMS; f++) {
                const i64 column = blockIdx.y * CHUNK + f * TILE + x;
                if (column < s.h) sums[f] += ds[r][j] * k[(j0 + j) * s.h + column];
            }
        }
        __syncthreads();
    }
    if (i >= s.n) return;
    for (int f = 0; f < SUMS; f++) {
        const i64 column = blockIdx.y * CHUNK + f * TILE + x;
        if (column < s.h) dq[row * s.h + column] = sums[f];
    }
}

/* dk = transposed dS q, dv = transposed P g. A block: 16 keys, CHUNK features of k and of v. */
extern "C" __global__ void k_attention_dkv(
    float *dk, float *dv, const float *g, const float *lse, const float *dots, const float *q, const float *k, const float *v,
    const unsigned char *mask, Sizes s, float scale
) {
    __shared__ float p[TILE][TILE + 1], ds[TILE][TILE + 1];
    __shared__ bool open[TILE][TILE + 1];
    const i64 across = (s.m + TILE - 1) / TILE, item = blockIdx.x / across, first = blockIdx.x % across * TILE;
    const int x = threadIdx.x, r = threadIdx.y;
    const i64 j = first + r;
    q += item * s.n * s.h;
    k += item * s.m * s.h;
    v += item * s.m * s.w;
    g += item * s.n * s.w;
    lse += item * s.n;
    dots += item * s.n;
    float k_sums[SUMS] = {}, v_sums[SUMS] = {};
    for (i64 i0 = s.causal ? first : 0; i0 < s.n; i0 += TILE) {
        const float score = tile_products(k, s.m, first, q, s.n, i0, s.h) * scale;
        const float dp = tile_products(v, s.m, first, g, s.n, i0, s.w);
        open[r][x] = s.allowed(mask, item, i0 + x, j);
        p[r][x] = open[r][x] ? expf(score - lse[i0 + x]) : 0;
        ds[r][x] = open[r][x] ? p[r][x] * (dp - dots[i0 + x]) * scale : 0;
        __syncthreads();
        for (int i = 0; i < TILE; i++) {
            if (!open[r][i]) continue;
            for (int f = 0; f < SUMS; f++) {
                const i64 column = blockIdx.y * CHUNK + f * TILE + x;
                if (column < s.h) k_sums[f] += ds[r][i] * q[(i0 + i) * s.h + column];
                if (column < s.w) v_sums[f] += p[r][i] * g[(i0 + i) * s.w + column];
            }
        }
        __syncthreads();
    }
    if (j >= s.m) return;
    for (int f = 0; f < SUMS; f++) {
        const i64 column = blockIdx.y * CHUNK + f * TILE + x;
        if (column < s.h) dk[(item * s.m + j) * s.h + column] = k_sums[f];
        if (column < s.w) dv[(item * s.m + j) * s.w + column] = v_sums[f];
    }
}
"""


def allowed(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    batch, n, m, own, causal = ints
    return Plan((flat("k_allowed", batch * n * m, Out(0), In(0), (batch, n, m, 1, 1, own, causal)),))


def _tiled(function: str, batch: int, rows: int, features: int, ints: Sequence[int], *args: Argument) -> Launch:
    grid = (batch * ceil_div(rows, TILE), ceil_div(features, CHUNK), 1)
    return Launch(function, (*args, tuple(ints), 1.0 / sqrt(ints[3])), grid, (TILE, TILE, 1))


def attention(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    batch, n, _, _, w = ints[:5]
    return Plan((_tiled("k_attention", batch, n, w, ints, Out(0), Out(1), In(0), In(1), In(2), In(3)),))


def attention_grad(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    # Inputs: g, y, lse, q, k, v, mask.
    batch, n, m, h, w = ints[:5]
    rest = (In(0), In(2), Scratch(0), In(3), In(4), In(5), In(6))
    return Plan(
        (
            flat("k_row_dots", batch * n, Scratch(0), In(0), In(1), w),
            _tiled("k_attention_dq", batch, n, h, ints, Out(0), *rest),
            _tiled("k_attention_dkv", batch, m, max(h, w), ints, Out(1), Out(2), *rest),
        ),
        (4 * batch * n,),
    )


FAMILY = Family(
    "attention",
    COMMON + _SOURCE,
    {"_attention_allowed": allowed, "scaled_dot_product_attention": attention, "_sdpa_grad": attention_grad},
    contract=True,
)
