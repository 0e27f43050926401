"""Definitions of incomplete integrals: the integrals themselves, over the whole one, by a sum that converges exponentially."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..scalars import NotExactError, is_exact


def _summed(f: Callable[..., Any], like: np.ndarray) -> np.ndarray:
    # ∫₀^∞ f(u) du with u = exp(τ − exp(−τ)).
    tau = np.arange(-128, 512).astype(like.dtype) / 32
    u = np.exp(tau - np.exp(-tau))
    with np.errstate(all="ignore"):
        values = f(u) * u * (1 + np.exp(-tau)) / 32
    return np.nansum(values, axis=-1)


def _gamma(a: Any, x: Any) -> Any:
    # ∫ t^(a − 1) e^(−t) dt below and above x, t = x·exp(∓u); both over x^a·e^(−x).
    lower = _summed(lambda u: np.exp(-a * u - x * np.expm1(-u)), a)
    upper = _summed(lambda u: np.exp(a * u - x * np.expm1(u)), a)
    a, x = a[..., 0], x[..., 0]
    return _ends(lower, upper, x == 0, x == np.inf, (a > 0) & (x >= 0))


def _beta(a: Any, b: Any, x: Any, y: Any) -> Any:
    # ∫ t^(a − 1) (1 − t)^(b − 1) dt below and above x = 1 − y, t = x·exp(−u), 1 − t = y·exp(−u).
    lower = _summed(lambda u: np.exp(-a * u + (b - 1) * np.log1p(-x * np.expm1(-u) / y)), a) / y[..., 0]
    upper = _summed(lambda u: np.exp(-b * u + (a - 1) * np.log1p(-y * np.expm1(-u) / x)), a) / x[..., 0]
    a, b, x, y = a[..., 0], b[..., 0], x[..., 0], y[..., 0]
    return _ends(lower, upper, x == 0, y == 0, (a > 0) & (b > 0) & (x >= 0) & (y >= 0))


def _student(df: Any, w: Any) -> Any:
    # ∫ cosh(t)^(−df) dt below and above w, where x = √df·sinh w; both over cosh(w)^(−df).
    def grown(u):
        return np.exp(-df * (u + np.log((1 + np.exp(-2 * u)) / 2 - np.tanh(w) * (1 - np.exp(-2 * u)) / 2)))

    def shrunk(u):
        return np.exp(-df * (u + np.log((1 + np.exp(-2 * u)) / 2 + np.tanh(w) * (1 - np.exp(-2 * u)) / 2)))

    lower, upper = _summed(grown, df), _summed(shrunk, df)
    df, w = df[..., 0], w[..., 0]
    return _ends(lower, upper, w == -np.inf, w == np.inf, df > 0)


def _ends(lower: Any, upper: Any, first: Any, last: Any, known: Any) -> Any:
    lower, upper = np.where(first, 0, np.where(last, 1, lower)), np.where(last, 0, np.where(first, 1, upper))
    return np.where(known, lower, np.nan), np.where(known, upper, np.nan)


def _sinh_place(df: Any, x: Any) -> Any:
    return df, np.arcsinh(x / np.sqrt(df))


def _halves(a: Any, b: Any, x: Any) -> Any:
    return a, b, x, 1 - x


def _share(parts: Any, upper: Any) -> Any:
    with np.errstate(all="ignore"):
        return parts[1 if upper else 0] / (parts[0] + parts[1])


def _need_floats(arrays: Any) -> None:
    if any(is_exact(x) for x in arrays):
        raise NotExactError("an integral has no rational value")


def _over(integrals: Callable[..., Any], place: Callable[..., Any]) -> Callable[..., Any]:
    # The share of the integral below a point, or above it; in the widest floats.
    def value(*arrays, upper):
        _need_floats(arrays)
        with np.errstate(all="ignore"):
            wide = place(*(np.atleast_1d(x).astype(np.longdouble)[..., np.newaxis] for x in arrays))
            return _share(integrals(*wide), upper).astype(arrays[0].dtype).reshape(arrays[0].shape)

    return value


def _inverse(
    integrals: Callable[..., Any],
    place: Callable[..., Any],
    low: float,
    high: float,
    of_place: Callable[..., Any],
    ends: tuple[float, float],
) -> Callable[..., Any]:
    # The point with a given share, by halving an interval of its logarithm, or whatever `place` takes.
    def value(*arrays, upper):
        _need_floats(arrays)
        *parameters, p = (np.atleast_1d(x).astype(np.longdouble) for x in arrays)
        with np.errstate(all="ignore"):
            least, most = (np.full(p.shape, v, dtype=np.longdouble) for v in (low, high))
            for _ in range(70):
                at = (least + most) / 2
                below, above = integrals(*place(*(x[..., np.newaxis] for x in (*parameters, at))))
                # The smaller share decides: the other one has lost its digits.
                lower, more = (1 - p, p) if upper else (p, 1 - p)
                small = lower <= more
                far = np.where(small, ~(below / (below + above) <= lower), above / (below + above) < more)
                least, most = np.where(far, least, at), np.where(far, at, most)
            x = of_place(*parameters, (least + most) / 2)
            first, last = (1, 0) if upper else (0, 1)
            x = np.where(p == first, ends[0], np.where(p == last, ends[1], x))
            known = (p >= 0) & (p <= 1)
            for parameter in parameters:
                known &= parameter > 0
        return np.where(known, x, np.nan).astype(arrays[0].dtype).reshape(arrays[0].shape)

    return value


DEFINITIONS: dict[str, Callable[..., Any]] = {
    "_gammainc": _over(_gamma, lambda a, x: (a, x)),
    "_gammaincinv": _inverse(_gamma, lambda a, u: (a, np.exp(u)), -800.0, 40.0, lambda a, u: np.exp(u), (0.0, np.inf)),
    "_betainc": _over(_beta, _halves),
    "_betaincinv": _inverse(
        *(_beta, lambda a, b, u: (a, b, 1 / (1 + np.exp(-u)), 1 / (1 + np.exp(u))), -800.0, 800.0),
        *(lambda a, b, u: 1 / (1 + np.exp(-u)), (0.0, 1.0)),
    ),
    "_student": _over(_student, _sinh_place),
    "_student_inverse": _inverse(_student, lambda df, w: (df, w), -60.0, 60.0, lambda df, w: np.sqrt(df) * np.sinh(w), (-np.inf, np.inf)),
}
