"""The records: each of inputs of one shape, with `upper` for 1 less the value, which keeps its digits where it is small."""

from __future__ import annotations

from math import inf, nan
from typing import Any

from ...arguments import truth
from ...errors import ShapeError
from ...shapes import Shape, size
from ..registry import defop
from ..samples import Arr, bad, good
from .slopes import beta_density, beta_slope, filled, gamma_density, gamma_slope, student_density, student_slope

#: What a kernel computes, by its code.
FUNCTIONS = ("gamma", "gamma_inverse", "beta", "beta_inverse", "student", "student_inverse")


def _same(*shapes: Shape) -> Shape:
    if any(s != shapes[0] for s in shapes):
        raise ShapeError("the arrays must have one shape")
    return shapes[0]


def _options(upper: Any) -> dict[str, Any]:
    return {"upper": truth("upper", upper)}


def _samples(*kinds: str, corners: Any, large: int = 70) -> list[Any]:
    calls = [good(*(Arr(s, k) for k in kinds), upper=u) for s, u in (((2, 3), False), ((2, 3), True), ((), True), ((2, 0), False))]
    calls += [good(*(Arr((len(c),), "values", data=c) for c in zip(*corners, strict=True)), smooth=False, upper=u) for u in (False, True)]
    return [*calls, good(*(Arr((large,), k) for k in kinds), smooth=False), bad("ShapeError", *(Arr((k + 1,)) for k in range(len(kinds))))]


def _signed(ops: Any, x: Any, upper: bool) -> Any:
    return ops.neg(x) if upper else x


def _pushed(ops: Any, t: Any, parts: Any) -> Any:
    # Σ part · tangent; a part is a function, called where there is a tangent.
    total = None
    for tangent, part in zip(t, parts, strict=True):
        if tangent is not None:
            moved = ops.mul(part(), tangent)
            total = moved if total is None else ops.add(total, moved)
    return total


def _rules(parts: Any) -> tuple[Any, Any]:
    # `vjp` and `jvp` of a function of each element whose derivatives by its inputs `parts(ops, upper, y, *inputs)` has functions for.
    def vjp(ops: Any, g: Any, y: Any, *inputs: Any, upper: bool) -> Any:
        return tuple(ops.mul(g, part()) for part in parts(ops, upper, y, *inputs))

    def jvp(ops: Any, t: Any, y: Any, *inputs: Any, upper: bool) -> Any:
        return _pushed(ops, t, parts(ops, upper, y, *inputs))

    return vjp, jvp


def _numbers(x: Shape, upper: bool, function: str) -> Any:  # ints = (elements, upper, function)
    return (size(x), upper, FUNCTIONS.index(function)), ()


def _over(ops: Any, slope: Any, density: Any) -> Any:
    # slope/density, 0 where the density is 0 or infinite: at the ends, where no parameter moves the quantile.
    usual = ops.logical_and(ops.greater(density, filled(ops, density, 0.0)), ops.isfinite(density))
    ratio = ops.div(slope, ops.where(usual, density, filled(ops, density, 1.0)))
    return ops.where(usual, ratio, filled(ops, density, 0.0))


# Gamma ----------------------------------------------------------------------------------------------------------------------

_GAMMA_CORNERS = [
    (1.0, 0.0),
    (2.5, 0.0),
    (3.0, inf),
    (1e-3, 0.3),
    (40.0, 3.0),
    (1e3, 1.1e3),
    (3e6, 3e6),
    (-1.0, 1.0),
    (nan, 1.0),
    (2.0, -1.0),
]


def _gamma_parts(ops: Any, upper: bool, y: Any, a: Any, x: Any) -> Any:
    return lambda: _signed(ops, gamma_slope(ops, a, x), upper), lambda: _signed(ops, gamma_density(ops, a, x), upper)


@defop(
    "_gammainc", kernel="incomplete", samples=lambda: _samples("positive", "positive", corners=_GAMMA_CORNERS), algebraic=False,
    source="DiDonato & Morris 1986, Computation of the incomplete gamma function ratios and their inverse",
)  # fmt: skip
class GammaInc:
    """P(a, x), the distribution function of gamma numbers of shape a; Q = 1 − P where `upper`."""

    vjp, jvp = _rules(_gamma_parts)

    def options(a, x, *, upper=False):
        return _options(upper)

    def shape(a, x, *, upper):
        return _same(a, x)

    def kernel_params(a, x, *, upper):
        return _numbers(a, upper, "gamma")


def _gamma_inverse_parts(ops: Any, upper: bool, y: Any, a: Any, p: Any) -> Any:
    return (
        lambda: ops.neg(_over(ops, gamma_slope(ops, a, y), gamma_density(ops, a, y))),
        lambda: _signed(ops, ops.inv(gamma_density(ops, a, y)), upper),
    )


@defop(
    "_gammaincinv", kernel="incomplete", algebraic=False,
    samples=lambda: _samples(
        "positive", "fraction", large=5,
        corners=[(2.0, 0.0), (2.0, 1.0), (0.1, 0.3), (50.0, 1e-9), (1e6, 0.7), (0.0, 0.5), (1.0, 1.5)],
    ),
)  # fmt: skip
class GammaIncInv:
    """x with P(a, x) = p, or Q(a, x) = p where `upper`."""

    vjp, jvp = _rules(_gamma_inverse_parts)

    def options(a, p, *, upper=False):
        return _options(upper)

    def shape(a, p, *, upper):
        return _same(a, p)

    def kernel_params(a, p, *, upper):
        return _numbers(a, upper, "gamma_inverse")


