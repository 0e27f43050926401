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


def polar(backend=None, **options):
    """Length and angle of a vector, and the number of its quadrant: two outputs with derivatives, one without."""

    def forward(x, y):
        return np.hypot(x, y), np.arctan2(y, x), (2 * (y < 0) + (x < 0)).astype(np.int64)

    def backward(x, y, outs, gs):
        r, gr, ga = outs[0], gs[0], gs[1]
        assert gs[2] is None
        return gr * x / r - ga * y / r**2, gr * y / r + ga * x / r**2

    def jvp(x, y, tx, ty):
        r = np.hypot(x, y)
        return (x * tx + y * ty) / r, (x * ty - y * tx) / r**2, None

    shapes = {"shape": lambda x, y: [x, x, x]}
    return tl.custom_op(forward, backward, jvp, name="polar", dtype=("float", "float", "int64"), **shapes, **options)


def test_several_outputs():
    x, y = np.array([0.3, -1.2, 2.0]), np.array([1.0, 0.5, -0.2])
    op = polar()
    r, angle, quadrant = op(x, y)
    assert quadrant.tolist() == [0, 1, 2] and quadrant.dtype == "int64" and r.tolist() == np.hypot(x, y).tolist()
    found = []
    for backend in ("eager", "compiled"):
        s = tl.Session(tl.Options(backend=backend, dtype="float64"))
        a, b = s.input(x), s.input(y)
        r, angle, quadrant = op(a, b)
        assert quadrant.dtype == "int64"
        loss = s.sum(r * s.sin(angle) * quadrant)
        grads = s.backward_scalar_dense_all(loss)
        found.append((loss.item(), s.grad(grads, a).tolist(), s.grad(grads, b).tolist()))
    # r sin(angle) is y.
    assert found[0] == found[1]
    np.testing.assert_allclose(found[0][1], np.zeros(3), atol=1e-15)
    np.testing.assert_allclose(found[0][2], [0.0, 1.0, 2.0], atol=1e-15)
    _, moved = tl.jvp(lambda x, y: op(x, y)[:2], (x, y), (x, y))
    np.testing.assert_allclose([np.asarray(m) for m in moved], [np.hypot(x, y), np.zeros(3)], atol=1e-15)
    only = tl.grad(lambda x: tl.sum(op(x, y)[1]))(x)
    np.testing.assert_allclose(only.numpy(), -y / (x**2 + y**2))
    # Without shape= a call that has values learns from them that there are two.
    two = tl.custom_op(lambda x: (x, x[:1]), lambda x, ys, gs: gs[0] + np.pad(gs[1], (0, len(x) - 1)))
    m = tl.TapeM()
    leaf = m.leaf([1.0, 2.0])
    first, second = two(leaf)
    assert m.backward_scalar(m.sum(first) + m.sum(second))[leaf.id].tolist() == [2.0, 1.0]


def test_options():
    op = tl.custom_op(lambda x, power=1: x**power, lambda x, y, g, power=1: power * x ** (power - 1) * g)
    assert op(X, power=2).tolist() == (X**2).tolist()
    f = tl.jit(lambda x: tl.sum(op(x, power=3)) + tl.sum(op(x)))
    np.testing.assert_allclose(tl.grad(f)(X).numpy(), 3 * X**2 + 1)
    with pytest.raises(tl.OptionError, match="options must be hashable"):
        tl.jit(lambda x: op(x, power={}))(X)


def differentiable_sine():
    cosine = tl.custom_op(np.cos, lambda x, y, g: -g * sine(x), lambda x, t: -t * sine(x), name="cosine", programs=True)
    sine = tl.custom_op(np.sin, lambda x, y, g: g * cosine(x), lambda x, t: t * cosine(x), name="sine", programs=True)
    return sine


