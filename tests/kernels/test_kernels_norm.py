"""Kernels of the softmax family and of the norms against their formulas in float64, for every instruction set this machine runs."""

import numpy as np
import pytest
from kernel_calls import FLOATS, Call, last_cache_bytes, run_op, usable_instruction_sets

from tlean._core import threads

ISAS = usable_instruction_sets("softmax")
each_isa = pytest.mark.parametrize("isa", ISAS)
each_dtype = pytest.mark.parametrize("dtype", list(FLOATS))
INF = float("inf")

#: (shape, axis): rows side by side (short), below one another (long), and axes that are not the last; sizes around every block.
ALONG = [
    ((1,), 0), ((5,), 0), ((128, 10), 1), ((65, 32), 1), ((7, 33), 1), ((17, 257), 1), ((2, 5000), 1), ((40, 600), 1),
    ((4, 7, 3), 1), ((3, 37, 130), 1), ((50, 1, 64), 1), ((2, 9), 0), ((0, 4), 1), ((3, 4, 0), 1),
]  # fmt: skip
along = pytest.mark.parametrize(("shape", "axis"), ALONG, ids=lambda v: "x".join(map(str, v)) if isinstance(v, tuple) else f"axis{v}")


def normal(shape, dtype, seed=0, scale=1.0, shift=0.0):
    """Random numbers that the dtype holds exactly, in float64."""
    x = np.random.default_rng(seed).standard_normal(shape) * scale + shift
    return x.astype(FLOATS[dtype]).astype(np.float64)


def close(actual, expected, dtype, scale=1.0):
    np.testing.assert_allclose(actual, expected, rtol=2e-5 if dtype == "f32" else 1e-12, atol=scale * (2e-6 if dtype == "f32" else 1e-13))


def same_on_threads(call):
    """Run on one thread and on three: the same bits."""
    before, found = threads.get_num_threads(), []
    try:
        for n in (1, 3):
            threads.set_num_threads(n)
            for o in call.outs:
                o[...] = -7
            assert call() == 0
            found.append([o.tobytes() for o in call.outs])
    finally:
        threads.set_num_threads(before)
    assert found[0] == found[1]


# Softmax ----------------------------------------------------------------------------------------------------------------


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True, initial=-INF))
    return e / e.sum(axis, keepdims=True)


def logsumexp(x, axis):
    top = x.max(axis, keepdims=True, initial=-INF)
    return np.log(np.exp(x - top).sum(axis)) + top.squeeze(axis)


@each_isa
@each_dtype
@along
def test_softmax_family(isa, dtype, shape, axis):
    x, g = normal(shape, dtype, 1, 3.0), normal(shape, dtype, 2)
    p, lse = softmax(x, axis), logsumexp(x, axis)
    log_p = x - np.expand_dims(lse, axis)
    close(run_op(isa, "softmax", "softmax", dtype, x, axis=axis), p, dtype)
    close(run_op(isa, "softmax", "log_softmax", dtype, x, axis=axis), log_p, dtype, 4.0)
    close(run_op(isa, "softmax", "logsumexp", dtype, x, axis=axis), lse, dtype, 4.0)
    close(run_op(isa, "softmax", "_softmax_grad", dtype, g, p, axis=axis), p * (g - (g * p).sum(axis, keepdims=True)), dtype)
    total = g.sum(axis, keepdims=True)
    close(run_op(isa, "softmax", "_log_softmax_grad", dtype, g, log_p, axis=axis), g - p * total, dtype, 40.0)
    rows = [np.array(np.broadcast_to(a, x.shape)) for a in (total, np.expand_dims(lse, axis))]
    close(run_op(isa, "elementwise", "_logsumexp_grad", dtype, *rows, x), p * total, dtype, 40.0)


@each_isa
@each_dtype
@pytest.mark.parametrize("n", [3, 40, 300])
def test_softmax_of_extremes(isa, dtype, n):
    rest = [1.0] * (n - 1)
    rows = [[-INF] * n, [INF, *rest], [-INF, *rest], [float("nan"), *rest], [1e30] * n, [-1e30, *rest], [INF, -INF, *rest[1:]]]
    nan = [True, True, False, True, False, False, True]
    for name in ("softmax", "log_softmax"):
        y = run_op(isa, "softmax", name, dtype, np.array(rows))
        assert np.isnan(y).all(axis=1).tolist() == nan and not np.isnan(y[~np.array(nan)]).any()
    y = run_op(isa, "softmax", "softmax", dtype, np.array(rows))
    assert y[2, 0] == 0 and y[5, 0] == 0
    close(y[4], 1 / n, dtype)
    y = run_op(isa, "softmax", "logsumexp", dtype, np.array(rows))
    few = 1 + np.log(n - 1)
    np.testing.assert_allclose(y, [-INF, INF, few, np.nan, 1e30, few, INF], rtol=1e-6)


