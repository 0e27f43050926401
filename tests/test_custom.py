"""Ops of the user's own on every backend, and sessions that run the reference definitions."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean.backends.dual import Dual
from tlean.backends.eager import EagerOps
from tlean.backends.reference import Reference

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
