"""What plans look like: right values alone do not show that a pass did its work."""

from __future__ import annotations

import copy
import dataclasses
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tlean as tl
from tlean._core.array import as_tensor
from tlean.compiler import cpu
from tlean.compiler.arrange import arrange
from tlean.compiler.cpu import CPU, DEFINED, Cpu
from tlean.compiler.derive import jvp_graph, vjp_graph
from tlean.compiler.graph import Graph, replay
from tlean.compiler.lower import lower
from tlean.compiler.passes.expand import expand
from tlean.compiler.target import COMPUTED
from tlean.interpreters.dual import Dual
from tlean.interpreters.instances import instantiate
from tlean.ops import Spec, get
from tlean.ops.unregistered import host_op


def kernels(graph: Graph) -> list[str]:
    return [s.kernel for s in lower(graph.prune()).program.steps]


def test_a_state_is_written_in_place_by_the_first_instruction():
    graph = Graph()
    p = graph.arg(Spec((4,)))
    graph.states = [("p", p.id, graph.scale(p, 2.0).id)]
    assert kernels(graph) == ["scale"]


def test_a_state_is_written_without_a_copy_once_its_old_value_was_read():
    graph = Graph()
    p = graph.arg(Spec((4,)))
    once = graph.cumsum(p, axis=0)
    graph.states = [("p", p.id, graph.cumsum(once, axis=0).id)]
    assert kernels(graph) == ["cumsum", "cumsum"]
    # This one reads while it writes.
    graph.states = [("p", p.id, once.id)]
    assert kernels(graph) == ["cumsum", "copy"]


def test_a_producer_does_not_wait_past_an_update():
    """Waiting for its chain, which reads the new weight, it would read the old one later, and the update could no longer be in place."""
    graph = Graph()
    w, x, g = (graph.arg(Spec(s)) for s in ((40, 30), (30, 30), (40, 30)))
    hyper = graph.arg(Spec((3,), "float64"))
    y = graph.matmul(w, x)
    new = graph.apply("_sgd_step", (w, g, hyper), {})
    graph.states = [("w", w.id, new.id)]
    graph.outputs = [graph.add(y, graph.cumsum(new, axis=0)).id]
    assert kernels(graph) == ["matmul", "_sgd_step", "cumsum", "add"]


def test_a_producer_waits_where_nothing_comes_between():
    graph = Graph()
    w, x, z = (graph.arg(Spec(s)) for s in ((40, 30), (30, 20), (40, 20)))
    y = graph.matmul(w, x)
    graph.outputs = [graph.add(y, graph.cumsum(z, axis=0)).id]
    assert kernels(graph) == ["cumsum", "matmul + add"]


def test_equal_calls_have_one_instance():
    def instance(c: float, reference: bool) -> Any:
        return instantiate(get("scale"), "float32", (Spec((2, 3), "float32"),), {"c": c}, reference)

    made = [instance(2.0, False), instance(2.0, True), instance(3.0, False)]
    assert len({*map(id, made)}) == 3
    assert made == [instance(2.0, False), instance(2.0, True), instance(3.0, False)]


def test_an_expanded_program_keeps_the_names_of_its_arguments():
    graph = Graph()
    *weights, x = (graph.arg(Spec(s), name) for s, name in (*(((8, 8), f"w{k}") for k in range(4)), ((2, 3, 8), "x")))
    graph.arg(None)
    graph.outputs = [graph.multi_head_attention(*weights, x, 2).id]
    expanded = expand(graph, CPU)
    assert len(expanded.nodes) > len(graph.nodes) == 1
    assert [None if v is None else expanded.labels[v] for v in expanded.inputs] == ["w0", "w1", "w2", "w3", "x", None]


def test_a_value_of_the_program_outside_is_a_constant_of_a_dual_backend():
    s = tl.Session(dtype="float64")
    x, outside = s.input(np.arange(5.0)), s.input(np.arange(5.0) - 2)
    dual = Dual(s)
    y = dual.mul(dual.lift(x, s.input(np.ones(5))), outside)
    assert y.primal.value.tolist() == (np.arange(5.0) * (np.arange(5.0) - 2)).tolist()
    assert y.tangent.value.tolist() == (np.arange(5.0) - 2).tolist()


def test_constants_of_an_inlined_graph_keep_their_dtypes():
    inner, outer = Graph("float64"), Graph("float32")
    inner.outputs = [inner.add(inner.arg(Spec((2,), "float64")), inner.const([0.1, 0.2])).id, inner.const([1, 2]).id]
    found = outer._inline(inner, [outer.arg(Spec((2,), "float64"))])
    assert [r.dtype for r in found] == ["float64", "int64"]
    assert sorted(c.dtype for c in outer.constants.values()) == ["float64", "int64"]
    assert [c.tolist() for c in outer.constants.values() if c.dtype == "float64"] == [[0.1, 0.2]]


