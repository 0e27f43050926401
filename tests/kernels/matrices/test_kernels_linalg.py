"""The kernels of factors and solves of every instruction set that there is, against NumPy: with factors that are known and without."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from kernel_calls import Call, run_op, usable_instruction_sets

from tlean._core import threads

SUFFIXES = {"f32": "float32", "f64": "float64"}
#: The statuses of kernel.h.
SINGULAR, INDEFINITE = 6, 7
each = pytest.mark.parametrize(("isa", "suffix"), list(itertools.product(usable_instruction_sets("linalg"), SUFFIXES)))


def matrices(suffix: str, count: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Random matrices, and positive definite ones."""
    x = np.random.default_rng(n).standard_normal((count, n, n))
    definite = x @ x.swapaxes(-1, -2) / n + np.eye(n)
    return x.astype(SUFFIXES[suffix]), definite.astype(SUFFIXES[suffix])


def near(found: np.ndarray, expected: np.ndarray, n: int, suffix: str) -> None:
    scale = max(float(np.abs(expected).max(initial=0)), 1.0)
    assert np.abs(found - expected).max(initial=0) <= 100 * n * np.finfo(SUFFIXES[suffix]).eps * scale


@each
@pytest.mark.parametrize("n", [1, 2, 5, 12, 13, 17, 32, 33, 75])
def test_factors_and_solves(isa, suffix, n):
    x, s = matrices(suffix, 19, n)
    b = np.random.default_rng(0).standard_normal((19, n, 5)).astype(x.dtype)
    wide = s.astype(np.float64)
    near(run_op(isa, "linalg", "_linalg_cholesky", suffix, s), np.linalg.cholesky(wide), n, suffix)
    factors = run_op(isa, "linalg", "_linalg_factors", suffix, x)
    packed = run_op(isa, "linalg", "_linalg_lu", suffix, x, None)
    rows = run_op(isa, "linalg", "_linalg_rows", suffix, x, None)
    low, up = np.tril(packed.astype(np.float64), -1) + np.eye(n), np.triu(packed.astype(np.float64))
    near(low @ up, np.take_along_axis(x, rows[..., None], -2), n, suffix)
    # Known factors are those that a kernel makes itself: the results have the same bits.
    for name in ("_linalg_lu", "_linalg_rows", "_linalg_det", "_linalg_sign", "_linalg_logabsdet"):
        assert run_op(isa, "linalg", name, suffix, x, factors).tobytes() == run_op(isa, "linalg", name, suffix, x, None).tobytes()
    for turned in (False, True):
        of_s = run_op(isa, "linalg", "_linalg_factors", suffix, s)
        y = run_op(isa, "linalg", "_linalg_solve", suffix, s, b, of_s, transpose=turned)
        assert y.tobytes() == run_op(isa, "linalg", "_linalg_solve", suffix, s, b, None, transpose=turned).tobytes()
        near(wide.swapaxes(-1, -2) @ y if turned else wide @ y, b, n, suffix)
        y = run_op(isa, "linalg", "_linalg_solve_triangular", suffix, s, b, lower=True, transpose=turned)
        t = np.tril(wide).swapaxes(-1, -2) if turned else np.tril(wide)
        near(t @ y, b, n, suffix)


@each
@pytest.mark.parametrize("n", [3, 40])
def test_a_matrix_that_is_refused_has_nan_and_the_others_have_not(isa, suffix, n):
    x, s = matrices(suffix, 9, n)
    s[8], x[4] = -s[8], 0
    b = np.ones((9, n, 1), x.dtype)
    calls = (
        (Call(isa, "linalg", "_linalg_cholesky", suffix, (s,)), INDEFINITE, 8),
        (Call(isa, "linalg", "_linalg_solve", suffix, (x, b, None)), SINGULAR, 4),
        (Call(isa, "linalg", "_linalg_solve_triangular", suffix, (x, b)), SINGULAR, 4),
    )
    for call, status, bad in calls:
        assert call() == status
        assert np.isnan(call.outs[0][bad]).all()
        assert np.isfinite(np.delete(call.outs[0], bad, axis=0)).all()


@pytest.fixture
def one_thread():
    # A worker may have kept the memory that the caller is refused.
    before = threads.get_num_threads()
    threads.set_num_threads(1)
    yield
    threads.set_num_threads(before)


@each
def test_no_memory_is_reported(isa, suffix, one_thread):
    for n in (20, 90):
        x, s = matrices(suffix, 2, n)
        for name, args in (("_linalg_cholesky", (s,)), ("_linalg_solve", (x, s, None)), ("_linalg_factors", (x,))):
            call = Call(isa, "linalg", name, suffix, args)
            try:
                threads.simulate_scratch_failure(1)
                assert call() == 2
            finally:
                threads.simulate_scratch_failure(0)
            assert call() == 0


@each
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_one_small_matrix_has_the_bits_that_it_has_among_many(isa, suffix, n):
    x, s = matrices(suffix, 19, n)
    b = np.random.default_rng(0).standard_normal((19, n, 3)).astype(x.dtype)
    s[4], x[4], x[5, 0] = -s[4], 0, x[5, -1]
    calls = [("_linalg_cholesky", {}, (s,)), *((f"_linalg_{part}", {}, (x, None)) for part in ("det", "sign", "logabsdet"))]
    calls += [("_linalg_solve", {"transpose": turned}, (x, b, None)) for turned in (False, True)]
    flags = itertools.product((False, True), repeat=3)
    calls += [("_linalg_solve_triangular", dict(zip(("lower", "transpose", "unit_diagonal"), f, strict=True)), (x, b)) for f in flags]
    for name, options, operands in calls:
        many = Call(isa, "linalg", name, suffix, operands, **options)
        many()
        for first, last in ((0, 1), (3, 4), (4, 6), (18, 19)):
            few = Call(isa, "linalg", name, suffix, tuple(o if o is None else o[first:last] for o in operands), **options)
            few()
            assert few.outs[0].tobytes() == many.outs[0][first:last].tobytes(), (name, options)
