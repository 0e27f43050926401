"""Captured values: a kept transformation is what Python would compute anew, whatever changes between its calls."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import tlean as tl
from tlean import nn
from tlean.backends.captured import Captured

ONES = np.ones(3)
RATE = 1.0
TABLE = {"rate": 1.0}
WEIGHT = np.ones(3)


def both(test):
    return pytest.mark.parametrize("backend", ["compiled", "eager"])(test)


def slope(g):
    """The gradient of a program that is linear in x, as a number."""
    found = np.unique(np.asarray(g(ONES)))
    assert found.shape == (1,)
    return found[0]


# Numbers, strings, tuples ---------------------------------------------------------------------------------------------------


@both
def test_a_number_of_a_closure(backend):
    rate = 1.0
    g = tl.grad(lambda ops, x: ops.sum(ops.scale(x, rate)), backend=backend)
    assert slope(g) == 1.0
    rate = 100.0
    assert slope(g) == 100.0
    rate = 1.0
    assert slope(g) == 1.0


@both
def test_a_global_and_an_entry_of_a_dictionary(backend, monkeypatch):
    g = tl.grad(lambda ops, x: ops.sum(ops.scale(x, RATE * TABLE["rate"])), backend=backend)
    assert slope(g) == 1.0
    monkeypatch.setitem(globals(), "RATE", 3.0)
    assert slope(g) == 3.0
    monkeypatch.setitem(TABLE, "rate", 5.0)
    assert slope(g) == 15.0


@both
def test_defaults(backend):
    def f(ops, x, rate=2.0, *, shift=1.0):
        return ops.sum(ops.scale(x, rate * shift))

    g = tl.grad(f, backend=backend)
    assert slope(g) == 2.0
    f.__defaults__ = (3.0,)
    assert slope(g) == 3.0
    f.__kwdefaults__["shift"] = 2.0
    assert slope(g) == 6.0


@both
def test_bits_tell_numbers_apart(backend):
    rate = 0.0
    g = tl.grad(lambda ops, x: ops.sum(ops.scale(x, rate)), backend=backend)
    assert not np.signbit(slope(g))
    rate = -0.0
    assert np.signbit(slope(g))
    rate = 1
    assert slope(g) == 1.0
    rate = True
    assert slope(g) == 1.0
    rate = np.float32(4)
    assert slope(g) == 4.0


@both
def test_strings_and_tuples(backend):
    kind, shape = "double", (3, 1)

    def f(ops, x):
        return ops.sum(ops.reshape(ops.scale(x, 2.0 if kind == "double" else 3.0), shape))

    g = tl.jacrev(f, backend=backend)
    assert slope(g) == 2.0
    kind, shape = "triple", (1, 3)
    assert slope(g) == 3.0


@both
def test_lists_of_numbers_and_their_length(backend):
    rates = [1.0, 2.0]
    g = tl.grad(lambda ops, x: ops.sum(ops.scale(x, sum(rates))), backend=backend)
    assert slope(g) == 3.0
    rates[0] = 5.0
    assert slope(g) == 7.0
    rates.append(1.0)
    assert slope(g) == 8.0
    del rates[:]
    assert slope(g) == 0.0


# Objects ------------------------------------------------------------------------------------------------------------------------


class Model:
    rate = 2.0

    def __init__(self):
        self.w = np.ones(3)
        self.parts = {"a": [1.0]}
        self.calls = 0

    def scale(self, ops, x):
        return ops.scale(x, self.rate)

    @property
    def bias(self):
        return self.parts["a"][0]

    def loss(self, ops, x):
        return ops.sum(ops.mul(ops.scale(self.scale(ops, x), self.bias), self.w))


@both
def test_self_its_attributes_methods_and_properties(backend):
    m = Model()
    g = tl.value_and_grad(m.loss, backend=backend)
    g1 = lambda x: g(x)[1]  # noqa: E731
    assert slope(g1) == 2.0
    m.rate = 3.0
    assert slope(g1) == 3.0
    m.parts["a"][0] = 2.0
    assert slope(g1) == 6.0
    m.w = np.full(3, 2.0)
    assert slope(g1) == 12.0
    m.w[:] = 1.0
    assert slope(g1) == 6.0


def test_methods_of_classes_and_objects_trace_once():
    class Rates:
        rate = 2.0

        @classmethod
        def of(cls, ops, x):
            return ops.scale(x, cls.rate)

    kept = types.SimpleNamespace(of=Rates.of)
    g = tl.grad(lambda ops, x: ops.sum(ops.add(Rates.of(ops, x), kept.of(ops, x))))
    assert slope(g) == slope(g) == 4.0 and traces(g) == 1
    Rates.rate = 3.0
    assert slope(g) == 6.0 and traces(g) == 2


@both
def test_what_super_calls(backend):
    class Base:
        rate = 1.0

        def loss(self, ops, x):
            return ops.sum(ops.scale(x, self.rate))

    class Own(Base):
        def loss(self, ops, x):
            return ops.scale(super().loss(ops, x), 2.0)

    m = Own()
    g = tl.grad(m.loss, backend=backend)
    assert slope(g) == 2.0
    m.rate = 3.0
    assert slope(g) == 6.0
    Base.loss = lambda self, ops, x: ops.sum(ops.scale(x, 5.0))
    assert slope(g) == 10.0


@both
def test_deep_models(backend):
    """The mode of a layer however deep it lies."""
    model = inner = nn.Sequential(nn.Dropout(0.5))
    for _ in range(6):
        model = nn.Sequential(nn.Sequential(model))
    g = tl.grad(lambda ops, x: ops.sum(model(ops, x)), backend=backend, seed=0)
    first = np.asarray(g(np.ones(64)))
    assert (first == 0).any()
    inner.eval()
    assert np.asarray(g(np.ones(64))).tolist() == [1.0] * 64


@both
def test_an_attribute_of_the_class(backend):
    class Own(Model):
        rate = 2.0

    m = Own()
    g = tl.grad(m.loss, backend=backend)
    assert slope(g) == 2.0
    Own.rate = 4.0
    assert slope(g) == 4.0
    Own.scale = lambda self, ops, x: ops.scale(x, 10.0)
    assert slope(g) == 10.0


@both
def test_an_object_that_is_handed_on(backend):
    def helper(ops, x, settings):
        return ops.scale(x, settings.rate * settings.inner.rate)

    settings = types.SimpleNamespace(rate=2.0, inner=types.SimpleNamespace(rate=1.0))
    g = tl.grad(lambda ops, x: ops.sum(helper(ops, x, settings)), backend=backend)
    assert slope(g) == 2.0
    settings.inner.rate = 3.0
    assert slope(g) == 6.0
    settings = types.SimpleNamespace(rate=1.0, inner=settings.inner)
    assert slope(g) == 3.0


@both
def test_functions_among_what_is_captured(backend):
    rate = 1.0

    def first(ops, x):
        return ops.scale(x, rate)

    inner = first

    def outer(ops, x):
        return ops.sum(inner(ops, x))

    g = tl.grad(outer, backend=backend)
    assert slope(g) == 1.0
    rate = 2.0
    assert slope(g) == 2.0
    inner = lambda ops, x: ops.scale(x, 7.0)  # noqa: E731
    assert slope(g) == 7.0


@both
def test_partials_decorated_functions_and_callable_objects(backend):
    table = [1.0]

    def f(ops, x, rate):
        return ops.sum(ops.scale(x, rate[0]))

    def program(f):
        @functools.wraps(f)
        def wrapper(ops, x):
            return f(ops, x, table)

        return wrapper

    class Called:
        rate = 1.0

        def __call__(self, ops, x):
            return ops.sum(ops.scale(x, self.rate * table[0]))

    called = Called()
    gs = [tl.grad(p, backend=backend) for p in (functools.partial(f, rate=table), program(f), called)]
    assert [slope(g) for g in gs] == [1.0, 1.0, 1.0]
    table[0] = 3.0
    assert [slope(g) for g in gs] == [3.0, 3.0, 3.0]
    called.rate = 2.0
    assert slope(gs[2]) == 6.0


@both
def test_transformations_of_transformations(backend):
    rate = 1.0
    f = lambda ops, x: ops.sum(ops.scale(ops.mul(ops.square(x), x), rate))  # noqa: E731
    hessian = tl.hessian(f, backend=backend)
    nested = tl.grad(lambda ops, x: ops.sum(tl.grad(f)(ops, x)), backend=backend)
    jitted = tl.grad(tl.jit(f), backend=backend)
    assert np.asarray(hessian(ONES)).trace() == 18.0 and slope(nested) == 6.0 and slope(jitted) == 3.0
    rate = 2.0
    assert np.asarray(hessian(ONES)).trace() == 36.0 and slope(nested) == 12.0 and slope(jitted) == 6.0


@both
def test_a_program_that_changes_what_it_reads(backend):
    count = 0

    def f(ops, x):
        nonlocal count
        count += 1
        return ops.sum(ops.scale(x, float(count)))

    g = tl.grad(f, backend=backend)
    assert [slope(g) for _ in range(3)] == [1.0, 2.0, 3.0]


# Arrays -------------------------------------------------------------------------------------------------------------------------


def traces(g):
    return sum(len(t) for t in g._compiled._known.values())


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


def test_jit_reads_arrays_and_freezes_the_rest(monkeypatch):
    monkeypatch.delenv("TLEAN_CHECK_CAPTURE", raising=False)
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
    c = np.ones((3, 1))
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


# TLEAN_CHECK_CAPTURE -------------------------------------------------------------------------------------------------------------


def trained(f):
    return tl.ScalarTrainer(tl.Options(backend="compiled"), [], [(3,)], f).forward


@pytest.mark.parametrize("make", [tl.grad, tl.jit, lambda f: tl.compile_scalar(f, [(3,)], "float64"), trained])
def test_a_hidden_change_is_found(make, monkeypatch):
    monkeypatch.setenv("TLEAN_CHECK_CAPTURE", "1")
    state = iter([1.0, 1.0, 2.0, 2.0, 2.0])
    # An iterator says nothing of what it will give.
    f = make(lambda ops, x: ops.sum(ops.scale(x, next(state))))
    f(ONES)
    with pytest.raises(tl.OptionError, match="TLEAN_CHECK_CAPTURE: the function makes another program"):
        for _ in range(3):
            f(ONES)


def test_nothing_is_found_where_nothing_changed(monkeypatch):
    monkeypatch.setenv("TLEAN_CHECK_CAPTURE", "1")
    c, rate = np.ones(3), 1.0
    g = tl.grad(lambda ops, x: ops.sum(ops.scale(ops.mul(ops.dropout(x, 0.5), c), rate)))
    for k in range(4):
        c[:] = k
        g(ONES)
    rate = 2.0
    g(ONES)


# Copies ----------------------------------------------------------------------------------------------------------------------------


def cube(ops, x):
    """Σ x³ of the module, so that it pickles by name."""
    return ops.sum(ops.mul(ops.square(x), x))


MADE = [
    tl.jit(cube),
    tl.grad(cube),
    tl.value_and_grad(cube, argnums=(0,)),
    tl.jacrev(cube),
    tl.jacfwd(cube),
    tl.hessian(cube),
    tl.compile_scalar(cube, [(3,)], "float64"),
    tl.compile_out(cube, [tl.Spec((3,), "float64")]),
]


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda f: pickle.loads(pickle.dumps(f))], ids=["deepcopy", "copy", "pickle"])
@pytest.mark.parametrize("f", MADE, ids=lambda f: getattr(f, "__name__", type(f).__name__))
def test_programs_are_copied(f, again):
    made = again(f)
    assert type(made) is type(f)
    expected, found = tl.tree.flatten(f(ONES))[0], tl.tree.flatten(made(ONES))[0]
    assert [np.asarray(e).tolist() for e in expected] == [np.asarray(m).tolist() for m in found]


def test_another_process_takes_them(tmp_path):
    (tmp_path / "programs.py").write_text("def cube(ops, x):\n    return ops.sum(ops.mul(ops.square(x), x))\n")
    program = (
        "import multiprocessing, numpy, tlean, programs\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        for f in (tlean.jit(programs.cube), tlean.grad(programs.cube), tlean.compile_scalar(programs.cube, [(3,)])):\n"
        "            print(numpy.asarray(pool.apply(f, (numpy.ones(3),))).sum())\n"
    )
    (tmp_path / "main.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(tl.__file__).parent.parent), str(tmp_path)])}
    done = subprocess.run([sys.executable, str(tmp_path / "main.py")], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3.0", "9.0", "3.0"]


def test_what_has_no_name_says_so():
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(tl.jit(lambda ops, x: x))
    g = tl.GraphM()
    built = g.build(g.exp(g.arg(0, (3,))))
    with pytest.raises(tl.OptionError, match="recorded by hand"):
        copy.deepcopy(built)


# The walk ---------------------------------------------------------------------------------------------------------------------------


def test_places_are_named():
    rate, m = 1.0, Model()

    def helper(ops, x):
        return ops.scale(x, rate)

    def f(ops, x, power=2):
        return ops.sum(ops.scale(helper(ops, x), m.rate + m.parts["a"][0] + RATE))

    names = set(Captured(f).guard.names)
    assert {"helper.rate", "m.rate", "m.parts['a'][0]", "RATE", "helper", "m"} <= names
    assert Captured(f).guard.changed() is None


def test_a_walk_ends():
    """Cycles, big containers, functions that call each other, missing globals and empty cells."""
    loop = []
    loop.append(loop)
    big = dict.fromkeys(range(5000), 1.0)
    me = types.SimpleNamespace()
    me.me = me

    def even(ops, x, n=4):
        return odd(ops, x, n - 1) if n else ops.sum(x)

    def odd(ops, x, n):
        return even(ops, x, n - 1)

    def f(ops, x):
        if len(loop) > 5:
            return not_there(x) + later  # noqa: F821
        return ops.scale(even(ops, x), float(len(big) - 4999) * (me.me is me))

    guard = Captured(f).guard
    assert len(guard) < 100
    g = tl.grad(f)
    assert slope(g) == 1.0
    big[-1] = 2.0
    assert slope(g) == 2.0
    if loop is None:
        later = 1


def test_calls_from_several_threads():
    from concurrent.futures import ThreadPoolExecutor

    def one(k):
        c = np.full(3, float(k))
        return lambda ops, x: ops.sum(ops.scale(ops.mul(x, c), float(k))), float(k * k)

    programs = [one(k) for k in range(4)]
    table = [programs[0][0]]
    shared = np.ones(3)
    g = tl.grad(lambda ops, x: ops.sum(ops.mul(x, shared)))
    gs = [tl.grad(f) for f, _ in programs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: (slope(gs[k % 4]), slope(g)), range(200)))
    assert found == [(programs[k % 4][1], 1.0) for k in range(200)] and table


def test_a_program_of_many_constants():
    """The walk and the inputs are linear in what a program captures."""
    parts = [np.full(2, float(k)) for k in range(900)]

    def f(ops, x):
        for p in parts:
            x = ops.add(x, p)
        return ops.sum(x)

    g = tl.value_and_grad(f)
    assert g(np.zeros(2))[0].item() == 900 * 899
    parts[0][:] = 1
    assert g(np.zeros(2))[0].item() == 900 * 899 + 2
    assert traces(g) == 1
