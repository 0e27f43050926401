"""Connectionist temporal classification: a sequence of labels from scores at more moments than there are labels.

Between, before and after the labels there may be blanks. alpha[s] is the logarithm of the probability of all ways to have come to state s
of (blank, label 1, blank, label 2, ..., blank); a state follows itself, the one before, and the label before unless it is the same one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ...errors import OptionError, ShapeError, completing
from ...shapes import stretching
from ..loss import reduction_name
from ..registry import array, composite, whole
from ..windows.pools import own
from .reductions import reduced

#: The logarithm of a probability of 0: finite, so that no derivative is NaN. What is below a tenth of it is impossible.
_NEVER = -1e30


def _padded(ops: Any, targets: Any, lengths: Any, n: int) -> Any:
    # Labels one after another as rows.
    if hasattr(lengths, "ops") or not isinstance(lengths, Iterable):
        raise ShapeError("target_lengths must be plain integers where targets holds the labels one after another")
    counts = [whole("target_lengths", k) for k in lengths]
    if len(counts) != n or sum(counts) != targets.shape[0] or min(counts, default=0) < 0:
        raise ShapeError("target_lengths must hold a length for each sequence, and add up to the number of targets")
    starts = [sum(counts[:k]) for k in range(n)]
    places = [[first + j if j < count else -1 for j in range(max(counts, default=0))] for first, count in zip(starts, counts, strict=True)]
    return ops.take(targets, ops.reshape(ops._own_constant(places), (n, max(counts, default=0))), 0, "drop")


def _later(ops: Any, x: Any, by: int, shape: tuple[int, int]) -> Any:
    # Each state's score at the state `by` before it.
    n, states = shape
    if by >= states:
        return ops.apply("_full", (), {"shape": shape, "value": _NEVER, "dtype": x.dtype})
    return ops.pad(ops.slice(x, (0, 0), (n, states - by)), ((0, 0), (by, 0)), _NEVER)


def _wide(ops: Any, x: Any, shape: tuple[int, int]) -> Any:
    return ops.broadcast_to(ops.reshape(x, (shape[0], 1)), shape)


def _logs(ops: Any, log_probs: Any, labels: Any, lengths: tuple[Any, Any], blank: int) -> Any:
    # The logarithm of the probability of each row of labels.
    moments, n, _ = log_probs.shape
    many = labels.shape[1]
    shape = (n, 2 * many + 1)
    blanks = ops.apply("_full", (), {"shape": (n, many + 1), "value": blank, "dtype": "int64"})
    pairs = ops.stack([ops.slice(blanks, (0, 0), (n, many)), labels], 2)
    path = ops.concat([ops.reshape(pairs, (n, 2 * many)), ops.slice(blanks, (0, 0), (n, 1))], 1)
    scores = ops.take_along_axis(log_probs, ops.reshape(path, (1, *shape)), -1, "strict")
    scores = ops.clamp(scores, _NEVER, math.inf)
    # Two states on, past a blank: to a label that is not the one before.
    before = ops.pad(ops.slice(path, (0, 0), (n, max(shape[1] - 2, 0))), ((0, 0), (min(2, shape[1]), 0)), blank)
    skips = ops.not_equal(path, before)
    number = ops.broadcast_to(ops.reshape(ops.arange(shape[1]), (1, shape[1])), shape)
    alpha = ops.where(ops.less(number, 2), ops.reshape(ops.slice(scores, (0, 0, 0), (1, *shape)), shape), _NEVER)
    for moment in range(1, moments):
        passing = ops.where(skips, _later(ops, alpha, 2, shape), _NEVER)
        come = ops.logsumexp(ops.stack([alpha, _later(ops, alpha, 1, shape), passing], 0), 0)
        following = ops.add(come, ops.reshape(ops.slice(scores, (moment, 0, 0), (moment + 1, *shape)), shape))
        alpha = ops.where(_wide(ops, ops.greater(lengths[0], moment), shape), following, alpha)
    last = ops.reshape(ops.mul(lengths[1], 2), (n, 1))
    ends = ops.take_along_axis(alpha, ops.concat([last, ops.sub(last, 1)], 1), -1, "drop")
    ends = ops.where(ops.less(ops.concat([last, ops.sub(last, 1)], 1), 0), _NEVER, ends)
    return ops.logsumexp(ends, 1)


def _length(ops: Any, x: Any, n: int, option: str) -> Any:
    x = own(ops, x, option)
    if tuple(x.shape) not in ((n,), ()):
        raise ShapeError(f"{option} must hold {n} integers")
    return ops.broadcast_to(x, (n,)) if x.shape == () else x


@composite
@stretching
def ctc_loss(
    ops: Any,
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
    *,
    name: str | None = None,
) -> Any:
    """−ln of the probability of a sequence of labels, whatever the blanks between them."""
    log_probs, targets = array(ops, log_probs, "ctc_loss: log_probs"), own(ops, targets, "ctc_loss: targets")
    with completing("ctc_loss", log_probs=log_probs, targets=targets, blank=blank, reduction=reduction, zero_infinity=zero_infinity):
        how, single = reduction_name(reduction), len(log_probs.shape) == 2
        if len(log_probs.shape) not in (2, 3) or min(log_probs.shape[0], log_probs.shape[-1]) < 1 or len(targets.shape) not in (1, 2):
            raise ShapeError("log_probs must have the shape (T, N, C) or (T, C), and targets (N, S) or (sum of target_lengths,)")
        if single:
            log_probs = ops.reshape(log_probs, (log_probs.shape[0], 1, log_probs.shape[1]))
        n = log_probs.shape[1]
        if not 0 <= whole("blank", blank) < log_probs.shape[-1]:
            raise OptionError(f"blank must be one of the {log_probs.shape[-1]} classes")
        if len(targets.shape) == 1:
            targets = ops.reshape(targets, (1, targets.shape[0])) if single else _padded(ops, targets, target_lengths, n)
        if targets.shape[0] != n:
            raise ShapeError(f"targets must have a row for each of the {n} sequences")
        lengths = _length(ops, input_lengths, n, "input_lengths"), _length(ops, target_lengths, n, "target_lengths")
        # Labels past the end of a row may be anything.
        number = ops.broadcast_to(ops.reshape(ops.arange(targets.shape[1]), (1, targets.shape[1])), tuple(targets.shape))
        targets = ops.where(ops.less(number, _wide(ops, lengths[1], tuple(targets.shape))), targets, blank)
        logs = _logs(ops, log_probs, targets, lengths, whole("blank", blank))
        losses = ops.where(ops.less(logs, _NEVER / 10), 0.0 if zero_infinity else math.inf, ops.neg(logs))
        if how == "mean":
            losses = ops.div(losses, ops.astype(ops.clamp(lengths[1], 1, 1 << 30), losses.dtype))
        return reduced(ops, ops.reshape(losses, ()) if single else losses, reduction, name)
