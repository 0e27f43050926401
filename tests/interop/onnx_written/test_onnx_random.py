"""Gamma and Poisson numbers in files, and what is made of them: the library's, from the library's seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_runs import agree, run

import tlean as tl
from tlean.dtypes import FLOATS

onnx = pytest.importorskip("onnx", reason="files of ONNX are read and written by its package")


@pytest.mark.parametrize("opset", [17, 23])
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_library_s_numbers(dtype: str, opset: int, tmp_path: Path) -> None:
    """Small and large parameters: equal counts, and logarithms of gamma numbers to the last digits, for another batch too."""
    rates = 10.0 ** np.random.default_rng(0).uniform(-2, 8, (20, 9)).astype(dtype)

    def f(x: Any) -> Any:
        return tl.random.poisson(x), tl.log(tl.random.gamma(x)), tl.random.beta(x * 1e-3, x * 1e-3), tl.random.uniform((3,), dtype=dtype)

    made = run(f, tmp_path, rates, given=[np.concatenate([rates, rates[:5]])], opset=opset)
    assert made.fixed is None
    assert made.theirs[0].tolist() == made.ours[0].tolist()
    assert len(set(made.ours[0].ravel().tolist())) > 100
    agree(made, factor=10.0, same_bits=False)
    # The file of one batch has the op as it is.
    agree(run(f, tmp_path, rates, opset=opset, dynamic_batch=False), factor=10.0)


def test_other_distributions(tmp_path: Path) -> None:
    """Those that gamma numbers make, and others."""
    x = np.linspace(0.3, 4.0, 12).reshape(4, 3).astype(np.float32)

    def f(x: Any) -> Any:
        made = tl.random.dirichlet(x), tl.random.exponential(x.shape), tl.random.gumbel(x.shape), tl.random.truncated_normal(x.shape)
        return *made, tl.random.categorical(x), tl.random.permutation(7), tl.random.choice(9, (4,))

    agree(run(f, tmp_path, x, dynamic_batch=False))


def test_parameters_that_are_none(tmp_path: Path) -> None:
    """Of no rate there is no count, of no concentration no number; a rate of 0 and one at the end of the range are rates."""
    rates = np.array([0.0, -1.0, np.nan, np.inf, 2.0**53, 2.0**54, 9.999, 10.0])
    made = run(lambda x: (tl.random.poisson(x), tl.random.gamma(x)), tmp_path, rates, dynamic_batch=False)
    assert made.theirs[0].tolist() == made.ours[0].tolist()
    np.testing.assert_allclose(made.theirs[1], made.ours[1], rtol=1e-12)


def test_gradients_and_loops(tmp_path: Path) -> None:
    """By a concentration, with the probability held, in a step of a loop as by itself."""
    x = np.linspace(0.5, 3.0, 6).reshape(2, 3)

    def f(x: Any) -> Any:
        def step(c: Any, v: Any) -> Any:
            drawn = tl.random.gamma(v + c)
            return c * 0.5 + tl.sum(drawn) * 0.1, tl.random.poisson(v * 5.0)

        last, counts = tl.scan(step, np.float64(0.2), x)
        return last + tl.sum(tl.log(tl.random.gamma(x * 30.0))) + tl.sum(tl.random.beta(x, x + 1.0)), counts

    made = run(lambda x: (tl.grad(lambda x: f(x)[0])(x), f(x)[1]), tmp_path, x, dynamic_batch=False)
    assert made.theirs[1].tolist() == made.ours[1].tolist()
    agree(made, factor=1e3)
