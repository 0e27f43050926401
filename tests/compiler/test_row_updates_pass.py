"""Which programs take a step by rows: what reads and makes the gradient decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tlean.compiler.graph import Graph, GraphRef
from tlean.compiler.passes.row_updates import row_updates
from tlean.ops import Spec

ROWS, LENGTH, COUNT = 4000, 5, 600


def scattered(graph: Graph, v: GraphRef, i: GraphRef) -> GraphRef:
    return graph._scatter_rows(v, i, shape=(ROWS, LENGTH), axis=0, mode="strict")


def names(build: Callable[[Graph, GraphRef, GraphRef, GraphRef, GraphRef], tuple]) -> list[str] | None:
    """The ops that the pass makes of a program of a table, rows, indices and hyper; None where it leaves the program as it is."""
    graph = Graph("float32")
    specs = [Spec((ROWS, LENGTH)), Spec((COUNT, LENGTH)), Spec((COUNT,), "int64"), Spec((3,), "float64")]
    p, v, i, h = (graph.arg(s) for s in specs)
    returned, states = build(graph, p, v, i, h)
    graph.outputs = [r.id for r in returned]
    graph.states = [("p", p.id, after.id) for after in states]
    made = row_updates(graph)
    made.check()
    return None if made is graph else [n.record.name for n in made.nodes]


def step(graph, p, g, h):
    return graph.apply("_sgd_step", (p, g, h), {})


def test_a_gradient_that_only_the_step_reads():
    assert names(lambda ops, p, v, i, h: ((), (step(ops, p, scattered(ops, v, i), h),))) == ["_summed_rows", "_sgd_rows"]


def returned(ops, p, v, i, h):
    g = scattered(ops, v, i)
    return (g,), (step(ops, p, g, h),)


def kept(ops, p, v, i, h):
    g = scattered(ops, v, i)
    return (), (step(ops, p, g, h), g)


def read(ops, p, v, i, h):
    g = scattered(ops, v, i)
    return (ops.sum(g),), (step(ops, p, g, h),)


def moved(ops, p, v, i, h):
    return (), (step(ops, scattered(ops, v, i), p, h),)


def both(ops, p, v, i, h):
    g = scattered(ops, v, i)
    return (), (step(ops, g, g, h),)


def half_whole(ops, p, v, i, h):
    return (), (step(ops, p, ops.add(scattered(ops, v, i), p), h),)


def half_read(ops, p, v, i, h):
    g = scattered(ops, v, i)
    return (ops.sum(g),), (step(ops, p, ops.add(g, scattered(ops, ops.neg(v), i)), h),)


def doubled(ops, p, v, i, h):
    g = scattered(ops, v, i)
    return (), (step(ops, p, ops.add(g, g), h),)


def no_step(ops, p, v, i, h):
    return (scattered(ops, v, i),), ()


@pytest.mark.parametrize("build", [returned, kept, read, moved, both, half_whole, half_read, doubled, no_step])
def test_other_programs_stay_as_they_are(build):
    assert names(build) is None


def test_gradients_are_merged_while_they_have_few_rows():
    def program(count):
        def build(ops, p, v, i, h):
            g = scattered(ops, v, i)
            for k in range(1, count):
                g = ops.add(g, scattered(ops, ops.scale(v, float(k + 1)), i))
            return (), (step(ops, p, g, h),)

        return build

    # One index to four rows at most: 1,000 of these.
    assert names(program(2)) is None
    few = names(lambda ops, p, v, i, h: program(2)(ops, p, ops.slice_range0(v, 0, 400), ops.slice_range0(i, 0, 400), h))
    assert few is not None and few.count("_summed_rows") == 2 and few[-2:] == ["_merged_rows", "_sgd_rows"]
