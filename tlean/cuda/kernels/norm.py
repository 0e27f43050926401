"""Layer and batch normalisation. Variances are means of squared deviations, by a second pass."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import ACROSS, COMMON, Argument, Family, In, Launch, Out, Plan, Planner, Scratch, by_rows, ceil_div, flat

_SOURCE = """
extern "C" __global__ void k_layer_norm(
    float *y, float *mean_out, float *rstd_out, const float *x, const float *gamma, const float *beta, float eps, i64 rows, i64 n
) {
    TL_ROW
    x += row * n;
    float mean = 0, var = 0;
    TL_LANES(j, n) mean += x[j];
    mean = across<Sum>(mean) / n;
    TL_LANES(j, n) var += (x[j] - mean) * (x[j] - mean);
    const float rstd = 1 / sqrtf(across<Sum>(var) / n + eps);
    if (!mine) return;
    TL_LANES(j, n) {
        float v = (x[j] - mean) * rstd;
        if (gamma) v *= gamma[j];
        y[row * n + j] = beta ? v + beta[j] : v;
    }
    if (threadIdx.x == 0) { mean_out[row] = mean; rstd_out[row] = rstd; }
}
/* With u = g gamma and z the normalised row: dx = rstd (u - mean of u - z mean of u z). */
extern "C" __global__ void k_layer_norm_grad(
    float *dx, const float *g, const float *x, const float *gamma, const float *mean, const float *rstd, i64 rows, i64 n
) {
    TL_ROW
    x += row * n;
    g += row * n;
    const float m = mean[row], r = rstd[row];
    float plain = 0, along = 0;
    TL_LANES(j, n) {
        const float u = gamma ? g[j] * gamma[j] : g[j];
        plain += u;
        along += u * ((x[j] - m) * r);
    }
    plain = across<Sum>(plain) / n;
    along = across<Sum>(along) / n;
    if (mine) TL_LANES(j, n) {
        const float u = gamma ? g[j] * gamma[j] : g[j];
        dx[row * n + j] = r * (u - plain - (x[j] - m) * r * along);
    }
}
/* 32 columns a block, 8 threads a column. */
extern "C" __global__ void k_layer_norm_sums(
    float *dgamma, float *dbeta, const float *g, const float *x, const float *mean, const float *rstd, i64 rows, i64 n
) {
    __shared__ float parts[2][8][33];
    const i64 column = (i64)blockIdx.x * 32 + threadIdx.x;
    float scaled = 0, plain = 0;
    if (column < n)
        for (i64 row = threadIdx.y; row < rows; row += 8) {
            const float v = g[row * n + column];
            scaled += v * ((x[row * n + column] - mean[row]) * rstd[row]);
            plain += v;
        }
    parts[0][threadIdx.y][threadIdx.x] = scaled;
    parts[1][threadIdx.y][threadIdx.x] = plain;
    __syncthreads();
    if (threadIdx.y || column >= n) return;
    for (int k = 1; k < 8; k++) { scaled += parts[0][k][threadIdx.x]; plain += parts[1][k][threadIdx.x]; }
    dgamma[column] = scaled;
    dbeta[column] = plain;
}

