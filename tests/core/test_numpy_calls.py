"""NumPy's methods and functions of references: the same values as NumPy's, as ops of the program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tlean as tl

# `v` has as many elements as the last axis of `x`.
X = np.array([[[1.5, -2.0, 0.25], [4.0, 5.5, -6.0]]])
V = np.array([0.5, -1.0, 2.0])
METHODS: list[Callable[[Any, Any], Any]] = [
    lambda x, v: x.sum(),
    lambda x, v: x.sum(axis=0),
    lambda x, v: x.sum(-1, keepdims=True),
    lambda x, v: x.sum(axis=(0, 2)),
    lambda x, v: x.sum(axis=None, keepdims=True),
    lambda x, v: x.mean(1) + x.mean(axis=1),
    lambda x, v: x.max(),
    lambda x, v: x.max(2),
    lambda x, v: x.max(axis=(1, 2), keepdims=True),
    lambda x, v: x.min(),
    lambda x, v: x.min(axis=2),
    lambda x, v: x.std(),
    lambda x, v: x.std(axis=1, ddof=1),
    lambda x, v: x.var(axis=(1, 2), keepdims=True),
    lambda x, v: x.cumsum() - x.cumsum(axis=None),
    lambda x, v: x.cumsum(1),
    lambda x, v: x.reshape(3, 2),
    lambda x, v: x.reshape((2, -1)),
    lambda x, v: x.reshape(-1),
    lambda x, v: x.transpose(),
    lambda x, v: x.transpose(2, 0, 1),
    lambda x, v: x.transpose((1, 0, 2)),
    lambda x, v: x.T,
    lambda x, v: v.T,
    lambda x, v: x.mT,
    lambda x, v: x.swapaxes(0, -1),
    lambda x, v: x.squeeze(),
    lambda x, v: x.squeeze(0),
    lambda x, v: x.ravel(),
    lambda x, v: x.flatten(),
    lambda x, v: x.clip(-1, 2.5),
    lambda x, v: x.clip(max=0.5),
    lambda x, v: v.clip(v.copy() * 0.5, 1.0),
    lambda x, v: x @ v,
    lambda x, v: v @ x.mT,
    lambda x, v: v @ v,
    lambda x, v: x[0].dot(v),
    lambda x, v: x[0] @ x.mT,
    lambda x, v: x.astype("float64"),
]
FUNCTIONS: list[Callable[[Any, Any], Any]] = [
    *[lambda x, v, f=f: f(v) for f in (np.exp, np.expm1, np.sin, np.cos, np.tanh, np.square, np.sign, np.abs, np.negative, np.reciprocal)],
    *[lambda x, v, f=f: f(v * v) for f in (np.log, np.log1p, np.sqrt, np.positive)],
    *[lambda x, v, f=f: f(v, V[::-1]) + f(V, v) + f(2.5, v) for f in (np.add, np.subtract, np.multiply, np.divide)],
    *[lambda x, v, f=f: f(v, 0.75) + f(np.float32(0.75), v) + f(v, V[::-1]) for f in (np.maximum, np.minimum)],
    *[lambda x, v, f=f: f(x, axis=1) for f in (np.sum, np.mean, np.max, np.min, np.amax, np.std, np.var, np.cumsum)],
    lambda x, v: np.power(v, 2) + np.float64(3) * v - V,
    *[lambda x, v, f=f: f(v) for f in (np.floor, np.ceil, np.trunc, np.rint, np.round, np.fix, np.tan, np.sinh, np.cosh, np.exp2, np.cbrt)],
    *[lambda x, v, f=f: f(v / 4) for f in (np.arcsin, np.arccos, np.arctan, np.arcsinh, np.arctanh)],
    *[lambda x, v, f=f: f(v * v + 1) for f in (np.arccosh, np.log2, np.log10)],
    *[
        lambda x, v, f=f: f(v, V[::-1]) + f(V, v) + f(2.5, v) + f(v, 2)
        for f in (np.arctan2, np.hypot, np.logaddexp, np.fmod, np.remainder, np.floor_divide, np.copysign)
    ],
    lambda x, v: np.power(v * v, V) + np.power(V * V, v) + np.float_power(2, v) + 2**v + (v * v) ** v + (V * V) ** v,
    lambda x, v: v % 2 + 7 % v + v // 0.75 + 7 // v + V % v + v % V + divmod(v, V)[1],
    lambda x, v: x.round() + np.round(x * 1.23, 1) + x.round(-1) + np.round(x, decimals=2),
    lambda x, v: np.matmul(x, v) + x @ V,
    lambda x, v: (v > 0) * v + (v >= V) * v + (v * v > V) * v + (v != 2.0) * v + (v == V) * v + (v < 0.5) * v,
    lambda x, v: np.greater(v, 0) * v + np.less(V, v * v) * v + np.not_equal(v, V) * v,
    lambda x, v: np.ones((2, 3)) @ np.reshape(x, (3, 2)),
    lambda x, v: np.add.reduce(x) + np.maximum.reduce(x, axis=0),
    lambda x, v: np.add.accumulate(v),
    lambda x, v: np.concatenate([v, V, v]),
    lambda x, v: np.concatenate([x, x], axis=None),
    lambda x, v: np.concatenate((x, np.ones((1, 1, 3))), axis=1),
    lambda x, v: np.stack([v, V], axis=1),
    lambda x, v: np.vstack([x[0], v, V]),
    lambda x, v: np.hstack([v, V]),
    lambda x, v: np.hstack([x[0], np.ones((2, 1))]),
    lambda x, v: np.moveaxis(x, 2, 0),
    lambda x, v: np.moveaxis(x, (0, 1), (2, 0)),
    lambda x, v: np.transpose(x, (1, 0, 2)),
    lambda x, v: np.swapaxes(x, 0, 1),
    lambda x, v: np.expand_dims(v, (0, -1)),
    lambda x, v: np.squeeze(x, axis=0),
    lambda x, v: np.einsum("ij,j->i", x[0], v),
    lambda x, v: np.where(V > 0, v, 0.5),
    lambda x, v: np.dot(x[0], v),
    lambda x, v: np.inner(v, V) + np.vdot(x[0], X[0]),
    lambda x, v: np.outer(v, V),
    lambda x, v: np.diff(x) + np.diff(x, axis=-1),
    lambda x, v: np.pad(v, (1, 2), constant_values=7),
    lambda x, v: np.roll(v, 1) + np.roll(v, -5),
    lambda x, v: np.roll(x, 2, axis=2) + np.roll(x, 1),
    lambda x, v: np.split(x, [1, 2], axis=2)[1],
    lambda x, v: np.split(x, 3, axis=2)[2],
    lambda x, v: np.broadcast_to(v, (2, 3)),
    lambda x, v: np.linalg.norm(x) + np.linalg.norm(v),
    lambda x, v: np.linalg.norm(x, axis=2),
    lambda x, v: np.zeros_like(x) + np.ones_like(x) + np.full_like(x, 2.0),
    lambda x, v: np.atleast_2d(v),
    lambda x, v: np.clip(v, 0, 1) + np.ravel(v),
    lambda x, v: v * (np.shape(x)[2] + np.ndim(x) + np.size(x)),
]
CALLS = [*METHODS, *FUNCTIONS]
BACKENDS: dict[str, Callable[[Callable[[Any, Any], Any]], Any]] = {
    "tape": lambda f: f(*map(tl.TapeM(dtype="float64").leaf, (X, V))).value,
    "session": lambda f: f(*map(tl.Session(dtype="float64").input, (X, V))).value,
    "compiled session": lambda f: f(*map(tl.Session(dtype="float64", backend="compiled").input, (X, V))).value,
    "jit": lambda f: tl.jit(lambda ops, x, v: f(x, v))(X, V),
    "dual": lambda f: tl.jvp(lambda ops, x, v: f(x, v), (X, V), (X, V))[0],
    "reference": lambda f: f(*map(tl.backends.Reference("float64").leaf, (X, V))).value,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
def test_values(call: Callable[[Any, Any], Any], backend: str) -> None:
    result, expected = BACKENDS[backend](call), call(X, V)
    assert result.shape == np.shape(expected) and result.dtype == "float64"
    np.testing.assert_allclose(np.asarray(result), expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_index_of_an_extreme(axis: int | None) -> None:
    x = tl.TapeM().leaf(X[0])
    assert x.argmax(axis).numpy().tolist() == X[0].argmax(axis).tolist() == np.argmax(x, axis).numpy().tolist()
    assert x.argmin(axis=axis).numpy().tolist() == X[0].argmin(axis).tolist() == np.argmin(x, axis=axis).numpy().tolist()


def test_a_second_array_is_no_axis() -> None:
    v = tl.TapeM().leaf(V)
    assert v.max(np.array([1.0, 1.0, 1.0])).tolist() == v.max(1.0).tolist() == [1, 1, 2] and v.min(v).tolist() == V.tolist()
    assert float(v.max(0)) == float(v.max((0,))) == float(v.max(None)) == 2 and float(v.max(np.int64(0))) == 2


def test_the_gradient_is_recorded() -> None:
    x = np.array([0.3, 0.7])
    g = tl.grad(lambda ops, x: np.sum(np.exp(np.float64(2) * x) - np.ones(2)))(x)
    np.testing.assert_allclose(g.numpy(), 2 * np.exp(2 * x), rtol=1e-12)


@pytest.mark.parametrize("axis", [True, 1.0, "0", [[0]]])
def test_an_axis_is_an_int(axis: Any) -> None:
    with pytest.raises((tl.OptionError, tl.DTypeError)):
        tl.TapeM().leaf(X).sum(axis=axis)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: np.i0(x), "x.numpy"),
        (lambda x: np.add(x, 1, out=np.zeros(3)), "a = a [+] x"),
        (lambda x: np.exp(x, where=np.ones(3, bool)), "where must be left"),
        (lambda x: x.var(dtype=np.float64), "dtype must be left"),
        (lambda x: x.reshape(3, 1, order="B"), "order must be left"),
        (lambda x: pow(x, 2, 3), "modulus"),
    ],
)
def test_what_no_op_is(call: Callable[[Any], Any], text: str) -> None:
    m = tl.TapeM()
    x = m.leaf(V)
    with pytest.raises((tl.DTypeError, tl.OptionError), match=text):
        call(x)
    with pytest.raises((tl.DTypeError, tl.OptionError)):
        tl.jit(lambda ops, x: call(x))(V)
    assert len(m.tape) == 1


def test_an_array_is_not_updated_by_a_reference() -> None:
    total = np.zeros(3)
    with pytest.raises(tl.OptionError, match=r"a = a \+ x"):
        total += tl.TapeM().leaf(V)
    assert total.tolist() == [0, 0, 0]


def test_questions_are_answered_from_values() -> None:
    x = tl.TapeM().leaf([1.0, np.inf])
    assert np.isfinite(x).tolist() == [True, False] and np.allclose(x, [1.0, np.inf]) and np.array_equal(x, x)
    with pytest.raises(tl.NodeError, match="recorded"):
        tl.jit(lambda ops, x: ops.scale(x, float(np.allclose(x, x))))([1.0])


def test_methods_are_listed() -> None:
    names = dir(tl.TapeM().leaf(V))
    assert {"relu", "sum", "std", "transpose", "T", "id", "shape"} <= set(names)
    with pytest.raises(AttributeError, match="NumPy's method"):
        tl.TapeM().leaf(V).partition(1)


def test_an_array_of_numpys_first_and_a_reference_after_it() -> None:
    x, i, m = np.arange(12.0).reshape(3, 4), np.array([2, 0]), tl.TapeM(dtype="float64")
    ref = m.leaf(np.array([1.0, 5.0, 11.0]))
    inner, condition, places = m.leaf(x[0]), m.add_leaf(tl.AnyTensor(x > 5)), m.add_leaf(tl.AnyTensor(i))
    for result, expected in [
        (np.clip(x, inner, inner + 5), np.clip(x, x[0], x[0] + 5)),
        (np.clip(tl.AnyTensor(x), inner, 9.0), np.clip(x, x[0], 9.0)),
        (np.sum(x, where=condition), np.sum(x, where=x > 5)),
        (np.interp(x, [0.0, 5.0, 11.0], ref), np.interp(x, [0.0, 5.0, 11.0], ref.numpy())),
        (np.average(x, axis=0, weights=ref), np.average(x, axis=0, weights=ref.numpy())),
        (np.delete(x, places, axis=1), np.delete(x, i, axis=1)),
        (np.insert(m.leaf(x), places, 9.0, axis=1), np.insert(x, i, 9.0, axis=1)),
    ]:
        np.testing.assert_allclose(np.asarray(result), expected, rtol=1e-14)
    for call in (lambda r, k: np.delete(r, k), lambda r, k: np.digitize(r, r), lambda r, k: np.insert(r, k, 1.0)):
        with pytest.raises(tl.TleanError):
            tl.jit(call)(x[0], i)
    with pytest.raises(tl.OptionError, match="options must be left out"):
        np.linalg.qr(m.leaf(x), mode="r")
    with pytest.raises(tl.OptionError, match="full_matrices"):
        np.linalg.svd(m.leaf(x))
    with pytest.raises(TypeError, match="where"):
        np.copyto(inner, ref)
