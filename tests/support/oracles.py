"""What the tests compare with: elementwise ops written by hand in NumPy, apart from the formulas that the library computes them by.

Sources other than the library's own: `math` for the error function, complex and closed forms that differ from the formulas where there are
any. `draw` turns the array declarations of samples into arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tlean.testing.ops import _drawn


def draw(declared: Any, rng: np.random.Generator, dtype: str = "float64") -> np.ndarray | None:
    """The array that an argument of a sample declares, floats in this dtype: an `Arr`, a shape for a normal array, or None."""
    x = _drawn(declared, rng)
    return x if x is None or x.dtype.kind != "f" else x.astype(dtype)


def _each(function):
    # A function of Python floats, applied to every element.
    def applied(*arrays, **options):
        out = np.empty(arrays[0].shape, dtype=arrays[0].dtype)
        for i in np.ndindex(out.shape):
            out[i] = function(*(float(x[i]) for x in arrays), **options)
        return out

    return applied


def _compare(found):
    return found.astype(np.float64)


def _gelu(x, approximate="tanh"):
    if approximate == "none":
        return 0.5 * x * math.erfc(-x / math.sqrt(2))
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


#: Name -> function of arrays and options.
ELEMENTWISE = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "scale": lambda x, c: c * x,
    "shift": lambda x, c: x + c,
    "neg": lambda x: -x,
    "square": lambda x: x**2,
    "pow": lambda x, c: np.float_power(x, c),
    "abs": np.abs,
    "sign": np.sign,
    "greater": lambda a, b: _compare(a > b),
    "greater_equal": lambda a, b: _compare(a >= b),
    "equal": lambda a, b: _compare(a == b),
    "where": lambda c, a, b: np.where(c != 0, a, b),
    "sqrt": np.sqrt,
    "clamp": lambda x, lo=-np.inf, hi=np.inf: np.minimum(np.maximum(x, lo), hi),
    "max": np.maximum,
    "min": np.minimum,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x, slope=0.01: np.where(x > 0, x, slope * x),
    "elu": lambda x, alpha=1.0: np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1)),
    "sigmoid": lambda x: 0.5 * (1 + np.tanh(x / 2)),
    "tanh": _each(math.tanh),
    "softplus": lambda x: np.logaddexp(x, 0),
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "inv": lambda x: 1 / x,
    "sin": np.sin,
    "cos": np.cos,
    "erf": _each(math.erf),
    "safe_log": lambda x, eps=1e-6: np.log(np.maximum(x, 0) + eps),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": _each(_gelu),
}
