"""The kernels of order, running reductions, products, variances and norms of every instruction set that there is, against NumPy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from kernel_calls import Call, run_op, usable_instruction_sets

from tlean._core import threads

ISAS = usable_instruction_sets("order")
SUFFIXES = {"f32": "float32", "f64": "float64", "i32": "int32", "i64": "int64", "b8": "bool"}
each = pytest.mark.parametrize(("isa", "suffix"), list(itertools.product(ISAS, SUFFIXES)))
floats = pytest.mark.parametrize(("isa", "suffix"), list(itertools.product(ISAS, ("f32", "f64"))))


def drawn(suffix: str, *shape: int) -> np.ndarray:
    """Values with ties; of floats zeros of both signs, infinities and NaN too."""
    rng = np.random.default_rng(len(shape))
    if suffix[0] != "f":
        return rng.integers(-40, 40, shape).astype(SUFFIXES[suffix])
    x = np.where(rng.random(shape) < 0.5, rng.standard_normal(shape), rng.choice([0.0, -0.0, 2.0, math.inf, -math.inf, math.nan], shape))
    return x.astype(SUFFIXES[suffix])


@each
@pytest.mark.parametrize("shape", [(40,), (3, 200), (200, 3), (2, 33, 5), (95,), (96,), (70000,)])
def test_sorts(isa, suffix, shape):
    x = drawn(suffix, *shape)
    for axis in range(len(shape)):
        stable = np.argsort(x, axis=axis, kind="stable")
        values = np.take_along_axis(x, stable, axis)
        both = Call(isa, "order", "sort", suffix, (x,), axis=axis)
        alone = Call(isa, "order", "sort", suffix, (x,), unread=(1,), axis=axis)
        assert both() == 0 and alone() == 0
        np.testing.assert_array_equal(both.outs[1], stable)
        assert both.outs[0].tobytes() == alone.outs[0].tobytes() == values.tobytes()
        np.testing.assert_array_equal(run_op(isa, "order", "argsort", suffix, x, axis=axis), stable)
        k = min(shape[axis], 9)
        least = run_op(isa, "order", "_topk_index", suffix, x, k=k, axis=axis, largest=False)
        np.testing.assert_array_equal(least, np.take(stable, range(k), axis=axis))
        greatest = run_op(isa, "order", "_topk_index", suffix, x, k=k, axis=axis)
        np.testing.assert_array_equal(
            greatest, np.take(run_op(isa, "order", "argsort", suffix, x, axis=axis, descending=True), range(k), axis)
        )


@each
def test_places_in_sorted_arrays(isa, suffix):
    a, v = np.sort(drawn(suffix, 300)), drawn(suffix, 20, 5)
    for side in ("left", "right"):
        np.testing.assert_array_equal(run_op(isa, "order", "searchsorted", suffix, a, v, side=side), np.searchsorted(a, v, side=side))


@floats
@pytest.mark.parametrize("shape", [(70,), (3, 40001), (40001, 3), (9, 8, 49), (2, 3, 4, 5), (300, 2, 300)])
def test_moments_over_any_axes(isa, suffix, shape):
    x = np.exp(np.random.default_rng(3).uniform(-0.1, 0.1, shape)).astype(SUFFIXES[suffix])
    wide = x.astype(np.longdouble)
    # A product rounds once for each of its factors, in about any direction.
    close = {"rtol": 3e-6 if suffix == "f32" else 1e-14}
    for n in range(len(shape) + 1):
        for axis in itertools.combinations(range(len(shape)), n):
            count = math.prod(shape[k] for k in axis)
            norm = run_op(isa, "reduce", "_norm", suffix, x, axis=axis)
            np.testing.assert_allclose(norm, np.sqrt((wide * wide).sum(axis)), **close)
            var = run_op(isa, "reduce", "var", suffix, x, axis=axis)
            np.testing.assert_allclose(var, wide.var(axis), rtol=close["rtol"] * 4, atol=1e-12 if suffix == "f32" else 1e-30)
            product = run_op(isa, "reduce", "prod", suffix, x, axis=axis)
            np.testing.assert_allclose(product, wide.prod(axis), rtol=close["rtol"] * (1 + math.sqrt(count)), atol=1e-300)


@floats
@pytest.mark.parametrize("shape", [(700,), (5, 700), (2, 30, 600)])
def test_running_reductions(isa, suffix, shape):
    x = np.random.default_rng(4).uniform(-1.2, 1.2, shape).astype(SUFFIXES[suffix])
    wide, close = x.astype(np.longdouble), {"rtol": 2e-6 if suffix == "f32" else 1e-13, "atol": 1e-6 if suffix == "f32" else 1e-13}
    for axis in range(len(shape)):
        np.testing.assert_allclose(run_op(isa, "running", "cumprod", suffix, x, axis=axis), wide.cumprod(axis), **close)
        np.testing.assert_allclose(
            run_op(isa, "running", "cumlogsumexp", suffix, x, axis=axis), np.logaddexp.accumulate(wide, axis=axis), **close
        )
        places = Call(isa, "running", "cummax", suffix, (x,), axis=axis)
        assert places() == 0
        np.testing.assert_array_equal(places.outs[0], np.maximum.accumulate(x, axis=axis))
        np.testing.assert_array_equal(x.reshape(-1)[places.outs[1]], places.outs[0])
        np.testing.assert_array_equal(run_op(isa, "running", "_cummax_index", suffix, x, axis=axis), places.outs[1])


@each
def test_threads_do_not_matter(isa, suffix):
    x = drawn(suffix, 50, 900)
    before = threads.get_num_threads()
    made = []
    for count in (1, 3):
        threads.set_num_threads(count)
        try:
            made.append([run_op(isa, "order", "sort", suffix, x, axis=axis).tobytes() for axis in (0, 1)])
        finally:
            threads.set_num_threads(before)
    assert made[0] == made[1]


@floats
@pytest.mark.parametrize("shape", [(40, 37), (33, 5), (17, 16), (3, 70), (64, 64), (100, 1)])
def test_running_products_of_rows(isa, suffix, shape):
    # Rows beside each other and rows alone have the products of the definition: in double precision, one after another.
    x = np.exp(0.3 * np.random.default_rng(0).standard_normal(shape)).astype(SUFFIXES[suffix])
    x[1, shape[1] // 2] = 0
    for reverse, exclusive in itertools.product((False, True), repeat=2):
        products = np.cumprod((x[:, ::-1] if reverse else x).astype(np.float64), 1)
        if exclusive:
            products = np.concatenate([np.ones((shape[0], 1)), products[:, :-1]], 1)
        wanted = (products[:, ::-1] if reverse else products).astype(x.dtype)
        found = run_op(isa, "running", "_running_product", suffix, x, axis=1, exclusive=exclusive, reverse=reverse)
        assert np.array_equal(found, wanted), (reverse, exclusive)
