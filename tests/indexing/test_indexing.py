"""`x[key]` against NumPy: values, gradients and tangents, eagerly and compiled, with constants and with references in the key."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_keys import drawn, good_keys

import tlean as tl
from tlean._core.array import as_tensor
from tlean.backends import Reference
from tlean.errors import DTypeError, IndexRangeError, OptionError

RNG = np.random.default_rng(0)
BACKENDS = ("eager", "compiled")


def with_references(key, chosen):
    """The program `x[key]` that gets the chosen integer arrays of the key as arguments, and these."""
    entries = list(key) if isinstance(key, tuple) else [key]
    places = [k for k, e in enumerate(entries) if chosen(k) and is_integer_array(e)]

    def program(ops, x, *indices):
        parts = list(entries)
        for k, i in zip(places, indices, strict=True):
            parts[k] = i
        return x[tuple(parts) if isinstance(key, tuple) else parts[0]]

    return program, [np.asarray(entries[k], np.int64) for k in places]


def is_integer_array(entry):
    return isinstance(entry, np.ndarray | list) and np.asarray(entry).dtype.kind in "iu"


def check(shape, key, chosen=lambda k: False):
    x = RNG.standard_normal(shape)
    expected = x[key]
    g = RNG.standard_normal(expected.shape)
    dx = np.zeros(shape)
    np.add.at(dx, key, g)
    program, indices = with_references(key, chosen)
    bits = set()
    for backend in BACKENDS:
        y, pull = tl.vjp(program, x, *indices, backend=backend)
        np.testing.assert_array_equal(y, expected)
        assert y.shape == expected.shape
        cotangents = pull(g)
        found = np.asarray(cotangents[0] if isinstance(cotangents, tuple | list) else cotangents)
        np.testing.assert_allclose(found, dx, rtol=1e-12, atol=1e-12)
        bits.add(found.tobytes())
        t = RNG.standard_normal(shape)
        _, tangent = tl.jvp(program, (x, *indices), (t, *(None for _ in indices)), backend=backend)
        np.testing.assert_array_equal(tangent, t[key])
    assert len(bits) == 1
    np.testing.assert_array_equal(program(None, Reference().leaf(x), *indices).value, expected)


@drawn(150)
@given(st.data())
def test_keys_of_constants(data):
    shape, key = data.draw(good_keys())
    check(shape, key)


@drawn(150)
@given(st.data())
def test_keys_with_references(data):
    shape, key = data.draw(good_keys())
    which = data.draw(st.sets(st.integers(0, 5)))
    check(shape, key, lambda k: k in which)


@pytest.mark.parametrize("backend", BACKENDS)
def test_indices_out_of_range_are_refused_where_they_are_known_and_at_the_step_otherwise(backend):
    x = np.arange(12.0).reshape(3, 4)
    for key in (3, [0, -4], (slice(None), [4]), (np.array([0]), np.array([9]))):
        with pytest.raises(IndexRangeError, match=r"x\[\.\.\.\]: index -?\d is out of range on axis \d, got x: \(3, 4\)"):
            tl.vjp(lambda ops, x, key=key: x[key], x, backend=backend)
    for program in (lambda ops, x, i: x[i], lambda ops, x, i: x[:, i], lambda ops, x, i: x[i, i], lambda ops, x, i: x[[0], i]):
        tl.vjp(program, x, np.array([1]), backend=backend)
        with pytest.raises(IndexRangeError):
            tl.vjp(program, x, np.array([5]), backend=backend)
        with pytest.raises(IndexRangeError):
            tl.vjp(program, x, np.array([-5]), backend=backend)


def test_a_compiled_program_keeps_its_checks():
    take = tl.jit(lambda ops, x, i: x[i, :, 0])
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(take(x, np.array([-1, 0])), x[[-1, 0], :, 0])
    with pytest.raises(IndexRangeError):
        take(x, np.array([-1, 2]))
    np.testing.assert_array_equal(take(x, np.array([1, 1])), x[[1, 1], :, 0])


def test_second_derivatives_through_repeated_rows():
    x = RNG.standard_normal((4, 3))
    rows = np.array([0, 2, 2, -1])
    hessian = tl.hessian(lambda ops, x: ops.sum(x[rows] ** 3), backend="compiled")(x)
    expected = np.zeros((12, 12))
    expected[np.diag_indices(12)] = (6 * x * np.bincount(rows % 4, minlength=4)[:, None]).reshape(-1)
    np.testing.assert_allclose(np.asarray(hessian).reshape(12, 12), expected, rtol=1e-12)


def test_a_mask_that_is_known_is_an_index():
    x = RNG.standard_normal((3, 4))
    mask = x > 0
    for backend in BACKENDS:
        np.testing.assert_array_equal(tl.vjp(lambda ops, x: x[mask], x, backend=backend)[0], x[mask])
        np.testing.assert_array_equal(tl.vjp(lambda ops, x: x[:, mask[0]], x, backend=backend)[0], x[:, mask[0]])


def test_a_mask_known_at_run_time_is_read_eagerly_and_refused_compiled():
    x = RNG.standard_normal((3, 4))
    flags = x > 0
    tape = tl.TapeM(dtype="float64")
    ref, mask = tape.leaf(x), tape.add_leaf(as_tensor(flags))
    np.testing.assert_array_equal(ref[mask].numpy(), x[flags])
    with pytest.raises(DTypeError, match=r"where\(mask, a, b\) or x\.at\[mask\]\.set"):
        tl.jit(lambda ops, x, m: x[m])(x, flags)


def test_what_is_no_index_is_named():
    tape = tl.TapeM()
    x = tape.leaf(np.ones((2, 3)))
    with pytest.raises(DTypeError, match="a reference of float32"):
        x[x]
    with pytest.raises(DTypeError, match="dynamic_slice"):
        x[tape.argmax(x[0]) :]
    with pytest.raises(OptionError, match="a step other than 0"):
        x[::0]


def test_take_has_numpys_modes():
    x = RNG.standard_normal((3, 5))
    i = np.array([[0, 7], [-2, -9]])
    for axis in (None, 0, 1, -1):
        np.testing.assert_array_equal(tl.take(x, i, axis, mode="clip"), np.take(x, i, axis, mode="clip"))
    filled = tl.take(x, i, 1, mode="fill").numpy()
    np.testing.assert_array_equal(filled[:, 0, 1], 0)
    np.testing.assert_array_equal(filled[:, 1, 0], x[:, -2])
