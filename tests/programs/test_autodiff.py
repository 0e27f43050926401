"""Functional differentiation: every transformation against derivatives in closed form, nested, on trees, and inside other programs."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import tlean as tl
from tlean.backends import Dual, Graph, Reference

RNG = np.random.default_rng(0)
X = RNG.standard_normal(5)
A = RNG.standard_normal((4, 5))


def close(found, expected, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=tolerance, atol=tolerance)


def cubic(ops, x):
    """Σ x³"""
    return ops.sum(ops.mul(ops.square(x), x))


def wave(ops, x):
    """Σ sin(x)·eˣ"""
    return ops.sum(ops.mul(ops.sin(x), ops.exp(x)))


def both(backend):
    return pytest.mark.parametrize("backend", ["compiled", "eager"])(backend)


# First derivatives ---------------------------------------------------------------------------------------------------------


@both
def test_grad(backend):
    close(tl.grad(cubic, backend=backend)(X), 3 * X**2)


@both
def test_value_and_grad(backend):
    value, g = tl.value_and_grad(wave, backend=backend)(X)
    close(value, (np.sin(X) * np.exp(X)).sum())
    close(g, np.exp(X) * (np.sin(X) + np.cos(X)))


def test_an_unknown_backend_is_refused():
    with pytest.raises(tl.OptionError, match="backend must be 'compiled' or 'eager', got 'lazy'"):
        tl.grad(cubic, backend="lazy")


def product(ops, a, b, c):
    return ops.sum(ops.mul(ops.mul(a, b), c))


def test_argnums():
    a, b, c = RNG.standard_normal((3, 4))
    close(tl.grad(product)(a, b, c), b * c)
    close(tl.grad(product, argnums=1)(a, b, c), a * c)
    close(tl.grad(product, argnums=-1)(a, b, c), a * b)
    several = tl.grad(product, argnums=(2, 0))(a, b, c)
    assert isinstance(several, tuple) and len(several) == 2
    close(several[0], a * b)
    close(several[1], b * c)
    one = tl.grad(product, argnums=(1,))(a, b, c)
    assert isinstance(one, tuple)
    close(one[0], a * c)
    with pytest.raises(tl.OptionError, match="argnums names argument 3, the program has 3"):
        tl.grad(product, argnums=3)(a, b, c)


def test_aux():
    def f(ops, x):
        y = ops.tanh(x)
        return ops.sum(y), {"y": y, "again": [x]}

    g, aux = tl.grad(f, has_aux=True)(X)
    close(g, 1 - np.tanh(X) ** 2)
    close(aux["y"], np.tanh(X))
    close(aux["again"][0], X)
    (value, aux), g = tl.value_and_grad(f, has_aux=True)(X)
    close(value, np.tanh(X).sum())
    close(g, 1 - np.tanh(X) ** 2)
    close(aux["y"], np.tanh(X))


Layer = namedtuple("Layer", "w b")


def test_trees_come_back_in_their_structure():
    def f(ops, p, x):
        h = ops.tanh(ops.linear(p["layer"].w, p["layer"].b, x))
        return ops.add(ops.sum(ops.mul(h, p["out"][0])), ops.sum(p["out"][1][0]))

    p = {"layer": Layer(A, np.zeros(4)), "out": [np.arange(4.0), (np.ones(3),)]}
    g = tl.grad(f)(p, X)
    h = np.tanh(A @ X)
    back = np.arange(4.0) * (1 - h**2)
    assert isinstance(g["layer"], Layer) and isinstance(g["out"], list) and isinstance(g["out"][1], tuple)
    close(g["layer"].w, np.outer(back, X))
    close(g["layer"].b, back)
    close(g["out"][0], h)
    close(g["out"][1][0], np.ones(3))
    g, dx = tl.grad(f, argnums=(0, 1))(p, X)
    close(dx, A.T @ back)
    y, dy = tl.jvp(f, (p, X), (tl.tree.map(np.ones_like, p), None))
    assert y.shape == dy.shape == ()
    close(dy, sum(np.asarray(d).sum() for d in tl.tree.flatten(g)[0]))
    (pulled, none) = tl.vjp(f, p, X)[1](1.0)
    close(pulled["layer"].w, np.outer(back, X))
    close(none, A.T @ back)


def test_what_the_scalar_does_not_depend_on_gets_zeros():
    g = tl.grad(lambda ops, p: ops.sum(p["used"]))({"used": np.ones(2), "idle": np.ones((2, 3))})
    close(g["idle"], np.zeros((2, 3)))
    close(tl.grad(lambda ops, x: ops.sum(ops.detach(x)))(X), np.zeros(5))
    close(tl.jvp(lambda ops, x: ops.detach(x), (X,), (X,))[1], np.zeros(5))
    close(tl.jacrev(lambda ops, x: ops.const(np.ones(2)))(X), np.zeros((2, 5)))
    close(tl.jacfwd(lambda ops, x: ops.const(np.ones(2)))(X), np.zeros((2, 5)))


def test_programs_that_hand_on_what_they_got():
    s = tl.Session(dtype="float64")
    a, x = s.input(np.float64(3.0)), s.input(X)
    # The result is the enclosing program's own: it does not depend on the inner variable.
    value, g = tl.value_and_grad(lambda ops, x: a)(s, x)
    assert value.item() == 3.0
    close(g.value, np.zeros(5))
    close(s.grad(s.backward_scalar_dense_all(value), a), 1.0)
    y, dy = tl.jvp(lambda ops, x: (a, x, 2.0), (x,), (x,))
    assert y[0].item() == 3.0 and dy[0].item() == 0.0 and y[2].item() == 2.0
    close(dy[1].value, X)
    y, pull = tl.vjp(lambda ops, x: (x, 2.0), X)
    close(pull((X, 5.0))[0], X)


def test_integers_have_no_derivative():
    f = lambda ops, x: (ops.argmax(x), ops.sum(x))  # noqa: E731
    y, pull = tl.vjp(f, X)
    assert y[0].dtype == "int64" and y[0].item() == int(X.argmax())
    close(pull((0.0, 2.0))[0], np.full(5, 2.0))


def test_integers_take_no_gradient():
    labels = np.array([1, 0, 2])
    logits = RNG.standard_normal((3, 4))
    f = lambda ops, x, y: ops.cross_entropy(x, y)  # noqa: E731
    g = tl.grad(f, argnums=(0, 1))(logits, labels)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    close(g[0], (p - np.eye(4)[labels]) / 3)
    assert g[1] is None
    y, pull = tl.vjp(f, logits, labels)
    assert y.shape == () and pull(1.0)[1] is None


def test_a_scalar_is_asked_for():
    with pytest.raises(tl.ShapeError, match=r"the program returns a scalar, got shape \(5,\)"):
        tl.grad(lambda ops, x: x)(X)
    with pytest.raises(tl.OptionError, match="the program returns a reference, got tuple"):
        tl.grad(lambda ops, x: (ops.sum(x), x))(X)


def test_dtypes():
    single = X.astype(np.float32)
    assert tl.grad(cubic)(single).dtype == "float32"
    assert tl.grad(cubic)(X).dtype == "float64"
    # A gradient has its argument's dtype, whatever it was computed in.
    assert [tl.grad(product, k)(single[:4], X[:4], single[:4]).dtype for k in range(3)] == ["float32", "float64", "float32"]
    # Python numbers are weak.
    assert tl.grad(cubic)(2.0).dtype == "float32"
    assert tl.grad(lambda ops, x, c: ops.sum(ops.mul(x, ops.broadcast_to(c, x.shape))))(X, 2.0).dtype == "float64"
    g = tl.jit(lambda ops, i, x: ops.gather_vec_nat(x, i))
    close(g(np.array([1, 0], np.int32), X), X[[1, 0]])


# vjp, jvp, Jacobians -----------------------------------------------------------------------------------------------------------


@both
def test_vjp(backend):
    f = lambda ops, w, x: (ops.tanh(ops.linear(w, None, x)), ops.sum(x))  # noqa: E731
    y, pull = tl.vjp(f, A, X, backend=backend)
    h = np.tanh(A @ X)
    close(y[0], h)
    close(y[1], X.sum())
    g = RNG.standard_normal(4)
    dw, dx = pull((g, 2.0))
    back = g * (1 - h**2)
    close(dw, np.outer(back, X))
    close(dx, A.T @ back + 2)
    close(pull((np.zeros(4), 1.0))[1], np.ones(5))


def test_vjp_refuses_other_cotangents():
    _, pull = tl.vjp(lambda ops, x: ops.tanh(x), X)
    for wrong in (np.ones(4), (np.ones(5),), 1.0):
        with pytest.raises(tl.ShapeError, match="vjp: the cotangent must have the output's"):
            pull(wrong)


def test_every_pull_sees_the_masks_of_the_value():
    f = lambda ops, x: ops.dropout(x, 0.5)  # noqa: E731
    y, pull = tl.vjp(f, np.ones(64))
    mask = np.asarray(y)
    assert 0 < (mask == 0).sum() < 64
    for _ in range(3):
        np.testing.assert_array_equal(np.asarray(pull(np.ones(64))[0]), mask)


@both
def test_jvp(backend):
    v = RNG.standard_normal(5)
    y, dy = tl.jvp(lambda ops, x: {"a": ops.exp(x), "b": ops.sum(x)}, (X,), (v,), backend=backend)
    close(y["a"], np.exp(X))
    close(dy["a"], np.exp(X) * v)
    close(dy["b"], v.sum())


def test_jvp_holds_what_has_no_direction():
    a, b, v = RNG.standard_normal((3, 4))
    _, dy = tl.jvp(lambda ops, a, b: ops.mul(a, b), (a, b), (None, v))
    close(dy, a * v)


def test_jvp_refuses_other_directions():
    f = lambda ops, x: ops.exp(x)  # noqa: E731
    with pytest.raises(tl.ShapeError, match="one direction for each of the 1 arguments, got 2"):
        tl.jvp(f, (X,), (X, X))
    with pytest.raises(tl.ShapeError, match=r"a direction must have its argument's shape \(5,\), got \(4,\)"):
        tl.jvp(f, (X,), (X[:4],))
    with pytest.raises(tl.DTypeError, match="no floating-point numbers has no direction; pass None"):
        tl.jvp(lambda ops, x, i: ops.gather_vec_nat(x, i), (X, np.array([1])), (X, np.array([1])))
    with pytest.raises(tl.ShapeError, match="a direction must have its argument's structure"):
        tl.jvp(lambda ops, p: ops.exp(p[0]), ([X],), ([X, X],))
    with pytest.raises(tl.ShapeError, match="a direction must have its argument's structure"):
        tl.jvp(lambda ops, p: ops.exp(p["a"]), ({"a": X},), ([X],))


# Second derivatives ------------------------------------------------------------------------------------------------------------


@both
def test_hvp(backend):
    v = RNG.standard_normal(5)
    (found,) = tl.hvp(cubic, (X,), (v,), backend=backend)
    close(found, 6 * X * v)
    assert tl.hvp_inputs is tl.hvp


def test_hvp_holds_what_has_no_direction():
    f = lambda ops, a, b: ops.sum(ops.mul(ops.square(a), ops.square(b)))  # noqa: E731
    a, b, v, w = RNG.standard_normal((4, 3))
    da, db = tl.hvp(f, (a, b), (v, w))
    close(da, 2 * b**2 * v + 4 * a * b * w)
    close(db, 4 * a * b * v + 2 * a**2 * w)
    da, none = tl.hvp(f, (a, b), (v, None))
    close(da, 2 * b**2 * v)
    assert none is None
    none, db = tl.hvp(f, (a, b), (None, w))
    close(db, 2 * a**2 * w)
    assert none is None
    assert tl.hvp(f, (a, b), (None, None)) == (None, None)


def test_hvp_refuses_other_directions():
    with pytest.raises(tl.ShapeError, match="hvp: one direction for each of the 1 arguments, got 2"):
        tl.hvp(cubic, (X,), (X, X))
    with pytest.raises(tl.ShapeError, match=r"a direction must have its argument's shape \(5,\), got \(4,\)"):
        tl.hvp(cubic, (X,), (X[:4],))


@both
def test_hvp_params(backend):
    loss = lambda ops, w, x, y: ops.mse_loss(ops.linear(w, None, x), y)  # noqa: E731
    w, v, y = RNG.standard_normal((2, 5)), RNG.standard_normal((2, 5)), np.zeros(2)
    (found,) = tl.hvp_params(loss, (w,), (X, y), (v,), backend=backend)
    close(found, np.outer(v @ X, X))
    with pytest.raises(tl.ShapeError, match="hvp_params: one direction for each of the 1 parameters, got 2"):
        tl.hvp_params(loss, (w,), (X, y), (v, v))


@both
def test_hessian(backend):
    found = np.asarray(tl.hessian(wave, backend=backend)(X))
    close(found, np.diag(2 * np.exp(X) * np.cos(X)))
    a, b = RNG.standard_normal((2, 3))
    f = lambda ops, a, b: ops.sum(ops.mul(ops.square(a), b))  # noqa: E731
    close(tl.hessian(f, argnums=1)(a, b), np.zeros((3, 3)))
    m = RNG.standard_normal((2, 3))
    assert tl.hessian(cubic)(m).shape == (2, 3, 2, 3)
    assert tl.hessian1 is tl.hessian


# Nesting -----------------------------------------------------------------------------------------------------------------------


def test_derivatives_of_every_order():
    # f = sin(x)·eˣ: each derivative is √2 times f, shifted by π/4.
    f = lambda ops, x: ops.mul(ops.sin(x), ops.exp(x))  # noqa: E731
    d, x = f, 0.7
    for order in range(1, 6):
        d = tl.grad(d)
        close(d(np.float64(x)), 2 ** (order / 2) * np.exp(x) * np.sin(x + order * np.pi / 4), 1e-11)


@pytest.mark.parametrize("outer", [tl.jacrev, tl.jacfwd])
@pytest.mark.parametrize("middle", [tl.jacrev, tl.jacfwd])
def test_third_derivatives_of_a_scalar_function(outer, middle):
    x = X[:3]
    f = lambda ops, x: ops.mul(ops.sum(ops.square(x)), ops.sum(ops.exp(x)))  # noqa: E731
    found = np.asarray(outer(middle(tl.grad(f)))(x))
    e, s, eye = np.exp(x), np.exp(x).sum(), np.eye(3)
    expected = (
        2 * np.einsum("ij,k->ijk", eye, e) + 2 * np.einsum("ik,j->ijk", eye, e) + 2 * np.einsum("jk,i->ijk", eye, e)
        + 2 * np.einsum("i,jk->ijk", x, np.diag(e)) + 2 * np.einsum("j,ik->ijk", x, np.diag(e)) + 2 * np.einsum("k,ij->ijk", x, np.diag(e))
        + (x @ x) * np.einsum("ij,jk,i->ijk", eye, eye, e)
    )  # fmt: skip
    assert s > 0
    close(found, expected, 1e-11)


def test_an_outer_variable_is_a_constant_inside():
    # d/dx [x · d/dy (x + y)] = 1, and d/dx [x · d/dy (x·y)] = 2x: the inner derivative must not see the outer variable.
    def of_sum(ops, x):
        return ops.mul(x, tl.grad(lambda ops, y: ops.add(x, y))(ops, ops.const(1.0)))

    def of_product(ops, x):
        return ops.mul(x, tl.grad(lambda ops, y: ops.mul(x, y))(ops, ops.const(1.0)))

    for x in (np.float64(3.0), np.float64(-0.5)):
        close(tl.grad(of_sum)(x), 1.0)
        close(tl.grad(of_product)(x), 2 * x)
        close(tl.jvp(of_product, (x,), (1.0,))[1], 2 * x)
        # The same value as both variables at once: d/dx [x · d/dy (x·y) at y = x].
        same = lambda ops, x: ops.mul(x, tl.grad(lambda ops, y: ops.mul(x, y))(ops, x))  # noqa: E731
        close(tl.grad(same)(x), 2 * x)


def test_a_gradient_step_inside_is_differentiated():
    # Meta-learning in one line: the loss after a step, by the step's size; L(w − a·L'(w)) with L = w²: w²(1 − 2a)².
    def after(ops, a, w):
        inner = tl.grad(lambda ops, w: ops.square(w))(ops, w)
        return ops.square(ops.sub(w, ops.mul(a, inner)))

    a, w = np.float64(0.1), np.float64(1.5)
    close(tl.grad(after)(a, w), -4 * w**2 * (1 - 2 * a))
    close(tl.grad(after, argnums=1)(a, w), 2 * w * (1 - 2 * a) ** 2)


def test_transformations_of_references_record():
    v = RNG.standard_normal(5)
    program = tl.jit(lambda ops, x, v: tl.hvp(cubic, (x,), (v,))[0])
    close(program(X, v), 6 * X * v)
    close(program(2 * X, v), 12 * X * v)
    assert len(program.graph) > 0
    y, dy = tl.jit(lambda ops, x, v: tl.jvp(wave, (x,), (v,)))(X, v)
    close(y, (np.sin(X) * np.exp(X)).sum())
    close(dy, (np.exp(X) * (np.sin(X) + np.cos(X))) @ v)
    close(tl.jit(lambda ops, x: tl.vjp(lambda ops, x: ops.exp(x), x)[1](x)[0])(X), X * np.exp(X))
    # … and their results are differentiable: d/dx vᵀH(x)v with H = 6·diag(x).
    curvature = lambda ops, x, v: ops.sum(ops.mul(v, tl.hvp(cubic, (x,), (v,))[0]))  # noqa: E731
    close(tl.grad(curvature)(X, v), 6 * v**2)
    params = tl.jit(lambda ops, x, v: tl.hvp_params(product, (x, v), (x,), (v, None))[0])
    close(params(X, v), np.zeros(5))


# Inside other programs -----------------------------------------------------------------------------------------------------------


def test_recording_into_a_graph():
    graph = Graph("float64")
    x = graph.arg(tl.Spec((5,)))
    g = tl.grad(cubic)(graph, x)
    assert g.ops is graph and g.shape == (5,)
    graph.outputs = [g.id]
    graph.check()


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_recording_into_a_session(backend):
    s = tl.Session(dtype="float64", backend=backend)
    x = s.input(X)
    g = tl.grad(cubic)(s, x)
    close(g.value, 3 * X**2)
    loss = s.sum(s.square(g))
    grads = s.backward_scalar_dense_all(loss)
    close(s.grad(grads, x), 36 * X**3)
    value, (gx,) = tl.value_and_grad(cubic, argnums=(0,))(s, x)
    close(value.value, (X**3).sum())
    close(gx.value, 3 * X**2)
    close(tl.hessian(cubic)(s, x).value, np.diag(6 * X))


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_references_of_a_session_are_constants_inside_and_differentiable_outside(backend):
    s = tl.Session(dtype="float64", backend=backend)
    a, x = s.input(np.float64(3.0)), s.input(np.float64(2.0))
    # d/dx a·x² = 2·a·x; its derivative by a is 2x, by x 2a.
    g = tl.grad(lambda ops, x: ops.mul(a, ops.square(x)))(s, x)
    close(g.value, 12.0)
    grads = s.backward_scalar_dense_all(g)
    close(s.grad(grads, a), 4.0)
    close(s.grad(grads, x), 6.0)


def test_a_training_loop_with_a_gradient_in_its_loss_keeps_no_memory():
    s = tl.Session(dtype="float64")
    p, batch = s.param(X), RNG.standard_normal((30, 5))
    penalty = tl.grad(cubic)

    def step(k=0):
        s.reset_tape()
        w = s.use(p)
        g = penalty(s, w)
        # New constants inside every time, and a reference from outside.
        h = tl.grad(lambda ops, x: ops.sum(ops.mul(ops.square(x), ops.mul(ops.const(batch[k]), w))))(s, s.input(batch[k]))
        g = s.add(g, h)
        s.sgd_step_all(1e-3, s.backward_scalar_dense_all(s.sum(s.square(g))))

    from tlean._core.arena import memory_stats

    for _ in range(3):
        step()
    s.reset_tape()
    before = memory_stats()["blocks"]
    for k in range(20):
        step(k)
    s.reset_tape()
    assert memory_stats()["blocks"] <= before


def test_random_ops_inside_draw_from_the_session():
    def program(ops, x):
        return ops.sum(ops.mul(ops.dropout(x, 0.5), x))

    s, eager = tl.Session(dtype="float64", seed=3), tl.Session(dtype="float64", seed=3)
    for _ in range(3):
        x = eager.input(np.ones(32))
        expected = eager.grad(eager.backward_scalar_dense_all(program(eager, x)), x)
        np.testing.assert_array_equal(tl.grad(program)(s, s.input(np.ones(32))).numpy(), expected.numpy())


def test_recording_into_a_dual_backend():
    s = tl.Session(dtype="float64")
    dual = Dual(s)
    v = RNG.standard_normal(5)
    x = dual.lift(s.input(X), s.input(v))
    g = tl.grad(cubic)(dual, x)
    close(g.primal.value, 3 * X**2)
    close(g.tangent.value, 6 * X * v)
    twice = Dual(dual)
    y = cubic(twice, twice.lift(x, dual.lift(s.input(v), None)))
    close(y.tangent.tangent.value, 6 * (X * v) @ v)


def test_recording_into_the_reference_backend():
    r = Reference("float64")
    close(tl.grad(cubic)(r, r.leaf(X)).value, 3 * X**2)


def test_recording_onto_a_tape():
    m = tl.TapeM(tl.Tape("float64"))
    x = m.leaf(X)
    g = tl.grad(cubic)(m, x)
    close(m.value(g), 3 * X**2)
    total = m.sum(g)
    close(m.tape.backward_scalar(total.id)[x.id], 6 * X)
    assert m.tape.size == 3 and "call(0)" in repr(m.tape)


def test_repr():
    assert repr(tl.grad(cubic)) == "<grad of cubic, called with ops>"
    assert repr(tl.hessian(cubic)) == "<hessian of cubic, called with ops>"
