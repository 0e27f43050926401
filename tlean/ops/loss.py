"""Losses."""

from __future__ import annotations

import math
from typing import Any

from ..arguments import truth
from ..errors import OptionError, ShapeError
from ..shapes import broadcast_shapes, size
from .registry import defop, linear_jvp, no_gradient, no_tangent, whole
from .samples import Arr, bad, good
from .softmax import log_softmax_parts

#: The kernels' codes of the reductions.
_REDUCTIONS = ("none", "mean", "sum")


def reduction_name(reduction: str) -> str:
    if not isinstance(reduction, str) or reduction not in _REDUCTIONS:
        raise OptionError(f"reduction must be one of {', '.join(_REDUCTIONS)}")
    return reduction


def _paired(reduction: str, names: Any, *arrays: Any) -> Any:
    # The output's shape, for a loss of arrays that broadcast.
    shape = broadcast_shapes(names, arrays)
    if reduction == "mean" and size(shape) == 0:
        raise ShapeError("a mean must be over at least one element")
    return shape if reduction == "none" else ()


def _reduce(ops: Any, losses: Any, reduction: str) -> Any:
    return losses if reduction == "none" else ops.sum(losses) if reduction == "sum" else ops.mean(losses)


def _share(ops: Any, g: Any, losses_shape: Any, reduction: str) -> Any:
    """The cotangent of each loss, from the cotangent of what they were reduced to."""
    if reduction == "none":
        return g
    each = ops.scale(g, 1.0 / size(losses_shape)) if reduction == "mean" else g
    return ops.broadcast_to(each, losses_shape)


def _reductions(*shapes: Any, **options: Any) -> Any:
    return [good(*shapes, reduction=r, **options) for r in _REDUCTIONS]


class _Paired:
    """What losses of two arrays share. The kernels take arrays of one shape and no weights."""

    def options(first: Any, second: Any, *weights: Any, reduction: str = "mean") -> Any:
        return {"reduction": reduction_name(reduction)}

    def in_parts(first: Any, second: Any, *weights: Any, reduction: str) -> Any:
        return first != second or any(w is not None for w in weights)

    def kernel_params(first: Any, second: Any, *weights: Any, reduction: str) -> Any:  # (elements, reduction)
        return (size(first), _REDUCTIONS.index(reduction)), ()


class _PairedGrad:
    """What the gradients of these losses share."""

    def kernel_params(g: Any, first: Any, second: Any, *, reduction: str) -> Any:  # (elements, reduction)
        return (size(first), _REDUCTIONS.index(reduction)), ()


# Mean squared error -----------------------------------------------------------------------------------------------------


def _mse_samples() -> list[Any]:
    return [
        good((5,), (5,)),
        good((), ()),
        *_reductions((3, 7), (3, 7)),
        *_reductions((131, 129), (131, 129)),
        good((0, 3), (0, 3), reduction="sum"),
        *_reductions((2, 3), (3,)),
        *_reductions((4, 1), (1, 5)),
        good((3,), ()),
        good((2, 0), (1, 0), reduction="sum"),
        good((130, 1), (170,)),
        bad("ShapeError", (2, 3), (3, 2)),
        bad("ShapeError", (3, 1), (0,)),
        bad("ShapeError", (0,), (0,)),
        bad("OptionError", (3,), (3,), reduction="max"),
    ]


@defop("mse_loss", samples=_mse_samples)
class MseLoss(_Paired):
    """The mean (or sum, or array) of (yhat − target)²."""

    def shape(yhat: Any, target: Any, *, reduction: str) -> Any:
        return _paired(reduction, ("yhat", "target"), yhat, target)

    def vjp(ops: Any, g: Any, y: Any, yhat: Any, target: Any, *, reduction: str) -> Any:
        return ops._mse_loss_grad(g, yhat, target, reduction=reduction)

    def decompose(ops: Any, yhat: Any, target: Any, *, reduction: str) -> Any:
        return _reduce(ops, ops.square(ops.sub(yhat, target)), reduction)