def test_rules_that_are_programs_have_any_order():
    sine = differentiable_sine()
    f = lambda x: tl.sum(sine(x) * x)  # noqa: E731
    g = lambda x: tl.sum(tl.sin(x) * x)  # noqa: E731
    for derive in (
        tl.grad,
        tl.hessian,
        lambda f: tl.grad(lambda x: tl.sum(tl.hessian(f)(x))),
        lambda f: tl.jacfwd(tl.jacfwd(tl.jacfwd(f))),
    ):
        np.testing.assert_allclose(derive(f)(X).numpy(), derive(g)(X).numpy(), rtol=1e-12, atol=1e-13)
    many = tl.custom_op(
        lambda x: (x * x, 3.0 * x), lambda x, ys, gs: (2.0 * x * gs[0] + 3.0 * gs[1],), lambda x, t: (2.0 * x * t, 3.0 * t),
        shape=lambda x: [x, x], programs=True,
    )  # fmt: skip
    h = tl.hessian(lambda x: tl.sum(many(x)[0] * many(x)[1]))(X)
    np.testing.assert_allclose(h.numpy(), np.diag(18 * X), rtol=1e-12)


def squared(op):
    return lambda x, w: op(x, w) ** 2


def summed(f):
    return lambda x, w: tl.sum(f(x, w))


def test_one_call_for_all_examples():
    calls = []

    def forward(x, w):
        calls.append(x.shape)
        return np.sum(x * w, axis=-1)

    def backward(x, w, y, g):
        calls.append(g.shape)
        return g[..., None] * w, g[..., None] * x

    xs, w = np.arange(6.0).reshape(2, 3), np.array([1.0, -1.0, 2.0])
    for method, shapes in (("broadcast_all", [(2, 3), (2,)]), ("sequential", [(3,), (3,), (), ()])):
        op = tl.custom_op(forward, backward, shape=lambda x, w: x[:-1], vmap_method=method)
        calls.clear()
        grads = tl.vmap(tl.grad(squared(op), argnums=(0, 1)), in_axes=(0, None))(xs, w)
        assert calls == shapes
        np.testing.assert_allclose(grads[0].numpy(), 2 * (xs @ w)[:, None] * w)
        np.testing.assert_allclose(grads[1].numpy(), 2 * (xs @ w)[:, None] * xs)
        total = tl.grad(summed(tl.vmap(squared(op), in_axes=(0, None))), argnums=1)(xs, w)
        np.testing.assert_allclose(total.numpy(), (2 * (xs @ w)[:, None] * xs).sum(0))


def test_checks_of_custom_ops():
    from tlean.testing import check_op

    check_op(cube(), [((3, 2),), np.array([1.0, 2.0])], order=1)
    check_op(cube(jvp=False), [((3,),)])
    check_op(differentiable_sine(), [((4,),)], order=3)
    wrong = tl.custom_op(lambda x: x**3, lambda x, y, g: 2 * x**2 * g, lambda x, t: 3 * x**2 * t, name="wrong")
    with pytest.raises(AssertionError, match="check_op: wrong"):
        check_op(wrong, [((3,),)])


def test_what_does_not_fit():
    for options, message in (
        ({"vmap_method": "loop"}, "vmap_method must be one of sequential, broadcast_all"),
        ({"dtype": "complex64"}, "dtype must be 'float'"),
    ):
        with pytest.raises(tl.OptionError, match=message):
            tl.custom_op(lambda x: x, lambda x, y, g: g, **options)
    op = tl.custom_op(lambda x: (x, x), lambda x, y, g: g[0], shape=lambda x: [x, x], dtype=("float",))
    with pytest.raises(tl.OptionError, match="a dtype for each of the 2 outputs, got 1"):
        tl.jit(op)(X)


def test_a_call_on_arrays_gives_what_a_recorded_one_gives():
    def backward(x, y, g):
        return g

    narrow = tl.custom_op(lambda x: x.astype("float32"), backward)
    count = tl.custom_op(lambda x: x * 1.5, backward, dtype="int64")
    long = tl.custom_op(lambda x: x, backward, shape=(4,))
    assert narrow(X).dtype == tl.jit(narrow)(X).dtype == "float64"
    assert narrow(np.arange(3)).dtype == tl.jit(narrow)(np.arange(3)).dtype == "float32"
    for call in (count, tl.jit(count)):
        with pytest.raises(tl.DTypeError, match="forward must give int64, as dtype= says, got float64"):
            call(X)
    for call in (long, tl.jit(long)):
        with pytest.raises(tl.ShapeError, match=r"forward gives an array of shape \(3,\), expected \(4,\)"):
            call(X)
