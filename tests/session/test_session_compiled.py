"""The compiled session against the eager one: the same bits for whole programs, however they are read."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import tlean as tl


def pair(**options):
    return [tl.Session(tl.Options(backend=b, **options)) for b in ("eager", "compiled")]


def data(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(5, 6, 8)), rng.integers(0, 4, (5, 6)), rng.normal(size=(4, 8)) * 0.3


def bits(*arrays):
    return [np.asarray(a).tobytes() for a in arrays]


def train(s, steps, optimizer="sgd", read=None, drop=0.0):
    xs, ys, w0 = data()
    w, b = s.param(w0), s.param(np.zeros(4))
    state, out = tl.AdamState(), []
    for k in range(steps):
        s.reset_tape()
        h = s.tanh(s.linear(s.use(w), s.use(b), s.input(xs[k % 5])))
        if drop:
            h = s.dropout(h, drop)
        loss = s.cross_entropy(h, ys[k % 5])
        if read == "before":
            out += bits(loss.value)
        grads = s.backward_scalar_dense_all(loss)
        if read == "gradients":
            out += bits(*grads)
        if read == "interior":
            out += bits(s.grad(grads, h))
        if optimizer == "adam":
            s.adamw_step_all(state, 1e-2, 0.1, 0.9, 0.999, 1e-8, grads)
        else:
            s.sgd_step_all(0.1, grads)
        out += bits(loss.value, h.value)
    return out + bits(w.get(), b.get())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("read", [None, "before", "gradients", "interior"])
def test_same_bits(dtype, optimizer, read):
    eager, compiled = pair(dtype=dtype)
    assert train(eager, 12, optimizer, read) == train(compiled, 12, optimizer, read)


def test_masks_are_new_every_step_and_the_same_on_both():
    eager, compiled = pair(seed=7)
    assert train(eager, 6, drop=0.4) == train(compiled, 6, drop=0.4)
    compiled.reset_tape()
    x = compiled.input(np.ones(64))
    first = compiled.dropout(x, 0.5).numpy()
    compiled.reset_tape()
    x = compiled.input(np.ones(64))
    assert not np.array_equal(first, compiled.dropout(x, 0.5).numpy())


def calls_and_plans(s):
    """How many calls and plans a session keeps."""
    found = [s._calls.start]
    for call in found:
        found += call.next.values()
    return len(found), sum(len(call.plans or ()) for call in found)


def test_a_program_that_comes_again_is_not_recorded_again():
    s = pair()[1]
    train(s, 3)
    s.reset_tape()
    before = calls_and_plans(s)
    train(s, 20)
    s.reset_tape()
    assert calls_and_plans(s) == before


def test_a_program_that_changes_is_compiled_anew_and_the_old_one_kept():
    def run(s, deep):
        s.reset_tape()
        x = s.input([0.5, -1.5, 2.0])
        y = s.exp(x)
        if deep:
            y = s.mul(y, s.sin(x))
        loss = s.sum(y)
        return bits(loss.value, *s.backward_scalar_dense_all(loss))

    eager, compiled = pair()
    for deep in (False, True, False, True, True):
        assert run(eager, deep) == run(compiled, deep)
    compiled.reset_tape()
    assert len(compiled._calls.programs) == 2


def test_other_shapes():
    eager, compiled = pair()
    for n in (3, 5, 3, 4):
        got = []
        for s in (eager, compiled):
            s.reset_tape()
            x = s.input(np.arange(float(n)))
            got.append(bits(s.sum(s.square(x)).value))
        assert got[0] == got[1]


def test_index_is_a_run_time_input():
    s = pair()[1]
    for i in range(4):
        s.reset_tape()
        x = s.input([10.0, 11.0, 12.0])
        assert s.gather_scalar_ref(x, s.input_nat(i)).item() == ([10.0, 11.0, 12.0, 0.0][i])
    s.reset_tape()
    assert len(s._calls.programs) == 1


def test_repeated_calls_contribute_one_by_one():
    # Two calls of one op on one input are two nodes; merging them before differentiation would add in another order.
    results = []
    for s in pair():
        x = s.input(np.linspace(-1, 1, 7) * 1.1)
        y = s.add(s.mul(s.tanh(x), x), s.mul(s.tanh(x), s.exp(x)))
        loss = s.sum(y)
        grads = s.backward_scalar_dense_all(loss)
        results.append(bits(*grads))
        assert len(grads) == 8
    assert results[0] == results[1]


def test_a_parameter_used_twice_is_updated_once():
    values = []
    for s in pair():
        w = s.param([1.0, 2.0])
        loss = s.sum(s.mul(s.use(w), s.square(s.use(w))))
        s.sgd_step_all(0.1, s.backward_scalar_dense_all(loss))
        values.append(bits(w.get()))
    assert values[0] == values[1]


def test_errors_leave_the_step_as_it_was():
    s = pair()[1]
    x = s.input([1.0, 2.0])
    with pytest.raises(tl.ShapeError, match=r"add.*\(2,\).*\(3,\)"):
        s.add(x, s.input([1.0, 2.0, 3.0]))
    y = s.square(x)
    assert y.value.tolist() == [1.0, 4.0]
    assert s.backward_scalar_dense_all(s.sum(y))[x].tolist() == [2.0, 4.0]


def test_references_of_other_sessions_and_steps():
    eager, s = pair()
    x = s.input([1.0])
    with pytest.raises(tl.NodeError):
        s.relu(eager.input([1.0]))
    s.reset_tape()
    with pytest.raises(tl.NodeError):
        s.relu(x)


def test_updated_parameter_stops_backward():
    s = pair()[1]
    w = s.param([1.0])
    loss = s.sum(s.use(w))
    w.set([2.0])
    with pytest.raises(tl.NodeError, match="updated"):
        s.backward_scalar_dense_all(loss)


def test_no_grad_values():
    s = pair()[1]
    x = s.input([1.0, -2.0])
    with tl.no_grad():
        y = s.relu(x)
    assert y.id is None
    assert y.value.tolist() == [1.0, 0.0]
    loss = s.sum(s.mul(x, y))
    assert s.backward_scalar_dense_all(loss)[x].tolist() == [1.0, 0.0]


def test_check_numerics_names_the_op():
    s = tl.Session(tl.Options(backend="compiled", check_numerics=True))
    y = s.sum(s.exp(s.log(s.input([-1.0]))))
    with pytest.raises(tl.NumericsError, match="log"):
        y.item()


# Programs that change -------------------------------------------------------------------------------------------------------


def test_a_number_that_changes_at_every_step_does_not_make_steps_grow():
    s = tl.Session(backend="compiled")
    p = s.param(np.ones(4))
    events, sizes = [], []
    for k in range(120):
        calls = [0]

        def count(frame, event, argument, calls=calls):
            calls[0] += event == "call"

        sys.setprofile(count)
        try:
            s.reset_tape()
            loss = s.mean(s.scale(s.square(s.use(p)), 1.0 + k * 1e-3))
            grads = s.backward_scalar_dense_all(loss)
            grads[0].numpy()
        finally:
            sys.setprofile(None)
        events.append(calls[0])
        sizes.append((s._program.at.values, *calls_and_plans(s)))
        assert grads[0].tolist() == pytest.approx([0.5 * (1.0 + k * 1e-3)] * 4)
    # A step costs what the first new one did, and as many programs are kept.
    assert max(events[20:]) <= 1.05 * max(events[2:20])
    assert len(set(sizes[20:])) == 1 and sizes[-1][0] == 4


def test_programs_share_their_beginning_and_their_plans():
    s = tl.Session(backend="compiled")
    for k in range(5):
        s.reset_tape()
        y = s.exp(s.input([1.0, 2.0]))
        assert y.value.tolist() == pytest.approx(np.exp([1.0, 2.0]).tolist())
        s.scale(y, float(k)).item if k < 0 else s.sum(s.scale(y, float(k))).item()
    # The leaf and exp are common to the five, as is the plan of exp's value.
    assert calls_and_plans(s) == (1 + 2 + 2 * 5, 1 + 5)


def test_options_that_are_equal_as_numbers_are_told_apart():
    s = tl.Session(backend="compiled")
    signs = []
    for c in (0.0, -0.0, np.float32(0.0), np.float32(-0.0), 0):
        s.reset_tape()
        signs.append(bool(np.signbit(s.scale(s.input([1.0]), c).numpy()[0])))
    assert signs == [False, True, False, True, False]


def test_a_step_that_stops_early_and_one_that_goes_on():
    s, eager = pair()[1], pair()[0]
    for deep in (True, False, True, False):
        got = []
        for x in (eager, s):
            x.reset_tape()
            y = x.sum(x.square(x.input([1.0, 3.0])))
            z = x.exp(y) if deep else y
            grads = x.backward_scalar_dense_all(z)
            got.append((len(grads), bits(*grads)))
        assert got[0] == got[1]


# All gradients --------------------------------------------------------------------------------------------------------------


def plan_events(n, read):
    """How many functions are called while the gradients of a program of n ops are read for the first time."""
    s = tl.Session(backend="compiled")
    y = s.use(s.param(np.ones(2)))
    for _ in range(n):
        y = s.tanh(y)
    loss = s.sum(y)
    calls = [0]

    def count(frame, event, argument):
        calls[0] += event == "call"

    sys.setprofile(count)
    try:
        found = read(s, loss)
    finally:
        sys.setprofile(None)
    assert len(found) == n + 2
    return calls[0]


READS = {
    "backward_scalar": lambda s, loss: s.backward_scalar(loss),
    "list": lambda s, loss: list(s.backward_scalar_dense_all(loss)),
    "slice": lambda s, loss: s.backward_scalar_dense_all(loss)[:],
    "one by one": lambda s, loss: [g[i] for g in [s.backward_scalar_dense_all(loss)] for i in range(len(g))],
}


@pytest.mark.parametrize("read", READS)
def test_all_gradients_take_time_linear_in_the_program(read):
    small, large = (plan_events(n, READS[read]) for n in (100, 400))
    assert large < 4.5 * small


def test_a_few_gradients_have_plans_of_their_own_and_the_same_bits():
    s = pair()[1]
    x = s.input(np.linspace(0.1, 1, 5))
    y = [x]
    for _ in range(9):
        y.append(s.tanh(y[-1]) * y[0])
    loss = s.sum(y[-1])
    every = s.backward_scalar(loss)
    for i in sorted(every):
        assert bits(s.backward_scalar_dense_all(loss)[i]) == bits(every[i])


# Gradients after the tape went on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [False, True])
def test_a_parameter_that_is_used_after_the_pass_has_no_part_in_its_step(read):
    for s in pair():
        w, v = s.param(np.ones(3)), s.param(np.ones(2))
        grads = s.backward_scalar_dense_all(s.sum(s.use(w)))
        later = s.use(v)
        again = s.use(w)
        if read:
            grads[0].numpy()
        for ref in (later, again):
            with pytest.raises(tl.NodeError, match="no gradient of node"):
                s.grad(grads, ref)
        s.sgd_step_all(0.25, grads)
        assert w.get().tolist() == [0.75] * 3 and v.get().tolist() == [1.0] * 2


@pytest.mark.parametrize("read", [False, True])
def test_gradients_may_be_applied_twice(read):
    # As in PyTorch: the gradients stay those of the pass that made them.
    for s in pair(dtype="float64"):
        w, state = s.param([1.0, 2.0]), tl.AdamState()
        grads = s.backward_scalar_dense_all(s.sum(s.square(s.use(w))))
        if read:
            grads[0].numpy()
        s.sgd_step_all(0.1, grads)
        s.sgd_step_all(0.1, grads)
        assert w.get().tolist() == pytest.approx([0.6, 1.2]) and grads[0].tolist() == [2.0, 4.0]
        s.adam_step_all(state, 0.1, 0.9, 0.999, 1e-8, grads)
        assert w.get().tolist() == pytest.approx([0.5, 1.1])


def test_gradients_after_reset_are_those_that_were_there():
    for s in pair():
        x = s.input(np.ones((2, 3)))
        s.input(np.ones(4))
        grads = s.backward_scalar_dense_all(s.sum(s.square(x)))
        grads[0].numpy()
        s.reset_tape()
        s.input(np.ones(5))
        s.input(np.ones((7, 7)))
        assert grads[0].tolist() == [[2.0] * 3] * 2
        with pytest.raises(tl.NodeError, match="reset_tape"):
            grads[1]


# A step like the one before -----------------------------------------------------------------------------------------------


def _near(s, x, draw, axis):
    # One op, drawn among calls of which each looks like another: equal options that mean something else, other operands, no tape.
    if draw == 0:
        return s.shift(x, 0.0)
    if draw == 1:
        return s.scale(x, -0.0)
    if draw == 2:
        return s.scale(x, 0.0)
    if draw == 3:
        return s.scale(x, float("2"))
    if draw == 4:
        return s.scale(x, 2)
    if draw == 5:
        with tl.no_grad():
            return s.scale(x, float("2"))
    if draw == 6:
        return s.flip(x, axis)
    if draw == 7:
        return s.add(x, s.input([[1.0, 2.0], [3.0, 4.0]], requires_grad=False))
    if draw == 8:
        return s.add(x, s.input([[1.0, 2.0], [3.0, 4.0]]))
    if draw == 9:
        return s.add(x, np.array([1.0, 2.0]))
    return s.inv(x)


def test_steps_that_look_alike_are_told_apart():
    rng = np.random.default_rng(5)
    eager, compiled = pair()
    axis = [0]
    for _ in range(160):
        draws, axis[0] = rng.choice(11, 3), int(rng.integers(2))
        found = []
        for s in (eager, compiled):
            s.reset_tape()
            x = s.input([[1.5, -0.25], [0.75, 3.0]])
            y = x
            for draw in draws:
                y = _near(s, y, draw, axis)
            loss = s.sum(y)
            found.append((bits(y.value, loss.value), loss.requires_grad, bits(*s.backward_scalar_dense_all(loss))))
        assert found[0] == found[1], draws