def _paired_grad_samples() -> list[Any]:
    return [good((3, 7) if r == "none" else (), (3, 7), (3, 7), reduction=r) for r in _REDUCTIONS]


@defop("_mse_loss_grad", samples=_paired_grad_samples, outputs=("d_yhat", "d_target"))
class MseLossGrad(_PairedGrad):
    """2 (yhat − target) g, over the number of elements for the mean, and its negative."""

    def shape(g: Any, yhat: Any, target: Any, *, reduction: str) -> Any:
        return [yhat, target]

    def decompose(ops: Any, g: Any, yhat: Any, target: Any, *, reduction: str) -> Any:
        d = ops.scale(ops.mul(_share(ops, g, yhat.shape, reduction), ops.sub(yhat, target)), 2.0)
        return d, ops.neg(d)


# Binary cross-entropy ---------------------------------------------------------------------------------------------------


def _bce_samples() -> list[Any]:
    probabilities = Arr((3, 7), "values", data=tuple(tuple((i + j) % 5 / 4 for j in range(7)) for i in range(3)))
    return [
        *_reductions((3, 7), probabilities),
        good((), ()),
        good((70, 301), (70, 301)),
        good(Arr((4,), "values", data=(-1e4, 1e4, 90.0, -90.0)), Arr((4,), "values", data=(0.0, 1.0, 0.0, 1.0)), smooth=False),
        good((0, 3), (0, 3), reduction="sum"),
        *_reductions((3, 7), (7,)),
        good((3, 1), (1, 4)),
        *_reductions((3, 7), probabilities, (7,), (7,)),
        good((3, 7), probabilities, None, (7,)),
        good((3, 7), probabilities, Arr((3, 1), "positive")),
        good((3,), (3,), (2, 1), (), reduction="none"),
        good(Arr((4,), "values", data=(-1e4, 1e4, 90.0, -90.0)), Arr((4,), "values", data=(0.0, 1.0, 0.0, 1.0)), None, (4,), smooth=False),
        bad("ShapeError", (2, 3), (2, 3), (4,)),
        bad("ShapeError", (2, 3), (2,)),
        bad("ShapeError", (0,), (0,)),
        bad("OptionError", (3,), (3,), reduction=None),
    ]


@defop("bce_with_logits", samples=_bce_samples, optional=("weight", "pos_weight"), algebraic=False)
class BceWithLogits(_Paired):
    """Binary cross-entropy of logits: max(x, 0) − x t + log1p(e^−|x|) for a logit x and a target t; with a weight p of what is positive
    (1 − t) x + (1 + (p − 1) t) log1p(e^−x); times a weight.
    """

    def shape(logits: Any, target: Any, weight: Any = None, pos_weight: Any = None, *, reduction: str) -> Any:
        weights = {"weight": weight, "pos_weight": pos_weight}
        arrays = {"logits": logits, "target": target, **{n: w for n, w in weights.items() if w is not None}}
        return _paired(reduction, tuple(arrays), *arrays.values())

    def vjp(ops: Any, g: Any, y: Any, logits: Any, target: Any, weight: Any, pos_weight: Any, *, reduction: str) -> Any:
        return (*ops._bce_with_logits_grad(g, logits, target, reduction=reduction), None, None)

    def decompose(ops: Any, logits: Any, target: Any, weight: Any, pos_weight: Any, *, reduction: str) -> Any:
        # max(x, 0) + log1p(e^−|x|) is the softplus of x.
        if pos_weight is None:
            losses = ops.sub(ops.softplus(logits), ops.mul(logits, target))
        else:
            scale = ops.shift(ops.mul(ops.shift(pos_weight, -1.0), target), 1.0)
            losses = ops.add(ops.mul(ops.shift(ops.neg(target), 1.0), logits), ops.mul(scale, ops.softplus(ops.neg(logits))))
        return _reduce(ops, losses if weight is None else ops.mul(losses, weight), reduction)


