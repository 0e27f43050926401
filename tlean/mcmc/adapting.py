"""Adaptation while a chain warms up: the length of steps by dual averaging, the mass by the variance of the draws in growing windows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import tlean.functions as F

from .trajectories import Metric

#: Of dual averaging: Hoffman & Gelman 2014, section 3.2.
SHRINKAGE, DELAY, DECAY = 0.05, 10.0, 0.75


class Length(NamedTuple):
    """The length of steps as it is averaged.

    Attributes:
        log: of the length to take.
        averaged: the logarithm of the length at the end.
        error: the mean of what the acceptance lacks.
        steps: since the last restart.
        center: what the lengths shrink to.
    """

    log: Any
    averaged: Any
    error: Any
    steps: Any
    center: Any


def restarted(log: Any) -> Length:
    """The average from a length on.

    Args:
        log: the logarithm of the length.
    """
    zero = 0.0 * log
    return Length(log, zero, zero, zero, log + float(np.log(10.0)))


def averaged(length: Length, acceptance: Any, target: float) -> Length:
    """The average with one more acceptance.

    Args:
        length: so far.
        acceptance: of the last trajectory.
        target: that to come to.
    """
    steps = length.steps + 1.0
    share = 1.0 / (steps + DELAY)
    error = (1.0 - share) * length.error + share * (target - acceptance)
    log = length.center - F.sqrt(steps) / SHRINKAGE * error
    weight = steps ** (-DECAY)
    return Length(log, weight * log + (1.0 - weight) * length.averaged, error, steps, length.center)


class Moments(NamedTuple):
    """Mean and summed squares of draws so far (Welford)."""

    count: Any
    mean: Any
    squares: Any


def none(n: int, dtype: str, dense: bool) -> Moments:
    """No draws yet."""
    return Moments(F.zeros((), dtype=dtype), F.zeros((n,), dtype=dtype), F.zeros((n, n) if dense else (n,), dtype=dtype))


def added(moments: Moments, x: Any) -> Moments:
    """The moments with one more draw.

    Args:
        moments: so far.
        x: the draw.
    """
    count = moments.count + 1.0
    before = x - moments.mean
    mean = moments.mean + before / count
    after = x - mean
    dense = len(moments.squares.shape) == 2
    return Moments(count, mean, moments.squares + (F.outer(before, after) if dense else before * after))


def metric_of(moments: Moments) -> Metric:
    """The inverse mass by a window's draws: their variance, drawn a little towards a small one."""
    count = moments.count
    share = 5.0 / (count + 5.0)
    variance = (1.0 - share) / F.maximum(count - 1.0, 1.0) * moments.squares
    if len(variance.shape) == 1:
        inverse = variance + 1e-3 * share
        return Metric(inverse, F.sqrt(inverse))
    inverse = variance + 1e-3 * share * F.eye(int(variance.shape[0]), dtype=str(variance.dtype))
    inverse = 0.5 * (inverse + inverse.T)
    return Metric(inverse, F.linalg_cholesky(inverse))


def windows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which draws of a warm-up count for the mass, and after which it changes: windows that double, between two without.

    Args:
        count: of draws that warm up.
    """
    counts, ends = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    if count < 20:
        return counts, ends
    begin, rest = (75, 50) if count >= 150 else (int(0.15 * count), int(0.1 * count))
    last, size, start = count - rest, 25 if count >= 150 else count, begin
    while start < last:
        # A window that would leave less than twice its size takes all that is left.
        end = start + size if start + 3 * size <= last else last
        ends[end - 1] = True
        start, size = end, 2 * size
    counts[begin:last] = True
    return counts, ends
