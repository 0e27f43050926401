"""The product of two matrices that are read through functions: the core of matrix products and convolutions."""

from __future__ import annotations

from .plan import Argument, Launch, ceil_div

#: Rows and columns of the tile that a block computes.
TILE = 64

SOURCE = """
/* c(row, column, sum over p < k of a(row, p) * b(p, column)) for a tile of 64 x 64, by 256 threads with 4 x 4 sums each.
 *
 * Panels of 16 values of p go through shared memory. `a.along_k` and `b.along_n` say along which index neighbours lie side by side in
 * memory, so that neighbouring threads load neighbours. The order of the additions is the order of p. */
template <class A, class B, class C> __device__ void multiply_tile(A a, B b, C c, i64 m, i64 n, i64 k, i64 tile) {
    __shared__ float left[16][65], right[16][65];
    const int t = threadIdx.x, tx = t % 16, ty = t / 16;
    const i64 across_n = (n + 63) / 64, row0 = tile / across_n * 64, column0 = tile % across_n * 64;
    float sums[4][4] = {};
    for (i64 p0 = 0; p0 < k; p0 += 16) {
        for (int i = t; i < 1024; i += 256) {
            const int ra = a.along_k ? i / 16 : i % 64, pa = a.along_k ? i % 16 : i / 64;
            left[pa][ra] = row0 + ra < m && p0 + pa < k ? a(row0 + ra, p0 + pa) : 0;
            const int cb = b.along_n ? i % 64 : i / 16, pb = b.along_n ? i / 64 : i % 16;
            right[pb][cb] = column0 + cb < n && p0 + pb < k ? b(p0 + pb, column0 + cb) : 0;
        }
        __syncthreads();
        for (int p = 0; p < 16; p++) {
            float x[4], y[4];
            for (int i = 0; i < 4; i++) x[i] = left[p][ty + 16 * i];
            for (int j = 0; j < 4; j++) y[j] = right[p][tx + 16 * j];
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sums[i][j] += x[i] * y[j];
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const i64 row = row0 + ty + 16 * i, column = column0 + tx + 16 * j;
            if (row < m && column < n) c(row, column, sums[i][j]);
        }
}
"""


def tiles(function: str, batch: int, m: int, n: int, *args: Argument) -> Launch:
    """A launch with one block for each tile of each product in a batch."""
    return Launch(function, args, (batch * ceil_div(m, TILE) * ceil_div(n, TILE), 1, 1))
