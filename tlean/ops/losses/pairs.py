"""Losses of values and targets, element by element. The two broadcast."""

from __future__ import annotations

import math
from typing import Any

from ...errors import OptionError, completing
from ..registry import array, composite
from .reductions import number, reduced

#: The smallest argument of a logarithm that is multiplied by it: below, the product is 0 to rounding.
_TINY = 1.1754943508222875e-38


def _pair(ops: Any, op: str, names: tuple[str, str], first: Any, second: Any) -> tuple[Any, Any]:
    return array(ops, first, f"{op}: {names[0]}"), array(ops, second, f"{op}: {names[1]}")


@composite
def l1_loss(ops: Any, yhat: Any, target: Any, reduction: str = "mean", *, name: str | None = None) -> Any:
    """The mean (or sum, or array) of |yhat − target|."""
    yhat, target = _pair(ops, "l1_loss", ("yhat", "target"), yhat, target)
    with completing("l1_loss", yhat=yhat, target=target, reduction=reduction):
        return reduced(ops, ops.abs(ops.sub(yhat, target)), reduction, name)


def _huber(ops: Any, d: Any, delta: float) -> Any:
    # With c = d clamped to ±delta, both branches of Huber's function are c (d − c/2).
    c = ops.clamp(d, -delta, delta)
    return ops.mul(c, ops.sub(d, ops.scale(c, 0.5)))


@composite
def huber_loss(ops: Any, yhat: Any, target: Any, reduction: str = "mean", delta: float = 1.0, *, name: str | None = None) -> Any:
    """Half the square of d = yhat − target where |d| ≤ delta, else delta (|d| − delta/2)."""
    yhat, target = _pair(ops, "huber_loss", ("yhat", "target"), yhat, target)
    with completing("huber_loss", yhat=yhat, target=target, reduction=reduction, delta=delta):
        width = number("delta", delta, 0.0)
        if width == 0:
            raise OptionError("delta must be greater than 0")
        return reduced(ops, _huber(ops, ops.sub(yhat, target), width), reduction, name)


@composite
def smooth_l1_loss(ops: Any, yhat: Any, target: Any, reduction: str = "mean", beta: float = 1.0, *, name: str | None = None) -> Any:
    """d²/(2 beta) where d = yhat − target and |d| ≤ beta, else |d| − beta/2."""
    yhat, target = _pair(ops, "smooth_l1_loss", ("yhat", "target"), yhat, target)
    with completing("smooth_l1_loss", yhat=yhat, target=target, reduction=reduction, beta=beta):
        width, d = number("beta", beta, 0.0), ops.sub(yhat, target)
        return reduced(ops, ops.scale(_huber(ops, d, width), 1.0 / width) if width else ops.abs(d), reduction, name)


@composite
def binary_cross_entropy(ops: Any, probs: Any, target: Any, weight: Any = None, reduction: str = "mean", *, name: str | None = None) -> Any:
    """−t ln p − (1 − t) ln(1 − p), a logarithm at least −100."""
    probs, target = _pair(ops, "binary_cross_entropy", ("probs", "target"), probs, target)
    with completing("binary_cross_entropy", probs=probs, target=target, weight=weight, reduction=reduction):
        least = math.exp(-100.0)
        of_1 = ops.mul(target, ops.log(ops.clamp(probs, least, math.inf)))
        of_0 = ops.mul(ops.shift(ops.neg(target), 1.0), ops.log(ops.clamp(ops.shift(ops.neg(probs), 1.0), least, math.inf)))
        losses = ops.neg(ops.add(of_1, of_0))
        return reduced(ops, losses if weight is None else ops.mul(losses, weight), reduction, name)


@composite
def kl_div(ops: Any, log_probs: Any, target: Any, reduction: str = "mean", log_target: bool = False, *, name: str | None = None) -> Any:
    """t (ln t − log_probs), or e^t (t − log_probs) where targets are logarithms."""
    log_probs, target = _pair(ops, "kl_div", ("log_probs", "target"), log_probs, target)
    with completing("kl_div", log_probs=log_probs, target=target, reduction=reduction, log_target=log_target):
        if log_target:
            losses = ops.mul(ops.exp(target), ops.sub(target, log_probs))
        else:
            losses = ops.mul(target, ops.sub(ops.log(ops.clamp(target, _TINY, math.inf)), log_probs))
        if reduction != "batchmean":
            return reduced(ops, losses, reduction, name)
        rows = losses.shape[0] if losses.shape else 1
        return ops.scale(ops.sum(losses), 1.0 / rows if rows else math.nan, name=name)


