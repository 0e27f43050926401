"""Softmax, its logarithm, the log of a sum of exponentials, and their gradients, along any axis."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import ACROSS, COMMON, Argument, Family, In, Out, Plan, Planner, by_rows

_SOURCE = """
/* A row is element (outer, ., inner) of an array outer x n x inner. */
#define TL_AT const i64 at = row / inner * n * inner + row % inner;

__device__ __forceinline__ float row_top(const float *x, i64 n, i64 inner) {
    float top = -INFINITY;
    TL_LANES(j, n) top = Max::of(top, x[j * inner]);
    return across<Max>(top);
}
__device__ __forceinline__ float row_exp_sum(const float *x, float top, i64 n, i64 inner) {
    float total = 0;
    TL_LANES(j, n) total += expf(x[j * inner] - top);
    return across<Sum>(total);
}
extern "C" __global__ void k_softmax(float *y, const float *x, i64 inner, i64 rows, i64 n) {
    TL_ROW TL_AT
    const float top = row_top(x + at, n, inner), total = row_exp_sum(x + at, top, n, inner);
    if (mine) TL_LANES(j, n) y[at + j * inner] = expf(x[at + j * inner] - top) / total;
}
extern "C" __global__ void k_log_softmax(float *y, const float *x, i64 inner, i64 rows, i64 n) {
    TL_ROW TL_AT
    const float top = row_top(x + at, n, inner), rest = logf(row_exp_sum(x + at, top, n, inner));
    if (mine) TL_LANES(j, n) y[at + j * inner] = (x[at + j * inner] - top) - rest;
}
/* A row whose maximum is infinite is not shifted: inf - inf is not a number. */
extern "C" __global__ void k_logsumexp(float *y, const float *x, i64 inner, i64 rows, i64 n) {
    TL_ROW TL_AT
    float top = row_top(x + at, n, inner);
    if (top == INFINITY || top == -INFINITY) top = 0;
    const float total = row_exp_sum(x + at, top, n, inner);
    if (mine && threadIdx.x == 0) y[row] = logf(total) + top;
}
extern "C" __global__ void k_softmax_grad(float *d, const float *g, const float *y, i64 inner, i64 rows, i64 n) {
    TL_ROW TL_AT
    float total = 0;
    TL_LANES(j, n) total += g[at + j * inner] * y[at + j * inner];
    total = across<Sum>(total);
    if (mine) TL_LANES(j, n) d[at + j * inner] = y[at + j * inner] * (g[at + j * inner] - total);
}
extern "C" __global__ void k_log_softmax_grad(float *d, const float *g, const float *y, i64 inner, i64 rows, i64 n) {
    TL_ROW TL_AT
    float total = 0;
    TL_LANES(j, n) total += g[at + j * inner];
    total = across<Sum>(total);
    if (mine) TL_LANES(j, n) d[at + j * inner] = g[at + j * inner] - expf(y[at + j * inner]) * total;
}
extern "C" __global__ void k_logsumexp_grad(float *d, const float *g, const float *y, const float *x, i64 inner, i64 rows, i64 n) {
    TL_ROW TL_AT
    if (mine) TL_LANES(j, n) d[at + j * inner] = g[row] * expf(x[at + j * inner] - y[row]);
}
"""


def _planner(function: str, inputs: int) -> Planner:
    pointers: tuple[Argument, ...] = (Out(0), *(In(k) for k in range(inputs)))

    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        outer, n, inner = ints
        return Plan((by_rows(function, outer * inner, n, *pointers, inner),))

    return plan


FAMILY = Family(
    "softmax",
    COMMON + ACROSS + _SOURCE,
    {
        "softmax": _planner("k_softmax", 1),
        "log_softmax": _planner("k_log_softmax", 1),
        "logsumexp": _planner("k_logsumexp", 1),
        "_softmax_grad": _planner("k_softmax_grad", 2),
        "_log_softmax_grad": _planner("k_log_softmax_grad", 2),
        "_logsumexp_grad": _planner("k_logsumexp_grad", 3),
    },
)
