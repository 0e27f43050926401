"""What several adapters need."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import tlean as tl

from ..samples import Skip

#: PyTorch's name of an argument -> tlean's.
_ARGUMENTS = {
    "dim": "axis", "keepdim": "keepdims", "other": "b", "exponent": "b", "negative_slope": "slope", "min_val": "lo", "max_val": "hi",
    "dims": "axis", "diagonal": "k", "sections": "parts", "dim1": "axis1", "dim2": "axis2", "shifts": "shift",
    "margin": "margin", "var": "var",
}  # fmt: skip
_DTYPES = {torch.float64: "float64", torch.float32: "float32", torch.int64: "int64", torch.int32: "int32", torch.bool: "bool"}


def dtype_of(dtype: torch.dtype) -> str:
    """tlean's name of a dtype. Raises: Skip."""
    if dtype not in _DTYPES:
        raise Skip(f"the dtype {str(dtype).removeprefix('torch.')}")
    return _DTYPES[dtype]


def cast(x: Any, dtype: torch.dtype | None) -> Any:
    """x in a dtype that PyTorch names; as it is for None."""
    return x if dtype is None else tl.astype(x, dtype_of(dtype))


def plain(f: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
    """A function of tlean's, called with PyTorch's arguments under tlean's names, and in the dtype that `dtype=` names."""
    parameters = inspect.signature(f).parameters

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        if "dtype" in kwargs and "dtype" not in parameters:
            x = cast(x, kwargs.pop("dtype"))
        kwargs = {k if k in parameters else _ARGUMENTS.get(k, k): v for k, v in kwargs.items()}
        return f(x, *args, **kwargs, **fixed)

    return call


def rank(x: Any) -> int:
    return len(np.shape(x)) if isinstance(x, int | float | bool) else len(x.shape)


def axes_of(dim: Any) -> Any:
    """None and no axes mean all of them to PyTorch."""
    return None if dim is None or (isinstance(dim, list | tuple) and not dim) else dim if isinstance(dim, int) else tuple(dim)


def is_float(x: Any) -> bool:
    return str(x.dtype).startswith("float")


def is_bool(x: Any) -> bool:
    return str(x.dtype) == "bool"
