"""Compiled programs: their calls, errors and caches; every pass leaves a valid graph; many threads; time linear in the program."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

import tlean as tl
from tlean._core.arena import memory_stats
from tlean.compiler.derive import forward, reverse
from tlean.compiler.graph import Graph
from tlean.compiler.passes.expand import expand
from tlean.compiler.passes.fold import fold
from tlean.compiler.passes.merge import merged
from tlean.programs.executable import Executable

RNG = np.random.default_rng(0)
W, B, X = RNG.standard_normal((3, 4)), RNG.standard_normal(3), RNG.standard_normal(4)
LABEL = np.array(1)


def net(ops, w, b, x):
    return ops.sum(ops.tanh(ops.linear(w, b, x)))


def close(found, expected, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=tolerance, atol=tolerance)


@pytest.fixture
def scalar():
    return tl.compile_scalar(net, [(3, 4), (3,), (4,)], dtype="float64")


H = np.tanh(W @ X + B)
BACK = 1 - H**2


# Calls -------------------------------------------------------------------------------------------------------------------------


def test_scalar_calls(scalar):
    close(scalar.forward(W, B, X), H.sum())
    close(scalar(W, B, X), H.sum())
    gradients = (np.outer(BACK, X), BACK, W.T @ BACK)
    for found, expected in zip(scalar.backward(W, B, X), gradients, strict=True):
        close(found, expected)
    for found, expected in zip(scalar.backward_with_seed((W, B, X), -2.0), gradients, strict=True):
        close(found, -2 * expected)
    value, found = scalar.value_and_grad(W, B, X)
    close(value, H.sum())
    close(found[2], gradients[2])
    v = RNG.standard_normal((3, 4))
    y, dy = scalar.jvp((W, B, X), (v, None, X))
    close(y, H.sum())
    close(dy, (BACK * (v @ X + W @ X)).sum())


def test_seeds_of_integer_outputs_count_for_nothing():
    def f(ops, x):
        largest = ops.argmax(x)
        return largest, ops.square(x), largest

    x, none = np.array([1.0, 2.0, 3.0], np.float32), np.zeros((), np.int64)
    (g,) = tl.compile_out(f, [(3,)]).vjp_with_seed((x,), (none, np.ones(3), none))
    assert g.numpy().tolist() == [2, 4, 6]


def test_outputs_are_trees():
    def f(ops, a, b):
        return {"product": ops.mul(a, b), "rest": [ops.sum(a), (b,)]}

    c = tl.compile_out(f, [(4,), (4,)], dtype="float64")
    a, b = RNG.standard_normal((2, 4))
    y = c.forward(a, b)
    close(y["product"], a * b)
    close(y["rest"][0], a.sum())
    close(y["rest"][1][0], b)
    g = RNG.standard_normal(4)
    da, db = c.vjp_with_seed((a, b), {"product": g, "rest": [3.0, (g,)]})
    close(da, g * b + 3)
    close(db, g * a + g)
    y, dy = c.jvp((a, b), (g, None))
    close(y["product"], a * b)
    close(dy["product"], g * b)
    close(dy["rest"][0], g.sum())
    close(dy["rest"][1][0], np.zeros(4))


def test_any_array_is_taken():
    c = tl.compile_out(lambda ops, x: ops.scale(x, 2.0), [(2, 3)])
    x = np.arange(6.0).reshape(2, 3)
    for given in (x, x.tolist(), x.astype(np.float32), np.asfortranarray(x), c.forward(x / 2), x.astype(np.int64)):
        close(c.forward(given), 2 * x)
    assert c.forward(x).dtype == "float32"


def test_results_own_their_memory():
    c = tl.compile_out(lambda ops, x: (x, ops.reshape(x, (4,)), ops.neg(x), ops.const(np.ones(2))), [(2, 2)], dtype="float64")
    x = RNG.standard_normal((2, 2))
    given = x.copy()
    first = c.forward(given)
    given[:] = 0
    second = c.forward(-x)
    for found, expected in zip(first, (x, x.reshape(4), -x, np.ones(2)), strict=True):
        close(found, expected)
    close(second[1], -x.reshape(4))


def test_integers_labels_and_masks():
    def f(ops, x, labels, mask, rows):
        picked = ops.gather_rows_nat(x, rows)
        attended = ops.scaled_dot_product_attention(picked, picked, picked, mask)
        return ops.cross_entropy(attended, labels)

    specs = [(5, 4), tl.Spec((3,), "int64"), tl.Spec((3, 3), "bool"), tl.Spec((3,), "int64")]
    c = tl.compile_scalar(f, specs, dtype="float64")
    x, eye = RNG.standard_normal((5, 4)), np.eye(3, dtype=bool)
    for labels, rows in (([0, 1, 2], [4, 0, 1]), ([3, 3, 3], [2, 2, 7])):
        z = np.array([x[r] if r < 5 else np.zeros(4) for r in rows])
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        value, grads = c.value_and_grad(x, labels, eye, rows)
        close(value, -np.log(p[np.arange(3), labels]).mean())
        assert grads[1:] == (None, None, None)
        expected = np.zeros((5, 4))
        for k, r in enumerate(rows):
            if r < 5:
                expected[r] += (p[k] - np.eye(4)[labels[k]]) / 3
        close(grads[0], expected)
    with pytest.raises(tl.IndexRangeError, match=r"cross_entropy: an index or label is out of range, got logits: \(3, 4\) float64"):
        c.forward(x, [0, 1, 4], eye, [0, 1, 2])
    close(
        c.jvp((x, [0, 1, 2], eye, [0, 1, 2]), (x, None, None, None))[1], (np.asarray(c.backward(x, [0, 1, 2], eye, [0, 1, 2])[0]) * x).sum()
    )
    with pytest.raises(tl.DTypeError, match="argument 1 holds no floating-point numbers, so it has no direction"):
        c.jvp((x, [0, 1, 2], eye, [0, 1, 2]), (x, [0, 1, 2], None, None))


# Errors ------------------------------------------------------------------------------------------------------------------------


def test_wrong_calls_raise(scalar):
    for call in (scalar.forward, scalar.backward, scalar.value_and_grad):
        with pytest.raises(tl.ShapeError, match=r"argument 2 of the program must have shape \(4,\), got \(3,\)"):
            call(W, B, B)
        with pytest.raises(tl.ShapeError, match="the program takes 3 arguments, got 2"):
            call(W, B)
    with pytest.raises(tl.ShapeError, match=r"the seed must have the result's shape \(\), got \(3,\)"):
        scalar.backward_with_seed((W, B, X), B)
    with pytest.raises(tl.ShapeError, match="the seed has the structure of the result"):
        scalar.vjp_with_seed((W, B, X), (1.0, 2.0))
    with pytest.raises(tl.ShapeError, match="one direction for each of the 3 arguments, got 1"):
        scalar.jvp((W, B, X), (W,))
    with pytest.raises(tl.ShapeError, match=r"direction 1 of the program must have shape \(3,\), got \(4,\)"):
        scalar.jvp((W, B, X), (None, X, None))
    close(scalar.forward(W, B, X), H.sum())


def test_programs_that_cannot_be():
    with pytest.raises(tl.ShapeError, match=r"compile_scalar: the program returns a scalar, got \(4,\)"):
        tl.compile_scalar(lambda ops, x: x, [(4,)])
    with pytest.raises(tl.ShapeError, match=r"matmul: .*got a: \(2, 3\) float32, b: \(2, 3\) float32"):
        tl.compile_out(lambda ops, a, b: ops.matmul(a, b), [(2, 3), (2, 3)])
    with pytest.raises(tl.DTypeError, match="dtype must be float32 or float64, got 'float16'"):
        tl.compile_out(lambda ops, x: x, [(4,)], dtype="float16")
    other = Graph().arg(tl.Spec((4,)))
    with pytest.raises(tl.NodeError, match="a reference belongs to another graph"):
        tl.compile_out(lambda ops, x: ops.add(x, other), [(4,)])
    session = tl.Session()
    with pytest.raises(tl.NodeError, match="a reference belongs to another backend"):
        tl.compile_out(lambda ops, x: ops.add(x, session.input(X)), [(4,)])


def test_graphs_built_by_hand():
    g = tl.GraphM("float64")
    x = g.arg(0, (4,))
    with pytest.raises(tl.OptionError, match="argument 1 comes next, with its shape, got 2"):
        g.arg(2, (4,))
    labels = g.arg(1, tl.Spec((2,), "int64"), name="rows")
    assert g.arg(0).id == x.id and g.arg(0, (4,)).id == x.id
    with pytest.raises(tl.OptionError, match=r"argument 0 must be Spec\(shape=\(4,\), dtype='float64'\), got \(5,\)"):
        g.arg(0, (5,))
    built = g.build(g.gather_vec_nat(g.exp(x), labels))
    close(built.forward(X, [3, 0]), np.exp(X)[[3, 0]])
    assert isinstance(built, tl.CompiledOut)
    assert repr(built) == "<CompiledOut of 2 nodes, 2 arguments, float64>"


# What the caller may look at -----------------------------------------------------------------------------------------------------


def test_the_graph_prints_one_line_a_node(scalar):
    assert str(scalar.graph).splitlines() == [
        "%0 = arg 0: float64[3, 4]",
        "%1 = arg 1: float64[3]",
        "%2 = arg 2: float64[4]",
        "%3 = linear(%0, %1, %2): float64[3]",
        "%4 = tanh(%3): float64[3]",
        "%5 = sum(%4): float64[]",
        "return %5",
    ]


def test_the_plan_shows_instructions_and_fused_groups():
    c = tl.compile_out(lambda ops, x: ops.matmul(ops.tanh(ops.exp(ops.neg(x))), x), [(8, 8)])
    assert len(c.plan) == 2 and c.plan.scratch_bytes == 256
    assert str(c.plan.program).splitlines() == ["%3 = fused(neg exp tanh)(%0)", "%4 = matmul(%3, %0)"]
    assert repr(c.plan) == "<plan: 2 instructions, 256 scratch bytes>"


def test_the_plan_names_its_states():
    trainer = tl.ScalarTrainer(tl.Options(backend="compiled"), [W], [(4,)], lambda ops, w, x: ops.sum(ops.linear(w, None, x)))
    trainer.step(0.1, X)
    (executable,) = (trace.run for trace in trainer._steps._made.values())
    assert [name for name, _, _ in executable.plan.program.graph.states] == ["param 0"]


def test_the_cost():
    c = tl.compile_out(lambda ops, a, b: ops.relu(ops.matmul(a, b)), [(2, 3), (3, 4)])
    cost = c.cost()
    assert [(n.op, n.shapes, n.flops, n.bytes) for n in cost.nodes] == [
        ("matmul", ((2, 4),), 2 * 2 * 3 * 4, 4 * (8 + 6 + 12)),
        ("relu", ((2, 4),), 16, 4 * 16),
    ]
    assert (cost.flops, cost.bytes) == (64, 168)
    assert str(cost).splitlines()[-1].startswith("in all")
    jf = tl.jit(lambda ops, a: ops.neg(a))
    jf(np.ones(5, np.float32))
    assert jf.cost().flops == 5 and jf.cost().bytes == 40


def test_folding_and_dead_code():
    def f(ops, x):
        unused = ops.exp(x)
        ops.matmul(unused, unused)
        known = ops.sqrt(ops.const(np.full((2, 2), 4.0)))
        return ops.add(ops.mul(x, known), ops.mul(x, known))

    c = tl.compile_out(f, [(2, 2)], dtype="float64")
    assert [n.record.name for n in c.graph.nodes] == ["sqrt", "mul", "mul", "add"]
    assert str(c.plan.program) == "%7 = fused(mul add)(%0, %4)"
    close(c.forward(np.eye(2)), 4 * np.eye(2))


def programs():
    yield "norm", lambda ops, x: ops.sum(ops.layer_norm(ops.matmul(x, x))), [(6, 6)]
    yield (
        "attention",
        lambda ops, q, m: ops.sum(ops.square(ops.scaled_dot_product_attention(q, q, q, m))),
        [(5, 4), tl.Spec((5, 5), "bool")],
    )
    yield "conv", lambda ops, w, x: ops.sum(ops.max_pool2d(ops.relu(ops.conv2d(w, None, x)), 2)), [(2, 1, 3, 3), (2, 1, 6, 6)]
    yield "loss", lambda ops, x, y: ops.cross_entropy(ops.linear(x, None, x), y), [(6, 6), tl.Spec((6,), "int64")]
    yield "einsum", lambda ops, a, b: ops.sum(ops.einsum("ijk,jl->kil", a, b)), [(2, 3, 4), (3, 5)]


@pytest.mark.parametrize(("name", "f", "shapes"), list(programs()), ids=[p[0] for p in programs()])
def test_every_pass_leaves_a_valid_graph(name, f, shapes):
    graph = Graph("float64", merge=False)
    refs = [graph.arg(s if isinstance(s, tl.Spec) else tl.Spec(s)) for s in shapes]
    y = f(graph, *refs)
    graph.outputs = [y.id]
    graph.check()
    floats = [r if r.dtype == "float64" else None for r in refs]
    grads = reverse(graph, [(y, graph.const(1.0))], floats)
    graph.check()
    moves = [(r, r) for r in floats if r is not None]
    tangents = forward(graph, moves, [g for g in grads if g is not None])
    graph.check()
    graph.outputs = [y.id, *(r.id for r in [*grads, *tangents] if r is not None)]
    before = len(graph)
    for step in (Graph.prune, expand, merged, fold):
        graph = step(graph)
        graph.check()
        assert len(str(graph).splitlines()) == len(graph) + len(graph.constants) + sum(i is not None for i in graph.inputs) + 1
    assert 0 < len(graph) != before


def test_a_broken_graph_is_found():
    def fresh():
        graph = Graph()
        x = graph.arg(tl.Spec((2, 3)))
        y = graph.neg(graph.exp(x))
        graph.outputs = [y.id]
        return graph

    fresh().check()
    graph = fresh()
    graph.nodes.reverse()
    with pytest.raises(tl.NodeError, match="neg reads %1 before it is made"):
        graph.check()
    graph = fresh()
    graph.specs[2] = tl.Spec((3, 2), "float32")
    with pytest.raises(tl.NodeError, match="neg makes %2 of"):
        graph.check()
    graph = fresh()
    graph.nodes.append(graph.nodes[0])
    with pytest.raises(tl.NodeError, match="%1 is made twice"):
        graph.check()
    graph = fresh()
    graph.outputs.append(graph._value(tl.Spec(())).id)
    with pytest.raises(tl.NodeError, match="output %3 is never made"):
        graph.check()


# jit -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("without_capture_check")
def test_jit_compiles_once_for_each_signature():
    traced = []

    def f(ops, x, rest):
        traced.append(x.shape)
        return {"sum": ops.sum(x), "rest": [ops.neg(r) for r in rest]}

    jf = tl.jit(f)
    with pytest.raises(tl.OptionError, match="the program was not called yet"):
        _ = jf.graph
    for _ in range(3):
        close(jf(X, [B])["sum"], X.sum())
        close(jf(B, [B, X])["rest"][1], -X)
        jf(X.astype(np.float32), [B.astype(np.float32)])
    assert traced == [(4,), (3,), (4,)]
    assert jf.graph.dtype == "float32" and len(jf.plan) > 0
    whole = jf(np.arange(4), [B])
    assert (whole["sum"].dtype, whole["rest"][0].dtype) == ("int64", "float64") and whole["sum"].item() == 6


# Random numbers --------------------------------------------------------------------------------------------------------------------


def test_new_masks_every_call_and_the_bits_of_the_eager_stream():
    def f(ops, x):
        return ops.sum(ops.dropout(ops.exp(ops.dropout(x, 0.3)), 0.5))

    x = RNG.standard_normal(100).astype(np.float32)
    c, jf, s = tl.compile_scalar(f, [(100,)], seed=0), tl.jit(f, seed=0), tl.Session(seed=0)
    seen = set()
    for _ in range(4):
        s.reset_tape()
        ref = s.input(x)
        loss = f(s, ref)
        expected = s.grad(s.backward_scalar_dense_all(loss), ref).numpy()
        value, (g,) = c.value_and_grad(x)
        np.testing.assert_array_equal(value.numpy(), loss.numpy())
        np.testing.assert_array_equal(g.numpy(), expected)
        np.testing.assert_array_equal(jf(x).numpy(), loss.numpy())
        seen.add(loss.item())
    assert len(seen) == 4


def test_a_seed_may_be_an_input():
    c = tl.compile_out(lambda ops, x, seed: ops.dropout(x, 0.5, seed), [(64,), tl.Spec((), "int64")])
    x = np.ones(64)
    one, again, two = (np.asarray(c.forward(x, k)) for k in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != two).any()


# Threads, memory, time --------------------------------------------------------------------------------------------------------------


def test_calls_from_many_threads_are_right():
    shape = (32, 32)
    f = lambda ops, a, b: ops.sum(ops.tanh(ops.matmul(ops.softmax(a), ops.layer_norm(b))))  # noqa: E731
    c, jf = tl.compile_scalar(f, [shape, shape], dtype="float64"), tl.jit(f)
    arrays = [RNG.standard_normal((2, *shape)) for _ in range(8)]
    alone = tl.compile_scalar(f, [shape, shape], dtype="float64")
    expected = [[np.asarray(g) for g in alone.backward(*a)] + [np.asarray(alone.forward(*a))] for a in arrays]
    wrong = []

    def work(k):
        for _ in range(10):
            da, db = c.backward(*arrays[k])
            found = [da, db, jf(*arrays[k])]
            if not all(np.array_equal(np.asarray(x), y) for x, y in zip(found, expected[k], strict=True)):
                wrong.append(k)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert wrong == []


def test_a_step_keeps_no_memory(scalar):
    scalar.value_and_grad(W, B, X)
    scalar.jvp((W, B, X), (W, B, X))
    before = memory_stats()["blocks"]
    for _ in range(50):
        scalar.value_and_grad(W, B, X)
        scalar.jvp((W, B, X), (W, B, X))
    assert memory_stats()["blocks"] <= before


def events_to_compile(f, shapes):
    """The calls that Python makes while a program and its gradient are compiled."""
    count = 0

    def tick(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    c = tl.compile_scalar(f, shapes)
    c._grad_graph()
    sys.setprofile(tick)
    try:
        Executable(tl.compile_scalar(f, shapes)._grad_graph())
    finally:
        sys.setprofile(None)
    return count


def chain(n, size):
    def f(ops, x):
        h = x
        for k in range(n):
            h = (ops.tanh(h), ops.mul(h, x), ops.scale(h, 0.5), ops.cumsum(h, 0))[k % 4]
        return ops.sum(h)

    return f, [(size,)]


def readers(n, size):
    def f(ops, x):
        h = x
        for _ in range(n // 4):
            h = ops.mul(x, ops.broadcast_to(ops.sum(ops.mul(h, x)), x.shape))
        return ops.sum(h)

    return f, [(size,)]


def arguments(n, size):
    def f(ops, *xs):
        h = xs[0]
        for x in xs[1:]:
            h = ops.add(ops.mul(h, x), x)
        return ops.sum(h)

    return f, [(size,)] * (n // 2)


@pytest.mark.parametrize("family", [chain, readers, arguments])
@pytest.mark.parametrize("size", [4, 4096])
def test_compiling_is_linear_in_the_program(family, size):
    small, large = (events_to_compile(*family(n, size)) for n in (150, 600))
    assert large < 4.5 * small
