"""The check of plans: every way to break a good arrangement is found, and what is not broken passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from chain_programs import program_of, start_of

import tlean as tl
from tlean._core.array import as_tensor
from tlean._core.plan import callback, chain, epilogue, outer_update
from tlean._core.table import KERNELS
from tlean.compiler.arrange import arrange
from tlean.compiler.checks import plan_check
from tlean.compiler.checks.plan_check import checked
from tlean.compiler.cpu import CPU
from tlean.compiler.graph import Graph
from tlean.compiler.lower import lower
from tlean.compiler.passes import chain_runs as strips
from tlean.compiler.passes import fuse
from tlean.compiler.passes.expand import expand
from tlean.compiler.passes.fold import fold
from tlean.compiler.passes.merge import merged
from tlean.compiler.target import CONST, INPUT, IS_INPUT, NOWHERE, OUTPUT, SCRATCH, Arrangement, Step
from tlean.errors import PlanError
from tlean.ops import Spec


def arranged(graph: Graph) -> Arrangement:
    return arrange(fold(merged(expand(graph.prune(), CPU)), CPU), CPU)


def gradient(program: Any, shapes: list[Any]) -> Graph:
    return tl.compile_scalar(program, shapes)._grad_graph()


def chains(ops, x, y):
    # Groups with slots, spreads, sums, strips, views and detached values.
    a = ops.exp(ops.sin(x))
    b = ops.mul(ops.flatten(a), ops.detach(ops.tanh(y)))
    c = ops.add(b, ops.broadcast_to(ops.mean(y), y.shape))
    return ops.add(ops.sum(ops.square(c)), ops.mean(ops.scale(ops.cos(c), 0.3)))


def stretched(ops, x, row, column, inner, plane):
    # Inputs that are repeated in each way that a group reads them in.
    return ops.sum(ops.exp(ops.sub(ops.mul(ops.add(ops.mul(x, row), column), inner), plane)))


def distances(ops, x, y):
    # Sums of rows, of columns and of exponentials of what two inputs stretch to.
    d = ops.square(ops.sub(x, y))
    return ops.add(ops.sum(ops.logsumexp(d)), ops.sum(ops.square(ops.reduce_sum(ops.exp(ops.neg(d)), 0))))


def dense(ops, w, b, v, x):
    h = ops.relu(ops.linear(w, b, x))
    return ops.mean(ops.square(ops.sub(ops.matmul(h, v), ops.sigmoid(ops.matmul(h, v)))))


def images(ops, w1, w2, b, x):
    h = ops.relu(ops.conv2d(w1, b, x, padding=1))
    h = ops.relu(ops.conv2d(w2, b, h, padding=1))
    return ops.mean(ops.square(h))


def training(momentum: bool = True) -> Graph:
    # Weight and velocity move in place, by an outer product where the batch is one sample; the old weight is returned too.
    graph = Graph()
    w, u, x = (graph.arg(Spec(s)) for s in ((40, 30), (40, 30), (30, 1)))
    y = graph.matmul(w, x)
    g = graph.matmul(y, graph.reshape(x, (1, 30)))
    hyper = graph.arg(Spec((7,), "float64"))
    moved = graph.apply("_momentum_step", (w, g, u, hyper), {})
    graph.states = [("w", w.id, moved[0].id), ("u", u.id, moved[1].id)]
    graph.outputs = [graph.sum(y).id, w.id] if momentum else [graph.sum(y).id]
    return graph


def swapped() -> Graph:
    # The new values of two states are sums of the old ones, so that both wait for the end.
    graph = Graph()
    a, b = graph.arg(Spec((5,))), graph.arg(Spec((5,)))
    graph.states = [("a", a.id, graph.add(a, b).id), ("b", b.id, graph.sub(a, b).id)]
    graph.outputs = [a.id, None, graph.mul(a, b).id]
    return graph


def exchanged() -> Graph:
    # Two states take each other's old values, a third one takes one of them too, which is overwritten in place.
    graph = Graph()
    a, b, c = (graph.arg(Spec((5,))) for _ in range(3))
    graph.states = [("a", a.id, b.id), ("b", b.id, a.id), ("c", c.id, a.id)]
    graph.outputs = [graph.exp(a).id]
    return graph


def moved_on() -> Graph:
    graph = Graph()
    a, b = graph.arg(Spec((5,))), graph.arg(Spec((5,)))
    graph.states = [("a", a.id, graph.exp(a).id), ("b", b.id, a.id)]
    graph.outputs = [b.id]
    return graph


def shared() -> Graph:
    # Two states with one new value.
    graph = Graph()
    a, b, x = (graph.arg(Spec((5,))) for _ in range(3))
    y = graph.exp(graph.add(a, x))
    graph.states = [("a", a.id, y.id), ("b", b.id, y.id)]
    return graph


def returned() -> Graph:
    graph = Graph()
    a = graph.arg(Spec((2, 3)))
    k = graph.const(np.arange(6.0))
    flat = graph.reshape(a, (6,))
    total = graph.add(flat, k)
    graph.outputs = [flat.id, total.id, graph.reshape(total, (3, 2)).id, k.id]
    return graph


def called() -> Graph:
    graph = Graph()
    x = graph.arg(Spec((3, 4)))
    op = tl.custom_op(lambda a: a * 2, lambda a, y, g: g * 2)
    y = op(graph.exp(x))
    graph.outputs = [y.id, graph.sum(graph.square(y)).id]
    return graph


GRAPHS = {
    "chains": lambda: gradient(chains, [(2, 3), (6,)]),
    "stretched": lambda: gradient(stretched, [(3, 200, 40), (40,), (3, 1, 1), (200, 1), (200, 40)]),
    "distances": lambda: gradient(distances, [(200, 1), (300,)]),
    "strips": lambda: gradient(chains, [(50, 60), (3000,)]),
    "dense": lambda: gradient(dense, [(20, 30), (20,), (20, 20), (7, 30)]),
    "images": lambda: gradient(images, [(32, 32, 3, 3), (32, 32, 3, 3), (32,), (2, 32, 20, 20)]),
    "training": training,
    "outer": lambda: training(False),
    "swapped": swapped,
    "exchanged": exchanged,
    "moved on": moved_on,
    "shared": shared,
    "returned": returned,
    "called": called,
}


@pytest.fixture(scope="module")
def arrangements() -> dict[str, Arrangement]:
    return {name: arranged(make()) for name, make in GRAPHS.items()}


def test_good_plans_pass_and_are_of_every_kind(arrangements):
    codes: set[int] = set()
    for a in arrangements.values():
        assert checked(a, CPU) is a
        codes |= {s.code for s in a.program.steps}
    assert {chain.ADDRESS, epilogue.ADDRESS, outer_update.ADDRESS, callback.ADDRESS} <= codes
    steps = [s for a in arrangements.values() for s in a.program.steps]
    assert any(s.blocked for s in steps) and any(s.shares for s in steps) and any(not s.nodes for s in steps)
    programs = [program_of(s) for s in steps if s.code == chain.ADDRESS]
    assert any(p.runs for p in programs) and any(p.sums for p in programs)


def with_steps(a: Arrangement, steps: list[Step]) -> Arrangement:
    order = [tuple(s.outputs) for s in a.program.steps]
    temporaries = [a.temporaries[order.index(tuple(s.outputs))] for s in steps]
    return dataclasses.replace(a, temporaries=temporaries, program=dataclasses.replace(a.program, steps=tuple(steps)))


def with_step(a: Arrangement, k: int, **changes: Any) -> Arrangement:
    steps = list(a.program.steps)
    steps[k] = dataclasses.replace(steps[k], **changes)
    return dataclasses.replace(a, program=dataclasses.replace(a.program, steps=tuple(steps)))


def with_place(a: Arrangement, v: int, place: tuple[int, int]) -> Arrangement:
    places = list(a.places)
    places[v] = place
    return dataclasses.replace(a, places=places)


def used(a: Arrangement) -> list[int]:
    return sorted({v for s in a.program.steps for v in (*s.inputs, *s.outputs) if v >= 0})


def broken_places(a: Arrangement) -> Iterator[tuple[str, Arrangement]]:
    sizes = {v: a.program.graph.specs[v].size * 4 for v in used(a) if v < len(a.program.graph.specs)}
    inside = {v: n for v, (kind, n) in enumerate(a.places) if kind == SCRATCH}
    for v in used(a):
        yield f"%{v} nowhere", with_place(a, v, (NOWHERE, 0))
        kind, n = a.places[v]
        if kind == SCRATCH:
            yield f"%{v} behind the end", with_place(a, v, (SCRATCH, a.scratch_bytes))
            yield f"%{v} before the start", with_place(a, v, (SCRATCH, -64))
            yield f"%{v} not aligned", with_place(a, v, (SCRATCH, n + 4))
            yield f"%{v} is a constant", with_place(a, v, (CONST, 0))
        elif kind == OUTPUT and len(a.outputs) > 1 and sizes.get(v, 0):
            yield f"%{v} is another output", with_place(a, v, (OUTPUT, (n + 1) % len(a.outputs)))
        elif kind == INPUT:
            yield f"%{v} is a temporary", with_place(a, v, (SCRATCH, 0))
    if inside and a.scratch_bytes:
        yield "too little memory", dataclasses.replace(a, scratch_bytes=max(n for n in inside.values()))


@pytest.mark.parametrize("name", GRAPHS)
def test_every_operand_lies_in_a_buffer_of_its_size_and_dtype(arrangements, name):
    for what, broken in broken_places(arrangements[name]):
        with pytest.raises(PlanError):
            checked(broken, CPU)
            pytest.fail(what)


@pytest.mark.parametrize("name", GRAPHS)
def test_values_in_use_at_once_lie_apart(arrangements, name):
    """Two temporaries that one instruction needs, or of which one is made while another is waited for, moved onto each other."""
    a = arrangements[name]
    graph, steps = a.program.graph, a.program.steps
    made = {v: k for k, s in enumerate(steps) for v in s.outputs}
    last = {v: k for k, s in enumerate(steps) for v in s.inputs}
    values = [v for v in made if v >= 0 and a.places[v][0] == SCRATCH and v in last and v < len(graph.specs)]
    tried = 0
    for v in values:
        for w in values:
            # w is made after v and before v is read for the last time.
            if made[v] < made[w] < last[v] and a.places[v] != a.places[w]:
                tried += 1
                with pytest.raises(PlanError):
                    checked(with_place(a, w, a.places[v]), CPU)
    assert tried or name not in ("chains", "dense", "images")


@pytest.mark.parametrize("name", GRAPHS)
def test_what_is_read_was_written(arrangements, name):
    """Instructions left out, or exchanged where one needs what the other makes."""
    a = arrangements[name]
    steps = list(a.program.steps)
    for k in range(len(steps)):
        with pytest.raises(PlanError):
            checked(with_steps(a, steps[:k] + steps[k + 1 :]), CPU)
        for later in range(k + 1, len(steps)):
            if set(steps[k].outputs) & set(steps[later].inputs):
                order = list(steps)
                order[k], order[later] = order[later], order[k]
                with pytest.raises(PlanError):
                    checked(with_steps(a, order), CPU)


@pytest.mark.parametrize("name", GRAPHS)
def test_instructions_have_the_operands_of_their_nodes(arrangements, name):
    a = arrangements[name]
    for k, step in enumerate(a.program.steps):
        for side in ("inputs", "outputs"):
            operands = getattr(step, side)
            for j, v in enumerate(operands):
                others = [w for w in used(a) if w != v and w < len(a.program.graph.specs)]
                if not step.nodes:
                    # Instead of a copy of an input the input itself will do, until it is overwritten.
                    others = [w for w in others if w not in a.program.graph.inputs]
                for w in others:
                    with pytest.raises(PlanError):
                        checked(with_step(a, k, **{side: (*operands[:j], w, *operands[j + 1 :])}), CPU)


@pytest.mark.parametrize("name", GRAPHS)
def test_instructions_write_onto_inputs_only_where_they_may(arrangements, name):
    a = arrangements[name]
    for k, step in enumerate(a.program.steps):
        for j, v in enumerate(step.outputs):
            for w in step.inputs:
                allowed = w in step.in_place.get(j, ()) or any(n.record.updates for n in step.nodes) or step.shares.get(w) == v
                if v < 0 or w < 0 or allowed or a.places[w] == a.places[v]:
                    continue
                with pytest.raises(PlanError):
                    checked(with_place(a, v, a.places[w]), CPU)
        for field in ("in_place", "shares"):
            taken = [v for v in step.outputs if v >= 0 and any(a.places[v] == a.places[w] for w in step.inputs if w >= 0 and w != v)]
            if getattr(step, field) and taken and not any(n.record.updates for n in step.nodes):
                broken = with_step(a, k, in_place={}, shares={})
                with pytest.raises(PlanError):
                    checked(broken, CPU)


@pytest.mark.parametrize("name", GRAPHS)
def test_kernels_get_the_numbers_of_their_records(arrangements, name, monkeypatch):
    """Every number of every instruction in turn; the length of a block and what is fetched ahead are for speed alone."""
    monkeypatch.setattr(plan_check, "NUMBERS", True)
    a = arrangements[name]
    for k, step in enumerate(a.program.steps):
        free: set[int] = set()
        if (start := start_of(step)) is not None:
            header = program_of(step).header
            fetched = start + header.fetched_at
            free = {start + chain.CHAIN_BLOCK, *range(fetched, fetched + header.fetched)}
        for j in range(len(step.ints)):
            if j in free or (step.code == callback.ADDRESS and j == 0):
                continue
            for n in (step.ints[j] + 1, step.ints[j] - 1):
                with pytest.raises(PlanError):
                    checked(with_step(a, k, ints=(*step.ints[:j], n, *step.ints[j + 1 :])), CPU)
                    pytest.fail(f"{step.kernel}: number {j} of {step.ints}")
        for j, x in enumerate(step.floats):
            with pytest.raises(PlanError):
                checked(with_step(a, k, floats=(*step.floats[:j], x + 1, *step.floats[j + 1 :])), CPU)
        for changes in ({"ints": step.ints[:-1]}, {"ints": (*step.ints, 0)}, {"floats": (*step.floats, 1.0)}):
            with pytest.raises(PlanError):
                checked(with_step(a, k, **changes), CPU)
        if step.nodes:
            with pytest.raises(PlanError):
                checked(with_step(a, k, code=KERNELS["softmax:f32"]), CPU)


def test_outputs_and_states_end_up_with_their_values(arrangements):
    for a in arrangements.values():
        for j, (kind, n, writer) in enumerate(a.outputs):
            others = [(kind, n, len(a.program.steps) - 1)] if writer < 0 and kind == 1 and len(a.program.steps) > 1 else []
            others += [(0, 0, -1)] if kind else [(1, 0, -1)]
            others += [(IS_INPUT, k, -1) for k in range(a.inputs) if (kind, n) != (IS_INPUT, k)]
            for other in others:
                last = a.program.steps[-1]
                if other[2] >= 0 and last.accumulates and a.places[last.outputs[0]] == (OUTPUT, j):
                    continue
                with pytest.raises(PlanError):
                    checked(dataclasses.replace(a, outputs=[*a.outputs[:j], other, *a.outputs[j + 1 :]]), CPU)
        for k, constant in enumerate(a.constants):
            for wrong in (as_tensor(np.zeros(constant.size + 1), constant.dtype), as_tensor(np.zeros(constant.shape, "int64"))):
                with pytest.raises(PlanError):
                    checked(dataclasses.replace(a, constants=(*a.constants[:k], wrong, *a.constants[k + 1 :])), CPU)


def test_a_value_is_read_in_the_layout_that_it_was_written_in(arrangements):
    a = arrangements["images"]
    for k, step in enumerate(a.program.steps):
        for v in step.blocked:
            with pytest.raises(PlanError):
                checked(with_step(a, k, blocked=tuple(w for w in step.blocked if w != v)), CPU)


def test_a_view_has_the_bytes_of_its_value(arrangements):
    a = arrangements["returned"]
    graph = a.program.graph
    view = next(n for n in graph.nodes if n.record.view).outputs[0]
    before = graph.specs[view]
    try:
        graph.specs[view] = Spec((7,), "float32")
        with pytest.raises(PlanError, match="a view has the bytes of its value"):
            checked(a, CPU)
    finally:
        graph.specs[view] = before


def test_an_error_names_instruction_and_operand(arrangements):
    a = arrangements["dense"]
    value = next(v for v in used(a) if a.places[v][0] == SCRATCH)
    with pytest.raises(PlanError, match=rf"^instruction \d+ \(.*\): an operand has memory, but %{value} has none"):
        checked(with_place(a, value, (NOWHERE, 0)), CPU)


# Faults that were ------------------------------------------------------------------------------------------------------


def test_a_spread_of_a_spread_that_nothing_makes_is_found(monkeypatch):
    """What fusion did: the second spread read the first, which no instruction made."""

    def add(self, op):
        if fuse._kind(self.graph, op, self.target) is not None and op.spreads:
            self.pending[op.made] = op
        else:
            known(self, op)

    known = fuse._Grouping.add
    monkeypatch.setattr(fuse._Grouping, "add", add)
    with pytest.raises(PlanError):
        tl.grad(lambda o, x: o.sum(o.sum(x)))(np.ones((2, 2), "f4"))


def test_operands_that_nothing_converted_are_found(monkeypatch):
    """A kernel reads the memory as it is, so operands have the dtypes that its record takes."""
    monkeypatch.setattr("tlean.compiler.lower.expand", lambda graph, target: graph)
    specs = [Spec((3,), "float32"), Spec((3,), "float64")]
    for program in (lambda o, x, y: o.mul(x, y), lambda o, x, y: o.concat([x, y])):
        with pytest.raises(PlanError, match="operands have the dtypes of its record"):
            tl.compile_out(program, specs).forward(np.ones(3), np.ones(3))


def test_a_chain_that_overlooks_views_is_found(monkeypatch):
    """What fusion did: a view of a value was read before the value was made."""
    bound = strips.in_chains

    def in_chains(ops, suffix):
        views = [op._replace(reads=tuple(i if i is not None else -1 for i in op.node.inputs)) for op in ops]
        order = bound(views, suffix)
        return [next(op for op in ops if op.node is o.node) for o in order]

    monkeypatch.setattr("tlean.compiler.cpu.in_chains", in_chains)
    program = tl.compile_out(lambda o, x, y: [(q := o.square(y)), (a := o.exp(x)), o.mul(q, o.flatten(a))][1:], [(2, 3), (6,)])
    with pytest.raises(PlanError):
        program(np.ones((2, 3), "f4"), np.ones(6, "f4"))


def test_states_that_take_each_others_values():
    """Found by the check: the second state got the first one's new value."""
    a, b, c = (as_tensor(np.full(5, float(k)), "float32") for k in range(3))
    (y,) = CPU.run(lower(exchanged()), [a, b, c], [((5,), "float32")])
    assert [t.numpy()[0] for t in (a, b, c)] == [1, 0, 0] and y.numpy()[0] == 1
    a, b, c = (as_tensor(np.full(5, 0.0), "float32") for _ in range(3))
    CPU.run(lower(shared()), [a, b, c], [])
    assert [t.numpy()[0] for t in (a, b)] == [1, 1]
    a, b = as_tensor(np.full(5, 0.0), "float32"), as_tensor(np.full(5, 7.0), "float32")
    (y,) = CPU.run(lower(moved_on()), [a, b], [((5,), "float32")])
    assert [t.numpy()[0] for t in (a, b)] == [1, 0] and y.numpy()[0] == 7


def test_every_plan_is_checked(monkeypatch):
    seen = []
    monkeypatch.setattr("tlean.compiler.lower.checked", lambda a, target: (seen.append(a), a)[1])
    lower(swapped())
    assert len(seen) == 1


def test_what_is_known_of_a_call_is_of_its_operands():
    ready = merged(expand(tl.compile_out(lambda ops, x: ops.mul(ops.sin(x), ops.sin(ops.sum(x))), [(4,)]).graph.prune(), CPU))
    checked(arrange(ready, CPU), CPU)
    whole, number = (k for k, n in enumerate(ready.nodes) if n.record.name == "sin")
    ready.nodes[number] = ready.nodes[number]._replace(call=ready.nodes[whole].call)
    with pytest.raises(PlanError, match="a node's call is of its operands"):
        checked(arrange(ready, CPU), CPU)
