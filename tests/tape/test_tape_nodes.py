"""Nodes of the user's own on the explicit tape."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl


def same(found, expected):
    # To rounding: NumPy's own tanh and exp are the comparison.
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-13)


def test_unary():
    tape, x = tl.Tape(dtype="float64").leaf([1.0, 4.0])
    tape, y = tape.unary("cube", x, lambda a: a**3, lambda a, g: 3 * a**2 * g)
    tape, z = tape.sum(y)
    same(tape.get_value(y), [1, 64])
    same(tape.backward_scalar(z)[x], [3, 48])
    assert "cube" in repr(tape)
    tape, c = tape.const([2.0])
    tape, d = tape.unary("cube", c, lambda a: a**3, lambda a, g: 3 * a**2 * g)
    assert not tape.get_node(d).requires_grad


def test_an_error_in_the_users_function_is_the_users():
    tape, x = tl.Tape().leaf([1.0])

    def fails(*_):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        tape.unary("bad", x, fails, fails)
    assert len(tape) == 1
    grown, y = tape.unary("half bad", x, np.exp, fails)
    with pytest.raises(RuntimeError, match="mine"):
        grown.backward(y, [1.0])
    same(grown.backward(x, [1.0])[x], [1.0])


def test_add_node():
    tape, a = tl.Tape().leaf([1.0, 2.0])
    tape, b = tape.leaf([3.0, 4.0])
    va, vb = tape.get_value(a).numpy(), tape.get_value(b).numpy()
    tape, p = tape.add_node(tl.Node(va * vb, (a, b), lambda g: [(a, g.numpy() * vb), (b, g.numpy() * va)], name="product"))
    tape, q = tape.square(p)
    grads = tape.backward(q, [1.0, 1.0])
    same(grads[a], 2 * va * vb * vb)
    same(grads[b], 2 * va * vb * va)
    node = tape.get_node(p)
    assert node.name == "product" and node.parents == (a, b)
    tape, leaf = tape.add_node(tl.Node([1.0]))
    assert tape.get_node(leaf).parents == () and leaf == 4


def test_what_a_users_backward_gives_is_checked():
    tape, a = tl.Tape().leaf([1.0, 2.0])
    tape, b = tape.leaf([3.0, 4.0])

    def with_backward(contributions):
        return tape.add_node(tl.Node([1.0, 1.0], (a,), lambda g: contributions))

    for contributions, error in (
        ([(b, [1.0, 1.0])], tl.NodeError),
        ([(7, [1.0, 1.0])], tl.NodeError),
        ([(a, [1.0])], tl.ShapeError),
        ([(a, [1j, 1j])], tl.DTypeError),
    ):
        grown, n = with_backward(contributions)
        with pytest.raises(error):
            grown.backward(n, [1.0, 1.0])
        with pytest.raises(error):
            grown.backward_dense_from([np.ones(2)] * 3)
        assert len(grown) == 3
    grown, n = with_backward([])
    assert grown.backward(n, [1.0, 1.0]).keys() == {n}
    grown, n = with_backward([(a, [1.0, 1.0]), (a, [1.0, 2.0])])
    same(grown.backward(n, [1.0, 1.0])[a], [2, 3])


def test_many_parents():
    tape = tl.Tape()
    ids = []
    for k in range(40):
        tape, i = tape.leaf([float(k)])
        ids.append(i)
    tape, c = tape.concat(ids)
    tape, n = tape.add_node(tl.Node([0.0], ids, lambda g: [(i, np.full(1, i)) for i in ids]))
    grads = tape.backward(c, np.arange(40.0) * 2)
    assert [grads[i].item() for i in ids] == [2.0 * k for k in range(40)]
    assert [tape.backward(n, [1.0])[i].item() for i in ids] == [float(k) for k in range(40)]
