"""Sums of parts in the sweeps of loops: joined where they tile the array, added up where they do not."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean.compiler.derive import reverse
from tlean.compiler.graph import Graph
from tlean.compiler.passes.joins import joined

C = np.random.default_rng(0).normal(size=(4, 6))

#: What a step makes of a carry (4, 6), and whether its cotangents are joined.
BODIES = {
    "columns": (lambda c: tl.concat([tl.sin(c[:, 4:]), c[:, :1] * 2.0, tl.exp(c[:, 1:4])], axis=1), True),
    "rows": (lambda c: tl.concat([tl.sin(c[2:]), tl.tanh(c[:2])], axis=0), True),
    "a gap": (lambda c: tl.concat([tl.sin(c[:, 3:]), tl.tanh(c[:, :2]), c[:, :1] * 0.0], axis=1), False),
    "an overlap": (lambda c: tl.concat([tl.sin(c[:, 2:]), tl.tanh(c[:, :3])], axis=1)[:, :6], False),
    "every other": (lambda c: tl.concat([tl.sin(c[:, ::2]), tl.tanh(c[:, 1::2])], axis=1), False),
    "two axes": (lambda c: tl.concat([tl.sin(c[:2]), tl.concat([tl.tanh(c[2:, :3]), c[2:, 3:]], axis=1)], axis=0), False),
    "read elsewhere": (lambda c: tl.concat([tl.sin(c[:, 3:]), tl.tanh(c[:, :3])], axis=1) * c, False),
}


@pytest.mark.parametrize("name", BODIES)
def test_gradients_of_slices(name: str) -> None:
    body, joins = BODIES[name]

    def rollout(c, unroll):
        return tl.sum(tl.square(tl.scan(lambda c, _: (body(c), None), c, length=3, unroll=unroll)[0]))

    found, wanted = (np.asarray(tl.grad(lambda c, u=u: rollout(c, u))(C)) for u in (1, True))
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)
    second, other = (np.asarray(tl.hvp(lambda c, u=u: rollout(c, u), (C,), (np.cos(C),))[0]) for u in (1, True))
    np.testing.assert_allclose(second, other, rtol=1e-10, atol=1e-12)

    graph = Graph("float64")
    c = graph.arg(tl.Spec(C.shape, "float64"))
    y = rollout(c, 1)
    reverse(graph, [(y, graph.const(1.0))], [c], list(graph.nodes))
    loops = [n.record.loop for n in graph.nodes if n.record.loop]
    ops = [n.record.name for loop in loops for body in loop.programs() for n in joined(body)._needed()]
    assert ("_place" not in ops) == joins, ops