@defop("_bce_with_logits_grad", samples=_paired_grad_samples, outputs=("d_logits", "d_target"), algebraic=False)
class BceWithLogitsGrad(_PairedGrad):
    """(σ(x) − t) g and −x g, over the number of elements for the mean."""

    def shape(g: Any, logits: Any, target: Any, *, reduction: str) -> Any:
        return [logits, target]

    def decompose(ops: Any, g: Any, logits: Any, target: Any, *, reduction: str) -> Any:
        each = _share(ops, g, logits.shape, reduction)
        return ops.mul(each, ops.sub(ops.sigmoid(logits), target)), ops.neg(ops.mul(each, logits))


# Cross-entropy of labels ------------------------------------------------------------------------------------------------


def label_options(ignore_index: Any, reduction: str) -> Any:
    return {"ignore_index": None if ignore_index is None else whole("ignore_index", ignore_index), "reduction": reduction_name(reduction)}


def check_labelled(scores: Any, labels: Any, weight: Any, name: Any) -> None:
    if not scores:
        raise ShapeError(f"{name} must have a last axis of classes")
    if labels != scores[:-1]:
        also = "; soft_cross_entropy takes probabilities" if labels == scores and name == "logits" else ""
        raise ShapeError(f"labels must have the shape of {name} without its last axis, {scores[:-1]}{also}")
    if scores[-1] == 0:
        raise ShapeError(f"{name} must have at least one class")
    if weight not in (None, (scores[-1],)):
        raise ShapeError(f"weight must have one factor a class, {(scores[-1],)}")


def _one_hot_samples() -> list[Any]:
    return [
        good(Arr((4,), "int", high=3), depth=3),
        good(Arr((), "int", high=5), depth=5),
        good(Arr((2, 3), "int", low=-2, high=6), depth=4),
        good(Arr((3,), "int", high=4), depth=4, ignore_index=2, strict=True),
        good(Arr((0,), "int"), depth=2),
    ]


@defop("_one_hot", samples=_one_hot_samples, dtypes={"labels": "int64"}, differentiable=False)
class OneHot:
    """1 at the label, 0 elsewhere, along a new last axis.

    All zeros for the label `ignore_index`, and for one outside [0, depth), unless `strict`: then that raises an IndexRangeError.
    """

    def options(labels: Any, *, depth: int, ignore_index: Any = None, strict: bool = False, dtype: Any = None) -> Any:
        return {"depth": depth, "ignore_index": ignore_index, "strict": truth("strict", strict), "dtype": dtype}

    def shape(labels: Any, *, depth: int, ignore_index: Any, strict: bool, dtype: Any) -> Any:
        return (*labels, depth)

    def kernel_params(
        labels: Any, *, depth: int, ignore_index: Any, strict: bool, dtype: Any
    ) -> Any:  # (labels, depth, is one ignored?, which, strict)
        return (size(labels), depth, ignore_index is not None, ignore_index or 0, strict), ()

    vjp = no_gradient
    jvp = no_tangent


class _AtLabel:
    # What `_pick` and `_unpick` have in common: they are each other's adjoint.
    def options(x: Any, labels: Any, *, depth: int, ignore_index: Any = None) -> Any:
        return {"depth": depth, "ignore_index": ignore_index}

    def kernel_params(x: Any, labels: Any, *, depth: int, ignore_index: Any) -> Any:  # (labels, depth, is one ignored?, which)
        return (size(labels), depth, ignore_index is not None, ignore_index or 0), ()


def _pick_samples() -> list[Any]:
    return [
        good((4, 3), Arr((4,), "int", high=3), depth=3),
        good((5,), Arr((), "int", high=5), depth=5),
        good((2, 3, 4), Arr((2, 3), "values", data=(0, 1, 9, 3, 9, 0)), depth=4, ignore_index=9),
        bad("IndexRangeError", (2, 3), Arr((2,), "values", data=(0, 3)), depth=3),
        bad("ShapeError", (2, 3), Arr((3,), "int"), depth=3),
    ]


