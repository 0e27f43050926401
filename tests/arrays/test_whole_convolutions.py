"""Convolutions, layers and rectifiers of integers and Booleans: exact and of their dtype, on every path, in lanes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_keys import drawn as cases
from whole_numbers import DTYPES, bits, drawn, everywhere

import tlean as tl
from tlean.ops import get

NAMES = ("conv", "conv2d", "conv_transpose", "conv_transpose2d", "linear")
CALLS = [(name, k) for name in NAMES for k, s in enumerate(get(name).samples()) if not s.raises]
seeds = st.integers(0, 2**32 - 2)


def small(shape, dtype, seed):
    """Numbers of which float64 holds every sum; None for what is absent."""
    rng = np.random.default_rng(seed)
    return (
        None if shape is None else rng.integers(0, 2, shape).astype(bool) if dtype == "bool" else rng.integers(-9, 10, shape).astype(dtype)
    )


@cases(60)
@given(st.sampled_from(CALLS), st.sampled_from(DTYPES), st.sampled_from(DTYPES), seeds)
def test_layers_are_those_of_floats(call, first, second, seed):
    """Beside float64 on numbers that it holds; of Booleans "any" in place of sums."""
    name, k = call
    sample = get(name).samples()[k]
    w, b, x = (small(s, d, seed + j) for j, (s, d) in enumerate(zip(sample.args, (first, second, second), strict=True)))
    held = [a for a in (w, b, x) if a is not None]
    wanted = np.result_type(*held)
    exact = np.asarray(getattr(tl, name)(*(None if a is None else a.astype(float) for a in (w, b, x)), **sample.options))

    def program(ops, *arrays):
        given = iter(arrays)
        return getattr(ops, name)(*(None if a is None else next(given) for a in (w, b, x)), **sample.options)

    ours = everywhere(program, held)
    assert bits(ours) == bits(np.round(exact).astype(wanted))
    if exact.size:
        lanes = np.stack([x, x[::-1]])
        each = np.stack([np.asarray(getattr(tl, name)(w, b, a, **sample.options)) for a in lanes])
        assert bits(tl.vmap(lambda a: getattr(tl, name)(w, b, a, **sample.options))(lanes)) == bits(each)


@cases(40)
@given(
    st.sampled_from(["convolve", "correlate"]),
    st.sampled_from(["full", "same", "valid"]),
    st.sampled_from(DTYPES),
    st.sampled_from(DTYPES),
    seeds,
)
def test_series(name, mode, first, second, seed):
    """Modulo 2 to the power of the bits, as NumPy."""
    rng = np.random.default_rng(seed)
    a, v = drawn((int(rng.integers(1, 9)),), first, seed), drawn((int(rng.integers(1, 9)),), second, seed + 1)
    if name == "correlate" and len(a) < len(v):
        a, v = drawn(v.shape, first, seed), v
    expected = getattr(np, name)(a, v, mode)
    assert bits(everywhere(lambda ops, x, y: getattr(ops, name)(x, y, mode), [a, v])) == bits(expected)
    assert bits(tl.jit(lambda x, y: getattr(np, name)(x, y, mode))(a, v)) == bits(expected)


def test_no_float_holds_them():
    x, w = np.array([[2**53 + 1, 3, -(2**62)]]), np.array([[[1, 2]]])
    assert np.asarray(tl.conv(w, None, x)).tolist() == [[2**53 + 7, 3 - 2**63]]
    assert np.asarray(tl.linear(x, None, x[0])).tolist() == [((2**53 + 1) ** 2 + 9 + 2**124 + 2**63) % 2**64 - 2**63]
    assert tl.conv(w, None, x.astype(float)).dtype == "float64" and tl.conv(w.astype("f4"), None, x).dtype == "float32"


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_thread_or_three(dtype):
    before, results = tl.get_num_threads(), []
    w, b, x = drawn((8, 4, 3, 3), dtype, 1), drawn((8,), dtype, 2), drawn((5, 8, 30, 31), dtype, 3)
    try:
        for threads in (1, 3):
            tl.set_num_threads(threads)
            results.append(bits(tl.conv2d(w, b, x, stride=2, padding=1, groups=2)))
    finally:
        tl.set_num_threads(before)
    assert results[0] == results[1]
