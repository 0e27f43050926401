"""Eigenvalues, singular values and pseudoinverses by Jacobi's method, in float64: a round turns pairs of columns that have none in common.

A sweep of rounds meets every pair once. Rounds end when a sweep turned nothing, or after sixty sweeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..model import ModelWriter
from ..rules import Call, rule
from ..special.reals import Real, looped, where

_SWEEPS = 60
#: What counts as nothing beside other numbers.
_UNIT = 2.0**-53


def eye(w: ModelWriter, n: int) -> Real:
    """The identity matrix."""
    return Real(w, w.array(np.eye(n)))


def turned(x: Real, rank: int) -> Real:
    """The transposes of matrices."""
    return Real(x.w, x.w.op("Transpose", x.name, perm=[*range(rank - 2), rank - 1, rank - 2]), x.dtype)


def sanitized(x: Real) -> tuple[Real, Real]:
    """The matrices with those that have a NaN or an infinity replaced by zeros; which are finite, as matrices of one entry."""
    finite = ~(~x.finite()).any(-2, -1, keep=True)
    return where(finite, x, 0.0), finite


def scaled(x: Real) -> tuple[Real, Real]:
    """The matrices over powers of two near their largest entries, and these powers."""
    top = abs(x).top(-2, -1, keep=True)
    power = (where(top > 0.0, top, 1.0).log() * (1 / math.log(2))).floor()
    return x * (-power).exp2(), power.exp2()


def placed(x: Real, at: Real, shape: Sequence[int]) -> Real:
    """The columns of matrices of that shape, in an order for each matrix."""
    w, rank = x.w, len(shape)
    spread = w.op("Expand", w.unsqueeze(at.name, -2), w.ints(*shape))
    return Real(w, w.op("GatherElements", x.name, spread, axis=rank - 1), x.dtype)


def ordered(w: ModelWriter, values: Real, n: int, largest: bool) -> tuple[Real, Real]:
    """Numbers along the last axis in order, and the places where they were: of equal ones the first one first."""
    made, at = w.op("TopK", values.name, w.array([n], "int64"), outputs=2, axis=-1, largest=int(largest), sorted=1)
    return Real(w, made), Real(w, at, "int64")


def signs(v: Real, rows: int, dtype: str) -> Real:
    """For each column the sign that makes its first component positive, of those above rounding in that dtype."""
    w, size = v.w, abs(v)
    least = size.top(-2, keep=True) * (10.0 * rows * float(np.finfo(dtype).eps))
    first = w.op("ArgMax", (size > least).cast("int32").name, axis=-2, keepdims=1)
    return where(Real(w, w.op("GatherElements", v.name, first, axis=-2)) < 0.0, -1.0, 1.0)


class _Round(NamedTuple):
    # What a round pairs: the partner of each column (itself where there is none), and which way each is turned where both would do.
    partner: Real
    way: Real

    def others(self, x: Real, axis: int) -> Real:
        """Along an axis, each one's partner."""
        return Real(x.w, x.w.op("Gather", x.name, self.partner.name, axis=axis))

    def rotation(self, own: Real, other: Real, between: Real, still: Real) -> tuple[Real, Real]:
        """Cosines, and sines as each column has them, of the rotations that make (own, between; between, other) diagonal."""
        d = (other - own) / where(still, 1.0, between * 2.0)
        t = where(d == 0.0, self.way, where(d < 0.0, -1.0, 1.0)) / (abs(d) + (d * d + 1.0).sqrt())
        c = 1.0 / (t * t + 1.0).sqrt()
        return where(still, 1.0, c), where(still, 0.0, t * c)


