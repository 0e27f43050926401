"""Windows that fused groups read and write where they are: the bits of the ops, and no copies."""

import random

import numpy as np
import pytest

import tlean as tl


def steps_of(program):
    """The kernels of a jitted program's plan, those of its loops' bodies too."""
    names, todo = [], [program.plan.program]
    while todo:
        for step in todo.pop().steps:
            names.append(step.kernel)
            todo += [c.program for n in step.nodes if n.record.loop is not None for k in n.record.loop.code.values() for c in k.codes]
    return names


def window(x, at, shape):
    return x[tuple(slice(a, a + n) for a, n in zip(at, shape, strict=True))]


def drawn(rng, shape):
    """A program of ops on windows of x, and where its result goes; the windows' shape may be that of most of x or less."""
    box = tuple(n - rng.choice([0, 1, 1, 2, 3]) for n in shape)
    starts = [tuple(rng.randint(0, n - m) for n, m in zip(shape, box, strict=True)) for _ in range(rng.randint(1, 6))]
    kinds = [rng.choice(["add", "mul", "sub", "tanh", "scale", "where"]) for _ in range(rng.randint(1, 8))]
    end, to = rng.choice(["set", "add", "place", "both", "read", "kept"]), rng.choice(starts)

    def program(x, y):
        parts = [window(v, at, box) for at in starts for v in (x, y)]
        made = parts[0]
        for k, kind in enumerate(kinds):
            other = parts[k % len(parts)]
            if kind == "tanh":
                made = tl.tanh(made)
            elif kind == "scale":
                made = made * 0.75 + 0.125
            elif kind == "where":
                made = tl.where(made > other, made, other * 0.5)
            else:
                made = getattr(tl, kind)(made, other)
        key = tuple(slice(a, a + n) for a, n in zip(to, box, strict=True))
        widths = tuple((a, n - a - m) for a, n, m in zip(to, shape, box, strict=True))
        if end == "set":
            return x.at[key].set(made)
        if end == "add":
            return x.at[key].add(made)
        if end == "place":
            return tl.pad(made, widths)
        if end == "kept":
            # A value on the way is wanted by itself, and an array of the box's shape is read.
            flat = tl.reshape(y, (-1,))[: made.size]
            return x.at[key].set(tl.tanh(made) * tl.reshape(flat, made.shape)) + tl.sum(made[..., :3])
        if end == "both":
            return x.at[key].set(made) + tl.pad(made * 2.0, widths)
        return tl.sum(made * made) * x

    return program


def total(f):
    return lambda x, y: tl.sum(f(x, y))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(6))
def test_programs_on_windows_have_the_bits_of_their_ops(seed, dtype):
    """Also where what lies between the rows is no number, and with their derivatives, which put into zeros what windows take."""
    rng = random.Random(seed)
    for _ in range(2):
        shape = rng.choice([(40, 48), (33, 65), (2100,), (6, 20, 24), (70, 31), (3, 37, 37)])
        f = drawn(rng, shape)
        numbers = np.random.default_rng(seed)
        x, y = (numbers.standard_normal(shape).astype(dtype) for _ in range(2))
        x[(0,) * len(shape)], y[(-1,) * len(shape)] = np.nan, np.inf
        wanted, found = (tl.grad(total(f), argnums=(0, 1), backend=backend)(x, y) for backend in ("eager", "compiled"))
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
        s = tl.Session(tl.Options(dtype=dtype))
        np.testing.assert_array_equal(tl.jit(f)(x, y).numpy(), f(s.const(x), s.const(y)).value.numpy())
        c = np.asarray(numbers.standard_normal(shape), dtype)
        loop = tl.jit(lambda x, y, f=f: tl.scan(lambda u, _: (f(u, y), None), x, length=3)[0])
        with np.errstate(all="ignore"):
            step = c
            for _ in range(3):
                step = tl.jit(f)(step, y)
        np.testing.assert_array_equal(loop(c, y).numpy(), step.numpy())


def heat(u):
    flow = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - u[1:-1, 1:-1] * 4.0
    return u.at[1:-1, 1:-1].add(flow * 0.2)


def test_a_stencil_and_its_adjoint_copy_nothing():
    u = np.random.default_rng(0).standard_normal((40, 48))
    program = tl.jit(lambda u: tl.scan(lambda u, _: (heat(u), None), u, length=5)[0])
    assert program(u).shape == u.shape
    assert len(steps_of(program)) == 2
    gradient = tl.jit(tl.grad(lambda u: tl.sum(tl.square(tl.scan(lambda u, _: (heat(u), None), u, length=5)[0]))))
    found = gradient(u).numpy()
    assert not {"place", "strided_copy", "set_box"} & set(steps_of(gradient))
    written = tl.grad(lambda u: tl.sum(tl.square(tl.scan(lambda u, _: (heat(u), None), u, length=5, unroll=True)[0])))(u).numpy()
    np.testing.assert_allclose(found, written, rtol=1e-13, atol=1e-13)
    products = [
        tl.hvp(lambda u, how=how: tl.sum(tl.sin(tl.scan(lambda u, _: (heat(u), None), u, length=3, unroll=how)[0])), (u,), (u,))[0].numpy()
        for how in (1, True)
    ]
    np.testing.assert_allclose(*products, rtol=1e-12, atol=1e-13)


def test_a_value_in_ranges_of_two_kinds():
    """Numbers spread over boxes that go to arrays of other rows."""

    def f(x, y, a):
        spread = tl.broadcast_to(a, (38, 46)) * 2.0 + tl.broadcast_to(a, (38, 46))
        return x.at[1:-1, 1:-1].set(x[2:, 1:-1] * spread), y.at[:38, 2:48].set(y[2:, 3:49] + spread)

    x, y, a = np.ones((40, 48)), np.ones((40, 50)), np.array(0.3)
    first, second = tl.jit(f)(x, y, a)
    np.testing.assert_array_equal(first.numpy()[1:-1, 1:-1], np.full((38, 46), 0.3 * 2.0 + 0.3))
    np.testing.assert_array_equal(second.numpy()[:38, 2:48], np.full((38, 46), 1.0 + (0.3 * 2.0 + 0.3)))
    assert first.numpy()[0].tolist() == [1.0] * 48 and second.numpy()[:, :2].tolist() == [[1.0, 1.0]] * 40


def test_a_group_that_fills_a_box_makes_no_sum():
    # What is summed is of a window that the box reads, too: it has the elements of the group, and another place.
    def f(u, v):
        return u.at[2:3, 0:1098].add(v[1:2, 2:]), tl.sum(v[1:2, 2:] * -4.0)

    u, v = np.random.default_rng(3).normal(size=(2, 3, 1100))
    for value, wanted in zip(tl.jit(f)(u, v), f(tl.neg(-u), tl.neg(-v)), strict=True):
        np.testing.assert_array_equal(value, wanted)
