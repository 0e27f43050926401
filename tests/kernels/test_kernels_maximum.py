"""The maximum kernels of every instruction set that this machine runs, against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from kernel_calls import Call, run_op, usable_instruction_sets

from tlean._core import threads

CASES = list(itertools.product(usable_instruction_sets("maximum"), ("f32", "f64")))
each = pytest.mark.parametrize(("isa", "suffix"), CASES)
SHAPES = [
    (1,), (7,), (16,), (17,), (129,), (40001,), (3, 4), (70, 10), (10, 70), (5, 1025), (1025, 5), (70000, 2), (2, 3, 4), (9, 8, 49),
    (4, 1, 6),
    (3, 20, 7), (2, 3, 4, 5), (5, 6, 1, 7, 3),
]  # fmt: skip


def coarse(*shape: int) -> np.ndarray:
    """Few different values, so that maxima tie; a NaN and both infinities where there is room."""
    x = np.random.default_rng(len(shape)).integers(-3, 4, shape).astype(float)
    if x.size > 30:
        x.reshape(-1)[[5, 11, 25]] = np.nan, np.inf, -np.inf
        x.reshape(-1)[29] = np.nan
    return x


def moved(x: np.ndarray, axis: tuple[int, ...]) -> np.ndarray:
    """The reduced axes last, as one."""
    kept = [k for k in range(x.ndim) if k not in axis]
    return x.transpose(*kept, *axis).reshape(*(x.shape[k] for k in kept), -1)


def subsets(ndim: int) -> list[tuple[int, ...]]:
    return [axes for k in range(ndim + 1) for axes in itertools.combinations(range(ndim), k)]


@each
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_positions(isa, suffix, shape):
    x = coarse(*shape)
    for axis in subsets(len(shape)):
        flat = moved(x, axis)
        with_index = Call(isa, "maximum", "reduce_max", suffix, (x,), axis=axis)
        alone = Call(isa, "maximum", "reduce_max", suffix, (x,), unread=(1,), axis=axis)
        assert with_index() == 0 and alone() == 0
        np.testing.assert_array_equal(with_index.outs[0], flat.max(-1))
        np.testing.assert_array_equal(with_index.outs[1], flat.argmax(-1))
        assert with_index.outs[0].tobytes() == alone.outs[0].tobytes()
        np.testing.assert_array_equal(run_op(isa, "maximum", "_max_index", suffix, x, axis=axis), flat.argmax(-1))
        if len(axis) == 1:
            found = run_op(isa, "maximum", "argmax", suffix, x, axis=axis[0])
            assert found.dtype == np.int64
            np.testing.assert_array_equal(found, x.argmax(axis[0]))


@each
def test_the_first_of_equal_maxima(isa, suffix):
    for n in (3, 20, 500, 100_000):
        x = np.zeros((n, 3))
        for axis, view in ((0, x), (1, x.T.copy())):
            np.testing.assert_array_equal(run_op(isa, "maximum", "argmax", suffix, view, axis=axis), [0, 0, 0])
        x[n // 2] = x[n - 1] = 1
        np.testing.assert_array_equal(run_op(isa, "maximum", "argmax", suffix, x, axis=0), [n // 2] * 3)
        np.testing.assert_array_equal(run_op(isa, "maximum", "argmax", suffix, x.T.copy(), axis=1), [n // 2] * 3)
        np.testing.assert_array_equal(run_op(isa, "maximum", "argmax", suffix, np.full((2, n), -np.inf)), [0, 0])


@each
def test_maxima_do_not_depend_on_the_thread_count(isa, suffix):
    before = threads.get_num_threads()
    try:
        for shape, axis in [((300_001,), 0), ((3001, 100), 0), ((3001, 100), 1), ((50, 16, 26, 26), (0, 2, 3))]:
            call = Call(isa, "maximum", "reduce_max", suffix, (coarse(*shape),), axis=axis)
            found = []
            for n in (1, 3):
                threads.set_num_threads(n)
                assert call() == 0
                found.append(call.outs[0].tobytes() + call.outs[1].tobytes())
            assert found[0] == found[1]
    finally:
        threads.set_num_threads(before)
