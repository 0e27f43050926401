"""Losses that broadcast against copies; losses and norms made of other ops against PyTorch: values, gradients, eager and compiled bits."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tlean as tl

RNG = np.random.default_rng(0)
REDUCTIONS = ("none", "mean", "sum")


def n(*shape):
    return RNG.normal(size=shape)


def p(*shape):
    return RNG.uniform(0.05, 0.95, shape)


def signs(*shape):
    return RNG.choice([-1.0, 1.0], shape)


def bits(x):
    x = np.asarray(x)
    return x.shape, x.dtype, x.tobytes()


def values_and_gradients(loss, arrays, g=None):
    """By a tape and compiled: both, which must have the same bits."""
    m = tl.TapeM(dtype="float64")
    refs = [m.leaf(a) for a in arrays]
    y = loss(m, *refs)
    g = np.random.default_rng(1).standard_normal(y.shape) if g is None else g
    grads = m.backward(y, g)
    eager = [y.numpy(), *(np.zeros(r.shape) if grads.get(r.id) is None else grads[r.id].numpy() for r in refs)]

    def compiled(ops, *xs):
        return loss(ops, *xs)

    value, pull = tl.vjp(compiled, *arrays)
    assert bits(value) == bits(eager[0])
    for x, found in zip(eager[1:], pull(g), strict=True):
        assert bits(found) == bits(x)
    return g, eager


PAIRED = {
    "mse_loss": lambda o, a, b, r: o.mse_loss(a, b, r),
    "l1_loss": lambda o, a, b, r: o.l1_loss(a, b, r),
    "huber_loss": lambda o, a, b, r: o.huber_loss(a, b, r, 0.5),
    "smooth_l1_loss": lambda o, a, b, r: o.smooth_l1_loss(a, b, r, 0.5),
    "bce_with_logits": lambda o, a, b, r: o.bce_with_logits(a, b, r),
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shapes", [((3, 4), (4,)), ((4, 1), (1, 5)), ((), (2, 3)), ((2, 1, 3), (4, 1))], ids=str)
@pytest.mark.parametrize("name", PAIRED)
def test_a_loss_that_broadcasts_is_the_loss_of_copies(name, shapes, reduction):
    arrays = [np.asarray(n(*shapes[0])), np.asarray(p(*shapes[1]))]
    whole = np.broadcast_shapes(*shapes)
    g, (y, *grads) = values_and_gradients(lambda o, a, b: PAIRED[name](o, a, b, reduction), arrays)
    copies = [np.array(np.broadcast_to(a, whole)) for a in arrays]
    _, (wide, *parts) = values_and_gradients(lambda o, a, b: PAIRED[name](o, a, b, reduction), copies, g)
    np.testing.assert_allclose(y, wide, rtol=1e-14, atol=1e-15)
    for a, grad, part in zip(arrays, grads, parts, strict=True):
        lead = part.ndim - a.ndim
        summed = part.sum(tuple(range(lead))).sum(tuple(k for k, d in enumerate(a.shape) if d == 1), keepdims=True)
        assert grad.shape == a.shape
        np.testing.assert_allclose(grad, summed.reshape(a.shape), rtol=1e-13, atol=1e-14)


def test_a_loss_that_broadcasts_is_one_node():
    m = tl.TapeM(dtype="float64")
    y = m.mse_loss(m.leaf(n(3, 4)), m.leaf(n(4)))
    assert y.id == 2
    assert m.tape.get_node(2).parents == (0, 1)


torch = pytest.importorskip("torch", reason="parity with PyTorch is checked where PyTorch is installed")
F = torch.nn.functional


def soft(*shape):
    x = RNG.uniform(0.1, 1.0, shape)
    return x / x.sum(-1, keepdims=True)


#: (ours, PyTorch's, arrays, reductions)
CASES = {
    "bce_weight": (
        lambda o, x, t, w, r: o.bce_with_logits(x, t, r, w),
        lambda x, t, w, r: F.binary_cross_entropy_with_logits(x, t, w.detach(), reduction=r),
        [n(3, 4), p(3, 4), p(4)],
    ),
    "bce_pos_weight": (
        lambda o, x, t, w, r: o.bce_with_logits(x, t, r, pos_weight=w),
        lambda x, t, w, r: F.binary_cross_entropy_with_logits(x, t, pos_weight=w.detach(), reduction=r),
        [n(3, 4), p(3, 4), 3 * p(4)],
    ),
    "bce_both": (
        lambda o, x, t, v, w, r: o.bce_with_logits(x, t, r, v, w),
        lambda x, t, v, w, r: F.binary_cross_entropy_with_logits(x, t, v.detach(), pos_weight=w.detach(), reduction=r),
        [30 * n(3, 4), p(3, 4), p(3, 1), 3 * p(4)],
    ),
    "bce_probs": (
        lambda o, x, t, w, r: o.binary_cross_entropy(x, t, w, r),
        lambda x, t, w, r: F.binary_cross_entropy(x, t, w.detach(), reduction=r),
        [p(3, 4), p(3, 4), p(4)],
    ),
    "smooth_l1": (
        lambda o, x, t, r: o.smooth_l1_loss(x, t, r, 0.4),
        lambda x, t, r: F.smooth_l1_loss(x, t, beta=0.4, reduction=r),
        [n(3, 4), n(3, 4)],
    ),
    "smooth_l1_sharp": (
        lambda o, x, t, r: o.smooth_l1_loss(x, t, r, 0),
        lambda x, t, r: F.smooth_l1_loss(x, t, beta=0, reduction=r),
        [n(3, 4), n(3, 4)],
    ),
    "huber": (lambda o, x, t, r: o.huber_loss(x, t, r, 0.4), lambda x, t, r: F.huber_loss(x, t, r, 0.4), [n(3, 4), n(3, 4)]),
    "kl_div": (lambda o, x, t, r: o.kl_div(x, t, r), lambda x, t, r: F.kl_div(x, t, reduction=r), [np.log(soft(3, 4)), soft(3, 4)]),
    "kl_div_log": (
        lambda o, x, t, r: o.kl_div(x, t, r, True),
        lambda x, t, r: F.kl_div(x, t, reduction=r, log_target=True),
        [np.log(soft(3, 4)), np.log(soft(3, 4))],
    ),
    "poisson": (
        lambda o, x, t, r: o.poisson_nll_loss(x, t, r),
        lambda x, t, r: F.poisson_nll_loss(x, t, reduction=r),
        [n(3, 4), 5 * p(3, 4)],
    ),
    "poisson_full": (
        lambda o, x, t, r: o.poisson_nll_loss(x, np.array([[0.0, 0.5, 1.0, 7.0]]), r, False, True),
        lambda x, t, r: F.poisson_nll_loss(
            x, torch.tensor([[0.0, 0.5, 1.0, 7.0]], dtype=torch.float64), log_input=False, full=True, reduction=r
        ),
        [5 * p(3, 4), p(1)],
    ),
    "gaussian": (
        lambda o, x, t, v, r: o.gaussian_nll_loss(x, t, v, r),
        lambda x, t, v, r: F.gaussian_nll_loss(x, t, v, reduction=r),
        [n(3, 4), n(3, 4), p(3, 4)],
    ),
    "gaussian_full": (
        lambda o, x, t, v, r: o.gaussian_nll_loss(x, t, v, r, True, 0.01),
        lambda x, t, v, r: F.gaussian_nll_loss(x, t, v, full=True, eps=0.01, reduction=r),
        [n(3, 4), n(3, 4), p(3, 1)],
    ),
    "hinge": (
        lambda o, x, t, r: o.hinge_embedding_loss(x, t, r, 0.3),
        lambda x, t, r: F.hinge_embedding_loss(x, t.detach(), 0.3, reduction=r),
        [n(3, 4), signs(3, 4)],
    ),
    "soft_margin": (
        lambda o, x, t, r: o.soft_margin_loss(x, t, r),
        lambda x, t, r: F.soft_margin_loss(x, t.detach(), reduction=r),
        [n(3, 4), signs(3, 4)],
    ),
    "margin_ranking": (
        lambda o, a, b, t, r: o.margin_ranking_loss(a, b, t, r, 0.2),
        lambda a, b, t, r: F.margin_ranking_loss(a, b, t.detach(), 0.2, reduction=r),
        [n(5), n(5), signs(5)],
    ),
    "soft_cross_entropy": (
        lambda o, x, t, r: o.soft_cross_entropy(x, t, reduction=r),
        lambda x, t, r: F.cross_entropy(x, t, reduction=r),
        [n(3, 5), soft(3, 5)],
    ),
    "soft_cross_entropy_smooth": (
        lambda o, x, t, w, r: o.soft_cross_entropy(x, t, w, 0.2, r),
        lambda x, t, w, r: F.cross_entropy(x, t, w.detach(), label_smoothing=0.2, reduction=r),
        [n(3, 5), soft(3, 5), p(5)],
    ),
    "multilabel_soft_margin": (
        lambda o, x, t, r: o.multilabel_soft_margin_loss(x, t, reduction=r),
        lambda x, t, r: F.multilabel_soft_margin_loss(x, t, reduction=r),
        [n(3, 5), p(3, 5)],
    ),
    "cosine_embedding": (
        lambda o, a, b, t, r: o.cosine_embedding_loss(a, b, t, r, 0.1),
        lambda a, b, t, r: F.cosine_embedding_loss(a, b, t.detach(), 0.1, reduction=r),
        [n(6, 5), n(6, 5), signs(6)],
    ),
    "triplet": (
        lambda o, a, b, c, r: o.triplet_margin_loss(a, b, c, r),
        lambda a, b, c, r: F.triplet_margin_loss(a, b, c, reduction=r),
        [n(6, 5), n(6, 5), n(6, 5)],
    ),
    "triplet_swap": (
        lambda o, a, b, c, r: o.triplet_margin_loss(a, b, c, r, 2.0, 3.0, 1e-3, True),
        lambda a, b, c, r: F.triplet_margin_loss(a, b, c, 2.0, 3.0, 1e-3, True, reduction=r),
        [n(6, 5), n(6, 5), n(6, 5)],
    ),
}


def against_torch(ours, theirs, arrays, constants=()):
    g, (y, *grads) = values_and_gradients(ours, arrays)
    tensors = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arrays]
    expected = theirs(*tensors)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    expected.backward(torch.tensor(g))
    for k, (grad, tensor) in enumerate(zip(grads, tensors, strict=True)):
        if k not in constants and tensor.grad is not None:
            np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", CASES)
def test_parity(name, reduction):
    ours, theirs, arrays = CASES[name]
    against_torch(lambda o, *xs: ours(o, *xs, reduction), lambda *xs: theirs(*xs, reduction), arrays)


@pytest.mark.parametrize("kind", [1.0, 2.0, 3.0, math.inf])
def test_pairwise_distance(kind):
    arrays = [n(4, 5), n(1, 5)]
    against_torch(lambda o, a, b: o.pairwise_distance(a, b, kind), lambda a, b: F.pairwise_distance(a, b, kind), arrays)
    against_torch(
        lambda o, a, b: o.pairwise_distance(a, b, kind, 0.25, True), lambda a, b: F.pairwise_distance(a, b, kind, 0.25, True), arrays
    )


def test_cosine_similarity():
    arrays = [n(4, 5, 2), n(5, 1)]
    against_torch(lambda o, a, b: o.cosine_similarity(a, b, 1), lambda a, b: F.cosine_similarity(a, b, 1), arrays)
    # A vector of zeros has no angle; its gradient is finite.
    value, (da, db) = tl.value_and_grad(lambda ops, a, b: ops.sum(ops.cosine_similarity(a, b)), argnums=(0, 1))(np.zeros(3), np.ones(3))
    assert float(value) == 0
    assert np.isfinite(np.asarray(da)).all()
    assert np.isfinite(np.asarray(db)).all()


NORMS = {
    "rms_norm": (lambda o, x, w: o.rms_norm(x, w, 0.01), lambda x, w: F.rms_norm(x, (5,), w, 0.01), [n(2, 3, 5), p(5)]),
    "rms_norm alone": (lambda o, x: o.rms_norm(x, eps=0.1), lambda x: F.rms_norm(x, (5,), eps=0.1), [n(4, 5)]),
    "group_norm": (
        lambda o, x, w, b: o.group_norm(x, 2, w, b, 0.01),
        lambda x, w, b: F.group_norm(x, 2, w, b, 0.01),
        [n(3, 4, 2, 5), p(4), n(4)],
    ),
    "group_norm alone": (lambda o, x: o.group_norm(x, 3), lambda x: F.group_norm(x, 3), [n(2, 6)]),
    "instance_norm": (
        lambda o, x, w, b: o.instance_norm(x, w, b),
        lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
        [n(3, 4, 2, 5), p(4), n(4)],
    ),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms(name):
    against_torch(*NORMS[name])


def test_batchmean():
    arrays = [np.log(soft(3, 4)), soft(3, 4)]
    against_torch(lambda o, x, t: o.kl_div(x, t, "batchmean"), lambda x, t: F.kl_div(x, t, reduction="batchmean"), arrays)


def test_probabilities_of_0_and_1():
    x, t = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])
    found = np.asarray(tl.binary_cross_entropy(x, t, reduction="none"))
    assert found.tolist() == F.binary_cross_entropy(torch.tensor(x), torch.tensor(t), reduction="none").tolist()
    assert np.isfinite(np.asarray(tl.grad(lambda ops, x: ops.binary_cross_entropy(x, t))(x))).all()
    assert np.asarray(tl.kl_div(np.zeros(2), np.array([0.0, 1.0]), "none")).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda o, x: o.mse_loss(x, o.const(np.zeros(2))), tl.ShapeError, "yhat and target must broadcast"),
        (lambda o, x: o.bce_with_logits(x, x, "mean", np.zeros(5)), tl.ShapeError, "logits and target and weight must broadcast"),
        (lambda o, x: o.huber_loss(x, x, delta=0), tl.OptionError, "delta must be greater than 0"),
        (lambda o, x: o.smooth_l1_loss(x, x, beta=-1), tl.OptionError, "beta must be a number of at least 0"),
        (lambda o, x: o.kl_div(x, x, "batch"), tl.OptionError, "reduction must be one of"),
        (lambda o, x: o.soft_cross_entropy(x, o.sum(x)), tl.ShapeError, "must have one shape"),
        (lambda o, x: o.soft_cross_entropy(x, x, label_smoothing=1.5), tl.OptionError, "at most 1"),
        (lambda o, x: o.cross_entropy(x, np.zeros((2, 3), int)), tl.ShapeError, "soft_cross_entropy takes probabilities"),
        (lambda o, x: o.group_norm(x, 2), tl.OptionError, "groups must divide the 3 channels"),
        (lambda o, x: o.instance_norm(o.sum(x)), tl.ShapeError, "x must have a batch axis"),
        (lambda o, x: o.rms_norm(x, np.ones(2)), tl.ShapeError, "weight must have shape"),
        (lambda o, x: o.rms_norm(x, eps=-1), tl.OptionError, "eps"),
        (lambda o, x: o.pairwise_distance(x, x, 0.5), tl.OptionError, "p must be a number of at least 1"),
        (lambda o, x: o.triplet_margin_loss(x, x, x, margin="wide"), tl.OptionError, "margin must be a number"),
    ],
)
def test_errors(call, error, message):
    m = tl.TapeM(dtype="float64")
    with pytest.raises(error, match=message):
        call(m, m.leaf(np.zeros((2, 3))))
