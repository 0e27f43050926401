"""Checkpoints: gradients that run a part of a program again, for the memory that they take and the bits that they have."""

import functools

import numpy as np
import pytest

import tlean as tl

RNG = np.random.default_rng(3)
W, H, XS = RNG.normal(size=(3, 3)) * 0.5, RNG.normal(size=3), RNG.normal(size=(11, 3))


def heat(u, a, steps, checkpoint):
    """Heat with a source on a torus."""

    def step(i, u):
        around = tl.roll(u, 1, 0) + tl.roll(u, -1, 0) + tl.roll(u, 1, 1) + tl.roll(u, -1, 1) - 4.0 * u
        return u + 0.1 * a * around + 0.01 * tl.sin(u)

    u = tl.fori_loop(0, steps, step, u, checkpoint=checkpoint)
    return tl.sum(u * u) + tl.sum(a) * 0.3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("steps", [0, 1, 2, 12, 101])
def test_gradients_in_blocks_have_the_same_bits(steps, dtype):
    # Of the carry, and of an invariant, whose sum over the steps goes on from block to block. 101 leaves steps over.
    given = RNG.normal(size=(6, 6)).astype(dtype), np.full((6, 6), 0.5, dtype)
    value, wanted = tl.value_and_grad(functools.partial(heat, steps=steps, checkpoint=None), argnums=(0, 1))(*given)
    for checkpoint in (1, 4, 500, "sqrt", "optimal"):
        f = functools.partial(heat, steps=steps, checkpoint=checkpoint)
        y, found = tl.value_and_grad(f, argnums=(0, 1))(*given)
        s = tl.Session(dtype=dtype)
        leaves = [s.leaf(a) for a in given]
        out = f(*leaves)
        taped = s.backward_scalar_dense_all(out)
        assert y.item() == value.item() == out.value.item()
        for leaf, g, w in zip(leaves, found, wanted, strict=True):
            np.testing.assert_array_equal(g.numpy(), w.numpy())
            np.testing.assert_array_equal(taped[leaf].numpy(), w.numpy())


def rollout(w, h, xs, again=lambda f: f, **how):
    h, ys = tl.scan(again(lambda h, x: (tl.tanh(w @ h + x * h), h * x)), h, xs, **how)
    return tl.sum(h * h) + tl.sum(tl.sin(ys))


ALL = (0, 1, 2)
TRANSFORMS = {
    "grad": lambda f: tl.grad(f, argnums=ALL),
    "tangent of grad": lambda f: lambda *a: tl.jvp(tl.grad(f, argnums=ALL), a, tuple(0.3 * x + 1.0 for x in a))[1],
    "grad of grad": lambda f: tl.grad(lambda *a: sum(tl.sum(tl.sin(g)) for g in tl.grad(f, argnums=ALL)(*a)), argnums=ALL),
    "vmap of grad": lambda f: lambda w, h, xs: tl.vmap(tl.grad(f, argnums=ALL), in_axes=(None, 0, None))(w, np.stack([h, 2 * h]), xs),
    "grad of vmap": lambda f: tl.grad(lambda w, h, xs: tl.sum(tl.vmap(lambda x: f(w, h, x))(tl.stack([xs, xs * 0.5]))), argnums=ALL),
    "hessian": lambda f: lambda w, h, xs: [tl.hessian(lambda h: f(w, h, xs))(h)],
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_derivatives_of_any_order(name):
    transform = TRANSFORMS[name]
    for reverse in (False, True):
        wanted = transform(functools.partial(rollout, reverse=reverse))(W, H, XS)
        ways = [{"checkpoint": c} for c in (3, "sqrt", "optimal")] + [{"again": tl.checkpoint}, {"again": tl.checkpoint, "checkpoint": 4}]
        for way in ways:
            found = transform(functools.partial(rollout, reverse=reverse, **way))(W, H, XS)
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-11, atol=1e-11 * np.abs(b.numpy()).max(), err_msg=str(way))


def scratch(f, *shapes):
    compiled = tl.compile_scalar(f, [tl.Spec(s, "float64") for s in shapes])
    compiled._executable("grad", compiled._grad_graph)
    return compiled._executable("grad").plan.scratch_bytes


def test_the_memory_of_a_loop():
    # What the plan takes for all its temporaries, which is what it takes at all: a step allocates nothing.
    bytes = {c: scratch(functools.partial(heat, steps=2000, checkpoint=c), (32, 32), (32, 32)) for c in (None, 100, "sqrt", "optimal")}
    assert bytes[None] > 2000 * 8 * 32 * 32
    assert bytes["optimal"] < bytes["sqrt"] < bytes[100] < bytes[None]
    assert bytes["sqrt"] < bytes[None] / 20
    assert bytes["optimal"] < bytes[None] / 40


def test_a_part_that_is_computed_again():
    def layer(x, w, scale=1.0):
        for _ in range(6):
            x = tl.tanh(x @ w) * scale
        return {"x": x}

    def model(x, w, again, depth=6):
        f = again(layer)
        for _ in range(depth):
            x = f(x, w, scale=0.9)["x"]
        return tl.sum(x * x)

    x, w = RNG.normal(size=(5, 8)), RNG.normal(size=(8, 8))
    plain, saving = (functools.partial(model, again=again) for again in (lambda f: f, tl.checkpoint))
    assert tl.checkpoint is tl.remat
    value, wanted = tl.value_and_grad(plain)(x, w)
    y, found = tl.value_and_grad(saving)(x, w)
    assert y.item() == value.item()
    np.testing.assert_array_equal(found.numpy(), wanted.numpy())
    s = tl.Session(dtype="float64")
    leaves = [s.leaf(x), s.leaf(w)]
    taped = s.backward_scalar_dense_all(saving(*leaves))
    # One node for each part, besides the number of the choice.
    assert len(s.store) < 25
    for leaf, g in zip(leaves, tl.grad(saving, argnums=(0, 1))(x, w), strict=True):
        np.testing.assert_array_equal(taped[leaf].numpy(), g.numpy())
    assert scratch(saving, (500, 8), (8, 8)) < scratch(plain, (500, 8), (8, 8)) / 2


def test_programs_of_either_kind():
    double = tl.checkpoint(lambda ops, x: ops.add(x, x))
    assert tl.jit(double)(2.0).item() == double(2.0).item() == 4.0
    assert tl.jit(lambda ops, x: ops.mul(double(x), x))(3.0).item() == 18.0
    w = np.array([1.0, 2.0])
    captured = tl.checkpoint(lambda x: tl.sum(x * w))
    assert tl.grad(captured)(np.ones(2)).tolist() == [1.0, 2.0]
    np.testing.assert_array_equal(tl.vmap(captured)(np.eye(2)).numpy(), w)


@pytest.mark.parametrize("checkpoint", [0, -1, True, 1.5, "log"])
def test_wrong_checkpoints(checkpoint):
    with pytest.raises(tl.OptionError, match="checkpoint must be None, an int of at least 1"):
        tl.scan(lambda c, x: (c, x), H, XS, checkpoint=checkpoint)
