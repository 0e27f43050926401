"""What the short way of an eager op might get wrong: tapes that follow one another in the same memory, parameters read again, operators and
methods that skip the search for their op, calls that look like one before."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import tlean as tl
from tlean._core import arena
from tlean._core.eager import eager
from tlean._core.plan.commit import Commit
from tlean._core.refs import RefBase
from tlean.compiler.graph import GraphRef
from tlean.cuda.eager import DeviceRef
from tlean.reference.interpreter import ReferenceRef
from tlean.session.compiled import SessionRef

ONES = np.ones(3, np.float32)


# Tapes in the same memory ---------------------------------------------------------------------------------------------------


def test_a_reference_of_an_earlier_tape_is_stale_in_every_later_one():
    s = tl.Session()
    x = s.input(ONES)
    y = x * x
    for _ in range(4):
        s.reset_tape()
        a, b = s.input(2 * ONES), s.input(3 * ONES)
        assert (a.id, b.id) == (x.id, y.id)
        for call in (
            lambda: y.value,
            lambda: y.requires_grad,
            lambda: s.relu(y),
            lambda: y.relu(),
            lambda b=b: b + y,
            lambda b=b: y - b,
            lambda: y * 2.0,
            lambda a=a, b=b: s.linear(a, y, b),
            lambda: s.backward_dense_all(y, ONES),
        ):
            with pytest.raises(tl.NodeError, match="reset_tape"):
                call()
        assert len(s.store) == 2 and (a + b).value.tolist() == [5.0] * 3


def test_values_and_gradients_outlive_the_tapes_that_follow():
    s = tl.Session()
    p = s.param(ONES)
    y = s.square(s.use(p))
    value, grads = y.value, s.backward_dense_all(y, ONES)
    for k in range(4):
        s.reset_tape()
        s.square(s.use(s.param(k * ONES)))
    assert value.tolist() == [1.0] * 3 and grads[0].tolist() == [2.0] * 3


def test_a_tape_that_somebody_has_is_not_written_over():
    m = tl.TapeM()
    y = m.square(m.leaf(ONES))
    tape = m.tape
    for _ in range(3):
        m.reset_tape()
        m.leaf(7 * ONES)
    assert tape.size == 2 and tape.require_value(y.id, (3,)).tolist() == [1.0] * 3
    s = tl.Session()
    store = s.store
    s.input(ONES)
    for _ in range(3):
        s.reset_tape()
        s.input(7 * ONES)
    assert store is not s.store and store.value(0).tolist() == [1.0] * 3


def test_what_goes_with_a_tape_may_record_and_reset():
    s = tl.Session()
    seen = []

    class Last:
        def __del__(self):
            seen.append(s.relu(s.input(5 * ONES)).value.tolist())
            s.reset_tape()
            s.input(ONES)

    def record(last):
        x = s.input(ONES)
        s.custom_node(tl.AnyTensor(ONES), [x.id], lambda g, last=last: [(0, g)], True)

    for k in range(3):
        record(Last())
        s.reset_tape()
        assert seen == [[5.0] * 3] * (k + 1) and len(s.store) == 1
        s.reset_tape()
        assert len(s.store) == 0


def test_a_call_back_that_resets_twice():
    s = tl.Session()

    def again():
        for _ in range(3):
            s.reset_tape()
            for _ in range(5):
                s.input(7 * ONES)

    def forward(x):
        if x.any():
            again()
        return x * 2

    def backward(x, y, g):
        again()
        return g * 2

    for _ in range(3):
        with pytest.raises(tl.NodeError, match="reset while"):
            tl.custom_op(forward, lambda x, y, g: g * 2, shape=lambda x: x)(s.square(s.input(ONES)))
        s.reset_tape()
        y = tl.custom_op(lambda x: x * 2, backward)(s.square(s.input(ONES)))
        assert s.sweep(y.id, tl.AnyTensor(ONES))[0].tolist() == [4.0] * 3
        s.reset_tape()


def test_a_reset_gives_arrays_names_and_instances_back():
    s = tl.Session()

    def step():
        for k in range(30):
            s.concat([s.input(ONES, name=f"x{k}")] * 6)
            s.layer_norm(s.input(np.ones((2, 3))), ONES, ONES)
        s.reset_tape()

    step()
    gc.collect()
    before = arena.memory_stats()["live"]
    for _ in range(5):
        step()
    assert arena.memory_stats()["live"] == before


def test_a_large_tape_is_given_back():
    s = tl.Session()
    store = weakref.ref(s.store)
    s.reset_tape()
    s.reset_tape()
    assert s.store is store()
    for _ in range(3000):
        s.input(1.0)
    s.reset_tape()
    gc.collect()
    assert store() is None


# Parameters ------------------------------------------------------------------------------------------------------------------


def test_a_parameter_is_read_anew_every_time():
    s, other = tl.Session(), tl.Session()
    p = s.param(ONES)
    first, there = s.use(p), other.use(p)
    p.set(2 * ONES)
    assert s.use(p).value.tolist() == [2.0] * 3 and first.value.tolist() == there.value.tolist() == [1.0] * 3
    for session in (s, other):
        with pytest.raises(tl.NodeError, match="updated"):
            session.backward_dense_all(session.ref_of(0), ONES)
    p.requires_grad = False
    assert not s.use(p).requires_grad
    p.name = "later"
    assert s.store.describe(s.use(p).id)[1] == "later"
    p.cast("float64")
    with pytest.raises(tl.DTypeError, match="float64"):
        s.use(p)
    assert tl.Session(dtype="float64").use(p).value.dtype == "float64"


def test_a_parameter_that_gave_its_memory_back():
    s = tl.Session()
    p = s.param(ONES)
    recorded = s.use(p)
    with tl.no_grad():
        plain = s.use(p)
    p.release()
    with pytest.raises(tl.NodeError, match="released"):
        s.use(p)
    assert len(s.store) == 1 and recorded.value.tolist() == plain.value.tolist() == [1.0] * 3


def test_a_parameter_whose_newest_value_is_a_devices():
    class There:
        device = "elsewhere"

        def numpy(self):
            return 4 * ONES

    s = tl.Session()
    p = s.param(ONES)
    changes = Commit()
    changes.set(p, "_mirror", There())
    p._moves(changes)
    changes.count([p], {})
    assert changes.now()
    assert p.device == "elsewhere" and p.get(sync=False).tolist() == [1.0] * 3
    assert s.use(p).value.tolist() == [4.0] * 3
    assert p.device == "cpu"


def test_a_parameter_is_used_from_every_thread():
    p = tl.Param(ONES, requires_grad=True)
    found = []

    def work(k):
        s = tl.Session()
        for _ in range(50):
            s.reset_tape()
            y = s.sum(s.scale(s.use(p), float(k)))
            found.append((k, s.backward_params(y)[p].tolist()))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 200 and all(g == [float(k)] * 3 for k, g in found)


def test_only_parameters_are_used():
    for wrong in (ONES, None, tl.AnyTensor(ONES)):
        with pytest.raises(tl.NodeError, match="a Param is expected"):
            tl.Session().use(wrong)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_of_a_parameter(again):
    p = tl.Param(np.arange(3.0), "w", False)
    q = again(p)
    assert (q.name, q.requires_grad, q.dtype, q.shape, q.device) == ("w", False, "float64", (3,), "cpu")
    p.set(np.zeros(3))
    assert q.get().tolist() == [0.0, 1.0, 2.0]


# Operators and methods -------------------------------------------------------------------------------------------------------


def test_operators_call_a_subclasss_own_ops():
    called = []

    class Loud(tl.TapeM):
        def add(self, a, b, *, name=None):
            called.append("add")
            return super().add(a, b, name=name)

        def scale(self, x, c, *, name=None):
            called.append("scale")
            return super().scale(x, c, name=name)

    m = Loud()
    x = m.leaf(ONES)
    y = (x + x) * 3.0 - x / 2
    assert called == ["add", "scale", "scale"] and y.value.tolist() == [5.5] * 3


def test_operators_of_references_of_two_kinds():
    s = tl.Session()
    x, foreign = s.input(ONES), tl.GraphM().arg(0, (3,))
    for call in (lambda: x + foreign, lambda: x / foreign, lambda: x * tl.Session().input(ONES)):
        with pytest.raises(tl.NodeError, match="another"):
            call()
    assert len(s.store) == 1


def test_no_reference_has_an_attribute_of_an_ops_name():
    names = {n for n in [*eager.OPS, *eager.composites] if not n.startswith("_")}
    for kind in (RefBase, tl.TensorRef, GraphRef, ReferenceRef, SessionRef, DeviceRef):
        assert not names & set(dir(kind)), kind


def test_methods_are_the_ops():
    s = tl.Session()
    x = s.input([1.0, -2.0, 3.0])
    assert x.relu().value.tolist() == [1.0, 0.0, 3.0] and x.softmax(axis=0).id == 2 and x.clamp(0.0, 2.0).value.tolist() == [1.0, 0.0, 2.0]
    assert "relu" in repr(x.relu) and callable(getattr(x, "mean")) and not hasattr(x, "_relu_grad")  # noqa: B009
    with pytest.raises(AttributeError, match="no_such"):
        x.no_such()
    with pytest.raises(TypeError):
        x.relu(1, 2)


# Calls like one before -------------------------------------------------------------------------------------------------------


def test_an_absent_bias_is_not_a_bias_of_before():
    s = tl.Session()
    w, b, x = s.input(np.eye(3)), s.input(ONES), s.input(ONES)
    for _ in range(3):
        assert s.linear(w, b, x).value.tolist() == [2.0] * 3
        assert s.linear(w, None, x).value.tolist() == [1.0] * 3
        assert s.linear(w, ONES, x).value.tolist() == [2.0] * 3
        with pytest.raises(tl.ShapeError, match="required"):
            s.linear(None, b, x)


def test_options_of_before_are_not_taken_for_these():
    s = tl.Session()
    x = s.input([[1.0, 2.0], [3.0, 4.0]])
    for _ in range(3):
        assert s.reduce_sum(x, 0).value.tolist() == [4.0, 6.0] and s.reduce_sum(x, 1).value.tolist() == [3.0, 7.0]
        assert np.signbit((x * 0.0).numpy()).sum() == 0 and np.signbit((x * -0.0).numpy()).all()


def test_a_call_of_before_with_other_flags_and_modes():
    s, wide = tl.Session(), tl.Session(dtype="float64")
    plain = tl.Session(fast_kernels=False)
    for _ in range(3):
        for ops in (s, wide, plain):
            x, c = ops.input(ONES), ops.const(ONES)
            assert (x * c).requires_grad and not (c * c).requires_grad and (x * c).dtype == ops.options.dtype
            with tl.no_grad():
                y = x * c
                assert y.id is None and (y + y).value.tolist() == [2.0] * 3
            assert (y + x).id == len(ops.store) - 1 and (x + ONES).value.tolist() == [2.0] * 3


def test_an_op_that_fails_in_a_checked_session_keeps_no_memory():
    s = tl.Session(check_numerics=True)
    x = s.input(np.full((64, 64), np.nan), name="x")

    def fail():
        with pytest.raises(tl.NumericsError):
            s.layer_norm(x, np.ones(64), np.ones(64))

    fail()
    gc.collect()
    before = arena.memory_stats()["live"]
    for _ in range(5):
        fail()
    assert arena.memory_stats()["live"] == before and len(s.store) == 1