def test_an_op_without_kernel_and_definition_is_refused(monkeypatch):
    monkeypatch.setattr(Cpu, "has_kernel", lambda self, record, dtype: record.name != "add")
    graph = Graph()
    x = graph.arg(Spec((3,)))
    graph.outputs = [graph.add(graph.sin(x), x).id]
    with pytest.raises(tl.DeviceError, match="add: there is no CPU kernel 'add' for float32"):
        expand(graph, CPU)


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


def test_a_value_may_be_the_first_of_a_program():
    """One that no argument or constant precedes, too large to be computed ahead."""
    graph = Graph()
    ones = graph._full(shape=(5000,), value=1.0)
    graph.outputs = [graph.sum(graph.cumsum(ones, axis=0)).id]
    assert ones.id == 0
    made = CPU.run(lower(graph), [], [((), "float32")])
    assert float(made[0].numpy()) == 5000 * 5001 / 2


def test_a_recorded_op_with_several_outputs_can_be_recorded_again():
    first = Graph()
    yhat, target = (first.arg(Spec((3, 2))) for _ in range(2))
    g = first.arg(Spec(()))
    ys = first.apply("_mse_loss_grad", (g, yhat, target), {"reduction": "mean"})
    first.outputs = [ys[1].id, first.neg(ys[0]).id, None]
    second = Graph()
    inputs = [second.arg(Spec(s)) for s in ((3, 2), (3, 2), ())]
    second.outputs = [None if r is None else r.id for r in replay(first, second, inputs)]
    assert str(second) == str(first)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_update_by_an_outer_product_has_the_bits_of_the_two_apart(dtype: str):
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=s).astype(dtype) for s in ((37, 21), (37, 1), (1, 21))]
    made = []
    for together in (True, False):
        graph = Graph(dtype)
        w, u, v = (graph.arg(Spec(a.shape)) for a in arrays)
        hyper = graph.arg(Spec((3,), "float64"))
        g = graph.matmul(u, v)
        moved = graph.apply("_sgd_step", (w, g, hyper), {})
        graph.outputs = [moved.id] if together else [moved.id, g.id]
        assert len(kernels(graph)) == (1 if together else 2)
        given = [*map(as_tensor, arrays), as_tensor(np.array([0.1, 0.01, 0.0]))]
        made.append(CPU.run(lower(graph), given, [((37, 21), dtype)] * len(graph.outputs))[0].numpy())
    np.testing.assert_array_equal(*made)


def test_an_op_joins_a_group_that_starts_right_after_what_it_reads():
    graph = Graph()
    x, z = graph.arg(Spec((2000,))), graph.arg(Spec((2000,)))
    y = graph.cumsum(x, axis=0)
    graph.outputs = [graph.exp(z).id, graph.add(graph.sin(y), graph.cos(y)).id]
    assert kernels(graph) == ["cumsum", "exp", "fused(sin cos add)"]


def test_the_rules_of_an_op_with_one_input_may_return_its_cotangent_and_tangent_alone():
    record = get("neg")
    rules = copy.copy(record.rules)
    rules.vjp = lambda ops, g, y, x: ops.neg(g)
    rules.jvp = lambda ops, t, y, x: ops.neg(t[0])
    bare = dataclasses.replace(record, name="neg@bare", rules=rules)
    spec = Spec((3,), "float32")
    for graph in (vjp_graph(bare, [spec], {}, "float32", (True,)), jvp_graph(bare, [spec], {}, "float32", (True,))):
        assert [n.record.name for n in graph.nodes] == ["neg"]
        assert graph.outputs == [graph.nodes[0].outputs[0]]


def test_the_vjp_of_an_op_without_derivatives_has_no_cotangent_for_each_input():
    spec = Spec((3,), "float32")
    assert vjp_graph(get("argmax"), [spec], {"axis": 0}, "float32", (True,)).outputs == [None]


@pytest.mark.parametrize(("elements", "together"), [(1, True), (CPU.small, True), (CPU.small + 1, False)])
def test_small_arrays_are_grouped_even_with_nothing_in_common(elements: int, together: bool):
    graph = Graph()
    x, y = graph.arg(Spec((elements,))), graph.arg(Spec((elements,)))
    graph.outputs = [graph.exp(x).id, graph.sin(y).id]
    assert kernels(graph) == (["fused(exp sin)"] if together else ["exp", "sin"])


