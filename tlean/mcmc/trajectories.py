"""Trajectories of the No-U-Turn sampler: trees that double in a random direction until they turn back, without recursion.

A tree of 2^d leaves is built leaf by leaf. A subtree has turned back where its ends move towards each other; of each subtree that is not
yet complete only the first leaf is kept. Which rows are to be looked at follows from the bits of a leaf's number.
Source: Hoffman & Gelman 2014; Betancourt 2017; Phan, Pradhan & Jankowiak 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tlean.functions as F
from tlean.arguments.literals import FloatName
from tlean.loops import while_loop

#: An energy that is off by so much is one of a trajectory that diverges.
DIVERGENCE = 1000.0


class Point(NamedTuple):
    """A place with its log density and gradient."""

    x: Any
    value: Any
    slope: Any


class Leaf(NamedTuple):
    """An end of a trajectory."""

    x: Any
    momentum: Any
    slope: Any


class Trajectory(NamedTuple):
    """What a trajectory gives: the draw, the mean probability to accept, how many leaves, how deep, whether it diverged."""

    point: Point
    acceptance: Any
    leaves: Any
    depth: Any
    diverging: Any


class Metric(NamedTuple):
    """The inverse mass: a vector, or a matrix with its Cholesky factor.

    Attributes:
        inverse: `(n,)` or `(n, n)`.
        factor: of a matrix its Cholesky factor, of a vector the roots.
    """

    inverse: Any
    factor: Any

    def velocity(self, momentum: Any) -> Any:
        """Of a momentum, or of one in each row."""
        return self.inverse * momentum if len(self.inverse.shape) == 1 else momentum @ self.inverse

    def momentum(self, standard: Any) -> Any:
        """From standard normal numbers."""
        if len(self.inverse.shape) == 1:
            return standard / self.factor
        return F.linalg_solve_triangular(self.factor, standard, lower=True, transpose=True)


def kinetic(metric: Metric, momentum: Any) -> Any:
    """The kinetic energy."""
    return 0.5 * F.sum(momentum * metric.velocity(momentum))


def leapfrog(both: Callable[[Any], Any], metric: Metric, leaf: Leaf, h: Any) -> tuple[Leaf, Any]:
    """One step of length h, and the log density at its end.

    Args:
        both: log density and gradient.
        metric: the mass.
        leaf: where the step begins.
        h: its length; negative steps go back.
    """
    half = leaf.momentum + (0.5 * h) * leaf.slope
    x = leaf.x + h * metric.velocity(half)
    value, slope = both(x)
    return Leaf(x, half + (0.5 * h) * slope, slope), value


def _rows(depth: int) -> tuple[np.ndarray, np.ndarray]:
    # Of leaf k: the row where its momentum is kept (the last one, which is not read, of odd leaves), and which rows to look at.
    k = np.arange(2 ** (depth - 1))
    ones = np.array([bin(i >> 1).count("1") for i in k.tolist()])
    trailing = np.array([(~i & (i + 1)).bit_length() - 1 for i in k.tolist()])
    slots = np.arange(depth + 1)
    looks = (slots > (ones - trailing)[:, None]) & (slots <= ones[:, None])
    return np.where(k % 2 == 0, ones, depth), looks.astype(np.float64)


class Sampler:
    """Draws by trajectories.

    Args:
        both: `both(x)`, log density and gradient of a vector.
        n: numbers of the vector.
        dtype: its dtype.
        depth: the most doublings.
    """

    both: Callable[[Any], Any]
    n: int
    dtype: FloatName
    depth: int
    keep: np.ndarray
    looks: np.ndarray

    def __init__(self, both: Callable[[Any], Any], n: int, dtype: FloatName, depth: int) -> None:
        self.both, self.n, self.dtype, self.depth = both, n, dtype, depth
        self.keep, self.looks = _rows(depth)
        self.sizes: np.ndarray = 2 ** np.arange(depth)

    def _subtree(self, metric: Metric, start: Leaf, h: Any, count: Any, energy: Any, seed: Any) -> Any:
        # `count` leaves from an end on: the last, the draw, the logarithm of their weight, sums, and whether they turned or diverged.
        depth, n = self.depth, self.n
        zero, vector = 0.0 * energy, F.zeros_like(start.x)
        no = F.less(zero, -1.0)
        empty = F.zeros((depth + 1, n), dtype=self.dtype)
        draw = Point(start.x, zero, start.slope)
        begin = (start, draw, zero - math.inf, vector, zero, 0, no, no, empty, empty)

        def go_on(carry: Any) -> Any:
            return F.logical_and(F.less(carry[5], count), F.logical_not(F.logical_or(carry[6], carry[7])))

        def grow(carry: Any) -> Any:
            leaf, draw, weight, total, accepted, k, _, _, firsts, sums = carry
            leaf, value = leapfrog(self.both, metric, leaf, h)
            gain = energy - (kinetic(metric, leaf.momentum) - value)
            gain = F.where(F.isnan(gain), -math.inf, gain)
            weight = F.logaddexp(weight, gain)
            # Each leaf of the subtree is the draw with its share of the weight.
            takes = F.less(F.log(F.random_uniform((), seed=seed + k, dtype=self.dtype)), gain - weight)
            draw = Point(*(F.where(takes, a, b) for a, b in zip((leaf.x, value, leaf.slope), draw, strict=True)))
            total = total + leaf.momentum
            row = F.astype(F.take(self.keep, k), "int64")
            firsts, sums = firsts.at[row].set(leaf.momentum), sums.at[row].set(total)
            ahead = self._ahead(metric, firsts, leaf.momentum, total - sums + firsts)
            turning = F.less_equal(F.min(F.where(F.greater(F.take(self.looks, k, axis=0), 0.5), ahead, 1.0)), 0.0)
            diverging = F.less(gain, -DIVERGENCE)
            accepted = accepted + F.minimum(F.exp(gain), 1.0)
            return leaf, draw, weight, total, accepted, k + 1, turning, diverging, firsts, sums

        return while_loop(go_on, grow, begin)

    @staticmethod
    def _ahead(metric: Metric, first: Any, last: Any, total: Any) -> Any:
        # Negative where the ends move towards each other; of one subtree, or of one in each row.
        between = total - 0.5 * (first + last)
        ahead = F.sum(metric.velocity(first) * between, axis=-1)
        return F.minimum(ahead, F.sum(metric.velocity(last) * between, axis=-1))

    def trajectory(self, metric: Metric, point: Point, h: Any, seed: Any) -> Trajectory:
        """A draw from where the chain is.

        Args:
            metric: the mass.
            point: where the chain is.
            h: the length of a step.
            seed: an int64; the seeds behind it are those of the trajectory as well.
        """
        momentum = metric.momentum(F.random_normal((self.n,), seed=seed, dtype=self.dtype))
        energy = kinetic(metric, momentum) - point.value
        zero = 0.0 * energy
        no = F.less(zero, -1.0)
        leaf = Leaf(point.x, momentum, point.slope)
        begin = (leaf, leaf, point, zero, momentum, zero, 0, 0, no, no)

        def go_on(carry: Any) -> Any:
            return F.logical_and(F.less(carry[7], self.depth), F.logical_not(F.logical_or(carry[8], carry[9])))

        def double(carry: Any) -> Any:
            left, right, draw, weight, total, accepted, leaves, level, _, _ = carry
            chance = F.random_uniform((2,), seed=seed + (1 + level), dtype=self.dtype)
            forth = F.less(chance[0], 0.5)
            start = Leaf(*(F.where(forth, a, b) for a, b in zip(right, left, strict=True)))
            made = self._subtree(
                metric, start, F.where(forth, h, -h), F.take(2 ** np.arange(self.depth), level), energy, seed + (64 + leaves)
            )
            end, found, heavier, more, gained, count, turning, diverging, _, _ = made
            whole = F.logical_not(F.logical_or(turning, diverging))
            takes = F.logical_and(whole, F.less(F.log(chance[1]), heavier - weight))
            draw = Point(*(F.where(takes, a, b) for a, b in zip(found, draw, strict=True)))
            left = Leaf(*(F.where(forth, a, b) for a, b in zip(left, end, strict=True)))
            right = Leaf(*(F.where(forth, a, b) for a, b in zip(end, right, strict=True)))
            total = total + more
            ahead = self._ahead(metric, left.momentum, right.momentum, total)
            turning = F.logical_or(turning, F.less_equal(ahead, 0.0))
            weight = F.logaddexp(weight, heavier)
            return left, right, draw, weight, total, accepted + gained, leaves + count, level + 1, turning, diverging

        _, _, draw, _, _, accepted, leaves, level, _, diverging = while_loop(go_on, double, begin)
        return Trajectory(draw, accepted / F.astype(leaves, self.dtype), leaves, level, diverging)
