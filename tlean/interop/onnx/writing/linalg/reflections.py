"""QR by Householder's reflections of columns, and what they make of the unit vectors that Q leaves out; in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..model import ModelWriter
from ..rules import Call, rule
from ..special.reals import Real, looped, where
from .rotations import sanitized, scaled, signs, turned


def _mirrors(w: ModelWriter, x: Real, shape: Sequence[int]) -> tuple[Real, Real]:
    # R, with zeros below its diagonal but for rounding, and the unit vectors of the reflections as columns.
    rank, (m, n) = len(shape), shape[-2:]
    rows, columns = (Real(w, w.array(np.arange(k), "int64"), "int64") for k in (m, n))

    def step(k: Real, r: Real, v: Real) -> list[Real]:
        column = Real(w, w.op("Gather", r.name, k.name, axis=rank - 1))
        column = where(rows < k, 0.0, column)
        top = abs(column).top(-1, keep=True)
        column = column / where(top == 0.0, 1.0, top)
        norm = (column * column).sum(-1, keep=True).sqrt()
        mirror = where(rows == k, column + where(column < 0.0, -norm, norm), column)
        size = (mirror * mirror).sum(-1, keep=True).sqrt()
        mirror = (mirror / where(size == 0.0, 1.0, size)).wide()
        return [_mirrored(r, mirror, rank), where(columns == k, mirror, v)]

    none = Real(w, w.op("Expand", w.like(0, "float64"), w.ints(*shape)))
    r, v = looped(w, [(x, shape), (none, shape)], step, n)
    return r, v


def _mirrored(x: Real, mirror: Real, rank: int) -> Real:
    # By a reflection, whose vector is one column.
    return x - mirror @ (turned(mirror, rank) @ x) * 2.0


def _applied(w: ModelWriter, v: Real, shape: Sequence[int], first: int, count: int) -> Real:
    # What all reflections, the last one first, make of unit vectors from the first one on.
    rank, (m, n), lead = len(shape), shape[-2:], shape[:-2]
    units = np.eye(m)[:, first : first + count]
    start = Real(w, w.op("Expand", w.array(units), w.ints(*lead, m, count)))
    last = w.array(n - 1, "int64")

    def step(k: Real, q: Real) -> list[Real]:
        at = w.unsqueeze(w.op("Sub", last, k.name), 0)
        return [_mirrored(q, Real(w, w.op("Gather", v.name, at, axis=rank - 1)), rank)]

    return looped(w, [(start, (*lead, m, count))], step, n)[0]


@rule("_linalg_qr")
def _qr(w: ModelWriter, c: Call) -> Any:
    shape = c.shape()
    if not math.prod(shape):
        return None
    n = shape[-1]
    x, finite = sanitized(Real(w, c.x[0], c.dtype).cast("float64"))
    x, scale = scaled(x)
    r, v = _mirrors(w, x, shape)
    lead = len(shape) - 2
    r = Real(w, w.slice(r.name, [0], [n], [lead]))
    turn = where((r * Real(w, w.array(np.eye(n)))).sum(-1) < 0.0, -1.0, 1.0)
    q = _applied(w, v, shape, 0, n) * turn.wide(-2)
    r = Real(w, w.op("Trilu", (r * turn.wide() * scale).name, upper=1))
    y = where(finite, Real(w, w.op("Concat", q.name, r.name, axis=-2)), math.nan)
    return y.cast(c.dtype).name


@rule("_linalg_complement")
def _complement(w: ModelWriter, c: Call) -> Any:
    shape, (m, n) = c.shape(), c.shape()[-2:]
    if not c.out.size:
        return None
    if not n:
        return w.op("Expand", w.array(np.eye(m), c.dtype), w.ints(*c.out.shape))
    x, finite = sanitized(Real(w, c.x[0], c.dtype).cast("float64"))
    _, v = _mirrors(w, scaled(x)[0], shape)
    q = _applied(w, v, shape, n, m - n)
    return where(finite, q * signs(q, m, c.dtype), math.nan).cast(c.dtype).name
