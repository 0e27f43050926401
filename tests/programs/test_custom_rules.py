"""`custom_vjp` and `custom_jvp`: true rules change nothing, whatever they are part of; others are seen at each order."""

import pickle

import numpy as np
import pytest

import tlean as tl

RNG = np.random.default_rng(0)
X, STEPS = RNG.standard_normal((3, 4)), np.array([0.5, -1.0, 0.3])


def close(actual, expected, rtol=1e-9):
    for a, b in zip(tl.tree.flatten(actual)[0], tl.tree.flatten(expected)[0], strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=1e-11)


def plain(x, y):
    return tl.sin(x) * y["s"], [tl.exp(x * 0.3) + y["s"]]


def fwd(x, y):
    return reverse(x, y), (tl.cos(x), x, y)


def bwd(residuals, g):
    c, x, y = residuals
    first, (second,) = g
    return first * c * y["s"] + 0.3 * second * tl.exp(x * 0.3), {"s": first * tl.sin(x) + second}


def push(primals, tangents):
    (x, y), (tx, ty) = primals, tangents
    e = tl.exp(x * 0.3)
    return forward(x, y), (tl.cos(x) * y["s"] * tx + tl.sin(x) * ty["s"], [0.3 * e * tx + ty["s"]])


reverse = tl.custom_vjp(plain)
reverse.defvjp(fwd, bwd)
reverse.defjvp(push)
forward = tl.custom_jvp(plain)
forward.defjvp(push)
CUSTOM = {"both rules": reverse, "forward rule": forward}


def energy(f):
    def run(x):
        a, (b,) = f(x, {"s": tl.cos(x)})
        return a * b

    return run


def summed(f):
    return lambda x: tl.sum(tl.sin(f(x)))


def along(f):
    return lambda x: tl.jvp(f, (x,), (tl.ones_like(x),))[1]


#: Programs of an array of that shape made from such programs.
NESTS = {
    "grad": lambda f: tl.grad(summed(f)),
    "jvp": lambda f: lambda x: tl.jvp(f, (x,), (tl.cos(x),))[1],
    "vmap": lambda f: tl.vmap(f),
    "vmap of the last": lambda f: tl.vmap(f, in_axes=-1, out_axes=-1),
    "scan": lambda f: lambda x: tl.scan(lambda c, w: (0.5 * c + f(w * x), c), x, STEPS)[0],
    "fori_loop": lambda f: lambda x: tl.fori_loop(0, 2, lambda i, c: tl.tanh(f(c)), x),
    "cond": lambda f: lambda x: tl.cond(tl.sum(x) > 0, f, lambda x: f(-x), x),
    "jit": lambda f: tl.jit(f),
    "vjp": lambda f: lambda x: tl.vjp(f, x)[1](tl.sin(x))[0],
    "twice": lambda f: lambda x: f(0.1 * f(x)),
}


@pytest.mark.parametrize("seed", range(16))
def test_true_rules_change_nothing(seed):
    rng = np.random.default_rng(seed)
    names, rank = [], 2
    for name in rng.permutation(sorted(NESTS)):
        if name.startswith("vmap"):
            if not rank:
                continue
            rank -= 1
        names.append(name)
    names = names[:3]

    def nest(f):
        for name in names:
            f = NESTS[name](f)
        return f

    expected = nest(energy(plain))(X)
    for f in CUSTOM.values():
        close(nest(energy(f))(X), expected)


def test_against_finite_differences():
    for f in CUSTOM.values():
        g = summed(energy(f))
        h = 1e-6
        for _ in range(3):
            slope = (np.asarray(g(X[0] + h)) - np.asarray(g(X[0] - h))) / (2 * h)
            g = along(g)
            np.testing.assert_allclose(np.asarray(g(X[0])), slope, rtol=1e-7)


def test_eager_backends():
    """Each output is a node; both backends of a session and tapes have the same bits."""
    found = []
    for backend in ("eager", "compiled"):
        s = tl.Session(tl.Options(backend=backend, dtype="float64"))
        x = s.input(X)
        a, (b,) = reverse(x, {"s": s.cos(x)})
        loss = s.sum(a * b)
        found.append((loss.item(), s.grad(s.backward_scalar_dense_all(loss), x).numpy()))
    assert found[0][0] == found[1][0] and found[0][1].tobytes() == found[1][1].tobytes()
    close(found[0][1], tl.grad(lambda x: tl.sum(energy(plain)(x)))(X))


def doubled(kind):
    """x³ whose derivative is said to be 6x², twice the true one."""

    def cube(x):
        return x**3

    f = (tl.custom_vjp if kind == "vjp" else tl.custom_jvp)(cube)
    if kind == "vjp":
        f.defvjp(lambda x: (f(x), x), lambda x, g: (6.0 * x * x * g,))
    elif kind == "jvp":
        f.defjvp(lambda p, t: (f(*p), 6.0 * p[0] * p[0] * t[0]))
    else:
        f.defjvps(lambda t, y, x: 6.0 * x * x * t)
    return f


