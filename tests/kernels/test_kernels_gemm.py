"""The matrix-product kernels of every instruction set that this machine runs, against NumPy in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from kernel_calls import FLOATS, run_op, usable_instruction_sets

from tlean._core import threads

ISAS = usable_instruction_sets("gemm")


def matmul(isa, suffix, a, b, transpose_a=False, transpose_b=False):
    return run_op(isa, "gemm", "matmul", suffix, a, b, transpose_a=transpose_a, transpose_b=transpose_b)


def operands(rng, m, n, k, transpose_a, transpose_b, lead=()):
    a = rng.standard_normal((*lead, k, m) if transpose_a else (*lead, m, k))
    b = rng.standard_normal((*lead, n, k) if transpose_b else (*lead, k, n))
    return a, b


def expected(a, b, transpose_a, transpose_b):
    return (np.swapaxes(a, -1, -2) if transpose_a else a) @ (np.swapaxes(b, -1, -2) if transpose_b else b)


def close(got, want, suffix, k):
    eps = np.finfo(FLOATS[suffix]).eps
    np.testing.assert_allclose(got, want, rtol=0, atol=8 * eps * max(k, 1) * 4)


SIZES = [1, 2, 3, 5, 8, 13, 14, 15, 16, 17, 31, 33, 47, 65, 97]


@pytest.mark.parametrize("suffix", FLOATS)
@pytest.mark.parametrize("isa", ISAS)
def test_matmul_of_every_layout_and_odd_sizes(isa, suffix):
    rng = np.random.default_rng(0)
    for _ in range(250):
        m, n, k = (int(rng.choice(SIZES)) for _ in range(3))
        ta, tb = bool(rng.integers(2)), bool(rng.integers(2))
        a, b = operands(rng, m, n, k, ta, tb)
        a, b = a.astype(FLOATS[suffix]), b.astype(FLOATS[suffix])
        close(matmul(isa, suffix, a, b, ta, tb), expected(a.astype(float), b.astype(float), ta, tb), suffix, k)


@pytest.mark.parametrize("suffix", FLOATS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("m", "n", "k"),
    [(300, 290, 700), (2100, 40, 30), (20, 4200, 9), (1, 700, 300), (1, 1100, 1030), (700, 1, 1030), (12, 300, 1000), (60, 130, 800)],
)
def test_matmul_over_several_blocks(isa, suffix, m, n, k):
    rng = np.random.default_rng(1)
    for ta, tb in itertools.product((False, True), repeat=2):
        a, b = operands(rng, m, n, k, ta, tb)
        a, b = a.astype(FLOATS[suffix]), b.astype(FLOATS[suffix])
        close(matmul(isa, suffix, a, b, ta, tb), expected(a.astype(float), b.astype(float), ta, tb), suffix, k)


@pytest.mark.parametrize("suffix", FLOATS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("lead", [(0,), (3,), (2, 3), (40,)])
def test_matmul_over_leading_axes(isa, suffix, lead):
    rng = np.random.default_rng(2)
    for m, n, k in [(3, 5, 4), (17, 33, 20), (1, 9, 30)]:
        for ta, tb in itertools.product((False, True), repeat=2):
            a, b = operands(rng, m, n, k, ta, tb, lead)
            a, b = a.astype(FLOATS[suffix]), b.astype(FLOATS[suffix])
            close(matmul(isa, suffix, a, b, ta, tb), expected(a.astype(float), b.astype(float), ta, tb), suffix, k)


@pytest.mark.parametrize("suffix", FLOATS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("m", "n", "k"), [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0), (1, 5, 0), (5, 1, 0)])
def test_sizes_of_zero(isa, suffix, m, n, k):
    got = matmul(isa, suffix, np.ones((m, k)), np.ones((k, n)))
    assert got.shape == (m, n)
    assert (got == 0).all()


@pytest.mark.parametrize("suffix", FLOATS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear(isa, suffix, with_bias):
    rng = np.random.default_rng(3)
    shapes = [
        (1, 256, 784),
        (32, 256, 784),
        (128, 10, 256),
        (5, 7, 3),
        (128, 70, 300),
        (9, 1, 40),
        (200, 1, 40),
        (1, 1, 1),
        (4, 6, 1),
        (3, 4, 0),
    ]
    for rows, n_out, n_in in shapes:
        w, b, x = (rng.standard_normal(s).astype(FLOATS[suffix]) for s in [(n_out, n_in), (n_out,), (rows, n_in)])
        got = run_op(isa, "gemm", "linear", suffix, w, b if with_bias else None, x)
        close(got, x.astype(float) @ w.T.astype(float) + (b if with_bias else 0), suffix, n_in)


@pytest.mark.parametrize("suffix", FLOATS)
@pytest.mark.parametrize("isa", ISAS)
def test_nothing_is_written_beyond_the_output_and_nans_propagate(isa, suffix):
    rng = np.random.default_rng(4)
    for m, n, k in [(3, 5, 7), (1, 17, 20), (20, 1, 33), (15, 31, 40), (4, 9, 1)]:
        for ta, tb in itertools.product((False, True), repeat=2):
            a, b = operands(rng, m, n, k, ta, tb)
            (a.T if ta else a)[m - 1, k - 1] = 0.0
            (b.T if tb else b)[k - 1, n - 1] = np.nan
            got = matmul(isa, suffix, a, b, ta, tb)
            assert np.isnan(got[:, n - 1]).all()
            assert not np.isnan(got[:, : n - 1]).any()
            (b.T if tb else b)[k - 1, n - 1] = np.inf
            assert np.isnan(matmul(isa, suffix, a, b, ta, tb)[m - 1, n - 1])


@pytest.mark.parametrize("suffix", FLOATS)
@pytest.mark.parametrize("isa", ISAS)
def test_results_do_not_depend_on_the_thread_count(isa, suffix):
    rng = np.random.default_rng(5)
    before = threads.get_num_threads()
    try:
        for lead, m, n, k in [
            ((), 300, 310, 300),
            ((), 1, 3000, 500),
            ((), 30, 900, 800),
            ((), 900, 40, 5),
            ((6,), 60, 61, 62),
            ((2,), 200, 90, 100),
        ]:
            for ta, tb in itertools.product((False, True), repeat=2):
                a, b = operands(rng, m, n, k, ta, tb, lead)
                results = []
                for count in (1, 2, 3):
                    threads.set_num_threads(count)
                    results.append(matmul(isa, suffix, a, b, ta, tb))
                assert (results[0] == results[1]).all()
                assert (results[0] == results[2]).all()
    finally:
        threads.set_num_threads(before)
