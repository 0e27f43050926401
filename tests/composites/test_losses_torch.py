"""Losses of margins and of sequences, and bags of rows, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

torch = pytest.importorskip("torch", reason="parity with PyTorch is checked where PyTorch is installed")
F = torch.nn.functional

from support.torch_parity import check_parity  # noqa: E402 - it imports PyTorch

REDUCTIONS = ("none", "mean", "sum")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("single", [False, True])
def test_multi_margin_loss(single, p, reduction):
    rng = np.random.default_rng(p)
    x, t, w = rng.normal(size=(4, 5)), rng.integers(0, 5, 4), rng.uniform(0.5, 2.0, 5)
    x, t = (x[0], t[0]) if single else (x, t)
    # PyTorch has no second derivatives of it.
    check_parity(
        lambda o, x: o.multi_margin_loss(x, t, w, reduction, p, 0.7),
        lambda x: F.multi_margin_loss(x, torch.tensor(t), p, 0.7, torch.tensor(w), reduction=reduction),
        [x],
        second=False,
        forward=False,
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("single", [False, True])
def test_multilabel_margin_loss(single, reduction):
    x = np.random.default_rng(0).normal(size=(3, 4))
    t = np.array([[2, 0, -1, 1], [-1, 2, 2, 2], [3, 1, 0, 2]])
    x, t = (x[0], t[0]) if single else (x, t)
    check_parity(
        lambda o, x: o.multilabel_margin_loss(x, t, reduction),
        lambda x: F.multilabel_margin_loss(x, torch.tensor(t), reduction=reduction),
        [x],
        second=False,
        forward=False,
    )


@pytest.mark.parametrize("seed", range(6))
def test_ctc_loss(seed):
    reduction = REDUCTIONS[seed % 3]
    rng = np.random.default_rng(seed)
    moments, n, classes, many = 7, 4, 4, 3
    blank = int(rng.integers(0, classes))
    labels = np.array([c for c in range(classes) if c != blank])[rng.integers(0, classes - 1, (n, many))]
    moments_of, labels_of = rng.integers(2 * many + 1, moments + 1, n), rng.integers(0, many + 1, n)
    labels_of[0] = many
    x = rng.normal(size=(moments, n, classes))
    together = np.concatenate([row[:k] for row, k in zip(labels, labels_of, strict=True)])
    targets = labels if seed % 2 else together
    check_parity(
        lambda o, x: o.ctc_loss(o.log_softmax(x), targets, moments_of, labels_of, blank, reduction),
        lambda x: F.ctc_loss(x.log_softmax(-1), *map(torch.tensor, (targets, moments_of, labels_of)), blank, reduction),
        [x],
        second=False,
        forward=False,
    )


def test_a_sequence_that_cannot_be():
    x = np.random.default_rng(0).normal(size=(2, 2, 3))
    targets, lengths = np.array([[1, 1], [1, 2]]), ([2, 2], [2, 2])
    y = np.asarray(tl.ctc_loss(tl.log_softmax(x), targets, *lengths, reduction="none"))
    assert np.isinf(y[0])
    assert np.isfinite(y[1])
    value, grad = tl.value_and_grad(
        lambda ops, x: ops.ctc_loss(ops.log_softmax(x), targets, *lengths, zero_infinity=True, reduction="sum")
    )(x)
    assert float(value) == y[1]
    assert np.asarray(grad)[:, 0].tolist() == [[0.0] * 3] * 2
    # The tangent is that of a difference.
    step, t = 1e-6, np.random.default_rng(1).normal(size=x.shape)

    def loss(ops, x):
        return ops.ctc_loss(ops.log_softmax(x), targets[1:], [2], [2])

    _, tangent = tl.jvp(loss, (x[:, 1:],), (t[:, 1:],))
    ends = [float(tl.jit(loss)(x[:, 1:] + h * t[:, 1:])) for h in (step, -step)]
    assert float(tangent) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-7)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("offsets", [None, [0, 2, 2, 5]])
@pytest.mark.parametrize("weighted", [False, True])
def test_embedding_bag(weighted, offsets, mode):
    if weighted and mode != "sum":
        with pytest.raises(tl.OptionError, match="weights must go with mode sum"):
            tl.embedding_bag(np.ones((2, 2)), [[0]], mode=mode, weights=[[1.0]])
        return
    rng = np.random.default_rng(0)
    table, indices = rng.normal(size=(5, 3)), rng.integers(0, 5, (2, 4) if offsets is None else 8)
    arrays = [table, rng.normal(size=indices.shape)] if weighted else [table]

    def ours(ops, *arrays):
        return ops.embedding_bag(arrays[0], indices, offsets, mode, *arrays[1:])

    def theirs(table, weights=None):
        at = None if offsets is None else torch.tensor(offsets)
        return F.embedding_bag(torch.tensor(indices), table, at, mode=mode, per_sample_weights=weights)

    check_parity(ours, theirs, arrays, second=False, forward=False)
    if offsets is not None:
        # Offsets that the program gets.
        found = tl.jit(lambda ops, at, *arrays: ops.embedding_bag(arrays[0], indices, at, mode, *arrays[1:]))(np.array(offsets), *arrays)
        np.testing.assert_allclose(np.asarray(found), theirs(*map(torch.tensor, arrays)).numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda o, x: o.multi_margin_loss(x, np.array([0])), tl.ShapeError, "target must have shape"),
        (lambda o, x: o.multi_margin_loss(x, np.array([0, 3])), tl.IndexRangeError, "multi_margin_loss"),
        (lambda o, x: o.multi_margin_loss(x, np.array([0, 1]), p=3), tl.OptionError, "p must be 1 or 2"),
        (lambda o, x: o.multilabel_margin_loss(x, np.array([0, 1])), tl.ShapeError, "target must have x's shape"),
        (lambda o, x: o.ctc_loss(x, np.array([1, 2]), 2, 2, blank=3), tl.OptionError, "blank must be one of"),
        (lambda o, x: o.ctc_loss(o.sum(x), np.array([1, 2]), 2, 2), tl.ShapeError, "log_probs must have the shape"),
        (lambda o, x: o.ctc_loss(o.reshape(x, (1, 2, 3)), np.array([1, 2]), 1, [1, 2]), tl.ShapeError, "add up to the number"),
        (lambda o, x: o.embedding_bag(x, np.array([0, 1])), tl.ShapeError, "table must have two axes"),
        (lambda o, x: o.embedding_bag(x, np.array([[2]])), tl.IndexRangeError, "embedding_bag"),
        (lambda o, x: o.embedding_bag(x, np.array([1, 0]), [0, 3]), tl.IndexRangeError, "offsets must begin with 0"),
        (lambda o, x: o.embedding_bag(x, np.array([[1]]), mode="min"), tl.OptionError, "mode must be sum, mean or max"),
    ],
)
def test_errors(call, error, message):
    m = tl.TapeM(dtype="float64")
    with pytest.raises(error, match=message):
        call(m, m.leaf(np.zeros((2, 3))))
