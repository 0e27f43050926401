"""Dtypes, their promotion and limits, and what the namespace says of itself."""

from __future__ import annotations

import builtins
from typing import Any, NamedTuple

import numpy as np

from tlean._core.array import AnyTensor
from tlean.dtypes import INTEGERS, dtype_option, promoted
from tlean.errors import DTypeError

from .calls import check_device, default_float, required, run

e: float
inf: float
nan: float
pi: float
e, inf, nan, pi = float(np.e), float("inf"), float("nan"), float(np.pi)
newaxis = None


def _named(name: str) -> Any:
    return AnyTensor(np.zeros((), name)).dtype


bool: Any = _named("bool")
int32: Any
int64: Any
float32: Any
float64: Any
int32, int64, float32, float64 = map(_named, ("int32", "int64", "float32", "float64"))
_ALL = {"bool": bool, "int32": int32, "int64": int64, "float32": float32, "float64": float64}
_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int32", "int64"),
    "unsigned integer": (),
    "integral": ("int32", "int64"),
    "real floating": ("float32", "float64"),
    "complex floating": (),
    "numeric": ("int32", "int64", "float32", "float64"),
}


def _name(x: Any) -> str:
    # The dtype that an array, a Python number or a dtype has, by name.
    if isinstance(x, builtins.bool):
        return "bool"
    name = dtype_option(x if isinstance(x, type) else getattr(x, "dtype", x))
    if name is None:
        raise DTypeError(f"a dtype is expected, got {x!r}")
    return name


def astype(x: Any, dtype: Any, /, *, copy: builtins.bool = True, device: Any = None) -> Any:
    """The elements in another dtype; values never change, so a copy makes no difference."""
    check_device(device)
    name = _name(dtype)
    return x if required(x).dtype == name else run(lambda ops, x: ops.astype(x, name), x)


def can_cast(from_: Any, to: Any, /) -> builtins.bool:
    """Whether promotion turns the one dtype, or an array of it, into the other."""
    here, there = _name(from_), _name(to)
    return here == there or (promoted([here, there]) == there and not (here == "bool" or (here in INTEGERS and there not in INTEGERS)))


def result_type(*arrays_and_dtypes: Any) -> Any:
    """The dtype to which these promote; Python numbers take part by their kind alone."""
    numbers = [x for x in arrays_and_dtypes if isinstance(x, builtins.bool | int | float) and not isinstance(x, np.generic)]
    names = [_name(x) for x in arrays_and_dtypes if not any(x is n for n in numbers)]
    if not names:
        raise DTypeError("an array or a dtype is required, got Python numbers alone")
    name = promoted(names)
    if name in INTEGERS and any(isinstance(n, float) for n in numbers):
        name = default_float()
    elif name == "bool" and any(not isinstance(n, builtins.bool) for n in numbers):
        name = "int64"
    return _ALL[name]


def isdtype(dtype: Any, kind: Any) -> builtins.bool:
    """Whether a dtype is one of a kind: a dtype, a name such as "real floating", or a tuple of these."""
    name = _name(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str) and type(kind) is str:
        if kind not in _KINDS:
            raise DTypeError(f"kind must be one of {', '.join(_KINDS)}, got {kind!r}")
        return name in _KINDS[kind]
    return str(getattr(kind, "name", None) or kind) == name


class FloatLimits(NamedTuple):
    """What `finfo` returns."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: Any


class IntegerLimits(NamedTuple):
    """What `iinfo` returns."""

    bits: int
    max: int
    min: int
    dtype: Any


def finfo(type: Any, /) -> FloatLimits:
    """The limits of a float dtype, or of an array's."""
    name = _name(type)
    if name in INTEGERS:
        raise DTypeError(f"a float dtype is expected, got {name}")
    i = np.finfo(name)
    return FloatLimits(i.bits, float(i.eps), float(i.max), float(i.min), float(i.smallest_normal), _ALL[name])


def iinfo(type: Any, /) -> IntegerLimits:
    """The limits of an integer dtype, or of an array's."""
    name = _name(type)
    if name not in ("int32", "int64"):
        raise DTypeError(f"an integer dtype is expected, got {name}")
    i = np.iinfo(name)
    return IntegerLimits(i.bits, int(i.max), int(i.min), _ALL[name])


class Info:
    """What the namespace says of itself, by the standard's methods."""

    def capabilities(self) -> dict[str, Any]:
        """Which optional behaviours there are. Indexing by Booleans and shapes that depend on values are there where values are."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """The device of new arrays."""
        return "cpu"

    def devices(self) -> list[str]:
        """The devices of arrays of the namespace."""
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """The dtypes of what is made without one."""
        check_device(device)
        return {"real floating": _ALL[default_float()], "integral": int64, "indexing": int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """The dtypes that arrays may have, of a kind or of several."""
        check_device(device)
        return {name: d for name, d in _ALL.items() if kind is None or isdtype(d, kind)}


def __array_namespace_info__() -> Info:
    """What the namespace says of itself."""
    return Info()
