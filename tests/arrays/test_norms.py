"""Derivatives of norms and of `logsumexp` where a part of what is reduced has none."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl


@pytest.mark.parametrize("backend", ["eager", "compiled"])
@pytest.mark.parametrize("p", [3.5, 0.5, 1.5, -0.5, -1, -3.5])
def test_a_norm_that_is_0_has_gradient_0(p, backend):
    for x in (np.zeros(5), *([np.zeros((0,))] if p > 0 else [])):  # of nothing, with p < 0, it is infinite
        y, pull = tl.vjp(lambda x: tl.norm(x, p), x, backend=backend)
        assert float(y) == 0 and np.array_equal(np.asarray(pull(1.0)[0]), np.zeros_like(x))
        assert float(tl.jvp(lambda x: tl.norm(x, p), (x,), (np.ones_like(x),), backend=backend)[1]) == 0


@pytest.mark.parametrize("p", [3.5, 0.5, 1.5])
def test_an_element_that_is_0_takes_no_part_in_the_gradient(p):
    x = np.array([1.5, 0.0, -2.0, 0.25])
    expected = np.sum(np.abs(x) ** p) ** (1 / p - 1) * np.sign(x) * np.where(x, np.abs(x), 1) ** (p - 1)
    np.testing.assert_allclose(tl.grad(lambda x: tl.norm(x, p))(x).numpy(), expected, rtol=1e-13)


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_logsumexp_over_axes_apart_of_which_a_run_is_minus_infinity(backend):
    x = np.random.default_rng(0).normal(size=(3, 2, 2))
    x[1] = -np.inf
    p = np.exp(x) / np.exp(x).sum(axis=(0, 2), keepdims=True)
    y, pull = tl.vjp(lambda x: tl.logsumexp(x, (0, 2)), x, backend=backend)
    np.testing.assert_allclose(y.numpy(), np.log(np.exp(x).sum(axis=(0, 2))), rtol=1e-15)
    np.testing.assert_allclose(pull(np.ones(2))[0].numpy(), p, rtol=1e-14)
    t = np.ones_like(x)
    np.testing.assert_allclose(tl.jvp(lambda x: tl.logsumexp(x, (0, 2)), (x,), (t,), backend=backend)[1].numpy(), 1.0, rtol=1e-14)
