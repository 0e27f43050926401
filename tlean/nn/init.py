"""Initialisers: rules for the first values of parameters, drawn from a `tl.Rng`.

An initialiser is a function `(rng, shape, dtype) -> array`; the functions here make them, as values that compare equal, can be printed and
pickled. The inputs of one output (fan-in) are all axes of
a weight but the first, the outputs of one input (fan-out) all but the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlean.arguments.literals import FloatName
from tlean.dtypes import FLOATS
from tlean.errors import DTypeError, OptionError, ShapeError
from tlean.rng import Rng
from tlean.shapes import as_shape

#: `(rng, shape, dtype) -> array`.
Initialiser = Callable[[Rng, tuple[int, ...], FloatName], np.ndarray]

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
    if isinstance(nonlinearity, str) and nonlinearity == "leaky_relu":
        (slope,) = _finite("gain", slope=slope)
        return math.sqrt(2 / (1 + slope * slope))
    if not isinstance(nonlinearity, str) or nonlinearity not in _GAINS:
        raise OptionError(f"gain: nonlinearity must be one of {', '.join([*_GAINS, 'leaky_relu'])}, got {nonlinearity!r}")
    return _GAINS[nonlinearity]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan-in, fan-out) of a weight of this shape. Raises: ShapeError if it has fewer than two axes."""
    if not isinstance(shape, tuple | list) or not all(isinstance(n, int | np.integer) for n in shape):
        raise OptionError(f"fans: a shape must be a tuple of ints, got {shape!r}")
    if len(shape) < 2:
        raise ShapeError(f"fans: a weight must have at least two axes, got {shape}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def as_dtype(dtype: Any) -> str:
    """The name of a dtype of parameters. Raises: DTypeError for another one."""
    if not isinstance(dtype, str) or dtype not in FLOATS:
        raise DTypeError(f"a parameter's dtype must be float32 or float64, got {dtype!r}")
    return dtype


@dataclass(frozen=True)
class Constant:
    """Every element the same; made by `constant`."""

    value: float

    def __call__(self, rng: Rng, shape: tuple[int, ...], dtype: FloatName) -> np.ndarray:
        """The values."""
        dims = as_shape(shape)
        if math.prod(n for n in dims if n) >= 1 << 60:
            raise ShapeError(f"values of shape {dims} are more than memory holds")
        return np.full(dims, self.value, as_dtype(dtype))


@dataclass(frozen=True)
class Uniform:
    """Uniform in [low, high); made by `uniform`."""

    low: float
    high: float

    def __call__(self, rng: Rng, shape: tuple[int, ...], dtype: FloatName) -> np.ndarray:
        """The values."""
        return rng.uniform(shape, self.low, self.high, dtype)


@dataclass(frozen=True)
class Normal:
    """Normal with this mean and standard deviation; made by `normal`."""

    mean: float
    std: float

    def __call__(self, rng: Rng, shape: tuple[int, ...], dtype: FloatName) -> np.ndarray:
        """The values."""
        # 1 − u is never 0, so the logarithm is finite.
        radius = np.sqrt(-2 * np.log(1 - rng.uniform(shape, dtype="float64")))
        angle = 2 * math.pi * rng.uniform(shape, dtype="float64")
        return np.asarray(self.mean + self.std * radius * np.cos(angle)).astype(dtype)


@dataclass(frozen=True)
class Xavier:
    """Of standard deviation gain·√(2 / (fan-in + fan-out)); made by `xavier_uniform` and `xavier_normal`."""

    gain: float
    even: bool

    def __call__(self, rng: Rng, shape: tuple[int, ...], dtype: FloatName) -> np.ndarray:
        """The values."""
        if not self.even:
            return Normal(0.0, self.gain * math.sqrt(2 / sum(fans(shape))))(rng, shape, dtype)
        bound = self.gain * math.sqrt(6 / sum(fans(shape)))
        return rng.uniform(shape, -bound, bound, dtype)


@dataclass(frozen=True)
class Kaiming:
    """Of standard deviation gain / √fan; made by `kaiming_uniform` and `kaiming_normal`."""

    gain: float
    mode: str
    even: bool

    def __call__(self, rng: Rng, shape: tuple[int, ...], dtype: FloatName) -> np.ndarray:
        """The values."""
        std = self.gain / math.sqrt(fans(shape)[self.mode == "fan_out"])
        if not self.even:
            return Normal(0.0, std)(rng, shape, dtype)
        bound = math.sqrt(3) * std
        return rng.uniform(shape, -bound, bound, dtype)


def _finite(rule: str, **values: Any) -> list[float]:
    found = []
    for name, value in values.items():
        try:
            found.append(float(value))
        except (TypeError, ValueError, OverflowError):
            found.append(math.nan)
        if not math.isfinite(found[-1]):
            raise OptionError(f"{rule}: {name} must be a finite number, got {value!r}")
    return found


def constant(value: float) -> Initialiser:
    """Every element the same."""
    return Constant(*_finite("constant", value=value))


zeros: Initialiser = constant(0.0)
ones: Initialiser = constant(1.0)


def uniform(low: float = 0.0, high: float = 1.0) -> Initialiser:
    """Uniform in [low, high)."""
    return Uniform(*_finite("uniform", low=low, high=high))


def normal(mean: float = 0.0, std: float = 1.0) -> Initialiser:
    """Normal with this mean and standard deviation. Source: Box & Muller 1958."""
    return Normal(*_finite("normal", mean=mean, std=std))


def xavier_uniform(gain: float = 1.0) -> Initialiser:
    """Uniform in ±gain·√(6 / (fan-in + fan-out)). Source: Glorot & Bengio 2010, equation 16."""
    return Xavier(_finite("xavier_uniform", gain=gain)[0], even=True)


def xavier_normal(gain: float = 1.0) -> Initialiser:
    """Normal with standard deviation gain·√(2 / (fan-in + fan-out)). Source: Glorot & Bengio 2010, equation 12."""
    return Xavier(_finite("xavier_normal", gain=gain)[0], even=False)


def _kaiming(nonlinearity: str, slope: float, mode: str, even: bool) -> Kaiming:
    if not isinstance(mode, str) or mode not in ("fan_in", "fan_out"):
        raise OptionError(f"kaiming: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return Kaiming(gain(nonlinearity, slope), mode, even)


def kaiming_uniform(nonlinearity: str = "relu", slope: float = 0.0, mode: str = "fan_in") -> Initialiser:
    """Uniform in ±gain·√(3 / fan).

    Args:
        nonlinearity, slope: as in `gain`.
        mode: "fan_in" keeps the spread of the values forward, "fan_out" that of the gradients backward.

    Source: He, Zhang, Ren, Sun 2015, equations 10 and 14.
    """
    return _kaiming(nonlinearity, slope, mode, even=True)


def kaiming_normal(nonlinearity: str = "relu", slope: float = 0.0, mode: str = "fan_in") -> Initialiser:
    """Normal with standard deviation gain / √fan; arguments as in `kaiming_uniform`."""
    return _kaiming(nonlinearity, slope, mode, even=False)
