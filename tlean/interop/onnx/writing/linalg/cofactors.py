"""Cofactors of matrices that have no inverse, or a poor one, and their derivatives, by singular values; in float64.

For x = U diag(s) Vᵀ the derivative of det in the directions T₁ … Tₚ is det U det V times the sum, over all p different places i, of the
product of the s that are elsewhere times the determinant whose row for iₐ is that of Uᵀ Tₐ V. It divides by nothing that is small.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlean._core.lapack import CONDITION
from tlean.ops import Spec

from ..model import ModelWriter
from ..rules import Call, rule
from ..special.reals import Real, where
from ..writer import Node
from .factors import determinant
from .rotations import eye, sanitized, singular, turned


def _exponents(x: Real, axis: int) -> Real:
    # Of powers of two near the largest numbers along an axis.
    top = abs(x).top(axis, keep=True)
    return (where(top > 0.0, top, 1.0).log() * (1 / math.log(2))).floor()


def _times_power(x: Real, exponent: Real) -> Real:
    # By two powers of two, as one may leave the range.
    half = (exponent * 0.5).floor()
    return x * half.exp2() * (exponent - half).exp2()


def _elsewhere(s: Real, zero: Real, parts: Real, n: int, p: int) -> Real:
    # For each p places the product of the numbers that are not there; 0 where places are the same.
    w = s.w
    product = Real(w, w.reduce("ReduceProd", parts.name, (-1,), False)).wide(*range(1, p + 1))
    left = zero.cast("float64").sum(-1).wide(*range(1, p + 1))
    for k in range(p):
        others = [1 + j for j in range(p) if j != k]
        at, none = (x.wide(*others) if others else x for x in (s, zero.cast("float64")))
        product, left = product / at, left - none
    places = np.indices((n,) * p)
    apart = np.all([a != b for a, b in itertools.combinations(places, 2)], axis=0) if p > 1 else np.ones(n, bool)
    return where((left > 0.0) | ~Real(w, w.array(np.broadcast_to(apart, (n,) * p)), "bool"), 0.0, product)


def _summed(w: ModelWriter, weights: Real, moved: Sequence[Real], n: int) -> Real:
    # Over all orders of the directions and the one that is left.
    p, letters = len(moved) + 1, "abcdefghijklmnop"
    one, total = eye(w, n), None
    for order in itertools.permutations(range(p)):
        even = sum(a > b for a, b in itertools.combinations(order, 2)) % 2 == 0
        alone, last = order[-1] == p - 1, letters[p - 1]
        inputs = [f"z{letters[:p]}", *(f"z{letters[a]}{letters[order[a]]}" for a in range(p - 1))]
        text = f"{','.join(inputs)}->z{last}{'' if alone else letters[order[-1]]}"
        part = Real(w, w.op("Einsum", weights.name, *(t.name for t in moved), equation=text))
        part = part.wide(-1) * one if alone else part
        part = part if even else -part
        total = part if total is None else total + part
    assert total is not None
    return total


def _derivative(w: ModelWriter, x: Real, factor: Real, ts: Sequence[Real], count: int, n: int) -> Real:
    # Of det by one more matrix than the directions ts, times a factor; of so many matrices.
    shape, spec = (count, n, n), Spec((count, n, n), "float64")
    rows = _exponents(x, 2)
    columns = _exponents(_times_power(x, -rows), 1)
    scale = rows + columns
    u, s, v, _ = singular(w, _times_power(x, -scale), shape)
    zero = s <= s.top(-1, keep=True) * (n * float(np.finfo(np.float64).eps))
    s = where(zero, 1.0, s)
    exponents = (s.log() * (1 / math.log(2))).floor()
    moved = [turned(u, 3) @ _times_power(t, -scale) @ v for t in ts]
    weights = _elsewhere(s, zero, _times_power(s, -exponents), n, len(ts) + 1)
    sign = (Real(w, determinant(w, u.name, spec)) * Real(w, determinant(w, v.name, spec))).round() * factor
    whole = rows.sum(1, 2).wide(1, 2) + columns.sum(1, 2).wide(1, 2) + exponents.sum(1).wide(1, 2)
    return _times_power(sign.wide(1, 2) * (u @ _summed(w, weights, moved, n) @ turned(v, 3)), whole - scale)


def _norm(x: Real) -> Real:
    return (x * x).sum(-2, -1).sqrt()


@rule("_linalg_cofactors")
def _cofactors(w: ModelWriter, c: Call) -> Any:
    shape, n = c.out.shape, c.out.shape[-1]
    if not c.out.size:
        return None
    count = math.prod(shape[:-2])
    z, x, d, inverse, factor, *ts = (
        Real(w, w.reshape(name, (count, *s.shape[len(shape) - 2 :])), c.dtype).cast("float64")
        for name, s in zip(c.x, c.specs, strict=True)
        if s is not None
    )
    single = c.dtype == "float32"
    bound = CONDITION[4 if single else 8] ** (1 / (len(ts) + 1))
    poor = ~(abs(x).top(0, 1, 2) * abs(inverse).top(0, 1, 2) * float(n) <= bound)
    unfit = (d == 0.0) | ~d.finite() | (poor & ~(_norm(x) * _norm(inverse) <= bound))
    x, finite = sanitized(x)
    unfit = unfit.wide(1, 2) & finite
    made, out = w.name(), Spec((count, n, n), "float64")

    def written(value: Any) -> Any:
        return w._part([], lambda: [(value().name, out)])

    branches = {
        "then_branch": written(lambda: where(unfit, _derivative(w, x, factor, ts, count, n), z)),
        "else_branch": written(lambda: z),
    }
    w.nodes.append(Node("If", [unfit.any().name], [made], branches))
    return w.reshape(Real(w, made).cast(c.dtype).name, shape)
