"""The compiled session against the eager one: the same bits for whole programs, however they are read."""

from __future__ import annotations

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
    return len(found), sum(len(call.plans) for call in found)


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
