"""What fused groups look like: which ops they hold, their slots, the runs of steps in registers, and what is fetched ahead."""

from __future__ import annotations

import runpy
from typing import Any

import pytest
from chain_programs import program_of

from tlean._core.array import as_tensor
from tlean._core.plan import chain as chain_module
from tlean._core.plan import epilogue
from tlean._core.plan.plan import run
from tlean.compiler import chain_code
from tlean.compiler.cpu import CPU, Cpu
from tlean.compiler.graph import Graph
from tlean.compiler.lower import lower
from tlean.compiler.target import Step
from tlean.ops import Spec, get


def steps(graph: Graph, target: Any = CPU) -> tuple[Step, ...]:
    return lower(graph.prune(), target).program.steps


def kernels(graph: Graph, target: Any = CPU) -> list[str]:
    return [s.kernel for s in steps(graph, target)]


def chain(elements: int, ops: tuple[str, ...] = ("exp", "sin", "neg", "tanh")) -> Graph:
    graph = Graph()
    y = graph.arg(Spec((elements,)))
    for op in ops:
        y = getattr(graph, op)(y)
    graph.outputs = [y.id]
    return graph


def test_a_group_uses_its_slots_again():
    """Each value of a chain is dead when the next is made."""
    [step] = steps(chain(100, ("exp", "sin", "neg") * 10))
    assert program_of(step).header.slots == 1


def test_a_group_writes_onto_the_inputs_that_it_has_read():
    graph = Graph()
    a, b, c = (graph.arg(Spec((100,))) for _ in range(3))
    graph.outputs = [graph.add(graph.add(graph.exp(b), c), graph.sin(a)).id]
    [step] = steps(graph)
    assert set(step.in_place[0]) == {a.id, b.id, c.id}
    first = graph.mul(a, b)
    graph.outputs = [first.id, graph.add(graph.exp(first), c).id]
    [step] = steps(graph)
    assert {k: set(v) for k, v in step.in_place.items()} == {0: {a.id, b.id}, 1: {a.id, b.id, c.id}}


def test_long_arrays_run_in_registers_and_short_ones_in_loops():
    ops = ("neg", "square", "neg", "square")
    [long] = steps(chain(100_000, ops))
    [short] = steps(chain(10, ops))
    assert len(program_of(long).runs) == 1 and not program_of(short).runs


def test_a_value_that_only_the_next_step_reads_stays_in_a_register():
    [step] = steps(chain(100_000, ("neg", "square")))
    # Two steps with one operand each (what is read, what is written), and the stop.
    assert [[len(s.operands) for s in run] for run in program_of(step).runs] == [[1, 1, 0]]


def test_a_target_bounds_the_ops_of_a_group():
    class Bounded(Cpu):
        most_in_group = 3

    assert kernels(chain(10, ("exp", "sin", "neg", "tanh", "cos", "exp", "sin")), Bounded()) == [
        "fused(exp sin neg)",
        "fused(tanh cos exp)",
        "sin",
    ]


def test_a_sum_of_a_group_is_made_with_it():
    graph = Graph()
    x = graph.arg(Spec((10, 30)))
    y = graph.exp(graph.sin(x))
    graph.outputs = [graph.sum(y).id]
    assert kernels(graph) == ["fused(sin exp sum)"]
    graph.outputs = [graph.sum(y).id, y.id]
    assert kernels(graph) == ["fused(sin exp)", "reduce_sum"]
    graph.outputs = [graph.reduce_sum(y, 0).id]
    assert kernels(graph) == ["fused(sin exp)", "reduce_sum"]


def test_what_is_fetched_ahead_with_a_producer_is_what_it_does_not_make():
    graph = Graph()
    w, x, z = (graph.arg(Spec((400, 400))) for _ in range(3))
    graph.outputs = [graph.square(graph.add(graph.matmul(w, x), z)).id]
    [step] = steps(graph)
    assert step.kernel == "matmul + fused(add square)"
    inputs = step.inputs[step.ints[epilogue.EPILOGUE_INPUTS] :]
    assert [inputs[k] for k in program_of(step).fetched] == [z.id]
    assert [len(run) for run in program_of(step).runs] == [3]


def test_chains_and_producers_of_other_sizes_stay_apart():
    graph = Graph()
    a, b, c = graph.arg(Spec((1, 30))), graph.arg(Spec((30, 1))), graph.arg(Spec((50, 20)))
    number = graph.matmul(a, b)
    graph.outputs = [graph.exp(graph.add(c, graph.broadcast_to(number, (50, 20)))).id]
    assert kernels(graph) == ["matmul", "fused(broadcast_to add exp)"]


