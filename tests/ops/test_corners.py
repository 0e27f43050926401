"""The corners that the contract of the ops names: kinks, ties, NaN, infinities, indices out of range, rows with nothing in them.

Each runs on the eager tape and compiled, in both dtypes; values and gradients are exact unless said.
"""

from __future__ import annotations

from math import inf, log, nan

import numpy as np
import pytest

import tlean as tl

PATHS = [(path, dtype) for path in ("eager", "compiled") for dtype in ("float32", "float64")]


@pytest.fixture(params=PATHS, ids=lambda p: "-".join(p))
def run(request):
    """run(program, *arrays, g=cotangent) -> (value, [gradients]); the cotangent is 1 everywhere unless given."""
    path, dtype = request.param

    def eager(program, *arrays, g=None):
        s = tl.Session(tl.Options(dtype=dtype))
        refs = [s.input(np.asarray(a, dtype)) for a in arrays]
        y = program(s, *refs)
        seed = np.ones(y.shape, dtype) if g is None else np.asarray(g, dtype)
        grads = s.backward_dense_all(y, seed)
        return s.get_value(y).numpy(), [s.grad(grads, r).numpy() for r in refs]

    def compiled(program, *arrays, g=None):
        y, pull = tl.vjp(program, *(np.asarray(a, dtype) for a in arrays))
        seed = np.ones(y.shape, dtype) if g is None else np.asarray(g, dtype)
        return y.numpy(), [np.zeros(np.shape(a), dtype) if d is None else d.numpy() for a, d in zip(arrays, pull(seed), strict=True)]

    call = eager if path == "eager" else compiled
    call.dtype = dtype
    return call


def same(found, expected):
    np.testing.assert_array_equal(found, np.asarray(expected, found.dtype))


UNARY = [
    # op, options, x, y, dx
    ("abs", {}, [-2, -0.0, 0, 3], [2, 0, 0, 3], [-1, 0, 0, 1]),
    ("sign", {}, [-2, 0, 3, nan], [-1, 0, 1, nan], [0, 0, 0, 0]),
    ("sqrt", {}, [4, 0, -1, inf], [2, 0, nan, inf], [0.25, 0, 0, 0]),
    ("relu", {}, [-1, 0, 2, nan, -inf, inf], [0, 0, 2, nan, 0, inf], None),
    ("relu", {}, [-1, 0, 2, inf], [0, 0, 2, inf], [0, 0, 1, 1]),
    ("leaky_relu", {"slope": 0.5}, [-2, 0, 3], [-1, 0, 3], [0.5, 0.5, 1]),
    ("elu", {"alpha": 2.0}, [0, 3, -inf], [0, 3, -2], [2, 1, 0]),
    ("clamp", {"lo": -1, "hi": 1}, [-2, -1, 0, 1, 2], [-1, -1, 0, 1, 1], [0, 0, 1, 0, 0]),
    ("pow", {"c": 0}, [0, -3, nan, inf], [1, 1, 1, 1], [0, 0, 0, 0]),
    ("pow", {"c": 3}, [-2, 0, 1], [-8, 0, 1], [12, 0, 3]),
    ("log", {}, [0, -1, 1], [-inf, nan, 0], [inf, -1, 1]),
    ("log1p", {}, [-1, -2, 0], [-inf, nan, 0], [inf, -1, 1]),
    ("inv", {}, [0.0, -0.0, 2], [inf, -inf, 0.5], [-inf, -inf, -0.25]),
    ("exp", {}, [-inf, 0, inf], [0, 1, inf], [0, 1, inf]),
    ("clamp", {"lo": -1}, [-2, -1, 0, nan, inf], [-1, -1, 0, nan, inf], None),
    ("clamp", {"hi": 1}, [-9, 0, 1, 2], [-9, 0, 1, 1], [1, 1, 0, 0]),
    ("round", {}, [0.5, 1.5, -2.5, nan, -inf], [0, 2, -2, nan, -inf], [0, 0, 0, 0, 0]),
    ("rsqrt", {}, [4, 0, -1, inf], [0.5, inf, nan, 0], [-0.0625, -inf, nan, 0]),
    ("cbrt", {}, [8, 0, -8], [2, 0, -2], [1 / 12, inf, 1 / 12]),
    ("log2", {}, [8, 0, -1, inf], [3, -inf, nan, inf], None),
    ("asin", {}, [-1, 0, 1, 2], [np.arcsin(-1), 0, np.arcsin(1), nan], [inf, 1, inf, nan]),
    ("acosh", {}, [0.5, 1, inf], [nan, 0, inf], [nan, inf, 0]),
    ("atanh", {}, [-1, 0, 1, 2], [-inf, 0, inf, nan], None),
    ("hardswish", {}, [-4, -3, 3, 4], [0, 0, 3, 4], [0, 0, 1, 1]),
    ("logit", {}, [-1, 0, 0.5, 1, 2], [nan, -inf, 0, inf, nan], None),
    ("logit", {"eps": 0.5}, [-1, 0.5, 2], [0, 0, 0], [0, 4, 0]),
    ("erfinv", {}, [-1, 0, 1, 2], [-inf, 0, inf, nan], None),
    ("ndtri", {}, [-1, 0, 0.5, 1, 2], [nan, -inf, 0, inf, nan], None),
    ("lgamma", {}, [-1, 0, 1, 2, inf, nan], [inf, inf, 0, 0, inf, nan], None),
    ("digamma", {}, [-1, 0.0, -0.0, inf], [nan, -inf, inf, inf], None),
    ("polygamma", {"n": 1}, [-1, 0, inf], [inf, inf, 0], None),
    ("sigmoid", {}, [-inf, 0, inf], [0, 0.5, 1], [0, 0.25, 0]),
    ("sigmoid", {}, [-1e30, 1e30], [0, 1], [0, 0]),
    ("tanh", {}, [-inf, 0, inf], [-1, 0, 1], [0, 1, 0]),
    ("softplus", {}, [-1e30, 1e30], [0, 1e30], [0, 1]),
    ("silu", {}, [-1e30, 0, 1e30], [0, 0, 1e30], [0, 0.5, 1]),
    ("gelu", {}, [-1e10, 0, 1e10], [0, 0, 1e10], [0, 0.5, 1]),
    ("gelu", {"approximate": "none"}, [-1e10, 0, 1e10], [0, 0, 1e10], [0, 0.5, 1]),
    ("erf", {}, [-inf, 0, inf], [-1, 0, 1], None),
]


