"""Matrix products and the fully connected layer."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import COMMON, Family, In, Out, Plan
from .tile import SOURCE as TILE_SOURCE
from .tile import tiles

_SOURCE = """
struct Matrix {
    const float *at;
    i64 row_step, column_step;
    bool along_k, along_n;
    __device__ float operator()(i64 i, i64 j) const { return at[i * row_step + j * column_step]; }
};
struct Store {
    float *at;
    const float *bias;
    i64 pitch;
    __device__ void operator()(i64 i, i64 j, float v) const { at[i * pitch + j] = bias ? v + bias[j] : v; }
};
/* y (batch, m, n) = A' (batch, m, k) B' (batch, k, n) + bias (n), either operand read transposed where asked. */
extern "C" __global__ void k_matmul(
    float *y, const float *a, const float *b, const float *bias, i64 m, i64 n, i64 k, i64 transpose_a, i64 transpose_b
) {
    const i64 each = (m + 63) / 64 * ((n + 63) / 64), item = blockIdx.x / each;
    Matrix left = {a + item * m * k, transpose_a ? 1 : k, transpose_a ? m : 1, !transpose_a, false};
    Matrix right = {b + item * k * n, transpose_b ? 1 : n, transpose_b ? k : 1, false, !transpose_b};
    Store store = {y + item * m * n, bias, n};
    multiply_tile(left, right, store, m, n, k, blockIdx.x % each);
}
"""


def matmul(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    batch, m, n, k, transpose_a, transpose_b = ints
    return Plan((tiles("k_matmul", batch, m, n, Out(0), In(0), In(1), 0, m, n, k, transpose_a, transpose_b),))


def linear(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    # y = x Wᵀ + b, inputs (w, b, x).
    rows, outputs, inputs = ints
    return Plan((tiles("k_matmul", 1, rows, outputs, Out(0), In(2), In(0), In(1), rows, outputs, inputs, 0, 1),))


FAMILY = Family("gemm", COMMON + TILE_SOURCE + _SOURCE, {"matmul": matmul, "linear": linear}, contract=True)
