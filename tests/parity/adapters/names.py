"""Entries whose tlean op has their name and their meaning, argument for argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tlean as tl

from .common import plain

_PREFIXES = ("nn.functional.", "special.", "linalg.")
_SAME = [
    "abs",
    "acos",
    "acosh",
    "all",
    "any",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "bitwise_not",
    "bitwise_left_shift",
    "bitwise_right_shift",
    "bmm",
    "ceil",
    "copysign",
    "cos",
    "cosh",
    "cumprod",
    "cumsum",
    "diag",
    "diagonal",
    "digamma",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "floor_divide",
    "fmod",
    "gcd",
    "hypot",
    "isclose",
    "lcm",
    "isfinite",
    "isinf",
    "isnan",
    "kron",
    "lgamma",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logit",
    "logsumexp",
    "matmul",
    "maximum",
    "mean",
    "minimum",
    "mul",
    "neg",
    "outer",
    "permute",
    "prod",
    "reciprocal",
    "remainder",
    "reshape",
    "roll",
    "rsqrt",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "sum",
    "tan",
    "tanh",
    "trace",
    "trunc",
    "xlogy",
    "special.erfcx",
    "special.log_ndtr",
    "special.ndtr",
    "special.ndtri",
    "special.xlog1py",
    "linalg.diagonal",
    "nn.functional.mish",
    "nn.functional.relu",
    "nn.functional.relu6",
    "nn.functional.selu",
    "nn.functional.softsign",
    "nn.functional.hardswish",
    "nn.functional.silu",
    "nn.functional.celu",
    "nn.functional.elu",
    "nn.functional.glu",
    "nn.functional.hardtanh",
    "nn.functional.leaky_relu",
]
#: Entry -> the op of another name.
_RENAMED = {
    "eq": "equal", "ge": "greater_equal", "gt": "greater", "le": "less_equal", "lt": "less", "ne": "not_equal", "true_divide": "div",
    "div.no_rounding_mode": "div", "max.binary": "maximum", "min.binary": "minimum", "sgn": "sign", "amax": "max", "amin": "min",
    "logcumsumexp": "cumlogsumexp", "movedim": "moveaxis", "unsqueeze": "expand_dims", "unsqueeze_copy": "expand_dims",
    "squeeze.multiple": "squeeze", "squeeze_copy": "squeeze", "permute_copy": "permute", "transpose": "swapaxes",
    "transpose_copy": "swapaxes", "diagonal_copy": "diagonal", "cat": "concat", "view": "reshape", "view_copy": "reshape", "mm": "matmul",
    "mv": "matmul", "dot": "matmul", "vdot": "matmul", "ravel": "flatten", "nn.functional.logsigmoid": "log_sigmoid",
    "clamp_max": "minimum",
    "clamp_min": "maximum", "broadcast_to": "broadcast_to", "expand_copy": "broadcast_to", "tile": "tile", "flip": "flip",
    "special.polygamma.special_polygamma_n_0": "polygamma", "nn.functional.kl_div": "kl_div",
}  # fmt: skip


def _ours(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return _RENAMED.get(name, name)


#: Entry -> the op's name in tlean.
NAMES = {name: _ours(name) for name in _SAME} | _RENAMED
ADAPTERS: dict[str, Callable[..., Any]] = {name: plain(getattr(tl, ours)) for name, ours in NAMES.items()}
