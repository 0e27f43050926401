"""Continuous distributions. A parameter is a plain number or an array that broadcasts to the shape; gradients flow to it.

Each is an op of standard numbers, which depend on the seed and an element's index alone, and ops that move them.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

from ...arguments import is_reference
from ...errors import ShapeError
from ...shapes import Shape, as_shape, broadcast_shapes, stretching
from ..registry import composite
from .records import float_dtype

#: Half of the distance between two uniform numbers: in place of 0, which has no logarithm.
_TINY = {"float32": 2.0**-25, "float64": 2.0**-54}


def plain(x: Any) -> bool:
    """Whether a parameter is a number, and no array."""
    return isinstance(x, Real) and not is_reference(x)


class Setting:
    """What a call of a distribution draws: its shape, its dtype, and its parameters as numbers or references of that dtype.

    Args:
        ops: the backend.
        shape: as given; None is the parameters'.
        dtype: as given; None is float64 where a parameter is, else that of a parameter that is a float array, else the program's.
        parameters: by name.

    Raises: ShapeError where a parameter does not broadcast to the shape; DTypeError for a dtype of integers.
    """

    def __init__(self, ops: Any, shape: Any, dtype: Any, **parameters: Any) -> None:
        self.ops = ops
        values = {n: x if plain(x) else x if is_reference(x) else ops._own_constant(x) for n, x in parameters.items()}
        arrays = {n: x for n, x in values.items() if not plain(x)}
        # Nested lists have no dtype.
        typed = {str(x.dtype) for n, x in arrays.items() if hasattr(parameters[n], "dtype")}
        floats = [d for d in ("float64", "float32") if d in typed]
        self.dtype: Any = float_dtype(dtype) or (floats[0] if floats else ops.dtype)
        self.values: dict[str, Any] = {
            n: ops.astype(x, self.dtype) if n in arrays and x.dtype != self.dtype else x for n, x in values.items()
        }
        names = tuple(arrays)
        together = broadcast_shapes(names, [tuple(x.shape) for x in arrays.values()]) if arrays else ()
        self.shape: Shape = together if shape is None else as_shape(shape)
        if (
            shape is not None
            and arrays
            and broadcast_shapes(("shape", *names), [self.shape, *(x.shape for x in arrays.values())]) != self.shape
        ):
            raise ShapeError(f"{' and '.join(names)} must broadcast to the shape {self.shape}, got {together}")

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def array(self, name: str) -> Any:
        """A parameter as a reference."""
        x = self.values[name]
        return self.ops._full(shape=(), value=float(x), dtype=self.dtype) if plain(x) else x

    def uniform(self, seed: Any, shape: Shape | None = None, positive: bool = False, name: str | None = None) -> Any:
        """Uniform numbers in [0, 1); with `positive` half of their distance in place of 0."""
        u = self.ops.rand_uniform(self.shape if shape is None else shape, seed, self.dtype, name=None if positive else name)
        return self.ops.clamp(u, _TINY[self.dtype], 1.0, name=name) if positive else u


def moved(ops: Any, draw: Callable[[str | None], Any], loc: Any, scale: Any, name: str | None) -> Any:
    """loc + scale·z for the numbers that `draw(name)` gives."""
    unscaled, centred = plain(scale) and scale == 1, plain(loc) and loc == 0
    z = draw(name if unscaled and centred else None)
    if not unscaled:
        label = name if centred else None
        z = ops.scale(z, float(scale), name=label) if plain(scale) else ops.mul(z, scale, name=label)
    if not centred:
        z = ops.shift(z, float(loc), name=name) if plain(loc) else ops.add(z, loc, name=name)
    return z


def _normal(ops: Any, shape: Any, seed: Any, dtype: Any, name: str | None) -> Any:
    if name is None:
        return ops._rand_normal(seed, shape=shape, dtype=dtype)
    return ops.apply("_rand_normal", (seed,), {"shape": shape, "dtype": dtype}, name)


@composite
@stretching
def random_uniform(
    ops: Any, shape: Any = None, low: Any = 0.0, high: Any = 1.0, seed: Any = None, dtype: Any = None, name: Any = None
) -> Any:
    """Uniform numbers."""
    if shape is not None and type(low) is float and type(high) is float:
        return moved(ops, lambda label: ops.rand_uniform(shape, seed, float_dtype(dtype), name=label), low, high - low, name)
    s = Setting(ops, shape, dtype, low=low, high=high)
    low, high = s["low"], s["high"]
    width = float(high) - float(low) if plain(low) and plain(high) else ops.sub(s.array("high"), s.array("low"))
    return moved(ops, lambda label: s.uniform(seed, name=label), low, width, name)


@composite
@stretching
def random_normal(
    ops: Any, shape: Any = None, loc: Any = 0.0, scale: Any = 1.0, seed: Any = None, dtype: Any = None, name: Any = None
) -> Any:
    """Normal numbers."""
    if shape is not None and type(loc) is float and type(scale) is float:
        # The usual call, without a look at arrays.
        return moved(ops, lambda label: _normal(ops, shape, seed, dtype, label), loc, scale, name)
    s = Setting(ops, shape, dtype, loc=loc, scale=scale)
    return moved(ops, lambda label: _normal(ops, s.shape, seed, s.dtype, label), s["loc"], s["scale"], name)


@composite
@stretching
def random_truncated_normal(
    ops: Any,
    shape: Any = None,
    loc: Any = 0.0,
    scale: Any = 1.0,
    low: Any = -2.0,
    high: Any = 2.0,
    seed: Any = None,
    dtype: Any = None,
    name: Any = None,
) -> Any:
    """Normal numbers between two bounds, by the inverse of the distribution function."""
    s = Setting(ops, shape, dtype, loc=loc, scale=scale, low=low, high=high)
    loc, scale = s.array("loc"), s.array("scale")
    below, above = (ops.div(ops.sub(s.array(bound), loc), scale) for bound in ("low", "high"))
    # An interval above the mean is turned to the other side, where probabilities keep their digits.
    turned = ops.greater(below, ops._full(shape=(), value=0.0, dtype=s.dtype))
    first, last = ops.where(turned, ops.neg(above), below), ops.where(turned, ops.neg(below), above)
    p = ops.ndtr(first)
    p = ops.add(p, ops.mul(s.uniform(seed, positive=True), ops.sub(ops.ndtr(last), p)))
    # Where no probability is left, all of it is at the bound that is nearest the mean.
    none = ops.less_equal(p, ops._full(shape=(), value=0.0, dtype=s.dtype))
    z = ops.where(none, last, ops.ndtri(ops.where(none, ops._full(shape=(), value=0.5, dtype=s.dtype), p)))
    z = ops.min(ops.max(z, first), last)
    return ops.add(loc, ops.mul(scale, ops.where(turned, ops.neg(z), z)), name=name)


@composite
@stretching
def random_exponential(ops: Any, shape: Any = None, scale: Any = 1.0, seed: Any = None, dtype: Any = None, name: Any = None) -> Any:
    """Exponential numbers: −ln(1 − u)."""
    s = Setting(ops, shape, dtype, scale=scale)
    return moved(ops, lambda label: ops.neg(ops.log1p(ops.neg(s.uniform(seed))), name=label), 0.0, s["scale"], name)


@composite
@stretching
def random_gumbel(
    ops: Any, shape: Any = None, loc: Any = 0.0, scale: Any = 1.0, seed: Any = None, dtype: Any = None, name: Any = None
) -> Any:
    """Gumbel numbers: −ln(−ln u)."""
    s = Setting(ops, shape, dtype, loc=loc, scale=scale)
    return moved(ops, lambda label: gumbel(ops, s, seed, s.shape, label), s["loc"], s["scale"], name)


def gumbel(ops: Any, s: Setting, seed: Any, shape: Shape, name: str | None = None) -> Any:
    """Gumbel numbers of location 0 and scale 1."""
    return ops.neg(ops.log(ops.neg(ops.log(s.uniform(seed, shape, positive=True)))), name=name)


def _log_gamma(s: Setting, a: Any, seed: Any) -> Any:
    # ln of gamma numbers of concentrations of any size, each with its own: below 1 it is that of a + 1 times u^(1/a).
    ops, shape = s.ops, tuple(a.shape)
    one = ops._full(shape=(), value=1.0, dtype=s.dtype)
    small = ops.less(a, one)
    y = ops.apply("_rand_log_gamma", (ops.where(small, ops.shift(a, 1.0), a), seed), {})
    power = ops.div(ops.log(s.uniform(seed, shape, positive=True)), a)
    return ops.add(y, ops.where(small, power, ops._full(shape=(), value=0.0, dtype=s.dtype)))


@composite
@stretching
def random_gamma(
    ops: Any, concentration: Any, shape: Any = None, scale: Any = 1.0, seed: Any = None, dtype: Any = None, name: Any = None
) -> Any:
    """Gamma numbers."""
    s = Setting(ops, shape, dtype, concentration=concentration, scale=scale)
    a = ops.broadcast_to(s.array("concentration"), s.shape)
    return moved(ops, lambda label: ops.exp(_log_gamma(s, a, seed), name=label), 0.0, s["scale"], name)


@composite
@stretching
def random_beta(ops: Any, a: Any, b: Any, shape: Any = None, seed: Any = None, dtype: Any = None, name: Any = None) -> Any:
    """Beta numbers: the share of one gamma number in the sum of two."""
    s = Setting(ops, shape, dtype, a=a, b=b)
    both = ops.stack([ops.broadcast_to(s.array(n), s.shape) for n in ("a", "b")], 0)
    first, second = ops.split(_log_gamma(s, both, seed), 2, 0)
    return ops.reshape(ops.sigmoid(ops.sub(first, second)), s.shape, name=name)


@composite
@stretching
def random_dirichlet(ops: Any, concentration: Any, shape: Any = None, seed: Any = None, dtype: Any = None, name: Any = None) -> Any:
    """Dirichlet numbers: the shares of gamma numbers in their sum, along the last axis."""
    s = Setting(ops, None, dtype, concentration=concentration)
    a = s.array("concentration")
    if not a.shape:
        raise ShapeError("concentration must have an axis, got a number")
    full = tuple(a.shape) if shape is None else (*as_shape(shape), a.shape[-1])
    return ops.softmax(_log_gamma(s, ops.broadcast_to(a, full), seed), -1, name=name)