@pytest.mark.parametrize(("op", "options", "x", "y", "dx"), UNARY)
def test_unary(run, op, options, x, y, dx):
    value, (gradient,) = run(lambda ops, x: getattr(ops, op)(x, **options), x)
    same(value, y)
    if dx is not None:
        same(gradient, dx)


def test_safe_log(run):
    y, (dx,) = run(lambda ops, x: ops.safe_log(x, 0.5), [-3, 0, 0.5])
    np.testing.assert_allclose(y, [log(0.5), log(0.5), 0], rtol=1e-6, atol=1e-7)
    same(dx, [0, 2, 1])


def test_ties_and_nan(run):
    a, b = [1, 2, 3, nan, 1], [2, 2, 1, 1, nan]
    y, (da, db) = run(lambda ops, a, b: ops.max(a, b), a, b)
    same(y, [2, 2, 3, nan, nan])
    same(da[:3], [0, 0.5, 1])
    same(db[:3], [1, 0.5, 0])
    y, (da, db) = run(lambda ops, a, b: ops.minimum(a, b), a, b)
    same(y, [1, 2, 1, nan, nan])
    same(da[:3], [1, 0.5, 0])
    same(db[:3], [0, 0.5, 1])


def test_where_shields_the_branch_not_taken(run):
    y, (_, da, db) = run(lambda ops, c, a, b: ops.where(c, a, b), [1, 0, -0.0, 2], [1, nan, inf, 4], [nan, 6, 7, inf], g=[1, 2, 3, 4])
    same(y, [1, 6, 7, 4])
    same(da, [1, 0, 0, 4])
    same(db, [0, 2, 3, 0])


