"""What reads, sets and combines rows of integers and Booleans, against NumPy's `ufunc.at`: exact, of their dtype, on every path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_keys import drawn as cases
from index_keys import good_keys
from whole_numbers import DTYPES, bits, drawn, everywhere

import tlean as tl

AT = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
seeds = st.integers(0, 2**32 - 2)


def updated(x, key, v, how):
    """The same in NumPy, in the dtype of both."""
    y = x.astype(np.result_type(x, v))
    with np.errstate(all="ignore"):
        y.__setitem__(key, v) if how == "set" else AT[how].at(y, key, v.astype(y.dtype))
    return y


def in_lanes(f, *arrays):
    """`vmap` of a program and a loop over it have the same bits."""
    lanes = [np.stack([a, a[..., ::-1] if a.ndim else a]) for a in arrays]
    each = [np.asarray(f(*(tl.AnyTensor(a[k]) for a in lanes))) for k in range(2)]
    assert bits(tl.vmap(f)(*lanes)) == bits(np.stack(each))


@cases(30)
@given(good_keys(), st.sampled_from(["set", *AT]), st.sampled_from(DTYPES), st.sampled_from(DTYPES), seeds)
def test_updates_of_keys(drawn_key, how, first, second, seed):
    shape, key = drawn_key
    x = drawn(shape, first, seed)
    v = drawn(x[key].shape, second, seed + 1)

    def program(ops, a, b):
        return getattr(a.at[key], how)(b)

    expected = updated(x, key, v, how)
    assert bits(everywhere(program, [x, v])) == bits(expected)
    if first == second:
        assert bits(getattr(tl.AnyTensor(x).at[key], how)(v)) == bits(expected)
        in_lanes(lambda a, b: getattr(a.at[key], how)(b), x, v)


@cases(25)
@given(st.integers(0, 12), st.integers(1, 5), st.sampled_from([(), (3,), (2, 2)]), st.sampled_from(DTYPES), st.data(), seeds)
def test_segments_and_scatters(n, count, rest, dtype, data, seed):
    x = drawn((n, *rest), dtype, seed)
    ids = np.array(data.draw(st.lists(st.integers(-1, count), min_size=n, max_size=n)), np.int64)
    kept = (ids >= 0) & (ids < count)
    total, most, least = (np.zeros((count, *rest), d) for d in (np.int64, dtype, dtype))
    most[...], least[...] = (False, True) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    with np.errstate(all="ignore"):
        np.add.at(total, ids[kept], x[kept])
        np.maximum.at(most, ids[kept], x[kept])
        np.minimum.at(least, ids[kept], x[kept])
    expected = {"segment_sum": total, "segment_max": most, "segment_min": least}
    for name, y in expected.items():
        assert bits(everywhere(lambda ops, a, i, name=name: getattr(ops, name)(a, i, count, "drop"), [x, ids])) == bits(y)
        in_lanes(lambda a, i, name=name: getattr(tl, name)(a, i, count, "drop"), x, ids)
    scattered = everywhere(lambda ops, a, i: ops.scatter_nd(a, ops.reshape(i, (n, 1)), (count, *rest), "drop"), [x, ids])
    assert bits(scattered) == bits(total)
    sizes = np.bincount(ids[kept], minlength=count).reshape(-1, *[1] * len(rest))
    mean = tl.segment_mean(x, ids, count, "drop")
    assert mean.dtype == "float32"
    np.testing.assert_allclose(mean, total / np.maximum(sizes, 1), rtol=1e-6)


@cases(25)
@given(st.sampled_from(["set", "add", "max", "min"]), st.sampled_from(DTYPES), st.sampled_from(DTYPES), st.integers(0, 2), seeds)
def test_put_along_axis(how, first, second, axis, seed):
    x = drawn((3, 4, 2), first, seed)
    at = np.random.default_rng(seed).integers(-x.shape[axis], x.shape[axis], [5 if k == axis else d for k, d in enumerate(x.shape)])
    v = drawn(at.shape, second, seed + 1)
    key = tuple(at if k == axis else g for k, g in enumerate(np.ogrid[tuple(map(slice, at.shape))]))
    ours = everywhere(lambda ops, a, b: ops.put_along_axis(a, at, b, axis, how), [x, v])
    assert bits(ours) == bits(updated(x, key, v, how))


def test_numbers_are_weak():
    """A Python integer takes the dtype of x, is an int64 beside Booleans, and a float makes floats."""
    for dtype, number, wanted in [
        ("int32", 3, "int32"), ("int64", -1, "int64"), ("bool", True, "bool"), ("bool", 2, "int64"), ("int64", 0.5, "float32"),
    ]:  # fmt: skip
        x = np.array([1, 0, 1], dtype)
        expected = updated(x, [0, 0], np.array([number] * 2).astype(wanted), "add").astype(wanted)
        for call in (lambda a, c=number: a.at[[0, 0]].add(c), lambda a, c=number: tl.put_along_axis(a, np.array([0, 0]), c, 0, "add")):
            assert bits(tl.jit(call)(x)) == bits(call(tl.AnyTensor(x))) == bits(expected)
    n = tl.AnyTensor(np.array([1, 2], "int32"))
    assert n.at[0].set(2**31 - 1).tolist() == [2**31 - 1, 2] and n.at[[0]].set(-(2**31)).tolist() == [-(2**31), 2]
    with pytest.raises(tl.DTypeError, match="fit int32"):
        n.at[[0, 0]].add(2**31)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_many_threads_share(dtype):
    """Blocks of indices, parts of a large result, and one thread or three."""
    before, rng = tl.get_num_threads(), np.random.default_rng(5)
    x, v, at = drawn((3000, 40), dtype, 1), drawn((5000, 40), dtype, 2), rng.integers(0, 3000, 5000)
    flat, ones, ids = drawn((20000,), dtype, 3), drawn((9000,), dtype, 4), np.sort(rng.integers(0, 20000, 9000))
    try:
        for threads in (1, 3):
            tl.set_num_threads(threads)
            for how in ("add", "max", "min", "mul"):
                assert bits(getattr(tl.AnyTensor(x).at[at], how)(v)) == bits(updated(x, at, v, how))
                assert bits(getattr(tl.AnyTensor(flat).at[ids], how)(ones)) == bits(updated(flat, ids, ones, how))
    finally:
        tl.set_num_threads(before)