def test_a_chain_that_reads_what_else_a_producer_makes_comes_after_it():
    graph = Graph()
    x, gamma, beta = graph.arg(Spec((1, 40))), graph.arg(Spec((40,))), graph.arg(Spec((40,)))
    made = graph._record(get("layer_norm"), [x.id, gamma.id, beta.id], {"eps": 1e-5})
    assert len(made) == 3
    y, mean = (type(x)(graph, v) for v in made[:2])
    graph.outputs = [graph.exp(y).id]
    assert kernels(graph) == ["layer_norm + exp"]
    spread = graph.broadcast_to(mean, (1, 40))
    graph.outputs = [graph.exp(graph.sub(y, spread)).id]
    assert kernels(graph) == ["layer_norm", "fused(broadcast_to sub exp)"]


def test_empty_chains_stay_as_they_are():
    graph = Graph()
    a, b = graph.arg(Spec((0, 3))), graph.arg(Spec((3, 4)))
    graph.outputs = [graph.exp(graph.matmul(a, b)).id]
    assert kernels(graph) == ["matmul", "exp"]


def test_an_empty_outer_product_stays_as_it_is():
    graph = Graph()
    w, u, v = graph.arg(Spec((0, 4))), graph.arg(Spec((0, 1))), graph.arg(Spec((1, 4)))
    hyper = graph.arg(Spec((3,), "float64"))
    graph.outputs = [graph.apply("_sgd_step", (w, graph.matmul(u, v), hyper), {}).id]
    assert kernels(graph) == ["matmul", "_sgd_step"]


def test_repeated_calls_are_made_once():
    graph = Graph(merge=False)
    x = graph.arg(Spec((3,)))
    graph.outputs = [graph.cumsum(x, axis=0).id, graph.cumsum(x, axis=0).id, graph.exp(graph.cumsum(x, axis=0)).id]
    assert kernels(graph) == ["cumsum", "exp", "copy"]


def test_what_depends_on_constants_alone_is_computed_ahead():
    graph = Graph()
    x = graph.arg(Spec((3,)))
    a = graph.cumsum(graph.exp(graph.const([1.0, 2.0, 3.0])), axis=0)
    graph.outputs = [graph.mul(x, graph.cos(a)).id]
    assert kernels(graph) == ["mul"]


@pytest.mark.parametrize("momentum", [False, True])
def test_updates_are_made_in_place(momentum: bool):
    graph = Graph()
    w, x, u = graph.arg(Spec((4, 4))), graph.arg(Spec((4, 4))), graph.arg(Spec((4, 4)))
    hyper = graph.arg(Spec((7 if momentum else 3,), "float64"))
    g = graph.matmul(graph.matmul(w, x), x)
    if momentum:
        moved = graph.apply("_momentum_step", (w, g, u, hyper), {})
        graph.states = [("w", w.id, moved[0].id), ("u", u.id, moved[1].id)]
    else:
        graph.states = [("w", w.id, graph.apply("_sgd_step", (w, g, hyper), {}).id)]
    assert kernels(graph) == ["matmul", "matmul", "_momentum_step" if momentum else "_sgd_step"]


def test_two_states_with_one_new_value_both_get_it():
    graph = Graph()
    a, b = graph.arg(Spec((5,))), graph.arg(Spec((5,)))
    new = graph.exp(graph.cumsum(a, axis=0))
    graph.states = [("a", a.id, new.id), ("b", b.id, new.id)]
    assert kernels(graph) == ["cumsum", "exp", "copy"]


def test_a_state_that_nothing_reads_gets_its_new_value_in_place():
    """Also from the first instruction of a plan."""
    graph = Graph()
    a, x = graph.arg(Spec((5,))), graph.arg(Spec((5,)))
    graph.states = [("a", a.id, graph.cumsum(x, axis=0).id)]
    assert kernels(graph) == ["cumsum"]


def test_booleans_and_integers_are_returned_as_they_are():
    graph = Graph()
    x = graph.arg(Spec((3,), "bool"))
    graph.outputs = [x.id, graph.const([True, False]).id, graph.const([1, 2]).id, x.id]
    values = run(lower(graph), [as_tensor([True, False, True])], [((3,), "bool"), ((2,), "bool"), ((2,), "int64"), ((3,), "bool")])
    assert [v.tolist() for v in values] == [[True, False, True], [True, False], [1, 2], [True, False, True]]


def test_a_layout_other_than_the_core_reads_is_refused(monkeypatch):
    monkeypatch.setattr(chain_module, "CHAIN_BLOCK", 3)
    with pytest.raises(ImportError, match=r"Header must have the fields of plan/chain_abi\.h in their order"):
        runpy.run_path(chain_code.__file__)