@each_isa
def test_logsumexp_takes_its_gradient_from_rows_that_hold_infinities_as_ieee_says(isa):
    x, lse = np.array([[-INF, -INF], [INF, 1.0]]), np.array([[-INF, -INF], [INF, INF]])
    d = run_op(isa, "elementwise", "_logsumexp_grad", "f64", np.ones((2, 2)), lse, x)
    np.testing.assert_array_equal(d, [[np.nan, np.nan], [np.nan, 0.0]])


@each_isa
@each_dtype
@pytest.mark.parametrize(("shape", "axis"), [((3000, 10), 1), ((200, 700), 1), ((9, 50, 170), 1)])
def test_softmax_is_the_same_on_any_number_of_threads(isa, dtype, shape, axis):
    x = normal(shape, dtype)
    for name, *args in (("softmax", x), ("log_softmax", x), ("logsumexp", x), ("_softmax_grad", x, x), ("_log_softmax_grad", x, x)):
        same_on_threads(Call(isa, "softmax", name, dtype, tuple(args), axis=axis))


# Layer normalisation ----------------------------------------------------------------------------------------------------


def layer_norm_parts(x, eps):
    mean = x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)
    return mean, rstd, (x - mean) * rstd


@each_isa
@each_dtype
@pytest.mark.parametrize("shape", [(1, 2), (3, 8), (7, 33), (100, 70), (2, 5, 257), (5, 9000), (1000, 17), (4,)])
def test_layer_norm(isa, dtype, shape):
    x, g = normal(shape, dtype, 1, 2.0, 3.0), normal(shape, dtype, 2)
    gamma, beta = normal(shape[-1:], dtype, 3), normal(shape[-1:], dtype, 4)
    mean, rstd, z = layer_norm_parts(x, 1e-3)
    for a in (None, gamma):
        for b in (None, beta):
            call = Call(isa, "norm", "layer_norm", dtype, (x, a, b), eps=1e-3)
            assert call() == 0
            close(call.outs[0], z * (1 if a is None else a) + (0 if b is None else b), dtype, 2.0)
            close(call.outs[1], mean[..., 0], dtype)
            close(call.outs[2], rstd[..., 0], dtype)
        h = g * (1 if a is None else a)
        expected = (
            rstd * (h - h.mean(-1, keepdims=True) - z * (h * z).mean(-1, keepdims=True)),
            (g * z).reshape(-1, shape[-1]).sum(0),
            g.reshape(-1, shape[-1]).sum(0),
        )
        rows = np.sqrt(x.size / shape[-1])
        for unread in ((), (0,), (1,), (1, 2)):
            call = Call(isa, "norm", "_layer_norm_grad", dtype, (g, x, a, mean[..., 0], rstd[..., 0]), unread, eps=1e-3)
            assert call() == 0
            for k, e in enumerate(expected):
                if k not in unread:
                    close(call.outs[k], e, dtype, 4 * rows)


@each_isa
@each_dtype
def test_layer_norm_is_the_same_on_any_number_of_threads(isa, dtype):
    x, gamma = normal((700, 130), dtype), normal((130,), dtype, 1)
    mean, rstd, _ = layer_norm_parts(x, 1e-5)
    same_on_threads(Call(isa, "norm", "layer_norm", dtype, (x, gamma, gamma)))
    same_on_threads(Call(isa, "norm", "_layer_norm_grad", dtype, (x, x, gamma, mean[:, 0], rstd[:, 0]), eps=1e-5))