def _schedule(w: ModelWriter, n: int) -> Callable[[Real], _Round]:
    # All pairs in rounds, by the circle method: one place stays, the others move on by one.
    size = n + n % 2
    partner, way = np.empty((size - 1, n), np.int64), np.ones((size - 1, n))
    for k in range(size - 1):
        ring = [0, *(1 + (k + j) % (size - 1) for j in range(size - 1))]
        for a, b in zip(ring[: size // 2], ring[::-1], strict=False):
            for p, q in ((a, b), (b, a)):
                if p < n:
                    partner[k, p], way[k, p] = (q if q < n else p), (1 if p < q else -1)
    tables = Real(w, w.array(partner), "int64"), Real(w, w.array(way))

    def at(number: Real) -> _Round:
        k = Real(w, w.op("Mod", number.name, w.array(size - 1, "int64")), "int64")
        return _Round(*(Real(w, w.op("Gather", t.name, k.name, axis=0), t.dtype) for t in tables))

    return at


def _turned_until_still(w: ModelWriter, n: int, states: Sequence[tuple[Real, Sequence[int]]], turn: Callable[..., Any]) -> list[Real]:
    # Rounds; `turn` returns the states after one, and whether it turned something.
    rounds, schedule = n + n % 2 - 1, _schedule(w, n)

    def step(k: Real, idle: Real, *values: Real) -> list[Real]:
        *values_after, moved = turn(schedule(k), *values)
        return [where(moved, 0, idle + 1), *values_after]

    count = Real(w, w.array(0, "int64"), "int64")
    made = looped(w, [(count, ()), *states], step, _SWEEPS * rounds, lambda idle, *_: idle < rounds)
    return made[1:]


def _spread_eye(w: ModelWriter, shape: Sequence[int]) -> Real:
    return Real(w, w.op("Expand", eye(w, shape[-1]).name, w.ints(*shape)))


@rule("_linalg_eigh")
def _eigh(w: ModelWriter, c: Call) -> Any:
    shape = c.shape()
    if not math.prod(shape):
        return None
    rank, n = len(shape), shape[-1]
    x = Real(w, c.x[0], c.dtype).cast("float64") * 0.5
    x, finite = sanitized(x + turned(x, rank))
    x, scale = scaled(x)
    own = eye(w, n)

    def turn(pairs: _Round, a: Real, v: Real) -> list[Real]:
        diagonal = (a * own).sum(-1)
        # Both of a pair have the same number, whichever triangle is rounded how.
        between = (pairs.others(a, rank - 1) * own).sum(-1)
        between = (between + pairs.others(between, rank - 2)) * 0.5
        # A column without a partner is its diagonal's.
        alone = Real(w, w.op("Equal", pairs.partner.name, w.array(np.arange(n), "int64")), "bool")
        still = alone | (abs(between) <= _UNIT * _UNIT)
        cos, sin = pairs.rotation(diagonal, pairs.others(diagonal, rank - 2), between, still)
        by_column, by_row = (cos.wide(-2), sin.wide(-2)), (cos.wide(), sin.wide())
        a = a * by_column[0] - pairs.others(a, rank - 1) * by_column[1]
        a = a * by_row[0] - pairs.others(a, rank - 2) * by_row[1]
        # What was between a pair is 0 by now.
        paired = Real(w, w.op("Equal", pairs.partner.name, w.array(np.arange(n)[:, None], "int64")), "bool")
        a = where(paired & (own == 0.0), 0.0, a)
        return [a, v * by_column[0] - pairs.others(v, rank - 1) * by_column[1], (~still).any()]

    a, v = _turned_until_still(w, n, [(x, shape), (_spread_eye(w, shape), shape)], turn)
    values, at = ordered(w, (a * own).sum(-1), n, False)
    v = placed(v, at, shape)
    v = v * signs(v, n, c.dtype)
    y = Real(w, w.op("Concat", (values.wide(-2) * scale).name, v.name, axis=-2))
    return where(finite, y, math.nan).cast(c.dtype).name


class Singular(NamedTuple):
    """x = u diag(s) vᵀ with s in descending order, of matrices no wider than tall; which of them are finite."""

    u: Real
    s: Real
    v: Real
    finite: Real


def singular(w: ModelWriter, x: Real, shape: Sequence[int], whole: bool = True) -> Singular:
    """Singular values and vectors of matrices of that shape, with no fewer rows than columns.

    Columns of u for values of 0 are zeros, unless it is to be `whole`: then they are orthonormal to the others.
    """
    rank, (m, n), lead = len(shape), shape[-2:], shape[:-2]
    x, finite = sanitized(x)
    x, scale = scaled(x)
    bound = _UNIT * 2.0 * math.sqrt(m)

    def turn(pairs: _Round, a: Real, v: Real) -> list[Real]:
        others = pairs.others(a, rank - 1)
        own, between = (a * a).sum(-2), (a * others).sum(-2)
        theirs = pairs.others(own, rank - 2)
        alone = Real(w, w.op("Equal", pairs.partner.name, w.array(np.arange(n), "int64")), "bool")
        still = alone | (abs(between) <= (own * theirs).sqrt() * bound) | (between == 0.0)
        cos, sin = (r.wide(-2) for r in pairs.rotation(own, theirs, between, still))
        return [a * cos - others * sin, v * cos - pairs.others(v, rank - 1) * sin, (~still).any()]

    square = (*lead, n, n)
    a, v = _turned_until_still(w, n, [(x, shape), (_spread_eye(w, square), square)], turn)
    s, at = ordered(w, (a * a).sum(-2).sqrt(), n, True)
    v = placed(v, at, square)
    none = s <= s.top(-1, keep=True) * 1e-15
    u = placed(a, at, shape) * where(none, 0.0, 1.0 / where(none, 1.0, s)).wide(-2)
    u = _completed(w, u, none, shape) if whole else u
    return Singular(u, (s.wide(-2) * scale).sum(-2), v, finite)


def _completed(w: ModelWriter, u: Real, none: Real, shape: Sequence[int]) -> Real:
    # Columns that are to be made, one in each step: of the unit vector that is farthest from those that are there.
    rank, (m, n) = len(shape), shape[-2:]
    own = Real(w, w.array(np.arange(n), "int64"), "int64")
    one = eye(w, m)

    def step(k: Real, u: Real, none: Real) -> list[Real]:
        is_k = own == k
        reach = 1.0 - (u * u).sum(-1)
        at = w.op("ArgMax", reach.name, axis=-1, keepdims=0)
        made = Real(w, w.op("Gather", one.name, at, axis=0)).wide()
        for _ in range(2):
            made = made - u @ (turned(u, rank) @ made)
        made = made / (made * made).sum(-2, keep=True).sqrt()
        return [where((is_k & none).wide(-2), made, u), none & ~is_k]

    return looped(w, [(u, shape), (none, (*shape[:-2], n))], step, n, lambda _, none: none.any())[0]


def _sides(w: ModelWriter, c: Call, whole: bool) -> tuple[Real, Real, Real, Real]:
    # (U, s, V, which are finite) of any matrices.
    shape, rank = c.shape(), len(c.shape())
    x = Real(w, c.x[0], c.dtype).cast("float64")
    if shape[-2] >= shape[-1]:
        return singular(w, x, shape, whole)
    u, s, v, finite = singular(w, turned(x, rank), (*shape[:-2], shape[-1], shape[-2]), whole)
    return v, s, u, finite


@rule("_linalg_svd")
def _svd(w: ModelWriter, c: Call) -> Any:
    if not math.prod(c.shape()):
        return None
    (m, n), lead, rank = c.shape()[-2:], c.shape()[:-2], len(c.shape())
    u, s, v, finite = _sides(w, c, True)
    turn = signs(u, m, c.dtype)
    k = min(m, n)
    flat = [w.reshape((u * turn).name, (*lead, m * k)), s.name, w.reshape(turned(v * turn, rank).name, (*lead, k * n))]
    y = Real(w, w.op("Concat", *flat, axis=-1))
    return where(Real(w, w.squeeze(finite.name, -1), "bool"), y, math.nan).cast(c.dtype).name


@rule("_linalg_pinv")
def _pinv(w: ModelWriter, c: Call) -> Any:
    if not math.prod(c.shape()):
        return None
    u, s, v, finite = _sides(w, c, False)
    least = s.top(-1, keep=True) * (max(c.shape()[-2:]) * float(np.finfo(c.dtype).eps))
    counts = s > least
    inverse = where(counts, 1.0 / where(counts, s, 1.0), 0.0)
    y = (v * inverse.wide(-2)) @ turned(u, len(c.shape()))
    return where(finite, y, math.nan).cast(c.dtype).name
