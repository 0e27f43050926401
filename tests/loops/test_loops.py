"""Loops: what they compute, their derivatives in nests of transformations, and how they run."""

import functools
import random

import numpy as np
import pytest

import tlean as tl
from tlean.backends import Dual, Reference

STEPS = 4
XS = np.random.default_rng(5).normal(size=(STEPS, 3))
W = np.random.default_rng(6).normal(size=(3, 3)) * 0.5
V = np.array([0.3, -0.7, 1.1])


class Written:
    """The same calls without loops: each step of a scan is written out, and both branches of a choice are computed."""

    @staticmethod
    def scan(f, init, xs=None, length=None, reverse=False, **how):
        carry, ys = init, {}
        count = len(xs) if xs is not None else length
        for i in reversed(range(count)) if reverse else range(count):
            carry, ys[i] = f(carry, None if xs is None else xs[i])
        return carry, tl.stack([ys[i] for i in range(count)])

    @staticmethod
    def checkpoint(f):
        return f

    @staticmethod
    def cond(pred, yes, no, x):
        return tl.where(pred, yes(x), no(x))

    @staticmethod
    def while_loop(cond, body, init, max_steps=None):
        for _ in range(STEPS):
            init = body(init)
        return init


def drawn(rng, depth):
    """A nest of that depth, as data: (what, parts)."""
    if depth == 0:
        return rng.choice(["sin", "tanh", "matmul", "scale", "square"]), ()
    what = rng.choice(["scan", "back", "blocks", "carry", "while", "cond", "grad", "jvp", "jit", "then"])
    return what, tuple(drawn(rng, depth - 1 if k == 0 else rng.randrange(depth)) for k in range(2))


def program(lib, nest):
    """A nest as a function of a vector, by `tl` or by `Written`."""
    what, parts = nest
    plain = {"sin": tl.sin, "tanh": tl.tanh, "matmul": lambda x: W @ x, "scale": lambda x: x * 0.7, "square": lambda x: x * x * 0.3}
    if what in plain:
        return plain[what]
    f, g = (program(lib, p) for p in parts)

    def scan(x):
        carry, ys = lib.scan(lambda c, z: (tl.tanh(f(c) + z), g(c) * x), x, XS)
        return carry + tl.sum(ys, axis=0)

    def back(x):
        carry, ys = lib.scan(lambda c, z: (tl.sin(f(c)) * z, tl.sum(c * z)), V, XS, reverse=True)
        return carry + g(x) * tl.sum(ys) * 0.1

    def carry(x):
        # An integer among the carries, and a carry that is handed on.
        c, ys = lib.scan(
            lambda c, _: ((c[1], tl.tanh(f(c[0])) + tl.astype(c[2], "float64") * 0.1, c[2] + 1), c[0]), (x, g(x), np.int64(1)), length=STEPS
        )
        return c[0] + c[1] + ys[1]

    def loop(x):
        return lib.while_loop(lambda c: c[1] < STEPS, lambda c: (tl.tanh(f(c[0])) + V, c[1] + 1), (g(x), np.int64(0)), max_steps=STEPS + 2)[
            0
        ]

    def blocks(x):
        # In blocks of two steps, of a body that is computed again.
        carry, ys = lib.scan(lib.checkpoint(lambda c, z: (tl.tanh(f(c) * z), g(c) + x)), x, XS, checkpoint=2)
        return carry + ys[1]

    return {
        "scan": scan,
        "blocks": blocks,
        "back": back,
        "carry": carry,
        "while": loop,
        "cond": lambda x: lib.cond(tl.sum(x) > 0.1, f, g, x),
        "grad": lambda x: tl.grad(lambda z: tl.sum(f(z) * g(x)))(x),
        "jvp": lambda x: tl.jvp(f, (x,), (g(x),))[1],
        "jit": lambda x: tl.jit(f)(x),
        "then": lambda x: g(f(x)),
    }[what]


@pytest.mark.parametrize("seed", range(24))
def test_nests_of_transformations_agree_with_programs_without_loops(seed):
    rng = random.Random(seed)
    nest = drawn(rng, 3)
    loops, written = program(tl, nest), program(Written, nest)
    x = np.random.default_rng(seed).normal(size=3)

    def scalar(f):
        return lambda x: tl.sum(tl.sin(f(x)))

    for transformed in (lambda f: f, lambda f: tl.grad(scalar(f)), lambda f: lambda x: tl.jvp(f, (x,), (V,))[1]):
        got, wanted = transformed(loops)(x).numpy(), transformed(written)(x).numpy()
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9 * (1 + np.abs(wanted).max()), err_msg=str(nest))


