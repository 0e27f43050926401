"""Losses."""

from __future__ import annotations

from typing import Any

import tlean as tl

from ..samples import Skip
from .common import is_float, rank


def _reduction(reduction: str = "mean", size_average: Any = None, reduce: Any = None) -> str:
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def two(f: Any, **names: str) -> Any:
    """A loss of two arrays, with PyTorch's three ways to say how it is reduced."""

    def call(x: Any, target: Any, *, size_average: Any = None, reduce: Any = None, reduction: str = "mean", **more: Any) -> Any:
        named = {names.get(k, k): v for k, v in more.items() if k not in ("inplace",)}
        return f(x, target, reduction=_reduction(reduction, size_average, reduce), **named)

    return call


def _classes_last(x: Any) -> Any:
    return tl.moveaxis(x, 1, -1) if rank(x) > 2 else x


def _labels(x: Any, target: Any, *, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    return tl.nll_loss(_classes_last(x), target, weight, ignore_index, reduction)


def _cross_entropy(
    x: Any, target: Any, *, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
) -> Any:
    if not is_float(target):
        if 0 in x.shape:
            raise Skip("a loss of nothing")
        return tl.cross_entropy(_classes_last(x), target, weight, label_smoothing, ignore_index, reduction)
    return tl.soft_cross_entropy(_classes_last(x), _classes_last(target), weight, label_smoothing, reduction)


def _kl_div(x: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Any:
    if reduction == "batchmean":
        return tl.kl_div(x, target, "sum", log_target) / (x.shape[0] if rank(x) else 1)
    return tl.kl_div(x, target, reduction, log_target)


def _gaussian(x: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> Any:
    if rank(var) and rank(var) < rank(x):
        var = tl.expand_dims(var, -1)
    return tl.gaussian_nll_loss(x, target, var, reduction, full, eps)


def _poisson(x: Any, target: Any, log_input: bool = True, full: bool = False, size_average: Any = None, eps: float = 1e-8,
             reduce: Any = None, reduction: str = "mean") -> Any:  # fmt: skip
    return tl.poisson_nll_loss(x, target, _reduction(reduction, size_average, reduce), log_input, full, eps)


def _hinge_embedding(
    x: Any, target: Any, *, margin: float = 1.0, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    # PyTorch takes any numbers for targets; tlean 1 and −1.
    target = tl.stop_gradient(target)
    y = tl.where(target == 1, 0.0, tl.relu(margin - x)) + tl.where(target == -1, 0.0, x)
    return _reduced(y, _reduction(reduction, size_average, reduce))


def _triplet(a: Any, p: Any, n: Any, *, margin: float = 1.0, p_: Any = None, eps: float = 1e-6, swap: bool = False, reduction: str = "mean",
             **more: Any) -> Any:  # fmt: skip
    return tl.triplet_margin_loss(a, p, n, reduction, margin, more.get("p", 2.0), eps, swap)


def _triplet_by(
    a: Any, p: Any, n: Any, *, distance_function: Any = None, margin: float = 1.0, swap: bool = False, reduction: str = "mean"
) -> Any:
    if distance_function is None:
        return tl.triplet_margin_loss(a, p, n, reduction, margin, swap=swap)
    raise Skip("a distance that is written in PyTorch")


def _multi_margin(x: Any, target: Any, *, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean") -> Any:
    rows = x if rank(x) > 1 else tl.reshape(x, (1, -1))
    labels = target if rank(target) else tl.reshape(target, (1,))
    own = tl.take_along_axis(rows, tl.expand_dims(labels, 1), 1)
    excess = tl.relu(margin - own + rows)
    excess = excess if p == 1 else tl.square(excess)
    factor = 1.0 if weight is None else tl.expand_dims(tl.take(weight, labels, 0), 1)
    others = tl.arange(rows.shape[1]) != tl.expand_dims(labels, 1)
    y = tl.sum(tl.where(others, excess * factor, 0.0), 1) / rows.shape[1]
    return _reduced(y if rank(x) > 1 else y[0], reduction)


def _reduced(y: Any, reduction: str) -> Any:
    return {"mean": tl.mean, "sum": tl.sum, "none": lambda v: v}[reduction](y)


def _multilabel_margin(x: Any, target: Any, *, reduction: str = "mean") -> Any:
    rows, labels = (v if rank(v) > 1 else tl.reshape(v, (1, -1)) for v in (x, target))
    named = tl.cumprod(tl.where(labels >= 0, 1.0, 0.0), 1)
    spots = tl.maximum(labels, 0)
    hits = tl.einsum("nk,nkc->nc", named, tl.one_hot(spots, rows.shape[1], dtype="float64")) > 0
    own = tl.take_along_axis(rows, spots, 1)
    excess = tl.relu(1 - tl.expand_dims(own, 2) + tl.expand_dims(rows, 1))
    terms = tl.where(tl.expand_dims(hits, 1), 0.0, excess) * tl.expand_dims(named, 2)
    y = tl.sum(terms, (1, 2)) / rows.shape[1]
    return _reduced(y if rank(x) > 1 else y[0], reduction)


ADAPTERS = {
    "nn.functional.binary_cross_entropy": two(tl.binary_cross_entropy),
    "nn.functional.binary_cross_entropy_with_logits": two(tl.bce_with_logits),
    "nn.functional.cosine_embedding_loss": lambda a, b, target, margin=0.0, reduction="mean", size_average=None, reduce=None: (
        tl.cosine_embedding_loss(a, b, tl.stop_gradient(target), _reduction(reduction, size_average, reduce), margin)),
    "nn.functional.cross_entropy": _cross_entropy,
    "nn.functional.gaussian_nll_loss": _gaussian,
    "nn.functional.hinge_embedding_loss": _hinge_embedding,
    "nn.functional.huber_loss": two(tl.huber_loss),
    "nn.functional.kl_div": _kl_div,
    "nn.functional.l1_loss": two(tl.l1_loss),
    "nn.functional.margin_ranking_loss": lambda a, b, target, margin=0.0, reduction="mean", size_average=None, reduce=None: (
        tl.margin_ranking_loss(a, b, target, _reduction(reduction, size_average, reduce), margin)),
    "nn.functional.mse_loss": two(tl.mse_loss),
    "nn.functional.multi_margin_loss": _multi_margin,
    "nn.functional.multilabel_margin_loss": _multilabel_margin,
    "nn.functional.multilabel_soft_margin_loss": two(tl.multilabel_soft_margin_loss),
    "nn.functional.nll_loss": _labels,
    "nn.functional.poisson_nll_loss": _poisson,
    "nn.functional.smooth_l1_loss": two(tl.smooth_l1_loss),
    "nn.functional.soft_margin_loss": two(tl.soft_margin_loss),
    "nn.functional.triplet_margin_loss": _triplet,
    "nn.functional.triplet_margin_with_distance_loss": _triplet_by,
}  # fmt: skip
