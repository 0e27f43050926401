"""Results are arrays: the operators and methods of an AnyTensor, which are those of a reference, with a program's bits and no tape."""

from __future__ import annotations

import math
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import typed_program

import tlean as tl

X = np.array([[0.3, -1.7, 2.9], [4.1, 0.7, -0.2]], "float32")
V = np.array([0.3, 1.7, 2.9], "float32")
CALLS: list[Callable[[Any, Any], Any]] = [
    lambda x, v: x + x,
    lambda x, v: x - 0.1 * x,
    lambda x, v: 1 / v,
    lambda x, v: 3 - v,
    lambda x, v: v / 3,
    lambda x, v: -x,
    lambda x, v: abs(x),
    lambda x, v: v**3,
    lambda x, v: x @ v,
    lambda x, v: v @ v,
    lambda x, v: x.T,
    lambda x, v: x.sum(axis=0),
    lambda x, v: x.mean(),
    lambda x, v: x.std(axis=1, keepdims=True),
    lambda x, v: x.max(1),
    lambda x, v: x.reshape(3, 2),
    lambda x, v: x.clip(0, 1),
    lambda x, v: x.argmax(),
    lambda x, v: np.exp(x),
    lambda x, v: np.log1p(v),
    lambda x, v: np.sum(x, axis=(0, 1)),
    lambda x, v: np.concatenate([v, v]),
    lambda x, v: np.where(np.array([1.0, 0.0, 1.0]), v, 2.0),
    lambda x, v: np.maximum(x, 0.25) if not isinstance(x, tl.TensorRef) else x.max(0.25),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
def test_bits_of_a_program(call: Callable[[Any, Any], Any], dtype: str) -> None:
    m = tl.TapeM(dtype=dtype)
    x, v = (a.astype(dtype) for a in (X, V))
    result = call(tl.AnyTensor(x), tl.AnyTensor(v))
    expected = call(m.leaf(x), m.leaf(v)).value
    assert type(result) is tl.AnyTensor and result.dtype == expected.dtype and result.shape == expected.shape
    assert result.numpy().tobytes() == expected.numpy().tobytes()
    compiled = tl.jit(lambda ops, x, v: call(x, v))(x, v)
    assert result.numpy().tobytes() == compiled.numpy().tobytes()


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv])
def test_arrays_of_numpy_beside(op: Callable[[Any, Any], Any]) -> None:
    t = tl.AnyTensor(V)
    for a, b in ((t, V), (V, t), (t, V.tolist()), (t, V.astype("float64")), (V.astype("float64"), t)):
        result = op(a, b)
        wide = any(getattr(x, "dtype", None) == "float64" for x in (a, b))
        assert type(result) is tl.AnyTensor and result.dtype == ("float64" if wide else "float32")
        np.testing.assert_allclose(result.numpy(), op(V, V), rtol=1e-6)


def test_numbers_of_numpy_are_weak() -> None:
    t = tl.AnyTensor(V)
    for c in (np.float64(2), np.float32(2), np.int64(2), 2, 2.0):
        assert (t * c).dtype == (c * t).dtype == "float32" and (c * t).tolist() == (V * 2).tolist()


def test_integers_stay_integers() -> None:
    i, b = tl.AnyTensor([3, 1, 2]), tl.AnyTensor([True, False, True])
    for result, expected in (
        (i + 1, [4, 2, 3]),
        (2 - i, [-1, 1, 0]),
        (i * i, [9, 1, 4]),
        (i // 2, [1, 0, 1]),
        (i % 2, [1, 1, 0]),
        (np.add(i, 1), [4, 2, 3]),
        (i.reshape(3, 1).T, [[3, 1, 2]]),
        (np.concatenate([i, i]), [3, 1, 2, 3, 1, 2]),
        (i.sum(), 6),
        (b.sum(), 2),
    ):
        assert type(result) is tl.AnyTensor and (result.dtype, result.tolist()) == ("int64", expected)
    big = tl.AnyTensor([2**53 + 1])
    assert (big + 1).tolist() == [2**53 + 2] and (~b).tolist() == [False, True, False] and (b & b).dtype == "bool"
    for result, expected in ((i / 2, [1.5, 0.5, 1.0]), (i + 0.5, [3.5, 1.5, 2.5]), (i * tl.AnyTensor(V) / V, [3, 1, 2]), (i.mean(), 2.0)):
        assert result.dtype == "float32"
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-6)