def rollout(h, w, xs):
    h, ys = tl.scan(lambda h, x: (tl.tanh(w @ h + x), h * x), h, xs)
    return tl.sum(h * h) + tl.sum(tl.sin(ys))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loop_has_the_same_bits_on_a_tape(dtype):
    # The tape has one node for the loop, whose plan is the compiled program's.
    given = [np.asarray(a, dtype) for a in (V, W, XS)]
    value, gradients = tl.value_and_grad(rollout, argnums=(0, 1, 2))(*given)
    s = tl.Session(dtype=dtype)
    leaves = [s.leaf(a) for a in given]
    y = rollout(*leaves)
    found = s.backward_scalar_dense_all(y)
    assert y.value.numpy() == value.numpy()
    for leaf, g in zip(leaves, gradients, strict=True):
        np.testing.assert_array_equal(found[leaf].numpy(), g.numpy())


def test_what_a_body_captures_has_gradients():
    s = tl.Session()
    h = s.leaf(V.astype(np.float32))
    u = s.leaf(W.astype(np.float32))
    y = tl.sum(tl.fori_loop(0, 3, lambda i, h: tl.tanh(u @ h), h))
    g = s.backward_scalar_dense_all(y)[u].numpy()
    wanted = tl.grad(lambda u: tl.sum(tl.tanh(u @ tl.tanh(u @ tl.tanh(u @ V.astype(np.float32))))))(W.astype(np.float32)).numpy()
    np.testing.assert_allclose(g, wanted, rtol=1e-5, atol=1e-6)


def test_trees_lengths_and_directions():
    def step(carry, x):
        return {"a": carry["a"] + x["k"], "n": carry["n"] + 1}, (carry["n"], {"s": x["z"] * carry["a"]})

    xs = {"k": np.arange(5, dtype=np.float64), "z": XS[[0, 1, 2, 3, 0]]}
    for reverse in (False, True):
        carry, (n, rest) = tl.scan(step, {"a": 0.0, "n": 0}, xs, reverse=reverse)
        order = np.arange(5)[::-1] if reverse else np.arange(5)
        assert carry["a"].item() == 10.0 and carry["n"].item() == 5 and carry["n"].dtype == "int64"
        np.testing.assert_array_equal(n.numpy()[order], np.arange(5))
        sums = np.concatenate([[0.0], np.cumsum(order)[:-1]])
        np.testing.assert_allclose(rest["s"].numpy()[order], xs["z"][order] * sums[:, None])
    # No steps, no inputs, no outputs.
    carry, ys = tl.scan(lambda c, x: (c * 2.0, x), V, XS[:0])
    np.testing.assert_array_equal(carry.numpy(), V)
    assert ys.shape == (0, 3)
    carry, ys = tl.scan(lambda c, _: (c * 2.0, None), V, length=3)
    np.testing.assert_array_equal(carry.numpy(), V * 8)
    assert ys is None
    np.testing.assert_array_equal(tl.grad(lambda c: tl.sum(tl.scan(lambda c, x: (c * x, None), c, XS[:0])[0]))(V).numpy(), np.ones(3))


def test_a_carry_that_other_carries_and_outputs_are_made_of():
    # Shifted, swapped, handed on and returned: what a step reads is what the step before left.
    def step(carry, x):
        a, b, c = carry
        return (b, c, a), (a, x, a + b)

    first = (V, V + 1.0, V + 2.0)
    carry, ys = tl.scan(step, first, XS)
    got, wanted = list(first), []
    for x in XS:
        wanted.append((got[0], x, got[0] + got[1]))
        got = [got[1], got[2], got[0]]
    for a, b in zip(carry, got, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)
    for k, y in enumerate(ys):
        np.testing.assert_array_equal(y.numpy(), np.stack([row[k] for row in wanted]))


def test_unroll_writes_the_steps_out():
    s = tl.Session(dtype="float64")
    looped, _ = tl.scan(lambda c, x: (tl.sin(c) * x, None), s.leaf(V), XS)
    before = len(s.store)
    written, _ = tl.scan(lambda c, x: (tl.sin(c) * x, None), s.leaf(V), XS, unroll=True)
    np.testing.assert_allclose(looped.value.numpy(), written.value.numpy(), rtol=1e-14)
    assert before < 10
    assert len(s.store) > before + 2 * STEPS


