"""Public forms of the records: arguments that broadcast, and plain numbers."""

from __future__ import annotations

from typing import Any

from ...arguments import is_reference
from ...shapes import broadcast_shapes
from ..registry import array, composite


def _call(ops: Any, record: str, arguments: dict[str, Any], upper: bool, name: str | None, title: str) -> Any:
    # Plain numbers take the dtype of the others, as in elementwise ops.
    plain = {k: isinstance(v, bool | int | float) and not is_reference(v) for k, v in arguments.items()}
    given = {k: v if plain[k] else array(ops, v, f"{title}: {k}") for k, v in arguments.items()}
    types = {str(v.dtype) for k, v in given.items() if not plain[k]}
    dtype = "float64" if "float64" in types else "float32" if "float32" in types else ops.dtype
    arrays = [ops._full(shape=(), value=float(v), dtype=dtype) if plain[k] else v for k, v in given.items()]
    shape = broadcast_shapes(tuple(arguments), tuple(tuple(v.shape) for v in arrays))
    spread = [v if tuple(v.shape) == shape else ops.broadcast_to(v, shape) for v in arrays]
    return ops.apply(record, tuple(spread), {"upper": upper}, name)


@composite
def gammainc(ops: Any, a: Any, x: Any, *, name: str | None = None) -> Any:
    """The lower incomplete gamma function over Γ(a)."""
    return _call(ops, "_gammainc", {"a": a, "x": x}, False, name, "gammainc")


@composite
def gammaincc(ops: Any, a: Any, x: Any, *, name: str | None = None) -> Any:
    """The upper incomplete gamma function over Γ(a)."""
    return _call(ops, "_gammainc", {"a": a, "x": x}, True, name, "gammaincc")


@composite
def gammaincinv(ops: Any, a: Any, p: Any, *, name: str | None = None) -> Any:
    """The inverse of `gammainc`."""
    return _call(ops, "_gammaincinv", {"a": a, "p": p}, False, name, "gammaincinv")


@composite
def gammainccinv(ops: Any, a: Any, p: Any, *, name: str | None = None) -> Any:
    """The inverse of `gammaincc`."""
    return _call(ops, "_gammaincinv", {"a": a, "p": p}, True, name, "gammainccinv")


@composite
def betainc(ops: Any, a: Any, b: Any, x: Any, *, name: str | None = None) -> Any:
    """The incomplete beta function over B(a, b)."""
    return _call(ops, "_betainc", {"a": a, "b": b, "x": x}, False, name, "betainc")


@composite
def betaincc(ops: Any, a: Any, b: Any, x: Any, *, name: str | None = None) -> Any:
    """1 less `betainc`."""
    return _call(ops, "_betainc", {"a": a, "b": b, "x": x}, True, name, "betaincc")


@composite
def betaincinv(ops: Any, a: Any, b: Any, p: Any, *, name: str | None = None) -> Any:
    """The inverse of `betainc`."""
    return _call(ops, "_betaincinv", {"a": a, "b": b, "p": p}, False, name, "betaincinv")


@composite
def betainccinv(ops: Any, a: Any, b: Any, p: Any, *, name: str | None = None) -> Any:
    """The inverse of `betaincc`."""
    return _call(ops, "_betaincinv", {"a": a, "b": b, "p": p}, True, name, "betainccinv")


@composite
def stdtr(ops: Any, df: Any, x: Any, *, name: str | None = None) -> Any:
    """Student's distribution function."""
    return _call(ops, "_student", {"df": df, "x": x}, False, name, "stdtr")


@composite
def stdtrit(ops: Any, df: Any, p: Any, *, name: str | None = None) -> Any:
    """The inverse of `stdtr`."""
    return _call(ops, "_student_inverse", {"df": df, "p": p}, False, name, "stdtrit")