def test_a_definition_in_python_adds_to_nothing():
    """What it makes is written into its output, whatever the kernel it replaces can do."""
    graph = Graph()
    x = graph.arg(Spec((3,)))
    graph.outputs = [graph.scale(x, 2.0).id]
    fast, defined = (lower(graph, target).program.steps for target in (CPU, DEFINED))
    assert [s.accumulates for s in fast] == [True]
    assert [(s.accumulates, s.in_place) for s in defined] == [(False, {})]


def test_an_input_that_a_program_does_not_read_may_be_absent_where_it_is_inlined():
    inner = Graph()
    x = inner.arg(Spec((3,)))
    inner.arg(Spec((4,)))
    inner.outputs = [inner.exp(x).id]
    outer = Graph()
    [y] = outer._inline(inner, [outer.arg(Spec((3,))), None])
    assert y is not None and [n.record.name for n in outer.nodes] == ["exp"]


def test_a_number_made_by_a_group_is_spread_in_a_later_one():
    graph = Graph()
    x, y = graph.arg(Spec((1,))), graph.arg(Spec((1, 1)))
    graph.outputs = [graph.add(graph.broadcast_to(graph.exp(x), (1, 1)), y).id]
    assert kernels(graph) == ["exp", "fused(broadcast_to add)"]


def test_absent_inputs_and_outputs_are_nothing_to_complain_of():
    graph = Graph()
    x = graph.arg(Spec((2, 3)))
    graph.arg(None)
    labels = graph.arg(Spec((2,), "int64"))
    graph.outputs = [None, graph.cross_entropy(x, labels, None).id]
    assert any(None in n.inputs for n in graph.nodes)
    graph.check()


def test_a_recorded_constant_has_the_dtype_that_its_op_takes():
    graph = Graph()
    x = graph.arg(Spec((3,)))
    graph.add(x, np.array([1, 2, 3]))
    graph.gather_rows_ref(graph.arg(Spec((4, 2))), np.array([1, 0], np.int32))
    assert [t.dtype for t in graph.constants.values()] == ["float32", "int64"]


def test_a_plan_knows_its_first_update(monkeypatch: pytest.MonkeyPatch):
    """A long step may be interrupted up to there."""
    monkeypatch.setattr(cpu, "core", types.SimpleNamespace(Plan=lambda *given: given))
    graph = Graph()
    w, x, g = (graph.arg(Spec((4, 4))) for _ in range(3))
    hyper = graph.arg(Spec((3,), "float64"))
    graph.outputs = [graph.sum(graph.matmul(w, x)).id]
    assert lower(graph)[-1] == -1
    graph.states = [("w", w.id, graph.apply("_sgd_step", (w, g, hyper), {}).id)]
    assert lower(graph)[-1] == 2


def test_updates_and_what_reads_them_come_last():
    graph = Graph()
    w, x, g = (graph.arg(Spec((4, 4))) for _ in range(3))
    new = graph.apply("_sgd_step", (w, g, graph.arg(Spec((3,), "float64"))), {})
    graph.states = [("w", w.id, new.id)]
    graph.outputs = [graph.cumsum(new, axis=0).id, graph.cumsum(x, axis=0).id]
    assert kernels(graph) == ["cumsum", "_sgd_step", "cumsum"]


def test_an_op_that_reads_the_first_value_of_a_program_may_follow_its_producer():
    graph = Graph()
    x, w = graph.arg(Spec((40, 30))), graph.arg(Spec((30, 30)))
    graph.outputs = [graph.add(graph.matmul(x, w), x).id]
    assert x.id == 0 and kernels(graph) == ["matmul + add"]


def test_an_instruction_adds_into_an_output_that_nothing_else_reads():
    graph = Graph()
    x = graph.arg(Spec((3, 5)))
    y = graph.exp(x)
    graph.outputs = [y.id, graph.neg(graph.sin(graph.cumsum(x, axis=0))).id]
    assert arrange(graph, CPU).outputs == [(COMPUTED, 0, 0), (COMPUTED, 0, 2)]
    graph.outputs = [y.id, graph.cumsum(y, axis=0).id]
    assert arrange(graph, CPU).outputs == [(COMPUTED, 0, -1), (COMPUTED, 0, -1)]


def test_a_name_in_a_recorded_program_is_a_text():
    graph = Graph()
    x = graph.arg(Spec((3,)))
    assert graph.exp(x, name="y").id == graph.nodes[0].outputs[0]
    with pytest.raises(tl.OptionError, match="exp: name must be a text, got int"):
        graph.exp(x, name=3)


