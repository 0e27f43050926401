"""NumPy's numbers and arrays in programs: the same on every face as Python's numbers and float arrays."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import tlean as tl
from tlean._core.refs import RefBase
from tlean.reference.interpreter import Reference

X = np.array([1.0, 2.0, 4.0])
SCALARS = [np.float16(2), np.float32(2), np.float64(2), np.longdouble(2), np.int8(2), np.int64(2), np.uint16(2), np.bool_(True)]


def faces(f, x=X):
    """The value and gradient of a program `f(ops, x)` on every face, as lists."""
    made = []
    for backend in ("eager", "compiled"):
        s = tl.Session(backend=backend, dtype="float64")
        r = s.input(x)
        y = f(s, r)
        made.append((y.numpy().tolist(), s.backward_dense_all(y, np.ones(y.shape))[r].tolist()))
        value, pull = tl.vjp(f, x, backend=backend)
        made.append((value.tolist(), pull(np.ones(value.shape))[0].tolist()))
    m = tl.TapeM(dtype="float64")
    r = m.leaf(x)
    y = f(m, r)
    made.append((m.value(y).tolist(), m.backward(y, np.ones(y.shape))[r.id].tolist()))
    program = tl.compile_out(f, [x.shape], "float64")
    made.append((program.forward(x).tolist(), program.vjp_with_seed([x], np.ones(made[0][0] and np.shape(made[0][0])))[0].tolist()))
    return made


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow], ids=lambda f: f.__name__)
def test_numpy_scalars_are_numbers(op, scalar):
    c = scalar.item() if not isinstance(scalar, np.longdouble) else 2.0
    expected = faces(lambda ops, x: op(x, c))
    assert faces(lambda ops, x: op(x, scalar)) == expected and expected.count(expected[0]) == len(expected)
    if op is not operator.pow:
        assert faces(lambda ops, x: op(scalar, x)) == faces(lambda ops, x: op(c, x))


def test_a_numpy_scalar_keeps_its_sign_and_its_bits():
    for c in (np.float32(0.1), np.float32(-0.0), np.float64(-0.0)):
        m = tl.TapeM(dtype="float64")
        assert (m.leaf([1.0]) * c).numpy().tobytes() == np.float64(float(c)).tobytes()


def test_an_array_without_axes_is_an_array():
    m = tl.TapeM()
    assert (m.leaf(X) * np.array(2.0)).numpy().tolist() == (np.float32(2) * X.astype("f4")).tolist() and len(m.tape) == 3
    assert faces(lambda ops, x: x * np.array(2.0), np.array(3.0))[0] == (6.0, 2.0)


@pytest.mark.parametrize("wrong", [np.complex64(2), "2", np.str_("2"), None, 10**400])
def test_what_is_no_number_is_told(wrong):
    for op in (operator.mul, operator.truediv, operator.add, operator.pow):
        for x in (tl.TapeM().leaf(X), tl.Session(backend="compiled").input(X), tl.GraphM().arg(0, (3,))):
            assert isinstance(x, RefBase)
            with pytest.raises(tl.TleanError):
                op(x, wrong)


FLAGS = np.array([1, 0, 2])
ARRAYS = {
    "where": lambda ops, x: ops.where(FLAGS > 0, x, ops.neg(x)),
    "mul by integers": lambda ops, x: x * FLAGS,
    "mul of bytes": lambda ops, x: FLAGS.astype("u1") * x,
    "add of Booleans": lambda ops, x: ops.add(FLAGS > 0, x),
    "a list of ints": lambda ops, x: ops.mul(x, [1, 2, 3]),
    "half precision": lambda ops, x: x - FLAGS.astype("f2"),
    "concat": lambda ops, x: ops.concat([x, FLAGS, FLAGS > 0]),
    "Boolean indices": lambda ops, x: ops.gather_rows_nat(ops.reshape(x, (3, 1)), FLAGS > 0),
    "small indices": lambda ops, x: ops.gather_rows_nat(ops.reshape(x, (3, 1)), FLAGS.astype("i2")),
    "argument of a loss": lambda ops, x: ops.mse_loss(x, FLAGS),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_integer_and_boolean_arrays_are_constants_everywhere(name):
    found = faces(ARRAYS[name])
    assert found.count(found[0]) == len(found)


def test_where_of_a_mask_is_right():
    assert faces(ARRAYS["where"])[0] == ([1.0, -2.0, 4.0], [1.0, -1.0, 1.0])


@pytest.mark.parametrize("wrong", ["a", object(), np.ones(3, complex), [1, [2]]])
def test_arguments_that_are_no_arrays_are_named(wrong):
    for ops, x in [(m := tl.TapeM(), m.leaf(X)), (s := tl.Session(backend="compiled"), s.input(X)), (g := tl.GraphM(), g.arg(0, (3,)))]:
        with pytest.raises(tl.TleanError, match="mul: b"):
            ops.mul(x, wrong)


MOVES = {
    "reshape": lambda t, n: t.reshape(n, (3, 2)),
    "broadcast_to": lambda t, n: t.broadcast_to(n, (4, 2, 3)),
    "expand_dims": lambda t, n: t.expand_dims(n, 0),
    "permute": lambda t, n: t.permute(n, (1, 0)),
    "concat": lambda t, n: t.concat([n, n], 0),
    "stack": lambda t, n: t.stack([n, n, n], 0),
    "pad": lambda t, n: t.pad(n, ((0, 1), (1, 0))),
    "take": lambda t, n: t.take(n, np.array([1, 0]), 0),
    "sort": lambda t, n: t.sort(n, 0),
    "tril": lambda t, n: t.tril(n),
}


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool"])
@pytest.mark.parametrize("name", MOVES)
def test_what_is_moved_keeps_its_dtype(name, dtype):
    """Integers that no reference holds are not the program's floats; 2⁵³ + 1 is no float at all."""
    n = (np.array([[2**53 + 1, 0, 3], [4, 5, 2**31 + 1]]) >> (0 if dtype == "int64" else 23)).astype(dtype)
    f = MOVES[name]
    session, s = tl.Session(), tl.Session(backend="compiled")
    dual = tl.jvp(lambda x: tl.where(x > 9, f(tl, n), f(tl, n)), (np.zeros(()),), (np.ones(()),))[0]
    results = [f(tl, n), f(tl, tl.AnyTensor(n)), tl.jit(lambda: f(tl, n))(), tl.jit(lambda n: f(tl, n))(n), f(session, n), f(s, n), dual]
    expected = np.asarray(f(Reference(), n).value).astype(dtype)
    for y in results:
        y = y.numpy()
        assert (y.dtype, y.tolist()) == (dtype, expected.tolist())
    assert tl.scan(lambda c, e: (c, tl.stack([e, np.int64(2)])), 0, np.array([1, 2]))[1].dtype == "int64"
    assert tl.concat([n, np.ones((1, 3), "float32")], 0).dtype == "float32"
