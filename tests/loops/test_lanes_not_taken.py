"""In lanes a branch that is not taken computes with values of a lane that takes it: no infinity of its derivatives comes out of it."""

import numpy as np
import pytest

import tlean as tl

XS = np.array([1.0, 0.0, -2.0, 4.0])


def branches(w, x):
    return tl.cond(x > 0.0, lambda: tl.mul(tl.log(x), w) + tl.log(tl.mul(x, w)), lambda: tl.mul(x, w))


@pytest.mark.parametrize("xs", [XS, XS - 5.0, XS + 5.0], ids=["some", "none", "all"])
def test_a_shared_weight_beside_a_branch_of_infinite_slope(xs):
    """Of all derivatives up to the second, and of the lanes' own values."""
    w = np.float64(2.0)
    lanes = tl.vmap(branches, in_axes=(None, 0))
    taken = xs > 0.0
    slope = np.sum(np.where(taken, np.log(np.where(taken, xs, 1.0)) + 1.0 / w, xs))
    np.testing.assert_allclose(tl.grad(lambda w: tl.sum(lanes(w, xs)))(w).item(), slope, rtol=1e-12)
    np.testing.assert_allclose(tl.hessian(lambda w: tl.sum(lanes(w, xs)))(w).item(), -np.sum(taken) / w**2, rtol=1e-12)
    own = np.where(taken, 3.0 / np.where(taken, xs, 1.0), w)
    np.testing.assert_allclose(tl.grad(lambda xs: tl.sum(lanes(w, xs)))(xs).numpy(), own, rtol=1e-12)
    np.testing.assert_array_equal(lanes(w, xs).numpy(), [branches(np.array(w), x).item() for x in map(np.array, xs)])


def test_a_shared_weight_of_lanes_that_are_done():
    def steps(w, x):
        # Of 0, where a lane ends, the logarithm has no slope.
        return tl.while_loop(lambda c: c > 0.0, lambda c: c - 1.0 + 0.0 * tl.log(c * w), x, max_steps=6)

    lanes = tl.vmap(steps, in_axes=(None, 0))
    assert tl.grad(lambda w: tl.sum(lanes(w, np.array([1.0, 3.0]))))(np.float64(2.0)).item() == 0.0


def test_a_branch_of_several():
    def chosen(w, x):
        return tl.switch(tl.astype(x, "int64"), [lambda: w, lambda: tl.log(tl.mul(x, w)), lambda: tl.div(w, tl.sub(x, 1.0))])

    lanes = tl.vmap(chosen, in_axes=(None, 0))
    assert tl.grad(lambda w: tl.sum(lanes(w, np.array([0.0, 1.0, 2.0, 0.0]))))(np.float64(2.0)).item() == 3.5
