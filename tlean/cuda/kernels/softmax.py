"""Softmax, its logarithm, the log of a sum of exponentials, and their gradients, along any axis."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import ACROSS, COMMON, ROWS, Argument, Family, In, Out, Plan, Planner, by_rows, held

_SOURCE = """
/* A row is element (outer, ., inner) of an array outer x n x inner. */
#define TL_AT const i64 at = row / inner * n * inner + row % inner;

template <bool HOLD> __device__ __forceinline__ float top_of(const Line<HOLD> &x) {
    float top = -INFINITY;
    x.each([&](i64, float v) { top = Max::of(top, v); });
    return across<Max>(top);
}
template <bool HOLD> __device__ __forceinline__ float exp_sum(const Line<HOLD> &x, float top) {
    float total = 0;
    x.each([&](i64, float v) { total += expf(v - top); });
    return across<Sum>(total);
}
template <bool HOLD> __device__ __forceinline__ void softmax(float *y, const float *x, i64 inner, i64 rows, i64 n) {
    TL_ROW TL_AT
    const Line<HOLD> line(x + at, n, inner);
    const float top = top_of(line), total = exp_sum(line, top);
    if (mine) line.each([&](i64 j, float v) { y[at + j * inner] = expf(v - top) / total; });
}
template <bool HOLD> __device__ __forceinline__ void log_softmax(float *y, const float *x, i64 inner, i64 rows, i64 n) {
    TL_ROW TL_AT
    const Line<HOLD> line(x + at, n, inner);
    const float top = top_of(line), rest = logf(exp_sum(line, top));
    if (mine) line.each([&](i64 j, float v) { y[at + j * inner] = (v - top) - rest; });
}
/* A row whose maximum is infinite is not shifted: inf - inf is not a number. */
template <bool HOLD> __device__ __forceinline__ void logsumexp(float *y, const float *x, i64 inner, i64 rows, i64 n) {
    TL_ROW TL_AT
    const Line<HOLD> line(x + at, n, inner);
    float top = top_of(line);
    if (top == INFINITY || top == -INFINITY) top = 0;
    const float total = exp_sum(line, top);
    if (mine && threadIdx.x == 0) y[row] = logf(total) + top;
}
template <bool HOLD> __device__ __forceinline__ void softmax_grad(float *d, const float *g, const float *y, i64 inner, i64 rows, i64 n) {
    TL_ROW TL_AT
    const Line<HOLD> line(g + at, n, inner);
    float total = 0;
    line.each([&](i64 j, float v) { total += v * y[at + j * inner]; });
    total = across<Sum>(total);
    if (mine) line.each([&](i64 j, float v) { d[at + j * inner] = y[at + j * inner] * (v - total); });
}
template <bool HOLD> __device__ __forceinline__ void log_softmax_grad(
    float *d, const float *g, const float *y, i64 inner, i64 rows, i64 n
) {
    TL_ROW TL_AT
    const Line<HOLD> line(g + at, n, inner);
    float total = 0;
    line.each([&](i64, float v) { total += v; });
    total = across<Sum>(total);
    if (mine) line.each([&](i64 j, float v) { d[at + j * inner] = v - expf(y[at + j * inner]) * total; });
}
"""

#: Function -> its inputs.
_INPUTS = {"softmax": "x", "log_softmax": "x", "logsumexp": "x", "softmax_grad": "gy", "log_softmax_grad": "gy"}


def _kernel(function: str, ending: str) -> str:
    inputs = _INPUTS[function]
    return f"""
extern "C" __global__ void k_{function}{ending}(float *out, {", ".join(f"const float *{i}" for i in inputs)}, i64 inner, i64 rows, i64 n) {{
    {function}<{"true" if ending else "false"}>(out, {", ".join(inputs)}, inner, rows, n);
}}
"""


def _planner(function: str) -> Planner:
    pointers: tuple[Argument, ...] = (Out(0), *(In(k) for k in range(len(_INPUTS[function]))))

    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        outer, n, inner = ints
        return Plan((by_rows(f"k_{function}{held(n)}", outer * inner, n, *pointers, inner),))

    return plan


FAMILY = Family(
    "softmax",
    COMMON + ACROSS + ROWS + _SOURCE + "".join(_kernel(function, ending) for function in _INPUTS for ending in ("", "_held")),
    {("_" if function.endswith("grad") else "") + function: _planner(function) for function in _INPUTS},
)