def test_beside_a_reference_it_is_a_constant() -> None:
    m = tl.TapeM()
    x, t = m.leaf(V), tl.AnyTensor(V)
    for y in (x - 0.1 * t, t * x, np.multiply(t, x), np.add(x, t), t.mul(x)):
        assert isinstance(y, tl.TensorRef)
    assert m.backward_scalar((t * x).sum())[x].tolist() == V.tolist()


@pytest.mark.parametrize("x", [V.astype("float64"), tl.AnyTensor(V.astype("float64"))], ids=["NumPy", "array"])
def test_a_step_of_descent(x: Any) -> None:
    after = x - 0.1 * tl.grad(lambda ops, x: ops.sum(ops.square(x)))(x)
    assert type(after) is tl.AnyTensor and after.dtype == "float64"
    np.testing.assert_allclose(after.numpy(), 0.8 * np.asarray(x), rtol=1e-14)


def test_a_typed_program() -> None:
    assert typed_program.step().shape == (2,)
    assert float(tl.jit(typed_program.loss)(X, X)) == pytest.approx(float(((0.5 * X) ** 2 / 2 + abs(X)).sum() + (X @ X.T).sum()), rel=1e-5)


def test_conversions() -> None:
    t = tl.AnyTensor(2.5)
    assert (float(t), int(t), complex(t), round(t), math.floor(t), math.trunc(t)) == (2.5, 2, 2.5 + 0j, 2, 2, 2)
    assert f"{t:.2f} {t}" == "2.50 2.5" and math.sin(t) == math.sin(2.5)
    assert [10, 20][tl.AnyTensor(1)] == 20
    for wrong in (t, tl.AnyTensor([1]), tl.AnyTensor(True)):
        with pytest.raises(tl.DTypeError, match="index must be an integer"):
            operator.index(wrong)
    with pytest.raises(tl.ShapeError):
        float(tl.AnyTensor(V))


def test_what_arrays_of_numpy_do() -> None:
    t = tl.AnyTensor(X)
    assert 4.1 in tl.AnyTensor([4.1]) and 9 not in t and [float(r.sum()) for r in t] == [float(r.sum()) for r in X]
    assert (t > 0).tolist() == (X > 0).tolist() and (t == X).all() and not (t != t).any() and (t > 0).sum() == 4
    assert bool(t.all()) and t.prod() == X.prod() and t.astype("float64").dtype == "float64" and t.astype("float32") is t
    assert pickle.loads(pickle.dumps(t)).tolist() == memoryview(t).tolist() == np.from_dlpack(t).tolist() == X.tolist()
    copy = np.copy(t)
    copy += t
    assert copy.tolist() == (2 * X).tolist() and t.tolist() == X.tolist()
    assert {"sum", "relu", "T", "numpy"} <= set(dir(t))


def test_entries_are_arrays() -> None:
    t, i = tl.AnyTensor(X), tl.AnyTensor([2, 0])
    for key in (0, -1, (1, 2), slice(1, None), (..., None), (slice(None), [2, 0]), (slice(None), i), X > 0, t > 0, np.int64(1), (0, i[1])):
        part = t[key]
        of_numpy = tuple(np.asarray(k) if isinstance(k, tl.AnyTensor) else k for k in key) if isinstance(key, tuple) else key
        expected = np.asarray(X[np.asarray(of_numpy) if isinstance(of_numpy, tl.AnyTensor) else of_numpy])
        assert type(part) is tl.AnyTensor and (part.dtype, part.shape) == (expected.dtype, expected.shape)
        assert part.tolist() == expected.tolist()
    for dtype in ("float32", "float64", "int64", "int32", "bool"):
        v = tl.AnyTensor(np.array([3, 0, 1], dtype))
        assert [type(e) for e in v] == [tl.AnyTensor] * 3 and v[0].dtype == dtype and v[0].item() == np.array(3, dtype).item()
        assert [float(e) for e in v] == np.array([3, 0, 1], dtype).tolist()
    assert [10, 20, 30][i[0]] == 30 and len(range(i[0])) == 2 and int(t[0, 0] * 10) == 3 and (t[0] + t[1]).shape == (3,)
    assert f"{t[1, 0]:.1f}" == "4.1" and bool(t[0, 0] > 0) and t[0, 0] == X[0, 0]
    with pytest.raises(TypeError, match="no axes"):
        iter(t[0, 0])
    with pytest.raises(tl.IndexRangeError, match="no such elements"):
        t[2]


