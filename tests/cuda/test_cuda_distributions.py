"""Distributions on a device, or on its emulation: the numbers of the CPU, but for the last bits of logarithms; and their gradients."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

if not tl.cuda.is_available():
    pytest.skip("needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it", allow_module_level=True)

A = np.array([0.4, 1.0, 2.5, 40.0, 0.9], np.float32)
SMOOTH = {
    "uniform": lambda ops, a: ops.random_uniform((7, 5), -2.0, a),
    "normal": lambda ops, a: ops.random_normal((7, 5), a, a),
    "truncated_normal": lambda ops, a: ops.random_truncated_normal((7, 5), a, a, -1.0, 3.0),
    "exponential": lambda ops, a: ops.random_exponential(scale=a),
    "gumbel": lambda ops, a: ops.random_gumbel((7, 5), scale=a),
    "gamma": lambda ops, a: ops.random_gamma(a, (30, 5)),
    "beta": lambda ops, a: ops.random_beta(a, 2.0, (30, 5)),
    "dirichlet": lambda ops, a: ops.random_dirichlet(a, (30,)),
}
WHOLE = {
    "poisson": lambda ops, a: ops.random_poisson(a, (30, 5)),
    "randint": lambda ops, a: ops.random_randint(-7, 1000, (333,)),
    "bernoulli": lambda ops, a: ops.random_bernoulli(0.3, (30, 5)),
    "categorical": lambda ops, a: ops.random_categorical(a, (9,)),
}


@pytest.mark.parametrize("name", [*SMOOTH, *WHOLE])
def test_the_numbers_are_those_of_the_cpu(name):
    program = (SMOOTH | WHOLE)[name]
    values = []
    for device in ("cpu", "cuda"):
        s = tl.Session(device=device, seed=6)
        values.append(np.asarray(program(s, s.input(A)).numpy()))
    if name in WHOLE:
        assert values[0].tolist() == values[1].tolist()
        return
    np.testing.assert_allclose(values[1], values[0], rtol=2e-5, atol=2e-6 * np.abs(values[0]).max())
    gradients = [
        np.asarray(tl.grad(lambda ops, a: ops.sum(ops.square(program(ops, a))), seed=6)(A)),
        _on_device(program),
    ]  # fmt: skip
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-4, atol=1e-4 * np.abs(gradients[0]).max())


def _on_device(program):
    s = tl.Session(device="cuda", seed=6)
    a = s.input(A)
    return s.backward_scalar_dense_all(s.sum(s.square(program(s, a))))[a].numpy()
