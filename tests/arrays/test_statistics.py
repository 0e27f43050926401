"""Reductions in all their forms against NumPy, on every face; what they and running reductions claim beside the registry's tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tlean as tl
from tlean.testing import check_grads

few = settings(max_examples=80, deadline=None, derandomize=True, database=None)
SHAPES = st.lists(st.integers(1, 4), max_size=5).map(tuple)
SEEDS = st.integers(0, 2**31)
TOLERANCE = {"float32": 3e-6, "float64": 1e-14}


def logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def norm(x, axis=None, keepdims=False):
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


OVER_AXES = {"sum": np.sum, "mean": np.mean, "prod": np.prod, "max": np.max, "min": np.min, "var": np.var, "std": np.std}
OVER_AXES |= {"logsumexp": logsumexp, "norm": norm}


@st.composite
def axes_of(draw, shape):
    """None, an int, or a tuple of axes in any order, counted from either end."""
    n = len(shape)
    if not n or draw(st.booleans()):
        return draw(st.sampled_from([None, ()]))
    chosen = draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n))
    counted = tuple(k - n if draw(st.booleans()) else k for k in chosen)
    return counted[0] if len(counted) == 1 and draw(st.booleans()) else counted


@few
@given(st.data(), SHAPES, SEEDS, st.booleans(), st.sampled_from(sorted(OVER_AXES)), st.sampled_from(["float32", "float64"]))
def test_every_axis_form_is_numpys(data, shape, seed, keepdims, name, dtype):
    axis = data.draw(axes_of(shape))
    x = np.random.default_rng(seed).uniform(-2, 2, shape).astype(dtype)
    wanted = OVER_AXES[name](x.astype(np.float64), axis=axis, keepdims=keepdims)
    free = getattr(tl, name)(x, axis=axis, keepdims=keepdims)
    assert free.shape == wanted.shape and free.dtype == dtype
    np.testing.assert_allclose(free.numpy(), wanted, rtol=20 * TOLERANCE[dtype], atol=20 * TOLERANCE[dtype])
    program = lambda ops, v: getattr(ops, name)(v, axis=axis, keepdims=keepdims)  # noqa: E731
    assert tl.jit(program)(x).numpy().tobytes() == free.numpy().tobytes()
    if name not in ("logsumexp", "norm"):
        dispatched = getattr(np, name)(tl.Session(dtype=dtype).leaf(x), axis=axis, keepdims=keepdims)
        assert dispatched.numpy().tobytes() == free.numpy().tobytes()


@few
@given(st.data(), SHAPES, SEEDS, st.booleans(), st.sampled_from(["argmax", "argmin"]))
def test_positions_are_numpys(data, shape, seed, keepdims, name):
    axis = data.draw(st.none() if not shape else st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    x = np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float64)
    found = getattr(tl, name)(x, axis=axis, keepdims=keepdims)
    np.testing.assert_array_equal(found.numpy(), getattr(np, name)(x, axis=axis, keepdims=keepdims))
    assert found.dtype == "int64"


def test_positions_over_several_axes_count_along_them():
    x = np.random.default_rng(1).permutation(24).reshape(2, 3, 4).astype(float)
    flat = np.moveaxis(x, 1, 0).reshape(3, 8)
    np.testing.assert_array_equal(tl.argmax(x, axis=(0, 2)).numpy(), flat.argmax(1))
    np.testing.assert_array_equal(tl.argmin(x, axis=(2, 0)).numpy(), flat.argmin(1))


def test_the_free_function_takes_all_axes_where_the_op_takes_the_last():
    x = np.array([[1.0, 5.0], [7.0, 2.0]])
    s = tl.Session()
    assert tl.argmax(x).tolist() == 2 and s.leaf(x).argmax().numpy().tolist() == 2
    assert s.argmax(s.leaf(x)).numpy().tolist() == [1, 0]
    assert tl.argmin(x).tolist() == 0 and s.argmin(s.leaf(x)).numpy().tolist() == [0, 1]


@pytest.mark.parametrize("name", ["max", "min"])
def test_a_second_array_is_elementwise_and_an_int_an_axis(name):
    x, y = np.array([[1.0, 5.0], [7.0, 2.0]]), np.array([[3.0, 3.0], [3.0, 3.0]])
    pairwise, over = (np.maximum, np.max) if name == "max" else (np.minimum, np.min)
    s = tl.Session(dtype="float64")
    for call in (getattr(tl, name), lambda *a, **k: getattr(s, name)(s.leaf(a[0]), *a[1:], **k)):
        assert np.array_equal(np.asarray(call(x, y)), pairwise(x, y))
        assert np.array_equal(np.asarray(call(x, 3.0)), pairwise(x, 3.0))
        for axis in (0, (0, 1), None):
            assert np.array_equal(np.asarray(call(x, axis)), over(x, axis=axis))
            assert np.array_equal(np.asarray(call(x, axis=axis, keepdims=True)), over(x, axis=axis, keepdims=True))
        with pytest.raises(tl.OptionError, match=f"{name}: axis must be left out"):
            call(x, y, axis=0)
        with pytest.raises(tl.OptionError, match=f"{name}: one axis"):
            call(x, 0, axis=0)
    tape, i = tl.Tape(dtype="float64").leaf(x)
    tape, j = tape.leaf(y)
    assert np.array_equal(np.asarray(tape.max(i, j)[0].get_value(tape.max(i, j)[1])), np.maximum(x, y))
    after, k = getattr(tape, name)(i, axis=0)
    assert np.array_equal(np.asarray(after.get_value(k)), over(x, axis=0))


def test_errors_name_the_requirement():
    x = np.ones((2, 3))
    for call, error in (
        (lambda: tl.sum(x, axis=2), tl.IndexRangeError),
        (lambda: tl.mean(x, axis=(0, 0)), tl.OptionError),
        (lambda: tl.var(np.ones((0, 2)), axis=0), tl.ShapeError),
        (lambda: tl.norm(x, "nuclear"), tl.OptionError),
        (lambda: tl.norm(x, 2, "rows"), tl.OptionError),
        (lambda: tl.logsumexp(x, axis=(0, 0)), tl.OptionError),
        (lambda: tl.diff(x, -1), tl.OptionError),
        (lambda: tl.diff(np.array(1.0)), tl.OptionError),
    ):
        with pytest.raises(error):
            call()


@pytest.mark.parametrize("ord", [2, 1, 0, math.inf, -math.inf, 3, 0.5, "fro"])
def test_norms_of_every_order(ord):
    x = np.array([[1.0, -2.0, 0.0], [3.0, 0.5, -1.0]])
    for axis in (0, 1, None, (0, 1)):
        wanted = np.linalg.norm(
            x.reshape(-1) if axis not in (0, 1) else x, 2 if ord == "fro" else ord, None if axis not in (0, 1) else axis
        )
        np.testing.assert_allclose(tl.norm(x, ord, axis).numpy(), wanted, rtol=1e-14)
    if ord != 0:
        check_grads(lambda ops, v: ops.norm(v, ord, 1), (np.array([[1.0, -2.0, 0.7], [3.0, 0.5, -1.0]]),), order=2)


def test_numpys_norm_of_a_reference():
    s = tl.Session(dtype="float64")
    x = s.leaf(np.array([[1.0, -2.0], [3.0, 0.5]]))
    for kwargs in ({}, {"axis": 0}, {"ord": 1, "axis": 1}, {"ord": "fro"}, {"axis": (0, 1), "keepdims": True}):
        np.testing.assert_allclose(np.linalg.norm(x, **kwargs).numpy(), np.linalg.norm(x.numpy(), **kwargs), rtol=1e-14)
    for ord in (1, -1, 2, -2, np.inf, "nuc"):
        np.testing.assert_allclose(np.linalg.norm(x, ord).numpy(), np.linalg.norm(x.numpy(), ord), rtol=1e-13)
        np.testing.assert_allclose(np.linalg.norm(x, ord, keepdims=True).numpy(), np.linalg.norm(x.numpy(), ord, keepdims=True), rtol=1e-13)
    with pytest.raises(tl.OptionError, match="norm"):
        np.linalg.norm(x[None], 2)


def test_gradients_are_zero_where_nothing_varies():
    flat = np.full((2, 3), 4.0)
    for f in (lambda x: tl.sum(tl.std(x, axis=1)), lambda x: tl.norm(x - x)):
        assert np.array_equal(tl.grad(f)(flat).numpy(), np.zeros((2, 3)))
    row = np.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(tl.grad(lambda x: tl.sum(tl.norm(x, axis=1)))(row).numpy(), [[0, 0], [0.6, 0.8]], rtol=1e-15)


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_products_of_zeros_have_their_derivatives(zeros):
    """The Hessian of a product is the product of the others, however many elements are 0."""
    x = np.array([2.0, -3.0, 0.5, 1.5])
    x[:zeros] = 0
    hessian = np.array([[0 if i == j else np.prod([x[k] for k in range(4) if k not in (i, j)]) for j in range(4)] for i in range(4)])
    for f in (lambda v: tl.prod(v), lambda v: tl.cumprod(v, 0)[3]):
        gradient = [np.prod([x[k] for k in range(4) if k != i]) for i in range(4)]
        np.testing.assert_allclose(tl.grad(f)(x).numpy(), gradient, rtol=1e-14)
        np.testing.assert_allclose(tl.hessian(f)(x).numpy(), hessian, rtol=1e-14, atol=1e-300)


def test_the_gradient_of_a_long_product_is_made_of_rows():
    x = np.exp(np.random.default_rng(0).uniform(-0.01, 0.01, 8192))
    for zeros in ([], [5], [5, 4000]):
        x[zeros] = 0
        wanted = np.array([np.prod(np.delete(x, i)) for i in (0, 5, 4000, 8191)])
        found = tl.grad(lambda v: tl.prod(v))(x).numpy()
        np.testing.assert_allclose(found[[0, 5, 4000, 8191]], wanted, rtol=1e-12)
        along = tl.jvp(lambda v: tl.prod(v), (x,), (np.ones_like(x),))[1]
        np.testing.assert_allclose(along.numpy(), found.sum(), rtol=1e-11)


RUNNING = {"cumsum": np.cumsum, "cumprod": np.cumprod, "cummax": np.maximum.accumulate, "cumlogsumexp": np.logaddexp.accumulate}


@few
@given(st.data(), st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple), SEEDS, st.sampled_from(sorted(RUNNING)))
def test_running_reductions_are_numpys(data, shape, seed, name):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = np.random.default_rng(seed).uniform(-2, 2, shape)
    found = getattr(tl, name)(x, axis)
    np.testing.assert_allclose(found.numpy(), RUNNING[name](x, axis=axis), rtol=1e-13, atol=1e-14)
    assert tl.jit(lambda ops, v: getattr(ops, name)(v, axis))(x).numpy().tobytes() == found.numpy().tobytes()
    np.testing.assert_allclose(getattr(tl, name)(x, None).numpy(), RUNNING[name](x.reshape(-1), axis=0), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_running_maxima_keep_integers(dtype):
    x = np.array([[3, 1, 4], [2**53 + 1, 5, 0]]).astype(dtype)
    for axis in (0, 1):
        found = tl.jit(lambda ops, v, k=axis: ops.cummax(v, k))(x)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.numpy(), np.maximum.accumulate(x, axis=axis))


def test_a_nan_stays_in_a_running_maximum_and_takes_the_gradient():
    x = np.array([1.0, math.nan, 3.0])
    np.testing.assert_array_equal(tl.cummax(x, 0).numpy(), [1, math.nan, math.nan])
    np.testing.assert_array_equal(tl.grad(lambda v: tl.sum(tl.cummax(v, 0)))(x).numpy(), [1, 2, 0])


def test_running_logarithms_of_infinities():
    x = np.array([-math.inf, -math.inf, 0.0, 1000.0, math.inf, 5.0, math.inf])
    np.testing.assert_array_equal(tl.cumlogsumexp(x, 0).numpy(), np.logaddexp.accumulate(x))
    g = tl.grad(lambda v: tl.sum(tl.cumlogsumexp(v, 0)))(x[:4]).numpy()
    np.testing.assert_allclose(g[2:], [1.0, 1.0], rtol=1e-12)
    assert np.isfinite(g).all()


@few
@given(st.data(), st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple), SEEDS, st.integers(0, 3))
def test_differences_are_numpys(data, shape, seed, n):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = np.random.default_rng(seed).standard_normal(shape)
    ends = data.draw(st.sampled_from([{}, {"prepend": 1.5}, {"append": 0.0, "prepend": -1.0}]))
    found = tl.diff(x, n, axis, **ends)
    np.testing.assert_allclose(found.numpy(), np.diff(x, n, axis, **ends), rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(np.diff(tl.Session(dtype="float64").leaf(x), n, axis, **ends).numpy(), found.numpy())