def pushed(f):
    return lambda *a: tl.jvp(tl.grad(f, argnums=(0, 1, 2)), a, a)[1]


def mapped(f):
    return lambda w, h, xs: tl.vmap(tl.grad(f, argnums=(0, 1)), in_axes=(0, None, None))(tl.stack([w, w * 2.0]), h, xs)


@pytest.mark.parametrize("reverse", [False, True])
def test_several_steps_a_turn_have_the_same_bits(reverse):
    # A carry that is also stacked, an integer, an output that nothing reads, random numbers.
    def f(w, h, xs, unroll):
        def step(c, x):
            h = tl.tanh(w @ c[0] + x * c[0])
            return (h, c[1] + 1), (c[0] * x, h, tl.random.normal((), dtype="float64"), c[1])

        (h, _), ys = tl.scan(step, (h, 0), xs, reverse=reverse, unroll=unroll)
        return tl.sum(h * h) + tl.sum(tl.sin(ys[0]) * ys[1]) + tl.sum(ys[2] * ys[0][:, 0])

    xs = np.random.default_rng(7).normal(size=(12, 3))
    for unroll in (3, 5, 100):
        for transform in (lambda f: tl.value_and_grad(f, argnums=(0, 1, 2)), pushed, mapped):
            jits = [tl.jit(transform(functools.partial(f, unroll=u)), seed=2) for u in (1, unroll)]
            plain, turned = (tl.tree.flatten(j(W, V, xs))[0] for j in jits)
            for a, b in zip(plain, turned, strict=True):
                np.testing.assert_array_equal(a.numpy(), b.numpy())
    with pytest.raises(tl.IndexRangeError, match="scan: an iteration from 4 to 5: take"):
        tl.scan(lambda c, i: (c, tl.take(c, i, axis=0)), V, np.array([0, 1, 2, 1, 9, 1]), unroll=2)


def test_choices():
    def f(x, index):
        return tl.switch(index, [lambda x: x, lambda x: x * x, lambda x: (W @ x) * 3.0], x)

    for index, wanted in ((-4, V), (0, V), (1, V * V), (2, W @ V * 3.0), (9, W @ V * 3.0)):
        np.testing.assert_allclose(f(V, index).numpy(), wanted, rtol=1e-14)
    np.testing.assert_allclose(tl.grad(lambda x, index: tl.sum(f(x, index)))(V, np.int64(1)).numpy(), 2 * V)

    # The branch not taken is not run, and what only it reads has a gradient of exact zeros.
    def g(x, y):
        return tl.cond(x > 0.0, lambda: x * 2.0, lambda: tl.log(y))

    gx, gy = tl.grad(g, argnums=(0, 1))(np.float64(1.0), np.float64(-1.0))
    assert (gx.item(), gy.item()) == (2.0, 0.0)


