"""Captured values: a kept transformation is what Python would compute, whatever changes between its calls."""

from __future__ import annotations

import argparse
import collections
import functools
import gc
import types
import weakref

import numpy as np
import pytest
from captured_programs import ONES, Model, both, slope, traces

import tlean as tl
from tlean import nn
from tlean.programs.captured import Captured

RATE = 1.0
TABLE = {"rate": 1.0}


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


@pytest.mark.parametrize(
    "loop",
    [
        lambda x: tl.fori_loop(0, 3, lambda i, c: c + np.ones(3), x),
        lambda x: tl.scan(lambda c, z: (c + z * x, None), np.zeros(3), np.ones((4, 3)))[0],
        lambda x: tl.while_loop(lambda c: tl.sum(c) < 20.0, lambda c: c + np.ones(3), x, max_steps=30),
        lambda x: tl.checkpoint(lambda x: tl.cond(True, lambda c: c * np.arange(3.0), lambda c: c, x))(x),
    ],
)
def test_arrays_that_a_loop_makes_are_constants(loop):
    """Whether garbage is collected meanwhile or not, so that the program is the same each time."""
    program = tl.jit(loop)
    gc.disable()
    try:
        program(np.ones(3))
    finally:
        gc.enable()
    assert not program._latest.captured.takes_inputs


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


class Settings:
    """A class that is a namespace."""

    rate = 1.0


def rate_of(settings):
    return settings.rate


LIBRARY_OBJECTS = {
    "Namespace": (argparse.Namespace(rate=1.0), rate_of, lambda s, v: setattr(s, "rate", v)),
    "SimpleNamespace": (types.SimpleNamespace(rate=1.0), rate_of, lambda s, v: setattr(s, "rate", v)),
    "class": (Settings, rate_of, lambda s, v: setattr(s, "rate", v)),
    "inherited": (type("Other", (Settings,), {}), rate_of, lambda s, v: setattr(Settings, "rate", v)),
    "UserDict": (collections.UserDict(rate=1.0), lambda s: s["rate"], lambda s, v: s.update(rate=v)),
    "UserList": (collections.UserList([1.0]), lambda s: s[0], lambda s, v: s.__setitem__(0, v)),
    "ChainMap": (collections.ChainMap({}, {"rate": 1.0}), lambda s: s["rate"], lambda s, v: s.maps[1].update(rate=v)),
    "mappingproxy": (types.MappingProxyType(TABLE), lambda s: s["rate"], lambda s, v: TABLE.update(rate=v)),
    "memoryview": (memoryview(bytearray(b"\x01")), lambda s: float(s[0]), lambda s, v: s.__setitem__(0, int(v))),
    "weakref": (weakref.ref(Settings), lambda s: s().rate, lambda s, v: setattr(Settings, "rate", v)),
}


@both
@pytest.mark.parametrize("kind", LIBRARY_OBJECTS)
def test_objects_that_hold_values_and_are_handed_on(backend, kind):
    """Containers and namespaces of libraries, and classes, hold what the user put in, wherever their code comes from."""
    settings, read, write = LIBRARY_OBJECTS[kind]
    g = tl.grad(lambda ops, x: ops.sum(ops.scale(x, read(settings))), backend=backend)
    write(settings, 1.0)
    try:
        assert slope(g) == 1.0
        write(settings, 4.0)
        assert slope(g) == 4.0
        assert slope(g) == 4.0
    finally:
        write(settings, 1.0)
    if backend == "compiled":
        assert slope(g) == 1.0
        assert traces(g) == 2
