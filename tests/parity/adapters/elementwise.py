"""Functions of an element that tlean has under another name, with other arguments, or as a short expression."""

from __future__ import annotations

import math
from typing import Any

import tlean as tl

from ..samples import Skip
from .common import cast, is_bool, is_float


def _plus(x: Any, other: Any, alpha: Any = 1) -> Any:
    if alpha is False:
        raise Skip("arithmetic of Booleans with a number that is one")
    return tl.add(x, other if alpha == 1 else other * alpha)


def _minus(x: Any, other: Any, alpha: Any = 1) -> Any:
    return tl.sub(x, other if alpha == 1 else other * alpha)


def _clamp(x: Any, min: Any = None, max: Any = None) -> Any:
    lower = x if min is None else tl.maximum(x, min)
    return lower if max is None else tl.minimum(lower, max)


def _truncated(a: Any, b: Any, *, rounding_mode: str = "trunc") -> Any:
    if str(a.dtype) in ("int64", "bool") and str(getattr(b, "dtype", "int64")) in ("int64", "bool") and not isinstance(b, float):
        a, b = (tl.astype(v, "int64") if hasattr(v, "dtype") else v for v in (a, b))
        return (abs(a) // abs(b)) * tl.sign(a) * (tl.sign(b) if hasattr(b, "dtype") else (1 if b > 0 else -1))
    return tl.trunc(a / b)


def _power(x: Any, e: Any) -> Any:
    return x**e if isinstance(e, int | float) else tl.power(x, e)


def _float_power(x: Any, e: Any) -> Any:
    return tl.power(tl.astype(x, "float64"), e)


def _heaviside(x: Any, at_zero: Any) -> Any:
    if is_bool(x):
        raise Skip("a step of Booleans, which is one of floats as NumPy has it")
    return tl.heaviside(x, at_zero)


def _log_multigamma(x: Any, p: int) -> Any:
    y = tl.lgamma(x) + 0.25 * p * (p - 1) * math.log(math.pi)
    for k in range(1, p):
        y = y + tl.lgamma(x - 0.5 * k)
    return y


def _rounded(x: Any, decimals: int = 0) -> Any:
    ten = 10.0 ** abs(decimals)
    return tl.round(x) if not decimals else tl.round(x * ten) / ten if decimals > 0 else tl.round(x / ten) * ten


def _softplus(x: Any, beta: float = 1, threshold: float = 20) -> Any:
    return tl.softplus(x, beta, threshold)


def _prelu(x: Any, weight: Any) -> Any:
    if weight.shape and len(x.shape) > 1 and weight.shape[0] > 1:
        weight = tl.reshape(weight, (-1,) + (1,) * (len(x.shape) - 2))
    return tl.prelu(x, weight if len(x.shape) or not weight.shape else tl.reshape(weight, ()))


def _angle(x: Any) -> Any:
    return tl.where(tl.isnan(x), x, tl.where(x < 0, math.pi, 0.0)) if is_float(x) else tl.where(x < 0, math.pi, 0.0)


def _entropy(x: Any) -> Any:
    return tl.where(x < 0, -math.inf, -tl.xlogy(x, x))


def _raised(x: Any, other: Any) -> Any:
    if not is_float(x) and not isinstance(other, float):
        raise Skip("integers to an array of integers, which may be negative: floats")
    return other**x


def _polygamma(x: Any, n: int) -> Any:
    if n and n % 2 == 0 and not is_float(x):
        raise Skip("the pole at 0 of an even order, where both sides differ: NaN")
    return tl.polygamma(x, n) if n else tl.digamma(x)


def _safe_softmax(x: Any, dim: int, dtype: Any = None) -> Any:
    x = cast(x, dtype)
    dead = tl.all(x == -math.inf, dim, True)
    return tl.where(dead, 0.0, tl.softmax(tl.where(dead, 0.0, x), dim))


ADAPTERS = {
    "add": _plus,
    "sub": _minus,
    "rsub": lambda x, other, alpha=1: _minus(other, x, alpha),
    "__radd__": lambda x, other: other + x,
    "__rsub__": lambda x, other: other - x,
    "__rmul__": lambda x, other: other * x,
    "__rdiv__": lambda x, other: other / x,
    "__rpow__": _raised,
    "__rmod__": lambda x, other: other % x,
    "__rand__": lambda x, other: other & x,
    "__ror__": lambda x, other: other | x,
    "__rxor__": lambda x, other: other ^ x,
    "addcmul": lambda x, a, b, value=1: tl.addcmul(x, a, b, value),
    "addcdiv": lambda x, a, b, value=1: tl.addcdiv(x, a, b, value),
    "angle": _angle,
    "allclose": lambda a, b, rtol=1e-5, atol=1e-8, equal_nan=False: tl.all(tl.isclose(a, b, rtol, atol, equal_nan)),
    "clamp": _clamp,
    "conj": lambda x: x,
    "conj_physical": lambda x: x,
    "resolve_conj": lambda x: x,
    "resolve_neg": lambda x: x,
    "real": lambda x: x,
    "positive": lambda x: x,
    "deg2rad": lambda x: tl.deg2rad(x),
    "rad2deg": lambda x: tl.rad2deg(x),
    "div.trunc_rounding": _truncated,
    "div.floor_rounding": lambda a, b, rounding_mode: tl.floor_divide(a, b),
    "equal": lambda a, b: tl.all(tl.equal(a, b)) if a.shape == b.shape else False,
    "float_power": _float_power,
    "fmax": lambda a, b: tl.fmax(a, b),
    "fmin": lambda a, b: tl.fmin(a, b),
    "frac": lambda x: tl.frac(x),
    "heaviside": _heaviside,
    "isneginf": lambda x: x == -math.inf,
    "isposinf": lambda x: x == math.inf,
    "isreal": lambda x: tl.ones_like(x, dtype=bool),
    "ldexp": lambda x, e: x * tl.exp2(e),
    "lerp": lambda a, b, weight: tl.lerp(a, b, weight),
    "logaddexp2": lambda a, b: tl.logaddexp(a * math.log(2), b * math.log(2)) / math.log(2),
    "mvlgamma.mvlgamma_p_1": _log_multigamma,
    "mvlgamma.mvlgamma_p_3": _log_multigamma,
    "mvlgamma.mvlgamma_p_5": _log_multigamma,
    "nan_to_num": lambda x, nan=None, posinf=None, neginf=None: tl.nan_to_num(x, nan or 0.0, posinf, neginf),
    "pow": _power,
    "round": _rounded,
    "round.decimals_0": _rounded,
    "round.decimals_3": _rounded,
    "round.decimals_neg_3": _rounded,
    "signbit": lambda x: tl.copysign(1.0, x) < 0 if is_float(x) else x < 0,
    "sinc": lambda x: tl.sinc(x),
    "special.entr": _entropy,
    "special.xlog1py": lambda a, b: tl.xlog1py(a, b),
    "xlogy": lambda a, b: tl.xlogy(a, b),
    "where": lambda a, c, b: tl.where(c, a, b),
    "nn.functional.gelu": lambda x, approximate="none": tl.gelu(x, approximate),
    "nn.functional.hardshrink": lambda x, lambd=0.5: tl.hardshrink(x, lambd),
    "nn.functional.hardsigmoid": lambda x: tl.hardsigmoid(x),
    "nn.functional.prelu": _prelu,
    "nn.functional.softplus": _softplus,
    "nn.functional.softshrink": lambda x, lambd=0.5: tl.softshrink(x, lambd),
    "nn.functional.tanhshrink": lambda x: tl.tanhshrink(x),
    "nn.functional.threshold": lambda x, threshold, value: tl.threshold(x, threshold, value),
    **{f"polygamma.polygamma_n_{n}": _polygamma for n in range(5)},
    "special.polygamma.special_polygamma_n_0": _polygamma,
    "softmax": lambda x, dim, dtype=None: tl.softmax(cast(x, dtype), dim),
    "softmax.with_dtype": lambda x, dim, dtype=None: tl.softmax(cast(x, dtype), dim),
    "log_softmax": lambda x, dim, dtype=None: tl.log_softmax(cast(x, dtype), dim),
    "log_softmax.with_dtype": lambda x, dim, dtype=None: tl.log_softmax(cast(x, dtype), dim),
    "nn.functional.softmin": lambda x, dim, dtype=None: tl.softmax(-cast(x, dtype), dim),
    "nn.functional.softmin.with_dtype": lambda x, dim, dtype=None: tl.softmax(-cast(x, dtype), dim),
    "torch.ops.aten._safe_softmax.default": _safe_softmax,
    "clone": lambda x, memory_format=None: x,
    "contiguous": lambda x, memory_format=None: x,
    "alias_copy": lambda x: x,
    "bool": lambda x, memory_format=None: tl.astype(x, bool),
    "double": lambda x, memory_format=None: tl.astype(x, "float64"),
    "float": lambda x, memory_format=None: tl.astype(x, "float32"),
    "int": lambda x, memory_format=None: tl.astype(x, "int32"),
    "long": lambda x, memory_format=None: tl.astype(x, "int64"),
}
