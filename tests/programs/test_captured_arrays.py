"""Captured arrays, parameters and layers are inputs of kept programs; what jit, compiled programs and trainers freeze."""

from __future__ import annotations

import numpy as np
import pytest
from captured_programs import ONES, Model, both, slope, traces

import tlean as tl
from tlean import nn

WEIGHT = np.ones(3)


# Arrays -------------------------------------------------------------------------------------------------------------------------


@both
def test_arrays_are_read_at_each_call(backend):
    c = np.ones(3)
    g = tl.grad(lambda ops, x: ops.sum(ops.mul(x, c)), backend=backend)
    assert slope(g) == 1.0
    c[:] = 9
    assert slope(g) == 9.0
    c = np.full(3, 4.0)
    assert slope(g) == 4.0
    if backend == "compiled":
        # The very plan: the array is an input of it.
        assert traces(g) == 1
    c = np.full(3, 5.0, np.float32)
    assert slope(g) == 5.0
    c = tl.AnyTensor(np.full(3, 6.0))
    assert slope(g) == 6.0


@both
def test_arrays_everywhere(backend, monkeypatch):
    parts, pair = [np.ones(3), {"w": np.ones(3)}], (np.ones(3),)
    g = tl.grad(lambda ops, x: ops.sum(ops.mul(ops.mul(ops.mul(x, parts[0]), ops.mul(parts[1]["w"], pair[0])), WEIGHT)), backend=backend)
    assert slope(g) == 1.0
    parts[0][:] = 2
    assert slope(g) == 2.0
    parts[1]["w"] = np.full(3, 3.0)
    assert slope(g) == 6.0
    pair[0][:] = 2
    assert slope(g) == 12.0
    monkeypatch.setitem(globals(), "WEIGHT", np.full(3, 0.5))
    assert slope(g) == 6.0


@both
def test_views_see_what_they_are_views_of(backend):
    table = np.ones((2, 3))
    g = tl.grad(lambda ops, x: ops.sum(ops.mul(x, table[1])), backend=backend)
    assert slope(g) == 1.0
    table[1] = 5.0
    assert slope(g) == 5.0
    table = np.full((2, 3), 7.0)
    assert slope(g) == 7.0


@both
def test_an_array_under_two_names(backend):
    a = b = np.ones(3)
    g = tl.grad(lambda ops, x: ops.sum(ops.mul(ops.add(ops.mul(x, a), ops.mul(x, b)), a)), backend=backend)
    assert slope(g) == 2.0
    b = np.full(3, 3.0)
    assert slope(g) == 4.0
    a = np.full(3, 2.0)
    assert slope(g) == 10.0


@both
def test_arrays_that_the_program_computes_with_in_python(backend):
    c, half = np.ones(3), np.ones(3)

    def f(ops, x):
        return ops.sum(ops.scale(ops.mul(x, c), float(c.sum()) / 3 * half[0]))

    g = tl.grad(f, backend=backend)
    assert slope(g) == 1.0
    c[:] = 2
    assert slope(g) == 4.0
    half[:] = 0.5
    assert slope(g) == 2.0


@both
def test_integers(backend):
    for labels in (np.array([0, 1]), np.array([0, 1], np.int32)):
        g = tl.grad(lambda ops, x, i=labels: ops.sum(ops.gather_vec_nat(x, i)), backend=backend)
        assert np.asarray(g(ONES)).tolist() == [1, 1, 0]
        labels[:] = 2
        assert np.asarray(g(ONES)).tolist() == [0, 0, 2]