@defop("_pick", samples=_pick_samples, dtypes={"labels": "int64"})
class Pick(_AtLabel):
    """The element of each row at its label, 0 for an ignored one: (*k, depth), (*k) → (*k)."""

    def shape(x: Any, labels: Any, *, depth: int, ignore_index: Any) -> Any:
        if x != (*labels, depth):
            raise ShapeError("labels must have the shape of x without its last axis")
        return labels

    def vjp(ops: Any, g: Any, y: Any, x: Any, labels: Any, *, depth: int, ignore_index: Any) -> Any:
        return ops._unpick(g, labels, depth=depth, ignore_index=ignore_index), None

    jvp = linear_jvp("_pick")

    def decompose(ops: Any, x: Any, labels: Any, *, depth: int, ignore_index: Any) -> Any:
        hot = ops._one_hot(labels, depth=depth, ignore_index=ignore_index, strict=True)
        return ops.reduce_sum(ops.where(hot, x, ops._full(shape=x.shape, value=0.0)), len(x.shape) - 1)


def _unpick_samples() -> list[Any]:
    return [good(s.args[1].shape, s.args[1], **s.options) for s in _pick_samples() if not s.raises]


@defop("_unpick", samples=_unpick_samples, dtypes={"labels": "int64"})
class Unpick(_AtLabel):
    """Rows that are 0 but at their labels: (*k), (*k) → (*k, depth)."""

    def shape(x: Any, labels: Any, *, depth: int, ignore_index: Any) -> Any:
        if x != labels:
            raise ShapeError("x and labels must have one shape")
        return (*labels, depth)

    def vjp(ops: Any, g: Any, y: Any, x: Any, labels: Any, *, depth: int, ignore_index: Any) -> Any:
        return ops._pick(g, labels, depth=depth, ignore_index=ignore_index), None

    jvp = linear_jvp("_unpick")

    def decompose(ops: Any, x: Any, labels: Any, *, depth: int, ignore_index: Any) -> Any:
        hot = ops._one_hot(labels, depth=depth, ignore_index=ignore_index, strict=True)
        over = ops.broadcast_to(ops.reshape(x, (*x.shape, 1)), hot.shape)
        return ops.where(hot, over, ops._full(shape=hot.shape, value=0.0))


class _Labelled:
    """What the rules of the labelled losses are made of: arrays (*k, C) that say which class counts, by which factor."""

    def __init__(self, ops: Any, scores: Any, labels: Any, weight: Any, ignore_index: Any) -> None:
        self.ops, self.shape = ops, scores.shape
        self.zero = ops._full(shape=scores.shape, value=0.0)
        self.hot = ops._one_hot(labels, depth=scores.shape[-1], ignore_index=ignore_index, strict=True)
        self.weights = None if weight is None else ops.broadcast_to(weight, scores.shape)
        #: w[label], 0 where ignored, at the label: (*k, C); and per label: (*k)
        self.hot_weight = self.hot if weight is None else ops.where(self.hot, self.weights, self.zero)
        self.label_weight = self.over_classes(self.hot_weight)

    def over_classes(self, x: Any) -> Any:
        return self.ops.reduce_sum(x, len(self.shape) - 1)

    def spread(self, per_label: Any) -> Any:
        return self.ops.broadcast_to(self.ops.reshape(per_label, (*self.shape[:-1], 1)), self.shape)

    def at_label(self, x: Any) -> Any:
        """x at the label, exactly 0 elsewhere."""
        return self.ops.where(self.hot, x, self.zero)

    def where_counted(self, x: Any) -> Any:
        """x in the rows whose label counts, exactly 0 in the others."""
        return self.ops.where(self.spread(self.over_classes(self.hot)), x, self.zero)

    def weighted(self, x: Any) -> Any:
        return x if self.weights is None else self.ops.mul(x, self.weights)

    def reduce(self, losses: Any, reduction: str) -> Any:
        if reduction == "none":
            return losses
        total = self.ops.sum(losses)
        return total if reduction == "sum" else self.ops.div(total, self.ops.sum(self.label_weight))

    def share(self, g: Any, reduction: str) -> Any:
        """The cotangent of each row's loss, spread over the classes."""
        if reduction == "none":
            return self.spread(g)
        each = self.ops.div(g, self.ops.sum(self.label_weight)) if reduction == "mean" else g
        return self.ops.broadcast_to(each, self.shape)


