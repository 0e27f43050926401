"""The reducing kernels of every instruction set that this machine runs, against NumPy in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from kernel_calls import Call, run_op, usable_instruction_sets

from tlean._core import threads

CASES = list(itertools.product(usable_instruction_sets("reduce"), ("f32", "f64")))
each = pytest.mark.parametrize(("isa", "suffix"), CASES)
RTOL = {"f32": 2e-6, "f64": 2e-15}
SHAPES = [
    (), (1,), (7,), (15,), (16,), (17,), (64,), (129,), (1000,), (40001,), (3, 4), (70, 10), (10, 70), (129, 33), (5, 1025), (1025, 5),
    (700, 128),
    (2, 3, 4), (9, 8, 49), (4, 1, 6), (3, 200, 7), (2, 3, 4, 5), (5, 6, 1, 7, 3), (2000, 2, 3),
]  # fmt: skip


def positive(*shape: int) -> np.ndarray:
    """Numbers in [0.5, 1.5): sums without cancellation, whose relative error is the summation's."""
    return np.random.default_rng(len(shape)).random(shape).astype(np.float32).astype(np.float64) + 0.5


def subsets(ndim: int) -> list[tuple[int, ...]]:
    return [axes for k in range(ndim + 1) for axes in itertools.combinations(range(ndim), k)]


@each
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_and_means(isa, suffix, shape):
    x = positive(*shape).astype(np.float32)
    exact = x.astype(np.float64)
    for axis in subsets(len(shape)):
        found = run_op(isa, "reduce", "reduce_sum", suffix, x, axis=axis, keepdims=True)
        np.testing.assert_allclose(found, exact.sum(axis, keepdims=True), rtol=RTOL[suffix])
        found = run_op(isa, "reduce", "reduce_mean", suffix, x, axis=axis)
        np.testing.assert_allclose(found, exact.mean(axis), rtol=RTOL[suffix])
    np.testing.assert_allclose(run_op(isa, "reduce", "sum", suffix, x), exact.sum(), rtol=RTOL[suffix])
    np.testing.assert_allclose(run_op(isa, "reduce", "mean", suffix, x), exact.mean(), rtol=RTOL[suffix])


@each
def test_sums_over_nothing(isa, suffix):
    np.testing.assert_array_equal(run_op(isa, "reduce", "reduce_sum", suffix, np.zeros((3, 0)), axis=1), np.zeros(3))
    np.testing.assert_array_equal(run_op(isa, "reduce", "reduce_sum", suffix, np.zeros((3, 0, 2)), axis=(0, 1)), np.zeros(2))
    assert run_op(isa, "reduce", "reduce_sum", suffix, np.zeros((3, 0)), axis=0).shape == (0,)
    assert run_op(isa, "reduce", "sum", suffix, np.zeros((3, 0))) == 0


@each
@pytest.mark.parametrize(
    ("shape", "axis"), [((3_000_000,), 0), ((300_000, 10), 0), ((300_000, 10), 1), ((40, 70_000), 1), ((70_000, 40), 0)]
)
def test_rounding_does_not_grow_with_the_length(isa, suffix, shape, axis):
    x = positive(*shape).astype(np.float32)
    found = run_op(isa, "reduce", "reduce_sum", suffix, x, axis=axis)
    np.testing.assert_allclose(found, x.astype(np.float64).sum(axis), rtol={"f32": 5e-7, "f64": 2e-15}[suffix])


@each
def test_sums_do_not_depend_on_the_thread_count(isa, suffix):
    before = threads.get_num_threads()
    try:
        for shape, axis in [((300_001,), 0), ((3001, 100), 0), ((3001, 100), 1), ((50, 16, 26, 26), (0, 2, 3)), ((9, 5000, 7), 1)]:
            call = Call(isa, "reduce", "reduce_sum", suffix, (np.random.default_rng(0).standard_normal(shape),), axis=axis)
            found = []
            for n in (1, 2, 3):
                threads.set_num_threads(n)
                assert call() == 0
                found.append(call.outs[0].tobytes())
            assert len(set(found)) == 1
    finally:
        threads.set_num_threads(before)


@each
def test_sums_carry_nan_and_infinity(isa, suffix):
    for n in (5, 40, 300, 5000):
        x = np.ones(n)
        x[n // 2] = np.inf
        assert run_op(isa, "reduce", "sum", suffix, x) == np.inf
        x[n // 3] = -np.inf
        assert np.isnan(run_op(isa, "reduce", "sum", suffix, x))


@each
def test_running_sums(isa, suffix):
    for shape in [(1,), (7,), (5000,), (3, 4), (40, 33), (2, 3, 4), (4, 1, 6), (9, 2, 1500), (0, 3)]:
        x = positive(*shape)
        for axis in range(len(shape)):
            found = run_op(isa, "reduce", "cumsum", suffix, x, axis=axis)
            np.testing.assert_allclose(found, np.cumsum(x, axis), rtol=RTOL[suffix])
            found = run_op(isa, "reduce", "_reverse_cumsum", suffix, x, axis=axis)
            np.testing.assert_allclose(found, np.flip(np.cumsum(np.flip(x, axis), axis), axis), rtol=RTOL[suffix])
