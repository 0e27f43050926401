"""Ops of the user's own on every backend, and sessions that run the reference definitions."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import tlean as tl
from tlean.interpreters.dual import Dual
from tlean.interpreters.eager import EagerOps
from tlean.reference.interpreter import Reference

X = np.array([0.3, -1.2, 2.0])


def cube(jvp=True):
    return tl.custom_op(lambda x: x**3, lambda x, y, g: 3 * x**2 * g, (lambda x, t: 3 * x**2 * t) if jvp else None, name="cube")


def test_plain_arrays():
    assert cube()(X).tolist() == (X**3).tolist()


def test_eager_and_compiled():
    found = []
    for backend in ("eager", "compiled"):
        s = tl.Session(tl.Options(backend=backend, dtype="float64"))
        x = s.input(X)
        loss = s.sum(s.mul(cube()(x), x))
        found.append((loss.item(), s.grad(s.backward_scalar_dense_all(loss), x).tolist()))
    assert found[0] == found[1]
    np.testing.assert_allclose(found[0][1], 4 * X**3, rtol=1e-14)


def test_functional():
    op = cube()
    np.testing.assert_allclose(tl.grad(lambda ops, x: ops.sum(op(x)))(X).numpy(), 3 * X**2, rtol=1e-14)
    _, dy = tl.jvp(lambda ops, x: op(x), (X,), (np.ones(3),))
    np.testing.assert_allclose(dy.numpy(), 3 * X**2, rtol=1e-14)


def test_dual_and_reference():
    inner = EagerOps("float64")
    ops = Dual(inner)
    y = cube()(ops.lift(inner.leaf(X), inner.leaf([1.0, 0.0, 0.0])))
    np.testing.assert_allclose(y.tangent.numpy(), [3 * 0.3**2, 0, 0], rtol=1e-14)
    assert cube()(Reference("float64").leaf(X)).value.tolist() == (X**3).tolist()


def test_several_inputs_and_no_gradient():
    op = tl.custom_op(lambda a, b: a * b, lambda a, b, y, g: (g * b, None))
    m = tl.TapeM()
    a, b = m.leaf([1.0, 2.0]), m.leaf([3.0, 4.0])
    grads = m.backward_scalar(m.sum(op(a, b)))
    assert grads[a.id].tolist() == [3.0, 4.0]
    assert not np.any(grads[b.id].numpy())


def test_what_is_missing_is_named():
    op = cube(jvp=False)
    with pytest.raises(tl.OptionError, match=r"cube.*jvp"):
        tl.jvp(lambda ops, x: op(x), (X,), (np.ones(3),))
    with pytest.raises(tl.OptionError, match=r"cube.*first derivatives"):
        tl.hessian(lambda ops, x: ops.sum(cube()(x)))(X)


def test_errors_inside_come_out():
    def broken(x):
        if x.any():
            raise ZeroDivisionError("inside")
        return x

    op = tl.custom_op(broken, lambda x, y, g: g)
    m = tl.TapeM()
    x = m.leaf([1.0])
    with pytest.raises(ZeroDivisionError, match="inside"):
        op(x)
    assert m.tape.size == 1


def test_wrong_shapes_are_named():
    op = tl.custom_op(lambda x: x, lambda x, y, g: g[:1], name="crop")
    m = tl.TapeM()
    with pytest.raises(tl.ShapeError, match=r"crop: backward gives .*\(1,\), expected \(2,\)"):
        m.backward_scalar(m.sum(op(m.leaf([1.0, 2.0]))))


def test_reference_definitions():
    """`fast_kernels=False` computes forward and backward by the definitions; the results agree to rounding."""
    rng = np.random.default_rng(0)
    w, x, y = rng.normal(size=(4, 2, 3, 3)), rng.normal(size=(3, 2, 8, 8)), rng.integers(0, 4, 3)
    found = []
    for fast in (True, False):
        s = tl.Session(tl.Options(dtype="float64", fast_kernels=fast))
        assert s.by_definition is not fast
        p = s.param(w)
        h = s.max_pool2d(s.relu(s.conv2d(s.use(p), None, s.input(x))), 2)
        h = s.layer_norm(s.reshape(h, (3, 36)))
        loss = s.cross_entropy(s.slice(h, (0, 0), (3, 4)), y)
        found.append((loss.item(), s.backward_params(loss)[p].numpy()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-13)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-10, atol=1e-13)


def test_arrays_stay_what_they_were():
    """The functions may keep the arrays that they are called with."""
    kept = []

    def forward(x):
        kept.append(x)
        return 2 * x

    def backward(x, y, g):
        kept.extend((x, y, g))
        return 2 * g

    op = tl.custom_op(forward, backward, shape=lambda x: x)
    for backend in ("eager", "compiled"):
        kept.clear()
        s = tl.Session(tl.Options(backend=backend))
        loss = s.sum(op(s.scale(s.input(np.ones(1000)), 3.0)))
        s.backward_scalar_dense_all(loss)[0].numpy()
        s.reset_tape()
        del s, loss
        others = [tl.AnyTensor(np.full(1000, 7.0, "f4")) for _ in range(16)]
        assert [set(a.tolist()) for a in kept[-3:]] == [{3.0}, {6.0}, {1.0}] and len(others) == 16
        assert all(set(a.tolist()) == {3.0} for a in kept[:-3])
        with pytest.raises(ValueError, match="read-only"):
            kept[0][0] = 1.0


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_no_made_up_numbers_come(backend):
    seen = []

    def forward(x):
        seen.append(x.copy())
        return np.log(x)

    op = tl.custom_op(forward, lambda x, y, g: g / x)
    grad = tl.grad(lambda ops, x: ops.sum(op(x)), backend=backend)
    with np.errstate(all="raise"):
        assert grad(np.array([1.0, 2.0])).tolist() == [1.0, 0.5]
    assert [a.tolist() for a in seen] == [[1.0, 2.0]]


def test_shape_of_the_value():
    def run(backend, **options):
        op = tl.custom_op(lambda x: x.sum(axis=1), lambda x, y, g: np.broadcast_to(g[:, None], x.shape), name="rows", **options)
        return tl.grad(lambda ops, x: ops.sum(ops.square(op(x))), backend=backend)(np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]])).tolist()

    wanted = [[6.0, 6.0], [14.0, 14.0], [2.0, 2.0]]
    for backend in ("eager", "compiled"):
        assert run(backend, shape=lambda x: x[:1]) == run(backend, shape=(3,)) == wanted
    s = tl.Session(dtype="float64")
    op = tl.custom_op(lambda x: x.sum(axis=1), lambda x, y, g: np.broadcast_to(g[:, None], x.shape))
    assert op(s.input(np.ones((3, 2)))).shape == (3,)
    with pytest.raises(tl.ShapeError, match=r"rows: forward gives an array of shape \(3,\), expected \(3, 2\); pass shape="):
        run("compiled")
    with pytest.raises(tl.OptionError, match="shape= must give a tuple"):
        run("compiled", shape=lambda x: "no")


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_integers_and_booleans(backend):
    seen = []

    def forward(x, index, mask):
        seen.append((index.dtype.name, mask.dtype.name))
        return np.where(mask, x[index], 0.0)

    def backward(x, index, mask, y, g):
        found = np.zeros_like(x)
        np.add.at(found, index, np.where(mask, g, 0.0))
        return found, None, None

    op = tl.custom_op(forward, backward, lambda x, i, m, tx, ti, tm: np.where(m, tx[i], 0.0), shape=lambda x, i, m: i)
    index, mask = np.array([2, 0, 2]), np.array([True, True, False])

    def loss(ops, x, i, m):
        return ops.sum(ops.square(op(x, i, m)))

    x = np.array([1.0, 2.0, 3.0])
    assert tl.grad(loss, backend=backend)(x, index, mask).tolist() == [2.0, 0.0, 6.0]
    assert tl.grad(lambda ops, x: loss(ops, x, index, mask), backend=backend)(x).tolist() == [2.0, 0.0, 6.0]
    value, moved = tl.jvp(loss, (x, index, mask), (np.ones(3), None, None), backend=backend)
    assert value.item() == 10.0 and moved.item() == 8.0
    assert set(seen) == {("int64", "bool")}


def test_values_of_other_kinds_are_refused():
    s = tl.Session()
    for value in (1j, "text", None, [object()]):
        with pytest.raises(tl.DTypeError, match="forward must give an array of real numbers"):
            tl.custom_op(lambda x, value=value: value, lambda x, y, g: g)(s.input(X))
    with pytest.raises(tl.OptionError, match="backward must be a function"):
        tl.custom_op(lambda x: x, None)


def test_functions_are_freed_with_their_owner():
    class Big:
        pass

    kept = []

    def use(backend):
        big = Big()
        kept.append(weakref.ref(big))
        op = tl.custom_op(lambda x: (big, 2 * x)[1], lambda x, y, g: (big, 2 * g)[1])
        assert tl.grad(lambda ops, x: ops.sum(op(x)), backend=backend)(X).tolist() == [2.0, 2.0, 2.0]
        s = tl.Session(backend=backend)
        s.backward_scalar_dense_all(s.sum(op(s.input(X))))[0].numpy()
        # A derivative inside a session's program.
        s.reset_tape()
        assert tl.grad(lambda ops, x: ops.sum(op(x)))(s.input(X)).value.tolist() == [2.0, 2.0, 2.0]

    for backend in ("eager", "compiled"):
        for _ in range(20):
            use(backend)
        # What the first pass frees holds the rest.
        gc.collect()
        gc.collect()
        assert sum(r() is not None for r in kept) == 0


@pytest.mark.parametrize("dtype", ["int64", "int32", "float32"])
def test_arrays_that_a_kept_program_captures_are_read_at_each_call(dtype):
    x = np.arange(4, dtype="float32")
    captured = np.array([2, 0, 1, 3], dtype)
    op = tl.custom_op(lambda a, k: a + k, lambda a, k, y, g: (g, None if dtype.startswith("int") else g))
    kept = tl.jit(lambda ops, a: op(a, captured))
    assert kept(x).tolist() == (x + captured).tolist()
    captured[:] = [5, 6, 7, 8]
    assert kept(x).tolist() == (x + captured).tolist()