def test_comparisons_have_no_gradient(run):
    table = {"greater": [0, 0, 1, 0], "greater_equal": [0, 1, 1, 0], "less": [1, 0, 0, 0], "less_equal": [1, 1, 0, 0]}
    for op, expected in (table | {"equal": [0, 1, 0, 0], "not_equal": [1, 0, 1, 1]}).items():
        # A product with 1 makes numbers of the Booleans, through which nothing flows either.
        y, gradients = run(lambda ops, a, b, op=op: getattr(ops, op)(a, b) * 1.0, [1, 2, 3, nan], [2, 2, 2, 2])
        same(y, expected)
        for d in gradients:
            same(d, np.zeros(4))


def test_division(run):
    y, (da, db) = run(lambda ops, a, b: ops.div(a, b), [1, -1, 0, 6], [0, 0, 0, 2])
    same(y, [inf, -inf, nan, 3])
    same(da, [inf, inf, inf, 0.5])
    same(db, [-inf, inf, nan, -1.5])


def test_first_maximum_takes_the_gradient(run):
    y, (dx,) = run(lambda ops, x: ops.reduce_max(x, 1), [[3, 1, 3], [-inf, -inf, -inf]])
    same(y, [3, -inf])
    same(dx, [[1, 0, 0], [1, 0, 0]])
    y, (dx,) = run(lambda ops, x: ops.reduce_max(x, (0, 1)), [[1, nan], [nan, 5]])
    same(y, nan)
    same(dx, [[0, 1], [0, 0]])


def test_sums_of_nothing(run):
    y, (dx,) = run(lambda ops, x: ops.sum(x), np.zeros((0, 3)))
    same(y, 0)
    assert dx.shape == (0, 3)
    y, _ = run(lambda ops, x: ops.reduce_sum(x, 0), np.zeros((0, 3)))
    same(y, [0, 0, 0])


def test_indices_out_of_range(run):
    idx = np.array([1, -1, 7, 1])
    y, (dx,) = run(lambda ops, x: ops.gather_vec_nat(x, idx), [5, 6, 7], g=[1, 2, 3, 4])
    same(y, [6, 0, 0, 6])
    same(dx, [0, 5, 0])
    y, (dx,) = run(lambda ops, x: ops.gather_rows_nat(x, idx), [[1, 2], [3, 4]], g=np.ones((4, 2)))
    same(y, [[3, 4], [0, 0], [0, 0], [3, 4]])
    same(dx, [[0, 0], [2, 2]])
    y, (dx,) = run(lambda ops, x: ops.gather_scalar_nat(x, -1), [5, 6, 7])
    same(y, 0)
    same(dx, [0, 0, 0])
    for i in (-1, 3):
        with pytest.raises(tl.IndexRangeError, match=r"^gather_scalar: "):
            run(lambda ops, x, i=i: ops.gather_scalar(x, i), [5, 6, 7])
        with pytest.raises(tl.IndexRangeError, match=r"^scatter_add_vec: "):
            run(lambda ops, x, v, i=i: ops.scatter_add_vec(x, v, i), [5, 6, 7], 1.0)


def test_swaps_with_no_pair_change_nothing(run):
    y, (dx,) = run(lambda ops, x: ops.swap_adjacent_at_depth(x, 1), [[1, 2], [3, 4]], g=[[1, 2], [3, 4]])
    same(y, [[1, 2], [3, 4]])
    same(dx, [[1, 2], [3, 4]])


def test_padding_of_pools(run):
    x = [[-1, -2]]
    y, (dx,) = run(lambda ops, x: ops.max_pool(x, (2,), 1, 1), x)
    same(y, [[-1, -1, -2]])
    same(dx, [[2, 1]])
    y, (dx,) = run(lambda ops, x: ops.max_pool(x, (2,), 1, 1, pad_value=0.0), x)
    same(y, [[0, -1, 0]])
    same(dx, [[1, 0]])
    y, (dx,) = run(lambda ops, x: ops.avg_pool(x, (2,), 1, 1), x)
    same(y, [[-0.5, -1.5, -1]])
    same(dx, [[1, 1]])
    y, _ = run(lambda ops, x: ops.smooth_max_pool(x, (2,), 1.0, 1, 1), x)
    np.testing.assert_allclose(y, [[-1, np.logaddexp(-1, -2), -2]], rtol=1e-6)