@each_isa
@pytest.mark.parametrize("n", [1000, 1003])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "_softmax_grad", "_log_softmax_grad", "layer_norm", "_layer_norm_grad"])
def test_rows_that_pass_the_caches_have_the_same_bits(isa, name, n):
    # Arrays beyond the last-level cache are written by streaming stores; here, fifty rows over and over.
    few, rows = 50, 50 * (min(last_cache_bytes(), 1 << 26) // (8 * n * 50) + 1)
    x, g = normal((few, n), "f32", 1), normal((few, n), "f32", 2)
    mean, rstd, _ = layer_norm_parts(x, 1e-5)
    inputs = {
        **dict.fromkeys(("softmax", "log_softmax"), (x,)), **dict.fromkeys(("_softmax_grad", "_log_softmax_grad"), (g, -np.abs(x))),
        "layer_norm": (x, None, None), "_layer_norm_grad": (g, x, None, mean[:, 0], rstd[:, 0]),
    }[name]  # fmt: skip
    options = {"eps": 1e-5} if "norm" in name else {"axis": 1}
    module = "norm" if "norm" in name else "softmax"

    def first_output(count):
        args = [None if a is None else np.resize(a, (count, *a.shape[1:])) for a in inputs]
        call = Call(isa, module, name, "f32", tuple(args), (1, 2) if name == "_layer_norm_grad" else (), **options)
        assert call() == 0
        return call.outs[0]

    assert np.array_equal(first_output(rows).reshape(-1, few, n), np.broadcast_to(first_output(few), (rows // few, few, n)))


@each_isa
@each_dtype
def test_layer_norm_of_no_rows_has_no_gradient(isa, dtype):
    call = Call(isa, "norm", "_layer_norm_grad", dtype, (np.zeros((0, 3)), np.zeros((0, 3)), None, np.zeros(0), np.zeros(0)), eps=0.0)
    assert call() == 0
    assert not call.outs[1].any() and not call.outs[2].any()


# Batch normalisation ----------------------------------------------------------------------------------------------------

#: One image; long and short slabs; slabs of one element; more channels than a group holds.
IMAGES = [
    (2, 3, 5), (3, 2, 4, 5), (2, 3, 9, 9), (7, 5), (130, 300), (4, 70, 2, 2), (5, 3, 31), (1, 3, 32, 1), (2, 2, 1, 3, 2), (3, 4, 70, 70),
]  # fmt: skip


def channel_axes(x):
    channel = 0 if x.ndim == 3 else 1
    return channel, tuple(a for a in range(x.ndim) if a != channel)


@each_isa
@each_dtype
@pytest.mark.parametrize("shape", IMAGES, ids=lambda s: "x".join(map(str, s)))
def test_batchnorm(isa, dtype, shape):
    x, g = normal(shape, dtype, 1, 2.0, 3.0), normal(shape, dtype, 2)
    channel, axes = channel_axes(x)
    gamma, beta = normal(shape[channel : channel + 1], dtype, 3), normal(shape[channel : channel + 1], dtype, 4)

    def over(v):
        return np.expand_dims(v, axes)

    mean, var = x.mean(axes), x.var(axes)
    rstd = 1 / np.sqrt(var + 1e-3)
    z = (x - over(mean)) * over(rstd)
    close(run_op(isa, "batchnorm", "_batch_mean", dtype, x), mean, dtype)
    close(run_op(isa, "batchnorm", "_batch_var", dtype, x), var, dtype)
    call = Call(isa, "batchnorm", "batchnorm_channel_first", dtype, (x, gamma, beta), eps=1e-3)
    assert call() == 0
    for found, expected in zip(call.outs, (z * over(gamma) + over(beta), mean, rstd), strict=True):
        close(found, expected, dtype, 4.0)
    y = run_op(isa, "batchnorm", "batchnorm_channel_first_eval", dtype, x, gamma, beta, beta, var, eps=1e-3)
    close(y, (x - over(beta)) * over(gamma * rstd) + over(beta), dtype, 10.0)
    expected = (
        over(gamma * rstd) * (g - over(g.mean(axes)) - z * over((g * z).mean(axes))),
        (g * z).sum(axes),
        g.sum(axes),
    )
    count = np.sqrt(x.size / shape[channel])
    for unread in ((), (0,), (1, 2)):
        call = Call(isa, "batchnorm", "_batchnorm_grad", dtype, (g, x, gamma, mean, rstd), unread, eps=1e-3)
        assert call() == 0
        for k, e in enumerate(expected):
            if k not in unread:
                close(call.outs[k], e, dtype, 4 * count)


@each_isa
@each_dtype
@pytest.mark.parametrize("shape", [(8, 40, 9, 9), (500, 200), (30, 90, 2, 3)])
def test_batchnorm_is_the_same_on_any_number_of_threads(isa, dtype, shape):
    x, gamma = normal(shape, dtype), normal(shape[1:2], dtype, 1)
    same_on_threads(Call(isa, "batchnorm", "batchnorm_channel_first", dtype, (x, gamma, gamma)))
    same_on_threads(Call(isa, "batchnorm", "_batchnorm_grad", dtype, (x, x, gamma, gamma, gamma), eps=1e-5))
    same_on_threads(Call(isa, "batchnorm", "_batch_var", dtype, (x,)))


@each_isa
def test_a_variance_is_not_lost_to_a_large_mean(isa):
    x = normal((4, 2, 8, 8), "f32", 5, 1.0, 1000.0)
    close(run_op(isa, "batchnorm", "_batch_var", "f32", x), x.var((0, 2, 3)), "f32")
    y = run_op(isa, "norm", "layer_norm", "f32", x.reshape(8, 64), None, None)
    close(y, layer_norm_parts(x.reshape(8, 64), 1e-5)[2], "f32", 100.0)