def _cross_entropy_samples() -> list[Any]:
    labels = Arr((4,), "int", high=3)
    weight = Arr((3,), "positive")
    some = Arr((5,), "values", data=(0, 2, -100, 1, 2))
    return [
        good((4, 3), labels),
        good((3,), Arr((), "int", high=3)),
        *(good((4, 3), labels, weight, label_smoothing=e, reduction=r) for e in (0.0, 0.1) for r in _REDUCTIONS),
        *(good((5, 3), some, w, label_smoothing=e, ignore_index=-100) for e in (0.0, 0.3) for w in (None, weight)),
        good((5, 3), some, None, ignore_index=-100, reduction="none"),
        good((5, 3), some, weight, ignore_index=-100, label_smoothing=1.0, reduction="sum"),
        good((2, 3, 70), Arr((2, 3), "int", high=70), Arr((70,), "positive"), label_smoothing=0.2),
        good((130, 10), Arr((130,), "int", high=10)),
        good((4, 1), Arr((4,), "int")),
        good((0, 3), Arr((0,), "int"), reduction="sum"),
        bad("ShapeError", (4, 3), Arr((3,), "int")),
        bad("ShapeError", (4, 3), Arr((4, 3), "int")),
        bad("ShapeError", (4, 3), labels, (4,)),
        bad("ShapeError", (4, 0), labels),
        bad("ShapeError", (), Arr((), "int")),
        bad("OptionError", (4, 3), labels, label_smoothing=1.5),
        bad("OptionError", (4, 3), labels, reduction="average"),
        bad("DTypeError", (4, 3), (4,)),
        bad("IndexRangeError", (4, 3), Arr((4,), "values", data=(0, 1, 3, 2))),
    ]


def _labelled_ints(scores: Any, ignore_index: Any, reduction: str) -> Any:
    # (labels, classes, is a label ignored?, which, reduction)
    return (size(scores[:-1]), scores[-1], ignore_index is not None, ignore_index or 0, _REDUCTIONS.index(reduction))


@defop(
    "cross_entropy",
    samples=_cross_entropy_samples,
    optional=("weight",),
    dtypes={"labels": "int64"},
    residuals=("top", "log_total"),
    algebraic=False,
    source="Szegedy et al. 2016, section 7 (smoothing)",
)
class CrossEntropy:
    """Cross-entropy of integer labels under the softmax of the last axis.

    A row with label t loses −(1 − ε) w[t] ln p[t] − (ε/C) Σ_c w[c] ln p[c], with ε the smoothing; an ignored one loses 0. The mean divides
    the sum by Σ w[t] over the labels that count. The residuals are each row's maximum and ln Σ e^(x − maximum).
    """

    def options(
        logits: Any, labels: Any, weight: Any = None, *, label_smoothing: float = 0.0, ignore_index: Any = None, reduction: str = "mean"
    ) -> Any:
        smoothing = float(label_smoothing)
        if not 0.0 <= smoothing <= 1.0:
            raise OptionError("label_smoothing must be at least 0 and at most 1")
        return {"label_smoothing": smoothing, **label_options(ignore_index, reduction)}

    def shape(logits: Any, labels: Any, weight: Any = None, *, label_smoothing: float, ignore_index: Any, reduction: str) -> Any:
        check_labelled(logits, labels, weight, "logits")
        return labels if reduction == "none" else ()

    def residual_specs(logits: Any, labels: Any, weight: Any, *, label_smoothing: float, ignore_index: Any, reduction: str) -> Any:
        return [labels, labels]

    def kernel_params(
        logits: Any, labels: Any, weight: Any, *, label_smoothing: float, ignore_index: Any, reduction: str
    ) -> Any:  # floats = (smoothing,)
        return _labelled_ints(logits, ignore_index, reduction), (label_smoothing,)

    def vjp(ops, g, y, logits, labels, weight, *, label_smoothing, ignore_index, reduction, top, log_total):
        d_logits = ops._cross_entropy_grad(
            g, logits, labels, weight, top, log_total, label_smoothing=label_smoothing, ignore_index=ignore_index, reduction=reduction
        )
        if weight is None:
            return d_logits, None, None
        # ∂/∂w[c] of the numerator, and for the mean −loss · ∂/∂w[c] of the denominator, row by row.
        rows = _Labelled(ops, logits, labels, weight, ignore_index)
        log_p = log_softmax_parts(ops, logits, len(logits.shape) - 1)
        terms = ops.scale(rows.at_label(log_p), label_smoothing - 1.0)
        if label_smoothing:
            terms = ops.sub(terms, ops.scale(rows.where_counted(log_p), label_smoothing / logits.shape[-1]))
        if reduction == "mean":
            terms = ops.sub(terms, ops.mul(rows.hot, ops.broadcast_to(y, logits.shape)))
        terms = ops.mul(rows.share(g, reduction), terms)
        return d_logits, None, ops.reduce_sum(terms, tuple(range(len(logits.shape) - 1)))

    def decompose(ops: Any, logits: Any, labels: Any, weight: Any, *, label_smoothing: float, ignore_index: Any, reduction: str) -> Any:
        rows = _Labelled(ops, logits, labels, weight, ignore_index)
        log_p = rows.weighted(log_softmax_parts(ops, logits, len(logits.shape) - 1))
        losses = ops.scale(rows.over_classes(rows.at_label(log_p)), label_smoothing - 1.0)
        if label_smoothing:
            losses = ops.sub(losses, ops.scale(rows.over_classes(rows.where_counted(log_p)), label_smoothing / logits.shape[-1]))
        return rows.reduce(losses, reduction)