@both
def test_parameters_are_read_at_each_call(backend):
    p = tl.Param(np.ones(3))
    for program in (lambda ops, x: ops.sum(ops.mul(x, p)), lambda ops, x: ops.sum(ops.mul(x, ops.use(p)))):
        p.set(np.ones(3))
        g = tl.grad(program, backend=backend)
        assert slope(g) == 1.0
        tl.optim.SGD([p], lr=1.0).step([np.full(3, -4.0)])
        assert slope(g) == 5.0
        p.set(np.full(3, 2.0))
        assert slope(g) == 2.0
        assert backend == "eager" or traces(g) == 1
    single = tl.Param(np.ones(3, np.float32), name="w")
    with pytest.raises(tl.DTypeError, match=r"computes in float64, got Param\(w: .*cast"):
        tl.grad(lambda ops, x: ops.sum(ops.mul(x, single)), backend=backend)(ONES)


@both
def test_a_result_is_nobody_elses_memory(backend):
    c, p = np.ones((2, 3)), tl.Param(np.ones(3))
    f = tl.grad(lambda ops, x: (ops.sum(x), [ops.const(c), ops.reshape(ops.const(c), (6,)), ops.use(p)]), has_aux=True, backend=backend)
    for _ in range(2):
        c[:] = 1
        p.set(np.ones(3))
        kept = f(ONES)[1]
        c[:] = 5
        tl.optim.SGD([p], lr=1.0).step([np.full(3, -4.0)])
        assert all(np.asarray(k).max() == 1.0 for k in kept)


def test_what_the_program_makes_is_a_constant():
    g = tl.jit(lambda ops, x: ops.mul(x, np.full(3, 2.0)))
    assert np.asarray(g(ONES)).tolist() == [2, 2, 2]
    assert len(g.graph.inputs) == 1 and len(g.graph.constants) == 1


@both
def test_layers(backend):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.5), nn.BatchNorm(4)).init(0).to("float64").eval()
    x = np.random.default_rng(0).normal(size=(2, 3))
    f = tl.value_and_grad(lambda ops, x: ops.sum(model(ops, x)), backend=backend)

    def right():
        np.testing.assert_allclose(np.asarray(f(x)[0]), np.asarray(model.predict(x)).sum(), rtol=1e-12)

    right()
    for p in model.state():
        p.set(np.asarray(p) * 1.5 + 0.1)
    right()
    model.train()
    with pytest.raises(tl.OptionError, match="running statistics do not move inside a transformed or compiled program"):
        f(x)
    model.eval()
    right()


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_layers_of_a_session_inside(backend):
    """A gradient penalty: the parameters that a transformation uses are leaves of the session."""
    model = nn.Linear(3, 1).init(0).to("float64")
    s = tl.Session(backend=backend, dtype="float64")
    g = tl.grad(lambda ops, x: ops.sum(ops.square(model(ops, x))))(s, s.input(ONES))
    y, w = model.predict(ONES).item(), np.asarray(model.weight)[0]
    np.testing.assert_allclose(g.numpy(), 2 * y * w)
    grads = s.backward_params(s.sum(g))
    # d/dw Σ 2 (w·1 + b) w = 2 Σw · 1 + 2 y
    np.testing.assert_allclose(np.asarray(grads[model.weight])[0], 2 * w.sum() + 2 * y)
    np.testing.assert_allclose(np.asarray(grads[model.bias]), [2 * w.sum()])


def test_a_model_as_a_function_of_its_parameters():
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh()).init(0)
    loss = model.program("mse_loss")
    g = tl.grad(lambda ops, params, x, y: loss(ops, *params, x, y)[0])
    h = tl.grad(lambda ops, params, x: ops.sum(model.apply(ops, params, x)))
    optimizer = tl.optim.SGD(model.parameters(), lr=0.1)
    x, y = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
    for _ in range(3):
        params = [p.get() for p in model.parameters()]
        optimizer.step(g(params, x, y))
        h(params, x)
    # Updates of the parameters trace nothing: they are arguments.
    assert traces(g) == traces(h) == 1
    t = tl.ScalarTrainer(tl.Options(backend="compiled"), model.state(), [(4, 3), (4, 2)], loss)
    t.step(0.1, x, y)
    assert not any(isinstance(v, tl.Param) for v in t.captured.values())


