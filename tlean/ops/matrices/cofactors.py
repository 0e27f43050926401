"""Cofactors: the derivatives of determinants, of every order, at singular matrices too.

`_linalg_cofactors` is linear in its factor and its directions, so its derivatives are itself, with one direction more or with another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import ShapeError
from ..registry import defop
from ..samples import Arr, bad, good
from .lapack import Lapack
from .shapes import need_square, summed


def by_matrix(ops: Any, x: Any) -> Any:
    """One number for each matrix, as matrices of one entry."""
    return ops.reshape(x, (*x.shape, 1, 1))


def inner(ops: Any, a: Any, b: Any) -> Any:
    """The sum of the products of entries, for each pair of matrices."""
    return ops.reduce_sum(ops.mul(a, b), axis=(-2, -1))


def _regular(ops: Any, weight: Any, inverse: Any, ts: Sequence[Any]) -> Any:
    # What it is for regular matrices. With d the derivative of det and n that of the transposed inverse in some directions: the sum of
    # products d n over all ways to part the directions.
    if not ts:
        return ops.mul(by_matrix(ops, weight), inverse)
    places = range(1 << len(ts))
    determinants, inverses = [weight], [inverse]
    result: list[Any] = []
    for chosen in places:
        members = [k for k in range(len(ts)) if chosen >> k & 1]
        if chosen:
            last = members[-1]
            determinants.append(inner(ops, ts[last], result[chosen ^ 1 << last]))
            steps = [ops.matmul(ops.matmul(inverses[chosen ^ 1 << k], ts[k], transpose_b=True), inverse) for k in members]
            inverses.append(ops.neg(summed(ops, steps)))
        parts = [ops.mul(by_matrix(ops, determinants[k]), inverses[chosen ^ k]) for k in places if k & chosen == k]
        result.append(summed(ops, parts))
    return result[-1]


def cofactors(ops: Any, x: Any, determinant: Any, inverse: Any, factor: Any, ts: Sequence[Any] = ()) -> Any:
    """The matrices G for which the derivative of the determinants in the directions ts and T, times a factor, is the sum of G T.

    Args:
        ops: the backend.
        x: matrices.
        determinant: of x.
        inverse: of x, transposed.
        factor: a number for each matrix.
        ts: directions, of x's shape.
    """
    determinant, inverse = ops.detach(determinant), ops.detach(inverse)
    z = _regular(ops, ops.mul(ops.detach(factor), determinant), inverse, [ops.detach(t) for t in ts])
    return ops._linalg_cofactors([z, x, determinant, inverse, factor, *ts])


def _samples() -> list[Any]:
    def values(*rows: Any) -> Any:
        return Arr((len(rows), len(rows)), "values", data=rows)

    nothing, one = Arr((), "values", data=0.0), Arr((), "values", data=1.0)
    line, across = values((1.0, 2.0), (2.0, 4.0)), values((4.0, -2.0), (-2.0, 1.0))
    return [
        good(across, line, nothing, line, one, smooth=False),
        good(values((2.0, 0.0), (0.0, 1.0)), line, nothing, line, one, values((1.0, 0.0), (0.0, 2.0)), smooth=False),
        good(values((1.0,)), values((0.0,)), nothing, values((0.0,)), one, smooth=False),
        good((0, 2, 2), (0, 2, 2), (0,), (0, 2, 2), (0,)), good((0, 0), (0, 0), (), (0, 0), ()),
        bad("ShapeError", (2, 3), (2, 3), (), (2, 3), ()), bad("ShapeError", (2, 2), (2, 2), (), (2, 2)),
        bad("ShapeError", (2, 2), (2, 2), (2,), (2, 2), ()), bad("ShapeError", (2, 2), (2, 2), (), (2, 2), (), (3, 3)),
    ]  # fmt: skip


@defop("_linalg_cofactors", kernel=Lapack("cofactors", in_place=True), samples=_samples)
class Cofactors:
    """z, and where a matrix is singular, or near it and there are directions, the cofactors of x or their derivative.

    xs are z, x, the determinants of x, its transposed inverses, a factor for each matrix, and directions. On devices it is z.
    """

    def shape(*xs):
        if len(xs) < 5:
            raise ShapeError("takes z, x, determinants, inverses, factors and directions")
        for x in (xs[0], xs[1], xs[3], *xs[5:]):
            if need_square(x) != xs[0]:
                raise ShapeError("matrices must have the same shape")
        for x in (xs[2], xs[4]):
            if x != xs[0][:-2]:
                raise ShapeError("there must be a number for each matrix")
        return xs[0]

    def decompose(ops, *xs):
        return xs[0]

    def vjp(ops, g, y, *xs):
        _, x, d, n, factor, *ts = xs
        by_factor = inner(ops, g, cofactors(ops, x, d, n, _ones(ops, factor), ts))
        by_x = cofactors(ops, x, d, n, factor, [*ts, g])
        by_ts = [cofactors(ops, x, d, n, factor, [*ts[:k], *ts[k + 1 :], g]) for k in range(len(ts))]
        return None, by_x, None, None, by_factor, *by_ts

    def jvp(ops, t, y, *xs):
        _, x, d, n, factor, *ts = xs
        parts = [None if t[4] is None else cofactors(ops, x, d, n, t[4], ts)]
        parts.append(None if t[1] is None else cofactors(ops, x, d, n, factor, [*ts, t[1]]))
        for k, moved in enumerate(t[5:]):
            parts.append(None if moved is None else cofactors(ops, x, d, n, factor, [*ts[:k], moved, *ts[k + 1 :]]))
        return summed(ops, parts)


def _ones(ops: Any, like: Any) -> Any:
    return ops._full(shape=tuple(like.shape), value=1.0)
