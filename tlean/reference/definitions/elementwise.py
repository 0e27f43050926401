"""Elementwise ops: what each function of their formulas means for arrays, and for fractions one element at a time."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from tlean.ops import expression
from tlean.ops.elementwise import FORMULAS, Formula

from . import elementary, scalars
from .scalars import NotExactError, fraction


def formula_of(name: str) -> Formula | None:
    """The formula of an elementwise op, or None if the op is not one."""
    return FORMULAS.get(name)


def evaluate(formula: Formula, inputs: tuple[np.ndarray, ...], options: dict[str, Any]) -> np.ndarray:
    """The value of an elementwise op, in the numbers that its inputs hold."""
    parameters = formula.values(options)
    shape = np.broadcast_shapes(*(x.shape for x in inputs))
    if not any(map(scalars.is_exact, inputs)):
        env = {**dict(zip(formula.inputs, inputs, strict=True)), **parameters}
        return np.broadcast_to(expression.evaluate(formula.tree, env, _ARRAYS), shape)
    inputs = tuple(np.broadcast_to(x, shape) for x in inputs)
    out = np.empty(shape, dtype=object)
    for i in np.ndindex(out.shape):
        env = {**{n: x[i] for n, x in zip(formula.inputs, inputs, strict=True)}, **parameters}
        out[i] = fraction(expression.evaluate(formula.tree, env, _FRACTIONS))
    return out


# Arrays of floats ------------------------------------------------------------------------------------------------------------

_ARRAYS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "select": lambda c, a, b: np.where(np.not_equal(c, 0), a, b),
    "max": np.maximum,
    "min": np.minimum,
    "abs": np.abs,
    "sign": np.sign,
    "pow": np.power,
    "sqrt": scalars.sqrt,
    "exp": scalars.exp,
    "log": scalars.log,
    "log1p": scalars.log1p,
    "expm1": scalars.expm1,
    "sigmoid": scalars.sigmoid,
    "tanh": scalars.tanh,
    "erf": scalars.erf,
    "sin": scalars.sin,
    "cos": scalars.cos,
    **elementary.ARRAYS,
}


# One fraction at a time ------------------------------------------------------------------------------------------------------


def _exactly(function: Callable[..., Any]) -> Callable[..., Any]:
    # Constants and options in a formula are floats: each becomes the fraction that it is.
    def applied(*args: Any) -> Any:
        return function(*map(fraction, args))

    return applied


def _comparing(function: Callable[..., Any]) -> Callable[..., Any]:
    # A bound that is infinite is compared with as it is.
    def applied(*args: Any) -> Any:
        return function(*(a if isinstance(a, float) and math.isinf(a) else fraction(a) for a in args))

    return applied


def _power(x: Fraction, c: Fraction) -> Fraction:
    if c.denominator != 1:
        raise NotExactError(f"a power with the exponent {float(c)} is not a rational function")
    return x**c.numerator


def _irrational(name: str) -> Callable[..., Any]:
    def applied(*args: Any) -> Any:
        raise NotExactError(f"{name} is not a rational function")

    return applied


_FRACTIONS: dict[str, Callable[..., Any]] = {
    **{name: _irrational(name) for name in _ARRAYS},
    "add": _exactly(operator.add),
    "sub": _exactly(operator.sub),
    "mul": _exactly(operator.mul),
    "div": _exactly(operator.truediv),
    "neg": _exactly(operator.neg),
    "greater": _comparing(operator.gt),
    "greater_equal": _comparing(operator.ge),
    "less": _comparing(operator.lt),
    "less_equal": _comparing(operator.le),
    "equal": _exactly(operator.eq),
    "not_equal": _exactly(operator.ne),
    "logical_and": operator.and_,
    "logical_or": operator.or_,
    "select": lambda c, a, b: a if c else b,
    "max": _exactly(max),
    "min": _exactly(min),
    "abs": _exactly(abs),
    "sign": _exactly(lambda x: (x > 0) - (x < 0)),
    "pow": _exactly(_power),
    "power": _exactly(_power),
    **{name: _exactly(function) for name, function in elementary.FRACTIONS.items()},
}