@pytest.mark.parametrize("kind", ["vjp", "jvp", "jvps"])
def test_another_rule_is_seen_at_each_order(kind):
    f, x = doubled(kind), np.array(0.7)
    assert f(x).item() == (0.7 * 0.7 * 0.7)
    for wanted in (6 * 0.7**2, 12 * 0.7, 12.0, 0.0):
        f = tl.grad(f)
        close(f(x), wanted)
    f = doubled(kind)
    xs = np.array([0.7, -0.2])
    close(tl.grad(lambda xs: tl.sum(tl.vmap(f)(xs)))(xs), 6 * xs**2)
    close(tl.vmap(tl.grad(tl.grad(f)))(xs), 12 * xs)
    close(tl.grad(lambda x: tl.fori_loop(0, 2, lambda i, c: f(c), x))(x), 6 * 0.7**2 * 6 * 0.7**6)
    close(tl.jit(tl.grad(lambda x: tl.vmap(lambda k: k * tl.vmap(lambda _: f(x))(xs)[0])(xs)[1]))(x), -0.2 * 6 * 0.7**2)
    m = tl.TapeM(dtype="float64")
    leaf = m.leaf(0.7)
    close(m.backward_scalar(f(leaf))[leaf.id], 6 * 0.7**2)


def test_forward_mode():
    close(tl.jvp(doubled("jvp"), (np.array(0.7),), (1.0,))[1], 6 * 0.7**2)
    with pytest.raises(tl.OptionError, match=r"custom_vjp: forward mode needs a rule for tangents; call cube.defjvp\(rule\)"):
        tl.jvp(doubled("vjp"), (np.array(0.7),), (1.0,))


def test_arguments_without_a_derivative():
    @tl.custom_vjp
    def unused(x):
        return x

    with pytest.raises(tl.OptionError, match="unused has no rule for its derivatives"):
        unused(X)

    def applied(f, x, n=2, w=1.0):
        return f(x) ** n * w

    g = tl.custom_vjp(applied, nondiff_argnums=(0, 2))
    g.defvjp(lambda f, x, n, w: (g(f, x, n, w), (x, w)), lambda f, n, r, g: (float(n) * f(r[0]) * g * r[1], None))
    x = np.array([1.0, 2.0])
    close(g(tl.square, x), x**4)
    assert tl.grad(lambda x: tl.sum(g(tl.square, x)))(x).tolist() == (2 * x**2).tolist()
    assert tl.grad(lambda x: tl.sum(g(tl.square, x, w=3.0, n=3)))(x).tolist() == (9 * x**2).tolist()
    assert tl.grad(lambda w: tl.sum(g(tl.square, x, 2, w)))(np.array(2.0)).item() == 0.0
    # An array there is an input whose cotangent is zero.
    k = tl.custom_jvp(lambda x, mask: tl.where(mask, x, 0.0 * x), nondiff_argnums=1)
    k.defjvp(lambda mask, p, t: (p[0], 10.0 * tl.where(mask, t[0], 0.0 * t[0])))
    assert tl.grad(lambda x: tl.sum(k(x, np.array([True, False]))))(x).tolist() == [10.0, 0.0]


def test_integers_and_captured_arrays():
    table = np.array([1.0, 2.0, 3.0])
    f = tl.custom_vjp(lambda x, i: x[i] * table[1:])
    f.defvjp(lambda x, i: (f(x, i), i), lambda i, g: (tl.zeros(3).at[i].add(g), None))
    x, i = np.arange(3.0), np.array([2, 0])
    run = tl.jit(lambda x, i: (f(x, i), tl.grad(lambda x: tl.sum(f(x, i)))(x)))
    close(run(x, i), (np.array([4.0, 0.0]), np.array([1.0, 0.0, 1.0])))
    table[:] = 1.0
    close(run(x, i), (np.array([2.0, 0.0]), np.array([1.0, 0.0, 1.0])))


def test_what_is_captured_has_no_derivative():
    def loss(w, x):
        f = tl.custom_jvp(lambda x: x * w)
        f.defjvp(lambda p, t: (p[0], t[0]))
        return tl.sum(f(x))

    close(tl.grad(loss, argnums=1)(X, X), np.ones_like(X))
    for derivative in (tl.grad(loss), lambda w, x: tl.jvp(loss, (w, x), (w, None))):
        with pytest.raises(tl.OptionError, match="captures a reference or a parameter"):
            derivative(X, X)


def test_a_change_of_what_a_rule_captures():
    scale = [2.0]
    f = tl.custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, None), lambda _, g: (g * scale[0],))
    gradient = tl.grad(lambda x: tl.sum(f(x)))
    assert gradient(X[0]).tolist() == [2.0] * 4
    scale[0] = 3.0
    assert gradient(X[0]).tolist() == [3.0] * 4
    f.defvjp(lambda x: (x, None), lambda _, g: (-g,))
    assert tl.grad(lambda x: tl.sum(f(x)))(X[0]).tolist() == [-1.0] * 4