def _cross_entropy_grad_samples() -> list[Any]:
    rows = ((0.5, -1.0, 2.0), (1.0, 1.0, -3.0), (0.0, 4.0, 0.25), (-1.0, -2.0, -0.5))
    logits = Arr((4, 3), "values", data=rows)
    # The hints are right; they stay what they are when the logits move, so a finite difference means nothing.
    top = Arr((4,), "values", data=tuple(max(r) for r in rows))
    log_total = Arr((4,), "values", data=tuple(math.log(sum(math.exp(v - max(r)) for v in r)) for r in rows))
    labels = Arr((4,), "values", data=(0, 2, 5, 1))
    return [
        good((4,) if r == "none" else (), logits, labels, w, top, log_total, label_smoothing=e, ignore_index=5, reduction=r, smooth=False)
        for r in _REDUCTIONS
        for w, e in ((None, 0.0), (None, 0.1), (Arr((3,), "positive"), 0.1))
    ]


@defop("_cross_entropy_grad", samples=_cross_entropy_grad_samples, optional=("weight",), dtypes={"labels": "int64"}, algebraic=False)
class CrossEntropyGrad:
    """The gradient of `cross_entropy` to the logits; `top` and `log_total` are hints.

    Row with label t: (p A − B) times its cotangent, A = (1 − ε) w[t] + (ε/C) Σ_c w[c], B[c] = (1 − ε) w[t] [c = t] + (ε/C) w[c].
    """

    def shape(g, logits, labels, weight, top, log_total, *, label_smoothing, ignore_index, reduction):
        return logits

    def kernel_params(g, logits, labels, weight, top, log_total, *, label_smoothing, ignore_index, reduction):
        return _labelled_ints(logits, ignore_index, reduction), (label_smoothing,)

    def decompose(ops, g, logits, labels, weight, top, log_total, *, label_smoothing, ignore_index, reduction):
        rows = _Labelled(ops, logits, labels, weight, ignore_index)
        p = ops.exp(log_softmax_parts(ops, logits, len(logits.shape) - 1))
        wanted = ops.scale(rows.hot_weight, 1.0 - label_smoothing)
        if label_smoothing:
            every = rows.weighted(ops._full(shape=logits.shape, value=label_smoothing / logits.shape[-1]))
            wanted = ops.add(wanted, every)
        # A is the sum of B over the classes.
        d = ops.sub(ops.mul(p, rows.spread(rows.over_classes(wanted))), wanted)
        return rows.where_counted(ops.mul(rows.share(g, reduction), d))
