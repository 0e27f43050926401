"""Initialisers: rules for the first values of parameters, drawn from a `tl.Rng`.

An initialiser is a function `(rng, shape, dtype) -> array`; the functions here make them. The inputs of one output (fan-in) are all axes of
a weight but the first, the outputs of one input (fan-out) all but the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tlean.errors import OptionError, ShapeError
from tlean.rng import Rng

#: `(rng, shape, dtype) -> array`.
Initialiser = Callable[[Rng, tuple[int, ...], str], np.ndarray]

# What a nonlinearity does to the spread of what goes through it.
_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2)}


def gain(nonlinearity: str, slope: float = 0.01) -> float:
    """By how much to widen the weights before a nonlinearity.

    Args:
        nonlinearity: "linear", "sigmoid", "tanh", "relu" or "leaky_relu".
        slope: of a leaky rectifier.

    Raises: OptionError for another name.
    Source: He, Zhang, Ren, Sun 2015, equation 14.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + slope * slope))
    if nonlinearity not in _GAINS:
        raise OptionError(f"gain: nonlinearity is one of {', '.join([*_GAINS, 'leaky_relu'])}, got {nonlinearity!r}")
    return _GAINS[nonlinearity]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan-in, fan-out) of a weight of this shape. Raises: ShapeError if it has fewer than two axes."""
    if len(shape) < 2:
        raise ShapeError(f"fans: a weight has at least two axes, got {shape}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def constant(value: float) -> Initialiser:
    """Every element the same."""
    return lambda rng, shape, dtype: np.full(shape, value, dtype)


zeros = constant(0.0)
ones = constant(1.0)


def uniform(low: float = 0.0, high: float = 1.0) -> Initialiser:
    """Uniform in [low, high)."""
    return lambda rng, shape, dtype: rng.uniform(shape, low, high, dtype)


def normal(mean: float = 0.0, std: float = 1.0) -> Initialiser:
    """Normal with this mean and standard deviation. Source: Box & Muller 1958."""

    def draw(rng: Rng, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        # 1 − u is never 0, so the logarithm is finite.
        radius = np.sqrt(-2 * np.log(1 - rng.uniform(shape, dtype="float64")))
        angle = 2 * math.pi * rng.uniform(shape, dtype="float64")
        return np.asarray(mean + std * radius * np.cos(angle)).astype(dtype)

    return draw


def xavier_uniform(gain: float = 1.0) -> Initialiser:
    """Uniform in ±gain·√(6 / (fan-in + fan-out)). Source: Glorot & Bengio 2010, equation 16."""

    def draw(rng: Rng, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        bound = gain * math.sqrt(6 / sum(fans(shape)))
        return rng.uniform(shape, -bound, bound, dtype)

    return draw


def xavier_normal(gain: float = 1.0) -> Initialiser:
    """Normal with standard deviation gain·√(2 / (fan-in + fan-out)). Source: Glorot & Bengio 2010, equation 12."""
    return lambda rng, shape, dtype: normal(0.0, gain * math.sqrt(2 / sum(fans(shape))))(rng, shape, dtype)


def _kaiming(nonlinearity: str, slope: float, mode: str) -> Callable[[tuple[int, ...]], float]:
    if mode not in ("fan_in", "fan_out"):
        raise OptionError(f"kaiming: mode is 'fan_in' or 'fan_out', got {mode!r}")
    wide = gain(nonlinearity, slope)
    return lambda shape: wide / math.sqrt(fans(shape)[mode == "fan_out"])


def kaiming_uniform(nonlinearity: str = "relu", slope: float = 0.0, mode: str = "fan_in") -> Initialiser:
    """Uniform in ±gain·√(3 / fan).

    Args:
        nonlinearity, slope: as in `gain`.
        mode: "fan_in" keeps the spread of the values forward, "fan_out" that of the gradients backward.

    Source: He, Zhang, Ren, Sun 2015, equations 10 and 14.
    """
    std = _kaiming(nonlinearity, slope, mode)

    def draw(rng: Rng, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        bound = math.sqrt(3) * std(shape)
        return rng.uniform(shape, -bound, bound, dtype)

    return draw


def kaiming_normal(nonlinearity: str = "relu", slope: float = 0.0, mode: str = "fan_in") -> Initialiser:
    """Normal with standard deviation gain / √fan; arguments as in `kaiming_uniform`."""
    std = _kaiming(nonlinearity, slope, mode)
    return lambda rng, shape, dtype: normal(0.0, std(shape))(rng, shape, dtype)
