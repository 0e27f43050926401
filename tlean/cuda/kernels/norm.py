"""Layer and batch normalisation. Variances are means of squared deviations, by a second pass."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import ACROSS, COMMON, ROWS, Argument, Family, In, Launch, Out, Plan, Planner, Scratch, by_rows, ceil_div, flat, held

#: Rows whose contributions to a gradient of gamma and beta one block adds up.
PART = 512
#: The least elements of a channel that are worth their own block.
SLICE = 2048

_SOURCE = """
template <bool HOLD> __device__ __forceinline__ void layer_norm(
    float *y, float *mean_out, float *rstd_out, const float *x, const float *gamma, const float *beta, float eps, i64 rows, i64 n
) {
    TL_ROW
    const Line<HOLD> line(x + row * n, n);
    float mean = 0, var = 0;
    line.each([&](i64, float v) { mean += v; });
    mean = across<Sum>(mean) / n;
    line.each([&](i64, float v) { var += (v - mean) * (v - mean); });
    const float rstd = 1 / sqrtf(across<Sum>(var) / n + eps);
    if (!mine) return;
    line.each([&](i64 j, float v) {
        v = (v - mean) * rstd;
        if (gamma) v *= gamma[j];
        y[row * n + j] = beta ? v + beta[j] : v;
    });
    if (threadIdx.x == 0) { mean_out[row] = mean; rstd_out[row] = rstd; }
}
/* With u = g gamma and z the normalised row: dx = rstd (u - mean of u - z mean of u z). */
template <bool HOLD> __device__ __forceinline__ void layer_norm_grad(
    float *dx, const float *g, const float *x, const float *gamma, const float *mean, const float *rstd, i64 rows, i64 n
) {
    TL_ROW
    const Line<HOLD> line(g + row * n, n);
    x += row * n;
    const float m = mean[row], r = rstd[row];
    float plain = 0, along = 0;
    line.each([&](i64 j, float v) {
        const float u = gamma ? v * gamma[j] : v;
        plain += u;
        along += u * ((x[j] - m) * r);
    });
    plain = across<Sum>(plain) / n;
    along = across<Sum>(along) / n;
    if (mine) line.each([&](i64 j, float v) {
        const float u = gamma ? v * gamma[j] : v;
        dx[row * n + j] = r * (u - plain - (x[j] - m) * r * along);
    });
}
/* 32 columns and one part of the rows a block, 8 threads a column; parts of columns go to [part][column]. */
extern "C" __global__ void k_layer_norm_sums(
    float *dgamma, float *dbeta, const float *g, const float *x, const float *mean, const float *rstd, i64 width, i64 rows, i64 n
) {
    __shared__ float parts[2][8][33];
    const i64 across_n = (n + 31) / 32, part = blockIdx.x / across_n, column = blockIdx.x % across_n * 32 + threadIdx.x;
    const i64 first = part * width, last = first + width < rows ? first + width : rows;
    float scaled = 0, plain = 0;
    if (column < n)
        for (i64 row = first + threadIdx.y; row < last; row += 8) {
            const float v = g[row * n + column];
            scaled += v * ((x[row * n + column] - mean[row]) * rstd[row]);
            plain += v;
        }
    parts[0][threadIdx.y][threadIdx.x] = scaled;
    parts[1][threadIdx.y][threadIdx.x] = plain;
    __syncthreads();
    if (threadIdx.y || column >= n) return;
    for (int k = 1; k < 8; k++) { scaled += parts[0][k][threadIdx.x]; plain += parts[1][k][threadIdx.x]; }
    dgamma[part * n + column] = scaled;
    dbeta[part * n + column] = plain;
}
extern "C" __global__ void k_add_parts(float *dgamma, float *dbeta, const float *gammas, const float *betas, i64 parts, i64 n) {
    TL_EACH(i, n) {
        float scaled = 0, plain = 0;
        for (i64 k = 0; k < parts; k++) { scaled += gammas[k * n + i]; plain += betas[k * n + i]; }
        dgamma[i] = scaled;
        dbeta[i] = plain;
    }
}