def test_pools_at_nan_ties_and_infinities(run):
    y, (dx,) = run(lambda ops, x: ops.max_pool2d(x, 2), [[[1, 2, nan, 5], [2, 0, nan, 6]]])
    same(y, [[[2, nan]]])
    same(dx, [[[0, 1, 1, 0], [0, 0, 0, 0]]])
    y, (dx,) = run(lambda ops, x: ops.max_pool(x, (3,), 3, 1), [[-inf, -inf]])
    same(y, [[-inf]])
    same(dx, [[1, 0]])
    y, (dx,) = run(lambda ops, x: ops.smooth_max_pool(x, (2,), 50.0), [[1e4, 1e4]])
    np.testing.assert_allclose(y, [[1e4 + log(2) / 50]], rtol=1e-6)
    same(dx, [[0.5, 0.5]])
    y, _ = run(lambda ops, x: ops.smooth_max_pool(x, (2,), -50.0), [[1e4, -1e4]])
    same(y, [[-1e4]])


def test_softmax(run):
    for op, expected in (("softmax", 1), ("log_softmax", 0)):
        y, (dx,) = run(lambda ops, x, op=op: getattr(ops, op)(x), 3.0)
        same(y, expected)
        same(dx, 0)
    y, (dx,) = run(lambda ops, x: ops.softmax(x), [1e4, 1e4, -1e4], g=[1, 0, 0])
    same(y, [0.5, 0.5, 0])
    same(dx, [0.25, -0.25, 0])
    y, _ = run(lambda ops, x: ops.log_softmax(x, eps=1e-3), [1e4, 0.0])
    same(y, [0, -1e4])
    y, (dx,) = run(lambda ops, x: ops.logsumexp(x), [[-inf, -inf], [1e4, -inf]])
    same(y, [-inf, 1e4])
    same(dx[1], [1, 0])


def test_attention_with_blocked_scores(run):
    q, k = np.ones((3, 2)), np.ones((3, 2))
    v = np.array([[1.0, 0], [0, 1], [4, 4]])
    mask = np.array([[False, False, False], [True, True, False], [True, True, True]])
    y, (dq, dk, dv) = run(lambda ops, q, k, v: ops.scaled_dot_product_attention(q, k, v, mask), q, k, v)
    np.testing.assert_allclose(y, [[0, 0], [0.5, 0.5], [5 / 3, 5 / 3]], rtol=1e-6)
    same(dq[0], [0, 0])
    np.testing.assert_allclose(dv, [[5 / 6, 5 / 6], [5 / 6, 5 / 6], [1 / 3, 1 / 3]], rtol=1e-6)
    assert np.isfinite(dk).all()
    # Excluded exactly: the value at a blocked key does not matter, however large.
    big = v.copy()
    big[2] = 1e30
    far, _ = run(lambda ops, q, k, v: ops.scaled_dot_product_attention(q, k, v, mask), q, k * [[1], [1], [1e15]], big)
    same(far[:2], y[:2])
    y, _ = run(lambda ops, q, k, v: ops.scaled_dot_product_attention(q, k, v, causal=True), q[:2], k, v)
    np.testing.assert_allclose(y, [[1, 0], [0.5, 0.5]], rtol=1e-6)


def test_cross_entropy(run):
    x = [[0.0, 0.0], [0.0, 0.0]]
    y, (dx,) = run(lambda ops, x: ops.cross_entropy(x, np.array([1, 9]), ignore_index=9), x)
    np.testing.assert_allclose(y, log(2), rtol=1e-6)
    np.testing.assert_allclose(dx, [[0.5, -0.5], [0, 0]], rtol=1e-6)
    y, _ = run(lambda ops, x: ops.cross_entropy(x, np.array([9, 9]), ignore_index=9), x)
    same(y, nan)
    y, (dx,) = run(lambda ops, x: ops.cross_entropy(x, np.array([9, 9]), ignore_index=9, reduction="sum"), x)
    same(y, 0)
    same(dx, np.zeros((2, 2)))
    y, _ = run(lambda ops, x: ops.cross_entropy(x, np.array([0, 1])), [[1e4, -1e4], [1e4, -1e4]])
    same(y, 1e4)
    for bad in (-1, 2):
        with pytest.raises(tl.IndexRangeError, match=r"^cross_entropy: "):
            run(lambda ops, x, bad=bad: ops.cross_entropy(x, np.array([0, bad])), x)