def test_a_function_of_constants_alone_is_called_at_every_run():
    """It is not computed ahead, as an op would be."""
    calls = []

    def doubled(x: np.ndarray) -> np.ndarray:
        calls.append(x)
        return 2 * x

    op = tl.custom_op(doubled, lambda x, y, g: 2 * g, shape=lambda x: x)
    program = tl.compile_out(lambda ops, x: ops.add(op(ops.const(np.ones(3))), x), [(3,)])
    for run in range(3):
        assert program(np.zeros(3)).tolist() == [2, 2, 2] and len(calls) == run + 1


def test_dual_numbers_hand_a_rule_its_value():
    dual = Dual(tl.Session(dtype="float64"))
    x = dual.lift(dual.inner.const([0.0, 1.0]), dual.inner.const([2.0, 3.0]))
    np.testing.assert_allclose(dual.exp(x).tangent.numpy(), [2.0, 3.0 * np.e], rtol=1e-14)


def test_dual_numbers_refuse_values_of_other_backends():
    dual = Dual(tl.Session())
    for other in (tl.Session().const([1.0]), Graph().arg(Spec((1,)))):
        with pytest.raises(tl.NodeError, match="a reference belongs to another backend"):
            dual.exp(other)
    with pytest.raises(tl.NodeError, match="a reference belongs to another dual backend"):
        dual.exp(Dual(dual.inner).const([1.0]))


def test_dual_numbers_take_the_tangents_of_several_outputs():
    def no_gradient(*refs: Any) -> None:
        raise AssertionError

    def halves(outs: list[np.ndarray], ins: list[np.ndarray], options: dict[str, Any]) -> None:
        outs[0][...], outs[1][...] = ins[0][:2], ins[0][2:]

    def jvp(ops: Any, t: Any, ys: Any, x: Any) -> list[Any]:
        assert len(ys) == 2
        return [ops.slice(t[0], (0,), (2,)), ops.slice(t[0], (2,), (4,))]

    record = host_op("halves", halves, [((4,), "float")], [(2,), (2,)], no_gradient, jvp)
    graph = Graph()
    x, t = graph.arg(Spec((4,))), graph.arg(Spec((4,)))
    dual = Dual(graph)
    pair = dual.apply(record, (dual.lift(x, t),), {})
    graph.outputs = [r.id for d in pair for r in (d.primal, d.tangent)]
    made = CPU.run(lower(graph), [as_tensor(a, "float32") for a in (np.arange(4), np.arange(4, 8))], [((2,), "float32")] * 4)
    assert [m.tolist() for m in made] == [[0, 1], [4, 5], [2, 3], [6, 7]]


def test_an_input_that_is_called_seed_is_an_array_where_the_op_draws_nothing():
    record = get("mul")
    rules = copy.copy(record.rules)
    rules.jvp = lambda ops, t, y, x, seed: ops.mul(t[0], ops.reshape(seed, seed.shape))
    named = dataclasses.replace(record, name="mul@seed", inputs=("x", "seed"), rules=rules)
    dual = Dual(tl.Session(dtype="float64"))
    x = dual.lift(dual.inner.const([1.0, 2.0]), dual.inner.const([3.0, 4.0]))
    assert dual.apply(named, (x, [5.0, 6.0]), {}).tangent.tolist() == [15.0, 24.0]


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_what_a_rule_gives_for_integers_that_depend_on_the_variable_is_dropped(backend: str):
    def scaled(outs: list[np.ndarray], ins: list[np.ndarray], options: dict[str, Any]) -> None:
        outs[0][...] = ins[0] * ins[1]

    def vjp(ops: Any, g: Any, y: Any, x: Any, i: Any) -> tuple[Any, Any]:
        return ops.mul(g, i), ops.mul(g, x)

    record = host_op("scaled", scaled, [((2,), "float"), ((2,), "int64")], [(2,)], vjp, vjp)
    # By `defop`, an op is differentiable unless it says that it is not.
    index = dataclasses.replace(get("argmax"), name="argmax@own", differentiable=True)

    def program(ops: Any, x: Any) -> Any:
        return ops.sum(ops.apply(record, (ops.reduce_sum(x, 1), ops.apply(index, (x,), {"axis": 1})), {}))

    gradient = tl.grad(program, backend=backend)
    assert gradient(np.array([[1.0, 2.0, 4.0], [1.0, 3.0, 2.0]])).tolist() == [[2, 2, 2], [1, 1, 1]]
