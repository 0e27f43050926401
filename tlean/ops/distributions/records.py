"""The records behind distributions: normal and whole numbers, and those that a method draws which rejects some of what it drew."""

from __future__ import annotations

from typing import Any

from ...dtypes import FLOATS, dtype_option
from ...errors import DTypeError, OptionError, ShapeError
from ...shapes import Shape, as_shape, size
from ..registry import defop, no_gradient, no_tangent, whole
from ..samples import Arr, bad, good

#: What all of them are.
_RANDOM: dict[str, Any] = {"optional": ("seed",), "dtypes": {"seed": "int64"}, "random": True, "algebraic": False}


def _seed(value: int) -> Arr:
    return Arr((), "values", data=value)


def float_dtype(dtype: Any) -> str | None:
    """The option `dtype` of a distribution of floats; None is the program's. Raises: DTypeError."""
    name = dtype_option(dtype)
    if name is not None and name not in FLOATS:
        raise DTypeError(f"dtype must be a float dtype, got {name}")
    return name


def _check_seed(seed: Shape | None) -> None:
    if seed not in (None, ()):
        raise ShapeError("seed must have shape ()")


def _normal_samples() -> list[Any]:
    return [
        good(_seed(0), shape=(7,)), good(_seed(-3), shape=(3, 5)), good(_seed(1 << 40), shape=()), good(_seed(2), shape=(0, 4)),
        good(_seed(9), shape=(33_001,)), good(_seed(4), shape=(65,)),
        bad("ShapeError", _seed(0), shape=(2, -1)),
    ]  # fmt: skip


@defop(
    "_rand_normal",
    samples=_normal_samples,
    source="Box & Muller 1958, A note on the generation of random normal deviates",
    differentiable=False,
    **_RANDOM,
)
class RandNormal:
    """Normal numbers of mean 0 and variance 1: elements 2i and 2i + 1 are r·cos φ and r·sin φ of a pair of uniform numbers."""

    def options(seed: Any, *, shape: Any, dtype: Any = None) -> dict[str, Any]:
        return {"shape": as_shape(shape), "dtype": float_dtype(dtype)}

    def shape(seed: Any, *, shape: Shape, dtype: str | None) -> Shape:
        _check_seed(seed)
        return shape

    def kernel_params(seed: Any, *, shape: Shape, dtype: str | None) -> tuple[tuple[int, ...], tuple[()]]:
        # ints = (elements,)
        return (size(shape),), ()

    vjp = no_gradient
    jvp = no_tangent


def _integer_samples() -> list[Any]:
    return [
        good(_seed(0), shape=(7,), low=0, span=6), good(_seed(-3), shape=(3, 5), low=-(1 << 63), span=0),
        good(_seed(5), shape=(33_001,), low=-5, span=11, dtype="int32"), good(_seed(2), shape=(), low=-(1 << 62), span=(1 << 63) - 1),
        good(_seed(1), shape=(0,), low=0, span=1),
        bad("OptionError", _seed(0), shape=(2,), low=0, span=-1), bad("DTypeError", _seed(0), shape=(2,), low=0, span=2, dtype="float32"),
        bad("OptionError", _seed(0), shape=(2,), low=1 << 31, span=2, dtype="int32"),
    ]  # fmt: skip


@defop("_rand_integers", samples=_integer_samples, differentiable=False, **_RANDOM)
class RandIntegers:
    """Whole numbers in [low, low + span): low + ⌊w·span/2⁶⁴⌋ for a random word w of 64 bits; a span of 0 means 2⁶⁴."""

    def options(seed: Any, *, shape: Any, low: Any, span: Any, dtype: Any = "int64") -> dict[str, Any]:
        dtype = dtype_option(dtype)
        if dtype not in ("int64", "int32"):
            raise DTypeError("dtype must be int64 or int32")
        low, span, bits = whole("low", low), whole("span", span), 64 if dtype == "int64" else 32
        most = low + (span or 1 << 64)
        if span < 0 or low < -(1 << (bits - 1)) or most > 1 << (bits - 1):
            raise OptionError(f"the numbers must fit {dtype}")
        return {"shape": as_shape(shape), "low": low, "span": span, "dtype": dtype}

    def shape(seed: Any, *, shape: Shape, low: int, span: int, dtype: str) -> Shape:
        _check_seed(seed)
        return shape

    def kernel_params(seed: Any, *, shape: Shape, low: int, span: int, dtype: str) -> tuple[tuple[int, ...], tuple[()]]:
        # ints = (elements, low, span)
        return (size(shape), low, span), ()

    vjp = no_gradient
    jvp = no_tangent


def _gamma_samples() -> list[Any]:
    return [
        good(Arr((4, 9), "above"), _seed(5), smooth=False),
        good(Arr((5,), "values", data=(1.0, 2.5, 40.0, 1e4, 1e6)), _seed(-1), smooth=False),
        good(Arr((1500,), "above"), _seed(3), smooth=False),
        good(Arr((3,), "values", data=(0.5, -1.0, float("nan"))), _seed(1), smooth=False),
        good(Arr((0, 2), "above"), _seed(1)), good(Arr((), "above"), _seed(1), smooth=False),
        bad("ShapeError", (2,), Arr((1,), "int", 0, 5)),
    ]  # fmt: skip