def test_losses(run):
    y, (da, db) = run(lambda ops, a, b: ops.mse_loss(a, b), [1, 2], [0, 4])
    same(y, 2.5)
    same(da, [1, -2])
    same(db, [-1, 2])
    y, (da, _) = run(lambda ops, a, b: ops.l1_loss(a, b, "sum"), [1, 2], [1, 4])
    same(y, 2)
    same(da, [0, -1])
    y, (dx, dt) = run(lambda ops, x, t: ops.bce_with_logits(x, t, "none"), [1e4, -1e4, 0.0], [1, 0, 0])
    np.testing.assert_allclose(y, [0, 0, log(2)], rtol=1e-6)
    same(dx, [0, 0, 0.5])
    same(dt, [-1e4, 1e4, 0])


def test_detach(run):
    y, (dx,) = run(lambda ops, x: ops.mul(ops.detach(x), x), [2, 3])
    same(y, [4, 9])
    same(dx, [2, 3])


def test_dropout(run):
    y, (dx,) = run(lambda ops, x: ops.dropout(x, 0.5, 7), np.ones(1000))
    assert set(np.unique(y)) == {0.0, 2.0}
    same(dx, y)
    y, (dx,) = run(lambda ops, x: ops.dropout(x, 0.5, 7, train=False), [1, 2])
    same(y, [1, 2])
    same(dx, [1, 1])
    for p in (1.0, -0.1, nan):
        with pytest.raises(tl.OptionError, match=r"^dropout: "):
            run(lambda ops, x, p=p: ops.dropout(x, p, 7), [1, 2])


def test_shapes_that_do_not_broadcast(run):
    for op in ("add", "sub", "mul", "div", "max", "min", "greater"):
        with pytest.raises(tl.ShapeError, match=rf"^{op}: a and b must broadcast: along axis -1 .* not 2 for a, 3 for b, .*\(2,\).*\(3,\)"):
            run(lambda ops, a, b, op=op: getattr(ops, op)(a, b), [1, 2], [1, 2, 3])


PAIRS_OF_FUNCTIONS = [
    # op, a, b, y, da, db
    ("power", [0, 0, -2, 0, 2], [0, 2, 3, -1, 0], [1, 0, -8, inf, 1], [0, 0, 12, -inf, 0], [0, 0, nan, -inf, log(2)]),
    ("hypot", [0, 3, inf], [0, 4, nan], [0, 5, inf], None, None),
    ("hypot", [0, 3], [0, 4], [0, 5], [0, 0.6], [0, 0.8]),
    ("atan2", [0, 0, 1], [0, 1, 0], [0, 0, np.pi / 2], [0, 1, 0], [0, 0, -1]),
    ("xlogy", [0, 0, 1, 0], [0, 2, 0, nan], [0, 0, -inf, nan], [0, log(2), -inf, 0], None),
    ("fmod", [5.5, -5.5, 1], [2, 2, 0], [1.5, -1.5, nan], [1, 1, 1], None),
    ("remainder", [5.5, -5.5, 5.5, 6], [2, 2, -2, -2], [1.5, 0.5, -0.5, 0], [1, 1, 1, 1], [-2, 3, 3, 3]),
    ("floor_divide", [5.5, -5.5, 1, 0], [2, 2, 0, 0], [2, -3, inf, nan], [0, 0, 0, 0], [0, 0, 0, 0]),
    ("copysign", [2, -2, 0], [-1, 1, -1], [-2, 2, 0], [-1, -1, 0], [0, 0, 0]),
    ("logaddexp", [inf, -inf, 1], [inf, -inf, -inf], [inf, -inf, 1], [0.5, 0.5, 1], [0.5, 0.5, 0]),
]


@pytest.mark.parametrize(("op", "a", "b", "y", "da", "db"), PAIRS_OF_FUNCTIONS)
def test_functions_of_two(run, op, a, b, y, da, db):
    value, grads = run(lambda ops, u, v: getattr(ops, op)(u, v), a, b)
    near = {"rtol": 1e-6 if run.dtype == "float32" else 1e-14}
    np.testing.assert_allclose(value, np.asarray(y, value.dtype), **near)
    for found, expected in zip(grads, (da, db), strict=True):
        if expected is not None:
            np.testing.assert_allclose(found, np.asarray(expected, found.dtype), **near)