def test_a_part_of_a_large_array_shares_its_memory() -> None:
    t = tl.AnyTensor(np.arange(100_000))
    part, step, few = t[16:], t[::2], t[16:20]
    assert np.shares_memory(part, t) and not np.shares_memory(step, t) and not np.shares_memory(few, t)
    rows = tl.AnyTensor(np.arange(40_000).reshape(2, 20_000))
    row = rows[-1]
    assert np.shares_memory(row, rows) and row[0].item() == 20_000 and [r.shape for r in rows] == [(20_000,)] * 2
    rows.release()
    assert row[-1].item() == 39_999 and tl.AnyTensor(np.ones((3, 0, 2)))[2].shape == (0, 2)
    t.release()
    assert part[0].item() == few[0].item() == 16 and step[-1].item() == 99_998
    with pytest.raises(tl.NodeError):
        t[0]


def test_entries_named_at_run_time_belong_to_the_program() -> None:
    table = tl.AnyTensor(np.arange(12.0).reshape(4, 3))
    k = np.array([3, 0, 3])
    assert tl.jit(lambda k: table[k])(k).tolist() == table[k].tolist()
    assert tl.jit(lambda k: table[1:, 2][k])(np.array([2, 0])).tolist() == [11, 5]
    m = tl.TapeM()
    assert table[m.add_leaf(tl.AnyTensor(k))].tolist() == table[k].tolist()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda t: np.fill_diagonal(t, 0), r"np.fill_diagonal: .* array of shape \(2, 3\) float32; use x.at"),
        (lambda t: np.i0(t), r"np.i0: .*np.i0\(x.numpy\(\)\)"),
        (lambda t: np.nextafter(t, t), r"np.nextafter: "),
    ],
)
def test_functions_that_no_op_is(call: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        call(tl.AnyTensor(X))


def test_a_form_of_a_function_that_no_op_has() -> None:
    with pytest.raises(tl.OptionError, match="where needs an initial value"):
        np.max(tl.AnyTensor(X), where=np.array([True, False, True]))
    with pytest.raises(tl.OptionError, match="where must be left"):
        np.std(tl.AnyTensor(X), where=np.array([True, False, True]))
    with pytest.raises(tl.OptionError, match="period must be None"):
        np.interp(tl.AnyTensor(V), [0, 1], [2, 3], period=2)


def test_numpy_writes_to_its_own_arrays() -> None:
    t, a = tl.AnyTensor(V), np.zeros(3)
    a += t
    np.add.at(a, [0, 0], t[0])
    np.copyto(b := np.empty(3), t)
    np.testing.assert_allclose(a, [V[0] * 3, V[1], V[2]], rtol=1e-6)
    np.testing.assert_array_equal(b, V)
    assert np.allclose(t, V) and np.isfinite(t).all() and np.all(t > 0) and np.floor_divide(t, 1).tolist() == (t // 1).tolist()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda t: t + "a", tl.DTypeError),
        (lambda t: t + None, tl.TleanError),
        (lambda t: t + np.ones((4, 4, 4)), tl.ShapeError),
        (lambda t: t.sum(axis=5), tl.IndexRangeError),
        (lambda t: t.astype("complex128"), tl.DTypeError),
        (lambda t: t.astype("no dtype"), tl.DTypeError),
        (lambda t: np.exp(t, out=t), tl.OptionError),
        (lambda t: t.__setitem__(0, 1.0), tl.DTypeError),
        (lambda t: np.ptp(tl.AnyTensor(np.zeros(0, int))), tl.ShapeError),
        (lambda t: np.broadcast_arrays(t, np.ones(7)), tl.ShapeError),
        (lambda t: np.average(t, weights=[1.0, 2.0]), tl.ShapeError),
        (lambda t: np.choose(tl.AnyTensor([0, 3]), [t[0, 0], 1.0]), tl.IndexRangeError),
        (lambda t: t.no_such_method(), AttributeError),
        (lambda t: t.reshape(7), tl.ShapeError),
        (lambda t: tl.AnyTensor([1, 2]) + tl.AnyTensor([1, 2, 3]), tl.ShapeError),
        (lambda t: tl.AnyTensor([1, 2]).sum(axis=3), tl.IndexRangeError),
        (lambda t: -tl.AnyTensor([True]), tl.DTypeError),
    ],
)
def test_errors(call: Callable[[Any], Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        call(tl.AnyTensor(X))
