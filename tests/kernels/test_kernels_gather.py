"""The kernels that take and add at positions, of every instruction set that this machine runs, against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from kernel_calls import Call, run_op, usable_instruction_sets

from tlean._core import threads
from tlean.errors import IndexRangeError

CASES = list(itertools.product(usable_instruction_sets("gather"), ("f32", "f64")))
each = pytest.mark.parametrize(("isa", "suffix"), CASES)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32).astype(np.float64)


def index(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@each
def test_single_positions(isa, suffix):
    v, m = normal(5), normal(5, 3)
    for i in range(5):
        for name in ("gather_scalar", "gather_scalar_nat"):
            assert run_op(isa, "gather", name, suffix, v, np.int64(i)) == v[i]
        for name in ("gather_row", "gather_row_ref"):
            np.testing.assert_array_equal(run_op(isa, "gather", name, suffix, m, np.int64(i)), m[i])
    for i in (-1, 5, 2**40, -(2**40)):
        assert run_op(isa, "gather", "gather_scalar_nat", suffix, v, np.int64(i)) == 0
        np.testing.assert_array_equal(run_op(isa, "gather", "gather_row_ref", suffix, m, np.int64(i)), np.zeros(3))


@each
@pytest.mark.parametrize("i", [-1, 5, 2**40])
def test_an_index_out_of_range_writes_nothing(isa, suffix, i):
    v, m = normal(5), normal(5, 3)
    for name, args in [
        ("gather_scalar", (v,)),
        ("gather_row", (m,)),
        ("scatter_add_vec", (v, normal())),
        ("scatter_add_row", (m, normal(3))),
    ]:
        with pytest.raises(IndexRangeError):
            run_op(isa, "gather", name, suffix, *args, np.int64(i))
        call = Call(isa, "gather", name, suffix, (*args, np.int64(i)))
        call()
        assert np.isnan(call.outs[0]).all()


@each
def test_many_positions(isa, suffix):
    v, m = normal(6), normal(6, 70)
    idx = index(0, 5, 5, -1, 2, 6, 2, 99)
    inside = ((idx >= 0) & (idx < 6)).astype(float)
    np.testing.assert_array_equal(run_op(isa, "gather", "gather_vec_nat", suffix, v, idx), v[idx % 6] * inside)
    np.testing.assert_array_equal(run_op(isa, "gather", "gather_rows_nat", suffix, m, idx), m[idx % 6] * inside[:, None])
    assert run_op(isa, "gather", "gather_rows_nat", suffix, m, index()).shape == (0, 70)


@each
def test_scatters_add_repeated_positions(isa, suffix):
    g, idx = normal(8, 70), index(0, 5, 5, -1, 2, 6, 2, 99)
    expected = np.zeros((6, 70))
    for k, i in enumerate(idx):
        if 0 <= i < 6:
            expected[i] += g[k]
    np.testing.assert_allclose(run_op(isa, "gather", "_scatter_rows", suffix, g, idx, shape=(6, 70)), expected, rtol=1e-6)
    np.testing.assert_allclose(run_op(isa, "gather", "_scatter_rows", suffix, g[:, 0], idx, shape=(6,)), expected[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(
        run_op(isa, "gather", "_scatter_rows", suffix, normal(), np.int64(2), shape=(4,)), np.eye(4)[2] * normal()
    )
    x, v = normal(6), normal()
    expected = x.copy()
    expected[3] += v
    np.testing.assert_allclose(run_op(isa, "gather", "scatter_add_vec", suffix, x, v, np.int64(3)), expected, rtol=1e-6)
    x, v = normal(6, 7), normal(7)
    expected = x.copy()
    expected[3] += v
    np.testing.assert_allclose(run_op(isa, "gather", "scatter_add_row", suffix, x, v, np.int64(3)), expected, rtol=1e-6)


@each
@pytest.mark.parametrize("n", [1, 2, 3, 8, 15, 16, 17, 32, 64, 70, 200])
def test_rows_of_every_length_in_blocks(isa, suffix, n):
    rng = np.random.default_rng(n)
    x, idx = rng.standard_normal((3, 7, n)).astype("f4").astype("f8"), rng.integers(-7, 7, 700)
    np.testing.assert_array_equal(run_op(isa, "gather", "take", suffix, x, idx, axis=1), x[:, idx])
    v = rng.standard_normal((3, 700, n)).astype("f4").astype("f8")
    for what, start, ufunc in (("max", x, np.maximum), ("min", x, np.minimum)):
        expected = start.copy()
        for j, i in enumerate(idx):
            expected[:, i] = ufunc(expected[:, i], v[:, j])
        np.testing.assert_array_equal(run_op(isa, "gather", "_scatter_into", suffix, x, v, idx, axis=1, what=what), expected)
    expected = x.copy()
    for j, i in enumerate(idx):
        expected[:, i] = v[:, j]
    np.testing.assert_array_equal(run_op(isa, "gather", "_set_rows", suffix, x, v, idx, axis=1), expected)
    total = np.zeros((3, 7, n), "f4" if suffix == "f32" else "f8")
    for j, i in enumerate(idx):
        total[:, i] += v[:, j].astype(total.dtype)
    np.testing.assert_array_equal(run_op(isa, "gather", "_scatter_rows", suffix, v, idx, shape=x.shape, axis=1, mode="raise"), total)


@each
@pytest.mark.parametrize("n", [16, 24])
def test_a_large_output_is_written_past_the_caches(isa, suffix, n):
    rng = np.random.default_rng(0)
    x, idx = rng.standard_normal((1000, n)).astype("f4").astype("f8"), rng.integers(-3, 1003, 280_000)
    y = run_op(isa, "gather", "take", suffix, x, idx, axis=0, mode="drop")
    np.testing.assert_array_equal(y, np.where(((idx >= 0) & (idx < 1000))[:, None], x[idx % 1000], 0))


@each
@pytest.mark.parametrize("kind", ["ascending", "in parts", "mostly", "any"])
def test_sums_of_many_positions_are_in_order(isa, suffix, kind):
    rng, count, rows = np.random.default_rng(1), 20_000, 7000
    v, idx = rng.standard_normal(count).astype("f4").astype("f8"), rng.integers(0, rows, count)
    if kind == "in parts":
        # A run of ascending positions ends where the next, which begins below, names the same rows again.
        idx = np.concatenate([np.sort(part) for part in np.array_split(idx, [8192, 8192 + 5000])])
    elif kind != "any":
        idx.sort()
    if kind == "mostly":
        idx[[9000, 9001]] = idx[[9001 + 600, 9000]]
        idx[15_000] -= rows
    total = np.zeros(rows, "f4" if suffix == "f32" else "f8")
    np.add.at(total, idx, v.astype(total.dtype))
    found = run_op(isa, "gather", "_scatter_rows", suffix, v, idx, shape=(rows,), mode="raise")
    np.testing.assert_array_equal(found, total)
    for wrong in (-rows - 1, rows, 2**62, -(2**63)):
        for place in (0, 8191, 8192, 19_999):
            idx_wrong = idx.copy()
            idx_wrong[place] = wrong
            with pytest.raises(IndexRangeError):
                run_op(isa, "gather", "_scatter_rows", suffix, v, idx_wrong, shape=(rows,), mode="raise")


@each
def test_modes(isa, suffix):
    x, idx = normal(5), index(4, -1, -5, 5, -6, 2**62, -(2**62), 0)
    resolved = {
        "clip": [4, 0, 0, 4, 0, 4, 0, 0],
        "fill": [4, 4, 0, None, None, None, None, 0],
        "drop": [4, None, None, None, None, None, None, 0],
    }
    for mode, rows in resolved.items():
        expected = [0 if r is None else x[r] for r in rows]
        np.testing.assert_array_equal(run_op(isa, "gather", "take", suffix, x, idx, axis=0, mode=mode), expected)
        v = np.arange(1.0, 9)
        total = np.zeros(5)
        for r, w in zip(rows, v, strict=True):
            if r is not None:
                total[r] += w
        np.testing.assert_array_equal(run_op(isa, "gather", "_scatter_rows", suffix, v, idx, shape=(5,), mode=mode), total)
    for mode, wrong in (("raise", -6), ("raise", 5), ("strict", -1)):
        with pytest.raises(IndexRangeError):
            run_op(isa, "gather", "take", suffix, x, index(*[0] * 600, wrong), axis=0, mode=mode)


@each
def test_scatters_do_not_depend_on_the_thread_count(isa, suffix):
    rng = np.random.default_rng(0)
    call = Call(isa, "gather", "_scatter_rows", suffix, (rng.standard_normal((3000, 64)), rng.integers(0, 900, 3000)), shape=(1000, 64))
    before = threads.get_num_threads()
    try:
        found = []
        for n in (1, 3):
            threads.set_num_threads(n)
            assert call() == 0
            found.append(call.outs[0].tobytes())
        assert found[0] == found[1]
    finally:
        threads.set_num_threads(before)


@each
@pytest.mark.parametrize("shape", [(7,), (3, 4), (4, 3, 5), (2, 3, 4, 5), (1, 4, 1)])
def test_one_element_per_slice(isa, suffix, shape):
    x = normal(*shape)
    for axis in [axes for k in range(len(shape) + 1) for axes in itertools.combinations(range(len(shape)), k)]:
        kept = [k for k in range(len(shape)) if k not in axis]
        flat = x.transpose(*kept, *axis).reshape(*(shape[k] for k in kept), -1)
        at = np.random.default_rng(1).integers(0, flat.shape[-1], flat.shape[:-1]).astype(np.int32)
        np.testing.assert_array_equal(
            run_op(isa, "gather", "_take_at", suffix, x, at, axis=axis), np.take_along_axis(flat, at[..., None].astype(int), -1)[..., 0]
        )
        g = normal(*at.shape) + 10
        expected = np.zeros_like(flat)
        np.put_along_axis(expected, at[..., None].astype(int), np.asarray(g)[..., None], -1)
        back = run_op(isa, "gather", "_place_at", suffix, g, at, shape=shape, axis=axis)
        np.testing.assert_array_equal(back.transpose(*kept, *axis).reshape(expected.shape), expected.astype(back.dtype))


@each
@pytest.mark.parametrize("segments", [1, 7, 300, 4000, 100_000])
@pytest.mark.parametrize("order", ["ascending", "drawn", "last one descends", "one out of range"])
def test_sums_of_segments_are_in_index_order(isa, suffix, segments, order):
    # Rows of one element, few and many to a segment: each sum has the bits of one addition after another.
    rng = np.random.default_rng(segments)
    ids = rng.integers(0, segments, 20_001)
    if order != "drawn":
        ids.sort()
    if order == "last one descends":
        ids[-1] = 0
    if order == "one out of range":
        ids[-1] = segments
    v = rng.standard_normal(ids.size).astype({"f32": np.float32, "f64": np.float64}[suffix])
    expected = np.zeros(segments, v.dtype)
    inside = ids < segments
    np.add.at(expected, ids[inside], v[inside])
    np.testing.assert_array_equal(run_op(isa, "gather", "_scatter_rows", suffix, v, ids, shape=(segments,)), expected)
    if order == "one out of range":
        with pytest.raises(IndexRangeError):
            run_op(isa, "gather", "_scatter_rows", suffix, v, ids, shape=(segments,), mode="strict")


@each
def test_sums_in_an_output_that_no_cache_holds(isa, suffix):
    rng = np.random.default_rng(0)
    rows = (16 << 20) // {"f32": 4, "f64": 8}[suffix]
    ids = rng.integers(0, rows, 3000)
    ids[1000:2000] = ids[:1000]
    v = rng.standard_normal(ids.size).astype({"f32": np.float32, "f64": np.float64}[suffix])
    expected = np.zeros(rows, v.dtype)
    np.add.at(expected, ids, v)
    np.testing.assert_array_equal(run_op(isa, "gather", "_scatter_rows", suffix, v, ids, shape=(rows,)), expected)


@each
@pytest.mark.parametrize("size", [50, 1 << 14, 1 << 40])
@pytest.mark.parametrize("which", ["previous", "next", "last", "first", "start"])
def test_indices_that_name_the_same_entry(isa, suffix, size, which):
    # Of few entries, a place for each; of many, a table by hashes, in which some of these lie in one place.
    i = np.random.default_rng(size % 97).integers(0, 40, 3000) * (size // 40)
    expected = np.full(i.size, -1)
    for j in range(i.size):
        same = np.flatnonzero(i == i[j])
        before, after = same[same < j], same[same > j]
        if which in ("previous", "next"):
            others = before[-1:] if which == "previous" else after[:1]
            expected[j] = others[0] if others.size else -1
        elif not (after if which == "last" else before).size:
            expected[j] = j if which == "start" else i[j]
    np.testing.assert_array_equal(run_op(isa, "gather", "_neighbours", suffix, i, size=size, which=which), expected)