def test_a_loop_of_unknown_length():
    def root(a, most=None):
        return tl.while_loop(lambda c: tl.abs(c * c - a) > 1e-12, lambda c: 0.5 * (c + a / c), a * 1.0, max_steps=most)

    def slope(f, a):
        return tl.jvp(f, (a,), (np.float64(1.0),))[1]

    a = np.float64(7.0)
    assert abs(root(a).item() - np.sqrt(7.0)) < 1e-12
    for most in (None, 30):
        bounded = functools.partial(root, most=most)
        assert abs(tl.grad(bounded)(a).item() - 0.5 / np.sqrt(7.0)) < 1e-12
        # Forward over forward needs no store.
        second = tl.jvp(functools.partial(slope, bounded), (a,), (np.float64(1.0),))[1]
        assert abs(second.item() + 0.25 * 7.0**-1.5) < 1e-11
    assert abs(tl.hessian(lambda a: root(a, 30))(a).item() + 0.25 * 7.0**-1.5) < 1e-11
    with pytest.raises(tl.OptionError, match="max_steps"):
        tl.hessian(root)(a)
    # The bound ends it.
    assert tl.while_loop(lambda c: c < 100, lambda c: c + 1, 0, max_steps=7).item() == 7
    # A store of many rows.
    many = tl.grad(lambda x: tl.while_loop(lambda c: c[1] < 1000, lambda c: (tl.sin(c[0]), c[1] + 1), (x, 0))[0])(np.float64(0.5)).item()
    looped = tl.grad(lambda x: tl.scan(lambda c, _: (tl.sin(c), None), x, length=1000)[0])(np.float64(0.5)).item()
    assert many == looped


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: tl.scan(lambda c, x: c, V, XS), tl.OptionError, r"scan: the body returns \(carry, y\)"),
        (lambda: tl.scan(lambda c, x: (tl.concat([c, c], axis=0), c), V, length=2), tl.ShapeError, "the carry must keep its shapes"),
        (lambda: tl.scan(lambda c, x: ((c, c), c), V, length=2), tl.ShapeError, "the carry must keep its structure"),
        (lambda: tl.scan(lambda c, x: (c > 0.0, c), V, length=2), tl.DTypeError, "the carry must keep its shapes and dtypes"),
        (lambda: tl.scan(lambda c, x: (c, c), V), tl.OptionError, "length is needed"),
        (lambda: tl.scan(lambda c, x: (c, c), V, XS, length=3), tl.ShapeError, "xs must have one length, got 3 and 4"),
        (lambda: tl.scan(lambda c, x: (c, x), V, (XS, XS[1:])), tl.ShapeError, "xs must have one length, got 3 and 4"),
        (lambda: tl.scan(lambda c, x: (c, x), V, 1.0), tl.ShapeError, "xs must have an axis"),
        (lambda: tl.scan(lambda c, x: (c, x), V, XS, unroll=0), tl.OptionError, "unroll must be True, or how many steps"),
        (lambda: tl.fori_loop(0.5, 2, lambda i, c: c, V), tl.OptionError, "lower and upper must be integers"),
        (lambda: tl.cond(V, lambda: 1.0, lambda: 2.0), tl.ShapeError, r"pred must be of shape \(\)"),
        (lambda: tl.cond(True, lambda: V, lambda: W), tl.ShapeError, "the branches must return the same shapes"),
        (lambda: tl.cond(True, lambda: (V, V), lambda: V), tl.ShapeError, "the branches must return one structure"),
        (lambda: tl.switch(0.5, [lambda: V]), tl.DTypeError, "index must be an integer"),
        (lambda: tl.while_loop(lambda c: c, lambda c: c, 1.0), tl.DTypeError, "cond returns a Boolean"),
        (lambda: tl.scan(lambda c, _: (c, None), V, length=2**70), tl.OptionError, r"length must be at least 0 and at most 2\^48"),
        (lambda: tl.fori_loop(0, 2**63, lambda i, c: c + 1.0, V), tl.OptionError, r"there must be at most 2\^48 steps"),
        (lambda: tl.while_loop(lambda c: True, lambda c: c, V, max_steps=2**63), tl.OptionError, r"max_steps must be .* at most 2\^48"),
        (lambda: tl.cond(None, lambda: 1.0, lambda: 2.0), tl.DTypeError, "pred must be a Boolean"),
        (lambda: tl.switch(None, [lambda: 1.0]), tl.DTypeError, "index must be an integer"),
        (lambda: tl.associative_scan(lambda a, b: tl.sum(a + b), V), tl.ShapeError, "f must return the shapes and dtypes"),
        (lambda: tl.associative_scan(lambda a, b: a > b, V), tl.DTypeError, "f must return the shapes and dtypes"),
    ],
)
def test_wrong_bodies(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_errors_name_the_iteration():
    def pick(c, i):
        return c, tl.take(c, i, axis=0)

    with pytest.raises(tl.IndexRangeError, match=r"scan: iteration 3: take: an index or label is out of range"):
        tl.scan(pick, V, np.array([0, 1, 2, 3, 0]))
    with pytest.raises(tl.IndexRangeError, match=r"scan: iteration 1: scan: iteration 2: take"):
        tl.scan(lambda c, i: (c, tl.scan(pick, c, i)[1]), V, np.array([[0, 1, 2], [0, 1, 9]]))

    def refuse(x):
        if x > 1.0:
            raise ValueError("no")
        return x

    op = tl.custom_op(refuse, lambda x, y, g: g)
    with pytest.raises(ValueError, match="no") as caught:
        tl.scan(lambda c, x: (c, op(x)), 0.0, np.array([0.0, 1.0, 2.0]))
    assert caught.value.__notes__ == ["in scan: iteration 2"]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 16])
