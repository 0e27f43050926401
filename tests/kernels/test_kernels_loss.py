"""Kernels of the losses against their formulas in float64, for every instruction set this machine runs."""

import numpy as np
import pytest
from kernel_calls import FLOATS, Call, run_op, usable_instruction_sets
from test_kernels_norm import close, normal, same_on_threads, softmax

from tlean.errors import IndexRangeError

ISAS = usable_instruction_sets("loss")
each_isa = pytest.mark.parametrize("isa", ISAS)
each_dtype = pytest.mark.parametrize("dtype", list(FLOATS))
REDUCTIONS = ("none", "mean", "sum")
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


def reduced(losses, reduction):
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


def cotangent(losses, reduction, dtype):
    """A cotangent of the reduced loss, and the same of each loss."""
    g = normal(losses.shape if reduction == "none" else (), dtype, 9)
    return g, g / (losses.size if reduction == "mean" else 1) * np.ones_like(losses)


# Losses of two arrays ---------------------------------------------------------------------------------------------------


def squared_error(a, b):
    return (a - b) ** 2, 2 * (a - b), 2 * (b - a)


def binary_cross_entropy(x, t):
    return np.logaddexp(0, x) - x * t, 1 / (1 + np.exp(-x)) - t, -x


@each_isa
@each_dtype
@each_reduction
@pytest.mark.parametrize("shape", [(), (5,), (3, 7), (300, 257), (40000,)])
@pytest.mark.parametrize(("name", "formula"), [("mse_loss", squared_error), ("bce_with_logits", binary_cross_entropy)])
def test_paired_losses(isa, dtype, reduction, shape, name, formula):
    a, b = normal(shape, dtype, 1, 3.0), normal(shape, dtype, 2)
    losses, da, db = formula(a, b)
    close(run_op(isa, "loss", name, dtype, a, b, reduction=reduction), reduced(losses, reduction), dtype, 10.0)
    g, each = cotangent(losses, reduction, dtype)
    for unread in ((), (0,), (1,)):
        call = Call(isa, "loss", f"_{name}_grad", dtype, (g, a, b), unread, reduction=reduction)
        assert call() == 0
        for k, d in enumerate((da, db)):
            if k not in unread:
                close(call.outs[k], d * each, dtype, 4.0)


@each_isa
@each_dtype
def test_binary_cross_entropy_does_not_overflow(isa, dtype):
    x, t = np.array([1e4, -1e4, 1e4, -1e4]), np.array([1.0, 0.0, 0.0, 1.0])
    np.testing.assert_array_equal(run_op(isa, "loss", "bce_with_logits", dtype, x, t, reduction="none"), [0, 0, 1e4, 1e4])
    d = run_op(isa, "loss", "_bce_with_logits_grad", dtype, np.ones(4), x, t, reduction="none")
    np.testing.assert_array_equal(d, [0, 0, 1, -1])


@each_isa
def test_a_sum_of_nothing_is_zero(isa):
    assert run_op(isa, "loss", "mse_loss", "f64", np.zeros((0, 3)), np.zeros((0, 3)), reduction="sum") == 0


# Cross-entropy ----------------------------------------------------------------------------------------------------------


def cross_entropy(x, labels, weight, smoothing, ignored, reduction):
    """The loss, and its gradient to x as a function of the cotangent, row by row."""
    classes = x.shape[1]
    w = np.ones(classes) if weight is None else weight
    p = softmax(x, 1)
    log_p = x - x.max(1, keepdims=True) - np.log(np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True))
    losses, share, rows = np.zeros(len(x)), 0.0, np.zeros_like(x)
    for i, t in enumerate(labels):
        if t == ignored:
            continue
        target = smoothing / classes * w
        target = target + (1 - smoothing) * w[t] * (np.arange(classes) == t)
        losses[i] = -(target * log_p[i]).sum()
        rows[i] = p[i] * target.sum() - target
        share += w[t]
    with np.errstate(invalid="ignore"):
        loss = losses if reduction == "none" else losses.sum() if reduction == "sum" else np.float64(losses.sum()) / share

    def gradient(g):
        each = g[:, None] if reduction == "none" else g / (share if reduction == "mean" and share else 1.0)
        return rows * each

    return loss, gradient