# The quadrature of `log_gamma_slope`: with v = exp(τ − exp(−τ)) an integral over (0, ∞) becomes one whose trapezoidal sum converges
# exponentially (Takahasi & Mori 1974). 10⁻¹¹ is its relative error 6 standard deviations from the mean, 10⁻¹⁵ within 4.
_STEP = 1.0 / 12.0
_FIRST = -3.75
_NODES = 100


def log_gamma_slope(ops: Any, a: Any, y: Any) -> Any:
    """dy/da for y = ln x, x a gamma number of concentration a ≥ 1 whose probability P(a, x) is held (implicit reparameterisation).

    −∂P(a, x)/∂a divided by the density and by x. ∂P/∂a is the integral over (0, x) of (ln t − ψ(a))·density(t), and minus that over
    (x, ∞); the side on which ln t − ψ(a) has one sign is summed, so nothing cancels. With t = x·exp(−σu), σ = 1 below and −1 above:

        ∫₀^∞ (u + σ(ψ(a) − y)) exp(−σ(a − x)u − x(exp(−σu) − 1 + σu)) du

    The scale of u is that of the exponential, 1/(|a − x| + √a).
    Source: Figurnov, Mohamed & Mnih 2018, Implicit reparameterization gradients.
    """
    shape, spread = a.shape, (*a.shape, 1)
    tau = ops.apply("_iota", (), {"length": _NODES, "start": _FIRST, "step": _STEP, "dtype": a.dtype})
    fall = ops.exp(ops.neg(tau))
    v = ops.exp(ops.sub(tau, fall))
    weight = ops.scale(ops.mul(v, ops.shift(fall, 1.0)), _STEP)
    x = ops.exp(y)
    gap = ops.sub(ops.digamma(a), y)
    one = ops._full(shape=shape, value=1.0, dtype=a.dtype)
    side = ops.where(ops.greater_equal(gap, ops._full(shape=shape, value=0.0, dtype=a.dtype)), one, ops.neg(one))
    # The scale is the quadrature's, not the integral's: what it depends on has no part in a derivative.
    length = ops.detach(ops.inv(ops.add(ops.abs(ops.sub(a, x)), ops.sqrt(a))))
    u = ops.mul(ops.reshape(length, spread), v)
    turned = ops.mul(ops.reshape(side, spread), u)
    rest = ops.add(ops.expm1(ops.neg(turned)), turned)
    decay = ops.add(ops.mul(ops.reshape(ops.sub(a, x), spread), turned), ops.mul(ops.reshape(x, spread), rest))
    height = ops.add(u, ops.reshape(ops.mul(side, gap), spread))
    total = ops.reduce_sum(ops.mul(ops.mul(height, ops.exp(ops.neg(decay))), weight), len(shape))
    return ops.mul(length, total)


@defop(
    "_rand_log_gamma",
    samples=_gamma_samples,
    source="Marsaglia & Tsang 2000, A simple method for generating gamma variables",
    **_RANDOM,
)
class RandLogGamma:
    """Logarithms of gamma numbers of a concentration of at least 1 and scale 1."""

    def shape(concentration: Shape, seed: Any) -> Shape:
        _check_seed(seed)
        return concentration

    def kernel_params(concentration: Shape, seed: Any) -> tuple[tuple[int, ...], tuple[()]]:
        # ints = (elements,)
        return (size(concentration),), ()

    def vjp(ops: Any, g: Any, y: Any, concentration: Any, seed: Any) -> tuple[Any, None]:
        return ops.mul(g, log_gamma_slope(ops, concentration, y)), None

    def jvp(ops: Any, t: Any, y: Any, concentration: Any, seed: Any) -> Any:
        return None if t[0] is None else ops.mul(t[0], log_gamma_slope(ops, concentration, y))


def _poisson_samples() -> list[Any]:
    return [
        good(Arr((4, 9), "values", data=[0.3 * k for k in range(36)]), _seed(5), smooth=False),
        good(Arr((5,), "values", data=(0.0, 9.99, 10.0, 1e4, 1e7)), _seed(-1), smooth=False),
        good(Arr((1500,), "positive"), _seed(3), smooth=False),
        good(Arr((2,), "values", data=(-1.0, float("nan"))), _seed(1), smooth=False),
        good(Arr((0, 2), "positive"), _seed(1)),
        bad("ShapeError", (2,), Arr((1,), "int", 0, 5)),
    ]  # fmt: skip


@defop(
    "_rand_poisson",
    samples=_poisson_samples,
    source="Hörmann 1993, The transformed rejection method for generating Poisson random variables",
    differentiable=False,
    out_dtype="int64",
    **_RANDOM,
)
class RandPoisson:
    """Counts of a Poisson distribution of each rate; −1 for a rate below 0, above 2⁵³ or NaN."""

    def shape(rate: Shape, seed: Any) -> Shape:
        _check_seed(seed)
        return rate

    def kernel_params(rate: Shape, seed: Any) -> tuple[tuple[int, ...], tuple[()]]:
        # ints = (elements,)
        return (size(rate),), ()

    vjp = no_gradient
    jvp = no_tangent
