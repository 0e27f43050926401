"""Parameters, constants and means of losses on a `TapeM`; the data set's own operations."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean.train import tapem

XS = np.random.default_rng(3).normal(size=(7, 2)).astype(np.float32)
YS = np.random.default_rng(4).normal(size=(7, 1)).astype(np.float32)


def model(m):
    return tapem.param(m, [[0.5, -1.0]], name="w"), tapem.param(m, [0.25])


def test_leaves():
    m = tl.TapeM()
    w, c = tl.train.tapem.param(m, [1.0, 2.0], name="w"), tl.train.tapem.const(m, [3.0, 4.0], name="c")
    y = m.sum(w * c)
    grads = m.backward_scalar(y)
    assert w.requires_grad and not c.requires_grad and grads[w.id].tolist() == [3, 4] and c.id not in grads
    assert "w = leaf" in repr(m.tape) and "c = leaf" in repr(m.tape)


def test_the_mean_is_a_left_fold_then_a_scale():
    m = tl.TapeM()
    values = [1e8, 1.0, -1e8, 1.0]
    mean = tapem.mean_scalar_over(m, "numbers", values, lambda v: tapem.param(m, v))
    # ((1e8 + 1) - 1e8) + 1 in float32.
    assert mean.item() == 0.25 and mean.shape == ()
    ops = [line.split()[1].partition("(")[0] for line in repr(m.tape).splitlines()[1:]]
    assert ops == ["leaf", "leaf", "add", "leaf", "add", "leaf", "add", "scale"]
    assert all(g.item() == 0.25 for i, g in m.backward_scalar(mean).items() if ops[i] == "leaf")


def test_arrays_and_data_sets_give_the_same_bits():
    data = tl.data.Dataset(XS, YS)
    found = []
    for form in ("list", "array", "dataset"):
        m = tl.TapeM()
        w, b = model(m)

        def loss(sample, m=m, w=w, b=b):
            x, y = sample
            return m.mse_loss(m.linear(w, b, tapem.const(m, x)), tapem.const(m, y))

        if form == "list":
            mean = tapem.mean_scalar_over(m, "samples", list(zip(XS, YS, strict=True)), loss)
        elif form == "array":
            mean = tapem.mean_scalar_over_array(m, "samples", np.concatenate([XS, YS], axis=1), lambda row: loss((row[:2], row[2:])))
        else:
            mean = tapem.mean_scalar_over_dataset(m, "samples", data, loss)
        grads = m.backward_scalar(mean)
        found.append((mean.numpy().tobytes(), grads[w.id].numpy().tobytes(), grads[b.id].numpy().tobytes(), len(m.tape)))
    assert found[0] == found[1] == found[2]
    expected = np.mean((XS @ [0.5, -1.0] + 0.25 - YS[:, 0]) ** 2)
    assert np.frombuffer(found[0][0], np.float32)[0] == pytest.approx(expected, rel=1e-6)


def test_other_backends_too():
    def loss(ops, w):
        return tapem.mean_scalar_over_array(ops, "rows", XS, lambda x: ops.sum(ops.mul(w, ops.const(x))))

    value, grad = tl.value_and_grad(loss)(np.ones(2, np.float32))
    assert value.item() == pytest.approx(XS.sum() / 7, rel=1e-5)
    np.testing.assert_allclose(grad.numpy(), XS.mean(axis=0), rtol=1e-5)


def test_errors_name_the_tag():
    m = tl.TapeM()
    for call in (
        lambda: tapem.mean_scalar_over(m, "minibatch 3", [], lambda x: x),
        lambda: tapem.mean_scalar_over_array(m, "minibatch 3", np.zeros((0, 2)), lambda x: x),
        lambda: tapem.mean_scalar_over_dataset(m, "minibatch 3", tl.data.Dataset(np.zeros((0, 2))), lambda x: x),
        lambda: tapem.mean_scalar_over(m, "minibatch 3", [1.0], lambda x: m.leaf([x])),
        lambda: tapem.mean_scalar_over_array(m, "minibatch 3", 1.0, lambda x: m.leaf(x)),
    ):
        with pytest.raises(tl.ShapeError, match="minibatch 3"):
            call()
    with pytest.raises(tl.ShapeError, match=r"sample 1"):
        tapem.mean_scalar_over(m, "losses", [0, 1], lambda k: m.leaf(np.ones((1,) * k)))
    with pytest.raises(tl.NodeError, match="losses"):
        tapem.mean_scalar_over(m, "losses", [0], lambda k: 3)


# Data sets -----------------------------------------------------------------------------------------------------------------


def test_map():
    data = tl.data.Dataset(XS, YS)
    doubled = data.map(lambda x, y: (2 * x, y, x.sum()))
    assert [a.shape for a in doubled.arrays] == [(7, 2), (7, 1), (7,)]
    np.testing.assert_array_equal(doubled.arrays[0], 2 * XS)
    one = data.map(lambda x, y: np.outer(x, x))
    assert len(one.arrays) == 1 and one.arrays[0].shape == (7, 2, 2)
    for bad in (lambda x, y: np.ones(1 if y > 0 else 2), lambda x, y: (x,) if y > 0 else (x, y)):
        with pytest.raises(tl.ShapeError, match="map"):
            data.map(bad)
    with pytest.raises(tl.ShapeError, match="no sample"):
        tl.data.Dataset(np.zeros((0, 2))).map(lambda x: x)


def test_append():
    data = tl.data.Dataset(XS, YS)
    both = data.append(tl.data.Dataset(XS[:2] + 1, YS[:2]))
    assert len(both) == 9 and len(data) == 7
    np.testing.assert_array_equal(both.arrays[0][7:], XS[:2] + 1)
    for other in (tl.data.Dataset(XS), tl.data.Dataset(YS, XS)):
        with pytest.raises(tl.ShapeError, match="append"):
            data.append(other)


def test_split_at():
    data = tl.data.Dataset(XS, YS)
    first, rest = data.split_at(3)
    np.testing.assert_array_equal(first.arrays[0], XS[:3])
    np.testing.assert_array_equal(rest.arrays[1], YS[3:])
    assert np.shares_memory(rest.arrays[0], XS) and len(data.split_at(0)[0]) == 0 and len(data.split_at(7)[1]) == 0
    for bad in (-1, 8):
        with pytest.raises(tl.IndexRangeError):
            data.split_at(bad)


def test_shuffle():
    data = tl.data.Dataset(XS, YS)
    once, again, other = data.shuffle(1), data.shuffle(1), data.shuffle(2)
    np.testing.assert_array_equal(once.arrays[0], again.arrays[0])
    assert not np.array_equal(once.arrays[0], other.arrays[0])
    assert sorted(map(tuple, once.arrays[0])) == sorted(map(tuple, XS))
    where = [int(np.flatnonzero((x == XS).all(axis=1))[0]) for x in once.arrays[0]]
    np.testing.assert_array_equal(once.arrays[1], YS[where])


def test_batches():
    data = tl.data.Dataset(XS, YS)
    found = list(data.batches(3))
    assert [len(x) for x, _ in found] == [3, 3, 1] and [len(x) for x, _ in data.batches(3, drop_last=True)] == [3, 3]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), XS)
    with pytest.raises(tl.OptionError):
        data.batches(0)
    assert [tuple(x) for x, _ in data] == [tuple(x) for x in XS]
