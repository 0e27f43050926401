"""`x.at[key].set(v)` and its like against NumPy: values, gradients against finite differences, eagerly and compiled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_keys import drawn, good_keys

import tlean as tl
from tlean._core.array import as_tensor
from tlean.backends import Reference
from tlean.errors import DTypeError, IndexRangeError, ShapeError

RNG = np.random.default_rng(0)
BACKENDS = ("eager", "compiled")
METHODS = ("set", "add", "mul", "max", "min")


def updated(x, key, v, method):
    """The same in NumPy, one index after the other."""
    y = np.array(x)
    if method == "set":
        y[key] = v
    else:
        v = v.reshape(v.shape[max(v.ndim - y[key].ndim, 0) :])
        {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[method].at(y, key, v)
    return y


def check(shape, key, method, v_shape=None, step=1e-6):
    x = RNG.permutation(max(np.prod(shape, dtype=int), 1)).astype(float)[: np.prod(shape, dtype=int)].reshape(shape) / 7 + 0.3
    named = x[key].shape
    v = RNG.permutation(np.prod(named if v_shape is None else v_shape, dtype=int)).reshape(named if v_shape is None else v_shape) / 5 + 0.4
    expected = updated(x, key, v, method)
    g, tx, tv = (RNG.standard_normal(s) for s in (shape, x.shape, v.shape))
    slope = (updated(x + step * tx, key, v + step * tv, method) - updated(x - step * tx, key, v - step * tv, method)) / (2 * step)

    def program(ops, x, v):
        return getattr(x.at[key], method)(v)

    bits = set()
    for backend in BACKENDS:
        y, pull = tl.vjp(program, x, v, backend=backend)
        np.testing.assert_allclose(y, expected, rtol=1e-13)
        dx, dv = (np.asarray(d) for d in pull(g))
        np.testing.assert_allclose((dx * tx).sum() + (dv * tv).sum(), (g * slope).sum(), rtol=1e-6, atol=1e-6)
        _, tangent = tl.jvp(program, (x, v), (tx, tv), backend=backend)
        np.testing.assert_allclose(tangent, slope, rtol=1e-5, atol=1e-6)
        bits.add((np.asarray(y).tobytes(), dx.tobytes(), dv.tobytes()))
    assert len(bits) == 1
    reference = Reference()
    np.testing.assert_allclose(program(reference, reference.leaf(x), reference.leaf(v)).value, expected, rtol=1e-13)


@drawn(100)
@given(st.data(), st.sampled_from(METHODS))
def test_keys_of_constants(data, method):
    shape, key = data.draw(good_keys())
    check(shape, key, method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("shape", "key", "v_shape"),
    [
        ((4, 3), 1, ()),
        ((4, 3), (slice(None), [0, 2, 0]), (4, 1)),
        ((4, 3), (slice(None, None, -2), None), (3,)),
        ((4, 3), [1, 1, 1, 2], (1, 4, 3)),
        ((4, 3, 2), ([0, 0, 3], slice(1, 3), [1, 1, 0]), ()),
        ((5,), np.array([True, False, True, True, False]), (3,)),
        ((3, 4), ..., ()),
        ((), (), ()),
        ((), ..., (1, 1)),
    ],
)
def test_values_broadcast_and_indices_repeat(shape, key, v_shape, method):
    check(shape, key, method, v_shape)


@pytest.mark.parametrize("method", METHODS)
def test_references_as_indices(method):
    x, v, i = RNG.standard_normal((4, 3)), RNG.standard_normal((5, 3)), np.array([2, -1, 2, 0, 2])
    for key, value in [((i,), v), ((i, [0, 1, 2, 0, 0]), v[:, 0]), ((slice(None), i % 3), RNG.standard_normal((4, 5)))]:

        def program(ops, x, v, i, key=key):
            entries = tuple(i if e is key_index else e for e in key) if (key_index := first_array(key)) is not None else key
            return getattr(x.at[entries], method)(v)

        found = [np.asarray(tl.vjp(program, x, value, first_array(key), backend=b)[0]) for b in BACKENDS]
        np.testing.assert_allclose(found[0], updated(x, key, value, method), rtol=1e-13)
        np.testing.assert_array_equal(found[0], found[1])
        with pytest.raises(IndexRangeError):
            tl.jit(program)(x, value, first_array(key) + 9)


def first_array(key):
    return next((e for e in key if isinstance(e, np.ndarray)), None)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_last_value_that_is_set_has_the_gradient(backend):
    f = lambda ops, x, v: x.at[[1, 1, 0]].set(v)  # noqa: E731
    _, pull = tl.vjp(f, np.zeros(3), np.array([4.0, 5, 6]), backend=backend)
    dx, dv = pull(np.array([1.0, 2, 3]))
    np.testing.assert_array_equal(dx, [0, 0, 3])
    np.testing.assert_array_equal(dv, [0, 2, 1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_values_share_the_gradient_of_a_maximum(backend):
    f = lambda ops, x, v: x.at[[1, 1, 0]].max(v)  # noqa: E731
    _, pull = tl.vjp(f, np.array([1.0, 2, 3]), np.array([2.0, 2, 0]), backend=backend)
    dx, dv = pull(np.array([1.0, 3, 3]))
    np.testing.assert_allclose(dx, [1, 1, 3])
    np.testing.assert_allclose(dv, [1, 1, 0])


@pytest.mark.parametrize("method", ["mul", "max", "set"])
def test_second_derivatives(method):
    x, v = RNG.standard_normal(4), RNG.standard_normal(5)

    def f(ops, p):
        return ops.sum(getattr(p[:4].at[[0, 2, 0, 0, 3]], method)(p[4:]) ** 3)

    p = np.concatenate([x, v])
    hessian = np.asarray(tl.hessian(f)(p))
    gradient = tl.grad(f)
    differences = [(np.asarray(gradient(p + 1e-5 * e)) - np.asarray(gradient(p - 1e-5 * e))) / 2e-5 for e in np.eye(9)]
    np.testing.assert_allclose(hessian, differences, atol=1e-7)


def test_zeros_and_infinities_in_a_product_of_repeated_entries():
    x, v = np.array([2.0, -0.0]), np.array([0.0, 3, np.inf, -5])
    for backend in BACKENDS:
        y, pull = tl.vjp(lambda ops, x, v: x.at[[0, 0, 1, 1]].mul(v), x, np.where(np.isinf(v), 1.0, v), backend=backend)
        assert np.asarray(y).tobytes() == np.array([0.0, 0.0]).tobytes()
        np.testing.assert_allclose(np.asarray(pull(np.array([1.0, 1]))[1]), [6, 0, 0, -0.0])
        y = tl.vjp(lambda ops, x, v: x.at[[0, 0]].mul(v), x, np.array([np.inf, 1]), backend=backend)[0]
        np.testing.assert_array_equal(y, [np.inf, 0])


def test_a_mask_known_at_run_time():
    x = RNG.standard_normal((3, 4))
    flags = x > 0
    tape = tl.TapeM(dtype="float64")
    ref, mask = tape.leaf(x), tape.add_leaf(as_tensor(flags))
    rows = tape.add_leaf(as_tensor(flags[:, 0]))
    np.testing.assert_array_equal(ref.at[rows].add(np.arange(4.0)).numpy(), x + flags[:, :1] * np.arange(4.0))
    for method, v, expected in [("mul", 0, np.where(flags, 0, x)), ("set", 2.5, np.where(flags, 2.5, x)), ("add", 1, x + flags)]:
        y = getattr(ref.at[mask], method)(v)
        np.testing.assert_array_equal(y.numpy(), expected)
        np.testing.assert_array_equal(tl.jit(lambda ops, x, m, f=method, v=v: getattr(x.at[m], f)(v))(x, flags), expected)
    with pytest.raises(ShapeError, match="a mask known at run time only takes a value"):
        tl.jit(lambda ops, x, m: x.at[m].set(np.ones(5)))(x, flags)


def test_modes_and_mistakes():
    tape = tl.TapeM(dtype="float64")
    x = tape.leaf(np.arange(3.0))
    np.testing.assert_array_equal(x.at[[5, -9, 1]].set(7.0, mode="fill").numpy(), [0, 7, 2])
    np.testing.assert_array_equal(x.at[[5, -9]].add(7.0, mode="clip").numpy(), [7, 1, 9])
    np.testing.assert_array_equal(x.at[[5, 1]].get(mode="fill").numpy(), [0, 1])
    np.testing.assert_array_equal(x.at[[5, 1, 1]].mul(3.0, mode="fill").numpy(), [0, 9, 2])
    with pytest.raises(ShapeError, match=r"broadcast to the shape \(2,\)"):
        x.at[[0, 1]].set(np.ones(3))
    with pytest.raises(IndexRangeError):
        x.at[3].set(0)
    with pytest.raises(DTypeError, match=r"x\.at\[\.\.\.\]\.set"):
        x[0] = 1