def test_copies():
    for f in (pickle.loads(pickle.dumps(reverse)), pickle.loads(pickle.dumps(tl.jit(reverse)))):
        close(f(X, {"s": X}), plain(X, {"s": X}))
    assert pickle.loads(pickle.dumps(forward)).__name__ == "plain"
    assert repr(reverse) == "<custom_vjp of plain, a plain function>"


def test_what_does_not_fit_is_named():
    def broken(fwd=lambda x: (x, None), bwd=lambda r, g: (g,)):
        f = tl.custom_vjp(lambda x: x)
        f.defvjp(fwd, bwd)
        return tl.grad(lambda x: tl.sum(f(x)))

    for options, message in (
        ({"fwd": lambda x: x}, "fwd must return"),
        ({"bwd": lambda r, g: g}, "a tuple with a cotangent for each of the 1"),
        ({"bwd": lambda r, g: (g[0],)}, r"must have its value's shape \(4,\), got \(\)"),
        ({"bwd": lambda r, g: ([g],)}, "a cotangent like its argument"),
        ({"bwd": lambda r, g: (g > 0,)}, "must hold floating-point numbers"),
    ):
        with pytest.raises(tl.TleanError, match=message):
            broken(**options)(X[0])
    with pytest.raises(tl.OptionError, match="nondiff_argnums must be an int"):
        tl.custom_vjp(lambda x: x, nondiff_argnums="x")


def test_a_rule_that_is_declared_again_serves_programs_that_are_kept():
    f = tl.custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, None), lambda _, g: (2.0 * g,))
    slope = tl.grad(lambda x: tl.sum(f(x)))
    assert slope(X[0]).tolist() == [2.0] * 4
    f.defvjp(lambda x: (x, None), lambda _, g: (5.0 * g,))
    assert slope(X[0]).tolist() == [5.0] * 4


def test_a_rule_has_the_value_of_its_function():
    f = tl.custom_vjp(lambda x: x)
    f.defvjp(lambda x: (tl.sum(x), None), lambda _, g: (g,))
    with pytest.raises(tl.ShapeError, match=r"fwd must return a value of the function's shape, \[\(4,\)\], got \[\(\)\]"):
        tl.grad(lambda x: tl.sum(f(x)))(X[0])
    f = tl.custom_jvp(lambda x: x)
    f.defjvp(lambda xs, ts: ({"x": xs[0]}, ts[0]))
    with pytest.raises(tl.ShapeError, match="must return a value like the function's"):
        tl.jvp(f, (X,), (X,))
    with pytest.raises(tl.OptionError, match="defjvps takes functions"):
        f.defjvps(3.0)


def test_defaults_are_part_of_the_program():
    """An op as the function: what a call leaves out is no array, and rules may leave it out, too."""
    x, ones = np.arange(3.0), np.ones(3)
    f = tl.custom_vjp(tl.sum)
    f.defvjp(lambda x: (tl.sum(x), None), lambda _, g: (2.0 * g * tl.ones(3, dtype="float64"),))
    assert f(x).item() == tl.jit(f)(x).item() == 3.0 and tl.grad(f)(x).tolist() == (2.0 * ones).tolist()
    # As JAX has it, with every argument.
    f.defvjp(lambda x, axis, keepdims: (tl.sum(x, axis, keepdims), None), lambda _, g: (3.0 * g * tl.ones(3, dtype="float64"), None, None))
    assert tl.grad(f)(x).tolist() == (3.0 * ones).tolist()
    h = tl.custom_jvp(tl.sum)
    h.defjvp(lambda primals, tangents: (tl.sum(primals[0]), 5.0 * tl.sum(tangents[0])))
    assert tl.jvp(h, (x,), (ones,))[1].item() == 15.0 and tl.grad(h)(x).tolist() == (5.0 * ones).tolist()
    h.defjvps(lambda t, y, *primals: 7.0 * tl.sum(t))
    assert tl.grad(h)(x).tolist() == (7.0 * ones).tolist()
    for cotangents in ((), (ones, ones)):
        f.defvjp(lambda x: (tl.sum(x), None), lambda _, g, made=cotangents: made)
        with pytest.raises(tl.ShapeError, match="each of the 1 differentiable arguments"):
            tl.grad(f)(x)
    with pytest.raises(tl.CallError, match="'name' by keyword alone"):
        f(x, name="sum")


def test_defaults_that_a_call_gives_have_derivatives():
    @tl.custom_vjp
    def scaled(x, scale=2.0, mode="plain"):
        assert mode == "plain"
        return x * scale

    scaled.defvjp(lambda x, scale, mode: (x * scale, (x, scale)), lambda r, g: (g * r[1], g * r[0], None))
    x, scale = np.array(3.0), np.array(5.0)
    assert tl.grad(scaled)(x).item() == 2.0
    assert [g.item() for g in tl.grad(scaled, argnums=(0, 1))(x, scale)] == [5.0, 3.0]
    assert tl.grad(lambda s: scaled(3.0, scale=s))(scale).item() == 3.0
