"""The explicit tape: a value, its forks, what it costs, every form of the reverse sweep, and what a mistake leaves behind."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

import tlean as tl
from tlean._core import arena


def chain() -> tuple[tl.Tape, list[int]]:
    """x, w leaves; y = w·x; z = tanh(y); s = sum(z)."""
    tape = tl.Tape(dtype="float64")
    tape, x = tape.leaf([0.5, -1.0, 2.0], name="x")
    tape, w = tape.leaf([1.0, 2.0, 3.0], name="w")
    tape, y = tape.mul(w, x)
    tape, z = tape.tanh(y, name="z")
    tape, s = tape.sum(z)
    return tape, [x, w, y, z, s]


X, W = np.array([0.5, -1.0, 2.0]), np.array([1.0, 2.0, 3.0])
SLOPE = 1 - np.tanh(X * W) ** 2


def same(found, expected):
    # To rounding: NumPy's own tanh and exp are the comparison.
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-13)


# A value ------------------------------------------------------------------------------------------------------------------


def test_an_op_returns_a_new_tape_and_leaves_the_old_one():
    empty = tl.Tape()
    one, x = empty.leaf([1.0, 2.0])
    two, y = one.square(x)
    assert (len(empty), len(one), len(two)) == (0, 1, 2) and (x, y) == (0, 1) and type(x) is int and type(y) is int
    assert two.size == 2 and one.get_value(y) is None
    same(two.get_value(y), [1, 4])
    assert two.dtype == "float32" and two.get_value(y).dtype == "float32"


def test_forks_share_the_past_and_nothing_else():
    tape, (x, w, y, z, s) = chain()
    left, a = tape.exp(z)
    right, b = tape.scale(z, 2.0)
    right, c = right.add(b, y)
    assert (a, b, c) == (5, 5, 6) and (len(left), len(right), len(tape)) == (6, 7, 5)
    same(left.get_value(a), np.exp(np.tanh(X * W)))
    same(right.get_value(b), 2 * np.tanh(X * W))
    # Both go on, as does the first.
    left, d = left.sum(a)
    tape2, e = tape.neg(s)
    right, f = right.sum(c)
    assert left.backward_scalar(d).keys() == {0, 1, 2, 3, 5, 6}
    same(tape2.backward_scalar(e)[x], -W * SLOPE)
    np.testing.assert_allclose(right.backward_scalar(f)[w].numpy(), X * (2 * SLOPE + 1), rtol=1e-15)
    same(tape.backward_scalar(s)[x], W * SLOPE)


def test_a_fork_of_a_fork_in_the_middle():
    tape, x = tl.Tape().leaf(2.0)
    stages = [tape]
    for _ in range(6):
        tape, x = tape.scale(x, 2.0)
        stages.append(tape)
    middle, a = stages[3].shift(3, 1.0)
    again, b = middle.neg(a)
    third, c = stages[3].neg(3)
    assert middle.item(a) == 17 and again.item(b) == -17 and third.item(c) == -16 and tape.item(6) == 128
    assert [g.item() for g in again.backward_scalar(b).values()] == [-8, -4, -2, -1, -1, 1]
    assert len(third) == 5 and third.backward_scalar(c).keys() == {0, 1, 2, 3, 4}


def test_a_fork_costs_what_it_appends():
    tape, x = tl.Tape().leaf(np.ones(1 << 16, np.float32))
    for _ in range(8):
        tape, x = tape.shift(x, 1.0)
    before = arena.memory_stats()["live"]
    forks = []
    for k in range(20):
        fork, _ = tape.leaf(float(k))
        fork, y = fork.sum(x)
        forks.append((fork, y))
    assert arena.memory_stats()["live"] - before < 1 << 16
    assert {fork.item(y) for fork, y in forks} == {9 * 65536.0}


def test_appending_takes_the_same_time_however_long_the_tape_is():
    # Growing in a line never copies nodes: the store of each tape is the one before it.
    tape, x = tl.Tape().leaf(1.0)
    store = tape._store
    for _ in range(100):
        tape, x = tape.shift(x, 1.0)
        assert tape._store is store


def test_a_fork_keeps_its_prefix_alive():
    def fork() -> tuple[tl.Tape, int]:
        tape, x = tl.Tape().leaf([3.0])
        longer, _ = tape.square(x)
        other, y = tape.scale(x, 4.0)
        del tape, longer
        return other, y

    tape, y = fork()
    same(tape.backward(y, [1.0])[0], [4.0])


def test_threads_fork_one_tape():
    tape, ids = chain()
    results: list[float] = [0.0] * 8

    def work(k: int) -> None:
        fork, y = tape, ids[3]
        for _ in range(50):
            fork, y = fork.scale(y, 1.0)
        fork, s = fork.sum(y)
        fork, s = fork.scale(s, float(k))
        results[k] = float(fork.backward_scalar(s)[0].numpy()[0])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    np.testing.assert_allclose(results, [k * W[0] * SLOPE[0] for k in range(8)], rtol=1e-15)


def test_leaves_are_copies_in_the_tapes_dtype():
    source = np.array([1.0, 2.0])
    tape, x = tl.Tape().leaf(source)
    source[:] = 9
    same(tape.get_value(x), [1, 2])
    tape, n = tape.leaf([1, 2, 3])
    assert tape.get_value(n).dtype == "float32"
    for bad in ([1j], ["a"], [None]):
        with pytest.raises(tl.DTypeError):
            tape.leaf(bad)
    with pytest.raises(tl.ShapeError):
        tape.leaf([[1.0], [1.0, 2.0]])


def test_bad_tapes():
    with pytest.raises(tl.DTypeError):
        tl.Tape(dtype="int64")
    with pytest.raises(tl.DeviceError, match="CUDA"):
        tl.Tape(device="cuda:99")


# Reading ------------------------------------------------------------------------------------------------------------------


def test_reading_values():
    tape, (x, _, y, _, s) = chain()
    assert tape.get_value(5) is None and tape.get_value(-1) is None and tape.get_node(5) is None and tape.get_node(-1) is None
    same(tape.require_value(y, (3,)), X * W)
    with pytest.raises(tl.ShapeError, match=r"\(1, 3\).*\(3,\)"):
        tape.require_value(y, (1, 3))
    with pytest.raises(tl.NodeError, match="no node 7"):
        tape.require_value(7, (3,))
    assert tape.item(s) == pytest.approx(np.tanh(X * W).sum(), abs=1e-15)
    with pytest.raises(tl.ShapeError):
        tape.item(x)
    with pytest.raises(tl.NodeError):
        tape.item(99)


def test_reading_nodes():
    tape, (x, w, y, z, _) = chain()
    node = tape.get_node(y)
    assert node.parents == (w, x) and node.name == "mul" and node.requires_grad
    assert tape.get_node(z).name == "z" and tape.get_node(x).name == "x" and tape.get_node(x).backward is None
    contributions = dict(node.backward(np.ones(3)))
    same(contributions[w], X)
    same(contributions[x], W)
    same(dict(tape.get_node(z).backward(np.ones(3)))[y], SLOPE)
    assert "mul" in repr(node) and "(3,)" in repr(node)
    tape, c = tape.const([1.0])
    assert not tape.get_node(c).requires_grad


def test_require_grad():
    same(tl.require_grad([1.0, 2.0], (2,)), [1, 2])
    with pytest.raises(tl.ShapeError, match=r"\(2,\).*\(3,\)"):
        tl.require_grad([1.0, 2.0], (3,))


# Gradients ----------------------------------------------------------------------------------------------------------------


def test_every_node_reached_has_a_gradient():
    tape, (x, w, y, z, s) = chain()
    tape, after = tape.exp(s)
    grads = tape.backward_dense(s, 1.0)
    assert len(grads) == tape.size and grads[after] is None
    same(grads[s], 1)
    same(grads[z], np.ones(3))
    same(grads[y], SLOPE)
    same(grads[x], W * SLOPE)
    same(grads[w], X * SLOPE)
    assert all(isinstance(g, tl.AnyTensor) and g.dtype == "float64" for g in grads[:5])


def test_all_has_explicit_zeros():
    tape, (x, w, _, z, s) = chain()
    tape, u = tape.leaf([[1.0]])
    tape, far = tape.log(u)
    grads = tape.backward_dense_all(s, 1.0)
    assert len(grads) == 7 and grads[u].shape == (1, 1)
    same(grads[u], [[0]])
    same(grads[far], [[0]])
    same(grads[x], W * SLOPE)
    same(tape.backward_dense_all(z, [0.0, 1.0, 0.0])[w], [0, SLOPE[1] * X[1], 0])


def test_zeros_of_nodes_not_reached_do_not_run_their_rules_but_from_does():
    tape, x = tl.Tape().leaf([0.0])
    tape, y = tape.log(x)
    tape, z = tape.scale(x, 2.0)
    # log's rule is 0/0 at x = 0 with a zero cotangent: only backward_dense_from runs it.
    same(tape.backward_dense_all(z, [1.0])[x], [2.0])
    start = [np.zeros(1), np.zeros(1), np.ones(1)]
    assert math.isnan(tape.backward_dense_from(start)[x].numpy()[0])
    assert y == 1


def test_from_starts_with_a_gradient_for_every_node():
    tape, (x, _, y, z, _) = chain()
    start = [np.zeros(tape.get_value(i).shape) for i in range(tape.size)]
    start[z] = np.ones(3)
    start[x] = np.full(3, 10.0)
    found = tape.backward_dense_from(start)
    np.testing.assert_allclose(found[x].numpy(), 10 + W * SLOPE, rtol=1e-15)
    # Over the first n nodes: what is at later ones stays there.
    part = tape.backward_dense_from(start, y + 1)
    same(part[x], [10, 10, 10])
    same(part[z], np.ones(3))
    same(tape.backward_dense_from(start, 0)[z], np.ones(3))
    same(start[x], np.full(3, 10.0))


def test_one_step():
    tape, (_x, _w, y, z, s) = chain()
    grads = [np.zeros(tape.get_value(i).shape) for i in range(tape.size)]
    grads[s] = 1.0
    for i in reversed(range(tape.size)):
        grads = tape.backward_step(grads, i)
    for a, b in zip(grads, tape.backward_dense_all(s, 1.0), strict=True):
        same(a, b.numpy())
    grads = [np.zeros(tape.get_value(i).shape) for i in range(tape.size)]
    grads[z] = np.ones(3)
    grads = tape.backward_step(grads, z)
    same(grads[y], SLOPE)
    same(grads[0], [0, 0, 0])


def test_total_forms_check_lengths_and_shapes():
    tape, (_x, _w, y, _, _) = chain()
    full = [np.zeros(tape.get_value(i).shape) for i in range(tape.size)]
    for call in (tape.backward_dense_from, lambda g: tape.backward_step(g, y)):
        with pytest.raises(tl.ShapeError, match="each of the 5 nodes, got 4"):
            call(full[:-1])
        with pytest.raises(tl.ShapeError, match=r"\(2,\).*\(3,\)"):
            call([np.zeros(2), *full[1:]])
    with pytest.raises(tl.NodeError):
        tape.backward_dense_from(full, 6)
    with pytest.raises(tl.NodeError):
        tape.backward_dense_from(full, -1)
    with pytest.raises(tl.NodeError):
        tape.backward_step(full, 5)


def test_the_total_forms_on_a_tape_that_others_have_outgrown():
    tape, (x, _, _, z, s) = chain()
    longer, _ = tape.exp(z)
    assert longer.size == 6
    start = [np.zeros(tape.get_value(i).shape) for i in range(tape.size)]
    start[s] = 1.0
    found = tape.backward_dense_from(start)
    assert len(found) == 5
    same(found[x], W * SLOPE)
    assert len(tape.backward_dense(s, 1.0)) == 5 and len(tape.backward_step(start, s)) == 5


def test_seeds():
    tape, (x, _, y, _, s) = chain()
    same(tape.backward(y, [1, 0, 2])[x], [1, 0, 6])
    for bad in ([1.0, 2.0], 1.0, [[1.0, 2.0, 3.0]]):
        with pytest.raises(tl.ShapeError):
            tape.backward(y, bad)
    with pytest.raises(tl.DTypeError):
        tape.backward(s, 1j)
    for call in (tape.backward, tape.backward_dense, tape.backward_dense_all):
        with pytest.raises(tl.NodeError, match="no node 5"):
            call(5, 1.0)
        with pytest.raises(tl.NodeError):
            call(-1, 1.0)
    with pytest.raises(tl.ShapeError, match="scalar"):
        tape.backward_scalar(y)
    with pytest.raises(tl.NodeError):
        tape.backward_scalar(17)


def test_the_seed_stands_at_the_output_whatever_its_flag():
    tape, c = tl.Tape().const([1.0, 2.0])
    assert tape.backward(c, [3.0, 4.0]).keys() == {c}
    same(tape.backward(c, [3.0, 4.0])[c], [3, 4])
    tape, x = tape.leaf([1.0, 2.0])
    tape, n = tape.add_node(tl.Node([5.0], [x], lambda g: [(x, np.full(2, 7.0))], requires_grad=False))
    same(tape.backward(n, [1.0])[x], [7, 7])
    tape, m = tape.scale(n, 2.0)
    assert tape.backward(m, [1.0]).keys() == {m}


def test_constants_are_neither_visited_nor_given_a_gradient():
    tape, c = tl.Tape().leaf([2.0], requires_grad=False)
    tape, d = tape.exp(c)
    tape, x = tape.leaf([3.0])
    tape, y = tape.mul(d, x)
    grads = tape.backward_dense(y, [1.0])
    assert grads[c] is None and grads[d] is None
    np.testing.assert_allclose(grads[x].numpy(), [math.exp(2)], rtol=1e-6)
    assert not tape.get_node(d).requires_grad and tape.get_node(y).requires_grad


def test_detach():
    tape, x = tl.Tape().leaf([2.0])
    tape, d = tape.detach(x)
    tape, y = tape.mul(x, d)
    same(tape.backward(y, [1.0])[x], [2.0])


def test_backward_can_be_repeated_and_changes_nothing():
    tape, (x, _, _, _, s) = chain()
    first = tape.backward_scalar(s)
    text = repr(tape)
    second = tape.backward_scalar(s)
    assert first.keys() == second.keys() and repr(tape) == text
    assert all(first[i].numpy().tobytes() == second[i].numpy().tobytes() for i in first)
    assert not np.shares_memory(first[x].numpy(), second[x].numpy())


def test_one_cotangent_for_two_parents_is_not_shared_by_accident():
    tape, x = tl.Tape().leaf([1.0])
    tape, y = tape.leaf([1.0])
    tape, s = tape.add(x, y)
    tape, t = tape.add(s, x)
    grads = tape.backward(t, [1.0])
    same(grads[x], [2])
    same(grads[y], [1])
    same(grads[s], [1])
    same(grads[t], [1])


def test_the_order_of_accumulation():
    """Descending node order, then parent position; a complete contribution each, then one add."""
    tape, x = tl.Tape().leaf(np.zeros(1))
    order: list[float] = []

    def user(value: float, parents: list[int]):
        def backward(g):
            order.append(value)
            return [(p, np.array([value + k], np.float32)) for k, p in enumerate(parents)]

        return tl.Node([0.0], parents, backward)

    # 1e8 + 1 - 1e8 in float32 is 0 in one order and 1 in another.
    tape, a = tape.add_node(user(1.0, [x]))
    tape, b = tape.add_node(user(-1e8, [x]))
    tape, c = tape.add_node(user(1e8, [x]))
    tape, ab = tape.add(a, b)
    tape, out = tape.add(ab, c)
    assert tape.backward(out, [1.0])[x].item() == 1.0
    assert order == [1e8, -1e8, 1.0]
    tape, x2 = tl.Tape().leaf(np.zeros(1))
    values = [1e8, 1.0, -1e8]
    tape, n = tape.add_node(tl.Node([0.0], [x2, x2, x2], lambda g: [(x2, np.array([v], np.float32)) for v in values]))
    assert tape.backward(n, [1.0])[x2].item() == 0.0
    # An op whose inputs are one node: two contributions, the first input's first.
    tape, s = tape.sub(x2, x2)
    same(tape.backward(s, [1.0])[x2], [0.0])


def test_dense_to_dict():
    a = tl.AnyTensor([1.0])
    found = tl.dense_to_dict([None, a, None])
    assert list(found) == [1] and found[1] is a


# Ops ----------------------------------------------------------------------------------------------------------------------


def test_every_op_appends_one_node():
    tape, x = tl.Tape().leaf(np.arange(6.0).reshape(2, 3))
    size = len(tape)
    for call in (
        lambda t: t.softmax(x),
        lambda t: t.gather_rows_nat(x, [0, 5]),
        lambda t: t.reshape(x, (3, -1)),
        lambda t: t.concat([x, x], axis=1),
        lambda t: t.layer_norm(x),
        lambda t: t.cross_entropy(x, [0, 1]),
        lambda t: t.dropout(x, 0.5, seed=3),
        lambda t: t.rand_uniform((2,), 3),
        lambda t: t.scaled_dot_product_attention(x, x, x, causal=True),
    ):
        grown, i = call(tape)
        assert len(grown) == size + 1 and i == size and len(tape) == size


def test_composites_append_the_nodes_of_their_parts():
    tape, x = tl.Tape().leaf(np.arange(8.0).reshape(2, 2, 2))
    grown, i = tape.global_avg_pool2d_chw(x)
    assert i == len(grown) - 1
    same(grown.get_value(i), [1.5, 5.5])


def test_two_outputs():
    tape, x = tl.Tape().leaf(np.arange(8.0).reshape(2, 2, 2))
    grown, ids = tape.batch_stats(x)
    assert isinstance(ids, tuple) and len(ids) == 2
    same(grown.get_value(ids[0]), [1.5, 5.5])
    same(grown.get_value(ids[1]), [1.25, 1.25])


def test_an_explicit_tape_records_under_no_grad_too():
    with tl.no_grad():
        tape, x = tl.Tape().leaf([3.0])
        tape, y = tape.square(x)
    assert (x, y, len(tape)) == (0, 1, 2)
    same(tape.backward(y, [1.0])[x], [6.0])


def test_the_random_stream_is_part_of_the_value():
    tape, x = tl.Tape().leaf(np.ones(1000))
    a, i = tape.dropout(x, 0.5)
    b, _ = tape.dropout(x, 0.5)
    same(a.get_value(i), b.get_value(i).numpy())
    a, j = a.dropout(x, 0.5)
    assert not np.array_equal(a.get_value(i).numpy(), a.get_value(j).numpy())


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda t: t.add(0, 1), tl.ShapeError),
        (lambda t: t.add(0, 9), tl.NodeError),
        (lambda t: t.add(0, -1), tl.NodeError),
        (lambda t: t.relu([1.0]), tl.NodeError),
        (lambda t: t.relu("a"), tl.NodeError),
        (lambda t: t.relu(None), tl.TleanError),
        (lambda t: t.reshape(0, (5,)), tl.ShapeError),
        (lambda t: t.gather_scalar(0, 7), tl.IndexRangeError),
        (lambda t: t.permute(0, (0, 0)), tl.OptionError),
        (lambda t: t.cross_entropy(0, 1.5), tl.DTypeError),
        (lambda t: t.dropout(0, 1.5), tl.OptionError),
        (lambda t: t.add_node(tl.Node([1.0], [9], lambda g: [])), tl.NodeError),
        (lambda t: t.add_node(tl.Node([1.0], [-1], lambda g: [])), tl.NodeError),
        (lambda t: t.add_node(tl.Node([1.0], [0])), tl.NodeError),
        (lambda t: t.unary("mine", 9, np.exp, lambda x, g: g), tl.NodeError),
        (lambda t: t.unary("mine", 0, lambda x: "text", lambda x, g: g), tl.DTypeError),
    ],
)
def test_an_error_leaves_the_tape_as_it_was(call, error):
    tape, _ = tl.Tape().leaf([1.0, 2.0])
    tape, _ = tape.leaf([1.0, 2.0, 3.0])
    text = repr(tape)
    with pytest.raises(error) as caught:
        call(tape)
    assert isinstance(caught.value, tl.TleanError)
    assert len(tape) == 2 and repr(tape) == text
    # The next op has the id that it would have had.
    assert tape.exp(0)[1] == 2


def test_node_ids_may_be_numpy_integers_but_not_floats():
    tape, x = tl.Tape().leaf([1.0])
    tape, y = tape.exp(np.int64(x))
    assert y == 1
    with pytest.raises(tl.NodeError, match="float"):
        tape.exp(0.0)
