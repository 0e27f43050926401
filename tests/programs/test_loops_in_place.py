"""Carries of which a step writes a part: in place, so a step costs what it writes, and nothing reads what has gone."""

import time

import numpy as np
import pytest

import tlean as tl
from tlean.compiler.cpu import CPU

X, V = np.arange(12.0).reshape(4, 3), np.array([0.5, -1.0, 2.0])
KEYS = np.array([2, 0, 2, 3, 1])


def rows(c, i):
    return c.at[i].set(V * tl.sum(c[0])), None


def read_first_and_last(c, i):
    before = tl.sum(c, axis=0)
    after = c.at[i].add(before)
    return after, (c[1], after[2], tl.sum(after * c))


def stacked(c, i):
    return c.at[i].set(V), c


def two(c, i):
    # Each takes a row of the other as it was.
    a, b = c
    return (a.at[i].set(b[0]), b.at[1].set(a[i])), tl.sum(a)


def crossed(c, i):
    a, b = c
    return (b.at[i].set(V), a.at[0].mul(V)), b[1]


def box(c, i):
    return c.at[1:3, 1:].add(c[:2, :2] * 0.5 - c[2:, 1:]), c[0, 0]


def twice(c, i):
    return c.at[i].set(V).at[1].add(c[i]), None


def at_a_place(c, i):
    return tl.dynamic_update_slice(c, tl.sin(tl.dynamic_slice(c, (0, 1), (1, 2))), (i, 0)), None


BODIES = [rows, read_first_and_last, stacked, two, crossed, box, twice, at_a_place]


@pytest.mark.parametrize("body", BODIES, ids=lambda f: f.__name__)
def test_the_same_as_the_steps_written_out(body):
    first = (X, X * 0.1 + 1.0) if body in (two, crossed) else X

    def value(first, unroll):
        ended = tl.scan(body, first, KEYS, unroll=unroll)
        return sum(tl.sum(tl.sin(y)) for y in tl.tree.flatten(ended)[0])

    for f in (
        lambda first, unroll: tl.scan(body, first, KEYS, unroll=unroll),
        lambda first, unroll: tl.grad(lambda x: value(x, unroll))(first),
        lambda first, unroll: tl.jvp(lambda x: tl.grad(lambda x: value(x, unroll))(x), (first,), (first,))[1],
    ):
        looped, written = (tl.tree.flatten(tl.jit(lambda x, u=u, f=f: f(x, u))(first))[0] for u in (1, True))
        for a, b in zip(looped, written, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-12)
    # What came in is as it was.
    np.testing.assert_array_equal(X, np.arange(12.0).reshape(4, 3))


def body_plan(program):
    (node,) = [n for n in program._executable("forward").plan.program.graph.nodes if n.record.loop is not None]
    return node.record.loop.code[CPU].codes[0].plan


def test_a_step_costs_what_it_writes():
    def filled(x, v):
        return tl.fori_loop(0, 500, lambda i, c: c.at[i].set(v * tl.astype(i, "float64")), x)

    seconds = []
    for n in (500, 50_000):
        program = tl.compile_out(lambda ops, x, v: filled(x, v), [tl.Spec((n, 8), "float64"), tl.Spec((8,), "float64")])
        x, v = np.zeros((n, 8)), np.ones(8)
        made = program.forward(x, v).numpy()
        np.testing.assert_array_equal(made[:500, 3], np.arange(500.0))
        # The carry's new value is its old one's memory: nothing is copied.
        assert not any(s.kernel == "copy" for s in body_plan(program).program.steps)
        times = []
        for _ in range(5):
            begun = time.perf_counter()
            program.forward(x, v)
            times.append(time.perf_counter() - begun)
        seconds.append(min(times))
    # A hundred times the array, of which a call makes two copies and a step none: 500 copies take 300 ms.
    assert seconds[1] < seconds[0] + 0.05


def test_indices_that_are_out_of_range_write_nothing():
    x = X.copy()
    with pytest.raises(tl.IndexRangeError, match="iteration 2"):
        tl.scan(lambda c, i: (c.at[i].set(V), None), x, np.array([0, 1, 4]))
    np.testing.assert_array_equal(x, X)
