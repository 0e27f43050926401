"""Gradients by rows, and steps by them, of every instruction set that this machine runs, against a scatter and a step of the whole."""

from __future__ import annotations

import ctypes
import importlib

import numpy as np
import pytest
from kernel_calls import FLOATS, KERNEL, usable_instruction_sets

from tlean.ops.rows.take import MODES

OUT_OF_RANGE = 1


def run(isa: str, module: str, name: str, outs: list[np.ndarray], ins: list[np.ndarray], ints: tuple[int, ...]) -> int:
    kernel = KERNEL(importlib.import_module(f"tlean._core.isa_{isa}.{module}").KERNELS[name])
    out = (ctypes.c_void_p * len(outs))(*[a.ctypes.data for a in outs])
    inp = (ctypes.c_void_p * len(ins))(*[a.ctypes.data for a in ins])
    return kernel(out, inp, (ctypes.c_int64 * len(ints))(*ints), None, 0)


def summed(isa: str, suffix: str, v: np.ndarray, i: np.ndarray, rows: int, mode: str) -> tuple[int, np.ndarray, np.ndarray]:
    sums, numbers = np.full(v.shape, np.nan, FLOATS[suffix]), np.full(len(i), -7, np.int64)
    status = run(isa, "gather", f"_summed_rows:{suffix}", [sums, numbers], [v, i], (rows, v.shape[1], len(i), MODES[mode], 1, 0))
    return status, sums, numbers


each = pytest.mark.parametrize(("isa", "suffix"), [(isa, s) for isa in usable_instruction_sets("gather") for s in FLOATS])


@each
@pytest.mark.parametrize("count", [0, 1, 2, 32, 33, 1000, 5000])
@pytest.mark.parametrize("rows", [1, 5, 3000, 1 << 23, 1 << 45])
def test_sums_are_those_of_a_scatter(isa, suffix, count, rows):
    rng = np.random.default_rng(count)
    i = rng.integers(0, rows, count)
    i[count // 2 :] = i[: count - count // 2][::-1]
    v = rng.standard_normal((count, 3)).astype(FLOATS[suffix])
    v[::5] = -0.0
    status, sums, numbers = summed(isa, suffix, v, i, rows, "strict")
    assert status == 0
    named, place = np.unique(i, return_inverse=True)
    expected = np.zeros((len(named), 3), v.dtype)
    np.add.at(expected, place, v)
    assert sums[: len(named)].tobytes() == expected.tobytes()
    np.testing.assert_array_equal(numbers, [*named, *[-1] * (count - len(named))])
    assert sums[len(named) :].tobytes() == bytes(sums[len(named) :].nbytes)


@each
@pytest.mark.parametrize("mode", MODES)
def test_indices_out_of_range(isa, suffix, mode):
    i, v = np.array([3, -1, 7, -9, 3]), np.arange(10.0).reshape(5, 2).astype(FLOATS[suffix])
    status, sums, numbers = summed(isa, suffix, v, i, 5, mode)
    if mode in ("strict", "raise"):
        assert status == OUT_OF_RANGE
        return
    rows = {"drop": [3], "clip": [0, 3, 4], "fill": [3, 4]}[mode]
    totals = {"drop": [v[0] + v[4]], "clip": [v[1] + v[3], v[0] + v[4], v[2]], "fill": [v[0] + v[4], v[1]]}[mode]
    np.testing.assert_array_equal(numbers, [*rows, *[-1] * (5 - len(rows))])
    np.testing.assert_array_equal(sums, [*totals, *[[0, 0]] * (5 - len(rows))])


@each
@pytest.mark.parametrize(
    ("first", "second"), [((), ()), ((1, 4), ()), ((), (0,)), ((0, 2, 9), (2, 3, 9)), ((5,), (1, 2, 3)), ((7, 8), (7, 8))]
)
def test_two_gradients_are_added_up(isa, suffix, first, second):
    rng = np.random.default_rng(1)
    parts, expected = [], {}
    for rows, spare in ((first, 2), (second, 0)):
        sums = np.zeros((len(rows) + spare, 3), FLOATS[suffix])
        sums[: len(rows)] = rng.standard_normal((len(rows), 3))
        parts += [sums, np.array([*rows, *[-1] * spare], np.int64)]
        for k, row in enumerate(rows):
            expected[row] = expected[row] + sums[k] if row in expected else sums[k]
    count = len(parts[1]) + len(parts[3])
    sums, numbers = np.full((count, 3), np.nan, FLOATS[suffix]), np.full(count, -7)
    assert run(isa, "gather", f"_merged_rows:{suffix}", [sums, numbers], parts, (len(parts[1]), len(parts[3]), 3)) == 0
    np.testing.assert_array_equal(numbers, [*sorted(expected), *[-1] * (count - len(expected))])
    np.testing.assert_array_equal(sums, [*(expected[r] for r in sorted(expected)), *[[0] * 3] * (count - len(expected))])


@each
@pytest.mark.parametrize("length", [1, 3, 16, 2500, 20_000])
@pytest.mark.parametrize(
    "hyper", [(0.1, 1.0, 0.0), (0.1, 1.0, 0.01), (0.1, -1.0, 0.0), (-0.1, 1.0, 0.0), (1e39, 1.0, 0.0), (0.0, 1.0, 0.0)]
)
@pytest.mark.parametrize("in_place", [True, False])
def test_steps_are_those_of_the_whole_gradient(isa, suffix, length, hyper, in_place):
    rng = np.random.default_rng(length)
    rows = 400 if length < 2000 else 9
    numbers = np.array([0, 2, 3, rows - 1, -1, -1])
    p = rng.standard_normal((rows, length)).astype(FLOATS[suffix])
    p[1, ::2], p[4, 0] = -0.0, np.inf
    sums = rng.standard_normal((6, length)).astype(FLOATS[suffix])
    whole = np.zeros_like(p)
    whole[numbers[:4]] = sums[:4]
    h, expected = np.array(hyper), np.empty_like(p)
    assert run(isa, "optim", f"_sgd_step:{suffix}", [expected], [p, whole, h], (p.size,)) == 0
    found = p if in_place else np.full_like(p, 9)
    assert run(isa, "optim", f"_sgd_rows:{suffix}", [found], [p, sums, numbers, h], (rows, length, 6)) == 0
    np.testing.assert_array_equal(found, expected)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[known]), np.signbit(expected[known]))