@both
def test_layers_in_training_mode(backend):
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5)).init(0).to("float64")
    f = tl.value_and_grad(lambda ops, x: ops.sum(model(ops, x)), backend=backend)
    x = np.ones((2, 3))
    assert len({f(x)[0].item() for _ in range(4)}) > 1
    model.eval()
    assert len({f(x)[0].item() for _ in range(4)}) == 1
    model.train()
    assert len({f(x)[0].item() for _ in range(4)}) > 1


def test_few_traces_are_kept():
    rate = 0.0
    g = tl.grad(lambda ops, x: ops.sum(ops.scale(x, rate)))
    for k in range(20):
        rate = float(k)
        assert slope(g) == k
    assert traces(g) == 8


def test_what_changes_beside_the_program_traces_nothing():
    m = Model()
    g = tl.grad(m.loss)
    for _ in range(4):
        m.calls += 1
        g(ONES)
    assert traces(g) == 1


# jit, compile_* and trainers -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("without_capture_check")
def test_jit_reads_arrays_and_freezes_the_rest():
    rate, c, m, name = 2.0, np.ones(3), Model(), "w"
    f = tl.jit(lambda ops, x: ops.scale(ops.mul(ops.mul(x, c), m.w), rate * m.rate if name == "w" else 0.0))
    with pytest.raises(tl.OptionError, match="not called yet"):
        _ = f.captured
    assert np.asarray(f(ONES)).tolist() == [4, 4, 4]
    assert {k: v for k, v in f.captured.items() if k != "m"} == {"rate": 2.0, "m.rate": 2.0, "name": "w"}
    rate, m.rate, name = 9.0, 9.0, "v"
    c[:] = 2
    assert np.asarray(f(ONES)).tolist() == [8, 8, 8]
    m.w = np.full(3, 0.5)
    assert np.asarray(f(ONES)).tolist() == [4, 4, 4]
    c = np.ones(2)
    with pytest.raises(tl.ShapeError):
        f(ONES)


def test_compiled_programs_read_arrays_and_freeze_the_rest():
    rate, c = 2.0, np.ones(3, np.float32)
    f = tl.compile_scalar(lambda ops, x: ops.sum(ops.scale(ops.mul(x, c), rate)), [(3,)])
    assert dict(f.captured) == {"rate": 2.0}
    for value in (1.0, 3.0):
        c[:] = value
        assert f(ONES).item() == 6 * value
        assert f.backward(ONES)[0].tolist() == [2 * value] * 3
        assert f.jvp((ONES,), (ONES,))[1].item() == 6 * value
        assert f.backward_with_seed((ONES,), 2.0)[0].tolist() == [4 * value] * 3
    c = np.ones(4, np.float32)
    with pytest.raises(tl.ShapeError, match="c: an array that a compiled program captures keeps its shape and dtype"):
        f(ONES)


def test_trainers_freeze_the_rest():
    rate = 2.0
    t = tl.ScalarTrainer(tl.Options(backend="compiled"), [np.ones(3)], [], lambda ops, w: ops.sum(ops.scale(w, rate)))
    assert t.forward().item() == 6.0 and dict(t.captured) == {"rate": 2.0}
    eager = tl.ScalarTrainer(tl.Options(), [np.ones(3)], [], lambda ops, w: ops.sum(ops.scale(w, rate)))
    assert eager.forward().item() == 6.0 and dict(eager.captured) == {}


@both
def test_trainers_read_arrays(backend):
    c = np.ones(3, np.float32)
    t = tl.ScalarTrainer(tl.Options(backend=backend), [np.ones(3)], [(3,)], lambda ops, w, x: ops.sum(ops.mul(ops.mul(w, x), c)))
    assert t.forward(ONES).item() == 3.0
    c[:] = 2
    assert t.forward(ONES).item() == 6.0 and t.backward(ONES)[0].tolist() == [2, 2, 2]
    c = np.full(3, 3.0, np.float32)
    assert t.step(0.5, ONES).item() == 9.0 and t.get_params()[0].tolist() == [-0.5, -0.5, -0.5]
