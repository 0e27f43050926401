"""The explicit tape and `TapeM` on a device, or on the emulation that `.ci/cuda` builds, beside the same program on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean.cuda.runtime.array import DeviceArray

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

X, W = np.array([0.5, -1.0, 2.0], "float32"), np.array([1.0, 2.0, 3.0], "float32")


def same(found, expected):
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-5, atol=1e-6)


def chain(device):
    """x, w leaves; y = w·x; z = tanh(y); s = sum(z)."""
    tape = tl.Tape(device=device)
    tape, x = tape.leaf(X, name="x")
    tape, w = tape.leaf(W, name="w")
    tape, y = tape.mul(w, x)
    tape, z = tape.tanh(y, name="z")
    tape, s = tape.sum(z)
    return tape, [x, w, y, z, s]


def test_values_and_every_form_of_the_gradients():
    (here, ids), (there, same_ids) = chain("cpu"), chain("cuda")
    assert ids == same_ids and there.size == 5 and there.dtype == "float32"
    s = ids[-1]
    for i in ids:
        assert isinstance(there.get_value(i), DeviceArray)
        same(there.get_value(i), here.get_value(i))
    assert there.item(s) == pytest.approx(here.item(s), rel=1e-6) and there.get_value(9) is None
    for mine, theirs in zip(here.backward_dense(s, 2.0), there.backward_dense(s, 2.0), strict=True):
        same(theirs, mine)
    assert there.backward_scalar(s).keys() == {0, 1, 2, 3, 4}
    there, unread = there.exp(0)
    assert there.backward_dense(s, 1.0)[unread] is None
    zero = there.backward_dense_all(s, 1.0)[unread]
    assert isinstance(zero, DeviceArray) and zero.tolist() == [0, 0, 0]
    there.require_value(0, (3,))
    with pytest.raises(tl.ShapeError):
        there.backward_scalar(0)
    with pytest.raises(tl.ShapeError):
        there.backward_dense(s, [1.0, 2.0])
    with pytest.raises(tl.NodeError):
        there.tanh(17)


def test_a_sweep_by_hand():
    tape, ids = chain("cuda")
    zeros = [np.zeros(tape.get_value(i).shape, "float32") for i in ids]
    zeros[-1] = np.float32(1)
    whole = tape.backward_dense_from(zeros)
    grads = zeros
    for i in reversed(ids):
        grads = tape.backward_step(grads, i)
    for a, b, c in zip(whole, grads, tape.backward_dense_all(ids[-1], 1.0), strict=True):
        same(a, b)
        same(a, c)
    with pytest.raises(tl.ShapeError):
        tape.backward_dense_from(zeros[:-1])


def test_forks_share_the_past_and_nothing_else():
    tape, (_, _, y, z, s) = chain("cuda")
    left, a = tape.exp(z)
    right, b = tape.scale(z, 2.0)
    right, c = right.add(b, y)
    assert (a, b, c) == (5, 5, 6) and (len(left), len(right), len(tape)) == (6, 7, 5)
    same(left.get_value(a), np.exp(np.tanh(X * W)))
    left, d = left.sum(a)
    again, e = tape.neg(s)
    assert left.backward_scalar(d).keys() == {0, 1, 2, 3, 5, 6} and e == 5 and len(again) == 6
    same(right.get_value(b), 2 * np.tanh(X * W))


def test_nodes_of_the_users_own():
    """Functions on the host's arrays get them read back; contributions go to the device."""
    tape, x = tl.Tape(device="cuda").leaf(X)
    tape, y = tape.unary("cube", x, lambda a: a**3, lambda a, g: 3 * a**2 * g)
    tape, z = tape.add_node(tl.Node(tape.get_value(y), (x, y), lambda g: [(y, g), (x, g)], "both"))
    grads = tape.backward_dense(z, np.ones(3))
    same(grads[x], 3 * X**2 + 1)
    assert isinstance(tape.get_node(z).value, DeviceArray) and tape.get_node(z).parents == (x, y)
    (contribution,) = tape.get_node(y).backward(tl.cuda.to_device(np.ones(3, "float32")))
    assert contribution[0] == x
    same(contribution[1], 3 * X**2)
    before = len(tape)
    with pytest.raises(tl.NodeError):
        tape.add_node(tl.Node(X, (99,), lambda g: []))
    wrong, k = tape.add_node(tl.Node(X, (x,), lambda g: [(y, g)]))
    with pytest.raises(tl.NodeError, match="none of its parents"):
        wrong.backward(k, X)
    wrong, k = tape.add_node(tl.Node(X, (x,), lambda g: [(x, np.ones(2))]))
    with pytest.raises(tl.ShapeError, match="contribution to node 0"):
        wrong.backward(k, X)
    assert len(tape) == before


def test_shown_and_random():
    tl.seed(0)
    tape, _ = chain("cuda")
    assert "tanh" in repr(tape) and "digraph" in tape.to_dot() and "<svg" in tape.show()
    tape, u = tape.rand_uniform((5,))
    tl.seed(0)
    other, v = chain("cpu")[0].rand_uniform((5,))
    np.testing.assert_array_equal(tape.get_value(u).numpy(), other.get_value(v).numpy())


def test_tapem():
    m = tl.TapeM(device="cuda")
    x = m.leaf(X)
    loss = (x * x).sum()
    same(m.backward_scalar(loss)[x.id], 2 * X)
    same(m.value(x), X)
    same(m.value(loss.id), (X * X).sum())
    result, tape = tl.TapeM.run(lambda m: m.relu(m.ref_of(0)), chain("cuda")[0])
    same(tape.get_value(result.id), np.maximum(X, 0))
    with pytest.raises(tl.ShapeError):
        m.add(x, m.leaf([1.0] * 99))
    assert len(m.tape) == 4
    with pytest.raises(tl.NodeError, match="another"):
        m.add(x, tl.TapeM().leaf(X))


def test_what_a_device_does_not_take():
    with pytest.raises(tl.DTypeError, match="float32"):
        tl.Tape("float64", device="cuda")
    with pytest.raises(tl.DeviceError, match="no device 7"):
        tl.Tape(device="cuda:7")
    with pytest.raises(tl.DTypeError, match="float64 on cuda:0"):
        tl.Tape(device="cuda").leaf(tl.cuda.to_device(np.ones(2)))


def test_free_functions_follow_the_array():
    x = tl.cuda.to_device(X)
    y = tl.tanh(x)
    assert isinstance(y, DeviceArray)
    same(y, np.tanh(X))
    assert isinstance(tl.concat([x, x]), DeviceArray)
    same(tl.add(x, W), X + W)
