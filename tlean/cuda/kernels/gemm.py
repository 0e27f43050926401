"""Matrix products and the fully connected layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product as pairs

from ...errors import ShapeError
from .plan import COMMON, Argument, Family, In, Plan
from .tile import PRECISIONS, Precision, Tile, product, signature_of, source

#: Leading axes of a batch that cannot be merged, at most.
MOST_AXES = 6

_SOURCE = """
/* Rows of a matrix: element (row, p) is at row * pitch + p, or, where its neighbours lie along the rows, at p * pitch + row. */
template <bool ALONG> struct Matrix {
    static const bool ALONG_P = ALONG, TABLE = false;
    static const int WIDTH = 4;
    const float *at;
    i64 pitch;
    int rows;
    bool fours;
    __device__ Matrix(const float *at, i64 pitch, int rows)
        : at(at), pitch(pitch), rows(rows), fours(pitch % 4 == 0 && (unsigned long long)at % 16 == 0) {}
    __device__ Place place(int row) const { return Place(); }
    __device__ void fetch(float *v, const Place &, int row, int p, int last) const {
        const float *from = at + (ALONG ? row * pitch + p : p * pitch + row);
        const int left = row < rows && p < last ? (ALONG ? last - p : rows - row) : 0;
        if (fours && left >= 4) {
            const float4 four = *(const float4 *)from;
            v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
        } else {
            v[0] = left > 0 ? from[0] : 0, v[1] = left > 1 ? from[1] : 0, v[2] = left > 2 ? from[2] : 0, v[3] = left > 3 ? from[3] : 0;
        }
    }
};
/* The leading axes of a batch: their sizes, and the elements between neighbours of each operand, 0 where it is stretched. */
enum { BATCH_AXES = AXES_OF_BATCH };
struct Batch {
    i64 sizes[BATCH_AXES], a[BATCH_AXES], b[BATCH_AXES];
    __device__ void move(i64 item, const float **left, const float **right) const {
#pragma unroll
        for (int k = BATCH_AXES - 1; k >= 0; k--) {
            *left += item % sizes[k] * a[k], *right += item % sizes[k] * b[k];
            item /= sizes[k];
        }
    }
};
struct Store {
    float *at;
    const float *bias;
    i64 pitch;
    template <int W> __device__ void put(int row, int column, const float *v, int left) const {
        float *to = at + row * pitch + column, sums[W];
#pragma unroll
        for (int e = 0; e < W; e++) sums[e] = bias && e < left ? v[e] + bias[column + e] : v[e];
        if (W == 4 && left >= 4 && (unsigned long long)to % 16 == 0) {
            const float4 four = {sums[0], sums[1], sums[2 % W], sums[3 % W]};
            *(float4 *)to = four;
        } else {
#pragma unroll
            for (int e = 0; e < W; e++) if (e < left) to[e] = sums[e];
        }
    }
};
""".replace("AXES_OF_BATCH", str(MOST_AXES))


def _kernel(precision: Precision, tile: Tile, transpose_a: bool, transpose_b: bool) -> str:
    # A (m, k), or (k, m) transposed, lies along p or along its rows; so does B (k, n) the other way round.
    name = f"k_matmul_{'nt'[transpose_a]}{'nt'[transpose_b]}_{tile.name}"
    arguments = "float *y, const float *bias, i64 parts, i64 size, const float *a, const float *b, i64 m, i64 n, i64 k, Batch batch"
    return f"""
/* y (batch, m, n) = a {"(batch, k, m) transposed" if transpose_a else "(batch, m, k)"} b {
        "(batch, n, k) transposed" if transpose_b else "(batch, k, n)"
    } + bias (n). */
{signature_of(name, precision, arguments)} {{
    const int each = (int)((m + {tile.rows - 1}) / {tile.rows} * ((n + {tile.columns - 1}) / {tile.columns}));
    const i64 item = blockIdx.x / each;
    batch.move(item, &a, &b);
    const Matrix<{"false" if transpose_a else "true"}> left(a, {"m" if transpose_a else "k"}, (int)m);
    const Matrix<{"true" if transpose_b else "false"}> right(b, {"k" if transpose_b else "n"}, (int)n);
    const Store store = {{y + blockIdx.z * size + item * m * n, bias, n}};
    TL_PART(k, parts)
    multiply_tile<{tile.rows}, {tile.columns}, {tile.row_warps}>(left, right, store, (int)m, (int)n, first, last, blockIdx.x % each);
}}
"""


def _family(name: str, precision: Precision, variants: dict[str, Family]) -> Family:
    def plan(batch: int, m: int, n: int, k: int, kinds: str, a: Argument, b: Argument, bias: Argument, axes: Sequence[int] = ()) -> Plan:
        count = len(axes) // 3
        if count > MOST_AXES:
            raise ShapeError(f"CUDA: a matrix product must have at most {MOST_AXES} leading axes that cannot be merged, not {count}")
        # Axes of size 1 are put before those that there are.
        moves = tuple(v for r, fill in enumerate((1, 0, 0)) for v in (*(fill,) * (MOST_AXES - count), *axes[r * count : (r + 1) * count]))
        return product(f"k_matmul_{kinds}", precision, batch, m, n, k, bias, 1, n, a, b, m, n, k, moves)

    def matmul(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        batch, m, n, k, transpose_a, transpose_b, _, *axes = ints
        return plan(batch, m, n, k, "nt"[bool(transpose_a)] + "nt"[bool(transpose_b)], In(0), In(1), 0, axes)

    def linear(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        # y = x Wᵀ + b, inputs (w, b, x).
        rows, outputs, inputs = ints
        return plan(1, rows, outputs, inputs, "nt", In(2), In(0), In(1))

    kernels = "".join(_kernel(precision, tile, a, b) for tile in precision.tiles for a, b in pairs((False, True), repeat=2))
    text = COMMON + source(precision) + _SOURCE + kernels
    return Family(name, text, {"matmul": matmul, "linear": linear}, contract=True, variants=variants)


FAMILY = _family("gemm", PRECISIONS["fp32"], {name: _family(f"gemm_{name}", PRECISIONS[name], {}) for name in ("tf32", "fp64")})