@composite
def poisson_nll_loss(
    ops: Any,
    yhat: Any,
    target: Any,
    reduction: str = "mean",
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    *,
    name: str | None = None,
) -> Any:
    """e^x − t x for the logarithm x of a rate, or x − t ln(x + eps) for the rate itself; with `full`, and Stirling's ln t! where t > 1."""
    yhat, target = _pair(ops, "poisson_nll_loss", ("yhat", "target"), yhat, target)
    with completing("poisson_nll_loss", yhat=yhat, target=target, reduction=reduction, log_input=log_input, full=full, eps=eps):
        if log_input:
            losses = ops.sub(ops.exp(yhat), ops.mul(target, yhat))
        else:
            losses = ops.sub(yhat, ops.mul(target, ops.log(ops.shift(yhat, number("eps", eps, 0.0)))))
        if full:
            # Below 1 the count is taken for e/√(2π e): there the formula is 0 but for rounding, and what is kept of it exactly 0.
            above = ops.greater(target, ops.broadcast_to(ops.const(1.0), tuple(target.shape)))
            t = ops.clamp(target, 1.0, math.inf)
            factorial = ops.add(ops.sub(ops.mul(t, ops.log(t)), t), ops.scale(ops.log(ops.scale(t, 2.0 * math.pi)), 0.5))
            losses = ops.add(losses, ops.mul(above, factorial))
        return reduced(ops, losses, reduction, name)


@composite
def gaussian_nll_loss(
    ops: Any,
    yhat: Any,
    target: Any,
    var: Any,
    reduction: str = "mean",
    full: bool = False,
    eps: float = 1e-6,
    *,
    name: str | None = None,
) -> Any:
    """½ (ln v + (yhat − target)²/v) for a variance v of at least eps; with `full`, and ½ ln 2π."""
    yhat, target = _pair(ops, "gaussian_nll_loss", ("yhat", "target"), yhat, target)
    var = array(ops, var, "gaussian_nll_loss: var")
    with completing("gaussian_nll_loss", yhat=yhat, target=target, var=var, reduction=reduction, full=full, eps=eps):
        v = ops.clamp(var, number("eps", eps, 0.0), math.inf)
        losses = ops.scale(ops.add(ops.log(v), ops.div(ops.square(ops.sub(yhat, target)), v)), 0.5)
        return reduced(ops, ops.shift(losses, 0.5 * math.log(2.0 * math.pi)) if full else losses, reduction, name)


@composite
def hinge_embedding_loss(ops: Any, x: Any, target: Any, reduction: str = "mean", margin: float = 1.0, *, name: str | None = None) -> Any:
    """The distance x where the target is 1, max(0, margin − x) where it is −1."""
    x, target = _pair(ops, "hinge_embedding_loss", ("x", "target"), x, target)
    with completing("hinge_embedding_loss", x=x, target=target, reduction=reduction, margin=margin):
        share = ops.scale(ops.shift(target, 1.0), 0.5)
        apart = ops.relu(ops.shift(ops.neg(x), number("margin", margin)))
        losses = ops.add(ops.mul(share, x), ops.mul(ops.shift(ops.neg(share), 1.0), apart))
        return reduced(ops, losses, reduction, name)


@composite
def soft_margin_loss(ops: Any, x: Any, target: Any, reduction: str = "mean", *, name: str | None = None) -> Any:
    """ln(1 + e^(−t x)) for a target t of 1 or −1."""
    x, target = _pair(ops, "soft_margin_loss", ("x", "target"), x, target)
    with completing("soft_margin_loss", x=x, target=target, reduction=reduction):
        return reduced(ops, ops.softplus(ops.neg(ops.mul(target, x))), reduction, name)


@composite
def margin_ranking_loss(
    ops: Any, a: Any, b: Any, target: Any, reduction: str = "mean", margin: float = 0.0, *, name: str | None = None
) -> Any:
    """max(0, margin − t (a − b)): a is to be above b where the target t is 1, below where it is −1."""
    a, b = _pair(ops, "margin_ranking_loss", ("a", "b"), a, b)
    target = array(ops, target, "margin_ranking_loss: target")
    with completing("margin_ranking_loss", a=a, b=b, target=target, reduction=reduction, margin=margin):
        wrong = ops.shift(ops.neg(ops.mul(target, ops.sub(a, b))), number("margin", margin))
        return reduced(ops, ops.relu(wrong), reduction, name)
