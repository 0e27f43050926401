"""Sorts, the first in order and places in sorted arrays against NumPy's stable ones; quantiles; and which element gets which gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tlean as tl

few = settings(max_examples=100, deadline=None, derandomize=True, database=None)
DTYPES = st.sampled_from(["float32", "float64", "int64", "bool"])
SHAPES = st.lists(st.integers(0, 6), min_size=1, max_size=4).map(tuple)
SEEDS = st.integers(0, 2**31)


def drawn(seed, shape, dtype):
    """Values with ties; of floats zeros of both signs, infinities and NaN too."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype == "int64":
        return rng.choice([2**53 + 1, 2**53, -5, 0, 7, -(2**63)], shape)
    return rng.choice([0.0, -0.0, 1.5, -2.5, math.inf, -math.inf, math.nan, 1e-40, 3.0], shape).astype(dtype)


def call(name, x, *args, **options):
    return tl.jit(lambda ops, v: getattr(ops, name)(v, *args, **options))(x)


def places(x, axis, descending):
    """The stable order by the definition: NaN above all."""
    if axis is None:
        x, axis = x.reshape(-1), 0
    lines = np.moveaxis(x, axis, -1)
    y = np.empty(lines.shape, np.int64)
    for i in np.ndindex(lines.shape[:-1]):
        line = lines[i].tolist()
        y[i] = sorted(range(len(line)), key=lambda j: (line[j] != line[j], 0 if line[j] != line[j] else line[j]), reverse=descending)
    return np.moveaxis(y, -1, axis)


def identical(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape and a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)
    if a.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(a[~np.isnan(a)]), np.signbit(b[~np.isnan(b)]))


@few
@given(st.data(), SHAPES, SEEDS, DTYPES, st.booleans())
def test_sorts_are_stable(data, shape, seed, dtype, descending):
    axis = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    x = drawn(seed, shape, dtype)
    order = places(x, axis, descending)
    wanted = x.reshape(-1)[order] if axis is None else np.take_along_axis(x, order, axis)
    identical(call("argsort", x, axis, descending), order)
    identical(call("sort", x, axis, descending), wanted)
    if not descending:
        np.testing.assert_array_equal(order, np.argsort(x, axis=axis, kind="stable"))
    if dtype.startswith("float"):
        s = tl.Session(dtype=dtype)
        r = s.leaf(x)
        # Recorded, the places are kept: another kernel makes the values.
        identical(s.sort(r, axis, descending).numpy(), wanted)
        identical(tl.sort(x, axis, descending), wanted)


@pytest.mark.parametrize("n", [1, 31, 32, 33, 95, 96, 97, 1000, 70000])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_lines_of_every_length(n, dtype):
    rng = np.random.default_rng(n)
    x = rng.standard_normal((2, n, 3)) if dtype.startswith("float") else rng.integers(-(2**62), 2**62, (2, n, 3))
    x = (x > 0) if dtype == "bool" else x.astype(dtype)
    for axis, view in ((1, x), (-1, np.ascontiguousarray(np.moveaxis(x, 1, 2)))):
        identical(call("sort", view, axis), np.sort(view, axis=axis))
        identical(call("argsort", view, axis), np.argsort(view, axis=axis, kind="stable"))
        identical(call("sort", view, axis, True), np.flip(np.sort(view, axis=axis), axis))
        k = min(n, 20)
        values, index = call("topk", view, k, axis)
        identical(index, np.take(places(view, axis, True), range(k), axis=axis))
        identical(values, np.take_along_axis(view, np.asarray(index), axis))


@few
@given(st.data(), SHAPES, SEEDS, DTYPES, st.booleans())
def test_the_first_in_order(data, shape, seed, dtype, largest):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    k = data.draw(st.integers(0, shape[axis]))
    x = drawn(seed, shape, dtype)
    values, index = call("topk", x, k, axis, largest)
    wanted = np.take(places(x, axis, largest), range(k), axis=axis)
    identical(index, wanted)
    identical(values, np.take_along_axis(x, wanted, axis))