/* Channels first: element i of channel c of an array (images, channels, elements). */
__device__ __forceinline__ i64 in_channel(i64 i, i64 c, i64 channels, i64 elements) {
    if (i >> 31 || elements >> 31) return (i / elements * channels + c) * elements + i % elements;
    const unsigned image = (unsigned)i / (unsigned)elements;
    return (image * channels + c) * elements + ((unsigned)i - image * (unsigned)elements);
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
/* The same for one slice of a channel a row: its mean and the sum of its squared deviations, at [slice][channel]. */
extern "C" __global__ void k_channel_slices(
    float *means, float *squares, const float *x, i64 elements, i64 channels, i64 width, i64 count, i64 rows, i64 n
) {
    TL_ROW
    const i64 c = row % channels, first = row / channels * width, last = first + width < count ? first + width : count;
    float mean = 0, sum = 0;
    for (i64 i = first + threadIdx.x; i < last; i += blockDim.x) mean += x[in_channel(i, c, channels, elements)];
    mean = across<Sum>(mean) / (last - first);
    for (i64 i = first + threadIdx.x; i < last; i += blockDim.x) {
        const float d = x[in_channel(i, c, channels, elements)] - mean;
        sum += d * d;
    }
    sum = across<Sum>(sum);
    if (mine && threadIdx.x == 0) { means[row] = mean; squares[row] = sum; }
}
/* Slices joined from first to last (Chan, Golub, LeVeque 1979): the deviations of two means count with the sizes of what they are of. */
extern "C" __global__ void k_channel_join(
    float *mean_out, float *var_out, float *rstd_out, const float *means, const float *squares, i64 slices, i64 width, i64 count, float eps,
    i64 n
) {
    TL_EACH(c, n) {
        float mean = means[c], sum = squares[c];
        for (i64 k = 1; k < slices; k++) {
            const float before = (float)(k * width), more = (float)(k * width + width < count ? width : count - k * width);
            const float d = means[k * n + c] - mean;
            mean += d * (more / (before + more));
            sum += squares[k * n + c] + d * d * (before * (more / (before + more)));
        }
        if (mean_out) mean_out[c] = mean;
        if (var_out) var_out[c] = sum / count;
        if (rstd_out) rstd_out[c] = 1 / sqrtf(sum / count + eps);
    }
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
    float *dgamma, float *dbeta, const float *g, const float *x, const float *mean, const float *rstd, i64 elements, i64 channels,
    i64 width, i64 count, i64 rows, i64 n
) {
    TL_ROW
    const i64 c = row % channels, first = row / channels * width, last = first + width < count ? first + width : count;
    const float m = mean[c], r = rstd[c];
    float scaled = 0, plain = 0;
    for (i64 i = first + threadIdx.x; i < last; i += blockDim.x) {
        const i64 at = in_channel(i, c, channels, elements);
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


def _kernels(ending: str) -> str:
    hold = "true" if ending else "false"
    return f"""
extern "C" __global__ void k_layer_norm{ending}(
    float *y, float *mean_out, float *rstd_out, const float *x, const float *gamma, const float *beta, float eps, i64 rows, i64 n
) {{
    layer_norm<{hold}>(y, mean_out, rstd_out, x, gamma, beta, eps, rows, n);
}}
extern "C" __global__ void k_layer_norm_grad{ending}(
    float *dx, const float *g, const float *x, const float *gamma, const float *mean, const float *rstd, i64 rows, i64 n
) {{
    layer_norm_grad<{hold}>(dx, g, x, gamma, mean, rstd, rows, n);
}}
"""


def layer_norm(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    rows, n = ints
    return Plan((by_rows(f"k_layer_norm{held(n)}", rows, n, Out(0), Out(1), Out(2), In(0), In(1), In(2), float(floats[0])),))


def layer_norm_grad(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    rows, n = ints
    first = by_rows(f"k_layer_norm_grad{held(n)}", rows, n, Out(0), *(In(k) for k in range(5)))
    parts = max(ceil_div(rows, PART), 1)

    def sums(dgamma: Argument, dbeta: Argument) -> Launch:
        args = (dgamma, dbeta, In(0), In(1), In(3), In(4), PART, rows, n)
        return Launch("k_layer_norm_sums", args, (ceil_div(n, 32) * parts, 1, 1), (32, 8, 1))

    if parts == 1:
        return Plan((first, sums(Out(1), Out(2))))
    finish = flat("k_add_parts", n, Out(1), Out(2), Scratch(0), Scratch(1), parts)
    return Plan((first, sums(Scratch(0), Scratch(1)), finish), (4 * parts * n,) * 2)


def _slices(channels: int, count: int) -> tuple[int, int]:
    # (slices of a channel, elements of one): enough to keep a device busy, none of them short.
    slices = max(min(ceil_div(256, max(channels, 1)), count // SLICE), 1)
    width = max(ceil_div(count, slices), 1)
    return max(ceil_div(count, width), 1), width


def _statistics(
    ints: Sequence[int], eps: float, mean: Argument, var: Argument, rstd: Argument
) -> tuple[tuple[Launch, ...], tuple[int, ...]]:
    # The launches and the bytes of their temporaries.
    images, channels, elements = ints
    count = images * elements
    slices, width = _slices(channels, count)
    if slices == 1:
        return (by_rows("k_channel_statistics", channels, count, mean, var, rstd, In(0), elements, eps),), ()
    parts = by_rows("k_channel_slices", channels * slices, width, Scratch(0), Scratch(1), In(0), elements, channels, width, count)
    join = flat("k_channel_join", channels, mean, var, rstd, Scratch(0), Scratch(1), slices, width, count, eps)
    return (parts, join), (4 * channels * slices,) * 2


def batchnorm(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    images, channels, elements = ints
    launches, scratch = _statistics(ints, float(floats[0]), Out(1), 0, Out(2))
    normal = (Out(0), In(0), In(1), In(2), Out(1), Out(2), channels, elements)
    return Plan((*launches, flat("k_channel_normal", images * channels * elements, *normal)), scratch)


def batchnorm_eval(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    images, channels, elements = ints
    normal = (Out(0), In(0), In(1), In(2), In(3), Scratch(0), channels, elements)
    inverse = flat("k_inverse_deviation", channels, Scratch(0), In(4), float(floats[0]))
    return Plan((inverse, flat("k_channel_normal", images * channels * elements, *normal)), (4 * channels,))


def batchnorm_grad(ints: Sequence[int], floats: Sequence[float]) -> Plan:
    images, channels, elements = ints
    count = images * elements
    slices, width = _slices(channels, count)

    def sums(dgamma: Argument, dbeta: Argument) -> Launch:
        args = (dgamma, dbeta, In(0), In(1), In(3), In(4), elements, channels, width, count)
        return by_rows("k_channel_sums", channels * slices, width, *args)

    args: tuple[Argument, ...] = (Out(0), *(In(k) for k in range(5)), Out(1), Out(2), count, channels, elements)
    last = flat("k_channel_grad", count * channels, *args)
    if slices == 1:
        return Plan((sums(Out(1), Out(2)), last))
    join = flat("k_add_parts", channels, Out(1), Out(2), Scratch(0), Scratch(1), slices)
    return Plan((sums(Scratch(0), Scratch(1)), join, last), (4 * channels * slices,) * 2)


def _one_statistic(mean: Argument, var: Argument) -> Planner:
    def plan(ints: Sequence[int], floats: Sequence[float]) -> Plan:
        return Plan(*_statistics(ints, 0.0, mean, var, 0))

    return plan


FAMILY = Family(
    "norm",
    COMMON + ACROSS + ROWS + _SOURCE + _kernels("") + _kernels("_held"),
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