@each_isa
@each_dtype
@each_reduction
@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("rows", "classes"), [(1, 1), (4, 3), (130, 10), (65, 32), (66, 33), (5, 1000)])
def test_cross_entropy(isa, dtype, reduction, smoothing, weighted, rows, classes):
    rng = np.random.default_rng(rows)
    x, labels = normal((rows, classes), dtype, 1, 3.0), rng.integers(0, classes, rows)
    weight = np.abs(normal((classes,), dtype, 2)) + 0.125 if weighted else None
    some = labels.copy()
    some[::3] = -100
    for t, ignored in ((labels, None), (some, -100), (labels, int(labels[0])), (np.full(rows, 7), 7)):
        loss, gradient = cross_entropy(x, t, weight, smoothing, ignored, reduction)
        options = {"label_smoothing": smoothing, "ignore_index": ignored, "reduction": reduction}
        call = Call(isa, "loss", "cross_entropy", dtype, (x, t, weight), **options)
        assert call() == 0
        close(call.outs[0], loss, dtype, 10.0)
        top, log_total = call.outs[1:]
        g = normal(np.shape(loss), dtype, 3)
        d = run_op(isa, "loss", "_cross_entropy_grad", dtype, g, x, t, weight, top, log_total, **options)
        close(d, gradient(g), dtype, 4.0)


@each_isa
def test_every_label_ignored(isa):
    x, t = normal((3, 4), "f64"), np.full(3, 9)
    assert np.isnan(run_op(isa, "loss", "cross_entropy", "f64", x, t, None, ignore_index=9))
    d = run_op(
        isa, "loss", "_cross_entropy_grad", "f64", np.ones(()), x, t, None, np.zeros(3), np.zeros(3),
        label_smoothing=0.1, ignore_index=9, reduction="mean",
    )  # fmt: skip
    assert not d.any()


@each_isa
@each_dtype
@pytest.mark.parametrize("classes", [4, 40])
@pytest.mark.parametrize("label", [-1, 4000, -(2**62)])
def test_labels_out_of_range(isa, dtype, classes, label):
    x, t = normal((3, classes), dtype), np.array([0, label, 1])
    with pytest.raises(IndexRangeError):
        run_op(isa, "loss", "cross_entropy", dtype, x, t, None)
    with pytest.raises(IndexRangeError):
        run_op(
            isa, "loss", "_cross_entropy_grad", dtype, np.ones(()), x, t, None, np.zeros(3), np.zeros(3),
            label_smoothing=0.0, ignore_index=None, reduction="mean",
        )  # fmt: skip
    with pytest.raises(IndexRangeError):
        run_op(isa, "loss", "_one_hot", dtype, t, depth=classes, strict=True)


@each_isa
@each_dtype
def test_one_hot(isa, dtype):
    y = run_op(isa, "loss", "_one_hot", dtype, np.array([[0, 2], [-1, 3]]), depth=3)
    np.testing.assert_array_equal(y, [[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]])
    y = run_op(isa, "loss", "_one_hot", dtype, np.array([0, 5, 1]), depth=3, ignore_index=5, strict=True)
    np.testing.assert_array_equal(y, [[1, 0, 0], [0, 0, 0], [0, 1, 0]])


@each_isa
@each_dtype
def test_pick_and_unpick(isa, dtype):
    x, t = normal((2, 3, 4), dtype), np.array([[0, 3, 9], [9, 1, 1]])
    y = run_op(isa, "loss", "_pick", dtype, x, t, depth=4, ignore_index=9)
    np.testing.assert_array_equal(y, [[x[0, 0, 0], x[0, 1, 3], 0], [0, x[1, 1, 1], x[1, 2, 1]]])
    back = run_op(isa, "loss", "_unpick", dtype, y, t, depth=4, ignore_index=9)
    np.testing.assert_array_equal(back, x * (np.arange(4) == t[..., None]))
    for name, a in (("_pick", x), ("_unpick", y)):
        with pytest.raises(IndexRangeError):
            run_op(isa, "loss", name, dtype, a, t, depth=4)


@each_isa
@each_dtype
def test_losses_are_the_same_on_any_number_of_threads(isa, dtype):
    a, b = normal((150, 999), dtype, 1), normal((150, 999), dtype, 2)
    labels = np.random.default_rng(0).integers(0, 999, 150)
    for name in ("mse_loss", "bce_with_logits"):
        same_on_threads(Call(isa, "loss", name, dtype, (a, b)))
    same_on_threads(Call(isa, "loss", "cross_entropy", dtype, (a, labels, None), label_smoothing=0.1))
    short = a.reshape(-1)[:30000].reshape(3000, 10)
    same_on_threads(Call(isa, "loss", "cross_entropy", dtype, (short, np.arange(3000) % 10, None)))