@pytest.mark.parametrize("order", ["ascending", "descending", "alike", "drawn"])
def test_the_first_of_a_long_line(order):
    x = np.random.default_rng(0).standard_normal(30000).astype(np.float32)
    x = {"ascending": np.sort(x), "descending": np.sort(x)[::-1].copy(), "alike": np.full_like(x, 2), "drawn": x}[order]
    for k in (1, 7, 3000, 30000):
        values, index = tl.topk(x, k)
        identical(index.numpy(), np.argsort(-x, kind="stable")[:k])
        identical(values.numpy(), x[index.numpy()])


@few
@given(SEEDS, DTYPES, st.integers(0, 40), SHAPES, st.sampled_from(["left", "right"]))
def test_places_in_sorted_arrays_are_numpys(seed, dtype, n, shape, side):
    a, v = np.sort(drawn(seed, (n,), dtype)), drawn(seed + 1, shape, dtype)
    identical(tl.jit(lambda ops, a, v: ops.searchsorted(a, v, side))(a, v), np.searchsorted(a, v, side=side))


@few
@given(st.data(), st.lists(st.integers(1, 5), max_size=4).map(tuple), SEEDS, st.booleans())
def test_quantiles_are_numpys(data, shape, seed, keepdims):
    x = np.random.default_rng(seed).standard_normal(shape)
    chosen = data.draw(st.lists(st.integers(0, max(len(shape) - 1, 0)), unique=True, max_size=len(shape)).map(tuple))
    axis = chosen or None
    method = data.draw(st.sampled_from(["linear", "lower", "higher", "nearest", "midpoint"]))
    for q in (data.draw(st.floats(0, 1)), [0.0, 0.25, 0.5, 1.0]):
        found = tl.quantile(x, q, axis, keepdims, method)
        np.testing.assert_allclose(found.numpy(), np.quantile(x, q, axis=axis, keepdims=keepdims, method=method), rtol=1e-13, atol=1e-14)
    found = tl.median(x, axis, keepdims)
    np.testing.assert_array_equal(found.numpy(), np.median(x, axis=axis, keepdims=keepdims))
    assert tl.jit(lambda ops, v: ops.median(v, axis, keepdims))(x).numpy().tobytes() == found.numpy().tobytes()


def test_quantiles_of_nan_and_infinities():
    x = np.array([[1.0, math.nan, 0.0], [math.inf, math.inf, 1.0], [-math.inf, 2.0, math.inf]])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(tl.median(x, 1).numpy(), np.median(x, axis=1))
    # Between equal infinities NumPy has NaN.
    np.testing.assert_array_equal(tl.quantile(x[1], 0.75).numpy(), math.inf)


def test_gradients_follow_the_permutation():
    x, g = np.array([3.0, 1.0, 2.0, 1.0]), np.array([1.0, 10.0, 100.0, 1000.0])
    for f, wanted in (
        (lambda v: tl.sum(tl.sort(v) * g), [1000, 1, 100, 10]),
        (lambda v: tl.sum(tl.sort(v, descending=True) * g), [1, 100, 10, 1000]),
        (lambda v: tl.sum(tl.topk(v, 2)[0] * g[:2]), [1, 0, 10, 0]),
        (lambda v: tl.median(v), [0, 0, 0.5, 0.5]),
        (lambda v: tl.quantile(v, 1.0), [1, 0, 0, 0]),
    ):
        np.testing.assert_array_equal(tl.grad(f)(x).numpy(), wanted)
    np.testing.assert_array_equal(tl.hessian(lambda v: tl.sum(tl.sort(v) ** 3))(x).numpy(), np.diag(6 * x))


def test_errors_name_the_requirement():
    x = np.ones((2, 3))
    for run, error, text in (
        (lambda: tl.sort(x, 2), tl.IndexRangeError, "axis 2"),
        (lambda: tl.topk(x, 4), tl.OptionError, "k must be between 0 and the 3"),
        (lambda: tl.searchsorted(x, x), tl.ShapeError, "a must be a vector"),
        (lambda: tl.searchsorted(x[0], x, "middle"), tl.OptionError, "side"),
        (lambda: tl.quantile(x, 1.5), tl.OptionError, "q must be between 0 and 1"),
        (lambda: tl.quantile(x, "half"), tl.OptionError, "q must be a number"),
        (lambda: tl.quantile(x, 0.5, method="wrong"), tl.OptionError, "method"),
        (lambda: tl.median(np.ones((0, 2)), 0), tl.ShapeError, "at least one element"),
    ):
        with pytest.raises(error, match=text):
            run()
