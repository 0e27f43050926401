"""`TapeM`: the tape threaded for you, its references and their operators."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl


def program(m):
    x = m.leaf([1.0, 2.0, 3.0], name="x")
    return (x * x + 2.0).sum()


def test_run_eval_exec():
    result, tape = tl.TapeM.run(program)
    assert isinstance(result, tl.TensorRef) and isinstance(tape, tl.Tape)
    assert tape.item(result.id) == 20.0 and tl.TapeM.eval(program).item() == 20.0
    assert repr(tl.TapeM.exec(program)) == repr(tape)
    assert tl.TapeM.eval(lambda m: (1, "any result")) == (1, "any result")


def test_a_program_continues_a_tape_and_leaves_it():
    tape, w = tl.Tape(dtype="float64").leaf([2.0])
    ref, longer = tl.TapeM.run(lambda m: m.square(m.ref_of(w)), tape)
    assert len(tape) == 1 and len(longer) == 2 and longer.dtype == "float64"
    other, fork = tl.TapeM.run(lambda m: m.neg(m.ref_of(w)), tape)
    assert longer.get_value(ref.id).tolist() == [4] and fork.get_value(other.id).tolist() == [-2]


def test_the_tape_is_a_value():
    m = tl.TapeM()
    x = m.leaf([3.0])
    before = m.tape
    m.square(x)
    assert len(before) == 1 and len(m.tape) == 2
    grown, y = before.neg(x)
    assert y == 1 and grown.get_value(1).tolist() == [-3] and m.tape.get_value(1).tolist() == [9]
    m.exp(x)
    assert len(m.tape) == 3 and len(grown) == 2


def test_references_work_as_ids():
    m = tl.TapeM()
    x = m.leaf([1.0, 2.0])
    y = m.square(x)
    assert (x.id, y.id) == (0, 1)
    with pytest.raises(TypeError, match="integer"):
        [10, 20][y]
    assert m.tape.get_value(y).tolist() == [1, 4] and m.value(y).tolist() == [1, 4] and m.value(1).tolist() == [1, 4]
    grads = m.tape.backward(y, [1.0, 1.0])
    assert grads[x.id].tolist() == [2, 4] and grads[x] is grads[x.id] and x in grads and grads.get(x) is grads[0]
    assert m.backward(y, [1.0, 0.0])[0].tolist() == [2, 0]
    dense = m.tape.backward_dense_all(y, [1.0, 1.0])
    assert isinstance(dense, list) and dense[x] is dense[0] and dense[-1] is dense[y] and dense[:1] == [dense[0]]
    assert m.tape.backward_dense(y, [1.0, 1.0])[x].tolist() == [2, 4]
    tape, z = m.tape.neg(y)
    assert tape.get_value(z).tolist() == [-1, -4]


def test_attributes_of_references():
    m = tl.TapeM(dtype="float64")
    x = m.leaf(np.ones((2, 3)))
    assert (x.shape, x.dtype, x.ndim, x.size, len(x), x.requires_grad) == ((2, 3), "float64", 2, 6, 2, True)
    assert not m.const([1.0]).requires_grad
    assert repr(x) == "<%0: [[1., 1., 1.], [1., 1., 1.]] (2, 3) float64>" and x.numpy().sum() == 6 and np.asarray(x).shape == (2, 3)
    with pytest.raises(ValueError, match="one element"):
        bool(x)
    with pytest.raises(AttributeError, match="no_such_op"):
        x.no_such_op()
    with pytest.raises(TypeError):
        len(m.leaf(1.0))


OPERATORS = [
    (lambda a, b: a + b, lambda a, b: a + b),
    (lambda a, b: a - b, lambda a, b: a - b),
    (lambda a, b: a * b, lambda a, b: a * b),
    (lambda a, b: a / b, lambda a, b: a / b),
    (lambda a, b: a + 2, lambda a, b: a + 2),
    (lambda a, b: 2 + a, lambda a, b: 2 + a),
    (lambda a, b: a - 2.5, lambda a, b: a - 2.5),
    (lambda a, b: 2.5 - a, lambda a, b: 2.5 - a),
    (lambda a, b: 3 * a, lambda a, b: 3 * a),
    (lambda a, b: a / 4, lambda a, b: a / 4),
    (lambda a, b: 4 / a, lambda a, b: 4 / a),
    (lambda a, b: a**3, lambda a, b: a**3),
    (lambda a, b: a**0.5, lambda a, b: a**0.5),
    (lambda a, b: -a, lambda a, b: -a),
    (lambda a, b: +a, lambda a, b: a),
    (lambda a, b: abs(-a), lambda a, b: abs(-a)),
    (lambda a, b: a @ b.T, lambda a, b: a @ b.T),
    (lambda a, b: a.T @ b, lambda a, b: a.T @ b),
    (lambda a, b: a[0], lambda a, b: a[0]),
    (lambda a, b: a[-1, 1], lambda a, b: a[-1, 1]),
    (lambda a, b: a[:, 1], lambda a, b: a[:, 1]),
    (lambda a, b: a[0:1], lambda a, b: a[0:1]),
    (lambda a, b: a[1:, ::2], lambda a, b: a[1:, ::2]),
    (lambda a, b: a[:, -2:], lambda a, b: a[:, -2:]),
    (lambda a, b: a[1:1], lambda a, b: a[1:1]),
    (lambda a, b: a[2:9], lambda a, b: a[2:9]),
    (lambda a, b: a * np.float64(2), lambda a, b: a * 2),
    (lambda a, b: a + np.ones((2, 3)), lambda a, b: a + 1),
    (lambda a, b: np.ones((2, 3)) - a, lambda a, b: 1 - a),
    (lambda a, b: np.full((2, 3), 2.0) * a, lambda a, b: 2 * a),
    (lambda a, b: a.relu().sum(), lambda a, b: a.sum()),
    (lambda a, b: a.reshape((3, 2)).T, lambda a, b: a.reshape((3, 2)).T),
    (lambda a, b: a.reduce_sum(axis=0), lambda a, b: a.sum(axis=0)),
    (lambda a, b: sum(row.sum() for row in a), lambda a, b: a.sum()),
]


@pytest.mark.parametrize(("ours", "numpys"), OPERATORS, ids=map(str, range(len(OPERATORS))))
def test_operators(ours, numpys):
    a, b = np.array([[1.0, 2.0, 0.5], [4.0, 3.0, 1.5]]), np.array([[2.0, 0.25, 1.0], [8.0, 5.0, 3.0]])
    m = tl.TapeM(dtype="float64")
    ra, rb = m.leaf(a), m.leaf(b)
    y = ours(ra, rb)
    expected = np.asarray(numpys(a, b))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-15)
    # And gradients flow through: a central difference along a direction.
    t, h = np.linspace(-1, 1, 6).reshape(2, 3), 1e-6
    g = np.ones(y.shape)
    found = m.backward(y, g).get(ra.id)
    slope = (np.sum(numpys(a + h * t, b)) - np.sum(numpys(a - h * t, b))) / (2 * h)
    assert (0.0 if found is None else np.sum(found.numpy() * t)) == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda m, a: a + np.ones(2), tl.ShapeError),
        (lambda m, a: np.ones(2) + a, tl.ShapeError),
        (lambda m, a: a * np.ones((3, 1)), tl.ShapeError),
        (lambda m, a: a - m.leaf([1.0, 2.0]), tl.ShapeError),
        (lambda m, a: a @ a, tl.ShapeError),
        (lambda m, a: pow(a, 2, 5), tl.OptionError),
        (lambda m, a: a[2], tl.IndexRangeError),
        (lambda m, a: a[0, -4], tl.IndexRangeError),
        (lambda m, a: a[0, 0, 0], tl.IndexRangeError),
        (lambda m, a: a[::0], tl.OptionError),
        (lambda m, a: a[1.0], TypeError),
        (lambda m, a: m.leaf([1.0]).mT, tl.ShapeError),
        (lambda m, a: a + tl.TapeM().leaf(np.ones((2, 3))), tl.NodeError),
        (lambda m, a: a + "b", tl.DTypeError),
        (lambda m, a: a * None, tl.TleanError),
        (lambda m, a: np.i0(a), TypeError),
        (lambda m, a: m.add(a, [99, 98]), tl.ShapeError),
    ],
)
def test_errors_of_operators_leave_the_tape_as_it_was(call, error):
    m = tl.TapeM()
    a = m.leaf(np.ones((2, 3)))
    spare = m.tape
    with pytest.raises(error):
        call(m, a)
    added = len(m.tape) - len(spare)
    # A leaf that the call made itself, before the op, may stay; nothing of the op does.
    assert added == len([line for line in repr(m.tape).splitlines()[2:] if "leaf" in line])
    assert (a + a).id == len(m.tape) - 1


def test_an_array_argument_of_an_op_that_fails_goes_with_it():
    m = tl.TapeM()
    a = m.leaf(np.ones((2, 3)))
    for call in (lambda: a + np.ones(2), lambda: m.concat([a, np.ones((2, 2))]), lambda: m.linear(np.ones((1, 1)), None, a)):
        with pytest.raises(tl.ShapeError):
            call()
        assert len(m.tape) == 1


def test_a_reference_of_another_tape_is_told():
    m, other = tl.TapeM(), tl.TapeM()
    x, y = m.leaf([1.0]), other.leaf([1.0])
    for call in (lambda: m.add(x, y), lambda: m.value(y), lambda: m.concat([x, y])):
        with pytest.raises(tl.NodeError, match="another"):
            call()
    m.reset_tape()
    with pytest.raises(tl.NodeError, match="reset_tape"):
        m.relu(x)


def test_the_random_stream_continues():
    m = tl.TapeM()
    x = m.leaf(np.ones(100))
    first = m.dropout(x, 0.5).numpy()
    second = m.dropout(x, 0.5).numpy()
    again, i = m.tape.dropout(x, 0.5)
    third = m.dropout(x, 0.5).numpy()
    assert not np.array_equal(first, second) and np.array_equal(again.get_value(i).numpy(), third)
    resumed = tl.TapeM(again)
    assert not np.array_equal(resumed.dropout(resumed.ref_of(0), 0.5).numpy(), third)


# no_grad --------------------------------------------------------------------------------------------------------------------


def test_no_grad_records_nothing():
    m = tl.TapeM()
    x = m.leaf([1.0, 2.0])
    with tl.no_grad():
        y = m.square(x)
        z = m.leaf([5.0])
        w = y + y
    assert len(m.tape) == 1 and y.id is None and z.id is None and not y.requires_grad
    assert w.numpy().tolist() == [2, 8] and repr(y) == "<no_grad: [1., 4.] (2,) float32>" and m.value(y).tolist() == [1, 4]
    with pytest.raises(tl.NodeError, match="no_grad"):
        m.backward(y, [1.0, 1.0])


def test_a_value_made_under_no_grad_becomes_a_constant():
    m = tl.TapeM()
    x = m.leaf([3.0])
    with tl.no_grad():
        y = m.square(x)
    z = m.mul(x, y)
    assert z.id == 2 and not m.tape.get_node(1).requires_grad
    grads = m.backward(z, [1.0])
    assert grads[x.id].tolist() == [9] and 1 not in grads


def test_no_grad_nests_and_ends_with_an_error():
    m = tl.TapeM()
    x = m.leaf([1.0])
    with pytest.raises(tl.ShapeError), tl.no_grad():
        m.matmul(x, [1.0, 2.0])
    assert m.relu(x).id == 1
    with tl.no_grad():
        with tl.no_grad():
            assert m.relu(x).id is None
        assert m.relu(x).id is None
    assert m.relu(x).id == 2


def test_no_grad_belongs_to_its_context():
    import threading

    m = tl.TapeM()
    x = m.leaf([1.0])
    seen = []
    with tl.no_grad():
        thread = threading.Thread(target=lambda: seen.append(m.relu(x).id))
        thread.start()
        thread.join()
        assert m.relu(x).id is None
    assert seen == [1]


def test_no_grad_keeps_the_random_stream_going():
    drawn = []
    for quiet in (False, True):
        m = tl.TapeM(seed=0)
        if quiet:
            with tl.no_grad():
                m.rand_uniform((3,))
        else:
            m.rand_uniform((3,))
        drawn.append(m.rand_uniform((3,)).numpy())
    assert np.array_equal(*drawn)