# Beta -----------------------------------------------------------------------------------------------------------------------

_BETA_CORNERS = [
    (1.0, 2.0, 0.0), (2.0, 3.0, 1.0), (0.5, 0.5, 1e-9), (60.0, 0.25, 0.9), (300.0, 500.0, 0.4), (1e6, 1e6, 0.5), (1.0, 1.0, 1.5),
    (nan, 1.0, 0.5), (-1.0, 1.0, 0.5),
]  # fmt: skip


def _by_parameters(ops: Any, a: Any, b: Any, x: Any, upper: bool) -> Any:
    # I(a, b, x) = 1 − I(b, a, 1 − x).
    y = ops.shift(ops.neg(x), 1.0)
    return lambda: _signed(ops, beta_slope(ops, a, b, x, y), upper), lambda: _signed(ops, beta_slope(ops, b, a, y, x), not upper)


def _beta_parts(ops: Any, upper: bool, y: Any, a: Any, b: Any, x: Any) -> Any:
    return *_by_parameters(ops, a, b, x, upper), lambda: _signed(ops, beta_density(ops, a, b, x), upper)


@defop(
    "_betainc", kernel="incomplete", samples=lambda: _samples("positive", "positive", "fraction", corners=_BETA_CORNERS), algebraic=False,
    source="DiDonato & Morris 1992, Significant digit computation of the incomplete beta function ratios",
)  # fmt: skip
class BetaInc:
    """I(a, b, x), the distribution function of beta numbers of shapes a and b; 1 − I where `upper`."""

    vjp, jvp = _rules(_beta_parts)

    def options(a, b, x, *, upper=False):
        return _options(upper)

    def shape(a, b, x, *, upper):
        return _same(a, b, x)

    def kernel_params(a, b, x, *, upper):
        return _numbers(a, upper, "beta")


def _beta_inverse_parts(ops: Any, upper: bool, y: Any, a: Any, b: Any, p: Any) -> Any:
    density = beta_density(ops, a, b, y)
    by_a, by_b = _by_parameters(ops, a, b, y, False)
    return (
        lambda: ops.neg(_over(ops, by_a(), density)),
        lambda: ops.neg(_over(ops, by_b(), density)),
        lambda: _signed(ops, ops.inv(density), upper),
    )


@defop(
    "_betaincinv", kernel="incomplete", algebraic=False,
    samples=lambda: _samples(
        "positive", "positive", "fraction", large=5,
        corners=[(2.0, 3.0, 0.0), (2.0, 3.0, 1.0), (0.3, 40.0, 1e-5), (500.0, 30.0, 0.7), (0.0, 1.0, 0.5), (1.0, 1.0, -0.5)],
    ),
)  # fmt: skip
class BetaIncInv:
    """x with I(a, b, x) = p, or 1 − I(a, b, x) = p where `upper`."""

    vjp, jvp = _rules(_beta_inverse_parts)

    def options(a, b, p, *, upper=False):
        return _options(upper)

    def shape(a, b, p, *, upper):
        return _same(a, b, p)

    def kernel_params(a, b, p, *, upper):
        return _numbers(a, upper, "beta_inverse")


# Student --------------------------------------------------------------------------------------------------------------------


def _student_parts(ops: Any, upper: bool, y: Any, df: Any, x: Any) -> Any:
    return lambda: _signed(ops, student_slope(ops, df, x), upper), lambda: _signed(ops, student_density(ops, df, x), upper)


@defop(
    "_student", kernel="incomplete", algebraic=False,
    samples=lambda: _samples(
        "positive", "normal",
        corners=[(1.0, 0.0), (0.8, -1e3), (3.0, -40.0), (3.0, 1e-9), (1e4, 2.0), (2.0, inf), (2.0, -inf), (-1.0, 0.5), (nan, 0.5)],
    ),
)  # fmt: skip
class Student:
    """Student's distribution function; 1 less it where `upper`."""

    vjp, jvp = _rules(_student_parts)

    def options(df, x, *, upper=False):
        return _options(upper)

    def shape(df, x, *, upper):
        return _same(df, x)

    def kernel_params(df, x, *, upper):
        return _numbers(df, upper, "student")


def _student_inverse_parts(ops: Any, upper: bool, y: Any, df: Any, p: Any) -> Any:
    density = student_density(ops, df, y)
    return lambda: ops.neg(_over(ops, student_slope(ops, df, y), density)), lambda: _signed(ops, ops.inv(density), upper)


@defop(
    "_student_inverse", kernel="incomplete", algebraic=False,
    samples=lambda: _samples(
        "positive", "fraction", large=5, corners=[(1.0, 0.5), (3.0, 1e-9), (200.0, 0.999), (2.0, 0.0), (2.0, 1.0), (-1.0, 0.5), (2.0, 1.5)]
    ),
)  # fmt: skip
class StudentInverse:
    """x whose distribution function is p, or 1 less it where `upper`."""

    vjp, jvp = _rules(_student_inverse_parts)

    def options(df, p, *, upper=False):
        return _options(upper)

    def shape(df, p, *, upper):
        return _same(df, p)

    def kernel_params(df, p, *, upper):
        return _numbers(df, upper, "student_inverse")
