"""What is the same at each step of a loop runs once, before it."""

import numpy as np
import pytest

import tlean as tl
from tlean.compiler.cpu import CPU
from tlean.compiler.graph import Graph
from tlean.compiler.lower import lower

RNG = np.random.default_rng(1)
W, H, XS = RNG.normal(size=(4, 4)) * 0.3, RNG.normal(size=4), RNG.normal(size=(7, 4))


def rolled(w, h, xs, unroll=1):
    def step(h, x):
        mixed = w.T @ w + tl.sin(w)
        # A value of the outer loop's invariants, in a loop inside.
        h = tl.fori_loop(0, 3, lambda i, c: c * tl.cos(w[0]) + 0.1, h) if unroll == 1 else written(h, w)
        return tl.tanh(mixed @ h + x), tl.sum(mixed)

    h, ys = tl.scan(step, h, xs, unroll=unroll)
    return tl.sum(h * h) + tl.sum(ys)


def written(h, w):
    for _ in range(3):
        h = h * tl.cos(w[0]) + 0.1
    return h


def bodies(plan):
    """The plan's bodies, and those in them."""
    found = []
    for n in plan.program.graph.nodes:
        if n.record.loop is not None:
            inner = [c.plan for c in n.record.loop.code[CPU].codes]
            found += inner + [b for p in inner for b in bodies(p)]
    return found


def test_invariants_are_computed_before_the_loop():
    graph = Graph("float64")
    refs = [graph.arg(tl.Spec(a.shape, "float64")) for a in (W, H, XS)]
    graph.outputs = [rolled(*refs).id]
    plan = lower(graph)
    inside = [n.record.name for b in bodies(plan) for s in b.program.steps for n in s.nodes]
    outside = [n.record.name for s in plan.program.steps for n in s.nodes]
    assert inside.count("matmul") == 1
    assert not {"sin", "cos", "sum", "reduce_sum"} & set(inside)
    assert {"sin", "cos", "sum"} <= set(outside)


def test_the_values_and_gradients_are_those_of_the_steps_written_out():
    for f in (lambda u: rolled(W, H, XS, u), lambda u: tl.grad(lambda w: rolled(w, H, XS, u))(W)):
        np.testing.assert_allclose(f(1).numpy(), f(True).numpy(), rtol=1e-11)


def test_what_may_fail_stays_in_the_loop():
    at = np.array(7)
    # No step runs, and what a step would do is not done.
    np.testing.assert_array_equal(tl.scan(lambda c, _: (c + tl.take(H, at, axis=0), None), H, length=0)[0].numpy(), H)
    np.testing.assert_array_equal(tl.while_loop(lambda c: tl.sum(c) > 1e9, lambda c: c + tl.take(H, at, axis=0), H).numpy(), H)
    with pytest.raises(tl.IndexRangeError, match="scan: iteration 0: take"):
        tl.scan(lambda c, _: (c + tl.take(H, at, axis=0), None), H, length=2)


def test_a_loop_of_unknown_length():
    def root(w):
        return tl.while_loop(lambda c: tl.sum(c * c) < 50.0, lambda c: c + tl.exp(w @ w)[0], H)

    looped = tl.jit(root)(W).numpy()
    step, c = np.exp(W @ W)[0], H
    while np.sum(c * c) < 50.0:
        c = c + step
    np.testing.assert_allclose(looped, c, rtol=1e-12)