/* Channels first: element i of channel c of an array (images, channels, elements). */
__device__ __forceinline__ i64 in_channel(i64 i, i64 c, i64 channels, i64 elements) {
    return (i / elements * channels + c) * elements + i % elements;
}
/* A row of threads a channel; every output may be absent. */
extern "C" __global__ void k_channel_statistics(
    float *mean_out, float *var_out, float *rstd_out, const float *x, i64 elements, float eps, i64 rows, i64 n
) {
    TL_ROW
    float mean = 0, var = 0;
    TL_LANES(i, n) mean += x[in_channel(i, row, rows, elements)];
    mean = across<Sum>(mean) / n;
    TL_LANES(i, n) {
        const float d = x[in_channel(i, row, rows, elements)] - mean;
        var += d * d;
    }
    var = across<Sum>(var) / n;
    if (!mine || threadIdx.x) return;
    if (mean_out) mean_out[row] = mean;
    if (var_out) var_out[row] = var;
    if (rstd_out) rstd_out[row] = 1 / sqrtf(var + eps);
}
extern "C" __global__ void k_channel_normal(
    float *y, const float *x, const float *gamma, const float *beta, const float *mean, const float *rstd, i64 channels, i64 elements, i64 n
) {
    TL_EACH(i, n) {
        const i64 c = i / elements % channels;
        y[i] = (x[i] - mean[c]) * rstd[c] * gamma[c] + beta[c];
    }
}
extern "C" __global__ void k_inverse_deviation(float *rstd, const float *var, float eps, i64 n) {
    TL_EACH(i, n) rstd[i] = 1 / sqrtf(var[i] + eps);
}
extern "C" __global__ void k_channel_sums(
    float *dgamma, float *dbeta, const float *g, const float *x, const float *mean, const float *rstd, i64 elements, i64 rows, i64 n
) {
    TL_ROW
    const float m = mean[row], r = rstd[row];
    float scaled = 0, plain = 0;
    TL_LANES(i, n) {
        const i64 at = in_channel(i, row, rows, elements);
        scaled += g[at] * ((x[at] - m) * r);
        plain += g[at];
    }
    scaled = across<Sum>(scaled);
    plain = across<Sum>(plain);
    if (mine && threadIdx.x == 0) { dgamma[row] = scaled; dbeta[row] = plain; }
}
/* As in k_layer_norm_grad; gamma is one number for the whole channel. */
extern "C" __global__ void k_channel_grad(
    float *dx, const float *g, const float *x, const float *gamma, const float *mean, const float *rstd, const float *dgamma,
    const float *dbeta, i64 count, i64 channels, i64 elements, i64 n
) {
    TL_EACH(i, n) {
        const i64 c = i / elements % channels;
        dx[i] = gamma[c] * rstd[c] * (g[i] - dbeta[c] / count - (x[i] - mean[c]) * rstd[c] * (dgamma[c] / count));
    }
}
"""


def layer_norm(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    rows, n = ints
    return Plan((by_rows("k_layer_norm", rows, n, Out(0), Out(1), Out(2), In(0), In(1), In(2), float(floats[0])),))


def layer_norm_grad(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    rows, n = ints
    sums = (Out(1), Out(2), In(0), In(1), In(3), In(4), rows, n)
    return Plan(
        (
            by_rows("k_layer_norm_grad", rows, n, Out(0), *(In(k) for k in range(5))),
            Launch("k_layer_norm_sums", sums, (ceil_div(n, 32), 1, 1), (32, 8, 1)),
        )
    )


def _statistics(ints: Sequence[int], eps: float, mean: Argument, var: Argument, rstd: Argument) -> Launch:
    images, channels, elements = ints
    return by_rows("k_channel_statistics", channels, images * elements, mean, var, rstd, In(0), elements, eps)


def batchnorm(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    images, channels, elements = ints
    normal = (Out(0), In(0), In(1), In(2), Out(1), Out(2), channels, elements)
    return Plan((_statistics(ints, float(floats[0]), Out(1), 0, Out(2)), flat("k_channel_normal", images * channels * elements, *normal)))


def batchnorm_eval(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    images, channels, elements = ints
    normal = (Out(0), In(0), In(1), In(2), In(3), Scratch(0), channels, elements)
    inverse = flat("k_inverse_deviation", channels, Scratch(0), In(4), float(floats[0]))
    return Plan((inverse, flat("k_channel_normal", images * channels * elements, *normal)), (4 * channels,))


def batchnorm_grad(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    images, channels, elements = ints
    count = images * elements
    sums = by_rows("k_channel_sums", channels, count, Out(1), Out(2), In(0), In(1), In(3), In(4), elements)
    args: tuple[Argument, ...] = (Out(0), *(In(k) for k in range(5)), Out(1), Out(2), count, channels, elements)
    return Plan((sums, flat("k_channel_grad", count * channels, *args)))


def _one_statistic(mean: Argument, var: Argument) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        return Plan((_statistics(ints, 0.0, mean, var, 0),))

    return plan


FAMILY = Family(
    "norm",
    COMMON + ACROSS + _SOURCE,
    {
        "layer_norm": layer_norm,
        "_layer_norm_grad": layer_norm_grad,
        "batchnorm_channel_first": batchnorm,
        "_batchnorm_grad": batchnorm_grad,
        "batchnorm_channel_first_eval": batchnorm_eval,
        "_batch_mean": _one_statistic(Out(0), 0),
        "_batch_var": _one_statistic(0, Out(0)),
    },
)
