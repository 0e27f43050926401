"""Carries of which a step writes a few places: where they are, whatever else reads the old value, against the same steps written out."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

C = np.random.default_rng(0).normal(size=(6, 4))
V = np.random.default_rng(1).normal(size=(5, 4))
AT = np.array([3, 0, 5, 3, 1])
TURN = np.array([1, 2, 3, 4, 5, 0])


def box(c, v, i):
    return tl.dynamic_update_slice(c, v.reshape(1, 4), (i, 0))


#: name -> a step (c, v, i) -> (c, y)
STEPS = {
    "rows": lambda c, v, i: (c.at[i].set(v), None),
    "added": lambda c, v, i: (c.at[i].add(v), None),
    "box": lambda c, v, i: (box(c, v, i), None),
    "column": lambda c, v, i: (c.at[:, 2].set(tl.sum(v) * 0.3), None),
    "twice": lambda c, v, i: (box(c.at[0].add(v), v * 2.0, i), None),
    "a view": lambda c, v, i: (c.reshape(3, 8).at[1].set(tl.concat([v, v], axis=0)).reshape(6, 4), None),
    "from itself": lambda c, v, i: (c.at[i].set(c[0] + tl.tanh(c[i])), None),
    "read after": lambda c, v, i: (box(c, v, i), tl.sum(c * c)),
    "both read": lambda c, v, i: ((n := box(c, v, i)), tl.sum(n * c)),
    "onto itself": lambda c, v, i: (c.at[TURN].add(c), None),
    "turned": lambda c, v, i: (c.at[TURN].set(c * 1.5), None),
    "nowhere": lambda c, v, i: (c.at[i + 3].set(v, mode="fill"), None),
    "also stacked": lambda c, v, i: ((n := box(c, v, i)), n),
    "another array": lambda c, v, i: (box(c * 2.0, v, i), None),
}


def rollout(step, unroll):
    def program(c, vs):
        last, ys = tl.scan(lambda c, x: step(c, *x), c, (vs, AT), unroll=unroll)
        return last, tl.sum(last * last * last) + (0.0 if ys is None else tl.sum(ys))

    return program


@pytest.mark.parametrize("name", STEPS)
def test_a_carry_that_is_written_to(name):
    step = STEPS[name]
    own = C.copy()
    made = {}
    for unroll in (1, True):
        program = rollout(step, unroll)
        run = tl.jit(program)
        made[unroll] = [np.asarray(a) for a in run(own, V)]
        for a, b in zip(run(own, V), made[unroll], strict=True):
            np.testing.assert_array_equal(np.asarray(a), b)
        made[unroll] += [np.asarray(g) for g in tl.jit(tl.grad(lambda c, vs, p=program: p(c, vs)[1], argnums=(0, 1)))(own, V)]
    np.testing.assert_array_equal(own, C)
    for a, b in zip(made[1], made[True], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    s = tl.Session(dtype="float64")
    for a, b in zip(rollout(step, 1)(s.input(own), s.input(V)), made[1], strict=False):
        np.testing.assert_array_equal(np.asarray(a), b)


@pytest.mark.parametrize("name", ["rows", "twice", "both read", "onto itself"])
def test_in_a_loop_of_unknown_length(name):
    step = STEPS[name]
    done = tl.jit(lambda c: tl.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, step(s[1], tl.take(V, s[0], axis=0), s[0])[0]), (0, c)))
    wanted = tl.jit(lambda c: tl.scan(lambda c, x: (step(c, *x)[0], None), c, (V, np.arange(5)), unroll=True)[0])
    np.testing.assert_array_equal(np.asarray(done(C)[1]), np.asarray(wanted(C)))


def test_outside_of_loops_too():
    """A temporary that nothing else reads gives its memory to what is written to it."""
    program = tl.jit(lambda x, v: tl.exp(x).at[1].set(v).at[2].add(v))
    alias = tl.jit(lambda x: (y := tl.exp(x)).at[TURN].add(y))
    e = np.exp(C)
    np.testing.assert_allclose(np.asarray(program(C, V[0])), [e[0], V[0], e[2] + V[0], *e[3:]], rtol=1e-14)
    np.testing.assert_allclose(np.asarray(alias(C)), e + e[np.argsort(TURN)], rtol=1e-14)


def test_no_steps_and_an_index_that_is_not_there():
    none = tl.jit(lambda c: tl.scan(lambda c, _: (box(c, V[0], 0), None), c, length=0)[0])
    np.testing.assert_array_equal(np.asarray(none(C)), C)
    run = tl.jit(lambda c, at: tl.scan(lambda c, i: (c.at[i].set(V[0]), None), c, at)[0])
    with pytest.raises(tl.IndexRangeError, match="iteration 2"):
        run(C, np.array([1, 2, 9]))
    np.testing.assert_array_equal(np.asarray(run(C, np.array([1, 2, 5])))[0], C[0])