def test_associative_scan(count):
    rng = np.random.default_rng(count)
    a, b = rng.normal(size=(2, count, 3)), rng.normal(size=(count, 2))

    def f(p, q):
        # Maps x -> s*x + t, one after the other: not commutative.
        return {"s": p["s"] * q["s"], "t": q["t"] + p["t"]}

    def wanted(x, op):
        return np.stack([functools.reduce(op, x[: k + 1]) for k in range(count)]) if count else x

    made = tl.associative_scan(lambda p, q: q - 0.0 * p, b)
    np.testing.assert_array_equal(made.numpy(), b)
    np.testing.assert_allclose(tl.associative_scan(tl.mul, a, axis=1).numpy(), np.cumprod(a, axis=1), rtol=1e-12)
    np.testing.assert_allclose(
        tl.associative_scan(tl.add, b, reverse=True).numpy(), np.cumsum(b[::-1], axis=0)[::-1], rtol=1e-9, atol=1e-12
    )
    both = tl.associative_scan(f, {"s": b, "t": b})
    np.testing.assert_allclose(both["s"].numpy(), wanted(b, np.multiply), rtol=1e-12)
    matrices = rng.normal(size=(count, 2, 2))
    products = tl.associative_scan(lambda p, q: p @ q, matrices)
    np.testing.assert_allclose(products.numpy(), wanted(matrices, np.matmul), rtol=1e-9, atol=1e-12)
    if count:
        got = tl.grad(lambda x: tl.sum(tl.sin(tl.associative_scan(tl.add, x))))(b).numpy()
        slow = tl.grad(lambda x: tl.sum(tl.sin(tl.scan(lambda c, x: (c + x, c + x), np.zeros(2), x)[1])))(b).numpy()
        np.testing.assert_allclose(got, slow, rtol=1e-12, atol=1e-12)


def test_by_definition_and_on_other_backends():
    # The reference runs a loop by its steps; so does a session without kernels.
    given = [V, W, XS]
    value = tl.jit(rollout)(*given).numpy()
    ref = Reference("float64")
    np.testing.assert_allclose(rollout(*(ref.leaf(a) for a in given)).value, value, rtol=1e-12)
    s = tl.Session(tl.Options(dtype="float64", fast_kernels=False))
    np.testing.assert_allclose(rollout(*(s.leaf(a) for a in given)).value.numpy(), value, rtol=1e-12)
    dual = Dual(tl.Session(dtype="float64"))
    moved = rollout(dual.lift(dual.inner.leaf(V), dual.inner.leaf(V)), dual.lift(dual.inner.leaf(W)), XS)
    wanted = tl.jvp(rollout, (V, W, XS), (V, None, None))[1].numpy()
    np.testing.assert_allclose(moved.tangent.value.numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_parameters_that_a_body_captures_learn(backend):
    # By the name of a session's parameter, and as the argument of a trainer's program.
    w, xs = W.astype(np.float32), XS.astype(np.float32)
    s = tl.Session(tl.Options(backend=backend))
    p = s.param(w.copy())
    losses = []
    for _ in range(3):
        h, _ys = tl.scan(lambda h, x: (tl.tanh(p @ h + x), None), s.const(V), xs)
        loss = s.sum(h * h)
        losses.append(loss.value.item())
        s.sgd_step_all(0.1, s.backward_scalar_dense_all(loss))
        s.reset_tape()

    def program(ops, w, xs):
        h, _ys = tl.scan(lambda h, x: (tl.tanh(w @ h + x), None), V.astype(np.float32), xs)
        return ops.sum(h * h)

    trainer = tl.ScalarTrainer(tl.Options(backend=backend), [w], [xs.shape], program)
    assert losses == [trainer.step(0.1, xs).item() for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("length", [0, 3])
def test_gradients_of_matrices_without_entries(length):
    def loss(w, h):
        return tl.sum(tl.scan(lambda h, _: (tl.tanh(w @ h), h), h, length=length)[1])

    found = tl.grad(loss, argnums=(0, 1))(np.zeros((0, 0)), np.zeros(0))
    assert [x.shape for x in found] == [(0, 0), (0,)]
    wide = tl.grad(lambda w: tl.sum(tl.scan(lambda c, x: (c + w @ x, None), np.zeros(2), np.zeros((3, 0)))[0]))(np.zeros((2, 0)))
    assert wide.shape == (2, 0)
