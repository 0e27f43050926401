"""What plans look like: right values alone do not show that a pass did its work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean.backends.cpu import CPU
from tlean.backends.dual import Dual
from tlean.backends.graph import Graph
from tlean.backends.lower import expand, instantiate, lower
from tlean.ops import Spec, get


def kernels(graph: Graph) -> list[str]:
    return [s.kernel for s in lower(graph.prune()).program.steps]


def test_a_state_is_written_in_place_by_the_first_instruction():
    graph = Graph()
    p = graph.arg(Spec((4,)))
    graph.states = [("p", p.id, graph.scale(p, 2.0).id)]
    assert kernels(graph) == ["scale"]


def test_a_producer_does_not_wait_past_an_update():
    """Waiting for its chain it would read the weight later, and the update could no longer be in place."""
    graph = Graph()
    w, x, z, g = (graph.arg(Spec(s)) for s in ((40, 30), (30, 20), (40, 20), (40, 30)))
    hyper = graph.arg(Spec((3,), "float64"))
    y = graph.matmul(w, x)
    graph.states = [("w", w.id, graph.apply("_sgd_step", (w, g, hyper), {}).id)]
    graph.outputs = [graph.add(y, graph.cumsum(z, axis=0)).id]
    assert kernels(graph) == ["matmul", "_sgd_step", "cumsum", "add"]


def test_a_producer_waits_where_nothing_comes_between():
    graph = Graph()
    w, x, z = (graph.arg(Spec(s)) for s in ((40, 30), (30, 20), (40, 20)))
    y = graph.matmul(w, x)
    graph.outputs = [graph.add(y, graph.cumsum(z, axis=0)).id]
    assert kernels(graph) == ["cumsum", "matmul + add"]


def test_equal_calls_have_one_instance():
    first, again = (instantiate(get("scale"), "float32", (Spec((2, 3), "float32"),), {"c": 2.0}) for _ in range(2))
    assert first is again
    assert instantiate(get("scale"), "float32", (Spec((2, 3), "float32"),), {"c": 3.0}) is not first


def test_an_expanded_program_keeps_the_names_of_its_arguments():
    graph = Graph()
    *weights, x = (graph.arg(Spec(s), name) for s, name in (*(((8, 8), f"w{k}") for k in range(4)), ((2, 3, 8), "x")))
    graph.arg(None)
    graph.outputs = [graph.multi_head_attention(*weights, x, 2).id]
    expanded = expand(graph, CPU)
    assert len(expanded.nodes) > len(graph.nodes) == 1
    assert [None if v is None else expanded.labels[v] for v in expanded.inputs] == ["w0", "w1", "w2", "w3", "x", None]


@pytest.mark.parametrize(
    "program",
    [
        lambda ops, x, c: ops.matmul(c, x),
        lambda ops, x, c: ops.concat([c, x], axis=-1),
        lambda ops, x, c: ops.mse_loss(x, c),
        lambda ops, x, c: ops.huber_loss(x, c),
    ],
)
def test_plain_numbers_are_constants_of_forward_mode(program: Callable[..., Any]):
    """Lists have no shape that a rule could ask for."""
    numbers = [[1.0, 2.0], [3.0, 4.0]]
    rng = np.random.default_rng(0)
    at, along = rng.normal(size=(2, 2)), rng.normal(size=(2, 2))
    tangents = []
    for constant in (numbers, np.array(numbers)):
        dual = Dual(tl.Session())
        x = dual.lift(dual.inner.const(at), dual.inner.const(along))
        tangents.append(program(dual, x, constant).tangent.numpy())
    np.testing.assert_array_equal(*tangents)
